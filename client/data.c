/* SPDX-License-Identifier: Apache-2.0 */
/* data.c - `muster data inspect` and `muster data tokenize`: the workers' own readers, at your desk
 */
#include "command.h"
#include "output.h"

#include "worker/data/data.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const format_names[] = {
    "auto", "text", "llmc", "npy", "idx", "csv", "jsonl"
};                                                                          /* of `data inspect` */
static const char *const text_format_names[] = { "auto", "text", "jsonl" }; /* of `data tokenize` */

/* One line that is painted over; nothing where standard error is no terminal. */
static void show_progress (void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    if (!isatty (STDERR_FILENO))
        return;
    if (total)
        fprintf (stderr, "\r\033[K%s: %.0f%%", what, 100.0 * (double)done / (double)total);
    else
        fprintf (stderr, "\r\033[K%s: %" PRIu64, what, done);
    if (total && done >= total)
        fputs ("\r\033[K", stderr);
    fflush (stderr);
}

static struct mu_data_spec make_spec (const struct command *command, const char *format,
                                      const char *tokenizer, uint64_t context)
{
    return (struct mu_data_spec){
        .paths = command->operands->item,
        .path_count = (uint32_t)command->operands->count,
        .format = format,
        /* Not named, it must not speak against what a shard says of itself; text is bytes then. */
        .tokenizer = strcmp (tokenizer, "bytes") ? tokenizer : NULL,
        .context = (uint32_t)context,
        .progress = show_progress,
    };
}

static void print_lines (json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach (object, key, value)
    {
        char *text = json_dumps (value, JSON_ENCODE_ANY | JSON_COMPACT);
        bool plain = json_is_string (value);
        printf ("%-12s %s\n", key, plain ? json_string_value (value) : text ? text : "");
        free (text);
    }
}

int command_data_inspect (const struct command *command)
{
    struct mu_error error;
    static const enum mu_data_header headers[] = {
        [MU_CLIENT_DATA_INSPECT_HEADER_AUTO] = MU_DATA_HEADER_AUTO,
        [MU_CLIENT_DATA_INSPECT_HEADER_YES] = MU_DATA_HEADER_YES,
        [MU_CLIENT_DATA_INSPECT_HEADER_NO] = MU_DATA_HEADER_NO,
    };
    const struct mu_client_options *options = command->options;
    struct mu_data_spec spec =
        make_spec (command, format_names[options->data_inspect.format],
                   options->data_inspect.tokenizer, options->data_inspect.context);
    spec.labels = (const char *const *)options->data_inspect.labels.item;
    spec.label_count = (uint32_t)options->data_inspect.labels.count;
    spec.label_column = options->data_inspect.label_column;
    spec.header = headers[options->data_inspect.header];
    spec.text_field = options->data_inspect.field;
    json_t *object = mu_data_describe (&spec, &error);
    if (!object)
        return command_fail_mu (&error);
    if (command->json) {
        print_json (object);
    } else {
        print_lines (object);
        json_decref (object);
    }
    return 0;
}

int command_data_tokenize (const struct command *command)
{
    struct mu_error error;
    const char *out = command->options->data_tokenize.out;
    struct mu_data_spec spec =
        make_spec (command, text_format_names[command->options->data_tokenize.format],
                   command->options->data_tokenize.tokenizer, 1);
    spec.text_field = command->options->data_tokenize.field;
    uint32_t vocabulary = (uint32_t)command->options->data_tokenize.train;
    if (vocabulary) {
        if (mu_data_train_tokenizer (&spec, command->options->data_tokenize.limit, out, &vocabulary,
                                     &error))
            return command_fail_mu (&error);
        fprintf (stderr,
                 "%s: a tokenizer of %u tokens; name it as data.tokenizer in a job file, or with "
                 "--tokenizer to write shards\n",
                 out, vocabulary);
        return 0;
    }
    uint64_t tokens;
    if (mu_data_tokenize (&spec, out, &tokens, &error))
        return command_fail_mu (&error);
    fprintf (stderr, "%s: %" PRIu64 " tokens; name it as data.path in a job file\n", out, tokens);
    return 0;
}
