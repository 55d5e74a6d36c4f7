/* SPDX-License-Identifier: Apache-2.0 */
/* test_kernels.c - every instruction set gives the reference's bits
 *
 * A case runs one function of a mu_kernels on a scene: inputs filled from a seed, an output filled
 * the same way beforehand. It is run with the reference and with each set that this CPU has, and
 * the whole outputs, with the floats around the function's own, must be equal. Buffers are 4-byte
 * aligned only. A NaN equals any NaN: its place is fixed, its payload is not. */
#include "tests/unit/kernels_reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { FLOATS = 20000 };

/* What the inputs are: ordinary numbers, any finite magnitude, or any with NaN, inf, subnormals. */
enum kind { ORDINARY, WIDE, ANY, KINDS };

struct scene {
    enum kind kind;
    size_t n;
    size_t used; /* floats of each buffer: what n asks for, and some more */
    uint64_t random;
    float in[4][FLOATS], out[4][FLOATS];
    int32_t targets[FLOATS];
};

static uint64_t draw (uint64_t *random)
{
    uint64_t z = *random += UINT64_C (0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static float ordinary (uint64_t *random)
{
    return (float)((double)(draw (random) >> 11) * 0x1p-50 - 4.);
}

static float number (enum kind kind, uint64_t *random)
{
    static const float special[] = { NAN, INFINITY, -INFINITY, 0.f, -0.f, 1e-42f, -1e-42f, 3e38f };
    uint64_t choice = draw (random);
    if (kind == ANY && choice % 16 == 0)
        return special[choice / 16 % (sizeof special / sizeof *special)];
    if (kind == ORDINARY || choice % 2)
        return ordinary (random);
    return ldexpf (ordinary (random), (int)(choice / 2 % 240) - 120);
}

static void fill (struct scene *s, enum kind kind, size_t n, uint64_t seed)
{
    s->kind = kind;
    s->n = n;
    s->used = 64 + (n > 1000 ? 2 * n : n > 130 || n < 5 ? 5 * n : n * n);
    s->random = seed * 1000003 + n;
    for (int b = 0; b < 4; b++)
        for (size_t i = 0; i < s->used; i++)
            s->in[b][i] = number (kind, &s->random), s->out[b][i] = number (kind, &s->random);
    for (size_t i = 0; i < s->used; i++)
        s->targets[i] = (int32_t)(draw (&s->random) % (n + 2)) - 1; /* some outside 0..n-1 */
}

static bool same (float a, float b) { return memcmp (&a, &b, 4) == 0 || (isnan (a) && isnan (b)); }

static void assert_same (const struct scene *expected, const struct scene *got, const char *isa,
                         const char *what)
{
    for (int b = 0; b < 4; b++)
        for (size_t i = 0; i < expected->used; i++)
            if (!same (expected->out[b][i], got->out[b][i]))
                fail_msg ("%s, %s, n %zu, kind %d: output %d[%zu] is %a, not %a", what, isa,
                          expected->n, (int)expected->kind, b, i, (double)got->out[b][i],
                          (double)expected->out[b][i]);
}

/* --- cases ------------------------------------------------------------------------------------ */

typedef void run_case (const struct mu_kernels *k, struct scene *s);

/* The result of a sum goes where a float or two lie. */
static void put_double (float *to, double x)
{
    to[0] = (float)x;
    to[1] = (float)(x - (double)to[0]);
    to[2] = (float)(x - (double)to[0] - (double)to[1]);
}

static void put_bits (float *to, uint64_t x)
{
    for (int i = 0; i < 4; i++)
        to[i] = (float)(x >> 16 * i & 0xffff);
}

#define A (s->in[0] + 1)
#define B (s->in[1] + 3)
#define C (s->in[2] + 2)
#define X (s->out[0] + 1)
#define Y (s->out[1] + 3)
#define Z (s->out[2] + 2)
#define M (&k->math)

static void run_sum (const struct mu_kernels *k, struct scene *s) { *X = M->sum (A, s->n); }
static void run_dot (const struct mu_kernels *k, struct scene *s) { *X = M->dot (A, B, s->n); }
static void run_max (const struct mu_kernels *k, struct scene *s) { *X = M->max_abs (A, s->n); }
static void run_squares (const struct mu_kernels *k, struct scene *s)
{
    put_double (X, k->sum_squares (A, s->n));
}
static void run_add (const struct mu_kernels *k, struct scene *s) { M->add (X, A, s->n); }
static void run_scale (const struct mu_kernels *k, struct scene *s) { M->scale (X, *A, s->n); }
static void run_exp (const struct mu_kernels *k, struct scene *s)
{
    M->scale (A, 30.f, s->n);
    M->exp (X, A, s->n);
}
static void run_tanh (const struct mu_kernels *k, struct scene *s) { M->tanh (X, A, s->n); }
static void run_relu (const struct mu_kernels *k, struct scene *s) { M->relu (X, s->n); }
static void run_relu_b (const struct mu_kernels *k, struct scene *s)
{
    M->relu_backward (X, A, s->n);
}
static void run_gelu (const struct mu_kernels *k, struct scene *s) { M->gelu (X, A, s->n); }
static void run_gelu_b (const struct mu_kernels *k, struct scene *s)
{
    M->gelu_backward (X, A, s->n);
}
static void run_gelu_keep (const struct mu_kernels *k, struct scene *s)
{
    M->gelu_keep (X, Y, s->n);
}
static void run_multiply (const struct mu_kernels *k, struct scene *s) { M->multiply (X, A, s->n); }
static void run_dropout (const struct mu_kernels *k, struct scene *s)
{
    M->dropout (X, s->n, 0.3f, s->random);
}

static size_t rows_of (const struct scene *s) { return s->n > 1000 ? 2 : 5; }

static void run_bias (const struct mu_kernels *k, struct scene *s)
{
    M->bias_add (X, A, rows_of (s), s->n);
    M->bias_gradient (Y, B, rows_of (s), s->n);
}

static void run_layernorm (const struct mu_kernels *k, struct scene *s)
{
    M->layernorm (X, Y, A, B, C, rows_of (s), s->n, 1e-5f);
}

static void run_layernorm_b (const struct mu_kernels *k, struct scene *s)
{
    float *scratch = s->in[3];
    M->layernorm_backward (X, Y, Z, A, B, s->out[3] + 1, C, scratch, rows_of (s), s->n);
}

static size_t square_of (const struct scene *s) { return s->n < 130 ? s->n : 130; }

static void run_softmax (const struct mu_kernels *k, struct scene *s)
{
    M->softmax_causal (X, square_of (s), 0.3f);
}

static void run_softmax_b (const struct mu_kernels *k, struct scene *s)
{
    M->softmax_causal_backward (X, A, square_of (s), 0.3f);
}

static void run_cross_entropy (const struct mu_kernels *k, struct scene *s)
{
    double loss;
    uint64_t correct;
    M->cross_entropy (X, s->targets, rows_of (s), s->n, 0.01f, &loss, &correct);
    put_double (Y, loss);
    put_bits (Z, correct);
}

static void run_adamw (const struct mu_kernels *k, struct scene *s)
{
    struct mu_adamw constants = { 1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.19f, 0.0975f, 0.7f };
    k->adamw (X, Y, Z, A, s->n, &constants);
}

static void run_quantise (const struct mu_kernels *k, struct scene *s)
{
    static uint32_t sums[FLOATS];
    for (size_t i = 0; i < s->n; i++)
        sums[i] = (uint32_t)(i * i) << 20;
    for (int scale = 5; scale <= 28; scale++) /* |A| <= 4, so up to 2^30 */
        k->quantise_add (sums, A, s->n, ldexpf (1, scale));
    put_bits (Y, k->checksum (sums, s->n, s->random));
    for (size_t i = 0; i < s->n; i++)
        X[i] = (float)(sums[i] % 65521);
    static int32_t totals[FLOATS];
    memcpy (totals, sums, sizeof totals);
    k->dequantise (Z, totals, s->n, 0.37f);
}

static void run_quantise64 (const struct mu_kernels *k, struct scene *s)
{
    static uint64_t sums[FLOATS];
    for (size_t i = 0; i < s->n; i++)
        sums[i] = (uint64_t)(i * i) << 40;
    for (int scale = 5; scale <= 60; scale += 5)
        k->quantise_add64 (sums, A, s->n, ldexp (1, scale));
    put_bits (Y, k->checksum64 (sums, s->n, s->random));
    for (size_t i = 0; i < s->n; i++)
        X[i] = (float)(sums[i] % 65521);
    static int64_t totals[FLOATS];
    memcpy (totals, sums, sizeof totals);
    k->dequantise64 (Z, totals, s->n, 0.37);
}

static const struct {
    const char *name;
    run_case *run;
    enum kind last_kind;
    size_t most; /* n that fits the buffers */
} cases[] = {
    { "sum", run_sum, ANY, 9000 },
    { "dot", run_dot, ANY, 9000 },
    { "max_abs", run_max, ANY, 9000 },
    { "sum_squares", run_squares, ANY, 9000 },
    { "add", run_add, ANY, 9000 },
    { "multiply", run_multiply, ANY, 9000 },
    { "scale", run_scale, ANY, 9000 },
    { "exp", run_exp, ANY, 9000 },
    { "tanh", run_tanh, ANY, 9000 },
    { "relu", run_relu, ANY, 9000 },
    { "relu_backward", run_relu_b, ANY, 9000 },
    { "gelu", run_gelu, ANY, 9000 },
    { "gelu_backward", run_gelu_b, ANY, 9000 },
    { "gelu_keep", run_gelu_keep, ANY, 9000 },
    { "dropout", run_dropout, ANY, 9000 },
    { "bias", run_bias, ANY, 9000 },
    { "layernorm", run_layernorm, ANY, 9000 },
    { "layernorm_backward", run_layernorm_b, ANY, 9000 },
    { "softmax_causal", run_softmax, ANY, 130 },
    { "softmax_causal_backward", run_softmax_b, ANY, 130 },
    { "cross_entropy", run_cross_entropy, ANY, 9000 },
    { "adamw", run_adamw, ANY, 9000 },
    { "quantise", run_quantise, ORDINARY, 9000 },
    { "quantise64", run_quantise64, ORDINARY, 9000 },
};

static size_t next_size (size_t n)
{
    static const size_t sizes[] = { 96, 127, 128, 129, 130, 1000, 4096, 4097, 9000, 0 };
    size_t i = 0;
    while (n >= 70 && sizes[i] && sizes[i] <= n)
        i++;
    return n < 70 ? n + 1 : sizes[i];
}

static void compare_sets (size_t c, enum kind kind, size_t n)
{
    static struct scene start, expected, got;
    const char *isa;
    fill (&start, kind, n, c);
    expected = start;
    cases[c].run (&mu_reference_kernels, &expected);
    for (size_t i = 0; (isa = mu_kernels_available (i)); i++) {
        got = start;
        cases[c].run (mu_kernels_get (isa, NULL), &got);
        assert_same (&expected, &got, isa, cases[c].name);
    }
}

static void test_every_set_gives_the_references_bits (void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (enum kind kind = 0; kind <= cases[c].last_kind; kind++)
            for (size_t n = 1; n && n <= cases[c].most; n = next_size (n))
                compare_sets (c, kind, n);
}

static void test_nothing_is_done_to_nothing (void **state)
{
    (void)state;
    static struct scene expected, got;
    const char *isa;
    for (size_t i = 0; (isa = mu_kernels_available (i)); i++) {
        const struct mu_kernels *k = mu_kernels_get (isa, NULL);
        fill (&expected, ORDINARY, 0, 1);
        fill (&got, ORDINARY, 0, 1);
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
            if (cases[c].run == run_add || cases[c].run == run_exp || cases[c].run == run_gelu ||
                cases[c].run == run_adamw || cases[c].run == run_dropout)
                cases[c].run (k, &got);
        assert_same (&expected, &got, isa, "n = 0");
        assert_true (k->math.sum (NULL, 0) == 0.f && k->math.dot (NULL, NULL, 0) == 0.f);
        assert_true (k->math.max_abs (NULL, 0) == 0.f && k->sum_squares (NULL, 0) == 0.);
        assert_true (k->checksum (NULL, 0, 7) == 0 && k->checksum64 (NULL, 0, 7) == 0);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_set_gives_the_references_bits),
        cmocka_unit_test (test_nothing_is_done_to_nothing),
    };
    return cmocka_run_group_tests_name ("kernels", tests, NULL, NULL);
}
