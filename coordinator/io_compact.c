/* SPDX-License-Identifier: Apache-2.0 */
/* io_compact.c - two readings of the journal: the first says what may go, the second proves it
 *
 * Both see one moment. The first folds every row into a core and notes of each job how many rows it
 * has and which is the last; the second leaves out what shall go, puts FOLDED where the job's last
 * row was, and folds that into another core. Different images are a bug, and nothing is touched.
 *
 * Of jobs that were forgotten all rows go. For as many as follow one another one FORGOTTEN is put where the first of
 * them was submitted, and gives their numbers; what forgot them stays while it is young: who follows the journal
 * from before it needs it. */
#include "io_compact.h"

#include "coord.h"
#include "io_database.h"
#include "io_key.h"
#include "io_views.h"

#include <inttypes.h>
#include <malloc.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GONE_MAX 20000u /* a plan takes no further job beyond: its transaction holds up commits */

/* What is known of one job's rows, those of SUBMIT and SIZED left out. */
struct job_rows {
    uint64_t count, stands_for; /* what was folded before counts as what it was */
    uint64_t last, newest;      /* last one in journal; newest one at all */
    uint64_t kept;              /* those of SUBMIT and SIZED */
    uint64_t born, born_ms;     /* which row gave its number; 0: that of another job */
    bool has_progress, folds, goes; /* goes: it was forgotten */
    size_t offset, size; /* of FOLDED's bytes */
};

/* Jobs that were forgotten and follow one another, and where one record stands for them. */
struct run {
    uint64_t first; /* job */
    uint64_t at;    /* that row; 0: it says so already */
    size_t offset, size;
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
    struct job_rows *jobs;                  /* job n at n - base; 0 is unused */
    uint64_t base, job_count, job_capacity; /* count: with the unused one */
    struct run *runs;                       /* by row */
    uint64_t run_count, run_capacity;
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
    uint64_t run;              /* the next one of the plan's */
    struct sinces drained, quarantined;
    msgpack_zone zone;
};

/* One row of either reading. */
struct row {
    uint64_t number, unix_ms, job;
    const void *body;
    size_t size;
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
                         .body = sqlite3_column_blob (statement, 3),
                         .size = (size_t)sqlite3_column_bytes (statement, 3),
                         .is_progress = sqlite3_column_int (statement, 2) != 0 };
    msgpack_zone_clear (&planning->zone);
    if (mu_record_decode (&mu_journal_family, &row->record, row->body, row->size, 0,
                          &planning->zone, error))
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

static struct job_rows *job_of (struct compaction *plan, uint64_t number)
{
    uint64_t at = number - plan->base;
    plan->jobs = grown (plan->jobs, at + 1, &plan->job_capacity, sizeof *plan->jobs);
    if (at >= plan->job_count)
        plan->job_count = at + 1;
    return &plan->jobs[at];
}

/* The row gives that job its number. */
static void note_born (struct compaction *plan, const struct row *row, uint64_t number,
                       uint64_t time_ms)
{
    struct job_rows *job = job_of (plan, number);
    job->born = row->number;
    job->born_ms = time_ms;
}

/* The first of them that is told apart. */
static uint64_t first_of (const struct compaction *plan,
                          const struct mu_journal_forgotten *forgotten)
{
    return forgotten->job > plan->base ? forgotten->job : plan->base + 1;
}

/* Does it give numbers? The first ones need no room but for the last of them. */
static void note_forgotten (struct planning *planning, const struct row *row, uint64_t before)
{
    const struct mu_journal_forgotten *forgotten = &row->record.forgotten;
    struct compaction *plan = planning->plan;
    if (forgotten->job <= before)
        return;
    if (forgotten->job == 1)
        plan->base = forgotten->last - 1;
    note_born (plan, row, first_of (plan, forgotten), forgotten->time_ms);
    job_of (plan, forgotten->last);
}

/* Where the record that forgot the first ones was lost they need no room either. */
static void note_kept (const struct planning *planning, const struct row *row)
{
    struct compaction *plan = planning->plan;
    if (!plan->job_count && coord_job_next (planning->coord, 0) == row->job)
        plan->base = row->job - 1;
    if (row->record.type == MU_JOURNAL_SUBMIT)
        note_born (plan, row, row->job, row->record.submit.time_ms);
    job_of (plan, row->job)->kept++;
}

static void note_job (struct compaction *plan, const struct row *row)
{
    struct job_rows *job = job_of (plan, row->job);
    job->count++;
    job->stands_for +=
        row->record.type == MU_JOURNAL_FOLDED ? row->record.folded.records : 1;
    job->newest = row->number;
    if (!row->is_progress)
        job->last = row->number;
    job->has_progress = job->has_progress || row->is_progress;
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
    const uint64_t before = coord_job_count (planning->coord);
    if (coord_apply (planning->coord, record, error))
        return -1;
    planning->plan->counts.rows++;
    if (record->type == MU_JOURNAL_REIGN)
        note_reign (planning, row);
    else if (record->type == MU_JOURNAL_FORGOTTEN)
        note_forgotten (planning, row, before);
    else if (record->type == MU_JOURNAL_DRAIN)
        follow (&planning->drained, record->drain.worker, record->drain.drained, row->number);
    else if (record->type == MU_JOURNAL_QUARANTINE)
        follow (&planning->quarantined, record->quarantine.worker, record->quarantine.quarantined,
                row->number);
    else if (row->job && store_keeps (row->record.type))
        note_kept (planning, row);
    else if (row->job)
        note_job (planning->plan, row);
    return 0;
}

/* --- what may go ------------------------------------------------------------------------------ */

static int choose_jobs (struct planning *planning, struct mu_error *error)
{
    struct compaction *plan = planning->plan;
    uint64_t rows = 0;
    for (uint64_t at = 1; at < plan->job_count; at++) {
        struct job_rows *job = &plan->jobs[at];
        struct mu_journal record;
        const uint64_t number = plan->base + at;
        const bool goes = coord_job_is_forgotten (planning->coord, number);
        const uint64_t mine = job->count + (goes ? job->kept : 0);
        if (!goes && (job->count < 2 || !job->last ||
                      !coord_fold (planning->coord, number, planning->before_ms, &record)))
            continue;
        if (rows && mine && rows + mine > GONE_MAX) {
            plan->counts.more = true;
            break;
        }
        rows += mine;
        job->goes = goes;
        if (goes)
            continue;
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

/* One record for each run of jobs that go, where the first row of theirs is that gives a number. What was given by
 * a later job's stays so. */
static int make_run (struct compaction *plan, uint64_t first, uint64_t last, struct mu_error *error)
{
    uint64_t at = first;
    while (at < last && !plan->jobs[at].born)
        at++;
    if (!plan->jobs[at].born)
        return 0;
    struct mu_journal record = { .type = MU_JOURNAL_FORGOTTEN,
                                 .forgotten = { .job = first == 1 ? 1 : plan->base + first,
                                                .last = plan->base + last,
                                                .time_ms = plan->jobs[at].born_ms } };
    record.forgotten.numbers = record.forgotten.last - record.forgotten.job + 1;
    plan->runs = grown (plan->runs, plan->run_count + 1, &plan->run_capacity, sizeof *plan->runs);
    struct run *run = &plan->runs[plan->run_count++];
    run->first = record.forgotten.job;
    run->at = plan->jobs[at].born;
    run->offset = plan->bytes.size;
    if (mu_record_encode (&mu_journal_family, &record, &plan->bytes, error))
        return -1;
    run->size = plan->bytes.size - run->offset;
    return 0;
}

static int make_runs (struct compaction *plan, struct mu_error *error)
{
    for (uint64_t at = 1, last; at < plan->job_count; at = last + 1) {
        last = at;
        if (!plan->jobs[at].goes)
            continue;
        while (last + 1 < plan->job_count && plan->jobs[last + 1].goes)
            last++;
        if (make_run (plan, at, last, error))
            return -1;
    }
    return 0;
}

/* It gives numbers, or has forgotten what is not there any more. */
static bool is_needless_forgotten (const struct planning *planning, const struct row *row)
{
    const struct compaction *plan = planning->plan;
    const struct mu_journal_forgotten *forgotten = &row->record.forgotten;
    uint64_t at = first_of (plan, forgotten) - plan->base;
    if (forgotten->last <= plan->base || plan->jobs[at].born == row->number)
        return forgotten->last <= plan->base || plan->jobs[at].goes;
    while (at <= forgotten->last - plan->base && plan->jobs[at].goes)
        at++;
    return at > forgotten->last - plan->base && row->unix_ms < planning->before_ms;
}

static bool is_needless (const struct planning *planning, const struct row *row)
{
    if (row->record.type == MU_JOURNAL_FORGOTTEN)
        return is_needless_forgotten (planning, row);
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
    if (row->is_progress || (job && job->folds && row->number == job->last))
        return; /* goes with its job; becomes FOLDED */
    plan->gone =
        grown (plan->gone, plan->gone_count + 1, &plan->gone_capacity, sizeof *plan->gone);
    plan->gone[plan->gone_count++] = row->number;
}

/* --- the second reading ----------------------------------------------------------------------- */

static int apply_bytes (struct planning *planning, size_t offset, size_t size,
                        struct mu_error *error)
{
    struct mu_journal record;
    return mu_record_decode (&mu_journal_family, &record, planning->plan->bytes.data + offset, size,
                             0, &planning->zone, error) ||
                   coord_apply (planning->coord, &record, error)
               ? -1
               : 0;
}

/* The row that is to say that a run of jobs was forgotten. It may say so already. */
static int prove_run (struct planning *planning, const struct row *row, struct mu_error *error)
{
    struct compaction *plan = planning->plan;
    struct run *run = &plan->runs[planning->run++];
    const bool same = row->record.type == MU_JOURNAL_FORGOTTEN && row->size == run->size &&
                      !memcmp (row->body, plan->bytes.data + run->offset, run->size);
    if (same)
        run->at = 0;
    else if (row->number > plan->folded_to)
        plan->folded_to = row->number;
    return apply_bytes (planning, run->offset, run->size, error);
}

static int prove (struct planning *planning, const struct row *row, struct mu_error *error)
{
    struct compaction *plan = planning->plan;
    if (planning->run < plan->run_count && plan->runs[planning->run].at == row->number)
        return prove_run (planning, row, error);
    const bool is_jobs = row->job > plan->base && row->record.type != MU_JOURNAL_FORGOTTEN;
    const struct job_rows *job = is_jobs ? &plan->jobs[row->job - plan->base] : NULL;
    if (job && !job->goes && store_keeps (row->record.type))
        job = NULL;
    bool goes = job ? job->folds || job->goes : is_needless (planning, row);
    if (goes && !job && plan->counts.gone >= 2 * GONE_MAX) {
        goes = false;
        plan->counts.more = true;
    }
    if (!goes)
        return coord_apply (planning->coord, &row->record, error);
    let_go (plan, row, job);
    return job && job->folds && row->number == job->last
               ? apply_bytes (planning, job->offset, job->size, error)
               : 0;
}

static int plan_and_prove (struct planning *planning, struct mu_error *error)
{
    struct coord_image full = { 0 }, left = { 0 };
    int rc = -1;
    if (read_all (planning, note, error))
        return -1;
    coord_save (planning->coord, &full);
    if (!choose_jobs (planning, error) && !make_runs (planning->plan, error) &&
        !read_all (planning, prove, error)) {
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
    /* Cores were made for it, whether anything goes or not, and jobs forgotten before: the system gets their
     * memory back. */
    malloc_trim (0);
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

/* Without a history that is kept no clock matters. */
int compaction_before_ms (const char *dir, uint64_t now_ms, uint64_t history_ms,
                          uint64_t *before_ms, struct mu_error *error)
{
    uint64_t sure_ms = now_ms;
    if (history_ms && compaction_sure_ms (dir, &sure_ms, error))
        return -1;
    if (sure_ms < now_ms)
        now_ms = sure_ms;
    *before_ms = now_ms > history_ms ? now_ms - history_ms : 0;
    return 0;
}

void compaction_destroy (struct compaction **compaction_p)
{
    struct compaction *plan = *compaction_p;
    if (!plan)
        return;
    msgpack_sbuffer_destroy (&plan->bytes);
    free (plan->jobs);
    free (plan->runs);
    free (plan->gone);
    free (plan);
    *compaction_p = NULL;
}

const struct compaction_counts *compaction_counts (const struct compaction *compaction)
{
    return &compaction->counts;
}

bool compaction_forgot (const struct compaction *compaction, uint64_t job)
{
    if (job <= compaction->base)
        return job > 0;
    return job - compaction->base < compaction->job_count &&
           compaction->jobs[job - compaction->base].goes;
}

/* --- carrying it out -------------------------------------------------------------------------- */

static int run_with (sqlite3 *writer, sqlite3_stmt *statement, uint64_t number,
                     struct mu_error *error)
{
    sqlite3_bind_int64 (statement, 1, (sqlite3_int64)number);
    return database_write (writer, statement, error);
}

/* The row keeps its number and its time. */
static const char replace_sql[] =
    "UPDATE journal SET type = ?2, job = ?3, body = ?4 WHERE number = ?1";

static int replace (sqlite3 *writer, sqlite3_stmt *statement, enum mu_journal_type type,
                    uint64_t job, uint64_t number, const char *body, size_t size,
                    struct mu_error *error)
{
    sqlite3_bind_int (statement, 2, (int)type);
    sqlite3_bind_int64 (statement, 3, (sqlite3_int64)job);
    sqlite3_bind_blob (statement, 4, body, (int)size, SQLITE_STATIC);
    return run_with (writer, statement, number, error);
}

static int drop_progress (sqlite3 *writer, uint64_t job, uint64_t newest, struct mu_error *error)
{
    int64_t first = 1, last = 0;
    key_range (job, &first, &last);
    char *sql =
        sqlite3_mprintf ("DELETE FROM progress WHERE key BETWEEN %lld AND %lld AND number <= %lld;"
                         "DELETE FROM progress WHERE key < 0 AND job = %lld AND number <= %lld",
                         (long long)first, (long long)last, (long long)newest, (long long)job,
                         (long long)newest);
    int rc = sql ? database_run (writer, sql, "be written", error)
                 : mu_fail (error, MU_UNAVAILABLE, "out of memory");
    sqlite3_free (sql);
    return rc;
}

static int fold_job (sqlite3 *writer, struct views *views, const struct compaction *plan,
                     uint64_t number, struct mu_error *error)
{
    const struct job_rows *job = &plan->jobs[number - plan->base];
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare (writer, &statement, replace_sql, error);
    if (!rc)
        rc = replace (writer, statement, MU_JOURNAL_FOLDED, number, job->last,
                      plan->bytes.data + job->offset, job->size, error) ||
                     drop_progress (writer, number, job->newest, error) ||
                     views_update (views, plan->bytes.data + job->offset, job->size, error)
                 ? -1
                 : 0;
    sqlite3_finalize (statement);
    return rc;
}

static int write_runs (sqlite3 *writer, const struct compaction *plan, struct mu_error *error)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare (writer, &statement, replace_sql, error);
    for (uint64_t i = 0; !rc && i < plan->run_count; i++) {
        const struct run *run = &plan->runs[i];
        if (run->at)
            rc = replace (writer, statement, MU_JOURNAL_FORGOTTEN, run->first, run->at,
                          plan->bytes.data + run->offset, run->size, error);
    }
    sqlite3_finalize (statement);
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
    rc = rc || write_runs (writer, plan, error) ? -1 : 0;
    for (uint64_t at = 1; !rc && at < plan->job_count; at++) {
        const struct job_rows *job = &plan->jobs[at];
        if (job->folds)
            rc = fold_job (writer, views, plan, plan->base + at, error);
        else if (job->goes && job->has_progress)
            rc = drop_progress (writer, plan->base + at, job->newest, error);
    }
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
