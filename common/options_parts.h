/* SPDX-License-Identifier: Apache-2.0 */
/* options_parts.h - what the files of options have between them; nobody else includes it */
#ifndef MU_OPTIONS_PARTS_H
#define MU_OPTIONS_PARTS_H

#include "options.h"

/* One source of settings, on its way into the struct: a list is emptied by the first item that a
 * source has for it, so that sources replace one another. */
struct mu_option_source {
    const struct mu_program *program;
    void *options;
    bool begun[MU_OPTIONS_MAX]; /* which of the program's own lists this source has replaced */
};

/* Read `text` into an option, units understood. The error lacks its subject, as of mu_entry_set ().
 */
int mu_option_set (struct mu_option_source *source, const struct mu_option *option,
                   const char *text, struct mu_error *error);

/* options_config.c: read the config files over what is there. `named` is --config's file, or NULL.
 */
int mu_options_read_config (const struct mu_program *program, void *options, const char *named,
                            struct mu_error *error);

/* The option of this name, - and _ alike, that can be set in the environment; or NULL. */
const struct mu_option *mu_options_find (const struct mu_program *program, const char *name);

#endif
