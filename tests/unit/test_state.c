/* SPDX-License-Identifier: Apache-2.0 */
/* test_state.c - the block that one worker's state is, its hashes, and what is no such block */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "state_bed.h"
#include "worker/state/quantise.h"

#include <math.h>

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
    assert_int_equal (mu_state_size (NULL, 3, NULL), 0);
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_block_is_laid_out_as_the_header_says),
        cmocka_unit_test (impossible_tensors_are_refused),
        cmocka_unit_test (a_foreign_block_is_not_believed),
        cmocka_unit_test (the_weights_hash_is_what_anybody_computes),
        cmocka_unit_test (the_digest_sees_everything),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}