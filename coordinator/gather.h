/* SPDX-License-Identifier: Apache-2.0 */
/* gather.h - how long a turn waits for clients that were answered a moment ago
 *
 * Clients that ask, wait for the answer and ask again are answered all at once, by one commit, and ask
 * again one after another. If the first of them made a commit of its own, the others would be in the
 * next: they would split in two groups for ever, each of which waits while the other is written, and
 * half as many would be served in a second as one group of all. So what comes after a commit waits until
 * as many have asked as were answered, but not longer than half of what that commit took.
 *
 * Pure: times are the caller's, in microseconds. */
#ifndef COORD_GATHER_H
#define COORD_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#define GATHER_MAX_US 5000u

struct gather {
    uint32_t answered, back; /* clients at once; those that have asked since */
    uint64_t until_us;
};

/* A turn is spoken, with so many answers to clients; it took so long to commit. */
void gather_spoken (struct gather *gather, uint32_t answers, uint64_t took_us, uint64_t now_us);

/* A client asks. */
void gather_asked (struct gather *gather);

/* The next turn is on its way. */
void gather_passed (struct gather *gather);

/* Is there reason to wait, and until when? */
bool gather_waits (const struct gather *gather, uint64_t now_us);

#endif
