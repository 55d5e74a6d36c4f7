/* SPDX-License-Identifier: Apache-2.0 */
/* simd.h - the vector type of the instruction set that a source is being compiled for
 *
 * Sources that include this are compiled once per set, with -DMU_ISA=avx512 and that set's flags;
 * MU_NAME (gemm) is then mu_avx512_gemm. Vectors hide behind a handful of functions, and a fused
 * multiply-add is always spelled out: the sources are compiled with -ffp-contract=off.
 *
 *   mu_vector      LANES floats; vector_max of a NaN is either operand
 *   TILE_ROWS, TILE_VECTORS  the largest block of C that a micro-kernel holds in registers
 */
#ifndef MU_SIMD_H
#define MU_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef MU_ISA
#error "compile with -DMU_ISA=plain, avx2, avx512 or neon"
#endif
#define MU_PASTE_(a, b, c, d) a##b##c##d
#define MU_PASTE(a, b, c, d)  MU_PASTE_ (a, b, c, d)
#define MU_NAME(name)         MU_PASTE (mu_, MU_ISA, _, name)

/* Before a loop of few, constant turns: no loop is left of it. */
#ifdef __clang__
#define UNROLL _Pragma ("unroll")
#else
#define UNROLL _Pragma ("GCC unroll 16")
#endif

/* The sets by number, for #if. */
#define MU_NUMBER_plain  1
#define MU_NUMBER_avx2   2
#define MU_NUMBER_avx512 3
#define MU_NUMBER_neon   4
#define MU_ISA_NUMBER    MU_PASTE (MU_NUMBER_, MU_ISA, , )

#define MU_INLINE static inline __attribute__ ((always_inline))

#if MU_ISA_NUMBER == MU_NUMBER_avx512

#include <immintrin.h>
#define LANES        16
#define TILE_ROWS    12
#define TILE_VECTORS 2
typedef __m512 mu_vector;
MU_INLINE mu_vector vector_load (const float *p) { return _mm512_loadu_ps (p); }
MU_INLINE void vector_store (float *p, mu_vector x) { _mm512_storeu_ps (p, x); }
MU_INLINE mu_vector vector_fill (float x) { return _mm512_set1_ps (x); }
MU_INLINE mu_vector vector_add (mu_vector a, mu_vector b) { return _mm512_add_ps (a, b); }
MU_INLINE mu_vector vector_fma (mu_vector a, mu_vector b, mu_vector c)
{
    return _mm512_fmadd_ps (a, b, c);
}
MU_INLINE mu_vector vector_max (mu_vector a, mu_vector b) { return _mm512_max_ps (a, b); }

#elif MU_ISA_NUMBER == MU_NUMBER_avx2

#include <immintrin.h>
#define LANES        8
#define TILE_ROWS    6
#define TILE_VECTORS 2
typedef __m256 mu_vector;
MU_INLINE mu_vector vector_load (const float *p) { return _mm256_loadu_ps (p); }
MU_INLINE void vector_store (float *p, mu_vector x) { _mm256_storeu_ps (p, x); }
MU_INLINE mu_vector vector_fill (float x) { return _mm256_set1_ps (x); }
MU_INLINE mu_vector vector_add (mu_vector a, mu_vector b) { return _mm256_add_ps (a, b); }
MU_INLINE mu_vector vector_fma (mu_vector a, mu_vector b, mu_vector c)
{
    return _mm256_fmadd_ps (a, b, c);
}
MU_INLINE mu_vector vector_max (mu_vector a, mu_vector b) { return _mm256_max_ps (a, b); }

#elif MU_ISA_NUMBER == MU_NUMBER_neon

#include <arm_neon.h>
#define LANES        4
#define TILE_ROWS    6
#define TILE_VECTORS 4
typedef float32x4_t mu_vector;
MU_INLINE mu_vector vector_load (const float *p) { return vld1q_f32 (p); }
MU_INLINE void vector_store (float *p, mu_vector x) { vst1q_f32 (p, x); }
MU_INLINE mu_vector vector_fill (float x) { return vdupq_n_f32 (x); }
MU_INLINE mu_vector vector_add (mu_vector a, mu_vector b) { return vaddq_f32 (a, b); }
MU_INLINE mu_vector vector_fma (mu_vector a, mu_vector b, mu_vector c)
{
    return vfmaq_f32 (c, a, b);
}
MU_INLINE mu_vector vector_max (mu_vector a, mu_vector b) { return vmaxq_f32 (a, b); }

#else

#define LANES        1
#define TILE_ROWS    4
#define TILE_VECTORS 4
typedef float mu_vector;
MU_INLINE mu_vector vector_load (const float *p) { return *p; }
MU_INLINE void vector_store (float *p, mu_vector x) { *p = x; }
MU_INLINE mu_vector vector_fill (float x) { return x; }
MU_INLINE mu_vector vector_add (mu_vector a, mu_vector b) { return a + b; }
MU_INLINE mu_vector vector_fma (mu_vector a, mu_vector b, mu_vector c)
{
    return __builtin_fmaf (a, b, c);
}
MU_INLINE mu_vector vector_max (mu_vector a, mu_vector b) { return a > b ? a : b; }

#endif

/* To the nearest, ties to even; unspecified beyond int32. As the compiler vectorises it, or as the
 * one instruction that plain x86-64 has. */
#if LANES > 1
#define ROUND_TO_INT32(x) ((int32_t)__builtin_rintf (x))
#else
#define ROUND_TO_INT32(x) ((int32_t)__builtin_lrintf (x))
#endif

#define TILE_COLUMNS ((size_t)(TILE_VECTORS * LANES))

/* Sixteen lanes as the set's own vectors: what `sum` and its kin add into. */
#define SIXTEEN (16 / LANES)

/* The fixed tree over sixteen lanes: (0+8, 1+9, ...), (0+4, ...), (0+2), (0+1). */
MU_INLINE float join_lanes (const float lane[16])
{
    float eight[8], four[4];
    UNROLL
    for (size_t i = 0; i < 8; i++)
        eight[i] = lane[i] + lane[i + 8];
    UNROLL
    for (size_t i = 0; i < 4; i++)
        four[i] = eight[i] + eight[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

MU_INLINE float sum_lanes (const float *x, size_t n)
{
    mu_vector sum[SIXTEEN];
    float lane[16];
    size_t i = 0;
    UNROLL
    for (size_t v = 0; v < SIXTEEN; v++)
        sum[v] = vector_fill (0.f);
    for (; i + 16 <= n; i += 16) {
        UNROLL
        for (size_t v = 0; v < SIXTEEN; v++)
            sum[v] = vector_add (sum[v], vector_load (x + i + v * LANES));
    }
    UNROLL
    for (size_t v = 0; v < SIXTEEN; v++)
        vector_store (lane + v * LANES, sum[v]);
    for (size_t l = 0; i + l < n; l++)
        lane[l] += x[i + l];
    return join_lanes (lane);
}

MU_INLINE float dot_lanes (const float *x, const float *y, size_t n)
{
    mu_vector sum[SIXTEEN];
    float lane[16];
    size_t i = 0;
    UNROLL
    for (size_t v = 0; v < SIXTEEN; v++)
        sum[v] = vector_fill (0.f);
    for (; i + 16 <= n; i += 16) {
        UNROLL
        for (size_t v = 0; v < SIXTEEN; v++)
            sum[v] = vector_fma (vector_load (x + i + v * LANES), vector_load (y + i + v * LANES),
                                 sum[v]);
    }
    UNROLL
    for (size_t v = 0; v < SIXTEEN; v++)
        vector_store (lane + v * LANES, sum[v]);
    for (size_t l = 0; i + l < n; l++)
        lane[l] = __builtin_fmaf (x[i + l], y[i + l], lane[l]);
    return join_lanes (lane);
}

/* The largest of n > 0 numbers, whatever the order; unspecified if one is NaN. */
MU_INLINE float max_lanes (const float *x, size_t n)
{
    float max = x[0];
    size_t i = 0;
    if (n >= LANES) {
        mu_vector most = vector_load (x);
        float lane[LANES];
        for (; i + LANES <= n; i += LANES)
            most = vector_max (most, vector_load (x + i));
        vector_store (lane, most);
        for (size_t l = 0; l < LANES; l++)
            max = lane[l] > max ? lane[l] : max;
    }
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

#endif
