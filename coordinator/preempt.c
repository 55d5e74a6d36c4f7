/* SPDX-License-Identifier: Apache-2.0 */
/* preempt.c - who gives workers to whom
 *
 *     for its minimum   a waiting job gets what jobs of its own or a lower priority have beyond their
 *                       minimum: all that it lacks, or nothing is taken at all
 *     to grow           a training job gets what jobs of a lower priority have beyond theirs
 *     from the idle     a job that lacks its minimum trains nothing: what it holds goes to those before
 *                       it in line when nobody trains at all or it has waited for COORD_COOL_OFF_MS,
 *                       and to whoever can use it when the roster has been too small for so long
 *     from the vain     a job whose generations end without a step, again and again, gives all that it
 *                       holds to whoever lacks a minimum; one that waits for a checkpoint that nobody can
 *                       read, to those before it in line
 *
 * Nobody gives to a lower priority, and nobody who trains is brought below its minimum: a job is
 * shrunk, never suspended. The last in line gives first, and of its workers those that do not train
 * yet. Leaving is that of a drained worker: at a step boundary, as planned; the answer does not depend
 * on it. If others are lost meanwhile, or the taker finds others, those that have not left yet are kept
 * (preempt_keep).
 *
 * It does not go back and forth: who takes has a higher priority than who gives, or lacks a minimum
 * that the giver has; the giver takes nothing back before the taker lets go of it.
 * docs/decisions/0022. */
#include "preempt.h"

#include "job.h"
#include "queue.h"
#include "queue_line.h"
#include "roster.h"
#include "trust.h"

#define NAMED_MAX 3u

/* --- who has something to give ---------------------------------------------------------------- */

/* Workers that it has and keeps, as far as is known: one whose connection has ended may be dead. */
static uint32_t count_sure (const struct coord *coord, const struct job *job)
{
    uint32_t count = queue_have (coord, job);
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        const struct worker *worker = job->soft.workers[i];
        count -= worker->gone && !worker_leaves (coord, worker) &&
                 !(worker->order == ORDER_RELEASE && !worker->again);
    }
    return count;
}

static uint32_t beyond_minimum (const struct coord *coord, const struct job *job)
{
    uint32_t has = count_sure (coord, job);
    return has > job->durable.workers_min ? has - job->durable.workers_min : 0;
}

static bool lasts (struct coord *coord, uint64_t since_ms)
{
    if (!since_ms)
        return false;
    if (coord->now_ms < since_ms + COORD_COOL_OFF_MS)
        queue_look_again (coord, since_ms + COORD_COOL_OFF_MS);
    return coord->now_ms >= since_ms + COORD_COOL_OFF_MS;
}

/* It holds workers and waits for more: does it let go of them for this one? */
static bool gives_up (struct coord *coord, const struct line *line, const struct job *job,
                      const struct job *taker, bool grows)
{
    if (lasts (coord, job->soft.hopeless_since_ms))
        return true;
    return !grows && queue_goes_before (taker, job) &&
           (line->stuck || lasts (coord, job->soft.lacking_since_ms));
}

/* What it has does nothing for it now, and may not for long: it tries in vain, or waits for a checkpoint. */
static bool gives_all (const struct job *job)
{
    return queue_is_vain (job) || job->soft.missing.seen_ms;
}

/* What `job` would give to `taker`, whichever workers that may be. */
static uint32_t spare_for (struct coord *coord, const struct line *line, const struct job *job,
                           const struct job *taker, bool grows)
{
    int64_t mine = job->durable.priority, its = taker->durable.priority;
    if (job == taker)
        return 0;
    if (gives_all (job))
        return !grows && queue_goes_before (taker, job) ? queue_have (coord, job) : 0;
    if (queue_lacks_minimum (coord, job))
        return gives_up (coord, line, job, taker, grows) ? queue_have (coord, job) : 0;
    if (job->durable.state != MU_JOB_RUNNING || job->durable.target != MU_JOB_PENDING)
        return 0;
    if (grows ? its <= mine || job->soft.finished : its < mine)
        return 0;
    return beyond_minimum (coord, job);
}

static bool trains (const struct job *job)
{
    enum mu_job_state state = job->durable.state;
    return job_has_live_generation (job) || state == MU_JOB_BREAKING || state == MU_JOB_STOPPING;
}

/* Will it be free by itself? A job that is to be paused lets all of its workers go. */
static bool is_coming (const struct coord *coord, const struct worker *worker)
{
    if (worker->lost || worker->leaving || names_has (&coord->durable.drained, worker->name))
        return false;
    return worker->yields || (worker->order == ORDER_RELEASE && !worker->again) ||
           (worker->job && worker->job->durable.target == MU_JOB_PAUSED);
}

static void look_for_givers (struct coord *coord, struct line *line)
{
    line->stuck = true;
    line->givers = core_scratch (coord, line->job_count * sizeof (struct giver));
    for (uint32_t i = 0; i < line->job_count; i++) {
        struct job *job = line->jobs[i];
        line->stuck = line->stuck && !trains (job);
        if (!job->soft.worker_count)
            continue;
        line->givers[line->giver_count++].job = job;
        if (queue_lacks_minimum (coord, job) || gives_all (job))
            line->spare += queue_have (coord, job);
        else if (job->durable.state == MU_JOB_RUNNING)
            line->spare += beyond_minimum (coord, job);
    }
}

void preempt_look (struct coord *coord, struct line *line)
{
    look_for_givers (coord, line);
    line->coming = core_scratch (coord, coord->worker_count * sizeof (struct worker *));
    for (uint32_t i = 0; i < coord->worker_count; i++)
        if (is_coming (coord, coord->workers[i]))
            line->coming[line->coming_count++] = coord->workers[i];
}

/* A quarantined worker serves a minimum alone. */
static bool suits (const struct coord *coord, const struct job *taker, const char *class,
                   const struct worker *worker, bool grows)
{
    return queue_fits (coord, taker, class, worker) && !(grows && trust_lacks (coord, worker));
}

static uint32_t claim (const struct coord *coord, struct line *line, const struct job *job,
                       const char *class, uint32_t lack, bool grows, uint64_t promised)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < line->coming_count && count < lack; i++) {
        const struct worker *worker = line->coming[i];
        if (!worker || worker->job == job || (promised && worker->yields_to != promised) ||
            !suits (coord, job, class, worker, grows))
            continue;
        line->coming[i] = NULL;
        count++;
    }
    return count;
}

uint32_t preempt_claim (const struct coord *coord, struct line *line, const struct job *job,
                        const char *class, uint32_t lack, bool grows)
{
    uint32_t count = claim (coord, line, job, class, lack, grows, job->durable.number);
    return count + claim (coord, line, job, class, lack - count, grows, 0);
}

/* --- taking ----------------------------------------------------------------------------------- */

static bool can_leave (const struct coord *coord, const struct worker *worker)
{
    return !worker_leaves (coord, worker) && worker->order != ORDER_RELEASE && !worker->gone;
}

static uint32_t count_suitable (const struct coord *coord, const struct job *job,
                                const struct job *taker, const char *class, bool grows)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        count += can_leave (coord, job->soft.workers[i]) &&
                 suits (coord, taker, class, job->soft.workers[i], grows);
    return count;
}

/* Fill in what each would give. The sum. */
static uint32_t ask (struct coord *coord, struct line *line, const struct job *taker,
                     const char *class, bool grows)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < line->giver_count; i++) {
        struct giver *giver = &line->givers[i];
        uint32_t spare = spare_for (coord, line, giver->job, taker, grows);
        if (!grows)
            spare -= giver->promised < spare ? giver->promised : spare;
        uint32_t suitable = spare ? count_suitable (coord, giver->job, taker, class, grows) : 0;
        giver->available = spare < suitable ? spare : suitable;
        sum += giver->available;
    }
    return sum;
}

/* Those that do not train yet cost nobody anything; those in quarantine are the last choice. */
static uint32_t cost_of (const struct coord *coord, const struct worker *worker)
{
    return (trust_lacks (coord, worker) ? 2u : 0u) + (worker->rank != NONE);
}

static void yield_from (struct coord *coord, struct job *job, const struct job *taker,
                        const char *class, uint32_t count, bool grows)
{
    bool shrinks = !queue_lacks_minimum (coord, job) && !gives_all (job);
    for (uint32_t cost = 0; cost < 4; cost++)
        for (uint32_t i = job->soft.worker_count; i > 0 && count; i--) {
            struct worker *worker = job->soft.workers[i - 1];
            if (!can_leave (coord, worker) || cost_of (coord, worker) != cost ||
                !suits (coord, taker, class, worker, grows))
                continue;
            worker->yields = true;
            worker->yields_to = shrinks ? taker->durable.number : 0;
            count--;
        }
    job_touch (coord, job);
}

static void take_from_last (struct coord *coord, struct line *line, const struct job *taker,
                            const char *class, uint32_t lack, bool grows)
{
    for (uint32_t i = line->giver_count; i > 0 && lack; i--) {
        struct giver *giver = &line->givers[i - 1];
        uint32_t count = giver->available < lack ? giver->available : lack;
        if (!count)
            continue;
        yield_from (coord, giver->job, taker, class, count, grows);
        line->spare -= count;
        lack -= count;
    }
}

/* What will not do yet is not taken, nor may a later job begin on it: it would come back to who waits
 * first, and be lent again. */
uint32_t preempt_for_minimum (struct coord *coord, struct line *line, const struct job *taker,
                              const char *class, uint32_t lack)
{
    if (line->spare <= line->promised)
        return 0;
    uint32_t could = ask (coord, line, taker, class, false);
    if (could >= lack) {
        take_from_last (coord, line, taker, class, lack, false);
        return could;
    }
    line->promised += could;
    for (uint32_t i = 0; i < line->giver_count; i++)
        line->givers[i].promised += line->givers[i].available;
    return could;
}

void preempt_for_growth (struct coord *coord, struct line *line, const struct job *taker,
                         const char *class, uint32_t lack)
{
    if (line->spare && ask (coord, line, taker, class, true))
        take_from_last (coord, line, taker, class, lack, true);
}

/* --- what has changed meanwhile --------------------------------------------------------------- */

/* One that was to have its minimum may have found others while who goes to it was compared first. */
static bool still_wants (const struct coord *coord, const struct job *giver,
                         const struct job *taker)
{
    if (!taker || job_ended (taker))
        return false;
    enum mu_job_state state = taker->durable.state;
    return state != MU_JOB_PAUSED && state != MU_JOB_STOPPING &&
           taker->durable.target == MU_JOB_PENDING &&
           (taker->durable.priority > giver->durable.priority ||
            queue_lacks_minimum (coord, taker));
}

static bool anybody_goes (const struct job *job)
{
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        if (job->soft.workers[i]->yields_to)
            return true;
    return false;
}

void preempt_keep (struct coord *coord, struct job *job)
{
    if (!anybody_goes (job))
        return;
    uint32_t staying = count_sure (coord, job);
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        struct worker *worker = job->soft.workers[i];
        if (!worker->yields_to || worker->order == ORDER_RELEASE)
            continue;
        if (!worker->gone && staying >= job->durable.workers_min &&
            still_wants (coord, job, core_job (coord, worker->yields_to)))
            continue;
        worker->yields = false;
        worker->yields_to = 0;
        staying += !worker_leaves (coord, worker) && !worker->gone;
        queue_want (coord);
    }
}

/* --- words ------------------------------------------------------------------------------------ */

const char *preempt_why (struct coord *coord, const struct job *job, uint64_t taker_number)
{
    const struct job *taker = core_job (coord, taker_number);
    uint32_t count = 0;
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        count += job->soft.workers[i]->yields_to == taker_number;
    const char *why = "which lacks its minimum";
    if (taker->durable.priority > job->durable.priority)
        why = core_text (coord, "whose priority is higher: %lld over %lld",
                         (long long)taker->durable.priority, (long long)job->durable.priority);
    return core_text (coord, "%u worker%s to job %llu (%s), %s", count,
                      count == 1 ? " goes" : "s go", (unsigned long long)taker_number,
                      taker->durable.name, why);
}

static const char *name_holders (struct coord *coord, const struct line *line,
                                 const struct job *job)
{
    const char *list = "";
    uint32_t named = 0, others = 0;
    for (uint32_t i = 0; i < line->job_count; i++) {
        const struct job *other = line->jobs[i];
        if (other->durable.priority <= job->durable.priority)
            break;
        if (!other->soft.worker_count)
            continue;
        if (named++ >= NAMED_MAX)
            others += other->soft.worker_count;
        else
            list = core_text (coord, "%s%sjob %llu (%s, priority %lld) has %u", list,
                              *list ? ", " : "", (unsigned long long)other->durable.number,
                              other->durable.name, (long long)other->durable.priority,
                              other->soft.worker_count);
    }
    return others ? core_text (coord, "%s, others have %u", list, others) : list;
}

void preempt_explain (struct coord *coord, const struct line *line)
{
    for (uint32_t i = 0; i < line->job_count; i++) {
        struct job *job = line->jobs[i];
        uint32_t has = queue_have (coord, job), most = queue_useful_max (job);
        const char *holders = "";
        const char *shrunk = "";
        if (job->durable.state == MU_JOB_RUNNING && has < most)
            holders = name_holders (coord, line, job);
        if (*holders)
            shrunk = core_text (coord,
                                "trains on %u of up to %u workers; higher priorities go first: %s",
                                has, most, holders);
        job_note (&job->soft.shrunk, shrunk);
    }
}
