/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - sendmsg and recvmsg with the wire's encoding
 *
 * Whoever receives never blocks; whoever sends says whether it may. A descriptor that comes with a
 * word that does not carry one is closed by the caller, who gets every descriptor that arrives. */
#include "channel.h"

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

union passing { /* room for one descriptor, aligned as the kernel wants it */
    char bytes[CMSG_SPACE (sizeof (int))];
    struct cmsghdr header;
};

static void attach (struct msghdr *message, union passing *room, int passed)
{
    memset (room, 0, sizeof *room);
    message->msg_control = room->bytes;
    message->msg_controllen = sizeof room->bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR (message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN (sizeof (int));
    memcpy (CMSG_DATA (header), &passed, sizeof passed);
}

static int send_bytes (int fd, const msgpack_sbuffer *bytes, int passed, bool wait,
                       struct mu_error *error)
{
    struct iovec part = { bytes->data, bytes->size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    union passing room;
    if (passed >= 0)
        attach (&message, &room, passed);
    ssize_t sent;
    do
        sent = sendmsg (fd, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
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

static int take_passed (struct msghdr *message)
{
    int passed = -1;
    struct cmsghdr *header = CMSG_FIRSTHDR (message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN (sizeof (int)))
        memcpy (&passed, CMSG_DATA (header), sizeof passed);
    return passed;
}

int mu_channel_receive (struct mu_channel *channel, struct mu_wire *wire, int *passed,
                        struct mu_error *error)
{
    struct iovec part = { channel->buffer, MU_CHANNEL_SIZE_MAX };
    union passing room;
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = room.bytes,
                              .msg_controllen = sizeof room.bytes };
    *passed = -1;
    ssize_t size = recvmsg (channel->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    if (size < 0)
        return mu_fail_errno (error, MU_UNAVAILABLE, errno, "the channel cannot be read");
    if (size == 0)
        return mu_fail (error, MU_UNAVAILABLE, "the other end of the channel was closed");
    *passed = take_passed (&message);
    msgpack_zone_clear (channel->zone);
    if (message.msg_flags & MSG_TRUNC)
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
