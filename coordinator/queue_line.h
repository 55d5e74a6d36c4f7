/* SPDX-License-Identifier: Apache-2.0 */
/* queue_line.h - the line of jobs at one moment, shared by queue.c and preempt.c alone
 *
 * Made by queue_place () and gone after it. Workers that are free, or on their way out of a job, are
 * claimed by the jobs in the order of the line: what one has claimed, no later one counts on. */
#ifndef COORD_QUEUE_LINE_H
#define COORD_QUEUE_LINE_H

#include "core.h"

#define CLASSES_MAX 64u

struct class
{
    const char *name;
    uint32_t total, free;
};

struct giver {
    struct job *job;
    uint32_t promised;  /* of what it has to spare: a waiting job counts on it */
    uint32_t available; /* to the job that asks */
};

/* What a job that lacks its minimum could get. */
struct wish {
    const char *class;                /* NULL: any */
    const struct worker *refused_one; /* of those that are free and refused for a while */
    uint32_t have, need, usable, possible, refused, odd, wrong;
    uint32_t coming, could; /* leave other jobs; could be made to */
    uint32_t unused;        /* no padding: it is compared whole */
};

/* All that a sentence about why a job waits tells apart, beside the roster. It is compared whole: no
 * padding. */
struct waiting {
    struct wish wish;
    const char *class;
    uint32_t min, left;
};

struct line {
    struct job **jobs; /* in order */
    uint32_t job_count;
    struct worker **free; /* NULL once taken; those in quarantine from `trusted` on */
    bool *kept;           /* by the same index: no other job may begin on it */
    uint32_t free_count, trusted, left;
    struct worker **coming; /* leave their job and will be free; NULL once claimed */
    uint32_t coming_count;
    struct worker **odd; /* have other data than a job: it never gets them */
    uint32_t odd_count;
    struct class classes[CLASSES_MAX];
    uint32_t class_count, here, leaving; /* leaving: besides those */
    struct giver *givers;                /* jobs that have workers, in order */
    uint32_t giver_count;
    uint32_t spare, promised; /* no more than so many could be taken from them; see preempt.c */
    bool stuck;               /* no job trains, or is about to */
    struct waiting waiting;   /* of the job that was last told ... */
    const char *why;          /* ... why it waits; NULL: none yet */
};

/* --- queue.c ---------------------------------------------------------------------------------- */

/* Workers that it has and keeps. */
uint32_t queue_have (const struct coord *coord, const struct job *job);
bool queue_lacks_minimum (const struct coord *coord, const struct job *job);
bool queue_goes_before (const struct job *a, const struct job *b);
bool queue_is_vain (const struct job *job);
bool queue_fits (const struct coord *coord, const struct job *job, const char *class,
                 const struct worker *worker);
void queue_look_again (struct coord *coord, uint64_t when_ms);

/* --- preempt.c -------------------------------------------------------------------------------- */

/* Fill `coming`, `givers`, `spare` and `stuck`. */
void preempt_look (struct coord *coord, struct line *line);
/* Claim up to `lack` of those that are coming. How many it were. */
uint32_t preempt_claim (const struct coord *coord, struct line *line, const struct job *job,
                        const char *class, uint32_t lack, bool grows);
/* Have `lack` workers freed for a job that waits for its minimum: all of them or none. How many
 * could be. */
uint32_t preempt_for_minimum (struct coord *coord, struct line *line, const struct job *taker,
                              const char *class, uint32_t lack);
/* Have up to `lack` workers freed for a job that could use them. */
void preempt_for_growth (struct coord *coord, struct line *line, const struct job *taker,
                         const char *class, uint32_t lack);
/* Each job's words about who has the workers that it could use. */
void preempt_explain (struct coord *coord, const struct line *line);

#endif
