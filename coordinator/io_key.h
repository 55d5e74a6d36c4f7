/* SPDX-License-Identifier: Apache-2.0 */
/* io_key.h - one number for all records of which only the newest is kept
 *
 * Storing such a record again changes one row where it lies. Found by one number that is a SQLite
 * rowid, that costs half of what it costs by a key of four columns, and a job's rows lie together. */
#ifndef COORD_IO_KEY_H
#define COORD_IO_KEY_H

#include "journal.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define KEY_PARTS                                                                                  \
    3 /* fields that journal.schema marks `latest` in one record, at most; a job's number is the first */

/* False: each of these records is kept, and *key is 0. */
bool key_of_record (const struct mu_journal *record, int64_t *key);

/* The key of a record of this type with these in its fields, 0 where it has fewer. Never changes: it is on disk.
 *
 * Within the limits that io_key.c names it is not negative, and no other record has it. Beyond them, with tens of
 * millions of jobs, it is negative and drawn by a hash: two of N such records have one key with a chance of
 * N * N / 2^64. */
int64_t key_of (uint32_t type, const uint64_t part[KEY_PARTS]);

/* What is not negative of this job's keys is from `first` to `last`; false: all are negative. */
bool key_range (uint64_t job, int64_t *first, int64_t *last);

/* Let SQL say `progress_key (type, part_1, part_2, part_3)`: what an older version kept in columns. */
int key_register (sqlite3 *database);

#endif
