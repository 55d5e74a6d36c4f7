/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_open.c - which database a store opens, migrates or refuses, and what it sets aside */
#include "store_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void a_folder_that_cannot_be_made (void **state)
{
    (void)state;
    struct mu_error error;
    struct store *store = NULL;
    assert_int_equal (store_open (&store, "/proc/muster/state", &error), -1);
    assert_int_equal (error.code, MU_CANT_CREATE);
    assert_non_null (strstr (error.text, "--dir"));
}

static void write_file (const char *name, const char *text, int times)
{
    char path[160];
    snprintf (path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    while (times--)
        fputs (text, file);
    fclose (file);
}

static void a_file_that_is_no_database (void **state)
{
    (void)state;
    char path[128];
    struct mu_error error;
    struct store *store = NULL;
    snprintf (path, sizeof path, "%s/muster.db", dir);
    write_file ("muster.db", "This is not a database. ", 5000);
    assert_int_equal (store_open (&store, dir, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, path));
}

static void refused_as_emptied (const char *why)
{
    struct mu_error error;
    struct store *store = NULL;
    assert_int_equal (store_open (&store, dir, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, why));
    assert_non_null (strstr (error.text, "muster admin restore"));
    assert_non_null (strstr (error.text, dir));
}

static void a_first_start_that_was_killed_blocks_nothing (void **state)
{
    (void)state;
    write_file ("muster.db", "", 1);
    write_file ("muster.db-wal", "", 1);
    struct store *store = must_open ();
    store_close (&store);
}

/* SQLite would take it for a new one, and delete what is in the log of what was committed. */
static void a_database_that_was_emptied_is_refused (void **state)
{
    (void)state;
    char path[128];
    snprintf (path, sizeof path, "%s/logs", dir);
    write_file ("muster.db", "", 1);
    write_file ("muster.db-wal", "frames", 1);
    refused_as_emptied ("what was committed last lies beside it");
    refused_as_emptied ("what was committed last lies beside it"); /* it is still there */
    write_file ("muster.db-wal", "", 1);
    assert_int_equal (mkdir (path, 0700), 0);
    write_file ("logs/readme", "", 1);
    struct store *store = must_open ();
    store_close (&store);
    write_file ("muster.db", "", 1);
    write_file ("logs/job-7.jsonl", "", 1);
    refused_as_emptied ("the logs of 1 job lie");
    snprintf (path, sizeof path, "%s/muster.db", dir);
    assert_int_equal (unlink (path), 0); /* somebody wants to begin anew */
    store = must_open ();
    store_close (&store);
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

/* It can be read, and one bit of it is another: it speaks of another worker's record, or job. */
static void a_row_that_is_not_what_its_columns_say_is_set_aside (void **state)
{
    static const char *const altered[] = {
        "UPDATE journal SET body = (SELECT body FROM journal WHERE number = 3) WHERE number = 2",
        "UPDATE journal SET job = job + 64 WHERE number = 2",
    };
    (void)state;
    for (size_t i = 0; i < sizeof altered / sizeof *altered; i++) {
        struct store *store = must_open ();
        struct mu_journal records[] = {
            { .type = MU_JOURNAL_SAVE, .save = { .job = 1 } },
            { .type = MU_JOURNAL_SAVE, .save = { .job = 2 } },
            { .type = MU_JOURNAL_SAVE, .save = { .job = 3 } },
        };
        for (size_t k = 0; k < 3; k++)
            commit (store, &records[k]);
        store_close (&store);
        change (altered[i]);
        store = must_open ();
        assert_int_equal (replay (store, NULL, 1).count, 2);
        store_close (&store);
        change ("DELETE FROM journal; DELETE FROM bad_record");
    }
}

static void the_newest_jobs_that_are_lost_are_counted (void **state)
{
    (void)state;
    struct store *store = must_open ();
    for (uint64_t job = 1; job <= 4; job++) {
        struct mu_journal record = { .type = MU_JOURNAL_SUBMIT,
                                     .submit = { .job = job,
                                                 .workers_min = 1,
                                                 .workers_max = 1,
                                                 .micro_batches = 1,
                                                 .global_batch = 1,
                                                 .window_steps = 1 } };
        commit (store, &record);
    }
    store_close (&store);
    change ("UPDATE journal SET body = x'93' WHERE job IN (1, 3, 4)");
    store = must_open ();
    assert_int_equal (replay (store, NULL, 3).count, 1);
    assert_int_equal (store_lost_jobs (store), 2); /* the first one's place is seen */
    assert_int_equal (replay (store, NULL, 0).count, 1);
    assert_int_equal (store_lost_jobs (store), 0);
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

#define ALL_RECORDS                                                                                \
    "SELECT group_concat (number || ' ' || type || ' ' || job || ' ' || unix_ms || ' ' || "        \
    "hex (body)) FROM (SELECT * FROM record ORDER BY number)"
#define ALL_PROGRESS                                                                               \
    "SELECT group_concat (key || ' ' || type || ' ' || job || ' ' || number || ' ' || "            \
    "hex (body)) FROM progress"

/* What step 1 kept: one table, texts such as TRAINED12.3.45 as keys, and each job's file twice. */
static const char *const back_to_step_1 =
    "DROP VIEW record; ALTER TABLE journal RENAME TO others;"
    "CREATE TABLE journal (number INTEGER PRIMARY KEY, type INTEGER NOT NULL, job INTEGER NOT "
    "NULL, latest TEXT UNIQUE, unix_ms INTEGER NOT NULL, body BLOB NOT NULL);"
    "INSERT INTO journal SELECT number, type, job, NULL, unix_ms, body FROM others;"
    "INSERT INTO journal SELECT number, type, job, CASE type WHEN 7 THEN 'LEASE' || job || '.' "
    "|| (key >> 18 & 524287) ELSE 'TRAINED' || job || '.' || (key >> 18 & 524287) || '.' || (key & "
    "65535) END, unix_ms, body FROM progress; DROP TABLE others; DROP TABLE progress; DROP TABLE "
    "about; "
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST (one_coordinator_a_directory),
        STORE_TEST (a_folder_that_cannot_be_made),
        STORE_TEST (a_file_that_is_no_database),
        STORE_TEST (a_first_start_that_was_killed_blocks_nothing),
        STORE_TEST (a_database_that_was_emptied_is_refused),
        STORE_TEST (a_newer_database_is_refused),
        STORE_TEST (a_copy_knows_that_it_is_one),
        STORE_TEST (where_nobody_knows_it_is_no_copy),
        STORE_TEST (one_bad_row_blocks_nothing),
        STORE_TEST (the_newest_jobs_that_are_lost_are_counted),
        STORE_TEST (a_row_that_is_not_what_its_columns_say_is_set_aside),
        STORE_TEST (a_record_of_a_newer_muster_is_refused),
        STORE_TEST (a_database_of_version_1_is_migrated),
    };
    return cmocka_run_group_tests_name ("store_open", tests, NULL, NULL);
}
