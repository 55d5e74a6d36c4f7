/* SPDX-License-Identifier: Apache-2.0 */
/* io_several.h - rows of one table, several a statement
 *
 * Opening a table and closing it again is a third of what one row costs. */
#ifndef COORD_IO_SEVERAL_H
#define COORD_IO_SEVERAL_H

#include "error.h"

#include <sqlite3.h>

#define SEVERAL_MAX 16u /* rows that one statement inserts at most */

/* Statements for a few numbers of rows, of one connection, which stays the caller's and outlives them. All zeros:
 * nothing to close. */
enum { SEVERAL_SIZES = 3 };
struct several {
    sqlite3 *database;
    sqlite3_stmt *insert[SEVERAL_SIZES];
    int columns;
};

/* `head` goes up to VALUES, `row` is one row's tuple, with `columns` question marks. */
int several_open (struct several *several, sqlite3 *database, const char *head, const char *row,
                  int columns, struct mu_error *error);
void several_close (struct several *several);

/* Bind row `index` of what is at `arg`: its first column is the statement's parameter `first`. */
typedef void several_bind (const void *arg, unsigned index, sqlite3_stmt *insert, int first);

int several_write (struct several *several, unsigned count, several_bind *bind, const void *arg,
                   struct mu_error *error);

#endif
