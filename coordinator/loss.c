/* SPDX-License-Identifier: Apache-2.0 */
/* loss.c - what had broken a generation, told when it is known
 *
 * A generation breaks at the first sign, and that is often another's: the neighbours of a worker that
 * dies see their connections to it end before anybody misses the worker. BROKEN then names who noticed.
 * Who died is known some milliseconds later, by the end of its own connection, or by its agent's
 * word about its collective. LOST tells that, for who reads `muster events`. Where many die at once the
 * first few are named: the others are in `muster workers`. docs/decisions/0069. */
#include "loss.h"

#define TOLD_MAX 8u /* of one generation */

#define SET(field, text) mu_text_set (field, sizeof (field), text)

void loss_tell (struct coord *coord, struct job *job, const struct worker *worker,
                enum mu_process_state process, const char *why)
{
    unsigned long long generation = job->durable.generation.number;
    if (job->soft.losses > TOLD_MAX)
        return;
    struct mu_journal record = { .type = MU_JOURNAL_LOST,
                                 .lost = { .job = job->durable.number,
                                           .generation = generation,
                                           .process = process,
                                           .time_ms = coord->unix_ms } };
    SET (record.lost.worker, worker->name);
    if (job->soft.losses++ == TOLD_MAX)
        SET (record.lost.text,
             core_text (coord,
                        "more workers than these, which were in generation %llu, are lost: `muster "
                        "workers` lists them",
                        generation));
    else if (process == MU_PROCESS_AGENT)
        SET (record.lost.text, core_text (coord, "worker %s, which was in generation %llu, %s",
                                          worker->name, generation, why));
    else
        SET (record.lost.text,
             core_text (coord,
                        "the collective of worker %s, which was in generation %llu, ended: %s",
                        worker->name, generation, why));
    core_store (coord, &record);
}

const char *loss_known (struct coord *coord, const struct job *job)
{
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        if (job->soft.ranks[rank]->gone)
            return core_text (coord, "worker %s is gone", job->soft.ranks[rank]->name);
    return NULL;
}
