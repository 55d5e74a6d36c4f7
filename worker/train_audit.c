/* SPDX-License-Identifier: Apache-2.0 */
/* train_audit.c - now and then one micro-batch is computed by several ranks, and compared
 *
 * Which one is told by the step and the generation's map, so no word is needed: the ranks take
 * turns, and so do a rank's micro-batches. Its owner hashes what it adds to its sums, tensor by
 * tensor and while it adds, so the hash is of what counts; the two ranks after it compute the same
 * gradient and add it to nothing. The coordinator compares (its audit.c).
 *
 * The first step of a generation is left out: what its ranks had kept was computed before, and in
 * another map. A rank that is interrupted, or whose gradient fails here, says nothing; then the
 * comparison does not count, and who computes it for the step meets the same failure. Where a job
 * says `exact: false`, right gradients may differ, and there are no audits. */
#include "train.h"

#include <string.h>

#define AUDITORS 3u /* with the owner: two against one tell who is wrong */

static bool is_due (const struct train_job *job, const struct train_generation *generation)
{
    uint64_t step = job->state->step, every = job->spec.audit_every;
    return every && job->spec.exact && generation->size > 1 && step != generation->step &&
           (step % every == 0 || step + 1 == generation->steps);
}

static uint32_t count_of (const struct train_job *job, const uint16_t *map, uint32_t rank)
{
    uint32_t count = 0;
    for (uint32_t m = 0; m < job->micro_batches; m++)
        count += map[m] == rank;
    return count;
}

/* The turn's rank, or the next that has any; of its micro-batches, the turn's. */
static uint32_t choose (const struct train_job *job, const struct train_generation *generation)
{
    uint64_t step = job->state->step, every = job->spec.audit_every;
    uint64_t turn = step % every ? step : step / every;
    uint32_t rank = (uint32_t)(turn % generation->size), count, m = 0;
    while (!(count = count_of (job, generation->map, rank)))
        rank = (rank + 1) % generation->size;
    uint32_t left = (uint32_t)(turn / generation->size % count);
    while (generation->map[m] != rank || left--)
        m++;
    return m;
}

void train_audit_plan (struct train *train, const struct train_generation *generation)
{
    const struct train_job *job = &train->job;
    struct train_audit *audit = &train->audit;
    *audit = (struct train_audit){ .role = TRAIN_AUDIT_NONE };
    if (!is_due (job, generation))
        return;
    audit->micro_batch = choose (job, generation);
    if (train_is_skipped (generation, job->state->step, audit->micro_batch) ||
        train_is_suspect (generation, job->state->step, audit->micro_batch))
        return; /* poison: it is computed by nobody, or by one who may die of it */
    uint32_t owner = generation->map[audit->micro_batch];
    uint32_t after = (generation->rank + generation->size - owner) % generation->size;
    if (after < AUDITORS)
        audit->role = after ? TRAIN_AUDIT_OTHER : TRAIN_AUDIT_OWNER;
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
    struct mu_wire wire = { .type = MU_WIRE_AUDITED };
    if (!train->audit.done)
        return;
    wire.audited.generation = generation->number;
    wire.audited.step = train->job.state->step;
    wire.audited.micro_batch = train->audit.micro_batch;
    wire.audited.digest = train->audit.digest;
    train_say (&train->report, &wire, -1);
}
