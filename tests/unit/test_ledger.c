/* SPDX-License-Identifier: Apache-2.0 */
/* test_ledger.c - true journals are proven, and say who trained what */
#include "ledger_bed.h"

#include <stdlib.h>

static void trained_by (const struct ledger *ledger, uint64_t step, uint32_t m, const char *name,
                        uint64_t generation)
{
    struct ledger_share share[MICRO_BATCHES];
    assert_int_not_equal (ledger_who (ledger, step, share), LEDGER_NONE);
    assert_string_equal (ledger->workers[share[m].worker].name, name);
    assert_int_equal (ledger->generations[share[m].generation].number, generation);
}

static void nothing_yet (void **unused)
{
    (void)unused;
    begin ();
    struct ledger *ledger = proven (0);
    struct ledger_share share[MICRO_BATCHES];
    assert_int_equal (ledger_who (ledger, 0, share), LEDGER_NONE);
    ledger_destroy (&ledger);
}

static void one_generation (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b c", "0012", "0122");
    to_the_end (1);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 0, 1, "a", 1);
    trained_by (ledger, 0, 2, "b", 1);
    trained_by (ledger, 1, 2, "c", 1);
    trained_by (ledger, STEPS - 1, 0, "a", 1);
    assert_int_equal (ledger_shards (ledger), STEPS / 4 * MICRO_BATCHES);
    struct ledger_share share[MICRO_BATCHES];
    assert_int_equal (ledger_who (ledger, STEPS, share), LEDGER_NONE);
    ledger_destroy (&ledger);
}

static void resume_from_step_8 (void)
{
    static const char spec[] = "{\"seed\": 7, \"checkpoint\": {\"resume\": \"8\"}}";
    begin ();
    journal[0].submit.spec = (struct mu_blob){ spec, sizeof spec - 1 };
}

/* What came before is another job's, and its ledger's. */
static void a_checkpoint_that_the_job_file_names (void **unused)
{
    (void)unused;
    struct ledger_share share[MICRO_BATCHES];
    resume_from_step_8 ();
    form (1, 8, "a@8 b@8", "0011", "0011");
    to_the_end (1);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 8, 2, "b", 1);
    assert_int_equal (ledger_who (ledger, 7, share), LEDGER_NONE);
    ledger_destroy (&ledger);
}

static void it_is_opened_again_when_all_died (void **unused)
{
    (void)unused;
    resume_from_step_8 ();
    form (1, 8, "a@8 b@8", "0011", "0011");
    start (1);
    broken (1);
    form (2, 8, "A@8", "0000", "0000");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 8, 2, "a", 2);
    ledger_destroy (&ledger);
}

static void while_it_runs (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b", "0011", "0011");
    start (1);
    lease (1, 24);
    trained (1, 0, 3);
    trained (1, 1, 2);
    struct ledger *ledger = proven (12); /* a rank that is further proves it for all */
    assert_int_equal (ledger_shards (ledger), 3 * 2 + 2 * 2);
    ledger_destroy (&ledger);
}

static void a_step_of_two_generations (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9+01 c", "0001", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 8, 3, "b", 1);
    trained_by (ledger, 9, 0, "a", 1); /* kept */
    trained_by (ledger, 9, 1, "a", 1);
    trained_by (ledger, 9, 2, "a", 2); /* the dead one's, done again */
    trained_by (ledger, 9, 3, "c", 2);
    trained_by (ledger, 10, 0, "a", 2);
    ledger_destroy (&ledger);
}

static void sums_kept_through_two_breaks (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9+0 c", "0001", "0011");
    start (2);
    broken (2);
    form (3, 9, "a<2@9+01 d", "0011", "0011");
    to_the_end (3);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 9, 0, "a", 1);
    trained_by (ledger, 9, 1, "a", 2);
    trained_by (ledger, 9, 2, "d", 3);
    ledger_destroy (&ledger);
}

/* Sums that are not all one's own are dropped as a whole; those of another step are nothing. */
static void dropped_sums_count_nothing (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9+01 b<1@8+23", "0111", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    for (uint32_t m = 0; m < MICRO_BATCHES; m++)
        trained_by (ledger, 9, m, m ? "b" : "a", 2);
    ledger_destroy (&ledger);
}

static bool is_left_out (const struct ledger *ledger, uint64_t step, uint32_t m)
{
    struct ledger_share share[MICRO_BATCHES];
    assert_int_not_equal (ledger_who (ledger, step, share), LEDGER_NONE);
    assert_int_equal (share[m].left_out, share[m].worker == LEDGER_NONE);
    return share[m].left_out;
}

static void poison_was_trained_by_nobody (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    leave_out (9, 3);
    form (2, 9, "a<1@9+01 c", "0001", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    assert_true (is_left_out (ledger, 9, 3));
    assert_false (is_left_out (ledger, 9, 2));
    assert_false (is_left_out (ledger, 10, 3));
    ledger_destroy (&ledger);
}

/* A trainer that dies of it only sometimes: this history had done the step before it was condemned. */
static void poison_that_was_trained_counts (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    leave_out (5, 3);
    form (2, 9, "a<1@9+01 c", "0001", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    assert_false (is_left_out (ledger, 5, 3));
    assert_false (ledger_is_left_out (ledger, history, runs, &ledger->skips[0]));
    free (history);
    ledger_destroy (&ledger);
}

static void all_die (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    commit (1, 6);
    rewind_to (6);
    form (2, 6, "c@6 d@6", "0011", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 5, 0, "a", 1);
    trained_by (ledger, 6, 0, "c", 2);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    assert_int_equal (runs, 2);
    struct ledger_run lost = ledger_abandoned (ledger, history, runs, 0);
    assert_int_equal (lost.from, 6);
    assert_int_equal (lost.to, 8);
    lost = ledger_abandoned (ledger, history, runs, 1);
    assert_int_equal (lost.from, lost.to);
    free (history);
    ledger_destroy (&ledger);
}

/* Went back so often, and gave up so many steps. */
static void went_back (uint32_t times, uint64_t steps)
{
    struct ledger *ledger = proven (STEPS);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    for (uint32_t at = 0; at < ledger->generation_count; at++) {
        struct ledger_run lost = ledger_abandoned (ledger, history, runs, at);
        steps -= lost.to - lost.from;
    }
    assert_int_equal (steps, 0);
    assert_int_equal (ledger_rewinds (ledger), times);
    free (history);
    ledger_destroy (&ledger);
}

/* No whole window is taken back, and so no REWIND is stored. */
static void a_wrong_worker_takes_all_back (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b c d", "0123", "0123");
    start (1);
    commit (1, 3);
    broken (1);
    expel (1, 0);
    expel (1, 0); /* two are wrong */
    form (2, 0, "a b", "0011", "0011");
    to_the_end (2);
    went_back (1, 3);
}

static void a_checkpoint_that_is_given_up_takes_all_back (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    commit (1, 4);
    commit (1, 7);
    rewind_to (7);
    unsound (1, 7, 4);
    rewind_to (4);
    form (2, 4, "c@4", "0000", "0000");
    to_the_end (2);
    went_back (1, 4);
}

static void who_goes_on_did_not_go_back (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9+01 c", "0001", "0011");
    to_the_end (2);
    went_back (0, 0);
}

/* After all died training began anew; then a checkpoint of before was heard of, and loaded. */
static void a_late_checkpoint_brings_back_what_was_given_up (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    rewind_to (0);
    form (2, 0, "c", "0000", "0000");
    start (2);
    trained (2, 0, 1);
    commit (1, 8);
    broken (2);
    form (3, 8, "d@8", "0000", "0000");
    to_the_end (3);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 3, 3, "b", 1);
    trained_by (ledger, 8, 3, "d", 3);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    struct ledger_run lost = ledger_abandoned (ledger, history, runs, 1);
    assert_int_equal (lost.from, 0);
    assert_int_equal (lost.to, 4);
    free (history);
    ledger_destroy (&ledger);
}

/* A member that was behind wrote the checkpoint when the generation that began later was over. */
static void a_checkpoint_of_one_who_was_behind (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9", "0000", "0000");
    broken (2);
    commit (2, 8);
    rewind_to (8);
    form (3, 8, "c@8", "0000", "0000");
    to_the_end (3);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 7, 3, "b", 1);
    ledger_destroy (&ledger);
}

/* Nobody reported the last steps before the break; the next generation's begin proves them. */
static void given_up_by_one_who_was_further (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    commit (1, 8);
    form (2, 11, "a<1@11", "0000", "0000");
    broken (2);
    rewind_to (8);
    form (3, 8, "c@8", "0000", "0000");
    to_the_end (3);
    struct ledger *ledger = proven (STEPS);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    assert_int_equal (runs, 2);
    struct ledger_run lost = ledger_abandoned (ledger, history, runs, 0);
    assert_int_equal (lost.from, 8);
    assert_int_equal (lost.to, 11);
    lost = ledger_abandoned (ledger, history, runs, 1);
    assert_int_equal (lost.from, lost.to);
    free (history);
    ledger_destroy (&ledger);
}

/* A coordinator that came back does not know where a trainer's state comes from; the records do. */
static void a_state_that_a_restart_forgot (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 10, "a@10", "0000", "0000");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 9, 3, "b", 1);
    ledger_destroy (&ledger);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (nothing_yet),
        cmocka_unit_test (one_generation),
        cmocka_unit_test (a_checkpoint_that_the_job_file_names),
        cmocka_unit_test (it_is_opened_again_when_all_died),
        cmocka_unit_test (while_it_runs),
        cmocka_unit_test (a_step_of_two_generations),
        cmocka_unit_test (sums_kept_through_two_breaks),
        cmocka_unit_test (dropped_sums_count_nothing),
        cmocka_unit_test (poison_was_trained_by_nobody),
        cmocka_unit_test (poison_that_was_trained_counts),
        cmocka_unit_test (all_die),
        cmocka_unit_test (a_wrong_worker_takes_all_back),
        cmocka_unit_test (a_checkpoint_that_is_given_up_takes_all_back),
        cmocka_unit_test (who_goes_on_did_not_go_back),
        cmocka_unit_test (a_late_checkpoint_brings_back_what_was_given_up),
        cmocka_unit_test (a_checkpoint_of_one_who_was_behind),
        cmocka_unit_test (given_up_by_one_who_was_further),
        cmocka_unit_test (a_state_that_a_restart_forgot),
    };
    return cmocka_run_group_tests_name ("ledger", tests, NULL, NULL);
}