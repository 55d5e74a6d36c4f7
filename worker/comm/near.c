/* SPDX-License-Identifier: Apache-2.0 */
/* near.c - see near.h. No failure here ends anything: there is always MPI. */
#include "near.h"
#include "region.h"

#include "common/passing.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Both sides are on their way to each other: this long only if one of them stands still, and then the
 * generation ends for that. */
#define WAIT_MS 5000
#define BACKLOG 4096 /* ranks in a world */

/* Its first byte is NUL: the name lies in no folder and ends with its socket. */
static socklen_t name_of (uint64_t number, struct sockaddr_un *address)
{
    memset (address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int length = snprintf (address->sun_path + 1, sizeof address->sun_path - 1,
                           "muster-region-%016llx", (unsigned long long)number);
    return (socklen_t)(offsetof (struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int open_socket (void) { return socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0); }

static bool is_of_this_user (int line)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt (line, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid ();
}

static bool comes (int fd)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    return poll (&wait, 1, WAIT_MS) > 0;
}

/* --- who gives -------------------------------------------------------------------------------- */

uint64_t near_open (int *door)
{
    struct sockaddr_un address;
    uint64_t number;
    *door = -1;
    if (getrandom (&number, sizeof number, 0) != sizeof number || !number)
        return 0;
    int fd = open_socket ();
    socklen_t size = name_of (number, &address);
    if (fd < 0 || bind (fd, (struct sockaddr *)&address, size) < 0 || listen (fd, BACKLOG) < 0) {
        if (fd >= 0)
            close (fd);
        return 0;
    }
    *door = fd;
    return number;
}

/* Opened anew: what is given away can be read, and not written. */
static int open_for_reading (int region_fd)
{
    char path[32];
    snprintf (path, sizeof path, "/proc/self/fd/%d", region_fd);
    return open (path, O_RDONLY | O_CLOEXEC);
}

void near_give (int *door, uint64_t count, int region_fd)
{
    const char word = 1;
    if (*door < 0)
        return;
    int given = count ? open_for_reading (region_fd) : -1;
    while (count && comes (*door)) {
        int line = accept4 (*door, NULL, NULL, SOCK_CLOEXEC);
        if (line < 0)
            break;
        if (is_of_this_user (line)) {
            /* Who is gone needs nothing. Where there is nothing to give, the line's end tells. */
            if (given >= 0)
                (void)mu_passing_send (line, &word, sizeof word, given, 0);
            count--;
        }
        close (line);
    }
    if (given >= 0)
        close (given);
    close (*door);
    *door = -1;
}

/* --- who takes -------------------------------------------------------------------------------- */

int near_call (uint64_t number)
{
    struct sockaddr_un address;
    socklen_t size = name_of (number, &address);
    int line = number ? open_socket () : -1;
    if (line >= 0 &&
        (connect (line, (struct sockaddr *)&address, size) < 0 || !is_of_this_user (line))) {
        close (line);
        return -1;
    }
    return line;
}

static int receive (int line)
{
    char word;
    int fd = -1;
    bool cut;
    if (comes (line))
        (void)mu_passing_receive (line, &word, sizeof word, 0, &fd, &cut);
    return fd;
}

/* Long enough, and sealed: reading it can raise no SIGBUS. */
static bool holds (int fd, size_t bytes)
{
    struct stat about;
    int seals = fcntl (fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat (fd, &about) == 0 && about.st_size >= 0 &&
           (uint64_t)about.st_size >= bytes;
}

const void *near_take (int line, size_t bytes)
{
    void *view = NULL;
    int fd = receive (line);
    close (line);
    if (fd >= 0 && holds (fd, bytes))
        view = mu_region_map (fd, bytes, PROT_READ);
    if (fd >= 0)
        close (fd);
    return view;
}
