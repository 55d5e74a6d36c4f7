/* SPDX-License-Identifier: Apache-2.0 */
/* gpt_model.h - what the files gpt*.c share: the model, one call's pass over it, its workspace
 *
 * Letters in comments: B records, T tokens of each, N = B*T rows, C channels, H heads, V rows of
 * the embedding, L layers. A row is one token's vector; rows of one record lie together. Weights of
 * matrices are [in, out], as GPT-2's own. */
#ifndef MU_TRAINER_GPT_MODEL_H
#define MU_TRAINER_GPT_MODEL_H

#include "worker/trainer.h"

/* --- tensors, in the order of their numbers: two embeddings, L times twelve, the last norm ---- */

enum { GPT_WTE, GPT_WPE, GPT_FIRST_LAYER };

enum gpt_layer_tensor {
    GPT_NORM_1,
    GPT_NORM_1_BIAS,
    GPT_ATTENTION,
    GPT_ATTENTION_BIAS,
    GPT_ATTENTION_OUT,
    GPT_ATTENTION_OUT_BIAS,
    GPT_NORM_2,
    GPT_NORM_2_BIAS,
    GPT_WIDEN,
    GPT_WIDEN_BIAS,
    GPT_NARROW,
    GPT_NARROW_BIAS,
    GPT_LAYER_TENSORS
};

static inline uint32_t gpt_tensor (uint32_t layer, enum gpt_layer_tensor tensor)
{
    return GPT_FIRST_LAYER + layer * GPT_LAYER_TENSORS + (uint32_t)tensor;
}

static inline uint32_t gpt_last_norm (uint32_t layers)
{
    return GPT_FIRST_LAYER + layers * GPT_LAYER_TENSORS;
}

/* --- the workspace: offsets in floats, each a multiple of 16 so that all is 64-byte aligned --- */

/* A layer's activations, kept from the forward for the backward pass. */
struct gpt_layer_plan {
    size_t input;  /* [N,C] residual stream before the layer; L+1 of these, see gpt_layer () */
    size_t norm_1; /* [N,C] */
    size_t statistics_1; /* [N,2] */
    size_t qkv;          /* [N,3C] */
    size_t attended;     /* [N,C] heads side by side */
    size_t middle;       /* [N,C] residual stream between the two halves */
    size_t norm_2;       /* [N,C] */
    size_t statistics_2; /* [N,2] */
    size_t wide;         /* [N,4C] before GELU; for a backward pass, its derivative there */
    size_t active;       /* [N,4C] after */
    size_t attention;    /* [B,H,T,T] softmax; there only if plan.keeps_attention */
};

struct gpt_plan {
    struct gpt_layer_plan first; /* of layer 0 */
    size_t layer_stride;         /* layer l's lie l * layer_stride further on */
    bool keeps_attention;        /* else each head's is computed again in the backward pass */

    size_t norm_f;       /* [N,C] */
    size_t statistics_f; /* [N,2] */
    size_t targets;      /* [N] int32 */
    size_t logits;       /* [GPT_HEAD_ROWS,V] */
    size_t head_p;       /* [T,T] one head's attention, where not kept */
    size_t head_dropped; /* [T,T] the same after dropout */
    size_t head_d;       /* [T,T] its gradient */
    size_t d_stream;     /* [N,C] gradient of the residual stream */
    size_t d_branch;     /* [N,C] gradient in a branch */
    size_t d_dropped;    /* [N,C] d_stream after a branch's dropout */
    size_t d_wide;       /* [N,4C]; also that of qkv, [N,3C] */
    size_t scratch;      /* [2C] */
    size_t floats;       /* all together */
};

/* Rows that the output layer takes at a time: the logits of all rows could be larger than the rest
 * of the workspace together. */
#define GPT_HEAD_ROWS 256

/* --- the model and a call --------------------------------------------------------------------- */

struct muster_model {
    const struct muster_math *math;
    uint32_t layers, heads, channels, context, vocabulary;
    uint32_t data_vocabulary; /* tokens are 0..data_vocabulary-1; the rest of V is padding */
    uint32_t micro_batch;
    float dropout;
    struct gpt_plan plan;
    uint32_t tensor_count;
    struct muster_tensor *tensors;
    char (*names)[48]; /* of the tensors */
};

/* One call on one thread: the arguments, and what follows from them. */
struct gpt_pass {
    const struct muster_model *model;
    const struct muster_math *math;
    const float *const *weights;
    float *const *gradients;                /* NULL in a forward pass */
    const struct muster_progress *progress; /* may be NULL */
    float *space;
    const int32_t *tokens;      /* record b's begin at tokens + b * token_stride */
    size_t token_stride;        /* T + 1 in a batch */
    size_t records, length;     /* B, T of this call; at most the model's */
    size_t rows;                /* B * T */
    size_t channels;            /* C */
    float dropout;              /* 0 outside training */
    uint64_t seed, step, micro; /* dropout's key */
};

/* Pointers to one layer's activations. */
struct gpt_layer {
    float *input, *norm_1, *statistics_1, *qkv, *attended, *middle, *norm_2, *statistics_2, *wide,
        *active, *attention, *output; /* output is the next layer's input */
};

struct gpt_layer gpt_layer (const struct gpt_pass *pass, uint32_t layer);

/* Lay out the workspace. Returns 0, or -1 with a sentence if it would be beyond GPT_SPACE_MAX. */
int gpt_plan_make (struct muster_model *model, struct muster_problem *problem);

#define GPT_SPACE_MAX (UINT64_C (1) << 40) /* bytes of workspace for one thread: 1 TiB */
#define GPT_ATTENTION_MAX                                                                          \
    (UINT64_C (1) << 26) /* bytes of attention weights that are kept: 64 MiB */

/* Places where dropout happens; each has keys of its own. */
enum gpt_place { GPT_DROP_EMBEDDING, GPT_DROP_ATTENTION, GPT_DROP_MIDDLE, GPT_DROP_OUTPUT };

/* Dropout of [N,C] values in place, one key a record, at a place of a layer. No-op at rate 0. */
void gpt_dropout (const struct gpt_pass *pass, uint32_t layer, enum gpt_place place, float *values);

/* The key of one block (a record; in attention a record's head) at a place. */
uint64_t gpt_dropout_key (const struct gpt_pass *pass, uint32_t layer, enum gpt_place place,
                          size_t block);

/* From tokens to the last norm's output, plan.norm_f. */
void gpt_forward (const struct gpt_pass *pass);

/* From plan.norm_f to loss and count of right answers; with gradients, also to d_stream (all of the
 * gradient before the last layer's output) and to the gradients of the last norm and, in part, of
 * wte. */
void gpt_head (const struct gpt_pass *pass, struct muster_result *result);

/* From d_stream to all other gradients. */
void gpt_backward (const struct gpt_pass *pass);

/* Attention of one layer: qkv -> attended; and d_branch (the gradient of attended) -> d_wide, the
 * gradient of qkv. */
void gpt_attention (const struct gpt_pass *pass, uint32_t layer);
void gpt_attention_backward (const struct gpt_pass *pass, uint32_t layer);

#endif
