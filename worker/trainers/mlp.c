/* SPDX-License-Identifier: Apache-2.0 */
/* mlp.c - the trainer `mlp`: fully connected layers with relu between them, softmax at the end
 *
 * Weights are [out, in], as PyTorch's nn.Linear has them, and named layers.0.weight, layers.0.bias,
 * layers.1.weight … in order: an nn.ModuleList `layers` of nn.Linear loads a checkpoint as it is.
 * They start as He et al. ("Delving deep into rectifiers", 2015) say, biases at zero.
 *
 * A layer's output is kept for the backward pass after relu and dropout: it is zero exactly where
 * no gradient goes back, so nothing else has to be remembered. */
#include "worker/trainers/builtin.h"
#include "worker/trainers/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYERS_MAX (MU_MODEL_LIST_MAX + 1)
#define SPACE_MAX  (UINT64_C (1) << 40) /* bytes of workspace for one thread: 1 TiB */

struct muster_model {
    const struct muster_math *math;
    uint32_t layers;              /* hidden ones and the output layer */
    size_t width[LAYERS_MAX + 1]; /* [0] features, [layers] classes */
    size_t output[LAYERS_MAX];    /* offset of layer i's output in the workspace, in floats */
    size_t gradient[2];           /* two of [records, widest], used in turns */
    size_t floats;
    uint32_t micro_batch;
    float dropout;
    struct muster_tensor tensors[2 * LAYERS_MAX];
    char names[2 * LAYERS_MAX][32];
};

/* --- open and close --------------------------------------------------------------------------- */

static void make_tensors (struct muster_model *model)
{
    for (uint32_t i = 0; i < model->layers; i++) {
        char *weight = model->names[2 * i], *bias = model->names[2 * i + 1];
        snprintf (weight, sizeof model->names[0], "layers.%u.weight", i);
        snprintf (bias, sizeof model->names[0], "layers.%u.bias", i);
        model->tensors[2 * i] = (struct muster_tensor){
            .name = weight,
            .flags = MUSTER_TENSOR_DECAY,
            .dimensions = 2,
            .dimension = { model->width[i + 1], model->width[i] },
        };
        model->tensors[2 * i + 1] = (struct muster_tensor){ .name = bias,
                                                            .dimensions = 1,
                                                            .dimension = { model->width[i + 1] } };
    }
}

/* Put records * width floats behind what is there. Widths are below 2^25 and records below 2^32, so
 * sums of a few dozen stay below 2^63. */
static size_t put (uint64_t *floats, uint64_t records, uint64_t width)
{
    uint64_t at = *floats;
    *floats += (records * width + 15) / 16 * 16;
    return (size_t)at;
}

static int make_plan (struct muster_model *model, struct muster_problem *problem)
{
    uint64_t floats = 0, widest = 0;
    for (uint32_t i = 0; i < model->layers; i++) {
        model->output[i] = put (&floats, model->micro_batch, model->width[i + 1]);
        widest = model->width[i + 1] > widest ? model->width[i + 1] : widest;
    }
    model->gradient[0] = put (&floats, model->micro_batch, widest);
    model->gradient[1] = put (&floats, model->micro_batch, widest);
    if (floats > SPACE_MAX / sizeof (float))
        return mu_problem (problem,
                           "trainer mlp: layers up to %llu wide with micro-batches of %u records "
                           "need more than 1 TiB of memory a thread; make one of them smaller",
                           (unsigned long long)widest, model->micro_batch);
    model->floats = (size_t)floats;
    return 0;
}

static int check_records (const struct muster_records *records, struct muster_problem *problem)
{
    if (records->tokens)
        return mu_problem (problem, "trainer mlp classifies rows of numbers, but this data set's "
                                    "records are tokens; use trainer gpt, or another data set");
    if (records->features == 0 || records->features > 1u << 24)
        return mu_problem (problem,
                           "trainer mlp takes 1 to 16777216 features, but this data set "
                           "has %u",
                           records->features);
    if (records->classes < 2 || records->classes > 1u << 24)
        return mu_problem (problem,
                           "trainer mlp needs labels of 2 to 16777216 classes, but this "
                           "data set has %u",
                           records->classes);
    return 0;
}

static int configure (struct muster_model *model, const struct muster_open *open,
                      struct muster_problem *problem)
{
    static const char *const activations[] = { "relu", NULL };
    struct mu_model_list hidden = { 2, { 256, 128 } };
    uint32_t activation = 0;
    const struct mu_model_rule rules[] = {
        { .key = "hidden", .kind = MU_MODEL_LIST, .minimum = 1, .maximum = 65536, .into = &hidden },
        { .key = "activation",
          .kind = MU_MODEL_CHOICE,
          .into = &activation,
          .choices = activations },
        { .key = "dropout", .kind = MU_MODEL_DECIMAL, .maximum = 0.9, .into = &model->dropout },
    };
    if (mu_model_settings_read ("mlp", open, rules, sizeof rules / sizeof rules[0], problem) ||
        check_records (open->records, problem))
        return -1;
    if (open->micro_batch == 0)
        return mu_problem (problem, "trainer mlp: a micro-batch must have a record or more");
    model->layers = hidden.count + 1;
    model->width[0] = open->records->features;
    for (uint32_t i = 0; i < hidden.count; i++)
        model->width[i + 1] = hidden.value[i];
    model->width[model->layers] = open->records->classes;
    return make_plan (model, problem);
}

static int open_model (struct muster_model **result, const struct muster_open *open,
                       struct muster_problem *problem)
{
    *result = NULL;
    struct muster_model *model = calloc (1, sizeof *model);
    if (!model)
        return mu_problem (problem, "trainer mlp: no memory to describe the model");
    model->math = open->math;
    model->micro_batch = open->micro_batch;
    if (configure (model, open, problem)) {
        free (model);
        return -1;
    }
    make_tensors (model);
    *result = model;
    return 0;
}

static void close_model (struct muster_model *model) { free (model); }

static const struct muster_tensor *tensors (const struct muster_model *model, uint32_t *count)
{
    *count = 2 * model->layers;
    return model->tensors;
}

static size_t workspace (const struct muster_model *model)
{
    return model->floats * sizeof (float);
}

static void init (const struct muster_model *model, uint32_t tensor, uint64_t seed, float *values)
{
    size_t in = model->width[tensor / 2], out = model->width[tensor / 2 + 1];
    if (tensor % 2)
        memset (values, 0, out * sizeof *values);
    else
        model->math->normals (values, in * out, seed, tensor, __builtin_sqrtf (2.0f / (float)in));
}

/* --- one micro-batch -------------------------------------------------------------------------- */

struct pass {
    const struct muster_model *model;
    const struct muster_math *math;
    const float *const *weights;
    const struct muster_batch *batch;
    float *space;
    size_t records;
    float dropout;
};

static float *output_of (const struct pass *pass, uint32_t layer)
{
    return pass->space + pass->model->output[layer];
}

static const float *input_of (const struct pass *pass, uint32_t layer)
{
    return layer ? output_of (pass, layer - 1) : pass->batch->features;
}

static void drop (const struct pass *pass, uint32_t layer, float *values)
{
    const struct muster_batch *batch = pass->batch;
    if (pass->dropout > 0)
        pass->math->dropout (values, pass->records * pass->model->width[layer + 1], pass->dropout,
                             pass->math->key (batch->seed, batch->step, batch->micro_batch, layer));
}

static void forward (const struct pass *pass)
{
    const struct muster_model *model = pass->model;
    const struct muster_math *math = pass->math;
    for (uint32_t i = 0; i < model->layers; i++) {
        size_t in = model->width[i], out = model->width[i + 1];
        float *y = output_of (pass, i);
        math->gemm (false, true, pass->records, out, in, input_of (pass, i), in,
                    pass->weights[2 * i], in, false, y, out);
        math->bias_add (y, pass->weights[2 * i + 1], pass->records, out);
        if (i + 1 == model->layers)
            break;
        math->relu (y, pass->records * out);
        drop (pass, i, y);
    }
}

static void done (const struct muster_progress *progress, uint32_t tensor)
{
    if (progress && progress->tensor_done)
        progress->tensor_done (progress->host, tensor);
}

static void backward (const struct pass *pass, float *const *gradients,
                      const struct muster_progress *progress)
{
    const struct muster_model *model = pass->model;
    const struct muster_math *math = pass->math;
    const float *dy = output_of (pass, model->layers - 1);
    for (uint32_t i = model->layers; i-- > 0;) {
        size_t in = model->width[i], out = model->width[i + 1];
        float *d_weight = gradients[2 * i], *d_bias = gradients[2 * i + 1];
        memset (d_bias, 0, out * sizeof *d_bias);
        math->bias_gradient (d_bias, dy, pass->records, out);
        done (progress, 2 * i + 1);
        math->gemm (true, false, out, in, pass->records, dy, out, input_of (pass, i), in, false,
                    d_weight, in);
        done (progress, 2 * i);
        if (i == 0)
            break;
        float *dx = pass->space + model->gradient[i % 2];
        math->gemm (false, false, pass->records, in, out, dy, out, pass->weights[2 * i], in, false,
                    dx, in);
        drop (pass, i - 1, dx);
        math->relu_backward (dx, output_of (pass, i - 1), pass->records * in);
        dy = dx;
    }
}

static int check_batch (const struct muster_model *model, const struct muster_batch *batch,
                        struct muster_problem *problem)
{
    size_t classes = model->width[model->layers];
    if (!batch->features || !batch->labels || batch->records == 0 ||
        batch->records > model->micro_batch)
        return mu_problem (
            problem, "trainer mlp was given a micro-batch of %u records%s; it takes 1 to %u",
            batch->records, batch->features && batch->labels ? "" : " without features and labels",
            model->micro_batch);
    for (uint32_t i = 0; i < batch->records; i++)
        if (batch->labels[i] < 0 || (size_t)batch->labels[i] >= classes)
            return mu_problem (problem,
                               "label %d of record %u is no class, 0..%zu; the data set is not the "
                               "one that the job was opened with",
                               batch->labels[i], i, classes - 1);
    return 0;
}

static int gradient (const struct muster_model *model, const float *const *weights,
                     const struct muster_batch *batch, void *space, float *const *gradients,
                     const struct muster_progress *progress, struct muster_result *result,
                     struct muster_problem *problem)
{
    if (check_batch (model, batch, problem))
        return -1;
    const struct pass pass = { .model = model,
                               .math = model->math,
                               .weights = weights,
                               .batch = batch,
                               .space = space,
                               .records = batch->records,
                               .dropout = batch->training ? model->dropout : 0 };
    double loss = 0;
    uint64_t correct = 0;
    forward (&pass);
    model->math->cross_entropy (output_of (&pass, model->layers - 1), batch->labels, pass.records,
                                model->width[model->layers], 1.0f / (float)pass.records, &loss,
                                &correct);
    *result = (struct muster_result){ .loss = loss / (double)pass.records,
                                      .targets = pass.records,
                                      .correct = correct };
    if (gradients)
        backward (&pass, gradients, progress);
    return 0;
}

static int evaluate (const struct muster_model *model, const float *const *weights,
                     const struct muster_batch *batch, void *space, struct muster_result *result,
                     struct muster_problem *problem)
{
    return gradient (model, weights, batch, space, NULL, NULL, result, problem);
}

/* --- config.json ------------------------------------------------------------------------------ */

static size_t config_json (const struct muster_model *model, char *text, size_t size)
{
    char hidden[MU_MODEL_LIST_MAX * 12] = "";
    size_t used = 0;
    for (uint32_t i = 1; i < model->layers; i++)
        used += (size_t)snprintf (hidden + used, sizeof hidden - used, "%s%zu", i > 1 ? ", " : "",
                                  model->width[i]);
    int length =
        snprintf (text, size,
                  "{\n"
                  "  \"activation\": \"relu\",\n"
                  "  \"classes\": %zu,\n"
                  "  \"dropout\": %.7g,\n"
                  "  \"features\": %zu,\n"
                  "  \"hidden\": [%s],\n"
                  "  \"model_type\": \"mlp\"\n"
                  "}\n",
                  model->width[model->layers], (double)model->dropout, model->width[0], hidden);
    return length > 0 ? (size_t)length : 0;
}

const struct muster_trainer mu_trainer_mlp = {
    .size = sizeof (struct muster_trainer),
    .abi = MUSTER_TRAINER_ABI,
    .name = "mlp",
    .description = "A classifier of fully connected layers, for rows of numbers such as images.",
    .open = open_model,
    .close = close_model,
    .tensors = tensors,
    .init = init,
    .workspace = workspace,
    .gradient = gradient,
    .evaluate = evaluate,
    .config_json = config_json,
};
