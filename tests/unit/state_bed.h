/* SPDX-License-Identifier: Apache-2.0 */
/* state_bed.h - a small model without a trainer: what tests of state and checkpoints stand on
 *
 * Five tensors of awkward shapes, initial weights and gradients made from integers, so that every
 * number here is the same on every machine. */
#ifndef STATE_BED_H
#define STATE_BED_H

#include "worker/state/state.h"

#define BED_TENSORS 5u

extern const struct muster_tensor bed_tensors[BED_TENSORS];

/* Only init () is offered. */
extern const struct muster_trainer bed_trainer;

/* 64-byte aligned and zeroed, or the test program ends. */
void *bed_memory (size_t size);

/* A laid-out and initialised state; free () it. */
struct mu_state *bed_state (uint64_t seed);
struct mu_state *bed_copy (const struct mu_state *state);

/* Fill weights, m, v, scales, products and counters as after some training. */
void bed_age (struct mu_state *state, uint64_t step);

/* A hash of three numbers (splitmix64's finaliser), and the same as a float in -1 to 1. */
uint64_t bed_random (uint64_t a, uint64_t b, uint64_t c);
float bed_noise (uint64_t a, uint64_t b, uint64_t c);

#endif
