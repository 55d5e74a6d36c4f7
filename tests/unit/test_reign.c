/* SPDX-License-Identifier: Apache-2.0 */
/* test_reign.c - when a standby looks at the register, and what is made of a reign that is given up; who may
 * reign is the simulator's (tests/sim/reigns.c) */
#include "coordinator/followers.h"
#include "coordinator/following.h"
#include "coordinator/reign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LOST_MS 1000
enum { LEADER = 7, STANDBY = 9, OTHER = 11, CLUSTER = 5 };

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

/* Somebody says so, to one whose journal's newest term is `term`. The register's value is swapped away. */
static bool lacks_when_it_takes_over (struct reign value, uint64_t term, bool answer_is_lost)
{
    struct claim claim;
    struct claim_options options = { .id = STANDBY,
                                     .cluster = CLUSTER,
                                     .term = term,
                                     .peer = "tcp://p",
                                     .client = "tcp://c",
                                     .lost_ms = LOST_MS,
                                     .take_over = true };
    claim_start (&claim, &options, 0);
    assert_int_equal (claim_ask (&claim, 0), CLAIM_READ);
    claim_read (&claim, &value, 1);
    assert_int_equal (claim_ask (&claim, 1), CLAIM_SWAP);
    if (answer_is_lost) {
        struct reign mine = claim.next;
        claim_refused (&claim, false, 2);
        assert_int_equal (claim_ask (&claim, 10 * LOST_MS), CLAIM_READ);
        claim_read (&claim, &mine, 10 * LOST_MS);
        assert_int_equal (claim_ask (&claim, 10 * LOST_MS), CLAIM_SWAP); /* once more */
    }
    claim_swapped (&claim, 11 * LOST_MS);
    assert_int_equal (claim.role, CLAIM_LEADING);
    return claim.lacks;
}

static void who_takes_over_and_was_not_in_sync_lacks_what_was_done (void **state)
{
    struct reign own = value_of (true);
    own.leader = STANDBY;
    (void)state;
    assert_true (lacks_when_it_takes_over (value_of (false), 1, false));
    assert_true (lacks_when_it_takes_over (value_of (false), 1, true));
    assert_false (lacks_when_it_takes_over (value_of (true), 1, false));
    assert_false (lacks_when_it_takes_over (own, 1, false));
    assert_false (
        lacks_when_it_takes_over (value_of (false), 2, false)); /* the register is older */
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

static void a_reign_that_was_given_up_is_taken_at_once (void **state)
{
    struct claim claim;
    struct reign value = value_of (true);
    (void)state;
    follow (&claim);
    assert_true (claim_heard_resign (&claim, LEADER, 1, 4, 100));
    assert_int_equal (claim_ask (&claim, 100), CLAIM_READ); /* it may have come in sync */
    claim_read (&claim, &value, 101);
    assert_true (claim_heard (&claim, LEADER, 1, 102)); /* a beat that was late changes nothing */
    assert_int_equal (claim_ask (&claim, 102), CLAIM_SWAP);
    claim_swapped (&claim, 103);
    assert_int_equal (claim.role, CLAIM_LEADING);
    assert_int_equal (claim.term, 2);
    assert_true (claim_was_left_all (&claim, 1, 4));
    assert_false (claim_was_left_all (&claim, 1, 3));
    assert_false (claim_was_left_all (&claim, 0, 4));
}

static void who_is_not_in_sync_takes_no_reign_that_was_given_up (void **state)
{
    struct claim claim;
    struct reign value = value_of (false);
    int reads = 0;
    (void)state;
    follow (&claim);
    for (uint64_t now_ms = 100; now_ms < 2 * LOST_MS; now_ms++) {
        if (now_ms % 50 == 0) /* it is said again and again */
            assert_true (claim_heard_resign (&claim, LEADER, 1, 4, now_ms));
        enum claim_wish wish = claim_ask (&claim, now_ms);
        assert_int_not_equal (wish, CLAIM_SWAP);
        if (wish == CLAIM_READ) {
            claim_read (&claim, &value, now_ms);
            reads++;
        }
    }
    assert_in_range (reads, 2, 9);
}

/* The register names it as the leader, at that address. */
static void is_named (struct claim *claim, const char *peer)
{
    struct claim_options options = {
        .id = LEADER, .cluster = CLUSTER, .term = 1, .peer = "p", .client = "c", .lost_ms = LOST_MS
    };
    struct reign value = value_of (true);
    strcpy (value.peer, peer);
    claim_start (claim, &options, 0);
    assert_int_equal (claim_ask (claim, 0), CLAIM_READ);
    claim_read (claim, &value, 0);
}

static void who_is_back_where_it_led_leads_at_once (void **state)
{
    struct claim claim;
    (void)state;
    is_named (&claim, "p");
    assert_true (claim_led_from_here (&claim));
    assert_int_equal (claim_ask (&claim, 0), CLAIM_SWAP);
}

static void who_is_back_elsewhere_leads_when_nobody_answers_there (void **state)
{
    struct claim claim;
    (void)state;
    is_named (&claim, "there");
    assert_false (claim_led_from_here (&claim));
    assert_int_equal (claim_deadline (&claim), LOST_MS);
    assert_int_equal (claim_ask (&claim, LOST_MS - 1), CLAIM_NOTHING);
    assert_int_equal (claim_ask (&claim, LOST_MS), CLAIM_SWAP);
}

/* It was named at its own address, and its journal has holes. */
static void is_damaged (struct claim *claim, bool with_another)
{
    struct claim_options options = { .id = LEADER,
                                     .cluster = CLUSTER,
                                     .term = 1,
                                     .peer = "p",
                                     .client = "c",
                                     .lost_ms = LOST_MS,
                                     .damaged = true };
    struct reign value = value_of (with_another);
    strcpy (value.peer, "p");
    claim_start (claim, &options, 0);
    assert_int_equal (claim_ask (claim, 0), CLAIM_READ);
    claim_read (claim, &value, 0);
}

static void who_lacks_rows_leaves_the_reign_to_who_has_them (void **state)
{
    struct claim claim;
    struct reign value = value_of (true);
    (void)state;
    is_damaged (&claim, true);
    strcpy (value.peer, "p");
    for (uint64_t now_ms = 1; now_ms < 3 * LOST_MS; now_ms++) {
        enum claim_wish wish = claim_ask (&claim, now_ms);
        assert_int_not_equal (wish, CLAIM_SWAP);
        if (wish == CLAIM_READ)
            claim_read (&claim, &value, now_ms);
    }
    assert_int_equal (claim_ask (&claim, 3 * LOST_MS), CLAIM_SWAP); /* nobody came */
    is_damaged (&claim, true);
    claim_mended (&claim);
    assert_int_equal (claim_ask (&claim, 1), CLAIM_SWAP);
    is_damaged (&claim, false);
    assert_int_equal (claim_ask (&claim, 1), CLAIM_SWAP); /* nobody else has them */
}

/* A leader that takes it out speaks no more to it, and the register may be slow. */
static void who_cannot_store_takes_no_reign_at_the_first_silence (void **state)
{
    struct claim claim;
    struct reign value = value_of (true);
    (void)state;
    follow (&claim);
    claim_read (&claim, &value, 1);
    claim.stuck = true;
    for (uint64_t now_ms = 1; now_ms < 3 * LOST_MS; now_ms++) {
        enum claim_wish wish = claim_ask (&claim, now_ms);
        assert_int_not_equal (wish, CLAIM_SWAP);
        if (wish == CLAIM_READ)
            claim_read (&claim, &value, now_ms);
    }
    assert_int_equal (claim_ask (&claim, 3 * LOST_MS), CLAIM_SWAP);
}

static void a_snapshot_that_hears_its_original_ends (void **state)
{
    struct claim claim;
    (void)state;
    is_named (&claim, "there");
    assert_false (claim_heard (&claim, STANDBY, 1, 1));
    assert_false (claim_heard (&claim, LEADER, 2, 1)); /* of a reign that it has not seen */
    assert_int_equal (claim.role, CLAIM_FOLLOWING);
    assert_false (claim_heard (&claim, LEADER, 1, 1));
    assert_int_equal (claim.role, CLAIM_OVER);
    assert_int_equal (claim.why.code, MU_CONFLICT);
    assert_non_null (strstr (claim.why.text, "there"));
    assert_int_equal (claim_ask (&claim, 2 * LOST_MS), CLAIM_NOTHING);
}

static void a_register_that_went_back_is_not_obeyed (void **state)
{
    struct claim claim;
    struct reign older = value_of (false), newer = value_of (true), later = value_of (false);
    (void)state;
    follow (&claim);
    claim_read (&claim, &newer, 1);
    assert_true (claim_is_past (&claim, &older));
    assert_false (claim_is_past (&claim, &newer));
    later.term = 2;
    later.leader = OTHER;
    assert_false (claim_is_past (&claim, &later)); /* whoever takes a term has to be given way to */
    later.revision = 3;
    assert_false (claim_is_past (&claim, &later));
    claim_read (&claim, &later, 2);
    assert_true (claim_is_past (&claim, &newer));
    struct claim_options options = {
        .id = STANDBY, .cluster = CLUSTER, .term = 2, .peer = "p", .client = "c", .lost_ms = LOST_MS
    };
    claim_start (&claim, &options, 0);
    claim_read (&claim, &newer, 0);
    assert_int_equal (claim.role, CLAIM_OVER);
    assert_non_null (strstr (claim.why.text, "older than this database"));
    options.take_over = true;
    claim_start (&claim, &options, 0);
    assert_int_equal (claim_ask (&claim, 0), CLAIM_READ);
    claim_read (&claim, &newer, 0);
    assert_int_equal (claim_ask (&claim, 0), CLAIM_SWAP);
    assert_int_equal (claim.next.term, 3);
}

static void a_copy_takes_no_part_unless_told_to_take_over (void **state)
{
    struct claim_options options = { .id = LEADER, .cluster = CLUSTER };
    struct mu_error error;
    (void)state;
    assert_int_equal (claim_check (&options, &error), 0);
    options.copied = true;
    assert_int_equal (claim_check (&options, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    options.take_over = true;
    assert_int_equal (claim_check (&options, &error), 0);
}

static void a_stranger_can_give_up_nothing (void **state)
{
    struct claim claim;
    (void)state;
    follow (&claim);
    assert_false (claim_heard_resign (&claim, LEADER, 2, 4, 100));
    assert_false (claim_heard_resign (&claim, STANDBY + 1, 1, 4, 100));
    claim_ask (&claim, 100); /* a higher term: it looks */
    assert_int_equal (claim.resigned, 0);
}

/* It leads with the standby in sync, at 0. */
static void lead (struct claim *claim, struct followers *followers)
{
    struct claim_options options = {
        .id = LEADER, .peer = "p", .client = "c", .lost_ms = LOST_MS, .new_cluster = CLUSTER
    };
    struct reign empty = { 0 };
    memset (followers, 0, sizeof *followers);
    followers->lost_ms = LOST_MS;
    claim_start (claim, &options, 0);
    assert_int_equal (claim_ask (claim, 0), CLAIM_READ);
    claim_read (claim, &empty, 0);
    assert_int_equal (claim_ask (claim, 0), CLAIM_SWAP);
    claim_swapped (claim, 0);
    struct follower *follower = followers_follow (followers, claim, 0, STANDBY, true, 4, 0);
    followers_fed (follower, 5, 5);
    assert_true (followers_have (followers, claim, STANDBY, follower->stream, 5, 0));
    assert_int_equal (claim_ask (claim, 0), CLAIM_SWAP);
}

static void who_has_resigned_changes_nothing_and_sees_the_next (void **state)
{
    struct claim claim;
    struct followers followers;
    (void)state;
    lead (&claim, &followers);
    claim_resign (&claim, 1);
    claim_swapped (&claim, 2); /* what was under way */
    assert_int_equal (claim.role, CLAIM_RESIGNED);
    assert_true (claim_has_heir (&claim));
    claim_lost (&claim, STANDBY);
    assert_false (claim_has_heir (&claim));
    for (uint64_t now_ms = 2; now_ms < 3 * LOST_MS; now_ms++)
        if (claim_ask (&claim, now_ms) != CLAIM_NOTHING) {
            assert_false (claim.swapping);
            struct reign same = claim.value;
            claim_read (&claim, &same, now_ms);
        }
    assert_int_equal (claim.role, CLAIM_RESIGNED);
    struct reign later = claim.value;
    later.term++;
    later.leader = STANDBY;
    claim_read (&claim, &later, 3 * LOST_MS);
    assert_int_equal (claim.role, CLAIM_OVER);
    assert_int_equal (claim.why.code, MU_NOT_LEADER);
}

/* Started anew within the time in which it would be missed: it is taken at once, and counts when nobody else was heard. */
static void who_came_back_is_in_sync_when_the_one_before_is_silent (void **state)
{
    struct claim claim;
    struct followers followers;
    uint32_t other;
    (void)state;
    lead (&claim, &followers);
    claim_swapped (&claim, 1);
    struct follower *follower = followers_follow (&followers, &claim, 1, STANDBY, true, 5, 10);
    followers_fed (follower, 5, 5);
    assert_true (followers_have (&followers, &claim, STANDBY, follower->stream, 5, 10));
    assert_int_equal (followers_confirmed (&followers, &claim, 5), 0);
    assert_int_equal (claim_ask (&claim, 10), CLAIM_SWAP); /* out */
    claim_swapped (&claim, 11);
    assert_int_equal (followers_confirmed (&followers, &claim, 5), 5);
    assert_true (followers_have (&followers, &claim, STANDBY, follower->stream, 5, 9 + LOST_MS));
    assert_int_equal (claim.live_count, 0);
    assert_true (followers_have (&followers, &claim, STANDBY, follower->stream, 5, 10 + LOST_MS));
    assert_int_equal (claim_ask (&claim, 10 + LOST_MS), CLAIM_SWAP);
    assert_true (reign_in_sync (&claim.next, STANDBY));
    assert_false (followers_are_two (follower, &other));
}

static void of_two_with_one_id_the_later_is_sent_away (void **state)
{
    struct claim claim;
    struct followers followers;
    struct follower *follower = NULL;
    uint32_t other;
    (void)state;
    lead (&claim, &followers);
    claim_swapped (&claim, 1);
    for (uint32_t i = 1; i < 4; i++) { /* it came as 0: 1, 0, 1 */
        follower = followers_follow (&followers, &claim, i % 2, STANDBY, true, 5, i * LOST_MS / 2);
        followers_fed (follower, 5, 5);
        followers_have (&followers, &claim, STANDBY, follower->stream, 5, i * LOST_MS / 2);
        assert_int_equal (claim.live_count, 0);
        assert_false (followers_are_two (follower, &other));
    }
    follower = followers_follow (&followers, &claim, 0, STANDBY, true, 5, 2 * LOST_MS);
    assert_true (followers_are_two (follower, &other));
    assert_int_equal (other, 1);
}

/* The leader stood still while one asked, died, and asked again as another. */
static void what_comes_all_at_once_is_no_return (void **state)
{
    struct claim claim;
    struct followers followers;
    uint32_t other;
    (void)state;
    lead (&claim, &followers);
    claim_swapped (&claim, 1);
    for (uint32_t i = 1; i < 9; i++) {
        struct follower *follower =
            followers_follow (&followers, &claim, i % 2, STANDBY, true, 5, 3 * LOST_MS + i);
        assert_false (followers_are_two (follower, &other));
    }
}

static void who_follows_no_more_is_taken_out_without_waiting (void **state)
{
    struct claim claim;
    struct followers followers;
    (void)state;
    lead (&claim, &followers);
    claim_swapped (&claim, 1);
    uint64_t stream = followers.list[0].stream;
    followers_leave (&followers, &claim, STANDBY, stream - 1); /* of an earlier life */
    assert_int_equal (claim_ask (&claim, 2), CLAIM_NOTHING);
    followers_leave (&followers, &claim, STANDBY, stream);
    assert_int_equal (followers_confirmed (&followers, &claim, 6), 0); /* until it is out */
    assert_int_equal (claim_ask (&claim, 2), CLAIM_SWAP);
    assert_false (reign_in_sync (&claim.next, STANDBY));
    claim_swapped (&claim, 3);
    assert_int_equal (followers_confirmed (&followers, &claim, 6), 6);
}

static void who_has_confirmed_nothing_is_not_waited_for (void **state)
{
    struct claim claim;
    struct followers followers;
    (void)state;
    lead (&claim, &followers);
    claim_swapped (&claim, 1);
    struct follower *other = followers_follow (&followers, &claim, 1, OTHER, true, 5, 1);
    uint64_t stream = other->stream;
    followers_fed (other, 5, 5);
    followers_sent (other, 6);
    followers_sent (&followers.list[0], 6);
    assert_true (followers_have (&followers, &claim, STANDBY, followers.list[0].stream, 6, 2));
    assert_int_equal (followers_confirmed (&followers, &claim, 6), 6);
    assert_true (
        followers_have (&followers, &claim, OTHER, stream, 5, 3)); /* it can store, and counts */
    assert_int_equal (followers_confirmed (&followers, &claim, 6), 5);
    assert_int_equal (claim_ask (&claim, 3), CLAIM_NOTHING); /* 6 was acknowledged without it */
    assert_true (followers_have (&followers, &claim, OTHER, stream, 6, 4));
    assert_int_equal (claim_ask (&claim, 4), CLAIM_SWAP);
    assert_true (reign_in_sync (&claim.next, OTHER));
}

static void who_could_not_store_asks_again_after_a_while (void **state)
{
    struct following following;
    struct following_rows rows = {
        .term = 1, .stream = 3, .before = 5, .newest = 6, .first = true, .whole = true
    };
    bool gave_up;
    (void)state;
    following_start (&following, 5, LOST_MS / 2);
    assert_true (following_asks (&following, 1, 5, &gave_up, 0));
    assert_int_equal (following_rows (&following, &rows, 1), FOLLOWING_TAKE);
    following_failed (&following, 5, 2);
    assert_false (following_asks (&following, 1, 5, &gave_up, 1 + LOST_MS));
    assert_int_equal (following_rows (&following, &rows, 3),
                      FOLLOWING_IGNORE); /* of a stream that is over */
    assert_true (following_asks (&following, 1, 5, &gave_up, 2 + LOST_MS));
    rows.stream = 4;
    assert_int_equal (following_rows (&following, &rows, 3 + LOST_MS), FOLLOWING_TAKE);
}

/* Its first piece comes when a later stream was taken and asked anew: it lacks what that one confirmed. */
static void an_older_journal_that_was_held_back_replaces_nothing (void **state)
{
    struct following following;
    struct following_rows rows = {
        .term = 1, .stream = 4, .before = 5, .newest = 6, .first = true, .whole = true
    };
    struct following_rows all = {
        .term = 1, .stream = 3, .newest = 5, .first = true, .fresh = true, .whole = true
    };
    bool gave_up;
    (void)state;
    following_start (&following, 5, LOST_MS / 2);
    assert_true (following_asks (&following, 1, 5, &gave_up, 0));
    assert_int_equal (following_rows (&following, &rows, 1), FOLLOWING_TAKE);
    assert_true (following_asks (&following, 1, 6, &gave_up, LOST_MS));
    assert_int_equal (following_rows (&following, &all, 1 + LOST_MS), FOLLOWING_IGNORE);
    all.stream = 5;
    assert_int_equal (following_rows (&following, &all, 2 + LOST_MS), FOLLOWING_REPLACE);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (who_came_in_sync_since_it_looked_takes_over_when_the_leader_is_lost),
        cmocka_unit_test (who_takes_over_and_was_not_in_sync_lacks_what_was_done),
        cmocka_unit_test (who_is_not_in_sync_looks_now_and_then),
        cmocka_unit_test (a_reign_that_was_given_up_is_taken_at_once),
        cmocka_unit_test (who_is_not_in_sync_takes_no_reign_that_was_given_up),
        cmocka_unit_test (who_is_back_where_it_led_leads_at_once),
        cmocka_unit_test (who_is_back_elsewhere_leads_when_nobody_answers_there),
        cmocka_unit_test (who_lacks_rows_leaves_the_reign_to_who_has_them),
        cmocka_unit_test (who_cannot_store_takes_no_reign_at_the_first_silence),
        cmocka_unit_test (a_snapshot_that_hears_its_original_ends),
        cmocka_unit_test (a_register_that_went_back_is_not_obeyed),
        cmocka_unit_test (a_copy_takes_no_part_unless_told_to_take_over),
        cmocka_unit_test (a_stranger_can_give_up_nothing),
        cmocka_unit_test (who_has_resigned_changes_nothing_and_sees_the_next),
        cmocka_unit_test (who_came_back_is_in_sync_when_the_one_before_is_silent),
        cmocka_unit_test (of_two_with_one_id_the_later_is_sent_away),
        cmocka_unit_test (what_comes_all_at_once_is_no_return),
        cmocka_unit_test (who_follows_no_more_is_taken_out_without_waiting),
        cmocka_unit_test (who_has_confirmed_nothing_is_not_waited_for),
        cmocka_unit_test (who_could_not_store_asks_again_after_a_while),
        cmocka_unit_test (an_older_journal_that_was_held_back_replaces_nothing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
