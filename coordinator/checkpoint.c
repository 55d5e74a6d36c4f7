/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - SAVED becomes COMMIT, COMMIT becomes COMMITTED
 *
 * A checkpoint is promised once COMMIT is journalled. The word of whoever was to write one is good
 * (savers.c), of any generation of the job: equal steps are equal bits. Steps committed only grow; what
 * was saved of an older step is answered with the newest, so that its worker stops asking.
 *
 * COMMITTED names all that are to stay, so that whoever removes the others needs no rule of its own: what lies on
 * storage and was never committed would be counted by one (docs/decisions/0067).
 *
 * checkpoint_wait () keeps a state from vanishing: when the workers that would stay are more than a
 * step behind one that leaves, or all leave, the best one is told to SAVE first, and again where that failed; also if
 * the job has lacked workers for a while. */
#include "checkpoint.h"

#include "audit.h"
#include "generation.h"
#include "job.h"
#include "orders.h"
#include "overdue.h"
#include "proof.h"
#include "review.h"
#include "roster.h"
#include "savers.h"
#include "unsound.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)
#define STAYS_MAX        1002u /* as in wire.schema; checkpoint.keep is at most 1000 */

/* What may be resumed from, and nothing else: only we know which of those on storage were committed. Of a job whose
 * record says no `keep` nothing is said, and who removes goes by the number that it has. */
static void say_what_stays (struct coord *coord, const struct job_durable *job,
                            struct mu_wire_committed *said)
{
    uint32_t room = job->commit_count < STAYS_MAX ? job->commit_count : STAYS_MAX, count = 0;
    if (!job->keep)
        return;
    struct mu_wire_stays *list = core_scratch (coord, room * sizeof *list);
    for (uint32_t i = job->commit_count; i-- > 0 && count < room;)
        if (!job->commits[i].pruned)
            list[count++].step = job->commits[i].step;
    said->stays.items = list;
    said->stays.count = count;
    said->generation = job->generation.number;
    said->first = job->first_step;
}

void checkpoint_say (struct coord *coord, const struct worker *worker, const struct job *job)
{
    struct mu_wire_committed *said = &core_tell (coord, worker, MU_WIRE_COMMITTED)->committed;
    said->job = job->durable.number;
    said->step = job_committed_step (job);
    said->anchor = job->durable.anchor;
    say_what_stays (coord, &job->durable, said);
}

/* Of a generation whose states are not to be trusted, as a worker was wrong: it is no checkpoint. */
static bool is_distrusted (const struct job *job, const struct mu_wire_saved *saved)
{
    return job->durable.distrusted && saved->generation <= job->durable.distrusted;
}

/* Why not, in words; NULL: it can be so. What is committed is not said to be anything else; a step
 * before it makes no difference any more. */
static const char *why_not (struct coord *coord, const struct job *job, const struct worker *worker,
                            const struct mu_wire_saved *saved)
{
    const struct commit *newest = job_newest_commit (job);
    if (newest && saved->step < newest->step)
        return NULL;
    if (newest && saved->step == newest->step)
        return strcmp (saved->weights_hash, newest->weights_hash) != 0
                   ? core_text (coord, "its weights are %s, but %s is committed",
                                saved->weights_hash, newest->weights_hash)
                   : NULL;
    if (!savers_have (&job->durable, worker, saved))
        return "it was not to write that one";
    return saved->path.size && *saved->weights_hash ? NULL : "it names no path, or no hash";
}

/* Told of at most once in a while: who says such a thing may do so for ever. */
static void disbelieve (struct coord *coord, struct worker *worker,
                        const struct mu_wire_saved *saved, const char *why)
{
    if (coord->now_ms < worker->doubt_after_ms)
        return;
    worker->doubt_after_ms = coord->now_ms + COORD_DOUBT_MS;
    struct mu_journal record = { .type = MU_JOURNAL_DISBELIEVED,
                                 .disbelieved = { .job = saved->job,
                                                  .incarnation = worker->incarnation,
                                                  .generation = saved->generation,
                                                  .step = saved->step,
                                                  .time_ms = coord->unix_ms } };
    SET (record.disbelieved.worker, worker->name);
    record.disbelieved.text = core_blob (core_text (
        coord,
        "worker %s is not believed that it saved a checkpoint of step %llu in generation %llu: %s",
        worker->name, (unsigned long long)saved->step, (unsigned long long)saved->generation, why));
    core_store (coord, &record);
}

static void commit (struct coord *coord, struct job *job, const struct worker *worker,
                    const struct mu_wire_saved *saved)
{
    uint64_t anchor = audit_anchor (&job->durable, saved->step, coord->unix_ms);
    struct mu_journal record = { .type = MU_JOURNAL_COMMIT,
                                 .commit = { .job = saved->job,
                                             .generation = saved->generation,
                                             .step = saved->step,
                                             .path = saved->path,
                                             .bytes = saved->bytes,
                                             .anchor = anchor,
                                             .time_ms = coord->unix_ms,
                                             .loss = saved->loss,
                                             .loss_evaluated = saved->loss_evaluated,
                                             .accuracy = saved->accuracy,
                                             .evaluated_step = saved->evaluated_step } };
    SET (record.commit.weights_hash, saved->weights_hash);
    SET (record.commit.worker, worker->name);
    if (!savers_stand_between (&job->durable, worker, saved))
        record.commit.state_sum = proof_sum (&job->durable, saved->step);
    core_store (coord, &record);
    job_note (&job->soft.why, "");
    overdue_committed (coord, job, saved->step);
}

void checkpoint_saved (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_saved *saved = &wire->saved;
    struct job *job = core_job (coord, saved->job);
    if (roster_is_of_the_reign_before (coord, wire))
        return;
    if (!job || job_ended (job) || !job->durable.sized)
        return;
    bool is_void = is_distrusted (job, saved) || unsound_is_told_again (&job->durable, saved);
    const char *why = is_void ? NULL : why_not (coord, job, worker, saved);
    if (why) {
        disbelieve (coord, worker, saved, why);
        return;
    }
    bool is_newer = !is_void && saved->step > job_committed_step (job);
    if (is_newer && proof_withholds (coord, job, worker, saved))
        return;
    if (is_newer)
        commit (coord, job, worker, saved);
    if (!is_void) /* an older step than its own would ask it to say that again */
        checkpoint_say (coord, worker, job);
    if (worker->job == job && worker->order == ORDER_SAVE && saved->step >= worker->position.step) {
        order_clear (worker);
        job->soft.save_done = true;
    }
    job_touch (coord, job);
}

/* --- a save that must be ---------------------------------------------------------------------- */

static void note_failure (struct coord *coord, struct job *job, const struct worker *worker,
                          const struct mu_wire_save_failed *failed)
{
    job_note (&job->soft.why, core_text (coord, "Not saved by worker %s: %.*s", worker->name,
                                         (int)failed->text.size, (const char *)failed->text.data));
}

/* Whether it is to be tried again, somewhat later: somebody may make room. */
static bool may_be_tried_again (struct coord *coord, struct job *job)
{
    struct job_soft *soft = &job->soft;
    uint32_t doublings = soft->save_tries < 4 ? soft->save_tries : 4;
    if (soft->save_tries++ == 0)
        soft->save_limit_ms = coord->now_ms + coord->options.save_try_ms;
    if (coord->now_ms >= soft->save_limit_ms)
        return false;
    soft->form_after_ms = coord->now_ms + (COORD_SAVE_RETRY_MS << doublings);
    core_wake (coord, soft->form_after_ms);
    return true;
}

/* The last checkpoint is the job's result: without it the job cannot be done. */
static void give_up (struct coord *coord, struct job *job)
{
    if (job->soft.end_unsaved)
        job_stop (coord, job, MU_JOB_FAILED, MU_IO,
                  core_text (coord, "%s", job->soft.why ? job->soft.why : ""));
    else
        job->soft.save_done = true;
}

void checkpoint_save_failed (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_save_failed *failed = &wire->save_failed;
    struct job *job = worker->job;
    if (!job || failed->job != job->durable.number || job->durable.state == MU_JOB_STOPPING ||
        failed->step <= job_committed_step (job))
        return;
    note_failure (coord, job, worker, failed);
    if (worker->order == ORDER_SAVE && failed->step < worker->position.step)
        return; /* the one before, which had to end first: what it was told to save is to come */
    if (worker->order == ORDER_SAVE) {
        order_clear (worker);
        if (!may_be_tried_again (coord, job))
            give_up (coord, job);
    } else if (failed->step == job->durable.steps) {
        job->soft.end_unsaved = true;
    }
    job_touch (coord, job);
}

/* The job lacks workers, nobody knows for how long, and whoever holds its newest state may die before others come. */
static bool waits_long (struct coord *coord, const struct job *job)
{
    uint64_t limit_ms = job->soft.lacking_since_ms + COORD_LACK_SAVE_MS;
    if (!job->soft.lacking_since_ms)
        return false;
    if (coord->now_ms < limit_ms)
        core_wake (coord, limit_ms);
    return coord->now_ms >= limit_ms;
}

/* Does the best state go away with those who leave, or may it with those who wait? */
static bool is_endangered (struct coord *coord, const struct job *job, const struct worker *best)
{
    if (job->durable.target == MU_JOB_PAUSED)
        return true;
    if (job->soft.end_unsaved && best->position.step == job->durable.steps)
        return true;
    if (waits_long (coord, job))
        return true;
    if (!review_lets_go (coord, job, best))
        return false;
    const struct worker *staying = generation_best (coord, job, true);
    return !staying || staying->position.step + 1 < best->position.step;
}

/* Stored first: who was told is believed, whoever reigns when it answers. */
static void tell_to_save (struct coord *coord, const struct job *job, struct worker *worker)
{
    struct mu_journal record = { .type = MU_JOURNAL_SAVE,
                                 .save = { .job = job->durable.number,
                                           .generation = job->durable.generation.number,
                                           .incarnation = worker->incarnation,
                                           .step = worker->position.step,
                                           .attempt = worker->position.attempt,
                                           .time_ms = coord->unix_ms } };
    SET (record.save.worker, worker->name);
    core_store (coord, &record);
    order_give (coord, worker, ORDER_SAVE);
}

/* What it was told is not taken back: it may still come, and is believed. */
static void wait_no_more (struct job *job)
{
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        if (job->soft.workers[i]->order == ORDER_SAVE)
            order_clear (job->soft.workers[i]);
}

bool checkpoint_wait (struct coord *coord, struct job *job)
{
    struct job_soft *soft = &job->soft;
    struct worker *best = generation_best (coord, job, false);
    if (soft->orders[ORDER_SAVE] && best && !is_endangered (coord, job, best))
        wait_no_more (job); /* the job was to be paused, or its best to leave, and is not */
    if (soft->orders[ORDER_SAVE])
        return true;
    if (soft->save_done)
        return false;
    if (!best || best->position.step <= job_committed_step (job) ||
        !is_endangered (coord, job, best))
        return false;
    if (soft->save_tries && coord->now_ms < soft->form_after_ms) {
        core_wake (coord, soft->form_after_ms);
        return true;
    }
    tell_to_save (coord, job, best);
    return true;
}

/* --- what stays ------------------------------------------------------------------------------- */

void checkpoint_drop (struct job_durable *job, uint64_t back_step)
{
    while (job->commit_count && job->commits[job->commit_count - 1].step > back_step)
        free (job->commits[--job->commit_count].path);
}

void checkpoint_prune (struct job_durable *job)
{
    for (uint32_t i = 0; job->keep && i + job->keep < job->commit_count; i++)
        if (job->commits[i].step != job->anchor)
            job->commits[i].pruned = true;
}

/* --- for people ------------------------------------------------------------------------------- */

void checkpoint_answer (struct coord *coord, uint32_t peer, uint64_t request, const struct job *job)
{
    const struct job_durable *durable = &job->durable;
    struct mu_wire_checkpoint_info *list =
        core_scratch (coord, durable->commit_count * sizeof *list);
    uint32_t count = 0;
    for (uint32_t i = 0; i < durable->commit_count; i++) {
        const struct commit *commit = &durable->commits[i];
        if (commit->pruned)
            continue;
        list[count].step = commit->step;
        list[count].path = core_blob (commit->path);
        SET (list[count].weights_hash, commit->weights_hash);
        list[count].bytes = commit->bytes;
        list[count].loss = commit->results.loss;
        list[count].loss_evaluated = commit->results.loss_evaluated;
        list[count].accuracy = commit->results.accuracy;
        list[count].evaluated_step = commit->results.evaluated_step;
        list[count++].committed_ms = commit->time_ms;
    }
    struct mu_wire_checkpoint_list *said =
        &core_say (coord, peer, MU_WIRE_CHECKPOINT_LIST)->checkpoint_list;
    said->request = request;
    said->checkpoints.items = list;
    said->checkpoints.count = count;
}
