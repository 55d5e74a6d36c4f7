/* SPDX-License-Identifier: Apache-2.0 */
/* bench_connections.c - 10,000 connected workers: the coordinator beside a bare libzmq echo
 *
 *     bench_connections MUSTER-COORDINATOR [SECONDS [WORKERS]]     default: 10 s a window, 10,000
 *
 * Each worker has three real TCP connections: to the coordinator, to an echo and to a mute. Echo and
 * mute are a ROUTER of libzmq with the coordinator's options and nothing behind it; the echo sends every
 * message back, the mute answers HELLO alone, as the coordinator does. A worker says HELLO and then
 * BEAT as often as the coordinator's WELCOME says, and HELLO again when it has heard nothing for half
 * the silence it was told, as an agent does; every word goes to all three in the same moment. So
 * their processor time over one window can be compared, whatever else the machine does.
 *
 * Connections are opened all at once, to one server after the other; a server's storm ends when each
 * worker has its first answer. players.h has the workers. */
#include "players.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/wire.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum {
    PROCESSES = 4, /* that play workers */
    ROUNDS = 5,
    LIMIT_S = 120, /* for anything that must happen */
    OTHERS = 64,   /* descriptors that are not connections */
};

static const char *const server_name[SERVERS] = { "coordinator", "echo", "mute" };

static struct players *shared;
static pid_t server[SERVERS], player[PROCESSES];
static char folder[64];
static uint32_t workers = 10000;

_Noreturn void bench_die (const char *what)
{
    fprintf (stderr, "bench_connections: %s%s%s\n", what, errno ? ": " : "",
             errno ? strerror (errno) : "");
    exit (1);
}

double bench_now_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- the servers ------------------------------------------------------------------------------ */

static void start_coordinator (const char *program)
{
    char state[96], endpoint[64];
    snprintf (state, sizeof state, "%s/state", folder);
    snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", shared->port[COORDINATOR]);
    server[COORDINATOR] = fork ();
    if (server[COORDINATOR])
        return;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen ("/dev/null", "w", stderr))
        _exit (127);
    execl (program, program, "--dir", state, "--listen", endpoint, "--workers-max", "65536",
           (char *)NULL);
    _exit (127);
}

static void *bind_router (uint16_t at)
{
    static const int options[][2] = { { ZMQ_ROUTER_HANDOVER, 1 }, { ZMQ_ROUTER_MANDATORY, 1 },
                                      { ZMQ_BACKLOG, 4096 },      { ZMQ_SNDHWM, 1000 },
                                      { ZMQ_RCVHWM, 1000 },       { ZMQ_TCP_KEEPALIVE, 1 } };
    char endpoint[64];
    snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", at);
    void *router = zmq_socket (zmq_ctx_new (), ZMQ_ROUTER);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        zmq_setsockopt (router, options[i][0], &options[i][1], sizeof (int));
    if (!router || zmq_bind (router, endpoint))
        bench_die ("no bare ROUTER");
    return router;
}

static bool is_hello (zmq_msg_t *body)
{
    const uint8_t *bytes =
        zmq_msg_data (body); /* an array of two version numbers and the type, … */
    return zmq_msg_size (body) > 3 && bytes[3] == MU_WIRE_HELLO;
}

static _Noreturn void serve_bare (void *router, bool hello_alone)
{
    for (;;) {
        zmq_msg_t identity, body;
        zmq_msg_init (&identity);
        zmq_msg_init (&body);
        if (zmq_msg_recv (&identity, router, 0) < 0 || zmq_msg_recv (&body, router, 0) < 0)
            bench_die ("a bare ROUTER receives nothing");
        if ((hello_alone && !is_hello (&body)) || zmq_msg_send (&identity, router, ZMQ_SNDMORE) < 0)
            zmq_msg_close (&identity);
        else if (zmq_msg_send (&body, router, ZMQ_DONTWAIT) >= 0)
            continue;
        zmq_msg_close (&body);
    }
}

static void start_bare (int which, bool hello_alone)
{
    server[which] = fork ();
    if (server[which])
        return;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    serve_bare (bind_router (shared->port[which]), hello_alone);
}

static double cpu_s (int which)
{
    uint64_t us = mu_cpu_us (server[which]);
    if (!us)
        bench_die ("a server ended");
    return (double)us / 1e6;
}

static double memory_mib (int which)
{
    char path[64], line[128];
    unsigned long kib = 0;
    snprintf (path, sizeof path, "/proc/%d/status", (int)server[which]);
    FILE *file = fopen (path, "r");
    while (file && fgets (line, sizeof line, file))
        sscanf (line, "VmRSS: %lu", &kib);
    if (file)
        fclose (file);
    return (double)kib / 1024;
}

static void start_players (void)
{
    for (uint32_t i = 0; i < PROCESSES; i++) {
        uint32_t first = workers * i / PROCESSES;
        player[i] = fork ();
        if (!player[i])
            players_run (shared, first, workers * (i + 1) / PROCESSES - first);
    }
}

/* --- measuring -------------------------------------------------------------------------------- */

static void look_after (void)
{
    int status;
    if (waitpid (-1, &status, WNOHANG) > 0) {
        errno = 0;
        bench_die ("a process of the bench ended");
    }
}

static void pass_s (double seconds)
{
    for (double end = bench_now_s () + seconds; bench_now_s () < end;) {
        usleep (20000);
        look_after ();
    }
}

/* All connect to the next server at once; returns when each has its first answer. */
static void storm (int which)
{
    double start = bench_now_s (), cpu = cpu_s (which);
    atomic_store (&shared->open, which + 1);
    while (atomic_load (&shared->answered[which]) < workers) {
        usleep (2000);
        look_after ();
        if (bench_now_s () > start + LIMIT_S) {
            errno = 0;
            bench_die ("a storm of connections did not end");
        }
    }
    printf (
        "| %u connections at once to the %s, until each has its first answer, s | %.2f | its CPU: "
        "%.2f s; %u were dialled again | | |\n",
        workers, server_name[which], bench_now_s () - start, cpu_s (which) - cpu,
        atomic_exchange (&shared->redialled, 0));
    fflush (stdout);
}

static int compare (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median (double *values)
{
    qsort (values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

struct window {                        /* of time */
    double core[SERVERS], said, heard; /* words a second; heard: from the coordinator */
};

static struct window measure_one (double seconds)
{
    struct window window;
    double start = bench_now_s (), cpu[SERVERS];
    unsigned long said = atomic_load (&shared->said),
                  heard = atomic_load (&shared->heard[COORDINATOR]);
    for (int i = 0; i < SERVERS; i++)
        cpu[i] = cpu_s (i);
    pass_s (seconds);
    double passed = bench_now_s () - start;
    for (int i = 0; i < SERVERS; i++)
        window.core[i] = (cpu_s (i) - cpu[i]) / passed;
    window.said = (double)(atomic_load (&shared->said) - said) / passed;
    window.heard = (double)(atomic_load (&shared->heard[COORDINATOR]) - heard) / passed;
    return window;
}

/* Returns the median of what the coordinator takes over what the echo takes. */
static double measure (double seconds)
{
    static const char *const to_reach[SERVERS] = { "", "<= 1.10", "" };
    double core[SERVERS][ROUNDS], over[SERVERS][ROUNDS];
    struct window window = { .said = 0 };
    for (int round = 0; round < ROUNDS; round++) {
        window = measure_one (seconds);
        for (int i = 0; i < SERVERS; i++) {
            core[i][round] = window.core[i];
            over[i][round] = window.core[COORDINATOR] / window.core[i];
        }
    }
    double own = median (core[COORDINATOR]), ratio[SERVERS];
    printf (
        "| CPU of the coordinator, cores, %u connected workers that beat every %u ms (%.0f words a "
        "second, %.0f answers) | %.3f | | | <= 0.25 |\n",
        workers, atomic_load (&shared->beat_ms), window.said, window.heard, own);
    for (int i = ECHO; i < SERVERS; i++) {
        ratio[i] = median (over[i]);
        printf ("| the same against %s | %.3f | %.3f | %.2f (%.2f to %.2f) | %s |\n",
                i == ECHO ? "an echo of libzmq"
                          : "a ROUTER that answers only what the coordinator does",
                own, median (core[i]), ratio[i], over[i][0], over[i][ROUNDS - 1], to_reach[i]);
    }
    return own <= 0.25 ? ratio[ECHO] : 99;
}

static void open_all (const char *program)
{
    struct rlimit limit;
    getrlimit (RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit (RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < workers + OTHERS ||
        limit.rlim_max < SERVERS * (uint64_t)workers / PROCESSES + OTHERS)
        bench_die ("too few file descriptors for so many workers (ulimit -Hn)");
    shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf (folder, sizeof folder, "/tmp/muster-bench-XXXXXX");
    if (shared == MAP_FAILED || !mkdtemp (folder))
        bench_die ("no memory, or no folder in /tmp");
    for (uint16_t i = 0; i < SERVERS; i++)
        shared->port[i] = (uint16_t)(20000 + getpid () % 3000 * SERVERS + i);
    start_coordinator (program);
    start_bare (ECHO, false);
    start_bare (MUTE, true);
    pass_s (1);
    start_players ();
}

int main (int argc, char **argv)
{
    double seconds = argc > 2 ? strtod (argv[2], NULL) : 10;
    char command[96];
    workers = argc > 3 ? (uint32_t)strtoul (argv[3], NULL, 10) : workers;
    if (argc < 2 || seconds <= 0 || !workers) {
        fprintf (stderr, "usage: bench_connections MUSTER-COORDINATOR [SECONDS [WORKERS]]\n");
        return 2;
    }
    open_all (argv[1]);
    for (int i = 0; i < SERVERS; i++)
        storm (i);
    pass_s (2 * atomic_load (&shared->beat_ms) / 1e3 +
            1); /* all beat as often as the last was told */
    double ratio = measure (seconds);
    printf ("| memory, MiB, %u connected workers | %.0f | echo %.0f, mute %.0f | %.2f | |\n",
            workers, memory_mib (COORDINATOR), memory_mib (ECHO), memory_mib (MUTE),
            memory_mib (COORDINATOR) / memory_mib (ECHO));
    for (int i = 0; i < PROCESSES; i++)
        kill (player[i], SIGKILL);
    kill (server[COORDINATOR], SIGKILL);
    waitpid (server[COORDINATOR], NULL, 0);
    snprintf (command, sizeof command, "rm -rf '%s'", folder);
    if (system (command))
        fprintf (stderr, "%s is left behind\n", folder);
    return ratio <= 1.1 ? 0 : 1;
}
