/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h - finds a trainer by the name a job file gives: a built-in, or a plug-in's path
 *
 * A name with a slash in it is the path of a shared object, loaded with dlopen; any other is looked
 * up in the table of built-ins. What comes back is always a whole struct muster_trainer: for a
 * plug-in it is a copy, in which functions that the plug-in's version of the struct does not reach
 * are NULL, so that callers never have to look at `size`.
 *
 * Loading a plug-in runs its code with the rights of this process. Who may name one is the business
 * of whoever accepts jobs.
 *
 * Other kinds of plug-in follow the same shape: one exported table that begins with `size`, `abi`
 * and `name`; found as dlopen, symbol, abi, size, required functions, then copied. A device backend
 * (for one, CUDA: a module beside the program, so that one build runs with and without a GPU) would
 * add a table type with a symbol name, an abi number, a least size and a list of required functions
 * of its own; loader.c keeps those five facts in one struct for that reason. */
#ifndef MU_TRAINER_LOADER_H
#define MU_TRAINER_LOADER_H

#include "common/error.h"
#include "worker/trainer.h"

/* Return 0 with *trainer and *handle (NULL for a built-in), or -1 with
 *   CONFIG      no built-in has this name, or it is empty
 *   NO_INPUT    the plug-in's file is not there or cannot be read
 *   BAD_INPUT   the file is no trainer plug-in that this Muster can run; the sentence says why.
 * *trainer is valid until mu_trainer_release. Both are NULL after a failure. */
int mu_trainer_find (const char *name_or_path, const struct muster_trainer **trainer, void **handle,
                     struct mu_error *error);

/* Unload; close () every model of the trainer first. *handle becomes NULL; it may be NULL already.
 */
void mu_trainer_release (void **handle);

/* Which build of a plug-in a file is: `MACHINE-HASH`, the machine that it is for (as ELF numbers them) and a hash
 * of all of it. Builds for two machines are never the same file, and may compute the same. Empty for a built-in. What was
 * loaded is what mu_trainer_find found: a file that is replaced between the two is taken for that. */
#define MU_TRAINER_BUILD_SIZE 24
int mu_trainer_build (const char *name_or_path, char build[MU_TRAINER_BUILD_SIZE],
                      struct mu_error *error);

/* What a trainer that said no has written, made fit to be shown and sent: ended, of UTF-8, never empty. It is
 * code of others, and a slip in its sentence must not hide what it had to say. Changes and returns `problem`. */
const char *mu_trainer_words (struct muster_problem *problem);

/* The built-ins, in the order for `--help`; NULL after the last. */
const struct muster_trainer *mu_trainer_builtin (size_t i);

#endif
