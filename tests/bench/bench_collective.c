/* SPDX-License-Identifier: Apache-2.0 */
/* bench_collective.c - what the collective process costs
 *
 *     bench_collective [ROUNDS]
 *
 * Bandwidth: a step of 2 ranks, from the moment all buckets are marked until both trainers hold
 * the proven result, against MPI_Allreduce inside a process (bench_allreduce.c). Rounds of the two
 * alternate; each pair gives a ratio, and the median of them counts, so that what else the machine
 * does hits both alike. Exit 1 if from 4 MiB up it is below 0.95. "cpu" is the same ratio of the
 * processor time that the ranks' processes took.
 * State: from its source to one rank that is behind, until its hash is proven, against MPI_Bcast of
 * as much inside a process, in turns; the other ranks compare theirs. Both as the memory of one host
 * that it is, and through sockets, as between two. Exit 1 if it is below 0.8 of that bandwidth.
 * Start: from the fork, or with spares from the command, until all ranks are READY. */
#include "tests/system/collective_bed.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENOUGH       0.95
#define ENOUGH_STATE 0.8
enum { ROUNDS = 41, STARTS = 11, STATES = 11, READY_MS = 30000 };

static double now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int ascending (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median (double *values, int count)
{
    qsort (values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static struct bed ours, plain;

static void check (bool right, const char *what)
{
    if (right)
        return;
    fprintf (stderr, "bench_collective: %s\n", what);
    exit (2);
}

static void begin (struct bed *bed, uint64_t step)
{
    struct mu_error error;
    for (unsigned r = 0; r < bed->size; r++)
        check (!mu_comm_begin (bed->ranks[r].comm, step, 0, &error), "a step cannot begin");
}

static double step_ms (struct bed *bed, uint64_t step)
{
    begin (bed, step);
    double start = now_ms ();
    bed_mark (bed);
    for (unsigned r = 0; r < bed->size; r++)
        check (bed_wait (bed, r, READY_MS) == MU_COMM_DONE, "a step ended badly");
    return now_ms () - start;
}

/* The slower rank's MPI_Allreduce. */
static double plain_ms (struct bed *bed, uint64_t step)
{
    uint64_t slowest = 0;
    step_ms (bed, step);
    for (unsigned r = 0; r < bed->size; r++) {
        uint64_t ns = bed->ranks[r].region->control->collective.reduced_ns;
        slowest = ns > slowest ? ns : slowest;
    }
    return (double)slowest / 1e6;
}

/* On the processors since their start, all ranks together. */
static double cpu_ms (const struct bed *bed)
{
    double total = 0;
    for (unsigned r = 0; r < bed->size; r++) {
        uint64_t us = mu_cpu_us (mu_collective_pid (bed->ranks[r].collective));
        check (us > 0, "a collective ended");
        total += (double)us / 1e3;
    }
    return total;
}

static void open_worlds (unsigned mib)
{
    struct mu_region_bucket bucket = { 0, (uint64_t)mib << 18 };
    const struct mu_region_layout layout = { MU_ELEMENT_INT32, 0, bucket.elements, 1, &bucket };
    bed_open (&ours, 2, &layout);
    bed_open (&plain, 2, &layout);
    check (bed_world (&ours, bed_program ("muster-collective"), READY_MS), ours.ranks[0].text);
    check (bed_world (&plain, bed_program ("../bench/bench_allreduce"), READY_MS),
           plain.ranks[0].text);
    for (unsigned r = 0; r < 2; r++)
        bed_fill (&ours, r, 0);
}

static void close_worlds (void)
{
    bed_end (&ours);
    bed_end (&plain);
    bed_close (&ours);
    bed_close (&plain);
}

static int by_bandwidth (unsigned mib, int rounds)
{
    double own[ROUNDS], theirs[ROUNDS], ratios[ROUNDS], proved[ROUNDS], own_cpu = 0, their_cpu = 0;
    const struct mu_region_control *control;
    open_worlds (mib);
    control = ours.ranks[0].region->control;
    for (int round = -2; round < rounds; round++) { /* the first two warm up */
        if (round == 0) {
            own_cpu = cpu_ms (&ours);
            their_cpu = cpu_ms (&plain);
        }
        double a = step_ms (&ours, (uint64_t)(round + 2)), b = plain_ms (&plain, (uint64_t)round);
        int at = round < 0 ? 0 : round;
        own[at] = a;
        theirs[at] = b;
        ratios[at] = b / a;
        proved[at] = (double)control->collective.proved_ns / 1e6;
    }
    own_cpu = cpu_ms (&ours) - own_cpu;
    their_cpu = cpu_ms (&plain) - their_cpu;
    check (bed_wrong (&ours, 0, 0) == 0, "a wrong sum");
    double x = median (own, rounds), y = median (theirs, rounds), ratio = median (ratios, rounds);
    printf ("%4u MiB  %8.2f ms %6.0f MB/s  %8.2f ms %6.0f MB/s   %5.2f   %5.2f   %8.2f ms\n", mib,
            x, mib * 1048.576 / x, y, mib * 1048.576 / y, ratio, their_cpu / own_cpu,
            median (proved, rounds));
    fflush (stdout);
    close_worlds ();
    return mib >= 4 && ratio < ENOUGH;
}

/* Rank 1 is behind; its part is the whole of it, as it ends with the last piece. */
static double state_ms (const char *program, unsigned size, unsigned mib, bool far)
{
    const struct mu_region_bucket bucket = { 0, 1024 };
    const struct mu_region_layout layout = { MU_ELEMENT_INT32, (uint64_t)mib << 20, 1024, 1,
                                             &bucket };
    bed_open (&ours, size, &layout);
    for (unsigned r = 0; r < size; r++)
        memset (ours.ranks[r].region->state, r != 1, layout.state_bytes);
    atomic_store (&ours.ranks[1].region->control->collective.far, far);
    ours.source_rank = 0;
    ours.receives[1] = MU_RECEIVES_STATE;
    check (bed_world (&ours, bed_program (program), READY_MS), ours.ranks[1].text);
    double took = (double)ours.ranks[1].report.broadcast_us / 1e3;
    bed_end (&ours);
    bed_close (&ours);
    ours.receives[1] = MU_RECEIVES_NOTHING;
    return took;
}

static int by_state (unsigned size, unsigned mib, bool far)
{
    double own[STATES], theirs[STATES], ratios[STATES];
    for (int i = 0; i < STATES; i++) {
        own[i] = state_ms ("muster-collective", size, mib, far);
        theirs[i] = state_ms ("../bench/bench_allreduce", 2, mib, far);
        ratios[i] = theirs[i] / own[i];
    }
    double x = median (own, STATES), y = median (theirs, STATES), ratio = median (ratios, STATES);
    printf ("%u ranks, %3u MiB, %s  %8.2f ms %6.0f MB/s  %8.2f ms %6.0f MB/s   %5.2f\n", size, mib,
            far ? "sockets" : "memory ", x, mib * 1048.576 / x, y, mib * 1048.576 / y, ratio);
    fflush (stdout);
    return ratio < ENOUGH_STATE;
}

static double start_ms (unsigned size, bool spare)
{
    const struct mu_region_bucket bucket = { 0, 1024 };
    const struct mu_region_layout layout = { MU_ELEMENT_INT32, 0, 1024, 1, &bucket };
    bed_open (&ours, size, &layout);
    double start = now_ms ();
    bed_start (&ours, bed_program ("muster-collective"));
    if (spare) {
        for (int i = 0; i < 10; i++)
            bed_pump (&ours, 10);
        start = now_ms ();
    }
    bed_form (&ours);
    check (bed_await_ready (&ours, READY_MS), "no world");
    double took = now_ms () - start;
    bed_end (&ours);
    bed_close (&ours);
    return took;
}

static void by_start (unsigned size)
{
    double fresh[STARTS], spare[STARTS];
    for (int i = 0; i < STARTS; i++) {
        fresh[i] = start_ms (size, false);
        spare[i] = start_ms (size, true);
    }
    printf ("%u ranks   %6.1f ms   %6.1f ms\n", size, median (fresh, STARTS),
            median (spare, STARTS));
    fflush (stdout);
}

int main (int argc, char **argv)
{
    int rounds = argc > 1 ? atoi (argv[1]) : ROUNDS, slow = 0;
    check (rounds >= 1 && rounds <= ROUNDS, "usage: bench_collective [ROUNDS], 1 to 41");
    printf (
        "2 ranks   collective process      in-process MPI_Allreduce  ratio     cpu       proof\n");
    for (unsigned mib = 1; mib <= 64; mib *= 2)
        slow += by_bandwidth (mib, mib > 8 && rounds > 15 ? 15 : rounds);
    printf ("\na state to one rank           collective process  in-process MPI_Bcast  ratio\n");
    for (unsigned mib = 8; mib <= 128; mib *= 4)
        for (int far = 0; far < 2; far++)
            slow += by_state (2, mib, far);
    slow += by_state (4, 32, false) + by_state (4, 32, true);
    printf ("\nto READY   started     with spares\n");
    for (unsigned size = 2; size <= 8; size *= 2)
        by_start (size);
    return slow > 0;
}
