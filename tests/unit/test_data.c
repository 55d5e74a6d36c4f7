/* SPDX-License-Identifier: Apache-2.0 */
/* test_data.c - what holds for data sets of every format: their settings, names, identity and cache */
#include "data_bed.h"

#include "worker/data/tokenizer.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- what belongs to it ----------------------------------------------------------------------- */

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

static void assert_kept (const char *path, const char *content)
{
    char text[64] = "";
    FILE *file = fopen (path, "r");
    assert_non_null (file);
    assert_int_equal (fread (text, 1, sizeof text - 1, file), strlen (content));
    fclose (file);
    assert_string_equal (text, content);
}

static void what_is_read_is_not_written_over (void **state)
{
    (void)state;
    struct mu_error error;
    uint64_t tokens;
    uint32_t vocabulary = 260;
    const char text[] = "the cat sat on the hat";
    char *path = strdup (write_text ("own.txt", text)), *link = strdup (in_folder ("link.txt"));
    char *tokenizer = bpe_tokenizer (270);
    struct mu_data_spec spec = spec_of ((const char *const *)&path, 1);
    assert_int_equal (symlink (path, link), 0);
    assert_int_equal (mu_data_tokenize (&spec, path, &tokens, &error), -1);
    assert_int_equal (error.code, MU_USAGE);
    assert_int_equal (mu_data_train_tokenizer (&spec, 0, path, &vocabulary, &error), -1);
    spec.paths = (const char *const *)&link; /* the same by another name */
    assert_int_equal (mu_data_tokenize (&spec, path, &tokens, &error), -1);
    assert_kept (path, text);
    spec.tokenizer = tokenizer;
    assert_int_equal (mu_data_tokenize (&spec, tokenizer, &tokens, &error), -1);
    assert_non_null (strstr (error.text, "is the tokenizer"));
    assert_int_equal (mu_data_tokenize (&spec, in_folder (""), &tokens, &error), -1);
    assert_int_equal (error.code, MU_CANT_CREATE); /* nor is a folder, or a device */
    assert_int_equal (mu_data_tokenize (&spec, link, &tokens, &error), -1);
    assert_non_null (strstr (error.text, "is a link"));
    assert_kept (link, text);
    unlink (link);
    free (tokenizer);
    free (link);
    free (path);
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

static void open_once (const struct mu_data_spec *spec, struct mu_data_info *info)
{
    struct mu_data *data;
    struct mu_error error;
    assert_int_equal (mu_data_open (&data, spec, &error), 0);
    mu_data_info (data, info);
    mu_data_close (&data);
}

/* Less of the data would be trained on, and nobody could tell if all workers use that cache. */
static void what_was_cut_off_in_the_cache_is_made_again (void **state)
{
    (void)state;
    struct mu_data_info before, after;
    glob_t found;
    char pattern[PATH_MAX];
    const char *path = write_gzip ("cut.txt.gz", "abcdefghijklmnopqrstuvwxyz", 26);
    struct mu_data_spec spec = spec_of (&path, 1);
    const char *other = write_text ("cut-cache", "");
    assert_int_equal (unlink (other), 0);
    spec.cache = other;
    open_once (&spec, &before);
    snprintf (pattern, sizeof pattern, "%s/unpacked-*", other);
    assert_int_equal (glob (pattern, 0, NULL, &found), 0);
    assert_int_equal (found.gl_pathc, 1);
    for (off_t size = 0; size < 26 + 16; size += 3) {
        assert_int_equal (truncate (found.gl_pathv[0], size), 0);
        open_once (&spec, &after);
        assert_int_equal (after.units, before.units);
        assert_string_equal (after.identity, before.identity);
    }
    globfree (&found);
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_directory_is_its_files_in_name_order),
        cmocka_unit_test (training_and_evaluation_share_no_record),
        cmocka_unit_test (settings_out_of_range_are_refused),
        cmocka_unit_test (a_description_shows_the_start),
        cmocka_unit_test (records_are_named_by_file_and_place),
        cmocka_unit_test (identity_is_of_content_not_of_names),
        cmocka_unit_test (remembered_hashes_notice_a_change),
        cmocka_unit_test (text_under_a_tokenizer_is_the_shard_it_makes),
        cmocka_unit_test (what_is_read_is_not_written_over),
        cmocka_unit_test (processes_may_race_for_the_cache),
        cmocka_unit_test (what_was_cut_off_in_the_cache_is_made_again),
        cmocka_unit_test (a_file_that_shrinks_is_an_error),
    };
    return cmocka_run_group_tests (tests, make_folder, remove_folder);
}