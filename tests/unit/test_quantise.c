/* SPDX-License-Identifier: Apache-2.0 */
/* test_quantise.c - one rank's sums: what they hold, when they are believed, how exact they are */
#include "world_bed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    world_train (&bench.world, &bench.layout, 0, bench.sums, bench.gradient);
    return bench;
}

static void bench_close (struct bench *bench)
{
    free (bench->sums);
    free (bench->gradient);
    world_end (&bench->world);
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
        world_train (&bench.world, &bench.layout, 0, bench.sums, bench.gradient);
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
    assert_int_equal (world_run (&world, 20, &update, NULL), 0); /* scales have settled */
    struct mu_sums_layout layout;
    struct mu_state *state = world.state[0];
    assert_int_equal (mu_sums_plan (&layout, state, form, M, NULL), 0);
    void *sums = bed_memory (layout.words * layout.form);
    float *gradient = bed_memory (state->padded * sizeof (float));
    double *exact = calloc (state->padded, sizeof *exact), off = 0, norm = 0;
    world_train (&world, &layout, 0, sums, gradient);
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
    world_end (&world);
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_mean_is_over_those_that_are_there),
        cmocka_unit_test (each_micro_batch_counts_exactly_once),
        cmocka_unit_test (reports_pass_the_reduction_as_bits),
        cmocka_unit_test (extremes_are_judged),
        cmocka_unit_test (scales_follow_the_gradient),
        cmocka_unit_test (accepted_sums_never_overflowed),
        cmocka_unit_test (rounding_is_as_small_as_promised),
        cmocka_unit_test (a_step_has_a_possible_number_of_micro_batches),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}