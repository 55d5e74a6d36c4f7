/* SPDX-License-Identifier: Apache-2.0 */
/* test_fault.c - ordered faults: who may, what is struck, when it ends, and that once is once
 *
 * The agent's core alone: an agent in a running generation is given orders, and the blows it deals
 * are read. Then the coordinator's part: what is refused, what is passed on and back. */
#include "coordinator/core.h"
#include "worker/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define TERM 5u

static struct {
    struct agent *agent;
    uint64_t now_ms, request;
    struct agent_actions actions;
} bed;

static void happen (struct agent_event event)
{
    event.now_ms = bed.now_ms;
    bed.actions.count = 0;
    agent_step (bed.agent, &event, &bed.actions);
}

static void hear (struct mu_wire wire)
{
    wire.term = TERM;
    happen ((struct agent_event){ .type = AGENT_HEARD, .wire = &wire });
}

static void open_agent (bool allowed)
{
    struct agent_options options = { .name = "w", .threads = 1, .seed = 3, .faults = allowed };
    memset (&bed, 0, sizeof bed);
    bed.agent = agent_create (&options);
    happen ((struct agent_event){ .type = AGENT_START });
    struct mu_wire welcome = { .type = MU_WIRE_WELCOME };
    welcome.welcome = (struct mu_wire_welcome){ .worker = 1, .beat_ms = 250, .lost_ms = 4000 };
    hear (welcome);
}

/* A trainer, and a collective in generation 1. */
static void train (void)
{
    struct mu_wire assign = { .type = MU_WIRE_ASSIGN }, opened = { .type = MU_WIRE_OPENED },
                   form = { .type = MU_WIRE_FORM };
    assign.assign.job = opened.opened.job = form.form.job = 1;
    assign.assign.spec = (struct mu_blob){ "{}", 2 };
    opened.opened.window = 16;
    form.form.generation = 1;
    form.form.size = 1;
    form.form.steps = form.form.until_step = 100;
    form.form.first_map = form.form.map = (struct mu_blob){ "\0\0", 2 };
    hear (assign);
    happen ((struct agent_event){ .type = AGENT_TRAINER_SAID, .wire = &opened, .region = true });
    hear (form);
}

static int end (void **state)
{
    (void)state;
    agent_destroy (&bed.agent);
    free (bed.actions.list);
    return 0;
}

static struct mu_wire order (enum mu_fault_state kind)
{
    struct mu_wire wire = { .type = MU_WIRE_HARM };
    wire.harm.kind = kind;
    wire.harm.request = ++bed.request;
    wire.harm.client = 77;
    wire.harm.milliseconds = 1000;
    wire.harm.factor = 5;
    wire.harm.percent = 20;
    wire.harm.process = MU_PROCESS_TRAINER;
    return wire;
}

/* What it answered to the last order; its code. */
static uint32_t answered (void)
{
    for (uint32_t i = 0; i < bed.actions.count; i++) {
        const struct mu_wire *wire = &bed.actions.list[i].send.wire;
        if (bed.actions.list[i].type != AGENT_SEND || wire->type != MU_WIRE_HARMED)
            continue;
        assert_int_equal (wire->harmed.client, 77);
        assert_int_equal (wire->harmed.asked_term, TERM);
        assert_int_equal (wire->harmed.request, bed.request);
        return wire->harmed.code;
    }
    fail_msg ("no answer");
    return 0;
}

/* The nth blow of the last event, or NULL. */
static const struct agent_blow *blow (uint32_t nth)
{
    for (uint32_t i = 0; i < bed.actions.count; i++)
        if (bed.actions.list[i].type == AGENT_BREAK && nth-- == 0)
            return &bed.actions.list[i].blow;
    return NULL;
}

static const struct agent_blow *dealt (uint32_t nth)
{
    const struct agent_blow *found = blow (nth);
    if (!found) {
        fail_msg ("nothing is struck");
        abort ();
    }
    return found;
}

static void struck (uint32_t nth, enum agent_blow_kind kind, enum mu_process_state process)
{
    assert_int_equal (dealt (nth)->kind, kind);
    assert_int_equal (dealt (nth)->process, process);
}

static void wait_ms (uint64_t ms)
{
    bed.now_ms += ms;
    happen ((struct agent_event){ .type = AGENT_TIMER });
}

/* --- the agent -------------------------------------------------------------------------------- */

static void only_with_the_flag (void **state)
{
    (void)state;
    open_agent (false);
    train ();
    for (int kind = 0; kind < MU_FAULT_STATES; kind++) {
        hear (order ((enum mu_fault_state)kind));
        assert_int_equal (answered (), MU_NO_PERMISSION);
        assert_null (blow (0));
    }
}

static void who_is_not_there_cannot_be_struck (void **state)
{
    (void)state;
    open_agent (true);
    hear (order (MU_FAULT_KILL));
    assert_int_equal (answered (), MU_TRY_AGAIN);
    hear (order (MU_FAULT_CORRUPT));
    assert_int_equal (answered (), MU_TRY_AGAIN);
    assert_null (blow (0));
    train ();
    hear (order (MU_FAULT_KILL));
    assert_int_equal (answered (), MU_OK);
    struck (0, BLOW_KILL, MU_PROCESS_TRAINER);
}

static void the_answer_comes_before_the_blow (void **state)
{
    (void)state;
    open_agent (true);
    struct mu_wire death = order (MU_FAULT_KILL);
    death.harm.process = MU_PROCESS_AGENT;
    hear (death);
    uint32_t said = UINT32_MAX;
    for (uint32_t i = 0; i < bed.actions.count; i++) {
        if (bed.actions.list[i].type == AGENT_SEND)
            said = i;
        if (bed.actions.list[i].type == AGENT_BREAK)
            assert_true (said < i);
    }
    struck (0, BLOW_KILL, MU_PROCESS_AGENT);
}

static void said_twice_is_done_once (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    struct mu_wire kill = order (MU_FAULT_KILL);
    hear (kill);
    struck (0, BLOW_KILL, MU_PROCESS_TRAINER);
    hear (kill);
    assert_int_equal (answered (), MU_OK);
    assert_null (blow (0));
}

static void a_stop_ends_by_itself (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    hear (order (MU_FAULT_STOP));
    struck (0, BLOW_HOLD, MU_PROCESS_TRAINER);
    assert_true (agent_deadline (bed.agent) <= bed.now_ms + 1000);
    wait_ms (999);
    assert_null (blow (0));
    wait_ms (1);
    struck (0, BLOW_GO_ON, MU_PROCESS_TRAINER);
    wait_ms (5000);
    assert_null (blow (0));
}

static void a_stop_for_ever_does_not (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    struct mu_wire stop = order (MU_FAULT_STOP);
    stop.harm.milliseconds = 0;
    hear (stop);
    struck (0, BLOW_HOLD, MU_PROCESS_TRAINER);
    wait_ms (3600000);
    assert_null (blow (0));
}

/* A newer process is not the one that was stopped. */
static void a_stop_ends_with_its_victim (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    hear (order (MU_FAULT_STOP));
    happen ((struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9, .text = "" });
    assert_null (blow (0));
    wait_ms (2000);
    assert_null (blow (0));
}

static void slow_is_one_part_of_five (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    hear (order (MU_FAULT_SLOW));
    assert_int_equal (answered (), MU_OK);
    uint64_t held_ms = 0, since_ms = bed.now_ms, began_ms = bed.now_ms;
    bool held = blow (0) && dealt (0)->kind == BLOW_HOLD;
    while (bed.now_ms < began_ms + 1000) {
        uint64_t next_ms = agent_deadline (bed.agent);
        wait_ms (next_ms > bed.now_ms ? next_ms - bed.now_ms : 1);
        if (!blow (0))
            continue;
        held_ms += held ? bed.now_ms - since_ms : 0;
        since_ms = bed.now_ms;
        assert_true (held != (dealt (0)->kind == BLOW_HOLD)); /* in turn */
        held = !held;
    }
    assert_in_range (held_ms, 750, 850);
    assert_false (held);
    wait_ms (1000);
    assert_null (blow (0));
}

/* A stop within a slow time: the turns of slowness do not let the process go on. */
static void slow_does_not_end_a_stop (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    hear (order (MU_FAULT_SLOW));
    struct mu_wire stop = order (MU_FAULT_STOP);
    stop.harm.milliseconds = 500;
    hear (stop);
    for (int i = 0; i < 49; i++) {
        wait_ms (10);
        assert_null (blow (0));
    }
}

static void wrong_orders_are_refused (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    struct mu_wire wrong[] = { order (MU_FAULT_SLOW), order (MU_FAULT_SLOW), order (MU_FAULT_SLOW),
                               order (MU_FAULT_PARTITION), order (MU_FAULT_DROP) };
    wrong[0].harm.factor = 0.0 / 0.0;
    wrong[1].harm.factor = 1e9;
    wrong[2].harm.milliseconds = UINT64_MAX;
    wrong[3].harm.milliseconds = 0;
    wrong[4].harm.milliseconds = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        wrong[i].harm.request = ++bed.request;
        hear (wrong[i]);
        assert_int_equal (answered (), MU_USAGE);
        assert_null (blow (0));
    }
}

static void words_are_lost_for_a_while (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    struct mu_wire cut = order (MU_FAULT_PARTITION), drop = order (MU_FAULT_DROP);
    cut.harm.request = bed.request;
    cut.harm.direction = MU_DIRECTION_IN;
    hear (cut);
    struck (0, BLOW_LINE, MU_PROCESS_AGENT);
    assert_int_equal (dealt (0)->lose_in, 100);
    assert_int_equal (dealt (0)->lose_out, 0);
    drop.harm.request = ++bed.request; /* takes its place */
    bed.now_ms += 500;
    hear (drop);
    assert_int_equal (dealt (0)->lose_in, 20);
    assert_int_equal (dealt (0)->lose_out, 20);
    wait_ms (999);
    assert_null (blow (0));
    wait_ms (1);
    struck (0, BLOW_LINE, MU_PROCESS_AGENT);
    assert_int_equal (dealt (0)->lose_in + dealt (0)->lose_out, 0);
}

static void peers_are_lost_too (void **state)
{
    (void)state;
    open_agent (true);
    train ();
    struct mu_wire cut = order (MU_FAULT_PARTITION);
    cut.harm.peers = true;
    hear (cut);
    struck (0, BLOW_LINE, MU_PROCESS_AGENT);
    struck (1, BLOW_HOLD, MU_PROCESS_COLLECTIVE);
    wait_ms (1000);
    struck (0, BLOW_GO_ON, MU_PROCESS_COLLECTIVE);
    struck (1, BLOW_LINE, MU_PROCESS_AGENT);
}

/* --- the coordinator -------------------------------------------------------------------------- */

#define WORKER_PEER 3u
#define CLIENT_PEER 9u

static struct {
    struct coord *coord;
    struct coord_actions actions;
} host;

static void step (uint32_t peer, enum coord_event_type type, const struct mu_wire *wire)
{
    host.actions.count = 0;
    struct coord_event event = { .type = type, .now_ms = 10, .peer = peer, .wire = wire };
    coord_step (host.coord, &event, &host.actions);
}

static void open_host (bool coordinator, bool worker)
{
    struct coord_options options = { .version = "test", .faults = coordinator };
    struct mu_wire hello = { .type = MU_WIRE_HELLO, .hello = { .incarnation = 1, .threads = 1 } };
    memset (&host, 0, sizeof host);
    host.coord = coord_create (&options);
    step (0, COORD_START, NULL);
    mu_text_set (hello.hello.name, sizeof hello.hello.name, "w");
    hello.hello.faults = worker;
    hello.term = coord_term (host.coord);
    step (WORKER_PEER, COORD_RECEIVE, &hello);
}

static int end_host (void **state)
{
    (void)state;
    coord_destroy (&host.coord);
    free (host.actions.list);
    return 0;
}

static const struct mu_wire *told (uint32_t peer)
{
    for (uint32_t i = 0; i < host.actions.count; i++)
        if (host.actions.list[i].type == COORD_SEND && host.actions.list[i].send.peer == peer)
            return &host.actions.list[i].send.wire;
    return NULL;
}

static void ask (const char *worker)
{
    struct mu_wire fault = { .type = MU_WIRE_FAULT,
                             .fault = { .request = 42, .kind = MU_FAULT_STOP, .milliseconds = 7 } };
    mu_text_set (fault.fault.worker, sizeof fault.fault.worker, worker);
    step (CLIENT_PEER, COORD_RECEIVE, &fault);
}

static const struct mu_wire *hears (uint32_t peer)
{
    const struct mu_wire *wire = told (peer);
    if (!wire) {
        fail_msg ("nothing is said");
        abort ();
    }
    return wire;
}

static void refused_with (uint32_t code, const char *part)
{
    const struct mu_wire *wire = hears (CLIENT_PEER);
    assert_null (told (WORKER_PEER));
    assert_int_equal (wire->type, MU_WIRE_REFUSED);
    assert_int_equal (wire->refused.code, code);
    assert_non_null (
        memmem (wire->refused.text.data, wire->refused.text.size, part, strlen (part)));
}

static void both_need_the_flag (void **state)
{
    (void)state;
    open_host (false, true);
    ask ("w");
    refused_with (MU_NO_PERMISSION, "coordinator was not started with --enable-faults");
    end_host (NULL);
    open_host (true, false);
    ask ("w");
    refused_with (MU_NO_PERMISSION, "Worker w, on");
    ask ("nobody");
    refused_with (MU_NOT_FOUND, "nobody");
}

static void passed_on_and_back (void **state)
{
    (void)state;
    open_host (true, true);
    ask ("1"); /* its number */
    const struct mu_wire *harm = hears (WORKER_PEER);
    assert_null (told (CLIENT_PEER));
    assert_int_equal (harm->type, MU_WIRE_HARM);
    assert_int_equal (harm->harm.kind, MU_FAULT_STOP);
    assert_int_equal (harm->harm.milliseconds, 7);
    struct mu_wire done = { .type = MU_WIRE_HARMED, .term = harm->term };
    done.harmed = (struct mu_wire_harmed){ .request = harm->harm.request,
                                           .client = harm->harm.client,
                                           .asked_term = harm->term,
                                           .text = "stopped" };
    step (WORKER_PEER, COORD_RECEIVE, &done);
    assert_int_equal (hears (CLIENT_PEER)->type, MU_WIRE_ACCEPTED);
    assert_int_equal (hears (CLIENT_PEER)->accepted.request, 42);
    /* Nothing was stored for it. */
    for (uint32_t i = 0; i < host.actions.count; i++)
        assert_int_equal (host.actions.list[i].type, COORD_SEND);
    done.harmed.asked_term--; /* another reign's client */
    step (WORKER_PEER, COORD_RECEIVE, &done);
    assert_null (told (CLIENT_PEER));
    done.harmed.asked_term++;
    done.harmed.client = WORKER_PEER; /* workers are no clients */
    step (WORKER_PEER, COORD_RECEIVE, &done);
    assert_null (told (WORKER_PEER));
    step (CLIENT_PEER, COORD_RECEIVE, &done); /* nor clients workers */
    assert_int_equal (host.actions.count, 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown (only_with_the_flag, end),
        cmocka_unit_test_teardown (who_is_not_there_cannot_be_struck, end),
        cmocka_unit_test_teardown (the_answer_comes_before_the_blow, end),
        cmocka_unit_test_teardown (said_twice_is_done_once, end),
        cmocka_unit_test_teardown (a_stop_ends_by_itself, end),
        cmocka_unit_test_teardown (a_stop_for_ever_does_not, end),
        cmocka_unit_test_teardown (a_stop_ends_with_its_victim, end),
        cmocka_unit_test_teardown (slow_is_one_part_of_five, end),
        cmocka_unit_test_teardown (slow_does_not_end_a_stop, end),
        cmocka_unit_test_teardown (wrong_orders_are_refused, end),
        cmocka_unit_test_teardown (words_are_lost_for_a_while, end),
        cmocka_unit_test_teardown (peers_are_lost_too, end),
        cmocka_unit_test_teardown (both_need_the_flag, end_host),
        cmocka_unit_test_teardown (passed_on_and_back, end_host),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
