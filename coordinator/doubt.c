/* SPDX-License-Identifier: Apache-2.0 */
/* doubt.c - what came out of a step cannot be, or somebody cannot do it: is it the job's fault, or a worker's?
 *
 * A gradient that is not a finite number comes of the data or of the model, and then the job has to fail, or of
 * one worker whose memory fell over, and then it must not. All ranks see it at once, as it is in what they
 * reduced. So their states are compared, and what those make of the micro-batch whose turn it is (audit.c), and
 * the step is computed again from nothing. Who is wrong is found by that; if all held the same, or nothing is
 * compared, and the same comes out again, it is the job's fault.
 *
 * A comparison may lack somebody, who died meanwhile, say: then all are asked again, but not for ever.
 *
 * A trainer that can make nothing of a record says so, and others may. It is the job's fault if another one says
 * the same of the same step; or the same one, with a new trainer, where the job cannot do without it.
 *
 * Who was given its state by another only repeats what that one's memory made of it, until a third was found to
 * hold the same. Where nobody else says that a step cannot be, all go back to the newest checkpoint, once, and each
 * loads it itself: what comes out then is the job's fault. */
#include "doubt.h"

#include "audit.h"
#include "generation.h"
#include "job.h"
#include "review.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)
#define TRIES_MAX        5u

/* Most jobs never need one. */
static const struct doubt *doubt_of (const struct job *job)
{
    static const struct doubt none;
    return job->soft.doubt ? job->soft.doubt : &none;
}

static struct doubt *doubt_for (struct job *job)
{
    if (!job->soft.doubt)
        job->soft.doubt = calloc (1, sizeof *job->soft.doubt);
    assert (job->soft.doubt);
    return job->soft.doubt;
}

static void fail (struct coord *coord, struct job *job, const struct worker *worker,
                  const struct mu_wire_down *down)
{
    job_stop (coord, job, MU_JOB_FAILED, MU_FAILED,
              core_text (coord, "Worker %s: %s", worker->name, down->text));
}

/* Else nobody can say what another holds, and it is computed again all the same: it may have been so once. */
static bool is_compared (const struct job *job)
{
    return job->durable.audited && job->durable.generation.size > 1;
}

/* To before this step. The journal says so, and thereby to the next reign. */
static bool has_gone_back (const struct job *job, uint64_t at)
{
    return job->durable.disputed && job->durable.disputed_step == at;
}

/* Who is named is kept off where the job can do without it, until all have done that step and agreed. */
static void go_back (struct coord *coord, struct job *job, uint64_t at, const char *name,
                     const char *why)
{
    struct mu_journal record = {
        .type = MU_JOURNAL_EXPEL,
        .expel = { .job = job->durable.number, .step = at, .time_ms = coord->unix_ms }
    };
    audit_fill_back (job, &record.expel, job_committed_step (job), NULL);
    SET (record.expel.others, name);
    audit_go_back_once (
        coord, job,
        core_text (coord, "%s; that may be the memory of %s, whose state it is", why, name),
        &record);
    *doubt_for (job) = (struct doubt){ 0 };
}

void doubt_hear (struct coord *coord, struct job *job, const struct worker *worker,
                 const struct mu_wire_down *down)
{
    struct doubt *doubt = doubt_for (job);
    if (doubt->at != down->doubts)
        doubt->at = down->doubts, doubt->tries = 0, doubt->agreed = false;
    bool again = doubt->tries != 0, lone = doubt->lone_at == doubt->at;
    if (again && lone && !has_gone_back (job, doubt->at)) {
        const char *why =
            core_text (coord, "step %llu: %s", (unsigned long long)doubt->at - 1, down->text);
        go_back (coord, job, doubt->at, doubt->lone, why);
        return;
    }
    if (doubt->tries == TRIES_MAX || (again && (doubt->agreed || lone || !is_compared (job)))) {
        fail (coord, job, worker, down);
        return;
    }
    doubt->tries++;
    if (is_compared (job))
        review_all (coord, job);
    generation_break (coord, job, false,
                      core_text (coord, "step %llu is computed again: %s",
                                 (unsigned long long)down->doubts - 1, down->text));
}

static bool is_echo (const struct job *job, uint32_t rank)
{
    return rank != NONE && job->durable.generation.members[rank].echo;
}

void doubt_agreed (struct job *job, uint64_t step)
{
    const struct generation *generation = &job->durable.generation;
    const char *voice = "";
    uint32_t voices = 0;
    for (uint32_t rank = 0; rank < generation->size; rank++)
        if (!is_echo (job, rank))
            voice = generation->members[rank].name, voices++;
    if (voices == 1) {
        struct doubt *lone = doubt_for (job);
        lone->lone_at = step + 1;
        SET (lone->lone, voice);
    }
    struct doubt *doubt = job->soft.doubt;
    if (doubt && doubt->at == step + 1 && doubt->lone_at != doubt->at)
        doubt->agreed = true;
}

bool doubt_is_its_own (const struct job *job, const struct worker *worker, uint64_t at)
{
    const struct doubt *doubt = doubt_of (job);
    bool by_another = strcmp (doubt->refused_by, worker->name) != 0;
    return at && !(doubt->refused_at == at && (by_another || !job_can_spare (job)));
}

void doubt_refused (struct job *job, const struct worker *worker, uint64_t at)
{
    struct doubt *doubt = doubt_for (job);
    doubt->refused_at = at;
    doubt->refused_echo = is_echo (job, worker->rank);
    SET (doubt->refused_by, worker->name);
}

bool doubt_goes_back (struct coord *coord, struct job *job, const struct worker *worker,
                      uint64_t at, const char *why)
{
    const struct doubt *doubt = doubt_of (job);
    bool echo = is_echo (job, worker->rank), lone = doubt->lone_at == at;
    if (!at || doubt->refused_at != at || !strcmp (doubt->refused_by, worker->name) ||
        !(echo || doubt->refused_echo || lone) || !is_compared (job) || has_gone_back (job, at))
        return false;
    go_back (coord, job, at, lone ? doubt->lone : echo ? doubt->refused_by : worker->name, why);
    return true;
}
