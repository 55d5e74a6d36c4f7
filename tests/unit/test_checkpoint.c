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

#include "state_bed.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/checkpoint/crew.h"
#include "worker/checkpoint/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
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

static const struct mu_checkpoint_job job = {
    .id = "17",
    .name = "prose \"quoted\" \xc3\xa4",
    .spec = "{\"trainer\": \"bed\"}\n",
    .trainer = "bed",
    .data = "x.gz 12 bytes abcdef",
    .compute_class = "portable",
    .config = "{\"model_type\": \"bed\"}\n",
    .seed = INT64_MAX,
    .epoch = 3,
    .position = 4711,
    .slice = 1024, /* the bed's state has 21 kB: each file is of several slices, */
    .hands = 3,    /* and several threads write them */
};

static const char *const files[] = { "model.safetensors", "optimizer.safetensors", "config.json",
                                     "muster.json" };
#define FILES (sizeof files / sizeof *files)

/* --- small helpers ---------------------------------------------------------------------------- */

static char top[64]; /* a fresh directory for each test, removed after it */

static int setup (void **unused)
{
    (void)unused;
    strcpy (top, "/tmp/test_checkpoint.XXXXXX");
    return mkdtemp (top) ? 0 : -1;
}

static int teardown (void **unused)
{
    (void)unused;
    char command[128];
    snprintf (command, sizeof command, "rm -rf '%s'", top);
    return system (command);
}

static const char *below (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* A path below the test's directory; valid until the fourth call after. */
static const char *below (const char *format, ...)
{
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    int used = snprintf (path, PATH_MAX, "%s/", top);
    va_list args;
    va_start (args, format);
    vsnprintf (path + used, PATH_MAX - (size_t)used, format, args);
    va_end (args);
    return path;
}

static struct mu_checkpoint_saved save (uint64_t step)
{
    struct mu_checkpoint_saved saved;
    struct mu_error error = { .text = "" };
    struct mu_state *state = bed_state (1);
    bed_age (state, step);
    if (mu_checkpoint_write (top, state, bed_tensors, &job, &saved, &error) < 0)
        fail_msg ("%s", error.text);
    free (state);
    return saved;
}

static int wait_for (struct mu_checkpoint_writer *writer, struct mu_checkpoint_saved *saved,
                     struct mu_error *error)
{
    for (;;) {
        struct pollfd fd = { .fd = writer->fd, .events = POLLIN };
        assert_int_equal (poll (&fd, 1, 30000), 1);
        int status = mu_checkpoint_poll (writer, saved, error);
        if (status != 0)
            return status;
    }
}

/* Names in the directory that begin with a dot or with "step-". */
static size_t count_names (const char *prefix)
{
    size_t count = 0;
    DIR *dir = opendir (top);
    for (struct dirent *entry = readdir (dir); entry; entry = readdir (dir))
        count += strncmp (entry->d_name, prefix, strlen (prefix)) == 0;
    closedir (dir);
    return count;
}

static size_t size_of (const char *path)
{
    struct stat status;
    assert_int_equal (stat (path, &status), 0);
    return (size_t)status.st_size;
}

static void flip (const char *path, size_t byte, int bit)
{
    int fd = open (path, O_RDWR);
    uint8_t value;
    assert_int_equal (pread (fd, &value, 1, (off_t)byte), 1);
    value ^= (uint8_t)(1 << bit);
    assert_int_equal (pwrite (fd, &value, 1, (off_t)byte), 1);
    close (fd);
}

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
        mu_checkpoint_write (below ("a/b/c"), state, bed_tensors, &job, &saved, &error), 0);
    assert_string_equal (saved.path, below ("a/b/c/step-00000200"));
    if (mu_checkpoint_load (saved.path, loaded, bed_tensors, &info, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (state, loaded, state->bytes);
    assert_memory_equal (info.weights_hash, saved.weights_hash, sizeof info.weights_hash);
    assert_memory_equal (info.digest, saved.digest, sizeof info.digest);
    assert_string_equal (info.job_id, job.id);
    assert_string_equal (info.job_name, job.name);
    assert_string_equal (info.job_spec, job.spec);
    assert_string_equal (info.trainer, job.trainer);
    assert_string_equal (info.data, job.data);
    assert_string_equal (info.compute_class, job.compute_class);
    assert_true (info.seed == job.seed && info.epoch == 3 && info.position == 4711);
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
    for (uint64_t step = 1; step <= 10; step++) {
        struct mu_checkpoint_writer writer;
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        bed_age (state, step);
        struct mu_state *then = bed_copy (state), *loaded = bed_state (1);
        assert_int_equal (mu_checkpoint_begin (&writer, top, state, bed_tensors, &job, &error), 0);
        bed_age (state, step + 1000);
        if (wait_for (&writer, &saved, &error) < 0)
            fail_msg ("%s", error.text);
        assert_int_equal (writer.pid, 0);
        assert_int_equal (saved.step, step);
        assert_false (saved.existed);
        assert_int_equal (mu_checkpoint_load (saved.path, loaded, bed_tensors, NULL, &error), 0);
        assert_memory_equal (then, loaded, size);
        free (then);
        free (loaded);
    }
    assert_int_equal (count_names ("step-"), 10);
    assert_int_equal (count_names (".step"), 0);
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
        struct mu_checkpoint_writer writer;
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        state->step = step % 2; /* after the second it is there already */
        assert_int_equal (mu_checkpoint_begin (&writer, top, state, bed_tensors, &job, &error), 0);
        if (wait_for (&writer, &saved, &error) < 0)
            fail_msg ("%s", error.text);
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
        struct mu_checkpoint_writer writer;
        struct mu_checkpoint_saved saved;
        state->step = step % 2;
        if (step == 10) { /* all that is made once is made */
            pages = count_pages ();
            fd = dup (0);
            close ((int)fd);
        }
        assert_int_equal (mu_checkpoint_begin (&writer, top, state, bed_tensors, &job, NULL), 0);
        assert_int_equal (wait_for (&writer, &saved, NULL), 1);
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
    assert_false (save (200).existed);
    assert_true (save (200).existed);
    struct mu_state *state = bed_state (1);
    struct mu_checkpoint_saved saved;
    struct mu_error error;
    bed_age (state, 200);
    mu_state_m (state)[0] = 5;
    assert_int_equal (mu_checkpoint_write (top, state, bed_tensors, &job, &saved, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    assert_non_null (strstr (error.text, "step-00000200 is there already"));
    flip (below ("step-00000200/model.safetensors"), 700, 3);
    assert_int_equal (mu_checkpoint_write (top, state, bed_tensors, &job, &saved, &error), 0);
    assert_false (saved.existed);
    assert_int_equal (mu_checkpoint_verify (saved.path, &error), 0);
    assert_int_equal (count_names (".step"), 0);
    free (state);
}

static void another_model_is_refused (void **unused)
{
    (void)unused;
    struct mu_checkpoint_saved saved = save (5);
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
    assert_int_equal (mu_checkpoint_load (top, state, bed_tensors, NULL, &error), -1);
    free (state);
}

/* --- slices ----------------------------------------------------------------------------------- */

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
    *size = size_of (path);
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
            struct mu_checkpoint_job sliced = job;
            struct mu_checkpoint_saved saved;
            struct mu_error error = { .text = "" };
            sliced.slice = slices[i];
            sliced.hands = hands;
            if (mu_checkpoint_write (below ("%zu-%u", i, hands), state, bed_tensors, &sliced,
                                     &saved, &error) < 0)
                fail_msg ("%s", error.text);
            assert_memory_equal (saved.weights_hash, hash, sizeof hash);
            for (size_t f = 0; f < FILES; f++) /* muster.json tells of the slices */
                assert_true (same_file (below ("%zu-%u/step-00000200/%s", i, hands, files[f]),
                                        below ("%zu-0/step-00000200/%s", f < 3 ? 0 : i, files[f])));
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
    struct mu_checkpoint_job usual = job;
    struct mu_checkpoint_writer writer;
    struct mu_checkpoint_saved saved;
    struct mu_error error = { .text = "" };
    usual.slice = usual.hands = 0;
    assert_int_equal (mu_checkpoint_begin (&writer, top, state, large, &usual, &error), 0);
    if (wait_for (&writer, &saved, &error) < 0 ||
        mu_checkpoint_load (saved.path, loaded, large, NULL, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (state, loaded, size);
    flip (below ("step-00000000/optimizer.safetensors"), 13000000, 5);
    assert_int_equal (mu_checkpoint_load (saved.path, loaded, large, NULL, &error), -1);
    assert_non_null (strstr (error.text, "optimizer.safetensors is damaged"));
    free (loaded);
    free (state);
}

static void a_torn_slice_is_named (void **unused)
{
    (void)unused;
    struct mu_error error = { .text = "" };
    char text[100];
    save (200);
    const char *path = below ("step-00000200/optimizer.safetensors");
    size_t head = size_of (path) - 2 * 1817 * sizeof (float);
    flip (path, head + 3 * 1024, 0);
    snprintf (text, sizeof text, "those from %zu to %zu", head + 3 * 1024, head + 4 * 1024);
    assert_int_equal (mu_checkpoint_verify (below ("step-00000200"), &error), -1);
    assert_non_null (strstr (error.text, text));
    flip (path, head + 3 * 1024, 0);
    char slices[2][1024]; /* each is one that was written, but not there */
    int fd = open (path, O_RDWR);
    for (int i = 0; i < 2; i++)
        assert_int_equal (pread (fd, slices[i], 1024, (off_t)head + i * 1024), 1024);
    for (int i = 0; i < 2; i++)
        assert_int_equal (pwrite (fd, slices[!i], 1024, (off_t)head + i * 1024), 1024);
    assert_int_equal (mu_checkpoint_verify (below ("step-00000200"), NULL), -1);
    for (int i = 0; i < 2; i++)
        assert_int_equal (pwrite (fd, slices[i], 1024, (off_t)head + i * 1024), 1024);
    close (fd);
    assert_int_equal (mu_checkpoint_verify (below ("step-00000200"), NULL), 0);
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
              source ? source : ".", below ("step-00000200"), top);
    assert_int_equal (system (command), 0);
    bed_age (state, 200);
    if (mu_checkpoint_load (below ("step-00000200"), loaded, bed_tensors, &info, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (state, loaded, state->bytes);
    assert_int_equal (info.version, 1);
    mu_checkpoint_info_clear (&info);
    assert_int_equal (mu_checkpoint_write (top, state, bed_tensors, &job, &saved, &error), 0);
    assert_true (saved.existed);
    mu_state_m (state)[0] = 5;
    assert_int_equal (mu_checkpoint_write (top, state, bed_tensors, &job, &saved, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    flip (below ("step-00000200/model.safetensors"), 5000, 0);
    assert_int_equal (
        mu_checkpoint_load (below ("step-00000200"), loaded, bed_tensors, NULL, &error), -1);
    assert_non_null (strstr (error.text, "model.safetensors is damaged"));
    free (loaded);
    free (state);
}

/* --- what storage does ------------------------------------------------------------------------ */

static void torn_files_are_named (void **unused)
{
    (void)unused;
    for (size_t f = 0; f < FILES; f++) {
        size_t whole = 0;
        for (int where = 0; where < 9; where++) {
            struct mu_error error = { .text = "" };
            save (100);
            save (200);
            const char *path = below ("step-00000200/%s", files[f]);
            whole = size_of (path);
            const size_t cuts[] = { 0,         1,         7,         8,           whole / 4,
                                    whole / 2, whole - 1, whole + 1, whole + 4096 };
            assert_int_equal (truncate (path, (off_t)cuts[where]), 0);
            assert_int_equal (mu_checkpoint_verify (below ("step-00000200"), &error), -1);
            assert_non_null (strstr (error.text, files[f]));
            struct mu_checkpoint_entry *entries;
            size_t count;
            assert_int_equal (mu_checkpoint_list (top, &entries, &count, &error), 0);
            assert_int_equal (count, 2);
            assert_true (entries[0].whole && !entries[1].whole);
            assert_non_null (strstr (entries[1].problem, files[f]));
            free (entries);
            char found[PATH_MAX];
            struct mu_error skipped;
            assert_int_equal (mu_checkpoint_find (top, UINT64_MAX, found, &skipped, &error), 0);
            assert_string_equal (found, below ("step-00000100"));
            assert_non_null (strstr (skipped.text, files[f]));
        }
        assert_int_equal (unlink (below ("step-00000200/%s", files[f])), 0);
        assert_int_equal (mu_checkpoint_verify (below ("step-00000200"), NULL), -1);
    }
}

static void every_flipped_bit_is_seen (void **unused)
{
    (void)unused;
    save (100);
    save (200);
    for (size_t f = 0; f < FILES; f++) {
        char path[PATH_MAX];
        snprintf (path, sizeof path, "%s", below ("step-00000200/%s", files[f]));
        size_t size = size_of (path), stride = size / 1500 + 1;
        for (size_t byte = 0; byte < size; byte += stride) {
            struct mu_error error = { .text = "" };
            flip (path, byte, (int)(byte / stride % 8));
            assert_int_equal (mu_checkpoint_verify (below ("step-00000200"), &error), -1);
            if (!strstr (error.text, files[f]))
                fail_msg ("byte %zu of %s: %s", byte, files[f], error.text);
            flip (path, byte, (int)(byte / stride % 8));
        }
        assert_int_equal (mu_checkpoint_verify (below ("step-00000200"), NULL), 0);
    }
    flip (below ("step-00000200/model.safetensors"), 5000, 0);
    char found[PATH_MAX];
    assert_int_equal (mu_checkpoint_find (top, UINT64_MAX, found, NULL, NULL), 0);
    assert_string_equal (found, below ("step-00000100"));
    struct mu_state *state = bed_state (1);
    assert_int_equal (mu_checkpoint_load (below ("step-00000200"), state, bed_tensors, NULL, NULL),
                      -1);
    free (state);
}

/* The muster.json of step 200 without its first line. */
static void read_manifest (char *rest, size_t size)
{
    FILE *file = fopen (below ("step-00000200/muster.json"), "r");
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
    FILE *file = fopen (below ("step-00000200/muster.json"), "w");
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
    save (200);
    read_manifest (whole, sizeof whole);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct mu_error error = { .text = "" };
        const char *at = strstr (whole, changes[i].from);
        assert_non_null (at);
        snprintf (changed, sizeof changed, "%.*s%s%s", (int)(at - whole), whole, changes[i].to,
                  at + strlen (changes[i].from));
        write_sealed (changed);
        if (mu_checkpoint_load (below ("step-00000200"), state, bed_tensors, NULL, &error) == 0)
            fail_msg ("%s is believed", changes[i].to);
        assert_null (strstr (error.text, "seal"));
    }
    write_sealed (whole);
    assert_int_equal (mu_checkpoint_load (below ("step-00000200"), state, bed_tensors, NULL, NULL),
                      0);
    free (state);
}

/* What no hash covers could be anything. */
static void a_hash_too_few_is_refused (void **unused)
{
    (void)unused;
    static const char end[] = "\"\n   ]";
    char rest[16384], changed[16384];
    struct mu_error error = { .text = "" };
    save (200);
    read_manifest (rest, sizeof rest);
    const char *list = strstr (rest, "\"model.safetensors\"");
    const char *last = strstr (list, end); /* of the last hash */
    const char *before = last - strlen (",\n    \"") - 64;
    assert_memory_equal (before, ",\n    \"", 7);
    snprintf (changed, sizeof changed, "%.*s%s", (int)(before - rest), rest, last + 1);
    write_sealed (changed);
    assert_int_equal (mu_checkpoint_verify (below ("step-00000200"), &error), -1);
    assert_non_null (strstr (error.text, "a file's list of hashes is missing or wrong"));
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
        struct mu_checkpoint_writer writer;
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        limit = (struct rlimit){ .rlim_cur = bytes, .rlim_max = old.rlim_max };
        assert_int_equal (setrlimit (RLIMIT_FSIZE, &limit), 0);
        int begun = mu_checkpoint_begin (&writer, top, state, bed_tensors, &job, &error);
        assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
        assert_int_equal (begun, 0);
        status = wait_for (&writer, &saved, &error);
        assert_int_equal (count_names (".step"), 0);
        assert_int_equal (count_names ("step-"), status == 1);
        if (status < 0) {
            assert_int_equal (error.code, MU_IO);
            assert_non_null (strstr (error.text, "make room"));
            assert_non_null (strstr (error.text, "step 300"));
            failed++;
        }
    }
    assert_true (failed > 10);
    assert_int_equal (mu_checkpoint_verify (below ("step-00000300"), NULL), 0);
    free (state);
}

/* The same on a real file system that is too small, where one can be mounted. */
static int fill_small_disk (void)
{
    struct mu_checkpoint_saved saved;
    struct mu_error error = { .text = "" };
    struct mu_state *state = bed_state (1);
    if (unshare (CLONE_NEWNS) < 0 || mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount ("none", top, "tmpfs", 0, "size=48k") < 0)
        return 77;
    bed_age (state, 1);
    int first = mu_checkpoint_write (top, state, bed_tensors, &job, &saved, &error);
    bed_age (state, 2);
    int second = mu_checkpoint_write (top, state, bed_tensors, &job, &saved, &error);
    bool told = strstr (error.text, "No space left on device") && error.code == MU_IO;
    free (state);
    return first == 0 && second < 0 && told && count_names (".step") == 0 &&
                   count_names ("step-") == 1
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
    int fd = open (below ("file"), O_CREAT | O_WRONLY, 0644);
    close (fd);
    assert_int_equal (
        mu_checkpoint_write (below ("file/x"), state, bed_tensors, &job, &saved, &error), -1);
    assert_int_equal (error.code, MU_CANT_CREATE);
    assert_non_null (strstr (error.text, "/file/x: Not a directory"));
    assert_int_equal (mu_checkpoint_write ("/proc/none", state, bed_tensors, &job, &saved, &error),
                      -1);
    assert_int_equal (error.code, MU_CANT_CREATE);
    assert_int_equal (mu_checkpoint_write ("", state, bed_tensors, &job, &saved, &error), -1);
    struct mu_checkpoint_job bad = job;
    bad.name = "\xff";
    assert_int_equal (mu_checkpoint_write (top, state, bed_tensors, &bad, &saved, &error), -1);
    assert_non_null (strstr (error.text, "job_name must be UTF-8"));
    bad.name = NULL;
    assert_int_equal (mu_checkpoint_write (top, state, bed_tensors, &bad, &saved, &error), -1);
    assert_int_equal (count_names (".step"), 0);
    free (state);
}

/* --- what the killer does --------------------------------------------------------------------- */

static void a_killed_writer_leaves_nothing_that_counts (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    int killed = 0, finished = 0;
    useconds_t usual = 4000;
    for (uint64_t step = 1; step <= 150; step++) {
        struct mu_checkpoint_writer writer;
        struct mu_checkpoint_saved saved;
        struct mu_error error = { .text = "" };
        struct mu_checkpoint_entry *entries;
        size_t count;
        bed_age (state, step);
        assert_int_equal (mu_checkpoint_begin (&writer, top, state, bed_tensors, &job, &error), 0);
        usleep ((useconds_t)(bed_random (step, 1, 2) % usual));
        kill (writer.pid, SIGKILL);
        int status = wait_for (&writer, &saved, &error);
        status > 0 ? finished++ : killed++;
        if (status < 0)
            assert_non_null (strstr (error.text, "killed by signal 9"));
        usual = status > 0 ? usual * 9 / 10 + 1 : usual * 10 / 9 + 1;
        assert_int_equal (mu_checkpoint_list (top, &entries, &count, &error), 0);
        bool there = count > 0 && entries[count - 1].step == step;
        assert_true (there || status < 0);
        if (there)
            assert_int_equal (mu_checkpoint_verify (below ("%s", entries[count - 1].name), &error),
                              0);
        for (size_t i = 0; i < count; i++)
            assert_true (entries[i].whole);
        free (entries);
    }
    print_message ("# %d writers killed, %d finished\n", killed, finished);
    assert_true (killed > 20);
    free (state);
}

static void a_cancelled_writer_is_gone (void **unused)
{
    (void)unused;
    struct mu_checkpoint_writer writer;
    struct mu_checkpoint_saved saved;
    struct mu_state *state = bed_state (1);
    assert_int_equal (mu_checkpoint_begin (&writer, top, state, bed_tensors, &job, NULL), 0);
    pid_t pid = writer.pid;
    mu_checkpoint_cancel (&writer);
    assert_int_equal (kill (pid, 0), -1);
    mu_checkpoint_cancel (&writer);
    assert_int_equal (mu_checkpoint_poll (&writer, &saved, NULL), -1);
    free (state);
}

/* --- a directory of them ---------------------------------------------------------------------- */

static void only_right_names_are_checkpoints (void **unused)
{
    (void)unused;
    struct mu_checkpoint_entry *entries;
    size_t count;
    assert_int_equal (mu_checkpoint_list (below ("none"), &entries, &count, NULL), 0);
    assert_int_equal (count, 0);
    static const char *const names[] = {
        "step-1",         ".step-00000001.tmp-1-0", "step-0000000x",
        "step-000000001", "step-00000001.old",      "steps"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal (mkdir (below ("%s", names[i]), 0777), 0);
    assert_int_equal (mkdir (below ("step-00000007"), 0777), 0);
    save (123456789012);
    save (5);
    assert_int_equal (rename (below ("step-00000005"), below ("step-00000006")), 0);
    assert_int_equal (mu_checkpoint_list (top, &entries, &count, NULL), 0);
    assert_int_equal (count, 3);
    assert_true (entries[0].step == 6 && !entries[0].whole);
    assert_non_null (strstr (entries[0].problem, "holds step 5"));
    assert_true (entries[1].step == 7 && !entries[1].whole);
    assert_true (entries[2].step == 123456789012 && entries[2].whole);
    free (entries);
    char found[PATH_MAX];
    struct mu_error error;
    assert_int_equal (mu_checkpoint_find (top, 7, found, NULL, &error), -1);
    assert_int_equal (error.code, MU_NOT_FOUND);
}

static void pruning_keeps_what_is_needed (void **unused)
{
    (void)unused;
    for (uint64_t step = 1; step <= 8; step++)
        save (step);
    flip (below ("step-00000008/muster.json"), 200, 1); /* does not count as one of the newest */
    const uint64_t protect[] = { 2, 99 };
    size_t removed;
    struct mu_checkpoint_entry *entries;
    size_t count;
    assert_int_equal (mu_checkpoint_prune (top, 2, protect, 2, &removed, NULL), 0);
    assert_int_equal (removed, 4);
    assert_int_equal (mu_checkpoint_list (top, &entries, &count, NULL), 0);
    const uint64_t left[] = { 2, 6, 7, 8 };
    assert_int_equal (count, 4);
    for (size_t i = 0; i < count; i++)
        assert_int_equal (entries[i].step, left[i]);
    free (entries);
    assert_int_equal (mu_checkpoint_prune (top, 0, NULL, 0, &removed, NULL), 0);
    assert_int_equal (removed, 2);
    assert_int_equal (mu_checkpoint_verify (below ("step-00000007"), NULL), 0);
    assert_int_equal (count_names (".step"), 0);
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
    save (1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal (mkdir (below ("%s", names[i]), 0777), 0);
        close (open (below ("%s/model.safetensors", names[i]), O_CREAT | O_WRONLY, 0644));
        if (i < 2)
            age (below ("%s", names[i]));
    }
    int live = open (below ("%s", names[1]), O_RDONLY | O_DIRECTORY);
    assert_int_equal (flock (live, LOCK_EX), 0);
    assert_int_equal (mu_checkpoint_prune (top, 1, NULL, 0, NULL, NULL), 0);
    assert_int_equal (access (below ("%s", names[0]), F_OK), -1);
    assert_int_equal (access (below ("%s/model.safetensors", names[1]), F_OK), 0);
    assert_int_equal (access (below ("%s", names[2]), F_OK), 0);
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
    int dir = open (top, O_RDONLY | O_DIRECTORY);
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
    if (mu_checkpoint_load_weights (top, state, bed_tensors, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (state, source, source->bytes);
    memset (mu_state_weights (state), 0, 400);
    struct mu_checkpoint_saved saved = save (9); /* a checkpoint of ours is a start too */
    assert_int_equal (mu_checkpoint_load_weights (saved.path, state, bed_tensors, &error), 0);
    uint8_t hash[MU_STATE_HASH_SIZE];
    mu_state_hash (state, hash);
    assert_memory_equal (hash, saved.weights_hash, sizeof hash);
    assert_int_equal (state->step, 0);
    values[count - 2] = mu_state_weights (state); /* lm_head no longer tied */
    write_model ("model.safetensors", items, values, count);
    assert_int_equal (mu_checkpoint_load_weights (top, state, bed_tensors, &error), -1);
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
    assert_int_equal (mu_checkpoint_load_weights (top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "wte.weight is [5, 7], the model needs [7, 5]"));
    assert_non_null (strstr (error.text, "h.0.gain is missing"));
    assert_non_null (strstr (error.text, "h.0.gainz is not one of the model's"));
    write_model ("model.safetensors", items, values, 0);
    assert_int_equal (mu_checkpoint_load_weights (top, state, bed_tensors, &error), -1);
    count = list_items (state, items, values);
    mu_state_weights (state)[50] = INFINITY;
    write_model ("model.safetensors", items, values, count);
    assert_int_equal (
        mu_checkpoint_load_weights (below ("model.safetensors"), state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "h.0.ln_1.bias holds a value that is not a finite"));
    free (state);
}

static void a_folder_without_a_usable_model_says_what_to_do (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    struct mu_error error;
    assert_int_equal (mu_checkpoint_load_weights (top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "holds no model.safetensors"));
    close (open (below ("pytorch_model.bin"), O_CREAT | O_WRONLY, 0644));
    assert_int_equal (mu_checkpoint_load_weights (top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "safe_serialization=True"));
    close (open (below ("model.safetensors.index.json"), O_CREAT | O_WRONLY, 0644));
    assert_int_equal (mu_checkpoint_load_weights (top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "several files"));
    assert_int_equal (mu_checkpoint_load_weights (below ("no"), state, bed_tensors, &error), -1);
    assert_int_equal (error.code, MU_NO_INPUT);
    free (state);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_state_comes_back_bit_for_bit),
        TEST (training_goes_on_while_the_child_writes),
        TEST (the_child_of_a_process_with_threads_starts_its_own),
        TEST (nothing_is_held_after_a_save),
        TEST (the_same_again_is_no_failure),
        TEST (another_model_is_refused),
        TEST (each_piece_is_done_once),
        TEST (a_piece_that_fails_ends_the_work),
        TEST (any_number_of_hands_writes_the_same_bits),
        TEST (a_large_state_comes_back),
        TEST (a_torn_slice_is_named),
        TEST (format_1_is_read),
        TEST (torn_files_are_named),
        TEST (every_flipped_bit_is_seen),
        TEST (sealed_nonsense_is_refused),
        TEST (a_hash_too_few_is_refused),
        TEST (a_full_disk_is_told_and_leaves_nothing),
        TEST (a_small_disk_keeps_the_checkpoint_before),
        TEST (a_place_that_cannot_be_written_is_named),
        TEST (a_killed_writer_leaves_nothing_that_counts),
        TEST (a_cancelled_writer_is_gone),
        TEST (only_right_names_are_checkpoints),
        TEST (pruning_keeps_what_is_needed),
        TEST (what_dead_writers_left_is_swept),
        TEST (a_hugging_face_file_is_a_start),
        TEST (what_does_not_fit_is_named_at_once),
        TEST (a_folder_without_a_usable_model_says_what_to_do),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
