/* SPDX-License-Identifier: Apache-2.0 */
/* audit_bed.c - see audit_bed.h */
#include "tests/unit/audit_bed.h"

#include "coordinator/audit.h"
#include "coordinator/checkpoint.h"
#include "coordinator/orders.h"
#include "coordinator/prepare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct audit_bed bed;

static void keep (const struct mu_journal *record)
{
    size_t before = bed.journal.size;
    assert_true (bed.record_count < RECORDS_MAX);
    assert_int_equal (mu_record_encode (&mu_journal_family, record, &bed.journal, NULL), 0);
    bed.sizes[bed.record_count++] = bed.journal.size - before;
}

static void keep_actions (void)
{
    for (; bed.kept < bed.actions.count; bed.kept++)
        if (bed.actions.list[bed.kept].type == COORD_STORE)
            keep (&bed.actions.list[bed.kept].store);
}

static void apply (struct mu_journal record)
{
    struct mu_error error;
    keep_actions ();
    keep (&record);
    assert_int_equal (coord_apply (bed.coord, &record, &error), 0);
}

void form (uint32_t ranks, uint64_t step, uint32_t behind)
{
    static uint8_t map[2 * MICRO_BATCHES];
    struct mu_journal_member members[RANKS_MAX] = { 0 };
    uint64_t number = bed.job->durable.generation.number + 1;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        mu_text_set (members[rank].name, sizeof members[rank].name, bed.workers[rank]->name);
        members[rank].incarnation = 1;
        members[rank].generation = bed.reloads || rank >= ranks - bed.loaders ? 0 : number - 1;
        members[rank].step = rank < behind ? step : step - 1;
    }
    for (uint32_t m = 0; m < MICRO_BATCHES; m++)
        map[2 * m] = (uint8_t)(m % ranks);
    apply ((struct mu_journal){ .type = MU_JOURNAL_FORM,
                                .form = { .job = bed.job->durable.number,
                                          .generation = number,
                                          .members = { members, ranks },
                                          .step = step,
                                          .made_of = bed.made_of,
                                          .until_step = 1000,
                                          .time_ms = bed.coord->unix_ms,
                                          .first_map = { map, sizeof map },
                                          .map = { map, sizeof map } } });
    if (!bed.unstarted)
        apply ((struct mu_journal){
            .type = MU_JOURNAL_START,
            .start = { .job = bed.job->durable.number, .generation = number } });
    audit_clear (bed.job);
    free (bed.job->soft.ranks);
    bed.job->soft.ranks = calloc (ranks, sizeof (struct worker *));
    for (uint32_t rank = ranks; rank < RANKS_MAX; rank++)
        bed.workers[rank]->rank = NONE;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        order_clear (bed.workers[rank]);
        bed.workers[rank]->rank = rank;
        bed.job->soft.ranks[rank] = bed.workers[rank];
    }
}

static void submit (uint64_t job)
{
    apply ((struct mu_journal){ .type = MU_JOURNAL_SUBMIT,
                                .submit = { .job = job,
                                            .workers_min = 1,
                                            .workers_max = RANKS_MAX,
                                            .micro_batches = MICRO_BATCHES,
                                            .global_batch = MICRO_BATCHES,
                                            .window_steps = 16,
                                            .steps = 1000,
                                            .audited = true } });
    apply ((struct mu_journal){ .type = MU_JOURNAL_SIZED, .sized = { .job = job, .steps = 1000 } });
    apply ((struct mu_journal){ .type = MU_JOURNAL_STATE,
                                .state = { .job = job, .state = MU_JOB_PREPARING } });
}

void use_job (uint64_t job)
{
    bed.job = core_job (bed.coord, job);
    for (uint32_t i = 0; i < RANKS_MAX; i++) {
        worker_detach (bed.coord, bed.workers[i]);
        worker_attach (bed.workers[i], bed.job);
    }
}

void open_job (uint32_t ranks)
{
    struct coord_options options = { .version = "test", .quarantine_failures = 3 };
    memset (&bed, 0, sizeof bed);
    bed.hash = "right";
    msgpack_sbuffer_init (&bed.journal);
    bed.coord = coord_create (&options);
    bed.coord->out = &bed.actions;
    bed.coord->now_ms = 1000;
    bed.coord->unix_ms = UINT64_C (1700000000000);
    submit (1);
    submit (2);
    for (uint32_t i = 0; i < RANKS_MAX; i++) {
        bed.workers[i] = calloc (1, sizeof *bed.workers[i]);
        bed.workers[i]->incarnation = 1;
        snprintf (bed.workers[i]->name, sizeof bed.workers[i]->name, "w%u", i);
    }
    use_job (1);
    form (ranks, 0, ranks);
}

int end (void **state)
{
    (void)state;
    coord_destroy (&bed.coord);
    for (uint32_t i = 0; i < RANKS_MAX; i++)
        free (bed.workers[i]);
    free (bed.actions.list);
    msgpack_sbuffer_destroy (&bed.journal);
    return 0;
}

void restart (void)
{
    struct mu_error error;
    struct mu_journal record;
    struct coord_options options = { .version = "test", .quarantine_failures = 3 };
    struct coord *again = coord_create (&options);
    msgpack_zone zone;
    assert_true (msgpack_zone_init (&zone, 4096));
    keep_actions ();
    for (size_t i = 0, at = 0; i < bed.record_count; at += bed.sizes[i++]) {
        assert_int_equal (mu_record_decode (&mu_journal_family, &record, bed.journal.data + at,
                                            bed.sizes[i], 0, &zone, &error),
                          0);
        assert_int_equal (coord_apply (again, &record, &error), 0);
    }
    msgpack_zone_destroy (&zone);
    assert_true (coord_digest (again) == coord_digest (bed.coord));
    again->out = &bed.actions;
    again->now_ms = bed.coord->now_ms;
    again->unix_ms = bed.coord->unix_ms;
    for (uint32_t i = 0; i < RANKS_MAX; i++)
        worker_detach (bed.coord, bed.workers[i]);
    coord_destroy (&bed.coord);
    bed.coord = again;
    bed.job = core_job (again, 1);
}

void say_state (uint32_t rank, uint64_t step, uint64_t digest)
{
    struct mu_wire wire = { .type = MU_WIRE_DIGEST,
                            .digest = { .job = bed.job->durable.number,
                                        .generation = bed.job->durable.generation.number,
                                        .step = step,
                                        .digest = digest } };
    audit_state (bed.coord, bed.workers[rank], &wire);
}

void say_gradient (uint32_t rank, uint64_t step, uint32_t micro_batch, uint64_t digest)
{
    struct mu_wire wire = { .type = MU_WIRE_AUDIT,
                            .audit = { .job = bed.job->durable.number,
                                       .generation = bed.job->durable.generation.number,
                                       .step = step,
                                       .micro_batch = micro_batch,
                                       .digest = digest } };
    audit_gradient (bed.coord, bed.workers[rank], &wire);
}

void agree (uint64_t step)
{
    uint32_t ranks = bed.job->durable.generation.size;
    for (uint32_t rank = 0; rank < ranks; rank++)
        say_state (rank, step, 7);
    for (uint32_t owner = 0; owner < ranks; owner++)
        for (uint32_t i = 0; i < 3 && i < ranks; i++)
            say_gradient ((owner + i) % ranks, step, owner, 8);
}

void save_by (uint32_t worker, uint64_t generation, uint64_t step)
{
    struct mu_wire wire = { .type = MU_WIRE_SAVED,
                            .term = bed.term,
                            .saved = { .job = bed.job->durable.number,
                                       .generation = generation,
                                       .step = step,
                                       .path = { "/c", 2 } } };
    mu_text_set (wire.saved.weights_hash, sizeof wire.saved.weights_hash, bed.hash);
    checkpoint_saved (bed.coord, bed.workers[worker], &wire);
}

void save (uint64_t generation, uint64_t step) { save_by (0, generation, step); }

uint32_t stored (enum mu_journal_type type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < bed.actions.count; i++)
        count += bed.actions.list[i].type == COORD_STORE && bed.actions.list[i].store.type == type;
    return count;
}

const struct mu_journal_expel *expelled (void)
{
    for (uint32_t i = bed.actions.count; i-- > 0;)
        if (bed.actions.list[i].type == COORD_STORE &&
            bed.actions.list[i].store.type == MU_JOURNAL_EXPEL)
            return &bed.actions.list[i].store.expel;
    fail_msg ("nobody was expelled");
    return NULL;
}
