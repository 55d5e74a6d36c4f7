/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_bed.c - journals made by hand, record by record, and the ledger's judgement on them */
#include "ledger_bed.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mu_journal journal[RECORDS_MAX];
uint32_t count;

/* --- telling a story -------------------------------------------------------------------------- */

static struct mu_journal *next (enum mu_journal_type type)
{
    assert_true (count < RECORDS_MAX);
    journal[count] = (struct mu_journal){ .type = type };
    return &journal[count++];
}

/* Until the process ends, and within reach, so that it is no leak. */
static void *keep (const void *data, size_t size)
{
    static struct kept {
        struct kept *before;
        max_align_t copy[];
    } * newest;
    struct kept *kept = malloc (sizeof *kept + size);
    assert_non_null (kept);
    kept->before = newest;
    newest = kept;
    if (size)
        memcpy (kept->copy, data, size);
    return kept->copy;
}

void begin (void)
{
    static const char spec[] = "{\"seed\": 7}";
    count = 0;
    next (MU_JOURNAL_SUBMIT)->submit = (struct mu_journal_submit){
        .job = 1,
        .name = "hand",
        .spec = { spec, sizeof spec - 1 },
        .workers_min = 1,
        .workers_max = 9,
        .micro_batches = MICRO_BATCHES,
        .global_batch = 2 * MICRO_BATCHES,
        .window_steps = 4,
        .steps = STEPS,
    };
    next (MU_JOURNAL_SIZED)->sized =
        (struct mu_journal_sized){ .job = 1, .records = 20, .steps = STEPS };
}

static struct mu_journal_member member (const char *text)
{
    struct mu_journal_member it = { .incarnation = *text < 'a' ? 2 : 1 };
    uint8_t bits = 0;
    unsigned long generation = 0, step = 0;
    it.name[0] = (char)(*text | 0x20);
    if (sscanf (text + 1, "<%lu@%lu", &generation, &step) < 2)
        sscanf (text + 1, "@%lu", &step);
    for (const char *at = strchr (text, '+'); at && *++at;)
        bits |= (uint8_t)(1u << (*at - '0'));
    it.generation = generation;
    it.step = step;
    if (bits)
        it.kept = (struct mu_blob){ keep (&bits, 1), 1 };
    return it;
}

struct mu_blob map (const char *ranks)
{
    uint8_t bytes[32] = { 0 };
    uint32_t size = 0;
    for (; *ranks; ranks++, size += 2)
        bytes[size] = (uint8_t)(*ranks - '0');
    return (struct mu_blob){ keep (bytes, size), size };
}

struct mu_journal_form *form (uint64_t generation, uint64_t step, const char *members,
                              const char *first, const char *later)
{
    struct mu_journal_member list[8];
    uint32_t size = 0;
    char text[128];
    snprintf (text, sizeof text, "%s", members);
    for (char *rest = text, *one; (one = strtok_r (rest, " ", &rest));)
        list[size++] = member (one);
    struct mu_journal_form *it = &next (MU_JOURNAL_FORM)->form;
    *it = (struct mu_journal_form){ .job = 1,
                                    .generation = generation,
                                    .step = step,
                                    .first_map = map (first),
                                    .map = map (later),
                                    .until_step = step / 4 * 4 + 8 };
    it->members.items = keep (list, size * sizeof *list);
    it->members.count = size;
    return it;
}

void start (uint64_t generation)
{
    next (MU_JOURNAL_START)->start =
        (struct mu_journal_start){ .job = 1, .generation = generation };
}

void broken (uint64_t generation)
{
    next (MU_JOURNAL_BROKEN)->broken =
        (struct mu_journal_broken){ .job = 1, .generation = generation, .reason = "a test" };
}

void lease (uint64_t generation, uint64_t until_step)
{
    next (MU_JOURNAL_LEASE)->lease =
        (struct mu_journal_lease){ .job = 1, .generation = generation, .until_step = until_step };
}

void trained (uint64_t generation, uint32_t rank, uint64_t windows)
{
    next (MU_JOURNAL_TRAINED)->trained = (struct mu_journal_trained){
        .job = 1, .generation = generation, .rank = rank, .windows = windows
    };
}

void commit (uint64_t generation, uint64_t step)
{
    next (MU_JOURNAL_COMMIT)->commit =
        (struct mu_journal_commit){ .job = 1, .generation = generation, .step = step };
}

void rewind_to (uint64_t step)
{
    next (MU_JOURNAL_REWIND)->rewind = (struct mu_journal_rewind){ .job = 1, .step = step };
}

void expel (uint64_t generation, uint64_t back_step)
{
    next (MU_JOURNAL_EXPEL)->expel = (struct mu_journal_expel){
        .job = 1, .generation = generation, .agreed_step = back_step, .back_step = back_step
    };
}

void unsound (uint64_t generation, uint64_t step, uint64_t back_step)
{
    next (MU_JOURNAL_UNSOUND)->unsound = (struct mu_journal_unsound){
        .job = 1, .generation = generation, .step = step, .back_step = back_step
    };
}

void leave_out (uint64_t step, uint32_t micro_batch)
{
    next (MU_JOURNAL_POISON)->poison = (struct mu_journal_poison){
        .job = 1, .step = step, .micro_batch = micro_batch, .skipped = true
    };
}

void state (enum mu_job_state to)
{
    next (MU_JOURNAL_STATE)->state = (struct mu_journal_state){ .job = 1, .state = to };
}

void two_until_one_dies (void)
{
    begin ();
    form (1, 0, "a b", "0011", "0011");
    start (1);
    lease (1, 16);
    trained (1, 0, 2);
    trained (1, 1, 2);
    broken (1);
}

void to_the_end (uint64_t generation)
{
    start (generation);
    lease (generation, STEPS);
    trained (generation, 0, STEPS / 4);
    commit (generation, STEPS);
    state (MU_JOB_STOPPING);
    state (MU_JOB_DONE);
}

/* --- judging it ------------------------------------------------------------------------------- */

struct ledger *judge (void)
{
    struct ledger *ledger = ledger_create ();
    for (uint32_t i = 0; i < count; i++)
        ledger_read (ledger, i + 1, &journal[i]);
    ledger_end (ledger);
    return ledger;
}

struct ledger *proven (uint64_t steps)
{
    struct ledger *ledger = judge ();
    if (ledger->faults.count || ledger->damages.count)
        fail_msg ("refused: %s",
                  ledger->faults.count ? ledger->faults.item[0] : ledger->damages.item[0]);
    assert_int_equal (ledger_trained_steps (ledger), steps);
    return ledger;
}

void refused (const char *first, const char *second, const char *third)
{
    struct ledger *ledger = judge ();
    if (!ledger->faults.count)
        fail_msg ("proven, though %s %s %s", first, second, third);
    const char *text = ledger->faults.item[0];
    if (!strstr (text, first) || !strstr (text, second) || !strstr (text, third))
        fail_msg ("refused for something else: %s", text);
    if (ledger->faults.count > 1)
        fail_msg ("a second sentence: %s", ledger->faults.item[1]);
    ledger_destroy (&ledger);
}
