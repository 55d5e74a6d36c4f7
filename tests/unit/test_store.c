/* SPDX-License-Identifier: Apache-2.0 */
/* test_store.c - what was committed is there after any end of the process; what was not is not */
#include "coordinator/io_store.h"

#include <errno.h>
#include <msgpack.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int make_dir (void **state)
{
    (void)state;
    strcpy (dir, "/tmp/muster-store-XXXXXX");
    return mkdtemp (dir) ? 0 : -1;
}

static int remove_dir (void **state)
{
    (void)state;
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", dir);
    return system (command);
}

static struct store *must_open (void)
{
    struct mu_error error = { .text = "" };
    struct store *store = NULL;
    if (store_open (&store, dir, &error))
        fail_msg ("%s", error.text);
    return store;
}

static struct mu_journal drain (const char *worker)
{
    struct mu_journal record = { .type = MU_JOURNAL_DRAIN, .drain.drained = true };
    mu_text_set (record.drain.worker, sizeof record.drain.worker, worker);
    return record;
}

static void commit (struct store *store, const struct mu_journal *record)
{
    struct store_batch *batch = store_batch_create ();
    assert_int_equal (store_batch_add (batch, record, NULL), 0);
    assert_int_equal (store_commit (store, batch, 1000, NULL), 0);
    assert_int_equal (store_batch_count (batch), 0);
    store_batch_destroy (&batch);
}

struct seen {
    uint32_t count;
    char last[64];
    uint64_t windows;
    const char *refuse;
};

static int see (void *arg, const struct mu_journal *record, struct mu_error *error)
{
    struct seen *seen = arg;
    if (record->type == MU_JOURNAL_DRAIN) {
        if (seen->refuse && !strcmp (record->drain.worker, seen->refuse))
            return mu_fail (error, MU_BAD_INPUT, "I do not like it");
        strcpy (seen->last, record->drain.worker);
    }
    if (record->type == MU_JOURNAL_TRAINED)
        seen->windows = record->trained.windows;
    seen->count++;
    return 0;
}

static struct seen replay (struct store *store, const char *refuse, uint64_t bad_expected)
{
    struct seen seen = { .refuse = refuse };
    uint64_t records, bad;
    assert_int_equal (store_replay (store, see, &seen, &records, &bad, NULL), 0);
    assert_int_equal (records, seen.count);
    assert_int_equal (bad, bad_expected);
    return seen;
}

static void records_come_back_in_order (void **state)
{
    (void)state;
    struct store *store = must_open ();
    char name[32];
    for (int i = 0; i < 100; i++) {
        snprintf (name, sizeof name, "w%d", i);
        struct mu_journal record = drain (name);
        commit (store, &record);
    }
    assert_int_equal (store_newest (store), 100);
    store_close (&store);
    store = must_open ();
    assert_int_equal (store_newest (store), 100);
    struct seen seen = replay (store, NULL, 0);
    assert_int_equal (seen.count, 100);
    assert_string_equal (seen.last, "w99");
    store_close (&store);
}

/* Both kinds in one batch: rows go into the two tables several a statement. */
static void add_both (struct store_batch *batch, unsigned index)
{
    char name[32];
    snprintf (name, sizeof name, "w%u", index);
    struct mu_journal other = drain (name),
                      trained = { .type = MU_JOURNAL_TRAINED,
                                  .trained = { .job = 1, .rank = index, .windows = index + 1 } };
    assert_int_equal (store_batch_add (batch, &trained, NULL), 0);
    assert_int_equal (store_batch_add (batch, &other, NULL), 0);
}

struct both {
    unsigned drains, ranks;
};

static int see_both (void *arg, const struct mu_journal *record, struct mu_error *error)
{
    struct both *both = arg;
    char name[32];
    (void)error;
    if (record->type == MU_JOURNAL_TRAINED) {
        assert_int_equal (record->trained.rank, both->ranks);
        assert_int_equal (record->trained.windows, ++both->ranks);
    } else {
        snprintf (name, sizeof name, "w%u", both->drains++);
        assert_string_equal (record->drain.worker, name);
    }
    return 0;
}

static void a_batch_of_any_size_comes_back (void **state)
{
    (void)state;
    for (unsigned size = 1; size <= 70; size += size < 40 ? 1 : 10) {
        struct store *store = must_open ();
        struct store_batch *batch = store_batch_create ();
        struct both both = { 0 };
        uint64_t records, bad;
        for (unsigned i = 0; i < size; i++)
            add_both (batch, i);
        assert_int_equal (store_commit (store, batch, 1000, NULL), 0);
        assert_int_equal (store_newest (store), 2 * size);
        assert_int_equal (store_replay (store, see_both, &both, &records, &bad, NULL), 0);
        assert_int_equal (both.drains, size);
        assert_int_equal (both.ranks, size);
        store_batch_destroy (&batch);
        store_close (&store);
        assert_int_equal (remove_dir (state) || make_dir (state), 0);
    }
}

static void only_the_newest_progress_is_kept (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_journal record = { .type = MU_JOURNAL_TRAINED, .trained = { .job = 1, .rank = 3 } };
    for (uint64_t windows = 1; windows <= 50; windows++) {
        record.trained.windows = windows;
        commit (store, &record);
    }
    record.trained.rank = 4;
    record.trained.windows = 7;
    commit (store, &record);
    assert_int_equal (store_newest (store), 51); /* a number is never used twice */
    struct seen seen = replay (store, NULL, 0);
    assert_int_equal (seen.count, 2);
    assert_int_equal (seen.windows, 7);
    store_close (&store);
}

/* However many jobs wait, and however much is trained: there is nothing to fold. */
static void what_may_go_some_day_is_counted (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_journal other = drain ("w"),
                      trained = { .type = MU_JOURNAL_TRAINED, .trained = { .job = 1, .rank = 3 } },
                      submit = { .type = MU_JOURNAL_SUBMIT,
                                 .submit = { .workers_min = 1,
                                             .workers_max = 1,
                                             .micro_batches = 1,
                                             .global_batch = 1,
                                             .window_steps = 1 } };
    for (submit.submit.job = 1; submit.submit.job <= 5; submit.submit.job++) {
        commit (store, &submit);
        commit (store, &trained);
    }
    assert_int_equal (store_given (store), 0);
    commit (store, &other);
    commit (store, &other);
    assert_int_equal (store_given (store), 2);
    store_close (&store);
    store = must_open ();
    assert_int_equal (replay (store, NULL, 0).count, 8);
    assert_int_equal (store_given (store), 2);
    store_close (&store);
}

struct newest {
    uint64_t windows[1000];
    uint32_t lines;
};

static int note_line (void *arg, const struct store_line *line)
{
    struct newest *newest = arg;
    struct mu_journal record;
    msgpack_zone zone;
    msgpack_zone_init (&zone, 1024);
    assert_int_equal (
        mu_record_decode (&mu_journal_family, &record, line->body, line->size, 0, &zone, NULL), 0);
    msgpack_zone_destroy (&zone);
    assert_int_equal (newest->windows[record.trained.rank], 0); /* each once */
    newest->windows[record.trained.rank] = record.trained.windows;
    newest->lines++;
    return 0;
}

static int note_row (void *arg, uint64_t number, const struct mu_journal *record)
{
    struct newest *newest = arg;
    (void)number;
    assert_int_equal (newest->windows[record->trained.rank], record->trained.windows);
    newest->lines++;
    return 0;
}

/* Wherever in it they lie: 1,000 ranks report in turn, some more often than others. */
static void of_one_batch_too (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct store_batch *batch = store_batch_create ();
    uint64_t first = 1;
    for (uint64_t base = 0; base < 20; base += 10) { /* a batch is used again */
        struct newest sent = { .lines = 0 };
        uint32_t count = 0;
        for (uint64_t round = 1; round <= 7; round++)
            for (uint32_t rank = 0; rank < 1000; rank += round % 2 ? 1 : 3) {
                struct mu_journal record = {
                    .type = MU_JOURNAL_TRAINED,
                    .trained = { .job = 1, .generation = 2, .rank = rank, .windows = base + round }
                };
                assert_int_equal (store_batch_add (batch, &record, NULL), 0);
                count++;
            }
        store_batch_lines (batch, first, 1000, note_line, &sent);
        assert_int_equal (sent.lines, 1000);
        assert_int_equal (sent.windows[999], base + 7);
        assert_int_equal (store_commit (store, batch, 1000, NULL), 0);
        assert_int_equal (store_newest (store), first + count - 1);
        first += count;
        sent.lines = 0;
        assert_int_equal (store_read_type (store, MU_JOURNAL_TRAINED, note_row, &sent, NULL), 0);
        assert_int_equal (sent.lines, 1000);
    }
    store_batch_destroy (&batch);
    store_close (&store);
}

static void one_coordinator_a_directory (void **state)
{
    (void)state;
    struct store *store = must_open (), *second = NULL;
    struct mu_error error;
    assert_int_equal (store_open (&second, dir, &error), -1);
    assert_int_equal (error.code, MU_UNAVAILABLE);
    assert_non_null (strstr (error.text, "another coordinator"));
    assert_null (second);
    store_close (&store);
}

static void change (const char *sql)
{
    sqlite3 *database;
    char path[128];
    snprintf (path, sizeof path, "%s/muster.db", dir);
    assert_int_equal (sqlite3_open (path, &database), SQLITE_OK);
    assert_int_equal (sqlite3_exec (database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close (database);
}

static void a_newer_database_is_refused (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_error error;
    store_close (&store);
    change ("PRAGMA user_version=1000");
    assert_int_equal (store_open (&store, dir, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, "version 1000"));
    change ("PRAGMA user_version=1; PRAGMA application_id=5");
    assert_int_equal (store_open (&store, dir, &error), -1);
    assert_non_null (strstr (error.text, "another program"));
}

/* All of its folder, as somebody may while a coordinator works there. */
static void copy_folder (const char *from, const char *to)
{
    char command[256];
    snprintf (command, sizeof command, "cp -a %s/. %s", from, to);
    assert_int_equal (system (command), 0);
}

/* As cp, tar or rsync leave it, with or without a cluster that knows its id. */
static void a_copy_knows_that_it_is_one (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_journal record = drain ("w");
    char original[sizeof dir];
    commit (store, &record);
    store_close (&store);
    for (int cluster = 0; cluster < 2; cluster++) {
        store = must_open ();
        assert_false (store_is_copy (store));
        if (cluster)
            assert_int_equal (store_set_cluster (store, 7, NULL), 0);
        const uint64_t before = store_id (store);
        strcpy (original, dir);
        strcpy (dir, "/tmp/muster-store-XXXXXX");
        assert_non_null (mkdtemp (dir));
        copy_folder (original, dir); /* with its log */
        store_close (&store);
        store = must_open ();
        assert_int_equal (store_is_copy (store), cluster);
        assert_int_equal (store_id (store) == before, cluster);
        assert_int_equal (store_newest (store), 1);
        store_close (&store);
        char command[128];
        snprintf (command, sizeof command, "rm -rf %s", original);
        assert_int_equal (system (command), 0);
    }
    store = must_open ();
    assert_true (store_is_copy (store)); /* until it is another */
    const uint64_t id = store_id (store);
    assert_int_equal (store_become_another (store, NULL), 0);
    assert_int_equal (store_cluster (store), 7);
    const uint64_t other = store_id (store);
    assert_int_not_equal (other, id);
    store_close (&store);
    store = must_open ();
    assert_false (store_is_copy (store));
    assert_int_equal (store_id (store), other);
    store_close (&store);
}

/* Some file systems begin to tell when a file was made, or end to. */
static void where_nobody_knows_it_is_no_copy (void **state)
{
    (void)state;
    struct store *store = must_open ();
    assert_int_equal (store_set_cluster (store, 7, NULL), 0);
    store_close (&store);
    change ("UPDATE about SET born_ns = 0");
    store = must_open ();
    assert_false (store_is_copy (store));
    store_close (&store);
    change ("UPDATE about SET inode = inode + 1");
    store = must_open ();
    assert_true (store_is_copy (store));
    store_close (&store);
    change ("UPDATE about SET inode = 0");
    store = must_open ();
    assert_false (store_is_copy (store));
    store_close (&store);
}

static void a_file_that_is_no_database (void **state)
{
    (void)state;
    char path[128];
    struct mu_error error;
    struct store *store = NULL;
    snprintf (path, sizeof path, "%s/muster.db", dir);
    FILE *file = fopen (path, "w");
    for (int i = 0; i < 5000; i++)
        fputs ("This is not a database. ", file);
    fclose (file);
    assert_int_equal (store_open (&store, dir, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, path));
}

static void one_bad_row_blocks_nothing (void **state)
{
    (void)state;
    struct store *store = must_open ();
    static const char *const names[] = { "good", "torn", "contradicts", "last" };
    for (size_t i = 0; i < 4; i++) {
        struct mu_journal record = drain (names[i]);
        commit (store, &record);
    }
    store_close (&store);
    change ("UPDATE journal SET body = x'93' WHERE number = 2");
    store = must_open ();
    struct seen seen = replay (store, "contradicts", 2);
    assert_int_equal (seen.count, 2);
    assert_string_equal (seen.last, "last");
    store_close (&store);
    store = must_open (); /* set aside for good, numbers not used again */
    assert_int_equal (store_newest (store), 4);
    seen = replay (store, NULL, 0);
    assert_int_equal (seen.count, 2);
    store_close (&store);
}

struct rows {
    uint64_t numbers[8];
    bool aside[8];
    uint32_t count, stop_after;
};

static int see_row (void *arg, const struct store_row *row)
{
    struct rows *rows = arg;
    rows->numbers[rows->count] = row->number;
    rows->aside[rows->count++] = row->set_aside != NULL;
    assert_true (row->size > 0 && row->body);
    if (row->set_aside)
        assert_true (*row->set_aside != '\0');
    return rows->count == rows->stop_after;
}

static struct rows read_rows (struct store *store, uint64_t after, uint64_t job, uint32_t limit,
                              uint32_t stop_after)
{
    struct rows rows = { .stop_after = stop_after };
    int rc = store_read_rows (store, after, job, limit, see_row, &rows, NULL);
    assert_int_equal (rc, stop_after > 0);
    return rows;
}

/* One job's rows, as bytes, in order, and between them what was set aside of any. */
static void rows_are_read_as_they_are_stored (void **state)
{
    (void)state;
    struct store *store = must_open ();
    for (uint64_t i = 1; i <= 6; i++) {
        struct mu_journal record = { .type = MU_JOURNAL_REWIND,
                                     .rewind = { .job = 1 + i % 2, .step = i } };
        commit (store, &record);
    }
    store_close (&store);
    change ("UPDATE journal SET body = x'93' WHERE number = 4");
    store = must_open ();
    replay (store, NULL, 1);
    struct rows rows = read_rows (store, 0, 2, 100, 0);
    assert_int_equal (rows.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal (rows.numbers[i], ((uint64_t[]){ 1, 3, 4, 5 })[i]);
        assert_int_equal (rows.aside[i], rows.numbers[i] == 4);
    }
    rows = read_rows (store, 1, 2, 2, 0);
    assert_int_equal (rows.count, 2);
    assert_int_equal (rows.numbers[1], 4);
    assert_int_equal (read_rows (store, 0, 1, 100, 2).count, 2);
    assert_int_equal (read_rows (store, 6, 1, 100, 0).count, 0);
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

/* A step back to an older Muster must not throw away what the newer one knew. */
static void a_record_of_a_newer_muster_is_refused (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_error error = { .text = "" };
    struct mu_journal record = drain ("w0");
    struct seen seen = { 0 };
    uint64_t records, bad;
    commit (store, &record);
    change ("UPDATE journal SET body = x'950164cd03e80180'"); /* version 1.100, record 1000 */
    assert_int_equal (store_replay (store, see, &seen, &records, &bad, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, "newer"));
    change ("DELETE FROM journal WHERE number = 1"); /* it was left where it was */
    assert_int_equal (store_replay (store, see, &seen, &records, &bad, &error), 0);
    assert_int_equal (records + bad, 0);
    store_close (&store);
}

static void a_folder_that_cannot_be_made (void **state)
{
    (void)state;
    struct mu_error error;
    struct store *store = NULL;
    assert_int_equal (store_open (&store, "/proc/muster/state", &error), -1);
    assert_int_equal (error.code, MU_CANT_CREATE);
    assert_non_null (strstr (error.text, "--dir"));
}

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

struct pages {
    uint32_t count;
    uint64_t last;
};

static int count_events (void *arg, uint64_t number, uint64_t unix_ms, uint64_t job,
                         const struct mu_journal *record)
{
    struct pages *pages = arg;
    assert_true (number > pages->last);
    assert_int_equal (unix_ms, 1000);
    assert_int_equal (job, record->type == MU_JOURNAL_LEASE ? record->lease.job : 0);
    pages->last = number;
    pages->count++;
    return 0;
}

static void events_are_read_in_pages (void **state)
{
    (void)state;
    struct store *store = must_open ();
    for (uint64_t i = 0; i < 30; i++) {
        struct mu_journal lease = { .type = MU_JOURNAL_LEASE,
                                    .lease = { .job = i % 3 + 1, .generation = i } };
        commit (store, &lease);
    }
    struct pages pages = { 0 };
    assert_int_equal (store_read (store, 0, 0, 20, count_events, &pages, NULL), 0);
    assert_int_equal (pages.count, 20);
    assert_int_equal (store_read (store, pages.last, 0, 20, count_events, &pages, NULL), 0);
    assert_int_equal (pages.count, 30);
    pages = (struct pages){ 0 };
    assert_int_equal (store_read (store, 0, 2, 1000, count_events, &pages, NULL), 0);
    assert_int_equal (pages.count, 10);
    store_close (&store);
}

static void text_of (const char *sql, char *text, size_t size)
{
    sqlite3 *database;
    sqlite3_stmt *row;
    char path[128];
    snprintf (path, sizeof path, "%s/muster.db", dir);
    assert_int_equal (sqlite3_open (path, &database), SQLITE_OK);
    assert_int_equal (sqlite3_prepare_v2 (database, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal (sqlite3_step (row), SQLITE_ROW);
    snprintf (text, size, "%s", (const char *)sqlite3_column_text (row, 0));
    sqlite3_finalize (row);
    sqlite3_close (database);
}

#define ALL_RECORDS                                                                                \
    "SELECT group_concat (number || ' ' || type || ' ' || job || ' ' || unix_ms || ' ' || "        \
    "hex (body)) FROM (SELECT * FROM record ORDER BY number)"
#define ALL_PROGRESS                                                                               \
    "SELECT group_concat (type || ' ' || part_1 || ' ' || part_2 || ' ' || part_3 || ' ' || "      \
    "number || ' ' || hex (body)) FROM progress"

/* What step 1 kept: one table, texts such as TRAINED12.3.45 as keys, and each job's file twice. */
static const char *const back_to_step_1 =
    "DROP VIEW record; ALTER TABLE journal RENAME TO others;"
    "CREATE TABLE journal (number INTEGER PRIMARY KEY, type INTEGER NOT NULL, job INTEGER NOT "
    "NULL, latest TEXT UNIQUE, unix_ms INTEGER NOT NULL, body BLOB NOT NULL);"
    "INSERT INTO journal SELECT number, type, job, NULL, unix_ms, body FROM others;"
    "INSERT INTO journal SELECT number, type, job, CASE type WHEN 7 THEN 'LEASE' || part_1 || '.' "
    "|| part_2 ELSE 'TRAINED' || part_1 || '.' || part_2 || '.' || part_3 END, unix_ms, body "
    "FROM progress; DROP TABLE others; DROP TABLE progress; DROP TABLE about; "
    "ALTER TABLE job ADD COLUMN spec TEXT NOT NULL DEFAULT '{}'; "
    "PRAGMA user_version=1";

static void a_database_of_version_1_is_migrated (void **state)
{
    (void)state;
    char records[4096], progress[4096], migrated[4096];
    struct store *store = must_open ();
    for (uint32_t i = 0; i < 12; i++) {
        struct mu_journal other = drain ("w"),
                          lease = { .type = MU_JOURNAL_LEASE,
                                    .lease = { .job = 120 + i % 2, .generation = 7 + i % 3 } },
                          trained = { .type = MU_JOURNAL_TRAINED,
                                      .trained = { .job = 11 + i % 2,
                                                   .generation = 1,
                                                   .rank = i % 4,
                                                   .windows = i } };
        commit (store, &other);
        commit (store, &lease);
        commit (store, &trained);
    }
    store_close (&store);
    text_of (ALL_RECORDS, records, sizeof records);
    text_of (ALL_PROGRESS, progress, sizeof progress);
    change (back_to_step_1);
    store = must_open ();
    assert_int_equal (store_newest (store), 36);
    assert_int_equal (replay (store, NULL, 0).count, 12 + 6 + 4);
    store_close (&store);
    text_of (ALL_RECORDS, migrated, sizeof migrated);
    assert_string_equal (migrated, records);
    text_of (ALL_PROGRESS, migrated, sizeof migrated);
    assert_string_equal (migrated, progress);
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
    change ("UPDATE progress SET part_3 = 9, number = 7");
    struct store_batch *batch = store_batch_create ();
    assert_int_equal (store_batch_add (batch, &record, NULL), 0);
    assert_int_equal (store_commit (store, batch, 1000, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    assert_int_equal (store_commit (store, batch, 1000, &error), -1); /* for good */
    assert_int_equal (error.code, MU_CONFLICT);
    store_batch_destroy (&batch);
    store_close (&store);
}

#define STORE_TEST(test) cmocka_unit_test_setup_teardown (test, make_dir, remove_dir)

int main (void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST (records_come_back_in_order),
        STORE_TEST (a_batch_of_any_size_comes_back),
        STORE_TEST (only_the_newest_progress_is_kept),
        STORE_TEST (what_may_go_some_day_is_counted),
        STORE_TEST (of_one_batch_too),
        STORE_TEST (one_coordinator_a_directory),
        STORE_TEST (a_newer_database_is_refused),
        STORE_TEST (a_copy_knows_that_it_is_one),
        STORE_TEST (where_nobody_knows_it_is_no_copy),
        STORE_TEST (a_file_that_is_no_database),
        STORE_TEST (one_bad_row_blocks_nothing),
        STORE_TEST (rows_are_read_as_they_are_stored),
        STORE_TEST (a_folder_that_cannot_be_made),
        STORE_TEST (a_full_disk_keeps_the_batch),
        STORE_TEST (a_removed_database_promises_nothing),
        STORE_TEST (a_second_writer_is_noticed),
        STORE_TEST (a_second_writer_of_progress_is_noticed),
        STORE_TEST (a_database_of_version_1_is_migrated),
        STORE_TEST (a_record_of_a_newer_muster_is_refused),
        STORE_TEST (nothing_told_is_lost_by_kill_9),
        STORE_TEST (events_are_read_in_pages),
    };
    return cmocka_run_group_tests_name ("store", tests, NULL, NULL);
}
