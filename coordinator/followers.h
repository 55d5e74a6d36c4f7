/* SPDX-License-Identifier: Apache-2.0 */
/* followers.h - a leader's followers: up to which record each has the journal
 *
 *     (FOLLOW) -> CATCHING: rows of the store, a piece at a time, each confirmed before the next
 *              -> LIVE: every turn as it is given to the commit thread; it confirms each
 *
 * One that is live is waited for only from its first confirmation on: until then nobody knows that it can
 * store anything.
 *
 * Pure, like reign.h: the daemon and the simulator move the rows. A follower is known by the id of
 * its database; `stream` is drawn anew for each FOLLOW, so that nothing said of an earlier one counts. */
#ifndef COORD_FOLLOWERS_H
#define COORD_FOLLOWERS_H

#include "reign.h"

#include <stdbool.h>
#include <stdint.h>

#define FOLLOWERS_MAX (REIGN_MEMBERS_MAX - 1)

/* Two that have one id, of which one is a snapshot of the other's disk, displace each other. So does one that was
 * started anew, once: the one before is dead then, and says nothing more. */
struct rivals {
    bool any;
    uint32_t first,
        other;        /* peers: who had the id before the first displacement, and before the last */
    uint64_t other_ms; /* when that one followed */
    uint32_t returns;  /* how often since a displaced one has come back, not at once */
    uint64_t since_ms; /* of the last displacement */
};

struct follower {
    uint64_t id; /* 0: nobody */
    uint32_t peer;
    uint64_t stream;
    uint64_t sent, have; /* numbers of records: said to it, durable there */
    uint64_t heard_ms, followed_ms;
    uint64_t whole_at; /* once it has this, it has all from before it was live, or counted */
    bool begun;        /* its first rows were sent */
    bool fresh;        /* what it has is of no use: it begins with nothing */
    bool filling;      /* and nothing of what it got instead is durable before it has whole_at */
    bool live;         /* it gets every turn */
    bool counts;       /* and is waited for: claim_live () was told */
    bool disputed; /* another had its id a moment ago, and may have it still: it confirms nothing */
    struct rivals rivals;
};

struct followers {
    struct follower list[FOLLOWERS_MAX];
    uint64_t streams;
    uint64_t folded_to; /* as followers_fold () last heard */
    uint32_t lost_ms;
    bool ahead; /* clients are answered before all have confirmed */
};

/* Which terms began at which record. */
struct term_start {
    uint64_t term, number;
};

/* Is what a journal holds that ends with record `newest`, of `term`, the beginning of this one? Each
 * term has one leader, which numbers its records: number and term say which record it is. What ends before
 * `folded_to` is not: records that follow on it here stand for others that it has. */
bool followers_is_prefix (const struct term_start *starts, uint32_t count, uint64_t own_newest,
                          uint64_t folded_to, uint64_t term, uint64_t newest);

/* FOLLOW: NULL if there are too many already. */
struct follower *followers_follow (struct followers *followers, struct claim *claim, uint32_t peer,
                                   uint64_t id, bool is_prefix, uint64_t newest, uint64_t now_ms);

/* Do two have this one's id for certain? Then that other peer is to be sent away. */
bool followers_are_two (const struct follower *follower, uint32_t *other);

/* HAVE; false if it is of no stream. */
bool followers_have (struct followers *followers, struct claim *claim, uint64_t id, uint64_t stream,
                     uint64_t newest, uint64_t now_ms);

/* UNFOLLOW: it follows no more, and is not to be waited for. */
void followers_leave (struct followers *followers, struct claim *claim, uint64_t id,
                      uint64_t stream);

/* The rows up to that number were folded. Who has a part of what they were before cannot go on with what they
 * are now: it gets all of them anew. Before rows are read to be sent. */
void followers_fold (struct followers *followers, uint64_t folded_to);

/* One that is to be sent the rows above `sent` now, or NULL. */
struct follower *followers_hungry (struct followers *followers, uint64_t newest);

/* Rows up to `number` were sent. Nothing may be in flight to the store when it is `newest`. */
void followers_fed (struct follower *follower, uint64_t number, uint64_t newest);

/* A turn that ends with `number` was sent to a live one. */
void followers_sent (struct follower *follower, uint64_t number);

/* Forget who was silent for too long. */
void followers_scan (struct followers *followers, struct claim *claim, uint64_t now_ms);

/* May clients be answered, when the oldest turn that somebody has not confirmed was given to them at
 * `given_ms`? So what a takeover can lose was answered within lost_ms. */
bool followers_may_answer (const struct followers *followers, uint64_t given_ms, uint64_t now_ms);

/* Is one in sync that has confirmed all it was sent? */
bool followers_keep_up (const struct followers *followers, const struct claim *claim);

/* The newest record that all who must have confirmed. */
uint64_t followers_confirmed (const struct followers *followers, const struct claim *claim,
                              uint64_t newest);

#endif
