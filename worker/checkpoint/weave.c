/* SPDX-License-Identifier: Apache-2.0 */
/* weave.c - each hand keeps the lanes of one hash busy (lanes.h), from one list for all hands
 *
 * A lane that has come to the end of its stream takes the next one. */
#include "worker/checkpoint/weave.h"

#include "worker/checkpoint/crew.h"
#include "worker/checkpoint/lanes.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Blocks of each lane between two looks at whether another hand has failed: 1 MiB. */
#define BLOCKS_AT_ONCE ((size_t)8192)

_Static_assert(MU_LANES_HASH == MU_STORAGE_HASH_SIZE, "the same hash");

struct run {
    const struct mu_weave *weave;
    void *about;
    _Atomic uint32_t next;
    atomic_bool failed;
};

struct strand { /* what is in one lane */
    bool busy;
    uint32_t number;
    const unsigned char *at; /* what is not hashed yet */
    uint64_t left;
};

struct hand {
    struct run *run;
    struct mu_lanes lanes;
    struct strand strand[MU_LANES];
};

/* The last block of a stream stays behind: it is hashed as the last. */
static size_t whole_blocks (const struct strand *strand)
{
    return strand->left ? (size_t)((strand->left - 1) / MU_LANES_BLOCK) : 0;
}

/* 1: the lane has a stream. 0: there is none left. */
static int begin (struct hand *hand, uint32_t lane, struct mu_error *error)
{
    struct run *run = hand->run;
    struct strand *strand = &hand->strand[lane];
    const uint32_t number = atomic_fetch_add (&run->next, 1);
    if (number >= run->weave->streams)
        return 0;
    *strand = (struct strand){ .busy = true, .number = number };
    mu_lanes_begin (&hand->lanes, lane);
    return run->weave->begin (run->about, number, &strand->at, &strand->left, error) < 0 ? -1 : 1;
}

/* A stream in each lane, while there are any. 1: there is one; 0: all is done. */
static int fill_lanes (struct hand *hand, struct mu_error *error)
{
    int busy = 0;
    for (uint32_t lane = 0; lane < MU_LANES; lane++) {
        const int has = hand->strand[lane].busy ? 1 : begin (hand, lane, error);
        if (has < 0)
            return -1;
        busy |= has;
    }
    return busy;
}

/* As far as the shortest of the streams reaches. */
static void feed_lanes (struct hand *hand)
{
    const uint8_t *from[MU_LANES] = { NULL };
    size_t least = BLOCKS_AT_ONCE;
    for (uint32_t lane = 0; lane < MU_LANES; lane++) {
        const struct strand *strand = &hand->strand[lane];
        const size_t blocks = strand->busy ? whole_blocks (strand) : 0;
        if (!blocks)
            continue;
        from[lane] = strand->at;
        least = blocks < least ? blocks : least;
    }
    for (uint32_t lane = 0; lane < MU_LANES; lane++) {
        if (!from[lane])
            continue;
        hand->strand[lane].at += least * MU_LANES_BLOCK;
        hand->strand[lane].left -= least * MU_LANES_BLOCK;
    }
    mu_lanes_feed (&hand->lanes, from, least);
}

static int end_lanes (struct hand *hand, struct mu_error *error)
{
    struct run *run = hand->run;
    uint8_t hash[MU_LANES_HASH];
    for (uint32_t lane = 0; lane < MU_LANES; lane++) {
        struct strand *strand = &hand->strand[lane];
        if (!strand->busy || strand->left > MU_LANES_BLOCK)
            continue;
        strand->busy = false;
        mu_lanes_end (&hand->lanes, lane, strand->at, (size_t)strand->left, hash);
        if (run->weave->done (run->about, strand->number, hash, error) < 0)
            return -1;
    }
    return 0;
}

static int work (struct hand *hand, struct mu_error *error)
{
    int busy = 1;
    while (busy > 0 && !atomic_load (&hand->run->failed)) {
        busy = fill_lanes (hand, error);
        if (busy < 0)
            return -1;
        feed_lanes (hand);
        if (end_lanes (hand, error) < 0)
            return -1;
    }
    return 0;
}

static int lend_a_hand (void *about, uint32_t number, struct mu_error *error)
{
    struct hand hand = { .run = about };
    (void)number;
    const int status = work (&hand, error);
    if (status < 0)
        atomic_store (&hand.run->failed, true);
    return status;
}

int mu_weave_run (const struct mu_weave *weave, void *about, uint32_t hands, struct mu_error *error)
{
    struct run run = { .weave = weave, .about = about };
    uint32_t all = hands ? hands : 1;
    return mu_crew_run (all, all, lend_a_hand, &run, error);
}
