/* SPDX-License-Identifier: Apache-2.0 */
/* apply.c - the one writer of durable state: each record, checked, then folded in
 *
 * A record comes from the core's own decisions or from a database that somebody may have mended by
 * hand; so each applier first checks everything and then writes everything. A generation's records
 * move the job by themselves: FORM to forming, START to running, BROKEN to breaking. */
#include "absent.h"
#include "audit.h"
#include "checkpoint.h"
#include "core.h"
#include "fold.h"
#include "forget.h"
#include "job.h"
#include "poison.h"
#include "proof.h"
#include "savers.h"
#include "seal.h"
#include "shards.h"
#include "unsound.h"

/* --- helpers ---------------------------------------------------------------------------------- */

static char *copy_text (struct mu_blob text)
{
    char *copy = malloc ((size_t)text.size + 1);
    assert (copy);
    if (text.size)
        memcpy (copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

/* Both maps of a generation, one behind the other. */
static uint8_t *copy_maps (struct mu_blob first, struct mu_blob second)
{
    uint8_t *copy = malloc ((size_t)first.size + second.size);
    assert (copy);
    memcpy (copy, first.data, first.size);
    memcpy (copy + first.size, second.data, second.size);
    return copy;
}

/* Zero behind the text, so that images do not show what was there before. */
#define SET(field, text)                                                                           \
    (memset (field, 0, sizeof (field)), mu_text_set (field, sizeof (field), text))

/* Jobs in a row whose SUBMITs lack: more than damage takes. If there are more, what said that they were
 * forgotten is the one record that is damaged. Behind jobs that are known each costs room. */
#define LOST_MAX      1000u
#define FORGOTTEN_MAX (1u << 20)

static int no_job (struct mu_error *error, uint64_t number)
{
    return mu_fail (error, MU_CONFLICT, "the journal speaks of job %llu, which was never submitted",
                    (unsigned long long)number);
}

static int wrong_generation (struct mu_error *error, const struct job *job, const char *what,
                             uint64_t generation)
{
    return mu_fail (error, MU_CONFLICT,
                    "%s of job %llu names generation %llu, but %llu is its newest", what,
                    (unsigned long long)job->durable.number, (unsigned long long)generation,
                    (unsigned long long)job->durable.generation.number);
}

static bool ended (enum mu_job_state state)
{
    return state == MU_JOB_DONE || state == MU_JOB_FAILED || state == MU_JOB_CANCELLED;
}

static bool live (const struct job *job)
{
    return job->durable.state == MU_JOB_FORMING || job->durable.state == MU_JOB_RUNNING;
}

static int check_move (const struct job *job, enum mu_job_state to, struct mu_error *error)
{
    if (mu_job_may_move ((int)job->durable.state, (int)to))
        return 0;
    return mu_fail (error, MU_CONFLICT, "job %llu cannot move from %s to %s",
                    (unsigned long long)job->durable.number,
                    mu_job_state_name ((int)job->durable.state), mu_job_state_name ((int)to));
}

static void set_reason (struct job *job, struct mu_blob reason)
{
    free (job->durable.reason);
    job->durable.reason = copy_text (reason);
}

/* --- the records ------------------------------------------------------------------------------ */

static int apply_reign (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    if (record->reign.term <= coord->durable.term || record->reign.term == UINT64_MAX)
        return mu_fail (error, MU_CONFLICT, "term %llu follows term %llu",
                        (unsigned long long)record->reign.term,
                        (unsigned long long)coord->durable.term);
    coord->durable.term = record->reign.term;
    if (record->reign.lacks)
        coord->durable.lacks_below = record->reign.term;
    return 0;
}

void job_put (struct durable *durable, struct job *job)
{
    uint32_t at = durable->job_count - durable->job_base;
    durable->jobs = core_grow (durable->jobs, at, &durable->job_capacity, sizeof (struct job *));
    durable->jobs[at] = job;
    durable->job_count++;
}

void job_put_forgotten (struct durable *durable, uint32_t upto)
{
    uint32_t base = durable->job_base, count = upto - durable->job_count;
    if (durable->job_count == base) /* there is none before */
        durable->job_base = durable->job_count = upto;
    while (durable->job_count < upto)
        job_put (durable, NULL);
    durable->forgotten_count += count;
}

static struct job *add_job (struct coord *coord, const struct mu_journal_submit *submit)
{
    struct durable *durable = &coord->durable;
    struct job *job = calloc (1, sizeof *job);
    assert (job);
    struct job_durable *mine = &job->durable;
    mine->number = submit->job;
    SET (mine->key, submit->key);
    SET (mine->name, submit->name);
    mine->spec = (struct mu_blob){ copy_text (submit->spec), submit->spec.size };
    mine->priority = submit->priority;
    mine->workers_min = submit->workers_min;
    mine->workers_max =
        submit->workers_max < submit->workers_min ? submit->workers_min : submit->workers_max;
    mine->micro_batches = submit->micro_batches;
    mine->global_batch = submit->global_batch;
    mine->window_steps = submit->window_steps;
    mine->steps = submit->steps;
    mine->epochs = submit->epochs;
    mine->portable = submit->portable;
    mine->mixed = submit->mixed;
    mine->poison_limit = submit->poison_limit;
    mine->audited = submit->audited;
    mine->keep = submit->keep;
    mine->submitted_ms = submit->time_ms;
    mine->reason = copy_text (core_blob (""));
    job_put (durable, job);
    durable->live = core_grow (durable->live, durable->live_count, &durable->live_capacity,
                               sizeof (struct job *));
    durable->live[durable->live_count++] = job;
    if (*mine->key)
        index_add (&durable->keys, index_hash_text (mine->key), durable->job_count);
    return job;
}

struct mu_journal_submit core_lost_submit (uint64_t number, uint64_t time_ms)
{
    struct mu_journal_submit submit = { .job = number,
                                        .workers_min = 1,
                                        .workers_max = 1,
                                        .micro_batches = 1,
                                        .global_batch = 1,
                                        .window_steps = 1,
                                        .time_ms = time_ms };
    SET (submit.name, "lost");
    return submit;
}

/* Its SUBMIT was damaged and set aside. Those that came after it are whole, and their numbers are theirs. */
static void add_lost (struct coord *coord, uint64_t number, uint64_t time_ms)
{
    struct mu_journal_submit submit = core_lost_submit (number, time_ms);
    struct job *job = add_job (coord, &submit);
    job->durable.lost = job->durable.generation.over = true;
    job->durable.state = MU_JOB_FAILED;
    job->durable.code = MU_BAD_INPUT;
    job->durable.ended_ms = time_ms;
    set_reason (job, core_blob (CORE_LOST));
    job_leave_live (&coord->durable, job);
}

int job_fill (struct coord *coord, uint64_t number, uint64_t time_ms, struct mu_error *error)
{
    struct durable *durable = &coord->durable;
    const uint64_t next = (uint64_t)durable->job_count + 1;
    const bool needs_room = durable->job_count > durable->job_base;
    if (number < next || number >= NONE || (needs_room && number - next > FORGOTTEN_MAX))
        return mu_fail (error, MU_CONFLICT, "job %llu is submitted after job %u",
                        (unsigned long long)number, durable->job_count);
    if (number - next > LOST_MAX)
        job_put_forgotten (durable, (uint32_t)number - 1);
    for (uint64_t lacks = (uint64_t)durable->job_count + 1; lacks < number; lacks++)
        add_lost (coord, lacks, time_ms);
    return 0;
}

static int apply_submit (struct coord *coord, const struct mu_journal *record,
                         struct mu_error *error)
{
    const struct mu_journal_submit *submit = &record->submit;
    if (job_fill (coord, submit->job, submit->time_ms, error))
        return -1;
    add_job (coord, submit);
    return 0;
}

static int apply_sized (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    const struct mu_journal_sized *sized = &record->sized;
    struct job *job = core_job (coord, sized->job);
    if (!job)
        return no_job (error, sized->job);
    if (job->durable.sized || sized->steps == 0)
        return mu_fail (error, MU_CONFLICT, "job %llu is sized twice, or to no step",
                        (unsigned long long)sized->job);
    struct job_durable *mine = &job->durable;
    mine->sized = true;
    mine->records = sized->records;
    mine->steps = sized->steps;
    mine->parameters = sized->parameters;
    mine->targets = sized->targets;
    job_note (&mine->data_identity, sized->data_identity);
    job_note (&mine->compute_class, sized->compute_class);
    return 0;
}

static bool map_is_good (struct mu_blob map, uint32_t micro_batches, uint32_t ranks)
{
    if (map.size != 2 * micro_batches)
        return false;
    for (uint32_t m = 0; m < micro_batches; m++)
        if (shards_rank (map.data, m) >= ranks)
            return false;
    return true;
}

static int check_form (const struct job *job, const struct mu_journal_form *form,
                       struct mu_error *error)
{
    const struct job_durable *mine = &job->durable;
    if (form->generation != mine->generation.number + 1)
        return wrong_generation (error, job, "FORM", form->generation);
    if (check_move (job, MU_JOB_FORMING, error))
        return -1;
    if (!mine->sized || form->members.count == 0 || form->source_rank >= form->members.count ||
        form->step > mine->steps || form->until_step > mine->steps ||
        form->until_step < form->step ||
        !map_is_good (form->first_map, mine->micro_batches, form->members.count) ||
        !map_is_good (form->map, mine->micro_batches, form->members.count))
        return mu_fail (error, MU_CONFLICT, "generation %llu of job %llu makes no sense",
                        (unsigned long long)form->generation, (unsigned long long)form->job);
    return 0;
}

static int apply_form (struct coord *coord, const struct mu_journal *record, struct mu_error *error)
{
    const struct mu_journal_form *form = &record->form;
    struct job *job = core_job (coord, form->job);
    if (!job)
        return no_job (error, form->job);
    if (check_form (job, form, error))
        return -1;
    struct generation *generation = &job->durable.generation, before = *generation;
    free (generation->first_map);
    *generation = (struct generation){ .number = form->generation,
                                       .step = form->step,
                                       .began = form->step,
                                       .until_step = form->until_step,
                                       .time_ms = form->time_ms,
                                       .attempt = form->attempt,
                                       .source_rank = form->source_rank,
                                       .size = form->members.count,
                                       .made_of = form->made_of,
                                       .transfer = form->transfer,
                                       .connected = form->connected };
    generation->members = calloc (form->members.count, sizeof *generation->members);
    assert (generation->members);
    for (uint32_t rank = 0; rank < form->members.count; rank++) {
        struct member *member = &generation->members[rank];
        SET (member->name, form->members.items[rank].name);
        member->incarnation = form->members.items[rank].incarnation;
        member->windows = form->step / job->durable.window_steps;
    }
    if (form->generation == 1)
        job->durable.first_step = form->step;
    absent_follow (&job->durable, &before, form);
    savers_follow_form (&job->durable, &before);
    proof_follow_form (&job->durable);
    free (before.members);
    generation->first_map = copy_maps (form->first_map, form->map);
    generation->map = generation->first_map + form->first_map.size;
    SET (generation->world, form->world);
    if (form->step > job->durable.suspicion.step)
        poison_forget (&job->durable);
    job->durable.state = MU_JOB_FORMING;
    set_reason (job, core_blob (""));
    return 0;
}

static int apply_start (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    const struct mu_journal_start *start = &record->start;
    struct job *job = core_job (coord, start->job);
    if (!job)
        return no_job (error, start->job);
    if (start->generation != job->durable.generation.number)
        return wrong_generation (error, job, "START", start->generation);
    if (check_move (job, MU_JOB_RUNNING, error))
        return -1;
    job->durable.state = MU_JOB_RUNNING;
    job->durable.generation.started = true;
    if (!job->durable.started_ms)
        job->durable.started_ms = start->time_ms;
    return 0;
}

static int apply_broken (struct coord *coord, const struct mu_journal *record,
                         struct mu_error *error)
{
    const struct mu_journal_broken *broken = &record->broken;
    struct job *job = core_job (coord, broken->job);
    if (!job)
        return no_job (error, broken->job);
    if (broken->generation != job->durable.generation.number)
        return wrong_generation (error, job, "BROKEN", broken->generation);
    if (check_move (job, MU_JOB_BREAKING, error))
        return -1;
    job->durable.state = MU_JOB_BREAKING;
    job->durable.generation.over = true;
    job->durable.restarts += !broken->planned;
    set_reason (job, core_blob (broken->reason));
    return 0;
}

static int apply_lease (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    const struct mu_journal_lease *lease = &record->lease;
    struct job *job = core_job (coord, lease->job);
    if (!job)
        return no_job (error, lease->job);
    struct generation *generation = &job->durable.generation;
    if (lease->generation != generation->number || !live (job))
        return wrong_generation (error, job, "LEASE", lease->generation);
    if (lease->until_step < generation->until_step || lease->until_step > job->durable.steps)
        return mu_fail (error, MU_CONFLICT, "a lease of job %llu reaches to step %llu",
                        (unsigned long long)lease->job, (unsigned long long)lease->until_step);
    generation->until_step = lease->until_step;
    return 0;
}

static int apply_trained (struct coord *coord, const struct mu_journal *record,
                          struct mu_error *error)
{
    const struct mu_journal_trained *trained = &record->trained;
    struct job *job = core_job (coord, trained->job);
    if (!job)
        return no_job (error, trained->job);
    struct generation *generation = &job->durable.generation;
    if (trained->generation != generation->number)
        return wrong_generation (error, job, "TRAINED", trained->generation);
    if (trained->rank >= generation->size ||
        trained->windows < generation->members[trained->rank].windows)
        return mu_fail (error, MU_CONFLICT, "rank %u of job %llu untrains windows", trained->rank,
                        (unsigned long long)trained->job);
    generation->members[trained->rank].windows = trained->windows;
    return 0;
}

static bool has_commit (const struct job_durable *job, uint64_t step)
{
    for (uint32_t i = 0; i < job->commit_count; i++)
        if (job->commits[i].step == step)
            return true;
    return step == 0;
}

static int check_commit (const struct job *job, const struct mu_journal_commit *commit,
                         struct mu_error *error)
{
    const struct commit *newest = job_newest_commit (job);
    if (newest && commit->step <= newest->step)
        return mu_fail (error, MU_CONFLICT, "step %llu of job %llu is committed after step %llu",
                        (unsigned long long)commit->step, (unsigned long long)commit->job,
                        (unsigned long long)newest->step);
    if (!job->durable.sized || commit->step > job->durable.steps || ended (job->durable.state))
        return mu_fail (error, MU_CONFLICT,
                        "step %llu of job %llu is committed, which has %llu steps and is %s",
                        (unsigned long long)commit->step, (unsigned long long)commit->job,
                        (unsigned long long)job->durable.steps,
                        mu_job_state_name ((int)job->durable.state));
    return 0;
}

static int apply_commit (struct coord *coord, const struct mu_journal *record,
                         struct mu_error *error)
{
    const struct mu_journal_commit *commit = &record->commit;
    struct job *job = core_job (coord, commit->job);
    if (!job)
        return no_job (error, commit->job);
    if (check_commit (job, commit, error))
        return -1;
    struct job_durable *mine = &job->durable;
    mine->commits = core_grow (mine->commits, mine->commit_count, &mine->commit_capacity,
                               sizeof *mine->commits);
    struct commit *added = &mine->commits[mine->commit_count++];
    *added = (struct commit){ .generation = commit->generation,
                              .step = commit->step,
                              .bytes = commit->bytes,
                              .time_ms = commit->time_ms,
                              .results = { commit->loss, commit->loss_evaluated, commit->accuracy,
                                           commit->evaluated_step },
                              .path = copy_text (commit->path) };
    SET (added->weights_hash, commit->weights_hash);
    SET (added->worker, commit->worker);
    added->state_sum = commit->state_sum;
    mine->anchor = has_commit (mine, commit->anchor) ? commit->anchor : 0; /* its row may be lost */
    checkpoint_prune (mine);
    savers_follow_commit (mine, commit->step);
    return 0;
}

static int apply_save (struct coord *coord, const struct mu_journal *record, struct mu_error *error)
{
    const struct mu_journal_save *save = &record->save;
    struct job *job = core_job (coord, save->job);
    if (!job)
        return no_job (error, save->job);
    if (save->generation != job->durable.generation.number || live (job))
        return wrong_generation (error, job, "SAVE", save->generation);
    savers_follow_save (&job->durable, save);
    return 0;
}

/* It is for people: what was said changes nothing, and is looked at anew after a restart. */
static int apply_told (struct coord *coord, const struct mu_journal *record, struct mu_error *error)
{
    uint64_t job = mu_record_number (&mu_journal_family, record, "job");
    return core_job (coord, job) ? 0 : no_job (error, job);
}

static int apply_expel (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    const struct mu_journal_expel *expel = &record->expel;
    struct job *job = core_job (coord, expel->job);
    if (!job)
        return no_job (error, expel->job);
    if (expel->generation != job->durable.generation.number || live (job))
        return wrong_generation (error, job, "EXPEL", expel->generation);
    if (!has_commit (&job->durable, expel->back_step))
        return mu_fail (error, MU_CONFLICT,
                        "job %llu goes back to the checkpoint of step %llu, which was never "
                        "committed",
                        (unsigned long long)expel->job, (unsigned long long)expel->back_step);
    audit_expel (&job->durable, expel);
    return 0;
}

static int apply_unsound (struct coord *coord, const struct mu_journal *record,
                          struct mu_error *error)
{
    const struct mu_journal_unsound *unsound = &record->unsound;
    struct job *job = core_job (coord, unsound->job);
    if (!job)
        return no_job (error, unsound->job);
    if (unsound->generation != job->durable.generation.number || live (job))
        return wrong_generation (error, job, "UNSOUND", unsound->generation);
    if (!unsound->step || unsound->step != job_committed_step (job) ||
        unsound->back_step >= unsound->step || !has_commit (&job->durable, unsound->back_step))
        return mu_fail (error, MU_CONFLICT,
                        "job %llu gives up the checkpoint of step %llu for that of step %llu, and "
                        "these are not committed",
                        (unsigned long long)unsound->job, (unsigned long long)unsound->step,
                        (unsigned long long)unsound->back_step);
    unsound_follow (&job->durable, unsound);
    return 0;
}

static int apply_agreed (struct coord *coord, const struct mu_journal *record,
                         struct mu_error *error)
{
    const struct mu_journal_agreed *agreed = &record->agreed;
    struct job *job = core_job (coord, agreed->job);
    if (!job)
        return no_job (error, agreed->job);
    uint32_t size = job->durable.generation.size;
    if (agreed->generation != job->durable.generation.number)
        return wrong_generation (error, job, "AGREED", agreed->generation);
    if (!size || agreed->place > size || agreed->ranks > size)
        return mu_fail (error, MU_CONFLICT, "of job %llu %u ranks from place %u on agree, of %u",
                        (unsigned long long)agreed->job, agreed->ranks, agreed->place, size);
    audit_agree (&job->durable, agreed);
    proof_follow (&job->durable, agreed);
    return 0;
}

void job_leave_live (struct durable *durable, const struct job *job)
{
    uint32_t at = 0;
    while (at < durable->live_count && durable->live[at] != job)
        at++;
    assert (at < durable->live_count);
    durable->live_count--;
    memmove (&durable->live[at], &durable->live[at + 1],
             (durable->live_count - at) * sizeof (struct job *));
}

/* A generation's records move the job to these. */
static bool is_generations (enum mu_job_state state)
{
    return state == MU_JOB_FORMING || state == MU_JOB_RUNNING || state == MU_JOB_BREAKING;
}

static bool may_be_target (enum mu_job_state target)
{
    return target == MU_JOB_PENDING || target == MU_JOB_PAUSED || ended (target);
}

/* A record with the state that the job has already only says where it is to go. */
static int check_state (const struct job *job, const struct mu_journal_state *said,
                        struct mu_error *error)
{
    enum mu_job_state state = (enum mu_job_state)said->state;
    if (said->state >= MU_JOB_STATES || said->target >= MU_JOB_STATES ||
        !may_be_target ((enum mu_job_state)said->target))
        return mu_fail (error, MU_CONFLICT, "job %llu moves to state %u, on its way to state %u",
                        (unsigned long long)said->job, said->state, said->target);
    if (ended (job->durable.state))
        return mu_fail (error, MU_CONFLICT, "job %llu has ended, and moves to %s",
                        (unsigned long long)said->job, mu_job_state_name ((int)state));
    if (state == job->durable.state)
        return 0;
    if (is_generations (state))
        return mu_fail (error, MU_CONFLICT, "job %llu moves to %s without a generation's record",
                        (unsigned long long)said->job, mu_job_state_name ((int)state));
    return check_move (job, state, error);
}

static void *fit (void *list, uint32_t count, uint32_t *capacity, size_t item)
{
    if (count == *capacity)
        return list;
    *capacity = count;
    void *smaller = count ? realloc (list, count * item) : NULL;
    assert (smaller || !count);
    if (!count)
        free (list);
    return smaller;
}

/* Thousands that have ended are remembered: nothing is added to their lists any more, and nobody asks what only
 * training needs. */
static void shrink (struct job_durable *job)
{
    absent_forget (job);
    savers_forget (job);
    proof_forget (job);
    job->unsound_step = job->unsound_generation = job->first_step = 0;
    job->generation.began = job->generation.step;
    job->commits =
        fit (job->commits, job->commit_count, &job->commit_capacity, sizeof *job->commits);
    job->skips = fit (job->skips, job->skip_count, &job->skip_capacity, sizeof *job->skips);
    job->outcasts =
        fit (job->outcasts, job->outcast_count, &job->outcast_capacity, sizeof *job->outcasts);
    struct suspicion *suspicion = &job->suspicion;
    suspicion->strikes = fit (suspicion->strikes, suspicion->count, &suspicion->capacity,
                              sizeof *suspicion->strikes);
}

static int apply_state (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    const struct mu_journal_state *state = &record->state;
    struct job *job = core_job (coord, state->job);
    if (!job)
        return no_job (error, state->job);
    if (check_state (job, state, error))
        return -1;
    if (!live (job) || state->state != (uint32_t)job->durable.state)
        job->durable.generation.over = true;
    job->durable.state = (enum mu_job_state)state->state;
    job->durable.target = (enum mu_job_state)state->target;
    job->durable.code = state->code;
    set_reason (job, state->reason);
    if (ended (job->durable.state)) {
        job->durable.ended_ms = state->time_ms;
        shrink (&job->durable);
        job_leave_live (&coord->durable, job);
    }
    return 0;
}

static int apply_drain (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    (void)error;
    names_set (&coord->durable.drained, record->drain.worker, record->drain.drained);
    return 0;
}

static int apply_quarantine (struct coord *coord, const struct mu_journal *record,
                             struct mu_error *error)
{
    (void)error;
    names_set (&coord->durable.quarantined, record->quarantine.worker,
               record->quarantine.quarantined);
    return 0;
}

/* Trainers of several workers that end in one generation are one blow, not several: an operator's
 * pkill, or a full machine, is no sign that the job itself is at fault. A worker that is hit again
 * is a new one. Two names may share a bit; then blows are counted a little early. */
static bool is_same_blow (struct job_durable *durable, const char *worker)
{
    uint64_t bit = UINT64_C (1) << (index_hash_text (worker) % 64);
    bool same = (durable->crashes || durable->accusations) &&
                durable->crash_generation == durable->generation.number &&
                !(durable->crash_workers & bit);
    durable->crash_generation = durable->generation.number;
    durable->crash_workers = same ? durable->crash_workers | bit : bit;
    return same;
}

static int apply_crash (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    struct job *job = core_job (coord, record->crash.job);
    if (!job)
        return no_job (error, record->crash.job);
    struct job_durable *mine = &job->durable;
    if (record->crash.step > mine->crash_step) {
        mine->crashes = mine->accusations = 0;
        mine->crash_step = record->crash.step; /* a job that went back is not on its way */
    }
    bool accuses = record->crash.suspects.size > 0;
    if (accuses && !poison_accuse (mine, &record->crash))
        return 0;
    if (accuses)
        mine->crashes = 0; /* the search for the guilty has come on: as good as a step between */
    if (is_same_blow (mine, record->crash.worker))
        return 0;
    if (accuses)
        mine->accusations++;
    else
        mine->crashes++;
    return 0;
}

static int apply_poison (struct coord *coord, const struct mu_journal *record,
                         struct mu_error *error)
{
    const struct mu_journal_poison *poison = &record->poison;
    struct job *job = core_job (coord, poison->job);
    if (!job)
        return no_job (error, poison->job);
    /* Members of one generation must all leave out the same: none may train when it changes. */
    bool may_skip = !live (job) && job->durable.skip_count < job->durable.poison_limit;
    if (poison->micro_batch >= job->durable.micro_batches || (poison->skipped && !may_skip))
        return mu_fail (error, MU_CONFLICT,
                        "job %llu has no micro-batch %u to skip in step %llu, may skip no more, or "
                        "trains",
                        (unsigned long long)poison->job, poison->micro_batch,
                        (unsigned long long)poison->step);
    if (poison->skipped)
        poison_skip (&job->durable, poison->step, poison->micro_batch);
    return 0;
}

static int apply_scale (struct coord *coord, const struct mu_journal *record,
                        struct mu_error *error)
{
    const struct mu_journal_scale *scale = &record->scale;
    struct job *job = core_job (coord, scale->job);
    if (!job)
        return no_job (error, scale->job);
    if (ended (job->durable.state) || !scale->workers_min ||
        scale->workers_min > scale->workers_max)
        return mu_fail (error, MU_CONFLICT, "job %llu cannot have %u to %u workers",
                        (unsigned long long)scale->job, scale->workers_min, scale->workers_max);
    job->durable.workers_min = scale->workers_min;
    job->durable.workers_max = scale->workers_max;
    return 0;
}

/* Several processes that hang in one generation are one round, as with crashes. */
static int apply_hung (struct coord *coord, const struct mu_journal *record, struct mu_error *error)
{
    const struct mu_journal_hung *hung = &record->hung;
    struct job *job = core_job (coord, hung->job);
    if (!job)
        return no_job (error, hung->job);
    struct job_durable *durable = &job->durable;
    bool same =
        hung->doubted && durable->hang_rounds && durable->hang_generation == hung->generation;
    if (hung->step > durable->hang_step) {
        durable->hang_rounds = durable->hang_blows = 0;
        durable->hang_step = hung->step;
        same = false;
    }
    durable->hangs++;
    if (hung->doubted)
        durable->hang_generation = hung->generation;
    durable->hang_rounds += hung->doubted && !same;
    durable->hang_blows += hung->blames && !same;
    durable->hung_ms = hung->time_ms;
    job_note (&durable->hung, hung->text);
    return 0;
}

static int apply_rewind (struct coord *coord, const struct mu_journal *record,
                         struct mu_error *error)
{
    struct job *job = core_job (coord, record->rewind.job);
    if (!job)
        return no_job (error, record->rewind.job);
    struct generation *generation = &job->durable.generation;
    uint64_t step = record->rewind.step, trained = shards_trained_step (&job->durable);
    if (live (job) || step >= trained)
        return mu_fail (error, MU_CONFLICT, "job %llu goes back to step %llu, from step %llu",
                        (unsigned long long)record->rewind.job, (unsigned long long)step,
                        (unsigned long long)trained);
    uint64_t windows = step / job->durable.window_steps;
    absent_go_back (&job->durable, trained, record->rewind.time_ms);
    if (step < generation->step)
        generation->step = step;
    for (uint32_t rank = 0; rank < generation->size; rank++)
        if (generation->members[rank].windows > windows)
            generation->members[rank].windows = windows;
    return 0;
}

typedef int applier (struct coord *coord, const struct mu_journal *record, struct mu_error *error);

static applier *const appliers[] = {
    [MU_JOURNAL_REIGN] = apply_reign,     [MU_JOURNAL_SUBMIT] = apply_submit,
    [MU_JOURNAL_SIZED] = apply_sized,     [MU_JOURNAL_FORM] = apply_form,
    [MU_JOURNAL_START] = apply_start,     [MU_JOURNAL_BROKEN] = apply_broken,
    [MU_JOURNAL_LEASE] = apply_lease,     [MU_JOURNAL_TRAINED] = apply_trained,
    [MU_JOURNAL_COMMIT] = apply_commit,   [MU_JOURNAL_STATE] = apply_state,
    [MU_JOURNAL_DRAIN] = apply_drain,     [MU_JOURNAL_CRASH] = apply_crash,
    [MU_JOURNAL_REWIND] = apply_rewind,   [MU_JOURNAL_QUARANTINE] = apply_quarantine,
    [MU_JOURNAL_SCALE] = apply_scale,     [MU_JOURNAL_HUNG] = apply_hung,
    [MU_JOURNAL_POISON] = apply_poison,   [MU_JOURNAL_EXPEL] = apply_expel,
    [MU_JOURNAL_AGREED] = apply_agreed,   [MU_JOURNAL_FOLDED] = fold_apply,
    [MU_JOURNAL_SAVE] = apply_save,       [MU_JOURNAL_DISBELIEVED] = apply_told,
    [MU_JOURNAL_UNSOUND] = apply_unsound, [MU_JOURNAL_TURNED_AWAY] = apply_told,
    [MU_JOURNAL_OVERDUE] = apply_told,    [MU_JOURNAL_UNEVALUATED] = apply_told,
    [MU_JOURNAL_LOST] = apply_told,       [MU_JOURNAL_FORGOTTEN] = forget_apply,
};

int coord_apply (struct coord *coord, const struct mu_journal *record, struct mu_error *error)
{
    uint32_t type = record->type;
    if (type >= sizeof appliers / sizeof *appliers || !appliers[type])
        return mu_fail (error, MU_CONFLICT, "the journal holds a record of unknown type %u", type);
    if (appliers[type](coord, record, error))
        return -1;
    seal_follow (coord, record);
    return 0;
}
