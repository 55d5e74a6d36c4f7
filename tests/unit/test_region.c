/* SPDX-License-Identifier: Apache-2.0 */
/* test_region.c - the shared region, what it refuses, and the trainer's end of it (comm_mpi) */
#include "worker/comm/comm.h"
#include "worker/comm/flight.h"
#include "worker/comm/region.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct mu_error error;

static const struct mu_region_bucket buckets[] = { { 500, 500 }, { 0, 500 }, { 1000, 1 } };
static const struct mu_region_layout layout = { MU_ELEMENT_INT32, 5000, 1001, 3, buckets };

static struct mu_region *make (int *fd)
{
    struct mu_region *region = mu_region_create (&layout, fd, &error);
    assert_non_null (region);
    return region;
}

/* --- sharing ---------------------------------------------------------------------------------- */

static void shares (void **state)
{
    (void)state;
    int fd;
    struct mu_region *ours = make (&fd), *theirs = mu_region_attach (fd, &error);
    assert_non_null (theirs);
    assert_true (fcntl (fd, F_GETFD) & FD_CLOEXEC);
    close (fd);
    assert_int_equal (theirs->layout_hash, ours->layout_hash);
    assert_int_equal (theirs->layout.element, MU_ELEMENT_INT32);
    assert_int_equal (theirs->layout.state_bytes, 5000);
    assert_int_equal (theirs->layout.sums_elements, 1001);
    assert_int_equal (theirs->layout.bucket_count, 3);
    assert_memory_equal (theirs->layout.buckets, buckets, sizeof buckets);
    memset (ours->state, 1, 5000);
    memset (ours->sums, 2, 4004);
    memset (ours->result, 3, 4004);
    assert_memory_equal (theirs->state, ours->state, 5000);
    assert_memory_equal (theirs->sums, ours->sums, 4004);
    assert_memory_equal (theirs->result, ours->result, 4004);
    assert_int_equal (
        ((uintptr_t)ours->state | (uintptr_t)ours->sums | (uintptr_t)ours->result) & 4095, 0);
    for (unsigned b = 0; b < 3; b++)
        assert_int_equal (theirs->ready[b], 0);
    mu_region_detach (&ours);
    assert_null (ours);
    assert_int_equal (*(char *)theirs->result, 3);
    mu_region_detach (&theirs);
    mu_region_detach (&theirs);
}

/* --- its memory ------------------------------------------------------------------------------- */

#define LARGE_PAGE ((size_t)2 << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static const struct mu_region_bucket whole = { 0, 1000000 };
static const struct mu_region_layout large = { MU_ELEMENT_INT32, 5 * LARGE_PAGE, 1000000, 1,
                                               &whole };

/* Whether this system makes large pages of a memfd when asked to. */
static bool makes_large_pages (void)
{
    int fd = memfd_create ("probe", MFD_CLOEXEC);
    assert_int_equal (ftruncate (fd, (off_t)LARGE_PAGE), 0);
    char *at = mu_region_map (fd, LARGE_PAGE, PROT_READ | PROT_WRITE);
    assert_non_null (at);
    *at = 1;
    bool makes = madvise (at, LARGE_PAGE, MADV_COLLAPSE) == 0;
    munmap (at, LARGE_PAGE);
    close (fd);
    return makes;
}

/* KiB that are mapped with large pages in the mapping that begins here. */
static unsigned large_kib (const void *begin)
{
    char line[512];
    unsigned long at = 0, start, end;
    unsigned kib = 0, found;
    FILE *file = fopen ("/proc/self/smaps", "re");
    assert_non_null (file);
    while (fgets (line, sizeof line, file))
        if (sscanf (line, "%lx-%lx", &start, &end) == 2)
            at = start;
        else if (at == (unsigned long)(uintptr_t)begin &&
                 sscanf (line, "ShmemPmdMapped: %u kB", &found) == 1)
            kib = found;
    fclose (file);
    return kib;
}

/* Two at least: a slow host has it give up only after some. */
static void has_large_pages (void **state)
{
    (void)state;
    int fd;
    if (!makes_large_pages ())
        skip ();
    struct mu_region *ours = mu_region_create (&large, &fd, &error);
    assert_non_null (ours);
    struct mu_region *theirs = mu_region_attach (fd, &error);
    assert_non_null (theirs);
    assert_in_range (large_kib (ours->control), 2 * LARGE_PAGE >> 10, UINT32_MAX);
    mu_region_prefault (theirs->state, large.state_bytes);
    assert_in_range (large_kib (theirs->control), 2 * LARGE_PAGE >> 10, UINT32_MAX);
    mu_region_detach (&ours);
    mu_region_detach (&theirs);
    close (fd);
}

static void is_reserved_and_zero (void **state)
{
    (void)state;
    int fd;
    struct stat about;
    struct mu_region *ours = mu_region_create (&large, &fd, &error);
    assert_non_null (ours);
    assert_int_equal (fstat (fd, &about), 0);
    assert_int_equal (about.st_size, ours->total_bytes);
    assert_true ((uint64_t)about.st_blocks * 512 >= ours->total_bytes);
    const char *bytes = ours->state;
    const char *end = (char *)ours->control + ours->total_bytes;
    for (; bytes < end && !*bytes; bytes++)
        continue;
    assert_ptr_equal (bytes, end);
    mu_region_detach (&ours);
    close (fd);
}

/* What was in flight outlives the process that noted it. */
static void remembers_what_was_in_flight (void **state)
{
    (void)state;
    int fd;
    struct mu_region *ours = make (&fd), *theirs = mu_region_attach (fd, &error);
    struct mu_flight flight;
    close (fd);
    mu_flight_read (theirs, &flight);
    assert_false (flight.any);
    pid_t child = fork ();
    if (child == 0) {
        mu_flight_begin (ours, 77);
        mu_flight_describe (ours, "records 3 and 4");
        mu_flight_on (ours, 0);
        mu_flight_on (ours, 2046);
        mu_flight_on (ours, 65);
        mu_flight_off (ours, 0);
        abort ();
    }
    assert_int_equal (waitpid (child, NULL, 0), child);
    mu_flight_read (theirs, &flight);
    assert_true (flight.any);
    assert_int_equal (flight.step, 77);
    assert_string_equal (flight.records, "records 3 and 4");
    for (uint32_t m = 0; m < 2048; m++)
        assert_int_equal (flight.in_flight[m / 8] >> m % 8 & 1, m == 65 || m == 2046);
    memset (ours->control->flight.records, 0xff, sizeof ours->control->flight.records);
    mu_flight_read (theirs, &flight);
    assert_string_equal (flight.records, ""); /* scribbled over: no text */
    mu_flight_begin (ours, 78);
    mu_flight_read (theirs, &flight);
    assert_false (flight.any);
    mu_region_detach (&ours);
    mu_region_detach (&theirs);
}

static void tells_layouts_apart (void **state)
{
    (void)state;
    int fd;
    struct mu_region *region = make (&fd);
    uint64_t hash = region->layout_hash;
    mu_region_detach (&region);
    close (fd);
    struct mu_region_bucket moved[3];
    memcpy (moved, buckets, sizeof moved);
    moved[0] = buckets[1];
    moved[1] = buckets[0];
    const struct mu_region_layout others[] = {
        { MU_ELEMENT_INT64, 5000, 1001, 3, buckets }, { MU_ELEMENT_INT32, 5001, 1001, 3, buckets },
        { MU_ELEMENT_INT32, 5000, 1002, 3, buckets }, { MU_ELEMENT_INT32, 5000, 1001, 2, buckets },
        { MU_ELEMENT_INT32, 5000, 1001, 3, moved },
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        region = mu_region_create (&others[i], &fd, &error);
        assert_non_null (region);
        assert_int_not_equal (region->layout_hash, hash);
        mu_region_detach (&region);
        close (fd);
    }
}

static void refuse_layout (enum mu_element element, uint64_t state_bytes, uint64_t elements,
                           uint32_t count, const struct mu_region_bucket *table)
{
    int fd = -1;
    const struct mu_region_layout bad = { element, state_bytes, elements, count, table };
    error.text[0] = '\0';
    assert_null (mu_region_create (&bad, &fd, &error));
    assert_int_equal (fd, -1);
    assert_true (error.text[0] != '\0');
}

static void refuses_layouts (void **state)
{
    (void)state;
    const struct mu_region_bucket one = { 0, 1 }, none = { 0, 0 }, far = { UINT64_MAX, 1 },
                                  wraps = { 1, UINT64_MAX },
                                  overlap[] = { { 0, 10 }, { 20, 5 }, { 9, 2 } };
    refuse_layout (3, 0, 1, 1, &one);
    refuse_layout (MU_ELEMENT_INT32, 0, 1, 0, &one);
    refuse_layout (MU_ELEMENT_INT32, 0, 1, MU_REGION_BUCKETS_MAX + 1, &one);
    refuse_layout (MU_ELEMENT_INT32, 0, 1, 1, &none);
    refuse_layout (MU_ELEMENT_INT32, 0, 0, 1, &one);
    refuse_layout (MU_ELEMENT_INT32, 0, 100, 1, &far);
    refuse_layout (MU_ELEMENT_INT32, 0, 100, 1, &wraps);
    refuse_layout (MU_ELEMENT_INT32, 0, 100, 3, overlap);
    refuse_layout (MU_ELEMENT_INT32, MU_REGION_BLOCK_MAX + 1, 1, 1, &one);
    refuse_layout (MU_ELEMENT_INT64, 0, MU_REGION_BLOCK_MAX / 8 + 1, 1, &one);
    refuse_layout (MU_ELEMENT_INT64, 0, UINT64_MAX, 1, &one);
    refuse_layout (MU_ELEMENT_INT32, MU_REGION_BLOCK_MAX, 1, 1, &one); /* no such memory here */
    assert_non_null (strstr (error.text, "no memory for a region"));
}

/* --- what attaches believes nothing ----------------------------------------------------------- */

static void is_sealed (void **state)
{
    (void)state;
    int fd;
    struct mu_region *region = make (&fd);
    assert_int_equal (ftruncate (fd, 4096), -1);
    assert_int_equal (errno, EPERM);
    assert_int_equal (ftruncate (fd, 1 << 30), -1);
    assert_int_equal (fcntl (fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    mu_region_detach (&region);
    close (fd);
}

static void refuse_fd (int fd)
{
    assert_null (mu_region_attach (fd, &error));
    assert_int_equal (error.code, MU_BAD_INPUT);
}

static void refuses_files (void **state)
{
    (void)state;
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    refuse_fd (-1);
    int fd = open ("/dev/null", O_RDWR);
    refuse_fd (fd);
    close (fd);
    for (int sealed = 0; sealed < 2; sealed++)
        for (off_t size = 0; size <= 65536; size += 4096) {
            fd = memfd_create ("no region", MFD_ALLOW_SEALING);
            assert_int_equal (ftruncate (fd, size), 0);
            if (sealed)
                assert_int_equal (fcntl (fd, F_ADD_SEALS, seals), 0);
            refuse_fd (fd);
            close (fd);
        }
}

/* Every bit of the header and of the table is checked, one by one. */
static void refuses_bent_bits (void **state)
{
    (void)state;
    int fd;
    struct mu_region *region = make (&fd);
    unsigned char *header = (unsigned char *)&region->control->fixed;
    unsigned char *table = (unsigned char *)region->control + region->control->fixed.table_offset;
    for (size_t i = 0; i < sizeof region->control->fixed + sizeof buckets; i++)
        for (int bit = 0; bit < 8; bit++) {
            size_t fixed = sizeof region->control->fixed;
            unsigned char *byte = i < fixed ? header + i : table + (i - fixed);
            *byte ^= (unsigned char)(1u << bit);
            error.text[0] = '\0';
            assert_null (mu_region_attach (fd, &error));
            assert_true (error.text[0] != '\0');
            *byte ^= (unsigned char)(1u << bit);
        }
    struct mu_region *again = mu_region_attach (fd, &error);
    assert_non_null (again);
    mu_region_detach (&again);
    mu_region_detach (&region);
    close (fd);
}

/* Words that are far from right, each in each place. */
static void refuses_bent_words (void **state)
{
    (void)state;
    static const uint64_t words[] = { 0,
                                      1,
                                      4096,
                                      UINT32_MAX,
                                      INT64_MAX,
                                      UINT64_MAX,
                                      UINT64_MAX - 4095,
                                      1u << 31,
                                      UINT64_C (1) << 42 };
    int fd;
    struct mu_region *region = make (&fd);
    for (size_t i = 0; i + 8 <= sizeof region->control->fixed; i += 4)
        for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
            char *at = (char *)&region->control->fixed + i;
            uint64_t right;
            memcpy (&right, at, sizeof right);
            memcpy (at, &words[w], sizeof right);
            if (right != words[w])
                assert_null (mu_region_attach (fd, &error));
            memcpy (at, &right, sizeof right);
        }
    mu_region_detach (&region);
    close (fd);
}

static void keeps_its_own_table (void **state)
{
    (void)state;
    int fd;
    struct mu_region *region = make (&fd);
    struct mu_region *view = mu_region_attach (fd, &error);
    memset ((char *)region->control + region->control->fixed.table_offset, 0xff, sizeof buckets);
    memset (&region->control->fixed, 0xff, sizeof region->control->fixed);
    assert_memory_equal (view->layout.buckets, buckets, sizeof buckets);
    mu_region_detach (&view);
    mu_region_detach (&region);
    close (fd);
}

/* --- bells ------------------------------------------------------------------------------------ */

static double seconds (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *ring_late (void *bell)
{
    nanosleep (&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    mu_bell_ring (bell);
    return NULL;
}

static void rings (void **state)
{
    (void)state;
    _Atomic uint32_t bell = UINT32_MAX; /* it may wrap */
    pthread_t thread;
    double start = seconds ();
    assert_false (mu_bell_wait (&bell, UINT32_MAX, 0));
    assert_false (mu_bell_wait (&bell, UINT32_MAX, 30));
    assert_true (seconds () - start >= 0.03);
    assert_true (mu_bell_wait (&bell, 7, -1));
    for (int timeout_ms = -1; timeout_ms <= 20000; timeout_ms += 20001) {
        uint32_t seen = mu_bell_read (&bell);
        start = seconds ();
        pthread_create (&thread, NULL, ring_late, &bell);
        assert_true (mu_bell_wait (&bell, seen, timeout_ms));
        assert_true (seconds () - start < 10);
        pthread_join (thread, NULL);
    }
}

/* --- the trainer's end ------------------------------------------------------------------------ */

static struct mu_comm_generation generation (uint64_t number)
{
    return (struct mu_comm_generation){
        .generation = number, .size = 2, .rank = 1, .source_rank = MU_COMM_NO_SOURCE
    };
}

static void refuses_wrong_turns (void **state)
{
    (void)state;
    int fd;
    struct mu_region *region = make (&fd);
    struct mu_comm *comm = mu_comm_mpi_create (region, &error);
    struct mu_comm_generation g = generation (3), bad = generation (4);
    assert_int_equal (mu_comm_begin (comm, 0, 0, &error), -1);
    assert_int_equal (mu_comm_wait (comm, 0, &error), MU_COMM_FAILED);
    assert_int_equal (mu_comm_broadcast (comm, 0, &error), MU_COMM_FAILED);
    bad.rank = 2;
    assert_int_equal (mu_comm_enter (comm, &bad, &error), -1);
    bad = generation (4);
    bad.source_rank = 2;
    assert_int_equal (mu_comm_enter (comm, &bad, &error), -1);
    bad.source_rank = 1;
    bad.receives = MU_RECEIVES_STATE;
    assert_int_equal (mu_comm_enter (comm, &bad, &error), -1);
    assert_int_equal (mu_comm_enter (comm, &g, &error), 0);
    assert_int_equal (mu_comm_enter (comm, &g, &error), -1);
    assert_int_equal (mu_comm_broadcast (comm, 0, &error), MU_COMM_DONE); /* all are level */
    assert_int_equal (mu_comm_begin (comm, 0, 0, &error), 0);
    assert_int_equal (mu_comm_begin (comm, 0, 0, &error), -1);
    assert_int_equal (mu_comm_bucket_ready (comm, 3, &error), -1);
    assert_int_equal (mu_comm_bucket_ready (comm, 2, &error), 0);
    assert_int_equal (mu_comm_bucket_ready (comm, 2, &error), -1);
    assert_int_equal (mu_comm_wait (comm, 20, &error), MU_COMM_TIMEOUT);
    mu_region_end (region, 3);
    assert_int_equal (mu_comm_wait (comm, -1, &error), MU_COMM_TORN);
    mu_comm_leave (comm);
    assert_int_equal (mu_comm_enter (comm, &g, &error), -1); /* generations only rise */
    mu_comm_destroy (&comm);
    mu_region_detach (&region);
    close (fd);
}

/* A result that was proven before the end counts, though the end is seen first. */
static void takes_late_results (void **state)
{
    (void)state;
    int fd;
    struct mu_region *region = make (&fd);
    struct mu_comm *comm = mu_comm_mpi_create (region, &error);
    struct mu_comm_generation g = generation (1);
    mu_comm_enter (comm, &g, &error);
    mu_comm_begin (comm, 0, 0, &error);
    region->control->collective.done = 1;
    mu_region_end (region, 1);
    assert_int_equal (mu_comm_wait (comm, -1, &error), MU_COMM_DONE);
    assert_int_equal (mu_comm_begin (comm, 1, 0, &error), 0);
    assert_int_equal (mu_comm_wait (comm, -1, &error), MU_COMM_TORN);
    mu_comm_destroy (&comm);
    comm = mu_comm_mpi_create (region, &error); /* a new trainer goes on counting */
    g = generation (2);
    assert_int_equal (mu_comm_enter (comm, &g, &error), 0);
    assert_int_equal (mu_comm_begin (comm, 1, 0, &error), 0);
    assert_int_equal (region->control->trainer.request, 3);
    mu_comm_destroy (&comm);
    mu_region_detach (&region);
    close (fd);
}

/* The trainer begins a step one machine instruction at a time; the region is looked at after each.
 * A generation that is seen before its request would make the collective take the request before,
 * whose buckets are all marked. */
static void publishes_in_order (void **state)
{
    (void)state;
    int fd, status;
    unsigned steps = 0, early = 0, seen = 0;
    struct mu_region *region = make (&fd);
    struct mu_comm *comm = mu_comm_mpi_create (region, &error);
    struct mu_comm_generation g = generation (7);
    mu_comm_enter (comm, &g, &error);
    pid_t trainer = fork ();
    if (trainer == 0) {
        ptrace (PTRACE_TRACEME, 0, NULL, NULL);
        raise (SIGSTOP);
        _exit (mu_comm_begin (comm, 5, 2, &error) != 0);
    }
    while (waitpid (trainer, &status, 0) == trainer && WIFSTOPPED (status)) {
        steps++;
        if (atomic_load (&region->control->trainer.request_generation) == 7) {
            seen++;
            early += region->control->trainer.request != 1 || region->control->trainer.step != 5 ||
                     region->control->trainer.attempt != 2;
        }
        if (ptrace (PTRACE_SINGLESTEP, trainer, NULL, NULL))
            break;
    }
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    assert_true (seen > 0 && seen < steps);
    assert_int_equal (early, 0);
    mu_comm_destroy (&comm);
    mu_region_detach (&region);
    close (fd);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (shares),
        cmocka_unit_test (has_large_pages),
        cmocka_unit_test (is_reserved_and_zero),
        cmocka_unit_test (remembers_what_was_in_flight),
        cmocka_unit_test (tells_layouts_apart),
        cmocka_unit_test (refuses_layouts),
        cmocka_unit_test (is_sealed),
        cmocka_unit_test (refuses_files),
        cmocka_unit_test (refuses_bent_bits),
        cmocka_unit_test (refuses_bent_words),
        cmocka_unit_test (keeps_its_own_table),
        cmocka_unit_test (rings),
        cmocka_unit_test (refuses_wrong_turns),
        cmocka_unit_test (takes_late_results),
        cmocka_unit_test (publishes_in_order),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
