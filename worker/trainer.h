/* SPDX-License-Identifier: Apache-2.0 */
/* trainer.h - the trainer plug-in interface, the one header a plug-in needs
 *
 * A trainer is a pure function
 *
 *     (weights, micro-batch) -> (loss, gradient)
 *
 * Muster's host process owns the weights, the gradients, the optimizer state, the data and the
 * threads; the trainer owns its model description and nothing that lasts longer than a call except
 * what open () made and what it keeps in the workspace it was given.
 *
 * What a trainer must promise:
 *  - gradient () depends on its arguments alone: not on time, on addresses, on the thread or worker
 *    that runs it, nor on what ran before. Muster promises the same weights, bit for bit, whatever
 *    dies; it can promise that only for a trainer that keeps this rule. Randomness such as dropout
 *    is keyed by (batch->seed, batch->step, batch->micro_batch).
 *  - gradient () and evaluate () may be called from several threads at once with one model, each
 *    with a workspace of its own. They start no threads.
 *  - No function exits the process, installs signal handlers or writes to standard output.
 *  - For `bits: portable` all arithmetic that reaches a gradient goes through the given `math`, or
 *    is order-fixed by the trainer itself: compile with -ffp-contract=off, write fused operations
 *    as fmaf (), call nothing from libm but fmaf, sqrtf, rintf and fabsf.
 *
 * A plug-in is a shared object that exports one symbol, declared at the end of this header:
 *
 *     const struct muster_trainer muster_trainer = {
 *         .size = sizeof (struct muster_trainer), .abi = MUSTER_TRAINER_ABI, .name = "...", ...
 *     };
 *
 * and is built with nothing but this header: cc -shared -fPIC -ffp-contract=off mine.c -o mine.so
 * (docs/trainer.md tells the whole story; examples/linear is one to copy.)
 *
 * Versions: `abi` changes when an old plug-in can no longer work, and the host then refuses it with
 * a sentence that names both numbers. Within one abi each struct only grows at its end; `size`
 * tells how much of it the other side knows. A function that is NULL is one the trainer does not
 * offer.
 *
 * Every pointer the host passes is valid until the call returns, unless said otherwise. Tensors are
 * row-major float32 and 64-byte aligned; dimensions are counted in elements, sizes in bytes.
 */
#ifndef MUSTER_TRAINER_H
#define MUSTER_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MUSTER_TRAINER_ABI           1u
#define MUSTER_TENSOR_DIMENSIONS_MAX 4u
#define MUSTER_PROBLEM_MAX           480u

/* Why a call failed, as one sentence for a person: what is wrong, where, what to do. */
struct muster_problem {
    char text[MUSTER_PROBLEM_MAX];
};

/* --- order-fixed arithmetic ---------------------------------------------------------------------
 *
 * Every function gives the same bits on every CPU type: each output element is one fixed chain of
 * IEEE float32 operations, whatever the vector width. All matrices are row-major; `ld*` is the
 * distance between rows in elements. Pointers need 4-byte alignment only. Inputs and outputs do not
 * overlap unless said.
 *
 * The order: `sum`, `dot` and all that is built on them add element i into lane i mod 16, lanes are
 * then added as (0+8, 1+9, ...), (0+4, ...), (0+2), (0+1). A matrix product adds its k terms in
 * ascending order as c = fma (a, b, c), starting from 0, or from c where `accumulate` is set.
 */
struct muster_math {
    uint32_t size;
    /* "avx512", "avx2", "neon", "plain"; or "openblas-…" where bits are the host's */
    const char *name;

    /* C[m,n] = op(A)[m,k] * op(B)[k,n] (+ C if accumulate). op transposes when its flag is set, so
     * A is stored [m,k] or, transposed, [k,m]; B [k,n] or, transposed, [n,k]. */
    void (*gemm) (bool a_transposed, bool b_transposed, size_t m, size_t n, size_t k,
                  const float *a, size_t lda, const float *b, size_t ldb, bool accumulate, float *c,
                  size_t ldc);

    float (*sum) (const float *x, size_t n);
    float (*dot) (const float *x, const float *y, size_t n);
    float (*max_abs) (const float *x, size_t n); /* NaN if any element is NaN */

    void (*add) (float *y, const float *x, size_t n);      /* y += x */
    void (*multiply) (float *y, const float *x, size_t n); /* y *= x */
    void (*scale) (float *y, float factor, size_t n);      /* y *= factor */
    void (*exp) (float *y, const float *x, size_t n);      /* relative error below 3e-7 */
    void (*tanh) (float *y, const float *x, size_t n);
    void (*bias_add) (float *y, const float *bias, size_t rows, size_t n); /* y[r,:] += bias */
    /* bias += sum_r dy[r,:], rows ascending */
    void (*bias_gradient) (float *bias, const float *dy, size_t rows, size_t n);

    void (*relu) (float *y, size_t n);                           /* y = max (y, 0), NaN kept */
    void (*relu_backward) (float *dx, const float *y, size_t n); /* dx = y > 0 ? dx : 0 */

    /* GELU, tanh form: y = gelu (x). Backward: dx *= gelu' (x). In place allowed for dx alone.
     * gelu_keep does the work that both share once: y = gelu (x), x = gelu' (x), so that `multiply`
     * is the backward pass, to the same bits. */
    void (*gelu) (float *y, const float *x, size_t n);
    void (*gelu_backward) (float *dx, const float *x, size_t n);
    void (*gelu_keep) (float *y, float *x, size_t n);

    /* y[r,:] = (x[r,:] - mean) * rstd * gain + bias; statistics[2*r] = mean, [2*r+1] = rstd. */
    void (*layernorm) (float *y, float *statistics, const float *x, const float *gain,
                       const float *bias, size_t rows, size_t n, float epsilon);
    /* dx += gradient through the norm; dgain, dbias += theirs, rows ascending. scratch:
     * 2*n floats. */
    void (*layernorm_backward) (float *dx, float *dgain, float *dbias, const float *dy,
                                const float *x, const float *statistics, const float *gain,
                                float *scratch, size_t rows, size_t n);

    /* Causal attention weights in place: row i of p[t,t] becomes softmax (p[i,0..i] * factor), the
     * rest of the row 0. What was there right of the diagonal is not read; so too below. */
    void (*softmax_causal) (float *p, size_t t, float factor);
    /* dp[i,0..i] becomes the gradient before softmax and factor, given p and the gradient of p; the
     * rest of the row 0. */
    void (*softmax_causal_backward) (float *dp, const float *p, size_t t, float factor);

    /* Rows of logits[rows,n] become (softmax - onehot (target)) * weight; *loss gets the sum over
     * rows of -log softmax[target], as a double whose bits are fixed too; *correct counts rows
     * whose largest logit (lowest index wins) is the target. A target outside 0..n-1 is a row to
     * skip: it becomes zero, counts nowhere. */
    void (*cross_entropy) (float *logits, const int32_t *target, size_t rows, size_t n,
                           float weight, double *loss, uint64_t *correct);

    /* Dropout in place: y[i] becomes y[i] / (1 - rate), as a product with the rounded reciprocal,
     * or 0 with chance `rate` (0 <= rate < 1). Which, is a function of (key, i) alone: calling it
     * again with the same key on the gradient is its backward pass. Derive a key for each place in
     * the model from (batch->seed, batch->step, batch->micro_batch, place) with `key`. */
    void (*dropout) (float *y, size_t n, float rate, uint64_t key);
    uint64_t (*key) (uint64_t seed, uint64_t step, uint64_t micro_batch, uint64_t place);

    /* y[i] = sd * a normally distributed number (mean 0, variance 1, within 6), a function of
     * (seed, stream, i) alone: initial weights, with the tensor's number as the stream. */
    void (*normals) (float *y, size_t n, uint64_t seed, uint64_t stream, float sd);
};

/* --- what goes in and out --------------------------------------------------------------------- */

/* One setting of the job file's `model:` mapping, as text. */
struct muster_setting {
    const char *key;
    const char *value;
};

/* What the data set's records look like, found by the host. A record is either `tokens` int32
 * tokens (targets are the same tokens one place on) or `features` floats with one class label. */
struct muster_records {
    uint32_t size;
    uint32_t tokens;     /* tokens in one record, context + 1; 0 for feature records */
    uint32_t vocabulary; /* tokens are 0..vocabulary-1 */
    uint32_t features;   /* floats in one record; 0 for token records */
    uint32_t classes;    /* labels are 0..classes-1 */
};

/* What open () is given. `settings`, `records` and `math` stay valid until close (). */
struct muster_open {
    uint32_t size;
    uint32_t setting_count;
    const struct muster_setting *settings;
    const struct muster_records *records;
    const struct muster_math *math;
    uint32_t micro_batch; /* records in a micro-batch, at most */
};

enum {
    /* weight decay applies (matrices and embeddings, not biases or norms) */
    MUSTER_TENSOR_DECAY = 1u << 0,
};

/* One tensor of weights. Names follow the model's best-known checkpoint format where there is one
 * (Hugging Face GPT-2 for `gpt`), so that checkpoints load elsewhere as they are. */
struct muster_tensor {
    const char *name; /* the trainer's, valid until close (); 1 to 127 bytes, unique */
    uint32_t flags;
    uint32_t dimensions; /* 1 to MUSTER_TENSOR_DIMENSIONS_MAX */
    uint64_t dimension[MUSTER_TENSOR_DIMENSIONS_MAX];
};

/* One micro-batch. Exactly one of tokens and features is set, as muster_records says. */
struct muster_batch {
    uint32_t size;
    uint32_t records;      /* records here: open.micro_batch, or fewer in an evaluation */
    uint64_t seed;         /* the job's */
    uint64_t step;         /* counts from 0 */
    uint32_t micro_batch;  /* m, within the step */
    uint32_t training;     /* 0 in evaluations: no dropout */
    const int32_t *tokens; /* [records, muster_records.tokens] */
    const float *features; /* [records, muster_records.features] */
    const int32_t *labels; /* [records] */
};

struct muster_result {
    double loss;      /* mean over the micro-batch's targets */
    uint64_t targets; /* how many targets there were */
    uint64_t correct; /* how many were the model's first choice; 0 where that has no meaning */
};

/* How a trainer tells that a tensor's gradient is complete while it still works on others, so that
 * its reduction can begin. Calling it is optional; a tensor not told is complete when gradient ()
 * returns. After the call the trainer no longer touches that gradient. It is called on the thread
 * that runs gradient (), at most once a tensor. */
struct muster_progress {
    void (*tensor_done) (void *host, uint32_t tensor);
    void *host;
};

/* The trainer's own: what open () learnt. Not changed by any other call. */
struct muster_model;

struct muster_trainer {
    uint32_t size;
    uint32_t abi;
    const char *name;        /* as the job file's `trainer:` names it */
    const char *description; /* one sentence */

    /* Return 0 and *model, or -1 with problem->text: a setting unknown, out of range, or one that
     * does not fit the records. */
    int (*open) (struct muster_model **model, const struct muster_open *open,
                 struct muster_problem *problem);
    void (*close) (struct muster_model *model);

    /* The model's tensors, in the order their numbers count from 0. Valid until close (). */
    const struct muster_tensor *(*tensors) (const struct muster_model *model, uint32_t *count);

    /* Fill one tensor with its initial weights: a function of (model, tensor, seed) alone. */
    void (*init) (const struct muster_model *model, uint32_t tensor, uint64_t seed, float *values);

    /* Bytes of workspace that one call needs. The host allocates one a thread, 64-byte aligned,
     * zeroed once, and passes it to every call on that thread. What a call leaves in it must not
     * change what a later call answers. */
    size_t (*workspace) (const struct muster_model *model);

    /* Loss and gradient of one micro-batch. weights[i] and gradients[i] are tensor i; gradients are
     * overwritten with the gradient of result->loss. Return 0, or -1 with problem->text when the
     * batch itself is wrong (a token outside the vocabulary, say). A loss or gradient that is not
     * finite is no failure here: the host sees it and treats it alike on all workers. `progress`
     * may be NULL. */
    int (*gradient) (const struct muster_model *model, const float *const *weights,
                     const struct muster_batch *batch, void *workspace, float *const *gradients,
                     const struct muster_progress *progress, struct muster_result *result,
                     struct muster_problem *problem);

    /* The same without gradients. */
    int (*evaluate) (const struct muster_model *model, const float *const *weights,
                     const struct muster_batch *batch, void *workspace,
                     struct muster_result *result, struct muster_problem *problem);

    /* Optional, token models: logits[muster_records.vocabulary] after the `count` tokens given, at
     * least one (the trainer uses the last ones that its context holds). */
    int (*next_token) (const struct muster_model *model, const float *const *weights,
                       const int32_t *tokens, uint32_t count, void *workspace, float *logits,
                       struct muster_problem *problem);

    /* Optional: write a config.json for the checkpoint, such that other tools load it. Returns the
     * length that the whole text has (without its NUL), as snprintf does. */
    size_t (*config_json) (const struct muster_model *model, char *text, size_t size);
};

/* What a plug-in defines; visible even where -fvisibility=hidden hides the rest, and with C linkage
 * in C++. Programs that only include this header need not have it. */
#define MUSTER_TRAINER_SYMBOL "muster_trainer"
#ifdef __GNUC__
__attribute__ ((visibility ("default")))
#endif
extern const struct muster_trainer muster_trainer;

#ifdef __cplusplus
}
#endif

#endif
