/* SPDX-License-Identifier: Apache-2.0 */
/* shards.h - micro-batch maps, leases, the ledger of trained windows */
#ifndef COORD_SHARDS_H
#define COORD_SHARDS_H

#include "core.h"

uint32_t shards_rank (const uint8_t *map, uint32_t micro_batch);
void shards_set_rank (uint8_t *map, uint32_t micro_batch, uint32_t rank);
/* The map of all steps but the first: contiguous blocks, as large as pace_shares () says, but for
 * suspects of poison in a step after `base_step`. */
void shards_map (struct coord *coord, const struct job_durable *job, uint8_t *map,
                 struct worker *const *members, uint32_t ranks, uint64_t base_step);
/* The first step's map: what `members` kept stays theirs where they stand at `base`. */
void shards_first_map (struct coord *coord, const struct job_durable *job, uint8_t *map,
                       struct worker *const *members, uint32_t ranks, const struct position *base);
/* Of a generation of these members that begins at `step`: train below the step returned. */
uint64_t shards_first_lease (const struct coord *coord, const struct job *job,
                             struct worker *const *members, uint32_t count, uint64_t step);
void shards_started (const struct coord *coord, struct job *job); /* its members train from now */
void shards_progress (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void shards_trained (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
/* Updates that the records prove: those before the generation, and those of trained windows. */
uint64_t shards_trained_step (const struct job_durable *job);
void shards_say_lease (struct coord *coord, struct worker *worker);
void shards_welcome (struct coord *coord, struct worker *worker); /* it said HELLO */
/* How long a step takes, as measured in this generation, or else at best before; 0: not known. */
uint64_t shards_step_ms (const struct job *job);
double shards_steps_a_second (const struct coord *coord, const struct job *job);
void shards_answer (struct coord *coord, uint32_t peer, uint64_t request, const struct job *job);

#endif
