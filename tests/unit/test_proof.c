/* SPDX-License-Identifier: Apache-2.0 */
/* test_proof.c - a right sum proves itself however it came about, a wrong one does not
 *
 * Ranks are arrays here, and the wrapping sum stands for the network. Values are random over the
 * whole type, so nearly every sum wraps; the generator is fixed, so a failure comes again. */
#include "worker/comm/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    RANKS_MAX = 7,
    BLOCK_BYTES = 256 * 64, /* 256 rows of 16 or 8 lanes */
    ELEMENTS_MAX = 3 * BLOCK_BYTES / 4 + 100,
};

static const enum mu_element kinds[] = { MU_ELEMENT_INT32, MU_ELEMENT_INT64 };
#define KINDS (sizeof kinds / sizeof *kinds)

/* Around rows, blocks and nothing. */
static const size_t counts[] = {
    1, 2, 7, 8, 9, 15, 16, 17, 2047, 2048, 2049, 4095, 4096, 4097, 6000, 8192, ELEMENTS_MAX,
};
#define COUNTS (sizeof counts / sizeof *counts)

struct world {
    enum mu_element element;
    unsigned ranks;
    size_t count;
    void *part[RANKS_MAX];
    void *sum;
};

static uint64_t draw (void)
{
    static uint64_t state = 20240229;
    uint64_t x = state += UINT64_C (0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C (0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t get (enum mu_element element, const void *array, size_t at)
{
    return element == MU_ELEMENT_INT32 ? ((const uint32_t *)array)[at]
                                       : ((const uint64_t *)array)[at];
}

static void put (enum mu_element element, void *array, size_t at, uint64_t value)
{
    if (element == MU_ELEMENT_INT32)
        ((uint32_t *)array)[at] = (uint32_t)value;
    else
        ((uint64_t *)array)[at] = value;
}

static void *new_array (enum mu_element element, size_t count)
{
    void *array = calloc (count, (size_t)element);
    assert_non_null (array);
    return array;
}

/* The wrapping sum of all ranks but `missing`; -1: of all. */
static void add_up (struct world *world, int missing)
{
    for (size_t i = 0; i < world->count; i++) {
        uint64_t total = 0;
        for (unsigned rank = 0; rank < world->ranks; rank++)
            total += (int)rank == missing ? 0 : get (world->element, world->part[rank], i);
        put (world->element, world->sum, i, total);
    }
}

static void begin (struct world *world, enum mu_element element, unsigned ranks, size_t count)
{
    *world = (struct world){ .element = element, .ranks = ranks, .count = count };
    for (unsigned rank = 0; rank < ranks; rank++) {
        world->part[rank] = new_array (element, count);
        for (size_t i = 0; i < count; i++)
            put (element, world->part[rank], i, draw ());
    }
    world->sum = new_array (element, count);
    add_up (world, -1);
}

static void end (struct world *world)
{
    for (unsigned rank = 0; rank < world->ranks; rank++)
        free (world->part[rank]);
    free (world->sum);
}

/* Fed in pieces of `piece` elements. */
static struct mu_proof proof_of (const struct world *world, const void *array, size_t piece)
{
    struct mu_proof proof = { 0, 0 };
    for (size_t at = 0; at < world->count; at += piece) {
        const size_t some = world->count - at < piece ? world->count - at : piece;
        mu_proof_feed (&proof, world->element, (const char *)array + at * (size_t)world->element,
                       some);
    }
    return proof;
}

static struct mu_proof total_of (const struct world *world, size_t piece)
{
    struct mu_proof total = { 0, 0 };
    for (unsigned rank = 0; rank < world->ranks; rank++) {
        const struct mu_proof own = proof_of (world, world->part[rank], piece);
        total.a += own.a;
        total.b += own.b;
    }
    return total;
}

static bool holds (const struct world *world, size_t piece)
{
    const struct mu_proof result = proof_of (world, world->sum, piece);
    const struct mu_proof total = total_of (world, piece);
    return mu_proof_holds (world->element, &result, &total) != 0;
}

/* --- what is right ---------------------------------------------------------------------------- */

static void right_sums_hold (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < COUNTS; i++) {
            struct world world;
            begin (&world, kinds[kind], 1 + (unsigned)(draw () % RANKS_MAX), counts[i]);
            assert_true (holds (&world, world.count));
            end (&world);
        }
}

/* Ranks and result are fed alike, whatever the pieces are. */
static void any_pieces_hold (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++)
        for (unsigned round = 0; round < 40; round++) {
            struct world world;
            begin (&world, kinds[kind], 3, 1 + (size_t)(draw () % ELEMENTS_MAX));
            assert_true (holds (&world, 1 + (size_t)(draw () % world.count)));
            end (&world);
        }
}

/* One array is any sum: of random parts, of itself and nothing, of its negative and its double. */
static void any_split_holds (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct world world;
        begin (&world, kinds[kind], 5, 5000);
        const struct mu_proof whole = proof_of (&world, world.sum, world.count);
        for (unsigned round = 0; round < 20; round++) {
            for (size_t i = 0; i < world.count; i++) {
                uint64_t left = get (world.element, world.sum, i);
                for (unsigned rank = 0; rank + 1 < world.ranks; rank++) {
                    const uint64_t some = round < 10 ? draw () : (round % 2) * left;
                    put (world.element, world.part[rank], i, some);
                    left -= some;
                }
                put (world.element, world.part[world.ranks - 1], i, left);
            }
            const struct mu_proof total = total_of (&world, world.count);
            assert_true (mu_proof_holds (world.element, &whole, &total));
        }
        end (&world);
    }
}

static void whole_blocks_are_no_cut (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct world world;
        begin (&world, kinds[kind], 1, 3 * BLOCK_BYTES / (size_t)kinds[kind] + 5);
        const struct mu_proof whole = proof_of (&world, world.sum, world.count);
        const struct mu_proof blocks =
            proof_of (&world, world.sum, BLOCK_BYTES / (size_t)kinds[kind]);
        assert_true (whole.a == blocks.a && whole.b == blocks.b);
        if (kinds[kind] == MU_ELEMENT_INT32)
            assert_true (whole.a <= UINT32_MAX && whole.b <= UINT32_MAX);
        struct mu_proof nothing = whole;
        mu_proof_feed (&nothing, kinds[kind], world.sum, 0);
        assert_true (nothing.a == whole.a && nothing.b == whole.b);
        end (&world);
    }
}

/* int32: what travels above 2^32 does not count. int64: every bit does. */
static void compares_as_many_bits_as_the_elements_have (void **unused)
{
    (void)unused;
    const struct mu_proof one = { 5, 7 }, high = { 5 | UINT64_C (1) << 32, 7 | UINT64_C (1) << 63 };
    assert_true (mu_proof_holds (MU_ELEMENT_INT32, &one, &high));
    assert_false (mu_proof_holds (MU_ELEMENT_INT64, &one, &high));
    for (unsigned bit = 0; bit < 64; bit++) {
        const struct mu_proof a = { one.a ^ UINT64_C (1) << bit, one.b };
        const struct mu_proof b = { one.a, one.b ^ UINT64_C (1) << bit };
        assert_int_equal (mu_proof_holds (MU_ELEMENT_INT32, &one, &a) != 0, bit >= 32);
        assert_int_equal (mu_proof_holds (MU_ELEMENT_INT32, &one, &b) != 0, bit >= 32);
        assert_false (mu_proof_holds (MU_ELEMENT_INT64, &one, &a));
        assert_false (mu_proof_holds (MU_ELEMENT_INT64, &one, &b));
    }
}

/* --- what is wrong ---------------------------------------------------------------------------- */

/* Every place, and every bit: `a` alone sees it. */
static void one_wrong_element_is_seen (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct world world;
        begin (&world, kinds[kind], 1, 4500);
        const struct mu_proof right = proof_of (&world, world.sum, world.count);
        const unsigned bits = 8 * (unsigned)kinds[kind];
        for (size_t at = 0; at < world.count; at++) {
            const uint64_t value = get (world.element, world.sum, at);
            put (world.element, world.sum, at, value ^ UINT64_C (1) << at % bits);
            assert_true (proof_of (&world, world.sum, world.count).a != right.a);
            put (world.element, world.sum, at, value);
        }
        for (unsigned bit = 0; bit < bits; bit++) {
            const size_t at = (size_t)(draw () % world.count);
            const uint64_t value = get (world.element, world.sum, at);
            put (world.element, world.sum, at, value + (UINT64_C (1) << bit));
            assert_true (proof_of (&world, world.sum, world.count).a != right.a);
            put (world.element, world.sum, at, value);
        }
        assert_true (holds (&world, world.count));
        end (&world);
    }
}

static void swap (struct world *world, size_t i, size_t j)
{
    const uint64_t x = get (world->element, world->sum, i), y = get (world->element, world->sum, j);
    put (world->element, world->sum, i, y);
    put (world->element, world->sum, j, x);
}

static void swapped_elements_are_seen (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct world world;
        begin (&world, kinds[kind], 3, 9000);
        const size_t lanes = 64 / (size_t)kinds[kind];
        for (unsigned round = 0; round < 300; round++) {
            const size_t i = (size_t)(draw () % (world.count / 2));
            /* anywhere, the neighbour, the same lane a few rows on, the same place of a block */
            const size_t gaps[] = { 1 + (size_t)(draw () % (world.count / 2 - 1)), 1,
                                    lanes * (1 + (size_t)(draw () % 40)),
                                    BLOCK_BYTES / (size_t)kinds[kind] };
            const size_t j = i + gaps[round % 4];
            if (get (world.element, world.sum, i) == get (world.element, world.sum, j))
                continue;
            swap (&world, i, j);
            assert_false (holds (&world, world.count));
            swap (&world, i, j);
        }
        assert_true (holds (&world, world.count));
        end (&world);
    }
}

/* Pieces that arrive at the wrong place: by an element, a row, a block; two blocks exchanged. */
static void shifted_pieces_are_seen (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++) {
        const size_t size = (size_t)kinds[kind], block = BLOCK_BYTES / size;
        const size_t shifts[] = { 1, 64 / size, block };
        for (size_t i = 0; i < 3; i++) {
            struct world world;
            begin (&world, kinds[kind], 2, 3 * block);
            char *sum = world.sum;
            memmove (sum + shifts[i] * size, sum, (world.count - shifts[i]) * size);
            assert_false (holds (&world, world.count));
            add_up (&world, -1);
            memmove (sum + (block + shifts[i]) * size, sum + block * size, 512 * size);
            assert_false (holds (&world, world.count));
            add_up (&world, -1);
            for (size_t at = 0; at < block; at++)
                swap (&world, at, 2 * block + at);
            assert_false (holds (&world, world.count));
            const uint64_t mask = size == 4 ? UINT32_MAX : UINT64_MAX;
            const struct mu_proof total = total_of (&world, world.count);
            const struct mu_proof result = proof_of (&world, world.sum, world.count);
            assert_true (result.a != (total.a & mask)); /* either word knows the order of blocks */
            assert_true (result.b != (total.b & mask));
            end (&world);
        }
    }
}

static void missing_and_doubled_ranks_are_seen (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < COUNTS; i++) {
            struct world world;
            begin (&world, kinds[kind], 4, counts[i]);
            for (int rank = 0; rank < 4; rank++) {
                add_up (&world, rank);
                assert_false (holds (&world, world.count));
                add_up (&world, -1);
                for (size_t at = 0; at < world.count; at++)
                    put (world.element, world.sum, at,
                         get (world.element, world.sum, at) +
                             get (world.element, world.part[rank], at));
                assert_false (holds (&world, world.count));
            }
            end (&world);
        }
}

/* A piece that stayed as it was before, or one rank's own, or zeros: torn results. */
static void torn_pieces_are_seen (void **unused)
{
    (void)unused;
    for (size_t kind = 0; kind < KINDS; kind++)
        for (unsigned round = 0; round < 60; round++) {
            struct world world, old;
            begin (&world, kinds[kind], 3, 10000);
            begin (&old, kinds[kind], 3, 10000);
            const size_t size = (size_t)kinds[kind], at = (size_t)(draw () % world.count);
            const size_t count = 1 + (size_t)(draw () % (world.count - at));
            char *into = (char *)world.sum + at * size;
            const void *const other[] = { old.sum, world.part[0] };
            if (round % 3 < 2)
                memcpy (into, (const char *)other[round % 3] + at * size, count * size);
            else
                memset (into, 0, count * size);
            assert_false (holds (&world, world.count));
            assert_false (holds (&world, 1000));
            end (&world);
            end (&old);
        }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (right_sums_hold),
        cmocka_unit_test (any_pieces_hold),
        cmocka_unit_test (any_split_holds),
        cmocka_unit_test (whole_blocks_are_no_cut),
        cmocka_unit_test (compares_as_many_bits_as_the_elements_have),
        cmocka_unit_test (one_wrong_element_is_seen),
        cmocka_unit_test (swapped_elements_are_seen),
        cmocka_unit_test (shifted_pieces_are_seen),
        cmocka_unit_test (missing_and_doubled_ranks_are_seen),
        cmocka_unit_test (torn_pieces_are_seen),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
