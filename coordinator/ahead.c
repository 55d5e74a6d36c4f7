/* SPDX-License-Identifier: Apache-2.0 */
/* ahead.c - the world of the generation that follows is connected while the one before trains
 *
 * Connecting the collectives of a world takes some tens of milliseconds, and more the larger it is.
 * Where a break is planned (workers join, one leaves) nobody has to wait for that:
 *
 *     advance_running () wants to break
 *       -> CONNECT to all that will be members; their fences go through here
 *       -> CONNECTED of all: now the generation is broken, and FORM uses that world
 *
 * All of it is soft and a favour: nothing is journalled before FORM, and whatever goes wrong (a
 * member is lost, a collective ends, the coordinator is started again) leads to the next try, or,
 * after COORD_AHEAD_MS, to the break as it is without: the world is connected afterwards then. A
 * world is used only if FORM has exactly the members, in the order, that it was connected for. */
#include "ahead.h"

#include "generation.h"
#include "job.h"
#include "late.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* Most jobs end without ever having needed one. */
static const struct ahead *ahead_of (const struct job *job)
{
    static const struct ahead none;
    return job->soft.ahead ? job->soft.ahead : &none;
}

static uint32_t find_rank (const struct ahead *ahead, const struct worker *worker)
{
    for (uint32_t rank = 0; rank < ahead->size; rank++)
        if (ahead->members[rank].worker == worker)
            return rank;
    return NONE;
}

/* --- what is said ----------------------------------------------------------------------------- */

static void say_connect (struct coord *coord, const struct job *job, uint32_t rank, uint32_t size)
{
    const struct ahead *ahead = ahead_of (job);
    const struct worker *worker = ahead->members[rank].worker;
    if (!worker)
        return;
    struct mu_wire_connect *said = &core_tell (coord, worker, MU_WIRE_CONNECT)->connect;
    said->job = job->durable.number;
    said->generation = job->durable.generation.number + 1;
    said->rank = rank;
    said->size = size;
    SET (said->world, ahead->world);
}

static void say_connect_to_all (struct coord *coord, struct job *job)
{
    struct ahead *ahead = job->soft.ahead;
    ahead->said_ms = coord->now_ms;
    for (uint32_t rank = 0; rank < ahead->size; rank++)
        if (!ahead->members[rank].connected)
            say_connect (coord, job, rank, ahead->size);
}

/* --- beginning and forgetting ----------------------------------------------------------------- */

static void clear_try (struct ahead *ahead)
{
    if (!ahead)
        return;
    fences_free (&ahead->fences);
    free (ahead->members);
    ahead->members = NULL;
    ahead->size = ahead->connected = 0;
}

void ahead_clear (struct job *job)
{
    clear_try (job->soft.ahead);
    if (job->soft.ahead)
        job->soft.ahead->since_ms = job->soft.ahead->again_ms = 0;
}

static void withdraw (struct coord *coord, struct job *job)
{
    for (uint32_t rank = 0; rank < ahead_of (job)->size; rank++)
        say_connect (coord, job, rank, 0);
    clear_try (job->soft.ahead);
}

void ahead_forget (struct coord *coord, struct job *job)
{
    withdraw (coord, job);
    ahead_clear (job);
}

static void begin (struct coord *coord, struct job *job, struct worker *const *members,
                   uint32_t count)
{
    struct ahead *ahead = job->soft.ahead;
    withdraw (coord, job);
    ahead->members = calloc (count, sizeof *ahead->members);
    assert (ahead->members);
    for (uint32_t rank = 0; rank < count; rank++)
        ahead->members[rank].worker = members[rank];
    ahead->size = count;
    SET (ahead->world,
         core_text (coord, "muster-%llu-%llu-%llu-%u", (unsigned long long)coord->durable.term,
                    (unsigned long long)job->durable.number,
                    (unsigned long long)job->durable.generation.number + 1, ++ahead->tries));
    say_connect_to_all (coord, job);
}

void ahead_without (struct job *job, const struct worker *worker)
{
    uint32_t rank = find_rank (ahead_of (job), worker);
    if (rank != NONE)
        job->soft.ahead->members[rank].worker = NULL;
}

/* --- is it there? ----------------------------------------------------------------------------- */

static bool is_for (const struct ahead *ahead, struct worker *const *members, uint32_t count)
{
    bool same = ahead->size == count;
    for (uint32_t rank = 0; same && rank < count; rank++)
        same = ahead->members[rank].worker == members[rank];
    return same;
}

bool ahead_has (const struct job *job, struct worker *const *members, uint32_t count)
{
    const struct ahead *ahead = ahead_of (job);
    return count && ahead->connected == count && is_for (ahead, members, count);
}

bool ahead_awaits (struct coord *coord, struct job *job)
{
    struct worker **members =
        core_scratch (coord, job->soft.worker_count * sizeof (struct worker *));
    uint32_t count = generation_members (coord, job, members);
    if (!count || count < job->durable.workers_min)
        return false;
    if (!job->soft.ahead)
        job->soft.ahead = calloc (1, sizeof *job->soft.ahead);
    struct ahead *ahead = job->soft.ahead;
    assert (ahead);
    if (!ahead->since_ms)
        ahead->since_ms = coord->now_ms ? coord->now_ms : 1;
    uint64_t limit_ms = ahead->since_ms + COORD_AHEAD_MS;
    if (coord->now_ms >= limit_ms)
        return false;
    core_wake (coord, limit_ms);
    if (coord->now_ms < ahead->again_ms) {
        core_wake (coord, ahead->again_ms);
        return true;
    }
    if (!is_for (ahead, members, count))
        begin (coord, job, members, count);
    else if (coord->now_ms >= ahead->said_ms + COORD_REPEAT_MS)
        say_connect_to_all (coord, job);
    core_wake (coord, ahead->said_ms + COORD_REPEAT_MS);
    return ahead->connected < ahead->size;
}

/* --- words of members ------------------------------------------------------------------------- */

/* The job whose world ahead this is, and the worker's rank in it. */
static struct job *find_job (const struct worker *worker, uint64_t number, const char *world,
                             uint32_t *rank)
{
    struct job *job = worker->job;
    if (!job || job->durable.number != number || !ahead_of (job)->size ||
        strcmp (world, job->soft.ahead->world) != 0)
        return NULL;
    *rank = find_rank (job->soft.ahead, worker);
    return *rank == NONE ? NULL : job;
}

void ahead_fence (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_fence *said = &wire->fence;
    uint32_t mine;
    struct job *job = find_job (worker, said->job, said->world, &mine);
    if (!job)
        return;
    struct ahead *ahead = job->soft.ahead;
    switch (fences_come (&ahead->fences, ahead->size, mine, said->number, said->values)) {
    case FENCE_COMPLETE:
        for (uint32_t rank = 0; rank < ahead->size; rank++)
            if (ahead->members[rank].worker)
                generation_say_fenced (coord, ahead->members[rank].worker, ahead->fences, said);
        return;
    case FENCE_AGAIN: generation_say_fenced (coord, worker, ahead->fences, said); return;
    case FENCE_WAITS: return;
    case FENCE_TOO_LARGE: return; /* at the limit the break comes, and says it */
    }
}

void ahead_connected (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    uint32_t rank;
    struct job *job = find_job (worker, wire->connected.job, wire->connected.world, &rank);
    if (!job || job->soft.ahead->members[rank].connected)
        return;
    job->soft.ahead->members[rank].connected = true;
    if (++job->soft.ahead->connected == job->soft.ahead->size)
        job_touch (coord, job);
}

void ahead_down (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    uint32_t rank;
    struct job *job = find_job (worker, wire->down.job, wire->down.world, &rank);
    if (!job)
        return;
    withdraw (coord, job);
    bool without = late_ended_ahead (coord, worker, &wire->down);
    job->soft.ahead->again_ms = coord->now_ms + (without ? 0 : COORD_REPEAT_MS);
    core_wake (coord, job->soft.ahead->again_ms);
    job_touch (coord, job);
}
