/* SPDX-License-Identifier: Apache-2.0 */
/* io_rows.h - records on their way into the tables journal and progress, several a statement
 *
 * They wait until there are some, within the caller's transaction. */
#ifndef COORD_IO_ROWS_H
#define COORD_IO_ROWS_H

#include "io_batch.h"

#include <sqlite3.h>

/* Of one connection, which stays the caller's and outlives them. */
struct rows;
int rows_open (struct rows **rows_p, sqlite3 *database, struct mu_error *error);
void rows_close (struct rows **rows_p);

/* `body` stays the caller's, and must not change before the flush. */
int rows_add (struct rows *rows, const struct batch_entry *entry, const char *body, uint64_t number,
              uint64_t unix_ms, struct mu_error *error);

/* All that were added are in their tables. */
int rows_flush (struct rows *rows, struct mu_error *error);

/* Those that wait are forgotten: their transaction has failed. */
void rows_drop (struct rows *rows);

#endif
