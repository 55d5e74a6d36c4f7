/* SPDX-License-Identifier: Apache-2.0 */
/* trust.h - quarantine of workers that fail again and again */
#ifndef COORD_TRUST_H
#define COORD_TRUST_H

#include "core.h"

/* It failed, and not by its job's fault. */
void trust_blame (struct coord *coord, struct worker *worker, const char *why);
void trust_forgive (const struct coord *coord, struct worker *worker); /* one of its failures */
/* It was wrong: in quarantine at once. `worker` may be NULL: it is not here now. */
void trust_distrust (struct coord *coord, const char *name, struct worker *worker, const char *why);
bool trust_lacks (const struct coord *coord, const struct worker *worker); /* quarantined */
/* Quarantined, and its job has enough others? */
bool trust_spares (const struct coord *coord, const struct worker *worker);
/* May this job have it? A quarantined worker only while it lacks its minimum. */
bool trust_takes (const struct coord *coord, const struct job *job, const struct worker *worker);
void trust_mind (struct coord *coord); /* ends quarantines whose time is over */

#endif
