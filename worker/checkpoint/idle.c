/* SPDX-License-Identifier: Apache-2.0 */
/* idle.c - work for cores that nobody else wants, until its time is over
 *
 * A core that runs an idle thread counts as free: who wakes is put there and goes on at once. A thread of
 * low priority makes it wait for the end of its slice, or the balancer puts two others on one core; a step then
 * takes longer than the thread does. But idle threads have next to nothing of cores that are wanted all
 * the time, so they are it for a limited time. To leave the class takes a right (RLIMIT_NICE, or
 * CAP_SYS_NICE); whether it is there is tried by a thread that has nothing else to do. */
#include "worker/checkpoint/idle.h"

#include "common/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#define LEAST_US      UINT64_C (250000)
#define BYTES_EACH_US UINT64_C (100)

static _Atomic uint64_t until_us; /* 0: no thread is idle */

static bool become (int policy)
{
    const struct sched_param none = { 0 };
    return sched_setscheduler (0, policy, &none) == 0;
}

static void *try_both (void *can)
{
    *(bool *)can = become (SCHED_IDLE) && become (SCHED_OTHER);
    return NULL;
}

static bool can_leave (void)
{
    static bool tried, can;
    pthread_t thread;
    if (!tried && pthread_create (&thread, NULL, try_both, &can) == 0)
        pthread_join (thread, NULL);
    tried = true;
    return can;
}

void mu_idle_begin (uint64_t bytes)
{
    if (!can_leave () || !become (SCHED_IDLE))
        return;
    atomic_store (&until_us, mu_now_us () + LEAST_US + bytes / BYTES_EACH_US);
}

void mu_idle_look (void)
{
    const uint64_t until = atomic_load (&until_us);
    if (until && mu_now_us () > until && sched_getscheduler (0) == SCHED_IDLE)
        become (SCHED_OTHER);
}

void mu_idle_end (void)
{
    if (atomic_exchange (&until_us, 0))
        become (SCHED_OTHER);
}
