/* SPDX-License-Identifier: Apache-2.0 */
/* io_socket.h - the coordinator's one ROUTER socket, and who is behind which identity
 *
 * A peer is an identity. One that it chose itself (workers do) gets a number that stays its own
 * while the process lives; one that ZeroMQ made up (a client's) keeps its number until its
 * connection has ended and sockets_gone () has told so, and nobody gets that number soon after.
 * Sends never block: to a peer that is gone or does not read they are dropped, and the protocol
 * repeats what matters. */
#ifndef COORD_IO_SOCKET_H
#define COORD_IO_SOCKET_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mu_sockets;

/* Bind to every endpoint. One beyond loopback is refused unless `beyond_loopback`. Raises the limit
 * of open file descriptors as far as it may. */
int sockets_open (struct mu_sockets **sockets_p, const char *const *endpoint, size_t endpoint_count,
                  bool beyond_loopback, struct mu_error *error);
void sockets_close (struct mu_sockets **sockets_p);

/* The two things to poll for reading (ZeroMQ sockets). */
void *sockets_router (struct mu_sockets *sockets);
void *sockets_monitor (struct mu_sockets *sockets);

/* Take one message: 1 with *data borrowed until the next call, 0 if there is none. Messages that do
 * not have exactly one frame behind the identity are dropped. */
int sockets_receive (struct mu_sockets *sockets, uint32_t *peer, const void **data, size_t *size);

/* Take one ended connection: 1 with its peer, 0 if there is none (any more). To be called when
 * sockets_receive () has nothing more: what a peer said before it went comes first. */
int sockets_gone (struct mu_sockets *sockets, uint32_t *peer);

/* The peer's identity where it chose a readable one, else "". */
const char *sockets_name (const struct mu_sockets *sockets, uint32_t peer);

void sockets_send (struct mu_sockets *sockets, uint32_t peer, const void *data, size_t size);

/* Look after the connections: at the limit of descriptors none are taken until some have ended.
 * sockets_gone () does it too; for a loop that may not come to that for long. Once a second at
 * least. */
void sockets_tend (struct mu_sockets *sockets);

/* How many connections fit, right after sockets_open (). */
size_t sockets_room (const struct mu_sockets *sockets);

/* What sockets_send () sent last, if it was as large as this, to one more peer: a large word for a
 * thousand workers lies in memory once. */
#define SOCKETS_SHARED_MIN 4096u
void sockets_send_again (struct mu_sockets *sockets, uint32_t peer);

/* Messages that had to be dropped since the start. */
uint64_t sockets_dropped (const struct mu_sockets *sockets);

/* Peers that have a number now. */
uint32_t sockets_peers (const struct mu_sockets *sockets);

#endif
