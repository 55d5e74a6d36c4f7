/* SPDX-License-Identifier: Apache-2.0 */
/* train_bed.h - real trainer processes, and a false world between them
 *
 * This program plays agent, coordinator and collective at once for up to eight muster-trainer
 * processes: it hands out generations over the channel, and where the collective process would
 * reduce over MPI it adds the ranks' sums up in this process's memory. So what it shows is the
 * trainer alone. TRAIN_LOUD in the environment lets the trainers speak. */
#ifndef MUSTER_TESTS_TRAIN_BED_H
#define MUSTER_TESTS_TRAIN_BED_H

#include "common/error.h"
#include "states.h"
#include "wire.h"
#include "worker/channel.h"
#include "worker/comm/region.h"
#include "worker/state/state.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RANKS_MAX 8
#define STEPS     20
#define LIMIT_MS  60000

/* The folder of data, cache and checkpoints, a text and a table in it. */
extern char folder[], text_path[128], table_path[128];

/* Finds the trainer's program and makes the data; removes it. */
void begin_tests (int argc, char **argv);
int end_tests (void);

/* Nothing can be shown: errno says why. */
_Noreturn void die (const char *what);
uint64_t now_ms (void);

/* --- one trainer process ---------------------------------------------------------------------- */

struct rank {
    pid_t pid;
    struct mu_channel channel;
    struct mu_region *region;
    struct mu_wire_opened opened;
    uint64_t request; /* the last one that was answered */
    uint32_t phase;
    uint64_t step, generation;
    double loss, loss_evaluated, accuracy;
    uint64_t evaluated_step;
    bool opened_said, left_said, doubted, refused;
    uint32_t code;
    char text[1024], saved[4096], saved_hash[65];
    uint64_t left_step, saved_step;
    uint32_t left_attempt, left_made_of;
    uint8_t kept[256];
    uint64_t digest_step, digest;
};

struct setting {
    const char *isa;
    unsigned threads;
};

void spawn (struct rank *rank, const struct setting *setting);
void end_rank (struct rank *rank);
/* PREPARE, with the job file as JSON; RESUME is a checkpoint of step STEP, or "". */
void prepare (struct rank *rank, const char *spec, const char *resume, uint64_t step);
void tell (struct rank *rank, const struct mu_wire *wire);
/* Hear everybody for a moment. False when a process ended. */
bool hear (struct rank *ranks, unsigned count, int wait_ms);
void weights_hash (const struct rank *rank, char text[MU_STATE_HASH_TEXT]);

/* Job files, with MORE keys at their end; one of each lives at a time. */
const char *gpt_spec (const char *more);
const char *mlp_spec (const char *more);

/* --- the false world -------------------------------------------------------------------------- */

struct world {
    struct rank *ranks;
    unsigned size;
    uint64_t generation, step, until, steps;
    uint32_t attempt, source, made_of;
    bool transfer;
    uint16_t first_map[2047], map[2047];
    uint32_t micro_batches;
};

/* A new job: start COUNT trainers and let them open it. */
bool open_all (struct rank *ranks, unsigned count, const struct setting *settings,
               const char *spec);
/* Generation 1 of SIZE ranks, from the first step to the last. */
struct world begin (struct rank *ranks, unsigned size);
/* Micro-batches go round. */
void deal (struct world *world);
void enter (struct world *world);
/* Give everybody the source's state, as the collective's broadcast would. */
void broadcast (struct world *world);
/* Give the source's sums to this rank, and wait until it has made the update of them. */
bool give_sums (struct world *world, unsigned rank);
/* Say that all have the same state, as the collective does that has compared them. */
void say_level (struct world *world);
/* The rank has computed all and waits for the sum. */
bool requested (const struct rank *rank);
/* Reduce if all ranks have asked for it. */
bool reduce (struct world *world);
/* ... but only those in the mask are told so: bit r is rank r. */
bool reduce_for (struct world *world, unsigned mask);
/* Train until everybody says `phase`. */
bool run (struct world *world, uint32_t phase);
/* The generation ends, and everybody says with what. */
bool leave (struct world *world);
/* All of a job, undisturbed; HASH is of the weights of all ranks. */
bool train (const char *spec, unsigned size, const struct setting *settings,
            char hash[MU_STATE_HASH_TEXT]);

#endif
