/* SPDX-License-Identifier: Apache-2.0 */
/* sheet.h - the tensors of a state as the bytes that one file holds behind its head (internal to
 * checkpoint/)
 *
 * Dense, without the gaps that the state has behind its tensors, and readable at any place: so the
 * same bytes can be cut into slices of one size, whatever the tensors are. */
#ifndef MU_CHECKPOINT_SHEET_H
#define MU_CHECKPOINT_SHEET_H

#include "common/error.h"
#include "worker/state/state.h"

struct mu_run {  /* one tensor's bytes */
    uint64_t at; /* of the sheet */
    uint64_t size;
    const void *bytes;
};

struct mu_sheet {
    struct mu_run *run; /* ascending, without gap */
    uint32_t runs;
    uint64_t size; /* of all runs */
};

/* What model.safetensors holds: the weights. Points into the state. */
int mu_sheet_of_weights (struct mu_sheet *sheet, const struct mu_state *state,
                         struct mu_error *error);
/* What optimizer.safetensors holds: all of m, then all of v. */
int mu_sheet_of_moments (struct mu_sheet *sheet, const struct mu_state *state,
                         struct mu_error *error);
void mu_sheet_clear (struct mu_sheet *sheet);

/* Copy `size` bytes from place `at`; they must be there. */
void mu_sheet_copy (const struct mu_sheet *sheet, uint64_t at, void *to, size_t size);

#endif
