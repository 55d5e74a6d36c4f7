/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_print.c - what a ledger says, as tables for people or as JSON for programs */
#include "ledger_print.h"

#include "output.h"
#include "worker/data/order.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_SHOWN  8u
#define LEFT_OUT_SHOWN 3u

bool ledger_is_proven (const struct ledger_view *view)
{
    return !view->ledger->faults.count && !view->ledger->damages.count;
}

static json_t *number (uint64_t value) { return json_integer ((json_int_t)value); }

static uint64_t places (const struct ledger_view *view)
{
    return view->trained * view->ledger->global_batch;
}

/* Where it begins: 0, or the step of the checkpoint that the job file names. */
static uint64_t first_step (const struct ledger_view *view)
{
    return view->run_count ? view->history[0].from : 0;
}

static uint64_t given_up (const struct ledger_view *view)
{
    uint64_t steps = 0;
    for (uint32_t at = 0; at < view->ledger->generation_count; at++) {
        struct ledger_run run = ledger_abandoned (view->ledger, view->history, view->run_count, at);
        steps += run.to - run.from;
    }
    return steps;
}

/* The next that is left out of what survives, from *at on; NULL: there is none. */
static const struct ledger_skip *next_left_out (const struct ledger_view *view, uint32_t *at)
{
    while (*at < view->ledger->skip_count) {
        const struct ledger_skip *skip = &view->ledger->skips[(*at)++];
        if (ledger_is_left_out (view->ledger, view->history, view->run_count, skip))
            return skip;
    }
    return NULL;
}

/* "0 to 99", or "none". */
static const char *steps_text (uint64_t from, uint64_t to, char *text, size_t size)
{
    if (from == to)
        snprintf (text, size, "none");
    else
        snprintf (text, size, "%" PRIu64 " to %" PRIu64, from, to - 1);
    return text;
}

/* --- the verdict ------------------------------------------------------------------------------ */

static json_t *left_out_to_json (const struct ledger_view *view)
{
    json_t *array = json_array ();
    const struct ledger_skip *skip;
    for (uint32_t at = 0; (skip = next_left_out (view, &at));)
        json_array_append_new (array, json_pack ("{s:I,s:I}", "step", (json_int_t)skip->step,
                                                 "micro_batch", (json_int_t)skip->micro_batch));
    return array;
}

static json_t *sentences_to_json (const struct ledger_sentences *sentences)
{
    json_t *array = json_array ();
    for (uint32_t i = 0; i < LEDGER_SENTENCES_MAX && sentences->item[i]; i++)
        json_array_append_new (array, json_string (sentences->item[i]));
    return array;
}

static json_t *verdict_to_json (const struct ledger_view *view)
{
    const struct ledger *ledger = view->ledger;
    json_t *object = json_object ();
    uint64_t whole = ledger->records ? places (view) / ledger->records : 0;
    json_object_set_new (object, "id", number (ledger->job));
    json_object_set_new (object, "name", json_string (view->name));
    json_object_set_new (object, "proven", json_boolean (ledger_is_proven (view)));
    json_object_set_new (object, "damaged", json_boolean (ledger->damages.count > 0));
    json_object_set_new (object, "steps_before", number (first_step (view)));
    json_object_set_new (object, "steps_trained", number (view->trained));
    json_object_set_new (object, "steps", number (ledger->steps));
    json_object_set_new (object, "micro_batches", number (ledger->micro_batches));
    json_object_set_new (object, "left_out", left_out_to_json (view));
    json_object_set_new (object, "records", number (ledger->records));
    json_object_set_new (object, "epochs_whole", number (whole));
    json_object_set_new (object, "epoch_records", number (places (view) - whole * ledger->records));
    json_object_set_new (object, "order_checked", json_boolean (view->order_checked));
    json_object_set_new (object, "generations", number (ledger->generation_count));
    json_object_set_new (object, "generations_surviving", number (view->run_count));
    json_object_set_new (object, "steps_given_up", number (given_up (view)));
    json_object_set_new (object, "rewinds", number (ledger_rewinds (ledger)));
    json_object_set_new (object, "journal_records", number (ledger->read));
    json_object_set_new (object, "sealed", number (ledger->sealed));
    json_object_set_new (object, "compared", json_boolean (view->compared));
    json_object_set_new (object, "faults", sentences_to_json (&ledger->faults));
    json_object_set_new (object, "damages", sentences_to_json (&ledger->damages));
    return object;
}

static void add_row (struct table *table, const char *what, const char *text)
{
    table_cell (table, "%s", what);
    table_cell (table, "%s", text);
}

static void add_records (const struct ledger_view *view, struct table *table)
{
    const struct ledger *ledger = view->ledger;
    char text[192] = "none seen yet";
    uint64_t whole = ledger->records ? places (view) / ledger->records : 0;
    uint64_t rest = places (view) - whole * ledger->records;
    int used = 0;
    if (whole)
        used =
            snprintf (text, sizeof text,
                      "%" PRIu64 " whole epoch%s: each of %" PRIu64 " records exactly once in each",
                      whole, whole == 1 ? "" : "s", ledger->records);
    if (rest)
        snprintf (text + used, sizeof text - (size_t)used,
                  "%sepoch %" PRIu64 ": %" PRIu64 " of %" PRIu64 " so far, none twice",
                  used ? "; " : "", whole + 1, rest, ledger->records);
    add_row (table, "records", text);
    if (places (view))
        add_row (table, "order",
                 view->order_checked ? "recomputed: each epoch's is a permutation"
                                     : "not recomputed (--skip-order)");
}

/* "Each exactly once" is said of what is trained. Returns how many are not. */
static uint32_t left_out_text (const struct ledger_view *view, char *text, size_t size)
{
    const struct ledger_skip *skip;
    uint32_t count = 0;
    size_t used = 0;
    for (uint32_t at = 0; (skip = next_left_out (view, &at)); count++)
        if (count < LEFT_OUT_SHOWN)
            used += (size_t)snprintf (text + used, size - used, "%s%u of step %" PRIu64,
                                      count ? ", " : "", skip->micro_batch, skip->step);
    snprintf (text + used, size - used, "%s: %u micro-batch%s with all records, as poison",
              count > LEFT_OUT_SHOWN ? ", …" : "", count, count == 1 ? "" : "es");
    return count;
}

static void print_proof (const struct ledger_view *view)
{
    const struct ledger *ledger = view->ledger;
    char text[192], left_out[192], range[64];
    uint32_t left_out_count = left_out_text (view, left_out, sizeof left_out);
    uint32_t rewinds = ledger_rewinds (ledger);
    struct table *table = table_create ("WHAT|PROVEN");
    snprintf (text, sizeof text, "%s of %" PRIu64 ", without a gap, in %u of %u generations",
              steps_text (first_step (view), view->trained, range, sizeof range), ledger->steps,
              view->run_count, ledger->generation_count);
    add_row (table, "steps", text);
    if (first_step (view)) {
        snprintf (text, sizeof text,
                  "steps %s are the checkpoint's that the job file names (checkpoint.resume): what "
                  "is said of records counts theirs",
                  steps_text (0, first_step (view), range, sizeof range));
        add_row (table, "before", text);
    }
    snprintf (text, sizeof text, "%u a step, %" PRIu64 " in all, each trained exactly once%s",
              ledger->micro_batches,
              (view->trained - first_step (view)) * ledger->micro_batches - left_out_count,
              left_out_count ? ", but for those left out" : "");
    add_row (table, "micro-batches", text);
    add_records (view, table);
    if (left_out_count)
        add_row (table, "left out", left_out);
    snprintf (text, sizeof text,
              "%" PRIu64 " trained steps that do not count any more; training went back %u time%s",
              given_up (view), rewinds, rewinds == 1 ? "" : "s");
    add_row (table, "given up", text);
    snprintf (text, sizeof text, "%" PRIu64 " records, unaltered up to number %" PRIu64,
              ledger->read, ledger->sealed);
    add_row (table, "journal", text);
    add_row (table, "coordinator",
             view->compared ? "its own ledger says the same" : "not compared");
    table_print (&table);
}

static void print_sentences (const struct ledger_sentences *sentences)
{
    for (uint32_t i = 0; i < LEDGER_SENTENCES_MAX && sentences->item[i]; i++)
        printf ("- %s\n", sentences->item[i]);
    if (sentences->count > LEDGER_SENTENCES_MAX)
        printf ("- and %" PRIu64 " more\n", sentences->count - LEDGER_SENTENCES_MAX);
}

void ledger_print_verdict (const struct ledger_view *view, bool json)
{
    if (json) {
        print_json (verdict_to_json (view));
    } else if (ledger_is_proven (view)) {
        print_proof (view);
    } else {
        print_sentences (&view->ledger->damages);
        print_sentences (&view->ledger->faults);
    }
}

/* --- generations ------------------------------------------------------------------------------ */

struct row {
    struct ledger_run survives, abandoned;
    char *names;
};

static struct row row_of (const struct ledger_view *view, uint32_t at, uint32_t *run)
{
    const struct ledger_generation *it = &view->ledger->generations[at];
    struct row row = { { at, it->begin, it->begin }, { 0 }, NULL };
    size_t size = 1, used = 0;
    if (*run < view->run_count && view->history[*run].generation == at)
        row.survives = view->history[(*run)++];
    row.abandoned = ledger_abandoned (view->ledger, view->history, view->run_count, at);
    for (uint32_t rank = 0; rank < it->size; rank++)
        size += strlen (view->ledger->workers[it->members[rank]].name) + 2;
    row.names = calloc (1, size);
    if (!row.names)
        abort ();
    for (uint32_t rank = 0; rank < it->size; rank++)
        used += (size_t)snprintf (row.names + used, size - used, "%s%s", rank ? ", " : "",
                                  view->ledger->workers[it->members[rank]].name);
    return row;
}

static json_t *run_to_json (const struct ledger_run *run)
{
    return json_pack ("{s:I,s:I}", "from", (json_int_t)run->from, "below", (json_int_t)run->to);
}

static json_t *generation_to_json (const struct ledger_view *view, uint32_t at,
                                   const struct row *row)
{
    const struct ledger_generation *it = &view->ledger->generations[at];
    json_t *members = json_array (), *object = json_object ();
    for (uint32_t rank = 0; rank < it->size; rank++)
        json_array_append_new (members,
                               json_string (view->ledger->workers[it->members[rank]].name));
    json_object_set_new (object, "generation", number (it->number));
    json_object_set_new (object, "survives", run_to_json (&row->survives));
    json_object_set_new (object, "given_up", run_to_json (&row->abandoned));
    json_object_set_new (object, "after",
                         it->parent == LEDGER_NONE
                             ? json_null ()
                             : number (view->ledger->generations[it->parent].number));
    json_object_set_new (object, "workers", members);
    return object;
}

static void add_generation (struct table *table, const struct ledger_view *view, uint32_t at,
                            const struct row *row)
{
    const struct ledger_generation *it = &view->ledger->generations[at];
    char text[64];
    table_cell (table, "%" PRIu64, it->number);
    if (it->parent == LEDGER_NONE)
        table_cell (table, "-");
    else
        table_cell (table, "%" PRIu64, view->ledger->generations[it->parent].number);
    table_cell (table, "%s", steps_text (row->survives.from, row->survives.to, text, sizeof text));
    table_cell (table, "%s",
                steps_text (row->abandoned.from, row->abandoned.to, text, sizeof text));
    table_cell (table, "%s", row->names);
}

void ledger_print_generations (const struct ledger_view *view, bool json)
{
    struct table *table =
        json ? NULL : table_create (">GENERATION|>AFTER|>STEPS|>GIVEN UP|WORKERS");
    json_t *array = json ? json_array () : NULL;
    uint32_t run = 0;
    for (uint32_t at = 0; at < view->ledger->generation_count; at++) {
        struct row row = row_of (view, at, &run);
        if (json)
            json_array_append_new (array, generation_to_json (view, at, &row));
        else
            add_generation (table, view, at, &row);
        free (row.names);
    }
    if (json)
        print_json (array);
    else
        table_print (&table);
}

/* --- one step --------------------------------------------------------------------------------- */

/* Micro-batches of one worker and one generation, from `first` on; each is listed once. */
struct part {
    const struct ledger_view *view;
    const struct ledger_share *share;
    struct mu_order order;
    uint64_t step;
    uint32_t first;
};

static bool is_of (const struct part *part, uint32_t m)
{
    const struct ledger_share *share = &part->share[m], *first = &part->share[part->first];
    return share->generation == first->generation && share->worker == first->worker &&
           share->left_out == first->left_out;
}

static bool is_new (const struct part *part)
{
    for (uint32_t m = 0; m < part->first; m++)
        if (is_of (part, m))
            return false;
    return true;
}

static uint64_t record_of (const struct part *part, uint32_t m, uint64_t i)
{
    const struct ledger *ledger = part->view->ledger;
    uint64_t micro = ledger->global_batch / ledger->micro_batches;
    return mu_order_record (&part->order, part->step * ledger->global_batch + m * micro + i);
}

static const char *worker_of (const struct part *part)
{
    const struct ledger_share *share = &part->share[part->first];
    if (share->left_out)
        return "nobody: left out";
    return share->worker == LEDGER_NONE ? "nobody"
                                        : part->view->ledger->workers[share->worker].name;
}

static json_t *part_to_json (const struct part *part)
{
    const struct ledger *ledger = part->view->ledger;
    const struct ledger_share *share = &part->share[part->first];
    json_t *micro_batches = json_array (), *records = json_array (), *object = json_object ();
    for (uint32_t m = part->first; m < ledger->micro_batches; m++) {
        if (!is_of (part, m))
            continue;
        json_array_append_new (micro_batches, number (m));
        for (uint64_t i = 0; i < ledger->global_batch / ledger->micro_batches; i++)
            json_array_append_new (records, number (record_of (part, m, i)));
    }
    json_object_set_new (object, "generation",
                         number (ledger->generations[share->generation].number));
    json_object_set_new (object, "worker",
                         share->left_out ? json_null () : json_string (worker_of (part)));
    json_object_set_new (object, "left_out", json_boolean (share->left_out));
    if (share->worker != LEDGER_NONE)
        json_object_set_new (object, "incarnation",
                             number (ledger->workers[share->worker].incarnation));
    json_object_set_new (object, "micro_batches", micro_batches);
    json_object_set_new (object, "records", records);
    return object;
}

static void add_part (struct table *table, const struct part *part)
{
    const struct ledger *ledger = part->view->ledger;
    uint64_t micro = ledger->global_batch / ledger->micro_batches, count = 0;
    char batches[256] = "", records[256] = "";
    size_t b = 0, r = 0;
    for (uint32_t m = part->first, end; m < ledger->micro_batches; m = end + 1) {
        for (end = m; is_of (part, m) && end + 1 < ledger->micro_batches && is_of (part, end + 1);)
            end++;
        if (is_of (part, m) && b < sizeof batches - 32)
            b += (size_t)snprintf (batches + b, sizeof batches - b, end > m ? "%s%u-%u" : "%s%u",
                                   b ? "," : "", m, end);
        for (uint32_t k = m; is_of (part, m) && k <= end; k++)
            for (uint64_t i = 0; i < micro; i++, count++)
                if (count < RECORDS_SHOWN)
                    r += (size_t)snprintf (records + r, sizeof records - r, "%s%" PRIu64,
                                           r ? " " : "", record_of (part, k, i));
    }
    table_cell (table, "%" PRIu64, ledger->generations[part->share[part->first].generation].number);
    table_cell (table, "%s", worker_of (part));
    table_cell (table, "%s%s", batches, b >= sizeof batches - 32 ? ",…" : "");
    table_cell (table, "%" PRIu64, count);
    table_cell (table, "%s%s", records, count > RECORDS_SHOWN ? " …" : "");
}

/* Generations that trained the step, too, in a history that was given up. */
static json_t *others (const struct ledger_view *view, uint64_t step)
{
    json_t *array = json_array ();
    for (uint32_t at = 0; at < view->ledger->generation_count; at++) {
        struct ledger_run run = ledger_abandoned (view->ledger, view->history, view->run_count, at);
        if (step >= run.from && step < run.to)
            json_array_append_new (array, number (view->ledger->generations[at].number));
    }
    return array;
}

static void tell_others (const json_t *others)
{
    size_t i;
    const json_t *item;
    json_array_foreach (others, i, item)
        printf ("%s%" JSON_INTEGER_FORMAT, i ? ", " : "given up since: generation ",
                json_integer_value (item));
    if (json_array_size (others))
        putchar ('\n');
}

void ledger_print_step (const struct ledger_view *view, uint64_t step, uint64_t seed, bool json)
{
    const struct ledger *ledger = view->ledger;
    struct ledger_share *share = ledger_zeroed (ledger->micro_batches, sizeof *share);
    uint32_t at = ledger_who (ledger, step, share);
    struct part part = { .view = view, .share = share, .step = step };
    struct table *table =
        json ? NULL : table_create (">GENERATION|WORKER|MICRO-BATCHES|>RECORDS|WHICH");
    json_t *parts = json ? json_array () : NULL, *given_up_in = others (view, step);
    mu_order_init (&part.order, ledger->records, seed);
    for (part.first = 0; part.first < ledger->micro_batches; part.first++)
        if (is_new (&part) && json)
            json_array_append_new (parts, part_to_json (&part));
        else if (is_new (&part))
            add_part (table, &part);
    if (json) {
        print_json (json_pack ("{s:I,s:I,s:I,s:o,s:o}", "id", (json_int_t)ledger->job, "step",
                               (json_int_t)step, "generation",
                               (json_int_t)ledger->generations[at].number, "parts", parts,
                               "given_up", json_incref (given_up_in)));
    } else {
        table_print (&table);
        tell_others (given_up_in);
    }
    json_decref (given_up_in);
    free (share);
}
