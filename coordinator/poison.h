/* SPDX-License-Identifier: Apache-2.0 */
/* poison.h - which micro-batch kills trainers, and what becomes of it */
#ifndef COORD_POISON_H
#define COORD_POISON_H

#include "core.h"

/* Apply's part: a death that accuses (false: it was known), a micro-batch that is left out, a step
 * that is behind. */
bool poison_accuse (struct job_durable *job, const struct mu_journal_crash *crash);
void poison_skip (struct job_durable *job, uint64_t step, uint32_t micro_batch);
void poison_forget (struct job_durable *job);
/* Fill in what a trainer's end accuses: nothing, unless it was its own doing. */
void poison_suspects (struct coord *coord, const struct job_durable *job,
                      const struct mu_wire_crashed *crashed, struct mu_journal_crash *crash);
/* What it had in flight, in words for people: a kill from outside accuses nothing, but may tell. */
const char *poison_in_flight (struct coord *coord, const struct job_durable *job,
                              const struct mu_wire_crashed *crashed);
/* The micro-batch of the suspicion's step that is known to kill every trainer, or NONE. */
uint32_t poison_guilty (const struct job *job);
/* What becomes of it, by its owner's choice. */
bool poison_may_skip (const struct job_durable *job);
void poison_fail (struct coord *coord, struct job *job, uint32_t micro_batch,
                  const struct mu_journal_crash *crash);
void poison_leave_out (struct coord *coord, struct job *job, uint32_t micro_batch,
                       const struct mu_journal_crash *crash);
/* For FORM. */
void poison_say (struct coord *coord, const struct job_durable *job, struct mu_wire_form *form);
/* In the map of the suspects' step they go to workers whose trainers they have not killed yet, in
 * exchange for others where that is possible. What is taken stays. */
void poison_spread (const struct job_durable *job, uint8_t *map, const uint8_t *taken,
                    struct worker *const *members, uint32_t ranks);

#endif
