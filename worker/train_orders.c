/* SPDX-License-Identifier: Apache-2.0 */
/* train_orders.c - the letter box between the control thread and the stepper
 *
 * At most one order of each kind waits; a newer one of the same kind replaces it, which is right
 * for all of them. LEAVE comes before ENTER: the agent has always left one generation before it
 * enters the next. `interrupt` is what the stepper and the helpers look at between micro-batches;
 * it is raised by a LEAVE of the generation that the stepper is in or is about to enter. */
#include "train.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void train_orders_init (struct train_orders *orders)
{
    memset (orders, 0, sizeof *orders);
    pthread_mutex_init (&orders->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&orders->changed, &attributes);
    pthread_condattr_destroy (&attributes);
}

static int read_map (uint16_t map[MU_MICRO_BATCHES_MAX], struct mu_blob blob,
                     const struct train_job *job, uint32_t size, struct mu_error *error)
{
    const uint8_t *bytes = blob.data;
    if (blob.size != 2 * job->micro_batches)
        return mu_fail (error, MU_PROTOCOL, "a map of %u bytes came for %u micro-batches",
                        blob.size, job->micro_batches);
    for (uint32_t m = 0; m < job->micro_batches; m++) {
        map[m] = (uint16_t)(bytes[2 * m] | bytes[2 * m + 1] << 8);
        if (map[m] >= size)
            return mu_fail (error, MU_PROTOCOL, "micro-batch %u is given to rank %u of %u", m,
                            map[m], size);
    }
    return 0;
}

static uint64_t number (const uint8_t *bytes, uint32_t size)
{
    uint64_t value = 0;
    for (uint32_t i = size; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

#define SKIP_BYTES 12u

static int read_skips (struct train_generation *generation, struct mu_blob blob,
                       const struct train_job *job, struct mu_error *error)
{
    const uint8_t *bytes = blob.data;
    if (blob.size % SKIP_BYTES || blob.size / SKIP_BYTES > TRAIN_SKIPS_MAX)
        return mu_fail (error, MU_PROTOCOL, "a list of what is left out has %u bytes", blob.size);
    generation->skip_count = blob.size / SKIP_BYTES;
    for (uint32_t i = 0; i < generation->skip_count; i++) {
        struct train_skip *skip = &generation->skips[i];
        skip->step = number (bytes + SKIP_BYTES * i, 8);
        skip->micro_batch = (uint32_t)number (bytes + SKIP_BYTES * i + 8, 4);
        if (skip->micro_batch >= job->micro_batches)
            return mu_fail (error, MU_PROTOCOL, "micro-batch %u of %u is left out",
                            skip->micro_batch, job->micro_batches);
    }
    return 0;
}

bool train_is_skipped (const struct train_generation *generation, uint64_t step,
                       uint32_t micro_batch)
{
    for (uint32_t i = 0; i < generation->skip_count; i++)
        if (generation->skips[i].step == step && generation->skips[i].micro_batch == micro_batch)
            return true;
    return false;
}

bool train_is_suspect (const struct train_generation *generation, uint64_t step,
                       uint32_t micro_batch)
{
    return generation->suspect_step == step &&
           (generation->suspects[micro_batch / 8] >> micro_batch % 8 & 1);
}

uint64_t train_skipped_before (const struct train_generation *generation, uint64_t step)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < generation->skip_count; i++)
        count += generation->skips[i].step < step;
    return count;
}

int train_post_enter (struct train_orders *orders, const struct mu_wire_enter *enter,
                      const struct train_job *job, struct mu_error *error)
{
    struct train_generation generation = { .number = enter->generation,
                                           .rank = enter->rank,
                                           .size = enter->size,
                                           .attempt = enter->attempt,
                                           .source_rank = enter->source_rank,
                                           .transfer = enter->transfer,
                                           .made_of = enter->made_of,
                                           .writer = enter->writer,
                                           .step = enter->step,
                                           .steps = enter->steps,
                                           .records = enter->records,
                                           .suspect_step = enter->suspect_step };
    if (enter->records != job->info.records)
        return mu_fail (error, MU_BAD_INPUT,
                        "the data differs between workers: an epoch has %llu records elsewhere and "
                        "%llu here",
                        (unsigned long long)enter->records, (unsigned long long)job->info.records);
    if (read_map (generation.first_map, enter->first_map, job, enter->size, error) < 0 ||
        read_map (generation.map, enter->map, job, enter->size, error) < 0 ||
        read_skips (&generation, enter->skips, job, error) < 0)
        return -1;
    if (enter->suspects.size)
        memcpy (generation.suspects, enter->suspects.data, enter->suspects.size);
    pthread_mutex_lock (&orders->lock);
    orders->generation = generation;
    orders->enter = true;
    if (orders->until_generation != enter->generation) {
        orders->until_generation = enter->generation;
        orders->until_step = enter->until_step;
    }
    pthread_cond_broadcast (&orders->changed);
    pthread_mutex_unlock (&orders->lock);
    return 0;
}

void train_post_extend (struct train_orders *orders, const struct mu_wire_extend *extend)
{
    pthread_mutex_lock (&orders->lock);
    if (extend->generation == orders->until_generation &&
        (extend->until_step > orders->until_step || extend->stop))
        orders->until_step = extend->until_step;
    if (extend->stop && orders->compare_generation != extend->generation) {
        orders->compare_generation = extend->generation; /* in no step, but when it leaves */
        orders->compare_step = UINT64_MAX;
    }
    pthread_cond_broadcast (&orders->changed);
    pthread_mutex_unlock (&orders->lock);
}

void train_post_compare (struct train_orders *orders, const struct mu_wire_compare *compare)
{
    pthread_mutex_lock (&orders->lock);
    orders->compare_generation = compare->generation;
    orders->compare_step = compare->step;
    pthread_mutex_unlock (&orders->lock);
}

void train_post_leave (struct train_orders *orders, uint64_t generation)
{
    pthread_mutex_lock (&orders->lock);
    if (orders->enter && orders->generation.number <= generation)
        orders->enter = false;
    orders->leave = true;
    orders->leave_generation = generation;
    if (orders->entered <= generation)
        atomic_store (&orders->interrupt, true);
    pthread_cond_broadcast (&orders->changed);
    pthread_mutex_unlock (&orders->lock);
}

void train_post_write (struct train_orders *orders, uint64_t generation)
{
    pthread_mutex_lock (&orders->lock);
    orders->write = true;
    orders->write_generation = generation;
    pthread_cond_broadcast (&orders->changed);
    pthread_mutex_unlock (&orders->lock);
}

void train_orders_nudge (struct train_orders *orders)
{
    pthread_mutex_lock (&orders->lock);
    pthread_cond_broadcast (&orders->changed);
    pthread_mutex_unlock (&orders->lock);
}

/* --- the stepper's side ----------------------------------------------------------------------- */

static enum train_order take (struct train_orders *orders, struct train_generation *generation,
                              uint64_t *number)
{
    if (orders->leave) {
        orders->leave = false;
        *number = orders->leave_generation;
        return TRAIN_LEAVE;
    }
    if (orders->enter) {
        orders->enter = false;
        *generation = orders->generation;
        *number = orders->entered = generation->number;
        atomic_store (&orders->interrupt, false);
        return TRAIN_ENTER;
    }
    orders->write = false;
    *number = orders->write_generation;
    return TRAIN_WRITE;
}

enum train_order train_next_order (struct train_orders *orders, struct train_generation *generation,
                                   uint64_t *number)
{
    pthread_mutex_lock (&orders->lock);
    while (!orders->enter && !orders->leave && !orders->write)
        pthread_cond_wait (&orders->changed, &orders->lock);
    enum train_order order = take (orders, generation, number);
    pthread_mutex_unlock (&orders->lock);
    return order;
}

uint64_t train_until (struct train_orders *orders)
{
    pthread_mutex_lock (&orders->lock);
    uint64_t until = orders->until_generation == orders->entered ? orders->until_step : 0;
    pthread_mutex_unlock (&orders->lock);
    return until;
}

bool train_is_reviewed (struct train_orders *orders, uint64_t generation)
{
    pthread_mutex_lock (&orders->lock);
    bool reviewed = orders->compare_generation == generation;
    pthread_mutex_unlock (&orders->lock);
    return reviewed;
}

bool train_compares (struct train_orders *orders, const struct train_generation *generation,
                     uint64_t step)
{
    pthread_mutex_lock (&orders->lock);
    bool compares =
        orders->compare_generation == generation->number && orders->compare_step == step;
    pthread_mutex_unlock (&orders->lock);
    return compares || step + 1 == generation->steps;
}

void train_wait_lease (struct train_orders *orders, uint64_t step, int timeout_ms)
{
    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock (&orders->lock);
    if (orders->until_step <= step && !atomic_load (&orders->interrupt))
        pthread_cond_timedwait (&orders->changed, &orders->lock, &until);
    pthread_mutex_unlock (&orders->lock);
}
