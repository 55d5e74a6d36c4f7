/* SPDX-License-Identifier: Apache-2.0 */
/* test_savers.c - whose word on a checkpoint counts, and what becomes of others' */
#include "coordinator/checkpoint.h"
#include "coordinator/generation.h"
#include "coordinator/job.h"
#include "coordinator/orders.h"
#include "coordinator/prepare.h"
#include "coordinator/shards.h"
#include "tests/unit/audit_bed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t committed (void) { return job_committed_step (bed.job); }

/* Three workers have trained generation 1 up to some step, which w0 was to save. */
static int begin (void **state)
{
    (void)state;
    open_job (3);
    return 0;
}

static const struct mu_journal_disbelieved *disbelieved (void)
{
    for (uint32_t i = bed.actions.count; i-- > 0;)
        if (bed.actions.list[i].type == COORD_STORE &&
            bed.actions.list[i].store.type == MU_JOURNAL_DISBELIEVED)
            return &bed.actions.list[i].store.disbelieved;
    fail_msg ("everybody was believed");
    return NULL;
}

/* A rank has done the last step, and says what its weights come to; NULL: it is of an older version. */
static void finish (uint32_t rank, const char *hash)
{
    struct mu_wire wire = { .type = MU_WIRE_BEAT,
                            .term = bed.term,
                            .beat = { .job = 1,
                                      .generation = bed.job->durable.generation.number,
                                      .phase = MU_PHASE_FINISHED,
                                      .step = 1000 } };
    mu_text_set (wire.beat.weights_hash, sizeof wire.beat.weights_hash, hash ? hash : "");
    bed.workers[rank]->phase = MU_PHASE_FINISHED;
    shards_progress (bed.coord, bed.workers[rank], &wire);
}

static void break_up (void) { generation_break (bed.coord, bed.job, true, "test"); }

/* The best state leaves: that worker is told to save it. */
static void tell (uint32_t worker, uint64_t step)
{
    for (uint32_t i = 0; i < RANKS_MAX; i++)
        order_clear (bed.workers[i]);
    bed.workers[worker]->position.step = step;
    bed.workers[worker]->yields = true;
    bed.workers[worker]->unseen = false; /* it was compared, and goes */
    assert_true (checkpoint_wait (bed.coord, bed.job));
    assert_int_equal (bed.workers[worker]->order, ORDER_SAVE);
}

static void fails (uint32_t worker, uint64_t step)
{
    struct mu_wire wire = { .type = MU_WIRE_SAVE_FAILED,
                            .term = bed.term,
                            .save_failed = { .job = 1, .generation = 1, .step = step } };
    checkpoint_save_failed (bed.coord, bed.workers[worker], &wire);
}

/* Its writer did not move and was ended: what it was told to save comes next, and it may not go before. */
static void a_failure_of_the_one_before_is_no_answer (void **state)
{
    (void)state;
    break_up ();
    tell (2, 57);
    fails (2, 40);
    assert_int_equal (bed.workers[2]->order, ORDER_SAVE);
    assert_true (checkpoint_wait (bed.coord, bed.job));
    fails (2, 57);
    assert_int_equal (bed.workers[2]->order, ORDER_NONE);
}

/* Its disk was full for a moment: what it holds alone is not given up for that. */
static void what_cannot_be_saved_is_tried_again (void **state)
{
    (void)state;
    bed.coord->options.save_try_ms = COORD_SAVE_TRY_MS;
    break_up ();
    tell (2, 57);
    fails (2, 57);
    assert_true (checkpoint_wait (bed.coord, bed.job));
    assert_int_equal (bed.workers[2]->order, ORDER_NONE); /* not at once */
    bed.coord->now_ms += COORD_SAVE_RETRY_MS;
    assert_true (checkpoint_wait (bed.coord, bed.job));
    assert_int_equal (bed.workers[2]->order, ORDER_SAVE);
    fails (2, 57);
    bed.coord->now_ms += COORD_SAVE_RETRY_MS;
    assert_true (checkpoint_wait (bed.coord, bed.job)); /* ever more rarely */
    assert_int_equal (bed.workers[2]->order, ORDER_NONE);
    bed.coord->now_ms += COORD_SAVE_TRY_MS;
    assert_true (checkpoint_wait (bed.coord, bed.job));
    fails (2, 57); /* and not for ever */
    assert_false (checkpoint_wait (bed.coord, bed.job));
}

/* Those who are left wait for another worker, and may die before it comes. */
static void a_job_that_lacks_workers_saves_what_is_there (void **state)
{
    (void)state;
    break_up ();
    for (uint32_t i = 0; i < RANKS_MAX; i++)
        order_clear (bed.workers[i]);
    bed.workers[1]->position.step = 57;
    bed.job->soft.lacking_since_ms = bed.coord->now_ms;
    assert_false (checkpoint_wait (bed.coord, bed.job)); /* it may come at once */
    bed.coord->now_ms += COORD_LACK_SAVE_MS;
    assert_true (checkpoint_wait (bed.coord, bed.job));
    assert_int_equal (bed.workers[1]->order, ORDER_SAVE);
    bed.job->soft.lacking_since_ms = 0;
    assert_false (checkpoint_wait (bed.coord, bed.job)); /* it has come, and is not kept waiting */
    assert_int_equal (bed.workers[1]->order, ORDER_NONE);
}

/* It waits for a comparison, for which nobody can train at once. */
static void a_pause_outlives_a_break (void **state)
{
    (void)state;
    break_up ();
    job_move (bed.coord, bed.job, MU_JOB_BREAKING, MU_JOB_PAUSED, MU_OK, "paused on request");
    for (uint32_t i = 0; i < RANKS_MAX; i++)
        order_clear (bed.workers[i]);
    bed.job->soft.form_after_ms = bed.coord->now_ms + 1000;
    job_advance (bed.coord, bed.job);
    assert_int_equal (bed.job->durable.state, MU_JOB_PREPARING);
    assert_int_equal (bed.job->durable.target, MU_JOB_PAUSED);
}

/* A pause that loses work says so. */
static void a_pause_without_its_state_says_so (void **state)
{
    (void)state;
    bed.coord->options.save_try_ms = 1;
    break_up ();
    job_move (bed.coord, bed.job, MU_JOB_BREAKING, MU_JOB_PAUSED, MU_OK, "paused on request");
    for (uint32_t i = 0; i < RANKS_MAX; i++) {
        order_clear (bed.workers[i]);
        bed.workers[i]->unseen = false; /* it was compared */
    }
    bed.workers[2]->position.step = 57;
    for (uint32_t tries = 0; tries < 2; tries++) {
        assert_true (checkpoint_wait (bed.coord, bed.job));
        fails (2, 57);
        bed.coord->now_ms += COORD_SAVE_RETRY_MS;
    }
    job_advance (bed.coord, bed.job);
    assert_int_equal (bed.job->durable.state, MU_JOB_STOPPING);
    assert_int_equal (bed.job->durable.target, MU_JOB_PAUSED);
    assert_non_null (strstr (bed.job->durable.reason, "what came after step 0 was not saved"));
    assert_non_null (strstr (bed.job->durable.reason, "Not saved by worker w2"));
}

static void the_writer_is_believed (void **state)
{
    (void)state;
    save_by (0, 1, 40);
    assert_int_equal (committed (), 40);
    assert_int_equal (stored (MU_JOURNAL_DISBELIEVED), 0);
}

static void another_rank_is_not (void **state)
{
    (void)state;
    bed.workers[1]->connected = true;
    save_by (1, 1, 40);
    assert_int_equal (committed (), 0);
    assert_string_equal (disbelieved ()->worker, "w1");
    assert_int_equal (disbelieved ()->step, 40);
    assert_int_equal (bed.actions.count, 1); /* nor is anything answered */
}

/* Its worker would say it again as soon as an older step is said to be committed. */
static void what_does_not_count_is_not_answered (void **state)
{
    (void)state;
    bed.workers[0]->connected = true;
    bed.job->durable.distrusted = 1;
    save_by (0, 1, 40);
    assert_int_equal (committed (), 0);
    assert_int_equal (stored (MU_JOURNAL_DISBELIEVED), 0); /* it said what was so */
    assert_int_equal (bed.actions.count, 0);
}

static void who_has_nothing_to_do_with_the_job_is_not (void **state)
{
    (void)state;
    worker_detach (bed.coord, bed.workers[4]);
    save_by (4, 1, 40);
    assert_int_equal (committed (), 0);
    assert_string_equal (disbelieved ()->worker, "w4");
}

static void who_says_it_again_and_again_is_told_of_once (void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        save_by (1, 1, 40 + i);
    assert_int_equal (stored (MU_JOURNAL_DISBELIEVED), 1);
    bed.coord->now_ms += COORD_DOUBT_MS;
    save_by (1, 1, 40);
    assert_int_equal (stored (MU_JOURNAL_DISBELIEVED), 2);
}

static void steps_that_were_not_leased_are_not_saved (void **state)
{
    (void)state;
    break_up ();
    form (2, 500, 2);
    save_by (0, 2, 499); /* before it began */
    save_by (0, 2, 1001);
    assert_int_equal (committed (), 0);
    save_by (0, 2, 500);
    assert_int_equal (committed (), 500);
}

static void nor_generations_that_are_not_there (void **state)
{
    (void)state;
    save_by (0, 2, 40);
    save_by (0, 0, 40);
    save_by (0, UINT64_MAX, 40);
    assert_int_equal (committed (), 0);
}

static void the_writer_of_an_older_generation_is_believed_wherever_it_is (void **state)
{
    (void)state;
    break_up ();
    struct worker *first = bed.workers[0];
    bed.workers[0] = bed.workers[3]; /* has its rank in the next one */
    bed.workers[3] = first;
    form (2, 80, 2);
    worker_detach (bed.coord, first);
    save_by (3, 2, 90);
    assert_int_equal (committed (), 0);
    save_by (3, 1, 70);
    assert_int_equal (committed (), 70);
    save_by (0, 2, 90);
    assert_int_equal (committed (), 90);
}

static void another_process_of_its_name_is_not (void **state)
{
    (void)state;
    bed.workers[0]->incarnation = 2;
    save_by (0, 1, 40);
    assert_int_equal (committed (), 0);
    assert_int_equal (disbelieved ()->incarnation, 2);
}

static void who_was_told_is_believed (void **state)
{
    (void)state;
    break_up ();
    tell (2, 60);
    assert_int_equal (stored (MU_JOURNAL_SAVE), 1);
    save_by (1, 1, 60);
    assert_int_equal (committed (), 0);
    save_by (2, 1, 59);
    assert_int_equal (committed (), 0);
    save_by (2, 1, 60);
    assert_int_equal (committed (), 60);
    assert_int_equal (bed.workers[2]->order, ORDER_NONE);
}

static void who_was_told_and_has_let_go_is_believed (void **state)
{
    (void)state;
    break_up ();
    tell (2, 60);
    worker_detach (bed.coord, bed.workers[2]);
    form (2, 50, 2);
    save_by (2, 1, 60);
    assert_int_equal (committed (), 60);
}

static void the_next_reign_knows_who_was_told (void **state)
{
    (void)state;
    break_up ();
    tell (2, 60);
    restart ();
    save_by (1, 1, 60);
    assert_int_equal (committed (), 0);
    save_by (2, 1, 60);
    assert_int_equal (committed (), 60);
}

static void what_is_committed_is_not_said_to_be_something_else (void **state)
{
    (void)state;
    save_by (0, 1, 40);
    save_by (1, 1, 40); /* the same */
    save_by (1, 1, 30); /* nobody asks any more */
    assert_int_equal (stored (MU_JOURNAL_DISBELIEVED), 0);
    bed.hash = "another";
    save_by (0, 1, 40);
    assert_string_equal (disbelieved ()->worker, "w0");
    assert_string_equal (job_newest_commit (bed.job)->weights_hash, "right");
}

static void the_last_one_waits_for_the_others (void **state)
{
    (void)state;
    save_by (0, 1, 999); /* any other does not */
    assert_int_equal (committed (), 999);
    save_by (0, 1, 1000);
    finish (1, "right");
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 999);
    finish (2, "right");
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 1000);
    assert_int_equal (stored (MU_JOURNAL_EXPEL), 0);
}

/* Nobody will load it: it is done, not paused. */
static void it_does_so_where_the_job_is_to_be_paused (void **state)
{
    (void)state;
    job_move (bed.coord, bed.job, MU_JOB_RUNNING, MU_JOB_PAUSED, MU_OK, "test");
    save_by (0, 1, 1000);
    finish (1, "right");
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 0);
    job_advance (bed.coord, bed.job);
    assert_int_equal (bed.job->durable.state, MU_JOB_RUNNING);
    finish (2, "right");
    finish (0, "right");
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 1000);
    job_advance (bed.coord, bed.job);
    assert_int_equal (bed.job->durable.target, MU_JOB_DONE);
}

static void it_does_so_while_a_generation_breaks_for_a_pause (void **state)
{
    (void)state;
    finish (1, "right");
    break_up ();
    job_move (bed.coord, bed.job, MU_JOB_BREAKING, MU_JOB_PAUSED, MU_OK, "test");
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 0);
}

/* All leave, say. Two others had finished with another state. */
static void who_is_told_to_save_the_last_is_held_to_what_others_said (void **state)
{
    (void)state;
    finish (1, "right");
    finish (2, "right");
    break_up ();
    tell (0, 1000);
    bed.hash = "wrong";
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 0);
    assert_int_equal (bed.workers[0]->order, ORDER_RELEASE);
    worker_detach (bed.coord, bed.workers[0]);
    tell (1, 1000);
    bed.hash = "right";
    save_by (1, 1, 1000);
    assert_int_equal (committed (), 1000);
    assert_string_equal (job_newest_commit (bed.job)->weights_hash, "right");
}

static void who_does_not_know_the_hash_is_not_waited_for (void **state)
{
    (void)state;
    finish (1, NULL);
    finish (2, NULL);
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 1000);
}

static void one_that_says_another_hash_of_the_last_is_expelled (void **state)
{
    (void)state;
    agree (900);
    save_by (0, 1, 900);
    finish (1, "right");
    finish (2, "right");
    bed.hash = "wrong";
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 900);
    assert_string_equal (expelled ()->worker, "w0");
    assert_int_equal (expelled ()->back_step, 900);
    assert_int_equal (bed.job->durable.state, MU_JOB_BREAKING);
}

/* Of the one before nobody but w0 has said what it is: 500 is the newest that others wrote, or agreed on. */
static void who_is_expelled_is_not_believed_about_what_it_wrote (void **state)
{
    (void)state;
    agree (500);
    save_by (0, 1, 500);
    save_by (0, 1, 900);
    agree (1000);
    finish (1, "right");
    finish (2, "right");
    bed.hash = "wrong";
    save_by (0, 1, 1000);
    assert_string_equal (expelled ()->worker, "w0");
    assert_int_equal (expelled ()->back_step, 500);
    assert_int_equal (committed (), 500);
}

static void of_two_nobody_can_say_who_is_wrong (void **state)
{
    (void)state;
    break_up ();
    form (2, 40, 2);
    finish (1, "right");
    bed.hash = "wrong";
    save_by (0, 2, 1000);
    assert_int_equal (committed (), 0);
    assert_string_equal (expelled ()->worker, "");
}

/* Of all states, as DIGEST tells it: with that, whoever loads the checkpoint proves it. */
static void a_checkpoint_is_committed_with_its_sum (void **state)
{
    (void)state;
    agree (40); /* all say 7 */
    save_by (0, 1, 40);
    assert_int_equal (job_newest_commit (bed.job)->state_sum, 7);
    save_by (0, 1, 50);
    assert_int_equal (job_newest_commit (bed.job)->state_sum, 0);
    agree (60);
    break_up ();
    tell (0, 60);
    save_by (0, 1, 60);
    assert_int_equal (job_newest_commit (bed.job)->state_sum, 7);
}

/* With other scales than after the step before. */
static void a_state_between_two_tries_has_none (void **state)
{
    (void)state;
    agree (60);
    break_up ();
    bed.workers[0]->position.attempt = 1;
    tell (0, 60);
    save_by (0, 1, 60);
    assert_int_equal (committed (), 60);
    assert_int_equal (job_newest_commit (bed.job)->state_sum, 0);
}

/* Of what is for people the next reign knows what was promised with a checkpoint, until members speak. */
static void what_a_checkpoint_reached_is_known_in_the_next_reign (void **state)
{
    (void)state;
    struct mu_wire_job_info info;
    struct mu_wire wire = { .type = MU_WIRE_SAVED,
                            .saved = { .job = 1,
                                       .generation = 1,
                                       .step = 40,
                                       .path = { "/c", 2 },
                                       .weights_hash = "aa",
                                       .loss = 2.5,
                                       .loss_evaluated = 2.75,
                                       .accuracy = 0.5,
                                       .evaluated_step = 41 } };
    checkpoint_saved (bed.coord, bed.workers[0], &wire);
    restart ();
    coord_job_info (bed.coord, 1, &info);
    assert_true (info.loss == 2.5 && info.loss_evaluated == 2.75 && info.accuracy == 0.5);
    assert_int_equal (info.evaluated_step, 41);
    bed.job->soft.results =
        (struct results){ .loss = 2, .loss_evaluated = 3, .evaluated_step = 31 };
    coord_job_info (bed.coord, 1, &info);
    assert_true (info.loss == 2 && info.loss_evaluated == 2.75); /* the newer evaluation */
}

/* What it says of its own is no sum; that comes with the last one's word. */
static void a_checkpoint_waits_for_its_sum (void **state)
{
    (void)state;
    bed.workers[0]->connected = true;
    say_state (0, 40, 7);
    save_by (0, 1, 40);
    say_state (1, 40, 7);
    save_by (0, 1, 40);
    assert_int_equal (committed (), 0);
    bed.actions.count = 0;
    bed.kept = 0;
    say_state (2, 40, 7);
    assert_int_equal (bed.actions.count, 2); /* AGREED, and COMMITTED of before: say it again */
    assert_int_equal (bed.actions.list[1].send.wire.type, MU_WIRE_COMMITTED);
    save_by (0, 1, 40);
    assert_int_equal (committed (), 40);
    assert_int_equal (job_newest_commit (bed.job)->state_sum, 7);
}

/* Nobody speaks of it any more. */
static void it_does_not_wait_for_ever (void **state)
{
    (void)state;
    say_state (0, 40, 7);
    break_up ();
    save_by (0, 1, 40);
    assert_int_equal (committed (), 0);
    form (2, 50, 2);
    save_by (0, 1, 40);
    assert_int_equal (committed (), 40);
}

/* Its writer's word that it failed was lost: they end the generation, and somebody is told to write it. */
static void the_last_one_is_not_waited_for_for_ever (void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank < 3; rank++)
        finish (rank, "right");
    bed.coord->now_ms = bed.job->soft.finished_ms + COORD_SAVE_LIMIT_MS - 1;
    job_advance (bed.coord, bed.job);
    assert_int_equal (bed.job->durable.state, MU_JOB_RUNNING);
    bed.coord->now_ms++;
    job_advance (bed.coord, bed.job);
    assert_int_equal (bed.job->durable.state, MU_JOB_BREAKING);
    assert_string_equal (bed.job->soft.why, "the last checkpoint was not written in time");
}

/* The others of its generation write it anew, and are compared. */
static void who_has_let_go_does_not_decide_about_the_last (void **state)
{
    (void)state;
    break_up ();
    for (uint32_t i = 0; i < 3; i++) {
        order_clear (bed.workers[i]);
        bed.workers[i]->position.step = 1000;
    }
    worker_detach (bed.coord, bed.workers[0]);
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 0);
    bed.workers[1]->position.step = 999; /* one alone cannot be compared */
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 1000);
}

/* What the newest AGREED about states tells of: how many steps, and the first of them. */
static struct told_sums {
    uint32_t count;
    uint64_t first;
} newest_sums (void)
{
    struct told_sums told = { 0 };
    for (uint32_t i = 0; i < bed.actions.count; i++) {
        const struct mu_journal *record = &bed.actions.list[i].store;
        if (bed.actions.list[i].type == COORD_STORE && record->type == MU_JOURNAL_AGREED &&
            !record->agreed.place)
            told =
                (struct told_sums){ record->agreed.sums.count, record->agreed.sums.items[0].step };
    }
    return told;
}

/* It waited where nobody heard it; what its writer compared comes before it says that again. */
static void what_was_said_in_the_reign_before_does_not_count (void **state)
{
    (void)state;
    bed.coord->durable.term = 2;
    bed.term = 1;
    save_by (0, 1, 40);
    assert_int_equal (committed (), 0);
    agree (40);
    bed.term = 2;
    save_by (0, 1, 40);
    assert_int_equal (job_newest_commit (bed.job)->state_sum, 7);
}

/* The same of the last step: what all ranks computed of it comes behind. */
static void nobody_has_finished_who_said_so_in_the_reign_before (void **state)
{
    (void)state;
    bed.coord->durable.term = 2;
    bed.term = 2;
    finish (1, "right");
    finish (0, "right");
    bed.term = 1;
    finish (2, "right");
    bed.term = 2;
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 0);
    finish (2, "right");
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 1000);
}

/* They form once more, and are compared. */
static void the_last_one_waits_while_a_worker_lacks (void **state)
{
    (void)state;
    bed.job->durable.workers_min = 3;
    break_up ();
    job_move (bed.coord, bed.job, MU_JOB_PREPARING, MU_JOB_PENDING, MU_OK, "test");
    for (uint32_t i = 0; i < 3; i++) {
        order_clear (bed.workers[i]);
        bed.workers[i]->position.step = 1000;
    }
    worker_detach (bed.coord, bed.workers[2]);
    bed.job->soft.ended_ms = bed.coord->now_ms;
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 0);
    bed.coord->now_ms += COORD_SAVE_LIMIT_MS; /* not for ever */
    save_by (0, 1, 1000);
    assert_int_equal (committed (), 1000);
}

/* Of those that may still be saved: an older record of that kind is not kept. */
static void the_next_reign_knows_the_sums (void **state)
{
    (void)state;
    agree (30);
    save_by (0, 1, 30);
    agree (40);
    agree (50);
    assert_int_equal (newest_sums ().count, 2);
    assert_int_equal (newest_sums ().first, 40);
    restart ();
    save_by (0, 1, 40);
    assert_int_equal (job_newest_commit (bed.job)->state_sum, 7);
}

/* No worker held them any more: what one makes of those steps alone is its own. */
static void sums_are_given_up_with_lost_steps (void **state)
{
    (void)state;
    agree (30);
    agree (40);
    break_up ();
    form (1, 30, 2);
    assert_int_equal (bed.job->durable.sum_count, 1);
    save_by (0, 2, 40);
    assert_int_equal (committed (), 40);
    assert_int_equal (job_newest_commit (bed.job)->state_sum, 0);
}

/* They were those of wrong states. */
static void sums_are_given_up_with_the_states (void **state)
{
    (void)state;
    agree (40);
    say_state (0, 60, 9);
    say_state (1, 60, 7);
    say_state (2, 60, 7);
    assert_string_equal (expelled ()->worker, "w0");
    assert_int_equal (bed.job->durable.sum_count, 0);
}

static void old_savers_are_forgotten (void **state)
{
    (void)state;
    for (uint64_t step = 1; step < 100; step++) {
        break_up ();
        form (2, step, 2);
    }
    assert_int_equal (bed.job->durable.saver_count, SAVERS_MAX);
    save_by (0, 100, 1000); /* the last one counts when the other rank says the same */
    finish (1, "right");
    save_by (0, 100, 1000);
    assert_int_equal (bed.job->durable.saver_count, 1);
    job_stop (bed.coord, bed.job, MU_JOB_CANCELLED, MU_CANCELLED, "test");
    job_move (bed.coord, bed.job, MU_JOB_CANCELLED, MU_JOB_PENDING, MU_CANCELLED, "test");
    assert_int_equal (bed.job->durable.saver_count, 0);
}

#define SAVERS_TEST(test) cmocka_unit_test_setup_teardown (test, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        SAVERS_TEST (a_failure_of_the_one_before_is_no_answer),
        SAVERS_TEST (what_cannot_be_saved_is_tried_again),
        SAVERS_TEST (a_job_that_lacks_workers_saves_what_is_there),
        SAVERS_TEST (a_pause_outlives_a_break),
        SAVERS_TEST (a_pause_without_its_state_says_so),
        SAVERS_TEST (the_writer_is_believed),
        SAVERS_TEST (another_rank_is_not),
        SAVERS_TEST (what_does_not_count_is_not_answered),
        SAVERS_TEST (who_has_nothing_to_do_with_the_job_is_not),
        SAVERS_TEST (who_says_it_again_and_again_is_told_of_once),
        SAVERS_TEST (steps_that_were_not_leased_are_not_saved),
        SAVERS_TEST (nor_generations_that_are_not_there),
        SAVERS_TEST (the_writer_of_an_older_generation_is_believed_wherever_it_is),
        SAVERS_TEST (another_process_of_its_name_is_not),
        SAVERS_TEST (who_was_told_is_believed),
        SAVERS_TEST (who_was_told_and_has_let_go_is_believed),
        SAVERS_TEST (the_next_reign_knows_who_was_told),
        SAVERS_TEST (what_is_committed_is_not_said_to_be_something_else),
        SAVERS_TEST (the_last_one_waits_for_the_others),
        SAVERS_TEST (it_does_so_where_the_job_is_to_be_paused),
        SAVERS_TEST (it_does_so_while_a_generation_breaks_for_a_pause),
        SAVERS_TEST (who_is_told_to_save_the_last_is_held_to_what_others_said),
        SAVERS_TEST (who_does_not_know_the_hash_is_not_waited_for),
        SAVERS_TEST (one_that_says_another_hash_of_the_last_is_expelled),
        SAVERS_TEST (who_is_expelled_is_not_believed_about_what_it_wrote),
        SAVERS_TEST (of_two_nobody_can_say_who_is_wrong),
        SAVERS_TEST (a_checkpoint_is_committed_with_its_sum),
        SAVERS_TEST (what_a_checkpoint_reached_is_known_in_the_next_reign),
        SAVERS_TEST (a_state_between_two_tries_has_none),
        SAVERS_TEST (a_checkpoint_waits_for_its_sum),
        SAVERS_TEST (it_does_not_wait_for_ever),
        SAVERS_TEST (the_last_one_is_not_waited_for_for_ever),
        SAVERS_TEST (who_has_let_go_does_not_decide_about_the_last),
        SAVERS_TEST (the_last_one_waits_while_a_worker_lacks),
        SAVERS_TEST (nobody_has_finished_who_said_so_in_the_reign_before),
        SAVERS_TEST (what_was_said_in_the_reign_before_does_not_count),
        SAVERS_TEST (the_next_reign_knows_the_sums),
        SAVERS_TEST (sums_are_given_up_with_lost_steps),
        SAVERS_TEST (sums_are_given_up_with_the_states),
        SAVERS_TEST (old_savers_are_forgotten),
    };
    return cmocka_run_group_tests_name ("savers", tests, NULL, NULL);
}
