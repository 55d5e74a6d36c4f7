/* SPDX-License-Identifier: Apache-2.0 */
/* io_supervise.c - fork, pass signals on, wait, exit with 0 */
#include "io_supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t worker;

static bool under_launcher (void)
{
    static const char *const names[] = { "PMI_RANK", "PMI_FD", "HYDI_CONTROL_FD",
                                         "OMPI_COMM_WORLD_RANK" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv (names[i]))
            return true;
    return false;
}

static void pass_on (int signal_number)
{
    int saved_errno = errno;
    if (worker > 0)
        kill (worker, signal_number);
    errno = saved_errno;
}

void io_supervise (void)
{
    if (!under_launcher ())
        return;
    static const int passed[] = { SIGTERM, SIGINT, SIGHUP };
    struct sigaction action = { .sa_handler = pass_on };
    pid_t parent = getpid (), child;
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaction (passed[i], &action, NULL);
    child = fork ();
    if (child > 0) {
        worker = child;
        while (waitpid (child, NULL, 0) < 0 && errno == EINTR)
            continue;
        _exit (0); /* whatever it was, the worker has said it; the others are to go on */
    }
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        signal (passed[i], SIG_DFL);
    if (child < 0)
        return; /* no second process: go on unprotected rather than not at all */
    setsid ();
    prctl (PR_SET_PDEATHSIG, SIGTERM);
    if (getppid () != parent)
        _exit (1);
}
