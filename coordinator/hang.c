/* SPDX-License-Identifier: Apache-2.0 */
/* hang.c - a process that neither dies nor works: who it is, and what follows
 *
 * Each agent says which of its processes owes the next move and for how long that one has been
 * still (no processor time, no counted work) or has stalled (no counted work). Only here are all
 * members seen side by side, so only here is decided:
 *
 *     a trainer hangs      it owes a move, is still beyond hang_limit () or stalls beyond
 *                          stall_limit (). Those that wait for it in the all-reduce owe nothing.
 *                          Its worker lets the job go, which ends both its processes, and is given
 *                          it again; the others keep their sums.
 *     a collective hangs   its trainer waits for it and it is still: a live one that waits for
 *                          others looks around all the time. The generation breaks, and ABORT ends
 *                          every collective.
 *     nothing moves        all wait, and no collective is at fault that anybody could see: a line
 *                          is cut. The generation breaks, nobody is named.
 *     one does not die     it was killed and has not ended: its worker counts as lost until it has.
 *
 * A slow job is no hanging one: the limits grow with what was seen to end by itself, and with each
 * verdict that did not help (timing.h). */
#include "hang.h"

#include "generation.h"
#include "job.h"
#include "prepare.h"
#include "queue.h"
#include "roster.h"
#include "trust.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* --- limits ----------------------------------------------------------------------------------- */

/* Twice as patient after each round of hangs that brought no step. */
static uint64_t patient (const struct job *job, uint64_t limit_ms)
{
    const struct job_durable *durable = &job->durable;
    uint32_t rounds = job_step (job) > durable->hang_step ? 0 : durable->hang_rounds;
    if (rounds && durable->hang_generation == durable->generation.number)
        rounds--; /* the round that is on */
    return limit_ms << (rounds < COORD_HANG_DOUBLINGS ? rounds : COORD_HANG_DOUBLINGS);
}

uint64_t hang_limit (const struct coord *coord, const struct job *job)
{
    uint64_t longest_ms = COORD_HANG_LONGEST * job->soft.still_longest_ms;
    return patient (job, higher (coord->options.hang_ms, longest_ms));
}

static uint64_t stall_limit (const struct coord *coord, const struct job *job)
{
    uint64_t limit_ms = coord->options.stall_ms;
    if (!job->soft.stepped)
        limit_ms *= COORD_STALL_FIRST;
    return patient (job, higher (limit_ms, COORD_STALL_LONGEST * job->soft.stall_longest_ms));
}

static uint64_t stuck_limit (const struct coord *coord, const struct job *job)
{
    uint64_t longest_ms = job->soft.stuck_longest_ms;
    return patient (job, COORD_HANG_STUCK * higher (coord->options.hang_ms, longest_ms));
}

/* --- what beats tell -------------------------------------------------------------------------- */

static bool is_held (const struct worker *worker)
{
    return !strcmp (worker->process, "stopped") || !strcmp (worker->process, "traced");
}

/* What ended by itself was no hang, and the next one of that length is none either. What the death of
 * the trainer ended may have been one. */
static void learn (struct job *job, const struct worker *worker, const struct mu_wire_beat *beat)
{
    struct job_soft *soft = &job->soft;
    bool same = beat->duty == MU_DUTY_TRAINER;
    bool replaced = beat->job != job->durable.number || beat->phase == MU_PHASE_OPENING;
    if (worker->duty != MU_DUTY_TRAINER || worker->duty_phase == MU_PHASE_OPENING || replaced ||
        is_held (worker))
        return;
    if (!same || beat->still_ms < worker->still_ms)
        soft->still_longest_ms = higher (soft->still_longest_ms, worker->still_ms);
    if (!same || beat->stalled_ms < worker->stalled_ms)
        soft->stall_longest_ms = higher (soft->stall_longest_ms, worker->stalled_ms);
}

/* Stopped from outside, or killed: there is no doubt about it, and no blame. */
static bool is_doubted (const struct worker *worker)
{
    return worker->duty == MU_DUTY_TRAINER && !is_held (worker);
}

/* A trainer that waits for storage, or for data to open, is not at fault. */
static bool is_own_fault (const struct worker *worker)
{
    return is_doubted (worker) && worker->phase != MU_PHASE_OPENING &&
           strcmp (worker->process, "disk") != 0;
}

/* A process that was stopped says by its state that it will not move: nothing to learn from others,
 * nothing to doubt. So does a collective, which looks around all the time. */
static uint64_t still_limit (const struct coord *coord, const struct worker *worker)
{
    bool sure = worker->duty == MU_DUTY_COLLECTIVE || is_held (worker);
    return sure ? coord->options.hang_ms : hang_limit (coord, worker->job);
}

/* --- opening ---------------------------------------------------------------------------------- */

static bool is_opening (const struct worker *worker)
{
    return worker->order == ORDER_ASSIGN && worker->phase == MU_PHASE_OPENING &&
           worker->duty == MU_DUTY_TRAINER && worker->holds == worker->job->durable.number &&
           !worker->lost;
}

/* Trainers that stood still already when one was ended are of one round. */
static bool is_of_newest_round (const struct coord *coord, const struct worker *worker)
{
    const struct job_soft *soft = &worker->job->soft;
    return soft->open_rounds && coord->now_ms < soft->open_hung_ms + worker->still_ms;
}

/* What took longer than that may take as long each time anew. Who hangs is to be named before the order is
 * given up. */
static uint64_t open_limit (const struct coord *coord, const struct worker *worker)
{
    uint64_t rounds = worker->job->soft.open_rounds - is_of_newest_round (coord, worker);
    uint64_t limit_ms = COORD_HANG_OPEN * still_limit (coord, worker)
                        << lower (rounds, COORD_HANG_DOUBLINGS);
    return lower (limit_ms, COORD_PREPARE_LIMIT_MS - COORD_HANG_MS);
}

/* Storage that does not answer explains it, and so does who stopped it. */
static void count_open_round (const struct coord *coord, const struct worker *worker)
{
    struct job_soft *soft = &worker->job->soft;
    if (!is_doubted (worker) || !strcmp (worker->process, "disk") ||
        is_of_newest_round (coord, worker))
        return;
    soft->open_rounds++;
    soft->open_hung_ms = coord->now_ms;
}

/* --- records ---------------------------------------------------------------------------------- */

/* For how long it is to be told that the process has done nothing: *still, or counted nothing. */
static uint64_t idle_ms (const struct coord *coord, const struct worker *worker, bool *still)
{
    *still = worker->duty == MU_DUTY_UNDYING || worker->still_ms >= still_limit (coord, worker);
    return *still ? worker->still_ms : worker->stalled_ms;
}

static void store_hung (struct coord *coord, struct worker *worker, const char *text)
{
    const struct job *job = worker->job;
    bool still;
    struct mu_journal record = {
        .type = MU_JOURNAL_HUNG,
        .hung = { .job = job->durable.number,
                  .generation = job->durable.generation.number,
                  .rank = worker->rank == NONE ? 0 : worker->rank + 1,
                  .duty = worker->duty,
                  .phase = worker->phase,
                  .step = job_step (job),
                  .since_ms = coord->unix_ms - idle_ms (coord, worker, &still),
                  .doubted = is_doubted (worker),
                  .blames = is_own_fault (worker),
                  .time_ms = coord->unix_ms }
    };
    SET (record.hung.worker, worker->name);
    SET (record.hung.process, worker->process);
    SET (record.hung.text, text);
    SET (worker->hung, text);
    core_store (coord, &record);
}

/* Nobody but the system can end that process: the worker is out until it has. */
static void leave_out (struct coord *coord, struct worker *worker)
{
    const char *process = *worker->process ? worker->process : "unknown";
    const char *text = core_text (coord,
                                  "worker %s: a process of it was killed and does not end (%s, as "
                                  "on storage that is gone); the worker is left out until it does",
                                  worker->name, process);
    if (worker->job)
        store_hung (coord, worker, text);
    SET (worker->hung, text);
    roster_lose (coord, worker, false, "has a process that cannot be ended");
}

void hang_hear (struct coord *coord, struct worker *worker, const struct mu_wire_beat *beat)
{
    struct job *job = worker->job;
    enum mu_duty_state before = worker->duty;
    if (job)
        learn (job, worker, beat);
    worker->duty = beat->duty < MU_DUTY_STATES ? (enum mu_duty_state)beat->duty : MU_DUTY_NOBODY;
    worker->duty_phase = beat->phase;
    worker->still_ms = beat->still_ms;
    worker->stalled_ms = beat->stalled_ms;
    SET (worker->process, beat->process);
    if (worker->duty == MU_DUTY_UNDYING && before != MU_DUTY_UNDYING)
        leave_out (coord, worker);
    if (worker->duty != MU_DUTY_UNDYING && before == MU_DUTY_UNDYING) {
        worker->lost = false;
        queue_want (coord);
    }
    if (job && (worker->still_ms >= coord->options.hang_ms ||
                worker->stalled_ms >= coord->options.stall_ms || job->soft.stands))
        job_touch (coord, job);
}

void hang_forget (struct worker *worker)
{
    if (worker->duty == MU_DUTY_UNDYING)
        return;
    worker->duty = MU_DUTY_NOBODY;
    worker->still_ms = worker->stalled_ms = 0;
}

/* --- an all-reduce that nobody moves ---------------------------------------------------------- */

void hang_note_stuck (struct coord *coord, struct job *job, uint64_t stalled_ms)
{
    struct job_soft *soft = &job->soft;
    uint64_t moved_ms = coord->now_ms - (stalled_ms < coord->now_ms ? stalled_ms : coord->now_ms);
    if (!soft->stuck_ms) {
        soft->stuck_ms = coord->now_ms;
    } else if (moved_ms > soft->stuck_ms) {
        soft->stuck_longest_ms = higher (soft->stuck_longest_ms, moved_ms - soft->stuck_ms);
        soft->stuck_ms = moved_ms;
    }
}

void hang_note_step (const struct coord *coord, struct job *job)
{
    struct job_soft *soft = &job->soft;
    if (soft->stuck_ms)
        soft->stuck_longest_ms = higher (soft->stuck_longest_ms, coord->now_ms - soft->stuck_ms);
    soft->stuck_ms = 0;
    soft->stepped = true;
}

bool hang_is_stuck (struct coord *coord, const struct job *job)
{
    uint64_t limit_ms = job->soft.stuck_ms + stuck_limit (coord, job);
    if (!job->soft.stuck_ms)
        return false;
    if (coord->now_ms < limit_ms)
        core_wake (coord, limit_ms);
    return coord->now_ms >= limit_ms;
}

/* --- verdicts --------------------------------------------------------------------------------- */

#define LIMIT   100u
#define SUSPECT 50u /* their beats do not come all at once */

/* ... by so many hundredths of its limit. */
static bool trainer_hangs (const struct coord *coord, const struct worker *worker, uint64_t percent)
{
    const struct job *job = worker->job;
    if (worker->lost || worker->duty != MU_DUTY_TRAINER || worker->order == ORDER_RELEASE ||
        worker->holds != job->durable.number)
        return false;
    if (worker->order == ORDER_ASSIGN) /* stalls are ORDER_ASSIGN's own limit's */
        return is_opening (worker) && worker->still_ms >= open_limit (coord, worker);
    uint64_t stall_percent = job->soft.stepped ? percent : LIMIT; /* it is ten times that anyway */
    return worker->still_ms * 100 >= percent * still_limit (coord, worker) ||
           worker->stalled_ms * 100 >= stall_percent * stall_limit (coord, job);
}

static bool collective_hangs (const struct coord *coord, const struct worker *worker)
{
    const struct job *job = worker->job;
    return !worker->lost && worker->duty == MU_DUTY_COLLECTIVE && worker->rank != NONE &&
           job_has_live_generation (job) && worker->generation == job->durable.generation.number &&
           worker->still_ms >= still_limit (coord, worker);
}

/* Could training go on from what this worker holds? */
static bool holds_state (const struct worker *worker)
{
    const struct job_durable *job = &worker->job->durable;
    if (!worker_is_prepared (worker))
        return false;
    if (job->state == MU_JOB_FORMING)
        return worker->position.step == job->generation.step && !worker->position.blank;
    return worker->rank != NONE || (job->state == MU_JOB_PREPARING && !worker->position.blank);
}

/* Where all that hold the state hang, something common may hold them up, and ending them all costs
 * the way back to a checkpoint: then with more patience. */
static uint64_t patience (const struct coord *coord, const struct job *job)
{
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        const struct worker *worker = job->soft.workers[i];
        if (holds_state (worker) && !trainer_hangs (coord, worker, SUSPECT))
            return LIMIT;
    }
    return COORD_HANG_ALONE * LIMIT;
}

static const char *describe (struct coord *coord, const struct worker *worker, const char *follows)
{
    bool still;
    uint64_t ms = idle_ms (coord, worker, &still);
    return core_text (
        coord, "worker %s: its %s (%s) hangs in phase %s: it has %s for %llu.%llu s; %s",
        worker->name, mu_duty_state_name ((int)worker->duty),
        *worker->process ? worker->process : "state unknown",
        mu_phase_state_name ((int)worker->phase),
        still ? "not moved" : "used the processor and counted no work",
        (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000 / 100), follows);
}

/* It may wait for what comes, so it is given more time than one that trains; but people are told. */
static const char *describe_opening (struct coord *coord, const struct worker *worker)
{
    bool still;
    idle_ms (coord, worker, &still);
    uint64_t limit_ms = still ? open_limit (coord, worker) : COORD_PREPARE_LIMIT_MS;
    uint64_t left_ms = limit_ms - lower (still ? worker->still_ms : worker->stalled_ms, limit_ms);
    return describe (
        coord, worker,
        core_text (coord,
                   "%sa plug-in's open () or init () that does not return; it is ended in %llu s",
                   still ? "data on slow storage does that, or " : "that is ",
                   (unsigned long long)(left_ms / 1000 + 1)));
}

static bool opens_in_vain (const struct coord *coord, const struct worker *worker)
{
    return is_opening (worker) && (worker->still_ms >= still_limit (coord, worker) ||
                                   worker->stalled_ms >= coord->options.stall_ms);
}

/* Who stands still, where all do and none is ended yet; or opens the job and stands. */
static void note_standstill (struct coord *coord, struct job *job, uint64_t percent)
{
    const char *text = "";
    for (uint32_t i = 0; i < job->soft.worker_count && !*text; i++)
        if (opens_in_vain (coord, job->soft.workers[i]))
            text = describe_opening (coord, job->soft.workers[i]);
    for (uint32_t i = 0; i < job->soft.worker_count && percent > LIMIT && !*text; i++)
        if (trainer_hangs (coord, job->soft.workers[i], LIMIT))
            text = describe (coord, job->soft.workers[i],
                             core_text (coord,
                                        "nobody that holds the job's state moves: all are given %u "
                                        "times as long as one",
                                        COORD_HANG_ALONE));
    job_note (&job->soft.stands, text);
}

/* Why its generation breaks, in short: the record before tells the rest. */
static const char *condemn (struct coord *coord, struct worker *worker)
{
    bool opening = worker->order == ORDER_ASSIGN;
    bool trainer = worker->duty == MU_DUTY_TRAINER;
    const char *why = core_text (coord, "the %s of worker %s hangs",
                                 mu_duty_state_name ((int)worker->duty), worker->name);
    store_hung (coord, worker,
                describe (coord, worker,
                          opening   ? "the job goes on without it for a while"
                          : trainer ? "it is ended and replaced"
                                    : "a new generation is formed"));
    uint64_t still_ms = worker->still_ms;
    if (opening)
        count_open_round (coord, worker);
    hang_forget (worker);
    trust_blame (coord, worker, core_text (coord, "its %s hung", trainer ? "trainer" : "collective"));
    if (opening)
        worker_refuse (coord, worker, COORD_COOL_OFF_MS,
                       core_text (coord,
                                  "its trainer (%s) hung while it opened the job: it had not moved "
                                  "for %llu s",
                                  *worker->process ? worker->process : "state unknown",
                                  (unsigned long long)still_ms / 1000));
    if (trainer)
        worker_release (coord, worker, !opening && !trust_spares (coord, worker));
    return why;
}

/* Of the first of them; NULL: nobody hangs. *member: one of them has a rank. */
static const char *condemn_all (struct coord *coord, const struct job *job, uint64_t percent,
                                bool *member)
{
    const char *first = NULL;
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        struct worker *worker = job->soft.workers[i];
        if (!trainer_hangs (coord, worker, percent) && !collective_hangs (coord, worker))
            continue;
        *member = *member || worker->rank != NONE;
        const char *why = condemn (coord, worker);
        first = first ? first : why;
    }
    return first;
}

static void fail_hanging (struct coord *coord, struct job *job, uint32_t times, const char *when,
                          const char *advice)
{
    job_stop (coord, job, MU_JOB_FAILED, MU_FAILED,
              core_text (coord, "A trainer hung %u times %s, last %s. %s", times, when,
                         job_noted (job->durable.hung), advice));
}

bool hang_mend (struct coord *coord, struct job *job)
{
    bool member = false;
    uint64_t percent = patience (coord, job);
    const char *why = condemn_all (coord, job, percent, &member);
    note_standstill (coord, job, percent);
    if (!why)
        return false;
    job_touch (coord, job);
    if (!job->durable.generation.number && job->soft.open_rounds >= COORD_HANGS_MAX) {
        fail_hanging (coord, job, job->soft.open_rounds, "while it opened the job",
                      "A plug-in's open () and init () must not wait for anything slow; if it has "
                      "to, start the coordinator with a larger --hang-ms.");
        return true;
    }
    if (job->durable.hang_blows >= COORD_HANGS_MAX) {
        fail_hanging (coord, job, job->durable.hang_blows, "without a step between",
                      "If it only waits for something slow, start the coordinator with a larger "
                      "--hang-ms.");
        return true;
    }
    if (!member || !job_has_live_generation (job))
        return false;
    generation_break (coord, job, false, why);
    return true;
}
