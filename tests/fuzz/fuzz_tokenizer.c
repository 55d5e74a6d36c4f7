/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_tokenizer.c - any bytes as a tokenizer's files, through the face that programs use
 *
 * The first byte chooses the kind. Ours: the rest is the file. GPT-2's: the rest up to the first
 * NUL is vocab.bpe, what follows it is the end of encoder.json, whose alphabet is put in front when
 * the first byte says so. What opens must be what its header promises: strict numbers, no two
 * tokens of GPT-2's alike, and for any text, cut anywhere, tokens that decode to that text.
 * fuzz_data.c does the parsers alone, without files. With clang:
 * -fsanitize=fuzzer,address,undefined. The corpus is tests/fuzz/corpus/tokenizer/. */
#include "worker/data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TEXT_MAX = 4096, BATCH_ROOM = 2 * TEXT_MAX };

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size);

static void must (bool truth)
{
    if (!truth)
        abort ();
}

/* --- files ------------------------------------------------------------------------------------ */

/* Links of these names in one directory lead to memory, not to storage. */
struct memory_file {
    int fd;
    char path[64]; /* of the link */
};

static char folder[] = "/tmp/fuzz_tokenizer.XXXXXX";
static struct memory_file ours, merges, encoder;

static void make_file (struct memory_file *file, const char *name)
{
    char target[64];
    file->fd = memfd_create (name, MFD_CLOEXEC);
    must (file->fd >= 0);
    snprintf (target, sizeof target, "/proc/self/fd/%d", file->fd);
    snprintf (file->path, sizeof file->path, "%s/%s", folder, name);
    must (symlink (target, file->path) == 0);
}

static void remove_files (void)
{
    unlink (ours.path);
    unlink (merges.path);
    unlink (encoder.path);
    rmdir (folder);
}

static void make_files (void)
{
    must (mkdtemp (folder) != NULL);
    make_file (&ours, "ours.bpe");
    make_file (&merges, "vocab.bpe");
    make_file (&encoder, "encoder.json");
    atexit (remove_files);
}

static void fill (const struct memory_file *file, const void *bytes, size_t size)
{
    must (ftruncate (file->fd, 0) == 0);
    must (pwrite (file->fd, bytes, size, 0) == (ssize_t)size);
}

/* --- text ------------------------------------------------------------------------------------- */

struct tokens {
    size_t count;
    int32_t token[BATCH_ROOM];
};

static int take (void *user, const int32_t *token, size_t count, struct mu_error *error)
{
    struct tokens *tokens = user;
    (void)error;
    must (count <= BATCH_ROOM - tokens->count);
    if (count)
        memcpy (tokens->token + tokens->count, token, count * sizeof *token);
    tokens->count += count;
    return 0;
}

/* The text in calls of `step` bytes, and its end. */
static void encode_in_steps (const struct mu_tokenizer *tokenizer, const uint8_t *text, size_t size,
                             size_t step, struct tokens *tokens)
{
    struct mu_error error = { .code = MU_OK };
    tokens->count = 0;
    struct mu_encoder *steps = mu_encoder_open (tokenizer, take, tokens);
    must (steps != NULL);
    for (size_t at = 0; at < size; at += step) {
        const size_t some = size - at < step ? size - at : step;
        must (mu_encoder_text (steps, text + at, some, &error) == 0);
    }
    must (mu_encoder_end (steps, &error) == 0);
    mu_encoder_close (&steps);
}

static void use (const struct mu_tokenizer *tokenizer, const uint8_t *text, size_t size)
{
    static struct tokens cut;
    struct mu_error error = { .code = MU_OK };
    int32_t *tokens;
    size_t count, length;
    if (size > TEXT_MAX)
        size = TEXT_MAX;
    must (mu_tokenizer_encode (tokenizer, text, size, &tokens, &count, &error) == 0);
    must (count <= size);
    char *back = mu_data_decode (tokenizer, tokens, count, &length, &error);
    must (back && length == size && memcmp (back, text, size) == 0);
    encode_in_steps (tokenizer, text, size, 1 + size % 7, &cut);
    const int32_t end = mu_tokenizer_end_of_text (tokenizer);
    must (end >= -1 && end < (int32_t)mu_tokenizer_vocabulary (tokenizer));
    must (cut.count == count + (end >= 0) && (end < 0 || cut.token[count] == end));
    must (count == 0 || memcmp (cut.token, tokens, count * sizeof *tokens) == 0);
    free (back);
    free (tokens);
}

/* --- ours ------------------------------------------------------------------------------------- */

/* Lines as bpe.h has them: as many as tokens are made, and only numbers that fit. */
static void must_be_strict (const uint8_t *text, size_t size, uint32_t vocabulary)
{
    size_t lines = 0, digits = 0, word = 0;
    for (size_t i = 0; i < size; i++) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        lines += text[i] == '\n';
        word += text[i] >= 'a' && text[i] <= 'z';
        digits = digit ? digits + 1 : 0;
        must (digits <= 5 && (digit || strchr ("\n -abcdelmnoprstuvy", text[i])) && text[i]);
    }
    must (lines == vocabulary - 256 + 3);
    must (word == strlen ("musterbpe") + strlen ("vocabulary") + strlen ("end"));
}

static void as_ours (const uint8_t *bytes, size_t size)
{
    struct mu_tokenizer *tokenizer;
    struct mu_error error = { .code = MU_OK };
    fill (&ours, bytes, size);
    if (mu_tokenizer_open (&tokenizer, ours.path, false, &error) == 0) {
        must_be_strict (bytes, size, mu_tokenizer_vocabulary (tokenizer));
        use (tokenizer, bytes, size);
    } else
        must (!tokenizer && error.code != MU_OK && strlen (error.text) > 10);
    mu_tokenizer_close (&tokenizer);
}

/* --- GPT-2's ---------------------------------------------------------------------------------- */

static size_t put_alphabet (char *out)
{
    size_t used = 0;
    unsigned number = 0, next = 256;
    out[used++] = '{';
    for (unsigned byte = 0; byte < 256; byte++) {
        const bool prints =
            (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        const unsigned code = prints ? byte : next++;
        used += (size_t)sprintf (out + used, "\"\\u%04x\": %u, ", code, number++);
    }
    return used;
}

struct bytes {
    char *text;
    size_t size;
};

static int compare (const void *a, const void *b)
{
    const struct bytes *x = a, *y = b;
    const int order = memcmp (x->text, y->text, x->size < y->size ? x->size : y->size);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* Strings are written in an alphabet of bytes: two of them never stand for the same. */
static void must_differ (const struct mu_tokenizer *tokenizer)
{
    struct mu_error error = { .code = MU_OK };
    const uint32_t count = mu_tokenizer_vocabulary (tokenizer);
    struct bytes *all = calloc (count, sizeof *all);
    must (all != NULL);
    for (uint32_t i = 0; i < count; i++) {
        const int32_t token = (int32_t)i;
        all[i].text = mu_data_decode (tokenizer, &token, 1, &all[i].size, &error);
        must (all[i].text && all[i].size);
    }
    qsort (all, count, sizeof *all, compare);
    for (uint32_t i = 1; i < count; i++)
        must (compare (&all[i - 1], &all[i]) < 0);
    for (uint32_t i = 0; i < count; i++)
        free (all[i].text);
    free (all);
}

static void open_gpt2 (const uint8_t *text, size_t size)
{
    char name[sizeof folder + 8];
    struct mu_tokenizer *tokenizer;
    struct mu_error error = { .code = MU_OK };
    snprintf (name, sizeof name, "gpt2:%s", folder);
    must (mu_tokenizer_open (&tokenizer, name, false, &error) < 0); /* not OpenAI's */
    must (!tokenizer && strstr (error.text, "sha256"));
    error = (struct mu_error){ .code = MU_OK };
    if (mu_tokenizer_open (&tokenizer, name, true, &error) == 0) {
        must_differ (tokenizer);
        use (tokenizer, text, size);
    } else
        must (!tokenizer && error.code != MU_OK && strlen (error.text) > 10);
    mu_tokenizer_close (&tokenizer);
}

static void as_gpt2 (const uint8_t *bytes, size_t size, bool alphabet)
{
    const uint8_t *zero = memchr (bytes, 0, size);
    const size_t first = zero ? (size_t)(zero - bytes) : size;
    const size_t after = zero ? first + 1 : size;
    char *text = malloc (256 * 20 + size + 1);
    must (text != NULL);
    size_t used = alphabet ? put_alphabet (text) : 0;
    memcpy (text + used, bytes + after, size - after);
    fill (&merges, bytes, first);
    fill (&encoder, text, used + size - after);
    open_gpt2 (bytes, size);
    free (text);
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (!merges.fd)
        make_files ();
    if (size == 0)
        return 0;
    if (bytes[0] % 4 == 0)
        as_ours (bytes + 1, size - 1);
    else
        as_gpt2 (bytes + 1, size - 1, bytes[0] % 4 != 1);
    return 0;
}
