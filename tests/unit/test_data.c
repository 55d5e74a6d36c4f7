/* SPDX-License-Identifier: Apache-2.0 */
/* test_data.c - files of every format, good and bad, as records */
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "worker/data/data.h"
#include "worker/data/tokenizer.h"

static char folder[] = "/tmp/muster-test-data-XXXXXX";
static char cache[64];

/* A path in the test's folder; one of a few that live at a time. */
static const char *in_folder (const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf (path, 256, "%s/%s", folder, name);
    return path;
}

static const char *write_bytes (const char *name, const void *bytes, size_t size)
{
    const char *path = in_folder (name);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    assert_int_equal (fwrite (bytes, 1, size, file), size);
    assert_int_equal (fclose (file), 0);
    return path;
}

static const char *write_text (const char *name, const char *text)
{
    return write_bytes (name, text, strlen (text));
}

static const char *write_gzip (const char *name, const void *bytes, size_t size)
{
    const char *path = in_folder (name);
    gzFile file = gzopen (path, "w");
    assert_non_null (file);
    assert_int_equal (gzwrite (file, bytes, (unsigned)size), size);
    assert_int_equal (gzclose (file), Z_OK);
    return path;
}

static size_t npy (uint8_t *out, const char *type, const char *shape, const void *values,
                   size_t size)
{
    char header[128];
    snprintf (header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }%30s\n",
              type, shape, "");
    const size_t length = strlen (header);
    memcpy (out, "\x93NUMPY\1\0", 8);
    out[8] = (uint8_t)length;
    out[9] = (uint8_t)(length >> 8);
    memcpy (out + 10, header, length);
    memcpy (out + 10 + length, values, size);
    return 10 + length + size;
}

static const char *write_npy (const char *name, const char *type, const char *shape,
                              const void *values, size_t size)
{
    uint8_t bytes[8192];
    assert_true (size < 7000);
    return write_bytes (name, bytes, npy (bytes, type, shape, values, size));
}

static const char *write_shard (const char *name, uint32_t magic, uint32_t version, uint32_t count,
                                const void *values, size_t size)
{
    static uint8_t bytes[16384];
    const uint32_t head[3] = { magic, version, count };
    memset (bytes, 0, sizeof bytes);
    memcpy (bytes, head, sizeof head);
    memcpy (bytes + 1024, values, size);
    return write_bytes (name, bytes, 1024 + size);
}

/* --- opening ---------------------------------------------------------------------------------- */

static struct mu_data_spec spec_of (const char *const *paths, uint32_t count)
{
    return (
        struct mu_data_spec){ .paths = paths, .path_count = count, .context = 4, .cache = cache };
}

static struct mu_data *open_spec (const struct mu_data_spec *spec, struct mu_data_info *info)
{
    struct mu_data *data;
    struct mu_error error = { 0 };
    const int status = mu_data_open (&data, spec, &error);
    if (status < 0)
        fail_msg ("%s", error.text);
    mu_data_info (data, info);
    return data;
}

static struct mu_data *open_path (const char *path, struct mu_data_info *info)
{
    const struct mu_data_spec spec = spec_of (&path, 1);
    return open_spec (&spec, info);
}

static void refuse_spec (const struct mu_data_spec *spec, enum mu_code code, const char *words)
{
    struct mu_data *data;
    struct mu_error error = { 0 };
    assert_int_equal (mu_data_open (&data, spec, &error), -1);
    assert_null (data);
    if (error.code != code || !strstr (error.text, words))
        fail_msg ("wanted %s and \"%s\", got %s: %s", mu_code_name ((int)code), words,
                  mu_code_name ((int)error.code), error.text);
}

static void refuse_path (const char *path, enum mu_code code, const char *words)
{
    const struct mu_data_spec spec = spec_of (&path, 1);
    refuse_spec (&spec, code, words);
}

static void check_tokens (struct mu_data *data, uint64_t record, const int32_t *wanted,
                          size_t count)
{
    int32_t tokens[64];
    struct mu_error error;
    assert_int_equal (mu_data_read (data, &record, 1, tokens, NULL, NULL, &error), 0);
    assert_memory_equal (tokens, wanted, count * sizeof *tokens);
}

static void check_text (struct mu_data *data, uint64_t record, const char *wanted)
{
    int32_t tokens[64];
    for (size_t i = 0; i < strlen (wanted); i++)
        tokens[i] = (uint8_t)wanted[i];
    check_tokens (data, record, tokens, strlen (wanted));
}

/* --- text ------------------------------------------------------------------------------------- */

static void text_is_windows_that_share_one_token (void **state)
{
    (void)state;
    struct mu_data_info info;
    struct mu_data *data = open_path (write_text ("a.txt", "abcdefghijklmnopq"), &info);
    assert_int_equal (info.kind, MU_DATA_TOKENS);
    assert_string_equal (info.format, "text");
    assert_int_equal (info.records, 4); /* 17 tokens: (17 - 1) / 4 */
    assert_int_equal (info.tokens, 5);
    assert_int_equal (info.vocabulary, 256);
    assert_int_equal (info.units, 17);
    check_text (data, 0, "abcde");
    check_text (data, 1, "efghi");
    check_text (data, 3, "mnopq");
    struct mu_error error;
    const uint64_t beyond = 4;
    int32_t tokens[5];
    assert_int_equal (mu_data_read (data, &beyond, 1, tokens, NULL, NULL, &error), -1);
    mu_data_close (&data);
    assert_null (data);
    mu_data_close (&data);
}

static void files_are_one_stream (void **state)
{
    (void)state;
    struct mu_data_info info;
    const char *paths[] = { write_text ("1.txt", "abc"), write_text ("2.txt", "d"),
                            write_text ("3.txt", "efghijk") };
    const struct mu_data_spec spec = spec_of (paths, 3);
    struct mu_data *data = open_spec (&spec, &info);
    assert_int_equal (info.records, 2);
    assert_int_equal (info.files, 3);
    check_text (data, 0, "abcde");
    check_text (data, 1, "efghi");
    mu_data_close (&data);
}

static void a_directory_is_its_files_in_name_order (void **state)
{
    (void)state;
    struct mu_data_info info;
    const char *dir = in_folder ("dir");
    assert_int_equal (mkdir (dir, 0755), 0);
    write_text ("dir/b.txt", "fghij");
    write_text ("dir/a.txt", "abcde");
    write_text ("dir/.hidden.txt", "xxxxx");
    write_text ("dir/note.log", "xxxxx");
    assert_int_equal (mkdir (in_folder ("dir/c.txt"), 0755), 0);
    struct mu_data *data = open_path (dir, &info);
    assert_int_equal (info.files, 2);
    check_text (data, 0, "abcde");
    check_text (data, 1, "efghi");
    mu_data_close (&data);
    write_text ("dir/z.csv", "1,0\n");
    refuse_path (dir, MU_BAD_INPUT, "z.csv looks like csv, but the files before are text");
    const struct mu_data_spec csv = {
        .paths = &dir, .path_count = 1, .format = "csv", .cache = cache
    };
    data = open_spec (&csv, &info);
    assert_int_equal (info.files, 1);
    mu_data_close (&data);
}

static void training_and_evaluation_share_no_record (void **state)
{
    (void)state;
    char text[4001];
    struct mu_data_info train, eval;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    const char *path = write_bytes ("split.txt", text, sizeof text);
    struct mu_data_spec spec = spec_of (&path, 1);
    spec.to = 0.99;
    struct mu_data *data = open_spec (&spec, &train);
    mu_data_close (&data);
    spec.from = 0.99;
    spec.to = 1;
    data = open_spec (&spec, &eval);
    assert_int_equal (train.records, 990);
    assert_int_equal (eval.records, 10);
    assert_string_equal (train.identity, eval.identity);
    check_text (data, 0, (char[]){ text[3960], text[3961], text[3962], text[3963], text[3964], 0 });
    mu_data_close (&data);
}

static void gzip_is_unpacked_once (void **state)
{
    (void)state;
    struct mu_data_info info;
    const char *path = write_gzip ("g.txt.gz", "abcdefghijk", 11);
    struct mu_data *data = open_path (path, &info);
    assert_int_equal (info.records, 2);
    check_text (data, 1, "efghi");
    mu_data_close (&data);
    /* Two members, one after the other, are one text. */
    uint8_t bytes[256];
    FILE *file = fopen (path, "r");
    const size_t size = fread (bytes, 1, 100, file);
    fclose (file);
    memcpy (bytes + size, bytes, size);
    data = open_path (write_bytes ("g2.txt.gz", bytes, 2 * size), &info);
    assert_int_equal (info.units, 22);
    check_text (data, 2, "ijkab");
    mu_data_close (&data);
    refuse_path (write_bytes ("cut.txt.gz", bytes, size - 9), MU_BAD_INPUT, "cut off");
    bytes[size - 6] ^= 1;
    refuse_path (write_bytes ("crc.txt.gz", bytes, size), MU_BAD_INPUT, "damaged");
    bytes[size - 6] ^= 1;
    bytes[size] = 'x';
    refuse_path (write_bytes ("tail.txt.gz", bytes, size + 1), MU_BAD_INPUT, "not gzip follows");
}

/* A dictzip file of chunks of 10 bytes. */
static size_t make_dictzip (uint8_t *out, const char *text, size_t size)
{
    const size_t count = (size + 9) / 10;
    size_t at = 12 + 10 + 2 * count;
    memset (out, 0, at);
    memcpy (out, "\x1f\x8b\x08\x04", 4);
    out[10] = (uint8_t)(10 + 2 * count);
    memcpy (out + 12, "RA", 2);
    out[14] = (uint8_t)(6 + 2 * count);
    out[16] = 1;
    out[18] = 10;
    out[20] = (uint8_t)count;
    z_stream z = { 0 };
    deflateInit2 (&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    for (size_t i = 0; i < count; i++) {
        z.next_in = (Bytef *)(uintptr_t)(text + 10 * i);
        z.avail_in = (uInt)(i + 1 < count ? 10 : size - 10 * i);
        z.next_out = out + at;
        z.avail_out = 1000;
        deflate (&z, Z_FULL_FLUSH);
        out[22 + 2 * i] = (uint8_t)(1000 - z.avail_out);
        at += 1000 - z.avail_out;
    }
    z.next_out = out + at;
    z.avail_out = 100;
    deflate (&z, Z_FINISH);
    at += 100 - z.avail_out;
    deflateEnd (&z);
    const uint32_t tail[2] = { (uint32_t)crc32 (0, (const Bytef *)text, (uInt)size),
                               (uint32_t)size };
    memcpy (out + at, tail, 8);
    return at + 8;
}

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static void dictzip_is_read_where_it_lies (void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct mu_data_info info;
    size_t size = make_dictzip (bytes, alphabet, 62);
    struct mu_data *data = open_path (write_bytes ("d.txt.dz", bytes, size), &info);
    assert_int_equal (info.units, 62);
    assert_int_equal (info.records, 15);
    for (uint64_t i = 15; i-- > 0;) {
        char wanted[6] = { 0 };
        memcpy (wanted, alphabet + 4 * i, 5);
        check_text (data, i, wanted);
    }
    mu_data_close (&data);
    refuse_path (write_bytes ("d2.txt.dz", bytes, size - 30), MU_BAD_INPUT, "cut off");
    bytes[20]++;
    refuse_path (write_bytes ("d3.txt.dz", bytes, size), MU_BAD_INPUT, "table");
    bytes[20]--;
    bytes[22 + 2 * 7 + 2] ^= 0xff; /* within a chunk */
    refuse_path (write_bytes ("d4.txt.dz", bytes, size), MU_BAD_INPUT, "damaged");
}

static void text_that_is_missing_or_too_short_is_named (void **state)
{
    (void)state;
    refuse_path (in_folder ("nowhere.txt"), MU_NO_INPUT, "nowhere.txt");
    refuse_path (write_text ("empty.txt", ""), MU_BAD_INPUT, "empty.txt is empty");
    refuse_path (write_text ("short.txt", "abcd"), MU_BAD_INPUT,
                 "4 tokens, but one record needs 5");
    refuse_path (write_bytes ("binary", "\0\1\2", 3), MU_BAD_INPUT, "neither text nor");
    refuse_path ("/dev/null", MU_NO_INPUT, "not a regular file");
    refuse_path (write_gzip ("nothing.txt.gz", "", 0), MU_BAD_INPUT, "0 tokens");
    const char *dir = in_folder ("empty-dir");
    assert_int_equal (mkdir (dir, 0755), 0);
    refuse_path (dir, MU_NO_INPUT, "has no data file");
    const char *path = write_text ("locked.txt", "abcdefgh");
    assert_int_equal (chmod (path, 0), 0);
    if (access (path, R_OK) < 0) /* root may read it all the same */
        refuse_path (path, MU_NO_INPUT, "Permission denied");
}

static void settings_out_of_range_are_refused (void **state)
{
    (void)state;
    const char *path = write_text ("s.txt", "abcdefghijklmnopqrstuvwxyz");
    struct mu_data_spec spec = spec_of (&path, 1);
    spec.context = 0;
    refuse_spec (&spec, MU_CONFIG, "context");
    spec.context = MU_DATA_CONTEXT_MAX + 1;
    refuse_spec (&spec, MU_CONFIG, "context");
    spec.context = 4;
    spec.from = 0.5;
    spec.to = 0.5;
    refuse_spec (&spec, MU_CONFIG, "0.5");
    spec.to = 0.55;
    refuse_spec (&spec, MU_BAD_INPUT, "has none");
    spec.from = spec.to = 0;
    spec.format = "parquet";
    refuse_spec (&spec, MU_CONFIG, "parquet");
    spec.format = "npy";
    refuse_spec (&spec, MU_BAD_INPUT, ".npy");
    spec.format = "auto";
    spec.tokenizer = "/nowhere/t.bpe";
    refuse_spec (&spec, MU_NO_INPUT, "t.bpe");
    spec.tokenizer = NULL;
    spec.cache = path; /* a file */
    refuse_spec (&spec, MU_CANT_CREATE, "cache folder");
    spec.cache = cache;
    spec.path_count = 0;
    refuse_spec (&spec, MU_CONFIG, "no data");
    const char *both[] = { path, write_text ("s.csv", "1,2\n3,4\n") };
    spec = spec_of (both, 2);
    refuse_spec (&spec, MU_BAD_INPUT, "looks like csv");
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void shards_of_both_widths_are_read (void **state)
{
    (void)state;
    struct mu_data_info info;
    const uint16_t narrow[] = { 0, 1, 2, 50256, 4, 5, 6, 7, 8 };
    const uint32_t wide[] = { 128000, 1, 2, 3, 128255 };
    struct mu_data *data =
        open_path (write_shard ("n.bin", 20240520, 1, 9, narrow, sizeof narrow), &info);
    assert_int_equal (info.records, 2);
    assert_int_equal (info.vocabulary, 50257); /* the largest token + 1 */
    check_tokens (data, 0, (int32_t[]){ 0, 1, 2, 50256, 4 }, 5);
    check_tokens (data, 1, (int32_t[]){ 4, 5, 6, 7, 8 }, 5);
    mu_data_close (&data);
    data = open_path (write_shard ("w.bin", 20240801, 7, 5, wide, sizeof wide), &info);
    assert_int_equal (info.vocabulary, 128256);
    check_tokens (data, 0, (int32_t[]){ 128000, 1, 2, 3, 128255 }, 5);
    mu_data_close (&data);
    const char *paths[] = { in_folder ("n.bin"), in_folder ("w.bin") };
    struct mu_data_spec spec = spec_of (paths, 2);
    data = open_spec (&spec, &info);
    assert_int_equal (info.units, 14);
    check_tokens (data, 2, (int32_t[]){ 8, 128000, 1, 2, 3 }, 5);
    mu_data_close (&data);
    /* A vocabulary that is too small shows where it is read. */
    spec.vocabulary = 100;
    data = open_spec (&spec, &info);
    struct mu_error error;
    int32_t tokens[5];
    const uint64_t first = 0;
    assert_int_equal (mu_data_read (data, &first, 1, tokens, NULL, NULL, &error), -1);
    assert_non_null (strstr (error.text, "token 3 is 50256"));
    mu_data_close (&data);
}

static void bad_shards_are_refused (void **state)
{
    (void)state;
    const uint16_t values[] = { 1, 2, 3, 4, 5, 6 };
    refuse_path (write_shard ("m.bin", 12345, 1, 6, values, 12), MU_BAD_INPUT, "begins with 12345");
    refuse_path (write_shard ("v.bin", 20240520, 7, 6, values, 12), MU_BAD_INPUT, "version 7");
    refuse_path (write_shard ("l.bin", 20240520, 1, 7, values, 12), MU_BAD_INPUT, "cut off");
    refuse_path (write_shard ("h.bin", 20240520, 1, 0xffffffff, values, 12), MU_BAD_INPUT,
                 "cut off");
    refuse_path (write_text ("t.bin", "short"), MU_BAD_INPUT, "header alone has 1024");
}

static void npy_holds_tokens_of_many_types (void **state)
{
    (void)state;
    struct mu_data_info info;
    struct mu_data *data;
    const int64_t i8[] = { 5, 4, 3, 2, 1 };
    const int32_t i4[] = { 5, 4, 3, 2, 1 };
    const uint16_t u2[] = { 5, 4, 3, 2, 1 };
    const uint8_t u1[] = { 5, 4, 3, 2, 1 };
    const struct {
        const char *type;
        const void *values;
        size_t size;
    } cases[] = { { "<i8", i8, 40 }, { "<i4", i4, 20 }, { "<u2", u2, 10 }, { "|u1", u1, 5 } };
    for (size_t i = 0; i < 4; i++) {
        data = open_path (
            write_npy ("t.npy", cases[i].type, "(5,)", cases[i].values, cases[i].size), &info);
        assert_int_equal (info.vocabulary, 6);
        check_tokens (data, 0, i4, 5);
        mu_data_close (&data);
    }
    const int32_t negative[] = { 1, 2, -3, 4, 5 };
    refuse_path (write_npy ("n.npy", "<i4", "(5,)", negative, 20), MU_BAD_INPUT, "token 2 is -3");
    const int64_t huge[] = { 1, 2, 1ll << 40, 4, 5 };
    refuse_path (write_npy ("g.npy", "<i8", "(5,)", huge, 40), MU_BAD_INPUT, "1099511627776");
    refuse_path (write_npy ("e.npy", ">i4", "(5,)", i4, 20), MU_BAD_INPUT, ">i4");
    refuse_path (write_npy ("f.npy", "<f4", "(5,)", i4, 20), MU_BAD_INPUT, "integers");
    refuse_path (write_npy ("c.npy", "<i4", "(6,)", i4, 20), MU_BAD_INPUT, "cut off");
    refuse_path (write_npy ("x.npy", "<i4", "(5", i4, 20), MU_BAD_INPUT, "cannot be read");
    refuse_path (write_npy ("3.npy", "<i4", "(1, 1, 5)", i4, 20), MU_BAD_INPUT, "3 dimensions");
    refuse_path (write_npy ("o.npy", "<i4", "(9223372036854775807,)", i4, 20), MU_BAD_INPUT, "");
    refuse_path (write_text ("w.npy", "not numpy"), MU_BAD_INPUT, ".npy");
}

/* --- features --------------------------------------------------------------------------------- */

static void check_row (struct mu_data *data, uint64_t record, const float *wanted, size_t count,
                       int32_t label)
{
    float features[16];
    int32_t found;
    struct mu_error error = { 0 };
    if (mu_data_read (data, &record, 1, NULL, features, &found, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (features, wanted, count * sizeof *features);
    assert_int_equal (found, label);
}

static void npy_holds_rows_with_labels_beside_them (void **state)
{
    (void)state;
    struct mu_data_info info;
    const float f4[] = { 1, 2, 3, 4.5f, -5, 6 };
    const double f8[] = { 1, 2, 3, 4.5, -5, 6 };
    const uint8_t u1[] = { 0, 51, 255, 1, 2, 3 };
    const int64_t labels[] = { 2, 0 };
    const char *label_path = write_npy ("labels.npy", "<i8", "(2,)", labels, 16);
    const char *path = write_npy ("rows.npy", "<f4", "(2, 3)", f4, 24);
    struct mu_data_spec spec = spec_of (&path, 1);
    refuse_spec (&spec, MU_CONFIG, "needs its labels");
    spec.labels = &label_path;
    spec.label_count = 1;
    struct mu_data *data = open_spec (&spec, &info);
    assert_int_equal (info.kind, MU_DATA_FEATURES);
    assert_int_equal (info.records, 2);
    assert_int_equal (info.features, 3);
    assert_int_equal (info.classes, 3);
    check_row (data, 0, f4, 3, 2);
    check_row (data, 1, f4 + 3, 3, 0);
    mu_data_close (&data);
    spec.scale = 2;
    path = write_npy ("rows8.npy", "<f8", "(2, 3)", f8, 48);
    data = open_spec (&spec, &info);
    check_row (data, 1, (float[]){ 9, -10, 12 }, 3, 0);
    mu_data_close (&data);
    spec.scale = 0;
    path = write_npy ("rows1.npy", "|u1", "(2, 3)", u1, 6);
    data = open_spec (&spec, &info);
    check_row (data, 0, (float[]){ 0, 51 * (1.0f / 255), 255 * (1.0f / 255) }, 3, 2);
    mu_data_close (&data);
    spec.classes = 2;
    refuse_spec (&spec, MU_BAD_INPUT, "label 2, but the job says 2 classes");
    spec.classes = 5;
    data = open_spec (&spec, &info);
    assert_int_equal (info.classes, 5);
    mu_data_close (&data);
    const int32_t three[] = { 0, 1, 2 };
    label_path = write_npy ("labels3.npy", "<i4", "(3,)", three, 12);
    refuse_spec (&spec, MU_BAD_INPUT, "3 labels, but");
    const int32_t negative[] = { 0, -1 };
    label_path = write_npy ("labels-1.npy", "<i4", "(2,)", negative, 8);
    refuse_spec (&spec, MU_BAD_INPUT, "label 1 is -1");
    const char *paths[] = { in_folder ("rows.npy"),
                            write_npy ("two.npy", "<f4", "(3, 2)", f4, 24) };
    spec.paths = paths;
    spec.path_count = 2;
    refuse_spec (&spec, MU_BAD_INPUT, "2 features in a row");
}

static void idx_finds_its_labels (void **state)
{
    (void)state;
    struct mu_data_info info;
    const uint8_t images[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 51, 102 };
    const uint8_t labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 7, 9 };
    const float row[] = { 51 * (1.0f / 255), 102 * (1.0f / 255) };
    write_gzip ("x-labels-idx1-ubyte.gz", labels, sizeof labels);
    const char *path = write_gzip ("x-images-idx3-ubyte.gz", images, sizeof images);
    struct mu_data *data = open_path (path, &info);
    assert_string_equal (info.format, "idx");
    assert_int_equal (info.features, 2);
    assert_int_equal (info.classes, 10);
    check_row (data, 1, row, 2, 9);
    mu_data_close (&data);
    path = write_bytes ("y-images-idx3-ubyte", images, sizeof images);
    refuse_path (path, MU_CONFIG, "needs its labels");
    write_bytes ("y-labels-idx1-ubyte", labels, sizeof labels - 1);
    refuse_path (path, MU_BAD_INPUT, "cut off");
    refuse_path (write_bytes ("z-labels-idx1-ubyte", labels, sizeof labels), MU_BAD_INPUT,
                 "holds labels");
    refuse_path (write_bytes ("w-images-idx3-ubyte", images, sizeof images - 1), MU_BAD_INPUT,
                 "cut off");
    refuse_path (write_bytes ("f-images-idx3-ubyte", "\0\0\x0d\3\0\0\0\0", 8), MU_BAD_INPUT,
                 "0x0d");
    refuse_path (write_text ("m-images-idx3-ubyte", "text here"), MU_BAD_INPUT, "two zero bytes");
}

static void csv_is_rows_with_a_label_column (void **state)
{
    (void)state;
    struct mu_data_info info;
    const char *path = write_text ("c.csv", "\xef\xbb\xbf"
                                            "a,kind,b\r\n1.5, 2 ,\"-3e1\"\r\n\r\n4,0,5\r\n");
    struct mu_data_spec spec = spec_of (&path, 1);
    spec.label_column = "kind";
    struct mu_data *data = open_spec (&spec, &info);
    assert_int_equal (info.records, 2);
    assert_int_equal (info.features, 2);
    assert_int_equal (info.classes, 3);
    check_row (data, 0, (float[]){ 1.5f, -30 }, 2, 2);
    check_row (data, 1, (float[]){ 4, 5 }, 2, 0);
    mu_data_close (&data);
    spec.label_column = "1";
    data = open_spec (&spec, &info);
    check_row (data, 0, (float[]){ 1.5f, -30 }, 2, 2);
    mu_data_close (&data);
    spec.label_column = "colour";
    refuse_spec (&spec, MU_CONFIG, "no column is named \"colour\"");
    spec.label_column = "3";
    refuse_spec (&spec, MU_CONFIG, "3 columns");
    spec.label_column = NULL;
    refuse_spec (&spec, MU_BAD_INPUT, "c.csv:2:10: \"-3e1\" is no label");
    data = open_path (write_text ("n.csv", "1,2,0\n3,4,1"), &info);
    assert_int_equal (info.records, 2);
    check_row (data, 1, (float[]){ 3, 4 }, 2, 1);
    mu_data_close (&data);
    data = open_path (write_gzip ("z.csv.gz", "1,2,0\n3,4,1\n", 12), &info);
    check_row (data, 1, (float[]){ 3, 4 }, 2, 1);
    mu_data_close (&data);
}

static void csv_complaints_say_where (void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "1,2,0\n3,cat,1\n", "bad.csv:2:3: \"cat\" is not a number" },
        { "1,2,0\n3,,1\n", "bad.csv:2:3: \"\" is not a number" },
        { "1,2,0\n3,nan,1\n", "bad.csv:2:3: \"nan\"" },
        { "1,2,0\n3,0x10,1\n", "bad.csv:2:3: \"0x10\"" },
        { "1,2,0\n3,1e99,1\n", "bad.csv:2:3: \"1e99\" is too large" },
        { "1,2,0\n3,4\n", "bad.csv:2: 2 columns, but the lines before have 3" },
        { "1,2,0\n3,4,-1\n", "bad.csv:2:5: \"-1\" is no label" },
        { "1,2,0\n3,4,1.5\n", "bad.csv:2:5: \"1.5\" is no label" },
        { "1,2,0\n3,4,70000\n", "bad.csv:2:5: \"70000\" is no label" },
        { "1\n2\n", "bad.csv:1: one column" },
        { "a,b\n", "no rows" },
        { "\n\n", "no rows" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_path (write_text ("bad.csv", cases[i].text), MU_BAD_INPUT, cases[i].words);
}

static void jsonl_is_text_or_rows (void **state)
{
    (void)state;
    struct mu_data_info info;
    struct mu_data *data = open_path (
        write_text ("t.jsonl", "{\"text\": \"ab\\u0063\", \"id\": 7}\n\n{\"text\": \"defgh\"}"),
        &info);
    assert_int_equal (info.units, 10); /* each ends with a newline */
    check_text (data, 0, "abc\nd");
    check_text (data, 1, "defgh");
    mu_data_close (&data);
    data = open_path (
        write_text ("r.jsonl", "{\"x\": [1, 2.5], \"y\": 3}\n{\"x\": [4, 5], \"y\": 0}\n"), &info);
    assert_int_equal (info.classes, 4);
    check_row (data, 0, (float[]){ 1, 2.5f }, 2, 3);
    check_row (data, 1, (float[]){ 4, 5 }, 2, 0);
    mu_data_close (&data);
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "{\"text\": \"ab\"}\n{\"text\": 3}\n", "bad.jsonl:2: no string \"text\"" },
        { "{\"text\": \"ab\"}\n{\"text\" 3}\n", "bad.jsonl:2:" },
        { "[1]\n", "bad.jsonl:1: not a JSON object" },
        { "{\"a\": 1}\n", "bad.jsonl:1: no array \"x\"" },
        { "{\"x\": [1], \"y\": 0}\n{\"x\": [1, 2], \"y\": 0}\n", "bad.jsonl:2: 2 features" },
        { "{\"x\": [1], \"y\": -1}\n", "bad.jsonl:1: the label is -1" },
        { "{\"x\": [1], \"y\": 0.5}\n", "bad.jsonl:1: no integer \"y\"" },
        { "{\"x\": [\"a\"], \"y\": 0}\n", "x[0] is not a number" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_path (write_text ("bad.jsonl", cases[i].text), MU_BAD_INPUT, cases[i].words);
    const char *path = write_text ("body.jsonl", "{\"text\": 1, \"body\": \"abcdefgh\"}\n");
    struct mu_data_spec spec = spec_of (&path, 1);
    spec.text_field = "body";
    data = open_spec (&spec, &info);
    check_text (data, 0, "abcde");
    mu_data_close (&data);
}

/* --- identity and cache ----------------------------------------------------------------------- */

static void identity_is_of_content_not_of_names (void **state)
{
    (void)state;
    struct mu_data_info a, b, c;
    struct mu_data *data = open_path (write_text ("i1.txt", "abcdefghi"), &a);
    mu_data_close (&data);
    data = open_path (write_text ("i2.txt", "abcdefghi"), &b);
    mu_data_close (&data);
    data = open_path (write_text ("i3.txt", "abcdefghj"), &c);
    mu_data_close (&data);
    assert_string_equal (a.identity, b.identity);
    assert_string_not_equal (a.identity, c.identity);
    assert_int_equal (strncmp (a.identity, "9-", 2), 0);
    assert_int_equal (strlen (a.identity), 34);
    /* The same size, changed in place within the clock's tick: never taken from memory. */
    data = open_path (write_text ("i1.txt", "abcdefghj"), &a);
    mu_data_close (&data);
    assert_string_equal (a.identity, c.identity);
}

static void remembered_hashes_notice_a_change (void **state)
{
    (void)state;
    struct mu_data_info before, again, after;
    const char *path = write_text ("old.txt", "abcdefghi");
    const struct timespec past[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
    assert_int_equal (utimensat (AT_FDCWD, path, past, 0), 0);
    sleep (3); /* until a hash may be remembered: utimensat moved the ctime */
    struct mu_data *data = open_path (path, &before);
    mu_data_close (&data);
    data = open_path (path, &again);
    mu_data_close (&data);
    assert_string_equal (before.identity, again.identity);
    /* Same size, and the old mtime put back: the ctime still tells. */
    write_text ("old.txt", "abcdefghX");
    assert_int_equal (utimensat (AT_FDCWD, path, past, 0), 0);
    data = open_path (path, &after);
    mu_data_close (&data);
    assert_string_not_equal (before.identity, after.identity);
}

static char *bpe_tokenizer (uint32_t vocabulary)
{
    const char *path = write_text ("learn.txt", "the cat and the hat and the bat on the mat\n");
    const struct mu_data_spec spec = spec_of (&path, 1);
    struct mu_error error;
    char *output = strdup (in_folder ("learn.bpe"));
    assert_int_equal (mu_data_train_tokenizer (&spec, 0, output, &vocabulary, &error), 0);
    return output;
}

static void text_under_a_tokenizer_is_the_shard_it_makes (void **state)
{
    (void)state;
    struct mu_data_info info, shard_info;
    char *tokenizer_path = bpe_tokenizer (270);
    const char *path = write_text ("story.txt", "the cat sat on the hat and the mat and the bat\n");
    struct mu_data_spec spec = spec_of (&path, 1);
    spec.tokenizer = tokenizer_path;
    struct mu_data *text = open_spec (&spec, &info);
    assert_true (info.units < 40 && info.vocabulary > 256 && info.vocabulary <= 270);
    struct mu_error error;
    uint64_t tokens;
    const char *output = in_folder ("story.bin");
    assert_int_equal (mu_data_tokenize (&spec, output, &tokens, &error), 0);
    assert_int_equal (tokens, info.units);
    struct mu_data *shard = open_path (output, &shard_info);
    assert_int_equal (shard_info.records, info.records);
    assert_int_equal (shard_info.vocabulary, info.vocabulary); /* it says so itself */
    struct mu_tokenizer *tokenizer;
    assert_int_equal (mu_tokenizer_open (&tokenizer, tokenizer_path, false, &error), 0);
    char story[256] = "";
    for (uint64_t i = 0; i < info.records; i++) {
        int32_t a[5], b[5];
        assert_int_equal (mu_data_read (text, &i, 1, a, NULL, NULL, &error), 0);
        assert_int_equal (mu_data_read (shard, &i, 1, b, NULL, NULL, &error), 0);
        assert_memory_equal (a, b, sizeof a);
        char *piece = mu_data_decode (tokenizer, a, 4, NULL, &error);
        strcat (story, piece);
        free (piece);
    }
    assert_int_equal (strncmp (story, "the cat sat on the hat and the mat", 24), 0);
    mu_tokenizer_close (&tokenizer);
    mu_data_close (&text);
    mu_data_close (&shard);
    /* Another vocabulary than the shard's own is a mistake. */
    path = output;
    spec.tokenizer = NULL;
    spec.vocabulary = 257;
    refuse_spec (&spec, MU_CONFIG, "made with a vocabulary");
    spec.vocabulary = 0;
    path = in_folder ("story.bin");
    spec.format = "text";
    uint64_t ignored;
    assert_int_equal (mu_data_tokenize (&spec, "/nowhere/x.bin", &ignored, &error), -1);
    assert_int_equal (error.code, MU_CANT_CREATE);
    free (tokenizer_path);
}

/* Several processes want the same unpacked file at once; all must find the whole of it. */
static void processes_may_race_for_the_cache (void **state)
{
    (void)state;
    enum { SIZE = 3000000, PROCESSES = 6 };
    static char text[SIZE];
    pid_t children[PROCESSES];
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)(i * 2654435761u >> 24);
    const char *path = write_gzip ("race.txt.gz", text, SIZE);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork ();
        if (children[i] == 0) {
            struct mu_data *data;
            struct mu_error error;
            const struct mu_data_spec spec = spec_of (&path, 1);
            int32_t tokens[5];
            uint64_t last = (SIZE - 1) / 4 - 1;
            const bool good = mu_data_open (&data, &spec, &error) == 0 &&
                              mu_data_read (data, &last, 1, tokens, NULL, NULL, &error) == 0 &&
                              tokens[0] == (uint8_t)text[4 * last];
            _exit (good ? 0 : 1);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal (waitpid (children[i], &status, 0), children[i]);
        assert_int_equal (status, 0);
    }
}

static void a_file_that_shrinks_is_an_error (void **state)
{
    (void)state;
    struct mu_data_info info;
    struct mu_error error;
    const uint64_t last = 3;
    int32_t tokens[5];
    const char *path = write_text ("shrinks.txt", "abcdefghijklmnopq");
    struct mu_data *data = open_path (path, &info);
    assert_int_equal (truncate (path, 10), 0);
    assert_int_equal (mu_data_read (data, &last, 1, tokens, NULL, NULL, &error), -1);
    assert_non_null (strstr (error.text, "must not change while it is in use"));
    mu_data_close (&data);
}

/* --- Debian's data ---------------------------------------------------------------------------- */

#define GCIDE   "/usr/share/dictd/gcide.dict.dz"
#define FASHION "/usr/share/datasets/fashion-mnist/"

struct reader {
    struct mu_data *data;
    const uint8_t *plain;
    uint64_t records;
    uint32_t seed;
    int wrong;
};

static void *read_at_random (void *user)
{
    struct reader *reader = user;
    int32_t tokens[129];
    struct mu_error error;
    for (unsigned i = 0; i < 2000; i++) {
        reader->seed = reader->seed * 1664525 + 1013904223;
        const uint64_t record = reader->seed % reader->records;
        if (mu_data_read (reader->data, &record, 1, tokens, NULL, NULL, &error) < 0) {
            reader->wrong++;
            continue;
        }
        for (unsigned k = 0; k < 129; k++)
            reader->wrong += tokens[k] != reader->plain[record * 128 + k];
    }
    return NULL;
}

static void gcide_reads_as_zcat_does (void **state)
{
    (void)state;
    if (access (GCIDE, R_OK) < 0) {
        print_message ("# no " GCIDE ": apt-get install dict-gcide\n");
        skip ();
    }
    enum { ROOM = 64 << 20, THREADS = 4 };
    uint8_t *plain = malloc (ROOM);
    assert_non_null (plain);
    gzFile file = gzopen (GCIDE, "r");
    const int size = gzread (file, plain, ROOM);
    gzclose (file);
    struct mu_data_info info;
    const char *path = GCIDE;
    struct mu_data_spec spec = spec_of (&path, 1);
    spec.context = 128;
    struct mu_data *data = open_spec (&spec, &info);
    assert_int_equal (info.units, size);
    struct reader readers[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        readers[i] = (struct reader){ data, plain, info.records, i * 77777 + 1, 0 };
        assert_int_equal (pthread_create (&threads[i], NULL, read_at_random, &readers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join (threads[i], NULL);
        assert_int_equal (readers[i].wrong, 0);
    }
    mu_data_close (&data);
    free (plain);
}

static void fashion_mnist_is_as_published (void **state)
{
    (void)state;
    if (access (FASHION, R_OK) < 0) {
        print_message ("# no " FASHION ": apt-get install dataset-fashion-mnist\n");
        skip ();
    }
    struct mu_error error = { 0 };
    const char *path = FASHION "train-images-idx3-ubyte.gz";
    const struct mu_data_spec spec = spec_of (&path, 1);
    json_t *description = mu_data_describe (&spec, &error);
    if (!description)
        fail_msg ("%s", error.text);
    assert_int_equal (json_integer_value (json_object_get (description, "rows")), 60000);
    assert_int_equal (json_integer_value (json_object_get (description, "features")), 784);
    const json_t *labels = json_object_get (description, "records_by_label");
    assert_int_equal (json_array_size (labels), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal (json_integer_value (json_array_get (labels, i)), 6000);
    json_decref (description);
}

static void a_description_shows_the_start (void **state)
{
    (void)state;
    struct mu_error error;
    const char *path = write_bytes ("show.txt", "caf\xc3\xa9 \xff end", 11);
    struct mu_data_spec spec = spec_of (&path, 1);
    spec.context = 0;
    json_t *description = mu_data_describe (&spec, &error);
    assert_non_null (description);
    assert_string_equal (json_string_value (json_object_get (description, "first_text")),
                         "caf\xc3\xa9 \xef\xbf\xbd end");
    assert_int_equal (json_integer_value (json_object_get (description, "tokens")), 11);
    assert_int_equal (json_integer_value (json_object_get (description, "record_tokens")), 11);
    json_decref (description);
    path = in_folder ("nowhere");
    assert_null (mu_data_describe (&spec, &error));
}

static void records_are_named_by_file_and_place (void **state)
{
    (void)state;
    struct mu_data_info info;
    char text[512], wanted[512];
    const char *paths[] = { write_text ("a.txt", "abcdefghij"),
                            write_text ("b.txt", "klmnopqrst") };
    struct mu_data_spec spec = spec_of (paths, 2); /* context 4: record r is 4r to 4r + 4 */
    struct mu_data *data = open_spec (&spec, &info);
    const uint64_t some[] = { 3, 0, 1 };
    mu_data_where (data, some, 3, text, sizeof text);
    snprintf (wanted, sizeof wanted, "records 0-1, 3; %s, tokens 0-8; %s, tokens 2-6", paths[0],
              paths[1]);
    assert_string_equal (text, wanted);
    const uint64_t across[] = { 2 };
    mu_data_where (data, across, 1, text, sizeof text);
    snprintf (wanted, sizeof wanted, "record 2; %s, tokens 8-9; %s, tokens 0-2", paths[0],
              paths[1]);
    assert_string_equal (text, wanted);
    mu_data_where (data, some, 3, text, 20);
    assert_string_equal (text, "records 0-1, 3 ...");
    mu_data_close (&data);
    paths[0] = write_text ("rows.csv", "1,2,0\n1,2,1\n1,2,0\n1,2,1\n1,2,0\n1,2,1\n");
    spec = spec_of (paths, 1);
    spec.from = 0.5; /* record 0 is row 3 */
    data = open_spec (&spec, &info);
    const uint64_t rows[] = { 2, 0 };
    mu_data_where (data, rows, 2, text, sizeof text);
    snprintf (wanted, sizeof wanted, "records 0, 2; %s, rows 3, 5", paths[0]);
    assert_string_equal (text, wanted);
    mu_data_close (&data);
}

/* --- the test's folder ------------------------------------------------------------------------ */

static int make_folder (void **state)
{
    (void)state;
    if (!mkdtemp (folder))
        return -1;
    snprintf (cache, sizeof cache, "%s/cache", folder);
    return 0;
}

static int remove_one (const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove (path);
}

static int remove_folder (void **state)
{
    (void)state;
    return nftw (folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (text_is_windows_that_share_one_token),
        cmocka_unit_test (files_are_one_stream),
        cmocka_unit_test (a_directory_is_its_files_in_name_order),
        cmocka_unit_test (training_and_evaluation_share_no_record),
        cmocka_unit_test (gzip_is_unpacked_once),
        cmocka_unit_test (dictzip_is_read_where_it_lies),
        cmocka_unit_test (text_that_is_missing_or_too_short_is_named),
        cmocka_unit_test (settings_out_of_range_are_refused),
        cmocka_unit_test (shards_of_both_widths_are_read),
        cmocka_unit_test (bad_shards_are_refused),
        cmocka_unit_test (npy_holds_tokens_of_many_types),
        cmocka_unit_test (npy_holds_rows_with_labels_beside_them),
        cmocka_unit_test (idx_finds_its_labels),
        cmocka_unit_test (csv_is_rows_with_a_label_column),
        cmocka_unit_test (csv_complaints_say_where),
        cmocka_unit_test (jsonl_is_text_or_rows),
        cmocka_unit_test (identity_is_of_content_not_of_names),
        cmocka_unit_test (remembered_hashes_notice_a_change),
        cmocka_unit_test (text_under_a_tokenizer_is_the_shard_it_makes),
        cmocka_unit_test (processes_may_race_for_the_cache),
        cmocka_unit_test (a_file_that_shrinks_is_an_error),
        cmocka_unit_test (gcide_reads_as_zcat_does),
        cmocka_unit_test (fashion_mnist_is_as_published),
        cmocka_unit_test (a_description_shows_the_start),
        cmocka_unit_test (records_are_named_by_file_and_place),
    };
    return cmocka_run_group_tests (tests, make_folder, remove_folder);
}
