/* SPDX-License-Identifier: Apache-2.0 */
/* test_ledger_wrong.c - journals that are wrong in one thing get the one sentence that names it */
#include "ledger_bed.h"

#include <string.h>

/* --- stories that cannot be ------------------------------------------------------------------- */

static void two_generations_at_once (void **unused)
{
    (void)unused;
    begin ();
    form (1, 0, "a b", "0011", "0011");
    start (1);
    form (2, 4, "a<1@4", "0000", "0000");
    refused ("generation 2", "generation 1", "two trained at once");
}

static void a_state_from_nowhere (void **unused)
{
    (void)unused;
    static const char spec[] = "{\"seed\": 7, \"checkpoint\": {\"resume\": \"8\"}}";
    begin ();
    form (1, 8, "a@8 b@8", "0011", "0011");
    refused ("generation 1 begins at step 8", "no checkpoint was committed", "never trained");
    begin (); /* the job file names one, but that is not where it goes on */
    journal[0].submit.spec = (struct mu_blob){ spec, sizeof spec - 1 };
    form (1, 8, "a@8 b@8", "0011", "0011");
    start (1);
    lease (1, 16);
    broken (1);
    form (2, 24, "A@24", "0000", "0000");
    refused ("generation 2 begins at step 24", "no checkpoint was committed", "never trained");
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (two_generations_at_once),
        cmocka_unit_test (a_state_from_nowhere),
        cmocka_unit_test (a_generation_is_missing),
        cmocka_unit_test (a_micro_batch_is_missing),
        cmocka_unit_test (a_micro_batch_twice),
        cmocka_unit_test (poison_twice),
        cmocka_unit_test (poison_while_it_trains),
        cmocka_unit_test (steps_nobody_trained),
        cmocka_unit_test (states_from_nowhere),
        cmocka_unit_test (going_back),
        cmocka_unit_test (windows_that_cannot_be),
        cmocka_unit_test (checkpoints_that_cannot_be),
        cmocka_unit_test (no_such_job),
        cmocka_unit_test (altered_records),
        cmocka_unit_test (altered_lists_and_bytes),
        cmocka_unit_test (lost_and_added_records),
    };
    return cmocka_run_group_tests_name ("ledger_wrong", tests, NULL, NULL);
}