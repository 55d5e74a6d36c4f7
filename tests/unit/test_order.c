/* SPDX-License-Identifier: Apache-2.0 */
/* test_order.c - every record once an epoch, mixed well, and the same for ever */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "worker/data/order.h"

static void check_epoch (uint64_t records, uint64_t seed, uint64_t epoch)
{
    struct mu_order order;
    mu_order_init (&order, records, seed);
    uint8_t *seen = calloc (1, records);
    assert_non_null (seen);
    for (uint64_t i = 0; i < records; i++) {
        uint64_t position = epoch * records + i;
        uint64_t record = mu_order_record (&order, position);
        assert_true (record < records);
        assert_int_equal (seen[record], 0);
        seen[record] = 1;
        assert_int_equal (mu_order_position (&order, epoch, record), position);
    }
    free (seen);
}

static void every_record_comes_once_an_epoch (void **state)
{
    (void)state;
    for (uint64_t records = 1; records <= 2000; records++)
        check_epoch (records, records * 7919, records % 5);
    const uint64_t large[] = { 4095, 4096, 4097, 4160, 8191, 8193, 65537, 123457, 1000003 };
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        check_epoch (large[i], 1, 0);
        check_epoch (large[i], 2, 1u << 20);
    }
}

/* Beyond what can be walked whole: the inverse still finds every place asked for. */
static void huge_sets_have_an_inverse (void **state)
{
    (void)state;
    const uint64_t sizes[] = { 5000000029u, (1ull << 40) + 17, MU_ORDER_RECORDS_MAX };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct mu_order order;
        mu_order_init (&order, sizes[s], 42);
        for (uint64_t i = 0; i < 5000; i++) {
            uint64_t place = i * 0x9e3779b97f4a7c15ull % sizes[s];
            uint64_t record = mu_order_record (&order, 2 * sizes[s] + place);
            assert_true (record < sizes[s]);
            assert_int_equal (mu_order_position (&order, 2, record), 2 * sizes[s] + place);
        }
    }
}

static uint64_t same_places (uint64_t records, uint64_t seed_a, uint64_t epoch_a, uint64_t seed_b,
                             uint64_t epoch_b)
{
    struct mu_order a, b;
    mu_order_init (&a, records, seed_a);
    mu_order_init (&b, records, seed_b);
    uint64_t same = 0;
    for (uint64_t i = 0; i < records; i++)
        same += mu_order_record (&a, epoch_a * records + i) ==
                mu_order_record (&b, epoch_b * records + i);
    return same;
}

/* Two random orders agree in one place on average; 12 has a chance below 1e-8. */
static void epochs_and_seeds_differ (void **state)
{
    (void)state;
    const uint64_t sizes[] = { 100, 4000, 50001 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        assert_true (same_places (sizes[s], 1, 0, 1, 1) < 12);
        assert_true (same_places (sizes[s], 1, 0, 2, 0) < 12);
        assert_true (same_places (sizes[s], 1, 1, 2, 0) < 12);
        assert_true (same_places (sizes[s], 0, 0, 1ull << 63, 0) < 12);
        assert_int_equal (same_places (sizes[s], 9, 3, 9, 3), sizes[s]);
    }
}

/* Over many epochs each place must see each sixteenth of the records equally often. Chi-square with
 * 15 degrees of freedom: mean 15; 60 has a chance below 1e-6. */
static void places_are_spread_evenly (void **state)
{
    (void)state;
    const uint64_t sizes[] = { 160, 1600, 16000, 160000 };
    enum { EPOCHS = 3200, CELLS = 16 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct mu_order order;
        mu_order_init (&order, sizes[s], 77);
        for (uint64_t place = 0; place < sizes[s]; place += sizes[s] / 8) {
            double counts[CELLS] = { 0 }, chi = 0;
            for (uint64_t epoch = 0; epoch < EPOCHS; epoch++)
                counts[mu_order_record (&order, epoch * sizes[s] + place) * CELLS / sizes[s]]++;
            for (unsigned i = 0; i < CELLS; i++)
                chi +=
                    (counts[i] - EPOCHS / CELLS) * (counts[i] - EPOCHS / CELLS) / (EPOCHS / CELLS);
            assert_true (chi < 60);
        }
    }
}

/* Neighbours in the data are no longer neighbours in the stream, nor in order. */
static void neighbours_are_parted (void **state)
{
    (void)state;
    const uint64_t records = 100000;
    struct mu_order order;
    mu_order_init (&order, records, 5);
    uint64_t next = 0, rising = 0, before = mu_order_record (&order, 0);
    for (uint64_t i = 1; i < records; i++) {
        uint64_t record = mu_order_record (&order, i);
        next += record == before + 1;
        rising += record > before;
        before = record;
    }
    assert_true (next < 200); /* 1 in 4096 by chance: 24 */
    assert_true (rising > records * 49 / 100 && rising < records * 51 / 100);
}

static void reading_is_local (void **state)
{
    (void)state;
    const uint64_t records = 300007, run = MU_ORDER_CHUNK * MU_ORDER_SEGMENT;
    struct mu_order order;
    mu_order_init (&order, records, 11);
    uint8_t *chunk = malloc (records / MU_ORDER_CHUNK + 1);
    assert_non_null (chunk);
    for (uint64_t from = 0; from + 10000 < records; from += run) {
        memset (chunk, 0, records / MU_ORDER_CHUNK + 1);
        unsigned touched = 0;
        for (uint64_t i = 0; i < 10000; i++) {
            uint8_t *seen = &chunk[mu_order_record (&order, from + i) / MU_ORDER_CHUNK];
            touched += !*seen;
            *seen = 1;
        }
        assert_true (touched <= 64 * (10000 / run + 2));
    }
    free (chunk);
}

/* The order is part of every job's answer. If this fails, the code is wrong, not the numbers. */
static void the_order_never_changes (void **state)
{
    (void)state;
    static const struct {
        uint64_t records, seed, position, record;
    } golden[] = {
        { 1u, 0u, 0u, 0u },
        { 1u, 1u, 1u, 0u },
        { 1u, 16045690984503111693u, 7u, 0u },
        { 2u, 0u, 0u, 0u },
        { 2u, 1u, 3u, 1u },
        { 2u, 16045690984503111693u, 15u, 1u },
        { 3u, 0u, 0u, 1u },
        { 3u, 1u, 4u, 1u },
        { 3u, 16045690984503111693u, 23u, 2u },
        { 10u, 0u, 0u, 5u },
        { 10u, 1u, 15u, 6u },
        { 10u, 16045690984503111693u, 79u, 8u },
        { 64u, 0u, 0u, 0u },
        { 64u, 1u, 96u, 5u },
        { 64u, 16045690984503111693u, 511u, 4u },
        { 65u, 0u, 0u, 64u },
        { 65u, 1u, 97u, 4u },
        { 65u, 16045690984503111693u, 519u, 7u },
        { 100u, 0u, 0u, 54u },
        { 100u, 1u, 150u, 4u },
        { 100u, 16045690984503111693u, 799u, 60u },
        { 1000u, 0u, 0u, 381u },
        { 1000u, 1u, 1500u, 893u },
        { 1000u, 16045690984503111693u, 7999u, 962u },
        { 4096u, 0u, 0u, 3760u },
        { 4096u, 1u, 6144u, 3737u },
        { 4096u, 16045690984503111693u, 32767u, 3860u },
        { 4097u, 0u, 0u, 3759u },
        { 4097u, 1u, 6145u, 344u },
        { 4097u, 16045690984503111693u, 32775u, 3519u },
        { 60000u, 0u, 0u, 34096u },
        { 60000u, 1u, 90000u, 13437u },
        { 60000u, 16045690984503111693u, 479999u, 4232u },
        { 1000003u, 0u, 0u, 812144u },
        { 1000003u, 1u, 1500004u, 54233u },
        { 1000003u, 16045690984503111693u, 8000023u, 184822u },
        { 5000000029u, 0u, 0u, 322491120u },
        { 5000000029u, 1u, 7500000043u, 472867159u },
        { 5000000029u, 16045690984503111693u, 40000000231u, 4288576607u },
        { 1099511627776u, 0u, 0u, 565362370928u },
        { 1099511627776u, 1u, 1649267441664u, 650245087096u },
        { 1099511627776u, 16045690984503111693u, 8796093022207u, 784323111356u },
        { 1152921504606846976u, 0u, 0u, 954786037487500720u },
        { 1152921504606846976u, 1u, 1729382256910270464u, 749101903698392395u },
        { 1152921504606846976u, 16045690984503111693u, 9223372036854775807u, 589568137758478818u },
    };
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        struct mu_order order;
        mu_order_init (&order, golden[i].records, golden[i].seed);
        assert_int_equal (mu_order_record (&order, golden[i].position), golden[i].record);
    }
    uint64_t sum = 0;
    struct mu_order order;
    mu_order_init (&order, 12345, 6789);
    for (uint64_t i = 0; i < 3 * 12345; i++)
        sum = sum * 6364136223846793005ull + mu_order_record (&order, i) + 1;
    assert_int_equal (sum, 11736109100164729359ull);
}

/* The promise is 0.5 µs; a loaded machine gets ten times that before this fails. */
static void a_record_is_cheap (void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct timespec begin, end;
    struct mu_order order;
    mu_order_init (&order, 1000000007, 3);
    uint64_t sum = 0;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &begin);
    for (uint64_t i = 0; i < COUNT; i++)
        sum += mu_order_record (&order, i * 4999);
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &end);
    double nanoseconds =
        (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    print_message ("# %.0f ns a record (sum %llu)\n", nanoseconds / COUNT, (unsigned long long)sum);
    assert_true (nanoseconds / COUNT < 5000);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_record_comes_once_an_epoch),
        cmocka_unit_test (huge_sets_have_an_inverse),
        cmocka_unit_test (epochs_and_seeds_differ),
        cmocka_unit_test (places_are_spread_evenly),
        cmocka_unit_test (neighbours_are_parted),
        cmocka_unit_test (reading_is_local),
        cmocka_unit_test (the_order_never_changes),
        cmocka_unit_test (a_record_is_cheap),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
