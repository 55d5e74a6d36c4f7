/* SPDX-License-Identifier: Apache-2.0 */
/* reigns_check.c - asked after each event of the model: may this be? */
#include "reigns.h"

bool holds_all (const struct journal *journal)
{
    for (uint32_t i = 1; i <= world.acked_newest; i++)
        if (world.acked[i].value &&
            (i > journal->count || journal->entry[i - 1].value != world.acked[i].value))
            return false;
    return true;
}

void check_in_sync (void)
{
    for (uint32_t i = 0; i < world.count; i++)
        if (reign_in_sync (&world.reg, world.node[i].id) && !holds_all (&world.node[i].disk))
            fail ("one that is in sync does not hold what was acknowledged");
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
}

void acknowledge (struct node *node)
{
    if (world.acked[node->turn_number].value)
        fail ("two entries with one number are acknowledged");
    world.acked[node->turn_number] = node->turn;
    if (node->turn_number > world.acked_newest)
        world.acked_newest = node->turn_number;
    world.acks++;
    say ("node %d acknowledges %u in term %" PRIu64, (int)(node - world.node), node->turn_number,
         node->claim.term);
    check_in_sync ();
}
