/* SPDX-License-Identifier: Apache-2.0 */
/* halt.c - who leaves a generation ends with a whole step, and all do where others join
 *
 * A break comes in the middle of a step. Who stays keeps what it has summed of it; what one that leaves has
 * computed would go with it, and be computed once more. So once all else is ready for the break:
 *
 *     advance_running () wants to let somebody go
 *       -> LEASE with `stop` to those who leave: end with the step that is under way
 *       -> BEAT of each: it stands. Now the generation is broken
 *
 * Of several one may stand before a step that another has begun, and cannot end without it. So the first
 * that stands is no end for several: they are told to make that step, and to end with it.
 *
 * Those who stay are in the next step by then, and keep what they have of it: nobody waits for long.
 *
 * Where others join all stand, and say what they hold (train_orders.c): one that was interrupted a step behind
 * would be given another's state, and nobody could tell any more that it is wrong. docs/decisions/0054. A joiner
 * does not wait for steps that are long, or not known yet: it helps with the one that is under way.
 *
 * All of this is soft, and a favour: a word that is lost is said again, and after the time of some steps the break
 * comes without. Whoever is not to leave any more is leased what the others are; and so is whoever stands
 * after a restart, for its beats say so (shards.c). docs/decisions/0044. */
#include "halt.h"

#include "review.h"
#include "shards.h"

#define JOIN_STEP_MAX_MS (COORD_REVIEW_MS / 8)

static bool any_leaves (const struct coord *coord, const struct job *job)
{
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        if (review_leaves (coord, job, rank))
            return true;
    return false;
}

/* Those who leave; all, where others only join. */
static bool is_to_stand (const struct coord *coord, const struct job *job, uint32_t rank, bool all)
{
    return job->soft.ranks[rank] && (all || review_leaves (coord, job, rank));
}

/* Ends with the step before `step`, or with the one under way. */
static void tell (struct coord *coord, struct job *job, uint64_t step)
{
    job->soft.halt.step = step;
    job->soft.halt.said_ms = coord->now_ms;
    bool all = !any_leaves (coord, job);
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        if (is_to_stand (coord, job, rank, all)) {
            job->soft.ranks[rank]->halts = true;
            shards_say_lease (coord, job->soft.ranks[rank]);
        }
}

static bool stands (const struct job *job, uint32_t rank)
{
    const struct worker *worker = job->soft.ranks[rank];
    return worker->idle && worker->step >= job->soft.halt.step;
}

/* Do all of them stand? Where one does, but not yet all: where they are to. */
static bool all_stand (const struct coord *coord, const struct job *job, uint64_t *next)
{
    bool all = true, nobody_leaves = !any_leaves (coord, job);
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++) {
        if (!is_to_stand (coord, job, rank, nobody_leaves))
            continue;
        if (!stands (job, rank))
            all = false;
        else if (job->soft.ranks[rank]->step >= *next)
            *next = job->soft.ranks[rank]->step + 1;
    }
    return all;
}

bool halt_awaits (struct coord *coord, struct job *job)
{
    struct halt *halt = &job->soft.halt;
    uint64_t next = 0, step_ms = shards_step_ms (job);
    if (!any_leaves (coord, job) && (!step_ms || step_ms > JOIN_STEP_MAX_MS))
        return false;
    if (!halt->since_ms) {
        halt->since_ms = coord->now_ms;
        tell (coord, job, 0);
    }
    uint64_t end_ms = halt->since_ms + review_limit_ms (job) / 2;
    if (all_stand (coord, job, &next) || coord->now_ms >= end_ms)
        return false;
    if ((next && !halt->step) || coord->now_ms >= halt->said_ms + COORD_REPEAT_MS)
        tell (coord, job, next > halt->step ? next : halt->step);
    core_wake (coord, halt->said_ms + COORD_REPEAT_MS);
    core_wake (coord, end_ms);
    return true;
}

void halt_forget (struct coord *coord, struct job *job)
{
    if (!job->soft.halt.since_ms)
        return;
    halt_clear (job);
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        if (job->soft.ranks[rank])
            shards_say_lease (coord, job->soft.ranks[rank]);
}

void halt_clear (struct job *job)
{
    job->soft.halt = (struct halt){ 0 };
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        job->soft.workers[i]->halts = false;
}
