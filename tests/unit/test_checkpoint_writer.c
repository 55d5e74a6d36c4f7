/* SPDX-License-Identifier: Apache-2.0 */
/* test_checkpoint_writer.c - a process that writes beside training, is used for good, may be killed */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint_bed.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void training_goes_on_while_the_child_writes (void **unused)
{
    (void)unused;
    size_t size = mu_state_size (bed_tensors, BED_TENSORS, NULL);
    void *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct mu_state *state = mu_state_lay_out (memory, size, bed_tensors, BED_TENSORS, NULL);
    struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
    pid_t child = 0; /* one writes them all */
    for (uint64_t step = 1; step <= 10; step++) {
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        bed_age (state, step);
        struct mu_state *then = bed_copy (state), *loaded = bed_state (1);
        assert_int_equal (
            mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, &error), 0);
        bed_age (state, step + 1000);
        if (bed_wait (&writer, &saved, &error) < 0)
            fail_msg ("%s", error.text);
        assert_false (writer.busy);
        assert_true (child == 0 || child == writer.pid);
        child = writer.pid;
        assert_int_equal (saved.step, step);
        assert_false (saved.existed);
        assert_int_equal (mu_checkpoint_load (saved.path, loaded, bed_tensors, NULL, &error), 0);
        assert_memory_equal (then, loaded, size);
        free (then);
        free (loaded);
    }
    assert_int_equal (bed_count_names ("step-"), 10);
    assert_int_equal (bed_count_names (".step"), 0);
    mu_checkpoint_cancel (&writer);
    munmap (memory, size);
}

static atomic_bool busy;

static void *do_nothing (void *argument) { return argument; }

/* Holds libc's locks about threads and memory as often as can be. */
static void *start_threads (void *argument)
{
    pthread_t thread;
    while (atomic_load (&busy)) {
        if (pthread_create (&thread, NULL, do_nothing, NULL) == 0)
            pthread_join (thread, NULL);
        free (malloc (50000));
    }
    return argument;
}

static void the_child_of_a_process_with_threads_starts_its_own (void **unused)
{
    (void)unused;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip (); /* its own allocator's locks are not put in order after a fork, as glibc's are */
#endif
    pthread_t threads[3];
    struct mu_state *state = bed_state (1);
    atomic_store (&busy, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal (pthread_create (&threads[i], NULL, start_threads, NULL), 0);
    for (uint64_t step = 1; step <= 60; step++) {
        struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        state->step = step % 2; /* after the second it is there already */
        assert_int_equal (
            mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, &error), 0);
        if (bed_wait (&writer, &saved, &error) < 0)
            fail_msg ("%s", error.text);
        mu_checkpoint_cancel (&writer);
    }
    atomic_store (&busy, false);
    for (int i = 0; i < 3; i++)
        pthread_join (threads[i], NULL);
    free (state);
}

static long count_pages (void)
{
    long pages = 0;
    FILE *file = fopen ("/proc/self/statm", "r");
    assert_int_equal (fscanf (file, "%ld", &pages), 1);
    fclose (file);
    return pages;
}

static void nothing_is_held_after_a_save (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    long pages = 0, fd = 0;
    for (uint64_t step = 0; step < 110; step++) {
        struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
        struct mu_checkpoint_saved saved;
        state->step = step % 2;
        if (step == 10) { /* all that is made once is made */
            pages = count_pages ();
            fd = dup (0);
            close ((int)fd);
        }
        assert_int_equal (
            mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, NULL), 0);
        assert_int_equal (bed_wait (&writer, &saved, NULL), 1);
        mu_checkpoint_cancel (&writer);
    }
    assert_true (count_pages () - pages < 100); /* the state has 6 pages */
    int again = dup (0);
    assert_int_equal (again, fd);
    close (again);
    free (state);
}

static void a_killed_writer_leaves_nothing_that_counts (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    int killed = 0, finished = 0;
    useconds_t usual = 4000;
    struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
    for (uint64_t step = 1; step <= 150; step++) {
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        struct mu_checkpoint_entry *entries;
        size_t count;
        bed_age (state, step);
        assert_int_equal (
            mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, &error), 0);
        usleep ((useconds_t)(bed_random (step, 1, 2) % usual));
        kill (writer.pid, SIGKILL);
        int status = bed_wait (&writer, &saved, &error);
        status > 0 ? finished++ : killed++;
        if (status < 0)
            assert_non_null (strstr (error.text, "killed by signal 9"));
        usual = status > 0 ? usual * 9 / 10 + 1 : usual * 10 / 9 + 1;
        assert_int_equal (mu_checkpoint_list (bed_top, &entries, &count, &error), 0);
        bool there = count > 0 && entries[count - 1].step == step;
        assert_true (there || status < 0);
        if (there)
            assert_int_equal (
                mu_checkpoint_verify (bed_below ("%s", entries[count - 1].name), &error), 0);
        for (size_t i = 0; i < count; i++)
            assert_true (entries[i].whole);
        free (entries);
    }
    mu_checkpoint_cancel (&writer);
    print_message ("# %d writers killed, %d finished\n", killed, finished);
    assert_true (killed > 20);
    free (state);
}

/* Two at once never write under one name: what the first was at does not count, and is removed as what a
 * dead writer left. */
static void a_stopped_writer_is_given_up_and_another_writes (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
    struct mu_checkpoint_saved saved;
    struct mu_checkpoint_look look = { .letter = 0 };
    struct mu_error error = { .text = "" };
    assert_int_equal (mu_checkpoint_give_up (&writer, &error), -1); /* it is not busy */
    assert_int_equal (mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, &error),
                      0);
    const pid_t first = writer.pid;
    kill (first, SIGSTOP);
    for (int turn = 0; turn < 30000 && look.letter != 'T'; turn++) {
        mu_checkpoint_look (&writer, &look);
        usleep (1000);
    }
    assert_int_equal (look.letter, 'T');
    assert_int_equal (mu_checkpoint_give_up (&writer, &error), 0);
    assert_non_null (strstr (error.text, "did not move and was ended"));
    assert_false (writer.busy);
    bed_age (state, 2);
    if (mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, &error) < 0 ||
        bed_wait (&writer, &saved, &error) < 0)
        fail_msg ("%s", error.text);
    assert_int_equal (saved.step, state->step);
    assert_true (writer.pid != first);
    for (int turn = 0; turn < 30000 && writer.leaving; turn++) {
        if (waitpid (writer.leaving, NULL, WNOHANG) != 0)
            writer.leaving = 0;
        usleep (1000);
    }
    assert_int_equal (writer.leaving, 0); /* it has ended */
    mu_checkpoint_cancel (&writer);
    free (state);
}

static bool has_begun (pid_t writer)
{
    char path[64], name[32] = "";
    snprintf (path, sizeof path, "/proc/%d/comm", (int)writer);
    FILE *file = fopen (path, "r");
    bool read = file && fgets (name, sizeof name, file);
    if (file)
        fclose (file);
    return read && !strcmp (name, "muster-save\n");
}

/* In a process of its own: the writer is stopped, and this is killed. */
static _Noreturn void die_beside_a_stopped_writer (int pipe)
{
    struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
    struct mu_state *state = bed_state (1);
    int how;
    bed_age (state, 7);
    if (mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, NULL) < 0)
        _exit (1);
    while (!has_begun (writer.pid))
        usleep (100);
    kill (writer.pid, SIGSTOP);
    if (waitpid (writer.pid, &how, WUNTRACED) != writer.pid || !WIFSTOPPED (how) ||
        write (pipe, &writer.pid, sizeof writer.pid) < 0)
        _exit (1);
    raise (SIGKILL);
    _exit (1);
}

static void a_writer_ends_with_its_parent (void **unused)
{
    (void)unused;
    int ends[2], how = 0;
    pid_t writer = 0, ended = 0;
    assert_int_equal (pipe (ends), 0);
    assert_int_equal (prctl (PR_SET_CHILD_SUBREAPER, 1), 0); /* it becomes a child of this one */
    pid_t parent = fork ();
    if (parent == 0)
        die_beside_a_stopped_writer (ends[1]);
    assert_int_equal (waitpid (parent, &how, 0), parent);
    assert_true (WIFSIGNALED (how));
    assert_int_equal (read (ends[0], &writer, sizeof writer), sizeof writer);
    for (int turn = 0; turn < 30000 && !ended; turn++) {
        ended = waitpid (writer, &how, WNOHANG);
        usleep (1000);
    }
    assert_int_equal (ended, writer);
    assert_int_equal (access (bed_below ("step-00000007"), F_OK), -1); /* nothing got a name */
    prctl (PR_SET_CHILD_SUBREAPER, 0);
    close (ends[0]);
    close (ends[1]);
}

static void a_cancelled_writer_is_gone (void **unused)
{
    (void)unused;
    struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
    struct mu_checkpoint_saved saved;
    struct mu_state *state = bed_state (1);
    assert_int_equal (mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, NULL),
                      0);
    pid_t pid = writer.pid;
    mu_checkpoint_cancel (&writer);
    assert_int_equal (kill (pid, 0), -1);
    mu_checkpoint_cancel (&writer);
    assert_int_equal (mu_checkpoint_poll (&writer, &saved, NULL), -1);
    free (state);
}

/* The child was killed while it had nothing to do; the next job has more to say; old checkpoints are
 * removed beside all that. */
static void a_writer_is_used_for_good (void **unused)
{
    (void)unused;
    struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
    struct mu_checkpoint_saved saved;
    struct mu_checkpoint_info info;
    struct mu_error error = { .text = "" };
    struct mu_state *state = bed_state (1);
    struct mu_checkpoint_job job = bed_job;
    static char spec[100000];
    const struct mu_checkpoint_stay stay = { .keep = 2, .count = 1, .steps = { 2 } };
    memset (spec, 's', sizeof spec - 1);
    for (uint64_t step = 1; step <= 12; step++) {
        bed_age (state, step);
        if (step == 4)
            job.spec = spec; /* the desk is too small for it */
        if (step == 7 && kill (writer.pid, SIGKILL) == 0)
            waitid (P_PID, (id_t)writer.pid, NULL, WEXITED | WNOWAIT);
        assert_int_equal (mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &job, &error),
                          0);
        assert_int_equal (bed_wait (&writer, &saved, &error), 1);
        assert_int_equal (saved.pruning.code, MU_OK);
        assert_int_equal (mu_checkpoint_read_info (saved.path, &info, &error), 0);
        assert_string_equal (info.job_spec, job.spec);
        mu_checkpoint_info_clear (&info);
        assert_int_equal (mu_checkpoint_verify (saved.path, &error), 0);
        assert_true (mu_checkpoint_prune_by (&writer, bed_top, &stay));
    }
    mu_checkpoint_prune_by (&writer, bed_below ("none"), &stay);
    mu_checkpoint_prune_by (&writer, bed_below ("step-00000012/config.json"), &stay);
    state->step = 12;
    assert_int_equal (mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &job, &error), 0);
    assert_int_equal (bed_wait (&writer, &saved, &error), 1);
    assert_true (saved.existed);
    assert_non_null (strstr (saved.pruning.text, "config.json"));
    assert_int_equal (bed_count_names ("step-"), 3); /* 2, 11, 12 */
    mu_checkpoint_leave (&writer);
    assert_false (mu_checkpoint_prune_by (&writer, bed_top, &stay));
    assert_int_equal (writer.pid, 0);
    assert_int_equal (waitpid (writer.leaving, NULL, 0), writer.leaving); /* it ends by itself */
    free (state);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST (training_goes_on_while_the_child_writes),
        TEST (the_child_of_a_process_with_threads_starts_its_own),
        TEST (nothing_is_held_after_a_save),
        TEST (a_killed_writer_leaves_nothing_that_counts),
        TEST (a_stopped_writer_is_given_up_and_another_writes),
        TEST (a_writer_ends_with_its_parent),
        TEST (a_cancelled_writer_is_gone),
        TEST (a_writer_is_used_for_good),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}