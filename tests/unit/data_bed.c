/* SPDX-License-Identifier: Apache-2.0 */
/* data_bed.c - data sets written for a test, opened, and compared with what they hold */
#include "data_bed.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

char folder[] = "/tmp/muster-test-data-XXXXXX";
char cache[64];

/* --- the folder ------------------------------------------------------------------------------- */

int make_folder (void **state)
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

int remove_folder (void **state)
{
    (void)state;
    return nftw (folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- files in it ------------------------------------------------------------------------------ */

/* A path in the test's folder; one of a few that live at a time. */
const char *in_folder (const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf (path, 256, "%s/%s", folder, name);
    return path;
}

const char *write_bytes (const char *name, const void *bytes, size_t size)
{
    const char *path = in_folder (name);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    assert_int_equal (fwrite (bytes, 1, size, file), size);
    assert_int_equal (fclose (file), 0);
    return path;
}

const char *write_text (const char *name, const char *text)
{
    return write_bytes (name, text, strlen (text));
}

const char *write_gzip (const char *name, const void *bytes, size_t size)
{
    const char *path = in_folder (name);
    gzFile file = gzopen (path, "w");
    assert_non_null (file);
    assert_int_equal (gzwrite (file, bytes, (unsigned)size), size);
    assert_int_equal (gzclose (file), Z_OK);
    return path;
}

/* --- opening ---------------------------------------------------------------------------------- */

struct mu_data_spec spec_of (const char *const *paths, uint32_t count)
{
    return (
        struct mu_data_spec){ .paths = paths, .path_count = count, .context = 4, .cache = cache };
}

struct mu_data *open_spec (const struct mu_data_spec *spec, struct mu_data_info *info)
{
    struct mu_data *data;
    struct mu_error error = { 0 };
    const int status = mu_data_open (&data, spec, &error);
    if (status < 0)
        fail_msg ("%s", error.text);
    mu_data_info (data, info);
    return data;
}

struct mu_data *open_path (const char *path, struct mu_data_info *info)
{
    const struct mu_data_spec spec = spec_of (&path, 1);
    return open_spec (&spec, info);
}

void refuse_spec (const struct mu_data_spec *spec, enum mu_code code, const char *words)
{
    struct mu_data *data;
    struct mu_error error = { 0 };
    assert_int_equal (mu_data_open (&data, spec, &error), -1);
    assert_null (data);
    if (error.code != code || !strstr (error.text, words))
        fail_msg ("wanted %s and \"%s\", got %s: %s", mu_code_name ((int)code), words,
                  mu_code_name ((int)error.code), error.text);
}

void refuse_path (const char *path, enum mu_code code, const char *words)
{
    const struct mu_data_spec spec = spec_of (&path, 1);
    refuse_spec (&spec, code, words);
}

void check_tokens (struct mu_data *data, uint64_t record, const int32_t *wanted, size_t count)
{
    int32_t tokens[64];
    struct mu_error error;
    assert_int_equal (mu_data_read (data, &record, 1, tokens, NULL, NULL, &error), 0);
    assert_memory_equal (tokens, wanted, count * sizeof *tokens);
}

void check_text (struct mu_data *data, uint64_t record, const char *wanted)
{
    int32_t tokens[64];
    for (size_t i = 0; i < strlen (wanted); i++)
        tokens[i] = (uint8_t)wanted[i];
    check_tokens (data, record, tokens, strlen (wanted));
}
