/* SPDX-License-Identifier: Apache-2.0 */
/* test_forget.c - jobs that ended long ago are forgotten, and their rows go
 *
 * A core decides, its records go into a store, and whoever replays that store forgets the same, however much of it
 * is folded away. */
#include "coordinator/core.h"
#include "coordinator/io_compact.h"
#include "tests/unit/compact_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define DAY_MS   UINT64_C (86400000)
#define BEGIN_MS (1000 * DAY_MS)

static struct {
    char dir[64];
    struct store *store;
    struct store_batch *batch;
    struct coord_options options;
    struct coord *coord;
    struct coord_actions actions;
    uint64_t now_ms, unix_ms;
    struct mu_wire said;          /* the newest answer */
    char text[MU_ERROR_TEXT_MAX]; /* of a REFUSED */
} bed;

/* --- the bed ---------------------------------------------------------------------------------- */

static void step (struct coord_event event)
{
    struct mu_error error = { .text = "" };
    event.now_ms = ++bed.now_ms;
    event.unix_ms = bed.unix_ms;
    event.peer = 100;
    bed.actions.count = 0;
    coord_step (bed.coord, &event, &bed.actions);
    for (uint32_t i = 0; i < bed.actions.count; i++) {
        const struct coord_action *action = &bed.actions.list[i];
        if (action->type == COORD_STORE && store_batch_add (bed.batch, &action->store, &error))
            fail_msg ("%s", error.text);
        if (action->type == COORD_SEND)
            bed.said = action->send.wire;
        if (action->type == COORD_SEND && action->send.wire.type == MU_WIRE_REFUSED)
            snprintf (bed.text, sizeof bed.text, "%.*s", (int)action->send.wire.refused.text.size,
                      (const char *)action->send.wire.refused.text.data);
    }
    if (store_batch_count (bed.batch) > 5000 &&
        store_commit (bed.store, bed.batch, bed.unix_ms, &error))
        fail_msg ("%s", error.text);
}

static void commit (void)
{
    struct mu_error error = { .text = "" };
    if (store_commit (bed.store, bed.batch, bed.unix_ms, &error))
        fail_msg ("%s", error.text);
}

static int apply (void *arg, const struct mu_journal *record, struct mu_error *error)
{
    return coord_apply (arg, record, error);
}

/* The store's records, in a new core; `bad`: so many could not be taken. */
static struct coord *replay (uint64_t *records, uint64_t bad)
{
    uint64_t found;
    struct mu_error error = { .text = "" };
    struct coord *coord = coord_create (&bed.options);
    if (store_replay (bed.store, apply, coord, records, &found, &error))
        fail_msg ("%s", error.text);
    assert_int_equal (found, bad);
    return coord;
}

static void restart (uint64_t bad)
{
    uint64_t records;
    commit ();
    coord_destroy (&bed.coord);
    bed.coord = replay (&records, bad);
    step ((struct coord_event){ .type = COORD_START,
                                .reign.lost_jobs = store_lost_jobs (bed.store) });
}

static void open_bed (uint32_t jobs_max, uint64_t history_ms)
{
    bed.options =
        (struct coord_options){ .version = "test", .jobs_max = jobs_max, .history_ms = history_ms };
    bed.now_ms = 1000;
    bed.unix_ms = BEGIN_MS;
    restart (0);
}

static int begin (void **state)
{
    (void)state;
    memset (&bed, 0, sizeof bed);
    strcpy (bed.dir, "/tmp/muster-forget-XXXXXX");
    if (!mkdtemp (bed.dir) || store_open (&bed.store, bed.dir, NULL))
        return -1;
    bed.batch = store_batch_create ();
    return 0;
}

static int end (void **state)
{
    (void)state;
    char command[128];
    coord_destroy (&bed.coord);
    free (bed.actions.list);
    store_batch_destroy (&bed.batch);
    store_close (&bed.store);
    snprintf (command, sizeof command, "rm -rf %s", bed.dir);
    return system (command);
}

/* --- what people do --------------------------------------------------------------------------- */

static uint64_t submit (const char *key)
{
    struct mu_journal_submit job = { .spec = { "{}", 2 },
                                     .name = "name",
                                     .workers_min = 1,
                                     .workers_max = 1,
                                     .micro_batches = 1,
                                     .global_batch = 1,
                                     .window_steps = 16,
                                     .steps = 100 };
    struct mu_wire wire = { .type = MU_WIRE_SUBMIT, .submit = { .request = 1, .spec = job.spec } };
    mu_text_set (wire.submit.key, sizeof wire.submit.key, key);
    step ((struct coord_event){ .type = COORD_RECEIVE, .wire = &wire, .submit = &job });
    assert_int_equal (bed.said.type, MU_WIRE_SUBMITTED);
    return bed.said.submitted.job;
}

static void cancel (uint64_t job)
{
    struct mu_wire wire = { .type = MU_WIRE_CONTROL, .control = { .request = 1, .verb = 1 } };
    snprintf (wire.control.job, sizeof wire.control.job, "%llu", (unsigned long long)job);
    step ((struct coord_event){ .type = COORD_RECEIVE, .wire = &wire });
    assert_int_equal (bed.said.type, MU_WIRE_ACCEPTED);
}

/* So many, one after another, each of which ends so long after the one before. */
static void end_jobs (uint32_t count, uint64_t apart_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        cancel (submit (""));
        bed.unix_ms += apart_ms;
    }
}

static void look (void)
{
    uint64_t count;
    do {
        count = bed.coord->durable.forgotten_count;
        step ((struct coord_event){ .type = COORD_TIMER });
    } while (bed.coord->durable.forgotten_count > count);
}

static uint32_t remembered (const struct coord *coord)
{
    uint32_t count = 0;
    for (uint64_t job = 0; (job = coord_job_next (coord, job));)
        count++;
    return count;
}

static struct compaction_counts compact (uint64_t before_ms)
{
    commit ();
    return compact_store (bed.store, bed.dir, before_ms);
}

/* Who replays the store knows the same. How many records that takes. */
static uint64_t check_replay (void)
{
    uint64_t records;
    commit ();
    struct coord *coord = replay (&records, 0);
    assert_true (coord_digest (coord) == coord_digest (bed.coord));
    coord_destroy (&coord);
    return records;
}

static int change (void *arg, sqlite3 *writer, struct mu_error *error)
{
    (void)error;
    return sqlite3_exec (writer, arg, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

static void sql (const char *text)
{
    assert_int_equal (store_change (bed.store, change, (void *)(uintptr_t)text, NULL), 0);
}

/* --- which -------------------------------------------------------------------------------------- */

static void the_newest_are_remembered (void **state)
{
    (void)state;
    open_bed (10, 0);
    uint64_t live = submit ("live"), first = submit ("first");
    cancel (first);
    end_jobs (9, 1);
    look ();
    assert_int_equal (remembered (bed.coord), 11); /* ten, and one that waits */
    assert_int_equal (submit ("first"), first);
    end_jobs (1, 1);
    look ();
    assert_int_equal (remembered (bed.coord), 11);
    assert_true (coord_job_is_forgotten (bed.coord, first));
    assert_false (coord_job_is_forgotten (bed.coord, live));
    end_jobs (200, 1);
    look ();
    assert_int_equal (remembered (bed.coord), 11);
    assert_int_equal (submit ("live"), live);
    assert_int_equal (submit ("first"),
                      213); /* its key went with it; its number is not given again */
    check_replay ();
}

static void none_is_forgotten_unless_it_is_said (void **state)
{
    (void)state;
    open_bed (0, 0);
    end_jobs (500, DAY_MS);
    look ();
    assert_int_equal (remembered (bed.coord), 500);
}

static void what_is_forgotten_is_said (void **state)
{
    (void)state;
    open_bed (1, 0);
    end_jobs (3, 1);
    look ();
    struct mu_wire wire = { .type = MU_WIRE_JOBS, .jobs = { .request = 1, .job = "1" } };
    step ((struct coord_event){ .type = COORD_RECEIVE, .wire = &wire });
    assert_int_equal (bed.said.type, MU_WIRE_REFUSED);
    assert_int_equal (bed.said.refused.code, MU_NOT_FOUND);
    assert_non_null (strstr (bed.text, "is forgotten"));
    strcpy (wire.jobs.job, "4");
    step ((struct coord_event){ .type = COORD_RECEIVE, .wire = &wire });
    assert_non_null (strstr (bed.text, "There is no job 4"));
    strcpy (wire.jobs.job, "");
    step ((struct coord_event){ .type = COORD_RECEIVE, .wire = &wire });
    assert_int_equal (bed.said.job_list.jobs.count, 1);
    assert_int_equal (bed.said.job_list.jobs.items[0].job, 3);
}

/* One a day. */
static void none_is_forgotten_before_its_time (void **state)
{
    (void)state;
    open_bed (5, 30 * DAY_MS);
    end_jobs (100, DAY_MS);
    look ();
    uint64_t oldest = coord_job_next (bed.coord, 0);
    assert_in_range (oldest, 66,
                     69); /* those of the last thirty days, and of the day that is waited for */
    end_jobs (1000, 0);   /* many at once */
    look ();
    assert_in_range (remembered (bed.coord), 1030, 1034);
    bed.unix_ms += 40 * DAY_MS;
    end_jobs (1, 0);
    look ();
    assert_in_range (remembered (bed.coord), 1031, 1035); /* is it the clock? */
    bed.unix_ms += DAY_MS + 1;
    end_jobs (100, 0);
    look ();
    assert_int_equal (remembered (bed.coord), 101); /* what went on for a day is no mistake */
    check_replay ();
}

/* Sixty days ahead for a while, and set right again. */
static void a_clock_that_is_ahead_costs_nothing (void **state)
{
    (void)state;
    open_bed (5, 30 * DAY_MS);
    end_jobs (29, DAY_MS);
    bed.unix_ms += 60 * DAY_MS;
    end_jobs (20, 1000);
    look ();
    assert_int_equal (remembered (bed.coord), 49);
    bed.unix_ms -= 60 * DAY_MS;
    end_jobs (20, 1000);
    look ();
    assert_int_equal (remembered (bed.coord), 69);
}

/* It is sixty days ahead once more a day later, or a coordinator's is that takes the place of another now and then. What came
 * in between was not ahead. */
static void nor_does_one_that_is_ahead_twice (void **state)
{
    (void)state;
    open_bed (5, 30 * DAY_MS);
    end_jobs (10, DAY_MS);
    for (int i = 0; i < 3; i++) {
        bed.unix_ms += 60 * DAY_MS;
        end_jobs (20, 1000);
        look ();
        assert_int_equal (remembered (bed.coord), 30 + i * 25);
        bed.unix_ms -= 60 * DAY_MS;
        end_jobs (5, DAY_MS);
        look ();
        assert_int_equal (remembered (bed.coord), 35 + i * 25);
    }
}

/* --- records ------------------------------------------------------------------------------------ */

static bool is_taken (uint64_t first, uint64_t last, uint64_t numbers)
{
    struct mu_error error;
    struct mu_journal record = {
        .type = MU_JOURNAL_FORGOTTEN,
        .forgotten = { .job = first, .last = last, .numbers = numbers, .time_ms = 1 }
    };
    return !coord_apply (bed.coord, &record, &error);
}

/* A bit that fell over in it would cost jobs that live, or the numbers of all that come. */
static void a_record_that_makes_no_sense_is_refused (void **state)
{
    (void)state;
    open_bed (0, 0);
    end_jobs (5, 1);
    submit ("6");
    end_jobs (1, 1);
    uint64_t before = coord_digest (bed.coord);
    assert_false (is_taken (0, 2, 3));
    assert_false (is_taken (3, 2, 0));
    assert_false (is_taken (1, 5, 4));
    assert_false (is_taken (1, 7, 7)); /* one waits */
    assert_false (is_taken (7, 9, 3)); /* some are known, and some are not */
    assert_false (is_taken (8, UINT64_MAX, UINT64_MAX - 7));
    assert_true (coord_digest (bed.coord) == before);
    assert_true (is_taken (2, 4, 3));
    assert_true (is_taken (1, 5, 5)); /* some were before */
    assert_int_equal (remembered (bed.coord), 2);
    assert_true (is_taken (8, 10, 3));
    assert_int_equal (coord_job_count (bed.coord), 10);
    assert_int_equal (submit (""), 11);
}

static void rows_of_the_forgotten_go (void **state)
{
    (void)state;
    open_bed (10, 0);
    uint64_t live = submit ("live");
    for (uint32_t round = 0; round < 30; round++) {
        end_jobs (100, 1);
        look ();
        compact (UINT64_MAX);
        /* of each that is remembered SUBMIT and STATE; one that waits; a run on both its sides; REIGN */
        assert_in_range (check_replay (), 1, 2 * 10 + 1 + 2 + 1);
        assert_int_equal (compact (UINT64_MAX).gone, 0);
    }
    check_store (bed.dir);
    restart (0);
    assert_int_equal (submit ("live"), live);
    assert_int_equal (submit (""), 3002);
}

/* Until it is old it stays: who follows the journal from before it has those jobs. */
static void what_forgot_them_stays_while_it_is_young (void **state)
{
    (void)state;
    open_bed (10, 0);
    end_jobs (100, 0);
    look ();
    bed.unix_ms += DAY_MS;
    commit ();
    assert_true (compact (BEGIN_MS + 1).gone > 0);
    assert_int_equal (check_replay (), 2 * 10 + 1 + 1 + 1);
    assert_int_equal (compact (BEGIN_MS + 1).gone, 0);
    assert_int_equal (compact (BEGIN_MS + DAY_MS + 1).gone, 1);
    assert_int_equal (check_replay (), 2 * 10 + 1 + 1);
    check_store (bed.dir);
}

/* A plan takes so many rows, and leaves the rest to the next. */
static void a_plan_takes_a_part (void **state)
{
    (void)state;
    struct compaction_counts counts;
    open_bed (10, 0);
    end_jobs (15000, 0);
    look ();
    assert_int_equal (remembered (bed.coord), 10);
    for (uint32_t plans = 1; (counts = compact (UINT64_MAX)).more; plans++) {
        assert_in_range (counts.gone, 1000, 41000);
        assert_in_range (plans, 1, 4);
        check_replay ();
    }
    assert_int_equal (check_replay (), 2 * 10 + 1 + 1);
    assert_int_equal (compact (UINT64_MAX).gone, 0);
    check_store (bed.dir);
}

static uint64_t drawn;

static uint64_t draw (uint64_t below)
{
    drawn = drawn * UINT64_C (6364136223846793005) + 1442695040888963407;
    return (drawn >> 33) % below;
}

/* Whatever lives between them, whenever it is folded, however often all begins anew. */
static void in_any_order (void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t waiting[400];
        uint32_t count = 0;
        drawn = seed;
        open_bed ((uint32_t)draw (20) + 1, draw (3) * DAY_MS);
        for (uint32_t i = 0; i < 400; i++) {
            if (count < 400 && draw (5))
                waiting[count++] = submit ("");
            for (uint64_t ends = draw (3); ends && count; ends--) {
                uint64_t at = draw (2) ? draw (count) : 0;
                cancel (waiting[at]);
                waiting[at] = waiting[--count];
            }
            bed.unix_ms += draw (2) ? draw (DAY_MS) : 0;
            if (!draw (4))
                look ();
            if (!draw (20))
                compact (draw (2) ? UINT64_MAX : bed.unix_ms - draw (3) * DAY_MS);
            if (!draw (20))
                check_replay ();
            if (!draw (40))
                restart (0);
        }
        while (count)
            cancel (waiting[--count]);
        look ();
        compact (UINT64_MAX);
        check_replay ();
        check_store (bed.dir);
        bed.options.history_ms = 0;
        restart (0);
        look ();
        assert_in_range (remembered (bed.coord), 1, bed.options.jobs_max + 1);
        end (NULL);
        assert_int_equal (begin (NULL), 0);
    }
}

/* --- damage ------------------------------------------------------------------------------------- */

/* The one record that gives the numbers of many jobs: without it those of all that come later hold. */
static void what_gives_their_numbers_is_damaged (void **state)
{
    (void)state;
    for (int many = 0; many < 2; many++) {
        open_bed (10, 0);
        end_jobs (many ? 3000 : 300, 0);
        uint64_t live = submit ("live");
        look ();
        compact (UINT64_MAX);
        sql ("UPDATE journal SET body = x'00' WHERE type = 71");
        restart (1);
        assert_int_equal (submit ("live"), live);
        assert_int_equal (submit (""), live + 1);
        assert_int_equal (coord_job_is_forgotten (bed.coord, 100), many);
        assert_int_equal (coord_job_is_lost (bed.coord, 100), !many); /* and that is told */
        compact (UINT64_MAX);
        check_replay ();
        end (NULL);
        assert_int_equal (begin (NULL), 0);
    }
}

/* Where no job is known before it takes no room, however many they are. */
static void what_gives_the_numbers_of_millions_is_damaged (void **state)
{
    (void)state;
    const uint64_t many = 300 * UINT64_C (1000000);
    struct mu_journal record = { .type = MU_JOURNAL_FORGOTTEN,
                                 .forgotten = { .job = 1, .last = many, .numbers = many } };
    open_bed (10, 0);
    assert_int_equal (store_batch_add (bed.batch, &record, NULL), 0);
    restart (0);
    uint64_t live = submit ("live");
    assert_int_equal (live, many + 1);
    commit ();
    sql ("UPDATE journal SET body = x'00' WHERE type = 71");
    restart (1);
    assert_int_equal (submit ("live"), live);
    end_jobs (100, 0);
    look ();
    assert_int_equal (remembered (bed.coord), 11);
    compact (UINT64_MAX);
    check_replay ();
    cancel (live);
    end_jobs (100, 0);
    look ();
    compact (UINT64_MAX);
    assert_int_equal (check_replay (), 2 * 10 + 1 + 1);
    assert_int_equal (compact (UINT64_MAX).gone, 0);
    assert_int_equal (submit (""), many + 202);
}

/* The last job's SUBMIT is damaged, and a later record forgets others: its number is not given again. */
static void a_lost_submit_behind_the_forgotten (void **state)
{
    (void)state;
    open_bed (10, 0);
    end_jobs (300, 0);
    uint64_t lost = submit ("lost");
    look ();
    commit ();
    sql ("UPDATE journal SET body = x'00' WHERE type = 2 AND job = 301");
    restart (1);
    assert_int_equal (submit (""), lost + 1);
    end_jobs (50, 0);
    look ();
    compact (UINT64_MAX);
    check_replay ();
}

/* Its row says more than there is to be forgotten. */
static void a_bit_of_it_falls_over (void **state)
{
    (void)state;
    open_bed (10, 0);
    end_jobs (100, 0);
    look ();
    assert_int_equal (remembered (bed.coord), 10);
    commit ();
    struct mu_journal record = { .type = MU_JOURNAL_FORGOTTEN,
                                 .forgotten = { .job = 1, .last = 90 | 1 << 20, .numbers = 90 } };
    assert_int_equal (store_batch_add (bed.batch, &record, NULL), 0);
    restart (1);
    assert_int_equal (submit (""), 101);
}

#define FORGET_TEST(test) cmocka_unit_test_setup_teardown (test, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        FORGET_TEST (the_newest_are_remembered),
        FORGET_TEST (none_is_forgotten_unless_it_is_said),
        FORGET_TEST (what_is_forgotten_is_said),
        FORGET_TEST (none_is_forgotten_before_its_time),
        FORGET_TEST (a_clock_that_is_ahead_costs_nothing),
        FORGET_TEST (nor_does_one_that_is_ahead_twice),
        FORGET_TEST (a_record_that_makes_no_sense_is_refused),
        FORGET_TEST (rows_of_the_forgotten_go),
        FORGET_TEST (what_forgot_them_stays_while_it_is_young),
        FORGET_TEST (a_plan_takes_a_part),
        FORGET_TEST (in_any_order),
        FORGET_TEST (what_gives_their_numbers_is_damaged),
        FORGET_TEST (what_gives_the_numbers_of_millions_is_damaged),
        FORGET_TEST (a_lost_submit_behind_the_forgotten),
        FORGET_TEST (a_bit_of_it_falls_over),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
