/* SPDX-License-Identifier: Apache-2.0 */
/* lanes.h - BLAKE2b-256 of up to four streams side by side (internal to checkpoint/)
 *
 * Within one stream each step of BLAKE2b waits for the one before, so that most of a core's units are
 * idle. Four streams in the lanes of its vectors take little longer than one. The hashes are those of
 * libsodium's crypto_generichash with 32 bytes and no key.
 *
 * RFC 7693, "The BLAKE2 cryptographic hash and message authentication code" (2015). */
#ifndef MU_CHECKPOINT_LANES_H
#define MU_CHECKPOINT_LANES_H

#include <stddef.h>
#include <stdint.h>

#define MU_LANES       4u
#define MU_LANES_BLOCK 128u
#define MU_LANES_HASH  32u

struct mu_lanes {
    uint64_t h[8][MU_LANES];
    uint64_t count[MU_LANES]; /* bytes so far */
};

/* A new stream in this lane. */
void mu_lanes_begin (struct mu_lanes *lanes, uint32_t lane);
/* So many whole blocks more for each lane whose pointer is not NULL. The last block of a stream,
 * whole or not, is kept for mu_lanes_end (). */
void mu_lanes_feed (struct mu_lanes *lanes, const uint8_t *const from[MU_LANES], size_t blocks);
/* The last 1 to 128 bytes; 0 only where there were none before. */
void mu_lanes_end (struct mu_lanes *lanes, uint32_t lane, const uint8_t *last, size_t size,
                   uint8_t hash[MU_LANES_HASH]);

#endif
