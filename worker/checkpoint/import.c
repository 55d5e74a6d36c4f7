/* SPDX-License-Identifier: Apache-2.0 */
/* import.c - initial weights from a safetensors file, such as a Hugging Face GPT-2 checkpoint
 *
 * First every tensor is matched, and all that does not fit is collected into one sentence; only
 * when everything fits are bytes read. A file may hold what is no weight of the model: the output
 * layer lm_head.weight, if it is the token embedding again, and the constant masks of old
 * checkpoints. */
#include "worker/checkpoint/checkpoint.h"

#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX         "transformer."
#define PROBLEMS_SHOWN 6

struct problems {
    uint32_t count;
    char text[MU_ERROR_TEXT_MAX - 256];
};

static void note (struct problems *problems, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void note (struct problems *problems, const char *format, ...)
{
    if (problems->count++ >= PROBLEMS_SHOWN)
        return;
    size_t used = strlen (problems->text);
    if (used > 0)
        used += (size_t)snprintf (problems->text + used, sizeof problems->text - used, "; ");
    if (used >= sizeof problems->text)
        return;
    va_list args;
    va_start (args, format);
    vsnprintf (problems->text + used, sizeof problems->text - used, format, args);
    va_end (args);
}

static const char *without_prefix (const char *name)
{
    size_t length = sizeof PREFIX - 1;
    return strncmp (name, PREFIX, length) == 0 ? name + length : name;
}

static const struct mu_safetensor *find (const struct mu_safetensors *file, const char *name)
{
    char prefixed[sizeof PREFIX + 128];
    snprintf (prefixed, sizeof prefixed, PREFIX "%.127s", without_prefix (name));
    const struct mu_safetensor *found = mu_safetensors_find (file, without_prefix (name));
    return found ? found : mu_safetensors_find (file, prefixed);
}

static void shape_text (char *text, size_t size, const uint64_t *dimension, uint32_t dimensions)
{
    size_t used = (size_t)snprintf (text, size, "[");
    for (uint32_t d = 0; d < dimensions && used < size; d++)
        used += (size_t)snprintf (text + used, size - used, "%s%llu", d ? ", " : "",
                                  (unsigned long long)dimension[d]);
    if (used < size)
        snprintf (text + used, size - used, "]");
}

static void compare_shape (struct problems *problems, const struct mu_safetensor *found,
                           const struct muster_tensor *wanted)
{
    char has[128], needs[128];
    if (found->dimensions == wanted->dimensions &&
        memcmp (found->dimension, wanted->dimension,
                wanted->dimensions * sizeof *wanted->dimension) == 0)
        return;
    shape_text (has, sizeof has, found->dimension, found->dimensions);
    shape_text (needs, sizeof needs, wanted->dimension, wanted->dimensions);
    note (problems, "%s is %s, the model needs %s", wanted->name, has, needs);
}

static bool ends_with (const char *name, const char *end)
{
    size_t length = strlen (name), tail = strlen (end);
    return length >= tail && strcmp (name + length - tail, end) == 0;
}

static bool is_passed_over (const char *name)
{
    return strcmp (name, "lm_head.weight") == 0 || ends_with (name, ".attn.bias") ||
           ends_with (name, ".attn.masked_bias");
}

static bool is_wanted (const char *name, const struct muster_tensor *tensors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp (without_prefix (tensors[i].name), without_prefix (name)) == 0)
            return true;
    return false;
}

static void match (struct problems *problems, const struct mu_safetensors *file,
                   const struct muster_tensor *tensors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mu_safetensor *found = find (file, tensors[i].name);
        if (found)
            compare_shape (problems, found, &tensors[i]);
        else
            note (problems, "%s is missing", tensors[i].name);
    }
    uint32_t entries;
    const struct mu_safetensor *entry = mu_safetensors_tensors (file, &entries);
    for (uint32_t i = 0; i < entries; i++)
        if (!is_passed_over (entry[i].name) && !is_wanted (entry[i].name, tensors, count))
            note (problems, "%.127s is not one of the model's", entry[i].name);
}

/* lm_head.weight, if there, must be wte.weight again: the model has no other output layer. */
static int check_tied (const struct mu_safetensors *file, const char *path, struct mu_error *error)
{
    const struct mu_safetensor *head = mu_safetensors_find (file, "lm_head.weight");
    const struct mu_safetensor *embedding = find (file, "wte.weight");
    if (!head || !embedding)
        return 0;
    bool same = head->elements == embedding->elements;
    float *a = same ? malloc (head->elements * sizeof *a + 1) : NULL;
    float *b = same ? malloc (head->elements * sizeof *b + 1) : NULL;
    int status = 0;
    if (same && (!a || !b))
        status = mu_fail (error, MU_SYSTEM, "no memory to read lm_head.weight of %s", path);
    else if (same) {
        status = mu_safetensors_read (file, head, a, error);
        if (status == 0)
            status = mu_safetensors_read (file, embedding, b, error);
        same = status < 0 || memcmp (a, b, head->elements * sizeof *a) == 0;
    }
    free (a);
    free (b);
    if (!same)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s: lm_head.weight differs from wte.weight; a model whose output layer is "
                        "not tied to its token embedding cannot be used",
                        path);
    return status;
}

static int read_all (const struct mu_safetensors *file, const char *path, struct mu_state *state,
                     const struct muster_tensor *tensors, struct mu_error *error)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t i = 0; i < state->tensors; i++) {
        float *values = mu_state_weights (state) + table[i].first;
        if (mu_safetensors_read (file, find (file, tensors[i].name), values, error) < 0)
            return -1;
        for (uint64_t j = 0; j < table[i].elements; j++)
            if (!isfinite (values[j]))
                return mu_fail (error, MU_BAD_INPUT,
                                "%s: tensor %s holds a value that is not a finite number", path,
                                tensors[i].name);
    }
    return 0;
}

static int load_file (const char *path, struct mu_state *state, const struct muster_tensor *tensors,
                      struct mu_error *error)
{
    struct mu_safetensors *file = mu_safetensors_open (path, error);
    if (!file)
        return -1;
    struct problems problems = { .count = 0 };
    match (&problems, file, tensors, state->tensors);
    int status = 0;
    if (problems.count > PROBLEMS_SHOWN)
        status = mu_fail (error, MU_BAD_INPUT, "%s does not fit the model: %s; and %u more", path,
                          problems.text, problems.count - PROBLEMS_SHOWN);
    else if (problems.count > 0)
        status =
            mu_fail (error, MU_BAD_INPUT, "%s does not fit the model: %s", path, problems.text);
    if (status == 0)
        status = check_tied (file, path, error);
    if (status == 0)
        status = read_all (file, path, state, tensors, error);
    mu_safetensors_close (&file);
    return status;
}

static bool exists_in (const char *directory, const char *name)
{
    char path[PATH_MAX];
    int length = snprintf (path, sizeof path, "%s/%s", directory, name);
    return length > 0 && (size_t)length < sizeof path && access (path, F_OK) == 0;
}

static int fail_without_model (const char *path, struct mu_error *error)
{
    if (exists_in (path, MU_MODEL_NAME ".index.json"))
        return mu_fail (error, MU_NO_INPUT,
                        "%s holds a model in several files; save it as one: "
                        "model.save_pretrained (DIR, max_shard_size=\"1000GB\")",
                        path);
    if (exists_in (path, "pytorch_model.bin"))
        return mu_fail (error, MU_NO_INPUT,
                        "%s holds pytorch_model.bin but no " MU_MODEL_NAME "; convert it: "
                        "model.save_pretrained (DIR, safe_serialization=True)",
                        path);
    return mu_fail (error, MU_NO_INPUT, "%s holds no " MU_MODEL_NAME, path);
}

/* --- config.json ------------------------------------------------------------------------------ */

/* What decides what the weights compute, and shows in no tensor's shape. */
static const char *const telling[] = { "model_type",
                                       "n_head",
                                       "activation",
                                       "activation_function",
                                       "layer_norm_epsilon",
                                       "scale_attn_weights",
                                       "scale_attn_by_inverse_layer_idx" };

/* Two names that transformers has for one function. */
static const char *plain_name (const char *name)
{
    return strcmp (name, "gelu_pytorch_tanh") == 0 ? "gelu_new" : name;
}

static bool says_the_same (const json_t *a, const json_t *b)
{
    if (json_is_number (a) && json_is_number (b))
        return json_number_value (a) >= json_number_value (b) &&
               json_number_value (a) <= json_number_value (b);
    if (json_is_string (a) && json_is_string (b))
        return strcmp (plain_name (json_string_value (a)), plain_name (json_string_value (b))) == 0;
    return json_equal (a, b);
}

static void compare_configs (struct problems *problems, const json_t *theirs, const json_t *ours)
{
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        const json_t *has = json_object_get (theirs, telling[i]);
        const json_t *needs = json_object_get (ours, telling[i]);
        if (!has || !needs || says_the_same (has, needs))
            continue;
        char *a = json_dumps (has, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION (7));
        char *b = json_dumps (needs, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION (7));
        note (problems, "%s is %.64s there and %.64s in the job's model", telling[i], a ? a : "",
              b ? b : "");
        free (a);
        free (b);
    }
}

int mu_checkpoint_match_config (const char *path, const char *config, struct mu_error *error)
{
    char file[PATH_MAX];
    struct stat status;
    json_error_t where;
    if (stat (path, &status) < 0 || !S_ISDIR (status.st_mode) || !exists_in (path, "config.json"))
        return 0;
    snprintf (file, sizeof file, "%s/config.json", path);
    json_t *theirs = json_load_file (file, 0, &where);
    if (!theirs)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s cannot be read: %s; to start with the weights without it, name the "
                        "file " MU_MODEL_NAME " itself",
                        file, where.text);
    struct problems problems = { .count = 0 };
    json_t *ours = json_loads (config, 0, &where);
    compare_configs (&problems, theirs, ours);
    json_decref (theirs);
    json_decref (ours);
    if (problems.count == 0)
        return 0;
    return mu_fail (
        error, MU_BAD_INPUT,
        "%s is of another model, though of the same shapes: %s; change model: in the "
        "job file, or, to start with these weights all the same, name the file " MU_MODEL_NAME
        " itself as checkpoint.init",
        file, problems.text);
}

uint64_t mu_checkpoint_vocabulary (const char *path)
{
    char file[PATH_MAX];
    const int length = snprintf (file, sizeof file, "%s/config.json", path);
    if (length < 0 || (size_t)length >= sizeof file)
        return 0;
    json_t *config = json_load_file (file, 0, NULL);
    const json_int_t size = json_integer_value (json_object_get (config, "vocab_size"));
    json_decref (config);
    return size > 0 ? (uint64_t)size : 0;
}

/* --- the weights ------------------------------------------------------------------------------ */

int mu_checkpoint_load_weights (const char *path, struct mu_state *state,
                                const struct muster_tensor *tensors, struct mu_error *error)
{
    struct stat status;
    if (stat (path, &status) < 0)
        return mu_fail_errno (error, MU_NO_INPUT, errno, "cannot read initial weights from %s",
                              path);
    if (!S_ISDIR (status.st_mode))
        return load_file (path, state, tensors, error);
    char file[PATH_MAX];
    if (!exists_in (path, MU_MODEL_NAME))
        return fail_without_model (path, error);
    snprintf (file, sizeof file, "%s/" MU_MODEL_NAME, path);
    return load_file (file, state, tensors, error);
}
