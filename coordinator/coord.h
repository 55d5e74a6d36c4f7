/* SPDX-License-Identifier: Apache-2.0 */
/* coord.h - the coordinator as a function: one event in, a list of actions out
 *
 * Nothing behind this header reads a clock, a socket, a file, a thread or a random source: time
 * arrives in the event, every effect leaves as an action. The daemon (io_*.c, main.c) and the
 * simulator (tests/sim) are two callers of the same object code; tests/unit checks with nm that it
 * can be nothing else.
 *
 * Contract for every caller:
 *  - carry out the actions of one call in order, and encode them before the next call: what they
 *    point to belongs to the core, or to the event, and lives only until then;
 *  - let no SEND leave before every STORE that came earlier, from whatever call, is durable;
 *  - after a crash: coord_create (), coord_apply () each stored record in order, coord_step () with
 *    COORD_START. The core then stores REIGN with the next term by itself.
 *
 * Out of memory is fatal here: the process ends, its successor replays.
 */
#ifndef COORD_H
#define COORD_H

#include "error.h"
#include "journal.h"
#include "states.h"
#include "wire.h"

struct coord;

struct coord_options {
    uint32_t beat_ms, lost_ms, form_limit_ms, lease_ahead_ms; /* 0: the default of timing.h */
    uint32_t save_try_ms, hang_ms, stall_ms;                  /* the same */
    uint32_t quarantine_failures; /* in a short time, of a worker; 0: none is quarantined */
    uint32_t workers_max;                                     /* on the roster; 0: 65535 */
    uint32_t jobs_max;   /* ended and remembered, however long ago that was; 0: all are */
    uint64_t history_ms; /* so long after its end no job is forgotten */
    bool faults; /* pass orders to break things on */
    const char *version;                                      /* valid as long as the core */
};

enum coord_event_type {
    COORD_START,   /* the journal is replayed; begin to reign */
    COORD_TIMER,   /* coord_deadline () has come, or any time earlier or later */
    COORD_RECEIVE, /* a message came; before the start, only one that coord_may_answer () */
    COORD_GONE,    /* a peer's connection ended; a hint, silence decides */
};

/* A peer is whoever sits behind one socket identity; its number is the caller's, stays with the
 * identity while the process lives, and means nothing after a restart. */
struct coord_event {
    enum coord_event_type type;
    uint64_t now_ms;  /* monotonic */
    uint64_t unix_ms; /* for people: goes into records; decides only what is remembered how long */
    /* START: what REIGN is to say, where there is a register (reign.h). Term 0: the next. */
    struct coord_reign {
        uint64_t term, leader;
        uint32_t ahead_ms, lacks_ms;
        bool lacks;
        uint32_t lost_jobs; /* their SUBMITs came after the newest that can be read */
    } reign;
    uint32_t peer;    /* RECEIVE, GONE */
    const struct mu_wire *wire; /* RECEIVE */
    /* RECEIVE of SUBMIT: what the job file says, read and checked by the caller; its job number and
     * time are filled in here. */
    const struct mu_journal_submit *submit;
};

enum coord_action_type { COORD_STORE, COORD_SEND };

struct coord_action {
    enum coord_action_type type;
    union {
        struct mu_journal store;
        struct {
            uint32_t peer;
            struct mu_wire wire;
        } send;
    };
};

/* The caller owns `list`; coord_step () grows it with realloc. */
struct coord_actions {
    struct coord_action *list;
    uint32_t count, capacity;
};

struct coord *coord_create (const struct coord_options *options);
void coord_destroy (struct coord **coord_p);

/* Fold one stored record into the state. 0, or -1 with what it contradicts: the state is then as if
 * the record were not there. */
int coord_apply (struct coord *coord, const struct mu_journal *record, struct mu_error *error);

/* What all records but SUBMIT and SIZED say of a job that ended before that time, as the one record
 * that can take their place; false: it has not. Borrowed until the core is destroyed. */
bool coord_fold (struct coord *coord, uint64_t job, uint64_t before_ms, struct mu_journal *record);

/* Does the record, not yet applied, carry a seal that does not fit its job's records so far? */
bool coord_seal_is_broken (const struct coord *coord, const struct mu_journal *record);

/* Decide what one event leads to; appends to `out`. */
void coord_step (struct coord *coord, const struct coord_event *event, struct coord_actions *out);

/* A question that changes nothing: a core that does not reign, but is fed the records of one that
 * does, may be asked it as well. */
bool coord_may_answer (const struct mu_wire *wire);

/* The monotonic time at which COORD_TIMER is next wanted. */
uint64_t coord_deadline (const struct coord *coord);

/* A worker silent for so long is lost, and so are we to a worker; longer where beats are stretched. */
uint32_t coord_lost_ms (const struct coord *coord);

/* Digest of the durable state alone: equal before a crash and after the replay. */
uint64_t coord_digest (const struct coord *coord);

/* --- the whole core as bytes ------------------------------------------------------------------- */

/* The caller owns `bytes`, which grow with realloc. */
struct coord_image {
    uint8_t *bytes;
    size_t size, capacity;
};

/* All there is between two steps, what a restart may forget included. */
void coord_save (const struct coord *coord, struct coord_image *image);

/* Into a core that was just created with the same options; it then decides as the other would. -1: it
 * can only be destroyed. */
int coord_load (struct coord *coord, const void *data, size_t size, struct mu_error *error);

/* A struct with bytes that no image holds, and where; NULL: there is none. For a test. */
const char *coord_image_uncovered (size_t *offset);

/* --- read-only views, for the shell, checkers and tests --------------------------------------- */

uint64_t coord_term (const struct coord *coord);
/* A worker has heard a higher term: another coordinator reigns. This one decides and says no more. Not where
 * there is a register (START names a leader): that alone says who reigns. Words of a later term are dropped
 * then, and coord_later_term () tells of the highest, so that the register can be asked. */
bool coord_deposed (const struct coord *coord);
uint64_t coord_later_term (const struct coord *coord);
uint32_t coord_job_count (const struct coord *coord); /* also those that were forgotten */
uint32_t coord_jobs_known (const struct coord *coord);
/* The next job above that number that was not forgotten; 0: there is none. */
uint64_t coord_job_next (const struct coord *coord, uint64_t after);
bool coord_job_is_forgotten (const struct coord *coord, uint64_t job); /* it was submitted */
/* Is nothing known of that job but its number, as its SUBMIT lacks? */
bool coord_job_is_lost (const struct coord *coord, uint64_t job);
uint32_t coord_worker_count (const struct coord *coord);

/* Its roster by index, the lost ones too; false: that one is not connected. */
uint32_t coord_roster_size (const struct coord *coord);
bool coord_worker_peer (const struct coord *coord, uint32_t index, uint32_t *peer);

/* 0 and *info (borrowed texts), or -1 if there is no such job. Numbers count from 1. */
int coord_job_info (const struct coord *coord, uint64_t job, struct mu_wire_job_info *info);

/* The job that a number or a name means (the newest of that name); 0 if there is none. */
uint64_t coord_job_find (const struct coord *coord, const char *number_or_name);

/* Why there is none, for people. */
void coord_job_missing (const struct coord *coord, const char *number_or_name, char *text,
                        size_t size);

/* Rank r of the job's newest generation: its worker's name, or NULL. */
const char *coord_member (const struct coord *coord, uint64_t job, uint32_t rank);

#endif
