/* SPDX-License-Identifier: Apache-2.0 */
/* io_store.c - one SQLite database, written by one thread, read by another
 *
 * The writing connection lets the WAL keep the size it once reached: one that grows and shrinks costs
 * half the commits a second. Checkpoints of the WAL run between commits, when enough frames have
 * gathered. The reading connection serves `muster events` and never blocks the writer.
 *
 * Records that carry a `latest` key replace the one before with the same key, in the table progress,
 * so that it does not grow; all others are added to journal. Together they are the view record. The
 * tables job and checkpoint follow by the little SQL in io_views.c: they are derived and can be
 * deleted.
 *
 * Fatal: a database that another connection has written to (two writers): the transaction fails,
 * nothing is said.
 */
#include "io_store.h"

#include "io_batch.h"
#include "io_database.h"
#include "io_emptied.h"
#include "io_files.h"
#include "io_rows.h"
#include "io_views.h"

#include <errno.h>
#include <inttypes.h>
#include <msgpack.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAL_SIZE              (64 << 20) /* bytes it is grown to */
#define WAL_CHECKPOINT_FRAMES 4096       /* 16 MiB of pages */

struct store {
    sqlite3 *writer, *reader;
    sqlite3_stmt *begin, *commit, *rollback, *read, *read_rows, *read_lines, *version;
    struct rows *rows;
    struct views *views;
    msgpack_zone zone; /* of store_take () */
    int data_version; /* SQLite's count of other connections' commits, when this one last looked */
    int lock_fd;
    int wal_frames;
    _Atomic uint64_t newest, given, folded_to, fills;
    uint64_t id, cluster;
    struct file_place place; /* the database's */
    pthread_mutex_t folding;
    uint32_t lost_jobs; /* SUBMITs that were set aside behind the newest that was read */
    bool damaged; /* as replayed: the table bad_record is not empty */
    bool copied;  /* from another file, which may still be in use */
    bool filling; /* a fresh journal is being put together */
};

/* --- opening ---------------------------------------------------------------------------------- */

static int on_wal (void *arg, sqlite3 *database, const char *name, int frames)
{
    (void)database, (void)name;
    ((struct store *)arg)->wal_frames = frames;
    return SQLITE_OK;
}

/* The WAL keeps the size it has reached (journal_size_limit): writing into a file that has its size
 * already is the cheaper kind of fsync. */
static int open_writer (struct store *store, const char *path, struct mu_error *error)
{
    if (database_open (&store->writer, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, error) ||
        database_run (
            store->writer,
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0",
            "be opened", error) ||
        database_migrate (store->writer, error))
        return -1;
    char sql[64];
    snprintf (sql, sizeof sql, "PRAGMA journal_size_limit=%d", WAL_SIZE);
    sqlite3_wal_hook (store->writer, on_wal, store);
    return database_run (store->writer, sql, "be opened", error) ||
           database_prepare (store->writer, &store->begin, "BEGIN IMMEDIATE", error) ||
           database_prepare (store->writer, &store->commit, "COMMIT", error) ||
           database_prepare (store->writer, &store->rollback, "ROLLBACK", error) ||
           database_prepare (store->writer, &store->version, "PRAGMA data_version", error) ||
           rows_open (&store->rows, store->writer, error) ||
           views_open (&store->views, store->writer, error) ||
           database_read_int (store->writer, "PRAGMA data_version", &store->data_version, error);
}

static int open_reader (struct store *store, const char *path, struct mu_error *error)
{
    return database_open (&store->reader, path, SQLITE_OPEN_READONLY, error) ||
           database_prepare (store->reader, &store->read,
                             "SELECT number, unix_ms, job, body FROM record WHERE number > ?1 AND "
                             "(?2 = 0 OR job = ?2) ORDER BY number LIMIT ?3",
                             error) ||
           database_prepare (store->reader, &store->read_rows,
                             "SELECT number, body, NULL FROM record WHERE number > ?1 AND job = ?2 "
                             "UNION ALL SELECT number, body, why FROM bad_record WHERE number > ?1 "
                             "ORDER BY number LIMIT ?3",
                             error) ||
           database_prepare (store->reader, &store->read_lines,
                             "SELECT number, unix_ms, body FROM record WHERE number > ?1 "
                             "ORDER BY number LIMIT ?2",
                             error);
}

/* Numbers grow by one a record: nobody comes so far, and behind the last that there is they would begin again
 * below all others. */
#define NUMBERS_MAX (INT64_MAX - ((int64_t)1 << 40))

static int read_newest (struct store *store, struct mu_error *error)
{
    sqlite3_stmt *statement = NULL;
    if (database_prepare (store->writer, &statement,
                          "SELECT coalesce (max (number), 0) FROM "
                          "(SELECT max (number) AS number FROM journal UNION ALL "
                          "SELECT max (number) FROM progress UNION ALL "
                          "SELECT max (number) FROM bad_record UNION ALL "
                          "SELECT max (folded_to) FROM about)",
                          error))
        return -1;
    int rc = sqlite3_step (statement);
    int64_t newest = rc == SQLITE_ROW ? sqlite3_column_int64 (statement, 0) : 0;
    sqlite3_finalize (statement);
    if (rc != SQLITE_ROW)
        return database_fail (store->writer, "be read", error);
    if (newest > NUMBERS_MAX)
        return mu_fail (
            error, MU_BAD_INPUT,
            "the newest record of the database has the number %lld, which no coordinator "
            "gave it, and there is no room behind it: the database is damaged; take its "
            "newest backup (`muster admin restore`)",
            (long long)newest);
    atomic_store (&store->newest, (uint64_t)newest);
    return 0;
}

static int read_about (struct store *store, struct mu_error *error)
{
    sqlite3_stmt *statement = NULL;
    if (database_prepare (store->writer, &statement,
                          "SELECT id, cluster, folded_to, inode, born_ns FROM about", error))
        return -1;
    int rc = sqlite3_step (statement);
    if (rc == SQLITE_ROW) {
        store->id = (uint64_t)sqlite3_column_int64 (statement, 0);
        store->cluster = (uint64_t)sqlite3_column_int64 (statement, 1);
        atomic_store (&store->folded_to, (uint64_t)sqlite3_column_int64 (statement, 2));
        store->place = (struct file_place){ .inode = (uint64_t)sqlite3_column_int64 (statement, 3),
                                            .born_ns = sqlite3_column_int64 (statement, 4) };
    }
    sqlite3_finalize (statement);
    if (rc == SQLITE_DONE || (rc == SQLITE_ROW && !store->id))
        return mu_fail (error, MU_BAD_INPUT, "its table about has no row that says which it is");
    return rc == SQLITE_ROW ? 0 : database_fail (store->writer, "be read", error);
}

static int set_place (struct store *store, const struct file_place *place, uint64_t id,
                      struct mu_error *error)
{
    char sql[128];
    snprintf (sql, sizeof sql, "UPDATE about SET id = %lld, inode = %lld, born_ns = %lld",
              (long long)id, (long long)place->inode, (long long)place->born_ns);
    if (database_run (store->writer, sql, "be written", error))
        return -1;
    store->id = id;
    store->copied = false;
    return 0;
}

/* A copy looks in all as its original does, but for which file it is. */
static int check_place (struct store *store, const char *path, struct mu_error *error)
{
    struct file_place is, was = store->place;
    if (file_place (path, &is))
        return mu_fail_errno (error, MU_IO, errno, "it cannot be looked at");
    store->place = is;
    if (!was.inode)
        return set_place (store, &is, store->id, error);
    store->copied = file_is_another (&is, &was);
    return store->copied && !store->cluster ? store_become_another (store, error) : 0;
}

int store_open (struct store **store_p, const char *dir, struct mu_error *error)
{
    struct store *store = calloc (1, sizeof *store);
    if (!store || !msgpack_zone_init (&store->zone, 4096)) {
        free (store);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    store->lock_fd = -1;
    pthread_mutex_init (&store->folding, NULL);
    char path[4200];
    snprintf (path, sizeof path, "%s/muster.db", dir);
    if (folder_make (dir, error) || folder_lock (dir, &store->lock_fd, error))
        goto error;
    if (check_emptied (dir, path, error) || open_writer (store, path, error) ||
        read_about (store, error) || check_place (store, path, error) ||
        read_newest (store, error) || open_reader (store, path, error)) {
        mu_error_prefix (error, "%s: ", path);
        goto error;
    }
    *store_p = store;
    return 0;
error:
    store_close (&store);
    return -1;
}

void store_close (struct store **store_p)
{
    struct store *store = *store_p;
    if (!store)
        return;
    sqlite3_stmt *statements[] = { store->begin,  store->commit,    store->rollback,
                                   store->read,   store->read_rows, store->read_lines,
                                   store->version };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        sqlite3_finalize (statements[i]);
    rows_close (&store->rows);
    views_close (&store->views);
    sqlite3_close (store->reader);
    sqlite3_close (store->writer);
    if (store->lock_fd >= 0)
        close (store->lock_fd);
    pthread_mutex_destroy (&store->folding);
    msgpack_zone_destroy (&store->zone);
    free (store);
    *store_p = NULL;
}

uint64_t store_id (const struct store *store) { return store->id; }
uint64_t store_folded_to (const struct store *store) { return atomic_load (&store->folded_to); }
uint64_t store_fills (const struct store *store) { return atomic_load (&store->fills); }
uint64_t store_cluster (const struct store *store) { return store->cluster; }

int store_set_cluster (struct store *store, uint64_t cluster, struct mu_error *error)
{
    char sql[64];
    snprintf (sql, sizeof sql, "UPDATE about SET cluster = %lld", (long long)cluster);
    if (database_run (store->writer, sql, "be written", error))
        return -1;
    store->cluster = cluster;
    return 0;
}

bool store_is_copy (const struct store *store) { return store->copied; }

int store_become_another (struct store *store, struct mu_error *error)
{
    return set_place (store, &store->place, (draw_id () & INT64_MAX) | 1, error);
}

uint64_t store_newest (const struct store *store) { return atomic_load (&store->newest); }
uint64_t store_given (const struct store *store) { return atomic_load (&store->given); }

bool store_keeps (uint32_t type) { return type == MU_JOURNAL_SUBMIT || type == MU_JOURNAL_SIZED; }

/* Progress takes the place of what was before. A commit that is tried again counts again. */
static void note_given (struct store *store, uint32_t type, bool is_progress)
{
    if (!is_progress && !store_keeps (type))
        atomic_fetch_add (&store->given, 1);
}

/* --- replay ----------------------------------------------------------------------------------- */

/* Not the record's fault: a program that knows it, or has the memory, must read it. */
static bool is_readable_elsewhere (const struct mu_error *why)
{
    return why->code == MU_TRY_AGAIN || why->code == MU_UNAVAILABLE;
}

static int refuse_record (uint64_t number, const struct mu_error *why, struct mu_error *error)
{
    if (why->code == MU_UNAVAILABLE)
        return mu_fail (error, MU_UNAVAILABLE, "%s", why->text);
    return mu_fail (error, MU_BAD_INPUT,
                    "record %" PRIu64 " of the journal was written by a newer Muster (%s): use "
                    "that one, or a newer one",
                    number, why->text);
}

static int set_aside (struct store *store, uint64_t number, const char *why, struct mu_error *error)
{
    char *sql = sqlite3_mprintf ("BEGIN IMMEDIATE;"
                                 "INSERT OR REPLACE INTO bad_record SELECT number, %Q, body FROM "
                                 "record WHERE number = %lld;"
                                 "DELETE FROM journal WHERE number = %lld;"
                                 "DELETE FROM progress WHERE number = %lld; COMMIT",
                                 why, (long long)number, (long long)number, (long long)number);
    if (!sql)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    int rc = database_run (store->writer, sql, "set a bad record aside", error);
    sqlite3_free (sql);
    return rc;
}

static int decode_row (sqlite3_stmt *row, int column, struct mu_journal *record, msgpack_zone *zone,
                       struct mu_error *error)
{
    const void *body = sqlite3_column_blob (row, column);
    int size = sqlite3_column_bytes (row, column);
    if (!body)
        return mu_fail (error, MU_BAD_INPUT, "the record is empty");
    return mu_record_decode (&mu_journal_family, record, body, (size_t)size, 0, zone, error);
}

/* The columns beside a record say of what it is. Where one bit of it is another they know better: a SUBMIT would take
 * another job's number, and leave none to those that come after it. */
static int check_columns (sqlite3_stmt *row, const struct mu_journal *record,
                          struct mu_error *error)
{
    if ((uint32_t)sqlite3_column_int64 (row, 2) == (uint32_t)record->type &&
        (uint64_t)sqlite3_column_int64 (row, 3) ==
            mu_record_number (&mu_journal_family, record, "job"))
        return 0;
    return mu_fail (error, MU_BAD_INPUT, "its columns type and job are not what it says");
}

/* They say what the records said that are now set aside. */
static int rebuild_views (void *arg, sqlite3 *writer, struct mu_error *error)
{
    (void)arg;
    return views_rebuild (writer, error);
}

static int read_damaged (struct store *store, struct mu_error *error)
{
    int count = 0;
    if (database_read_int (store->writer, "SELECT count (*) FROM bad_record", &count, error))
        return -1;
    store->damaged = count > 0;
    return 0;
}

/* The highest number of a job that it gives; 0: it gives none. */
static uint64_t numbers_to (const struct mu_journal *record)
{
    if (record->type == MU_JOURNAL_FORGOTTEN)
        return record->forgotten.last;
    return record->type == MU_JOURNAL_SUBMIT ? record->submit.job : 0;
}

int store_replay (struct store *store,
                  int (*each) (void *arg, const struct mu_journal *record, struct mu_error *error),
                  void *arg, uint64_t *records, uint64_t *bad, struct mu_error *error)
{
    *records = *bad = 0;
    store->lost_jobs = 0;
    uint64_t newest_job = 0;
    sqlite3_stmt *row = NULL;
    msgpack_zone zone;
    if (!msgpack_zone_init (&zone, 8192))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    int rc = database_prepare (store->reader, &row,
                               "SELECT number, body, type, job FROM record ORDER BY number", error);
    int state = SQLITE_DONE;
    while (!rc && (state = sqlite3_step (row)) == SQLITE_ROW) {
        struct mu_journal record;
        struct mu_error why;
        msgpack_zone_clear (&zone);
        uint64_t number = (uint64_t)sqlite3_column_int64 (row, 0);
        if (!decode_row (row, 1, &record, &zone, &why) && !check_columns (row, &record, &why) &&
            !each (arg, &record, &why)) {
            ++*records;
            uint64_t job = numbers_to (&record);
            if (job > newest_job) {
                store->lost_jobs = 0;
                newest_job = job;
            }
            note_given (store, record.type,
                        mu_shape_is_latest (mu_shape_find (&mu_journal_family, record.type)));
        } else if (is_readable_elsewhere (&why)) {
            rc = refuse_record (number, &why, error);
        } else {
            rc = set_aside (store, number, why.text, error);
            ++*bad;
            store->lost_jobs += sqlite3_column_int (row, 2) == MU_JOURNAL_SUBMIT;
        }
    }
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (store->reader, "be read", error);
    sqlite3_finalize (row);
    msgpack_zone_destroy (&zone);
    if (!rc && *bad)
        rc = store_change (store, rebuild_views, NULL, error);
    return rc || read_damaged (store, error) ? -1 : 0;
}

bool store_is_damaged (const struct store *store) { return store->damaged; }
uint32_t store_lost_jobs (const struct store *store) { return store->lost_jobs; }

/* --- the tables beside the journal ------------------------------------------------------------ */

/* `job`: of a SUBMIT. */
static int update_view (struct store *store, const struct batch_entry *entry, const char *body,
                        const struct views_new_job *job, struct mu_error *error)
{
    if (entry->type == MU_JOURNAL_SUBMIT)
        return views_add_job (store->views, job, error);
    return views_follow (entry->type) ? views_update (store->views, body, entry->size, error) : 0;
}

/* --- commit ----------------------------------------------------------------------------------- */

static int run (struct store *store, sqlite3_stmt *statement, struct mu_error *error)
{
    return database_write (store->writer, statement, error);
}

static int insert (struct store *store, const struct batch_entry *entry, const char *body,
                   const struct views_new_job *job, uint64_t number, uint64_t unix_ms,
                   struct mu_error *error)
{
    note_given (store, entry->type, entry->is_progress);
    return rows_add (store->rows, entry, body, number, unix_ms, error) ||
                   update_view (store, entry, body, job, error)
               ? -1
               : 0;
}

static int flush (struct store *store, struct mu_error *error)
{
    return rows_flush (store->rows, error) || views_flush (store->views, error) ? -1 : 0;
}

static void drop (struct store *store)
{
    rows_drop (store->rows);
    views_drop (store->views);
}

/* What is written to a file that has lost its name is gone with this process: as a disk that fails. */
static int check_in_place (struct store *store, struct mu_error *error)
{
    int moved = 0;
    if (sqlite3_file_control (store->writer, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
        !moved)
        return 0;
    return mu_fail (error, MU_IO,
                    "%s was removed or replaced while it is used: put back the file that was there",
                    sqlite3_db_filename (store->writer, "main"));
}

/* Begin a transaction, unless somebody else has written since this store last did: what was decided
 * here then stands on what is no longer true. */
static int begin (struct store *store, struct mu_error *error)
{
    if (check_in_place (store, error) || run (store, store->begin, error))
        return -1;
    int rc = sqlite3_step (store->version);
    int version = rc == SQLITE_ROW ? sqlite3_column_int (store->version, 0) : 0;
    sqlite3_reset (store->version);
    if (rc != SQLITE_ROW)
        return database_fail (store->writer, "be read", error);
    if (version != store->data_version)
        return mu_fail (error, MU_CONFLICT,
                        "another program has written to this coordinator's database: stop it, then "
                        "start this coordinator again");
    return 0;
}

/* What is in the log goes into the file, so that the log's place is used again. */
static void spare_log (struct store *store)
{
    if (store->wal_frames >= WAL_CHECKPOINT_FRAMES)
        sqlite3_wal_checkpoint_v2 (store->writer, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

int store_commit (struct store *store, struct store_batch *batch, uint64_t unix_ms,
                  struct mu_error *error)
{
    if (!batch->count)
        return 0;
    uint64_t number = atomic_load (&store->newest);
    uint32_t jobs = 0;
    if (begin (store, error))
        goto error;
    for (uint32_t i = 0; i < batch->count; i++) {
        number++;
        const struct batch_entry *entry = &batch->entry[i];
        const struct views_new_job *job =
            entry->type == MU_JOURNAL_SUBMIT ? &batch->job[jobs++] : NULL;
        if (!entry->superseded &&
            insert (store, entry, batch->bytes.data + entry->offset, job, number, unix_ms, error))
            goto error;
    }
    if (flush (store, error) || run (store, store->commit, error))
        goto error;
    atomic_store (&store->newest, number);
    batch_clear (batch);
    spare_log (store);
    return 0;
error:
    drop (store);
    if (!sqlite3_get_autocommit (store->writer))
        run (store, store->rollback, NULL);
    return -1;
}

int store_change (struct store *store,
                  int (*change) (void *arg, sqlite3 *writer, struct mu_error *error), void *arg,
                  struct mu_error *error)
{
    if (!begin (store, error) && !change (arg, store->writer, error) &&
        !run (store, store->commit, error))
        return 0;
    if (!sqlite3_get_autocommit (store->writer))
        run (store, store->rollback, NULL);
    return -1;
}

int store_rebuild_views (struct store *store, struct mu_error *error)
{
    return store_change (store, rebuild_views, NULL, error);
}

int store_fold (struct store *store,
                int (*change) (void *arg, sqlite3 *writer, struct mu_error *error), void *arg,
                uint64_t folded_to, struct mu_error *error)
{
    pthread_mutex_lock (&store->folding);
    int rc = store_change (store, change, arg, error);
    if (!rc && folded_to > atomic_load (&store->folded_to))
        atomic_store (&store->folded_to, folded_to);
    pthread_mutex_unlock (&store->folding);
    return rc;
}

bool store_hold (struct store *store) { return !pthread_mutex_trylock (&store->folding); }
void store_release (struct store *store) { pthread_mutex_unlock (&store->folding); }

int store_vacuum (struct store *store, struct mu_error *error)
{
    return database_run (store->writer, "VACUUM; PRAGMA wal_checkpoint (TRUNCATE)", "be vacuumed",
                         error);
}

/* --- lines ------------------------------------------------------------------------------------ */

int store_read_lines (struct store *store, uint64_t after, uint32_t limit,
                      int (*each) (void *arg, const struct store_line *line), void *arg,
                      struct mu_error *error)
{
    sqlite3_stmt *row = store->read_lines;
    sqlite3_bind_int64 (row, 1, (sqlite3_int64)after);
    sqlite3_bind_int64 (row, 2, limit);
    int state = SQLITE_DONE, rc = 0;
    while (!rc && (state = sqlite3_step (row)) == SQLITE_ROW) {
        struct store_line line = { .number = (uint64_t)sqlite3_column_int64 (row, 0),
                                   .unix_ms = (uint64_t)sqlite3_column_int64 (row, 1),
                                   .body = sqlite3_column_blob (row, 2),
                                   .size = (uint32_t)sqlite3_column_bytes (row, 2) };
        rc = each (arg, &line);
    }
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (store->reader, "be read", error);
    sqlite3_reset (row);
    return rc;
}

int store_read_type (struct store *store, enum mu_journal_type type,
                     int (*each) (void *arg, uint64_t number, const struct mu_journal *record),
                     void *arg, struct mu_error *error)
{
    sqlite3_stmt *row = NULL;
    msgpack_zone zone;
    if (!msgpack_zone_init (&zone, 8192))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    int rc = database_prepare (store->reader, &row,
                               "SELECT number, body FROM record WHERE type = ?1 ORDER BY number",
                               error);
    int state = SQLITE_DONE;
    if (!rc)
        sqlite3_bind_int (row, 1, (int)type);
    while (!rc && (state = sqlite3_step (row)) == SQLITE_ROW) {
        struct mu_journal record;
        msgpack_zone_clear (&zone);
        if (!decode_row (row, 1, &record, &zone, NULL))
            rc = each (arg, (uint64_t)sqlite3_column_int64 (row, 0), &record);
    }
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (store->reader, "be read", error);
    sqlite3_finalize (row);
    msgpack_zone_destroy (&zone);
    return rc;
}

static int take_line (struct store *store, const struct store_line *line, struct mu_error *error)
{
    struct mu_journal record;
    struct batch_entry entry = { .size = line->size };
    msgpack_zone_clear (&store->zone);
    if (mu_record_decode (&mu_journal_family, &record, line->body, line->size, 0, &store->zone,
                          error))
        return mu_fail (error, MU_BAD_INPUT,
                        "record %" PRIu64 " of the leader cannot be read here: is it of a newer "
                        "Muster? Upgrade those that follow first. If not, it is damaged: `muster "
                        "admin check` on the leader's machine tells, and a new start of the leader "
                        "sets it aside",
                        line->number);
    batch_describe (&entry, &record);
    struct views_new_job job = { 0 };
    if (record.type == MU_JOURNAL_SUBMIT)
        job = views_new_job_of (&record.submit);
    return insert (store, &entry, line->body, &job, line->number, line->unix_ms, error);
}

void store_abandon (struct store *store)
{
    drop (store);
    if (!sqlite3_get_autocommit (store->writer))
        run (store, store->rollback, NULL);
    store->filling = false;
}

bool store_is_settled (const struct store *store) { return !store->filling; }

/* What the leader has folded is not in it: who has less than this needs all of it, too. */
static int finish_filling (struct store *store, uint64_t newest, struct mu_error *error)
{
    char sql[64];
    snprintf (sql, sizeof sql, "UPDATE about SET folded_to = %lld", (long long)newest);
    if (database_run (store->writer, sql, "be written", error))
        return -1;
    return 0;
}

static void end_filling (struct store *store, uint64_t newest)
{
    atomic_store (&store->folded_to, newest);
    atomic_fetch_add (&store->fills, 1);
    store->filling = false;
}

int store_take (struct store *store, const struct store_line *lines, uint32_t count,
                enum store_taking how, struct mu_error *error)
{
    if (how == STORE_FRESH)
        store_abandon (store);
    if (sqlite3_get_autocommit (store->writer) && begin (store, error))
        goto error;
    if (how == STORE_FRESH &&
        database_run (store->writer,
                      "DELETE FROM journal; DELETE FROM progress; DELETE FROM bad_record;"
                      "DELETE FROM job; DELETE FROM checkpoint",
                      "be replaced", error))
        goto error;
    if (how == STORE_FRESH) {
        store->filling = true;
        atomic_fetch_add (&store->fills, 1);
    }
    for (uint32_t i = 0; i < count; i++)
        if (take_line (store, &lines[i], error))
            goto error;
    if (flush (store, error)) /* the lines are the caller's again */
        goto error;
    return 0;
error:
    store_abandon (store);
    return -1;
}

int store_taken (struct store *store, uint64_t newest, struct mu_error *error)
{
    if ((store->filling && finish_filling (store, newest, error)) ||
        run (store, store->commit, error)) {
        store_abandon (store);
        return -1;
    }
    atomic_store (&store->newest, newest);
    if (store->filling)
        end_filling (store, newest);
    spare_log (store);
    return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

int store_read (struct store *store, uint64_t after, uint64_t job, uint32_t limit,
                int (*each) (void *arg, uint64_t number, uint64_t unix_ms, uint64_t job,
                             const struct mu_journal *record),
                void *arg, struct mu_error *error)
{
    msgpack_zone zone;
    if (!msgpack_zone_init (&zone, 8192))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    sqlite3_stmt *row = store->read;
    sqlite3_bind_int64 (row, 1, (sqlite3_int64)after);
    sqlite3_bind_int64 (row, 2, (sqlite3_int64)job);
    sqlite3_bind_int64 (row, 3, limit);
    int state, rc = 0;
    while (!rc && (state = sqlite3_step (row)) == SQLITE_ROW) {
        struct mu_journal record;
        msgpack_zone_clear (&zone);
        if (!decode_row (row, 3, &record, &zone, NULL))
            rc = each (arg, (uint64_t)sqlite3_column_int64 (row, 0),
                       (uint64_t)sqlite3_column_int64 (row, 1),
                       (uint64_t)sqlite3_column_int64 (row, 2), &record);
    }
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (store->reader, "be read", error);
    sqlite3_reset (row);
    msgpack_zone_destroy (&zone);
    return rc;
}

int store_read_rows (struct store *store, uint64_t after, uint64_t job, uint32_t limit,
                     int (*each) (void *arg, const struct store_row *row), void *arg,
                     struct mu_error *error)
{
    sqlite3_stmt *statement = store->read_rows;
    sqlite3_bind_int64 (statement, 1, (sqlite3_int64)after);
    sqlite3_bind_int64 (statement, 2, (sqlite3_int64)job);
    sqlite3_bind_int64 (statement, 3, limit);
    int state = SQLITE_DONE, rc = 0;
    while (!rc && (state = sqlite3_step (statement)) == SQLITE_ROW) {
        struct store_row row = { .number = (uint64_t)sqlite3_column_int64 (statement, 0),
                                 .body = sqlite3_column_blob (statement, 1),
                                 .size = (uint32_t)sqlite3_column_bytes (statement, 1),
                                 .set_aside = (const char *)sqlite3_column_text (statement, 2) };
        rc = each (arg, &row);
    }
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (store->reader, "be read", error);
    sqlite3_reset (statement);
    return rc;
}
