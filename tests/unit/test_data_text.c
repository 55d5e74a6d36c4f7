/* SPDX-License-Identifier: Apache-2.0 */
/* test_data_text.c - text as records, as it lies there or packed, and text that is none */
#include "data_bed.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

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

static void text_that_is_missing_or_too_short_is_named (void **state)
{
    (void)state;
    refuse_path (in_folder ("nowhere.txt"), MU_NO_INPUT, "nowhere.txt");
    refuse_path (write_text ("empty.txt", ""), MU_BAD_INPUT, "empty.txt is empty; name the");
    refuse_path (write_text ("short.txt", "abcd"), MU_BAD_INPUT,
                 "4 tokens, but one record needs 5 (the context and one more); use more data");
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

/* --- packed ----------------------------------------------------------------------------------- */

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

/* Debian's GCIDE. */
#define GCIDE "/usr/share/dictd/gcide.dict.dz"

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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (text_is_windows_that_share_one_token),
        cmocka_unit_test (files_are_one_stream),
        cmocka_unit_test (text_that_is_missing_or_too_short_is_named),
        cmocka_unit_test (gzip_is_unpacked_once),
        cmocka_unit_test (dictzip_is_read_where_it_lies),
        cmocka_unit_test (gcide_reads_as_zcat_does),
    };
    return cmocka_run_group_tests (tests, make_folder, remove_folder);
}