/* SPDX-License-Identifier: Apache-2.0 */
/* muster.h - libmuster: talk to a Muster coordinator from C
 *
 *     struct muster *muster;
 *     struct muster_error error;
 *     uint64_t job;
 *     if (muster_open (&muster, NULL, &error)
 *         || muster_submit (muster, spec, strlen (spec), NULL, &job, NULL, &error))
 *         fprintf (stderr, "%s\n", error.text);
 *     muster_close (&muster);
 *
 * One handle belongs to one thread at a time. A call sends one request and waits for its answer, at
 * most the handle's timeout; it is sent again while no answer comes, which is harmless because
 * every request can be repeated (a submit carries an idempotency key). Calls return 0, or -1 with
 * *error; TRY_AGAIN is one that a signal has interrupted. `error` may be NULL.
 *
 * What a list call returns belongs to a muster_answer; its texts and items live until
 * muster_answer_free ().
 */
#ifndef MUSTER_H
#define MUSTER_H

#include <muster/muster_info.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MUSTER_DEFAULT_COORDINATOR "tcp://127.0.0.1:7600"

/* Codes are those of docs/errors.md; muster_exit_status () maps them to what a program should exit
 * with. */
struct muster_error {
    int code;
    char text[1024]; /* what is wrong, where, what to do */
};

struct muster;
struct muster_answer;

/* `coordinator` is an endpoint such as tcp://host:7600; NULL takes the environment's
 * MUSTER_COORDINATOR, else MUSTER_DEFAULT_COORDINATOR. Connects when the first request is sent. */
int muster_open (struct muster **muster, const char *coordinator, struct muster_error *error);
/* The same with several, at most 16, of which the first that answers is taken, and looked for anew after
 * it has failed to answer. A count of 0 is as NULL above. */
int muster_open_any (struct muster **muster, const char *const *coordinators, size_t count,
                     struct muster_error *error);
void muster_close (struct muster **muster);

/* How long a request may take; 10,000 at first. UNAVAILABLE when it ran out. */
void muster_set_timeout (struct muster *muster, uint32_t milliseconds);

const char *muster_coordinator (const struct muster *muster);
int muster_exit_status (const struct muster_error *error);

/* Submit a normalised job file (JSON, as `muster validate -o json` prints it). With a key of 1 to
 * 63 bytes, a second submit with the same key gives the same job; NULL makes one up. */
int muster_submit (struct muster *muster, const char *spec, size_t size, const char *key,
                   uint64_t *job, bool *repeated, struct muster_error *error);

enum muster_verb {
    MUSTER_CANCEL = 1,
    MUSTER_PAUSE = 2,
    MUSTER_RESUME = 3,
    /* Of a job that waits because nobody can read its newest checkpoint: give that up. */
    MUSTER_FORGO_CHECKPOINT = 4
};

/* `job` is a number or a name; of several jobs with one name the newest is meant. */
int muster_control (struct muster *muster, const char *job, enum muster_verb verb,
                    struct muster_error *error);
/* At most `workers` (1 to 65535) for this job from now on; its minimum sinks with it. */
int muster_scale (struct muster *muster, const char *job, uint32_t workers,
                  struct muster_error *error);
int muster_drain (struct muster *muster, const char *worker, bool undo, struct muster_error *error);

enum muster_fault_kind {
    MUSTER_FAULT_KILL,
    MUSTER_FAULT_STOP,
    MUSTER_FAULT_SLOW,
    MUSTER_FAULT_CORRUPT,
    MUSTER_FAULT_PARTITION,
    MUSTER_FAULT_DROP
};
enum muster_process { MUSTER_AGENT, MUSTER_TRAINER, MUSTER_COLLECTIVE };
enum muster_corruption { MUSTER_SUMS, MUSTER_STATE, MUSTER_RESULT };
enum muster_direction { MUSTER_BOTH, MUSTER_IN, MUSTER_OUT };

/* Something to break on purpose; `muster fault KIND --help` says what each field does. */
struct muster_fault {
    enum muster_fault_kind kind;
    const char *worker; /* its name or number; NULL: the coordinator, which can only be killed */
    enum muster_process process;
    uint64_t milliseconds; /* 0: for ever (STOP) */
    double factor;
    uint32_t percent;
    enum muster_corruption what;
    enum muster_direction direction;
    bool peers;
};

/* Break it. *text, in *answer, says what was done. NO_PERMISSION unless coordinator and worker were
 * started with --enable-faults. */
int muster_fault (struct muster *muster, const struct muster_fault *fault,
                  struct muster_answer **answer, struct muster_text *text,
                  struct muster_error *error);

/* Lists: items lie in *answer. Of muster_jobs () and muster_events () a `job` that is NULL or "" means all; the
 * others need one. */
int muster_jobs (struct muster *muster, const char *job, struct muster_answer **answer,
                 const struct muster_job_info **jobs, size_t *count, struct muster_error *error);
int muster_workers (struct muster *muster, struct muster_answer **answer,
                    const struct muster_worker_info **workers, size_t *count,
                    struct muster_error *error);
int muster_checkpoints (struct muster *muster, const char *job, struct muster_answer **answer,
                        const struct muster_checkpoint_info **checkpoints, size_t *count,
                        struct muster_error *error);
/* Journal records numbered above `after`, oldest first, at most `limit` (1 to 1000). */
int muster_events (struct muster *muster, const char *job, uint64_t after, uint32_t limit,
                   struct muster_answer **answer, const struct muster_event_info **events,
                   size_t *count, struct muster_error *error);

/* The same as the bytes that are stored (docs/journal.md), every record of the job and whatever of any
 * job could not be read: for programs that check the journal. The job must be named. */
int muster_records (struct muster *muster, const char *job, uint64_t after, uint32_t limit,
                    struct muster_answer **answer, const struct muster_record_info **records,
                    size_t *count, struct muster_error *error);

struct muster_shards {
    uint64_t shards, trained, leased;
    uint64_t skipped; /* micro-batches of single steps in them that were left out as poison */
    uint32_t window_steps, micro_batches;
    const struct muster_window_info *windows; /* neither untouched nor trained through */
    size_t window_count;
};
int muster_shards (struct muster *muster, const char *job, struct muster_answer **answer,
                   struct muster_shards *shards, struct muster_error *error);

/* Whole lines of the job's log from `offset` bytes on; *next is where to go on. */
int muster_logs (struct muster *muster, const char *job, uint64_t offset,
                 struct muster_answer **answer, struct muster_text *text, uint64_t *next,
                 struct muster_error *error);

/* The coordinator's numbers, in the order of docs/metrics.md. */
int muster_metrics (struct muster *muster, struct muster_answer **answer,
                    const struct muster_metric_info **metrics, size_t *count,
                    struct muster_error *error);

struct muster_pong {
    char version[32];
    uint64_t term, uptime_ms, commits, records;
    uint32_t jobs, workers;
    int follows;       /* another coordinator reigns */
    uint32_t in_sync;  /* others that can take its place at any moment */
    uint32_t ahead_ms; /* for so long it may answer what those have not confirmed; 0: not at all */
    uint64_t behind;   /* records that one of them has not confirmed yet */
};
int muster_ping (struct muster *muster, struct muster_pong *pong, struct muster_error *error);

void muster_answer_free (struct muster_answer **answer);

#ifdef __cplusplus
}
#endif

#endif
