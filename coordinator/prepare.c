/* SPDX-License-Identifier: Apache-2.0 */
/* prepare.c - a worker and its job: ASSIGN, PREPARED, FAILED, CRASHED, RELEASED
 *
 * An assigned worker opens the job's trainer and says what it found. The first to say so sizes the
 * job; all others must have found the same data and the same model. Which worker has which job is
 * not journalled before FORM: after a restart, a worker that still holds a trainer says so, and
 * worker_claim () gives it its job back. */
#include "prepare.h"

#include "ahead.h"
#include "audit.h"
#include "doubt.h"
#include "generation.h"
#include "job.h"
#include "orders.h"
#include "overdue.h"
#include "poison.h"
#include "proof.h"
#include "queue.h"
#include "roster.h"
#include "trust.h"
#include "unsound.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* --- attach and detach ------------------------------------------------------------------------ */

void worker_attach (struct worker *worker, struct job *job)
{
    struct job_soft *soft = &job->soft;
    assert (!worker->job && worker->order == ORDER_NONE);
    soft->workers = core_grow (soft->workers, soft->worker_count, &soft->worker_capacity,
                               sizeof (struct worker *));
    worker->slot = soft->worker_count;
    soft->workers[soft->worker_count++] = worker;
    worker->job = job;
    worker->rank = NONE;
    worker->again = worker->opened = false;
    worker->unseen = worker->halts = false;
    worker->times_kept = 0;
    worker->finished = worker->reducing = worker->idle = false;
    worker->doubts = 0;
    worker->position = (struct position){ 0 };
    memset (worker->kept, 0, sizeof worker->kept);
    worker->pace = (struct pace){ 0 };
}

static void leave_rank (struct worker *worker)
{
    struct job_soft *soft = &worker->job->soft;
    if (worker->rank == NONE)
        return;
    soft->ranks[worker->rank] = NULL;
    soft->finished -= worker->finished;
    soft->reducing -= worker->reducing;
    soft->idle -= worker->idle;
    worker->finished = worker->reducing = worker->idle = false;
    worker->rank = NONE;
}

void worker_detach (struct coord *coord, struct worker *worker)
{
    struct job *job = worker->job;
    order_clear (worker);
    if (!job)
        return;
    struct job_soft *soft = &job->soft;
    leave_rank (worker);
    ahead_without (job, worker);
    struct worker *last = soft->workers[--soft->worker_count];
    soft->workers[worker->slot] = last;
    last->slot = worker->slot;
    worker->job = NULL;
    overdue_leaves (coord, job, worker);
    worker->yields = worker->again = false;
    worker->yields_to = 0;
    job_touch (coord, job);
    queue_want (coord);
}

/* --- orders ----------------------------------------------------------------------------------- */

void worker_assign (struct coord *coord, struct worker *worker, struct job *job)
{
    worker_attach (worker, job);
    order_give (coord, worker, ORDER_ASSIGN);
}

void worker_release (struct coord *coord, struct worker *worker, bool again)
{
    uint64_t number = worker->job->durable.number;
    if (worker->order == ORDER_RELEASE && worker->again == again)
        return;
    leave_rank (worker);
    order_give (coord, worker, ORDER_RELEASE);
    worker->letting_go = number;
    worker->again = again;
    order_say (coord, worker);
}

static void release_stray (struct coord *coord, struct worker *worker)
{
    order_give (coord, worker, ORDER_RELEASE);
    worker->letting_go = worker->holds;
    worker->again = false;
    order_say (coord, worker);
}

bool worker_is_prepared (const struct worker *worker)
{
    return worker->job && worker->order != ORDER_ASSIGN && worker->order != ORDER_RELEASE;
}

void worker_refuse (struct coord *coord, struct worker *worker, uint64_t for_ms, const char *why)
{
    uint64_t job = worker->job->durable.number;
    struct mu_journal record = { .type = MU_JOURNAL_TURNED_AWAY,
                                 .turned_away = { .job = job,
                                                  .incarnation = worker->incarnation,
                                                  .for_ms = for_ms,
                                                  .time_ms = coord->unix_ms } };
    SET (record.turned_away.worker, worker->name);
    record.turned_away.text =
        core_blob (for_ms ? core_text (coord, "worker %s is not given the job for %llu s: %s",
                                       worker->name, (unsigned long long)for_ms / 1000, why)
                          : core_text (coord, "worker %s is not given the job any more: %s",
                                       worker->name, why));
    core_store (coord, &record);
    worker->refused_job = job;
    worker->refused_until_ms = coord->now_ms + (for_ms ? for_ms : UINT32_MAX);
    worker->refused_for_good = !for_ms;
    SET (worker->refused, why);
    queue_want (coord);
}

void worker_turn_away (struct coord *coord, struct worker *worker, const char *why)
{
    trust_blame (coord, worker, why);
    worker_refuse (coord, worker, COORD_COOL_OFF_MS, why);
    worker_release (coord, worker, false);
}

void worker_reprepare (struct coord *coord, struct worker *worker)
{
    struct job *job = worker->job;
    bool member = worker->rank != NONE && job_has_live_generation (job);
    leave_rank (worker);
    worker->doubts = 0;
    worker->opened = worker->unseen = false;
    memset (worker->kept, 0, sizeof worker->kept);
    order_give (coord, worker, ORDER_ASSIGN);
    if (member)
        generation_break (coord, job, false,
                          core_text (coord, "the trainer of worker %s ended", worker->name));
    job_touch (coord, job);
}

/* Steps that are in no checkpoint, and that nobody else has brought: one that is doubted may hold them alone. */
bool worker_brings_steps (const struct job *job, const struct worker *worker)
{
    if (job_has_live_generation (job) || worker->holds != job->durable.number ||
        worker->step <= job_committed_step (job))
        return false;
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        const struct worker *other = job->soft.workers[i];
        if (worker_is_prepared (other) && other->position.step >= worker->step)
            return false;
    }
    return true;
}

/* Others have all the places and must load a checkpoint, or it is to leave: it comes all the same, with what was
 * trained since, which can be saved then. docs/decisions/0074. */
static bool comes_all_the_same (const struct job *job, const struct worker *worker)
{
    enum mu_job_state state = job->durable.state;
    return (state == MU_JOB_PREPARING || state == MU_JOB_PENDING) &&
           worker_brings_steps (job, worker);
}

static bool goes_first (const struct worker *worker, const struct worker *other)
{
    if (worker_is_prepared (worker) != worker_is_prepared (other))
        return worker_is_prepared (other);
    return worker->position.step < other->position.step;
}

/* If it still has all that it may have: who has opened nothing yet, or stands furthest back, gives way. */
static void make_place (const struct coord *coord, struct job *job)
{
    struct worker *last = NULL;
    uint32_t staying = 0;
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        struct worker *worker = job->soft.workers[i];
        if (worker_leaves (coord, worker) || (worker->order == ORDER_RELEASE && !worker->again))
            continue;
        staying++;
        if (!last || goes_first (worker, last))
            last = worker;
    }
    if (staying >= queue_useful_max (job))
        last->yields = true;
}

static bool may_have (struct coord *coord, const struct job *job, const struct worker *worker)
{
    if (job_ended (job) || job->durable.state == MU_JOB_STOPPING ||
        job->durable.state == MU_JOB_PAUSED || job->durable.target != MU_JOB_PENDING ||
        !queue_accepts (coord, job, worker))
        return false;
    if (job->soft.worker_count >= queue_useful_max (job) || worker_leaves (coord, worker))
        return comes_all_the_same (job, worker);
    return trust_takes (coord, job, worker) || worker_brings_steps (job, worker);
}

void worker_claim (struct coord *coord, struct worker *worker)
{
    if (!worker->holds || worker->job || worker->order != ORDER_NONE ||
        worker->duty == MU_DUTY_UNDYING)
        return;
    struct job *job = core_job (coord, worker->holds);
    if (!job || !may_have (coord, job, worker)) {
        release_stray (coord, worker);
        return;
    }
    if (worker->generation) /* it still trains in one that is over: that ends first (roster.c) */
        return;
    if (worker_leaves (coord, worker))
        job->soft.save_done = false; /* what others held */
    else
        make_place (coord, job);
    if (job->durable.state == MU_JOB_PENDING)
        job_move (coord, job, MU_JOB_PREPARING, MU_JOB_PENDING, MU_OK, "");
    worker_assign (coord, worker, job);
}

/* --- PREPARED --------------------------------------------------------------------------------- */

static uint64_t steps_of (const struct job_durable *job, uint64_t records)
{
    if (job->steps)
        return job->steps;
    double steps = job->epochs * (double)records / (double)job->global_batch;
    if (!(steps < 1e15))
        return (uint64_t)1 << 49;
    if (steps <= 0)
        return 1;
    uint64_t whole = (uint64_t)steps;
    if ((double)whole < steps)
        whole++;
    return whole;
}

static void size_job (struct coord *coord, struct job *job, const struct worker *worker,
                      const struct mu_wire_prepared *prepared)
{
    struct mu_journal record = { .type = MU_JOURNAL_SIZED,
                                 .sized = { .job = job->durable.number,
                                            .records = prepared->records,
                                            .parameters = prepared->parameters,
                                            .targets = prepared->targets,
                                            .steps =
                                                steps_of (&job->durable, prepared->records) } };
    if (prepared->records < job->durable.global_batch) {
        job_stop (coord, job, MU_JOB_FAILED, MU_BAD_INPUT,
                  core_text (coord,
                             "The data holds %llu records, fewer than one batch of %u: make "
                             "batch.global smaller or give more data.",
                             (unsigned long long)prepared->records, job->durable.global_batch));
        return;
    }
    SET (record.sized.data_identity, prepared->data_identity);
    SET (record.sized.compute_class, job->durable.portable ? "portable"
                                     : job->durable.mixed  ? "mixed"
                                                           : worker->compute_class);
    core_store (coord, &record);
    job_note (&job->soft.sized_by, worker->name);
}

/* Behind the data's identity stands that of a plug-in's build, if the trainer is one. */
static const char *build_of (const char *identity)
{
    const char *star = strchr (identity, '*');
    return star ? star : identity + strlen (identity);
}

static bool is_same_data (const struct job_durable *job, const struct mu_wire_prepared *prepared)
{
    const char *ours = job_noted (job->data_identity), *theirs = prepared->data_identity;
    size_t size = (size_t)(build_of (ours) - ours);
    return job->records == prepared->records && job->targets == prepared->targets &&
           size == (size_t)(build_of (theirs) - theirs) && !memcmp (ours, theirs, size);
}

/* Two machines never have the same file, and may compute the same. */
static bool is_for_another_machine (const char *ours, const char *theirs)
{
    const char *end = strchr (ours, '-');
    return end && strncmp (ours, theirs, (size_t)(end + 1 - ours)) != 0;
}

/* A job that is older than this comparison has none, and takes all. */
static bool is_same_build (const struct job_durable *job, const struct mu_wire_prepared *prepared)
{
    const char *ours = build_of (job_noted (job->data_identity));
    const char *theirs = build_of (prepared->data_identity);
    return !*ours || !*theirs || is_for_another_machine (ours, theirs) || !strcmp (ours, theirs);
}

static bool is_same (const struct job_durable *job, const struct mu_wire_prepared *prepared)
{
    return is_same_data (job, prepared) && is_same_build (job, prepared) &&
           job->parameters == prepared->parameters;
}

static const char *say_difference (struct coord *coord, const struct job *job,
                                   const struct worker *worker,
                                   const struct mu_wire_prepared *prepared)
{
    const struct job_durable *durable = &job->durable;
    const char *first = job->soft.sized_by ? job->soft.sized_by : "an earlier worker";
    if (!is_same_data (durable, prepared))
        return core_text (
            coord,
            "Worker %s has other data or another model than %s: data %s with %llu records and %llu "
            "parameters, against data %s with %llu records and %llu parameters. Give all workers "
            "the same file.",
            worker->name, first, prepared->data_identity, (unsigned long long)prepared->records,
            (unsigned long long)prepared->parameters, job_noted (durable->data_identity),
            (unsigned long long)durable->records, (unsigned long long)durable->parameters);
    if (is_same_build (durable, prepared))
        return core_text (
            coord,
            "Worker %s has another model than %s, of the same data: %llu parameters against %llu. "
            "A trainer's model must follow from the job file and the data alone.",
            worker->name, first, (unsigned long long)prepared->parameters,
            (unsigned long long)durable->parameters);
    return core_text (
        coord,
        "Worker %s has another build of the trainer than %s (%s against %s). Give all workers the "
        "same file; if it was built anew, put back what the job began with, or go on with the new "
        "one in a new job, by checkpoint.resume.",
        worker->name, first, build_of (prepared->data_identity),
        build_of (job_noted (durable->data_identity)));
}

/* Before the first generation it is anybody's guess who is right: the job fails. Later the odd one
 * is not taken. */
static void refuse_different (struct coord *coord, struct job *job, struct worker *worker,
                              const struct mu_wire_prepared *prepared)
{
    const struct job_durable *durable = &job->durable;
    const char *text = say_difference (coord, job, worker, prepared);
    if (durable->generation.number == 0) {
        job_stop (coord, job, MU_JOB_FAILED, MU_CONFLICT, text);
        return;
    }
    worker_refuse (coord, worker, 0, text);
    job_note (&job->soft.why, text);
    worker_release (coord, worker, false);
}

bool worker_is_beyond (struct coord *coord, struct worker *worker, uint64_t step)
{
    struct job *job = worker->job;
    if (step <= job->durable.steps)
        return false;
    worker_turn_away (coord, worker,
                      core_text (coord, "it says that it has done %llu of %llu steps",
                                 (unsigned long long)step, (unsigned long long)job->durable.steps));
    job_touch (coord, job);
    return true;
}

/* It answers another order than the newest: since then it was told other things. */
static bool is_of_the_past (const struct coord *coord, const struct worker *worker,
                            const struct mu_wire *wire, uint64_t order)
{
    return order != worker->order_number || wire->term != coord->durable.term;
}

void prepare_prepared (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_prepared *prepared = &wire->prepared;
    struct job *job = worker->job;
    if (!job || prepared->job != job->durable.number || worker->order != ORDER_ASSIGN ||
        is_of_the_past (coord, worker, wire, prepared->order))
        return; /* late, of a trainer before this one, or of a job that it was let go from */
    if (!job->durable.sized)
        size_job (coord, job, worker, prepared);
    if (job->durable.state == MU_JOB_STOPPING)
        return;
    if (!is_same (&job->durable, prepared)) {
        refuse_different (coord, job, worker, prepared);
        job_touch (coord, job);
        return;
    }
    if (worker_is_beyond (coord, worker, prepared->step))
        return;
    order_clear (worker);
    job->soft.open_rounds = 0;
    worker->holds = prepared->job;
    worker->opened = true;
    if (!prepared->blank)
        worker->anew = 0;
    worker->position = (struct position){
        .step = prepared->step,
        .attempt = prepared->attempt,
        .lineage = *prepared->digest ? index_hash_text (prepared->digest) : 0,
        .distrusted = prepared->distrusted,
        .blank = prepared->blank,
        .unsound = prepared->unsound,
    };
    SET (worker->position.unread, prepared->unread);
    if (unsound_was_loaded (job, prepared))
        worker_release (coord, worker, true);
    else
        proof_loaded (coord, worker, prepared);
    job_touch (coord, job);
}

/* --- the end of a trainer --------------------------------------------------------------------- */

/* Somebody else goes on with the state that the generation has. */
static bool is_survived (const struct job *job, const struct worker *worker)
{
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        const struct worker *other = job->soft.workers[i];
        if (other != worker && other->rank != NONE && !other->lost && worker_is_prepared (other))
            return true;
    }
    return false;
}

/* What was right for others, who trained with it, is wrong on this host: a file that it does not have,
 * storage that is not mounted or cannot be read. */
static bool is_its_own_failure (const struct job *job, const struct worker *worker,
                                const struct mu_wire_failed *failed)
{
    if (worker->order == ORDER_ASSIGN)
        return job->durable.generation.number != 0;
    return is_survived (job, worker) &&
           (failed->code == MU_IO || doubt_is_its_own (job, worker, failed->at));
}

/* The job is not this worker's for a while; then it is tried again, as the host may be mended. What may have been
 * its memory's fault is tried again at once, with another trainer, where the job cannot do without. */
static void do_without (struct coord *coord, struct job *job, struct worker *worker, bool in_step,
                        const char *why)
{
    bool member = worker->rank != NONE && job_has_live_generation (job);
    if (!in_step || job_can_spare (job))
        worker_refuse (coord, worker, COORD_COOL_OFF_MS, why);
    worker_release (coord, worker, false);
    if (member)
        generation_break (
            coord, job, false,
            core_text (coord, "worker %s cannot go on with it: %s", worker->name, why));
    job_touch (coord, job);
}

void prepare_failed (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_failed *failed = &wire->failed;
    struct job *job = worker->job;
    if (!job || failed->job != job->durable.number || worker->order == ORDER_RELEASE ||
        job->durable.state == MU_JOB_STOPPING)
        return;
    if (failed->at && audit_is_tainted (job, worker)) { /* of a state that is given up already */
        worker_release (coord, worker, true);
        return;
    }
    uint32_t code = failed->code ? failed->code : MU_FAILED;
    const char *why =
        core_text (coord, "%.*s", (int)failed->text.size, (const char *)failed->text.data);
    const char *text = core_text (coord, "Worker %s: %s", worker->name, why);
    if (is_its_own_failure (job, worker, failed)) {
        bool in_step = worker->order != ORDER_ASSIGN && code != MU_IO;
        if (in_step)
            doubt_refused (job, worker, failed->at);
        job_note (&job->soft.why, text);
        do_without (coord, job, worker, in_step, why);
        return;
    }
    if (doubt_goes_back (coord, job, worker, failed->at, text)) {
        worker_release (coord, worker, true);
        return;
    }
    job_stop (coord, job, MU_JOB_FAILED, (enum mu_code)code, text);
}

/* CRASHED is said again until the worker is told what to do. Each trainer has a number; where that is
 * not known, a second one counts only once the next trainer was heard of, or had the time to start. */
static bool is_repeated (const struct coord *coord, const struct worker *worker,
                         const struct mu_wire_crashed *crashed)
{
    if (crashed->trainer)
        return crashed->trainer <= worker->buried;
    return worker->order == ORDER_ASSIGN && !worker->opened &&
           coord->now_ms < worker->order_since_ms + COORD_REPEAT_MS;
}

static bool is_too_much (const struct job_durable *job)
{
    return job->crashes >= COORD_CRASHES_MAX || job->accusations >= COORD_ACCUSED_MAX;
}

/* Its number stays known when it is heard again, or one death would be two blows. */
static void store_crash (struct coord *coord, struct job *job, struct worker *worker,
                         const struct mu_wire_crashed *crashed, struct mu_journal *record)
{
    uint64_t step = crashed->step > job->soft.step ? crashed->step : job->soft.step;
    *record = (struct mu_journal){ .type = MU_JOURNAL_CRASH,
                                   .crash = { .job = job->durable.number,
                                              .text = crashed->text,
                                              .time_ms = coord->unix_ms,
                                              .incarnation = worker->incarnation,
                                              .trainer = crashed->trainer } };
    SET (record->crash.worker, worker->name);
    poison_suspects (coord, &job->durable, crashed, &record->crash);
    record->crash.step = record->crash.suspect_step > step ? record->crash.suspect_step : step;
    worker->buried = crashed->trainer;
    core_store (coord, record);
}

/* It was the trainer, if it ends so on one after the other: each is forgiven one death, so that the next job
 * has them all. Who has more keeps the rest. */
static void forgive (const struct coord *coord, const struct job *job)
{
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        if (job->soft.workers[i]->buried)
            trust_forgive (coord, job->soft.workers[i]);
}

static void fail_crashed (struct coord *coord, struct job *job, const struct worker *worker,
                          const struct mu_wire_crashed *crashed)
{
    forgive (coord, job);
    job_stop (coord, job, MU_JOB_FAILED, MU_FAILED,
              core_text (coord,
                         "The trainer ended by itself %u times without a step between, last on "
                         "worker %s%s: %.*s",
                         job->durable.crashes + job->durable.accusations, worker->name,
                         poison_in_flight (coord, &job->durable, crashed), (int)crashed->text.size,
                         (const char *)crashed->text.data));
}

/* No trainer gets as far as a step on this host, for want of memory or files, say; elsewhere they did. */
static bool is_its_own_crash (const struct job *job, const struct worker *worker,
                              const struct mu_wire_crashed *crashed)
{
    return worker->order == ORDER_ASSIGN && !worker->opened && !crashed->suspects.size &&
           job->durable.generation.number;
}

void prepare_crashed (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_crashed *crashed = &wire->crashed;
    struct job *job = worker->job;
    struct mu_journal record;
    worker->holds = 0;
    if (!job || crashed->job != job->durable.number || worker->order == ORDER_RELEASE ||
        job->durable.state == MU_JOB_STOPPING || is_repeated (coord, worker, crashed))
        return;
    store_crash (coord, job, worker, crashed, &record);
    uint32_t guilty = record.crash.suspects.size ? poison_guilty (job) : NONE;
    if (guilty != NONE && !poison_may_skip (&job->durable)) {
        poison_fail (coord, job, guilty, &record.crash);
        return;
    }
    if (guilty == NONE && is_too_much (&job->durable)) {
        if (is_its_own_crash (job, worker, crashed)) {
            const char *why = "its trainers end before they have opened a job";
            trust_blame (coord, worker, why);
            do_without (coord, job, worker, false, why);
            return;
        }
        fail_crashed (coord, job, worker, crashed);
        return;
    }
    if (guilty == NONE)
        trust_blame (coord, worker, "its trainer ended by itself");
    worker_reprepare (coord, worker);
    if (guilty != NONE)
        poison_leave_out (coord, job, guilty, &record.crash);
    else if (trust_spares (coord, worker))
        worker_release (coord, worker, false);
}

void prepare_released (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    struct job *job = worker->job;
    if (is_of_the_past (coord, worker, wire, wire->released.order))
        return;
    if (worker->order != ORDER_RELEASE || worker->letting_go != wire->released.job) {
        /* Its answer to an order about a job that it does not hold. */
        if (worker_is_prepared (worker) && job->durable.number == wire->released.job)
            worker_reprepare (coord, worker);
        return;
    }
    bool again = job && worker->again && job->durable.state != MU_JOB_STOPPING;
    worker_detach (coord, worker);
    worker->holds = 0;
    worker->generation = 0;
    worker->yields = false;
    if (again && !worker_leaves (coord, worker))
        worker_assign (coord, worker, job);
    queue_want (coord);
}
