/* SPDX-License-Identifier: Apache-2.0 */
/* store_bed.c - see store_bed.h */
#include "store_bed.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char dir[64];

int make_dir (void **state)
{
    (void)state;
    strcpy (dir, "/tmp/muster-store-XXXXXX");
    return mkdtemp (dir) ? 0 : -1;
}

int remove_dir (void **state)
{
    (void)state;
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", dir);
    return system (command);
}

struct store *must_open (void)
{
    struct mu_error error = { .text = "" };
    struct store *store = NULL;
    if (store_open (&store, dir, &error))
        fail_msg ("%s", error.text);
    return store;
}

struct mu_journal drain (const char *worker)
{
    struct mu_journal record = { .type = MU_JOURNAL_DRAIN, .drain.drained = true };
    mu_text_set (record.drain.worker, sizeof record.drain.worker, worker);
    return record;
}

void commit (struct store *store, const struct mu_journal *record)
{
    struct store_batch *batch = store_batch_create ();
    assert_int_equal (store_batch_add (batch, record, NULL), 0);
    assert_int_equal (store_commit (store, batch, 1000, NULL), 0);
    assert_int_equal (store_batch_count (batch), 0);
    store_batch_destroy (&batch);
}

int see (void *arg, const struct mu_journal *record, struct mu_error *error)
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

struct seen replay (struct store *store, const char *refuse, uint64_t bad_expected)
{
    struct seen seen = { .refuse = refuse };
    uint64_t records, bad;
    assert_int_equal (store_replay (store, see, &seen, &records, &bad, NULL), 0);
    assert_int_equal (records, seen.count);
    assert_int_equal (bad, bad_expected);
    return seen;
}

void change (const char *sql)
{
    sqlite3 *database;
    char path[128];
    snprintf (path, sizeof path, "%s/muster.db", dir);
    assert_int_equal (sqlite3_open (path, &database), SQLITE_OK);
    assert_int_equal (sqlite3_exec (database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close (database);
}

void text_of (const char *sql, char *text, size_t size)
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
