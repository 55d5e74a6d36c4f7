/* SPDX-License-Identifier: Apache-2.0 */
/* pace.c - how fast each worker computes, and so how many micro-batches it gets
 *
 * A step ends when its slowest rank has computed its share, so shares follow speed. What a worker's
 * threads spent computing is in its beats; divided by the micro-batches of the steps it did
 * meanwhile, it is the cost of one, which ages by half with each new measurement. A worker that
 * was not measured yet counts as an average one. Costs close to the median are taken as equal, so
 * that noise moves nothing.
 *
 * Who first receives the state begins so much later, and gets less of a generation's first step, or
 * nothing: else everybody waits in that step for who has just come.
 *
 * Shares change when a generation forms anyway. When a generation's shares have become so uneven that others
 * would make the step shorter by a quarter, it is ended as planned, after a window; nothing is computed
 * twice for that. Who computes what does not change the answer, only how soon it comes. */
#include "pace.h"

#include "generation.h"
#include "shards.h"

/* What one measurement covers at least: on a busy machine less says more of chance than of speed. */
#define SAMPLE_BUSY_US UINT64_C (2000000)
#define SAMPLE_STEPS   4u

/* Two costs are equal if they differ by less than one part in so many. */
#define EQUAL_PARTS 8u

/* --- measuring -------------------------------------------------------------------------------- */

static uint32_t own_share (const struct job *job, uint32_t rank)
{
    uint32_t count = 0;
    for (uint32_t m = 0; m < job->durable.micro_batches; m++)
        count += shards_rank (job->durable.generation.map, m) == rank;
    return count;
}

/* A new generation, or a step back: what was gathered belongs to other shares. The first step is
 * left out, since part of it may have been there. */
static void begin_sample (const struct worker *worker, struct pace *pace, uint64_t step)
{
    const struct generation *generation = &worker->job->durable.generation;
    pace->generation = generation->number;
    pace->share = own_share (worker->job, worker->rank);
    pace->step = step;
    pace->busy_us = 0;
}

void pace_hear (struct worker *worker, const struct mu_wire_beat *beat)
{
    struct pace *pace = &worker->pace;
    const struct generation *generation = &worker->job->durable.generation;
    if (pace->generation != generation->number || beat->step < pace->step ||
        pace->step <= generation->step) {
        begin_sample (worker, pace, beat->step);
        return;
    }
    pace->busy_us += beat->busy_us;
    uint64_t steps = beat->step - pace->step, done = steps * pace->share;
    if (pace->busy_us < SAMPLE_BUSY_US || steps < SAMPLE_STEPS || !done)
        return;
    uint64_t cost = pace->busy_us / done;
    if (cost)
        pace->cost_us = pace->cost_us ? (pace->cost_us + cost) / 2 : cost;
    begin_sample (worker, pace, beat->step);
}

static int compare (const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

/* Of the members that were measured; 0 if none was. */
static uint64_t median_cost (struct coord *coord, struct worker *const *members, uint32_t ranks)
{
    uint64_t *costs = core_scratch (coord, ranks * sizeof *costs);
    uint32_t count = 0;
    for (uint32_t rank = 0; rank < ranks; rank++)
        if (members[rank]->pace.cost_us)
            costs[count++] = members[rank]->pace.cost_us;
    if (!count)
        return 0;
    qsort (costs, count, sizeof *costs, compare);
    return costs[(count - 1) / 2];
}

double pace_factor (const struct worker *worker)
{
    if (!worker->job || worker->rank == NONE || !worker->job->soft.median_us)
        return 0;
    return (double)worker->pace.cost_us / (double)worker->job->soft.median_us;
}

/* --- shares ----------------------------------------------------------------------------------- */

struct runner {
    uint64_t cost_us, late_us;
    uint32_t threads, share;
};

/* How long it is until a rank has done so many micro-batches, several at once. */
static uint64_t time_for (const struct runner *runner, uint32_t share)
{
    uint64_t rounds = (share + runner->threads - 1) / runner->threads;
    return share ? runner->late_us + rounds * runner->cost_us : 0;
}

static struct runner *line_up (struct coord *coord, struct worker *const *members, uint32_t ranks)
{
    struct runner *runners = core_scratch (coord, ranks * sizeof *runners);
    uint64_t median = median_cost (coord, members, ranks);
    for (uint32_t rank = 0; rank < ranks; rank++) {
        const struct worker *worker = members[rank];
        uint64_t cost = worker->pace.cost_us ? worker->pace.cost_us : median;
        uint64_t apart = cost > median ? cost - median : median - cost;
        if (apart * EQUAL_PARTS < median)
            cost = median;
        runners[rank] = (struct runner){ .cost_us = cost ? cost : 1,
                                         .threads = worker->threads ? worker->threads : 1 };
    }
    return runners;
}

/* Who would be done first with one more; of equal ones who has fewer, then the lower rank. */
static struct runner *soonest_of (struct runner *runners, uint32_t ranks)
{
    struct runner *soonest = runners;
    uint64_t least = time_for (soonest, soonest->share + 1);
    for (uint32_t rank = 1; rank < ranks; rank++) {
        struct runner *runner = &runners[rank];
        uint64_t time = time_for (runner, runner->share + 1);
        if (time < least || (time == least && runner->share < soonest->share)) {
            soonest = runner;
            least = time;
        }
    }
    return soonest;
}

/* One micro-batch after the other. Nobody but who comes late goes without if there are enough: a
 * worker that has none is never measured again. Returns how long the slowest takes. */
static uint64_t share_out (struct runner *runners, uint32_t ranks, uint32_t micro_batches)
{
    uint32_t left = micro_batches;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        runners[rank].share = micro_batches >= ranks && !runners[rank].late_us ? 1 : 0;
        left -= runners[rank].share;
    }
    for (; left > 0; left--)
        soonest_of (runners, ranks)->share++;
    uint64_t slowest = 0;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        uint64_t time = time_for (&runners[rank], runners[rank].share);
        slowest = time > slowest ? time : slowest;
    }
    return slowest;
}

/* Without measured costs nobody knows what being late is worth. */
void pace_shares (struct coord *coord, struct worker *const *members, uint32_t ranks,
                  uint32_t micro_batches, const uint64_t *late_us, uint32_t *shares)
{
    struct runner *runners = line_up (coord, members, ranks);
    bool measured = late_us && median_cost (coord, members, ranks);
    for (uint32_t rank = 0; rank < ranks && measured; rank++)
        runners[rank].late_us = late_us[rank];
    share_out (runners, ranks, micro_batches);
    for (uint32_t rank = 0; rank < ranks; rank++)
        shares[rank] = runners[rank].share;
}

/* --- are the shares still right? -------------------------------------------------------------- */

/* The rank that takes longest for its present share. */
static uint32_t slowest_of (const struct job *job, const struct runner *runners, uint64_t *time)
{
    uint32_t slowest = 0;
    *time = 0;
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++) {
        uint64_t own = time_for (&runners[rank], own_share (job, rank));
        if (own > *time) {
            *time = own;
            slowest = rank;
        }
    }
    return slowest;
}

static bool all_are_measured (const struct job *job)
{
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        if (!job->soft.ranks[rank]->pace.cost_us)
            return false;
    return true;
}

void pace_mind (struct coord *coord, struct job *job)
{
    struct job_soft *soft = &job->soft;
    uint32_t ranks = job->durable.generation.size;
    uint64_t window = soft->step / job->durable.window_steps;
    if (window == soft->paced_window)
        return;
    soft->paced_window = window;
    soft->median_us = median_cost (coord, soft->ranks, ranks);
    if (!soft->running_since_ms || coord->now_ms < soft->running_since_ms + COORD_PACE_MS ||
        !all_are_measured (job))
        return;
    struct runner *runners = line_up (coord, soft->ranks, ranks);
    uint64_t now;
    const struct worker *slowest = soft->ranks[slowest_of (job, runners, &now)];
    uint64_t best = share_out (runners, ranks, job->durable.micro_batches);
    soft->uneven = now > best + best / 4 ? soft->uneven + 1 : 0;
    if (soft->uneven < 2) /* once may be chance */
        return;
    generation_break (coord, job, true,
                      core_text (coord,
                                 "worker %s takes %.1f times as long as others for a micro-batch: "
                                 "some of its own go to them",
                                 slowest->name, pace_factor (slowest)));
}
