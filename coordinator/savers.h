/* SPDX-License-Identifier: Apache-2.0 */
/* savers.h - who may say that a checkpoint is complete */
#ifndef COORD_SAVERS_H
#define COORD_SAVERS_H

#include "core.h"

/* Apply's part: a generation was formed after `before`, a worker was told to, a newer checkpoint is
 * committed, nobody's states are to be trusted or wanted any more. */
void savers_follow_form (struct job_durable *job, const struct generation *before);
void savers_follow_save (struct job_durable *job, const struct mu_journal_save *save);
void savers_follow_commit (struct job_durable *job, uint64_t step);
void savers_forget (struct job_durable *job);
/* Was it told to save a state after that step that stands between two tries at the next? */
bool savers_stand_between (const struct job_durable *job, const struct worker *worker,
                           const struct mu_wire_saved *saved);
/* Can this worker have written that? */
bool savers_have (const struct job_durable *job, const struct worker *worker,
                  const struct mu_wire_saved *saved);

#endif
