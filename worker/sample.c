/* SPDX-License-Identifier: Apache-2.0 */
/* sample.c - opens what a checkpoint describes, then draws one token after the other
 *
 * A model is opened as the trainer process would, except that no data is there: what its records
 * look like follows from the model's config.json, the job file and the tokenizer. Which tokenizer has
 * made the shards of a job that names none nobody can tell but who made them. */
#include "worker/sample.h"

#include "common/jobspec.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/data/data.h"
#include "worker/data/tokenizer.h"
#include "worker/kernels/kernels.h"
#include "worker/state/state.h"
#include "worker/trainer.h"
#include "worker/trainers/loader.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sampler {
    struct mu_checkpoint_info info;
    struct mu_jobspec spec;
    struct mu_tokenizer *tokenizer;
    const struct mu_kernels *kernels;
    const struct muster_trainer *trainer;
    void *plugin;
    struct muster_setting *settings;
    struct muster_records records;
    struct muster_model *model;
    const struct muster_tensor *tensors;
    uint32_t tensor_count;
    struct mu_state *state;
    const float **weights;
    void *workspace;
    float *logits;
    uint32_t known;  /* the model's tokens that the tokenizer has */
    uint32_t *order; /* numbers of those, likeliest first */
    int32_t *tokens; /* prompt and what was drawn */
    size_t count, capacity;
    uint64_t random;
};

/* --- opening ---------------------------------------------------------------------------------- */

static bool is_folder_of_others (const char *path)
{
    char name[PATH_MAX];
    struct stat found;
    return stat (path, &found) == 0 && S_ISDIR (found.st_mode) &&
           snprintf (name, sizeof name, "%s/muster.json", path) < (int)sizeof name &&
           stat (name, &found) < 0 && errno == ENOENT;
}

static int read_job (struct sampler *sampler, const struct mu_sample_options *options,
                     struct mu_error *error)
{
    if (is_folder_of_others (options->checkpoint))
        return mu_fail (error, MU_NO_INPUT,
                        "%s is no checkpoint of Muster: it has no muster.json. A model of others "
                        "is trained on with checkpoint.init, and what comes of that can be sampled",
                        options->checkpoint);
    if (mu_checkpoint_read_info (options->checkpoint, &sampler->info, error) < 0)
        return -1;
    struct mu_jobspec_problems *problems = calloc (1, sizeof *problems);
    if (!problems)
        return mu_fail (error, MU_SYSTEM, "no memory for the job file");
    int status = mu_jobspec_from_json (sampler->info.job_spec, strlen (sampler->info.job_spec),
                                       &sampler->spec, problems);
    if (status < 0) {
        mu_jobspec_problems_fail (problems, error);
        mu_error_prefix (error, "the job file in %s/muster.json: ", options->checkpoint);
    }
    free (problems);
    return status;
}

static int open_tokenizer (struct sampler *sampler, const struct mu_sample_options *options,
                           struct mu_error *error)
{
    const char *name = options->tokenizer ? options->tokenizer : sampler->spec.data.tokenizer;
    if (mu_tokenizer_open (&sampler->tokenizer, name, false, error) < 0)
        return -1;
    uint32_t has = mu_tokenizer_vocabulary (sampler->tokenizer);
    uint64_t vocabulary = mu_checkpoint_vocabulary (options->checkpoint);
    if (!vocabulary)
        vocabulary = sampler->spec.data.vocabulary ? sampler->spec.data.vocabulary : has;
    if (vocabulary > MU_DATA_VOCABULARY_MAX)
        return mu_fail (
            error, MU_BAD_INPUT, "%s has a vocabulary of %llu tokens; up to %u is possible",
            options->checkpoint, (unsigned long long)vocabulary, MU_DATA_VOCABULARY_MAX);
    if (vocabulary > has && !options->tokenizer && mu_tokenizer_is_bytes (sampler->tokenizer))
        return mu_fail (
            error, MU_CONFIG,
            "the model has %llu tokens, more than there are bytes, and its job names no "
            "tokenizer; name the one that made its token shards with --tokenizer",
            (unsigned long long)vocabulary);
    sampler->records = (struct muster_records){ .size = sizeof sampler->records,
                                                .tokens = (uint32_t)sampler->spec.data.context + 1,
                                                .vocabulary = (uint32_t)vocabulary };
    sampler->known = vocabulary < has ? (uint32_t)vocabulary : has;
    return 0;
}

static int open_model (struct sampler *sampler, struct mu_error *error)
{
    const struct mu_setting_list *model = &sampler->spec.model;
    sampler->settings = calloc (model->count + 1, sizeof *sampler->settings);
    if (!sampler->settings)
        return mu_fail (error, MU_SYSTEM, "no memory for the trainer's settings");
    for (size_t i = 0; i < model->count; i++)
        sampler->settings[i] = (struct muster_setting){ model->item[i].key, model->item[i].value };
    struct muster_open open = { .size = sizeof open,
                                .setting_count = (uint32_t)model->count,
                                .settings = sampler->settings,
                                .records = &sampler->records,
                                .math = &sampler->kernels->math,
                                .micro_batch = 1 };
    struct muster_problem problem = { "" };
    if (sampler->trainer->open (&sampler->model, &open, &problem) < 0)
        return mu_fail (error, MU_BAD_INPUT, "trainer %s: %s", sampler->spec.trainer,
                        mu_trainer_words (&problem));
    return 0;
}

static void *aligned (size_t bytes)
{
    size_t whole = (bytes + MU_STATE_ALIGNMENT) / MU_STATE_ALIGNMENT * MU_STATE_ALIGNMENT;
    void *memory = aligned_alloc (MU_STATE_ALIGNMENT, whole);
    if (memory)
        memset (memory, 0, whole);
    return memory;
}

static int make_room (struct sampler *sampler, struct mu_error *error)
{
    size_t vocabulary = sampler->records.vocabulary;
    sampler->tensors = sampler->trainer->tensors (sampler->model, &sampler->tensor_count);
    size_t bytes = mu_state_size (sampler->tensors, sampler->tensor_count, error);
    if (!bytes)
        return -1;
    void *memory = aligned_alloc (MU_STATE_ALIGNMENT, bytes);
    sampler->weights = calloc (sampler->tensor_count, sizeof *sampler->weights);
    sampler->workspace = aligned (sampler->trainer->workspace (sampler->model));
    sampler->logits = aligned (vocabulary * sizeof *sampler->logits);
    sampler->order = calloc (sampler->known, sizeof *sampler->order);
    if (!memory || !sampler->weights || !sampler->workspace || !sampler->logits ||
        !sampler->order) {
        free (memory);
        return mu_fail (error, MU_SYSTEM, "no memory for the model");
    }
    sampler->state =
        mu_state_lay_out (memory, bytes, sampler->tensors, sampler->tensor_count, error);
    if (!sampler->state)
        free (memory);
    return sampler->state ? 0 : -1;
}

static int load_weights (struct sampler *sampler, const char *path, struct mu_error *error)
{
    uint8_t hash[MU_STATE_HASH_SIZE];
    if (mu_checkpoint_load_weights (path, sampler->state, sampler->tensors, error) < 0)
        return -1;
    mu_state_hash (sampler->state, hash);
    if (memcmp (hash, sampler->info.weights_hash, sizeof hash) != 0)
        return mu_fail (
            error, MU_BAD_INPUT,
            "the weights in %s are not those that were saved: the file was damaged; use "
            "another checkpoint",
            path);
    mu_state_pointers_const (sampler->state, mu_state_weights_const (sampler->state),
                             sampler->weights);
    return 0;
}

static int open_all (struct sampler *sampler, const struct mu_sample_options *options,
                     struct mu_error *error)
{
    if (read_job (sampler, options, error) < 0 ||
        mu_trainer_find (sampler->spec.trainer, &sampler->trainer, &sampler->plugin, error) < 0)
        return -1;
    if (!sampler->trainer->next_token)
        return mu_fail (error, MU_BAD_INPUT,
                        "trainer %s writes no text: sampling is for models of tokens",
                        sampler->spec.trainer);
    sampler->kernels = mu_kernels_get (NULL, error);
    if (!sampler->kernels || open_tokenizer (sampler, options, error) < 0 ||
        open_model (sampler, error) < 0 || make_room (sampler, error) < 0)
        return -1;
    return load_weights (sampler, options->checkpoint, error);
}

static void close_all (struct sampler *sampler)
{
    free (sampler->tokens);
    free (sampler->order);
    free (sampler->logits);
    free (sampler->workspace);
    free (sampler->weights);
    free (sampler->state);
    if (sampler->model)
        sampler->trainer->close (sampler->model);
    mu_trainer_release (&sampler->plugin);
    free (sampler->settings);
    if (sampler->tokenizer)
        mu_tokenizer_close (&sampler->tokenizer);
    mu_jobspec_clear (&sampler->spec);
    mu_checkpoint_info_clear (&sampler->info);
}

/* --- drawing ---------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014), as a
 * number from 0 to below 1. */
static double draw_number (struct sampler *sampler)
{
    uint64_t z = sampler->random += UINT64_C (0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int likelier (const void *a, const void *b, void *argument)
{
    const float *logits = argument;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (logits[x] != logits[y])
        return logits[x] < logits[y] ? 1 : -1;
    return x < y ? -1 : 1;
}

static int32_t draw_token (struct sampler *sampler, const struct mu_sample_options *options)
{
    uint32_t known = sampler->known;
    for (uint32_t i = 0; i < known; i++)
        sampler->order[i] = i;
    qsort_r (sampler->order, known, sizeof *sampler->order, likelier, sampler->logits);
    if (options->temperature <= 0)
        return (int32_t)sampler->order[0];
    uint32_t among = options->top && options->top < known ? (uint32_t)options->top : known;
    double best = (double)sampler->logits[sampler->order[0]], sum = 0;
    for (uint32_t i = 0; i < among; i++)
        sum += exp (((double)sampler->logits[sampler->order[i]] - best) / options->temperature);
    double left = draw_number (sampler) * sum;
    for (uint32_t i = 0; i < among; i++) {
        left -= exp (((double)sampler->logits[sampler->order[i]] - best) / options->temperature);
        if (left < 0)
            return (int32_t)sampler->order[i];
    }
    return (int32_t)sampler->order[among - 1];
}

static int keep_token (struct sampler *sampler, int32_t token, struct mu_error *error)
{
    if (sampler->count == sampler->capacity) {
        size_t capacity = sampler->capacity ? 2 * sampler->capacity : 1024;
        int32_t *tokens = realloc (sampler->tokens, capacity * sizeof *tokens);
        if (!tokens)
            return mu_fail (error, MU_SYSTEM, "no memory for the text");
        sampler->tokens = tokens;
        sampler->capacity = capacity;
    }
    sampler->tokens[sampler->count++] = token;
    return 0;
}

/* What stands before any text: the end of another, or a new line. */
static int begin_empty (struct sampler *sampler, struct mu_error *error)
{
    int32_t end = mu_tokenizer_end_of_text (sampler->tokenizer);
    return keep_token (sampler, end >= 0 ? end : '\n', error);
}

static int read_prompt (struct sampler *sampler, const char *prompt, struct mu_error *error)
{
    int32_t *tokens = NULL;
    size_t count = 0, size = prompt ? strlen (prompt) : 0;
    if (size > MU_SAMPLE_PROMPT_MAX)
        return mu_fail (error, MU_USAGE, "the prompt is longer than %u bytes",
                        MU_SAMPLE_PROMPT_MAX);
    if (size == 0)
        return begin_empty (sampler, error);
    int status = mu_tokenizer_encode (sampler->tokenizer, prompt, size, &tokens, &count, error);
    for (size_t i = 0; i < count && status == 0; i++) {
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= sampler->records.vocabulary)
            status = mu_fail (error, MU_BAD_INPUT,
                              "the tokenizer has tokens that the model does not know; name the one "
                              "that it was trained with (--tokenizer)");
        else
            status = keep_token (sampler, tokens[i], error);
    }
    free (tokens);
    return status;
}

/* 1: go on. 0: the text ended, or the caller has enough. */
static int write_token (struct sampler *sampler, const struct mu_sample_options *options,
                        int32_t token, struct mu_error *error)
{
    size_t size = 0;
    if (token == mu_tokenizer_end_of_text (sampler->tokenizer))
        return 0;
    if (keep_token (sampler, token, error) < 0)
        return -1;
    char *text = mu_data_decode (sampler->tokenizer, &token, 1, &size, error);
    if (!text)
        return -1;
    int enough = options->write (options->user, text, size);
    free (text);
    return enough ? 0 : 1;
}

static int generate (struct sampler *sampler, const struct mu_sample_options *options,
                     struct mu_error *error)
{
    struct muster_problem problem = { "" };
    size_t context = sampler->spec.data.context;
    for (uint64_t i = 0; i < options->tokens; i++) {
        size_t count = sampler->count < context ? sampler->count : context;
        if (sampler->trainer->next_token (sampler->model, sampler->weights,
                                          sampler->tokens + sampler->count - count, (uint32_t)count,
                                          sampler->workspace, sampler->logits, &problem) < 0)
            return mu_fail (error, MU_BAD_INPUT, "trainer %s: %s", sampler->spec.trainer,
                            mu_trainer_words (&problem));
        int status = write_token (sampler, options, draw_token (sampler, options), error);
        if (status <= 0)
            return status;
    }
    return 0;
}

int mu_sample (const struct mu_sample_options *options, struct mu_error *error)
{
    struct sampler sampler = { .random = options->seed };
    int status = open_all (&sampler, options, error);
    if (status == 0)
        status = read_prompt (&sampler, options->prompt, error);
    if (status == 0)
        status = generate (&sampler, options, error);
    close_all (&sampler);
    return status;
}
