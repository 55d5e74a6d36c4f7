/* SPDX-License-Identifier: Apache-2.0 */
/* trust.c - workers that fail again and again are quarantined for a while
 *
 * Each failure of a worker that was not its job's (lost in silence, started anew, a trainer that
 * died, a collective that crashed, a generation that it did not get ready for) adds one to its penalty, which halves every
 * COORD_PENALTY_HALF_MS. At the number that the operator chose it is quarantined, until the penalty
 * has sunk to one: it gets no work that others can do, for every failure costs its whole job a
 * generation. A job that would lack its minimum without it gets it all the same: a doubtful worker
 * is better than none. And so does one whose newest steps it alone may hold (prepare.c).
 *
 * Who is quarantined is durable; penalties are soft. After a restart those in quarantine begin it
 * anew. */
#include "trust.h"

#include "job.h"
#include "queue.h"
#include "roster.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)
#define ONE              1024u /* a failure, in the units of a penalty */

/* What is left of the penalty: halved for each half-life, and in a straight line between. */
static uint64_t penalty_now (const struct coord *coord, const struct worker *worker)
{
    uint64_t elapsed_ms = coord->now_ms - worker->penalty_ms;
    uint64_t halves = elapsed_ms / COORD_PENALTY_HALF_MS,
             rest_ms = elapsed_ms % COORD_PENALTY_HALF_MS;
    if (halves > 30)
        return 0;
    uint64_t penalty = worker->penalty >> halves;
    return penalty - penalty * rest_ms / (2 * (uint64_t)COORD_PENALTY_HALF_MS);
}

/* So many failures, even if the first has faded a little meanwhile. */
static uint64_t threshold (const struct coord *coord)
{
    return (uint64_t)coord->options.quarantine_failures * ONE - ONE / 2;
}

bool trust_lacks (const struct coord *coord, const struct worker *worker)
{
    return names_has (&coord->durable.quarantined, worker->name);
}

bool trust_spares (const struct coord *coord, const struct worker *worker)
{
    return trust_lacks (coord, worker) && job_can_spare (worker->job);
}

bool trust_takes (const struct coord *coord, const struct job *job, const struct worker *worker)
{
    return !trust_lacks (coord, worker) || job->soft.worker_count < job->durable.workers_min;
}

static void store (struct coord *coord, const char *name, bool quarantined, const char *why)
{
    struct mu_journal record = { .type = MU_JOURNAL_QUARANTINE,
                                 .quarantine = { .quarantined = quarantined,
                                                 .time_ms = coord->unix_ms } };
    SET (record.quarantine.worker, name);
    SET (record.quarantine.reason, why);
    core_store (coord, &record);
    queue_want (coord);
}

void trust_blame (struct coord *coord, struct worker *worker, const char *why)
{
    if (!coord->options.quarantine_failures)
        return;
    worker->penalty = penalty_now (coord, worker) + ONE;
    worker->penalty_ms = coord->now_ms;
    if (worker->penalty >= threshold (coord) && !trust_lacks (coord, worker))
        store (coord, worker->name, true, why);
}

/* It was not the worker. A penalty of none at all would say that nothing is known (has_served). */
void trust_forgive (const struct coord *coord, struct worker *worker)
{
    uint64_t penalty = penalty_now (coord, worker);
    worker->penalty = penalty > ONE ? penalty - ONE : 1;
    worker->penalty_ms = coord->now_ms;
}

void trust_distrust (struct coord *coord, const char *name, struct worker *worker, const char *why)
{
    if (!coord->options.quarantine_failures)
        return;
    if (worker) {
        worker->penalty = penalty_now (coord, worker) + threshold (coord);
        worker->penalty_ms = coord->now_ms;
    }
    if (!names_has (&coord->durable.quarantined, name))
        store (coord, name, true, why);
}

/* True: its time is over. After a restart it begins again when the worker is first seen. */
static bool has_served (struct coord *coord, const char *name)
{
    struct worker *worker = roster_by_name (coord, name);
    if (!coord->options.quarantine_failures)
        return true;
    if (!worker)
        return coord->now_ms >= coord->grace_end_ms + COORD_PENALTY_HALF_MS;
    if (!worker->penalty) {
        worker->penalty = threshold (coord);
        worker->penalty_ms = coord->now_ms;
    }
    return penalty_now (coord, worker) <= ONE;
}

void trust_mind (struct coord *coord)
{
    if (coord->now_ms < coord->trust_again_ms)
        return;
    const struct names *quarantined = &coord->durable.quarantined;
    for (uint32_t i = quarantined->count; i > 0; i--)
        if (has_served (coord, quarantined->list[i - 1]))
            store (coord, core_text (coord, "%s", quarantined->list[i - 1]), false,
                   "it has not failed for a while");
    coord->trust_again_ms = coord->now_ms + COORD_TRUST_MS;
    if (quarantined->count)
        core_wake (coord, coord->trust_again_ms);
}
