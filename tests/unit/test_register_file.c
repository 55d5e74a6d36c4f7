/* SPDX-License-Identifier: Apache-2.0 */
/* test_register_file.c - a register in files that storage shares, whole, damaged, or hanging */
#include "register_bed.h"

#include "coordinator/reign_text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void use_file (void) { snprintf (url, sizeof url, "file:%s/reign", dir); }

static void file_alone (void **state)
{
    (void)state;
    use_file ();
    check_alone ();
}

static void file_together (void **state)
{
    (void)state;
    use_file ();
    run_writers (disturb_nothing);
}

static void file_garbage (void **state)
{
    (void)state;
    struct reign none = { 0 }, value = make_next (&none, 7);
    char text[REIGN_TEXT_MAX];
    use_file ();
    write_file ("reign.1", "");
    expect_read (MU_BAD_INPUT, "no bytes", LIMIT_MS);
    write_file ("reign.1", "muster-reign 1\nterm 4\n");
    expect_read (MU_BAD_INPUT, "damaged", LIMIT_MS);
    const size_t size = reign_encode (&value, text);
    assert_true (size > 0);
    text[size] = '\0';
    write_file ("reign.2", text);
    expect_read (MU_BAD_INPUT, "renamed", LIMIT_MS);
    text[size / 2] ^= 1;
    write_file ("reign.2", text);
    expect_read (MU_BAD_INPUT, "sum is wrong", LIMIT_MS);
}

/* A FIFO that nobody writes to is storage that hangs. */
static void file_hangs (void **state)
{
    (void)state;
    char path[128];
    struct mu_error error = { .text = "" };
    struct reign value;
    use_file ();
    snprintf (path, sizeof path, "%s/reign.1", dir);
    assert_int_equal (mkfifo (path, 0600), 0);
    struct io_register *reg = must_open ();
    for (int i = 0; i < 2; i++) {
        assert_int_equal (register_read (reg, 100, &value, &error), -1);
        assert_int_equal (error.code, MU_UNAVAILABLE);
    }
    assert_non_null (strstr (error.text, "still"));
    register_close (&reg); /* and the thread that is left behind frees the rest */
    const int fd = open (path, O_WRONLY);
    close (fd);
}

/* A writer that slept since revision 1 finds that name free again, and must not think it won. */
static void file_sleeper (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    struct reign none = { 0 }, value = { 0 }, next = make_next (&none, 5);
    use_file ();
    struct io_register *reg = must_open ();
    for (uint64_t i = 0; i < 40; i++, value = next) {
        next = make_next (&value, 100 + i);
        assert_int_equal (register_swap (reg, LIMIT_MS, &value, &next, &error), 0);
    }
    next = make_next (&none, 6);
    assert_int_equal (register_swap (reg, LIMIT_MS, &none, &next, &error), -1);
    assert_int_equal (error.code, MU_TRY_AGAIN);
    assert_int_equal (register_read (reg, LIMIT_MS, &next, &error), 0);
    assert_memory_equal (&value, &next, sizeof value);
    register_close (&reg);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (file_alone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (file_together, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (file_garbage, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (file_hangs, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (file_sleeper, make_dir, remove_dir),
    };
    signal (SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests (tests, NULL, NULL);
}