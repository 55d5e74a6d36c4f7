/* SPDX-License-Identifier: Apache-2.0 */
/* io_views.h - the tables job and checkpoint, kept beside the journal for people with an SQL prompt
 *
 * They are derived: each record changes them by one statement, in the record's own transaction. */
#ifndef COORD_IO_VIEWS_H
#define COORD_IO_VIEWS_H

#include "journal.h"

#include <sqlite3.h>
#include <stdbool.h>

/* Do records of this type change a table? */
bool views_follow (uint32_t type);

/* Let the tables follow the record with this body, within the caller's transaction. */
int views_update (sqlite3 *database, const void *body, size_t size, struct mu_error *error);

/* Make the tables anew from all records, within the caller's transaction; those that cannot be read
 * are passed over. */
int views_rebuild (sqlite3 *database, struct mu_error *error);

#endif
