/* SPDX-License-Identifier: Apache-2.0 */
/* generation.c - one agreed world: FORM, fences, READY, GO, the break, the next one
 *
 *     form (): FORM is journalled, then said to each member
 *       -> FENCE of all: FENCED, as often as the collectives need
 *       -> READY of all: START is journalled, then GO
 *     generation_break (): BROKEN is journalled, then ABORT is said
 *       -> ABORTED of all, or silence at its limit: job_advance () forms the next one
 *
 * ABORTED tells where each trainer stands and which micro-batches of its next step it has summed,
 * so the next generation goes on from the highest step and computes only what the lost ones took
 * with them. Words about another generation are heard (they prove life) and not obeyed. */
#include "generation.h"

#include "ahead.h"
#include "audit.h"
#include "doubt.h"
#include "halt.h"
#include "hang.h"
#include "job.h"
#include "late.h"
#include "loss.h"
#include "missing.h"
#include "orders.h"
#include "poison.h"
#include "prepare.h"
#include "proof.h"
#include "queue.h"
#include "review.h"
#include "roster.h"
#include "shards.h"
#include "trust.h"
#include "unsound.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* --- soft state ------------------------------------------------------------------------------- */

void generation_clear (struct job *job)
{
    struct job_soft *soft = &job->soft;
    fences_free (&soft->fences);
    review_forget (job);
    halt_clear (job);
    soft->finished = soft->reducing = soft->idle = soft->uneven = 0;
    soft->running_since_ms = 0;
    soft->withheld = false;
    soft->losses = 0;
    soft->join_since_ms = soft->stuck_ms = 0;
    for (uint32_t i = 0; i < soft->worker_count; i++)
        soft->workers[i]->finished = soft->workers[i]->reducing = soft->workers[i]->idle = false;
}

/* The worker's rank in its job's live generation, if the word is about that one. */
static struct job *live_job (const struct worker *worker, uint64_t job_number, uint64_t generation)
{
    struct job *job = worker->job;
    if (!job || worker->rank == NONE || job->durable.number != job_number ||
        job->durable.generation.number != generation || !job_has_live_generation (job))
        return NULL;
    return job;
}

/* --- who can take part ------------------------------------------------------------------------ */

static bool is_ahead (const struct position *a, const struct position *b)
{
    return a->step != b->step ? a->step > b->step : a->attempt > b->attempt;
}

static bool is_equal (const struct position *a, const struct position *b)
{
    return a->step == b->step && a->attempt == b->attempt && a->lineage &&
           a->lineage == b->lineage && !a->blank && !b->blank;
}

struct worker *generation_best (const struct coord *coord, const struct job *job, bool staying)
{
    struct worker *best = NULL;
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        struct worker *worker = job->soft.workers[i];
        if (!worker_is_prepared (worker) || worker->order == ORDER_ABORT ||
            worker->position.blank || audit_is_tainted (job, worker) ||
            (staying && review_lets_go (coord, job, worker)))
            continue;
        if (!best || is_ahead (&worker->position, &best->position) ||
            (!is_ahead (&best->position, &worker->position) && worker->number < best->number))
            best = worker;
    }
    return best;
}

/* By number, so that ranks do not depend on who answered first. */
uint32_t generation_members (struct coord *coord, const struct job *job, struct worker **members)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < coord->worker_count && count < job->soft.worker_count; i++) {
        struct worker *worker = coord->workers[i];
        if (worker->job == job && worker->order == ORDER_NONE &&
            !review_lets_go (coord, job, worker))
            members[count++] = worker;
    }
    return count;
}

bool generation_reopen (struct coord *coord, const struct job *job, struct worker **members,
                        uint32_t count)
{
    bool any = false;
    uint64_t committed = job_committed_step (job);
    for (uint32_t i = 0; i < count; i++)
        if (members[i]->reopened_step != committed) {
            members[i]->reopened_step = committed;
            worker_release (coord, members[i], true);
            any = true;
        }
    return any;
}

void generation_forget_tries (struct worker *const *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        members[i]->reopened_step = members[i]->position.unsound = 0;
}

/* All whose state was waited for are gone: have these make their own. */
static void begin_anew (struct coord *coord, struct worker **members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct worker *worker = members[i];
        if (!worker->position.blank)
            continue;
        if (worker->anew++ < COORD_ANEW_MAX)
            worker_release (coord, worker, true);
        else
            worker_turn_away (coord, worker, "it makes no state of its own when it is told to");
    }
}

/* --- FORM ------------------------------------------------------------------------------------- */

static void store_rewind (struct coord *coord, const struct job *job, uint64_t step)
{
    struct mu_journal record = {
        .type = MU_JOURNAL_REWIND,
        .rewind = { .job = job->durable.number, .step = step, .time_ms = coord->unix_ms }
    };
    core_store (coord, &record);
}

/* What a member said of itself goes into the record: with it the ledger can be proven later. */
static void describe (struct coord *coord, struct mu_journal_member *member,
                      const struct worker *worker, uint32_t micro_batches)
{
    uint32_t size = (micro_batches + 7) / 8;
    bool any = false;
    *member = (struct mu_journal_member){ .incarnation = worker->incarnation,
                                          .generation = worker->position.generation,
                                          .step = worker->position.step,
                                          .attempt = worker->position.attempt };
    SET (member->name, worker->name);
    for (uint32_t i = 0; i < size; i++)
        any = any || worker->kept[i];
    if (any)
        member->kept =
            (struct mu_blob){ memcpy (core_scratch (coord, size), worker->kept, size), size };
}

/* Who stands one update behind makes that update itself, of the sums that the source made its own of. By what it
 * says of itself; so all who say the same must have come there in the same way. */
static uint32_t sums_for_those_behind (struct worker *const *members, uint32_t count,
                                       const struct position *source)
{
    bool any = false;
    for (uint32_t rank = 0; rank < count; rank++) {
        const struct position *own = &members[rank]->position;
        if (mu_receives (own->blank, own->step, own->attempt, source->step, source->attempt,
                         source->made_of) != MU_RECEIVES_SUMS)
            continue;
        if (!own->lineage || own->lineage != source->lineage)
            return 0;
        any = true;
    }
    return any ? source->made_of : 0;
}

static void store_form (struct coord *coord, const struct job *job, struct worker **members,
                        uint32_t count, const struct worker *source)
{
    const struct job_durable *durable = &job->durable;
    uint32_t micro_batches = durable->micro_batches;
    struct mu_journal_member *list = core_scratch (coord, count * sizeof *list);
    uint8_t *first_map = core_scratch (coord, 2 * (size_t)micro_batches);
    uint8_t *map = core_scratch (coord, 2 * (size_t)micro_batches);
    struct mu_journal record = { .type = MU_JOURNAL_FORM,
                                 .form = { .job = durable->number,
                                           .generation = durable->generation.number + 1,
                                           .step = source->position.step,
                                           .attempt = source->position.attempt,
                                           .made_of = sums_for_those_behind (members, count,
                                                                             &source->position),
                                           .first_map = { first_map, 2 * micro_batches },
                                           .map = { map, 2 * micro_batches },
                                           .time_ms = coord->unix_ms } };
    for (uint32_t rank = 0; rank < count; rank++) {
        describe (coord, &list[rank], members[rank], micro_batches);
        if (members[rank] == source)
            record.form.source_rank = rank;
        if (!is_equal (&members[rank]->position, &source->position) && members[rank] != source)
            record.form.transfer = true;
    }
    record.form.members.items = list;
    record.form.members.count = count;
    record.form.until_step = shards_first_lease (coord, job, members, count, source->position.step);
    shards_map (coord, durable, map, members, count, source->position.step);
    shards_first_map (coord, durable, first_map, members, count, &source->position);
    record.form.connected = ahead_has (job, members, count);
    const char *world =
        core_text (coord, "muster-%llu-%llu-%llu", (unsigned long long)coord->durable.term,
                   (unsigned long long)durable->number, (unsigned long long)record.form.generation);
    SET (record.form.world, record.form.connected ? job->soft.ahead->world : world);
    core_store (coord, &record);
}

static void form (struct coord *coord, struct job *job, struct worker **members, uint32_t count,
                  const struct worker *source)
{
    struct job_soft *soft = &job->soft;
    uint64_t step = source->position.step;
    late_begin (job, members, count);
    generation_clear (job);
    audit_clear (job);
    if (step < shards_trained_step (&job->durable))
        store_rewind (coord, job, step);
    if (!ahead_has (job, members, count))
        ahead_forget (coord, job);
    store_form (coord, job, members, count, source);
    ahead_clear (job);
    soft->ranks = realloc (soft->ranks, count * sizeof (struct worker *));
    assert (soft->ranks);
    missing_forget (job);
    soft->step = step;
    soft->sample_count = 0;
    soft->save_done = soft->end_unsaved = false;
    soft->save_tries = 0;
    soft->form_limit_ms = coord->now_ms + coord->options.form_limit_ms;
    core_wake (coord, soft->form_limit_ms);
    for (uint32_t rank = 0; rank < count; rank++) {
        soft->ranks[rank] = members[rank];
        members[rank]->rank = rank;
        order_give (coord, members[rank], ORDER_FORM);
    }
}

bool generation_try_form (struct coord *coord, struct job *job)
{
    struct job_soft *soft = &job->soft;
    if (audit_reopen (coord, job))
        return false;
    if (!job->durable.sized || soft->worker_count < job->durable.workers_min)
        return false;
    if (coord->now_ms < soft->form_after_ms) {
        core_wake (coord, soft->form_after_ms);
        return false;
    }
    struct worker **members = core_scratch (coord, soft->worker_count * sizeof (struct worker *));
    uint32_t count = generation_members (coord, job, members);
    if (count < job->durable.workers_min)
        return false;
    const struct worker *source = generation_best (coord, job, true);
    if (!source) {
        begin_anew (coord, members, count);
        return false;
    }
    bool is_behind = source->position.step < job_committed_step (job);
    if (is_behind && generation_reopen (coord, job, members, count))
        return false;
    if (unsound_give_up (coord, job, members, count, is_behind) ||
        proof_turn_away (coord, members, count))
        return false;
    if (is_behind) {
        missing_await (coord, job, members, count);
        return false;
    }
    form (coord, job, members, count, source);
    return true;
}

/* The next generation, which the same turn may form, frees these maps. */
static uint8_t *copy_maps (struct coord *coord, const struct generation *generation,
                           uint32_t map_size)
{
    return memcpy (core_scratch (coord, 2 * (size_t)map_size), generation->first_map,
                   2 * (size_t)map_size);
}

void generation_say_form (struct coord *coord, const struct worker *worker)
{
    const struct job_durable *job = &worker->job->durable;
    const struct generation *generation = &job->generation;
    uint32_t map_size = 2 * job->micro_batches;
    uint8_t *maps = copy_maps (coord, generation, map_size);
    struct mu_wire_form *said = &core_tell (coord, worker, MU_WIRE_FORM)->form;
    *said = (struct mu_wire_form){ .job = job->number,
                                   .generation = generation->number,
                                   .rank = worker->rank,
                                   .size = generation->size,
                                   .step = generation->step,
                                   .attempt = generation->attempt,
                                   .source_rank = generation->source_rank,
                                   .transfer = generation->transfer,
                                   .made_of = generation->made_of,
                                   .first_map = { maps, map_size },
                                   .map = { maps + map_size, map_size },
                                   .until_step = generation->until_step,
                                   .steps = job->steps,
                                   .records = job->records,
                                   .connected = generation->connected,
                                   .order = worker->order_number };
    SET (said->world, generation->world);
    poison_say (coord, job, said);
}

/* --- fences ----------------------------------------------------------------------------------- */

void generation_say_fenced (struct coord *coord, const struct worker *worker,
                            const struct fences *fences, const struct mu_wire_fence *fence)
{
    struct mu_wire_fenced *said = &core_tell (coord, worker, MU_WIRE_FENCED)->fenced;
    said->job = fence->job;
    said->generation = fence->generation;
    said->number = fence->number;
    said->values = fences_all (fences, fence->number);
    SET (said->world, fence->world);
}

static void fail_fence (struct coord *coord, struct job *job, uint32_t number)
{
    job_stop (coord, job, MU_JOB_FAILED, MU_INTERNAL,
              core_text (coord, "The addresses of %u ranks take %llu bytes, more than %u.",
                         job->durable.generation.size,
                         (unsigned long long)fences_bytes (job->soft.fences, number),
                         FENCE_BYTES_MAX));
}

void generation_fence (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_fence *said = &wire->fence;
    if (*said->world) {
        ahead_fence (coord, worker, wire);
        return;
    }
    struct job *job = live_job (worker, said->job, said->generation);
    if (!job || job->durable.state != MU_JOB_FORMING)
        return;
    uint32_t size = job->durable.generation.size;
    switch (fences_come (&job->soft.fences, size, worker->rank, said->number, said->values)) {
    case FENCE_COMPLETE:
        for (uint32_t rank = 0; rank < size; rank++)
            generation_say_fenced (coord, job->soft.ranks[rank], job->soft.fences, said);
        return;
    case FENCE_AGAIN: generation_say_fenced (coord, worker, job->soft.fences, said); return;
    case FENCE_WAITS: return;
    case FENCE_TOO_LARGE: fail_fence (coord, job, said->number); return;
    }
}

/* --- READY and GO ----------------------------------------------------------------------------- */

static void say_go (struct coord *coord, const struct worker *worker)
{
    struct mu_wire_go *said = &core_tell (coord, worker, MU_WIRE_GO)->go;
    said->job = worker->job->durable.number;
    said->generation = worker->job->durable.generation.number;
}

void generation_ready (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    struct job *job = live_job (worker, wire->ready.job, wire->ready.generation);
    if (!job)
        return;
    if (job->durable.state == MU_JOB_RUNNING) { /* it missed GO */
        say_go (coord, worker);
        return;
    }
    if (worker->order != ORDER_FORM)
        return;
    order_clear (worker);
    if (job->soft.orders[ORDER_FORM])
        return;
    struct mu_journal record = { .type = MU_JOURNAL_START,
                                 .start = { .job = job->durable.number,
                                            .generation = job->durable.generation.number,
                                            .time_ms = coord->unix_ms } };
    core_store (coord, &record);
    late_forget (job);
    review_started (coord, job);
    job->soft.running_since_ms = coord->now_ms;
    shards_started (coord, job);
    queue_want (coord); /* it may grow now, or be shrunk */
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        say_go (coord, job->soft.ranks[rank]);
    job_touch (coord, job);
}

/* --- the break -------------------------------------------------------------------------------- */

/* Slower and slower while generations break without having done anything. */
static void slow_down (const struct coord *coord, struct job_soft *soft, bool counts)
{
    soft->failures = counts ? soft->failures + 1 : 0;
    soft->form_after_ms = coord->now_ms;
    bool otherwise = soft->without; /* the next one is another one */
    soft->without = false;
    if (soft->failures < 3 || otherwise)
        return;
    uint32_t doublings = soft->failures - 3 < 10 ? soft->failures - 3 : 10;
    uint64_t wait_ms = (uint64_t)COORD_FORM_RETRY_MS << doublings;
    soft->form_after_ms += wait_ms < COORD_FORM_RETRY_MAX_MS ? wait_ms : COORD_FORM_RETRY_MAX_MS;
}

void generation_break (struct coord *coord, struct job *job, bool planned, const char *why)
{
    const struct generation *generation = &job->durable.generation;
    struct mu_journal record = { .type = MU_JOURNAL_BROKEN,
                                 .broken = { .job = job->durable.number,
                                             .generation = generation->number,
                                             .planned = planned,
                                             .time_ms = coord->unix_ms } };
    SET (record.broken.reason, why);
    if (job->durable.state == MU_JOB_RUNNING)
        review_end (coord, job, planned);
    core_store (coord, &record);
    slow_down (coord, &job->soft, !planned && job->soft.step == generation->step);
    generation_clear (job);
    if (!planned)
        ahead_forget (coord, job);
    for (uint32_t rank = 0; rank < generation->size; rank++)
        if (job->soft.ranks[rank])
            order_give (coord, job->soft.ranks[rank], ORDER_ABORT);
    /* What these would say when their generation ends is not coming: do not hold the others up. The
     * collectives of the others often tell of a death before its silence does. */
    for (uint32_t rank = 0; rank < generation->size; rank++)
        if (job->soft.ranks[rank])
            roster_lose_if_gone (coord, job->soft.ranks[rank]);
    job_touch (coord, job);
}

/* Each crash costs the job a generation, also where the words of others, whose collectives ended because of it,
 * come first. */
static bool blame_for_crash (struct coord *coord, struct worker *worker,
                             const struct mu_wire_down *down)
{
    const struct job *job = worker->job;
    if (!down->ended || !job || worker->rank == NONE || job->durable.number != down->job ||
        job->durable.generation.number != down->generation ||
        worker->crashed_in == down->generation)
        return false;
    worker->crashed_in = down->generation;
    trust_blame (coord, worker, "its collective crashed, or was killed");
    if (trust_spares (coord, worker))
        worker->yields = true; /* to who can use it */
    return true;
}

void generation_down (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    if (*wire->down.world) {
        ahead_down (coord, worker, wire);
        return;
    }
    if (audit_differs (coord, worker, &wire->down))
        return;
    bool crashed = blame_for_crash (coord, worker, &wire->down);
    struct job *job = live_job (worker, wire->down.job, wire->down.generation);
    if (!job && crashed)
        loss_tell (coord, worker->job, worker, MU_PROCESS_COLLECTIVE, wire->down.text);
    if (!job)
        return;
    if (wire->down.doubts)
        doubt_hear (coord, job, worker, &wire->down);
    else
        generation_break (coord, job, false, late_ended (coord, job, worker, &wire->down));
}

/* A large state takes its time, and gets it while pieces of it arrive. */
static bool state_flows (const struct coord *coord, const struct job *job)
{
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++) {
        const struct worker *worker = job->soft.ranks[rank];
        if (worker->order == ORDER_FORM && worker->phase == MU_PHASE_RECEIVING &&
            worker->duty == MU_DUTY_COLLECTIVE && worker->stalled_ms < hang_limit (coord, job))
            return true;
    }
    return false;
}

void generation_limit (struct coord *coord, struct job *job)
{
    if (job->durable.state != MU_JOB_FORMING)
        return;
    if (coord->now_ms >= job->soft.form_limit_ms && state_flows (coord, job))
        job->soft.form_limit_ms = coord->now_ms + hang_limit (coord, job);
    if (coord->now_ms < job->soft.form_limit_ms)
        core_wake (coord, job->soft.form_limit_ms);
    else
        generation_break (coord, job, false, late_blame (coord, job));
}

/* The generation that a member's state came out of. Who was behind, or further than a generation
 * that never started could be, has its state from before: from the same as ever if it stands where
 * it stood, else nobody knows. */
static uint64_t trained_in (const struct generation *left, const struct position *before,
                            const struct mu_wire_aborted *said)
{
    if (said->step == left->began || (left->started && said->step > left->began))
        return left->number;
    return said->step == before->step ? before->generation : 0;
}

/* It has finished a step, which beats are too rare to tell of a short generation. */
static void note_work (const struct coord *coord, struct job *job,
                       const struct mu_wire_aborted *said)
{
    const struct generation *left = &job->durable.generation;
    if (!left->started || said->blank || said->step <= left->step || said->step > left->until_step)
        return;
    slow_down (coord, &job->soft, false);
}

void generation_aborted (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_aborted *said = &wire->aborted;
    struct job *job = worker->job;
    if (!job || worker->order != ORDER_ABORT || said->job != job->durable.number ||
        said->generation != job->durable.generation.number)
        return;
    if (worker_is_beyond (coord, worker, said->step))
        return;
    order_clear (worker);
    note_work (coord, job, said);
    struct position *position = &worker->position;
    if (job->durable.generation.started)
        position->lineage = index_hash (&said->generation, sizeof said->generation);
    else if (position->step != said->step || position->attempt != said->attempt)
        position->lineage = 0;
    position->generation = said->blank ? 0 : trained_in (&job->durable.generation, position, said);
    position->step = said->step;
    position->attempt = said->attempt;
    position->made_of = said->made_of;
    position->blank = said->blank;
    position->entered = said->entered;
    memset (worker->kept, 0, sizeof worker->kept);
    if (said->kept.size)
        memcpy (worker->kept, said->kept.data,
                said->kept.size < KEPT_BYTES ? said->kept.size : KEPT_BYTES);
    worker->generation = 0;
    if (!job->soft.orders[ORDER_ABORT])
        job_touch (coord, job);
}
