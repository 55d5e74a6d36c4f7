/* SPDX-License-Identifier: Apache-2.0 */
/* test_ledger.c - journals made by hand: true ones are proven, each that is wrong is refused
 *
 * A job of 40 steps of 4 micro-batches of 2 records each, windows of 4 steps, 20 records. A test
 * tells a story record by record; a wrong one differs in one thing and must give the one sentence
 * that names it. */
#include "client/ledger.h"

#include "states.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MICRO_BATCHES 4u
#define STEPS         40u
#define RECORDS_MAX   64u

static struct mu_journal journal[RECORDS_MAX];
static uint32_t count;

/* --- telling a story -------------------------------------------------------------------------- */

static struct mu_journal *next (enum mu_journal_type type)
{
    assert_true (count < RECORDS_MAX);
    journal[count] = (struct mu_journal){ .type = type };
    return &journal[count++];
}

static void *keep (const void *data, size_t size) /* until the process ends */
{
    void *copy = malloc (size ? size : 1);
    assert_non_null (copy);
    if (size)
        memcpy (copy, data, size);
    return copy;
}

static void begin (void)
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

/* A member as "a", or "a<3@8" for: left generation 3 with step 8, and with "+02" its sums hold
 * micro-batches 0 and 2 of it. A capital is another process of that name. */
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

static struct mu_blob map (const char *ranks)
{
    uint8_t bytes[32] = { 0 };
    uint32_t size = 0;
    for (; *ranks; ranks++, size += 2)
        bytes[size] = (uint8_t)(*ranks - '0');
    return (struct mu_blob){ keep (bytes, size), size };
}

/* The source is the first member; `members` are separated by blanks. */
static struct mu_journal_form *form (uint64_t generation, uint64_t step, const char *members,
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

static void start (uint64_t generation)
{
    next (MU_JOURNAL_START)->start =
        (struct mu_journal_start){ .job = 1, .generation = generation };
}

static void broken (uint64_t generation)
{
    next (MU_JOURNAL_BROKEN)->broken =
        (struct mu_journal_broken){ .job = 1, .generation = generation, .reason = "a test" };
}

static void lease (uint64_t generation, uint64_t until_step)
{
    next (MU_JOURNAL_LEASE)->lease =
        (struct mu_journal_lease){ .job = 1, .generation = generation, .until_step = until_step };
}

static void trained (uint64_t generation, uint32_t rank, uint64_t windows)
{
    next (MU_JOURNAL_TRAINED)->trained = (struct mu_journal_trained){
        .job = 1, .generation = generation, .rank = rank, .windows = windows
    };
}

static void commit (uint64_t generation, uint64_t step)
{
    next (MU_JOURNAL_COMMIT)->commit =
        (struct mu_journal_commit){ .job = 1, .generation = generation, .step = step };
}

static void rewind_to (uint64_t step)
{
    next (MU_JOURNAL_REWIND)->rewind = (struct mu_journal_rewind){ .job = 1, .step = step };
}

static void leave_out (uint64_t step, uint32_t micro_batch)
{
    next (MU_JOURNAL_POISON)->poison = (struct mu_journal_poison){
        .job = 1, .step = step, .micro_batch = micro_batch, .skipped = true
    };
}

static void state (enum mu_job_state to)
{
    next (MU_JOURNAL_STATE)->state = (struct mu_journal_state){ .job = 1, .state = to };
}

/* Two workers until `step`, when the second dies with what it had of that step. */
static void two_until_one_dies (void)
{
    begin ();
    form (1, 0, "a b", "0011", "0011");
    start (1);
    lease (1, 16);
    trained (1, 0, 2);
    trained (1, 1, 2);
    broken (1);
}

static void to_the_end (uint64_t generation)
{
    start (generation);
    lease (generation, STEPS);
    trained (generation, 0, STEPS / 4);
    commit (generation, STEPS);
    state (MU_JOB_STOPPING);
    state (MU_JOB_DONE);
}

/* --- judging it ------------------------------------------------------------------------------- */

static struct ledger *judge (void)
{
    struct ledger *ledger = ledger_create ();
    for (uint32_t i = 0; i < count; i++)
        ledger_read (ledger, i + 1, &journal[i]);
    ledger_end (ledger);
    return ledger;
}

static struct ledger *proven (uint64_t steps)
{
    struct ledger *ledger = judge ();
    if (ledger->faults.count || ledger->damages.count)
        fail_msg ("refused: %s",
                  ledger->faults.count ? ledger->faults.item[0] : ledger->damages.item[0]);
    assert_int_equal (ledger_trained_steps (ledger), steps);
    return ledger;
}

/* Refused, with a sentence that says all of these, and with no second sentence. */
static void refused (const char *first, const char *second, const char *third)
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

static void trained_by (const struct ledger *ledger, uint64_t step, uint32_t m, const char *name,
                        uint64_t generation)
{
    struct ledger_share share[MICRO_BATCHES];
    assert_int_not_equal (ledger_who (ledger, step, share), LEDGER_NONE);
    assert_string_equal (ledger->workers[share[m].worker].name, name);
    assert_int_equal (ledger->generations[share[m].generation].number, generation);
}

/* --- true stories ----------------------------------------------------------------------------- */

static void nothing_yet (void **unused)
{
    (void)unused;
    begin ();
    struct ledger *ledger = proven (0);
    struct ledger_share share[MICRO_BATCHES];
    assert_int_equal (ledger_who (ledger, 0, share), LEDGER_NONE);
    ledger_destroy (&ledger);
}

static void one_generation (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b c", "0012", "0122");
    to_the_end (1);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 0, 1, "a", 1);
    trained_by (ledger, 0, 2, "b", 1);
    trained_by (ledger, 1, 2, "c", 1);
    trained_by (ledger, STEPS - 1, 0, "a", 1);
    assert_int_equal (ledger_shards (ledger), STEPS / 4 * MICRO_BATCHES);
    struct ledger_share share[MICRO_BATCHES];
    assert_int_equal (ledger_who (ledger, STEPS, share), LEDGER_NONE);
    ledger_destroy (&ledger);
}

static void while_it_runs (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b", "0011", "0011");
    start (1);
    lease (1, 24);
    trained (1, 0, 3);
    trained (1, 1, 2);
    struct ledger *ledger = proven (12); /* a rank that is further proves it for all */
    assert_int_equal (ledger_shards (ledger), 3 * 2 + 2 * 2);
    ledger_destroy (&ledger);
}

static void a_step_of_two_generations (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9+01 c", "0001", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 8, 3, "b", 1);
    trained_by (ledger, 9, 0, "a", 1); /* kept */
    trained_by (ledger, 9, 1, "a", 1);
    trained_by (ledger, 9, 2, "a", 2); /* the dead one's, done again */
    trained_by (ledger, 9, 3, "c", 2);
    trained_by (ledger, 10, 0, "a", 2);
    ledger_destroy (&ledger);
}

static void sums_kept_through_two_breaks (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9+0 c", "0001", "0011");
    start (2);
    broken (2);
    form (3, 9, "a<2@9+01 d", "0011", "0011");
    to_the_end (3);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 9, 0, "a", 1);
    trained_by (ledger, 9, 1, "a", 2);
    trained_by (ledger, 9, 2, "d", 3);
    ledger_destroy (&ledger);
}

/* Sums that are not all one's own are dropped as a whole; those of another step are nothing. */
static void dropped_sums_count_nothing (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9+01 b<1@8+23", "0111", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    for (uint32_t m = 0; m < MICRO_BATCHES; m++)
        trained_by (ledger, 9, m, m ? "b" : "a", 2);
    ledger_destroy (&ledger);
}

static bool is_left_out (const struct ledger *ledger, uint64_t step, uint32_t m)
{
    struct ledger_share share[MICRO_BATCHES];
    assert_int_not_equal (ledger_who (ledger, step, share), LEDGER_NONE);
    assert_int_equal (share[m].left_out, share[m].worker == LEDGER_NONE);
    return share[m].left_out;
}

static void poison_was_trained_by_nobody (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    leave_out (9, 3);
    form (2, 9, "a<1@9+01 c", "0001", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    assert_true (is_left_out (ledger, 9, 3));
    assert_false (is_left_out (ledger, 9, 2));
    assert_false (is_left_out (ledger, 10, 3));
    ledger_destroy (&ledger);
}

/* A trainer that dies of it only sometimes: this history had done the step before it was condemned. */
static void poison_that_was_trained_counts (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    leave_out (5, 3);
    form (2, 9, "a<1@9+01 c", "0001", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    assert_false (is_left_out (ledger, 5, 3));
    assert_false (ledger_is_left_out (ledger, history, runs, &ledger->skips[0]));
    free (history);
    ledger_destroy (&ledger);
}

static void poison_twice (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    leave_out (9, 3);
    leave_out (9, 3);
    refused ("micro-batch 3 of step 9", "left out", "twice");
}

static void poison_while_it_trains (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b", "0011", "0011");
    start (1);
    leave_out (3, 1);
    refused ("micro-batch 1 of step 3", "left out", "while a generation trains");
}

static void all_die (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    commit (1, 6);
    rewind_to (6);
    form (2, 6, "c@6 d@6", "0011", "0011");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 5, 0, "a", 1);
    trained_by (ledger, 6, 0, "c", 2);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    assert_int_equal (runs, 2);
    struct ledger_run lost = ledger_abandoned (ledger, history, runs, 0);
    assert_int_equal (lost.from, 6);
    assert_int_equal (lost.to, 8);
    lost = ledger_abandoned (ledger, history, runs, 1);
    assert_int_equal (lost.from, lost.to);
    free (history);
    ledger_destroy (&ledger);
}

/* After all died training began anew; then a checkpoint of before was heard of, and loaded. */
static void a_late_checkpoint_brings_back_what_was_given_up (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    rewind_to (0);
    form (2, 0, "c", "0000", "0000");
    start (2);
    trained (2, 0, 1);
    commit (1, 8);
    broken (2);
    form (3, 8, "d@8", "0000", "0000");
    to_the_end (3);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 3, 3, "b", 1);
    trained_by (ledger, 8, 3, "d", 3);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    struct ledger_run lost = ledger_abandoned (ledger, history, runs, 1);
    assert_int_equal (lost.from, 0);
    assert_int_equal (lost.to, 4);
    free (history);
    ledger_destroy (&ledger);
}

/* A member that was behind wrote the checkpoint when the generation that began later was over. */
static void a_checkpoint_of_one_who_was_behind (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9", "0000", "0000");
    broken (2);
    commit (2, 8);
    rewind_to (8);
    form (3, 8, "c@8", "0000", "0000");
    to_the_end (3);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 7, 3, "b", 1);
    ledger_destroy (&ledger);
}

/* Nobody reported the last steps before the break; the next generation's begin proves them. */
static void given_up_by_one_who_was_further (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    commit (1, 8);
    form (2, 11, "a<1@11", "0000", "0000");
    broken (2);
    rewind_to (8);
    form (3, 8, "c@8", "0000", "0000");
    to_the_end (3);
    struct ledger *ledger = proven (STEPS);
    uint32_t runs;
    struct ledger_run *history = ledger_history (ledger, &runs);
    assert_int_equal (runs, 2);
    struct ledger_run lost = ledger_abandoned (ledger, history, runs, 0);
    assert_int_equal (lost.from, 8);
    assert_int_equal (lost.to, 11);
    lost = ledger_abandoned (ledger, history, runs, 1);
    assert_int_equal (lost.from, lost.to);
    free (history);
    ledger_destroy (&ledger);
}

/* A coordinator that came back does not know where a trainer's state comes from; the records do. */
static void a_state_that_a_restart_forgot (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 10, "a@10", "0000", "0000");
    to_the_end (2);
    struct ledger *ledger = proven (STEPS);
    trained_by (ledger, 9, 3, "b", 1);
    ledger_destroy (&ledger);
}

/* --- wrong ones ------------------------------------------------------------------------------- */

static void two_generations_at_once (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b", "0011", "0011");
    start (1);
    form (2, 4, "a<1@4", "0000", "0000");
    refused ("generation 2", "generation 1", "two trained at once");
}

static void a_generation_is_missing (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (3, 9, "a<1@9", "0000", "0000");
    refused ("generation 3 comes after generation 1", "missing", "");
}

static void a_micro_batch_is_missing (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b", "0021", "0011");
    refused ("generation 1", "micro-batch 2 of its first step", "nobody trains it");
    begin ();
    form (1, 0, "a b", "0011", "001");
    refused ("generation 1", "later steps gives out 3 micro-batches", "a step has 4");
}

static void a_micro_batch_twice (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "a<1@9+012 c", "0001", "0011"); /* 2 was b's */
    refused ("step 9, micro-batch 2", "worker a brings it summed into generation 2",
             "generation 1 gave it to worker b, so it may count twice");
    two_until_one_dies ();
    form (2, 9, "a<1@9 c@9+3", "0001", "0011"); /* c was not there */
    refused ("step 9, micro-batch 3", "worker c", "twice");
    begin ();
    form (1, 0, "a b", "00110", "0011");
    refused ("first step gives out 5 micro-batches", "a step has 4", "");
    begin ();
    form (1, 0, "a a", "0011", "0011");
    refused ("worker a has two ranks", "", "");
}

static void steps_nobody_trained (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 20, "a<1@20", "0000", "0000");
    refused ("generation 2 begins at step 20", "held leases below step 16",
             "steps 16 to 19 were trained by nobody");
    begin ();
    form (1, 0, "a b", "0011", "0011");
    broken (1);
    form (2, 3, "a<1@3", "0000", "0000");
    refused ("generation 1", "never started", "steps 0 to 2 were trained by nobody");
    begin ();
    form (1, 3, "a@3", "0000", "0000");
    refused ("begins at step 3", "no checkpoint was committed", "never trained");
}

static void states_from_nowhere (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    form (2, 9, "c<1@9", "0000", "0000");
    refused ("worker c brings the state of generation 1", "no member", "");
    two_until_one_dies ();
    form (2, 9, "A<1@9", "0000", "0000"); /* another process of that name */
    refused ("worker a brings the state of generation 1", "no member", "");
    two_until_one_dies ();
    form (2, 10, "a<1@9", "0000", "0000");
    refused ("begins at step 10", "stood at step 9", "");
    two_until_one_dies ();
    form (2, 9, "a<7@9", "0000", "0000");
    refused ("generation 7", "no record", "");
    two_until_one_dies ();
    form (2, 9, "a<1@9", "0000", "0000")->source_rank = 4;
    refused ("rank 4 of 1", "", "");
    two_until_one_dies ();
    form (2, 9, "a<1@9", "0000", "0000");
    broken (2);
    rewind_to (8);
    form (3, 8, "a<2@8", "0000", "0000");
    refused ("generation 3 begins at step 8", "generation 2", "began later, at step 9");
}

static void going_back (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    commit (1, 6);
    form (2, 6, "c@6", "0000", "0000");
    refused ("generation 2 begins at step 6", "8 were trained", "no record says");
    two_until_one_dies ();
    commit (1, 6);
    rewind_to (5);
    form (2, 5, "c@5", "0000", "0000");
    refused ("generation 2 begins at step 5", "no checkpoint was committed", "worker c");
    two_until_one_dies ();
    rewind_to (8);
    refused ("goes back to step 8", "no more than 8", "");
}

static void windows_that_cannot_be (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b", "0011", "0011");
    start (1);
    trained (1, 0, 4);
    refused ("trained up to step 16", "leases below step 8", "");
    two_until_one_dies ();
    journal[count - 2].trained.windows = 1; /* rank 1 */
    journal[count - 2].trained.rank = 0;
    refused ("rank 0", "all windows below 1", "");
    two_until_one_dies ();
    journal[count - 2].trained.rank = 2;
    refused ("rank 2", "cannot be", "");
    begin ();
    form (1, 0, "a", "0000", "0000");
    trained (1, 0, 1);
    refused ("generation 1", "without having started", "");
    two_until_one_dies ();
    trained (1, 0, 3);
    refused ("TRAINED of generation 1", "was over", "");
    begin ();
    form (1, 0, "a", "0000", "0000");
    start (1);
    lease (1, 4);
    refused ("leases of generation 1 shrink", "", "");
    two_until_one_dies ();
    start (2);
    refused ("START speaks of generation 2", "newest is 1", "");
}

static void checkpoints_that_cannot_be (void **unused)
{
    (void)unused;
    two_until_one_dies ();
    commit (1, 20);
    refused ("checkpoint of step 20", "generation 1", "");
    two_until_one_dies ();
    commit (1, 8);
    commit (1, 4);
    refused ("step 4 is committed after step 8", "", "");
    two_until_one_dies ();
    commit (1, 16);
    state (MU_JOB_DONE);
    refused ("job is done", "16 of 40 steps", "");
}

static void no_such_job (void **unused)
{
    (void)unused;
    begin ();
    memmove (journal, journal + 1, --count * sizeof *journal);
    struct ledger *ledger = judge ();
    assert_int_equal (ledger->faults.count, 2);
    assert_non_null (strstr (ledger->faults.item[0], "never submitted"));
    assert_non_null (strstr (ledger->faults.item[1], "submit is missing"));
    ledger_destroy (&ledger);
    begin ();
    journal[1].sized.job = 1;
    journal[0].submit.global_batch = 9;
    refused ("9 records", "4 equal micro-batches", "");
}

/* --- seals ------------------------------------------------------------------------------------ */

static void seal_all (void)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct mu_shape *shape = mu_shape_find (&mu_journal_family, journal[i].type);
        const struct mu_field *seal = mu_shape_seal (shape);
        if (mu_shape_is_latest (shape))
            continue;
        hash = mu_record_hash (&mu_journal_family, &journal[i], hash);
        if (seal)
            memcpy ((uint8_t *)&journal[i] + mu_journal_family.body_offset + seal->offset, &hash,
                    sizeof hash);
    }
}

static void sealed_story (void)
{
    two_until_one_dies ();
    form (2, 9, "a<1@9+01 c", "0001", "0011");
    to_the_end (2);
    seal_all ();
}

static void damaged (void)
{
    struct ledger *ledger = judge ();
    if (!ledger->damages.count)
        fail_msg ("nobody noticed");
    assert_non_null (strstr (ledger->damages.item[0], "altered, lost or put in"));
    ledger_destroy (&ledger);
}

/* Any record, in any of its bytes that mean something; lost; and put in. */
static void altered_records (void **unused)
{
    (void)unused;
    sealed_story ();
    struct ledger *ledger = proven (STEPS);
    assert_int_equal (ledger->sealed, count);
    ledger_destroy (&ledger);
    for (uint32_t i = 0; i < count; i++) {
        const struct mu_shape *shape = mu_shape_find (&mu_journal_family, journal[i].type);
        for (uint32_t f = 1; f < shape->field_count && !mu_shape_is_latest (shape); f++) {
            const struct mu_field *field = &shape->fields[f];
            if (field->kind == MU_FIELD_LIST || field->kind == MU_FIELD_LONGTEXT ||
                field->kind == MU_FIELD_BYTES || field->seal)
                continue;
            sealed_story ();
            *((uint8_t *)&journal[i] + mu_journal_family.body_offset + field->offset) ^= 1;
            damaged ();
        }
    }
}

static void altered_lists_and_bytes (void **unused)
{
    (void)unused;
    uint32_t at = 8; /* the second FORM */
    sealed_story ();
    assert_int_equal (journal[at].type, MU_JOURNAL_FORM);
    journal[at].form.members.items[1].name[0] = 'd';
    damaged ();
    sealed_story ();
    journal[at].form.map = map ("0101");
    damaged ();
    sealed_story ();
    journal[at].form.members.items[0].kept.size = 0;
    damaged ();
    sealed_story ();
    journal[at].form.members.count = 1;
    damaged ();
}

static void lost_and_added_records (void **unused)
{
    (void)unused;
    sealed_story ();
    uint32_t length = count;
    for (uint32_t i = 1; i + 1 < length; i++) {
        sealed_story ();
        if (mu_shape_is_latest (mu_shape_find (&mu_journal_family, journal[i].type)))
            continue;
        memmove (journal + i, journal + i + 1, (--count - i) * sizeof *journal);
        damaged ();
        sealed_story ();
        memmove (journal + i + 1, journal + i, (count++ - i) * sizeof *journal);
        damaged ();
    }
}

/* --- the order of records --------------------------------------------------------------------- */

static void told (void *arg, uint64_t done, uint64_t all)
{
    (void)done, (void)all;
    ++*(uint32_t *)arg;
}

static void orders (void **unused)
{
    (void)unused;
    struct mu_error error;
    for (uint64_t records = 1; records < 300; records += 7) {
        const struct ledger ledger = { .records = records };
        uint32_t calls = 0;
        assert_int_equal (ledger_check_order (&ledger, 5, 3 * records + 1, told, &calls, &error),
                          0);
        assert_true (calls > 0);
    }
    const struct ledger none = { 0 };
    assert_int_equal (ledger_check_order (&none, 5, 0, told, NULL, &error), 0);
    assert_int_equal (ledger_check_order (&none, 5, 1, told, NULL, &error), -1);
}

static uint64_t doubled (const void *order, uint64_t place)
{
    (void)order;
    return place % 10 == 7 ? 3 : place % 10;
}

static uint64_t too_far (const void *order, uint64_t place)
{
    (void)order;
    return place % 10 == 9 ? 10 : place % 10;
}

static uint64_t back (const void *order, uint64_t epoch, uint64_t record)
{
    (void)order;
    return epoch * 10 + record;
}

static void wrong_orders (void **unused)
{
    (void)unused;
    struct mu_error error;
    uint32_t calls = 0;
    struct ledger_stream stream = { doubled, back, NULL };
    assert_int_equal (ledger_check_stream (&stream, 10, 7, told, &calls, &error), 0);
    assert_int_equal (ledger_check_stream (&stream, 10, 8, told, &calls, &error), -1);
    assert_non_null (strstr (error.text, "epoch 1 is no permutation: its place 7 holds record 3"));
    stream.record = too_far;
    assert_int_equal (ledger_check_stream (&stream, 10, 10, told, &calls, &error), -1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (nothing_yet),
        cmocka_unit_test (one_generation),
        cmocka_unit_test (while_it_runs),
        cmocka_unit_test (a_step_of_two_generations),
        cmocka_unit_test (sums_kept_through_two_breaks),
        cmocka_unit_test (poison_was_trained_by_nobody),
        cmocka_unit_test (poison_that_was_trained_counts),
        cmocka_unit_test (poison_twice),
        cmocka_unit_test (poison_while_it_trains),
        cmocka_unit_test (dropped_sums_count_nothing),
        cmocka_unit_test (all_die),
        cmocka_unit_test (a_late_checkpoint_brings_back_what_was_given_up),
        cmocka_unit_test (a_checkpoint_of_one_who_was_behind),
        cmocka_unit_test (given_up_by_one_who_was_further),
        cmocka_unit_test (a_state_that_a_restart_forgot),
        cmocka_unit_test (two_generations_at_once),
        cmocka_unit_test (a_generation_is_missing),
        cmocka_unit_test (a_micro_batch_is_missing),
        cmocka_unit_test (a_micro_batch_twice),
        cmocka_unit_test (steps_nobody_trained),
        cmocka_unit_test (states_from_nowhere),
        cmocka_unit_test (going_back),
        cmocka_unit_test (windows_that_cannot_be),
        cmocka_unit_test (checkpoints_that_cannot_be),
        cmocka_unit_test (no_such_job),
        cmocka_unit_test (altered_records),
        cmocka_unit_test (altered_lists_and_bytes),
        cmocka_unit_test (lost_and_added_records),
        cmocka_unit_test (orders),
        cmocka_unit_test (wrong_orders),
    };
    return cmocka_run_group_tests_name ("ledger", tests, NULL, NULL);
}
