/* SPDX-License-Identifier: Apache-2.0 */
/* test_keep.c - which checkpoints are to stay, as COMMITTED says: those that training may have to go back to */
#include "coordinator/generation.h"
#include "coordinator/prepare.h"
#include "tests/unit/audit_bed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Three workers train, and w0 hears what is said. The newest two checkpoints are kept. */
static int begin (void **state)
{
    (void)state;
    open_job (3);
    bed.job->durable.keep = 2;
    bed.workers[0]->connected = true;
    return 0;
}

static const struct mu_wire_committed *said (void)
{
    for (uint32_t i = bed.actions.count; i-- > 0;)
        if (bed.actions.list[i].type == COORD_SEND &&
            bed.actions.list[i].send.wire.type == MU_WIRE_COMMITTED)
            return &bed.actions.list[i].send.wire.committed;
    fail_msg ("nothing was said to be committed");
    return NULL;
}

static void expect (const uint64_t *steps, uint32_t count)
{
    const struct mu_wire_committed *committed = said ();
    assert_int_equal (committed->stays.count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal (committed->stays.items[i].step, steps[i]);
}
#define EXPECT(...)                                                                                \
    expect ((const uint64_t[]){ __VA_ARGS__ },                                                     \
            sizeof (const uint64_t[]){ __VA_ARGS__ } / sizeof (uint64_t))

/* They cannot be read any more, and training goes back. */
static void give_up (uint64_t step, uint64_t back_step)
{
    core_store (bed.coord,
                &(struct mu_journal){ .type = MU_JOURNAL_UNSOUND,
                                      .unsound = { .job = bed.job->durable.number,
                                                   .step = step,
                                                   .generation = bed.job->durable.generation.number,
                                                   .back_step = back_step } });
}

static void break_up (void) { generation_break (bed.coord, bed.job, true, "test"); }

static void the_newest_stay (void **state)
{
    (void)state;
    save (1, 40);
    EXPECT (40);
    save (1, 60);
    EXPECT (60, 40);
    save (1, 90);
    EXPECT (90, 60);
    assert_int_equal (said ()->step, 90);
    assert_int_equal (said ()->generation, 1);
    assert_int_equal (said ()->first, 0);
}

static void so_does_the_anchor (void **state)
{
    (void)state;
    agree (45);
    save (1, 40);
    save (1, 60);
    save (1, 80);
    save (1, 100);
    EXPECT (100, 80, 40);
    assert_int_equal (said ()->anchor, 40);
    agree (110);
    save (1, 120);
    EXPECT (120, 100);
}

/* Its worker says it again, as the answer was lost: by then it is told what stays now. */
static void who_is_told_late_is_told_what_stays_now (void **state)
{
    (void)state;
    save (1, 40);
    save (1, 60);
    save (1, 80);
    save (1, 40);
    EXPECT (80, 60);
}

/* What was removed is not there to go back to, and what came since is not named. */
static void training_goes_back (void **state)
{
    (void)state;
    save (1, 40);
    save (1, 60);
    save (1, 80);
    break_up ();
    give_up (80, 60);
    form (3, 60, 3);
    save (2, 70);
    EXPECT (70, 60);
    assert_int_equal (said ()->generation, 2);
    save (2, 90);
    EXPECT (90, 70);
}

static void the_next_reign_says_the_same (void **state)
{
    (void)state;
    save (1, 40);
    save (1, 60);
    save (1, 80);
    restart ();
    bed.job->durable.keep = 2; /* its SUBMIT said none, so that nothing was taken to be removed */
    worker_attach (bed.workers[0], bed.job);
    save (1, 100);
    EXPECT (100, 80);
}

/* It was to go on from a checkpoint, which somebody else has committed. */
static void where_the_job_began_is_said (void **state)
{
    (void)state;
    use_job (2);
    bed.job->durable.keep = 1;
    form (3, 500, 3);
    save (1, 540);
    assert_int_equal (said ()->first, 500);
    break_up ();
    form (3, 545, 3);
    save (2, 560);
    EXPECT (560);
    assert_int_equal (said ()->first, 500);
    bed.job = core_job (bed.coord, 1);
    restart ();
    assert_int_equal (core_job (bed.coord, 2)->durable.first_step, 500);
}

/* A job of before: who removes has its file, and goes by that. */
static void nothing_is_said_of_a_job_that_does_not_say_how_many (void **state)
{
    (void)state;
    bed.job->durable.keep = 0;
    save (1, 40);
    save (1, 60);
    assert_int_equal (said ()->step, 60);
    assert_int_equal (said ()->generation, 0);
    assert_int_equal (said ()->stays.count, 0);
}

#define KEEP_TEST(name) cmocka_unit_test_setup_teardown (name, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        KEEP_TEST (the_newest_stay),
        KEEP_TEST (so_does_the_anchor),
        KEEP_TEST (who_is_told_late_is_told_what_stays_now),
        KEEP_TEST (training_goes_back),
        KEEP_TEST (the_next_reign_says_the_same),
        KEEP_TEST (where_the_job_began_is_said),
        KEEP_TEST (nothing_is_said_of_a_job_that_does_not_say_how_many),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
