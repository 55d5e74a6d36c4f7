/* SPDX-License-Identifier: Apache-2.0 */
/* train_memory.c - large memory: huge pages, and not inherited by who writes a checkpoint
 *
 * A fork makes parent and child share every private page, and whoever writes to one first copies
 * it. What a step writes to all the time, gradients and workspaces, would so be copied once after
 * each checkpoint, while training waits for each page. The child needs none of it.
 *
 * Matrix products walk down columns, a row further on with each number: with pages of 4 KiB, a page
 * further on too. So pages are huge where the system lets a process ask for them, for the part that
 * fills whole ones.
 *
 * A plug-in that writes beyond its memory would write into whatever lies there, the region that all
 * processes share for one: sums that nobody can explain, worlds that break without end. So memory
 * ends where a page begins that nobody may touch, and the write is what kills. */
#include "train.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of Linux 5.14, which older headers lack; an older kernel refuses it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE ((size_t)2 << 20) /* of x86-64, and of ARM64 with pages of 4 KiB */

struct head {
    char *mapping;
    size_t bytes; /* of the mapping */
};

static size_t up (size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/* Where whole pages for it begin: at a huge page's start, if there will be any. */
static char *begin_of (char *mapping, size_t bytes)
{
    uintptr_t skipped = bytes < HUGE_PAGE ? 0 : -(uintptr_t)mapping % HUGE_PAGE;
    return mapping + skipped;
}

void *train_memory_take (size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    const size_t page = (size_t)sysconf (_SC_PAGESIZE);
    const size_t filled = MU_STATE_ALIGNMENT + up (bytes, MU_STATE_ALIGNMENT);
    const size_t whole = up (filled, page);
    const size_t mapped = (whole < HUGE_PAGE ? whole : whole + HUGE_PAGE) + page;
    char *mapping = mmap (NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    char *base = begin_of (mapping, whole);
    madvise (mapping, mapped, MADV_DONTFORK);
    mprotect (base + whole, page, PROT_NONE);
    if (whole >= HUGE_PAGE)
        madvise (base, whole, MADV_HUGEPAGE); /* or not: it is slower then */
    /* Memory that is short is known now, and no page is zeroed twice. */
    if (madvise (base, whole, MADV_POPULATE_WRITE) < 0)
        memset (base, 0, whole);
    char *memory = base + whole - filled + MU_STATE_ALIGNMENT; /* its end is the last page's */
    *(struct head *)(void *)(memory - MU_STATE_ALIGNMENT) = (struct head){ mapping, mapped };
    return memory;
}

void train_memory_free (void *memory)
{
    if (!memory)
        return;
    const struct head *head =
        (const struct head *)(const void *)((char *)memory - MU_STATE_ALIGNMENT);
    munmap (head->mapping, head->bytes);
}
