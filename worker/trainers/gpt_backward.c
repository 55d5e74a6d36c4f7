/* SPDX-License-Identifier: Apache-2.0 */
/* gpt_backward.c - from the loss back to every weight
 *
 * d_stream is the gradient of the residual stream; each half of a layer adds its branch's to it.
 * A tensor is told as done the moment its gradient is whole, last layers first, so that the host
 * can reduce it while the rest is computed; the embeddings come last, since wte is also the output
 * layer. */
#include "worker/trainers/gpt_model.h"

#include <string.h>

static void tell_done (const struct gpt_pass *pass, uint32_t tensor)
{
    if (pass->progress && pass->progress->tensor_done)
        pass->progress->tensor_done (pass->progress->host, tensor);
}

/* Gradients of y = x * weight + bias, given dy: of bias, weight and x. */
static void linear_backward (const struct gpt_pass *pass, uint32_t tensor, const float *x,
                             size_t in, const float *dy, size_t out, float *dx)
{
    const struct muster_math *math = pass->math;
    size_t rows = pass->rows;
    float *d_bias = pass->gradients[tensor + 1];
    memset (d_bias, 0, out * sizeof *d_bias);
    math->bias_gradient (d_bias, dy, rows, out);
    tell_done (pass, tensor + 1);
    math->gemm (true, false, in, out, rows, x, in, dy, out, false, pass->gradients[tensor], out);
    tell_done (pass, tensor);
    math->gemm (false, true, rows, in, out, dy, out, pass->weights[tensor], out, false, dx, in);
}

/* d_stream += the gradient through a norm of x, given d_branch, that of the norm's output. */
static void norm_backward (const struct gpt_pass *pass, uint32_t tensor, const float *x,
                           const float *statistics)
{
    const struct gpt_plan *plan = &pass->model->plan;
    size_t channels = pass->channels;
    float *d_gain = pass->gradients[tensor], *d_bias = pass->gradients[tensor + 1];
    memset (d_gain, 0, channels * sizeof *d_gain);
    memset (d_bias, 0, channels * sizeof *d_bias);
    pass->math->layernorm_backward (
        pass->space + plan->d_stream, d_gain, d_bias, pass->space + plan->d_branch, x, statistics,
        pass->weights[tensor], pass->space + plan->scratch, pass->rows, channels);
    tell_done (pass, tensor + 1);
    tell_done (pass, tensor);
}

/* The gradient that enters a branch at its end: d_stream, through the branch's dropout. */
static const float *branch_gradient (const struct gpt_pass *pass, uint32_t layer,
                                     enum gpt_place place)
{
    const struct gpt_plan *plan = &pass->model->plan;
    float *d_stream = pass->space + plan->d_stream, *d_dropped = pass->space + plan->d_dropped;
    if (!(pass->dropout > 0))
        return d_stream;
    memcpy (d_dropped, d_stream, pass->rows * pass->channels * sizeof *d_dropped);
    gpt_dropout (pass, layer, place, d_dropped);
    return d_dropped;
}

static void backward_layer (const struct gpt_pass *pass, uint32_t number)
{
    const struct gpt_plan *plan = &pass->model->plan;
    struct gpt_layer layer = gpt_layer (pass, number);
    size_t channels = pass->channels;
    float *d_branch = pass->space + plan->d_branch, *d_wide = pass->space + plan->d_wide;

    linear_backward (pass, gpt_tensor (number, GPT_NARROW), layer.active, 4 * channels,
                     branch_gradient (pass, number, GPT_DROP_OUTPUT), channels, d_wide);
    pass->math->multiply (d_wide, layer.wide, pass->rows * 4 * channels);
    linear_backward (pass, gpt_tensor (number, GPT_WIDEN), layer.norm_2, channels, d_wide,
                     4 * channels, d_branch);
    norm_backward (pass, gpt_tensor (number, GPT_NORM_2), layer.middle, layer.statistics_2);

    linear_backward (pass, gpt_tensor (number, GPT_ATTENTION_OUT), layer.attended, channels,
                     branch_gradient (pass, number, GPT_DROP_MIDDLE), channels, d_branch);
    gpt_attention_backward (pass, number);
    linear_backward (pass, gpt_tensor (number, GPT_ATTENTION), layer.norm_1, channels, d_wide,
                     3 * channels, d_branch);
    norm_backward (pass, gpt_tensor (number, GPT_NORM_1), layer.input, layer.statistics_1);
}

/* Rows are added in ascending order; wte's gradient holds the output layer's part already. */
static void embed_backward (const struct gpt_pass *pass)
{
    size_t channels = pass->channels, size = pass->length * channels;
    float *d_stream = pass->space + pass->model->plan.d_stream;
    float *d_wte = pass->gradients[GPT_WTE], *d_wpe = pass->gradients[GPT_WPE];
    gpt_dropout (pass, 0, GPT_DROP_EMBEDDING, d_stream);
    memset (d_wpe, 0, (size_t)pass->model->context * channels * sizeof *d_wpe);
    for (size_t record = 0; record < pass->records; record++)
        pass->math->add (d_wpe, d_stream + record * size, size);
    tell_done (pass, GPT_WPE);
    for (size_t record = 0; record < pass->records; record++) {
        const int32_t *tokens = pass->tokens + record * pass->token_stride;
        for (size_t t = 0; t < pass->length; t++)
            pass->math->add (d_wte + (size_t)tokens[t] * channels,
                             d_stream + record * size + t * channels, channels);
    }
    tell_done (pass, GPT_WTE);
}

void gpt_backward (const struct gpt_pass *pass)
{
    const struct gpt_plan *plan = &pass->model->plan;
    uint32_t layers = pass->model->layers;
    memset (pass->space + plan->d_stream, 0, pass->rows * pass->channels * sizeof (float));
    norm_backward (pass, gpt_last_norm (layers), gpt_layer (pass, layers - 1).output,
                   pass->space + plan->statistics_f);
    for (uint32_t layer = layers; layer-- > 0;)
        backward_layer (pass, layer);
    embed_backward (pass);
}
