/* SPDX-License-Identifier: Apache-2.0 */
/* missing.h - the newest checkpoint is what all have lost, and no worker can read it */
#ifndef COORD_MISSING_H
#define COORD_MISSING_H

#include "core.h"

/* None of these holds the newest checkpoint's state, none could read it, and all have tried twice: it is waited
 * for, or given up. */
void missing_await (struct coord *coord, struct job *job, struct worker **members, uint32_t count);
/* It waits no more: it is paused, stopped, or has what it waited for. */
void missing_forget (struct job *job);
/* Somebody says that it is not to be waited for. */
void missing_forgo (struct coord *coord, uint32_t peer, uint64_t request, struct job *job);

#endif
