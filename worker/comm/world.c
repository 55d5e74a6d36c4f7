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
#include "neighbours.h"

#include "common/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP_INTEGERS 65536 /* enough for MPICH's large-message algorithms */

/* --- start ------------------------------------------------------------------------------------ */

static uint64_t make_ticket (const struct collective *self)
{
    const struct mu_collective_form *form = &self->form;
    uint64_t hash = mu_mix (MU_COLLECTIVE_PROTOCOL, self->region->layout_hash);
    hash = mu_mix (mu_mix (hash, form->generation), form->size);
    hash = mu_mix (mu_mix (hash, form->step), form->attempt);
    hash = mu_mix (mu_mix (hash, form->source_rank), form->sums);
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

void *world_reserve (struct collective *self, size_t count, size_t size)
{
    void *memory = calloc (count, size);
    if (!memory)
        collective_end (self, MU_COLLECTIVE_SYSTEM, "no memory for a world of %u ranks",
                        self->form.size);
    return memory;
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

/* Large messages go another way through MPI than small ones. */
static void warm_up_large (struct collective *self)
{
    int32_t *given = world_reserve (self, WARM_UP_INTEGERS, sizeof *given);
    int32_t *total = world_reserve (self, WARM_UP_INTEGERS, sizeof *total);
    for (int i = 0; i < WARM_UP_INTEGERS; i++)
        given[i] = i % 1000 + 1;
    MPI_TRY (self,
             MPI_Allreduce (given, total, WARM_UP_INTEGERS, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD));
    for (int i = 0; i < WARM_UP_INTEGERS; i++)
        if (total[i] != given[i] * (int32_t)self->form.size)
            collective_end (self, MU_COLLECTIVE_CANARY, "the first large reduction was wrong");
    free (given);
    free (total);
}

/* Do all have the same command? Who shares a host? Then the first use of every connection. */
void world_warm_up (struct collective *self)
{
    uint64_t start = collective_now_ns ();
    world_agree (self, NULL, 0);
    neighbours_meet (self);
    if (self->near->hosts > 1)
        warm_up_large (self);
    check_guards (self);
    self->warm_us = (collective_now_ns () - start) / 1000;
}

void world_confirm (struct collective *self)
{
    self->ticket = make_ticket (self);
    world_agree (self, NULL, 0);
}

void world_look (void)
{
    int waiting;
    mu_guards_poll_fresh ();
    if (MPI_Iprobe (MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &waiting, MPI_STATUS_IGNORE) !=
        MPI_SUCCESS)
        _Exit (MU_COLLECTIVE_MPI_CALL);
}
