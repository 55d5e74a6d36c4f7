/* SPDX-License-Identifier: Apache-2.0 */
/* player.h - a recording's records, one after the other, into a core of their own
 *
 * The core is the daemon's own object code; what it decides is compared with what was recorded. It
 * is pure, so the same program decides the same; another version may not, and the first event where
 * it does not is noted. From there on the recorded workers answer what was never asked, so only what
 * comes before is worth much. */
#ifndef COORD_PLAYER_H
#define COORD_PLAYER_H

#include "frames.h"

struct player;

/* One event, as it was fed. Borrowed until the next call. */
struct played {
    uint64_t number; /* from 1 */
    struct coord_event event;
    const struct coord_actions *actions; /* what this core decides */
    struct mu_blob recorded;             /* what was decided then, as EVENT's `actions` */
    bool differs;
};

struct player *player_create (void);
void player_destroy (struct player **player_p);

/* 1 and *played if it was an event, else 0; -1 if a recorder writes no such thing. */
int player_feed (struct player *player, const struct mu_recording *record, struct played *played,
                 struct mu_error *error);

/* NULL before OPEN. */
struct coord *player_coord (const struct player *player);
const struct mu_recording_open *player_open (const struct player *player);
uint64_t player_events (const struct player *player);
uint64_t player_applied (const struct player *player);
uint64_t player_first_ms (const struct player *player); /* unix time of the first event; 0: none */
uint64_t player_now_ms (const struct player *player);   /* and of the newest */
/* The first event that was decided otherwise; 0: none. */
uint64_t player_difference (const struct player *player);
/* An END came, and the digest in it is that of this core. */
bool player_ended (const struct player *player, bool *equal);

/* What the core answers to WORKERS now: valid until it is asked or fed again. */
const struct mu_wire_worker_list *player_workers (struct player *player);

#endif
