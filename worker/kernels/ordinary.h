/* SPDX-License-Identifier: Apache-2.0 */
/* ordinary.h - exp and its kin in float32, of one number, without branches and without libm
 *
 * A loop over them vectorises, and gives the same bits whether it did or not: IEEE products, sums
 * and quotients, fused where written so. NaN gives NaN. Polynomials: Cephes (Moshier), expf, tanhf.
 */
#ifndef MU_ORDINARY_H
#define MU_ORDINARY_H

#include "worker/kernels/simd.h"

MU_INLINE uint32_t bits_of (float x)
{
    uint32_t u;
    memcpy (&u, &x, sizeof u);
    return u;
}

MU_INLINE float float_of (uint32_t u)
{
    float x;
    memcpy (&x, &u, sizeof x);
    return x;
}

/* 2^k for -126 <= k <= 127. */
MU_INLINE float power_of_two (int32_t k) { return float_of ((uint32_t)(k + 127) << 23); }

#define ROUNDER 12582912.f /* 1.5 * 2^23: adding it rounds to an integer, found in its low bits */

/* Relative error below 2e-7; 0 below ln 2^-126 = -87.3365, inf above 88.7228. */
MU_INLINE float exp_one (float x)
{
    float in = x > 89.f ? 89.f : x;
    in = in < -88.f ? -88.f : in;
    float rounded = __builtin_fmaf (in, 1.44269504f, ROUNDER);
    float n = rounded - ROUNDER;
    float r = __builtin_fmaf (n, -0.693359375f, in);
    r = __builtin_fmaf (n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = __builtin_fmaf (p, r, 1.3981999507e-3f);
    p = __builtin_fmaf (p, r, 8.3334519073e-3f);
    p = __builtin_fmaf (p, r, 4.1665795894e-2f);
    p = __builtin_fmaf (p, r, 1.6666665459e-1f);
    p = __builtin_fmaf (p, r, 5.0000001201e-1f);
    p = __builtin_fmaf (p, r * r, r) + 1.f;
    int32_t k = (int32_t)((bits_of (rounded) - bits_of (ROUNDER)) & 0x1ffu);
    k = (k ^ 0x100) - 0x100; /* nine bits with their sign: also a NaN makes no wild number */
    float y = (p * power_of_two (k >> 1)) * power_of_two (k - (k >> 1));
    return x < -87.3365402f ? 0.f : y;
}

/* Relative error below 3e-7. */
MU_INLINE float tanh_one (float x)
{
    float size = float_of (bits_of (x) & 0x7fffffffu);
    float z = x * x;
    float p = -5.70498872745e-3f;
    p = __builtin_fmaf (p, z, 2.06390887954e-2f);
    p = __builtin_fmaf (p, z, -5.37397155531e-2f);
    p = __builtin_fmaf (p, z, 1.33314422036e-1f);
    p = __builtin_fmaf (p, z, -3.33332819422e-1f);
    float near_zero = __builtin_fmaf (p * z, size, size);
    float beyond = 1.f - 2.f / (exp_one (2.f * size) + 1.f);
    float y = size < 0.625f ? near_zero : beyond;
    return float_of (bits_of (y) | (bits_of (x) & 0x80000000u));
}

#define GELU_ROOT  0.7978845608f /* sqrt (2 / pi) */
#define GELU_CUBIC 0.044715f

/* exp (-2 u), with u as GELU's tanh form has it: its gate (1 + tanh u) / 2 is 1 / (1 + this),
 * without cancellation where x is negative. */
MU_INLINE float gelu_decay (float x)
{
    float u = GELU_ROOT * __builtin_fmaf ((GELU_CUBIC * x) * x, x, x);
    return exp_one (-2.f * u);
}

/* inf gives inf, -inf gives NaN (its gate is 0). */
MU_INLINE float gelu_gated (float x, float decay) { return x * (1.f / (1.f + decay)); }

/* Beyond +-20 the gate is 1 or 0, and exactly so. */
MU_INLINE float gelu_clamp (float x)
{
    float in = x > 20.f ? 20.f : x;
    return in < -20.f ? -20.f : in;
}

/* gate + x * gate * (1 - gate) * 2 u', given gelu_decay (gelu_clamp (x)): 1 or 0 beyond +-20, at
 * infinities too. */
MU_INLINE float gelu_derivative (float x, float decay)
{
    float in = gelu_clamp (x);
    float gate = 1.f / (1.f + decay);
    float closed = decay < 1.f ? decay * gate : 1.f - gate; /* 1 - gate without cancellation */
    float slope = (2.f * GELU_ROOT) * __builtin_fmaf ((3.f * GELU_CUBIC) * in, in, 1.f);
    return __builtin_fmaf ((in * gate) * closed, slope, gate);
}

#endif
