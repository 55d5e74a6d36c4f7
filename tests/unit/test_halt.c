/* SPDX-License-Identifier: Apache-2.0 */
/* test_halt.c - who leaves a generation ends with a whole step */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct bed bed;

static void forget (void)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.told[w][0] = '\0';
}

static void stands (uint32_t worker, uint64_t at)
{
    reach (&bed, worker, 1, at, MU_PHASE_UNLEASED, MU_DUTY_NOBODY);
    say_beat (&bed, worker);
}

/* These were compared, and the world without them is connected. */
static void all_is_ready (uint32_t first_leaver)
{
    for (uint32_t w = 0; w < first_leaver; w++)
        connected (&bed, w);
    for (uint32_t w = 0; w < WORKERS; w++)
        hear (&bed, w,
              (struct mu_wire){ .type = MU_WIRE_DIGEST,
                                .digest = { .job = 1, .generation = 1, .step = 9, .digest = 7 } });
}

static void begin (uint32_t first_leaver)
{
    running (&bed, 5);
    for (uint32_t w = first_leaver; w < WORKERS; w++)
        drain (&bed, w, false);
    forget ();
    all_is_ready (first_leaver);
}

static int end (void **state)
{
    (void)state;
    finish (&bed);
    return 0;
}

static void it_ends_its_step (void **state)
{
    (void)state;
    begin (2);
    assert_true (was_told (&bed, 2, "LEASE"));
    assert_true (bed.stops[2]);
    assert_false (was_told (&bed, 0, "LEASE"));
    assert_false (was_told (&bed, 0, "ABORT"));
    stands (2, 9);
    assert_true (was_told (&bed, 0, "ABORT"));
    assert_non_null (strstr (bed.reason, "w2 leaves"));
}

/* One may stand before a step that the other has begun, and cannot end without it. */
static void several_end_the_same_one (void **state)
{
    (void)state;
    begin (1);
    assert_true (was_told (&bed, 1, "LEASE") && was_told (&bed, 2, "LEASE"));
    forget ();
    stands (1, 9);
    assert_false (was_told (&bed, 0, "ABORT"));
    assert_true (was_told (&bed, 1, "LEASE") && was_told (&bed, 2, "LEASE"));
    assert_int_equal (bed.until[1], 10);
    assert_int_equal (bed.until[2], 10);
    stands (2, 10);
    assert_false (was_told (&bed, 0, "ABORT"));
    stands (1, 10);
    assert_true (was_told (&bed, 0, "ABORT"));
}

static void a_lost_word_is_said_again (void **state)
{
    (void)state;
    begin (2);
    forget ();
    pass (&bed, COORD_REPEAT_MS + BEAT_MS);
    assert_true (was_told (&bed, 2, "LEASE"));
    assert_false (was_told (&bed, 0, "ABORT"));
}

static void nobody_waits_for_it_for_ever (void **state)
{
    (void)state;
    begin (2);
    pass (&bed, COORD_REVIEW_MS / 2);
    assert_true (was_told (&bed, 0, "ABORT"));
}

static void who_stays_after_all_goes_on (void **state)
{
    (void)state;
    begin (1);
    stands (1, 9);
    drain (&bed, 2, true);
    assert_false (was_told (&bed, 0, "ABORT")); /* the other leaves, and is to make one more */
    forget ();
    drain (&bed, 1, true);
    assert_true (was_told (&bed, 1, "LEASE"));
    assert_false (bed.stops[1]);
    assert_false (bed.stops[2]);
    assert_int_equal (bed.until[1], bed.leased);
    pass (&bed, COORD_REVIEW_MS);
    assert_false (was_told (&bed, 0, "ABORT"));
}

/* The next reign knows nothing of it, and others wait for a step of the one that stands. */
static void after_a_restart_it_goes_on (void **state)
{
    (void)state;
    begin (1);
    stands (1, 9);
    restart (&bed);
    forget ();
    say_beat (&bed, 1);
    assert_true (was_told (&bed, 1, "LEASE"));
    assert_false (bed.stops[1]);
    assert_false (was_told (&bed, 0, "ABORT"));
}

static void stands_in (uint64_t generation, uint32_t worker, uint64_t at)
{
    reach (&bed, worker, generation, at, MU_PHASE_UNLEASED, MU_DUTY_NOBODY);
    say_beat (&bed, worker);
}

/* w2 is lost, the two others go on, and it comes back. */
static void begin_a_join (void)
{
    running (&bed, 5);
    bed.quiet[2] = true;
    pass (&bed, COORD_LOST_MS + BEAT_MS);
    for (uint32_t w = 0; w < 2; w++) {
        aborted (&bed, w, 6);
        reach (&bed, w, 0, 6, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    }
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 2);
    for (uint32_t w = 0; w < 2; w++) {
        hear (&bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, 2 } });
        reach (&bed, w, 2, 7, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    }
    bed.quiet[2] = false;
    start_anew (&bed, 2, 2);
    pass (&bed, 500);
    assert_true (was_told (&bed, 2, "ASSIGN-TO-JOIN"));
    forget ();
    prepared_with (&bed, 2, (struct mu_wire_prepared){ .digest = "d", .blank = true });
    for (uint32_t w = 0; w < WORKERS; w++)
        connected (&bed, w);
}

/* One that stood a step behind would be given another's state, and nobody would know if that is wrong. */
static void all_end_a_step_where_one_joins (void **state)
{
    (void)state;
    begin_a_join ();
    assert_true (bed.stops[0] && bed.stops[1]);
    assert_false (was_told (&bed, 0, "ABORT"));
    stands_in (2, 0, 8);
    assert_false (was_told (&bed, 0, "ABORT"));
    assert_int_equal (bed.until[1], 9);
    stands_in (2, 0, 9);
    stands_in (2, 1, 9);
    assert_true (was_told (&bed, 0, "ABORT"));
    assert_non_null (strstr (bed.reason, "w2 joins"));
}

static void they_go_on_if_it_does_not_join (void **state)
{
    (void)state;
    begin_a_join ();
    stands_in (2, 0, 8);
    drain (&bed, 2, false);
    pass (&bed, BEAT_MS);
    assert_false (bed.stops[0] || bed.stops[1]);
    assert_int_equal (bed.until[0], bed.leased);
    assert_false (was_told (&bed, 0, "ABORT"));
}

#define HALT_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        HALT_TEST (it_ends_its_step),
        HALT_TEST (all_end_a_step_where_one_joins),
        HALT_TEST (they_go_on_if_it_does_not_join),
        HALT_TEST (several_end_the_same_one),
        HALT_TEST (a_lost_word_is_said_again),
        HALT_TEST (nobody_waits_for_it_for_ever),
        HALT_TEST (who_stays_after_all_goes_on),
        HALT_TEST (after_a_restart_it_goes_on),
    };
    return cmocka_run_group_tests_name ("halt", tests, NULL, NULL);
}
