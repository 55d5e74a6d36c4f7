/* SPDX-License-Identifier: Apache-2.0 */
/* io_compactor.h - the journal is folded while the coordinator works, so that it does not grow for ever
 *
 * A thread looks soon after the start, then whenever the journal has grown by a half; it plans with a
 * connection of its own, and the commit thread carries plans out between two turns. */
#ifndef COORD_IO_COMPACTOR_H
#define COORD_IO_COMPACTOR_H

#include "io_turn.h"

struct compactor;

/* What ended `history_ms` ago may be folded. All but `compactor_p` must outlive it. */
int compactor_start (struct compactor **compactor_p, const char *dir, uint64_t history_ms,
                     struct store *store, struct committer *committer, struct mu_error *error);
void compactor_stop (struct compactor **compactor_p);

#endif
