/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease.c - leases never run out for good: the coordinator's core alone */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define FIRST_LEASE 32u /* two windows of 16 steps */

static void all_unleased (struct bed *bed, uint64_t at)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (bed, w, 1, at, MU_PHASE_UNLEASED, MU_DUTY_NOBODY);
}

/* All that was leased is trained and stored when the coordinator dies. What its successor knows is
 * then where everybody stands already: no beat will ever tell a later step. */
static void a_restart_when_all_is_trained (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 0);
    for (uint32_t w = 0; w < WORKERS; w++)
        hear (&bed, w,
              (struct mu_wire){ .type = MU_WIRE_TRAINED,
                                .trained = { .job = 1, .generation = 1, .windows = 2 } });
    struct mu_wire saved = { .type = MU_WIRE_SAVED,
                             .saved = { .job = 1,
                                        .generation = 1,
                                        .step = FIRST_LEASE,
                                        .path = { "/c", 2 },
                                        .weights_hash = "h" } };
    hear (&bed, 0, saved);
    all_unleased (&bed, FIRST_LEASE);
    restart (&bed);
    pass (&bed, 2 * BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_true (was_told (&bed, w, "LEASE"));
    assert_int_equal (bed.broken, 0);
    finish (&bed);
}

/* LEASE was stored and not heard: it is said again, and no more is leased for that. */
static void a_restart_before_lease_was_heard (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 24); /* more than half is used: it was renewed */
    all_unleased (&bed, FIRST_LEASE);
    restart (&bed);
    unsigned stored = bed.stored;
    all_unleased (&bed, 25);
    pass (&bed, BEAT_MS);
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_true (was_told (&bed, w, "LEASE"));
    assert_int_equal (bed.stored, stored);
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_restart_when_all_is_trained),
        cmocka_unit_test (a_restart_before_lease_was_heard),
    };
    return cmocka_run_group_tests_name ("lease", tests, NULL, NULL);
}
