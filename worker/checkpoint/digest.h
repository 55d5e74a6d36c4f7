/* SPDX-License-Identifier: Apache-2.0 */
/* digest.h - the hashes by which a checkpoint proves that a state is the one that was saved
 * (internal to checkpoint/)
 *
 * Since format 2 the digest is made of the hashes that the files' slices have anyway, so that
 * saving hashes each byte once and loading is not the work of one thread: BLAKE2b-256 over counters,
 * products and scales, then over the hash of each slice of the weights, then of m and v. */
#ifndef MU_CHECKPOINT_DIGEST_H
#define MU_CHECKPOINT_DIGEST_H

#include "common/error.h"
#include "worker/checkpoint/storage.h"
#include "worker/state/state.h"

/* From the records of model.safetensors and optimizer.safetensors. */
int mu_digest_of_records (const struct mu_state *state, const struct mu_storage_record *model,
                          const struct mu_storage_record *optimizer,
                          uint8_t digest[MU_STATE_HASH_SIZE], struct mu_error *error);

/* From memory, by several threads: the published hash of the weights, and the digest as a
 * checkpoint of that format and slice has it. */
int mu_digest_of_state (const struct mu_state *state, uint32_t version, uint64_t slice,
                        uint8_t weights_hash[MU_STATE_HASH_SIZE],
                        uint8_t digest[MU_STATE_HASH_SIZE], struct mu_error *error);

#endif
