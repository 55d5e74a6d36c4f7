/* SPDX-License-Identifier: Apache-2.0 */
/* neighbours.c - see neighbours.h */
#include "neighbours.h"
#include "near.h"
#include "world.h"

#include <stdlib.h>

/* What each rank says when it has called at all doors. */
struct word {
    uint32_t leader; /* the first rank on its host */
    uint32_t failed; /* 1: it was given no memory where it should have been */
};

static void *reserve (struct collective *self, size_t count, size_t size)
{
    void *memory = calloc (count, size);
    if (!memory)
        collective_end (self, MU_COLLECTIVE_SYSTEM, "no memory for a world of %u ranks",
                        self->form.size);
    return memory;
}

/* --- doors ------------------------------------------------------------------------------------ */

/* Calls at each, gives to as many as can be reached, and takes what they give. view[r]: rank r's region.
 * False: something should have come and did not. */
static bool exchange (struct collective *self, const uint64_t *number, int *door, int *line,
                      const char **view)
{
    const struct mu_collective_form *form = &self->form;
    uint64_t reached = 0;
    bool good = true;
    for (uint32_t r = 0; r < form->size; r++) {
        line[r] = r != form->rank && number[form->rank] ? near_call (number[r]) : -1;
        reached += line[r] >= 0;
    }
    near_give (door, reached, fault_now ("shut", form->step) ? -1 : self->region_fd);
    for (uint32_t r = 0; r < form->size; r++) {
        if (line[r] < 0)
            continue;
        view[r] = near_take (line[r], self->region->total_bytes);
        good = good && view[r];
    }
    view[form->rank] = (const char *)self->region->control;
    return good;
}

static struct word call_at_all (struct collective *self, const char **view)
{
    _Atomic uint64_t *far = &self->region->control->collective.far;
    uint32_t size = self->form.size;
    int door = -1, *line = reserve (self, size, sizeof *line);
    uint64_t *number = reserve (self, size, sizeof *number);
    uint64_t own = atomic_load (far) ? 0 : near_open (&door);
    MPI_TRY (self, MPI_Allgather (&own, 1, MPI_UINT64_T, number, 1, MPI_UINT64_T, MPI_COMM_WORLD));
    struct word word = { .failed = !exchange (self, number, &door, line, view) };
    while (!view[word.leader])
        word.leader++;
    if (word.failed)
        atomic_store (far, 1); /* not by this way again */
    free (number);
    free (line);
    return word;
}

/* --- who belongs together --------------------------------------------------------------------- */

/* What all said, of which every rank must think the same: no more than this is looked at. */
static bool all_met (struct collective *self, const struct word *said)
{
    bool good = true;
    for (uint32_t r = 0; r < self->form.size; r++) {
        if (said[r].leader > r || said[said[r].leader].leader != said[r].leader)
            collective_end (self, MU_COLLECTIVE_CANARY,
                            "rank %u says that rank %u is the first on its host", r,
                            said[r].leader);
        good = good && !said[r].failed;
    }
    return good;
}

/* This rank sees whom all the others say that it sees. */
static bool sees_its_host (const struct collective *self, const struct word *said,
                           const char *const *view)
{
    bool good = true;
    for (uint32_t r = 0; r < self->form.size; r++)
        good = good && (said[r].leader == said[self->form.rank].leader) == (view[r] != NULL);
    return good;
}

static void be_alone (uint32_t size, uint32_t self, struct word *said, const char **view)
{
    for (uint32_t r = 0; r < size; r++) {
        said[r].leader = r;
        if (r != self)
            view[r] = NULL;
    }
}

static void make_communicators (struct collective *self, struct neighbours *near, uint32_t leader)
{
    int rank = (int)self->form.rank;
    near->host = near->hosts == 1 ? MPI_COMM_WORLD : MPI_COMM_SELF;
    near->leaders = near->place == 0 ? MPI_COMM_SELF : MPI_COMM_NULL;
    if (near->hosts == self->form.size)
        near->leaders = MPI_COMM_WORLD;
    if (near->hosts == 1 || near->hosts == self->form.size)
        return;
    MPI_TRY (self, MPI_Comm_split (MPI_COMM_WORLD, (int)leader, rank, &near->host));
    MPI_TRY (self, MPI_Comm_split (MPI_COMM_WORLD, near->place ? MPI_UNDEFINED : 0, rank,
                                   &near->leaders));
}

static struct neighbours *settle (struct collective *self, const struct word *said,
                                  const char *const *view)
{
    uint32_t size = self->form.size, leader = said[self->form.rank].leader;
    struct neighbours *near = reserve (self, 1, sizeof *near);
    near->memory = reserve (self, size, sizeof *near->memory);
    near->rank = reserve (self, size, sizeof *near->rank);
    for (uint32_t r = 0; r < size; r++) {
        near->hosts += said[r].leader == r;
        if (said[r].leader != leader)
            continue;
        if (r == self->form.rank)
            near->place = near->count;
        near->rank[near->count] = r;
        near->memory[near->count++] = view[r];
    }
    make_communicators (self, near, leader);
    return near;
}

/* --- both ------------------------------------------------------------------------------------- */

void neighbours_meet (struct collective *self)
{
    uint32_t size = self->form.size;
    struct word *said = reserve (self, size, sizeof *said);
    const char **view = reserve (self, size, sizeof *view);
    struct word own = call_at_all (self, view);
    MPI_TRY (self, MPI_Allgather (&own, sizeof own, MPI_BYTE, said, sizeof own, MPI_BYTE,
                                  MPI_COMM_WORLD));
    uint64_t strange = !all_met (self, said) || !sees_its_host (self, said, view);
    world_agree (self, &strange, 1);
    if (strange)
        be_alone (size, self->form.rank, said, view);
    self->near = settle (self, said, view);
    free (view);
    free (said);
}

const void *neighbours_memory (const struct collective *self, uint32_t rank, const void *own)
{
    const struct neighbours *near = self->near;
    size_t offset = (size_t)((const char *)own - (const char *)self->region->control);
    for (uint32_t place = 0; place < near->count; place++)
        if (near->rank[place] == rank)
            return near->memory[place] + offset;
    return NULL;
}
