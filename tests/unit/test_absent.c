/* SPDX-License-Identifier: Apache-2.0 */
/* test_absent.c - a wrong worker that left before what it did was compared */
#include "coordinator/absent.h"
#include "coordinator/audit.h"
#include "coordinator/generation.h"
#include "coordinator/job.h"
#include "coordinator/orders.h"
#include "coordinator/prepare.h"
#include "coordinator/review.h"
#include "tests/unit/audit_bed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct job_durable *job_of (uint64_t job)
{
    return &core_job (bed.coord, job)->durable;
}

/* Job 1 agrees on step 50, goes on to step 80, and then without the last of its three workers. */
static void leave_at_80 (void)
{
    open_job (3);
    save (1, 40);
    agree (50);
    save (1, 45);
    save (1, 70);
    generation_break (bed.coord, bed.job, true, "test");
    form (2, 80, 2);
}

/* In job 2, w2 is found wrong. */
static void find_out (uint32_t ranks)
{
    use_job (2);
    form (ranks, 0, ranks);
    for (uint32_t rank = 0; rank < ranks; rank++)
        say_state (rank, 10, rank == 2 ? 9 : 7);
}

/* ... and job 1 goes back to its checkpoint. */
static void find_out_and_go_back (void)
{
    find_out (3);
    assert_int_equal (expelled ()->job, 1);
    assert_string_equal (expelled ()->worker, "w2");
    assert_int_equal (expelled ()->back_step, 45);
}

static void pass (uint64_t ms) { bed.coord->unix_ms += ms; }

static void who_left_is_remembered (void **state)
{
    (void)state;
    leave_at_80 ();
    assert_int_equal (job_of (1)->absentee_count, 1);
    agree (90);
    save (2, 92);
    assert_int_equal (job_of (1)->anchor, 45); /* what w2 did up to step 80 may be wrong */
    assert_int_equal (absent_known_step (job_of (1), NULL, bed.coord->unix_ms), 50);
}

static void who_left_is_forgotten_after_a_while (void **state)
{
    (void)state;
    leave_at_80 ();
    agree (90);
    pass (COORD_ABSENT_MS);
    save (2, 88);
    assert_int_equal (job_of (1)->anchor, 88);
    find_out (3);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 1);
    use_job (1);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 95, 3);
    assert_int_equal (job_of (1)->absentee_count, 0);
    assert_int_equal (job_of (1)->generation.members[2].state_step, 95);
}

/* w3 is not accused: what w1 did was right up to step 95. What w3 did may be asked for all the same. */
static void who_is_wrong_costs_its_own_work_alone (void **state)
{
    (void)state;
    open_job (4);
    agree (50);
    save (1, 45);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 80, 3);
    agree (95);
    save (2, 92);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 99, rank == 1 ? 9 : 7);
    assert_string_equal (expelled ()->worker, "w1");
    assert_int_equal (expelled ()->agreed_step, 95);
    assert_int_equal (expelled ()->back_step, 92);
    assert_int_equal (job_of (1)->anchor, 45);
    use_job (2);
    form (4, 0, 4);
    for (uint32_t rank = 0; rank < 4; rank++)
        say_state (rank, 10, rank == 3 ? 9 : 7);
    assert_int_equal (expelled ()->job, 1);
    assert_int_equal (expelled ()->back_step, 45);
}

static void wrong_in_one_job_is_wrong_in_the_one_before (void **state)
{
    (void)state;
    leave_at_80 ();
    save (2, 85);
    find_out (3);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 2);
    const struct mu_journal_expel *expel = expelled ();
    assert_int_equal (expel->job, 1);
    assert_int_equal (expel->in_job, 2);
    assert_string_equal (expel->worker, "w2");
    assert_int_equal (expel->agreed_step, 50);
    assert_int_equal (expel->back_step, 45);
    assert_int_equal (job_of (1)->state, MU_JOB_BREAKING);
    assert_int_equal (job_committed_step (core_job (bed.coord, 1)), 45);
    assert_true (audit_is_outcast (job_of (1), "w2", 1));
}

/* w0 wrote step 40, and nobody else has said what that is. Then it is found wrong in another job. */
static uint64_t step_after_w0_was_found (const char *doubted)
{
    open_job (3);
    save (1, 40);
    agree (50);
    generation_break (bed.coord, bed.job, true, "test");
    struct mu_journal_expel found = { .job = 2, .step = 60, .worker = "w0" };
    absent_accuse (bed.coord, &found, doubted);
    return expelled ()->back_step;
}

static void what_it_wrote_in_another_job_is_not_believed (void **state)
{
    (void)state;
    assert_int_equal (step_after_w0_was_found ("w0"), 0);
}

static void but_if_it_computed_wrongly_it_wrote_what_all_had (void **state)
{
    (void)state;
    assert_int_equal (step_after_w0_was_found (NULL), 40);
}

/* It has not been formed anew since. */
static void a_job_that_waits_goes_back_too (void **state)
{
    (void)state;
    open_job (3);
    save (1, 40);
    agree (50);
    save (1, 60);
    generation_break (bed.coord, bed.job, true, "test");
    find_out (3);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 2);
    assert_int_equal (job_of (1)->anchor, 40);
    assert_int_equal (job_committed_step (core_job (bed.coord, 1)), 40);
}

/* One update beyond what the others hold, too. */
static void who_was_right_all_the_time_has_nothing_to_be_asked_for (void **state)
{
    (void)state;
    open_job (3);
    agree (81);
    generation_break (bed.coord, bed.job, true, "test");
    form (2, 80, 2);
    assert_int_equal (job_of (1)->absentee_count, 0);
    find_out (3);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 1);
    assert_int_equal (expelled ()->job, 2);
}

static void who_comes_back_is_asked_for_all_of_it (void **state)
{
    (void)state;
    leave_at_80 ();
    agree (90);
    generation_break (bed.coord, bed.job, true, "test");
    bed.workers[2]->incarnation = 2;
    form (3, 95, 3);
    assert_int_equal (job_of (1)->generation.members[2].gradient_step, 50);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 100, rank == 2 ? 9 : 7);
    assert_string_equal (expelled ()->worker, "w2");
    assert_int_equal (expelled ()->back_step, 45);
}

/* The state in which it may have been wrong is gone: that it is right now says nothing about then. */
static void who_is_back_and_right_is_remembered_all_the_same (void **state)
{
    (void)state;
    leave_at_80 ();
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 90, 2);
    agree (95);
    assert_int_equal (job_of (1)->generation.members[2].state_step, 95);
    assert_int_equal (absent_known_step (job_of (1), NULL, bed.coord->unix_ms), 50);
    save (3, 92);
    assert_int_equal (job_of (1)->anchor, 45);
    pass (COORD_ABSENT_MS);
    save (3, 97);
    assert_int_equal (job_of (1)->anchor, 92);
}

static void who_keeps_its_state_can_be_compared (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 80, 3);
    assert_int_equal (job_of (1)->absentee_count, 0);
}

/* Whoever was wrong before it was written: after it all are equal. */
static void a_checkpoint_makes_all_equal (void **state)
{
    (void)state;
    open_job (3);
    save (1, 40);
    agree (50);
    save (1, 70);
    generation_break (bed.coord, bed.job, false, "test");
    bed.reloads = true;
    form (3, 70, 3);
    assert_int_equal (job_of (1)->absentee_count, 3);
    agree (90);
    save (2, 92);
    assert_int_equal (job_of (1)->anchor, 40);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 100, rank == 2 ? 9 : 7);
    assert_string_equal (expelled ()->worker, "w2");
    assert_int_equal (expelled ()->back_step, 40);
}

static void who_is_given_a_state_loses_its_own (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 80, 2);
    assert_int_equal (job_of (1)->absentee_count, 1);
    assert_string_equal (job_of (1)->absentees[0].name, "w2");
    agree (90);
    assert_int_equal (absent_known_step (job_of (1), NULL, bed.coord->unix_ms), 50);
}

/* It makes the step that it lacks of its own state: that is still there, and so is its voice. */
static void who_is_given_sums_keeps_its_own (void **state)
{
    (void)state;
    open_job (3);
    save (1, 40);
    agree (50);
    generation_break (bed.coord, bed.job, true, "test");
    bed.made_of = 1;
    form (3, 80, 2);
    assert_int_equal (job_of (1)->absentee_count, 0);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 90, rank == 2 ? 9 : 7);
    assert_string_equal (expelled ()->worker, "w2");
}

/* Of its own mistakes others have but copies; until they were compared they are no witnesses later, either. */
static void equal_states_of_one_vouch_for_nothing_before (void **state)
{
    (void)state;
    open_job (1);
    save (1, 40);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 60, 1);
    assert_int_equal (job_of (1)->absentee_count, 1);
    pass (1000);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 62, 3);
    assert_int_equal (job_of (1)->absentee_count, 1);
    assert_int_equal (job_of (1)->absentees[0].left_ms, bed.coord->unix_ms);
    agree (70);
    assert_int_equal (job_of (1)->generation.members[0].state_step, 70);
    assert_int_equal (absent_known_step (job_of (1), NULL, bed.coord->unix_ms), 0);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 80, 3);
    assert_int_equal (job_of (1)->absentee_count, 1); /* now they are */
}

/* All states are given up then. */
static void going_back_from_who_was_wrong_settles_it (void **state)
{
    (void)state;
    leave_at_80 ();
    say_state (0, 90, 7);
    say_state (1, 90, 9);
    assert_int_equal (expelled ()->back_step, 45);
    form (2, 45, 2);
    assert_int_equal (job_of (1)->absentee_count, 0);
}

static void go_back (uint64_t step)
{
    struct mu_journal record = { .type = MU_JOURNAL_REWIND,
                                 .rewind = {
                                     .job = 1, .step = step, .time_ms = bed.coord->unix_ms } };
    core_store (bed.coord, &record);
}

/* w0 holds what w2 added to, and is silent while the others train again; then all are given its state. */
static void who_comes_back_with_a_state_that_was_lost_is_asked_for_what_is_in_it (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    save (1, 45);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 80, 3);
    generation_break (bed.coord, bed.job, true, "test");
    go_back (45);
    form (2, 45, 2);
    assert_int_equal (absent_known_step (job_of (1), "w0", bed.coord->unix_ms), 50);
    assert_int_equal (absent_known_step (job_of (1), "w2", bed.coord->unix_ms), 50);
    generation_break (bed.coord, bed.job, true, "test");
    form (2, 80, 1);
    assert_int_equal (job_of (1)->generation.members[0].state_step, 45);
    assert_int_equal (absent_known_step (job_of (1), "w2", bed.coord->unix_ms), 50);
    find_out_and_go_back ();
}

/* Not a window had been trained of which the coordinator knew, so there is no record that training goes back. */
static void the_same_where_the_coordinator_had_not_heard_how_far_it_was (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    save (1, 45);
    generation_break (bed.coord, bed.job, true, "test");
    bed.loaders = 2;
    form (2, 45, 2);
    bed.loaders = 0;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal (absent_known_step (job_of (1), bed.workers[i]->name, bed.coord->unix_ms),
                          50);
    generation_break (bed.coord, bed.job, true, "test");
    form (2, 80, 1); /* w0 was silent, and stands there */
    find_out_and_go_back ();
}

/* A break that finds w1 before an update, and may have lost w2 behind it. */
static void who_may_be_one_update_further_on_is_remembered (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    generation_break (bed.coord, bed.job, true, "test");
    form (2, 50, 2);
    assert_int_equal (absent_known_step (job_of (1), "w2", bed.coord->unix_ms), 50);
    assert_int_equal (absent_known_step (job_of (1), "w1", bed.coord->unix_ms), UINT64_MAX);
}

/* Who has nothing more to be asked for than what the new generation begins with. */
static void who_never_trained_is_not_remembered (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    generation_break (bed.coord, bed.job, true, "test");
    bed.loaders = 3;
    bed.unstarted = true;
    form (3, 0, 3);
    generation_break (bed.coord, bed.job, true, "test");
    bed.coord->unix_ms += COORD_ABSENT_MS;
    form (3, 0, 3);
    bed.loaders = 0;
    assert_int_equal (job_of (1)->absentee_count, 0);
}

static void a_job_that_ends_asks_for_nothing (void **state)
{
    (void)state;
    leave_at_80 ();
    job_stop (bed.coord, bed.job, MU_JOB_CANCELLED, MU_CANCELLED, "test");
    find_out (3);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 1);
    assert_int_equal (job_of (1)->absentee_count, 1);
    job_move (bed.coord, core_job (bed.coord, 1), MU_JOB_CANCELLED, MU_JOB_PENDING, MU_CANCELLED,
              "test");
    assert_int_equal (job_of (1)->absentee_count, 0);
}

/* The words of all were on their way when somebody else's death broke the generation. */
static void opinions_are_heard_while_it_breaks (void **state)
{
    (void)state;
    open_job (4);
    say_state (1, 50, 9);
    say_state (3, 50, 7);
    generation_break (bed.coord, bed.job, false, "test");
    worker_detach (bed.coord, bed.workers[1]);
    say_state (0, 50, 7);
    say_state (2, 50, 7);
    assert_string_equal (expelled ()->worker, "w1");
    assert_int_equal (job_of (1)->state, MU_JOB_BREAKING);
    assert_int_equal (stored (MU_JOURNAL_BROKEN), 1);
}

/* Three that were given their state must not outvote the only right one when training has gone back. */
static void a_generation_is_judged_once (void **state)
{
    (void)state;
    open_job (1);
    generation_break (bed.coord, bed.job, true, "test");
    form (4, 30, 1);
    for (uint32_t rank = 0; rank < 4; rank++)
        say_gradient (rank, 50, 1, rank ? 9 : 7);
    for (uint32_t rank = 0; rank < 4; rank++)
        say_gradient (rank, 50, 0, rank ? 9 : 7);
    for (uint32_t rank = 0; rank < 4; rank++)
        say_state (rank, 51, rank ? 9 : 7);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 1);
    assert_string_equal (expelled ()->worker, "");
}

/* Is w2, which is to leave, let go now that its generation ended? */
static bool goes (bool waited_for, uint64_t at)
{
    bed.workers[2]->yields = true;
    bed.job->soft.step = at;
    if (waited_for)
        bed.job->soft.review = (struct review){ .since_ms = 1, .since_step = 40 };
    generation_break (bed.coord, bed.job, true, "test");
    order_clear (bed.workers[2]);
    return review_lets_go (bed.coord, bed.job, bed.workers[2]);
}

/* Uneven shares, say: it was planned, and waited for nobody. */
static void a_planned_break_alone_is_no_comparison (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    assert_false (goes (false, 60));
    bed.coord->now_ms += COORD_REVIEW_MS; /* some may still be at work in it */
    assert_false (review_lets_go (bed.coord, bed.job, bed.workers[2]));
    for (uint32_t i = 0; i < 2; i++)
        order_clear (bed.workers[i]);
    assert_true (review_lets_go (bed.coord, bed.job, bed.workers[2]));
}

static void who_was_waited_for_goes (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    assert_true (goes (true, 60));
}

static void who_was_waited_for_and_not_compared_stays (void **state)
{
    (void)state;
    open_job (3);
    agree (30);
    assert_false (goes (true, 60));
}

static void who_was_waited_for_long_enough_goes (void **state)
{
    (void)state;
    open_job (3);
    bed.coord->now_ms += COORD_REVIEW_MAX_MS; /* nobody knows how long a step takes */
    assert_true (goes (true, 60));
}

static void what_a_step_takes_is_waited_for (void **state)
{
    (void)state;
    open_job (3);
    bed.job->soft.rate_best = 1 / 20.0; /* one in 20 s */
    bed.coord->now_ms += COORD_REVIEW_MS;
    assert_false (goes (true, 60));
}

static void after_some_steps_it_goes (void **state)
{
    (void)state;
    open_job (3);
    bed.job->soft.rate_best = 1 / 20.0;
    bed.coord->now_ms += COORD_REVIEW_STEPS * 20001;
    assert_true (goes (true, 60));
}

/* Where the job's workers are counted, nobody is missing twice. */
static void an_outcast_is_one (void **state)
{
    (void)state;
    open_job (3);
    agree (50);
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t rank = 0; rank < 3; rank++)
            say_state (rank, 60 + i, rank == 2 ? 9 : 7);
        assert_int_equal (stored (MU_JOURNAL_EXPEL), i + 1);
        form (3, 40, 3);
    }
    assert_int_equal (bed.job->durable.outcast_count, 1);
}

#define ABSENT_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        ABSENT_TEST (who_left_is_remembered),
        ABSENT_TEST (who_left_is_forgotten_after_a_while),
        ABSENT_TEST (who_is_wrong_costs_its_own_work_alone),
        ABSENT_TEST (wrong_in_one_job_is_wrong_in_the_one_before),
        ABSENT_TEST (what_it_wrote_in_another_job_is_not_believed),
        ABSENT_TEST (but_if_it_computed_wrongly_it_wrote_what_all_had),
        ABSENT_TEST (a_job_that_waits_goes_back_too),
        ABSENT_TEST (who_was_right_all_the_time_has_nothing_to_be_asked_for),
        ABSENT_TEST (who_comes_back_is_asked_for_all_of_it),
        ABSENT_TEST (who_is_back_and_right_is_remembered_all_the_same),
        ABSENT_TEST (who_keeps_its_state_can_be_compared),
        ABSENT_TEST (a_checkpoint_makes_all_equal),
        ABSENT_TEST (who_is_given_a_state_loses_its_own),
        ABSENT_TEST (who_is_given_sums_keeps_its_own),
        ABSENT_TEST (equal_states_of_one_vouch_for_nothing_before),
        ABSENT_TEST (going_back_from_who_was_wrong_settles_it),
        ABSENT_TEST (who_comes_back_with_a_state_that_was_lost_is_asked_for_what_is_in_it),
        ABSENT_TEST (the_same_where_the_coordinator_had_not_heard_how_far_it_was),
        ABSENT_TEST (who_may_be_one_update_further_on_is_remembered),
        ABSENT_TEST (who_never_trained_is_not_remembered),
        ABSENT_TEST (a_job_that_ends_asks_for_nothing),
        ABSENT_TEST (opinions_are_heard_while_it_breaks),
        ABSENT_TEST (a_generation_is_judged_once),
        ABSENT_TEST (a_planned_break_alone_is_no_comparison),
        ABSENT_TEST (who_was_waited_for_goes),
        ABSENT_TEST (who_was_waited_for_and_not_compared_stays),
        ABSENT_TEST (who_was_waited_for_long_enough_goes),
        ABSENT_TEST (what_a_step_takes_is_waited_for),
        ABSENT_TEST (after_some_steps_it_goes),
        ABSENT_TEST (an_outcast_is_one),
    };
    return cmocka_run_group_tests_name ("absent", tests, NULL, NULL);
}
