/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c - the fold: a job's records in, generations and contradictions out
 *
 * What a true journal looks like, and what is told apart from it, each with a sentence:
 *
 *     generations   1, 2, 3 …, one at a time: the next is formed when the one before is over
 *     maps          each micro-batch of a step to one rank that there is, each rank another worker
 *     the start     a generation goes on at the step where its source stands; the source was a
 *                   member of the generation it names and could have come so far there (it had
 *                   started, leases reached), or loaded a committed checkpoint, or begins at 0
 *     going back    never below what trained windows prove, but for a REWIND to that step
 *     distrust      EXPEL: checkpoints beyond the step that it goes back to count no more, and no
 *                   state of the generations up to then is gone on from but by a checkpoint
 *     unsound       UNSOUND: the newest checkpoint counts no more, nor do those that went before it
 *     windows       ranks train them in order, below the leases
 *     checkpoints   of steps that their generation could have seen; a job that is done has its last
 *     seals         the hash over the records so far is the one that was stored with them
 *
 * A record that cannot be is told once and then taken for what it says, so that one mistake gives
 * one sentence and not a hundred. */
#include "ledger.h"

#include "states.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *ledger_grow (void *old, uint32_t count, uint32_t *capacity, size_t item)
{
    if (count < *capacity)
        return old;
    *capacity = *capacity ? 2 * *capacity : 16;
    void *bigger = realloc (old, *capacity * item);
    if (!bigger)
        abort ();
    return bigger;
}

void *ledger_zeroed (size_t count, size_t item)
{
    void *memory = calloc (count ? count : 1, item);
    if (!memory)
        abort ();
    return memory;
}

struct ledger *ledger_create (void) { return ledger_zeroed (1, sizeof (struct ledger)); }

static void free_sentences (struct ledger_sentences *sentences)
{
    for (uint32_t i = 0; i < LEDGER_SENTENCES_MAX; i++)
        free (sentences->item[i]);
}

void ledger_destroy (struct ledger **ledger_p)
{
    struct ledger *ledger = *ledger_p;
    if (!ledger)
        return;
    for (uint32_t at = 0; at < ledger->generation_count; at++) {
        free (ledger->generations[at].members);
        free (ledger->generations[at].first_map);
        free (ledger->generations[at].origin);
    }
    free_sentences (&ledger->faults);
    free_sentences (&ledger->damages);
    free (ledger->generations);
    free (ledger->workers);
    free (ledger->slots);
    free (ledger->commits);
    free (ledger->skips);
    free (ledger->windows);
    free (ledger->spec);
    free (ledger);
    *ledger_p = NULL;
}

/* --- sentences -------------------------------------------------------------------------------- */

static void add (struct ledger_sentences *sentences, const char *format, va_list args)
{
    char text[768];
    vsnprintf (text, sizeof text, format, args);
    if (sentences->count < LEDGER_SENTENCES_MAX) {
        char *copy = strdup (text);
        if (!copy)
            abort ();
        sentences->item[sentences->count] = copy;
    }
    sentences->count++;
}

void ledger_fault (struct ledger *ledger, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    add (&ledger->faults, format, args);
    va_end (args);
}

void ledger_damage (struct ledger *ledger, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    add (&ledger->damages, format, args);
    va_end (args);
}

/* --- the newest generation -------------------------------------------------------------------- */

struct ledger_generation *ledger_newest (const struct ledger *ledger)
{
    return ledger->generation_count ? &ledger->generations[ledger->generation_count - 1] : NULL;
}

/* The generation that a record speaks of; it can only be the newest. */
static struct ledger_generation *spoken_of (struct ledger *ledger, const char *what,
                                            uint64_t generation, bool live)
{
    struct ledger_generation *it = ledger_newest (ledger);
    if (!it || it->number != generation)
        ledger_fault (ledger, "%s speaks of generation %" PRIu64 ", but the newest is %" PRIu64,
                      what, generation, it ? it->number : 0);
    else if (live && it->over)
        ledger_fault (ledger, "%s of generation %" PRIu64 " comes when that was over", what,
                      generation);
    return it && it->number == generation ? it : NULL;
}

/* Leases are known in full when the next one is formed, and at the end. */
void ledger_close_newest (struct ledger *ledger)
{
    const struct ledger_generation *it = ledger_newest (ledger);
    if (!it)
        return;
    if (it->reached > it->until_step)
        ledger_fault (ledger,
                      "generation %" PRIu64 " trained up to step %" PRIu64
                      ", but held leases below step %" PRIu64 " only",
                      it->number, it->reached, it->until_step);
    if (it->reached > it->begin && !it->started)
        ledger_fault (ledger, "generation %" PRIu64 " trained without having started", it->number);
}

/* --- a generation's life ---------------------------------------------------------------------- */

static void on_start (struct ledger *ledger, const struct mu_journal *record)
{
    struct ledger_generation *it = spoken_of (ledger, "START", record->start.generation, true);
    if (it)
        it->started = true;
}

static void on_broken (struct ledger *ledger, const struct mu_journal *record)
{
    struct ledger_generation *it = spoken_of (ledger, "BROKEN", record->broken.generation, true);
    if (it)
        it->over = true;
}

static void on_lease (struct ledger *ledger, const struct mu_journal *record)
{
    struct ledger_generation *it = spoken_of (ledger, "LEASE", record->lease.generation, true);
    if (it && record->lease.until_step < it->until_step)
        ledger_fault (
            ledger, "the leases of generation %" PRIu64 " shrink from step %" PRIu64 " to %" PRIu64,
            it->number, it->until_step, record->lease.until_step);
    else if (it)
        it->until_step = record->lease.until_step;
}

static void on_trained (struct ledger *ledger, const struct mu_journal *record)
{
    const struct mu_journal_trained *trained = &record->trained;
    struct ledger_generation *it = spoken_of (ledger, "TRAINED", trained->generation, true);
    if (!it)
        return;
    if (trained->rank >= it->size || trained->windows < ledger->windows[trained->rank] ||
        trained->windows > ledger->steps / ledger->window_steps + 1) {
        ledger_fault (ledger,
                      "generation %" PRIu64 ": rank %u says that all windows below %" PRIu64
                      " are trained, which cannot be",
                      it->number, trained->rank, trained->windows);
        return;
    }
    uint64_t step = trained->windows * ledger->window_steps;
    step = step < ledger->steps ? step : ledger->steps;
    ledger->windows[trained->rank] = trained->windows;
    it->reached = step > it->reached ? step : it->reached;
    ledger->floor = step > ledger->floor ? step : ledger->floor;
}

static void on_rewind (struct ledger *ledger, const struct mu_journal *record)
{
    const struct ledger_generation *it = ledger_newest (ledger);
    uint64_t step = record->rewind.step;
    if (!it || !it->over || step >= ledger->floor)
        ledger_fault (ledger,
                      "training goes back to step %" PRIu64 ", though no more than %" PRIu64
                      " were trained, or still trains",
                      step, ledger->floor);
    for (uint32_t rank = 0; it && rank < it->size; rank++)
        if (ledger->windows[rank] > step / ledger->window_steps)
            ledger->windows[rank] = step / ledger->window_steps;
    ledger->floor = step < ledger->floor ? step : ledger->floor;
}

static void on_commit (struct ledger *ledger, const struct mu_journal *record)
{
    const struct mu_journal_commit *commit = &record->commit;
    if (ledger->commit_count && commit->step <= ledger->commits[ledger->commit_count - 1].step)
        ledger_fault (ledger, "step %" PRIu64 " is committed after step %" PRIu64, commit->step,
                      ledger->commits[ledger->commit_count - 1].step);
    ledger->commits = ledger_grow (ledger->commits, ledger->commit_count, &ledger->commit_capacity,
                                   sizeof *ledger->commits);
    ledger->commits[ledger->commit_count++] =
        (struct ledger_commit){ commit->step, commit->generation };
}

/* A checkpoint proves that its generation came so far, if leases let it. */
static void check_commit (struct ledger *ledger, const struct ledger_commit *commit)
{
    uint32_t at = ledger_at (ledger, commit->generation, commit->step);
    if (at == LEDGER_NONE || !ledger_covers (&ledger->generations[at], commit->step))
        ledger_fault (ledger,
                      "the checkpoint of step %" PRIu64 " is said to be of generation %" PRIu64
                      ", which cannot have come so far",
                      commit->step, commit->generation);
    else if (commit->step > ledger->generations[at].reached)
        ledger->generations[at].reached = commit->step;
}

/* A worker was wrong: what was made since the step that was agreed on is given up. */
static void on_expel (struct ledger *ledger, const struct mu_journal *record)
{
    const struct mu_journal_expel *expel = &record->expel;
    const struct ledger_generation *it = spoken_of (ledger, "EXPEL", expel->generation, false);
    if (it && !it->over)
        ledger_fault (ledger, "a worker of generation %" PRIu64 " is expelled while that trains",
                      it->number);
    while (ledger->commit_count &&
           ledger->commits[ledger->commit_count - 1].step > expel->back_step)
        check_commit (ledger, &ledger->commits[--ledger->commit_count]);
    if (expel->back_step && (!ledger->commit_count ||
                             ledger->commits[ledger->commit_count - 1].step != expel->back_step))
        ledger_fault (ledger,
                      "training goes back to the checkpoint of step %" PRIu64
                      ", which was never committed",
                      expel->back_step);
    ledger->distrusted = expel->generation;
}

/* A checkpoint was not what had been committed: that its generation came so far is true all the same. */
static void on_unsound (struct ledger *ledger, const struct mu_journal *record)
{
    const struct mu_journal_unsound *unsound = &record->unsound;
    const struct ledger_generation *it = spoken_of (ledger, "UNSOUND", unsound->generation, false);
    uint64_t newest =
        ledger->commit_count ? ledger->commits[ledger->commit_count - 1].step : 0;
    if (newest != unsound->step || unsound->back_step >= newest || (it && !it->over))
        ledger_fault (ledger,
                      "the checkpoint of step %" PRIu64
                      " is given up, which was not the newest, or while a generation trains",
                      unsound->step);
    while (ledger->commit_count &&
           ledger->commits[ledger->commit_count - 1].step > unsound->back_step)
        check_commit (ledger, &ledger->commits[--ledger->commit_count]);
}

/* Skipping is decided while nobody trains, and for good. */
static void on_poison (struct ledger *ledger, const struct mu_journal *record)
{
    const struct mu_journal_poison *poison = &record->poison;
    const struct ledger_generation *it = ledger_newest (ledger);
    if (!poison->skipped)
        return;
    if (!it || !it->over || poison->micro_batch >= ledger->micro_batches)
        ledger_fault (ledger,
                      "micro-batch %u of step %" PRIu64
                      " is left out while a generation trains, or there is none such",
                      poison->micro_batch, poison->step);
    for (uint32_t i = 0; i < ledger->skip_count; i++)
        if (ledger->skips[i].step == poison->step &&
            ledger->skips[i].micro_batch == poison->micro_batch)
            ledger_fault (ledger, "micro-batch %u of step %" PRIu64 " is left out twice",
                          poison->micro_batch, poison->step);
    ledger->skips = ledger_grow (ledger->skips, ledger->skip_count, &ledger->skip_capacity,
                                 sizeof *ledger->skips);
    ledger->skips[ledger->skip_count++] =
        (struct ledger_skip){ poison->step, poison->micro_batch, it ? it->number : 0 };
}

/* --- the job ---------------------------------------------------------------------------------- */

static void on_submit (struct ledger *ledger, const struct mu_journal *record)
{
    const struct mu_journal_submit *submit = &record->submit;
    if (ledger->submitted) {
        ledger_fault (ledger, "the job was submitted twice");
        return;
    }
    ledger->submitted = true;
    ledger->job = submit->job;
    ledger->micro_batches = submit->micro_batches;
    ledger->global_batch = submit->global_batch;
    ledger->window_steps = submit->window_steps;
    ledger->spec = strndup (submit->spec.size ? submit->spec.data : "", submit->spec.size);
    if (!ledger->spec)
        abort ();
    if (submit->global_batch % submit->micro_batches)
        ledger_fault (ledger, "%u records cannot be split into %u equal micro-batches",
                      submit->global_batch, submit->micro_batches);
}

static void on_sized (struct ledger *ledger, const struct mu_journal *record)
{
    if (ledger->sized)
        ledger_fault (ledger, "the job was sized twice");
    ledger->sized = true;
    ledger->records = record->sized.records;
    ledger->steps = record->sized.steps;
}

static void on_state (struct ledger *ledger, const struct mu_journal *record)
{
    struct ledger_generation *it = ledger_newest (ledger);
    ledger->state = record->state.state;
    if (it && ledger->state != MU_JOB_FORMING && ledger->state != MU_JOB_RUNNING)
        it->over = true;
}

static void on_folded (struct ledger *ledger, const struct mu_journal *record)
{
    ledger->folded = record->folded.records;
    ledger->seal = record->folded.chain;
}

/* --- any record ------------------------------------------------------------------------------- */

typedef void reader (struct ledger *ledger, const struct mu_journal *record);

static reader *const readers[] = {
    [MU_JOURNAL_SUBMIT] = on_submit,   [MU_JOURNAL_SIZED] = on_sized,
    [MU_JOURNAL_FORM] = ledger_form,   [MU_JOURNAL_START] = on_start,
    [MU_JOURNAL_BROKEN] = on_broken,   [MU_JOURNAL_LEASE] = on_lease,
    [MU_JOURNAL_TRAINED] = on_trained, [MU_JOURNAL_COMMIT] = on_commit,
    [MU_JOURNAL_STATE] = on_state,     [MU_JOURNAL_REWIND] = on_rewind,
    [MU_JOURNAL_EXPEL] = on_expel,     [MU_JOURNAL_FOLDED] = on_folded,
    [MU_JOURNAL_POISON] = on_poison,   [MU_JOURNAL_UNSOUND] = on_unsound,
};

static void follow_seal (struct ledger *ledger, uint64_t number, const struct mu_journal *record)
{
    const struct mu_shape *shape = mu_shape_find (&mu_journal_family, record->type);
    const struct mu_field *field = mu_shape_seal (shape);
    uint64_t stored = 0;
    if (mu_shape_is_latest (shape))
        return;
    ledger->seal = mu_record_hash (&mu_journal_family, record, ledger->seal);
    if (field)
        memcpy (&stored, (const uint8_t *)record + mu_journal_family.body_offset + field->offset,
                sizeof stored);
    if (!stored)
        return;
    if (stored != ledger->seal)
        ledger_damage (ledger,
                       "of the job's records numbered %" PRIu64 " to %" PRIu64
                       " at least one was altered, lost or put in since they were stored",
                       ledger->sealed + 1, number);
    ledger->seal = stored;
    ledger->sealed = number;
}

void ledger_read (struct ledger *ledger, uint64_t number, const struct mu_journal *record)
{
    uint32_t type = record->type;
    ledger->read++;
    ledger->newest = number;
    follow_seal (ledger, number, record);
    if (type >= sizeof readers / sizeof *readers || !readers[type])
        return;
    if (!ledger->submitted && type != MU_JOURNAL_SUBMIT)
        ledger_fault (ledger, "record %" PRIu64 " speaks of a job that was never submitted",
                      number);
    else if (!ledger->sized && type == MU_JOURNAL_FORM)
        ledger_fault (ledger, "a generation is formed before the data was seen");
    else
        readers[type](ledger, record);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Where nothing was told before, the path leads back to its beginning without a gap; it is looked at all
 * the same, for this is what is to be proven. */
static void check_history (struct ledger *ledger)
{
    bool told = ledger->faults.count > 0;
    uint32_t count;
    struct ledger_run *history = ledger_history (ledger, &count);
    uint64_t trained = ledger_trained_steps (ledger), next = 0;
    if (count && ledger->generations[history[0].generation].named)
        next = history[0].from;
    for (uint32_t i = 0; i < count; next = history[i++].to)
        if (!told && (history[i].from != next || history[i].to < history[i].from))
            ledger_fault (
                ledger, "steps %" PRIu64 " to %" PRIu64 " are missing before generation %" PRIu64,
                next, history[i].from - 1, ledger->generations[history[i].generation].number);
    if (!told && ledger->state == MU_JOB_DONE && trained != ledger->steps)
        ledger_fault (ledger, "the job is done, but %" PRIu64 " of %" PRIu64 " steps are trained",
                      trained, ledger->steps);
    free (history);
}

void ledger_end (struct ledger *ledger)
{
    if (!ledger->submitted)
        ledger_fault (ledger, "the record of the job's submit is missing");
    ledger_close_newest (ledger);
    for (uint32_t i = 0; i < ledger->commit_count; i++)
        check_commit (ledger, &ledger->commits[i]);
    check_history (ledger);
}
