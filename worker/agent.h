/* SPDX-License-Identifier: Apache-2.0 */
/* agent.h - a worker's agent as a function: one event in, a list of actions out
 *
 * The agent is the worker's only voice to the coordinator and the keeper of its two children: the
 * trainer, which lives as long as the job is here, and the collective process, which lives for one
 * generation. It decides nothing about the job; it carries out orders, says what became of them,
 * and says it again until it was heard.
 *
 * Nothing behind this header reads a clock, a socket, a file or a random source: time arrives in
 * the event, every effect leaves as an action. The daemon (main.c, io_*.c) and the simulator are
 * two callers of the same object code; tests check with nm that it can be nothing else.
 *
 * What it promises, whatever order, repetition or loss messages suffer:
 *  - A word from a lower term than the highest heard is not obeyed.
 *  - Orders are idempotent: each may come many times, and late.
 *  - At most one collective process reduces, and it is reaped before the next is formed. One more
 *    may be connected ahead; it touches nothing until it is formed.
 *  - ABORTED is said only when the collective is reaped and the trainer has LEFT; what it says
 * about step and kept micro-batches is then final.
 *  - RELEASED is said only when trainer and collective of that job are reaped.
 *  - Silence of the coordinator ends nothing: the job goes on as far as its leases reach.
 *
 * Contract for every caller:
 *  - carry out the actions of one call in order, before the next call: what they point to belongs
 * to the core, or to the event, and lives only until then;
 *  - SEND may be lost, TELL must not be (while the trainer lives) and keeps its order;
 *  - report the end of each child that was asked for once, after it was reaped, also of one that
 *    could not be started;
 *  - call with AGENT_TIMER when agent_deadline () has come (earlier or later is harmless).
 *
 * Out of memory is fatal here: the process ends, its children with it, and the coordinator finds
 * another worker. */
#ifndef AGENT_H
#define AGENT_H

#include "error.h"
#include "states.h"
#include "wire.h"

#include "common/behind.h"

struct agent;

/* Copied. */
struct agent_options {
    const char *name;          /* the worker's, 1 to 63 bytes */
    const char *host;          /* for people */
    const char *address;       /* of the coordinator, for people; may be NULL */
    const char *version;       /* Muster's */
    const char *compute_class; /* as in HELLO */
    const char *isa;
    uint32_t threads, devices;
    uint64_t incarnation;    /* larger at each start */
    uint64_t seed;           /* of the jitter */
    bool spare;              /* keep a collective process ready for the next generation */
    uint32_t drain_limit_ms; /* 0: AGENT_DRAIN_LIMIT_MS */
    bool faults;             /* break things when told to */
};

enum agent_event_type {
    AGENT_START, /* once, first */
    AGENT_TIMER, /* agent_deadline () has come */
    AGENT_HEARD, /* `wire` came from the coordinator */
    AGENT_STOP,  /* somebody wants this worker to end: drain; the second time: now */

    AGENT_TRAINER_SAID,  /* `wire` came from the trainer; with OPENED `region` tells whether its
                            shared region came along and is mapped, if not `text` says why */
    AGENT_TRAINER_ENDED, /* it is reaped: `status`, its last words in `text`, and what it was at
                            work on in `step`, `suspects`, `records` */

    /* Of the collective that was formed for `generation`: */
    AGENT_COLLECTIVE_FENCE,  /* it waits at fence `number` and brings `values` */
    AGENT_COLLECTIVE_CONNECTED, /* connected ahead: it waits for AGENT_FORM */
    AGENT_COLLECTIVE_READY,  /* connected, warmed up, state in place */
    AGENT_COLLECTIVE_FAILED, /* it said why it will end: `text` */
    AGENT_COLLECTIVE_ENDED,  /* it is reaped (or never started): `status`, `text` */

    AGENT_LOOKED, /* `look`: what AGENT_LOOK asked for */
};

/* What can be seen of the children from outside. A process that is not there has zeros. */
struct agent_look {
    uint64_t trainer_cpu_us, collective_cpu_us; /* processor time used so far */
    char trainer_state, collective_state;       /* a letter, as in /proc/PID/stat; 0: unknown */
    uint64_t work;                              /* units of work, as the trainer counts them */
    uint64_t moved;                             /* pieces of data, as the collective does */
    uint64_t entered;                           /* the newest generation the trainer took part in */
    bool answered;                              /* the sums that the trainer waits for are there */
};

struct agent_event {
    enum agent_event_type type;
    uint64_t now_ms; /* monotonic */
    const struct mu_wire *wire;
    uint64_t generation;
    uint32_t number;
    struct mu_blob values;
    int status;       /* as waitpid gives it */
    uint64_t step;    /* whose micro-batches were in flight, */
    struct mu_blob suspects; /* bit m for micro-batch m; empty: none, or nobody knows */
    const char *records;     /* what the one of them holds, in words; NULL or empty: not known */
    const char *text; /* in words; NULL or empty: none */
    bool region;
    bool differs; /* COLLECTIVE_FAILED: the state here is not the source's */
    bool by_itself; /* COLLECTIVE_ENDED: before it was killed, if it was to be */
    const struct agent_look *look;
};

enum agent_action_type {
    AGENT_SEND,            /* `send`: to the coordinator; term is filled in */
    AGENT_REDIAL,          /* give up the connections to the coordinators, and make new ones */
    AGENT_TELL,            /* `tell`: to the trainer */
    AGENT_START_TRAINER,   /* TRAINER_ENDED follows some day */
    AGENT_KILL_TRAINER,    /* SIGKILL */
    AGENT_FORM,            /* `form`: give this generation to a collective process, the spare if
                              there is one; COLLECTIVE_ENDED follows some day */
    AGENT_CONNECT,         /* `form`: connect a collective process to this world, the spare if there
                              is one; it is used when AGENT_FORM says `connected` */
    AGENT_DROP_AHEAD,      /* end that one, and wait for it */
    AGENT_KILL_COLLECTIVE, /* SIGKILL; not the spare */
    AGENT_FENCE_DONE,      /* `fence`: answer the collective's PMI fence */
    AGENT_GO,              /* `generation`: mu_region_go () */
    AGENT_END,             /* `generation`: mu_region_end () */
    AGENT_SPARE,           /* have a spare collective process ready */
    AGENT_DROP_REGION,     /* unmap the trainer's region; spare and the one connected ahead end too */
    AGENT_LOOK,            /* AGENT_LOOKED, please, soon */
    AGENT_BREAK,           /* `blow`: a fault that was ordered */
    AGENT_LOG,             /* `log` */
    AGENT_EXIT,            /* `code`: end the process; earlier SENDs may need a moment to leave */
};

/* How the coordinators are addressed while nobody has said WELCOME. */
struct agent_send {
    struct mu_wire wire;
    bool to_all; /* to every coordinator that is known; else to the one heard last */
};

struct agent_form {
    uint64_t job, generation, step;
    uint32_t attempt, rank, size, source_rank;
    bool transfer; /* the source's state is broadcast first */
    bool sums;     /* ... and before it, to who is one update behind, what that was made of */
    enum mu_receives receives;
    bool connected; /* by the process that AGENT_CONNECT was for */
    const char *world;
};

struct agent_fence {
    uint64_t generation;
    uint32_t number;
    struct mu_blob values;
};

enum agent_blow_kind {
    BLOW_KILL,    /* SIGKILL to `process`; to the agent when its answer had a moment to leave */
    BLOW_HOLD,    /* SIGSTOP; the agent itself goes on after `milliseconds`, unless they are 0 */
    BLOW_GO_ON,   /* SIGCONT */
    BLOW_CORRUPT, /* flip a bit in `what` */
    BLOW_LINE,    /* lose this share of words; 0 mends the line */
};

struct agent_blow {
    enum agent_blow_kind kind;
    enum mu_process_state process; /* that lives, as far as anybody knows */
    enum mu_corruption_state what;
    uint64_t milliseconds;
    uint32_t lose_in, lose_out; /* percent */
};

#define AGENT_LOG_TEXT_MAX 1200u

struct agent_log {
    uint32_t level; /* 0 debug, 1 info, 2 warning, 3 error: enum mu_log_level */
    const char *event;
    uint64_t job, generation; /* 0: none */
    int32_t rank;             /* -1: none */
    char text[AGENT_LOG_TEXT_MAX];
};

struct agent_action {
    enum agent_action_type type;
    union {
        struct agent_send send;
        struct mu_wire tell;
        struct agent_form form;
        struct agent_fence fence;
        struct agent_blow blow;
        struct agent_log log;
        uint64_t generation;
        enum mu_code code;
    };
};

/* The caller owns `list`; agent_step () grows it with realloc. */
struct agent_actions {
    struct agent_action *list;
    uint32_t count, capacity;
};

struct agent *agent_create (const struct agent_options *options);
void agent_destroy (struct agent **agent_p);

/* Decide what one event leads to; appends to `out`. */
void agent_step (struct agent *agent, const struct agent_event *event, struct agent_actions *out);

/* The monotonic time at which AGENT_TIMER is next wanted. */
uint64_t agent_deadline (const struct agent *agent);

/* --- read-only views, for the shell, checkers and tests --------------------------------------- */

uint64_t agent_term (const struct agent *agent);       /* the highest heard */
uint64_t agent_job (const struct agent *agent);        /* 0: none */
uint64_t agent_generation (const struct agent *agent); /* the newest it took part in; 0: none */
enum mu_phase_state agent_phase (const struct agent *agent);
bool agent_welcome (const struct agent *agent);

#endif
