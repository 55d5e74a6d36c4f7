/* SPDX-License-Identifier: Apache-2.0 */
/* player.c - see player.h
 *
 * The core trusts its shell, and a file may hold anything: what a shell would never do (an event
 * before the start, time that runs backwards, a word that no worker or client says) is refused here. */
#include "player.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define SENDERS (1u << MU_ROLE_WORKER | 1u << MU_ROLE_CLIENT)

struct player {
    struct coord *coord;
    struct mu_recording_open open;
    struct coord_actions actions;
    msgpack_zone zone;
    struct mu_wire wire;
    struct mu_journal record;
    uint64_t events, applied, difference, now_ms, first_unix_ms, unix_ms;
    bool started, ended, equal;
};

struct player *player_create (void)
{
    struct player *player = calloc (1, sizeof *player);
    if (!player || !msgpack_zone_init (&player->zone, 8192))
        abort ();
    return player;
}

void player_destroy (struct player **player_p)
{
    struct player *player = *player_p;
    if (!player)
        return;
    coord_destroy (&player->coord);
    free (player->actions.list);
    msgpack_zone_destroy (&player->zone);
    free (player);
    *player_p = NULL;
}

struct coord *player_coord (const struct player *player) { return player->coord; }
const struct mu_recording_open *player_open (const struct player *player) { return &player->open; }
uint64_t player_events (const struct player *player) { return player->events; }
uint64_t player_applied (const struct player *player) { return player->applied; }
uint64_t player_first_ms (const struct player *player) { return player->first_unix_ms; }
uint64_t player_now_ms (const struct player *player) { return player->unix_ms; }
uint64_t player_difference (const struct player *player) { return player->difference; }

bool player_ended (const struct player *player, bool *equal)
{
    *equal = player->equal;
    return player->ended;
}

static int nonsense (const char *what, struct mu_error *error)
{
    return mu_fail (error, MU_BAD_INPUT, "no coordinator records this: %s", what);
}

static int open_core (struct player *player, const struct mu_recording_open *open,
                      struct mu_error *error)
{
    if (player->coord)
        return nonsense ("a second OPEN", error);
    player->open = *open;
    struct coord_options options = {
        .beat_ms = open->beat_ms,
        .lost_ms = open->lost_ms,
        .form_limit_ms = open->form_limit_ms,
        .lease_ahead_ms = open->lease_ahead_ms,
        .save_try_ms = open->save_try_ms,
        .hang_ms = open->hang_ms,
        .stall_ms = open->stall_ms,
        .quarantine_failures = open->quarantine_failures,
        .workers_max = open->workers_max,
        .jobs_max = open->jobs_max,
        .history_ms = open->history_ms,
        .faults = open->faults,
        .version = player->open.version,
    };
    player->coord = coord_create (&options);
    player->events = open->events;
    return 0;
}

static int load (struct player *player, const struct mu_blob *body, struct mu_error *error)
{
    if (player->started || player->applied)
        return nonsense ("an IMAGE behind an event or an APPLY", error);
    player->started = true;
    if (!coord_load (player->coord, body->data, body->size, error))
        return 0;
    coord_destroy (&player->coord);
    return -1;
}

static int decode (struct player *player, const struct mu_family *family, void *record,
                   struct mu_blob bytes, uint32_t senders, struct mu_error *error)
{
    return mu_record_decode (family, record, bytes.size ? bytes.data : "", bytes.size, senders,
                             &player->zone, error);
}

static int apply (struct player *player, const struct mu_blob *body, struct mu_error *error)
{
    if (player->started)
        return nonsense ("an APPLY behind an event", error);
    msgpack_zone_clear (&player->zone);
    if (decode (player, &mu_journal_family, &player->record, *body, 0, error) ||
        coord_apply (player->coord, &player->record, error)) {
        mu_error_prefix (error, "record %" PRIu64 " that was replayed: ", player->applied + 1);
        return -1;
    }
    player->applied++;
    return 0;
}

/* The event as the shell had it; what it points to lies in the player. */
static int read_event (struct player *player, const struct mu_recording_event *recorded,
                       struct coord_event *event, struct mu_error *error)
{
    *event = (struct coord_event){ .type = (enum coord_event_type)recorded->kind,
                                   .now_ms = recorded->now_ms,
                                   .unix_ms = recorded->unix_ms,
                                   .reign = { .term = recorded->term,
                                              .leader = recorded->leader,
                                              .ahead_ms = recorded->ahead_ms,
                                              .lacks_ms = recorded->lacks_ms,
                                              .lost_jobs = recorded->lost_jobs,
                                              .lacks = recorded->lacks },
                                   .peer = recorded->peer };
    if (recorded->kind > COORD_GONE || (recorded->kind == COORD_START) == player->started)
        return nonsense ("an event out of its order", error);
    if (recorded->now_ms < player->now_ms)
        return nonsense ("time that runs backwards", error);
    if (recorded->kind != COORD_RECEIVE)
        return 0;
    event->wire = &player->wire;
    msgpack_zone_clear (&player->zone);
    if (decode (player, &mu_wire_family, &player->wire, recorded->wire, SENDERS, error))
        return -1;
    if ((player->wire.type == MU_WIRE_SUBMIT) != !!recorded->submit.size)
        return nonsense ("a SUBMIT that was not read, or something else that was", error);
    if (!recorded->submit.size)
        return 0;
    if (decode (player, &mu_journal_family, &player->record, recorded->submit, 0, error))
        return -1;
    event->submit = &player->record.submit;
    return player->record.type == MU_JOURNAL_SUBMIT ? 0 : nonsense ("a SUBMIT that is none", error);
}

static int step (struct player *player, const struct mu_recording_event *recorded,
                 struct played *played, struct mu_error *error)
{
    struct coord_event event;
    if (read_event (player, recorded, &event, error)) {
        mu_error_prefix (error, "event %" PRIu64 ": ", player->events + 1);
        return -1;
    }
    if (!player->first_unix_ms)
        player->first_unix_ms = event.unix_ms;
    player->started = true;
    player->events++;
    player->now_ms = event.now_ms;
    player->unix_ms = event.unix_ms;
    player->actions.count = 0;
    coord_step (player->coord, &event, &player->actions);
    bool differs = frames_hash (&player->actions) != recorded->hash;
    if (differs && !player->difference)
        player->difference = player->events;
    *played = (struct played){ .number = player->events,
                               .event = event,
                               .actions = &player->actions,
                               .recorded = recorded->actions,
                               .differs = differs };
    return 1;
}

int player_feed (struct player *player, const struct mu_recording *record, struct played *played,
                 struct mu_error *error)
{
    if (!player->coord && record->type != MU_RECORDING_OPEN)
        return nonsense ("something before OPEN", error);
    switch (record->type) {
    case MU_RECORDING_OPEN: return open_core (player, &record->open, error);
    case MU_RECORDING_APPLY: return apply (player, &record->apply.body, error);
    case MU_RECORDING_EVENT: return step (player, &record->event, played, error);
    case MU_RECORDING_IMAGE: return load (player, &record->image.body, error);
    case MU_RECORDING_END:
        player->ended = true;
        player->equal = !record->end.digest || record->end.digest == coord_digest (player->coord);
        return 0;
    }
    return nonsense ("a record without a name", error);
}

const struct mu_wire_worker_list *player_workers (struct player *player)
{
    static const struct mu_wire_worker_list none;
    struct mu_wire ask = { .type = MU_WIRE_WORKERS };
    struct coord_event event = { .type = COORD_RECEIVE,
                                 .now_ms = player->now_ms,
                                 .unix_ms = player->unix_ms,
                                 .peer = UINT32_MAX,
                                 .wire = &ask };
    if (!player->started || coord_deposed (player->coord))
        return &none;
    player->actions.count = 0;
    coord_step (player->coord, &event, &player->actions);
    for (uint32_t i = 0; i < player->actions.count; i++)
        if (player->actions.list[i].type == COORD_SEND &&
            player->actions.list[i].send.wire.type == MU_WIRE_WORKER_LIST)
            return &player->actions.list[i].send.wire.worker_list;
    return &none;
}
