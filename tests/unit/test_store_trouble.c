/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_trouble.c - what was committed is there after any end of the process, and nothing is where it could not be written */
#include "store_bed.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A file-size limit stands for a full disk: the write fails in the same place. */
static void a_full_disk_keeps_the_batch (void **state)
{
    (void)state;
    signal (SIGXFSZ, SIG_IGN);
    struct store *store = must_open ();
    struct mu_journal record = drain ("before");
    commit (store, &record);
    struct rlimit limit, kept;
    getrlimit (RLIMIT_FSIZE, &kept);
    limit = kept;
    limit.rlim_cur = 64 << 10;
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &limit), 0);
    struct store_batch *batch = store_batch_create ();
    char *spec = test_calloc (1, 60000);
    memset (spec, 'x', 60000);
    struct mu_journal big = { .type = MU_JOURNAL_SUBMIT,
                              .submit = { .job = 1,
                                          .name = "big",
                                          .workers_min = 1,
                                          .workers_max = 1,
                                          .micro_batches = 1,
                                          .global_batch = 1,
                                          .window_steps = 64,
                                          .spec = { spec, 60000 } } };
    for (uint64_t job = 1; job <= 4; job++) {
        big.submit.job = job;
        assert_int_equal (store_batch_add (batch, &big, NULL), 0);
    }
    struct mu_error error;
    for (int tries = 0; tries < 3; tries++) {
        assert_int_equal (store_commit (store, batch, 1000, &error), -1);
        assert_int_equal (store_batch_count (batch), 4);
    }
    setrlimit (RLIMIT_FSIZE, &kept);
    assert_int_equal (store_commit (store, batch, 1000, &error), 0);
    store_batch_destroy (&batch);
    assert_int_equal (replay (store, NULL, 0).count, 5);
    store_close (&store);
    char jobs[64];
    text_of ("SELECT group_concat (job || name) FROM job", jobs, sizeof jobs);
    assert_string_equal (jobs, "1big,2big,3big,4big");
    test_free (spec);
}

/* By `rm -rf`, or by a backup that was copied over it: nothing is durable in a file without a name. */
static void a_removed_database_promises_nothing (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_journal record = drain ("before");
    commit (store, &record);
    char there[4200], away[4200];
    snprintf (there, sizeof there, "%s/muster.db", dir);
    snprintf (away, sizeof away, "%s/away.db", dir);
    struct store_batch *batch = store_batch_create ();
    record = drain ("after");
    assert_int_equal (store_batch_add (batch, &record, NULL), 0);
    struct mu_error error;
    assert_int_equal (rename (there, away), 0);
    assert_int_equal (store_commit (store, batch, 1000, &error), -1);
    assert_int_equal (error.code, MU_IO);
    assert_non_null (strstr (error.text, "muster.db was removed"));
    assert_int_equal (rename (away, there), 0);
    assert_int_equal (store_commit (store, batch, 1000, &error), 0);
    store_batch_destroy (&batch);
    store_close (&store);
    store = must_open ();
    assert_int_equal (replay (store, NULL, 0).count, 2);
    store_close (&store);
}

/* Somebody removed the lock and started a second coordinator: what it wrote is not written over. */
static void a_second_writer_is_noticed (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_error error = { .text = "" };
    struct mu_journal record = drain ("w0");
    commit (store, &record);
    change ("INSERT INTO journal SELECT number + 1, type, job, unix_ms, body FROM journal");
    struct store_batch *batch = store_batch_create ();
    assert_int_equal (store_batch_add (batch, &record, NULL), 0);
    assert_int_equal (store_commit (store, batch, 1000, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    assert_int_equal (store_batch_count (batch), 1);
    store_batch_destroy (&batch);
    store_close (&store);
}

/* The second writer may have touched nothing that this one would write. */
static void a_second_writer_of_progress_is_noticed (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_error error = { .text = "" };
    struct mu_journal record = { .type = MU_JOURNAL_TRAINED, .trained = { .job = 1, .rank = 3 } };
    commit (store, &record);
    commit (store, &record);
    change ("UPDATE progress SET key = key + 6, number = 7");
    struct store_batch *batch = store_batch_create ();
    assert_int_equal (store_batch_add (batch, &record, NULL), 0);
    assert_int_equal (store_commit (store, batch, 1000, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    assert_int_equal (store_commit (store, batch, 1000, &error), -1); /* for good */
    assert_int_equal (error.code, MU_CONFLICT);
    store_batch_destroy (&batch);
    store_close (&store);
}

/* A child commits and tells each number when it is durable; killed at any moment, no told number
 * may be missing afterwards. */
static void nothing_told_is_lost_by_kill_9 (void **state)
{
    (void)state;
    uint64_t told = 0;
    for (unsigned round = 0; round < 12; round++) {
        int pipe_fd[2];
        assert_int_equal (pipe (pipe_fd), 0);
        pid_t child = fork ();
        if (!child) {
            struct store *store = NULL;
            if (store_open (&store, dir, NULL))
                _exit (1);
            for (;;) {
                struct mu_journal record = drain ("x");
                struct store_batch *batch = store_batch_create ();
                store_batch_add (batch, &record, NULL);
                if (store_commit (store, batch, 1, NULL))
                    _exit (2);
                uint64_t number = store_newest (store);
                if (write (pipe_fd[1], &number, sizeof number) != sizeof number)
                    _exit (3);
                store_batch_destroy (&batch);
            }
        }
        close (pipe_fd[1]);
        uint64_t number, want = told + 5 + 17 * round;
        while (told < want && read (pipe_fd[0], &number, sizeof number) == sizeof number)
            told = number;
        kill (child, SIGKILL);
        while (read (pipe_fd[0], &number, sizeof number) == sizeof number)
            told = number;
        close (pipe_fd[0]);
        int status;
        waitpid (child, &status, 0);
        assert_true (WIFSIGNALED (status));
        struct store *store = must_open ();
        assert_true (store_newest (store) >= told);
        assert_int_equal (replay (store, NULL, 0).count, store_newest (store));
        told = store_newest (store);
        store_close (&store);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST (a_full_disk_keeps_the_batch),
        STORE_TEST (a_removed_database_promises_nothing),
        STORE_TEST (a_second_writer_is_noticed),
        STORE_TEST (a_second_writer_of_progress_is_noticed),
        STORE_TEST (nothing_told_is_lost_by_kill_9),
    };
    return cmocka_run_group_tests_name ("store_trouble", tests, NULL, NULL);
}
