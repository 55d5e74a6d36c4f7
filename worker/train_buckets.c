/* SPDX-License-Identifier: Apache-2.0 */
/* train_buckets.c - which tensors are reduced together
 *
 * Backward finishes the last tensors first, and tensors are neighbours in the sums, so a bucket is
 * a run of tensors taken from the end. The plan follows from the model alone: all ranks have the
 * same. */
#include "train.h"

#include <stdlib.h>

/* 512 KiB of int32: large enough that a reduction's fixed cost (about 50 microseconds over TCP on
 * one machine) does not count, small enough that reduction begins early in backward. */
#define TRAIN_BUCKET_WORDS UINT64_C (131072)

static void add_bucket (struct train_buckets *buckets, uint64_t first, uint64_t end,
                        uint32_t tensors)
{
    buckets->bucket[buckets->count] = (struct mu_region_bucket){ first, end - first };
    buckets->tensors[buckets->count++] = tensors;
}

int train_plan_buckets (struct train_buckets *buckets, const struct mu_sums_layout *layout,
                        const struct mu_state *state, struct mu_error *error)
{
    uint32_t tensors = layout->tensors;
    buckets->count = 0;
    buckets->bucket = calloc (tensors + 1, sizeof *buckets->bucket);
    buckets->of_tensor = calloc (tensors + 1, sizeof *buckets->of_tensor);
    buckets->tensors = calloc (tensors + 1, sizeof *buckets->tensors);
    if (!buckets->bucket || !buckets->of_tensor || !buckets->tensors)
        return mu_fail (error, MU_SYSTEM, "no memory for the buckets of %u tensors", tensors);
    uint64_t end = 0;
    uint32_t gathered = 0;
    for (uint32_t i = tensors; i-- > 0;) {
        struct mu_sums_bucket one = mu_sums_bucket (layout, state, i);
        if (gathered++ == 0)
            end = one.first + one.count;
        buckets->of_tensor[i] = buckets->count;
        if (i > 0 && end - one.first < TRAIN_BUCKET_WORDS)
            continue;
        add_bucket (buckets, one.first, end, gathered);
        gathered = 0;
    }
    struct mu_sums_bucket tail = mu_sums_bucket (layout, state, tensors);
    add_bucket (buckets, tail.first, tail.first + tail.count, 0);
    return 0;
}
