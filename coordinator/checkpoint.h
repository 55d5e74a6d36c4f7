/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.h - SAVED, COMMIT */
#ifndef COORD_CHECKPOINT_H
#define COORD_CHECKPOINT_H

#include "core.h"

/* Apply's part: after a commit only the newest ones and the anchor are kept. */
void checkpoint_prune (struct job_durable *job);
/* The same: those behind that step are given up. */
void checkpoint_drop (struct job_durable *job, uint64_t back_step);
/* COMMITTED, of the newest. */
void checkpoint_say (struct coord *coord, const struct worker *worker, const struct job *job);
void checkpoint_saved (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void checkpoint_save_failed (struct coord *coord, struct worker *worker,
                             const struct mu_wire *wire);
void checkpoint_answer (struct coord *coord, uint32_t peer, uint64_t request,
                        const struct job *job);
/* Before workers leave or the job stops: must a state be saved first? Asks for it if so. */
bool checkpoint_wait (struct coord *coord, struct job *job);

#endif
