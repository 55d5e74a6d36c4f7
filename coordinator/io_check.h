/* SPDX-License-Identifier: Apache-2.0 */
/* io_check.h - is a database all that a coordinator would need of it?
 *
 * What is looked at is a private copy of one moment, so that a database may be in use, or of an older
 * version, or lie where nothing can be written. */
#ifndef COORD_IO_CHECK_H
#define COORD_IO_CHECK_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

#define CHECK_FINDINGS_MAX 50u

struct check {
    int version;                       /* of the database as it lies there */
    uint64_t records, newest, jobs;    /* read and folded; the newest one's number */
    bool torn;                         /* SQLite itself cannot read it: nothing else was looked at */
    uint64_t set_aside;                /* rows of bad_record: damage that a coordinator dealt with */
    char *finding[CHECK_FINDINGS_MAX]; /* sentences, the first so many */
    uint64_t findings;                 /* how many there were; 0: it is sound */
};

/* -1: it could not be looked at. The check is the caller's, to be cleared either way. */
int check_database (const char *path, struct check *check, struct mu_error *error);
void check_clear (struct check *check);

#endif
