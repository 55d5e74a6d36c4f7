/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - how fast each worker is, and its share of the micro-batches */
#ifndef COORD_PACE_H
#define COORD_PACE_H

#include "core.h"

/* For each BEAT of a member. */
void pace_hear (struct worker *worker, const struct mu_wire_beat *beat);
/* How many of so many micro-batches each member is to compute, so that they end together, though some
 * begin later than others (NULL: none does). */
void pace_shares (struct coord *coord, struct worker *const *members, uint32_t ranks,
                  uint32_t micro_batches, const uint64_t *late_us, uint32_t *shares);
/* For each BEAT of a running generation: after a window, end it as planned if other shares would be
 * much better. */
void pace_mind (struct coord *coord, struct job *job);
/* Its cost of a micro-batch against the median of its generation; 0 while unknown. */
double pace_factor (const struct worker *worker);

#endif
