/* SPDX-License-Identifier: Apache-2.0 */
/* io_turn.h - what one turn of the loop made durable and said, and the thread that commits it
 *
 * A turn holds encoded records and encoded words, in the order the core gave them, and what the log
 * will say of the records: that is a word as well, and comes when they are durable. */
#ifndef COORD_IO_TURN_H
#define COORD_IO_TURN_H

#include "coord.h"
#include "io_socket.h"
#include "io_store.h"

#include <stdatomic.h>

struct turn;

struct turn *turn_create (void);
void turn_destroy (struct turn **turn_p);

/* Encode the core's actions into the turn. What breaks a limit is logged and dropped: it is a bug,
 * and one message must not stop all jobs; a record that does so is fatal (-1). */
int turn_add (struct turn *turn, const struct coord_action *list, uint32_t count,
              struct mu_error *error);

/* One word that depends on no record. */
void turn_say (struct turn *turn, uint32_t peer, const struct mu_wire *wire);

uint32_t turn_records (const struct turn *turn);
uint32_t turn_words (const struct turn *turn);
const struct store_batch *turn_batch (const struct turn *turn);

/* Nothing more should be put in before it is spoken, so that memory stays bounded. */
bool turn_is_full (const struct turn *turn);

/* Send the words to clients alone, once; the rest waits for turn_speak (). */
void turn_answer (struct turn *turn, struct mu_sockets *sockets);

/* Have the words and lines of `later`, which follow those of `turn`, said with them. Both must be durable;
 * `later` is empty then. */
void turn_join (struct turn *turn, struct turn *later);

/* Log and send the words and empty the turn; its records must be durable. */
void turn_speak (struct turn *turn, struct mu_sockets *sockets);

/* --- the commit thread ------------------------------------------------------------------------ */

struct committer;

/* `done_fd` of the committer becomes readable when the turn given to it is durable. A commit that
 * fails is logged and tried again until it succeeds: nothing is said meanwhile. Only where another
 * program wrote to the journal it is given up, and committer_check () tells. */
struct committer *committer_start (struct store *store, struct mu_error *error);

/* Ends a commit in flight first. A turn that is not durable by then, or was not taken, is destroyed
 * unsaid. */
void committer_stop (struct committer **committer_p);
int committer_done_fd (const struct committer *committer);
bool committer_is_stuck (const struct committer *committer);
int committer_check (struct committer *committer, struct mu_error *error); /* -1: it has given up */
uint64_t committer_commits (const struct committer *committer); /* 0 of NULL */

/* Hand a turn over; nothing may be in flight. */
void committer_give (struct committer *committer, struct turn *turn);

/* Have the commit thread do something else to the store between two turns, and wait for it. From any
 * one other thread. -1 also when it was not begun before *cancelled. */
int committer_do (struct committer *committer,
                  int (*work) (void *arg, struct store *store, struct mu_error *error), void *arg,
                  const _Atomic bool *cancelled, struct mu_error *error);

/* The durable turn, or NULL if it is not yet. */
struct turn *committer_take (struct committer *committer);
bool committer_has_done (struct committer *committer); /* there is one to take */

#endif
