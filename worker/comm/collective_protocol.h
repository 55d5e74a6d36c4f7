/* SPDX-License-Identifier: Apache-2.0 */
/* collective_protocol.h - what an agent and its collective process say to each other
 *
 * The agent starts
 *
 *     muster-collective VERSION REGION_FD COMMAND_FD AGENT_PID      with PMI_FD=n in the
 * environment
 *
 * for one generation, or ahead of time as a spare. REGION_FD is the worker's region (region.h),
 * COMMAND_FD a SOCK_SEQPACKET socket, PMI_FD a stream socket that speaks PMI-1 (pmi.h). Both sides
 * come from one installation, so records are C structs; VERSION refuses anything else.
 *
 *     agent -> collective   one mu_collective_form, as soon as there is a generation; where its world
 *                           is to be connected ahead, one with `connect` before, which has no more
 *                           than generation, rank, size and jobid
 *     collective -> agent   CONNECTED, after `connect`: the world stands, nothing was touched
 *     collective -> agent   READY when the world stands and the state block is this generation's;
 *                           or FAILED with a status and a sentence, after which it ends
 *     agent -> collective   GO, in the region's control block; and then nothing but SIGKILL
 *
 * The process never returns from its work: it is killed, or it ends by itself with one of the
 * statuses below, by _exit (). It calls neither MPI_Finalize nor MPI_Abort: both can wait for ever
 * for a peer that is gone. */
#ifndef MU_COLLECTIVE_PROTOCOL_H
#define MU_COLLECTIVE_PROTOCOL_H

#include "common/behind.h"

#include <stddef.h>
#include <stdint.h>

#define MU_COLLECTIVE_PROTOCOL  6u
#define MU_COLLECTIVE_JOBID_MAX 64u   /* with its NUL; the name of the PMI key-value space */
#define MU_COLLECTIVE_RANKS_MAX 4096u /* = MU_PMI_RANKS_MAX */
#define MU_COLLECTIVE_TEXT_MAX  256u

/* Exit statuses: name, number, "what happened, so that a person knows where to look". Numbers are
 * never reused. A signal, or another number, came from outside or from MPI itself. */
#define MU_COLLECTIVE_STATUSES(X)                                                                  \
    X (USAGE, 40, "it was started with wrong arguments; only an agent of its version starts it")   \
    X (ORPHAN, 41, "its agent ended")                                                              \
    X (REGION, 42, "the shared memory region cannot be used")                                      \
    X (COMMAND, 43, "the agent's command did not come or was not understood")                      \
    X (SYSTEM, 44, "the operating system refused something that should work")                      \
    X (INIT, 45, "MPI did not start")                                                              \
    X (WORLD, 46, "MPI's rank or size is not what the generation says")                            \
    X (CANARY, 47, "the ranks do not agree on generation, job or layout")                          \
    X (UNGUARDED, 48,                                                                              \
       "MPI uses a transport whose failures go unseen; set UCX_TLS=tcp,self, or accept the risk "  \
       "with MUSTER_UNGUARDED=1")                                                                  \
    X (PEER_LOST, 49, "the connection to another rank failed")                                     \
    X (MPI_CALL, 50, "an MPI call returned an error")                                              \
    X (STEP, 51, "the ranks were not at the same step")                                            \
    X (CHECKSUM, 52, "the result is not the sum of what the ranks gave; it was thrown away")       \
    X (STATE_DIFFERS, 53,                                                                          \
       "this worker's state is not the same as the source's at the same step, which never "        \
       "happens by itself: it needs the state broadcast, and its hardware a check")                \
    X (STATE_TORN, 54, "the broadcast state did not arrive as it was sent")                        \
    X (SUPERSEDED, 55, "its generation is over")                                                   \
    X (ABANDONED, 56, "its trainer gave the generation up")                                        \
    X (BASE_STEP, 57, "its trainer began another step than the generation starts with")            \
    X (SUMS_GONE, 58, "the sums that the source was to give are not there any more")               \
    X (EXEC, 127, "the program could not be started; is muster-collective installed?")

enum mu_collective_status {
#define MU_COLLECTIVE_ENUM(name, number, text) MU_COLLECTIVE_##name = number,
    MU_COLLECTIVE_STATUSES (MU_COLLECTIVE_ENUM)
#undef MU_COLLECTIVE_ENUM
};

/* The command. */
struct mu_collective_form {
    uint32_t protocol; /* MU_COLLECTIVE_PROTOCOL */
    uint32_t size;     /* ranks in the world: 1 to MU_COLLECTIVE_RANKS_MAX */
    uint32_t rank;
    uint32_t source_rank; /* whose state is broadcast; MU_COMM_NO_SOURCE (comm.h) for nobody's */
    uint32_t connect;     /* 1: connect, and wait for a second one of the same world */
    uint32_t
        receives; /* enum mu_receives: what this rank takes from the source; NOTHING: it compares */
    uint32_t attempt;
    uint32_t
        sums; /* 1: some take the sums, and make the update themselves, before states are compared */
    uint64_t generation;
    uint64_t step;                       /* the first one to be reduced */
    char jobid[MU_COLLECTIVE_JOBID_MAX]; /* fresh for each generation; letters, digits, _ - . */
};

enum mu_collective_report_kind {
    MU_COLLECTIVE_READY = 1,
    MU_COLLECTIVE_FAILED = 2,
    MU_COLLECTIVE_CONNECTED = 3
};

struct mu_collective_report {
    uint32_t protocol;
    uint32_t kind;
    uint32_t status; /* FAILED: the status it is about to end with */
    uint32_t reserved;
    uint64_t generation;
    uint64_t init_us;      /* READY and CONNECTED: in MPI_Init */
    uint64_t warm_us;      /* READY and CONNECTED: in the first reductions */
    uint64_t broadcast_us; /* READY: in the state's broadcast */
    char text[MU_COLLECTIVE_TEXT_MAX];
};

#endif
