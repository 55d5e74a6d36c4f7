/* SPDX-License-Identifier: Apache-2.0 */
/* prepare.h - a worker and its job: ASSIGN, PREPARED, FAILED, CRASHED, RELEASED */
#ifndef COORD_PREPARE_H
#define COORD_PREPARE_H

#include "core.h"

void worker_assign (struct coord *coord, struct worker *worker, struct job *job);
void worker_attach (struct worker *worker, struct job *job);
void worker_detach (struct coord *coord, struct worker *worker);
void worker_release (struct coord *coord, struct worker *worker, bool again);
/* Does it say that it has done more steps than the job has? No sound worker does; it is let go. */
bool worker_is_beyond (struct coord *coord, struct worker *worker, uint64_t step);
/* Its trainer's state is known and it waits for a generation. */
bool worker_is_prepared (const struct worker *worker);
/* Its trainer is gone: start another. */
void worker_reprepare (struct coord *coord, struct worker *worker);
/* It holds steps of the job that are in no checkpoint, and that nobody else has said to hold. */
bool worker_brings_steps (const struct job *job, const struct worker *worker);
/* It holds a trainer of a job that it does not have: take it back, or let it go. */
void worker_claim (struct coord *coord, struct worker *worker);
/* Its job no more for a while; 0: for good. Why is told. */
void worker_refuse (struct coord *coord, struct worker *worker, uint64_t for_ms, const char *why);
/* It failed, for that reason: it is blamed, and let go for a while. */
void worker_turn_away (struct coord *coord, struct worker *worker, const char *why);
void prepare_prepared (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void prepare_failed (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void prepare_crashed (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void prepare_released (struct coord *coord, struct worker *worker, const struct mu_wire *wire);

#endif
