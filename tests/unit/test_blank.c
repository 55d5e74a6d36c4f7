/* SPDX-License-Identifier: Apache-2.0 */
/* test_blank.c - who joins others without a state: when it is told to, and what it cannot be taken for */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void say_blank (struct bed *bed, uint32_t worker)
{
    prepared_with (bed, worker, (struct mu_wire_prepared){ .blank = true });
}

static void begin_together (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_false (was_told (&bed, w, "TO-JOIN"));
    finish (&bed);
}

/* w0 dies while others train, comes again, and they end their generation for it. */
static void rejoin (struct bed *bed)
{
    running (bed, 0); /* nobody has done a step: a state that was made would be level */
    start_anew (bed, 0, 2);
    for (uint32_t w = 1; w < WORKERS; w++)
        aborted (bed, w, 0);
    pass (bed, BEAT_MS);
    assert_int_equal (bed->forms, 2);
    for (uint32_t w = 1; w < WORKERS; w++) {
        hear (bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, 2 } });
        reach (bed, w, 2, 0, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    }
    pass (bed, BEAT_MS);
    assert_true (was_told (bed, 0, "ASSIGN-TO-JOIN"));
    say_blank (bed, 0);
}

static void who_joins_brings_no_state (void **state)
{
    (void)state;
    struct bed bed;
    rejoin (&bed);
    start_anew (&bed, 1, 2); /* the generation of w1 and w2 breaks: all that are left form the next */
    aborted (&bed, 2, 0);
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 3);
    assert_true (was_told (&bed, 0, "FORM") && was_told (&bed, 2, "FORM"));
    assert_false (was_told (&bed, 0, "RELEASE"));
    finish (&bed);
}

static void all_others_are_lost (void **state)
{
    (void)state;
    struct bed bed;
    rejoin (&bed);
    bed.quiet[1] = bed.quiet[2] = true;
    pass (&bed, 5000);
    for (uint32_t i = 0; i < COORD_ANEW_MAX; i++) { /* it is told to make its own, and is stubborn */
        let_go (&bed, 0);
        pass (&bed, BEAT_MS);
        assert_true (was_told (&bed, 0, "ASSIGN") && !was_told (&bed, 0, "TO-JOIN"));
        say_blank (&bed, 0);
        pass (&bed, BEAT_MS);
    }
    let_go (&bed, 0);
    pass (&bed, BEAT_MS);
    assert_false (was_told (&bed, 0, "ASSIGN"));
    assert_int_equal (bed.forms, 2);
    pass (&bed, COORD_COOL_OFF_MS + 1000);
    assert_true (was_told (&bed, 0, "ASSIGN"));
    prepared (&bed, 0);
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 3);
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (begin_together),
        cmocka_unit_test (who_joins_brings_no_state),
        cmocka_unit_test (all_others_are_lost),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
