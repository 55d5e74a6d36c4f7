/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - which job gets which workers, and why one waits */
#ifndef COORD_QUEUE_H
#define COORD_QUEUE_H

#include "core.h"

void queue_place (struct coord *coord);
void queue_want (struct coord *coord);
bool queue_accepts (const struct coord *coord, const struct job *job, const struct worker *worker);
uint32_t queue_useful_max (const struct job *job);

#endif
