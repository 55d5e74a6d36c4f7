/* SPDX-License-Identifier: Apache-2.0 */
/* trainer_bed.h - what a test, a bench or a check needs around a trainer: a host in small
 *
 * Opens a trainer, holds its weights, gradients and a workspace as Muster's host would, and makes
 * random batches from a seed. Anything that fails ends the program with a sentence. */
#ifndef TRAINER_BED_H
#define TRAINER_BED_H

#include "worker/trainer.h"

struct bed {
    const struct muster_trainer *trainer;
    struct muster_records records;
    struct muster_model *model;
    const struct muster_tensor *tensors;
    uint32_t count;
    float **weights, **gradients; /* by tensor */
    void *workspace;
    struct muster_batch batch; /* its arrays belong to the bed */
};

/* "key=value key=value", as many as 16, into settings; `text` must be writable and stays in use. */
uint32_t bed_settings (char *text, struct muster_setting settings[16]);

/* Open with `settings` (as above, NULL for none), initial weights of `seed`, a random batch of
 * `seed`, gradients and workspace full of NaN. Biases and norms are moved off their initial values,
 * so that every term of a gradient is there. */
struct bed bed_open (const struct muster_trainer *trainer, const struct muster_records *records,
                     const char *settings, uint32_t micro_batch, const struct muster_math *math,
                     uint64_t seed);
void bed_close (struct bed *bed);

size_t bed_elements (const struct muster_tensor *tensor);

/* Another random batch into bed->batch. */
void bed_batch (struct bed *bed, uint64_t seed);

/* gradient () and evaluate () with the bed's own everything. */
struct muster_result bed_gradient (struct bed *bed);
struct muster_result bed_evaluate (struct bed *bed);

/* FNV-1a over all gradients' bits. */
uint64_t bed_hash (const struct bed *bed);

/* Workspace and gradients filled with one byte. */
void bed_fill (struct bed *bed, int byte);

/* Uniform in 0..1, a function of (seed, number). */
double bed_random (uint64_t seed, uint64_t number);

#endif
