/* SPDX-License-Identifier: Apache-2.0 */
/* test_checkpoint_import.c - weights from elsewhere are a start, or what does not fit is named */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint_bed.h"
#include "worker/checkpoint/safetensors.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define ITEMS_MAX 10u

/* The bed's tensors as items, their values those of `state`. */
static uint32_t list_items (const struct mu_state *state, struct mu_safetensors_item *items,
                            const float **values)
{
    for (uint32_t i = 0; i < BED_TENSORS; i++) {
        items[i] = (struct mu_safetensors_item){ .name = bed_tensors[i].name,
                                                 .dimensions = bed_tensors[i].dimensions,
                                                 .dimension = bed_tensors[i].dimension };
        values[i] = mu_state_weights_const (state) + mu_state_table_const (state)[i].first;
    }
    return BED_TENSORS;
}

static size_t item_bytes (const struct mu_safetensors_item *item)
{
    size_t bytes = sizeof (float);
    for (uint32_t d = 0; d < item->dimensions; d++)
        bytes *= (size_t)item->dimension[d];
    return bytes;
}

static void write_model (const char *name, const struct mu_safetensors_item *items,
                         const float *const *values, uint32_t count)
{
    struct mu_storage_writer out;
    int dir = open (bed_top, O_RDONLY | O_DIRECTORY);
    size_t bytes;
    char *head = mu_safetensors_head (name, items, count, &bytes, NULL);
    assert_non_null (head);
    unlinkat (dir, name, 0);
    assert_int_equal (mu_storage_create (&out, dir, name, NULL), 0);
    assert_int_equal (mu_storage_write (&out, head, bytes, NULL), 0);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal (mu_storage_write (&out, values[i], item_bytes (&items[i]), NULL), 0);
    assert_int_equal (mu_storage_finish (&out, NULL), 0);
    free (head);
    close (dir);
}

static void a_hugging_face_file_is_a_start (void **unused)
{
    (void)unused;
    static const char *const prefixed[BED_TENSORS] = {
        "transformer.wte.weight", "transformer.h.0.ln_1.bias", "transformer.h.0.conv.weight",
        "transformer.h.0.gain", "transformer.h.0.attn.c_attn.weight"
    };
    static const uint64_t mask[] = { 1, 1, 2, 2 };
    static const float ones[4] = { 1, 1, 1, 1 };
    struct mu_state *source = bed_state (5), *state = bed_state (1);
    struct mu_safetensors_item items[ITEMS_MAX];
    const float *values[ITEMS_MAX];
    struct mu_error error = { .text = "" };
    uint32_t count = list_items (source, items, values);
    for (uint32_t i = 0; i < count; i++)
        items[i].name = prefixed[i];
    items[count] = items[0];
    items[count].name = "lm_head.weight";
    values[count++] = values[0];
    items[count] = (struct mu_safetensors_item){ "transformer.h.0.attn.bias", 4, mask };
    values[count++] = ones;
    write_model ("model.safetensors", items, values, count);
    if (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error) < 0)
        fail_msg ("%s", error.text);
    assert_memory_equal (state, source, source->bytes);
    memset (mu_state_weights (state), 0, 400);
    struct mu_checkpoint_saved saved = bed_save (9); /* a checkpoint of ours is a start too */
    assert_int_equal (mu_checkpoint_load_weights (saved.path, state, bed_tensors, &error), 0);
    uint8_t hash[MU_STATE_HASH_SIZE];
    mu_state_hash (state, hash);
    assert_memory_equal (hash, saved.weights_hash, sizeof hash);
    assert_int_equal (state->step, 0);
    values[count - 2] = mu_state_weights (state); /* lm_head no longer tied */
    write_model ("model.safetensors", items, values, count);
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "not tied"));
    free (source);
    free (state);
}

static void what_does_not_fit_is_named_at_once (void **unused)
{
    (void)unused;
    static const uint64_t turned[] = { 5, 7 }, one[] = { 1 };
    static const float a_value[1] = { 1 };
    struct mu_state *state = bed_state (1);
    struct mu_safetensors_item items[ITEMS_MAX];
    const float *values[ITEMS_MAX];
    struct mu_error error = { .text = "" };
    uint32_t count = list_items (state, items, values);
    items[0].dimension = turned;
    items[3] = (struct mu_safetensors_item){ "h.0.gainz", 1, one };
    values[3] = a_value;
    write_model ("model.safetensors", items, values, count);
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "wte.weight is [5, 7], the model needs [7, 5]"));
    assert_non_null (strstr (error.text, "h.0.gain is missing"));
    assert_non_null (strstr (error.text, "h.0.gainz is not one of the model's"));
    write_model ("model.safetensors", items, values, 0);
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    count = list_items (state, items, values);
    mu_state_weights (state)[50] = INFINITY;
    write_model ("model.safetensors", items, values, count);
    assert_int_equal (
        mu_checkpoint_load_weights (bed_below ("model.safetensors"), state, bed_tensors, &error),
        -1);
    assert_non_null (strstr (error.text, "h.0.ln_1.bias holds a value that is not a finite"));
    free (state);
}

static void write_config (const char *text)
{
    FILE *file = fopen (bed_below ("config.json"), "w");
    assert_non_null (file);
    fputs (text, file);
    assert_int_equal (fclose (file), 0);
}

static void another_model_of_the_same_shapes_is_told (void **unused)
{
    (void)unused;
    static const char ours[] =
        "{\"n_head\": 4, \"activation_function\": \"gelu_new\", \"layer_norm_epsilon\": 1e-05}";
    struct mu_error error = { .text = "" };
    assert_int_equal (mu_checkpoint_match_config (bed_top, ours, &error), 0); /* there is none */
    write_config ("{\"n_head\": 4, \"activation_function\": \"gelu_pytorch_tanh\", "
                  "\"layer_norm_epsilon\": 0.00001, \"resid_pdrop\": 0.1}");
    assert_int_equal (mu_checkpoint_match_config (bed_top, ours, &error), 0);
    write_config ("{\"n_head\": 2, \"activation_function\": \"relu\"}");
    assert_int_equal (mu_checkpoint_match_config (bed_top, ours, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, "n_head is 2 there and 4 in the job's model; "
                                         "activation_function is \"relu\" there and \"gelu_new\""));
    assert_int_equal (mu_checkpoint_match_config (bed_below ("config.json"), ours, &error), 0);
    write_config ("{");
    assert_int_equal (mu_checkpoint_match_config (bed_top, ours, &error), -1);
    assert_non_null (strstr (error.text, "config.json cannot be read"));
    write_config ("[1]"); /* says nothing */
    assert_int_equal (mu_checkpoint_match_config (bed_top, ours, &error), 0);
}

static void a_folder_without_a_usable_model_says_what_to_do (void **unused)
{
    (void)unused;
    struct mu_state *state = bed_state (1);
    struct mu_error error;
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "holds no model.safetensors"));
    close (open (bed_below ("pytorch_model.bin"), O_CREAT | O_WRONLY, 0644));
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "safe_serialization=True"));
    close (open (bed_below ("model.safetensors.index.json"), O_CREAT | O_WRONLY, 0644));
    assert_int_equal (mu_checkpoint_load_weights (bed_top, state, bed_tensors, &error), -1);
    assert_non_null (strstr (error.text, "several files"));
    assert_int_equal (mu_checkpoint_load_weights (bed_below ("no"), state, bed_tensors, &error),
                      -1);
    assert_int_equal (error.code, MU_NO_INPUT);
    free (state);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_hugging_face_file_is_a_start),
        TEST (what_does_not_fit_is_named_at_once),
        TEST (another_model_of_the_same_shapes_is_told),
        TEST (a_folder_without_a_usable_model_says_what_to_do),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}