/* SPDX-License-Identifier: Apache-2.0 */
/* doubt.c - what came out of a step cannot be: is it the job's fault, or a worker's?
 *
 * A gradient that is not a finite number comes of the data or of the model, and then the job has to fail, or of
 * one worker whose memory fell over, and then it must not. All ranks see it at once, as it is in what they
 * reduced. So their states are compared, and what those make of the micro-batch whose turn it is (audit.c), and
 * the step is computed again from nothing. Who is wrong is found by that; if all held the same, and the same
 * comes out again, it is the job's fault.
 *
 * A comparison may lack somebody, who died meanwhile, say: then all are asked again, but not for ever. */
#include "core.h"

#define TRIES_MAX 5u

static void fail (struct coord *coord, struct job *job, const struct worker *worker,
                  const struct mu_wire_down *down)
{
    job_stop (coord, job, MU_JOB_FAILED, MU_FAILED,
              core_text (coord, "Worker %s: %s", worker->name, down->text));
}

void doubt_hear (struct coord *coord, struct job *job, const struct worker *worker,
                 const struct mu_wire_down *down)
{
    struct doubt *doubt = &job->soft.doubt;
    if (doubt->at != down->doubts) /* before the first step there is nothing to compare */
        *doubt = (struct doubt){ .at = down->doubts, .agreed = down->doubts == 1 };
    if (doubt->tries == TRIES_MAX || (doubt->tries && doubt->agreed)) {
        fail (coord, job, worker, down);
        return;
    }
    doubt->tries++;
    review_all (coord, job);
    generation_break (coord, job, false,
                      core_text (coord, "step %llu is compared and computed again: %s",
                                 (unsigned long long)down->doubts - 1, down->text));
}

void doubt_agreed (struct job *job, uint64_t step)
{
    struct doubt *doubt = &job->soft.doubt;
    doubt->agreed = doubt->agreed || doubt->at == step + 1;
}
