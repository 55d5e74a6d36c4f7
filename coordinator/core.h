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
    uint64_t distrusted; /* states of this generation and older ones are not; 0: all are trusted */
    struct outcast *outcasts;
    uint32_t outcast_count, outcast_capacity;
    struct absentee *absentees;
    uint32_t absentee_count, absentee_capacity;
    struct saver *savers;
    uint32_t saver_count, saver_capacity;
    uint64_t unsound_step, unsound_generation; /* SAVED up to there tells nothing new; unsound.c */
    struct agreed_sum sums[SUMS]; /* of steps that may be saved yet, the newest last; proof.c */
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
    char worker[64], *text; /* text: a note */
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
    struct ahead ahead;
    bool touched;            /* on coord->touched */

    uint64_t could_since_ms;    /* since when the minimum could be met; 0: it cannot */
    uint64_t hopeless_since_ms; /* since when the roster is too small for it; 0: it is not */
    uint64_t lacking_since_ms;  /* since when it lacks its minimum; 0: it does not */
    uint64_t join_since_ms;     /* since when a joiner is prepared; 0: none */
    uint64_t form_after_ms;     /* not before this */
    uint64_t form_limit_ms;     /* READY of all by then */
    uint32_t failures;          /* generations in a row that finished no step */
    bool without;               /* somebody was left out of the next one */
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
    struct doubt doubt;
    struct misfit misfits[MISFITS]; /* the newest first, of different workers */
    uint32_t open_rounds;  /* of trainers that hung while they opened it, and none that did */
    uint64_t open_hung_ms; /* the newest began */
    uint64_t writer_still_longest_ms; /* that ended by itself */
    uint64_t unevaluated_ms;          /* when a failed evaluation was last told of */
    uint64_t ended_ms; /* when the last one had left a generation; 0: nobody did in this reign */
    char sized_by[64];
    char *why;    /* it waits; owned, like the next, and NULL where there is nothing to say */
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

/* --- roster.c --------------------------------------------------------------------------------- */

void roster_start (struct coord *coord);
void roster_file (struct coord *coord, const struct worker *worker); /* under its name and peer */
void roster_receive (struct coord *coord, const struct coord_event *event);
bool roster_hears (const struct mu_wire *wire); /* is it a member's word about its job? */
/* It waited for a coordinator behind a HELLO. Once welcome, its worker says first what it compared before, of which this
 * reign may know nothing, and then this once more. */
bool roster_is_of_the_reign_before (const struct coord *coord, const struct mu_wire *wire);
void roster_gone (struct coord *coord, uint32_t peer);
void roster_scan (struct coord *coord);
/* Has everybody been heard that was on the roster before the restart? */
bool roster_is_back (const struct coord *coord);
/* Its connection ended and nothing was heard since: then it is lost, now. */
void roster_lose_if_gone (struct coord *coord, struct worker *worker);
struct worker *roster_by_name (const struct coord *coord, const char *name);
struct worker *roster_by_peer (const struct coord *coord, uint32_t peer);
uint64_t roster_silent_ms (const struct coord *coord, const struct worker *worker);
void roster_lose (struct coord *coord, struct worker *worker, bool planned, const char *why);
void roster_drain (struct coord *coord, uint32_t peer, const struct mu_wire_drain *drain);
struct worker *roster_find (const struct coord *coord, const char *name_or_number);
enum mu_worker_state worker_state (const struct coord *coord, const struct worker *worker);
/* Does it take no more work, here or at all? */
bool worker_leaves (const struct coord *coord, const struct worker *worker);
bool worker_is_free (const struct coord *coord, const struct worker *worker);

/* --- orders.c --------------------------------------------------------------------------------- */

void order_give (struct coord *coord, struct worker *worker, enum order order);
void order_clear (struct worker *worker);
void order_say (struct coord *coord, struct worker *worker);
void order_mind (struct coord *coord, struct worker *worker); /* repeat it, or give it up */

/* --- queue.c ---------------------------------------------------------------------------------- */

void queue_place (struct coord *coord);
void queue_want (struct coord *coord);
bool queue_accepts (const struct coord *coord, const struct job *job, const struct worker *worker);
uint32_t queue_useful_max (const struct job *job);

/* --- preempt.c -------------------------------------------------------------------------------- */

/* Those that were to leave for another job stay if the job would lack its minimum without them, the
 * other one no longer wants them, or their connection has ended: they may be dead. */
void preempt_keep (struct coord *coord, struct job *job);
/* Why workers go to that job, in words. */
const char *preempt_why (struct coord *coord, const struct job *job, uint64_t taker);

/* --- job.c ------------------------------------------------------------------------------------ */

/* So many that were submitted after all that are known: they have failed, and keep their numbers. */
void job_submit_lost (struct coord *coord, uint32_t count);
void job_submit (struct coord *coord, const struct coord_event *event);
void job_control (struct coord *coord, uint32_t peer, const struct mu_wire_control *control);
/* Has it more workers than it needs? */
bool job_can_spare (const struct job *job);
void job_touch (struct coord *coord, struct job *job);
/* A note of a job is a text that most jobs never have: owned, and NULL where it is empty. */
void job_note (char **note, const char *text);
static inline const char *job_noted (const char *note) { return note ? note : ""; }
void job_advance (struct coord *coord, struct job *job);
void job_move (struct coord *coord, struct job *job, enum mu_job_state state,
               enum mu_job_state target, enum mu_code code, const char *reason);
/* Let its workers go, then be `target`. */
void job_stop (struct coord *coord, struct job *job, enum mu_job_state target, enum mu_code code,
               const char *reason);
bool job_ended (const struct job *job);
bool job_has_live_generation (const struct job *job);
uint64_t job_step (const struct job *job);
const struct commit *job_newest_commit (const struct job *job); /* or NULL */
uint64_t job_committed_step (const struct job *job);

void job_destroy (struct job *job);

/* apply.c's: it has ended. */
void job_leave_live (struct durable *durable, const struct job *job);
/* It gets the next number; up to a number, all were forgotten. */
void job_put (struct durable *durable, struct job *job);
void job_put_forgotten (struct durable *durable, uint32_t upto);
/* Jobs up to that one, not with it, were submitted, and nothing tells of them any more. -1: that cannot be. */
int job_fill (struct coord *coord, uint64_t number, uint64_t time_ms, struct mu_error *error);

/* --- forget.c --------------------------------------------------------------------------------- */

void forget_mind (struct coord *coord);
/* Apply's part. */
int forget_apply (struct coord *coord, const struct mu_journal *record, struct mu_error *error);

/* --- fold.c ----------------------------------------------------------------------------------- */

/* Apply's part. */
int fold_apply (struct coord *coord, const struct mu_journal *record, struct mu_error *error);

/* --- prepare.c -------------------------------------------------------------------------------- */

void worker_assign (struct coord *coord, struct worker *worker, struct job *job);
void worker_attach (struct worker *worker, struct job *job);
void worker_detach (struct coord *coord, struct worker *worker);
void worker_release (struct coord *coord, struct worker *worker, bool again);
/* Does it say that it has done more steps than the job has? No sound worker does; it is let go. */
bool worker_is_beyond (struct coord *coord, struct worker *worker, uint64_t step);
/* Its trainer's state is known and it waits for a generation. */
bool worker_is_prepared (const struct worker *worker);
/* Its trainer is gone: start another. */
void worker_reprepare (struct coord *coord, struct worker *worker);
/* It holds a trainer of a job that it does not have: take it back, or let it go. */
void worker_claim (struct coord *coord, struct worker *worker);
/* Its job no more for a while; 0: for good. Why is told. */
void worker_refuse (struct coord *coord, struct worker *worker, uint64_t for_ms, const char *why);
/* It failed, for that reason: it is blamed, and let go for a while. */
void worker_turn_away (struct coord *coord, struct worker *worker, const char *why);
void prepare_prepared (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void prepare_failed (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void prepare_crashed (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void prepare_released (struct coord *coord, struct worker *worker, const struct mu_wire *wire);

/* --- poison.c --------------------------------------------------------------------------------- */

/* Apply's part: a death that accuses (false: it was known), a micro-batch that is left out, a step
 * that is behind. */
bool poison_accuse (struct job_durable *job, const struct mu_journal_crash *crash);
void poison_skip (struct job_durable *job, uint64_t step, uint32_t micro_batch);
void poison_forget (struct job_durable *job);
/* Fill in what a trainer's end accuses: nothing, unless it was its own doing. */
void poison_suspects (struct coord *coord, const struct job_durable *job,
                      const struct mu_wire_crashed *crashed, struct mu_journal_crash *crash);
/* What it had in flight, in words for people: a kill from outside accuses nothing, but may tell. */
const char *poison_in_flight (struct coord *coord, const struct job_durable *job,
                              const struct mu_wire_crashed *crashed);
/* The micro-batch of the suspicion's step that is known to kill every trainer, or NONE. */
uint32_t poison_guilty (const struct job *job);
/* What becomes of it, by its owner's choice. */
bool poison_may_skip (const struct job_durable *job);
void poison_fail (struct coord *coord, struct job *job, uint32_t micro_batch,
                  const struct mu_journal_crash *crash);
void poison_leave_out (struct coord *coord, struct job *job, uint32_t micro_batch,
                       const struct mu_journal_crash *crash);
/* For FORM. */
void poison_say (struct coord *coord, const struct job_durable *job, struct mu_wire_form *form);
/* In the map of the suspects' step they go to workers whose trainers they have not killed yet, in
 * exchange for others where that is possible. What is taken stays. */
void poison_spread (const struct job_durable *job, uint8_t *map, const uint8_t *taken,
                    struct worker *const *members, uint32_t ranks);

/* --- audit.c ---------------------------------------------------------------------------------- */

enum audit_what { AUDIT_STATE, AUDIT_GRADIENT, AUDIT_WEIGHTS, AUDIT_PLACE };

void audit_state (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void audit_gradient (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
/* Its state was not the source's when a world formed. True: training goes back for it. */
bool audit_differs (struct coord *coord, struct worker *worker, const struct mu_wire_down *down);
/* Two members of the generation that is over say that they stand where not both can: all go back. */
void audit_dispute_places (struct coord *coord, struct job *job, const struct worker *one,
                           const struct worker *other);
/* The hash of its weights after the job's last step, by its beat or by what it saved. False: no news. */
bool audit_weights (struct coord *coord, struct worker *worker, const char *hash);
/* Has all that was said of it been the same as that? */
bool audit_is_agreed (const struct job *job, const char *hash);
/* Do more say something else of it? */
bool audit_outvotes (const struct job *job, const char *hash);
/* Have some, and not all, said what their states come to after that step? */
bool audit_is_open (const struct job *job, uint64_t step);
/* The generation's comparisons are forgotten: those that lack an opinion do not count. */
void audit_clear (struct job *job);
/* The newest committed step, `also` included, that all members, and those who left lately, are known
 * to have been right at. */
uint64_t audit_anchor (const struct job_durable *job, uint64_t also, uint64_t unix_ms);
/* Up to where somebody's contributions are known to be right. */
uint64_t audit_known_step (const struct job_durable *job, uint64_t state_step,
                           uint64_t gradient_step);
/* What is given up, and what is gone back to (`doubted`: unsound_upto ()); then the break, if there is something to
 * break, and the records. */
void audit_fill_back (const struct job *job, struct mu_journal_expel *expel, uint64_t right_step,
                      const char *doubted);
/* Up to where a worker of this name is known to have been right, here and when it was here before. */
uint64_t audit_right_step (const struct job_durable *job, const char *name, uint64_t unix_ms);
void audit_go_back (struct coord *coord, struct job *job, const char *why,
                    struct mu_journal *records, uint32_t count);
/* ... with one record, whose words are why, and how far. */
void audit_go_back_once (struct coord *coord, struct job *job, const char *why,
                         struct mu_journal *record);
/* Does this worker hold a state from before the newest expulsion? */
bool audit_is_tainted (const struct job *job, const struct worker *worker);
/* Have such states loaded anew. True: somebody was told to. */
bool audit_reopen (struct coord *coord, const struct job *job);
bool audit_keeps_off (const struct job *job, const struct worker *worker);
bool audit_is_outcast (const struct job_durable *job, const char *name, uint64_t incarnation);
/* Apply's part. */
void audit_expel (struct job_durable *job, const struct mu_journal_expel *expel);
void audit_agree (struct job_durable *job, const struct mu_journal_agreed *agreed);

/* --- halt.c ----------------------------------------------------------------------------------- */

/* Is a break that lets members go to wait until they have ended a step? Tells them to if so. */
bool halt_awaits (struct coord *coord, struct job *job);
/* Nobody is to go: they are leased again. The generation is over. */
void halt_forget (struct coord *coord, struct job *job);
void halt_clear (struct job *job);

/* --- review.c --------------------------------------------------------------------------------- */

/* Is a break that lets members go to wait for what they did to be compared? Asks for it if so. */
bool review_awaits (struct coord *coord, struct job *job);
/* Its members say what they hold when they leave this generation, which is about to break. */
void review_all (struct coord *coord, const struct job *job);
/* The word came too late for the step that it named: it is time for another. */
bool review_is_gone_by (const struct job *job);
/* Is this rank to leave, alone or with all? How long, at most, is waited for what it does in a step. */
bool review_leaves (const struct coord *coord, const struct job *job, uint32_t rank);
uint64_t review_limit_ms (const struct job *job);
void review_forget (struct job *job); /* nobody is to go, or the generation is over */
/* A generation that trains ends; all have left it; all members of the next are ready to train. */
void review_end (struct coord *coord, struct job *job, bool planned);
void review_left (struct coord *coord, struct job *job);
void review_started (const struct coord *coord, const struct job *job);
/* We were started anew while one forms or breaks. */
void review_restarted (struct coord *coord, struct job *job);
/* The job is to be paused between two that train: one more is formed first, for a comparison. */
bool review_delays_pause (const struct coord *coord, const struct job *job);
/* Between two that train: it leaves, now. False too of who leaves and stays to be compared. */
bool review_lets_go (const struct coord *coord, const struct job *job, const struct worker *worker);

/* --- apart.c ---------------------------------------------------------------------------------- */

/* All have left a generation: who says that it stands where it cannot is let go, or all go back. True: the
 * job is to be looked at again. */
bool apart_mend (struct coord *coord, struct job *job);

/* --- absent.c --------------------------------------------------------------------------------- */

/* Apply's part: what is known of a generation's members, from what was known of them in the one
 * before, and of those who are members no more; a job that has ended asks for nothing. */
void absent_follow (struct job_durable *job, const struct generation *before,
                    const struct mu_journal_form *form);
/* Before training goes back from there: all of the generation are remembered. */
void absent_go_back (struct job_durable *job, uint64_t trained_step, uint64_t time_ms);
void absent_forget (struct job_durable *job);
/* Up to where all who left lately, or those of this name, are known to have been right; UINT64_MAX: there is
 * nobody. */
uint64_t absent_known_step (const struct job_durable *job, const char *name, uint64_t unix_ms);
/* That worker was wrong in one job: others in which it was, and was not compared, go back too. */
void absent_accuse (struct coord *coord, const struct mu_journal_expel *found);

/* --- generation.c ----------------------------------------------------------------------------- */

/* Prepared workers that stay, in the order of their ranks in the next one; returns how many.
 * `members` has room for all workers of the job. */
uint32_t generation_members (struct coord *coord, const struct job *job, struct worker **members);
/* None of these is as far as the newest checkpoint: have it loaded, once. True: somebody was told to. */
bool generation_reopen (struct coord *coord, const struct job *job, struct worker **members,
                        uint32_t count);
/* The newest checkpoint is another one, or may be tried again: who was asked for it is asked anew. */
void generation_forget_tries (struct worker *const *members, uint32_t count);
/* Form the next one if enough workers are prepared. */
bool generation_try_form (struct coord *coord, struct job *job);
void generation_break (struct coord *coord, struct job *job, bool planned, const char *why);
void generation_say_form (struct coord *coord, const struct worker *worker);
void generation_limit (struct coord *coord, struct job *job);
void generation_clear (struct job *job); /* its soft part */
void generation_fence (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
/* What all ranks brought to this fence, which is complete. */
void generation_say_fenced (struct coord *coord, const struct worker *worker,
                            const struct fences *fences, const struct mu_wire_fence *fence);
void generation_ready (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void generation_down (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void generation_aborted (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
/* The highest position among its prepared workers (those that stay, if `staying`), or NULL. */
struct worker *generation_best (const struct coord *coord, const struct job *job, bool staying);

/* --- ahead.c ---------------------------------------------------------------------------------- */

/* Is a break that is planned to wait? Begins, or goes on, to connect the next world. */
bool ahead_awaits (struct coord *coord, struct job *job);
/* Is a world connected for just these members? */
bool ahead_has (const struct job *job, struct worker *const *members, uint32_t count);
/* It is not wanted any more: members are told. */
void ahead_forget (struct coord *coord, struct job *job);
void ahead_clear (struct job *job); /* the same, and nobody is told */
void ahead_without (struct job *job, const struct worker *worker);
void ahead_fence (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void ahead_connected (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void ahead_down (struct coord *coord, struct worker *worker, const struct mu_wire *wire);

/* --- late.c ----------------------------------------------------------------------------------- */

/* A generation was not ready in time, or a collective ended: why it breaks. Who kept it may be left
 * out for a while. */
const char *late_blame (struct coord *coord, struct job *job);
const char *late_ended (struct coord *coord, struct job *job, struct worker *worker,
                        const struct mu_wire_down *down);
/* The collective of a member of a world that is connected ahead ended. True: it is left out. */
bool late_ended_ahead (struct coord *coord, struct worker *worker, const struct mu_wire_down *down);
void late_begin (struct job *job, struct worker *const *members, uint32_t count); /* the next one */
void late_forget (struct job *job); /* it got ready: its members are trusted again */

/* --- hang.c ----------------------------------------------------------------------------------- */

/* What a worker's BEAT says of its processes. */
void hang_hear (struct coord *coord, struct worker *worker, const struct mu_wire_beat *beat);
void hang_forget (struct worker *worker); /* that: it moves, or is replaced */
/* End and replace what hangs. True: the job's generation broke, or the job stopped, for it. */
bool hang_mend (struct coord *coord, struct job *job);
/* How long a process may do nothing. */
uint64_t hang_limit (const struct coord *coord, const struct job *job);
/* Nothing moves in an all-reduce that every rank waits for. */
void hang_note_stuck (struct coord *coord, struct job *job, uint64_t stalled_ms);
void hang_note_step (const struct coord *coord, struct job *job);
bool hang_is_stuck (struct coord *coord, const struct job *job);

/* --- shards.c --------------------------------------------------------------------------------- */

uint32_t shards_rank (const uint8_t *map, uint32_t micro_batch);
void shards_set_rank (uint8_t *map, uint32_t micro_batch, uint32_t rank);
/* The map of all steps but the first: contiguous blocks, as large as pace_shares () says, but for
 * suspects of poison in a step after `base_step`. */
void shards_map (struct coord *coord, const struct job_durable *job, uint8_t *map,
                 struct worker *const *members, uint32_t ranks, uint64_t base_step);
/* The first step's map: what `members` kept stays theirs where they stand at `base`. */
void shards_first_map (struct coord *coord, const struct job_durable *job, uint8_t *map,
                       struct worker *const *members, uint32_t ranks, const struct position *base);
/* Of a generation of these members that begins at `step`: train below the step returned. */
uint64_t shards_first_lease (const struct coord *coord, const struct job *job,
                             struct worker *const *members, uint32_t count, uint64_t step);
void shards_started (const struct coord *coord, struct job *job); /* its members train from now */
void shards_progress (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void shards_trained (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
/* Updates that the records prove: those before the generation, and those of trained windows. */
uint64_t shards_trained_step (const struct job_durable *job);
void shards_say_lease (struct coord *coord, struct worker *worker);
void shards_welcome (struct coord *coord, struct worker *worker); /* it said HELLO */
/* How long a step takes, as measured in this generation, or else at best before; 0: not known. */
uint64_t shards_step_ms (const struct job *job);
double shards_steps_a_second (const struct coord *coord, const struct job *job);
void shards_answer (struct coord *coord, uint32_t peer, uint64_t request, const struct job *job);

/* --- scale.c ---------------------------------------------------------------------------------- */

void scale_answer (struct coord *coord, uint32_t peer, const struct mu_wire *wire);
/* Workers beyond what the job may use are to leave. */
void scale_mind (struct coord *coord, struct job *job);

/* --- trust.c ---------------------------------------------------------------------------------- */

/* It failed, and not by its job's fault. */
void trust_blame (struct coord *coord, struct worker *worker, const char *why);
void trust_forgive (const struct coord *coord, struct worker *worker);     /* one of its failures */
/* It was wrong: in quarantine at once. `worker` may be NULL: it is not here now. */
void trust_distrust (struct coord *coord, const char *name, struct worker *worker, const char *why);
bool trust_lacks (const struct coord *coord, const struct worker *worker); /* quarantined */
/* Quarantined, and its job has enough others? */
bool trust_spares (const struct coord *coord, const struct worker *worker);
/* May this job have it? A quarantined worker only while it lacks its minimum. */
bool trust_takes (const struct coord *coord, const struct job *job, const struct worker *worker);
void trust_mind (struct coord *coord); /* ends quarantines whose time is over */

/* --- pace.c ----------------------------------------------------------------------------------- */

/* For each BEAT of a member. */
void pace_hear (struct worker *worker, const struct mu_wire_beat *beat);
/* How many of so many micro-batches each member is to compute, so that they end together, though some
 * begin later than others (NULL: none does). */
void pace_shares (struct coord *coord, struct worker *const *members, uint32_t ranks,
                  uint32_t micro_batches, const uint64_t *late_us, uint32_t *shares);
/* For each BEAT of a running generation: after a window, end it as planned if other shares would be
 * much better. */
void pace_mind (struct coord *coord, struct job *job);
/* Its cost of a micro-batch against the median of its generation; 0 while unknown. */
double pace_factor (const struct worker *worker);

/* --- checkpoint.c ----------------------------------------------------------------------------- */

/* Apply's part: after a commit only the newest ones and the anchor are kept. */
void checkpoint_prune (struct job_durable *job);
/* The same: those behind that step are given up. */
void checkpoint_drop (struct job_durable *job, uint64_t back_step);
/* COMMITTED, of the newest. */
void checkpoint_say (struct coord *coord, const struct worker *worker, const struct job *job);
void checkpoint_saved (struct coord *coord, struct worker *worker, const struct mu_wire *wire);
void checkpoint_save_failed (struct coord *coord, struct worker *worker,
                             const struct mu_wire *wire);
void checkpoint_answer (struct coord *coord, uint32_t peer, uint64_t request,
                        const struct job *job);
/* Before workers leave or the job stops: must a state be saved first? Asks for it if so. */
bool checkpoint_wait (struct coord *coord, struct job *job);

/* --- doubt.c ---------------------------------------------------------------------------------- */

/* A member of its live generation says so. */
void doubt_hear (struct coord *coord, struct job *job, const struct worker *worker,
                 const struct mu_wire_down *down);
/* It cannot do this step, plus one, that others may: is that so for this worker alone, as far as is known? */
bool doubt_is_its_own (const struct job *job, const struct worker *worker, uint64_t at);
void doubt_refused (struct job *job, const struct worker *worker, uint64_t at);
/* Those that cannot do it have one and the same state: training has gone back then. False: it is the job's fault. */
bool doubt_goes_back (struct coord *coord, struct job *job, const struct worker *worker,
                      uint64_t at, const char *why);
/* The states of all members after this step are equal; before that is stored. */
void doubt_agreed (struct job *job, uint64_t step);

/* --- overdue.c -------------------------------------------------------------------------------- */

/* What a worker's BEAT says of the process that writes its checkpoints. */
void overdue_hear (struct coord *coord, struct worker *worker, const struct mu_wire_beat *beat);
void overdue_committed (struct coord *coord, struct job *job, uint64_t step);
void overdue_leaves (struct coord *coord, struct job *job, const struct worker *worker);

/* --- savers.c --------------------------------------------------------------------------------- */

/* Apply's part: a generation was formed after `before`, a worker was told to, a newer checkpoint is
 * committed, nobody's states are to be trusted or wanted any more. */
void savers_follow_form (struct job_durable *job, const struct generation *before);
void savers_follow_save (struct job_durable *job, const struct mu_journal_save *save);
void savers_follow_commit (struct job_durable *job, uint64_t step);
void savers_forget (struct job_durable *job);
/* Was it told to save a state after that step that stands between two tries at the next? */
bool savers_stand_between (const struct job_durable *job, const struct worker *worker,
                           const struct mu_wire_saved *saved);
/* Can this worker have written that? */
bool savers_have (const struct job_durable *job, const struct worker *worker,
                  const struct mu_wire_saved *saved);

/* --- proof.c ---------------------------------------------------------------------------------- */

/* For AGREED: all ranks' states were equal after that step. Apply's part. What they came to then, 0: not
 * known. */
void proof_fill (struct coord *coord, const struct job *job, const struct comparison *comparison,
                 struct mu_journal_agreed *agreed);
void proof_follow (struct job_durable *job, const struct mu_journal_agreed *agreed);
void proof_follow_form (struct job_durable *job); /* apply's part, too */
void proof_forget (struct job_durable *job);
uint64_t proof_sum (const struct job_durable *job, uint64_t step);
/* What a worker has loaded is not what was committed: it is taken for one that could not load it. */
void proof_loaded (struct coord *coord, struct worker *worker,
                   const struct mu_wire_prepared *prepared);
/* It has loaded that, and it is what was committed. */
bool proof_has_loaded (struct coord *coord, const struct worker *worker,
                       const struct commit *commit);
/* Others could load what some of these could not: those are let go. True: somebody was. */
bool proof_turn_away (struct coord *coord, struct worker **members, uint32_t count);
/* A rank has finished, and says what its weights come to. */
void proof_finished (struct coord *coord, struct worker *worker, const char *hash);
/* All states were found equal: what waited for that may be told of again. */
void proof_agreed (struct coord *coord, struct job *job);
/* It is not to be committed yet; the last one perhaps not at all. */
bool proof_withholds (struct coord *coord, struct job *job, struct worker *worker,
                      const struct mu_wire_saved *saved);

/* --- unsound.c -------------------------------------------------------------------------------- */

/* Apply's part. */
void unsound_follow (struct job_durable *job, const struct mu_journal_unsound *unsound);
/* If one of these found that the newest checkpoint is not what was committed, and none has loaded it, give it
 * up. `all_behind`: nor does any hold its state. True: it was given up. */
bool unsound_give_up (struct coord *coord, struct job *job, struct worker **members,
                      uint32_t count, bool all_behind);
/* Give the newest checkpoint up: what it is, in words, and what to do. `unread`: it may be what it should be.
 * `doubted`: unsound_upto (), of the one that takes its place. */
void unsound_drop (struct coord *coord, struct job *job, const char *doubted, const char *found_by,
                   bool unread, const char *what, const char *advice);
/* The newest of the checkpoints up to that step that are still on storage; none that `doubted` (NULL: nobody) wrote
 * if nobody else has said what is in it. NULL: the start. */
const struct commit *unsound_upto (const struct job *job, uint64_t step, const char *doubted);
/* What would take the newest one's place if that cannot be read. */
const struct commit *unsound_before (const struct job *job);
/* It has loaded a checkpoint that was given up since. */
bool unsound_was_loaded (const struct job *job, const struct mu_wire_prepared *prepared);
/* The word tells of a checkpoint that may be the one that was given up. */
bool unsound_is_told_again (const struct job_durable *job, const struct mu_wire_saved *saved);

/* --- missing.c -------------------------------------------------------------------------------- */

/* None of these holds the newest checkpoint's state, none could read it, and all have tried twice: it is waited
 * for, or given up. */
void missing_await (struct coord *coord, struct job *job, struct worker **members, uint32_t count);
/* It waits no more: it is paused, stopped, or has what it waited for. */
void missing_forget (struct job *job);
/* Somebody says that it is not to be waited for. */
void missing_forgo (struct coord *coord, uint32_t peer, uint64_t request, struct job *job);

/* --- seal.c ----------------------------------------------------------------------------------- */

/* Fill the record's seal, if it has one; and follow a record that was applied. */
void seal_put (const struct coord *coord, struct mu_journal *record);
void seal_follow (struct coord *coord, const struct mu_journal *record);

/* --- fault.c ---------------------------------------------------------------------------------- */

void fault_order (struct coord *coord, uint32_t peer, const struct mu_wire *wire);
void fault_done (struct coord *coord, uint32_t peer, const struct mu_wire *wire);

/* --- query.c ---------------------------------------------------------------------------------- */

void query_receive (struct coord *coord, const struct coord_event *event);
void query_refuse (struct coord *coord, uint32_t peer, uint64_t request, enum mu_code code,
                   const char *text);
void query_accept (struct coord *coord, uint32_t peer, uint64_t request, const char *text);
/* The job meant, or NULL after REFUSED. */
struct job *query_job (struct coord *coord, uint32_t peer, uint64_t request, const char *job);

#endif
