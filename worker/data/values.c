/* SPDX-License-Identifier: Apache-2.0 */
/* values.c - from the bytes of a layout to tokens, labels and features
 *
 * Values are read and converted block by block on the stack, whatever their type: a conversion is a
 * loop per type, chosen by a table. Floats are exact where the file's type fits, and otherwise one
 * IEEE rounding; no step depends on the machine. */
#include "format.h"

#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16384, ROW_LABEL = 4 };

static int read_bytes (const struct mu_values *values, uint64_t offset, void *buffer, size_t size,
                       struct mu_error *error)
{
    if (values->dictzip)
        return mu_dictzip_read (values->chunks, values->dictzip, values->file, offset, buffer, size,
                                error);
    return mu_file_read (values->file, offset, buffer, size, error);
}

static uint16_t u2_at (const uint8_t *at)
{
    uint16_t value;
    memcpy (&value, at, sizeof value);
    return le16toh (value);
}

static uint32_t u4_at (const uint8_t *at)
{
    uint32_t value;
    memcpy (&value, at, sizeof value);
    return le32toh (value);
}

static uint64_t u8_at (const uint8_t *at)
{
    uint64_t value;
    memcpy (&value, at, sizeof value);
    return le64toh (value);
}

static int64_t integer_u1 (const uint8_t *at) { return *at; }
static int64_t integer_u2 (const uint8_t *at) { return u2_at (at); }
static int64_t integer_u4 (const uint8_t *at) { return u4_at (at); }
static int64_t integer_i1 (const uint8_t *at) { return (int8_t)*at; }
static int64_t integer_i2 (const uint8_t *at) { return (int16_t)u2_at (at); }
static int64_t integer_i4 (const uint8_t *at) { return (int32_t)u4_at (at); }
static int64_t integer_i8 (const uint8_t *at) { return (int64_t)u8_at (at); }

static int64_t (*const integers[]) (const uint8_t *at) = {
    [MU_U1] = integer_u1, [MU_U2] = integer_u2, [MU_U4] = integer_u4,
    [MU_I1] = integer_i1, [MU_I2] = integer_i2, [MU_I4] = integer_i4,
    [MU_I8] = integer_i8, [MU_F4] = NULL,       [MU_F8] = NULL,
};

static int read_integers (const struct mu_values *values, uint64_t unit, uint64_t count,
                          int64_t *out, struct mu_error *error)
{
    uint8_t block[BLOCK];
    const struct mu_layout *layout = values->layout;
    const size_t size = mu_element_size (layout->element);
    int64_t (*const get) (const uint8_t *) = integers[layout->element];
    while (count) {
        const size_t some = count < BLOCK / size ? (size_t)count : BLOCK / size;
        if (read_bytes (values, layout->offset + unit * size, block, some * size, error) < 0)
            return -1;
        for (size_t i = 0; i < some; i++)
            *out++ = get (block + i * size);
        unit += some;
        count -= some;
    }
    return 0;
}

static int refuse_token (const struct mu_values *values, uint64_t unit, int64_t token,
                         uint32_t vocabulary, struct mu_error *error)
{
    return mu_fail (error, MU_BAD_INPUT,
                    "%s: token %" PRIu64 " is %" PRId64 ", but the vocabulary has "
                    "tokens 0 to %" PRIu32 "; name the vocabulary that the file was made with",
                    values->file->path, unit, token, vocabulary - 1);
}

int mu_values_tokens (const struct mu_values *values, uint64_t unit, uint64_t count,
                      uint32_t vocabulary, int32_t *out, struct mu_error *error)
{
    int64_t block[1024];
    while (count) {
        const size_t some = count < 1024 ? (size_t)count : 1024;
        if (read_integers (values, unit, some, block, error) < 0)
            return -1;
        for (size_t i = 0; i < some; i++) {
            if (block[i] < 0 || block[i] >= vocabulary)
                return refuse_token (values, unit + i, block[i], vocabulary, error);
            *out++ = (int32_t)block[i];
        }
        unit += some;
        count -= some;
    }
    return 0;
}

static void scale_u1 (const uint8_t *at, size_t count, float scale, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)at[i] * scale;
}

static void scale_f4 (const uint8_t *at, size_t count, float scale, float *out)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = u4_at (at + 4 * i);
        float value;
        memcpy (&value, &bits, sizeof value);
        out[i] = value * scale;
    }
}

static void scale_f8 (const uint8_t *at, size_t count, float scale, float *out)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t bits = u8_at (at + 8 * i);
        double value;
        memcpy (&value, &bits, sizeof value);
        out[i] = (float)value * scale;
    }
}

int mu_values_row (const struct mu_values *values, uint64_t unit, float scale, float *features,
                   int32_t *label, struct mu_error *error)
{
    uint8_t block[BLOCK];
    const struct mu_layout *layout = values->layout;
    const size_t size = mu_element_size (layout->element);
    uint64_t offset = layout->offset + unit * layout->stride;
    for (uint32_t done = 0; done < layout->width;) {
        const size_t left = layout->width - done;
        const size_t some = left < BLOCK / size ? left : BLOCK / size;
        if (read_bytes (values, offset, block, some * size, error) < 0)
            return -1;
        if (layout->element == MU_U1)
            scale_u1 (block, some, scale, features + done);
        else if (layout->element == MU_F4)
            scale_f4 (block, some, scale, features + done);
        else
            scale_f8 (block, some, scale, features + done);
        done += (uint32_t)some;
        offset += some * size;
    }
    if (!layout->labelled)
        return 0;
    if (read_bytes (values, offset, block, ROW_LABEL, error) < 0)
        return -1;
    *label = (int32_t)u4_at (block);
    return 0;
}

/* --- the largest ------------------------------------------------------------------------------ */

static int scan (const struct mu_values *values, const struct mu_cache *cache, int64_t limit,
                 const char *what, int64_t *largest, struct mu_error *error)
{
    int64_t block[1024];
    *largest = -1;
    for (uint64_t unit = 0; unit < values->layout->units; unit += 1024) {
        const uint64_t left = values->layout->units - unit;
        const size_t some = left < 1024 ? (size_t)left : 1024;
        if (read_integers (values, unit, some, block, error) < 0)
            return -1;
        for (size_t i = 0; i < some; i++) {
            if (block[i] < 0 || block[i] > limit)
                return mu_fail (error, MU_BAD_INPUT,
                                "%s: %s %" PRIu64 " is %" PRId64 "; 0 to %" PRId64 " are possible",
                                values->file->path, what, unit + i, block[i], limit);
            *largest = block[i] > *largest ? block[i] : *largest;
        }
        mu_cache_tell (cache, "looking for the largest value", unit + some, values->layout->units);
    }
    return 0;
}

struct largest {
    const struct mu_values *values;
    const struct mu_cache *cache;
    int64_t limit;
    const char *what;
};

static int make_largest (void *user, struct mu_writer *writer, struct mu_error *error)
{
    const struct largest *l = user;
    int64_t value;
    char line[32];
    if (scan (l->values, l->cache, l->limit, l->what, &value, error) < 0)
        return -1;
    const int length = snprintf (line, sizeof line, "%" PRId64 "\n", value);
    return mu_writer_put (writer, line, (size_t)length, error);
}

int mu_values_largest (const struct mu_values *values, const struct mu_cache *cache,
                       struct mu_file *file, int64_t limit, const char *what, int64_t *largest,
                       struct mu_error *error)
{
    char layout[64], bound[32], key[MU_HASH_TEXT], name[64], line[32] = "";
    struct mu_file found;
    if (mu_file_hash (file, cache, error) < 0)
        return -1;
    snprintf (layout, sizeof layout, "%d %" PRIu64, values->layout->element,
              values->layout->offset);
    snprintf (bound, sizeof bound, "%" PRId64, limit);
    const char *const strings[] = { "largest 1", file->hash, layout, bound, NULL };
    mu_hash_strings (key, strings);
    snprintf (name, sizeof name, "largest-%s", key);
    struct largest user = { values, cache, limit, what };
    if (mu_cache_get (cache, name, make_largest, &user, &found, error) < 0)
        return -1;
    int status = found.size < sizeof line ? 0 : -1;
    if (status == 0)
        status = mu_file_read (&found, 0, line, (size_t)found.size, NULL);
    char *end = line;
    *largest = strtoll (line, &end, 10);
    if (status < 0 || *end != '\n' || *largest < -1 || *largest > limit)
        status = mu_fail (error, MU_BAD_INPUT, "%s is damaged; remove it", found.path);
    mu_file_close (&found);
    return status;
}
