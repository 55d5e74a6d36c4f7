/* SPDX-License-Identifier: Apache-2.0 */
/* bench_gpt.c - tokens per second of one thread in gpt's gradient (), for each instruction set
 *
 * usage: bench_gpt [ROUNDS [KEY=VALUE ...]]
 * Default: 4 layers, 256 channels, 4 heads, 128 tokens, 8 records, 256 different tokens. Besides
 * gpt's own settings, `tokens`, `records` and `bytes` (the vocabulary) set the data's shape, and
 * `sets` says how many instruction sets take part, best first (all but the last, "plain"). CPU
 * time, the median of ROUNDS calls after one that is not counted: on a busy machine CPU time still
 * means something. The instruction sets take turns, so that they see the same machine. */
#include "tests/unit/trainer_bed.h"
#include "worker/kernels/kernels.h"
#include "worker/trainers/builtin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS_MAX 1000
#define SETS_MAX   8

static double cpu_seconds (void)
{
    struct timespec now;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int ascending (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Floating-point operations of one call, as usually counted: six a weight and token in the matrix
 * products, the whole attention square. */
static double operations (const struct bed *bed, double layers, double channels)
{
    double weights = 0, length = bed->records.tokens - 1;
    for (uint32_t i = 0; i < bed->count; i++)
        if (i != 1 && bed->tensors[i].dimensions == 2)
            weights += (double)bed_elements (&bed->tensors[i]);
    return (6 * weights + 12 * layers * channels * length) * length * bed->batch.records;
}

int main (int argc, char **argv)
{
    static double seconds[SETS_MAX][ROUNDS_MAX];
    struct muster_records records = { .size = sizeof records, .tokens = 129, .vocabulary = 256 };
    uint32_t batch = 8, sets = 0;
    char settings[256] = "";
    long rounds = argc > 1 ? strtol (argv[1], NULL, 10) : 9;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    while (sets < SETS_MAX && mu_kernels_available (sets + 1))
        sets++;
    for (int i = 2; i < argc; i++) {
        unsigned number;
        if (sscanf (argv[i], "tokens=%u", &number) == 1)
            records.tokens = number + 1;
        else if (sscanf (argv[i], "bytes=%u", &number) == 1)
            records.vocabulary = number;
        else if (sscanf (argv[i], "records=%u", &number) == 1)
            batch = number;
        else if (sscanf (argv[i], "sets=%u", &number) == 1)
            sets = number < SETS_MAX ? number : SETS_MAX;
        else
            snprintf (settings + strlen (settings), sizeof settings - strlen (settings), "%s ",
                      argv[i]);
    }
    struct bed bed[SETS_MAX];
    for (uint32_t i = 0; i < sets; i++) {
        const struct mu_kernels *kernels = mu_kernels_get (mu_kernels_available (i), NULL);
        bed[i] = bed_open (&mu_trainer_gpt, &records, settings, batch, &kernels->math, 1);
    }
    for (long round = -1; round < rounds; round++)
        for (uint32_t i = 0; i < sets; i++) {
            double start = cpu_seconds ();
            bed_gradient (&bed[i]);
            if (round >= 0)
                seconds[i][round] = cpu_seconds () - start;
        }
    for (uint32_t i = 0; i < sets; i++) {
        double tokens = (double)batch * (records.tokens - 1);
        double channels = (double)bed[i].tensors[0].dimension[1], layers = (bed[i].count - 4) / 12;
        qsort (seconds[i], (size_t)rounds, sizeof (double), ascending);
        double median = seconds[i][rounds / 2];
        printf (
            "%-8s %8.2f ms CPU (least %.2f)  %7.0f tokens/s  %6.1f GFLOP/s  workspace %.0f MiB  "
            "gradient %016llx\n",
            mu_kernels_available (i), median * 1e3, seconds[i][0] * 1e3, tokens / median,
            operations (&bed[i], layers, channels) / median / 1e9,
            (double)bed[i].trainer->workspace (bed[i].model) / 1048576,
            (unsigned long long)bed_hash (&bed[i]));
        bed_close (&bed[i]);
    }
    return 0;
}
