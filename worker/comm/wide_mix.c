/* SPDX-License-Identifier: Apache-2.0 */
/* wide_mix.c - see wide_mix.h. Which instructions are used is chosen at run time; the bits are the same
 *
 * Each register of chains has a name: of an array compilers make memory, through which every round
 * then goes. */
#include "wide_mix.h"

#include "common/mix.h"

#include <stdbool.h>
#include <string.h>

static bool always (void) { return true; }

#ifdef __x86_64__
#include <immintrin.h>

/* --- AVX2: four chains to a register ---------------------------------------------------------- */

#define AVX2 __attribute__ ((target ("avx2")))

static bool has_avx2 (void)
{
    __builtin_cpu_init ();
    return __builtin_cpu_supports ("avx2");
}

AVX2 static inline __m256i load4 (const void *words) { return _mm256_loadu_si256 (words); }

AVX2 static inline __m256i round4 (__m256i chains, const unsigned char *words)
{
    __m256i x = _mm256_xor_si256 (chains, load4 (words));
    __m256i product = _mm256_mul_epu32 (x, _mm256_set1_epi64x (MU_WIDE_HALF));
    x = _mm256_add_epi64 (x, _mm256_slli_epi64 (product, 32));
    return _mm256_xor_si256 (x, _mm256_srli_epi64 (x, MU_WIDE_SHIFT));
}

AVX2 static size_t by_avx2 (uint64_t chain[MU_WIDE_CHAINS], const unsigned char *bytes,
                            size_t count)
{
    __m256i a = load4 (chain), b = load4 (chain + 4), c = load4 (chain + 8), d = load4 (chain + 12);
    size_t done = 0;
    for (; done + 128 <= count; done += 128) {
        const unsigned char *words = bytes + done;
        a = round4 (a, words);
        b = round4 (b, words + 32);
        c = round4 (c, words + 64);
        d = round4 (d, words + 96);
    }
    const __m256i after[] = { a, b, c, d };
    memcpy (chain, after, sizeof after);
    return done;
}

/* --- SSE2, which all have: two ---------------------------------------------------------------- */

static inline __m128i load2 (const void *words) { return _mm_loadu_si128 (words); }

static inline __m128i round2 (__m128i chains, const unsigned char *words)
{
    __m128i x = _mm_xor_si128 (chains, load2 (words));
    __m128i product = _mm_mul_epu32 (x, _mm_set1_epi64x (MU_WIDE_HALF));
    x = _mm_add_epi64 (x, _mm_slli_epi64 (product, 32));
    return _mm_xor_si128 (x, _mm_srli_epi64 (x, MU_WIDE_SHIFT));
}

static size_t by_sse2 (uint64_t chain[MU_WIDE_CHAINS], const unsigned char *bytes, size_t count)
{
    __m128i a = load2 (chain), b = load2 (chain + 2), c = load2 (chain + 4), d = load2 (chain + 6);
    __m128i e = load2 (chain + 8), f = load2 (chain + 10), g = load2 (chain + 12),
            h = load2 (chain + 14);
    size_t done = 0;
    for (; done + 128 <= count; done += 128) {
        const unsigned char *words = bytes + done;
        a = round2 (a, words);
        b = round2 (b, words + 16);
        c = round2 (c, words + 32);
        d = round2 (d, words + 48);
        e = round2 (e, words + 64);
        f = round2 (f, words + 80);
        g = round2 (g, words + 96);
        h = round2 (h, words + 112);
    }
    const __m128i after[] = { a, b, c, d, e, f, g, h };
    memcpy (chain, after, sizeof after);
    return done;
}
#endif

/* --- C ---------------------------------------------------------------------------------------- */

static size_t plainly (uint64_t chain[MU_WIDE_CHAINS], const unsigned char *bytes, size_t count)
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

/* --- the choice ------------------------------------------------------------------------------- */

static const struct {
    mu_wide_rounds *rounds;
    bool (*works) (void);
} ways[] = {
/* best first */
#ifdef __x86_64__
    { by_avx2, has_avx2 },
    { by_sse2, always },
#endif
    { plainly, always },
};

mu_wide_rounds *mu_wide_way (unsigned index)
{
    for (size_t at = 0; at < sizeof ways / sizeof *ways; at++)
        if (ways[at].works () && index-- == 0)
            return ways[at].rounds;
    return NULL;
}

uint64_t mu_wide_mix_by (mu_wide_rounds *way, uint64_t hash, const void *memory, size_t count)
{
    const unsigned char *bytes = memory;
    uint64_t chain[MU_WIDE_CHAINS];
    for (unsigned i = 0; i < MU_WIDE_CHAINS; i++)
        chain[i] = hash + i;
    for (size_t i = way (chain, bytes, count); i < count; i++)
        chain[i % MU_WIDE_CHAINS] =
            mu_wide_round (chain[i % MU_WIDE_CHAINS], bytes[i] + UINT64_C (1));
    for (unsigned i = 0; i < MU_WIDE_CHAINS; i++)
        hash = mu_mix (hash, chain[i]);
    return mu_mix (hash, count);
}

uint64_t mu_wide_mix (uint64_t hash, const void *memory, size_t count)
{
    return mu_wide_mix_by (mu_wide_way (0), hash, memory, count);
}
