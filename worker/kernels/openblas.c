/* SPDX-License-Identifier: Apache-2.0 */
/* openblas.c - `bits: host`: OpenBLAS's matrix product behind muster_math.gemm
 *
 * Its bits depend on the CPU type and OpenBLAS's version and, were it allowed more than one, the
 * number of threads; so the name carries the core type, and OpenBLAS is held to one thread, for the
 * whole process. Calls from several threads at once are fine.
 *
 * It is loaded when it is asked for: most trainers never do, and loading it takes 5 ms of each
 * start. Told that it has one thread before it is loaded, it starts no others; those would spin
 * for some 25 ms of processor time before they sleep. */
#include "worker/kernels/isa.h"

#include <cblas.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libopenblas.so.0"

static struct {
    __typeof__ (&cblas_sgemm) sgemm;
    __typeof__ (&openblas_set_num_threads) set_num_threads;
    __typeof__ (&openblas_get_corename) get_corename;
} library;

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
    library.sgemm (CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
                 b_transposed ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1.f, a, (int)lda,
                 b, (int)ldb, accumulate ? 1.f : 0.f, c, (int)ldc);
}

/* ISO C has no cast from an object pointer to a function pointer, so it is copied by bytes. */
static int find (void *object, const char *name, void *function, struct mu_error *error)
{
    void *symbol = dlsym (object, name);
    if (!symbol)
        return mu_fail (error, MU_UNAVAILABLE, "OpenBLAS (" LIBRARY ") has no %s", name);
    memcpy (function, &symbol, sizeof symbol);
    return 0;
}

static int load (struct mu_error *error)
{
    if (library.get_corename)
        return 0;
    setenv ("OPENBLAS_NUM_THREADS", "1", 1);
    void *object = dlopen (LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    if (!object)
        return mu_fail (error, MU_UNAVAILABLE,
                        "OpenBLAS cannot be loaded (%s): install it, or use `bits: portable`",
                        dlerror ());
    if (find (object, "cblas_sgemm", &library.sgemm, error) < 0 ||
        find (object, "openblas_set_num_threads", &library.set_num_threads, error) < 0)
        return -1;
    return find (object, "openblas_get_corename", &library.get_corename, error);
}

const struct mu_kernels *mu_openblas_kernels (const struct mu_kernels *rest,
                                              struct mu_error *error)
{
    static char name[64];
    if (load (error) < 0)
        return NULL;
    library.set_num_threads (1);
    snprintf (name, sizeof name, "openblas-%s", library.get_corename ());
    kernels = *rest;
    kernels.math.name = name;
    kernels.math.gemm = gemm;
    fixed_gemm = rest->math.gemm;
    return &kernels;
}
