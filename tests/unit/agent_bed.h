/* SPDX-License-Identifier: Apache-2.0 */
/* agent_bed.h - the agent's core, told as stories: this happens, that is done
 *
 * A story lets something happen, then expects the actions that follow, all of them, in order and in words;
 * LOG actions are left out. What was done and not expected fails the story with the next thing that
 * happens. The worker is w1, incarnation 7, in term 5; its job is 1. Times are milliseconds since the
 * agent's start. */
#ifndef MUSTER_TESTS_AGENT_BED_H
#define MUSTER_TESTS_AGENT_BED_H

#include "worker/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#define LINES_MAX 64
#define LINE_MAX_ 160

struct story {
    struct agent *agent; /* owned: finish () destroys it */
    uint64_t now_ms;
    struct agent_actions actions;
    char line[LINES_MAX][LINE_MAX_]; /* what the agent did, in words */
    unsigned lines, read;
    char needs[AGENT_LOG_TEXT_MAX]; /* what it last said it needs a coordinator for */
};

/* --- what was done ---------------------------------------------------------------------------- */

/* The next thing that was done is LINE; nothing more was done. */
void expect (struct story *story, const char *line);
void nothing (struct story *story);

/* --- what happens ----------------------------------------------------------------------------- */

void happen (struct story *story, struct agent_event event);
/* The coordinator of TERM says WIRE; hear (): of term 5. */
void hear_of (struct story *story, uint64_t term, struct mu_wire wire);
void hear (struct story *story, struct mu_wire wire);
/* The trainer says WIRE, over a region that it has. */
void said (struct story *story, struct mu_wire wire);
/* Something about the collective of GENERATION; TEXT is what it says and the values of a fence. */
void collective (struct story *story, enum agent_event_type type, uint64_t generation,
                 const char *text);
/* MS pass, and the timer rings. */
void wait_ms (struct story *story, uint64_t ms);

/* --- words ------------------------------------------------------------------------------------ */

/* An order about job 1 that needs no more than its generation. */
struct mu_wire order (enum mu_wire_type type, uint64_t generation);
/* FORM of three ranks: 200 steps, leased until 100. */
struct mu_wire form (uint64_t generation, uint32_t rank, uint64_t step, bool transfer);
struct mu_wire welcome (void);
/* The trainer's words. KEPT is one byte: a bit for each micro-batch whose sum it kept. */
struct mu_wire opened (uint64_t step);
struct mu_wire left (uint64_t generation, uint64_t step, const char *kept);
struct mu_wire progress (uint64_t generation, uint64_t step);

/* --- beginnings, and the end ------------------------------------------------------------------ */

/* The worker is on the roster. begin_as (): and keeps a spare collective ready, if SPARE. */
void begin_as (struct story *story, bool spare);
void begin (struct story *story);
/* It is given job 1, and its trainer opens it at STEP; prepared (): from the beginning. */
void open_job (struct story *story, uint64_t step);
void prepared (struct story *story, uint64_t step);
/* Generation 1 forms and goes, rank 1 of 3; running (): from the beginning. */
void run_first (struct story *story);
void running (struct story *story);
/* Nothing is left to expect; frees what STORY owns. */
void finish (struct story *story);

#endif
