/* SPDX-License-Identifier: Apache-2.0 */
/* test_review.c - before members leave, what they did is compared */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct bed bed;

static void drain (uint32_t worker, bool undo)
{
    struct mu_wire wire = { .type = MU_WIRE_DRAIN, .drain = { .request = 1, .undo = undo } };
    snprintf (wire.drain.worker, sizeof wire.drain.worker, "w%u", worker);
    step (&bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
    pass (&bed, BEAT_MS);
}

static void say_state (uint32_t worker, uint64_t at, uint64_t digest)
{
    hear (
        &bed, worker,
        (struct mu_wire){ .type = MU_WIRE_DIGEST,
                          .digest = { .job = 1, .generation = 1, .step = at, .digest = digest } });
}

static void all_reach (uint64_t at)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (&bed, w, 1, at, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    pass (&bed, BEAT_MS);
}

/* Three workers train step 5, and the last one is to leave; the world without it is connected. */
static void begin (void)
{
    running (&bed, 5);
    drain (2, false);
    for (uint32_t w = 0; w < 2; w++)
        connected (&bed, w);
    pass (&bed, BEAT_MS);
}

static int end (void **state)
{
    (void)state;
    finish (&bed);
    return 0;
}

static void who_leaves_is_compared_first (void **state)
{
    (void)state;
    begin ();
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_true (was_told (&bed, w, "REVIEW"));
    assert_true (bed.review_step > 5);
    assert_false (was_told (&bed, 0, "ABORT"));
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_false (was_told (&bed, 0, "ABORT"));
        say_state (w, bed.review_step + 1, 7);
    }
    assert_true (was_told (&bed, 0, "ABORT"));
    assert_non_null (strstr (bed.reason, "w2 leaves"));
}

static void who_is_wrong_is_found_before_it_leaves (void **state)
{
    (void)state;
    begin ();
    for (uint32_t w = 0; w < WORKERS; w++)
        say_state (w, bed.review_step + 1, w == 2 ? 9 : 7);
    assert_true (was_told (&bed, 0, "ABORT"));
    assert_non_null (strstr (bed.reason, "worker w2 was wrong"));
}

/* A comparison of before it was told to leave says nothing about what it did since. */
static void an_older_comparison_does_not_do (void **state)
{
    (void)state;
    begin ();
    for (uint32_t w = 0; w < WORKERS; w++)
        say_state (w, 3, 7);
    pass (&bed, BEAT_MS);
    assert_false (was_told (&bed, 0, "ABORT"));
}

static void nobody_waits_for_it_for_ever (void **state)
{
    (void)state;
    begin ();
    pass (&bed, COORD_REVIEW_MS);
    assert_true (was_told (&bed, 0, "ABORT"));
    assert_non_null (strstr (bed.reason, "w2 leaves"));
}

static void a_step_that_went_by_is_followed_by_another (void **state)
{
    (void)state;
    begin ();
    uint64_t first = bed.review_step;
    all_reach (first + 1);
    pass (&bed, 4 * BEAT_MS);
    assert_int_equal (bed.review_step, first); /* the words about it may be on their way */
    all_reach (first + 2);
    pass (&bed, 4 * BEAT_MS);
    assert_true (bed.review_step > first + 2);
}

static void who_stays_after_all_is_not_waited_for (void **state)
{
    (void)state;
    begin ();
    drain (2, true);
    pass (&bed, COORD_REVIEW_MS + BEAT_MS);
    assert_false (was_told (&bed, 0, "ABORT"));
    bed.review_step = 0;
    drain (2, false);
    assert_true (bed.review_step > 0); /* a new one, with a time of its own */
    assert_false (was_told (&bed, 0, "ABORT"));
}

#define REVIEW_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        REVIEW_TEST (who_leaves_is_compared_first),
        REVIEW_TEST (who_is_wrong_is_found_before_it_leaves),
        REVIEW_TEST (an_older_comparison_does_not_do),
        REVIEW_TEST (nobody_waits_for_it_for_ever),
        REVIEW_TEST (a_step_that_went_by_is_followed_by_another),
        REVIEW_TEST (who_stays_after_all_is_not_waited_for),
    };
    return cmocka_run_group_tests_name ("review", tests, NULL, NULL);
}
