/* SPDX-License-Identifier: Apache-2.0 */
/* scale.c - how many workers a job may have, changed while it trains
 *
 * SCALE sets a job's maximum, and its minimum too if that was higher. What it has beyond leaves as a
 * drained worker does: at a step boundary, as planned, with nothing computed twice; what it lacks
 * joins as any worker does (queue.c). The answer does not depend on it. */
#include "scale.h"

#include "job.h"
#include "query.h"
#include "queue.h"
#include "roster.h"

void scale_answer (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    const struct mu_wire_scale *asked = &wire->scale;
    struct job *job = query_job (coord, peer, asked->request, asked->job);
    if (!job)
        return;
    struct job_durable *durable = &job->durable;
    if (job_ended (job)) {
        query_refuse (coord, peer, asked->request, MU_CONFLICT,
                      core_text (coord, "Job %llu is %s: it has no workers any more.",
                                 (unsigned long long)durable->number,
                                 mu_job_state_name ((int)durable->state)));
        return;
    }
    uint32_t most = asked->workers;
    struct mu_journal record = {
        .type = MU_JOURNAL_SCALE,
        .scale = { .job = durable->number,
                   .workers_min = durable->workers_min < most ? durable->workers_min : most,
                   .workers_max = most,
                   .time_ms = coord->unix_ms }
    };
    if (durable->workers_max != most || durable->workers_min > most)
        core_store (coord, &record);
    queue_want (coord);
    query_accept (
        coord, peer, asked->request,
        core_text (coord, "It trains on %u to %u workers from now on%s.", durable->workers_min,
                   most,
                   most > durable->micro_batches ? ", though no more than its micro-batches" : ""));
}

void scale_mind (struct coord *coord, struct job *job)
{
    uint32_t most = queue_useful_max (job), staying = 0;
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        staying += !worker_leaves (coord, job->soft.workers[i]);
    for (uint32_t i = job->soft.worker_count; i > 0 && staying > most; i--) {
        struct worker *worker = job->soft.workers[i - 1];
        if (worker_leaves (coord, worker))
            continue;
        worker->yields = true;
        staying--;
        job_touch (coord, job);
    }
}
