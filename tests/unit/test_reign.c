/* SPDX-License-Identifier: Apache-2.0 */
/* test_reign.c - when a standby looks at the register; who may reign is the simulator's (tests/sim/reigns.c) */
#include "reign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LOST_MS 1000
enum { LEADER = 7, STANDBY = 9, CLUSTER = 5 };

static struct reign value_of (bool standby_in_sync)
{
    struct reign value = { .cluster = CLUSTER, .term = 1, .leader = LEADER, .revision = 1 };
    value.in_sync[value.in_sync_count++] = LEADER;
    if (standby_in_sync) {
        value.in_sync[value.in_sync_count++] = STANDBY;
        value.revision++;
    }
    return value;
}

/* It reads the register at 0, before it is in sync. */
static void follow (struct claim *claim)
{
    struct claim_options options = { .id = STANDBY,
                                     .cluster = CLUSTER,
                                     .peer = "tcp://p",
                                     .client = "tcp://c",
                                     .lost_ms = LOST_MS,
                                     .standby = true };
    struct reign value = value_of (false);
    claim_start (claim, &options, 0);
    assert_int_equal (claim_ask (claim, 0), CLAIM_READ);
    claim_read (claim, &value, 0);
    assert_int_equal (claim->role, CLAIM_FOLLOWING);
}

static void who_came_in_sync_since_it_looked_takes_over_when_the_leader_is_lost (void **state)
{
    struct claim claim;
    struct reign value = value_of (true);
    (void)state;
    follow (&claim);
    assert_true (claim_heard (&claim, LEADER, 1, 100));
    assert_int_equal (claim_ask (&claim, 100), CLAIM_NOTHING);
    assert_int_equal (claim_deadline (&claim), 100 + LOST_MS);
    assert_int_equal (claim_ask (&claim, 100 + LOST_MS), CLAIM_READ);
    claim_read (&claim, &value, 101 + LOST_MS);
    assert_int_equal (claim_ask (&claim, 101 + LOST_MS), CLAIM_SWAP);
    claim_swapped (&claim, 102 + LOST_MS);
    assert_int_equal (claim.role, CLAIM_LEADING);
    assert_int_equal (claim.term, 2);
}

static void who_is_not_in_sync_looks_now_and_then (void **state)
{
    struct claim claim;
    struct reign value = value_of (false);
    int reads = 0;
    (void)state;
    follow (&claim);
    for (uint64_t now_ms = 0; now_ms < 11 * LOST_MS; now_ms++) {
        enum claim_wish wish = claim_ask (&claim, now_ms);
        assert_int_not_equal (wish, CLAIM_SWAP);
        if (wish == CLAIM_READ) {
            claim_read (&claim, &value, now_ms);
            reads++;
        }
    }
    assert_in_range (reads, 20, 41); /* four in the time after which a leader is lost */
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (who_came_in_sync_since_it_looked_takes_over_when_the_leader_is_lost),
        cmocka_unit_test (who_is_not_in_sync_looks_now_and_then),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
