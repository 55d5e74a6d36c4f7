/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.h - the ledger of a job, recomputed from its journal alone
 *
 *     ledger.c          the fold: records in, generations and contradictions out
 *     ledger_form.c     FORM: who takes part, who trains what, whose state it goes on from
 *     ledger_kept.c     which sums survivors brought into a generation's first step
 *     ledger_history.c  what survives: runs of steps, who trained a step, what was given up
 *     ledger_order.c    the order of records: in each epoch every one comes once
 *     ledger_command.c  `muster ledger`: reading, comparing, and the exit status
 *     ledger_print.c    the same for people and for programs
 *
 * The checker stands outside what it checks: nothing here asks the coordinator's code, and nothing
 * is taken from its tables. A generation goes on from a state; whose, the record says, and it is
 * held against who was a member where, how far leases reached and which checkpoints were committed.
 * So generations are a tree, and what survives is the path from the newest state to step 0, or to the step of the
 * checkpoint that the job file names (checkpoint.resume).
 *
 * Memory: a generation costs 4 bytes a member and 4 to 8 a micro-batch; steps cost nothing.
 * Nothing in the first five files does I/O; memory running out is fatal. */
#ifndef CLIENT_LEDGER_H
#define CLIENT_LEDGER_H

#include "error.h"
#include "journal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_NONE          UINT32_MAX
#define LEDGER_SENTENCES_MAX 50u

struct ledger_worker { /* one agent process */
    char name[64];
    uint64_t incarnation;
    uint32_t seen_in; /* the newest generation of which it is a member */
};

struct ledger_generation {
    uint64_t number;
    uint64_t begin, until_step; /* its first step; leases: steps below this */
    uint64_t reached;           /* updates that its records prove */
    uint32_t attempt, size;
    uint32_t parent; /* whose state it goes on from; LEDGER_NONE: from the start */
    bool started, over;
    bool named;                /* it begins with the checkpoint that the job file names */
    uint32_t *members;         /* by rank: its worker */
    uint16_t *first_map, *map; /* by micro-batch: its rank, in the first step and in later ones */
    uint32_t *origin; /* by micro-batch of the first step: the generation in which it was summed;
                       * NULL: all in this one */
};

struct ledger_commit {
    uint64_t step, generation;
};

struct ledger_skip { /* a micro-batch that is left out of its step: poison */
    uint64_t step;
    uint32_t micro_batch;
    uint64_t
        after; /* the newest generation when that was decided; those that follow leave it out */
};

/* Sentences for people: the first LEDGER_SENTENCES_MAX, and how many there were. */
struct ledger_sentences {
    char *item[LEDGER_SENTENCES_MAX];
    uint64_t count;
};

struct ledger {
    /* the job, as submitted and sized */
    uint64_t job, steps, records;
    uint32_t micro_batches, global_batch, window_steps, state;
    bool submitted, sized;
    char *spec;

    struct ledger_generation *generations; /* oldest first */
    uint32_t generation_count, generation_capacity;
    struct ledger_worker *workers;
    uint32_t worker_count, worker_capacity, *slots, slot_count; /* slots: by hash of the worker */
    struct ledger_commit *commits;                              /* oldest first */
    uint32_t commit_count, commit_capacity;
    struct ledger_skip *skips; /* in the order of their decision */
    uint32_t skip_count, skip_capacity;
    uint64_t *windows;   /* of the newest generation, by rank: all below this one are trained */
    uint64_t floor;      /* below this nothing begins without a REWIND */
    uint64_t distrusted; /* no generation goes on from a member's state of this one or before */
    uint64_t folded;     /* so many records of it are one now, long after its end; 0: none */
    uint64_t read, newest;          /* records read, the newest one's number */
    uint64_t seal, sealed;          /* the hash so far; the newest record that carries it */

    struct ledger_sentences faults;  /* what the records say cannot be */
    struct ledger_sentences damages; /* the records are not those that were stored */
};

struct ledger *ledger_create (void);
void ledger_destroy (struct ledger **ledger_p);

/* The job's next record. */
void ledger_read (struct ledger *ledger, uint64_t number, const struct mu_journal *record);
/* All has been read that there is: judge what only the whole can tell. Once. */
void ledger_end (struct ledger *ledger);

/* Something is wrong, found here or by the caller. `format` makes one sentence. */
void ledger_fault (struct ledger *ledger, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
void ledger_damage (struct ledger *ledger, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* --- between the files of the fold ------------------------------------------------------------ */

struct ledger_generation *ledger_newest (const struct ledger *ledger); /* or NULL */
/* Leases are known in full when the next one is formed, and at the end: judge them. */
void ledger_close_newest (struct ledger *ledger);
void ledger_form (struct ledger *ledger, const struct mu_journal *record);
void *ledger_grow (void *old, uint32_t count, uint32_t *capacity, size_t item);
void *ledger_zeroed (size_t count, size_t item);

/* --- ledger_kept.c ---------------------------------------------------------------------------- */

/* Who held what when generation `at` was formed; fills its `origin`. */
void ledger_keep (struct ledger *ledger, uint32_t at, const struct mu_journal_form *form);

/* --- ledger_history.c ------------------------------------------------------------------------- */

/* Steps from .. to-1, trained in one generation. */
struct ledger_run {
    uint32_t generation;
    uint64_t from, to;
};

/* What survives, from step 0 on, or from a named checkpoint's, without a gap; *count runs, to be freed. What the newest
 * generation has not reported is not in it. */
struct ledger_run *ledger_history (const struct ledger *ledger, uint32_t *count);
/* Updates that survive: the history's end. */
uint64_t ledger_trained_steps (const struct ledger *ledger);
/* Steps of this generation that were trained, as its records prove, and given up. */
struct ledger_run ledger_abandoned (const struct ledger *ledger, const struct ledger_run *history,
                                    uint32_t count, uint32_t generation);
/* How often a generation began below what its forerunners are known to have trained, for whatever reason. */
uint32_t ledger_rewinds (const struct ledger *ledger);

struct ledger_share {    /* one micro-batch of a step */
    uint32_t generation; /* in which it was summed */
    uint32_t worker;     /* LEDGER_NONE: nobody */
    bool left_out;       /* nobody trained it: it is poison, and the job goes on without */
};

/* Who trained this step: share[micro_batches]. Returns the generation that finished it, or
 * LEDGER_NONE if the history does not reach it. */
uint32_t ledger_who (const struct ledger *ledger, uint64_t step, struct ledger_share *share);
/* Is this micro-batch left out of a step that survives? `history` is the whole of it. */
bool ledger_is_left_out (const struct ledger *ledger, const struct ledger_run *history,
                         uint32_t count, const struct ledger_skip *skip);
/* Shards (micro-batches of whole windows) that are trained, as the records say. */
uint64_t ledger_shards (const struct ledger *ledger);
/* Could this generation have seen so many updates? */
bool ledger_covers (const struct ledger_generation *generation, uint64_t step);
/* The generation that had so many updates for its begin or later, on the way back from the one of
 * that number; LEDGER_NONE if there is none. A checkpoint names the generation that was left when it
 * was taken, by a member that may have been behind. */
uint32_t ledger_at (const struct ledger *ledger, uint64_t number, uint64_t step);
/* The generation of that number, or LEDGER_NONE; the rank of a worker in it, or LEDGER_NONE. */
uint32_t ledger_find (const struct ledger *ledger, uint64_t number);
uint32_t ledger_rank (const struct ledger_generation *generation, uint32_t worker);

/* --- ledger_order.c --------------------------------------------------------------------------- */

/* What the job's file says; -1: it cannot be read. */
int ledger_seed (const struct ledger *ledger, uint64_t *seed);

typedef void ledger_progress (void *arg, uint64_t done, uint64_t all);

/* An order of records: which stands at a place of the stream, and where one stands in an epoch. */
struct ledger_stream {
    uint64_t (*record) (const void *order, uint64_t place);
    uint64_t (*place) (const void *order, uint64_t epoch, uint64_t record);
    const void *order;
};

/* In the stream's first `places` places, does each epoch bring each record once, and the last,
 * unfinished one none twice? -1 with a sentence if not. `progress` is told how far it is. */
int ledger_check_stream (const struct ledger_stream *stream, uint64_t records, uint64_t places,
                         ledger_progress *progress, void *arg, struct mu_error *error);
/* The same for the job's own order. */
int ledger_check_order (const struct ledger *ledger, uint64_t seed, uint64_t places,
                        ledger_progress *progress, void *arg, struct mu_error *error);

#endif
