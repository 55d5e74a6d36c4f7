/* SPDX-License-Identifier: Apache-2.0 */
/* world_bed.h - worlds of ranks that train state_bed's small model in this process
 *
 * Each rank has its own state and sums, the reduction adds words in random order, and ranks use
 * different instruction sets. What a trainer would compute is a function of (weights, step, m). */
#ifndef MUSTER_TESTS_WORLD_BED_H
#define MUSTER_TESTS_WORLD_BED_H

#include "state_bed.h"
#include "worker/state/optimizer.h"
#include "worker/state/quantise.h"
#include "worker/state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define M     12u
#define RANKS 8u

struct world {
    uint32_t ranks;
    uint64_t seed; /* of owners, orders and instruction sets; not of the job */
    enum mu_sums_form form;
    bool spiky;       /* gradients that jump and make scales fall */
    int64_t bad_step; /* the step in which bad_micro_batch is NaN; -1: none */
    uint32_t bad_micro_batch;
    enum mu_non_finite policy;
    uint32_t skips; /* bit m: left out of every third step */
    /* what came of it */
    uint64_t redone;
    struct mu_state *state[RANKS];
};

/* AdamW with everything that it can do, 60 steps. */
extern const struct mu_optimizer world_optimizer;

/* One of the instruction sets that this CPU has. */
const struct mu_kernels *some_kernels (uint64_t i);

/* What a trainer would compute and report. */
void make_gradient (const struct world *world, const struct mu_state *state, uint32_t m,
                    float *gradient);
struct muster_result make_result (const struct mu_state *state, uint32_t m);

/* One rank's sums of the micro-batches it owns, in an order of its own. */
void world_train (const struct world *world, const struct mu_sums_layout *layout, uint32_t rank,
                  void *sums, float *gradient);

/* All ranks train to STEPS and have the same state after each. Returns what the last mu_update
 * returned; all ranks say the same. The states live until world_end (). */
int world_run (struct world *world, uint64_t steps, struct mu_update *update,
               struct mu_error *error);
void world_end (struct world *world);

#endif
