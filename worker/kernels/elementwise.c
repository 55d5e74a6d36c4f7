/* SPDX-License-Identifier: Apache-2.0 */
/* elementwise.c - functions of each element by itself; compiled once per instruction set
 *
 * No element's arithmetic touches another's, so these are plain loops, which the compiler turns
 * into the set's vectors without a choice that could show in the bits. (bias_gradient is a chain
 * down each column.) The contracts are in worker/trainer.h and kernels.h. */
#include "worker/kernels/isa.h"
#include "worker/kernels/ordinary.h"

void MU_NAME (add) (float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

void MU_NAME (multiply) (float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= x[i];
}

void MU_NAME (scale) (float *y, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= factor;
}

void MU_NAME (exp) (float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = exp_one (x[i]);
}

void MU_NAME (tanh) (float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = tanh_one (x[i]);
}

void MU_NAME (bias_add) (float *restrict y, const float *restrict bias, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, y += n)
        for (size_t j = 0; j < n; j++)
            y[j] += bias[j];
}

void MU_NAME (bias_gradient) (float *restrict bias, const float *restrict dy, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, dy += n)
        for (size_t j = 0; j < n; j++)
            bias[j] += dy[j];
}

void MU_NAME (relu) (float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = y[i] < 0.f ? 0.f : y[i];
}

void MU_NAME (relu_backward) (float *restrict dx, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = y[i] > 0.f ? dx[i] : 0.f;
}

void MU_NAME (gelu) (float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gelu_gated (x[i], gelu_decay (x[i]));
}

void MU_NAME (gelu_backward) (float *restrict dx, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] *= gelu_derivative (x[i], gelu_decay (gelu_clamp (x[i])));
}

/* Where gelu_clamp bounds x, its gate is 0 or 1 as it is for x itself: one decay serves both. */
void MU_NAME (gelu_keep) (float *restrict y, float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float decay = gelu_decay (gelu_clamp (x[i]));
        y[i] = gelu_gated (x[i], decay);
        x[i] = gelu_derivative (x[i], decay);
    }
}

/* Wellons' "lowbias32": a bijection of 32 bits that looks random. */
MU_INLINE uint32_t stir32 (uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

void MU_NAME (dropout) (float *y, size_t n, float rate, uint64_t key)
{
    float factor = 1.f / (1.f - rate);
    uint32_t limit = (uint32_t)((double)rate * 4294967296.);
    while (n > 0) { /* 2^31 elements at a time, so that 32 bits count them */
        size_t run = n < ((size_t)1 << 31) ? n : (size_t)1 << 31;
        uint64_t stirred = mu_stir (key);
        uint32_t before = (uint32_t)stirred, between = (uint32_t)(stirred >> 32);
        for (size_t i = 0; i < run; i++) {
            uint32_t draw = stir32 (stir32 ((uint32_t)i ^ before) + between);
            y[i] = draw < limit ? 0.f : y[i] * factor;
        }
        y += run;
        n -= run;
        key += MU_GOLDEN;
    }
}

void MU_NAME (adamw) (float *restrict weights, float *restrict m, float *restrict v,
                      const float *restrict gradient, size_t n, const struct mu_adamw *constants)
{
    const struct mu_adamw a = *constants;
    float rest1 = 1.f - a.beta1, rest2 = 1.f - a.beta2;
    float inverse1 = 1.f / a.correction1, inverse2 = 1.f / a.correction2;
    float decay = a.rate * a.decay;
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] * a.gradient_factor;
        m[i] = __builtin_fmaf (a.beta1, m[i], rest1 * g);
        v[i] = __builtin_fmaf (a.beta2, v[i], (rest2 * g) * g);
        float step = (m[i] * inverse1) / (__builtin_sqrtf (v[i] * inverse2) + a.epsilon);
        float kept = __builtin_fmaf (-decay, weights[i], weights[i]);
        weights[i] = __builtin_fmaf (-a.rate, step, kept);
    }
}
