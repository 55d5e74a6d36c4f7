/* SPDX-License-Identifier: Apache-2.0 */
/* openblas.c - `bits: host`: OpenBLAS's matrix product behind muster_math.gemm
 *
 * Its bits depend on the CPU type and OpenBLAS's version and, were it allowed more than one, the
 * number of threads; so the name carries the core type, and OpenBLAS is held to one thread, for the
 * whole process. Calls from several threads at once are fine. */
#include "worker/kernels/isa.h"

#include <cblas.h>
#include <limits.h>
#include <stdio.h>

static struct mu_kernels kernels;
static void (*fixed_gemm) (bool, bool, size_t, size_t, size_t, const float *, size_t, const float *,
                           size_t, bool, float *, size_t);

/* Sizes that OpenBLAS does not take, nothing and huge, go to the order-fixed product. */
static bool fits (size_t x) { return x > 0 && x <= INT_MAX; }

static void gemm (bool a_transposed, bool b_transposed, size_t m, size_t n, size_t k,
                  const float *a, size_t lda, const float *b, size_t ldb, bool accumulate, float *c,
                  size_t ldc)
{
    if (!fits (m) || !fits (n) || !fits (k) || !fits (lda) || !fits (ldb) || !fits (ldc)) {
        fixed_gemm (a_transposed, b_transposed, m, n, k, a, lda, b, ldb, accumulate, c, ldc);
        return;
    }
    cblas_sgemm (CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
                 b_transposed ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1.f, a, (int)lda,
                 b, (int)ldb, accumulate ? 1.f : 0.f, c, (int)ldc);
}

const struct mu_kernels *mu_openblas_kernels (const struct mu_kernels *rest)
{
    static char name[64];
    openblas_set_num_threads (1);
    snprintf (name, sizeof name, "openblas-%s", openblas_get_corename ());
    kernels = *rest;
    kernels.math.name = name;
    kernels.math.gemm = gemm;
    fixed_gemm = rest->math.gemm;
    return &kernels;
}
