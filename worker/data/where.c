/* SPDX-License-Identifier: Apache-2.0 */
/* where.c - records named as people look for them: numbers in runs, files, rows or tokens */
#include "data.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"

struct where {
    const struct mu_data *data;
    char *text;
    size_t size, used;
    bool full;
};

static void put (struct where *where, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* Leaves room for what tells that there was more. */
static void put (struct where *where, const char *format, ...)
{
    char piece[4200];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (piece, sizeof piece, format, arguments);
    va_end (arguments);
    size_t length = strlen (piece);
    if (where->full)
        return;
    where->full = where->used + length + sizeof " ..." > where->size;
    snprintf (where->text + where->used, where->size - where->used, "%s",
              where->full ? " ..." : piece);
    where->used += strlen (where->text + where->used);
}

static int by_number (const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* How many of the sorted records from `record` on follow one another. */
static uint32_t run_of (const uint64_t *record, uint32_t count)
{
    uint32_t run = 1;
    while (run < count && record[run] == record[run - 1] + 1)
        run++;
    return run;
}

static void put_numbers (struct where *where, const uint64_t *record, uint32_t count)
{
    put (where, count == 1 ? "record " : "records ");
    for (uint32_t i = 0, run; i < count; i += run) {
        run = run_of (record + i, count - i);
        put (where, "%s%" PRIu64, i ? ", " : "", record[i]);
        if (run > 1)
            put (where, "-%" PRIu64, record[i] + run - 1);
    }
}

/* Units [first, last] of the data set, file by file. */
static void put_units (struct where *where, uint64_t first, uint64_t last,
                       const struct mu_part **named)
{
    const char *what = where->data->info.kind == MU_DATA_TOKENS ? "tokens" : "rows";
    while (first <= last) {
        const struct mu_part *part = mu_part_of (where->data, first);
        const uint64_t end = part->first_unit + part->layout.units - 1;
        const uint64_t here = last < end ? last : end;
        if (part != *named)
            put (where, "; %s, %s ", part->source.path, what);
        else
            put (where, ", ");
        put (where, "%" PRIu64, first - part->first_unit);
        if (here > first)
            put (where, "-%" PRIu64, here - part->first_unit);
        *named = part;
        first = here + 1;
    }
}

static void put_places (struct where *where, const uint64_t *record, uint32_t count)
{
    const struct mu_data *data = where->data;
    const bool tokens = data->info.kind == MU_DATA_TOKENS;
    const uint64_t width = tokens ? data->info.tokens - 1 : 1;
    const struct mu_part *named = NULL;
    for (uint32_t i = 0, run; i < count; i += run) {
        run = run_of (record + i, count - i);
        const uint64_t first = (data->first_record + record[i]) * width;
        put_units (where, first, first + run * width - !tokens, &named);
    }
}

void mu_data_where (const struct mu_data *data, const uint64_t *record, uint32_t count, char *text,
                    size_t size)
{
    struct where where = { .data = data, .text = text, .size = size };
    uint64_t *sorted = malloc ((count ? count : 1) * sizeof *sorted);
    text[0] = '\0';
    if (!sorted || !count) {
        free (sorted);
        return;
    }
    memcpy (sorted, record, count * sizeof *sorted);
    qsort (sorted, count, sizeof *sorted, by_number);
    put_numbers (&where, sorted, count);
    put_places (&where, sorted, count);
    free (sorted);
}
