/* SPDX-License-Identifier: Apache-2.0 */
/* isa.h - what the instruction sets' objects offer to kernels.c, and what they need of it
 *
 * Each set has one table, made in rows.c; the other functions are the sources' own, declared here
 * under the set's name. Internal to worker/kernels. */
#ifndef MU_ISA_H
#define MU_ISA_H

#include "worker/kernels/kernels.h"

extern const struct mu_kernels mu_avx512_kernels, mu_avx2_kernels, mu_neon_kernels,
    mu_plain_kernels;

/* This thread's packing buffer, 64-byte aligned, at least `size` bytes; freed when the thread ends.
 * NULL if there is no memory. A later call may move it. */
float *mu_kernels_buffer (size_t size);

/* muster_math.key: the four numbers stirred into one. Also what normals and dropout are keyed by.
 */
uint64_t mu_key (uint64_t seed, uint64_t step, uint64_t micro_batch, uint64_t place);

/* A bijection of 64 bits that looks random (splitmix64's finaliser). */
static inline uint64_t mu_stir (uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
    return z ^ (z >> 31);
}
#define MU_GOLDEN UINT64_C (0x9e3779b97f4a7c15) /* 2^64 / the golden ratio: splitmix64's stride */

/* `rest` with OpenBLAS's product, named "openblas-" and OpenBLAS's core type; NULL: it cannot be
 * loaded here. Call it until it is there. In builds with OpenBLAS alone. */
const struct mu_kernels *mu_openblas_kernels (const struct mu_kernels *rest,
                                              struct mu_error *error);

#ifdef MU_ISA
#include "worker/kernels/simd.h"

void MU_NAME (gemm) (bool a_transposed, bool b_transposed, size_t m, size_t n, size_t k,
                     const float *a, size_t lda, const float *b, size_t ldb, bool accumulate,
                     float *c, size_t ldc);

/* elementwise.c */
void MU_NAME (add) (float *restrict y, const float *restrict x, size_t n);
void MU_NAME (multiply) (float *restrict y, const float *restrict x, size_t n);
void MU_NAME (scale) (float *y, float factor, size_t n);
void MU_NAME (exp) (float *restrict y, const float *restrict x, size_t n);
void MU_NAME (tanh) (float *restrict y, const float *restrict x, size_t n);
void MU_NAME (bias_add) (float *restrict y, const float *restrict bias, size_t rows, size_t n);
void MU_NAME (bias_gradient) (float *restrict bias, const float *restrict dy, size_t rows,
                              size_t n);
void MU_NAME (relu) (float *y, size_t n);
void MU_NAME (relu_backward) (float *restrict dx, const float *restrict y, size_t n);
void MU_NAME (gelu) (float *restrict y, const float *restrict x, size_t n);
void MU_NAME (gelu_backward) (float *restrict dx, const float *restrict x, size_t n);
void MU_NAME (gelu_keep) (float *restrict y, float *restrict x, size_t n);
void MU_NAME (dropout) (float *y, size_t n, float rate, uint64_t key);
void MU_NAME (adamw) (float *restrict weights, float *restrict m, float *restrict v,
                      const float *restrict gradient, size_t n, const struct mu_adamw *constants);

/* reduce.c */
float MU_NAME (sum) (const float *x, size_t n);
float MU_NAME (dot) (const float *x, const float *y, size_t n);
float MU_NAME (max_abs) (const float *x, size_t n);
double MU_NAME (sum_squares) (const float *x, size_t n);
void MU_NAME (quantise_add) (uint32_t *restrict sums, const float *restrict gradient, size_t n,
                             float scale);
void MU_NAME (quantise_add64) (uint64_t *restrict sums, const float *restrict gradient, size_t n,
                               double scale);
void MU_NAME (dequantise) (float *restrict out, const int32_t *restrict sums, size_t n,
                           float factor);
void MU_NAME (dequantise64) (float *restrict out, const int64_t *restrict sums, size_t n,
                             double factor);
uint64_t MU_NAME (checksum) (const uint32_t *sums, size_t n, uint64_t first_index);
uint64_t MU_NAME (checksum64) (const uint64_t *sums, size_t n, uint64_t first_index);
#endif

#endif
