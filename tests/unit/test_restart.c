/* SPDX-License-Identifier: Apache-2.0 */
/* test_restart.c - who is waited for after a restart of the coordinator, and for how long */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct bed bed;

static int end (void **state)
{
    (void)state;
    finish (&bed);
    return 0;
}

/* The first so many come back at once. */
static void begin (uint32_t back)
{
    running (&bed, 5);
    for (uint32_t w = back; w < WORKERS; w++)
        bed.quiet[w] = true;
    restart (&bed);
}

static void come (uint32_t worker)
{
    bed.quiet[worker] = false;
    hello (&bed, worker);
}

static void break_of (uint32_t worker)
{
    hear (&bed, worker,
          (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { .job = 1, .generation = bed.forms } });
    assert_int_equal (bed.broken, 1);
}

static void stop (uint32_t worker)
{
    assert_true (was_told (&bed, worker, "ABORT"));
    aborted (&bed, worker, 6);
    reach (&bed, worker, 0, 6, MU_PHASE_WAITING, MU_DUTY_NOBODY);
}

static void a_generation_that_trains_has_the_whole_grace (void **state)
{
    (void)state;
    begin (2);
    pass (&bed, COORD_RESTART_GRACE_MS - BEAT_MS);
    assert_int_equal (bed.broken, 0);
    pass (&bed, 2 * BEAT_MS); /* the first of them counts as a stall */
    assert_int_equal (bed.broken, 1);
    assert_non_null (strstr (bed.reason, "did not come back"));
}

static void one_that_is_over_is_not_held_up (void **state)
{
    (void)state;
    begin (2);
    break_of (0);
    stop (0);
    stop (1);
    pass (&bed, COORD_COME_MS - BEAT_MS);
    assert_int_equal (bed.forms, 1);
    pass (&bed, 2 * BEAT_MS);
    assert_int_equal (bed.forms, 2);
    assert_null (coord_member (bed.coord, 1, 2));
}

static void the_last_that_comes_counts (void **state)
{
    (void)state;
    begin (1);
    break_of (0);
    stop (0);
    pass (&bed, COORD_COME_MS - BEAT_MS);
    come (1);
    stop (1);
    pass (&bed, COORD_COME_MS - BEAT_MS);
    come (2);
    stop (2);
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 2);
    assert_non_null (coord_member (bed.coord, 1, 2));
}

/* It was stopped itself, and nobody could come meanwhile. */
static void a_pause_of_its_own_is_not_theirs (void **state)
{
    (void)state;
    begin (2);
    break_of (0);
    stop (0);
    stop (1);
    pass (&bed, BEAT_MS);
    bed.now_ms += COORD_COME_MS;
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 1);
    pass (&bed, COORD_COME_MS);
    assert_int_equal (bed.forms, 2);
}

static void nobody_is_missed_where_none_has_come (void **state)
{
    (void)state;
    running (&bed, 5);
    break_of (0);
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.quiet[w] = true;
    restart (&bed);
    pass (&bed, COORD_RESTART_GRACE_MS - BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++) {
        come (w);
        stop (w);
    }
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 2);
    assert_non_null (coord_member (bed.coord, 1, 2));
}

/* As people are told. */
static uint64_t silence_of (uint32_t worker)
{
    struct mu_wire ask = { .type = MU_WIRE_WORKERS, .workers = { .request = 1 } };
    step (&bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &ask });
    for (uint32_t i = 0; i < bed.actions.count; i++)
        if (bed.actions.list[i].type == COORD_SEND)
            return bed.actions.list[i].send.wire.worker_list.workers.items[worker].silent_ms;
    fail ();
    return 0;
}

/* Not for as long as the machine is up. */
static void who_was_not_heard_yet_is_silent_since_the_restart (void **state)
{
    (void)state;
    begin (2);
    assert_int_equal (silence_of (2), 0);
    pass (&bed, 4 * BEAT_MS);
    assert_int_equal (silence_of (0), 0);
    assert_in_range (silence_of (2), 3 * BEAT_MS, 4 * BEAT_MS); /* the first counts as a stall */
    pass (&bed, COORD_RESTART_GRACE_MS);
    assert_int_equal (bed.broken, 1);
    assert_in_range (silence_of (2), COORD_RESTART_GRACE_MS,
                     COORD_RESTART_GRACE_MS + 4 * BEAT_MS); /* lost, but known */
}

/* Said while nobody was there, they come all at once. */
static void who_says_hello_many_times_is_told_once (void **state)
{
    (void)state;
    running (&bed, 5);
    break_of (0);
    restart (&bed);
    assert_string_equal (bed.told[0], "ABORT ");
    for (int i = 0; i < 10; i++)
        hello (&bed, 0);
    assert_string_equal (bed.told[0], "ABORT ");
    pass (&bed, BEAT_MS);
    hello (&bed, 0);
    assert_string_equal (bed.told[0], "ABORT ABORT ");
}

/* That it was a member, and when it was started by its clock, was stored. Its host is dead. */
static void who_comes_in_a_dead_members_place_waits_for_its_grace (void **state)
{
    (void)state;
    begin (2);
    for (int i = 0; i < 3; i++) {
        pass (&bed, BEAT_MS);
        start_anew (&bed, 2, 0);
        assert_string_equal (bed.told[2], "");
    }
    pass (&bed, COORD_RESTART_GRACE_MS);
    assert_int_equal (coord_worker_count (bed.coord), 2);
    start_anew (&bed, 2, 0);
    assert_int_equal (coord_worker_count (bed.coord), 3);
}

/* The first that is said to a word of that term; NULL: nothing is. */
static const struct mu_wire *answer_to (struct coord *coord, struct coord_actions *actions,
                                        struct mu_wire wire, uint64_t term)
{
    static uint32_t peer = 10;
    static uint64_t now_ms = 1000;
    wire.term = term;
    if (wire.type == MU_WIRE_HELLO)
        strcpy (wire.hello.name, "w0");
    actions->count = 0;
    struct coord_event event = {
        .type = COORD_RECEIVE, .now_ms = ++now_ms, .peer = ++peer, .wire = &wire
    };
    coord_step (coord, &event, actions);
    for (uint32_t i = 0; i < actions->count; i++)
        if (actions->list[i].type == COORD_SEND && actions->list[i].send.peer == peer)
            return &actions->list[i].send.wire;
    return NULL;
}

static void who_served_a_database_that_is_lost_is_sent_away (void **state)
{
    const struct coord_options options = { .version = "test" };
    const struct mu_wire hello = { .type = MU_WIRE_HELLO,
                                   .hello = { .incarnation = 7, .threads = 1 } },
                         beat = { .type = MU_WIRE_BEAT };
    const struct mu_journal reigns[] = {
        { .type = MU_JOURNAL_REIGN, .reign = { .term = 3 } },
        { .type = MU_JOURNAL_REIGN, .reign = { .term = 1003, .lacks = true } },
    };
    struct coord_actions actions = { NULL, 0, 0 };
    struct coord *coord = coord_create (&options);
    const struct mu_wire *said;
    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal (coord_apply (coord, &reigns[i], NULL), 0);
    coord_step (coord, &(struct coord_event){ .type = COORD_START, .now_ms = 1000 }, &actions);
    assert_int_equal (coord_term (coord), 1004);
    assert_null (answer_to (coord, &actions, beat, 5)); /* WHO would tell it of the new term */
    said = answer_to (coord, &actions, hello, 5);
    assert_true (said && said->type == MU_WIRE_REFUSED && said->refused.code == MU_CONFLICT);
    assert_int_equal (said->refused.request, 7);
    assert_int_equal (coord_worker_count (coord), 0);
    said = answer_to (coord, &actions, beat, 1004);
    assert_true (said && said->type == MU_WIRE_WHO);
    said = answer_to (coord, &actions, hello, 0); /* new, as is who has been here before */
    assert_true (said && said->type == MU_WIRE_WELCOME);
    said = answer_to (coord, &actions, hello, 1003);
    assert_true (said && said->type == MU_WIRE_WELCOME);
    coord_destroy (&coord);
    free (actions.list);
}

#define RESTART_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        RESTART_TEST (a_generation_that_trains_has_the_whole_grace),
        RESTART_TEST (one_that_is_over_is_not_held_up),
        RESTART_TEST (the_last_that_comes_counts),
        RESTART_TEST (a_pause_of_its_own_is_not_theirs),
        RESTART_TEST (nobody_is_missed_where_none_has_come),
        RESTART_TEST (who_was_not_heard_yet_is_silent_since_the_restart),
        RESTART_TEST (who_says_hello_many_times_is_told_once),
        RESTART_TEST (who_comes_in_a_dead_members_place_waits_for_its_grace),
        cmocka_unit_test (who_served_a_database_that_is_lost_is_sent_away),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
