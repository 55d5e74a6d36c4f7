/* SPDX-License-Identifier: Apache-2.0 */
/* train_audit.c - now and then one micro-batch is computed by several ranks, and compared
 *
 * Which one is told by the step and the generation's map, so no word is needed: the ranks take
 * turns, and so do a rank's micro-batches. In a job's last step, and in one that the coordinator names
 * because some are to leave (its review.c), all ranks are compared in threes. An owner hashes what it adds to its sums, tensor by
 * tensor and while it adds, so the hash is of what counts; the two ranks after it compute the same
 * gradient and add it to nothing. The coordinator compares (its audit.c).
 *
 * The first step of a generation is left out of the turns: what its ranks had kept was computed
 * before, and in another map. A rank that is interrupted, or whose gradient fails here, says nothing; then the
 * comparison does not count, and who computes it for the step meets the same failure. Where a job
 * says `exact: false`, right gradients may differ, and there are no audits. */
#include "train.h"

#include <string.h>

#define AUDITORS 3u /* with the owner: two against one tell who is wrong */

static bool is_due (const struct train_job *job, const struct train_generation *generation)
{
    return job->state->step != generation->step && job->state->step % job->spec.audit_every == 0;
}

static uint32_t count_of (const struct train_job *job, const struct train_generation *generation,
                          uint32_t rank)
{
    uint32_t count = 0;
    for (uint32_t m = 0; m < job->micro_batches; m++)
        count += generation->map[m] == rank;
    return count;
}

/* This one of the rank's micro-batches. */
static uint32_t find (const struct train_generation *generation, uint32_t rank, uint32_t left)
{
    uint32_t m = 0;
    while (generation->map[m] != rank || left--)
        m++;
    return m;
}

static void add (struct train_audits *audits, bool owns, uint32_t micro_batch)
{
    if (audits->count == TRAIN_AUDITS_MAX)
        return;
    uint32_t at = owns ? audits->count : audits->others++;
    memmove (&audits->list[at + 1], &audits->list[at],
             (audits->count++ - at) * sizeof *audits->list);
    audits->list[at] = (struct train_audit){ .owns = owns, .micro_batch = micro_batch };
}

/* Poison is computed by nobody, or by one who may die of it. */
static void plan_one (struct train *train, const struct train_generation *generation,
                      uint32_t micro_batch, bool for_sums)
{
    uint64_t step = train->job.state->step;
    uint32_t owner = generation->map[micro_batch];
    uint32_t after = (generation->rank + generation->size - owner) % generation->size;
    if (after < AUDITORS && !train_is_skipped (generation, step, micro_batch) &&
        !train_is_suspect (generation, step, micro_batch))
        add (&train->audits, !after && for_sums, micro_batch);
}

/* In a generation's first step the owner computes it once more: it may have done so before, in another map. */
static bool is_later_step (const struct train *train, const struct train_generation *generation)
{
    return train->job.state->step != generation->step;
}

/* The turn's rank, or the next that has any; of its micro-batches, the turn's. */
static void plan_turn (struct train *train, const struct train_generation *generation)
{
    const struct train_job *job = &train->job;
    uint64_t turn = job->state->step / job->spec.audit_every;
    uint32_t rank = (uint32_t)(turn % generation->size), count;
    while (!(count = count_of (job, generation, rank)))
        rank = (rank + 1) % generation->size;
    uint32_t which = (uint32_t)(turn / generation->size % count);
    plan_one (train, generation, find (generation, rank, which), is_later_step (train, generation));
}

/* Every third rank, or the next of these three that has any: with the two after it that is all. */
static void plan_all (struct train *train, const struct train_generation *generation)
{
    const struct train_job *job = &train->job;
    for (uint32_t first = 0; first < generation->size; first += AUDITORS)
        for (uint32_t rank = first; rank < first + AUDITORS && rank < generation->size; rank++) {
            uint32_t count = count_of (job, generation, rank);
            if (!count)
                continue;
            plan_one (train, generation,
                      find (generation, rank, (uint32_t)(job->state->step % count)),
                      is_later_step (train, generation));
            break;
        }
}

bool train_is_audited (const struct train_job *job, const struct train_generation *generation)
{
    return job->spec.audit_every && job->spec.exact && generation->size > 1;
}

void train_audit_plan (struct train *train, const struct train_generation *generation)
{
    const struct train_job *job = &train->job;
    train->audits = (struct train_audits){ .count = 0 };
    if (!train_is_audited (job, generation))
        return;
    if (train_compares (&train->orders, generation, job->state->step))
        plan_all (train, generation);
    else if (is_due (job, generation))
        plan_turn (train, generation);
}

void train_audit_again (struct train *train, const struct train_generation *generation,
                        uint32_t micro_batch)
{
    train->audits = (struct train_audits){ .count = 0 };
    plan_one (train, generation, micro_batch, false);
}

struct train_audit *train_audit_owned (struct train *train, uint32_t micro_batch)
{
    struct train_audits *audits = &train->audits;
    for (uint32_t i = audits->others; i < audits->count; i++)
        if (audits->list[i].micro_batch == micro_batch)
            return &audits->list[i];
    return NULL;
}

/* --- the hash --------------------------------------------------------------------------------- */

static uint64_t mix (uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C (0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* Tensors may be finished in any order: theirs are added. */
void train_audit_tensor (struct train_audit *audit, const struct train_job *job, uint32_t tensor,
                         const float *gradient)
{
    uint64_t count = mu_state_table_const (job->state)[tensor].elements, hash = mix (1, tensor);
    for (uint64_t i = 0; i < count; i += 2) {
        uint64_t pair = 0;
        memcpy (&pair, gradient + i, i + 1 < count ? sizeof pair : sizeof *gradient);
        hash = mix (hash, pair);
    }
    audit->digest += hash;
}

/* --- the others' part ------------------------------------------------------------------------- */

static void ignore (void *host, uint32_t tensor) { (void)host, (void)tensor; }

void train_audit_compute (struct train_thread *thread, struct train_audit *audit)
{
    struct train_job *job = thread->job;
    struct muster_batch batch = { .seed = job->spec.seed,
                                  .step = job->state->step,
                                  .micro_batch = audit->micro_batch,
                                  .training = 1 };
    struct muster_result result = { 0 };
    struct muster_problem problem = { "" };
    struct muster_progress progress = { ignore, NULL };
    struct mu_error error;
    if (train_fill (thread, job->data, &job->info, (uint32_t)job->spec.batch.micro, &batch,
                    &error) < 0 ||
        job->trainer->gradient (job->model, thread->weights, &batch, thread->workspace,
                                thread->gradients, &progress, &result, &problem) < 0)
        return;
    for (uint32_t tensor = 0; tensor < job->layout.tensors; tensor++)
        train_audit_tensor (audit, job, tensor, thread->gradients[tensor]);
    audit->done = true;
    train_worked (job);
}

/* --- AUDITED ---------------------------------------------------------------------------------- */

void train_audit_say (struct train *train, const struct train_generation *generation)
{
    for (uint32_t i = 0; i < train->audits.count; i++) {
        const struct train_audit *audit = &train->audits.list[i];
        struct mu_wire wire = { .type = MU_WIRE_AUDITED };
        if (!audit->done)
            continue;
        wire.audited.generation = generation->number;
        wire.audited.step = train->job.state->step;
        wire.audited.micro_batch = audit->micro_batch;
        wire.audited.digest = audit->digest;
        train_say (&train->report, &wire, -1);
    }
}
