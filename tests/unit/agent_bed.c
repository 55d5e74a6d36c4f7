/* SPDX-License-Identifier: Apache-2.0 */
/* agent_bed.c - an agent's core without its shell: what happens to it, and what it did about it in words */
#include "agent_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        put (story, "DOWN %d %s%s", (int)wire->down.generation, wire->down.text,
             wire->down.ended ? " (crashed)" : "");
        return;
    case MU_WIRE_ABORTED:
        put (story, "ABORTED %d step %d attempt %u kept %02x%s%s", (int)wire->aborted.generation,
             (int)wire->aborted.step, wire->aborted.attempt,
             wire->aborted.kept.size ? ((const uint8_t *)wire->aborted.kept.data)[0] : 0u,
             wire->aborted.blank ? " blank" : "", wire->aborted.made_of ? " has the sums" : "");
        return;
    case MU_WIRE_TRAINED: put (story, "TRAINED %d", (int)wire->trained.windows); return;
    case MU_WIRE_DIGEST: put (story, "DIGEST step %d", (int)wire->digest.step); return;
    case MU_WIRE_SAVED: put (story, "SAVED step %d", (int)wire->saved.step); return;
    case MU_WIRE_BYE: put (story, "BYE %s", wire->bye.reason); return;
    default: put (story, "%s", mu_record_name (&mu_wire_family, wire->type)); return;
    }
}

static void put_prune (struct story *story, const struct mu_wire_prune *prune)
{
    char stays[64] = "";
    for (uint32_t i = 0; i < prune->stays.count; i++)
        snprintf (stays + strlen (stays), sizeof stays - strlen (stays), " %d",
                  (int)prune->stays.items[i].step);
    if (prune->generation)
        put (story, "tell PRUNE %d of generation %d from %d, not%s", (int)prune->step,
             (int)prune->generation, (int)prune->first, stays);
    else
        put (story, "tell PRUNE %d", (int)prune->step);
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
    case MU_WIRE_PRUNE: put_prune (story, &wire->prune); return;
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
             action->form.size,
             action->form.receives == MU_RECEIVES_STATE  ? " receives"
             : action->form.receives == MU_RECEIVES_SUMS ? " takes the sums"
                                                         : "");
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
        if (!strcmp (action->log.event, "waits_for_coordinator"))
            strcpy (story->needs, action->log.text);
        return;
    case AGENT_EXIT: put (story, "exit %d", (int)action->code); return;
    }
}

/* --- events ----------------------------------------------------------------------------------- */

void happen (struct story *story, struct agent_event event)
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

void expect (struct story *story, const char *line)
{
    if (story->read == story->lines)
        fail_msg ("expected, but nothing was done: %s", line);
    assert_string_equal (story->line[story->read++], line);
}

void nothing (struct story *story)
{
    if (story->read != story->lines)
        fail_msg ("not expected: %s", story->line[story->read]);
}

void hear_of (struct story *story, uint64_t term, struct mu_wire wire)
{
    wire.term = term;
    happen (story, (struct agent_event){ .type = AGENT_HEARD, .wire = &wire });
}

void hear (struct story *story, struct mu_wire wire) { hear_of (story, 5, wire); }

void said (struct story *story, struct mu_wire wire)
{
    happen (story,
            (struct agent_event){ .type = AGENT_TRAINER_SAID, .wire = &wire, .region = true });
}

void collective (struct story *story, enum agent_event_type type, uint64_t generation,
                 const char *text)
{
    happen (story, (struct agent_event){ .type = type,
                                         .generation = generation,
                                         .status = 9,
                                         .text = text,
                                         .values = { text, (uint32_t)strlen (text) } });
}

void wait_ms (struct story *story, uint64_t ms)
{
    story->now_ms += ms;
    happen (story, (struct agent_event){ .type = AGENT_TIMER });
}

struct mu_wire order (enum mu_wire_type type, uint64_t generation)
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

struct mu_wire form (uint64_t generation, uint32_t rank, uint64_t step, bool transfer)
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

struct mu_wire opened (uint64_t step)
{
    struct mu_wire wire = { .type = MU_WIRE_OPENED };
    wire.opened.job = 1;
    wire.opened.step = step;
    wire.opened.window = 16;
    mu_text_set (wire.opened.digest, sizeof wire.opened.digest, "d0");
    return wire;
}

struct mu_wire left (uint64_t generation, uint64_t step, const char *kept)
{
    struct mu_wire wire = { .type = MU_WIRE_LEFT };
    wire.left.generation = generation;
    wire.left.step = step;
    wire.left.kept = (struct mu_blob){ kept, 1 };
    return wire;
}

struct mu_wire progress (uint64_t generation, uint64_t step)
{
    struct mu_wire wire = { .type = MU_WIRE_PROGRESS };
    wire.progress.generation = generation;
    wire.progress.step = step;
    wire.progress.phase = MU_PHASE_COMPUTING;
    return wire;
}

struct mu_wire welcome (void)
{
    struct mu_wire wire = { .type = MU_WIRE_WELCOME };
    wire.welcome.worker = 1;
    wire.welcome.beat_ms = 250;
    wire.welcome.lost_ms = 4000;
    return wire;
}

/* --- beginnings ------------------------------------------------------------------------------- */

void begin_as (struct story *story, bool spare)
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

void begin (struct story *story) { begin_as (story, false); }

void open_job (struct story *story, uint64_t step)
{
    char line[64];
    hear (story, order (MU_WIRE_ASSIGN, 0));
    expect (story, "start trainer");
    expect (story, "tell PREPARE");
    said (story, opened (step));
    snprintf (line, sizeof line, "PREPARED step %d d0", (int)step);
    expect (story, line);
}

void prepared (struct story *story, uint64_t step)
{
    begin (story);
    open_job (story, step);
}

void run_first (struct story *story)
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

void running (struct story *story)
{
    prepared (story, 0);
    run_first (story);
}

void finish (struct story *story)
{
    nothing (story);
    agent_destroy (&story->agent);
    free (story->actions.list);
}
