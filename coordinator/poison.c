/* SPDX-License-Identifier: Apache-2.0 */
/* poison.c - a micro-batch that kills every trainer that computes it
 *
 * A trainer that dies by its own doing accuses the micro-batches that it had in flight, one a
 * thread. From then on each of them is computed alone (FORM says which), before all others and by a
 * worker that it has not killed yet, so the next death accuses one. A micro-batch is guilty when it
 * was in flight at COORD_STRIKES deaths, nothing else was in flight at all of them, and they were
 * on different workers, as far as the job has that many.
 *
 * A signal from outside, SIGKILL above all, accuses nothing: an operator's or the kernel's choice
 * must never decide what a job is trained on. A death is known by worker, incarnation and number,
 * so that one that is told twice is one.
 *
 * What is left out stays left out, whatever happens: all members of a generation have the same list
 * from its FORM, and none trains when the list grows. So no step is ever made both ways. */
#include "poison.h"

#include "generation.h"
#include "job.h"
#include "prepare.h"
#include "roster.h"
#include "shards.h"
#include "trust.h"

#include <signal.h>
#include <sys/wait.h>

#define SET(field, text) mu_text_set (field, sizeof (field), text)
#define SKIP_BYTES       12u

static bool has (const uint8_t *bits, uint32_t m) { return (bits[m / 8] >> m % 8 & 1) != 0; }

/* --- what a death accuses --------------------------------------------------------------------- */

static bool is_own_doing (uint32_t status)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
    if (!WIFSIGNALED ((int)status))
        return true;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (WTERMSIG ((int)status) == own[i])
            return true;
    return false;
}

static bool is_skipped (const struct job_durable *job, uint64_t step, uint32_t m)
{
    for (uint32_t i = 0; i < job->skip_count; i++)
        if (job->skips[i].step == step && job->skips[i].micro_batch == m)
            return true;
    return false;
}

void poison_suspects (struct coord *coord, const struct job_durable *job,
                      const struct mu_wire_crashed *crashed, struct mu_journal_crash *crash)
{
    uint8_t *suspects = core_scratch (coord, KEPT_BYTES);
    const uint8_t *said = crashed->suspects.data;
    bool any = false;
    memset (suspects, 0, KEPT_BYTES);
    for (uint32_t m = 0; m < job->micro_batches && m / 8 < crashed->suspects.size; m++)
        if (has (said, m) && !is_skipped (job, crashed->suspect_step, m)) {
            suspects[m / 8] |= (uint8_t)(1u << m % 8);
            any = true;
        }
    bool timely = crashed->suspect_step >= job->generation.step && /* else others have done it */
                  crashed->suspect_step < job->generation.until_step;
    if (!any || !timely || !is_own_doing (crashed->status))
        return;
    crash->suspect_step = crashed->suspect_step;
    crash->suspects = (struct mu_blob){ suspects, (job->micro_batches + 7) / 8 };
    crash->records = crashed->records;
}

const char *poison_in_flight (struct coord *coord, const struct job_durable *job,
                              const struct mu_wire_crashed *crashed)
{
    const char *list = "";
    for (uint32_t m = 0; m < job->micro_batches && m / 8 < crashed->suspects.size; m++)
        if (has (crashed->suspects.data, m) && strlen (list) < 40)
            list = core_text (coord, "%s%s%u", list, *list ? ", " : "", m);
    if (!*list)
        return "";
    return core_text (coord, " (step %llu, micro-batch %s in flight)",
                      (unsigned long long)crashed->suspect_step, list);
}

/* --- apply ------------------------------------------------------------------------------------ */

void poison_forget (struct job_durable *job) { job->suspicion.count = 0; }

static bool is_known (const struct suspicion *suspicion, const struct mu_journal_crash *crash)
{
    for (uint32_t i = 0; i < suspicion->count; i++) {
        const struct strike *strike = &suspicion->strikes[i];
        if (strike->incarnation == crash->incarnation && strike->trainer == crash->trainer &&
            !strcmp (strike->worker, crash->worker))
            return true;
    }
    return false;
}

bool poison_accuse (struct job_durable *job, const struct mu_journal_crash *crash)
{
    struct suspicion *suspicion = &job->suspicion;
    if (suspicion->step != crash->suspect_step)
        poison_forget (job);
    suspicion->step = crash->suspect_step;
    if (is_known (suspicion, crash))
        return false;
    suspicion->strikes = core_grow (suspicion->strikes, suspicion->count, &suspicion->capacity,
                                    sizeof *suspicion->strikes);
    struct strike *strike = &suspicion->strikes[suspicion->count++];
    *strike = (struct strike){ .incarnation = crash->incarnation, .trainer = crash->trainer };
    SET (strike->worker, crash->worker);
    memcpy (strike->suspects, crash->suspects.data,
            crash->suspects.size < KEPT_BYTES ? crash->suspects.size : KEPT_BYTES);
    return true;
}

void poison_skip (struct job_durable *job, uint64_t step, uint32_t micro_batch)
{
    job->skips = core_grow (job->skips, job->skip_count, &job->skip_capacity, sizeof *job->skips);
    job->skips[job->skip_count++] = (struct skip){ step, micro_batch };
    for (uint32_t i = 0; i < job->suspicion.count && job->suspicion.step == step; i++)
        job->suspicion.strikes[i].suspects[micro_batch / 8] &= (uint8_t) ~(1u << micro_batch % 8);
    job->crashes = job->accusations = 0;
}

/* --- the verdict ------------------------------------------------------------------------------ */

static bool has_struck (const struct suspicion *suspicion, const char *worker)
{
    for (uint32_t i = 0; i < suspicion->count; i++)
        if (!strcmp (suspicion->strikes[i].worker, worker))
            return true;
    return false;
}

/* Has this micro-batch killed a trainer of this worker, in the first `count` deaths? */
static bool has_killed (const struct suspicion *suspicion, uint32_t count, const char *worker,
                        uint32_t m)
{
    for (uint32_t i = 0; i < count; i++)
        if (has (suspicion->strikes[i].suspects, m) &&
            !strcmp (suspicion->strikes[i].worker, worker))
            return true;
    return false;
}

/* Workers whose trainers it must have killed: those that could have computed it. */
static uint32_t workers_needed (const struct job *job)
{
    uint32_t able = 0;
    for (uint32_t i = 0; i < job->soft.worker_count; i++)
        able += worker_is_prepared (job->soft.workers[i]) ||
                has_struck (&job->durable.suspicion, job->soft.workers[i]->name);
    return able < COORD_STRIKES ? able : COORD_STRIKES;
}

/* Was nothing else in flight at all the deaths at which m was? */
static bool is_alone (const struct suspicion *suspicion, uint32_t m)
{
    uint8_t common[KEPT_BYTES];
    memset (common, 0xff, sizeof common);
    for (uint32_t i = 0; i < suspicion->count; i++)
        for (uint32_t b = 0; b < KEPT_BYTES && has (suspicion->strikes[i].suspects, m); b++)
            common[b] &= suspicion->strikes[i].suspects[b];
    common[m / 8] ^= (uint8_t)(1u << m % 8);
    for (uint32_t b = 0; b < KEPT_BYTES; b++)
        if (common[b])
            return false;
    return true;
}

static bool is_guilty (const struct suspicion *suspicion, uint32_t m, uint32_t workers)
{
    uint32_t deaths = 0, different = 0;
    for (uint32_t i = 0; i < suspicion->count; i++) {
        if (!has (suspicion->strikes[i].suspects, m))
            continue;
        deaths++;
        different += !has_killed (suspicion, i, suspicion->strikes[i].worker, m);
    }
    return deaths >= COORD_STRIKES && different >= workers && is_alone (suspicion, m);
}

uint32_t poison_guilty (const struct job *job)
{
    const struct suspicion *suspicion = &job->durable.suspicion;
    uint32_t workers = workers_needed (job);
    for (uint32_t m = 0; m < job->durable.micro_batches && suspicion->count >= COORD_STRIKES; m++)
        if (is_guilty (suspicion, m, workers))
            return m;
    return NONE;
}

bool poison_may_skip (const struct job_durable *job) { return job->skip_count < job->poison_limit; }

/* --- what becomes of it ----------------------------------------------------------------------- */

static const char *name_workers (struct coord *coord, const struct suspicion *suspicion, uint32_t m)
{
    const char *names = "";
    for (uint32_t i = 0; i < suspicion->count && strlen (names) < 128; i++)
        if (has (suspicion->strikes[i].suspects, m) &&
            !has_killed (suspicion, i, suspicion->strikes[i].worker, m))
            names = core_text (coord, "%s%s%s", names, *names ? ", " : "",
                               suspicion->strikes[i].worker);
    return names;
}

/* At most so many bytes of it, and no half of a character. */
static const char *cut (struct coord *coord, struct mu_blob text, uint32_t size)
{
    char *copy = core_scratch (coord, (size_t)text.size + 1);
    if (text.size)
        memcpy (copy, text.data, text.size);
    copy[text.size] = '\0';
    char *shorter = core_scratch (coord, size + 1);
    mu_text_set (shorter, size + 1, copy);
    return shorter;
}

static void store (struct coord *coord, const struct job *job, uint32_t m, bool skipped,
                   const char *workers, const struct mu_journal_crash *crash)
{
    struct mu_journal record = { .type = MU_JOURNAL_POISON,
                                 .poison = { .job = job->durable.number,
                                             .step = job->durable.suspicion.step,
                                             .micro_batch = m,
                                             .skipped = skipped,
                                             .records = crash->records,
                                             .text = crash->text,
                                             .time_ms = coord->unix_ms } };
    SET (record.poison.workers, workers);
    core_store (coord, &record);
}

/* It was not the workers' fault; the newest death was not laid to anybody yet. NONE: that of no micro-batch. */
static void forgive (struct coord *coord, const struct suspicion *suspicion, uint32_t m)
{
    for (uint32_t i = 0; i + 1 < suspicion->count; i++) {
        struct worker *worker = roster_by_name (coord, suspicion->strikes[i].worker);
        if (worker && (m == NONE || has (suspicion->strikes[i].suspects, m)))
            trust_forgive (coord, worker);
    }
}

void poison_fail (struct coord *coord, struct job *job, uint32_t m,
                  const struct mu_journal_crash *crash)
{
    const struct job_durable *durable = &job->durable;
    const char *workers = name_workers (coord, &durable->suspicion, m);
    const char *records =
        crash->records.size ? cut (coord, crash->records, 300) : "records unknown";
    const char *advice = "Mend or remove these records, mend the trainer, or leave the micro-batch "
                         "out with `poison: skip`.";
    if (durable->poison_limit)
        advice = core_text (
            coord, "The job has left out %u before (poison_limit): rather mend the trainer.",
            durable->skip_count);
    forgive (coord, &durable->suspicion, NONE);
    store (coord, job, m, false, workers, crash);
    job_stop (coord, job, MU_JOB_FAILED, MU_FAILED,
              core_text (coord,
                         "Step %llu, micro-batch %u (%s) kills every trainer that computes it: on "
                         "%s, %u deaths. %s The last: %s",
                         (unsigned long long)durable->suspicion.step, m, records, workers,
                         COORD_STRIKES, advice, cut (coord, crash->text, 280)));
}

void poison_leave_out (struct coord *coord, struct job *job, uint32_t m,
                       const struct mu_journal_crash *crash)
{
    if (job_has_live_generation (job))
        generation_break (coord, job, false,
                          core_text (coord, "micro-batch %u of step %llu is left out: poison", m,
                                     (unsigned long long)job->durable.suspicion.step));
    forgive (coord, &job->durable.suspicion, m);
    store (coord, job, m, true, name_workers (coord, &job->durable.suspicion, m), crash);
    job_touch (coord, job);
}

/* --- FORM ------------------------------------------------------------------------------------- */

static void put (uint8_t *bytes, uint64_t value, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

static void say_suspects (struct coord *coord, const struct suspicion *suspicion,
                          struct mu_wire_form *form)
{
    uint8_t *all = core_scratch (coord, KEPT_BYTES);
    memset (all, 0, KEPT_BYTES);
    for (uint32_t i = 0; i < suspicion->count; i++)
        for (uint32_t b = 0; b < KEPT_BYTES; b++)
            all[b] |= suspicion->strikes[i].suspects[b];
    form->suspect_step = suspicion->step;
    form->suspects = (struct mu_blob){ all, KEPT_BYTES };
}

void poison_say (struct coord *coord, const struct job_durable *job, struct mu_wire_form *form)
{
    if (job->suspicion.count)
        say_suspects (coord, &job->suspicion, form);
    if (!job->skip_count)
        return;
    uint8_t *skips = core_scratch (coord, SKIP_BYTES * (size_t)job->skip_count);
    for (uint32_t i = 0; i < job->skip_count; i++) {
        put (skips + SKIP_BYTES * i, job->skips[i].step, 8);
        put (skips + SKIP_BYTES * i + 8, job->skips[i].micro_batch, 4);
    }
    form->skips = (struct mu_blob){ skips, SKIP_BYTES * job->skip_count };
}

static bool is_suspect (const struct suspicion *suspicion, uint32_t m)
{
    for (uint32_t i = 0; i < suspicion->count; i++)
        if (has (suspicion->strikes[i].suspects, m))
            return true;
    return false;
}

/* A micro-batch for it, so that the shares stay what they are: one that can be computed by `giver`,
 * whom it has not killed. NONE: the other has none to give. */
static uint32_t in_exchange (const struct job_durable *job, const uint8_t *map,
                             const uint8_t *taken, uint32_t rank, const struct worker *giver)
{
    const struct suspicion *suspicion = &job->suspicion;
    for (uint32_t m = 0; m < job->micro_batches; m++)
        if (shards_rank (map, m) == rank && !has (taken, m) &&
            !has_killed (suspicion, suspicion->count, giver->name, m))
            return m;
    return NONE;
}

void poison_spread (const struct job_durable *job, uint8_t *map, const uint8_t *taken,
                    struct worker *const *members, uint32_t ranks)
{
    const struct suspicion *suspicion = &job->suspicion;
    for (uint32_t m = 0; m < job->micro_batches; m++) {
        if (has (taken, m) || !is_suspect (suspicion, m))
            continue;
        uint32_t first = shards_rank (map, m), tried = 0;
        while (tried < ranks &&
               has_killed (suspicion, suspicion->count, members[(first + tried) % ranks]->name, m))
            tried++;
        uint32_t rank = (first + tried) % ranks; /* all were: it stays where it is */
        uint32_t other = rank == first ? NONE : in_exchange (job, map, taken, rank, members[first]);
        if (other != NONE)
            shards_set_rank (map, other, first);
        shards_set_rank (map, m, rank);
    }
}
