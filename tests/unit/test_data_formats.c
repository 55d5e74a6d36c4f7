/* SPDX-License-Identifier: Apache-2.0 */
/* test_data_formats.c - tokens and rows in the formats of other tools, good and bad */
#include "data_bed.h"

#include "worker/data/file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- writing them ----------------------------------------------------------------------------- */

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

/* --- rows ------------------------------------------------------------------------------------- */

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

/* Debian's Fashion-MNIST. */
#define FASHION "/usr/share/datasets/fashion-mnist/"

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
    refuse_path (write_bytes ("nul.csv", "1,2,0\n3,4,1\0junk\n", 17), MU_BAD_INPUT,
                 "nul.csv:2: a zero byte");
    refuse_path (write_bytes ("low.csv",
                              "1\0,\0"
                              "2\0\n\0",
                              8),
                 MU_BAD_INPUT, "made UTF-8");
    refuse_path (write_bytes ("little.csv",
                              "\xff\xfe"
                              "1\0,\0"
                              "2\0\n",
                              10),
                 MU_BAD_INPUT, "little.csv is UTF-16");
    refuse_path (write_bytes ("big.csv",
                              "\xfe\xff\0"
                              "1\0,\0"
                              "2\0\n",
                              10),
                 MU_BAD_INPUT, "big.csv is UTF-16");
    refuse_path (write_text ("old.csv", "a,b,c\r1,2,0\r3,4,1\r"), MU_BAD_INPUT,
                 "old.csv:1: a carriage return");
    refuse_path (write_text ("mixed.csv", "1,2,0\n3,4,1\r5,6,0\n"), MU_BAD_INPUT,
                 "mixed.csv:2: a carriage return");
}

/* One that passed over a zero byte has left what it read of the file, under the name of its day. */
static void rows_of_an_older_reader_are_not_used (void **state)
{
    (void)state;
    static const struct {
        char magic[8];
        uint32_t version, features, rows, more_rows, classes, zero;
        float feature[2];
        uint32_t label;
        char end[8];
        uint64_t size;
    } left = { "MUSTROWS", 1, 2, 1, 0, 1, 0, { 1, 2 }, 0, "muster\n2", 44 };
    struct mu_file file;
    struct mu_error error;
    char key[MU_HASH_TEXT], name[64];
    const struct mu_cache here = { .directory = cache };
    const char *path = write_bytes ("hidden.csv", "1,2\0junk,0\n", 11);
    assert_int_equal (mu_file_open (&file, path, &error), 0);
    assert_int_equal (mu_file_hash (&file, &here, &error), 0);
    mu_hash_strings (key, (const char *const[]){ "rows 1", file.hash, "csv 0 -1", NULL });
    mu_file_close (&file);
    snprintf (name, sizeof name, "cache/rows-%s.2", key);
    write_bytes (name, &left, sizeof left);
    refuse_path (path, MU_BAD_INPUT, "a zero byte");
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
    const char *rows = write_text ("f.jsonl", "{\"x\": [1], \"y\": 0}\n{\"x\": [4], \"y\": 1}\n");
    struct mu_data_spec of_a_job = spec_of (&rows, 1);
    of_a_job.text_field = "text"; /* as data.field is where a job file does not say it */
    data = open_spec (&of_a_job, &info);
    check_row (data, 1, (float[]){ 4 }, 1, 1);
    mu_data_close (&data);
    of_a_job.text_field = "body";
    refuse_spec (&of_a_job, MU_BAD_INPUT, "f.jsonl:1: no string \"body\"; data.field of");
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "{\"text\": \"ab\"}\n{\"text\": 3}\n", "bad.jsonl:2: no string \"text\"" },
        { "{\"text\": \"ab\"}\n{\"text\" 3}\n", "bad.jsonl:2:" },
        { "{\"text\": \"ab\"}\r{\"text\": \"c\"}\r", "carriage returns are no ends of lines" },
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (shards_of_both_widths_are_read),
        cmocka_unit_test (bad_shards_are_refused),
        cmocka_unit_test (npy_holds_tokens_of_many_types),
        cmocka_unit_test (npy_holds_rows_with_labels_beside_them),
        cmocka_unit_test (idx_finds_its_labels),
        cmocka_unit_test (fashion_mnist_is_as_published),
        cmocka_unit_test (csv_is_rows_with_a_label_column),
        cmocka_unit_test (csv_complaints_say_where),
        cmocka_unit_test (rows_of_an_older_reader_are_not_used),
        cmocka_unit_test (jsonl_is_text_or_rows),
    };
    return cmocka_run_group_tests (tests, make_folder, remove_folder);
}