/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint_bed.h - a directory of checkpoints of state_bed's small state
 *
 * What tests of checkpoints stand on. Include it behind cmocka.h: what must not fail ends the test. */
#ifndef CHECKPOINT_BED_H
#define CHECKPOINT_BED_H

#include "state_bed.h"
#include "worker/checkpoint/checkpoint.h"

#define BED_FILES 4u

extern const struct mu_checkpoint_job bed_job;
extern const char *const bed_files[BED_FILES]; /* of a checkpoint; muster.json is the last */
extern char bed_top[64];                       /* a fresh directory for each test */

int bed_setup (void **unused);
int bed_teardown (void **unused);

/* A path below the test's directory; valid until the fourth call after. */
const char *bed_below (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* Write the state as it is after `step` steps. */
struct mu_checkpoint_saved bed_save (uint64_t step);

/* Poll until the writer has ended; 1 or -1. */
int bed_wait (struct mu_checkpoint_writer *writer, struct mu_checkpoint_saved *saved,
              struct mu_error *error);

/* Names in the test's directory that begin so. */
size_t bed_count_names (const char *prefix);

size_t bed_size_of (const char *path);
void bed_flip (const char *path, size_t byte, int bit);

#endif
