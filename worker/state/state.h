/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - all that decides the future of a job, in one block of memory
 *
 * The block is plain bytes without a pointer in it: it lies in memory that the caller gives (a
 * memfd that trainer and collective both map), is sent to a joiner as it is, and is copied with
 * memcpy.
 *
 *     struct mu_state | struct mu_state_tensor [tensors] | weights | m | v
 *
 * weights, m and v are flat float32; each tensor starts on a multiple of 16 floats (64 bytes) and
 * the gap behind it is zero for ever. One tensor's place is the same in weights, m, v, in a
 * gradient and in the sums (quantise.h): `first`, counted in floats from the start of its region.
 *
 * The block must be 64-byte aligned. Nothing here locks: one thread changes it, between steps.
 * Byte order is the machine's, which must be little-endian. */
#ifndef MU_STATE_H
#define MU_STATE_H

#include "common/error.h"
#include "worker/trainer.h"

#include <stddef.h>
#include <stdint.h>

#define MU_STATE_MAGIC       0x314554415453554dull /* "MUSTATE1" */
#define MU_STATE_VERSION     1u
#define MU_STATE_ALIGNMENT   64u
#define MU_STATE_TENSORS_MAX 65536u
#define MU_STATE_HASH_SIZE   32u
#define MU_STATE_HASH_TEXT   (2 * MU_STATE_HASH_SIZE + 1) /* as hex, with its NUL */

/* 2^40 parameters: 12 TiB of state, beyond any machine; keeps all sizes far from overflow. */
#define MU_STATE_PARAMETERS_MAX (1ull << 40)

struct mu_state {
    uint64_t magic;
    uint32_t version;
    uint32_t tensors;
    uint64_t bytes;      /* of the whole block */
    uint64_t parameters; /* elements of all tensors, without padding */
    uint64_t padded;     /* the same with padding: the floats in each of weights, m, v */
    uint64_t step;       /* steps done; also the number of the next one, counted from 0 */
    uint64_t attempt;   /* how often the next step's scales were lowered and its sums thrown away */
    uint64_t
        skipped; /* of the steps done, those skipped whole: a value is not finite, or all is left out */
    double beta1_power; /* Adam's beta1^t and beta2^t, t = step - skipped */
    double beta2_power;
    uint64_t weights_at; /* bytes from the block's start */
    uint64_t m_at;
    uint64_t v_at;
    uint64_t spare[3]; /* zero */
};

struct mu_state_tensor {
    uint64_t first;    /* floats from the start of weights, m, v, a gradient or the sums */
    uint64_t elements; /* without padding */
    uint32_t flags;    /* MUSTER_TENSOR_* */
    int32_t scale;     /* K: gradients are summed in units of 2^-K */
};

/* The size of the block for these tensors, a multiple of 64; 0 with `error` filled when a tensor or
 * the total is empty or too large. */
size_t mu_state_size (const struct muster_tensor *tensors, uint32_t count, struct mu_error *error);

/* Lay out the block in `memory` of `size` bytes (at least mu_state_size): head and tensor table
 * filled, weights, m and v zero, step 0. Returns the block, or NULL. */
struct mu_state *mu_state_lay_out (void *memory, size_t size, const struct muster_tensor *tensors,
                                   uint32_t count, struct mu_error *error);

/* The same for memory that is all zero already, or whose weights, m and v will be written whole: a
 * page that nobody has touched stays untouched. */
struct mu_state *mu_state_lay_out_head (void *memory, size_t size,
                                        const struct muster_tensor *tensors, uint32_t count,
                                        struct mu_error *error);

/* Whether `memory` of `size` bytes, which came from somewhere else, is a state block of just these
 * tensors with sane counters. Nothing in a block may be believed before this. */
int mu_state_check (const void *memory, size_t size, const struct muster_tensor *tensors,
                    uint32_t count, struct mu_error *error);

/* Step 0: initial weights from the trainer, all else as after mu_state_lay_out. */
void mu_state_init (struct mu_state *state, const struct muster_trainer *trainer,
                    const struct muster_model *model, uint64_t seed);

/* The tensor table and the three regions, each `state->padded` floats; tensor i of a region begins
 * at region + table[i].first. */
struct mu_state_tensor *mu_state_table (struct mu_state *state);
const struct mu_state_tensor *mu_state_table_const (const struct mu_state *state);
float *mu_state_weights (struct mu_state *state);
float *mu_state_m (struct mu_state *state);
float *mu_state_v (struct mu_state *state);
const float *mu_state_weights_const (const struct mu_state *state);
const float *mu_state_m_const (const struct mu_state *state);
const float *mu_state_v_const (const struct mu_state *state);

/* Fill pointers[state->tensors], as muster_trainer.gradient wants them, into one region (the
 * weights, or a gradient buffer of `padded` floats). */
void mu_state_pointers (const struct mu_state *state, float *region, float **pointers);
void mu_state_pointers_const (const struct mu_state *state, const float *region,
                              const float **pointers);

/* BLAKE2b-256 over the weights: dense, without padding, little-endian float32, in tensor order.
 * This is the `weights_hash` that Muster publishes; anybody can compute it from model.safetensors.
 */
void mu_state_hash (const struct mu_state *state, uint8_t hash[MU_STATE_HASH_SIZE]);

/* Of the whole block, as fast as memory. Equal sums on all ranks: nobody has drifted. The coordinator keeps
 * those of checkpoints: whatever changes the sum of a state needs another MU_STATE_VERSION, and its care. */
uint64_t mu_state_sum (const struct mu_state *state);

/* BLAKE2b-256 over everything that decides the future: counters, products, scales, weights, m, v. */
void mu_state_digest (const struct mu_state *state, uint8_t digest[MU_STATE_HASH_SIZE]);

/* The same over `size` bytes of hashes in place of weights, m and v: for who hashes those in parts.
 */
void mu_state_digest_of_parts (const struct mu_state *state, const void *parts, size_t size,
                               uint8_t digest[MU_STATE_HASH_SIZE]);

void mu_state_hash_text (const uint8_t hash[MU_STATE_HASH_SIZE], char text[MU_STATE_HASH_TEXT]);

#endif
