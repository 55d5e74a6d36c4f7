/* SPDX-License-Identifier: Apache-2.0 */
/* train.h - the parts of the trainer process, shared by its files alone
 *
 *     trainer_main.c    the control thread: the agent's words in, orders out; the process's end
 *     train_open.c      PREPARE: job file, kernels, plug-in, data, state, region
 *     train_folder.c    PREPARE: the folder of checkpoints
 *     train_orders.c    the letter box between the control thread and the stepper
 *     train_pool.c      threads, and what each needs to compute one micro-batch
 *     train_gradient.c  one rank's share of one step: micro-batches into sums, buckets out
 *     train_audit.c     one micro-batch now and then, compared with what other ranks compute
 *     train_head.c      the state's counters are kept twice
 *     train_step.c      the stepper: one generation after the other, one step after the other
 *     train_evaluate.c  the evaluation loss
 *     train_save.c      checkpoints
 *     train_report.c    what the agent is told
 *
 * Threads: one control thread (main), which never computes and so always answers; one stepper,
 * which alone changes the state; and threads - 1 helpers, which compute micro-batches beside it. */
#ifndef MU_TRAIN_H
#define MU_TRAIN_H

#include "common/error.h"
#include "common/jobspec.h"
#include "states.h"
#include "wire.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/comm/comm.h"
#include "worker/comm/region.h"
#include "worker/data/data.h"
#include "worker/data/order.h"
#include "worker/kernels/kernels.h"
#include "worker/state/optimizer.h"
#include "worker/state/quantise.h"
#include "worker/state/state.h"
#include "worker/trainer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TRAIN_KEPT_MAX  256u  /* bytes of LEFT.kept: 2047 bits */
#define TRAIN_SKIPS_MAX 1024u /* as the journal allows: poison_limit */

/* --- the job, open (train_open.c) ------------------------------------------------------------- */

struct train_options {
    const char *isa;   /* NULL: the best */
    const char *dir;   /* state folder, for checkpoints without a folder of their own */
    const char *cache; /* for unpacked data; NULL: data.h's default */
    unsigned threads;  /* where the job names none */
    struct train_report *report; /* NULL: nobody is told how far the data is */
};

/* A bucket is a run of neighbouring tensors of at least TRAIN_BUCKET_WORDS words (the last one may
 * be smaller), so that small tensors do not cost a reduction each. Bucket 0 holds the last tensors,
 * which backward finishes first; the last bucket is the sums' tail. */
struct train_buckets {
    uint32_t count;
    struct mu_region_bucket *bucket;
    uint32_t *of_tensor; /* [tensors] */
    uint32_t *tensors;   /* [count]: how many tensors it has; 0 for the tail */
};

struct train_evaluation {
    struct mu_data *data; /* NULL: the job is not evaluated */
    struct mu_data_info info;
    struct mu_order order;
    uint64_t every; /* 0: at the end alone */
    uint64_t batches;
};

struct train_job {
    uint64_t number;
    struct mu_jobspec spec;
    char *json; /* the same as it came */
    const struct mu_kernels *kernels;
    const struct muster_trainer *trainer;
    void *plugin;
    struct muster_model *model;
    struct muster_setting *settings;
    struct muster_records records;
    const struct muster_tensor *tensors;
    struct mu_data *data;
    struct mu_data_info info;
    struct mu_order order;
    char identity[2 * MU_DATA_IDENTITY_MAX];
    struct train_evaluation evaluation;
    struct mu_optimizer optimizer; /* `steps` is filled in by ENTER */
    struct train_buckets buckets;
    struct mu_region *region;
    int region_fd;
    struct mu_comm *comm;
    struct mu_state *state; /* in the region, as are the sums */
    bool blank;             /* `state` is laid out and holds nothing: another's is waited for */
    struct mu_sums_layout layout;
    uint32_t micro_batches;
    uint32_t threads;
    char checkpoint_dir[PATH_MAX];
    uint64_t unsound; /* the checkpoint of this step was to be loaded, and is not what was committed */
    char
        unread[256]; /* why a checkpoint that was to be loaded could not be read; empty: it could */
    bool distrusts; /* a worker was wrong before: checkpoints of this job may be of wrong states */
};

/* Open everything that PREPARE names. */
int train_open (struct train_job *job, const struct train_options *options,
                const struct mu_wire_prepare *prepare, struct mu_error *error);
/* The state is lost, or half of another's: be as one that waits for it. */
int train_go_blank (struct train_job *job, struct mu_error *error);
/* Can its checkpoints be written where it wants them, and is nobody else's work in the way? */
int train_check_folder (const struct train_job *job, struct mu_error *error);
/* Move away what this job wrote beyond `step` while a worker was wrong. */
int train_clear_folder (const struct train_job *job, uint64_t step, struct mu_error *error);

int train_plan_buckets (struct train_buckets *buckets, const struct mu_sums_layout *layout,
                        const struct mu_state *state, struct mu_error *error);

/* Something was done: a record read, a tensor summed, a batch judged. Any thread. */
static inline void train_worked (const struct train_job *job)
{
    atomic_fetch_add_explicit (&job->region->control->trainer.work, 1, memory_order_relaxed);
}

/* --- threads (train_pool.c) ------------------------------------------------------------------- */

/* What one thread computes with. */
/* Zeroed, aligned as a state is, and not in the child that writes a checkpoint. NULL: none left. */
void *train_memory_take (size_t bytes);
void train_memory_free (void *memory);

struct train_thread {
    struct train_job *job;
    void *workspace;
    float *gradient;   /* state->padded floats */
    float **gradients; /* into it, by tensor */
    const float **weights;
    bool *summed; /* [tensors]: added to the sums already, this micro-batch */
    uint64_t *numbers;
    int32_t *tokens, *labels;
    float *features;
    void *task; /* of whatever runs now */
    _Atomic uint64_t busy_ns;
};

struct train_pool;

/* Item `item` of a task on `thread`. False: no further item is begun. */
typedef bool (*train_item) (struct train_thread *thread, void *task, uint32_t item);

struct train_pool *train_pool_create (struct train_job *job, struct mu_error *error);

/* Run items 0 .. count-1, each once, on all threads, this one among them, in no order; until
 * *stop becomes true (NULL: never), after which items that were begun are finished. */
void train_pool_run (struct train_pool *pool, train_item run, void *task, uint32_t count,
                     const atomic_bool *stop);

/* Room for a gradient between two steps: that of the thread which calls train_pool_run (). */
float *train_pool_gradient (struct train_pool *pool);

/* Time spent computing since the last call. */
uint64_t train_pool_busy_us (struct train_pool *pool);

/* Read records into the thread's buffers and fill `batch`. */
int train_fill (struct train_thread *thread, struct mu_data *data, const struct mu_data_info *info,
                uint32_t records, struct muster_batch *batch, struct mu_error *error);

/* --- orders (train_orders.c) ------------------------------------------------------------------ */

struct train_skip {
    uint64_t step;
    uint32_t micro_batch;
};

struct train_generation { /* ENTER */
    uint64_t number;
    uint32_t rank, size, attempt, source_rank;
    bool transfer, writer;
    uint32_t made_of; /* some are one update behind, and take the sums of that (behind.h) */
    uint64_t step, steps, records;
    uint16_t first_map[MU_MICRO_BATCHES_MAX], map[MU_MICRO_BATCHES_MAX];
    uint64_t suspect_step; /* trainers died of some of its micro-batches: of these */
    uint8_t suspects[TRAIN_KEPT_MAX];
    uint32_t skip_count;
    struct train_skip skips[TRAIN_SKIPS_MAX];
};

enum train_order { TRAIN_ENTER, TRAIN_LEAVE, TRAIN_WRITE };

struct train_orders {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool enter, leave, write;
    struct train_generation generation;
    uint64_t leave_generation, write_generation;
    uint64_t until_step, until_generation;
    uint64_t compare_generation, compare_step;
    uint64_t entered;      /* newest generation the stepper took */
    atomic_bool interrupt; /* stop what you do for the generation you are in */
};

void train_orders_init (struct train_orders *orders);

/* The control thread's side. -1 when the word cannot be meant for this job. */
int train_post_enter (struct train_orders *orders, const struct mu_wire_enter *enter,
                      const struct train_job *job, struct mu_error *error);
void train_post_extend (struct train_orders *orders, const struct mu_wire_extend *extend);
void train_post_compare (struct train_orders *orders, const struct mu_wire_compare *compare);
void train_post_leave (struct train_orders *orders, uint64_t generation);
void train_post_write (struct train_orders *orders, uint64_t generation);
/* Something else that the stepper may wait for has changed. */
void train_orders_nudge (struct train_orders *orders);

/* Of the coordinator's lists: is this micro-batch left out, or to be computed alone? */
bool train_is_skipped (const struct train_generation *generation, uint64_t step,
                       uint32_t micro_batch);
bool train_is_suspect (const struct train_generation *generation, uint64_t step,
                       uint32_t micro_batch);
/* How many of the steps before this one are left out. */
uint64_t train_skipped_before (const struct train_generation *generation, uint64_t step);

/* The stepper's side: wait for the next order. *generation is filled for ENTER, *number always. */
enum train_order train_next_order (struct train_orders *orders, struct train_generation *generation,
                                   uint64_t *number);
uint64_t train_until (struct train_orders *orders);
/* Were ranks to be compared in that generation, as some were to leave? */
bool train_is_reviewed (struct train_orders *orders, uint64_t generation);
/* Is all to be compared in this step? So it is in a job's last. */
bool train_compares (struct train_orders *orders, const struct train_generation *generation,
                     uint64_t step);
/* Wait until leases reach beyond `step`, or the generation is to be left, or at most timeout_ms, or
 * a nudge. */
void train_wait_lease (struct train_orders *orders, uint64_t step, int timeout_ms);

/* --- reports (train_report.c) ----------------------------------------------------------------- */

struct train_report {
    pthread_mutex_t lock;
    int fd; /* the agent's channel */
    struct mu_wire_progress progress;
    uint64_t loss_step; /* whose loss that is */
    bool dirty;
    uint64_t sent_ms;
    struct train_pool *pool; /* whose busy time is told */
};

void train_report_init (struct train_report *report, int fd);
/* Say a word at once; the process ends when the agent is gone. */
void train_say (struct train_report *report, const struct mu_wire *wire, int passed);
void train_refuse (struct train_report *report, const struct mu_error *error);
/* Opening goes on: WORKING, at most twice a second. `report` may be NULL. */
void train_report_working (struct train_report *report, const char *what, uint64_t done,
                           uint64_t total);
/* PROGRESS when something changed, at most every 50 ms; what was held back goes out by
 * train_report_flush (), or with the next. An `urgent` change is not held back. */
void train_report_generation (struct train_report *report, uint64_t generation, uint64_t step);
void train_report_phase (struct train_report *report, enum mu_phase_state phase, bool urgent);
void train_report_step (struct train_report *report, uint64_t step, double loss, uint64_t targets);
void train_report_evaluation (struct train_report *report, uint64_t step, double loss,
                              double accuracy);
void train_report_unevaluated (struct train_report *report, const char *why);
/* After the last step; said with the next change, and forgotten with the next generation. */
void train_report_weights (struct train_report *report, const char *hash);
/* What can be said of the state of STEP: loss 0, evaluated_step 0 where this process does not know. */
struct mu_wire_progress train_report_reached (struct train_report *report, uint64_t step);
void train_report_flush (struct train_report *report);

/* --- checkpoints (train_save.c) --------------------------------------------------------------- */

struct train_saver {
    pthread_mutex_t lock;
    struct mu_checkpoint_writer writer;
    uint64_t generation, step;
    bool last;                       /* the job's last step is written, or was */
    struct mu_wire_progress reached; /* loss and evaluation when the snapshot was taken */
    uint64_t begun_ms;
    uint64_t written;   /* newest step on storage plus one; 0: none by this process */
    uint64_t failed_ms; /* when the last attempt failed; 0: it did not */
    uint64_t looked_ms, moved_ms; /* the writer was looked at, and was seen to move */
    struct mu_checkpoint_look look;
    int wake;           /* eventfd: the control thread has a new descriptor to poll */
};

int train_saver_init (struct train_saver *saver, struct mu_error *error);
/* Take a snapshot and begin to write it. False: another is still being written. A failure is told
 * to the agent. */
bool train_save (struct train_saver *saver, const struct train_job *job, uint64_t generation,
                 struct train_report *report);
/* The control thread: what to poll (-1: nothing), and what to do when it is readable. */
int train_saver_fd (struct train_saver *saver);
void train_saver_poll (struct train_saver *saver, struct train_report *report);
/* Tell of a checkpoint that takes long. */
void train_saver_look (struct train_saver *saver, struct train_report *report);
/* Its writer does not move: end it, and tell. False: it does not write that, or cannot be replaced yet. */
bool train_saver_give_up (struct train_saver *saver, uint64_t step, struct train_report *report);
void train_prune (struct train_saver *saver, const struct train_job *job,
                  const struct mu_wire_prune *prune);
/* Another rank writes from now on: let go of the memory, if nothing is being written. */
void train_saver_rest (struct train_saver *saver);
/* Is the state of this step on storage, or being written? */
bool train_saver_has (struct train_saver *saver, uint64_t step);

/* --- audits (train_audit.c) ------------------------------------------------------------------- */

#define TRAIN_AUDITS_MAX 4u /* of one rank in one step */

struct train_audit { /* of this step */
    bool owns;       /* it is computed for the sums; else for its hash alone */
    uint32_t micro_batch;
    uint64_t digest;
    bool done;
};

struct train_audits {
    struct train_audit list[TRAIN_AUDITS_MAX]; /* those for the hash alone come first */
    uint32_t count, others;
};

/* --- one step, one generation ----------------------------------------------------------------- */

struct train {
    struct train_job job;
    struct train_pool *pool;
    struct train_orders orders;
    struct train_report report;
    struct train_saver saver;
    uint64_t sums_step; /* the step and attempt that the sums are of */
    uint64_t sums_attempt;
    bool sums_begun;
    /* What the state's last update was made of: 1 + which try; 0: another gave the state. */
    uint32_t made_of;
    uint64_t evaluated; /* the newest step that was evaluated here, plus one */
    uint64_t unsaved;   /* checkpoints that were due here while one was still being written */
    struct train_audits audits;
    struct mu_state *head; /* as it was left (train_head.c); NULL: it is being changed */
};

enum train_share {
    TRAIN_SHARE_DONE,    /* all this rank's micro-batches are in the sums, all buckets marked */
    TRAIN_SHARE_STOPPED, /* interrupted: some are in the sums, whole */
    TRAIN_SHARE_WRONG,   /* the data is wrong */
    TRAIN_SHARE_BROKEN,  /* the communicator refused: a bug */
};

/* Compute the micro-batches that `map` gives this rank and that its sums do not hold yet. */
enum train_share train_gradients (struct train *train, const struct train_generation *generation,
                                  const uint16_t *map, struct mu_error *error);

/* Compute for nothing but their hashes what train_audit_again () planned. */
void train_recompute (struct train *train);

/* Does the result leave out what this generation leaves out, and nothing else? */
int train_check_skips (const struct train *train, const struct train_generation *generation,
                       struct mu_error *error);

/* Which micro-batches of the coming step are compared, and what this rank has to do with them. */
void train_audit_plan (struct train *train, const struct train_generation *generation);
/* This one is compared, beside the sums, by its owner, too. */
void train_audit_again (struct train *train, const struct train_generation *generation,
                        uint32_t micro_batch);
/* Does this generation compare anything? */
bool train_is_audited (const struct train_job *job, const struct train_generation *generation);
/* The one of this micro-batch, if this rank owns it and it is compared; or NULL. */
struct train_audit *train_audit_owned (struct train *train, uint32_t micro_batch);
/* Its gradient of this tensor: each once, in any order. */
void train_audit_tensor (struct train_audit *audit, const struct train_job *job, uint32_t tensor,
                         const float *gradient);
/* Compute it for nothing but its hash. */
void train_audit_compute (struct train_thread *thread, struct train_audit *audit);
void train_audit_say (struct train *train, const struct train_generation *generation);

/* The state's head and table, with `train` alone in this memory: as they are now; not any more; and are they what they
 * were? If not, this does not return. */
void train_keep_head (struct train *train);
void train_forget_head (struct train *train);
void train_check_head (const struct train *train);

/* Evaluate the state; false when interrupted, or when the data is wrong (said so in the log). */
bool train_evaluate (struct train *train, double *loss, double *accuracy);

/* The stepper thread. Never returns. */
void *train_stepper (void *train);

/* Monotonic time. */
uint64_t train_now_ms (void);

#endif
