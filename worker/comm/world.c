/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - one generation's MPI world
 *
 * MPI's return codes prove nothing here (guards.h), so everything is proven by sums of integers.
 * world_agree () reduces a record of which every rank knows what its total must be; each step ends with
 * one, which carries the checksums too. A rank that sees a wrong total ends; the others then lose
 * their connection to it and end as well.
 *
 * Fatal: every MPI error, every total that is not as it must be. */
#include "world.h"
#include "collective.h"
#include "comm.h"
#include "guards.h"
#include "near.h"

#include "common/mix.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is reduced at once. 1 MiB should still be in a core's cache when its checksums are made.
 * With 2 ranks on a busy machine, whole buffers took a fifth more processor time than MPI_Allreduce
 * alone, 256 KiB up to a third more, 1 MiB from 8 MiB up none (bench_collective). */
#define CHUNK_BYTES      ((size_t)1 << 20)
#define WARM_UP_INTEGERS 65536 /* enough for MPICH's large-message algorithms */

/* --- start ------------------------------------------------------------------------------------ */

static uint64_t make_ticket (const struct collective *self)
{
    const struct mu_collective_form *form = &self->form;
    uint64_t hash = mu_mix (MU_COLLECTIVE_PROTOCOL, self->region->layout_hash);
    hash = mu_mix (mu_mix (hash, form->generation), form->size);
    hash = mu_mix (mu_mix (hash, form->step), form->attempt);
    hash = mu_mix (hash, form->source_rank);
    for (const char *c = form->jobid; *c; c++)
        hash = mu_mix (hash, (unsigned char)*c);
    return hash;
}

static void set_number (struct collective *self, const char *name, uint32_t number)
{
    char text[16];
    snprintf (text, sizeof text, "%u", number);
    if (setenv (name, text, 1) != 0)
        collective_end (self, MU_COLLECTIVE_SYSTEM, "cannot set %s", name);
}

void world_start (struct collective *self, int *argc, char ***argv)
{
    uint64_t start = collective_now_ns ();
    set_number (self, "PMI_RANK", self->form.rank);
    set_number (self, "PMI_SIZE", self->form.size);
    mu_guards_arm (MU_COLLECTIVE_PEER_LOST);
    if (MPI_Init (argc, argv) != MPI_SUCCESS)
        collective_end (self, MU_COLLECTIVE_INIT, "MPI_Init failed");
    MPI_TRY (self, MPI_Comm_set_errhandler (MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    int rank, size;
    MPI_TRY (self, MPI_Comm_rank (MPI_COMM_WORLD, &rank));
    MPI_TRY (self, MPI_Comm_size (MPI_COMM_WORLD, &size));
    if (rank != (int)self->form.rank || size != (int)self->form.size)
        collective_end (self, MU_COLLECTIVE_WORLD, "MPI says rank %d of %d, the agent %u of %u",
                        rank, size, self->form.rank, self->form.size);
    self->ticket = make_ticket (self);
    self->init_us = (collective_now_ns () - start) / 1000;
}

/* --- canaries --------------------------------------------------------------------------------- */

enum { AGREE_RANKS, AGREE_RANK, AGREE_GENERATION, AGREE_TICKET, AGREE_WORDS };

void world_agree (struct collective *self, uint64_t *words, unsigned count)
{
    uint64_t given[16] = { 1, self->form.rank + UINT64_C (1), self->form.generation, self->ticket };
    uint64_t total[16] = { 0 };
    for (unsigned i = 0; i < count; i++)
        given[AGREE_WORDS + i] = words[i];
    MPI_TRY (self, MPI_Allreduce (given, total, (int)(AGREE_WORDS + count), MPI_UINT64_T, MPI_SUM,
                                  MPI_COMM_WORLD));
    uint64_t size = self->form.size;
    if (total[AGREE_RANKS] != size || total[AGREE_RANK] != size * (size + 1) / 2 ||
        total[AGREE_GENERATION] != size * self->form.generation ||
        total[AGREE_TICKET] != size * self->ticket)
        collective_end (self, MU_COLLECTIVE_CANARY,
                        "ranks %llu of %llu, generation total %llu instead of %llu, ticket %s",
                        (unsigned long long)total[AGREE_RANKS], (unsigned long long)size,
                        (unsigned long long)total[AGREE_GENERATION],
                        (unsigned long long)(size * self->form.generation),
                        total[AGREE_TICKET] == size * self->ticket ? "right" : "wrong");
    for (unsigned i = 0; i < count; i++)
        words[i] = total[AGREE_WORDS + i];
}

static void check_guards (struct collective *self)
{
    if (self->form.size == 1 || (mu_guards_endpoints () > 0 && mu_guards_polls () > 0))
        return;
    const char *accepted = getenv ("MUSTER_UNGUARDED");
    if (!accepted || strcmp (accepted, "1") != 0)
        collective_end (self, MU_COLLECTIVE_UNGUARDED, "%llu endpoints guarded, %llu polls seen",
                        (unsigned long long)mu_guards_endpoints (),
                        (unsigned long long)mu_guards_polls ());
    fprintf (stderr, "muster-collective: MUSTER_UNGUARDED=1: MPI's transport is not watched for "
                     "lost peers; canaries and checksums are the only guard\n");
}

/* Do all have the same command? With their answers the source's door becomes known. */
static void meet (struct collective *self)
{
    const struct mu_collective_form *form = &self->form;
    self->door_number = form->rank == form->source_rank ? near_open (&self->door) : 0;
    world_agree (self, &self->door_number, 1);
}

/* The first use of every connection, small and large. */
void world_warm_up (struct collective *self)
{
    uint64_t start = collective_now_ns ();
    meet (self);
    int32_t *given = calloc (WARM_UP_INTEGERS, sizeof *given);
    int32_t *total = calloc (WARM_UP_INTEGERS, sizeof *total);
    if (!given || !total)
        collective_end (self, MU_COLLECTIVE_SYSTEM, "no memory to warm up");
    for (int i = 0; i < WARM_UP_INTEGERS; i++)
        given[i] = i % 1000 + 1;
    MPI_TRY (self,
             MPI_Allreduce (given, total, WARM_UP_INTEGERS, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD));
    for (int i = 0; i < WARM_UP_INTEGERS; i++)
        if (total[i] != given[i] * (int32_t)self->form.size)
            collective_end (self, MU_COLLECTIVE_CANARY, "the first large reduction was wrong");
    free (given);
    free (total);
    check_guards (self);
    self->warm_us = (collective_now_ns () - start) / 1000;
}

void world_confirm (struct collective *self)
{
    self->ticket = make_ticket (self);
    meet (self);
}

/* --- reductions ------------------------------------------------------------------------------- */

static void reduce_chunk (struct collective *self, struct request *request, size_t offset,
                          size_t count, struct mu_proof *own, struct mu_proof *result)
{
    enum mu_element element = self->region->layout.element;
    MPI_Datatype type = element == MU_ELEMENT_INT32 ? MPI_INT32_T : MPI_INT64_T;
    char *from = (char *)self->region->sums + offset * (size_t)element;
    char *to = (char *)self->region->result + offset * (size_t)element;
    uint64_t start = collective_now_ns ();
    if (fault_ordered (self->region, MU_CORRUPTION_SUMS))
        from[1] ^= 0x10;
    mu_proof_feed (own, element, from, count);
    if (fault_now ("slip", request->step))
        from[0] ^= 1;
    uint64_t reduce = collective_now_ns ();
    char *into = fault_now ("stale", request->step) ? malloc (count * (size_t)element) : to;
    MPI_TRY (self, MPI_Allreduce (from, into, (int)count, type, MPI_SUM, MPI_COMM_WORLD));
    uint64_t prove = collective_now_ns ();
    if (fault_now ("flip", request->step) || fault_ordered (self->region, MU_CORRUPTION_RESULT))
        to[0] ^= 1;
    mu_proof_feed (result, element, to, count);
    collective_progress (self);
    request->reduced_ns += prove - reduce;
    request->proved_ns += (reduce - start) + (collective_now_ns () - prove);
}

static void reduce_bucket (struct collective *self, struct request *request, uint32_t bucket,
                           struct mu_proof *own, struct mu_proof *result)
{
    const struct mu_region_layout *layout = &self->region->layout;
    size_t chunk = CHUNK_BYTES / (size_t)layout->element;
    uint64_t offset = layout->buckets[bucket].offset, left = layout->buckets[bucket].elements;
    while (left > 0) {
        size_t count = left < chunk ? (size_t)left : chunk;
        reduce_chunk (self, request, offset, count, own, result);
        offset += count;
        left -= count;
    }
}

/* The words behind the canary that close a step. */
enum { CLOSE_STEP, CLOSE_ATTEMPT, CLOSE_MOMENT, CLOSE_A, CLOSE_B, CLOSE_WORDS };

static void prove (struct collective *self, const struct request *request,
                   const struct mu_proof *own, const struct mu_proof *result)
{
    uint64_t size = self->form.size;
    uint64_t step = request->step + (fault_now ("step", request->step) ? 1 : 0);
    uint64_t moment = mu_mix (mu_mix (self->ticket, step), request->attempt);
    uint64_t words[CLOSE_WORDS] = { step, request->attempt, moment, own->a, own->b };
    world_agree (self, words, CLOSE_WORDS);
    if (words[CLOSE_STEP] != size * step || words[CLOSE_ATTEMPT] != size * request->attempt ||
        words[CLOSE_MOMENT] != size * moment)
        collective_end (self, MU_COLLECTIVE_STEP,
                        "this rank is at step %llu, attempt %llu; the others are not",
                        (unsigned long long)step, (unsigned long long)request->attempt);
    uint64_t mask = self->region->layout.element == MU_ELEMENT_INT32 ? UINT32_MAX : UINT64_MAX;
    struct mu_proof total = { words[CLOSE_A] & mask, words[CLOSE_B] & mask };
    if (!mu_proof_holds (self->region->layout.element, result, &total))
        collective_end (self, MU_COLLECTIVE_CHECKSUM,
                        "step %llu: checksums %llx %llx, but the ranks' add up to %llx %llx",
                        (unsigned long long)request->step, (unsigned long long)result->a,
                        (unsigned long long)result->b, (unsigned long long)total.a,
                        (unsigned long long)total.b);
}

void world_reduce (struct collective *self, struct request *request)
{
    struct mu_proof own = { 0, 0 }, result = { 0, 0 };
    uint32_t buckets = self->region->layout.bucket_count;
    for (uint32_t b = 0; b < buckets; b++) {
        uint64_t start = collective_now_ns ();
        collective_await (self, &self->region->ready[b], request->number);
        request->waited_ns += collective_now_ns () - start;
        reduce_bucket (self, request, b, &own, &result);
        if (b == buckets / 2 && fault_now ("die", request->step))
            raise (SIGKILL);
    }
    uint64_t start = collective_now_ns ();
    prove (self, request, &own, &result);
    request->proved_ns += collective_now_ns () - start;
}

void world_look (void)
{
    int waiting;
    mu_guards_poll_fresh ();
    if (MPI_Iprobe (MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &waiting, MPI_STATUS_IGNORE) !=
        MPI_SUCCESS)
        _Exit (MU_COLLECTIVE_MPI_CALL);
}
