/* SPDX-License-Identifier: Apache-2.0 */
/* optimizer.c - schedule, clipping, AdamW: one step from sums to weights
 *
 * Scalars are computed in double with IEEE operations alone and rounded to float once. Compile with
 * -ffp-contract=off. */
#include "worker/state/optimizer.h"

#include <math.h>

#define PI 3.14159265358979323846

/* Below this, 1 - power is 1 in any precision; 0 keeps the products out of the subnormals. */
#define POWER_SMALLEST 1e-30

int mu_optimizer_check (const struct mu_optimizer *o, struct mu_error *error)
{
    const struct {
        const char *name;
        double value;
        bool good;
        const char *range;
    } settings[] = {
        { "learning_rate", o->rate, o->rate > 0 && o->rate <= 1e6, "above 0, at most 1e6" },
        { "min_learning_rate", o->rate_min, o->rate_min >= 0 && o->rate_min <= o->rate,
          "0 to learning_rate" },
        { "beta1", o->beta1, o->beta1 >= 0 && (float)o->beta1 < 1, "0 to below 1" },
        { "beta2", o->beta2, o->beta2 >= 0 && (float)o->beta2 < 1, "0 to below 1" },
        { "epsilon", o->epsilon, o->epsilon >= 1e-30 && o->epsilon <= 1, "1e-30 to 1" },
        { "weight_decay", o->weight_decay, o->weight_decay >= 0 && o->weight_decay <= 1e6,
          "0 to 1e6" },
        { "clip", o->clip_norm, o->clip_norm >= 0 && o->clip_norm <= 1e30, "0 to 1e30" },
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (!settings[i].good)
            return mu_fail (error, MU_CONFIG, "optimizer.%s is %g; it must be %s", settings[i].name,
                            settings[i].value, settings[i].range);
    return 0;
}

float mu_optimizer_rate (const struct mu_optimizer *optimizer, uint64_t step)
{
    double rate = optimizer->rate, span = rate - optimizer->rate_min;
    if (step < optimizer->warmup_steps)
        return (float)(rate * ((double)(step + 1) / (double)optimizer->warmup_steps));
    if (optimizer->schedule == MU_SCHEDULE_CONSTANT)
        return (float)rate;
    if (step >= optimizer->steps)
        return (float)optimizer->rate_min;
    double done = (double)(step - optimizer->warmup_steps) /
                  (double)(optimizer->steps - optimizer->warmup_steps);
    if (optimizer->schedule == MU_SCHEDULE_LINEAR)
        return (float)(rate - span * done);
    double wave = 0.5 * (1 + mu_cos_portable (PI * done));
    return (float)(optimizer->rate_min + span * wave);
}

static double gradient_norm (const struct mu_state *state, const struct mu_kernels *kernels,
                             const float *gradient)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    double squares = 0;
    for (uint32_t i = 0; i < state->tensors; i++)
        squares += kernels->sum_squares (gradient + table[i].first, table[i].elements);
    return sqrt (squares);
}

/* beta^t, one step on, for the beta that the kernels see. */
static double next_power (double power, double beta)
{
    double next = power * (double)(float)beta;
    return next < POWER_SMALLEST ? 0 : next;
}

static void adamw (struct mu_state *state, const struct mu_optimizer *optimizer,
                   const struct mu_kernels *kernels, const float *gradient, float rate,
                   float gradient_factor)
{
    state->beta1_power = next_power (state->beta1_power, optimizer->beta1);
    state->beta2_power = next_power (state->beta2_power, optimizer->beta2);
    struct mu_adamw constants = {
        .rate = rate,
        .beta1 = (float)optimizer->beta1,
        .beta2 = (float)optimizer->beta2,
        .epsilon = (float)optimizer->epsilon,
        .correction1 = (float)(1 - state->beta1_power),
        .correction2 = (float)(1 - state->beta2_power),
        .gradient_factor = gradient_factor,
    };
    float *weights = mu_state_weights (state), *m = mu_state_m (state), *v = mu_state_v (state);
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t i = 0; i < state->tensors; i++) {
        uint64_t first = table[i].first;
        constants.decay =
            table[i].flags & MUSTER_TENSOR_DECAY ? (float)optimizer->weight_decay : 0.f;
        kernels->adamw (weights + first, m + first, v + first, gradient + first, table[i].elements,
                        &constants);
    }
}

static void apply (struct mu_state *state, const struct mu_sums_layout *layout, const void *result,
                   const struct mu_optimizer *optimizer, const struct mu_kernels *kernels,
                   float *gradient, struct mu_update *update)
{
    mu_sums_to_gradient (layout, result, state, kernels, gradient);
    double norm = gradient_norm (state, kernels, gradient);
    bool clip = optimizer->clip_norm > 0 && norm > optimizer->clip_norm;
    update->gradient_norm = norm;
    update->rate = mu_optimizer_rate (optimizer, state->step);
    adamw (state, optimizer, kernels, gradient, update->rate,
           clip ? (float)(optimizer->clip_norm / norm) : 1.f);
    mu_scales_follow (layout, result, state);
}

static int refuse_non_finite (const struct mu_state *state, const struct mu_verdict *verdict,
                              struct mu_error *error)
{
    const char *what = verdict->tensor < state->tensors ? "gradient" : "loss";
    return mu_fail (error, MU_FAILED,
                    "the %s of micro-batch %u at step %llu is not a finite number; try a lower "
                    "learning rate or gradient clipping, look at the data, or set non_finite: skip",
                    what, verdict->micro_batch, (unsigned long long)state->step);
}

int mu_update (struct mu_state *state, const struct mu_sums_layout *layout, const void *result,
               const struct mu_optimizer *optimizer, const struct mu_kernels *kernels,
               float *gradient, struct mu_update *update, struct mu_error *error)
{
    *update = (struct mu_update){ 0 };
    if (mu_sums_decide (layout, result, state, &update->verdict, error) < 0)
        return -1;
    switch (update->verdict.decision) {
    case MU_LOWER_SCALES: mu_scales_lower (layout, result, state); return 0;
    case MU_NON_FINITE:
        if (optimizer->non_finite == MU_NON_FINITE_FAIL)
            return refuse_non_finite (state, &update->verdict, error);
        state->skipped++;
        break;
    case MU_ALL_SKIPPED: state->skipped++; break;
    case MU_ACCEPT: apply (state, layout, result, optimizer, kernels, gradient, update); break;
    }
    state->step++;
    state->attempt = 0;
    return 0;
}
