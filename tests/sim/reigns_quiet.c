/* SPDX-License-Identifier: Apache-2.0 */
/* reigns_quiet.c - how long nothing is acknowledged when one coordinator goes or comes, and nothing else happens
 *
 *     reigns --quiet NAME [--seed S] [--seeds N]
 *
 * In calm a word takes 5 ms, or waits for those before it; a turn's commit 10, the register 6 to change and 6 to say so. What is
 * waited for on top is one of the waits that reign.h and followers.h name, or should not be. */
#include "reigns.h"
#include "scenes.h"

#include <stdio.h>
#include <string.h>

#define WORD   12u /* each a millisecond behind the one before it, at least */
#define COMMIT 11u
#define SWAP   14u
#define TURN   (COMMIT + 2 * WORD) /* stored, sent, confirmed */
#define IDLE   100u /* between two turns, at most: one in eight milliseconds begins one */

static struct node *leader (void)
{
    for (uint32_t i = 0; i < world.count; i++)
        if (world.node[i].alive && world.node[i].claim.role == CLAIM_LEADING)
            return &world.node[i];
    return NULL;
}

static struct node *follower (void)
{
    uint32_t at = (uint32_t)below (world.count);
    while (!world.node[at].alive || &world.node[at] == leader ())
        at = (at + 1) % world.count;
    return &world.node[at];
}

static bool all_in_sync (void) { return world.reg.in_sync_count == world.count && leader (); }

static struct node *old;
static uint64_t acks, term;

static bool another_leads (void)
{
    const struct node *node = leader ();
    return node && node->claim.term > term;
}
static bool acknowledges (void) { return world.acks > acks; }

static void wait_for (bool (*has_come) (void), uint64_t limit_ms)
{
    uint64_t since_ms = world.now_ms;
    while (!has_come () && world.now_ms < since_ms + limit_ms + 5000)
        reigns_tick ();
    uint64_t took_ms = world.now_ms - since_ms;
    say ("took %" PRIu64 " of at most %" PRIu64 " ms", took_ms, limit_ms);
    if (took_ms > limit_ms) {
        fprintf (stderr, "it took %" PRIu64 " ms, and may take %" PRIu64 "\n", took_ms, limit_ms);
        fail ("something is waited for that nobody wrote down");
    }
    scenes_waited (took_ms, limit_ms);
}

/* All follow, and it is any moment. */
static void begin (uint64_t seed)
{
    reigns_begin (seed);
    world.calm = true;
    while (!all_in_sync () && world.now_ms < 5000)
        reigns_tick ();
    for (uint64_t end_ms = world.now_ms + below (1000); world.now_ms < end_ms;)
        reigns_tick ();
    old = leader ();
    if (!old)
        fail ("nobody leads in calm");
    term = old->claim.term;
}

static void kill_for_good (struct node *node)
{
    kill_node (node);
    node->restart_ms = UINT64_MAX;
    acks = world.acks;
}

/* Its last word may be on its way; then it is silent. */
static void leader_dies (void)
{
    kill_for_good (old);
    wait_for (another_leads, WORD + LOST_MS + SWAP);
}

/* It acknowledges what it has begun, and says so. */
static void leader_is_told_to_stop (void)
{
    stop_node (old);
    wait_for (another_leads, TURN + 10 + WORD + SWAP);
}

static void leader_is_back (void)
{
    kill_for_good (old);
    start_node (old);
    wait_for (another_leads, SWAP + SWAP);
    if (leader () != old)
        fail ("another took the place of one that was back at once");
    acks = world.acks; /* whose next word is answered with the new term, which it looks up */
    wait_for (acknowledges, BEAT_MS + 8 * WORD + SWAP + 2 * COMMIT);
}

/* It might be a snapshot: whoever may live at its old address has the time to say so. */
static void all_are_back_elsewhere (void)
{
    for (uint32_t i = 0; i < world.count; i++)
        kill_for_good (&world.node[i]);
    old->moved = !old->moved;
    start_node (old);
    wait_for (another_leads, SWAP + LOST_MS + SWAP);
}

static struct node *copy;

static bool copy_has_ended (void) { return !copy->alive; }

static void leader_has_a_snapshot (void)
{
    copy = start_copy (old, true);
    wait_for (copy_has_ended, SWAP + 2 * WORD + 1);
    acks = world.acks;
    wait_for (acknowledges, TURN + IDLE);
    if (leader () != old || old->claim.term != term)
        fail ("a snapshot of its disk deposed the leader");
}

/* Each displaces the other, twice, and meanwhile neither can take the leader's place. */
static void follower_has_a_snapshot (void)
{
    struct node *original = follower ();
    uint64_t since_ms = world.now_ms;
    copy = start_copy (original, true);
    while (world.now_ms < since_ms + LOST_MS / 2) {
        acks = world.acks;
        wait_for (acknowledges, SWAP + WORD + SWAP + TURN + IDLE);
    }
    wait_for (copy_has_ended, 2 * LOST_MS + 8 * WORD);
    if (!original->alive || leader () != old || old->claim.term != term)
        fail ("a snapshot of a follower's disk took its place, or the leader's");
    wait_for (all_in_sync, LOST_MS + BEAT_MS + SWAP + 4 * WORD + TURN + SWAP);
    kill_for_good (old);
    wait_for (another_leads, 2 * WORD + LOST_MS + SWAP);
}

static void follower_dies (void)
{
    kill_for_good (follower ());
    wait_for (acknowledges, WORD + LOST_MS + SWAP + TURN + IDLE);
}

static void follower_is_told_to_stop (void)
{
    stop_node (follower ());
    acks = world.acks;
    wait_for (acknowledges, WORD + SWAP + TURN + IDLE);
}

/* It reads the register, asks, gets what it lacks, and confirms it: then it is in sync. */
static void follower_comes_back (void)
{
    struct node *node = follower ();
    kill_for_good (node);
    for (uint64_t end_ms = world.now_ms + 2 * LOST_MS; world.now_ms < end_ms;)
        reigns_tick ();
    node->restart_ms = world.now_ms;
    wait_for (all_in_sync, SWAP + 4 * WORD + TURN + SWAP);
}

/* It falls out of step at once, and asks again and again; nobody waits for it any more. Then there is room. */
static void follower_disk_is_full (void)
{
    struct node *node = follower ();
    node->full_ms = UINT64_MAX;
    for (uint64_t end_ms = world.now_ms + 5 * LOST_MS; world.now_ms < end_ms;) {
        acks = world.acks;
        wait_for (acknowledges, WORD + SWAP + TURN + IDLE);
    }
    node->full_ms = 0;
    /* A commit is under way when it asks, and a look at the register when it is whole. */
    wait_for (all_in_sync, LOST_MS + COMMIT + 4 * WORD + TURN + 2 * SWAP);
}

/* What it was asked is stored at the other, which takes over and says so. */
static void leader_disk_is_full (void)
{
    old->full_ms = UINT64_MAX;
    acks = world.acks;
    wait_for (another_leads, IDLE + TURN + 3 * LOST_MS + TURN + FLUSH_MS + HEIR_MS + WORD + SWAP);
    acks = world.acks;
    wait_for (acknowledges, WORD + LOST_MS + SWAP + TURN + IDLE);
}

static const struct scene scenes[] = {
    { "leader-dies", leader_dies, 0 },
    { "leader-is-told-to-stop", leader_is_told_to_stop, 0 },
    { "leader-is-back", leader_is_back, 0 },
    { "all-are-back-elsewhere", all_are_back_elsewhere, 0 },
    { "leader-has-a-snapshot", leader_has_a_snapshot, 0 },
    { "follower-has-a-snapshot", follower_has_a_snapshot, 0 },
    { "follower-dies", follower_dies, 0 },
    { "follower-is-told-to-stop", follower_is_told_to_stop, 0 },
    { "follower-comes-back", follower_comes_back, 0 },
    { "follower-disk-is-full", follower_disk_is_full, 0 },
    { "leader-disk-is-full", leader_disk_is_full, 0 },
};

static uint64_t first, seeds;

static void play (const struct scene *scene)
{
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        begin (seed);
        scene->play ();
    }
}

int reigns_quiet (const char *name, uint64_t first_seed, uint64_t seeds_of_each)
{
    first = first_seed;
    seeds = seeds_of_each;
    return scenes_run ("reigns", scenes, sizeof scenes / sizeof *scenes, name, play);
}
