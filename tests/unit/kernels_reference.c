/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_reference.c - see the header */
#include "tests/unit/kernels_reference.h"

#include <math.h>
#include <string.h>

/* --- sums in lanes ---------------------------------------------------------------------------- */

static double join (double lane[16], double (*add) (double, double))
{
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] = add (lane[l], lane[l + half]);
    return lane[0];
}

static double add_floats (double a, double b) { return (double)((float)a + (float)b); }
static double add_doubles (double a, double b) { return a + b; }

static float sum (const float *x, size_t n)
{
    double lane[16] = { 0 };
    for (size_t i = 0; i < n; i++)
        lane[i % 16] = add_floats (lane[i % 16], (double)x[i]);
    return (float)join (lane, add_floats);
}

static float dot (const float *x, const float *y, size_t n)
{
    double lane[16] = { 0 };
    for (size_t i = 0; i < n; i++)
        lane[i % 16] = (double)fmaf (x[i], y[i], (float)lane[i % 16]);
    return (float)join (lane, add_floats);
}

static double sum_squares (const float *x, size_t n)
{
    double total = 0, lane[16] = { 0 };
    for (size_t i = 0; i < n; i++) {
        lane[i % MU_BLOCK % 16] += (double)x[i] * (double)x[i];
        if (i % MU_BLOCK == MU_BLOCK - 1 || i == n - 1) {
            total += join (lane, add_doubles);
            memset (lane, 0, sizeof lane);
        }
    }
    return total;
}

static float max_abs (const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        if (isnan (x[i]) || fabsf (x[i]) > most)
            most = isnan (most) ? most : fabsf (x[i]);
    return most;
}

/* --- elements --------------------------------------------------------------------------------- */

static float exp_one (float x)
{
    static const float c[] = { 1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                               4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f };
    if (isnan (x) || x > 89)
        return isnan (x) ? x : INFINITY;
    if (x < -87.3365402f)
        return 0;
    double k = rint ((double)x * (double)1.44269504f);
    float r = fmaf ((float)k, 2.12194440e-4f, fmaf ((float)k, -0.693359375f, x)), p = c[0];
    for (int i = 1; i < 6; i++)
        p = fmaf (p, r, c[i]);
    return ldexpf (fmaf (p, r * r, r) + 1, (int)k);
}

static float tanh_one (float x)
{
    static const float c[] = { -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                               1.33314422036e-1f, -3.33332819422e-1f };
    if (fabsf (x) >= 0.625f)
        return copysignf (1 - 2 / (exp_one (2 * fabsf (x)) + 1), x);
    float z = x * x, p = c[0];
    for (int i = 1; i < 5; i++)
        p = fmaf (p, z, c[i]);
    return copysignf (fmaf (p * z, fabsf (x), fabsf (x)), x);
}

static float decay_one (float x)
{
    float u = 0.7978845608f * fmaf (0.044715f * x * x, x, x);
    return exp_one (-2 * u);
}

static float gelu_one (float x) { return x * (1 / (1 + decay_one (x))); }

static float gelu_slope_one (float x)
{
    float in = x > 20 ? 20 : x < -20 ? -20 : x, decay = decay_one (in), gate = 1 / (1 + decay);
    float closed = decay < 1 ? decay * gate : 1 - gate;
    float slope = (2 * 0.7978845608f) * fmaf (3 * 0.044715f * in, in, 1);
    return fmaf (in * gate * closed, slope, gate);
}

#define EACH(i, n) for (size_t i = 0; i < (n); i++)

static void add (float *y, const float *x, size_t n) { EACH (i, n) y[i] = y[i] + x[i]; }
static void multiply (float *y, const float *x, size_t n) { EACH (i, n) y[i] = y[i] * x[i]; }
static void scale (float *y, float factor, size_t n) { EACH (i, n) y[i] = y[i] * factor; }
static void exp_all (float *y, const float *x, size_t n) { EACH (i, n) y[i] = exp_one (x[i]); }
static void tanh_all (float *y, const float *x, size_t n) { EACH (i, n) y[i] = tanh_one (x[i]); }
static void relu (float *y, size_t n) { EACH (i, n) y[i] = y[i] < 0 ? 0 : y[i]; }
static void relu_backward (float *dx, const float *y, size_t n)
{
    EACH (i, n) dx[i] = y[i] > 0 ? dx[i] : 0;
}
static void gelu (float *y, const float *x, size_t n) { EACH (i, n) y[i] = gelu_one (x[i]); }
static void gelu_backward (float *dx, const float *x, size_t n)
{
    EACH (i, n) dx[i] = dx[i] * gelu_slope_one (x[i]);
}

static void gelu_keep (float *y, float *x, size_t n)
{
    gelu (y, x, n);
    EACH (i, n) x[i] = gelu_slope_one (x[i]);
}

static void bias_add (float *y, const float *bias, size_t rows, size_t n)
{
    EACH (i, rows * n) y[i] = y[i] + bias[i % n];
}

static void bias_gradient (float *bias, const float *dy, size_t rows, size_t n)
{
    EACH (i, rows * n) bias[i % n] = bias[i % n] + dy[i];
}

static uint32_t stir32 (uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

static uint64_t stir64 (uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void dropout (float *y, size_t n, float rate, uint64_t key)
{
    uint64_t k = stir64 (key);
    EACH (i, n)
    {
        uint32_t draw = stir32 (stir32 ((uint32_t)i ^ (uint32_t)k) + (uint32_t)(k >> 32));
        y[i] = (double)draw < floor (ldexp ((double)rate, 32)) ? 0 : y[i] * (1 / (1 - rate));
    }
}

static void adamw (float *weights, float *m, float *v, const float *gradient, size_t n,
                   const struct mu_adamw *a)
{
    EACH (i, n)
    {
        float g = gradient[i] * a->gradient_factor;
        m[i] = fmaf (a->beta1, m[i], (1 - a->beta1) * g);
        v[i] = fmaf (a->beta2, v[i], ((1 - a->beta2) * g) * g);
        float step =
            (m[i] * (1 / a->correction1)) / (sqrtf (v[i] * (1 / a->correction2)) + a->epsilon);
        weights[i] = fmaf (-a->rate, step, fmaf (-(a->rate * a->decay), weights[i], weights[i]));
    }
}

/* --- matrices and rows ------------------------------------------------------------------------ */

static void gemm (bool ta, bool tb, size_t m, size_t n, size_t k, const float *a, size_t lda,
                  const float *b, size_t ldb, bool accumulate, float *c, size_t ldc)
{
    EACH (i, m)
    EACH (j, n)
    {
        float chain = accumulate ? c[i * ldc + j] : 0;
        EACH (p, k)
        chain = fmaf (ta ? a[p * lda + i] : a[i * lda + p], tb ? b[j * ldb + p] : b[p * ldb + j],
                      chain);
        c[i * ldc + j] = chain;
    }
}

static void layernorm (float *y, float *statistics, const float *x, const float *gain,
                       const float *bias, size_t rows, size_t n, float epsilon)
{
    EACH (r, rows)
    {
        float mean = sum (x + r * n, n) * (1 / (float)n);
        EACH (j, n) y[r * n + j] = x[r * n + j] - mean;
        float rstd = 1 / sqrtf (dot (y + r * n, y + r * n, n) * (1 / (float)n) + epsilon);
        EACH (j, n) y[r * n + j] = fmaf (y[r * n + j] * rstd, gain[j], bias[j]);
        statistics[2 * r] = mean;
        statistics[2 * r + 1] = rstd;
    }
}

static void layernorm_backward (float *dx, float *dgain, float *dbias, const float *dy,
                                const float *x, const float *statistics, const float *gain,
                                float *scratch, size_t rows, size_t n)
{
    float *hat = scratch, *scaled = scratch + n;
    EACH (r, rows)
    {
        const float *d = dy + r * n;
        float mean = statistics[2 * r], rstd = statistics[2 * r + 1];
        EACH (j, n) hat[j] = (x[r * n + j] - mean) * rstd;
        EACH (j, n) scaled[j] = d[j] * gain[j];
        EACH (j, n) dbias[j] = dbias[j] + d[j];
        EACH (j, n) dgain[j] = fmaf (d[j], hat[j], dgain[j]);
        float a = sum (scaled, n) * (1 / (float)n), b = dot (scaled, hat, n) * (1 / (float)n);
        EACH (j, n)
        dx[r * n + j] = fmaf (fmaf (-hat[j], b, scaled[j] - a), rstd, dx[r * n + j]);
    }
}

static float largest (const float *x, size_t n)
{
    float most = x[0];
    EACH (i, n) most = fmaxf (most, x[i]);
    return most;
}

static void softmax_causal (float *p, size_t t, float factor)
{
    EACH (i, t)
    {
        float *row = p + i * t, most = largest (row, i + 1) * factor;
        EACH (j, i + 1) row[j] = exp_one (fmaf (row[j], factor, -most));
        float inverse = 1 / sum (row, i + 1);
        EACH (j, t) row[j] = j <= i ? row[j] * inverse : 0;
    }
}

static void softmax_causal_backward (float *dp, const float *p, size_t t, float factor)
{
    EACH (i, t)
    {
        float mean = dot (p + i * t, dp + i * t, i + 1);
        EACH (j, t)
        dp[i * t + j] = j <= i ? p[i * t + j] * (dp[i * t + j] - mean) * factor : 0;
    }
}

static void cross_entropy (float *logits, const int32_t *target, size_t rows, size_t n,
                           float weight, double *loss, uint64_t *correct)
{
    *loss = 0;
    *correct = 0;
    EACH (r, rows)
    {
        float *row = logits + r * n, most = largest (row, n);
        if (target[r] < 0 || (size_t)target[r] >= n) {
            EACH (j, n) row[j] = 0;
            continue;
        }
        size_t first = 0, aim = (size_t)target[r];
        while (first < n && !(row[first] == most))
            first++;
        double own = (double)row[aim] - (double)most;
        EACH (j, n) row[j] = exp_one (row[j] - most);
        float all = sum (row, n);
        EACH (j, n) row[j] = row[j] * (weight / all);
        row[aim] = row[aim] - weight;
        *loss += mu_log_portable ((double)all) - own;
        *correct += first == aim && !isnan (all);
    }
}

/* --- integers --------------------------------------------------------------------------------- */

static void quantise_add (uint32_t *sums, const float *gradient, size_t n, float factor)
{
    EACH (i, n) sums[i] += (uint32_t)(int64_t)rint ((double)gradient[i] * (double)factor);
}

static void quantise_add64 (uint64_t *sums, const float *gradient, size_t n, double factor)
{
    EACH (i, n) sums[i] += (uint64_t)(int64_t)rint ((double)gradient[i] * factor);
}

static void dequantise (float *out, const int32_t *sums, size_t n, float factor)
{
    EACH (i, n) out[i] = (float)sums[i] * factor;
}

static void dequantise64 (float *out, const int64_t *sums, size_t n, double factor)
{
    EACH (i, n) out[i] = (float)((double)sums[i] * factor);
}

static uint64_t checksum (const uint32_t *sums, size_t n, uint64_t first_index)
{
    uint32_t half[2] = { 0 };
    EACH (i, n)
    {
        uint64_t at = first_index + i, salt = stir64 ((at >> 32) + UINT64_C (0x9e3779b97f4a7c15));
        half[0] += (stir32 ((uint32_t)at ^ (uint32_t)salt) | 1) * sums[i];
        half[1] += (stir32 ((uint32_t)at ^ (uint32_t)(salt >> 32)) | 1) * sums[i];
    }
    return half[0] | (uint64_t)half[1] << 32;
}

static uint64_t checksum64 (const uint64_t *sums, size_t n, uint64_t first_index)
{
    uint64_t total = 0;
    EACH (i, n)
    total += (stir64 ((first_index + i + 1) * UINT64_C (0x9e3779b97f4a7c15)) | 1) * sums[i];
    return total;
}

const struct mu_kernels mu_reference_kernels = {
    .math = { .size = sizeof (struct muster_math),
              .name = "reference",
              .gemm = gemm,
              .sum = sum,
              .dot = dot,
              .max_abs = max_abs,
              .add = add,
              .multiply = multiply,
              .scale = scale,
              .exp = exp_all,
              .tanh = tanh_all,
              .bias_add = bias_add,
              .bias_gradient = bias_gradient,
              .relu = relu,
              .relu_backward = relu_backward,
              .gelu = gelu,
              .gelu_backward = gelu_backward,
              .gelu_keep = gelu_keep,
              .layernorm = layernorm,
              .layernorm_backward = layernorm_backward,
              .softmax_causal = softmax_causal,
              .softmax_causal_backward = softmax_causal_backward,
              .cross_entropy = cross_entropy,
              .dropout = dropout },
    .quantise_add = quantise_add,
    .quantise_add64 = quantise_add64,
    .dequantise = dequantise,
    .dequantise64 = dequantise64,
    .checksum = checksum,
    .checksum64 = checksum64,
    .sum_squares = sum_squares,
    .adamw = adamw,
};
