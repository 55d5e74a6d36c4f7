/* SPDX-License-Identifier: Apache-2.0 */
/* frames.h - the bytes of a recording: what a core was fed, as frames in a buffer, and back
 *
 * schemas/recording.schema says how a recording is laid out. Writing appends to a buffer of the
 * caller's, and is what the daemon's recorder and the simulator share; nothing here touches a file.
 * Reading borrows the bytes: they outlive the reader and all that it gave. */
#ifndef COORD_FRAMES_H
#define COORD_FRAMES_H

#include "coord.h"
#include "recording.h"

struct msgpack_sbuffer;
struct msgpack_zone;

/* --- writing: 0, or -1 with the buffer as before ----------------------------------------------- */

int frames_head (struct msgpack_sbuffer *out, struct mu_error *error);
/* Behind so many files and events of the same reign. */
int frames_open (struct msgpack_sbuffer *out, const struct coord_options *options, uint64_t unix_ms,
                 uint64_t files, uint64_t events, struct mu_error *error);
/* Where there are files before. */
int frames_image (struct msgpack_sbuffer *out, const struct coord *coord, struct mu_error *error);
int frames_apply (struct msgpack_sbuffer *out, const struct mu_journal *record,
                  struct mu_error *error);
/* `wire` are the bytes of the event's message, if it has one; `actions` what the core decided. */
int frames_event (struct msgpack_sbuffer *out, const struct coord_event *event, struct mu_blob wire,
                  const struct coord_actions *actions, struct mu_error *error);
int frames_end (struct msgpack_sbuffer *out, uint64_t unix_ms, uint64_t events, uint64_t digest,
                const char *reason, struct mu_error *error);

/* What the core decided in one event, as one number; 0 is nothing. Optional fields that are empty do
 * not count, so one that is added later changes no number of before. */
uint64_t frames_hash (const struct coord_actions *actions);

/* One byte of EVENT's `actions`: the name of the record or word, and whether it is a record. */
const char *frames_action_name (uint8_t action, bool *record);

/* --- reading ----------------------------------------------------------------------------------- */

struct frames {
    const uint8_t *data;
    size_t size, at;
    bool torn; /* it ended within a frame: its writer was killed */
};

/* -1: this is no recording, or of another version. */
int frames_begin (struct frames *frames, const void *data, size_t size, struct mu_error *error);

/* 1 and *record, whose lists lie in `zone`; 0 at the end; -1 where the bytes are damaged. */
int frames_next (struct frames *frames, struct mu_recording *record, struct msgpack_zone *zone,
                 struct mu_error *error);

#endif
