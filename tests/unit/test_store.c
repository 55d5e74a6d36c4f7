/* SPDX-License-Identifier: Apache-2.0 */
/* test_store.c - what was committed comes back, in order; of progress the newest alone */
#include "store_bed.h"

#include "states.h"

#include <msgpack.h>

static void records_come_back_in_order (void **state)
{
    (void)state;
    struct store *store = must_open ();
    char name[32];
    for (int i = 0; i < 100; i++) {
        snprintf (name, sizeof name, "w%d", i);
        struct mu_journal record = drain (name);
        commit (store, &record);
    }
    assert_int_equal (store_newest (store), 100);
    store_close (&store);
    store = must_open ();
    assert_int_equal (store_newest (store), 100);
    struct seen seen = replay (store, NULL, 0);
    assert_int_equal (seen.count, 100);
    assert_string_equal (seen.last, "w99");
    store_close (&store);
}

/* Both kinds in one batch: rows go into the two tables several a statement. */
static void add_both (struct store_batch *batch, unsigned index)
{
    char name[32];
    snprintf (name, sizeof name, "w%u", index);
    struct mu_journal other = drain (name),
                      trained = { .type = MU_JOURNAL_TRAINED,
                                  .trained = { .job = 1, .rank = index, .windows = index + 1 } };
    assert_int_equal (store_batch_add (batch, &trained, NULL), 0);
    assert_int_equal (store_batch_add (batch, &other, NULL), 0);
}

struct both {
    unsigned drains, ranks;
};

static int see_both (void *arg, const struct mu_journal *record, struct mu_error *error)
{
    struct both *both = arg;
    char name[32];
    (void)error;
    if (record->type == MU_JOURNAL_TRAINED) {
        assert_int_equal (record->trained.rank, both->ranks);
        assert_int_equal (record->trained.windows, ++both->ranks);
    } else {
        snprintf (name, sizeof name, "w%u", both->drains++);
        assert_string_equal (record->drain.worker, name);
    }
    return 0;
}

static void a_batch_of_any_size_comes_back (void **state)
{
    (void)state;
    for (unsigned size = 1; size <= 70; size += size < 40 ? 1 : 10) {
        struct store *store = must_open ();
        struct store_batch *batch = store_batch_create ();
        struct both both = { 0 };
        uint64_t records, bad;
        for (unsigned i = 0; i < size; i++)
            add_both (batch, i);
        assert_int_equal (store_commit (store, batch, 1000, NULL), 0);
        assert_int_equal (store_newest (store), 2 * size);
        assert_int_equal (store_replay (store, see_both, &both, &records, &bad, NULL), 0);
        assert_int_equal (both.drains, size);
        assert_int_equal (both.ranks, size);
        store_batch_destroy (&batch);
        store_close (&store);
        assert_int_equal (remove_dir (state) || make_dir (state), 0);
    }
}

static void only_the_newest_progress_is_kept (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_journal record = { .type = MU_JOURNAL_TRAINED, .trained = { .job = 1, .rank = 3 } };
    for (uint64_t windows = 1; windows <= 50; windows++) {
        record.trained.windows = windows;
        commit (store, &record);
    }
    record.trained.rank = 4;
    record.trained.windows = 7;
    commit (store, &record);
    assert_int_equal (store_newest (store), 51); /* a number is never used twice */
    struct seen seen = replay (store, NULL, 0);
    assert_int_equal (seen.count, 2);
    assert_int_equal (seen.windows, 7);
    store_close (&store);
}

/* However many jobs wait, and however much is trained: there is nothing to fold. */
static void what_may_go_some_day_is_counted (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct mu_journal other = drain ("w"),
                      trained = { .type = MU_JOURNAL_TRAINED, .trained = { .job = 1, .rank = 3 } },
                      submit = { .type = MU_JOURNAL_SUBMIT,
                                 .submit = { .workers_min = 1,
                                             .workers_max = 1,
                                             .micro_batches = 1,
                                             .global_batch = 1,
                                             .window_steps = 1 } };
    for (submit.submit.job = 1; submit.submit.job <= 5; submit.submit.job++) {
        commit (store, &submit);
        commit (store, &trained);
    }
    assert_int_equal (store_given (store), 0);
    commit (store, &other);
    commit (store, &other);
    assert_int_equal (store_given (store), 2);
    store_close (&store);
    store = must_open ();
    assert_int_equal (replay (store, NULL, 0).count, 8);
    assert_int_equal (store_given (store), 2);
    store_close (&store);
}

struct newest {
    uint64_t windows[1000];
    uint32_t lines;
};

static int note_line (void *arg, const struct store_line *line)
{
    struct newest *newest = arg;
    struct mu_journal record;
    msgpack_zone zone;
    msgpack_zone_init (&zone, 1024);
    assert_int_equal (
        mu_record_decode (&mu_journal_family, &record, line->body, line->size, 0, &zone, NULL), 0);
    msgpack_zone_destroy (&zone);
    assert_int_equal (newest->windows[record.trained.rank], 0); /* each once */
    newest->windows[record.trained.rank] = record.trained.windows;
    newest->lines++;
    return 0;
}

static int note_row (void *arg, uint64_t number, const struct mu_journal *record)
{
    struct newest *newest = arg;
    (void)number;
    assert_int_equal (newest->windows[record->trained.rank], record->trained.windows);
    newest->lines++;
    return 0;
}

/* Wherever in it they lie: 1,000 ranks report in turn, some more often than others. */
static void of_one_batch_too (void **state)
{
    (void)state;
    struct store *store = must_open ();
    struct store_batch *batch = store_batch_create ();
    uint64_t first = 1;
    for (uint64_t base = 0; base < 20; base += 10) { /* a batch is used again */
        struct newest sent = { .lines = 0 };
        uint32_t count = 0;
        for (uint64_t round = 1; round <= 7; round++)
            for (uint32_t rank = 0; rank < 1000; rank += round % 2 ? 1 : 3) {
                struct mu_journal record = {
                    .type = MU_JOURNAL_TRAINED,
                    .trained = { .job = 1, .generation = 2, .rank = rank, .windows = base + round }
                };
                assert_int_equal (store_batch_add (batch, &record, NULL), 0);
                count++;
            }
        store_batch_lines (batch, first, 1000, note_line, &sent);
        assert_int_equal (sent.lines, 1000);
        assert_int_equal (sent.windows[999], base + 7);
        assert_int_equal (store_commit (store, batch, 1000, NULL), 0);
        assert_int_equal (store_newest (store), first + count - 1);
        first += count;
        sent.lines = 0;
        assert_int_equal (store_read_type (store, MU_JOURNAL_TRAINED, note_row, &sent, NULL), 0);
        assert_int_equal (sent.lines, 1000);
    }
    store_batch_destroy (&batch);
    store_close (&store);
}

struct rows {
    uint64_t numbers[8];
    bool aside[8];
    uint32_t count, stop_after;
};

static int see_row (void *arg, const struct store_row *row)
{
    struct rows *rows = arg;
    rows->numbers[rows->count] = row->number;
    rows->aside[rows->count++] = row->set_aside != NULL;
    assert_true (row->size > 0 && row->body);
    if (row->set_aside)
        assert_true (*row->set_aside != '\0');
    return rows->count == rows->stop_after;
}

static struct rows read_rows (struct store *store, uint64_t after, uint64_t job, uint32_t limit,
                              uint32_t stop_after)
{
    struct rows rows = { .stop_after = stop_after };
    int rc = store_read_rows (store, after, job, limit, see_row, &rows, NULL);
    assert_int_equal (rc, stop_after > 0);
    return rows;
}

/* One job's rows, as bytes, in order, and between them what was set aside of any. */
static void rows_are_read_as_they_are_stored (void **state)
{
    (void)state;
    struct store *store = must_open ();
    for (uint64_t i = 1; i <= 6; i++) {
        struct mu_journal record = { .type = MU_JOURNAL_REWIND,
                                     .rewind = { .job = 1 + i % 2, .step = i } };
        commit (store, &record);
    }
    store_close (&store);
    change ("UPDATE journal SET body = x'93' WHERE number = 4");
    store = must_open ();
    replay (store, NULL, 1);
    struct rows rows = read_rows (store, 0, 2, 100, 0);
    assert_int_equal (rows.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal (rows.numbers[i], ((uint64_t[]){ 1, 3, 4, 5 })[i]);
        assert_int_equal (rows.aside[i], rows.numbers[i] == 4);
    }
    rows = read_rows (store, 1, 2, 2, 0);
    assert_int_equal (rows.count, 2);
    assert_int_equal (rows.numbers[1], 4);
    assert_int_equal (read_rows (store, 0, 1, 100, 2).count, 2);
    assert_int_equal (read_rows (store, 6, 1, 100, 0).count, 0);
    store_close (&store);
}

/* What came then would have got numbers below all others, and have been the first that a start reads. */
static void no_number_is_the_last_one (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    struct mu_journal record = drain ("w");
    struct store *store = must_open ();
    commit (store, &record);
    store_close (&store);
    change ("UPDATE journal SET number = 9223372036854775000");
    assert_int_equal (store_open (&store, dir, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, "9223372036854775000"));
    change ("UPDATE journal SET number = 4611686018427387905"); /* one bit */
    store = must_open ();
    commit (store, &record);
    assert_int_equal (store_newest (store), 4611686018427387906);
    store_close (&store);
}

struct pages {
    uint32_t count;
    uint64_t last;
};

static int count_events (void *arg, uint64_t number, uint64_t unix_ms, uint64_t job,
                         const struct mu_journal *record)
{
    struct pages *pages = arg;
    assert_true (number > pages->last);
    assert_int_equal (unix_ms, 1000);
    assert_int_equal (job, record->type == MU_JOURNAL_LEASE ? record->lease.job : 0);
    pages->last = number;
    pages->count++;
    return 0;
}

static void events_are_read_in_pages (void **state)
{
    (void)state;
    struct store *store = must_open ();
    for (uint64_t i = 0; i < 30; i++) {
        struct mu_journal lease = { .type = MU_JOURNAL_LEASE,
                                    .lease = { .job = i % 3 + 1, .generation = i } };
        commit (store, &lease);
    }
    struct pages pages = { 0 };
    assert_int_equal (store_read (store, 0, 0, 20, count_events, &pages, NULL), 0);
    assert_int_equal (pages.count, 20);
    assert_int_equal (store_read (store, pages.last, 0, 20, count_events, &pages, NULL), 0);
    assert_int_equal (pages.count, 30);
    pages = (struct pages){ 0 };
    assert_int_equal (store_read (store, 0, 2, 1000, count_events, &pages, NULL), 0);
    assert_int_equal (pages.count, 10);
    store_close (&store);
}

/* Jobs wait for one another on their way into the table, and what else is said of a job waits for none. */
static void the_table_of_jobs_follows (void **state)
{
    (void)state;
    uint64_t job = 0;
    struct store *store = must_open ();
    struct store_batch *batch = store_batch_create ();
    for (unsigned size = 1; size <= 40; size++) {
        for (unsigned i = 0; i < size; i++) {
            struct mu_journal submit = { .type = MU_JOURNAL_SUBMIT,
                                         .submit = { .job = ++job,
                                                     .workers_min = 1,
                                                     .workers_max = 1,
                                                     .micro_batches = 1,
                                                     .global_batch = 1,
                                                     .window_steps = 1,
                                                     .time_ms = 1000 + job,
                                                     .spec = { "{}", 2 } } };
            snprintf (submit.submit.name, sizeof submit.submit.name, "n%u", (unsigned)job);
            assert_int_equal (store_batch_add (batch, &submit, NULL), 0);
            struct mu_journal cancelled = { .type = MU_JOURNAL_STATE,
                                            .state = { .job = job, .state = MU_JOB_CANCELLED } };
            if (i % 7 == 3)
                assert_int_equal (store_batch_add (batch, &cancelled, NULL), 0);
        }
        assert_int_equal (store_commit (store, batch, 1000, NULL), 0);
    }
    store_batch_destroy (&batch);
    store_close (&store);
    char text[64];
    text_of ("SELECT count (*) || ' ' || sum (name = 'n' || job) || ' ' || "
             "sum (submitted_ms = 1000 + job) FROM job",
             text, sizeof text);
    assert_string_equal (text, "820 820 820");
    text_of ("SELECT sum (state = 'cancelled') || ' ' || sum (state = 'pending') FROM job", text,
             sizeof text);
    assert_string_equal (text, "117 703"); /* by what was said in their own batch */
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST (records_come_back_in_order),
        STORE_TEST (a_batch_of_any_size_comes_back),
        STORE_TEST (the_table_of_jobs_follows),
        STORE_TEST (only_the_newest_progress_is_kept),
        STORE_TEST (what_may_go_some_day_is_counted),
        STORE_TEST (of_one_batch_too),
        STORE_TEST (rows_are_read_as_they_are_stored),
        STORE_TEST (events_are_read_in_pages),
        STORE_TEST (no_number_is_the_last_one),
    };
    return cmocka_run_group_tests_name ("store", tests, NULL, NULL);
}
