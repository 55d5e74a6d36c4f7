/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_data.c - any bytes as any file that holds data or a tokenizer: refused with a sentence, or
 * used
 *
 * The first byte chooses the decoder, the rest is its file. What a decoder accepts must keep its
 * promises: layouts within their files, pieces that join to the text, tokens that decode to it.
 * With clang: -fsanitize=fuzzer,address,undefined. The corpus is tests/fuzz/corpus/data/. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/data/bpe.h"
#include "worker/data/format.h"
#include "worker/data/split.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size);

static void must (bool truth)
{
    if (!truth)
        abort ();
}

static void must_say (int status, const struct mu_error *error)
{
    must (status >= 0 || (error->code != MU_OK && strlen (error->text) > 10));
}

/* --- layouts ---------------------------------------------------------------------------------- */

typedef int (*layout_decoder) (const uint8_t *head, size_t size, uint64_t file_size,
                               struct mu_layout *layout, struct mu_error *error);

static void layout (layout_decoder decode, const uint8_t *bytes, size_t size)
{
    struct mu_layout found;
    struct mu_error error = { .code = MU_OK };
    const int status = decode (bytes, size, size, &found, &error);
    must_say (status, &error);
    if (status < 0)
        return;
    must (found.width > 0 && found.stride > 0 && found.offset <= size);
    must (found.units <= (size - found.offset) / found.stride);
    must (found.stride >= found.width * mu_element_size (found.element));
}

static void as_llmc (const uint8_t *bytes, size_t size) { layout (mu_llmc_layout, bytes, size); }
static void as_npy (const uint8_t *bytes, size_t size) { layout (mu_npy_layout, bytes, size); }
static void as_idx (const uint8_t *bytes, size_t size) { layout (mu_idx_layout, bytes, size); }
static void as_rows (const uint8_t *bytes, size_t size) { layout (mu_rows_layout, bytes, size); }

/* --- packed text ------------------------------------------------------------------------------ */

static struct mu_file file_of (const uint8_t *bytes, size_t size)
{
    static char name[] = "fuzz";
    struct mu_file file = { .path = name, .size = size };
    file.descriptor = memfd_create ("fuzz", MFD_CLOEXEC);
    must (file.descriptor >= 0 && write (file.descriptor, bytes, size) == (ssize_t)size);
    return file;
}

static void as_dictzip (const uint8_t *bytes, size_t size)
{
    struct mu_dictzip dictzip;
    struct mu_error error = { .code = MU_OK };
    uint8_t block[512];
    const struct mu_file file = file_of (bytes, size);
    const int status = mu_dictzip_open (&dictzip, &file, &error);
    must_say (status, &error);
    if (status > 0) {
        struct mu_chunk_cache *cache = mu_chunk_cache_new ();
        const size_t some = dictzip.size < sizeof block ? (size_t)dictzip.size : sizeof block;
        for (unsigned i = 0; i < 3; i++) {
            const uint64_t at = (dictzip.size - some) / 2 * i;
            must_say (mu_dictzip_read (cache, &dictzip, &file, at, block, some, &error), &error);
        }
        mu_chunk_cache_close (&cache);
    }
    mu_dictzip_close (&dictzip);
    close (file.descriptor);
}

static void as_gzip (const uint8_t *bytes, size_t size)
{
    struct mu_stream *stream;
    struct mu_error error = { .code = MU_OK };
    uint8_t block[4096];
    size_t got, total = 0;
    int status = mu_stream_open_memory (&stream, "fuzz", bytes, size, &error);
    must_say (status, &error);
    while (status == 0 &&
           (status = mu_stream_read (stream, block, 1 + total % sizeof block, &got, &error)) == 0 &&
           got && total < 1 << 20)
        total += got;
    must_say (status, &error);
    mu_stream_close (&stream);
}

/* --- lines ------------------------------------------------------------------------------------ */

static int row (void *user, const float *features, uint32_t count, int64_t label, const char *place,
                struct mu_error *error)
{
    double *sum = user;
    (void)error;
    must (strncmp (place, "fuzz:", 5) == 0);
    for (uint32_t i = 0; i < count; i++)
        *sum += (double)features[i];
    *sum += (double)label;
    return 0;
}

static int text (void *user, const void *part, size_t size, struct mu_error *error)
{
    (void)error;
    for (size_t i = 0; i < size; i++)
        *(double *)user += ((const uint8_t *)part)[i];
    return 0;
}

static int end (void *user, struct mu_error *error)
{
    (void)user;
    (void)error;
    return 0;
}

static void lines (const uint8_t *bytes, size_t size, int kind)
{
    struct mu_stream *stream;
    struct mu_error error = { .code = MU_OK };
    double sum = 0;
    const struct mu_text_sink sink = { text, end, &sum };
    int status = mu_stream_open_memory (&stream, "fuzz", bytes, size, &error);
    if (status == 0 && kind == 0)
        status =
            mu_csv_rows (stream, size & 1 ? "0" : NULL, MU_DATA_HEADER_AUTO, row, &sum, &error);
    else if (status == 0)
        status = mu_jsonl_walk (stream, kind == 1 ? "text" : NULL, &sink, row, &sum, &error);
    must_say (status, &error);
    mu_stream_close (&stream);
}

static void as_csv (const uint8_t *bytes, size_t size) { lines (bytes, size, 0); }
static void as_json_text (const uint8_t *bytes, size_t size) { lines (bytes, size, 1); }
static void as_json_rows (const uint8_t *bytes, size_t size) { lines (bytes, size, 2); }

/* --- tokenizers ------------------------------------------------------------------------------- */

/* The model's own file is as good a text as any. */
static void encode (const struct mu_bpe *bpe, const uint8_t *bytes, size_t size)
{
    struct mu_bpe_scratch scratch = { 0 };
    const int64_t count = mu_bpe_piece (bpe, &scratch, bytes, size);
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t length;
        const char *piece = mu_bpe_token (bpe, scratch.symbol[i], &length);
        must (piece && length <= size - at && memcmp (piece, bytes + at, length) == 0);
        at += length;
    }
    must (at == size);
    mu_bpe_scratch_close (&scratch);
}

static void as_bpe (const uint8_t *bytes, size_t size)
{
    struct mu_bpe *bpe;
    struct mu_error error = { .code = MU_OK };
    const int status = mu_bpe_parse (&bpe, (const char *)bytes, size, &error);
    must_say (status, &error);
    if (status == 0)
        encode (bpe, bytes, size);
    mu_bpe_close (&bpe);
}

/* The whole alphabet in front of what the fuzzer adds, so that it gets as far as the merges. */
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

static void as_gpt2 (const uint8_t *bytes, size_t size)
{
    struct mu_bpe *bpe;
    struct mu_error error = { .code = MU_OK };
    int32_t end_of_text;
    const uint8_t *zero = memchr (bytes, 0, size);
    const size_t first = zero ? (size_t)(zero - bytes) : size / 2;
    char *encoder = malloc (256 * 20 + size + 1);
    must (encoder != NULL);
    size_t used = put_alphabet (encoder);
    memcpy (encoder + used, bytes + first + (zero != NULL), size - first - (zero != NULL));
    used += size - first - (zero != NULL);
    const int status =
        mu_gpt2_parse (&bpe, (const char *)bytes, first, encoder, used, &end_of_text, &error);
    must_say (status, &error);
    if (status == 0)
        encode (bpe, bytes, size);
    mu_bpe_close (&bpe);
    free (encoder);
}

/* Whatever arrives so far, a piece that is given out is the piece of the whole text. */
static void as_text (const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        const size_t whole = mu_split_next (bytes + at, size - at, true);
        must (whole > 0 && whole <= size - at);
        for (size_t part = 1; part < size - at && part < whole + 8; part++) {
            const size_t early = mu_split_next (bytes + at, part, false);
            must (early == 0 || early == whole);
        }
        at += whole;
    }
}

static void (*const decoders[]) (const uint8_t *bytes, size_t size) = {
    as_llmc, as_npy,       as_idx,       as_rows, as_dictzip, as_gzip,
    as_csv,  as_json_text, as_json_rows, as_bpe,  as_gpt2,    as_text,
};

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (size > 0)
        decoders[bytes[0] % (sizeof decoders / sizeof *decoders)](bytes + 1, size - 1);
    return 0;
}
