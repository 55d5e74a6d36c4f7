/* SPDX-License-Identifier: Apache-2.0 */
/* io_views.h - the tables job and checkpoint, kept beside the journal for people with an SQL prompt
 *
 * They are derived: each record changes them in its own transaction. */
#ifndef COORD_IO_VIEWS_H
#define COORD_IO_VIEWS_H

#include "journal.h"

#include <sqlite3.h>
#include <stdbool.h>

/* Do records of this type change a table? */
bool views_follow (uint32_t type);

/* The tables of one connection, which stays the caller's and outlives them. */
struct views;
int views_open (struct views **views_p, sqlite3 *database, struct mu_error *error);
void views_close (struct views **views_p);

/* Let the tables follow the record with this body, within the caller's transaction. New jobs wait until there
 * are some, or something else is said. */
int views_update (struct views *views, const void *body, size_t size, struct mu_error *error);

/* The same of a SUBMIT, for who knows what it says: thousands may come in a second. */
struct views_new_job {
    uint64_t job, submitted_ms;
    char name[64];
};
struct views_new_job views_new_job_of (const struct mu_journal_submit *submit);
int views_add_job (struct views *views, const struct views_new_job *job, struct mu_error *error);

/* All is in the tables. */
int views_flush (struct views *views, struct mu_error *error);

/* Jobs that wait are forgotten: their transaction has failed. */
void views_drop (struct views *views);

/* Make the tables anew from all records, within the caller's transaction; those that cannot be read
 * are passed over. */
int views_rebuild (sqlite3 *database, struct mu_error *error);

#endif
