/* SPDX-License-Identifier: Apache-2.0 */
/* test_ledger_order.c - an order of records is a permutation in each epoch, or is told where it is none */
#include "client/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void told (void *arg, uint64_t done, uint64_t all)
{
    (void)done, (void)all;
    ++*(uint32_t *)arg;
}

static void orders (void **unused)
{
    (void)unused;
    struct mu_error error;
    for (uint64_t records = 1; records < 300; records += 7) {
        const struct ledger ledger = { .records = records };
        uint32_t calls = 0;
        assert_int_equal (ledger_check_order (&ledger, 5, 3 * records + 1, told, &calls, &error),
                          0);
        assert_true (calls > 0);
    }
    const struct ledger none = { 0 };
    assert_int_equal (ledger_check_order (&none, 5, 0, told, NULL, &error), 0);
    assert_int_equal (ledger_check_order (&none, 5, 1, told, NULL, &error), -1);
}

static uint64_t doubled (const void *order, uint64_t place)
{
    (void)order;
    return place % 10 == 7 ? 3 : place % 10;
}

static uint64_t too_far (const void *order, uint64_t place)
{
    (void)order;
    return place % 10 == 9 ? 10 : place % 10;
}

static uint64_t back (const void *order, uint64_t epoch, uint64_t record)
{
    (void)order;
    return epoch * 10 + record;
}

static void wrong_orders (void **unused)
{
    (void)unused;
    struct mu_error error;
    uint32_t calls = 0;
    struct ledger_stream stream = { doubled, back, NULL };
    assert_int_equal (ledger_check_stream (&stream, 10, 7, told, &calls, &error), 0);
    assert_int_equal (ledger_check_stream (&stream, 10, 8, told, &calls, &error), -1);
    assert_non_null (strstr (error.text, "epoch 1 is no permutation: its place 7 holds record 3"));
    stream.record = too_far;
    assert_int_equal (ledger_check_stream (&stream, 10, 10, told, &calls, &error), -1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (orders),
        cmocka_unit_test (wrong_orders),
    };
    return cmocka_run_group_tests_name ("ledger_order", tests, NULL, NULL);
}