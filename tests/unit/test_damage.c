/* SPDX-License-Identifier: Apache-2.0 */
/* test_damage.c - journals by chance, of well-formed records that say anything: tests/fuzz/fuzz_journal.c
 *
 * The fuzzer looks longer and learns; this is always built, and says after which bytes it ended. Journals
 * that once ended a core are told by name. */
#include "coordinator/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define JOURNALS  5000u
#define BYTES_MAX 4096u

static uint64_t next (uint64_t *luck)
{
    *luck = (*luck ^ UINT64_C (0x9e3779b97f4a7c15)) * UINT64_C (0xbf58476d1ce4e5b9);
    *luck ^= *luck >> 29;
    return *luck >> 8;
}

static void journals_by_chance (void **state)
{
    static uint8_t bytes[BYTES_MAX];
    const char *first = getenv ("MUSTER_JOURNALS_FROM"), *count = getenv ("MUSTER_JOURNALS");
    uint64_t from = first ? strtoull (first, NULL, 10) : 1;
    uint64_t to = from + (count ? strtoull (count, NULL, 10) : JOURNALS);
    (void)state;
    for (uint64_t seed = from; seed < to; seed++) {
        uint64_t luck = seed;
        size_t size = next (&luck) % BYTES_MAX;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)next (&luck);
        LLVMFuzzerTestOneInput (bytes, size);
    }
}

/* --- by name ---------------------------------------------------------------------------------- */

static struct coord *coord;

static bool is_taken (struct mu_journal record)
{
    struct mu_error error;
    uint64_t before = coord_digest (coord);
    bool taken = coord_apply (coord, &record, &error) == 0;
    assert_true (taken || (coord_digest (coord) == before && *error.text));
    return taken;
}

static bool moves (enum mu_job_state state, enum mu_job_state target)
{
    return is_taken ((struct mu_journal){
        .type = MU_JOURNAL_STATE, .state = { .job = 1, .state = state, .target = target } });
}

static bool is_committed (uint64_t step, uint64_t anchor)
{
    return is_taken ((struct mu_journal){ .type = MU_JOURNAL_COMMIT,
                                          .commit = { .job = 1, .step = step, .anchor = anchor } });
}

static bool agree (uint32_t place, uint32_t ranks)
{
    return is_taken ((struct mu_journal){
        .type = MU_JOURNAL_AGREED,
        .agreed = { .job = 1,
                    .generation = core_job (coord, 1)->durable.generation.number,
                    .place = place,
                    .ranks = ranks } });
}

static void form (void)
{
    static uint8_t map[4];
    struct mu_journal_member members[2] = { { .name = "w1" }, { .name = "w2" } };
    assert_true (is_taken ((struct mu_journal){ .type = MU_JOURNAL_FORM,
                                                .form = { .job = 1,
                                                          .generation = 1,
                                                          .members = { members, 2 },
                                                          .until_step = 10,
                                                          .first_map = { map, 4 },
                                                          .map = { map, 4 } } }));
}

/* A job of ten steps, about to be prepared. */
static int begin (void **state)
{
    (void)state;
    coord = coord_create (&(struct coord_options){ .version = "test" });
    assert_true (is_taken ((struct mu_journal){ .type = MU_JOURNAL_SUBMIT,
                                                .submit = { .job = 1,
                                                            .workers_min = 1,
                                                            .workers_max = 2,
                                                            .micro_batches = 2,
                                                            .global_batch = 2,
                                                            .window_steps = 4 } }));
    assert_true (moves (MU_JOB_PREPARING, MU_JOB_PENDING));
    assert_true (
        is_taken ((struct mu_journal){ .type = MU_JOURNAL_SIZED, .sized = { 1, .steps = 10 } }));
    return 0;
}

static int end (void **state)
{
    (void)state;
    coord_destroy (&coord);
    return 0;
}

static void who_agrees_is_there (void **state)
{
    (void)state;
    assert_false (agree (0, 2)); /* no generation yet */
    form ();
    assert_true (agree (0, 2));
    assert_false (agree (0, 3));
    assert_false (agree (3, 2));
    assert_true (agree (2, 2));
}

static void what_has_ended_moves_no_more (void **state)
{
    (void)state;
    assert_true (moves (MU_JOB_CANCELLED, MU_JOB_PENDING));
    assert_false (moves (MU_JOB_CANCELLED, MU_JOB_PENDING));
    assert_false (is_committed (5, 0));
}

/* What the core would do about them, it could not. */
static void states_that_only_a_generation_has (void **state)
{
    (void)state;
    assert_false (moves (MU_JOB_FORMING, MU_JOB_PENDING));
    form ();
    assert_false (moves (MU_JOB_RUNNING, MU_JOB_PENDING));
    assert_false (moves (MU_JOB_BREAKING, MU_JOB_PENDING));
    assert_false (moves (MU_JOB_STOPPING, MU_JOB_RUNNING)); /* where it would go next */
    assert_true (moves (MU_JOB_STOPPING, MU_JOB_PAUSED));
}

static void no_job_is_committed_beyond_its_end (void **state)
{
    (void)state;
    assert_false (is_committed (11, 0));
    assert_true (is_committed (10, 0));
}

/* The row of the checkpoint that it names is the damaged one: the others stay. */
static void an_anchor_that_is_lost_is_the_start (void **state)
{
    (void)state;
    assert_true (is_committed (4, 4));
    assert_true (is_committed (6, 4));
    assert_int_equal (core_job (coord, 1)->durable.anchor, 4);
    assert_true (is_committed (8, 5));
    assert_int_equal (core_job (coord, 1)->durable.anchor, 0);
}

static void a_term_follows_the_last (void **state)
{
    (void)state;
    assert_false (is_taken (
        (struct mu_journal){ .type = MU_JOURNAL_REIGN, .reign = { .term = UINT64_MAX } }));
}

#define DAMAGE_TEST(test) cmocka_unit_test_setup_teardown (test, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (journals_by_chance),
        DAMAGE_TEST (who_agrees_is_there),
        DAMAGE_TEST (what_has_ended_moves_no_more),
        DAMAGE_TEST (states_that_only_a_generation_has),
        DAMAGE_TEST (no_job_is_committed_beyond_its_end),
        DAMAGE_TEST (an_anchor_that_is_lost_is_the_start),
        DAMAGE_TEST (a_term_follows_the_last),
    };
    return cmocka_run_group_tests_name ("damage", tests, NULL, NULL);
}
