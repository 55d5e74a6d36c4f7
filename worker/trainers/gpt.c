/* SPDX-License-Identifier: Apache-2.0 */
/* gpt.c - the trainer `gpt`: settings, tensors, and the calls of the plug-in interface
 *
 * The model is GPT-2's (Radford et al., "Language models are unsupervised multitask learners",
 * 2019) in shape, initialisation and names. Names are those of OpenAI's own checkpoint on the
 * Hugging Face hub, "wte.weight" and not "transformer.wte.weight": transformers loads them into
 * GPT2LMHeadModel and GPT2Model alike, and most other readers of GPT-2 know only these.
 *
 * All arithmetic is in gpt_forward.c, gpt_attention.c and gpt_backward.c, through muster_math. */
#include "worker/trainers/gpt_model.h"

#include "worker/trainers/builtin.h"
#include "worker/trainers/settings.h"

#include <stdio.h>
#include <stdlib.h>

#define INITIAL_DEVIATION 0.02f
#define GPT2_VOCABULARY   50257u
#define GPT2_END_OF_TEXT  50256u

/* --- tensors ---------------------------------------------------------------------------------- */

enum start { START_ZERO, START_ONE, START_NORMAL, START_RESIDUAL };

/* A layer's tensors: sizes in channels; columns 0 means a vector. */
static const struct {
    const char *name;
    uint8_t rows, columns;
    enum start start;
} layer_tensor[GPT_LAYER_TENSORS] = {
    [GPT_NORM_1] = { "ln_1.weight", 1, 0, START_ONE },
    [GPT_NORM_1_BIAS] = { "ln_1.bias", 1, 0, START_ZERO },
    [GPT_ATTENTION] = { "attn.c_attn.weight", 1, 3, START_NORMAL },
    [GPT_ATTENTION_BIAS] = { "attn.c_attn.bias", 3, 0, START_ZERO },
    [GPT_ATTENTION_OUT] = { "attn.c_proj.weight", 1, 1, START_RESIDUAL },
    [GPT_ATTENTION_OUT_BIAS] = { "attn.c_proj.bias", 1, 0, START_ZERO },
    [GPT_NORM_2] = { "ln_2.weight", 1, 0, START_ONE },
    [GPT_NORM_2_BIAS] = { "ln_2.bias", 1, 0, START_ZERO },
    [GPT_WIDEN] = { "mlp.c_fc.weight", 1, 4, START_NORMAL },
    [GPT_WIDEN_BIAS] = { "mlp.c_fc.bias", 4, 0, START_ZERO },
    [GPT_NARROW] = { "mlp.c_proj.weight", 4, 1, START_RESIDUAL },
    [GPT_NARROW_BIAS] = { "mlp.c_proj.bias", 1, 0, START_ZERO },
};

static void set_tensor (struct muster_model *model, uint32_t number, uint64_t rows,
                        uint64_t columns)
{
    model->tensors[number] = (struct muster_tensor){
        .name = model->names[number],
        .flags = columns ? MUSTER_TENSOR_DECAY : 0,
        .dimensions = columns ? 2 : 1,
        .dimension = { rows, columns },
    };
}

static int make_tensors (struct muster_model *model)
{
    const uint32_t last = gpt_last_norm (model->layers);
    model->tensor_count = last + 2;
    model->tensors = calloc (model->tensor_count, sizeof *model->tensors);
    model->names = calloc (model->tensor_count, sizeof *model->names);
    if (!model->tensors || !model->names)
        return -1;
    for (uint32_t layer = 0; layer < model->layers; layer++)
        for (uint32_t i = 0; i < GPT_LAYER_TENSORS; i++) {
            uint32_t number = gpt_tensor (layer, (enum gpt_layer_tensor)i);
            snprintf (model->names[number], sizeof *model->names, "h.%u.%s", layer,
                      layer_tensor[i].name);
            set_tensor (model, number, (uint64_t)layer_tensor[i].rows * model->channels,
                        (uint64_t)layer_tensor[i].columns * model->channels);
        }
    snprintf (model->names[GPT_WTE], sizeof *model->names, "wte.weight");
    snprintf (model->names[GPT_WPE], sizeof *model->names, "wpe.weight");
    snprintf (model->names[last], sizeof *model->names, "ln_f.weight");
    snprintf (model->names[last + 1], sizeof *model->names, "ln_f.bias");
    set_tensor (model, GPT_WTE, model->vocabulary, model->channels);
    set_tensor (model, GPT_WPE, model->context, model->channels);
    set_tensor (model, last, model->channels, 0);
    set_tensor (model, last + 1, model->channels, 0);
    return 0;
}

static const struct muster_tensor *tensors (const struct muster_model *model, uint32_t *count)
{
    *count = model->tensor_count;
    return model->tensors;
}

static enum start start_of (const struct muster_model *model, uint32_t tensor)
{
    if (tensor < GPT_FIRST_LAYER)
        return START_NORMAL;
    if (tensor >= gpt_last_norm (model->layers))
        return tensor == gpt_last_norm (model->layers) ? START_ONE : START_ZERO;
    return layer_tensor[(tensor - GPT_FIRST_LAYER) % GPT_LAYER_TENSORS].start;
}

/* Projections back into the residual stream start smaller, so that the stream's variance does not
 * grow with the number of layers. */
static void init (const struct muster_model *model, uint32_t tensor, uint64_t seed, float *values)
{
    const struct muster_tensor *shape = &model->tensors[tensor];
    size_t count =
        (size_t)(shape->dimension[0] * (shape->dimensions > 1 ? shape->dimension[1] : 1));
    enum start start = start_of (model, tensor);
    float deviation = INITIAL_DEVIATION;
    if (start == START_RESIDUAL)
        deviation /= __builtin_sqrtf (2.0f * (float)model->layers);
    if (start == START_NORMAL || start == START_RESIDUAL)
        model->math->normals (values, count, seed, tensor, deviation);
    else
        for (size_t i = 0; i < count; i++)
            values[i] = start == START_ONE ? 1.0f : 0.0f;
}

/* --- open and close --------------------------------------------------------------------------- */

static int check_records (const struct muster_records *records, struct muster_problem *problem)
{
    if (records->tokens == 0)
        return mu_problem (problem,
                           "trainer gpt learns from tokens, but this data set's records are %u "
                           "numbers with a label; use trainer mlp, or name a text in data.path",
                           records->features);
    if (records->tokens < 2)
        return mu_problem (problem, "trainer gpt needs records of 2 tokens or more (the last is "
                                    "what the others predict), but this data set's have 1; raise "
                                    "data.context");
    if (records->vocabulary == 0 || records->vocabulary > INT32_MAX)
        return mu_problem (problem,
                           "trainer gpt needs a data set with 1 to %d different tokens, "
                           "but this one says %u",
                           INT32_MAX, records->vocabulary);
    return 0;
}

/* Settings against the data and each other. Zeros are filled in. */
static int settle (struct muster_model *model, const struct muster_records *records,
                   struct muster_problem *problem)
{
    uint32_t context = records->tokens - 1;
    if (model->context && model->context != context)
        return mu_problem (problem,
                           "trainer gpt: setting 'context' is %u, but the data set's records have "
                           "%u tokens and one to predict; leave it out, or set data.context to %u",
                           model->context, context, model->context);
    model->context = context;
    model->data_vocabulary = records->vocabulary;
    if (model->vocabulary && model->vocabulary < records->vocabulary)
        return mu_problem (problem,
                           "trainer gpt: setting 'vocabulary' is %u, but the data set has tokens "
                           "from 0 to %u; it must be at least %u, or left out",
                           model->vocabulary, records->vocabulary - 1, records->vocabulary);
    if (!model->vocabulary)
        model->vocabulary = records->vocabulary;
    if (model->channels % model->heads)
        return mu_problem (problem,
                           "trainer gpt: setting 'channels' is %u and 'heads' is %u; the heads "
                           "share the channels evenly, so channels must be a multiple of heads",
                           model->channels, model->heads);
    return 0;
}

static int configure (struct muster_model *model, const struct muster_open *open,
                      struct muster_problem *problem)
{
    const struct mu_model_rule rules[] = {
        { .key = "layers", .minimum = 1, .maximum = 256, .into = &model->layers },
        { .key = "heads", .minimum = 1, .maximum = 1024, .into = &model->heads },
        { .key = "channels", .minimum = 1, .maximum = 65536, .into = &model->channels },
        { .key = "context", .minimum = 1, .maximum = 1 << 20, .into = &model->context },
        { .key = "vocabulary", .minimum = 0, .maximum = 1 << 24, .into = &model->vocabulary },
        { .key = "dropout", .kind = MU_MODEL_DECIMAL, .maximum = 0.9, .into = &model->dropout },
    };
    if (mu_model_settings_read ("gpt", open, rules, sizeof rules / sizeof rules[0], problem) ||
        check_records (open->records, problem) || settle (model, open->records, problem))
        return -1;
    if (open->micro_batch == 0)
        return mu_problem (problem, "trainer gpt: a micro-batch must have a record or more");
    return gpt_plan_make (model, problem);
}

static void close_model (struct muster_model *model)
{
    if (!model)
        return;
    free (model->tensors);
    free (model->names);
    free (model);
}

static int open_model (struct muster_model **result, const struct muster_open *open,
                       struct muster_problem *problem)
{
    *result = NULL;
    struct muster_model *model = calloc (1, sizeof *model);
    if (!model)
        return mu_problem (problem, "trainer gpt: no memory to describe the model");
    model->math = open->math;
    model->micro_batch = open->micro_batch;
    model->layers = 4;
    model->heads = 4;
    model->channels = 256;
    if (configure (model, open, problem)) {
        close_model (model);
        return -1;
    }
    if (make_tensors (model)) {
        close_model (model);
        return mu_problem (problem, "trainer gpt: no memory to describe the model");
    }
    *result = model;
    return 0;
}

static size_t workspace (const struct muster_model *model)
{
    return model->plan.floats * sizeof (float);
}

/* --- one micro-batch -------------------------------------------------------------------------- */

static int check_tokens (const struct muster_model *model, const int32_t *tokens, size_t count,
                         size_t record_tokens, struct muster_problem *problem)
{
    for (size_t i = 0; i < count; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= model->data_vocabulary)
            return mu_problem (problem,
                               "token %d at place %zu of record %zu is outside the vocabulary, "
                               "0..%u; the data set is not the one that the job was opened with",
                               tokens[i], i % record_tokens, i / record_tokens,
                               model->data_vocabulary - 1);
    return 0;
}

static struct gpt_pass make_pass (const struct muster_model *model, const float *const *weights,
                                  void *space, const int32_t *tokens, size_t records, size_t length)
{
    return (struct gpt_pass){
        .model = model,
        .math = model->math,
        .weights = weights,
        .space = space,
        .tokens = tokens,
        .token_stride = length + 1,
        .records = records,
        .length = length,
        .rows = records * length,
        .channels = model->channels,
    };
}

/* What gradient and evaluate have in common: from the batch to a result, and back if asked. */
static int run (const struct muster_model *model, const float *const *weights,
                const struct muster_batch *batch, void *space, float *const *gradients,
                const struct muster_progress *progress, struct muster_result *result,
                struct muster_problem *problem)
{
    size_t record_tokens = (size_t)model->context + 1;
    if (!batch->tokens || batch->records == 0 || batch->records > model->micro_batch)
        return mu_problem (
            problem, "trainer gpt was given a micro-batch of %u records%s; it takes 1 to %u",
            batch->records, batch->tokens ? "" : " without tokens", model->micro_batch);
    if (check_tokens (model, batch->tokens, batch->records * record_tokens, record_tokens, problem))
        return -1;
    struct gpt_pass pass =
        make_pass (model, weights, space, batch->tokens, batch->records, model->context);
    pass.gradients = gradients;
    pass.progress = progress;
    pass.dropout = batch->training ? model->dropout : 0;
    pass.seed = batch->seed;
    pass.step = batch->step;
    pass.micro = batch->micro_batch;
    gpt_forward (&pass);
    gpt_head (&pass, result);
    if (gradients)
        gpt_backward (&pass);
    return 0;
}

static int gradient (const struct muster_model *model, const float *const *weights,
                     const struct muster_batch *batch, void *space, float *const *gradients,
                     const struct muster_progress *progress, struct muster_result *result,
                     struct muster_problem *problem)
{
    return run (model, weights, batch, space, gradients, progress, result, problem);
}

static int evaluate (const struct muster_model *model, const float *const *weights,
                     const struct muster_batch *batch, void *space, struct muster_result *result,
                     struct muster_problem *problem)
{
    return run (model, weights, batch, space, NULL, NULL, result, problem);
}

static int next_token (const struct muster_model *model, const float *const *weights,
                       const int32_t *tokens, uint32_t count, void *space, float *logits,
                       struct muster_problem *problem)
{
    if (count == 0)
        return mu_problem (problem, "trainer gpt needs at least one token to go on from");
    uint32_t length = count < model->context ? count : model->context;
    tokens += count - length;
    if (check_tokens (model, tokens, length, length, problem))
        return -1;
    struct gpt_pass pass = make_pass (model, weights, space, tokens, 1, length);
    size_t channels = model->channels;
    gpt_forward (&pass);
    const float *last = pass.space + model->plan.norm_f + (length - 1) * channels;
    model->math->gemm (false, true, 1, model->data_vocabulary, channels, last, channels,
                       weights[GPT_WTE], channels, false, logits, model->data_vocabulary);
    return 0;
}

/* --- config.json ------------------------------------------------------------------------------ */

/* bos and eos: GPT-2's own vocabulary has one token for both; of another nothing is known, and null
 * keeps readers from taking GPT-2's number for it. */
static size_t config_json (const struct muster_model *model, char *text, size_t size)
{
    char end[16] = "null";
    if (model->data_vocabulary == GPT2_VOCABULARY)
        snprintf (end, sizeof end, "%u", GPT2_END_OF_TEXT);
    double rate = (double)model->dropout;
    int length = snprintf (text, size,
                           "{\n"
                           "  \"activation_function\": \"gelu_new\",\n"
                           "  \"architectures\": [\"GPT2LMHeadModel\"],\n"
                           "  \"attn_pdrop\": %.7g,\n"
                           "  \"bos_token_id\": %s,\n"
                           "  \"embd_pdrop\": %.7g,\n"
                           "  \"eos_token_id\": %s,\n"
                           "  \"initializer_range\": 0.02,\n"
                           "  \"layer_norm_epsilon\": 1e-05,\n"
                           "  \"model_type\": \"gpt2\",\n"
                           "  \"n_ctx\": %u,\n"
                           "  \"n_embd\": %u,\n"
                           "  \"n_head\": %u,\n"
                           "  \"n_inner\": null,\n"
                           "  \"n_layer\": %u,\n"
                           "  \"n_positions\": %u,\n"
                           "  \"resid_pdrop\": %.7g,\n"
                           "  \"scale_attn_by_inverse_layer_idx\": false,\n"
                           "  \"scale_attn_weights\": true,\n"
                           "  \"tie_word_embeddings\": true,\n"
                           "  \"torch_dtype\": \"float32\",\n"
                           "  \"use_cache\": true,\n"
                           "  \"vocab_size\": %u\n"
                           "}\n",
                           rate, end, rate, end, model->context, model->channels, model->heads,
                           model->layers, model->context, rate, model->vocabulary);
    return length > 0 ? (size_t)length : 0;
}

const struct muster_trainer mu_trainer_gpt = {
    .size = sizeof (struct muster_trainer),
    .abi = MUSTER_TRAINER_ABI,
    .name = "gpt",
    .description = "A decoder-only language model of GPT-2's shape, for text and other tokens.",
    .open = open_model,
    .close = close_model,
    .tensors = tensors,
    .init = init,
    .workspace = workspace,
    .gradient = gradient,
    .evaluate = evaluate,
    .next_token = next_token,
    .config_json = config_json,
};
