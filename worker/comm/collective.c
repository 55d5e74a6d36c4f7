/* SPDX-License-Identifier: Apache-2.0 */
/* collective.c - the disposable process: one generation's world, then it ends
 *
 * An MPI process cannot be repaired when a peer dies, and MPI_Init works once a process; so the
 * process is what is thrown away, and the trainer, which only shares memory with it, lives on. It
 * trusts nothing: any doubt ends it (collective_protocol.h lists how), because a new one costs
 * milliseconds and a wrong sum would cost the run.
 *
 * While it waits for the trainer it looks at MPI now and then: MPI moves data only when called, so
 * a rank that sleeps could hold up a slower one, and a lost peer is noticed while nothing runs. */
#include "collective.h"
#include "comm.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Between two looks at MPI while waiting; doubles from the first to the last. */
#define LOOK_FIRST_MS 1
#define LOOK_LAST_MS  64

uint64_t collective_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void report (struct collective *self, struct mu_collective_report *record)
{
    record->protocol = MU_COLLECTIVE_PROTOCOL;
    record->generation = self->form.generation;
    if (send (self->command_fd, record, sizeof *record, MSG_NOSIGNAL) != sizeof *record)
        _exit (MU_COLLECTIVE_ORPHAN);
}

void collective_end (struct collective *self, enum mu_collective_status status, const char *format,
                     ...)
{
    struct mu_collective_report record = { .kind = MU_COLLECTIVE_FAILED, .status = status };
    va_list args;
    va_start (args, format);
    vsnprintf (record.text, sizeof record.text, format, args);
    va_end (args);
    if (self->command_fd >= 0)
        report (self, &record);
    else
        fprintf (stderr, "muster-collective: %s\n", record.text);
    _exit ((int)status);
}

void collective_progress (struct collective *self)
{
    _Atomic uint64_t *progress = &self->region->control->collective.progress;
    atomic_store_explicit (progress, atomic_load (progress) + 1, memory_order_release);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void end_if_over (struct collective *self)
{
    struct mu_region_control *control = self->region->control;
    uint64_t generation = self->form.generation;
    if (atomic_load (&control->agent.ended_generation) >= generation ||
        atomic_load (&control->agent.go_generation) > generation ||
        atomic_load (&control->trainer.entered_generation) > generation)
        collective_end (self, MU_COLLECTIVE_SUPERSEDED, "another generation began");
    if (atomic_load (&control->trainer.abandoned_generation) == generation)
        collective_end (self, MU_COLLECTIVE_ABANDONED, "the trainer gave up");
}

static bool holds (const _Atomic uint64_t *field, uint64_t value)
{
    return atomic_load_explicit (field, memory_order_acquire) == value;
}

void collective_await (struct collective *self, const _Atomic uint64_t *field, uint64_t value)
{
    _Atomic uint32_t *bell = &self->region->control->collective_bell;
    int look_ms = LOOK_FIRST_MS;
    for (;;) {
        uint32_t seen = mu_bell_read (bell);
        end_if_over (self);
        if (holds (field, value))
            return;
        if (mu_bell_wait (bell, seen, look_ms))
            continue;
        world_look ();
        look_ms = look_ms < LOOK_LAST_MS ? look_ms * 2 : LOOK_LAST_MS;
    }
}

/* --- start ------------------------------------------------------------------------------------ */

static int number_of (const char *text)
{
    char *end;
    errno = 0;
    long number = strtol (text, &end, 10);
    return errno || *end || end == text || number < 0 || number > INT32_MAX ? -1 : (int)number;
}

/* Die with the agent, leave no core, and do not answer the terminal, or a service manager that tells all processes to
 * stop: the agent decides. */
static void tie_to_agent (struct collective *self, int agent_pid)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != agent_pid)
        collective_end (self, MU_COLLECTIVE_ORPHAN, "the agent %d is gone", agent_pid);
    prctl (PR_SET_DUMPABLE, 0);
    setrlimit (RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    signal (SIGINT, SIG_IGN);
    signal (SIGHUP, SIG_IGN);
    signal (SIGTERM, SIG_IGN);
}

static void open_region (struct collective *self)
{
    struct mu_error error;
    self->region = mu_region_attach (self->region_fd, &error);
    if (!self->region)
        collective_end (self, MU_COLLECTIVE_REGION, "%s", error.text);
    const struct mu_region_layout *layout = &self->region->layout;
    mu_region_prefault (self->region->result, layout->sums_elements * (uint64_t)layout->element);
}

static bool is_jobid (const char *text)
{
    size_t length = strnlen (text, MU_COLLECTIVE_JOBID_MAX);
    return length > 0 && length < MU_COLLECTIVE_JOBID_MAX &&
           strspn (text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
               length;
}

static void read_form (struct collective *self, struct mu_collective_form *form)
{
    ssize_t count;
    do
        count = recv (self->command_fd, form, sizeof *form, 0);
    while (count < 0 && errno == EINTR);
    if (count == 0)
        _exit (MU_COLLECTIVE_ORPHAN);
    if (count != sizeof *form || form->protocol != MU_COLLECTIVE_PROTOCOL || form->size < 1 ||
        form->size > MU_COLLECTIVE_RANKS_MAX || form->rank >= form->size || form->generation == 0 ||
        !is_jobid (form->jobid) ||
        (form->source_rank != MU_COMM_NO_SOURCE && form->source_rank >= form->size) ||
        (form->receives && form->source_rank == form->rank) ||
        (form->receives == MU_RECEIVES_SUMS && !form->sums) || form->receives > MU_RECEIVES_SUMS ||
        (form->sums && form->source_rank == MU_COMM_NO_SOURCE))
        collective_end (self, MU_COLLECTIVE_COMMAND, "the agent's command makes no sense");
}

/* --- work ------------------------------------------------------------------------------------- */

static void say (struct collective *self, enum mu_collective_report_kind kind)
{
    struct mu_collective_report record = { .kind = kind,
                                           .init_us = self->init_us,
                                           .warm_us = self->warm_us,
                                           .broadcast_us = self->broadcast_us };
    report (self, &record);
}

/* Connected ahead: the generation before still trains. Until the agent says that this one begins,
 * nothing of the region is read or written; a peer that is lost is noticed. Somebody will join, so a
 * state will flow. */
static void await_form (struct collective *self)
{
    struct mu_collective_form form;
    struct pollfd command = { .fd = self->command_fd, .events = POLLIN };
    world_map_state (self);
    say (self, MU_COLLECTIVE_CONNECTED);
    while (poll (&command, 1, LOOK_LAST_MS) <= 0)
        world_look ();
    read_form (self, &form);
    if (form.connect || form.generation != self->form.generation || form.rank != self->form.rank ||
        form.size != self->form.size || strcmp (form.jobid, self->form.jobid) != 0)
        collective_end (self, MU_COLLECTIVE_COMMAND, "the agent's command is for another world");
    self->form = form;
    world_confirm (self);
}

static void say_ready (struct collective *self)
{
    atomic_store (&self->region->control->collective.ready_generation, self->form.generation);
    say (self, MU_COLLECTIVE_READY);
}

/* The trainer's next request of this generation; requests of earlier ones are not ours. */
static void next_request (struct collective *self, struct request *request, bool first)
{
    struct mu_region_control *control = self->region->control;
    collective_await (self, &control->trainer.request_generation, self->form.generation);
    uint64_t done = request->number;
    if (first)
        request->number = atomic_load (&control->trainer.request);
    else
        collective_await (self, &control->trainer.request, ++request->number);
    if (request->number <= done)
        collective_end (self, MU_COLLECTIVE_COMMAND, "the trainer's requests go backwards");
    request->step = atomic_load (&control->trainer.step);
    request->attempt = atomic_load (&control->trainer.attempt);
    request->waited_ns = request->reduced_ns = request->proved_ns = 0;
    if (first && request->step != self->form.step)
        collective_end (self, MU_COLLECTIVE_BASE_STEP,
                        "the trainer began step %llu, the generation starts with %llu",
                        (unsigned long long)request->step, (unsigned long long)self->form.step);
}

static void publish (struct collective *self, const struct request *request)
{
    struct mu_region_control *control = self->region->control;
    end_if_over (self);
    atomic_store (&control->collective.waited_ns, request->waited_ns);
    atomic_store (&control->collective.reduced_ns, request->reduced_ns);
    atomic_store (&control->collective.proved_ns, request->proved_ns);
    atomic_store (&control->collective.done, request->number);
    mu_bell_ring (&control->trainer_bell);
}

static noreturn void serve (struct collective *self)
{
    struct request request = { 0 };
    collective_await (self, &self->region->control->agent.go_generation, self->form.generation);
    for (bool first = true;; first = false) {
        next_request (self, &request, first);
        world_reduce (self, &request);
        publish (self, &request);
    }
}

int main (int argc, char **argv)
{
    struct collective self = { .command_fd = -1 };
    if (argc != 5 || number_of (argv[1]) != (int)MU_COLLECTIVE_PROTOCOL ||
        number_of (argv[2]) < 0 || number_of (argv[3]) < 0 || number_of (argv[4]) < 0)
        collective_end (&self, MU_COLLECTIVE_USAGE,
                        "wrong arguments; it is started by muster-worker of the same version only");
    self.command_fd = number_of (argv[3]);
    tie_to_agent (&self, number_of (argv[4]));
    self.region_fd = number_of (argv[2]);
    open_region (&self);
    /* MPI's temporary buffers stay mapped: a fifth of the time at 64 MiB goes to page faults else.
     */
    mallopt (M_MMAP_THRESHOLD, 1 << 30);
    mallopt (M_TRIM_THRESHOLD, INT32_MAX);
    mallopt (M_TOP_PAD, 64 << 20);
    read_form (&self, &self.form);
    world_start (&self, &argc, &argv);
    world_warm_up (&self);
    if (self.form.connect)
        await_form (&self);
    world_give_sums (&self);
    world_broadcast_state (&self);
    say_ready (&self);
    serve (&self);
}
