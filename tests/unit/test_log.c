/* SPDX-License-Identifier: Apache-2.0 */
/* test_log.c - every line is one JSON object, whatever the text */
#include "log.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static json_t *parse (const char *line, size_t size)
{
    json_error_t error;
    json_t *object = json_loadb (line, size, 0, &error);
    if (!object)
        fail_msg ("%s in: %.*s", error.text, (int)size, line);
    return object;
}

static void a_line_has_its_parts (void **state)
{
    (void)state;
    char line[MU_LOG_LINE_MAX];
    struct mu_log_about about = { .job = 3, .generation = 9, .rank = 0, .worker = "w\"1" };
    size_t size = mu_log_format (line, sizeof line, 1700000000123, "test", MU_LOG_WARN, "formed",
                                 &about, "tab\there \\ \"quoted\" \x01");
    json_t *object = parse (line, size);
    assert_string_equal (json_string_value (json_object_get (object, "time")),
                         "2023-11-14T22:13:20.123Z");
    assert_string_equal (json_string_value (json_object_get (object, "level")), "warn");
    assert_string_equal (json_string_value (json_object_get (object, "worker")), "w\"1");
    assert_string_equal (json_string_value (json_object_get (object, "text")),
                         "tab\there \\ \"quoted\" \x01");
    assert_int_equal (json_integer_value (json_object_get (object, "job")), 3);
    assert_int_equal (json_integer_value (json_object_get (object, "rank")), 0);
    json_decref (object);
    size = mu_log_format (line, sizeof line, 1700000000007, "test", MU_LOG_INFO, "x", NULL, "");
    assert_non_null (memmem (line, size, "T22:13:20.007Z", 14)); /* the same second, and another */
    size = mu_log_format (line, sizeof line, 1700000001999, "test", MU_LOG_INFO, "x", NULL, "");
    assert_non_null (memmem (line, size, "T22:13:21.999Z", 14));
    size =
        mu_log_format (line, sizeof line, 1, "test", MU_LOG_INFO, "x", &MU_LOG_ABOUT_NOTHING, "");
    object = parse (line, size);
    assert_null (json_object_get (object, "rank"));
    assert_null (json_object_get (object, "job"));
    json_decref (object);
}

static void a_long_text_is_cut_to_a_whole_object (void **state)
{
    (void)state;
    char line[512], text[1024];
    for (size_t length = 0; length < sizeof text; length++) {
        for (size_t i = 0; i < length; i++)
            text[i] = "a\"\n\xc3\xa4"[i % 5];
        text[length] = '\0';
        size_t size =
            mu_log_format (line, sizeof line, 1, "test", MU_LOG_INFO, "event", NULL, text);
        assert_true (size < sizeof line);
        json_decref (parse (line, size)); /* also where the text ends within a character */
    }
}

static size_t also_lines;

static void also (void *arg, enum mu_log_level level, const struct mu_log_about *about,
                  const char *line, size_t size)
{
    (void)level, (void)about;
    assert_ptr_equal (arg, &also_lines);
    json_decref (parse (line, size));
    also_lines++;
}

static void lines_reach_the_file_and_the_other (void **state)
{
    (void)state;
    char path[] = "/tmp/muster-log-XXXXXX", line[MU_LOG_LINE_MAX];
    int fd = mkstemp (path);
    assert_true (fd >= 0);
    close (fd);
    assert_int_equal (mu_log_open ("test", path, MU_LOG_INFO, NULL), 0);
    mu_log_also (also, &also_lines);
    mu_log (MU_LOG_DEBUG, "no", NULL, "below the level");
    mu_log (MU_LOG_INFO, "one", NULL, "%d", 1);
    mu_log (MU_LOG_ERROR, "two", NULL, "%s", "zwei");
    mu_log_also (NULL, NULL);
    mu_log_close ();
    assert_int_equal (also_lines, 2);
    FILE *file = fopen (path, "r");
    int count = 0;
    while (fgets (line, sizeof line, file)) {
        json_decref (parse (line, strlen (line)));
        count++;
    }
    assert_int_equal (count, 2);
    fclose (file);
    unlink (path);
    struct mu_error error;
    assert_int_equal (mu_log_open ("test", "/nonexistent/x", MU_LOG_INFO, &error), -1);
    assert_int_equal (error.code, MU_CANT_CREATE);
}

static int count_lines (const char *path)
{
    char line[MU_LOG_LINE_MAX];
    FILE *file = fopen (path, "r");
    int count = 0;
    while (fgets (line, sizeof line, file)) {
        json_decref (parse (line, strlen (line)));
        count++;
    }
    fclose (file);
    return count;
}

static void held_lines_come_together (void **state)
{
    (void)state;
    char path[] = "/tmp/muster-log-XXXXXX", text[1000];
    close (mkstemp (path));
    assert_int_equal (mu_log_open ("test", path, MU_LOG_INFO, NULL), 0);
    memset (text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    mu_log_hold ();
    mu_log (MU_LOG_INFO, "one", NULL, "%d", 1);
    mu_log_text (MU_LOG_INFO, "two", NULL, "100 %s");
    assert_int_equal (count_lines (path), 0);
    mu_log_release ();
    assert_int_equal (count_lines (path), 2);
    mu_log_hold ();
    for (int i = 0; i < 10; i++)
        mu_log_text (MU_LOG_INFO, "long", NULL, text);
    assert_in_range (count_lines (path), 3, 11); /* more than one write () takes */
    mu_log_release ();
    assert_int_equal (count_lines (path), 12);
    mu_log (MU_LOG_INFO, "three", NULL, "at once");
    assert_int_equal (count_lines (path), 13);
    mu_log_hold ();
    mu_log (MU_LOG_INFO, "four", NULL, "and closed");
    mu_log_close ();
    mu_log_release ();
    assert_int_equal (count_lines (path), 14);
    unlink (path);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_line_has_its_parts),
        cmocka_unit_test (a_long_text_is_cut_to_a_whole_object),
        cmocka_unit_test (lines_reach_the_file_and_the_other),
        cmocka_unit_test (held_lines_come_together),
    };
    return cmocka_run_group_tests_name ("log", tests, NULL, NULL);
}
