/* SPDX-License-Identifier: Apache-2.0 */
/* test_review.c - before members leave, what they did is compared */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct bed bed;

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
    drain (&bed, 2, false);
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
    assert_true (was_told (&bed, 2, "LEASE")); /* to end with its step: test_halt.c */
    reach (&bed, 2, 1, bed.review_step + 2, MU_PHASE_UNLEASED, MU_DUTY_NOBODY);
    say_beat (&bed, 2);
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

static const char *member (uint32_t rank) { return coord_member (bed.coord, 1, rank); }

/* w0 dies, and the two others end the generation in which w2 was to be compared. */
static void lose_one (void)
{
    bed.quiet[0] = true;
    pass (&bed, COORD_LOST_MS + BEAT_MS);
    bed.told[2][0] = '\0';
    aborted (&bed, 1, 6);
    aborted (&bed, 2, 6);
    for (uint32_t w = 1; w < WORKERS; w++)
        reach (&bed, w, 0, 6, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    pass (&bed, BEAT_MS);
}

/* ... however new it is: beats are older, and training goes on. */
static void nor_does_one_of_a_moment_ago (void **state)
{
    (void)state;
    running (&bed, 5);
    for (uint32_t at = 5; at <= 7; at++)
        for (uint32_t w = 0; w < WORKERS; w++)
            say_state (w, at, 7);
    drain (&bed, 2, false);
    for (uint32_t w = 0; w < 2; w++)
        connected (&bed, w);
    pass (&bed, BEAT_MS);
    assert_true (bed.review_step > 7);
    bed.told[2][0] = '\0';
    pass (&bed, BEAT_MS);
    assert_false (was_told (&bed, 2, "LEASE"));
    for (uint32_t w = 0; w < WORKERS; w++)
        say_state (w, bed.review_step + 1, 7);
    assert_true (was_told (&bed, 2, "LEASE"));
}

/* Nor where it breaks without having been asked. */
static void nor_if_it_breaks_then (void **state)
{
    (void)state;
    running (&bed, 5);
    for (uint32_t w = 0; w < WORKERS; w++)
        say_state (w, 6, 7);
    drain (&bed, 2, false);
    lose_one ();
    assert_string_equal (member (1), "w2");
}

static void nobody_waits_for_it_for_ever (void **state)
{
    (void)state;
    begin ();
    pass (&bed, COORD_REVIEW_MS + COORD_REVIEW_MS / 2);
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
    drain (&bed, 2, true);
    pass (&bed, COORD_REVIEW_MS + BEAT_MS);
    assert_false (was_told (&bed, 0, "ABORT"));
    bed.review_step = 0;
    drain (&bed, 2, false);
    assert_true (bed.review_step > 0); /* a new one, with a time of its own */
    assert_false (was_told (&bed, 0, "ABORT"));
}

static void all_ready (void)
{
    for (uint32_t w = 1; w < WORKERS; w++) {
        hear (&bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, bed.forms } });
        reach (&bed, w, bed.forms, 6, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    }
    pass (&bed, BEAT_MS);
}

/* What it did in the generation that broke goes with all sums, and nobody has looked at it. */
static void who_leaves_when_it_breaks_is_kept_for_the_next (void **state)
{
    (void)state;
    begin ();
    lose_one ();
    assert_int_equal (bed.forms, 2);
    assert_string_equal (member (1), "w2");
    assert_false (was_told (&bed, 2, "RELEASE"));
    bed.review_step = 0;
    all_ready ();
    assert_true (bed.review_step > 6);
}

static void also_if_it_is_told_to_leave_only_then (void **state)
{
    (void)state;
    running (&bed, 5);
    lose_one ();
    assert_int_equal (bed.forms, 2);
    drain (&bed, 2, false);
    assert_false (was_told (&bed, 2, "ABORT"));
    all_ready ();
    assert_true (bed.review_step > 6);
}

/* Nobody is compared in a generation that breaks, too. */
static void break_again (void)
{
    uint64_t generation = bed.forms;
    hear (&bed, 1,
          (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { .job = 1, .generation = generation } });
    aborted (&bed, 1, 7);
    aborted (&bed, 2, 7);
    for (uint32_t w = 1; w < WORKERS; w++)
        reach (&bed, w, 0, 7, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    pass (&bed, BEAT_MS);
}

static void it_is_kept_some_times (void **state)
{
    (void)state;
    begin ();
    lose_one ();
    all_ready ();
    for (uint32_t i = 1; i < COORD_KEPT_MAX; i++) {
        break_again ();
        assert_false (was_told (&bed, 2, "RELEASE"));
        all_ready ();
    }
    break_again ();
    assert_true (was_told (&bed, 2, "RELEASE"));
}

static void it_is_not_kept_for_long (void **state)
{
    (void)state;
    begin ();
    lose_one ();
    pass (&bed, COORD_REVIEW_MS);
    assert_true (was_told (&bed, 2, "ABORT"));
    assert_non_null (strstr (bed.reason, "w2 leaves"));
}

static void control (uint32_t verb)
{
    struct mu_wire wire = { .type = MU_WIRE_CONTROL,
                            .control = { .request = 1, .verb = verb, .job = "1" } };
    step (&bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
    pass (&bed, BEAT_MS);
}

static enum mu_job_state job_state (void)
{
    struct mu_wire_job_info info;
    assert_int_equal (coord_job_info (bed.coord, 1, &info), 0);
    for (int state = 0; state < MU_JOB_STATES; state++)
        if (!strcmp (info.state, mu_job_state_name (state)))
            return (enum mu_job_state)state;
    return MU_JOB_PENDING;
}

/* All leave then, and nobody has looked at what they did. */
static void a_pause_while_one_forms_waits_for_a_comparison (void **state)
{
    (void)state;
    running (&bed, 5);
    lose_one ();
    control (2);
    assert_int_equal (job_state (), MU_JOB_FORMING);
    all_ready ();
    assert_true (bed.review_step > 6);
    assert_int_equal (job_state (), MU_JOB_RUNNING);
}

static void but_not_for_long (void **state)
{
    (void)state;
    running (&bed, 5);
    lose_one ();
    control (2);
    pass (&bed, COORD_REVIEW_MS);
    assert_true (was_told (&bed, 2, "ABORT"));
    assert_non_null (strstr (bed.reason, "paused on request"));
}

/* Its writer may hang for minutes, and the state is not going away any more. */
static void who_resumes_it_does_not_wait_for_what_the_pause_saves (void **state)
{
    (void)state;
    running (&bed, 5);
    control (2);
    pass (&bed, 2 * COORD_REVIEW_MS); /* nobody is compared, nor ends a step */
    for (uint32_t w = 0; w < WORKERS; w++)
        aborted (&bed, w, 6);
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (&bed, w, 0, 6, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    assert_true (was_told (&bed, 0, "SAVE"));
    pass (&bed, 1000);
    assert_int_equal (bed.forms, 1);
    control (3);
    assert_int_equal (bed.forms, 2);
    assert_int_equal (job_state (), MU_JOB_FORMING);
    say_saved (&bed, 0, 1, 6); /* it comes all the same */
    assert_int_equal (committed (&bed), 6);
}

/* Who was compared before it broke is known to nobody. */
static void a_restart_in_the_middle_keeps_who_leaves (void **state)
{
    (void)state;
    begin ();
    hear (&bed, 0,
          (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { .job = 1, .generation = bed.forms } });
    assert_int_equal (job_state (), MU_JOB_BREAKING);
    restart (&bed);
    pass (&bed, BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++)
        aborted (&bed, w, 6);
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (&bed, w, 0, 6, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    pass (&bed, BEAT_MS);
    assert_int_equal (job_state (), MU_JOB_FORMING);
    assert_string_equal (member (2), "w2");
}

#define REVIEW_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        REVIEW_TEST (who_leaves_is_compared_first),
        REVIEW_TEST (who_is_wrong_is_found_before_it_leaves),
        REVIEW_TEST (an_older_comparison_does_not_do),
        REVIEW_TEST (nor_does_one_of_a_moment_ago),
        REVIEW_TEST (nor_if_it_breaks_then),
        REVIEW_TEST (nobody_waits_for_it_for_ever),
        REVIEW_TEST (a_step_that_went_by_is_followed_by_another),
        REVIEW_TEST (who_stays_after_all_is_not_waited_for),
        REVIEW_TEST (who_leaves_when_it_breaks_is_kept_for_the_next),
        REVIEW_TEST (also_if_it_is_told_to_leave_only_then),
        REVIEW_TEST (it_is_kept_some_times),
        REVIEW_TEST (it_is_not_kept_for_long),
        REVIEW_TEST (a_pause_while_one_forms_waits_for_a_comparison),
        REVIEW_TEST (but_not_for_long),
        REVIEW_TEST (who_resumes_it_does_not_wait_for_what_the_pause_saves),
        REVIEW_TEST (a_restart_in_the_middle_keeps_who_leaves),
    };
    return cmocka_run_group_tests_name ("review", tests, NULL, NULL);
}
