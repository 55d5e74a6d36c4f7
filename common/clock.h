/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - the two clocks, in milliseconds; and what lasts less, in microseconds
 *
 * For shells alone: the cores get the time in their events. */
#ifndef MU_CLOCK_H
#define MU_CLOCK_H

#include <stdint.h>
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

#endif
