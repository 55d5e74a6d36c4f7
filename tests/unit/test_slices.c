/* SPDX-License-Identifier: Apache-2.0 */
/* test_slices.c - who writes a slice, and how many there are, changes no bit; each is proven */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint_bed.h"
#include "worker/checkpoint/crew.h"
#include "worker/checkpoint/idle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

/* --- storage that fails when it is told to ---------------------------------------------------- */

static _Atomic long good_calls = LONG_MAX; /* of pwrite and fsync, before one that fails */

ssize_t __real_pwrite (int fd, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite (int fd, const void *bytes, size_t size, off_t at);
int __real_fsync (int fd);
int __wrap_fsync (int fd);

static bool fails (void)
{
    errno = ENOSPC;
    return atomic_fetch_sub (&good_calls, 1) == 0;
}

ssize_t __wrap_pwrite (int fd, const void *bytes, size_t size, off_t at)
{
    return fails () ? -1 : __real_pwrite (fd, bytes, size, at);
}

int __wrap_fsync (int fd) { return fails () ? -1 : __real_fsync (fd); }

struct doing {
    _Atomic uint32_t done[100], all;
    uint32_t fails_at;
};

static int do_piece (void *about, uint32_t number, struct mu_error *error)
{
    struct doing *doing = about;
    doing->done[number]++;
    doing->all++;
    return number == doing->fails_at ? mu_fail (error, MU_IO, "piece %u is bad", number) : 0;
}

static void each_piece_is_done_once (void **unused)
{
    (void)unused;
    for (uint32_t hands = 0; hands < 6; hands++)
        for (uint32_t pieces = 0; pieces <= 100; pieces += 20) {
            struct doing doing = { .fails_at = UINT32_MAX };
            assert_int_equal (mu_crew_run (hands, pieces, do_piece, &doing, NULL), 0);
            for (uint32_t i = 0; i < 100; i++)
                assert_int_equal (doing.done[i], i < pieces);
        }
    assert_int_equal (mu_crew_hands (1000), 1);
    assert_in_range (mu_crew_hands (UINT64_MAX), 1, 4);
}

static void a_piece_that_fails_ends_the_work (void **unused)
{
    (void)unused;
    for (uint32_t hands = 1; hands < 5; hands++)
        for (uint32_t bad = 0; bad < 100; bad += 11) {
            struct doing doing = { .fails_at = bad };
            struct mu_error error = { .text = "" };
            char text[32];
            snprintf (text, sizeof text, "piece %u is bad", bad);
            assert_int_equal (mu_crew_run (hands, 100, do_piece, &doing, &error), -1);
            assert_string_equal (error.text, text);
            assert_true (doing.all > bad);
            if (hands == 1)
                assert_int_equal (doing.all, bad + 1);
        }
}

/* A whole file, malloc'ed. */
static char *contents (const char *path, size_t *size)
{
    *size = bed_size_of (path);
    char *bytes = malloc (*size);
    int fd = open (path, O_RDONLY);
    assert_int_equal (read (fd, bytes, *size), *size);
    close (fd);
    return bytes;
}

static bool same_file (const char *a, const char *b)
{
    size_t size_a, size_b;
    char *bytes_a = contents (a, &size_a), *bytes_b = contents (b, &size_b);
    bool same = size_a == size_b && memcmp (bytes_a, bytes_b, size_a) == 0;
    free (bytes_a);
    free (bytes_b);
    return same;
}

static void any_number_of_hands_writes_the_same_bits (void **unused)
{
    (void)unused;
    static const uint64_t slices[] = { 64, 1000, 1024, 7000, 7268, 7269, 1 << 20, 0 };
    struct mu_state *state = bed_state (1);
    uint8_t hash[MU_STATE_HASH_SIZE];
    bed_age (state, 200);
    mu_state_hash (state, hash);
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        for (uint32_t hands = 0; hands < 6; hands++) {
            struct mu_checkpoint_job sliced = bed_job;
            struct mu_checkpoint_saved saved;
            struct mu_error error = { .text = "" };
            sliced.slice = slices[i];
            sliced.hands = hands;
            if (mu_checkpoint_write (bed_below ("%zu-%u", i, hands), state, bed_tensors, &sliced,
                                     &saved, &error) < 0)
                fail_msg ("%s", error.text);
            assert_memory_equal (saved.weights_hash, hash, sizeof hash);
            for (size_t f = 0; f < BED_FILES; f++) /* muster.json tells of the slices */
                assert_true (
                    same_file (bed_below ("%zu-%u/step-00000200/%s", i, hands, bed_files[f]),
                               bed_below ("%zu-0/step-00000200/%s", f < 3 ? 0 : i, bed_files[f])));
            struct mu_state *loaded = bed_state (2);
            if (mu_checkpoint_load (saved.path, loaded, bed_tensors, NULL, &error) < 0)
                fail_msg ("%s", error.text);
            assert_memory_equal (state, loaded, state->bytes);
            free (loaded);
        }
    free (state);
}

/* Large enough that copying, writing, checking and loading take several hands by themselves. */
static void a_large_state_comes_back (void **unused)
{
    (void)unused;
    static const struct muster_tensor large[] = { { "a", 0, 2, { 1300, 1024 } },
                                                  { "b", 0, 1, { 12345 } },
                                                  { "c", 0, 2, { 3, 333333 } } };
    size_t size = mu_state_size (large, 3, NULL);
    struct mu_state *state = mu_state_lay_out (bed_memory (size), size, large, 3, NULL);
    struct mu_state *loaded = mu_state_lay_out (bed_memory (size), size, large, 3, NULL);
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t t = 0; t < 3; t++)
        for (uint64_t i = 0; i < table[t].elements; i++) {
            mu_state_weights (state)[table[t].first + i] = bed_noise (1, t, i);
            mu_state_m (state)[table[t].first + i] = bed_noise (2, t, i);
            mu_state_v (state)[table[t].first + i] = bed_noise (3, t, i);
        }
    struct mu_checkpoint_job usual = bed_job;
    struct mu_checkpoint_writer writer = MU_CHECKPOINT_WRITER_NONE;
    struct mu_checkpoint_saved saved;
    struct mu_error error = { .text = "" };
    usual.slice = usual.hands = 0;
    assert_int_equal (mu_checkpoint_begin (&writer, bed_top, state, large, &usual, &error), 0);
    if (bed_wait (&writer, &saved, &error) < 0 ||
        mu_checkpoint_load (saved.path, loaded, large, NULL, &error) < 0)
        fail_msg ("%s", error.text);
    mu_checkpoint_cancel (&writer);
    assert_memory_equal (state, loaded, size);
    bed_flip (bed_below ("step-00000000/optimizer.safetensors"), 13000000, 5);
    assert_int_equal (mu_checkpoint_load (saved.path, loaded, large, NULL, &error), -1);
    assert_non_null (strstr (error.text, "optimizer.safetensors is damaged"));
    free (loaded);
    free (state);
}

/* Each single slice, and each sync, by one hand and by three. The last sync is that of the name:
 * then the checkpoint is there, and whole. */
static void whatever_fails_fails_the_whole (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    bed_age (state, 200);
    for (uint32_t hands = 1; hands <= 3; hands += 2) {
        struct mu_checkpoint_job few = bed_job;
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        few.hands = hands;
        long failed = 0;
        for (;;) {
            atomic_store (&good_calls, failed);
            int status = mu_checkpoint_write (bed_top, state, bed_tensors, &few, &saved, &error);
            atomic_store (&good_calls, LONG_MAX);
            if (status == 0)
                break;
            failed++;
            assert_int_equal (error.code, MU_IO);
            assert_int_equal (bed_count_names (".step"), 0);
            if (bed_count_names ("step-") > 0)
                assert_non_null (strstr (error.text, "storing the name"));
        }
        assert_in_range (failed, 2 + 2 + 6, 4 + 2 + 6); /* values, with ends; heads; syncs */
        assert_int_equal (mu_checkpoint_verify (saved.path, NULL), 0);
        char command[100];
        snprintf (command, sizeof command, "rm -r '%s/step-00000200'", bed_top);
        assert_int_equal (system (command), 0);
    }
    free (state);
}

static void a_torn_slice_is_named (void **unused)
{
    (void)unused;
    struct mu_error error = { .text = "" };
    char text[100];
    bed_save (200);
    const char *path = bed_below ("step-00000200/optimizer.safetensors");
    size_t head = bed_size_of (path) - 2 * 1817 * sizeof (float);
    bed_flip (path, head + 3 * 1024, 0);
    snprintf (text, sizeof text, "those from %zu to %zu", head + 3 * 1024, head + 4 * 1024);
    assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000200"), &error), -1);
    assert_non_null (strstr (error.text, text));
    bed_flip (path, head + 3 * 1024, 0);
    char slices[2][1024]; /* each is one that was written, but not there */
    int fd = open (path, O_RDWR);
    for (int i = 0; i < 2; i++)
        assert_int_equal (pread (fd, slices[i], 1024, (off_t)head + i * 1024), 1024);
    for (int i = 0; i < 2; i++)
        assert_int_equal (pwrite (fd, slices[!i], 1024, (off_t)head + i * 1024), 1024);
    assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000200"), NULL), -1);
    for (int i = 0; i < 2; i++)
        assert_int_equal (pwrite (fd, slices[i], 1024, (off_t)head + i * 1024), 1024);
    close (fd);
    assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000200"), NULL), 0);
}

/* Written before there were slices; tests/golden/checkpoint-1 tells of it. */
static void format_1_is_read (void **unused)
{
    (void)unused;
    const char *source = getenv ("top_srcdir");
    char command[PATH_MAX + 100];
    struct mu_state *state = bed_state (1), *loaded = bed_state (2);
    struct mu_checkpoint_info info;
    struct mu_checkpoint_saved saved;
    struct mu_error error = { .text = "" };
    snprintf (command, sizeof command,
              "cp -r '%s/tests/golden/checkpoint-1' '%s' && chmod -R u+w '%s'",
              source ? source : ".", bed_below ("step-00000200"), bed_top);
    assert_int_equal (system (command), 0);
    bed_age (state, 200);
    if (mu_checkpoint_load (bed_below ("step-00000200"), loaded, bed_tensors, &info, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (state, loaded, state->bytes);
    assert_int_equal (info.version, 1);
    mu_checkpoint_info_clear (&info);
    assert_int_equal (mu_checkpoint_write (bed_top, state, bed_tensors, &bed_job, &saved, &error),
                      0);
    assert_true (saved.existed);
    mu_state_m (state)[0] = 5;
    assert_int_equal (mu_checkpoint_write (bed_top, state, bed_tensors, &bed_job, &saved, &error),
                      -1);
    assert_int_equal (error.code, MU_CONFLICT);
    bed_flip (bed_below ("step-00000200/model.safetensors"), 5000, 0);
    assert_int_equal (
        mu_checkpoint_load (bed_below ("step-00000200"), loaded, bed_tensors, NULL, &error), -1);
    assert_non_null (strstr (error.text, "model.safetensors is damaged"));
    free (loaded);
    free (state);
}

/* --- who works on them ------------------------------------------------------------------------ */

static int policy_of_a_new_thread;

static void *note_policy (void *argument)
{
    policy_of_a_new_thread = sched_getscheduler (0);
    return argument;
}

/* Where it could not be left again it is not entered. */
static void idle_work_is_idle_for_a_while (void **unused)
{
    (void)unused;
    pthread_t thread;
    mu_idle_look ();
    assert_int_equal (sched_getscheduler (0), SCHED_OTHER);
    mu_idle_begin (UINT64_C (1) << 40);
    const bool can = sched_getscheduler (0) == SCHED_IDLE;
    mu_idle_look ();
    assert_int_equal (pthread_create (&thread, NULL, note_policy, NULL), 0);
    pthread_join (thread, NULL);
    assert_int_equal (policy_of_a_new_thread, can ? SCHED_IDLE : SCHED_OTHER);
    mu_idle_end ();
    assert_int_equal (sched_getscheduler (0), SCHED_OTHER);
    mu_idle_begin (0);
    while (sched_getscheduler (0) == SCHED_IDLE)
        mu_idle_look (); /* until its time is over */
    mu_idle_end ();
    if (geteuid () == 0)
        assert_true (can);
}

/* --- muster.json ------------------------------------------------------------------------------ */

/* The muster.json of step 200 without its first line. */
static void read_manifest (char *rest, size_t size)
{
    FILE *file = fopen (bed_below ("step-00000200/muster.json"), "r");
    assert_non_null (fgets (rest, (int)size, file));
    size_t got = fread (rest, 1, size - 1, file);
    assert_true (got > 500 && got < size - 1);
    rest[got] = '\0';
    fclose (file);
}

static void write_sealed (const char *rest)
{
    uint8_t hash[32];
    char hex[65];
    crypto_generichash (hash, 32, (const uint8_t *)rest, strlen (rest), NULL, 0);
    sodium_bin2hex (hex, sizeof hex, hash, 32);
    FILE *file = fopen (bed_below ("step-00000200/muster.json"), "w");
    fprintf (file, "{\"seal\": \"%s\",\n%s", hex, rest);
    fclose (file);
}

/* A manifest that is sealed but says wrong things: what somebody could hand us. */
static void sealed_nonsense_is_refused (void **unused)
{
    (void)unused;
    const struct {
        const char *from, *to;
    } changes[] = {
        { "\"format\": 2", "\"format\": 3" },
        { "\"format\": 2", "\"format\": 1" }, /* which has no slices */
        { "\"slice\": 1024", "\"slice\": 0" },
        { "\"slice\": 1024", "\"slice\": 512" },
        { "\"slice\": 1024", "\"slice\": -4" },
        { "\"head\": ", "\"head\": 9" },
        { "\"blake2b_256\": [", "\"blake2b_256\": [[]," },
        { "\"blake2b_256\": [\n    \"", "\"blake2b_256\": [\n    \"x" },
        { "  10,", "  11," }, /* a scale: of the digest alone */
        { "\"step\": 200", "\"step\": -1," },
        { "\"model.safetensors\"", "\"../../etc/passwd1\"" },
        { "\"scales\"", "\"scalez\"" },
        { "\"trainer\": \"bed\"", "\"trainer\": 12345" },
        { "\"skipped\": 4", "\"skipped\": []" },
        { "\"beta1_power\": \"3", "\"beta1_power\": \"7" },
        { "\"blake2b_256\": \"", "\"blake2b_256\": \"x" }, /* config.json */
        { "\"parameters\": 1817", "\"parameters\": 1818" },
    };
    struct mu_state *state = bed_state (1);
    char whole[16384], changed[16400];
    bed_save (200);
    read_manifest (whole, sizeof whole);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct mu_error error = { .text = "" };
        const char *at = strstr (whole, changes[i].from);
        assert_non_null (at);
        snprintf (changed, sizeof changed, "%.*s%s%s", (int)(at - whole), whole, changes[i].to,
                  at + strlen (changes[i].from));
        write_sealed (changed);
        if (mu_checkpoint_load (bed_below ("step-00000200"), state, bed_tensors, NULL, &error) == 0)
            fail_msg ("%s is believed", changes[i].to);
        assert_null (strstr (error.text, "seal"));
    }
    write_sealed (whole);
    assert_int_equal (
        mu_checkpoint_load (bed_below ("step-00000200"), state, bed_tensors, NULL, NULL), 0);
    free (state);
}

/* What no hash covers could be anything. */
static void a_hash_too_few_is_refused (void **unused)
{
    (void)unused;
    static const char end[] = "\"\n   ]";
    char rest[16384], changed[16384];
    struct mu_error error = { .text = "" };
    bed_save (200);
    read_manifest (rest, sizeof rest);
    const char *list = strstr (rest, "\"model.safetensors\"");
    const char *last = strstr (list, end); /* of the last hash */
    const char *before = last - strlen (",\n    \"") - 64;
    assert_memory_equal (before, ",\n    \"", 7);
    snprintf (changed, sizeof changed, "%.*s%s", (int)(before - rest), rest, last + 1);
    write_sealed (changed);
    assert_int_equal (mu_checkpoint_verify (bed_below ("step-00000200"), &error), -1);
    assert_non_null (strstr (error.text, "a file's list of hashes is missing or wrong"));
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST (each_piece_is_done_once),
        TEST (a_piece_that_fails_ends_the_work),
        TEST (any_number_of_hands_writes_the_same_bits),
        TEST (a_large_state_comes_back),
        TEST (whatever_fails_fails_the_whole),
        TEST (a_torn_slice_is_named),
        TEST (format_1_is_read),
        TEST (idle_work_is_idle_for_a_while),
        TEST (sealed_nonsense_is_refused),
        TEST (a_hash_too_few_is_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
