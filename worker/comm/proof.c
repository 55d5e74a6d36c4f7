/* SPDX-License-Identifier: Apache-2.0 */
/* proof.c - a row is four vectors of 16 bytes, which every CPU of interest adds in one instruction
 *
 * The four are named one by one: a vector type as wide as a row, where the CPU has none, and arrays
 * of narrower ones are kept on the stack by gcc 12 at -O2, and the checksum then takes a fifth of a
 * reduction's time. */
#include "proof.h"

#include <string.h>

#define ROWS_MAX  256u
#define ROW_BYTES 64u
#define LANES_32  16u
#define LANES_64  8u

typedef uint32_t vector32 __attribute__ ((vector_size (16)));
typedef uint64_t vector64 __attribute__ ((vector_size (16)));

/* What one block comes to. */
struct sums32 {
    vector32 sums[4], running[4];
};
struct sums64 {
    vector64 sums[4], running[4];
};

/* Odd numbers without a pattern: the mixing constants of well-known hashes, multiplied up. */
#define FACTOR_A UINT64_C (0x9e3779b97f4a7c15)
#define FACTOR_B UINT64_C (0xc2b2ae3d27d4eb4f)

static uint64_t weight (uint64_t seed, unsigned lane)
{
    uint64_t x = (seed + lane) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 31)) * UINT64_C (0x94d049bb133111eb);
    return (x ^ (x >> 29)) | 1;
}

static uint64_t join32 (const vector32 row[4], uint64_t seed)
{
    uint64_t total = 0;
    for (unsigned lane = 0; lane < LANES_32; lane++)
        total += weight (seed, lane) * row[lane / 4][lane % 4];
    return total;
}

static vector32 load32 (const char *bytes)
{
    vector32 vector;
    memcpy (&vector, bytes, sizeof vector);
    return vector;
}

static void add_rows32 (struct sums32 *block, const char *bytes, size_t rows)
{
    vector32 a0 = block->sums[0], a1 = block->sums[1];
    vector32 a2 = block->sums[2], a3 = block->sums[3];
    vector32 b0 = block->running[0], b1 = block->running[1];
    vector32 b2 = block->running[2], b3 = block->running[3];
    for (; rows > 0; rows--, bytes += ROW_BYTES) {
        b0 += a0 += load32 (bytes);
        b1 += a1 += load32 (bytes + 16);
        b2 += a2 += load32 (bytes + 32);
        b3 += a3 += load32 (bytes + 48);
    }
    *block = (struct sums32){ { a0, a1, a2, a3 }, { b0, b1, b2, b3 } };
}

/* One block, or the rest: the last row is filled up with zeros. */
static void feed_block32 (struct mu_proof *proof, const char *bytes, size_t count)
{
    struct sums32 block = { 0 };
    size_t rows = count / LANES_32, left = count % LANES_32;
    add_rows32 (&block, bytes, rows);
    if (left) {
        char row[ROW_BYTES] = { 0 };
        memcpy (row, bytes + rows * ROW_BYTES, left * 4);
        add_rows32 (&block, row, 1);
    }
    proof->a = (uint32_t)(proof->a * FACTOR_A + join32 (block.sums, 1));
    proof->b = (uint32_t)(proof->b * FACTOR_B + join32 (block.running, 101));
}

static uint64_t join64 (const vector64 row[4], uint64_t seed)
{
    uint64_t total = 0;
    for (unsigned lane = 0; lane < LANES_64; lane++)
        total += weight (seed, lane) * row[lane / 2][lane % 2];
    return total;
}

static vector64 load64 (const char *bytes)
{
    vector64 vector;
    memcpy (&vector, bytes, sizeof vector);
    return vector;
}

static void add_rows64 (struct sums64 *block, const char *bytes, size_t rows)
{
    vector64 a0 = block->sums[0], a1 = block->sums[1];
    vector64 a2 = block->sums[2], a3 = block->sums[3];
    vector64 b0 = block->running[0], b1 = block->running[1];
    vector64 b2 = block->running[2], b3 = block->running[3];
    for (; rows > 0; rows--, bytes += ROW_BYTES) {
        b0 += a0 += load64 (bytes);
        b1 += a1 += load64 (bytes + 16);
        b2 += a2 += load64 (bytes + 32);
        b3 += a3 += load64 (bytes + 48);
    }
    *block = (struct sums64){ { a0, a1, a2, a3 }, { b0, b1, b2, b3 } };
}

/* One block, or the rest: the last row is filled up with zeros. */
static void feed_block64 (struct mu_proof *proof, const char *bytes, size_t count)
{
    struct sums64 block = { 0 };
    size_t rows = count / LANES_64, left = count % LANES_64;
    add_rows64 (&block, bytes, rows);
    if (left) {
        char row[ROW_BYTES] = { 0 };
        memcpy (row, bytes + rows * ROW_BYTES, left * 8);
        add_rows64 (&block, row, 1);
    }
    proof->a = proof->a * FACTOR_A + join64 (block.sums, 1);
    proof->b = proof->b * FACTOR_B + join64 (block.running, 101);
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
