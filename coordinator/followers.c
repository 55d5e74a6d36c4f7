/* SPDX-License-Identifier: Apache-2.0 */
/* followers.c - who follows, who has caught up, and what all that must have confirmed */
#include "followers.h"

#include <string.h>

bool followers_is_prefix (const struct term_start *starts, uint32_t count, uint64_t own_newest,
                          uint64_t folded_to, uint64_t term, uint64_t newest)
{
    if (newest < folded_to)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (starts[i].term != term)
            continue;
        uint64_t end = i + 1 < count ? starts[i + 1].number - 1 : own_newest;
        return newest >= starts[i].number && newest <= end;
    }
    return false;
}

static struct follower *find (struct followers *followers, uint64_t id)
{
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++)
        if (followers->list[i].id == id)
            return &followers->list[i];
    return NULL;
}

/* A word of a dead one may come late, so it must have come back twice. */
#define RETURNS_MAX 3u

/* Where the leader stood still, all that a dead one and the one after it have asked meanwhile comes at once, by turns.
 * Two that live ask again after half of lost_ms. */
static struct rivals rivals_of (const struct follower *old, uint32_t peer, uint32_t lost_ms,
                                uint64_t now_ms)
{
    struct rivals rivals = old->rivals;
    if (peer == old->peer)
        return rivals;
    if (rivals.any && peer == rivals.other)
        rivals.returns += now_ms >= rivals.other_ms + lost_ms / 4;
    else
        rivals = (struct rivals){ .any = true, .first = old->peer };
    rivals.other = old->peer;
    rivals.other_ms = old->followed_ms;
    rivals.since_ms = now_ms;
    return rivals;
}

bool followers_are_two (const struct follower *follower, uint32_t *other)
{
    const struct rivals *rivals = &follower->rivals;
    *other = rivals->other;
    return rivals->returns >= RETURNS_MAX && follower->peer == rivals->first;
}

struct follower *followers_follow (struct followers *followers, struct claim *claim, uint32_t peer,
                                   uint64_t id, bool is_prefix, uint64_t newest, uint64_t now_ms)
{
    struct follower *follower = find (followers, id);
    struct rivals rivals = { .any = false };
    if (follower)
        rivals = rivals_of (follower, peer, followers->lost_ms, now_ms);
    if (follower && follower->counts)
        claim_lost (claim, id);
    if (!follower)
        follower = find (followers, 0);
    if (!follower)
        return NULL;
    uint64_t at = is_prefix ? newest : 0;
    *follower = (struct follower){ .id = id,
                                   .peer = peer,
                                   .stream = ++followers->streams,
                                   .sent = at,
                                   .have = at,
                                   .fresh = !is_prefix,
                                   .filling = !is_prefix,
                                   .heard_ms = now_ms,
                                   .followed_ms = now_ms,
                                   .disputed = rivals.any,
                                   .rivals = rivals };
    return follower;
}

/* Turns that were given before it counted may be acknowledged without it: it is whole when it has those too. */
static void note_caught_up (struct follower *follower, struct claim *claim)
{
    if (!follower->counts) {
        follower->counts = true;
        follower->whole_at = follower->sent;
        claim_live (claim, follower->id);
    }
    if (follower->have < follower->whole_at)
        return;
    follower->filling = false;
    claim_whole (claim, follower->id);
}

bool followers_have (struct followers *followers, struct claim *claim, uint64_t id, uint64_t stream,
                     uint64_t newest, uint64_t now_ms)
{
    struct follower *follower = id ? find (followers, id) : NULL;
    if (!follower || follower->stream != stream || newest > follower->sent)
        return false;
    follower->heard_ms = now_ms;
    if (newest > follower->have)
        follower->have = newest;
    if (now_ms >= follower->rivals.since_ms + followers->lost_ms)
        follower->disputed = false;
    if (follower->live && !follower->disputed && follower->have >= follower->whole_at)
        note_caught_up (follower, claim);
    return true;
}

void followers_fold (struct followers *followers, uint64_t folded_to)
{
    if (folded_to == followers->folded_to)
        return;
    followers->folded_to = folded_to;
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        struct follower *follower = &followers->list[i];
        if (!follower->id || follower->live || follower->sent >= folded_to)
            continue;
        follower->stream = ++followers->streams;
        follower->sent = follower->have = 0;
        follower->begun = false;
        follower->fresh = follower->filling = true;
    }
}

struct follower *followers_hungry (struct followers *followers, uint64_t newest)
{
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        struct follower *follower = &followers->list[i];
        if (follower->id && !follower->live && follower->have == follower->sent &&
            (follower->sent < newest || !follower->begun))
            return follower;
    }
    return NULL;
}

void followers_fed (struct follower *follower, uint64_t number, uint64_t newest)
{
    follower->sent = number;
    follower->begun = true;
    follower->fresh = false;
    follower->live = number == newest;
    follower->whole_at = number;
}

void followers_sent (struct follower *follower, uint64_t number) { follower->sent = number; }

static void forget (struct follower *follower, struct claim *claim)
{
    claim_lost (claim, follower->id);
    memset (follower, 0, sizeof *follower);
}

void followers_leave (struct followers *followers, struct claim *claim, uint64_t id,
                      uint64_t stream)
{
    struct follower *follower = id ? find (followers, id) : NULL;
    if (follower && follower->stream == stream)
        forget (follower, claim);
}

void followers_scan (struct followers *followers, struct claim *claim, uint64_t now_ms)
{
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        struct follower *follower = &followers->list[i];
        if (follower->id && now_ms >= follower->heard_ms + followers->lost_ms)
            forget (follower, claim);
    }
}

bool followers_may_answer (const struct followers *followers, uint64_t given_ms, uint64_t now_ms)
{
    return followers->ahead && now_ms < given_ms + followers->lost_ms;
}

bool followers_keep_up (const struct followers *followers, const struct claim *claim)
{
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        const struct follower *follower = &followers->list[i];
        if (follower->counts && follower->have == follower->sent && !follower->filling &&
            reign_in_sync (&claim->value, follower->id))
            return true;
    }
    return false;
}

uint64_t followers_confirmed (const struct followers *followers, const struct claim *claim,
                              uint64_t newest)
{
    uint64_t id;
    for (uint32_t i = 0; (id = claim_required (claim, i)); i++) {
        uint64_t have = 0;
        for (uint32_t k = 0; k < FOLLOWERS_MAX; k++)
            if (followers->list[k].id == id && !followers->list[k].filling &&
                !followers->list[k].disputed)
                have = followers->list[k].have;
        if (have < newest)
            newest = have;
    }
    return newest;
}
