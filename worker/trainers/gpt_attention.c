/* SPDX-License-Identifier: Apache-2.0 */
/* gpt_attention.c - causal self-attention, one head of one record at a time
 *
 * Queries, keys and values of a head are columns of qkv, so every product is a gemm with a row
 * distance of 3C, and nothing is moved around. Row i looks at columns 0..i alone. Rows are taken
 * BLOCK at a time, and what lies right of a block's last column is not computed: nearly half of the
 * work. Left out are only products with exact zeros at the ends of sums, and BLOCK is a constant,
 * so bits depend on nothing. */
#include "worker/trainers/gpt_model.h"

#include <string.h>

#define BLOCK 64

/* One head's matrices. Rows of q, k, v and their gradients are 3C apart, of y and dy C. */
struct head {
    const float *q, *k, *v, *dy;
    float *y, *dq, *dk, *dv;
    float *p;       /* [T,T] softmax */
    float *dropped; /* [T,T] p after dropout; p itself without */
    uint64_t key;   /* of its dropout */
};

static size_t width (const struct gpt_pass *pass) { return pass->channels / pass->model->heads; }

/* The reciprocal of the root of a head's width: division and sqrtf are exact IEEE operations. */
static float factor (const struct gpt_pass *pass)
{
    return 1.0f / __builtin_sqrtf ((float)width (pass));
}

static size_t block_rows (const struct gpt_pass *pass, size_t first)
{
    return pass->length - first < BLOCK ? pass->length - first : BLOCK;
}

static struct head head_at (const struct gpt_pass *pass, const struct gpt_layer *layer,
                            uint32_t number, size_t record, size_t head)
{
    const struct gpt_plan *plan = &pass->model->plan;
    size_t channels = pass->channels, length = pass->length, heads = pass->model->heads;
    size_t narrow = record * length * channels + head * width (pass);
    size_t wide = record * length * 3 * channels + head * width (pass);
    size_t block = record * heads + head;
    float *p =
        layer->attention ? layer->attention + block * length * length : pass->space + plan->head_p;
    float *d_qkv = pass->space + plan->d_wide + wide;
    return (struct head){
        .q = layer->qkv + wide,
        .k = layer->qkv + wide + channels,
        .v = layer->qkv + wide + 2 * channels,
        .y = layer->attended + narrow,
        .dy = pass->space + plan->d_branch + narrow,
        .dq = d_qkv,
        .dk = d_qkv + channels,
        .dv = d_qkv + 2 * channels,
        .p = p,
        .dropped = pass->dropout > 0 ? pass->space + plan->head_dropped : p,
        .key = gpt_dropout_key (pass, number, GPT_DROP_ATTENTION, block),
    };
}

/* out[T,T] = a b^T, on and left of the diagonal at least */
static void lower_product (const struct gpt_pass *pass, const float *a, size_t a_stride,
                           const float *b, size_t b_stride, float *out)
{
    size_t length = pass->length;
    for (size_t first = 0; first < length; first += BLOCK) {
        size_t rows = block_rows (pass, first);
        pass->math->gemm (false, true, rows, first + rows, width (pass), a + first * a_stride,
                          a_stride, b, b_stride, false, out + first * length, length);
    }
}

/* out[T,D] = p x, p[T,T] lower triangular */
static void lower_times (const struct gpt_pass *pass, const float *p, const float *x,
                         size_t x_stride, float *out, size_t out_stride)
{
    size_t length = pass->length;
    for (size_t first = 0; first < length; first += BLOCK) {
        size_t rows = block_rows (pass, first);
        pass->math->gemm (false, false, rows, width (pass), first + rows, p + first * length,
                          length, x, x_stride, false, out + first * out_stride, out_stride);
    }
}

/* out[T,D] = p^T x, p[T,T] lower triangular */
static void lower_transposed_times (const struct gpt_pass *pass, const float *p, const float *x,
                                    size_t x_stride, float *out, size_t out_stride)
{
    size_t length = pass->length;
    for (size_t first = 0; first < length; first += BLOCK)
        pass->math->gemm (true, false, block_rows (pass, first), width (pass), length - first,
                          p + first * length + first, length, x + first * x_stride, x_stride, false,
                          out + first * out_stride, out_stride);
}

static void weigh (const struct gpt_pass *pass, const struct head *head)
{
    size_t stride = 3 * pass->channels;
    lower_product (pass, head->q, stride, head->k, stride, head->p);
    pass->math->softmax_causal (head->p, pass->length, factor (pass));
}

static void drop (const struct gpt_pass *pass, const struct head *head)
{
    size_t size = pass->length * pass->length;
    if (head->dropped == head->p)
        return;
    memcpy (head->dropped, head->p, size * sizeof (float));
    pass->math->dropout (head->dropped, size, pass->dropout, head->key);
}

void gpt_attention (const struct gpt_pass *pass, uint32_t number)
{
    struct gpt_layer layer = gpt_layer (pass, number);
    size_t channels = pass->channels;
    for (size_t record = 0; record < pass->records; record++)
        for (size_t i = 0; i < pass->model->heads; i++) {
            struct head head = head_at (pass, &layer, number, record, i);
            weigh (pass, &head);
            drop (pass, &head);
            lower_times (pass, head.dropped, head.v, 3 * channels, head.y, channels);
        }
}

static void head_backward (const struct gpt_pass *pass, const struct head *head)
{
    const struct muster_math *math = pass->math;
    size_t channels = pass->channels, stride = 3 * channels, length = pass->length;
    float *dp = pass->space + pass->model->plan.head_d;
    lower_transposed_times (pass, head->dropped, head->dy, channels, head->dv, stride);
    lower_product (pass, head->dy, channels, head->v, stride, dp);
    if (pass->dropout > 0)
        math->dropout (dp, length * length, pass->dropout, head->key);
    math->softmax_causal_backward (dp, head->p, length, factor (pass));
    lower_times (pass, dp, head->k, stride, head->dq, stride);
    lower_transposed_times (pass, dp, head->q, stride, head->dk, stride);
}

void gpt_attention_backward (const struct gpt_pass *pass, uint32_t number)
{
    struct gpt_layer layer = gpt_layer (pass, number);
    for (size_t record = 0; record < pass->records; record++)
        for (size_t i = 0; i < pass->model->heads; i++) {
            struct head head = head_at (pass, &layer, number, record, i);
            if (!layer.attention)
                weigh (pass, &head);
            drop (pass, &head);
            head_backward (pass, &head);
        }
}
