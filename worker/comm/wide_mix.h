/* SPDX-License-Identifier: Apache-2.0 */
/* wide_mix.h - the hash of a state on its way: mix.h in sixteen chains, several to a vector register
 *
 * What it is good for is said in common/mix.h. A rank that sends or receives a state has nothing else
 * to do meanwhile, so what this takes is added to the transfer: from a cache it goes through 36 GB/s
 * with AVX2 and 26 with SSE2, mu_mix_bytes () through 11.
 *
 * The low half of the multiplier is 1, so it takes one multiplication of half a word and an addition;
 * it stays odd, and each round a bijection of the word that goes in. Equal on every machine: ranks
 * with different instructions compare their hashes. */
#ifndef MU_WIDE_MIX_H
#define MU_WIDE_MIX_H

#include <stddef.h>
#include <stdint.h>

#define MU_WIDE_CHAINS 16
#define MU_WIDE_HALF   0x9e3779b1u /* 2^32 / the golden ratio, rounded to a prime */
#define MU_WIDE_SHIFT  29

static inline uint64_t mu_wide_round (uint64_t chain, uint64_t word)
{
    chain = (chain ^ word) * ((uint64_t)MU_WIDE_HALF << 32 | 1);
    return chain ^ (chain >> MU_WIDE_SHIFT);
}

/* All whole rounds of sixteen words; how many bytes these were. */
typedef size_t mu_wide_rounds (uint64_t chain[MU_WIDE_CHAINS], const unsigned char *bytes,
                               size_t count);

/* The ways of this CPU, best first, from 0; NULL: there are no more. The last is plain C. */
mu_wide_rounds *mu_wide_way (unsigned index);

uint64_t mu_wide_mix_by (mu_wide_rounds *way, uint64_t hash, const void *memory, size_t count);

/* By the best. */
uint64_t mu_wide_mix (uint64_t hash, const void *memory, size_t count);

#endif
