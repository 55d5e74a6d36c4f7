/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.c - chooses an instruction set at run time, and keeps each thread's packing buffer */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "worker/kernels/isa.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- instruction sets ------------------------------------------------------------------------- */

struct isa {
    const char *name;
    const struct mu_kernels *kernels; /* NULL: not of this architecture */
    bool (*works) (void);
};

static bool always (void) { return true; }

#ifdef __x86_64__
static bool has_avx2 (void)
{
    __builtin_cpu_init ();
    return __builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma");
}

static bool has_avx512 (void)
{
    return has_avx2 () && __builtin_cpu_supports ("avx512f") &&
           __builtin_cpu_supports ("avx512vl") && __builtin_cpu_supports ("avx512dq") &&
           __builtin_cpu_supports ("avx512bw");
}
#define X86_64(kernels, works) &kernels, works
#else
#define X86_64(kernels, works) NULL, NULL
#endif

#ifdef __aarch64__
#define AARCH64(kernels) &kernels, always
#else
#define AARCH64(kernels) NULL, NULL
#endif

static const struct isa isas[] = {
    /* best first */
    { "avx512", X86_64 (mu_avx512_kernels, has_avx512) },
    { "avx2", X86_64 (mu_avx2_kernels, has_avx2) },
    { "neon", AARCH64 (mu_neon_kernels) },
    { "plain", &mu_plain_kernels, always },
};
#define ISA_COUNT (sizeof isas / sizeof *isas)

static bool works (const struct isa *isa) { return isa->kernels && isa->works (); }

const char *mu_kernels_available (size_t i)
{
    for (size_t at = 0; at < ISA_COUNT; at++)
        if (works (&isas[at]) && i-- == 0)
            return isas[at].name;
    return NULL;
}

static const struct mu_kernels *best (void)
{
    size_t at = 0;
    while (!works (&isas[at])) /* "plain" is the last and always works */
        at++;
    return isas[at].kernels;
}

/* --- bits: host ------------------------------------------------------------------------------- */

#ifdef HAVE_OPENBLAS
static const struct mu_kernels *get_openblas (struct mu_error *error)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static const struct mu_kernels *openblas;
    pthread_mutex_lock (&lock);
    if (!openblas)
        openblas = mu_openblas_kernels (best (), error);
    pthread_mutex_unlock (&lock);
    return openblas;
}
#else
static const struct mu_kernels *get_openblas (struct mu_error *error)
{
    mu_fail (error, MU_UNAVAILABLE,
             "this build has no OpenBLAS: configure it --with-openblas, or use `bits: portable`");
    return NULL;
}
#endif

const struct mu_kernels *mu_kernels_get (const char *isa, struct mu_error *error)
{
    if (!isa)
        return best ();
    if (strcmp (isa, "openblas") == 0)
        return get_openblas (error);
    for (size_t at = 0; at < ISA_COUNT; at++) {
        if (strcmp (isa, isas[at].name) != 0)
            continue;
        if (works (&isas[at]))
            return isas[at].kernels;
        mu_fail (error, MU_UNAVAILABLE,
                 "this CPU has no %s: leave the choice to Muster, or use "
                 "\"plain\"; the bits are the same",
                 isa);
        return NULL;
    }
    mu_fail (error, MU_CONFIG,
             "there are no kernels named \"%s\": the names are avx512, avx2, "
             "neon, plain and openblas",
             isa);
    return NULL;
}

/* --- packing buffers -------------------------------------------------------------------------- */

struct buffer {
    float *floats;
    size_t size;
};

static _Thread_local struct buffer buffer;
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static bool buffer_key_works;

static void free_buffer (void *floats)
{
    buffer = (struct buffer){ 0 };
    free (floats);
}

static void make_buffer_key (void)
{
    buffer_key_works = pthread_key_create (&buffer_key, free_buffer) == 0;
}

/* Whole huge pages, which are asked for: panels lie further apart than pages of 4 KiB are long. */
#define BUFFER_UNIT ((size_t)2 << 20)

float *mu_kernels_buffer (size_t size)
{
    if (buffer.size >= size)
        return buffer.floats;
    pthread_once (&buffer_once, make_buffer_key);
    if (!buffer_key_works)
        return NULL;
    size_t rounded = (size + BUFFER_UNIT - 1) / BUFFER_UNIT * BUFFER_UNIT;
    float *floats = aligned_alloc (BUFFER_UNIT, rounded);
    if (!floats)
        return NULL;
    madvise (floats, rounded, MADV_HUGEPAGE);
    if (pthread_setspecific (buffer_key, floats) != 0) {
        free (floats);
        return NULL;
    }
    free (buffer.floats);
    buffer = (struct buffer){ floats, rounded };
    return floats;
}
