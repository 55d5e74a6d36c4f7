/* SPDX-License-Identifier: Apache-2.0 */
/* read_jsonl.c - one JSON object a line: {"text": "…"} or {"x": [1, 2.5, …], "y": 3}
 *
 * Blank lines are skipped; other members are ignored. Which of the two kinds a file holds is told
 * by its first object. JSON is read by jansson, which refuses what is not UTF-8 and nesting too
 * deep. */
#include "format.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE = 512 };

/* Parse the next object; 1, 0 at the end, -1 on failure. `place` becomes "file:line". */
static int next_object (struct mu_lines *lines, json_t **object, char place[PLACE],
                        struct mu_error *error)
{
    char *line;
    size_t length;
    int status;
    json_error_t problem;
    do {
        status = mu_lines_next (lines, &line, &length, error);
        if (status <= 0)
            return status;
    } while (line[strspn (line, " \t")] == '\0' && strlen (line) == length);
    const char *name = mu_stream_name (lines->stream);
    snprintf (place, PLACE, "%.460s:%" PRIu64, name, lines->number);
    *object = json_loadb (line, length, JSON_ALLOW_NUL, &problem);
    if (!*object)
        return mu_fail (error, MU_BAD_INPUT, "%s:%d: not JSON: %s%s", place, problem.column,
                        problem.text,
                        memchr (line, '\r', length)
                            ? "; carriage returns are no ends of lines: tr '\\r' '\\n' < OLD > NEW"
                            : "");
    if (json_is_object (*object))
        return 1;
    json_decref (*object);
    return mu_fail (error, MU_BAD_INPUT, "%s: not a JSON object {…}", place);
}

static int put_text (const json_t *object, const char *field, const char *place,
                     const struct mu_text_sink *sink, struct mu_error *error)
{
    const json_t *text = json_object_get (object, field);
    if (!json_is_string (text))
        return mu_fail (error, MU_BAD_INPUT,
                        "%s: no string \"%s\"; data.field of a job file, or --field, names the "
                        "member that holds the text",
                        place, field);
    if (sink->text (sink->user, json_string_value (text), json_string_length (text), error) < 0)
        return -1;
    return sink->end (sink->user, error);
}

static int put_row (const json_t *object, const char *place, mu_row_sink sink, void *user,
                    struct mu_error *error)
{
    const json_t *x = json_object_get (object, "x"), *y = json_object_get (object, "y");
    const size_t count = json_array_size (x);
    if (!json_is_array (x) || count == 0 || count > MU_DATA_FEATURES_MAX)
        return mu_fail (error, MU_BAD_INPUT, "%s: no array \"x\" of 1 to %u numbers", place,
                        MU_DATA_FEATURES_MAX);
    if (!json_is_integer (y))
        return mu_fail (error, MU_BAD_INPUT, "%s: no integer \"y\", the label", place);
    float *features = calloc (count, sizeof *features);
    if (!features)
        return mu_fail (error, MU_SYSTEM, "no memory for a row of %zu features", count);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        const json_t *value = json_array_get (x, i);
        features[i] = (float)json_number_value (value);
        if (!json_is_number (value) || !isfinite (features[i]))
            status = mu_fail (error, MU_BAD_INPUT,
                              "%s: x[%zu] is not a number that a 32-bit float "
                              "can hold",
                              place, i);
    }
    if (status == 0)
        status = sink (user, features, (uint32_t)count, json_integer_value (y), place, error);
    free (features);
    return status;
}

int mu_jsonl_walk (struct mu_stream *stream, const char *text_field,
                   const struct mu_text_sink *text, mu_row_sink row, void *row_user,
                   struct mu_error *error)
{
    struct mu_lines lines = { .stream = stream };
    char place[PLACE];
    json_t *object;
    int status;
    while ((status = next_object (&lines, &object, place, error)) > 0) {
        status = text_field ? put_text (object, text_field, place, text, error)
                            : put_row (object, place, row, row_user, error);
        json_decref (object);
        if (status < 0)
            break;
    }
    mu_lines_close (&lines);
    return status;
}

/* -1 on failure. */
static int first_has (struct mu_stream *stream, const char *field, struct mu_error *error)
{
    struct mu_lines lines = { .stream = stream };
    char place[PLACE];
    json_t *object;
    int status = next_object (&lines, &object, place, error);
    if (status > 0) {
        status = json_object_get (object, field) != NULL;
        json_decref (object);
    }
    mu_lines_close (&lines);
    return status;
}

static int fill (const struct mu_opening *opening, struct mu_stream *stream,
                 struct mu_rows_writer *rows, struct mu_error *error)
{
    mu_cache_tell (opening->cache, "converting JSONL", 0, 0);
    return mu_jsonl_walk (stream, NULL, NULL, mu_rows_put, rows, error);
}

int mu_jsonl_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error)
{
    struct mu_stream *stream;
    const char *field = opening->spec->text_field ? opening->spec->text_field : "text";
    if (mu_stream_open (&stream, &part->source, error) < 0)
        return -1;
    const int text = first_has (stream, field, error);
    mu_stream_close (&stream);
    if (text < 0)
        return -1;
    /* A field that was asked for by name must be there; then the walk says where it is not. A job file
     * always names one, and "text" if nothing else was asked for. */
    if (text || strcmp (field, "text") != 0)
        return mu_text_prepare (opening, part, true, error);
    return mu_rows_prepare (opening, part, "jsonl", fill, error);
}
