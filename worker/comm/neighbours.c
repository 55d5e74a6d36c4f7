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
    int door = -1, *line = world_reserve (self, size, sizeof *line);
    uint64_t *number = world_reserve (self, size, sizeof *number);
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

/* All ranks look at the same words here, and must think the same of them. */
static bool nobody_failed (struct collective *self, const struct word *said)
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
    near->host = near->leaders = MPI_COMM_WORLD;
    if (near->hosts == 1 || near->hosts == self->form.size)
        return; /* all are on one, or each is on its own: nobody needs the other one */
    MPI_TRY (self, MPI_Comm_split (MPI_COMM_WORLD, (int)leader, rank, &near->host));
    MPI_TRY (self, MPI_Comm_split (MPI_COMM_WORLD, near->place ? MPI_UNDEFINED : 0, rank,
                                   &near->leaders));
}

static struct neighbours *settle (struct collective *self, const struct word *said,
                                  const char *const *view)
{
    uint32_t size = self->form.size, leader = said[self->form.rank].leader;
    struct neighbours *near = world_reserve (self, 1, sizeof *near);
    near->memory = world_reserve (self, size, sizeof *near->memory);
    near->rank = world_reserve (self, size, sizeof *near->rank);
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
    struct word *said = world_reserve (self, size, sizeof *said);
    const char **view = world_reserve (self, size, sizeof *view);
    struct word own = call_at_all (self, view);
    MPI_TRY (self, MPI_Allgather (&own, sizeof own, MPI_BYTE, said, sizeof own, MPI_BYTE,
                                  MPI_COMM_WORLD));
    uint64_t strange = !nobody_failed (self, said) || !sees_its_host (self, said, view);
    world_agree (self, &strange, 1);
    if (strange)
        be_alone (size, self->form.rank, said, view);
    self->near = settle (self, said, view);
    free (view);
    free (said);
}

uint32_t neighbours_place (const struct collective *self, uint32_t rank)
{
    uint32_t place = 0;
    while (place < self->near->count && self->near->rank[place] != rank)
        place++;
    return place;
}

const char *neighbours_memory (const struct collective *self, uint32_t place, const void *own)
{
    return self->near->memory[place] + ((const char *)own - (const char *)self->region->control);
}
