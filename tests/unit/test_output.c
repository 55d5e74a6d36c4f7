/* SPDX-License-Identifier: Apache-2.0 */
/* test_output.c - others' text gives no orders to the terminal that shows it */
#include "client/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVIL  "so\tbad\033[2J\r\n\x7f: größe \0end"
#define PLAIN "so bad [2J   : größe  end"

static void others_text_is_plain (void **state)
{
    (void)state;
    char *text;
    size_t size;
    FILE *out = open_memstream (&text, &size);
    print_plain (out, EVIL, sizeof EVIL - 1);
    fclose (out);
    assert_int_equal (size, sizeof PLAIN - 1);
    assert_string_equal (text, PLAIN);
    free (text);
    out = open_memstream (&text, &size);
    print_plain_lines (out, "one\ntwo\033[2J", 11);
    fclose (out);
    assert_string_equal (text, "one\ntwo [2J");
    free (text);
    char place[] = EVIL;
    plain_text (place); /* to its end */
    assert_string_equal (place, "so bad [2J   : größe ");
}

int main (void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test (others_text_is_plain) };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
