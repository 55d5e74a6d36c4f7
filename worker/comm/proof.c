/* SPDX-License-Identifier: Apache-2.0 */
/* proof.c - lanes are vectors of the compiler's, so that adds stay in registers everywhere */
#include "proof.h"

#include <string.h>

#define ROWS_MAX 256u
#define LANES_32 16u
#define LANES_64 8u

typedef uint32_t lanes32 __attribute__ ((vector_size (LANES_32 * 4)));
typedef uint64_t lanes64 __attribute__ ((vector_size (LANES_64 * 8)));

/* Odd numbers without a pattern: the mixing constants of well-known hashes, multiplied up. */
#define FACTOR_A UINT64_C (0x9e3779b97f4a7c15)
#define FACTOR_B UINT64_C (0xc2b2ae3d27d4eb4f)

static uint64_t weight (uint64_t seed, unsigned lane)
{
    uint64_t x = (seed + lane) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 31)) * UINT64_C (0x94d049bb133111eb);
    return (x ^ (x >> 29)) | 1;
}

static uint64_t join32 (const lanes32 *lanes, uint64_t seed)
{
    uint64_t total = 0;
    for (unsigned lane = 0; lane < LANES_32; lane++)
        total += weight (seed, lane) * (*lanes)[lane];
    return total;
}

static uint64_t join64 (const lanes64 *lanes, uint64_t seed)
{
    uint64_t total = 0;
    for (unsigned lane = 0; lane < LANES_64; lane++)
        total += weight (seed, lane) * (*lanes)[lane];
    return total;
}

/* One block, or the rest: rows of LANES elements, the last one filled up with zeros. */
static void feed_block32 (struct mu_proof *proof, const char *bytes, size_t count)
{
    lanes32 sums = { 0 }, running = { 0 }, row;
    size_t rows = count / LANES_32;
    for (size_t r = 0; r < rows; r++) {
        memcpy (&row, bytes + r * sizeof row, sizeof row);
        sums += row;
        running += sums;
    }
    if (count % LANES_32) {
        memset (&row, 0, sizeof row);
        memcpy (&row, bytes + rows * sizeof row, count % LANES_32 * 4);
        sums += row;
        running += sums;
    }
    proof->a = (uint32_t)(proof->a * FACTOR_A + join32 (&sums, 1));
    proof->b = (uint32_t)(proof->b * FACTOR_B + join32 (&running, 101));
}

static void feed_block64 (struct mu_proof *proof, const char *bytes, size_t count)
{
    lanes64 sums = { 0 }, running = { 0 }, row;
    size_t rows = count / LANES_64;
    for (size_t r = 0; r < rows; r++) {
        memcpy (&row, bytes + r * sizeof row, sizeof row);
        sums += row;
        running += sums;
    }
    if (count % LANES_64) {
        memset (&row, 0, sizeof row);
        memcpy (&row, bytes + rows * sizeof row, count % LANES_64 * 8);
        sums += row;
        running += sums;
    }
    proof->a = proof->a * FACTOR_A + join64 (&sums, 1);
    proof->b = proof->b * FACTOR_B + join64 (&running, 101);
}

void mu_proof_feed (struct mu_proof *proof, enum mu_element element, const void *elements,
                    size_t count)
{
    const char *bytes = elements;
    size_t block = ROWS_MAX * (element == MU_ELEMENT_INT32 ? LANES_32 : LANES_64);
    while (count > 0) {
        size_t n = count < block ? count : block;
        if (element == MU_ELEMENT_INT32)
            feed_block32 (proof, bytes, n);
        else
            feed_block64 (proof, bytes, n);
        bytes += n * (size_t)element;
        count -= n;
    }
}

int mu_proof_holds (enum mu_element element, const struct mu_proof *result,
                    const struct mu_proof *sum)
{
    uint64_t mask = element == MU_ELEMENT_INT32 ? UINT32_MAX : UINT64_MAX;
    return ((result->a ^ sum->a) & mask) == 0 && ((result->b ^ sum->b) & mask) == 0;
}
