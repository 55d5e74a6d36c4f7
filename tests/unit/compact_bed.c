/* SPDX-License-Identifier: Apache-2.0 */
/* compact_bed.c - see compact_bed.h */
#include "compact_bed.h"

#include "coordinator/io_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct compaction_counts compact_store (struct store *store, const char *dir, uint64_t before_ms)
{
    struct compaction *plan = NULL;
    struct mu_error error = { .text = "" };
    if (compaction_plan (dir, before_ms, NULL, &plan, &error) ||
        compaction_apply (plan, store, &error))
        fail_msg ("%s", error.text);
    struct compaction_counts counts = *compaction_counts (plan);
    compaction_destroy (&plan);
    return counts;
}

void check_store (const char *dir)
{
    char path[128];
    struct check check;
    struct mu_error error = { .text = "" };
    snprintf (path, sizeof path, "%s/muster.db", dir);
    if (check_database (path, &check, &error))
        fail_msg ("%s", error.text);
    if (check.findings)
        fail_msg ("%s", check.finding[0]);
    check_clear (&check);
}
