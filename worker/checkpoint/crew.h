/* SPDX-License-Identifier: Apache-2.0 */
/* crew.h - a few threads that work through a numbered list (internal to checkpoint/)
 *
 * What is large in a checkpoint is cut into pieces that do not wait for each other. Each hand takes
 * the next piece until none is left, so that a slow one holds up no other. The caller is one of the
 * hands; with one hand there is no thread, and a thread that cannot be had is done without. */
#ifndef MU_CHECKPOINT_CREW_H
#define MU_CHECKPOINT_CREW_H

#include "common/error.h"

#include <stdint.h>

/* Do piece `number`; 0, or -1 with the sentence. Called by several threads at once. */
typedef int mu_crew_work (void *about, uint32_t number, struct mu_error *error);

/* Do the pieces 0 to pieces-1, begun in this order, each once. After the first failure no further
 * one is begun; -1 and its sentence then. All hands are gone when this returns. */
int mu_crew_run (uint32_t hands, uint32_t pieces, mu_crew_work *work, void *about,
                 struct mu_error *error);

/* How many hands `bytes` of state are worth: what may run on this process's cores, at most 4. */
uint32_t mu_crew_hands (uint64_t bytes);

#endif
