/* SPDX-License-Identifier: Apache-2.0 */
/* quantise.h - gradients as integers, so that their sum is the same for any number of workers
 *
 * Floats do not add associatively, integers do. The gradient of each micro-batch is multiplied by
 * 2^K, K fixed for each tensor and step by the state that every rank has, rounded, and added to the
 * rank's sums. The sums of all ranks are added by a reduction, in any order, and every rank turns
 * the result into the same gradient.
 *
 * What proves that no sum overflowed: for each tensor a micro-batch also adds a counter
 *
 *     c = floor (max |g| * 2^K / unit) + 1      (0 if the tensor's gradient is all zero)
 *
 * with unit 2^12 (2^44 in the wide form), saturating at 2^20. Each element of that micro-batch is
 * below c * unit, so a sum of c below 2^19 means that the sums stay below 2^31 (2^63), whatever
 * wrapped around on the way: unsigned addition is modular. Otherwise every rank lowers the same
 * scales by the same amount and the step is reduced again. The same counters choose the next step's
 * K: down at once, up by at most one bit a step (12 in the first steps).
 *
 * Every micro-batch has eight words of its own: a tag made of (step, attempt), which in a good
 * result is there exactly once and so proves that each micro-batch of this very step was counted
 * exactly once; how many of its tensors, or its loss, were not finite; and loss, targets, correct
 * as bits. All that is reduced is an integer. A micro-batch that is left out has another tag and
 * nothing else, so the result itself says on every rank that it is, and the mean is over the others.
 *
 * A block of sums is an array of words without a head, 64-byte aligned, in memory of the caller
 * (the shared region's sums and result):
 *
 *     tensors: padded words | counters: tensors | not finite: tensors | micro-batches: 8 M
 *
 * Threads: mu_sums_add calls for one tensor must not overlap in time; for different tensors they
 * may. mu_sums_finish calls for different micro-batches may overlap. */
#ifndef MU_QUANTISE_H
#define MU_QUANTISE_H

#include "common/error.h"
#include "worker/kernels/kernels.h"
#include "worker/state/state.h"
#include "worker/trainer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MU_MICRO_BATCHES_MAX 2047u /* 2047 saturated counters of 2^20 stay below 2^31 */
#define MU_SCALE_FIRST       20
#define MU_SCALE_LOWEST      (-120) /* 2047 gradients below 2^127 fit; 2^120 is a float */
#define MU_SCALE_HIGHEST     100    /* 2^-100 / 2047 is a normal float */
#define MU_SCALE_HIGHEST64   130
#define MU_SCALE_HEADROOM    3 /* bits left free for the next step's gradient to grow into */

/* What one word is: the job's `reduce:`. */
enum mu_sums_form {
    MU_SUMS_INT32 = 4,
    MU_SUMS_INT64 = 8,
};

/* Where everything is in a block of sums, in words from its start. */
struct mu_sums_layout {
    enum mu_sums_form form;
    uint32_t tensors;
    uint32_t micro_batches; /* M, of the job */
    uint64_t counters;
    uint64_t non_finite;
    uint64_t micro;
    uint64_t words; /* in all; times `form` bytes is the block's size */
};

/* A run of words that is complete at one time and can be reduced by itself. */
struct mu_sums_bucket {
    uint64_t first; /* words from the block's start */
    uint64_t count;
};

/* -1 when M or the size is out of range. */
int mu_sums_plan (struct mu_sums_layout *layout, const struct mu_state *state,
                  enum mu_sums_form form, uint32_t micro_batches, struct mu_error *error);

/* Bucket 0 to tensors-1: the words of that tensor. Bucket `tensors`: the tail, which is complete
 * last: counters and micro-batches. */
struct mu_sums_bucket mu_sums_bucket (const struct mu_sums_layout *layout,
                                      const struct mu_state *state, uint32_t bucket);

/* Zero the words, before the first micro-batch of each attempt. */
void mu_sums_begin (const struct mu_sums_layout *layout, void *sums);

/* Add one tensor's gradient of a micro-batch. A gradient that is not finite, or 2^127 and more, is
 * counted and not added. */
void mu_sums_add (const struct mu_sums_layout *layout, void *sums, const struct mu_state *state,
                  const struct mu_kernels *kernels, uint32_t tensor, uint32_t micro_batch,
                  const float *gradient);

/* Micro-batch m is complete: all its tensors were added. Once for each micro-batch and attempt. */
void mu_sums_finish (const struct mu_sums_layout *layout, void *sums, const struct mu_state *state,
                     uint32_t micro_batch, const struct muster_result *result);

/* Instead of all that: micro-batch m is left out of this step, counted and without a gradient. */
void mu_sums_skip (const struct mu_sums_layout *layout, void *sums, const struct mu_state *state,
                   uint32_t micro_batch);

/* Whether these sums, or this result, have micro-batch m as left out. */
bool mu_sums_skips (const struct mu_sums_layout *layout, const void *sums,
                    const struct mu_state *state, uint32_t micro_batch);

/* Whether these sums hold micro-batch m, trained or left out, of the state's next step and attempt: what the survivors of
 * a torn world need not compute again. */
bool mu_sums_has (const struct mu_sums_layout *layout, const void *sums,
                  const struct mu_state *state, uint32_t micro_batch);

/* Whether anything in these sums is not finite: what this rank made of some micro-batch is no number. */
bool mu_sums_non_finite (const struct mu_sums_layout *layout, const void *sums);

enum mu_decision {
    MU_ACCEPT,       /* the sums are exact: update the weights */
    MU_LOWER_SCALES, /* a sum may have overflowed: lower scales, quantise and reduce again */
    MU_NON_FINITE,   /* a gradient or loss is inf or NaN: redoing cannot help */
    MU_ALL_SKIPPED,  /* every micro-batch is left out: there is no gradient */
};

struct mu_verdict {
    enum mu_decision decision;
    uint32_t micro_batch; /* NON_FINITE: the first that is not finite */
    uint32_t tensor;      /* NON_FINITE: the first such tensor, or `tensors` if the loss alone is */
    uint32_t overflowed;  /* LOWER_SCALES: how many tensors may have overflowed */
    uint32_t skipped;     /* micro-batches that are left out */
    double loss;          /* mean over all targets, micro-batches in ascending order */
    uint64_t targets;
    uint64_t correct;
};

/* Judge a reduction's result. A function of (result, state) alone, so every rank says the same,
 * also one that trained nothing. Changes nothing. -1 when the result is not the state's next step
 * and attempt, or a micro-batch was counted not exactly once (it is named). */
int mu_sums_decide (const struct mu_sums_layout *layout, const void *result,
                    const struct mu_state *state, struct mu_verdict *verdict,
                    struct mu_error *error);

/* What a micro-batch reported. */
struct muster_result mu_sums_micro_batch (const struct mu_sums_layout *layout, const void *result,
                                          uint32_t micro_batch);

/* After LOWER_SCALES: lower K of the tensors that overflowed, attempt + 1. */
void mu_scales_lower (const struct mu_sums_layout *layout, const void *result,
                      struct mu_state *state);

/* After ACCEPT: choose K for the next step from the counters. */
void mu_scales_follow (const struct mu_sums_layout *layout, const void *result,
                       struct mu_state *state);

/* After ACCEPT, before mu_scales_follow: the mean gradient over the micro-batches that are not
 * left out, as float32, into `gradient` of state->padded floats (64-byte aligned); padding becomes zero. */
void mu_sums_to_gradient (const struct mu_sums_layout *layout, const void *result,
                          const struct mu_state *state, const struct mu_kernels *kernels,
                          float *gradient);

#endif
