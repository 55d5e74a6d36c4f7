/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease.c - leases reach as far as promised and never run out for good: the coordinator's core alone */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WINDOW      16u
#define FIRST_LEASE (2 * WINDOW)             /* where nothing speaks for more */
#define LARGE       UINT64_C (1000000000000) /* numbers of a model whose step takes a minute at least */

static void running_large (struct bed *bed, uint64_t at)
{
    opening (bed, 1);
    bed->parameters = LARGE;
    form (bed);
    train (bed, at);
}

static void all_unleased (struct bed *bed, uint64_t at)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (bed, w, 1, at, MU_PHASE_UNLEASED, MU_DUTY_NOBODY);
}

/* All that was leased is trained and stored when the coordinator dies. What its successor knows is
 * then where everybody stands already: no beat will ever tell a later step. */
static void a_restart_when_all_is_trained (void **state)
{
    (void)state;
    struct bed bed;
    running_large (&bed, 0);
    for (uint32_t w = 0; w < WORKERS; w++)
        hear (&bed, w,
              (struct mu_wire){ .type = MU_WIRE_TRAINED,
                                .trained = { .job = 1, .generation = 1, .windows = 2 } });
    struct mu_wire saved = { .type = MU_WIRE_SAVED,
                             .saved = { .job = 1,
                                        .generation = 1,
                                        .step = FIRST_LEASE,
                                        .path = { "/c", 2 },
                                        .weights_hash = "h" } };
    hear (&bed, 0, saved);
    all_unleased (&bed, FIRST_LEASE);
    restart (&bed);
    pass (&bed, 2 * BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_true (was_told (&bed, w, "LEASE"));
    assert_int_equal (bed.broken, 0);
    finish (&bed);
}

/* LEASE was stored and not heard: it is said again, and no more is leased for that. */
static void a_restart_before_lease_was_heard (void **state)
{
    (void)state;
    struct bed bed;
    running_large (&bed, 24); /* it was renewed */
    all_unleased (&bed, FIRST_LEASE);
    restart (&bed);
    unsigned stored = bed.stored;
    all_unleased (&bed, 25);
    pass (&bed, BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_true (was_told (&bed, w, "LEASE"));
    assert_int_equal (bed.stored, stored);
    finish (&bed);
}

/* It still has work, and who would say LEASE when it needs it may be gone by then. */
static void who_comes_back_is_told_at_once (void **state)
{
    (void)state;
    struct bed bed;
    running_large (&bed, 24);
    restart (&bed);
    unsigned stored = bed.stored;
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_true (was_told (&bed, w, "LEASE"));
        assert_int_equal (bed.until[w], bed.leased);
        assert_false (bed.stops[w]);
    }
    assert_true (bed.leased > FIRST_LEASE);
    assert_int_equal (bed.stored, stored);
    finish (&bed);
}

/* Beats of different times come at once: what lies between them is no pace. */
static void the_first_beats_after_a_restart_are_no_pace (void **state)
{
    (void)state;
    struct bed bed;
    running_large (&bed, 24);
    restart (&bed);
    uint64_t leased = bed.leased;
    for (uint32_t w = 0; w < WORKERS; w++) {
        bed.now_ms++;
        reach (&bed, w, 1, 30 + w, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
        say_beat (&bed, w);
    }
    assert_int_equal (bed.leased, leased);
    for (uint64_t at = 40; at < leased; at += 10) {
        for (uint32_t w = 0; w < WORKERS; w++)
            reach (&bed, w, 1, at, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
        pass (&bed, BEAT_MS);
    }
    assert_true (bed.leased > leased); /* ten steps a beat, and it is renewed in time */
    assert_true (bed.leased < leased + 20 * COORD_LEASE_AHEAD_MS / BEAT_MS);
    finish (&bed);
}

/* Nothing was measured yet, and the coordinator may die before it is. */
static void a_first_lease_lasts (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    assert_true (bed.leased >= COORD_LEASE_AHEAD_MS); /* steps of a millisecond */
    assert_true (bed.leased < COORD_LEASE_AHEAD_MS + WINDOW);
    finish (&bed);
}

/* A model's size says how long its steps take at least: what a lease is for is minutes, not weeks. */
static void a_large_model_is_leased_less (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    bed.parameters = LARGE;
    form (&bed);
    assert_int_equal (bed.leased, FIRST_LEASE);
    finish (&bed);
}

static void the_first_step_extends_it (void **state)
{
    (void)state;
    struct bed bed;
    running_large (&bed, 0);
    assert_int_equal (bed.leased, FIRST_LEASE);
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (&bed, w, 1, 1, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    pass (&bed, BEAT_MS); /* half a second after GO */
    assert_true (bed.leased >= 2 * COORD_LEASE_AHEAD_MS / 1000);
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_true (was_told (&bed, w, "LEASE"));
    finish (&bed);
}

/* As many steps as were seen to be done in that time; then a generation follows. */
static void the_next_generation_knows_the_pace (void **state)
{
    (void)state;
    struct bed bed;
    running_large (&bed, 40);
    hear (&bed, 0, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { .job = 1, .generation = 1 } });
    for (uint32_t w = 0; w < WORKERS; w++)
        aborted (&bed, w, 40);
    pass (&bed, 1000);
    assert_int_equal (bed.forms, 2);
    uint64_t steps = bed.leased - 40, fair = COORD_LEASE_AHEAD_MS / BEAT_MS;
    assert_true (steps > fair / 2 && steps < 2 * fair);
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_first_lease_lasts),
        cmocka_unit_test (a_large_model_is_leased_less),
        cmocka_unit_test (the_first_step_extends_it),
        cmocka_unit_test (the_next_generation_knows_the_pace),
        cmocka_unit_test (a_restart_when_all_is_trained),
        cmocka_unit_test (a_restart_before_lease_was_heard),
        cmocka_unit_test (who_comes_back_is_told_at_once),
        cmocka_unit_test (the_first_beats_after_a_restart_are_no_pace),
    };
    return cmocka_run_group_tests_name ("lease", tests, NULL, NULL);
}
