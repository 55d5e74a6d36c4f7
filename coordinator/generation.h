/* SPDX-License-Identifier: Apache-2.0 */
/* generation.h - one agreed world: FORM, fences, READY, GO, the break, the next one */
#ifndef COORD_GENERATION_H
#define COORD_GENERATION_H

#include "core.h"

/* Prepared workers that stay, in the order of their ranks in the next one; returns how many.
 * `members` has room for all workers of the job. */
uint32_t generation_members (struct coord *coord, const struct job *job, struct worker **members);
/* None of these is as far as the newest checkpoint: have it loaded, once. True: somebody was told to. */
bool generation_reopen (struct coord *coord, const struct job *job, struct worker **members,
                        uint32_t count);
/* The newest checkpoint is another one, or may be tried again: who was asked for it is asked anew. */
void generation_forget_tries (struct worker *const *members, uint32_t count);
/* Form the next one if enough workers are prepared. */
bool generation_try_form (struct coord *coord, struct job *job);
void generation_break (struct coord *coord, struct job *job, bool planned, const char *why);
void generation_say_form (struct coord *coord, const struct worker *worker);
void generation_limit (struct coord *coord, struct job *job);
void generation_clear (struct job *job); /* its soft part */
void generation_fence (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
/* What all ranks brought to this fence, which is complete. */
void generation_say_fenced (struct coord *coord, const struct worker *worker,
                            const struct fences *fences, const struct mu_wire_fence *fence);
void generation_ready (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void generation_down (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void generation_aborted (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
/* The highest position among its prepared workers (those that stay, if `staying`), or NULL. */
struct worker *generation_best (const struct coord *coord, const struct job *job, bool staying);

#endif
