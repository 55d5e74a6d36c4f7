/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c - matrix product whose bits are fixed; compiled once per instruction set
 *
 * Every element of C is one chain c = fma (a, b, c) over ascending k. Tiles, vector width, packing
 * and the blocking of k (which stores partial C as float32, exactly what the register held) choose
 * only when and where a link is computed. So no two sets, and no two shapes of the loops below,
 * can differ.
 *
 * Design (after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"):
 *   for blocks of n, of k:  pack B's block into panels TILE_COLUMNS wide, zero-padded
 *     for blocks of m:      pack A's block into panels of at most TILE_ROWS rows
 *       for panels of B, of A: a micro-kernel keeps a tile of C in registers over the whole block
 * of k m is cut into panels of nearly equal height: 128 rows are 8 of 12 and 4 of 8, never a lone
 * row. A is read where it lies when too few columns of C would pay for packing it, and when its k
 * are neighbours and a tile has few rows: see DIRECT_ROWS.
 *
 * Buffers belong to the thread and are freed when it ends. If memory for them cannot be had the
 * product is computed without, slowly, to the same bits; nothing here is fatal.
 */
#include "worker/kernels/isa.h"
#include "worker/kernels/simd.h"

#define BLOCK_K ((size_t)256)
#define BLOCK_M ((size_t)TILE_ROWS * 20)
#define BLOCK_N ((size_t)1024)

#define PACK_A_COLUMNS ((size_t)128) /* from so many columns of C on, packing A pays */

/* A tile of so few rows reads them from where they lie, if k are neighbours. Rows a power of two
 * apart share one set of the first cache, 8 or 12 lines; six leave room there for B's panel, twelve
 * do not and must be packed. */
#define DIRECT_ROWS 6

/* Where an operand's element (row, k) or (k, column) lies: at base[row * row_step + k * k_step]. */
struct operand {
    const float *base;
    size_t step;   /* between neighbours along m or n */
    size_t k_step; /* between neighbours along k */
};

MU_INLINE const float *operand_at (const struct operand *x, size_t index, size_t k)
{
    return x->base + index * x->step + k * x->k_step;
}

/* --- micro-kernels ---------------------------------------------------------------------------- */

/* C[rows, vectors * LANES] (+)= A * B over k, for constant rows and vectors; b is a packed panel or
 * rows of B itself, b_step apart. Either a_step or a_k_step is 1 where it is inlined. */
MU_INLINE void tile (const size_t rows, const size_t vectors, size_t k, const float *a,
                     size_t a_step, size_t a_k_step, const float *b, size_t b_step, float *c,
                     size_t ldc, bool accumulate)
{
    mu_vector sum[TILE_ROWS][TILE_VECTORS];
    UNROLL
    for (size_t i = 0; i < rows; i++) {
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            sum[i][j] = accumulate ? vector_load (c + i * ldc + j * LANES) : vector_fill (0.f);
    }
    for (size_t p = 0; p < k; p++, a += a_k_step, b += b_step) {
        mu_vector bs[TILE_VECTORS];
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            bs[j] = vector_load (b + j * LANES);
        UNROLL
        for (size_t i = 0; i < rows; i++) {
            mu_vector as = vector_fill (a[i * a_step]);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                sum[i][j] = vector_fma (as, bs[j], sum[i][j]);
        }
    }
    UNROLL
    for (size_t i = 0; i < rows; i++) {
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            vector_store (c + i * ldc + j * LANES, sum[i][j]);
    }
}

typedef void tile_function (size_t k, const float *a, size_t a_step, const float *b, size_t b_step,
                            float *c, size_t ldc, bool accumulate);

/* tile_by_column_R: A's rows are neighbours (packed, or A transposed), a_step apart along k;
 * tile_by_row_R: A's k are neighbours, its rows a_step apart. */
#define TILE(ROWS)                                                                                 \
    static void tile_by_column_##ROWS (size_t k, const float *a, size_t a_step, const float *b,    \
                                       size_t b_step, float *c, size_t ldc, bool accumulate)       \
    {                                                                                              \
        tile (ROWS, TILE_VECTORS, k, a, 1, a_step, b, b_step, c, ldc, accumulate);                 \
    }                                                                                              \
    static void tile_by_row_##ROWS (size_t k, const float *a, size_t a_step, const float *b,       \
                                    size_t b_step, float *c, size_t ldc, bool accumulate)          \
    {                                                                                              \
        tile (ROWS, TILE_VECTORS, k, a, a_step, 1, b, b_step, c, ldc, accumulate);                 \
    }
#define TILES_4      TILE (1) TILE (2) TILE (3) TILE (4)
#define TILES_6      TILES_4 TILE (5) TILE (6)
#define TILES_12     TILES_6 TILE (7) TILE (8) TILE (9) TILE (10) TILE (11) TILE (12)
#define ROW_4(KIND)  KIND##1, KIND##2, KIND##3, KIND##4
#define ROW_6(KIND)  ROW_4 (KIND), KIND##5, KIND##6
#define ROW_12(KIND) ROW_6 (KIND), KIND##7, KIND##8, KIND##9, KIND##10, KIND##11, KIND##12

#if TILE_ROWS == 12
TILES_12
#define TILE_TABLE(KIND) ROW_12 (KIND)
#elif TILE_ROWS == 6
TILES_6
#define TILE_TABLE(KIND) ROW_6 (KIND)
#else
TILES_4
#define TILE_TABLE(KIND) ROW_4 (KIND)
#endif

static tile_function *const tiles_by_column[TILE_ROWS] = { TILE_TABLE (tile_by_column_) };
static tile_function *const tiles_by_row[TILE_ROWS] = { TILE_TABLE (tile_by_row_) };

/* A tile at C's right edge: computed beside, on the zero-padded panel, then copied in part. */
static void edge_tile (tile_function *function, size_t rows, size_t columns, size_t k,
                       const float *a, size_t a_step, const float *b, float *c, size_t ldc,
                       bool accumulate)
{
    float beside[TILE_ROWS * TILE_COLUMNS] __attribute__ ((aligned (64))) = { 0 };
    for (size_t i = 0; accumulate && i < rows; i++)
        memcpy (beside + i * TILE_COLUMNS, c + i * ldc, columns * sizeof *c);
    function (k, a, a_step, b, TILE_COLUMNS, beside, TILE_COLUMNS, accumulate);
    for (size_t i = 0; i < rows; i++)
        memcpy (c + i * ldc, beside + i * TILE_COLUMNS, columns * sizeof *c);
}

/* --- packing ---------------------------------------------------------------------------------- */

typedef float four __attribute__ ((vector_size (16), aligned (4)));
typedef float eight __attribute__ ((vector_size (32), aligned (4)));

/* to[p * width + x] = from[x * ld + p] for x < 4, p < 4. */
MU_INLINE void transpose_4x4 (float *to, size_t width, const float *from, size_t ld)
{
    four r0 = *(const four *)from, r1 = *(const four *)(from + ld),
         r2 = *(const four *)(from + 2 * ld), r3 = *(const four *)(from + 3 * ld);
    four low01 = __builtin_shufflevector (r0, r1, 0, 4, 1, 5);
    four high01 = __builtin_shufflevector (r0, r1, 2, 6, 3, 7);
    four low23 = __builtin_shufflevector (r2, r3, 0, 4, 1, 5);
    four high23 = __builtin_shufflevector (r2, r3, 2, 6, 3, 7);
    *(four *)to = __builtin_shufflevector (low01, low23, 0, 1, 4, 5);
    *(four *)(to + width) = __builtin_shufflevector (low01, low23, 2, 3, 6, 7);
    *(four *)(to + 2 * width) = __builtin_shufflevector (high01, high23, 0, 1, 4, 5);
    *(four *)(to + 3 * width) = __builtin_shufflevector (high01, high23, 2, 3, 6, 7);
}

/* The same for x < 8, p < 8: pairs of rows, then pairs of pairs, then the halves. */
MU_INLINE void transpose_8x8 (float *to, size_t width, const float *from, size_t ld)
{
    eight r[8], two[8], quad[8];
    UNROLL
    for (size_t i = 0; i < 8; i++)
        r[i] = *(const eight *)(from + i * ld);
    UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        two[i] = __builtin_shufflevector (r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        two[i + 1] = __builtin_shufflevector (r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL
    for (size_t i = 0; i < 8; i += 4) {
        UNROLL
        for (size_t j = 0; j < 2; j++) {
            eight a = two[i + j], b = two[i + j + 2];
            quad[i + 2 * j] = __builtin_shufflevector (a, b, 0, 1, 8, 9, 4, 5, 12, 13);
            quad[i + 2 * j + 1] = __builtin_shufflevector (a, b, 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        eight a = quad[i], b = quad[i + 4];
        *(eight *)(to + i * width) = __builtin_shufflevector (a, b, 0, 1, 2, 3, 8, 9, 10, 11);
        *(eight *)(to + (i + 4) * width) =
            __builtin_shufflevector (a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* to[p * width + x] = from[x * ld + p] for x < rows, which is 8 or 4. */
MU_INLINE void pack_rows (const size_t rows, float *to, size_t width, const float *from, size_t ld,
                          size_t k)
{
    size_t p = 0;
    for (; p + rows <= k; p += rows)
        if (rows == 8)
            transpose_8x8 (to + p * width, width, from + p, ld);
        else
            transpose_4x4 (to + p * width, width, from + p, ld);
    for (; p < k; p++)
        for (size_t x = 0; x < rows; x++)
            to[p * width + x] = from[x * ld + p];
}

/* A panel from an operand whose k are neighbours. */
static void pack_transposed (float *to, size_t width, const float *from, size_t ld, size_t count,
                             size_t k)
{
    size_t x = 0;
    for (; x + 8 <= count; x += 8)
        pack_rows (8, to + x, width, from + x * ld, ld, k);
    for (; x + 4 <= count; x += 4)
        pack_rows (4, to + x, width, from + x * ld, ld, k);
    for (; x < count; x++)
        for (size_t p = 0; p < k; p++)
            to[p * width + x] = from[x * ld + p];
}

/* A narrow panel, filled to its last place, from an operand whose neighbours along m lie side by
 * side: eight floats at a time. The few too many of a row are overwritten by the next one, and the
 * last row is copied to the letter. Needs ld >= 16, so that nothing beyond the next row is read. */
static void pack_narrow (float *to, size_t width, const float *from, size_t ld, size_t k)
{
    for (size_t p = 0; p + 1 < k; p++)
        for (size_t x = 0; x < width; x += 8)
            *(eight *)(to + p * width + x) = *(const eight *)(from + p * ld + x);
    for (size_t x = 0; x < width; x++)
        to[(k - 1) * width + x] = from[(k - 1) * ld + x];
}

/* A panel from an operand whose neighbours along m or n lie side by side. */
static void pack_straight (float *to, size_t width, const float *from, size_t ld, size_t count,
                           size_t k)
{
    if (count == width && width < TILE_COLUMNS && width > 4 && ld >= 16) {
        pack_narrow (to, width, from, ld, k);
        return;
    }
    size_t x = 0;
    for (; x + TILE_COLUMNS <= count; x += TILE_COLUMNS)
        for (size_t p = 0; p < k; p++)
            memcpy (to + p * width + x, from + p * ld + x, TILE_COLUMNS * sizeof *to);
    for (; x + 4 <= count; x += 4)
        for (size_t p = 0; p < k; p++)
            *(four *)(to + p * width + x) = *(const four *)(from + p * ld + x);
    for (; x < count; x++)
        for (size_t p = 0; p < k; p++)
            to[p * width + x] = from[p * ld + x];
}

/* One panel of an operand, `count` of `width` places filled and the others zero. */
static void pack_panel (float *to, size_t width, const struct operand *from, size_t index,
                        size_t count, size_t k0, size_t k)
{
    const float *source = operand_at (from, index, k0);
    if (from->k_step == 1)
        pack_transposed (to, width, source, from->step, count, k);
    else
        pack_straight (to, width, source, from->k_step, count, k);
    for (size_t p = 0; count < width && p < k; p++)
        memset (to + p * width + count, 0, (width - count) * sizeof *to);
}

/* --- the blocks ------------------------------------------------------------------------------- */

struct product {
    struct operand a, b;
    float *c;
    size_t ldc;
    bool pack_a;
    bool accumulate;
    float *packed_a, *packed_b;
};

struct block {
    size_t m0, m, n0, n, k0, k;
};

MU_INLINE size_t at_most (size_t x, size_t limit) { return x < limit ? x : limit; }

/* The first row of panel i when m rows are cut into `panels` nearly equal ones. */
MU_INLINE size_t panel_start (size_t m, size_t panels, size_t i)
{
    size_t height = m / panels, taller = m % panels;
    return i * height + (i < taller ? i : taller);
}

/* One panel of B against all panels of A in the block. C's next tile is asked for meanwhile. */
static void multiply_panels (const struct product *x, const struct block *at, size_t column,
                             const float *b)
{
    size_t columns = at->n - column < TILE_COLUMNS ? at->n - column : TILE_COLUMNS;
    size_t panels = (at->m + TILE_ROWS - 1) / TILE_ROWS;
    bool accumulate = x->accumulate || at->k0 > 0;
    bool by_column = x->pack_a || x->a.step == 1;
    for (size_t i = 0; i < panels; i++) {
        size_t row = panel_start (at->m, panels, i);
        size_t rows = panel_start (at->m, panels, i + 1) - row;
        const float *a =
            x->pack_a ? x->packed_a + row * at->k : operand_at (&x->a, at->m0 + row, at->k0);
        size_t a_step = x->pack_a ? rows : by_column ? x->a.k_step : x->a.step;
        tile_function *function = by_column ? tiles_by_column[rows - 1] : tiles_by_row[rows - 1];
        float *c = x->c + (at->m0 + row) * x->ldc + at->n0 + column;
        for (size_t next = rows; next < 2 * rows; next++)
            __builtin_prefetch (c + next * x->ldc, 1);
        if (columns == TILE_COLUMNS)
            function (at->k, a, a_step, b, TILE_COLUMNS, c, x->ldc, accumulate);
        else
            edge_tile (function, rows, columns, at->k, a, a_step, b, c, x->ldc, accumulate);
    }
}

/* How many k are packed at a time over all panels of a block. Where neighbours along m or n lie side
 * by side, few: a cache line holds floats of two panels, and lines a page apart crowd each other out
 * of the caches. Where k are neighbours, all. */
MU_INLINE size_t pack_stride (const struct operand *x, size_t k) { return x->k_step == 1 ? k : 8; }

static void pack_a (const struct product *x, const struct block *at)
{
    size_t panels = (at->m + TILE_ROWS - 1) / TILE_ROWS, stride = pack_stride (&x->a, at->k);
    for (size_t p = 0; p < at->k; p += stride)
        for (size_t i = 0; i < panels; i++) {
            size_t row = panel_start (at->m, panels, i);
            size_t rows = panel_start (at->m, panels, i + 1) - row;
            pack_panel (x->packed_a + row * at->k + p * rows, rows, &x->a, at->m0 + row, rows,
                        at->k0 + p, at_most (at->k - p, stride));
        }
}

static void pack_b (const struct product *x, const struct block *at)
{
    size_t stride = pack_stride (&x->b, at->k);
    for (size_t p = 0; p < at->k; p += stride)
        for (size_t column = 0; column < at->n; column += TILE_COLUMNS)
            pack_panel (x->packed_b + column * at->k + p * TILE_COLUMNS, TILE_COLUMNS, &x->b,
                        at->n0 + column, at_most (at->n - column, TILE_COLUMNS), at->k0 + p,
                        at_most (at->k - p, stride));
}

static void multiply_block (const struct product *x, const struct block *at)
{
    if (x->pack_a)
        pack_a (x, at);
    for (size_t column = 0; column < at->n; column += TILE_COLUMNS)
        multiply_panels (x, at, column, x->packed_b + column * at->k);
}

static void multiply (const struct product *x, size_t m, size_t n, size_t k)
{
    struct block at = { 0 };
    for (at.n0 = 0; at.n0 < n; at.n0 += at.n) {
        at.n = at_most (n - at.n0, BLOCK_N);
        for (at.k0 = 0; at.k0 < k; at.k0 += at.k) {
            at.k = at_most (k - at.k0, BLOCK_K);
            pack_b (x, &at);
            for (at.m0 = 0; at.m0 < m; at.m0 += at.m) {
                at.m = at_most (m - at.m0, BLOCK_M);
                multiply_block (x, &at);
            }
        }
    }
}

/* The same chain without buffers. */
static void multiply_slowly (const struct product *x, size_t m, size_t n, size_t k)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float sum = x->accumulate ? x->c[i * x->ldc + j] : 0.f;
            for (size_t p = 0; p < k; p++)
                sum = __builtin_fmaf (*operand_at (&x->a, i, p), *operand_at (&x->b, j, p), sum);
            x->c[i * x->ldc + j] = sum;
        }
}

void MU_NAME (gemm) (bool a_transposed, bool b_transposed, size_t m, size_t n, size_t k,
                     const float *a, size_t lda, const float *b, size_t ldb, bool accumulate,
                     float *c, size_t ldc)
{
    struct product x = {
        .a = { a, a_transposed ? 1 : lda, a_transposed ? lda : 1 },
        .b = { b, b_transposed ? ldb : 1, b_transposed ? 1 : ldb },
        .c = c,
        .ldc = ldc,
        .pack_a = n >= PACK_A_COLUMNS && (a_transposed || TILE_ROWS > DIRECT_ROWS),
        .accumulate = accumulate,
    };
    if (k == 0) {
        for (size_t i = 0; !accumulate && i < m; i++)
            memset (c + i * ldc, 0, n * sizeof *c);
        return;
    }
    x.packed_a = mu_kernels_buffer ((BLOCK_M + BLOCK_N) * BLOCK_K * sizeof (float));
    if (!x.packed_a) {
        multiply_slowly (&x, m, n, k);
        return;
    }
    x.packed_b = x.packed_a + BLOCK_M * BLOCK_K;
    multiply (&x, m, n, k);
}
