/* SPDX-License-Identifier: Apache-2.0 */
/* passing.c - see passing.h */
#include "passing.h"

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

union room { /* for one descriptor, aligned as the kernel wants it */
    char bytes[CMSG_SPACE (sizeof (int))];
    struct cmsghdr header;
};

static void attach (struct msghdr *message, union room *room, int passed)
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

ssize_t mu_passing_send (int socket, const void *bytes, size_t size, int passed, int flags)
{
    struct iovec part = { (void *)(uintptr_t)bytes, size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    union room room;
    if (passed >= 0)
        attach (&message, &room, passed);
    return sendmsg (socket, &message, MSG_NOSIGNAL | flags);
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

ssize_t mu_passing_receive (int socket, void *bytes, size_t size, int flags, int *passed, bool *cut)
{
    struct iovec part = { bytes, size };
    union room room;
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = room.bytes,
                              .msg_controllen = sizeof room.bytes };
    ssize_t got = recvmsg (socket, &message, MSG_CMSG_CLOEXEC | flags);
    *passed = got > 0 ? take_passed (&message) : -1;
    *cut = got > 0 && message.msg_flags & MSG_TRUNC;
    return got;
}
