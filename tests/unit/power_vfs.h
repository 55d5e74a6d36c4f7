/* SPDX-License-Identifier: Apache-2.0 */
/* power_vfs.h - a disk whose power can be cut: a SQLite VFS over the system's own
 *
 * Reads and writes go to real files, and beside them is kept what each file would hold if the power
 * failed now: its bytes as of its last sync, and the writes and truncations since. At a cut each
 * sector (512 bytes) of each of those is kept or lost by chance, in any combination; so are names
 * made or removed since their folder was last synced. From the cut on every call fails, as it does
 * for a process on a machine that is off.
 *
 * One folder of files at a time, one thread. */
#ifndef TESTS_POWER_VFS_H
#define TESTS_POWER_VFS_H

#include <stdbool.h>
#include <stdint.h>

/* Make it SQLite's default. */
void power_install (void);

/* Forget all files: those of the next folder begin as none. */
void power_reset (void);

/* Cut the power at the Nth change from now: a write, sync, truncation, creation or removal, counted
 * from 1. What is lost is drawn from the seed. 0: the power stays. */
void power_cut_after (uint64_t changes, uint64_t seed);
bool power_is_cut (void);

/* The power is back: the files become what has reached the disk. Nothing may be open. */
void power_restore (void);

/* A disk that says "synced" and did nothing. */
void power_lie (bool lying);

/* Changes since power_reset (). */
uint64_t power_changes (void);

#endif
