/* SPDX-License-Identifier: Apache-2.0 */
/* halt.h - who leaves a generation ends with a whole step, and all do where one joins */
#ifndef COORD_HALT_H
#define COORD_HALT_H

#include "core.h"

/* Is a break that lets members go to wait until they have ended a step? Tells them to if so. */
bool halt_awaits (struct coord *coord, struct job *job);
/* Nobody is to go: they are leased again. The generation is over. */
void halt_forget (struct coord *coord, struct job *job);
void halt_clear (struct job *job);

#endif
