/* SPDX-License-Identifier: Apache-2.0 */
/* overdue.h - a checkpoint whose writer does not move */
#ifndef COORD_OVERDUE_H
#define COORD_OVERDUE_H

#include "core.h"

/* What a worker's BEAT says of the process that writes its checkpoints. */
void overdue_hear (struct coord *coord, struct worker *worker, const struct mu_wire_beat *beat);
void overdue_committed (struct coord *coord, struct job *job, uint64_t step);
void overdue_leaves (struct coord *coord, struct job *job, const struct worker *worker);

#endif
