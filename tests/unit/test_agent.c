/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent.c - the agent's core, told as stories: this happens, that is done
 *
 * A script is a list of lines. `<` lines are events, `>` lines the actions that must follow, all of
 * them, in order; LOG actions are left out. Each story begins with a worker that is on the roster
 * in term 5. Times are milliseconds since the agent's start. */
#include "worker/agent.h"
#include "worker/agent_timing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINES_MAX 64
#define LINE_MAX_ 160

struct story {
    struct agent *agent;
    uint64_t now_ms;
    struct agent_actions actions;
    char line[LINES_MAX][LINE_MAX_]; /* what the agent did, in words */
    unsigned lines, read;
    char needs[AGENT_LOG_TEXT_MAX]; /* what it last said it needs a coordinator for */
};

/* --- actions in words ------------------------------------------------------------------------- */

static void put (struct story *story, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void put (struct story *story, const char *format, ...)
{
    assert_true (story->lines < LINES_MAX);
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (story->line[story->lines++], LINE_MAX_, format, arguments);
    va_end (arguments);
}

static void put_send (struct story *story, const struct agent_send *send)
{
    const struct mu_wire *wire = &send->wire;
    const char *to = send->to_all ? " to all" : "";
    assert_true (wire->term == agent_term (story->agent));
    switch ((uint32_t)wire->type) {
    case MU_WIRE_HELLO:
        put (story, "HELLO job %d generation %d step %d%s%s", (int)wire->hello.job,
             (int)wire->hello.generation, (int)wire->hello.step,
             wire->hello.leaving ? " leaving" : "", to);
        return;
    case MU_WIRE_BEAT: return; /* looked at in a story of its own */
    case MU_WIRE_PREPARED:
        put (story, "PREPARED step %d %s%s", (int)wire->prepared.step, wire->prepared.digest,
             wire->prepared.blank ? "blank" : "");
        return;
    case MU_WIRE_FAILED:
        put (story, "FAILED %u %.*s", wire->failed.code, (int)wire->failed.text.size,
             (const char *)wire->failed.text.data);
        return;
    case MU_WIRE_CRASHED:
        put (story, "CRASHED generation %d step %d %.*s", (int)wire->crashed.generation,
             (int)wire->crashed.step, (int)wire->crashed.text.size,
             (const char *)wire->crashed.text.data);
        return;
    case MU_WIRE_RELEASED:
        put (story, "RELEASED %d", (int)wire->released.job);
        if (wire->released.order)
            put (story, "... to order %d", (int)wire->released.order);
        return;
    case MU_WIRE_FENCE:
        put (story, "FENCE %d number %u %.*s", (int)wire->fence.generation, wire->fence.number,
             (int)wire->fence.values.size, (const char *)wire->fence.values.data);
        return;
    case MU_WIRE_READY: put (story, "READY %d", (int)wire->ready.generation); return;
    case MU_WIRE_DOWN:
        put (story, "DOWN %d %s", (int)wire->down.generation, wire->down.text);
        return;
    case MU_WIRE_ABORTED:
        put (story, "ABORTED %d step %d attempt %u kept %02x%s", (int)wire->aborted.generation,
             (int)wire->aborted.step, wire->aborted.attempt,
             wire->aborted.kept.size ? ((const uint8_t *)wire->aborted.kept.data)[0] : 0u,
             wire->aborted.blank ? " blank" : "");
        return;
    case MU_WIRE_TRAINED: put (story, "TRAINED %d", (int)wire->trained.windows); return;
    case MU_WIRE_DIGEST: put (story, "DIGEST step %d", (int)wire->digest.step); return;
    case MU_WIRE_SAVED: put (story, "SAVED step %d", (int)wire->saved.step); return;
    case MU_WIRE_BYE: put (story, "BYE %s", wire->bye.reason); return;
    default: put (story, "%s", mu_record_name (&mu_wire_family, wire->type)); return;
    }
}

static void put_tell (struct story *story, const struct mu_wire *wire)
{
    switch ((uint32_t)wire->type) {
    case MU_WIRE_ENTER:
        put (story, "tell ENTER %d rank %u step %d until %d%s%s", (int)wire->enter.generation,
             wire->enter.rank, (int)wire->enter.step, (int)wire->enter.until_step,
             wire->enter.writer ? " writer" : "", wire->enter.transfer ? " transfer" : "");
        return;
    case MU_WIRE_EXTEND: put (story, "tell EXTEND %d", (int)wire->extend.until_step); return;
    case MU_WIRE_LEAVE: put (story, "tell LEAVE %d", (int)wire->leave.generation); return;
    case MU_WIRE_PRUNE: put (story, "tell PRUNE %d", (int)wire->prune.step); return;
    case MU_WIRE_PREPARE:
        put (story, "tell PREPARE%s", wire->prepare.joins ? " to join" : "");
        return;
    default: put (story, "tell %s", mu_record_name (&mu_wire_family, wire->type)); return;
    }
}

static void put_action (struct story *story, const struct agent_action *action)
{
    switch (action->type) {
    case AGENT_SEND: put_send (story, &action->send); return;
    case AGENT_TELL: put_tell (story, &action->tell); return;
    case AGENT_START_TRAINER: put (story, "start trainer"); return;
    case AGENT_KILL_TRAINER: put (story, "kill trainer"); return;
    case AGENT_FORM:
        put (story, "form %d rank %u of %u%s", (int)action->form.generation, action->form.rank,
             action->form.size, action->form.receives ? " receives" : "");
        return;
    case AGENT_REDIAL: put (story, "redial"); return;
    case AGENT_CONNECT:
        put (story, "connect %d rank %u of %u to %s", (int)action->form.generation,
             action->form.rank, action->form.size, action->form.world);
        return;
    case AGENT_DROP_AHEAD: put (story, "drop ahead"); return;
    case AGENT_KILL_COLLECTIVE: put (story, "kill collective"); return;
    case AGENT_FENCE_DONE:
        put (story, "fence %u done %.*s", action->fence.number, (int)action->fence.values.size,
             (const char *)action->fence.values.data);
        return;
    case AGENT_GO: put (story, "go %d", (int)action->generation); return;
    case AGENT_END: put (story, "end %d", (int)action->generation); return;
    case AGENT_SPARE: put (story, "spare"); return;
    case AGENT_DROP_REGION: put (story, "drop region"); return;
    case AGENT_LOOK: return;                        /* a story of its own */
    case AGENT_BREAK: put (story, "break"); return; /* test_fault.c */
    case AGENT_LOG:
        if (!strcmp (action->log.event, "waits-for-coordinator"))
            strcpy (story->needs, action->log.text);
        return;
    case AGENT_EXIT: put (story, "exit %d", (int)action->code); return;
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void happen (struct story *story, struct agent_event event)
{
    /* What was done before must have been looked at. */
    if (story->read != story->lines)
        fail_msg ("not expected: %s", story->line[story->read]);
    story->lines = story->read = 0;
    story->actions.count = 0;
    event.now_ms = story->now_ms;
    agent_step (story->agent, &event, &story->actions);
    for (uint32_t i = 0; i < story->actions.count; i++)
        put_action (story, &story->actions.list[i]);
}

static void expect (struct story *story, const char *line)
{
    if (story->read == story->lines)
        fail_msg ("expected, but nothing was done: %s", line);
    assert_string_equal (story->line[story->read++], line);
}

static void nothing (struct story *story)
{
    if (story->read != story->lines)
        fail_msg ("not expected: %s", story->line[story->read]);
}

static void hear_of (struct story *story, uint64_t term, struct mu_wire wire)
{
    wire.term = term;
    happen (story, (struct agent_event){ .type = AGENT_HEARD, .wire = &wire });
}

static void hear (struct story *story, struct mu_wire wire) { hear_of (story, 5, wire); }

static void said (struct story *story, struct mu_wire wire)
{
    happen (story,
            (struct agent_event){ .type = AGENT_TRAINER_SAID, .wire = &wire, .region = true });
}

static void collective (struct story *story, enum agent_event_type type, uint64_t generation,
                        const char *text)
{
    happen (story, (struct agent_event){ .type = type,
                                         .generation = generation,
                                         .status = 9,
                                         .text = text,
                                         .values = { text, (uint32_t)strlen (text) } });
}

static void wait_ms (struct story *story, uint64_t ms)
{
    story->now_ms += ms;
    happen (story, (struct agent_event){ .type = AGENT_TIMER });
}

static struct mu_wire order (enum mu_wire_type type, uint64_t generation)
{
    struct mu_wire wire = { .type = type };
    switch ((uint32_t)type) {
    case MU_WIRE_ABORT: wire.abort.job = 1, wire.abort.generation = generation; break;
    case MU_WIRE_GO: wire.go = (struct mu_wire_go){ 1, generation }; break;
    case MU_WIRE_SAVE: wire.save.job = 1, wire.save.generation = generation; break;
    case MU_WIRE_RELEASE: wire.release.job = 1; break;
    case MU_WIRE_ASSIGN:
        wire.assign.job = 1;
        wire.assign.spec = (struct mu_blob){ "{}", 2 };
        break;
    default: break;
    }
    return wire;
}

static struct mu_wire form (uint64_t generation, uint32_t rank, uint64_t step, bool transfer)
{
    struct mu_wire wire = { .type = MU_WIRE_FORM };
    wire.form.job = 1;
    wire.form.generation = generation;
    wire.form.rank = rank;
    wire.form.size = 3;
    wire.form.step = step;
    wire.form.steps = 200;
    wire.form.until_step = 100;
    wire.form.transfer = transfer;
    wire.form.first_map = wire.form.map = (struct mu_blob){ "\0\0\1\0", 4 };
    return wire;
}

static struct mu_wire opened (uint64_t step)
{
    struct mu_wire wire = { .type = MU_WIRE_OPENED };
    wire.opened.job = 1;
    wire.opened.step = step;
    wire.opened.window = 16;
    mu_text_set (wire.opened.digest, sizeof wire.opened.digest, "d0");
    return wire;
}

static struct mu_wire left (uint64_t generation, uint64_t step, const char *kept)
{
    struct mu_wire wire = { .type = MU_WIRE_LEFT };
    wire.left.generation = generation;
    wire.left.step = step;
    wire.left.kept = (struct mu_blob){ kept, 1 };
    return wire;
}

static struct mu_wire progress (uint64_t generation, uint64_t step)
{
    struct mu_wire wire = { .type = MU_WIRE_PROGRESS };
    wire.progress.generation = generation;
    wire.progress.step = step;
    wire.progress.phase = MU_PHASE_COMPUTING;
    return wire;
}

static struct mu_wire welcome (void)
{
    struct mu_wire wire = { .type = MU_WIRE_WELCOME };
    wire.welcome.worker = 1;
    wire.welcome.beat_ms = 250;
    wire.welcome.lost_ms = 4000;
    return wire;
}

/* --- beginnings ------------------------------------------------------------------------------- */

static void begin_as (struct story *story, bool spare)
{
    struct agent_options options = { .name = "w1",
                                     .host = "h",
                                     .version = "0",
                                     .compute_class = "portable",
                                     .isa = "plain",
                                     .threads = 1,
                                     .incarnation = 7,
                                     .seed = 3,
                                     .spare = spare };
    memset (story, 0, sizeof *story);
    story->agent = agent_create (&options);
    happen (story, (struct agent_event){ .type = AGENT_START });
    expect (story, "HELLO job 0 generation 0 step 0 to all");
    hear (story, welcome ());
    nothing (story);
}

static void begin (struct story *story) { begin_as (story, false); }

static void open_job (struct story *story, uint64_t step)
{
    char line[64];
    hear (story, order (MU_WIRE_ASSIGN, 0));
    expect (story, "start trainer");
    expect (story, "tell PREPARE");
    said (story, opened (step));
    snprintf (line, sizeof line, "PREPARED step %d d0", (int)step);
    expect (story, line);
}

static void prepared (struct story *story, uint64_t step)
{
    begin (story);
    open_job (story, step);
}

static void run_first (struct story *story)
{
    hear (story, form (1, 1, 0, false));
    expect (story, "tell ENTER 1 rank 1 step 0 until 100");
    expect (story, "form 1 rank 1 of 3");
    collective (story, AGENT_COLLECTIVE_READY, 1, "");
    expect (story, "READY 1");
    hear (story, order (MU_WIRE_GO, 1));
    expect (story, "go 1");
    nothing (story);
}

static void running (struct story *story)
{
    prepared (story, 0);
    run_first (story);
}

static void finish (struct story *story)
{
    nothing (story);
    agent_destroy (&story->agent);
    free (story->actions.list);
}

/* --- stories ---------------------------------------------------------------------------------- */

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
    for (int i = 0; i < 400; i++) { /* 20 s: quickly at first, then every 2 to 4 s */
        wait_ms (&story, 50);
        hellos += story.lines;
        story.read = story.lines;
    }
    assert_in_range (hellos, 8, 16);
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
    expect (&story, "DOWN 2 status 49");
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

/* The others stand at step 0, too: what it holds is no state all the same. */
static void blank_workers_receive (void **state)
{
    (void)state;
    struct story story;
    blank (&story);
    hear (&story, form (1, 1, 0, true));
    expect (&story, "tell ENTER 1 rank 1 step 0 until 100 transfer");
    expect (&story, "form 1 rank 1 of 3 receives");
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "status 49"); /* half of it has come */
    expect (&story, "DOWN 1 status 49");
    expect (&story, "end 1");
    expect (&story, "tell LEAVE 1");
    struct mu_wire wire = left (1, 0, "\x00");
    wire.left.blank = true;
    said (&story, wire);
    hear (&story, order (MU_WIRE_ABORT, 1));
    expect (&story, "ABORTED 1 step 0 attempt 0 kept 00 blank");
    hear (&story, form (2, 1, 0, true));
    expect (&story, "tell ENTER 2 rank 1 step 0 until 100 transfer");
    expect (&story, "form 2 rank 1 of 3 receives");
    collective (&story, AGENT_COLLECTIVE_ENDED, 2, "status 49"); /* all of it had come */
    expect (&story, "DOWN 2 status 49");
    expect (&story, "end 2");
    expect (&story, "tell LEAVE 2");
    said (&story, left (2, 0, "\x01"));
    hear (&story, order (MU_WIRE_ABORT, 2));
    expect (&story, "ABORTED 2 step 0 attempt 0 kept 01");
    finish (&story);
}

/* The coordinator lost it and asks anew. While the trainer is in the generation nobody knows how far it is,
 * and whether the state that it lacked has come. */
static void asked_within_a_generation (void **state)
{
    (void)state;
    struct story story;
    blank (&story);
    hear (&story, form (1, 1, 0, true));
    expect (&story, "tell ENTER 1 rank 1 step 0 until 100 transfer");
    expect (&story, "form 1 rank 1 of 3 receives");
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

static void leases (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire lease = { .type = MU_WIRE_LEASE };
    running (&story);
    lease.lease = (struct mu_wire_lease){ 1, 1, 160 };
    hear (&story, lease);
    expect (&story, "tell EXTEND 160");
    hear (&story, lease);
    lease.lease.until_step = 120; /* a late one */
    hear (&story, lease);
    lease.lease = (struct mu_wire_lease){ 1, 2, 300 }; /* of a generation that is not ours */
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
    expect (&story, "DOWN 1 its trainer cannot take part; the worker's log says why");
    expect (&story, "kill collective");
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
    expect (&story, "end 1");
    hear (&story, order (MU_WIRE_ABORT, 1));
    expect (&story, "ABORTED 1 step 0 attempt 0 kept 00");
    finish (&story);
}

static struct mu_wire numbered (struct mu_wire wire, uint64_t order)
{
    if (wire.type == MU_WIRE_ASSIGN)
        wire.assign.order = order;
    else if (wire.type == MU_WIRE_RELEASE)
        wire.release.order = order;
    else if (wire.type == MU_WIRE_FORM)
        wire.form.order = order;
    return wire;
}

static struct mu_wire assign_of (uint64_t job, uint64_t number)
{
    struct mu_wire wire = numbered (order (MU_WIRE_ASSIGN, 0), number);
    wire.assign.job = job;
    return wire;
}

/* The network held them back, or repeats them; since then the job was given anew. */
static void orders_out_of_the_past_are_not_obeyed (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear (&story, numbered (form (3, 0, 0, false), 7));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    hear (&story, numbered (order (MU_WIRE_RELEASE, 0), 6));
    hear (&story, assign_of (2, 5));
    nothing (&story);
    hear (&story, numbered (order (MU_WIRE_RELEASE, 0), 8));
    expect (&story, "kill trainer");
    finish (&story);
}

static void a_new_reign_counts_its_orders_anew (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear_of (&story, 5, numbered (form (1, 1, 0, false), 9));
    hear_of (&story, 6, numbered (order (MU_WIRE_RELEASE, 0), 1));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    expect (&story, "kill trainer");
    finish (&story);
}

/* It was let go since, and is not taken up again on an order from before. */
static void what_was_let_go_is_not_taken_up_again (void **state)
{
    (void)state;
    struct story story;
    begin (&story);
    hear (&story, assign_of (1, 3));
    expect (&story, "start trainer");
    expect (&story, "tell PREPARE");
    hear (&story, numbered (order (MU_WIRE_RELEASE, 0), 4));
    expect (&story, "kill trainer");
    happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    expect (&story, "RELEASED 1");
    expect (&story, "... to order 4");
    hear (&story, assign_of (1, 3));
    nothing (&story);
    hear (&story, assign_of (1, 5));
    expect (&story, "start trainer");
    expect (&story, "tell PREPARE");
    hear (&story, numbered (order (MU_WIRE_RELEASE, 0), 4));
    finish (&story);
}

static void released_when_all_is_gone (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear (&story, order (MU_WIRE_RELEASE, 0));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    expect (&story, "kill trainer");
    hear (&story, order (MU_WIRE_RELEASE, 0));
    nothing (&story);
    happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    nothing (&story);
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
    expect (&story, "end 1");
    expect (&story, "drop region");
    expect (&story, "RELEASED 1");
    hear (&story, order (MU_WIRE_RELEASE, 0)); /* it was not heard */
    expect (&story, "RELEASED 1");
    hear (&story, form (2, 0, 0, false)); /* nothing of that job is here */
    expect (&story, "RELEASED 1");
    hear (&story, order (MU_WIRE_GO, 2));
    finish (&story);
}

static void another_job_comes (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire other = assign_of (2, 2);
    prepared (&story, 0);
    hear (&story, other);
    expect (&story, "kill trainer");
    happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    expect (&story, "drop region");
    expect (&story, "RELEASED 1");
    expect (&story, "... to order 2");
    hear (&story, other);
    expect (&story, "start trainer");
    expect (&story, "tell PREPARE");
    assert_int_equal (agent_job (story.agent), 2);
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
    story.now_ms += 24000;
    wait_ms (&story, 2000);
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

int main (void)
{
    const struct CMUnitTest stories[] = {
        cmocka_unit_test (hello_until_welcome),
        cmocka_unit_test (fences_and_ready),
        cmocka_unit_test (lower_terms_are_refused),
        cmocka_unit_test (aborted_only_when_all_is_gone),
        cmocka_unit_test (connected_ahead_and_used),
        cmocka_unit_test (a_spare_is_started_later),
        cmocka_unit_test (connected_ahead_for_nothing),
        cmocka_unit_test (what_was_connected_ahead_ends),
        cmocka_unit_test (form_while_one_lives),
        cmocka_unit_test (level_ranks_compare),
        cmocka_unit_test (blank_workers_receive),
        cmocka_unit_test (asked_within_a_generation),
        cmocka_unit_test (collective_dies),
        cmocka_unit_test (abort_of_an_unheard_generation),
        cmocka_unit_test (coordinator_gone),
        cmocka_unit_test (a_line_that_leads_to_nobody),
        cmocka_unit_test (a_line_that_leads_somewhere),
        cmocka_unit_test (nobody_forms_the_next),
        cmocka_unit_test (nobody_knows_me),
        cmocka_unit_test (leases),
        cmocka_unit_test (checkpoints),
        cmocka_unit_test (trainer_crashes),
        cmocka_unit_test (trainer_dies_at_work),
        cmocka_unit_test (suspects_and_skips_are_passed_on),
        cmocka_unit_test (trainer_refuses),
        cmocka_unit_test (trainer_cannot_take_part),
        cmocka_unit_test (orders_out_of_the_past_are_not_obeyed),
        cmocka_unit_test (a_new_reign_counts_its_orders_anew),
        cmocka_unit_test (what_was_let_go_is_not_taken_up_again),
        cmocka_unit_test (released_when_all_is_gone),
        cmocka_unit_test (another_job_comes),
        cmocka_unit_test (drain),
        cmocka_unit_test (drain_has_a_limit),
        cmocka_unit_test (stop_twice),
        cmocka_unit_test (beats),
    };
    return cmocka_run_group_tests (stories, NULL, NULL);
}
