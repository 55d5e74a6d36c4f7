/* SPDX-License-Identifier: Apache-2.0 */
/* pmi.h - the agent as process manager of its one MPI process: PMI-1, the "simple" wire protocol
 *
 * Pure: bytes in, bytes out, no descriptors, no clock. The MPI process puts keys and values, and
 * enters a fence; the fence is the only thing that concerns other ranks. The owner carries this
 * rank's puts as an opaque blob to all members, and hands back the concatenation of all blobs in
 * any order. The coordinator in between knows nothing of PMI.
 *
 *     mu_pmi_input ()     what came from the process
 *     mu_pmi_fence ()     after it: whether the process now stands in a fence, and with which blob
 *     mu_pmi_fence_done ()
 *     mu_pmi_output ()    after either: what is to be written to the process
 *
 * The process runs code that nobody here has read and the blobs come over the network, so every
 * line is checked: one that is malformed, too long, out of turn or unknown ends the generation (-1
 * with a sentence, and again -1 at every later call). Asking for a key that is not there is no
 * error.
 *
 * A blob is lines "key value\n"; keys are unique in a world. */
#ifndef MU_PMI_H
#define MU_PMI_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The limits told to MPI (get_maxes), with their NUL. A put is the longest line:
 * "cmd=put kvsname=" 16 + 63, " key=" 5 + 63, " value=" 7 + 1023, newline: 1178 bytes. */
#define MU_PMI_NAME_MAX  64u
#define MU_PMI_KEY_MAX   64u
#define MU_PMI_VALUE_MAX 1024u
#define MU_PMI_LINE_MAX  2048u

/* MPICH puts a business card of some 300 bytes and a few small values; 16 KiB a rank between two
 * fences is 10 times that. A world of 4,096 ranks then has 64 MiB a fence at most, and a process
 * asks for no more than 16 fences (MPICH: 2 or 3). */
#define MU_PMI_RANKS_MAX      4096u
#define MU_PMI_RANK_BYTES_MAX ((size_t)16 * 1024)
#define MU_PMI_FENCES_MAX     16u

/* Replies not yet taken: the protocol is question and answer, so more means that nobody reads. */
#define MU_PMI_OUTPUT_MAX ((size_t)64 * 1024)

struct mu_pmi;

/* `jobid` names the key-value space: 1 to 63 letters, digits, '_', '-' or '.', fresh for each
 * generation. NULL with a sentence. */
struct mu_pmi *mu_pmi_create (uint32_t rank, uint32_t size, const char *jobid,
                              struct mu_error *error);
void mu_pmi_destroy (struct mu_pmi **pmi);

int mu_pmi_input (struct mu_pmi *pmi, const void *bytes, size_t count, struct mu_error *error);

/* Replies waiting to be written: *bytes is valid until the next call of any function. */
size_t mu_pmi_output (const struct mu_pmi *pmi, const char **bytes);
void mu_pmi_output_taken (struct mu_pmi *pmi, size_t count);

/* True while the process stands in fence `*number` (they count from 0); the blob may be empty and
 * stays valid until mu_pmi_fence_done (). */
bool mu_pmi_fence (const struct mu_pmi *pmi, uint32_t *number, const void **blob, size_t *bytes);

/* All members stand in fence `number`: their blobs, one behind the other. */
int mu_pmi_fence_done (struct mu_pmi *pmi, uint32_t number, const void *blob, size_t bytes,
                       struct mu_error *error);

/* The process said goodbye. */
bool mu_pmi_finalized (const struct mu_pmi *pmi);

#endif
