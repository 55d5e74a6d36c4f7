/* SPDX-License-Identifier: Apache-2.0 */
/* test_unsound.c - a checkpoint is not what was committed: when it is given up, and what takes its place */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Two checkpoints are committed, and no worker is left that holds a state. */
static void lose_all (struct bed *bed)
{
    running (bed, 6);
    say_saved (bed, 0, 1, 3);
    say_saved (bed, 0, 1, 5);
    assert_int_equal (committed (bed), 5);
    all_start_anew (bed, 2);
}

static char sum_text[64] = "d"; /* of what is loaded */

static void opens (struct bed *bed, uint32_t worker, uint64_t at, uint64_t unsound)
{
    struct mu_wire_prepared said = { .step = at, .unsound = unsound };
    mu_text_set (said.digest, sizeof said.digest, sum_text);
    prepared_with (bed, worker, said);
}

/* All are told to open the job, once more if need be, and say how that went. */
static void all_open (struct bed *bed, uint64_t at, uint64_t unsound)
{
    all_let_go (bed);
    pass (bed, BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_true (was_told (bed, w, "ASSIGN"));
        bed->told[w][0] = '\0';
    }
    for (uint32_t w = 0; w < WORKERS; w++)
        opens (bed, w, at, w == 1 ? unsound : 0);
    pass (bed, BEAT_MS);
}

static void the_one_before_takes_its_place (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    all_open (&bed, 0, 5);
    assert_int_equal (committed (&bed), 5); /* all try once more */
    all_open (&bed, 0, 5);
    assert_int_equal (committed (&bed), 3);
    assert_int_equal (bed.forms, 1);
    all_open (&bed, 3, 0);
    assert_int_equal (bed.forms, 2);
    assert_int_equal (job_info (&bed).step, 3);
    finish (&bed);
}

/* Its state is the highest, and none that anybody trained. */
static void who_was_still_opening_it_begins_anew (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    all_open (&bed, 0, 5);
    all_open (&bed, 0, 5);
    assert_int_equal (committed (&bed), 3);
    all_let_go (&bed);
    pass (&bed, BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++) {
        bed.told[w][0] = '\0';
        opens (&bed, w, w == 0 ? 5 : 3, 0);
    }
    assert_true (was_told (&bed, 0, "RELEASE"));
    let_go (&bed, 0);
    pass (&bed, BEAT_MS);
    opens (&bed, 0, 3, 0);
    pass (&bed, BEAT_MS);
    assert_int_equal (job_info (&bed).step, 3);
    finish (&bed);
}

static void when_all_are_unsound_it_begins_at_the_start (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    all_open (&bed, 0, 5);
    all_open (&bed, 0, 5);
    all_open (&bed, 0, 3);
    assert_int_equal (committed (&bed), 0);
    assert_int_equal (bed.forms, 2);
    finish (&bed);
}

/* Storage that is away may come back. */
static void what_cannot_be_read_is_not_given_up (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    all_open (&bed, 0, 0);
    all_open (&bed, 0, 0);
    assert_int_equal (committed (&bed), 5);
    assert_int_equal (bed.forms, 1);
    finish (&bed);
}

/* Nor does what was found out about another checkpoint count. */
static void nor_is_another_one (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    all_open (&bed, 0, 3);
    all_open (&bed, 0, 3);
    assert_int_equal (committed (&bed), 5);
    finish (&bed);
}

static void nor_if_somebody_could_load_it (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    for (uint32_t w = 0; w < WORKERS; w++)
        opens (&bed, w, w == 2 ? 5 : 0, w == 2 ? 0 : 5);
    pass (&bed, BEAT_MS);
    assert_int_equal (committed (&bed), 5);
    assert_int_equal (bed.forms, 2);
    finish (&bed);
}

/* Its writer says it again; and the next generation writes it anew. */
static void it_is_not_committed_once_more (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    all_open (&bed, 0, 5);
    all_open (&bed, 0, 5);
    say_saved (&bed, 0, 1, 5);
    assert_int_equal (committed (&bed), 3);
    all_open (&bed, 3, 0);
    say_saved (&bed, 0, 1, 5);
    assert_int_equal (committed (&bed), 3);
    say_saved (&bed, 0, 2, 5);
    assert_int_equal (committed (&bed), 5);
    finish (&bed);
}

static void digest (struct bed *bed, uint32_t worker, uint64_t at, uint64_t sum)
{
    hear (bed, worker,
          (struct mu_wire){ .type = MU_WIRE_DIGEST,
                            .digest = { .job = 1, .generation = 1, .step = at, .digest = sum } });
}

/* Before a checkpoint all ranks say what their states come to. */
static void all_compared (struct bed *bed, uint64_t at)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        digest (bed, w, at, 0xabc);
    say_saved (bed, 0, 1, at);
}

static void lose_all_compared (struct bed *bed)
{
    running (bed, 6);
    all_compared (bed, 3);
    all_compared (bed, 5);
    all_start_anew (bed, 2);
}

/* Its file, its hash and what was committed are the same, and not what the ranks held. */
static void what_all_held_is_not_what_is_loaded (void **state)
{
    (void)state;
    struct bed bed;
    lose_all_compared (&bed);
    all_open (&bed, 5, 0); /* the digest is "d" */
    all_open (&bed, 5, 0);
    assert_int_equal (committed (&bed), 3);
    assert_int_equal (bed.forms, 1);
    snprintf (sum_text, sizeof sum_text, "%016x", 0xabcu);
    all_open (&bed, 3, 0);
    snprintf (sum_text, sizeof sum_text, "d");
    assert_int_equal (bed.forms, 2);
    finish (&bed);
}

/* It wrote what nobody held; of the one before it alone has said what that is. */
static void its_writer_is_not_believed_about_others (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 6);
    say_saved (&bed, 0, 1, 3);
    all_compared (&bed, 5);
    all_start_anew (&bed, 2);
    all_open (&bed, 5, 0);
    all_open (&bed, 5, 0);
    assert_int_equal (committed (&bed), 0);
    finish (&bed);
}

static void one_that_loads_another_state_than_others_is_turned_away (void **state)
{
    (void)state;
    struct bed bed;
    lose_all_compared (&bed);
    snprintf (sum_text, sizeof sum_text, "%016x", 0xabcu);
    opens (&bed, 0, 5, 0);
    opens (&bed, 2, 5, 0);
    snprintf (sum_text, sizeof sum_text, "d");
    opens (&bed, 1, 5, 0);
    pass (&bed, BEAT_MS);
    assert_int_equal (committed (&bed), 5);
    let_go (&bed, 1);
    pass (&bed, BEAT_MS);
    assert_false (was_told (&bed, 1, "ASSIGN"));
    assert_int_equal (bed.forms, 2);
    finish (&bed);
}

static void the_next_reign_knows_it (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    all_open (&bed, 0, 5);
    all_open (&bed, 0, 5);
    restart (&bed);
    assert_int_equal (committed (&bed), 3);
    say_saved (&bed, 0, 1, 5);
    assert_int_equal (committed (&bed), 3);
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_one_before_takes_its_place),
        cmocka_unit_test (who_was_still_opening_it_begins_anew),
        cmocka_unit_test (when_all_are_unsound_it_begins_at_the_start),
        cmocka_unit_test (what_cannot_be_read_is_not_given_up),
        cmocka_unit_test (nor_is_another_one),
        cmocka_unit_test (nor_if_somebody_could_load_it),
        cmocka_unit_test (it_is_not_committed_once_more),
        cmocka_unit_test (what_all_held_is_not_what_is_loaded),
        cmocka_unit_test (its_writer_is_not_believed_about_others),
        cmocka_unit_test (one_that_loads_another_state_than_others_is_turned_away),
        cmocka_unit_test (the_next_reign_knows_it),
    };
    return cmocka_run_group_tests_name ("unsound", tests, NULL, NULL);
}
