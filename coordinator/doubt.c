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
 * the same of the same step; or the same one, with a new trainer, where the job cannot do without it. */
#include "core.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)
#define TRIES_MAX        5u

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

void doubt_hear (struct coord *coord, struct job *job, const struct worker *worker,
                 const struct mu_wire_down *down)
{
    struct doubt *doubt = &job->soft.doubt;
    if (doubt->at != down->doubts)
        doubt->at = down->doubts, doubt->tries = 0, doubt->agreed = false;
    if (doubt->tries == TRIES_MAX || (doubt->tries && (doubt->agreed || !is_compared (job)))) {
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

void doubt_agreed (struct job *job, uint64_t step)
{
    struct doubt *doubt = &job->soft.doubt;
    doubt->agreed = doubt->agreed || doubt->at == step + 1;
}

bool doubt_is_its_own (const struct job *job, const struct worker *worker, uint64_t at)
{
    const struct doubt *doubt = &job->soft.doubt;
    bool by_another = strcmp (doubt->refused_by, worker->name) != 0;
    return at && !(doubt->refused_at == at && (by_another || !job_can_spare (job)));
}

void doubt_refused (struct job *job, const struct worker *worker, uint64_t at)
{
    job->soft.doubt.refused_at = at;
    SET (job->soft.doubt.refused_by, worker->name);
}
