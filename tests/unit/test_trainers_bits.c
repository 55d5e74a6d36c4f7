/* SPDX-License-Identifier: Apache-2.0 */
/* test_trainers_bits.c - a gradient has the same bits, whatever computes it, and after whatever */
#include "trainer_models.h"

#include <pthread.h>

static void bits_do_not_depend_on_the_instruction_set (void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        uint64_t first = 0;
        double loss = 0;
        for (size_t k = 0; mu_kernels_available (k); k++) {
            struct bed bed = open_model (i, &mu_kernels_get (mu_kernels_available (k), NULL)->math);
            double now = bed_gradient (&bed).loss;
            uint64_t hash = bed_hash (&bed);
            assert_true (k == 0 || (hash == first && now == loss));
            first = hash;
            loss = now;
            bed_close (&bed);
        }
    }
}

static void bits_do_not_depend_on_what_ran_before (void **state)
{
    static const int dirt[] = { 0, 0xff, 0x55, 0x7f };
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        struct bed bed = open_model (i, math ());
        bed_gradient (&bed);
        uint64_t first = bed_hash (&bed);
        for (size_t j = 0; j < sizeof dirt / sizeof dirt[0]; j++) {
            bed_fill (&bed, dirt[j]);
            bed_gradient (&bed);
            assert_true (bed_hash (&bed) == first);
        }
        bed.batch.records = 2; /* another shape, and an evaluation, in the same workspace */
        bed_gradient (&bed);
        assert_true (bed_hash (&bed) != first);
        bed_evaluate (&bed);
        bed.batch.records = 5;
        bed_gradient (&bed);
        assert_true (bed_hash (&bed) == first);
        bed_close (&bed);
    }
}

enum { THREADS = 4, CALLS = 6 };

struct runner {
    struct bed bed; /* its own gradients and workspace; model, weights and batch of all */
    uint64_t hash[CALLS];
};

static void *run_many (void *argument)
{
    struct runner *runner = argument;
    for (int call = 0; call < CALLS; call++) {
        runner->bed.batch.micro_batch = (uint32_t)call;
        bed_gradient (&runner->bed);
        runner->hash[call] = bed_hash (&runner->bed);
    }
    return NULL;
}

static void bits_do_not_depend_on_threads (void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        struct bed bed[THREADS];
        struct runner runner[THREADS];
        pthread_t thread[THREADS];
        for (int t = 0; t < THREADS; t++) {
            bed[t] = open_model (i, math ());
            runner[t].bed = bed[t];
            runner[t].bed.model = bed[0].model;
            runner[t].bed.weights = bed[0].weights;
        }
        for (int t = 0; t < THREADS; t++)
            assert_int_equal (pthread_create (&thread[t], NULL, run_many, &runner[t]), 0);
        for (int t = 0; t < THREADS; t++)
            assert_int_equal (pthread_join (thread[t], NULL), 0);
        for (int t = 1; t < THREADS; t++)
            assert_memory_equal (runner[t].hash, runner[0].hash, sizeof runner[0].hash);
        for (int t = 0; t < THREADS; t++)
            bed_close (&bed[t]);
    }
}

/* Above a size attention weights are not kept but computed again: a model opened for five records
 * is above it, one for four is not. */
static void bits_do_not_depend_on_kept_attention (void **state)
{
    static const struct muster_records longer = { .size = sizeof longer,
                                                  .tokens = 513,
                                                  .vocabulary = 7 };
    static const char settings[] = "layers=1 heads=16 channels=32 dropout=0.1";
    (void)state;
    struct bed kept = bed_open (&mu_trainer_gpt, &longer, settings, 4, math (), 2);
    struct bed again = bed_open (&mu_trainer_gpt, &longer, settings, 5, math (), 2);
    assert_true (mu_trainer_gpt.workspace (again.model) < mu_trainer_gpt.workspace (kept.model));
    again.batch.records = 4;
    bed_gradient (&kept);
    bed_gradient (&again);
    assert_true (bed_hash (&kept) == bed_hash (&again));
    bed_close (&kept);
    bed_close (&again);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (bits_do_not_depend_on_the_instruction_set),
        cmocka_unit_test (bits_do_not_depend_on_what_ran_before),
        cmocka_unit_test (bits_do_not_depend_on_threads),
        cmocka_unit_test (bits_do_not_depend_on_kept_attention),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}