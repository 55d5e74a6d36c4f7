/* SPDX-License-Identifier: Apache-2.0 */
/* late.h - a generation that is not ready in time, and who is left out for it */
#ifndef COORD_LATE_H
#define COORD_LATE_H

#include "core.h"

/* A generation was not ready in time, or a collective ended: why it breaks. Who kept it may be left
 * out for a while. */
const char *late_blame (struct coord *coord, struct job *job);
const char *late_ended (struct coord *coord, struct job *job, struct worker *worker,
                        const struct mu_wire_down *down);
/* The collective of a member of a world that is connected ahead ended. True: it is left out. */
bool late_ended_ahead (struct coord *coord, struct worker *worker, const struct mu_wire_down *down);
void late_begin (struct job *job, struct worker *const *members, uint32_t count); /* the next one */
void late_forget (struct job *job); /* it got ready: its members are trusted again */

#endif
