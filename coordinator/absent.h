/* SPDX-License-Identifier: Apache-2.0 */
/* absent.h - whose state was gone before it was compared */
#ifndef COORD_ABSENT_H
#define COORD_ABSENT_H

#include "core.h"

/* Apply's part: what is known of a generation's members, from what was known of them in the one
 * before, and of those who are members no more; a job that has ended asks for nothing. */
void absent_follow (struct job_durable *job, const struct generation *before,
                    const struct mu_journal_form *form);
/* Before training goes back from there: all of the generation are remembered. */
void absent_go_back (struct job_durable *job, uint64_t trained_step, uint64_t time_ms);
void absent_forget (struct job_durable *job);
/* Up to where all who left lately, or those of this name, are known to have been right; UINT64_MAX: there is
 * nobody. */
uint64_t absent_known_step (const struct job_durable *job, const char *name, uint64_t unix_ms);
/* That worker was wrong in one job: others in which it was, and was not compared, go back too. `doubted`: as in
 * unsound_upto (). */
void absent_accuse (struct coord *coord, const struct mu_journal_expel *found, const char *doubted);

#endif
