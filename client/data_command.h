/* SPDX-License-Identifier: Apache-2.0 */
/* data_command.h - `muster data inspect` and `muster data tokenize`
 *
 * mu_data_command () is the whole command with options of its own; the other two are what it does
 * once options are known, for a caller that has parsed them. All print results to standard output,
 * progress and problems to standard error, and return an exit status. */
#ifndef CLIENT_DATA_COMMAND_H
#define CLIENT_DATA_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/data/data.h"

/* argv[0] is "data", argv[1] the subcommand. */
int mu_data_command (int argc, char **argv);

/* Sets the specification's progress if standard error is a terminal. */
int mu_data_command_inspect (struct mu_data_spec *spec, bool json);

struct mu_data_tokenizing {
    const char *output;   /* the shard to write; NULL: none */
    const char *save;     /* the tokenizer to write; NULL with `vocabulary`: OUTPUT.bpe */
    uint32_t vocabulary;  /* train a tokenizer of so many tokens first; 0: use the spec's */
    uint64_t train_bytes; /* on no more of the text than this; 0: all */
};
int mu_data_command_tokenize (struct mu_data_spec *spec, const struct mu_data_tokenizing *what,
                              bool json);

#endif
