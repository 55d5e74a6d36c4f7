/* SPDX-License-Identifier: Apache-2.0 */
/* register_bed.c - what io_register.h promises, asked of all three registers in the same way */
#include "register_bed.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRITERS       4
#define SWAPS         20 /* each tries so many */
#define REVISIONS_MAX 400

struct history {
    _Atomic uint64_t floor;                 /* the newest revision that some ended call saw */
    _Atomic uint64_t leader[REVISIONS_MAX]; /* whose value a revision is; 0: nobody saw it yet */
    _Atomic uint64_t before[REVISIONS_MAX]; /* whose value it followed */
    _Atomic int winners[REVISIONS_MAX];
    _Atomic uint64_t refused[WRITERS][SWAPS][2]; /* revision and leader of what is not in */
    _Atomic int won, conflicts, unknown, wrong;
    char why[MU_ERROR_TEXT_MAX];
};

char dir[64], url[256], peer[PEERS][128];
const char *peers[PEERS] = { peer[0], peer[1], peer[2] };
static struct history *history;

/* --- one writer ------------------------------------------------------------------------------- */

static void wrong (const char *why)
{
    if (!atomic_fetch_add (&history->wrong, 1))
        snprintf (history->why, sizeof history->why, "%s", why);
}

struct io_register *must_open (void)
{
    struct mu_error error = { .text = "" };
    struct io_register *reg = NULL;
    const struct register_options options = { url, peers, PEERS, (uint64_t)getpid () };
    if (register_open (&reg, &options, &error))
        fail_msg ("%s", error.text);
    return reg;
}

struct reign make_next (const struct reign *present, uint64_t leader)
{
    struct reign next;
    memset (&next, 0, sizeof next);
    next.cluster = present->leader ? present->leader : 1; /* what it follows */
    next.term = present->term + 1;
    next.revision = present->revision + 1;
    next.leader = leader;
    next.in_sync_count = 1;
    next.in_sync[0] = leader;
    strcpy (next.peer, "tcp://10.0.0.1:7601");
    strcpy (next.client, "tcp://10.0.0.1:7600");
    return next;
}

static void saw (const struct reign *value, uint64_t floor)
{
    uint64_t nobody = 0;
    if (value->revision < floor)
        wrong ("an older value came back");
    if (value->revision >= REVISIONS_MAX)
        wrong ("too many revisions");
    else if (value->revision) {
        if (!atomic_compare_exchange_strong (&history->leader[value->revision], &nobody,
                                             value->leader) &&
            nobody != value->leader)
            wrong ("one revision, two values");
        atomic_store (&history->before[value->revision], value->cluster);
    }
    uint64_t newest = atomic_load (&history->floor);
    while (newest < value->revision &&
           !atomic_compare_exchange_weak (&history->floor, &newest, value->revision)) {
    }
}

static bool read_it (struct io_register *reg, struct reign *value)
{
    const uint64_t floor = atomic_load (&history->floor);
    struct mu_error error = { .text = "" };
    for (int tries = 0; tries < 20; tries++) {
        if (!register_read (reg, LIMIT_MS, value, &error)) {
            saw (value, floor);
            return true;
        }
        if (error.code != MU_UNAVAILABLE && error.code != MU_TRY_AGAIN)
            break;
    }
    wrong (error.text);
    return false;
}

static void swap_it (struct io_register *reg, const struct reign *present, const struct reign *next,
                     int writer, int number)
{
    struct mu_error error = { .text = "" };
    const uint64_t floor = atomic_load (&history->floor);
    if (!register_swap (reg, LIMIT_MS, present, next, &error)) {
        if (next->revision < floor)
            wrong ("a value was swapped in under a newer one");
        saw (next, 0);
        if (atomic_fetch_add (&history->winners[next->revision], 1))
            wrong ("two winners");
        atomic_fetch_add (&history->won, 1);
    } else if (error.code == MU_CONFLICT) {
        atomic_store (&history->refused[writer][number][0], next->revision);
        atomic_store (&history->refused[writer][number][1], next->leader);
        atomic_fetch_add (&history->conflicts, 1);
    } else if (error.code == MU_UNAVAILABLE || error.code == MU_TRY_AGAIN)
        atomic_fetch_add (&history->unknown, 1);
    else
        wrong (error.text);
}

static void write_all (int writer)
{
    struct io_register *reg = must_open ();
    for (int i = 0; i < SWAPS && !atomic_load (&history->wrong); i++) {
        struct reign present, next;
        if (!read_it (reg, &present))
            break;
        next = make_next (&present, (uint64_t)(writer + 1) * 1000 + (uint64_t)i + 10);
        if (next.revision < REVISIONS_MAX)
            swap_it (reg, &present, &next, writer, i);
    }
    register_close (&reg);
}

/* --- all of them ------------------------------------------------------------------------------ */

static void check_history (void)
{
    const uint64_t newest = atomic_load (&history->floor);
    if (atomic_load (&history->wrong))
        fail_msg ("%s", history->why);
    for (uint64_t r = 2; r <= newest; r++)
        if (atomic_load (&history->leader[r]) && atomic_load (&history->leader[r - 1]))
            assert_int_equal (atomic_load (&history->before[r]),
                              atomic_load (&history->leader[r - 1]));
    for (int i = 0; i < WRITERS * SWAPS; i++) {
        const uint64_t revision = history->refused[i / SWAPS][i % SWAPS][0];
        if (revision)
            assert_int_not_equal (atomic_load (&history->leader[revision]),
                                  history->refused[i / SWAPS][i % SWAPS][1]);
    }
    print_message ("# %d swapped, %d conflicts, %d unknown, revision %d\n",
                   atomic_load (&history->won), atomic_load (&history->conflicts),
                   atomic_load (&history->unknown), (int)newest);
    assert_true (atomic_load (&history->won) > 0);
    assert_true (newest >= (uint64_t)atomic_load (&history->won));
}

static bool wait_a_little (pid_t pid)
{
    const struct timespec little = { .tv_nsec = 20000000 };
    nanosleep (&little, NULL);
    return waitpid (pid, NULL, WNOHANG) == 0;
}

void run_writers (void (*disturb) (void))
{
    pid_t writer[WRITERS];
    history =
        mmap (NULL, sizeof *history, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal (history, MAP_FAILED);
    for (int i = 0; i < WRITERS; i++)
        if (!(writer[i] = fork ())) {
            write_all (i);
            _exit (0);
        }
    for (int i = 0; i < WRITERS; i++)
        while (wait_a_little (writer[i]))
            disturb ();
    check_history ();
    munmap (history, sizeof *history);
}

void disturb_nothing (void) {}

/* --- a register by itself --------------------------------------------------------------------- */

void check_alone (void)
{
    struct mu_error error = { .text = "" };
    struct reign value, first, second;
    struct io_register *reg = must_open ();
    if (register_read (reg, LIMIT_MS, &value, &error))
        fail_msg ("%s", error.text);
    assert_int_equal (value.term, 0);
    first = make_next (&value, 7);
    if (register_swap (reg, LIMIT_MS, &value, &first, &error))
        fail_msg ("%s", error.text);
    second = make_next (&value, 8);
    assert_int_equal (register_swap (reg, LIMIT_MS, &value, &second, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    assert_int_equal (register_read (reg, LIMIT_MS, &value, &error), 0);
    assert_memory_equal (&value, &first, sizeof value);
    second = make_next (&value, 9);
    second.revision++;
    assert_int_equal (register_swap (reg, LIMIT_MS, &value, &second, &error), -1);
    assert_int_equal (error.code, MU_INTERNAL);
    register_close (&reg);
}

void expect_read (enum mu_code code, const char *word, uint32_t limit_ms)
{
    struct mu_error error = { .text = "" };
    struct reign value;
    struct io_register *reg = must_open ();
    assert_int_equal (register_read (reg, limit_ms, &value, &error), -1);
    if (error.code != code || !strstr (error.text, word))
        fail_msg ("%s: %s", mu_code_name ((int)error.code), error.text);
    register_close (&reg);
}

void expect_refusal (const char *wrong_url, const char *what)
{
    struct mu_error error = { .text = "" };
    struct io_register *reg;
    const struct register_options options = { wrong_url, peers, PEERS, 1 };
    assert_int_equal (register_open (&reg, &options, &error), -1);
    assert_int_equal (error.code, MU_CONFIG);
    assert_null (reg);
    if (!strstr (error.text, what) || !strstr (error.text, wrong_url))
        fail_msg ("%s: %s", wrong_url, error.text);
}

/* --- the folder ------------------------------------------------------------------------------- */

int make_dir (void **state)
{
    (void)state;
    strcpy (dir, "/tmp/muster-register-XXXXXX");
    if (!mkdtemp (dir))
        return -1;
    for (int i = 0; i < PEERS; i++)
        snprintf (peer[i], sizeof peer[i], "ipc://%s/peer-%d", dir, i);
    return 0;
}

void end_process (pid_t *pid)
{
    if (*pid > 0) {
        kill (*pid, SIGKILL);
        waitpid (*pid, NULL, 0);
    }
    *pid = 0;
}

int remove_dir (void **state)
{
    (void)state;
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", dir);
    return system (command);
}

void write_file (const char *name, const char *text)
{
    char path[128];
    snprintf (path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fputs (text, file);
    fclose (file);
}
