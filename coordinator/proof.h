/* SPDX-License-Identifier: Apache-2.0 */
/* proof.h - is a checkpoint what others hold? */
#ifndef COORD_PROOF_H
#define COORD_PROOF_H

#include "core.h"

/* For AGREED: all ranks' states were equal after that step. Apply's part. What they came to then, 0: not
 * known. */
void proof_fill (struct coord *coord, const struct job *job, const struct comparison *comparison,
                 struct mu_journal_agreed *agreed);
void proof_follow (struct job_durable *job, const struct mu_journal_agreed *agreed);
void proof_follow_form (struct job_durable *job); /* apply's part, too */
void proof_forget (struct job_durable *job);
uint64_t proof_sum (const struct job_durable *job, uint64_t step);
/* What a worker has loaded is not what was committed: it is taken for one that could not load it. */
void proof_loaded (struct coord *coord, struct worker *worker,
                   const struct mu_wire_prepared *prepared);
/* It has loaded that, and it is what was committed. */
bool proof_has_loaded (struct coord *coord, const struct worker *worker,
                       const struct commit *commit);
/* Others could load what some of these could not: those are let go. True: somebody was. */
bool proof_turn_away (struct coord *coord, struct worker **members, uint32_t count);
/* A rank has finished, and says what its weights come to. */
void proof_finished (struct coord *coord, struct worker *worker, const char *hash);
/* All states were found equal: what waited for that may be told of again. */
void proof_agreed (struct coord *coord, struct job *job);
/* It is not to be committed yet; the last one perhaps not at all. */
bool proof_withholds (struct coord *coord, struct job *job, struct worker *worker,
                      const struct mu_wire_saved *saved);

#endif
