/* SPDX-License-Identifier: Apache-2.0 */
/* test_kernels_matrix.c - matrix products: the reference's bits at every size, with and without
 * memory
 *
 * A's, B's and C's rows are longer than their columns need, pointers are 4-byte aligned only, and
 * all of C's buffer is compared: what lies between its columns must not change. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "tests/unit/kernels_reference.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool memory_is_gone;

/* Stands before libc's, so that a test can take the memory away. */
void *aligned_alloc (size_t alignment, size_t size)
{
    void *p = NULL;
    if (memory_is_gone || posix_memalign (&p, alignment, size) != 0)
        return NULL;
    return p;
}

struct shape {
    size_t m, n, k;
};

static uint32_t draw (uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

static float *matrix (size_t rows, size_t ld, uint32_t *random)
{
    float *x = malloc ((rows * ld + 1) * sizeof *x);
    assert_non_null (x);
    for (size_t i = 0; i <= rows * ld; i++)
        x[i] = (float)draw (random) * 0x1p-23f - 1.f;
    return x;
}

/* One product of each set against the reference. `extra` lengthens the rows. */
static void check_product (bool ta, bool tb, bool accumulate, struct shape at, size_t extra)
{
    uint32_t random = (uint32_t)(at.m * 7919 + at.n * 104729 + at.k);
    size_t lda = (ta ? at.m : at.k) + extra, ldb = (tb ? at.k : at.n) + 2 * extra;
    size_t ldc = at.n + 3 * extra, size = (at.m * ldc + 1) * sizeof (float);
    float *a = matrix (ta ? at.k : at.m, lda, &random),
          *b = matrix (tb ? at.n : at.k, ldb, &random);
    float *start = matrix (at.m, ldc, &random), *expected = malloc (size), *got = malloc (size);
    assert_true (expected && got);
    memcpy (expected, start, size);
    mu_reference_kernels.math.gemm (ta, tb, at.m, at.n, at.k, a + 1, lda, b + 1, ldb, accumulate,
                                    expected + 1, ldc);
    const char *isa;
    for (size_t i = 0; (isa = mu_kernels_available (i)); i++) {
        memcpy (got, start, size);
        mu_kernels_get (isa, NULL)->math.gemm (ta, tb, at.m, at.n, at.k, a + 1, lda, b + 1, ldb,
                                               accumulate, got + 1, ldc);
        if (memcmp (got, expected, size) != 0)
            fail_msg ("%s: [%zu,%zu,%zu], A %d, B %d, accumulate %d, extra %zu differs", isa, at.m,
                      at.n, at.k, ta, tb, accumulate, extra);
    }
    free (a);
    free (b);
    free (start);
    free (expected);
    free (got);
}

static void check_all_forms (struct shape at, size_t extra)
{
    for (unsigned form = 0; form < 8; form++)
        check_product (form & 1, form & 2, form & 4, at, extra);
}

static void test_every_size_up_to_70 (void **state)
{
    (void)state;
    uint32_t random = 5;
    for (size_t i = 1; i <= 70; i++) {
        check_all_forms ((struct shape){ i, i, i }, i % 3);
        check_all_forms ((struct shape){ i, 1 + draw (&random) % 70, 1 + draw (&random) % 70 }, 5);
        check_all_forms ((struct shape){ 1 + draw (&random) % 70, i, 1 + draw (&random) % 70 }, 1);
        check_all_forms ((struct shape){ 1 + draw (&random) % 70, 1 + draw (&random) % 70, i }, 0);
    }
}

/* Sizes that cross every block of every set, and the heads of a transformer. */
static void test_sizes_beyond_the_blocks (void **state)
{
    (void)state;
    static const struct shape shapes[] = { { 128, 128, 64 }, { 128, 64, 128 },  { 243, 131, 259 },
                                           { 5, 1061, 300 }, { 250, 150, 513 }, { 129, 127, 770 },
                                           { 1, 300, 257 },  { 300, 1, 257 },   { 81, 530, 256 } };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_all_forms (shapes[i], i % 4);
}

static void test_empty_products (void **state)
{
    (void)state;
    check_all_forms ((struct shape){ 7, 9, 0 }, 1);
    check_all_forms ((struct shape){ 0, 9, 4 }, 1);
    check_all_forms ((struct shape){ 7, 0, 4 }, 1);
}

/* NaN, inf and zeros travel as the chain carries them: no product is skipped because a factor is 0.
 */
static void test_special_values_travel (void **state)
{
    (void)state;
    const char *isa;
    for (size_t i = 0; (isa = mu_kernels_available (i)); i++) {
        float a[40 * 40] = { 0 }, b[40 * 40] = { 0 }, c[40 * 40];
        a[3 * 40 + 5] = INFINITY;
        b[7 * 40 + 11] = NAN;
        a[9 * 40 + 9] = 1e-42f;
        b[9 * 40 + 2] = 1.f;
        mu_kernels_get (isa, NULL)->math.gemm (false, false, 40, 40, 40, a, 40, b, 40, false, c,
                                               40);
        for (size_t m = 0; m < 40; m++)
            for (size_t n = 0; n < 40; n++) {
                bool is_nan = m == 3 || n == 11;
                assert_true (is_nan ? isnan (c[m * 40 + n])
                                    : c[m * 40 + n] == (m == 9 && n == 2 ? 1e-42f : 0.f));
            }
    }
}

/* Run on a thread of its own, which has no buffer yet. */
static void *without_memory (void *unused)
{
    memory_is_gone = true;
    check_product (false, true, true, (struct shape){ 33, 47, 300 }, 2);
    memory_is_gone = false;
    return unused;
}

static void test_without_memory_the_bits_are_the_same (void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal (pthread_create (&thread, NULL, without_memory, NULL), 0);
    assert_int_equal (pthread_join (thread, NULL), 0);
}

static void *some_products (void *unused)
{
    check_product (false, false, false, (struct shape){ 40, 200, 270 }, 0);
    return unused;
}

/* More than half a MiB each: fifty that leaked would show. (Under AddressSanitizer it watches.) */
static void test_a_thread_takes_its_buffer_along (void **state)
{
    (void)state;
    size_t before = 0;
    for (int i = 0; i < 52; i++) {
        pthread_t thread[2];
        for (int t = 0; t < 2; t++)
            assert_int_equal (pthread_create (&thread[t], NULL, some_products, NULL), 0);
        for (int t = 0; t < 2; t++)
            assert_int_equal (pthread_join (thread[t], NULL), 0);
        struct mallinfo2 now = mallinfo2 ();
        if (i == 1)
            before = now.uordblks + now.hblkhd;
        else if (i > 1)
            assert_true (now.uordblks + now.hblkhd < before + 4000000);
    }
}

#ifdef HAVE_OPENBLAS
static void test_openblas_differs_by_rounding_alone (void **state)
{
    (void)state;
    const struct mu_kernels *host = mu_kernels_get ("openblas", NULL);
    assert_non_null (host);
    assert_int_equal (strncmp (host->math.name, "openblas-", 9), 0);
    assert_true (strlen (host->math.name) > 9);
    for (unsigned form = 0; form < 8; form++) {
        uint32_t random = form;
        size_t m = 65, n = 33, k = form == 3 ? 0 : 129;
        float *a = matrix (129, 129, &random), *b = matrix (129, 129, &random);
        float *c = matrix (m, n, &random), *d = malloc ((m * n + 1) * sizeof *d);
        memcpy (d, c, (m * n + 1) * sizeof *d);
        host->math.gemm (form & 1, form & 2, m, n, k, a, 129, b, 129, form & 4, c, n);
        mu_reference_kernels.math.gemm (form & 1, form & 2, m, n, k, a, 129, b, 129, form & 4, d,
                                        n);
        for (size_t i = 0; i < m * n; i++)
            assert_true (fabsf (c[i] - d[i]) < 2e-5f);
        free (a);
        free (b);
        free (c);
        free (d);
    }
    assert_ptr_equal (mu_kernels_get ("openblas", NULL), host);
}
#endif

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_size_up_to_70),
        cmocka_unit_test (test_sizes_beyond_the_blocks),
        cmocka_unit_test (test_empty_products),
        cmocka_unit_test (test_special_values_travel),
        cmocka_unit_test (test_without_memory_the_bits_are_the_same),
        cmocka_unit_test (test_a_thread_takes_its_buffer_along),
#ifdef HAVE_OPENBLAS
        cmocka_unit_test (test_openblas_differs_by_rounding_alone),
#endif
    };
    return cmocka_run_group_tests_name ("kernels_matrix", tests, NULL, NULL);
}
