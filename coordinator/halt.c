/* SPDX-License-Identifier: Apache-2.0 */
/* halt.c - who leaves a generation ends with a whole step
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
 * Those who stay are in the next step by then, and keep what they have of it: nobody waits for long. All of
 * this is soft, and a favour: a word that is lost is said again, and after the time of some steps the break
 * comes without. Whoever is not to leave any more is leased what the others are; and so is whoever stands
 * after a restart, for its beats say so (shards.c). docs/decisions/0044. */
#include "core.h"

/* Ends with the step before `step`, or with the one under way. */
static void tell (struct coord *coord, struct job *job, uint64_t step)
{
    job->soft.halt.step = step;
    job->soft.halt.said_ms = coord->now_ms;
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        if (review_leaves (coord, job, rank)) {
            job->soft.ranks[rank]->halts = true;
            shards_say_lease (coord, job->soft.ranks[rank]);
        }
}

static bool stands (const struct job *job, uint32_t rank)
{
    const struct worker *worker = job->soft.ranks[rank];
    return worker->idle && worker->step >= job->soft.halt.step;
}

/* Of those who leave: do all stand? Where one does, but not yet all: where they are to. */
static bool all_stand (const struct coord *coord, const struct job *job, uint64_t *next)
{
    bool all = true;
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++) {
        if (!review_leaves (coord, job, rank))
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
    uint64_t next = 0;
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
