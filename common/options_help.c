/* SPDX-License-Identifier: Apache-2.0 */
/* options_help.c - help that teaches: what the program does, every option with its default and its
 * environment variable, examples, and what the exit status means */
#include "options_parts.h"

#include <string.h>

#define WIDTH  80
#define INDENT 30 /* where the sentences of options begin */

/* Print words from column `column` on, with further lines indented by `indent`. */
static void wrap (const char *text, size_t column, size_t indent, FILE *out)
{
    const char *between = "";
    for (text += strspn (text, " "); *text; text += strspn (text, " ")) {
        size_t size = strcspn (text, " ");
        if (*between && column + 1 + size > WIDTH) {
            fprintf (out, "\n%*s", (int)indent, "");
            column = indent;
            between = "";
        }
        fprintf (out, "%s%.*s", between, (int)size, text);
        column += strlen (between) + size;
        text += size;
        between = " ";
    }
    putc ('\n', out);
}

static void print_row (const char *form, const char *text, size_t indent, FILE *out)
{
    size_t size = strlen (form) + 2;
    fprintf (out, "  %s", form);
    if (size + 2 > indent) {
        putc ('\n', out);
        size = 0;
    }
    fprintf (out, "%*s", (int)(indent - size), "");
    wrap (text, indent, indent, out);
}

static void print_option (const struct mu_option *option, FILE *out)
{
    const struct mu_entry *entry = &option->entry;
    char form[96], text[1024], expected[MU_ENTRY_EXPECTED_MAX];
    char letter[5] = "    ";
    if (option->letter)
        snprintf (letter, sizeof letter, "-%c, ", option->letter);
    snprintf (form, sizeof form, "%s--%s%s%s", letter, entry->path, option->argument ? " " : "",
              option->argument ? option->argument : "");
    mu_entry_expected (entry, expected);
    size_t used = (size_t)snprintf (text, sizeof text, "%s", entry->meaning);
    if (option->argument && entry->type != MU_ENTRY_PATH && entry->type != MU_ENTRY_TEXT &&
        used < sizeof text)
        used += (size_t)snprintf (text + used, sizeof text - used, " Takes %s.", expected);
    bool standard = option->argument && entry->standard;
    if ((standard || option->environment) && used < sizeof text)
        snprintf (text + used, sizeof text - used, " [%s%s%s%s]", standard ? "default " : "",
                  standard ? entry->standard : "", standard && option->environment ? "; " : "",
                  option->environment ? option->environment : "");
    print_row (form, text, INDENT, out);
}

static void print_options (const struct mu_option *options, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++)
        print_option (&options[i], out);
}

static void print_commands (const struct mu_program *program, FILE *out)
{
    fputs ("\nCommands:\n", out);
    for (size_t i = 0; i < program->command_count; i++) {
        char form[96];
        snprintf (form, sizeof form, "%s %s", program->commands[i].name,
                  program->commands[i].arguments);
        print_row (form, program->commands[i].meaning, INDENT, out);
    }
}

static void print_examples (const struct mu_program *program, FILE *out)
{
    fputs ("\nExamples:\n", out);
    for (size_t i = 0; i < program->example_count; i++)
        fprintf (out, "  %s\n      %s\n", program->examples[i].line, program->examples[i].meaning);
}

/* Each exit status once, with the first meaning that errors.schema gives it. */
static void print_exits (FILE *out)
{
    bool told[256] = { false };
    fputs ("\nExit status:\n", out);
    for (int code = 0; code < 256; code++) {
        bool unknown = code != MU_INTERNAL && strcmp (mu_code_name (code), "INTERNAL") == 0;
        int status = mu_code_exit (code);
        if (unknown || status < 0 || status > 255 || told[status])
            continue;
        told[status] = true;
        fprintf (out, "  %-5d %s\n", status, mu_code_meaning (code));
    }
}

void mu_options_help (const struct mu_program *program, const struct mu_command *command, FILE *out)
{
    if (command) {
        fprintf (out, "Usage: %s %s [OPTION]...%s%s\n\n%s\n", program->name, command->name,
                 *command->arguments ? " " : "", command->arguments, command->meaning);
        if (command->option_count > 0) {
            fputs ("\nOptions:\n", out);
            print_options (command->options, command->option_count, out);
        }
        fputs ("\nOptions of every command:\n", out);
    } else {
        fprintf (out, "Usage: %s [OPTION]...%s%s\n\n%s\n\nOptions:\n", program->name,
                 *program->usage ? " " : "", program->usage, program->meaning);
    }
    print_options (program->options, program->option_count, out);
    print_row ("-h, --help", "Show this, or the help of a command.", INDENT, out);
    print_row ("-V, --version", "Show the version.", INDENT, out);
    if (command)
        return;
    if (program->command_count > 0)
        print_commands (program, out);
    print_examples (program, out);
    print_exits (out);
}
