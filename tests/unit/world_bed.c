/* SPDX-License-Identifier: Apache-2.0 */
/* world_bed.c - worlds of ranks that train state_bed's small model in this process */
#include "world_bed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct mu_optimizer world_optimizer = {
    .schedule = MU_SCHEDULE_COSINE,
    .non_finite = MU_NON_FINITE_FAIL,
    .rate = 1e-2,
    .rate_min = 1e-3,
    .warmup_steps = 5,
    .steps = 60,
    .beta1 = 0.9,
    .beta2 = 0.99,
    .epsilon = 1e-8,
    .weight_decay = 0.1,
    .clip_norm = 1,
};

const struct mu_kernels *some_kernels (uint64_t i)
{
    size_t count = 0;
    while (mu_kernels_available (count))
        count++;
    return mu_kernels_get (mu_kernels_available (i % count), NULL);
}

/* --- one rank --------------------------------------------------------------------------------- */

void make_gradient (const struct world *world, const struct mu_state *state, uint32_t m,
                    float *gradient)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    const float *weights = mu_state_weights_const (state);
    static const float sizes[BED_TENSORS] = { 1e-3f, 30.f, 1e-7f, 1.f, 1e-2f };
    for (uint32_t t = 0; t < state->tensors; t++) {
        bool spike = world->spiky && bed_random (state->step, t, m) % 37 == 0;
        float size = sizes[t] * (spike ? 3000.f : 1.f);
        for (uint64_t i = 0; i < table[t].elements; i++) {
            uint64_t at = table[t].first + i;
            float noise = bed_noise (state->step * 1000 + m, t, i);
            gradient[at] = (weights[at] * 0.5f + noise) * size;
        }
    }
    if (world->bad_step == (int64_t)state->step && m == world->bad_micro_batch)
        gradient[table[4].first + 1234] = NAN;
}

struct muster_result make_result (const struct mu_state *state, uint32_t m)
{
    return (struct muster_result){ .loss = 5 + (double)bed_noise (state->step, m, 7),
                                   .targets = 100 + m,
                                   .correct = m };
}

void world_train (const struct world *world, const struct mu_sums_layout *layout, uint32_t rank,
                  void *sums, float *gradient)
{
    const struct mu_state *state = world->state[rank];
    const struct mu_kernels *kernels = some_kernels (world->seed + rank);
    uint64_t start = bed_random (world->seed, state->step, 1 + rank) % M;
    mu_sums_begin (layout, sums);
    for (uint32_t i = 0; i < M; i++) {
        uint32_t m = (uint32_t)(start + (uint64_t)i * 5) % M;
        if (bed_random (world->seed, state->step + 77, m) % world->ranks != rank)
            continue;
        assert_false (mu_sums_has (layout, sums, state, m));
        if (state->step % 3 == 2 && (world->skips >> m & 1)) {
            mu_sums_skip (layout, sums, state, m);
            assert_true (mu_sums_has (layout, sums, state, m));
            assert_true (mu_sums_skips (layout, sums, state, m));
            continue;
        }
        make_gradient (world, state, m, gradient);
        for (uint32_t t = 0; t < state->tensors; t++)
            mu_sums_add (layout, sums, state, kernels, t, m,
                         gradient + mu_state_table_const (state)[t].first);
        struct muster_result result = make_result (state, m);
        mu_sums_finish (layout, sums, state, m, &result);
        assert_true (mu_sums_has (layout, sums, state, m));
    }
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Bucket by bucket, as a reduction does it; wrapping, and in another order each time. */
static void reduce (const struct world *world, const struct mu_sums_layout *layout,
                    void *const *sums, void *result)
{
    uint64_t turn = bed_random (world->seed, world->state[0]->step, 99);
    memset (result, 0xa5, layout->words * layout->form);
    for (uint32_t b = 0; b <= layout->tensors; b++) {
        struct mu_sums_bucket bucket = mu_sums_bucket (layout, world->state[0], b);
        for (uint64_t i = bucket.first; i < bucket.first + bucket.count; i++) {
            uint64_t total = 0;
            for (uint32_t r = 0; r < world->ranks; r++) {
                const void *own = sums[(r + turn) % world->ranks];
                total += layout->form == MU_SUMS_INT64 ? ((const uint64_t *)own)[i]
                                                       : ((const uint32_t *)own)[i];
            }
            if (layout->form == MU_SUMS_INT64)
                ((uint64_t *)result)[i] = total;
            else
                ((uint32_t *)result)[i] = (uint32_t)total;
        }
    }
}

static void all_ranks_agree (const struct world *world)
{
    for (uint32_t r = 1; r < world->ranks; r++)
        assert_memory_equal (world->state[0], world->state[r], world->state[0]->bytes);
}

int world_run (struct world *world, uint64_t steps, struct mu_update *update,
               struct mu_error *error)
{
    struct mu_sums_layout layout;
    struct mu_optimizer settings = world_optimizer;
    settings.non_finite = world->policy;
    for (uint32_t r = 0; r < world->ranks; r++)
        world->state[r] = bed_state (1);
    assert_int_equal (mu_sums_plan (&layout, world->state[0], world->form, M, NULL), 0);
    size_t bytes = layout.words * layout.form;
    float *gradient = bed_memory (world->state[0]->padded * sizeof (float));
    void *sums[RANKS], *result = bed_memory (bytes);
    for (uint32_t r = 0; r < world->ranks; r++)
        sums[r] = bed_memory (bytes);
    int status = 0;
    while (status == 0 && world->state[0]->step < steps) {
        for (uint32_t r = 0; r < world->ranks; r++)
            world_train (world, &layout, r, sums[r], gradient);
        reduce (world, &layout, sums, result);
        for (uint32_t r = 0; r < world->ranks; r++) {
            int said = mu_update (world->state[r], &layout, result, &settings,
                                  some_kernels (world->seed + r), gradient, update, error);
            assert_true (r == 0 || said == status);
            status = said;
        }
        world->redone += update->verdict.decision == MU_LOWER_SCALES;
        all_ranks_agree (world);
    }
    for (uint32_t r = 0; r < world->ranks; r++)
        free (sums[r]);
    free (result);
    free (gradient);
    return status;
}

void world_end (struct world *world)
{
    for (uint32_t r = 0; r < world->ranks; r++)
        free (world->state[r]);
}
