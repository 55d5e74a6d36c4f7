/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_trainer.c - the agent's core: a trainer that dies, refuses or is poisoned */
#include "agent_bed.h"

static void trainer_crashes (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    said (&story, progress (1, 9));
    happen (&story, (struct agent_event){
                        .type = AGENT_TRAINER_ENDED, .status = 11, .text = "killed by signal 11" });
    expect (&story, "CRASHED generation 1 step 9 killed by signal 11");
    expect (&story, "kill collective");
    hear (&story, order (MU_WIRE_ABORT, 1));
    expect (&story, "CRASHED generation 1 step 9 killed by signal 11");
    hear (&story, order (MU_WIRE_ASSIGN, 0)); /* its collective still lives: remembered */
    hear (&story, order (MU_WIRE_ASSIGN, 0));
    wait_ms (&story, 600);
    nothing (&story);
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
    expect (&story, "end 1");
    expect (&story, "drop region");
    expect (&story, "start trainer");
    expect (&story, "tell PREPARE");
    hear (&story, order (MU_WIRE_ASSIGN, 0)); /* said again: it is being obeyed */
    finish (&story);
}

/* What it was at work on is told with each repetition; the next trainer has another number. */
static void trainer_dies_at_work (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    for (uint64_t trainer = 1; trainer <= 2; trainer++) {
        bool at_work = trainer == 1;
        happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED,
                                              .status = 11,
                                              .text = "signal 11",
                                              .step = 9,
                                              .suspects = { "\x20\0", at_work ? 2 : 0 },
                                              .records = at_work ? "record 7" : NULL });
        for (int again = 0; again < 2; again++) {
            struct mu_wire_crashed crashed = { .trainer = 0 };
            for (uint32_t i = 0; i < story.actions.count; i++)
                if (story.actions.list[i].type == AGENT_SEND &&
                    story.actions.list[i].send.wire.type == MU_WIRE_CRASHED)
                    crashed = story.actions.list[i].send.wire.crashed;
            assert_int_equal (crashed.trainer, trainer);
            assert_int_equal (crashed.suspects.size, at_work ? 2 : 0);
            assert_int_equal (crashed.suspect_step, at_work ? 9 : 0);
            assert_int_equal (crashed.records.size, at_work ? 8 : 0);
            story.read = story.lines;
            wait_ms (&story, 600);
        }
        story.read = story.lines;
        if (at_work)
            collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
        story.read = story.lines;
        hear (&story, order (MU_WIRE_ASSIGN, 0));
        story.read = story.lines;
    }
    finish (&story);
}

/* FORM's lists reach the trainer as they are. */
static void suspects_and_skips_are_passed_on (void **state)
{
    (void)state;
    struct story story;
    prepared (&story, 0);
    struct mu_wire wire = form (1, 0, 0, false);
    wire.form.suspect_step = 4;
    wire.form.suspects = (struct mu_blob){ "\x02", 1 };
    wire.form.skips = (struct mu_blob){ "\x03\0\0\0\0\0\0\0\x01\0\0\0", 12 };
    hear (&story, wire);
    struct mu_wire_enter enter = { .rank = 9 };
    for (uint32_t i = 0; i < story.actions.count; i++)
        if (story.actions.list[i].type == AGENT_TELL)
            enter = story.actions.list[i].tell.enter;
    assert_int_equal (enter.suspect_step, 4);
    assert_int_equal (enter.suspects.size, 1);
    assert_int_equal (enter.skips.size, 12);
    assert_memory_equal (enter.skips.data, wire.form.skips.data, 12);
    story.read = story.lines;
    finish (&story);
}

static void trainer_refuses (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire refuse = { .type = MU_WIRE_REFUSE };
    refuse.refuse.code = 7;
    refuse.refuse.text = (struct mu_blob){ "no such file", 12 };
    begin (&story);
    hear (&story, order (MU_WIRE_ASSIGN, 0));
    story.read = story.lines;
    said (&story, refuse);
    expect (&story, "kill trainer");
    expect (&story, "FAILED 7 no such file");
    happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    nothing (&story);                         /* that was us */
    hear (&story, order (MU_WIRE_ASSIGN, 0)); /* it would refuse again */
    expect (&story, "FAILED 7 no such file");
    wait_ms (&story, 600);
    expect (&story, "FAILED 7 no such file");
    hear (&story, order (MU_WIRE_RELEASE, 0));
    expect (&story, "RELEASED 1");
    wait_ms (&story, 600);
    finish (&story);
}

static void trainer_cannot_take_part (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    said (&story, left (1, 0, "\0"));
    expect (&story, "DOWN 1 its trainer cannot take part");
    expect (&story, "kill collective");
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
    expect (&story, "end 1");
    hear (&story, order (MU_WIRE_ABORT, 1));
    expect (&story, "ABORTED 1 step 0 attempt 0 kept 00");
    finish (&story);
}

int main (void)
{
    const struct CMUnitTest stories[] = {
        cmocka_unit_test (trainer_crashes),
        cmocka_unit_test (trainer_dies_at_work),
        cmocka_unit_test (suspects_and_skips_are_passed_on),
        cmocka_unit_test (trainer_refuses),
        cmocka_unit_test (trainer_cannot_take_part),
    };
    return cmocka_run_group_tests (stories, NULL, NULL);
}
