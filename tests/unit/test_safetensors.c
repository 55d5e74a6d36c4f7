/* SPDX-License-Identifier: Apache-2.0 */
/* test_safetensors.c - the format is written as others read it, and nothing wrong is believed */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/checkpoint/safetensors.h"

#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

/* Open `size` bytes as a file. */
static struct mu_safetensors *open_bytes (const void *bytes, size_t size, struct mu_error *error)
{
    char path[64];
    int fd = memfd_create ("safetensors", MFD_CLOEXEC);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, bytes, size), size);
    snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    struct mu_safetensors *file = mu_safetensors_open (path, error);
    close (fd);
    return file;
}

/* A header as text and `data` bytes of data behind it. */
static struct mu_safetensors *open_header (const char *header, size_t data, struct mu_error *error)
{
    uint64_t length = strlen (header);
    char *bytes = calloc (1, sizeof length + length + data);
    memcpy (bytes, &length, sizeof length);
    memcpy (bytes + sizeof length, header, length);
    struct mu_safetensors *file = open_bytes (bytes, sizeof length + length + data, error);
    free (bytes);
    return file;
}

static const uint64_t two_by_three[] = { 2, 3 }, four[] = { 4 };
static const float values[] = { 1, -2, 0.5f, 1e-40f, 3e38f, 0, 7, 8, 9, 10 };
static const struct mu_safetensors_item items[] = {
    { "wte.weight", 2, two_by_three },
    { "b", 1, four },
};

/* Write the items, whose values are `values`, and return the file's bytes. */
static size_t write_items (char *bytes, size_t size)
{
    char directory[] = "/tmp/test_safetensors.XXXXXX";
    assert_non_null (mkdtemp (directory));
    int dir = open (directory, O_RDONLY | O_DIRECTORY);
    struct mu_storage_writer out;
    size_t bytes_of_head;
    char *head = mu_safetensors_head ("x.safetensors", items, 2, &bytes_of_head, NULL);
    assert_non_null (head);
    assert_int_equal (mu_storage_create (&out, dir, "x.safetensors", NULL), 0);
    assert_int_equal (mu_storage_write (&out, head, bytes_of_head, NULL), 0);
    assert_int_equal (mu_storage_write (&out, values, 40, NULL), 0);
    assert_int_equal (mu_storage_finish (&out, NULL), 0);
    free (head);
    int fd = openat (dir, "x.safetensors", O_RDONLY);
    ssize_t got = read (fd, bytes, size);
    close (fd);
    unlinkat (dir, "x.safetensors", 0);
    close (dir);
    rmdir (directory);
    assert_int_equal (got, out.record.bytes);
    return (size_t)got;
}

#define GOLDEN                                                                                     \
    "{\"__metadata__\":{\"format\":\"pt\"},\"wte.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],"     \
    "\"data_offsets\":[0,24]},\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[24,40]}}"

static void the_written_bytes_are_the_format (void **unused)
{
    (void)unused;
    char bytes[8192];
    size_t size = write_items (bytes, sizeof bytes);
    uint64_t length;
    memcpy (&length, bytes, sizeof length);
    assert_int_equal ((8 + length) % 4096, 0);
    assert_memory_equal (bytes + 8, GOLDEN, strlen (GOLDEN));
    for (size_t i = strlen (GOLDEN); i < length; i++)
        assert_int_equal (bytes[8 + i], ' ');
    assert_int_equal (size, 8 + length + 40);
    assert_memory_equal (bytes + 8 + length, values, 40);
}

static void what_was_written_is_read (void **unused)
{
    (void)unused;
    char bytes[8192];
    struct mu_error error;
    struct mu_safetensors *file = open_bytes (bytes, write_items (bytes, sizeof bytes), &error);
    assert_non_null (file);
    uint32_t count;
    const struct mu_safetensor *tensor = mu_safetensors_tensors (file, &count);
    assert_int_equal (count, 2);
    assert_string_equal (tensor[0].name, "wte.weight");
    assert_ptr_equal (mu_safetensors_find (file, "b"), &tensor[1]);
    assert_null (mu_safetensors_find (file, "c"));
    assert_null (mu_safetensors_find (file, "__metadata__"));
    assert_string_equal (mu_safetensors_metadata (file, "format"), "pt");
    assert_null (mu_safetensors_metadata (file, "else"));
    assert_int_equal (tensor[0].dimensions, 2);
    assert_int_equal (tensor[0].dimension[1], 3);
    float out[6];
    assert_int_equal (mu_safetensors_read (file, &tensor[0], out, &error), 0);
    assert_memory_equal (out, values, sizeof out);
    mu_safetensors_close (&file);
    assert_null (file);
    mu_safetensors_close (&file);
}

static void a_file_of_any_other_length_is_refused (void **unused)
{
    (void)unused;
    char bytes[8192] = { 0 };
    size_t size = write_items (bytes, sizeof bytes);
    for (size_t cut = 0; cut <= size + 1; cut++) {
        struct mu_error error = { .text = "" };
        struct mu_safetensors *file = open_bytes (bytes, cut, &error);
        assert_true ((file != NULL) == (cut == size));
        assert_true (file || strlen (error.text) > 20);
        mu_safetensors_close (&file);
    }
}

/* Flips in the data cannot show; in the header most do, and none may harm. */
static void flipped_bits_do_no_harm (void **unused)
{
    (void)unused;
    char bytes[8192];
    size_t size = write_items (bytes, sizeof bytes), refused = 0;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        struct mu_safetensors *file = open_bytes (bytes, size, NULL);
        refused += file == NULL;
        mu_safetensors_close (&file);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
    assert_true (refused > 700);
}

static void wrong_headers_are_named (void **unused)
{
    (void)unused;
    const struct {
        const char *header;
        size_t data;
        const char *sentence;
    } cases[] = {
        { "", 0, "header is no JSON" },
        { " {}", 0, "header is no JSON" },
        { "[]", 0, "header is no JSON" },
        { "{", 0, "broken at byte" },
        { "{\"a\":1}", 0, "entry of tensor a is no object" },
        { "{\"\":{}}", 0, "1 to 255 bytes" },
        { "{\"a\":{}}", 0, "tensor a has no dtype" },
        { "{\"a\":{\"dtype\":\"F8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "dtype F8" },
        { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "needs a shape" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
          "at most 8 dimensions" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1,
          "impossible shape" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1.5],\"data_offsets\":[0,1]}}", 1,
          "impossible shape" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
          "impossible shape" },
        { "{\"a\":{\"dtype\":\"F64\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
          "impossible shape" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "needs two data_offsets" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, "two data_off" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "two data_off" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "outside" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "cut short" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,3]}}", 4, "shape needs 4" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "leaves a gap" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
          3, "b leaves a gap in the data or overlaps" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 5,
          "3 bytes at the end" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
          "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
          1, "duplicate" },
        { "{\"__metadata__\":[]}", 0, "__metadata__ is no object" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "more than texts" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mu_error error = { .text = "" };
        assert_null (open_header (cases[i].header, cases[i].data, &error));
        if (!strstr (error.text, cases[i].sentence))
            fail_msg ("case %zu says: %s", i, error.text);
    }
}

static void lengths_beyond_reason_are_refused (void **unused)
{
    (void)unused;
    const uint64_t lengths[] = { 1, 9, MU_SAFETENSORS_HEADER_MAX + 1, 1ull << 63, UINT64_MAX };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct mu_error error;
        assert_null (open_bytes (&lengths[i], sizeof lengths[i], &error));
        assert_non_null (strstr (error.text, "claims a header"));
    }
    struct mu_error error;
    assert_null (mu_safetensors_open ("/nonexistent/model.safetensors", &error));
    assert_int_equal (error.code, MU_NO_INPUT);
    assert_null (mu_safetensors_open ("/tmp", &error));
    assert_non_null (strstr (error.text, "no regular file"));
}

static void deep_nesting_is_refused (void **unused)
{
    (void)unused;
    size_t depth = 1000000;
    char *header = calloc (1, depth + 8);
    memcpy (header, "{\"a\":", 5);
    memset (header + 5, '[', depth);
    assert_null (open_header (header, 0, NULL));
    free (header);
}

static void scalars_and_empty_tensors_are_tensors (void **unused)
{
    (void)unused;
    struct mu_error error;
    struct mu_safetensors *file =
        open_header ("{\"empty\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]},"
                     "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                     "\"last\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[4,4]}}  ",
                     4, &error);
    assert_non_null (file);
    float out[1] = { 9 };
    assert_int_equal (mu_safetensors_read (file, mu_safetensors_find (file, "empty"), out, &error),
                      0);
    assert_true (out[0] == 9);
    assert_int_equal (mu_safetensors_read (file, mu_safetensors_find (file, "scalar"), out, &error),
                      0);
    assert_true (out[0] == 0);
    assert_int_equal (mu_safetensors_read (file, mu_safetensors_find (file, "last"), out, &error),
                      -1);
    assert_non_null (strstr (error.text, "type I64"));
    mu_safetensors_close (&file);
}

/* All 65,536 halves of both kinds. */
static float *read_halves (const char *dtype)
{
    char header[128];
    int length = snprintf (
        header, sizeof header,
        "{\"a\":{\"dtype\":\"%s\",\"shape\":[65536],\"data_offsets\":[0,131072]}}", dtype);
    char *bytes = calloc (1, 8 + 128 + 131072);
    uint64_t header_bytes = (uint64_t)length;
    memcpy (bytes, &header_bytes, 8);
    memcpy (bytes + 8, header, header_bytes);
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t half = (uint16_t)i;
        memcpy (bytes + 8 + length + 2 * i, &half, 2);
    }
    struct mu_safetensors *file = open_bytes (bytes, 8 + header_bytes + 131072, NULL);
    assert_non_null (file);
    float *out = calloc (65536, sizeof *out);
    assert_int_equal (mu_safetensors_read (file, mu_safetensors_find (file, "a"), out, NULL), 0);
    mu_safetensors_close (&file);
    free (bytes);
    return out;
}

/* A binary float with so many bits of exponent and fraction, from its definition. */
static double define (uint32_t half, int exponent_bits, int fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(half >> fraction_bits) & ((1 << exponent_bits) - 1);
    double fraction = ldexp (half & ((1u << fraction_bits) - 1), -fraction_bits);
    double sign = half & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return fraction > 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp (1 + fraction, exponent - bias) : ldexp (fraction, 1 - bias));
}

static void halves_become_the_same_numbers (void **unused)
{
    (void)unused;
    float *f16 = read_halves ("F16"), *bf16 = read_halves ("BF16");
    for (uint32_t i = 0; i < 65536; i++) {
        double a = define (i, 5, 10), b = define (i, 8, 7);
        assert_true (isnan (a) ? isnan (f16[i]) : (double)f16[i] == a);
        assert_true (isnan (b) ? isnan (bf16[i]) : (double)bf16[i] == b);
        assert_true (isnan (a) || !signbit (f16[i]) == !(i & 0x8000));
    }
    free (f16);
    free (bf16);
}

static void a_name_twice_is_not_written (void **unused)
{
    (void)unused;
    const struct mu_safetensors_item twice[] = { items[1], items[1] };
    struct mu_error error;
    size_t bytes;
    assert_null (mu_safetensors_head ("x.safetensors", twice, 2, &bytes, &error));
    assert_non_null (strstr (error.text, "x.safetensors"));
}

static void a_file_is_not_written_over (void **unused)
{
    (void)unused;
    int dir = open ("/tmp", O_RDONLY | O_DIRECTORY);
    char name[64];
    snprintf (name, sizeof name, "test_safetensors.%d", (int)getpid ());
    struct mu_storage_writer out;
    assert_int_equal (mu_storage_create (&out, dir, name, NULL), 0);
    assert_int_equal (mu_storage_create (&(struct mu_storage_writer){ 0 }, dir, name, NULL), -1);
    mu_storage_abandon (&out);
    unlinkat (dir, name, 0);
    close (dir);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_written_bytes_are_the_format),
        cmocka_unit_test (what_was_written_is_read),
        cmocka_unit_test (a_file_of_any_other_length_is_refused),
        cmocka_unit_test (flipped_bits_do_no_harm),
        cmocka_unit_test (wrong_headers_are_named),
        cmocka_unit_test (lengths_beyond_reason_are_refused),
        cmocka_unit_test (deep_nesting_is_refused),
        cmocka_unit_test (scalars_and_empty_tensors_are_tensors),
        cmocka_unit_test (halves_become_the_same_numbers),
        cmocka_unit_test (a_name_twice_is_not_written),
        cmocka_unit_test (a_file_is_not_written_over),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
