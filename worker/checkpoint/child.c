/* SPDX-License-Identifier: Apache-2.0 */
/* child.c - what a forked child of a trainer takes off first: descriptors and handlers that are its parent's */
#include "worker/checkpoint/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

int mu_child_keep_only (int fd)
{
    int null = open ("/dev/null", O_RDWR);
    if (null < 0)
        return -1;
    for (int stream = 0; stream < 3; stream++)
        dup2 (null, stream);
    if (fd != 3 && dup2 (fd, 3) < 0)
        return -1;
    if (close_range (4, ~0u, 0) < 0)
        for (int other = 4; other < (int)sysconf (_SC_OPEN_MAX); other++)
            close (other);
    return 3;
}

void mu_child_reset_signals (void)
{
    for (int number = 1; number < NSIG; number++)
        signal (number, SIG_DFL);
    signal (SIGPIPE, SIG_IGN); /* the parent may just have left it */
    signal (SIGXFSZ, SIG_IGN); /* a file size limit is an error to report */
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
}
