/* SPDX-License-Identifier: Apache-2.0 */
/* review.c - before members leave, what they did is compared
 *
 * Audits take turns, and a worker that is told to go to another job, is drained or is paused might be
 * gone before its turn. So a break that lets members go waits a little:
 *
 *     advance_running () wants to let somebody go
 *       -> REVIEW names a step that is soon to come: in it one micro-batch of every third rank is
 *          computed by that rank and the two after it, and after it all states are hashed
 *       -> AGREED of all who leave: now the generation is broken. Or somebody is found wrong (audit.c)
 *
 * A job's last step is such a step by itself. Training goes on meanwhile, so a review delays nobody but
 * whoever waits for the workers. All of it is soft: a word that is lost, or comes when the step has gone
 * by, leads to another step; after the time of some steps (COORD_REVIEW_MS at least) the break comes without,
 * and those who left are remembered (absent.c).
 *
 * A break that nobody planned waits for nothing. Who is to leave then, or is told to before the next
 * generation trains, is a member of that one, too, and is compared there, or in the next, if that breaks
 * as well: COORD_KEPT_MAX times, and for COORD_REVIEW_MS after each break at most. The same if the job is
 * to be paused: all leave then. Who was compared before a break is soft, so after a restart in the middle
 * of one nobody was. */
#include "review.h"

#include "audit.h"
#include "roster.h"
#include "shards.h"
#include "trust.h"

bool review_leaves (const struct coord *coord, const struct job *job, uint32_t rank)
{
    const struct worker *worker = job->soft.ranks[rank];
    return worker && (job->durable.target == MU_JOB_PAUSED || worker_leaves (coord, worker));
}

/* While nobody knows how long a step takes: as long as may be. */
uint64_t review_limit_ms (const struct job *job)
{
    uint64_t step_ms = shards_step_ms (job);
    if (!step_ms || step_ms > COORD_REVIEW_MAX_MS / COORD_REVIEW_STEPS)
        return COORD_REVIEW_MAX_MS;
    uint64_t steps_ms = COORD_REVIEW_STEPS * step_ms;
    return steps_ms > COORD_REVIEW_MS ? steps_ms : COORD_REVIEW_MS;
}

static bool lacks_somebody (const struct coord *coord, const struct job *job)
{
    const struct generation *generation = &job->durable.generation;
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        const struct member *member = &generation->members[rank];
        if (review_leaves (coord, job, rank) &&
            audit_known_step (&job->durable, member->state_step, member->gradient_step) <
                job->soft.review.since_step)
            return true;
    }
    return false;
}

/* No rank has begun it, or a later one, `lead_ms` after its last beat: what we know of their steps is as old
 * as these, but for what was just found equal. */
static uint64_t coming_step (const struct coord *coord, const struct job *job, uint64_t lead_ms)
{
    const struct generation *generation = &job->durable.generation;
    uint64_t step = job->soft.step, last = job->durable.steps - 1;
    for (uint32_t rank = 0; rank < generation->size; rank++)
        step = higher (step, generation->members[rank].state_step);
    step += 1 + (uint64_t)(shards_steps_a_second (coord, job) * (double)lead_ms / 1000.0);
    return lower (step, last);
}

static void tell_all (struct coord *coord, const struct job *job, uint64_t step)
{
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++) {
        if (!job->soft.ranks[rank])
            continue;
        struct mu_wire_review *said =
            &core_tell (coord, job->soft.ranks[rank], MU_WIRE_REVIEW)->review;
        said->job = job->durable.number;
        said->generation = job->durable.generation.number;
        said->step = step;
    }
}

/* Of a step that is over: they do not wait for another. */
void review_all (struct coord *coord, const struct job *job)
{
    tell_all (coord, job, job->soft.step);
}

static void say_review (struct coord *coord, struct job *job)
{
    struct review *review = &job->soft.review;
    /* late enough for the word to reach all ranks before they begin it */
    review->step = coming_step (coord, job, coord->options.beat_ms + COORD_REVIEW_LEAD_MS);
    review->said_ms = coord->now_ms;
    tell_all (coord, job, review->step);
}

/* A comparison of before says nothing of what was done since, however little that was. */
static void begin (const struct coord *coord, struct job *job)
{
    job->soft.review.since_ms = coord->now_ms;
    job->soft.review.since_step = coming_step (coord, job, coord->options.beat_ms);
}

bool review_is_gone_by (const struct job *job)
{
    const struct review *review = &job->soft.review;
    return review->said_ms && job->soft.step > review->step + 1;
}

bool review_awaits (struct coord *coord, struct job *job)
{
    struct review *review = &job->soft.review;
    if (job->durable.generation.size < 2)
        return false;
    if (!review->since_ms)
        begin (coord, job);
    uint64_t end_ms = review->since_ms + review_limit_ms (job);
    if (coord->now_ms >= end_ms || !lacks_somebody (coord, job))
        return false;
    if (!review->said_ms || review_is_gone_by (job))
        say_review (coord, job);
    core_wake (coord, end_ms);
    core_wake (coord, coord->now_ms + COORD_REPEAT_MS);
    return true;
}

/* A quarantined one has failed often, and may have made the breaks itself. */
static uint32_t may_be_kept (const struct coord *coord, const struct worker *worker, bool planned)
{
    return planned || trust_lacks (coord, worker) ? 1 : COORD_KEPT_MAX;
}

/* It leaves, and was waited for until it was compared or the time was over; or was kept often enough, however that
 * generation ended: one that had nobody to be compared with would be kept for ever. */
static bool had_its_turn (const struct coord *coord, const struct job *job,
                          const struct worker *worker, uint64_t known, bool planned)
{
    const struct review *review = &job->soft.review;
    if (!planned || worker->times_kept)
        return worker->times_kept >= may_be_kept (coord, worker, planned);
    return review->since_ms && (known >= review->since_step ||
                                coord->now_ms >= review->since_ms + review_limit_ms (job));
}

static uint64_t known_step (const struct job *job, uint32_t rank)
{
    const struct member *member = &job->durable.generation.members[rank];
    return audit_known_step (&job->durable, member->state_step, member->gradient_step);
}

void review_end (struct coord *coord, struct job *job, bool planned)
{
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++) {
        struct worker *worker = job->soft.ranks[rank];
        uint64_t known = known_step (job, rank);
        if (worker)
            worker->unseen =
                known < job->durable.steps && !had_its_turn (coord, job, worker, known, planned);
    }
}

/* Of one that has trained we do not know how far it came. */
void review_restarted (struct coord *coord, struct job *job)
{
    const struct generation *generation = &job->durable.generation;
    bool trained = job->durable.state == MU_JOB_BREAKING && generation->started;
    for (uint32_t rank = 0; rank < generation->size; rank++)
        if (job->soft.ranks[rank])
            job->soft.ranks[rank]->unseen = trained || known_step (job, rank) < generation->step;
    review_left (coord, job);
}

void review_left (struct coord *coord, struct job *job)
{
    job->soft.ended_ms = coord->now_ms;
    core_wake (coord, coord->now_ms + COORD_REVIEW_MS);
}

void review_started (const struct coord *coord, const struct job *job)
{
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++) {
        struct worker *worker = job->soft.ranks[rank];
        worker->unseen = false;
        if (!review_leaves (coord, job, rank))
            worker->times_kept = 0;
        else if (worker->times_kept < COORD_KEPT_MAX)
            worker->times_kept++;
    }
}

/* Not whose state is given up, who is left out of this job for a while, who may be dead, or who would
 * have nobody to be compared with; nor where the job ends. */
static bool is_kept (const struct coord *coord, const struct job *job, const struct worker *worker)
{
    const struct job_durable *durable = &job->durable;
    bool refused =
        worker->refused_job == durable->number && coord->now_ms < worker->refused_until_ms;
    bool goes_on = durable->target == MU_JOB_PENDING || durable->target == MU_JOB_PAUSED;
    return worker->unseen && durable->state != MU_JOB_RUNNING && goes_on &&
           job->soft.worker_count > 1 && !worker->gone && !refused &&
           !audit_is_tainted (job, worker) &&
           (job->soft.orders[ORDER_ABORT] || coord->now_ms < job->soft.ended_ms + COORD_REVIEW_MS);
}

bool review_delays_pause (const struct coord *coord, const struct job *job)
{
    if (job->durable.target != MU_JOB_PAUSED || job->soft.worker_count < job->durable.workers_min)
        return false;
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        if (is_kept (coord, job, job->soft.workers[i]))
            return true;
    return false;
}

bool review_lets_go (const struct coord *coord, const struct job *job, const struct worker *worker)
{
    return worker_leaves (coord, worker) && !is_kept (coord, job, worker);
}

void review_forget (struct job *job) { job->soft.review = (struct review){ 0 }; }
