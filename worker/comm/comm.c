/* SPDX-License-Identifier: Apache-2.0 */
/* comm.c - from the interface to the implementation; nothing else happens here */
#include "comm.h"

#include <string.h>

void mu_comm_destroy (struct mu_comm **comm)
{
    if (*comm)
        (*comm)->operations->destroy (*comm);
    *comm = NULL;
}

int mu_comm_ticket (struct mu_comm *comm, unsigned char ticket[MU_COMM_TICKET_BYTES],
                    struct mu_error *error)
{
    memset (ticket, 0, MU_COMM_TICKET_BYTES);
    return comm->operations->ticket ? comm->operations->ticket (comm, ticket, error) : 0;
}

int mu_comm_enter (struct mu_comm *comm, const struct mu_comm_generation *generation,
                   struct mu_error *error)
{
    if (generation->size == 0 || generation->rank >= generation->size)
        return mu_fail (error, MU_INTERNAL, "generation %llu has no rank %u among %u",
                        (unsigned long long)generation->generation, generation->rank,
                        generation->size);
    if (generation->source_rank != MU_COMM_NO_SOURCE &&
        (generation->source_rank >= generation->size ||
         (generation->receives && generation->source_rank == generation->rank)))
        return mu_fail (error, MU_INTERNAL,
                        "in generation %llu rank %u cannot be the source of "
                        "rank %u's state",
                        (unsigned long long)generation->generation, generation->source_rank,
                        generation->rank);
    return comm->operations->enter (comm, generation, error);
}

enum mu_comm_outcome mu_comm_broadcast (struct mu_comm *comm, int timeout_ms,
                                        struct mu_error *error)
{
    return comm->operations->broadcast (comm, timeout_ms, error);
}

enum mu_comm_outcome mu_comm_take_sums (struct mu_comm *comm, int timeout_ms,
                                        struct mu_error *error)
{
    return comm->operations->take_sums (comm, timeout_ms, error);
}

void mu_comm_caught_up (struct mu_comm *comm) { comm->operations->caught_up (comm); }

bool mu_comm_keeps (struct mu_comm *comm) { return comm->operations->keeps (comm); }

int mu_comm_begin (struct mu_comm *comm, uint64_t step, uint32_t attempt, struct mu_error *error)
{
    return comm->operations->begin (comm, step, attempt, error);
}

int mu_comm_bucket_ready (struct mu_comm *comm, uint32_t bucket, struct mu_error *error)
{
    if (bucket >= comm->layout.bucket_count)
        return mu_fail (error, MU_INTERNAL, "there is no bucket %u; there are %u", bucket,
                        comm->layout.bucket_count);
    return comm->operations->bucket_ready (comm, bucket, error);
}

enum mu_comm_outcome mu_comm_wait (struct mu_comm *comm, int timeout_ms, struct mu_error *error)
{
    return comm->operations->wait (comm, timeout_ms, error);
}

void mu_comm_abort (struct mu_comm *comm) { comm->operations->abort (comm); }

void mu_comm_leave (struct mu_comm *comm) { comm->operations->leave (comm); }
