/* SPDX-License-Identifier: Apache-2.0 */
/* test_compact.c - a journal of many ended jobs shrinks to some rows a job and grows no more than that
 */
#include "coordinator/coord.h"
#include "coordinator/followers.h"
#include "coordinator/io_compact.h"
#include "tests/unit/compact_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define JOBS        600u
#define GENERATIONS 15u
#define DAY_MS      86400000u

static char dir[64];
static struct store *store;
static struct store_batch *batch;

static int make_dir (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    strcpy (dir, "/tmp/muster-compact-XXXXXX");
    if (!mkdtemp (dir) || store_open (&store, dir, &error))
        return -1;
    batch = store_batch_create ();
    return 0;
}

static int remove_dir (void **state)
{
    (void)state;
    char command[128];
    store_batch_destroy (&batch);
    store_close (&store);
    snprintf (command, sizeof command, "rm -rf %s", dir);
    return system (command);
}

static void add (struct mu_journal record)
{
    struct mu_error error = { .text = "" };
    if (store_batch_add (batch, &record, &error))
        fail_msg ("%s", error.text);
}

static void move (uint64_t job, enum mu_job_state to, uint64_t time_ms)
{
    add ((struct mu_journal){
        .type = MU_JOURNAL_STATE,
        .state = { .job = job, .state = (uint32_t)to, .time_ms = time_ms, .reason = { "why", 3 } } });
}

static void generation (uint64_t job, uint64_t number)
{
    struct mu_journal_member member = { .name = "w0", .incarnation = 7 };
    struct mu_journal form = { .type = MU_JOURNAL_FORM,
                               .form = { .job = job,
                                         .generation = number,
                                         .members = { &member, 1 },
                                         .step = number,
                                         .until_step = number + 5,
                                         .world = "world",
                                         .first_map = { "\0\0", 2 },
                                         .map = { "\0\0", 2 } } };
    add (form);
    add ((struct mu_journal){ .type = MU_JOURNAL_START,
                              .start = { .job = job, .generation = number, .time_ms = 5 } });
    add ((struct mu_journal){
        .type = MU_JOURNAL_TRAINED,
        .trained = { .job = job, .generation = number, .windows = 1 + number / 64 } });
    add ((struct mu_journal){ .type = MU_JOURNAL_BROKEN,
                              .broken = { .job = job, .generation = number, .reason = "it died" } });
}

static void submit (uint64_t job)
{
    add ((struct mu_journal){ .type = MU_JOURNAL_SUBMIT,
                              .submit = { .job = job,
                                          .name = "name",
                                          .spec = { "{}", 2 },
                                          .workers_min = 1,
                                          .workers_max = 2,
                                          .micro_batches = 1,
                                          .global_batch = 4,
                                          .window_steps = 64,
                                          .steps = 1000 } });
    move (job, MU_JOB_PREPARING, 0);
    add ((struct mu_journal){
        .type = MU_JOURNAL_SIZED,
        .sized = { .job = job, .records = 100, .steps = 1000, .compute_class = "portable" } });
    for (uint64_t number = 1; number <= GENERATIONS; number++)
        generation (job, number);
}

static void drain (const char *worker, bool drained)
{
    struct mu_journal record = { .type = MU_JOURNAL_DRAIN, .drain.drained = drained };
    mu_text_set (record.drain.worker, sizeof record.drain.worker, worker);
    add (record);
}

static void commit (uint64_t unix_ms)
{
    struct mu_error error = { .text = "" };
    if (store_commit (store, batch, unix_ms, &error))
        fail_msg ("%s", error.text);
}

/* Jobs that end at `ended_ms`, one that does not, and drains that come and go. */
static void live (uint64_t first, uint64_t ended_ms)
{
    char name[32];
    for (uint64_t job = first; job < first + JOBS; job++) {
        submit (job);
        if (job > first) {
            move (job, MU_JOB_STOPPING, ended_ms);
            move (job, MU_JOB_CANCELLED, ended_ms);
        }
        snprintf (name, sizeof name, "w%u", (unsigned)(job % 50));
        drain (name, job % 3 > 0);
        if (job % 100 == 0)
            commit (ended_ms);
    }
    commit (ended_ms);
}

static int apply (void *arg, const struct mu_journal *record, struct mu_error *error)
{
    return coord_apply (arg, record, error);
}

static uint64_t digest (uint64_t *records)
{
    uint64_t bad;
    struct coord *coord = coord_create (&(struct coord_options){ .version = "test" });
    assert_int_equal (store_replay (store, apply, coord, records, &bad, NULL), 0);
    assert_int_equal (bad, 0);
    uint64_t result = coord_digest (coord);
    coord_destroy (&coord);
    return result;
}

static struct compaction_counts compact (uint64_t before_ms)
{
    return compact_store (store, dir, before_ms);
}

struct question {
    const char *sql;
    int answer;
};

static int answer (void *arg, sqlite3 *writer, struct mu_error *error)
{
    (void)error;
    struct question *question = arg;
    sqlite3_stmt *row = NULL;
    assert_int_equal (sqlite3_prepare_v2 (writer, question->sql, -1, &row, NULL), SQLITE_OK);
    if (sqlite3_step (row) == SQLITE_ROW)
        question->answer = sqlite3_column_int (row, 0);
    assert_int_equal (sqlite3_finalize (row), SQLITE_OK);
    return 0;
}

static int ask (const char *sql)
{
    struct question question = { .sql = sql };
    assert_int_equal (store_change (store, answer, &question, NULL), 0);
    return question.answer;
}

static int page_count (void) { return ask ("PRAGMA page_count"); }

static void ended_jobs_become_some_rows_each (void **state)
{
    (void)state;
    uint64_t before, after, all, left, newest;
    int first_pages = 0;
    for (uint32_t round = 0; round < 4; round++) {
        live (1 + round * JOBS, (round + 1) * DAY_MS);
        newest = store_newest (store);
        before = digest (&all);
        assert_int_equal (compact ((round + 1) * DAY_MS).jobs, 0); /* not older than that */
        struct compaction_counts counts = compact ((round + 1) * DAY_MS + 1);
        assert_true (counts.more && counts.jobs > 0); /* a transaction is bounded */
        uint64_t jobs = counts.jobs;
        while (counts.more)
            jobs += (counts = compact ((round + 1) * DAY_MS + 1)).jobs;
        assert_int_equal (jobs, JOBS - 1);
        assert_int_equal (compact ((round + 1) * DAY_MS + 1).gone, 0);
        after = digest (&left);
        assert_int_equal (before, after);
        assert_int_equal (store_newest (store), newest);
        /* SUBMIT, SIZED, FOLDED; the one that goes on; those who are drained */
        assert_in_range (left, 3 * (JOBS - 1) * (round + 1),
                         (3 * (JOBS - 1) + 4 * GENERATIONS + 3) * (round + 1) + 50);
        if (!round)
            first_pages = page_count ();
        check_store (dir);
    }
    /* three rounds later it holds three times as many folded jobs, in the room that was let go */
    assert_in_range (page_count (), 1, first_pages + first_pages / 2);
}

/* As those of the sixty-eight millionth job have. */
static void progress_whose_keys_are_negative_is_folded_with_its_job (void **state)
{
    (void)state;
    live (1, DAY_MS);
    assert_int_equal (ask ("SELECT count (*) FROM progress WHERE job = 3"), GENERATIONS);
    ask ("UPDATE progress SET key = -key WHERE job IN (1, 3)");
    while (compact (DAY_MS + 1).more)
        ;
    assert_int_equal (ask ("SELECT count (*) FROM progress WHERE job = 1"), GENERATIONS);
    assert_int_equal (ask ("SELECT count (*) FROM progress WHERE job > 1"), 0);
}

static uint64_t sure_ms (void)
{
    uint64_t unix_ms;
    struct mu_error error = { .text = "" };
    if (compaction_sure_ms (dir, &unix_ms, &error))
        fail_msg ("%s", error.text);
    return unix_ms;
}

/* A clock that is forty days ahead for some hours folds nothing that is younger. */
static void a_clock_is_believed_when_it_has_gone_on_for_a_day (void **state)
{
    (void)state;
    const uint64_t now_ms = 100 * (uint64_t)DAY_MS, ahead_ms = now_ms + 40 * (uint64_t)DAY_MS;
    assert_int_equal (sure_ms (), 0);
    drain ("a", true);
    commit (now_ms);
    assert_int_equal (sure_ms (), 0);
    drain ("b", true);
    commit (ahead_ms);
    drain ("c", true);
    commit (ahead_ms + DAY_MS - 1);
    assert_int_equal (sure_ms (), now_ms);
    drain ("d", true); /* somebody has set it right */
    commit (now_ms + DAY_MS + 5);
    assert_int_equal (sure_ms (), now_ms);
    drain ("e", true);
    commit (now_ms + 2 * (uint64_t)DAY_MS + 5);
    assert_int_equal (sure_ms (), now_ms + DAY_MS + 5);
}

/* Who begins anew on a folded journal does not use a number again. */
static void numbers_are_not_used_twice (void **state)
{
    (void)state;
    submit (1);
    move (1, MU_JOB_STOPPING, 1);
    move (1, MU_JOB_CANCELLED, 1);
    drain ("w", true);
    drain ("w", false);
    commit (1);
    uint64_t newest = store_newest (store);
    assert_true (compact (2).gone > 0);
    store_close (&store);
    assert_int_equal (store_open (&store, dir, NULL), 0);
    assert_int_equal (store_newest (store), newest);
}

/* What is appended between a plan and its carrying out stays as true as it was. */
static void a_plan_outlives_what_is_appended (void **state)
{
    (void)state;
    struct compaction *plan = NULL;
    uint64_t records;
    submit (1);
    move (1, MU_JOB_STOPPING, 1);
    move (1, MU_JOB_CANCELLED, 1);
    drain ("a", true);
    drain ("a", false);
    drain ("b", true);
    commit (1);
    assert_int_equal (compaction_plan (dir, 2, NULL, &plan, NULL), 0);
    drain ("a", true);
    submit (2);
    commit (1);
    uint64_t before = digest (&records);
    assert_int_equal (compaction_apply (plan, store, NULL), 0);
    compaction_destroy (&plan);
    assert_int_equal (digest (&records), before);
    check_store (dir);
}

static void a_bad_row_is_not_folded_away (void **state)
{
    (void)state;
    struct compaction *plan = NULL;
    struct mu_error error;
    add ((struct mu_journal){ .type = MU_JOURNAL_START, .start = { .job = 1, .generation = 1 } });
    commit (1);
    assert_int_equal (compaction_plan (dir, 2, NULL, &plan, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, "record 1 "));
    assert_null (plan);
}

static int take_line (void *arg, const struct store_line *line)
{
    struct mu_error error = { .text = "" };
    if (store_take (arg, line, 1, STORE_FOLLOW, &error) || store_taken (arg, line->number, &error))
        fail_msg ("%s", error.text);
    return 0;
}

struct filling {
    struct store *other;
    uint64_t newest;
};

static int fill_line (void *arg, const struct store_line *line)
{
    const struct filling *filling = arg;
    struct mu_error error = { .text = "" };
    if (store_take (filling->other, line, 1, STORE_FOLLOW, &error) ||
        (line->number == filling->newest && store_taken (filling->other, line->number, &error)))
        fail_msg ("%s", error.text);
    return 0;
}

static void open_other (struct store **other)
{
    char other_dir[80];
    struct mu_error error = { .text = "" };
    snprintf (other_dir, sizeof other_dir, "%s/other", dir);
    if (store_open (other, other_dir, &error))
        fail_msg ("%s", error.text);
}

static uint64_t bad_rows (struct store *of)
{
    uint64_t records, bad;
    struct coord *coord = coord_create (&(struct coord_options){ .version = "test" });
    assert_int_equal (store_replay (of, apply, coord, &records, &bad, NULL), 0);
    coord_destroy (&coord);
    return bad;
}

/* A journal that ends among the rows of a job, and one in which these are one row now. */
static void who_lacks_what_was_folded_needs_all (void **state)
{
    (void)state;
    struct store *other;
    const struct term_start start = { 1, 1 };
    submit (1);
    commit (1);
    open_other (&other);
    assert_int_equal (store_read_lines (store, 0, 1000, take_line, other, NULL), 0);
    uint64_t ends = store_newest (other);
    move (1, MU_JOB_STOPPING, 1);
    move (1, MU_JOB_CANCELLED, 1);
    commit (1);
    assert_int_equal (store_folded_to (store), 0);
    assert_true (followers_is_prefix (&start, 1, store_newest (store), 0, 1, ends));
    assert_true (compact (2).gone > 0);
    uint64_t folded_to = store_folded_to (store), newest = store_newest (store);
    assert_in_range (folded_to, ends + 1, newest);
    assert_false (followers_is_prefix (&start, 1, newest, folded_to, 1, ends));
    assert_true (followers_is_prefix (&start, 1, newest, folded_to, 1, folded_to));

    store_read_lines (store, ends, 1000, take_line, other, NULL); /* what would come of it */
    assert_true (bad_rows (other) > 0);

    uint64_t fills = store_fills (other);
    assert_int_equal (store_take (other, NULL, 0, STORE_FRESH, NULL), 0);
    assert_true (store_fills (other) > fills);
    assert_int_equal (store_folded_to (other), 0); /* not before it is whole */
    fills = store_fills (other);
    struct filling whole = { .other = other, .newest = newest };
    assert_int_equal (store_read_lines (store, 0, 1000, fill_line, &whole, NULL), 0);
    assert_true (store_fills (other) > fills);
    assert_int_equal (store_folded_to (other), newest);
    assert_int_equal (bad_rows (other), 0);
    store_close (&other);

    store_close (&store);
    assert_int_equal (store_open (&store, dir, NULL), 0);
    assert_int_equal (store_folded_to (store), folded_to);
}

/* The linker puts it in malloc_trim ()'s place (--wrap). */
static unsigned trimmed;
int __wrap_malloc_trim (size_t pad);
int __wrap_malloc_trim (size_t pad)
{
    trimmed += pad == 0;
    return 1;
}

/* It took as much memory as all jobs that are remembered do. */
static void a_look_that_finds_nothing_gives_its_memory_back (void **state)
{
    (void)state;
    live (1, 2 * DAY_MS);
    commit (2 * DAY_MS);
    trimmed = 0;
    assert_int_equal (compact_store (store, dir, DAY_MS).gone, 0);
    assert_int_equal (trimmed, 1);
}

#define COMPACT_TEST(test) cmocka_unit_test_setup_teardown (test, make_dir, remove_dir)

int main (void)
{
    const struct CMUnitTest tests[] = {
        COMPACT_TEST (ended_jobs_become_some_rows_each),
        COMPACT_TEST (progress_whose_keys_are_negative_is_folded_with_its_job),
        COMPACT_TEST (a_clock_is_believed_when_it_has_gone_on_for_a_day),
        COMPACT_TEST (numbers_are_not_used_twice),
        COMPACT_TEST (a_plan_outlives_what_is_appended),
        COMPACT_TEST (a_bad_row_is_not_folded_away),
        COMPACT_TEST (who_lacks_what_was_folded_needs_all),
        COMPACT_TEST (a_look_that_finds_nothing_gives_its_memory_back),
    };
    return cmocka_run_group_tests_name ("compact", tests, NULL, NULL);
}
