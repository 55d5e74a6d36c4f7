/* SPDX-License-Identifier: Apache-2.0 */
/* io_several.c - a statement for each of a few sizes, made by repeating one row's tuple */
#include "io_several.h"

#include "io_database.h"

#include <stdio.h>
#include <string.h>

#define SQL_MAX 512u

/* Rows a statement inserts, the most first. */
static const unsigned sizes[SEVERAL_SIZES] = { SEVERAL_MAX, 4, 1 };

static int prepare (struct several *several, int size, const char *head, const char *row,
                    struct mu_error *error)
{
    char sql[SQL_MAX];
    size_t used = (size_t)snprintf (sql, sizeof sql, "%s", head);
    for (unsigned i = 0; i < sizes[size] && used < sizeof sql; i++)
        used += (size_t)snprintf (sql + used, sizeof sql - used, "%s%s", i ? "," : "", row);
    return database_prepare (several->database, &several->insert[size], sql, error);
}

int several_open (struct several *several, sqlite3 *database, const char *head, const char *row,
                  int columns, struct mu_error *error)
{
    several->database = database;
    several->columns = columns;
    for (int size = 0; size < SEVERAL_SIZES; size++)
        if (prepare (several, size, head, row, error))
            return -1;
    return 0;
}

void several_close (struct several *several)
{
    for (int size = 0; size < SEVERAL_SIZES; size++)
        sqlite3_finalize (several->insert[size]);
    *several = (struct several){ 0 };
}

int several_write (struct several *several, unsigned count, several_bind *bind, const void *arg,
                   struct mu_error *error)
{
    unsigned done = 0;
    for (int size = 0; size < SEVERAL_SIZES; size++)
        while (count - done >= sizes[size]) {
            sqlite3_stmt *insert = several->insert[size];
            for (unsigned i = 0; i < sizes[size]; i++)
                bind (arg, done + i, insert, 1 + (int)i * several->columns);
            if (database_write (several->database, insert, error))
                return -1;
            done += sizes[size];
        }
    return 0;
}
