/* SPDX-License-Identifier: Apache-2.0 */
/* unsound.h - a checkpoint that is not what was committed */
#ifndef COORD_UNSOUND_H
#define COORD_UNSOUND_H

#include "core.h"

/* Apply's part. */
void unsound_follow (struct job_durable *job, const struct mu_journal_unsound *unsound);
/* If one of these found that the newest checkpoint is not what was committed, and none has loaded it, give it
 * up. `all_behind`: nor does any hold its state. True: it was given up. */
bool unsound_give_up (struct coord *coord, struct job *job, struct worker **members, uint32_t count,
                      bool all_behind);
/* Give the newest checkpoint up: what it is, in words, and what to do. `unread`: it may be what it should be.
 * `doubted`: unsound_upto (), of the one that takes its place. */
void unsound_drop (struct coord *coord, struct job *job, const char *doubted, const char *found_by,
                   bool unread, const char *what, const char *advice);
/* The newest of the checkpoints up to that step that are still on storage; none that `doubted` (NULL: nobody) wrote
 * if nobody else has said what is in it. NULL: the start. */
const struct commit *unsound_upto (const struct job *job, uint64_t step, const char *doubted);
/* What would take the newest one's place if that cannot be read. */
const struct commit *unsound_before (const struct job *job);
/* It has loaded a checkpoint that was given up since. */
bool unsound_was_loaded (const struct job *job, const struct mu_wire_prepared *prepared);
/* The word tells of a checkpoint that may be the one that was given up. */
bool unsound_is_told_again (const struct job_durable *job, const struct mu_wire_saved *saved);

#endif
