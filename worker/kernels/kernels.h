/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h - arithmetic whose bits are the same on every CPU type
 *
 * The same sources are compiled once per instruction set; the choice is made at run time.
 * The bits do not depend on the choice: "avx512", "avx2", "neon" and "plain" are one compute class.
 * "openblas" is the exception: its matrix products have the bits of the host's OpenBLAS kernel.
 *
 * The order of every operation is part of the contract, written at each function here and in
 * worker/trainer.h, and repeated naively in tests/unit/kernels_reference.c. Plain IEEE operations,
 * rounded to nearest, subnormals kept: nobody may switch on flush-to-zero or another rounding mode.
 * The *place* of a NaN is fixed; its sign and payload are the CPU's.
 *
 * At the ends, where trainer.h does not say: exp is 0 below -87.33 (no subnormals) and inf
 * above 88.72. gelu (-inf) is NaN, its derivative at +-inf is 1 and 0. relu keeps -0. A NaN or inf
 * among the numbers that a softmax row sees makes the whole row NaN (-inf alone becomes 0); such a
 * row of cross_entropy makes the loss NaN and is not counted as correct. cross_entropy sets *loss
 * and *correct, it does not add to them. bias_gradient adds row after row to what is there. 0 * NaN
 * is NaN in gemm: nothing is skipped for being zero. dropout writes 0 over a NaN that it drops.
 *
 * No function fails, blocks or keeps state that matters; all may be called from any thread. gemm
 * keeps a packing buffer per thread, freed when the thread ends; without memory for it, it is slow
 * and right. Nothing checks sizes: the caller answers for them. Arrays of one call do not overlap.
 *
 * "plain" is as fast as libm's fmaf: about 1 GFLOP/s in gemm where the CPU has FMA instructions,
 * far less where it has none.
 */
#ifndef MU_KERNELS_H
#define MU_KERNELS_H

#include "common/error.h"
#include "worker/trainer.h"

#include <stddef.h>
#include <stdint.h>

/* One update's constants, the same on every rank. */
struct mu_adamw {
    float rate;         /* learning rate of this step */
    float beta1, beta2; /* decay of the two moments */
    float epsilon;      /* added to the root of the second moment */
    float decay;        /* decoupled weight decay; 0 for tensors without */
    float correction1;  /* 1 - beta1^t, from a running product; likewise 2 */
    float correction2;
    float gradient_factor; /* the gradient is multiplied by this first: clipping, or 1 */
};

struct mu_kernels {
    struct muster_math math; /* what trainers see; first, so it has this struct's address */

    /* sums[i] += (uint32_t) (int32_t) rint (gradient[i] * scale), wrapping. scale is a power of two
     * and |gradient[i] * scale| < 2^31 (2^63): ask max_abs first. Otherwise that sum is
     * unspecified. */
    void (*quantise_add) (uint32_t *sums, const float *gradient, size_t n, float scale);
    void (*quantise_add64) (uint64_t *sums, const float *gradient, size_t n, double scale);

    /* out[i] = (float) sums[i] * factor; in 64 bits (float) ((double) sums[i] * factor). */
    void (*dequantise) (float *out, const int32_t *sums, size_t n, float factor);
    void (*dequantise64) (float *out, const int64_t *sums, size_t n, double factor);

    /* Checksum of sums[0..n-1], whose places in the whole are first_index and up: two sums
     * of weight (index, which) * sums[index] mod 2^32, one in each half. With fixed odd
     * pseudo-random weights. Linear: mu_checksum_add of the ranks' checksums is the checksum of the
     * reduced sums, and of the pieces' that of the whole. So a reduction proves itself. What
     * escapes it:
     *  - An error in one element never does: an odd weight times a non-zero error is not zero.
     *  - An error in several elements, whose values share the factor 2^v and no higher one, does
     * with chance 4^-(31-v) if the weights are taken as random: 2e-19 when any odd value is among
     * them, as it is when a rank's whole contribution is lost, doubled or torn. Weak is only v near
     * 31: an even number of flipped sign bits and nothing else is never seen.
     *  - It is no defence against an adversary, who knows the weights. */
    uint64_t (*checksum) (const uint32_t *sums, size_t n, uint64_t first_index);
    /* The same mod 2^64 with one sum: chance 2^-(63-v). Plain addition joins these. */
    uint64_t (*checksum64) (const uint64_t *sums, size_t n, uint64_t first_index);

    /* Sum of x[i]^2 in double, from blocks of MU_BLOCK floats: within a block as `sum` does it, the
     * blocks' sums then added in ascending order to 0. */
    double (*sum_squares) (const float *x, size_t n);

    /* With g = gradient * gradient_factor, in float, each operation rounded:
     *   m = fma (beta1, m, (1 - beta1) * g)      v = fma (beta2, v, ((1 - beta2) * g) * g)
     *   step = (m * (1 / correction1)) / (sqrt (v * (1 / correction2)) + epsilon)
     *   weights = fma (-rate, step, fma (-(rate * decay), weights, weights))
     * NaN or inf in an element stays in that element. */
    void (*adamw) (float *weights, float *m, float *v, const float *gradient, size_t n,
                   const struct mu_adamw *constants);
};

#define MU_BLOCK ((size_t)4096)

/* The kernels of one instruction set: "avx512", "avx2", "neon", "plain", or "openblas" (the best
 * set with OpenBLAS's matrix product, kept to one thread); NULL is the best order-fixed set of this
 * CPU. Returns NULL with UNAVAILABLE if this CPU or build lacks it, CONFIG if there is no such
 * name. The result is constant and lives as long as the process. */
const struct mu_kernels *mu_kernels_get (const char *isa, struct mu_error *error);

/* The i-th name that mu_kernels_get knows and that works here, best first; NULL after the last.
 * "openblas" is not among them. */
const char *mu_kernels_available (size_t i);

static inline uint64_t mu_checksum_add (uint64_t a, uint64_t b)
{
    uint64_t low = (a + b) & 0xffffffffu;
    return low | (((a >> 32) + (b >> 32)) << 32);
}

/* --- in double and without libm: same bits everywhere (portable.c) ---------------------------- */

double mu_exp_portable (double x); /* relative error below 1e-15; 0 below -708, inf above 709.78 */
double
mu_log_portable (double x); /* relative error below 1e-15; x > 0, normal or not; else as log () */
double mu_cos_portable (double x); /* absolute error below 1e-15; |x| <= 1e5, else NaN */

/* out[i] = sd * (a number of mean 0 and variance 1), a function of (seed, stream, i) alone: the sum
 * of twelve uniform 21-bit integers (Irwin-Hall), exact before the product with sd. Within 6 sd. */
void mu_normals (float *out, size_t n, uint64_t seed, uint64_t stream, float sd);

#endif
