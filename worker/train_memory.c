/* SPDX-License-Identifier: Apache-2.0 */
/* train_memory.c - large memory that the process which writes a checkpoint does not inherit
 *
 * A fork makes parent and child share every private page, and whoever writes to one first copies
 * it. What a step writes to all the time, gradients and workspaces, would so be copied once after
 * each checkpoint, while training waits for each page. The child needs none of it. */
#include "train.h"

#include <string.h>
#include <sys/mman.h>

struct head {
    size_t bytes; /* of the mapping */
};

void *train_memory_take (size_t bytes)
{
    const size_t whole = MU_STATE_ALIGNMENT + bytes;
    char *base = mmap (NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    madvise (base, whole, MADV_DONTFORK);
    madvise (base, whole, MADV_HUGEPAGE); /* where there are any: a start touches all of it */
    memset (base, 0, whole); /* memory that is short is known now */
    ((struct head *)(void *)base)->bytes = whole;
    return base + MU_STATE_ALIGNMENT;
}

void train_memory_free (void *memory)
{
    if (!memory)
        return;
    char *base = (char *)memory - MU_STATE_ALIGNMENT;
    munmap (base, ((const struct head *)(const void *)base)->bytes);
}
