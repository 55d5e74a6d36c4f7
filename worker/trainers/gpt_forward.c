/* SPDX-License-Identifier: Apache-2.0 */
/* gpt_forward.c - from tokens to the loss
 *
 * Pre-norm blocks as in GPT-2 (Radford et al., 2019):
 *   middle = input  + drop (attention (norm (input)))
 *   output = middle + drop (narrow (gelu (widen (norm (middle))))) */
#include "worker/trainers/gpt_model.h"

#include <string.h>

#define EPSILON 1e-5f

uint64_t gpt_dropout_key (const struct gpt_pass *pass, uint32_t layer, enum gpt_place place,
                          size_t block)
{
    const struct muster_math *math = pass->math;
    uint64_t site = (uint64_t)layer * 4 + place;
    return math->key (math->key (pass->seed, pass->step, pass->micro, site), block, 0, 0);
}

void gpt_dropout (const struct gpt_pass *pass, uint32_t layer, enum gpt_place place, float *values)
{
    size_t size = pass->length * pass->channels;
    if (pass->dropout > 0)
        for (size_t record = 0; record < pass->records; record++)
            pass->math->dropout (values + record * size, size, pass->dropout,
                                 gpt_dropout_key (pass, layer, place, record));
}

static void embed (const struct gpt_pass *pass, float *stream)
{
    const float *wte = pass->weights[GPT_WTE], *wpe = pass->weights[GPT_WPE];
    size_t channels = pass->channels, size = pass->length * channels;
    for (size_t record = 0; record < pass->records; record++) {
        const int32_t *tokens = pass->tokens + record * pass->token_stride;
        float *rows = stream + record * size;
        for (size_t t = 0; t < pass->length; t++)
            memcpy (rows + t * channels, wte + (size_t)tokens[t] * channels,
                    channels * sizeof (float));
        pass->math->add (rows, wpe, size);
    }
    gpt_dropout (pass, 0, GPT_DROP_EMBEDDING, stream);
}

/* y[N,out] = x[N,in] * weight + bias */
static void linear (const struct gpt_pass *pass, uint32_t tensor, const float *x, size_t in,
                    float *y, size_t out)
{
    pass->math->gemm (false, false, pass->rows, out, in, x, in, pass->weights[tensor], out, false,
                      y, out);
    pass->math->bias_add (y, pass->weights[tensor + 1], pass->rows, out);
}

static void norm (const struct gpt_pass *pass, uint32_t tensor, const float *x, float *y,
                  float *statistics)
{
    pass->math->layernorm (y, statistics, x, pass->weights[tensor], pass->weights[tensor + 1],
                           pass->rows, pass->channels, EPSILON);
}

static void forward_layer (const struct gpt_pass *pass, uint32_t number)
{
    const struct muster_math *math = pass->math;
    struct gpt_layer layer = gpt_layer (pass, number);
    size_t channels = pass->channels, size = pass->rows * channels;

    norm (pass, gpt_tensor (number, GPT_NORM_1), layer.input, layer.norm_1, layer.statistics_1);
    linear (pass, gpt_tensor (number, GPT_ATTENTION), layer.norm_1, channels, layer.qkv,
            3 * channels);
    gpt_attention (pass, number);
    linear (pass, gpt_tensor (number, GPT_ATTENTION_OUT), layer.attended, channels, layer.middle,
            channels);
    gpt_dropout (pass, number, GPT_DROP_MIDDLE, layer.middle);
    math->add (layer.middle, layer.input, size);

    norm (pass, gpt_tensor (number, GPT_NORM_2), layer.middle, layer.norm_2, layer.statistics_2);
    linear (pass, gpt_tensor (number, GPT_WIDEN), layer.norm_2, channels, layer.wide, 4 * channels);
    if (pass->gradients)
        math->gelu_keep (layer.active, layer.wide, 4 * size);
    else
        math->gelu (layer.active, layer.wide, 4 * size);
    linear (pass, gpt_tensor (number, GPT_NARROW), layer.active, 4 * channels, layer.output,
            channels);
    gpt_dropout (pass, number, GPT_DROP_OUTPUT, layer.output);
    math->add (layer.output, layer.middle, size);
}

void gpt_forward (const struct gpt_pass *pass)
{
    const struct gpt_plan *plan = &pass->model->plan;
    uint32_t layers = pass->model->layers;
    embed (pass, gpt_layer (pass, 0).input);
    for (uint32_t layer = 0; layer < layers; layer++)
        forward_layer (pass, layer);
    norm (pass, gpt_last_norm (layers), gpt_layer (pass, layers - 1).output,
          pass->space + plan->norm_f, pass->space + plan->statistics_f);
}

/* --- the output layer, whose weights are wte's ------------------------------------------------ */

/* The tokens one place on, row by row, into the workspace. */
static const int32_t *gather_targets (const struct gpt_pass *pass)
{
    int32_t *targets = (int32_t *)(void *)(pass->space + pass->model->plan.targets);
    for (size_t record = 0; record < pass->records; record++)
        memcpy (targets + record * pass->length, pass->tokens + record * pass->token_stride + 1,
                pass->length * sizeof *targets);
    return targets;
}

/* Gradients of `rows` rows from `first` on, given that of their logits. Rows are added to wte's
 * gradient in ascending order, block after block. */
static void head_backward (const struct gpt_pass *pass, size_t first, size_t rows)
{
    const struct gpt_plan *plan = &pass->model->plan;
    size_t channels = pass->channels, vocabulary = pass->model->vocabulary;
    const float *d_logits = pass->space + plan->logits;
    pass->math->gemm (true, false, vocabulary, channels, rows, d_logits, vocabulary,
                      pass->space + plan->norm_f + first * channels, channels, first > 0,
                      pass->gradients[GPT_WTE], channels);
    pass->math->gemm (false, false, rows, channels, vocabulary, d_logits, vocabulary,
                      pass->weights[GPT_WTE], channels, false,
                      pass->space + plan->d_branch + first * channels, channels);
}

void gpt_head (const struct gpt_pass *pass, struct muster_result *result)
{
    const struct gpt_plan *plan = &pass->model->plan;
    const int32_t *targets = gather_targets (pass);
    size_t channels = pass->channels, vocabulary = pass->model->vocabulary;
    float *logits = pass->space + plan->logits;
    float weight = 1.0f / (float)pass->rows;
    double loss = 0;
    uint64_t correct = 0;
    for (size_t first = 0; first < pass->rows; first += GPT_HEAD_ROWS) {
        size_t rows = pass->rows - first < GPT_HEAD_ROWS ? pass->rows - first : GPT_HEAD_ROWS;
        double block_loss = 0;
        uint64_t block_correct = 0;
        pass->math->gemm (false, true, rows, vocabulary, channels,
                          pass->space + plan->norm_f + first * channels, channels,
                          pass->weights[GPT_WTE], channels, false, logits, vocabulary);
        pass->math->cross_entropy (logits, targets + first, rows, vocabulary, weight, &block_loss,
                                   &block_correct);
        loss += block_loss;
        correct += block_correct;
        if (pass->gradients)
            head_backward (pass, first, rows);
    }
    *result = (struct muster_result){ .loss = loss / (double)pass->rows,
                                      .targets = pass->rows,
                                      .correct = correct };
}
