/* SPDX-License-Identifier: Apache-2.0 */
/* test_weave.c - streams hashed side by side have the hashes that libsodium gives each of them */
#include "common/error.h"
#include "worker/checkpoint/lanes.h"
#include "worker/checkpoint/weave.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY = 1 << 20, STREAMS_MAX = 64 };

static uint8_t memory[MEMORY];

static void fill_memory (void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < MEMORY; i++) {
        state = state * UINT64_C (6364136223846793005) + 1442695040888963407;
        memory[i] = (uint8_t)(state >> 56);
    }
}

static void assert_hash (const uint8_t *hash, const uint8_t *bytes, size_t size)
{
    uint8_t right[MU_LANES_HASH];
    crypto_generichash (right, sizeof right, bytes, size, NULL, 0);
    assert_memory_equal (hash, right, sizeof right);
}

/* --- lanes ------------------------------------------------------------------------------------ */

/* What is left of a stream for mu_lanes_end (). */
static size_t last_of (size_t size) { return size ? (size - 1) % MU_LANES_BLOCK + 1 : 0; }

static void each_length_alone (void **unused)
{
    (void)unused;
    for (size_t size = 0; size <= 5 * MU_LANES_BLOCK + 1; size++)
        for (uint32_t lane = 0; lane < MU_LANES; lane++) {
            struct mu_lanes lanes;
            uint8_t hash[MU_LANES_HASH];
            const uint8_t *from[MU_LANES] = { NULL };
            size_t last = last_of (size);
            from[lane] = memory;
            mu_lanes_begin (&lanes, lane);
            mu_lanes_feed (&lanes, from, (size - last) / MU_LANES_BLOCK);
            mu_lanes_end (&lanes, lane, memory + size - last, last, hash);
            assert_hash (hash, memory, size);
        }
}

/* All sets of lanes that are busy; the others must stay as they are. */
static void lanes_side_by_side (void **unused)
{
    (void)unused;
    for (uint32_t busy = 1; busy < 16; busy++) {
        struct mu_lanes lanes;
        uint8_t hash[MU_LANES_HASH];
        const uint8_t *first[MU_LANES], *second[MU_LANES];
        for (uint32_t lane = 0; lane < MU_LANES; lane++) {
            first[lane] = memory + 1000 * lane + 1;
            second[lane] = busy >> lane & 1 ? first[lane] + 3 * MU_LANES_BLOCK : NULL;
            mu_lanes_begin (&lanes, lane);
        }
        mu_lanes_feed (&lanes, first, 3);
        mu_lanes_feed (&lanes, second, 2);
        for (uint32_t lane = 0; lane < MU_LANES; lane++) {
            size_t fed = MU_LANES_BLOCK * (second[lane] ? 5 : 3);
            mu_lanes_end (&lanes, lane, first[lane] + fed, 7 + lane, hash);
            assert_hash (hash, first[lane], fed + 7 + lane);
        }
    }
}

/* --- weaves ----------------------------------------------------------------------------------- */

struct cloth {
    size_t from[STREAMS_MAX], size[STREAMS_MAX];
    uint8_t hash[STREAMS_MAX][MU_LANES_HASH];
    _Atomic uint32_t done;
    uint32_t fails; /* this stream's bytes cannot be had; or its hash is not wanted */
    bool at_the_end;
};

static int give (void *about, uint32_t number, const unsigned char **bytes, uint64_t *size,
                 struct mu_error *error)
{
    struct cloth *cloth = about;
    if (number == cloth->fails && !cloth->at_the_end)
        return mu_fail (error, MU_IO, "no bytes");
    *bytes = memory + cloth->from[number];
    *size = cloth->size[number];
    return 0;
}

static int done (void *about, uint32_t number, const uint8_t hash[MU_STORAGE_HASH_SIZE],
                 struct mu_error *error)
{
    struct cloth *cloth = about;
    if (number == cloth->fails)
        return mu_fail (error, MU_IO, "no hash");
    memcpy (cloth->hash[number], hash, MU_LANES_HASH);
    atomic_fetch_add (&cloth->done, 1);
    return 0;
}

static const size_t sizes[] = { 0,     1,     127,   128,    129,    255,    256,    257,
                                65535, 65536, 65537, 131072, 131073, 200000, 500000, 1 };
enum { SIZES = sizeof sizes / sizeof *sizes };

static void lay_out (struct cloth *cloth, uint32_t streams)
{
    *cloth = (struct cloth){ .fails = UINT32_MAX };
    for (uint32_t i = 0; i < streams; i++) {
        cloth->size[i] = sizes[(i * 7 + streams) % SIZES];
        cloth->from[i] = (i * 4099) % (MEMORY - cloth->size[i]);
    }
}

static void any_number_of_streams_and_hands (void **unused)
{
    (void)unused;
    struct mu_weave weave = { .begin = give, .done = done };
    for (weave.streams = 0; weave.streams < STREAMS_MAX; weave.streams++)
        for (uint32_t hands = 0; hands < 4; hands++) {
            struct cloth cloth;
            lay_out (&cloth, weave.streams);
            assert_int_equal (mu_weave_run (&weave, &cloth, hands, NULL), 0);
            assert_int_equal (cloth.done, weave.streams);
            for (uint32_t i = 0; i < weave.streams; i++)
                assert_hash (cloth.hash[i], memory + cloth.from[i], cloth.size[i]);
        }
}

static void what_fails_ends_it (void **unused)
{
    (void)unused;
    const struct mu_weave weave = { STREAMS_MAX, give, done };
    for (uint32_t hands = 1; hands < 4; hands++)
        for (uint32_t which = 0; which < 2 * STREAMS_MAX; which++) {
            struct cloth cloth;
            struct mu_error error;
            lay_out (&cloth, STREAMS_MAX);
            cloth.fails = which / 2;
            cloth.at_the_end = which % 2;
            assert_int_equal (mu_weave_run (&weave, &cloth, hands, &error), -1);
            assert_string_equal (error.text, cloth.at_the_end ? "no hash" : "no bytes");
            assert_true (cloth.done < STREAMS_MAX);
        }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (each_length_alone),
        cmocka_unit_test (lanes_side_by_side),
        cmocka_unit_test (any_number_of_streams_and_hands),
        cmocka_unit_test (what_fails_ends_it),
    };
    if (sodium_init () < 0)
        return 1;
    fill_memory ();
    return cmocka_run_group_tests (tests, NULL, NULL);
}
