/* SPDX-License-Identifier: Apache-2.0 */
/* io_rows.c - records wait, a few of each table, for one statement that inserts them */
#include "io_rows.h"

#include "io_several.h"

#include <stdlib.h>

enum { JOURNAL, PROGRESS, TABLES };

static const struct {
    const char *head, *row;
    int columns;
} tables[TABLES] = {
    [JOURNAL] = { "INSERT INTO journal (number, type, job, unix_ms, body) VALUES ", "(?,?,?,?,?)",
                  5 },
    [PROGRESS] = { "INSERT OR REPLACE INTO progress "
                   "(number, type, job, unix_ms, body, key) VALUES ",
                   "(?,?,?,?,?,?)", 6 },
};

struct row {
    struct batch_entry entry;
    const char *body;
    uint64_t number, unix_ms;
};

struct rows {
    struct waiting {
        struct several insert;
        struct row row[SEVERAL_MAX];
        unsigned count;
    } waiting[TABLES];
};

int rows_open (struct rows **rows_p, sqlite3 *database, struct mu_error *error)
{
    struct rows *rows = calloc (1, sizeof *rows);
    if (!rows)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    *rows_p = rows;
    for (int table = 0; table < TABLES; table++)
        if (several_open (&rows->waiting[table].insert, database, tables[table].head,
                          tables[table].row, tables[table].columns, error))
            return -1;
    return 0;
}

void rows_close (struct rows **rows_p)
{
    for (int table = 0; *rows_p && table < TABLES; table++)
        several_close (&(*rows_p)->waiting[table].insert);
    free (*rows_p);
    *rows_p = NULL;
}

static void bind_row (const void *arg, unsigned index, sqlite3_stmt *insert, int first)
{
    const struct waiting *waiting = arg;
    const struct row *row = &waiting->row[index];
    const struct batch_entry *entry = &row->entry;
    sqlite3_bind_int64 (insert, first, (sqlite3_int64)row->number);
    sqlite3_bind_int (insert, first + 1, (int)entry->type);
    sqlite3_bind_int64 (insert, first + 2, (sqlite3_int64)entry->job);
    sqlite3_bind_int64 (insert, first + 3, (sqlite3_int64)row->unix_ms);
    sqlite3_bind_blob (insert, first + 4, row->body, (int)entry->size, SQLITE_STATIC);
    if (entry->is_progress)
        sqlite3_bind_int64 (insert, first + 5, entry->key);
}

static int write_all (struct waiting *waiting, struct mu_error *error)
{
    if (several_write (&waiting->insert, waiting->count, bind_row, waiting, error))
        return -1;
    waiting->count = 0;
    return 0;
}

int rows_add (struct rows *rows, const struct batch_entry *entry, const char *body, uint64_t number,
              uint64_t unix_ms, struct mu_error *error)
{
    struct waiting *waiting = &rows->waiting[entry->is_progress ? PROGRESS : JOURNAL];
    waiting->row[waiting->count++] = (struct row){ *entry, body, number, unix_ms };
    return waiting->count == SEVERAL_MAX ? write_all (waiting, error) : 0;
}

int rows_flush (struct rows *rows, struct mu_error *error)
{
    for (int table = 0; table < TABLES; table++)
        if (write_all (&rows->waiting[table], error))
            return -1;
    return 0;
}

void rows_drop (struct rows *rows)
{
    for (int table = 0; table < TABLES; table++)
        rows->waiting[table].count = 0;
}
