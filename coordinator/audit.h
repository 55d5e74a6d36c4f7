/* SPDX-License-Identifier: Apache-2.0 */
/* audit.h - who is wrong: DIGEST, AUDIT, and what becomes of it */
#ifndef COORD_AUDIT_H
#define COORD_AUDIT_H

#include "core.h"

enum audit_what { AUDIT_STATE, AUDIT_GRADIENT, AUDIT_WEIGHTS, AUDIT_PLACE };

void audit_state (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void audit_gradient (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
/* Its state was not the source's when a world formed. True: training goes back for it. */
bool audit_differs (struct coord *coord, struct worker *worker, const struct mu_wire_down *down);
/* Two members of the generation that is over say that they stand where not both can: all go back. */
void audit_dispute_places (struct coord *coord, struct job *job, const struct worker *one,
                           const struct worker *other);
/* The hash of its weights after the job's last step, by its beat or by what it saved. False: no news. */
bool audit_weights (struct coord *coord, struct worker *worker, const char *hash);
/* Has all that was said of it been the same as that? */
bool audit_is_agreed (const struct job *job, const char *hash);
/* Do more say something else of it? */
bool audit_outvotes (const struct job *job, const char *hash);
/* Have some, and not all, said what their states come to after that step? */
bool audit_is_open (const struct job *job, uint64_t step);
/* The generation's comparisons are forgotten: those that lack an opinion do not count. */
void audit_clear (struct job *job);
/* The newest committed step, `also` included, that all members, and those who left lately, are known
 * to have been right at. */
uint64_t audit_anchor (const struct job_durable *job, uint64_t also, uint64_t unix_ms);
/* Up to where somebody's contributions are known to be right. */
uint64_t audit_known_step (const struct job_durable *job, uint64_t state_step,
                           uint64_t gradient_step);
/* What is given up, and what is gone back to (`doubted`: unsound_upto ()); then the break, if there is something to
 * break, and the records. */
void audit_fill_back (const struct job *job, struct mu_journal_expel *expel, uint64_t right_step,
                      const char *doubted);
/* When a generation has broken, and nobody says more of it: do those differ that were compared, though one lacks? True: all go
 * back. */
bool audit_differs_in_part (struct coord *coord, struct job *job);
/* Up to where a worker of this name is known to have been right, here and when it was here before. */
uint64_t audit_right_step (const struct job_durable *job, const char *name, uint64_t unix_ms);
/* One record, whose words are why, and how far. */
void audit_go_back_once (struct coord *coord, struct job *job, const char *why,
                         struct mu_journal *record);
/* Does this worker hold a state from before the newest expulsion? */
bool audit_is_tainted (const struct job *job, const struct worker *worker);
/* Have such states loaded anew. True: somebody was told to. */
bool audit_reopen (struct coord *coord, const struct job *job);
bool audit_keeps_off (const struct job *job, const struct worker *worker);
bool audit_is_outcast (const struct job_durable *job, const char *name, uint64_t incarnation);
/* Apply's part. */
void audit_expel (struct job_durable *job, const struct mu_journal_expel *expel);
void audit_agree (struct job_durable *job, const struct mu_journal_agreed *agreed);

#endif
