/* SPDX-License-Identifier: Apache-2.0 */
/* io_fault.c - signals to children and to this process, words lost, bits flipped
 *
 * The weights lie in memory that is shared with the trainer and can be changed from here at any
 * moment. Sums are worth changing only between the end of the computation and the reduction, and
 * results only between the reduction and its proof: the collective process is told to do these, and
 * does when it comes to that point (world.c). */
#include "io_fault.h"

#include "common/fault.h"
#include "common/log.h"
#include "worker/state/state.h"

#include <signal.h>

static pid_t pid_of (const struct io_agent *io, enum mu_process_state process)
{
    if (process == MU_PROCESS_TRAINER)
        return io->trainer.pid;
    return io->collective.now ? mu_collective_pid (io->collective.now) : 0;
}

static void hit_child (const struct io_agent *io, enum mu_process_state process, int signal)
{
    pid_t pid = pid_of (io, process);
    if (pid > 0)
        kill (pid, signal);
}

/* The kernel ends the children with it. */
static void hit_self (const struct agent_blow *blow)
{
    struct mu_error error;
    int signal = blow->kind == BLOW_KILL ? SIGKILL : SIGSTOP, status;
    /* What will wake it comes first: without that it may not sleep. */
    if (signal == SIGSTOP && blow->milliseconds)
        status = mu_signal_later (SIGCONT, MU_FAULT_DELAY_MS + blow->milliseconds, &error);
    else
        status = 0;
    if (status == 0)
        status = mu_signal_later (signal, MU_FAULT_DELAY_MS, &error);
    if (status < 0)
        mu_log (MU_LOG_ERROR, "fault", &MU_LOG_ABOUT_NOTHING, "nothing is broken: %s", error.text);
}

/* The top bit of the first weight's fraction. */
static void flip_weight (const struct io_agent *io)
{
    const struct mu_state *state = io->region->state;
    uint64_t at = state->weights_at;
    if (at % 4 || at > io->region->layout.state_bytes - 4)
        return;
    __atomic_fetch_xor ((uint32_t *)(void *)((char *)io->region->state + at), 1u << 22,
                        __ATOMIC_RELAXED);
}

static void corrupt (const struct io_agent *io, enum mu_corruption_state what)
{
    if (!io->region)
        return;
    if (what == MU_CORRUPTION_STATE)
        flip_weight (io);
    else
        atomic_store (&io->region->control->agent.fault, (uint64_t)what + 1);
}

void io_fault_strike (struct io_agent *io, const struct agent_blow *blow)
{
    bool self = blow->process == MU_PROCESS_AGENT;
    switch (blow->kind) {
    case BLOW_KILL:
    case BLOW_HOLD:
        if (self)
            hit_self (blow);
        else
            hit_child (io, blow->process, blow->kind == BLOW_KILL ? SIGKILL : SIGSTOP);
        return;
    case BLOW_GO_ON: hit_child (io, blow->process, SIGCONT); return;
    case BLOW_CORRUPT: corrupt (io, blow->what); return;
    case BLOW_LINE: io_coordinator_lose (io->coordinator, blow->lose_in, blow->lose_out); return;
    }
}
