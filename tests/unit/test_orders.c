/* SPDX-License-Identifier: Apache-2.0 */
/* test_orders.c - orders are numbered, and an answer counts for the newest alone */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct bed bed;

static int end (void **state)
{
    (void)state;
    finish (&bed);
    return 0;
}

static void say_released (uint32_t worker, uint64_t term, uint64_t order)
{
    hear (&bed, worker,
          (struct mu_wire){
              .type = MU_WIRE_RELEASED, .term = term, .released = { .job = 1, .order = order } });
}

static void each_order_has_a_number_of_its_own (void **state)
{
    (void)state;
    forming (&bed);
    assert_true (bed.order[0] && bed.order[1] && bed.order[2]);
    assert_int_not_equal (bed.order[0], bed.order[1]);
    uint64_t before = bed.order[0];
    pass (&bed, 2 * COORD_REPEAT_MS); /* said again, it is the same */
    assert_int_equal (bed.order[0], before);
}

/* A trainer is gone for certain only if its agent says so after all that it was told. */
static void an_answer_to_an_older_order_is_not_believed (void **state)
{
    (void)state;
    running (&bed, 5);
    uint64_t term = coord_term (bed.coord);
    say_released (1, term, bed.order[1] - 1);
    say_released (1, term - 1, bed.order[1]);
    assert_int_equal (bed.broken, 0);
    say_released (1, term, bed.order[1]);
    assert_int_equal (bed.broken, 1);
}

static void nor_twice (void **state)
{
    (void)state;
    running (&bed, 5);
    uint64_t term = coord_term (bed.coord), answered = bed.order[1];
    say_released (1, term, answered);
    assert_true (was_told (&bed, 1, "ASSIGN"));
    prepared (&bed, 1);
    bed.told[1][0] = '\0';
    say_released (1, term, answered);
    pass (&bed, BEAT_MS);
    assert_false (was_told (&bed, 1, "ASSIGN"));
    assert_true (bed.order[1] > answered);
}

/* It tells where that one stood. */
static void nor_what_the_trainer_before_said (void **state)
{
    (void)state;
    running (&bed, 5);
    say_released (1, coord_term (bed.coord), bed.order[1]);
    uint64_t newest = bed.order[1];
    bed.order[1] = newest - 1;
    prepared (&bed, 1);
    bed.order[1] = newest;
    bed.told[1][0] = '\0';
    pass (&bed, 2 * COORD_REPEAT_MS);
    assert_true (was_told (&bed, 1, "ASSIGN"));
    prepared (&bed, 1);
    bed.told[1][0] = '\0';
    pass (&bed, 2 * COORD_REPEAT_MS);
    assert_false (was_told (&bed, 1, "ASSIGN"));
}

static void speak_of (uint64_t term)
{
    step (&bed, (struct coord_event){
                    .type = COORD_RECEIVE,
                    .peer = 0,
                    .wire = &(struct mu_wire){ .type = MU_WIRE_BEAT, .term = term } });
}

/* Without a register it is all that tells of another coordinator. */
static void a_later_term_deposes (void **state)
{
    (void)state;
    opening (&bed, 1);
    speak_of (coord_term (bed.coord));
    assert_false (coord_deposed (bed.coord));
    speak_of (coord_term (bed.coord) + 1);
    assert_true (coord_deposed (bed.coord));
}

static void but_not_where_a_register_says_who_reigns (void **state)
{
    (void)state;
    opening (&bed, 1);
    step (&bed, (struct coord_event){ .type = COORD_START, .reign = { .leader = 5 } });
    uint64_t term = coord_term (bed.coord);
    speak_of (term + 7);
    speak_of (term + 3);
    assert_false (coord_deposed (bed.coord));
    assert_int_equal (coord_later_term (bed.coord), term + 7);
    assert_int_equal (bed.actions.count, 0); /* the word itself is dropped */
}

/* Whatever is known of a worker is known by its name. */
static void who_says_no_name_is_refused (void **state)
{
    (void)state;
    opening (&bed, 1);
    uint32_t before = coord_worker_count (bed.coord);
    step (&bed, (struct coord_event){
                    .type = COORD_RECEIVE,
                    .peer = 50,
                    .wire = &(struct mu_wire){ .type = MU_WIRE_HELLO,
                                               .hello = { .incarnation = 7, .threads = 1 } } });
    assert_int_equal (coord_worker_count (bed.coord), before);
    assert_int_equal (bed.actions.count, 1);
    const struct mu_wire *said = &bed.actions.list[0].send.wire;
    assert_int_equal (said->type, MU_WIRE_REFUSED);
    assert_int_equal (said->refused.code, MU_CONFLICT); /* an agent ends over it */
    assert_int_equal (said->refused.request, 7);
}

static const struct mu_wire_worker_info *about (uint32_t worker)
{
    struct mu_wire wire = { .type = MU_WIRE_WORKERS, .workers = { .request = 1 } };
    step (&bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
    const struct mu_wire_worker_list *list = &bed.actions.list[0].send.wire.worker_list;
    assert_int_equal (list->workers.count, WORKERS);
    return &list->workers.items[worker];
}

/* People took who was given the job, and no rank yet, for rank 0. */
static void who_has_no_rank_is_said_to_have_none (void **state)
{
    (void)state;
    opening (&bed, 1);
    assert_int_equal (about (0)->job, 1);
    assert_false (about (0)->ranked);
    form (&bed);
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_true (about (w)->ranked);
        assert_int_equal (about (w)->rank, w);
    }
}

#define ORDERS_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        ORDERS_TEST (each_order_has_a_number_of_its_own),
        ORDERS_TEST (an_answer_to_an_older_order_is_not_believed),
        ORDERS_TEST (nor_twice),
        ORDERS_TEST (nor_what_the_trainer_before_said),
        ORDERS_TEST (a_later_term_deposes),
        ORDERS_TEST (but_not_where_a_register_says_who_reigns),
        ORDERS_TEST (who_says_no_name_is_refused),
        ORDERS_TEST (who_has_no_rank_is_said_to_have_none),
    };
    return cmocka_run_group_tests_name ("orders", tests, NULL, NULL);
}
