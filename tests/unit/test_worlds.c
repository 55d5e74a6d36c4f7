/* SPDX-License-Identifier: Apache-2.0 */
/* test_worlds.c - why any number of workers make the same state */
#include "world_bed.h"

#include <string.h>

/* Run as the only rank and as many: one digest, and this one. */
static void compare_worlds (enum mu_sums_form form, bool spiky, const char *expected)
{
    static const uint32_t sizes[] = { 1, 2, 3, 5, 8 };
    uint8_t alone[MU_STATE_HASH_SIZE], digest[MU_STATE_HASH_SIZE];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct world world = { .ranks = sizes[i],
                                   .seed = seed * 1000 + i,
                                   .form = form,
                                   .spiky = spiky,
                                   .bad_step = -1 };
            struct mu_update update;
            assert_int_equal (world_run (&world, 40, &update, NULL), 0);
            mu_state_digest (world.state[0], i + seed == 0 ? alone : digest);
            if (i + seed > 0)
                assert_memory_equal (alone, digest, sizeof digest);
            assert_true (spiky ? world.redone > 5 : world.redone < 5);
            world_end (&world);
        }
    char text[MU_STATE_HASH_TEXT];
    mu_state_hash_text (alone, text);
    assert_string_equal (text, expected);
}

static void any_number_of_ranks_makes_the_same_state (void **unused)
{
    (void)unused;
    compare_worlds (MU_SUMS_INT32, false,
                    "bbe73d7573b60e6284cc0b1a90bec6d4e1bf89a04e2660e7e5f1fc378fb24d3a");
    compare_worlds (MU_SUMS_INT64, false,
                    "c5806b9a1ac65e40cb3f53f9b4b25fa6d340bce561cfa2e29e4278d5a72f059a");
}

static void so_it_does_when_scales_must_fall_again_and_again (void **unused)
{
    (void)unused;
    compare_worlds (MU_SUMS_INT32, true,
                    "178d822c34c081d7059a406e97595785df27c6cdf970be52d8a59e423c06fd14");
    compare_worlds (MU_SUMS_INT64, true,
                    "0ed7deb821c9a09bafd205d5db93bafb741a1330d6148985eea0da023d0b3893");
}

static void nan_in_one_micro_batch_fails_the_job_by_name (void **unused)
{
    (void)unused;
    for (uint32_t ranks = 1; ranks <= 5; ranks += 2) {
        struct world world = { .ranks = ranks,
                               .seed = ranks,
                               .form = MU_SUMS_INT32,
                               .bad_step = 7,
                               .bad_micro_batch = 3,
                               .policy = MU_NON_FINITE_FAIL };
        struct mu_update update;
        struct mu_error error;
        assert_int_equal (world_run (&world, 40, &update, &error), -1);
        assert_int_equal (update.verdict.decision, MU_NON_FINITE);
        assert_int_equal (update.verdict.micro_batch, 3);
        assert_int_equal (update.verdict.tensor, 4);
        assert_int_equal (world.state[0]->step, 7);
        assert_int_equal (error.code, MU_FAILED);
        assert_non_null (strstr (error.text, "gradient of micro-batch 3 at step 7"));
        world_end (&world);
    }
}

static void or_the_step_is_skipped_on_every_rank (void **unused)
{
    (void)unused;
    struct world before = { .ranks = 1, .form = MU_SUMS_INT32, .bad_step = -1 };
    struct world world = { .ranks = 3,
                           .form = MU_SUMS_INT32,
                           .bad_step = 7,
                           .bad_micro_batch = 11,
                           .policy = MU_NON_FINITE_SKIP };
    struct mu_update update;
    assert_int_equal (world_run (&before, 7, &update, NULL), 0);
    assert_int_equal (world_run (&world, 8, &update, NULL), 0);
    assert_int_equal (world.state[0]->step, 8);
    assert_int_equal (world.state[0]->skipped, 1);
    size_t from = before.state[0]->weights_at;
    assert_memory_equal ((char *)world.state[0] + from, (char *)before.state[0] + from,
                         before.state[0]->bytes - from);
    assert_true (world.state[0]->beta1_power == before.state[0]->beta1_power);
    world_end (&before);
    world_end (&world);
}

/* Left out of some steps, on any rank, in any order: one state, and not that of the whole. */
static void what_is_left_out_is_left_out_everywhere (void **unused)
{
    (void)unused;
    static const uint32_t sizes[] = { 1, 2, 3, 5 };
    uint8_t whole[MU_STATE_HASH_SIZE], alone[MU_STATE_HASH_SIZE], digest[MU_STATE_HASH_SIZE];
    for (enum mu_sums_form form = MU_SUMS_INT32; form <= MU_SUMS_INT64; form += 4) {
        struct mu_update update;
        struct world plain = { .ranks = 1, .form = form, .bad_step = -1 };
        assert_int_equal (world_run (&plain, 12, &update, NULL), 0);
        mu_state_digest (plain.state[0], whole);
        world_end (&plain);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct world world = { .ranks = sizes[i],
                                   .seed = i,
                                   .form = form,
                                   .bad_step = -1,
                                   .skips = 1u << 3 | 1u << 7 };
            assert_int_equal (world_run (&world, 12, &update, NULL), 0);
            assert_int_equal (update.verdict.skipped, 2);
            assert_int_equal (world.state[0]->skipped, 0);
            mu_state_digest (world.state[0], i ? digest : alone);
            assert_true (!i || !memcmp (alone, digest, sizeof digest));
            world_end (&world);
        }
        assert_true (memcmp (whole, alone, sizeof alone) != 0);
    }
}

/* A step with nothing left is done and changes nothing. */
static void a_step_of_nothing_counts_as_done (void **unused)
{
    (void)unused;
    struct mu_update update;
    struct world before = { .ranks = 1, .form = MU_SUMS_INT32, .bad_step = -1 };
    struct world world = { .ranks = 3, .form = MU_SUMS_INT32, .bad_step = -1, .skips = UINT32_MAX };
    assert_int_equal (world_run (&before, 2, &update, NULL), 0);
    assert_int_equal (world_run (&world, 3, &update, NULL), 0);
    assert_int_equal (update.verdict.decision, MU_ALL_SKIPPED);
    assert_int_equal (world.state[0]->step, 3);
    assert_int_equal (world.state[0]->skipped, 1);
    size_t from = before.state[0]->weights_at;
    assert_memory_equal ((char *)world.state[0] + from, (char *)before.state[0] + from,
                         before.state[0]->bytes - from);
    assert_true (world.state[0]->beta1_power == before.state[0]->beta1_power);
    world_end (&before);
    world_end (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (any_number_of_ranks_makes_the_same_state),
        cmocka_unit_test (so_it_does_when_scales_must_fall_again_and_again),
        cmocka_unit_test (nan_in_one_micro_batch_fails_the_job_by_name),
        cmocka_unit_test (or_the_step_is_skipped_on_every_rank),
        cmocka_unit_test (what_is_left_out_is_left_out_everywhere),
        cmocka_unit_test (a_step_of_nothing_counts_as_done),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}