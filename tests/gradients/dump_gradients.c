/* SPDX-License-Identifier: Apache-2.0 */
/* dump_gradients.c - one micro-batch's weights, data and gradients as a safetensors file
 *
 * usage: dump_gradients FILE TRAINER ISA MICRO_BATCH TOKENS VOCABULARY FEATURES CLASSES [SETTINGS]
 *
 * For check_torch.py, which computes the same gradients in PyTorch. TOKENS is the length of a
 * record or 0; SETTINGS are "key=value key=value". Dropout is off: its choices are nobody else's.
 * The names are weights/NAME, gradients/NAME, and tokens, or features and labels; the loss is in
 * the metadata. */
#include "tests/unit/trainer_bed.h"
#include "worker/kernels/kernels.h"
#include "worker/trainers/loader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dump {
    FILE *file;
    char *header;
    size_t header_size, data_size;
    FILE *names; /* writes to header */
};

static void announce (struct dump *dump, const char *group, const char *name, const char *type,
                      const uint64_t *dimension, uint32_t dimensions)
{
    size_t elements = 1;
    fprintf (dump->names, ",\"%s%s\":{\"dtype\":\"%s\",\"shape\":[", group, name, type);
    for (uint32_t i = 0; i < dimensions; i++) {
        fprintf (dump->names, "%s%" PRIu64, i ? "," : "", dimension[i]);
        elements *= (size_t)dimension[i];
    }
    fprintf (dump->names, "],\"data_offsets\":[%zu,%zu]}", dump->data_size,
             dump->data_size + 4 * elements);
    dump->data_size += 4 * elements;
}

static void announce_all (struct dump *dump, const struct bed *bed)
{
    static const char *const group[] = { "weights/", "gradients/" };
    const uint64_t tokens[] = { bed->batch.records, bed->records.tokens };
    const uint64_t features[] = { bed->batch.records, bed->records.features };
    for (size_t g = 0; g < 2; g++)
        for (uint32_t i = 0; i < bed->count; i++)
            announce (dump, group[g], bed->tensors[i].name, "F32", bed->tensors[i].dimension,
                      bed->tensors[i].dimensions);
    if (bed->batch.tokens) {
        announce (dump, "", "tokens", "I32", tokens, 2);
    } else {
        announce (dump, "", "features", "F32", features, 2);
        announce (dump, "", "labels", "I32", features, 1);
    }
}

static void write_all (struct dump *dump, const struct bed *bed)
{
    float *const *const group[] = { bed->weights, bed->gradients };
    size_t records = bed->batch.records;
    for (size_t g = 0; g < 2; g++)
        for (uint32_t i = 0; i < bed->count; i++)
            fwrite (group[g][i], 4, bed_elements (&bed->tensors[i]), dump->file);
    if (bed->batch.tokens) {
        fwrite (bed->batch.tokens, 4, records * bed->records.tokens, dump->file);
    } else {
        fwrite (bed->batch.features, 4, records * bed->records.features, dump->file);
        fwrite (bed->batch.labels, 4, records, dump->file);
    }
}

static int dump_to (const char *path, const struct bed *bed, double loss)
{
    struct dump dump = { .file = fopen (path, "wb") };
    dump.names = open_memstream (&dump.header, &dump.header_size);
    if (!dump.file || !dump.names) {
        fprintf (stderr, "%s cannot be written\n", path);
        return 1;
    }
    fprintf (dump.names, "{\"__metadata__\":{\"loss\":\"%.17g\"}", loss);
    announce_all (&dump, bed);
    fputc ('}', dump.names);
    fflush (dump.names);
    while (dump.header_size % 8) {
        fputc (' ', dump.names);
        fflush (dump.names);
    }
    fclose (dump.names);
    uint64_t size = dump.header_size;
    fwrite (&size, sizeof size, 1, dump.file);
    fwrite (dump.header, 1, dump.header_size, dump.file);
    write_all (&dump, bed);
    free (dump.header);
    return fclose (dump.file) != 0;
}

static uint32_t number (const char *text) { return (uint32_t)strtoul (text, NULL, 10); }

int main (int argc, char **argv)
{
    if (argc < 9) {
        fprintf (stderr, "usage: dump_gradients FILE TRAINER ISA MICRO_BATCH TOKENS VOCABULARY "
                         "FEATURES CLASSES [SETTINGS]\n");
        return 64;
    }
    struct mu_error error;
    const struct muster_trainer *trainer;
    void *handle;
    const struct mu_kernels *kernels = mu_kernels_get (*argv[3] ? argv[3] : NULL, &error);
    if (!kernels || mu_trainer_find (argv[2], &trainer, &handle, &error)) {
        fprintf (stderr, "%s\n", error.text);
        return mu_code_exit ((int)error.code);
    }
    const struct muster_records records = {
        .size = sizeof records,
        .tokens = number (argv[5]),
        .vocabulary = number (argv[6]),
        .features = number (argv[7]),
        .classes = number (argv[8]),
    };
    struct bed bed = bed_open (trainer, &records, argc > 9 ? argv[9] : NULL, number (argv[4]),
                               &kernels->math, 7);
    bed.batch.training = 0;
    struct muster_result result = bed_gradient (&bed);
    int status = dump_to (argv[1], &bed, result.loss);
    bed_close (&bed);
    mu_trainer_release (&handle);
    return status;
}
