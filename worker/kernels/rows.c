/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - functions of rows, and the set's table; compiled once per instruction set
 *
 * Each is made of the lane sums of simd.h and of loops over elements by themselves, in the order
 * that tests/unit/kernels_reference.c repeats. Rows are taken in ascending order. */
#include "worker/kernels/isa.h"
#include "worker/kernels/ordinary.h"

static void layernorm_row (float *restrict y, float *statistics, const float *restrict x,
                           const float *restrict gain, const float *restrict bias, size_t n,
                           float epsilon)
{
    float inverse = 1.f / (float)n;
    float mean = sum_lanes (x, n) * inverse;
    for (size_t j = 0; j < n; j++)
        y[j] = x[j] - mean;
    float rstd = 1.f / __builtin_sqrtf (dot_lanes (y, y, n) * inverse + epsilon);
    for (size_t j = 0; j < n; j++)
        y[j] = __builtin_fmaf (y[j] * rstd, gain[j], bias[j]);
    statistics[0] = mean;
    statistics[1] = rstd;
}

static void layernorm (float *y, float *statistics, const float *x, const float *gain,
                       const float *bias, size_t rows, size_t n, float epsilon)
{
    for (size_t r = 0; r < rows; r++)
        layernorm_row (y + r * n, statistics + 2 * r, x + r * n, gain, bias, n, epsilon);
}

/* hat: x normed again; scaled: dy * gain. */
static void layernorm_backward_row (float *restrict dx, float *restrict dgain,
                                    float *restrict dbias, const float *restrict dy,
                                    const float *restrict x, const float *statistics,
                                    const float *restrict gain, float *restrict hat,
                                    float *restrict scaled, size_t n)
{
    float mean = statistics[0], rstd = statistics[1], inverse = 1.f / (float)n;
    for (size_t j = 0; j < n; j++) {
        hat[j] = (x[j] - mean) * rstd;
        scaled[j] = dy[j] * gain[j];
        dbias[j] += dy[j];
        dgain[j] = __builtin_fmaf (dy[j], hat[j], dgain[j]);
    }
    float mean_scaled = sum_lanes (scaled, n) * inverse;
    float mean_product = dot_lanes (scaled, hat, n) * inverse;
    for (size_t j = 0; j < n; j++) {
        float centred = __builtin_fmaf (-hat[j], mean_product, scaled[j] - mean_scaled);
        dx[j] = __builtin_fmaf (centred, rstd, dx[j]);
    }
}

static void layernorm_backward (float *dx, float *dgain, float *dbias, const float *dy,
                                const float *x, const float *statistics, const float *gain,
                                float *scratch, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        layernorm_backward_row (dx + r * n, dgain, dbias, dy + r * n, x + r * n, statistics + 2 * r,
                                gain, scratch, scratch + n, n);
}

static void softmax_causal (float *p, size_t t, float factor)
{
    for (size_t i = 0; i < t; i++, p += t) {
        size_t seen = i + 1;
        float most = max_lanes (p, seen) * factor;
        for (size_t j = 0; j < seen; j++)
            p[j] = exp_one (__builtin_fmaf (p[j], factor, -most));
        float inverse = 1.f / sum_lanes (p, seen);
        for (size_t j = 0; j < seen; j++)
            p[j] *= inverse;
        memset (p + seen, 0, (t - seen) * sizeof *p);
    }
}

static void softmax_causal_backward (float *restrict dp, const float *restrict p, size_t t,
                                     float factor)
{
    for (size_t i = 0; i < t; i++, dp += t, p += t) {
        size_t seen = i + 1;
        float mean = dot_lanes (p, dp, seen);
        for (size_t j = 0; j < seen; j++)
            dp[j] = (p[j] * (dp[j] - mean)) * factor;
        memset (dp + seen, 0, (t - seen) * sizeof *dp);
    }
}

static bool is_first_choice (const float *logits, size_t target, float most)
{
    for (size_t j = 0; j < target; j++)
        if (logits[j] == most)
            return false;
    return logits[target] == most;
}

/* One row whose target is valid: returns its loss. */
static double cross_entropy_row (float *logits, size_t target, size_t n, float weight,
                                 uint64_t *correct)
{
    float most = max_lanes (logits, n);
    double own = (double)logits[target] - (double)most;
    bool first = is_first_choice (logits, target, most);
    for (size_t j = 0; j < n; j++)
        logits[j] = exp_one (logits[j] - most);
    float sum = sum_lanes (logits, n);
    float factor = weight / sum;
    for (size_t j = 0; j < n; j++)
        logits[j] *= factor;
    logits[target] -= weight;
    *correct += first && sum == sum;
    return mu_log_portable ((double)sum) - own;
}

static void cross_entropy (float *logits, const int32_t *target, size_t rows, size_t n,
                           float weight, double *loss, uint64_t *correct)
{
    double sum = 0;
    *correct = 0;
    for (size_t r = 0; r < rows; r++, logits += n) {
        if (target[r] < 0 || (size_t)target[r] >= n)
            memset (logits, 0, n * sizeof *logits);
        else
            sum += cross_entropy_row (logits, (size_t)target[r], n, weight, correct);
    }
    *loss = sum;
}

#define TEXT_(x) #x
#define TEXT(x)  TEXT_ (x)

const struct mu_kernels MU_NAME (kernels) = {
    .math = {
        .size = sizeof (struct muster_math),
        .name = TEXT (MU_ISA),
        .gemm = MU_NAME (gemm),
        .sum = MU_NAME (sum),
        .dot = MU_NAME (dot),
        .max_abs = MU_NAME (max_abs),
        .add = MU_NAME (add),
        .multiply = MU_NAME (multiply),
        .scale = MU_NAME (scale),
        .exp = MU_NAME (exp),
        .tanh = MU_NAME (tanh),
        .bias_add = MU_NAME (bias_add),
        .bias_gradient = MU_NAME (bias_gradient),
        .relu = MU_NAME (relu),
        .relu_backward = MU_NAME (relu_backward),
        .gelu = MU_NAME (gelu),
        .gelu_backward = MU_NAME (gelu_backward),
        .gelu_keep = MU_NAME (gelu_keep),
        .layernorm = layernorm,
        .layernorm_backward = layernorm_backward,
        .softmax_causal = softmax_causal,
        .softmax_causal_backward = softmax_causal_backward,
        .cross_entropy = cross_entropy,
        .dropout = MU_NAME (dropout),
        .key = mu_key,
        .normals = mu_normals,
    },
    .quantise_add = MU_NAME (quantise_add),
    .quantise_add64 = MU_NAME (quantise_add64),
    .dequantise = MU_NAME (dequantise),
    .dequantise64 = MU_NAME (dequantise64),
    .checksum = MU_NAME (checksum),
    .checksum64 = MU_NAME (checksum64),
    .sum_squares = MU_NAME (sum_squares),
    .adamw = MU_NAME (adamw),
};
