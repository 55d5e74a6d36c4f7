/* SPDX-License-Identifier: Apache-2.0 */
/* write.c - writes one checkpoint, whole or not at all
 *
 * The two large files are hashed and written in slices, several side by side, beside the hash of all
 * weights; what fails with one slice fails the whole. muster.json is written when all have ended.
 *
 * All files go into a directory with a name of its own that begins with a dot; a lock on it (flock)
 * tells others that its writer lives. When every file and the directory are on storage it is
 * renamed to its final name, and the rename itself is made durable. Whatever fails before, the
 * directory is removed again; if the writer is killed, mu_checkpoint_prune removes it later.
 *
 * Writing a checkpoint that is there already is no failure: the same job gives the same bits, and
 * after a takeover two workers may have been told to write the same step. */
#include "worker/checkpoint/checkpoint.h"

#include "states.h"
#include "worker/checkpoint/crew.h"
#include "worker/checkpoint/desk.h"
#include "worker/checkpoint/digest.h"
#include "worker/checkpoint/directory.h"
#include "worker/checkpoint/idle.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/checkpoint/slices.h"
#include "worker/checkpoint/weave.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES    3
#define PREFIXED 132 /* "m." and a name of 127 bytes */

struct large { /* a file in slices */
    char *head;
    struct mu_sliced_file file;
};

struct task {
    const struct mu_desk *desk;
    const struct mu_checkpoint_job *job;
    struct mu_checkpoint_saved *saved;
    int parent; /* the directory of checkpoints */
    int dir;    /* the one being written; -1: none */
    char temporary[MU_DIRECTORY_NAME_MAX];
    char final[MU_DIRECTORY_NAME_MAX];
    uint64_t slice;
    struct large model, optimizer;
    struct mu_storage_record config; /* no bytes: there is none */
};

static void enter (const struct task *task, enum mu_writing_state phase)
{
    atomic_store_explicit (task->desk->phase, (uint32_t)phase, memory_order_relaxed);
}

/* --- the files -------------------------------------------------------------------------------- */

/* The head of a file that holds all tensors once for each prefix; malloc'ed, or NULL. */
static char *make_head (const struct task *task, const char *name, const char *const *prefixes,
                        uint32_t count, size_t *bytes, struct mu_error *error)
{
    const uint32_t tensors = task->desk->facts->tensors;
    struct mu_safetensors_item *items = calloc ((size_t)count * tensors, sizeof *items);
    char (*names)[PREFIXED] = calloc ((size_t)count * tensors, sizeof *names);
    char *head = NULL;
    for (uint32_t i = 0; items && names && i < count * tensors; i++) {
        const struct muster_tensor *tensor = &task->desk->tensors[i % tensors];
        snprintf (names[i], sizeof names[i], "%s%s", prefixes[i / tensors], tensor->name);
        items[i] = (struct mu_safetensors_item){ .name = names[i],
                                                 .dimensions = tensor->dimensions,
                                                 .dimension = tensor->dimension };
    }
    if (items && names)
        head = mu_safetensors_head (name, items, count * tensors, bytes, error);
    else
        mu_fail (error, MU_SYSTEM, "no memory to list the tensors of %s", name);
    free (names);
    free (items);
    return head;
}

static int create (const struct task *task, struct large *large, const char *name,
                   const char *const *prefixes, uint32_t count, const struct mu_desk_values *values,
                   struct mu_error *error)
{
    struct mu_sliced_file *file = &large->file;
    size_t bytes;
    large->head = make_head (task, name, prefixes, count, &bytes, error);
    if (!large->head)
        return -1;
    strcpy (file->record.name, name);
    file->record.head = bytes;
    file->record.bytes = bytes + values->size;
    file->head = (const unsigned char *)large->head;
    file->values = values->bytes;
    return mu_slices_create (file, task->dir, task->slice, error);
}

static int create_both (struct task *task, struct mu_error *error)
{
    static const char *const none[] = { "" }, *const moments[] = { "m.", "v." };
    if (create (task, &task->model, MU_MODEL_NAME, none, 1, &task->desk->weights, error) < 0)
        return -1;
    return create (task, &task->optimizer, MU_OPTIMIZER_NAME, moments, 2, &task->desk->moments,
                   error);
}

static void close_large (struct large *large)
{
    mu_slices_close (&large->file);
    free (large->head);
}

/* Stream 0 is all weights, whose hash takes longest; then come the pieces of both files. The piece's
 * file, and its number there. */
static struct mu_sliced_file *file_of (struct task *task, uint32_t *number)
{
    const uint32_t moments = task->optimizer.file.record.pieces;
    *number -= 1;
    if (*number < moments)
        return &task->optimizer.file;
    *number -= moments;
    return &task->model.file;
}

static int put (void *about, uint32_t number, const unsigned char **bytes, uint64_t *size,
                struct mu_error *error)
{
    struct task *task = about;
    mu_idle_look ();
    if (number == 0) {
        *bytes = task->desk->weights.bytes;
        *size = task->desk->weights.size;
        return 0;
    }
    struct mu_sliced_file *file = file_of (task, &number);
    return mu_slices_put (file, number, bytes, size, error);
}

static int note (void *about, uint32_t number, const uint8_t hash[MU_STORAGE_HASH_SIZE],
                 struct mu_error *error)
{
    struct task *task = about;
    if (number == 0) {
        memcpy (task->saved->weights_hash, hash, MU_STATE_HASH_SIZE);
        return 0;
    }
    struct mu_sliced_file *file = file_of (task, &number);
    return mu_slices_note (file, number, hash, error);
}

static int write_large (struct task *task, struct mu_error *error)
{
    if (create_both (task, error) < 0)
        return -1;
    const struct mu_storage_record *model = &task->model.file.record;
    const struct mu_storage_record *optimizer = &task->optimizer.file.record;
    const struct mu_state *facts = task->desk->facts;
    const uint32_t hands = task->job->hands ? task->job->hands : mu_crew_hands (facts->bytes);
    const struct mu_weave weave = { .streams = 1 + model->pieces + optimizer->pieces,
                                    .begin = put,
                                    .done = note };
    if (mu_weave_run (&weave, task, hands, error) < 0)
        return -1;
    mu_idle_look ();
    return mu_digest_of_records (facts, model, optimizer, task->saved->digest, error);
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
    task->config = out.record;
    return status;
}

static int write_manifest (struct task *task, struct mu_error *error)
{
    struct mu_storage_record files[FILES] = { task->model.file.record, task->optimizer.file.record,
                                              task->config };
    const struct mu_manifest_content content = { .weights_hash = task->saved->weights_hash,
                                                 .digest = task->saved->digest,
                                                 .slice = task->slice,
                                                 .files = files,
                                                 .count = task->job->config ? FILES : FILES - 1 };
    if (mu_manifest_write (task->dir, task->desk->facts, task->job, &content, &task->saved->bytes,
                           error) < 0)
        return -1;
    for (uint32_t i = 0; i < content.count; i++)
        task->saved->bytes += files[i].bytes;
    return 0;
}

static int write_files (struct task *task, struct mu_error *error)
{
    task->slice =
        task->job->slice ? task->job->slice : mu_slices_size (task->desk->facts->parameters);
    enter (task, MU_WRITING_FILLING);
    int status = write_large (task, error);
    if (status == 0)
        status = write_config (task, error);
    if (status == 0)
        status = write_manifest (task, error);
    enter (task, MU_WRITING_STORING);
    if (status == 0 && fsync (task->dir) < 0)
        status = mu_fail_errno (error, MU_IO, errno, "storing the directory %s", task->temporary);
    close_large (&task->model);
    close_large (&task->optimizer);
    return status;
}

/* --- the directory ---------------------------------------------------------------------------- */

static int make_temporary (struct task *task, struct mu_error *error)
{
    mu_directory_other_name (task->temporary, task->desk->facts->step, "tmp");
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

/* Whether a checkpoint holds the state that is being written. */
static int is_same (const struct task *task, const struct mu_checkpoint_info *info, bool *same,
                    struct mu_error *error)
{
    uint8_t hash[MU_STATE_HASH_SIZE], digest[MU_STATE_HASH_SIZE];
    struct mu_state *state = mu_desk_state (task->desk, error);
    if (!state)
        return -1;
    const int status = mu_digest_of_state (state, info->version, info->slice, hash, digest, error);
    free (state);
    *same = status == 0 && memcmp (info->digest, digest, sizeof digest) == 0;
    return status;
}

/* Of one job's two one is wrong, or was given up before anybody could say so. That of a generation that
 * came later stays: what is written here may only be late. */
static bool makes_room (const struct task *task, const struct mu_checkpoint_info *info)
{
    const struct mu_checkpoint_job *job = task->job;
    if (strcmp (info->job_id, job->id) != 0 || info->generation > job->generation)
        return false;
    return job->replaces || info->generation < job->generation;
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
        return mu_directory_move_away (task->parent, task->final, task->desk->facts->step, "broken",
                                       error);
    bool same = false;
    status = is_same (task, &info, &same, error);
    if (status == 0 && same)
        status = 1;
    else if (status == 0 && makes_room (task, &info))
        status = mu_directory_move_away (task->parent, task->final, task->desk->facts->step,
                                         "wrong", error);
    else if (status == 0)
        status = mu_fail (error, MU_CONFLICT,
                          "%s is there already and holds other weights, of job %s (%s): remove it "
                          "or set checkpoint.dir elsewhere",
                          task->final, info.job_id, info.job_name);
    mu_checkpoint_info_clear (&info);
    return status;
}

static int rename_to_final (const struct task *task, struct mu_error *error)
{
    enter (task, MU_WRITING_NAMING);
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

int mu_checkpoint_write_desk (const char *directory, const struct mu_desk *desk,
                              struct mu_checkpoint_saved *saved, struct mu_error *error)
{
    const uint64_t step = desk->facts->step;
    struct task task = { .desk = desk,
                         .job = &desk->job,
                         .saved = saved,
                         .dir = -1,
                         .model.file = MU_SLICES_NONE,
                         .optimizer.file = MU_SLICES_NONE };
    *saved = (struct mu_checkpoint_saved){ .step = step };
    mu_directory_step_name (task.final, step);
    int length = snprintf (saved->path, sizeof saved->path, "%s/%s", directory, task.final);
    if (length < 0 || (size_t)length >= sizeof saved->path)
        return mu_fail (error, MU_CONFIG, "the path of checkpoint.dir is too long");
    enter (&task, MU_WRITING_MAKING);
    task.parent = mu_directory_make (directory, error);
    int status = task.parent < 0 ? -1 : write_into (&task, error);
    if (task.parent >= 0)
        close (task.parent);
    if (status < 0)
        mu_error_prefix (error, "checkpoint of step %llu in %s: ", (unsigned long long)step,
                         directory);
    return status;
}

int mu_checkpoint_write (const char *directory, const struct mu_state *state,
                         const struct muster_tensor *tensors, const struct mu_checkpoint_job *job,
                         struct mu_checkpoint_saved *saved, struct mu_error *error)
{
    if (mu_manifest_check_job (job, error) < 0)
        return -1;
    struct mu_desk *desk = mu_desk_create (state, tensors, job, error);
    if (!desk)
        return -1;
    mu_desk_put (desk, state, tensors, job);
    const int status = mu_checkpoint_write_desk (directory, desk, saved, error);
    mu_desk_destroy (&desk);
    return status;
}
