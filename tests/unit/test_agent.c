/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent.c - the agent's core: roster, leases, checkpoints, beats, drain */
#include "agent_bed.h"

#include <string.h>

static void hello_until_welcome (void **state)
{
    (void)state;
    struct story story;
    struct agent_options options = { .name = "w1", .threads = 1, .seed = 9 };
    memset (&story, 0, sizeof story);
    story.agent = agent_create (&options);
    happen (&story, (struct agent_event){ .type = AGENT_START });
    unsigned hellos = story.lines;
    story.read = story.lines;
    for (int i = 0; i < 400; i++) { /* 20 s: quickly at first, then every 1 to 2 s */
        wait_ms (&story, 50);
        hellos += story.lines;
        story.read = story.lines;
    }
    assert_in_range (hellos, 12, 24);
    hear (&story, welcome ());
    wait_ms (&story, 100);
    finish (&story);
}

static void fences_and_ready (void **state)
{
    (void)state;
    struct story story;
    prepared (&story, 0);
    struct mu_wire fenced = { .type = MU_WIRE_FENCED };
    fenced.fenced = (struct mu_wire_fenced){ .job = 1, .generation = 1, .number = 0 };
    fenced.fenced.values = (struct mu_blob){ "all", 3 };
    hear (&story, form (1, 0, 0, false));
    expect (&story, "tell ENTER 1 rank 0 step 0 until 100 writer");
    expect (&story, "form 1 rank 0 of 3");
    hear (&story, fenced); /* nobody asked */
    collective (&story, AGENT_COLLECTIVE_FENCE, 1, "mine");
    expect (&story, "FENCE 1 number 0 mine");
    wait_ms (&story, 600);
    expect (&story, "FENCE 1 number 0 mine");
    hear (&story, form (1, 0, 0, false)); /* it asks again: so do we answer */
    expect (&story, "FENCE 1 number 0 mine");
    hear (&story, fenced);
    expect (&story, "fence 0 done all");
    hear (&story, fenced); /* once is enough */
    collective (&story, AGENT_COLLECTIVE_READY, 1, "");
    expect (&story, "READY 1");
    wait_ms (&story, 600);
    expect (&story, "READY 1");
    hear (&story, order (MU_WIRE_GO, 1));
    expect (&story, "go 1");
    hear (&story, order (MU_WIRE_GO, 1));
    wait_ms (&story, 600);
    finish (&story);
}

static void lower_terms_are_refused (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear_of (&story, 4, order (MU_WIRE_ABORT, 1));
    hear_of (&story, 4, order (MU_WIRE_RELEASE, 0));
    hear_of (&story, 4, form (2, 0, 0, false));
    nothing (&story);
    assert_int_equal (agent_term (story.agent), 5);
    hear_of (&story, 6, order (MU_WIRE_ABORT, 1));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    hear (&story, order (MU_WIRE_RELEASE, 0)); /* term 5 reigns no more */
    assert_int_equal (agent_term (story.agent), 6);
    finish (&story);
}

/* Its HELLO of before it heard of any term came late, to one that lacks what it has done since. */
static void who_serves_what_is_lost_ends (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire welcome = {
        .type = MU_WIRE_WELCOME,
        .welcome = { .worker = 1, .beat_ms = 100, .lost_ms = 1000, .lacks_below = 5 }
    };
    running (&story);
    hear_of (&story, 6, welcome); /* it has served in term 5, of which nothing lacks */
    assert_int_equal (agent_term (story.agent), 6);
    story.read = story.lines;
    welcome.welcome.lacks_below = 9;
    hear_of (&story, 9, welcome);
    expect (&story, "exit 18"); /* MU_CONFLICT */
    assert_int_equal (agent_term (story.agent), 6);
    finish (&story);
}

static void leases (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire lease = { .type = MU_WIRE_LEASE };
    running (&story);
    lease.lease = (struct mu_wire_lease){ .job = 1, .generation = 1, .until_step = 160 };
    hear (&story, lease);
    expect (&story, "tell EXTEND 160");
    hear (&story, lease);
    lease.lease.until_step = 120; /* a late one */
    hear (&story, lease);
    lease.lease.stop = true; /* it is to leave */
    hear (&story, lease);
    expect (&story, "tell EXTEND 120");
    lease.lease = (struct mu_wire_lease){ .job = 1, .generation = 1, .until_step = 160 };
    hear (&story, lease); /* not any more */
    expect (&story, "tell EXTEND 160");
    lease.lease.generation = 2; /* one that is not ours */
    lease.lease.until_step = 300;
    hear (&story, lease);
    finish (&story);
}

static void checkpoints (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire wrote = { .type = MU_WIRE_WROTE }, committed = { .type = MU_WIRE_COMMITTED };
    running (&story);
    wrote.wrote.step = 32;
    wrote.wrote.path = (struct mu_blob){ "/x", 2 };
    said (&story, wrote);
    expect (&story, "SAVED step 32");
    wait_ms (&story, 600);
    expect (&story, "SAVED step 32");
    committed.committed = (struct mu_wire_committed){ .job = 1, .step = 32 };
    hear (&story, committed);
    expect (&story, "tell PRUNE 32");
    hear (&story, committed);
    wait_ms (&story, 600);
    nothing (&story);
    hear (&story, order (MU_WIRE_ABORT, 1));
    story.read = story.lines;
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
    story.read = story.lines;
    said (&story, left (1, 40, "\0"));
    story.read = story.lines;
    hear (&story, order (MU_WIRE_SAVE, 1)); /* the job is to be paused */
    expect (&story, "tell WRITE");
    wrote.wrote.step = 40;
    said (&story, wrote);
    expect (&story, "SAVED step 40");
    hear (&story, order (MU_WIRE_SAVE, 1));
    expect (&story, "SAVED step 40");
    finish (&story);
}

/* The trainer is told which are to stay; a coordinator of before says how old they may be alone. */
static void which_checkpoints_stay_is_passed_on (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire committed = { .type = MU_WIRE_COMMITTED };
    struct mu_wire_stays stays[] = { { 32 }, { 24 }, { 8 } };
    running (&story);
    committed.committed = (struct mu_wire_committed){
        .job = 1, .step = 32, .anchor = 8, .stays = { stays, 3 }, .generation = 2, .first = 4
    };
    hear (&story, committed);
    expect (&story, "tell PRUNE 32 of generation 2 from 4, not 32 24 8");
    committed.committed = (struct mu_wire_committed){ .job = 1, .step = 40, .anchor = 8 };
    hear (&story, committed);
    expect (&story, "tell PRUNE 40");
    finish (&story);
}

/* A job's last commit and its end come together; the trainer must have heard of the one before the other. */
static void the_last_commit_is_heard_of (struct story *story)
{
    struct mu_wire committed = { .type = MU_WIRE_COMMITTED };
    running (story);
    committed.committed = (struct mu_wire_committed){ .job = 1, .step = 32 };
    hear (story, committed);
    expect (story, "tell PRUNE 32");
    hear (story, order (MU_WIRE_ABORT, 1));
    story->read = story->lines;
    collective (story, AGENT_COLLECTIVE_ENDED, 1, "");
    story->read = story->lines;
    said (story, left (1, 40, "\0"));
    story->read = story->lines;
    hear (story, order (MU_WIRE_RELEASE, 0));
    nothing (story);
}

static void is_let_go_when_pruned (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire pruned = { .type = MU_WIRE_PRUNED };
    the_last_commit_is_heard_of (&story);
    pruned.pruned.step = 16; /* of the commit before */
    said (&story, pruned);
    nothing (&story);
    pruned.pruned.step = 32;
    said (&story, pruned);
    expect (&story, "kill trainer");
    finish (&story);
}

static void is_let_go_unpruned (void **state)
{
    (void)state;
    struct story story;
    the_last_commit_is_heard_of (&story);
    wait_ms (&story, 1000);
    expect (&story, "kill trainer");
    finish (&story);
}

static void drain (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    happen (&story, (struct agent_event){ .type = AGENT_STOP });
    expect (&story, "HELLO job 1 generation 1 step 0 leaving");
    wait_ms (&story, 600);
    expect (&story, "HELLO job 1 generation 1 step 0 leaving");
    hear (&story, order (MU_WIRE_ABORT, 1));
    story.read = story.lines;
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
    story.read = story.lines;
    said (&story, left (1, 5, "\0"));
    expect (&story, "ABORTED 1 step 5 attempt 0 kept 00");
    hear (&story, order (MU_WIRE_RELEASE, 0));
    expect (&story, "kill trainer");
    happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    expect (&story, "drop region");
    expect (&story, "RELEASED 1");
    expect (&story, "BYE told to stop");
    expect (&story, "exit 0");
    finish (&story);
}

static void drain_has_a_limit (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    happen (&story, (struct agent_event){ .type = AGENT_STOP });
    story.read = story.lines;
    for (int second = 0; second < 24; second++) {
        wait_ms (&story, 1000);
        story.read = story.lines;
        hear (&story, welcome ());
        story.read = story.lines;
    }
    wait_ms (&story, 1500);
    expect (&story, "BYE told to stop, and not let go in time");
    expect (&story, "exit 0");
    finish (&story);
}

static void stop_twice (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    happen (&story, (struct agent_event){ .type = AGENT_STOP });
    story.read = story.lines;
    happen (&story, (struct agent_event){ .type = AGENT_STOP });
    expect (&story, "BYE told to stop at once");
    expect (&story, "exit 0");
    finish (&story);
}

static bool find_beat (const struct story *story, struct mu_wire_beat *beat)
{
    for (uint32_t i = 0; i < story->actions.count; i++) {
        const struct agent_action *action = &story->actions.list[i];
        if (action->type != AGENT_SEND || action->send.wire.type != MU_WIRE_BEAT)
            continue;
        *beat = action->send.wire.beat;
        return true;
    }
    return false;
}

static void beats (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    struct mu_wire now = progress (1, 7);
    now.progress.loss = 2.5;
    now.progress.busy_us = 1000;
    said (&story, now);
    said (&story, now);
    wait_ms (&story, 250);
    struct mu_wire_beat beat = { 0 };
    assert_true (find_beat (&story, &beat));
    assert_int_equal (beat.job, 1);
    assert_int_equal (beat.generation, 1);
    assert_int_equal (beat.step, 7);
    assert_int_equal (beat.phase, MU_PHASE_COMPUTING);
    assert_int_equal (beat.phase_ms, 250);
    assert_int_equal (beat.busy_us, 2000);
    assert_true (beat.loss > 2.4 && beat.loss < 2.6);
    wait_ms (&story, 100);
    assert_false (find_beat (&story, &beat));
    assert_true (agent_deadline (story.agent) <= story.now_ms + 250);
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "x");
    story.read = story.lines;
    wait_ms (&story, 250);
    story.read = story.lines;
    assert_true (find_beat (&story, &beat));
    assert_int_equal (beat.generation, 0);
    assert_int_equal (beat.phase, MU_PHASE_LEAVING);
    finish (&story);
}

/* The coordinator has the next move, and what was between was too short to be heard of. */
static void it_stands_once_more (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire_beat beat = { 0 };
    running (&story);
    struct mu_wire now = progress (1, 7);
    now.progress.phase = MU_PHASE_UNLEASED;
    for (uint64_t at = 7; at <= 8; at++) {
        now.progress.step = at;
        said (&story, now);
        assert_true (find_beat (&story, &beat));
        assert_int_equal (beat.step, at);
        assert_int_equal (beat.phase, MU_PHASE_UNLEASED);
        story.read = story.lines;
        wait_ms (&story, 10);
        assert_false (find_beat (&story, &beat));
    }
    finish (&story);
}

int main (void)
{
    const struct CMUnitTest stories[] = {
        cmocka_unit_test (hello_until_welcome),
        cmocka_unit_test (fences_and_ready),
        cmocka_unit_test (lower_terms_are_refused),
        cmocka_unit_test (who_serves_what_is_lost_ends),
        cmocka_unit_test (leases),
        cmocka_unit_test (it_stands_once_more),
        cmocka_unit_test (checkpoints),
        cmocka_unit_test (which_checkpoints_stay_is_passed_on),
        cmocka_unit_test (is_let_go_when_pruned),
        cmocka_unit_test (is_let_go_unpruned),
        cmocka_unit_test (drain),
        cmocka_unit_test (drain_has_a_limit),
        cmocka_unit_test (stop_twice),
        cmocka_unit_test (beats),
    };
    return cmocka_run_group_tests (stories, NULL, NULL);
}
