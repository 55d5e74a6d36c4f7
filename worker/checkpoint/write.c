/* SPDX-License-Identifier: Apache-2.0 */
/* write.c - writes one checkpoint, whole or not at all
 *
 * All files go into a directory with a name of its own that begins with a dot; a lock on it (flock)
 * tells others that its writer lives. When every file and the directory are on storage it is
 * renamed to its final name, and the rename itself is made durable. Whatever fails before, the
 * directory is removed again; if the writer is killed, mu_checkpoint_prune removes it later.
 *
 * Writing a checkpoint that is there already is no failure: the same job gives the same bits, and
 * after a takeover two workers may have been told to write the same step. */
#include "worker/checkpoint/checkpoint.h"

#include "worker/checkpoint/directory.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 3

struct task {
    const struct mu_state *state;
    const struct muster_tensor *tensors;
    const struct mu_checkpoint_job *job;
    struct mu_checkpoint_saved *saved;
    int parent; /* the directory of checkpoints */
    int dir;    /* the one being written; -1: none */
    char temporary[MU_DIRECTORY_NAME_MAX];
    char final[MU_DIRECTORY_NAME_MAX];
    struct mu_storage_record files[FILES];
    uint32_t file_count;
};

/* --- the files -------------------------------------------------------------------------------- */

/* A region's tensors as items to write, their names with `prefix` in front; *names is the memory
 * behind the names. NULL without memory. */
static struct mu_safetensors_item *list_items (const struct task *task, const float *region,
                                               const char *prefix, char (*names)[132])
{
    uint32_t count = task->state->tensors;
    const struct mu_state_tensor *table = mu_state_table_const (task->state);
    struct mu_safetensors_item *items = calloc (count, sizeof *items);
    for (uint32_t i = 0; items && i < count; i++) {
        snprintf (names[i], sizeof names[i], "%s%s", prefix, task->tensors[i].name);
        items[i] = (struct mu_safetensors_item){ .name = names[i],
                                                 .dimensions = task->tensors[i].dimensions,
                                                 .dimension = task->tensors[i].dimension,
                                                 .values = region + table[i].first };
    }
    return items;
}

static int write_items (struct task *task, const char *name,
                        const struct mu_safetensors_item *items, uint32_t count,
                        struct mu_error *error)
{
    struct mu_storage_writer out;
    if (mu_storage_create (&out, task->dir, name, error) < 0)
        return -1;
    int status = mu_safetensors_write (&out, items, count, error);
    if (status == 0)
        status = mu_storage_finish (&out, error);
    mu_storage_abandon (&out);
    task->files[task->file_count++] = out.record;
    return status;
}

/* Regions 0 to count-1, each with its prefix, as one file. */
static int write_regions (struct task *task, const char *name, const float *const *regions,
                          const char *const *prefixes, uint32_t count, struct mu_error *error)
{
    uint32_t tensors = task->state->tensors;
    struct mu_safetensors_item *items = calloc ((size_t)count * tensors, sizeof *items);
    char (*names)[132] = calloc ((size_t)count * tensors, sizeof *names);
    int status = items && names ? 0 : -1;
    for (uint32_t r = 0; r < count && status == 0; r++) {
        struct mu_safetensors_item *part =
            list_items (task, regions[r], prefixes[r], names + (size_t)r * tensors);
        if (part)
            memcpy (items + (size_t)r * tensors, part, tensors * sizeof *items);
        else
            status = -1;
        free (part);
    }
    if (status < 0)
        mu_fail (error, MU_SYSTEM, "no memory to list the tensors of %s", name);
    else
        status = write_items (task, name, items, count * tensors, error);
    free (names);
    free (items);
    return status;
}

static int write_config (struct task *task, struct mu_error *error)
{
    if (!task->job->config)
        return 0;
    struct mu_storage_writer out;
    if (mu_storage_create (&out, task->dir, MU_CONFIG_NAME, error) < 0)
        return -1;
    int status = mu_storage_write (&out, task->job->config, strlen (task->job->config), error);
    if (status == 0)
        status = mu_storage_finish (&out, error);
    mu_storage_abandon (&out);
    task->files[task->file_count++] = out.record;
    return status;
}

static int write_files (struct task *task, struct mu_error *error)
{
    const float *weights = mu_state_weights_const (task->state);
    const float *const moments[] = { mu_state_m_const (task->state),
                                     mu_state_v_const (task->state) };
    const char *const no_prefix[] = { "" };
    const char *const prefixes[] = { "m.", "v." };
    if (write_regions (task, MU_MODEL_NAME, &weights, no_prefix, 1, error) < 0 ||
        write_config (task, error) < 0 ||
        write_regions (task, MU_OPTIMIZER_NAME, moments, prefixes, 2, error) < 0)
        return -1;
    mu_state_hash (task->state, task->saved->weights_hash);
    mu_state_digest (task->state, task->saved->digest);
    if (mu_manifest_write (task->dir, task->state, task->job, task->saved->weights_hash,
                           task->saved->digest, task->files, task->file_count, &task->saved->bytes,
                           error) < 0)
        return -1;
    for (uint32_t i = 0; i < task->file_count; i++)
        task->saved->bytes += task->files[i].bytes;
    if (fsync (task->dir) < 0)
        return mu_fail_errno (error, MU_IO, errno, "storing the directory %s", task->temporary);
    return 0;
}

/* --- the directory ---------------------------------------------------------------------------- */

static int make_temporary (struct task *task, struct mu_error *error)
{
    mu_directory_other_name (task->temporary, task->state->step, "tmp");
    if (mkdirat (task->parent, task->temporary, 0777) < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot make the directory %s",
                              task->temporary);
    task->dir = openat (task->parent, task->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (task->dir < 0) {
        mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot open the directory %s",
                       task->temporary);
        unlinkat (task->parent, task->temporary, AT_REMOVEDIR);
        return -1;
    }
    flock (task->dir, LOCK_EX | LOCK_NB); /* where there are no locks, age decides: prune */
    return 0;
}

/* Something has the final name. 1: it is this very checkpoint. 0: it was damaged, or is known to be
 * wrong, and moved away. */
static int settle_existing (const struct task *task, struct mu_error *error)
{
    struct mu_checkpoint_info info;
    struct mu_error damage;
    int dir = openat (task->parent, task->final, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot open %s, which is in the way",
                              task->final);
    int status = mu_directory_verify (dir, &info, &damage);
    close (dir);
    if (status < 0)
        return mu_directory_move_away (task->parent, task->final, task->state->step, "broken",
                                       error);
    bool same = memcmp (info.digest, task->saved->digest, sizeof info.digest) == 0;
    status = 1;
    if (!same && task->job->replaces && !strcmp (info.job_id, task->job->id))
        status =
            mu_directory_move_away (task->parent, task->final, task->state->step, "wrong", error);
    else if (!same)
        status = mu_fail (error, MU_CONFLICT,
                          "%s is there already and holds other weights, of job %s (%s): remove it "
                          "or set checkpoint.dir elsewhere",
                          task->final, info.job_id, info.job_name);
    mu_checkpoint_info_clear (&info);
    return status;
}

static int rename_to_final (const struct task *task, struct mu_error *error)
{
    for (int tries = 0; tries < 3; tries++) {
        if (renameat (task->parent, task->temporary, task->parent, task->final) == 0)
            return 0;
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            return mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot rename %s to %s",
                                  task->temporary, task->final);
        int settled = settle_existing (task, error);
        if (settled != 0)
            return settled;
    }
    return mu_fail (error, MU_TRY_AGAIN, "others write %s at the same time", task->final);
}

static int write_into (struct task *task, struct mu_error *error)
{
    if (make_temporary (task, error) < 0)
        return -1;
    int status = write_files (task, error);
    if (status == 0)
        status = rename_to_final (task, error);
    if (status != 0)
        mu_directory_remove (task->parent, task->temporary);
    task->saved->existed = status == 1;
    close (task->dir);
    if (status >= 0 && fsync (task->parent) < 0)
        return mu_fail_errno (error, MU_IO, errno, "storing the name %s", task->final);
    return status < 0 ? -1 : 0;
}

int mu_checkpoint_write (const char *directory, const struct mu_state *state,
                         const struct muster_tensor *tensors, const struct mu_checkpoint_job *job,
                         struct mu_checkpoint_saved *saved, struct mu_error *error)
{
    struct task task = {
        .state = state, .tensors = tensors, .job = job, .saved = saved, .dir = -1
    };
    *saved = (struct mu_checkpoint_saved){ .step = state->step };
    mu_directory_step_name (task.final, state->step);
    int length = snprintf (saved->path, sizeof saved->path, "%s/%s", directory, task.final);
    if (length < 0 || (size_t)length >= sizeof saved->path)
        return mu_fail (error, MU_CONFIG, "the path of checkpoint.dir is too long");
    if (mu_manifest_check_job (job, error) < 0)
        return -1;
    task.parent = mu_directory_make (directory, error);
    int status = task.parent < 0 ? -1 : write_into (&task, error);
    if (task.parent >= 0)
        close (task.parent);
    if (status < 0)
        mu_error_prefix (error, "checkpoint of step %llu in %s: ", (unsigned long long)state->step,
                         directory);
    return status;
}
