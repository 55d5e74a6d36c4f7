/* SPDX-License-Identifier: Apache-2.0 */
/* replay.h - what the files of muster-replay share
 *
 *     replay.c        reads the recording, feeds it, says how it ended
 *     replay_range.c  --from and --until: a number or a time
 *     replay_list.c   events and decisions, a line each
 *     replay_state.c  jobs, generations and workers as they are */
#ifndef COORD_REPLAY_H
#define COORD_REPLAY_H

#include "options.h"
#include "player.h"

/* --- replay_range.c --------------------------------------------------------------------------- */

enum range_kind { RANGE_NONE, RANGE_NUMBER, RANGE_AFTER, RANGE_OF_DAY, RANGE_TIME };

struct range {
    enum range_kind kind;
    uint64_t value; /* a number; else milliseconds */
};

int range_read (const char *text, struct range *range, struct mu_error *error);
/* Certain without a look at the recording: a time of day may be of the next. */
bool range_is_empty (const struct range *from, const struct range *until);
/* Is an event with this number and time behind the point? `first_ms` is the first event's time. */
bool range_is_behind (const struct range *range, uint64_t first_ms, uint64_t number,
                      uint64_t unix_ms);
/* Is it before it? */
bool range_is_before (const struct range *range, uint64_t first_ms, uint64_t number,
                      uint64_t unix_ms);

/* --- replay_list.c ---------------------------------------------------------------------------- */

struct listing;

struct listing *listing_create (const struct mu_replay_options *options);
void listing_destroy (struct listing **listing_p);
/* Follow who is who; print the event if `shown` and if it is asked for. */
void listing_event (struct listing *listing, const struct player *player,
                    const struct played *played, bool shown);

/* --- replay_state.c --------------------------------------------------------------------------- */

/* How the reading ended. */
struct ending {
    bool complete; /* to the recording's end, which is not asked for with --until */
    bool torn, ended, equal;
    const char *damage; /* NULL: none */
};

/* -1: there is no such job. */
int state_print (struct player *player, const struct mu_replay_options *options,
                 const struct ending *ending, struct mu_error *error);

#endif
