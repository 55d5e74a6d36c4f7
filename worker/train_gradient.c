/* SPDX-License-Identifier: Apache-2.0 */
/* train_gradient.c - one rank's share of one step: its micro-batches into the sums
 *
 * Each micro-batch is computed by one thread, whole. As the trainer finishes tensors they are
 * quantised and added; a lock a tensor keeps threads from adding to one at the same time. When the
 * last of this rank's micro-batches has added the last tensor of a bucket, the bucket is given to
 * the communicator while backward goes on with others.
 *
 * Each micro-batch is noted in the shared region while it is in flight (flight.h), so that the agent
 * knows what a trainer died of. Those that trainers died of before are computed first, one at a
 * time, and with their records told in words. Those that are left out are only counted.
 *
 * Once a micro-batch has added its first tensor it is finished, whatever comes: a half of it in the
 * sums could never be taken out again. A gradient that fails before that is simply not there. */
#include "train.h"

#include "worker/comm/flight.h"
#include "worker/trainers/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct share {
    struct train *train;
    const uint32_t *micro_batches;   /* to be computed; the suspects first */
    uint32_t count, suspects, first; /* first: item 0 of this run of the pool */
    bool alone;
    pthread_mutex_t *tensor_lock; /* [tensors] */
    _Atomic uint32_t *missing;    /* [buckets]: additions that are not there yet */
    pthread_mutex_t lock;         /* of what follows */
    uint32_t wrong_micro_batch;   /* the lowest that is wrong; UINT32_MAX: none */
    struct mu_error wrong;
    bool broken;
    struct mu_error why_broken;
};

/* --- tensors into the sums -------------------------------------------------------------------- */

static void mark_ready (struct share *share, uint32_t bucket)
{
    struct mu_error error;
    if (mu_comm_bucket_ready (share->train->job.comm, bucket, &error) == 0)
        return;
    pthread_mutex_lock (&share->lock);
    if (!share->broken)
        share->why_broken = error;
    share->broken = true;
    pthread_mutex_unlock (&share->lock);
}

static void add_tensor (struct train_thread *thread, uint32_t tensor, uint32_t micro_batch)
{
    struct share *share = thread->task;
    struct train_job *job = thread->job;
    thread->summed[tensor] = true;
    pthread_mutex_lock (&share->tensor_lock[tensor]);
    mu_sums_add (&job->layout, job->comm->sums, job->state, job->kernels, tensor, micro_batch,
                 thread->gradients[tensor]);
    pthread_mutex_unlock (&share->tensor_lock[tensor]);
    train_worked (job);
    struct train_audit *audit = train_audit_owned (share->train, micro_batch);
    if (audit)
        train_audit_tensor (audit, job, tensor, thread->gradients[tensor]);
    uint32_t bucket = job->buckets.of_tensor[tensor];
    if (atomic_fetch_sub (&share->missing[bucket], 1) == 1)
        mark_ready (share, bucket);
}

struct call { /* what tensor_done needs to know */
    struct train_thread *thread;
    uint32_t micro_batch;
};

static void tensor_done (void *host, uint32_t tensor)
{
    struct call *call = host;
    if (tensor < call->thread->job->layout.tensors && !call->thread->summed[tensor])
        add_tensor (call->thread, tensor, call->micro_batch);
}

/* --- one micro-batch -------------------------------------------------------------------------- */

static void name_records (const struct train_thread *thread, char *text, size_t size)
{
    uint64_t count = thread->job->spec.batch.micro;
    size_t used = 0;
    for (uint64_t i = 0; i < count && i < 8 && used < size; i++)
        used += (size_t)snprintf (text + used, size - used, "%s%llu", i ? ", " : "",
                                  (unsigned long long)thread->numbers[i]);
    if (count > 8 && used < size)
        snprintf (text + used, size - used, ", ... (%llu in all)", (unsigned long long)count);
}

/* The lowest wrong micro-batch of those tried is told: with one thread, always the same. */
static void note_wrong (struct train_thread *thread, uint32_t micro_batch, const char *text)
{
    struct share *share = thread->task;
    char records[192] = "";
    name_records (thread, records, sizeof records);
    pthread_mutex_lock (&share->lock);
    if (micro_batch < share->wrong_micro_batch) {
        share->wrong_micro_batch = micro_batch;
        mu_fail (&share->wrong, MU_BAD_INPUT, "step %llu, micro-batch %u (records %s): %s",
                 (unsigned long long)thread->job->state->step, micro_batch, records, text);
    }
    pthread_mutex_unlock (&share->lock);
}

/* The records of a micro-batch of the coming step, into thread->numbers. */
static void choose_records (struct train_thread *thread, uint32_t micro_batch)
{
    const struct train_job *job = thread->job;
    uint64_t micro = job->spec.batch.micro;
    uint64_t first = job->state->step * job->spec.batch.global + micro_batch * micro;
    for (uint64_t i = 0; i < micro; i++)
        thread->numbers[i] = mu_order_record (&job->order, first + i);
}

/* In words only where it is computed alone: that is rare, and takes a while. */
static void note_work (struct train_thread *thread, uint32_t micro_batch)
{
    const struct share *share = thread->task;
    const struct train_job *job = thread->job;
    char records[MU_FLIGHT_TEXT];
    if (share->alone) {
        mu_data_where (job->data, thread->numbers, (uint32_t)job->spec.batch.micro, records,
                       sizeof records);
        mu_flight_describe (job->region, records);
    }
    mu_flight_on (job->region, micro_batch);
}

static bool add_gradient (struct train_thread *thread, uint32_t micro_batch)
{
    const struct share *share = thread->task;
    struct train_job *job = thread->job;
    struct muster_batch batch = {
        .seed = job->spec.seed, .step = job->state->step, .micro_batch = micro_batch, .training = 1
    };
    struct muster_result result = { 0 };
    struct muster_problem problem = { "" };
    struct mu_error error = { .code = MU_OK };
    if (train_fill (thread, job->data, &job->info, (uint32_t)job->spec.batch.micro, &batch,
                    &error) < 0) {
        note_wrong (thread, micro_batch, error.text);
        return false;
    }
    train_worked (job);
    memset (thread->summed, 0, job->layout.tensors * sizeof *thread->summed);
    struct call call = { thread, micro_batch };
    struct muster_progress progress = { tensor_done, &call };
    if (job->trainer->gradient (job->model, thread->weights, &batch, thread->workspace,
                                thread->gradients, &progress, &result, &problem) < 0) {
        note_wrong (thread, micro_batch, mu_trainer_words (&problem));
        return false;
    }
    for (uint32_t tensor = job->layout.tensors; tensor-- > 0;)
        if (!thread->summed[tensor])
            add_tensor (thread, tensor, micro_batch);
    mu_sums_finish (&job->layout, job->comm->sums, job->state, micro_batch, &result);
    train_worked (job);
    struct train_audit *audit = train_audit_owned (share->train, micro_batch);
    if (audit)
        audit->done = true;
    return true;
}

static bool compute (struct train_thread *thread, void *task, uint32_t item)
{
    const struct share *share = task;
    uint32_t at = share->first + item;
    struct train_audit *audit = /* those come after the share's last item */
        at < share->count ? NULL : &share->train->audits.list[at - share->count];
    uint32_t micro_batch = audit ? audit->micro_batch : share->micro_batches[at];
    bool good = true;
    thread->task = task;
    choose_records (thread, micro_batch);
    note_work (thread, micro_batch);
    if (audit)
        train_audit_compute (thread, audit);
    else
        good = add_gradient (thread, micro_batch);
    mu_flight_off (thread->job->region, micro_batch);
    return good;
}

/* --- the share -------------------------------------------------------------------------------- */

/* What is left out has no gradient, and what has none is left out. */
static bool agrees (const struct train_job *job, const void *sums,
                    const struct train_generation *generation, uint32_t m)
{
    return mu_sums_skips (&job->layout, sums, job->state, m) ==
           train_is_skipped (generation, job->state->step, m);
}

/* Sums that hold what is not ours to give would be counted twice: begin again then. */
static void ready_sums (struct train *train, const struct train_generation *generation,
                        const uint16_t *map)
{
    struct train_job *job = &train->job;
    bool good = train->sums_begun && train->sums_step == job->state->step &&
                train->sums_attempt == job->state->attempt;
    for (uint32_t m = 0; m < job->micro_batches && good; m++)
        if (mu_sums_has (&job->layout, job->comm->sums, job->state, m))
            good = map[m] == generation->rank && agrees (job, job->comm->sums, generation, m);
    if (good)
        return;
    mu_sums_begin (&job->layout, job->comm->sums);
    train->sums_begun = true;
    train->sums_step = job->state->step;
    train->sums_attempt = job->state->attempt;
}

static int share_begin (struct share *share, struct mu_error *error)
{
    struct train_job *job = &share->train->job;
    uint32_t tensors = job->layout.tensors;
    share->wrong_micro_batch = UINT32_MAX;
    share->tensor_lock = calloc (tensors, sizeof *share->tensor_lock);
    share->missing = calloc (job->buckets.count, sizeof *share->missing);
    if (!share->tensor_lock || !share->missing)
        return mu_fail (error, MU_SYSTEM, "no memory for a step");
    for (uint32_t i = 0; i < tensors; i++)
        pthread_mutex_init (&share->tensor_lock[i], NULL);
    pthread_mutex_init (&share->lock, NULL);
    for (uint32_t b = 0; b < job->buckets.count; b++)
        atomic_init (&share->missing[b], job->buckets.tensors[b] * share->count);
    return 0;
}

static void share_end (struct share *share)
{
    free (share->tensor_lock);
    free (share->missing);
}

static void run_items (struct share *share)
{
    struct train *train = share->train;
    const atomic_bool *stop = &train->orders.interrupt;
    share->alone = true;
    for (; share->first < share->suspects && share->wrong_micro_batch == UINT32_MAX; share->first++)
        train_pool_run (train->pool, compute, share, 1, stop);
    share->alone = false;
    mu_flight_describe (train->job.region, NULL);
    uint32_t others = train->audits.others;
    if (share->wrong_micro_batch == UINT32_MAX)
        train_pool_run (train->pool, compute, share, share->count - share->suspects + others, stop);
}

static enum train_share run_share (struct share *share, struct mu_error *error)
{
    struct train *train = share->train;
    struct train_job *job = &train->job;
    if (share->count == 0)
        for (uint32_t b = 0; b + 1 < job->buckets.count; b++)
            mark_ready (share, b);
    run_items (share);
    if (share->wrong_micro_batch != UINT32_MAX) {
        *error = share->wrong;
        return TRAIN_SHARE_WRONG;
    }
    if (atomic_load (&train->orders.interrupt))
        return TRAIN_SHARE_STOPPED;
    /* All that was computed was of this step; without the tail it is no sum. */
    train_check_head (train);
    mark_ready (share, job->buckets.count - 1);
    if (!share->broken)
        return TRAIN_SHARE_DONE;
    *error = share->why_broken;
    return TRAIN_SHARE_BROKEN;
}

/* This rank's micro-batches that are neither in its sums nor left out, the suspects first. */
static void list_items (struct share *share, const struct train_generation *generation,
                        const uint16_t *map, uint32_t *todo)
{
    const struct train_job *job = &share->train->job;
    uint64_t step = job->state->step;
    for (int suspect = 1; suspect >= 0; suspect--)
        for (uint32_t m = 0; m < job->micro_batches; m++) {
            if (map[m] != generation->rank || train_is_suspect (generation, step, m) != suspect ||
                mu_sums_has (&job->layout, job->comm->sums, job->state, m))
                continue;
            todo[share->count++] = m;
            share->suspects += (uint32_t)suspect;
        }
}

static void leave_out (const struct train_job *job, const struct train_generation *generation,
                       const uint16_t *map)
{
    for (uint32_t m = 0; m < job->micro_batches && generation->skip_count; m++)
        if (map[m] == generation->rank && train_is_skipped (generation, job->state->step, m) &&
            !mu_sums_has (&job->layout, job->comm->sums, job->state, m))
            mu_sums_skip (&job->layout, job->comm->sums, job->state, m);
}

enum train_share train_gradients (struct train *train, const struct train_generation *generation,
                                  const uint16_t *map, struct mu_error *error)
{
    struct train_job *job = &train->job;
    uint32_t todo[MU_MICRO_BATCHES_MAX];
    struct share share = { .train = train, .micro_batches = todo };
    mu_flight_begin (job->region, job->state->step);
    ready_sums (train, generation, map);
    leave_out (job, generation, map);
    list_items (&share, generation, map, todo);
    enum train_share outcome = TRAIN_SHARE_BROKEN;
    if (share_begin (&share, error) == 0)
        outcome = run_share (&share, error);
    share_end (&share);
    return outcome;
}

void train_recompute (struct train *train)
{
    struct share share = { .train = train, .wrong_micro_batch = UINT32_MAX };
    if (train->audits.others)
        train_pool_run (train->pool, compute, &share, train->audits.others,
                        &train->orders.interrupt);
}

int train_check_skips (const struct train *train, const struct train_generation *generation,
                       struct mu_error *error)
{
    const struct train_job *job = &train->job;
    for (uint32_t m = 0; m < job->micro_batches; m++)
        if (!agrees (job, job->comm->result, generation, m))
            return mu_fail (error, MU_INTERNAL,
                            "micro-batch %u of step %llu %s by another worker; nothing was changed",
                            m, (unsigned long long)job->state->step,
                            train_is_skipped (generation, job->state->step, m)
                                ? "is to be left out and was trained"
                                : "was left out");
    return 0;
}
