/* SPDX-License-Identifier: Apache-2.0 */
/* bench_durable.c - what durability costs: with a standby against alone, and against SQLite's own limit
 *
 *     bench_durable MUSTER-COORDINATOR [SECONDS [SCENE ...]]     default: 2 s a phase, all scenes
 *
 *     standby   completions a second of 1,000 workers, one and ten outstanding each, with a standby in
 *               sync and alone, in turns: the same leader and connections, the standby killed and started
 *               again between two phases. It has a disk of its own in name only: both share this one
 *     submits   from 100 clients at once, one outstanding each, against a server that stores the same
 *               bytes in groups and does nothing else (group_commit.h), in turns. Each round has a new
 *               coordinator: jobs that wait for ever are not what is measured
 *
 * Ratios are medians over the rounds. The clients share the machine's cores with the servers. */
#include "coordinator_bed.h"

#include "group_commit.h"

#include "common/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { ROUNDS = 5, CLIENTS = 100 };

static const char *program;
static double seconds = 2;

/* --- with a standby, and alone ---------------------------------------------------------------- */

static char reign[128], peer_endpoint[2][64], standby_endpoint[64];
static pid_t standby;

static void start_standby (void)
{
    const char *options[] = { "--standby",     "--register",     reign,
                              "--peer-listen", peer_endpoint[1], NULL };
    standby = bed_spawn ("standby", standby_endpoint, "/dev/null", options);
}

static void stop_standby (void)
{
    kill (standby, SIGKILL);
    waitpid (standby, NULL, 0);
}

/* Where in the leader's log it said that last; NULL: never. */
static const char *last_said (const char *text, const char *event)
{
    char needle[64];
    const char *last = NULL;
    snprintf (needle, sizeof needle, "\"event\":\"%s\"", event);
    for (const char *at = text; (at = strstr (at, needle)); at++)
        last = at;
    return last;
}

static bool is_in_sync (void)
{
    static char text[1 << 20];
    FILE *log = fopen (bed.log, "r");
    size_t size = log ? fread (text, 1, sizeof text - 1, log) : 0;
    if (log)
        fclose (log);
    text[size] = '\0';
    const char *together = last_said (text, "in_sync"), *alone = last_said (text, "alone");
    return together && (!alone || together > alone);
}

/* Workers beat meanwhile. */
static void await_sync (bool together)
{
    double end = bed_now_s () + LIMIT_S;
    while (is_in_sync () != together) {
        bed_turn ();
        if (bed_now_s () > end)
            bed_die (together ? "the standby does not get in sync" : "the leader waits for ever");
    }
}

static double compare_standby (uint32_t depth)
{
    double with[ROUNDS], alone[ROUNDS], ratio[ROUNDS], cpu_with[ROUNDS], cpu_alone[ROUNDS];
    bed.depth = depth;
    bed.windows_a_word = 1;
    bed_measure (DURABLE, seconds); /* leases reach far ahead, and the log has its size */
    for (int round = 0; round < ROUNDS; round++) {
        start_standby ();
        await_sync (true);
        struct figure figure = bed_measure (DURABLE, seconds);
        with[round] = figure.per_second;
        cpu_with[round] = figure.cpu_us;
        stop_standby ();
        await_sync (false);
        figure = bed_measure (DURABLE, seconds);
        alone[round] = figure.per_second;
        cpu_alone[round] = figure.cpu_us;
        ratio[round] = with[round] / alone[round];
    }
    double middle = bed_median (ratio, ROUNDS);
    printf (
        "| durable completions a second, %u workers x %u, a standby in sync | %.0f | alone: %.0f | "
        "%.2f (%.2f to %.2f) | >= 0.95 |\n",
        bed.count, depth, bed_median (with, ROUNDS), bed_median (alone, ROUNDS), middle, ratio[0],
        ratio[ROUNDS - 1]);
    printf ("| the leader's CPU, us a word | %.1f | alone: %.1f | | |\n",
            bed_median (cpu_with, ROUNDS), bed_median (cpu_alone, ROUNDS));
    fflush (stdout);
    return middle;
}

static bool scene_standby (void)
{
    bed_create ("bench_durable", program);
    bed_endpoint (peer_endpoint[0], sizeof peer_endpoint[0]);
    bed_endpoint (peer_endpoint[1], sizeof peer_endpoint[1]);
    bed_endpoint (standby_endpoint, sizeof standby_endpoint);
    snprintf (reign, sizeof reign, "file:%s/reign", bed.dir);
    snprintf (bed.log, sizeof bed.log, "%s/log", bed.dir);
    const char *options[] = { "--register", reign, "--peer-listen", peer_endpoint[0] };
    memcpy (bed.option, options, sizeof options);
    bed_open (WORKERS_MAX);
    double one = compare_standby (1), ten = compare_standby (10);
    bed_destroy ();
    return one >= 0.95 && ten >= 0.95;
}

/* --- submits ---------------------------------------------------------------------------------- */

static void *client[CLIENTS];

static void say_submit (void *socket)
{
    struct mu_wire wire = { .type = MU_WIRE_SUBMIT };
    wire.submit.request = 1;
    wire.submit.spec = bed_spec (1);
    bed_say (socket, &wire);
}

/* True: an answer has come. A bare server's says nothing. */
static bool answered (void *socket, bool bare)
{
    char nothing[64];
    if (bare)
        return zmq_recv (socket, nothing, sizeof nothing, ZMQ_DONTWAIT) >= 0;
    const struct mu_wire *wire = bed_hear (socket);
    if (wire && wire->type != MU_WIRE_SUBMITTED)
        bed_die ("a submit was refused");
    return wire;
}

static void connect_clients (const char *endpoint)
{
    for (int i = 0; i < CLIENTS; i++)
        client[i] = bed_connect (endpoint, NULL);
}

static void close_clients (void)
{
    for (int i = 0; i < CLIENTS; i++)
        zmq_close (client[i]);
}

/* Takes what has come, and says the next where `more`; how many answers that were. */
static unsigned look_around (bool bare, bool more)
{
    zmq_pollitem_t items[CLIENTS];
    unsigned count = 0;
    for (int i = 0; i < CLIENTS; i++)
        items[i] = (zmq_pollitem_t){ client[i], 0, ZMQ_POLLIN, 0 };
    zmq_poll (items, CLIENTS, 100);
    for (int i = 0; i < CLIENTS; i++)
        if (items[i].revents && answered (client[i], bare)) {
            count++;
            if (more)
                say_submit (client[i]);
        }
    return count;
}

/* Answers a second; the first half second does not count. */
static double submit_rate (bool bare)
{
    double start = bed_now_s (), from = start + 0.5, limit = start + seconds + LIMIT_S;
    unsigned long answers = 0;
    unsigned waiting = CLIENTS;
    for (int i = 0; i < CLIENTS; i++)
        say_submit (client[i]);
    while (bed_now_s () < from)
        look_around (bare, true);
    from = bed_now_s ();
    while (bed_now_s () < from + seconds)
        answers += look_around (bare, true);
    double rate = (double)answers / (bed_now_s () - from);
    while (waiting > 0) {
        waiting -= look_around (bare, false);
        if (bed_now_s () > limit)
            bed_die ("a submit was not answered");
    }
    return rate;
}

/* CPU a submit, in us, of the server `pid`. */
static double measure_submits (const char *endpoint, pid_t pid, bool bare, double *rate)
{
    connect_clients (endpoint);
    uint64_t before = mu_cpu_us (pid); /* none, where it has not run yet */
    *rate = submit_rate (bare);
    uint64_t after = mu_cpu_us (pid);
    if (!after)
        bed_die ("a server ended");
    close_clients ();
    return (double)(after - before) / (*rate * (seconds + 0.5));
}

static void one_round (double *rate, double *cpu)
{
    char endpoint[64];
    bed_create ("bench_durable", program);
    bed_endpoint (endpoint, sizeof endpoint);
    pid_t ceiling = group_commit_start (endpoint, bed.dir);
    cpu[1] = measure_submits (endpoint, ceiling, true, &rate[1]);
    kill (ceiling, SIGKILL);
    waitpid (ceiling, NULL, 0);
    bed_start_coordinator ();
    cpu[0] = measure_submits (bed.endpoint, bed.pid, false, &rate[0]);
    bed_destroy ();
}

static bool scene_submits (void)
{
    double own[ROUNDS], ceiling[ROUNDS], ratio[ROUNDS], own_cpu[ROUNDS], ceiling_cpu[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double rate[2], cpu[2];
        one_round (rate, cpu);
        own[round] = rate[0];
        ceiling[round] = rate[1];
        ratio[round] = rate[0] / rate[1];
        own_cpu[round] = cpu[0];
        ceiling_cpu[round] = cpu[1];
    }
    double middle = bed_median (ratio, ROUNDS);
    printf (
        "| durable submits a second, %d clients at once | %.0f | the same bytes in groups, nothing "
        "else: %.0f | %.2f (%.2f to %.2f) | >= 0.8 |\n",
        CLIENTS, bed_median (own, ROUNDS), bed_median (ceiling, ROUNDS), middle, ratio[0],
        ratio[ROUNDS - 1]);
    printf ("| the server's CPU, us a submit | %.1f | %.1f | | |\n", bed_median (own_cpu, ROUNDS),
            bed_median (ceiling_cpu, ROUNDS));
    fflush (stdout);
    return middle >= 0.8;
}

int main (int argc, char **argv)
{
    seconds = argc > 2 ? strtod (argv[2], NULL) : seconds;
    if (argc < 2 || seconds <= 0) {
        fprintf (stderr, "usage: bench_durable MUSTER-COORDINATOR [SECONDS [standby | submits]]\n");
        return 2;
    }
    program = argv[1];
    const char *only = argc > 3 ? argv[3] : "";
    bool reached = true;
    if (strcmp (only, "submits") != 0)
        reached = scene_standby () && reached;
    if (strcmp (only, "standby") != 0)
        reached = scene_submits () && reached;
    return reached ? 0 : 1;
}
