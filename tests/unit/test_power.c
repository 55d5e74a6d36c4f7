/* SPDX-License-Identifier: Apache-2.0 */
/* test_power.c - the journal through thousands of power cuts, at any write of the real store
 *
 * A life: the store is opened, replayed, given batches until the power goes (or it is closed, and
 * the power goes then), and what reached the disk is drawn by chance (power_vfs.h). In the next life
 * every batch whose commit returned 0 must be there, the one that was under way wholly or not at
 * all, and nothing else; the database opens and SQLite finds nothing wrong with it.
 *
 * Each batch k is told apart by its records: drains of workers "k.i of n", a submit of job k with a
 * spec of its own length, progress that holds k. That the test can fail is tested too: with a
 * disk that lies, and with the store's own PRAGMA weakened on its way to SQLite.
 *
 * MUSTER_POWER_CUTS: cuts to make, default 1,500. MUSTER_POWER_SEED: the first seed. */
#include "coordinator/io_store.h"
#include "power_vfs.h"

#include <inttypes.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LIVES     6 /* cuts of one database */
#define BATCH_MAX 7
#define SPEC_MAX  60000
#define JOB       1 /* whose progress is told */

static char dir[64];
static const char *synchronous; /* instead of FULL; NULL: as it is */

/* From the second life of a database on, so that it is a commit that is lost, not the first opening. */
static const char *weaker;
static bool lies;

int __real_sqlite3_exec (sqlite3 *database, const char *sql,
                         int (*each) (void *, int, char **, char **), void *arg, char **message);
int __wrap_sqlite3_exec (sqlite3 *database, const char *sql,
                         int (*each) (void *, int, char **, char **), void *arg, char **message);

/* The store's SQL passes here, so that a mutant needs no second store. */
int __wrap_sqlite3_exec (sqlite3 *database, const char *sql,
                         int (*each) (void *, int, char **, char **), void *arg, char **message)
{
    static const char word[] = "synchronous=FULL";
    const char *at = synchronous ? strstr (sql, word) : NULL;
    if (!at)
        return __real_sqlite3_exec (database, sql, each, arg, message);
    char text[512];
    snprintf (text, sizeof text, "%.*ssynchronous=%s%s", (int)(at - sql), sql, synchronous,
              at + strlen (word));
    return __real_sqlite3_exec (database, text, each, arg, message);
}

int __real_fsync (int fd);
int __wrap_fsync (int fd);

static ino_t synced[64]; /* by the store itself, not by SQLite */
static uint32_t synced_count;

int __wrap_fsync (int fd)
{
    struct stat about;
    if (synced_count < sizeof synced / sizeof *synced && !fstat (fd, &about))
        synced[synced_count++] = about.st_ino;
    return __real_fsync (fd);
}

static bool was_synced (const char *path)
{
    struct stat about;
    bool found = false;
    for (uint32_t i = 0; !stat (path, &about) && i < synced_count; i++)
        found = found || synced[i] == about.st_ino;
    return found;
}

/* --- what is believed of a database ----------------------------------------------------------- */

struct world {
    uint64_t seed, random;
    uint64_t acknowledged; /* batches 1 to this one */
    uint64_t under_way;    /* one more than that, or 0: was it stored? not known */
    uint64_t id;           /* of the database, once store_open () returned 0 */
    char wrong[256];       /* "": nothing is */
};

static uint64_t draw (struct world *world, uint64_t below)
{
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (world->random >> 33) % below;
}

/* All of it follows from its number, so that the reader knows what to expect. */
static uint32_t drains_of (uint64_t batch) { return (uint32_t)(batch * 7 % BATCH_MAX); }
static uint32_t spec_of (uint64_t batch)
{
    return batch % 3 ? (uint32_t)(batch * 131 % 500) : (uint32_t)(batch * 7919 % SPEC_MAX);
}

static int add_batch (struct store_batch *batch, uint64_t number, struct mu_error *error)
{
    static char spec[SPEC_MAX];
    memset (spec, 'a' + (int)(number % 26), sizeof spec);
    for (uint32_t i = 0; i < drains_of (number); i++) {
        struct mu_journal drain = { .type = MU_JOURNAL_DRAIN };
        snprintf (drain.drain.worker, sizeof drain.drain.worker, "%" PRIu64 ".%u", number, i);
        if (store_batch_add (batch, &drain, error))
            return -1;
    }
    struct mu_journal trained = { .type = MU_JOURNAL_TRAINED,
                                  .trained = { .job = JOB, .generation = 1, .windows = number } };
    struct mu_journal submit = { .type = MU_JOURNAL_SUBMIT,
                                 .submit = { .job = number,
                                             .name = "power",
                                             .workers_min = 1,
                                             .workers_max = 1,
                                             .micro_batches = 1,
                                             .global_batch = 1,
                                             .window_steps = 16,
                                             .spec = { spec, spec_of (number) } } };
    return store_batch_add (batch, &trained, error) || store_batch_add (batch, &submit, error);
}

/* --- reading it back -------------------------------------------------------------------------- */

struct read {
    struct world *world;
    uint64_t batch, windows; /* the newest whole batch; progress */
    uint32_t drains;         /* of the batch after it, so far */
};

static int wrong (struct world *world, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static int wrong (struct world *world, const char *format, ...)
{
    va_list list;
    va_start (list, format);
    if (!*world->wrong)
        vsnprintf (world->wrong, sizeof world->wrong, format, list);
    va_end (list);
    return -1;
}

static bool is_filled (const struct mu_blob *spec, char letter)
{
    const char *bytes = spec->data;
    for (uint32_t i = 0; i < spec->size; i++)
        if (bytes[i] != letter)
            return false;
    return true;
}

static int see (void *arg, const struct mu_journal *record, struct mu_error *error)
{
    (void)error;
    struct read *read = arg;
    uint64_t next = read->batch + 1;
    char name[32];
    switch ((int)record->type) {
    case MU_JOURNAL_DRAIN:
        snprintf (name, sizeof name, "%" PRIu64 ".%u", next, read->drains++);
        if (strcmp (name, record->drain.worker))
            wrong (read->world, "%s is read where %s was stored", record->drain.worker, name);
        return 0;
    case MU_JOURNAL_TRAINED: read->windows = record->trained.windows; return 0;
    case MU_JOURNAL_SUBMIT:
        if (record->submit.job != next || read->drains != drains_of (next) ||
            record->submit.spec.size != spec_of (next) ||
            !is_filled (&record->submit.spec, (char)('a' + next % 26)))
            wrong (read->world, "job %" PRIu64 " is not what was stored", record->submit.job);
        read->batch = next;
        read->drains = 0;
        return 0;
    default: return wrong (read->world, "a record of type %d was never stored", (int)record->type);
    }
}

static void check_sqlite (struct world *world)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *row = NULL;
    char path[128];
    snprintf (path, sizeof path, "%s/muster.db", dir);
    if (sqlite3_open_v2 (path, &database, SQLITE_OPEN_READONLY, NULL) ||
        sqlite3_prepare_v2 (database, "PRAGMA integrity_check", -1, &row, NULL) ||
        sqlite3_step (row) != SQLITE_ROW ||
        strcmp ((const char *)sqlite3_column_text (row, 0), "ok") != 0)
        wrong (world, "SQLite's own check: %s", sqlite3_errmsg (database));
    sqlite3_finalize (row);
    row = NULL;
    if (sqlite3_prepare_v2 (database, "SELECT count (*) FROM job", -1, &row, NULL) ||
        sqlite3_step (row) != SQLITE_ROW ||
        (uint64_t)sqlite3_column_int64 (row, 0) != world->acknowledged)
        wrong (world, "the table of jobs does not follow the journal");
    sqlite3_finalize (row);
    sqlite3_close (database);
}

/* With the power on: is all there? */
static void check (struct world *world)
{
    struct mu_error error = { .text = "" };
    struct store *store = NULL;
    struct read read = { .world = world };
    uint64_t records, bad;
    if (store_open (&store, dir, &error)) {
        wrong (world, "it does not open: %.*s", 200, error.text);
        return;
    }
    if (world->id && store_id (store) != world->id)
        wrong (world, "it is another database");
    if (store_replay (store, see, &read, &records, &bad, &error) || bad)
        wrong (world, "it is not read: %" PRIu64 " bad records, %.*s", bad, 200, error.text);
    if (read.batch != world->acknowledged && (!world->under_way || read.batch != world->under_way))
        wrong (world, "%" PRIu64 " batches are there of %" PRIu64 " that were acknowledged",
               read.batch, world->acknowledged);
    if (read.drains || (read.batch && read.windows != read.batch))
        wrong (world, "a batch is half there: %u drains, progress %" PRIu64 " of batch %" PRIu64,
               read.drains, read.windows, read.batch);
    world->acknowledged = read.batch;
    world->under_way = 0;
    check_sqlite (world);
    world->id = store_id (store);
    store_close (&store);
}

/* --- lives ------------------------------------------------------------------------------------ */

/* The WAL is copied back into the database between commits when it has 4096 frames: big batches,
 * so that some lives see that too, and its beginning written over. */
static int commit_one (struct world *world, struct store *store, uint32_t batches)
{
    struct store_batch *batch = store_batch_create ();
    uint64_t first = world->acknowledged + 1;
    int rc = 0;
    for (uint32_t i = 0; !rc && i < batches; i++)
        rc = add_batch (batch, first + i, NULL);
    rc = rc || store_commit (store, batch, 1000, NULL);
    store_batch_destroy (&batch);
    world->under_way = rc ? first + batches - 1 : 0;
    if (!rc)
        world->acknowledged += batches;
    return rc;
}

static void live (struct world *world, bool big)
{
    struct store *store = NULL;
    if (store_open (&store, dir, NULL))
        return;
    world->id = store_id (store);
    uint64_t commits = big ? 25 : draw (world, 12);
    for (uint64_t i = 0; i < commits; i++)
        if (commit_one (world, store, big ? 40 : 1))
            break;
    store_close (&store);
}

/* One database, cut off LIVES times. Returns the number of cuts, and stops at what is wrong. */
static uint32_t try_seed (struct world *world, uint64_t seed)
{
    *world = (struct world){ .seed = seed, .random = seed * 2 + 1 };
    strcpy (dir, "/tmp/muster-power-XXXXXX");
    if (!mkdtemp (dir))
        fail_msg ("no folder");
    power_reset ();
    uint32_t cuts = 0;
    bool big = seed % 24 == 0;
    while (cuts < LIVES && !*world->wrong) {
        power_lie (lies && cuts);
        synchronous = cuts ? weaker : NULL;
        power_cut_after (1 + draw (world, big ? 20000 : 120), seed * LIVES + cuts);
        live (world, big);
        power_lie (false);
        synchronous = NULL;
        power_restore ();
        cuts++;
        check (world);
    }
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", dir);
    if (system (command))
        fail_msg ("%s", command);
    return cuts;
}

static uint64_t number_from (const char *name, uint64_t otherwise)
{
    const char *text = getenv (name);
    return text ? strtoull (text, NULL, 10) : otherwise;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void nothing_acknowledged_is_lost (void **state)
{
    (void)state;
    struct world world;
    uint64_t cuts = 0, batches = 0, wanted = number_from ("MUSTER_POWER_CUTS", 1500);
    for (uint64_t seed = number_from ("MUSTER_POWER_SEED", 1); cuts < wanted; seed++) {
        cuts += try_seed (&world, seed);
        batches += world.acknowledged;
        if (*world.wrong)
            fail_msg ("%s (again: MUSTER_POWER_SEED=%" PRIu64 " MUSTER_POWER_CUTS=1)", world.wrong,
                      seed);
    }
    assert_true (batches > cuts); /* or hardly anything was tried */
}

/* Some seed of the first few must find what this disk, or this PRAGMA, loses. */
static void must_be_found_out (void)
{
    struct world world = { .seed = 0 };
    for (uint64_t seed = 1; seed < 200 && !*world.wrong; seed++)
        try_seed (&world, seed);
    assert_true (*world.wrong);
}

static void a_disk_that_lies_is_found_out (void **state)
{
    (void)state;
    lies = true;
    must_be_found_out ();
    lies = false;
}

static void commits_without_sync_are_found_out (void **state)
{
    (void)state;
    static const char *const weak[] = { "OFF", "NORMAL" };
    for (size_t i = 0; i < sizeof weak / sizeof *weak; i++) {
        weaker = weak[i];
        must_be_found_out ();
    }
    weaker = NULL;
}

/* SQLite syncs the names in its folder, not the folder's own. */
static void a_new_folder_outlives_the_power (void **state)
{
    (void)state;
    char parent[] = "/tmp/muster-power-XXXXXX", path[3][128];
    struct store *store = NULL;
    assert_non_null (mkdtemp (parent));
    power_reset ();
    synced_count = 0;
    snprintf (path[0], sizeof path[0], "%s", parent);
    snprintf (path[1], sizeof path[1], "%s/new", parent);
    snprintf (path[2], sizeof path[2], "%s/new/state", parent);
    assert_int_equal (store_open (&store, path[2], NULL), 0);
    store_close (&store);
    for (size_t i = 0; i < 2; i++)
        assert_true (was_synced (path[i]));
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", parent);
    assert_int_equal (system (command), 0);
}

int main (void)
{
    power_install ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (nothing_acknowledged_is_lost),
        cmocka_unit_test (a_disk_that_lies_is_found_out),
        cmocka_unit_test (commits_without_sync_are_found_out),
        cmocka_unit_test (a_new_folder_outlives_the_power),
    };
    return cmocka_run_group_tests_name ("power", tests, NULL, NULL);
}
