/* SPDX-License-Identifier: Apache-2.0 */
/* test_poison.c - who is accused by a trainer's death, who is guilty, and what members are told */
#include "coordinator/poison.h"
#include "coordinator/shards.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define M       16u
#define WORKERS 4u

struct bed {
    struct coord *coord;
    struct job job;
    struct worker worker[WORKERS], *list[WORKERS];
};

static void make_bed (struct bed *bed, uint32_t workers)
{
    static const struct coord_options options;
    memset (bed, 0, sizeof *bed);
    bed->coord = coord_create (&options);
    bed->job.durable.micro_batches = M;
    bed->job.durable.poison_limit = 2;
    bed->job.durable.generation.step = 10;
    bed->job.durable.generation.until_step = 50;
    bed->job.soft.workers = bed->list;
    bed->job.soft.worker_count = workers;
    for (uint32_t i = 0; i < workers; i++) {
        bed->list[i] = &bed->worker[i];
        bed->worker[i].job = &bed->job;
        snprintf (bed->worker[i].name, sizeof bed->worker[i].name, "w%u", i);
    }
}

static void clear_bed (struct bed *bed)
{
    free (bed->job.durable.suspicion.strikes);
    free (bed->job.durable.skips);
    coord_destroy (&bed->coord);
}

/* A trainer's death as its agent tells it; what of it is accused. */
static struct mu_journal_crash die (struct bed *bed, uint32_t worker, uint64_t trainer, int status,
                                    uint64_t step, uint16_t suspects)
{
    uint8_t bits[2] = { (uint8_t)suspects, (uint8_t)(suspects >> 8) };
    struct mu_wire_crashed crashed = { .status = (uint32_t)status,
                                       .suspect_step = step,
                                       .suspects = { bits, sizeof bits },
                                       .records = { "record 7", 8 } };
    struct mu_journal_crash crash = { .trainer = trainer, .incarnation = 5 };
    mu_text_set (crash.worker, sizeof crash.worker, bed->worker[worker].name);
    poison_suspects (bed->coord, &bed->job.durable, &crashed, &crash);
    return crash;
}

static bool strike (struct bed *bed, uint32_t worker, uint64_t trainer, uint16_t suspects)
{
    struct mu_journal_crash crash = die (bed, worker, trainer, SIGSEGV, 20, suspects);
    return poison_accuse (&bed->job.durable, &crash);
}

static void only_its_own_doing_accuses (void **unused)
{
    (void)unused;
    static const struct {
        int status;
        bool accuses;
    } ends[] = {
        { SIGSEGV, true },        { SIGABRT | 0x80, true }, { SIGBUS, true },  { SIGFPE, true },
        { SIGILL, true },         { 3 << 8, true },         { 0, true },       { SIGKILL, false },
        { SIGTERM, false },       { SIGINT, false },        { SIGHUP, false }, { SIGXCPU, false },
        { SIGKILL | 0x80, false }
    };
    struct bed bed;
    make_bed (&bed, 3);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        assert_int_equal (die (&bed, 0, 1, ends[i].status, 20, 6).suspects.size > 0,
                          ends[i].accuses);
    clear_bed (&bed);
}

/* What others have done since, what is out of reach, and what does not exist. */
static void nonsense_accuses_nothing (void **unused)
{
    (void)unused;
    struct bed bed;
    make_bed (&bed, 3);
    assert_int_equal (die (&bed, 0, 1, SIGSEGV, 9, 6).suspects.size, 0);
    assert_int_equal (die (&bed, 0, 1, SIGSEGV, 50, 6).suspects.size, 0);
    assert_int_equal (die (&bed, 0, 1, SIGSEGV, 20, 0).suspects.size, 0);
    bed.job.durable.micro_batches = 8;
    assert_int_equal (die (&bed, 0, 1, SIGSEGV, 20, 0x100).suspects.size, 0);
    poison_skip (&bed.job.durable, 20, 1);
    assert_int_equal (die (&bed, 0, 1, SIGSEGV, 20, 2).suspects.size, 0);
    assert_int_equal (die (&bed, 0, 1, SIGSEGV, 21, 2).suspects.size, 1);
    clear_bed (&bed);
}

static void three_deaths_on_different_workers (void **unused)
{
    (void)unused;
    struct bed bed;
    make_bed (&bed, 3);
    assert_true (strike (&bed, 0, 1, 1 << 4 | 1 << 5));
    assert_true (strike (&bed, 1, 1, 1 << 5));
    assert_int_equal (poison_guilty (&bed.job), NONE);
    assert_true (strike (&bed, 1, 2, 1 << 5)); /* the same worker: it may be the worker's fault */
    assert_int_equal (poison_guilty (&bed.job), NONE);
    assert_true (strike (&bed, 2, 1, 1 << 5));
    assert_int_equal (poison_guilty (&bed.job), 5);
    clear_bed (&bed);
}

static void a_worker_that_cannot_try_it_is_not_waited_for (void **unused)
{
    (void)unused;
    struct bed bed;
    make_bed (&bed, 3);
    bed.worker[2].order = ORDER_ASSIGN; /* still opens its trainer */
    for (uint32_t i = 0; i < 3; i++)
        assert_true (strike (&bed, i % 2, i + 1, 1 << 3));
    assert_int_equal (poison_guilty (&bed.job), 3);
    bed.worker[2].order = ORDER_NONE;
    assert_int_equal (poison_guilty (&bed.job), NONE);
    bed.job.soft.worker_count = 1;
    assert_int_equal (poison_guilty (&bed.job), 3);
    clear_bed (&bed);
}

static void one_death_told_twice_is_one (void **unused)
{
    (void)unused;
    struct bed bed;
    make_bed (&bed, 1);
    assert_true (strike (&bed, 0, 1, 1));
    assert_false (strike (&bed, 0, 1, 1));
    assert_true (strike (&bed, 0, 2, 1));
    assert_false (strike (&bed, 0, 1, 1));
    assert_int_equal (poison_guilty (&bed.job), NONE);
    assert_true (strike (&bed, 0, 3, 1));
    assert_int_equal (poison_guilty (&bed.job), 0);
    clear_bed (&bed);
}

static void always_together_is_not_enough (void **unused)
{
    (void)unused;
    struct bed bed;
    make_bed (&bed, 1);
    for (uint64_t trainer = 1; trainer <= 4; trainer++)
        assert_true (strike (&bed, 0, trainer, 1 << 2 | 1 << 9));
    assert_int_equal (poison_guilty (&bed.job), NONE);
    assert_true (strike (&bed, 0, 5, 1 << 9));
    assert_int_equal (poison_guilty (&bed.job), 9);
    clear_bed (&bed);
}

/* Two in one step, by turns; the second stays suspected when the first is left out. */
static void two_poisons_are_two (void **unused)
{
    (void)unused;
    struct bed bed;
    make_bed (&bed, 1);
    assert_true (strike (&bed, 0, 1, 1 << 2 | 1 << 9));
    assert_true (strike (&bed, 0, 2, 1 << 2));
    assert_true (strike (&bed, 0, 3, 1 << 9));
    assert_int_equal (poison_guilty (&bed.job), NONE);
    assert_true (strike (&bed, 0, 4, 1 << 2));
    assert_int_equal (poison_guilty (&bed.job), 2);
    poison_skip (&bed.job.durable, 20, 2);
    assert_int_equal (poison_guilty (&bed.job), NONE);
    assert_true (poison_may_skip (&bed.job.durable));
    assert_true (strike (&bed, 0, 5, 1 << 9));
    assert_int_equal (poison_guilty (&bed.job), 9);
    poison_skip (&bed.job.durable, 20, 9);
    assert_false (poison_may_skip (&bed.job.durable));
    clear_bed (&bed);
}

static void another_step_begins_anew (void **unused)
{
    (void)unused;
    struct bed bed;
    make_bed (&bed, 1);
    assert_true (strike (&bed, 0, 1, 1));
    assert_true (strike (&bed, 0, 2, 1));
    struct mu_journal_crash crash = die (&bed, 0, 3, SIGSEGV, 21, 1);
    assert_true (poison_accuse (&bed.job.durable, &crash));
    assert_int_equal (poison_guilty (&bed.job), NONE);
    assert_int_equal (bed.job.durable.suspicion.count, 1);
    clear_bed (&bed);
}

static void members_are_told (void **unused)
{
    (void)unused;
    struct bed bed;
    struct mu_wire_form form = { 0 };
    make_bed (&bed, 3);
    poison_say (bed.coord, &bed.job.durable, &form);
    assert_int_equal (form.suspects.size + form.skips.size, 0);
    assert_true (strike (&bed, 0, 1, 1 << 1 | 1 << 3));
    assert_true (strike (&bed, 1, 1, 1 << 12));
    poison_skip (&bed.job.durable, 20, 3);
    poison_skip (&bed.job.durable, UINT64_C (0x123456789), 11);
    poison_say (bed.coord, &bed.job.durable, &form);
    assert_int_equal (form.suspect_step, 20);
    assert_memory_equal (form.suspects.data, "\x02\x10\0", 3);
    assert_int_equal (form.skips.size, 24);
    assert_memory_equal (form.skips.data,
                         "\x14\0\0\0\0\0\0\0\x03\0\0\0\x89\x67\x45\x23\x01\0\0\0\x0b\0\0\0", 24);
    clear_bed (&bed);
}

static void suspects_go_to_those_who_still_live (void **unused)
{
    (void)unused;
    struct bed bed;
    uint8_t map[2 * M], taken[KEPT_BYTES] = { 0 };
    make_bed (&bed, 4);
    for (uint32_t m = 0; m < M; m++)
        shards_set_rank (map, m, m / 4);
    assert_true (strike (&bed, 1, 1, 1 << 5 | 1 << 6)); /* rank 1 has 4 to 7 */
    assert_true (strike (&bed, 2, 1, 1 << 5));
    poison_spread (&bed.job.durable, map, taken, bed.list, 4);
    assert_int_equal (shards_rank (map, 5), 3);
    assert_int_equal (shards_rank (map, 6), 2);
    assert_int_equal (shards_rank (map, 7), 1);
    assert_int_equal (shards_rank (map, 12), 1); /* in exchange for 5 */
    assert_int_equal (shards_rank (map, 8), 1);  /* and for 6 */
    assert_true (strike (&bed, 3, 1, 1 << 5));
    assert_true (strike (&bed, 0, 1, 1 << 5));
    poison_spread (&bed.job.durable, map, taken, bed.list, 4);
    assert_int_equal (shards_rank (map, 5), 3); /* all were: it stays */
    taken[0] = 1 << 6;
    shards_set_rank (map, 6, 1);
    poison_spread (&bed.job.durable, map, taken, bed.list, 4);
    assert_int_equal (shards_rank (map, 6), 1); /* kept sums stay where they are */
    clear_bed (&bed);
}

/* All rewound to a step before: the suspects are met in a window, not in the first step. */
static void suspects_are_spread_in_windows_too (void **unused)
{
    (void)unused;
    struct bed bed;
    uint8_t map[2 * M];
    make_bed (&bed, 2);
    for (uint32_t i = 0; i < 2; i++)
        bed.worker[i].threads = 1;
    shards_map (bed.coord, &bed.job.durable, map, bed.list, 2, 19);
    assert_int_equal (shards_rank (map, 3), 0);
    assert_int_equal (shards_rank (map, 12), 1);
    assert_true (strike (&bed, 0, 1, 1 << 3));
    assert_true (strike (&bed, 1, 1, 1 << 12));
    shards_map (bed.coord, &bed.job.durable, map, bed.list, 2, 20);
    assert_int_equal (shards_rank (map, 3), 0); /* they are of the first step, which has its own */
    shards_map (bed.coord, &bed.job.durable, map, bed.list, 2, 19);
    assert_int_equal (shards_rank (map, 3), 1);
    assert_int_equal (shards_rank (map, 12), 0);
    assert_int_equal (shards_rank (map, 4), 0);
    uint32_t load = 0;
    for (uint32_t m = 0; m < M; m++)
        load += shards_rank (map, m);
    assert_int_equal (load, M / 2);
    clear_bed (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (only_its_own_doing_accuses),
        cmocka_unit_test (nonsense_accuses_nothing),
        cmocka_unit_test (three_deaths_on_different_workers),
        cmocka_unit_test (a_worker_that_cannot_try_it_is_not_waited_for),
        cmocka_unit_test (one_death_told_twice_is_one),
        cmocka_unit_test (always_together_is_not_enough),
        cmocka_unit_test (two_poisons_are_two),
        cmocka_unit_test (another_step_begins_anew),
        cmocka_unit_test (members_are_told),
        cmocka_unit_test (suspects_go_to_those_who_still_live),
        cmocka_unit_test (suspects_are_spread_in_windows_too),
    };
    return cmocka_run_group_tests_name ("poison", tests, NULL, NULL);
}
