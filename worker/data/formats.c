/* SPDX-License-Identifier: Apache-2.0 */
/* formats.c - the table of formats, and which one a file has */
#include "format.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { HEAD = 4096 };

static const char *const text_suffixes[] = { ".txt", ".text", ".md", ".dict", NULL };
static const char *const llmc_suffixes[] = { ".bin", NULL };
static const char *const npy_suffixes[] = { ".npy", NULL };
static const char *const idx_suffixes[] = { "-idx1-ubyte", "-idx2-ubyte", "-idx3-ubyte",
                                            "-idx4-ubyte", ".idx",        NULL };
static const char *const csv_suffixes[] = { ".csv", NULL };
static const char *const jsonl_suffixes[] = { ".jsonl", ".ndjson", NULL };

static const struct mu_format formats[] = {
    { "text", text_suffixes, NULL, true, mu_text_open },
    { "llmc", llmc_suffixes, mu_llmc_recognise, false, mu_llmc_open },
    { "npy", npy_suffixes, mu_npy_recognise, false, mu_npy_open },
    { "idx", idx_suffixes, mu_idx_recognise, false, mu_idx_open },
    { "csv", csv_suffixes, NULL, false, mu_csv_open },
    { "jsonl", jsonl_suffixes, NULL, true, mu_jsonl_open },
};
static const size_t format_count = sizeof formats / sizeof *formats;

static const char *const packed_suffixes[] = { ".gz", ".dz", NULL };

const struct mu_format *mu_format_find (const char *name, struct mu_error *error)
{
    for (size_t i = 0; i < format_count; i++)
        if (strcmp (formats[i].name, name) == 0)
            return &formats[i];
    mu_fail (error, MU_CONFIG,
             "there is no data format \"%s\"; there are auto, text, llmc, npy, "
             "idx, csv and jsonl",
             name);
    return NULL;
}

/* The length of `name` without the suffix, or 0 where it has another or nothing before it. */
static size_t without (const char *name, size_t length, const char *suffix)
{
    const size_t tail = strlen (suffix);
    return length > tail && strncasecmp (name + length - tail, suffix, tail) == 0 ? length - tail
                                                                                  : 0;
}

static size_t without_packing (const char *name, size_t length)
{
    for (size_t i = 0; packed_suffixes[i]; i++) {
        const size_t inner = without (name, length, packed_suffixes[i]);
        if (inner)
            return inner;
    }
    return length;
}

static bool has_suffix (const struct mu_format *format, const char *name)
{
    const size_t length = without_packing (name, strlen (name));
    for (size_t i = 0; format->suffixes[i]; i++)
        if (without (name, length, format->suffixes[i]))
            return true;
    return false;
}

bool mu_format_matches_name (const struct mu_format *format, const char *name)
{
    if (format)
        return has_suffix (format, name);
    for (size_t i = 0; i < format_count; i++)
        if (has_suffix (&formats[i], name))
            return true;
    return false;
}

/* The start of the content, unpacked. */
static int content_head (const struct mu_file *file, uint8_t head[HEAD], size_t *size,
                         struct mu_error *error)
{
    struct mu_stream *stream;
    size_t got;
    *size = 0;
    if (mu_stream_open (&stream, file, error) < 0)
        return -1;
    int status;
    do {
        status = mu_stream_read (stream, head + *size, HEAD - *size, &got, error);
        *size += got;
    } while (status == 0 && got && *size < HEAD);
    mu_stream_close (&stream);
    return status;
}

const struct mu_format *mu_format_of (const struct mu_file *file, struct mu_error *error)
{
    uint8_t head[HEAD];
    size_t size;
    for (size_t i = 0; i < format_count; i++)
        if (has_suffix (&formats[i], file->path))
            return &formats[i];
    if (content_head (file, head, &size, error) < 0)
        return NULL;
    for (size_t i = 0; i < format_count; i++)
        if (formats[i].recognise && formats[i].recognise (head, size))
            return &formats[i];
    if (memchr (head, 0, size)) {
        mu_fail (error, MU_BAD_INPUT,
                 "%s is neither text nor a format that can be recognised; name "
                 "its format (\"text\" takes any bytes)",
                 file->path);
        return NULL;
    }
    return &formats[0];
}

/* --- shared by the readers -------------------------------------------------------------------- */

static int unpack (void *user, struct mu_writer *writer, struct mu_error *error)
{
    enum { BLOCK = 1 << 17 };
    const struct mu_opening *opening = ((void **)user)[0];
    const struct mu_file *source = ((void **)user)[1];
    struct mu_stream *stream;
    size_t got;
    uint8_t *block = malloc (BLOCK);
    if (!block)
        return mu_fail (error, MU_SYSTEM, "no memory to unpack %s", source->path);
    int status = mu_stream_open (&stream, source, error);
    if (status == 0) {
        do {
            status = mu_stream_read (stream, block, BLOCK, &got, error);
            if (status == 0)
                status = mu_writer_put (writer, block, got, error);
            mu_cache_tell (opening->cache, "unpacking", mu_stream_consumed (stream), source->size);
        } while (status == 0 && got);
        mu_stream_close (&stream);
    }
    free (block);
    return status;
}

int mu_unpacked (const struct mu_opening *opening, struct mu_file *source, struct mu_file *unpacked,
                 const struct mu_file **use, struct mu_error *error)
{
    uint8_t head[2];
    char name[64], key[MU_HASH_TEXT];
    *use = source;
    if (source->size < sizeof head)
        return 0;
    if (mu_file_read (source, 0, head, sizeof head, error) < 0)
        return -1;
    if (!mu_is_gzip (head, sizeof head))
        return 0;
    if (mu_file_hash (source, opening->cache, error) < 0)
        return -1;
    const char *const strings[] = { "gunzip 1", source->hash, NULL };
    mu_hash_strings (key, strings);
    snprintf (name, sizeof name, "unpacked-%s", key);
    void *user[] = { (void *)(uintptr_t)opening, source };
    *use = unpacked;
    return mu_cache_get (opening->cache, name, unpack, user, unpacked, error);
}

int mu_file_head (const struct mu_file *file, size_t limit, uint8_t **head, size_t *size,
                  struct mu_error *error)
{
    *size = file->size < limit ? (size_t)file->size : limit;
    *head = malloc (*size ? *size : 1);
    if (!*head)
        return mu_fail (error, MU_SYSTEM, "no memory to read %s", file->path);
    if (mu_file_read (file, 0, *head, *size, error) == 0)
        return 0;
    free (*head);
    *head = NULL;
    return -1;
}

static const size_t element_sizes[] = {
    [MU_U1] = 1, [MU_U2] = 2, [MU_U4] = 4, [MU_I1] = 1, [MU_I2] = 2,
    [MU_I4] = 4, [MU_I8] = 8, [MU_F4] = 4, [MU_F8] = 8
};

size_t mu_element_size (enum mu_element element) { return element_sizes[element]; }

int mu_layout_check (const struct mu_layout *layout, uint64_t file_size, struct mu_error *error)
{
    if (layout->kind == MU_DATA_FEATURES &&
        (layout->width == 0 || layout->width > MU_DATA_FEATURES_MAX))
        return mu_fail (error, MU_BAD_INPUT, "a row has %ju values; 1 to %u are possible",
                        (uintmax_t)layout->width, MU_DATA_FEATURES_MAX);
    if (layout->vocabulary > MU_DATA_VOCABULARY_MAX)
        return mu_fail (error, MU_BAD_INPUT, "its vocabulary is %ju; up to %u is possible",
                        (uintmax_t)layout->vocabulary, MU_DATA_VOCABULARY_MAX);
    const uint64_t room = layout->offset <= file_size ? file_size - layout->offset : 0;
    if (layout->offset > file_size || layout->units > room / layout->stride)
        return mu_fail (error, MU_BAD_INPUT,
                        "its header promises %ju times %ju bytes behind byte "
                        "%ju, but the file has %ju bytes; it was cut off: fetch or make it again",
                        (uintmax_t)layout->units, (uintmax_t)layout->stride,
                        (uintmax_t)layout->offset, (uintmax_t)file_size);
    return 0;
}
