/* SPDX-License-Identifier: Apache-2.0 */
/* region.h - the memory that one worker's agent, trainer and collective process share
 *
 * One sealed memfd: a control block, the bucket table, and three data blocks:
 *
 *     state   the worker's whole training state (weights, optimizer, scales). Opaque here; the same
 *             bits on every rank that stands at the same step, so padding must be zero.
 *     sums    this rank's own integer sums. The trainer writes it, the collective only reads it:
 *             reductions are out of place, so a torn one leaves the sums as they were.
 *     result  the sums over all ranks; as large as sums. The collective writes it. It counts only
 *             after `done` names the request, because only then it is proven. It is written over when
 *             all ranks have begun the next step, so that nobody can need it any more, and not before.
 *
 * Collectives of other ranks on the same host may read all of it (neighbours.h), and write nothing.
 *
 * Buckets cut sums and result into the pieces that are reduced one after the other, in the order of
 * the table, the same on all ranks: put first what backward finishes first. Buckets may lie
 * anywhere in the block but do not overlap; elements outside every bucket are not reduced.
 *
 * Every field has one writer, named in struct mu_region_control. A write is published by a release
 * store of the field that the other side watches; then the watcher's bell is rung. Bells are the
 * one exception to the single writer: they are only ever added to, and carry no meaning but "look
 * again". Waiting is a futex on the bell; nobody spins.
 *
 * Whoever attaches believes nothing: all offsets and sizes are checked once and then taken from
 * this process's own copy, never again from the shared block. The memfd is sealed against change of
 * size, and its memory is reserved at creation, so that touching it cannot raise SIGBUS. */
#ifndef MU_REGION_H
#define MU_REGION_H

#include "error.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Buckets: one a tensor, and the largest models have some 10,000 tensors. Blocks: 4 TiB each, so
 * that offsets never overflow 64 bits. */
#define MU_REGION_MAGIC       UINT64_C (0x316e6f6967657275)
#define MU_REGION_VERSION     5u
#define MU_REGION_BUCKETS_MAX 65536u
#define MU_REGION_BLOCK_MAX   (UINT64_C (1) << 42)

#define MU_REGION_GIVEN (UINT64_C (1) << 63)

#define MU_FLIGHT_WORDS 32u /* a step has at most 2047 micro-batches */
#define MU_FLIGHT_TEXT  1024u

/* The value is the size in bytes. */
enum mu_element { MU_ELEMENT_INT32 = 4, MU_ELEMENT_INT64 = 8 };

struct mu_region_bucket {
    uint64_t offset;   /* in elements, from the start of sums (and of result) */
    uint64_t elements; /* at least 1 */
};

struct mu_region_layout {
    enum mu_element element;
    uint64_t state_bytes;
    uint64_t sums_elements; /* size of sums and of result */
    uint32_t bucket_count;  /* 1 to MU_REGION_BUCKETS_MAX */
    const struct mu_region_bucket *buckets;
};

/* What lies at the start of the memfd. */
struct mu_region_control {
    struct { /* written by mu_region_create (), constant afterwards */
        uint64_t magic;
        uint32_t version;
        uint32_t element_bytes;
        uint64_t total_bytes;
        uint64_t state_offset, state_bytes;
        uint64_t sums_offset, result_offset, sums_elements;
        uint64_t table_offset, ready_offset;
        uint32_t bucket_count;
        uint32_t reserved;
        uint64_t layout_hash;
    } fixed;

    alignas (64) struct {               /* written by the agent */
        _Atomic uint64_t go_generation; /* the one generation whose collective may reduce */
        _Atomic uint64_t
            ended_generation; /* this and all before are over, their processes reaped */
        _Atomic uint64_t fault; /* 1 plus what is to be corrupted once (states.schema); the
                                   collective that does it makes it 0, its one write here */
    } agent;

    alignas (64) struct {                      /* written by the trainer */
        _Atomic uint64_t entered_generation;   /* the state block is at rest for its broadcast */
        /* What its state was made of, as result_of said then; 0: of nothing that is known. Stored before the
         * one above. */
        _Atomic uint64_t made_of;
        _Atomic uint64_t caught_up_generation; /* who takes the sums has made the update of them */
        _Atomic uint64_t abandoned_generation; /* the trainer gave this generation up */
        _Atomic uint64_t step;                 /* of the request */
        _Atomic uint64_t attempt;              /* 0, then 1 more for each lowered scale */
        _Atomic uint64_t request;              /* counts begin () calls; stored after the above */
        _Atomic uint64_t request_generation; /* of `request`; stored last, so that the first request
                                                of a generation is never taken for the one before,
                                                whose buckets are all marked */
        _Atomic uint64_t
            work; /* units of work done so far, of whatever size: the agent sees it grow */
    } trainer;

    alignas (
        64) struct { /* written by the trainer, read by the agent once it is reaped (flight.h) */
        _Atomic uint64_t step;
        _Atomic uint64_t in_flight[MU_FLIGHT_WORDS]; /* bit m: micro-batch m of that step */
        char records[MU_FLIGHT_TEXT];                /* what the one in flight holds, in words */
    } flight;

    alignas (64) struct { /* written by the collective of the running generation */
        /* What is in result, or being written there: the request, or MU_REGION_GIVEN plus the generation whose
         * source gave it. Stored before anything is written. */
        _Atomic uint64_t result_of;
        _Atomic uint64_t proof_a, proof_b;     /* of it, once it is whole (proof.h) */
        _Atomic uint64_t sums_done_generation; /* the source's result has come, as it was proven */
        _Atomic uint64_t state_begun_generation; /* the state block is being overwritten */
        _Atomic uint64_t state_done_generation;  /* the state block was broadcast and verified */
        _Atomic uint64_t ready_generation;       /* its world stands */
        _Atomic uint64_t progress;               /* chunks moved so far: a watchdog sees it grow */
        _Atomic uint64_t waited_ns;              /* of the last request: waiting for buckets */
        _Atomic uint64_t reduced_ns;             /* of the last request: inside MPI */
        _Atomic uint64_t proved_ns; /* of the last request: checksums and the closing reduction */
        _Atomic uint64_t done;      /* the last request whose result is proven; stored last */
        _Atomic uint64_t far; /* 1: a state could not be had as memory of the same host (near.h) */
    } collective;

    alignas (64) _Atomic uint32_t trainer_bell;    /* added to by the collective and the agent */
    alignas (64) _Atomic uint32_t collective_bell; /* added to by the trainer and the agent */
};

/* One process's view. All but the data behind the pointers is private to the process. */
struct mu_region {
    struct mu_region_control *control;
    _Atomic uint64_t
        *ready;  /* [bucket_count] the request for which the bucket is summed; trainer */
    void *state; /* blocks are 4096-byte aligned */
    void *sums;
    void *result;
    struct mu_region_layout layout; /* buckets: the view's own copy */
    uint64_t layout_hash;           /* of element, sizes and table; equal on all ranks of a world */
    uint64_t total_bytes;
};

/* Make a region of zeros and a view of it. *fd is the caller's (close-on-exec). NULL with a
 * sentence when the layout is wrong or memory for it cannot be reserved. */
struct mu_region *mu_region_create (const struct mu_region_layout *layout, int *fd,
                                    struct mu_error *error);

/* View a region made elsewhere. `fd` may be closed afterwards. NULL with a sentence unless
 * everything about it is as it must be. */
struct mu_region *mu_region_attach (int fd, struct mu_error *error);

/* A mapping of a region's whole file, which munmap () ends; NULL with errno. */
void *mu_region_map (int fd, uint64_t bytes, int protection);

/* Map a block now, many pages at a time, and not each page by a fault of its own when it is first
 * written to: a byte here and there is read. */
void mu_region_prefault (void *block, uint64_t bytes);

/* Unmap and free the view; NULL is fine. */
void mu_region_detach (struct mu_region **region);

/* --- bells ------------------------------------------------------------------------------------ */

/* Look at the bell, then at the fields, then wait () with what the bell read: nothing is missed. */
uint32_t mu_bell_read (_Atomic uint32_t *bell);
void mu_bell_ring (_Atomic uint32_t *bell);
/* False when timeout_ms passed (negative: no limit) while the bell still read `seen`. */
bool mu_bell_wait (_Atomic uint32_t *bell, uint32_t seen, int timeout_ms);

/* --- what the agent says ---------------------------------------------------------------------- */

/* All members of `generation` are ready: its collective may reduce. */
void mu_region_go (struct mu_region *region, uint64_t generation);
/* `generation` is over and its collective is reaped (or never was): the trainer's wait ends. */
void mu_region_end (struct mu_region *region, uint64_t generation);

#endif
