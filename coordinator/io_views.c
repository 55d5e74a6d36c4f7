/* SPDX-License-Identifier: Apache-2.0 */
/* io_views.c - a line of SQL for each kind of record that people look up */
#include "io_views.h"

#include "io_database.h"
#include "io_several.h"
#include "record.h"
#include "states.h"

#include <msgpack.h>
#include <stdlib.h>

struct views {
    sqlite3 *database;
    struct several insert;
    struct views_new_job job[SEVERAL_MAX]; /* they wait */
    unsigned job_count;
    msgpack_zone zone;
};

/* FORM, START and BROKEN move a job without a STATE record of their own. */
static char *moved (uint64_t job, enum mu_job_state state)
{
    return sqlite3_mprintf ("UPDATE job SET state = %Q WHERE job = %lld",
                            mu_job_state_name ((int)state), (long long)job);
}

static void add_commit (sqlite3_str *sql, uint64_t job, const struct mu_journal_folded_commit *commit)
{
    sqlite3_str_appendf (sql,
                         "; INSERT INTO checkpoint VALUES (%lld, %lld, '%.*q', %Q, %lld, %lld)",
                         (long long)job, (long long)commit->step, (int)commit->path.size,
                         (const char *)commit->path.data, commit->weights_hash,
                         (long long)commit->bytes, (long long)commit->time_ms);
}

static char *folded_sql (const struct mu_journal_folded *folded)
{
    sqlite3_str *sql = sqlite3_str_new (NULL);
    sqlite3_str_appendf (sql,
                         "UPDATE job SET state = %Q, reason = '%.*q', generation = %lld WHERE job = "
                         "%lld; DELETE FROM checkpoint WHERE job = %lld",
                         mu_job_state_name ((int)folded->state), (int)folded->reason.size,
                         folded->reason.size ? (const char *)folded->reason.data : "",
                         (long long)folded->generation, (long long)folded->job,
                         (long long)folded->job);
    for (uint32_t i = 0; i < folded->commits.count; i++)
        add_commit (sql, folded->job, &folded->commits.items[i]);
    return sqlite3_str_finish (sql);
}

static char *went_back (uint64_t job, uint64_t step)
{
    return sqlite3_mprintf ("DELETE FROM checkpoint WHERE job = %lld AND step > %lld",
                            (long long)job, (long long)step);
}

static char *sql_of (const struct mu_journal *record)
{
    switch (record->type) {
    case MU_JOURNAL_SIZED:
        return sqlite3_mprintf ("UPDATE job SET steps = %lld WHERE job = %lld",
                                (long long)record->sized.steps, (long long)record->sized.job);
    case MU_JOURNAL_FORM:
        return sqlite3_mprintf ("UPDATE job SET generation = %lld, state = %Q WHERE job = %lld",
                                (long long)record->form.generation,
                                mu_job_state_name (MU_JOB_FORMING), (long long)record->form.job);
    case MU_JOURNAL_START: return moved (record->start.job, MU_JOB_RUNNING);
    case MU_JOURNAL_BROKEN: return moved (record->broken.job, MU_JOB_BREAKING);
    case MU_JOURNAL_STATE: {
        const struct mu_journal_state *state = &record->state;
        return sqlite3_mprintf ("UPDATE job SET state = %Q, reason = '%.*q' WHERE job = %lld",
                                mu_job_state_name ((int)state->state), (int)state->reason.size,
                                state->reason.size ? (const char *)state->reason.data : "",
                                (long long)state->job);
    }
    case MU_JOURNAL_COMMIT: {
        const struct mu_journal_commit *commit = &record->commit;
        return sqlite3_mprintf ("INSERT OR REPLACE INTO checkpoint VALUES "
                                "(%lld, %lld, '%.*q', %Q, %lld, %lld)",
                                (long long)commit->job, (long long)commit->step,
                                (int)commit->path.size, (const char *)commit->path.data,
                                commit->weights_hash, (long long)commit->bytes,
                                (long long)commit->time_ms);
    }
    case MU_JOURNAL_EXPEL: return went_back (record->expel.job, record->expel.back_step);
    case MU_JOURNAL_UNSOUND: return went_back (record->unsound.job, record->unsound.back_step);
    case MU_JOURNAL_FOLDED: return folded_sql (&record->folded);
    case MU_JOURNAL_FORGOTTEN: {
        long long first = (long long)record->forgotten.job,
                  last = (long long)record->forgotten.last;
        return sqlite3_mprintf ("DELETE FROM job WHERE job BETWEEN %lld AND %lld; "
                                "DELETE FROM checkpoint WHERE job BETWEEN %lld AND %lld",
                                first, last, first, last);
    }
    case MU_JOURNAL_SUBMIT:
    case MU_JOURNAL_AGREED:
    case MU_JOURNAL_REIGN:
    case MU_JOURNAL_LEASE:
    case MU_JOURNAL_TRAINED:
    case MU_JOURNAL_DRAIN:
    case MU_JOURNAL_QUARANTINE:
    case MU_JOURNAL_SCALE:
    case MU_JOURNAL_SAVE:
    case MU_JOURNAL_DISBELIEVED:
    case MU_JOURNAL_TURNED_AWAY:
    case MU_JOURNAL_OVERDUE:
    case MU_JOURNAL_UNEVALUATED:
    case MU_JOURNAL_LOST:
    case MU_JOURNAL_CRASH:
    case MU_JOURNAL_REWIND:
    case MU_JOURNAL_HUNG:
    case MU_JOURNAL_POISON: return NULL;
    }
    return NULL;
}

bool views_follow (uint32_t type)
{
    return type == MU_JOURNAL_SUBMIT || type == MU_JOURNAL_SIZED || type == MU_JOURNAL_FORM ||
           type == MU_JOURNAL_START || type == MU_JOURNAL_BROKEN || type == MU_JOURNAL_STATE ||
           type == MU_JOURNAL_COMMIT || type == MU_JOURNAL_EXPEL || type == MU_JOURNAL_UNSOUND ||
           type == MU_JOURNAL_FOLDED || type == MU_JOURNAL_FORGOTTEN;
}

/* --- new jobs --------------------------------------------------------------------------------- */

struct views_new_job views_new_job_of (const struct mu_journal_submit *submit)
{
    struct views_new_job job = { .job = submit->job, .submitted_ms = submit->time_ms };
    mu_text_set (job.name, sizeof job.name, submit->name);
    return job;
}

static void bind_job (const void *arg, unsigned index, sqlite3_stmt *insert, int first)
{
    const struct views_new_job *job = (const struct views_new_job *)arg + index;
    sqlite3_bind_int64 (insert, first, (sqlite3_int64)job->job);
    sqlite3_bind_text (insert, first + 1, job->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64 (insert, first + 2, (sqlite3_int64)job->submitted_ms);
}

int views_flush (struct views *views, struct mu_error *error)
{
    if (several_write (&views->insert, views->job_count, bind_job, views->job, error))
        return -1;
    views->job_count = 0;
    return 0;
}

void views_drop (struct views *views) { views->job_count = 0; }

int views_add_job (struct views *views, const struct views_new_job *job, struct mu_error *error)
{
    views->job[views->job_count++] = *job;
    return views->job_count == SEVERAL_MAX ? views_flush (views, error) : 0;
}

/* --- all else --------------------------------------------------------------------------------- */

static int update (struct views *views, const struct mu_journal *record, struct mu_error *error)
{
    if (record->type == MU_JOURNAL_SUBMIT) {
        struct views_new_job job = views_new_job_of (&record->submit);
        return views_add_job (views, &job, error);
    }
    if (views_flush (views, error))
        return -1;
    char *sql = sql_of (record);
    if (!sql && !views_follow (record->type))
        return mu_fail (error, MU_BAD_INPUT, "its column type is not what it says");
    int rc = sql ? database_run (views->database, sql, "be written", error)
                 : mu_fail (error, MU_UNAVAILABLE, "out of memory");
    sqlite3_free (sql);
    return rc;
}

int views_update (struct views *views, const void *body, size_t size, struct mu_error *error)
{
    struct mu_journal record;
    msgpack_zone_clear (&views->zone);
    return mu_record_decode (&mu_journal_family, &record, body, size, 0, &views->zone, error) ||
                   update (views, &record, error)
               ? -1
               : 0;
}

int views_open (struct views **views_p, sqlite3 *database, struct mu_error *error)
{
    struct views *views = calloc (1, sizeof *views);
    if (!views || !msgpack_zone_init (&views->zone, 4096)) {
        free (views);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    *views_p = views;
    views->database = database;
    return several_open (&views->insert, database,
                         "INSERT OR REPLACE INTO job (job, name, state, submitted_ms) VALUES ",
                         "(?,?,'pending',?)", 3, error);
}

void views_close (struct views **views_p)
{
    struct views *views = *views_p;
    if (!views)
        return;
    several_close (&views->insert);
    msgpack_zone_destroy (&views->zone);
    free (views);
    *views_p = NULL;
}

/* Those that cannot be read were passed over. */
static int follow (struct views *views, sqlite3_stmt *row, struct mu_error *error)
{
    struct mu_error why;
    if (!views_follow ((uint32_t)sqlite3_column_int (row, 0)) ||
        !views_update (views, sqlite3_column_blob (row, 1), (size_t)sqlite3_column_bytes (row, 1),
                       &why) ||
        why.code == MU_BAD_INPUT || why.code == MU_PROTOCOL)
        return 0;
    return mu_fail (error, why.code, "%s", why.text);
}

int views_rebuild (sqlite3 *database, struct mu_error *error)
{
    sqlite3_stmt *row = NULL;
    struct views *views = NULL;
    int state = SQLITE_DONE;
    int rc = database_run (database, "DELETE FROM job; DELETE FROM checkpoint", "be written", error) ||
             views_open (&views, database, error) ||
             database_prepare (database, &row, "SELECT type, body FROM journal ORDER BY number", error);
    while (!rc && (state = sqlite3_step (row)) == SQLITE_ROW)
        rc = follow (views, row, error);
    if (!rc && state != SQLITE_DONE)
        rc = database_fail (database, "be read", error);
    rc = rc || views_flush (views, error) ? -1 : 0;
    sqlite3_finalize (row);
    views_close (&views);
    return rc ? -1 : 0;
}
