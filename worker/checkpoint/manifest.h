/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - muster.json, the file that makes a directory a checkpoint (internal to checkpoint/)
 *
 * Its first line is {"seal": "HASH", and HASH is the BLAKE2b-256 of all bytes behind that line. So
 * a single flipped bit shows in this file too, and it is JSON all the same. */
#ifndef MU_CHECKPOINT_MANIFEST_H
#define MU_CHECKPOINT_MANIFEST_H

#include "worker/checkpoint/checkpoint.h"
#include "worker/checkpoint/storage.h"

#define MU_MANIFEST_NAME "muster.json"
#define MU_MANIFEST_SIZE_MAX                                                                       \
    ((size_t)8 << 20) /* three texts of 1 MiB, escaped, and 65,536 scales */
#define MU_MANIFEST_FILES_MAX 16u
#define MU_MODEL_NAME         "model.safetensors"
#define MU_OPTIMIZER_NAME     "optimizer.safetensors"
#define MU_CONFIG_NAME        "config.json"

/* What is known when the other files are written. */
struct mu_manifest_content {
    const uint8_t *weights_hash, *digest; /* MU_STATE_HASH_SIZE bytes each */
    uint64_t slice;
    const struct mu_storage_record *files;
    uint32_t count;
};

/* Write muster.json into the directory open as `dir`; *bytes is its size. */
int mu_manifest_write (int dir, const struct mu_state *state, const struct mu_checkpoint_job *job,
                       const struct mu_manifest_content *content, uint64_t *bytes,
                       struct mu_error *error);

/* Check the seal and every field of what muster.json holds. On failure *info is empty. */
int mu_manifest_parse (const char *text, size_t size, struct mu_checkpoint_info *info,
                       struct mu_error *error);

/* Read and parse it, and compare the other files' sizes. */
int mu_manifest_read (int dir, struct mu_checkpoint_info *info, struct mu_error *error);

/* Whether the job's texts fit and are UTF-8, and its numbers fit JSON; asked before any work. */
int mu_manifest_check_job (const struct mu_checkpoint_job *job, struct mu_error *error);

#endif
