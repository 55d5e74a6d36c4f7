/* SPDX-License-Identifier: Apache-2.0 */
/* io_compactor.c - when to fold, and by whom
 *
 * Reading the journal twice costs some microseconds a row. Waiting until rows that may go some day have come,
 * half as many as were left and GROWN_MIN at least, keeps that below the cost of having stored them; jobs
 * that wait are no reason to look, however many. A failure is logged and tried again at the next
 * look: nothing depends on it but room. With the rows of a job that was forgotten its log goes. */
#include "io_compactor.h"

#include "clock.h"
#include "io_compact.h"
#include "io_logs.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_LOOK_MS 3000 /* when workers have come back */
#define LOOK_MS       10000
#define GROWN_MIN     10000u
#define FOLDED_MIN    2 /* rows: of fewer none can stand for the others */

struct compactor {
    struct compactor_options options;
    uint64_t next; /* look, when the store was given so many rows */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct planned *waiting; /* for compactor_turn () */
    _Atomic bool stopping;
};

struct planned {
    struct compaction *plan;
    uint64_t fills; /* of which journal */
    int result;
    struct mu_error error;
};

static int apply (void *arg, struct store *store, struct mu_error *error)
{
    const struct planned *planned = arg;
    if (store_fills (store) != planned->fills)
        return mu_fail (error, MU_TRY_AGAIN, "it was replaced by the leader's meanwhile");
    return compaction_apply (planned->plan, store, error);
}

void compactor_turn (struct compactor *compactor)
{
    pthread_mutex_lock (&compactor->lock);
    struct planned *planned = compactor->waiting;
    if (planned) {
        planned->result = apply (planned, compactor->options.store, &planned->error);
        compactor->waiting = NULL;
        pthread_cond_broadcast (&compactor->changed);
    }
    pthread_mutex_unlock (&compactor->lock);
}

static int await_turn (struct compactor *compactor, struct planned *planned)
{
    pthread_mutex_lock (&compactor->lock);
    compactor->waiting = planned;
    while (compactor->waiting && !atomic_load (&compactor->stopping))
        pthread_cond_wait (&compactor->changed, &compactor->lock);
    int rc = compactor->waiting ? mu_fail (&planned->error, MU_TRY_AGAIN, "it was called off")
                                : planned->result;
    compactor->waiting = NULL;
    pthread_mutex_unlock (&compactor->lock);
    return rc;
}

static int carry_out (struct compactor *compactor, struct planned *planned)
{
    return compactor->options.committer
               ? committer_do (compactor->options.committer, apply, planned, &compactor->stopping,
                               &planned->error)
               : await_turn (compactor, planned);
}

static void tell (const struct compactor *compactor, const struct planned *planned, bool failed,
                  const struct compaction_counts *counts)
{
    if (failed && planned->error.code != MU_TRY_AGAIN && !atomic_load (&compactor->stopping))
        mu_log (MU_LOG_WARN, "not_folded", NULL, "the journal was not folded: %s",
                planned->error.text);
    else if (!failed && counts->gone)
        mu_log (MU_LOG_INFO, "folded", NULL,
                "%" PRIu64 " of %" PRIu64 " rows of the journal were let go; %" PRIu64
                " jobs that ended long ago are one record each",
                counts->gone - counts->jobs, counts->rows, counts->jobs);
}

static bool is_gone (const void *plan, uint64_t job) { return compaction_forgot (plan, job); }

/* True: look again at once. */
static bool look (struct compactor *compactor)
{
    const struct compactor_options *options = &compactor->options;
    struct compaction_counts counts = { 0 };
    uint64_t given = store_given (options->store);
    struct planned planned = { .fills = store_fills (options->store) };
    uint64_t before_ms;
    bool failed = compaction_before_ms (options->dir, mu_unix_ms (), options->history_ms,
                                        &before_ms, &planned.error) ||
                  compaction_plan (options->dir, before_ms, &compactor->stopping, &planned.plan,
                                   &planned.error);
    if (!failed) {
        counts = *compaction_counts (planned.plan);
        failed = counts.gone && carry_out (compactor, &planned);
    }
    if (!failed)
        job_logs_sweep (options->dir, is_gone, planned.plan);
    compaction_destroy (&planned.plan);
    uint64_t left = counts.rows - counts.gone, grown = left / 2;
    compactor->next = given + (grown > GROWN_MIN ? grown : GROWN_MIN);
    /* The journal is another one now, or busy; or there is more. */
    if (failed ? planned.error.code == MU_TRY_AGAIN : counts.more)
        compactor->next = FOLDED_MIN;
    tell (compactor, &planned, failed, &counts);
    return !failed && counts.more;
}

static void wait_ms (struct compactor *compactor, unsigned ms)
{
    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    pthread_mutex_lock (&compactor->lock);
    int rc = 0;
    while (!rc && !atomic_load (&compactor->stopping))
        rc = pthread_cond_timedwait (&compactor->changed, &compactor->lock, &until);
    pthread_mutex_unlock (&compactor->lock);
}

static void *compactor_thread (void *arg)
{
    struct compactor *compactor = arg;
    wait_ms (compactor, FIRST_LOOK_MS);
    while (!atomic_load (&compactor->stopping)) {
        if (store_given (compactor->options.store) < compactor->next || !look (compactor))
            wait_ms (compactor, LOOK_MS);
    }
    return NULL;
}

int compactor_start (struct compactor **compactor_p, const struct compactor_options *options,
                     struct mu_error *error)
{
    struct compactor *compactor = calloc (1, sizeof *compactor);
    if (!compactor)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    compactor->options = *options;
    compactor->next = FOLDED_MIN;
    pthread_condattr_t clock;
    pthread_condattr_init (&clock);
    pthread_condattr_setclock (&clock, CLOCK_MONOTONIC);
    pthread_cond_init (&compactor->changed, &clock);
    pthread_condattr_destroy (&clock);
    pthread_mutex_init (&compactor->lock, NULL);
    int number = pthread_create (&compactor->thread, NULL, compactor_thread, compactor);
    if (number) {
        free (compactor);
        return mu_fail_errno (error, MU_SYSTEM, number, "the folding thread cannot start");
    }
    *compactor_p = compactor;
    return 0;
}

void compactor_stop (struct compactor **compactor_p)
{
    struct compactor *compactor = *compactor_p;
    if (!compactor)
        return;
    pthread_mutex_lock (&compactor->lock);
    atomic_store (&compactor->stopping, true);
    pthread_cond_broadcast (&compactor->changed);
    pthread_mutex_unlock (&compactor->lock);
    pthread_join (compactor->thread, NULL);
    pthread_mutex_destroy (&compactor->lock);
    pthread_cond_destroy (&compactor->changed);
    free (compactor);
    *compactor_p = NULL;
}
