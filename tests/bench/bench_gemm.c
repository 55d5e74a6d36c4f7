/* SPDX-License-Identifier: Apache-2.0 */
/* bench_gemm.c - the order-fixed matrix product against OpenBLAS's, side by side in one run
 *
 *     bench_gemm
 *
 * The shapes are those of one training step of `gpt` (4 layers, 256 channels, 4 heads, 128 context,
 * batch 8, 256 tokens in the vocabulary) on one thread, each as often as the step has it. Each
 * instruction set meets the OpenBLAS kernels written for it: avx512 SkylakeX, avx2 Haswell.
 * OpenBLAS chooses at load, by OPENBLAS_CORETYPE; so the program runs itself once for each.
 *
 * Rounds alternate between the two; the median of the thread's CPU time counts, and a ratio of 1 is
 * OpenBLAS's rate. Exit 1 if a whole step is below 0.85. */
#include "worker/kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENOUGH 0.85
enum { ROUNDS = 31, LAYERS = 4, HEADS = 8 * 4 };

static const struct shape {
    const char *what;
    bool a_transposed, b_transposed;
    size_t m, n, k, lda, ldb, ldc;
    unsigned in_step;
} shapes[] = {
    { "qkv", 0, 0, 1024, 768, 256, 256, 768, 768, LAYERS },
    { "qkv, to weights", 1, 0, 256, 768, 1024, 256, 768, 768, LAYERS },
    { "qkv, to input", 0, 1, 1024, 256, 768, 768, 768, 256, LAYERS },
    { "projection, vocabulary to input", 0, 0, 1024, 256, 256, 256, 256, 256, LAYERS + 1 },
    { "projection, vocabulary to weights", 1, 0, 256, 256, 1024, 256, 256, 256, LAYERS + 1 },
    { "vocabulary, projection to input", 0, 1, 1024, 256, 256, 256, 256, 256, LAYERS + 1 },
    { "widening", 0, 0, 1024, 1024, 256, 256, 1024, 1024, LAYERS },
    { "widening, to weights", 1, 0, 256, 1024, 1024, 256, 1024, 1024, LAYERS },
    { "widening, to input", 0, 1, 1024, 256, 1024, 1024, 1024, 256, LAYERS },
    { "narrowing", 0, 0, 1024, 256, 1024, 1024, 256, 256, LAYERS },
    { "narrowing, to weights", 1, 0, 1024, 256, 1024, 1024, 256, 256, LAYERS },
    { "narrowing, to input", 0, 1, 1024, 1024, 256, 256, 256, 1024, LAYERS },
    { "head: q k^T", 0, 1, 128, 128, 64, 768, 768, 128, LAYERS *HEADS },
    { "head: p v", 0, 0, 128, 64, 128, 128, 768, 256, LAYERS *HEADS },
    { "head: dy v^T", 0, 1, 128, 128, 64, 256, 768, 128, LAYERS *HEADS },
    { "head: p^T dy", 1, 0, 128, 64, 128, 128, 256, 768, LAYERS *HEADS },
    { "head: dp k", 0, 0, 128, 64, 128, 128, 768, 768, LAYERS *HEADS },
    { "head: dp^T q", 1, 0, 128, 64, 128, 128, 768, 768, LAYERS *HEADS },
};

enum { FLOATS = 1024 * 1024 };
static float a[FLOATS], b[FLOATS], c[FLOATS];

static double cpu_seconds (void)
{
    struct timespec now;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double time_once (const struct muster_math *math, const struct shape *s)
{
    int repeats = (int)(2e8 / (2. * (double)(s->m * s->n * s->k))) + 1;
    double start = cpu_seconds ();
    for (int i = 0; i < repeats; i++)
        math->gemm (s->a_transposed, s->b_transposed, s->m, s->n, s->k, a, s->lda, b, s->ldb, false,
                    c, s->ldc);
    return (cpu_seconds () - start) / repeats;
}

static int compare (const void *x, const void *y)
{
    double first = *(const double *)x, second = *(const double *)y;
    return (first > second) - (first < second);
}

static void measure (const struct muster_math *const math[2], const struct shape *s,
                     double median[2])
{
    double seconds[2][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int which = 0; which < 2; which++)
            seconds[which][round] = time_once (math[which], s);
    for (int which = 0; which < 2; which++) {
        qsort (seconds[which], ROUNDS, sizeof (double), compare);
        median[which] = seconds[which][ROUNDS / 2];
    }
}

/* The table of one set; 0 if it reaches enough. */
static int compare_set (const char *isa)
{
    struct mu_error error;
    const struct mu_kernels *own = mu_kernels_get (isa, &error);
    const struct mu_kernels *other = own ? mu_kernels_get ("openblas", &error) : NULL;
    if (!other) {
        fprintf (stderr, "bench_gemm: %s\n", error.text);
        return 1;
    }
    const struct muster_math *const math[2] = { &own->math, &other->math };
    double step[2] = { 0 }, least = 1e9;
    printf ("| %s against %s | op | m | n | k | GFLOP/s | OpenBLAS | ratio |\n", isa,
            other->math.name);
    printf ("| --- | --- | --: | --: | --: | --: | --: | --: |\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *s = &shapes[i];
        double median[2], work = 2e-9 * (double)(s->m * s->n * s->k);
        measure (math, s, median);
        double ratio = median[1] / median[0];
        least = ratio < least ? ratio : least;
        for (int which = 0; which < 2; which++)
            step[which] += median[which] * s->in_step;
        printf ("| %s | %c%c | %zu | %zu | %zu | %.1f | %.1f | %.2f |\n", s->what,
                s->a_transposed ? 'T' : 'N', s->b_transposed ? 'T' : 'N', s->m, s->n, s->k,
                work / median[0], work / median[1], ratio);
    }
    printf ("| a step's products | | | | | %.1f ms | %.1f ms | %.2f |\n", step[0] * 1e3,
            step[1] * 1e3, step[1] / step[0]);
    printf ("\nleast ratio of %s: %.2f\n\n", isa, least);
    return step[1] / step[0] >= ENOUGH ? 0 : 1;
}

static int run_self (const char *self, const char *isa, const char *core)
{
    fflush (stdout);
    pid_t child = fork ();
    if (child == 0) {
        setenv ("OPENBLAS_CORETYPE", core, 1);
        execl (self, self, isa, (char *)NULL);
        perror ("bench_gemm: exec");
        _exit (127);
    }
    int status = 1;
    if (child < 0 || waitpid (child, &status, 0) != child)
        perror ("bench_gemm");
    return status != 0;
}

int main (int argc, char **argv)
{
    for (size_t i = 0; i < FLOATS; i++) {
        a[i] = (float)(i % 1009) / 1009.f - 0.5f;
        b[i] = (float)(i % 997) / 997.f - 0.5f;
    }
    if (argc > 1)
        return compare_set (argv[1]);
    int failed = 0;
    const char *isa;
    for (size_t i = 0; (isa = mu_kernels_available (i)); i++) {
        if (strcmp (isa, "avx512") == 0)
            failed |= run_self ("/proc/self/exe", isa, "SkylakeX");
        else if (strcmp (isa, "avx2") == 0)
            failed |= run_self ("/proc/self/exe", isa, "Haswell");
        else if (strcmp (isa, "neon") == 0)
            failed |= run_self ("/proc/self/exe", isa, "ARMV8");
    }
    return failed;
}
