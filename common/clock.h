/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - the two clocks, in milliseconds; what lasts less, and processor time, in microseconds
 *
 * For shells alone: the cores get the time in their events. */
#ifndef MU_CLOCK_H
#define MU_CLOCK_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

static inline uint64_t mu_clock_us (clockid_t clock)
{
    struct timespec now;
    clock_gettime (clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Only runs forward; where it began means nothing. */
static inline uint64_t mu_now_us (void) { return mu_clock_us (CLOCK_MONOTONIC); }
static inline uint64_t mu_now_ms (void) { return mu_now_us () / 1000; }

/* Unix time: for people; decides nothing. */
static inline uint64_t mu_unix_ms (void) { return mu_clock_us (CLOCK_REALTIME) / 1000; }

/* All threads' of a process, since its start; 0: it has ended. */
static inline uint64_t mu_cpu_us (pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (!pid || clock_getcpuclockid (pid, &clock) != 0 || clock_gettime (clock, &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

#endif
