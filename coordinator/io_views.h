/* SPDX-License-Identifier: Apache-2.0 */
/* io_views.h - the tables job and checkpoint, kept beside the journal for people with an SQL prompt
 *
 * They are derived: each record changes them by one statement, in the record's own transaction. */
#ifndef COORD_IO_VIEWS_H
#define COORD_IO_VIEWS_H

#include "journal.h"

#include <stdbool.h>

/* Do records of this type change a table? */
bool views_follow (uint32_t type);

/* The statement, to be freed with sqlite3_free (); NULL where there is none, or no memory. */
char *views_sql (const struct mu_journal *record);

#endif
