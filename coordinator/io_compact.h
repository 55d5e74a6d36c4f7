/* SPDX-License-Identifier: Apache-2.0 */
/* io_compact.h - the journal, without what no replay needs any more
 *
 * What goes is older than `before_ms` and makes no difference: all but SUBMIT and SIZED of a job that
 * ended before then, for which one record FOLDED stands; reigns but the last; drains and quarantines
 * that were taken back. It is proven before anything is deleted: a core that replays what will be
 * left has the same image, byte for byte, as one that replays all (docs/decisions/0026).
 *
 * Planning reads through a connection of its own and holds up nobody; what is appended meanwhile
 * changes nothing about a plan. Carrying it out is one transaction of the store. */
#ifndef COORD_IO_COMPACT_H
#define COORD_IO_COMPACT_H

#include "io_store.h"

#include <stdatomic.h>

struct compaction;

struct compaction_counts {
    uint64_t rows; /* there were */
    uint64_t gone; /* of them */
    uint64_t jobs; /* that are folded into a record each */
    bool more;     /* there is more to be had: plan again */
};

/* What could go, some ten thousand rows at a time. BAD_INPUT: a row cannot be read or contradicts
 * those before it; a coordinator's start sets such rows aside. TRY_AGAIN: *cancelled, unless it is NULL. */
int compaction_plan (const char *dir, uint64_t before_ms, const _Atomic bool *cancelled,
                     struct compaction **compaction_p, struct mu_error *error);

/* Then it was when the newest row was written that others were written a day after, or 0. A clock that is weeks
 * ahead moves it only when it has been so for a day, and what is folded cannot be undone. */
int compaction_sure_ms (const char *dir, uint64_t *unix_ms, struct mu_error *error);

/* What was written before that is older than a history is kept, for sure. */
int compaction_before_ms (const char *dir, uint64_t now_ms, uint64_t history_ms,
                          uint64_t *before_ms, struct mu_error *error);
void compaction_destroy (struct compaction **compaction_p);
const struct compaction_counts *compaction_counts (const struct compaction *compaction);

/* Was that job forgotten, and are its rows gone when the plan is carried out? */
bool compaction_forgot (const struct compaction *compaction, uint64_t job);

/* By the thread that the store belongs to. */
int compaction_apply (const struct compaction *compaction, struct store *store,
                      struct mu_error *error);

#endif
