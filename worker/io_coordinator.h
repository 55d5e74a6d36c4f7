/* SPDX-License-Identifier: Apache-2.0 */
/* io_coordinator.h - the agent's ZeroMQ sockets, one DEALER a coordinator
 *
 * Several coordinators (one that reigns and its standbys) may be named. Each has a socket of its
 * own; words go to the one whose word of the highest term came last, or to all while none is known.
 * A send never blocks: what finds no room is lost, and the protocol repeats what matters. Names are
 * resolved by libzmq's own thread. */
#ifndef WORKER_IO_COORDINATOR_H
#define WORKER_IO_COORDINATOR_H

#include "common/error.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IO_COORDINATORS_MAX 16u

struct io_coordinator;

/* `identity` is this process's alone. `seed` spreads reconnections. */
int io_coordinator_open (struct io_coordinator **coordinator_p, char *const *endpoint, size_t count,
                         const char *identity, uint64_t seed, struct mu_error *error);

/* Give words that were just said a moment to leave. */
void io_coordinator_close (struct io_coordinator **coordinator_p, int linger_ms);

/* The i-th ZeroMQ socket, to poll for reading; NULL after the last. */
void *io_coordinator_socket (struct io_coordinator *coordinator, size_t i);

void io_coordinator_send (struct io_coordinator *coordinator, const struct mu_wire *wire,
                          bool to_all);

/* Give up each connection, with what waits there to be sent, and make a new one. */
void io_coordinator_redial (struct io_coordinator *coordinator);

/* A fault: of a hundred words that come, and of those that go, so many are lost. */
void io_coordinator_lose (struct io_coordinator *coordinator, uint32_t in, uint32_t out);

/* The next word: 1, and *wire borrows until the next call; 0 when there is none now. What cannot be
 * understood is logged and passed over. */
int io_coordinator_receive (struct io_coordinator *coordinator, struct mu_wire *wire);

#endif
