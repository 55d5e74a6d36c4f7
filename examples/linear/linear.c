/* SPDX-License-Identifier: Apache-2.0 */
/* linear.c - a trainer plug-in to copy from: softmax regression
 *
 * It needs Muster's one public header and nothing else:
 *
 *     cc -O2 -shared -fPIC -ffp-contract=off linear.c -o linear.so
 *
 * The model: a row of features x gets one score a class, scores = weight x + bias, and the loss is
 * the mean of -log softmax (scores)[label], plus penalty / 2 times the squared weights.
 *
 * Two tensors: weight [classes, features] and bias [classes]. One setting: penalty, 0 to 1.
 *
 * Read <muster/trainer.h> beside it. In short: the host owns weights, gradients, batches, threads
 * and workspaces; we own what open () allocates. gradient () may run on several threads at once, so
 * nothing is static but constants, and the model is not changed after open (). */
#include <muster/trainer.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT, BIAS, TENSORS };

/* trainer.h names this struct and leaves its content to us. */
struct muster_model {
    const struct muster_math *math; /* the host's; valid until close () */
    size_t features, classes;
    size_t micro_batch; /* records in a call, at most */
    float penalty;
    struct muster_tensor tensors[TENSORS];
};

/* All failures are a sentence for a person: what is wrong, where, what to do. Returns -1. */
__attribute__ ((format (printf, 2, 3))) static int fail (struct muster_problem *problem,
                                                         const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (problem->text, sizeof problem->text, format, args);
    va_end (args);
    return -1;
}

/* --- before training -------------------------------------------------------------------------- */

/* Settings come as text, from the job file's `model:`. An unknown one is an error: a slip of the
 * hand must not become a default in silence. */
static int read_settings (struct muster_model *model, const struct muster_open *open,
                          struct muster_problem *problem)
{
    for (uint32_t i = 0; i < open->setting_count; i++) {
        const char *key = open->settings[i].key, *value = open->settings[i].value;
        char *end;
        if (strcmp (key, "penalty"))
            return fail (problem, "trainer linear has no setting '%.40s'; it knows: penalty", key);
        model->penalty = strtof (value, &end);
        if (end == value || *end || !(model->penalty >= 0 && model->penalty <= 1))
            return fail (problem,
                         "trainer linear: setting 'penalty' is '%.40s'; it takes a number from 0 "
                         "to 1",
                         value);
    }
    return 0;
}

/* Look at everything once, so that later calls cannot fail for reasons known now. */
static int linear_open (struct muster_model **result, const struct muster_open *open,
                        struct muster_problem *problem)
{
    const struct muster_records *records = open->records;
    *result = NULL;
    if (records->features == 0)
        return fail (problem, "trainer linear classifies rows of numbers, but this data set's "
                              "records are tokens");
    struct muster_model *model = calloc (1, sizeof *model);
    if (!model)
        return fail (problem, "trainer linear: no memory to describe the model");
    if (read_settings (model, open, problem)) {
        free (model);
        return -1;
    }
    model->math = open->math;
    model->features = records->features;
    model->classes = records->classes;
    model->micro_batch = open->micro_batch;
    model->tensors[WEIGHT] = (struct muster_tensor){
        .name = "weight", /* a checkpoint's readers find it under this name */
        .flags = MUSTER_TENSOR_DECAY,
        .dimensions = 2,
        .dimension = { records->classes, records->features },
    };
    model->tensors[BIAS] = (struct muster_tensor){
        .name = "bias",
        .dimensions = 1,
        .dimension = { records->classes },
    };
    *result = model;
    return 0;
}

static void linear_close (struct muster_model *model) { free (model); }

static const struct muster_tensor *linear_tensors (const struct muster_model *model,
                                                   uint32_t *count)
{
    *count = TENSORS;
    return model->tensors;
}

/* A convex problem can start at zero. Where chance is needed, math->normals gives it as a function
 * of (seed, tensor): never rand (), time or addresses. */
static void linear_init (const struct muster_model *model, uint32_t tensor, uint64_t seed,
                         float *values)
{
    (void)seed;
    size_t count = tensor == WEIGHT ? model->classes * model->features : model->classes;
    memset (values, 0, count * sizeof *values);
}

/* Room for the scores of a whole micro-batch; the host allocates it, once a thread. */
static size_t linear_workspace (const struct muster_model *model)
{
    return model->micro_batch * model->classes * sizeof (float);
}

/* --- one micro-batch -------------------------------------------------------------------------- */

/* The data came from outside: a label that is no class would be an index into nowhere. */
static int check (const struct muster_model *model, const struct muster_batch *batch,
                  struct muster_problem *problem)
{
    if (batch->records == 0 || batch->records > model->micro_batch)
        return fail (problem, "trainer linear was given %u records; it takes 1 to %zu",
                     batch->records, model->micro_batch);
    for (uint32_t i = 0; i < batch->records; i++)
        if (batch->labels[i] < 0 || (size_t)batch->labels[i] >= model->classes)
            return fail (problem, "label %d of record %u is no class, 0..%zu", batch->labels[i], i,
                         model->classes - 1);
    return 0;
}

/* Scores, then in their place the gradient of the loss by them. */
static void forward (const struct muster_model *model, const float *const *weights,
                     const struct muster_batch *batch, float *scores, struct muster_result *result)
{
    const struct muster_math *math = model->math;
    size_t records = batch->records, features = model->features, classes = model->classes;
    double loss;
    uint64_t correct;
    /* scores[records, classes] = x[records, features] * weight^T + bias */
    math->gemm (false, true, records, classes, features, batch->features, features, weights[WEIGHT],
                features, false, scores, classes);
    math->bias_add (scores, weights[BIAS], records, classes);
    math->cross_entropy (scores, batch->labels, records, classes, 1.0f / (float)records, &loss,
                         &correct);
    /* math->dot adds in an order that is fixed; a loop here that a compiler may turn into vector
     * code would not be wrong either, as it may not reorder sums without -ffast-math. */
    float square = math->dot (weights[WEIGHT], weights[WEIGHT], classes * features);
    result->loss = loss / (double)records + 0.5 * (double)model->penalty * (double)square;
    result->targets = records;
    result->correct = correct;
}

static int linear_evaluate (const struct muster_model *model, const float *const *weights,
                            const struct muster_batch *batch, void *workspace,
                            struct muster_result *result, struct muster_problem *problem)
{
    if (check (model, batch, problem))
        return -1;
    forward (model, weights, batch, workspace, result);
    return 0;
}

/* Gradients are overwritten, not added to. What they hold before the call means nothing, and so
 * does what the workspace holds. */
static int linear_gradient (const struct muster_model *model, const float *const *weights,
                            const struct muster_batch *batch, void *workspace,
                            float *const *gradients, const struct muster_progress *progress,
                            struct muster_result *result, struct muster_problem *problem)
{
    const struct muster_math *math = model->math;
    size_t records = batch->records, features = model->features, classes = model->classes;
    float *scores = workspace;
    if (check (model, batch, problem))
        return -1;
    forward (model, weights, batch, scores, result);

    memset (gradients[BIAS], 0, classes * sizeof (float));
    math->bias_gradient (gradients[BIAS], scores, records, classes);
    if (progress) /* optional: lets the host reduce this tensor while we compute the next */
        progress->tensor_done (progress->host, BIAS);

    /* weight's gradient [classes, features] = scores^T * x, and the penalty's: penalty * weight.
     * Arithmetic of our own must not be fused behind our back, hence -ffp-contract=off. */
    math->gemm (true, false, classes, features, records, scores, classes, batch->features, features,
                false, gradients[WEIGHT], features);
    for (size_t i = 0; i < classes * features; i++)
        gradients[WEIGHT][i] += model->penalty * weights[WEIGHT][i];
    if (progress)
        progress->tensor_done (progress->host, WEIGHT);
    return 0;
}

/* The one symbol that Muster looks for. next_token and config_json are left out: a NULL function is
 * one that the trainer does not offer. */
const struct muster_trainer muster_trainer = {
    .size = sizeof (struct muster_trainer),
    .abi = MUSTER_TRAINER_ABI,
    .name = "linear",
    .description = "Softmax regression, the example of docs/trainer.md.",
    .open = linear_open,
    .close = linear_close,
    .tensors = linear_tensors,
    .init = linear_init,
    .workspace = linear_workspace,
    .gradient = linear_gradient,
    .evaluate = linear_evaluate,
};
