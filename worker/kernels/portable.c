/* SPDX-License-Identifier: Apache-2.0 */
/* portable.c - exp, log and cos in double, keys and normals: same bits on every machine
 *
 * Only IEEE sums, products and quotients, none of them fused (-ffp-contract=off), in the order
 * written. The polynomials are Taylor's, long enough for double after the arguments are reduced;
 * constants split in two so that their products with small integers are exact (Cody and Waite).
 * For places that are called a few times a step, not for arrays. */
#include "worker/kernels/isa.h"

#include <float.h>
#include <math.h> /* INFINITY, NAN */
#include <string.h>

#define LN2_HIGH 6.93147180369123816490e-01 /* 33 bits of ln 2 */
#define LN2_LOW  1.90821492927058770002e-10
#define ROUNDER  6755399441055744.0 /* 1.5 * 2^52: adding and taking it away rounds */

static double power_of_two (int k)
{
    uint64_t u = (uint64_t)(k + 1023) << 52;
    double x;
    memcpy (&x, &u, sizeof x);
    return x;
}

static double round_to_integer (double x)
{
    volatile double rounded = x + ROUNDER; /* volatile: the compiler may not cancel */
    return rounded - ROUNDER;
}

/* c[0] + c[1] x + ... + c[n-1] x^(n-1) */
static double polynomial (const double *c, size_t n, double x)
{
    double sum = c[n - 1];
    for (size_t i = n - 1; i > 0; i--)
        sum = sum * x + c[i - 1];
    return sum;
}

double mu_exp_portable (double x)
{
    static const double c[] = { 1.,
                                1.,
                                1. / 2,
                                1. / 6,
                                1. / 24,
                                1. / 120,
                                1. / 720,
                                1. / 5040,
                                1. / 40320,
                                1. / 362880,
                                1. / 3628800,
                                1. / 39916800,
                                1. / 479001600,
                                1. / 6227020800. };
    if (x != x)
        return x;
    if (x > 709.782712893384)
        return INFINITY;
    if (x < -708.)
        return 0.;
    double k = round_to_integer (x * 1.44269504088896338700);
    double r = (x - k * LN2_HIGH) - k * LN2_LOW;
    int half = (int)k / 2;
    return (polynomial (c, sizeof c / sizeof *c, r) * power_of_two (half)) *
           power_of_two ((int)k - half);
}

/* x = 2^k m with m near 1; log m = 2 artanh s, s = (m - 1) / (m + 1). */
double mu_log_portable (double x)
{
    static const double c[] = { 1. / 3,  1. / 5,  1. / 7,  1. / 9,  1. / 11, 1. / 13,
                                1. / 15, 1. / 17, 1. / 19, 1. / 21, 1. / 23 };
    if (x != x || x == INFINITY)
        return x;
    if (x <= 0.)
        return x == 0. ? -INFINITY : NAN;
    int k = 0;
    if (x < DBL_MIN) {
        x *= 18014398509481984.; /* 2^54 */
        k = -54;
    }
    uint64_t u;
    memcpy (&u, &x, sizeof u);
    k += (int)(u >> 52) - 1023;
    u = (u & UINT64_C (0x000fffffffffffff)) | UINT64_C (0x3ff0000000000000);
    double m;
    memcpy (&m, &u, sizeof m);
    if (m > 1.41421356237309515) {
        m *= 0.5;
        k++;
    }
    double s = (m - 1.) / (m + 1.), z = s * s;
    double tail = (2. * s) * (z * polynomial (c, sizeof c / sizeof *c, z));
    return (double)k * LN2_HIGH + (2. * s + (tail + (double)k * LN2_LOW));
}

/* sin and cos of |r| <= pi / 4 */
static double sin_near (double r)
{
    static const double c[] = { 1.,
                                -1. / 6,
                                1. / 120,
                                -1. / 5040,
                                1. / 362880,
                                -1. / 39916800,
                                1. / 6227020800.,
                                -1. / 1307674368000.,
                                1. / 355687428096000. };
    return r * polynomial (c, sizeof c / sizeof *c, r * r);
}

static double cos_near (double r)
{
    static const double c[] = { 1.,
                                -1. / 2,
                                1. / 24,
                                -1. / 720,
                                1. / 40320,
                                -1. / 3628800,
                                1. / 479001600.,
                                -1. / 87178291200.,
                                1. / 20922789888000. };
    return polynomial (c, sizeof c / sizeof *c, r * r);
}

double mu_cos_portable (double x)
{
    if (!(x >= -1e5 && x <= 1e5))
        return NAN;
    double k = round_to_integer (x * 0.63661977236758134308);
    /* pi / 2 in three pieces, the first two of 33 bits */
    double r = (x - k * 1.57079632673412561417e+00) - k * 6.07710050630396597660e-11;
    r -= k * 2.02226624879595063154e-21;
    switch ((unsigned)(int)k % 4u) {
    case 0: return cos_near (r);
    case 1: return -sin_near (r);
    case 2: return -cos_near (r);
    default: return sin_near (r);
    }
}

uint64_t mu_key (uint64_t seed, uint64_t step, uint64_t micro_batch, uint64_t place)
{
    uint64_t key = mu_stir (seed + MU_GOLDEN);
    key = mu_stir ((key ^ step) + MU_GOLDEN);
    key = mu_stir ((key ^ micro_batch) + MU_GOLDEN);
    return mu_stir ((key ^ place) + MU_GOLDEN);
}

/* Four draws of 64 bits, three 21-bit numbers of each. Their sum less its mean fits in 24 bits. */
static float normal_at (uint64_t key, uint64_t index)
{
    int32_t sum = -6 * 0x1fffff;
    for (uint64_t draw = 0; draw < 4; draw++) {
        uint64_t z = mu_stir (key + (4 * index + draw) * MU_GOLDEN);
        sum += (int32_t)((z & 0x1fffff) + ((z >> 21) & 0x1fffff) + ((z >> 42) & 0x1fffff));
    }
    return (float)sum * 0x1p-21f;
}

void mu_normals (float *out, size_t n, uint64_t seed, uint64_t stream, float sd)
{
    uint64_t key = mu_key (seed, stream, 0, 0);
    for (size_t i = 0; i < n; i++)
        out[i] = sd * normal_at (key, i);
}
