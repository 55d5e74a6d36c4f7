/* SPDX-License-Identifier: Apache-2.0 */
/* data.h - a data set: files that somebody else wrote, seen as numbered records
 *
 * A record is the smallest piece that is trained on, and is one of two kinds:
 *  - tokens: a window of `context + 1` tokens. All files are one stream, in the order given; record
 *    r holds tokens r*context .. r*context + context, so the last token of one record is the first
 *    of the next and every token but the very first is a target exactly once. What is left over at
 *    the end of the stream is not used.
 *  - features: one row of `features` floats and its class label, 0 .. classes-1.
 *
 * Reading is by number and in any order. Nothing of the data set is held in memory but a few
 * megabytes of unpacked dictzip chunks: files are read with pread (2), so a file that shrinks or a
 * disk that fails is an error with a sentence, never a signal. What cannot be read at random (gzip,
 * CSV, JSONL, text under a tokenizer other than bytes) is converted once into a file of the cache.
 *
 * The formats, the caches and the identity are described in docs/data.md. */
#ifndef MU_DATA_H
#define MU_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"

#define MU_DATA_CONTEXT_MAX    (1u << 20)
#define MU_DATA_VOCABULARY_MAX (1u << 24)
#define MU_DATA_FEATURES_MAX   (1u << 24)
#define MU_DATA_CLASSES_MAX    (1u << 16)
#define MU_DATA_FILES_MAX      4096u
#define MU_DATA_IDENTITY_MAX   64u

enum mu_data_kind { MU_DATA_TOKENS = 1, MU_DATA_FEATURES = 2 };

enum mu_data_header { MU_DATA_HEADER_AUTO, MU_DATA_HEADER_YES, MU_DATA_HEADER_NO };

/* Told now and then while a file is hashed, unpacked or tokenised; total is 0 where nobody knows.
 */
typedef void (*mu_data_progress) (void *user, const char *what, uint64_t done, uint64_t total);

/* What to read and how. Zeros are the defaults; strings are borrowed until mu_data_open returns. */
struct mu_data_spec {
    const char *const *paths; /* a directory stands for its matching files in name order */
    uint32_t path_count;
    const char *const *labels; /* idx and npy features: the files with the labels. NULL: for idx, */
    uint32_t label_count;      /* the *-labels-idx1-* beside each *-images-idx3-* */
    const char *format;        /* NULL or "auto"; "text", "llmc", "npy", "idx", "csv", "jsonl" */
    const char *tokenizer;     /* as mu_tokenizer_open () takes it; NULL: "bytes" */
    bool gpt2_any_files;       /* accept files under gpt2:DIR whose sha256 is not OpenAI's */
    uint32_t context;          /* targets in a record of tokens, 1 .. MU_DATA_CONTEXT_MAX */
    uint32_t vocabulary; /* of llmc and npy tokens; 0: the tokenizer's, if one is named, or the
                            shard's own word, or the largest token + 1 */
    uint32_t classes;    /* 0: the largest label + 1 */
    double from, to;     /* use records floor (from*n) .. floor (to*n)-1; to = 0 means 1. Training
                            on 0 .. 0.99 and evaluating on 0.99 .. 1 share no record */
    const char
        *label_column; /* csv: a name from the header, or an index, "-1" the last; NULL: last */
    enum mu_data_header
        header;             /* csv: whether line 1 holds names; auto: it does if it has a word */
    const char *text_field; /* jsonl: the member that holds the text; NULL: "text" */
    double scale;           /* features are multiplied by this; 0: 1/255 for bytes, else 1 */
    const char *cache;      /* NULL: $XDG_CACHE_HOME/muster, ~/.cache/muster or /tmp/muster-UID */
    mu_data_progress progress; /* may be NULL; called on the thread that calls mu_data_open */
    void *progress_user;
};

struct mu_data_info {
    enum mu_data_kind kind;
    const char *format; /* as found: "text", ...; a constant */
    uint64_t records;   /* between `from` and `to`; at least 1 */
    uint64_t units;     /* tokens or rows in all the files */
    uint64_t bytes;     /* of the files named, as they lie on disk */
    uint32_t files;
    uint32_t tokens;                     /* in a record, context + 1; 0 for features */
    uint32_t vocabulary;                 /* 0 for features */
    uint32_t features;                   /* in a record; 0 for tokens */
    uint32_t classes;                    /* 0 for tokens */
    char identity[MU_DATA_IDENTITY_MAX]; /* "BYTES-HEX": total size and BLAKE2b-128 of everything
                                            that decides what a record holds; differs where files
                                            differ. Does not depend on paths, nor on from and to */
};

/* One open data set. Every function but close may run on several threads at once. */
struct mu_data;

/* Open, convert what needs it, check. On failure *data is NULL. */
int mu_data_open (struct mu_data **data, const struct mu_data_spec *spec, struct mu_error *error);
void mu_data_close (struct mu_data **data);

void mu_data_info (const struct mu_data *data, struct mu_data_info *info);

/* Fill the `count` records named. Tokens: tokens[count][info.tokens], the others are not touched
 * and may be NULL. Features: features[count][info.features] and labels[count]. A record number of
 * info.records or more is an error, as is a token or label outside its range. */
int mu_data_read (struct mu_data *data, const uint64_t *record, uint32_t count, int32_t *tokens,
                  float *features, int32_t *labels, struct mu_error *error);

/* Name records for people: by number, and by file with the rows or tokens that they are there, both
 * counted from 0. Cut with "..." where `size` bytes are too few. */
void mu_data_where (const struct mu_data *data, const uint64_t *record, uint32_t count, char *text,
                    size_t size);

/* What `muster data inspect` shows, as a JSON object that is the caller's; NULL on failure. Opens
 * the data set, counts labels over all rows, shows the start of record 0. docs/data.md names its
 * members. */
json_t *mu_data_describe (const struct mu_data_spec *spec, struct mu_error *error);

/* Write all tokens of the text in `spec` to `output` as one llm.c shard: the whole of what
 * `muster data tokenize` does once it has a tokenizer. *tokens gets how many. The file is there
 * whole or not at all. */
int mu_data_tokenize (const struct mu_data_spec *spec, const char *output, uint64_t *tokens,
                      struct mu_error *error);

/* Train a byte-level BPE of `vocabulary` tokens (257 .. 65536) on the text in `spec`, at most its
 * first `limit_bytes` (0: all), and write it to `output`. *vocabulary becomes what was reached,
 * less where the text has too few repeated pairs. */
int mu_data_train_tokenizer (const struct mu_data_spec *spec, uint64_t limit_bytes,
                             const char *output, uint32_t *vocabulary, struct mu_error *error);

#endif
