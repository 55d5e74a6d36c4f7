/* SPDX-License-Identifier: Apache-2.0 */
/* savers.c - who may say that a checkpoint is complete
 *
 * A checkpoint that is not there, or of another state, would be what a job resumes from, and its
 * result. So SAVED counts only from those who were to write one:
 *
 *     rank 0 of a generation   of that generation, a step that its leases reach
 *     who was told to SAVE     the state that it stood at then, or a later one that was leased
 *
 * Both follow from records (FORM and LEASE; SAVE), so that the next reign knows them, and who has let
 * go since, or was lost and is back, is believed. A saver is forgotten when a newer checkpoint is
 * committed than any that it can have written, when states are given up because a worker was wrong,
 * when the job has ended, and when there are SAVERS_MAX younger ones: what it might still tell was of
 * long ago, and is written again. */
#include "savers.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* A generation that is not followed by another yet may be leased more. */
static uint64_t until (const struct job_durable *job, const struct saver *saver)
{
    bool newest = !saver->told && saver->generation == job->generation.number;
    return newest ? job->generation.until_step : saver->until_step;
}

static struct saver *add (struct job_durable *job, const char *name, uint64_t incarnation)
{
    if (job->saver_count == SAVERS_MAX)
        memmove (job->savers, job->savers + 1, --job->saver_count * sizeof *job->savers);
    job->savers =
        core_grow (job->savers, job->saver_count, &job->saver_capacity, sizeof *job->savers);
    struct saver *saver = &job->savers[job->saver_count++];
    *saver = (struct saver){ .incarnation = incarnation, .generation = job->generation.number };
    SET (saver->name, name);
    return saver;
}

void savers_follow_form (struct job_durable *job, const struct generation *before)
{
    const struct generation *generation = &job->generation;
    for (uint32_t i = 0; i < job->saver_count; i++)
        if (!job->savers[i].told && job->savers[i].generation == before->number)
            job->savers[i].until_step = before->until_step;
    const struct member *writer = &generation->members[0];
    add (job, writer->name, writer->incarnation)->step = generation->step;
}

void savers_follow_save (struct job_durable *job, const struct mu_journal_save *save)
{
    uint64_t until_step = save->step;
    for (uint32_t i = 0; i < job->saver_count; i++)
        if (until (job, &job->savers[i]) > until_step)
            until_step = until (job, &job->savers[i]);
    struct saver *saver = add (job, save->worker, save->incarnation);
    saver->told = true;
    saver->between = save->attempt > 0;
    saver->step = save->step;
    saver->until_step = until_step;
}

void savers_follow_commit (struct job_durable *job, uint64_t step)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < job->saver_count; i++) {
        const struct saver *saver = &job->savers[i];
        bool newest = !saver->told && saver->generation == job->generation.number;
        if (newest || saver->until_step > step)
            job->savers[kept++] = *saver;
    }
    job->saver_count = kept;
}

void savers_forget (struct job_durable *job)
{
    free (job->savers);
    job->savers = NULL;
    job->saver_count = job->saver_capacity = 0;
}

bool savers_stand_between (const struct job_durable *job, const struct worker *worker,
                           const struct mu_wire_saved *saved)
{
    for (uint32_t i = 0; i < job->saver_count; i++)
        if (job->savers[i].between && job->savers[i].step == saved->step &&
            !strcmp (job->savers[i].name, worker->name))
            return true;
    return false;
}

bool savers_have (const struct job_durable *job, const struct worker *worker,
                  const struct mu_wire_saved *saved)
{
    for (uint32_t i = 0; i < job->saver_count; i++) {
        const struct saver *saver = &job->savers[i];
        bool of_it = saver->told ? saved->generation <= saver->generation
                                 : saved->generation == saver->generation;
        if (of_it && saver->incarnation == worker->incarnation &&
            !strcmp (saver->name, worker->name) && saved->step >= saver->step &&
            saved->step <= until (job, saver))
            return true;
    }
    return false;
}
