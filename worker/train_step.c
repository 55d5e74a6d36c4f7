/* SPDX-License-Identifier: Apache-2.0 */
/* train_step.c - the stepper: enters generations, trains steps, leaves with its sums intact
 *
 * In a generation, between two steps, the state is at rest; it changes in mu_update () alone, or
 * while another rank's state is broadcast into it. Who needs no such state begins the first step at
 * once, while the world still connects and others receive theirs: its gradients need nobody, and
 * nothing is reduced before all are level.
 *
 * How a generation ends: LEAVE (interrupt), or the communicator says TORN. Both lead back to
 * waiting for orders; LEFT is said when LEAVE is taken from the letter box. LEFT without LEAVE says
 * that this trainer cannot take part; the log says why.
 *
 * Fatal for the job, if it is so again: data that is wrong (REFUSE), a gradient that is not finite where the job
 * says fail, a proven result that is no complete step (LEFT with `doubts`). Fatal for the process: a broadcast state that
 * passes its checksums and is no state. */
#include "train.h"

#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A last checkpoint that could not be written is tried again after this long. */
#define SAVE_AGAIN_MS 10000u
#define IDLE_MS       1000

static struct mu_log_about about (const struct train *train,
                                  const struct train_generation *generation)
{
    return (struct mu_log_about){ .job = train->job.number,
                                  .generation = generation->number,
                                  .rank = (int32_t)generation->rank };
}

/* --- LEFT ------------------------------------------------------------------------------------- */

/* 0: nobody can be given that any more. */
static uint32_t made_of (const struct train *train)
{
    return !train->job.blank && mu_comm_keeps (train->job.comm) ? train->made_of : 0;
}

static void say_left (struct train *train, uint64_t generation, bool doubts, const char *why)
{
    const struct train_job *job = &train->job;
    uint8_t kept[TRAIN_KEPT_MAX] = { 0 };
    for (uint32_t m = 0; m < job->micro_batches; m++)
        if (mu_sums_has (&job->layout, job->comm->sums, job->state, m))
            kept[m / 8] = (uint8_t)(kept[m / 8] | 1u << m % 8);
    struct mu_wire wire = { .type = MU_WIRE_LEFT };
    wire.left.generation = generation;
    wire.left.step = job->state->step;
    wire.left.attempt = (uint32_t)job->state->attempt;
    wire.left.blank = job->blank;
    wire.left.made_of = made_of (train);
    wire.left.kept = (struct mu_blob){ kept, (job->micro_batches + 7) / 8 };
    wire.left.doubts = doubts;
    mu_text_set (wire.left.why, sizeof wire.left.why, why);
    train_report_phase (&train->report, MU_PHASE_WAITING, false);
    train_say (&train->report, &wire, -1);
}

static void say_hashed (struct train *train, uint64_t generation)
{
    struct mu_wire wire = { .type = MU_WIRE_HASHED };
    wire.hashed.generation = generation;
    wire.hashed.step = train->job.state->step;
    wire.hashed.attempt = (uint32_t)train->job.state->attempt;
    wire.hashed.digest = mu_state_sum (train->job.state);
    train_say (&train->report, &wire, -1);
}

/* Where some are to leave, what is held at the end may be saved by one: then it is what all say. What is no
 * number is not kept, though it was computed: the others may have seen that it is none, and try again (doubt). */
static void leave (struct train *train, uint64_t generation)
{
    const struct train_job *job = &train->job;
    train_check_head (train);
    if (mu_sums_non_finite (&job->layout, job->comm->sums))
        mu_sums_begin (&job->layout, job->comm->sums);
    if (!job->blank && train_is_reviewed (&train->orders, generation))
        say_hashed (train, generation);
    say_left (train, generation, false, "");
}

static void cannot_take_part (struct train *train, const struct train_generation *generation,
                              const char *why)
{
    struct mu_log_about where = about (train, generation);
    mu_log (MU_LOG_ERROR, "no_part", &where, "cannot take part in generation %llu: %s",
            (unsigned long long)generation->number, why);
    say_left (train, generation->number, false, why);
}

/* --- joining the world ------------------------------------------------------------------------ */

/* What comm->result holds becomes a step of the state. */
static int make_update (struct train *train, struct mu_update *done, struct mu_error *error)
{
    struct train_job *job = &train->job;
    uint32_t attempt = (uint32_t)job->state->attempt;
    if (mu_update (job->state, &job->layout, job->comm->result, &job->optimizer, job->kernels,
                   train_pool_gradient (train->pool), done, error) < 0)
        return -1;
    train->made_of = attempt + 1;
    return 0;
}

static bool is_level (const struct train *train, const struct train_generation *generation)
{
    const struct mu_state *state = train->job.state;
    return !train->job.blank && state->step == generation->step &&
           state->attempt == generation->attempt;
}

/* The block is half of one state and half of another. */
static void start_over (struct train *train)
{
    struct mu_error error;
    train->sums_begun = false;
    train->made_of = 0;
    if (train_go_blank (&train->job, &error) < 0) {
        train_refuse (&train->report, &error);
        _exit (mu_code_exit ((int)error.code));
    }
}

/* What arrived was compared with the source's checksum; but it is a state only if it looks so. */
static void trust_received (struct train *train)
{
    struct train_job *job = &train->job;
    struct mu_error error;
    train->sums_begun = false;
    train->made_of = 0;
    job->blank = false;
    if (mu_state_check (job->region->state, job->region->layout.state_bytes, job->tensors,
                        job->layout.tensors, &error) == 0)
        return;
    mu_log (MU_LOG_ERROR, "state", &MU_LOG_ABOUT_NOTHING,
            "the state that another worker sent is none: %s", error.text);
    _exit (mu_code_exit (MU_INTERNAL));
}

static bool receive_state (struct train *train, const struct train_generation *generation)
{
    struct mu_error error = { .code = MU_OK };
    train_report_phase (&train->report, MU_PHASE_RECEIVING, true);
    switch (mu_comm_broadcast (train->job.comm, -1, &error)) {
    case MU_COMM_DONE: trust_received (train); return true;
    case MU_COMM_STATE_LOST: start_over (train); return false;
    case MU_COMM_FAILED: cannot_take_part (train, generation, error.text); return false;
    case MU_COMM_TORN:
    case MU_COMM_TIMEOUT: return false;
    }
    return false;
}

static enum mu_receives receives (const struct train *train,
                                  const struct train_generation *generation)
{
    const struct mu_state *state = train->job.state;
    if (!generation->transfer || generation->rank == generation->source_rank)
        return MU_RECEIVES_NOTHING;
    return mu_receives (train->job.blank, state->step, state->attempt, generation->step,
                        generation->attempt, generation->made_of);
}

/* The step that others have made and this rank has not. What it makes of it is compared with what they did; so
 * is, where it can make nothing, what it has. */
static void catch_up (struct train *train, const struct train_generation *generation)
{
    struct mu_update done;
    struct mu_error error;
    struct mu_log_about where = about (train, generation);
    uint64_t step = train->job.state->step;
    train->made_of = 0; /* there are other sums now */
    train_report_phase (&train->report, MU_PHASE_UPDATING, false);
    if (make_update (train, &done, &error) < 0)
        mu_log (MU_LOG_ERROR, "behind", &where, "step %llu cannot be made here, as others did: %s",
                (unsigned long long)step, error.text);
    else
        mu_log (MU_LOG_INFO, "behind", &where, "step %llu is made here, too",
                (unsigned long long)step);
    mu_comm_caught_up (train->job.comm);
}

static bool receive_sums (struct train *train, const struct train_generation *generation)
{
    struct mu_error error = { .code = MU_OK };
    train_report_phase (&train->report, MU_PHASE_RECEIVING, true);
    switch (mu_comm_take_sums (train->job.comm, -1, &error)) {
    case MU_COMM_DONE: catch_up (train, generation); break;
    case MU_COMM_FAILED: cannot_take_part (train, generation, error.text); return false;
    case MU_COMM_STATE_LOST:
    case MU_COMM_TORN:
    case MU_COMM_TIMEOUT: return false;
    }
    return is_level (train, generation) ||
           mu_comm_broadcast (train->job.comm, -1, &error) == MU_COMM_DONE;
}

static bool join_world (struct train *train, const struct train_generation *generation)
{
    struct mu_error error;
    enum mu_receives what = receives (train, generation);
    struct mu_comm_generation world = {
        .generation = generation->number,
        .rank = generation->rank,
        .size = generation->size,
        .step = generation->step,
        .attempt = generation->attempt,
        .source_rank = generation->transfer ? generation->source_rank : MU_COMM_NO_SOURCE,
        .receives = what,
        .made = train->made_of != 0,
    };
    if (mu_comm_enter (train->job.comm, &world, &error) < 0) {
        cannot_take_part (train, generation, error.text);
        return false;
    }
    if (what == MU_RECEIVES_STATE && !receive_state (train, generation))
        return false;
    if (what == MU_RECEIVES_SUMS && !receive_sums (train, generation))
        return false;
    if (is_level (train, generation))
        return true;
    char why[160];
    snprintf (why, sizeof why, "it begins at step %llu, attempt %u; this state is at %llu, %llu%s",
              (unsigned long long)generation->step, generation->attempt,
              (unsigned long long)train->job.state->step,
              (unsigned long long)train->job.state->attempt,
              train->job.blank ? ", and holds nothing" : "");
    cannot_take_part (train, generation, why);
    return false;
}

/* --- after a step ----------------------------------------------------------------------------- */

static void evaluate (struct train *train)
{
    double loss, accuracy;
    uint64_t step = train->job.state->step;
    train_report_phase (&train->report, MU_PHASE_EVALUATING, false);
    if (train_evaluate (train, &loss, &accuracy))
        train_report_evaluation (&train->report, step, loss, accuracy);
    if (!atomic_load (&train->orders.interrupt))
        train->evaluated = step + 1;
}

static bool save (struct train *train, uint64_t generation)
{
    train_report_phase (&train->report, MU_PHASE_SNAPSHOT, false);
    return train_save (&train->saver, &train->job, generation, &train->report);
}

/* Of many the first is told, the second, the fourth, the eighth and so on: each is one too many where steps are
 * quicker than storage. */
static void note_unsaved (struct train *train, uint64_t step)
{
    uint64_t count = ++train->unsaved;
    if ((count & (count - 1)) == 0)
        mu_log (MU_LOG_WARN, "save", &MU_LOG_ABOUT_NOTHING,
                "no checkpoint of step %llu: the one before is still being written (%llu left out "
                "for that so far); checkpoint.every may be too small for this storage",
                (unsigned long long)step, (unsigned long long)count);
}

static bool due (uint64_t step, uint64_t every) { return every && step % every == 0; }

static uint64_t targets_of_record (const struct train_job *job)
{
    return job->info.tokens ? job->info.tokens - 1 : 1;
}

static void after_step (struct train *train, const struct train_generation *generation,
                        const struct mu_update *update)
{
    const struct train_job *job = &train->job;
    uint64_t step = job->state->step;
    bool last = step >= generation->steps;
    uint64_t records = step * job->spec.batch.global -
                       train_skipped_before (generation, step) * job->spec.batch.micro;
    train_report_step (&train->report, step, update->verdict.loss,
                       records * targets_of_record (job));
    if (due (step, job->spec.hash_every) || due (step, job->spec.checkpoint.every) ||
        train_compares (&train->orders, generation, step - 1))
        say_hashed (train, generation->number);
    if (!generation->writer || last) /* finish () does the last step's */
        return;
    if (job->evaluation.data && due (step, job->evaluation.every))
        evaluate (train); /* before it is saved: a checkpoint says how good it is */
    if (due (step, job->spec.checkpoint.every) && !save (train, generation->number))
        note_unsaved (train, step);
}

/* --- a result that cannot be ------------------------------------------------------------------ */

static void name_non_finite (const struct train *train, const struct mu_verdict *verdict,
                             struct mu_error *error)
{
    const struct train_job *job = &train->job;
    uint64_t micro = job->spec.batch.micro;
    uint64_t first = job->state->step * job->spec.batch.global + verdict->micro_batch * micro;
    char records[160];
    size_t used = 0;
    for (uint64_t i = 0; i < micro && i < 6 && used < sizeof records; i++)
        used += (size_t)snprintf (records + used, sizeof records - used, "%s%llu", i ? ", " : "",
                                  (unsigned long long)mu_order_record (&job->order, first + i));
    mu_error_prefix (
        error,
        "%s%s, records %s%s: ", verdict->tensor < job->layout.tensors ? "tensor " : "the loss",
        verdict->tensor < job->layout.tensors ? job->tensors[verdict->tensor].name : "", records,
        micro > 6 ? ", ..." : "");
}

/* Everybody says what it holds, and those whose turn it is what they make of the micro-batch. */
static void compare (struct train *train, const struct train_generation *generation,
                     uint32_t micro_batch)
{
    const struct train_job *job = &train->job;
    say_hashed (train, generation->number);
    if (micro_batch >= job->micro_batches)
        return;
    train_report_phase (&train->report, MU_PHASE_COMPUTING, false);
    train_audit_again (train, generation, micro_batch);
    train_recompute (train);
    train_audit_say (train, generation);
}

/* It may be the data's fault, or the model's; or one worker is wrong, and the job is not to end for that. So
 * the step is compared and computed again from nothing, in another generation. Whether that helps the coordinator
 * knows (its doubt.c). */
static void doubt (struct train *train, const struct train_generation *generation,
                   const struct mu_verdict *verdict, struct mu_error *error)
{
    const struct train_job *job = &train->job;
    struct mu_log_about where = about (train, generation);
    bool named = verdict->decision == MU_NON_FINITE;
    if (named)
        name_non_finite (train, verdict, error);
    mu_log (MU_LOG_WARN, "doubted", &where, "step %llu is computed again: %s",
            (unsigned long long)job->state->step, error->text);
    if (train_is_audited (job, generation))
        compare (train, generation, named ? verdict->micro_batch : UINT32_MAX);
    mu_sums_begin (&job->layout, job->comm->sums);
    say_left (train, generation->number, true, error->text);
}

/* --- one step --------------------------------------------------------------------------------- */

static bool update (struct train *train, const struct train_generation *generation)
{
    struct train_job *job = &train->job;
    struct mu_update done;
    struct mu_error error;
    memset (&done, 0, sizeof done);
    train->made_of = 0; /* there are other sums now */
    train_report_phase (&train->report, MU_PHASE_UPDATING, false);
    train_check_head (train);
    if (train_check_skips (train, generation, &error) < 0) {
        doubt (train, generation, &done.verdict, &error);
        return false;
    }
    if (make_update (train, &done, &error) < 0) {
        doubt (train, generation, &done.verdict, &error);
        return false;
    }
    train_keep_head (train);
    if (done.verdict.decision == MU_LOWER_SCALES)
        return true; /* the same step again, under another attempt */
    if (done.verdict.decision == MU_NON_FINITE && generation->writer)
        mu_log (MU_LOG_WARN, "skipped", &MU_LOG_ABOUT_NOTHING,
                "step %llu was left out: micro-batch %u is not finite",
                (unsigned long long)job->state->step - 1, done.verdict.micro_batch);
    if (done.verdict.skipped && generation->writer)
        mu_log (MU_LOG_WARN, "skipped", &MU_LOG_ABOUT_NOTHING,
                "step %llu was made without %u of its %u micro-batches, which kill trainers",
                (unsigned long long)job->state->step - 1, done.verdict.skipped, job->micro_batches);
    after_step (train, generation, &done);
    return true;
}

static bool compute (struct train *train, const struct train_generation *generation)
{
    struct mu_error error;
    const uint16_t *map =
        train->job.state->step == generation->step ? generation->first_map : generation->map;
    train_report_phase (&train->report, MU_PHASE_COMPUTING, false);
    train_audit_plan (train, generation);
    switch (train_gradients (train, generation, map, &error)) {
    case TRAIN_SHARE_DONE: train_audit_say (train, generation); return true;
    case TRAIN_SHARE_STOPPED: return false;
    case TRAIN_SHARE_WRONG: train_refuse (&train->report, &error); return false;
    case TRAIN_SHARE_BROKEN: cannot_take_part (train, generation, error.text); return false;
    }
    return false;
}

/* False: this generation is over here. */
static bool one_step (struct train *train, const struct train_generation *generation)
{
    struct train_job *job = &train->job;
    struct mu_error error = { .code = MU_OK };
    if (mu_comm_begin (job->comm, job->state->step, (uint32_t)job->state->attempt, &error) < 0) {
        cannot_take_part (train, generation, error.text);
        return false;
    }
    if (!compute (train, generation))
        return false;
    train_report_phase (&train->report, MU_PHASE_REDUCING, false);
    switch (mu_comm_wait (job->comm, -1, &error)) {
    case MU_COMM_DONE: return update (train, generation);
    case MU_COMM_FAILED: cannot_take_part (train, generation, error.text); return false;
    case MU_COMM_TORN:
    case MU_COMM_STATE_LOST:
    case MU_COMM_TIMEOUT: return false;
    }
    return false;
}

/* --- one generation --------------------------------------------------------------------------- */

/* Not the same step at once again. */
static bool may_save (struct train *train, uint64_t step)
{
    pthread_mutex_lock (&train->saver.lock);
    uint64_t failed = train->saver.step == step ? train->saver.failed_ms : 0;
    pthread_mutex_unlock (&train->saver.lock);
    return !failed || train_now_ms () - failed >= SAVE_AGAIN_MS;
}

/* The last checkpoint is compared with what the others hold: no trainer will ever load it. */
static void tell_weights (struct train *train)
{
    uint8_t hash[MU_STATE_HASH_SIZE];
    char text[MU_STATE_HASH_TEXT];
    mu_state_hash (train->job.state, hash);
    mu_state_hash_text (hash, text);
    train_report_weights (&train->report, text);
}

/* All steps are trained: the writer owes the last checkpoint and evaluation, whoever wrote before.
 */
static void finish (struct train *train, const struct train_generation *generation)
{
    struct train_job *job = &train->job;
    uint64_t step = job->state->step;
    if (generation->writer) {
        if (job->evaluation.data && train->evaluated != step + 1)
            evaluate (train);
        if (!train_saver_has (&train->saver, step) && may_save (train, step))
            save (train, generation->number);
    } else if (train->report.progress.phase != MU_PHASE_FINISHED) {
        tell_weights (train);
    }
    train_report_phase (&train->report, MU_PHASE_FINISHED, true);
    train_wait_lease (&train->orders, UINT64_MAX, IDLE_MS);
}

static void wait_for_lease (struct train *train)
{
    train_report_phase (&train->report, MU_PHASE_UNLEASED, true);
    train_wait_lease (&train->orders, train->job.state->step, IDLE_MS);
}

static void run_generation (struct train *train, const struct train_generation *generation)
{
    struct train_job *job = &train->job;
    job->optimizer.steps = generation->steps;
    if (!generation->writer)
        train_saver_rest (&train->saver);
    train_report_generation (&train->report, generation->number, job->state->step);
    train_check_head (train);
    train_forget_head (train);
    bool going = join_world (train, generation);
    if (!job->blank)
        train_keep_head (train);
    /* A state that was received stands elsewhere, and there may be no step left that would say so. */
    train_report_generation (&train->report, generation->number, job->state->step);
    while (going && !atomic_load (&train->orders.interrupt)) {
        train_check_head (train);
        if (job->state->step >= generation->steps)
            finish (train, generation);
        else if (job->state->step >= train_until (&train->orders))
            wait_for_lease (train);
        else
            going = one_step (train, generation);
    }
    mu_comm_leave (job->comm);
}

/* The job is to be paused: the state as it is, whoever wrote the last checkpoint. */
static void write_now (struct train *train, uint64_t generation)
{
    train_check_head (train);
    if (train->job.blank || train_saver_has (&train->saver, train->job.state->step))
        return;
    while (!save (train, generation))
        train_wait_lease (&train->orders, UINT64_MAX, IDLE_MS);
    train_report_phase (&train->report, MU_PHASE_WAITING, true);
}

void *train_stepper (void *argument)
{
    struct train *train = argument;
    struct train_generation generation;
    uint64_t number;
    for (;;) {
        switch (train_next_order (&train->orders, &generation, &number)) {
        case TRAIN_ENTER: run_generation (train, &generation); break;
        case TRAIN_LEAVE: leave (train, number); break;
        case TRAIN_WRITE: write_now (train, number); break;
        }
    }
    return NULL;
}
