/* SPDX-License-Identifier: Apache-2.0 */
/* region.c - lays out, checks and maps the shared region; futex bells
 *
 * Layout, each part on a page of its own: control, bucket table, ready counters, state, sums,
 * result. plan () computes it from a mu_region_layout and is the only arithmetic about it: create
 * () writes its numbers down, attach () plans again from the layout it finds and demands the same
 * numbers. */
#include "region.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Of Linux 5.14 and 6.1, which older headers lack; an older kernel refuses them, and no harm is done. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGE  UINT64_C (4096)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#define LARGE_PAGE (UINT64_C (2) << 20)  /* of x86-64, and of ARM64 with pages of 4 KiB */
#define AROUND     (UINT64_C (64) << 10) /* Linux maps so much around what is read, if it is there */

/* A large page takes 0.2 to 0.4 ms to zero. Where it takes longer, in a virtual machine whose host must first
 * find the memory, small pages are cheaper: those that are free have mostly been in use before. */
#define DEAR_NS  2000000
#define DEAR_MAX 8

static_assert (sizeof (_Atomic uint64_t) == sizeof (uint64_t), "atomics must be plain words");
static_assert (sizeof (struct mu_region_control) <= PAGE, "the control block is one page");
static_assert (ATOMIC_LLONG_LOCK_FREE == 2, "a lock would not be shared between processes");

struct plan {
    uint64_t table, ready, state, sums, result, total; /* bytes */
};

static uint64_t page_up (uint64_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

static struct plan plan (const struct mu_region_layout *layout)
{
    uint64_t block = page_up (layout->sums_elements * (uint64_t)layout->element);
    struct plan p = { .table = page_up (sizeof (struct mu_region_control)) };
    p.ready = p.table + page_up (layout->bucket_count * sizeof (struct mu_region_bucket));
    p.state = p.ready + page_up (layout->bucket_count * sizeof (uint64_t));
    p.sums = p.state + page_up (layout->state_bytes);
    p.result = p.sums + block;
    p.total = p.result + block;
    return p;
}

/* FNV-1a over 64-bit words: enough to tell two layouts apart that differ by mistake. */
static uint64_t hash_word (uint64_t hash, uint64_t word)
{
    for (int byte = 0; byte < 8; byte++)
        hash = (hash ^ ((word >> (8 * byte)) & 0xff)) * UINT64_C (0x100000001b3);
    return hash;
}

static uint64_t hash_layout (const struct mu_region_layout *layout)
{
    uint64_t hash = hash_word (UINT64_C (0xcbf29ce484222325), MU_REGION_VERSION);
    hash = hash_word (hash, (uint64_t)layout->element);
    hash = hash_word (hash, layout->state_bytes);
    hash = hash_word (hash, layout->sums_elements);
    hash = hash_word (hash, layout->bucket_count);
    for (uint32_t b = 0; b < layout->bucket_count; b++)
        hash = hash_word (hash_word (hash, layout->buckets[b].offset), layout->buckets[b].elements);
    return hash;
}

static int check_sizes (const struct mu_region_layout *layout, struct mu_error *error)
{
    if (layout->element != MU_ELEMENT_INT32 && layout->element != MU_ELEMENT_INT64)
        return mu_fail (error, MU_BAD_INPUT, "the region's elements have %d bytes, not 4 or 8",
                        (int)layout->element);
    if (layout->bucket_count < 1 || layout->bucket_count > MU_REGION_BUCKETS_MAX)
        return mu_fail (error, MU_BAD_INPUT, "the region has %u buckets; 1 to %u are possible",
                        layout->bucket_count, MU_REGION_BUCKETS_MAX);
    if (layout->state_bytes > MU_REGION_BLOCK_MAX ||
        layout->sums_elements > MU_REGION_BLOCK_MAX / (uint64_t)layout->element)
        return mu_fail (error, MU_BAD_INPUT, "a block of the region is larger than 4 TiB");
    return 0;
}

static int by_offset (const void *a, const void *b)
{
    uint64_t x = ((const struct mu_region_bucket *)a)->offset;
    uint64_t y = ((const struct mu_region_bucket *)b)->offset;
    return (x > y) - (x < y);
}

/* `sorted` is scratch of bucket_count. */
static int check_buckets (const struct mu_region_layout *layout, struct mu_region_bucket *sorted,
                          struct mu_error *error)
{
    for (uint32_t b = 0; b < layout->bucket_count; b++) {
        const struct mu_region_bucket *bucket = &layout->buckets[b];
        if (bucket->elements == 0 || bucket->offset > layout->sums_elements ||
            bucket->elements > layout->sums_elements - bucket->offset)
            return mu_fail (error, MU_BAD_INPUT,
                            "bucket %u of the region is empty or reaches "
                            "beyond the sums",
                            b);
        sorted[b] = *bucket;
    }
    qsort (sorted, layout->bucket_count, sizeof *sorted, by_offset);
    for (uint32_t b = 1; b < layout->bucket_count; b++)
        if (sorted[b].offset - sorted[b - 1].offset < sorted[b - 1].elements)
            return mu_fail (error, MU_BAD_INPUT,
                            "two buckets of the region overlap at element "
                            "%llu",
                            (unsigned long long)sorted[b].offset);
    return 0;
}

/* Checks the layout and takes a copy of the bucket table. */
static struct mu_region_bucket *copy_buckets (const struct mu_region_layout *layout,
                                              struct mu_error *error)
{
    struct mu_region_bucket *copy = calloc (layout->bucket_count, sizeof *copy);
    struct mu_region_bucket *scratch = calloc (layout->bucket_count, sizeof *scratch);
    if (!copy || !scratch) {
        mu_fail (error, MU_SYSTEM, "no memory for the region's bucket table");
    } else {
        memcpy (copy, layout->buckets, layout->bucket_count * sizeof *copy);
        struct mu_region_layout mine = *layout;
        mine.buckets = copy; /* what is checked is what is used, whoever writes to the table */
        if (check_buckets (&mine, scratch, error) == 0) {
            free (scratch);
            return copy;
        }
    }
    free (scratch);
    free (copy);
    return NULL;
}

static struct mu_region *make_view (char *base, const struct mu_region_layout *layout,
                                    const struct plan *p, struct mu_region_bucket *buckets)
{
    struct mu_region *region = calloc (1, sizeof *region);
    if (!region)
        return NULL;
    region->control = (struct mu_region_control *)(void *)base;
    region->ready = (_Atomic uint64_t *)(void *)(base + p->ready);
    region->state = base + p->state;
    region->sums = base + p->sums;
    region->result = base + p->result;
    region->layout = *layout;
    region->layout.buckets = buckets;
    region->layout_hash = hash_layout (&region->layout);
    region->total_bytes = p->total;
    return region;
}

/* As one each, large pages are mapped only where address and offset fit together. */
void *mu_region_map (int fd, uint64_t bytes, int protection)
{
    uint64_t size = page_up (bytes), space_size = size + (size < LARGE_PAGE ? 0 : LARGE_PAGE);
    char *space = mmap (NULL, space_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED)
        return NULL;
    uint64_t before = size < LARGE_PAGE ? 0 : -(uintptr_t)space % LARGE_PAGE;
    char *base = space + before;
    if (mmap (base, size, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
        int number = errno;
        munmap (space, space_size);
        errno = number;
        return NULL;
    }
    if (before)
        munmap (space, before);
    if (before + size < space_size)
        munmap (base + size, space_size - size - before);
    return base;
}

static char *map (int fd, uint64_t bytes, struct mu_error *error)
{
    char *base = mu_region_map (fd, bytes, PROT_READ | PROT_WRITE);
    if (!base)
        mu_fail_errno (error, MU_SYSTEM, errno, "cannot map the region of %llu bytes",
                       (unsigned long long)bytes);
    return base;
}

/* Bytes that can be had without swapping or killing somebody; no limit where the system is silent.
 * A memfd is not accounted for when it grows, so asking for too much would wake the OOM killer. */
static uint64_t available_bytes (void)
{
    FILE *file = fopen ("/proc/meminfo", "re");
    unsigned long long kib = UINT64_MAX / 1024;
    char line[128];
    while (file && fgets (line, sizeof line, file))
        if (sscanf (line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (file)
        fclose (file);
    return kib * 1024;
}

/* --- its memory ------------------------------------------------------------------------------- */

static int64_t spent_ns (void)
{
    struct timespec spent;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * 1000000000 + spent.tv_nsec;
}

/* Each process that looks at a region maps its pages and unmaps them again, and a death makes eight
 * such processes. The administrator need not have allowed large pages for shared memory: asked for like this,
 * the kernel makes them anyway, from one page that is there and the 511 that are not. */
static void make_large (int fd, char *base, uint64_t bytes)
{
    unsigned in_vain = 0;
    for (uint64_t at = 0; at + LARGE_PAGE <= bytes && in_vain < DEAR_MAX; at += LARGE_PAGE) {
        int64_t start = spent_ns ();
        if (posix_fallocate (fd, (off_t)at, 1) != 0 ||
            madvise (base + at, LARGE_PAGE, MADV_COLLAPSE) < 0 || spent_ns () - start > DEAR_NS)
            in_vain++;
    }
}

static int no_memory (uint64_t bytes, int number, struct mu_error *error)
{
    return mu_fail_errno (error, MU_SYSTEM, number,
                          "no memory for a region of %llu bytes "
                          "(state, sums and result); use a smaller model or give this worker "
                          "more memory",
                          (unsigned long long)bytes);
}

/* A sealed memfd of this size, which holds nothing yet, or -1. */
static int open_memory (uint64_t bytes, struct mu_error *error)
{
    if (bytes > available_bytes ())
        return no_memory (bytes, ENOMEM, error);
    int fd = memfd_create ("muster-region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return mu_fail_errno (error, MU_SYSTEM, errno, "cannot make the shared memory region");
    if (ftruncate (fd, (off_t)bytes) == 0 && fcntl (fd, F_ADD_SEALS, SEALS) == 0)
        return fd;
    int number = errno;
    close (fd);
    return mu_fail_errno (error, MU_SYSTEM, number, "cannot seal the shared memory region");
}

/* Reserved is not yet zeroed: each small page is when it is first touched. Here all are at once, which costs
 * half as much as one fault each, and costs it before anybody waits. */
static int reserve (int fd, char *base, uint64_t bytes, struct mu_error *error)
{
    make_large (fd, base, bytes);
    int problem = posix_fallocate (fd, 0, (off_t)bytes);
    if (problem)
        return no_memory (bytes, problem, error);
    madvise (base, bytes, MADV_POPULATE_WRITE);
    return 0;
}

void mu_region_prefault (void *block, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += AROUND)
        (void)*((volatile const char *)block + at);
}

static void write_fixed (struct mu_region *region, const struct plan *p)
{
    struct mu_region_control *control = region->control;
    control->fixed.version = MU_REGION_VERSION;
    control->fixed.element_bytes = (uint32_t)region->layout.element;
    control->fixed.total_bytes = p->total;
    control->fixed.state_offset = p->state;
    control->fixed.state_bytes = region->layout.state_bytes;
    control->fixed.sums_offset = p->sums;
    control->fixed.result_offset = p->result;
    control->fixed.sums_elements = region->layout.sums_elements;
    control->fixed.table_offset = p->table;
    control->fixed.ready_offset = p->ready;
    control->fixed.bucket_count = region->layout.bucket_count;
    control->fixed.layout_hash = region->layout_hash;
    memcpy ((char *)control + p->table, region->layout.buckets,
            region->layout.bucket_count * sizeof (struct mu_region_bucket));
    control->fixed.magic = MU_REGION_MAGIC;
}

struct mu_region *mu_region_create (const struct mu_region_layout *layout, int *fd,
                                    struct mu_error *error)
{
    if (check_sizes (layout, error) != 0)
        return NULL;
    struct mu_region_bucket *buckets = copy_buckets (layout, error);
    if (!buckets)
        return NULL;
    struct plan p = plan (layout);
    struct mu_region *region;
    int memory = open_memory (p.total, error);
    char *base = memory < 0 ? NULL : map (memory, p.total, error);
    if (base && reserve (memory, base, p.total, error) == 0) {
        region = make_view (base, layout, &p, buckets);
        if (region) {
            write_fixed (region, &p);
            *fd = memory;
            return region;
        }
        mu_fail (error, MU_SYSTEM, "no memory for the view of a region");
    }
    if (base)
        munmap (base, p.total);
    if (memory >= 0)
        close (memory);
    free (buckets);
    return NULL;
}

static int check_file (int fd, uint64_t *bytes, struct mu_error *error)
{
    struct stat status;
    if (fstat (fd, &status) != 0)
        return mu_fail_errno (error, MU_BAD_INPUT, errno, "the region's file descriptor %d", fd);
    int seals = fcntl (fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return mu_fail (error, MU_BAD_INPUT,
                        "file descriptor %d is no sealed memory region of Muster", fd);
    if (status.st_size < (off_t)(4 * PAGE))
        return mu_fail (error, MU_BAD_INPUT,
                        "the region has %lld bytes: too few for a control "
                        "block",
                        (long long)status.st_size);
    *bytes = (uint64_t)status.st_size;
    return 0;
}

/* The layout that the control block tells of, as far as it can be believed without the table. */
static int read_layout (const char *base, uint64_t bytes, struct mu_region_layout *layout,
                        struct mu_error *error)
{
    const struct mu_region_control *control = (const struct mu_region_control *)(const void *)base;
    if (control->fixed.magic != MU_REGION_MAGIC)
        return mu_fail (error, MU_BAD_INPUT, "the shared memory is no region of Muster");
    if (control->fixed.version != MU_REGION_VERSION)
        return mu_fail (error, MU_PROTOCOL,
                        "the region has version %u, this program knows %u; "
                        "all programs of one worker must come from one installation",
                        control->fixed.version, MU_REGION_VERSION);
    *layout = (struct mu_region_layout){
        .element = control->fixed.element_bytes == 8 ? MU_ELEMENT_INT64 : MU_ELEMENT_INT32,
        .state_bytes = control->fixed.state_bytes,
        .sums_elements = control->fixed.sums_elements,
        .bucket_count = control->fixed.bucket_count,
    };
    if (check_sizes (layout, error) != 0)
        return -1;
    struct plan p = plan (layout);
    if (control->fixed.element_bytes != (uint32_t)layout->element || control->fixed.reserved ||
        p.total != bytes || control->fixed.total_bytes != bytes ||
        control->fixed.table_offset != p.table || control->fixed.ready_offset != p.ready ||
        control->fixed.state_offset != p.state || control->fixed.sums_offset != p.sums ||
        control->fixed.result_offset != p.result)
        return mu_fail (error, MU_BAD_INPUT, "the region's offsets do not fit its sizes");
    layout->buckets = (const struct mu_region_bucket *)(const void *)(base + p.table);
    return 0;
}

struct mu_region *mu_region_attach (int fd, struct mu_error *error)
{
    uint64_t bytes = 0;
    if (check_file (fd, &bytes, error) != 0)
        return NULL;
    char *base = map (fd, bytes, error);
    if (!base)
        return NULL;
    struct mu_region_layout layout;
    struct mu_region_bucket *buckets = NULL;
    struct mu_region *region = NULL;
    if (read_layout (base, bytes, &layout, error) == 0 &&
        (buckets = copy_buckets (&layout, error))) {
        struct plan p = plan (&layout);
        region = make_view (base, &layout, &p, buckets);
        if (!region)
            mu_fail (error, MU_SYSTEM, "no memory for the view of a region");
    }
    if (region && region->layout_hash == region->control->fixed.layout_hash)
        return region;
    if (region)
        mu_fail (error, MU_BAD_INPUT, "the region's bucket table does not fit its hash");
    munmap (base, bytes);
    free (buckets);
    free (region);
    return NULL;
}

void mu_region_detach (struct mu_region **region)
{
    if (!*region)
        return;
    munmap ((*region)->control, (*region)->total_bytes);
    /* The table is the view's own: see make_view (). */
    free ((void *)(uintptr_t)(*region)->layout.buckets);
    free (*region);
    *region = NULL;
}

/* --- bells ------------------------------------------------------------------------------------ */

static long futex (_Atomic uint32_t *word, int operation, uint32_t value,
                   const struct timespec *timeout)
{
    return syscall (SYS_futex, word, operation, value, timeout, NULL, 0);
}

uint32_t mu_bell_read (_Atomic uint32_t *bell)
{
    return atomic_load_explicit (bell, memory_order_acquire);
}

void mu_bell_ring (_Atomic uint32_t *bell)
{
    atomic_fetch_add_explicit (bell, 1, memory_order_release);
    futex (bell, FUTEX_WAKE, INT_MAX, NULL);
}

static int64_t now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool mu_bell_wait (_Atomic uint32_t *bell, uint32_t seen, int timeout_ms)
{
    if (timeout_ms == 0)
        return mu_bell_read (bell) != seen;
    int64_t until = timeout_ms < 0 ? INT64_MAX : now_ns () + (int64_t)timeout_ms * 1000000;
    while (mu_bell_read (bell) == seen) {
        int64_t left = timeout_ms < 0 ? 0 : until - now_ns ();
        if (timeout_ms > 0 && left <= 0)
            return false;
        struct timespec limit = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
        futex (bell, FUTEX_WAIT, seen, timeout_ms < 0 ? NULL : &limit);
    }
    return true;
}

/* --- what the agent says ---------------------------------------------------------------------- */

void mu_region_go (struct mu_region *region, uint64_t generation)
{
    atomic_store_explicit (&region->control->agent.go_generation, generation, memory_order_release);
    mu_bell_ring (&region->control->collective_bell);
}

void mu_region_end (struct mu_region *region, uint64_t generation)
{
    atomic_store_explicit (&region->control->agent.ended_generation, generation,
                           memory_order_release);
    mu_bell_ring (&region->control->trainer_bell);
    mu_bell_ring (&region->control->collective_bell);
}
