/* SPDX-License-Identifier: Apache-2.0 */
/* simd.h - the vector type of the instruction set that a source is being compiled for
 *
 * Sources that include this are compiled once per set, with -DMU_ISA=avx512 and that set's flags;
 * MU_NAME (gemm) is then mu_avx512_gemm. Vectors hide behind a handful of functions, and a fused
 * multiply-add is always spelled out: the sources are compiled with -ffp-contract=off.
 *
 *   mu_vector      LANES floats
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

#define MU_INLINE static inline __attribute__ ((always_inline))

#if defined __AVX512F__

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

#elif defined __AVX2__ && defined __FMA__

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

#elif defined __aarch64__

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

#endif

#define TILE_COLUMNS ((size_t)(TILE_VECTORS * LANES))

/* Sixteen lanes as the set's own vectors: what `sum` and its kin add into. */
#define SIXTEEN (16 / LANES)

#endif
