/* SPDX-License-Identifier: Apache-2.0 */
/* orders.c - what a worker was told and has not yet been seen to do
 *
 * A worker has at most one order at a time; a later one takes the place of an earlier one. An order
 * is said again every COORD_REPEAT_MS until it is obeyed, and given up at its limit. The table says
 * for each what it is, whether the worker's beats show that it was heard, and what happens then.
 *
 * Orders are numbered as they are given, so that a worker tells one that the network held back from the
 * newest, and we its answer to it (docs/decisions/0036). */
#include "orders.h"

#include "audit.h"
#include "generation.h"
#include "job.h"
#include "prepare.h"
#include "roster.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* --- saying ----------------------------------------------------------------------------------- */

/* Others are members of a generation: what they hold is newer than what this one could make, and
 * comes to it when it joins them. Should they all be lost before, it begins anew. */
static bool is_joiner (const struct worker *worker)
{
    const struct job *job = worker->job;
    bool others = false;
    for (uint32_t i = 0; i < job->soft.worker_count && !others; i++)
        others = job->soft.workers[i] != worker && job->soft.workers[i]->rank != NONE;
    return others;
}

static void say_assign (struct coord *coord, struct worker *worker)
{
    const struct job *job = worker->job;
    const struct commit *commit = job_newest_commit (job);
    struct mu_wire_assign *said = &core_tell (coord, worker, MU_WIRE_ASSIGN)->assign;
    said->job = job->durable.number;
    SET (said->name, job->durable.name);
    said->spec = job->durable.spec;
    if (commit) /* a copy: it may be given up in the same turn */
        said->resume_path = core_copy (coord, commit->path);
    if (commit) {
        SET (said->resume_hash, commit->weights_hash);
        said->resume_step = commit->step;
    }
    said->distrusted = job->durable.distrusted;
    said->anew = said->distrusted && said->distrusted == job->durable.generation.number;
    said->replaces = job->durable.unsound_step > 0;
    said->joins = !said->anew && is_joiner (worker);
    said->order = worker->order_number;
}

static void say_form (struct coord *coord, struct worker *worker)
{
    generation_say_form (coord, worker);
}

static void say_abort (struct coord *coord, struct worker *worker)
{
    struct mu_wire_abort *said = &core_tell (coord, worker, MU_WIRE_ABORT)->abort;
    said->job = worker->job->durable.number;
    said->generation = worker->job->durable.generation.number;
    said->order = worker->order_number;
}

static void say_save (struct coord *coord, struct worker *worker)
{
    struct mu_wire_save *said = &core_tell (coord, worker, MU_WIRE_SAVE)->save;
    said->job = worker->job->durable.number;
    said->generation = worker->job->durable.generation.number;
    said->order = worker->order_number;
}

static void say_release (struct coord *coord, struct worker *worker)
{
    const struct job *job = core_job (coord, worker->letting_go);
    struct mu_wire_release *said = &core_tell (coord, worker, MU_WIRE_RELEASE)->release;
    said->job = worker->letting_go;
    said->order = worker->order_number;
    const char *reason = "its place is needed elsewhere";
    if (!job || job_ended (job) || job->durable.state == MU_JOB_STOPPING)
        reason = "the job ends here";
    else if (audit_is_outcast (&job->durable, worker->name, worker->incarnation))
        reason = "it was wrong";
    else if (worker->again && audit_is_tainted (job, worker))
        reason = "a worker was wrong: its state is given up";
    else if (worker->again)
        reason = "its trainer is to begin anew";
    else if (worker->leaving)
        reason = "the worker was told to stop";
    else if (worker->refused_job == worker->letting_go)
        reason = "it does not get ready here";
    SET (said->reason, reason);
}

/* --- heard, though not yet done --------------------------------------------------------------- */

static bool is_opening (const struct worker *worker)
{
    return worker->holds == worker->job->durable.number && worker->phase == MU_PHASE_OPENING;
}

static bool is_forming (const struct worker *worker)
{
    return worker->generation == worker->job->durable.generation.number;
}

static bool is_snapshotting (const struct worker *worker)
{
    return worker->phase == MU_PHASE_SNAPSHOT;
}

/* --- at the limit ----------------------------------------------------------------------------- */

static void give_up_assign (struct coord *coord, struct worker *worker)
{
    struct job *job = worker->job;
    worker_refuse (
        coord, worker, COORD_COOL_OFF_MS,
        core_text (coord, "it did not open the job within %u s", COORD_PREPARE_LIMIT_MS / 1000));
    worker_release (coord, worker, false);
    job_touch (coord, job);
}

static void give_up_abort (struct coord *coord, struct worker *worker)
{
    roster_lose (coord, worker, false, "did not end its generation");
}

static void give_up_save (struct coord *coord, struct worker *worker)
{
    struct job *job = worker->job;
    order_clear (worker);
    job_note (&job->soft.why, core_text (coord, "worker %s did not save its state within %u s",
                                         worker->name, COORD_SAVE_LIMIT_MS / 1000));
    job->soft.save_done = true;
    job_touch (coord, job);
}

static void give_up_release (struct coord *coord, struct worker *worker)
{
    roster_lose (coord, worker, false, "did not let its job go");
}

/* --- since when it is waited for -------------------------------------------------------------- */

/* Data that is read is told about as it goes. */
static uint64_t since_progress (const struct coord *coord, const struct worker *worker)
{
    if (!is_opening (worker) || worker->duty != MU_DUTY_TRAINER ||
        worker->stalled_ms > coord->now_ms - worker->order_since_ms)
        return worker->order_since_ms;
    return coord->now_ms - worker->stalled_ms;
}

/* A trainer that finishes a micro-batch is hang.c's. */
static uint64_t since_finished (const struct coord *coord, const struct worker *worker)
{
    return worker->duty == MU_DUTY_TRAINER ? coord->now_ms : worker->order_since_ms;
}

static uint64_t since_order (const struct coord *coord, const struct worker *worker)
{
    (void)coord;
    return worker->order_since_ms;
}

static const struct {
    void (*say) (struct coord *coord, struct worker *worker);
    bool (*was_heard) (const struct worker *worker);
    uint64_t (*since) (const struct coord *coord, const struct worker *worker);
    uint64_t limit_ms; /* 0: the job minds it */
    void (*give_up) (struct coord *coord, struct worker *worker);
} table[ORDERS] = {
    [ORDER_ASSIGN] = { say_assign, is_opening, since_progress, COORD_PREPARE_LIMIT_MS,
                       give_up_assign },
    [ORDER_FORM] = { say_form, is_forming, since_order, 0, NULL },
    [ORDER_ABORT] = { say_abort, NULL, since_finished, COORD_ABORT_LIMIT_MS, give_up_abort },
    [ORDER_SAVE] = { say_save, is_snapshotting, since_order, COORD_SAVE_LIMIT_MS, give_up_save },
    [ORDER_RELEASE] = { say_release, NULL, since_order, COORD_RELEASE_LIMIT_MS, give_up_release },
};

/* --- the life of an order --------------------------------------------------------------------- */

void order_clear (struct worker *worker)
{
    if (worker->job && worker->order != ORDER_NONE)
        worker->job->soft.orders[worker->order]--;
    worker->order = ORDER_NONE;
    worker->letting_go = 0;
}

void order_say (struct coord *coord, struct worker *worker)
{
    worker->order_said_ms = coord->now_ms;
    table[worker->order].say (coord, worker);
    core_wake (coord, coord->now_ms + COORD_REPEAT_MS);
}

void order_give (struct coord *coord, struct worker *worker, enum order order)
{
    order_clear (worker);
    worker->order = order;
    worker->order_number = ++coord->orders;
    worker->order_since_ms = coord->now_ms;
    if (worker->job)
        worker->job->soft.orders[order]++;
    if (order != ORDER_RELEASE)
        order_say (coord, worker);
}

void order_mind (struct coord *coord, struct worker *worker)
{
    enum order order = worker->order;
    uint64_t limit_ms = table[order].limit_ms;
    worker->order_since_ms = table[order].since (coord, worker);
    if (limit_ms && coord->now_ms >= worker->order_since_ms + limit_ms) {
        table[order].give_up (coord, worker);
        return;
    }
    if (limit_ms)
        core_wake (coord, worker->order_since_ms + limit_ms);
    if (coord->now_ms < worker->order_said_ms + COORD_REPEAT_MS) {
        core_wake (coord, worker->order_said_ms + COORD_REPEAT_MS);
        return;
    }
    if (table[order].was_heard && table[order].was_heard (worker)) {
        core_wake (coord, coord->now_ms + COORD_REPEAT_MS);
        return;
    }
    order_say (coord, worker);
}
