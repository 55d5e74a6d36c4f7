/* SPDX-License-Identifier: Apache-2.0 */
/* hang.h - a process that neither dies nor works: who, and what follows */
#ifndef COORD_HANG_H
#define COORD_HANG_H

#include "core.h"

/* What a worker's BEAT says of its processes. */
void hang_hear (struct coord *coord, struct worker *worker, const struct mu_wire_beat *beat);
void hang_forget (struct worker *worker); /* that: it moves, or is replaced */
/* End and replace what hangs. True: the job's generation broke, or the job stopped, for it. */
bool hang_mend (struct coord *coord, struct job *job);
/* How long a process may do nothing. */
uint64_t hang_limit (const struct coord *coord, const struct job *job);
/* Nothing moves in an all-reduce that every rank waits for. */
void hang_note_stuck (struct coord *coord, struct job *job, uint64_t stalled_ms);
void hang_note_step (const struct coord *coord, struct job *job);
bool hang_is_stuck (struct coord *coord, const struct job *job);

#endif
