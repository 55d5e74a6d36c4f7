/* SPDX-License-Identifier: Apache-2.0 */
/* store_bed.h - a coordinator's database in a folder of its own, which each test makes and removes */
#ifndef STORE_BED_H
#define STORE_BED_H

#include "coordinator/io_store.h"

/* cmocka's header wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern char dir[64];

int make_dir (void **state);
int remove_dir (void **state);

#define STORE_TEST(test) cmocka_unit_test_setup_teardown (test, make_dir, remove_dir)

struct store *must_open (void);
void commit (struct store *store, const struct mu_journal *record); /* alone */
struct mu_journal drain (const char *worker);

/* What a replay gives; it does not like the DRAIN of whom it is to refuse. */
struct seen {
    uint32_t count;
    char last[64];
    uint64_t windows;
    const char *refuse;
};

int see (void *seen, const struct mu_journal *record, struct mu_error *error);
struct seen replay (struct store *store, const char *refuse, uint64_t bad_expected);

/* By another program, which may run while the store is open. */
void change (const char *sql);
void text_of (const char *sql, char *text, size_t size); /* the first column of the first row */

#endif
