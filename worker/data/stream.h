/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - bytes and lines from front to back, unpacked where they are gzipped */
#ifndef MU_DATA_STREAM_H
#define MU_DATA_STREAM_H

#include "file.h"

/* A longer line is refused rather than held in memory. */
#define MU_LINE_MAX (64u << 20)

struct mu_stream;

/* Over a file, or over memory; both borrowed. A stream that begins as gzip does is unpacked, all
 * members of it, with lengths and check sums verified; anything else is passed on as it is. */
int mu_stream_open (struct mu_stream **stream, const struct mu_file *file, struct mu_error *error);
int mu_stream_open_memory (struct mu_stream **stream, const char *name, const void *data,
                           size_t size, struct mu_error *error);
void mu_stream_close (struct mu_stream **stream);

/* *got is 0 at the end only. */
int mu_stream_read (struct mu_stream *stream, void *buffer, size_t size, size_t *got,
                    struct mu_error *error);

const char *mu_stream_name (const struct mu_stream *stream);
uint64_t mu_stream_consumed (const struct mu_stream *stream); /* packed bytes, for progress */

/* Lines without their "\n" or "\r\n"; the last needs none. A byte order mark before the first is
 * left out; that of UTF-16 is refused. */
struct mu_lines {
    struct mu_stream *stream; /* borrowed */
    char *buffer;
    size_t size, begin, end;
    uint64_t number; /* of the line last returned, from 1 */
    bool ended;
};

/* 1 and the line, NUL behind it, valid until the next call; 0 at the end; -1 on failure. */
int mu_lines_next (struct mu_lines *lines, char **line, size_t *length, struct mu_error *error);
void mu_lines_close (struct mu_lines *lines);

bool mu_is_gzip (const void *head, size_t size);

#endif
