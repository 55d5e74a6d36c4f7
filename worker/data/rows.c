/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - rows of features and labels as the cache holds them
 *
 * 32 bytes: "MUSTROWS", version, features, rows (8 bytes), classes, zero; then each row: `features`
 * float32 and the label as int32. All little-endian. */
#include "format.h"

#include <endian.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 32, VERSION = 1 };
#define MAGIC "MUSTROWS"

static void put_u4 (uint8_t *at, uint32_t value)
{
    value = htole32 (value);
    memcpy (at, &value, sizeof value);
}

static uint32_t get_u4 (const uint8_t *at)
{
    uint32_t value;
    memcpy (&value, at, sizeof value);
    return le32toh (value);
}

int mu_rows_layout (const uint8_t *head, size_t size, uint64_t file_size, struct mu_layout *layout,
                    struct mu_error *error)
{
    if (size < HEAD_BYTES || memcmp (head, MAGIC, 8) != 0 || get_u4 (head + 8) != VERSION ||
        get_u4 (head + 12) == 0 || get_u4 (head + 12) > MU_DATA_FEATURES_MAX)
        return mu_fail (error, MU_BAD_INPUT, "it is not a file of converted rows; remove it");
    const uint32_t width = get_u4 (head + 12);
    *layout = (struct mu_layout){ .kind = MU_DATA_FEATURES,
                                  .element = MU_F4,
                                  .offset = HEAD_BYTES,
                                  .stride = 4 * ((uint64_t)width + 1),
                                  .units = get_u4 (head + 16) | (uint64_t)get_u4 (head + 20) << 32,
                                  .width = width,
                                  .classes = get_u4 (head + 24),
                                  .labelled = true,
                                  .scale = 1 };
    return mu_layout_check (layout, file_size, error);
}

static void make_head (const struct mu_rows_writer *rows, uint8_t head[HEAD_BYTES])
{
    memset (head, 0, HEAD_BYTES);
    memcpy (head, MAGIC, 8);
    put_u4 (head + 8, VERSION);
    put_u4 (head + 12, rows->features);
    put_u4 (head + 16, (uint32_t)rows->rows);
    put_u4 (head + 20, (uint32_t)(rows->rows >> 32));
    put_u4 (head + 24, rows->classes);
}

static int begin (struct mu_rows_writer *rows, struct mu_writer *writer, struct mu_error *error)
{
    uint8_t head[HEAD_BYTES] = { 0 };
    *rows = (struct mu_rows_writer){ .writer = writer };
    return mu_writer_put (writer, head, sizeof head, error);
}

int mu_rows_put (void *user, const float *features, uint32_t count, int64_t label,
                 const char *place, struct mu_error *error)
{
    struct mu_rows_writer *rows = user;
    uint8_t bytes[4];
    if (rows->rows == 0)
        rows->features = count;
    if (count != rows->features)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s: %" PRIu32 " features, but the rows before have %" PRIu32, place, count,
                        rows->features);
    if (label < 0 || label >= (int64_t)MU_DATA_CLASSES_MAX)
        return mu_fail (error, MU_BAD_INPUT, "%s: the label is %" PRId64 "; 0 to %u are possible",
                        place, label, MU_DATA_CLASSES_MAX - 1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy (&bits, &features[i], sizeof bits);
        put_u4 (bytes, bits);
        if (mu_writer_put (rows->writer, bytes, sizeof bytes, error) < 0)
            return -1;
    }
    rows->rows++;
    if ((uint32_t)label >= rows->classes)
        rows->classes = (uint32_t)label + 1;
    put_u4 (bytes, (uint32_t)label);
    return mu_writer_put (rows->writer, bytes, sizeof bytes, error);
}

static int end (struct mu_rows_writer *rows, struct mu_error *error)
{
    uint8_t head[HEAD_BYTES];
    make_head (rows, head);
    return mu_writer_head (rows->writer, head, sizeof head, error);
}

/* --- converting a file ------------------------------------------------------------------------ */

struct conversion {
    const struct mu_opening *opening;
    const struct mu_file *source;
    mu_rows_fill fill;
};

static int convert (void *user, struct mu_writer *writer, struct mu_error *error)
{
    const struct conversion *c = user;
    struct mu_rows_writer rows;
    struct mu_stream *stream;
    if (mu_stream_open (&stream, c->source, error) < 0)
        return -1;
    int status = begin (&rows, writer, error);
    if (status == 0)
        status = c->fill (c->opening, stream, &rows, error);
    if (status == 0 && rows.rows == 0)
        status = mu_fail (error, MU_BAD_INPUT, "%s has no rows", c->source->path);
    if (status == 0)
        status = end (&rows, error);
    mu_stream_close (&stream);
    return status;
}

int mu_rows_prepare (const struct mu_opening *opening, struct mu_part *part, const char *settings,
                     mu_rows_fill fill, struct mu_error *error)
{
    char key[MU_HASH_TEXT], name[64];
    uint8_t head[HEAD_BYTES];
    if (mu_file_hash (&part->source, opening->cache, error) < 0)
        return -1;
    const char *const strings[] = { "rows 1", part->source.hash, settings, NULL };
    mu_hash_strings (key, strings);
    snprintf (name, sizeof name, "rows-%s", key);
    struct conversion user = { opening, &part->source, fill };
    if (mu_cache_get (opening->cache, name, convert, &user, &part->prepared, error) < 0)
        return -1;
    const size_t size =
        part->prepared.size < sizeof head ? (size_t)part->prepared.size : sizeof head;
    if (mu_file_read (&part->prepared, 0, head, size, error) < 0)
        return -1;
    if (mu_rows_layout (head, size, part->prepared.size, &part->layout, error) == 0)
        return 0;
    mu_error_prefix (error, "%s: ", part->prepared.path);
    return -1;
}
