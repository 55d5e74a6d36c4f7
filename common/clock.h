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

/* By how much Unix time has moved against the other since the last look; 0: by less than a minute. `apart_ms` is 0 before
 * the first. */
static inline int64_t mu_clock_jump (uint64_t *apart_ms, uint64_t now_ms, uint64_t unix_ms)
{
    uint64_t before_ms = *apart_ms;
    *apart_ms = unix_ms - now_ms;
    int64_t by_ms = before_ms ? (int64_t)(*apart_ms - before_ms) : 0;
    return by_ms < 60000 && by_ms > -60000 ? 0 : by_ms;
}

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
