/* SPDX-License-Identifier: Apache-2.0 */
/* bench_coordinator.c - durable completions a second of the real coordinator against its own echo
 *
 *     bench_coordinator MUSTER-COORDINATOR [SECONDS]     default: 2 s a phase
 *
 * Three kinds of words of up to 1,000 simulated workers take turns, in the same run:
 * coordinator_bed.h says which.
 *
 * A ratio is the median over the rounds of durable / echo and durable / repeat. Beside it stands
 * the coordinator's CPU time a word, which a busy machine distorts less. Then a ledger of 10
 * million shards is filled, and its memory, its bytes on disk and the time of a restart (kill -9,
 * start, first PONG) are told. The client shares the machine's cores with the coordinator. */
#include "coordinator_bed.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

enum { ROUNDS = 5, LEDGER_WINDOWS = 10000 };

static const char *const kind_name[KINDS] = { "echo", "repeat", "durable" };

/* --- measuring -------------------------------------------------------------------------------- */

/* The ratio of durable to echo. */
static double compare_kinds (uint32_t depth, double seconds)
{
    static double rate[KINDS][ROUNDS], cpu[KINDS][ROUNDS], to[KINDS][ROUNDS];
    bed.depth = depth;
    bed.windows_a_word = 1;
    bed_measure (DURABLE, 2 + seconds); /* so that leases reach far ahead */
    for (int round = 0; round < ROUNDS; round++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            struct figure figure = bed_measure (kind, seconds);
            rate[kind][round] = figure.per_second;
            cpu[kind][round] = figure.cpu_us;
        }
        for (enum kind kind = 0; kind < KINDS; kind++)
            to[kind][round] = rate[DURABLE][round] / rate[kind][round];
    }
    double ratio = bed_median (to[ECHO], ROUNDS);
    double least = to[ECHO][0], most = to[ECHO][ROUNDS - 1];
    double us[KINDS], per_second[KINDS];
    for (enum kind kind = 0; kind < KINDS; kind++) {
        us[kind] = bed_median (cpu[kind], ROUNDS);
        per_second[kind] = bed_median (rate[kind], ROUNDS);
    }
    printf (
        "| durable completions a second, %u workers x %u | %.0f | its echo: %.0f | %.2f (%.2f to "
        "%.2f) | %s |\n",
        bed.count, depth, per_second[DURABLE], per_second[ECHO], ratio, least, most,
        bed.count == WORKERS_MAX && depth == 1 ? ">= 0.9" : "");
    printf ("| the same against %s of what is stored, %u x %u | %.0f | %.0f | %.2f | |\n",
            kind_name[REPEAT], bed.count, depth, per_second[DURABLE], per_second[REPEAT],
            bed_median (to[REPEAT], ROUNDS));
    printf (
        "| the coordinator's CPU, us a word, %u x %u | %.1f | echo %.1f, repeat %.1f | %.2f | |\n",
        bed.count, depth, us[DURABLE], us[ECHO], us[REPEAT], us[DURABLE] / us[ECHO]);
    fflush (stdout);
    return ratio;
}

/* Windows in leaps as large as the leases: the ledger is prefixes, so its size does not know. */
static void fill_ledger (void)
{
    double end = bed_now_s () + 5 * LIMIT_S;
    bed.kind = DURABLE;
    bed.depth = 1;
    bed.windows_a_word = 50;
    bed.running = true;
    bed.windows_end = LEDGER_WINDOWS;
    for (uint32_t i = 0; i < bed.count; i++)
        if (bed.worker[i].windows + LEDGER_WINDOWS > bed.windows_end)
            bed.windows_end = bed.worker[i].windows + LEDGER_WINDOWS;
    for (uint32_t i = 0; i < bed.count;) {
        if (bed.worker[i].stored >= bed.windows_end) {
            i++;
            continue;
        }
        bed_go_on (&bed.worker[i]);
        bed_drain (&bed.worker[i]);
        bed_turn ();
        if (bed_now_s () > end)
            bed_die ("the ledger was not filled in time");
    }
    bed_finish_outstanding ();
}

static double restart_ms (void)
{
    bed_stop_coordinator (SIGKILL);
    double start = bed_now_s ();
    bed_start_coordinator ();
    void *socket = bed_connect (bed.endpoint, NULL);
    struct mu_wire wire = { .type = MU_WIRE_PING };
    bed_say (socket, &wire);
    zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
    if (zmq_poll (&item, 1, 10000) != 1)
        bed_die ("no answer after the restart");
    double ms = (bed_now_s () - start) * 1e3;
    zmq_close (socket);
    return ms;
}

static void measure_ledger (void)
{
    double before = bed_memory_mib ("VmRSS");
    fill_ledger ();
    double shards = (double)bed.windows_end * bed.count;
    double bytes = bed_file_bytes ("muster.db"), wal = bed_file_bytes ("muster.db-wal");
    printf (
        "| memory, MiB, %u workers and %.1f million shards | %.1f | peak %.1f, before the ledger "
        "%.1f | | < 80 |\n",
        bed.count, shards / 1e6, bed_memory_mib ("VmRSS"), bed_memory_mib ("VmHWM"), before);
    printf ("| database, bytes a shard | %.4f | %.0f KiB, and a log of %.0f MiB that is used again "
            "and again | | <= 0.15 |\n",
            bytes / shards, bytes / 1024, wal / 1048576);
    fflush (stdout);
    bed.windows_end = UINT64_MAX;
}

static void measure_restart (void)
{
    double restart[ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        restart[round] = restart_ms ();
    printf ("| from kill -9 to the first answer of the next coordinator, ms | %.0f | | | |\n",
            bed_median (restart, ROUNDS));
}

int main (int argc, char **argv)
{
    double seconds = argc > 2 ? strtod (argv[2], NULL) : 2;
    if (argc < 2 || seconds <= 0) {
        fprintf (stderr, "usage: bench_coordinator MUSTER-COORDINATOR [SECONDS]\n");
        return 2;
    }
    bed_create ("bench_coordinator", argv[1]);
    bed_open (100);
    compare_kinds (1, seconds);
    bed_destroy ();
    bed_create ("bench_coordinator", argv[1]);
    bed_open (WORKERS_MAX);
    double formed = bed_memory_mib ("VmRSS");
    double ratio = compare_kinds (1, seconds);
    measure_ledger ();
    compare_kinds (10, seconds);
    printf ("| memory, MiB: formed; after 10 words of each were outstanding | %.1f; %.1f | | | |\n",
            formed, bed_memory_mib ("VmRSS"));
    measure_restart ();
    bed_destroy ();
    return ratio >= 0.9 ? 0 : 1;
}
