/* SPDX-License-Identifier: Apache-2.0 */
/* lanes.c - the rounds of BLAKE2b, for one stream and for four in the lanes of AVX2's vectors
 *
 * Where the processor has no AVX2 the streams are hashed one after the other: the same hashes. */
#include "worker/checkpoint/lanes.h"

#include <stdbool.h>
#include <string.h>

static const uint64_t start[8] = {
    UINT64_C (0x6a09e667f3bcc908), UINT64_C (0xbb67ae8584caa73b), UINT64_C (0x3c6ef372fe94f82b),
    UINT64_C (0xa54ff53a5f1d36f1), UINT64_C (0x510e527fade682d1), UINT64_C (0x9b05688c2b3e6c1f),
    UINT64_C (0x1f83d9abfb41bd6b), UINT64_C (0x5be0cd19137e2179),
};

static const uint8_t order[10][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
    { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
    { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
    { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
    { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

/* One round of v with the message m: four columns, four diagonals. MIX is one or four lanes wide. */
#define ROUND(MIX, v, m, s)                                                                        \
    MIX (v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);                                               \
    MIX (v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);                                               \
    MIX (v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);                                              \
    MIX (v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);                                              \
    MIX (v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);                                              \
    MIX (v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);                                            \
    MIX (v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);                                             \
    MIX (v[3], v[4], v[9], v[14], m[s[14]], m[s[15]])

/* Written out, so that the compiler knows which words each round takes. */
#define ALL_ROUNDS(MIX, v, m)                                                                      \
    ROUND (MIX, v, m, order[0]);                                                                   \
    ROUND (MIX, v, m, order[1]);                                                                   \
    ROUND (MIX, v, m, order[2]);                                                                   \
    ROUND (MIX, v, m, order[3]);                                                                   \
    ROUND (MIX, v, m, order[4]);                                                                   \
    ROUND (MIX, v, m, order[5]);                                                                   \
    ROUND (MIX, v, m, order[6]);                                                                   \
    ROUND (MIX, v, m, order[7]);                                                                   \
    ROUND (MIX, v, m, order[8]);                                                                   \
    ROUND (MIX, v, m, order[9]);                                                                   \
    ROUND (MIX, v, m, order[0]);                                                                   \
    ROUND (MIX, v, m, order[1])

static uint64_t word_at (const uint8_t *bytes)
{
    uint64_t word; /* the machine is little-endian: state.c asserts it */
    memcpy (&word, bytes, sizeof word);
    return word;
}

/* --- one lane --------------------------------------------------------------------------------- */

static uint64_t turned (uint64_t x, unsigned bits) { return x >> bits | x << (64 - bits); }

#define MIX_ONE(a, b, c, d, x, y)                                                                  \
    do {                                                                                           \
        a += b + x;                                                                                \
        d = turned (d ^ a, 32);                                                                    \
        c += d;                                                                                    \
        b = turned (b ^ c, 24);                                                                    \
        a += b + y;                                                                                \
        d = turned (d ^ a, 16);                                                                    \
        c += d;                                                                                    \
        b = turned (b ^ c, 63);                                                                    \
    } while (0)

static void compress (struct mu_lanes *lanes, uint32_t lane, const uint8_t *block, bool last)
{
    uint64_t v[16], m[16];
    for (uint32_t i = 0; i < 16; i++)
        m[i] = word_at (block + 8 * i);
    for (uint32_t i = 0; i < 8; i++) {
        v[i] = lanes->h[i][lane];
        v[8 + i] = start[i];
    }
    v[12] ^= lanes->count[lane];
    v[14] = last ? ~v[14] : v[14];
    ALL_ROUNDS (MIX_ONE, v, m);
    for (uint32_t i = 0; i < 8; i++)
        lanes->h[i][lane] ^= v[i] ^ v[8 + i];
}

static void feed_one (struct mu_lanes *lanes, uint32_t lane, const uint8_t *from, size_t blocks)
{
    for (; blocks; blocks--, from += MU_LANES_BLOCK) {
        lanes->count[lane] += MU_LANES_BLOCK;
        compress (lanes, lane, from, false);
    }
}

/* --- four lanes ------------------------------------------------------------------------------- */

#ifdef __x86_64__
static bool has_four (void)
{
    __builtin_cpu_init ();
    return __builtin_cpu_supports ("avx2");
}

#define AVX2 __attribute__ ((target ("avx2")))

typedef uint64_t four __attribute__ ((vector_size (32)));
typedef uint8_t bytes __attribute__ ((vector_size (32)));

/* Turning by whole bytes is one shuffle. */
#define OF_WORD(w, k)                                                                              \
    8 * (w) + (k) % 8, 8 * (w) + ((k) + 1) % 8, 8 * (w) + ((k) + 2) % 8, 8 * (w) + ((k) + 3) % 8,  \
        8 * (w) + ((k) + 4) % 8, 8 * (w) + ((k) + 5) % 8, 8 * (w) + ((k) + 6) % 8,                 \
        8 * (w) + ((k) + 7) % 8
#define BY_BYTES(x, k)                                                                             \
    ((four)__builtin_shufflevector ((bytes)(x), (bytes)(x), OF_WORD (0, k), OF_WORD (1, k),        \
                                    OF_WORD (2, k), OF_WORD (3, k)))

#define MIX_FOUR(a, b, c, d, x, y)                                                                 \
    do {                                                                                           \
        a += b + x;                                                                                \
        d = BY_BYTES (d ^ a, 4);                                                                   \
        c += d;                                                                                    \
        b = BY_BYTES (b ^ c, 3);                                                                   \
        a += b + y;                                                                                \
        d = BY_BYTES (d ^ a, 2);                                                                   \
        c += d;                                                                                    \
        b ^= c;                                                                                    \
        b = b >> 63 | (b + b);                                                                     \
    } while (0)

AVX2 static void compress_four (four h[8], const four *count, const uint8_t *const block[MU_LANES])
{
    four v[16], m[16];
    for (uint32_t i = 0; i < 16; i++)
        m[i] = (four){ word_at (block[0] + 8 * i), word_at (block[1] + 8 * i),
                       word_at (block[2] + 8 * i), word_at (block[3] + 8 * i) };
    for (uint32_t i = 0; i < 8; i++) {
        v[i] = h[i];
        v[8 + i] = (four){ start[i], start[i], start[i], start[i] };
    }
    v[12] ^= *count;
    ALL_ROUNDS (MIX_FOUR, v, m);
    for (uint32_t i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[8 + i];
}

/* Idle lanes go through the motions, and stay as they are. */
AVX2 static void feed_four (struct mu_lanes *lanes, const uint8_t *const from[MU_LANES],
                            size_t blocks)
{
    static const uint8_t nothing[MU_LANES_BLOCK];
    const uint8_t *at[MU_LANES];
    four h[8], count;
    memcpy (h, lanes->h, sizeof h);
    memcpy (&count, lanes->count, sizeof count);
    for (size_t i = 0; i < blocks; i++) {
        for (uint32_t lane = 0; lane < MU_LANES; lane++)
            at[lane] = from[lane] ? from[lane] + i * MU_LANES_BLOCK : nothing;
        count += MU_LANES_BLOCK;
        compress_four (h, &count, at);
    }
    for (uint32_t lane = 0; lane < MU_LANES; lane++) {
        if (!from[lane])
            continue;
        lanes->count[lane] = count[lane];
        for (uint32_t i = 0; i < 8; i++)
            lanes->h[i][lane] = h[i][lane];
    }
}
#else
static bool has_four (void) { return false; }
static void feed_four (struct mu_lanes *lanes, const uint8_t *const from[MU_LANES], size_t blocks)
{
    (void)lanes, (void)from, (void)blocks;
}
#endif

/* --- streams ---------------------------------------------------------------------------------- */

void mu_lanes_begin (struct mu_lanes *lanes, uint32_t lane)
{
    for (uint32_t i = 0; i < 8; i++)
        lanes->h[i][lane] = start[i];
    lanes->h[0][lane] ^= 0x01010000 ^ MU_LANES_HASH;
    lanes->count[lane] = 0;
}

void mu_lanes_feed (struct mu_lanes *lanes, const uint8_t *const from[MU_LANES], size_t blocks)
{
    uint32_t busy = 0;
    for (uint32_t lane = 0; lane < MU_LANES; lane++)
        busy += from[lane] != NULL;
    if (busy > 1 && has_four ()) {
        feed_four (lanes, from, blocks);
        return;
    }
    for (uint32_t lane = 0; lane < MU_LANES; lane++)
        if (from[lane])
            feed_one (lanes, lane, from[lane], blocks);
}

void mu_lanes_end (struct mu_lanes *lanes, uint32_t lane, const uint8_t *last, size_t size,
                   uint8_t hash[MU_LANES_HASH])
{
    uint8_t block[MU_LANES_BLOCK] = { 0 };
    if (size)
        memcpy (block, last, size);
    lanes->count[lane] += size;
    compress (lanes, lane, block, true);
    for (uint32_t i = 0; i < MU_LANES_HASH / 8; i++)
        memcpy (hash + 8 * i, &lanes->h[i][lane], 8);
}
