/* SPDX-License-Identifier: Apache-2.0 */
/* sample.c - `muster sample`: text from a checkpoint, as it comes */
#include "command.h"

#include "worker/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With -o json the whole text is gathered first. */
struct gathered {
    char *text;
    size_t size;
    const char *prompt; /* not yet printed; nothing is, before the checkpoint has opened */
};

static void print_prompt (struct gathered *gathered)
{
    if (gathered->prompt)
        fputs (gathered->prompt, stdout);
    gathered->prompt = NULL;
}

static int write_out (void *user, const void *bytes, size_t size)
{
    print_prompt (user);
    return fwrite (bytes, 1, size, stdout) != size || fflush (stdout) ? 1 : 0;
}

static int gather (void *user, const void *bytes, size_t size)
{
    struct gathered *gathered = user;
    char *text = realloc (gathered->text, gathered->size + size + 1);
    if (!text)
        return 1;
    memcpy (text + gathered->size, bytes, size);
    gathered->text = text;
    gathered->size += size;
    return 0;
}

/* JSON holds UTF-8 alone; a byte model may write anything. */
static void print_gathered (const char *prompt, const struct gathered *gathered)
{
    json_t *text = json_stringn (gathered->text ? gathered->text : "", gathered->size);
    if (!text) {
        for (size_t i = 0; i < gathered->size; i++)
            if ((unsigned char)gathered->text[i] >= 0x80)
                gathered->text[i] = '?';
        text = json_stringn (gathered->text, gathered->size);
    }
    json_t *object = json_pack ("{s:s,s:o}", "prompt", prompt ? prompt : "", "text",
                                text ? text : json_string (""));
    json_dumpf (object, stdout, JSON_INDENT (2));
    putchar ('\n');
    json_decref (object);
}

int command_sample (const struct command *command)
{
    struct mu_error error;
    struct gathered gathered = { 0 };
    struct mu_sample_options options = {
        .checkpoint = command->operands->item[0],
        .prompt = command->options->sample.prompt,
        .tokenizer = command->options->sample.tokenizer,
        .tokens = command->options->sample.tokens,
        .temperature = command->options->sample.temperature,
        .top = command->options->sample.top,
        .seed = command->options->sample.seed,
        .write = command->json ? gather : write_out,
        .user = &gathered,
    };
    if (!command->json)
        gathered.prompt = options.prompt;
    int rc = mu_sample (&options, &error);
    if (!rc && command->json) {
        print_gathered (options.prompt, &gathered);
    } else if (!rc) {
        print_prompt (&gathered);
        putchar ('\n');
    }
    free (gathered.text);
    if (!rc)
        return 0;
    int status = command_fail_mu (&error);
    if (error.code == MU_NOT_FOUND)
        fprintf (stderr, "muster: name the folder of a checkpoint; `muster checkpoints JOB` lists "
                         "those of a job\n");
    return status;
}
