/* SPDX-License-Identifier: Apache-2.0 */
/* test_restart.c - who is waited for after a restart of the coordinator, and for how long */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct bed bed;

static int end (void **state)
{
    (void)state;
    finish (&bed);
    return 0;
}

/* The first so many come back at once. */
static void begin (uint32_t back)
{
    running (&bed, 5);
    for (uint32_t w = back; w < WORKERS; w++)
        bed.quiet[w] = true;
    restart (&bed);
}

static void come (uint32_t worker)
{
    bed.quiet[worker] = false;
    hello (&bed, worker);
}

static void break_of (uint32_t worker)
{
    hear (&bed, worker,
          (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { .job = 1, .generation = bed.forms } });
    assert_int_equal (bed.broken, 1);
}

static void stop (uint32_t worker)
{
    assert_true (was_told (&bed, worker, "ABORT"));
    aborted (&bed, worker, 6);
    reach (&bed, worker, 0, 6, MU_PHASE_WAITING, MU_DUTY_NOBODY);
}

static void a_generation_that_trains_has_the_whole_grace (void **state)
{
    (void)state;
    begin (2);
    pass (&bed, COORD_RESTART_GRACE_MS - BEAT_MS);
    assert_int_equal (bed.broken, 0);
    pass (&bed, 2 * BEAT_MS); /* the first of them counts as a stall */
    assert_int_equal (bed.broken, 1);
    assert_non_null (strstr (bed.reason, "did not come back"));
}

static void one_that_is_over_is_not_held_up (void **state)
{
    (void)state;
    begin (2);
    break_of (0);
    stop (0);
    stop (1);
    pass (&bed, COORD_COME_MS - BEAT_MS);
    assert_int_equal (bed.forms, 1);
    pass (&bed, 2 * BEAT_MS);
    assert_int_equal (bed.forms, 2);
    assert_null (coord_member (bed.coord, 1, 2));
}

static void the_last_that_comes_counts (void **state)
{
    (void)state;
    begin (1);
    break_of (0);
    stop (0);
    pass (&bed, COORD_COME_MS - BEAT_MS);
    come (1);
    stop (1);
    pass (&bed, COORD_COME_MS - BEAT_MS);
    come (2);
    stop (2);
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 2);
    assert_non_null (coord_member (bed.coord, 1, 2));
}

/* It was stopped itself, and nobody could come meanwhile. */
static void a_pause_of_its_own_is_not_theirs (void **state)
{
    (void)state;
    begin (2);
    break_of (0);
    stop (0);
    stop (1);
    pass (&bed, BEAT_MS);
    bed.now_ms += COORD_COME_MS;
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 1);
    pass (&bed, COORD_COME_MS);
    assert_int_equal (bed.forms, 2);
}

static void nobody_is_missed_where_none_has_come (void **state)
{
    (void)state;
    running (&bed, 5);
    break_of (0);
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.quiet[w] = true;
    restart (&bed);
    pass (&bed, COORD_RESTART_GRACE_MS - BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++) {
        come (w);
        stop (w);
    }
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 2);
    assert_non_null (coord_member (bed.coord, 1, 2));
}

#define RESTART_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        RESTART_TEST (a_generation_that_trains_has_the_whole_grace),
        RESTART_TEST (one_that_is_over_is_not_held_up),
        RESTART_TEST (the_last_that_comes_counts),
        RESTART_TEST (a_pause_of_its_own_is_not_theirs),
        RESTART_TEST (nobody_is_missed_where_none_has_come),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
