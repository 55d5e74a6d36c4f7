/* SPDX-License-Identifier: Apache-2.0 */
/* collective_bed.c - see collective_bed.h */
#include "tests/system/collective_bed.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must (int ok, const char *what, const struct mu_error *error)
{
    if (ok)
        return;
    printf ("Bail out! %s: %s\n", what, error ? error->text : "");
    fflush (stdout);
    abort ();
}

int64_t bed_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *bed_program (const char *name)
{
    static char path[2][4096];
    static unsigned turn;
    const char *top = getenv ("top_builddir");
    bool ours = strcmp (name, "muster-collective") != 0;
    char *program = path[turn++ % 2];
    snprintf (program, sizeof path[0], "%s/%s%s", top ? top : ".", ours ? "tests/system/" : "",
              name);
    return program;
}

void bed_open (struct bed *bed, unsigned size, const struct mu_region_layout *layout)
{
    struct mu_error error;
    memset (bed, 0, sizeof *bed);
    bed->size = bed->opened = size;
    bed->source_rank = MU_COMM_NO_SOURCE;
    for (unsigned r = 0; r < size; r++) {
        struct bed_rank *rank = &bed->ranks[r];
        rank->region = mu_region_create (layout, &rank->region_fd, &error);
        must (rank->region != NULL, "no region", &error);
        rank->comm = mu_comm_mpi_create (rank->region, &error);
        must (rank->comm != NULL, "no communicator", &error);
    }
}

void bed_close (struct bed *bed)
{
    for (unsigned r = 0; r < bed->opened; r++) {
        struct bed_rank *rank = &bed->ranks[r];
        mu_collective_destroy (&rank->collective);
        mu_comm_destroy (&rank->comm);
        mu_region_detach (&rank->region);
        close (rank->region_fd);
    }
}

void bed_start_rank (struct bed *bed, unsigned rank, const char *program)
{
    struct mu_error error;
    struct bed_rank *at = &bed->ranks[rank];
    struct mu_collective_options options = { .program = program,
                                             .region_fd = at->region_fd,
                                             .device = "lo" };
    at->connected = at->ready = at->ended = at->failed = at->fenced = false;
    at->status = 0;
    at->text[0] = '\0';
    at->collective = mu_collective_start (&options, &error);
    must (at->collective != NULL, "no collective", &error);
}

void bed_start (struct bed *bed, const char *program)
{
    for (unsigned r = 0; r < bed->size; r++)
        bed_start_rank (bed, r, program);
}

static void name_world (const struct bed *bed, unsigned rank, uint64_t generation,
                        struct mu_collective_form *form)
{
    snprintf (form->jobid, sizeof form->jobid, "bed-%d-%llu", (int)getpid (),
              (unsigned long long)generation);
    if (bed->jobid[rank])
        snprintf (form->jobid, sizeof form->jobid, "%s", bed->jobid[rank]);
}

bool bed_connect (struct bed *bed, int timeout_ms)
{
    struct mu_error error;
    for (unsigned r = 0; r < bed->size; r++) {
        struct mu_collective_form form = { .protocol = MU_COLLECTIVE_PROTOCOL,
                                           .size = bed->size,
                                           .rank = r,
                                           .connect = 1,
                                           .source_rank = MU_COMM_NO_SOURCE,
                                           .generation = bed->generation + 1 };
        name_world (bed, r, bed->generation + 1, &form);
        must (!mu_collective_form (bed->ranks[r].collective, &form, &error), "no form", &error);
    }
    for (int64_t end = bed_now_ms () + timeout_ms; bed_now_ms () < end; bed_pump (bed, 10)) {
        unsigned connected = 0;
        for (unsigned r = 0; r < bed->size; r++)
            connected += bed->ranks[r].connected;
        if (connected == bed->size)
            return true;
    }
    return false;
}

static void form_rank (struct bed *bed, unsigned rank)
{
    struct mu_error error;
    struct mu_comm_generation generation = { .generation = bed->generation + bed->skew[rank],
                                             .rank = rank,
                                             .size = bed->size,
                                             .step = bed->step,
                                             .source_rank = bed->source_rank,
                                             .receives = bed->receives[rank],
                                             .made = bed->made[rank] };
    struct mu_collective_form form = { .protocol = MU_COLLECTIVE_PROTOCOL,
                                       .size = bed->size,
                                       .rank = rank,
                                       .source_rank = bed->source_rank,
                                       .receives = bed->receives[rank],
                                       .generation = generation.generation,
                                       .step = bed->step };
    for (unsigned r = 0; r < bed->size; r++)
        form.sums = form.sums || bed->receives[r] == MU_RECEIVES_SUMS;
    name_world (bed, rank, bed->generation, &form);
    must (!mu_comm_enter (bed->ranks[rank].comm, &generation, &error), "cannot enter", &error);
    must (!mu_collective_form (bed->ranks[rank].collective, &form, &error), "no form", &error);
}

void bed_form (struct bed *bed)
{
    bed->generation++;
    for (unsigned r = 0; r < bed->size; r++)
        form_rank (bed, r);
}

/* --- the agents and the coordinator ----------------------------------------------------------- */

static void on_event (struct bed *bed, struct bed_rank *rank,
                      const struct mu_collective_event *event)
{
    switch (event->kind) {
    case MU_COLLECTIVE_EVENT_FENCE:
        must (event->size <= sizeof rank->values, "a fence is too large", NULL);
        rank->fenced = true;
        rank->fence = event->number;
        rank->values_size = event->size;
        if (event->size)
            memcpy (rank->values, event->values, event->size);
        break;
    case MU_COLLECTIVE_EVENT_CONNECTED: rank->connected = true; break;
    case MU_COLLECTIVE_EVENT_READY:
        rank->ready = true;
        rank->report = event->report;
        break;
    case MU_COLLECTIVE_EVENT_FAILED:
        rank->failed = true;
        rank->report = event->report;
        break;
    case MU_COLLECTIVE_EVENT_ENDED:
        rank->ended = true;
        rank->status = event->status;
        memcpy (rank->text, event->text, sizeof rank->text);
        if (!bed->no_end)
            mu_region_end (rank->region, mu_collective_generation (rank->collective));
        mu_collective_destroy (&rank->collective);
        break;
    }
}

static void answer_fences (struct bed *bed)
{
    static char all[BED_RANKS_MAX * BED_FENCE_BYTES];
    size_t size = 0;
    for (unsigned r = 0; r < bed->size; r++) {
        const struct bed_rank *rank = &bed->ranks[r];
        if (!rank->fenced || rank->fence != bed->ranks[0].fence)
            return;
        memcpy (all + size, rank->values, rank->values_size);
        size += rank->values_size;
    }
    for (unsigned r = 0; r < bed->size; r++) {
        struct mu_error error;
        struct bed_rank *rank = &bed->ranks[r];
        rank->fenced = false;
        if (rank->collective)
            must (!mu_collective_fence_done (rank->collective, rank->fence, all, size, &error),
                  "fence", &error);
    }
}

void bed_pump (struct bed *bed, int timeout_ms)
{
    struct pollfd fds[BED_RANKS_MAX * MU_COLLECTIVE_POLL_MAX];
    unsigned count = 0;
    for (unsigned r = 0; r < bed->size; r++)
        if (bed->ranks[r].collective)
            count += mu_collective_poll (bed->ranks[r].collective, fds + count);
    poll (fds, count, timeout_ms);
    for (unsigned r = 0; r < bed->size; r++) {
        struct mu_collective_event event;
        while (bed->ranks[r].collective && mu_collective_next (bed->ranks[r].collective, &event))
            on_event (bed, &bed->ranks[r], &event);
    }
    answer_fences (bed);
}

bool bed_await_ready (struct bed *bed, int timeout_ms)
{
    for (int64_t until = bed_now_ms () + timeout_ms;;) {
        unsigned ready = 0;
        for (unsigned r = 0; r < bed->size; r++) {
            if (bed->ranks[r].ended)
                return false;
            ready += bed->ranks[r].ready;
        }
        if (ready == bed->size)
            return true;
        if (bed_now_ms () >= until)
            return false;
        bed_pump (bed, 10);
    }
}

void bed_go (struct bed *bed)
{
    for (unsigned r = 0; r < bed->size; r++)
        mu_region_go (bed->ranks[r].region, bed->generation);
}

bool bed_world (struct bed *bed, const char *program, int timeout_ms)
{
    bed_start (bed, program);
    bed_form (bed);
    if (!bed_await_ready (bed, timeout_ms))
        return false;
    for (unsigned r = 0; r < bed->size; r++)
        if (bed->source_rank != MU_COMM_NO_SOURCE &&
            bed_broadcast (bed, r, timeout_ms) != MU_COMM_DONE)
            return false;
    bed_go (bed);
    return true;
}

bool bed_await_ends (struct bed *bed, int timeout_ms)
{
    for (int64_t until = bed_now_ms () + timeout_ms;;) {
        unsigned ended = 0;
        for (unsigned r = 0; r < bed->size; r++)
            ended += bed->ranks[r].ended;
        if (ended == bed->size)
            return true;
        if (bed_now_ms () >= until)
            return false;
        bed_pump (bed, 10);
    }
}

static enum mu_comm_outcome wait_for (struct bed *bed, unsigned rank, int timeout_ms,
                                      enum mu_comm_outcome (*wait) (struct mu_comm *, int,
                                                                    struct mu_error *))
{
    for (int64_t until = bed_now_ms () + timeout_ms;;) {
        struct mu_error error;
        enum mu_comm_outcome outcome = wait (bed->ranks[rank].comm, 20, &error);
        if (outcome != MU_COMM_TIMEOUT || bed_now_ms () >= until)
            return outcome;
        bed_pump (bed, 0);
    }
}

enum mu_comm_outcome bed_wait (struct bed *bed, unsigned rank, int timeout_ms)
{
    return wait_for (bed, rank, timeout_ms, mu_comm_wait);
}

enum mu_comm_outcome bed_take_sums (struct bed *bed, unsigned rank, int timeout_ms)
{
    return wait_for (bed, rank, timeout_ms, mu_comm_take_sums);
}

enum mu_comm_outcome bed_broadcast (struct bed *bed, unsigned rank, int timeout_ms)
{
    return wait_for (bed, rank, timeout_ms, mu_comm_broadcast);
}

void bed_end (struct bed *bed)
{
    for (unsigned r = 0; r < bed->size; r++)
        if (bed->ranks[r].collective)
            mu_collective_kill (bed->ranks[r].collective);
    must (bed_await_ends (bed, 10000), "a killed process did not end", NULL);
    for (unsigned r = 0; r < bed->size; r++) {
        mu_region_end (bed->ranks[r].region, bed->generation + bed->skew[r]);
        mu_comm_leave (bed->ranks[r].comm);
    }
}

/* --- sums ------------------------------------------------------------------------------------- */

static uint64_t value (unsigned rank, uint64_t step, uint64_t element)
{
    uint64_t x = (element + 1) * (2 * rank + 3) * UINT64_C (0x9e3779b97f4a7c15);
    x += (step + 1) * UINT64_C (0xbf58476d1ce4e5b9);
    return x ^ (x >> 29);
}

static uint64_t at (const void *block, enum mu_element element, uint64_t i)
{
    if (element == MU_ELEMENT_INT64)
        return ((const uint64_t *)block)[i];
    return ((const uint32_t *)block)[i];
}

void bed_fill (struct bed *bed, unsigned rank, uint64_t step)
{
    const struct mu_comm *comm = bed->ranks[rank].comm;
    for (uint64_t i = 0; i < comm->layout.sums_elements; i++)
        if (comm->layout.element == MU_ELEMENT_INT64)
            ((uint64_t *)comm->sums)[i] = value (rank, step, i);
        else
            ((uint32_t *)comm->sums)[i] = (uint32_t)value (rank, step, i);
}

uint64_t bed_wrong (const struct bed *bed, unsigned rank, uint64_t step)
{
    const struct mu_comm *comm = bed->ranks[rank].comm;
    uint64_t mask = comm->layout.element == MU_ELEMENT_INT64 ? UINT64_MAX : UINT32_MAX, wrong = 0;
    for (uint64_t i = 0; i < comm->layout.sums_elements; i++) {
        uint64_t total = 0;
        for (unsigned r = 0; r < bed->size; r++)
            total += value (r, step, i);
        wrong += at (comm->result, comm->layout.element, i) != (total & mask);
        wrong += at (comm->sums, comm->layout.element, i) != (value (rank, step, i) & mask);
    }
    return wrong;
}

void bed_begin (struct bed *bed, uint64_t step)
{
    struct mu_error error;
    for (unsigned r = 0; r < bed->size; r++) {
        bed_fill (bed, r, step);
        must (!mu_comm_begin (bed->ranks[r].comm, step, 0, &error), "cannot begin", &error);
    }
}

void bed_mark (struct bed *bed)
{
    struct mu_error error;
    for (unsigned r = 0; r < bed->size; r++)
        for (uint32_t b = 0; b < bed->ranks[r].comm->layout.bucket_count; b++)
            must (!mu_comm_bucket_ready (bed->ranks[r].comm, b, &error), "not ready", &error);
}

unsigned bed_collect (struct bed *bed, uint64_t step, int timeout_ms)
{
    unsigned done = 0;
    for (unsigned r = 0; r < bed->size; r++)
        if (bed_wait (bed, r, timeout_ms) == MU_COMM_DONE) {
            uint64_t wrong = bed_wrong (bed, r, step);
            done++;
            bed->wrong += wrong;
        }
    return done;
}

unsigned bed_step (struct bed *bed, uint64_t step)
{
    bed_begin (bed, step);
    bed_mark (bed);
    return bed_collect (bed, step, 20000);
}

int bed_status (const struct bed *bed, unsigned rank)
{
    const struct bed_rank *at = &bed->ranks[rank];
    if (!at->ended)
        return 0;
    return WIFSIGNALED (at->status) ? -WTERMSIG (at->status) : WEXITSTATUS (at->status);
}
