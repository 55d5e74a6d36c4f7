/* SPDX-License-Identifier: Apache-2.0 */
/* fold.c - what the records of a job that has ended came to, as one record, and back
 *
 * SUBMIT and SIZED stay as they were; FOLDED says all else that `durable` holds of the job, so that a
 * core which applies it has the same image as one that applied every record. Whoever adds a field to
 * job_durable that other records fill adds it here: compaction compares the images and refuses to
 * fold what would be forgotten (docs/decisions/0026). */
#include "fold.h"

#include "job.h"
#include "shards.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* Fields that have one name and one kind on both sides. */
#define SAME_FIELDS(X)                                                                             \
    X (code)                                                                                       \
    X (started_ms)                                                                                 \
    X (ended_ms)                                                                                   \
    X (workers_min)                                                                                \
    X (workers_max)                                                                                \
    X (crashes)                                                                                    \
    X (restarts)                                                                                   \
    X (crash_step)                                                                                 \
    X (crash_generation)                                                                           \
    X (crash_workers)                                                                              \
    X (accusations)                                                                                \
    X (hangs)                                                                                      \
    X (hang_rounds)                                                                                \
    X (hang_blows)                                                                                 \
    X (hang_step)                                                                                  \
    X (hang_generation)                                                                            \
    X (hung_ms)                                                                                    \
    X (anchor)                                                                                     \
    X (distrusted)                                                                                 \
    X (disputed_step)

#define SAME_GENERATION_FIELDS(X)                                                                  \
    X (step)                                                                                       \
    X (until_step)                                                                                 \
    X (time_ms)                                                                                    \
    X (attempt)                                                                                    \
    X (source_rank)                                                                                \
    X (transfer)                                                                                   \
    X (started)                                                                                    \
    X (over)                                                                                       \
    X (connected)                                                                                  \
    X (made_of)

/* --- out -------------------------------------------------------------------------------------- */

static void fold_generation (struct coord *coord, const struct job_durable *job,
                             struct mu_journal_folded *folded)
{
    const struct generation *generation = &job->generation;
    folded->generation = generation->number;
#define COPY(field) folded->field = generation->field;
    SAME_GENERATION_FIELDS (COPY)
#undef COPY
    SET (folded->world, generation->world);
    folded->members.count = generation->size;
    folded->members.items = core_scratch (coord, generation->size * sizeof *folded->members.items);
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        const struct member *member = &generation->members[rank];
        struct mu_journal_folded_member *said = &folded->members.items[rank];
        SET (said->name, member->name);
        said->incarnation = member->incarnation;
        said->windows = member->windows;
        said->state_step = member->state_step;
        said->gradient_step = member->gradient_step;
        said->echo = member->echo;
    }
    if (generation->first_map) {
        folded->first_map = (struct mu_blob){ generation->first_map, 2 * job->micro_batches };
        folded->map = (struct mu_blob){ generation->map, 2 * job->micro_batches };
    }
}

static void fold_commits (struct coord *coord, const struct job_durable *job,
                          struct mu_journal_folded *folded)
{
    folded->commits.count = job->commit_count;
    folded->commits.items = core_scratch (coord, job->commit_count * sizeof *folded->commits.items);
    for (uint32_t i = 0; i < job->commit_count; i++) {
        const struct commit *commit = &job->commits[i];
        struct mu_journal_folded_commit *said = &folded->commits.items[i];
        *said = (struct mu_journal_folded_commit){ .generation = commit->generation,
                                                   .step = commit->step,
                                                   .path = core_blob (commit->path),
                                                   .bytes = commit->bytes,
                                                   .time_ms = commit->time_ms,
                                                   .loss = commit->results.loss,
                                                   .loss_evaluated = commit->results.loss_evaluated,
                                                   .accuracy = commit->results.accuracy,
                                                   .evaluated_step = commit->results.evaluated_step,
                                                   .pruned = commit->pruned };
        SET (said->weights_hash, commit->weights_hash);
        SET (said->worker, commit->worker);
        said->state_sum = commit->state_sum;
    }
}

static void fold_blame (struct coord *coord, const struct job_durable *job,
                        struct mu_journal_folded *folded)
{
    const struct suspicion *suspicion = &job->suspicion;
    folded->suspicion_step = suspicion->step;
    folded->strikes.count = suspicion->count;
    folded->strikes.items = core_scratch (coord, suspicion->count * sizeof *folded->strikes.items);
    for (uint32_t i = 0; i < suspicion->count; i++) {
        const struct strike *strike = &suspicion->strikes[i];
        struct mu_journal_folded_strike *said = &folded->strikes.items[i];
        SET (said->worker, strike->worker);
        said->incarnation = strike->incarnation;
        said->trainer = strike->trainer;
        said->suspects = (struct mu_blob){ strike->suspects, sizeof strike->suspects };
    }
    folded->skips.count = job->skip_count;
    folded->skips.items = core_scratch (coord, job->skip_count * sizeof *folded->skips.items);
    for (uint32_t i = 0; i < job->skip_count; i++) {
        folded->skips.items[i].step = job->skips[i].step;
        folded->skips.items[i].micro_batch = job->skips[i].micro_batch;
    }
    folded->outcasts.count = job->outcast_count;
    folded->outcasts.items = core_scratch (coord, job->outcast_count * sizeof *folded->outcasts.items);
    for (uint32_t i = 0; i < job->outcast_count; i++) {
        SET (folded->outcasts.items[i].name, job->outcasts[i].name);
        folded->outcasts.items[i].incarnation = job->outcasts[i].incarnation;
    }
}

bool coord_fold (struct coord *coord, uint64_t number, uint64_t before_ms, struct mu_journal *record)
{
    const struct job *job = core_job (coord, number);
    if (!job || !job_ended (job) || job->durable.ended_ms >= before_ms)
        return false;
    const struct job_durable *mine = &job->durable;
    memset (record, 0, sizeof *record);
    record->type = MU_JOURNAL_FOLDED;
    struct mu_journal_folded *folded = &record->folded;
    folded->job = number;
    folded->state = (uint32_t)mine->state;
    folded->target = (uint32_t)mine->target;
    folded->reason = core_blob (mine->reason);
    folded->chain = mine->seal;
#define COPY(field) folded->field = mine->field;
    SAME_FIELDS (COPY)
#undef COPY
    SET (folded->hung, job_noted (mine->hung));
    SET (folded->disputed, job_noted (mine->disputed));
    fold_generation (coord, mine, folded);
    fold_commits (coord, mine, folded);
    fold_blame (coord, mine, folded);
    return true;
}

/* --- back ------------------------------------------------------------------------------------- */

static char *copy_text (struct mu_blob text)
{
    char *copy = calloc (1, (size_t)text.size + 1);
    assert (copy);
    if (text.size)
        memcpy (copy, text.data, text.size);
    return copy;
}

/* NULL for none, as where nothing was ever added. */
static void *zeroed (uint32_t count, size_t size)
{
    void *list = count ? calloc (count, size) : NULL;
    assert (list || !count);
    return list;
}

static void unfold_generation (struct job_durable *job, const struct mu_journal_folded *folded)
{
    struct generation *generation = &job->generation;
    generation->number = folded->generation;
#define COPY(field) generation->field = folded->field;
    SAME_GENERATION_FIELDS (COPY)
#undef COPY
    generation->began = generation->step;
    SET (generation->world, folded->world);
    generation->size = folded->members.count;
    generation->members = zeroed (generation->size, sizeof *generation->members);
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        const struct mu_journal_folded_member *said = &folded->members.items[rank];
        struct member *member = &generation->members[rank];
        SET (member->name, said->name);
        member->incarnation = said->incarnation;
        member->windows = said->windows;
        member->state_step = said->state_step;
        member->gradient_step = said->gradient_step;
        member->echo = said->echo;
    }
    uint32_t size = folded->map.size;
    if (!size)
        return;
    generation->first_map = zeroed (2 * size, 1);
    generation->map = generation->first_map + size;
    memcpy (generation->first_map, folded->first_map.data, size);
    memcpy (generation->map, folded->map.data, size);
}

static void unfold_commits (struct job_durable *job, const struct mu_journal_folded *folded)
{
    job->commit_count = job->commit_capacity = folded->commits.count;
    job->commits = zeroed (job->commit_count, sizeof *job->commits);
    for (uint32_t i = 0; i < job->commit_count; i++) {
        const struct mu_journal_folded_commit *said = &folded->commits.items[i];
        struct commit *commit = &job->commits[i];
        *commit = (struct commit){ .generation = said->generation,
                                   .step = said->step,
                                   .bytes = said->bytes,
                                   .time_ms = said->time_ms,
                                   .results = { said->loss, said->loss_evaluated, said->accuracy,
                                                said->evaluated_step },
                                   .path = copy_text (said->path),
                                   .pruned = said->pruned };
        SET (commit->weights_hash, said->weights_hash);
        SET (commit->worker, said->worker);
        commit->state_sum = said->state_sum;
    }
}

static void unfold_blame (struct job_durable *job, const struct mu_journal_folded *folded)
{
    struct suspicion *suspicion = &job->suspicion;
    suspicion->step = folded->suspicion_step;
    suspicion->count = suspicion->capacity = folded->strikes.count;
    suspicion->strikes = zeroed (suspicion->count, sizeof *suspicion->strikes);
    for (uint32_t i = 0; i < suspicion->count; i++) {
        const struct mu_journal_folded_strike *said = &folded->strikes.items[i];
        struct strike *strike = &suspicion->strikes[i];
        SET (strike->worker, said->worker);
        strike->incarnation = said->incarnation;
        strike->trainer = said->trainer;
        memcpy (strike->suspects, said->suspects.data, said->suspects.size);
    }
    job->skip_count = job->skip_capacity = folded->skips.count;
    job->skips = zeroed (job->skip_count, sizeof *job->skips);
    for (uint32_t i = 0; i < job->skip_count; i++)
        job->skips[i] = (struct skip){ folded->skips.items[i].step,
                                       folded->skips.items[i].micro_batch };
    job->outcast_count = job->outcast_capacity = folded->outcasts.count;
    job->outcasts = zeroed (job->outcast_count, sizeof *job->outcasts);
    for (uint32_t i = 0; i < job->outcast_count; i++) {
        SET (job->outcasts[i].name, folded->outcasts.items[i].name);
        job->outcasts[i].incarnation = folded->outcasts.items[i].incarnation;
    }
}

static bool map_is_good (struct mu_blob map, const struct job_durable *job, uint32_t ranks)
{
    if (map.size != 2 * job->micro_batches)
        return false;
    for (uint32_t m = 0; m < job->micro_batches; m++)
        if (shards_rank (map.data, m) >= ranks)
            return false;
    return true;
}

/* Only a job of which nothing but SUBMIT and SIZED was said can be what this record says. */
static bool makes_sense (const struct job *job, const struct mu_journal_folded *folded)
{
    const struct job_durable *mine = &job->durable;
    uint32_t ranks = folded->members.count;
    for (uint32_t i = 0; i < folded->strikes.count; i++)
        if (folded->strikes.items[i].suspects.size != KEPT_BYTES)
            return false;
    for (uint32_t i = 1; i < folded->commits.count; i++)
        if (folded->commits.items[i].step <= folded->commits.items[i - 1].step)
            return false;
    return mine->state == MU_JOB_PENDING && !mine->generation.number && !mine->commit_count &&
           !mine->suspicion.count && !mine->skip_count && !mine->outcast_count &&
           (folded->state == MU_JOB_DONE || folded->state == MU_JOB_FAILED ||
            folded->state == MU_JOB_CANCELLED) &&
           folded->target < MU_JOB_STATES && (folded->generation > 0) == (ranks > 0) &&
           (ranks ? map_is_good (folded->map, mine, ranks) &&
                        map_is_good (folded->first_map, mine, ranks)
                  : !folded->map.size && !folded->first_map.size);
}

int fold_apply (struct coord *coord, const struct mu_journal *record, struct mu_error *error)
{
    const struct mu_journal_folded *folded = &record->folded;
    struct job *job = core_job (coord, folded->job);
    if (!job || !makes_sense (job, folded))
        return mu_fail (error, MU_CONFLICT,
                        "job %llu was never submitted, more was said of it before it was folded, or "
                        "what it was folded to makes no sense",
                        (unsigned long long)folded->job);
    struct job_durable *mine = &job->durable;
    mine->state = (enum mu_job_state)folded->state;
    mine->target = (enum mu_job_state)folded->target;
    free (mine->reason);
    mine->reason = copy_text (folded->reason);
    mine->seal = folded->chain;
#define COPY(field) mine->field = folded->field;
    SAME_FIELDS (COPY)
#undef COPY
    job_note (&mine->hung, folded->hung);
    job_note (&mine->disputed, folded->disputed);
    unfold_generation (mine, folded);
    unfold_commits (mine, folded);
    unfold_blame (mine, folded);
    job_leave_live (&coord->durable, job);
    return 0;
}
