/* SPDX-License-Identifier: Apache-2.0 */
/* optimizer.h - from reduced sums to new weights, the same bits on every rank
 *
 * One update: judge the result, turn it into the mean gradient, clip it by its global norm, AdamW,
 * next step's scales, step + 1. All of it is order-fixed arithmetic without libm, a function of
 * (state, result, settings) alone.
 *
 * AdamW as in Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2,
 * with the learning rate multiplying the decay as PyTorch does it:
 *
 *     m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
 *     w = w - rate * decay * w - rate * (m / (1 - b1^t)) / (sqrt (v / (1 - b2^t)) + epsilon) */
#ifndef MU_OPTIMIZER_H
#define MU_OPTIMIZER_H

#include "common/error.h"
#include "worker/kernels/kernels.h"
#include "worker/state/quantise.h"
#include "worker/state/state.h"

#include <stdint.h>

enum mu_schedule {
    MU_SCHEDULE_CONSTANT,
    MU_SCHEDULE_COSINE,
    MU_SCHEDULE_LINEAR,
};

enum mu_non_finite {
    MU_NON_FINITE_FAIL, /* the job fails, naming the micro-batch */
    MU_NON_FINITE_SKIP, /* the step changes nothing and counts as done */
};

/* From the job file; the same on all ranks. */
struct mu_optimizer {
    enum mu_schedule schedule;
    enum mu_non_finite non_finite;
    double rate;           /* the highest learning rate, > 0 */
    double rate_min;       /* what cosine and linear end at, 0 to rate */
    uint64_t warmup_steps; /* rate rises linearly over these: rate / warmup at step 0; may be 0 */
    uint64_t steps;        /* where cosine and linear reach rate_min and stay */
    double beta1;          /* 0 to below 1 */
    double beta2;          /* 0 to below 1 */
    double epsilon;        /* 1e-30 to 1 */
    double weight_decay;   /* >= 0, for tensors with MUSTER_TENSOR_DECAY */
    double clip_norm;      /* > 0, or 0: no clipping */
};

struct mu_update {
    struct mu_verdict verdict; /* decision: what was done with the result */
    float rate;                /* ACCEPT: the learning rate used */
    double gradient_norm;      /* ACCEPT: before clipping */
};

/* -1 when a setting is out of the range given above; the sentence names it. */
int mu_optimizer_check (const struct mu_optimizer *optimizer, struct mu_error *error);

/* The learning rate of a step, counted from 0. */
float mu_optimizer_rate (const struct mu_optimizer *optimizer, uint64_t step);

/* The whole update. `gradient` is scratch of state->padded floats, 64-byte aligned; it holds the
 * mean gradient, not yet clipped, afterwards if the result was accepted.
 *
 * Returns 0 with update->verdict.decision:
 *   ACCEPT         weights, m, v, scales and products changed; step + 1, attempt 0
 *   LOWER_SCALES   scales lowered, attempt + 1: sum again, with mu_sums_begin first
 *   ALL_SKIPPED    step + 1, skipped + 1, attempt 0
 *   NON_FINITE     only where optimizer->non_finite is SKIP: step + 1, skipped + 1, attempt 0
 * Returns -1, nothing changed, when the result is not one of this step (see mu_sums_decide)
 * or for NON_FINITE where it is FAIL; update->verdict is filled then too.
 */
int mu_update (struct mu_state *state, const struct mu_sums_layout *layout, const void *result,
               const struct mu_optimizer *optimizer, const struct mu_kernels *kernels,
               float *gradient, struct mu_update *update, struct mu_error *error);

#endif
