/* SPDX-License-Identifier: Apache-2.0 */
/* gpt_checkpoint.c - a small gpt model as a checkpoint, or from one; what check_hf.py drives
 *
 *     gpt_checkpoint write DIR     write a checkpoint of random weights below DIR
 *     gpt_checkpoint load PATH     take weights from PATH, a file or folder
 *
 * Both print one JSON object: the checkpoint's path, the weights' hash, and the logits after the
 * tokens 0, 7, 14, ... 105. */
#include "tests/unit/trainer_bed.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/kernels/kernels.h"
#include "worker/trainers/builtin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY 256
#define CONTEXT    32
#define TOKENS     16

static _Noreturn void stop (const char *text)
{
    fprintf (stderr, "gpt_checkpoint: %s\n", text);
    exit (1);
}

static struct mu_state *make_state (const struct bed *bed)
{
    struct mu_error error;
    size_t size = mu_state_size (bed->tensors, bed->count, &error);
    void *memory = size ? aligned_alloc (64, size) : NULL;
    struct mu_state *state =
        memory ? mu_state_lay_out (memory, size, bed->tensors, bed->count, &error) : NULL;
    if (!state)
        stop ("no state");
    for (uint32_t i = 0; i < bed->count; i++)
        memcpy (mu_state_weights (state) + mu_state_table (state)[i].first, bed->weights[i],
                bed_elements (&bed->tensors[i]) * sizeof (float));
    return state;
}

static void write_checkpoint (const char *directory, const struct bed *bed,
                              const struct mu_state *state, char path[PATH_MAX])
{
    char config[4096];
    struct mu_error error;
    struct mu_checkpoint_saved saved;
    const struct mu_checkpoint_job job = { .id = "1",
                                           .name = "check",
                                           .spec = "{}",
                                           .trainer = "gpt",
                                           .data = "none",
                                           .compute_class = "portable",
                                           .config = config };
    if (bed->trainer->config_json (bed->model, config, sizeof config) >= sizeof config)
        stop ("config.json is too long");
    if (mu_checkpoint_write (directory, state, bed->tensors, &job, &saved, &error) < 0)
        stop (error.text);
    strcpy (path, saved.path);
}

static void print_result (const struct bed *bed, const struct mu_state *state, const char *path)
{
    int32_t tokens[TOKENS];
    float logits[VOCABULARY];
    const float **weights = calloc (bed->count, sizeof *weights);
    struct muster_problem problem;
    if (!weights)
        stop ("no memory");
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = 7 * i;
    mu_state_pointers_const (state, mu_state_weights_const (state), weights);
    if (bed->trainer->next_token (bed->model, weights, tokens, TOKENS, bed->workspace, logits,
                                  &problem))
        stop (problem.text);
    uint8_t hash[MU_STATE_HASH_SIZE];
    char text[MU_STATE_HASH_TEXT];
    mu_state_hash (state, hash);
    mu_state_hash_text (hash, text);
    printf ("{\"path\": \"%s\", \"weights_hash\": \"%s\", \"logits\": [", path, text);
    for (int i = 0; i < VOCABULARY; i++)
        printf ("%s%.9g", i ? ", " : "", (double)logits[i]);
    printf ("]}\n");
    free (weights);
}

int main (int argc, char **argv)
{
    if (argc != 3)
        stop ("usage: gpt_checkpoint write DIR | load PATH");
    const struct muster_records records = { .size = sizeof records,
                                            .tokens = CONTEXT + 1,
                                            .vocabulary = VOCABULARY };
    const struct mu_kernels *kernels = mu_kernels_get (NULL, NULL);
    struct bed bed =
        bed_open (&mu_trainer_gpt, &records, "layers=2 heads=4 channels=64", 1, &kernels->math, 1);
    struct mu_state *state = make_state (&bed);
    char path[PATH_MAX] = "";
    struct mu_error error;
    if (strcmp (argv[1], "write") == 0)
        write_checkpoint (argv[2], &bed, state, path);
    else if (mu_checkpoint_load_weights (argv[2], state, bed.tensors, &error) < 0)
        stop (error.text);
    print_result (&bed, state, path);
    free (state);
    bed_close (&bed);
    return 0;
}
