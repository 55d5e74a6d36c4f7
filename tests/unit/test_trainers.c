/* SPDX-License-Identifier: Apache-2.0 */
/* test_trainers.c - what gpt and mlp tell the host, how they start, and honest refusals */
#include "trainer_models.h"

#include "tests/unit/trainer_reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- evaluation, sampling, progress ----------------------------------------------------------- */

static void evaluation_is_the_loss_without_the_gradient (void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        struct bed bed = open_model (i, math ());
        bed.batch.training = 0;
        struct muster_result full = bed_gradient (&bed), alone = bed_evaluate (&bed);
        assert_true (full.loss == alone.loss && full.correct == alone.correct);
        assert_int_equal (alone.targets, 5 * (bed.records.tokens ? bed.records.tokens - 1 : 1));
        bed.batch.records = 1;
        assert_int_equal (bed_evaluate (&bed).targets, alone.targets / 5);
        bed_close (&bed);
    }
}

static void next_token_gives_the_last_positions_logits (void **state)
{
    (void)state;
    struct muster_problem problem;
    struct bed bed = bed_open (&mu_trainer_gpt, &tiny_text,
                               "layers=2 heads=2 channels=8 vocabulary=16", 1, math (), 3);
    double **weights = doubles_of (&bed), expected[5 * 16];
    const int32_t tokens[] = { 9, 1, 10, 0, 3, 3, 7, 2 };
    float logits[16];
    for (uint32_t count = 1; count <= 8; count++) {
        size_t length = count < 5 ? count : 5; /* the context */
        for (size_t i = 0; i < 16; i++)
            logits[i] = 77;
        assert_int_equal (mu_trainer_gpt.next_token (bed.model, (const float *const *)bed.weights,
                                                     tokens, count, bed.workspace, logits,
                                                     &problem),
                          0);
        reference_gpt_logits (&bed, HEADS, weights, tokens + count - length, length, expected);
        for (size_t i = 0; i < 16; i++)
            assert_true (i < 11 ? fabs ((double)logits[i] - expected[(length - 1) * 16 + i]) < 1e-6
                                : logits[i] == 77);
    }
    assert_int_equal (mu_trainer_gpt.next_token (bed.model, (const float *const *)bed.weights,
                                                 tokens, 0, bed.workspace, logits, &problem),
                      -1);
    assert_non_null (strstr (problem.text, "at least one token"));
    free_doubles (&bed, weights);
    bed_close (&bed);
}

struct told {
    const struct bed *bed;
    uint32_t order[64], count;
    uint64_t sum[64]; /* of the tensor's bits when it was told */
};

static uint64_t bits_of (const struct bed *bed, uint32_t tensor)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bed_elements (&bed->tensors[tensor]); i++) {
        uint32_t bits;
        memcpy (&bits, &bed->gradients[tensor][i], sizeof bits);
        sum = sum * 31 + bits;
    }
    return sum;
}

static void tell (void *host, uint32_t tensor)
{
    struct told *told = host;
    assert_true (told->count < 64 && tensor < told->bed->count);
    told->sum[tensor] = bits_of (told->bed, tensor);
    told->order[told->count++] = tensor;
}

static void each_tensor_is_told_once_when_it_is_complete (void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        struct bed bed = open_model (i, math ());
        struct told told = { .bed = &bed };
        const struct muster_progress progress = { tell, &told };
        struct muster_result result;
        struct muster_problem problem;
        assert_int_equal (bed.trainer->gradient (bed.model, (const float *const *)bed.weights,
                                                 &bed.batch, bed.workspace, bed.gradients,
                                                 &progress, &result, &problem),
                          0);
        assert_int_equal (told.count, bed.count);
        for (uint32_t j = 0; j < bed.count; j++) {
            assert_true (told.sum[j] == bits_of (&bed, j));
            for (uint32_t k = 0; k < j; k++)
                assert_int_not_equal (told.order[j], told.order[k]);
        }
        assert_true (told.order[0] >= bed.count - 2);    /* the last layer comes first */
        assert_int_equal (told.order[bed.count - 1], 0); /* the tied embedding last */
        bed_close (&bed);
    }
}

/* --- what the host is told about the model ---------------------------------------------------- */

static void gpt_starts_as_gpt2_does (void **state)
{
    static const struct muster_records records = { .size = sizeof records,
                                                   .tokens = 65,
                                                   .vocabulary = 256 };
    (void)state;
    struct bed bed =
        bed_open (&mu_trainer_gpt, &records, "layers=2 heads=2 channels=64", 1, math (), 5);
    assert_int_equal (bed.count, 2 + 2 * 12 + 2);
    for (uint32_t i = 0; i < bed.count; i++) {
        const struct muster_tensor *tensor = &bed.tensors[i];
        size_t elements = bed_elements (tensor);
        float *values = calloc (elements, sizeof *values),
              *again = calloc (elements, sizeof *again);
        bed.trainer->init (bed.model, i, 8, values);
        bed.trainer->init (bed.model, i, 8, again);
        assert_memory_equal (values, again, elements * sizeof *values);
        double expected = strstr (tensor->name, "c_proj.weight") ? 0.01 : 0.02, sum = 0, square = 0;
        float vector = strstr (tensor->name, "bias") ? 0.0f : 1.0f;
        for (size_t j = 0; j < elements; j++) {
            sum += (double)values[j];
            square += (double)values[j] * (double)values[j];
            assert_true (tensor->dimensions == 2 || values[j] == vector);
        }
        if (tensor->dimensions == 2) {
            double deviation = sqrt (square / (double)elements);
            assert_true (fabs (deviation / expected - 1) < 0.05);
            assert_true (fabs (sum / (double)elements) < 4 * expected / sqrt ((double)elements));
            bed.trainer->init (bed.model, i, 9, again);
            assert_memory_not_equal (values, again, elements * sizeof *values);
        }
        assert_int_equal (tensor->flags, tensor->dimensions == 2 ? MUSTER_TENSOR_DECAY : 0);
        free (values);
        free (again);
    }
    assert_string_equal (bed.tensors[0].name, "wte.weight");
    assert_string_equal (bed.tensors[1].name, "wpe.weight");
    assert_string_equal (bed.tensors[16].name, "h.1.attn.c_attn.weight");
    assert_int_equal (bed.tensors[16].dimension[0], 64);
    assert_int_equal (bed.tensors[16].dimension[1], 192);
    assert_string_equal (bed.tensors[27].name, "ln_f.bias");
    bed_close (&bed);
}

static void mlp_starts_as_he_says (void **state)
{
    (void)state;
    struct bed bed = bed_open (&mu_trainer_mlp, &table, "hidden=200", 1, math (), 5);
    float *values = calloc (83 * 200, sizeof *values);
    double square = 0;
    assert_int_equal (bed.count, 4);
    assert_string_equal (bed.tensors[0].name, "layers.0.weight");
    assert_string_equal (bed.tensors[3].name, "layers.1.bias");
    assert_int_equal (bed.tensors[0].dimension[0], 200);
    assert_int_equal (bed.tensors[0].dimension[1], 83);
    bed.trainer->init (bed.model, 0, 1, values);
    for (size_t i = 0; i < 83 * 200; i++)
        square += (double)values[i] * (double)values[i];
    assert_true (fabs (square / (83 * 200) / (2.0 / 83) - 1) < 0.05);
    bed.trainer->init (bed.model, 1, 1, values);
    for (size_t i = 0; i < 200; i++)
        assert_true (values[i] == 0);
    free (values);
    bed_close (&bed);
}

static void config_json_says_what_other_tools_ask (void **state)
{
    (void)state;
    static const struct muster_records gpt2 = { .size = sizeof gpt2,
                                                .tokens = 9,
                                                .vocabulary = 50257 };
    char config[2048], cut[16];
    struct bed bed =
        bed_open (&mu_trainer_gpt, &text, "layers=3 heads=2 channels=10 dropout=0.1 vocabulary=128",
                  1, math (), 1);
    size_t length = bed.trainer->config_json (bed.model, config, sizeof config);
    assert_int_equal (length, strlen (config));
    assert_int_equal (bed.trainer->config_json (bed.model, NULL, 0), length);
    assert_int_equal (bed.trainer->config_json (bed.model, cut, sizeof cut), length);
    assert_int_equal (strlen (cut), sizeof cut - 1);
    static const char *const lines[] = {
        "\"model_type\": \"gpt2\"",
        "\"architectures\": [\"GPT2LMHeadModel\"]",
        "\"n_layer\": 3",
        "\"n_head\": 2",
        "\"n_embd\": 10",
        "\"n_positions\": 70",
        "\"n_ctx\": 70",
        "\"vocab_size\": 128",
        "\"attn_pdrop\": 0.1,",
        "\"activation_function\": \"gelu_new\"",
        "\"layer_norm_epsilon\": 1e-05",
        "\"tie_word_embeddings\": true",
        "\"bos_token_id\": null",
        "\"eos_token_id\": null",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_non_null (strstr (config, lines[i]));
    bed_close (&bed);
    bed = bed_open (&mu_trainer_gpt, &gpt2, "layers=1 heads=1 channels=2", 1, math (), 1);
    bed.trainer->config_json (bed.model, config, sizeof config);
    assert_non_null (strstr (config, "\"eos_token_id\": 50256"));
    bed_close (&bed);
    bed = bed_open (&mu_trainer_mlp, &table, "hidden=20,30", 1, math (), 1);
    bed.trainer->config_json (bed.model, config, sizeof config);
    assert_non_null (strstr (config, "\"hidden\": [20, 30]"));
    bed_close (&bed);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void expect_refused (const struct muster_trainer *trainer,
                            const struct muster_records *records, const char *settings,
                            uint32_t micro_batch, const char *sentence)
{
    char copy[256];
    struct muster_setting setting[16];
    struct muster_problem problem = { "" };
    struct muster_model *opened = NULL;
    snprintf (copy, sizeof copy, "%s", settings);
    const struct muster_open open = { .size = sizeof open,
                                      .setting_count = bed_settings (copy, setting),
                                      .settings = setting,
                                      .records = records,
                                      .math = math (),
                                      .micro_batch = micro_batch };
    if (!trainer->open (&opened, &open, &problem))
        fail_msg ("%s took '%s'", trainer->name, settings);
    assert_null (opened);
    if (!strstr (problem.text, sentence))
        fail_msg ("'%s' should say '%s', but says: %s", settings, sentence, problem.text);
}

static void bad_settings_are_refused_with_a_sentence (void **state)
{
    (void)state;
    static const struct {
        const char *settings, *sentence;
    } gpt[] = {
        { "layrs=2",
          "no setting 'layrs'; did you mean 'layers'? It knows: layers, heads, channels" },
        { "zzz=2", "no setting 'zzz'; it knows: layers" },
        { "layers=0", "setting 'layers' is '0'; it takes a whole number from 1 to 256" },
        { "layers=257", "it takes a whole number from 1 to 256" },
        { "layers=two", "setting 'layers' is 'two'" },
        { "layers=-1", "setting 'layers' is '-1'" },
        { "layers=99999999999999999999", "setting 'layers' is '99999999999999999999'" },
        { "layers=", "setting 'layers' is ''" },
        { "layers=2 layers=2", "'layers' is given twice" },
        { "heads=3", "'channels' is 256 and 'heads' is 3" },
        { "dropout=0.95", "setting 'dropout' is '0.95'; it takes a number from 0 to 0.9" },
        { "dropout=nan", "setting 'dropout' is 'nan'" },
        { "context=64", "'context' is 64, but the data set's records have 70 tokens" },
        { "vocabulary=90", "'vocabulary' is 90, but the data set has tokens from 0 to 96" },
    };
    static const struct {
        const char *settings, *sentence;
    } mlp[] = {
        { "hiden=2", "did you mean 'hidden'" },
        { "hidden=0",
          "setting 'hidden' is '0'; it takes at most 16 whole numbers from 1 to 65536" },
        { "hidden=2,,3", "setting 'hidden' is '2,,3'" },
        { "hidden=2,", "setting 'hidden' is '2,'" },
        { "hidden=,2", "setting 'hidden' is ',2'" },
        { "hidden=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "it takes at most 16" },
        { "activation=tanh", "setting 'activation' is 'tanh'; it takes one of: relu" },
        { "dropout=1", "setting 'dropout' is '1'" },
    };
    for (size_t i = 0; i < sizeof gpt / sizeof gpt[0]; i++)
        expect_refused (&mu_trainer_gpt, &text, gpt[i].settings, 1, gpt[i].sentence);
    for (size_t i = 0; i < sizeof mlp / sizeof mlp[0]; i++)
        expect_refused (&mu_trainer_mlp, &table, mlp[i].settings, 1, mlp[i].sentence);
}

static void data_that_does_not_fit_is_refused_with_a_sentence (void **state)
{
    (void)state;
    struct muster_records odd = { .size = sizeof odd, .tokens = 1, .vocabulary = 5 };
    expect_refused (&mu_trainer_gpt, &table, "", 1, "use trainer mlp");
    expect_refused (&mu_trainer_mlp, &text, "", 1, "use trainer gpt");
    expect_refused (&mu_trainer_gpt, &odd, "", 1, "records of 2 tokens or more");
    odd = (struct muster_records){ .size = sizeof odd, .tokens = 9 };
    expect_refused (&mu_trainer_gpt, &odd, "", 1, "but this one says 0");
    odd = (struct muster_records){ .size = sizeof odd, .features = 4, .classes = 1 };
    expect_refused (&mu_trainer_mlp, &odd, "", 1, "but this data set has 1");
    expect_refused (&mu_trainer_gpt, &text, "", 0, "a record or more");
    expect_refused (&mu_trainer_gpt, &text, "layers=256 channels=65536 heads=1", UINT32_MAX,
                    "more than 1 TiB");
    odd = (struct muster_records){ .size = sizeof odd, .tokens = UINT32_MAX, .vocabulary = 5 };
    expect_refused (&mu_trainer_gpt, &odd, "", UINT32_MAX, "more than 1 TiB");
    expect_refused (&mu_trainer_mlp, &table, "hidden=65536", UINT32_MAX, "more than 1 TiB");
}

static void expect_batch_refused (struct bed *bed, const char *sentence)
{
    struct muster_result result;
    struct muster_problem problem = { "" };
    const float *const *weights = (const float *const *)bed->weights;
    assert_int_equal (bed->trainer->gradient (bed->model, weights, &bed->batch, bed->workspace,
                                              bed->gradients, NULL, &result, &problem),
                      -1);
    assert_non_null (strstr (problem.text, sentence));
    problem.text[0] = '\0';
    assert_int_equal (bed->trainer->evaluate (bed->model, weights, &bed->batch, bed->workspace,
                                              &result, &problem),
                      -1);
    assert_non_null (strstr (problem.text, sentence));
}

static void bad_batches_are_refused_with_a_sentence (void **state)
{
    (void)state;
    struct bed bed = open_model (1, math ()); /* padded: token 97 has a row, but is none */
    int32_t *values = (int32_t *)(uintptr_t)bed.batch.tokens;
    values[71 + 70] = 97;
    expect_batch_refused (&bed,
                          "token 97 at place 70 of record 1 is outside the vocabulary, 0..96");
    values[71 + 70] = -1;
    expect_batch_refused (&bed, "token -1");
    values[71 + 70] = 0;
    values[5 * 71 - 1] = 97;
    expect_batch_refused (&bed, "token 97 at place 70 of record 4");
    values[5 * 71 - 1] = 0;
    bed.batch.records = 6;
    expect_batch_refused (&bed, "micro-batch of 6 records; it takes 1 to 5");
    bed.batch.records = 0;
    expect_batch_refused (&bed, "micro-batch of 0 records");
    bed_close (&bed);
    bed = open_model (2, math ());
    values = (int32_t *)(uintptr_t)bed.batch.labels;
    values[3] = 10;
    expect_batch_refused (&bed, "label 10 of record 3 is no class, 0..9");
    values[3] = -7;
    expect_batch_refused (&bed, "label -7");
    bed_close (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (evaluation_is_the_loss_without_the_gradient),
        cmocka_unit_test (next_token_gives_the_last_positions_logits),
        cmocka_unit_test (each_tensor_is_told_once_when_it_is_complete),
        cmocka_unit_test (gpt_starts_as_gpt2_does),
        cmocka_unit_test (mlp_starts_as_he_says),
        cmocka_unit_test (config_json_says_what_other_tools_ask),
        cmocka_unit_test (bad_settings_are_refused_with_a_sentence),
        cmocka_unit_test (data_that_does_not_fit_is_refused_with_a_sentence),
        cmocka_unit_test (bad_batches_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}