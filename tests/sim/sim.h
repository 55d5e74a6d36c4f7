/* SPDX-License-Identifier: Apache-2.0 */
/* sim.h - coordinator, agents and all that is around them, in one thread, from one seed
 *
 *     sim.c        options, the swarm of faults, the three phases, main
 *     clock.c      virtual time: one heap of happenings, ties broken by age; the only randomness
 *     network.c    messages as bytes: lost, late, twice, in another order, cut one way or both
 *     host.c       the coordinator's shell: its disk, its crashes
 *     worker.c     an agent's shell: its two children, its crashes
 *     trainer.c    a model of the trainer process: generations, steps, audits, orders
 *     saver.c      ... and of its checkpoints
 *     chain.c      states are hashes, steps are sums of hashes; the run that nothing disturbs
 *     world.c      a model of the MPI world: fences, reductions that tear
 *     client.c     people: submit, cancel, pause, drain, and again until answered
 *     hurry.c      people who want several things at once
 *     check.c      what must never happen
 *     priority.c   who gives workers to whom, and what nobody waits for
 *     ledgers.c    every job's ledger is proven from the journal, as `muster ledger verify` does
 *     lie.c        a word that is not so
 *     lies.c       a copy of the coordinator hears what is not so
 *     storage.c    checkpoints that are not what was written
 *     writers.c    whose word on a checkpoint may count
 *     recordings.c what the coordinator was fed is played, and must lead to the same
 *     quiet.c      what each change costs when nothing else happens; scenes.c chooses
 *     story.c      a few short scripted runs, whose traces are compared with golden ones
 *
 * The cores of coordinator and agent are the real ones, and so are the bytes of every message and
 * record. A run is a function of its seed and options alone: a failure prints how to have it again.
 *
 * Training is modelled so that every mistake shows: the gradient of a micro-batch is a hash of
 * (state, step, attempt, micro-batch), a step adds up those of all micro-batches, and the next
 * state is a hash of state and sum. A micro-batch that is missing, doubled, or computed from
 * another state makes another state, and each state is compared with that of a run that nothing
 * disturbed. Some jobs have a micro-batch that kills every trainer: in the undisturbed run it is left
 * out. Some have one of which nobody can make a number, or anything: they have to fail, and no others, though
 * one whose memory fell over may find the same of any. */
#ifndef SIM_H
#define SIM_H

#include "agent.h"
#include "coord.h"

#include <inttypes.h>
#include <stdio.h>

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            sim_fail (__FILE__, __LINE__, #condition, __VA_ARGS__);                                \
    } while (0)

#define COORDINATOR UINT32_MAX

#define SIM_SKIPS_MAX 4u

struct sim_options {
    uint64_t seed;
    uint32_t workers, jobs, minutes;
    bool calm, verbose, lies, wrong;
    const char *story, *quiet, *record; /* record: a file to leave behind */
};

/* Chances are per billion. */
struct faults {
    uint32_t
        echo; /* an order, or the answer to one, comes once more when much has happened since */
    uint32_t loss, duplicate, host_crash, worker_crash, trainer_crash, collective_crash, save_fails;
    uint32_t cut, freeze, reconnect, swallow; /* per worker and second */
    uint32_t slow;                          /* workers that compute five times as long as others */
    uint32_t trainer_stop, collective_stop; /* the same */
    uint32_t trainer_stuck, long_batch;     /* per step */
    uint32_t undying;                       /* a killed process takes its time */
    uint32_t disk_stands;                   /* the coordinator's, per second */
    bool writers_hang;                      /* ... of checkpoints */
    bool
        glitches; /* what a trainer makes of a micro-batch is no number, and is one the next time */
    uint32_t latency_max_ms, disk_max_ms;
    uint32_t quick_ms; /* at most, of what is around the cores (quiet.c); 0: as it comes */
    uint32_t lease_ahead_ms;      /* 0: the default */
    uint32_t quarantine_failures; /* 0: nobody is quarantined */
    uint32_t jobs_max, history_ms; /* of those that have ended: 0: all are remembered */
    bool in_order;
    bool hurry;  /* people want several things at once */
    bool gentle; /* words get lost and nothing worse: no wait may run into its limit */
    enum wrong {
        WRONG_NOBODY,
        WRONG_GRADIENT,
        WRONG_STATE,
        WRONG_SNAPSHOT, /* what it writes, and says of that */
        WRONG_STEP      /* how far it has come, as it leaves a generation */
    } wrong;            /* one worker computes wrongly */
    uint32_t wrong_worker;
    uint64_t wrong_since_ms;
    uint32_t audit_every; /* 0: in each step */
    bool
        seen; /* nothing worse happens than that workers go from job to job and are drained, and every
                * job has three of them: it must be found out */
    /* ... and one of these: jobs are paused while a generation breaks or forms; the coordinator dies just then;
     * steps take longer than a moment */
    bool pauses, restarts, slow_steps;
    bool parted, refusing; /* two workers cannot reach each other, for good; who tries is told */
    uint32_t part[2];
};

struct statistics {
    uint64_t happenings, messages, steps, generations, rewinds, replays;
    uint64_t host_crashes, worker_crashes, trainer_crashes, collective_crashes, save_failures;
    uint64_t differing, writers_hung, writers_ended, overdue;
    uint64_t doubts, refusals, halves, missteps;
    uint64_t kept, mismatches, cuts, swallowed, stops, hangs, proofs, joint_steps;
    uint64_t caught_up, expelled, elsewhere, disputes, wrong_steps, connected_ahead, shrunk,
        most_shrunk, watched;
    uint64_t played, images, lies, disbelieved, blanks, unsound, unread, away, removed;
    uint64_t disks;
    uint32_t done, failed, cancelled, forgotten, poisons, skips;
};

extern struct sim_options options;
extern struct faults faults;
extern struct statistics statistics;

void sim_fail (const char *file, int line, const char *condition, const char *format, ...)
    __attribute__ ((format (printf, 4, 5), noreturn));
void sim_trace (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
bool sim_traces (void);
void sim_reset (uint64_t seed);

/* --- clock.c ---------------------------------------------------------------------------------- */

typedef void happening (uint32_t who, uint64_t tag, void *data);

void clock_reset (uint64_t seed);
uint64_t clock_now (void);
/* `data`, if any, is freed after it happened. */
void clock_after (uint64_t delay_ms, happening *what, uint32_t who, uint64_t tag, void *data);
void clock_run_until (uint64_t end_ms);
uint64_t draw (uint64_t low, uint64_t high); /* both may come */
bool chance (uint32_t per_billion);
/* How long something takes that is around the cores. */
uint64_t takes (uint64_t low, uint64_t high);
uint64_t mix (uint64_t a, uint64_t b);

/* --- network.c -------------------------------------------------------------------------------- */

void network_reset (void);
void network_to_host (uint32_t worker, uint64_t peer, const struct mu_wire *wire);
void network_to_worker (uint32_t worker, uint64_t life, const struct mu_wire *wire);
void network_to_client (uint32_t client, const struct mu_wire *wire);
void network_from_client (uint32_t client, const struct mu_wire *wire);
/* A worker's next word would be there after so long, behind all others. */
uint64_t network_empties_ms (uint32_t worker);
void network_cut (uint32_t worker);      /* its line to the coordinator, for a while */
void network_swallow (uint32_t worker);  /* what its present connection carries, for ever */
void network_redialled (uint32_t worker);
void network_host_died (void);
void network_host_started (void);
bool network_lines_up (uint32_t worker); /* between workers */
void network_heal (void);
/* A word as bytes, as they lie in a pipe; free () it. Reading is valid until the next read. */
struct packet *packet_of (const struct mu_wire *wire);
struct packet *packet_copy (const struct packet *packet);
void packet_read (const struct packet *packet, struct mu_wire *wire);

/* --- host.c ----------------------------------------------------------------------------------- */

void host_reset (void);
void host_start (void);
void host_crash (uint64_t back_after_ms);
void host_disk_stands (uint64_t for_ms);
bool host_disk_is_still (void);
bool host_is_up (void);
const struct coord *host_coord (void);
void host_hear (uint64_t peer, const struct mu_wire *wire);
void host_gone (uint64_t peer);
void host_check_replay (void);
void host_check_recording (void);
uint64_t host_records (void);
void host_record (uint64_t at, struct mu_journal *record); /* borrowed until the next */
/* Peers are counted up by whoever connects; what the core sees is another number in each life. */
uint64_t host_new_peer (uint32_t worker, uint64_t life);

/* --- worker.c --------------------------------------------------------------------------------- */

#define FOR_EVER UINT64_MAX

/* A process that is held up: stopped, or waiting for storage, or asleep in user code. */
struct hold {
    uint64_t until_ms; /* 0: it is not */
    char letter;       /* as the system describes it */
};

struct trainer {
    struct hold hold;
    uint32_t words;        /* that wait in its pipe */
    uint64_t cpu_us, work; /* as seen from outside */
    uint64_t answered;     /* the turn whose result is there */
    bool alive, open;
    uint64_t life; /* happenings of another life are void */
    uint64_t job;
    uint64_t step, state, kept, sums; /* kept: bit m is in sums */
    uint64_t unsound;                 /* it was to load the checkpoint of this step, and could not */
    bool unread;                      /* ... or it was not there */
    bool blank;                       /* it waits for another's state and holds none */
    bool receiving;                   /* ... or it comes just now, over what it held */
    uint32_t attempt, window;
    uint32_t
        made_of; /* the sums that its last update was made of are there: 1 + which try; 0: not */
    uint64_t given, proven; /* ... those, and what they were when they were proven */
    uint64_t made_in[64]; /* by micro-batch in sums: the generation in which it was computed */
    uint64_t unheard; /* bit m: it came into some generation without the coordinator's knowing */

    bool in, going;
    uint64_t turn; /* happenings of another turn are void */
    uint64_t generation, first_step, own_first, own_later, until_step, steps;
    uint32_t rank, size;
    uint32_t owners[64]; /* in later steps, by micro-batch */
    bool writer, corrupted;
    bool wrote;            /* a checkpoint, in this life */
    bool not_finite;       /* its memory fell over so that all it computes is no number, or fails */
    uint64_t bad;          /* bit m: what it made of that, which is in sums, is no number */
    uint64_t compare_step; /* all are compared in it */
    bool stops;            /* it was told to go no further, as it is to leave */
    uint64_t compute_start_ms, compute_ms, todo, total;
    uint64_t flight; /* micro-batches at work now */
    uint64_t suspect_step, suspects;
    uint8_t skips[12 * SIM_SKIPS_MAX]; /* as on the wire */
    uint32_t skips_size;
    int status; /* how it ended */
    bool computing;
    uint64_t saved_step, busy_us;
    uint64_t stuck, stuck_step, stuck_generation, stuck_ms; /* its writer hangs; 0: it does not */
    char stuck_letter;
    uint64_t
        owed; /* a state is to be saved when it does not any more: of this generation; 0: none is */
    enum mu_phase_state phase;
};

struct collective {
    struct hold hold;
    uint64_t cpu_us, moved;
    bool alive, dying; /* killed, not yet reaped */
    bool fell;         /* ... by itself, as its world did */
    bool killed;       /* ... by its agent */
    bool at_fence;     /* asleep until it is answered */
    uint64_t life, generation;
    uint32_t rank, fence;
    enum mu_receives receives;
    uint64_t step;
    uint32_t attempt;
    struct world *world;
};

struct sim_worker {
    struct agent *agent;
    bool never_returns, slow;
    uint64_t incarnation, life, peer, timer_ms, frozen_until_ms;
    uint64_t held_ms; /* when a child was last held up */
    uint64_t writer_hung_ms; /* since when the newest of its writers that hung did; 0: none has */
    uint64_t writer_hung_before_ms; /* the same, the one before */
    uint64_t looked_ms;
    bool prepared;   /* PREPARED was said since the last generation */
    bool told_sums;  /* ABORTED told what its sums hold, and nothing else came after it */
    bool knew_sums;  /* the same when ENTER was told, which may be read much later */
    uint64_t formed; /* the newest generation since its trainer started */
    struct trainer trainer;
    struct collective collective;
    struct collective ahead; /* connected for the generation that follows */
};

void workers_reset (void);
void workers_end (void);
struct sim_worker *worker_at (uint32_t number);
const char *worker_name (uint32_t number);
uint32_t worker_class (uint32_t number);
void worker_start (uint32_t number);
void worker_crash (uint32_t number, bool returns);
void worker_stop (uint32_t number); /* SIGTERM */
void worker_hear (uint32_t number, uint64_t life, const struct mu_wire *wire);
void worker_event (uint32_t number, const struct agent_event *event);
void worker_freeze (uint32_t number, uint64_t ms);
void worker_reconnect (uint32_t number);
bool hold_lasts (const struct hold *hold);
/* What happens to a process that is held up happens when it goes on. True: it is put off (or, when
 * the process never goes on, dropped). `data` of `size` is copied. */
bool hold_back (const struct hold *hold, happening *what, uint32_t who, uint64_t tag,
                const void *data, size_t size);
void worker_hold (uint32_t number, struct hold *hold, uint64_t ms, char letter);

/* --- trainer.c -------------------------------------------------------------------------------- */

struct reduced {
    uint64_t total, bad; /* bit m: micro-batch m is no number */
};

void trainer_start (uint32_t number);
void trainer_kill (uint32_t number);
void trainer_end (uint32_t number); /* with its worker, unseen */
void trainer_hear (uint32_t number, const struct mu_wire *wire);
void trainer_go (uint32_t number, uint64_t generation);
/* False: another try at the same step. */
bool trainer_update (struct trainer *trainer, uint64_t total);
void trainer_reduced (uint32_t number, uint64_t turn, const struct reduced *reduced);
void trainer_progress (uint32_t number);
happening trainer_decay; /* the wrong one's memory, now and then */
void trainers_reset (void);
void trainer_drop_sums (struct trainer *trainer);
void trainer_say (uint32_t number, struct mu_wire *wire); /* to its agent */
bool trainer_is_wrong (uint32_t number, enum wrong kind); /* it is the one, by now */
bool trainer_is_alone (uint32_t number);                  /* no other of its job holds a state */

/* --- saver.c ---------------------------------------------------------------------------------- */

void saver_save (uint32_t number, uint64_t generation); /* what it holds */
void saver_prune (uint32_t number, const struct mu_wire_prune *prune);
void saver_end (uint32_t number, uint64_t step);        /* its writer does not move: END_WRITING */

/* --- chain.c ---------------------------------------------------------------------------------- */

void chain_reset (void);
/* What a run that nothing disturbs holds after so many steps, and how often a step is refused. */
uint64_t chain_state (uint64_t job, uint64_t step);
uint32_t chain_refusals (uint64_t job, uint64_t step);
/* The job's micro-batches of this step that kill every trainer. */
uint64_t chain_poison (uint64_t job, uint64_t step);
uint64_t chain_gradient (uint64_t state, uint64_t step, uint32_t attempt, uint32_t micro_batch);
uint64_t chain_sum (uint64_t state, uint64_t step, uint32_t attempt, uint64_t micro_batches);

/* --- world.c ---------------------------------------------------------------------------------- */

void worlds_reset (void);
void collective_start (uint32_t number, const struct agent_form *form);
void collective_connect (uint32_t number, const struct agent_form *form);
void collective_drop_ahead (uint32_t number);
void collective_kill (uint32_t number);
void collective_end (uint32_t number); /* with its worker, unseen */
void collective_fenced (uint32_t number, const struct agent_fence *fence);
void world_reduce (uint32_t number);
void worlds_cut_silently (void); /* lines between workers break, and nobody is told */
/* Does another rank hold some of these sums too? Only then may they be dropped. */
bool world_has_twice (uint32_t number, uint64_t kept);
void world_check_ready (uint64_t job, uint64_t generation); /* all its ranks are */

/* --- client.c --------------------------------------------------------------------------------- */

struct sim_job { /* as submitted */
    char key[32];
    uint32_t micro_batches, global_batch, window_steps, workers_min, workers_max, save_every;
    uint64_t steps, records;
    double epochs;
    int64_t priority;
    bool portable, mixed, small_data, odd_data, crashes;
    uint32_t poisons,
        poison_limit; /* micro-batches that kill every trainer; how many may be skipped */
    uint64_t poison_step[2];
    uint32_t poison_micro_batch[2];
    enum {
        BAD_NONE,
        BAD_NUMBER,
        BAD_INPUT
    } bad; /* nobody can compute this one: the job has to fail */
    uint64_t bad_step;
    uint32_t bad_micro_batch;
    uint64_t number; /* once SUBMITTED */
};

void client_reset (void);
void client_submit (const struct sim_job *job);
void client_hear (uint32_t client, const struct mu_wire *wire);
void client_random (uint64_t until_ms);
void client_control (uint64_t job, uint32_t verb);
void client_drain (uint32_t worker, bool undo);
void client_scale (uint64_t job, uint32_t workers);
void client_give_up (void);
void client_settle (void);                            /* resume and undrain everything */
void client_known (const char *key, uint64_t number); /* from the journal */
uint32_t client_job_count (void);
const struct sim_job *client_job (uint64_t number); /* NULL: not known */
const struct sim_job *client_job_at (uint32_t at);
void client_fill_submit (uint32_t at, struct mu_journal_submit *submit);

/* --- hurry.c ---------------------------------------------------------------------------------- */

void hurry_begin (uint64_t until_ms);
bool hurry_dies (
    const struct mu_journal *record); /* the coordinator, as soon as it has written this */

/* --- check.c ---------------------------------------------------------------------------------- */

void check_reset (void);
/* A record is durable; a word leaves; the coordinator has come back. */
void check_record (const struct mu_journal *record);
void check_word (const struct mu_wire *wire);
void check_restart (const struct coord *coord);
void check_lease (uint64_t job, uint64_t generation, uint64_t step);
void check_state (uint64_t job, uint64_t step, uint64_t state, uint32_t worker);
/* A checkpoint that a trainer is told to load. */
uint64_t check_checkpoint (uint64_t job, uint64_t step, const char *hash);
/* A step has what this worker gave to it. */
void check_wronged (uint64_t job, uint32_t worker);
void check_end (void);
uint64_t check_hangs (uint64_t job);
uint64_t
check_lines (uint64_t job);      /* generations that broke because nothing moved, nobody to blame */
uint64_t check_progress (void);  /* grows with each checkpoint that is newer than all before */
uint64_t check_unplanned (void); /* how many generations broke unplanned */
uint64_t check_generation (uint64_t job);
bool check_is_forgotten (uint64_t job);
bool check_is_running (uint64_t job);
/* May training have to go back to it? */
bool check_needs (uint64_t job, uint64_t step);
void check_stays (uint64_t job, const struct mu_wire_prune *prune);

/* --- priority.c ------------------------------------------------------------------------------- */

void priority_reset (void);
void priority_form (uint64_t job); /* FORM is decided */
/* A generation breaks, and this is about to be stored: nobody is brought below its minimum for others. */
void priority_break (const struct coord *coord, const struct mu_journal_broken *broken);
/* From now on, each second: what lower priorities have beyond their minimum goes to whom it would help. */
void priority_watch (void);

/* --- ledgers.c -------------------------------------------------------------------------------- */

void ledgers_reset (void);
/* A reduction of a generation's first step is done, with what this worker put in. */
void ledgers_note (uint64_t job, uint64_t generation, uint32_t number);
/* Nothing in the first `count` records contradicts that every micro-batch was trained once, and who
 * trained what is what was seen. */
void ledgers_check (uint64_t count);

/* --- folds.c ---------------------------------------------------------------------------------- */

/* Folding the jobs that have ended changes nothing about what the first `count` records come to. */
void folds_check (uint64_t count);

/* --- recordings.c ----------------------------------------------------------------------------- */

void recordings_reset (void);
void recordings_begin (const struct coord_options *settings); /* a core is created */
void recordings_apply (const struct mu_journal *record);
void recordings_event (const struct coord *coord, const struct coord_event *event,
                       const struct coord_actions *actions);
/* Play this reign so far: what is played leads to `coord`. */
void recordings_check (const struct coord *coord);

/* --- lies.c ----------------------------------------------------------------------------------- */

void lies_reset (void);
/* The coordinator heard this, and has decided. */
void lies_event (const struct coord *coord, const struct coord_options *settings,
                 const struct coord_event *event);

/* --- storage.c -------------------------------------------------------------------------------- */

void storage_reset (void);
void storage_wrote (uint64_t job, uint64_t step, uint64_t generation);
bool storage_has (uint64_t job, uint64_t step);
void storage_prune (uint64_t job, const struct mu_wire_prune *prune);
bool storage_lost_bits (uint64_t job, uint64_t step); /* at any time */
bool storage_is_away (uint64_t job, uint64_t step);   /* somebody looks for it */
bool storage_was_away (uint64_t job, uint64_t step);  /* when somebody did, ever */
bool storage_is_sound (uint64_t job, uint64_t step);  /* now */

/* --- writers.c -------------------------------------------------------------------------------- */

void writers_reset (void);
void writers_note (const struct mu_journal *record); /* it is decided, here or in a copy */
uint32_t writers_mark (void);
void writers_back (uint32_t mark); /* forget what was noted since */

/* --- quiet.c ---------------------------------------------------------------------------------- */

#define QUIET_BATCH_MS 4u   /* a micro-batch */
#define QUIET_WRITE_MS 100u /* a checkpoint */

int quiet_run (const char *name, uint64_t seeds);
void quiet_finished (uint64_t job, uint64_t generation, uint64_t step);
void quiet_computed (uint64_t job, uint64_t step, uint64_t micro_batches);

/* --- story.c ---------------------------------------------------------------------------------- */

int story_run (const char *name);
/* The word or record as one line for people, or nothing for the chatter of beats. */
void story_word (const char *from, const char *to, const struct mu_wire *wire);
void story_record (const struct mu_journal *record);

#endif
