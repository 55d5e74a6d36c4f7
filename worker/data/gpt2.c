/* SPDX-License-Identifier: Apache-2.0 */
/* gpt2.c - GPT-2's vocabulary from OpenAI's two files
 *
 * encoder.json maps token strings to numbers, vocab.bpe lists merges by rank, two strings a line.
 * In both, bytes are written as visible characters: bytes that print in Latin-1 as themselves, the
 * other 68 as U+0100 and on, in order ("Ġ" is the blank). */
#include "bpe.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CODES = 256 + 68, LINE = 2 * 2 * MU_BPE_TOKEN_MAX, VOCABULARY_MAX = 1 << 20 };

struct alphabet {
    int16_t byte_of[CODES]; /* by code point; -1 where none */
    uint16_t code_of[256];
};

struct vocabulary {
    struct alphabet alphabet;
    json_t *encoder;
    uint32_t count;
    char **bytes;
    uint32_t *lengths;
    struct mu_bpe_merge *merges;
    size_t merge_count, merge_room;
    int32_t byte_token[256];
};

static void make_alphabet (struct alphabet *alphabet)
{
    uint16_t next = 256;
    for (unsigned i = 0; i < CODES; i++)
        alphabet->byte_of[i] = -1;
    for (uint16_t i = 0; i < 256; i++) {
        const bool prints = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        alphabet->code_of[i] = prints ? i : next++;
        alphabet->byte_of[alphabet->code_of[i]] = (int16_t)i;
    }
}

/* The bytes that a token's string stands for, the caller's to free. NULL and *bad where it holds a
 * character that stands for none. All code points of the alphabet take one or two bytes of UTF-8.
 */
static char *bytes_of (const struct alphabet *alphabet, const char *text, size_t size,
                       uint32_t *length, bool *bad)
{
    char *bytes = malloc (size + 1);
    *length = 0;
    for (size_t i = 0; bytes && i < size; i++) {
        unsigned code = (unsigned char)text[i];
        if (code >= 0xc0 && code < 0xe0 && i + 1 < size)
            code = (code & 0x1f) << 6 | ((unsigned char)text[++i] & 0x3f);
        else if (code >= 0x80)
            code = CODES; /* a longer character */
        if (code >= CODES || alphabet->byte_of[code] < 0) {
            free (bytes);
            *bad = true;
            return NULL;
        }
        bytes[(*length)++] = (char)alphabet->byte_of[code];
    }
    return bytes;
}

static int put_token (struct vocabulary *v, const char *key, const json_t *number,
                      struct mu_error *error)
{
    bool bad = false;
    const json_int_t token = json_integer_value (number);
    const size_t size = strlen (key);
    if (!json_is_integer (number) || token < 0 || token >= (json_int_t)v->count || v->bytes[token])
        return mu_fail (error, MU_BAD_INPUT,
                        "encoder.json: \"%.60s\" has no number of its own between "
                        "0 and %u",
                        key, v->count - 1);
    if (size == 0 || size > 2 * MU_BPE_TOKEN_MAX)
        return mu_fail (error, MU_BAD_INPUT, "encoder.json: token %lld is empty or too long",
                        (long long)token);
    v->bytes[token] = bytes_of (&v->alphabet, key, size, &v->lengths[token], &bad);
    if (bad)
        return mu_fail (error, MU_BAD_INPUT,
                        "encoder.json: \"%.60s\" has a character that stands for "
                        "no byte; is this a vocabulary over bytes, as GPT-2's is?",
                        key);
    return v->bytes[token] ? 0 : mu_fail (error, MU_SYSTEM, "no memory for GPT-2's vocabulary");
}

static int read_encoder (struct vocabulary *v, const char *text, size_t size,
                         struct mu_error *error)
{
    json_error_t problem;
    const char *key;
    json_t *value;
    v->encoder = json_loadb (text, size, JSON_REJECT_DUPLICATES, &problem);
    if (!v->encoder)
        return mu_fail (error, MU_BAD_INPUT, "encoder.json:%d:%d: %s", problem.line, problem.column,
                        problem.text);
    const size_t count = json_object_size (v->encoder);
    if (count < 256 || count > VOCABULARY_MAX)
        return mu_fail (error, MU_BAD_INPUT,
                        "encoder.json: an object with %zu tokens; 256 to %d are "
                        "possible",
                        count, VOCABULARY_MAX);
    v->count = (uint32_t)count;
    v->bytes = calloc (count, sizeof *v->bytes);
    v->lengths = calloc (count, sizeof *v->lengths);
    if (!v->bytes || !v->lengths)
        return mu_fail (error, MU_SYSTEM, "no memory for GPT-2's vocabulary");
    json_object_foreach (v->encoder, key, value)
    {
        if (put_token (v, key, value, error) < 0)
            return -1;
    }
    return 0;
}

/* The token of a string, or -1. */
static int32_t token_of (const struct vocabulary *v, const char *string)
{
    const json_t *number = json_object_get (v->encoder, string);
    return number ? (int32_t)json_integer_value (number) : -1;
}

static int find_bytes (struct vocabulary *v, struct mu_error *error)
{
    for (unsigned i = 0; i < 256; i++) {
        const unsigned code = v->alphabet.code_of[i];
        char string[3] = { (char)code, 0, 0 };
        if (code >= 0x80) {
            string[0] = (char)(0xc0 | code >> 6);
            string[1] = (char)(0x80 | (code & 0x3f));
        }
        v->byte_token[i] = token_of (v, string);
        if (v->byte_token[i] < 0)
            return mu_fail (error, MU_BAD_INPUT, "encoder.json has no token for the byte 0x%02x",
                            i);
    }
    return 0;
}

static int add_merge (struct vocabulary *v, char *line, unsigned number, struct mu_error *error)
{
    char made[LINE];
    char *blank = strchr (line, ' ');
    if (!blank || strchr (blank + 1, ' '))
        return mu_fail (error, MU_BAD_INPUT,
                        "vocab.bpe:%u: not two tokens with a blank between them", number);
    *blank = '\0';
    snprintf (made, sizeof made, "%s%s", line, blank + 1);
    const struct mu_bpe_merge merge = { token_of (v, line), token_of (v, blank + 1),
                                        token_of (v, made) };
    if (merge.left < 0 || merge.right < 0 || merge.made < 0)
        return mu_fail (error, MU_BAD_INPUT,
                        "vocab.bpe:%u: \"%.60s\" or a part of it is not in "
                        "encoder.json; the two files do not belong together",
                        number, made);
    if (v->merge_count == v->merge_room) {
        v->merge_room = v->merge_room ? 2 * v->merge_room : 1024;
        struct mu_bpe_merge *grown = reallocarray (v->merges, v->merge_room, sizeof *grown);
        if (!grown)
            return mu_fail (error, MU_SYSTEM, "no memory for GPT-2's merges");
        v->merges = grown;
    }
    v->merges[v->merge_count++] = merge;
    return 0;
}

static int read_merges (struct vocabulary *v, const char *text, size_t size, struct mu_error *error)
{
    char line[LINE];
    const char *at = text, *end = text + size;
    for (unsigned number = 1; at < end; number++) {
        const char *stop = memchr (at, '\n', (size_t)(end - at));
        const size_t length = (size_t)((stop ? stop : end) - at);
        if (length >= sizeof line || memchr (at, 0, length))
            return mu_fail (error, MU_BAD_INPUT, "vocab.bpe:%u: not a line of merges", number);
        memcpy (line, at, length);
        line[length] = '\0';
        line[strcspn (line, "\r")] = '\0';
        at = stop ? stop + 1 : end;
        if (!*line || (number == 1 && strncmp (line, "#version", 8) == 0))
            continue;
        if (add_merge (v, line, number, error) < 0)
            return -1;
    }
    return 0;
}

int mu_gpt2_parse (struct mu_bpe **bpe, const char *merges, size_t merges_size, const char *encoder,
                   size_t encoder_size, int32_t *end_of_text, struct mu_error *error)
{
    struct vocabulary v = { 0 };
    *bpe = NULL;
    make_alphabet (&v.alphabet);
    int status = read_encoder (&v, encoder, encoder_size, error);
    if (status == 0)
        status = find_bytes (&v, error);
    if (status == 0)
        status = read_merges (&v, merges, merges_size, error);
    if (status == 0) {
        *end_of_text = token_of (&v, "<|endoftext|>");
        *bpe = mu_bpe_new (v.count, (const char *const *)v.bytes, v.lengths, v.byte_token, v.merges,
                           v.merge_count);
        if (!*bpe)
            status = mu_fail (error, MU_SYSTEM, "no memory for GPT-2's vocabulary");
    }
    for (uint32_t i = 0; v.bytes && i < v.count; i++)
        free (v.bytes[i]);
    free (v.bytes);
    free (v.lengths);
    free (v.merges);
    json_decref (v.encoder);
    return status;
}
