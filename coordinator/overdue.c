/* SPDX-License-Identifier: Apache-2.0 */
/* overdue.c - a checkpoint whose writer neither ends nor moves
 *
 * Checkpoints are written beside the training, which goes on: a writer that hangs costs nothing, until
 * all workers die and everything since the newest committed checkpoint has to be done again. So it is
 * said: whose writer, what it does, for how long, and how many steps that would be.
 *
 *     it waits for storage   it is left alone: another one would wait for the same, and this one goes on
 *                            when the storage does
 *     it was stopped         it is ended after the limit for hangs; the next checkpoint is written by
 *     or sleeps, or spins    another one, as if it had died. The others after the limit for stalls: who
 *                            cannot be told from one that waits is given time.
 *
 * Two writers may be there for a moment. Each has a directory of its own, and gives it its name when all
 * of it is there (worker/checkpoint/write.c). */
#include "overdue.h"

#include "job.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* Slow storage must not be told of at each checkpoint. */
static uint64_t limit_ms (const struct coord *coord, const struct job *job)
{
    return higher (coord->options.hang_ms, COORD_HANG_LONGEST * job->soft.writer_still_longest_ms);
}

static bool is_stopped (const struct worker *worker)
{
    return !strcmp (worker->writer, "stopped") || !strcmp (worker->writer, "traced");
}

/* What was committed since makes it worth nothing. */
static bool is_overdue (const struct coord *coord, const struct worker *worker)
{
    uint64_t limit = is_stopped (worker) ? coord->options.hang_ms : limit_ms (coord, worker->job);
    return worker->writing > job_committed_step (worker->job) + 1 &&
           worker->writer_still_ms >= limit;
}

static bool is_to_end (const struct coord *coord, const struct worker *worker)
{
    return is_stopped (worker) || (strcmp (worker->writer, "disk") != 0 &&
                                   worker->writer_still_ms >= coord->options.stall_ms);
}

static bool is_told (const struct job *job, const struct worker *worker)
{
    return job->soft.overdue.writing &&
           !strcmp (job_noted (job->soft.overdue.worker), worker->name);
}

/* What ended by itself was no hang. */
static void learn (struct job *job, const struct worker *worker, const struct mu_wire_beat *beat)
{
    uint64_t *longest_ms = &job->soft.writer_still_longest_ms;
    bool goes_on =
        beat->writing == worker->writing && beat->writer_still_ms < worker->writer_still_ms;
    if (worker->writing && goes_on && !is_stopped (worker))
        *longest_ms = higher (*longest_ms, worker->writer_still_ms);
}

static void store (struct coord *coord, const struct job *job, const struct worker *worker,
                   bool over, const char *text)
{
    struct mu_journal record = { .type = MU_JOURNAL_OVERDUE,
                                 .overdue = { .job = job->durable.number,
                                              .generation = job->durable.generation.number,
                                              .step = job->soft.overdue.writing - 1,
                                              .over = over,
                                              .text = core_blob (text),
                                              .time_ms = coord->unix_ms } };
    SET (record.overdue.worker, job_noted (job->soft.overdue.worker));
    if (worker) {
        record.overdue.phase = worker->writer_phase;
        record.overdue.since_ms = coord->unix_ms - worker->writer_still_ms;
        SET (record.overdue.process, worker->writer);
    }
    core_store (coord, &record);
}

static void end (struct coord *coord, struct job *job, const char *why)
{
    struct overdue *overdue = &job->soft.overdue;
    if (!job_ended (job))
        store (coord, job, NULL, true,
               core_text (coord, "the checkpoint of step %llu is overdue no more: %s",
                          (unsigned long long)overdue->writing - 1, why));
    job_note (&overdue->text, "");
    job_note (&overdue->worker, "");
    overdue->writing = 0;
}

static const char *at_risk (struct coord *coord, const struct job *job)
{
    uint64_t committed = job_committed_step (job), step = job_step (job);
    return core_text (coord,
                      "if all workers died now, training would go back to step %llu and do %llu "
                      "steps again",
                      (unsigned long long)committed,
                      (unsigned long long)(step > committed ? step - committed : 0));
}

static void describe (struct coord *coord, struct job *job, const struct worker *worker)
{
    const char *process = *worker->writer ? worker->writer : "state unknown";
    const char *follows = is_to_end (coord, worker)          ? "it is ended and replaced"
                          : !strcmp (worker->writer, "disk") ? "its storage does not answer"
                                                             : "training goes on";
    job_note (&job->soft.overdue.text,
              core_text (coord,
                         "the checkpoint of step %llu is overdue: worker %s's writer (%s) has not "
                         "moved for %llu.%llu s in phase %s; %s; %s",
                         (unsigned long long)worker->writing - 1, worker->name, process,
                         (unsigned long long)(worker->writer_still_ms / 1000),
                         (unsigned long long)(worker->writer_still_ms % 1000 / 100),
                         mu_writing_state_name ((int)worker->writer_phase), follows,
                         at_risk (coord, job)));
}

static void begin (struct coord *coord, struct job *job, const struct worker *worker)
{
    job->soft.overdue.writing = worker->writing;
    job_note (&job->soft.overdue.worker, worker->name);
    describe (coord, job, worker);
    store (coord, job, worker, false, job_noted (job->soft.overdue.text));
}

static void end_writer (struct coord *coord, const struct worker *worker)
{
    struct mu_wire_end_writer *said = &core_tell (coord, worker, MU_WIRE_END_WRITER)->end_writer;
    said->job = worker->job->durable.number;
    said->step = worker->writing - 1;
}

static void mind (struct coord *coord, struct job *job, const struct worker *worker)
{
    bool overdue = is_overdue (coord, worker);
    if (is_told (job, worker) && (!overdue || worker->writing != job->soft.overdue.writing))
        end (coord, job,
             worker->writing == job->soft.overdue.writing ? "its writer moves again"
                                                          : "it is not written any more");
    if (!overdue || job->durable.state == MU_JOB_STOPPING)
        return;
    if (!job->soft.overdue.writing)
        begin (coord, job, worker);
    else if (is_told (job, worker))
        describe (coord, job, worker);
    if (is_to_end (coord, worker))
        end_writer (coord, worker);
}

void overdue_hear (struct coord *coord, struct worker *worker, const struct mu_wire_beat *beat)
{
    struct job *job = worker->job;
    bool own = job && beat->job == job->durable.number;
    if (own)
        learn (job, worker, beat);
    worker->writing = own ? beat->writing : 0;
    worker->writer_still_ms = beat->writer_still_ms;
    worker->writer_phase =
        beat->writer_phase < MU_WRITING_STATES ? beat->writer_phase : MU_WRITING_RESTING;
    SET (worker->writer, beat->writer);
    if (job)
        mind (coord, job, worker);
}

void overdue_committed (struct coord *coord, struct job *job, uint64_t step)
{
    if (job->soft.overdue.writing && job->soft.overdue.writing <= step + 1)
        end (coord, job,
             core_text (coord, "that of step %llu is committed", (unsigned long long)step));
}

void overdue_leaves (struct coord *coord, struct job *job, const struct worker *worker)
{
    if (is_told (job, worker))
        end (coord, job, core_text (coord, "worker %s has let the job go", worker->name));
}
