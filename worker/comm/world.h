/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - MPI calls that must succeed, for world.c and transfer.c */
#ifndef MU_WORLD_H
#define MU_WORLD_H

#include "collective.h"

#include <mpi.h>

#define MPI_TRY(self, call)                                                                        \
    do {                                                                                           \
        if ((call) != MPI_SUCCESS)                                                                 \
            collective_end (self, MU_COLLECTIVE_MPI_CALL, "%s failed", #call);                     \
    } while (0)

/* Zeroed memory, or the end. */
void *world_reserve (struct collective *self, size_t count, size_t size);

/* Reduce {1, rank + 1, generation, ticket} and `count` more words, 12 at most, whose totals come back in
 * place. */
void world_agree (struct collective *self, uint64_t *words, unsigned count);

#endif
