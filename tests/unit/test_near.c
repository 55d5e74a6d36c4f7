/* SPDX-License-Identifier: Apache-2.0 */
/* test_near.c - one rank's memory is had by another on its host, to be read, or not at all */
#include "worker/comm/near.h"

#include "worker/comm/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { BYTES = 3 * 4096 };

static const char *begin_of (const struct mu_region *region) { return (char *)region->control; }

static struct mu_region *make_region (int *fd)
{
    static const struct mu_region_bucket bucket = { 0, 10 };
    const struct mu_region_layout layout = { MU_ELEMENT_INT32, BYTES, 10, 1, &bucket };
    struct mu_error error;
    struct mu_region *region = mu_region_create (&layout, fd, &error);
    assert_non_null (region);
    memset (region->state, 7, BYTES);
    return region;
}

static void memory_is_given (void **state)
{
    (void)state;
    int fd, door;
    struct mu_region *region = make_region (&fd);
    size_t offset = (size_t)((char *)region->state - begin_of (region));
    uint64_t number = near_open (&door);
    assert_int_not_equal (number, 0);
    int first = near_call (number), second = near_call (number);
    assert_true (first >= 0 && second >= 0);
    near_give (&door, 2, fd);
    assert_int_equal (door, -1);
    const char *one = near_take (first, region->total_bytes),
               *two = near_take (second, region->total_bytes);
    assert_non_null (one);
    assert_non_null (two);
    assert_memory_equal (one + offset, region->state, BYTES);
    ((char *)region->state)[5] = 8;
    assert_int_equal (one[offset + 5], 8); /* the same memory */
    assert_int_equal (two[offset + 5], 8);
    assert_int_equal (near_call (number), -1); /* the door is closed */
    mu_region_detach (&region);
    close (fd);
}

/* Neither through the mapping nor through what was given. */
static void it_can_only_be_read (void **state)
{
    (void)state;
    int fd, door;
    struct mu_region *region = make_region (&fd);
    int line = near_call (near_open (&door));
    near_give (&door, 1, fd);
    void *view = (void *)(uintptr_t)near_take (line, BYTES);
    assert_non_null (view);
    assert_int_equal (mprotect (view, BYTES, PROT_READ | PROT_WRITE), -1);
    mu_region_detach (&region);
    close (fd);
}

static void nobody_is_there (void **state)
{
    (void)state;
    assert_int_equal (near_call (0), -1);
    assert_int_equal (near_call (UINT64_C (0x1234567890abcdef)), -1);
}

static void none_is_asked_for (void **state)
{
    (void)state;
    int door;
    assert_int_not_equal (near_open (&door), 0);
    near_give (&door, 0, -1);
    assert_int_equal (door, -1);
}

/* More called than are to be given to; the region cannot be had; it is too short; it could shrink. */
static void what_goes_wrong_is_told (void **state)
{
    (void)state;
    int fd, door;
    struct mu_region *region = make_region (&fd);
    uint64_t number = near_open (&door);
    int first = near_call (number), second = near_call (number);
    near_give (&door, 1, fd);
    assert_non_null (near_take (first, BYTES));
    assert_null (near_take (second, BYTES));
    first = near_call (near_open (&door));
    near_give (&door, 1, -1);
    assert_null (near_take (first, BYTES));
    first = near_call (near_open (&door));
    near_give (&door, 1, fd);
    assert_null (near_take (first, region->total_bytes + 1));
    int loose = memfd_create ("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal (ftruncate (loose, 2 * BYTES), 0);
    first = near_call (near_open (&door));
    near_give (&door, 1, loose);
    assert_null (near_take (first, BYTES));
    close (loose);
    mu_region_detach (&region);
    close (fd);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (memory_is_given),         cmocka_unit_test (it_can_only_be_read),
        cmocka_unit_test (nobody_is_there),         cmocka_unit_test (none_is_asked_for),
        cmocka_unit_test (what_goes_wrong_is_told),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
