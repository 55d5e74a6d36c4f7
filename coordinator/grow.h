/* SPDX-License-Identifier: Apache-2.0 */
/* grow.h - room for one more in a list; for the core and for the shell around it */
#ifndef GROW_H
#define GROW_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* `old` grown so that it holds more than `count` items. Out of memory is fatal: the successor
 * replays. */
static inline void *core_grow (void *old, uint32_t count, uint32_t *capacity, size_t item)
{
    if (count < *capacity)
        return old;
    *capacity = *capacity ? *capacity * 2 : 8;
    void *bigger = realloc (old, *capacity * item);
    assert (bigger);
    return bigger;
}

#endif
