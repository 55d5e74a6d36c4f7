/* SPDX-License-Identifier: Apache-2.0 */
/* data_command.c - look at data, and make it ready, without a coordinator
 *
 * Options are read twice over: one table for getopt_long, the same letters in the help. Nothing
 * here is fatal; every failure ends in one sentence and the exit status of its code. */
#include "data_command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage[] = "usage: muster data inspect [OPTIONS] FILE...\n"
                            "       muster data tokenize [OPTIONS] --output SHARD FILE...\n";

static const char help[] =
    "\n"
    "inspect   says what a data set is: its kind and format, how many records it makes, its\n"
    "          vocabulary or classes, how its first record begins, and the identity by which\n"
    "          workers notice that their files differ. Reads any format that a job can name.\n"
    "tokenize  turns text into a shard of tokens that loads at once (llm.c's format). With\n"
    "          --vocabulary it first learns a tokenizer from the text.\n"
    "\n"
    "A FILE may be a folder: its matching files are taken in name order. Text may be gzip or\n"
    "dictzip. Formats: text, llmc (.bin), npy, idx, csv, jsonl.\n"
    "\n"
    "  -f, --format FORMAT       auto (default), text, llmc, npy, idx, csv or jsonl\n"
    "  -t, --tokenizer NAME      bytes (default), a file made by tokenize, or gpt2:FOLDER with\n"
    "                            OpenAI's vocab.bpe and encoder.json\n"
    "      --any-gpt2-files      accept other files than OpenAI's there\n"
    "  -c, --context N           inspect: tokens that a model sees at once (default 1024)\n"
    "  -l, --labels FILE         inspect: labels of idx or npy rows; may be repeated\n"
    "      --label-column NAME   inspect: csv column of the label, by name or index (default: "
    "last)\n"
    "      --header yes|no|auto  inspect: whether line 1 of csv holds names\n"
    "      --text-field NAME     jsonl: the member that holds the text (default: text)\n"
    "  -F, --output FILE         tokenize: the shard to write\n"
    "  -n, --vocabulary N        tokenize: learn a tokenizer of N tokens (257 to 65536)\n"
    "  -s, --save FILE           tokenize: where to write that (default: OUTPUT.bpe)\n"
    "      --train-bytes N       tokenize: learn from the first N bytes only\n"
    "  -o table|json             how results are printed\n"
    "  -h, --help                this text\n"
    "\n"
    "examples:\n"
    "  muster data inspect /usr/share/dictd/gcide.dict.dz\n"
    "  muster data tokenize --vocabulary 4096 --output gcide.bin /usr/share/dictd/gcide.dict.dz\n"
    "  muster data inspect --tokenizer gcide.bin.bpe gcide.bin\n";

static int fail (const struct mu_error *error)
{
    fprintf (stderr, "muster: %s\n", error->text);
    return mu_code_exit ((int)error->code);
}

/* One line on a terminal, four times a second. */
static void progress (void *user, const char *what, uint64_t done, uint64_t total)
{
    static struct timespec last;
    struct timespec now;
    (void)user;
    clock_gettime (CLOCK_MONOTONIC, &now);
    if (now.tv_sec == last.tv_sec && now.tv_nsec / 250000000 == last.tv_nsec / 250000000)
        return;
    last = now;
    if (total)
        fprintf (stderr, "\r%s: %3.0f%%\033[K", what,
                 100 * (double)(done < total ? done : total) / (double)total);
    else
        fprintf (stderr, "\r%s\033[K", what);
}

static void begin_progress (struct mu_data_spec *spec)
{
    if (!spec->progress && isatty (STDERR_FILENO))
        spec->progress = progress;
}

static void end_progress (const struct mu_data_spec *spec)
{
    if (spec->progress == progress)
        fputs ("\r\033[K", stderr);
}

/* --- inspect -------------------------------------------------------------------------------------
 */

static void print_list (const char *key, const json_t *list)
{
    char *text = json_dumps (list, JSON_REAL_PRECISION (4));
    printf ("%-18s %s\n", key, text ? text : "");
    free (text);
}

static void print_files (const json_t *files)
{
    size_t i;
    const json_t *file;
    json_array_foreach (files, i, file)
    {
        const json_t *units = json_object_get (file, "tokens");
        const json_t *packed = json_object_get (file, "packed");
        printf ("%-18s %s, %" JSON_INTEGER_FORMAT " bytes, %" JSON_INTEGER_FORMAT " %s%s%s\n",
                "file", json_string_value (json_object_get (file, "path")),
                json_integer_value (json_object_get (file, "bytes")),
                json_integer_value (units ? units : json_object_get (file, "rows")),
                units ? "tokens" : "rows", packed ? ", " : "",
                packed ? json_string_value (packed) : "");
    }
}

static void print_table (json_t *description)
{
    const char *key;
    json_t *value;
    json_object_foreach (description, key, value)
    {
        if (strcmp (key, "file_list") == 0)
            print_files (value);
        else if (json_is_integer (value))
            printf ("%-18s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value (value));
        else if (json_is_string (value) && strcmp (key, "first_text") != 0)
            printf ("%-18s %s\n", key, json_string_value (value));
        else if (json_is_array (value))
            print_list (key, value);
        else {
            char *text = json_dumps (value, JSON_ENCODE_ANY); /* quoted: it may hold newlines */
            printf ("%-18s %s\n", key, text ? text : "");
            free (text);
        }
    }
}

static int print_json (const json_t *value)
{
    const int status = json_dumpf (value, stdout, JSON_INDENT (2));
    putchar ('\n');
    return status;
}

/* Standard output may be a full disk. */
static int finish_output (void)
{
    struct mu_error error;
    if (fflush (stdout) == 0 && !ferror (stdout))
        return 0;
    mu_fail (&error, MU_IO, "cannot write to standard output");
    return fail (&error);
}

int mu_data_command_inspect (struct mu_data_spec *spec, bool json)
{
    struct mu_error error;
    begin_progress (spec);
    json_t *description = mu_data_describe (spec, &error);
    end_progress (spec);
    if (!description)
        return fail (&error);
    if (json)
        print_json (description);
    else
        print_table (description);
    json_decref (description);
    return finish_output ();
}

/* --- tokenize ------------------------------------------------------------------------------------
 */

static int report (const char *output, const char *tokenizer, uint32_t vocabulary, uint64_t tokens,
                   bool json)
{
    json_t *result = json_object ();
    if (output) {
        json_object_set_new (result, "output", json_string (output));
        json_object_set_new (result, "tokens", json_integer ((json_int_t)tokens));
    }
    json_object_set_new (result, "tokenizer", json_string (tokenizer));
    if (vocabulary)
        json_object_set_new (result, "vocabulary", json_integer (vocabulary));
    if (json)
        print_json (result);
    else
        print_table (result);
    json_decref (result);
    if (output && !json)
        fprintf (stderr, "to look at it: muster data inspect --tokenizer %s %s\n", tokenizer,
                 output);
    return finish_output ();
}

int mu_data_command_tokenize (struct mu_data_spec *spec, const struct mu_data_tokenizing *what,
                              bool json)
{
    struct mu_error error;
    char *save = NULL;
    uint32_t vocabulary = what->vocabulary;
    uint64_t tokens = 0;
    int status = 0;
    if (!what->output && !(what->vocabulary && what->save)) {
        mu_fail (&error, MU_USAGE,
                 "name the shard to write with --output, or with --vocabulary and "
                 "--save the tokenizer");
        return fail (&error);
    }
    if (what->vocabulary) {
        if (asprintf (&save, "%s%s", what->save ? what->save : what->output,
                      what->save ? "" : ".bpe") < 0)
            return mu_code_exit (MU_SYSTEM);
        begin_progress (spec);
        status = mu_data_train_tokenizer (spec, what->train_bytes, save, &vocabulary, &error);
        end_progress (spec);
        if (status == 0 && vocabulary < what->vocabulary)
            fprintf (stderr,
                     "muster: the text repeats too little for %" PRIu32 " tokens; the "
                     "tokenizer has %" PRIu32 "\n",
                     what->vocabulary, vocabulary);
        spec->tokenizer = save;
    }
    if (status == 0 && what->output) {
        begin_progress (spec);
        status = mu_data_tokenize (spec, what->output, &tokens, &error);
        end_progress (spec);
    }
    status = status < 0 ? fail (&error)
                        : report (what->output, spec->tokenizer ? spec->tokenizer : "bytes",
                                  vocabulary, tokens, json);
    if (save)
        spec->tokenizer = NULL;
    free (save);
    return status;
}

/* --- options -------------------------------------------------------------------------------------
 */

enum {
    OPTION_ANY_FILES = 256,
    OPTION_LABEL_COLUMN,
    OPTION_HEADER,
    OPTION_TEXT_FIELD,
    OPTION_TRAIN_BYTES
};

static const struct option options[] = {
    { "format", required_argument, NULL, 'f' },
    { "tokenizer", required_argument, NULL, 't' },
    { "any-gpt2-files", no_argument, NULL, OPTION_ANY_FILES },
    { "context", required_argument, NULL, 'c' },
    { "labels", required_argument, NULL, 'l' },
    { "label-column", required_argument, NULL, OPTION_LABEL_COLUMN },
    { "header", required_argument, NULL, OPTION_HEADER },
    { "text-field", required_argument, NULL, OPTION_TEXT_FIELD },
    { "output", required_argument, NULL, 'F' },
    { "vocabulary", required_argument, NULL, 'n' },
    { "save", required_argument, NULL, 's' },
    { "train-bytes", required_argument, NULL, OPTION_TRAIN_BYTES },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

struct request {
    struct mu_data_spec spec;
    struct mu_data_tokenizing tokenizing;
    const char **labels;
    bool json, help;
};

/* A whole number from `least` to `most`. */
static int number (const char *name, const char *text, uint64_t least, uint64_t most,
                   uint64_t *value, struct mu_error *error)
{
    char *end;
    *value = strtoull (text, &end, 10);
    if (*text < '0' || *text > '9' || *end || *value < least || *value > most)
        return mu_fail (error, MU_USAGE,
                        "%s is \"%s\"; it must be a whole number from %" PRIu64 " to "
                        "%" PRIu64,
                        name, text, least, most);
    return 0;
}

/* The place of `text` among `words`, in *value. */
static int choice (const char *name, const char *text, const char *const *words, unsigned *value,
                   struct mu_error *error)
{
    for (*value = 0; words[*value]; ++*value)
        if (strcmp (text, words[*value]) == 0)
            return 0;
    return mu_fail (error, MU_USAGE, "%s is \"%s\"; see muster data --help", name, text);
}

static int take_number (struct request *request, int option, const char *text,
                        struct mu_error *error)
{
    uint64_t value;
    if (option == 'c') {
        if (number ("--context", text, 1, MU_DATA_CONTEXT_MAX, &value, error) < 0)
            return -1;
        request->spec.context = (uint32_t)value;
    } else if (option == 'n') {
        if (number ("--vocabulary", text, 257, 65536, &value, error) < 0)
            return -1;
        request->tokenizing.vocabulary = (uint32_t)value;
    } else {
        return number ("--train-bytes", text, 1, UINT64_MAX, &request->tokenizing.train_bytes,
                       error);
    }
    return 0;
}

static int take_choice (struct request *request, int option, const char *text,
                        struct mu_error *error)
{
    static const char *const outputs[] = { "table", "json", NULL };
    static const char *const headers[] = { [MU_DATA_HEADER_AUTO] = "auto",
                                           [MU_DATA_HEADER_YES] = "yes",
                                           [MU_DATA_HEADER_NO] = "no",
                                           NULL };
    unsigned value;
    const bool output = option == 'o';
    if (choice (output ? "-o" : "--header", text, output ? outputs : headers, &value, error) < 0)
        return -1;
    if (output)
        request->json = value == 1;
    else
        request->spec.header = (enum mu_data_header)value;
    return 0;
}

static int take_option (struct request *request, int option, const char *text,
                        struct mu_error *error)
{
    struct mu_data_spec *spec = &request->spec;
    switch (option) {
    case 'f': spec->format = text; return 0;
    case 't': spec->tokenizer = text; return 0;
    case 'F': request->tokenizing.output = text; return 0;
    case 's': request->tokenizing.save = text; return 0;
    case 'l': request->labels[spec->label_count++] = text; return 0;
    case 'h': request->help = true; return 0;
    case OPTION_ANY_FILES: spec->gpt2_any_files = true; return 0;
    case OPTION_LABEL_COLUMN: spec->label_column = text; return 0;
    case OPTION_TEXT_FIELD: spec->text_field = text; return 0;
    case 'o':
    case OPTION_HEADER: return take_choice (request, option, text, error);
    case 'c':
    case 'n':
    case OPTION_TRAIN_BYTES: return take_number (request, option, text, error);
    default: /* getopt_long has said what is wrong */
        return mu_fail (error, MU_USAGE, "see muster data --help");
    }
}

static int parse (struct request *request, int argc, char **argv, struct mu_error *error)
{
    int option;
    optind = 0; /* the caller may have used getopt before */
    while ((option = getopt_long (argc, argv, "f:t:c:l:F:n:s:o:h", options, NULL)) >= 0)
        if (take_option (request, option, optarg, error) < 0)
            return -1;
    request->spec.labels = request->labels;
    request->spec.paths = (const char *const *)argv + optind;
    request->spec.path_count = (uint32_t)(argc - optind);
    if (!request->help && optind == argc)
        return mu_fail (error, MU_USAGE, "no file is named; see muster data --help");
    return 0;
}

int mu_data_command (int argc, char **argv)
{
    struct mu_error error;
    struct request request = { .help = false };
    const char *command = argc > 1 ? argv[1] : "";
    const bool inspect = strcmp (command, "inspect") == 0;
    if (!inspect && strcmp (command, "tokenize") != 0) {
        const bool asked = strcmp (command, "--help") == 0 || strcmp (command, "-h") == 0;
        fputs (usage, asked ? stdout : stderr);
        fputs (asked ? help : "see muster data --help\n", asked ? stdout : stderr);
        return asked ? finish_output () : mu_code_exit (MU_USAGE);
    }
    request.labels = calloc ((size_t)argc, sizeof *request.labels);
    if (!request.labels)
        return mu_code_exit (MU_SYSTEM);
    int status;
    if (parse (&request, argc - 1, argv + 1, &error) < 0)
        status = fail (&error);
    else if (request.help) {
        printf ("%s%s", usage, help);
        status = finish_output ();
    } else if (inspect)
        status = mu_data_command_inspect (&request.spec, request.json);
    else
        status = mu_data_command_tokenize (&request.spec, &request.tokenizing, request.json);
    free (request.labels);
    return status;
}
