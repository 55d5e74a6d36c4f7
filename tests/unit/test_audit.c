/* SPDX-License-Identifier: Apache-2.0 */
/* test_audit.c - who is wrong, who is not to be blamed, and what is gone back to */
#include "coordinator/audit.h"
#include "coordinator/generation.h"
#include "coordinator/job.h"
#include "coordinator/orders.h"
#include "coordinator/prepare.h"
#include "coordinator/queue.h"
#include "coordinator/queue_line.h"
#include "coordinator/trust.h"
#include "tests/unit/audit_bed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* --- verdicts --------------------------------------------------------------------------------- */

static void equal_states_are_agreed_on (void **state)
{
    (void)state;
    open_job (3);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 50, 7);
    say_state (2, 50, 8); /* a word said again, late: what was heard first counts */
    assert_int_equal (stored (MU_JOURNAL_AGREED), 1);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 0);
    assert_int_equal (bed.job->durable.generation.members[2].state_step, 50);
    assert_int_equal (bed.job->durable.generation.members[2].gradient_step, 0);
}

static void the_odd_one_of_three_is_wrong (void **state)
{
    (void)state;
    open_job (3);
    say_state (0, 50, 7);
    say_state (1, 50, 9);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 0);
    say_state (2, 50, 7);
    assert_string_equal (expelled ()->worker, "w1");
    assert_string_equal (expelled ()->others, "w0, w2");
    assert_int_equal (bed.job->durable.state, MU_JOB_BREAKING);
    assert_true (trust_lacks (bed.coord, bed.workers[1]));
    assert_false (queue_accepts (bed.coord, bed.job, bed.workers[1]));
    assert_true (queue_accepts (bed.coord, bed.job, bed.workers[0]));
    bed.workers[1]->incarnation = 2; /* started anew: another chance, once it is trusted */
    assert_true (queue_accepts (bed.coord, bed.job, bed.workers[1]));
}

static void two_wrong_ones_of_five_go_together (void **state)
{
    (void)state;
    open_job (5);
    for (uint32_t rank = 0; rank < 5; rank++)
        say_state (rank, 50, rank < 2 ? rank : 7);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 2);
    assert_int_equal (bed.job->durable.outcast_count, 2);
}

static void an_owner_is_judged_by_two_others (void **state)
{
    (void)state;
    open_job (5);
    say_gradient (2, 64, 4, 9); /* not one of the three */
    say_gradient (4, 64, 4, 9);
    say_gradient (0, 64, 4, 7);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 0);
    say_gradient (1, 64, 4, 7);
    say_gradient (1, 64, 4, 9);
    assert_string_equal (expelled ()->worker, "w4");
    assert_int_equal (expelled ()->micro_batch, 4);
}

/* Two others find the last of those who train wrong. */
static void last_is_wrong (uint32_t ranks)
{
    say_gradient (ranks - 3, 32, ranks - 3, 7);
    say_gradient (ranks - 2, 32, ranks - 3, 7);
    say_gradient (ranks - 1, 32, ranks - 3, 9);
}

/* w4, w3 at once, and w2 after `ms`. */
static void three_are_wrong_one_after_the_other (const char *trainer, uint64_t ms)
{
    open_job (5);
    job_note (&bed.job->durable.data_identity, trainer);
    last_is_wrong (5);
    assert_string_equal (expelled ()->worker, "w4");
    form (4, 0, 4);
    last_is_wrong (4);
    assert_string_equal (expelled ()->worker, "w3");
    bed.coord->now_ms += ms;
    form (3, 0, 3);
    last_is_wrong (3);
}

static void a_trainer_that_differs_each_time_is_named (void **state)
{
    (void)state;
    three_are_wrong_one_after_the_other ("data*build", COORD_MISFIT_MS - 1);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 2);
    assert_int_equal (bed.job->durable.target, MU_JOB_FAILED);
    assert_non_null (strstr (bed.job->durable.reason,
                             "Worker w2 differs from two others in the gradient of micro-batch 0 "
                             "of step 32, as workers w4 and w3 did in gradients 3599 and 3599 s "
                             "before. So the trainer"));
}

static void one_of_ours_does_not (void **state)
{
    (void)state;
    three_are_wrong_one_after_the_other ("data", 1000);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 3);
    assert_string_equal (expelled ()->worker, "w2");
}

static void nor_is_it_the_trainer_long_after (void **state)
{
    (void)state;
    three_are_wrong_one_after_the_other ("data*build", COORD_MISFIT_MS);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 3);
    assert_string_equal (expelled ()->worker, "w2");
}

static void an_opinion_that_is_missing_decides_nothing (void **state)
{
    (void)state;
    open_job (3);
    say_state (0, 50, 7);
    say_state (1, 50, 9);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 60, 3);
    say_state (2, 50, 7);
    assert_int_equal (stored (MU_JOURNAL_EXPEL) + stored (MU_JOURNAL_AGREED), 0);
}

/* ... but that those who spoke differ: one of them is wrong, whoever the third is with. */
static void those_that_differ_though_one_lacks_take_all_back (void **state)
{
    (void)state;
    open_job (3);
    agree (20);
    save (1, 20);
    say_gradient (1, 50, 0, 7);
    say_gradient (2, 50, 0, 9);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 0); /* the third may tell which */
    generation_break (bed.coord, bed.job, false, "test");
    for (uint32_t rank = 0; rank < 3; rank++)
        order_clear (bed.workers[rank]);
    job_advance (bed.coord, bed.job);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 1);
    assert_string_equal (expelled ()->worker, "");
    assert_string_equal (expelled ()->others, "w1 against w2");
    assert_int_equal (expelled ()->back_step, 20);
    assert_false (audit_differs_in_part (bed.coord, bed.job)); /* once */
}

/* As after a restart, when all say again what they compared lately, one after the other. */
static void say_others (uint32_t rank, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        say_gradient (rank, 100 + 10 * rank + i, rank, 7);
}

static void what_many_say_again_pushes_no_state_out (void **state)
{
    (void)state;
    open_job (5);
    for (uint32_t rank = 0; rank < 4; rank++) {
        say_state (rank, 50, 7);
        say_others (rank, 2 * GRADIENTS); /* and goes on */
    }
    say_state (4, 50, 9);
    assert_string_equal (expelled ()->worker, "w4");
}

static void nor_what_others_said_of_gradients (void **state)
{
    (void)state;
    open_job (5);
    say_gradient (0, 90, 0, 9);
    for (uint32_t rank = 0; rank < 5; rank++)
        say_others (rank, GRADIENTS - 1);
    say_gradient (1, 90, 0, 7);
    say_gradient (2, 90, 0, 7);
    assert_string_equal (expelled ()->worker, "w0");
}

/* Not more is kept than that: those that begin push out the oldest of their kind. */
static void a_state_that_few_speak_of_is_forgotten (void **state)
{
    (void)state;
    open_job (3);
    say_state (0, 50, 9);
    for (uint32_t i = 0; i < COMPARISONS; i++)
        say_state (0, 51 + i, 7);
    say_state (1, 50, 7);
    say_state (2, 50, 7);
    assert_int_equal (stored (MU_JOURNAL_EXPEL) + stored (MU_JOURNAL_AGREED), 0);
}

static void two_that_differ_are_asked_twice (void **state)
{
    (void)state;
    open_job (2);
    say_state (0, 50, 7);
    say_state (1, 50, 9);
    assert_string_equal (expelled ()->worker, "");
    assert_string_equal (expelled ()->others, "w0 against w1");
    assert_int_equal (bed.job->durable.outcast_count, 0);
    form (2, 0, 2);
    say_state (0, 50, 7);
    say_state (1, 50, 9);
    assert_int_equal (bed.job->durable.state, MU_JOB_STOPPING);
    assert_int_equal (bed.job->durable.target, MU_JOB_FAILED);
    assert_non_null (strstr (bed.job->durable.reason, "w0 against w1"));
}

static void who_was_asked_first_does_not_matter (void **state)
{
    (void)state;
    open_job (2);
    say_gradient (0, 50, 0, 7); /* rank 0 computed it */
    say_gradient (1, 50, 0, 9);
    assert_string_equal (expelled ()->others, "w0 against w1");
    form (2, 0, 2);
    say_gradient (1, 54, 1, 9); /* rank 1 did */
    say_gradient (0, 54, 1, 7);
    assert_int_equal (bed.job->durable.state, MU_JOB_STOPPING);
    assert_non_null (strstr (bed.job->durable.reason, "w0 against w1"));
}

static void two_that_have_agreed_again_get_another_chance (void **state)
{
    (void)state;
    open_job (2);
    say_state (0, 50, 7);
    say_state (1, 50, 9);
    form (2, 0, 2);
    agree (50);
    say_state (0, 100, 7);
    say_state (1, 100, 9);
    assert_int_equal (bed.job->durable.state, MU_JOB_BREAKING);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 2);
}

/* Two copies of one wrong state must not outvote the only right one. */
static void a_given_state_has_no_voice (void **state)
{
    (void)state;
    open_job (2);
    generation_break (bed.coord, bed.job, true, "test");
    form (4, 30, 2); /* w2 and w3 were given theirs */
    say_state (0, 50, 7);
    for (uint32_t rank = 1; rank < 4; rank++)
        say_state (rank, 50, 9);
    assert_string_equal (expelled ()->worker, "");
}

/* Two that load what one wrote would outvote the one that is right. */
static void a_loaded_state_has_no_voice_beside_one_that_was_kept (void **state)
{
    (void)state;
    open_job (3);
    generation_break (bed.coord, bed.job, true, "test");
    bed.loaders = 2;
    form (4, 70, 4);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_gradient (rank, 71, 0, rank ? 5 : 8);
    assert_string_equal (expelled ()->worker, ""); /* w2 has no voice: nobody can say */
}

static void a_given_state_has_a_voice_once_it_was_compared (void **state)
{
    (void)state;
    open_job (2);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 30, 2);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 40, 3); /* that w2 was given its state is remembered */
    say_gradient (0, 45, 0, 7);
    say_gradient (1, 45, 0, 7);
    say_gradient (2, 45, 0, 9);
    assert_string_equal (expelled ()->worker, "");
    form (3, 0, 3);
    agree (50);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 100, rank < 2 ? 7 : 9);
    assert_string_equal (expelled ()->worker, "w2");
}

static bool says_that_it_differs (uint32_t rank, uint64_t generation)
{
    const struct mu_wire_down down = { .job = 1, .generation = generation, .differs = true };
    return audit_differs (bed.coord, bed.workers[rank], &down);
}

/* A world forms in which somebody is given the source's state, and another holds a different one. What it did
 * is in everybody's state, and it may be gone before the next comparison. */
static void who_is_not_as_the_source_takes_all_back (void **state)
{
    (void)state;
    open_job (3);
    agree (20);
    save (1, 20);
    generation_break (bed.coord, bed.job, true, "test");
    form (4, 30, 3);
    assert_false (says_that_it_differs (0, 2)); /* the source */
    assert_false (says_that_it_differs (1, 1)); /* long ago */
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 0);
    assert_true (says_that_it_differs (1, 2));
    assert_string_equal (expelled ()->worker, ""); /* one of the two is wrong: nobody knows which */
    assert_string_equal (expelled ()->others, "w0 against w1");
    assert_int_equal (expelled ()->step, 30);
    assert_int_equal (expelled ()->back_step, 20);
    assert_false (says_that_it_differs (1, 2)); /* said twice, or by another as well */
    assert_false (says_that_it_differs (2, 2));
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 1);
}

/* It was made of the seed, by each alone: going back to it once more would change nothing. */
static void who_begins_otherwise_twice_fails_the_job (void **state)
{
    (void)state;
    open_job (2);
    generation_break (bed.coord, bed.job, true, "test");
    form (2, 0, 2);
    assert_true (says_that_it_differs (1, 2));
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 1);
    assert_int_equal (bed.job->durable.state, MU_JOB_BREAKING);
    form (2, 0, 2);
    assert_true (says_that_it_differs (1, 3));
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 1);
    assert_int_equal (bed.job->durable.state, MU_JOB_STOPPING);
}

/* It would be in dispute again, for its state would be given to it again. */
static void who_is_in_dispute_joins_when_the_others_have_agreed (void **state)
{
    (void)state;
    open_job (2);
    generation_break (bed.coord, bed.job, true, "test");
    form (3, 30, 2);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_gradient (rank, 45, 0, rank < 2 ? 7 : 9);
    assert_string_equal (expelled ()->others, "w0, w1 against w2");
    worker_detach (bed.coord, bed.workers[2]);
    form (2, 0, 2);
    assert_false (queue_fits (bed.coord, bed.job, NULL, bed.workers[2]));
    assert_true (queue_fits (bed.coord, bed.job, NULL, bed.workers[3]));
    assert_false (audit_keeps_off (bed.job, &(struct worker){ .name = "" })); /* a liar's, who has none */
    agree (40);
    assert_false (queue_fits (bed.coord, bed.job, NULL, bed.workers[2]));
    bed.coord->place_at_ms = UINT64_MAX;
    agree (50);
    assert_true (queue_fits (bed.coord, bed.job, NULL, bed.workers[2]));
    assert_true (bed.coord->place_at_ms < UINT64_MAX);
}

/* Without it the job could not go on at all; and while nobody has a state, it loads its own. */
static void who_is_in_dispute_is_taken_where_it_is_needed (void **state)
{
    (void)state;
    open_job (2);
    say_state (0, 50, 7);
    say_state (1, 50, 9);
    worker_detach (bed.coord, bed.workers[1]);
    form (1, 0, 1);
    assert_false (queue_fits (bed.coord, bed.job, NULL, bed.workers[1]));
    bed.job->durable.workers_min = bed.job->soft.worker_count + 1;
    assert_true (queue_fits (bed.coord, bed.job, NULL, bed.workers[1]));
    bed.job->durable.workers_min = 1;
    bed.job->durable.state = MU_JOB_PREPARING;
    assert_true (queue_fits (bed.coord, bed.job, NULL, bed.workers[1]));
}

/* --- going back ------------------------------------------------------------------------------- */

static void checkpoints_that_nobody_knows_to_be_right_are_dropped (void **state)
{
    (void)state;
    open_job (3);
    save (1, 40);
    agree (50);
    save (1, 45);
    save (1, 60);
    assert_int_equal (bed.job->durable.anchor, 45);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_gradient (rank, 64, 0, rank == 0 ? 9 : 7);
    assert_int_equal (expelled ()->agreed_step, 50);
    assert_int_equal (expelled ()->back_step, 45);
    assert_int_equal (job_committed_step (bed.job), 45);
    save (1, 60); /* of the generation that is not to be trusted, said late */
    assert_int_equal (job_committed_step (bed.job), 45);
    form (2, 45, 2);
    save (2, 60);
    assert_int_equal (job_committed_step (bed.job), 60);
}

static void who_was_never_compared_takes_all_back_to_the_start (void **state)
{
    (void)state;
    open_job (3);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 50, 7); /* but no gradient was */
    save (1, 40);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 100, rank == 0 ? 9 : 7);
    assert_int_equal (expelled ()->back_step, 0);
    assert_int_equal (job_committed_step (bed.job), 0);
}

/* Its word was on its way when its state was given up: it does not count, and nobody lied. */
static void a_late_checkpoint_of_a_wrong_state_is_none (void **state)
{
    (void)state;
    open_job (3);
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 50, rank == 0 ? 9 : 7);
    assert_string_equal (expelled ()->worker, "w0");
    save (1, 60);
    assert_int_equal (job_committed_step (bed.job), 0);
    assert_int_equal (stored (MU_JOURNAL_DISBELIEVED), 0);
}

static void states_from_before_are_loaded_anew (void **state)
{
    (void)state;
    open_job (3);
    assert_false (audit_is_tainted (bed.job, bed.workers[0]));
    for (uint32_t rank = 0; rank < 3; rank++)
        say_state (rank, 50, rank == 0 ? 9 : 7);
    assert_true (audit_is_tainted (bed.job, bed.workers[1]));
    for (uint32_t i = 0; i < RANKS_MAX; i++)
        order_clear (bed.workers[i]);
    assert_null (generation_best (bed.coord, bed.job, false));
    assert_true (audit_reopen (bed.coord, bed.job));
    assert_int_equal (bed.workers[1]->order, ORDER_RELEASE);
    assert_true (bed.workers[1]->again);
    assert_int_equal (bed.workers[0]->order, ORDER_NONE); /* it leaves */
    bed.workers[1]->position.distrusted = bed.job->durable.distrusted;
    assert_false (audit_is_tainted (bed.job, bed.workers[1]));
}

#define AUDIT_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        AUDIT_TEST (equal_states_are_agreed_on),
        AUDIT_TEST (the_odd_one_of_three_is_wrong),
        AUDIT_TEST (two_wrong_ones_of_five_go_together),
        AUDIT_TEST (an_owner_is_judged_by_two_others),
        AUDIT_TEST (a_trainer_that_differs_each_time_is_named),
        AUDIT_TEST (one_of_ours_does_not),
        AUDIT_TEST (nor_is_it_the_trainer_long_after),
        AUDIT_TEST (an_opinion_that_is_missing_decides_nothing),
        AUDIT_TEST (those_that_differ_though_one_lacks_take_all_back),
        AUDIT_TEST (what_many_say_again_pushes_no_state_out),
        AUDIT_TEST (nor_what_others_said_of_gradients),
        AUDIT_TEST (a_state_that_few_speak_of_is_forgotten),
        AUDIT_TEST (two_that_differ_are_asked_twice),
        AUDIT_TEST (who_was_asked_first_does_not_matter),
        AUDIT_TEST (two_that_have_agreed_again_get_another_chance),
        AUDIT_TEST (a_given_state_has_no_voice),
        AUDIT_TEST (a_loaded_state_has_no_voice_beside_one_that_was_kept),
        AUDIT_TEST (a_given_state_has_a_voice_once_it_was_compared),
        AUDIT_TEST (who_is_not_as_the_source_takes_all_back),
        AUDIT_TEST (who_begins_otherwise_twice_fails_the_job),
        AUDIT_TEST (who_is_in_dispute_joins_when_the_others_have_agreed),
        AUDIT_TEST (who_is_in_dispute_is_taken_where_it_is_needed),
        AUDIT_TEST (checkpoints_that_nobody_knows_to_be_right_are_dropped),
        AUDIT_TEST (who_was_never_compared_takes_all_back_to_the_start),
        AUDIT_TEST (a_late_checkpoint_of_a_wrong_state_is_none),
        AUDIT_TEST (states_from_before_are_loaded_anew),
    };
    return cmocka_run_group_tests_name ("audit", tests, NULL, NULL);
}
