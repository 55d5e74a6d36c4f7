/* SPDX-License-Identifier: Apache-2.0 */
/* idle.h - work for cores that nobody else wants, until its time is over (internal to checkpoint/)
 *
 * Of a process of its own: what is said here holds for all its threads. */
#ifndef MU_CHECKPOINT_IDLE_H
#define MU_CHECKPOINT_IDLE_H

#include <stdint.h>

/* From now on this thread, and those that it starts, are idle ones; for a time that is ten times
 * what so many bytes take to hash and write. Without the right to leave that class again it is never entered. */
void mu_idle_begin (uint64_t bytes);
/* Each thread, now and then: is the time over? Then it is idle no more. */
void mu_idle_look (void);
/* The thread that began: its work is done. */
void mu_idle_end (void);

#endif
