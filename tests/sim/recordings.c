/* SPDX-License-Identifier: Apache-2.0 */
/* recordings.c - what the coordinator is fed is recorded and played: the same decisions, the same state
 *
 * One seed in eight records each reign as the daemon does, through the same functions, and plays it
 * when the reign ends. Every now and then the recording goes on from an image of the core, so that what
 * an image lacks shows in what is decided later. --record FILE does so for any seed or story and leaves FILE, FILE-2 and so on
 * behind, one for each reign, for muster-replay. */
#include "sim.h"

#include "player.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

static msgpack_sbuffer recording, word;
static bool active, ready;
static uint32_t reigns;
static uint64_t events, files;
static struct coord_options options_now;

#define IMAGE_EVERY 100u /* events, in the mean */

#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct mu_error error;                                                                     \
        if (call)                                                                                  \
            sim_fail (__FILE__, __LINE__, #call, "%s", error.text);                                \
    } while (0)

void recordings_reset (void)
{
    if (!ready) {
        msgpack_sbuffer_init (&recording);
        msgpack_sbuffer_init (&word);
        ready = true;
    }
    active = options.record || (options.workers <= 64 && mix (options.seed, 1909) % 8 == 0);
    reigns = 0;
}

void recordings_begin (const struct coord_options *settings)
{
    msgpack_sbuffer_clear (&recording);
    reigns++;
    events = files = 0;
    options_now = *settings;
    if (!active)
        return;
    MUST (frames_head (&recording, &error));
    MUST (frames_open (&recording, settings, 1700000000000 + clock_now (), 0, 0, &error));
}

/* Go on from an image, as a recording does in its next file. */
static void next_file (const struct coord *coord)
{
    recordings_check (coord);
    msgpack_sbuffer_clear (&recording);
    files++;
    MUST (frames_head (&recording, &error));
    MUST (frames_open (&recording, &options_now, 1700000000000 + clock_now (), files, events,
                       &error));
    MUST (frames_image (&recording, coord, &error));
    statistics.images++;
}

void recordings_apply (const struct mu_journal *record)
{
    if (active)
        MUST (frames_apply (&recording, record, &error));
}

void recordings_event (const struct coord *coord, const struct coord_event *event,
                       const struct coord_actions *actions)
{
    struct mu_blob bytes = { 0 };
    if (!active)
        return;
    if (event->wire) {
        msgpack_sbuffer_clear (&word);
        MUST (mu_record_encode (&mu_wire_family, event->wire, &word, &error));
        bytes = (struct mu_blob){ word.data, (uint32_t)word.size };
    }
    MUST (frames_event (&recording, event, bytes, actions, &error));
    events++;
    if (!options.record && mix (options.seed, events) % IMAGE_EVERY == 0)
        next_file (coord);
}

static void leave_file (void)
{
    char path[4200];
    snprintf (path, sizeof path, reigns > 1 ? "%s-%u" : "%s", options.record, reigns);
    FILE *file = fopen (path, "wb");
    if (!file || fwrite (recording.data, 1, recording.size, file) != recording.size ||
        fclose (file)) {
        fprintf (stderr, "sim: %s cannot be written\n", path);
        exit (73);
    }
}

static void play (const struct coord *coord)
{
    msgpack_zone zone;
    struct frames frames;
    struct mu_recording record;
    struct player *player = player_create ();
    int more = 1;
    if (!msgpack_zone_init (&zone, 8192))
        abort ();
    MUST (frames_begin (&frames, recording.data, recording.size, &error));
    while (more) {
        struct played played;
        msgpack_zone_clear (&zone);
        MUST ((more = frames_next (&frames, &record, &zone, &error)) < 0);
        if (more)
            MUST (player_feed (player, &record, &played, &error) < 0);
    }
    CHECK (!frames.torn, "a whole recording is torn");
    CHECK (!player_difference (player), "event %" PRIu64 " is decided otherwise when it is played",
           player_difference (player));
    CHECK (coord_digest (player_coord (player)) == coord_digest (coord),
           "a played recording leads to another state");
    statistics.played += player_events (player) - player_open (player)->events;
    player_destroy (&player);
    msgpack_zone_destroy (&zone);
}

void recordings_check (const struct coord *coord)
{
    if (!active || !coord)
        return;
    if (options.record)
        leave_file ();
    play (coord);
}
