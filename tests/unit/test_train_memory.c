/* SPDX-License-Identifier: Apache-2.0 */
/* test_train_memory.c - a trainer's large memory: zeroed, aligned, whole, not inherited, given back */
#include "worker/train.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Around a page, around a huge one, and one that ends amid its second. */
static const size_t sizes[] = {
    1, 4000, 4096, 5000, (2u << 20) - 64, (2u << 20) - 63, 2u << 20, (5u << 20) + 7
};
#define SIZES (sizeof sizes / sizeof *sizes)

static void test_it_is_there_from_end_to_end (void **state)
{
    (void)state;
    unsigned char *memory[SIZES];
    for (size_t i = 0; i < SIZES; i++) {
        memory[i] = train_memory_take (sizes[i]);
        assert_non_null (memory[i]);
        assert_int_equal ((uintptr_t)memory[i] % MU_STATE_ALIGNMENT, 0);
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal (memory[i][at], 0);
        memset (memory[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < SIZES; i++) { /* none is part of another */
        assert_int_equal (memory[i][0], i + 1);
        assert_int_equal (memory[i][sizes[i] - 1], i + 1);
        train_memory_free (memory[i]);
    }
    train_memory_free (NULL);
}

static void test_a_child_does_not_have_it (void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        volatile unsigned char *memory = train_memory_take (sizes[i]);
        assert_non_null (memory);
        pid_t child = fork ();
        assert_true (child >= 0);
        if (child == 0) {
            signal (SIGSEGV, SIG_DFL);
            _exit (memory[sizes[i] - 1]); /* must not be reached */
        }
        int status = 0;
        assert_int_equal (waitpid (child, &status, 0), child);
        assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGSEGV);
        train_memory_free ((void *)(uintptr_t)memory);
    }
}

/* A multiple of the alignment at the least is what is asked for; up to there it may be touched. */
static void test_a_write_behind_it_kills (void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        pid_t child = fork ();
        assert_true (child >= 0);
        if (child == 0) {
            signal (SIGSEGV, SIG_DFL);
            volatile unsigned char *memory = train_memory_take (sizes[i]);
            size_t end =
                (sizes[i] + MU_STATE_ALIGNMENT - 1) / MU_STATE_ALIGNMENT * MU_STATE_ALIGNMENT;
            if (!memory)
                _exit (1);
            memory[end - 1] = 1;
            memory[end] = 1; /* must not be survived */
            _exit (2);
        }
        int status = 0;
        assert_int_equal (waitpid (child, &status, 0), child);
        assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGSEGV);
    }
}

static unsigned long mapped_pages (void)
{
    unsigned long pages = 0;
    FILE *file = fopen ("/proc/self/statm", "r");
    assert_non_null (file);
    assert_int_equal (fscanf (file, "%lu", &pages), 1);
    fclose (file);
    return pages;
}

static void test_all_of_it_is_given_back (void **state)
{
    (void)state;
    unsigned long before = 0;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < SIZES; i++)
            train_memory_free (train_memory_take (sizes[i]));
        if (round == 0)
            before = mapped_pages (); /* with what the first round's calls took for themselves */
    }
    assert_true (mapped_pages () <= before);
}

static void test_too_much_is_refused (void **state)
{
    (void)state;
    assert_null (train_memory_take ((size_t)1 << 62));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_it_is_there_from_end_to_end),
        cmocka_unit_test (test_a_child_does_not_have_it),
        cmocka_unit_test (test_a_write_behind_it_kills),
        cmocka_unit_test (test_all_of_it_is_given_back),
        cmocka_unit_test (test_too_much_is_refused),
    };
    return cmocka_run_group_tests_name ("train_memory", tests, NULL, NULL);
}
