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

/* Four independent chains, so that the multiplications overlap. Each has a name: of an array of them
 * compilers make vectors, which have no such multiplication and are a quarter slower. */
static inline uint64_t mu_mix_bytes (uint64_t hash, const void *memory, size_t count)
{
    const unsigned char *bytes = memory;
    uint64_t a = hash, b = hash + 1, c = hash + 2, d = hash + 3;
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        uint64_t word[4];
        memcpy (word, bytes + i, sizeof word);
        a = mu_mix (a, word[0]);
        b = mu_mix (b, word[1]);
        c = mu_mix (c, word[2]);
        d = mu_mix (d, word[3]);
    }
    uint64_t chain[4] = { a, b, c, d };
    for (; i < count; i++)
        chain[i % 4] = mu_mix (chain[i % 4], bytes[i] + UINT64_C (1));
    return mu_mix (mu_mix (mu_mix (chain[0], chain[1]), chain[2]), chain[3] + count);
}

#endif
