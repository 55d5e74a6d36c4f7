/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - the wire's encoding, and descriptors that come along (common/passing.h)
 *
 * Whoever receives never blocks; whoever sends says whether it may. A descriptor that comes with a
 * word that does not carry one is closed by the caller, who gets every descriptor that arrives. */
#include "channel.h"

#include "common/passing.h"

#include <errno.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ZONE_BYTES 8192

int mu_channel_pair (int fds[2], struct mu_error *error)
{
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return mu_fail_errno (error, MU_SYSTEM, errno, "no socket pair for the trainer process");
    int bytes = (int)MU_CHANNEL_SIZE_MAX * 4;
    for (int i = 0; i < 2; i++) /* the kernel may give less; one word always fits */
        (void)setsockopt (fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return 0;
}

int mu_channel_open (struct mu_channel *channel, int fd, enum mu_role sender,
                     struct mu_error *error)
{
    *channel = (struct mu_channel){ .fd = fd, .senders = 1u << sender };
    channel->buffer = malloc (MU_CHANNEL_SIZE_MAX);
    channel->zone = msgpack_zone_new (ZONE_BYTES);
    if (channel->buffer && channel->zone)
        return 0;
    mu_channel_close (channel);
    return mu_fail (error, MU_SYSTEM, "no memory for a channel");
}

void mu_channel_close (struct mu_channel *channel)
{
    if (channel->fd >= 0)
        close (channel->fd);
    channel->fd = -1;
    free (channel->buffer);
    channel->buffer = NULL;
    if (channel->zone)
        msgpack_zone_free (channel->zone);
    channel->zone = NULL;
}

static int send_bytes (int fd, const msgpack_sbuffer *bytes, int passed, bool wait,
                       struct mu_error *error)
{
    ssize_t sent;
    do
        sent = mu_passing_send (fd, bytes->data, bytes->size, passed, wait ? 0 : MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return mu_fail (error, MU_TRY_AGAIN, "the channel is full");
    return mu_fail_errno (error, MU_UNAVAILABLE, errno, "the other end of the channel is gone");
}

int mu_channel_send (int fd, const struct mu_wire *wire, int passed, bool wait,
                     struct mu_error *error)
{
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init (&bytes);
    int status = mu_record_encode (&mu_wire_family, wire, &bytes, error);
    if (status == 0)
        status = send_bytes (fd, &bytes, passed, wait, error);
    msgpack_sbuffer_destroy (&bytes);
    return status;
}

int mu_channel_receive (struct mu_channel *channel, struct mu_wire *wire, int *passed,
                        struct mu_error *error)
{
    bool cut;
    ssize_t size = mu_passing_receive (channel->fd, channel->buffer, MU_CHANNEL_SIZE_MAX,
                                       MSG_DONTWAIT, passed, &cut);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    if (size < 0)
        return mu_fail_errno (error, MU_UNAVAILABLE, errno, "the channel cannot be read");
    if (size == 0)
        return mu_fail (error, MU_UNAVAILABLE, "the other end of the channel was closed");
    msgpack_zone_clear (channel->zone);
    if (cut)
        mu_fail (error, MU_PROTOCOL, "a word on the channel is longer than %u bytes",
                 MU_CHANNEL_SIZE_MAX);
    else if (mu_record_decode (&mu_wire_family, wire, channel->buffer, (size_t)size,
                               channel->senders, channel->zone, error) == 0)
        return 1;
    if (*passed >= 0)
        close (*passed);
    *passed = -1;
    return -1;
}
