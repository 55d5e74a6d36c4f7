/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - sums and state go from their source to those that are behind, and to nobody else
 *
 * Who is on the source's host copies it from there (neighbours.h), the others get it by MPI, piece by piece.
 * Where one gets it, a piece is on its way while the one before is hashed.
 *
 * The state: all hash what they have then, and each hash must be the source's: that of those that were level,
 * too, which proves that they are. The source's state is at rest until all have agreed on that.
 *
 * The sums that the source's last update was made of, before it, if some are just that one update behind: they make
 * it themselves, and are compared like all others. Were they given the state, one of two that differ would be gone,
 * and nobody would ever know. What is given is still what the step proved: each rank's checksums added up to it. */
#include "neighbours.h"
#include "wide_mix.h"
#include "world.h"

#include "comm.h"

#include <string.h>

#define PIECE_BYTES ((size_t)2 << 20)   /* what MPI is given at once */
#define PIECES      2                   /* what it has of them at a time */
#define BLOCK_BYTES ((size_t)256 << 10) /* is still in a core's cache when it is hashed */

/* One block of the region, and what this rank has to do with it. */
struct transfer {
    char *own;
    uint64_t bytes;
    bool takes;
    const char *theirs; /* the source's, where this rank takes it and is near; else NULL */
    MPI_Comm some;      /* the source and those to whom MPI brings it; the source is rank 0 there.
                           MPI_COMM_NULL: not this rank */
};

static bool is_source (const struct collective *self)
{
    return self->form.rank == self->form.source_rank;
}

/* --- who gets it how -------------------------------------------------------------------------- */

static MPI_Comm givers_and_takers (struct collective *self, bool takes)
{
    bool source = is_source (self);
    MPI_Comm some;
    MPI_TRY (self, MPI_Comm_split (MPI_COMM_WORLD, source || takes ? 0 : MPI_UNDEFINED,
                                   source ? 0 : (int)self->form.rank + 1, &some));
    return some;
}

static struct transfer find_way (struct collective *self, void *own, uint64_t bytes, bool takes)
{
    struct transfer transfer = { .own = own, .bytes = bytes, .takes = takes };
    uint32_t place = neighbours_place (self, self->form.source_rank);
    bool is_far = takes && place == self->near->count;
    uint64_t far = is_far;
    if (self->near->hosts > 1)
        world_agree (self, &far, 1);
    transfer.some = far ? givers_and_takers (self, is_far) : MPI_COMM_NULL;
    if (!takes || is_far)
        return transfer;
    transfer.theirs = neighbours_memory (self, place, own);
    mu_region_prefault ((void *)(uintptr_t)transfer.theirs, bytes);
    return transfer;
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

static size_t piece_bytes (const struct transfer *transfer, uint64_t at)
{
    uint64_t left = transfer->bytes - at;
    return left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
}

/* To one taker; several get it by MPI's tree, a piece at a time. */
static void start_piece (struct collective *self, const struct transfer *transfer, uint64_t at,
                         MPI_Request *request)
{
    char *piece = transfer->own + at;
    int count = (int)piece_bytes (transfer, at), ranks;
    MPI_TRY (self, MPI_Comm_size (transfer->some, &ranks));
    *request = MPI_REQUEST_NULL;
    if (ranks > 2)
        MPI_TRY (self, MPI_Bcast (piece, count, MPI_BYTE, 0, transfer->some));
    else if (transfer->takes)
        MPI_TRY (self, MPI_Irecv (piece, count, MPI_BYTE, 0, 0, transfer->some, request));
    else
        MPI_TRY (self, MPI_Isend (piece, count, MPI_BYTE, 1, 0, transfer->some, request));
}

/* The hash of the block, of which each piece has come before it is hashed. */
static uint64_t move (struct collective *self, const struct transfer *transfer)
{
    uint64_t size = transfer->bytes, hash = self->form.generation, started = 0;
    bool sent = transfer->some != MPI_COMM_NULL;
    MPI_Request requests[PIECES];
    for (uint64_t at = 0; at < size; at += PIECE_BYTES) {
        for (; sent && started < size && started - at < PIECES * PIECE_BYTES;
             started += PIECE_BYTES)
            start_piece (self, transfer, started, &requests[started / PIECE_BYTES % PIECES]);
        if (sent)
            MPI_TRY (self, MPI_Wait (&requests[at / PIECE_BYTES % PIECES], MPI_STATUS_IGNORE));
        hash =
            hash_piece (hash, transfer->own + at, transfer->theirs ? transfer->theirs + at : NULL,
                        piece_bytes (transfer, at));
        if (fault_now ("tear", self->form.step))
            hash ^= 1;
        collective_progress (self);
    }
    return hash;
}

/* --- the sums --------------------------------------------------------------------------------- */

/* What the source says of its sums, to all. */
enum { SUMS_HASH, SUMS_A, SUMS_B, SUMS_ARE, SUMS_WORDS };
enum { ARE_GONE, ARE_OTHERS, ARE_THERE };

static uint64_t look_at_own (struct collective *self)
{
    const struct mu_region_control *control = self->region->control;
    uint64_t made_of = atomic_load (&control->trainer.made_of);
    if (!made_of || atomic_load (&control->collective.result_of) != made_of)
        return ARE_GONE;
    return world_result_holds (self) ? ARE_THERE : ARE_OTHERS;
}

static void check_sums (struct collective *self, const uint64_t said[SUMS_WORDS], uint64_t hash)
{
    const struct mu_collective_form *form = &self->form;
    if (said[SUMS_ARE] == ARE_GONE)
        collective_end (self, MU_COLLECTIVE_SUMS_GONE, "rank %u has other sums by now",
                        form->source_rank);
    if (form->receives != MU_RECEIVES_SUMS)
        return;
    if (said[SUMS_ARE] != ARE_THERE)
        collective_end (self, MU_COLLECTIVE_STATE_DIFFERS,
                        "the sums that the state of rank %u before step %llu was made of are not "
                        "what they were proven to be",
                        form->source_rank, (unsigned long long)form->step);
    if (hash != said[SUMS_HASH])
        collective_end (self, MU_COLLECTIVE_STATE_TORN,
                        "the hash of the sums is not that of rank %u", form->source_rank);
}

void world_give_sums (struct collective *self)
{
    const struct mu_collective_form *form = &self->form;
    if (!form->sums)
        return;
    struct mu_region *region = self->region;
    struct mu_region_control *control = region->control;
    bool takes = form->receives == MU_RECEIVES_SUMS;
    struct transfer transfer =
        find_way (self, region->result,
                  region->layout.sums_elements * (uint64_t)region->layout.element, takes);
    collective_await (self, &control->trainer.entered_generation, form->generation);
    if (takes)
        atomic_store (&control->collective.result_of, MU_REGION_GIVEN + form->generation);
    uint64_t said[SUMS_WORDS] = { 0 }, hash = 0;
    if (takes || is_source (self))
        hash = move (self, &transfer);
    if (is_source (self)) {
        said[SUMS_HASH] = hash;
        said[SUMS_A] = atomic_load (&control->collective.proof_a);
        said[SUMS_B] = atomic_load (&control->collective.proof_b);
        said[SUMS_ARE] = look_at_own (self);
    }
    MPI_TRY (self,
             MPI_Bcast (said, SUMS_WORDS, MPI_UINT64_T, (int)form->source_rank, MPI_COMM_WORLD));
    check_sums (self, said, hash);
    world_agree (self, NULL, 0);
    if (!takes)
        return;
    atomic_store (&control->collective.proof_a, said[SUMS_A]);
    atomic_store (&control->collective.proof_b, said[SUMS_B]);
    atomic_store (&control->collective.sums_done_generation, form->generation);
    mu_bell_ring (&control->trainer_bell);
}

/* --- the state -------------------------------------------------------------------------------- */

static void compare_hashes (struct collective *self, bool takes, uint64_t hash)
{
    const struct mu_collective_form *form = &self->form;
    uint64_t right = hash, total = hash;
    MPI_TRY (self, MPI_Bcast (&right, 1, MPI_UINT64_T, (int)form->source_rank, MPI_COMM_WORLD));
    if (hash != right && takes)
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
    bool takes = form->receives == MU_RECEIVES_STATE;
    struct transfer transfer =
        find_way (self, self->region->state, self->region->layout.state_bytes, takes);
    world_map_state (self);
    collective_await (self,
                      form->receives == MU_RECEIVES_SUMS ? &control->trainer.caught_up_generation
                                                         : &control->trainer.entered_generation,
                      form->generation);
    uint64_t start = collective_now_ns ();
    if (takes)
        atomic_store (&control->collective.state_begun_generation, form->generation);
    compare_hashes (self, takes, move (self, &transfer));
    atomic_store (&control->collective.state_done_generation, form->generation);
    mu_bell_ring (&control->trainer_bell);
    self->broadcast_us = (collective_now_ns () - start) / 1000;
}
