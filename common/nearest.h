/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.h - which known word a mistyped one was probably meant to be */
#ifndef MU_NEAREST_H
#define MU_NEAREST_H

#include <stddef.h>

#define MU_NEAREST_WORD_MAX 64

/* How many letters must be inserted, left out, changed or swapped with their neighbour to make `a`
 * into `b` (optimal string alignment), upper and lower case alike, - and _ alike. Only the first
 * MU_NEAREST_WORD_MAX bytes of each word count. */
unsigned mu_nearest_distance (const char *a, const char *b);

/* The distance up to which `word` counts as a slip of the hand: a third of its length, 1 to 3. */
unsigned mu_nearest_limit (const char *word);

/* The nearest of a NULL-terminated list, or NULL when none is within mu_nearest_limit (). */
const char *mu_nearest (const char *word, const char *const *list);

#endif
