/* SPDX-License-Identifier: Apache-2.0 */
/* test_quota.c - a few a minute are said, and the rest is counted */
#include "common/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_flood_is_a_few_lines_and_a_count (void **state)
{
    (void)state;
    struct mu_quota quota = { 0 };
    uint64_t unsaid = 99;
    unsigned said = 0;
    for (uint64_t now_ms = 0; now_ms < 60000; now_ms++)
        if (mu_quota_take (&quota, now_ms, &unsaid)) {
            assert_int_equal (unsaid, 0);
            said++;
        }
    assert_int_equal (said, MU_QUOTA_A_MINUTE);
    assert_true (mu_quota_take (&quota, 60000, &unsaid));
    assert_int_equal (unsaid, 60000 - MU_QUOTA_A_MINUTE);
    assert_true (mu_quota_take (&quota, 60001, &unsaid));
    assert_int_equal (unsaid, 0);
}

static void who_errs_seldom_is_always_heard (void **state)
{
    (void)state;
    struct mu_quota quota = { 0 };
    uint64_t unsaid = 99;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true (mu_quota_take (&quota, 10000 * i, &unsaid));
        assert_int_equal (unsaid, 0);
    }
}

static void the_count_is_told_in_words (void **state)
{
    (void)state;
    char text[64];
    assert_string_equal (mu_quota_text (0, text, sizeof text), "");
    assert_string_equal (mu_quota_text (12, text, sizeof text),
                         "; 12 more like it were not logged");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_flood_is_a_few_lines_and_a_count),
        cmocka_unit_test (who_errs_seldom_is_always_heard),
        cmocka_unit_test (the_count_is_told_in_words),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
