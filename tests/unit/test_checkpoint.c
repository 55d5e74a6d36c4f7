/* SPDX-License-Identifier: Apache-2.0 */
/* test_checkpoint.c - whole or not at all, whatever storage and the killer do */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint_bed.h"
#include "worker/checkpoint/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- there and back --------------------------------------------------------------------------- */

static void a_state_comes_back_bit_for_bit (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1), *loaded = bed_state (2);
    struct mu_checkpoint_info info;
    struct mu_error error = { .text = "" };
    bed_age (state, 200);
    mu_state_weights (state)[0] = -0.f;
    mu_state_weights (state)[1] = NAN;
    mu_state_v (state)[2] = 1e-44f;
    struct mu_checkpoint_saved saved;
    assert_int_equal (
        mu_checkpoint_write (bed_below ("a/b/c"), state, bed_tensors, &bed_job, &saved, &error), 0);
    assert_string_equal (saved.path, bed_below ("a/b/c/step-00000200"));
    if (mu_checkpoint_load (saved.path, loaded, bed_tensors, &info, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (state, loaded, state->bytes);
    assert_memory_equal (info.weights_hash, saved.weights_hash, sizeof info.weights_hash);
    assert_memory_equal (info.digest, saved.digest, sizeof info.digest);
    assert_string_equal (info.job_id, bed_job.id);
    assert_string_equal (info.job_name, bed_job.name);
    assert_string_equal (info.job_spec, bed_job.spec);
    assert_string_equal (info.trainer, bed_job.trainer);
    assert_string_equal (info.data, bed_job.data);
    assert_string_equal (info.compute_class, bed_job.compute_class);
    assert_true (info.seed == bed_job.seed && info.epoch == 3 && info.position == 4711);
    assert_true (info.step == 200 && info.skipped == 4 && info.parameters == 1817);
    assert_int_equal (info.files, 3);
    mu_checkpoint_info_clear (&info);
    free (state);
    free (loaded);
}

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

static void the_same_again_is_no_failure (void **unused)
{
    (void)unused;
    assert_false (bed_save (200).existed);
    assert_true (bed_save (200).existed);
    struct mu_state *state = bed_state (1);
    struct mu_checkpoint_saved saved;
    struct mu_error error;
    bed_age (state, 200);
    mu_state_m (state)[0] = 5;
    assert_int_equal (mu_checkpoint_write (bed_top, state, bed_tensors, &bed_job, &saved, &error),
                      -1);
    assert_int_equal (error.code, MU_CONFLICT);
    assert_non_null (strstr (error.text, "step-00000200 is there already"));
    bed_flip (bed_below ("step-00000200/model.safetensors"), 700, 3);
    assert_int_equal (mu_checkpoint_write (bed_top, state, bed_tensors, &bed_job, &saved, &error),
                      0);
    assert_false (saved.existed);
    assert_int_equal (mu_checkpoint_verify (saved.path, &error), 0);
    assert_int_equal (bed_count_names (".step"), 0);
    free (state);
}

static void another_model_is_refused (void **unused)
{
    (void)unused;
    struct mu_checkpoint_saved saved = bed_save (5);
    struct muster_tensor other[BED_TENSORS];
    struct mu_error error;
    memcpy (other, bed_tensors, sizeof other);
    other[1].name = "h.0.ln_2.bias";
    struct mu_state *state = bed_state (1);
    assert_int_equal (mu_checkpoint_load (saved.path, state, other, NULL, &error), -1);
    assert_non_null (strstr (error.text, "tensor h.0.ln_2.bias is missing"));
    free (state);
    size_t size = mu_state_size (bed_tensors, 4, NULL);
    state = mu_state_lay_out (bed_memory (size), size, bed_tensors, 4, NULL);
    assert_int_equal (mu_checkpoint_load (saved.path, state, bed_tensors, NULL, &error), -1);
    assert_non_null (strstr (error.text, "of another model: 1817 parameters in 5 tensors"));
    assert_int_equal (mu_checkpoint_load (bed_top, state, bed_tensors, NULL, &error), -1);
    free (state);
}

/* --- what storage does ------------------------------------------------------------------------ */

static void torn_files_are_named (void **unused)
{
    (void)unused;
    for (size_t f = 0; f < BED_FILES; f++) {
        size_t whole = 0;
        for (int where = 0; where < 9; where++) {
            struct mu_error error = { .text = "" };
            bed_save (100);
            bed_save (200);
            const char *path = bed_below ("step-00000200/%s", bed_files[f]);
            whole = bed_size_of (path);
            const size_t cuts[] = { 0,         1,         7,         8,           whole / 4,
                                    whole / 2, whole - 1, whole + 1, whole + 4096 };
            assert_int_equal (truncate (path, (off_t)cuts[where]), 0);
            assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000200"), &error), -1);
            assert_non_null (strstr (error.text, bed_files[f]));
            struct mu_checkpoint_entry *entries;
            size_t count;
            assert_int_equal (mu_checkpoint_list (bed_top, &entries, &count, &error), 0);
            assert_int_equal (count, 2);
            assert_true (entries[0].whole && !entries[1].whole);
            assert_non_null (strstr (entries[1].problem, bed_files[f]));
            free (entries);
            char found[PATH_MAX];
            struct mu_error skipped;
            assert_int_equal (mu_checkpoint_find (bed_top, UINT64_MAX, found, &skipped, &error), 0);
            assert_string_equal (found, bed_below ("step-00000100"));
            assert_non_null (strstr (skipped.text, bed_files[f]));
        }
        assert_int_equal (unlink (bed_below ("step-00000200/%s", bed_files[f])), 0);
        assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000200"), NULL), -1);
    }
}

static void every_flipped_bit_is_seen (void **unused)
{
    (void)unused;
    bed_save (100);
    bed_save (200);
    for (size_t f = 0; f < BED_FILES; f++) {
        char path[PATH_MAX];
        snprintf (path, sizeof path, "%s", bed_below ("step-00000200/%s", bed_files[f]));
        size_t size = bed_size_of (path), stride = size / 1500 + 1;
        for (size_t byte = 0; byte < size; byte += stride) {
            struct mu_error error = { .text = "" };
            bed_flip (path, byte, (int)(byte / stride % 8));
            assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000200"), &error), -1);
            if (!strstr (error.text, bed_files[f]))
                fail_msg ("byte %zu of %s: %s", byte, bed_files[f], error.text);
            bed_flip (path, byte, (int)(byte / stride % 8));
        }
        assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000200"), NULL), 0);
    }
    bed_flip (bed_below ("step-00000200/model.safetensors"), 5000, 0);
    char found[PATH_MAX];
    assert_int_equal (mu_checkpoint_find (bed_top, UINT64_MAX, found, NULL, NULL), 0);
    assert_string_equal (found, bed_below ("step-00000100"));
    struct mu_state *state = bed_state (1);
    assert_int_equal (
        mu_checkpoint_load (bed_below ("step-00000200"), state, bed_tensors, NULL, NULL), -1);
    free (state);
}

/* Every place where the disk can be full: a file size limit at 0, and on in steps. */
static void a_full_disk_is_told_and_leaves_nothing (void **unused)
{
    (void)unused;
    struct rlimit old, limit;
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &old), 0);
    struct mu_state *state = bed_state (1);
    bed_age (state, 300);
    int failed = 0, status = -1;
    for (rlim_t bytes = 0; status < 0; bytes += 997) {
        struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        limit = (struct rlimit){ .rlim_cur = bytes, .rlim_max = old.rlim_max };
        assert_int_equal (setrlimit (RLIMIT_FSIZE, &limit), 0);
        int begun = mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &bed_job, &error);
        assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
        assert_int_equal (begun, 0);
        status = bed_wait (&writer, &saved, &error);
        mu_checkpoint_cancel (&writer);
        assert_int_equal (bed_count_names (".step"), 0);
        assert_int_equal (bed_count_names ("step-"), status == 1);
        if (status < 0) {
            assert_int_equal (error.code, MU_IO);
            assert_non_null (strstr (error.text, "make room"));
            assert_non_null (strstr (error.text, "step 300"));
            failed++;
        }
    }
    assert_true (failed > 10);
    assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000300"), NULL), 0);
    free (state);
}

/* The same on a real file system that is too small, where one can be mounted. */
static int fill_small_disk (void)
{
    struct mu_checkpoint_saved saved;
    struct mu_error error = { .text = "" };
    struct mu_state *state = bed_state (1);
    if (unshare (CLONE_NEWNS) < 0 || mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount ("none", bed_top, "tmpfs", 0, "size=48k") < 0)
        return 77;
    bed_age (state, 1);
    int first = mu_checkpoint_write (bed_top, state, bed_tensors, &bed_job, &saved, &error);
    bed_age (state, 2);
    int second = mu_checkpoint_write (bed_top, state, bed_tensors, &bed_job, &saved, &error);
    bool told = strstr (error.text, "No space left on device") && error.code == MU_IO;
    free (state);
    return first == 0 && second < 0 && told && bed_count_names (".step") == 0 &&
                   bed_count_names ("step-") == 1
               ? 0
               : 1;
}

static void a_small_disk_keeps_the_checkpoint_before (void **unused)
{
    (void)unused;
    int how;
    pid_t pid = fork ();
    if (pid == 0)
        _exit (fill_small_disk ());
    assert_int_equal (waitpid (pid, &how, 0), pid);
    assert_true (WIFEXITED (how));
    if (WEXITSTATUS (how) == 77)
        skip ();
    assert_int_equal (WEXITSTATUS (how), 0);
}

static void a_place_that_cannot_be_written_is_named (void **unused)
{
    (void)unused;
    struct mu_checkpoint_saved saved;
    struct mu_error error;
    struct mu_state *state = bed_state (1);
    int fd = open (bed_below ("file"), O_CREAT | O_WRONLY, 0644);
    close (fd);
    assert_int_equal (
        mu_checkpoint_write (bed_below ("file/x"), state, bed_tensors, &bed_job, &saved, &error),
        -1);
    assert_int_equal (error.code, MU_CANT_CREATE);
    assert_non_null (strstr (error.text, "/file/x: Not a directory"));
    assert_int_equal (
        mu_checkpoint_write ("/proc/none", state, bed_tensors, &bed_job, &saved, &error), -1);
    assert_int_equal (error.code, MU_CANT_CREATE);
    assert_int_equal (mu_checkpoint_write ("", state, bed_tensors, &bed_job, &saved, &error), -1);
    struct mu_checkpoint_job bad = bed_job;
    bad.name = "\xff";
    assert_int_equal (mu_checkpoint_write (bed_top, state, bed_tensors, &bad, &saved, &error), -1);
    assert_non_null (strstr (error.text, "job_name must be UTF-8"));
    bad.name = NULL;
    assert_int_equal (mu_checkpoint_write (bed_top, state, bed_tensors, &bad, &saved, &error), -1);
    assert_int_equal (bed_count_names (".step"), 0);
    free (state);
}

/* --- what the killer does --------------------------------------------------------------------- */

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
    const uint64_t protect[] = { 2 };
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
        assert_true (mu_checkpoint_prune_by (&writer, bed_top, 2, protect, 1));
    }
    mu_checkpoint_prune_by (&writer, bed_below ("none"), 2, protect, 1);
    mu_checkpoint_prune_by (&writer, bed_below ("step-00000012/config.json"), 2, protect, 1);
    state->step = 12;
    assert_int_equal (mu_checkpoint_begin (&writer, bed_top, state, bed_tensors, &job, &error), 0);
    assert_int_equal (bed_wait (&writer, &saved, &error), 1);
    assert_true (saved.existed);
    assert_non_null (strstr (saved.pruning.text, "config.json"));
    assert_int_equal (bed_count_names ("step-"), 3); /* 2, 11, 12 */
    mu_checkpoint_leave (&writer);
    assert_false (mu_checkpoint_prune_by (&writer, bed_top, 2, protect, 1));
    assert_int_equal (writer.pid, 0);
    assert_int_equal (waitpid (writer.leaving, NULL, 0), writer.leaving); /* it ends by itself */
    free (state);
}

/* --- a directory of them ---------------------------------------------------------------------- */

static void only_right_names_are_checkpoints (void **unused)
{
    (void)unused;
    struct mu_checkpoint_entry *entries;
    size_t count;
    assert_int_equal (mu_checkpoint_list (bed_below ("none"), &entries, &count, NULL), 0);
    assert_int_equal (count, 0);
    static const char *const names[] = {
        "step-1",         ".step-00000001.tmp-1-0", "step-0000000x",
        "step-000000001", "step-00000001.old",      "steps"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal (mkdir (bed_below ("%s", names[i]), 0777), 0);
    assert_int_equal (mkdir (bed_below ("step-00000007"), 0777), 0);
    bed_save (123456789012);
    bed_save (5);
    assert_int_equal (rename (bed_below ("step-00000005"), bed_below ("step-00000006")), 0);
    assert_int_equal (mu_checkpoint_list (bed_top, &entries, &count, NULL), 0);
    assert_int_equal (count, 3);
    assert_true (entries[0].step == 6 && !entries[0].whole);
    assert_non_null (strstr (entries[0].problem, "holds step 5"));
    assert_true (entries[1].step == 7 && !entries[1].whole);
    assert_true (entries[2].step == 123456789012 && entries[2].whole);
    free (entries);
    char found[PATH_MAX];
    struct mu_error error;
    assert_int_equal (mu_checkpoint_find (bed_top, 7, found, NULL, &error), -1);
    assert_int_equal (error.code, MU_NOT_FOUND);
}

static void pruning_keeps_what_is_needed (void **unused)
{
    (void)unused;
    for (uint64_t step = 1; step <= 8; step++)
        bed_save (step);
    bed_flip (bed_below ("step-00000008/muster.json"), 200,
              1); /* does not count as one of the newest */
    const uint64_t protect[] = { 2, 99 };
    size_t removed;
    struct mu_checkpoint_entry *entries;
    size_t count;
    assert_int_equal (mu_checkpoint_prune (bed_top, 2, protect, 2, &removed, NULL), 0);
    assert_int_equal (removed, 4);
    assert_int_equal (mu_checkpoint_list (bed_top, &entries, &count, NULL), 0);
    const uint64_t left[] = { 2, 6, 7, 8 };
    assert_int_equal (count, 4);
    for (size_t i = 0; i < count; i++)
        assert_int_equal (entries[i].step, left[i]);
    free (entries);
    assert_int_equal (mu_checkpoint_prune (bed_top, 0, NULL, 0, &removed, NULL), 0);
    assert_int_equal (removed, 2);
    assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000007"), NULL), 0);
    assert_int_equal (bed_count_names (".step"), 0);
}

static void age (const char *path)
{
    const struct timespec times[2] = { { .tv_sec = time (NULL) - 3600 },
                                       { .tv_sec = time (NULL) - 3600 } };
    assert_int_equal (utimensat (AT_FDCWD, path, times, 0), 0);
}

static void what_dead_writers_left_is_swept (void **unused)
{
    (void)unused;
    static const char *const names[] = { ".step-00000001.tmp-1-dead", ".step-00000001.tmp-1-live",
                                         ".step-00000001.tmp-1-young" };
    bed_save (1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal (mkdir (bed_below ("%s", names[i]), 0777), 0);
        close (open (bed_below ("%s/model.safetensors", names[i]), O_CREAT | O_WRONLY, 0644));
        if (i < 2)
            age (bed_below ("%s", names[i]));
    }
    int live = open (bed_below ("%s", names[1]), O_RDONLY | O_DIRECTORY);
    assert_int_equal (flock (live, LOCK_EX), 0);
    assert_int_equal (mu_checkpoint_prune (bed_top, 1, NULL, 0, NULL, NULL), 0);
    assert_int_equal (access (bed_below ("%s", names[0]), F_OK), -1);
    assert_int_equal (access (bed_below ("%s/model.safetensors", names[1]), F_OK), 0);
    assert_int_equal (access (bed_below ("%s", names[2]), F_OK), 0);
    close (live);
}

/* --- weights from elsewhere ------------------------------------------------------------------- */

#define ITEMS_MAX 10u

/* The bed's tensors as items, their values those of `state`. */
static uint32_t list_items (const struct mu_state *state, struct mu_safetensors_item *items,
                            const float **values)
{
    for (uint32_t i = 0; i < BED_TENSORS; i++) {
        items[i] = (struct mu_safetensors_item){ .name = bed_tensors[i].name,
                                                 .dimensions = bed_tensors[i].dimensions,
                                                 .dimension = bed_tensors[i].dimension };
        values[i] = mu_state_weights_const (state) + mu_state_table_const (state)[i].first;
    }
    return BED_TENSORS;
}

static size_t item_bytes (const struct mu_safetensors_item *item)
{
    size_t bytes = sizeof (float);
    for (uint32_t d = 0; d < item->dimensions; d++)
        bytes *= (size_t)item->dimension[d];
    return bytes;
}

static void write_model (const char *name, const struct mu_safetensors_item *items,
                         const float *const *values, uint32_t count)
{
    struct mu_storage_writer out;
    int dir = open (bed_top, O_RDONLY | O_DIRECTORY);
    size_t bytes;
    char *head = mu_safetensors_head (name, items, count, &bytes, NULL);
    assert_non_null (head);
    unlinkat (dir, name, 0);
    assert_int_equal (mu_storage_create (&out, dir, name, NULL), 0);
    assert_int_equal (mu_storage_write (&out, head, bytes, NULL), 0);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal (mu_storage_write (&out, values[i], item_bytes (&items[i]), NULL), 0);
    assert_int_equal (mu_storage_finish (&out, NULL), 0);
    free (head);
    close (dir);
}

static void a_hugging_face_file_is_a_start (void **unused)
{
    (void)unused;
    static const char *const prefixed[BED_TENSORS] = {
        "transformer.wte.weight", "transformer.h.0.ln_1.bias", "transformer.h.0.conv.weight",
        "transformer.h.0.gain", "transformer.h.0.attn.c_attn.weight"
    };
    static const uint64_t mask[] = { 1, 1, 2, 2 };
    static const float ones[4] = { 1, 1, 1, 1 };
    struct mu_state *source = bed_state (5), *state = bed_state (1);
    struct mu_safetensors_item items[ITEMS_MAX];
    const float *values[ITEMS_MAX];
    struct mu_error error = { .text = "" };
    uint32_t count = list_items (source, items, values);
    for (uint32_t i = 0; i < count; i++)
        items[i].name = prefixed[i];
    items[count] = items[0];
    items[count].name = "lm_head.weight";
    values[count++] = values[0];
    items[count] = (struct mu_safetensors_item){ "transformer.h.0.attn.bias", 4, mask };
    values[count++] = ones;
    write_model ("model.safetensors", items, values, count);
    if (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (state, source, source->bytes);
    memset (mu_state_weights (state), 0, 400);
    struct mu_checkpoint_saved saved = bed_save (9); /* a checkpoint of ours is a start too */
    assert_int_equal (mu_checkpoint_load_weights (saved.path, state, bed_tensors, &error), 0);
    uint8_t hash[MU_STATE_HASH_SIZE];
    mu_state_hash (state, hash);
    assert_memory_equal (hash, saved.weights_hash, sizeof hash);
    assert_int_equal (state->step, 0);
    values[count - 2] = mu_state_weights (state); /* lm_head no longer tied */
    write_model ("model.safetensors", items, values, count);
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "not tied"));
    free (source);
    free (state);
}

static void what_does_not_fit_is_named_at_once (void **unused)
{
    (void)unused;
    static const uint64_t turned[] = { 5, 7 }, one[] = { 1 };
    static const float a_value[1] = { 1 };
    struct mu_state *state = bed_state (1);
    struct mu_safetensors_item items[ITEMS_MAX];
    const float *values[ITEMS_MAX];
    struct mu_error error = { .text = "" };
    uint32_t count = list_items (state, items, values);
    items[0].dimension = turned;
    items[3] = (struct mu_safetensors_item){ "h.0.gainz", 1, one };
    values[3] = a_value;
    write_model ("model.safetensors", items, values, count);
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "wte.weight is [5, 7], the model needs [7, 5]"));
    assert_non_null (strstr (error.text, "h.0.gain is missing"));
    assert_non_null (strstr (error.text, "h.0.gainz is not one of the model's"));
    write_model ("model.safetensors", items, values, 0);
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    count = list_items (state, items, values);
    mu_state_weights (state)[50] = INFINITY;
    write_model ("model.safetensors", items, values, count);
    assert_int_equal (
        mu_checkpoint_load_weights (bed_below ("model.safetensors"), state, bed_tensors, &error),
        -1);
    assert_non_null (strstr (error.text, "h.0.ln_1.bias holds a value that is not a finite"));
    free (state);
}

static void a_folder_without_a_usable_model_says_what_to_do (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    struct mu_error error;
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "holds no model.safetensors"));
    close (open (bed_below ("pytorch_model.bin"), O_CREAT | O_WRONLY, 0644));
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "safe_serialization=True"));
    close (open (bed_below ("model.safetensors.index.json"), O_CREAT | O_WRONLY, 0644));
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "several files"));
    assert_int_equal (mu_checkpoint_load_weights (bed_below ("no"), state, bed_tensors, &error),
                      -1);
    assert_int_equal (error.code, MU_NO_INPUT);
    free (state);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_state_comes_back_bit_for_bit),
        TEST (training_goes_on_while_the_child_writes),
        TEST (the_child_of_a_process_with_threads_starts_its_own),
        TEST (nothing_is_held_after_a_save),
        TEST (the_same_again_is_no_failure),
        TEST (another_model_is_refused),
        TEST (torn_files_are_named),
        TEST (every_flipped_bit_is_seen),
        TEST (a_full_disk_is_told_and_leaves_nothing),
        TEST (a_small_disk_keeps_the_checkpoint_before),
        TEST (a_place_that_cannot_be_written_is_named),
        TEST (a_killed_writer_leaves_nothing_that_counts),
        TEST (a_cancelled_writer_is_gone),
        TEST (a_writer_is_used_for_good),
        TEST (only_right_names_are_checkpoints),
        TEST (pruning_keeps_what_is_needed),
        TEST (what_dead_writers_left_is_swept),
        TEST (a_hugging_face_file_is_a_start),
        TEST (what_does_not_fit_is_named_at_once),
        TEST (a_folder_without_a_usable_model_says_what_to_do),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
