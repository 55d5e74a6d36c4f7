/* SPDX-License-Identifier: Apache-2.0 */
/* late.c - a generation that did not get ready: who kept it, and what becomes of that worker
 *
 * The surest sign that there is decides:
 *
 *     a fence that lacks some     they keep the others, who wait in it
 *     some are ready, some not    those that are not
 *     nobody is ready             some two cannot reach each other, and nobody sees which
 *
 * Once may be chance: all try again. From the second time on, who kept the others is left out for a
 * while, if the job can do without or somebody is free to stand in. Where nobody can be seen to be at fault one is left out on trial,
 * and if that did not help it may come back and it is another's turn: sooner or later it is one of
 * the two. It is not blamed. Who was left out before and comes back to a generation that then does
 * not get ready is left out at once, and for longer: a line that is cut for good costs ever less.
 *
 * A network that refuses, where a cut one is silent, ends a collective at once. Whose ends when that
 * has gone on for some seconds, while the same members formed, is left out in the same way. And whose process
 * crashes twice in a row, at once: a host that lacks memory for it, mostly. If its world was
 * connected ahead, those that train do not notice. */
#include "late.h"

#include "loss.h"
#include "prepare.h"
#include "queue.h"
#include "roster.h"
#include "trust.h"

static bool is_late (const struct worker *worker, const struct fences *fences)
{
    return worker->order == ORDER_FORM && !fences_waits (fences, worker->rank);
}

/* So many could the job do without: it has more than its minimum, or others wait for work. */
static uint32_t count_spare (const struct coord *coord, const struct job *job)
{
    uint32_t have = job->durable.generation.size;
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        const struct worker *worker = coord->workers[i];
        have += worker_is_free (coord, worker) && queue_accepts (coord, job, worker) &&
                !trust_lacks (coord, worker);
    }
    return have > job->durable.workers_min ? have - job->durable.workers_min : 0;
}

static void leave_out (struct coord *coord, struct worker *worker, const char *why)
{
    uint32_t doublings =
        worker->left_out < COORD_COOL_OFF_DOUBLINGS ? worker->left_out : COORD_COOL_OFF_DOUBLINGS;
    worker_refuse (coord, worker, (uint64_t)COORD_COOL_OFF_MS << doublings, why);
    worker->left_out++;
    worker->yields = true;
    worker->job->soft.without = true;
}

/* Without them it did not go either: they may come back. */
static void pardon (struct coord *coord, const struct job *job)
{
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        struct worker *worker = coord->workers[i];
        if (!worker->on_trial || worker->refused_job != job->durable.number)
            continue;
        worker->on_trial = false;
        worker->refused_until_ms = coord->now_ms;
        queue_want (coord);
    }
}

static void try_without (struct coord *coord, struct worker *worker, const char *why)
{
    leave_out (coord, worker, why);
    worker->on_trial = true;
}

/* --- nobody is ready -------------------------------------------------------------------------- */

/* Whose turn it is: the first time, of who was left out before, if anybody; then of who was left out
 * the least often, the newest first. NULL: nobody's. */
static struct worker *whose_turn (const struct job *job)
{
    bool first = !job->soft.failures;
    struct worker *found = job->soft.ranks[0];
    for (uint32_t rank = 1; rank < job->durable.generation.size; rank++) {
        struct worker *worker = job->soft.ranks[rank];
        if (first ? worker->left_out > found->left_out : worker->left_out <= found->left_out)
            found = worker;
    }
    return first && !found->left_out ? NULL : found;
}

static const char *try_without_one (struct coord *coord, const struct job *job)
{
    uint32_t size = job->durable.generation.size;
    struct worker *worker = count_spare (coord, job) ? whose_turn (job) : NULL;
    pardon (coord, job);
    if (!worker)
        return core_text (coord, "none of %u workers was ready in time", size);
    try_without (coord, worker,
                 "none of them was ready in time, and it is tried without each in turn");
    return core_text (coord, "none of %u workers was ready in time; it is tried without worker %s",
                      size, worker->name);
}

/* --- some are late ---------------------------------------------------------------------------- */

/* Why the generation breaks. */
const char *late_blame (struct coord *coord, struct job *job)
{
    const struct fences *fences = job->soft.fences;
    uint32_t size = job->durable.generation.size, late = 0;
    for (uint32_t rank = 0; rank < size; rank++)
        late += is_late (job->soft.ranks[rank], fences);
    if (late == size && size > 1)
        return try_without_one (coord, job);
    bool spared = late <= count_spare (coord, job);
    const char *names = "";
    for (uint32_t rank = 0; rank < size; rank++) {
        struct worker *worker = job->soft.ranks[rank];
        if (!is_late (worker, fences))
            continue;
        if (strlen (names) < 128)
            names = core_text (coord, "%s%s%s", names, *names ? ", " : "", worker->name);
        const char *why = "it was not ready for a generation in time";
        trust_blame (coord, worker, why);
        if (spared && (job->soft.failures || worker->left_out))
            leave_out (coord, worker, why);
    }
    return core_text (coord, "%u of %u workers were not ready in time: %s", late, size, names);
}

/* --- one ended instead ------------------------------------------------------------------------ */

/* Its process crashes before a generation gets ready, for want of memory or threads, say: so often in a row is
 * no chance. Others have what it holds. */
static bool ends_again (const struct job *job, struct worker *worker,
                        const struct mu_wire_down *down)
{
    if (!down->ended)
        return false;
    bool is_source = worker->rank == job->durable.generation.source_rank;
    return ++worker->ends >= COORD_ENDS_MAX && (worker->position.blank || !is_source);
}

/* A collective that ends by itself mostly does so because of another one. */
static const char *noticed_by (struct coord *coord, const struct job *job,
                               const struct worker *worker, const struct mu_wire_down *down)
{
    const char *known = down->ended ? NULL : loss_known (coord, job);
    return core_text (coord, "%s%sthe collective of worker %s ended: %s", known ? known : "",
                      known ? ", and " : "", worker->name, down->text);
}

const char *late_ended (struct coord *coord, struct job *job, struct worker *worker,
                        const struct mu_wire_down *down)
{
    const char *why = down->text;
    bool forming = job->durable.state == MU_JOB_FORMING;
    if (forming && !job->soft.vain_ms)
        job->soft.vain_ms = coord->now_ms;
    bool again = forming && ends_again (job, worker, down);
    bool vain = coord->now_ms >= job->soft.vain_ms + COORD_VAIN_MS;
    if (!forming || !count_spare (coord, job) || !(again || vain || worker->left_out))
        return noticed_by (coord, job, worker, down);
    pardon (coord, job);
    try_without (coord, worker, core_text (coord, "its collective ended: %s", why));
    return core_text (coord, "it is tried without worker %s, whose collective ended: %s",
                      worker->name, why);
}

/* Nobody waits for it: those that train go on. */
bool late_ended_ahead (struct coord *coord, struct worker *worker, const struct mu_wire_down *down)
{
    if (worker->rank != NONE || !ends_again (worker->job, worker, down))
        return false;
    leave_out (coord, worker, core_text (coord, "its collective ended: %s", down->text));
    return true;
}

void late_begin (struct job *job, struct worker *const *members, uint32_t count)
{
    const struct generation *before = &job->durable.generation;
    bool same = before->number && count == before->size;
    for (uint32_t rank = 0; same && rank < count; rank++)
        same = members[rank]->incarnation == before->members[rank].incarnation &&
               !strcmp (members[rank]->name, before->members[rank].name);
    if (!same)
        job->soft.vain_ms = 0;
}

void late_forget (struct job *job)
{
    job->soft.vain_ms = 0;
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        job->soft.ranks[rank]->left_out = job->soft.ranks[rank]->ends = 0;
}
