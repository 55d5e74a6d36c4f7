/* SPDX-License-Identifier: Apache-2.0 */
/* mix.h - a 64-bit hash against accidents: as fast as memory, and no help against who means harm
 *
 * Each round is a bijection of the word that goes in, so one word that differs always makes another
 * hash. Where somebody could look for two inputs of one hash, take BLAKE2b (libsodium). */
#ifndef MU_MIX_H
#define MU_MIX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t mu_mix (uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C (0x9fb21c651e98df25);
    return hash ^ (hash >> 32);
}

/* Four independent chains, so that the multiplications overlap. */
static inline uint64_t mu_mix_bytes (uint64_t hash, const void *memory, size_t count)
{
    const unsigned char *bytes = memory;
    uint64_t chain[4] = { hash, hash + 1, hash + 2, hash + 3 };
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        uint64_t word[4];
        memcpy (word, bytes + i, sizeof word);
        for (int c = 0; c < 4; c++)
            chain[c] = mu_mix (chain[c], word[c]);
    }
    for (; i < count; i++)
        chain[i % 4] = mu_mix (chain[i % 4], bytes[i] + UINT64_C (1));
    return mu_mix (mu_mix (mu_mix (chain[0], chain[1]), chain[2]), chain[3] + count);
}

#endif
