/* SPDX-License-Identifier: Apache-2.0 */
/* io_views.c - a line of SQL for each kind of record that people look up */
#include "io_views.h"

#include "states.h"

#include <sqlite3.h>

/* FORM, START and BROKEN move a job without a STATE record of their own. */
static char *moved (uint64_t job, enum mu_job_state state)
{
    return sqlite3_mprintf ("UPDATE job SET state = %Q WHERE job = %lld",
                            mu_job_state_name ((int)state), (long long)job);
}

char *views_sql (const struct mu_journal *record)
{
    switch (record->type) {
    case MU_JOURNAL_SUBMIT: {
        const struct mu_journal_submit *submit = &record->submit;
        return sqlite3_mprintf ("INSERT OR REPLACE INTO job (job, name, state, submitted_ms, spec) "
                                "VALUES (%lld, %Q, 'pending', %lld, '%.*q')",
                                (long long)submit->job, submit->name, (long long)submit->time_ms,
                                (int)submit->spec.size, (const char *)submit->spec.data);
    }
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
    case MU_JOURNAL_EXPEL:
        return sqlite3_mprintf ("DELETE FROM checkpoint WHERE job = %lld AND step > %lld",
                                (long long)record->expel.job, (long long)record->expel.back_step);
    case MU_JOURNAL_AGREED:
    case MU_JOURNAL_REIGN:
    case MU_JOURNAL_LEASE:
    case MU_JOURNAL_TRAINED:
    case MU_JOURNAL_DRAIN:
    case MU_JOURNAL_QUARANTINE:
    case MU_JOURNAL_SCALE:
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
           type == MU_JOURNAL_COMMIT || type == MU_JOURNAL_EXPEL;
}
