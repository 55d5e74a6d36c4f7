/* SPDX-License-Identifier: Apache-2.0 */
/* audit_bed.h - a job that trains, and what its ranks say of their states and gradients
 *
 * Records make the job, and words go to audit.c without the rest of the core's: what is looked at is
 * who is found wrong. Job 1 has the workers w0 to w4, and begins with generation 1 of the first of
 * them; job 2 has none before they are moved there. */
#ifndef AUDIT_BED_H
#define AUDIT_BED_H

#include "coordinator/core.h"

#include <msgpack.h>

#define RANKS_MAX     5u
#define MICRO_BATCHES 10u
#define RECORDS_MAX   1024u

struct audit_bed {
    struct coord *coord;
    struct job *job;
    struct worker *workers[RANKS_MAX];
    struct coord_actions actions;
    const char *hash;        /* of what is saved */
    uint64_t term;           /* in which that is said */
    bool reloads;            /* form (): all have loaded a checkpoint */
    uint32_t made_of;        /* form (): those behind are given these sums */
    uint32_t loaders;        /* form (): so many of the last ones have */
    bool unstarted;          /* form (): and it never trains */
    msgpack_sbuffer journal; /* all records, for restart () */
    size_t sizes[RECORDS_MAX], record_count, kept;
};

extern struct audit_bed bed;

void open_job (uint32_t ranks);
void use_job (uint64_t job); /* all workers go there, and it is `bed.job` */
int end (void **state);
/* The next generation of the first `ranks` workers; those from `behind` on stand a step below. */
void form (uint32_t ranks, uint64_t step, uint32_t behind);

void say_state (uint32_t rank, uint64_t step, uint64_t digest);
void say_gradient (uint32_t rank, uint64_t step, uint32_t micro_batch, uint64_t digest);
void agree (uint64_t step); /* all, on everything */
void save (uint64_t generation, uint64_t step); /* w0 says that it did */
void save_by (uint32_t worker, uint64_t generation, uint64_t step);
void restart (void); /* a core that knows the records alone; no worker has a job there */

uint32_t stored (enum mu_journal_type type);
const struct mu_journal_expel *expelled (void); /* the newest */

#endif
