/* SPDX-License-Identifier: Apache-2.0 */
/* shards.c - micro-batch maps, leases, and the ledger of trained windows
 *
 * A shard is one micro-batch index over one window of steps. A generation's map gives each index to
 * one rank, and each rank trains its windows in order, so the whole ledger of a job, however many
 * million shards, is one number a rank: all windows below it are trained. What lies before a
 * generation's first step was trained by those before it.
 *
 * Leases are one number too: steps below until_step. They reach lease_ahead_ms ahead at the rate
 * that the beats show, in whole windows, and are renewed when half is used; so training goes on
 * without us for at least half of that. A generation's first lease is as long, at the highest rate
 * that its job ever had; of a job that never had one, at the highest that can be believed: we may
 * die before the first beat. docs/decisions/0029 says why too much is better than too little. */
#include "shards.h"

#include "hang.h"
#include "job.h"
#include "pace.h"
#include "poison.h"
#include "proof.h"
#include "review.h"
#include "roster.h"

#define SAMPLE_MS        250u
#define STANDSTILL_MS    1000u /* beats are rarer than steps */
#define LEAST_WINDOWS    2u
#define OPEN_WINDOWS_MAX 4096u

/* More than any processor's thread, and any device, does in a millisecond; and less than any step takes. */
#define THREAD_OPERATIONS 2e8
#define DEVICE_OPERATIONS 1e12
#define STEP_LEAST_MS     1.0

/* A state is weights and two moments. It comes at half a gigabyte a second and takes some time to begin;
 * where that is wrong, a step is somewhat longer than it need be. */
#define STATE_BYTES_EACH    12u
#define TRANSFER_BYTES_A_US 500u
#define TRANSFER_BEGIN_US   20000u

/* --- maps ------------------------------------------------------------------------------------- */

uint32_t shards_rank (const uint8_t *map, uint32_t micro_batch)
{
    return map[2 * micro_batch] | (uint32_t)map[2 * micro_batch + 1] << 8;
}

void shards_set_rank (uint8_t *map, uint32_t micro_batch, uint32_t rank)
{
    map[2 * micro_batch] = (uint8_t)rank;
    map[2 * micro_batch + 1] = (uint8_t)(rank >> 8);
}

static bool has (const uint8_t *bits, uint32_t at) { return (bits[at / 8] >> at % 8 & 1) != 0; }

/* Those that are not taken, in contiguous blocks. */
static void spread (struct coord *coord, uint8_t *map, const uint8_t *taken, uint32_t micro_batches,
                    struct worker *const *members, uint32_t ranks, const uint64_t *late_us)
{
    uint32_t left = 0, rank = 0;
    for (uint32_t m = 0; m < micro_batches; m++)
        left += !has (taken, m);
    uint32_t *shares = core_scratch (coord, ranks * sizeof *shares);
    pace_shares (coord, members, ranks, left, late_us, shares);
    for (uint32_t m = 0; m < micro_batches; m++) {
        if (has (taken, m))
            continue;
        while (!shares[rank])
            rank++;
        shares[rank]--;
        shards_set_rank (map, m, rank);
    }
}

/* A generation that begins before the suspects' step, for all went back, meets them under this
 * map. */
void shards_map (struct coord *coord, const struct job_durable *job, uint8_t *map,
                 struct worker *const *members, uint32_t ranks, uint64_t base_step)
{
    static const uint8_t nothing[KEPT_BYTES];
    spread (coord, map, nothing, job->micro_batches, members, ranks, NULL);
    if (job->suspicion.step > base_step)
        poison_spread (job, map, nothing, members, ranks);
}

static bool is_level (const struct worker *worker, const struct position *base)
{
    const struct position *own = &worker->position;
    return !own->blank && own->step == base->step && own->attempt == base->attempt;
}

/* How much later those begin that receive the state first. */
static uint64_t *lateness (struct coord *coord, const struct job_durable *job,
                           struct worker *const *members, uint32_t ranks,
                           const struct position *base)
{
    uint64_t *late_us = core_scratch (coord, ranks * sizeof *late_us);
    uint64_t bytes = job->parameters * STATE_BYTES_EACH;
    for (uint32_t rank = 0; rank < ranks; rank++)
        late_us[rank] =
            is_level (members[rank], base) ? 0 : TRANSFER_BEGIN_US + bytes / TRANSFER_BYTES_A_US;
    return late_us;
}

static uint32_t count_kept (const struct worker *worker, const struct position *base,
                            uint32_t micro_batches)
{
    uint32_t count = 0;
    if (!is_level (worker, base))
        return 0;
    for (uint32_t m = 0; m < micro_batches; m++)
        count += has (worker->kept, m);
    return count;
}

/* Sums cannot be taken apart: what a rank kept is taken as a whole, or not at all. */
static void take_kept (uint8_t *map, uint8_t *taken, const struct worker *worker, uint32_t rank,
                       uint32_t micro_batches)
{
    for (uint32_t i = 0; i < KEPT_BYTES; i++)
        if (worker->kept[i] & taken[i])
            return;
    for (uint32_t m = 0; m < micro_batches; m++)
        if (has (worker->kept, m)) {
            shards_set_rank (map, m, rank);
            taken[m / 8] |= (uint8_t)(1u << m % 8);
        }
}

/* What was kept stays where it is, the largest share first; what is left to compute is spread
 * as if it were all, for that is what the step will wait for; and for the states on their way. */
void shards_first_map (struct coord *coord, const struct job_durable *job, uint8_t *map,
                       struct worker *const *members, uint32_t ranks, const struct position *base)
{
    uint8_t taken[KEPT_BYTES] = { 0 };
    uint32_t micro_batches = job->micro_batches;
    uint32_t *kept = core_scratch (coord, ranks * sizeof *kept), most = 0;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        kept[rank] = count_kept (members[rank], base, micro_batches);
        most = kept[rank] > most ? kept[rank] : most;
    }
    for (uint32_t share = most; share > 0; share--)
        for (uint32_t rank = 0; rank < ranks; rank++)
            if (kept[rank] == share)
                take_kept (map, taken, members[rank], rank, micro_batches);
    spread (coord, map, taken, micro_batches, members, ranks,
            lateness (coord, job, members, ranks, base));
    if (job->suspicion.step == base->step)
        poison_spread (job, map, taken, members, ranks);
}

/* --- leases ----------------------------------------------------------------------------------- */

static uint64_t whole_windows (const struct job_durable *job, uint64_t step)
{
    uint64_t windows = (step + job->window_steps - 1) / job->window_steps;
    uint64_t until = windows * job->window_steps;
    return until < job->steps ? until : job->steps;
}

/* As far ahead of `step` as the option says, at so many steps a second; never less than two windows. */
static uint64_t reach (const struct coord *coord, const struct job_durable *job, uint64_t step,
                       double rate)
{
    double ahead = rate * coord->options.lease_ahead_ms / 1000.0;
    uint64_t least = LEAST_WINDOWS * (uint64_t)job->window_steps;
    if (ahead >= (double)(job->steps - step))
        return job->steps;
    return whole_windows (job, step + (ahead > (double)least ? (uint64_t)ahead : least));
}

/* A step has at least its matrix products: forwards, and twice backwards, two operations a number of
 * the model and target. And some traffic, however small the model. */
static double believable_rate (const struct job_durable *job, struct worker *const *members,
                               uint32_t count)
{
    double capacity = 0, least_ms = 0;
    for (uint32_t i = 0; i < count; i++)
        capacity +=
            members[i]->threads * THREAD_OPERATIONS + members[i]->devices * DEVICE_OPERATIONS;
    if (capacity > 0)
        least_ms =
            6.0 * (double)job->parameters * (double)job->targets * job->global_batch / capacity;
    return 1000.0 / (least_ms > STEP_LEAST_MS ? least_ms : STEP_LEAST_MS);
}

uint64_t shards_first_lease (const struct coord *coord, const struct job *job,
                             struct worker *const *members, uint32_t count, uint64_t step)
{
    double rate = job->soft.rate_best;
    if (rate <= 0)
        rate = believable_rate (&job->durable, members, count);
    return reach (coord, &job->durable, step, rate);
}

void shards_say_lease (struct coord *coord, struct worker *worker)
{
    const struct job_durable *job = &worker->job->durable;
    struct mu_wire_lease *said = &core_tell (coord, worker, MU_WIRE_LEASE)->lease;
    said->job = job->number;
    said->generation = job->generation.number;
    said->until_step = job->generation.until_step;
    said->stop = worker->halts;
    if (worker->halts && worker->job->soft.halt.step < said->until_step)
        said->until_step = worker->job->soft.halt.step;
    worker->leased = worker->connected ? job->generation.until_step : 0;
}

/* LEASE may have been said when it could not hear, and would be said again when it needs it: by nobody, if we are
 * gone by then. */
void shards_welcome (struct coord *coord, struct worker *worker)
{
    const struct job *job = worker->job;
    if (job && worker->rank != NONE && job->durable.state == MU_JOB_RUNNING &&
        worker->generation == job->durable.generation.number &&
        worker->leased < job->durable.generation.until_step)
        shards_say_lease (coord, worker);
}

static void renew (struct coord *coord, struct job *job)
{
    const struct job_durable *durable = &job->durable;
    uint64_t step = job->soft.step, until = durable->generation.until_step;
    if (until >= durable->steps)
        return;
    uint64_t wanted = reach (coord, durable, step, shards_steps_a_second (coord, job));
    if (wanted <= until || 2 * (until - step) > wanted - step)
        return;
    struct mu_journal record = { .type = MU_JOURNAL_LEASE,
                                 .lease = { .job = durable->number,
                                            .generation = durable->generation.number,
                                            .until_step = wanted } };
    core_store (coord, &record);
    for (uint32_t rank = 0; rank < durable->generation.size; rank++)
        shards_say_lease (coord, job->soft.ranks[rank]);
}

/* --- progress --------------------------------------------------------------------------------- */

static const struct sample *newest (const struct job_soft *soft)
{
    return &soft->samples[(soft->sample_count + SAMPLES - 1) % SAMPLES];
}

static const struct sample *oldest (const struct job_soft *soft)
{
    return &soft->samples[soft->sample_count > SAMPLES ? soft->sample_count % SAMPLES : 0];
}

static double rate_between (const struct sample *first, const struct sample *last, uint64_t end_ms)
{
    return (double)(last->step - first->step) * 1000.0 / (double)(end_ms - first->time_ms);
}

/* START, whose time is that of its step. The first beat after a restart has one of another time: all come at once. */
static bool has_begun_here (const struct job *job)
{
    return job->soft.sample_count == 1 && newest (&job->soft)->step == job->durable.generation.step;
}

/* The best pace is that of a single interval: whatever held the others up is not its own. The first
 * one of a generation does not count; much is done there that is done once. */
static void sample (const struct coord *coord, struct job *job)
{
    struct job_soft *soft = &job->soft;
    struct sample now = { coord->now_ms, soft->step };
    if (soft->sample_count && !has_begun_here (job) &&
        now.time_ms < newest (soft)->time_ms + SAMPLE_MS)
        return;
    if (soft->sample_count >= 2) {
        double rate = rate_between (newest (soft), &now, now.time_ms);
        soft->rate_best = rate > soft->rate_best ? rate : soft->rate_best;
    }
    if (!soft->samples)
        soft->samples = calloc (SAMPLES, sizeof *soft->samples);
    assert (soft->samples);
    soft->samples[soft->sample_count++ % SAMPLES] = now;
}

/* FORM has told all members how far they may go. */
void shards_started (const struct coord *coord, struct job *job)
{
    sample (coord, job);
    for (uint32_t rank = 0; rank < job->durable.generation.size; rank++)
        job->soft.ranks[rank]->leased = job->durable.generation.until_step;
}

double shards_steps_a_second (const struct coord *coord, const struct job *job)
{
    const struct job_soft *soft = &job->soft;
    if (soft->sample_count < 2)
        return 0;
    const struct sample *first = oldest (soft), *last = newest (soft);
    uint64_t end_ms = last->time_ms, span_ms = last->time_ms - first->time_ms;
    if (coord->now_ms > end_ms + span_ms && coord->now_ms > end_ms + STANDSTILL_MS)
        end_ms = coord->now_ms;
    return rate_between (first, last, end_ms);
}

uint64_t shards_step_ms (const struct job *job)
{
    const struct job_soft *soft = &job->soft;
    double rate = soft->rate_best;
    if (soft->sample_count >= 2)
        rate = rate_between (oldest (soft), newest (soft), newest (soft)->time_ms);
    return rate > 0 ? 1 + (uint64_t)(1000.0 / rate) : 0;
}

/* It changes nothing in what is trained, so that goes on. Status says it; a record tells it once, and another
 * reason not at once. */
static void hear_unevaluated (struct coord *coord, const struct worker *worker,
                              const struct mu_wire_beat *beat)
{
    struct job *job = worker->job;
    struct job_soft *soft = &job->soft;
    if (beat->evaluated_step > soft->results.evaluated_step)
        job_note (&soft->unevaluated, "");
    if (!*beat->unevaluated ||
        (soft->unevaluated && !strcmp (soft->unevaluated, beat->unevaluated)))
        return;
    job_note (&soft->unevaluated, beat->unevaluated);
    if (soft->unevaluated_ms && coord->now_ms < soft->unevaluated_ms + COORD_DOUBT_MS)
        return;
    soft->unevaluated_ms = coord->now_ms;
    struct mu_journal record = { .type = MU_JOURNAL_UNEVALUATED,
                                 .unevaluated = {
                                     .job = job->durable.number,
                                     .generation = job->durable.generation.number,
                                     .step = beat->step,
                                     .text = core_blob (core_text (
                                         coord, "worker %s cannot evaluate: %s; training goes on",
                                         worker->name, beat->unevaluated)),
                                     .time_ms = coord->unix_ms } };
    mu_text_set (record.unevaluated.worker, sizeof record.unevaluated.worker, worker->name);
    core_store (coord, &record);
}

static void hear_results (struct results *results, const struct mu_wire_beat *beat)
{
    results->loss = beat->loss;
    if (beat->evaluated_step > results->evaluated_step) {
        results->evaluated_step = beat->evaluated_step;
        results->loss_evaluated = beat->loss_evaluated;
        results->accuracy = beat->accuracy;
    }
}

/* When every rank waits, and at least one of them for the all-reduce, nobody but us can end it. */
static void count_waiting (struct coord *coord, struct worker *worker,
                           const struct mu_wire_beat *beat)
{
    struct job_soft *soft = &worker->job->soft;
    soft->reducing -= worker->reducing;
    soft->idle -= worker->idle;
    worker->reducing = beat->phase == MU_PHASE_REDUCING && worker->duty != MU_DUTY_TRAINER;
    worker->idle = beat->phase == MU_PHASE_UNLEASED || beat->phase == MU_PHASE_FINISHED;
    soft->reducing += worker->reducing;
    soft->idle += worker->idle;
    if (!soft->reducing || soft->reducing + soft->idle < worker->job->durable.generation.size)
        soft->stuck_ms = 0;
    else if (worker->reducing)
        hang_note_stuck (coord, worker->job, beat->stalled_ms);
}

/* It missed LEASE; or all that was leased is trained and in the journal, and a restart came before
 * more was leased: then no step beyond what we know will ever be told. */
static void mind_unleased (struct coord *coord, struct worker *worker,
                           const struct mu_wire_beat *beat)
{
    if (beat->step < worker->job->durable.generation.until_step)
        shards_say_lease (coord, worker);
    else
        renew (coord, worker->job);
}

/* Called for each BEAT of a member: no more work here than that of one worker. */
void shards_progress (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_beat *beat = &wire->beat;
    struct job *job = worker->job;
    struct job_soft *soft = &job->soft;
    const struct generation *generation = &job->durable.generation;
    if (job->durable.state != MU_JOB_RUNNING || worker->rank == NONE ||
        beat->generation != generation->number || beat->step > generation->until_step)
        return;
    if (beat->step >= soft->step && beat->step > generation->step) {
        hear_unevaluated (coord, worker, beat);
        hear_results (&soft->results, beat);
    }
    pace_hear (worker, beat);
    if (beat->step > soft->step) {
        soft->step = beat->step;
        soft->failures = 0;
        hang_note_step (coord, job);
        sample (coord, job);
        renew (coord, job);
        if (review_is_gone_by (job))
            job_touch (coord, job);
    }
    count_waiting (coord, worker, beat);
    if (worker->halts && worker->idle)
        job_touch (coord, job);
    else if (beat->phase == MU_PHASE_UNLEASED)
        mind_unleased (coord, worker, beat);
    if (beat->step == job->durable.steps && !worker->finished &&
        !roster_is_of_the_reign_before (coord, wire)) {
        worker->finished = true;
        soft->finished_ms = coord->now_ms;
        if (++soft->finished == generation->size)
            job_touch (coord, job);
    }
    pace_mind (coord, job);
    if (beat->phase == MU_PHASE_FINISHED && worker->finished)
        proof_finished (coord, worker, beat->weights_hash);
}

/* --- the ledger ------------------------------------------------------------------------------- */

void shards_trained (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_trained *trained = &wire->trained;
    struct job *job = worker->job;
    if (!job || trained->job != job->durable.number || worker->rank == NONE ||
        trained->generation != job->durable.generation.number ||
        job->durable.state != MU_JOB_RUNNING)
        return;
    const struct generation *generation = &job->durable.generation;
    uint32_t window = job->durable.window_steps;
    const struct member *member = &generation->members[worker->rank];
    if (trained->windows > (generation->until_step + window - 1) / window)
        return;
    if (trained->windows > member->windows) {
        struct mu_journal record = { .type = MU_JOURNAL_TRAINED,
                                     .trained = { .job = job->durable.number,
                                                  .generation = generation->number,
                                                  .rank = worker->rank,
                                                  .windows = trained->windows } };
        core_store (coord, &record);
    }
    struct mu_wire_trained_ok *said = &core_tell (coord, worker, MU_WIRE_TRAINED_OK)->trained_ok;
    said->job = job->durable.number;
    said->generation = generation->number;
    said->windows = member->windows;
}

uint64_t shards_trained_step (const struct job_durable *job)
{
    uint64_t step = job->generation.step;
    for (uint32_t rank = 0; rank < job->generation.size; rank++) {
        uint64_t trained = job->generation.members[rank].windows * job->window_steps;
        step = trained > step ? trained : step;
    }
    return step < job->steps ? step : job->steps;
}

/* Micro-batches in windows [from, to) that the prefixes of their ranks cover. */
static uint64_t trained_between (const struct job_durable *job, uint64_t from, uint64_t to)
{
    uint64_t trained = 0;
    for (uint32_t m = 0; m < job->micro_batches && job->generation.size; m++) {
        uint64_t windows = job->generation.members[shards_rank (job->generation.map, m)].windows;
        uint64_t end = windows < to ? windows : to;
        trained += end > from ? end - from : 0;
    }
    return trained;
}

static void list_open (struct coord *coord, const struct job_durable *job, uint64_t leased_end,
                       struct mu_wire_shard_list *said)
{
    uint64_t window = UINT64_MAX;
    for (uint32_t rank = 0; rank < job->generation.size; rank++)
        if (job->generation.members[rank].windows < window)
            window = job->generation.members[rank].windows;
    said->windows.items = core_scratch (coord, OPEN_WINDOWS_MAX * sizeof *said->windows.items);
    for (; window < leased_end && said->windows.count < OPEN_WINDOWS_MAX; window++) {
        struct mu_wire_window_info *info = &said->windows.items[said->windows.count++];
        info->window = window;
        info->trained = (uint32_t)trained_between (job, window, window + 1);
        info->leased = job->micro_batches - info->trained;
    }
}

void shards_answer (struct coord *coord, uint32_t peer, uint64_t request, const struct job *job)
{
    const struct job_durable *durable = &job->durable;
    uint64_t windows = (durable->steps + durable->window_steps - 1) / durable->window_steps;
    struct mu_wire_shard_list *said = &core_say (coord, peer, MU_WIRE_SHARD_LIST)->shard_list;
    said->request = request;
    said->window_steps = durable->window_steps;
    said->micro_batches = durable->micro_batches;
    said->shards = windows * durable->micro_batches;
    said->trained = trained_between (durable, 0, windows);
    said->skipped = durable->skip_count;
    if (durable->state == MU_JOB_DONE)
        said->trained = said->shards;
    if (!job_has_live_generation (job))
        return;
    uint64_t until = durable->generation.until_step;
    uint64_t leased_end = (until + durable->window_steps - 1) / durable->window_steps;
    said->leased = leased_end * durable->micro_batches - said->trained;
    list_open (coord, durable, leased_end, said);
}
