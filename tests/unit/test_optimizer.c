/* SPDX-License-Identifier: Apache-2.0 */
/* test_optimizer.c - the learning rate, the settings, and AdamW against the same in double */
#include "world_bed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    assert_int_equal (mu_optimizer_check (&world_optimizer, &error), 0);
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
        struct mu_optimizer spoilt = world_optimizer;
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
        world_train (&world, &layout, 0, sums, gradient);
        assert_int_equal (mu_update (state, &layout, sums, &world_optimizer, some_kernels (0),
                                     gradient, &update, NULL),
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
        cmocka_unit_test (the_rate_follows_its_schedule),
        cmocka_unit_test (settings_out_of_range_are_named),
        cmocka_unit_test (adamw_is_adamw),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}