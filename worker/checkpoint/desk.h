/* SPDX-License-Identifier: Apache-2.0 */
/* desk.h - a copy of all that a checkpoint is made of, where its writer finds it (internal to
 * checkpoint/)
 *
 * The copy lies in memory that is shared with whoever is forked later, at the same address, so that
 * what is put on the desk after the fork is found by the child too: one child writes all checkpoints.
 * Values lie as the files will hold them, from a page's beginning on, so that they are hashed and
 * written from where they are.
 *
 * Whoever has put something there leaves it alone until the writer says that it is done. */
#ifndef MU_CHECKPOINT_DESK_H
#define MU_CHECKPOINT_DESK_H

#include "worker/checkpoint/checkpoint.h"

struct mu_desk_values { /* of one file, behind its head */
    unsigned char *bytes;
    uint64_t size;
};

struct mu_desk {
    size_t size;                         /* of the mapping */
    _Atomic uint32_t *phase;     /* enum mu_writing_state, for whoever looks at the writer */
    _Atomic uint32_t phase_word; /* that */
    struct mu_checkpoint_job job;        /* its texts are copies */
    const struct muster_tensor *tensors; /* and their names */
    struct mu_state *facts;              /* head and table of the state; no values follow */
    struct mu_desk_values weights;       /* of all tensors, without gaps */
    struct mu_desk_values moments;       /* all of m, then all of v */
};

/* A desk with room for this; NULL: no memory. */
struct mu_desk *mu_desk_create (const struct mu_state *state, const struct muster_tensor *tensors,
                                const struct mu_checkpoint_job *job, struct mu_error *error);
void mu_desk_destroy (struct mu_desk **desk);

/* Put it there, by several threads if it is large. False: it has no room for it. */
bool mu_desk_put (struct mu_desk *desk, const struct mu_state *state,
                  const struct muster_tensor *tensors, const struct mu_checkpoint_job *job);

/* The state on the desk, with its values; free () it. */
struct mu_state *mu_desk_state (const struct mu_desk *desk, struct mu_error *error);

/* Write what is on the desk, as mu_checkpoint_write () does; the job was checked (write.c). */
int mu_checkpoint_write_desk (const char *directory, const struct mu_desk *desk,
                              struct mu_checkpoint_saved *saved, struct mu_error *error);

#endif
