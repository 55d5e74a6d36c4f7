/* SPDX-License-Identifier: Apache-2.0 */
/* preempt.h - who gives workers to whom */
#ifndef COORD_PREEMPT_H
#define COORD_PREEMPT_H

#include "core.h"

/* Those that were to leave for another job stay if the job would lack its minimum without them, the
 * other one no longer wants them, or their connection has ended: they may be dead. */
void preempt_keep (struct coord *coord, struct job *job);
/* Why workers go to that job, in words. */
const char *preempt_why (struct coord *coord, const struct job *job, uint64_t taker);

#endif
