/* SPDX-License-Identifier: Apache-2.0 */
/* io_database.h - what all who open a coordinator's database share: the coordinator, and `muster admin` */
#ifndef COORD_IO_DATABASE_H
#define COORD_IO_DATABASE_H

#include "error.h"

#include <sqlite3.h>

/* Make the folder and those above it. */
int folder_make (const char *dir, struct mu_error *error);

/* One process a folder: *lock_fd holds it until it is closed, by whatever end of the process.
 * UNAVAILABLE: another has it. */
int folder_lock (const char *dir, int *lock_fd, struct mu_error *error);

int database_open (sqlite3 **database, const char *path, int flags, struct mu_error *error);
/* Never makes one, never changes one. NO_INPUT: there is none. */
int database_open_to_read (sqlite3 **database, const char *path, struct mu_error *error);
/* What SQLite last refused on this connection: "the database could not WHAT: …". Returns -1. */
int database_fail (sqlite3 *database, const char *what, struct mu_error *error);
int database_run (sqlite3 *database, const char *sql, const char *what, struct mu_error *error);
int database_prepare (sqlite3 *database, sqlite3_stmt **statement, const char *sql,
                      struct mu_error *error);
/* A statement that gives no rows, with what is bound to it; it can be used again afterwards. */
int database_write (sqlite3 *database, sqlite3_stmt *statement, struct mu_error *error);
/* The first column of the first row. */
int database_read_int (sqlite3 *database, const char *sql, int *value, struct mu_error *error);

/* All of it as it is at one moment, whoever writes to it meanwhile, over what is in `to`. */
int database_copy (sqlite3 *from, sqlite3 *to, struct mu_error *error);

/* Which step of schemas/store.sql was the last; 0: it is empty. */
int database_version (sqlite3 *database, int *version, struct mu_error *error);

/* Bring it to the newest version. A newer one, and another program's, are refused with a sentence. */
int database_migrate (sqlite3 *database, struct mu_error *error);

#endif
