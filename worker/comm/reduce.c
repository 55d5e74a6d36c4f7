/* SPDX-License-Identifier: Apache-2.0 */
/* reduce.c - a step's sums, bucket by bucket as the trainer finishes them, and their proof
 *
 * A rank that is alone on its host gives each piece to MPI. Ranks of one host read each other's sums
 * (neighbours.h): each adds up one slice of each piece into its own result, and takes the other
 * slices from the others' results. So nobody writes what is another's, and MPI only brings them
 * together: before a bucket is read (it is ready everywhere) and before a result is. Where the world
 * has more hosts, the first rank of each takes its host's sums to MPI, and the others take the
 * result from it.
 *
 * None of that is believed: each rank proves its whole result against what all ranks' sums were
 * (proof.h).
 *
 * A result is read by others until they come to the next meeting; whoever is there may write its
 * own again. The same holds for sums: `done` comes after a meeting that all came to.
 *
 * Who has updated its state may have to give another the sums that it did so with (transfer.c). So a result is
 * kept until all have begun the next step, which the first meeting tells; between hosts MPI alone would not. */
#include "comm.h"
#include "neighbours.h"
#include "world.h"

#include "common/mix.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* What is reduced at once. 1 MiB should still be in a core's cache when its checksums are made.
 * With 2 ranks on a busy machine, whole buffers took a fifth more processor time than MPI_Allreduce
 * alone, 256 KiB up to a third more, 1 MiB from 8 MiB up none (bench_collective). */
#define CHUNK_BYTES ((size_t)1 << 20)

#define LINE_BYTES  64u               /* slices share none */
#define BLOCK_BYTES ((size_t)8 << 10) /* stays in the first cache while all ranks' are added */

struct step {
    struct request *request;
    struct mu_proof own, result;
    uint32_t fed;    /* buckets that are in `own` */
    bool takes_over; /* the result is this step's from now on */
};

/* One piece: `at` bytes into sums and result. */
typedef void piece_work (struct collective *self, struct step *step, size_t at, size_t bytes);

static void each_piece (struct collective *self, struct step *step, uint32_t first, uint32_t end,
                        piece_work *work)
{
    const struct mu_region_layout *layout = &self->region->layout;
    for (uint32_t b = first; b < end; b++) {
        size_t at = layout->buckets[b].offset * (size_t)layout->element;
        size_t left = layout->buckets[b].elements * (size_t)layout->element;
        while (left > 0) {
            size_t bytes = left < CHUNK_BYTES ? left : CHUNK_BYTES;
            work (self, step, at, bytes);
            at += bytes;
            left -= bytes;
        }
    }
}

static char *own_sums (const struct collective *self) { return self->region->sums; }
static char *own_result (const struct collective *self) { return self->region->result; }

/* --- proofs ----------------------------------------------------------------------------------- */

static void feed_own (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    uint64_t start = collective_now_ns ();
    enum mu_element element = self->region->layout.element;
    char *sums = own_sums (self) + at;
    if (fault_ordered (self->region, MU_CORRUPTION_SUMS))
        sums[1] ^= 0x10;
    mu_proof_feed (&step->own, element, sums, bytes / (size_t)element);
    if (fault_now ("slip", step->request->step))
        sums[0] ^= 1;
    step->request->proved_ns += collective_now_ns () - start;
}

static void feed_result (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    uint64_t start = collective_now_ns ();
    enum mu_element element = self->region->layout.element;
    char *result = own_result (self) + at;
    if (fault_now ("flip", step->request->step) ||
        fault_ordered (self->region, MU_CORRUPTION_RESULT))
        result[0] ^= 1;
    mu_proof_feed (&step->result, element, result, bytes / (size_t)element);
    collective_progress (self);
    step->request->proved_ns += collective_now_ns () - start;
}

/* Where a piece's result goes; a fault: not there. */
static char *goes_to (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    char *elsewhere = fault_now ("stale", step->request->step) ? malloc (bytes) : NULL;
    return elsewhere ? elsewhere : own_result (self) + at;
}

/* --- between hosts ---------------------------------------------------------------------------- */

static void add_hosts (struct collective *self, const void *from, char *to, size_t bytes)
{
    enum mu_element element = self->region->layout.element;
    MPI_TRY (self, MPI_Allreduce (from, to, (int)(bytes / (size_t)element),
                                  element == MU_ELEMENT_INT32 ? MPI_INT32_T : MPI_INT64_T, MPI_SUM,
                                  self->near->leaders));
}

static void reduce_alone (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    feed_own (self, step, at, bytes);
    uint64_t start = collective_now_ns ();
    add_hosts (self, own_sums (self) + at, goes_to (self, step, at, bytes), bytes);
    step->request->reduced_ns += collective_now_ns () - start;
    feed_result (self, step, at, bytes);
}

/* --- on one host ------------------------------------------------------------------------------ */

typedef uint32_t lanes32 __attribute__ ((vector_size (16)));
typedef uint64_t lanes64 __attribute__ ((vector_size (16)));

/* to = a + b, modulo 2^32 or 2^64. One of a and b may be to. */
#define ADD(name, word, lanes)                                                                     \
    static void name (char *to, const char *a, const char *b, size_t bytes)                        \
    {                                                                                              \
        size_t at = 0;                                                                             \
        for (lanes x, y; at + sizeof x <= bytes; at += sizeof x) {                                 \
            memcpy (&x, a + at, sizeof x);                                                         \
            memcpy (&y, b + at, sizeof y);                                                         \
            x += y;                                                                                \
            memcpy (to + at, &x, sizeof x);                                                        \
        }                                                                                          \
        for (word x, y; at < bytes; at += sizeof x) {                                              \
            memcpy (&x, a + at, sizeof x);                                                         \
            memcpy (&y, b + at, sizeof y);                                                         \
            x += y;                                                                                \
            memcpy (to + at, &x, sizeof x);                                                        \
        }                                                                                          \
    }
ADD (add32, uint32_t, lanes32)
ADD (add64, uint64_t, lanes64)

struct slice {
    size_t at, bytes;
};

/* That of the rank at `place` in a piece; the last may be shorter, or empty. */
static struct slice slice_of (const struct neighbours *near, uint32_t place, size_t at,
                              size_t bytes)
{
    size_t whole = (bytes / near->count + LINE_BYTES) / LINE_BYTES * LINE_BYTES;
    size_t first = place * whole < bytes ? place * whole : bytes;
    size_t left = bytes - first;
    return (struct slice){ at + first, left < whole ? left : whole };
}

/* This rank's slice of all ranks' sums, into its result. */
static void add_slice (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    (void)step;
    const struct neighbours *near = self->near;
    struct slice slice = slice_of (near, near->place, at, bytes);
    bool narrow = self->region->layout.element == MU_ELEMENT_INT32;
    for (size_t done = 0; done < slice.bytes; done += BLOCK_BYTES) {
        size_t count = slice.bytes - done < BLOCK_BYTES ? slice.bytes - done : BLOCK_BYTES;
        const char *sums = own_sums (self) + slice.at + done;
        char *to = own_result (self) + slice.at + done;
        const char *so_far = neighbours_memory (self, 0, sums);
        for (uint32_t place = 1; place < near->count; place++, so_far = to)
            (narrow ? add32 : add64) (to, so_far, neighbours_memory (self, place, sums), count);
    }
}

/* The others' slices, from their results. */
static void take_slices (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    const struct neighbours *near = self->near;
    char *to = goes_to (self, step, at, bytes);
    for (uint32_t place = 0; place < near->count; place++) {
        struct slice slice = slice_of (near, place, at, bytes);
        if (place != near->place)
            memcpy (to + (slice.at - at),
                    neighbours_memory (self, place, own_result (self) + slice.at), slice.bytes);
    }
}

static void finish_here (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    take_slices (self, step, at, bytes);
    feed_result (self, step, at, bytes);
}

static void finish_for_host (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    take_slices (self, step, at, bytes);
    add_hosts (self, MPI_IN_PLACE, own_result (self) + at, bytes);
    feed_result (self, step, at, bytes);
}

static void take_all (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    memcpy (goes_to (self, step, at, bytes), neighbours_memory (self, 0, own_result (self) + at),
            bytes);
    feed_result (self, step, at, bytes);
}

static void meet (struct collective *self) { MPI_TRY (self, MPI_Barrier (self->near->host)); }

/* How many buckets are ready on all ranks of this host; `own` are here. */
static uint32_t meet_ready (struct collective *self, uint32_t first, uint32_t own)
{
    uint32_t all = 0;
    MPI_TRY (self, MPI_Allreduce (&own, &all, 1, MPI_UINT32_T, MPI_MIN, self->near->host));
    if (all <= first || all > own)
        collective_end (self, MU_COLLECTIVE_CANARY,
                        "%u buckets are ready on all ranks, of %u here and %u before", all, own,
                        first);
    return all;
}

static bool is_ready (const struct collective *self, const struct step *step, uint32_t bucket)
{
    return bucket < self->region->layout.bucket_count &&
           atomic_load_explicit (&self->region->ready[bucket], memory_order_acquire) ==
               step->request->number;
}

/* All have begun this step: nobody needs what the one before came to. */
static void take_over_result (struct collective *self, struct step *step)
{
    if (step->takes_over)
        return;
    if (self->near->hosts > 1)
        world_agree (self, NULL, 0);
    atomic_store (&self->region->control->collective.result_of, step->request->number);
    step->takes_over = true;
}

/* From bucket `first`, which is ready here, those that are ready everywhere; where they end. */
static uint32_t reduce_together (struct collective *self, struct step *step, uint32_t first)
{
    uint32_t own = first + 1;
    while (is_ready (self, step, own))
        own++;
    if (own > step->fed) {
        each_piece (self, step, step->fed, own, feed_own);
        step->fed = own;
    }
    struct request *request = step->request;
    uint64_t start = collective_now_ns (), proved_ns = request->proved_ns;
    uint32_t end = meet_ready (self, first, step->fed);
    take_over_result (self, step);
    each_piece (self, step, first, end, add_slice);
    meet (self);
    bool leads = self->near->place == 0, more = self->near->hosts > 1;
    if (leads || !more)
        each_piece (self, step, first, end, more ? finish_for_host : finish_here);
    if (more)
        meet (self);
    if (more && !leads)
        each_piece (self, step, first, end, take_all);
    request->reduced_ns += collective_now_ns () - start - (request->proved_ns - proved_ns);
    return end;
}

/* --- a step ----------------------------------------------------------------------------------- */

/* The words behind the canary that close a step. */
enum { CLOSE_STEP, CLOSE_ATTEMPT, CLOSE_MOMENT, CLOSE_A, CLOSE_B, CLOSE_WORDS };

static void prove (struct collective *self, const struct step *now)
{
    const struct request *request = now->request;
    uint64_t size = self->form.size;
    uint64_t step = request->step + (fault_now ("step", request->step) ? 1 : 0);
    uint64_t moment = mu_mix (mu_mix (self->ticket, step), request->attempt);
    uint64_t words[CLOSE_WORDS] = { step, request->attempt, moment, now->own.a, now->own.b };
    world_agree (self, words, CLOSE_WORDS);
    if (words[CLOSE_STEP] != size * step || words[CLOSE_ATTEMPT] != size * request->attempt ||
        words[CLOSE_MOMENT] != size * moment)
        collective_end (self, MU_COLLECTIVE_STEP,
                        "this rank is at step %llu, attempt %llu; the others are not",
                        (unsigned long long)step, (unsigned long long)request->attempt);
    uint64_t mask = self->region->layout.element == MU_ELEMENT_INT32 ? UINT32_MAX : UINT64_MAX;
    struct mu_proof total = { words[CLOSE_A] & mask, words[CLOSE_B] & mask };
    if (!mu_proof_holds (self->region->layout.element, &now->result, &total))
        collective_end (self, MU_COLLECTIVE_CHECKSUM,
                        "step %llu: checksums %llx %llx, but the ranks' add up to %llx %llx",
                        (unsigned long long)request->step, (unsigned long long)now->result.a,
                        (unsigned long long)now->result.b, (unsigned long long)total.a,
                        (unsigned long long)total.b);
    struct mu_region_control *control = self->region->control;
    atomic_store (&control->collective.proof_a, now->result.a);
    atomic_store (&control->collective.proof_b, now->result.b);
}

void world_reduce (struct collective *self, struct request *request)
{
    struct step step = { .request = request };
    uint32_t buckets = self->region->layout.bucket_count;
    for (uint32_t b = 0, end; b < buckets; b = end) {
        uint64_t start = collective_now_ns ();
        collective_await (self, &self->region->ready[b], request->number);
        request->waited_ns += collective_now_ns () - start;
        end = b + 1;
        if (self->near->count > 1) {
            end = reduce_together (self, &step, b);
        } else {
            take_over_result (self, &step);
            each_piece (self, &step, b, end, reduce_alone);
        }
        if (b <= buckets / 2 && buckets / 2 < end && fault_now ("die", request->step))
            raise (SIGKILL);
    }
    uint64_t start = collective_now_ns ();
    prove (self, &step);
    request->proved_ns += collective_now_ns () - start;
}

static void feed_again (struct collective *self, struct step *step, size_t at, size_t bytes)
{
    enum mu_element element = self->region->layout.element;
    mu_proof_feed (&step->result, element, own_result (self) + at, bytes / (size_t)element);
    collective_progress (self);
}

bool world_result_holds (struct collective *self)
{
    const struct mu_region_control *control = self->region->control;
    struct step step = { 0 };
    each_piece (self, &step, 0, self->region->layout.bucket_count, feed_again);
    return step.result.a == atomic_load (&control->collective.proof_a) &&
           step.result.b == atomic_load (&control->collective.proof_b);
}
