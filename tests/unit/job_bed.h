/* SPDX-License-Identifier: Apache-2.0 */
/* job_bed.h - the coordinator's core, a job on three workers, and time that passes
 *
 * The workers are words: a test says what each would say, lets time pass with their beats, and looks
 * at the records and orders that come of it. The only job has number 1, its workers are w0 to w2, and
 * `forms` is the number of its newest generation. */
#ifndef JOB_BED_H
#define JOB_BED_H

#include "coordinator/coord.h"
#include "coordinator/timing.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#define WORKERS 3u
#define BEAT_MS 250u

struct bed {
    struct coord *coord;
    struct coord_actions actions;
    uint64_t now_ms;
    struct mu_wire_beat beat[WORKERS]; /* what each says next */
    bool quiet[WORKERS];               /* says nothing */
    char told[WORKERS][256];           /* orders, in words, since last looked at */
    char ahead[64];                    /* the world that CONNECT named */
    uint64_t review_step;              /* the step that REVIEW named */
    uint64_t order[WORKERS];           /* the number of the newest one */
    uint64_t until[WORKERS];           /* what the newest LEASE said */
    bool stops[WORKERS];
    unsigned hangs, broken, forms;
    uint64_t parameters; /* of the model; few, unless a test says another number before form () */
    uint64_t leased;     /* steps below this */
    uint64_t formed_step;        /* where the newest generation begins */
    char expelled[1024];         /* the newest EXPEL in words */
    struct mu_journal_hung hung; /* the newest */
    char names[256];             /* of all that hung */
    struct mu_journal_lost lost; /* the newest */
    unsigned losses;
    char reason[256], state[1024], turned_away[1024], overdue_text[1024];
    unsigned overdues, overdues_over; /* checkpoints: told of as overdue, as overdue no more */
    uint64_t end_writing;             /* the step that END_WRITER named */
    msgpack_sbuffer journal; /* all that was stored, and each record's size */
    size_t size[512];
    unsigned stored;
};

/* The job is submitted and its workers open it; they are prepared and generation 1 forms; it trains,
 * and all compute the step after `at`. Each begins with those before it. */
void opening (struct bed *bed, uint32_t workers_min);
void opening_audited (struct bed *bed); /* a minimum of one, and gradients are compared */
void form (struct bed *bed);
void forming (struct bed *bed); /* a job with a minimum of one */
void train (struct bed *bed, uint64_t at);
void running (struct bed *bed, uint64_t at);
void finish (struct bed *bed);

/* The coordinator dies and is started again; the workers hold what their beats say, and say HELLO, but for those that
 * are quiet. */
void restart (struct bed *bed);

/* Beats of all, and the ageing of what they say: still and stalled grow by themselves where the test
 * has begun them. */
void pass (struct bed *bed, uint64_t ms);
void step (struct bed *bed, struct coord_event event);
void drain (struct bed *bed, uint32_t worker, bool undo); /* somebody asks for it */
bool was_told (struct bed *bed, uint32_t worker, const char *order);
struct mu_wire_job_info job_info (const struct bed *bed); /* as clients are told */
uint64_t committed (const struct bed *bed);               /* the step of its newest checkpoint */

/* What a worker says, at once ... */
void hear (struct bed *bed, uint32_t worker, struct mu_wire wire);
void say_beat (struct bed *bed, uint32_t worker);
void hello (struct bed *bed, uint32_t worker);
void start_anew (struct bed *bed, uint32_t worker, uint64_t incarnation); /* its agent was */
void all_start_anew (struct bed *bed, uint64_t incarnation); /* nobody holds a state any more */
void say_saved (struct bed *bed, uint32_t worker, uint64_t generation, uint64_t at);
void prepared (struct bed *bed, uint32_t worker);
/* `said` needs the state that it holds; what else there is in it is put in. */
void prepared_with (struct bed *bed, uint32_t worker, struct mu_wire_prepared said);
void let_go (struct bed *bed, uint32_t worker);    /* as it was told; it holds nothing any more */
void all_let_go (struct bed *bed);                 /* that were told */
void connected (struct bed *bed, uint32_t worker); /* the world that comes next */
void released (struct bed *bed, uint32_t worker);  /* its answer to the newest order */
void aborted (struct bed *bed, uint32_t worker, uint64_t at); /* of the newest generation */
/* ... and in its beats from now on. */
void reach (struct bed *bed, uint32_t worker, uint64_t generation, uint64_t at,
            enum mu_phase_state phase, enum mu_duty_state duty);
void still (struct bed *bed, uint32_t worker, const char *process);
void reducing (struct bed *bed, uint32_t worker, uint64_t at);

#endif
