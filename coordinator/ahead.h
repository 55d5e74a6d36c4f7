/* SPDX-License-Identifier: Apache-2.0 */
/* ahead.h - the world of the generation that follows, connected while the one before trains */
#ifndef COORD_AHEAD_H
#define COORD_AHEAD_H

#include "core.h"

/* Is a break that is planned to wait? Begins, or goes on, to connect the next world. */
bool ahead_awaits (struct coord *coord, struct job *job);
/* Is a world connected for just these members? */
bool ahead_has (const struct job *job, struct worker *const *members, uint32_t count);
/* It is not wanted any more: members are told. */
void ahead_forget (struct coord *coord, struct job *job);
void ahead_clear (struct job *job); /* the same, and nobody is told */
void ahead_without (struct job *job, const struct worker *worker);
void ahead_fence (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void ahead_connected (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void ahead_down (struct coord *coord, struct worker *worker, const struct mu_wire *wire);

#endif
