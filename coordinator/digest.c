/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c - one number for all that is durable: equal journals come to equal numbers
 *
 * Who plays a journal or a recording again compares it (a recording ends with it). Nothing is decided by it. */
#include "core.h"
#include "job.h"

static void mix (uint64_t *digest, uint64_t value)
{
    *digest = (*digest ^ value) * UINT64_C (0x9e3779b97f4a7c15);
    *digest ^= *digest >> 31;
}

static void mix_bytes (uint64_t *digest, const void *data, size_t size)
{
    mix (digest, size);
    mix (digest, index_hash (data, size));
}

static void mix_text (uint64_t *digest, const char *text)
{
    mix_bytes (digest, text, strlen (text));
}

static void mix_generation (uint64_t *digest, const struct job_durable *job)
{
    const struct generation *generation = &job->generation;
    const uint64_t numbers[] = {
        generation->number,  generation->step,        generation->until_step, generation->time_ms,
        generation->attempt, generation->source_rank, generation->size,       generation->transfer,
        generation->started, generation->over,        generation->connected,  generation->made_of
    };
    mix_bytes (digest, numbers, sizeof numbers);
    mix_text (digest, generation->world);
    for (uint32_t i = 0; i < generation->size; i++) {
        mix_text (digest, generation->members[i].name);
        mix (digest, generation->members[i].incarnation);
        mix (digest, generation->members[i].windows);
        mix (digest, generation->members[i].state_step);
        mix (digest, generation->members[i].gradient_step);
        mix (digest, generation->members[i].echo);
    }
    if (generation->size)
        mix_bytes (digest, generation->first_map, 4 * (size_t)job->micro_batches);
}

static void mix_poison (uint64_t *digest, const struct job_durable *job)
{
    for (uint32_t i = 0; i < job->suspicion.count; i++) {
        const struct strike *strike = &job->suspicion.strikes[i];
        mix_text (digest, strike->worker);
        mix (digest, strike->incarnation);
        mix (digest, strike->trainer);
        mix_bytes (digest, strike->suspects, sizeof strike->suspects);
    }
    for (uint32_t i = 0; i < job->skip_count; i++) {
        mix (digest, job->skips[i].step);
        mix (digest, job->skips[i].micro_batch);
    }
}

static void mix_job (uint64_t *digest, const struct job_durable *job)
{
    uint64_t epochs;
    memcpy (&epochs, &job->epochs, sizeof epochs);
    const uint64_t numbers[] = {
        job->number,
        (uint64_t)job->priority,
        job->workers_min,
        job->workers_max,
        job->micro_batches,
        job->global_batch,
        job->window_steps,
        job->steps,
        epochs,
        job->portable,
        job->mixed,
        job->submitted_ms,
        job->started_ms,
        job->ended_ms,
        job->sized,
        job->records,
        job->parameters,
        job->targets,
        job->state,
        job->target,
        job->code,
        job->crashes,
        job->restarts,
        job->crash_step,
        job->crash_generation,
        job->crash_workers,
        job->seal,
        job->hangs,
        job->hang_rounds,
        job->hang_blows,
        job->hang_step,
        job->hang_generation,
        job->hung_ms,
        job->accusations,
        job->poison_limit,
        job->suspicion.step,
        job->audited,
        job->lost,
        job->anchor,
        job->distrusted,
        job->disputed_step,
        job->unsound_step,
        job->unsound_generation,
    };
    mix_bytes (digest, numbers, sizeof numbers);
    if (job->first_step) /* recordings of before end with a number without it */
        mix (digest, job->first_step);
    mix_text (digest, job->key);
    mix_text (digest, job->name);
    mix_bytes (digest, job->spec.data, job->spec.size);
    mix_text (digest, job_noted (job->data_identity));
    mix_text (digest, job_noted (job->compute_class));
    mix_text (digest, job->reason);
    mix_text (digest, job_noted (job->hung));
    mix_text (digest, job_noted (job->disputed));
    mix_generation (digest, job);
    mix_poison (digest, job);
    for (uint32_t i = 0; i < job->outcast_count; i++) {
        mix_text (digest, job->outcasts[i].name);
        mix (digest, job->outcasts[i].incarnation);
    }
    for (uint32_t i = 0; i < job->absentee_count; i++) {
        mix_text (digest, job->absentees[i].name);
        mix (digest, job->absentees[i].state_step);
        mix (digest, job->absentees[i].gradient_step);
        mix (digest, job->absentees[i].left_ms);
    }
    for (uint32_t i = 0; i < job->sum_count; i++) {
        mix (digest, job->sums[i].step);
        mix (digest, job->sums[i].sum);
    }
    for (uint32_t i = 0; i < job->saver_count; i++) {
        mix_text (digest, job->savers[i].name);
        mix (digest, job->savers[i].incarnation);
        mix (digest, job->savers[i].generation);
        mix (digest, job->savers[i].step);
        mix (digest, job->savers[i].until_step);
        mix (digest, job->savers[i].told);
        mix (digest, job->savers[i].between);
    }
    for (uint32_t i = 0; i < job->commit_count; i++) {
        const struct commit *commit = &job->commits[i];
        mix (digest, commit->generation);
        mix (digest, commit->step);
        mix (digest, commit->bytes);
        mix (digest, commit->time_ms);
        mix_bytes (digest, &commit->results, sizeof commit->results);
        mix_text (digest, commit->path);
        mix_text (digest, commit->weights_hash);
        mix_text (digest, commit->worker);
        mix (digest, commit->state_sum);
    }
}

uint64_t coord_digest (const struct coord *coord)
{
    uint64_t digest = coord->durable.term;
    mix (&digest, coord->durable.lacks_below);
    if (coord->durable.forgotten_count)
        mix (&digest, coord->durable.job_count);
    for (uint64_t number = 0; (number = coord_job_next (coord, number));)
        mix_job (&digest, &core_job (coord, number)->durable);
    for (uint32_t i = 0; i < coord->durable.drained.count; i++)
        mix_text (&digest, coord->durable.drained.list[i]);
    for (uint32_t i = 0; i < coord->durable.quarantined.count; i++)
        mix_text (&digest, coord->durable.quarantined.list[i]);
    return digest;
}
