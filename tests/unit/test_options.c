/* SPDX-License-Identifier: Apache-2.0 */
/* test_options.c - command lines, environment and config files, with every way to get them wrong */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct mu_client_options client;
static struct mu_worker_options worker;
static struct mu_coordinator_options coordinator;
static struct mu_operands operands;
static struct mu_error error;
static char home[] = "/tmp/muster-options-XXXXXX";

/* Split a line at its blanks and parse it. */
static int parse (const struct mu_program *program, void *options, const char *line)
{
    static char text[512];
    static char *argv[32];
    int argc = 0;
    snprintf (text, sizeof text, "%s", line);
    for (char *rest = text, *word = strsep (&rest, " "); word; word = strsep (&rest, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    error.text[0] = '\0';
    return mu_options_parse (program, options, argc, argv, &operands, &error);
}

static void assert_refused (const struct mu_program *program, void *options, const char *line,
                            enum mu_code code, const char *sentence)
{
    assert_int_equal (parse (program, options, line), -1);
    assert_string_equal (error.text, sentence);
    assert_int_equal (error.code, code);
}

static void write_config (const char *name, const char *text)
{
    char path[128];
    snprintf (path, sizeof path, "%s/%s", home, name);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fputs (text, file);
    assert_int_equal (fclose (file), 0);
}

static void defaults_hold (void **state)
{
    (void)state;
    assert_int_equal (parse (&mu_coordinator_program, &coordinator, "muster-coordinator"), 0);
    assert_int_equal (coordinator.listen.count, 1);
    assert_string_equal (coordinator.listen.item[0], "tcp://127.0.0.1:7600");
    assert_int_equal (coordinator.beat_ms, 250);
    assert_int_equal (coordinator.log_level, MU_COORDINATOR_LOG_LEVEL_INFO);
    assert_false (coordinator.allow_unauthenticated);
    assert_null (coordinator.dir);
}

static void values_are_read (void **state)
{
    (void)state;
    const char *line = "muster-coordinator -l tcp://0.0.0.0:1 --listen=ipc:///run/m --lost-ms 2s "
                       "--lease-ahead-s=2m --form-limit-ms 1m --allow-unauthenticated "
                       "--log-lev debug -d /x";
    assert_int_equal (parse (&mu_coordinator_program, &coordinator, line), 0);
    assert_int_equal (coordinator.listen.count, 2);
    assert_string_equal (coordinator.listen.item[1], "ipc:///run/m");
    assert_int_equal (coordinator.lost_ms, 2000);
    assert_int_equal (coordinator.lease_ahead_s, 120);
    assert_int_equal (coordinator.form_limit_ms, 60000);
    assert_true (coordinator.allow_unauthenticated);
    assert_int_equal (coordinator.log_level, MU_COORDINATOR_LOG_LEVEL_DEBUG);
    assert_string_equal (coordinator.dir, "/x");
}

static void a_command_brings_its_options (void **state)
{
    (void)state;
    const char *line = "muster -o json submit a.yaml --set steps=3 -w -s seed=2 --timeout 1m";
    assert_int_equal (parse (&mu_client_program, &client, line), 0);
    assert_int_equal (operands.command->number, MU_CLIENT_SUBMIT);
    assert_int_equal (operands.count, 1);
    assert_string_equal (operands.item[0], "a.yaml");
    assert_int_equal (client.submit.set.count, 2);
    assert_string_equal (client.submit.set.item[1], "seed=2");
    assert_true (client.submit.wait);
    assert_int_equal (client.output, MU_CLIENT_OUTPUT_JSON);
    assert_int_equal (client.timeout, 60);
    assert_int_equal (parse (&mu_client_program, &client, "muster data inspect a b"), 0);
    assert_int_equal (operands.command->number, MU_CLIENT_DATA_INSPECT);
    assert_int_equal (operands.count, 2);
    assert_int_equal (parse (&mu_client_program, &client, "muster validate -- -odd.yaml"), 0);
    assert_string_equal (operands.item[0], "-odd.yaml");
}

static void so_many_files_and_no_more (void **state)
{
    (void)state;
    static char words[] = "muster\0data\0inspect\0file\0last";
    char *argv[3 + 257 + 1] = { words, words + 7, words + 12 };
    for (size_t i = 0; i < 257; i++)
        argv[3 + i] = words + (i < 256 ? 20 : 25);
    assert_int_equal (
        mu_options_parse (&mu_client_program, &client, 3 + 256, argv, &operands, &error), 0);
    assert_int_equal (operands.count, 256);
    assert_int_equal (
        mu_options_parse (&mu_client_program, &client, 3 + 257, argv, &operands, &error), -1);
    assert_string_equal (error.text,
                         "muster data inspect takes FILE|FOLDER..., 256 at most, but there "
                         "is also \"last\"");
}

static void mistakes_are_told (void **state)
{
    (void)state;
    static const struct {
        const char *line, *sentence;
    } cases[] = {
        { "muster", "muster needs a command" },
        { "muster sumbit", "there is no command \"sumbit\"; did you mean submit?" },
        { "muster data", "there is no command \"data\"; there are: data inspect, data tokenize" },
        { "muster ledger prove",
          "there is no command \"ledger prove\"; there are: ledger verify, ledger show" },
        { "muster data inspekt",
          "there is no command \"data inspekt\"; did you mean data inspect?" },
        { "muster status", "muster status needs JOB" },
        { "muster status ", "muster status needs JOB, but one word is empty" },
        { "muster scale  2", "muster scale needs JOB N, but one word is empty" },
        { "muster jobs 1", "muster jobs takes nothing, but there is also \"1\"" },
        { "muster status 1 2", "muster status takes only JOB, but there is also \"2\"" },
        { "muster jobs --ouput json", "there is no option \"--ouput\"; did you mean --output?" },
        { "muster --prompt x sample c", "the option --prompt stands behind the command sample" },
        { "muster jobs -q", "there is no option -q" },
        { "muster jobs -o", "--output needs a value; it takes table or json" },
        { "muster jobs --output", "--output needs a value; it takes table or json" },
        { "muster submit f --wait=yes", "--wait takes no value" },
        { "muster jobs --help=1", "--help takes no value" },
        { "muster jobs -o jsn", "--output is \"jsn\"; did you mean json? It takes table or json" },
        { "muster jobs --timeout 0", "--timeout is 0; it takes a whole number from 1 to 86400 s" },
        { "muster jobs --timeout 86401",
          "--timeout is 86401; it takes a whole number from 1 to 86400 s" },
        { "muster jobs --timeout 5us", "--timeout is \"5us\"; it takes a whole number from 1 to "
                                       "86400 s, in digits alone, as in 10" },
        { "muster jobs --timeout 1.5s", "--timeout is \"1.5s\"; it takes a whole number from 1 to "
                                        "86400 s, in digits alone, as in 10" },
        { "muster jobs -c 10.0.0.1:7600",
          "--coordinator is \"10.0.0.1:7600\"; it takes tcp://HOST:PORT or ipc://PATH, as in "
          "tcp://127.0.0.1:7600" },
        { "muster jobs -c tcp://h:65536", "--coordinator is \"tcp://h:65536\"; it takes "
                                          "tcp://HOST:PORT or ipc://PATH, as in "
                                          "tcp://127.0.0.1:7600" },
        { "muster data tokenize a", "muster data tokenize needs --out FILE" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused (&mu_client_program, &client, cases[i].line, MU_USAGE, cases[i].sentence);
    assert_refused (&mu_worker_program, &worker, "muster-worker here", MU_USAGE,
                    "muster-worker takes options alone, but there is \"here\"");
    assert_refused (&mu_worker_program, &worker, "muster-worker --port-range 9-8", MU_USAGE,
                    "--port-range is \"9-8\"; it takes LOW-HIGH, two ports from 1 to 65535, as in "
                    "20000-20100");
}

static void many_letters_in_one_word (void **state)
{
    (void)state;
    assert_int_equal (parse (&mu_client_program, &client, "muster submit f -wwwwwwwwwwwwwwww"), 0);
    assert_true (client.submit.wait);
}

static void nearer_wins (void **state)
{
    (void)state;
    char path[128];
    write_config ("config", "# everywhere\nlog_level: warn   # unknown to the client\n"
                            "coordinator = tcp://a:1, tcp://b:2\n[client]\ntimeout = 20\n"
                            "[worker]\nthreads = 7\nname = \"from-file\"\n");
    snprintf (path, sizeof path, "%s/config", home);
    setenv ("MUSTER_CONFIG", path, 1);
    assert_int_equal (parse (&mu_worker_program, &worker, "muster-worker"), 0);
    assert_int_equal (worker.threads, 7);
    assert_string_equal (worker.name, "from-file");
    assert_int_equal (worker.log_level, MU_WORKER_LOG_LEVEL_WARN);
    assert_int_equal (worker.coordinator.count, 2);
    assert_int_equal (parse (&mu_client_program, &client, "muster jobs"), 0);
    assert_int_equal (client.timeout, 20);

    setenv ("MUSTER_COORDINATOR", "tcp://c:3", 1);
    setenv ("MUSTER_THREADS", "8", 1);
    setenv ("MUSTER_NAME", "", 1);
    assert_int_equal (parse (&mu_worker_program, &worker, "muster-worker"), 0);
    assert_int_equal (worker.threads, 8);
    assert_string_equal (worker.name, "from-file");
    assert_int_equal (worker.coordinator.count, 1);
    assert_string_equal (worker.coordinator.item[0], "tcp://c:3");

    assert_int_equal (parse (&mu_worker_program, &worker, "muster-worker -t 9 -c tcp://d:4"), 0);
    assert_int_equal (worker.threads, 9);
    assert_int_equal (worker.coordinator.count, 1);
    assert_string_equal (worker.coordinator.item[0], "tcp://d:4");

    setenv ("MUSTER_THREADS", "many", 1);
    assert_refused (&mu_worker_program, &worker, "muster-worker", MU_CONFIG,
                    "the environment's MUSTER_THREADS is \"many\"; it takes a whole number from 1 "
                    "to 1024 threads, in digits alone, as in 1");
    unsetenv ("MUSTER_THREADS");
    unsetenv ("MUSTER_COORDINATOR");
    unsetenv ("MUSTER_NAME");
    unsetenv ("MUSTER_CONFIG");
}

static void config_mistakes_name_the_line (void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        { "\nthread = 3\n", ":2: there is no key \"thread\"; did you mean threads?" },
        { "[worker]\nbeat-ms = 3\n", ":2: there is no key \"beat-ms\"" },
        { "[workers]\n", ":1: there is no section \"workers\"; there are coordinator, worker and "
                         "client" },
        { "threads\n", ":1: this is not key = value" },
        { "threads = 0\n", ":1: threads is 0; it takes a whole number from 1 to 1024 threads" },
    };
    char line[256], sentence[512];
    snprintf (line, sizeof line, "muster-worker --config %s/bad", home);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_config ("bad", cases[i].text);
        snprintf (sentence, sizeof sentence, "%s/bad%s", home, cases[i].sentence);
        assert_refused (&mu_worker_program, &worker, line, MU_CONFIG, sentence);
    }
    write_config ("bad", "beat-ms = 300 # another program's key is no mistake\n");
    assert_int_equal (parse (&mu_worker_program, &worker, line), 0);
    assert_refused (&mu_worker_program, &worker, "muster-worker --config /nowhere", MU_CONFIG,
                    "the config file /nowhere cannot be read: No such file or directory");
}

static void help_shows_every_option (void **state)
{
    (void)state;
    for (const struct mu_program *const *program = mu_programs; *program; program++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream (&text, &size);
        assert_non_null (out);
        mu_options_help (*program, NULL, out);
        assert_int_equal (fclose (out), 0);
        for (size_t i = 0; i < (*program)->option_count; i++) {
            char form[64];
            snprintf (form, sizeof form, "--%s", (*program)->options[i].entry.path);
            assert_non_null (strstr (text, form));
            assert_non_null (strstr (text, (*program)->options[i].environment));
        }
        for (char *line = text, *end; (end = strchr (line, '\n')); line = end + 1) {
            assert_true (end - line <= 110); /* a range does not break */
            assert_true (end == line || end[-1] != ' ');
        }
        assert_non_null (strstr (text, "100   The job failed."));
        free (text);
    }
}

static int set_up (void **state)
{
    (void)state;
    unsetenv ("MUSTER_CONFIG");
    if (!mkdtemp (home))
        return -1;
    setenv ("HOME", home, 1);
    unsetenv ("XDG_CONFIG_HOME");
    return 0;
}

static int tear_down (void **state)
{
    (void)state;
    char path[128];
    mu_options_clear (&mu_client_program, &client);
    mu_options_clear (&mu_worker_program, &worker);
    mu_options_clear (&mu_coordinator_program, &coordinator);
    snprintf (path, sizeof path, "%s/config", home);
    unlink (path);
    snprintf (path, sizeof path, "%s/bad", home);
    unlink (path);
    return rmdir (home);
}

int main (void)
{
    unsetenv ("MUSTER_COORDINATOR"); /* who works with a cluster has it, and it would be nearer */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (defaults_hold),
        cmocka_unit_test (values_are_read),
        cmocka_unit_test (a_command_brings_its_options),
        cmocka_unit_test (so_many_files_and_no_more),
        cmocka_unit_test (mistakes_are_told),
        cmocka_unit_test (many_letters_in_one_word),
        cmocka_unit_test (nearer_wins),
        cmocka_unit_test (config_mistakes_name_the_line),
        cmocka_unit_test (help_shows_every_option),
    };
    return cmocka_run_group_tests (tests, set_up, tear_down);
}
