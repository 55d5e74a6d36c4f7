/* SPDX-License-Identifier: Apache-2.0 */
/* guards.c - see guards.h. Fatal: a UCX or libc without the real function. */
#include "guards.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#if !__has_include(<ucp/api/ucp.h>)
#error                                                                                             \
    "ucp/api/ucp.h is missing, and without it a lost peer goes unseen: apt-get install libucx-dev"
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wundef"
#include <ucp/api/ucp.h>
#pragma GCC diagnostic pop

/* Measured with 8 ranks on 2 cores: 50 empty polls are some 25 us of yielding before the first
 * sleep; an arriving byte ends the sleep at once. */
#define EMPTY_POLLS_MAX 50
#define SLEEP_MS        1

typedef ucs_status_t ep_create_function (ucp_worker_h, const ucp_ep_params_t *, ucp_ep_h *);
typedef int epoll_wait_function (int, struct epoll_event *, int, int);
typedef ssize_t sendmsg_function (int, const struct msghdr *, int);

static int lost_peer_status = 1;
static _Atomic uint64_t endpoints;
static _Atomic uint64_t polls;
static _Atomic bool moved; /* bytes, since the last poll */
static _Thread_local unsigned empty_polls;

void mu_guards_arm (int exit_status) { lost_peer_status = exit_status; }
uint64_t mu_guards_endpoints (void) { return atomic_load (&endpoints); }
uint64_t mu_guards_polls (void) { return atomic_load (&polls); }
void mu_guards_poll_fresh (void) { empty_polls = 0; }

/* The function that would have been called without us. Copied by bytes: ISO C has no cast from an
 * object pointer to a function pointer. */
static void find_real (const char *name, void *function, size_t size)
{
    void *symbol = dlsym (RTLD_NEXT, name);
    if (!symbol)
        abort ();
    memcpy (function, &symbol, size);
}

static void on_lost_peer (void *argument, ucp_ep_h endpoint, ucs_status_t status)
{
    (void)argument;
    (void)endpoint;
    (void)status;
    _exit (lost_peer_status);
}

ucs_status_t ucp_ep_create (ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *endpoint)
{
    static ep_create_function *real;
    if (!real)
        find_real ("ucp_ep_create", &real, sizeof real);
    ucp_ep_params_t guarded = *params;
    guarded.field_mask |= UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
    guarded.err_mode = UCP_ERR_HANDLING_MODE_PEER;
    guarded.err_handler.cb = on_lost_peer;
    guarded.err_handler.arg = NULL;
    atomic_fetch_add (&endpoints, 1);
    return real (worker, &guarded, endpoint);
}

/* --- bytes that move -------------------------------------------------------------------------- */

ssize_t send (int fd, const void *bytes, size_t size, int flags)
{
    atomic_store_explicit (&moved, true, memory_order_relaxed);
    return sendto (fd, bytes, size, flags, NULL, 0);
}

ssize_t recv (int fd, void *bytes, size_t size, int flags)
{
    atomic_store_explicit (&moved, true, memory_order_relaxed);
    return recvfrom (fd, bytes, size, flags, NULL, NULL);
}

ssize_t sendmsg (int fd, const struct msghdr *message, int flags)
{
    static sendmsg_function *real;
    if (!real)
        find_real ("sendmsg", &real, sizeof real);
    atomic_store_explicit (&moved, true, memory_order_relaxed);
    return real (fd, message, flags);
}

/* --- polls ------------------------------------------------------------------------------------ */

static epoll_wait_function *real_epoll_wait (void)
{
    static epoll_wait_function *_Atomic real;
    if (!atomic_load (&real)) {
        epoll_wait_function *found;
        find_real ("epoll_wait", &found, sizeof found);
        atomic_store (&real, found);
    }
    return atomic_load (&real);
}

/* Until one more of the descriptors that `fd` polls becomes ready, whatever is ready all the time; on older
 * kernels, which tell of those again, it returns at once. */
static void await_news (int fd)
{
    static int watch = -1;
    struct epoll_event news = { .events = EPOLLIN | EPOLLET }, event;
    if (watch < 0)
        watch = epoll_create1 (EPOLL_CLOEXEC);
    epoll_ctl (watch, EPOLL_CTL_ADD, fd, &news); /* refused from the second time on */
    if (real_epoll_wait () (watch, &event, 1, SLEEP_MS) != 0)
        sched_yield ();
}

/* Nothing is ready, or only what was left alone when it was ready the last time. */
static int poll_in_vain (int fd, struct epoll_event *events, int events_max, int count)
{
    if (++empty_polls < EMPTY_POLLS_MAX) {
        sched_yield ();
        return count;
    }
    if (count > 0) {
        await_news (fd);
        return real_epoll_wait () (fd, events, events_max, 0);
    }
    count = real_epoll_wait () (fd, events, events_max, SLEEP_MS);
    if (count != 0)
        empty_polls = 0;
    return count;
}

int epoll_wait (int fd, struct epoll_event *events, int events_max, int timeout_ms)
{
    static _Thread_local bool was_ready;
    if (timeout_ms != 0) /* UCX's own helper thread, which does sleep */
        return real_epoll_wait () (fd, events, events_max, timeout_ms);
    atomic_fetch_add_explicit (&polls, 1, memory_order_relaxed);
    bool any_moved = atomic_exchange_explicit (&moved, false, memory_order_relaxed);
    int count = real_epoll_wait () (fd, events, events_max, 0);
    bool in_vain = count == 0 || (count > 0 && was_ready && !any_moved);
    was_ready = count > 0;
    if (in_vain)
        return poll_in_vain (fd, events, events_max, count);
    empty_polls = 0;
    return count;
}
