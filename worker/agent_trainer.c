/* SPDX-License-Identifier: Apache-2.0 */
/* agent_trainer.c - the trainer's words, and its end
 *
 * The trainer is believed about its own state (step, attempt, what its sums hold), and only for the
 * generation that it takes part in. A trainer that says REFUSE has met input that is wrong for
 * every worker: the job fails. One that ends by itself has crashed: the coordinator decides what
 * follows. */
#include "agent_core.h"

#include <stdio.h>
#include <string.h>

void agent_start_trainer (struct agent *agent)
{
    struct agent_job *job = &agent->job;
    job->trainer = TRAINER_OPENING;
    agent->trainers++;
    agent_add (agent, AGENT_START_TRAINER);
    struct mu_wire_prepare *prepare = &agent_tell (agent, MU_WIRE_PREPARE)->prepare;
    prepare->job = job->number;
    prepare->spec = agent_blob (&job->spec);
    prepare->resume_path = agent_blob (&job->resume_path);
    agent_copy (prepare->resume_hash, sizeof prepare->resume_hash, job->resume_hash);
    prepare->resume_step = job->resume_step;
    prepare->distrusted = job->distrusted;
    prepare->anew = job->clears;
    prepare->joins = job->joins;
    prepare->replaces = job->replaces;
}

/* No part of any generation is possible here any more. */
static void end_generation (struct agent *agent)
{
    agent->generation.over = true;
    agent->generation.aborting = false;
    agent->generation.next.generation = 0;
}

static void fail_job (struct agent *agent, uint32_t code, uint64_t at, const char *text,
                      size_t size)
{
    struct agent_job *job = &agent->job;
    job->failed = true;
    job->code = code;
    job->failed_at = at;
    snprintf (job->verdict, sizeof job->verdict, "%.*s", (int)size, text);
    job->trainer = TRAINER_KILLED;
    agent_add (agent, AGENT_KILL_TRAINER);
    end_generation (agent);
    agent_log (agent, LOG_ERROR_, "failed", "%s", job->verdict);
    for (int word = 0; word < WORDS; word++)
        if (word != WORD_SAVED && word != WORD_LEAVING)
            agent_was_heard (agent, (enum agent_word)word);
    agent_repeat (agent, WORD_VERDICT);
}

/* --- what it says ----------------------------------------------------------------------------- */

static void on_opened (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_opened *opened = &event->wire->opened;
    struct agent_job *job = &agent->job;
    job->region = job->region || event->region;
    if (job->trainer != TRAINER_OPENING || opened->job != job->number)
        return;
    if (!event->region) {
        const char *why = event->text ? event->text : "its shared memory did not come along";
        fail_job (agent, MU_SYSTEM, 0, why, strlen (why));
        return;
    }
    job->trainer = TRAINER_OPEN;
    job->records = opened->records;
    job->parameters = opened->parameters;
    job->targets = opened->targets;
    job->window = opened->window;
    job->step = job->opened_step = opened->step;
    job->attempt = job->opened_attempt = opened->attempt;
    job->made_of = 0;
    agent_copy (job->data_identity, sizeof job->data_identity, opened->data_identity);
    agent_copy (job->digest, sizeof job->digest, opened->digest);
    job->blank = opened->blank;
    job->unsound = opened->unsound;
    agent_copy (job->unread, sizeof job->unread, opened->unread);
    if (job->blank)
        agent_log (agent, LOG_INFO_, "prepared", "%llu parameters, %llu records, waits for a state",
                   (unsigned long long)job->parameters, (unsigned long long)job->records);
    else
        agent_log (agent, LOG_INFO_, "prepared", "%llu parameters, %llu records, at step %llu",
                   (unsigned long long)job->parameters, (unsigned long long)job->records,
                   (unsigned long long)job->step);
    agent_repeat (agent, WORD_PREPARED);
}

static void on_working (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_working *working = &event->wire->working;
    agent_watch_word (agent);
    agent_log (agent, LOG_DEBUG_, "data", "%s: %llu of %llu", working->what,
               (unsigned long long)working->done, (unsigned long long)working->total);
}

static void on_refuse (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_refuse *refuse = &event->wire->refuse;
    fail_job (agent, refuse->code, refuse->at, refuse->text.data, refuse->text.size);
}

/* Windows that are trained through; the last one may be short. */
static void mind_windows (struct agent *agent)
{
    struct agent_job *job = &agent->job;
    if (!job->window || !agent->generation.go)
        return;
    uint64_t windows = job->step / job->window;
    if (job->step == agent->generation.now.steps && job->step % job->window)
        windows++;
    if (windows <= job->windows_said)
        return;
    job->windows_said = windows;
    agent_repeat (agent, WORD_TRAINED);
}

static void on_progress (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_progress *progress = &event->wire->progress;
    struct agent_job *job = &agent->job;
    if (progress->generation != agent->generation.formed || progress->phase >= MU_PHASE_STATES)
        return;
    if (job->trainer_phase != (enum mu_phase_state)progress->phase || job->step != progress->step)
        agent_watch_word (agent);
    job->trainer_phase = (enum mu_phase_state)progress->phase;
    job->busy_us += progress->busy_us;
    if (agent->generation.part != PART_IN)
        return;
    /* It stands again, and was not heard to go on between. */
    if (progress->phase == MU_PHASE_UNLEASED && progress->step != job->step)
        agent->coordinator.beat_next_ms = agent->now_ms;
    job->attempt = progress->step == job->step ? job->attempt : 0;
    job->step = progress->step;
    job->loss = progress->loss;
    job->targets_trained = progress->targets;
    job->loss_evaluated = progress->loss_evaluated;
    job->accuracy = progress->accuracy;
    job->evaluated_step = progress->evaluated_step;
    agent_copy (job->weights_hash, sizeof job->weights_hash, progress->weights_hash);
    agent_copy (job->unevaluated, sizeof job->unevaluated, progress->unevaluated);
    mind_windows (agent);
}

static void on_left (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_left *left = &event->wire->left;
    struct agent_generation *generation = &agent->generation;
    struct agent_job *job = &agent->job;
    if (left->generation != generation->formed || generation->part == PART_OUT)
        return;
    job->blank = left->blank;
    job->step = left->step;
    job->attempt = left->attempt;
    job->made_of = left->made_of;
    job->kept_size = left->kept.size < AGENT_KEPT_MAX ? left->kept.size : AGENT_KEPT_MAX;
    if (job->kept_size)
        memcpy (job->kept, left->kept.data, job->kept_size);
    bool unasked = generation->part == PART_IN;
    generation->doubts = left->doubts;
    generation->part = PART_OUT;
    if (job->asked)
        agent_repeat (agent, WORD_PREPARED);
    job->asked = false;
    if (unasked)
        agent_break (agent, *left->why ? left->why : "its trainer cannot take part");
}

static void on_hashed (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_hashed *hashed = &event->wire->hashed;
    if (hashed->generation != agent->generation.formed || agent->generation.part == PART_OUT)
        return;
    agent_opine (agent, &(struct agent_opinion){ .step = hashed->step,
                                                 .attempt = hashed->attempt,
                                                 .digest = hashed->digest });
}

static void on_audited (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_audited *audited = &event->wire->audited;
    if (audited->generation != agent->generation.formed || agent->generation.part != PART_IN)
        return;
    agent_opine (agent, &(struct agent_opinion){ .gradient = true,
                                                 .micro_batch = audited->micro_batch,
                                                 .step = audited->step,
                                                 .digest = audited->digest });
}

static void on_wrote (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_wrote *wrote = &event->wire->wrote;
    struct agent_job *job = &agent->job;
    job->writing = false;
    agent_bytes_set (&job->saved_path, wrote->path.data, wrote->path.size);
    job->saved = (struct mu_wire_saved){ .job = job->number,
                                         .generation = wrote->generation,
                                         .step = wrote->step,
                                         .path = agent_blob (&job->saved_path),
                                         .bytes = wrote->bytes,
                                         .milliseconds = wrote->milliseconds,
                                         .loss = wrote->loss,
                                         .loss_evaluated = wrote->loss_evaluated,
                                         .accuracy = wrote->accuracy,
                                         .evaluated_step = wrote->evaluated_step };
    agent_copy (job->saved.weights_hash, sizeof job->saved.weights_hash, wrote->weights_hash);
    agent_log (agent, LOG_INFO_, "saved", "checkpoint of step %llu: %llu bytes in %u ms",
               (unsigned long long)wrote->step, (unsigned long long)wrote->bytes,
               wrote->milliseconds);
    agent_repeat (agent, WORD_SAVED);
}

static void on_write_failed (struct agent *agent, const struct agent_event *event)
{
    const struct mu_wire_write_failed *failed = &event->wire->write_failed;
    struct mu_wire_save_failed *said = &agent_say (agent, MU_WIRE_SAVE_FAILED)->save_failed;
    said->job = agent->job.number;
    said->generation = failed->generation;
    said->step = failed->step;
    said->text = failed->text;
    agent->job.writing = false;
    agent_log (agent, LOG_WARN_, "save_failed", "%.*s", (int)failed->text.size,
               (const char *)failed->text.data);
}

static void on_writing (struct agent *agent, const struct agent_event *event)
{
    agent->job.writing = true;
    agent->job.writes = event->wire->writing;
}

static void on_pruned (struct agent *agent, const struct agent_event *event)
{
    if (event->wire->pruned.step + 1 == agent->job.committed_step)
        agent->job.prune_end_ms = 0;
}

static void (*const says[]) (struct agent *agent, const struct agent_event *event) = {
    [MU_WIRE_OPENED] = on_opened,     [MU_WIRE_REFUSE] = on_refuse,
    [MU_WIRE_PROGRESS] = on_progress, [MU_WIRE_LEFT] = on_left,
    [MU_WIRE_HASHED] = on_hashed,     [MU_WIRE_AUDITED] = on_audited,
    [MU_WIRE_WROTE] = on_wrote,       [MU_WIRE_WRITE_FAILED] = on_write_failed,
    [MU_WIRE_WORKING] = on_working,   [MU_WIRE_PRUNED] = on_pruned,
    [MU_WIRE_WRITING] = on_writing,
};

/* What a trainer says while its job is let go counts no more; but a mapped region must be known, and what the
 * end waits for. */
void agent_trainer_said (struct agent *agent, const struct agent_event *event)
{
    size_t type = (size_t)event->wire->type;
    const struct agent_job *job = &agent->job;
    if (type >= sizeof says / sizeof *says || !says[type])
        return;
    if (type == MU_WIRE_OPENED || type == MU_WIRE_PRUNED ||
        (!job->releasing && job->trainer == TRAINER_OPEN) ||
        (!job->releasing && job->trainer == TRAINER_OPENING &&
         (type == MU_WIRE_REFUSE || type == MU_WIRE_WORKING)))
        says[type](agent, event);
}

/* --- its end ---------------------------------------------------------------------------------- */

static void keep_suspects (struct agent_job *job, const struct agent_event *event)
{
    uint32_t size = event->suspects.size;
    job->suspect_step = event->step;
    job->suspects_size = size < AGENT_KEPT_MAX ? size : AGENT_KEPT_MAX;
    if (job->suspects_size)
        memcpy (job->suspects, event->suspects.data, job->suspects_size);
    agent_copy (job->suspect_records, sizeof job->suspect_records, event->records);
}

void agent_trainer_ended (struct agent *agent, const struct agent_event *event)
{
    struct agent_job *job = &agent->job;
    bool expected = job->trainer == TRAINER_KILLED;
    if (job->trainer == TRAINER_NONE)
        return;
    job->trainer = TRAINER_NONE;
    job->writing = false;
    agent->generation.part = PART_OUT;
    end_generation (agent);
    if (expected)
        return;
    job->crashed = true;
    job->status = (uint32_t)event->status;
    if (event->text && *event->text)
        agent_copy (job->verdict, sizeof job->verdict, event->text);
    else
        snprintf (job->verdict, sizeof job->verdict, "the trainer process ended with status %d",
                  event->status);
    keep_suspects (job, event);
    agent_log (agent, LOG_ERROR_, "crashed", "%s", job->verdict);
    for (int word = 0; word < WORDS; word++)
        if (word != WORD_SAVED && word != WORD_LEAVING)
            agent_was_heard (agent, (enum agent_word)word);
    agent_repeat (agent, WORD_VERDICT);
}
