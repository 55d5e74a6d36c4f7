/* SPDX-License-Identifier: Apache-2.0 */
/* io_compact.c - two readings of the journal: the first says what may go, the second proves it
 *
 * Both see one moment. The first folds every row into a core and notes of each job how many rows it
 * has and which is the last; the second leaves out what shall go, puts FOLDED where the job's last
 * row was, and folds that into another core. Different images are a bug, and nothing is touched. */
#include "io_compact.h"

#include "coord.h"
#include "io_database.h"
#include "io_key.h"
#include "io_views.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GONE_MAX 20000u /* a plan takes no further job beyond: its transaction holds up commits */

/* What is known of one job's rows, those of SUBMIT and SIZED left out. */
struct job_rows {
    uint64_t count, stands_for; /* what was folded before counts as what it was */
    uint64_t last, newest;      /* last one in journal; newest one at all */
    bool folds;
    size_t offset, size; /* of FOLDED's bytes */
};

/* Who is drained, or quarantined, and which record made it so. */
struct since {
    char name[64];
    uint64_t number;
};

struct sinces {
    struct since *list;
    uint32_t count, capacity;
};

struct compaction {
    struct compaction_counts counts;
    msgpack_sbuffer bytes;
    struct job_rows *jobs; /* by number; 0 is unused */
    uint64_t job_count, job_capacity;
    uint64_t *gone; /* numbers in the journal */
    uint64_t gone_capacity, gone_count;
    uint64_t folded_to;
};

struct planning {
    struct compaction *plan;
    sqlite3 *database;
    const _Atomic bool *cancelled; /* or NULL */
    struct coord *coord; /* of the reading in progress */
    uint64_t before_ms, reign; /* the newest one's number */
    uint64_t young_reign;      /* the first that is not old: between two reigns none may lack */
    struct sinces drained, quarantined;
    msgpack_zone zone;
};

/* One row of either reading. */
struct row {
    uint64_t number, unix_ms, job;
    bool is_progress;
    struct mu_journal record;
};

/* --- reading ---------------------------------------------------------------------------------- */

static const char rows_sql[] = "SELECT number, unix_ms, 0, body FROM journal UNION ALL "
                               "SELECT number, unix_ms, 1, body FROM progress ORDER BY 1";

static int take_row (struct planning *planning, sqlite3_stmt *statement, struct row *row,
                     struct mu_error *error)
{
    *row = (struct row){ .number = (uint64_t)sqlite3_column_int64 (statement, 0),
                         .unix_ms = (uint64_t)sqlite3_column_int64 (statement, 1),
                         .is_progress = sqlite3_column_int (statement, 2) != 0 };
    msgpack_zone_clear (&planning->zone);
    if (mu_record_decode (&mu_journal_family, &row->record, sqlite3_column_blob (statement, 3),
                          (size_t)sqlite3_column_bytes (statement, 3), 0, &planning->zone, error))
        return -1;
    row->job = mu_record_number (&mu_journal_family, &row->record, "job");
    return 0;
}

static int read_all (struct planning *planning,
                     int (*each) (struct planning *, const struct row *, struct mu_error *),
                     struct mu_error *error)
{
    static const struct coord_options none = { .version = "compaction" };
    sqlite3_stmt *statement = NULL;
    coord_destroy (&planning->coord);
    planning->coord = coord_create (&none);
    if (!planning->coord)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    if (database_prepare (planning->database, &statement, rows_sql, error))
        return -1;
    int state = SQLITE_DONE, rc = 0;
    while (!rc && (state = sqlite3_step (statement)) == SQLITE_ROW) {
        struct row row;
        struct mu_error why;
        if (planning->cancelled && atomic_load (planning->cancelled))
            rc = mu_fail (error, MU_TRY_AGAIN, "it was called off");
        else if (!take_row (planning, statement, &row, &why) && !each (planning, &row, &why))
            continue;
        else
            rc = mu_fail (error, why.code == MU_UNAVAILABLE ? MU_UNAVAILABLE : MU_BAD_INPUT,
                          "record %" PRIu64
                          " cannot be read (%s): start a coordinator on it, which sets "
                          "it aside, or see what `muster admin check` says",
                          row.number, why.text);
    }
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (planning->database, "be read", error);
    sqlite3_finalize (statement);
    return rc;
}

static void *grown (void *list, uint64_t need, uint64_t *capacity, size_t size)
{
    if (need <= *capacity)
        return list;
    uint64_t before = *capacity;
    *capacity = need < 64 ? 64 : 2 * need;
    list = realloc (list, *capacity * size);
    if (!list)
        abort ();
    memset ((uint8_t *)list + before * size, 0, (*capacity - before) * size);
    return list;
}

/* --- the first reading ------------------------------------------------------------------------ */

/* As the core keeps its sets of names: only a change counts. */
static void follow (struct sinces *sinces, const char *name, bool in, uint64_t number)
{
    uint32_t at = 0;
    while (at < sinces->count && strcmp (sinces->list[at].name, name))
        at++;
    if (in && at == sinces->count) {
        uint64_t capacity = sinces->capacity;
        sinces->list = grown (sinces->list, (uint64_t)at + 1, &capacity, sizeof *sinces->list);
        sinces->capacity = (uint32_t)capacity;
        sinces->list[at].number = number;
        mu_text_set (sinces->list[at].name, sizeof sinces->list[at].name, name);
        sinces->count++;
    } else if (!in && at < sinces->count) {
        sinces->count--;
        memmove (&sinces->list[at], &sinces->list[at + 1],
                 (sinces->count - at) * sizeof *sinces->list);
    }
}

static bool made_it_so (const struct sinces *sinces, uint64_t number)
{
    for (uint32_t i = 0; i < sinces->count; i++)
        if (sinces->list[i].number == number)
            return true;
    return false;
}

static void note_job (struct compaction *plan, const struct row *row)
{
    plan->jobs = grown (plan->jobs, row->job + 1, &plan->job_capacity, sizeof *plan->jobs);
    if (row->job >= plan->job_count)
        plan->job_count = row->job + 1;
    struct job_rows *job = &plan->jobs[row->job];
    job->count++;
    job->stands_for +=
        row->record.type == MU_JOURNAL_FOLDED ? row->record.folded.records : 1;
    job->newest = row->number;
    if (!row->is_progress)
        job->last = row->number;
}

static void note_reign (struct planning *planning, const struct row *row)
{
    planning->reign = row->number;
    if (!planning->young_reign && row->unix_ms >= planning->before_ms)
        planning->young_reign = row->number;
}

static int note (struct planning *planning, const struct row *row, struct mu_error *error)
{
    const struct mu_journal *record = &row->record;
    if (coord_apply (planning->coord, record, error))
        return -1;
    planning->plan->counts.rows++;
    if (record->type == MU_JOURNAL_REIGN)
        note_reign (planning, row);
    else if (record->type == MU_JOURNAL_DRAIN)
        follow (&planning->drained, record->drain.worker, record->drain.drained, row->number);
    else if (record->type == MU_JOURNAL_QUARANTINE)
        follow (&planning->quarantined, record->quarantine.worker, record->quarantine.quarantined,
                row->number);
    else if (row->job && !store_keeps (row->record.type))
        note_job (planning->plan, row);
    return 0;
}

/* --- what may go ------------------------------------------------------------------------------ */

static int choose_jobs (struct planning *planning, struct mu_error *error)
{
    struct compaction *plan = planning->plan;
    uint64_t rows = 0;
    for (uint64_t number = 1; number < plan->job_count; number++) {
        struct job_rows *job = &plan->jobs[number];
        struct mu_journal record;
        if (job->count < 2 || !job->last ||
            !coord_fold (planning->coord, number, planning->before_ms, &record))
            continue;
        if (rows && rows + job->count > GONE_MAX) {
            plan->counts.more = true;
            break;
        }
        rows += job->count;
        record.folded.records = job->stands_for;
        job->offset = plan->bytes.size;
        if (mu_record_encode (&mu_journal_family, &record, &plan->bytes, error))
            return -1;
        job->size = plan->bytes.size - job->offset;
        job->folds = true;
        plan->counts.jobs++;
        if (job->newest > plan->folded_to)
            plan->folded_to = job->newest;
    }
    return 0;
}

static bool is_needless (const struct planning *planning, const struct row *row)
{
    if (row->unix_ms >= planning->before_ms)
        return false;
    switch ((int)row->record.type) {
    case MU_JOURNAL_REIGN:
        return !row->record.reign.lacks && row->number < planning->reign &&
               (!planning->young_reign || row->number < planning->young_reign);
    case MU_JOURNAL_DRAIN:
        return !made_it_so (&planning->drained, row->number);
    case MU_JOURNAL_QUARANTINE:
        return !made_it_so (&planning->quarantined, row->number);
    default: return false;
    }
}

static void let_go (struct compaction *plan, const struct row *row, const struct job_rows *job)
{
    plan->counts.gone++;
    if (row->number > plan->folded_to)
        plan->folded_to = row->number;
    if (row->is_progress || (job && row->number == job->last))
        return; /* goes with its job; becomes FOLDED */
    plan->gone =
        grown (plan->gone, plan->gone_count + 1, &plan->gone_capacity, sizeof *plan->gone);
    plan->gone[plan->gone_count++] = row->number;
}

/* --- the second reading ----------------------------------------------------------------------- */

static int apply_folded (struct planning *planning, const struct job_rows *job,
                         struct mu_error *error)
{
    struct mu_journal record;
    return mu_record_decode (&mu_journal_family, &record, planning->plan->bytes.data + job->offset,
                             job->size, 0, &planning->zone, error) ||
                   coord_apply (planning->coord, &record, error)
               ? -1
               : 0;
}

static int prove (struct planning *planning, const struct row *row, struct mu_error *error)
{
    struct compaction *plan = planning->plan;
    const struct job_rows *job =
        row->job && row->job < plan->job_count && !store_keeps (row->record.type)
            ? &plan->jobs[row->job]
            : NULL;
    bool goes = job ? job->folds : is_needless (planning, row);
    if (goes && !job && plan->counts.gone >= 2 * GONE_MAX) {
        goes = false;
        plan->counts.more = true;
    }
    if (!goes)
        return coord_apply (planning->coord, &row->record, error);
    let_go (plan, row, job);
    return job && row->number == job->last ? apply_folded (planning, job, error) : 0;
}

static int plan_and_prove (struct planning *planning, struct mu_error *error)
{
    struct coord_image full = { 0 }, left = { 0 };
    int rc = -1;
    if (read_all (planning, note, error))
        return -1;
    coord_save (planning->coord, &full);
    if (!choose_jobs (planning, error) && !read_all (planning, prove, error)) {
        coord_save (planning->coord, &left);
        bool same = full.size == left.size && !memcmp (full.bytes, left.bytes, full.size);
        rc = same ? 0
                  : mu_fail (error, MU_INTERNAL,
                             "the journal would not say the same without what was to be folded, so "
                             "it was left as it is: please report it, with a backup");
    }
    free (full.bytes);
    free (left.bytes);
    return rc;
}

int compaction_plan (const char *dir, uint64_t before_ms, const _Atomic bool *cancelled,
                     struct compaction **compaction_p, struct mu_error *error)
{
    char path[4200];
    snprintf (path, sizeof path, "%s/muster.db", dir);
    struct compaction *plan = calloc (1, sizeof *plan);
    struct planning planning = { .plan = plan, .before_ms = before_ms, .cancelled = cancelled };
    if (!plan || !msgpack_zone_init (&planning.zone, 8192)) {
        free (plan);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    msgpack_sbuffer_init (&plan->bytes);
    int rc = database_open_to_read (&planning.database, path, error) ||
                     database_run (planning.database, "BEGIN", "be read", error) ||
                     plan_and_prove (&planning, error)
                 ? -1
                 : 0;
    sqlite3_close (planning.database);
    coord_destroy (&planning.coord);
    free (planning.drained.list);
    free (planning.quarantined.list);
    msgpack_zone_destroy (&planning.zone);
    if (rc)
        compaction_destroy (&plan);
    *compaction_p = plan;
    return rc;
}

int compaction_sure_ms (const char *dir, uint64_t *unix_ms, struct mu_error *error)
{
    char path[4200];
    sqlite3 *database = NULL;
    sqlite3_stmt *row = NULL;
    snprintf (path, sizeof path, "%s/muster.db", dir);
    int rc = database_open_to_read (&database, path, error) ||
                     database_prepare (database, &row,
                                       "SELECT unix_ms FROM journal WHERE unix_ms <= "
                                       "(SELECT unix_ms FROM journal ORDER BY number DESC LIMIT 1) "
                                       "- 86400000 ORDER BY number DESC LIMIT 1",
                                       error)
                 ? -1
                 : 0;
    *unix_ms =
        !rc && sqlite3_step (row) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64 (row, 0) : 0;
    sqlite3_finalize (row);
    sqlite3_close (database);
    return rc;
}

void compaction_destroy (struct compaction **compaction_p)
{
    struct compaction *plan = *compaction_p;
    if (!plan)
        return;
    msgpack_sbuffer_destroy (&plan->bytes);
    free (plan->jobs);
    free (plan->gone);
    free (plan);
    *compaction_p = NULL;
}

const struct compaction_counts *compaction_counts (const struct compaction *compaction)
{
    return &compaction->counts;
}

/* --- carrying it out -------------------------------------------------------------------------- */

static int run_with (sqlite3 *writer, sqlite3_stmt *statement, uint64_t number,
                     struct mu_error *error)
{
    sqlite3_bind_int64 (statement, 1, (sqlite3_int64)number);
    return database_write (writer, statement, error);
}

/* The row keeps its number and its time; the job's progress goes. */
static int fold_job (sqlite3 *writer, struct views *views, const struct compaction *plan,
                     uint64_t number, struct mu_error *error)
{
    const struct job_rows *job = &plan->jobs[number];
    int64_t first = 1, last = 0;
    key_range (number, &first, &last);
    char *sql = sqlite3_mprintf ("UPDATE journal SET type = %d, body = ?2 WHERE number = ?1",
                                 (int)MU_JOURNAL_FOLDED);
    char *progress =
        sqlite3_mprintf ("DELETE FROM progress WHERE key BETWEEN %lld AND %lld AND number <= %lld;"
                         "DELETE FROM progress WHERE key < 0 AND job = %lld AND number <= %lld",
                         (long long)first, (long long)last, (long long)job->newest,
                         (long long)number, (long long)job->newest);
    sqlite3_stmt *statement = NULL;
    int rc = !sql || !progress ? mu_fail (error, MU_UNAVAILABLE, "out of memory")
                               : database_prepare (writer, &statement, sql, error);
    if (!rc) {
        sqlite3_bind_blob (statement, 2, plan->bytes.data + job->offset, (int)job->size,
                           SQLITE_STATIC);
        rc = run_with (writer, statement, job->last, error) ||
                     database_run (writer, progress, "be written", error) ||
                     views_update (views, plan->bytes.data + job->offset, job->size, error)
                 ? -1
                 : 0;
    }
    sqlite3_finalize (statement);
    sqlite3_free (sql);
    sqlite3_free (progress);
    return rc;
}

static int change (void *arg, sqlite3 *writer, struct mu_error *error)
{
    const struct compaction *plan = arg;
    char sql[128];
    sqlite3_stmt *erase = NULL;
    struct views *views = NULL;
    int rc = database_prepare (writer, &erase, "DELETE FROM journal WHERE number = ?1", error);
    for (uint64_t i = 0; !rc && i < plan->gone_count; i++)
        rc = run_with (writer, erase, plan->gone[i], error);
    sqlite3_finalize (erase);
    rc = rc || views_open (&views, writer, error) ? -1 : 0;
    for (uint64_t job = 1; !rc && job < plan->job_count; job++)
        if (plan->jobs[job].folds)
            rc = fold_job (writer, views, plan, job, error);
    rc = rc || views_flush (views, error) ? -1 : 0;
    views_close (&views);
    snprintf (sql, sizeof sql, "UPDATE about SET folded_to = max (folded_to, %lld)",
              (long long)plan->folded_to);
    return rc || database_run (writer, sql, "be written", error) ? -1 : 0;
}

int compaction_apply (const struct compaction *compaction, struct store *store,
                      struct mu_error *error)
{
    return compaction->counts.gone ? store_fold (store, change, (void *)(uintptr_t)compaction,
                                                 compaction->folded_to, error)
                                   : 0;
}
