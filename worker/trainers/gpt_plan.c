/* SPDX-License-Identifier: Apache-2.0 */
/* gpt_plan.c - where everything lies in a workspace
 *
 * The layout is made once, in open (), for the largest micro-batch; a call with fewer records or
 * shorter ones uses the front of each part. Attention weights grow with T^2, so they are kept for
 * the backward pass only while they are small; computed again they have the same bits. */
#include "worker/trainers/gpt_model.h"
#include "worker/trainers/settings.h"

struct layout {
    uint64_t floats;
    bool too_large;
};

/* Put count * width floats behind what is there; their offset. */
static size_t put (struct layout *layout, uint64_t count, uint64_t width)
{
    uint64_t size, end, at = layout->floats;
    if (__builtin_mul_overflow (count, width, &size) || __builtin_add_overflow (at, size, &end) ||
        end > GPT_SPACE_MAX / sizeof (float)) {
        layout->too_large = true;
        return 0;
    }
    layout->floats = (end + 15) / 16 * 16;
    return (size_t)at;
}

/* Bytes of all attention weights, L*B*H*T*T, or a number above any limit. */
static uint64_t attention_bytes (const struct muster_model *model)
{
    const uint64_t factor[] = { model->layers, model->micro_batch, model->heads, model->context,
                                model->context };
    uint64_t bytes = sizeof (float);
    for (size_t i = 0; i < sizeof factor / sizeof factor[0]; i++)
        if (__builtin_mul_overflow (bytes, factor[i], &bytes))
            return UINT64_MAX;
    return bytes;
}

static void put_layer (struct layout *layout, const struct muster_model *model,
                       struct gpt_plan *plan)
{
    uint64_t rows = (uint64_t)model->micro_batch * model->context, channels = model->channels;
    struct gpt_layer_plan *layer = &plan->first;
    layer->input = put (layout, rows, channels);
    layer->norm_1 = put (layout, rows, channels);
    layer->statistics_1 = put (layout, rows, 2);
    layer->qkv = put (layout, rows, 3 * channels);
    layer->attended = put (layout, rows, channels);
    layer->middle = put (layout, rows, channels);
    layer->norm_2 = put (layout, rows, channels);
    layer->statistics_2 = put (layout, rows, 2);
    layer->wide = put (layout, rows, 4 * channels);
    layer->active = put (layout, rows, 4 * channels);
    if (plan->keeps_attention)
        layer->attention = put (layout, rows * model->heads, model->context);
    plan->layer_stride = (size_t)layout->floats;
}

static void put_shared (struct layout *layout, const struct muster_model *model,
                        struct gpt_plan *plan)
{
    uint64_t rows = (uint64_t)model->micro_batch * model->context, channels = model->channels;
    uint64_t context = model->context;
    put (layout, rows, channels); /* the last layer's output: the input of the layer behind it */
    plan->norm_f = put (layout, rows, channels);
    plan->statistics_f = put (layout, rows, 2);
    plan->targets = put (layout, rows, 1);
    plan->logits = put (layout, rows < GPT_HEAD_ROWS ? rows : GPT_HEAD_ROWS, model->vocabulary);
    plan->head_d = put (layout, context, context);
    if (!plan->keeps_attention)
        plan->head_p = put (layout, context, context);
    if (model->dropout > 0) {
        plan->head_dropped = put (layout, context, context);
        plan->d_dropped = put (layout, rows, channels);
    }
    plan->d_stream = put (layout, rows, channels);
    plan->d_branch = put (layout, rows, channels);
    plan->d_wide = put (layout, rows, 4 * channels);
    plan->scratch = put (layout, 2, channels);
}

int gpt_plan_make (struct muster_model *model, struct muster_problem *problem)
{
    struct gpt_plan *plan = &model->plan;
    struct layout layout = { 0 };
    plan->keeps_attention = attention_bytes (model) <= GPT_ATTENTION_MAX;
    put_layer (&layout, model, plan);
    put (&layout, layout.floats, model->layers - 1); /* the other layers, one stride each */
    put_shared (&layout, model, plan);
    if (layout.too_large)
        return mu_problem (problem,
                           "trainer gpt: %u layers of %u channels with micro-batches of %u records "
                           "of %u tokens need more than 1 TiB of memory a thread; make one of them "
                           "smaller",
                           model->layers, model->channels, model->micro_batch, model->context);
    plan->floats = (size_t)layout.floats;
    return 0;
}

struct gpt_layer gpt_layer (const struct gpt_pass *pass, uint32_t layer)
{
    const struct gpt_plan *plan = &pass->model->plan;
    const struct gpt_layer_plan *first = &plan->first;
    float *base = pass->space + layer * plan->layer_stride;
    return (struct gpt_layer){
        .input = base + first->input,
        .norm_1 = base + first->norm_1,
        .statistics_1 = base + first->statistics_1,
        .qkv = base + first->qkv,
        .attended = base + first->attended,
        .middle = base + first->middle,
        .norm_2 = base + first->norm_2,
        .statistics_2 = base + first->statistics_2,
        .wide = base + first->wide,
        .active = base + first->active,
        .attention = plan->keeps_attention ? base + first->attention : NULL,
        .output = base + plan->layer_stride + first->input,
    };
}
