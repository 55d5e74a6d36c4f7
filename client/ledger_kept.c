/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_kept.c - which sums survivors brought into a generation's first step
 *
 * A broken step is finished by the next generation. A member keeps the sums it has of that step if
 * all they hold is its own in the first map, and drops them else; that is the trainers' rule, and
 * sums cannot be taken apart. So each micro-batch is summed by the rank that the first map names,
 * once: earlier, where that rank kept it, or now. What a member kept must have been given to it in
 * some generation that could train this step; that generation is where the micro-batch was summed.
 */
#include "ledger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool has (const struct mu_blob *bits, uint32_t at)
{
    return at / 8 < bits->size && (((const uint8_t *)bits->data)[at / 8] >> at % 8 & 1) != 0;
}

/* Sums of another step or try are nothing here. */
static bool keeps (const struct ledger *ledger, const struct ledger_generation *generation,
                   const struct mu_journal_member *member, uint32_t rank)
{
    if (!member->kept.size || member->step != generation->begin ||
        member->attempt != generation->attempt)
        return false;
    for (uint32_t m = 0; m < ledger->micro_batches; m++)
        if (has (&member->kept, m) && generation->first_map[m] != rank)
            return false;
    return true;
}

/* The micro-batches among `wanted` that generation `at` gave to the worker in the step that `it`
 * begins with: their origin is found, and they are wanted no more. If the step was refused for
 * overflow since `at` began, all of it was summed anew there. */
static void settle (const struct ledger *ledger, uint32_t at, uint32_t worker,
                    const struct ledger_generation *it, bool *wanted)
{
    const struct ledger_generation *earlier = &ledger->generations[at];
    uint64_t step = it->begin;
    bool first = step == earlier->begin;
    bool kept = first && earlier->origin && earlier->attempt == it->attempt;
    uint32_t rank = LEDGER_NONE;
    if (earlier->begin <= step && step < earlier->until_step)
        rank = ledger_rank (earlier, worker);
    const uint16_t *map = first ? earlier->first_map : earlier->map;
    for (uint32_t m = 0; m < ledger->micro_batches && rank != LEDGER_NONE; m++)
        if (wanted[m] && map[m] == rank) {
            it->origin[m] = kept ? earlier->origin[m] : at;
            wanted[m] = false;
        }
}

/* Whose it was in the newest earlier generation that could train the step, for the sentence. */
static void accuse (struct ledger *ledger, uint32_t at, const char *name, uint32_t m)
{
    const struct ledger_generation *generation = &ledger->generations[at];
    uint64_t step = generation->begin;
    for (uint32_t i = at; i-- > 0;) {
        const struct ledger_generation *earlier = &ledger->generations[i];
        if (earlier->begin > step || step >= earlier->until_step)
            continue;
        uint32_t rank = earlier->begin == step ? earlier->first_map[m] : earlier->map[m];
        ledger_fault (ledger,
                      "step %" PRIu64 ", micro-batch %u: worker %s brings it summed into "
                      "generation %" PRIu64 ", but generation %" PRIu64 " gave it to worker %s, so "
                      "it may count twice",
                      step, m, name, generation->number, earlier->number,
                      rank < earlier->size ? ledger->workers[earlier->members[rank]].name : "?");
        return;
    }
    ledger_fault (ledger,
                  "step %" PRIu64 ", micro-batch %u: worker %s brings it summed into generation "
                  "%" PRIu64 ", but no generation before trained that step",
                  step, m, name, generation->number);
}

static void keep_rank (struct ledger *ledger, uint32_t at, const struct mu_journal_member *member,
                       uint32_t rank)
{
    struct ledger_generation *generation = &ledger->generations[at];
    uint32_t left = 0, micro_batches = ledger->micro_batches;
    bool *wanted = calloc (micro_batches, sizeof *wanted);
    if (!wanted)
        abort ();
    for (uint32_t m = 0; m < micro_batches; m++)
        wanted[m] = has (&member->kept, m);
    for (uint32_t earlier = at; earlier-- > 0;) {
        settle (ledger, earlier, generation->members[rank], generation, wanted);
        left = 0;
        for (uint32_t m = 0; m < micro_batches; m++)
            left += wanted[m];
        if (!left)
            break;
    }
    for (uint32_t m = 0; m < micro_batches; m++)
        if (wanted[m])
            accuse (ledger, at, member->name, m);
    free (wanted);
}

void ledger_keep (struct ledger *ledger, uint32_t at, const struct mu_journal_form *form)
{
    struct ledger_generation *generation = &ledger->generations[at];
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        if (!keeps (ledger, generation, &form->members.items[rank], rank))
            continue;
        if (!generation->origin) {
            generation->origin = malloc (ledger->micro_batches * sizeof *generation->origin);
            if (!generation->origin)
                abort ();
            for (uint32_t m = 0; m < ledger->micro_batches; m++)
                generation->origin[m] = at;
        }
        keep_rank (ledger, at, &form->members.items[rank], rank);
    }
}
