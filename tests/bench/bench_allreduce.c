/* SPDX-License-Identifier: Apache-2.0 */
/* bench_allreduce.c - what muster-collective is measured against: MPI_Allreduce in one process
 *
 * Started by bench_collective with muster-collective's own arguments. It reduces between buffers of
 * its own, whole, and proves nothing: what a program does that calls MPI itself. A request says
 * that it is time for one; `reduced_ns` tells how long it took. Where a state is to be moved it is
 * broadcast in the same way, once to touch all memory and once for the clock, and READY tells how
 * long that took. Same MPI, same guards, same malloc settings. */
#include "worker/comm/collective_protocol.h"
#include "worker/comm/guards.h"
#include "worker/comm/region.h"

#include <malloc.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void start_mpi (const struct mu_collective_form *form, int *argc, char ***argv)
{
    char text[16];
    snprintf (text, sizeof text, "%u", form->rank);
    setenv ("PMI_RANK", text, 1);
    snprintf (text, sizeof text, "%u", form->size);
    setenv ("PMI_SIZE", text, 1);
    mu_guards_arm (MU_COLLECTIVE_PEER_LOST);
    mallopt (M_MMAP_THRESHOLD, 1 << 30);
    mallopt (M_TRIM_THRESHOLD, INT32_MAX);
    mallopt (M_TOP_PAD, 64 << 20);
    MPI_Init (argc, argv);
}

static void await (struct mu_region *region, const _Atomic uint64_t *field, uint64_t value)
{
    for (;;) {
        uint32_t seen = mu_bell_read (&region->control->collective_bell);
        if (atomic_load (field) == value)
            return;
        mu_bell_wait (&region->control->collective_bell, seen, -1);
    }
}

/* Microseconds of this rank's part. */
static uint64_t broadcast (struct mu_region *region, const struct mu_collective_form *form)
{
    size_t count = region->layout.state_bytes;
    uint64_t start = 0;
    void *state = malloc (count);
    if (!state)
        exit (1);
    for (int time = 0; time < 2; time++) {
        MPI_Barrier (MPI_COMM_WORLD);
        start = now_ns ();
        MPI_Bcast (state, (int)count, MPI_BYTE, (int)form->source_rank, MPI_COMM_WORLD);
    }
    uint64_t took = now_ns () - start;
    free (state);
    atomic_store (&region->control->collective.state_done_generation, form->generation);
    mu_bell_ring (&region->control->trainer_bell);
    return took / 1000;
}

static void serve (struct mu_region *region)
{
    size_t count = region->layout.sums_elements;
    int32_t *from = malloc (count * sizeof *from), *to = malloc (count * sizeof *to);
    if (!from || !to)
        exit (1);
    memset (from, 1, count * sizeof *from);
    memset (to, 1, count * sizeof *to);
    for (uint64_t request = 1;; request++) {
        await (region, &region->ready[0], request);
        MPI_Barrier (MPI_COMM_WORLD);
        uint64_t start = now_ns ();
        MPI_Allreduce (from, to, (int)count, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD);
        atomic_store (&region->control->collective.reduced_ns, now_ns () - start);
        atomic_store (&region->control->collective.done, request);
        mu_bell_ring (&region->control->trainer_bell);
    }
}

int main (int argc, char **argv)
{
    struct mu_error error;
    struct mu_collective_form form;
    if (argc != 5)
        return 1;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    struct mu_region *region = mu_region_attach (atoi (argv[2]), &error);
    int command = atoi (argv[3]);
    if (!region || recv (command, &form, sizeof form, 0) != sizeof form)
        return 1;
    start_mpi (&form, &argc, &argv);
    struct mu_collective_report ready = { .protocol = MU_COLLECTIVE_PROTOCOL,
                                          .kind = MU_COLLECTIVE_READY,
                                          .generation = form.generation };
    if (form.source_rank < form.size)
        ready.broadcast_us = broadcast (region, &form);
    if (send (command, &ready, sizeof ready, MSG_NOSIGNAL) != sizeof ready)
        return 1;
    serve (region);
}
