/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - command line, environment and config file of every program
 *
 * schemas/config.schema defines each option once; struct mu_coordinator_options,
 * mu_worker_options and mu_client_options and the programs' tables are generated from there
 * (options_table.h). Use:
 *
 *     struct mu_worker_options options = { 0 };
 *     struct mu_operands operands;
 *     int result = mu_options_parse (&mu_worker_program, &options, argc, argv, &operands, &error);
 *     if (result != 0)
 *         return mu_options_exit (&mu_worker_program, result, &error);
 *     ...
 *     mu_options_clear (&mu_worker_program, &options);
 *
 * What is said nearer wins: command line, environment, config file, default. A list given nearer
 * replaces the whole list. An empty environment variable counts as not there.
 *
 * Config files: /etc/muster/config, then over it $XDG_CONFIG_HOME/muster/config (~/.config where
 * that is not set); with --config, or MUSTER_CONFIG, that file alone. Lines `key = value` or
 * `key: value`; # begins a comment; a list has commas. What stands before the first [section] is
 * for every program that has such an option, what stands in [coordinator], [worker] or [client] for
 * one. An unknown key is an error that names the nearest.
 *
 * Ownership: the options' texts belong to the struct. Operands point into argv. */
#ifndef MU_OPTIONS_H
#define MU_OPTIONS_H

#include "options_table.h"

#define MU_OPTIONS_CONFIG_SIZE_MAX 65536u
#define MU_OPTIONS_MAX             64u  /* of a program and one command together */
#define MU_OPERANDS_MAX            256u /* arguments that are no options */

struct mu_option {
    struct mu_entry entry;
    char letter;             /* 0: none */
    const char *argument;    /* what help calls its argument; NULL: it takes none */
    const char *environment; /* NULL: cannot be set there, nor in a config file */
};

struct mu_command {
    const char *name; /* one word, or two: "data inspect" */
    const char *arguments;
    const char *meaning;
    unsigned operands_min, operands_max;
    const struct mu_option *options;
    size_t option_count;
    unsigned number; /* enum mu_client_command, for switch */
};

struct mu_example {
    const char *line, *meaning;
};

struct mu_program {
    const char *name;
    const char *section; /* in config files */
    const char *usage;   /* what follows the options */
    const char *meaning;
    unsigned operands_min, operands_max; /* where there are no commands */
    const struct mu_option *options;
    size_t option_count;
    const struct mu_command *commands;
    size_t command_count;
    const struct mu_example *examples;
    size_t example_count;
};

struct mu_operands {
    const struct mu_command *command; /* NULL where there are none */
    const char *item[MU_OPERANDS_MAX];
    size_t count;
};

/* Fill `options`, the program's generated struct, from all sources; what it held before is freed.
 * Returns 0; 1 when --help or --version was asked for and has been printed; or -1 with USAGE (a
 * wrong command line) or CONFIG (a wrong environment or config file), nothing to clear. */
int mu_options_parse (const struct mu_program *program, void *options, int argc, char **argv,
                      struct mu_operands *operands, struct mu_error *error);

/* The exit status after mu_options_parse () returned other than 0; tells an error on stderr. */
int mu_options_exit (const struct mu_program *program, int result, const struct mu_error *error);

void mu_options_clear (const struct mu_program *program, void *options);

/* Print the help of the program, or of one of its commands. */
void mu_options_help (const struct mu_program *program, const struct mu_command *command,
                      FILE *out);

/* The state folder where --dir was not given: /var/lib/muster for root, else
 * $XDG_DATA_HOME/muster or ~/.local/share/muster. To be freed; NULL with an error when there is
 * neither, or no memory. */
char *mu_options_state_dir (struct mu_error *error);

#endif
