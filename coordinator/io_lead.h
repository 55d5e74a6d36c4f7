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
};

int lead_begin (struct lead **lead_p, const struct lead_options *options, struct mu_error *error);
void lead_end (struct lead **lead_p);

/* A turn is about to be committed, and nothing is in flight: send it to all that follow. */
void lead_give (struct lead *lead, const struct store_batch *batch, uint64_t unix_ms);

/* Is what the store holds confirmed by all that must have? */
bool lead_confirmed (const struct lead *lead);

/* Is another in sync, so that it can take over at once; does any follow at all? */
bool lead_has_heir (const struct lead *lead);
bool lead_is_followed (const struct lead *lead);

/* The last turn is acknowledged: tell those who follow that this reign is over. From now on lead_turn ()
 * says NOT_LEADER when another has begun. */
void lead_resign (struct lead *lead, uint64_t now_ms);

/* Words, the register, time. `idle`: no commit is in flight. NOT_LEADER when the reign is over. */
int lead_turn (struct lead *lead, bool idle, uint64_t now_ms, struct mu_error *error);

/* Where workers and clients find the one that reigns, by the register's last word. */
const char *lead_address (const struct lead *lead);

uint64_t lead_deadline (const struct lead *lead);
void *lead_socket (struct lead *lead);
int lead_fd (struct lead *lead);

#endif
