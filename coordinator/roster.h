/* SPDX-License-Identifier: Apache-2.0 */
/* roster.h - workers: HELLO, BEAT, BYE, silence, drain */
#ifndef COORD_ROSTER_H
#define COORD_ROSTER_H

#include "core.h"

void roster_start (struct coord *coord);
void roster_file (struct coord *coord, const struct worker *worker); /* under its name and peer */
void roster_receive (struct coord *coord, const struct coord_event *event);
bool roster_hears (const struct mu_wire *wire); /* is it a member's word about its job? */
/* It waited for a coordinator behind a HELLO. Once welcome, its worker says first what it compared before, of which this
 * reign may know nothing, and then this once more. */
bool roster_is_of_the_reign_before (const struct coord *coord, const struct mu_wire *wire);
void roster_gone (struct coord *coord, uint32_t peer);
void roster_scan (struct coord *coord);
/* Has everybody been heard that was on the roster before the restart? */
bool roster_is_back (const struct coord *coord);
/* Its connection ended and nothing was heard since: then it is lost, now. */
void roster_lose_if_gone (struct coord *coord, struct worker *worker);
struct worker *roster_by_name (const struct coord *coord, const char *name);
struct worker *roster_by_peer (const struct coord *coord, uint32_t peer);
uint32_t roster_lost_ms (const struct coord *coord,
                         uint32_t beat_ms); /* of one that beats so often */
uint64_t roster_silent_ms (const struct coord *coord, const struct worker *worker);
void roster_lose (struct coord *coord, struct worker *worker, bool planned, const char *why);
void roster_drain (struct coord *coord, uint32_t peer, const struct mu_wire_drain *drain);
struct worker *roster_find (const struct coord *coord, const char *name_or_number);
enum mu_worker_state worker_state (const struct coord *coord, const struct worker *worker);
/* Does it take no more work, here or at all? */
bool worker_leaves (const struct coord *coord, const struct worker *worker);
bool worker_is_free (const struct coord *coord, const struct worker *worker);

#endif
