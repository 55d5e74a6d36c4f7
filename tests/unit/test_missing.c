/* SPDX-License-Identifier: Apache-2.0 */
/* test_missing.c - no worker can read the newest checkpoint: it is waited for, and not for ever */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FIRST_MS  40000u /* it trained before the first checkpoint */
#define SECOND_MS 60000u /* ... and until the second */

static bool says (const struct bed *bed, const char *words)
{
    struct mu_wire_job_info info = job_info (bed);
    char reason[1024];
    snprintf (reason, sizeof reason, "%.*s", (int)info.reason.size,
              info.reason.size ? (const char *)info.reason.data : "");
    return strstr (reason, words) != NULL;
}

static void opens (struct bed *bed, uint32_t worker, uint64_t at)
{
    struct mu_wire_prepared said = { .step = at };
    mu_text_set (said.digest, sizeof said.digest, "d");
    if (!at)
        mu_text_set (said.unread, sizeof said.unread, "opening /mnt/c: No such file or directory");
    prepared_with (bed, worker, said);
}

/* All that were told to let go and open it again do so, and come to that state. */
static unsigned all_open (struct bed *bed, uint64_t at)
{
    unsigned count = 0;
    all_let_go (bed);
    pass (bed, BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++) {
        if (!was_told (bed, w, "ASSIGN"))
            continue;
        bed->told[w][0] = '\0';
        opens (bed, w, at);
        count++;
    }
    pass (bed, BEAT_MS);
    return count;
}

/* Two checkpoints are committed, nobody holds a state any more, and nobody can read the newer one. */
static void lose_all (struct bed *bed)
{
    running (bed, 6);
    pass (bed, FIRST_MS);
    say_saved (bed, 0, 1, 3);
    pass (bed, SECOND_MS);
    say_saved (bed, 0, 1, 5);
    assert_int_equal (committed (bed), 5);
    all_start_anew (bed, 2);
    all_open (bed, 0);
    assert_int_equal (bed->forms, 1);
    assert_int_equal (all_open (bed, 0), WORKERS); /* once more, at once */
}

static void it_is_waited_for_and_all_is_said (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    assert_int_equal (bed.forms, 1);
    assert_int_equal (committed (&bed), 5);
    assert_true (
        says (&bed, "waits for its checkpoint of step 5 (/mnt/c), which w0, w1 and w2 cannot read: "
                    "opening /mnt/c: No such file or directory."));
    assert_true (says (&bed, "After 60 s more it is given up and training goes back to step 3; "
                             "`muster resume --forgo-checkpoint 1` does that now"));
    assert_non_null (strstr (bed.state, "waits for its checkpoint of step 5")); /* an event */
    for (unsigned tries = 0; tries < 3; tries++) {
        pass (&bed, 5000);
        all_open (&bed, 0);
    }
    assert_true (says (&bed, "After 44 s more it is given up"));
    finish (&bed);
}

static void when_it_comes_back_it_is_gone_on_from (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    pass (&bed, COORD_MISSING_RETRY_MS);
    assert_int_equal (all_open (&bed, 0), WORKERS);
    assert_int_equal (bed.forms, 1);
    pass (&bed, COORD_MISSING_RETRY_MS);
    assert_int_equal (all_open (&bed, 5), WORKERS);
    assert_int_equal (bed.forms, 2);
    assert_int_equal (job_info (&bed).step, 5);
    assert_false (says (&bed, "waits"));
    finish (&bed);
}

/* As long as its steps took, and then as long as those before it. */
static void it_is_not_waited_for_longer_than_its_steps_took (void **state)
{
    (void)state;
    struct bed bed;
    uint64_t waited_ms = 0, given_up_ms = 0;
    lose_all (&bed);
    for (; bed.forms == 1; waited_ms += BEAT_MS) {
        assert_true (waited_ms < FIRST_MS + SECOND_MS + 20000);
        if (!given_up_ms && committed (&bed) == 3)
            given_up_ms = waited_ms;
        waited_ms += 2 * BEAT_MS;
        all_open (&bed, 0);
        pass (&bed, BEAT_MS);
    }
    assert_true (given_up_ms > SECOND_MS - 1500 && given_up_ms < SECOND_MS + 1500);
    assert_true (waited_ms - given_up_ms > FIRST_MS - 1500);
    assert_int_equal (committed (&bed), 0);
    assert_int_equal (job_info (&bed).step, 0);
    assert_true (says (&bed, "cannot be read"));
    finish (&bed);
}

/* An hour without workers, or at rest, is no hour of looking for it. */
static void only_time_in_which_somebody_looks_counts (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.quiet[w] = true;
    pass (&bed, 3600000);
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.quiet[w] = false;
    all_start_anew (&bed, 3);
    all_open (&bed, 0);
    all_open (&bed, 0);
    assert_int_equal (committed (&bed), 5);
    assert_int_equal (bed.forms, 1);
    finish (&bed);
}

static void forgo (struct bed *bed)
{
    struct mu_wire wire = { .type = MU_WIRE_CONTROL,
                            .control = { .request = 7, .verb = 3, .forgo = true } };
    mu_text_set (wire.control.job, sizeof wire.control.job, "1");
    step (bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
}

/* Whoever knows that it does not come back: all that lie there are given up, one after the other. */
static void who_says_so_need_not_wait (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    forgo (&bed);
    assert_int_equal (committed (&bed), 3);
    all_open (&bed, 0);
    all_open (&bed, 0);
    assert_int_equal (committed (&bed), 0);
    all_open (&bed, 0);
    all_open (&bed, 0);
    assert_int_equal (bed.forms, 2);
    finish (&bed);
}

/* The job has all that it may have; who was let go for that is the one on the host where it lies. */
static void who_cannot_read_it_makes_room_for_one_that_is_free (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    struct mu_wire wire = { .type = MU_WIRE_SCALE, .scale = { .request = 2, .workers = 2 } };
    mu_text_set (wire.scale.job, sizeof wire.scale.job, "1");
    step (&bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
    pass (&bed, 500);
    uint32_t last = WORKERS - 1;
    assert_true (was_told (&bed, last, "RELEASE"));
    for (unsigned tries = 0; tries < 5 && bed.forms == 1; tries++) {
        all_let_go (&bed);
        pass (&bed, COORD_MISSING_RETRY_MS);
        for (uint32_t w = 0; w < WORKERS; w++)
            if (was_told (&bed, w, "ASSIGN"))
                opens (&bed, w, w == last ? 5 : 0);
        pass (&bed, BEAT_MS);
    }
    assert_non_null (strstr (bed.turned_away, "it cannot read the job's checkpoint"));
    assert_int_equal (bed.forms, 2);
    assert_int_equal (job_info (&bed).step, 5);
    finish (&bed);
}

static void what_is_loading_it_just_then_begins_anew (void **state)
{
    (void)state;
    struct bed bed;
    lose_all (&bed);
    pass (&bed, COORD_MISSING_RETRY_MS);
    all_let_go (&bed);
    pass (&bed, BEAT_MS);
    uint64_t orders[WORKERS];
    memcpy (orders, bed.order, sizeof orders);
    forgo (&bed);
    for (uint32_t w = 0; w < WORKERS; w++) {
        bed.order[w] = orders[w];
        opens (&bed, w, 5);
    }
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 1);
    finish (&bed);
}

static void nobody_forgoes_what_is_not_waited_for (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 6);
    say_saved (&bed, 0, 1, 5);
    forgo (&bed);
    assert_int_equal (committed (&bed), 5);
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (it_is_waited_for_and_all_is_said),
        cmocka_unit_test (when_it_comes_back_it_is_gone_on_from),
        cmocka_unit_test (it_is_not_waited_for_longer_than_its_steps_took),
        cmocka_unit_test (only_time_in_which_somebody_looks_counts),
        cmocka_unit_test (who_says_so_need_not_wait),
        cmocka_unit_test (who_cannot_read_it_makes_room_for_one_that_is_free),
        cmocka_unit_test (what_is_loading_it_just_then_begins_anew),
        cmocka_unit_test (nobody_forgoes_what_is_not_waited_for),
    };
    return cmocka_run_group_tests_name ("missing", tests, NULL, NULL);
}
