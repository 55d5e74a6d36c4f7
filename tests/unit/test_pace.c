/* SPDX-License-Identifier: Apache-2.0 */
/* test_pace.c - shares follow speed: what is measured, how it is shared out */
#include "coordinator/pace.h"
#include "coordinator/shards.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { RANKS = 4, MICRO_BATCHES = 16 };

static struct {
    struct coord *coord;
    struct job job;
    struct worker worker[RANKS], *member[RANKS];
    uint64_t step[RANKS]; /* the newest that each told */
    uint64_t late_us[RANKS];
    uint8_t map[2 * MICRO_BATCHES];
} bed;

static int begin (void **state)
{
    (void)state;
    struct coord_options options = { .version = "test" };
    memset (&bed, 0, sizeof bed);
    bed.coord = coord_create (&options);
    bed.job.durable.micro_batches = MICRO_BATCHES;
    bed.job.durable.generation.number = 1;
    bed.job.durable.generation.size = RANKS;
    bed.job.durable.generation.map = bed.map;
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        bed.member[rank] = &bed.worker[rank];
        bed.worker[rank] = (struct worker){ .job = &bed.job, .rank = rank, .threads = 1 };
    }
    shards_map (bed.coord, &bed.job.durable, bed.map, bed.member, RANKS, 0);
    return 0;
}

static int end (void **state)
{
    (void)state;
    coord_destroy (&bed.coord);
    return 0;
}

/* Beats of so many steps, each micro-batch of which takes a thread so long. */
static void compute (uint32_t rank, uint64_t steps, uint64_t cost_us)
{
    uint32_t share = 0;
    for (uint32_t m = 0; m < MICRO_BATCHES; m++)
        share += shards_rank (bed.map, m) == rank;
    for (uint64_t i = 0; i < steps; i++) {
        struct mu_wire_beat beat = { .step = ++bed.step[rank], .busy_us = cost_us * share };
        pace_hear (&bed.worker[rank], &beat);
    }
}

static void assert_shares (uint32_t micro_batches, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t shares[RANKS], expected[RANKS] = { a, b, c, d };
    pace_shares (bed.coord, bed.member, RANKS, micro_batches, bed.late_us, shares);
    for (uint32_t rank = 0; rank < RANKS; rank++)
        if (shares[rank] != expected[rank])
            fail_msg ("rank %u gets %u, not %u", rank, shares[rank], expected[rank]);
}

static void strangers_share_evenly (void **state)
{
    (void)state;
    assert_shares (16, 4, 4, 4, 4);
    assert_shares (18, 5, 5, 4, 4);
    assert_shares (3, 1, 1, 1, 0);
    assert_shares (0, 0, 0, 0, 0);
}

static void threads_count (void **state)
{
    (void)state;
    bed.worker[2].threads = 5;
    assert_shares (16, 2, 2, 10, 2); /* two rounds each */
    assert_shares (24, 3, 3, 15, 3);
    bed.worker[2].threads = 13;
    assert_shares (16, 1, 1, 13, 1);
}

static void the_slow_one_gets_less (void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank < RANKS; rank++)
        compute (rank, 20, rank == 1 ? 3000000 : 1000000);
    assert_int_equal (bed.worker[0].pace.cost_us, 1000000);
    assert_int_equal (bed.worker[1].pace.cost_us, 3000000);
    assert_shares (16, 5, 1, 5, 5);
    assert_shares (20, 6, 2, 6, 6);
    assert_shares (4, 1, 1, 1, 1); /* nobody goes without, or it would never be measured again */
}

static void who_comes_late_gets_less (void **state)
{
    (void)state;
    bed.late_us[3] = 2500000;
    assert_shares (16, 4, 4, 4, 4); /* nobody knows how much later that is */
    for (uint32_t rank = 0; rank < RANKS; rank++)
        compute (rank, 20, 1000000);
    assert_shares (16, 5, 5, 4, 2);
    bed.late_us[3] = 60000000;
    assert_shares (16, 6, 5, 5, 0);
    for (uint32_t rank = 0; rank < RANKS; rank++)
        bed.late_us[rank] = 60000000;
    assert_shares (4, 1, 1, 1, 1);
}

static void noise_moves_nothing (void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank < RANKS; rank++)
        compute (rank, 20, 1000000 + 30000 * rank);
    assert_shares (18, 5, 5, 4, 4);
}

static void who_was_not_measured_is_average (void **state)
{
    (void)state;
    compute (0, 20, 2000000);
    compute (1, 20, 2000000);
    compute (2, 20, 8000000);
    assert_shares (16, 5, 5, 1, 5);
}

static void the_first_step_and_other_generations_do_not_count (void **state)
{
    (void)state;
    compute (0, 1, 99000000); /* of it, anything may have been there already */
    compute (0, 20, 1000000);
    assert_int_equal (bed.worker[0].pace.cost_us, 1000000);
    compute (0, 2, 7000000);
    bed.job.durable.generation.number = 2;
    bed.job.durable.generation.step = bed.step[0];
    compute (0, 1, 0);
    compute (0, 20, 1000000);
    assert_int_equal (bed.worker[0].pace.cost_us, 1000000);
}

static void what_was_slow_may_become_fast (void **state)
{
    (void)state;
    compute (0, 20, 64000000);
    for (int i = 0; i < 12; i++)
        compute (0, 5, 1000000);
    assert_in_range (bed.worker[0].pace.cost_us, 1000000, 1100000);
}

#define PACE_TEST(test) cmocka_unit_test_setup_teardown (test, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        PACE_TEST (strangers_share_evenly),
        PACE_TEST (threads_count),
        PACE_TEST (the_slow_one_gets_less),
        PACE_TEST (who_comes_late_gets_less),
        PACE_TEST (noise_moves_nothing),
        PACE_TEST (who_was_not_measured_is_average),
        PACE_TEST (the_first_step_and_other_generations_do_not_count),
        PACE_TEST (what_was_slow_may_become_fast),
    };
    return cmocka_run_group_tests_name ("pace", tests, NULL, NULL);
}
