/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - a job's life: submit, control, stop, and each state's next move
 *
 * PENDING has no workers, PREPARING has some but no generation. job_advance () looks at one job and
 * makes the moves that its state and its workers allow; it is called for every job that an event
 * touched, and for all at each timer, and does nothing where nothing has changed. Where a job was
 * told to go (`target`: paused, cancelled, failed, done) is durable, so an accepted word is kept.
 */
#include "job.h"

#include "ahead.h"
#include "apart.h"
#include "audit.h"
#include "checkpoint.h"
#include "generation.h"
#include "halt.h"
#include "hang.h"
#include "missing.h"
#include "preempt.h"
#include "prepare.h"
#include "query.h"
#include "queue.h"
#include "review.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* --- views ------------------------------------------------------------------------------------ */

bool job_ended (const struct job *job)
{
    enum mu_job_state state = job->durable.state;
    return state == MU_JOB_DONE || state == MU_JOB_FAILED || state == MU_JOB_CANCELLED;
}

bool job_has_live_generation (const struct job *job)
{
    return job->durable.state == MU_JOB_FORMING || job->durable.state == MU_JOB_RUNNING;
}

const struct commit *job_newest_commit (const struct job *job)
{
    uint32_t count = job->durable.commit_count;
    return count ? &job->durable.commits[count - 1] : NULL;
}

uint64_t job_committed_step (const struct job *job)
{
    const struct commit *commit = job_newest_commit (job);
    return commit ? commit->step : 0;
}

uint64_t job_step (const struct job *job)
{
    uint64_t step = job->soft.step;
    if (job->durable.generation.step > step)
        step = job->durable.generation.step;
    return job_committed_step (job) > step ? job_committed_step (job) : step;
}

/* Trained to the end and the last step committed: there is nothing left to do. */
static bool is_complete (const struct job *job)
{
    return job->durable.sized && job_committed_step (job) == job->durable.steps;
}

bool job_can_spare (const struct job *job)
{
    return job->soft.worker_count > job->durable.workers_min;
}

void job_touch (struct coord *coord, struct job *job)
{
    if (job->soft.touched)
        return;
    coord->touched = core_grow (coord->touched, coord->touched_count, &coord->touched_capacity,
                                sizeof (struct job *));
    coord->touched[coord->touched_count++] = job;
    job->soft.touched = true;
}

void job_note (char **note, const char *text)
{
    if (!strcmp (*note ? *note : "", text))
        return;
    free (*note);
    *note = NULL;
    size_t size = strlen (text) + 1;
    if (size == 1)
        return;
    *note = malloc (size);
    assert (*note);
    memcpy (*note, text, size);
}

/* --- moves ------------------------------------------------------------------------------------ */

/* Of a job that has ended people are told what was last said of it; all else was for its training. */
static void keep_results (struct job *job)
{
    struct job_soft *soft = &job->soft;
    struct job_soft kept = { .touched = soft->touched,
                             .step = soft->step,
                             .results = soft->results,
                             .unevaluated = soft->unevaluated };
    if (soft->worker_count)
        return;
    soft->unevaluated = NULL;
    job_forget (job);
    job->soft = kept;
}

void job_move (struct coord *coord, struct job *job, enum mu_job_state state,
               enum mu_job_state target, enum mu_code code, const char *reason)
{
    struct mu_journal record = { .type = MU_JOURNAL_STATE,
                                 .state = { .job = job->durable.number,
                                            .state = state,
                                            .target = target,
                                            .code = code,
                                            .reason = core_blob (core_text (coord, "%s", reason)),
                                            .time_ms = coord->unix_ms } };
    core_store (coord, &record);
    if (job_ended (job))
        keep_results (job);
    job_touch (coord, job);
    queue_want (coord);
}

static void release_all (struct coord *coord, struct job *job)
{
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        worker_release (coord, job->soft.workers[i], false);
}

void job_stop (struct coord *coord, struct job *job, enum mu_job_state target, enum mu_code code,
               const char *reason)
{
    enum mu_job_state state = job->durable.state;
    bool idle = state == MU_JOB_PENDING || state == MU_JOB_PAUSED;
    if (idle && target != MU_JOB_DONE) {
        job_move (coord, job, target, MU_JOB_PENDING, code, reason);
        return;
    }
    if (state == MU_JOB_PENDING)
        job_move (coord, job, MU_JOB_PREPARING, MU_JOB_PENDING, MU_OK, "");
    job_move (coord, job, MU_JOB_STOPPING, target, code, reason);
    job->soft.stopped_here = true;
    missing_forget (job);
    generation_clear (job);
    audit_clear (job);
    ahead_forget (coord, job);
    release_all (coord, job);
    job_touch (coord, job);
}

static void finish (struct coord *coord, struct job *job)
{
    job_stop (coord, job, MU_JOB_DONE, MU_OK, "");
}

/* --- what each state waits for ---------------------------------------------------------------- */

static struct worker *find_leaver (const struct coord *coord, const struct job *job, bool member)
{
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        struct worker *worker = job->soft.workers[i];
        if (worker->order == ORDER_ASSIGN && worker_brings_steps (job, worker))
            continue; /* which are to be saved first */
        if (worker->order != ORDER_RELEASE && (worker->rank != NONE) == member &&
            review_lets_go (coord, job, worker))
            return worker;
    }
    return NULL;
}

static void release_leavers (struct coord *coord, struct job *job)
{
    struct worker *worker;
    while ((worker = find_leaver (coord, job, false)))
        worker_release (coord, worker, false);
}

static void advance_pending (struct coord *coord, struct job *job)
{
    if (is_complete (job))
        finish (coord, job);
}

/* Whoever asked for it reads what it costs. */
static const char *why_paused (struct coord *coord, const struct job *job)
{
    const struct worker *best = generation_best (coord, job, false);
    uint64_t saved = job_committed_step (job);
    if (!best || best->position.step <= saved)
        return "paused on request";
    return core_text (coord,
                      "paused on request; what came after step %llu was not saved, and is done "
                      "again%s%s",
                      (unsigned long long)saved, job->soft.why ? ": " : "",
                      job->soft.why ? job->soft.why : "");
}

/* The state of those who leave may have to be saved first. True: something is still to come. */
static bool let_go (struct coord *coord, struct job *job)
{
    if (is_complete (job)) {
        finish (coord, job);
        return true;
    }
    /* Who saves is in no generation, and it may hold the best state. */
    bool delayed = !job->soft.orders[ORDER_SAVE] && review_delays_pause (coord, job);
    if (!delayed && checkpoint_wait (coord, job))
        return true;
    if (!delayed && job->durable.target == MU_JOB_PAUSED) {
        job_stop (coord, job, MU_JOB_PAUSED, MU_OK, why_paused (coord, job));
        return true;
    }
    release_leavers (coord, job);
    return false;
}

static bool awaits_preparation (const struct job *job)
{
    for (uint32_t i = 0; i < job->soft.worker_count && job->soft.orders[ORDER_RELEASE]; i++)
        if (job->soft.workers[i]->order == ORDER_RELEASE && job->soft.workers[i]->again)
            return true;
    return job->soft.orders[ORDER_ASSIGN] > 0;
}

static void advance_preparing (struct coord *coord, struct job *job)
{
    if (hang_mend (coord, job))
        return;
    if (let_go (coord, job))
        return;
    if (!job->soft.worker_count) {
        if (!core_in_grace (coord))
            job_move (coord, job, MU_JOB_PENDING, MU_JOB_PENDING, MU_OK, job->durable.reason);
        return;
    }
    if (!awaits_preparation (job))
        generation_try_form (coord, job);
}

static const char *why_break (struct coord *coord, struct job *job)
{
    const struct worker *leaver = find_leaver (coord, job, true);
    /* Once a rank has finished the others are about to: what comes is compared, and the job is done. */
    if (job->durable.target == MU_JOB_PAUSED && !job->soft.finished &&
        !review_delays_pause (coord, job))
        return "paused on request";
    if (leaver && leaver->yields_to)
        return preempt_why (coord, job, leaver->yields_to);
    if (leaver)
        return core_text (coord, "worker %s leaves", leaver->name);
    return NULL;
}

static void advance_forming (struct coord *coord, struct job *job)
{
    if (hang_mend (coord, job))
        return;
    release_leavers (coord, job);
    const char *why = why_break (coord, job);
    if (why)
        generation_break (coord, job, true, why);
}

/* Joiners wait a little for each other: each re-forming costs everybody a moment. */
static const char *why_join (struct coord *coord, struct job *job)
{
    struct job_soft *soft = &job->soft;
    const struct worker *first = NULL;
    uint32_t joiners = 0;
    if (soft->worker_count == job->durable.generation.size || soft->finished)
        return NULL;
    for (uint32_t i = 0; i < soft->worker_count; i++)
        if (soft->workers[i]->rank == NONE && worker_is_prepared (soft->workers[i])) {
            first = soft->workers[i];
            joiners++;
        }
    if (!joiners)
        return NULL;
    if (!soft->join_since_ms)
        soft->join_since_ms = coord->now_ms;
    if (awaits_preparation (job) && coord->now_ms < soft->join_since_ms + COORD_JOIN_MS) {
        core_wake (coord, soft->join_since_ms + COORD_JOIN_MS);
        return NULL;
    }
    if (joiners == 1)
        return core_text (coord, "worker %s joins", first->name);
    return core_text (coord, "%u workers join", joiners);
}

/* All ranks have done the last step, and only its checkpoint is missing. */
static const char *why_unsaved (struct coord *coord, struct job *job)
{
    uint64_t limit_ms = job->soft.finished_ms + COORD_SAVE_LIMIT_MS;
    if (job->soft.finished < job->durable.generation.size)
        return NULL;
    if (coord->now_ms >= limit_ms && !job->soft.end_unsaved) {
        job->soft.end_unsaved = true;
        job_note (&job->soft.why, "the last checkpoint was not written in time");
    }
    if (coord->now_ms < limit_ms)
        core_wake (coord, limit_ms);
    return job->soft.end_unsaved ? "the last checkpoint could not be written" : NULL;
}

static void advance_running (struct coord *coord, struct job *job)
{
    /* A rank says that it is finished after it has said what it compared, to this reign too. */
    if (is_complete (job) && job->soft.finished == job->durable.generation.size) {
        finish (coord, job);
        return;
    }
    if (hang_mend (coord, job))
        return;
    if (hang_is_stuck (coord, job)) {
        generation_break (coord, job, false, "the all-reduce hangs on all workers: nothing moves");
        return;
    }
    release_leavers (coord, job);
    const char *why = why_break (coord, job);
    bool waits = why && review_awaits (coord, job);
    if (!why) {
        review_forget (job);
        why = why_join (coord, job);
    }
    if (!why) {
        halt_forget (coord, job);
        ahead_forget (coord, job);
    } else if (job->durable.target != MU_JOB_PAUSED) {
        waits = ahead_awaits (coord, job) || waits;
    }
    if (waits && !job->soft.halt.since_ms) /* once somebody may stand, for nothing else */
        return;
    if (why && halt_awaits (coord, job))
        return;
    if (!why)
        why = why_unsaved (coord, job);
    if (why)
        generation_break (coord, job, true, why);
}

/* All have left the generation. False: they had before. */
static bool leave_ranks (struct job *job)
{
    bool any = false;
    for (uint32_t rank = 0; rank < job->durable.generation.size && job->soft.ranks; rank++) {
        if (!job->soft.ranks[rank])
            continue;
        job->soft.ranks[rank]->rank = NONE;
        job->soft.ranks[rank] = NULL;
        any = true;
    }
    return any;
}

static void advance_breaking (struct coord *coord, struct job *job)
{
    if (hang_mend (coord, job))
        return;
    if (job->soft.orders[ORDER_ABORT] || (!job->soft.worker_count && core_in_grace (coord)))
        return;
    if (apart_mend (coord, job)) {
        job_touch (coord, job);
        return;
    }
    if (audit_differs_in_part (coord, job))
        return;
    if (leave_ranks (job) && job->durable.generation.started)
        review_left (coord, job);
    if (let_go (coord, job) || generation_try_form (coord, job))
        return;
    enum mu_job_state next = job->soft.worker_count ? MU_JOB_PREPARING : MU_JOB_PENDING;
    job_move (coord, job, next, job->durable.target, MU_OK, job->durable.reason);
    job_touch (coord, job);
}

static void advance_stopping (struct coord *coord, struct job *job)
{
    if (job->soft.worker_count || (core_in_grace (coord) && !job->soft.stopped_here))
        return;
    job_move (coord, job, job->durable.target, MU_JOB_PENDING, (enum mu_code)job->durable.code,
              job->durable.reason);
}

static void (*const advances[MU_JOB_STATES]) (struct coord *coord, struct job *job) = {
    [MU_JOB_PENDING] = advance_pending,   [MU_JOB_PREPARING] = advance_preparing,
    [MU_JOB_FORMING] = advance_forming,   [MU_JOB_RUNNING] = advance_running,
    [MU_JOB_BREAKING] = advance_breaking, [MU_JOB_STOPPING] = advance_stopping,
};

void job_advance (struct coord *coord, struct job *job)
{
    preempt_keep (coord, job);
    if (advances[job->durable.state])
        advances[job->durable.state](coord, job);
}

/* --- SUBMIT ----------------------------------------------------------------------------------- */

static uint64_t find_key (const struct coord *coord, const char *key)
{
    uint32_t cursor = 0, number;
    uint64_t hash = index_hash_text (key);
    while (*key && (number = index_next (&coord->durable.keys, hash, &cursor)) != NONE)
        if (!strcmp (core_job (coord, number)->durable.key, key))
            return number;
    return 0;
}

void job_submit (struct coord *coord, const struct coord_event *event)
{
    const struct mu_wire_submit *submit = &event->wire->submit;
    uint64_t number = find_key (coord, submit->key);
    bool repeated = number != 0;
    if (!repeated && !event->submit) {
        query_refuse (coord, event->peer, submit->request, MU_BAD_INPUT,
                      "The job file cannot be used.");
        return;
    }
    if (!repeated) {
        number = (uint64_t)coord->durable.job_count + 1;
        struct mu_journal record = { .type = MU_JOURNAL_SUBMIT, .submit = *event->submit };
        record.submit.job = number;
        record.submit.time_ms = coord->unix_ms;
        SET (record.submit.key, submit->key);
        core_store (coord, &record);
        queue_want (coord);
    }
    struct mu_wire_submitted *said = &core_say (coord, event->peer, MU_WIRE_SUBMITTED)->submitted;
    said->request = submit->request;
    said->job = number;
    said->repeated = repeated;
}

void job_submit_lost (struct coord *coord, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = (uint64_t)coord->durable.job_count + 1;
        struct mu_journal record = { .type = MU_JOURNAL_SUBMIT,
                                     .submit = core_lost_submit (number, coord->unix_ms) };
        core_store (coord, &record);
        job_stop (coord, core_job (coord, number), MU_JOB_FAILED, MU_BAD_INPUT, CORE_LOST);
    }
}

/* --- CONTROL ---------------------------------------------------------------------------------- */

/* Each verb returns what happened, for people, or NULL if it cannot be done in this state. */
typedef const char *verb (struct coord *coord, struct job *job);

static bool is_final (const struct job *job) /* stopping towards an end that stays */
{
    return job->durable.state == MU_JOB_STOPPING && job->durable.target != MU_JOB_PAUSED &&
           job->durable.target != MU_JOB_PENDING;
}

static const char *cancel (struct coord *coord, struct job *job)
{
    if (job->durable.state == MU_JOB_CANCELLED || job->durable.target == MU_JOB_CANCELLED)
        return "It was cancelled before.";
    if (job_ended (job) || is_final (job))
        return NULL;
    job_stop (coord, job, MU_JOB_CANCELLED, MU_CANCELLED, "cancelled on request");
    return "It is cancelled.";
}

static const char *pause_job (struct coord *coord, struct job *job)
{
    if (job->durable.state == MU_JOB_PAUSED || job->durable.target == MU_JOB_PAUSED)
        return "It was paused before.";
    if (job_ended (job) || is_final (job))
        return NULL;
    if (job->durable.state == MU_JOB_PENDING)
        job_stop (coord, job, MU_JOB_PAUSED, MU_OK, "paused on request");
    else
        job_move (coord, job, job->durable.state, MU_JOB_PAUSED, MU_OK, "paused on request");
    job->soft.save_done = false;
    job->soft.save_tries = 0;
    return "It is paused as soon as its state is saved.";
}

static const char *resume (struct coord *coord, struct job *job)
{
    if (job_ended (job) || is_final (job))
        return NULL;
    if (job->durable.state == MU_JOB_PAUSED)
        job_move (coord, job, MU_JOB_PENDING, MU_JOB_PENDING, MU_OK, "");
    else if (job->durable.target == MU_JOB_PAUSED)
        job_move (coord, job, job->durable.state, MU_JOB_PENDING, MU_OK, "");
    else
        return "It was not paused.";
    return "It goes on.";
}

static const struct {
    const char *name;
    verb *run;
} verbs[] = { { "cancel", cancel }, { "pause", pause_job }, { "resume", resume } };

void job_control (struct coord *coord, uint32_t peer, const struct mu_wire_control *control)
{
    struct job *job = query_job (coord, peer, control->request, control->job);
    if (!job)
        return;
    if (control->verb < 1 || control->verb > sizeof verbs / sizeof *verbs) {
        query_refuse (coord, peer, control->request, MU_USAGE, "There is no such verb.");
        return;
    }
    if (verbs[control->verb - 1].run == resume && control->forgo) {
        missing_forgo (coord, peer, control->request, job);
        return;
    }
    const char *done = verbs[control->verb - 1].run (coord, job);
    if (done)
        query_accept (coord, peer, control->request, done);
    else
        query_refuse (coord, peer, control->request, MU_CONFLICT,
                      core_text (coord, "Job %llu is %s: there is nothing to %s.",
                                 (unsigned long long)job->durable.number,
                                 mu_job_state_name ((int)job->durable.state),
                                 verbs[control->verb - 1].name));
}
