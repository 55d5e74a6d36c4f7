/* SPDX-License-Identifier: Apache-2.0 */
/* proof.c - is a checkpoint what others hold?
 *
 * One worker writes it and says its hash; a bit that falls over in what it writes is in the file, in the
 * hash and in COMMIT, and whoever loads it finds them equal. But all ranks hold that state:
 *
 *     a checkpoint that is loaded   COMMIT says what all ranks found the sum of their states to be after
 *                                   that step (DIGEST), and PREPARED what came of loading it. Who has
 *                                   loaded something else counts as one that could not load it, so that
 *                                   the checkpoint is given up, or it, if others could (unsound.c)
 *     the last one                  nobody loads it: it is the job's result. Each rank says the hash of its
 *                                   weights when it has finished, and it is not committed before all
 *                                   have; who is wrong then is judged as for states (audit.c)
 *
 * What a worker was told to SAVE may stand between two tries at a step, with other scales than after
 * the one before: nothing is known of its sum. Nor is there anybody to ask where a worker trains alone. */
#include "core.h"

/* --- sums ------------------------------------------------------------------------------------- */

void proof_note (struct job_soft *soft, uint64_t step, uint64_t sum)
{
    soft->sums[soft->sum_next++ % SUMS] = (struct agreed_sum){ step, sum };
}

/* The newest of that step: training may have gone back behind an older one. */
uint64_t proof_sum (const struct job *job, uint64_t step)
{
    const struct job_soft *soft = &job->soft;
    for (uint32_t i = 1; i <= SUMS && i <= soft->sum_next; i++)
        if (soft->sums[(soft->sum_next - i) % SUMS].step == step)
            return soft->sums[(soft->sum_next - i) % SUMS].sum;
    return 0;
}

static const char *say_sum (struct coord *coord, const struct commit *commit)
{
    return core_text (coord, "%016llx", (unsigned long long)commit->state_sum);
}

bool proof_has_loaded (struct coord *coord, const struct worker *worker,
                       const struct commit *commit)
{
    const struct position *position = &worker->position;
    return commit->state_sum && position->step == commit->step && !position->attempt &&
           position->lineage == index_hash_text (say_sum (coord, commit));
}

void proof_loaded (struct coord *coord, struct worker *worker,
                   const struct mu_wire_prepared *prepared)
{
    const struct commit *commit = job_newest_commit (worker->job);
    if (!commit || !commit->state_sum || prepared->blank || prepared->step != commit->step ||
        prepared->attempt || !*prepared->digest ||
        !strcmp (prepared->digest, say_sum (coord, commit)))
        return;
    worker->position = (struct position){ .distrusted = prepared->distrusted,
                                          .unsound = commit->step,
                                          .odd = true };
}

bool proof_turn_away (struct coord *coord, struct job *job, struct worker **members, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (!members[i]->position.odd)
            continue;
        trust_blame (coord, members[i], "it makes another state of a checkpoint than others do");
        worker_refuse (coord, members[i], job->durable.number, COORD_COOL_OFF_MS);
        worker_release (coord, members[i], false);
        any = true;
    }
    return any;
}

/* --- the last checkpoint ---------------------------------------------------------------------- */

/* Some have not done the last step, or not hashed what came of it, as far as we know. */
static bool awaits_somebody (const struct job *job, const struct worker *saver)
{
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++) {
        const struct worker *worker = job->soft.ranks[rank];
        if (worker && worker != saver && !(worker->finished && worker->phase == MU_PHASE_FINISHED))
            return true;
    }
    return false;
}

/* What was withheld is said again when an older step is said to be committed. */
void proof_finished (struct coord *coord, struct worker *worker, const char *hash)
{
    const struct job *job = worker->job;
    if (!audit_weights (coord, worker, hash) || job->durable.state != MU_JOB_RUNNING ||
        !job->soft.withheld)
        return;
    const struct worker *writer = job->soft.ranks[0];
    if (writer && !awaits_somebody (job, writer))
        checkpoint_say (coord, writer, job);
}

/* It is said again until it is answered, also while the next generation forms, in which it is known. */
bool proof_withholds (struct coord *coord, struct job *job, struct worker *worker,
                      const struct mu_wire_saved *saved)
{
    const struct job_durable *durable = &job->durable;
    if (saved->step != durable->steps || worker->job != job || worker->order == ORDER_SAVE ||
        durable->target != MU_JOB_PENDING || durable->generation.size < 2)
        return false;
    if (durable->state == MU_JOB_BREAKING || durable->state == MU_JOB_FORMING)
        return true;
    if (durable->state != MU_JOB_RUNNING || worker->rank == NONE)
        return false;
    audit_weights (coord, worker, saved->weights_hash);
    job->soft.withheld = durable->state != MU_JOB_RUNNING || awaits_somebody (job, worker) ||
                         !audit_is_agreed (job, saved->weights_hash);
    return job->soft.withheld;
}
