/* SPDX-License-Identifier: Apache-2.0 */
/* query.c - answers for people: JOBS, WORKERS, SHARDS, CHECKPOINTS, and REFUSED with a reason */
#include "query.h"

#include "checkpoint.h"
#include "fault.h"
#include "job.h"
#include "pace.h"
#include "roster.h"
#include "scale.h"
#include "shards.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

void query_refuse (struct coord *coord, uint32_t peer, uint64_t request, enum mu_code code,
                   const char *text)
{
    struct mu_wire_refused *said = &core_say (coord, peer, MU_WIRE_REFUSED)->refused;
    said->request = request;
    said->code = code;
    said->text = core_blob (core_text (coord, "%s", text));
}

void query_accept (struct coord *coord, uint32_t peer, uint64_t request, const char *text)
{
    struct mu_wire_accepted *said = &core_say (coord, peer, MU_WIRE_ACCEPTED)->accepted;
    said->request = request;
    said->text = core_blob (core_text (coord, "%s", text));
}

struct job *query_job (struct coord *coord, uint32_t peer, uint64_t request, const char *job)
{
    char why[MU_ERROR_TEXT_MAX];
    uint64_t number = coord_job_find (coord, job);
    if (!number) {
        coord_job_missing (coord, job, why, sizeof why);
        query_refuse (coord, peer, request, MU_NOT_FOUND, why);
    }
    return core_job (coord, number);
}

/* --- JOBS ------------------------------------------------------------------------------------- */

static const char *reason_of (const struct coord *coord, const struct job *job)
{
    bool waits = job->durable.state == MU_JOB_PENDING || job->durable.state == MU_JOB_PREPARING;
    bool unsaved = (job->soft.end_unsaved || (job->soft.save_tries && !job->soft.save_done)) &&
                   !job_ended (job);
    if (job->durable.state == MU_JOB_PREPARING && job->soft.stands)
        return job->soft.stands;
    if ((waits || unsaved) && job->soft.why)
        return job->soft.why;
    if (*job->durable.reason)
        return job->durable.reason;
    if (job->durable.state == MU_JOB_PENDING)
        return core_in_grace (coord)
                   ? "waits until the workers of other jobs are back, some seconds at most: "
                     "the coordinator has just started"
                   : "waits to be placed";
    if (job_ended (job))
        return "";
    if (job->soft.stands)
        return job->soft.stands;
    if (job->soft.overdue.writing)
        return job_noted (job->soft.overdue.text);
    if (job->soft.why)
        return job->soft.why;
    return job->soft.shrunk ? job->soft.shrunk : "";
}

static void fill_progress (const struct coord *coord, const struct job *job,
                           struct mu_wire_job_info *info)
{
    const struct job_durable *durable = &job->durable;
    double rate = durable->state == MU_JOB_RUNNING ? shards_steps_a_second (coord, job) : 0;
    info->step = job_step (job);
    info->steps = durable->sized ? durable->steps : 0;
    if (durable->records)
        info->epoch = (double)info->step * durable->global_batch / (double)durable->records;
    info->tokens_per_second = rate * durable->global_batch * (double)durable->targets;
    info->eta_seconds = rate > 0 ? (double)(info->steps - info->step) / rate : -1;
    if (durable->state == MU_JOB_DONE)
        info->eta_seconds = 0;
}

/* As members say; what none has said in this reign, as the newest checkpoint does. */
static void fill_results (const struct job *job, struct mu_wire_job_info *info)
{
    const struct results *said = &job->soft.results, *kept = said;
    const struct commit *commit = job_newest_commit (job);
    if (commit)
        kept = &commit->results;
    info->loss = said->loss != 0 ? said->loss : kept->loss;
    if (said->evaluated_step > kept->evaluated_step)
        kept = said;
    info->loss_evaluated = kept->loss_evaluated;
    info->accuracy = kept->accuracy;
    info->evaluated_step = kept->evaluated_step;
}

static void fill_commit (const struct job *job, struct mu_wire_job_info *info)
{
    const struct commit *commit = job_newest_commit (job);
    info->checkpoint = core_blob (commit ? commit->path : "");
    if (!commit)
        return;
    SET (info->weights_hash, commit->weights_hash);
    info->weights_step = commit->step;
    info->weights_ms = commit->time_ms;
}

int coord_job_info (const struct coord *coord, uint64_t number, struct mu_wire_job_info *info)
{
    const struct job *job = core_job (coord, number);
    if (!job)
        return -1;
    const struct job_durable *durable = &job->durable;
    *info = (struct mu_wire_job_info){
        .job = durable->number,
        .generation = durable->generation.number,
        .workers = job->soft.worker_count,
        .workers_min = durable->workers_min,
        .workers_max = durable->workers_max,
        .restarts = durable->restarts,
        .priority = durable->priority,
        .submitted_ms = durable->submitted_ms,
        .started_ms = durable->started_ms,
        .ended_ms = durable->ended_ms,
        .micro_batches = durable->micro_batches,
        .parameters = durable->parameters,
        .code = durable->code,
        .hangs = durable->hangs,
        .hung_ms = durable->hung_ms,
        .skipped = durable->skip_count,
        .overdue = job->soft.overdue.writing != 0,
    };
    SET (info->hung, job_noted (durable->hung));
    SET (info->unevaluated, job_noted (job->soft.unevaluated));
    SET (info->name, durable->name);
    SET (info->state, mu_job_state_name ((int)durable->state));
    info->reason = core_blob (reason_of (coord, job));
    fill_progress (coord, job, info);
    fill_results (job, info);
    fill_commit (job, info);
    return 0;
}

#define LISTED_MAX 65536u /* the list's limit: the newest */

static void answer_jobs (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    uint32_t count = coord_jobs_known (coord), beyond = 0;
    uint64_t number = 0;
    if (*wire->jobs.job) {
        const struct job *job = query_job (coord, peer, wire->jobs.request, wire->jobs.job);
        if (!job)
            return;
        number = job->durable.number - 1;
        count = 1;
    } else if (count > LISTED_MAX) {
        beyond = count - LISTED_MAX;
        count = LISTED_MAX;
    }
    struct mu_wire_job_info *list = core_scratch (coord, count * sizeof *list);
    while (beyond--)
        number = coord_job_next (coord, number);
    for (uint32_t i = 0; i < count; i++) {
        number = coord_job_next (coord, number);
        coord_job_info (coord, number, &list[i]);
    }
    struct mu_wire_job_list *said = &core_say (coord, peer, MU_WIRE_JOB_LIST)->job_list;
    said->request = wire->jobs.request;
    said->jobs.items = list;
    said->jobs.count = count;
    said->term = coord->durable.term;
}

/* --- WORKERS ---------------------------------------------------------------------------------- */

static void fill_worker (const struct coord *coord, const struct worker *worker,
                         struct mu_wire_worker_info *info)
{
    info->worker = worker->number + 1;
    SET (info->name, worker->name);
    SET (info->host, worker->host);
    SET (info->state, mu_worker_state_name ((int)worker_state (coord, worker)));
    info->job = worker->job ? worker->job->durable.number : 0;
    info->ranked = worker->job && worker->rank != NONE;
    info->rank = info->ranked ? worker->rank : 0;
    /* Whoever has just let go has told of no phase since. */
    SET (info->phase, mu_phase_state_name (worker->job ? (int)worker->phase : MU_PHASE_NONE));
    info->phase_ms = worker->phase_ms;
    info->step = worker->step;
    SET (info->isa, worker->isa);
    SET (info->compute_class, worker->compute_class);
    info->threads = worker->threads;
    info->silent_ms = roster_silent_ms (coord, worker);
    SET (info->version, worker->version);
    info->factor = pace_factor (worker);
    SET (info->duty, mu_duty_state_name ((int)worker->duty));
    info->still_ms = worker->still_ms;
    info->stalled_ms = worker->stalled_ms;
    SET (info->process, worker->process);
    SET (info->hung, worker->hung);
    if (coord->now_ms >= worker->refused_until_ms)
        return;
    info->refused_job = worker->refused_job;
    SET (info->refused, worker->refused);
}

static void answer_workers (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    uint32_t count = coord->worker_count;
    struct mu_wire_worker_info *list = core_scratch (coord, count * sizeof *list);
    for (uint32_t i = 0; i < count; i++)
        fill_worker (coord, coord->workers[i], &list[i]);
    struct mu_wire_worker_list *said = &core_say (coord, peer, MU_WIRE_WORKER_LIST)->worker_list;
    said->request = wire->workers.request;
    said->workers.items = list;
    said->workers.count = count;
}

/* --- the rest --------------------------------------------------------------------------------- */

static void answer_shards (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    const struct job *job = query_job (coord, peer, wire->shards.request, wire->shards.job);
    if (job)
        shards_answer (coord, peer, wire->shards.request, job);
}

static void answer_checkpoints (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    const struct mu_wire_checkpoints *asked = &wire->checkpoints;
    const struct job *job = query_job (coord, peer, asked->request, asked->job);
    if (job)
        checkpoint_answer (coord, peer, asked->request, job);
}

static void answer_control (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    job_control (coord, peer, &wire->control);
}

static void answer_drain (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    roster_drain (coord, peer, &wire->drain);
}

typedef void answerer (struct coord *coord, uint32_t peer, const struct mu_wire *wire);

static answerer *const answerers[] = {
    [MU_WIRE_CONTROL] = answer_control, [MU_WIRE_DRAIN] = answer_drain,
    [MU_WIRE_JOBS] = answer_jobs,       [MU_WIRE_WORKERS] = answer_workers,
    [MU_WIRE_SHARDS] = answer_shards,   [MU_WIRE_CHECKPOINTS] = answer_checkpoints,
    [MU_WIRE_SCALE] = scale_answer,
    [MU_WIRE_FAULT] = fault_order,      [MU_WIRE_HARMED] = fault_done,
};

void query_receive (struct coord *coord, const struct coord_event *event)
{
    uint32_t type = event->wire->type;
    if (type == MU_WIRE_SUBMIT)
        job_submit (coord, event);
    else if (type < sizeof answerers / sizeof *answerers && answerers[type])
        answerers[type](coord, event->peer, event->wire);
}
