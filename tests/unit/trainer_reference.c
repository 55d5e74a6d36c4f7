/* SPDX-License-Identifier: Apache-2.0 */
/* trainer_reference.c - GPT-2 and a relu network in double, slowly */
#include "tests/unit/trainer_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *zeros (size_t count) { return calloc (count, sizeof (double)); }

/* y[rows,out] += x[rows,in] * weight[in,out] + bias */
static void linear (const double *x, size_t rows, size_t in, size_t out, const double *weight,
                    const double *bias, double *y)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = bias[o];
            for (size_t i = 0; i < in; i++)
                sum += x[r * in + i] * weight[i * out + o];
            y[r * out + o] += sum;
        }
}

static void norm (const double *x, size_t rows, size_t width, const double *gain,
                  const double *bias, double *y)
{
    for (size_t r = 0; r < rows; r++) {
        const double *row = x + r * width;
        double mean = 0, variance = 0;
        for (size_t i = 0; i < width; i++)
            mean += row[i] / (double)width;
        for (size_t i = 0; i < width; i++)
            variance += (row[i] - mean) * (row[i] - mean) / (double)width;
        for (size_t i = 0; i < width; i++)
            y[r * width + i] = (row[i] - mean) / sqrt (variance + 1e-5) * gain[i] + bias[i];
    }
}

static double gelu (double x)
{
    return 0.5 * x * (1 + tanh (sqrt (2 / acos (-1)) * (x + 0.044715 * x * x * x)));
}

/* What position `at` of one head sees: softmax over the positions up to it. */
static void attend (const double *qkv, size_t at, size_t channels, size_t head, size_t width,
                    double *out)
{
    const double *q = qkv + at * 3 * channels + head * width;
    double *weight = zeros (at + 1), total = 0;
    for (size_t j = 0; j <= at; j++) {
        const double *k = qkv + j * 3 * channels + channels + head * width;
        double score = 0;
        for (size_t i = 0; i < width; i++)
            score += q[i] * k[i];
        total += weight[j] = exp (score / sqrt ((double)width));
    }
    for (size_t j = 0; j <= at; j++)
        for (size_t i = 0; i < width; i++)
            out[head * width + i] +=
                weight[j] / total * qkv[j * 3 * channels + 2 * channels + head * width + i];
    free (weight);
}

/* x becomes the layer's output; w are the layer's twelve tensors. */
static void layer (double *x, size_t length, size_t channels, size_t heads, double *const *w)
{
    double *normed = zeros (length * channels), *qkv = zeros (length * channels * 3);
    double *attended = zeros (length * channels), *wide = zeros (length * channels * 4);
    norm (x, length, channels, w[0], w[1], normed);
    linear (normed, length, channels, 3 * channels, w[2], w[3], qkv);
    for (size_t at = 0; at < length; at++)
        for (size_t head = 0; head < heads; head++)
            attend (qkv, at, channels, head, channels / heads, attended + at * channels);
    linear (attended, length, channels, channels, w[4], w[5], x);
    norm (x, length, channels, w[6], w[7], normed);
    linear (normed, length, channels, 4 * channels, w[8], w[9], wide);
    for (size_t i = 0; i < length * channels * 4; i++)
        wide[i] = gelu (wide[i]);
    linear (wide, length, 4 * channels, channels, w[10], w[11], x);
    free (normed);
    free (qkv);
    free (attended);
    free (wide);
}

void reference_gpt_logits (const struct bed *bed, size_t heads, double *const *weights,
                           const int32_t *tokens, size_t length, double *logits)
{
    size_t vocabulary = (size_t)bed->tensors[0].dimension[0];
    size_t channels = (size_t)bed->tensors[0].dimension[1];
    double *x = zeros (length * channels), *last = zeros (length * channels);
    for (size_t t = 0; t < length; t++)
        for (size_t i = 0; i < channels; i++)
            x[t * channels + i] =
                weights[0][(size_t)tokens[t] * channels + i] + weights[1][t * channels + i];
    for (uint32_t first = 2; first + 2 < bed->count; first += 12)
        layer (x, length, channels, heads, weights + first);
    norm (x, length, channels, weights[bed->count - 2], weights[bed->count - 1], last);
    for (size_t t = 0; t < length; t++)
        for (size_t v = 0; v < vocabulary; v++) {
            logits[t * vocabulary + v] = 0;
            for (size_t i = 0; i < channels; i++)
                logits[t * vocabulary + v] += last[t * channels + i] * weights[0][v * channels + i];
        }
    free (x);
    free (last);
}

/* -log softmax (logits)[target] */
static double loss_of (const double *logits, size_t count, size_t target, uint64_t *correct)
{
    double total = 0;
    size_t best = 0;
    for (size_t i = 0; i < count; i++) {
        total += exp (logits[i]);
        best = logits[i] > logits[best] ? i : best;
    }
    *correct += best == target;
    return log (total) - logits[target];
}

double reference_gpt_loss (const struct bed *bed, size_t heads, double *const *weights,
                           uint64_t *correct)
{
    size_t vocabulary = (size_t)bed->tensors[0].dimension[0], length = bed->records.tokens - 1;
    double *logits = zeros (length * vocabulary), loss = 0;
    *correct = 0;
    for (size_t record = 0; record < bed->batch.records; record++) {
        const int32_t *tokens = bed->batch.tokens + record * (length + 1);
        reference_gpt_logits (bed, heads, weights, tokens, length, logits);
        for (size_t t = 0; t < length; t++)
            loss += loss_of (logits + t * vocabulary, vocabulary, (size_t)tokens[t + 1], correct);
    }
    free (logits);
    return loss / (double)(bed->batch.records * length);
}

double reference_mlp_loss (const struct bed *bed, double *const *weights, uint64_t *correct)
{
    double loss = 0;
    *correct = 0;
    for (size_t record = 0; record < bed->batch.records; record++) {
        size_t in = bed->records.features;
        double *x = zeros (in);
        for (size_t i = 0; i < in; i++)
            x[i] = (double)bed->batch.features[record * in + i];
        for (uint32_t tensor = 0; tensor < bed->count; tensor += 2) {
            size_t out = (size_t)bed->tensors[tensor].dimension[0];
            double *y = zeros (out);
            for (size_t o = 0; o < out; o++) {
                y[o] = weights[tensor + 1][o];
                for (size_t i = 0; i < in; i++)
                    y[o] += weights[tensor][o * in + i] * x[i];
                if (tensor + 2 < bed->count)
                    y[o] = y[o] > 0 ? y[o] : 0;
            }
            free (x);
            x = y;
            in = out;
        }
        loss += loss_of (x, in, (size_t)bed->batch.labels[record], correct);
        free (x);
    }
    return loss / bed->batch.records;
}
