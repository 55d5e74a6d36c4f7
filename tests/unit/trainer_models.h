/* SPDX-License-Identifier: Apache-2.0 */
/* trainer_models.h - the models that gpt and mlp are tested with, and the records that they learn from */
#ifndef MUSTER_TESTS_TRAINER_MODELS_H
#define MUSTER_TESTS_TRAINER_MODELS_H

#include "tests/unit/trainer_bed.h"
#include "worker/kernels/kernels.h"
#include "worker/trainers/builtin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MODELS 4u
#define HEADS  2u /* of each gpt that is compared with trainer_reference.h */

extern const struct muster_records tiny_text, text, tiny_table, table;

/* The arithmetic of the best instruction set here. */
const struct muster_math *math (void);

/* gpt and mlp, without dropout and with it; micro-batches of five records. */
extern const struct trainer_model {
    const struct muster_trainer *trainer;
    const struct muster_records *records;
    const char *settings;
} model[MODELS];
struct bed open_model (size_t i, const struct muster_math *arithmetic);

/* The bed's weights as trainer_reference.h takes them. */
double **doubles_of (const struct bed *bed);
void free_doubles (const struct bed *bed, double **weights);

#endif
