/* SPDX-License-Identifier: Apache-2.0 */
/* io_compactor.h - the journal is folded while the coordinator works, so that it does not grow for ever
 *
 * A thread looks soon after the start, then whenever enough has come that may go some day; it plans with a
 * connection of its own. Plans are carried out by whom the store belongs to: the commit thread, between two
 * turns; or the loop of one that follows, between two pieces of the leader's journal. */
#ifndef COORD_IO_COMPACTOR_H
#define COORD_IO_COMPACTOR_H

#include "io_turn.h"

struct compactor;

struct compactor_options {
    const char *dir;
    uint64_t history_ms; /* what ended longer ago may be folded */
    struct store *store;
    struct committer *committer; /* NULL: compactor_turn () carries plans out */
};

/* What the options name must outlive it. */
int compactor_start (struct compactor **compactor_p, const struct compactor_options *options,
                     struct mu_error *error);

/* Calls off what is being planned, and does not wait for it longer than for a row. */
void compactor_stop (struct compactor **compactor_p);

/* By the thread that the store belongs to, while no fresh journal is being put together. */
void compactor_turn (struct compactor *compactor);

#endif
