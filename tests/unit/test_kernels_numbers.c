/* SPDX-License-Identifier: Apache-2.0 */
/* test_kernels_numbers.c - what the kernels' numbers mean: accuracy, exactness, chance, detection
 *
 * test_kernels.c shows that all sets agree; this shows that what they agree on is right, against
 * libm in higher precision and against plain integers, and that it is what it was in earlier
 * releases and on other architectures. */
#include "worker/kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EACH_SET(k)                                                                                \
    const struct mu_kernels *k;                                                                    \
    const char *isa;                                                                               \
    for (size_t set = 0; (isa = mu_kernels_available (set)) && (k = mu_kernels_get (isa, NULL));   \
         set++)

enum { COUNT = 5000 };

static uint64_t random_state = 1;

static uint64_t draw (void)
{
    random_state = random_state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
    return random_state ^ random_state >> 33;
}

/* --- ordinary functions ----------------------------------------------------------------------- */

static double relative (double got, double expected)
{
    return expected == 0. ? fabs (got) : fabs (got - expected) / fabs (expected);
}

static double gelu_of (double x)
{
    return x / (1. + exp (-2. * sqrt (2. / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

static void test_functions_are_as_accurate_as_they_say (void **state)
{
    (void)state;
    static float x[COUNT], e[COUNT], t[COUNT], g[COUNT], d[COUNT];
    EACH_SET (k)
    {
        for (double low = -88.; low < 88.; low += 4.) {
            for (size_t i = 0; i < COUNT; i++)
                x[i] = (float)(low + 4. * (double)i / COUNT), d[i] = 1.f;
            k->math.exp (e, x, COUNT);
            k->math.tanh (t, x, COUNT);
            k->math.gelu (g, x, COUNT);
            k->math.gelu_backward (d, x, COUNT);
            for (size_t i = 0; i < COUNT; i++) {
                double at = (double)x[i], h = 1e-5;
                if (at > -87.33)
                    assert_true (relative ((double)e[i], exp (at)) < 3e-7);
                assert_true (relative ((double)t[i], tanh (at)) < 3e-7);
                assert_true (fabs ((double)g[i] - gelu_of (at)) < 3e-7 * fmax (1., fabs (at)));
                double slope = (gelu_of (at + h) - gelu_of (at - h)) / (2. * h);
                assert_true (fabs ((double)d[i] - slope) < 1e-6);
            }
        }
    }
}

static void test_functions_at_their_ends (void **state)
{
    (void)state;
    const float x[] = { NAN, INFINITY, -INFINITY, 88.7f, 88.8f, -87.3f, -87.4f, 0.f, -0.f, 1e-30f };
    float e[10], t[10], g[10];
    EACH_SET (k)
    {
        k->math.exp (e, x, 10);
        k->math.tanh (t, x, 10);
        k->math.gelu (g, x, 10);
        assert_true (isnan (e[0]) && isnan (t[0]) && isnan (g[0]));
        assert_true (isinf (e[1]) && t[1] == 1.f && isinf (g[1]));
        assert_true (e[2] == 0.f && t[2] == -1.f && isnan (g[2]));
        assert_true (isfinite (e[3]) && isinf (e[4]) && e[5] > 0.f && e[6] == 0.f);
        assert_true (e[7] == 1.f && t[7] == 0.f && g[7] == 0.f && signbit (t[8]) && t[9] == 1e-30f);
        float edge[] = { 1.f, 1.f, 1.f };
        k->math.gelu_backward (edge, x, 3);
        assert_true (isnan (edge[0]) && edge[1] == 1.f && edge[2] == 0.f);
        float kept[] = { NAN, -1.f, 2.f, -INFINITY };
        k->math.relu (kept, 4);
        assert_true (isnan (kept[0]) && kept[1] == 0.f && kept[2] == 2.f && kept[3] == 0.f);
        float with_nan[40] = { [17] = NAN, [30] = INFINITY };
        assert_true (isnan (k->math.max_abs (with_nan, 40)));
        with_nan[17] = -3.f;
        assert_true (isinf (k->math.max_abs (with_nan, 40)));
        assert_true (k->math.max_abs (with_nan, 30) == 3.f);
    }
}

static void test_functions_without_libm (void **state)
{
    (void)state;
    for (int i = -700000; i <= 700000; i++) {
        double x = i / 1000. + 1e-4 / 3., size = fabs (x) + 1e-9;
        assert_true (relative (mu_exp_portable (x), (double)expl ((long double)x)) < 1e-15);
        assert_true (relative (mu_log_portable (size), (double)logl ((long double)size)) < 1e-15);
        assert_true (fabs (mu_cos_portable (x) - (double)cosl ((long double)x)) < 1e-15);
    }
    assert_true (fabs (mu_cos_portable (99999.5) - (double)cosl (99999.5L)) < 1e-15);
    assert_true (relative (mu_log_portable (5e-324), log (5e-324)) < 1e-15);
    assert_true (relative (mu_log_portable (1.7e308), log (1.7e308)) < 1e-15);
    assert_true (isnan (mu_cos_portable (1.1e5)) && isnan (mu_cos_portable (NAN)));
    assert_true (isnan (mu_exp_portable (NAN)) && isinf (mu_exp_portable (709.8)));
    assert_true (mu_exp_portable (-709.) == 0. && mu_exp_portable (-INFINITY) == 0.);
    assert_true (mu_exp_portable (0.) == 1. && mu_log_portable (1.) == 0.);
    assert_true (isnan (mu_log_portable (-1.)) && mu_log_portable (0.) == -INFINITY);
    assert_true (isinf (mu_log_portable (INFINITY)) && isnan (mu_log_portable (NAN)));
}

/* --- chance ----------------------------------------------------------------------------------- */

static void test_normals_are_normal (void **state)
{
    (void)state;
    enum { MANY = 400000 };
    static float x[MANY], y[MANY];
    double power[5] = { 0 }, both = 0;
    mu_normals (x, MANY, 1, 7, 1.f);
    mu_normals (y, MANY, 1, 8, 1.f);
    for (size_t i = 0; i < MANY; i++) {
        double p = 1.;
        for (size_t e = 1; e <= 4; e++)
            power[e] += (p *= (double)x[i]) / MANY;
        both += (double)x[i] * (double)y[i] / MANY;
        assert_true (fabsf (x[i]) <= 6.f);
    }
    assert_true (fabs (power[1]) < 0.007 && fabs (power[2] - 1.) < 0.01);
    assert_true (fabs (power[3]) < 0.02 && fabs (power[4] - 2.9) < 0.06); /* twelve uniforms: 2.9 */
    assert_true (fabs (both) < 0.007);
    mu_normals (y, 100, 1, 7, 0.5f); /* a prefix, at another scale, of the same numbers */
    for (size_t i = 0; i < 100; i++)
        assert_true (y[i] == 0.5f * x[i]);
    mu_normals (y, 100, 2, 7, 1.f);
    assert_true (memcmp (x, y, 400) != 0);
}

static void test_dropout_drops_its_share (void **state)
{
    (void)state;
    enum { MANY = 200000 };
    static float y[MANY], again[MANY], other[MANY];
    EACH_SET (k)
    {
        uint64_t key = k->math.key (1, 2, 3, 4);
        assert_true (key == k->math.key (1, 2, 3, 4) && key != k->math.key (1, 2, 4, 3));
        for (size_t i = 0; i < MANY; i++)
            y[i] = again[i] = other[i] = 2.f;
        y[77] = NAN;
        k->math.dropout (y, MANY, 0.25f, key);
        k->math.dropout (again, MANY, 0.25f, key);
        k->math.dropout (other, MANY, 0.25f, key + 1);
        size_t dropped = 0, both = 0;
        for (size_t i = 0; i < MANY; i++) {
            assert_true (again[i] == 0.f || again[i] == 2.f * (1.f / 0.75f));
            assert_true (y[i] == again[i] || (i == 77 && isnan (y[i])));
            dropped += again[i] == 0.f;
            both += again[i] == 0.f && other[i] == 0.f;
        }
        assert_true (fabs ((double)dropped / MANY - 0.25) < 0.005);
        assert_true (fabs ((double)both / MANY - 0.0625) < 0.003);
        k->math.dropout (other, MANY, 0.f, key);
        k->math.dropout (again, MANY, 0.f, key);
        for (size_t i = 0; i < MANY; i++)
            assert_true (again[i] == 0.f || again[i] == 2.f * (1.f / 0.75f));
    }
}

/* --- exact sums ------------------------------------------------------------------------------- */

static void test_quantised_sums_forget_their_order (void **state)
{
    (void)state;
    enum { BATCHES = 40, N = 37 };
    static float gradient[BATCHES][N];
    for (size_t b = 0; b < BATCHES; b++)
        for (size_t i = 0; i < N; i++)
            gradient[b][i] = (float)((double)(int64_t)draw () * 0x1p-63);
    EACH_SET (k)
    {
        uint32_t up[N] = { 0 }, down[N] = { 0 };
        uint64_t wide[N] = { 0 };
        for (size_t b = 0; b < BATCHES; b++) {
            k->quantise_add (up, gradient[b], N, 0x1p30f); /* wraps on the way, many times */
            k->quantise_add (down, gradient[BATCHES - 1 - b], N, 0x1p30f);
            k->quantise_add64 (wide, gradient[b], N, 0x1p30);
        }
        assert_memory_equal (up, down, sizeof up);
        for (size_t i = 0; i < N; i++) {
            int64_t exact = 0;
            for (size_t b = 0; b < BATCHES; b++)
                exact += llrint ((double)gradient[b][i] * 0x1p30);
            assert_true (wide[i] == (uint64_t)exact && up[i] == (uint32_t)(uint64_t)exact);
        }
    }
}

static void test_quantising_rounds_to_even (void **state)
{
    (void)state;
    const float x[] = { 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 0.49999997f, 8388607.5f, -2147483520.f };
    const int32_t expected[] = { 0, 2, 2, 0, -2, 0, 8388608, -2147483520 };
    EACH_SET (k)
    {
        uint32_t sums[8] = { 0 };
        uint64_t wide[8] = { 0 };
        k->quantise_add (sums, x, 8, 1.f);
        k->quantise_add64 (wide, x, 8, 1.);
        for (size_t i = 0; i < 8; i++) {
            assert_true (sums[i] == (uint32_t)expected[i]);
            assert_true (wide[i] == (uint64_t)(int64_t)expected[i]);
        }
    }
}

enum { RANKS = 5, SUMS = 777 };

struct world {
    uint32_t own[RANKS][SUMS], all[SUMS];
    uint64_t wide[RANKS][SUMS], wide_all[SUMS];
    uint64_t checksum, wide_checksum; /* reduced along with the sums */
};

static void make_world (struct world *w, const struct mu_kernels *k, uint64_t first)
{
    memset (w, 0, sizeof *w);
    for (size_t r = 0; r < RANKS; r++) {
        for (size_t i = 0; i < SUMS; i++) {
            w->all[i] += w->own[r][i] = (uint32_t)draw ();
            w->wide_all[i] += w->wide[r][i] = draw ();
        }
        w->checksum = mu_checksum_add (w->checksum, k->checksum (w->own[r], SUMS, first));
        w->wide_checksum += k->checksum64 (w->wide[r], SUMS, first);
    }
}

static void test_a_reduction_proves_itself (void **state)
{
    (void)state;
    static struct world w;
    const uint64_t firsts[] = { 0, 1, 4096, UINT64_C (0xfffffff0), UINT64_C (0x1fffffffd) };
    EACH_SET (k)
    {
        for (size_t f = 0; f < 5; f++) {
            make_world (&w, k, firsts[f]);
            assert_true (k->checksum (w.all, SUMS, firsts[f]) == w.checksum);
            assert_true (k->checksum64 (w.wide_all, SUMS, firsts[f]) == w.wide_checksum);
            uint64_t pieces = 0, wide_pieces = 0;
            for (size_t i = 0; i < SUMS; i += 100) {
                size_t n = SUMS - i < 100 ? SUMS - i : 100;
                uint64_t piece = k->checksum (w.all + i, n, firsts[f] + i);
                pieces = mu_checksum_add (pieces, piece);
                wide_pieces += k->checksum64 (w.wide_all + i, n, firsts[f] + i);
            }
            assert_true (pieces == w.checksum && wide_pieces == w.wide_checksum);
        }
    }
}

static void test_any_change_of_one_element_is_seen (void **state)
{
    (void)state;
    static struct world w;
    EACH_SET (k)
    {
        make_world (&w, k, 11);
        for (size_t i = 0; i < SUMS; i++)
            for (unsigned bit = 0; bit < 64; bit += 3) {
                uint32_t change = bit < 32 ? 1u << bit : (uint32_t)draw () | 1u;
                w.all[i] += change;
                w.wide_all[i] ^= UINT64_C (1) << bit;
                assert_true (k->checksum (w.all, SUMS, 11) != w.checksum);
                assert_true (k->checksum64 (w.wide_all, SUMS, 11) != w.wide_checksum);
                w.all[i] -= change;
                w.wide_all[i] ^= UINT64_C (1) << bit;
            }
    }
}

/* What a reduction torn by a death leaves: contributions missing, doubled, or arrived in part. */
static void test_a_torn_reduction_is_seen (void **state)
{
    (void)state;
    static struct world w;
    EACH_SET (k)
    {
        make_world (&w, k, 0);
        for (size_t r = 0; r < RANKS; r++)
            for (size_t from = 0; from < SUMS; from += 111)
                for (uint32_t times = 0; times <= 2; times += 2) { /* lost, or twice */
                    uint32_t torn[SUMS];
                    uint64_t wide[SUMS];
                    for (size_t i = 0; i < SUMS; i++) {
                        uint32_t more = i >= from ? times - 1u : 0u;
                        torn[i] = w.all[i] + w.own[r][i] * more;
                        wide[i] = w.wide_all[i] + w.wide[r][i] * (uint64_t)(int32_t)more;
                    }
                    assert_true (k->checksum (torn, SUMS, 0) != w.checksum);
                    assert_true (k->checksum64 (wide, SUMS, 0) != w.wide_checksum);
                }
        uint32_t swapped = w.all[3];
        w.all[3] = w.all[4];
        w.all[4] = swapped;
        assert_true (k->checksum (w.all, SUMS, 0) != w.checksum);
    }
}

/* --- the promise ------------------------------------------------------------------------------ */

static uint64_t fold (uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C (1099511628211);
    return hash;
}

/* A small training step's arithmetic from integers alone, and its hash. Never change the number: a
 * difference means that checkpoints of released versions continue to other weights. */
static void test_bits_are_those_of_every_release (void **state)
{
    (void)state;
    enum { T = 64, D = 96 };
    static float x[T * D], w[D * D], h[T * D], p[T * T], g[D * D], m[D * D], v[D * D];
    static float statistics[2 * T], gain[D], bias[D];
    static int32_t target[T];
    const struct mu_adamw adamw = { 1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.05f, 0.5f };
    EACH_SET (k)
    {
        const struct muster_math *math = &k->math;
        math->normals (x, T * D, 1, 0, 1.f);
        math->normals (w, D * D, 1, 1, 0.2f);
        math->normals (gain, D, 1, 2, 1.f);
        math->normals (bias, D, 1, 3, 1.f);
        memset (m, 0, sizeof m);
        memset (v, 0, sizeof v);
        for (size_t i = 0; i < T; i++)
            target[i] = (int32_t)(i * 37 % D);
        math->layernorm (h, statistics, x, gain, bias, T, D, 1e-5f);
        math->gemm (false, true, T, T, D, h, D, x, D, false, p, T);
        math->softmax_causal (p, T, 0.102062f);
        math->gemm (false, false, T, D, T, p, T, h, D, true, x, D);
        math->gelu (h, x, T * D);
        math->dropout (h, T * D, 0.1f, math->key (1, 2, 3, 4));
        math->gemm (false, false, T, D, D, h, D, w, D, false, x, D);
        double loss;
        uint64_t correct;
        math->cross_entropy (x, target, T, D, 1.f / T, &loss, &correct);
        math->gemm (true, false, D, D, T, h, D, x, D, false, g, D);
        k->adamw (w, m, v, g, D * D, &adamw);
        double square = k->sum_squares (w, D * D) + mu_cos_portable (loss) + mu_exp_portable (0.3);
        uint64_t hash = fold (UINT64_C (14695981039346656037), w, sizeof w);
        hash = fold (fold (hash, &loss, sizeof loss), &square, sizeof square);
        assert_int_equal (hash, UINT64_C (0xdb0e3f0b006676ef));
    }
}

static void test_a_set_that_is_not_there (void **state)
{
    (void)state;
    struct mu_error error = { 0 };
    assert_null (mu_kernels_get ("sse9", &error));
    assert_int_equal (error.code, MU_CONFIG);
    assert_non_null (strstr (error.text, "sse9"));
#ifdef __aarch64__
    assert_null (mu_kernels_get ("avx2", &error));
#else
    assert_null (mu_kernels_get ("neon", &error));
#endif
    assert_int_equal (error.code, MU_UNAVAILABLE);
    assert_null (mu_kernels_get ("sse9", NULL));
    assert_ptr_equal (mu_kernels_get (NULL, NULL), mu_kernels_get (mu_kernels_available (0), NULL));
    size_t count = 0;
    while (mu_kernels_available (count))
        count++;
    assert_string_equal (mu_kernels_available (count - 1), "plain");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_functions_are_as_accurate_as_they_say),
        cmocka_unit_test (test_functions_at_their_ends),
        cmocka_unit_test (test_functions_without_libm),
        cmocka_unit_test (test_normals_are_normal),
        cmocka_unit_test (test_dropout_drops_its_share),
        cmocka_unit_test (test_quantised_sums_forget_their_order),
        cmocka_unit_test (test_quantising_rounds_to_even),
        cmocka_unit_test (test_a_reduction_proves_itself),
        cmocka_unit_test (test_any_change_of_one_element_is_seen),
        cmocka_unit_test (test_a_torn_reduction_is_seen),
        cmocka_unit_test (test_bits_are_those_of_every_release),
        cmocka_unit_test (test_a_set_that_is_not_there),
    };
    return cmocka_run_group_tests_name ("kernels_numbers", tests, NULL, NULL);
}
