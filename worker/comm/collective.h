/* SPDX-License-Identifier: Apache-2.0 */
/* collective.h - the parts of the program muster-collective
 *
 * collective.c  the process: its start, the agent's command, the trainer's requests
 * world.c       MPI: the world and its canaries
 * neighbours.c  who shares this host, and memory
 * reduce.c      the reductions, and their proof
 * transfer.c    sums and state, from their source to those that are behind
 * faults.c      only in builds with faults (MU_FAULTS): wrong at a chosen step, or when ordered
 *
 * No function returns a failure: whatever goes wrong ends the process with a status
 * (collective_protocol.h), and the next generation gets a new one. */
#ifndef MU_COLLECTIVE_H
#define MU_COLLECTIVE_H

#include "collective_protocol.h"
#include "proof.h"
#include "region.h"
#include "states.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct collective {
    struct mu_region *region;
    int region_fd, command_fd;
    struct mu_collective_form form;
    uint64_t ticket; /* hash of all that the ranks must agree on */
    struct neighbours *near;
    uint64_t init_us, warm_us, broadcast_us;
};

/* What a request is about, and how long its parts took. */
struct request {
    uint64_t number, step, attempt;
    uint64_t waited_ns, reduced_ns, proved_ns;
};

/* collective.c */
noreturn void collective_end (struct collective *self, enum mu_collective_status status,
                              const char *format, ...) __attribute__ ((format (printf, 3, 4)));
uint64_t collective_now_ns (void);
/* Return when *field holds `value`, or end the process if the generation is over first. */
void collective_await (struct collective *self, const _Atomic uint64_t *field, uint64_t value);
void collective_progress (struct collective *self);

/* world.c */
void world_start (struct collective *self, int *argc, char ***argv);
void world_warm_up (struct collective *self);
/* The command has become another one of the same world: do all ranks have it? */
void world_confirm (struct collective *self);
/* Let MPI move what it still has to move for others, without waiting. */
void world_look (void);

/* reduce.c: all buckets as they become ready, then the proof. The result is right when it returns. */
void world_reduce (struct collective *self, struct request *request);
/* ... and whether it still is what was proven. */
bool world_result_holds (struct collective *self);

/* transfer.c */
void world_map_state (const struct collective *self);
void world_give_sums (struct collective *self);
void world_broadcast_state (struct collective *self);

/* faults.c: MUSTER_FAULT="KIND STEP", KIND one of
 *   flip   change one element of the result      stale  leave in the result what was there
 *   die    SIGKILL in the middle of the step     step   take part as if at another step
 *   slip   change the sums after their checksum
 *   shut   give no memory to those that are near
 *   tear   hash what came as if one bit of it were another (who is behind) */
#ifdef MU_FAULTS
bool fault_now (const char *kind, uint64_t step);
/* Whether the agent has ordered this corruption; true once an order. */
bool fault_ordered (struct mu_region *region, enum mu_corruption_state what);
#else
static inline bool fault_ordered (struct mu_region *region, enum mu_corruption_state what)
{
    (void)region;
    (void)what;
    return false;
}

static inline bool fault_now (const char *kind, uint64_t step)
{
    (void)kind;
    (void)step;
    return false;
}
#endif

#endif
