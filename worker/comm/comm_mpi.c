/* SPDX-License-Identifier: Apache-2.0 */
/* comm_mpi.c - the trainer's end of the region; the MPI process at the other end is collective.c
 *
 * Writes only the `trainer` part of the control block, the ready counters, the sums and (outside
 * broadcasts) the state. A wait reads the bell first, then the fields, `ended_generation` before
 * `done`: the agent stores `ended` after the collective is reaped, so what was proven before its
 * death is seen, and nothing is written after. */
#include "comm.h"

#include <stdlib.h>
#include <time.h>

struct comm_mpi {
    struct mu_comm comm; /* first: the interface's pointer is this one's */
    struct mu_region *region;
    struct mu_comm_generation now;
    bool entered;   /* between enter () and leave () */
    bool level;     /* the world has agreed that all have this generation's state */
    bool requested; /* a request is begun and not yet answered DONE */
    uint64_t held;  /* what result is, as the region's result_of says; 0: nothing was DONE yet */
    _Atomic uint64_t request;
};

static struct comm_mpi *mine (struct mu_comm *comm) { return (struct comm_mpi *)(void *)comm; }

static uint64_t load (const _Atomic uint64_t *field)
{
    return atomic_load_explicit (field, memory_order_acquire);
}

static void store (_Atomic uint64_t *field, uint64_t value)
{
    atomic_store_explicit (field, value, memory_order_release);
}

static bool mpi_keeps (struct mu_comm *comm)
{
    struct comm_mpi *self = mine (comm);
    return self->held && load (&self->region->control->collective.result_of) == self->held;
}

static int mpi_enter (struct mu_comm *comm, const struct mu_comm_generation *generation,
                      struct mu_error *error)
{
    struct comm_mpi *self = mine (comm);
    if (self->entered || generation->generation <= self->now.generation)
        return mu_fail (error, MU_INTERNAL, "cannot enter generation %llu: %s generation %llu",
                        (unsigned long long)generation->generation,
                        self->entered ? "still in" : "there already was",
                        (unsigned long long)self->now.generation);
    self->now = *generation;
    self->entered = true;
    self->level = generation->source_rank == MU_COMM_NO_SOURCE;
    self->requested = false;
    struct mu_region_control *control = self->region->control;
    store (&control->trainer.made_of, generation->made && mpi_keeps (comm) ? self->held : 0);
    store (&control->trainer.entered_generation, generation->generation);
    mu_bell_ring (&control->collective_bell);
    return 0;
}

/* Where the broadcast stands; TIMEOUT is "nothing yet". */
static enum mu_comm_outcome look_at_state (struct comm_mpi *self)
{
    struct mu_region_control *control = self->region->control;
    uint64_t generation = self->now.generation;
    bool ended = load (&control->agent.ended_generation) >= generation;
    if (load (&control->collective.state_done_generation) == generation)
        self->level = true;
    if (self->level)
        return MU_COMM_DONE;
    if (!ended)
        return MU_COMM_TIMEOUT;
    bool begun = load (&control->collective.state_begun_generation) == generation;
    return begun && self->now.receives == MU_RECEIVES_STATE ? MU_COMM_STATE_LOST : MU_COMM_TORN;
}

static enum mu_comm_outcome look_at_sums (struct comm_mpi *self)
{
    struct mu_region_control *control = self->region->control;
    uint64_t generation = self->now.generation;
    bool ended = load (&control->agent.ended_generation) >= generation;
    if (load (&control->collective.sums_done_generation) == generation) {
        self->held = MU_REGION_GIVEN + generation;
        return MU_COMM_DONE;
    }
    return ended ? MU_COMM_TORN : MU_COMM_TIMEOUT;
}

static enum mu_comm_outcome look_at_result (struct comm_mpi *self)
{
    struct mu_region_control *control = self->region->control;
    bool ended = load (&control->agent.ended_generation) >= self->now.generation;
    if (load (&control->collective.done) ==
        atomic_load_explicit (&self->request, memory_order_relaxed)) {
        self->requested = false;
        self->held = self->request;
        return MU_COMM_DONE;
    }
    return ended ? MU_COMM_TORN : MU_COMM_TIMEOUT;
}

static int64_t now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum mu_comm_outcome look_until (struct comm_mpi *self, int timeout_ms,
                                        enum mu_comm_outcome (*look) (struct comm_mpi *))
{
    int64_t until = now_ms () + timeout_ms;
    for (;;) {
        _Atomic uint32_t *bell = &self->region->control->trainer_bell;
        uint32_t seen = mu_bell_read (bell);
        enum mu_comm_outcome outcome = look (self);
        int64_t left = timeout_ms < 0 ? -1 : until - now_ms ();
        if (outcome != MU_COMM_TIMEOUT || (timeout_ms >= 0 && left <= 0))
            return outcome;
        mu_bell_wait (bell, seen, (int)left);
    }
}

static enum mu_comm_outcome mpi_broadcast (struct mu_comm *comm, int timeout_ms,
                                           struct mu_error *error)
{
    struct comm_mpi *self = mine (comm);
    if (!self->entered)
        return mu_fail (error, MU_INTERNAL, "broadcast outside a generation");
    return look_until (self, timeout_ms, look_at_state);
}

static enum mu_comm_outcome mpi_take_sums (struct mu_comm *comm, int timeout_ms,
                                           struct mu_error *error)
{
    struct comm_mpi *self = mine (comm);
    if (!self->entered || self->now.receives != MU_RECEIVES_SUMS)
        return mu_fail (error, MU_INTERNAL, "sums are taken where none are given");
    return look_until (self, timeout_ms, look_at_sums);
}

static void mpi_caught_up (struct mu_comm *comm)
{
    struct comm_mpi *self = mine (comm);
    self->now.receives = MU_RECEIVES_NOTHING;
    store (&self->region->control->trainer.caught_up_generation, self->now.generation);
    mu_bell_ring (&self->region->control->collective_bell);
}

static int mpi_begin (struct mu_comm *comm, uint64_t step, uint32_t attempt, struct mu_error *error)
{
    struct comm_mpi *self = mine (comm);
    bool behind = self->now.receives && !self->level;
    if (!self->entered || behind || self->requested)
        return mu_fail (error, MU_INTERNAL, "step %llu cannot begin: %s", (unsigned long long)step,
                        !self->entered ? "no generation is entered"
                        : behind       ? "the state is not broadcast yet"
                                       : "the one before is not done");
    struct mu_region_control *control = self->region->control;
    uint64_t request = atomic_load_explicit (&self->request, memory_order_relaxed) + 1;
    store (&control->trainer.step, step);
    store (&control->trainer.attempt, attempt);
    store (&control->trainer.request, request);
    store (&control->trainer.request_generation, self->now.generation); /* see region.h */
    atomic_store_explicit (&self->request, request, memory_order_release);
    self->requested = true;
    return 0;
}

static int mpi_bucket_ready (struct mu_comm *comm, uint32_t bucket, struct mu_error *error)
{
    struct comm_mpi *self = mine (comm);
    uint64_t request = load (&self->request);
    if (atomic_exchange_explicit (&self->region->ready[bucket], request, memory_order_acq_rel) ==
        request)
        return mu_fail (error, MU_INTERNAL,
                        "bucket %u is ready twice, or before the first step began", bucket);
    mu_bell_ring (&self->region->control->collective_bell);
    return 0;
}

static enum mu_comm_outcome mpi_wait (struct mu_comm *comm, int timeout_ms, struct mu_error *error)
{
    struct comm_mpi *self = mine (comm);
    if (!self->entered || !self->requested)
        return mu_fail (error, MU_INTERNAL, "waiting for a step that did not begin");
    return look_until (self, timeout_ms, look_at_result);
}

static void mpi_abort (struct mu_comm *comm)
{
    struct comm_mpi *self = mine (comm);
    struct mu_region_control *control = self->region->control;
    store (&control->trainer.abandoned_generation, load (&control->trainer.entered_generation));
    mu_bell_ring (&control->collective_bell);
}

static void mpi_leave (struct mu_comm *comm)
{
    struct comm_mpi *self = mine (comm);
    self->entered = false;
    self->requested = false;
}

static void mpi_destroy (struct mu_comm *comm) { free (comm); }

static const struct mu_comm_operations operations = {
    .name = "mpi",
    .destroy = mpi_destroy,
    .enter = mpi_enter,
    .broadcast = mpi_broadcast,
    .take_sums = mpi_take_sums,
    .caught_up = mpi_caught_up,
    .keeps = mpi_keeps,
    .begin = mpi_begin,
    .bucket_ready = mpi_bucket_ready,
    .wait = mpi_wait,
    .abort = mpi_abort,
    .leave = mpi_leave,
};

struct mu_comm *mu_comm_mpi_create (struct mu_region *region, struct mu_error *error)
{
    struct comm_mpi *self = calloc (1, sizeof *self);
    if (!self) {
        mu_fail (error, MU_SYSTEM, "no memory for a communicator");
        return NULL;
    }
    self->comm.operations = &operations;
    self->comm.layout = region->layout;
    self->comm.state = region->state;
    self->comm.sums = region->sums;
    self->comm.result = region->result;
    self->region = region;
    /* A trainer that replaces another goes on counting where that one stopped. */
    atomic_init (&self->request, load (&region->control->trainer.request));
    self->now.generation = load (&region->control->trainer.entered_generation);
    return &self->comm;
}
