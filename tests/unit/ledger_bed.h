/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_bed.h - journals made by hand, record by record, and the ledger's judgement on them
 *
 * A job of 40 steps of 4 micro-batches of 2 records each, windows of 4 steps, 20 records. The journal
 * lies open, so that a test can spoil it. */
#ifndef MUSTER_TESTS_LEDGER_BED_H
#define MUSTER_TESTS_LEDGER_BED_H

#include "client/ledger.h"

#include "states.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MICRO_BATCHES 4u
#define STEPS         40u
#define RECORDS_MAX   64u

extern struct mu_journal journal[RECORDS_MAX];
extern uint32_t count;

/* --- telling a story -------------------------------------------------------------------------- */

/* A new journal: the job, and how large its data set is. */
void begin (void);

/* The source is the first member; MEMBERS are separated by blanks. One is "a", or "a<3@8" for: left
 * generation 3 with step 8, and with "+02" its sums hold micro-batches 0 and 2 of it. A capital is
 * another process of that name. FIRST and LATER are the ranks of the micro-batches, in digits. */
struct mu_journal_form *form (uint64_t generation, uint64_t step, const char *members,
                              const char *first, const char *later);
struct mu_blob map (const char *ranks);
void start (uint64_t generation);
void broken (uint64_t generation);
void lease (uint64_t generation, uint64_t until_step);
void trained (uint64_t generation, uint32_t rank, uint64_t windows);
void commit (uint64_t generation, uint64_t step);
void rewind_to (uint64_t step);
void expel (uint64_t generation, uint64_t back_step);
void unsound (uint64_t generation, uint64_t step, uint64_t back_step);
void leave_out (uint64_t step, uint32_t micro_batch);
void state (enum mu_job_state to);

/* Two workers until step 9, when the second dies with what it had of that step. */
void two_until_one_dies (void);
/* GENERATION does the rest, alone. */
void to_the_end (uint64_t generation);

/* --- judging it ------------------------------------------------------------------------------- */

struct ledger *judge (void);
/* No fault was found, and this many steps are trained. */
struct ledger *proven (uint64_t steps);
/* Refused, with a sentence that says all of these, and with no second sentence. */
void refused (const char *first, const char *second, const char *third);

#endif
