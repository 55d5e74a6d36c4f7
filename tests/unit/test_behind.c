/* SPDX-License-Identifier: Apache-2.0 */
/* test_behind.c - who stands one update behind the others when a generation ends is given its sums, not a state */
#include "tests/unit/job_bed.h"

#include "coordinator/core.h"

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

static const struct generation *now (void) { return &core_job (bed.coord, 1)->durable.generation; }

static void left (uint32_t worker, uint64_t step, uint32_t attempt, uint32_t made_of)
{
    hear (&bed, worker,
          (struct mu_wire){ .type = MU_WIRE_ABORTED,
                            .aborted = { .job = 1,
                                         .generation = now ()->number,
                                         .step = step,
                                         .attempt = attempt,
                                         .made_of = made_of,
                                         .kept = { "\0", 1 } } });
}

static void falls_apart (uint32_t worker)
{
    hear (&bed, worker,
          (struct mu_wire){
              .type = MU_WIRE_DOWN,
              .down = { .job = 1, .generation = now ()->number, .text = "its collective fell" } });
}

/* Generation 1 trains, and breaks. */
static void breaks (void)
{
    running (&bed, 5);
    falls_apart (1);
}

static uint32_t count_echoes (void)
{
    uint32_t count = 0;
    for (uint32_t rank = 0; rank < now ()->size; rank++)
        count += now ()->members[rank].echo;
    return count;
}

static void expect (uint64_t step, uint32_t attempt, uint32_t made_of, uint32_t echoes)
{
    assert_int_equal (now ()->number, 2);
    assert_int_equal (now ()->step, step);
    assert_int_equal (now ()->attempt, attempt);
    assert_int_equal (now ()->made_of, made_of);
    assert_true (now ()->transfer);
    assert_int_equal (count_echoes (), echoes);
}

static void it_is_given_the_sums (void **state)
{
    (void)state;
    breaks ();
    left (0, 6, 0, 1);
    left (1, 5, 0, 1); /* of what led to step 5, which nobody needs */
    left (2, 5, 0, 1);
    expect (6, 0, 1, 0);
}

static void of_the_try_that_they_are_of (void **state)
{
    (void)state;
    breaks ();
    left (0, 6, 0, 3);
    left (1, 5, 2, 2);
    left (2, 6, 0, 3);
    expect (6, 0, 3, 0);
}

/* Its scales were lowered, and that is all. */
static void an_update_may_lead_to_another_try (void **state)
{
    (void)state;
    breaks ();
    left (0, 5, 1, 1);
    left (1, 5, 0, 1);
    left (2, 5, 1, 1);
    expect (5, 1, 1, 0);
}

static void who_has_no_sums_gives_its_state (void **state)
{
    (void)state;
    breaks ();
    left (0, 6, 0, 0);
    left (1, 5, 0, 1);
    left (2, 5, 0, 1);
    expect (6, 0, 0, 2);
}

static void sums_of_another_try_are_of_no_use (void **state)
{
    (void)state;
    breaks ();
    left (0, 6, 0, 2);
    left (1, 5, 0, 0);
    left (2, 6, 0, 2);
    expect (6, 0, 0, 1);
}

static void who_is_further_behind_gets_the_state (void **state)
{
    (void)state;
    breaks ();
    left (0, 6, 0, 1);
    left (1, 5, 0, 1);
    left (2, 4, 0, 1);
    expect (6, 0, 1, 1);
}

/* The generation in between never trained; they stand as they stood. */
static void it_is_still_so_one_break_later (void **state)
{
    (void)state;
    breaks ();
    left (0, 6, 0, 1);
    left (1, 5, 0, 0);
    left (2, 6, 0, 1);
    falls_apart (2);
    left (0, 6, 0, 1);
    left (1, 5, 0, 0);
    left (2, 6, 0, 1);
    assert_int_equal (now ()->number, 3);
    assert_int_equal (now ()->made_of, 1);
    assert_int_equal (count_echoes (), 0);
}

/* It stands just there, and nobody knows how it came there. */
static void who_has_loaded_a_checkpoint_gets_the_state (void **state)
{
    (void)state;
    breaks ();
    left (0, 6, 0, 1);
    left (1, 6, 0, 1);
    left (2, 6, 0, 1);
    assert_int_equal (now ()->made_of, 0);
    struct job *job = core_job (bed.coord, 1);
    struct worker *late = job->soft.ranks[2];
    falls_apart (1);
    left (0, 6, 0, 1);
    left (1, 6, 0, 1);
    late->position.lineage = 77;
    left (2, 5, 0, 0);
    assert_int_equal (now ()->number, 3);
    assert_int_equal (now ()->made_of, 0);
    assert_int_equal (count_echoes (), 1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown (it_is_given_the_sums, end),
        cmocka_unit_test_teardown (of_the_try_that_they_are_of, end),
        cmocka_unit_test_teardown (an_update_may_lead_to_another_try, end),
        cmocka_unit_test_teardown (who_has_no_sums_gives_its_state, end),
        cmocka_unit_test_teardown (sums_of_another_try_are_of_no_use, end),
        cmocka_unit_test_teardown (who_is_further_behind_gets_the_state, end),
        cmocka_unit_test_teardown (it_is_still_so_one_break_later, end),
        cmocka_unit_test_teardown (who_has_loaded_a_checkpoint_gets_the_state, end),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
