/* SPDX-License-Identifier: Apache-2.0 */
/* test_trust.c - penalties add up, fade, and put a worker in quarantine for a while */
#include "coordinator/roster.h"
#include "coordinator/trust.h"
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct {
    struct coord *coord;
    struct worker worker;
    struct coord_actions actions;
} bed;

static void open_core (uint32_t failures)
{
    struct coord_options options = { .version = "test", .quarantine_failures = failures };
    memset (&bed, 0, sizeof bed);
    bed.coord = coord_create (&options);
    bed.coord->out = &bed.actions;
    bed.coord->now_ms = 1000;
    mu_text_set (bed.worker.name, sizeof bed.worker.name, "w");
}

static int end (void **state)
{
    (void)state;
    coord_destroy (&bed.coord);
    free (bed.actions.list);
    return 0;
}

static void blame (uint64_t after_ms)
{
    bed.coord->now_ms += after_ms;
    trust_blame (bed.coord, &bed.worker, "test");
}

static uint32_t stored (void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < bed.actions.count; i++)
        count += bed.actions.list[i].type == COORD_STORE &&
                 bed.actions.list[i].store.type == MU_JOURNAL_QUARANTINE;
    return count;
}

static void three_in_a_row_are_too_many (void **state)
{
    (void)state;
    open_core (3);
    blame (0);
    blame (30000);
    assert_false (trust_lacks (bed.coord, &bed.worker));
    blame (30000);
    assert_true (trust_lacks (bed.coord, &bed.worker));
    blame (10);
    assert_int_equal (stored (), 1); /* told once */
}

static void failures_far_apart_are_none (void **state)
{
    (void)state;
    open_core (3);
    for (int i = 0; i < 100; i++)
        blame (COORD_PENALTY_HALF_MS * 2);
    assert_false (trust_lacks (bed.coord, &bed.worker));
}

static void nobody_is_quarantined_where_nobody_is_to_be (void **state)
{
    (void)state;
    open_core (0);
    for (int i = 0; i < 100; i++)
        blame (0);
    assert_false (trust_lacks (bed.coord, &bed.worker));
}

static void a_quarantined_worker_serves_the_minimum_alone (void **state)
{
    (void)state;
    open_core (1);
    blame (0);
    struct job job = { .durable.workers_min = 2 };
    job.soft.worker_count = 1;
    assert_true (trust_takes (bed.coord, &job, &bed.worker));
    job.soft.worker_count = 2;
    assert_false (trust_takes (bed.coord, &job, &bed.worker));
}

/* Nobody of that name is on the roster: it is forgotten after a while. */
static void it_ends (void **state)
{
    (void)state;
    open_core (3);
    for (int i = 0; i < 3; i++)
        blame (0);
    trust_mind (bed.coord);
    assert_true (trust_lacks (bed.coord, &bed.worker));
    bed.coord->now_ms += COORD_PENALTY_HALF_MS + 1;
    trust_mind (bed.coord);
    assert_false (trust_lacks (bed.coord, &bed.worker));
    assert_int_equal (stored (), 2);
}

/* All were silent too long, w0 for the third time. The job goes to w1, whose state is gone, and then w0 is back with
 * what it has trained: in quarantine or not, nobody else has those steps. */
static void steps_that_it_alone_holds_are_taken (void **state)
{
    (void)state;
    struct bed story;
    running (&story, 20);
    story.coord->options.quarantine_failures = 3;
    struct worker *lone = roster_by_name (story.coord, "w0");
    lone->penalty = 2 * 1024;
    lone->penalty_ms = story.now_ms;
    for (uint32_t w = 0; w < WORKERS; w++)
        story.quiet[w] = true;
    pass (&story, COORD_LOST_MS + BEAT_MS);
    assert_true (trust_lacks (story.coord, lone));
    story.quiet[0] = story.quiet[1] = false;
    start_anew (&story, 1, 2);
    hello (&story, 0);
    pass (&story, 2 * BEAT_MS);
    assert_true (was_told (&story, 1, "ASSIGN"));
    assert_true (was_told (&story, 0, "ABORT"));
    story.told[0][0] = '\0';
    story.beat[0].generation = 0; /* it has ended */
    pass (&story, BEAT_MS);
    assert_false (was_told (&story, 0, "RELEASE"));
    assert_true (was_told (&story, 0, "ASSIGN"));
    finish (&story);
}

/* First it was silent, then another process of its name came. */
static void one_death_is_one_failure (void **state)
{
    (void)state;
    struct bed story;
    running (&story, 20);
    story.coord->options.quarantine_failures = 3;
    struct worker *dead = roster_by_name (story.coord, "w1");
    story.quiet[1] = true;
    pass (&story, COORD_LOST_MS + BEAT_MS);
    assert_true (dead->lost);
    assert_int_equal (dead->penalty, 1024);
    start_anew (&story, 1, 2);
    assert_false (dead->lost);
    assert_int_equal (dead->penalty, 1024);
    finish (&story);
}

/* The job may have one worker, and w1 is about to load the checkpoint for it when w0, which had only stood still, is back
 * with the steps: w1 gives way. */
static void who_brings_steps_to_a_job_that_is_full_takes_a_place (void **state)
{
    (void)state;
    struct bed story;
    running (&story, 20);
    for (uint32_t w = 0; w < WORKERS; w++)
        story.quiet[w] = true;
    pass (&story, COORD_LOST_MS + BEAT_MS);
    story.coord->durable.jobs[0]->durable.workers_max = 1;
    story.quiet[0] = story.quiet[1] = false;
    start_anew (&story, 1, 2);
    hello (&story, 0);
    pass (&story, 2 * BEAT_MS);
    assert_true (was_told (&story, 1, "ASSIGN"));
    story.beat[0].generation = 0; /* it has ended */
    pass (&story, BEAT_MS);
    assert_false (was_told (&story, 0, "RELEASE"));
    assert_true (was_told (&story, 0, "ASSIGN"));
    let_go (&story, 1);
    prepared_with (&story, 0, (struct mu_wire_prepared){ .step = 21 });
    pass (&story, 2 * BEAT_MS);
    assert_int_equal (story.forms, 2);
    assert_int_equal (story.formed_step, 21);
    assert_false (was_told (&story, 1, "ASSIGN"));
    finish (&story);
}

/* Somebody has drained it while it was silent. It comes once more, for its state to be saved, and leaves. */
static void who_brings_steps_and_is_to_leave_saves_them_first (void **state)
{
    (void)state;
    struct bed story;
    running (&story, 20);
    for (uint32_t w = 0; w < WORKERS; w++)
        story.quiet[w] = true;
    pass (&story, COORD_LOST_MS + BEAT_MS);
    drain (&story, 0, false);
    story.quiet[0] = story.quiet[1] = false;
    start_anew (&story, 1, 2);
    hello (&story, 0);
    story.beat[0].generation = 0; /* it has ended */
    pass (&story, 2 * BEAT_MS);
    assert_true (was_told (&story, 1, "ASSIGN") && was_told (&story, 0, "ASSIGN"));
    assert_false (was_told (&story, 0, "RELEASE"));
    prepared_with (&story, 0, (struct mu_wire_prepared){ .step = 21 });
    pass (&story, BEAT_MS);
    assert_true (was_told (&story, 0, "SAVE"));
    assert_false (was_told (&story, 0, "RELEASE"));
    say_saved (&story, 0, 1, 21);
    pass (&story, BEAT_MS);
    assert_int_equal (committed (&story), 21);
    let_go (&story, 0);
    prepared_with (&story, 1, (struct mu_wire_prepared){ .step = 21 });
    pass (&story, BEAT_MS);
    assert_int_equal (story.forms, 2);
    assert_int_equal (story.formed_step, 21);
    finish (&story);
}

#define TRUST_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TRUST_TEST (three_in_a_row_are_too_many),
        TRUST_TEST (failures_far_apart_are_none),
        TRUST_TEST (nobody_is_quarantined_where_nobody_is_to_be),
        TRUST_TEST (a_quarantined_worker_serves_the_minimum_alone),
        TRUST_TEST (it_ends),
        cmocka_unit_test (one_death_is_one_failure),
        cmocka_unit_test (steps_that_it_alone_holds_are_taken),
        cmocka_unit_test (who_brings_steps_to_a_job_that_is_full_takes_a_place),
        cmocka_unit_test (who_brings_steps_and_is_to_leave_saves_them_first),
    };
    return cmocka_run_group_tests_name ("trust", tests, NULL, NULL);
}
