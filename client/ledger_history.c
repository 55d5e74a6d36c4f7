/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_history.c - what survives: the path from the newest state back to step 0 */
#include "ledger.h"

#include "states.h"

#include <stdlib.h>

bool ledger_covers (const struct ledger_generation *generation, uint64_t step)
{
    return step == generation->begin ||
           (generation->started && step > generation->begin && step <= generation->until_step);
}

uint32_t ledger_find (const struct ledger *ledger, uint64_t number)
{
    if (number && number <= ledger->generation_count &&
        ledger->generations[number - 1].number == number)
        return (uint32_t)(number - 1);
    for (uint32_t at = ledger->generation_count; at-- > 0;)
        if (ledger->generations[at].number == number)
            return at;
    return LEDGER_NONE;
}

uint32_t ledger_at (const struct ledger *ledger, uint64_t number, uint64_t step)
{
    uint32_t at = ledger_find (ledger, number);
    while (at != LEDGER_NONE && ledger->generations[at].begin > step)
        at = ledger->generations[at].parent;
    return at;
}

uint32_t ledger_rank (const struct ledger_generation *generation, uint32_t worker)
{
    for (uint32_t rank = 0; rank < generation->size; rank++)
        if (generation->members[rank] == worker)
            return rank;
    return LEDGER_NONE;
}

/* A job that is done is its last checkpoint, whoever wrote it; else the newest generation's state
 * counts, as far as it is known. */
static struct ledger_run head (const struct ledger *ledger)
{
    struct ledger_run run = { .generation = LEDGER_NONE };
    const struct ledger_commit *commit =
        ledger->commit_count ? &ledger->commits[ledger->commit_count - 1] : NULL;
    if (ledger->state == MU_JOB_DONE && commit) {
        run.generation = ledger_at (ledger, commit->generation, commit->step);
        run.to = commit->step;
    } else if (ledger->generation_count) {
        run.generation = ledger->generation_count - 1;
        run.to = ledger->generations[run.generation].reached;
    }
    return run;
}

uint64_t ledger_trained_steps (const struct ledger *ledger)
{
    struct ledger_run run = head (ledger);
    return run.generation == LEDGER_NONE ? 0 : run.to;
}

struct ledger_run *ledger_history (const struct ledger *ledger, uint32_t *count)
{
    struct ledger_run run = head (ledger);
    uint32_t length = 0;
    for (uint32_t at = run.generation; at != LEDGER_NONE; at = ledger->generations[at].parent)
        length++;
    struct ledger_run *history = calloc (length + 1, sizeof *history);
    if (!history)
        abort ();
    *count = length;
    while (length--) {
        run.from = ledger->generations[run.generation].begin;
        history[length] = run;
        run.to = run.from;
        run.generation = ledger->generations[run.generation].parent;
    }
    return history;
}

struct ledger_run ledger_abandoned (const struct ledger *ledger, const struct ledger_run *history,
                                    uint32_t count, uint32_t generation)
{
    const struct ledger_generation *it = &ledger->generations[generation];
    struct ledger_run run = { generation, it->begin, it->reached };
    uint32_t low = 0, high = count; /* generations grow along the history */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (history[middle].generation < generation)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < count && history[low].generation == generation)
        run.from = history[low].to;
    if (run.to < run.from)
        run.to = run.from;
    return run;
}

/* REWIND is stored where whole windows are taken back, EXPEL and UNSOUND for other reasons: what is
 * told by all of them is where the next generation begins. */
uint32_t ledger_rewinds (const struct ledger *ledger)
{
    uint32_t count = 0;
    uint64_t reached = 0;
    for (uint32_t at = 0; at < ledger->generation_count; at++) {
        const struct ledger_generation *it = &ledger->generations[at];
        if (it->begin < reached)
            count++;
        if (it->begin < reached || it->reached > reached)
            reached = it->reached;
    }
    return count;
}

static bool leaves_out (const struct ledger *ledger, uint32_t at, uint64_t step, uint32_t m)
{
    for (uint32_t i = 0; i < ledger->skip_count; i++) {
        const struct ledger_skip *skip = &ledger->skips[i];
        if (skip->step == step && skip->micro_batch == m &&
            ledger->generations[at].number > skip->after)
            return true;
    }
    return false;
}

bool ledger_is_left_out (const struct ledger *ledger, const struct ledger_run *history,
                         uint32_t count, const struct ledger_skip *skip)
{
    for (uint32_t i = 0; i < count; i++)
        if (skip->step >= history[i].from && skip->step < history[i].to)
            return ledger->generations[history[i].generation].number > skip->after;
    return false;
}

uint32_t ledger_who (const struct ledger *ledger, uint64_t step, struct ledger_share *share)
{
    struct ledger_run run = head (ledger);
    if (run.generation == LEDGER_NONE || step >= run.to)
        return LEDGER_NONE;
    uint32_t at = run.generation;
    while (at != LEDGER_NONE && ledger->generations[at].begin > step)
        at = ledger->generations[at].parent;
    if (at == LEDGER_NONE)
        return LEDGER_NONE;
    const struct ledger_generation *generation = &ledger->generations[at];
    bool first = step == generation->begin;
    for (uint32_t m = 0; m < ledger->micro_batches; m++) {
        uint32_t rank = first ? generation->first_map[m] : generation->map[m];
        share[m].generation = first && generation->origin ? generation->origin[m] : at;
        share[m].worker = rank < generation->size ? generation->members[rank] : LEDGER_NONE;
        share[m].left_out = leaves_out (ledger, at, step, m);
        if (share[m].left_out)
            share[m].worker = LEDGER_NONE;
    }
    return at;
}

uint64_t ledger_shards (const struct ledger *ledger)
{
    if (!ledger->generation_count || !ledger->window_steps)
        return 0;
    const struct ledger_generation *newest = &ledger->generations[ledger->generation_count - 1];
    uint64_t trained = 0;
    uint64_t windows = (ledger->steps + ledger->window_steps - 1) / ledger->window_steps;
    for (uint32_t m = 0; m < ledger->micro_batches; m++) {
        uint32_t rank = newest->map[m];
        uint64_t mine = rank < newest->size ? ledger->windows[rank] : 0;
        trained += mine < windows ? mine : windows;
    }
    return ledger->state == MU_JOB_DONE ? windows * ledger->micro_batches : trained;
}
