/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec_parts.h - what the files of jobspec have between them; nobody else includes it */
#ifndef MU_JOBSPEC_PARTS_H
#define MU_JOBSPEC_PARTS_H

#include "jobspec.h"

/* Start anew, for a file shown under this name. */
void mu_jobspec_problems_begin (struct mu_jobspec_problems *problems, const char *file);

/* Add one. Where there is no room it is only counted. */
void mu_jobspec_problem (struct mu_jobspec_problems *problems, struct mu_jobspec_place place,
                         const char *format, ...) __attribute__ ((format (printf, 3, 4)));
void mu_jobspec_warning (struct mu_jobspec_problems *problems, struct mu_jobspec_place place,
                         const char *format, ...) __attribute__ ((format (printf, 3, 4)));

/* Stable: by line and column, problems without a place last. */
void mu_jobspec_problems_sort (struct mu_jobspec_problems *problems);

/* jobspec_read.c: read a whole file from memory, everything but mu_jobspec_check (). */
void mu_jobspec_read_text (const char *text, size_t size, const char *folder,
                           struct mu_jobspec *spec, struct mu_jobspec_problems *problems);

/* The same for the value of one key (an index of the table), or of one of the trainer's settings,
 * `setting`, which is NULL otherwise. Places count within `text`. */
void mu_jobspec_read_value (const char *text, unsigned key, const char *setting, const char *folder,
                            struct mu_jobspec *spec, struct mu_jobspec_problems *problems);

/* Say that there is no such key and what was probably meant. `section` is a name, or "". */
void mu_jobspec_unknown_key (struct mu_jobspec_problems *problems, struct mu_jobspec_place place,
                             const char *section, const char *key);

#define MU_JOBSPEC_NO_KEY MU_JOBSPEC_KEY_COUNT

/* The table's index of "section.key", or of `key` alone where section is ""; or MU_JOBSPEC_NO_KEY.
 */
unsigned mu_jobspec_find_key (const char *section, const char *key);

/* Does the key of that path, "batch.micro", stand in this section? In the file ("") do all. */
bool mu_jobspec_is_in (const char *path, const char *section);

/* jobspec_check.c: what only the whole can answer. */
void mu_jobspec_check_whole (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems);

#endif
