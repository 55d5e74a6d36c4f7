/* SPDX-License-Identifier: Apache-2.0 */
/* crew.c - a few threads that work through a numbered list
 *
 * The threads block all signals: they are a guest's in a program that has its own handlers. In a
 * child of a process with threads they may be made all the same: glibc puts the locks of malloc and
 * of its thread list in order after a fork (decisions/0021). */
#include "worker/checkpoint/crew.h"

#include "common/cpus.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* The hash of all weights is one piece and a quarter of the work, so a fifth hand would wait. */
#define HANDS_MAX      4u
#define BYTES_PER_HAND ((uint64_t)8 << 20) /* some 10 ms of hashing, against 0.1 ms for a thread */

struct crew {
    mu_crew_work *work;
    void *about;
    uint32_t pieces;
    pthread_mutex_t lock; /* of what follows */
    uint32_t next;
    bool failed;
    struct mu_error error;
};

static bool take (struct crew *crew, uint32_t *number)
{
    pthread_mutex_lock (&crew->lock);
    const bool any = !crew->failed && crew->next < crew->pieces;
    if (any)
        *number = crew->next++;
    pthread_mutex_unlock (&crew->lock);
    return any;
}

static void note_failure (struct crew *crew, const struct mu_error *error)
{
    pthread_mutex_lock (&crew->lock);
    if (!crew->failed)
        crew->error = *error;
    crew->failed = true;
    pthread_mutex_unlock (&crew->lock);
}

static void *work_along (void *argument)
{
    struct crew *crew = argument;
    struct mu_error error = { .code = MU_OK };
    uint32_t number;
    while (take (crew, &number))
        if (crew->work (crew->about, number, &error) < 0)
            note_failure (crew, &error);
    return NULL;
}

int mu_crew_run (uint32_t hands, uint32_t pieces, mu_crew_work *work, void *about,
                 struct mu_error *error)
{
    struct crew crew = {
        .work = work, .about = about, .pieces = pieces, .lock = PTHREAD_MUTEX_INITIALIZER
    };
    pthread_t threads[HANDS_MAX];
    uint32_t started = 0;
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    while (started < HANDS_MAX - 1 && started + 1 < hands && started + 1 < pieces &&
           pthread_create (&threads[started], NULL, work_along, &crew) == 0)
        started++;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    work_along (&crew);
    for (uint32_t i = 0; i < started; i++)
        pthread_join (threads[i], NULL);
    pthread_mutex_destroy (&crew.lock);
    if (crew.failed && error)
        *error = crew.error;
    return crew.failed ? -1 : 0;
}

uint32_t mu_crew_hands (uint64_t bytes)
{
    uint64_t hands = 1 + bytes / BYTES_PER_HAND, cores = hands > 1 ? mu_cpus () : 1;
    hands = hands < cores ? hands : cores;
    return hands < HANDS_MAX ? (uint32_t)hands : HANDS_MAX;
}
