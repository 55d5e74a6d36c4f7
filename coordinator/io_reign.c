/* SPDX-License-Identifier: Apache-2.0 */
/* io_reign.c - one request to the register at a time, in a thread of its own */
#include "io_reign.h"

#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REQUEST_MS 2000

struct io_reign {
    struct io_register *reg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum claim_wish wish; /* CLAIM_NOTHING: the thread rests */
    bool answered, stopping;
    struct reign expected, next, value;
    struct mu_error error; /* OK: it worked */
    int fd;
    enum claim_wish complained; /* what failed */
    bool past;                  /* and what was said last is that it went back */
};

static void *register_thread (void *arg)
{
    struct io_reign *reign = arg;
    pthread_mutex_lock (&reign->lock);
    while (!reign->stopping) {
        if (reign->wish == CLAIM_NOTHING || reign->answered) {
            pthread_cond_wait (&reign->changed, &reign->lock);
            continue;
        }
        struct mu_error error = { .code = MU_OK };
        pthread_mutex_unlock (&reign->lock);
        if (reign->wish == CLAIM_READ)
            register_read (reign->reg, REQUEST_MS, &reign->value, &error);
        else
            register_swap (reign->reg, REQUEST_MS, &reign->expected, &reign->next, &error);
        pthread_mutex_lock (&reign->lock);
        reign->error = error;
        reign->answered = true;
        eventfd_write (reign->fd, 1);
    }
    pthread_mutex_unlock (&reign->lock);
    return NULL;
}

int io_reign_start (struct io_reign **reign_p, struct io_register *reg, struct mu_error *error)
{
    struct io_reign *reign = calloc (1, sizeof *reign);
    if (!reign) {
        register_close (&reg);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    reign->reg = reg;
    reign->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init (&reign->lock, NULL);
    pthread_cond_init (&reign->changed, NULL);
    int number =
        reign->fd < 0 ? errno : pthread_create (&reign->thread, NULL, register_thread, reign);
    if (!number) {
        *reign_p = reign;
        return 0;
    }
    if (reign->fd >= 0)
        close (reign->fd);
    register_close (&reign->reg);
    free (reign);
    return mu_fail_errno (error, MU_SYSTEM, number, "the register's thread cannot start");
}

void io_reign_stop (struct io_reign **reign_p)
{
    struct io_reign *reign = *reign_p;
    if (!reign)
        return;
    pthread_mutex_lock (&reign->lock);
    reign->stopping = true;
    pthread_cond_signal (&reign->changed);
    pthread_mutex_unlock (&reign->lock);
    pthread_join (reign->thread, NULL);
    pthread_mutex_destroy (&reign->lock);
    pthread_cond_destroy (&reign->changed);
    register_close (&reign->reg);
    close (reign->fd);
    free (reign);
    *reign_p = NULL;
}

int io_reign_fd (const struct io_reign *reign) { return reign->fd; }

static bool is_past (struct io_reign *reign, const struct claim *claim)
{
    if (reign->error.code != MU_OK || reign->wish != CLAIM_READ ||
        !claim_is_past (claim, &reign->value))
        return false;
    mu_fail (&reign->error, MU_BAD_INPUT,
             "the register went back, from term %" PRIu64 " to term %" PRIu64
             ": was an older state of it put back? If the newer one is lost, stop all "
             "coordinators and start the one that reigns now with --take-over",
             claim->value.term, reign->value.term);
    return true;
}

/* Once when it begins; and that it went back, which an operator has to mend, also where it was away before: so
 * it is when its storage is lost and an older copy takes its place. */
static void complain (struct io_reign *reign, bool past)
{
    if (reign->complained == CLAIM_NOTHING || (past && !reign->past))
        mu_log (MU_LOG_WARN, "register_away", NULL,
                "%s; who reigns, and who is in sync, cannot change meanwhile", reign->error.text);
    if (reign->complained != CLAIM_SWAP)
        reign->complained = reign->wish;
    reign->past = reign->past || past;
}

/* Once when it is over. One that can be read and not be written is so when a swap is in, or none is wished for. */
static void calm_down (struct io_reign *reign, enum claim_wish did, enum claim_wish next)
{
    if (reign->complained == CLAIM_NOTHING ||
        (reign->complained == CLAIM_SWAP && did == CLAIM_READ && next == CLAIM_SWAP))
        return;
    mu_log (MU_LOG_INFO, "register_back", NULL, "the register answers again");
    reign->complained = CLAIM_NOTHING;
    reign->past = false;
}

static void tell (struct io_reign *reign, struct claim *claim, uint64_t now_ms)
{
    if (reign->error.code != MU_OK)
        claim_refused (claim, reign->error.code == MU_CONFLICT, now_ms);
    else if (reign->wish == CLAIM_READ)
        claim_read (claim, &reign->value, now_ms);
    else
        claim_swapped (claim, now_ms);
}

void io_reign_turn (struct io_reign *reign, struct claim *claim, uint64_t now_ms)
{
    eventfd_t count;
    enum claim_wish did = CLAIM_NOTHING; /* and the register answered */
    pthread_mutex_lock (&reign->lock);
    if (reign->answered) {
        eventfd_read (reign->fd, &count);
        bool past = is_past (reign, claim);
        if (reign->error.code == MU_OK || (reign->error.code == MU_CONFLICT && !reign->past))
            did = reign->wish;
        else if (reign->error.code != MU_CONFLICT)
            complain (reign, past);
        tell (reign, claim, now_ms);
        reign->wish = CLAIM_NOTHING;
        reign->answered = false;
    }
    if (reign->wish == CLAIM_NOTHING) {
        reign->wish = claim_ask (claim, now_ms);
        reign->expected = claim->value;
        reign->next = claim->next;
        if (reign->wish != CLAIM_NOTHING) /* a wake costs more than all else here */
            pthread_cond_signal (&reign->changed);
    }
    if (did != CLAIM_NOTHING)
        calm_down (reign, did, reign->wish);
    pthread_mutex_unlock (&reign->lock);
}
