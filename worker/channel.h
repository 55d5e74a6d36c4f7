/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - words between an agent and its trainer: one datagram of a SOCK_SEQPACKET pair each
 *
 * The words are those of wire.schema, encoded as on the network. A file descriptor may come along
 * with one (OPENED brings the shared region). */
#ifndef MU_CHANNEL_H
#define MU_CHANNEL_H

#include "error.h"
#include "wire.h"

#include <stdbool.h>

/* PREPARE is the largest: 65,536 bytes of job file, 4,096 of path, and the envelope. */
#define MU_CHANNEL_SIZE_MAX (80u * 1024)

struct mu_channel {
    int fd;
    uint32_t senders; /* mask of the roles that may speak on the other side */
    unsigned char *buffer;
    struct msgpack_zone *zone;
};

/* A connected pair, close-on-exec, with room for a few of the largest words. */
int mu_channel_pair (int fds[2], struct mu_error *error);

/* Take `fd` over as one end. */
int mu_channel_open (struct mu_channel *channel, int fd, enum mu_role sender,
                     struct mu_error *error);
void mu_channel_close (struct mu_channel *channel);

/* Say a word, with `passed` (-1: none). May be called from several threads. `wait`: until there is
 * room; otherwise -1 with TRY_AGAIN when there is none. UNAVAILABLE: the other side is gone. */
int mu_channel_send (int fd, const struct mu_wire *wire, int passed, bool wait,
                     struct mu_error *error);

/* The next word, which borrows from the channel until the next call. 1: *wire is filled, and
 * *passed is the caller's (-1: none). 0: none there now. -1: UNAVAILABLE, the other side is gone;
 * PROTOCOL, it does not speak our language. */
int mu_channel_receive (struct mu_channel *channel, struct mu_wire *wire, int *passed,
                        struct mu_error *error);

#endif
