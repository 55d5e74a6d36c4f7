/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_worlds.c - the agent's core: worlds that form, or are connected ahead */
#include "agent_bed.h"

#include "worker/agent_timing.h"

#include <stdio.h>
#include <string.h>

static void aborted_only_when_all_is_gone (void **state)
{
    (void)state;
    for (int order_of = 0; order_of < 2; order_of++) {
        struct story story;
        running (&story);
        hear (&story, order (MU_WIRE_ABORT, 1));
        expect (&story, "kill collective");
        expect (&story, "tell LEAVE 1");
        hear (&story, order (MU_WIRE_ABORT, 1)); /* not yet */
        nothing (&story);
        if (order_of == 0) {
            said (&story, left (1, 12, "\x05"));
            nothing (&story);
            collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
            expect (&story, "end 1");
        } else {
            collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
            expect (&story, "end 1");
            nothing (&story);
            said (&story, left (1, 12, "\x05"));
        }
        expect (&story, "ABORTED 1 step 12 attempt 0 kept 05");
        hear (&story, order (MU_WIRE_ABORT, 1));
        expect (&story, "ABORTED 1 step 12 attempt 0 kept 05");
        wait_ms (&story, 600);
        expect (&story, "ABORTED 1 step 12 attempt 0 kept 05");
        hear (&story, form (1, 1, 0, false)); /* late: it is over */
        hear (&story, form (2, 1, 12, false));
        expect (&story, "tell ENTER 2 rank 1 step 12 until 100");
        expect (&story, "form 2 rank 1 of 3");
        wait_ms (&story, 3000);
        story.read = story.lines; /* a HELLO, since nobody spoke */
        finish (&story);
    }
}

static struct mu_wire connect_order (uint64_t generation, uint32_t size, const char *world)
{
    struct mu_wire wire = { .type = MU_WIRE_CONNECT };
    wire.connect =
        (struct mu_wire_connect){ .job = 1, .generation = generation, .rank = 1, .size = size };
    mu_text_set (wire.connect.world, sizeof wire.connect.world, world);
    return wire;
}

static struct mu_wire fenced_ahead (uint64_t generation, const char *world)
{
    struct mu_wire wire = { .type = MU_WIRE_FENCED };
    wire.fenced =
        (struct mu_wire_fenced){ .job = 1, .generation = generation, .values = { "all", 3 } };
    mu_text_set (wire.fenced.world, sizeof wire.fenced.world, world);
    return wire;
}

static struct mu_wire form_connected (uint64_t generation, const char *world)
{
    struct mu_wire wire = form (generation, 1, 12, false);
    wire.form.connected = true;
    mu_text_set (wire.form.world, sizeof wire.form.world, world);
    return wire;
}

static void running_and_connected (struct story *story)
{
    running (story);
    hear (story, connect_order (2, 3, "a"));
    expect (story, "connect 2 rank 1 of 3 to a");
    collective (story, AGENT_COLLECTIVE_FENCE, 2, "mine");
    expect (story, "FENCE 2 number 0 mine");
    hear (story, fenced_ahead (2, "other"));
    nothing (story);
    hear (story, fenced_ahead (2, "a"));
    expect (story, "fence 0 done all");
    collective (story, AGENT_COLLECTIVE_CONNECTED, 2, "");
    expect (story, "CONNECTED");
    nothing (story);
}

static void break_generation_1 (struct story *story)
{
    hear (story, order (MU_WIRE_ABORT, 1));
    expect (story, "kill collective");
    expect (story, "tell LEAVE 1");
    collective (story, AGENT_COLLECTIVE_ENDED, 1, "");
    expect (story, "end 1");
    said (story, left (1, 12, "\x05"));
    expect (story, "ABORTED 1 step 12 attempt 0 kept 05");
}

static void connected_ahead_and_used (void **state)
{
    (void)state;
    struct story story;
    running_and_connected (&story);
    hear (&story, connect_order (2, 3, "a")); /* it was not heard */
    expect (&story, "CONNECTED");
    said (&story, progress (1, 12)); /* the present one trains on */
    break_generation_1 (&story);
    hear (&story, form_connected (2, "a"));
    expect (&story, "tell ENTER 2 rank 1 step 12 until 100");
    expect (&story, "form 2 rank 1 of 3");
    collective (&story, AGENT_COLLECTIVE_READY, 2, "");
    expect (&story, "READY 2");
    finish (&story);
}

/* Time passes, and what is said by itself meanwhile is not looked at. True: a spare was started. */
static bool spare_within (struct story *story, uint64_t ms)
{
    bool any = false;
    for (uint64_t past = 0; past < ms; past += 50) {
        wait_ms (story, 50);
        for (; story->read < story->lines; story->read++)
            any = any || !strcmp (story->line[story->read], "spare");
    }
    return any;
}

/* Not in the break and the step that everybody waits for. */
static void a_spare_is_started_later (void **state)
{
    struct story story;
    (void)state;
    begin_as (&story, true);
    open_job (&story, 0);
    run_first (&story);
    assert_true (agent_deadline (story.agent) <= story.now_ms + AGENT_SPARE_MS);
    assert_false (spare_within (&story, AGENT_SPARE_MS - 50));
    assert_true (spare_within (&story, 50));
    assert_false (spare_within (&story, 2 * AGENT_SPARE_MS));
    hear (&story, connect_order (2, 3, "a")); /* it takes the spare */
    expect (&story, "connect 2 rank 1 of 3 to a");
    assert_false (spare_within (&story, AGENT_SPARE_MS - 50));
    assert_true (spare_within (&story, 50));
    finish (&story);
}

static void connected_ahead_for_nothing (void **state)
{
    (void)state;
    struct story story;
    running_and_connected (&story);
    hear (&story, connect_order (2, 0, "b")); /* another one is not wanted */
    nothing (&story);
    hear (&story, connect_order (2, 0, "a"));
    expect (&story, "drop ahead");
    hear (&story, connect_order (2, 3, "c"));
    expect (&story, "connect 2 rank 1 of 3 to c");
    hear (&story, connect_order (2, 3, "d")); /* the members are others now */
    expect (&story, "drop ahead");
    expect (&story, "connect 2 rank 1 of 3 to d");
    hear (&story, connect_order (1, 3, "late"));
    nothing (&story);
    break_generation_1 (&story);
    hear (&story, form (2, 1, 12, false)); /* of a world that is to be connected now */
    expect (&story, "drop ahead");
    expect (&story, "tell ENTER 2 rank 1 step 12 until 100");
    expect (&story, "form 2 rank 1 of 3");
    finish (&story);
}

static void what_was_connected_ahead_ends (void **state)
{
    (void)state;
    struct story story;
    running_and_connected (&story);
    collective (&story, AGENT_COLLECTIVE_ENDED, 2, "status 49");
    expect (&story, "DOWN 2 status 49 (crashed)");
    hear (&story,
          connect_order (2, 3, "a")); /* that world is spent: the others passed its fences */
    expect (&story, "DOWN 2 the collective that was connected ahead has ended");
    break_generation_1 (&story);
    hear (&story, form_connected (2, "a")); /* said before DOWN was heard */
    expect (&story, "tell ENTER 2 rank 1 step 12 until 100");
    expect (&story, "DOWN 2 the collective that was connected for it has ended");
    wait_ms (&story, 1);
    expect (&story, "end 2");
    expect (&story, "tell LEAVE 2");
    finish (&story);
}

static void form_while_one_lives (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear (&story, form (2, 0, 12, true));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    collective (&story, AGENT_COLLECTIVE_READY, 1, ""); /* its last word */
    hear (&story, form (3, 2, 13, true));               /* already another */
    nothing (&story);
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
    expect (&story, "end 1");
    said (&story, left (1, 12, "\x01"));
    expect (&story, "tell ENTER 3 rank 2 step 13 until 100 transfer");
    expect (&story, "form 3 rank 2 of 3 receives");
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "late"); /* of another generation */
    finish (&story);
}

static void level_ranks_compare (void **state)
{
    (void)state;
    struct story story;
    prepared (&story, 40);
    hear (&story, form (2, 1, 40, true));
    expect (&story, "tell ENTER 2 rank 1 step 40 until 100 transfer");
    expect (&story, "form 2 rank 1 of 3");
    finish (&story);
}

static void blank (struct story *story)
{
    struct mu_wire assign = order (MU_WIRE_ASSIGN, 0), open = opened (0);
    begin (story);
    assign.assign.joins = true;
    hear (story, assign);
    expect (story, "start trainer");
    expect (story, "tell PREPARE to join");
    open.opened.blank = true;
    open.opened.digest[0] = '\0';
    said (story, open);
    expect (story, "PREPARED step 0 blank");
}

static void form_receiving (struct story *story, unsigned generation)
{
    char line[64];
    hear (story, form (generation, 1, 0, true));
    snprintf (line, sizeof line, "tell ENTER %u rank 1 step 0 until 100 transfer", generation);
    expect (story, line);
    snprintf (line, sizeof line, "form %u rank 1 of 3 receives", generation);
    expect (story, line);
}

static void falls_apart (struct story *story, unsigned generation)
{
    char line[64];
    collective (story, AGENT_COLLECTIVE_ENDED, generation, "status 49");
    snprintf (line, sizeof line, "DOWN %u status 49 (crashed)", generation);
    expect (story, line);
    snprintf (line, sizeof line, "end %u", generation);
    expect (story, line);
    snprintf (line, sizeof line, "tell LEAVE %u", generation);
    expect (story, line);
}

/* The others stand at step 0, too: what it holds is no state all the same. */
static void blank_workers_receive (void **state)
{
    (void)state;
    struct story story;
    blank (&story);
    form_receiving (&story, 1);
    falls_apart (&story, 1); /* half of it has come */
    struct mu_wire wire = left (1, 0, "\x00");
    wire.left.blank = true;
    said (&story, wire);
    hear (&story, order (MU_WIRE_ABORT, 1));
    expect (&story, "ABORTED 1 step 0 attempt 0 kept 00 blank");
    form_receiving (&story, 2);
    falls_apart (&story, 2); /* all of it had come */
    said (&story, left (2, 0, "\x01"));
    hear (&story, order (MU_WIRE_ABORT, 2));
    expect (&story, "ABORTED 2 step 0 attempt 0 kept 01");
    finish (&story);
}

/* It stands where the source's last sums were added; the next time it stands where the source does. */
static void who_is_one_update_behind_takes_the_sums (void **state)
{
    (void)state;
    struct story story;
    begin (&story);
    open_job (&story, 0);
    hear (&story, form (1, 1, 0, false));
    expect (&story, "tell ENTER 1 rank 1 step 0 until 100");
    expect (&story, "form 1 rank 1 of 3");
    falls_apart (&story, 1);
    said (&story, left (1, 8, "\x00"));
    struct mu_wire wire = form (2, 1, 9, true);
    wire.form.made_of = 1;
    hear (&story, wire);
    expect (&story, "tell ENTER 2 rank 1 step 9 until 100 transfer");
    expect (&story, "form 2 rank 1 of 3 takes the sums");
    falls_apart (&story, 2);
    wire = left (2, 9, "\x00");
    wire.left.made_of = 1;
    said (&story, wire);
    hear (&story, order (MU_WIRE_ABORT, 2));
    expect (&story, "ABORTED 2 step 9 attempt 0 kept 00 has the sums");
    wire = form (3, 1, 11, true); /* two behind */
    wire.form.made_of = 1;
    hear (&story, wire);
    expect (&story, "tell ENTER 3 rank 1 step 11 until 100 transfer");
    expect (&story, "form 3 rank 1 of 3 receives");
    finish (&story);
}

/* The coordinator lost it and asks anew. While the trainer is in the generation nobody knows how far it is,
 * and whether the state that it lacked has come. */
static void asked_within_a_generation (void **state)
{
    (void)state;
    struct story story;
    blank (&story);
    form_receiving (&story, 1);
    hear (&story, order (MU_WIRE_ASSIGN, 0));
    nothing (&story);
    hear (&story, order (MU_WIRE_ABORT, 1));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    hear (&story, order (MU_WIRE_ASSIGN, 0));
    nothing (&story);
    said (&story, left (1, 3, "\x00"));
    expect (&story, "PREPARED step 3 ");
    finish (&story);
}

int main (void)
{
    const struct CMUnitTest stories[] = {
        cmocka_unit_test (aborted_only_when_all_is_gone),
        cmocka_unit_test (connected_ahead_and_used),
        cmocka_unit_test (a_spare_is_started_later),
        cmocka_unit_test (connected_ahead_for_nothing),
        cmocka_unit_test (what_was_connected_ahead_ends),
        cmocka_unit_test (form_while_one_lives),
        cmocka_unit_test (level_ranks_compare),
        cmocka_unit_test (blank_workers_receive),
        cmocka_unit_test (who_is_one_update_behind_takes_the_sums),
        cmocka_unit_test (asked_within_a_generation),
    };
    return cmocka_run_group_tests (stories, NULL, NULL);
}
