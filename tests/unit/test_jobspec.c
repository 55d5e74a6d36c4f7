/* SPDX-License-Identifier: Apache-2.0 */
/* test_jobspec.c - job files, good and bad: every limit from both sides, every mistake's sentence
 */
#include "jobspec_events.h"
#include "nearest.h"
#include "number.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOOD "name: a\ntrainer: gpt\ndata: {path: /d}\nbatch: {global: 32, micro: 4}\nsteps: 10\n"

static struct mu_jobspec spec;
static struct mu_jobspec_problems problems;

static int parse (const char *text)
{
    return mu_jobspec_parse (text, strlen (text), "job.yaml", NULL, &spec, &problems);
}

/* The job has this problem and no other. */
static void assert_problem (const char *text, const char *expected)
{
    int result = parse (text);
    char *told = mu_jobspec_problems_text (&problems);
    assert_non_null (told);
    told[strcspn (told, "\n")] = '\0';
    assert_string_equal (told, expected);
    assert_int_equal (problems.errors + problems.warnings, 1);
    assert_int_equal (result, strstr (expected, "warning: ") ? 0 : -1);
    free (told);
}

/* Problems of GOOD with one more line, without their place. */
static void assert_refused (const char *line, const char *sentence)
{
    char text[1024];
    snprintf (text, sizeof text, "%s%s\n", GOOD, line);
    assert_int_equal (parse (text), -1);
    assert_string_equal (problems.item[0].text, sentence);
    assert_int_equal (problems.errors, 1);
}

static char *read_whole (const char *name)
{
    char path[512];
    snprintf (path, sizeof path, "%s/%s", SOURCE_DIR, name);
    FILE *file = fopen (path, "r");
    assert_non_null (file);
    char *text = calloc (1, 65536);
    assert_non_null (text);
    assert_true (fread (text, 1, 65535, file) > 0);
    fclose (file);
    return text;
}

static void a_small_job_gets_its_defaults (void **state)
{
    (void)state;
    assert_int_equal (parse (GOOD), 0);
    assert_int_equal (problems.count, 0);
    assert_string_equal (spec.trainer, "gpt");
    assert_string_equal (spec.data.path.item[0], "/d");
    assert_int_equal (mu_jobspec_micro_batches (&spec), 8);
    assert_int_equal (spec.workers.max, 1);
    assert_int_equal (spec.optimizer.schedule, MU_JOBSPEC_OPTIMIZER_SCHEDULE_COSINE);
    assert_true (spec.optimizer.learning_rate > 2.99e-4 && spec.optimizer.learning_rate < 3.01e-4);
    assert_string_equal (spec.checkpoint.resume, "no");
    assert_int_equal (spec.epochs, 0);
    assert_null (spec.checkpoint.dir);
}

static void a_bad_file_is_told_all_at_once (void **state)
{
    (void)state;
    char *yaml = read_whole ("tests/unit/jobspec/bad.yaml");
    char *expected = read_whole ("tests/unit/jobspec/bad.txt");
    int result = mu_jobspec_parse (yaml, strlen (yaml), "bad.yaml", NULL, &spec, &problems);
    char *told = mu_jobspec_problems_text (&problems);
    assert_int_equal (result, -1);
    assert_string_equal (told, expected);
    free (told);
    free (expected);
    free (yaml);
}

/* For every number of the table: its limits are good, one beyond is not. */
static int try_number (const struct mu_entry *entry, const char *number)
{
    struct mu_jobspec_problems *found = calloc (1, sizeof *found);
    char assignment[128];
    assert_non_null (found);
    snprintf (assignment, sizeof assignment, "%s=%s", entry->path, number);
    int result = mu_jobspec_set (&spec, assignment, found);
    free (found);
    return result;
}

static void try_u64 (const struct mu_entry *entry)
{
    char low[32], high[32], below[32], above[32];
    snprintf (low, sizeof low, "%llu", (unsigned long long)entry->low.u64);
    snprintf (high, sizeof high, "%llu", (unsigned long long)entry->high.u64);
    snprintf (below, sizeof below, "%lld", (long long)entry->low.u64 - 1);
    snprintf (above, sizeof above, "%llu", (unsigned long long)entry->high.u64 + 1);
    assert_int_equal (try_number (entry, low), 0);
    assert_int_equal (try_number (entry, high), 0);
    assert_int_equal (try_number (entry, below), -1);
    assert_int_equal (try_number (entry, above), -1);
}

static void try_f64 (const struct mu_entry *entry)
{
    char text[MU_NUMBER_TEXT_MAX];
    bool open_low = entry->flags & MU_ENTRY_ABOVE, open_high = entry->flags & MU_ENTRY_BELOW;
    mu_number_print_f64 (entry->low.f64, text);
    assert_int_equal (try_number (entry, text), open_low ? -1 : 0);
    mu_number_print_f64 (nextafter (entry->high.f64, 0), text);
    assert_int_equal (try_number (entry, text), 0);
    mu_number_print_f64 (entry->high.f64, text);
    assert_int_equal (try_number (entry, text), open_high ? -1 : 0);
    mu_number_print_f64 (nextafter (entry->high.f64, HUGE_VAL), text);
    assert_int_equal (try_number (entry, text), -1);
    mu_number_print_f64 (entry->low.f64 - 1e-10, text);
    assert_int_equal (try_number (entry, text), -1);
    assert_int_equal (try_number (entry, "nan"), -1);
    assert_int_equal (try_number (entry, "1e999"), -1);
}

static void every_limit_holds_on_both_sides (void **state)
{
    (void)state;
    size_t tried = 0;
    assert_int_equal (parse (GOOD), 0);
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT; i++) {
        const struct mu_entry *entry = &mu_jobspec_keys[i];
        if (entry->type == MU_ENTRY_U64)
            try_u64 (entry);
        else if (entry->type == MU_ENTRY_F64)
            try_f64 (entry);
        else
            continue;
        tried++;
    }
    assert_true (tried > 20);
    const struct mu_entry *priority = &mu_jobspec_keys[MU_JOBSPEC_PRIORITY_KEY];
    assert_int_equal (try_number (priority, "-1000"), 0);
    assert_int_equal (try_number (priority, "-1001"), -1);
    assert_int_equal (try_number (priority, "1000"), 0);
    assert_int_equal (try_number (priority, "1001"), -1);
}

static void texts_have_lengths (void **state)
{
    (void)state;
    char text[8192];
    for (int size = 63; size <= 64; size++) {
        snprintf (text, sizeof text, "name=%0*d", size, 0);
        assert_int_equal (parse (GOOD), 0);
        assert_int_equal (mu_jobspec_set (&spec, text, &problems), size == 63 ? 0 : -1);
    }
    for (int size = 4095; size <= 4096; size++) {
        snprintf (text, sizeof text, "checkpoint.dir=/%0*d", size - 1, 0);
        assert_int_equal (parse (GOOD), 0);
        assert_int_equal (mu_jobspec_set (&spec, text, &problems), size == 4095 ? 0 : -1);
    }
    for (int count = 64; count <= 65; count++) {
        assert_int_equal (parse (GOOD), 0);
        int result = 0;
        for (int i = 0; i < count; i++) {
            snprintf (text, sizeof text, "model.k%d=1", i);
            result |= mu_jobspec_set (&spec, text, &problems);
        }
        assert_int_equal (result, count == 64 ? 0 : -1);
    }
}

static void files_have_a_size (void **state)
{
    (void)state;
    char *text = malloc (MU_JOBSPEC_SIZE_MAX + 1);
    assert_non_null (text);
    memset (text, '\n', MU_JOBSPEC_SIZE_MAX + 1);
    memcpy (text, GOOD, strlen (GOOD));
    assert_int_equal (mu_jobspec_parse (text, MU_JOBSPEC_SIZE_MAX, "j", NULL, &spec, &problems), 0);
    assert_int_equal (mu_jobspec_parse (text, MU_JOBSPEC_SIZE_MAX + 1, "j", NULL, &spec, &problems),
                      -1);
    free (text);
}

static void what_yaml_allows_and_we_do_not (void **state)
{
    (void)state;
    assert_problem ("", "job.yaml:1:1: the job file is empty; muster-job(5) has one to begin with");
    assert_problem ("- a\n", "job.yaml:1:1: a job file is a mapping of keys to values, as in name: "
                             "my-job; this one begins with a list");
    assert_problem (GOOD "---\nname: b\n",
                    "job.yaml:6:1: a second document begins here; a job file has one");
    assert_problem (GOOD "seed: !!int 5\n", "job.yaml:6:7: tags (\"tag:yaml.org,2002:int\") are "
                                            "not allowed in a job file; leave it out");
    assert_problem (GOOD "seed: &a 5\n",
                    "job.yaml:6:7: anchors (&a) are not allowed in a job file; leave it out");
    assert_problem (GOOD "seed: *a\n", "job.yaml:6:7: aliases (*a) are not allowed in a job file; "
                                       "write the value out");
    assert_problem (GOOD "workers:\n\tmin: 2\n",
                    "job.yaml:7:1: this line is indented by a tab, which YAML forbids; use spaces");
    assert_problem (GOOD "model: {a: 1\n", "job.yaml:7:1: this is not YAML: while parsing a flow "
                                           "mapping, did not find expected ',' or '}'");
    assert_problem (GOOD "# \xc3\xa9\n# \xff\n",
                    "job.yaml:7:3: this is not UTF-8 text; save the job "
                    "file in the encoding UTF-8");
    assert_problem (GOOD "# \x01\n", "job.yaml:6:3: there is a control character (U+0001) here; a "
                                     "job file is plain text");
    assert_problem (GOOD "? [a]\n: b\n", "job.yaml:6:3: a key must be a word");
    /* A mark of the byte order, with which some editors begin a file, is not seen. */
    assert_problem ("\xef\xbb\xbf" GOOD "seed: x\n",
                    "job.yaml:6:7: seed is \"x\"; it takes a whole number from 0 to "
                    "9223372036854775807, in digits alone, as in 1");
    assert_problem ("\xef\xbb\xbf", "job.yaml:1:1: the job file is empty; muster-job(5) has one "
                                    "to begin with");
    assert_problem (GOOD "seed:\n", "job.yaml:6:6: seed is empty; it takes a whole number from 0 "
                                    "to 9223372036854775807, as in 1");
    assert_problem (GOOD "checkpoint: {dir: \"a\\0b\"}\n",
                    "job.yaml:6:19: checkpoint.dir is a text with a zero byte in it; it takes a "
                    "path, as in /data/checkpoints");
}

static void bombs_do_not_go_off (void **state)
{
    (void)state;
    char *text = malloc (MU_JOBSPEC_SIZE_MAX + 1);
    assert_non_null (text);
    memset (text, '[', MU_JOBSPEC_SIZE_MAX);
    text[MU_JOBSPEC_SIZE_MAX] = '\0';
    assert_int_equal (parse (text), -1);
    for (size_t i = 0; i < MU_JOBSPEC_SIZE_MAX; i += 2)
        memcpy (text + i, "- ", 2);
    assert_int_equal (parse (text), -1);
    for (size_t i = 0; i + 5 < MU_JOBSPEC_SIZE_MAX; i += 5)
        memcpy (text + i, "a: b\n", 5);
    text[MU_JOBSPEC_SIZE_MAX - 1] = '\0';
    assert_int_equal (parse (text), -1);
    assert_int_equal (problems.count, MU_JOBSPEC_PROBLEMS_MAX);
    assert_true (problems.errors > 10000);
    free (text);
}

static void numbers_are_strict (void **state)
{
    (void)state;
    static const char *const bad[] = {
        "1e3", "4.0", "+4",  "0x10", "1_000", "010",
        "-1",  " ",   "1 2", "one",  "true",  "99999999999999999999"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t value = 7;
        assert_int_not_equal (mu_number_u64 (bad[i], &value), MU_NUMBER_GOOD);
        assert_int_equal (value, 7);
    }
    static const char *const decimals[] = { "",    ".",     "e5",    "1e",   "1e+",
                                            "--1", "1.2.3", "0x1p3", "nan",  "inf",
                                            "1,5", "00",    "01.5",  "1e5x", "+1" };
    for (size_t i = 0; i < sizeof decimals / sizeof *decimals; i++) {
        double value = 7;
        assert_int_not_equal (mu_number_f64 (decimals[i], &value), MU_NUMBER_GOOD);
        assert_true (value > 6.9);
    }
    assert_refused ("seed: \"5\"",
                    "seed is the text \"5\", in quotes; it takes a whole number from 0 "
                    "to 9223372036854775807, as in 1");
    assert_refused ("seed: 1e3", "seed is \"1e3\"; it takes a whole number from 0 to "
                                 "9223372036854775807, in digits alone, as in 1");
}

static void doubles_read_back_the_same (void **state)
{
    (void)state;
    uint64_t random = 1;
    setlocale (LC_ALL, "de_DE.UTF-8"); /* where it is installed: a comma as the decimal point */
    for (int i = 0; i < 20000; i++) {
        double value, back = 0;
        char text[MU_NUMBER_TEXT_MAX];
        random = random * 6364136223846793005u + 1442695040888963407u;
        memcpy (&value, &random, sizeof value);
        if (!isfinite (value) || fabs (value) < 1e-300)
            continue;
        mu_number_print_f64 (value, text);
        assert_int_equal (mu_number_f64 (text, &back), MU_NUMBER_GOOD);
        assert_memory_equal (&back, &value, sizeof value);
    }
    setlocale (LC_ALL, "C");
}

static void the_whole_is_checked (void **state)
{
    (void)state;
    assert_problem ("trainer: gpt\ndata: {path: d}\nbatch: {global: 4, micro: 4}\nsteps: 1\n",
                    "job.yaml: name is missing; it takes at most 63 letters, digits, dots, _ and "
                    "-, beginning with a letter or digit, as in tiny-gpt");
    assert_problem ("name: a\ntrainer: gpt\ndata: {path: d}\nbatch: {global: 4}\nsteps: 1\n",
                    "job.yaml:4:1: batch.micro is missing; it takes a whole number from 1 to 65536 "
                    "records, as in 4");
    assert_problem (GOOD "epochs: 2\n",
                    "job.yaml:6:1: steps and epochs are both given; a job takes one of them");
    assert_problem ("name: a\ntrainer: gpt\ndata: {path: d}\nbatch: {global: 4, micro: 4}\n",
                    "job.yaml: neither steps nor epochs says how long to train; as in steps: 300");
    assert_refused ("optimizer: {warmup: 10}", "optimizer.warmup is 10 steps, but the job has only "
                                               "10; it takes less than steps");
    assert_refused ("optimizer: {learning_rate: 0.1, min_learning_rate: 0.2}",
                    "optimizer.min_learning_rate is 0.2, more than optimizer.learning_rate, 0.1; "
                    "the rate falls from one to the other");
    assert_refused ("workers: {min: 2}",
                    "workers.min is 2, more than workers.max, 1 (its default)");
    assert_refused ("workers: {min: 9, max: 9}",
                    "workers.min is 9, but a step has only 8 micro-batches (batch.global / "
                    "batch.micro), so some workers would never have any");
    assert_refused ("eval: {every: 5}", "eval.every is given, but nothing to judge with; add "
                                        "eval.path or eval.fraction");
    assert_refused ("eval: {path: a, fraction: 0.1}",
                    "eval.path and eval.fraction are both given; a job takes one of them");
    assert_refused ("checkpoint: {init: a, resume: newest}",
                    "checkpoint.init and checkpoint.resume are both given; the weights come from "
                    "one of them");
    assert_int_equal (parse (GOOD "optimizer: {warmup: 9}\n"), 0);
    assert_int_equal (parse (GOOD "workers: {min: 8, max: 8}\n"), 0);
}

static void check_batch (uint64_t global, uint64_t micro, const char *sentence)
{
    char text[256];
    snprintf (text, sizeof text,
              "name: a\ntrainer: gpt\ndata: {path: d}\nsteps: 9\n"
              "batch: {global: %llu, micro: %llu}\n",
              (unsigned long long)global, (unsigned long long)micro);
    assert_int_equal (parse (text), sentence ? -1 : 0);
    if (sentence)
        assert_string_equal (problems.item[0].text, sentence);
}

static void batches_divide (void **state)
{
    (void)state;
    check_batch (2047, 1, NULL);
    check_batch (2048, 1,
                 "a step would have 2048 micro-batches (batch.global / batch.micro), and "
                 "2047 is the most whose sums are sure to be exact; make batch.micro at "
                 "least 2");
    check_batch (33, 4,
                 "batch.global is 33, not a multiple of batch.micro, 4; the nearest ones "
                 "are 32 and 36");
    check_batch (3, 4,
                 "batch.micro is 4, more than batch.global, 3; a step is made of whole "
                 "micro-batches");
    check_batch (65536, 65536, NULL);
}

static void warnings_name_a_better_batch (void **state)
{
    (void)state;
    assert_problem (
        GOOD "workers: {max: 6}\n",
        "job.yaml:4:21: warning: 8 micro-batches over 6 workers use them to 67%, as "
        "each step waits for the worker that has 2; batch.micro: 2 would make 16 (89%)");
    assert_int_equal (parse (GOOD "workers: {max: 3}\n"), 0);
    assert_int_equal (problems.warnings, 0);
    assert_problem (
        GOOD "workers: {max: 8}\n",
        "job.yaml:4:21: warning: a step has as many micro-batches as workers.max, 8, so "
        "when one worker dies another has two and the speed halves; batch.micro: 2 "
        "would make 16 (100%)");
    assert_problem (GOOD "workers: {max: 9}\n",
                    "job.yaml:4:21: warning: a step has 8 micro-batches, so no more than 8 of "
                    "workers.max, 9, can be used; batch.micro: 1 would make 32 (89%)");
    assert_problem (GOOD "workers: {max: 30}\n",
                    "job.yaml:4:21: warning: a step has 8 micro-batches, so no more than 8 of "
                    "workers.max, 30, can be used; batch.global: 240 would make 60 (100%)");
    assert_int_equal (parse (GOOD "workers: {max: 4}\n"), 0);
    assert_int_equal (problems.warnings, 0);
    assert_true (fabs (mu_jobspec_efficiency (8, 3) - 8.0 / 9) < 1e-12);
}

/* The first job file that somebody sees, and copies, is not one that Muster has to warn of. */
static void what_people_begin_with_needs_no_warning (void **state)
{
    (void)state;
    static const char *const names[] = { "examples/gpt-gcide.yaml", "examples/mlp-fashion.yaml",
                                         "examples/linear/linear.yaml" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        snprintf (path, sizeof path, "%s/%s", SOURCE_DIR, names[i]);
        assert_int_equal (mu_jobspec_load (path, &spec, &problems), 0);
        assert_int_equal (problems.errors + problems.warnings, 0);
    }
    static char page[65536];
    FILE *file = fopen (SOURCE_DIR "/README.md", "r");
    assert_non_null (file);
    page[fread (page, 1, sizeof page - 1, file)] = '\0';
    fclose (file);
    char *job = strstr (page, "```yaml\n");
    assert_non_null (job);
    job += strlen ("```yaml\n");
    *strstr (job, "```") = '\0';
    assert_int_equal (parse (job), 0);
    assert_int_equal (problems.errors + problems.warnings, 0);
}

static void json_goes_round (void **state)
{
    (void)state;
    static const char *const names[] = { "examples/gpt-gcide.yaml", "examples/mlp-fashion.yaml" };
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        snprintf (path, sizeof path, "%s/%s", SOURCE_DIR, names[i]);
        assert_int_equal (mu_jobspec_load (path, &spec, &problems), 0);
        assert_int_equal (problems.errors, 0);
        mu_jobspec_set (&spec, "optimizer.epsilon=1.2345678901234567e-9", &problems);
        mu_jobspec_set (&spec, "seed=9223372036854775807", &problems);
        mu_jobspec_set (&spec, "data.cache='/a \"b\\c\" \xc3\xa9'", &problems);
        char *first = mu_jobspec_to_json (&spec);
        assert_int_equal (mu_jobspec_from_json (first, strlen (first), &spec, &problems), 0);
        char *second = mu_jobspec_to_json (&spec);
        assert_string_equal (first, second);
        assert_string_equal (spec.data.cache, "/a \"b\\c\" \xc3\xa9");
        assert_true (spec.optimizer.epsilon - 1.2345678901234567e-9 == 0.0);
        free (first);
        free (second);
    }
}

static void json_is_canonical (void **state)
{
    (void)state;
    static const char one[] =
        "{\"steps\":10,\"name\":\"a\",\"trainer\":\"gpt\",\"model\":{\"b\":[1,2],"
        "\"a\":\"x\"},\"data\":{\"path\":\"/d\"},\"batch\":{\"micro\":4,"
        "\"global\":32}}";
    static const char other[] = GOOD "model: {a: x, b: \"1,2\"}\nseed: 1\npriority: 0\n";
    assert_int_equal (parse (one), 0);
    char *first = mu_jobspec_to_json (&spec);
    assert_int_equal (parse (other), 0);
    char *second = mu_jobspec_to_json (&spec);
    assert_string_equal (first, second);
    assert_non_null (strstr (first, "{\"name\":\"a\",\"trainer\":\"gpt\",\"model\":{\"a\":\"x\","
                                    "\"b\":\"1,2\"},\"data\":{\"path\":[\"/d\"],"));
    free (first);
    free (second);
}

/* What is made of it, as one text: the job, or what is wrong. */
static char *outcome (const char *text)
{
    return parse (text) == 0 && !problems.warnings ? mu_jobspec_to_json (&spec)
                                                   : mu_jobspec_problems_text (&problems);
}

/* Plain JSON is read without libyaml; a comment behind it makes it YAML that says the same. */
static void assert_same_as_yaml (const char *json)
{
    char text[2048];
    snprintf (text, sizeof text, "%s #", json);
    assert_true (mu_jobspec_is_json (json, strlen (json)));
    assert_false (mu_jobspec_is_json (text, strlen (text)));
    char *read = outcome (json), *by_yaml = outcome (text);
    assert_string_equal (read, by_yaml);
    free (read);
    free (by_yaml);
}

#define JSON(more)                                                                                 \
    "{\"name\": \"a\", \"trainer\":\"gpt\",\n \"data\": {\"path\": [\"/d\", \"/e\"]}, "                         \
    "\"batch\": {\"global\": 32 , \"micro\":4},\"steps\": 10" more "}"

static void plain_json_is_what_yaml_would_be (void **state)
{
    (void)state;
    static const char *const texts[] = {
        JSON (""), JSON (", \"model\": {\"b\": [1, 2.5e-3, true], \"a\": \"x y: z\"}"),
        JSON (",\n\n\"optimizer\": {\"learning_rate\": 1e-3, \"epsilon\": 1.25E-09}\n"),
        JSON (", \"seed\": 18446744073709551615, \"exact\": false, \"priority\": -5"),
        JSON (", \"name\": \"b\""), JSON (", \"batch\": {}"), JSON (", \"batch\": 4"),
        JSON (", \"model\": []"), JSON (", \"model\": {\"a\": {\"b\": [[1]]}}"),
        JSON (", \"seed\": null"), JSON (", \"seed\": \"5\""), JSON (", \"seed\": 1.2.3"),
        JSON (", \"seed\": 07"), JSON (", \"seed\": -"), JSON (", \"steps\": [10]"),
        JSON (", \"exact\": nul"), JSON (", \"\": 1"), JSON (", \"<<\": {\"a\": 1}"),
        JSON (", \"stepps\": 1, \"batch.micro\": 2"), "{}", "{ \"name\" : \"\" }\n"
    };
    size_t plain = 0, count = sizeof texts / sizeof *texts;
    for (size_t i = 0; i < count; i++)
        if (mu_jobspec_is_json (texts[i], strlen (texts[i]))) {
            assert_same_as_yaml (texts[i]);
            plain++;
        }
    assert_int_equal (plain, count - 2); /* - and nul are no JSON */
}

/* One byte is another, is gone, or there twice. */
static void change_a_byte (char *text, uint64_t draw)
{
    static const char bytes[] = "{}[]\",: \n019-+.eEnulltruefals#\\\t\x80";
    size_t size = strlen (text), at = (size_t)(draw >> 8) % size;
    if (draw % 3 == 0)
        text[at] = bytes[(draw >> 32) % (sizeof bytes - 1)];
    else if (draw % 3 == 1)
        memmove (text + at, text + at + 1, size - at);
    else
        memmove (text + at + 1, text + at, size - at + 1);
}

static void changed_json_is_what_yaml_would_be (void **state)
{
    (void)state;
    uint64_t draw = 88172645463325252u;
    unsigned plain = 0;
    for (int i = 0; i < 20000; i++) {
        char text[1024] = JSON (", \"model\": {\"layers\": [4, 5]}, \"exact\": true");
        for (int changes = i % 3; changes >= 0; changes--) {
            draw ^= draw << 13, draw ^= draw >> 7, draw ^= draw << 17; /* Marsaglia's xorshift64 */
            change_a_byte (text, draw);
        }
        if (mu_jobspec_is_json (text, strlen (text))) {
            assert_same_as_yaml (text);
            plain++;
        }
    }
    assert_in_range (plain, 4000, 16000);
}

static void what_is_no_plain_json_is_left_alone (void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", " {}", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":1]", "{\"a\":[1}", "{a:1}",
        "{\"a\":'b'}", "{\"a\":\"\\n\"}", "{\"a\":\"\t\"}", "{\t}", "{\"a\":\"\x80\"}", "{\"a\":True}", "{} {}",
        "{\"a\":1} #", "{\"a\":\"b}", "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}"
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false (mu_jobspec_is_json (texts[i], strlen (texts[i])));
    assert_false (mu_jobspec_is_json ("{\"a\":\"\0\"}", 9));
    const char *deep = "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}";
    assert_true (mu_jobspec_is_json (deep, strlen (deep)));
}

static void one_key_can_be_set (void **state)
{
    (void)state;
    assert_int_equal (parse (GOOD), 0);
    assert_int_equal (mu_jobspec_set (&spec, "optimizer.learning_rate=3e-2", &problems), 0);
    assert_int_equal (mu_jobspec_set (&spec, "model.layers=6", &problems), 0);
    assert_int_equal (mu_jobspec_set (&spec, "model.layers=7", &problems), 0);
    assert_int_equal (mu_jobspec_set (&spec, "data.path=[/a, \"/b, c\"]", &problems), 0);
    assert_int_equal (mu_jobspec_set (&spec, "steps=", &problems), 0);
    assert_int_equal (mu_jobspec_set (&spec, "epochs=2", &problems), 0);
    assert_int_equal (mu_jobspec_check (&spec, &problems), 0);
    assert_string_equal (spec.model.item[0].value, "7");
    assert_int_equal (spec.model.count, 1);
    assert_string_equal (spec.data.path.item[1], "/b, c");
    assert_int_equal (spec.epochs, 2);

    char folder[512], expected[600];
    assert_non_null (getcwd (folder, sizeof folder));
    snprintf (expected, sizeof expected, "%s/sub", folder);
    assert_int_equal (mu_jobspec_set (&spec, "checkpoint.dir=./sub", &problems), 0);
    assert_string_equal (spec.checkpoint.dir, expected);

    assert_int_equal (mu_jobspec_set (&spec, "optimizer.learningrate=1", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "workers=3", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "steps", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "seed={a: b}", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "seed=[", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "seed=1\n--- 2", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "model.\xf8=1", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "model.a=\"\\u2028\"", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "model.a=\r", &problems), -1);
    assert_int_equal (mu_jobspec_set (&spec, "model.a=", &problems), -1);
    char *told = mu_jobspec_problems_text (&problems);
    assert_string_equal (
        told,
        "--set \"optimizer.learningrate=1\": there is no key \"optimizer.learningrate\"; did you "
        "mean optimizer.learning_rate?\n"
        "--set \"workers=3\": workers holds several keys; give one of them, as in workers.min=1\n"
        "--set \"steps\": there is no = in it; write it as steps=300\n"
        "--set \"seed={a: b}\": seed is a mapping; it takes a whole number from 0 to "
        "9223372036854775807, as in 1\n"
        "--set \"seed=[\": seed is a list; it takes a whole number from 0 to 9223372036854775807, "
        "as in 1\n"
        "--set \"seed=[\": this is not YAML: while parsing a flow node, did not find expected node "
        "content\n"
        "--set \"seed=1\\x0a--- 2\": a second document begins here; a job file has one\n"
        "--set \"model.\\xf8=1\": model.\\xf8 has a key that is not UTF-8 text\n"
        "--set \"model.a=\"\\u2028\"\": model.a has a control character in it; it takes plain "
        "text\n"
        "--set \"model.a=\\x0d\": there is no value behind the =\n"
        "--set \"model.a=\": there is no value behind the =\n");
    free (told);
}

static void paths_become_absolute (void **state)
{
    (void)state;
    static const char text[] = "name: a\ntrainer: ./my.so\nbatch: {global: 4, micro: 4}\nsteps: 1\n"
                               "data: {path: [a.txt, /b, ~/c, ./d], tokenizer: gpt2:vocab}\n"
                               "checkpoint: {resume: older-id, init: ../m}\n";
    setenv ("HOME", "/home/me", 1);
    mu_jobspec_parse (text, strlen (text), "j", "/jobs/", &spec, &problems);
    assert_string_equal (spec.trainer, "/jobs/my.so");
    assert_string_equal (spec.data.path.item[0], "/jobs/a.txt");
    assert_string_equal (spec.data.path.item[1], "/b");
    assert_string_equal (spec.data.path.item[2], "/home/me/c");
    assert_string_equal (spec.data.path.item[3], "/jobs/d");
    assert_string_equal (spec.data.tokenizer, "gpt2:/jobs/vocab");
    assert_string_equal (spec.checkpoint.resume, "older-id");
    assert_string_equal (spec.checkpoint.init, "/jobs/../m");
}

static void files_that_are_not_there (void **state)
{
    (void)state;
    struct mu_error error;
    assert_int_equal (mu_jobspec_load ("/nowhere/job.yaml", &spec, &problems), -1);
    assert_int_equal (mu_jobspec_problems_fail (&problems, &error), -1);
    assert_string_equal (error.text, "/nowhere/job.yaml: the job file cannot be read: No such file "
                                     "or directory");
    assert_int_equal (error.code, MU_NO_INPUT);
    assert_int_equal (mu_jobspec_load ("/", &spec, &problems), -1);
    assert_int_equal (mu_jobspec_load ("/dev/zero", &spec, &problems), -1);
}

static void words_have_distances (void **state)
{
    (void)state;
    assert_int_equal (mu_nearest_distance ("", ""), 0);
    assert_int_equal (mu_nearest_distance ("steps", "steps"), 0);
    assert_int_equal (mu_nearest_distance ("stesp", "steps"), 1);
    assert_int_equal (mu_nearest_distance ("step", "steps"), 1);
    assert_int_equal (mu_nearest_distance ("Beat-MS", "beat_ms"), 0);
    assert_int_equal (mu_nearest_distance ("kitten", "sitting"), 3);
    static const char *const words[] = { "jobs", "status", "watch", NULL };
    assert_string_equal (mu_nearest ("stauts", words), "status");
    assert_null (mu_nearest ("zebra", words));
}

static int tear_down (void **state)
{
    (void)state;
    mu_jobspec_clear (&spec);
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_small_job_gets_its_defaults),
        cmocka_unit_test (a_bad_file_is_told_all_at_once),
        cmocka_unit_test (every_limit_holds_on_both_sides),
        cmocka_unit_test (texts_have_lengths),
        cmocka_unit_test (files_have_a_size),
        cmocka_unit_test (what_yaml_allows_and_we_do_not),
        cmocka_unit_test (bombs_do_not_go_off),
        cmocka_unit_test (numbers_are_strict),
        cmocka_unit_test (doubles_read_back_the_same),
        cmocka_unit_test (the_whole_is_checked),
        cmocka_unit_test (batches_divide),
        cmocka_unit_test (warnings_name_a_better_batch),
        cmocka_unit_test (what_people_begin_with_needs_no_warning),
        cmocka_unit_test (json_goes_round),
        cmocka_unit_test (json_is_canonical),
        cmocka_unit_test (plain_json_is_what_yaml_would_be),
        cmocka_unit_test (changed_json_is_what_yaml_would_be),
        cmocka_unit_test (what_is_no_plain_json_is_left_alone),
        cmocka_unit_test (one_key_can_be_set),
        cmocka_unit_test (paths_become_absolute),
        cmocka_unit_test (files_that_are_not_there),
        cmocka_unit_test (words_have_distances),
    };
    return cmocka_run_group_tests (tests, NULL, tear_down);
}
