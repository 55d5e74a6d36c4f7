/* SPDX-License-Identifier: Apache-2.0 */
/* core.h - the coordinator's state, shared by the files of the core alone
 *
 *     coord.c       create, dispatch of events, actions, views
 *     apply.c       the one writer of everything named `durable`
 *     roster.c      workers: HELLO, BEAT, BYE, silence, drain
 *     orders.c      what a worker is told and must do: said again, and given up at a limit
 *     queue.c       which job gets which workers, and why one waits
 *     preempt.c     who gives workers to whom
 *     job.c         a job's life: submit, control, stop, each state's next move
 *     prepare.c     a worker and its job: ASSIGN, PREPARED, FAILED, CRASHED, RELEASED
 *     poison.c      which micro-batch kills trainers, and what becomes of it
 *     apart.c       members that cannot stand where they say
 *     generation.c  FORM, fences, READY, GO, the break, the next one
 *     ahead.c       the next one's world, connected while this one trains
 *     late.c        a generation that is not ready in time, and who is left out for it
 *     loss.c        what had broken a generation, told when it is known
 *     fences.c      what ranks bring to PMI fences
 *     scale.c       how many workers a job may have, changed while it trains
 *     hang.c        a process that neither dies nor works: who, and what follows
 *     pace.c        how fast each worker is, and its share of the micro-batches
 *     shards.c      micro-batch maps, leases, the ledger of trained windows
 *     checkpoint.c  SAVED, COMMIT
 *     savers.c      who may say that a checkpoint is complete
 *     proof.c       is a checkpoint what others hold?
 *     unsound.c     a checkpoint that is not what was committed
 *     missing.c     one that nobody can read
 *     overdue.c     one whose writer does not move
 *     doubt.c       what came out of a step cannot be
 *     audit.c       who is wrong: DIGEST, AUDIT, and what becomes of it
 *     absent.c      whose state was gone before it was compared
 *     review.c      before members leave, what they did is compared
 *     halt.c        who leaves a generation ends with a whole step, and all do where one joins
 *     trust.c       quarantine of workers that fail again and again
 *     fold.c        the records of a job that has ended, as one
 *     forget.c      which jobs that have ended are remembered
 *     seal.c        a running hash over a job's records, so that the journal can be checked
 *     query.c       answers for people
 *     fault.c       orders to break a worker on purpose, passed on
 *     image.c       all of that as bytes, and back: knows every field of the structs below
 *     index.c       a hash table
 *     names.c       a set of names
 *
 * What a file does for others is in its own header, NAME.h; here are the state and what all need.
 *
 * Deciding is not writing: decide functions fill a record and hand it to core_store (), which folds
 * it into `durable` through coord_apply (), the same path that a replay takes. What is named `soft`
 * may be forgotten by a restart: it is heard again from the workers. */
#ifndef CORE_H
#define CORE_H

#include "coord.h"
#include "fences.h"
#include "grow.h"
#include "index.h"
#include "names.h"
#include "timing.h"

#include "common/behind.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_BYTES  256u
#define SAMPLES     16u
#define COMPARISONS 24u /* of states, at once: what an agent says again, and some */
#define GRADIENTS   8u  /* of each rank, at once: so many an agent says again */
#define SAVERS_MAX  64u
#define SUMS        8u /* remembered, of states that were agreed on; as many as AGREED tells of */

/* --- durable: the fold of the journal --------------------------------------------------------- */

struct member {
    char name[64];
    uint64_t incarnation;
    uint64_t windows; /* trained: all below this one */
    uint64_t state_step, gradient_step; /* up to there it is known to have been right; audit.c */
    bool echo; /* its state came from another rank, or its checkpoint, and was not compared since */
};

struct generation {
    uint64_t number; /* 0: the job never had one */
    uint64_t step, until_step, time_ms;
    uint64_t began; /* after this step: `step`, but for a REWIND that no FORM has followed yet */
    uint32_t attempt, source_rank, size;
    uint32_t made_of; /* some are one update behind, and get these sums (behind.h) */
    bool transfer, started, over;
    bool connected; /* its world was, before FORM; ahead.c */
    struct member *members;
    uint8_t *first_map, *map; /* u16 little-endian each, as on the wire */
    char world[64];
};

/* What a job has reached, for people. 0: not known. */
struct results {
    double loss, loss_evaluated, accuracy;
    uint64_t evaluated_step; /* plus one */
};

struct commit {
    uint64_t generation, step, bytes, time_ms;
    struct results results; /* of that step */
    uint64_t state_sum; /* of all ranks at that step; 0: not known */
    char *path, weights_hash[65], worker[64]; /* worker: who wrote it */
    bool pruned; /* those who prune were told that it may go */
};

/* A trainer's death by its own doing, and the micro-batches that were in flight. */
struct strike {
    char worker[64];
    uint64_t incarnation, trainer; /* of that worker: a death is counted once */
    uint8_t suspects[KEPT_BYTES];
};

/* Deaths in one step, the newest in which trainers died so; empty once the step is behind. */
struct suspicion {
    uint64_t step;
    struct strike *strikes;
    uint32_t count, capacity;
};

/* All ranks' states had this sum after that step. */
struct agreed_sum {
    uint64_t step, sum;
};

struct skip { /* a micro-batch that is left out of its step, for good */
    uint64_t step;
    uint32_t micro_batch;
};

struct outcast { /* was wrong, and does not get the job again */
    char name[64];
    uint64_t incarnation;
};

struct absentee { /* what it did was not compared, and cannot be; absent.c */
    char name[64];
    uint64_t state_step, gradient_step; /* as a member's */
    uint64_t left_ms; /* Unix time of the first generation without it, or without its state */
};

struct saver { /* was to write checkpoints; savers.c */
    char name[64];
    uint64_t incarnation;
    uint64_t generation;       /* its rank 0; or, if it was told to, that one or an older one */
    uint64_t step, until_step; /* from here to there; the newest generation's are its leases */
    bool told;                 /* by SAVE */
    bool between;              /* ... a state between two tries at the next step */
};

struct job_durable {
    uint64_t number;
    char key[64], name[64];
    struct mu_blob spec; /* owned */
    int64_t priority;
    uint32_t workers_min, workers_max, micro_batches, global_batch, window_steps;
    uint64_t steps; /* 0 until SIZED where epochs say it */
    double epochs;
    bool portable, mixed; /* any class gives its bits; classes mix all the same */
    bool audited; /* gradients are compared (audit.c) */
    bool lost;    /* its SUBMIT could not be read: it only keeps the number */
    uint32_t keep; /* newest checkpoints that stay; 0: unknown, all do */
    uint64_t submitted_ms, started_ms, ended_ms;

    bool sized;
    uint64_t records, parameters, targets;
    char *data_identity, *compute_class; /* notes: NULL where they are empty; owned, as is `hung` */

    enum mu_job_state state, target;
    uint32_t code;
    char *reason; /* owned, never NULL */

    struct generation generation;
    struct commit *commits;
    uint32_t commit_count, commit_capacity;
    uint32_t crashes, restarts;
    uint64_t crash_step;
    uint64_t crash_generation, crash_workers; /* the newest blow: when, and a bit for whom it hit */
    uint64_t seal;                            /* over its records so far (seal.c) */

    uint32_t hangs;                      /* ever */
    uint32_t hang_rounds;                /* doubted verdicts since hang_step */
    uint32_t hang_blows;                 /* those that blame the job */
    uint64_t hang_step, hang_generation; /* at the newest doubted one */
    uint64_t hung_ms;
    char *hung; /* the newest in words, a note */

    uint32_t accusations; /* blows that accuse a micro-batch; `crashes` counts the others */
    uint32_t poison_limit;
    struct suspicion suspicion;
    struct skip *skips;
    uint32_t skip_count, skip_capacity;

    uint64_t anchor;     /* the newest committed step that is known to be right */
    uint64_t first_step; /* updates in the state that it began with: 0, or a checkpoint's */
    uint64_t distrusted; /* states of this generation and older ones are not; 0: all are trusted */
    struct outcast *outcasts;
    uint32_t outcast_count, outcast_capacity;
    struct absentee *absentees;
    uint32_t absentee_count, absentee_capacity;
    struct saver *savers;
    uint32_t saver_count, saver_capacity;
    uint64_t unsound_step, unsound_generation; /* SAVED up to there tells nothing new; unsound.c */
    struct agreed_sum *sums; /* of steps that may be saved yet, the newest last; proof.c; owned */
    uint32_t sum_count;
    char *disputed; /* who differed, when nobody could say who was wrong; a note */
    uint64_t disputed_step;
};

struct durable {
    uint64_t term;
    uint64_t lacks_below; /* who served a lower term may know what is lost; 0: nothing is */
    struct job **jobs;    /* job n at n - 1 - job_base; NULL: it was forgotten */
    uint32_t job_count, job_capacity;   /* count: ever submitted */
    uint32_t job_base, forgotten_count; /* no room is kept for the first job_base, all forgotten */
    struct job **live; /* those that have not ended, by number */
    uint32_t live_count, live_capacity;
    struct index keys; /* idempotency key -> job */
    struct names drained, quarantined;
};

/* --- soft: heard again after a restart -------------------------------------------------------- */

/* What a worker was told and has not yet been seen to do. At most one at a time; orders.c. */
enum order { ORDER_NONE, ORDER_ASSIGN, ORDER_FORM, ORDER_ABORT, ORDER_SAVE, ORDER_RELEASE, ORDERS };

/* Where a trainer's state stands. Equal lineages mean equal bits; 0 is unknown. */
struct position {
    uint64_t step;
    uint32_t attempt;
    uint32_t made_of; /* behind.h */
    uint64_t lineage;
    uint64_t generation; /* in which the state was trained; 0: it is new, or was loaded */
    uint64_t distrusted; /* as the job's was when the trainer was started */
    bool blank;          /* it holds no state yet; step and attempt say nothing */
    bool entered;        /* as said when it had left the newest generation: it was in it */
    uint64_t unsound;    /* the checkpoint of this step was not what it should be; 0: it was */
    bool odd;            /* it has loaded that, and does not know; step says 0 */
    char unread[256];    /* why it could not read the checkpoint; empty: it could, or had none to */
};

/* What one micro-batch costs a worker in its job, as its beats tell; pace.c. */
struct pace {
    uint64_t cost_us;                   /* a thread's time for one; 0: not known yet */
    uint64_t generation, step, busy_us; /* being measured: since this step of this generation */
    uint32_t share;                     /* micro-batches it has in a step there */
};

struct worker {
    /* what it said of itself */
    char name[64], host[256], version[32], compute_class[128], isa[32];
    uint64_t incarnation;
    uint64_t before;          /* whose place it took; 0: nobody's, or it is not known any more */
    uint64_t rival, rival_ms; /* another process of its name, that was not let in, and since when */
    uint64_t buried; /* the newest of its trainers whose end was heard */
    uint32_t threads, devices;
    uint64_t holds, generation, step, phase_ms; /* as last heard */
    uint32_t phase;
    uint32_t duty_phase;           /* in which phase it was when it said: */
    enum mu_duty_state duty;       /* which of its processes owes the next move ... */
    uint64_t still_ms, stalled_ms; /* ... and for how long it has done nothing, counted nothing */
    char process[16];
    uint64_t writing, writer_still_ms; /* a checkpoint of this step plus one; 0: none for long */
    uint32_t writer_phase;
    char writer[16];
    char hung[256]; /* its newest hang; empty: none in this reign */
    bool leaving; /* told to stop by its host */
    bool faults;  /* breaks things when told to */

    /* the line to it */
    uint32_t number; /* its index on the roster */
    uint32_t peer;
    bool connected, lost;
    bool gone; /* its connection ended, and nothing was heard since */
    bool left; /* lost, because it was told to end and said so */
    uint32_t beat_ms; /* as told */
    uint64_t heard_ms, lost_at_ms, stray_ms;

    /* what it is here for */
    struct job *job;
    uint32_t slot, rank; /* in job->soft.workers; in the newest generation, or NONE */
    enum order order;
    uint64_t order_number; /* of the newest one, also when it is done; 0: none in this reign */
    uint64_t order_since_ms, order_said_ms;
    uint64_t letting_go;    /* ORDER_RELEASE: of this job */
    bool again;             /* ... and then ASSIGN once more */
    bool unseen;            /* what it did in a generation that ended was not compared; review.c */
    uint8_t times_kept;     /* it was to leave, and is a member so many times more to be compared */
    bool halts;             /* it was told to make no further step; halt.c */
    uint64_t leased;        /* steps below this, as was said on its connection of now */
    bool yields;            /* it leaves its job, though it stays here */
    uint64_t yields_to;     /* ... which is shrunk for this one; 0: for another reason */
    bool opened;            /* the trainer that was ASSIGNed was heard of */
    bool finished;          /* has done the last step in this generation */
    bool reducing, idle;    /* as counted in its job */
    uint32_t doubts;        /* BEATs in a row that do not know the job */
    uint64_t reopened_step; /* was asked to load this committed step before */
    uint32_t anew;          /* so often told to make a state of its own, since it had one */
    uint64_t refused_job, refused_until_ms; /* does not get this job for a while */
    uint32_t ends;       /* its collectives that crashed before a generation got ready */
    uint64_t crashed_in; /* the newest generation in which that counted as a failure */
    uint32_t left_out; /* so often, of generations that did not get ready, since one did */
    bool on_trial;     /* ... the last time because somebody had to be */
    bool refused_for_good;                  /* ... or ever: it has other data */
    char refused[256];                      /* why, for people */
    struct position position;               /* of its trainer, once prepared */
    uint8_t kept[KEPT_BYTES];               /* micro-batches of the next step that its sums hold */
    struct pace pace;
    uint64_t penalty, penalty_ms; /* for its failures, as of then; trust.c */
    uint64_t doubt_after_ms;      /* what it is not believed then is told of again */
};

/* The world of the generation that follows, connected while this one trains; ahead.c. */
struct ahead {
    char world[64];
    struct ahead_member {
        struct worker *worker; /* NULL: it is gone */
        bool connected;
    } *members; /* [size], by rank, owned */
    uint32_t size, connected; /* size 0: there is none */
    struct fences *fences;
    uint32_t tries;              /* in this reign */
    uint64_t since_ms, again_ms; /* of the first try for this break; not before that; 0: none */
    uint64_t said_ms;
};

struct sample {
    uint64_t time_ms, step;
};

struct opinion {
    uint64_t digest;
    bool said;
};

/* What several ranks of the newest generation were to find equal; audit.c. */
struct comparison {
    uint32_t what, micro_batch; /* enum audit_what */
    uint32_t attempt; /* of a state that stands between two tries at the next step: after so many */
    uint64_t step;
    uint32_t first_rank, ranks; /* those that compare; ranks 0: unused */
    uint32_t said;
    struct opinion *opinions; /* [ranks], owned */
};

/* A break that lets members go waits until what they did is compared; review.c. */
struct review {
    uint64_t since_ms, since_step; /* 0: nothing waits */
    uint64_t step, said_ms;        /* in which step, as the members were told; 0: they were not */
};

/* ... and until those who go have ended a step; halt.c. */
struct halt {
    uint64_t since_ms, said_ms; /* 0: they were not told */
    uint64_t step;              /* with the one before it, or with the one under way */
};

/* No worker can read the newest checkpoint; missing.c. */
struct missing {
    uint64_t waited_ms, seen_ms; /* for it, until it was last looked at; 0: nobody waits */
    uint64_t again_ms;           /* then all try once more */
    bool forgo;                  /* somebody said that it is not to be waited for */
};

/* A checkpoint's writer does not move; overdue.c. */
struct overdue {
    uint64_t writing; /* that step plus one; 0: none is overdue */
    char *worker, *text; /* notes */
};

#define MISFITS 2

/* Whose gradient was found wrong, in this reign; audit.c. */
struct misfit {
    char *name; /* a note; NULL: nobody's */
    uint64_t found_ms;
};

/* What came out of a step cannot be; doubt.c. */
struct doubt {
    uint64_t at; /* that step plus one; 0: none was doubted in this reign */
    uint32_t tries;
    bool agreed;         /* all members held the same, and not all of one */
    uint64_t lone_at;    /* after this step, plus one, all held what one had, or had given them */
    char lone[64];       /* ... that one */
    uint64_t refused_at; /* the step that a member could not do, plus one; 0: all could */
    bool refused_echo;   /* ... with a state that it had been given */
    char refused_by[64];
};

struct job_soft {
    struct worker **workers; /* assigned, in no order */
    uint32_t worker_count, worker_capacity;
    struct worker **ranks;   /* of the newest generation; NULL where the worker is gone */
    uint32_t orders[ORDERS]; /* how many of its workers have which */
    struct fences *fences;   /* while forming */
    struct ahead *ahead;     /* owned; NULL: none was ever begun in this reign */
    bool touched;            /* on coord->touched */

    uint64_t could_since_ms;    /* since when the minimum could be met; 0: it cannot */
    uint64_t hopeless_since_ms; /* since when the roster is too small for it; 0: it is not */
    uint64_t lacking_since_ms;  /* since when it lacks its minimum; 0: it does not */
    uint64_t join_since_ms;     /* since when a joiner is prepared; 0: none */
    uint64_t form_after_ms;     /* not before this */
    uint64_t form_limit_ms;     /* READY of all by then */
    uint32_t failures;          /* generations in a row that finished no step */
    bool without;               /* somebody was left out of the next one */
    uint32_t losses;            /* told since the newest generation ended; loss.c */
    uint64_t vain_ms; /* since when collectives end while the same members form; 0: they do not */
    bool save_done, end_unsaved;
    bool stopped_here; /* in this reign: all its workers are known */
    uint32_t save_tries;
    uint64_t save_limit_ms; /* of the last checkpoint, once it failed */

    uint64_t step;
    struct results results;  /* as members said in this reign */
    uint32_t finished;       /* ranks that have done the last step */
    uint64_t finished_ms;    /* since when all have */
    bool withheld;           /* a checkpoint is written, and waits for what others hold */
    uint32_t reducing, idle; /* ranks that wait for the all-reduce; for nothing else */
    uint64_t stuck_ms; /* since when no rank could go on alone and nothing moved; 0: some can */
    bool stepped;      /* a step was finished in this reign */
    uint64_t still_longest_ms, stall_longest_ms, stuck_longest_ms; /* that ended by themselves */
    uint64_t running_since_ms, paced_window; /* START of the generation; shares were looked at */
    uint64_t median_us;                      /* cost of a micro-batch, of its members */
    uint32_t uneven;                         /* windows in a row with shares far from the best */
    struct sample *samples; /* [SAMPLES], owned; NULL: it never trained in this reign */
    uint32_t sample_count;  /* since the newest generation formed */
    double rate_best;      /* steps a second, the highest seen in this reign; 0: none yet */
    struct comparison *comparisons; /* owned; NULL: nobody compares anything yet */
    uint32_t comparison_count, comparison_next[2]; /* begun: of states, of gradients; audit.c */
    struct review review;
    struct halt halt;
    struct missing missing;
    struct overdue overdue;
    struct doubt *doubt;            /* owned; NULL: nothing was ever doubted in this reign */
    struct misfit misfits[MISFITS]; /* the newest first, of different workers */
    uint32_t open_rounds;  /* of trainers that hung while they opened it, and none that did */
    uint64_t open_hung_ms; /* the newest began */
    uint64_t writer_still_longest_ms; /* that ended by itself */
    uint64_t unevaluated_ms;          /* when a failed evaluation was last told of */
    uint64_t ended_ms; /* when the last one had left a generation; 0: nobody did in this reign */
    char *sized_by;    /* a note, like the next */
    char *why;         /* it waits */
    char *unevaluated; /* why the newest evaluation failed */
    char *shrunk; /* it trains on fewer workers than it could use */
    char *stands; /* all that hold its state stand still, or who opens it; they are given time */
};

struct job {
    struct job_durable durable;
    struct job_soft soft;
};

struct coord {
    struct coord_options options;
    struct durable durable;

    struct worker **workers;
    uint32_t worker_count, worker_capacity;
    struct index names, peers;
    bool started, deposed;
    bool registered;     /* who reigns is decided by a register: no word of a worker's deposes */
    uint64_t later_term; /* the highest that was said nevertheless; 0: none */
    uint64_t orders;       /* given in this reign */
    uint64_t grace_end_ms; /* of the restart */
    uint64_t came_ms; /* when somebody last came that had not been heard in this reign; 0: never */
    uint64_t deadline_ms;
    uint64_t trust_again_ms; /* when quarantines are looked at next */
    uint64_t place_at_ms;    /* when queue_place () looks again */
    uint64_t placed_ms;      /* when it last did */
    uint64_t forget_at; /* when so many jobs are remembered that have ended, see which may go */
    struct job **touched;
    uint32_t touched_count, touched_capacity;

    /* of the current step */
    uint64_t now_ms, unix_ms;
    struct coord_actions *out;
    struct scratch *scratch;
    struct mu_wire nowhere; /* what is said to a worker that cannot be reached */
};

static inline uint64_t lower (uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t higher (uint64_t a, uint64_t b) { return a > b ? a : b; }

/* --- coord.c ---------------------------------------------------------------------------------- */

/* Memory until the next coord_step (). */
void *core_scratch (struct coord *coord, size_t size);
const char *core_text (struct coord *coord, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
struct mu_blob core_blob (const char *text);
struct mu_blob core_copy (struct coord *coord, const char *text); /* scratch, of any length */
/* A number that people gave: digits and nothing else; 0: it is none. */
uint64_t core_number (const char *text);

/* Journal a record and fold it in. */
void core_store (struct coord *coord, const struct mu_journal *record);
/* A message to be filled in; valid until the next one. */
struct mu_wire *core_say (struct coord *coord, uint32_t peer, enum mu_wire_type type);
struct mu_wire *core_tell (struct coord *coord, const struct worker *worker,
                           enum mu_wire_type type);
/* COORD_TIMER is wanted then at the latest. */
void core_wake (struct coord *coord, uint64_t when_ms);
struct job *core_job (const struct coord *coord, uint64_t number); /* NULL: there is none */
/* What takes the place of a SUBMIT that could not be read, and why its job has failed. */
struct mu_journal_submit core_lost_submit (uint64_t number, uint64_t time_ms);
#define CORE_LOST                                                                                  \
    "its record in the coordinator's journal could not be read; what is left of it lies in the "   \
    "table bad_record"
bool core_in_grace (const struct coord *coord);

#endif
