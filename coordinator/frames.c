/* SPDX-License-Identifier: Apache-2.0 */
/* frames.c - see frames.h
 *
 * A frame's check tells a torn end, which a writer that was killed leaves behind, from damage: what
 * reaches beyond the end, ends there, or is followed by nothing but zeros was being written; a wrong
 * check before that is damage, and nothing behind it is trusted. */
#include "frames.h"

#include "index.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define HEAD       "muster-recording 1\n"
#define HEAD_BASE  "muster-recording "
#define FRAME_HEAD 12u
#define FRAME_MAX  (64u << 20)
#define RECORD_BIT 0x80u

/* A recorded core must be created with the same options: whoever adds one adds it to OPEN. */
_Static_assert(sizeof (struct coord_options) == 10 * sizeof (uint32_t) + 8 + 8 + sizeof (char *),
               "recording.schema, frames_open () and player.c know every option");

/* --- writing ----------------------------------------------------------------------------------- */

static void put (uint8_t *at, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static int append (struct msgpack_sbuffer *out, const void *data, size_t size,
                   struct mu_error *error)
{
    if (msgpack_sbuffer_write (out, data, size))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    return 0;
}

static int add (struct msgpack_sbuffer *out, const struct mu_recording *record,
                struct mu_error *error)
{
    uint8_t head[FRAME_HEAD] = { 0 };
    size_t before = out->size;
    if (append (out, head, sizeof head, error))
        return -1;
    if (mu_record_encode (&mu_recording_family, record, out, error)) {
        out->size = before;
        return -1;
    }
    uint8_t *frame = (uint8_t *)out->data + before;
    size_t size = out->size - before - FRAME_HEAD;
    put (frame, size, 4);
    put (frame + 4, index_hash (frame + FRAME_HEAD, size), 8);
    return 0;
}

int frames_head (struct msgpack_sbuffer *out, struct mu_error *error)
{
    return append (out, HEAD, strlen (HEAD), error);
}

int frames_open (struct msgpack_sbuffer *out, const struct coord_options *options, uint64_t unix_ms,
                 uint64_t files, uint64_t events, struct mu_error *error)
{
    struct mu_recording record = {
        .type = MU_RECORDING_OPEN,
        .open = { .time_ms = unix_ms,
                  .files = files,
                  .events = events,
                  .beat_ms = options->beat_ms,
                  .lost_ms = options->lost_ms,
                  .form_limit_ms = options->form_limit_ms,
                  .lease_ahead_ms = options->lease_ahead_ms,
                  .save_try_ms = options->save_try_ms,
                  .hang_ms = options->hang_ms,
                  .stall_ms = options->stall_ms,
                  .quarantine_failures = options->quarantine_failures,
                  .workers_max = options->workers_max,
                  .jobs_max = options->jobs_max,
                  .history_ms = options->history_ms,
                  .faults = options->faults },
    };
    mu_text_set (record.open.version, sizeof record.open.version,
                 options->version ? options->version : "");
    return add (out, &record, error);
}

/* The bytes of a journal record within a frame: encoded beside, for the frame must know its size. */
static int encode (msgpack_sbuffer *bytes, const struct mu_journal *record, struct mu_error *error)
{
    msgpack_sbuffer_init (bytes);
    if (!mu_record_encode (&mu_journal_family, record, bytes, error))
        return 0;
    msgpack_sbuffer_destroy (bytes);
    return -1;
}

int frames_apply (struct msgpack_sbuffer *out, const struct mu_journal *record,
                  struct mu_error *error)
{
    msgpack_sbuffer bytes;
    if (encode (&bytes, record, error))
        return -1;
    struct mu_recording frame = { .type = MU_RECORDING_APPLY,
                                  .apply.body = { bytes.data, (uint32_t)bytes.size } };
    int rc = add (out, &frame, error);
    msgpack_sbuffer_destroy (&bytes);
    return rc;
}

int frames_image (struct msgpack_sbuffer *out, const struct coord *coord, struct mu_error *error)
{
    struct coord_image image = { 0 };
    coord_save (coord, &image);
    struct mu_recording frame = { .type = MU_RECORDING_IMAGE,
                                  .image.body = { image.bytes, (uint32_t)image.size } };
    int rc = image.size > UINT32_MAX ? mu_fail (error, MU_IO, "the core's state is too large")
                                     : add (out, &frame, error);
    free (image.bytes);
    return rc;
}

static uint8_t action_byte (const struct coord_action *action)
{
    if (action->type == COORD_STORE)
        return (uint8_t)(RECORD_BIT | ((uint32_t)action->store.type & 0x7fu));
    return (uint8_t)((uint32_t)action->send.wire.type & 0x7fu);
}

const char *frames_action_name (uint8_t action, bool *record)
{
    *record = (action & RECORD_BIT) != 0;
    return mu_record_name (*record ? &mu_journal_family : &mu_wire_family, action & 0x7fu);
}

uint64_t frames_hash (const struct coord_actions *actions)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < actions->count; i++) {
        const struct coord_action *action = &actions->list[i];
        if (action->type == COORD_STORE) {
            hash = mu_record_hash (&mu_journal_family, &action->store, hash + 1);
        } else {
            uint64_t word = mu_record_hash (&mu_wire_family, &action->send.wire, hash + 2);
            hash = word ^ (action->send.peer + UINT64_C (0x9e3779b97f4a7c15) + (word << 6));
        }
    }
    return hash;
}

int frames_event (struct msgpack_sbuffer *out, const struct coord_event *event, struct mu_blob wire,
                  const struct coord_actions *actions, struct mu_error *error)
{
    uint8_t kinds[4096];
    uint32_t count = actions->count < sizeof kinds ? actions->count : (uint32_t)sizeof kinds;
    for (uint32_t i = 0; i < count; i++)
        kinds[i] = action_byte (&actions->list[i]);
    struct mu_recording record = {
        .type = MU_RECORDING_EVENT,
        .event = { .kind = (uint32_t)event->type,
                   .now_ms = event->now_ms,
                   .unix_ms = event->unix_ms,
                   .peer = event->peer,
                   .term = event->reign.term,
                   .leader = event->reign.leader,
                   .ahead_ms = event->reign.ahead_ms,
                   .lacks_ms = event->reign.lacks_ms,
                   .lost_jobs = event->reign.lost_jobs,
                   .lacks = event->reign.lacks,
                   .wire = wire,
                   .hash = frames_hash (actions),
                   .actions = { kinds, count } },
    };
    msgpack_sbuffer submit = { 0 };
    if (event->submit) {
        struct mu_journal read = { .type = MU_JOURNAL_SUBMIT, .submit = *event->submit };
        if (encode (&submit, &read, error))
            return -1;
        record.event.submit = (struct mu_blob){ submit.data, (uint32_t)submit.size };
    }
    int rc = add (out, &record, error);
    msgpack_sbuffer_destroy (&submit);
    return rc;
}

int frames_end (struct msgpack_sbuffer *out, uint64_t unix_ms, uint64_t events, uint64_t digest,
                const char *reason, struct mu_error *error)
{
    struct mu_recording record = {
        .type = MU_RECORDING_END,
        .end = { .time_ms = unix_ms, .events = events, .digest = digest },
    };
    mu_text_set (record.end.reason, sizeof record.end.reason, reason);
    return add (out, &record, error);
}

/* --- reading ----------------------------------------------------------------------------------- */

static uint64_t get (const uint8_t *at, uint32_t bytes)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

int frames_begin (struct frames *frames, const void *data, size_t size, struct mu_error *error)
{
    *frames = (struct frames){ .data = data, .size = size, .at = strlen (HEAD) };
    if (size >= strlen (HEAD) && !memcmp (data, HEAD, strlen (HEAD)))
        return 0;
    if (size < strlen (HEAD) && !memcmp (data, HEAD, size))
        return mu_fail (error, MU_BAD_INPUT, "there is nothing in it yet");
    if (size > strlen (HEAD_BASE) && !memcmp (data, HEAD_BASE, strlen (HEAD_BASE)))
        return mu_fail (error, MU_BAD_INPUT,
                        "the recording is of a newer version than this muster-replay reads: use "
                        "that of the Muster that wrote it");
    return mu_fail (error, MU_BAD_INPUT,
                    "this is no recording of muster-coordinator: it does not begin with `%.*s`",
                    (int)strlen (HEAD) - 1, HEAD);
}

static bool only_zeros (const struct frames *frames)
{
    for (size_t i = frames->at; i < frames->size; i++)
        if (frames->data[i])
            return false;
    return true;
}

static int end_torn (struct frames *frames)
{
    frames->torn = true;
    frames->at = frames->size;
    return 0;
}

static int end_damaged (const struct frames *frames, const char *why, struct mu_error *error)
{
    return mu_fail (error, MU_BAD_INPUT,
                    "the recording is damaged at byte %zu (%s): nothing from there on is read",
                    frames->at, why);
}

int frames_next (struct frames *frames, struct mu_recording *record, struct msgpack_zone *zone,
                 struct mu_error *error)
{
    size_t left = frames->size - frames->at;
    struct mu_error why;
    if (!left)
        return 0;
    if (left < FRAME_HEAD || only_zeros (frames))
        return end_torn (frames);
    const uint8_t *frame = frames->data + frames->at;
    size_t size = (size_t)get (frame, 4);
    if (size > FRAME_MAX || size == 0)
        return end_damaged (frames, "a frame's size is wrong", error);
    if (size > left - FRAME_HEAD)
        return end_torn (frames);
    if (index_hash (frame + FRAME_HEAD, size) != get (frame + 4, 8))
        return size == left - FRAME_HEAD ? end_torn (frames)
                                         : end_damaged (frames, "a check is wrong", error);
    if (mu_record_decode (&mu_recording_family, record, frame + FRAME_HEAD, size, 0, zone, &why))
        return end_damaged (frames, why.text, error);
    frames->at += FRAME_HEAD + size;
    return 1;
}
