/* SPDX-License-Identifier: Apache-2.0 */
/* weave.c - each hand keeps the lanes of one hash busy (lanes.h), from one list for all hands
 *
 * A lane that has come to the end of its stream takes the next one. Bytes pass through buffers that
 * a core's cache holds. */
#include "worker/checkpoint/weave.h"

#include "worker/checkpoint/crew.h"
#include "worker/checkpoint/lanes.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define PART ((size_t)64 << 10) /* four of them fit a core's own cache; whole blocks */

_Static_assert(PART % MU_LANES_BLOCK == 0, "a stream's blocks do not cross parts");
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
    uint64_t at, size; /* fetched so far; in all */
    unsigned char *part;
    size_t used, have;
};

struct hand {
    struct run *run;
    struct mu_lanes lanes;
    struct strand strand[MU_LANES];
    unsigned char *memory;
};

/* The last block of a stream stays behind: it is hashed as the last. */
static size_t whole_blocks (const struct strand *strand)
{
    size_t left = strand->have - strand->used;
    bool all = strand->at == strand->size;
    return all && left ? (left - 1) / MU_LANES_BLOCK : left / MU_LANES_BLOCK;
}

static bool is_at_end (const struct strand *strand)
{
    return strand->at == strand->size && strand->have - strand->used <= MU_LANES_BLOCK;
}

static bool begin (struct hand *hand, uint32_t lane)
{
    struct run *run = hand->run;
    struct strand *strand = &hand->strand[lane];
    uint32_t number = atomic_fetch_add (&run->next, 1);
    if (number >= run->weave->streams)
        return false;
    *strand = (struct strand){ .busy = true,
                               .number = number,
                               .size = run->weave->size (run->about, number),
                               .part = hand->memory + lane * PART };
    mu_lanes_begin (&hand->lanes, lane);
    return true;
}

static int fetch (struct hand *hand, struct strand *strand, struct mu_error *error)
{
    struct run *run = hand->run;
    uint64_t left = strand->size - strand->at;
    strand->have = left < PART ? (size_t)left : PART;
    strand->used = 0;
    if (run->weave->fetch (run->about, strand->number, strand->at, strand->part, strand->have,
                           error) < 0)
        return -1;
    strand->at += strand->have;
    return 0;
}

/* Bytes in each lane that has any left. 1: there are; 0: all is done. */
static int fill_lanes (struct hand *hand, struct mu_error *error)
{
    int busy = 0;
    for (uint32_t lane = 0; lane < MU_LANES; lane++) {
        struct strand *strand = &hand->strand[lane];
        if (!strand->busy && !begin (hand, lane))
            continue;
        busy = 1;
        if (strand->used == strand->have && strand->at < strand->size &&
            fetch (hand, strand, error) < 0)
            return -1;
    }
    return busy;
}

/* As far as the shortest of the parts reaches. */
static void feed_lanes (struct hand *hand)
{
    const uint8_t *from[MU_LANES] = { NULL };
    size_t least = SIZE_MAX;
    for (uint32_t lane = 0; lane < MU_LANES; lane++) {
        struct strand *strand = &hand->strand[lane];
        size_t blocks = strand->busy ? whole_blocks (strand) : 0;
        if (!blocks)
            continue;
        from[lane] = strand->part + strand->used;
        least = blocks < least ? blocks : least;
    }
    for (uint32_t lane = 0; lane < MU_LANES; lane++)
        hand->strand[lane].used += from[lane] ? least * MU_LANES_BLOCK : 0;
    if (least != SIZE_MAX)
        mu_lanes_feed (&hand->lanes, from, least);
}

static int end_lanes (struct hand *hand, struct mu_error *error)
{
    struct run *run = hand->run;
    uint8_t hash[MU_LANES_HASH];
    for (uint32_t lane = 0; lane < MU_LANES; lane++) {
        struct strand *strand = &hand->strand[lane];
        if (!strand->busy || !is_at_end (strand))
            continue;
        strand->busy = false;
        mu_lanes_end (&hand->lanes, lane, strand->part + strand->used, strand->have - strand->used,
                      hash);
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
    struct hand hand = { .run = about, .memory = malloc (MU_LANES * PART) };
    (void)number;
    int status = hand.memory ? work (&hand, error)
                             : mu_fail (error, MU_SYSTEM, "no memory to hash a checkpoint");
    if (status < 0)
        atomic_store (&hand.run->failed, true);
    free (hand.memory);
    return status;
}

int mu_weave_run (const struct mu_weave *weave, void *about, uint32_t hands, struct mu_error *error)
{
    struct run run = { .weave = weave, .about = about };
    uint32_t all = hands ? hands : 1;
    return mu_crew_run (all, all, lend_a_hand, &run, error);
}
