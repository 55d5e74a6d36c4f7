/* SPDX-License-Identifier: Apache-2.0 */
/* quantise.c - the exact all-reduce's arithmetic, in 32 and 64 bits behind one interface
 *
 * What differs between the two forms is in struct form: the unit of the counters and the highest
 * scale. Words outside the tensors' sums are read and written through word () and add ().
 *
 * Nothing here fails but a plan out of range and a result that is no complete step; the latter is
 * fatal for the job, since no reduction that was proven can give it. */
#include "worker/state/quantise.h"

#include <math.h>
#include <string.h>

#define COUNTER_LIMIT     (1u << 19) /* a sum of counters below it: no sum overflowed */
#define COUNTER_SATURATED (1u << 20)
#define TOO_LARGE         0x1p127f /* gradients from here on count as not finite */
#define FIRST_STEPS       2u       /* steps in which scales may rise fast */
#define RISE_FIRST        12
#define RISE              1
#define FALL_SATURATED    10

enum { /* one micro-batch's words */
       TAG,
       BAD,
       LOSS_LOW,
       LOSS_HIGH,
       TARGETS_LOW,
       TARGETS_HIGH,
       CORRECT_LOW,
       CORRECT_HIGH,
       MICRO_WORDS,
};

/* 2^e, e from -1022 to 1023. */
static double power_of_two (int e)
{
    uint64_t bits = (uint64_t)(e + 1023) << 52;
    double value;
    memcpy (&value, &bits, sizeof value);
    return value;
}

static int unit_bits (const struct mu_sums_layout *layout)
{
    return layout->form == MU_SUMS_INT64 ? 44 : 12;
}

static int highest_scale (const struct mu_sums_layout *layout)
{
    return layout->form == MU_SUMS_INT64 ? MU_SCALE_HIGHEST64 : MU_SCALE_HIGHEST;
}

static uint64_t word (const struct mu_sums_layout *layout, const void *block, uint64_t index)
{
    if (layout->form == MU_SUMS_INT64)
        return ((const uint64_t *)block)[index];
    return ((const uint32_t *)block)[index];
}

static void add (const struct mu_sums_layout *layout, void *block, uint64_t index, uint32_t value)
{
    if (layout->form == MU_SUMS_INT64)
        ((uint64_t *)block)[index] += value;
    else
        ((uint32_t *)block)[index] += value;
}

static uint64_t micro_word (const struct mu_sums_layout *layout, uint32_t micro_batch,
                            uint32_t which)
{
    return layout->micro + (uint64_t)micro_batch * MICRO_WORDS + which;
}

/* An odd number of 32 bits made of (step, attempt), by the finaliser of splitmix64 (Steele, Lea,
 * Flood, "Fast splittable pseudorandom number generators", 2014). Odd, so that twice a tag is never
 * the tag. */
static uint32_t tag_of (const struct mu_state *state)
{
    uint64_t z = (state->step << 16) + state->attempt + 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)(z ^ (z >> 31)) | 1u;
}

/* Another odd number for a micro-batch that is left out. */
static uint32_t skip_tag_of (const struct mu_state *state) { return tag_of (state) ^ 2u; }

int mu_sums_plan (struct mu_sums_layout *layout, const struct mu_state *state,
                  enum mu_sums_form form, uint32_t micro_batches, struct mu_error *error)
{
    if (micro_batches < 1 || micro_batches > MU_MICRO_BATCHES_MAX)
        return mu_fail (error, MU_CONFIG,
                        "a step of %u micro-batches is not possible: batch.global / batch.micro "
                        "must be 1 to %u",
                        micro_batches, MU_MICRO_BATCHES_MAX);
    layout->form = form;
    layout->tensors = state->tensors;
    layout->micro_batches = micro_batches;
    layout->counters = state->padded;
    layout->non_finite = layout->counters + state->tensors;
    layout->micro = layout->non_finite + state->tensors;
    layout->words = layout->micro + (uint64_t)micro_batches * MICRO_WORDS;
    return 0;
}

struct mu_sums_bucket mu_sums_bucket (const struct mu_sums_layout *layout,
                                      const struct mu_state *state, uint32_t bucket)
{
    if (bucket >= layout->tensors)
        return (struct mu_sums_bucket){ .first = layout->counters,
                                        .count = layout->words - layout->counters };
    const struct mu_state_tensor *tensor = &mu_state_table_const (state)[bucket];
    return (struct mu_sums_bucket){ .first = tensor->first, .count = tensor->elements };
}

void mu_sums_begin (const struct mu_sums_layout *layout, void *sums)
{
    memset (sums, 0, layout->words * layout->form);
}

/* The counter of a tensor whose largest element is `max`, finite. Exact: max * 2^K is a double. */
static uint32_t counter_of (const struct mu_sums_layout *layout, float max, int32_t scale)
{
    if (max == 0)
        return 0;
    double units = (double)max * power_of_two (scale - unit_bits (layout));
    if (units >= COUNTER_LIMIT - 1)
        return COUNTER_SATURATED;
    return (uint32_t)units + 1;
}

void mu_sums_add (const struct mu_sums_layout *layout, void *sums, const struct mu_state *state,
                  const struct mu_kernels *kernels, uint32_t tensor, uint32_t micro_batch,
                  const float *gradient)
{
    const struct mu_state_tensor *entry = &mu_state_table_const (state)[tensor];
    float max = kernels->math.max_abs (gradient, entry->elements);
    if (!(max < TOO_LARGE)) {
        add (layout, sums, layout->non_finite + tensor, 1);
        add (layout, sums, micro_word (layout, micro_batch, BAD), 1);
        return;
    }
    uint32_t counter = counter_of (layout, max, entry->scale);
    add (layout, sums, layout->counters + tensor, counter);
    if (counter == 0 || counter == COUNTER_SATURATED)
        return;
    double scale = power_of_two (entry->scale);
    if (layout->form == MU_SUMS_INT64)
        kernels->quantise_add64 ((uint64_t *)sums + entry->first, gradient, entry->elements, scale);
    else
        kernels->quantise_add ((uint32_t *)sums + entry->first, gradient, entry->elements,
                               (float)scale);
}

static void add_bits (const struct mu_sums_layout *layout, void *sums, uint64_t low, uint64_t bits)
{
    add (layout, sums, low, (uint32_t)bits);
    add (layout, sums, low + 1, (uint32_t)(bits >> 32));
}

static uint64_t read_bits (const struct mu_sums_layout *layout, const void *block, uint64_t low)
{
    return (word (layout, block, low) & UINT32_MAX) | word (layout, block, low + 1) << 32;
}

void mu_sums_finish (const struct mu_sums_layout *layout, void *sums, const struct mu_state *state,
                     uint32_t micro_batch, const struct muster_result *result)
{
    uint64_t loss;
    memcpy (&loss, &result->loss, sizeof loss);
    add (layout, sums, micro_word (layout, micro_batch, TAG), tag_of (state));
    add (layout, sums, micro_word (layout, micro_batch, BAD), isfinite (result->loss) ? 0u : 1u);
    add_bits (layout, sums, micro_word (layout, micro_batch, LOSS_LOW), loss);
    add_bits (layout, sums, micro_word (layout, micro_batch, TARGETS_LOW), result->targets);
    add_bits (layout, sums, micro_word (layout, micro_batch, CORRECT_LOW), result->correct);
}

void mu_sums_skip (const struct mu_sums_layout *layout, void *sums, const struct mu_state *state,
                   uint32_t micro_batch)
{
    add (layout, sums, micro_word (layout, micro_batch, TAG), skip_tag_of (state));
}

bool mu_sums_skips (const struct mu_sums_layout *layout, const void *sums,
                    const struct mu_state *state, uint32_t micro_batch)
{
    return word (layout, sums, micro_word (layout, micro_batch, TAG)) == skip_tag_of (state);
}

bool mu_sums_has (const struct mu_sums_layout *layout, const void *sums,
                  const struct mu_state *state, uint32_t micro_batch)
{
    return word (layout, sums, micro_word (layout, micro_batch, TAG)) == tag_of (state) ||
           mu_sums_skips (layout, sums, state, micro_batch);
}

static uint32_t count_skipped (const struct mu_sums_layout *layout, const void *result,
                               const struct mu_state *state)
{
    uint32_t count = 0;
    for (uint32_t m = 0; m < layout->micro_batches; m++)
        count += mu_sums_skips (layout, result, state, m);
    return count;
}

struct muster_result mu_sums_micro_batch (const struct mu_sums_layout *layout, const void *result,
                                          uint32_t micro_batch)
{
    struct muster_result report;
    uint64_t loss = read_bits (layout, result, micro_word (layout, micro_batch, LOSS_LOW));
    memcpy (&report.loss, &loss, sizeof loss);
    report.targets = read_bits (layout, result, micro_word (layout, micro_batch, TARGETS_LOW));
    report.correct = read_bits (layout, result, micro_word (layout, micro_batch, CORRECT_LOW));
    return report;
}

/* --- judging a result ------------------------------------------------------------------------- */

static int check_complete (const struct mu_sums_layout *layout, const void *result,
                           const struct mu_state *state, struct mu_error *error)
{
    for (uint32_t m = 0; m < layout->micro_batches; m++) {
        uint64_t tag = word (layout, result, micro_word (layout, m, TAG));
        if (mu_sums_has (layout, result, state, m))
            continue;
        return mu_fail (error, MU_INTERNAL,
                        "the sums of step %llu, attempt %llu %s micro-batch %u%s; nothing was "
                        "changed",
                        (unsigned long long)state->step, (unsigned long long)state->attempt,
                        tag == 0 ? "lack" : "hold", m,
                        tag == 0 ? "" : " more than once, or are of another step");
    }
    return 0;
}

static void add_up_reports (const struct mu_sums_layout *layout, const void *result,
                            struct mu_verdict *verdict)
{
    double total = 0;
    for (uint32_t m = 0; m < layout->micro_batches; m++) {
        struct muster_result report = mu_sums_micro_batch (layout, result, m);
        total += report.loss * (double)report.targets;
        verdict->targets += report.targets;
        verdict->correct += report.correct;
    }
    verdict->loss = verdict->targets ? total / (double)verdict->targets : 0;
}

/* The first of `count` words that is not 0, or `count`; words are `stride` apart. */
static uint32_t first_set (const struct mu_sums_layout *layout, const void *result, uint64_t first,
                           uint32_t count, uint32_t stride)
{
    uint32_t i = 0;
    while (i < count && word (layout, result, first + (uint64_t)i * stride) == 0)
        i++;
    return i;
}

bool mu_sums_non_finite (const struct mu_sums_layout *layout, const void *sums)
{
    return first_set (layout, sums, micro_word (layout, 0, BAD), layout->micro_batches,
                      MICRO_WORDS) < layout->micro_batches;
}

int mu_sums_decide (const struct mu_sums_layout *layout, const void *result,
                    const struct mu_state *state, struct mu_verdict *verdict,
                    struct mu_error *error)
{
    *verdict = (struct mu_verdict){ .decision = MU_ACCEPT };
    if (check_complete (layout, result, state, error) < 0)
        return -1;
    verdict->skipped = count_skipped (layout, result, state);
    if (verdict->skipped == layout->micro_batches) {
        verdict->decision = MU_ALL_SKIPPED;
        return 0;
    }
    add_up_reports (layout, result, verdict);
    verdict->micro_batch =
        first_set (layout, result, micro_word (layout, 0, BAD), layout->micro_batches, MICRO_WORDS);
    verdict->tensor = first_set (layout, result, layout->non_finite, layout->tensors, 1);
    if (verdict->micro_batch < layout->micro_batches) {
        verdict->decision = MU_NON_FINITE;
        return 0;
    }
    for (uint32_t i = 0; i < layout->tensors; i++)
        verdict->overflowed += word (layout, result, layout->counters + i) >= COUNTER_LIMIT;
    if (verdict->overflowed)
        verdict->decision = MU_LOWER_SCALES;
    return 0;
}

/* How far K may rise (or, negative, must fall) so that such a counter, with head-room, would have
 * stayed just within the limit. */
static int room (uint64_t counter)
{
    const uint64_t wanted = counter << MU_SCALE_HEADROOM;
    int bits = 0;
    while (wanted << (bits + 1) <= COUNTER_LIMIT)
        bits++;
    for (int fall = 0; wanted >> fall > COUNTER_LIMIT; fall++)
        bits--;
    return bits;
}

static int32_t clamp_scale (const struct mu_sums_layout *layout, int32_t scale)
{
    if (scale < MU_SCALE_LOWEST)
        return MU_SCALE_LOWEST;
    return scale > highest_scale (layout) ? highest_scale (layout) : scale;
}

void mu_scales_lower (const struct mu_sums_layout *layout, const void *result,
                      struct mu_state *state)
{
    struct mu_state_tensor *table = mu_state_table (state);
    for (uint32_t i = 0; i < layout->tensors; i++) {
        uint64_t counter = word (layout, result, layout->counters + i);
        if (counter < COUNTER_LIMIT)
            continue;
        int fall = counter >= COUNTER_SATURATED ? -FALL_SATURATED : room (counter);
        table[i].scale = clamp_scale (layout, table[i].scale + fall);
    }
    state->attempt++;
}

void mu_scales_follow (const struct mu_sums_layout *layout, const void *result,
                       struct mu_state *state)
{
    struct mu_state_tensor *table = mu_state_table (state);
    int rise_most = state->step < FIRST_STEPS ? RISE_FIRST : RISE;
    for (uint32_t i = 0; i < layout->tensors; i++) {
        uint64_t counter = word (layout, result, layout->counters + i);
        if (counter == 0)
            continue; /* an all-zero gradient teaches nothing */
        int rise = room (counter);
        table[i].scale =
            clamp_scale (layout, table[i].scale + (rise < rise_most ? rise : rise_most));
    }
}

void mu_sums_to_gradient (const struct mu_sums_layout *layout, const void *result,
                          const struct mu_state *state, const struct mu_kernels *kernels,
                          float *gradient)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    uint32_t trained = layout->micro_batches - count_skipped (layout, result, state);
    for (uint32_t i = 0; i < layout->tensors; i++) {
        uint64_t first = table[i].first, elements = table[i].elements;
        double factor = power_of_two (-table[i].scale) / trained;
        if (layout->form == MU_SUMS_INT64)
            kernels->dequantise64 (gradient + first, (const int64_t *)result + first, elements,
                                   factor);
        else
            kernels->dequantise (gradient + first, (const int32_t *)result + first, elements,
                                 (float)factor);
        uint64_t end = i + 1 < layout->tensors ? table[i + 1].first : state->padded;
        memset (gradient + first + elements, 0, (end - first - elements) * sizeof (float));
    }
}
