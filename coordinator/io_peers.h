/* SPDX-License-Identifier: Apache-2.0 */
/* io_peers.h - where other coordinators reach this one: a ROUTER with a ZeroMQ context of its own
 *
 * Where this coordinator has a vote (`--register majority:`) it is given here, whoever reigns. */
#ifndef COORD_IO_PEERS_H
#define COORD_IO_PEERS_H

#include "error.h"
#include "io_acceptor.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>

struct peers;

/* `vote_dir`: where the vote is kept; NULL: it has none. */
int peers_open (struct peers **peers_p, const char *endpoint, bool beyond_loopback,
                const char *vote_dir, struct mu_error *error);
void peers_close (struct peers **peers_p);

/* The two things to poll for reading (ZeroMQ sockets). */
void *peers_socket (struct peers *peers);
void *peers_monitor (struct peers *peers);

/* The vote, or NULL. */
const struct acceptor *peers_acceptor (const struct peers *peers);

/* Take one word that is not about votes; what it borrows is there until the next call. */
bool peers_receive (struct peers *peers, uint32_t *peer, struct mu_wire *wire);

/* Never blocks: to one that does not read it is dropped. */
void peers_send (struct peers *peers, uint32_t peer, const void *data, size_t size);

#endif
