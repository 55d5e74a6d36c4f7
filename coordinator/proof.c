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
 *                                   A checkpoint that is written before all have said so waits for it
 *     the last one                  nobody loads it: it is the job's result. Each rank says the hash of its
 *                                   weights when it has finished, and it is not committed before all
 *                                   have; who is wrong then is judged as for states (audit.c)
 *
 * What a worker is told to SAVE is proven in the same way, the last state by what ranks said of it when they had
 * finished: where some are to leave, all say what they hold
 * when they are told to end the generation. But it may stand between two tries at a step, with other scales
 * than after the one before, or ranks may have come a step apart: then nothing is known of its sum. Nor is
 * there anybody to ask where a worker trains alone. */
#include "proof.h"

#include "audit.h"
#include "checkpoint.h"
#include "job.h"
#include "prepare.h"

/* --- sums ------------------------------------------------------------------------------------- */

/* A checkpoint takes a while to be written, and of these records only the newest is kept: it tells of all
 * whose checkpoints may still come. */
void proof_fill (struct coord *coord, const struct job *job, const struct comparison *comparison,
                 struct mu_journal_agreed *agreed)
{
    const struct job_durable *durable = &job->durable;
    struct mu_journal_agreed_sum *list = core_scratch (coord, SUMS * sizeof *list);
    bool is_new = !comparison->attempt; /* else it is of no checkpoint */
    uint32_t count = 0, first = durable->sum_count == SUMS && is_new;
    for (uint32_t i = first; i < durable->sum_count; i++)
        if (durable->sums[i].step > job_committed_step (job))
            list[count++] =
                (struct mu_journal_agreed_sum){ durable->sums[i].step, durable->sums[i].sum };
    if (is_new)
        list[count++] =
            (struct mu_journal_agreed_sum){ agreed->step, comparison->opinions[0].digest };
    agreed->sums.items = list;
    agreed->sums.count = count;
}

void proof_follow (struct job_durable *job, const struct mu_journal_agreed *agreed)
{
    if (agreed->place)
        return;
    proof_forget (job);
    uint32_t count = agreed->sums.count < SUMS ? agreed->sums.count : SUMS;
    if (!count)
        return;
    job->sums = calloc (count, sizeof *job->sums);
    assert (job->sums);
    job->sum_count = count;
    for (uint32_t i = 0; i < count; i++)
        job->sums[i] = (struct agreed_sum){ agreed->sums.items[i].step, agreed->sums.items[i].sum };
}

/* Nobody holds what came after it. It is trained again, and is the same unless a worker was wrong: a sum of then would tell
 * against what is right now. */
void proof_follow_form (struct job_durable *job)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < job->sum_count; i++)
        if (job->sums[i].step <= job->generation.step)
            job->sums[kept++] = job->sums[i];
    job->sum_count = kept;
}

void proof_forget (struct job_durable *job)
{
    free (job->sums);
    job->sums = NULL;
    job->sum_count = 0;
}

/* The newest of that step: training may have gone back behind an older one. */
uint64_t proof_sum (const struct job_durable *job, uint64_t step)
{
    for (uint32_t i = job->sum_count; i-- > 0;)
        if (job->sums[i].step == step)
            return job->sums[i].sum;
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

bool proof_turn_away (struct coord *coord, struct worker **members, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (!members[i]->position.odd)
            continue;
        worker_turn_away (coord, members[i],
                          "it makes another state of a checkpoint than others do");
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

static uint32_t count_other_holders (const struct job *job, const struct worker *saver)
{
    uint32_t holders = 0;
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        const struct worker *worker = job->soft.workers[i];
        holders += worker != saver && worker_is_prepared (worker) &&
                   worker->position.step == job->durable.steps;
    }
    return holders;
}

/* They may be too few to form a generation. */
static bool may_wait (const struct coord *coord, const struct job *job)
{
    return coord->now_ms < job->soft.ended_ms + COORD_SAVE_LIMIT_MS;
}

/* Its writer has let go; those that hold the last state, too, write it anew and are compared. */
static bool others_write_it (const struct coord *coord, const struct job *job,
                             const struct worker *saver)
{
    uint32_t holders = count_other_holders (job, saver);
    return holders > 1 && (holders >= job->durable.workers_min || may_wait (coord, job));
}

/* It is said again until it is answered, also while the next generation forms, in which it is known, and while the job
 * waits for a worker to form it with. */
static bool withholds_last (struct coord *coord, struct job *job, struct worker *worker,
                            const struct mu_wire_saved *saved)
{
    const struct job_durable *durable = &job->durable;
    if (durable->state == MU_JOB_BREAKING || durable->state == MU_JOB_FORMING)
        return true;
    if (durable->state == MU_JOB_PREPARING)
        return count_other_holders (job, worker) && may_wait (coord, job);
    if (durable->state != MU_JOB_RUNNING || worker->rank == NONE)
        return false;
    audit_weights (coord, worker, saved->weights_hash);
    job->soft.withheld = durable->state != MU_JOB_RUNNING || awaits_somebody (job, worker) ||
                         !audit_is_agreed (job, saved->weights_hash);
    return job->soft.withheld;
}

/* It was written before all had said what they hold: with a sum it can be proven later. */
static bool lacks_sum (const struct job *job, const struct mu_wire_saved *saved)
{
    return saved->step < job->durable.steps &&
           saved->generation == job->durable.generation.number &&
           (job->durable.state == MU_JOB_RUNNING || job->durable.state == MU_JOB_BREAKING) &&
           audit_is_open (job, saved->step);
}

/* One that is to be paused trains as others do until it breaks; and its last checkpoint is its result like any other's. */
static bool goes_on (const struct job_durable *job, const struct mu_wire_saved *saved)
{
    return job->target == MU_JOB_PENDING ||
           (job->target == MU_JOB_PAUSED &&
            (job->state == MU_JOB_RUNNING || saved->step == job->steps));
}

/* It was told to save what others have said that they hold, too, when they had finished. */
static bool turns_away (struct coord *coord, struct job *job, struct worker *worker,
                        const struct mu_wire_saved *saved)
{
    if (saved->step < job->durable.steps || !audit_outvotes (job, saved->weights_hash))
        return false;
    worker_turn_away (coord, worker, "what it saved is not the last state that others have");
    job_touch (coord, job);
    return true;
}

bool proof_withholds (struct coord *coord, struct job *job, struct worker *worker,
                      const struct mu_wire_saved *saved)
{
    const struct job_durable *durable = &job->durable;
    if (durable->generation.size < 2)
        return false;
    if (worker->job == job && worker->order == ORDER_SAVE)
        return turns_away (coord, job, worker, saved);
    if (!goes_on (durable, saved))
        return false;
    if (worker->job != job || !worker_is_prepared (worker))
        return saved->step == durable->steps && others_write_it (coord, job, worker);
    if (!lacks_sum (job, saved))
        return saved->step == durable->steps && withholds_last (coord, job, worker, saved);
    job->soft.withheld = true;
    return true;
}

void proof_agreed (struct coord *coord, struct job *job)
{
    const struct worker *writer = job->soft.withheld ? job->soft.ranks[0] : NULL;
    job->soft.withheld = false;
    if (writer)
        checkpoint_say (coord, writer, job);
}
