/* SPDX-License-Identifier: Apache-2.0 */
/* sample.h - text from a trained model, straight from a checkpoint's folder
 *
 * Everything is taken from the checkpoint: the trainer, its settings and the tokenizer from the job
 * file in muster.json, the weights from model.safetensors, whose hash is checked. The plug-in and
 * the tokenizer's files must be readable here. One thread; the same options give the same text on
 * every CPU type, but for the C library's exp () in the last step. */
#ifndef MU_SAMPLE_H
#define MU_SAMPLE_H

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define MU_SAMPLE_PROMPT_MAX 65536u /* bytes */

struct mu_sample_options {
    const char *checkpoint; /* a folder with a muster.json */
    const char *prompt;     /* NULL or empty: as after the end of a text */
    const char *tokenizer;  /* as in a job file; NULL: the job's */
    uint64_t tokens;        /* to generate; fewer if the model ends the text */
    double temperature;     /* 0: always the likeliest */
    uint64_t top;           /* choose among the so many likeliest; 0: among all */
    uint64_t seed;
    /* Takes the text as it comes, token by token, without the prompt; a piece may end within a
     * UTF-8 character. Non-zero ends the sampling, successfully. */
    int (*write) (void *user, const void *bytes, size_t size);
    void *user;
};

/* BAD_INPUT: the trainer writes no text, a file is torn; NO_INPUT: there is no such checkpoint. */
int mu_sample (const struct mu_sample_options *options, struct mu_error *error);

#endif
