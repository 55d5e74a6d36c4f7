/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - tables are gathered and then printed; JSON comes from the wire's own field tables */
#include "output.h"

#include "wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLUMNS_MAX 24

struct table {
    char *heads;
    char **cell; /* heads first */
    size_t count, capacity, columns;
    int right[COLUMNS_MAX];
};

static void add (struct table *table, char *text)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 64;
        table->cell = realloc (table->cell, table->capacity * sizeof *table->cell);
    }
    if (!table->cell || !text)
        abort ();
    table->cell[table->count++] = text;
}

struct table *table_create (const char *heads)
{
    struct table *table = calloc (1, sizeof *table);
    if (!table || !(table->heads = strdup (heads)))
        abort ();
    char *rest = table->heads;
    for (char *head; (head = strsep (&rest, "|")) && table->columns < COLUMNS_MAX;) {
        table->right[table->columns++] = *head == '>';
        add (table, strdup (*head == '>' ? head + 1 : head));
    }
    return table;
}

static char plain (char letter)
{
    return (unsigned char)letter < 0x20 || letter == 0x7f ? ' ' : letter;
}

void plain_text (char *text)
{
    for (; *text; text++)
        *text = plain (*text);
}

void print_plain (FILE *out, const void *data, size_t size)
{
    for (const char *at = data; size--; at++)
        putc (plain (*at), out);
}

void print_plain_lines (FILE *out, const void *data, size_t size)
{
    for (const char *at = data; size--; at++)
        putc (*at == '\n' ? '\n' : plain (*at), out);
}

void table_cell (struct table *table, const char *format, ...)
{
    char *text;
    va_list args;
    va_start (args, format);
    int size = vasprintf (&text, format, args);
    va_end (args);
    if (size >= 0)
        plain_text (text);
    add (table, size < 0 ? NULL : text);
}

/* Characters, not bytes: continuation bytes take no place. */
static int width_of (const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void print_cell (const struct table *table, size_t at, int width)
{
    size_t column = at % table->columns;
    int pad = width - width_of (table->cell[at]);
    bool last = column + 1 == table->columns;
    if (table->right[column])
        printf ("%*s%s", pad, "", table->cell[at]);
    else
        printf ("%s%*s", table->cell[at], last ? 0 : pad, "");
    fputs (last ? "\n" : "  ", stdout);
}

void table_print (struct table **table_p)
{
    struct table *table = *table_p;
    int width[COLUMNS_MAX] = { 0 };
    for (size_t i = 0; i < table->count; i++)
        if (width_of (table->cell[i]) > width[i % table->columns])
            width[i % table->columns] = width_of (table->cell[i]);
    for (size_t i = 0; i < table->count; i++) {
        print_cell (table, i, width[i % table->columns]);
        free (table->cell[i]);
    }
    free (table->cell);
    free (table->heads);
    free (table);
    *table_p = NULL;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static const struct mu_shape *item_shape (uint32_t id)
{
    const struct mu_shape *shape = mu_shape_find (&mu_wire_family, id);
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (shape->fields[i].kind == MU_FIELD_LIST)
            return shape->fields[i].item;
    abort (); /* called for a message without a list */
}

json_t *list_to_json (uint32_t id, const void *items, size_t count)
{
    const struct mu_shape *shape = item_shape (id);
    json_t *array = json_array ();
    for (size_t i = 0; i < count; i++)
        json_array_append_new (array,
                               mu_shape_to_json (shape, (const char *)items + i * shape->size));
    return array;
}

void print_json (json_t *value)
{
    json_dumpf (value, stdout, JSON_INDENT (2));
    putchar ('\n');
    json_decref (value);
}

/* --- numbers for people ----------------------------------------------------------------------- */

const char *duration_text (double seconds, char *text, size_t size)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf (text, size, "-");
        return text;
    }
    unsigned long s = (unsigned long)(seconds + 0.5);
    if (s < 3600)
        snprintf (text, size, "%lu:%02lu", s / 60, s % 60);
    else if (s < 86400)
        snprintf (text, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf (text, size, "%lu d %lu h", s / 86400, s / 3600 % 24);
    return text;
}

const char *rate_text (double rate, char *text, size_t size)
{
    if (rate < 1000)
        snprintf (text, size, "%.0f", rate);
    else if (rate < 1e6)
        snprintf (text, size, "%.1fk", rate / 1e3);
    else
        snprintf (text, size, "%.2fM", rate / 1e6);
    return text;
}

const char *loss_text (double loss, char *text, size_t size)
{
    snprintf (text, size, "-");
    if (loss != 0)
        snprintf (text, size, "%.4f", loss);
    return text;
}

const char *time_text (uint64_t unix_ms, char *text, size_t size)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (!unix_ms || !localtime_r (&seconds, &tm))
        snprintf (text, size, "-");
    else
        strftime (text, size, "%Y-%m-%d %H:%M:%S", &tm);
    return text;
}
