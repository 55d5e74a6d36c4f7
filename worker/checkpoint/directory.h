/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h - names, removal and checks of checkpoint directories (internal to checkpoint/)
 *
 *     step-00000200                   a checkpoint
 *     .step-00000200.tmp-PID-RANDOM   being written, under a flock; or its writer died
 *     .step-00000200.old-PID-RANDOM   being removed, by anybody; so are .broken and .wrong */
#ifndef MU_CHECKPOINT_DIRECTORY_H
#define MU_CHECKPOINT_DIRECTORY_H

#include "worker/checkpoint/checkpoint.h"

#define MU_DIRECTORY_NAME_MAX 96u
#define MU_DIRECTORY_PREFIX   "step-"

void mu_directory_step_name (char name[MU_DIRECTORY_NAME_MAX], uint64_t step);
/* A name nobody else has; `kind` is "tmp", "old", "broken" or "wrong". */
void mu_directory_other_name (char name[MU_DIRECTORY_NAME_MAX], uint64_t step, const char *kind);

/* Make a directory with its parents and open it. */
int mu_directory_make (const char *path, struct mu_error *error);

/* Remove a directory of plain files, as well as it goes. */
void mu_directory_remove (int parent, const char *name);

/* Rename a directory out of the way, then remove it: nobody sees it half removed, and that goes on if this
 * process is ended meanwhile. */
int mu_directory_move_away (int parent, const char *name, uint64_t step, const char *kind,
                            struct mu_error *error);

/* Read muster.json and compare every hash. */
int mu_directory_verify (int dir, struct mu_checkpoint_info *info, struct mu_error *error);

#endif
