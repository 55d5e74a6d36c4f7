/* SPDX-License-Identifier: Apache-2.0 */
/* io_lead.h - a leader's side of its followers: their words, the rows they lack, what they confirm
 *
 * All of it happens in the loop's thread, over a ROUTER with a ZeroMQ context of its own: the workers'
 * traffic does not delay it. A NULL leader has no followers: it reigns alone, without a register. */
#ifndef COORD_IO_LEAD_H
#define COORD_IO_LEAD_H

#include "io_peers.h"
#include "io_reign.h"
#include "io_store.h"

struct lead;

struct lead_options {
    struct claim *claim; /* that leads */
    struct io_reign *reign;
    struct peers *peers;
    struct store *store;
    bool ahead; /* clients are answered before all that are in sync have confirmed */
};

int lead_begin (struct lead **lead_p, const struct lead_options *options, struct mu_error *error);
void lead_end (struct lead **lead_p);

/* A turn is about to be committed, and nothing is in flight: send it to all that follow. */
void lead_give (struct lead *lead, const struct store_batch *batch, uint64_t unix_ms);

/* The newest record of those in the store that all that must have confirmed. */
uint64_t lead_confirmed (const struct lead *lead);

/* Are clients answered ahead of that; and now, if the oldest turn beyond it was given at `given_ms`? */
bool lead_answers_ahead (const struct lead *lead);
bool lead_may_answer (const struct lead *lead, uint64_t given_ms, uint64_t now_ms);

/* How many are in sync with it, and how many records one of them has not confirmed. */
uint32_t lead_in_sync (const struct lead *lead);
uint64_t lead_behind (const struct lead *lead);

/* For how long answers may run ahead, and how long the reign before allowed, if what it answered last may be
 * missing here. For the record REIGN; 0: not at all. */
uint32_t lead_ahead_ms (const struct lead *lead);
uint32_t lead_lacks_ms (const struct lead *lead);

/* A turn was given to the store at `given_ms` and is not durable here yet: could another go on, which has
 * it, and is it time to let it? */
bool lead_is_outdone (const struct lead *lead, uint64_t given_ms, uint64_t now_ms);

/* Is another in sync, so that it can take over at once; does any follow at all? */
bool lead_has_heir (const struct lead *lead);
bool lead_is_followed (const struct lead *lead);

/* The last turn is acknowledged: tell those who follow that this reign is over. From now on lead_turn ()
 * says NOT_LEADER when another has begun. */
void lead_resign (struct lead *lead, uint64_t now_ms);

/* Words, the register, time. `idle`: no commit is in flight. NOT_LEADER when the reign is over. */
int lead_turn (struct lead *lead, bool idle, uint64_t now_ms, struct mu_error *error);

/* A worker speaks of a later term: ask the register soon. */
void lead_look (struct lead *lead, uint64_t now_ms);

/* Where workers and clients find the one that reigns, by the register's last word. */
const char *lead_address (const struct lead *lead);

uint64_t lead_deadline (const struct lead *lead);
void *lead_socket (struct lead *lead);
int lead_fd (struct lead *lead);

#endif
