/* SPDX-License-Identifier: Apache-2.0 */
/* test_doubt.c - a step that cannot be, and who cannot do one: the job's fault, or a worker's? */
#include "tests/unit/job_bed.h"

#include "coordinator/job.h"
#include "coordinator/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define STEP 6u

static struct bed bed;

static int end (void **state)
{
    (void)state;
    finish (&bed);
    return 0;
}

static void compared (void)
{
    opening_audited (&bed);
    form (&bed);
    train (&bed, STEP);
}

static bool has_failed (void)
{
    const char *state = job_info (&bed).state;
    return !strcmp (state, "stopping") || !strcmp (state, "failed");
}

static void doubt (uint32_t worker)
{
    struct mu_wire_down down = {
        .job = 1, .generation = bed.forms, .doubts = STEP + 1, .text = "no number"
    };
    hear (&bed, worker, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = down });
}

static void say_state_of_try (uint32_t worker, uint32_t attempt, uint64_t digest)
{
    struct mu_wire_digest said = { .job = 1,
                                   .generation = bed.forms,
                                   .step = STEP,
                                   .attempt = attempt,
                                   .digest = digest };
    hear (&bed, worker, (struct mu_wire){ .type = MU_WIRE_DIGEST, .digest = said });
}

static void say_state (uint32_t worker, uint64_t digest) { say_state_of_try (worker, 0, digest); }

static void refuse (uint32_t worker, uint64_t at)
{
    struct mu_wire_failed failed = {
        .job = 1, .code = MU_BAD_INPUT, .text = { "no such class", 13 }, .at = at
    };
    bed.told[worker][0] = '\0';
    hear (&bed, worker, (struct mu_wire){ .type = MU_WIRE_FAILED, .failed = failed });
}

/* Those that were told so end the generation; the next one trains. */
static void go_on (void)
{
    unsigned forms = bed.forms;
    for (uint32_t w = 0; w < WORKERS; w++)
        if (was_told (&bed, w, "ABORT")) {
            bed.told[w][0] = '\0';
            aborted (&bed, w, STEP);
        }
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, forms + 1);
    for (uint32_t w = 0; w < WORKERS; w++)
        hear (&bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, bed.forms } });
}

static void what_comes_out_again_is_the_jobs_fault (void **state)
{
    (void)state;
    compared ();
    doubt (1);
    assert_int_equal (bed.broken, 1);
    assert_string_equal (bed.reason, "step 6 is computed again: no number");
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_true (was_told (&bed, w, "REVIEW"));
        say_state (w, 7);
    }
    go_on ();
    doubt (0);
    assert_string_equal (bed.state, "Worker w0: no number");
}

static void who_differs_is_expelled_and_the_job_goes_on (void **state)
{
    (void)state;
    compared ();
    doubt (1);
    for (uint32_t w = 0; w < WORKERS; w++)
        say_state (w, w == 2 ? 8 : 7);
    assert_false (has_failed ());
    for (uint32_t w = 0; w < WORKERS; w++)
        aborted (&bed, w, STEP);
    pass (&bed, BEAT_MS);
    assert_true (was_told (&bed, 2, "RELEASE")); /* its state is given up */
    assert_int_equal (job_info (&bed).step, 0);  /* back to what was agreed on */
}

/* Other tries have other scales: the same try is compared, and what it came to is of no checkpoint. */
static void states_between_two_tries_are_compared (void **state)
{
    (void)state;
    compared ();
    say_state_of_try (0, 0, 7);
    doubt (1);
    for (uint32_t w = 0; w < WORKERS; w++)
        say_state_of_try (w, 2, 9);
    assert_int_equal (bed.broken, 1);
    assert_int_equal (proof_sum (&core_job (bed.coord, 1)->durable, STEP), 0);
    go_on ();
    doubt (0);
    assert_string_equal (bed.state, "Worker w0: no number");
}

static void where_nothing_is_compared_it_is_tried_once_more (void **state)
{
    (void)state;
    running (&bed, STEP);
    doubt (1);
    assert_int_equal (bed.broken, 1);
    assert_false (was_told (&bed, 0, "REVIEW"));
    go_on ();
    doubt (0);
    assert_string_equal (bed.state, "Worker w0: no number");
}

/* Somebody is not heard each time. */
static void a_comparison_that_lacks_one_is_tried_again_but_not_for_ever (void **state)
{
    (void)state;
    compared ();
    for (unsigned tries = 1; tries <= 5; tries++) {
        doubt (1);
        say_state (0, 7);
        say_state (1, 7);
        assert_int_equal (bed.broken, tries);
        assert_false (has_failed ());
        go_on ();
    }
    doubt (2);
    assert_string_equal (bed.state, "Worker w2: no number");
}

static void who_cannot_do_a_step_is_let_go_and_another_does_it (void **state)
{
    (void)state;
    running (&bed, STEP);
    refuse (1, STEP + 1);
    assert_string_equal (bed.state, "");
    assert_string_equal (bed.reason, "worker w1 cannot go on with it: no such class");
    assert_non_null (strstr (bed.turned_away, "worker w1 is not given the job for 60 s: "));
    let_go (&bed, 1);
    go_on ();
    refuse (0, STEP + 2); /* another step is another matter */
    assert_string_equal (bed.state, "");
}

static void what_two_cannot_do_is_the_jobs_fault (void **state)
{
    (void)state;
    running (&bed, STEP);
    refuse (1, STEP + 1);
    let_go (&bed, 1);
    go_on ();
    refuse (2, STEP + 1);
    assert_string_equal (bed.state, "Worker w2: no such class");
}

static void who_cannot_be_spared_tries_again_at_once (void **state)
{
    (void)state;
    opening (&bed, WORKERS);
    form (&bed);
    train (&bed, STEP);
    refuse (1, STEP + 1);
    assert_string_equal (bed.turned_away, "");
    let_go (&bed, 1);
    aborted (&bed, 0, STEP);
    aborted (&bed, 2, STEP);
    pass (&bed, 4 * BEAT_MS);
    assert_true (was_told (&bed, 1, "ASSIGN"));
}

static void nobody_is_left_to_ask (void **state)
{
    (void)state;
    running (&bed, STEP);
    for (uint32_t w = 1; w < WORKERS; w++)
        bed.quiet[w] = true;
    pass (&bed, 20 * BEAT_MS);
    refuse (0, STEP + 1);
    assert_string_equal (bed.state, "Worker w0: no such class");
}

/* Two that were given their state by w0: of the generation that formed first. */
static void all_hold_what_one_has_made (void)
{
    compared ();
    for (uint32_t w = 1; w < WORKERS; w++)
        core_job (bed.coord, 1)->durable.generation.members[w].echo = true;
}

static void what_two_cannot_do_that_hold_one_state_is_done_again_from_a_checkpoint (void **state)
{
    (void)state;
    all_hold_what_one_has_made ();
    refuse (1, STEP + 1);
    refuse (0, STEP + 1);
    assert_false (has_failed ());
    assert_non_null (strstr (bed.expelled, "that may be the memory of w0"));
    assert_true (was_told (&bed, 0, "RELEASE"));
    assert_int_equal (job_info (&bed).step, 0);
    bed.turned_away[0] = '\0';
    refuse (2, STEP + 1); /* of the state from before: it had not heard yet */
    assert_false (has_failed ());
    assert_true (was_told (&bed, 2, "RELEASE"));
    assert_string_equal (bed.turned_away, "");
}

static void what_comes_of_one_state_again_is_done_again_from_a_checkpoint (void **state)
{
    (void)state;
    all_hold_what_one_has_made ();
    doubt (1);
    for (uint32_t w = 0; w < WORKERS; w++)
        say_state (w, 7);
    assert_string_equal (bed.expelled, "");
    go_on ();
    doubt (0);
    assert_false (has_failed ());
    assert_non_null (strstr (bed.expelled, "step 6: no number; that may be the memory of w0"));
    assert_string_equal (job_noted (core_job (bed.coord, 1)->durable.disputed), "w0");
}

#define DOUBT_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        DOUBT_TEST (what_comes_out_again_is_the_jobs_fault),
        DOUBT_TEST (who_differs_is_expelled_and_the_job_goes_on),
        DOUBT_TEST (states_between_two_tries_are_compared),
        DOUBT_TEST (where_nothing_is_compared_it_is_tried_once_more),
        DOUBT_TEST (a_comparison_that_lacks_one_is_tried_again_but_not_for_ever),
        DOUBT_TEST (who_cannot_do_a_step_is_let_go_and_another_does_it),
        DOUBT_TEST (what_two_cannot_do_is_the_jobs_fault),
        DOUBT_TEST (who_cannot_be_spared_tries_again_at_once),
        DOUBT_TEST (nobody_is_left_to_ask),
        DOUBT_TEST (what_two_cannot_do_that_hold_one_state_is_done_again_from_a_checkpoint),
        DOUBT_TEST (what_comes_of_one_state_again_is_done_again_from_a_checkpoint),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
