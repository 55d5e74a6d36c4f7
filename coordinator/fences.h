/* SPDX-License-Identifier: Apache-2.0 */
/* fences.h - what the ranks of one world bring to its PMI fences
 *
 * The values are opaque. A fence is complete when each rank has brought its own; then their
 * concatenation in rank order goes to all. Who asks again gets the answer again. */
#ifndef COORD_FENCES_H
#define COORD_FENCES_H

#include "wire.h"

#include <stdbool.h>

#define FENCES_MAX      16u
#define FENCE_BYTES_MAX 16777216u /* of FENCED */

/* Open for image.c alone. */
struct fence {
    struct mu_blob *values; /* by rank, owned; data NULL: not here yet */
    uint32_t count;
    uint64_t bytes;
    struct mu_blob all; /* owned, once complete */
};

struct fences { /* of one world; a NULL pointer is none yet */
    uint32_t size;
    struct fence list[FENCES_MAX];
};

enum fence_outcome {
    FENCE_WAITS,    /* for other ranks, or the value was not wanted */
    FENCE_COMPLETE, /* now: tell all */
    FENCE_AGAIN,    /* was complete before: tell this rank */
    FENCE_TOO_LARGE /* all together are more than FENCE_BYTES_MAX */
};

/* `rank` of `size` comes to fence `number` with `values`, which are copied. */
enum fence_outcome fences_come (struct fences **fences, uint32_t size, uint32_t rank,
                                uint32_t number, struct mu_blob values);
/* Of a complete one; valid until fences_free (). */
struct mu_blob fences_all (const struct fences *fences, uint32_t number);
/* How many bytes all ranks brought. */
uint64_t fences_bytes (const struct fences *fences, uint32_t number);
/* Does this rank wait in a fence for others? */
bool fences_waits (const struct fences *fences, uint32_t rank);
void fences_free (struct fences **fences);

#endif
