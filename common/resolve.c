/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.c - getaddrinfo () in a thread that is left behind when it takes too long
 *
 * The question is shared: whoever is the last to look away frees it. The thread blocks all signals,
 * so that they go where they went before. */
#include "resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct question {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    char host[256];
    int rc;
    bool known, left; /* left: one of the two is gone */
};

/* The host between tcp:// and the port; what follows a ; is the address to connect to, what stands
 * before it our own. */
static bool host_of (const char *endpoint, char host[256])
{
    if (strncmp (endpoint, "tcp://", 6) != 0)
        return false;
    const char *begin = endpoint + 6, *own = strrchr (begin, ';');
    if (own)
        begin = own + 1;
    const char *end = strrchr (begin, ':');
    if (!end || end == begin || end - begin >= 256 || *begin == '[')
        return false;
    memcpy (host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    return true;
}

static void leave (struct question *question)
{
    bool last = question->left;
    question->left = true;
    pthread_mutex_unlock (&question->lock);
    if (!last)
        return;
    pthread_mutex_destroy (&question->lock);
    pthread_cond_destroy (&question->answered);
    free (question);
}

static void *look_up (void *argument)
{
    struct question *question = argument;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    int rc = getaddrinfo (question->host, NULL, &hints, &found);
    if (!rc)
        freeaddrinfo (found);
    pthread_mutex_lock (&question->lock);
    question->rc = rc;
    question->known = true;
    pthread_cond_signal (&question->answered);
    leave (question);
    return NULL;
}

static int start (struct question *question)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int number = pthread_create (&thread, NULL, look_up, question);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (!number)
        pthread_detach (thread);
    return number;
}

static struct question *ask (const char *host)
{
    struct question *question = calloc (1, sizeof *question);
    pthread_condattr_t monotonic;
    if (!question)
        return NULL;
    snprintf (question->host, sizeof question->host, "%s", host);
    pthread_mutex_init (&question->lock, NULL);
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&question->answered, &monotonic);
    pthread_condattr_destroy (&monotonic);
    if (!start (question))
        return question;
    question->left = true;
    pthread_mutex_lock (&question->lock);
    leave (question);
    return NULL;
}

int mu_resolve (const char *endpoint, uint32_t limit_ms, struct mu_error *error)
{
    char host[256];
    struct timespec end;
    if (!host_of (endpoint, host))
        return 0;
    struct question *question = ask (host);
    if (!question)
        return 0; /* no thread to ask with: ZeroMQ will find out */
    clock_gettime (CLOCK_MONOTONIC, &end);
    end.tv_sec += limit_ms / 1000;
    end.tv_nsec += (long)(limit_ms % 1000) * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock (&question->lock);
    int waited = 0;
    while (!question->known && waited == 0)
        waited = pthread_cond_timedwait (&question->answered, &question->lock, &end);
    bool known = question->known;
    int rc = question->rc;
    leave (question);
    if (known && rc == 0)
        return 0;
    return mu_fail (error, MU_NO_HOST,
                    "the name %s in %s does not resolve (%s): look at --coordinator or "
                    "MUSTER_COORDINATOR, or at this machine's name service",
                    host, endpoint, known ? gai_strerror (rc) : "no answer from the name service");
}
