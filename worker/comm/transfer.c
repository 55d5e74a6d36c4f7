/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - the state goes from its source to those that are behind, and nobody else
 *
 * Who is on the source's host copies it from there (neighbours.h), the others get it by MPI, piece by piece.
 * Where one gets it, a piece is on its way while the one before is hashed.
 * All hash what they have then, and each hash must be the source's: that of those that were level,
 * too, which proves that they are. The source's state is at rest until all have agreed on that. */
#include "neighbours.h"
#include "wide_mix.h"
#include "world.h"

#include "comm.h"

#include <string.h>

#define PIECE_BYTES ((size_t)2 << 20)   /* what MPI is given at once */
#define PIECES      2                   /* what it has of them at a time */
#define BLOCK_BYTES ((size_t)256 << 10) /* is still in a core's cache when it is hashed */

/* --- who gets it how -------------------------------------------------------------------------- */

/* The source and those to whom MPI brings it; the source is rank 0 there. MPI_COMM_NULL: not this
 * rank. */
static MPI_Comm givers_and_takers (struct collective *self, bool takes)
{
    const struct mu_collective_form *form = &self->form;
    bool source = form->rank == form->source_rank;
    MPI_Comm some;
    MPI_TRY (self, MPI_Comm_split (MPI_COMM_WORLD, source || takes ? 0 : MPI_UNDEFINED,
                                   source ? 0 : (int)form->rank + 1, &some));
    return some;
}

/* The source's state, where this rank is near and behind. *some: who takes part in sending it. */
static const char *find_way (struct collective *self, MPI_Comm *some)
{
    const struct mu_collective_form *form = &self->form;
    uint32_t place = neighbours_place (self, form->source_rank);
    uint64_t far = form->receives && place == self->near->count;
    bool takes = far;
    if (self->near->hosts > 1)
        world_agree (self, &far, 1);
    *some = far ? givers_and_takers (self, takes) : MPI_COMM_NULL;
    if (!form->receives || takes)
        return NULL;
    const char *theirs = neighbours_memory (self, place, self->region->state);
    mu_region_prefault ((void *)(uintptr_t)theirs, self->region->layout.state_bytes);
    return theirs;
}

/* --- on its way ------------------------------------------------------------------------------- */

/* Where it is near it comes from `theirs`. */
static uint64_t hash_piece (uint64_t hash, char *at, const char *theirs, size_t count)
{
    for (size_t done = 0; done < count; done += BLOCK_BYTES) {
        size_t block = count - done < BLOCK_BYTES ? count - done : BLOCK_BYTES;
        if (theirs)
            memcpy (at + done, theirs + done, block);
        hash = mu_wide_mix (hash, at + done, block);
    }
    return hash;
}

static size_t piece_bytes (const struct collective *self, uint64_t at)
{
    uint64_t left = self->region->layout.state_bytes - at;
    return left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
}

/* To one taker; several get it by MPI's tree, a piece at a time. */
static void start_piece (struct collective *self, MPI_Comm some, uint64_t at, MPI_Request *request)
{
    char *piece = (char *)self->region->state + at;
    int count = (int)piece_bytes (self, at), ranks;
    MPI_TRY (self, MPI_Comm_size (some, &ranks));
    *request = MPI_REQUEST_NULL;
    if (ranks > 2)
        MPI_TRY (self, MPI_Bcast (piece, count, MPI_BYTE, 0, some));
    else if (self->form.receives)
        MPI_TRY (self, MPI_Irecv (piece, count, MPI_BYTE, 0, 0, some, request));
    else
        MPI_TRY (self, MPI_Isend (piece, count, MPI_BYTE, 1, 0, some, request));
}

/* The hash of the state block, of which each piece has come before it is hashed. */
static uint64_t move_state (struct collective *self, MPI_Comm some, const char *theirs)
{
    uint64_t size = self->region->layout.state_bytes, hash = self->form.generation, started = 0;
    char *state = self->region->state;
    MPI_Request requests[PIECES];
    for (uint64_t at = 0; at < size; at += PIECE_BYTES) {
        for (; some != MPI_COMM_NULL && started < size && started - at < PIECES * PIECE_BYTES;
             started += PIECE_BYTES)
            start_piece (self, some, started, &requests[started / PIECE_BYTES % PIECES]);
        if (some != MPI_COMM_NULL)
            MPI_TRY (self, MPI_Wait (&requests[at / PIECE_BYTES % PIECES], MPI_STATUS_IGNORE));
        hash = hash_piece (hash, state + at, theirs ? theirs + at : NULL, piece_bytes (self, at));
        if (fault_now ("tear", self->form.step))
            hash ^= 1;
        collective_progress (self);
    }
    return hash;
}

static void compare_hashes (struct collective *self, uint64_t hash)
{
    const struct mu_collective_form *form = &self->form;
    uint64_t right = hash, total = hash;
    MPI_TRY (self, MPI_Bcast (&right, 1, MPI_UINT64_T, (int)form->source_rank, MPI_COMM_WORLD));
    if (hash != right && form->receives)
        collective_end (self, MU_COLLECTIVE_STATE_TORN, "its hash is not that of rank %u",
                        form->source_rank);
    if (hash != right)
        collective_end (self, MU_COLLECTIVE_STATE_DIFFERS,
                        "the state before step %llu is not that of rank %u",
                        (unsigned long long)form->step, form->source_rank);
    world_agree (self, &total, 1);
    if (total != hash * form->size)
        collective_end (self, MU_COLLECTIVE_STATE_TORN, "the hashes of the state differ");
}

/* Whoever sends, receives or hashes it needs its pages; here nobody waits for that yet. Nothing is read
 * or written. */
void world_map_state (const struct collective *self)
{
    mu_region_prefault (self->region->state, self->region->layout.state_bytes);
}

/* Only to those that are behind: the others prove by their hashes that they have the same. */
void world_broadcast_state (struct collective *self)
{
    const struct mu_collective_form *form = &self->form;
    if (form->source_rank == MU_COMM_NO_SOURCE)
        return;
    struct mu_region_control *control = self->region->control;
    MPI_Comm some;
    const char *theirs = find_way (self, &some);
    world_map_state (self);
    collective_await (self, &control->trainer.entered_generation, form->generation);
    uint64_t start = collective_now_ns ();
    if (form->receives)
        atomic_store (&control->collective.state_begun_generation, form->generation);
    compare_hashes (self, move_state (self, some, theirs));
    atomic_store (&control->collective.state_done_generation, form->generation);
    mu_bell_ring (&control->trainer_bell);
    self->broadcast_us = (collective_now_ns () - start) / 1000;
}
