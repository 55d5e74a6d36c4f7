/* SPDX-License-Identifier: Apache-2.0 */
/* test_overdue.c - a checkpoint whose writer does not move is told of, and a stopped writer is ended */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HANG_MS COORD_HANG_MS

static void saved (struct bed *bed, uint64_t at)
{
    struct mu_wire wire = {
        .type = MU_WIRE_SAVED,
        .saved = { .job = 1, .generation = 1, .step = at, .path = { "/mnt/c", 6 }, .bytes = 1 }
    };
    mu_text_set (wire.saved.weights_hash, sizeof wire.saved.weights_hash, "right");
    hear (bed, 0, wire);
}

static struct mu_wire_job_info about (const struct bed *bed)
{
    struct mu_wire_job_info info;
    assert_int_equal (coord_job_info (bed->coord, 1, &info), 0);
    return info;
}

static const char *reason (const struct bed *bed)
{
    static char text[1024];
    struct mu_wire_job_info info = about (bed);
    snprintf (text, sizeof text, "%.*s", (int)info.reason.size,
              info.reason.size ? (const char *)info.reason.data : "");
    return text;
}

/* The writer of w0 says for so long that it has not moved, as its beats tell. */
static void hangs (struct bed *bed, uint64_t at, uint64_t from_ms, uint64_t to_ms,
                   const char *process)
{
    for (uint64_t ms = from_ms; ms <= to_ms; ms += BEAT_MS) {
        struct mu_wire_beat *beat = &bed->beat[0];
        beat->writing = at + 1;
        beat->writer_phase = MU_WRITING_FILLING;
        beat->writer_still_ms = ms;
        mu_text_set (beat->writer, sizeof beat->writer, process);
        pass (bed, BEAT_MS);
    }
}

static void begin (struct bed *bed)
{
    running (bed, 8);
    saved (bed, 3);
    assert_int_equal (about (bed).weights_step, 3);
    assert_int_equal (about (bed).weights_ms, 1700000000000 + bed->now_ms);
}

static void it_is_told_whose_where_and_what_it_would_cost (void **state)
{
    (void)state;
    struct bed bed;
    begin (&bed);
    hangs (&bed, 6, BEAT_MS, HANG_MS - BEAT_MS, "disk");
    assert_int_equal (bed.overdues, 0);
    assert_false (about (&bed).overdue);
    hangs (&bed, 6, HANG_MS, HANG_MS + 2000, "disk");
    assert_int_equal (bed.overdues, 1); /* once, whatever its beats go on saying */
    assert_string_equal (
        bed.overdue_text,
        "the checkpoint of step 6 is overdue: worker w0's writer (disk) has not moved for 5.0 s in "
        "phase filling; its storage does not answer; if all workers died now, training would go "
        "back to step 3 and do 5 steps again");
    assert_true (about (&bed).overdue);
    assert_non_null (strstr (reason (&bed), "has not moved for 7.0 s"));
    hangs (&bed, 6, HANG_MS + 2000, COORD_STALL_MS + 1000, "disk");
    assert_int_equal (bed.overdues, 1);
    assert_int_equal (bed.broken, 0);
    assert_false (was_told (&bed, 0, "END_WRITER")); /* it is left alone */
    finish (&bed);
}

static void it_is_told_when_it_is_over (void **state)
{
    (void)state;
    struct bed bed;
    begin (&bed);
    hangs (&bed, 6, BEAT_MS, HANG_MS, "disk");
    saved (&bed, 6);
    assert_int_equal (bed.overdues_over, 1);
    assert_string_equal (bed.overdue_text, "the checkpoint of step 6 is overdue no more: that of "
                                           "step 6 is committed");
    assert_false (about (&bed).overdue);
    assert_string_equal (reason (&bed), "");
    pass (&bed, 1000); /* its beats still say so */
    assert_int_equal (bed.overdues, 1);
    finish (&bed);
}

/* Slow storage is told of once, and then less soon. */
static void what_moves_again_was_slow (void **state)
{
    (void)state;
    struct bed bed;
    begin (&bed);
    hangs (&bed, 6, BEAT_MS, HANG_MS + 1000, "disk");
    hangs (&bed, 6, 0, BEAT_MS, "disk");
    assert_int_equal (bed.overdues_over, 1);
    assert_non_null (strstr (bed.overdue_text, "overdue no more: its writer moves again"));
    hangs (&bed, 6, BEAT_MS, 2 * (HANG_MS + 1000) - BEAT_MS, "disk");
    assert_int_equal (bed.overdues, 1);
    hangs (&bed, 6, 2 * (HANG_MS + 1000), 2 * (HANG_MS + 1000), "disk");
    assert_int_equal (bed.overdues, 2);
    finish (&bed);
}

static void one_that_was_stopped_is_ended (void **state)
{
    (void)state;
    struct bed bed;
    begin (&bed);
    bed.told[0][0] = '\0';
    hangs (&bed, 6, BEAT_MS, HANG_MS - BEAT_MS, "stopped");
    assert_false (was_told (&bed, 0, "END_WRITER"));
    hangs (&bed, 6, HANG_MS, HANG_MS, "stopped");
    assert_true (was_told (&bed, 0, "END_WRITER"));
    assert_int_equal (bed.end_writing, 6);
    assert_non_null (strstr (bed.overdue_text, "(stopped) has not moved for 5.0 s"));
    assert_non_null (strstr (bed.overdue_text, "it is ended and replaced"));
    bed.told[0][0] = '\0';
    pass (&bed, BEAT_MS); /* the word may have been lost */
    assert_true (was_told (&bed, 0, "END_WRITER"));
    bed.beat[0].writing = 0;
    pass (&bed, BEAT_MS);
    assert_non_null (strstr (bed.overdue_text, "it is not written any more"));
    finish (&bed);
}

static void one_that_sleeps_is_given_time (void **state)
{
    (void)state;
    struct bed bed;
    begin (&bed);
    hangs (&bed, 6, BEAT_MS, COORD_STALL_MS - BEAT_MS, "sleeping");
    assert_int_equal (bed.overdues, 1);
    assert_false (was_told (&bed, 0, "END_WRITER"));
    hangs (&bed, 6, COORD_STALL_MS, COORD_STALL_MS, "sleeping");
    assert_true (was_told (&bed, 0, "END_WRITER"));
    finish (&bed);
}

static void it_goes_with_its_worker (void **state)
{
    (void)state;
    struct bed bed;
    begin (&bed);
    hangs (&bed, 6, BEAT_MS, HANG_MS, "disk");
    bed.quiet[0] = true;
    pass (&bed, 2000);
    assert_int_equal (bed.overdues_over, 1);
    assert_non_null (strstr (bed.overdue_text, "worker w0 has let the job go"));
    assert_false (about (&bed).overdue);
    finish (&bed);
}

static void what_a_newer_one_made_worthless_is_not_overdue (void **state)
{
    (void)state;
    struct bed bed;
    begin (&bed);
    hangs (&bed, 3, BEAT_MS, HANG_MS + 1000, "disk");
    assert_int_equal (bed.overdues, 0);
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (it_is_told_whose_where_and_what_it_would_cost),
        cmocka_unit_test (it_is_told_when_it_is_over),
        cmocka_unit_test (what_moves_again_was_slow),
        cmocka_unit_test (one_that_was_stopped_is_ended),
        cmocka_unit_test (one_that_sleeps_is_given_time),
        cmocka_unit_test (it_goes_with_its_worker),
        cmocka_unit_test (what_a_newer_one_made_worthless_is_not_overdue),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
