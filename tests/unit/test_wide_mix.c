/* SPDX-License-Identifier: Apache-2.0 */
/* test_wide_mix.c - the hash of a state on its way is what it is defined as, on every machine */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mix.h"
#include "worker/comm/wide_mix.h"

enum { BYTES = 700, FIRSTS = 33 };

static unsigned char memory[BYTES + 1];

static void fill (void)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < sizeof memory; i++) {
        hash = mu_mix (hash, i);
        memory[i] = (unsigned char)hash;
    }
}

/* As it is defined, a word after the other. */
static uint64_t plainly (uint64_t hash, const unsigned char *bytes, size_t count)
{
    uint64_t chain[MU_WIDE_CHAINS], word;
    size_t whole = count / sizeof chain * MU_WIDE_CHAINS;
    for (size_t i = 0; i < MU_WIDE_CHAINS; i++)
        chain[i] = hash + i;
    for (size_t i = 0; i < whole; i++) {
        memcpy (&word, bytes + 8 * i, sizeof word);
        chain[i % MU_WIDE_CHAINS] = mu_wide_round (chain[i % MU_WIDE_CHAINS], word);
    }
    for (size_t i = 8 * whole; i < count; i++)
        chain[i % MU_WIDE_CHAINS] =
            mu_wide_round (chain[i % MU_WIDE_CHAINS], bytes[i] + UINT64_C (1));
    for (size_t i = 0; i < MU_WIDE_CHAINS; i++)
        hash = mu_mix (hash, chain[i]);
    return mu_mix (hash, count);
}

/* Every way that this CPU has, from any address, and with any end. */
static void registers_change_nothing (void **state)
{
    (void)state;
    unsigned ways = 0;
    fill ();
    for (mu_wide_rounds *way; (way = mu_wide_way (ways)) != NULL; ways++)
        for (size_t first = 0; first < FIRSTS; first++)
            for (size_t count = 0; count + first <= BYTES; count++)
                assert_true (mu_wide_mix_by (way, count, memory + first, count) ==
                             plainly (count, memory + first, count));
    assert_true (ways >= 1);
    assert_true (mu_wide_mix (7, memory, BYTES) == plainly (7, memory, BYTES));
#ifdef __x86_64__
    __builtin_cpu_init ();
    assert_int_equal (ways, __builtin_cpu_supports ("avx2") ? 3 : 2);
#endif
}

static void a_bit_anywhere_makes_another (void **state)
{
    (void)state;
    fill ();
    uint64_t right = mu_wide_mix (7, memory, BYTES);
    for (size_t bit = 0; bit < 8 * BYTES; bit++) {
        memory[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true (mu_wide_mix (7, memory, BYTES) != right);
        memory[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true (mu_wide_mix (8, memory, BYTES) != right);
    assert_true (mu_wide_mix (7, memory, BYTES) == right);
}

/* What goes wrong with memory that moves: a piece of zeros, a piece of another place, an end that is not there. */
static void pieces_out_of_place_make_another (void **state)
{
    (void)state;
    fill ();
    uint64_t right = mu_wide_mix (7, memory, 640);
    unsigned char other[640];
    for (size_t at = 0; at + 128 <= sizeof other; at += 8)
        for (size_t size = 8; size <= 128; size += 8) {
            memcpy (other, memory, sizeof other);
            memset (other + at, 0, size);
            assert_true (mu_wide_mix (7, other, sizeof other) != right);
            memcpy (other, memory, sizeof other);
            memmove (other + at, memory + (at + 128) % 512, size);
            assert_true (mu_wide_mix (7, other, sizeof other) != right);
        }
    memset (other, 0, sizeof other);
    for (size_t count = 1; count <= sizeof other; count++)
        assert_true (mu_wide_mix (7, other, count) != mu_wide_mix (7, other, count - 1));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (registers_change_nothing),
        cmocka_unit_test (a_bit_anywhere_makes_another),
        cmocka_unit_test (pieces_out_of_place_make_another),
    };
    return cmocka_run_group_tests_name ("wide mix", tests, NULL, NULL);
}
