/* SPDX-License-Identifier: Apache-2.0 */
/* reduce.c - sums in a fixed order, and the exact sums of integers; per instruction set
 *
 * Float sums keep sixteen lanes whatever the vector's width (simd.h). Integer sums wrap, which
 * makes their order free: those loops are the compiler's. */
#include "worker/kernels/isa.h"
#include "worker/kernels/ordinary.h"

float MU_NAME (sum) (const float *x, size_t n) { return sum_lanes (x, n); }

float MU_NAME (dot) (const float *x, const float *y, size_t n) { return dot_lanes (x, y, n); }

/* Absolute floats order as their bits do, with NaN above infinity. */
float MU_NAME (max_abs) (const float *x, size_t n)
{
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = bits_of (x[i]) & 0x7fffffffu;
        most = u > most ? u : most;
    }
    return most > 0x7f800000u ? __builtin_nanf ("") : float_of (most);
}

/* One block; the squares are exact in double. */
static double block_squares (const float *x, size_t n)
{
    double lane[16] = { 0 };
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        UNROLL
        for (size_t l = 0; l < 16; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    }
    for (size_t l = 0; i + l < n; l++)
        lane[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

double MU_NAME (sum_squares) (const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += MU_BLOCK)
        sum += block_squares (x + i, n - i < MU_BLOCK ? n - i : MU_BLOCK);
    return sum;
}

void MU_NAME (quantise_add) (uint32_t *restrict sums, const float *restrict gradient, size_t n,
                             float scale)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += (uint32_t)ROUND_TO_INT32 (gradient[i] * scale);
}

void MU_NAME (quantise_add64) (uint64_t *restrict sums, const float *restrict gradient, size_t n,
                               double scale)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += (uint64_t)__builtin_llrint ((double)gradient[i] * scale);
}

void MU_NAME (dequantise) (float *restrict out, const int32_t *restrict sums, size_t n,
                           float factor)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)sums[i] * factor;
}

void MU_NAME (dequantise64) (float *restrict out, const int64_t *restrict sums, size_t n,
                             double factor)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)((double)sums[i] * factor);
}

/* An odd weight for a place; `salt` says which checksum and which 2^32 places. Wellons' lowbias32.
 */
MU_INLINE uint32_t weight32 (uint32_t index, uint32_t salt)
{
    uint32_t x = index ^ salt;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return (x ^ (x >> 16)) | 1u;
}

uint64_t MU_NAME (checksum) (const uint32_t *sums, size_t n, uint64_t first_index)
{
    uint32_t even = 0, odd = 0;
    while (n > 0) { /* up to the next multiple of 2^32, so that 32 bits count the places */
        uint64_t left = (UINT64_C (1) << 32) - (first_index & 0xffffffffu);
        size_t run = n < left ? n : (size_t)left;
        uint64_t salt = mu_stir ((first_index >> 32) + MU_GOLDEN);
        uint32_t salt0 = (uint32_t)salt, salt1 = (uint32_t)(salt >> 32);
        uint32_t first = (uint32_t)first_index;
        for (size_t i = 0; i < run; i++) {
            even += weight32 (first + (uint32_t)i, salt0) * sums[i];
            odd += weight32 (first + (uint32_t)i, salt1) * sums[i];
        }
        sums += run;
        n -= run;
        first_index += run;
    }
    return even | (uint64_t)odd << 32;
}

uint64_t MU_NAME (checksum64) (const uint64_t *sums, size_t n, uint64_t first_index)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (mu_stir ((first_index + i) * MU_GOLDEN + MU_GOLDEN) | 1u) * sums[i];
    return sum;
}
