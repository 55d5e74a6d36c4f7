/* SPDX-License-Identifier: Apache-2.0 */
/* trainer_bed.c - a host in small, for tests */
#include "tests/unit/trainer_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *take (size_t size)
{
    void *memory = aligned_alloc (64, (size + 63) / 64 * 64);
    if (!memory) {
        fprintf (stderr, "no memory for %zu bytes\n", size);
        exit (1);
    }
    memset (memory, 0xff, size);
    return memory;
}

double bed_random (uint64_t seed, uint64_t number)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + (number + 1) * 0xd1342543de82ef95u;
    z = (z ^ (z >> 32)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 29)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 32)) >> 11) * 0x1p-53;
}

uint32_t bed_settings (char *text, struct muster_setting settings[16])
{
    uint32_t count = 0;
    for (char *word = strtok (text, " "); word && count < 16; word = strtok (NULL, " ")) {
        char *value = strchr (word, '=');
        *value = '\0';
        settings[count++] = (struct muster_setting){ word, value + 1 };
    }
    return count;
}

size_t bed_elements (const struct muster_tensor *tensor)
{
    size_t elements = 1;
    for (uint32_t i = 0; i < tensor->dimensions; i++)
        elements *= (size_t)tensor->dimension[i];
    return elements;
}

void bed_batch (struct bed *bed, uint64_t seed)
{
    const struct muster_records *records = &bed->records;
    struct muster_batch *batch = &bed->batch;
    size_t tokens = (size_t)batch->records * records->tokens;
    size_t features = (size_t)batch->records * records->features;
    if (!batch->tokens && !batch->features) {
        batch->tokens = tokens ? take (tokens * sizeof (int32_t)) : NULL;
        batch->features = features ? take (features * sizeof (float)) : NULL;
        batch->labels = features ? take (batch->records * sizeof (int32_t)) : NULL;
    }
    int32_t *token = (int32_t *)(uintptr_t)batch->tokens,
            *label = (int32_t *)(uintptr_t)batch->labels;
    float *feature = (float *)(uintptr_t)batch->features;
    for (size_t i = 0; i < tokens; i++)
        token[i] = (int32_t)(bed_random (seed, i) * records->vocabulary);
    for (size_t i = 0; i < features; i++)
        feature[i] = (float)bed_random (seed, i);
    for (size_t i = 0; features && i < batch->records; i++)
        label[i] = (int32_t)(bed_random (seed + 1, i) * records->classes);
    batch->seed = seed;
}

static void make_weights (struct bed *bed, uint64_t seed)
{
    bed->weights = take (bed->count * sizeof *bed->weights);
    bed->gradients = take (bed->count * sizeof *bed->gradients);
    for (uint32_t i = 0; i < bed->count; i++) {
        size_t elements = bed_elements (&bed->tensors[i]);
        bed->weights[i] = take (elements * sizeof (float));
        bed->gradients[i] = take (elements * sizeof (float));
        bed->trainer->init (bed->model, i, seed, bed->weights[i]);
        for (size_t j = 0; bed->tensors[i].dimensions == 1 && j < elements; j++)
            bed->weights[i][j] += (float)(0.2 * (bed_random (seed + i, j) - 0.5));
    }
}

struct bed bed_open (const struct muster_trainer *trainer, const struct muster_records *records,
                     const char *settings, uint32_t micro_batch, const struct muster_math *math,
                     uint64_t seed)
{
    struct bed bed = { .trainer = trainer, .records = *records };
    struct muster_problem problem = { "" };
    struct muster_setting setting[16];
    char text[256];
    snprintf (text, sizeof text, "%s", settings ? settings : "");
    const struct muster_open open = {
        .size = sizeof open,
        .setting_count = bed_settings (text, setting),
        .settings = setting,
        .records = records,
        .math = math,
        .micro_batch = micro_batch,
    };
    if (trainer->open (&bed.model, &open, &problem)) {
        fprintf (stderr, "%s\n", problem.text);
        exit (1);
    }
    bed.tensors = trainer->tensors (bed.model, &bed.count);
    bed.workspace = take (trainer->workspace (bed.model));
    bed.batch = (struct muster_batch){
        .size = sizeof bed.batch, .records = micro_batch, .step = 3, .micro_batch = 5, .training = 1
    };
    make_weights (&bed, seed);
    bed_batch (&bed, seed);
    return bed;
}

void bed_close (struct bed *bed)
{
    for (uint32_t i = 0; i < bed->count; i++) {
        free (bed->weights[i]);
        free (bed->gradients[i]);
    }
    free (bed->weights);
    free (bed->gradients);
    free (bed->workspace);
    free ((void *)(uintptr_t)bed->batch.tokens);
    free ((void *)(uintptr_t)bed->batch.features);
    free ((void *)(uintptr_t)bed->batch.labels);
    bed->trainer->close (bed->model);
    memset (bed, 0, sizeof *bed);
}

static void must (int failed, const struct muster_problem *problem)
{
    if (failed) {
        fprintf (stderr, "%s\n", problem->text);
        exit (1);
    }
}

struct muster_result bed_gradient (struct bed *bed)
{
    struct muster_result result;
    struct muster_problem problem;
    must (bed->trainer->gradient (bed->model, (const float *const *)bed->weights, &bed->batch,
                                  bed->workspace, bed->gradients, NULL, &result, &problem),
          &problem);
    return result;
}

struct muster_result bed_evaluate (struct bed *bed)
{
    struct muster_result result;
    struct muster_problem problem;
    must (bed->trainer->evaluate (bed->model, (const float *const *)bed->weights, &bed->batch,
                                  bed->workspace, &result, &problem),
          &problem);
    return result;
}

uint64_t bed_hash (const struct bed *bed)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < bed->count; i++)
        for (size_t j = 0; j < bed_elements (&bed->tensors[i]); j++) {
            uint32_t bits;
            memcpy (&bits, &bed->gradients[i][j], sizeof bits);
            hash = (hash ^ bits) * 0x100000001b3u;
        }
    return hash;
}

void bed_fill (struct bed *bed, int byte)
{
    memset (bed->workspace, byte, bed->trainer->workspace (bed->model));
    for (uint32_t i = 0; i < bed->count; i++)
        memset (bed->gradients[i], byte, bed_elements (&bed->tensors[i]) * sizeof (float));
}
