/* SPDX-License-Identifier: Apache-2.0 */
/* pmi.h - the server side of PMI-1's "simple" wire protocol, for one MPI process
 *
 * MPICH asks its process manager for rank, size and a key-value space in lines of text over PMI_FD.
 * Only a fence concerns other workers: what this process has put goes out as one opaque blob, and
 * the blobs of all ranks, in rank order, come back.
 *
 * Pure: bytes in, bytes out, no descriptors. Every line comes from a process we started, but from
 * code that is not ours: all is bounded, and whatever is not understood ends the process. Source:
 * the protocol as MPICH 4.0 speaks it (src/pmi/simple). */
#ifndef MU_PMI_H
#define MU_PMI_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MU_PMI_RANKS_MAX  4096u
#define MU_PMI_KEY_MAX    64u
#define MU_PMI_VALUE_MAX  1024u
#define MU_PMI_LINE_MAX   2048u       /* a put with the longest key and value, and its words */
#define MU_PMI_OWN_MAX    65536u      /* put between two fences: 60 of the longest values */
#define MU_PMI_ALL_MAX    (16u << 20) /* of all ranks, over all fences: 4 KiB a rank at 4096 */
#define MU_PMI_OUTPUT_MAX (1u << 20)  /* waiting to be read by the process */

struct mu_pmi;

/* NULL when memory is gone. `jobid` is copied; it names the key-value space. */
struct mu_pmi *mu_pmi_create (uint32_t rank, uint32_t size, const char *jobid);
void mu_pmi_destroy (struct mu_pmi **pmi_p);

/* Bytes from the process. -1: it broke the protocol, or asked to abort; end it. */
int mu_pmi_input (struct mu_pmi *pmi, const void *bytes, size_t size, struct mu_error *error);

/* Bytes for the process, borrowed until the next call; then say how many it took. */
const char *mu_pmi_output (const struct mu_pmi *pmi, size_t *size);
void mu_pmi_sent (struct mu_pmi *pmi, size_t size);

/* Does it wait at a fence? Then its number, from 0, and what it brings (borrowed until fence_done).
 */
bool mu_pmi_in_fence (const struct mu_pmi *pmi, uint32_t *number, const void **values,
                      size_t *size);

/* All ranks are there: `values` holds what they brought. A number other than the current fence's is
 * ignored: it is a repeat. */
int mu_pmi_fence_done (struct mu_pmi *pmi, uint32_t number, const void *values, size_t size,
                       struct mu_error *error);

#endif
