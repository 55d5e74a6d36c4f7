/* SPDX-License-Identifier: Apache-2.0 */
/* io_recorder.h - the flight recorder: what the core is fed, on disk, for muster-replay
 *
 * The loop's thread appends to memory; a thread of the recorder's own writes it to the file some
 * milliseconds later, so that no disk ever holds the loop up. What a kill -9 loses is those
 * milliseconds. A disk that is full, or so slow that memory fills up, ends the recording with one
 * warning and nothing else. A NULL recorder records nothing. */
#ifndef COORD_IO_RECORDER_H
#define COORD_IO_RECORDER_H

#include "coord.h"

struct recorder;

/* Begin a file in the folder, which is made if need be, for a core that was just created. When a file
 * has its share of `max_bytes`, the next one begins with an image of the core; the oldest in the folder
 * make room, so that all together take at most `max_bytes`. NULL after a warning. */
struct recorder *recorder_start (const char *dir, uint64_t max_bytes,
                                 const struct coord_options *options, const struct coord *coord);

/* A record of the journal that the core has taken. */
void recorder_apply (struct recorder *recorder, const struct mu_journal *record);

/* An event that the core was just fed, the bytes of its message, and what it decided. */
void recorder_event (struct recorder *recorder, const struct coord_event *event,
                     struct mu_blob wire, const struct coord_actions *actions);

/* Write what is left, and an END. */
void recorder_stop (struct recorder **recorder_p, const char *reason);

#endif
