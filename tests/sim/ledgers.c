/* SPDX-License-Identifier: Apache-2.0 */
/* ledgers.c - every job's ledger is proven from the journal, as `muster ledger verify` does
 *
 * With all records, and with those alone that the store keeps: of LEASE and TRAINED the newest of a
 * kind. A run in which people did their worst must still read as each micro-batch trained once, and
 * what it tells of a generation's first step, who trained which micro-batch in which generation,
 * must be what the simulated trainers did. Sums that the coordinator never heard of, as it died in
 * between, and steps that were tried again may differ in the generation, not in the worker. */
#include "ledger.h"
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define KINDS 4096u

/* --- the records that the store keeps --------------------------------------------------------- */

/* Where the newest record of each kind stands, of those whose kind has a newest. */
struct latest {
    uint64_t job, generation, at;
    uint32_t type, rank;
};

static struct latest *latest;
static uint64_t latest_count, latest_capacity;

static struct latest kind_of (const struct mu_journal *record, uint64_t at)
{
    bool trained = record->type == MU_JOURNAL_TRAINED;
    return (struct latest){ .type = record->type,
                            .job = trained ? record->trained.job : record->lease.job,
                            .generation =
                                trained ? record->trained.generation : record->lease.generation,
                            .rank = trained ? record->trained.rank : 0,
                            .at = at };
}

static int compare (const void *left, const void *right)
{
    const struct latest *a = left, *b = right;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->job != b->job)
        return a->job < b->job ? -1 : 1;
    if (a->generation != b->generation)
        return a->generation < b->generation ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* superseded[at]: the store would have dropped it. */
static bool *find_superseded (uint64_t count)
{
    bool *superseded = calloc (count + 1, sizeof *superseded);
    latest_count = 0;
    for (uint64_t at = 0; superseded && at < count; at++) {
        struct mu_journal record;
        host_record (at, &record);
        if (record.type != MU_JOURNAL_LEASE && record.type != MU_JOURNAL_TRAINED)
            continue;
        if (latest_count == latest_capacity) {
            latest_capacity = latest_capacity ? 2 * latest_capacity : KINDS;
            latest = realloc (latest, latest_capacity * sizeof *latest);
        }
        if (!latest)
            abort ();
        latest[latest_count++] = kind_of (&record, at);
    }
    if (!superseded)
        abort ();
    if (latest_count)
        qsort (latest, latest_count, sizeof *latest, compare);
    for (uint64_t i = 0; i + 1 < latest_count; i++) {
        struct latest next = latest[i + 1];
        next.at = latest[i].at;
        superseded[latest[i].at] = compare (&latest[i], &next) == 0;
    }
    return superseded;
}

/* --- what was seen ---------------------------------------------------------------------------- */

struct seen_step { /* the first of a generation, as it was reduced last */
    uint64_t job, generation, step;
    uint32_t attempt;
    uint64_t all, made_in[64];
    uint32_t worker[64];
    bool known[64];
};

static struct seen_step *seen;
static uint64_t seen_count, seen_capacity;

void ledgers_reset (void) { seen_count = 0; }

static struct seen_step *find (uint64_t job, uint64_t generation)
{
    for (uint64_t i = seen_count; i-- > 0;)
        if (seen[i].job == job && seen[i].generation == generation)
            return &seen[i];
    return NULL;
}

void ledgers_note (uint64_t job, uint64_t generation, uint32_t number)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    struct seen_step *it = find (job, generation);
    if (trainer->step != trainer->first_step)
        return;
    if (!it && seen_count == seen_capacity) {
        seen_capacity = seen_capacity ? 2 * seen_capacity : 64;
        seen = realloc (seen, seen_capacity * sizeof *seen);
        if (!seen)
            abort ();
    }
    if (!it) {
        it = &seen[seen_count++];
        *it = (struct seen_step){ .job = job, .generation = generation, .step = trainer->step };
    }
    it->attempt = trainer->attempt;
    it->all |= trainer->kept;
    for (uint32_t m = 0; m < 64; m++)
        if (trainer->kept >> m & 1) {
            it->worker[m] = number;
            it->made_in[m] = trainer->made_in[m];
            it->known[m] = !(trainer->unheard >> m & 1);
        }
}

static void compare_first_step (const struct ledger *ledger, uint32_t at)
{
    const struct ledger_generation *it = &ledger->generations[at];
    const struct seen_step *what = find (ledger->job, it->number);
    if (it->reached == it->begin)
        return;
    CHECK (what, "nobody saw the first step of generation %" PRIu64, it->number);
    for (uint32_t m = 0; m < ledger->micro_batches && m < 64; m++) {
        const char *name = ledger->workers[it->members[it->first_map[m]]].name;
        uint64_t made_in = it->origin ? ledger->generations[it->origin[m]].number : it->number;
        CHECK (what->all >> m & 1, "micro-batch %u of step %" PRIu64 " is not in the sums", m,
               it->begin);
        CHECK (!strcmp (name, worker_name (what->worker[m])),
               "step %" PRIu64 ", micro-batch %u: the ledger says %s, it was %s", it->begin, m,
               name, worker_name (what->worker[m]));
        CHECK (!what->known[m] || what->attempt != it->attempt || made_in == what->made_in[m],
               "step %" PRIu64 ", micro-batch %u of %s: the ledger says generation %" PRIu64
               ", it was %" PRIu64,
               it->begin, m, name, made_in, what->made_in[m]);
    }
}

/* --- the proof -------------------------------------------------------------------------------- */

/* Steps to which two generations gave sums. */
static uint64_t count_joint (const struct ledger *ledger)
{
    uint64_t joint = 0;
    for (uint32_t i = 0; i < ledger->generation_count; i++)
        joint += ledger->generations[i].origin &&
                 ledger->generations[i].reached > ledger->generations[i].begin;
    return joint;
}

static void check (const struct ledger *ledger)
{
    CHECK (!ledger->damages.count, "the journal of job %" PRIu64 " is said to be damaged: %s",
           ledger->job, ledger->damages.item[0]);
    CHECK (!ledger->faults.count, "the ledger of job %" PRIu64 " is refused: %s", ledger->job,
           ledger->faults.item[0]);
    for (uint32_t at = 0; at < ledger->generation_count; at++)
        compare_first_step (ledger, at);
    statistics.proofs++;
    statistics.joint_steps += count_joint (ledger);
}

void ledgers_check (uint64_t count)
{
    bool *superseded = find_superseded (count);
    uint32_t jobs = client_job_count ();
    for (int compacted = 0; compacted < 2; compacted++) {
        struct ledger **ledgers = calloc (jobs + 1, sizeof (struct ledger *));
        if (!ledgers)
            abort ();
        for (uint64_t at = 0; at < count; at++) {
            struct mu_journal record;
            host_record (at, &record);
            uint64_t job = mu_record_number (&mu_journal_family, &record, "job");
            if (!job || job > jobs || (compacted && superseded[at]) ||
                record.type == MU_JOURNAL_FORGOTTEN)
                continue;
            if (!ledgers[job])
                ledgers[job] = ledger_create ();
            ledger_read (ledgers[job], at + 1, &record);
        }
        for (uint32_t job = 1; job <= jobs; job++) {
            if (ledgers[job]) {
                ledger_end (ledgers[job]);
                check (ledgers[job]);
            }
            ledger_destroy (&ledgers[job]);
        }
        free (ledgers);
    }
    free (superseded);
}
