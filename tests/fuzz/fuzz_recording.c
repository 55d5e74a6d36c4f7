/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_recording.c - any bytes as a recording: read up to the first wrong one; what it starts from is loaded
 *
 * No fuzzer guesses a check, so each input is read twice: as it is, and as bodies of frames, each
 * behind its size in two bytes, around which right frames are put. Events are read and not fed: a
 * core trusts what its shell read out of a job file, and asserts what it decides. */
#include "player.h"

#include "index.h"

#include <msgpack.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define HEAD "muster-recording 1\n"

static void must (bool truth)
{
    if (!truth)
        abort ();
}

/* In memory of exactly this size, so that a byte read behind it is noticed. */
static void play (const uint8_t *data, size_t size)
{
    struct mu_error error = { .code = MU_OK };
    struct mu_recording record;
    struct played played;
    struct frames frames;
    msgpack_zone zone;
    uint8_t *copy = malloc (size ? size : 1);
    struct player *player = player_create ();
    must (copy && msgpack_zone_init (&zone, 4096));
    if (size)
        memcpy (copy, data, size);
    int rc = frames_begin (&frames, copy, size, &error) ? -1 : 1;
    while (rc > 0 && (rc = frames_next (&frames, &record, &zone, &error)) > 0) {
        if (record.type != MU_RECORDING_EVENT &&
            player_feed (player, &record, &played, &error) < 0)
            rc = -1;
        msgpack_zone_clear (&zone);
    }
    must (rc == 0 ? frames.at == size : strlen (error.text) > 10);
    player_destroy (&player);
    msgpack_zone_destroy (&zone);
    free (copy);
}

static void put (msgpack_sbuffer *out, const void *data, size_t size)
{
    must (!msgpack_sbuffer_write (out, data, size));
}

static void play_framed (const uint8_t *data, size_t size)
{
    msgpack_sbuffer out;
    msgpack_sbuffer_init (&out);
    put (&out, HEAD, strlen (HEAD));
    for (size_t at = 0; at + 2 <= size;) {
        size_t body = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        if (body > size - at)
            body = size - at;
        uint64_t check = index_hash (data + at, body);
        uint8_t head[12] = { (uint8_t)body, (uint8_t)(body >> 8) };
        for (int i = 0; i < 8; i++)
            head[4 + i] = (uint8_t)(check >> 8 * i);
        put (&out, head, sizeof head);
        put (&out, data + at, body);
        at += body;
    }
    play ((const uint8_t *)out.data, out.size);
    msgpack_sbuffer_destroy (&out);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    play (data, size);
    play_framed (data, size);
    return 0;
}
