/* SPDX-License-Identifier: Apache-2.0 */
/* review.h - before members leave, what they did is compared */
#ifndef COORD_REVIEW_H
#define COORD_REVIEW_H

#include "core.h"

/* Is a break that lets members go to wait for what they did to be compared? Asks for it if so. */
bool review_awaits (struct coord *coord, struct job *job);
/* Its members say what they hold when they leave this generation, which is about to break. */
void review_all (struct coord *coord, const struct job *job);
/* The word came too late for the step that it named: it is time for another. */
bool review_is_gone_by (const struct job *job);
/* Is this rank to leave, alone or with all? How long, at most, is waited for what it does in a step. */
bool review_leaves (const struct coord *coord, const struct job *job, uint32_t rank);
uint64_t review_limit_ms (const struct job *job);
void review_forget (struct job *job); /* nobody is to go, or the generation is over */
/* A generation that trains ends; all have left it; all members of the next are ready to train. */
void review_end (struct coord *coord, struct job *job, bool planned);
void review_left (struct coord *coord, struct job *job);
void review_started (const struct coord *coord, const struct job *job);
/* We were started anew while one forms or breaks. */
void review_restarted (struct coord *coord, struct job *job);
/* The job is to be paused between two that train: one more is formed first, for a comparison. */
bool review_delays_pause (const struct coord *coord, const struct job *job);
/* Between two that train: it leaves, now. False too of who leaves and stays to be compared. */
bool review_lets_go (const struct coord *coord, const struct job *job, const struct worker *worker);

#endif
