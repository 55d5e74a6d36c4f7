/* SPDX-License-Identifier: Apache-2.0 */
/* scale.h - how many workers a job may have, changed while it trains */
#ifndef COORD_SCALE_H
#define COORD_SCALE_H

#include "core.h"

void scale_answer (struct coord *coord, uint32_t peer, const struct mu_wire *wire);
/* Workers beyond what the job may use are to leave. */
void scale_mind (struct coord *coord, struct job *job);

#endif
