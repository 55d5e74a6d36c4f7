/* SPDX-License-Identifier: Apache-2.0 */
/* job_bed.c - see job_bed.h */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void keep (struct bed *bed, const struct mu_journal *record)
{
    size_t before = bed->journal.size;
    assert_true (bed->stored < sizeof bed->size / sizeof *bed->size);
    assert_int_equal (mu_record_encode (&mu_journal_family, record, &bed->journal, NULL), 0);
    bed->size[bed->stored++] = bed->journal.size - before;
}

static void note_record (struct bed *bed, const struct mu_journal *record)
{
    keep (bed, record);
    if (record->type == MU_JOURNAL_HUNG) {
        bed->hung = record->hung;
        bed->hangs++;
        size_t used = strlen (bed->names);
        snprintf (bed->names + used, sizeof bed->names - used, "%s ", record->hung.worker);
    }
    if (record->type == MU_JOURNAL_LOST) {
        bed->lost = record->lost;
        bed->losses++;
    }
    if (record->type == MU_JOURNAL_BROKEN) {
        bed->broken++;
        snprintf (bed->reason, sizeof bed->reason, "%s", record->broken.reason);
    }
    if (record->type == MU_JOURNAL_STATE && record->state.reason.size)
        snprintf (bed->state, sizeof bed->state, "%.*s", (int)record->state.reason.size,
                  (const char *)record->state.reason.data);
    if (record->type == MU_JOURNAL_TURNED_AWAY)
        snprintf (bed->turned_away, sizeof bed->turned_away, "%.*s",
                  (int)record->turned_away.text.size, (const char *)record->turned_away.text.data);
    if (record->type == MU_JOURNAL_OVERDUE) {
        bed->overdues += !record->overdue.over;
        bed->overdues_over += record->overdue.over;
        snprintf (bed->overdue_text, sizeof bed->overdue_text, "%.*s",
                  (int)record->overdue.text.size, (const char *)record->overdue.text.data);
    }
    bed->forms += record->type == MU_JOURNAL_FORM;
    if (record->type == MU_JOURNAL_FORM) {
        bed->leased = record->form.until_step;
        bed->formed_step = record->form.step;
    }
    if (record->type == MU_JOURNAL_EXPEL)
        snprintf (bed->expelled, sizeof bed->expelled, "%.*s", (int)record->expel.text.size,
                  (const char *)record->expel.text.data);
    if (record->type == MU_JOURNAL_LEASE)
        bed->leased = record->lease.until_step;
}

static void note_word (struct bed *bed, uint32_t peer, const struct mu_wire *wire)
{
    if (peer >= WORKERS || wire->type == MU_WIRE_WELCOME)
        return;
    if (wire->type == MU_WIRE_CONNECT)
        snprintf (bed->ahead, sizeof bed->ahead, "%s", wire->connect.world);
    if (wire->type == MU_WIRE_END_WRITER)
        bed->end_writing = wire->end_writer.step;
    if (wire->type == MU_WIRE_REVIEW)
        bed->review_step = wire->review.step;
    if (wire->type == MU_WIRE_LEASE) {
        bed->until[peer] = wire->lease.until_step;
        bed->stops[peer] = wire->lease.stop;
    }
    uint64_t order = mu_record_number (&mu_wire_family, wire, "order");
    bed->order[peer] = order ? order : bed->order[peer];
    size_t used = strlen (bed->told[peer]);
    snprintf (bed->told[peer] + used, sizeof bed->told[peer] - used, "%s%s ",
              mu_record_name (&mu_wire_family, wire->type),
              wire->type == MU_WIRE_ASSIGN && wire->assign.joins ? "-TO-JOIN" : "");
}

void step (struct bed *bed, struct coord_event event)
{
    event.now_ms = bed->now_ms;
    event.unix_ms = 1700000000000 + bed->now_ms;
    bed->actions.count = 0;
    coord_step (bed->coord, &event, &bed->actions);
    for (uint32_t i = 0; i < bed->actions.count; i++) {
        const struct coord_action *action = &bed->actions.list[i];
        if (action->type == COORD_STORE)
            note_record (bed, &action->store);
        else
            note_word (bed, action->send.peer, &action->send.wire);
    }
}

void hear (struct bed *bed, uint32_t worker, struct mu_wire wire)
{
    step (bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = worker, .wire = &wire });
}

void say_beat (struct bed *bed, uint32_t worker)
{
    struct mu_wire wire = { .type = MU_WIRE_BEAT, .beat = bed->beat[worker] };
    hear (bed, worker, wire);
}

void pass (struct bed *bed, uint64_t ms)
{
    for (uint64_t end_ms = bed->now_ms + ms; bed->now_ms < end_ms;) {
        bed->now_ms += BEAT_MS;
        for (uint32_t w = 0; w < WORKERS; w++) {
            struct mu_wire_beat *beat = &bed->beat[w];
            beat->still_ms += beat->still_ms ? BEAT_MS : 0;
            beat->stalled_ms += beat->stalled_ms ? BEAT_MS : 0;
            if (!bed->quiet[w])
                say_beat (bed, w);
        }
        step (bed, (struct coord_event){ .type = COORD_TIMER });
    }
}

void connected (struct bed *bed, uint32_t worker)
{
    struct mu_wire wire = { .type = MU_WIRE_CONNECTED, .connected = { .job = 1 } };
    mu_text_set (wire.connected.world, sizeof wire.connected.world, bed->ahead);
    hear (bed, worker, wire);
}

void drain (struct bed *bed, uint32_t worker, bool undo)
{
    struct mu_wire wire = { .type = MU_WIRE_DRAIN, .drain = { .request = 1, .undo = undo } };
    snprintf (wire.drain.worker, sizeof wire.drain.worker, "w%u", worker);
    step (bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
    pass (bed, BEAT_MS);
}

bool was_told (struct bed *bed, uint32_t worker, const char *order)
{
    return strstr (bed->told[worker], order) != NULL;
}

static void say_hello (struct bed *bed, uint32_t worker, uint64_t incarnation)
{
    struct mu_wire wire = { .type = MU_WIRE_HELLO,
                            .hello = { .incarnation = incarnation, .threads = 1 } };
    wire.hello.job = bed->beat[worker].job;
    wire.hello.generation = bed->beat[worker].generation;
    wire.hello.step = bed->beat[worker].step;
    snprintf (wire.hello.name, sizeof wire.hello.name, "w%u", worker);
    mu_text_set (wire.hello.compute_class, sizeof wire.hello.compute_class, "portable");
    hear (bed, worker, wire);
}

void hello (struct bed *bed, uint32_t worker) { say_hello (bed, worker, 1); }

static void holds_nothing (struct bed *bed, uint32_t worker)
{
    bed->told[worker][0] = '\0';
    bed->beat[worker] = (struct mu_wire_beat){ .phase = MU_PHASE_NONE };
}

void start_anew (struct bed *bed, uint32_t worker, uint64_t incarnation)
{
    holds_nothing (bed, worker);
    say_hello (bed, worker, incarnation);
}

void let_go (struct bed *bed, uint32_t worker)
{
    assert_true (was_told (bed, worker, "RELEASE"));
    holds_nothing (bed, worker);
    released (bed, worker);
}

void all_let_go (struct bed *bed)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        if (was_told (bed, w, "RELEASE"))
            let_go (bed, w);
}

void prepared_with (struct bed *bed, uint32_t worker, struct mu_wire_prepared said)
{
    said.job = said.targets = 1;
    said.records = 1000;
    said.parameters = bed->parameters;
    said.order = bed->order[worker];
    bed->beat[worker] =
        (struct mu_wire_beat){ .job = 1, .step = said.step, .phase = MU_PHASE_WAITING };
    hear (bed, worker,
          (struct mu_wire){
              .type = MU_WIRE_PREPARED, .term = coord_term (bed->coord), .prepared = said });
}

void prepared (struct bed *bed, uint32_t worker)
{
    prepared_with (bed, worker, (struct mu_wire_prepared){ .digest = "d" });
}

void reach (struct bed *bed, uint32_t worker, uint64_t generation, uint64_t at,
            enum mu_phase_state phase, enum mu_duty_state duty)
{
    bed->beat[worker] = (struct mu_wire_beat){
        .job = 1, .generation = generation, .phase = phase, .step = at, .duty = duty
    };
}

static void submit (struct bed *bed, uint32_t workers_min, bool audited)
{
    struct mu_journal_submit job = { .spec = { "{}", 2 },
                                     .workers_min = workers_min,
                                     .workers_max = WORKERS,
                                     .micro_batches = 6,
                                     .global_batch = 6,
                                     .window_steps = 16,
                                     .steps = 100000,
                                     .audited = audited,
                                     .portable = true };
    struct mu_wire wire = { .type = MU_WIRE_SUBMIT, .submit = { .request = 1, .spec = job.spec } };
    step (bed, (struct coord_event){
                   .type = COORD_RECEIVE, .peer = 100, .wire = &wire, .submit = &job });
}

static const struct coord_options options = { .version = "0", .workers_max = 10 };

static void replay (struct bed *bed)
{
    struct mu_journal record;
    msgpack_zone zone;
    size_t at = 0;
    assert_true (msgpack_zone_init (&zone, 4096));
    for (unsigned i = 0; i < bed->stored; at += bed->size[i++]) {
        assert_int_equal (mu_record_decode (&mu_journal_family, &record, bed->journal.data + at,
                                            bed->size[i], 0, &zone, NULL),
                          0);
        assert_int_equal (coord_apply (bed->coord, &record, NULL), 0);
    }
    msgpack_zone_destroy (&zone);
}

void restart (struct bed *bed)
{
    coord_destroy (&bed->coord);
    bed->coord = coord_create (&options);
    bed->now_ms += 1000;
    replay (bed);
    step (bed, (struct coord_event){ .type = COORD_START });
    for (uint32_t w = 0; w < WORKERS; w++) {
        bed->told[w][0] = '\0';
        if (!bed->quiet[w])
            hello (bed, w);
    }
}

static void open_job (struct bed *bed, uint32_t workers_min, bool audited)
{
    memset (bed, 0, sizeof *bed);
    msgpack_sbuffer_init (&bed->journal);
    bed->now_ms = 100000;
    bed->parameters = 10;
    bed->coord = coord_create (&options);
    step (bed, (struct coord_event){ .type = COORD_START });
    for (uint32_t w = 0; w < WORKERS; w++)
        hello (bed, w);
    submit (bed, workers_min, audited);
    pass (bed, 500);
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_true (was_told (bed, w, "ASSIGN"));
        reach (bed, w, 0, 0, MU_PHASE_OPENING, MU_DUTY_TRAINER);
    }
}

void opening (struct bed *bed, uint32_t workers_min) { open_job (bed, workers_min, false); }

void opening_audited (struct bed *bed) { open_job (bed, 1, true); }

void form (struct bed *bed)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        prepared (bed, w);
    assert_int_equal (bed->forms, 1);
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (bed, w, 1, 0, MU_PHASE_CONNECTING, MU_DUTY_COLLECTIVE);
}

void forming (struct bed *bed)
{
    opening (bed, 1);
    form (bed);
}

void train (struct bed *bed, uint64_t at)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        hear (bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, 1 } });
    for (uint64_t done = 0; done <= at; done++) {
        for (uint32_t w = 0; w < WORKERS; w++)
            reach (bed, w, 1, done, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
        pass (bed, 250);
    }
    for (uint32_t w = 0; w < WORKERS; w++)
        bed->told[w][0] = '\0';
}

void running (struct bed *bed, uint64_t at)
{
    forming (bed);
    train (bed, at);
}

void all_start_anew (struct bed *bed, uint64_t incarnation)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        start_anew (bed, w, incarnation);
    pass (bed, 500);
}

void say_saved (struct bed *bed, uint32_t worker, uint64_t generation, uint64_t at)
{
    struct mu_wire wire = { .type = MU_WIRE_SAVED,
                            .saved = { .job = 1,
                                       .generation = generation,
                                       .step = at,
                                       .path = { "/mnt/c", 6 },
                                       .bytes = 1 } };
    mu_text_set (wire.saved.weights_hash, sizeof wire.saved.weights_hash, "right");
    hear (bed, worker, wire);
}

struct mu_wire_job_info job_info (const struct bed *bed)
{
    struct mu_wire_job_info info;
    assert_int_equal (coord_job_info (bed->coord, 1, &info), 0);
    return info;
}

uint64_t committed (const struct bed *bed) { return job_info (bed).weights_step; }

void still (struct bed *bed, uint32_t worker, const char *process)
{
    bed->beat[worker].still_ms = bed->beat[worker].stalled_ms = 1;
    mu_text_set (bed->beat[worker].process, sizeof bed->beat[worker].process, process);
}

void reducing (struct bed *bed, uint32_t worker, uint64_t at)
{
    reach (bed, worker, 1, at, MU_PHASE_REDUCING, MU_DUTY_COLLECTIVE);
    bed->beat[worker].stalled_ms = 1;
}

void released (struct bed *bed, uint32_t worker)
{
    hear (bed, worker,
          (struct mu_wire){ .type = MU_WIRE_RELEASED,
                            .term = coord_term (bed->coord),
                            .released = { .job = 1, .order = bed->order[worker] } });
}

void aborted (struct bed *bed, uint32_t worker, uint64_t at)
{
    hear (bed, worker,
          (struct mu_wire){ .type = MU_WIRE_ABORTED,
                            .aborted = { .job = 1,
                                         .generation = bed->forms,
                                         .step = at,
                                         .kept = { "\0", 1 } } });
}

void finish (struct bed *bed)
{
    coord_destroy (&bed->coord);
    msgpack_sbuffer_destroy (&bed->journal);
    free (bed->actions.list);
}
