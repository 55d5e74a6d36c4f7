/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.c - the three tokenizers behind one face
 *
 * Bytes need no model; the other two are a mu_bpe from different files. The encoder keeps text back
 * only until a piece is certain to have ended, at most MU_PIECE_MAX bytes. */
#include "tokenizer.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "bpe.h"
#include "file.h"
#include "split.h"

enum { FILE_MAX = 64 << 20, BATCH = 4096 };

struct mu_tokenizer {
    struct mu_bpe *bpe; /* NULL: bytes */
    int32_t end_of_text;
    char identity[MU_HASH_TEXT];
};

struct encoder_file {
    char *text;
    size_t size;
    char sha256[crypto_hash_sha256_BYTES * 2 + 1];
};

static const char merges_sha256[] =
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5";
static const char encoder_sha256[] =
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783";

static int read_whole (const char *path, struct encoder_file *out, struct mu_error *error)
{
    struct mu_file file;
    uint8_t hash[crypto_hash_sha256_BYTES];
    if (mu_file_open (&file, path, error) < 0)
        return -1;
    int status = 0;
    out->size = (size_t)file.size;
    if (file.size > FILE_MAX)
        status = mu_fail (error, MU_BAD_INPUT, "%s has more than %d MiB; that is no tokenizer",
                          path, FILE_MAX >> 20);
    else if (!(out->text = malloc (out->size + 1)))
        status = mu_fail (error, MU_SYSTEM, "no memory to read %s", path);
    else
        status = mu_file_read (&file, 0, out->text, out->size, error);
    if (status == 0) {
        out->text[out->size] = '\0';
        crypto_hash_sha256 (hash, (const uint8_t *)out->text, out->size);
        sodium_bin2hex (out->sha256, sizeof out->sha256, hash, sizeof hash);
    }
    mu_file_close (&file);
    return status;
}

static int check_sha256 (const struct encoder_file *file, const char *path, const char *wanted,
                         struct mu_error *error)
{
    if (strcmp (file->sha256, wanted) == 0)
        return 0;
    return mu_fail (error, MU_BAD_INPUT,
                    "%s is not OpenAI's file for GPT-2: its sha256 is %s, theirs "
                    "is %s; fetch it again, or allow other files (gpt2_any_files, or "
                    "--any-gpt2-files on the command line)",
                    path, file->sha256, wanted);
}

static int open_gpt2 (struct mu_tokenizer *tokenizer, const char *folder, bool any_files,
                      struct mu_error *error)
{
    struct encoder_file merges = { 0 }, encoder = { 0 };
    char *merges_path = NULL, *encoder_path = NULL;
    int status = -1;
    if (asprintf (&merges_path, "%s/vocab.bpe", folder) < 0 ||
        asprintf (&encoder_path, "%s/encoder.json", folder) < 0)
        mu_fail (error, MU_SYSTEM, "no memory for a tokenizer");
    else if (read_whole (merges_path, &merges, error) == 0 &&
             read_whole (encoder_path, &encoder, error) == 0 &&
             (any_files || (check_sha256 (&merges, merges_path, merges_sha256, error) == 0 &&
                            check_sha256 (&encoder, encoder_path, encoder_sha256, error) == 0))) {
        status = mu_gpt2_parse (&tokenizer->bpe, merges.text, merges.size, encoder.text,
                                encoder.size, &tokenizer->end_of_text, error);
        if (status < 0)
            mu_error_prefix (error, "%s/", folder);
    }
    const char *const strings[] = { "gpt2 1", merges.sha256, encoder.sha256, NULL };
    mu_hash_strings (tokenizer->identity, strings);
    free (merges.text);
    free (encoder.text);
    free (merges_path);
    free (encoder_path);
    return status;
}

static int open_bpe (struct mu_tokenizer *tokenizer, const char *path, struct mu_error *error)
{
    struct encoder_file file = { 0 };
    int status = read_whole (path, &file, error);
    if (status == 0) {
        status = mu_bpe_parse (&tokenizer->bpe, file.text, file.size, error);
        if (status < 0)
            mu_error_prefix (error, "%s: ", path);
    }
    const char *const strings[] = { "bpe 1", file.sha256, NULL };
    mu_hash_strings (tokenizer->identity, strings);
    free (file.text);
    return status;
}

int mu_tokenizer_open (struct mu_tokenizer **tokenizer, const char *name, bool any_files,
                       struct mu_error *error)
{
    int status = 0;
    *tokenizer = calloc (1, sizeof **tokenizer);
    if (!*tokenizer)
        return mu_fail (error, MU_SYSTEM, "no memory for a tokenizer");
    (*tokenizer)->end_of_text = -1;
    if (!name || strcmp (name, "bytes") == 0)
        strcpy ((*tokenizer)->identity, "bytes");
    else if (strncmp (name, "gpt2:", 5) == 0)
        status = open_gpt2 (*tokenizer, name + 5, any_files, error);
    else
        status = open_bpe (*tokenizer, name, error);
    if (status < 0)
        mu_tokenizer_close (tokenizer);
    return status;
}

void mu_tokenizer_close (struct mu_tokenizer **tokenizer)
{
    if (!*tokenizer)
        return;
    mu_bpe_close (&(*tokenizer)->bpe);
    free (*tokenizer);
    *tokenizer = NULL;
}

uint32_t mu_tokenizer_vocabulary (const struct mu_tokenizer *tokenizer)
{
    return tokenizer->bpe ? mu_bpe_vocabulary (tokenizer->bpe) : 256;
}

bool mu_tokenizer_is_bytes (const struct mu_tokenizer *tokenizer) { return !tokenizer->bpe; }

int32_t mu_tokenizer_end_of_text (const struct mu_tokenizer *tokenizer)
{
    return tokenizer->end_of_text;
}

const char *mu_tokenizer_identity (const struct mu_tokenizer *tokenizer)
{
    return tokenizer->identity;
}

/* --- streams ---------------------------------------------------------------------------------- */

struct mu_encoder {
    const struct mu_tokenizer *tokenizer;
    mu_token_sink sink;
    void *user;
    struct mu_bpe_scratch scratch;
    uint8_t *held; /* text whose piece may go on */
    size_t held_size, held_room;
};

struct mu_encoder *mu_encoder_open (const struct mu_tokenizer *tokenizer, mu_token_sink sink,
                                    void *user)
{
    struct mu_encoder *encoder = calloc (1, sizeof *encoder);
    if (encoder) {
        encoder->tokenizer = tokenizer;
        encoder->sink = sink;
        encoder->user = user;
    }
    return encoder;
}

void mu_encoder_close (struct mu_encoder **encoder)
{
    if (!*encoder)
        return;
    mu_bpe_scratch_close (&(*encoder)->scratch);
    free ((*encoder)->held);
    free (*encoder);
    *encoder = NULL;
}

static int put_bytes (const struct mu_encoder *encoder, const uint8_t *text, size_t size,
                      struct mu_error *error)
{
    int32_t batch[BATCH];
    while (size) {
        const size_t some = size < BATCH ? size : BATCH;
        for (size_t i = 0; i < some; i++)
            batch[i] = text[i];
        if (encoder->sink (encoder->user, batch, some, error) < 0)
            return -1;
        text += some;
        size -= some;
    }
    return 0;
}

/* Encode the pieces that are certain; *used gets how many bytes they have. */
static int put_pieces (struct mu_encoder *encoder, const uint8_t *text, size_t size, bool last,
                       size_t *used, struct mu_error *error)
{
    *used = 0;
    while (*used < size) {
        const size_t length = mu_split_next (text + *used, size - *used, last);
        if (length == 0)
            break;
        const int64_t count =
            mu_bpe_piece (encoder->tokenizer->bpe, &encoder->scratch, text + *used, length);
        if (count < 0)
            return mu_fail (error, MU_SYSTEM, "no memory to tokenise");
        if (encoder->sink (encoder->user, encoder->scratch.symbol, (size_t)count, error) < 0)
            return -1;
        *used += length;
    }
    return 0;
}

static int hold (struct mu_encoder *encoder, const uint8_t *text, size_t size,
                 struct mu_error *error)
{
    if (encoder->held_size + size > encoder->held_room) {
        const size_t room = 2 * (encoder->held_size + size);
        uint8_t *grown = realloc (encoder->held, room);
        if (!grown)
            return mu_fail (error, MU_SYSTEM, "no memory to tokenise");
        encoder->held = grown;
        encoder->held_room = room;
    }
    memcpy (encoder->held + encoder->held_size, text, size);
    encoder->held_size += size;
    return 0;
}

int mu_encoder_text (struct mu_encoder *encoder, const void *text, size_t size,
                     struct mu_error *error)
{
    const uint8_t *at = text;
    if (!encoder->tokenizer->bpe)
        return put_bytes (encoder, at, size, error);
    while (size) {
        size_t used;
        /* In slices, so that what is held never grows beyond a piece and a slice. */
        const size_t slice = size < MU_PIECE_MAX ? size : MU_PIECE_MAX;
        if (hold (encoder, at, slice, error) < 0 ||
            put_pieces (encoder, encoder->held, encoder->held_size, false, &used, error) < 0)
            return -1;
        encoder->held_size -= used;
        memmove (encoder->held, encoder->held + used, encoder->held_size);
        at += slice;
        size -= slice;
    }
    return 0;
}

int mu_encoder_end (struct mu_encoder *encoder, struct mu_error *error)
{
    size_t used;
    if (encoder->tokenizer->bpe &&
        put_pieces (encoder, encoder->held, encoder->held_size, true, &used, error) < 0)
        return -1;
    encoder->held_size = 0;
    const int32_t end = encoder->tokenizer->end_of_text;
    return end < 0 ? 0 : encoder->sink (encoder->user, &end, 1, error);
}

/* --- whole texts ------------------------------------------------------------------------------ */

struct list {
    int32_t *tokens;
    size_t count, room;
};

static int append (void *user, const int32_t *tokens, size_t count, struct mu_error *error)
{
    struct list *list = user;
    if (list->count + count > list->room) {
        const size_t room = 2 * (list->count + count);
        int32_t *grown = reallocarray (list->tokens, room, sizeof *grown);
        if (!grown)
            return mu_fail (error, MU_SYSTEM, "no memory to tokenise");
        list->tokens = grown;
        list->room = room;
    }
    if (count)
        memcpy (list->tokens + list->count, tokens, count * sizeof *tokens);
    list->count += count;
    return 0;
}

int mu_tokenizer_encode (const struct mu_tokenizer *tokenizer, const void *text, size_t size,
                         int32_t **tokens, size_t *count, struct mu_error *error)
{
    struct list list = { 0 };
    /* A prompt goes on: its end is no end of text. */
    struct mu_tokenizer open_ended = *tokenizer;
    open_ended.end_of_text = -1;
    struct mu_encoder *encoder = mu_encoder_open (&open_ended, append, &list);
    int status = encoder ? 0 : mu_fail (error, MU_SYSTEM, "no memory to tokenise");
    if (status == 0)
        status = mu_encoder_text (encoder, text, size, error);
    if (status == 0)
        status = mu_encoder_end (encoder, error);
    mu_encoder_close (&encoder);
    if (status < 0) {
        free (list.tokens);
        list = (struct list){ 0 };
    }
    *tokens = list.tokens;
    *count = list.count;
    return status;
}

static const char *token_text (const struct mu_tokenizer *tokenizer, int32_t token, char *byte,
                               uint32_t *length)
{
    if (tokenizer->bpe)
        return mu_bpe_token (tokenizer->bpe, token, length);
    *byte = (char)token;
    *length = 1;
    return token >= 0 && token < 256 ? byte : NULL;
}

char *mu_data_decode (const struct mu_tokenizer *tokenizer, const int32_t *tokens, size_t count,
                      size_t *size, struct mu_error *error)
{
    char byte;
    uint32_t length;
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (!token_text (tokenizer, tokens[i], &byte, &length)) {
            mu_fail (error, MU_BAD_INPUT, "token %d is outside the vocabulary of %u", tokens[i],
                     mu_tokenizer_vocabulary (tokenizer));
            return NULL;
        }
        total += length;
    }
    char *text = malloc (total + 1);
    if (!text) {
        mu_fail (error, MU_SYSTEM, "no memory for %zu bytes of text", total);
        return NULL;
    }
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        const char *piece = token_text (tokenizer, tokens[i], &byte, &length);
        memcpy (at, piece, length);
        at += length;
    }
    *at = '\0';
    if (size)
        *size = total;
    return text;
}
