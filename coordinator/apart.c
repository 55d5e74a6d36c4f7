/* SPDX-License-Identifier: Apache-2.0 */
/* apart.c - members that say that they stand further apart than they can
 *
 * An update is made of the gradients of all ranks, and none begins the next before it has made that one. So
 * when a generation that trained has ended its members stand at one place, or at two that follow each
 * other; and nobody has gone on behind what was leased. The highest place rules (generation.c): who says one
 * that it cannot have reached would give its state to all, as the state of another step, and no comparison would find it
 * (docs/decisions/0058 and 0062).
 *
 * So when all have left, and before any of it is used:
 *
 *     it is outside the generation's steps    it is not believed (one that never trained has none)
 *     most stand together, and not with it    the same
 *     there is no such majority               nobody can say who is wrong: all go back (audit.c)
 *
 * Who is not believed is turned away for a while, or begins anew where the job cannot do without it.
 * A trainer that was started anew since is not asked: it was not in that generation, and stands where its checkpoint does. */
#include "apart.h"

#include "audit.h"
#include "job.h"
#include "prepare.h"
#include "trust.h"

static bool is_asked (const struct job *job, const struct worker *worker)
{
    return worker && worker->order == ORDER_NONE && worker->position.entered &&
           !worker->position.blank && !audit_is_tainted (job, worker);
}

/* In one that never trained nobody stands before its source. */
static bool is_outside (const struct generation *generation, const struct position *position)
{
    if (generation->started)
        return position->step < generation->step || position->step > generation->until_step;
    return position->step > generation->step ||
           (position->step == generation->step && position->attempt > generation->attempt);
}

/* It is `a`, or what one update makes of it: the next step, or the next try at the same one. */
static bool is_next (const struct position *a, const struct position *b)
{
    if (b->step == a->step)
        return b->attempt == a->attempt || b->attempt == (uint64_t)a->attempt + 1;
    return b->step == a->step + 1 && !b->attempt;
}

static int by_place (const void *a, const void *b)
{
    const struct position *left = &(*(struct worker *const *)a)->position;
    const struct position *right = &(*(struct worker *const *)b)->position;
    if (left->step != right->step)
        return left->step < right->step ? -1 : 1;
    return (left->attempt > right->attempt) - (left->attempt < right->attempt);
}

/* Does it stand with those that stand at `place`: there or one further on, or, `before`, one before? */
static bool stands_with (const struct worker *worker, const struct position *place, bool before)
{
    return before ? is_next (&worker->position, place) : is_next (place, &worker->position);
}

static uint32_t count_with (struct worker *const *members, uint32_t count,
                            const struct position *place, bool before)
{
    uint32_t with = 0;
    for (uint32_t i = 0; i < count; i++)
        with += stands_with (members[i], place, before);
    return with;
}

static void disbelieve (struct coord *coord, const struct job *job, struct worker *worker)
{
    const char *why = core_text (
        coord, "it says that it left generation %llu after step %llu, where it cannot have been",
        (unsigned long long)job->durable.generation.number,
        (unsigned long long)worker->position.step);
    if (job_can_spare (job)) {
        worker_turn_away (coord, worker, why);
    } else {
        trust_blame (coord, worker, why);
        worker_release (coord, worker, true);
    }
}

/* Those whose word may be so; the others are let go. */
static uint32_t keep_possible (struct coord *coord, const struct job *job, struct worker **members,
                               bool *any)
{
    const struct generation *generation = &job->durable.generation;
    uint32_t count = 0;
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        struct worker *worker = job->soft.ranks[rank];
        if (!is_asked (job, worker))
            continue;
        bool outside = is_outside (generation, &worker->position);
        if (outside)
            disbelieve (coord, job, worker);
        else
            members[count++] = worker;
        *any = *any || outside;
    }
    return count;
}

bool apart_mend (struct coord *coord, struct job *job)
{
    const struct generation *generation = &job->durable.generation;
    if (!job->soft.ranks)
        return false;
    struct worker **members = core_scratch (coord, generation->size * sizeof (struct worker *));
    bool any = false;
    uint32_t count = keep_possible (coord, job, members, &any);
    if (count < 2 || !generation->started)
        return any;
    qsort (members, count, sizeof *members, by_place);
    const struct worker *first = members[0], *last = members[count - 1];
    if (is_next (&first->position, &last->position))
        return any;
    /* If more than half stand together, one of them stands in the middle. */
    struct position middle = members[count / 2]->position;
    bool before =
        count_with (members, count, &middle, true) > count_with (members, count, &middle, false);
    if (2 * count_with (members, count, &middle, before) <= count) {
        audit_dispute_places (coord, job, first, last);
        return true;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!stands_with (members[i], &middle, before))
            disbelieve (coord, job, members[i]);
    return true;
}
