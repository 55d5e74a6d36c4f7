/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - a set of workers' names
 *
 * In the order in which they were put in. Zeroed memory is an empty set. Out of memory is fatal, as in all of the core. */
#ifndef NAMES_H
#define NAMES_H

#include "index.h"

#include <stdbool.h>

struct names {
    char (*list)[64];
    uint32_t count, capacity;
    struct index index;
};

bool names_has (const struct names *names, const char *name);
/* Put it in, or take it out; nothing if it is so already. */
void names_set (struct names *names, const char *name, bool in);
void names_clear (struct names *names);

#endif
