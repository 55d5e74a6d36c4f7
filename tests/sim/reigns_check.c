/* SPDX-License-Identifier: Apache-2.0 */
/* reigns_check.c - asked after each event of the model: may this be? */
#include "reigns.h"

/* Of those that an entry stands for the newest is looked at: the others are in its history, or it would
 * not have been acknowledged. */
bool holds_all (const struct journal *journal)
{
    for (uint32_t i = world.acked_newest; i > 0; i--) {
        if (!world.acked[i].value)
            continue;
        if (!journal_tells (journal, i, world.acked[i].value))
            return false;
        if (i <= journal->folded_to)
            return true;
    }
    return true;
}

void check_in_sync (void)
{
    for (uint32_t i = 0; i < world.count; i++)
        if (reign_in_sync (&world.reg, world.node[i].id) && !holds_all (&world.node[i].disk))
            fail ("one that is in sync does not hold what was acknowledged");
}

static bool holds (const struct journal *journal, const struct answer *answer)
{
    return journal_tells (journal, answer->number, answer->value);
}

/* The leader of before, as its journal knows it, said that it has no more than this. */
static void check_was_left_all (const struct node *node)
{
    const struct journal *journal = &node->disk;
    uint64_t before = journal->count ? journal->entry[journal->count - 1].term : 0;
    if (before && claim_was_left_all (&node->claim, before, journal->count))
        for (uint32_t i = 0; i < world.answer_count; i++)
            if (world.answer[i].term == before && !holds (&node->disk, &world.answer[i]))
                fail ("a reign was handed over, and something that was answered lacks");
}

void check_leader (const struct node *node)
{
    for (uint32_t i = 0; i < world.term_count; i++)
        if (world.terms[i] == node->claim.term)
            fail ("two lead in one term");
    if (world.term_count < ENTRIES_MAX)
        world.terms[world.term_count++] = node->claim.term;
    if (!holds_all (&node->disk))
        fail ("a leader begins without something that was acknowledged");
    check_was_left_all (node);
}

void acknowledge (struct node *node, const struct turn *turn)
{
    if (world.acked[turn->number].value)
        fail ("two entries with one number are acknowledged");
    world.acked[turn->number] = turn->entry;
    if (turn->number > world.acked_newest)
        world.acked_newest = turn->number;
    world.acks++;
    say ("node %d acknowledges %u in term %" PRIu64, (int)(node - world.node), turn->number,
         node->claim.term);
    check_in_sync ();
}

void answer (struct node *node, const struct turn *turn)
{
    if (world.answer_count < ANSWERS_MAX)
        world.answer[world.answer_count++] = (struct answer){ .term = node->claim.term,
                                                              .value = turn->entry.value,
                                                              .number = turn->number,
                                                              .given_ms = turn->given_ms,
                                                              .answered_ms = node->clock_ms,
                                                              .ahead = node->ahead };
}

/* When the first of its term that is lost was given to followers, none of which ever confirmed it. */
static uint64_t lost_since (const struct journal *journal, uint64_t term)
{
    uint64_t since_ms = UINT64_MAX;
    for (uint32_t i = 0; i < world.answer_count; i++)
        if (world.answer[i].term == term && world.answer[i].given_ms < since_ms &&
            !holds (journal, &world.answer[i]))
            since_ms = world.answer[i].given_ms;
    return since_ms;
}

uint64_t check_answers (const struct node *leader)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < world.answer_count; i++) {
        const struct answer *answer = &world.answer[i];
        if (holds (&leader->disk, answer))
            continue;
        if (!answer->ahead)
            fail ("what was answered in a reign in which clients wait is lost");
        if (answer->answered_ms >= lost_since (&leader->disk, answer->term) + LOST_MS)
            fail ("more is lost than what was answered within the time");
        lost++;
    }
    return lost;
}
