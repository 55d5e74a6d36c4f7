/* SPDX-License-Identifier: Apache-2.0 */
/* read_csv.c - numbers with commas between them, one row a line
 *
 * Fields may stand in double quotes and between blanks; there are no quotes within quotes, since
 * numbers have none. One column is the label, an integer; all others are features, in their order.
 * Complaints say file:line:column, the column counted in characters as editors do. */
#include "format.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Raised when something is refused, or read otherwise, that was not before: what an older reader
 * has left in a cache is then not taken for what this one would make. */
enum { READER = 2 };

enum { PLACE = 512 };

struct field {
    char *text; /* NUL-terminated */
    size_t column;
};

struct csv {
    struct mu_lines lines;
    struct field *fields;
    float *features;
    size_t count, room;
    size_t label;
    locale_t locale;
};

static void place_of (const struct csv *csv, size_t column, char place[PLACE])
{
    const char *name = mu_stream_name (csv->lines.stream);
    if (column)
        snprintf (place, PLACE, "%.460s:%" PRIu64 ":%zu", name, csv->lines.number, column);
    else
        snprintf (place, PLACE, "%.460s:%" PRIu64, name, csv->lines.number);
}

static int refuse (const struct csv *csv, const struct field *field, const char *problem,
                   struct mu_error *error)
{
    char place[PLACE];
    place_of (csv, field->column, place);
    return mu_fail (error, MU_BAD_INPUT, "%s: \"%.40s\" %s", place, field->text, problem);
}

static int reserve (struct csv *csv, struct mu_error *error)
{
    if (csv->count < csv->room)
        return 0;
    const size_t room = csv->room ? csv->room * 2 : 64;
    struct field *fields = reallocarray (csv->fields, room, sizeof *fields);
    if (fields)
        csv->fields = fields;
    float *features = reallocarray (csv->features, room, sizeof *features);
    if (features)
        csv->features = features;
    if (!fields || !features)
        return mu_fail (error, MU_SYSTEM, "no memory for a line of %s",
                        mu_stream_name (csv->lines.stream));
    csv->room = room;
    return 0;
}

/* Blanks and quotes around a field go; its text ends with a NUL. */
static void trim (struct field *field, char *end)
{
    while (end > field->text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    while (field->text < end && (*field->text == ' ' || *field->text == '\t')) {
        field->text++;
        field->column++;
    }
    if (end - field->text >= 2 && *field->text == '"' && end[-1] == '"') {
        field->text++;
        field->column++;
        end--;
    }
    *end = '\0';
}

/* A zero byte would hide what follows it in its field; a return would make one line of two. */
static int check_bytes (const struct csv *csv, const char *line, size_t length,
                        struct mu_error *error)
{
    const char *name = mu_stream_name (csv->lines.stream);
    if (memchr (line, '\0', length))
        return mu_fail (error, MU_BAD_INPUT,
                        "%s:%" PRIu64
                        ": a zero byte is in this line, so this is no CSV, or damaged, "
                        "or UTF-16, which has to be made UTF-8",
                        name, csv->lines.number);
    if (memchr (line, '\r', length))
        return mu_fail (error, MU_BAD_INPUT,
                        "%s:%" PRIu64
                        ": a carriage return is within this line; where lines end with "
                        "nothing else, make it a newline: tr '\\r' '\\n' < OLD > NEW",
                        name, csv->lines.number);
    return 0;
}

static int split (struct csv *csv, char *line, size_t length, struct mu_error *error)
{
    char *const end = line + length;
    char *at = line;
    csv->count = 0;
    if (check_bytes (csv, line, length, error) < 0)
        return -1;
    for (;;) {
        bool quoted = false;
        char *stop = at;
        for (; stop < end && (quoted || *stop != ','); stop++)
            quoted ^= *stop == '"';
        if (reserve (csv, error) < 0)
            return -1;
        const bool last = stop == end;
        struct field *field = &csv->fields[csv->count++];
        *field = (struct field){ at, (size_t)(at - line) + 1 };
        trim (field, stop);
        if (last)
            return 0;
        at = stop + 1;
    }
}

static bool number (const struct csv *csv, const char *text, double *value)
{
    char *end;
    if (!*text || text[strspn (text, "0123456789+-.eE")])
        return false;
    *value = strtod_l (text, &end, csv->locale);
    return *end == '\0';
}

static bool has_word (const struct csv *csv)
{
    double ignored;
    for (size_t i = 0; i < csv->count; i++)
        if (*csv->fields[i].text && !number (csv, csv->fields[i].text, &ignored))
            return true;
    return false;
}

/* The label's place among the fields of the first line, which may be names. */
static int find_label (struct csv *csv, const char *wanted, bool names, struct mu_error *error)
{
    char *end;
    const char *name = mu_stream_name (csv->lines.stream);
    for (size_t i = 0; names && wanted && i < csv->count; i++) {
        if (strcmp (csv->fields[i].text, wanted) == 0) {
            csv->label = i;
            return 0;
        }
    }
    const long long index = strtoll (wanted ? wanted : "-1", &end, 10);
    if (*end || end == wanted)
        return mu_fail (error, MU_CONFIG, "%s: no column is named \"%s\"%s", name, wanted,
                        names ? "" : "; its first line has no names, give the column's index");
    const long long at = index < 0 ? (long long)csv->count + index : index;
    if (at < 0 || at >= (long long)csv->count)
        return mu_fail (error, MU_CONFIG,
                        "%s has %zu columns, but the label is said to be column "
                        "%lld (they count from 0; -1 is the last)",
                        name, csv->count, index);
    csv->label = (size_t)at;
    return 0;
}

static int put_row (struct csv *csv, size_t columns, mu_row_sink sink, void *user,
                    struct mu_error *error)
{
    char place[PLACE];
    int64_t label = 0;
    uint32_t count = 0;
    place_of (csv, 0, place);
    if (csv->count != columns)
        return mu_fail (error, MU_BAD_INPUT, "%s: %zu columns, but the lines before have %zu",
                        place, csv->count, columns);
    for (size_t i = 0; i < csv->count; i++) {
        double value;
        const struct field *field = &csv->fields[i];
        if (!number (csv, field->text, &value))
            return refuse (csv, field, "is not a number", error);
        if (i == csv->label) {
            if (!(value >= 0 && value < MU_DATA_CLASSES_MAX && value == (double)(int64_t)value))
                return refuse (csv, field, "is no label: labels are 0, 1, 2 … up to 65535", error);
            label = (int64_t)value;
        } else if (!isfinite (csv->features[count++] = (float)value)) {
            return refuse (csv, field, "is too large for a 32-bit float", error);
        }
    }
    return sink (user, csv->features, count, label, place, error);
}

static int read_rows (struct csv *csv, const char *label_column, enum mu_data_header header,
                      mu_row_sink sink, void *user, struct mu_error *error)
{
    char *line;
    size_t length, columns = 0;
    int status;
    while ((status = mu_lines_next (&csv->lines, &line, &length, error)) > 0) {
        if (line[strspn (line, " \t")] == '\0' && strlen (line) == length)
            continue;
        if (split (csv, line, length, error) < 0)
            return -1;
        if (columns == 0) {
            columns = csv->count;
            const bool names =
                header == MU_DATA_HEADER_YES || (header == MU_DATA_HEADER_AUTO && has_word (csv));
            if (columns < 2)
                return mu_fail (error, MU_BAD_INPUT,
                                "%s:%" PRIu64 ": one column; a row is features "
                                "and a label, with commas between them",
                                mu_stream_name (csv->lines.stream), csv->lines.number);
            if (find_label (csv, label_column, names, error) < 0)
                return -1;
            if (names)
                continue;
        }
        if (put_row (csv, columns, sink, user, error) < 0)
            return -1;
    }
    return status;
}

int mu_csv_rows (struct mu_stream *stream, const char *label_column, enum mu_data_header header,
                 mu_row_sink sink, void *user, struct mu_error *error)
{
    struct csv csv = { .lines = { .stream = stream } };
    csv.locale = newlocale (LC_ALL_MASK, "C", (locale_t)0);
    if (!csv.locale)
        return mu_fail (error, MU_SYSTEM, "no memory to read %s", mu_stream_name (stream));
    int status = read_rows (&csv, label_column, header, sink, user, error);
    freelocale (csv.locale);
    mu_lines_close (&csv.lines);
    free (csv.fields);
    free (csv.features);
    return status;
}

static int fill (const struct mu_opening *opening, struct mu_stream *stream,
                 struct mu_rows_writer *rows, struct mu_error *error)
{
    mu_cache_tell (opening->cache, "converting CSV", 0, 0);
    return mu_csv_rows (stream, opening->spec->label_column, opening->spec->header, mu_rows_put,
                        rows, error);
}

int mu_csv_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error)
{
    char settings[320];
    const char *label = opening->spec->label_column;
    if (label && strlen (label) > 255)
        return mu_fail (error, MU_CONFIG, "the label column's name is longer than 255 bytes");
    snprintf (settings, sizeof settings, "csv %d %d %s", READER, opening->spec->header,
              label ? label : "-1");
    return mu_rows_prepare (opening, part, settings, fill, error);
}
