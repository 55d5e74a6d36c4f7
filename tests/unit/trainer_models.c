/* SPDX-License-Identifier: Apache-2.0 */
/* trainer_models.c - the models that gpt and mlp are tested with, and the records that they learn from */
#include "trainer_models.h"

#include <stdlib.h>

const struct muster_records tiny_text = { .size = sizeof tiny_text, .tokens = 6, .vocabulary = 11 };
const struct muster_records text = { .size = sizeof text, .tokens = 71, .vocabulary = 97 };
const struct muster_records tiny_table = { .size = sizeof tiny_table, .features = 6, .classes = 4 };
const struct muster_records table = { .size = sizeof table, .features = 83, .classes = 10 };

const struct muster_math *math (void)
{
    const struct mu_kernels *kernels = mu_kernels_get (NULL, NULL);
    assert_non_null (kernels);
    return &kernels->math;
}

const struct trainer_model model[MODELS] = {
    { &mu_trainer_gpt, &text, "layers=2 heads=3 channels=42" },
    { &mu_trainer_gpt, &text, "layers=2 heads=2 channels=32 dropout=0.1 vocabulary=100" },
    { &mu_trainer_mlp, &table, "hidden=61,33" },
    { &mu_trainer_mlp, &table, "hidden=61,33 dropout=0.2" },
};

struct bed open_model (size_t i, const struct muster_math *arithmetic)
{
    return bed_open (model[i].trainer, model[i].records, model[i].settings, 5, arithmetic, 4);
}

double **doubles_of (const struct bed *bed)
{
    double **weights = calloc (bed->count, sizeof *weights);
    for (uint32_t i = 0; i < bed->count; i++) {
        size_t elements = bed_elements (&bed->tensors[i]);
        weights[i] = calloc (elements, sizeof (double));
        for (size_t j = 0; j < elements; j++)
            weights[i][j] = (double)bed->weights[i][j];
    }
    return weights;
}

void free_doubles (const struct bed *bed, double **weights)
{
    for (uint32_t i = 0; i < bed->count; i++)
        free (weights[i]);
    free (weights);
}
