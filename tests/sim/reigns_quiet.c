/* SPDX-License-Identifier: Apache-2.0 */
/* reigns_quiet.c - how long nothing is acknowledged when one coordinator goes or comes, and nothing else happens
 *
 *     reigns --quiet NAME [--seed S] [--seeds N]
 *
 * In calm a word takes 5 ms, or waits for those before it; a turn's commit 10, the register 6 to change and 6 to say so. What is
 * waited for on top is one of the waits that reign.h and followers.h name, or should not be. */
#include "reigns.h"

#include <stdio.h>
#include <string.h>

#define WORD   12u /* each a millisecond behind the one before it, at least */
#define COMMIT 11u
#define SWAP   14u
#define TURN   (COMMIT + 2 * WORD) /* stored, sent, confirmed */
#define IDLE   100u /* between two turns, at most: one in eight milliseconds begins one */

static uint64_t worst, limit_of_worst;

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
    if (!limit_of_worst || took_ms * limit_of_worst > worst * limit_ms) {
        worst = took_ms;
        limit_of_worst = limit_ms;
    }
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

static const struct scene {
    const char *name;
    void (*play) (void);
} scenes[] = {
    { "leader-dies", leader_dies },
    { "leader-is-told-to-stop", leader_is_told_to_stop },
    { "follower-dies", follower_dies },
    { "follower-is-told-to-stop", follower_is_told_to_stop },
    { "follower-comes-back", follower_comes_back },
};

static void play (const struct scene *scene, uint64_t first, uint64_t seeds)
{
    worst = limit_of_worst = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        begin (seed);
        scene->play ();
    }
    printf ("%s: at worst %" PRIu64 " of %" PRIu64 " ms\n", scene->name, worst, limit_of_worst);
}

int reigns_quiet (const char *name, uint64_t first, uint64_t seeds)
{
    bool lists = !strcmp (name, "list"), any = lists;
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        if (lists)
            printf ("%s\n", scenes[i].name);
        else if (!strcmp (name, "all") || !strcmp (name, scenes[i].name)) {
            play (&scenes[i], first, seeds);
            any = true;
        }
    }
    if (!any)
        fprintf (stderr, "reigns: there is no scene %s; see --quiet list\n", name);
    return any ? 0 : 64;
}
