/* SPDX-License-Identifier: Apache-2.0 */
/* test_clock.c - a clock that is set while a program runs is noticed */
#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DAY_MS INT64_C (86400000)

static uint64_t apart_ms, now_ms, unix_ms;

static int begin (void **state)
{
    (void)state;
    apart_ms = 0;
    now_ms = 1000;
    unix_ms = UINT64_C (1700000000000);
    return 0;
}

static int64_t look (uint64_t after_ms, int64_t jump_ms)
{
    now_ms += after_ms;
    unix_ms += after_ms + (uint64_t)jump_ms;
    return mu_clock_jump (&apart_ms, now_ms, unix_ms);
}

static void what_passes_is_no_jump (void **state)
{
    (void)state;
    assert_int_equal (look (0, 0), 0); /* the first time anything may stand there */
    assert_int_equal (look (100 * DAY_MS, 0), 0);
    assert_int_equal (look (1, 59999), 0); /* nor is what is put right a little */
    assert_int_equal (look (1, -59999), 0);
}

static void ahead_and_back_are_told_once_each (void **state)
{
    (void)state;
    look (0, 0);
    assert_true (look (5, 40 * DAY_MS) == 40 * DAY_MS);
    assert_int_equal (look (5, 0), 0);
    assert_true (look (5, -40 * DAY_MS) == -40 * DAY_MS);
    assert_int_equal (look (5, 0), 0);
    assert_true (look (5, -60000) == -60000);
}

/* Boards without a battery begin in 1970. */
static void before_the_other_clock_as_well (void **state)
{
    (void)state;
    now_ms = 50000;
    unix_ms = 20000;
    look (0, 0);
    assert_true (look (5, 20000 * DAY_MS) == 20000 * DAY_MS);
    assert_int_equal (look (5, 0), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup (what_passes_is_no_jump, begin),
        cmocka_unit_test_setup (ahead_and_back_are_told_once_each, begin),
        cmocka_unit_test_setup (before_the_other_clock_as_well, begin),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
