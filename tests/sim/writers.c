/* SPDX-License-Identifier: Apache-2.0 */
/* writers.c - whose word on a checkpoint may count, by a rule of its own
 *
 * It is told of every record as it is decided, in the run itself and in copies that hear lies: rank 0 of
 * each generation, who was told to SAVE, and how far was leased. What copies decided is taken back when
 * they end. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

struct writer {
    uint64_t job, generation,
        until_step; /* leased with it, at least; for all jobs a row each time */
    char name[64];  /* empty: a lease */
    bool told;      /* of that generation or an older one */
};

static struct writer *writers;
static uint32_t count, capacity;

void writers_reset (void) { count = 0; }
uint32_t writers_mark (void) { return count; }
void writers_back (uint32_t mark) { count = mark; }

static void add (uint64_t job, uint64_t generation, uint64_t until_step, const char *name,
                 bool told)
{
    if (count == capacity) {
        capacity = capacity ? 2 * capacity : 256;
        writers = realloc (writers, capacity * sizeof *writers);
        if (!writers)
            abort ();
    }
    writers[count] = (struct writer){
        .job = job, .generation = generation, .until_step = until_step, .told = told
    };
    snprintf (writers[count++].name, sizeof writers->name, "%s", name);
}

/* A generation that a crash took back is formed again, and its newest FORM counts. */
static bool may_write (const struct mu_journal_commit *commit)
{
    bool formed = false, may = false, leased = false;
    for (uint32_t i = count; i > 0 && !(may && leased); i--) {
        const struct writer *writer = &writers[i - 1];
        if (writer->job != commit->job)
            continue;
        leased = leased || commit->step <= writer->until_step;
        bool is_it =
            *writer->name && !writer->told && !formed && writer->generation == commit->generation;
        formed = formed || is_it;
        may = may || ((is_it || (writer->told && writer->generation >= commit->generation)) &&
                      !strcmp (writer->name, commit->worker));
    }
    return may && leased;
}

void writers_note (const struct mu_journal *record)
{
    const struct mu_journal_form *form = &record->form;
    if (record->type == MU_JOURNAL_FORM)
        add (form->job, form->generation, form->until_step, form->members.items[0].name, false);
    else if (record->type == MU_JOURNAL_LEASE)
        add (record->lease.job, record->lease.generation, record->lease.until_step, "", false);
    else if (record->type == MU_JOURNAL_SAVE)
        add (record->save.job, record->save.generation, record->save.step, record->save.worker,
             true); /* that step is its own word, too: it has the job, and says that it stands there */
    else if (record->type == MU_JOURNAL_COMMIT)
        CHECK (may_write (&record->commit),
               "step %" PRIu64 " of job %" PRIu64
               " is committed on the word of %s, which was not to "
               "write it",
               record->commit.step, record->commit.job, record->commit.worker);
}
