/* SPDX-License-Identifier: Apache-2.0 */
/* format.h - what the readers of single formats have in common; within libdata only
 *
 * Every format comes down to one thing: values of one type at even distances in a file that can be
 * read at random (struct mu_layout). A binary format says where they lie; others are first
 * converted into a file of the cache. formats.c holds the table of formats; each read_*.c one of
 * them.
 *
 * The decoders (mu_*_layout, mu_csv_rows, mu_jsonl_walk) work on memory or a stream, never on a
 * path, and say nothing of the file's name unless they have it: tests/fuzz/fuzz_data.c calls them
 * as they are. */
#ifndef MU_DATA_FORMAT_H
#define MU_DATA_FORMAT_H

#include "dictzip.h"
#include "file.h"
#include "stream.h"
#include "tokenizer.h"

enum mu_element { MU_U1, MU_U2, MU_U4, MU_I1, MU_I2, MU_I4, MU_I8, MU_F4, MU_F8 };

size_t mu_element_size (enum mu_element element);

/* Where values lie: unit i (a token, or a row of `width` values) begins at offset + i * stride. All
 * are little-endian. A checked layout lies within its file. */
struct mu_layout {
    enum mu_data_kind kind;
    enum mu_element element;
    uint64_t offset, stride, units;
    uint32_t width;      /* values in a unit: features; 1 for tokens and labels */
    uint32_t vocabulary; /* as the file itself says; 0 where it doesn't */
    uint32_t classes;    /* the largest label + 1, where the file says it */
    bool labelled;       /* an int32 label follows each row's values, within the stride */
    double scale;        /* that this format's features have when nobody says another */
};

/* One file of the data set, as records are read from it. */
struct mu_part {
    struct mu_file source;   /* the file that was named */
    struct mu_file prepared; /* what it was converted to; descriptor 0 and path NULL if it wasn't */
    struct mu_dictzip dictzip; /* chunk_begin is NULL where the source is none */
    struct mu_layout layout;   /* of prepared, else of the unpacked dictzip, else of source */
    struct mu_file labels;     /* and the same for labels that lie in a file of their own */
    struct mu_file labels_prepared;
    struct mu_layout label_layout; /* units is 0 where there is none */
    uint64_t first_unit;           /* in the data set */
};

/* What an opening reader works with; `spec` is as the caller gave it. */
struct mu_opening {
    const struct mu_data_spec *spec;
    const struct mu_cache *cache;
    const struct mu_tokenizer *tokenizer;
};

struct mu_format {
    const char *name;
    const char *const *suffixes; /* ".csv" and so on, without ".gz"; ends with NULL */
    /* Does a file that begins so belong to this format? NULL where that cannot be told. */
    bool (*recognise) (const uint8_t *head, size_t size);
    bool tokenized; /* its tokens come from text, by the tokenizer */
    /* part->source is open; fill the rest. */
    int (*open) (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error);
};

/* formats.c */
const struct mu_format *mu_format_find (const char *name, struct mu_error *error);
/* By suffix, then by content, then text if it looks like it. */
const struct mu_format *mu_format_of (const struct mu_file *file, struct mu_error *error);
bool mu_format_matches_name (const struct mu_format *format,
                             const char *name); /* NULL: any format */

/* The file to read at random: `source`, or what unpacking it gave, which `unpacked` then owns. */
int mu_unpacked (const struct mu_opening *opening, struct mu_file *source, struct mu_file *unpacked,
                 const struct mu_file **use, struct mu_error *error);
/* Read a decoder's head: at most `limit` bytes of the file; *head is the caller's to free. */
int mu_file_head (const struct mu_file *file, size_t limit, uint8_t **head, size_t *size,
                  struct mu_error *error);
/* Refuse a layout that leaves its file, overflows, or is out of the limits of data.h. */
int mu_layout_check (const struct mu_layout *layout, uint64_t file_size, struct mu_error *error);

/* --- decoders --------------------------------------------------------------------------------- */

int mu_llmc_layout (const uint8_t *head, size_t size, uint64_t file_size, struct mu_layout *layout,
                    struct mu_error *error);
int mu_npy_layout (const uint8_t *head, size_t size, uint64_t file_size, struct mu_layout *layout,
                   struct mu_error *error);
int mu_idx_layout (const uint8_t *head, size_t size, uint64_t file_size, struct mu_layout *layout,
                   struct mu_error *error);
int mu_rows_layout (const uint8_t *head, size_t size, uint64_t file_size, struct mu_layout *layout,
                    struct mu_error *error);

/* Takes rows; `place` is "file:line" for its own complaints. */
typedef int (*mu_row_sink) (void *user, const float *features, uint32_t count, int64_t label,
                            const char *place, struct mu_error *error);
int mu_csv_rows (struct mu_stream *stream, const char *label_column, enum mu_data_header header,
                 mu_row_sink sink, void *user, struct mu_error *error);

/* Takes text and the ends of documents. */
struct mu_text_sink {
    int (*text) (void *user, const void *text, size_t size, struct mu_error *error);
    int (*end) (void *user, struct mu_error *error);
    void *user;
};
/* One JSON object a line. With `text_field` each has that member, a string; else "x" and "y". */
int mu_jsonl_walk (struct mu_stream *stream, const char *text_field,
                   const struct mu_text_sink *text, mu_row_sink row, void *row_user,
                   struct mu_error *error);

/* --- writers of what the cache holds ---------------------------------------------------------- */

/* rows.c: rows of float32 features and an int32 label each. */
struct mu_rows_writer {
    struct mu_writer *writer; /* borrowed */
    uint64_t rows;
    uint32_t features, classes;
};
int mu_rows_put (void *rows, const float *features, uint32_t count, int64_t label,
                 const char *place, struct mu_error *error); /* a mu_row_sink */
/* Fill part->prepared and layout by rows that `fill` makes; `strings` name what decides them. */
typedef int (*mu_rows_fill) (const struct mu_opening *opening, struct mu_stream *stream,
                             struct mu_rows_writer *rows, struct mu_error *error);
int mu_rows_prepare (const struct mu_opening *opening, struct mu_part *part, const char *settings,
                     mu_rows_fill fill, struct mu_error *error);

/* read_llmc.c: llm.c shards, 16 or 32 bits a token as the vocabulary needs. */
struct mu_shard_writer {
    struct mu_writer *writer; /* borrowed */
    uint32_t vocabulary;
    uint64_t tokens;
};
int mu_shard_begin (struct mu_shard_writer *shard, struct mu_writer *writer, uint32_t vocabulary,
                    struct mu_error *error);
int mu_shard_put (void *shard, const int32_t *tokens, size_t count,
                  struct mu_error *error); /* a mu_token_sink */
int mu_shard_end (struct mu_shard_writer *shard, struct mu_error *error);

/* read_text.c: all text of a source, for tokenizers; jsonl says which of the two formats it has. */
int mu_text_walk (const struct mu_opening *opening, const struct mu_file *source, bool jsonl,
                  const struct mu_text_sink *sink, struct mu_error *error);
/* Turn a source of text into bytes or a shard, whichever the tokenizer needs. */
int mu_text_prepare (const struct mu_opening *opening, struct mu_part *part, bool jsonl,
                     struct mu_error *error);

/* The readers. */
int mu_text_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error);
int mu_llmc_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error);
int mu_npy_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error);
int mu_idx_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error);
int mu_csv_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error);
int mu_jsonl_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error);
bool mu_llmc_recognise (const uint8_t *head, size_t size);
bool mu_npy_recognise (const uint8_t *head, size_t size);
bool mu_idx_recognise (const uint8_t *head, size_t size);

/* read_idx.c: open `path` as the labels of a part's rows: npy or idx, one integer each. */
int mu_labels_open (const struct mu_opening *opening, const char *path, struct mu_part *part,
                    struct mu_error *error);

/* values.c: `count` units from `unit` on, as integers or floats; never beyond the layout. */
struct mu_values {
    const struct mu_file *file;
    const struct mu_dictzip *dictzip; /* or NULL */
    struct mu_chunk_cache *chunks;
    const struct mu_layout *layout;
};
int mu_values_tokens (const struct mu_values *values, uint64_t unit, uint64_t count,
                      uint32_t vocabulary, int32_t *out, struct mu_error *error);
int mu_values_row (const struct mu_values *values, uint64_t unit, float scale, float *features,
                   int32_t *label, struct mu_error *error);
/* The largest of all integers of a layout; an error names the first one that is negative or above
 * `limit`. Remembered in the cache under the file's hash, since it takes a pass over the file. */
int mu_values_largest (const struct mu_values *values, const struct mu_cache *cache,
                       struct mu_file *file, int64_t limit, const char *what, int64_t *largest,
                       struct mu_error *error);

#endif
