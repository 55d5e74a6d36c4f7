/* SPDX-License-Identifier: Apache-2.0 */
/* state_bed.c - a small model without a trainer */
#include "state_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct muster_tensor bed_tensors[BED_TENSORS] = {
    { "wte.weight", MUSTER_TENSOR_DECAY, 2, { 7, 5 } },
    { "h.0.ln_1.bias", 0, 1, { 33 } },
    { "h.0.conv.weight", MUSTER_TENSOR_DECAY, 4, { 4, 3, 2, 2 } },
    { "h.0.gain", 0, 1, { 1 } },
    { "h.0.attn.c_attn.weight", MUSTER_TENSOR_DECAY, 2, { 100, 17 } },
};

static void init (const struct muster_model *model, uint32_t tensor, uint64_t seed, float *values)
{
    (void)model;
    uint64_t elements = 1;
    for (uint32_t d = 0; d < bed_tensors[tensor].dimensions; d++)
        elements *= bed_tensors[tensor].dimension[d];
    for (uint64_t i = 0; i < elements; i++)
        values[i] = bed_noise (seed, tensor, i);
}

const struct muster_trainer bed_trainer = {
    .size = sizeof bed_trainer,
    .abi = MUSTER_TRAINER_ABI,
    .name = "bed",
    .init = init,
};

void *bed_memory (size_t size)
{
    void *memory = aligned_alloc (64, (size + 63) / 64 * 64);
    if (!memory) {
        fprintf (stderr, "no memory for the test\n");
        abort ();
    }
    return memset (memory, 0, size);
}

struct mu_state *bed_state (uint64_t seed)
{
    size_t size = mu_state_size (bed_tensors, BED_TENSORS, NULL);
    struct mu_state *state =
        mu_state_lay_out (bed_memory (size), size, bed_tensors, BED_TENSORS, NULL);
    if (!state)
        abort ();
    mu_state_init (state, &bed_trainer, NULL, seed);
    return state;
}

struct mu_state *bed_copy (const struct mu_state *state)
{
    return memcpy (bed_memory (state->bytes), state, state->bytes);
}

void bed_age (struct mu_state *state, uint64_t step)
{
    struct mu_state_tensor *table = mu_state_table (state);
    for (uint32_t t = 0; t < state->tensors; t++) {
        table[t].scale = 10 + (int32_t)t;
        for (uint64_t i = 0; i < table[t].elements; i++) {
            uint64_t at = table[t].first + i;
            mu_state_weights (state)[at] = bed_noise (step, t, i);
            mu_state_m (state)[at] = bed_noise (step, t + 100, i) * 1e-3f;
            mu_state_v (state)[at] = bed_noise (step, t + 200, i) * 1e-6f;
        }
    }
    state->step = step;
    state->skipped = step / 50;
    state->beta1_power = 0.1 / (double)(step + 1);
    state->beta2_power = 0.7 / (double)(step + 1);
}

uint64_t bed_random (uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t z = a * 0x9e3779b97f4a7c15ull + b * 0xd1342543de82ef95ull + c + 0x632be59bd9b4e019ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

float bed_noise (uint64_t a, uint64_t b, uint64_t c)
{
    return (float)((int64_t)bed_random (a, b, c) >> 40) * 0x1p-23f;
}
