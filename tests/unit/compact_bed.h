/* SPDX-License-Identifier: Apache-2.0 */
/* compact_bed.h - what is folded away in a test, and that the database is sound afterwards */
#ifndef COMPACT_BED_H
#define COMPACT_BED_H

#include "coordinator/io_compact.h"

/* Fold what lies in the store of this folder, and ended before then; one plan. */
struct compaction_counts compact_store (struct store *store, const char *dir, uint64_t before_ms);

/* The test fails with the first thing that is found. */
void check_store (const char *dir);

#endif
