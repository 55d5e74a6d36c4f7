/* SPDX-License-Identifier: Apache-2.0 */
/* io_wait.h - zmq_poll () with half of its system calls
 *
 * zmq_poll () asks all sockets twice and the kernel twice before it sleeps, and the sockets once more
 * after that. With thousands of workers of which each says a word by itself that is most of what a
 * word costs. */
#ifndef COORD_IO_WAIT_H
#define COORD_IO_WAIT_H

#include <stdint.h>
#include <zmq.h>

#define WAIT_ITEMS_MAX 8

/* Wait until one of `count` items, at most WAIT_ITEMS_MAX, can be read, or `us` have passed. All ask for
 * ZMQ_POLLIN; in `revents` it means of a descriptor that there is something, of a socket that there may
 * be. Returns 0, or -1 with errno. */
int wait_for_any (zmq_pollitem_t *items, int count, uint64_t us);

#endif
