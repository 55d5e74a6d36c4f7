/* SPDX-License-Identifier: Apache-2.0 */
/* doubt.h - what came out of a step cannot be */
#ifndef COORD_DOUBT_H
#define COORD_DOUBT_H

#include "core.h"

/* A member of its live generation says so. */
void doubt_hear (struct coord *coord, struct job *job, const struct worker *worker,
                 const struct mu_wire_down *down);
/* It cannot do this step, plus one, that others may: is that so for this worker alone, as far as is known? */
bool doubt_is_its_own (const struct job *job, const struct worker *worker, uint64_t at);
void doubt_refused (struct job *job, const struct worker *worker, uint64_t at);
/* Those that cannot do it have one and the same state: training has gone back then. False: it is the job's fault. */
bool doubt_goes_back (struct coord *coord, struct job *job, const struct worker *worker,
                      uint64_t at, const char *why);
/* The states of all members after this step are equal; before that is stored. */
void doubt_agreed (struct job *job, uint64_t step);

#endif
