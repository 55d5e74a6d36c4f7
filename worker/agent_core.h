/* SPDX-License-Identifier: Apache-2.0 */
/* agent_core.h - the agent's state, shared by its files alone
 *
 *     agent.c              events in, beats, the drain
 *     agent_words.c        words that must be heard
 *     agent_coordinator.c  orders about the worker and its job
 *     agent_generation.c   one generation: forming, ending, what the collective tells
 *     agent_ahead.c        the collective that is connected for the generation that follows
 *     agent_trainer.c      what the trainer tells
 *     agent_watch.c        which child owes the next move, and since when it has not moved
 *     agent_fault.c        faults that people order
 *
 * The core is written as goals and settle (): an order changes what is wanted (this job let go,
 * that generation ended, the next one formed), and settle () (agent.c) does the next thing that what is
 * there allows. So it does not matter in which order children end and words arrive. */
#ifndef AGENT_CORE_H
#define AGENT_CORE_H

#include "agent.h"
#include "agent_timing.h"

#define AGENT_KEPT_MAX 256u

/* Words that are said again until they were heard. */
enum agent_word {
    WORD_PREPARED,
    WORD_VERDICT, /* FAILED or CRASHED */
    WORD_FENCE,
    WORD_AHEAD_FENCE,
    WORD_CONNECTED,
    WORD_READY,
    WORD_DOWN,
    WORD_ABORTED,
    WORD_TRAINED,
    WORD_SAVED,
    WORD_LEAVING, /* HELLO, asking to be drained */
    WORDS
};

struct agent_repeat {
    bool pending;
    uint32_t delay_ms;
    uint64_t next_ms;
};

struct agent_bytes { /* owned */
    void *data;
    uint32_t size;
};

struct agent_coordinator {
    uint64_t term; /* the highest heard */
    uint64_t order; /* the newest heard in it */
    bool welcome;  /* it knows this worker */
    bool needed;   /* and without it nothing more can be done: that was said */
    uint32_t number;
    uint32_t beat_ms, lost_ms;
    uint32_t hello_delay_ms, redial_delay_ms;
    uint64_t heard_ms, hello_ms, beat_next_ms, complain_ms, redial_ms;
};

enum trainer_state { TRAINER_NONE, TRAINER_OPENING, TRAINER_OPEN, TRAINER_KILLED };

struct agent_job {
    uint64_t number; /* 0: none */
    enum trainer_state trainer;
    bool region;    /* the trainer's shared memory is mapped */
    bool releasing; /* let go when both children are reaped */
    uint64_t release_order; /* which order said so */
    bool asked;     /* ASSIGN was said while the trainer was in a generation */
    bool anew;      /* begun again then: its trainer crashed, and ASSIGN was said again */
    struct agent_bytes spec, resume_path;
    char resume_hash[65];
    uint64_t resume_step, distrusted; /* distrusted: ASSIGN's, with the next line */
    bool clears, joins, replaces;

    /* From OPENED. */
    uint64_t records, parameters, targets, opened_step, unsound;
    uint32_t window, opened_attempt;
    char data_identity[128], digest[65], unread[256];

    /* How it ended by itself, if it did: FAILED with a code, or CRASHED with a status. */
    bool failed, crashed;
    uint32_t code, status;
    uint64_t failed_at; /* its step then, plus one; 0: it was not open yet */
    char verdict[AGENT_LOG_TEXT_MAX];
    uint64_t suspect_step; /* what it was at work on when it crashed */
    uint8_t suspects[AGENT_KEPT_MAX];
    uint32_t suspects_size;
    char suspect_records[1024];

    /* Where the trainer stands. */
    bool blank; /* it holds no state yet: what follows says nothing */
    uint64_t step, busy_us, evaluated_step;
    uint32_t attempt;
    uint32_t made_of;      /* behind.h; as of when it last left a generation */
    char weights_hash[65]; /* once all steps are done */
    char unevaluated[256]; /* why the newest evaluation failed; empty: it did not */
    double loss, loss_evaluated, accuracy;
    uint64_t targets_trained;
    enum mu_phase_state trainer_phase;
    uint8_t kept[AGENT_KEPT_MAX];
    uint32_t kept_size;

    uint64_t windows_said, windows_heard; /* TRAINED, TRAINED_OK */

    /* The newest checkpoint on storage. */
    struct mu_wire_saved saved;    /* the newest checkpoint, as it is told */
    struct agent_bytes saved_path; /* what its path points to */
    uint64_t committed_step; /* plus one; 0 is none */
    uint64_t prune_end_ms;   /* until then PRUNED is waited for; 0: it has come */
    bool writing;            /* one has been written for a while: */
    struct mu_wire_writing writes;
};

enum collective_state { COLLECTIVE_NONE, COLLECTIVE_ALIVE, COLLECTIVE_KILLED };
enum part_state { PART_OUT, PART_IN, PART_LEAVING }; /* the trainer's part in a generation */

/* FORM, kept until what was before it is cleared away. */
struct agent_order {
    uint64_t generation; /* 0: none */
    uint32_t rank, size, attempt, source_rank, made_of;
    bool transfer, connected;
    uint64_t step, until_step, steps, records, suspect_step;
    char world[64];
    struct agent_bytes first_map, map, suspects, skips;
};

#define AGENT_OPINIONS 8u

/* What a state or a gradient came to, for comparison with others'. */
struct agent_opinion {
    bool gradient; /* of that micro-batch; else the state after that step */
    uint32_t micro_batch, attempt;
    uint64_t step, digest;
};

struct agent_generation {
    uint64_t number; /* the newest heard of, formed or aborted; 0: none */
    uint64_t formed; /* the newest formed */
    uint64_t ended;  /* AGENT_END was asked for up to here */
    bool over;       /* no more of it: `number` is aborted, or broke here */
    bool aborting;   /* the coordinator wants ABORTED */
    struct agent_order now, next;
    enum collective_state collective;
    enum part_state part;
    bool ready, go;
    struct agent_opinions { /* the newest, of the newest formed */
        struct agent_opinion list[AGENT_OPINIONS];
        uint32_t count; /* ever, in that one */
    } states, gradients;
    uint32_t fence; /* the fence that waits */
    struct agent_bytes values;
    char down[256];
    bool died; /* ... as its process crashed, or was killed */
    bool differs; /* ... as the state here is not the source's */
    bool doubts;  /* ... as what came out of a step cannot be */
};

enum ahead_state { AHEAD_NONE, AHEAD_CONNECTING, AHEAD_CONNECTED };

/* The world of the generation that follows, and the collective that is connected to it. */
struct agent_ahead {
    enum ahead_state state; /* NONE with a world: its collective has ended, and it is not tried again */
    uint64_t generation;
    uint32_t rank, size;
    char world[64];
    uint32_t fence; /* the fence that waits */
    struct agent_bytes values;
};

struct agent_watch {
    enum mu_duty_state duty;
    struct agent_look last;
    uint64_t look_next_ms, looked_ms;
    uint64_t moved_ms,
        worked_ms;      /* when the child that owes was last seen to do anything; to work */
    uint64_t killed_ms; /* since when a killed child has not ended; 0: none */
    bool complained;
};

#define AGENT_FAULTS_KNOWN 16u

/* What is broken on purpose, and until when; 0: it is not. */
struct agent_fault {
    bool allowed;
    uint64_t stop_until_ms[MU_PROCESS_STATES];
    bool held[MU_PROCESS_STATES]; /* has been stopped here and not let go on */
    uint64_t slow_until_ms, slow_turn_ms;
    uint32_t slow_hold_ms;
    bool slow_holds;
    uint64_t line_until_ms;
    struct {
        uint64_t request; /* 0: none */
        uint32_t code;
        char text[256];
    } known[AGENT_FAULTS_KNOWN]; /* the newest orders: said again they are answered again */
    uint32_t known_next;
};

struct agent {
    char name[64], host[256], address[256], version[32], compute_class[128], isa[32];
    uint32_t threads, devices;
    uint64_t incarnation, random;
    bool spare;        /* one is wanted */
    uint64_t spare_ms; /* when the next is started; 0: none is missing */
    uint32_t drain_limit_ms;

    uint64_t now_ms;
    struct agent_coordinator coordinator;
    struct agent_job job;
    struct agent_generation generation;
    struct agent_ahead ahead;
    struct agent_repeat repeat[WORDS];
    struct agent_watch watch;
    uint64_t trainers; /* started so far */
    struct agent_fault fault;
    bool stopping, gone;
    uint64_t stop_ms; /* since when */
    enum mu_phase_state phase;
    uint64_t phase_since_ms;

    struct agent_actions *out; /* during agent_step () */
};

/* --- agent.c ---------------------------------------------------------------------------------- */

struct agent_action *agent_add (struct agent *agent, enum agent_action_type type);
/* A message to the coordinator, or to the trainer, to be filled in. Valid until the next one. */
struct mu_wire *agent_say (struct agent *agent, enum mu_wire_type type);
struct mu_wire *agent_tell (struct agent *agent, enum mu_wire_type type);
void agent_log (struct agent *agent, uint32_t level, const char *event, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));
enum { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERROR_ };

/* Say a word, and again until it was heard. */
void agent_repeat (struct agent *agent, enum agent_word word);
/* Said at once; and all that are remembered once more, to who may not have heard them. */
void agent_opine (struct agent *agent, const struct agent_opinion *opinion);
void agent_opine_again (struct agent *agent);
void agent_was_heard (struct agent *agent, enum agent_word word);
bool agent_repeats (const struct agent *agent, enum agent_word word);
void agent_repeat_due (struct agent *agent);

void agent_bytes_set (struct agent_bytes *bytes, const void *data, uint32_t size);
void agent_bytes_clear (struct agent_bytes *bytes);
struct mu_blob agent_blob (const struct agent_bytes *bytes);
struct mu_blob agent_text (const char *text);
void agent_copy (char *field, size_t size, const char *text);

void agent_hello (struct agent *agent);
void agent_lack_spare (struct agent *agent); /* it was taken */
void agent_line_leads_somewhere (struct agent *agent); /* a word came */

/* --- agent_coordinator.c ---------------------------------------------------------------------- */

void agent_hear (struct agent *agent, const struct mu_wire *wire);
void agent_forget_job (struct agent *agent);
/* What ASSIGN said is known and nothing of the job is left: start another trainer. */
void agent_begin_anew (struct agent *agent);

/* --- agent_generation.c ----------------------------------------------------------------------- */

void agent_on_form (struct agent *agent, const struct mu_wire_form *form);
void agent_on_fenced (struct agent *agent, const struct mu_wire_fenced *fenced);
void agent_on_go (struct agent *agent, const struct mu_wire_go *go);
void agent_on_lease (struct agent *agent, const struct mu_wire_lease *lease);
void agent_on_review (struct agent *agent, const struct mu_wire_review *review);
void agent_on_abort (struct agent *agent, const struct mu_wire_abort *abort_order);
void agent_on_collective (struct agent *agent, const struct agent_event *event);
/* The generation cannot go on here: end it and say DOWN. */
void agent_break (struct agent *agent, const char *why);
/* Nothing of any generation is left: no collective lives, the trainer takes part in none. */
bool agent_is_clear (const struct agent *agent);
void agent_settle_generation (struct agent *agent);
void agent_forget_generation (struct agent *agent);

/* --- agent_ahead.c ---------------------------------------------------------------------------- */

void agent_on_connect (struct agent *agent, const struct mu_wire_connect *connect);
void agent_ahead_fenced (struct agent *agent, const struct mu_wire_fenced *fenced);
void agent_ahead_collective (struct agent *agent, const struct agent_event *event);
/* FORM or ABORT came: what is connected for something else is not needed any more. */
void agent_ahead_settle (struct agent *agent, uint64_t generation, const char *world);
/* Is the collective connected that this order wants? Then it is not ahead any more. */
bool agent_ahead_take (struct agent *agent, const struct agent_order *order);
void agent_ahead_forget (struct agent *agent); /* its process is gone, or will be */

/* --- agent_watch.c ---------------------------------------------------------------------------- */

void agent_watch_mind (struct agent *agent);
void agent_watch_look (struct agent *agent, const struct agent_look *look);
/* The trainer said that it has come further. */
void agent_watch_word (struct agent *agent);
void agent_watch_beat (const struct agent *agent, struct mu_wire_beat *beat);
/* When the next look is due. */
uint64_t agent_watch_deadline (const struct agent *agent);

/* --- agent_fault.c ---------------------------------------------------------------------------- */

void agent_fault_order (struct agent *agent, const struct mu_wire *wire);
void agent_fault_mind (struct agent *agent); /* what is over ends */
uint64_t agent_fault_deadline (const struct agent *agent);

/* --- agent_trainer.c -------------------------------------------------------------------------- */

void agent_start_trainer (struct agent *agent);
void agent_trainer_said (struct agent *agent, const struct agent_event *event);
void agent_trainer_ended (struct agent *agent, const struct agent_event *event);

#endif
