/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_loss.c - the agent's core: a collective that is lost, or a coordinator */
#include "agent_bed.h"

#include "coordinator/timing.h"
#include "worker/agent_timing.h"

#include <string.h>

/* The collective of a running generation fails; the trainer leaves it at step 3. */
static void broken_at_3 (struct story *story)
{
    running (story);
    collective (story, AGENT_COLLECTIVE_FAILED, 1, "the connection to another rank failed");
    expect (story, "DOWN 1 the connection to another rank failed");
    expect (story, "kill collective");
    expect (story, "tell LEAVE 1");
    collective (story, AGENT_COLLECTIVE_ENDED, 1, "status 49");
    expect (story, "end 1");
    said (story, left (1, 3, "\x02"));
}

static void collective_dies (void **state)
{
    (void)state;
    struct story story;
    broken_at_3 (&story);
    nothing (&story); /* ABORTED is an answer */
    wait_ms (&story, 600);
    expect (&story, "DOWN 1 the connection to another rank failed");
    hear (&story, order (MU_WIRE_ABORT, 1));
    expect (&story, "ABORTED 1 step 3 attempt 0 kept 02");
    finish (&story);
}

/* The others' collectives saw its end first, and ABORT is here before it is reaped. */
static void collective_died_before_abort (void **state)
{
    (void)state;
    for (int by_itself = 0; by_itself < 2; by_itself++) {
        struct story story;
        running (&story);
        hear (&story, order (MU_WIRE_ABORT, 1));
        expect (&story, "kill collective");
        expect (&story, "tell LEAVE 1");
        happen (&story, (struct agent_event){ .type = AGENT_COLLECTIVE_ENDED,
                                              .generation = 1,
                                              .status = 9,
                                              .text = "it was killed by signal 9 (Killed)",
                                              .by_itself = by_itself });
        if (by_itself) /* or that was the one that killed it */
            expect (&story, "DOWN 1 it was killed by signal 9 (Killed) (crashed)");
        expect (&story, "end 1");
        said (&story, left (1, 3, "\x02"));
        expect (&story, "ABORTED 1 step 3 attempt 0 kept 02");
        wait_ms (&story, 600);
        expect (&story, "ABORTED 1 step 3 attempt 0 kept 02");
        finish (&story);
    }
}

static void abort_of_an_unheard_generation (void **state)
{
    (void)state;
    struct story story;
    prepared (&story, 0);
    hear (&story, order (MU_WIRE_ABORT, 4));
    expect (&story, "ABORTED 4 step 0 attempt 0 kept 00");
    hear (&story, form (4, 0, 0, false)); /* its FORM comes too late */
    hear (&story, order (MU_WIRE_ABORT, 3));
    finish (&story);
}

static void coordinator_gone (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    said (&story, progress (1, 20));
    expect (&story, "TRAINED 1");
    wait_ms (&story, 2000); /* half the silence that counts: is anybody there? */
    expect (&story, "HELLO job 1 generation 1 step 20");
    expect (&story, "TRAINED 1");
    wait_ms (&story, 2000);
    expect (&story, "HELLO job 1 generation 1 step 20 to all");
    assert_false (agent_welcome (story.agent));
    said (&story, progress (1, 33)); /* training goes on */
    expect (&story, "TRAINED 2");
    assert_int_equal (agent_phase (story.agent), MU_PHASE_COMPUTING);
    hear_of (&story, 6, welcome ()); /* another reigns: say what may not have been heard */
    expect (&story, "TRAINED 2");
    struct mu_wire heard = { .type = MU_WIRE_TRAINED_OK };
    heard.trained_ok = (struct mu_wire_trained_ok){ 1, 1, 2 };
    hear_of (&story, 6, heard);
    wait_ms (&story, 1000);
    finish (&story);
}

/* Nobody acknowledges what was compared: a coordinator that was started anew has not heard it. */
static void opinions_are_said_again (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    for (uint32_t i = 0; i < 12; i++) {
        said (&story, (struct mu_wire){ .type = MU_WIRE_AUDITED, .audited = { 1, i, i, i } });
        expect (&story, "AUDIT");
    }
    said (&story, (struct mu_wire){ .type = MU_WIRE_HASHED, .hashed = { 1, 12, 7 } });
    expect (&story, "DIGEST step 12");
    hear_of (&story, 6, (struct mu_wire){ .type = MU_WIRE_WHO });
    expect (&story, "HELLO job 1 generation 1 step 0 to all");
    hear_of (&story, 6, welcome ());
    for (uint32_t i = 0; i < 8; i++) /* the newest */
        expect (&story, "AUDIT");
    expect (&story, "DIGEST step 12");
    finish (&story);
}

/* It had not missed the one before yet, and its HELLO was answered by the next: that one has not heard it either. */
static void opinions_are_said_to_the_next_reign (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    said (&story, (struct mu_wire){ .type = MU_WIRE_HASHED, .hashed = { 1, 12, 7 } });
    expect (&story, "DIGEST step 12");
    hear_of (&story, 6, welcome ());
    expect (&story, "DIGEST step 12");
    hear_of (&story, 6, welcome ());
    nothing (&story);
    finish (&story);
}

static unsigned count (const struct story *story, const char *what)
{
    unsigned found = 0;
    for (unsigned i = 0; i < story->lines; i++)
        found += !strncmp (story->line[i], what, strlen (what));
    return found;
}

/* Time passes and nobody speaks: how often it dialled, and that it said HELLO each time. */
static unsigned redials (struct story *story, uint64_t ms)
{
    unsigned dialled = 0;
    for (uint64_t end_ms = story->now_ms + ms; story->now_ms < end_ms;) {
        story->read = story->lines;
        wait_ms (story, 50);
        for (unsigned i = 0; i < story->lines; i++)
            if (!strcmp (story->line[i], "redial")) {
                assert_true (i + 1 < story->lines);
                assert_string_equal (story->line[i + 1], "HELLO job 1 generation 1 step 0 to all");
            }
        dialled += count (story, "redial");
    }
    story->read = story->lines;
    return dialled;
}

/* The coordinator that comes waits so long for who has not spoken (docs/decisions/0053). */
static void who_looks_for_one_is_heard_in_time (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    said (&story, progress (1, 0));
    uint64_t last_ms = story.now_ms, longest_ms = 0;
    while (story.now_ms < 60000) {
        story.read = story.lines;
        wait_ms (&story, 50);
        if (!count (&story, "HELLO"))
            continue;
        if (story.now_ms - last_ms > longest_ms)
            longest_ms = story.now_ms - last_ms;
        last_ms = story.now_ms;
    }
    story.read = story.lines;
    assert_in_range (longest_ms, AGENT_HELLO_MS, COORD_COME_MS);
    finish (&story);
}

/* The connection stands and leads to nobody. Training goes on, and new ones are made, less and less often. */
static void a_line_that_leads_to_nobody (void **state)
{
    (void)state;
    struct story story;
    running (&story); /* 4 s of silence are taken for the coordinator's end */
    said (&story, progress (1, 0));
    assert_int_equal (redials (&story, 11900), 0);
    assert_int_equal (redials (&story, 4200), 1);
    assert_int_equal (redials (&story, 19000), 0);
    assert_int_equal (redials (&story, 13000), 1);
    assert_in_range (redials (&story, 600000), 9, 14);
    assert_int_equal (agent_phase (story.agent), MU_PHASE_COMPUTING);
    hear_of (&story, 6, welcome ());
    story.read = story.lines;
    assert_int_equal (redials (&story, 11900), 0); /* as soon as before */
    assert_int_equal (redials (&story, 4200), 1);
    finish (&story);
}

/* Words are a sign of life, also those that are no welcome; those of a reign that is over are not. */
static void a_line_that_leads_somewhere (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    for (int i = 0; i < 10; i++) {
        assert_int_equal (redials (&story, 3000), 0);
        hear (&story, (struct mu_wire){ .type = MU_WIRE_WHO });
        story.read = story.lines;
    }
    unsigned dialled = 0;
    for (int i = 0; i < 10; i++) {
        dialled += redials (&story, 3000);
        hear_of (&story, 4, welcome ());
        story.read = story.lines;
    }
    assert_int_equal (dialled, 1);
    finish (&story);
}

/* A member died and nobody reigns: it says once what it waits for, holds all, and goes on. */
static void nobody_forms_the_next (void **state)
{
    (void)state;
    struct story story;
    broken_at_3 (&story);
    assert_string_equal (story.needs, "");
    wait_ms (&story, 2000);
    expect (&story, "HELLO job 1 generation 0 step 3");
    expect (&story, "DOWN 1 the connection to another rank failed");
    wait_ms (&story, 2000);
    expect (&story, "HELLO job 1 generation 0 step 3 to all");
    assert_non_null (strstr (story.needs, "waiting at step 3: its generation has ended"));
    story.needs[0] = '\0';
    wait_ms (&story, 10);
    assert_string_equal (story.needs, "");
    hear_of (&story, 6, welcome ());
    expect (&story, "DOWN 1 the connection to another rank failed");
    hear_of (&story, 6, order (MU_WIRE_ABORT, 1));
    expect (&story, "ABORTED 1 step 3 attempt 0 kept 02");
    hear_of (&story, 6, form (2, 1, 3, false));
    expect (&story, "tell ENTER 2 rank 1 step 3 until 100");
    expect (&story, "form 2 rank 1 of 3");
    finish (&story);
}

static void nobody_knows_me (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear_of (&story, 6, (struct mu_wire){ .type = MU_WIRE_WHO });
    expect (&story, "HELLO job 1 generation 1 step 0 to all");
    hear_of (&story, 6, welcome ());
    finish (&story);
}

/* Told to stop, without a coordinator: after so many seconds it ends. */
static unsigned ends_after (struct story *story)
{
    unsigned seconds = 0;
    while (!story->lines || strcmp (story->line[story->lines - 1], "exit 0") != 0) {
        assert_true (seconds < 60);
        story->read = story->lines;
        wait_ms (story, 1000);
        seconds++;
    }
    assert_string_equal (story->line[story->lines - 2],
                         "BYE told to stop, and there is no coordinator that could let it go");
    story->read = story->lines;
    return seconds;
}

static unsigned told_to_stop_alone (struct mu_wire newest)
{
    struct story story;
    running (&story);
    said (&story, newest);
    story.read = story.lines;
    wait_ms (&story, 10000);
    story.read = story.lines;
    happen (&story, (struct agent_event){ .type = AGENT_STOP });
    unsigned seconds = ends_after (&story);
    finish (&story);
    return seconds;
}

/* Who has trained waits for one that has it saved, within what a pod is given. */
static void told_to_stop_it_waits_as_long_as_there_is_something_to_save (void **state)
{
    (void)state;
    assert_int_equal (told_to_stop_alone (progress (1, 5)), 25);
    assert_int_equal (told_to_stop_alone (progress (1, 0)), 10);
}

int main (void)
{
    const struct CMUnitTest stories[] = {
        cmocka_unit_test (collective_dies),
        cmocka_unit_test (collective_died_before_abort),
        cmocka_unit_test (abort_of_an_unheard_generation),
        cmocka_unit_test (coordinator_gone),
        cmocka_unit_test (opinions_are_said_again),
        cmocka_unit_test (opinions_are_said_to_the_next_reign),
        cmocka_unit_test (who_looks_for_one_is_heard_in_time),
        cmocka_unit_test (a_line_that_leads_to_nobody),
        cmocka_unit_test (a_line_that_leads_somewhere),
        cmocka_unit_test (nobody_forms_the_next),
        cmocka_unit_test (nobody_knows_me),
        cmocka_unit_test (told_to_stop_it_waits_as_long_as_there_is_something_to_save),
    };
    return cmocka_run_group_tests (stories, NULL, NULL);
}
