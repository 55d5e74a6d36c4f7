/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - one pass over a file, gzip or not
 *
 * zlib checks each member's CRC and length; what follows the last member must be zero bytes (tapes
 * and block devices pad so) or another member. Nothing here is fatal. */
#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { INPUT = 1 << 17, LINE_START = 1 << 16 };

struct mu_stream {
    const char *name;
    const struct mu_file *file; /* or memory: */
    const uint8_t *memory;
    uint64_t size, at; /* at: bytes taken from the source */
    bool gzip, in_member, padding;
    z_stream zlib;
    uint8_t input[INPUT];
};

bool mu_is_gzip (const void *head, size_t size)
{
    return size >= 2 && memcmp (head, "\x1f\x8b", 2) == 0;
}

/* Up to `size` bytes of the source as they are. */
static int take (struct mu_stream *stream, void *buffer, size_t size, size_t *got,
                 struct mu_error *error)
{
    const uint64_t left = stream->size - stream->at;
    *got = left < size ? (size_t)left : size;
    if (*got == 0)
        return 0;
    if (stream->memory)
        memcpy (buffer, stream->memory + stream->at, *got);
    else if (mu_file_read (stream->file, stream->at, buffer, *got, error) < 0)
        return -1;
    stream->at += *got;
    return 0;
}

static int begin (struct mu_stream **out, struct mu_stream *stream, struct mu_error *error)
{
    size_t got;
    uint8_t head[2];
    *out = NULL;
    if (take (stream, head, sizeof head, &got, error) < 0) {
        free (stream);
        return -1;
    }
    stream->at = 0;
    stream->gzip = mu_is_gzip (head, got);
    /* 15 + 16: the largest window, and a gzip wrapper. */
    if (stream->gzip && inflateInit2 (&stream->zlib, 15 + 16) != Z_OK) {
        mu_fail (error, MU_SYSTEM, "no memory to unpack %s", stream->name);
        free (stream);
        return -1;
    }
    *out = stream;
    return 0;
}

int mu_stream_open (struct mu_stream **stream, const struct mu_file *file, struct mu_error *error)
{
    struct mu_stream *s = calloc (1, sizeof *s);
    *stream = NULL;
    if (!s)
        return mu_fail (error, MU_SYSTEM, "no memory to read %s", file->path);
    s->name = file->path;
    s->file = file;
    s->size = file->size;
    return begin (stream, s, error);
}

int mu_stream_open_memory (struct mu_stream **stream, const char *name, const void *data,
                           size_t size, struct mu_error *error)
{
    struct mu_stream *s = calloc (1, sizeof *s);
    *stream = NULL;
    if (!s)
        return mu_fail (error, MU_SYSTEM, "no memory to read %s", name);
    s->name = name;
    s->memory = size ? data : (const void *)"";
    s->size = size;
    return begin (stream, s, error);
}

void mu_stream_close (struct mu_stream **stream)
{
    if (!*stream)
        return;
    if ((*stream)->gzip)
        inflateEnd (&(*stream)->zlib);
    free (*stream);
    *stream = NULL;
}

const char *mu_stream_name (const struct mu_stream *stream) { return stream->name; }

uint64_t mu_stream_consumed (const struct mu_stream *stream) { return stream->at; }

static int refill (struct mu_stream *stream, struct mu_error *error)
{
    size_t got;
    if (stream->zlib.avail_in)
        return 0;
    if (take (stream, stream->input, sizeof stream->input, &got, error) < 0)
        return -1;
    stream->zlib.next_in = stream->input;
    stream->zlib.avail_in = (uInt)got;
    return 0;
}

/* Between members: 1 when another begins, 0 at the end. */
static int next_member (struct mu_stream *stream, struct mu_error *error)
{
    for (;;) {
        if (refill (stream, error) < 0)
            return -1;
        if (stream->zlib.avail_in == 0)
            return 0;
        if (*stream->zlib.next_in != 0)
            break;
        stream->padding = true;
        stream->zlib.next_in++;
        stream->zlib.avail_in--;
    }
    if (stream->padding || *stream->zlib.next_in != 0x1f)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s: something that is not gzip follows the gzip "
                        "stream, before byte %" PRIu64 "; pack the file again",
                        stream->name, stream->at - stream->zlib.avail_in + 1);
    inflateReset (&stream->zlib);
    return 1;
}

static int inflate_problem (const struct mu_stream *stream, int code, struct mu_error *error)
{
    if (code == Z_MEM_ERROR)
        return mu_fail (error, MU_SYSTEM, "no memory to unpack %s", stream->name);
    if (code == Z_BUF_ERROR)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s ends in the middle of its gzip stream, after %" PRIu64
                        " bytes; it was cut off when it was copied: fetch it again",
                        stream->name, stream->size);
    return mu_fail (error, MU_BAD_INPUT,
                    "%s: the gzip stream is damaged near byte %" PRIu64 " (%s); "
                    "fetch the file again",
                    stream->name, stream->at - stream->zlib.avail_in,
                    stream->zlib.msg ? stream->zlib.msg : "unknown");
}

static int read_gzip (struct mu_stream *stream, void *buffer, size_t size, size_t *got,
                      struct mu_error *error)
{
    stream->zlib.next_out = buffer;
    stream->zlib.avail_out = size < INPUT ? (uInt)size : INPUT;
    const uInt wanted = stream->zlib.avail_out;
    while (stream->zlib.avail_out == wanted) {
        if (!stream->in_member) {
            const int more = next_member (stream, error);
            if (more <= 0) {
                *got = 0;
                return more;
            }
            stream->in_member = true;
        }
        if (refill (stream, error) < 0)
            return -1;
        const int code = inflate (&stream->zlib, Z_NO_FLUSH);
        if (code == Z_STREAM_END)
            stream->in_member = false;
        else if (code != Z_OK)
            return inflate_problem (stream, code, error);
    }
    *got = wanted - stream->zlib.avail_out;
    return 0;
}

int mu_stream_read (struct mu_stream *stream, void *buffer, size_t size, size_t *got,
                    struct mu_error *error)
{
    *got = 0;
    return stream->gzip ? read_gzip (stream, buffer, size, got, error)
                        : take (stream, buffer, size, got, error);
}

/* --- lines ------------------------------------------------------------------------------------ */

/* More bytes behind what is there; moves the rest to the front and grows only when it must. */
static int more (struct mu_lines *lines, struct mu_error *error)
{
    if (lines->begin) {
        memmove (lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
    }
    if (lines->size - lines->end < 2) {
        const size_t size = lines->size ? lines->size * 2 : LINE_START;
        if (size > 2u * MU_LINE_MAX)
            return mu_fail (error, MU_BAD_INPUT,
                            "%s:%" PRIu64 ": the line is longer than %u MiB; "
                            "is this a file of lines?",
                            mu_stream_name (lines->stream), lines->number + 1, MU_LINE_MAX >> 20);
        char *grown = realloc (lines->buffer, size);
        if (!grown)
            return mu_fail (error, MU_SYSTEM, "no memory for a line of %s",
                            mu_stream_name (lines->stream));
        lines->buffer = grown;
        lines->size = size;
    }
    size_t got;
    if (mu_stream_read (lines->stream, lines->buffer + lines->end, lines->size - lines->end - 1,
                        &got, error) < 0)
        return -1;
    lines->ended = got == 0;
    lines->end += got;
    return 0;
}

/* Before the first line: a byte order mark goes, unless it is one of two bytes a character. */
static int read_mark (struct mu_lines *lines, struct mu_error *error)
{
    const char *head = lines->buffer + lines->begin;
    const size_t have = lines->end - lines->begin;
    if (have >= 3 && memcmp (head, "\xef\xbb\xbf", 3) == 0)
        lines->begin += 3;
    if (have < 2 || (memcmp (head, "\xff\xfe", 2) != 0 && memcmp (head, "\xfe\xff", 2) != 0))
        return 0;
    return mu_fail (error, MU_BAD_INPUT,
                    "%s is UTF-16, as its first two bytes say; make it UTF-8: "
                    "iconv -f UTF-16 -t UTF-8 OLD > NEW",
                    mu_stream_name (lines->stream));
}

int mu_lines_next (struct mu_lines *lines, char **line, size_t *length, struct mu_error *error)
{
    char *end = NULL;
    size_t looked = 0;
    for (;;) {
        const size_t have = lines->end - lines->begin;
        if (have > looked)
            end = memchr (lines->buffer + lines->begin + looked, '\n', have - looked);
        looked = have;
        if (end || lines->ended)
            break;
        if (more (lines, error) < 0)
            return -1;
    }
    if (lines->number == 0 && read_mark (lines, error) < 0)
        return -1;
    if (!end && lines->begin == lines->end)
        return 0;
    *line = lines->buffer + lines->begin;
    *length = end ? (size_t)(end - *line) : lines->end - lines->begin;
    lines->begin = end ? (size_t)(end + 1 - lines->buffer) : lines->end;
    if (*length && (*line)[*length - 1] == '\r')
        --*length;
    (*line)[*length] = '\0';
    lines->number++;
    return 1;
}

void mu_lines_close (struct mu_lines *lines)
{
    free (lines->buffer);
    memset (lines, 0, sizeof *lines);
}
