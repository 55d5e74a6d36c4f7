/* SPDX-License-Identifier: Apache-2.0 */
/* isa.h - what the instruction sets' objects offer to kernels.c, and what they need of it
 *
 * Each set has one table, made in rows.c; the other functions are the sources' own, declared here
 * under the set's name. Internal to worker/kernels. */
#ifndef MU_ISA_H
#define MU_ISA_H

#include "worker/kernels/kernels.h"

extern const struct mu_kernels mu_avx512_kernels, mu_avx2_kernels, mu_neon_kernels,
    mu_plain_kernels;

/* This thread's packing buffer, 64-byte aligned, at least `size` bytes; freed when the thread ends.
 * NULL if there is no memory. A later call may move it. */
float *mu_kernels_buffer (size_t size);

#ifdef HAVE_OPENBLAS
/* OpenBLAS's product behind muster_math.gemm, and "openblas-" with its core type. */
const struct mu_kernels *mu_openblas_kernels (const struct mu_kernels *rest);
#endif

#endif
