/* SPDX-License-Identifier: Apache-2.0 */
/* io_outbox.h - turns on their way: durable here, durable at all that are in sync, spoken
 *
 * A turn goes to the commit thread and to those who follow at the same time. Its words leave when all that must
 * have confirmed it, in the order of the turns. Where clients' answers do not wait (`--standby-mode async`),
 * these leave when the turn is durable here, as long as the oldest turn that lacks a confirmation is young;
 * what is said to workers waits even then (docs/decisions/0027). */
#ifndef COORD_IO_OUTBOX_H
#define COORD_IO_OUTBOX_H

#include "io_lead.h"
#include "io_metrics.h"
#include "io_turn.h"

struct outbox;

struct outbox_options {
    struct store *store;
    struct committer *committer;
    struct lead *lead; /* NULL: nobody follows */
    struct mu_sockets *sockets;
    struct loop_counts *counts;
};

int outbox_open (struct outbox **outbox_p, const struct outbox_options *options,
                 struct mu_error *error);
void outbox_close (struct outbox **outbox_p);

/* Send the turn on its way if there is room, and put an empty one in its place. One without records is spoken. */
void outbox_pass (struct outbox *outbox, struct turn **filling);

/* How long a turn of few records had better wait, while nothing is being committed, because many were in the one
 * before it: a commit costs nearly as much for one as for a hundred, and those who were just answered ask again.
 * As long as the last commit took at most; those who ask alone never wait (docs/decisions/0048). */
uint64_t outbox_patience_us (const struct outbox *outbox, const struct turn *filling);
uint64_t outbox_worth_us (uint32_t records, uint32_t before, uint64_t took_us); /* ... in all */

/* Is there something to take from the commit thread, or to give it? */
bool outbox_has_done (const struct outbox *outbox);
bool outbox_is_idle (const struct outbox *outbox);

/* Is something durable here that has not been confirmed, as far as was heard? */
bool outbox_awaits_word (const struct outbox *outbox);

/* Has the oldest of them waited longer than any disk or line takes? */
bool outbox_is_held (const struct outbox *outbox, uint64_t now_ms);

/* Has nothing that was decided been said for so long, because of the disk or of those that follow, that workers, who
 * take us for lost after `lost_ms`, miss our words? */
bool outbox_is_mute (const struct outbox *outbox, uint64_t now_ms, uint32_t lost_ms);

/* Take from the commit thread what is durable. */
void outbox_collect (struct outbox *outbox);

/* Speak what may be said. -1: the commit thread has given up. */
int outbox_speak (struct outbox *outbox, struct mu_error *error);

bool outbox_is_committing (const struct outbox *outbox);
uint64_t outbox_committing_since (const struct outbox *outbox); /* UINT64_MAX: it is not */
bool outbox_is_empty (const struct outbox *outbox);

#endif
