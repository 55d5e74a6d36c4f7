/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - muster-replay: a recording, fed to the same core
 *
 * Exit status: 0; 100 where this core decided otherwise than the recorded one; 65 where the bytes are
 * damaged or no recording; what is shown before is right in both cases. A torn end is no fault: the
 * coordinator was killed. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct replay {
    struct mu_replay_options options;
    struct range from, until;
    const char *path;
    void *bytes;
    size_t size;
    struct frames frames;
    struct player *player;
    struct listing *listing;
    struct ending ending;
    struct mu_error damage;
};

static int map_file (struct replay *replay, struct mu_error *error)
{
    struct stat status;
    int fd = open (replay->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat (fd, &status)) {
        mu_fail_errno (error, MU_NO_INPUT, errno, "%s cannot be read", replay->path);
        if (fd >= 0)
            close (fd);
        return -1;
    }
    int number = 0;
    if (S_ISREG (status.st_mode) && status.st_size > 0) {
        replay->size = (size_t)status.st_size;
        replay->bytes = mmap (NULL, replay->size, PROT_READ, MAP_PRIVATE, fd, 0);
        number = replay->bytes == MAP_FAILED ? errno : 0;
    }
    close (fd);
    if (number || !replay->bytes) {
        replay->bytes = NULL;
        return mu_fail (error, MU_NO_INPUT, "%s cannot be read: %s", replay->path,
                        number                     ? strerror (number)
                        : S_ISDIR (status.st_mode) ? "it is a folder; name a file in it"
                                                   : "it is empty, or no file");
    }
    return 0;
}

/* Feed one record. 1: go on; 0: the end that was asked for; -1: damage. */
static int feed (struct replay *replay, const struct mu_recording *record, struct mu_error *error)
{
    struct played played;
    const struct mu_recording_event *event = &record->event;
    bool is_event = record->type == MU_RECORDING_EVENT;
    uint64_t number = player_events (replay->player) + 1;
    uint64_t first_ms = player_first_ms (replay->player);
    if (is_event && !first_ms)
        first_ms = event->unix_ms;
    if (is_event && range_is_behind (&replay->until, first_ms, number, event->unix_ms))
        return 0;
    int rc = player_feed (replay->player, record, &played, error);
    if (rc > 0)
        listing_event (replay->listing, replay->player, &played,
                       replay->options.show != MU_REPLAY_SHOW_STATE &&
                           !range_is_before (&replay->from, first_ms, number, event->unix_ms));
    return rc < 0 ? -1 : 1;
}

static void play (struct replay *replay)
{
    msgpack_zone zone;
    if (!msgpack_zone_init (&zone, 8192))
        abort ();
    struct mu_recording record;
    int rc;
    while ((rc = frames_next (&replay->frames, &record, &zone, &replay->damage)) > 0) {
        rc = feed (replay, &record, &replay->damage);
        msgpack_zone_clear (&zone);
        if (rc <= 0)
            break;
    }
    msgpack_zone_destroy (&zone);
    replay->ending.complete = replay->frames.at == replay->frames.size;
    replay->ending.torn = replay->frames.torn;
    replay->ending.ended = player_ended (replay->player, &replay->ending.equal);
    replay->ending.damage = rc < 0 ? replay->damage.text : NULL;
}

/* What a person should know of the reading itself. The exit status. */
static int say_ending (const struct replay *replay)
{
    const struct ending *ending = &replay->ending;
    uint64_t difference = player_difference (replay->player);
    if (ending->torn)
        fprintf (stderr, "muster-replay: the recording ends within an event: its coordinator was "
                         "killed, or its disk was full\n");
    if (difference)
        fprintf (stderr,
                 "muster-replay: at event %" PRIu64 " this core decides otherwise than Muster %s "
                 "that was recorded: `--show actions --from %" PRIu64 " --until %" PRIu64
                 "` shows both; what comes after it is not what happened\n",
                 difference, player_open (replay->player)->version, difference, difference);
    if (ending->damage)
        fprintf (stderr, "muster-replay: %s: %s\n", replay->path, ending->damage);
    if (ending->damage)
        return mu_code_exit ((int)replay->damage.code);
    if (!difference && ending->ended && !ending->equal)
        fprintf (stderr, "muster-replay: every decision is the recorded one, and the state at the "
                         "end is not\n");
    return difference || (ending->ended && !ending->equal) ? mu_code_exit (MU_FAILED) : 0;
}

static int run (struct replay *replay, struct mu_error *error)
{
    if (range_read (replay->options.from, &replay->from, error) ||
        range_read (replay->options.until, &replay->until, error))
        return -1;
    if (range_is_empty (&replay->from, &replay->until))
        return mu_fail (error, MU_USAGE, "--until %s is before --from %s: nothing lies between",
                        replay->options.until, replay->options.from);
    if (map_file (replay, error))
        return -1;
    if (frames_begin (&replay->frames, replay->bytes, replay->size, error)) {
        mu_error_prefix (error, "%s: ", replay->path);
        return -1;
    }
    replay->player = player_create ();
    replay->listing = listing_create (&replay->options);
    play (replay);
    if (!player_coord (replay->player))
        return mu_fail (error, MU_BAD_INPUT, "%s: there is nothing in it yet%s%s", replay->path,
                        replay->ending.damage ? ": " : "",
                        replay->ending.damage ? replay->ending.damage : "");
    if (replay->options.show != MU_REPLAY_SHOW_STATE)
        return 0;
    return state_print (replay->player, &replay->options, &replay->ending, error);
}

static void clean_up (struct replay *replay)
{
    player_destroy (&replay->player);
    if (replay->listing)
        listing_destroy (&replay->listing);
    if (replay->bytes)
        munmap (replay->bytes, replay->size);
    mu_options_clear (&mu_replay_program, &replay->options);
}

int main (int argc, char **argv)
{
    struct replay replay = { .bytes = NULL };
    struct mu_operands operands;
    struct mu_error error;
    int result =
        mu_options_parse (&mu_replay_program, &replay.options, argc, argv, &operands, &error);
    if (result)
        return mu_options_exit (&mu_replay_program, result, &error);
    replay.path = operands.item[0];
    int status;
    if (run (&replay, &error)) {
        fprintf (stderr, "muster-replay: %s\n", error.text);
        status = mu_code_exit ((int)error.code);
    } else {
        fflush (stdout);
        status = say_ending (&replay);
    }
    clean_up (&replay);
    if (fflush (stdout) || ferror (stdout)) {
        fprintf (stderr, "muster-replay: standard output cannot be written\n");
        return status ? status : mu_code_exit (MU_IO);
    }
    return status;
}
