/* SPDX-License-Identifier: Apache-2.0 */
/* story.c - short runs as readable text: every record and every word but the chatter */
#include "sim.h"

#include <string.h>

/* --- lines ------------------------------------------------------------------------------------ */

static bool is_chatter (enum mu_wire_type type)
{
    return type == MU_WIRE_BEAT || type == MU_WIRE_WELCOME || type == MU_WIRE_HELLO ||
           type == MU_WIRE_TRAINED || type == MU_WIRE_TRAINED_OK || type == MU_WIRE_DIGEST ||
           type == MU_WIRE_AUDIT || type == MU_WIRE_LEASE;
}

static void describe_word (char *text, size_t size, const struct mu_wire *wire)
{
    text[0] = '\0';
    if (wire->type == MU_WIRE_FORM)
        snprintf (text, size, " generation %" PRIu64 " rank %u of %u from step %" PRIu64 "%s",
                  wire->form.generation, wire->form.rank, wire->form.size, wire->form.step,
                  wire->form.transfer ? ", state comes first" : "");
    else if (wire->type == MU_WIRE_PREPARED)
        snprintf (text, size, " at step %" PRIu64, wire->prepared.step);
    else if (wire->type == MU_WIRE_ABORTED)
        snprintf (text, size, " generation %" PRIu64 " at step %" PRIu64, wire->aborted.generation,
                  wire->aborted.step);
    else if (wire->type == MU_WIRE_SAVED)
        snprintf (text, size, " step %" PRIu64, wire->saved.step);
    else if (wire->type == MU_WIRE_COMMITTED)
        snprintf (text, size, " step %" PRIu64, wire->committed.step);
    else if (wire->type == MU_WIRE_FENCE || wire->type == MU_WIRE_FENCED)
        snprintf (text, size, " %u", wire->fence.number);
    else if (wire->type == MU_WIRE_DOWN)
        snprintf (text, size, ": %s", wire->down.text);
}

void story_word (const char *from, const char *to, const struct mu_wire *wire)
{
    char text[300];
    if (!sim_traces () || (is_chatter (wire->type) && !options.verbose))
        return;
    describe_word (text, sizeof text, wire);
    sim_trace ("%s -> %s: %s%s", from, to, mu_record_name (&mu_wire_family, wire->type), text);
}

static void describe_form (char *text, size_t size, const struct mu_journal_form *form)
{
    size_t used = (size_t)snprintf (text, size, " generation %" PRIu64 " from step %" PRIu64 ":",
                                    form->generation, form->step);
    for (uint32_t i = 0; i < form->members.count && used < size; i++)
        used += (size_t)snprintf (text + used, size - used, " %s", form->members.items[i].name);
    if (used < size)
        snprintf (text + used, size - used, ", leases below %" PRIu64, form->until_step);
}

void story_record (const struct mu_journal *record)
{
    char text[1400] = "";
    if (!sim_traces () || (options.story && record->type == MU_JOURNAL_AGREED))
        return;
    if (record->type == MU_JOURNAL_FORM)
        describe_form (text, sizeof text, &record->form);
    else if (record->type == MU_JOURNAL_REIGN)
        snprintf (text, sizeof text, " term %" PRIu64, record->reign.term);
    else if (record->type == MU_JOURNAL_SIZED)
        snprintf (text, sizeof text, " to %" PRIu64 " steps", record->sized.steps);
    else if (record->type == MU_JOURNAL_STATE)
        snprintf (text, sizeof text, " %s%s%.*s", mu_job_state_name ((int)record->state.state),
                  record->state.reason.size ? ": " : "", (int)record->state.reason.size,
                  (const char *)record->state.reason.data);
    else if (record->type == MU_JOURNAL_BROKEN)
        snprintf (text, sizeof text, " generation %" PRIu64 "%s: %s", record->broken.generation,
                  record->broken.planned ? " as planned" : "", record->broken.reason);
    else if (record->type == MU_JOURNAL_COMMIT)
        snprintf (text, sizeof text, " step %" PRIu64, record->commit.step);
    else if (record->type == MU_JOURNAL_LEASE)
        snprintf (text, sizeof text, " below %" PRIu64, record->lease.until_step);
    else if (record->type == MU_JOURNAL_CRASH)
        snprintf (text, sizeof text, " on %s at step %" PRIu64 "%s", record->crash.worker,
                  record->crash.step, record->crash.suspects.size ? ", which accuses" : "");
    else if (record->type == MU_JOURNAL_POISON)
        snprintf (text, sizeof text, " step %" PRIu64 " micro-batch %u %s: %s", record->poison.step,
                  record->poison.micro_batch, record->poison.skipped ? "is left out" : "is fatal",
                  record->poison.workers);
    else if (record->type == MU_JOURNAL_TRAINED)
        snprintf (text, sizeof text, " rank %u windows below %" PRIu64, record->trained.rank,
                  record->trained.windows);
    sim_trace ("    store %s%s", mu_record_name (&mu_journal_family, record->type), text);
}

/* --- stories ---------------------------------------------------------------------------------- */

static void submit (uint32_t min, uint32_t max, uint64_t steps)
{
    client_submit (&(struct sim_job){ .micro_batches = 8,
                                      .global_batch = 32,
                                      .window_steps = 8,
                                      .workers_min = min,
                                      .workers_max = max,
                                      .save_every = 8,
                                      .steps = steps,
                                      .records = 1000,
                                      .portable = true });
}

static void begin (uint32_t workers)
{
    host_start ();
    for (uint32_t i = 0; i < workers; i++)
        worker_start (i);
}

/* Two workers train a job to its end. */
static void story_two_workers (void)
{
    begin (2);
    submit (2, 2, 16);
    clock_run_until (60000);
}

/* One of three dies in the middle of a step; two go on with what they have summed. */
static void story_worker_dies (void)
{
    begin (3);
    submit (1, 3, 16);
    clock_run_until (3000);
    worker_crash (1, false);
    clock_run_until (60000);
}

/* The coordinator dies and comes back; training never notices. */
static void story_coordinator_restarts (void)
{
    begin (2);
    submit (2, 2, 48);
    clock_run_until (3000);
    host_crash (900);
    clock_run_until (60000);
}

/* A third worker joins at a planned break, and is drained again. */
static void story_join_and_drain (void)
{
    begin (2);
    submit (1, 3, 48);
    clock_run_until (3000);
    worker_start (2);
    clock_run_until (6000);
    client_drain (0, false);
    clock_run_until (60000);
}

/* A micro-batch kills three trainers; then it is left out, and nothing else is. */
static void story_poison (void)
{
    begin (3);
    client_submit (&(struct sim_job){ .micro_batches = 8,
                                      .global_batch = 32,
                                      .window_steps = 8,
                                      .workers_min = 1,
                                      .workers_max = 3,
                                      .save_every = 4,
                                      .steps = 8,
                                      .records = 1000,
                                      .portable = true,
                                      .poisons = 1,
                                      .poison_limit = 1,
                                      .poison_step = { 5 },
                                      .poison_micro_batch = { 3 } });
    clock_run_until (60000);
}

static const struct {
    const char *name;
    uint32_t workers;
    void (*tell) (void);
} stories[] = {
    { "two-workers", 2, story_two_workers },
    { "worker-dies", 3, story_worker_dies },
    { "coordinator-restarts", 2, story_coordinator_restarts },
    { "join-and-drain", 3, story_join_and_drain },
    { "poison", 3, story_poison },
};

int story_run (const char *name)
{
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        if (strcmp (stories[i].name, name) != 0)
            continue;
        options.workers = stories[i].workers;
        sim_reset (1);
        stories[i].tell ();
        check_end ();
        host_check_recording ();
        return 0;
    }
    fprintf (stderr, "sim: there is no story %s; there are:", name);
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
        fprintf (stderr, " %s", stories[i].name);
    fprintf (stderr, "\n");
    return 64;
}
