/* SPDX-License-Identifier: Apache-2.0 */
/* test_state.c - one worker's state, and why any number of workers make the same one
 *
 * Worlds are simulated: each rank has its own state and sums, the reduction adds words in random
 * order, and ranks use different instruction sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "state_bed.h"
#include "worker/state/optimizer.h"
#include "worker/state/quantise.h"
#include "worker/state/state.h"

#include <math.h>

#define M     12u
#define RANKS 8u

static const struct mu_optimizer optimizer = {
    .schedule = MU_SCHEDULE_COSINE,
    .non_finite = MU_NON_FINITE_FAIL,
    .rate = 1e-2,
    .rate_min = 1e-3,
    .warmup_steps = 5,
    .steps = 60,
    .beta1 = 0.9,
    .beta2 = 0.99,
    .epsilon = 1e-8,
    .weight_decay = 0.1,
    .clip_norm = 1,
};

static const struct mu_kernels *some_kernels (uint64_t i)
{
    size_t count = 0;
    while (mu_kernels_available (count))
        count++;
    return mu_kernels_get (mu_kernels_available (i % count), NULL);
}

/* --- the block -------------------------------------------------------------------------------- */

static void the_block_is_laid_out_as_the_header_says (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    const struct mu_state_tensor *table = mu_state_table_const (state);
    const uint64_t elements[] = { 35, 33, 48, 1, 1700 };
    const uint64_t first[] = { 0, 48, 96, 144, 160 };
    for (uint32_t i = 0; i < BED_TENSORS; i++) {
        assert_int_equal (table[i].elements, elements[i]);
        assert_int_equal (table[i].first, first[i]);
        assert_int_equal (table[i].flags, bed_tensors[i].flags);
        assert_int_equal (table[i].scale, MU_SCALE_FIRST);
    }
    assert_int_equal (state->parameters, 1817);
    assert_int_equal (state->padded, 160 + 1712);
    assert_int_equal ((uintptr_t)mu_state_weights (state) % 64, 0);
    assert_int_equal ((uintptr_t)mu_state_m (state) % 64, 0);
    assert_int_equal ((uintptr_t)mu_state_v (state) % 64, 0);
    assert_true (mu_state_weights (state)[47] == 0 && mu_state_weights (state)[48] != 0);
    assert_int_equal (mu_state_size (bed_tensors, BED_TENSORS, NULL), state->bytes);
    assert_ptr_equal ((char *)mu_state_v (state) + 4 * state->padded, (char *)state + state->bytes);
    float *pointers[BED_TENSORS];
    mu_state_pointers (state, mu_state_weights (state), pointers);
    assert_ptr_equal (pointers[4], mu_state_weights (state) + 160);
    free (state);
}

static void impossible_tensors_are_refused (void **unused)
{
    (void)unused;
    const struct {
        struct muster_tensor tensors[2];
        const char *sentence;
    } cases[] = {
        { { { "a", 0, 1, { 1 } }, { "a", 0, 1, { 1 } } }, "two tensors named a" },
        { { { "a", 0, 1, { 1 } }, { "b", 0, 0, { 1 } } }, "tensor b has an impossible shape" },
        { { { "a", 0, 1, { 1 } }, { "b", 0, 5, { 1 } } }, "tensor b has an impossible shape" },
        { { { "a", 0, 2, { 1, 0 } }, { "b", 0, 1, { 1 } } }, "tensor a has an impossible shape" },
        { { { "a", 0, 2, { 1ull << 33, 1ull << 33 } }, { "b", 0, 1, { 1 } } }, "impossible shape" },
        { { { "a", 0, 1, { 1ull << 40 } }, { "b", 0, 1, { 1 } } }, "more than 2^40" },
        { { { "", 0, 1, { 1 } }, { "b", 0, 1, { 1 } } }, "tensor 0 has no usable name" },
        { { { "a", 0, 1, { 1 } }, { "b\"", 0, 1, { 1 } } }, "tensor 1 has no usable name" },
        { { { "a", 0, 1, { 1 } }, { "__metadata__", 0, 1, { 1 } } }, "no usable name" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mu_error error = { .text = "" };
        assert_int_equal (mu_state_size (cases[i].tensors, 2, &error), 0);
        assert_non_null (strstr (error.text, cases[i].sentence));
    }
    assert_int_equal (mu_state_size (bed_tensors, 0, NULL), 0);
}

static void a_foreign_block_is_not_believed (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    struct mu_error error;
    size_t size = state->bytes;
    assert_int_equal (mu_state_check (state, size, bed_tensors, BED_TENSORS, &error), 0);
    assert_int_equal (mu_state_check (state, size - 1, bed_tensors, BED_TENSORS, &error), -1);
    assert_int_equal (mu_state_check (state, 16, bed_tensors, BED_TENSORS, &error), -1);
    assert_int_equal (mu_state_check (state, size, bed_tensors, BED_TENSORS - 1, &error), -1);
    assert_non_null (strstr (error.text, "of another model: 1817 parameters in 5 tensors"));
    const struct {
        size_t at;
        uint8_t value;
    } spoils[] = {
        { 0, 1 },
        { offsetof (struct mu_state, version), 9 },
        { offsetof (struct mu_state, bytes), 1 },
        { offsetof (struct mu_state, m_at) + 7, 1 },
        { offsetof (struct mu_state, skipped), 1 },
        { offsetof (struct mu_state, beta1_power) + 7, 0xff },
        { sizeof (struct mu_state) + offsetof (struct mu_state_tensor, first) + 5, 1 },
        { sizeof (struct mu_state) + offsetof (struct mu_state_tensor, elements), 36 },
        { sizeof (struct mu_state) + offsetof (struct mu_state_tensor, flags), 0 },
        { sizeof (struct mu_state) + offsetof (struct mu_state_tensor, scale), 200 },
    };
    for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
        struct mu_state *spoilt = bed_copy (state);
        ((uint8_t *)spoilt)[spoils[i].at] = spoils[i].value;
        assert_int_equal (mu_state_check (spoilt, size, bed_tensors, BED_TENSORS, &error), -1);
        free (spoilt);
    }
    free (state);
}

/* Made with: python3, hashlib.blake2b (weights as '<f4', digest_size=32). */
#define GOLDEN_HASH "198bfbc80a6f403ab114f64fe45bb028d78821129b4c85566cbfc1275de353ff"

static void the_weights_hash_is_what_anybody_computes (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    struct mu_state_tensor *table = mu_state_table (state);
    for (uint32_t t = 0; t < state->tensors; t++)
        for (uint64_t i = 0; i < table[t].elements; i++)
            mu_state_weights (state)[table[t].first + i] = (float)t + (float)i * 0.25f;
    uint8_t hash[MU_STATE_HASH_SIZE], other[MU_STATE_HASH_SIZE];
    char text[MU_STATE_HASH_TEXT];
    mu_state_hash (state, hash);
    mu_state_hash_text (hash, text);
    assert_string_equal (text, GOLDEN_HASH);
    mu_state_m (state)[3] = 1;
    mu_state_hash (state, other);
    assert_memory_equal (hash, other, sizeof hash);
    free (state);
}

static void the_digest_sees_everything (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    uint8_t digest[MU_STATE_HASH_SIZE], other[MU_STATE_HASH_SIZE];
    mu_state_digest (state, digest);
    for (int what = 0; what < 9; what++) {
        struct mu_state *changed = bed_copy (state);
        switch (what) {
        case 0: mu_state_weights (changed)[160] = 0.5f; break;
        case 1: mu_state_m (changed)[48] = 1e-30f; break;
        case 2: mu_state_v (changed)[1859] = 1e-30f; break;
        case 3: changed->step++; break;
        case 4: changed->attempt++; break;
        case 5: changed->skipped++; break;
        case 6: changed->beta1_power = nextafter (1, 0); break;
        case 7: changed->beta2_power = nextafter (1, 0); break;
        default: mu_state_table (changed)[3].scale++; break;
        }
        mu_state_digest (changed, other);
        assert_memory_not_equal (digest, other, sizeof digest);
        free (changed);
    }
    free (state);
}

/* --- worlds ----------------------------------------------------------------------------------- */

struct world {
    uint32_t ranks;
    uint64_t seed; /* of owners, orders and instruction sets; not of the job */
    enum mu_sums_form form;
    bool spiky;       /* gradients that jump and make scales fall */
    int64_t bad_step; /* the step in which bad_micro_batch is NaN; -1: none */
    uint32_t bad_micro_batch;
    enum mu_non_finite policy;
    uint32_t skips; /* bit m: left out of every third step */
    /* what came of it */
    uint64_t redone;
    struct mu_state *state[RANKS];
};

/* What a trainer would compute: a function of (weights, step, m). */
static void make_gradient (const struct world *world, const struct mu_state *state, uint32_t m,
                           float *gradient)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    const float *weights = mu_state_weights_const (state);
    static const float sizes[BED_TENSORS] = { 1e-3f, 30.f, 1e-7f, 1.f, 1e-2f };
    for (uint32_t t = 0; t < state->tensors; t++) {
        bool spike = world->spiky && bed_random (state->step, t, m) % 37 == 0;
        float size = sizes[t] * (spike ? 3000.f : 1.f);
        for (uint64_t i = 0; i < table[t].elements; i++) {
            uint64_t at = table[t].first + i;
            float noise = bed_noise (state->step * 1000 + m, t, i);
            gradient[at] = (weights[at] * 0.5f + noise) * size;
        }
    }
    if (world->bad_step == (int64_t)state->step && m == world->bad_micro_batch)
        gradient[table[4].first + 1234] = NAN;
}

static struct muster_result make_result (const struct mu_state *state, uint32_t m)
{
    return (struct muster_result){ .loss = 5 + (double)bed_noise (state->step, m, 7),
                                   .targets = 100 + m,
                                   .correct = m };
}

/* One rank's sums of the micro-batches it owns, in an order of its own. */
static void train (const struct world *world, const struct mu_sums_layout *layout, uint32_t rank,
                   void *sums, float *gradient)
{
    const struct mu_state *state = world->state[rank];
    const struct mu_kernels *kernels = some_kernels (world->seed + rank);
    uint64_t start = bed_random (world->seed, state->step, 1 + rank) % M;
    mu_sums_begin (layout, sums);
    for (uint32_t i = 0; i < M; i++) {
        uint32_t m = (uint32_t)(start + (uint64_t)i * 5) % M;
        if (bed_random (world->seed, state->step + 77, m) % world->ranks != rank)
            continue;
        assert_false (mu_sums_has (layout, sums, state, m));
        if (state->step % 3 == 2 && (world->skips >> m & 1)) {
            mu_sums_skip (layout, sums, state, m);
            assert_true (mu_sums_has (layout, sums, state, m));
            assert_true (mu_sums_skips (layout, sums, state, m));
            continue;
        }
        make_gradient (world, state, m, gradient);
        for (uint32_t t = 0; t < state->tensors; t++)
            mu_sums_add (layout, sums, state, kernels, t, m,
                         gradient + mu_state_table_const (state)[t].first);
        struct muster_result result = make_result (state, m);
        mu_sums_finish (layout, sums, state, m, &result);
        assert_true (mu_sums_has (layout, sums, state, m));
    }
}

/* Bucket by bucket, as a reduction does it; wrapping, and in another order each time. */
static void reduce (const struct world *world, const struct mu_sums_layout *layout,
                    void *const *sums, void *result)
{
    uint64_t turn = bed_random (world->seed, world->state[0]->step, 99);
    memset (result, 0xa5, layout->words * layout->form);
    for (uint32_t b = 0; b <= layout->tensors; b++) {
        struct mu_sums_bucket bucket = mu_sums_bucket (layout, world->state[0], b);
        for (uint64_t i = bucket.first; i < bucket.first + bucket.count; i++) {
            uint64_t total = 0;
            for (uint32_t r = 0; r < world->ranks; r++) {
                const void *own = sums[(r + turn) % world->ranks];
                total += layout->form == MU_SUMS_INT64 ? ((const uint64_t *)own)[i]
                                                       : ((const uint32_t *)own)[i];
            }
            if (layout->form == MU_SUMS_INT64)
                ((uint64_t *)result)[i] = total;
            else
                ((uint32_t *)result)[i] = (uint32_t)total;
        }
    }
}

static void all_ranks_agree (const struct world *world)
{
    for (uint32_t r = 1; r < world->ranks; r++)
        assert_memory_equal (world->state[0], world->state[r], world->state[0]->bytes);
}

/* Returns what the last mu_update returned; all ranks say the same. */
static int run (struct world *world, uint64_t steps, struct mu_update *update,
                struct mu_error *error)
{
    struct mu_sums_layout layout;
    struct mu_optimizer settings = optimizer;
    settings.non_finite = world->policy;
    for (uint32_t r = 0; r < world->ranks; r++)
        world->state[r] = bed_state (1);
    assert_int_equal (mu_sums_plan (&layout, world->state[0], world->form, M, NULL), 0);
    size_t bytes = layout.words * layout.form;
    float *gradient = bed_memory (world->state[0]->padded * sizeof (float));
    void *sums[RANKS], *result = bed_memory (bytes);
    for (uint32_t r = 0; r < world->ranks; r++)
        sums[r] = bed_memory (bytes);
    int status = 0;
    while (status == 0 && world->state[0]->step < steps) {
        for (uint32_t r = 0; r < world->ranks; r++)
            train (world, &layout, r, sums[r], gradient);
        reduce (world, &layout, sums, result);
        for (uint32_t r = 0; r < world->ranks; r++) {
            int said = mu_update (world->state[r], &layout, result, &settings,
                                  some_kernels (world->seed + r), gradient, update, error);
            assert_true (r == 0 || said == status);
            status = said;
        }
        world->redone += update->verdict.decision == MU_LOWER_SCALES;
        all_ranks_agree (world);
    }
    for (uint32_t r = 0; r < world->ranks; r++)
        free (sums[r]);
    free (result);
    free (gradient);
    return status;
}

static void end (struct world *world)
{
    for (uint32_t r = 0; r < world->ranks; r++)
        free (world->state[r]);
}

/* Run as the only rank and as many: one digest, returned as text. */
static void compare_worlds (enum mu_sums_form form, bool spiky, char text[MU_STATE_HASH_TEXT])
{
    static const uint32_t sizes[] = { 1, 2, 3, 5, 8 };
    uint8_t alone[MU_STATE_HASH_SIZE], digest[MU_STATE_HASH_SIZE];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct world world = { .ranks = sizes[i],
                                   .seed = seed * 1000 + i,
                                   .form = form,
                                   .spiky = spiky,
                                   .bad_step = -1 };
            struct mu_update update;
            assert_int_equal (run (&world, 40, &update, NULL), 0);
            mu_state_digest (world.state[0], i + seed == 0 ? alone : digest);
            if (i + seed > 0)
                assert_memory_equal (alone, digest, sizeof digest);
            assert_true (spiky ? world.redone > 5 : world.redone < 5);
            end (&world);
        }
    mu_state_hash_text (alone, text);
}

static void any_number_of_ranks_makes_the_same_state (void **unused)
{
    (void)unused;
    char text[MU_STATE_HASH_TEXT];
    compare_worlds (MU_SUMS_INT32, false, text);
    assert_string_equal (text, "bbe73d7573b60e6284cc0b1a90bec6d4e1bf89a04e2660e7e5f1fc378fb24d3a");
    compare_worlds (MU_SUMS_INT64, false, text);
    assert_string_equal (text, "c5806b9a1ac65e40cb3f53f9b4b25fa6d340bce561cfa2e29e4278d5a72f059a");
}

static void so_it_does_when_scales_must_fall_again_and_again (void **unused)
{
    (void)unused;
    char text[MU_STATE_HASH_TEXT];
    compare_worlds (MU_SUMS_INT32, true, text);
    assert_string_equal (text, "178d822c34c081d7059a406e97595785df27c6cdf970be52d8a59e423c06fd14");
    compare_worlds (MU_SUMS_INT64, true, text);
    assert_string_equal (text, "0ed7deb821c9a09bafd205d5db93bafb741a1330d6148985eea0da023d0b3893");
}

static void nan_in_one_micro_batch_fails_the_job_by_name (void **unused)
{
    (void)unused;
    for (uint32_t ranks = 1; ranks <= 5; ranks += 2) {
        struct world world = { .ranks = ranks,
                               .seed = ranks,
                               .form = MU_SUMS_INT32,
                               .bad_step = 7,
                               .bad_micro_batch = 3,
                               .policy = MU_NON_FINITE_FAIL };
        struct mu_update update;
        struct mu_error error;
        assert_int_equal (run (&world, 40, &update, &error), -1);
        assert_int_equal (update.verdict.decision, MU_NON_FINITE);
        assert_int_equal (update.verdict.micro_batch, 3);
        assert_int_equal (update.verdict.tensor, 4);
        assert_int_equal (world.state[0]->step, 7);
        assert_int_equal (error.code, MU_FAILED);
        assert_non_null (strstr (error.text, "gradient of micro-batch 3 at step 7"));
        end (&world);
    }
}

static void or_the_step_is_skipped_on_every_rank (void **unused)
{
    (void)unused;
    struct world before = { .ranks = 1, .form = MU_SUMS_INT32, .bad_step = -1 };
    struct world world = { .ranks = 3,
                           .form = MU_SUMS_INT32,
                           .bad_step = 7,
                           .bad_micro_batch = 11,
                           .policy = MU_NON_FINITE_SKIP };
    struct mu_update update;
    assert_int_equal (run (&before, 7, &update, NULL), 0);
    assert_int_equal (run (&world, 8, &update, NULL), 0);
    assert_int_equal (world.state[0]->step, 8);
    assert_int_equal (world.state[0]->skipped, 1);
    size_t from = before.state[0]->weights_at;
    assert_memory_equal ((char *)world.state[0] + from, (char *)before.state[0] + from,
                         before.state[0]->bytes - from);
    assert_true (world.state[0]->beta1_power == before.state[0]->beta1_power);
    end (&before);
    end (&world);
}

/* Left out of some steps, on any rank, in any order: one state, and not that of the whole. */
static void what_is_left_out_is_left_out_everywhere (void **unused)
{
    (void)unused;
    static const uint32_t sizes[] = { 1, 2, 3, 5 };
    uint8_t whole[MU_STATE_HASH_SIZE], alone[MU_STATE_HASH_SIZE], digest[MU_STATE_HASH_SIZE];
    for (enum mu_sums_form form = MU_SUMS_INT32; form <= MU_SUMS_INT64; form += 4) {
        struct mu_update update;
        struct world plain = { .ranks = 1, .form = form, .bad_step = -1 };
        assert_int_equal (run (&plain, 12, &update, NULL), 0);
        mu_state_digest (plain.state[0], whole);
        end (&plain);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct world world = { .ranks = sizes[i],
                                   .seed = i,
                                   .form = form,
                                   .bad_step = -1,
                                   .skips = 1u << 3 | 1u << 7 };
            assert_int_equal (run (&world, 12, &update, NULL), 0);
            assert_int_equal (update.verdict.skipped, 2);
            assert_int_equal (world.state[0]->skipped, 0);
            mu_state_digest (world.state[0], i ? digest : alone);
            assert_true (!i || !memcmp (alone, digest, sizeof digest));
            end (&world);
        }
        assert_true (memcmp (whole, alone, sizeof alone) != 0);
    }
}

/* A step with nothing left is done and changes nothing. */
static void a_step_of_nothing_counts_as_done (void **unused)
{
    (void)unused;
    struct mu_update update;
    struct world before = { .ranks = 1, .form = MU_SUMS_INT32, .bad_step = -1 };
    struct world world = { .ranks = 3, .form = MU_SUMS_INT32, .bad_step = -1, .skips = UINT32_MAX };
    assert_int_equal (run (&before, 2, &update, NULL), 0);
    assert_int_equal (run (&world, 3, &update, NULL), 0);
    assert_int_equal (update.verdict.decision, MU_ALL_SKIPPED);
    assert_int_equal (world.state[0]->step, 3);
    assert_int_equal (world.state[0]->skipped, 1);
    size_t from = before.state[0]->weights_at;
    assert_memory_equal ((char *)world.state[0] + from, (char *)before.state[0] + from,
                         before.state[0]->bytes - from);
    assert_true (world.state[0]->beta1_power == before.state[0]->beta1_power);
    end (&before);
    end (&world);
}

/* --- sums by themselves ----------------------------------------------------------------------- */

struct bench { /* one rank, all M micro-batches */
    struct world world;
    struct mu_sums_layout layout;
    void *sums;
    float *gradient;
};

static struct bench bench_open (enum mu_sums_form form)
{
    struct bench bench = { .world = { .ranks = 1, .form = form, .bad_step = -1 } };
    bench.world.state[0] = bed_state (1);
    assert_int_equal (mu_sums_plan (&bench.layout, bench.world.state[0], form, M, NULL), 0);
    bench.sums = bed_memory (bench.layout.words * bench.layout.form);
    bench.gradient = bed_memory (bench.world.state[0]->padded * sizeof (float));
    train (&bench.world, &bench.layout, 0, bench.sums, bench.gradient);
    return bench;
}

static void bench_close (struct bench *bench)
{
    free (bench->sums);
    free (bench->gradient);
    end (&bench->world);
}

/* The verdict on sums that are all zero but one tensor's gradient, in micro-batch 0. */
static struct mu_verdict judge_one (struct bench *bench, uint32_t tensor, const float *gradient,
                                    double loss)
{
    const struct mu_state *state = bench->world.state[0];
    struct mu_verdict verdict;
    mu_sums_begin (&bench->layout, bench->sums);
    mu_sums_add (&bench->layout, bench->sums, state, some_kernels (0), tensor, 0, gradient);
    for (uint32_t m = 0; m < M; m++) {
        struct muster_result result = { .loss = loss, .targets = 1 };
        mu_sums_finish (&bench->layout, bench->sums, state, m, &result);
    }
    assert_int_equal (mu_sums_decide (&bench->layout, bench->sums, state, &verdict, NULL), 0);
    return verdict;
}

/* The mean of those that are there, to the bit: as if the step had that many. */
static void the_mean_is_over_those_that_are_there (void **unused)
{
    (void)unused;
    struct bench bench = bench_open (MU_SUMS_INT32);
    struct mu_state *state = bench.world.state[0];
    const struct mu_kernels *kernels = some_kernels (0);
    struct mu_sums_layout fewer;
    struct mu_verdict verdict;
    float *mean = bed_memory (state->padded * sizeof (float));
    assert_int_equal (mu_sums_plan (&fewer, state, MU_SUMS_INT32, M - 1, NULL), 0);
    void *sums = bed_memory (fewer.words * fewer.form);
    mu_sums_begin (&bench.layout, bench.sums);
    mu_sums_begin (&fewer, sums);
    for (uint32_t m = 0; m < M; m++) {
        const struct muster_result result = make_result (state, m);
        make_gradient (&bench.world, state, m, bench.gradient);
        if (m == M - 1) {
            mu_sums_skip (&bench.layout, bench.sums, state, m);
            continue;
        }
        for (uint32_t t = 0; t < state->tensors; t++) {
            const float *gradient = bench.gradient + mu_state_table_const (state)[t].first;
            mu_sums_add (&bench.layout, bench.sums, state, kernels, t, m, gradient);
            mu_sums_add (&fewer, sums, state, kernels, t, m, gradient);
        }
        mu_sums_finish (&bench.layout, bench.sums, state, m, &result);
        mu_sums_finish (&fewer, sums, state, m, &result);
    }
    assert_int_equal (mu_sums_decide (&fewer, sums, state, &verdict, NULL), 0);
    double loss = verdict.loss;
    uint64_t targets = verdict.targets;
    assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, NULL), 0);
    assert_true (verdict.skipped == 1 && verdict.loss == loss && verdict.targets == targets);
    mu_sums_to_gradient (&fewer, sums, state, kernels, mean);
    mu_sums_to_gradient (&bench.layout, bench.sums, state, kernels, bench.gradient);
    assert_memory_equal (mean, bench.gradient, state->padded * sizeof (float));
    free (mean);
    free (sums);
    bench_close (&bench);
}

static void each_micro_batch_counts_exactly_once (void **unused)
{
    (void)unused;
    for (enum mu_sums_form form = MU_SUMS_INT32; form <= MU_SUMS_INT64; form += 4) {
        struct bench bench = bench_open (form);
        struct mu_state *state = bench.world.state[0];
        struct mu_verdict verdict;
        struct mu_error error;
        const struct muster_result result = make_result (state, 4);
        assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, &error), 0);
        mu_sums_finish (&bench.layout, bench.sums, state, 4, &result);
        assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, &error), -1);
        assert_non_null (strstr (error.text, "hold micro-batch 4 more than once"));
        mu_sums_skip (&bench.layout, bench.sums, state, 4);
        assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, &error), -1);
        train (&bench.world, &bench.layout, 0, bench.sums, bench.gradient);
        mu_sums_skip (&bench.layout, bench.sums, state, 4); /* trained and left out */
        assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, &error), -1);
        mu_sums_begin (&bench.layout, bench.sums);
        for (uint32_t m = 0; m < M; m++)
            if (m != 9)
                mu_sums_finish (&bench.layout, bench.sums, state, m, &result);
        assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, &error), -1);
        assert_non_null (strstr (error.text, "lack micro-batch 9"));
        mu_sums_finish (&bench.layout, bench.sums, state, 9, &result);
        state->attempt++;
        assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, &error), -1);
        assert_false (mu_sums_has (&bench.layout, bench.sums, state, 0));
        bench_close (&bench);
    }
}

static void reports_pass_the_reduction_as_bits (void **unused)
{
    (void)unused;
    struct bench bench = bench_open (MU_SUMS_INT32);
    const struct mu_state *state = bench.world.state[0];
    struct mu_verdict verdict;
    assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, NULL), 0);
    double loss = 0;
    uint64_t targets = 0, correct = 0;
    for (uint32_t m = 0; m < M; m++) {
        struct muster_result sent = make_result (state, m);
        struct muster_result got = mu_sums_micro_batch (&bench.layout, bench.sums, m);
        assert_true (sent.loss == got.loss);
        assert_int_equal (sent.targets, got.targets);
        loss += sent.loss * (double)sent.targets;
        targets += sent.targets;
        correct += sent.correct;
    }
    assert_true (verdict.loss == loss / (double)targets);
    assert_int_equal (verdict.targets, targets);
    assert_int_equal (verdict.correct, correct);
    bench_close (&bench);
}

static void extremes_are_judged (void **unused)
{
    (void)unused;
    static const struct {
        float value;
        enum mu_decision decision;
    } cases[] = {
        { 0.f, MU_ACCEPT },
        { 1e-44f, MU_ACCEPT },
        { 100.f, MU_ACCEPT },
        { -2046.f, MU_ACCEPT },
        { 2048.f, MU_LOWER_SCALES },
        { -1e30f, MU_LOWER_SCALES },
        { 0x1p126f, MU_LOWER_SCALES },
        { 0x1p127f, MU_NON_FINITE },
        { NAN, MU_NON_FINITE },
        { -INFINITY, MU_NON_FINITE },
    };
    struct bench bench = bench_open (MU_SUMS_INT32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float gradient[33] = { 0 };
        gradient[32] = cases[i].value;
        struct mu_verdict verdict = judge_one (&bench, 1, gradient, 1);
        assert_int_equal (verdict.decision, cases[i].decision);
    }
    float nothing[33] = { 0 };
    struct mu_verdict verdict = judge_one (&bench, 1, nothing, NAN);
    assert_int_equal (verdict.decision, MU_NON_FINITE);
    assert_int_equal (verdict.tensor, BED_TENSORS);
    bench_close (&bench);
}

static void scales_follow_the_gradient (void **unused)
{
    (void)unused;
    struct bench bench = bench_open (MU_SUMS_INT32);
    struct mu_state *state = bench.world.state[0];
    struct mu_state_tensor *entry = &mu_state_table (state)[1];
    float gradient[33] = { 0 };
    state->step = 10;
    judge_one (&bench, 1, gradient, 1);
    mu_scales_follow (&bench.layout, bench.sums, state);
    assert_int_equal (entry->scale, MU_SCALE_FIRST); /* all zero: nothing learnt */
    gradient[0] = 1e-3f;
    for (int i = 1; i <= 5; i++) {
        judge_one (&bench, 1, gradient, 1);
        mu_scales_follow (&bench.layout, bench.sums, state);
        assert_int_equal (entry->scale, MU_SCALE_FIRST + i);
    }
    entry->scale = 99;
    gradient[0] = 1e-40f;
    for (int i = 0; i < 3; i++) {
        judge_one (&bench, 1, gradient, 1);
        mu_scales_follow (&bench.layout, bench.sums, state);
    }
    assert_int_equal (entry->scale, MU_SCALE_HIGHEST);
    gradient[0] = 0x1.8p126f; /* the worst that is finite, at the highest scale */
    int tries = 0;
    while (judge_one (&bench, 1, gradient, 1).decision == MU_LOWER_SCALES) {
        mu_scales_lower (&bench.layout, bench.sums, state);
        assert_true (++tries < 25);
    }
    assert_true (entry->scale >= MU_SCALE_LOWEST);
    mu_sums_to_gradient (&bench.layout, bench.sums, state, some_kernels (0), bench.gradient);
    assert_true (isfinite (bench.gradient[entry->first]) && bench.gradient[entry->first] > 0);
    bench_close (&bench);
}

/* Accepted means exact: compared with sums that cannot overflow. */
static void accepted_sums_never_overflowed (void **unused)
{
    (void)unused;
    struct bench bench = bench_open (MU_SUMS_INT32);
    struct mu_state *state = bench.world.state[0];
    struct mu_state_tensor *entry = &mu_state_table (state)[1];
    uint64_t accepted = 0, rejected = 0;
    for (uint64_t trial = 0; trial < 20000; trial++) {
        int64_t exact[33] = { 0 };
        struct mu_verdict verdict;
        entry->scale = (int32_t)(bed_random (trial, 0, 0) % 12) + 18;
        mu_sums_begin (&bench.layout, bench.sums);
        for (uint32_t m = 0; m < M; m++) {
            float gradient[33];
            float size = ldexpf (1, (int)(bed_random (trial, 1, m) % 12) - 4);
            for (uint32_t i = 0; i < 33; i++) {
                gradient[i] = bed_noise (trial, 2 + m, i) * size;
                exact[i] += llrint (ldexp ((double)gradient[i], entry->scale));
            }
            struct muster_result result = { .loss = 1, .targets = 1 };
            mu_sums_add (&bench.layout, bench.sums, state, some_kernels (trial), 1, m, gradient);
            mu_sums_finish (&bench.layout, bench.sums, state, m, &result);
        }
        assert_int_equal (mu_sums_decide (&bench.layout, bench.sums, state, &verdict, NULL), 0);
        rejected += verdict.decision == MU_LOWER_SCALES;
        if (verdict.decision != MU_ACCEPT)
            continue;
        accepted++;
        for (uint32_t i = 0; i < 33; i++)
            assert_true (((const int32_t *)bench.sums)[entry->first + i] == exact[i]);
    }
    assert_true (accepted > 1000 && rejected > 1000);
    bench_close (&bench);
}

/* Relative L2 distance of the mean gradient from one in double. */
static double measure_error (enum mu_sums_form form)
{
    struct world world = { .ranks = 1, .form = form, .bad_step = -1 };
    struct mu_update update;
    assert_int_equal (run (&world, 20, &update, NULL), 0); /* scales have settled */
    struct mu_sums_layout layout;
    struct mu_state *state = world.state[0];
    assert_int_equal (mu_sums_plan (&layout, state, form, M, NULL), 0);
    void *sums = bed_memory (layout.words * layout.form);
    float *gradient = bed_memory (state->padded * sizeof (float));
    double *exact = calloc (state->padded, sizeof *exact), off = 0, norm = 0;
    train (&world, &layout, 0, sums, gradient);
    for (uint32_t m = 0; m < M; m++) {
        make_gradient (&world, state, m, gradient);
        for (uint64_t i = 0; i < state->padded; i++)
            exact[i] += (double)gradient[i] / M;
    }
    mu_sums_to_gradient (&layout, sums, state, some_kernels (0), gradient);
    const struct mu_state_tensor *table = mu_state_table_const (state);
    double worst = 0;
    for (uint32_t t = 0; t < state->tensors; t++) {
        off = norm = 0;
        for (uint64_t i = table[t].first; i < table[t].first + table[t].elements; i++) {
            off += ((double)gradient[i] - exact[i]) * ((double)gradient[i] - exact[i]);
            norm += exact[i] * exact[i];
        }
        worst = fmax (worst, sqrt (off / norm));
    }
    free (exact);
    free (gradient);
    free (sums);
    end (&world);
    return worst;
}

static void rounding_is_as_small_as_promised (void **unused)
{
    (void)unused;
    double narrow = measure_error (MU_SUMS_INT32), wide = measure_error (MU_SUMS_INT64);
    print_message ("# worst tensor, relative L2: int32 %.2g, int64 %.2g\n", narrow, wide);
    assert_true (narrow < 3e-7);
    assert_true (wide < 5e-8);
}

static void a_step_has_a_possible_number_of_micro_batches (void **unused)
{
    (void)unused;
    struct mu_sums_layout layout;
    struct mu_state *state = bed_state (1);
    assert_int_equal (mu_sums_plan (&layout, state, MU_SUMS_INT32, 0, NULL), -1);
    assert_int_equal (mu_sums_plan (&layout, state, MU_SUMS_INT32, 2048, NULL), -1);
    assert_int_equal (mu_sums_plan (&layout, state, MU_SUMS_INT32, 2047, NULL), 0);
    free (state);
}

/* --- the update ------------------------------------------------------------------------------- */

static void the_rate_follows_its_schedule (void **unused)
{
    (void)unused;
    struct mu_optimizer o = { .rate = 1, .rate_min = 0.5, .warmup_steps = 4, .steps = 12 };
    static const struct {
        uint64_t step;
        float constant, cosine, linear;
    } rates[] = {
        { 0, 0.25f, 0.25f, 0.25f },   { 3, 1, 1, 1 },         { 4, 1, 1, 1 },
        { 6, 1, 0.9267767f, 0.875f }, { 8, 1, 0.75f, 0.75f }, { 12, 1, 0.5f, 0.5f },
        { 1000, 1, 0.5f, 0.5f },
    };
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        o.schedule = MU_SCHEDULE_CONSTANT;
        assert_true (mu_optimizer_rate (&o, rates[i].step) == rates[i].constant);
        o.schedule = MU_SCHEDULE_COSINE;
        assert_true (fabsf (mu_optimizer_rate (&o, rates[i].step) - rates[i].cosine) < 1e-6f);
        o.schedule = MU_SCHEDULE_LINEAR;
        assert_true (mu_optimizer_rate (&o, rates[i].step) == rates[i].linear);
    }
    o.warmup_steps = 20; /* longer than the job */
    assert_true (mu_optimizer_rate (&o, 19) == 1 && mu_optimizer_rate (&o, 20) == 0.5f);
}

static void settings_out_of_range_are_named (void **unused)
{
    (void)unused;
    struct mu_error error;
    assert_int_equal (mu_optimizer_check (&optimizer, &error), 0);
    const struct {
        size_t at;
        double value;
        const char *name;
    } cases[] = {
        { offsetof (struct mu_optimizer, rate), 0, "learning_rate" },
        { offsetof (struct mu_optimizer, rate), NAN, "learning_rate" },
        { offsetof (struct mu_optimizer, rate_min), 1, "min_learning_rate" },
        { offsetof (struct mu_optimizer, beta1), 1, "beta1" },
        { offsetof (struct mu_optimizer, beta2), 0.99999999999, "beta2" },
        { offsetof (struct mu_optimizer, epsilon), 0, "epsilon" },
        { offsetof (struct mu_optimizer, weight_decay), -1, "weight_decay" },
        { offsetof (struct mu_optimizer, clip_norm), INFINITY, "clip" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mu_optimizer spoilt = optimizer;
        memcpy ((char *)&spoilt + cases[i].at, &cases[i].value, sizeof (double));
        assert_int_equal (mu_optimizer_check (&spoilt, &error), -1);
        assert_non_null (strstr (error.text, cases[i].name));
    }
}

/* The same training in double, from the same gradients. */
static void adamw_is_adamw (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    struct mu_sums_layout layout;
    assert_int_equal (mu_sums_plan (&layout, state, MU_SUMS_INT64, M, NULL), 0);
    struct world world = { .ranks = 1, .form = MU_SUMS_INT64, .bad_step = -1, .state = { state } };
    void *sums = bed_memory (layout.words * layout.form);
    size_t n = state->padded;
    float *gradient = bed_memory (n * sizeof (float));
    double *w = calloc (n, sizeof *w), *m = calloc (n, sizeof *m), *v = calloc (n, sizeof *v);
    for (size_t i = 0; i < n; i++)
        w[i] = (double)mu_state_weights (state)[i];
    const struct mu_state_tensor *table = mu_state_table_const (state);
    double power1 = 1, power2 = 1;
    while (state->step < 30) {
        struct mu_update update;
        train (&world, &layout, 0, sums, gradient);
        assert_int_equal (
            mu_update (state, &layout, sums, &optimizer, some_kernels (0), gradient, &update, NULL),
            0);
        if (update.verdict.decision != MU_ACCEPT)
            continue;
        double norm = 0, rate = (double)update.rate;
        for (size_t i = 0; i < n; i++)
            norm += (double)gradient[i] * (double)gradient[i];
        norm = sqrt (norm);
        assert_true (fabs (norm - update.gradient_norm) < 1e-9 * norm);
        power1 *= 0.9, power2 *= 0.99;
        for (uint32_t t = 0; t < state->tensors; t++)
            for (size_t i = table[t].first; i < table[t].first + table[t].elements; i++) {
                double g = (double)gradient[i] * (norm > 1 ? 1 / norm : 1);
                double decay = table[t].flags & MUSTER_TENSOR_DECAY ? 0.1 : 0;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.99 * v[i] + 0.01 * g * g;
                w[i] -= rate * decay * w[i] +
                        rate * (m[i] / (1 - power1)) / (sqrt (v[i] / (1 - power2)) + 1e-8);
            }
    }
    double off = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)mu_state_weights (state)[i] - w[i];
        off += d * d;
        size += w[i] * w[i];
    }
    print_message ("# weights after 30 steps against double: %.2g\n", sqrt (off / size));
    assert_true (sqrt (off / size) < 1e-6);
    assert_int_equal (mu_state_check (state, state->bytes, bed_tensors, BED_TENSORS, NULL), 0);
    free (w);
    free (m);
    free (v);
    free (gradient);
    free (sums);
    free (state);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_block_is_laid_out_as_the_header_says),
        cmocka_unit_test (impossible_tensors_are_refused),
        cmocka_unit_test (a_foreign_block_is_not_believed),
        cmocka_unit_test (the_weights_hash_is_what_anybody_computes),
        cmocka_unit_test (the_digest_sees_everything),
        cmocka_unit_test (any_number_of_ranks_makes_the_same_state),
        cmocka_unit_test (so_it_does_when_scales_must_fall_again_and_again),
        cmocka_unit_test (nan_in_one_micro_batch_fails_the_job_by_name),
        cmocka_unit_test (or_the_step_is_skipped_on_every_rank),
        cmocka_unit_test (what_is_left_out_is_left_out_everywhere),
        cmocka_unit_test (a_step_of_nothing_counts_as_done),
        cmocka_unit_test (the_mean_is_over_those_that_are_there),
        cmocka_unit_test (each_micro_batch_counts_exactly_once),
        cmocka_unit_test (reports_pass_the_reduction_as_bits),
        cmocka_unit_test (extremes_are_judged),
        cmocka_unit_test (scales_follow_the_gradient),
        cmocka_unit_test (accepted_sums_never_overflowed),
        cmocka_unit_test (rounding_is_as_small_as_promised),
        cmocka_unit_test (a_step_has_a_possible_number_of_micro_batches),
        cmocka_unit_test (the_rate_follows_its_schedule),
        cmocka_unit_test (settings_out_of_range_are_named),
        cmocka_unit_test (adamw_is_adamw),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
