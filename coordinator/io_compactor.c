/* SPDX-License-Identifier: Apache-2.0 */
/* io_compactor.c - when to fold, and by whom
 *
 * Reading the journal twice costs some microseconds a row. Waiting until it has grown by a half of
 * what was left, and by GROWN_MIN at least, keeps that below the cost of having stored it. A failure
 * is logged and tried again at the next look: nothing depends on it but room. */
#include "io_compactor.h"

#include "clock.h"
#include "io_compact.h"
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

struct compactor {
    char *dir;
    uint64_t history_ms, next; /* record */
    struct store *store;
    struct committer *committer;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic bool stopping;
};

static int apply (void *arg, struct store *store, struct mu_error *error)
{
    return compaction_apply (arg, store, error);
}

static uint64_t before_ms (const struct compactor *compactor)
{
    uint64_t now_ms = mu_unix_ms ();
    return now_ms > compactor->history_ms ? now_ms - compactor->history_ms : 0;
}

/* True: look again at once. */
static bool look (struct compactor *compactor)
{
    struct compaction *plan = NULL;
    struct mu_error error;
    struct compaction_counts counts = { 0 };
    uint64_t newest = store_newest (compactor->store);
    bool failed = compaction_plan (compactor->dir, before_ms (compactor), &plan, &error) != 0;
    if (!failed) {
        counts = *compaction_counts (plan);
        failed = counts.gone && committer_do (compactor->committer, apply, plan,
                                              &compactor->stopping, &error);
    }
    compaction_destroy (&plan);
    uint64_t left = counts.rows - counts.gone, grown = left / 2;
    compactor->next = newest + (grown > GROWN_MIN ? grown : GROWN_MIN);
    if (failed && !atomic_load (&compactor->stopping))
        mu_log (MU_LOG_WARN, "not_folded", NULL, "the journal was not folded: %s", error.text);
    else if (!failed && counts.gone)
        mu_log (MU_LOG_INFO, "folded", NULL,
                "%" PRIu64 " of %" PRIu64 " rows of the journal were let go; %" PRIu64
                " jobs that ended long ago are one record each",
                counts.gone - counts.jobs, counts.rows, counts.jobs);
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
        if (store_newest (compactor->store) < compactor->next || !look (compactor))
            wait_ms (compactor, LOOK_MS);
    }
    return NULL;
}

int compactor_start (struct compactor **compactor_p, const char *dir, uint64_t history_ms,
                     struct store *store, struct committer *committer, struct mu_error *error)
{
    struct compactor *compactor = calloc (1, sizeof *compactor);
    if (!compactor || !(compactor->dir = strdup (dir))) {
        free (compactor);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    compactor->history_ms = history_ms;
    compactor->store = store;
    compactor->committer = committer;
    pthread_condattr_t clock;
    pthread_condattr_init (&clock);
    pthread_condattr_setclock (&clock, CLOCK_MONOTONIC);
    pthread_cond_init (&compactor->changed, &clock);
    pthread_condattr_destroy (&clock);
    pthread_mutex_init (&compactor->lock, NULL);
    int number = pthread_create (&compactor->thread, NULL, compactor_thread, compactor);
    if (number) {
        free (compactor->dir);
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
    pthread_cond_signal (&compactor->changed);
    pthread_mutex_unlock (&compactor->lock);
    pthread_join (compactor->thread, NULL);
    pthread_mutex_destroy (&compactor->lock);
    pthread_cond_destroy (&compactor->changed);
    free (compactor->dir);
    free (compactor);
    *compactor_p = NULL;
}
