/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - reads a checkpoint back into a state, bit for bit
 *
 * Files are verified first, since that names what is damaged; the digest of the loaded state is
 * compared last, since that proves the whole. */
#include "worker/checkpoint/checkpoint.h"

#include "worker/checkpoint/digest.h"
#include "worker/checkpoint/directory.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/safetensors.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool same_shape (const struct mu_safetensor *found, const struct muster_tensor *wanted)
{
    return found->dimensions == wanted->dimensions &&
           memcmp (found->dimension, wanted->dimension,
                   wanted->dimensions * sizeof *wanted->dimension) == 0;
}

/* One region's tensors, all of them float32 under `prefix` and the trainer's name. */
static int read_region (const struct mu_safetensors *file, const struct mu_state *state,
                        const struct muster_tensor *tensors, const char *prefix, float *region,
                        struct mu_error *error)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t i = 0; i < state->tensors; i++) {
        char name[132];
        snprintf (name, sizeof name, "%s%s", prefix, tensors[i].name);
        const struct mu_safetensor *found = mu_safetensors_find (file, name);
        if (!found || found->dtype != MU_DTYPE_F32 || !same_shape (found, &tensors[i]))
            return mu_fail (error, MU_BAD_INPUT,
                            "tensor %s is missing, or not of the model's shape: the checkpoint is "
                            "of another model",
                            name);
        if (mu_safetensors_read (file, found, region + table[i].first, error) < 0)
            return -1;
    }
    return 0;
}

static int read_model (int dir, struct mu_state *state, const struct muster_tensor *tensors,
                       struct mu_error *error)
{
    struct mu_safetensors *file = mu_safetensors_open_at (dir, MU_MODEL_NAME, error);
    if (!file)
        return -1;
    int status = read_region (file, state, tensors, "", mu_state_weights (state), error);
    mu_safetensors_close (&file);
    return status;
}

static int read_moments (int dir, struct mu_state *state, const struct muster_tensor *tensors,
                         struct mu_error *error)
{
    struct mu_safetensors *file = mu_safetensors_open_at (dir, MU_OPTIMIZER_NAME, error);
    if (!file)
        return -1;
    int status = read_region (file, state, tensors, "m.", mu_state_m (state), error);
    if (status == 0)
        status = read_region (file, state, tensors, "v.", mu_state_v (state), error);
    mu_safetensors_close (&file);
    return status;
}

static int take_counters (struct mu_state *state, const struct mu_checkpoint_info *info,
                          struct mu_error *error)
{
    if (info->scales != state->tensors || info->parameters != state->parameters)
        return mu_fail (error, MU_BAD_INPUT,
                        "it is of another model: %llu parameters in %u tensors, where the job's "
                        "has %llu in %u",
                        (unsigned long long)info->parameters, info->scales,
                        (unsigned long long)state->parameters, state->tensors);
    state->step = info->step;
    state->attempt = 0;
    state->skipped = info->skipped;
    state->beta1_power = info->beta1_power;
    state->beta2_power = info->beta2_power;
    struct mu_state_tensor *table = mu_state_table (state);
    for (uint32_t i = 0; i < state->tensors; i++)
        table[i].scale = info->scale[i];
    return 0;
}

static int check_digest (const struct mu_state *state, const struct mu_checkpoint_info *info,
                         struct mu_error *error)
{
    uint8_t digest[MU_STATE_HASH_SIZE], hash[MU_STATE_HASH_SIZE];
    if (mu_digest_of_state (state, info->version, info->slice, hash, digest, error) < 0)
        return -1;
    if (memcmp (digest, info->digest, sizeof digest) != 0 ||
        memcmp (hash, info->weights_hash, sizeof hash) != 0)
        return mu_fail (error, MU_BAD_INPUT,
                        "what was read is not the state that was saved: its files changed while "
                        "they were read");
    return 0;
}

static int load_from (int dir, struct mu_state *state, const struct muster_tensor *tensors,
                      struct mu_checkpoint_info *info, struct mu_error *error)
{
    if (mu_directory_verify (dir, info, error) < 0)
        return -1;
    if (take_counters (state, info, error) < 0 || read_model (dir, state, tensors, error) < 0 ||
        read_moments (dir, state, tensors, error) < 0 || check_digest (state, info, error) < 0) {
        mu_checkpoint_info_clear (info);
        return -1;
    }
    return 0;
}

int mu_checkpoint_load (const char *path, struct mu_state *state,
                        const struct muster_tensor *tensors, struct mu_checkpoint_info *info,
                        struct mu_error *error)
{
    struct mu_checkpoint_info own = { 0 };
    int dir = mu_directory_open (path, error);
    if (dir < 0)
        return -1;
    int status = load_from (dir, state, tensors, &own, error);
    close (dir);
    if (status < 0)
        mu_error_prefix (error, "checkpoint %s: ", path);
    if (info)
        *info = own;
    else
        mu_checkpoint_info_clear (&own);
    return status;
}
