/* SPDX-License-Identifier: Apache-2.0 */
/* quota.h - what a stranger can cause without end is logged a few times a minute; the rest is counted */
#ifndef MU_QUOTA_H
#define MU_QUOTA_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

#define MU_QUOTA_A_MINUTE 10u

/* Zeros to begin with. */
struct mu_quota {
    uint64_t minute_ms; /* the present minute's begin, plus one */
    uint32_t said;      /* in it */
    uint64_t unsaid;    /* since one was said */
};

/* May this one be said? Then *unsaid is how many were not since the last that was. */
bool mu_quota_take (struct mu_quota *quota, uint64_t now_ms, uint64_t *unsaid);

/* ... and that in words, to be put behind what is said: empty, or "; 12 more like it were not logged". */
const char *mu_quota_text (uint64_t unsaid, char *text, uint32_t size);

/* A warning of this event, "WHOM: why", if it may be said now; whom: `format`, at most 319 bytes. */
void mu_quota_warn (struct mu_quota *quota, const char *event, const struct mu_error *why,
                    const char *format, ...) __attribute__ ((format (printf, 4, 5)));

#endif
