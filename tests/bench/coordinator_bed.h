/* SPDX-License-Identifier: Apache-2.0 */
/* coordinator_bed.h - a real coordinator and up to 1,000 simulated workers of one job, for benches
 *
 * One thread plays the workers: each is a DEALER socket of its own that speaks the whole protocol
 * (HELLO, ASSIGN, PREPARED, FORM, FENCE, READY, GO), trains windows it has leases for, and beats as
 * often as WELCOME says. Three kinds of words can be measured, over the same connections, with as
 * many outstanding:
 *
 *     echo     PING -> PONG: the loop and the sockets, no core, no database
 *     repeat   TRAINED of what is in the ledger already -> TRAINED_OK: the core too, no database
 *     durable  TRAINED of the next window -> TRAINED_OK: a record in a committed transaction
 *
 * Whatever goes wrong ends the program. There is one bed at a time. */
#ifndef BENCH_COORDINATOR_BED_H
#define BENCH_COORDINATOR_BED_H

#include "common/error.h"
#include "common/wire.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    WORKERS_MAX = 1000,
    WINDOW = 16,  /* steps: the fewest a job may have */
    LIMIT_S = 60, /* for anything that must happen */
    OPTIONS_MAX = 16,
};

enum kind { ECHO, REPEAT, DURABLE, KINDS };

struct worker {
    void *socket;
    uint32_t number;
    uint64_t job, generation, until_step;
    uint64_t windows, stored; /* said to be trained; acknowledged */
    uint32_t outstanding;
    bool going;
    double beat_at_s;
};

struct bed {
    const char *name;                /* of the bench */
    const char *program;             /* muster-coordinator */
    const char *option[OPTIONS_MAX]; /* more for its command line; NULL after the last */
    char dir[64], endpoint[64], log[96];
    pid_t pid;
    void *context;
    int epoll;
    uint32_t count, depth, going;
    struct worker worker[WORKERS_MAX];
    enum kind kind;
    bool running; /* answers lead to new words */
    uint64_t windows_a_word, windows_end;
    uint64_t answers; /* of this phase */
    double beat_s;
    msgpack_sbuffer bytes;
    msgpack_zone zone;
};

struct figure {
    double per_second, cpu_us; /* of the coordinator, a word */
};

extern struct bed bed;

/* A folder, an address, and no process yet. `name` and `program` live on. */
void bed_create (const char *name, const char *program);
/* The coordinator and so many workers of one job; all train when it returns. */
void bed_open (uint32_t count);
/* The coordinator and the workers; the folder goes when the program ends. */
void bed_destroy (void);

/* Another coordinator, which ends with this process. `state`: its folder's name in the bed's. */
pid_t bed_spawn (const char *state, const char *endpoint, const char *log,
                 const char *const *options);
void bed_start_coordinator (void); /* the bed's */
void bed_stop_coordinator (int signal);
double bed_cpu_seconds (void);            /* of all its threads, user and system */
double bed_memory_mib (const char *what); /* as /proc/PID/status calls it */
double bed_file_bytes (const char *name); /* in its state folder */

/* An address that is not used yet. */
void bed_endpoint (char *endpoint, size_t size);
void *bed_connect (const char *endpoint, const char *identity);
void bed_say (void *socket, const struct mu_wire *wire);
/* The word in a message from the coordinator; valid until the next. NULL: none has come. */
const struct mu_wire *bed_hear (void *socket);
/* What makes a job that needs so many workers. */
struct mu_blob bed_spec (uint32_t workers);

/* One look at the sockets, a few milliseconds at most; and beats where they are due. */
void bed_turn (void);
void bed_go_on (struct worker *worker); /* say what may be said now */
void bed_drain (struct worker *worker); /* after something was said outside bed_turn () */
void bed_finish_outstanding (void);

/* Words of a kind for so long, `bed.depth` of each worker's outstanding. */
struct figure bed_measure (enum kind kind, double seconds);

double bed_now_s (void);
double bed_median (double *values, size_t count); /* sorts them */
_Noreturn void bed_die (const char *what);

#endif
