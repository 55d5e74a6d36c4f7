/* SPDX-License-Identifier: Apache-2.0 */
/* collective_bed.h - some workers' agents and their coordinator in one test process
 *
 * Each rank has a region, a trainer's end of it and a real collective process, started through
 * launch.h. bed_pump () is the agents (reports, ends) and the coordinator (fences) at once; nothing
 * happens unless it is called, and every call that waits calls it. All from one thread, but
 * mu_comm_bucket_ready (). What cannot be goes to abort (). */
#ifndef COLLECTIVE_BED_H
#define COLLECTIVE_BED_H

#include "worker/comm/comm.h"
#include "worker/comm/launch.h"
#include "worker/comm/region.h"

#include <stdbool.h>
#include <stdint.h>

enum { BED_RANKS_MAX = 16, BED_FENCE_BYTES = 65536 };

struct bed_rank {
    struct mu_region *region;
    int region_fd;
    struct mu_comm *comm;
    struct mu_collective *collective; /* NULL once it ended */
    bool connected, ready, ended, failed;
    int status;     /* as waitpid gives it */
    char text[512]; /* of its end */
    struct mu_collective_report report;
    bool fenced;
    uint32_t fence;
    char values[BED_FENCE_BYTES];
    size_t values_size;
};

struct bed {
    unsigned size;   /* of the next world; may be made smaller */
    unsigned opened; /* regions there are */
    uint64_t wrong;  /* elements of results that should not have been, over all steps */
    uint64_t generation;
    uint64_t step;        /* the first of the next generation */
    uint32_t source_rank; /* of the next generation; MU_COMM_NO_SOURCE at first */
    enum mu_receives receives[BED_RANKS_MAX];
    bool made[BED_RANKS_MAX];         /* its state was made of its result */
    bool no_end;                      /* do not tell the trainer that its collective ended */
    const char *jobid[BED_RANKS_MAX]; /* another one than the generation's */
    uint64_t skew[BED_RANKS_MAX];     /* added to the generation that this rank is told */
    struct bed_rank ranks[BED_RANKS_MAX];
};

/* "muster-collective", or a variant of it for tests, as built in top_builddir. */
const char *bed_program (const char *name);

/* `size` regions of this layout; generation 0. */
void bed_open (struct bed *bed, unsigned size, const struct mu_region_layout *layout);
/* Ends what is left of the processes and frees all. */
void bed_close (struct bed *bed);

/* Start a collective for each rank, without a generation yet. */
void bed_start (struct bed *bed, const char *program);
void bed_start_rank (struct bed *bed, unsigned rank, const char *program);
/* Connect the world of the next generation ahead; true when all are CONNECTED. */
bool bed_connect (struct bed *bed, int timeout_ms);
/* The next generation for all: enters the trainers and forms the processes. */
void bed_form (struct bed *bed);
/* Until all are READY: true; or false when one ended or the time is over. */
bool bed_await_ready (struct bed *bed, int timeout_ms);
void bed_go (struct bed *bed);
/* All of it: start, form, ready, broadcast if there is a source, go. */
bool bed_world (struct bed *bed, const char *program, int timeout_ms);

/* One round of all that the agents and the coordinator do; waits no longer than this. */
void bed_pump (struct bed *bed, int timeout_ms);
/* Until all collectives have ended. */
bool bed_await_ends (struct bed *bed, int timeout_ms);
enum mu_comm_outcome bed_wait (struct bed *bed, unsigned rank, int timeout_ms);
enum mu_comm_outcome bed_take_sums (struct bed *bed, unsigned rank, int timeout_ms);
enum mu_comm_outcome bed_broadcast (struct bed *bed, unsigned rank, int timeout_ms);

/* Sums of a rank in a step are made of both numbers, so that all results are known. */
void bed_fill (struct bed *bed, unsigned rank, uint64_t step);
/* Elements of the result that are not the exact sums, and of the sums that changed. */
uint64_t bed_wrong (const struct bed *bed, unsigned rank, uint64_t step);

/* A step's parts: fill and begin; mark all buckets; wait: how many ranks are DONE. */
void bed_begin (struct bed *bed, uint64_t step);
void bed_mark (struct bed *bed);
unsigned bed_collect (struct bed *bed, uint64_t step, int timeout_ms);
unsigned bed_step (struct bed *bed, uint64_t step);

/* Kill and reap what is left, and let the trainers leave the generation. */
void bed_end (struct bed *bed);

/* The exit status of a rank's collective; -signal if a signal ended it, 0 while it lives. */
int bed_status (const struct bed *bed, unsigned rank);

int64_t bed_now_ms (void);

#endif
