/* SPDX-License-Identifier: Apache-2.0 */
/* reigns_journal.c - a list of entries, of which the older ones may be folded into one
 *
 * Only who has none of what a folded entry stands for may take it: as in the daemon, where FOLDED of a job
 * of which more was said is refused. So a journal that is put together of two that were folded differently
 * is found out here. */
#include "reigns.h"

#include <string.h>

/* What lacks between has no row any more where this one comes from. */
void journal_put (struct journal *journal, uint32_t number, const struct entry *entry)
{
    static const struct entry none = { .gone = true };
    if (number <= journal->count)
        fail ("an entry is put where another is");
    while (journal->count + 1 < number)
        journal->entry[journal->count++] = none;
    if (entry->folded) {
        for (uint32_t i = 0; i < journal->count; i++)
            if (!journal->entry[i].gone && !journal->entry[i].reign)
                fail ("a folded entry comes to what it stands for");
        journal->folded_to = number;
    }
    journal->entry[journal->count++] = *entry;
}

void journal_end (struct journal *journal, uint32_t newest)
{
    if (journal->count != newest)
        fail ("a journal does not end where it was said to");
    for (uint32_t i = journal->folded_to; i < journal->count; i++)
        if (journal->entry[i].gone)
            fail ("an entry lacks, and none stands for it");
}

void journal_fold (struct journal *journal, uint32_t to)
{
    uint32_t reign = 0;
    for (uint32_t i = 0; i < journal->count; i++)
        if (journal->entry[i].reign)
            reign = i;
    for (uint32_t i = 0; i + 1 < to; i++)
        if (i != reign)
            journal->entry[i] = (struct entry){ .gone = true };
    journal->entry[to - 1].folded = true;
    journal->folded_to = to;
}

bool journal_tells (const struct journal *journal, uint32_t number, uint64_t value)
{
    if (number > journal->count)
        return false;
    if (number >= journal->folded_to)
        return journal->entry[number - 1].value == value;
    uint64_t told = journal->entry[journal->folded_to - 1].value;
    for (uint32_t at = journal->folded_to; at > number; at--)
        told = world.before[told];
    return told == value;
}
