/* SPDX-License-Identifier: Apache-2.0 */
/* comm.h - what a trainer knows of the world: sums go in, the sums of all ranks come out
 *
 * A trainer lives through many generations. In each it is one rank of one world, and a world can
 * end at any moment; then the trainer learns TORN, keeps its sums, and enters the next generation
 * when its agent says so. Nothing here ever ends the trainer.
 *
 *     for each generation (a message of the agent):
 *         mu_comm_enter (comm, &generation)         between steps or with a torn one; sums are kept
 *         mu_comm_broadcast (comm, timeout)         who is behind: until the state block is this
 *                                                   generation's. Who is not need not wait: the
 *                                                   world reduces nothing before all have it.
 *                                                   Who is just one update behind takes the sums of that
 *                                                   (mu_comm_take_sums ()), makes it, and says so
 *                                                   (mu_comm_caught_up ()): then it compares like all others
 *         for each step, and each attempt of it:
 *             mu_comm_begin (comm, step, attempt)
 *             mu_comm_bucket_ready (comm, b) ...    as backward finishes them, from any thread
 *             mu_comm_wait (comm, timeout)          DONE: comm->result holds the proven sums
 *         mu_comm_leave (comm)                      when TORN, or when the agent says so
 *
 * After TORN in wait (): sums are intact. Compute the micro-batches that the new generation adds to
 * this rank, add them to the same sums, begin () the same step again and mark all buckets.
 * A result stays valid until the next begin (), and what it was lies there until all ranks have begun that
 * step: mu_comm_keeps () says whether it still does, for whoever is an update behind.
 *
 * Two implementations stand behind this interface: comm_mpi (here), and comm_nccl (a later module;
 * untested on GPU). What each thing is to them:
 *
 *     buffers       mpi   the region's blocks (region.h)
 *                   nccl  device memory of the module
 *     ticket        mpi   none
 *                   nccl  ncclGetUniqueId, called on one rank; the agent carries the bytes to the others
 *     enter         mpi   says that the state is at rest
 *                   nccl  ncclCommInitRankConfig, blocking = 0
 *     broadcast     mpi   waits until the collective process has broadcast and verified
 *                   nccl  polls ncclCommGetAsyncError until the world stands; warm-up all-reduce with
 *                         canary; ncclBroadcast of the state in pieces, hash
 *     take_sums     mpi   waits until the collective process has brought and verified them
 *                   nccl  ncclBroadcast of the result in pieces, hash, before that of the state
 *     keeps         mpi   the region says what the result is of
 *                   nccl  whether an all-reduce into it was launched since; one is launched after all
 *                         ranks are known to have begun the step
 *     begin         mpi   posts the request
 *                   nccl  notes it
 *     bucket_ready  mpi   marks and rings
 *                   nccl  records an event, ncclAllReduce out of place on the communication stream
 *     wait          mpi   waits for the proven result
 *                   nccl  queries the stream's event and the async error; then checks canary and
 *                         checksum
 *     abort         mpi   asks the collective to end; the agent kills it if it cannot
 *                   nccl  ncclCommAbort, on a thread of its own
 *     leave         mpi   forgets the generation
 *                   nccl  abort, wait for the stream, free
 *     READY to the  mpi   the collective process
 *     agent         nccl  the trainer, when broadcast () is DONE
 *
 * Threads: bucket_ready () and abort () from any; all else from one. No call but broadcast (), take_sums () and
 * wait () blocks, and those no longer than timeout_ms (negative: until something happens).
 * Calls out of order (begin () before enter (), a bucket that does not exist or twice) are refused
 * with a sentence: they are the caller's bugs. */
#ifndef MU_COMM_H
#define MU_COMM_H

#include "error.h"
#include "region.h"

#include "common/behind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MU_COMM_NO_SOURCE    UINT32_MAX
#define MU_COMM_TICKET_BYTES 128u /* NCCL's unique id */

enum mu_comm_outcome {
    MU_COMM_FAILED = -1,    /* a bug or a broken region; the error says what */
    MU_COMM_DONE = 0,       /* wait: the result is proven. broadcast: the state is the world's */
    MU_COMM_TIMEOUT = 1,    /* nothing yet */
    MU_COMM_TORN = 2,       /* this generation is over; sums and state are as they were */
    MU_COMM_STATE_LOST = 3, /* broadcast only: over, and it ended while this rank's state block was
                               being written: the rank has no state until a later broadcast */
};

/* The agent's word about a new generation. */
struct mu_comm_generation {
    uint64_t generation; /* larger than any before */
    uint32_t rank;
    uint32_t size;
    uint64_t step;        /* what the first begin () will ask for */
    uint32_t attempt;     /* where the members stand in it */
    uint32_t source_rank; /* whose state block is broadcast; MU_COMM_NO_SOURCE: all are level */
    /* STATE: this rank's state block is overwritten; SUMS: its result. Ranks that do not receive a state
     * compare: a difference ends the generation. */
    enum mu_receives receives;
    bool made;                                  /* its state was made of what keeps () is about */
    unsigned char ticket[MU_COMM_TICKET_BYTES]; /* NCCL's; zeros for MPI */
};

struct mu_comm;

struct mu_comm_operations {
    const char *name; /* "mpi", "nccl" */
    void (*destroy) (struct mu_comm *comm);
    int (*ticket) (struct mu_comm *comm, unsigned char ticket[MU_COMM_TICKET_BYTES],
                   struct mu_error *error); /* NULL where none is needed */
    int (*enter) (struct mu_comm *comm, const struct mu_comm_generation *generation,
                  struct mu_error *error);
    enum mu_comm_outcome (*broadcast) (struct mu_comm *comm, int timeout_ms,
                                       struct mu_error *error);
    enum mu_comm_outcome (*take_sums) (struct mu_comm *comm, int timeout_ms,
                                       struct mu_error *error);
    void (*caught_up) (struct mu_comm *comm);
    bool (*keeps) (struct mu_comm *comm);
    int (*begin) (struct mu_comm *comm, uint64_t step, uint32_t attempt, struct mu_error *error);
    int (*bucket_ready) (struct mu_comm *comm, uint32_t bucket, struct mu_error *error);
    enum mu_comm_outcome (*wait) (struct mu_comm *comm, int timeout_ms, struct mu_error *error);
    void (*abort) (struct mu_comm *comm);
    void (*leave) (struct mu_comm *comm);
};

/* The part that all implementations have; each keeps its own behind it. The pointers are where the
 * trainer reads and writes, and stay the same for the comm's life. */
struct mu_comm {
    const struct mu_comm_operations *operations;
    struct mu_region_layout layout; /* element type, sizes, buckets in reducing order */
    void *state;
    void *sums;
    const void *result;
};

/* Through `region` to the collective process that the agent starts; `region` is borrowed. */
struct mu_comm *mu_comm_mpi_create (struct mu_region *region, struct mu_error *error);

void mu_comm_destroy (struct mu_comm **comm);

/* Bytes for the generation message where the implementation needs some (zeros otherwise). */
int mu_comm_ticket (struct mu_comm *comm, unsigned char ticket[MU_COMM_TICKET_BYTES],
                    struct mu_error *error);
int mu_comm_enter (struct mu_comm *comm, const struct mu_comm_generation *generation,
                   struct mu_error *error);
enum mu_comm_outcome mu_comm_broadcast (struct mu_comm *comm, int timeout_ms,
                                        struct mu_error *error);
/* Who receives SUMS: until comm->result holds what the source's last update was made of. */
enum mu_comm_outcome mu_comm_take_sums (struct mu_comm *comm, int timeout_ms,
                                        struct mu_error *error);
/* ... and the update is made: the state is at rest. */
void mu_comm_caught_up (struct mu_comm *comm);
/* Whether comm->result still is what wait () or take_sums () was last DONE with. */
bool mu_comm_keeps (struct mu_comm *comm);

int mu_comm_begin (struct mu_comm *comm, uint64_t step, uint32_t attempt, struct mu_error *error);
int mu_comm_bucket_ready (struct mu_comm *comm, uint32_t bucket, struct mu_error *error);
enum mu_comm_outcome mu_comm_wait (struct mu_comm *comm, int timeout_ms, struct mu_error *error);

/* Give the running generation up; wait () will say TORN once the agent confirms. */
void mu_comm_abort (struct mu_comm *comm);

/* The generation is over for this trainer. */
void mu_comm_leave (struct mu_comm *comm);

#endif
