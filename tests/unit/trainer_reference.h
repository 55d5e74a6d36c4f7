/* SPDX-License-Identifier: Apache-2.0 */
/* trainer_reference.h - both models once more, in double, by the book and for the tests alone
 *
 * Written without a look at worker/trainers: plain loops over positions and channels, libm. Central
 * differences of these losses are what gradients are checked against. Weights come as doubles in
 * the order of the trainer's tensors. */
#ifndef TRAINER_REFERENCE_H
#define TRAINER_REFERENCE_H

#include "tests/unit/trainer_bed.h"

/* logits[length, vocabulary] for `length` tokens. The number of layers follows from bed->count. */
void reference_gpt_logits (const struct bed *bed, size_t heads, double *const *weights,
                           const int32_t *tokens, size_t length, double *logits);

/* Mean loss over the bed's batch, without dropout. *correct counts targets that have the largest
 * logit. */
double reference_gpt_loss (const struct bed *bed, size_t heads, double *const *weights,
                           uint64_t *correct);
double reference_mlp_loss (const struct bed *bed, double *const *weights, uint64_t *correct);

#endif
