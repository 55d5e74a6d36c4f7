/* SPDX-License-Identifier: Apache-2.0 */
/* test_checkpoint.c - there and back, whatever storage does, and a directory of them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint_bed.h"

#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
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

/* 0: written. Of a state that differs by `m`, in that generation of job `id`. */
static int write_in (const char *id, uint64_t generation, bool replaces, float m)
{
    struct mu_state *state = bed_state (1);
    struct mu_checkpoint_job job = bed_job;
    struct mu_checkpoint_saved saved;
    struct mu_checkpoint_info info;
    struct mu_error error;
    job.id = id;
    job.generation = generation;
    job.replaces = replaces;
    bed_age (state, 200);
    mu_state_m (state)[0] = m;
    int status = mu_checkpoint_write (bed_top, state, bed_tensors, &job, &saved, &error);
    assert_int_equal (
        mu_checkpoint_load (bed_below ("step-00000200"), state, bed_tensors, &info, &error), 0);
    assert_int_equal (status == 0, mu_state_m (state)[0] == m);
    assert_true (status < 0 || saved.existed || info.generation == generation);
    mu_checkpoint_info_clear (&info);
    free (state);
    return status;
}

static void who_wrote_before_all_died_makes_room (void **unused)
{
    (void)unused;
    assert_int_equal (write_in ("7", 2, false, 1), 0);
    assert_int_equal (write_in ("7", 2, false, 2), -1); /* who is wrong? */
    assert_int_equal (write_in ("7", 3, false, 2), 0);
    assert_int_equal (write_in ("7", 4, false, 2), 0); /* the same: it stays, as it was written */
    assert_int_equal (write_in ("8", 9, true, 3), -1);
    assert_int_equal (write_in ("7", 3, true, 3), 0);
    assert_int_equal (write_in ("7", 2, true, 4), -1); /* late: a trainer that hung */
    assert_int_equal (bed_count_names (".step"), 0);
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

static void expect_left (const uint64_t *left, size_t expected)
{
    struct mu_checkpoint_entry *entries;
    size_t count;
    assert_int_equal (mu_checkpoint_list (bed_top, &entries, &count, NULL), 0);
    assert_int_equal (count, expected);
    for (size_t i = 0; i < count; i++)
        assert_int_equal (entries[i].step, left[i]);
    free (entries);
}
#define EXPECT_LEFT(...)                                                                           \
    expect_left ((const uint64_t[]){ __VA_ARGS__ },                                                \
                 sizeof (const uint64_t[]){ __VA_ARGS__ } / sizeof (uint64_t))

/* As a coordinator of before has it, which does not say what was committed. */
static void pruning_keeps_what_is_needed (void **unused)
{
    (void)unused;
    for (uint64_t step = 1; step <= 8; step++)
        bed_save (step);
    bed_flip (bed_below ("step-00000008/muster.json"), 200,
              1); /* does not count as one of the newest */
    struct mu_checkpoint_stay stay = { .keep = 2, .count = 2, .steps = { 2, 99 } };
    size_t removed;
    assert_int_equal (mu_checkpoint_prune (bed_top, &stay, &removed, NULL), 0);
    assert_int_equal (removed, 4);
    EXPECT_LEFT (2, 6, 7, 8);
    stay = (struct mu_checkpoint_stay){ .keep = 0 };
    assert_int_equal (mu_checkpoint_prune (bed_top, &stay, &removed, NULL), 0);
    assert_int_equal (removed, 2);
    assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000007"), NULL), 0);
    assert_int_equal (bed_count_names (".step"), 0);
}

static void save_of (uint64_t step, const char *id, uint64_t generation)
{
    struct mu_checkpoint_job job = bed_job;
    struct mu_checkpoint_saved saved;
    struct mu_state *state = bed_state (1);
    bed_age (state, step);
    job.id = id;
    job.generation = generation;
    assert_int_equal (mu_checkpoint_write (bed_top, state, bed_tensors, &job, &saved, NULL), 0);
    free (state);
}

/* 40, 60 and 70 lie there as well, but were overtaken, or the coordinator died before it heard of them. */
static void what_was_never_committed_does_not_count (void **unused)
{
    (void)unused;
    for (uint64_t step = 10; step <= 90; step += 10)
        save_of (step, "7", 1);
    const struct mu_checkpoint_stay stay = {
        .job = 7, .generation = 1, .before = 80, .keep = 3, .count = 3, .steps = { 30, 50, 80 }
    };
    size_t removed;
    assert_int_equal (mu_checkpoint_prune (bed_top, &stay, &removed, NULL), 0);
    assert_int_equal (removed, 5);
    EXPECT_LEFT (30, 50, 80, 90); /* and the newest may be committed in a moment */
    assert_int_equal (mu_checkpoint_prune (bed_top, &stay, &removed, NULL), 0);
    assert_int_equal (removed, 0);
    assert_int_equal (bed_count_names (".step"), 0);
}

static void what_is_not_the_jobs_own_stays (void **unused)
{
    (void)unused;
    save_of (10, "7", 1);  /* of that number, in another cluster: this one went on from it */
    save_of (20, "77", 1); /* another job's */
    save_of (30, "7", 2);  /* since the word was said: training had gone back */
    save_of (40, "7", 1);  /* damaged: who knows */
    save_of (50, "7", 1);
    save_of (60, "7", 1);
    bed_flip (bed_below ("step-00000040/muster.json"), 200, 1);
    assert_int_equal (mkdir (bed_below ("step-00000055"), 0777), 0);
    assert_int_equal (mkdir (bed_below ("keep"), 0777), 0);
    const struct mu_checkpoint_stay stay = {
        .job = 7, .generation = 1, .first = 10, .before = 60, .count = 1, .steps = { 60 }
    };
    size_t removed;
    assert_int_equal (mu_checkpoint_prune (bed_top, &stay, &removed, NULL), 0);
    assert_int_equal (removed, 1);
    EXPECT_LEFT (10, 20, 30, 40, 55, 60);
    assert_int_equal (access (bed_below ("keep"), F_OK), 0);
}

static void nothing_goes_before_anything_is_committed (void **unused)
{
    (void)unused;
    for (uint64_t step = 1; step <= 3; step++)
        save_of (step, "7", 1);
    const struct mu_checkpoint_stay stay = { .job = 7, .generation = 1, .keep = 1 };
    assert_int_equal (mu_checkpoint_prune (bed_top, &stay, NULL, NULL), 0);
    EXPECT_LEFT (1, 2, 3);
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
                                         ".step-00000001.tmp-1-young",
                                         ".step-00000001.old-1-young" };
    bed_save (1);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal (mkdir (bed_below ("%s", names[i]), 0777), 0);
        close (open (bed_below ("%s/model.safetensors", names[i]), O_CREAT | O_WRONLY, 0644));
        if (i < 2)
            age (bed_below ("%s", names[i]));
    }
    int live = open (bed_below ("%s", names[1]), O_RDONLY | O_DIRECTORY);
    assert_int_equal (flock (live, LOCK_EX), 0);
    const struct mu_checkpoint_stay stay = { .job = 1, .generation = 1 };
    assert_int_equal (mu_checkpoint_prune (bed_top, &stay, NULL, NULL), 0);
    assert_int_equal (access (bed_below ("%s", names[0]), F_OK), -1);
    assert_int_equal (access (bed_below ("%s/model.safetensors", names[1]), F_OK), 0);
    assert_int_equal (access (bed_below ("%s", names[2]), F_OK), 0);
    assert_int_equal (access (bed_below ("%s", names[3]), F_OK), -1);
    close (live);
}

/* A disk that takes its time: who removes a file waits for `go`, where there is one (--wrap). */
static struct slow_disk {
    _Atomic bool waits, go;
} * slow_disk;
int __real_unlinkat (int parent, const char *name, int flags);
int __wrap_unlinkat (int parent, const char *name, int flags);

int __wrap_unlinkat (int parent, const char *name, int flags)
{
    if (slow_disk)
        slow_disk->waits = true;
    while (slow_disk && !slow_disk->go)
        usleep (1000);
    return __real_unlinkat (parent, name, flags);
}

static void who_removes_is_ended_and_it_goes_all_the_same (void **unused)
{
    (void)unused;
    const struct mu_checkpoint_stay stay = {
        .job = 7, .generation = 1, .before = 2, .count = 1, .steps = { 2 }
    };
    save_of (1, "7", 1);
    save_of (2, "7", 1);
    slow_disk =
        mmap (NULL, sizeof *slow_disk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true (slow_disk != MAP_FAILED);
    pid_t trainer = fork ();
    if (trainer == 0)
        _exit (mu_checkpoint_prune (bed_top, &stay, NULL, NULL) < 0);
    while (!slow_disk->waits && waitpid (trainer, NULL, WNOHANG) == 0)
        usleep (1000);
    assert_int_equal (bed_count_names (".step-00000001.old-"), 1);
    kill (trainer, SIGKILL);
    assert_int_equal (waitpid (trainer, NULL, 0), trainer);
    slow_disk->go = true;
    for (int ms = 0; ms < 30000 && bed_count_names (".step-"); ms++)
        usleep (1000);
    munmap (slow_disk, sizeof *slow_disk);
    slow_disk = NULL;
    assert_int_equal (bed_count_names (".step-"), 0);
    assert_int_equal (bed_count_names ("step-"), 1);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_state_comes_back_bit_for_bit),
        TEST (the_same_again_is_no_failure),
        TEST (who_wrote_before_all_died_makes_room),
        TEST (another_model_is_refused),
        TEST (torn_files_are_named),
        TEST (every_flipped_bit_is_seen),
        TEST (a_full_disk_is_told_and_leaves_nothing),
        TEST (a_small_disk_keeps_the_checkpoint_before),
        TEST (a_place_that_cannot_be_written_is_named),
        TEST (only_right_names_are_checkpoints),
        TEST (pruning_keeps_what_is_needed),
        TEST (what_was_never_committed_does_not_count),
        TEST (what_is_not_the_jobs_own_stays),
        TEST (nothing_goes_before_anything_is_committed),
        TEST (what_dead_writers_left_is_swept),
        TEST (who_removes_is_ended_and_it_goes_all_the_same),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}