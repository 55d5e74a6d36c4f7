/* SPDX-License-Identifier: Apache-2.0 */
/* test_namesakes.c - two processes of one name: which of them is the worker
 *
 * Clocks of two hosts tell nothing for certain. Each process has a line of its own, its number here is its
 * incarnation. docs/decisions/0071. */
#include "coordinator/coord.h"
#include "coordinator/timing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BEAT_MS 250u
#define LOST_MS (2 * COORD_LOST_MS)
#define EARLIER 500u
#define LATER   900u
#define LATEST  901u

static struct coord *coord;
static struct coord_actions actions;
static uint64_t now_ms, refused;

static void step (struct coord_event event)
{
    event.now_ms = now_ms;
    event.unix_ms = 1700000000000 + now_ms;
    actions.count = 0;
    coord_step (coord, &event, &actions);
}

/* What is said first. ASKED: who it is. */
enum answer { NOTHING, WELCOMED, REFUSED, ASKED };

static enum answer hear (uint32_t process, struct mu_wire wire)
{
    wire.term = coord_term (coord);
    step ((struct coord_event){ .type = COORD_RECEIVE, .peer = process, .wire = &wire });
    for (uint32_t i = 0; i < actions.count; i++) {
        if (actions.list[i].type != COORD_SEND || actions.list[i].send.peer != process)
            continue;
        const struct mu_wire *said = &actions.list[i].send.wire;
        if (said->type == MU_WIRE_REFUSED)
            refused = said->refused.code == MU_CONFLICT ? said->refused.request : 0;
        return said->type == MU_WIRE_WELCOME   ? WELCOMED
               : said->type == MU_WIRE_REFUSED ? REFUSED
                                               : ASKED;
    }
    return NOTHING;
}

static enum answer hello (uint32_t process)
{
    return hear (process, (struct mu_wire){ .type = MU_WIRE_HELLO,
                                            .hello = { .name = "w0", .incarnation = process } });
}

static enum answer beat (uint32_t process)
{
    return hear (process, (struct mu_wire){ .type = MU_WIRE_BEAT });
}

/* Who of the two is there speaks all the time. 0: nobody. */
static void pass (uint64_t ms, uint32_t process)
{
    for (uint64_t end_ms = now_ms + ms; now_ms < end_ms;) {
        now_ms += BEAT_MS;
        if (process)
            assert_int_equal (beat (process), NOTHING);
        step ((struct coord_event){ .type = COORD_TIMER });
    }
}

static int begin (void **state)
{
    static const struct coord_options options = { .version = "0" };
    (void)state;
    now_ms = 100000;
    refused = 0;
    coord = coord_create (&options);
    step ((struct coord_event){ .type = COORD_START });
    return 0;
}

static int end (void **state)
{
    (void)state;
    coord_destroy (&coord);
    free (actions.list);
    actions = (struct coord_actions){ NULL, 0, 0 };
    return 0;
}

static void is_the_worker (uint32_t process)
{
    assert_int_equal (beat (process), NOTHING);
    assert_int_equal (coord_worker_count (coord), 1);
}

static void who_was_started_anew_is_taken_at_once (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    pass (1000, LATER);
    assert_int_equal (hello (LATEST), WELCOMED);
    is_the_worker (LATEST);
}

/* A pod that moved: its new host's clock is behind, or the one before was ahead. */
static void a_dead_one_keeps_no_place (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    pass (1000, LATER);
    pass (LOST_MS, 0);
    assert_int_equal (hello (EARLIER), WELCOMED);
    pass (1000, EARLIER);
    is_the_worker (EARLIER);
}

static void who_comes_just_after_a_death_waits_and_is_not_sent_away (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    pass (1000, LATER);
    for (enum answer answer = NOTHING; answer != WELCOMED; now_ms += 100) {
        answer = hello (EARLIER);
        assert_int_not_equal (answer, REFUSED);
        step ((struct coord_event){ .type = COORD_TIMER });
        assert_in_range (now_ms, 0, 101000 + LOST_MS);
    }
    is_the_worker (EARLIER);
}

/* What the dead one said last lies in its line, and is heard behind the other's first word. */
static void late_words_of_the_dead_are_no_life (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    pass (1000, LATER);
    assert_int_equal (hello (EARLIER), NOTHING);
    beat (LATER);
    now_ms += 20;
    beat (LATER);
    now_ms += 200;
    assert_int_equal (hello (EARLIER), NOTHING);
    pass (LOST_MS, 0);
    assert_int_equal (hello (EARLIER), WELCOMED);
}

static void who_lives_keeps_its_place (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    pass (1000, LATER);
    assert_int_equal (hello (EARLIER), NOTHING);
    pass (2 * BEAT_MS, LATER);
    assert_int_equal (hello (EARLIER), REFUSED);
    assert_int_equal (refused, EARLIER); /* an agent ends over it */
    is_the_worker (LATER);
}

/* It was stopped, and wakes up when another has long taken its place. */
static void who_lost_its_place_does_not_take_it_back (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    pass (LOST_MS, 0);
    assert_int_equal (hello (EARLIER), WELCOMED);
    pass (1000, EARLIER);
    assert_int_equal (beat (LATER), ASKED);
    assert_int_equal (hello (LATER), NOTHING);
    pass (2 * BEAT_MS, EARLIER);
    assert_int_equal (hello (LATER), REFUSED);
    is_the_worker (EARLIER);
}

static void unless_the_other_is_dead (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    pass (LOST_MS, 0);
    assert_int_equal (hello (EARLIER), WELCOMED);
    pass (LOST_MS, 0);
    assert_int_equal (hello (LATER), WELCOMED);
    is_the_worker (LATER);
}

/* Each is started anew by its host whenever it ends: the later one stays, from the first time on. */
static void two_that_live_do_not_displace_each_other_for_ever (void **state)
{
    (void)state;
    assert_int_equal (hello (1), WELCOMED);
    pass (1000, 1);
    assert_int_equal (hello (2), WELCOMED);
    for (uint32_t other = 1; other < 10; other += other == 1 ? 2 : 1) {
        assert_int_equal (hello (other), NOTHING);
        pass (2 * BEAT_MS, 2);
        assert_int_equal (hello (other), REFUSED);
        pass (1000, 2);
    }
    is_the_worker (2);
}

/* Once another of its name was seen it has to be silent before it is taken for one that was started anew. */
static void then_one_that_is_started_anew_waits_for_its_own_silence (void **state)
{
    (void)state;
    assert_int_equal (hello (2), WELCOMED);
    assert_int_equal (hello (1), NOTHING);
    pass (2 * BEAT_MS, 2);
    assert_int_equal (hello (1), REFUSED);
    assert_int_equal (hello (3), NOTHING);
    pass (LOST_MS, 0);
    assert_int_equal (hello (3), WELCOMED);
    assert_int_equal (hello (4), WELCOMED); /* that is forgotten now */
    is_the_worker (4);
}

/* It counts as lost, as a process of it cannot be ended. */
static void nor_does_one_that_gets_no_work (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    for (int i = 0; i < 8; i++) {
        now_ms += BEAT_MS;
        hear (LATER, (struct mu_wire){ .type = MU_WIRE_BEAT, .beat = { .duty = MU_DUTY_UNDYING } });
        assert_int_not_equal (hello (EARLIER), WELCOMED);
    }
    assert_int_equal (coord_worker_count (coord), 0);
    assert_int_equal (refused, EARLIER);
}

static void who_said_that_it_leaves_is_gone (void **state)
{
    (void)state;
    assert_int_equal (hello (LATER), WELCOMED);
    hear (LATER, (struct mu_wire){ .type = MU_WIRE_BYE, .bye = { .reason = "told to stop" } });
    assert_int_equal (hello (EARLIER), WELCOMED);
    is_the_worker (EARLIER);
}

#define TEST(test) cmocka_unit_test_setup_teardown (test, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (who_was_started_anew_is_taken_at_once),
        TEST (a_dead_one_keeps_no_place),
        TEST (who_comes_just_after_a_death_waits_and_is_not_sent_away),
        TEST (late_words_of_the_dead_are_no_life),
        TEST (who_lives_keeps_its_place),
        TEST (who_lost_its_place_does_not_take_it_back),
        TEST (unless_the_other_is_dead),
        TEST (two_that_live_do_not_displace_each_other_for_ever),
        TEST (then_one_that_is_started_anew_waits_for_its_own_silence),
        TEST (nor_does_one_that_gets_no_work),
        TEST (who_said_that_it_leaves_is_gone),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
