/* SPDX-License-Identifier: Apache-2.0 */
/* test_register_majority.c - a register that witnesses vote on, while they are killed and lose their disks */
#include "register_bed.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pid_t witness[PEERS];

static void start_witness (int number)
{
    char folder[128], program[PATH_MAX], *build = getenv ("top_builddir");
    snprintf (folder, sizeof folder, "%s/witness-%d", dir, number);
    snprintf (program, sizeof program, "%s/muster-coordinator", build ? build : ".");
    if (!(witness[number] = fork ())) {
        execl (program, program, "--witness", "--dir", folder, "--peer-listen", peer[number],
               "--log-level", "error", (char *)NULL);
        _exit (127);
    }
}

static void use_majority (void)
{
    strcpy (url, "majority:");
    for (int i = 0; i < PEERS; i++)
        start_witness (i);
}

static int end_witnesses (void **state)
{
    for (int i = 0; i < PEERS; i++)
        end_process (&witness[i]);
    return remove_dir (state);
}

static void forget_disk (int number)
{
    char path[128];
    snprintf (path, sizeof path, "%s/witness-%d/acceptor", dir, number);
    unlink (path);
}

static bool votes_again (int number)
{
    char path[128], text[4096] = "";
    const struct timespec little = { .tv_nsec = 20000000 };
    nanosleep (&little, NULL);
    snprintf (path, sizeof path, "%s/witness-%d/acceptor", dir, number);
    FILE *file = fopen (path, "r");
    const size_t size = file ? fread (text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose (file);
    text[size] = '\0';
    return strstr (text, "votes 1") != NULL;
}

/* One witness at a time dies and comes back. */
static void kill_one (void)
{
    static int turn;
    if (++turn % 10)
        return;
    end_process (&witness[turn / 10 % PEERS]);
    start_witness (turn / 10 % PEERS);
}

static void majority_alone (void **state)
{
    (void)state;
    use_majority ();
    check_alone ();
}

static void majority_together (void **state)
{
    (void)state;
    use_majority ();
    run_writers (kill_one);
}

/* One after the other loses its disk; each is taken in again before the next goes, as its
 * successor's vote is needed for the round that follows. */
static void majority_loses_every_disk (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    struct reign none = { 0 }, value, next = make_next (&none, 5);
    use_majority ();
    struct io_register *reg = must_open ();
    if (register_swap (reg, LIMIT_MS, &none, &next, &error))
        fail_msg ("%s", error.text);
    for (int i = 0; i < PEERS; i++) {
        end_process (&witness[i]);
        forget_disk (i);
        start_witness (i);
        const int other = (i + 1) % PEERS;
        for (int rounds = 0; !votes_again (i); rounds++)
            if (rounds == 1000 || register_read (reg, LIMIT_MS, &value, &error))
                fail_msg ("disk %d: %s", i, error.text);
        end_process (&witness[other]); /* so the newcomer must vote */
        if (register_read (reg, LIMIT_MS, &value, &error))
            fail_msg ("without witness %d: %s", other, error.text);
        assert_memory_equal (&value, &next, sizeof value);
        start_witness (other);
    }
    register_close (&reg);
}

static void majority_gone (void **state)
{
    (void)state;
    use_majority ();
    check_alone ();
    end_process (&witness[0]);
    end_process (&witness[2]);
    expect_read (MU_UNAVAILABLE, "no majority of 3", 700);
}

static void majority_never_whole (void **state)
{
    (void)state;
    use_majority ();
    end_process (&witness[1]);
    expect_read (MU_UNAVAILABLE, "all of --peers must run", 700);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (majority_alone, make_dir, end_witnesses),
        cmocka_unit_test_setup_teardown (majority_together, make_dir, end_witnesses),
        cmocka_unit_test_setup_teardown (majority_loses_every_disk, make_dir, end_witnesses),
        cmocka_unit_test_setup_teardown (majority_gone, make_dir, end_witnesses),
        cmocka_unit_test_setup_teardown (majority_never_whole, make_dir, end_witnesses),
    };
    signal (SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests (tests, NULL, NULL);
}