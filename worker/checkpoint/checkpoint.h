/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.h - a job's state on storage: written beside the training, whole or not at all
 *
 * A checkpoint is a directory DIR/step-00000200 with
 *
 *     model.safetensors      weights, float32, under the trainer's tensor names
 *     config.json            if the trainer offers one: with it other tools load the model
 *     optimizer.safetensors  m.NAME and v.NAME of each tensor
 *     muster.json            all else, and size and BLAKE2b-256 of each other file, of large ones by
 *                            slices; its first line carries the hash of its own rest
 *
 * It is written under a name that begins with a dot, each file and the directory is fsynced, and
 * then it is renamed: a directory that has the right name was complete. What storage does to it
 * later, the hashes tell. docs/checkpoints.md has the formats for readers of other programs.
 *
 * `saved` is what this module can say. Whether a checkpoint is *committed* the coordinator says. */
#ifndef MU_CHECKPOINT_H
#define MU_CHECKPOINT_H

#include "common/error.h"
#include "worker/checkpoint/storage.h"
#include "worker/state/state.h"
#include "worker/trainer.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MU_CHECKPOINT_VERSION        2u   /* what is written */
#define MU_CHECKPOINT_VERSION_SLICED 2u   /* from here on files have slices */
#define MU_CHECKPOINT_VERSION_FIRST  1u   /* the oldest that is read */
#define MU_CHECKPOINT_NAME_MAX       127u /* bytes of job id, job name, trainer, compute class */
#define MU_CHECKPOINT_TEXT_MAX       (1u << 20) /* bytes of job spec, data identity, config.json */

/* What is known about a job beside its state. Texts are UTF-8. */
struct mu_checkpoint_job {
    const char *id;
    const char *name;
    const char *spec;          /* the job file as submitted */
    const char *trainer;       /* its name */
    const char *data;          /* the data set's identity: names, sizes, hashes */
    const char *compute_class; /* what decides the bits */
    const char *config;        /* config.json, or NULL */
    uint64_t seed;
    uint64_t epoch;    /* of the next step */
    uint64_t position; /* in the ledger: micro-batches of that epoch that are in the weights */
    uint64_t generation; /* in which it is written; 0: in none */
    bool replaces;     /* other weights of this job's, found in the way, are of a wrong worker */
    uint64_t slice;    /* bytes hashed and written at once; 0: as suits the state */
    uint32_t hands;    /* threads that write; 0: as suits state and machine */
};

/* --- writing -------------------------------------------------------------------------------------
 *
 * One copy of the state is taken while begin () runs; then training may go on. A child process
 * writes, in slices, with a few threads of low priority. The caller polls `fd` for reading while the
 * writer is busy and calls mu_checkpoint_poll; nothing here blocks on storage. The child is kept, with the memory
 * of the copy, until mu_checkpoint_cancel; it survives its parent to finish what it was told. */

struct mu_desk;

struct mu_checkpoint_writer {
    pid_t pid;     /* 0: there is none */
    pid_t leaving; /* one that was let go and may not have ended yet; 0: none */
    int fd;
    bool busy;            /* a checkpoint is being written */
    struct mu_desk *desk; /* the copy */
    char path[PATH_MAX];  /* where it will be */
};

#define MU_CHECKPOINT_WRITER_NONE ((struct mu_checkpoint_writer){ .fd = -1 })

struct mu_checkpoint_saved {
    char path[PATH_MAX];
    uint64_t step;
    uint64_t bytes; /* of all files */
    uint8_t weights_hash[MU_STATE_HASH_SIZE];
    uint8_t digest[MU_STATE_HASH_SIZE];
    bool existed; /* the same checkpoint was there already, whole */
    struct mu_error pruning; /* what went wrong with mu_checkpoint_prune_by since the one before */
};

/* Begin to write the state as a checkpoint below `directory`, which is made if missing. `tensors`
 * are the trainer's, state->tensors of them. The writer is not busy. */
int mu_checkpoint_begin (struct mu_checkpoint_writer *writer, const char *directory,
                         const struct mu_state *state, const struct muster_tensor *tensors,
                         const struct mu_checkpoint_job *job, struct mu_error *error);

/* 1: saved, *saved filled. 0: not yet. -1: failed, and nothing was left that looks like a
 * checkpoint. After 1 and -1 the writer is free for the next. */
int mu_checkpoint_poll (struct mu_checkpoint_writer *writer, struct mu_checkpoint_saved *saved,
                        struct mu_error *error);

/* What is seen of a busy writer from outside: it moves if any of that changes. */
struct mu_checkpoint_look {
    uint64_t cpu_us;
    uint32_t phase; /* enum mu_writing_state */
    char letter;    /* as in /proc; 0: not known */
};
void mu_checkpoint_look (const struct mu_checkpoint_writer *writer,
                         struct mu_checkpoint_look *look);

/* It does not move: kill it, without waiting for its end, which may be long in coming; the writer is free
 * for the next, and *error says what became of this one. -1, nothing said: it is not busy, or the one that
 * was given up before has not ended yet. */
int mu_checkpoint_give_up (struct mu_checkpoint_writer *writer, struct mu_error *error);

/* Kill and reap the child, if there is one, and let go of the copy. */
void mu_checkpoint_cancel (struct mu_checkpoint_writer *writer);

/* Let go of the copy and of a child that is not busy, which ends by itself: it may be waiting for storage
 * that never answers. */
void mu_checkpoint_leave (struct mu_checkpoint_writer *writer);

/* Which stay when others are removed. A generation: of those that the job has written in it or before, of a
 * step behind `first` and in front of `before`, only those go that are not named. 0, as said by a coordinator that does not
 * name them all: whatever is there goes, but for the newest whole ones, `keep` of them and at least one, and the named. */
#define MU_CHECKPOINT_STAY_MAX 1004u /* as PRUNE has, and its step and anchor */
struct mu_checkpoint_stay {
    uint64_t job, generation, first, before;
    uint64_t keep;
    uint32_t count;
    uint64_t steps[MU_CHECKPOINT_STAY_MAX];
};

/* mu_checkpoint_prune, by the child, after what it does now. False: there is no child. */
bool mu_checkpoint_prune_by (struct mu_checkpoint_writer *writer, const char *directory,
                             const struct mu_checkpoint_stay *stay);

/* What the child does, for callers that may block. */
int mu_checkpoint_write (const char *directory, const struct mu_state *state,
                         const struct muster_tensor *tensors, const struct mu_checkpoint_job *job,
                         struct mu_checkpoint_saved *saved, struct mu_error *error);

/* Can checkpoints be written below `directory`, which is made if missing? -1 and why not. A full
 * disk is no reason: there may be room when the first one is due. */
int mu_checkpoint_try_folder (const char *directory, struct mu_error *error);

/* --- reading ---------------------------------------------------------------------------------- */

/* muster.json, read. Texts are owned; free with mu_checkpoint_info_clear. */
struct mu_checkpoint_info {
    uint32_t version;
    char *muster; /* the version of Muster that wrote it */
    char *job_id, *job_name, *job_spec, *trainer, *data, *compute_class;
    uint64_t seed, epoch, position;
    uint64_t generation; /* 0: not told */
    uint64_t step, skipped;
    double beta1_power, beta2_power;
    uint64_t parameters;
    uint32_t scales; /* how many; one a tensor */
    int32_t *scale;
    uint8_t weights_hash[MU_STATE_HASH_SIZE];
    uint8_t digest[MU_STATE_HASH_SIZE];
    uint64_t slice; /* bytes; 0 in format 1 */
    uint32_t files;
    struct mu_storage_record *file;
    uint64_t bytes; /* of all files but muster.json */
};

void mu_checkpoint_info_clear (struct mu_checkpoint_info *info);

/* Read and check muster.json of one checkpoint directory. The other files' sizes are compared,
 * their contents are not read. */
int mu_checkpoint_read_info (const char *path, struct mu_checkpoint_info *info,
                             struct mu_error *error);

/* Read every byte and compare every hash. The sentence names the file that is torn or rotted. */
int mu_checkpoint_verify (const char *path, struct mu_error *error);

/* Load weights, m, v, scales and counters into a laid-out state of the same tensors, and check that
 * the digest is the recorded one. `info` may be NULL. On failure the state's content is undefined.
 */
int mu_checkpoint_load (const char *path, struct mu_state *state,
                        const struct muster_tensor *tensors, struct mu_checkpoint_info *info,
                        struct mu_error *error);

/* Load weights alone, from a safetensors file or a directory with model.safetensors: a Hugging Face
 * checkpoint or one of ours. Names match with or without "transformer." in front; lm_head.weight
 * (tied) and attention masks are passed over; F16 and BF16 are converted. What is missing, too much
 * or of another shape is named, several at once. The rest of the state is left as it is. */
int mu_checkpoint_load_weights (const char *path, struct mu_state *state,
                                const struct muster_tensor *tensors, struct mu_error *error);

/* Is the config.json in a folder of weights that of the same model? `config` is the model's own; what
 * both say of heads, activation and the like, which no tensor's shape shows, must agree. Of a file, or
 * of a folder without a config.json, nothing is asked. */
int mu_checkpoint_match_config (const char *path, const char *config, struct mu_error *error);

/* Different tokens of the model in a folder of weights, as its config.json says. 0: it says nothing. */
uint64_t mu_checkpoint_vocabulary (const char *path);

/* --- a directory of checkpoints --------------------------------------------------------------- */

struct mu_checkpoint_entry {
    uint64_t step;
    char name[32];                   /* within the directory */
    bool whole;                      /* muster.json is sound and the files have their sizes */
    char problem[MU_ERROR_TEXT_MAX]; /* where not whole */
};

/* All checkpoints below `directory`, ascending by step; *entries is malloc'ed. A directory that
 * does not exist has none. Unfinished ones do not count. */
int mu_checkpoint_list (const char *directory, struct mu_checkpoint_entry **entries, size_t *count,
                        struct mu_error *error);

/* Find the newest checkpoint of at most `step` whose every hash is right. Returns 0 and its path;
 * -1 with NOT_FOUND if there is none. `skipped` (may be NULL) tells of the newer ones passed over.
 */
int mu_checkpoint_find (const char *directory, uint64_t step, char path[PATH_MAX],
                        struct mu_error *skipped, struct mu_error *error);

/* Remove all but those that are to stay; also what dead writers left behind. *removed may be NULL. */
int mu_checkpoint_prune (const char *directory, const struct mu_checkpoint_stay *stay,
                         size_t *removed, struct mu_error *error);

#endif
