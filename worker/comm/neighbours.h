/* SPDX-License-Identifier: Apache-2.0 */
/* neighbours.h - which ranks of the world share this host, and their memory
 *
 * They are found when the world is made: each rank opens a door (near.h), all learn all doors'
 * numbers, and each calls at all the others. Each gives its region to those that called, to be read.
 * Then all say which rank is the first on their host; where what they say does not fit together, or
 * one could not map what it was given, every rank of that world counts as alone on its host. */
#ifndef MU_NEIGHBOURS_H
#define MU_NEIGHBOURS_H

#include "collective.h"

#include <mpi.h>

struct neighbours {
    uint32_t hosts;         /* in the world */
    uint32_t count;         /* ranks on this host; this one is among them */
    uint32_t place;         /* of this one among them; 0 leads: it speaks for its host */
    const char **memory;    /* [count] their regions, in order of rank; this rank's own, too */
    uint32_t *rank;         /* [count] */
    MPI_Comm host,
        leaders; /* of this host's ranks, if there are others; of all hosts' first, if this is one */
};

/* Once, as soon as the world stands. */
void neighbours_meet (struct collective *self);

/* The place of a rank of the world among this host's; near->count: it is on another one. */
uint32_t neighbours_place (const struct collective *self, uint32_t rank);

/* The sums, result or state of the rank at that place, where `own` is this rank's. */
const char *neighbours_memory (const struct collective *self, uint32_t place, const void *own);

#endif
