/* SPDX-License-Identifier: Apache-2.0 */
/* register_bed.h - what io_register.h promises, asked of all three registers in the same way
 *
 * Several processes swap at once, while whatever the register rests on is disturbed. What they saw is
 * gathered in shared memory and must be one history: a revision has one value and at most one
 * winner, follows the one before, and nobody reads an older one than was over when the call began. */
#ifndef MUSTER_TESTS_REGISTER_BED_H
#define MUSTER_TESTS_REGISTER_BED_H

#include "coordinator/io_register.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#define LIMIT_MS 20000
#define PEERS    3

/* The test's folder, the register that it uses, and where the voters of a majority listen. */
extern char dir[64], url[256], peer[PEERS][128];
extern const char *peers[PEERS];

int make_dir (void **state);
int remove_dir (void **state);
void write_file (const char *name, const char *text);

/* Kill a child and forget it. */
void end_process (pid_t *pid);

struct io_register *must_open (void);
/* What LEADER would swap in. */
struct reign make_next (const struct reign *present, uint64_t leader);

/* Where nobody else is: read, swap, a stale swap, the same again. */
void check_alone (void);

/* Four processes swap, and DISTURB is called again and again until they are done. */
void run_writers (void (*disturb) (void));
void disturb_nothing (void);

/* A read fails so, with WORD in its sentence; another URL is refused, and WHAT says why. */
void expect_read (enum mu_code code, const char *word, uint32_t limit_ms);
void expect_refusal (const char *wrong_url, const char *what);

#endif
