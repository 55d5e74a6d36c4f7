/* SPDX-License-Identifier: Apache-2.0 */
/* loss.h - what had broken a generation, told when it is known */
#ifndef COORD_LOSS_H
#define COORD_LOSS_H

#include "core.h"

/* It was in the job's newest generation, which is over already: tell what happened to it. */
void loss_tell (struct coord *coord, struct job *job, const struct worker *worker,
                enum mu_process_state process, const char *why);
/* Who of the live generation is gone and not lost yet, in words; NULL: nobody. */
const char *loss_known (struct coord *coord, const struct job *job);

#endif
