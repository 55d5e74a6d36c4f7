/* SPDX-License-Identifier: Apache-2.0 */
/* wide_mix.h - the hash of a state on its way: mix.h in sixteen chains, two to a vector register
 *
 * What it is good for is said in common/mix.h. A rank that sends or receives a state has nothing else
 * to do meanwhile, so what this takes is added to the transfer: from a cache it goes through 26 GB/s
 * with SSE2 alone, mu_mix_bytes () through 11.
 *
 * The low half of the multiplier is 1, so it takes one multiplication of half a word and an addition;
 * it stays odd, and each round a bijection of the word that goes in. Equal on every machine. */
#ifndef MU_WIDE_MIX_H
#define MU_WIDE_MIX_H

#include "common/mix.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define MU_WIDE_CHAINS 16
#define MU_WIDE_HALF   0x9e3779b1u /* 2^32 / the golden ratio, rounded to a prime */
#define MU_WIDE_SHIFT  29

static inline uint64_t mu_wide_round (uint64_t chain, uint64_t word)
{
    chain = (chain ^ word) * ((uint64_t)MU_WIDE_HALF << 32 | 1);
    return chain ^ (chain >> MU_WIDE_SHIFT);
}

#ifdef __SSE2__
/* The round of two chains. */
static inline __m128i mu_wide_pair (__m128i chains, const unsigned char *words)
{
    __m128i x = _mm_xor_si128 (chains, _mm_loadu_si128 ((const void *)words));
    __m128i product = _mm_mul_epu32 (x, _mm_set1_epi64x (MU_WIDE_HALF));
    x = _mm_add_epi64 (x, _mm_slli_epi64 (product, 32));
    return _mm_xor_si128 (x, _mm_srli_epi64 (x, MU_WIDE_SHIFT));
}

/* All whole rounds of sixteen words; how many bytes these were. */
static inline size_t mu_wide_rounds (uint64_t chain[MU_WIDE_CHAINS], const unsigned char *bytes,
                                     size_t count)
{
    __m128i pair[MU_WIDE_CHAINS / 2];
    memcpy (pair, chain, sizeof pair);
    __m128i a = pair[0], b = pair[1], c = pair[2], d = pair[3];
    __m128i e = pair[4], f = pair[5], g = pair[6], h = pair[7];
    size_t done = 0;
    for (; done + sizeof pair <= count; done += sizeof pair) {
        const unsigned char *words = bytes + done;
        a = mu_wide_pair (a, words);
        b = mu_wide_pair (b, words + 16);
        c = mu_wide_pair (c, words + 32);
        d = mu_wide_pair (d, words + 48);
        e = mu_wide_pair (e, words + 64);
        f = mu_wide_pair (f, words + 80);
        g = mu_wide_pair (g, words + 96);
        h = mu_wide_pair (h, words + 112);
    }
    const __m128i after[MU_WIDE_CHAINS / 2] = { a, b, c, d, e, f, g, h };
    memcpy (chain, after, sizeof after);
    return done;
}
#else
static inline size_t mu_wide_rounds (uint64_t chain[MU_WIDE_CHAINS], const unsigned char *bytes,
                                     size_t count)
{
    uint64_t word[MU_WIDE_CHAINS];
    size_t done = 0;
    for (; done + sizeof word <= count; done += sizeof word) {
        memcpy (word, bytes + done, sizeof word);
        for (int i = 0; i < MU_WIDE_CHAINS; i++)
            chain[i] = mu_wide_round (chain[i], word[i]);
    }
    return done;
}
#endif

static inline uint64_t mu_wide_mix (uint64_t hash, const void *memory, size_t count)
{
    const unsigned char *bytes = memory;
    uint64_t chain[MU_WIDE_CHAINS];
    for (unsigned i = 0; i < MU_WIDE_CHAINS; i++)
        chain[i] = hash + i;
    for (size_t i = mu_wide_rounds (chain, bytes, count); i < count; i++)
        chain[i % MU_WIDE_CHAINS] =
            mu_wide_round (chain[i % MU_WIDE_CHAINS], bytes[i] + UINT64_C (1));
    for (unsigned i = 0; i < MU_WIDE_CHAINS; i++)
        hash = mu_mix (hash, chain[i]);
    return mu_mix (hash, count);
}

#endif
