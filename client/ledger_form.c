/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_form.c - FORM: who takes part, who trains what, and whose state it goes on from
 *
 * The rules are in the head of ledger.c. */
#include "ledger.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* --- workers, each name and incarnation once -------------------------------------------------- */

static uint32_t place_of (const struct ledger *ledger, const char *name, uint64_t incarnation)
{
    uint64_t hash = incarnation * UINT64_C (0x9e3779b97f4a7c15);
    for (const char *at = name; *at; at++)
        hash = (hash ^ (uint8_t)*at) * UINT64_C (0x100000001b3);
    uint32_t place = (uint32_t)(hash ^ hash >> 32) & (ledger->slot_count - 1);
    while (ledger->slots[place] != LEDGER_NONE) {
        const struct ledger_worker *worker = &ledger->workers[ledger->slots[place]];
        if (worker->incarnation == incarnation && !strcmp (worker->name, name))
            break;
        place = (place + 1) & (ledger->slot_count - 1);
    }
    return place;
}

static void widen (struct ledger *ledger)
{
    if (2 * (ledger->worker_count + 1) <= ledger->slot_count)
        return;
    ledger->slot_count = ledger->slot_count ? 2 * ledger->slot_count : 64;
    free (ledger->slots);
    ledger->slots = ledger_zeroed (ledger->slot_count, sizeof *ledger->slots);
    memset (ledger->slots, 0xff, ledger->slot_count * sizeof *ledger->slots);
    for (uint32_t id = 0; id < ledger->worker_count; id++) {
        const struct ledger_worker *worker = &ledger->workers[id];
        ledger->slots[place_of (ledger, worker->name, worker->incarnation)] = id;
    }
}

static uint32_t worker_id (struct ledger *ledger, const struct mu_journal_member *member)
{
    widen (ledger);
    uint32_t place = place_of (ledger, member->name, member->incarnation);
    if (ledger->slots[place] != LEDGER_NONE)
        return ledger->slots[place];
    ledger->workers = ledger_grow (ledger->workers, ledger->worker_count, &ledger->worker_capacity,
                                   sizeof *ledger->workers);
    struct ledger_worker *worker = &ledger->workers[ledger->worker_count];
    *worker = (struct ledger_worker){ .incarnation = member->incarnation, .seen_in = LEDGER_NONE };
    mu_text_set (worker->name, sizeof worker->name, member->name);
    return ledger->slots[place] = ledger->worker_count++;
}

/* --- who, and which micro-batches ------------------------------------------------------------- */

static void take_members (struct ledger *ledger, uint32_t at, const struct mu_journal_form *form)
{
    struct ledger_generation *it = &ledger->generations[at];
    it->members = ledger_zeroed (it->size, sizeof *it->members);
    for (uint32_t rank = 0; rank < it->size; rank++) {
        uint32_t id = worker_id (ledger, &form->members.items[rank]);
        it->members[rank] = id;
        if (ledger->workers[id].seen_in == at)
            ledger_fault (ledger, "generation %" PRIu64 ": worker %s has two ranks", it->number,
                          ledger->workers[id].name);
        ledger->workers[id].seen_in = at;
    }
}

/* One entry a micro-batch, each a rank: none is left out, none is given twice. */
static void take_map (struct ledger *ledger, const struct ledger_generation *it, const char *which,
                      const struct mu_blob *from, uint16_t *map)
{
    const uint8_t *bytes = from->data;
    if (from->size != 2 * ledger->micro_batches)
        ledger_fault (ledger,
                      "generation %" PRIu64 " from step %" PRIu64 ": the map of its %s gives out "
                      "%u micro-batches, a step has %u",
                      it->number, it->begin, which, from->size / 2, ledger->micro_batches);
    for (uint32_t m = 0; m < ledger->micro_batches; m++) {
        bool there = 2 * m + 1 < from->size;
        unsigned rank = there ? bytes[2 * m] + 256u * bytes[2 * m + 1] : UINT16_MAX;
        map[m] = (uint16_t)rank;
        if (there && map[m] >= it->size)
            ledger_fault (ledger,
                          "generation %" PRIu64 " from step %" PRIu64 ": micro-batch %u of its %s "
                          "is given to rank %u, but there are %u ranks: nobody trains it",
                          it->number, it->begin, m, which, map[m], it->size);
    }
}

/* --- whose state it goes on from -------------------------------------------------------------- */

static void refuse_parent (struct ledger *ledger, const struct ledger_generation *it,
                           const struct ledger_generation *from)
{
    if (it->begin < from->begin)
        ledger_fault (ledger,
                      "generation %" PRIu64 " begins at step %" PRIu64 " with a state of "
                      "generation %" PRIu64 ", which began later, at step %" PRIu64,
                      it->number, it->begin, from->number, from->begin);
    else if (!from->started)
        ledger_fault (ledger,
                      "generation %" PRIu64 " begins at step %" PRIu64 ", but generation %" PRIu64
                      ", whose state it has, never started: steps %" PRIu64 " to %" PRIu64
                      " were trained by nobody",
                      it->number, it->begin, from->number, from->begin, it->begin - 1);
    else
        ledger_fault (ledger,
                      "generation %" PRIu64 " begins at step %" PRIu64 ", but generation %" PRIu64
                      ", whose state it has, held leases below step %" PRIu64
                      " only: steps %" PRIu64 " to %" PRIu64 " were trained by nobody",
                      it->number, it->begin, from->number, from->until_step, from->until_step,
                      it->begin - 1);
}

/* The source left that generation and said where it stood. */
static uint32_t parent_left (struct ledger *ledger, uint32_t at, uint64_t number, uint32_t source)
{
    const struct ledger_generation *it = &ledger->generations[at];
    uint32_t from = ledger_find (ledger, number);
    if (from == LEDGER_NONE || from >= at) {
        ledger_fault (ledger,
                      "generation %" PRIu64 " has the state of generation %" PRIu64
                      ", of which there is no record",
                      it->number, number);
        return LEDGER_NONE;
    }
    if (number <= ledger->distrusted)
        ledger_fault (ledger,
                      "generation %" PRIu64 " has the state of generation %" PRIu64
                      ", in which a worker was wrong",
                      it->number, number);
    if (ledger_rank (&ledger->generations[from], source) == LEDGER_NONE)
        ledger_fault (ledger,
                      "generation %" PRIu64 ": worker %s brings the state of generation %" PRIu64
                      ", but was no member of it",
                      it->number, ledger->workers[source].name, number);
    if (!ledger_covers (&ledger->generations[from], it->begin))
        refuse_parent (ledger, it, &ledger->generations[from]);
    return from;
}

static bool names_checkpoint (const struct ledger *ledger)
{
    json_t *spec = json_loads (ledger->spec ? ledger->spec : "", 0, NULL);
    const char *resume =
        json_string_value (json_object_get (json_object_get (spec, "checkpoint"), "resume"));
    bool resumes = resume && *resume && strcmp (resume, "no") != 0;
    json_decref (spec);
    return resumes;
}

/* Until a checkpoint of its own is committed, who opens the job anew takes what the job file names: the step
 * that it begins with, or where that is `newest`, what it has itself written since. */
static bool opened_named (struct ledger *ledger, uint32_t at, uint32_t *parent)
{
    struct ledger_generation *it = &ledger->generations[at];
    bool trained = false;
    if (ledger->commit_count || !names_checkpoint (ledger))
        return false;
    for (*parent = at; (*parent)-- > 0;) {
        if (ledger_covers (&ledger->generations[*parent], it->begin))
            return true;
        trained = trained || ledger->generations[*parent].started;
    }
    *parent = LEDGER_NONE;
    it->named = !trained;
    return it->named;
}

/* The source's trainer was opened anew: with a checkpoint, or still with the state that it had when
 * a coordinator before this one let it train. */
static uint32_t parent_loaded (struct ledger *ledger, uint32_t at, uint32_t source)
{
    const struct ledger_generation *it = &ledger->generations[at];
    for (uint32_t i = ledger->commit_count; i-- > 0;) {
        uint32_t from = ledger_at (ledger, ledger->commits[i].generation, it->begin);
        if (ledger->commits[i].step == it->begin && from < at)
            return from;
    }
    uint32_t from = at;
    while (from-- > 0)
        if (ledger_covers (&ledger->generations[from], it->begin) &&
            ledger_rank (&ledger->generations[from], source) != LEDGER_NONE)
            return from;
    if (opened_named (ledger, at, &from))
        return from;
    ledger_fault (ledger,
                  "generation %" PRIu64 " begins at step %" PRIu64
                  ", of which no checkpoint was committed and which worker %s, whose state it "
                  "takes, never trained",
                  it->number, it->begin, ledger->workers[source].name);
    return LEDGER_NONE;
}

static uint32_t find_parent (struct ledger *ledger, uint32_t at, const struct mu_journal_form *form)
{
    const struct ledger_generation *it = &ledger->generations[at];
    if (form->source_rank >= it->size) {
        ledger_fault (ledger, "generation %" PRIu64 " takes its state from rank %u of %u",
                      it->number, form->source_rank, it->size);
        return LEDGER_NONE;
    }
    const struct mu_journal_member *member = &form->members.items[form->source_rank];
    if (member->step != it->begin || member->attempt != it->attempt)
        ledger_fault (ledger,
                      "generation %" PRIu64 " begins at step %" PRIu64 ", attempt %u, but worker "
                      "%s, whose state it takes, stood at step %" PRIu64 ", attempt %u",
                      it->number, it->begin, it->attempt, member->name, member->step,
                      member->attempt);
    if (it->begin == 0)
        return LEDGER_NONE;
    if (member->generation)
        return parent_left (ledger, at, member->generation, it->members[form->source_rank]);
    return parent_loaded (ledger, at, it->members[form->source_rank]);
}

/* --- the record ------------------------------------------------------------------------------- */

static void check_place (struct ledger *ledger, const struct mu_journal_form *form)
{
    const struct ledger_generation *last = ledger_newest (ledger);
    if (form->generation != (last ? last->number : 0) + 1)
        ledger_fault (ledger,
                      "generation %" PRIu64 " comes after generation %" PRIu64
                      ": the records of those between are missing, or one is there twice",
                      form->generation, last ? last->number : 0);
    if (last && !last->over)
        ledger_fault (ledger,
                      "generation %" PRIu64 " is formed from step %" PRIu64 " on while generation "
                      "%" PRIu64 ", from step %" PRIu64 " on, is not over: two trained at once",
                      form->generation, form->step, last->number, last->begin);
    if (form->step < ledger->floor)
        ledger_fault (ledger,
                      "generation %" PRIu64 " begins at step %" PRIu64 ", though %" PRIu64
                      " were trained, and no record says that training went "
                      "back",
                      form->generation, form->step, ledger->floor);
}

void ledger_form (struct ledger *ledger, const struct mu_journal *record)
{
    const struct mu_journal_form *form = &record->form;
    uint32_t micro_batches = ledger->micro_batches, at = ledger->generation_count;
    ledger_close_newest (ledger);
    check_place (ledger, form);
    ledger->generations = ledger_grow (ledger->generations, at, &ledger->generation_capacity,
                                       sizeof *ledger->generations);
    struct ledger_generation *it = &ledger->generations[ledger->generation_count++];
    *it = (struct ledger_generation){ .number = form->generation,
                                      .begin = form->step,
                                      .until_step = form->until_step,
                                      .reached = form->step,
                                      .attempt = form->attempt,
                                      .size = form->members.count };
    take_members (ledger, at, form);
    it->first_map = ledger_zeroed (2 * (size_t)micro_batches, sizeof *it->first_map);
    it->map = it->first_map + micro_batches;
    take_map (ledger, it, "first step", &form->first_map, it->first_map);
    take_map (ledger, it, "later steps", &form->map, it->map);
    it->parent = find_parent (ledger, at, form);
    if (it->parent != LEDGER_NONE && ledger->generations[it->parent].reached < it->begin)
        ledger->generations[it->parent].reached = it->begin; /* its state has come so far */
    ledger_keep (ledger, at, form);
    ledger->floor = form->step;
    free (ledger->windows);
    ledger->windows = ledger_zeroed (it->size, sizeof *ledger->windows);
    for (uint32_t rank = 0; rank < it->size; rank++)
        ledger->windows[rank] = form->step / ledger->window_steps;
}
