/* SPDX-License-Identifier: Apache-2.0 */
/* reign.h - who reigns: what the register holds, and what one coordinator makes of it
 *
 * A register is a single small value outside every coordinator's own disk that changes by
 * compare-and-swap alone (io_register.h). Its rules, in one place (docs/decisions/0025):
 *  - a term is taken by swapping in term + 1; nobody ever reigns in a term that another has taken;
 *  - only one that is in sync may take a term, for it alone is certain to hold all that was ever
 *    acknowledged; who founds the cluster, swapping the empty value away, is in sync with itself;
 *  - the leader alone changes who is in sync, and acknowledges only what is durable at all of them.
 *
 * No clock is part of the argument: time says only when it is worth trying. Nothing behind this
 * header reads one, or touches the world: the daemon (io_reign.c) and the simulator (tests/sim/
 * reigns.c) are two callers of the same functions. */
#ifndef COORD_REIGN_H
#define COORD_REIGN_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

#define REIGN_MEMBERS_MAX 8   /* in sync, with the leader */
#define REIGN_ADDRESS_MAX 255 /* of one endpoint, bytes */

/* Term 0 is the empty register's: nobody has reigned yet. All unused bytes are zero, so that two
 * values are equal when their bytes are. */
struct reign {
    uint64_t cluster; /* drawn by who founded it: databases of another cluster are not let in */
    uint64_t term;
    uint64_t leader;   /* the id of its database (io_store.h), never 0 */
    uint64_t revision; /* grows by one a swap: no value ever comes back */
    uint32_t in_sync_count;
    uint64_t in_sync[REIGN_MEMBERS_MAX]; /* ids, ascending; the leader's is one of them */
    char peer[REIGN_ADDRESS_MAX + 1];    /* where the leader hears other coordinators */
    char client[REIGN_ADDRESS_MAX + 1];  /* and workers and clients */
};

bool reign_in_sync (const struct reign *value, uint64_t id);

/* --- one coordinator --------------------------------------------------------------------------- */

enum claim_role {
    CLAIM_WAITING,   /* it has not seen the register yet, or a standby waits for a cluster */
    CLAIM_FOLLOWING, /* another reigns */
    CLAIM_LEADING,
    CLAIM_RESIGNED, /* it led, acknowledges nothing more, and waits to see who is next */
    CLAIM_OVER, /* it led and another has taken a later term, or it must not take part: see `why` */
};

struct claim_options {
    uint64_t id;               /* of its database */
    uint64_t cluster;          /* of its database, 0: none yet */
    uint64_t term;             /* the newest in its journal */
    uint64_t new_cluster;      /* a number drawn at random, for a cluster that it founds */
    const char *peer, *client; /* its addresses; valid as long as the claim */
    uint32_t lost_ms;          /* silence after which a leader, or a follower, is taken for lost */
    bool standby;              /* it founds no cluster */
    bool copied;               /* its database is a copy of the one that has this id */
    bool damaged;              /* rows that its journal once had could not be read at its start */
    bool take_over;            /* an operator says that the others are gone for good */
};

struct claim {
    struct claim_options options;
    enum claim_role role;
    struct mu_error why;               /* CLAIM_OVER */
    struct reign value;                /* the newest that was seen */
    bool known;                        /* value was read at least once */
    bool lacks; /* its term was taken from others that it was not in sync with: --take-over */
    bool stuck; /* what the leader sent last could not be stored: told by who follows */
    uint64_t term;                     /* in which it leads */
    uint64_t now_ms, heard_ms, ask_ms; /* heard: the leader; ask: when to read next */
    bool at_ease;                      /* ask was set while the leader was heard */
    bool asked;                        /* a request is in flight */
    bool unsure;                       /* a swap may be in or not: read before anything else */
    bool swapping;                     /* the request in flight is a swap, to `next` */
    struct reign next;
    uint64_t resigned;    /* the term whose leader said that it leads no more */
    uint64_t resigned_at; /* and the number with which its journal ended then */
    /* Ids that a swap of which nothing is known may still bring in sync, at `tried_revision` + 1. */
    uint64_t tried[REIGN_MEMBERS_MAX], tried_revision;
    uint32_t tried_count;
    /* What followers.c says of each: live ones get every turn and must confirm it; whole ones have
     * confirmed all that was before as well. */
    uint64_t live[REIGN_MEMBERS_MAX], whole[REIGN_MEMBERS_MAX];
    uint32_t live_count, whole_count;
    /* Were in sync when this one began to lead, and have a while to come back. */
    uint64_t waited[REIGN_MEMBERS_MAX];
    uint32_t waited_count;
};

/* Before anything of it is heard by others: may it take part? A copy lacks what its original has acknowledged
 * since, and nobody could tell the two apart. */
int claim_check (const struct claim_options *options, struct mu_error *error);

void claim_start (struct claim *claim, const struct claim_options *options, uint64_t now_ms);

/* Its journal was replaced by the leader's, so that nothing lacks any more. */
void claim_mended (struct claim *claim);

enum claim_wish { CLAIM_NOTHING, CLAIM_READ, CLAIM_SWAP };

/* The register names it as the leader, and where it listens now: who was there before it is dead, for two
 * cannot listen there. At another address one may live that has its id. */
bool claim_led_from_here (const struct claim *claim);

/* What to ask of the register now; from then on it is in flight, until one of the three below.
 * For a swap, from claim->value to claim->next. */
enum claim_wish claim_ask (struct claim *claim, uint64_t now_ms);

/* Was that value replaced before what this one has seen? No register goes back: an older state was put in its place,
 * and nothing must follow from it (claim_refused ()). */
bool claim_is_past (const struct claim *claim, const struct reign *value);

void claim_read (struct claim *claim, const struct reign *value, uint64_t now_ms);
void claim_swapped (struct claim *claim, uint64_t now_ms);
/* `certain`: the swap is not in (CONFLICT). Else nothing is known: no answer in time. */
void claim_refused (struct claim *claim, bool certain, uint64_t now_ms);

/* A word of the leader it follows, in this term. False: of somebody who is not that: do not obey. */
bool claim_heard (struct claim *claim, uint64_t leader, uint64_t term, uint64_t now_ms);

/* The same, and its last, with a journal that ends with `newest`: the next term may be taken at once. */
bool claim_heard_resign (struct claim *claim, uint64_t leader, uint64_t term, uint64_t newest,
                         uint64_t now_ms);

/* A worker speaks of a later term than this leader's: the register is asked soon whether that is so. */
void claim_look (struct claim *claim, uint64_t now_ms);

/* A leader gives up its reign for good, when it has acknowledged the last: it only reads from now on. Whoever
 * is in sync with it may take the next term, as ever; it is told so that it need not wait. */
void claim_resign (struct claim *claim, uint64_t now_ms);

/* Is somebody in sync with this leader, and gets every turn? */
bool claim_has_heir (const struct claim *claim);

/* A leader's followers: this one gets every turn and is waited for from now on; it holds all that is
 * durable, and may be called in sync; this one no longer counts. */
void claim_live (struct claim *claim, uint64_t id);
void claim_whole (struct claim *claim, uint64_t id);
void claim_lost (struct claim *claim, uint64_t id);

/* Must this follower have confirmed a turn before it may be acknowledged? By index, until 0. */
uint64_t claim_required (const struct claim *claim, uint32_t index);

/* Did the leader of that term say in its last words that it has no more than this, `newest` records? */
bool claim_was_left_all (const struct claim *claim, uint64_t term, uint64_t newest);

uint64_t claim_deadline (const struct claim *claim);

#endif
