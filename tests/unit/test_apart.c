/* SPDX-License-Identifier: Apache-2.0 */
/* test_apart.c - who says that it stands where it cannot is not believed */
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

/* Where a worker says that it left the newest generation. */
struct place {
    uint64_t step;
    uint32_t attempt;
    bool anew; /* its trainer was started since */
};

static struct place at_try (uint64_t step, uint32_t attempt)
{
    return (struct place){ step, attempt, false };
}

static struct place at (uint64_t step) { return at_try (step, 0); }

static struct place anew_at (uint64_t step) { return (struct place){ step, 0, true }; }

/* The generation breaks, and each member says where it stands; `quiet` has died. */
static void leave (struct place first, struct place second, struct place third, uint32_t quiet)
{
    const struct place places[WORKERS] = { first, second, third };
    uint64_t generation = bed.forms;
    hear (&bed, 0,
          (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { .job = 1, .generation = generation } });
    if (quiet < WORKERS) {
        hear (&bed, quiet, (struct mu_wire){ .type = MU_WIRE_BYE });
        bed.quiet[quiet] = true;
    }
    for (uint32_t w = 0; w < WORKERS; w++) {
        bed.told[w][0] = '\0';
        reach (&bed, w, 0, places[w].step, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    }
    for (uint32_t w = 0; w < WORKERS; w++)
        if (w != quiet)
            hear (&bed, w,
                  (struct mu_wire){ .type = MU_WIRE_ABORTED,
                                    .aborted = { .job = 1,
                                                 .generation = generation,
                                                 .step = places[w].step,
                                                 .attempt = places[w].attempt,
                                                 .entered = !places[w].anew } });
}

static bool is_let_go (uint32_t worker) { return was_told (&bed, worker, "RELEASE"); }

static void who_stands_a_step_before_another_may (void **state)
{
    (void)state;
    running (&bed, 5);
    leave (at (6), at (7), at (6), WORKERS);
    assert_int_equal (bed.forms, 2);
    assert_int_equal (bed.formed_step, 7);
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_false (is_let_go (w));
}

static void or_a_try_before_it (void **state)
{
    (void)state;
    running (&bed, 5);
    leave (at_try (6, 1), at_try (6, 0), at_try (6, 1), WORKERS);
    assert_int_equal (bed.forms, 2);
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_false (is_let_go (w));
}

static void who_says_more_than_that_is_not_believed (void **state)
{
    (void)state;
    running (&bed, 5);
    leave (at (6), at (15), at (7), WORKERS);
    assert_true (is_let_go (1));
    assert_non_null (strstr (bed.turned_away, "left generation 1 after step 15, where it cannot"));
    assert_int_equal (bed.forms, 2);
    assert_int_equal (bed.formed_step, 7);
}

static void nor_who_says_less (void **state)
{
    (void)state;
    running (&bed, 5);
    leave (at (7), at (7), at (5), WORKERS);
    assert_true (is_let_go (2));
    assert_false (is_let_go (0) || is_let_go (1));
    assert_int_equal (bed.formed_step, 7);
}

static void nor_who_has_tried_too_often (void **state)
{
    (void)state;
    running (&bed, 5);
    leave (at_try (6, 2), at_try (6, 0), at_try (6, 0), WORKERS);
    assert_true (is_let_go (0));
    assert_int_equal (bed.formed_step, 6);
}

/* A bit of its memory fell over, that tells of the try: the next one would be 0. */
static void nor_who_says_the_last_try_there_is (void **state)
{
    (void)state;
    running (&bed, 5);
    leave (at_try (6, 0), at_try (6, 0), at_try (6, UINT32_MAX), WORKERS);
    assert_true (is_let_go (2));
    assert_int_equal (bed.formed_step, 6);
}

static void nobody_goes_behind_the_leases (void **state)
{
    (void)state;
    running (&bed, 5);
    uint64_t leased = bed.leased;
    leave (at (leased + 1), at (leased), at (0), 2);
    assert_true (is_let_go (0));
    assert_false (is_let_go (1));
    assert_int_equal (bed.formed_step, leased);
}

static void nor_before_the_source_where_none_has_trained (void **state)
{
    (void)state;
    forming (&bed);
    leave (at (0), at (4), at (0), WORKERS);
    assert_true (is_let_go (1));
    assert_false (is_let_go (0) || is_let_go (2));
    assert_int_equal (bed.formed_step, 0);
}

/* It has loaded a checkpoint since. */
static void whose_trainer_is_another_one_is_not_asked (void **state)
{
    (void)state;
    running (&bed, 5);
    leave (at (7), anew_at (3), at (6), WORKERS);
    assert_false (is_let_go (1));
    assert_int_equal (bed.forms, 2);
    assert_int_equal (bed.formed_step, 7);
}

/* Of two nobody can say who is wrong: both begin with what was agreed on. */
static void of_two_all_go_back (void **state)
{
    (void)state;
    running (&bed, 5);
    leave (at (6), at (14), at (6), 2);
    assert_true (is_let_go (0) && is_let_go (1));
    assert_int_equal (bed.forms, 1);
    assert_non_null (strstr (bed.expelled, "workers w0 against w1 differ in how far they have come "
                                           "since step 6, and nobody can say who is wrong"));
}

static void and_the_job_fails_if_they_do_so_again (void **state)
{
    (void)state;
    of_two_all_go_back (state);
    all_let_go (&bed);
    for (uint32_t w = 0; w < 2; w++)
        prepared_with (&bed, w, (struct mu_wire_prepared){ .digest = "d", .distrusted = 1 });
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 2);
    for (uint32_t w = 0; w < 2; w++)
        hear (&bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, 2 } });
    leave (at (14), at (6), at (6), 2);
    assert_non_null (strstr (bed.state, "differ again in how far they have come"));
}

#define APART_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        APART_TEST (who_stands_a_step_before_another_may),
        APART_TEST (or_a_try_before_it),
        APART_TEST (who_says_more_than_that_is_not_believed),
        APART_TEST (nor_who_says_less),
        APART_TEST (nor_who_has_tried_too_often),
        APART_TEST (nor_who_says_the_last_try_there_is),
        APART_TEST (nobody_goes_behind_the_leases),
        APART_TEST (nor_before_the_source_where_none_has_trained),
        APART_TEST (whose_trainer_is_another_one_is_not_asked),
        APART_TEST (of_two_all_go_back),
        APART_TEST (and_the_job_fails_if_they_do_so_again),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
