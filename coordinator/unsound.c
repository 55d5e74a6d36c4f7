/* SPDX-License-Identifier: Apache-2.0 */
/* unsound.c - a checkpoint that is not what was committed
 *
 * COMMIT rests on the word of one worker, and storage may lose bits: whoever resumes proves a checkpoint
 * by its hashes. If all are below the newest one and could not load it, and one of them says that what
 * lies there is damaged or another state, then it is given up (UNSOUND, which names who wrote it), and
 * all load the one before; equal steps are equal bits, so that only time is lost. It is given up as well
 * if somebody has loaded another state than all ranks held at that step (proof.c), and nobody the right one. Then
 * who wrote it has written what it did not hold, and is not believed about others of which nobody else has said what
 * they are.
 *
 * One that nobody could read says nothing about itself: its storage may come back. It is waited for
 * (missing.c).
 *
 * Who wrote it may tell of it once more: a word of the generations until then, about a step up to that
 * one, is answered and does not count. */
#include "unsound.h"

#include "checkpoint.h"
#include "generation.h"
#include "job.h"
#include "prepare.h"
#include "proof.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

void unsound_follow (struct job_durable *job, const struct mu_journal_unsound *unsound)
{
    checkpoint_drop (job, unsound->back_step);
    if (job->anchor > unsound->back_step)
        job->anchor = unsound->back_step;
    job->unsound_step = higher (job->unsound_step, unsound->step);
    job->unsound_generation = unsound->generation;
}

bool unsound_is_told_again (const struct job_durable *job, const struct mu_wire_saved *saved)
{
    return saved->step <= job->unsound_step && saved->generation <= job->unsound_generation;
}

/* Its order to open was given before, and nothing of this state is anybody's work. */
bool unsound_was_loaded (const struct job *job, const struct mu_wire_prepared *prepared)
{
    return *prepared->digest && !prepared->blank && prepared->step <= job->durable.unsound_step &&
           prepared->step > job_committed_step (job);
}

const struct commit *unsound_upto (const struct job *job, uint64_t step, const char *doubted)
{
    for (uint32_t i = job->durable.commit_count; i-- > 0;) {
        const struct commit *commit = &job->durable.commits[i];
        if (commit->step <= step && !commit->pruned &&
            (!doubted || commit->state_sum || strcmp (commit->worker, doubted) != 0))
            return commit;
    }
    return NULL;
}

const struct commit *unsound_before (const struct job *job)
{
    return unsound_upto (job, job_committed_step (job) - 1, NULL);
}

/* Who found it, with commas; NULL: nobody did, or somebody has loaded it. Who could not load it matters if
 * nobody holds that state; who has loaded something else cannot go on from that. */
static const char *finders (struct coord *coord, struct worker **members, uint32_t count,
                            const struct commit *commit, bool all_behind)
{
    const char *names = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct position *position = &members[i]->position;
        if (proof_has_loaded (coord, members[i], commit))
            return NULL;
        if (position->unsound != commit->step || !(all_behind || position->odd) ||
            (names && strlen (names) > 120))
            continue;
        names = names ? core_text (coord, "%s, %s", names, members[i]->name) : members[i]->name;
    }
    return names;
}

void unsound_drop (struct coord *coord, struct job *job, const char *doubted, const char *found_by,
                   bool unread, const char *what, const char *advice)
{
    const struct commit *newest = job_newest_commit (job),
                        *before = unsound_upto (job, newest->step - 1, doubted);
    uint64_t back_step = before ? before->step : 0;
    const char *text = core_text (coord,
                                  "the checkpoint of step %llu, which worker %s wrote, %s; "
                                  "training goes on from step %llu. %s",
                                  (unsigned long long)newest->step, newest->worker, what,
                                  (unsigned long long)back_step, advice);
    struct mu_journal record = { .type = MU_JOURNAL_UNSOUND,
                                 .unsound = { .job = job->durable.number,
                                              .step = newest->step,
                                              .generation = job->durable.generation.number,
                                              .back_step = back_step,
                                              .text = core_blob (text),
                                              .unread = unread,
                                              .time_ms = coord->unix_ms } };
    SET (record.unsound.worker, newest->worker);
    SET (record.unsound.found_by, found_by);
    core_store (coord, &record);
    job_note (&job->soft.why, text);
    job_touch (coord, job);
}

static bool is_odd (struct worker *const *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (members[i]->position.odd)
            return true;
    return false;
}

bool unsound_give_up (struct coord *coord, struct job *job, struct worker **members, uint32_t count,
                      bool all_behind)
{
    const struct commit *newest = job_newest_commit (job);
    const char *names = newest ? finders (coord, members, count, newest, all_behind) : NULL;
    if (!names)
        return false;
    unsound_drop (coord, job, is_odd (members, count) ? newest->worker : NULL, names, false,
                  core_text (coord,
                             "is not what was committed: %s found it damaged, or of another state "
                             "(the job's log says which)",
                             names),
                  "Look at that worker's memory and at the storage of the checkpoints.");
    for (uint32_t i = 0; i < count; i++)
        if (members[i]->position.odd)
            worker_release (coord, members[i], true);
    generation_forget_tries (members, count);
    if (all_behind)
        job->soft.step = job_committed_step (job);
    return true;
}
