/* SPDX-License-Identifier: Apache-2.0 */
/* io_wait.c - ask each socket once, then sleep on all descriptors
 *
 * A libzmq socket's descriptor tells of changes (it is edge-triggered): it says nothing of what was
 * there before, so the socket is asked first. What comes after the asking makes the descriptor
 * readable. See ZMQ_FD in zmq_getsockopt (3). */
#include "io_wait.h"

#include <assert.h>
#include <poll.h>
#include <stdbool.h>

static bool has_something (void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return !zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size) && events & ZMQ_POLLIN;
}

static int descriptor_of (const zmq_pollitem_t *item)
{
    int fd = item->fd;
    size_t size = sizeof fd;
    if (item->socket && zmq_getsockopt (item->socket, ZMQ_FD, &fd, &size))
        return -1;
    return fd;
}

int wait_for_any (zmq_pollitem_t *items, int count, uint64_t us)
{
    struct pollfd fds[WAIT_ITEMS_MAX];
    assert (count <= WAIT_ITEMS_MAX);
    for (int i = 0; i < count; i++) {
        fds[i] = (struct pollfd){ .fd = descriptor_of (&items[i]), .events = POLLIN };
        items[i].revents = items[i].socket && has_something (items[i].socket) ? ZMQ_POLLIN : 0;
        us = items[i].revents ? 0 : us;
    }
    struct timespec limit = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
    if (ppoll (fds, (nfds_t)count, &limit, NULL) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (fds[i].revents)
            items[i].revents = ZMQ_POLLIN;
    return 0;
}
