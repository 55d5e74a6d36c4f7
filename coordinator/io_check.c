/* SPDX-License-Identifier: Apache-2.0 */
/* io_check.c - a copy of the database, asked everything that can be asked of it
 *
 * First SQLite's own integrity_check; where that finds something the rest would only repeat it. Then
 * what only Muster knows: each row decodes, says in its columns what its record says, lies in the
 * table it belongs to and has a number of its own; all of them, oldest first, fold into a core that
 * contradicts none; seals fit; and the tables job and checkpoint are what the records make of them. */
#include "io_check.h"

#include "coord.h"
#include "io_database.h"
#include "io_key.h"
#include "io_store.h"
#include "io_views.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct work {
    struct check *check;
    sqlite3 *copy;
    struct coord *coord;
    msgpack_zone zone;
    uint8_t *unsealed; /* by job: it was said that its seals do not fit */
    uint64_t unsealed_count;
};

static void find (struct check *check, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void find (struct check *check, const char *format, ...)
{
    va_list args;
    if (check->findings++ >= CHECK_FINDINGS_MAX)
        return;
    va_start (args, format);
    char **text = &check->finding[check->findings - 1];
    if (vasprintf (text, format, args) < 0)
        abort ();
    va_end (args);
}

void check_clear (struct check *check)
{
    for (uint32_t i = 0; i < CHECK_FINDINGS_MAX; i++)
        free (check->finding[i]);
    memset (check, 0, sizeof *check);
}

/* --- one row ---------------------------------------------------------------------------------- */

enum { NUMBER, TYPE, JOB, BODY, IS_PROGRESS, KEY };

static const char rows_sql[] = "SELECT number, type, job, body, 0, 0 FROM journal UNION ALL "
                               "SELECT number, type, job, body, 1, key FROM progress ORDER BY 1";

/* False: a coordinator sets it aside. */
static bool compare_columns (struct check *check, sqlite3_stmt *row,
                             const struct mu_journal *record)
{
    int64_t key;
    uint64_t number = (uint64_t)sqlite3_column_int64 (row, NUMBER);
    bool is_progress = key_of_record (record, &key);
    bool is_other = (uint32_t)sqlite3_column_int (row, TYPE) != (uint32_t)record->type ||
                    (uint64_t)sqlite3_column_int64 (row, JOB) !=
                        mu_record_number (&mu_journal_family, record, "job");
    if (is_other)
        find (check, "record %" PRIu64 ": its columns type and job are not what it says", number);
    if (is_progress != (sqlite3_column_int (row, IS_PROGRESS) != 0))
        find (check, "record %" PRIu64 " lies in the wrong table", number);
    else if (sqlite3_column_int64 (row, KEY) != key)
        find (check, "record %" PRIu64 ": its column key is not what it says", number);
    return !is_other;
}

/* Seals after a broken one are broken as well: once a job is enough. */
static void check_seal (struct work *work, uint64_t number, const struct mu_journal *record)
{
    uint64_t job = mu_record_number (&mu_journal_family, record, "job");
    if (!coord_seal_is_broken (work->coord, record))
        return;
    if (job >= work->unsealed_count) {
        work->unsealed = realloc (work->unsealed, 2 * (size_t)job + 1);
        if (!work->unsealed)
            abort ();
        memset (work->unsealed + work->unsealed_count, 0, 2 * job + 1 - work->unsealed_count);
        work->unsealed_count = 2 * job + 1;
    }
    if (!work->unsealed[job])
        find (work->check,
              "record %" PRIu64 ": its seal does not fit: a record of job %" PRIu64
              " was altered, lost or put in before it",
              number, job);
    work->unsealed[job] = 1;
}

/* -1: not the record's fault. */
static int check_row (struct work *work, sqlite3_stmt *row, struct mu_error *error)
{
    struct mu_journal record;
    struct mu_error why;
    uint64_t number = (uint64_t)sqlite3_column_int64 (row, NUMBER);
    msgpack_zone_clear (&work->zone);
    if (!number || number <= work->check->newest)
        find (work->check, "record %" PRIu64 ": its number is not its own", number);
    work->check->newest = number;
    if (mu_record_decode (&mu_journal_family, &record, sqlite3_column_blob (row, BODY),
                          (size_t)sqlite3_column_bytes (row, BODY), 0, &work->zone, &why)) {
        if (why.code == MU_UNAVAILABLE || why.code == MU_TRY_AGAIN)
            return mu_fail (error, MU_BAD_INPUT,
                            "record %" PRIu64 " cannot be read by this Muster (%s): use a newer one",
                            number, why.text);
        find (work->check, "record %" PRIu64 " cannot be read: %s", number, why.text);
        return 0;
    }
    if (!compare_columns (work->check, row, &record))
        return 0;
    check_seal (work, number, &record);
    if (coord_apply (work->coord, &record, &why))
        find (work->check, "record %" PRIu64 " contradicts those before it: %s", number, why.text);
    else
        work->check->records++;
    return 0;
}

/* Where rows were set aside, those are the reason. */
static void check_jobs (struct work *work)
{
    work->check->jobs = coord_jobs_known (work->coord);
    for (uint64_t job = 0; !work->check->set_aside && (job = coord_job_next (work->coord, job));)
        if (coord_job_is_lost (work->coord, job))
            find (work->check,
                  "job %" PRIu64
                  ": the record of its submission cannot be read, or it was never submitted",
                  job);
}

static int check_rows (struct work *work, struct mu_error *error)
{
    sqlite3_stmt *row = NULL;
    if (database_prepare (work->copy, &row, rows_sql, error))
        return -1;
    int state = SQLITE_DONE, rc = 0;
    while (!rc && (state = sqlite3_step (row)) == SQLITE_ROW)
        rc = check_row (work, row, error);
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (work->copy, "be read", error);
    sqlite3_finalize (row);
    check_jobs (work);
    return rc;
}

/* --- the whole -------------------------------------------------------------------------------- */

static int check_pages (struct work *work, struct mu_error *error)
{
    sqlite3_stmt *row = NULL;
    if (database_prepare (work->copy, &row, "PRAGMA integrity_check (20)", error))
        return -1;
    int state;
    while ((state = sqlite3_step (row)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text (row, 0);
        if (text && strcmp (text, "ok"))
            find (work->check, "SQLite: %s", text);
    }
    if (state == SQLITE_CORRUPT)
        find (work->check, "SQLite: %s", sqlite3_errmsg (work->copy));
    else if (state != SQLITE_DONE)
        database_fail (work->copy, "be checked", error);
    sqlite3_finalize (row);
    return state == SQLITE_DONE || state == SQLITE_CORRUPT ? 0 : -1;
}

static int check_about (struct work *work, struct mu_error *error)
{
    int good = 0, set_aside = 0;
    if (database_read_int (work->copy, "SELECT count (*) = 1 AND sum (id <> 0) = 1 FROM about",
                           &good, error) ||
        database_read_int (work->copy, "SELECT count (*) FROM bad_record", &set_aside, error))
        return -1;
    if (!good)
        find (work->check, "its table about does not have one row that says which it is");
    work->check->set_aside = (uint64_t)set_aside;
    return 0;
}

/* Jobs whose rows differ, in a column of the one or the other. */
static int compare_table (struct work *work, const char *table, struct mu_error *error)
{
    char *sql = sqlite3_mprintf ("SELECT DISTINCT job FROM (SELECT * FROM (SELECT * FROM %s EXCEPT "
                                 "SELECT * FROM kept_%s) UNION ALL SELECT * FROM (SELECT * FROM "
                                 "kept_%s EXCEPT SELECT * FROM %s)) ORDER BY job",
                                 table, table, table, table);
    sqlite3_stmt *row = NULL;
    int rc = sql ? database_prepare (work->copy, &row, sql, error)
                 : mu_fail (error, MU_UNAVAILABLE, "out of memory");
    sqlite3_free (sql);
    int state = SQLITE_DONE;
    while (!rc && (state = sqlite3_step (row)) == SQLITE_ROW)
        find (work->check,
              "the table %s does not say of job %lld what the records say; it is only for people, "
              "and `muster admin compact` writes it anew",
              table, (long long)sqlite3_column_int64 (row, 0));
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (work->copy, "be read", error);
    sqlite3_finalize (row);
    return rc;
}

static int check_views (struct work *work, struct mu_error *error)
{
    return database_run (work->copy,
                         "BEGIN; CREATE TABLE kept_job AS SELECT * FROM job; "
                         "CREATE TABLE kept_checkpoint AS SELECT * FROM checkpoint",
                         "be copied", error) ||
                   views_rebuild (work->copy, error) || compare_table (work, "job", error) ||
                   compare_table (work, "checkpoint", error) ||
                   database_run (work->copy, "ROLLBACK", "be read", error)
               ? -1
               : 0;
}

static int check_all (struct work *work, struct mu_error *error)
{
    struct coord_options none = { .version = "check" };
    if (check_pages (work, error) || database_version (work->copy, &work->check->version, error))
        return -1;
    work->check->torn = work->check->findings > 0;
    if (work->check->torn)
        return 0;
    if (!work->check->version)
        return mu_fail (error, MU_BAD_INPUT, "it is empty, or a database of another program");
    work->coord = coord_create (&none);
    if (!work->coord || !msgpack_zone_init (&work->zone, 8192))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    int rc = database_migrate (work->copy, error) || check_about (work, error) ||
                     check_rows (work, error) || check_views (work, error)
                 ? -1
                 : 0;
    msgpack_zone_destroy (&work->zone);
    return rc;
}

/* What was named may be anything; or the coordinator's own. */
static int say_what_it_is (sqlite3 *from, sqlite3 *copy, struct mu_error *error)
{
    const int one = sqlite3_errcode (from), other = copy ? sqlite3_errcode (copy) : SQLITE_OK;
    const bool is_none = one == SQLITE_NOTADB || other == SQLITE_NOTADB;
    if (is_none || one == SQLITE_CORRUPT || other == SQLITE_CORRUPT)
        mu_fail (error, MU_BAD_INPUT,
                 "it is %s; a backup is a file that `muster admin backup` has written, and where "
                 "this is a coordinator's own muster.db, `muster admin restore` puts one in its "
                 "place",
                 is_none ? "no database" : "damaged, and cannot be read");
    return -1;
}

int check_database (const char *path, struct check *check, struct mu_error *error)
{
    memset (check, 0, sizeof *check);
    struct work work = { .check = check };
    sqlite3 *database = NULL;
    int rc =
        database_open_to_read (&database, path, error) ||
                database_open (&work.copy, "", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, error) ||
                database_copy (database, work.copy, error)
            ? say_what_it_is (database, work.copy, error)
            : 0;
    sqlite3_close (database);
    if (!rc)
        rc = check_all (&work, error);
    if (rc)
        mu_error_prefix (error, "%s: ", path);
    coord_destroy (&work.coord);
    free (work.unsealed);
    sqlite3_close (work.copy);
    return rc;
}
