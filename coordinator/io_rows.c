/* SPDX-License-Identifier: Apache-2.0 */
/* io_rows.c - a statement for each of a few sizes, made by repeating one row's question marks */
#include "io_rows.h"

#include "io_database.h"

#include <stdlib.h>
#include <string.h>

enum { JOURNAL, PROGRESS, TABLES };

/* Rows a statement inserts, the most first. */
static const unsigned sizes[] = { 16, 4, 1 };
enum { SIZES = 3, ROWS_MAX = 16, SQL_MAX = 512 };

static const struct {
    const char *head, *row;
    int columns;
} tables[TABLES] = {
    [JOURNAL] = { "INSERT INTO journal (number, type, job, unix_ms, body) VALUES ", "(?,?,?,?,?)",
                  5 },
    [PROGRESS] = { "INSERT OR REPLACE INTO progress "
                   "(number, type, job, unix_ms, body, part_1, part_2, part_3) VALUES ",
                   "(?,?,?,?,?,?,?,?)", 5 + STORE_KEY_PARTS },
};

struct row {
    struct batch_entry entry;
    const char *body;
    uint64_t number, unix_ms;
};

struct rows {
    sqlite3 *database;
    struct waiting {
        sqlite3_stmt *insert[SIZES];
        struct row row[ROWS_MAX];
        unsigned count;
    } waiting[TABLES];
};

static int prepare (struct rows *rows, int table, int size, struct mu_error *error)
{
    char sql[SQL_MAX];
    size_t used = strlen (strcpy (sql, tables[table].head));
    for (unsigned i = 0; i < sizes[size]; i++)
        used += (size_t)snprintf (sql + used, sizeof sql - used, "%s%s", i ? "," : "",
                                  tables[table].row);
    return database_prepare (rows->database, &rows->waiting[table].insert[size], sql, error);
}

int rows_open (struct rows **rows_p, sqlite3 *database, struct mu_error *error)
{
    struct rows *rows = calloc (1, sizeof *rows);
    if (!rows)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    *rows_p = rows;
    rows->database = database;
    for (int table = 0; table < TABLES; table++)
        for (int size = 0; size < SIZES; size++)
            if (prepare (rows, table, size, error))
                return -1;
    return 0;
}

void rows_close (struct rows **rows_p)
{
    for (int i = 0; *rows_p && i < TABLES * SIZES; i++)
        sqlite3_finalize ((*rows_p)->waiting[i / SIZES].insert[i % SIZES]);
    free (*rows_p);
    *rows_p = NULL;
}

static void set_row (sqlite3_stmt *insert, int first, int columns, const struct row *row)
{
    const struct batch_entry *entry = &row->entry;
    sqlite3_bind_int64 (insert, first, (sqlite3_int64)row->number);
    sqlite3_bind_int (insert, first + 1, (int)entry->type);
    sqlite3_bind_int64 (insert, first + 2, (sqlite3_int64)entry->job);
    sqlite3_bind_int64 (insert, first + 3, (sqlite3_int64)row->unix_ms);
    sqlite3_bind_blob (insert, first + 4, row->body, (int)entry->size, SQLITE_STATIC);
    for (int i = 5; i < columns; i++)
        sqlite3_bind_int64 (insert, first + i, (sqlite3_int64)entry->key[i - 5]);
}

static int write_all (struct rows *rows, int table, struct mu_error *error)
{
    struct waiting *waiting = &rows->waiting[table];
    unsigned done = 0;
    for (int size = 0; size < SIZES; size++)
        while (waiting->count - done >= sizes[size]) {
            sqlite3_stmt *insert = waiting->insert[size];
            for (unsigned i = 0; i < sizes[size]; i++)
                set_row (insert, 1 + (int)i * tables[table].columns, tables[table].columns,
                         &waiting->row[done + i]);
            if (database_write (rows->database, insert, error))
                return -1;
            done += sizes[size];
        }
    waiting->count = 0;
    return 0;
}

int rows_add (struct rows *rows, const struct batch_entry *entry, const char *body, uint64_t number,
              uint64_t unix_ms, struct mu_error *error)
{
    int table = entry->is_progress ? PROGRESS : JOURNAL;
    struct waiting *waiting = &rows->waiting[table];
    waiting->row[waiting->count++] = (struct row){ *entry, body, number, unix_ms };
    return waiting->count == ROWS_MAX ? write_all (rows, table, error) : 0;
}

int rows_flush (struct rows *rows, struct mu_error *error)
{
    for (int table = 0; table < TABLES; table++)
        if (write_all (rows, table, error))
            return -1;
    return 0;
}

void rows_drop (struct rows *rows)
{
    for (int table = 0; table < TABLES; table++)
        rows->waiting[table].count = 0;
}
