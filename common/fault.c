/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c - whether faults are built in, and signals by the kernel's timer */
#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

int mu_fault_allowed (bool given, struct mu_error *error)
{
#ifdef MU_FAULTS
    (void)given;
    (void)error;
    return 0;
#else
    if (!given)
        return 0;
    return mu_fail (error, MU_CONFIG,
                    "--enable-faults is given, but this build has no faults in it: build Muster "
                    "with ./configure --enable-faults, or leave the option away");
#endif
}

int mu_signal_later (int signal, uint64_t milliseconds, struct mu_error *error)
{
    timer_t timer;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal };
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)(milliseconds / 1000),
                                             .tv_nsec = (long)(milliseconds % 1000) * 1000000 } };
    if (timer_create (CLOCK_MONOTONIC, &event, &timer) < 0)
        return mu_fail_errno (error, MU_SYSTEM, errno, "no timer");
    if (timer_settime (timer, 0, &when, NULL) == 0)
        return 0;
    int number = errno;
    timer_delete (timer);
    return mu_fail_errno (error, MU_SYSTEM, number, "a timer cannot be set");
}
