/* SPDX-License-Identifier: Apache-2.0 */
/* job.h - a job's life: submit, control, stop, each state's next move */
#ifndef COORD_JOB_H
#define COORD_JOB_H

#include "core.h"

/* So many that were submitted after all that are known: they have failed, and keep their numbers. */
void job_submit_lost (struct coord *coord, uint32_t count);
void job_submit (struct coord *coord, const struct coord_event *event);
void job_control (struct coord *coord, uint32_t peer, const struct mu_wire_control *control);
/* Has it more workers than it needs? */
bool job_can_spare (const struct job *job);
void job_touch (struct coord *coord, struct job *job);
/* A note of a job is a text that most jobs never have: owned, and NULL where it is empty. */
void job_note (char **note, const char *text);
static inline const char *job_noted (const char *note) { return note ? note : ""; }
void job_advance (struct coord *coord, struct job *job);
void job_move (struct coord *coord, struct job *job, enum mu_job_state state,
               enum mu_job_state target, enum mu_code code, const char *reason);
/* Let its workers go, then be `target`. */
void job_stop (struct coord *coord, struct job *job, enum mu_job_state target, enum mu_code code,
               const char *reason);
bool job_ended (const struct job *job);
bool job_has_live_generation (const struct job *job);
uint64_t job_step (const struct job *job);
const struct commit *job_newest_commit (const struct job *job); /* or NULL */
uint64_t job_committed_step (const struct job *job);

/* All that is soft of it, as a restart would. */
void job_forget (struct job *job);
void job_destroy (struct job *job);

/* apply.c's: it has ended. */
void job_leave_live (struct durable *durable, const struct job *job);
/* It gets the next number; up to a number, all were forgotten. */
void job_put (struct durable *durable, struct job *job);
void job_put_forgotten (struct durable *durable, uint32_t upto);
/* Jobs up to that one, not with it, were submitted, and nothing tells of them any more. -1: that cannot be. */
int job_fill (struct coord *coord, uint64_t number, uint64_t time_ms, struct mu_error *error);

#endif
