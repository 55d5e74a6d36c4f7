/* SPDX-License-Identifier: Apache-2.0 */
/* test_loss.c - who reads the events learns who died, also where others noticed it first */
#include "tests/unit/job_bed.h"

#include "coordinator/loss.h"
#include "coordinator/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void down (struct bed *bed, uint32_t worker, bool ended, const char *text)
{
    struct mu_wire_down down = { .job = 1, .generation = 1, .ended = ended };
    mu_text_set (down.text, sizeof down.text, text);
    hear (bed, worker, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = down });
}

static void gone (struct bed *bed, uint32_t worker)
{
    bed->quiet[worker] = true;
    step (bed, (struct coord_event){ .type = COORD_GONE, .peer = worker });
}

static const char *state_of (const struct bed *bed, const char *name)
{
    return mu_worker_state_name ((int)worker_state (bed->coord, roster_by_name (bed->coord, name)));
}

static void who_died_is_told_after_who_noticed (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    down (&bed, 1, false, "the connection to another rank failed");
    assert_string_equal (
        bed.reason, "the collective of worker w1 ended: the connection to another rank failed");
    assert_int_equal (bed.losses, 0);
    gone (&bed, 0);
    assert_int_equal (bed.losses, 1);
    assert_string_equal (bed.lost.text,
                         "worker w0, which was in generation 1, is gone: its connection ended");
    assert_int_equal (bed.lost.process, MU_PROCESS_AGENT);
    assert_string_equal (bed.lost.worker, "w0");
    assert_string_equal (state_of (&bed, "w0"), "lost");
    finish (&bed);
}

static void who_is_known_to_be_gone_is_named_at_once (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    gone (&bed, 0);
    assert_int_equal (bed.broken, 0); /* it may only dial again */
    down (&bed, 1, false, "the connection to another rank failed");
    assert_string_equal (bed.reason,
                         "worker w0 is gone, and the collective of worker w1 ended: the "
                         "connection to another rank failed");
    assert_int_equal (bed.losses, 1);
    finish (&bed);
}

static void whose_collective_was_killed_is_told_after_who_noticed (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    down (&bed, 1, false, "the connection to another rank failed");
    down (&bed, 2, false, "the connection to another rank failed");
    assert_int_equal (bed.losses, 0); /* it noticed, too */
    for (int again = 0; again < 2; again++)
        down (&bed, 0, true, "signal 9 (Killed)");
    assert_int_equal (bed.losses, 1);
    assert_string_equal (bed.lost.text, "the collective of worker w0, which was in generation 1, "
                                        "ended: signal 9 (Killed)");
    assert_int_equal (bed.lost.process, MU_PROCESS_COLLECTIVE);
    finish (&bed);
}

static void who_is_named_by_the_break_is_not_told_twice (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    bed.quiet[0] = true;
    pass (&bed, 4 * COORD_LOST_MS);
    assert_non_null (strstr (bed.reason, "worker w0 was silent for "));
    assert_int_equal (bed.losses, 0);
    finish (&bed);
}

static void of_many_some_are_told (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    down (&bed, 1, false, "the connection to another rank failed");
    struct coord_actions actions = { 0 };
    bed.coord->out = &actions;
    struct job *job = core_job (bed.coord, 1);
    for (int i = 0; i < 1000; i++)
        loss_tell (bed.coord, job, roster_by_name (bed.coord, "w0"), MU_PROCESS_AGENT, "is gone");
    assert_int_equal (actions.count, 9);
    assert_non_null (strstr (actions.list[7].store.lost.text, "worker w0, "));
    assert_non_null (strstr (actions.list[8].store.lost.text, "`muster workers` lists them"));
    free (actions.list);
    finish (&bed);
}

static void who_was_told_to_end_has_left (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    struct mu_wire bye = { .type = MU_WIRE_BYE };
    mu_text_set (bye.bye.reason, sizeof bye.bye.reason, "told to stop");
    bed.quiet[0] = true;
    hear (&bed, 0, bye);
    assert_string_equal (state_of (&bed, "w0"), "left");
    assert_int_equal (bed.losses, 0);
    gone (&bed, 0);
    assert_string_equal (state_of (&bed, "w0"), "left");
    bed.quiet[0] = false;
    start_anew (&bed, 0, 99);
    assert_string_equal (state_of (&bed, "w0"), "free");
    bed.quiet[0] = true;
    gone (&bed, 0);
    pass (&bed, 4 * COORD_LOST_MS);
    assert_string_equal (state_of (&bed, "w0"), "lost");
    finish (&bed);
}

static void silence_is_what_was_asked_for_and_four_beats_at_least (void **state)
{
    (void)state;
    static const uint32_t expected[][3] = {
        { 250, 1000, 1000 }, { 250, 100, 1000 }, { 20, 100, 100 }, { 250, 4000, 4000 }
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct coord *coord = coord_create (&(struct coord_options){
            .version = "0", .beat_ms = expected[i][0], .lost_ms = expected[i][1] });
        assert_int_equal (coord_lost_ms (coord), expected[i][2]);
        coord_destroy (&coord);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (who_died_is_told_after_who_noticed),
        cmocka_unit_test (who_is_known_to_be_gone_is_named_at_once),
        cmocka_unit_test (whose_collective_was_killed_is_told_after_who_noticed),
        cmocka_unit_test (who_is_named_by_the_break_is_not_told_twice),
        cmocka_unit_test (of_many_some_are_told),
        cmocka_unit_test (who_was_told_to_end_has_left),
        cmocka_unit_test (silence_is_what_was_asked_for_and_four_beats_at_least),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
