/* SPDX-License-Identifier: Apache-2.0 */
/* test_trainers_gradients.c - gradients are those of the loss, with dropout as well */
#include "trainer_models.h"

#include "tests/unit/trainer_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- against central differences -------------------------------------------------------------- */

static double reference_loss (const struct bed *bed, double *const *weights, uint64_t *correct)
{
    return bed->batch.tokens ? reference_gpt_loss (bed, HEADS, weights, correct)
                             : reference_mlp_loss (bed, weights, correct);
}

/* Every element of every tensor: |gradient - difference| against |difference|, by tensor, in L2. */
static void check_every_gradient (const struct muster_trainer *trainer,
                                  const struct muster_records *records, const char *settings,
                                  uint32_t micro_batch)
{
    const double step = 1e-4, allowed = 2e-6;
    struct bed bed = bed_open (trainer, records, settings, micro_batch, math (), 42);
    double **weights = doubles_of (&bed);
    uint64_t correct = 0, ignored;
    bed.batch.training = 0;
    struct muster_result result = bed_gradient (&bed);
    assert_true (fabs (result.loss - reference_loss (&bed, weights, &correct)) < 1e-6);
    assert_int_equal (result.correct, correct);
    for (uint32_t i = 0; i < bed.count; i++) {
        double wrong = 0, right = 0;
        for (size_t j = 0; j < bed_elements (&bed.tensors[i]); j++) {
            double before = weights[i][j];
            weights[i][j] = before + step;
            double difference = reference_loss (&bed, weights, &ignored);
            weights[i][j] = before - step;
            difference = (difference - reference_loss (&bed, weights, &ignored)) / (2 * step);
            weights[i][j] = before;
            wrong += pow ((double)bed.gradients[i][j] - difference, 2);
            right += difference * difference;
        }
        if (!(sqrt (wrong) <= allowed * sqrt (right)))
            fail_msg ("%s: gradient of %s is off by %.3g of its norm", trainer->name,
                      bed.tensors[i].name, sqrt (wrong / right));
    }
    free_doubles (&bed, weights);
    bed_close (&bed);
}

static void gpt_gradients_are_those_of_the_loss (void **state)
{
    (void)state;
    check_every_gradient (&mu_trainer_gpt, &tiny_text, "layers=2 heads=2 channels=8", 3);
    check_every_gradient (&mu_trainer_gpt, &tiny_text, "layers=1 heads=2 channels=6 vocabulary=13",
                          3);
    /* more rows than the output layer takes at a time */
    check_every_gradient (&mu_trainer_gpt, &tiny_text, "layers=1 heads=2 channels=8", 60);
}

static void mlp_gradients_are_those_of_the_loss (void **state)
{
    (void)state;
    check_every_gradient (&mu_trainer_mlp, &tiny_table, "hidden=9,5", 3);
    check_every_gradient (&mu_trainer_mlp, &tiny_table, "hidden=", 3);
}

/* --- with dropout ----------------------------------------------------------------------------- */

/* loss (weights + step * gradient) - loss (weights - step * gradient), for one tensor's part. */
static double change_along (struct bed *bed, uint32_t tensor, const float *gradient, float step)
{
    size_t elements = bed_elements (&bed->tensors[tensor]);
    float *weights = bed->weights[tensor], *before = calloc (elements, sizeof *before);
    double loss[2];
    memcpy (before, weights, elements * sizeof *before);
    for (int side = 0; side < 2; side++) {
        for (size_t j = 0; j < elements; j++)
            weights[j] = before[j] + (side ? step : -step) * gradient[j];
        loss[side] = bed_gradient (bed).loss;
    }
    memcpy (weights, before, elements * sizeof *before);
    free (before);
    return loss[1] - loss[0];
}

/* With dropout the model itself must be asked: move a tensor a little along its gradient, and the
 * loss must change by the gradient's square. One tensor at a time, so that none hides behind the
 * others; with larger weights than initial ones, so that each has a say. */
static void check_along_gradients (const struct muster_trainer *trainer,
                                   const struct muster_records *records, const char *settings)
{
    struct bed bed = bed_open (trainer, records, settings, 4, math (), 9);
    for (uint32_t i = 0; i < bed.count; i++)
        if (trainer == &mu_trainer_gpt && bed.tensors[i].dimensions == 2)
            math ()->scale (bed.weights[i], 8, bed_elements (&bed.tensors[i]));
    for (uint32_t i = 0; i < bed.count; i++) {
        size_t elements = bed_elements (&bed.tensors[i]);
        float *gradient = calloc (elements, sizeof *gradient);
        bed_gradient (&bed);
        memcpy (gradient, bed.gradients[i], elements * sizeof *gradient);
        double square = 0;
        for (size_t j = 0; j < elements; j++)
            square += (double)gradient[j] * (double)gradient[j];
        assert_true (square > 0);
        float step = (float)(5e-4 * sqrt ((double)elements / square));
        double change = change_along (&bed, i, gradient, step), slope = 2 * (double)step * square;
        if (!(fabs (change - slope) < 2e-3 * slope + 3e-7))
            fail_msg ("%s with dropout: along the gradient of %s the loss moves by %.5g, not %.5g",
                      trainer->name, bed.tensors[i].name, change, slope);
        free (gradient);
    }
    bed_close (&bed);
}

static void gradients_with_dropout_are_those_of_the_loss (void **state)
{
    (void)state;
    check_along_gradients (&mu_trainer_gpt, &tiny_text, "layers=2 heads=2 channels=16 dropout=0.3");
    check_along_gradients (&mu_trainer_mlp, &tiny_table, "hidden=19,15 dropout=0.3");
}

static void dropout_depends_on_its_key_and_on_training_alone (void **state)
{
    (void)state;
    struct bed bed =
        bed_open (&mu_trainer_gpt, &text, "layers=1 heads=2 channels=8 dropout=0.5", 2, math (), 1);
    double first = bed_gradient (&bed).loss;
    bed.batch.micro_batch++;
    double other = bed_gradient (&bed).loss;
    bed.batch.micro_batch--;
    bed.batch.step++;
    double later = bed_gradient (&bed).loss;
    bed.batch.step--;
    bed.batch.seed++;
    double seeded = bed_gradient (&bed).loss;
    bed.batch.seed--;
    assert_true (first != other && first != later && first != seeded && other != later);
    assert_true (first == bed_gradient (&bed).loss);
    bed.batch.training = 0;
    double without = bed_gradient (&bed).loss;
    bed.batch.step++;
    assert_true (without == bed_evaluate (&bed).loss && without != first);
    bed_close (&bed);
}

/* A muster_math whose dropout writes down the keys that it is given. */
static uint64_t seen_key[256];
static size_t seen_keys;

static void watched_dropout (float *y, size_t n, float rate, uint64_t key)
{
    assert_true (seen_keys < sizeof seen_key / sizeof seen_key[0]);
    seen_key[seen_keys++] = key;
    math ()->dropout (y, n, rate, key);
}

static void check_keys (const struct muster_trainer *trainer, const struct muster_records *records,
                        const char *settings, size_t places)
{
    struct muster_math watched = *math ();
    watched.dropout = watched_dropout;
    struct bed bed = bed_open (trainer, records, settings, 3, &watched, 1);
    seen_keys = 0;
    bed_evaluate (&bed);
    assert_int_equal (seen_keys, places);
    for (size_t i = 0; i < places; i++)
        for (size_t j = 0; j < i; j++)
            assert_true (seen_key[i] != seen_key[j]);
    bed_close (&bed);
}

/* Two places that shared a key would drop the same elements: layers, records and heads in step. */
static void dropout_has_a_key_for_every_place (void **state)
{
    (void)state;
    const size_t records = 3, layers = 2, heads = 2;
    check_keys (&mu_trainer_gpt, &tiny_text, "layers=2 heads=2 channels=8 dropout=0.1",
                records + layers * records * (2 + heads));
    check_keys (&mu_trainer_mlp, &tiny_table, "hidden=5,5,5 dropout=0.1", 3);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (gpt_gradients_are_those_of_the_loss),
        cmocka_unit_test (mlp_gradients_are_those_of_the_loss),
        cmocka_unit_test (gradients_with_dropout_are_those_of_the_loss),
        cmocka_unit_test (dropout_depends_on_its_key_and_on_training_alone),
        cmocka_unit_test (dropout_has_a_key_for_every_place),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}