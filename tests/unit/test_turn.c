/* SPDX-License-Identifier: Apache-2.0 */
/* test_turn.c - nothing is said or logged before it is durable, whatever the store does; nor before others
 * have confirmed it, but to clients that do not wait for them
 *
 * The store, the socket and the leader's side of its followers are false ones: the store fails as often as it is
 * told, the socket counts what it is given, the leader says what a test wants. */
#include "coordinator/io_outbox.h"
#include "coordinator/io_turn.h"

#include "clock.h"
#include "log.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LIMIT_MS 10000

/* --- the false store -------------------------------------------------------------------------- */

struct store {
    _Atomic int failures; /* commits that will fail */
    _Atomic int code;     /* and how */
    _Atomic int tries, durable;
    pthread_mutex_t gate; /* held by a test: commits wait */
};

struct store_batch {
    uint32_t count;
};

struct store_batch *store_batch_create (void) { return calloc (1, sizeof (struct store_batch)); }

void store_batch_destroy (struct store_batch **batch_p)
{
    free (*batch_p);
    *batch_p = NULL;
}

uint32_t store_batch_count (const struct store_batch *batch) { return batch->count; }
size_t store_batch_bytes (const struct store_batch *batch) { return batch->count * 100u; }

int store_batch_add (struct store_batch *batch, const struct mu_journal *record,
                     struct mu_error *error)
{
    if (record->type == MU_JOURNAL_REWIND)
        return mu_fail (error, MU_INTERNAL, "this record breaks a limit");
    batch->count++;
    return 0;
}

int store_commit (struct store *store, struct store_batch *batch, uint64_t unix_ms,
                  struct mu_error *error)
{
    (void)unix_ms;
    pthread_mutex_lock (&store->gate);
    pthread_mutex_unlock (&store->gate);
    atomic_fetch_add (&store->tries, 1);
    if (atomic_load (&store->failures) > 0) {
        atomic_fetch_sub (&store->failures, 1);
        return mu_fail (error, (enum mu_code)atomic_load (&store->code),
                        "the store is told to fail");
    }
    atomic_fetch_add (&store->durable, (int)batch->count);
    batch->count = 0;
    return 0;
}

/* --- the false socket ------------------------------------------------------------------------- */

static struct store store;
static uint32_t said, said_again, logged;
static int durable_when_said;

void sockets_send (struct mu_sockets *sockets, uint32_t peer, const void *data, size_t size)
{
    (void)sockets;
    assert_int_equal (peer, 7);
    assert_true (data && size);
    durable_when_said = atomic_load (&store.durable);
    said++;
}

void sockets_send_again (struct mu_sockets *sockets, uint32_t peer)
{
    (void)sockets;
    assert_int_equal (peer, 7);
    said_again++;
}

static void hear_log (void *arg, enum mu_log_level level, const struct mu_log_about *about,
                      const char *line, size_t size)
{
    (void)arg, (void)level, (void)about;
    if (memmem (line, size, "\"drain\"", 7))
        logged++;
}

/* --- the false leader ------------------------------------------------------------------------- */

static uint64_t confirmed;
static bool ahead,
    young; /* clients do not wait; and the oldest turn that is not confirmed is young */
static uint32_t given;

uint64_t store_newest (const struct store *of) { return (uint64_t)atomic_load (&of->durable); }
uint64_t lead_confirmed (const struct lead *lead) { return lead ? confirmed : 0; }
bool lead_answers_ahead (const struct lead *lead) { return lead && ahead; }

bool lead_may_answer (const struct lead *lead, uint64_t given_ms, uint64_t now_ms)
{
    return lead && ahead && young && given_ms <= now_ms;
}

void lead_give (struct lead *lead, const struct store_batch *batch, uint64_t unix_ms)
{
    (void)lead, (void)unix_ms;
    given += batch->count;
}

/* --- the bed ---------------------------------------------------------------------------------- */

static struct committer *committer;
static struct turn *turn;

static int begin (void **state)
{
    (void)state;
    struct mu_error error;
    store = (struct store){ .code = MU_IO, .gate = PTHREAD_MUTEX_INITIALIZER };
    said = said_again = logged = given = 0;
    durable_when_said = -1;
    mu_log_open ("test", "/dev/null", MU_LOG_INFO, NULL);
    mu_log_also (hear_log, NULL);
    turn = turn_create ();
    committer = committer_start (&store, &error);
    return turn && committer ? 0 : -1;
}

static int end (void **state)
{
    (void)state;
    committer_stop (&committer);
    turn_destroy (&turn);
    mu_log_also (NULL, NULL);
    mu_log_close ();
    return 0;
}

/* A decision: two records, and a word that promises them. */
static void decide (struct turn *into)
{
    struct mu_error error;
    struct coord_action actions[3] = {
        { .type = COORD_STORE, .store = { .type = MU_JOURNAL_DRAIN } },
        { .type = COORD_SEND, .send = { .peer = 7, .wire = { .type = MU_WIRE_WHO } } },
        { .type = COORD_STORE, .store = { .type = MU_JOURNAL_DRAIN } },
    };
    assert_int_equal (turn_add (into, actions, 3, &error), 0);
}

static struct turn *must_take (void)
{
    struct pollfd item = { .fd = committer_done_fd (committer), .events = POLLIN };
    assert_int_equal (poll (&item, 1, LIMIT_MS), 1);
    struct turn *done = committer_take (committer);
    assert_non_null (done);
    return done;
}

static void wait_for_tries (int wanted)
{
    struct timespec pause = { 0, 1000000 };
    for (int ms = 0; ms < LIMIT_MS && atomic_load (&store.tries) < wanted; ms++)
        nanosleep (&pause, NULL);
    assert_true (atomic_load (&store.tries) >= wanted);
}

/* --- stories ---------------------------------------------------------------------------------- */

static void words_wait_for_their_records (void **state)
{
    (void)state;
    pthread_mutex_lock (&store.gate);
    decide (turn);
    committer_give (committer, turn);
    turn = NULL;
    struct pollfd item = { .fd = committer_done_fd (committer), .events = POLLIN };
    assert_int_equal (poll (&item, 1, 50), 0);
    assert_null (committer_take (committer));
    assert_int_equal (said + logged, 0);
    pthread_mutex_unlock (&store.gate);
    turn = must_take ();
    assert_int_equal (said + logged, 0);
    turn_speak (turn, NULL);
    assert_int_equal (said, 1);
    assert_int_equal (logged, 2);
    assert_int_equal (durable_when_said, 2);
    assert_int_equal (turn_words (turn) + turn_records (turn), 0);
    turn_speak (turn, NULL);
    assert_int_equal (said + logged, 3);
}

static void a_full_disk_delays_and_loses_nothing (void **state)
{
    (void)state;
    struct mu_error error;
    atomic_store (&store.failures, 2);
    decide (turn);
    committer_give (committer, turn);
    turn = NULL;
    wait_for_tries (1);
    turn = must_take ();
    assert_int_equal (atomic_load (&store.tries), 3);
    assert_int_equal (atomic_load (&store.durable), 2);
    assert_false (committer_is_stuck (committer));
    assert_int_equal (committer_check (committer, &error), 0);
    assert_int_equal (committer_commits (committer), 1);
    turn_speak (turn, NULL);
    assert_int_equal (said, 1);
}

/* Told to stop while the disk is full: it ends, and what was not stored was not said. */
static void a_stuck_store_does_not_hold_the_end (void **state)
{
    (void)state;
    atomic_store (&store.failures, 1000000);
    decide (turn);
    committer_give (committer, turn);
    turn = NULL;
    wait_for_tries (2);
    assert_true (committer_is_stuck (committer));
    committer_stop (&committer);
    assert_int_equal (said + logged, 0);
    assert_int_equal (atomic_load (&store.durable), 0);
}

/* What another program wrote cannot be repaired by trying again. */
static void a_second_writer_ends_it (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    atomic_store (&store.code, MU_CONFLICT);
    atomic_store (&store.failures, 1000000);
    decide (turn);
    committer_give (committer, turn);
    turn = NULL;
    struct pollfd item = { .fd = committer_done_fd (committer), .events = POLLIN };
    assert_int_equal (poll (&item, 1, LIMIT_MS), 1);
    assert_null (committer_take (committer));
    assert_int_equal (committer_check (committer, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    assert_true (committer_is_stuck (committer));
    assert_int_equal (atomic_load (&store.tries), 1);
}

static void a_turn_says_when_it_is_full (void **state)
{
    (void)state;
    struct mu_wire wire = { .type = MU_WIRE_WHO };
    uint32_t words = 0;
    while (!turn_is_full (turn)) {
        turn_say (turn, 7, &wire);
        assert_true (++words <= 65536);
    }
    turn_speak (turn, NULL);
    assert_int_equal (said, words);
    assert_false (turn_is_full (turn));
    static char text[1 << 20]; /* large answers fill it sooner */
    memset (text, 'x', sizeof text);
    wire = (struct mu_wire){ .type = MU_WIRE_LOG_TEXT, .log_text.text = { text, sizeof text } };
    for (words = 0; !turn_is_full (turn); words++) {
        text[0] = (char)('a' + words % 2);
        turn_say (turn, 7, &wire);
    }
    assert_in_range (words, 60, 70);
}

static void a_word_beyond_its_limit_is_dropped_alone (void **state)
{
    (void)state;
    struct mu_wire wire = { .type = MU_WIRE_LOG_TEXT, .log_text.text = { "\xff", 1 } };
    turn_say (turn, 7, &wire);
    assert_int_equal (turn_words (turn), 0);
    wire = (struct mu_wire){ .type = MU_WIRE_WHO };
    turn_say (turn, 7, &wire);
    turn_speak (turn, NULL);
    assert_int_equal (said, 1);
}

static void a_record_beyond_its_limit_is_fatal (void **state)
{
    (void)state;
    struct mu_error error;
    struct coord_action action = { .type = COORD_STORE, .store = { .type = MU_JOURNAL_REWIND } };
    assert_int_equal (turn_add (turn, &action, 1, &error), -1);
    assert_int_equal (error.code, MU_INTERNAL);
}

/* Two records, a word that promises them to a worker, and one to a client. */
static void decide_for_a_client (struct turn *into)
{
    struct mu_wire accepted = { .type = MU_WIRE_ACCEPTED };
    decide (into);
    turn_say (into, 7, &accepted);
}

static struct outbox *open_outbox (struct loop_counts *counts, bool alone)
{
    struct outbox *outbox;
    struct lead *lead = (struct lead *)&store; /* which nobody looks into */
    struct outbox_options options = {
        .store = &store, .committer = committer, .lead = alone ? NULL : lead, .counts = counts
    };
    confirmed = 0;
    assert_int_equal (outbox_open (&outbox, &options, NULL), 0);
    return outbox;
}

static void await_commit (struct outbox *outbox)
{
    struct pollfd item = { .fd = committer_done_fd (committer), .events = POLLIN };
    assert_int_equal (poll (&item, 1, LIMIT_MS), 1);
    outbox_collect (outbox);
    assert_false (outbox_is_committing (outbox));
}

static void pass_on (struct outbox *outbox)
{
    decide_for_a_client (turn);
    outbox_pass (outbox, &turn);
    await_commit (outbox);
    assert_int_equal (outbox_speak (outbox, NULL), 0);
}

/* Nobody follows: the disk has the next turn before the last one is spoken, and no third. */
static void the_disk_need_not_wait_for_words (void **state)
{
    (void)state;
    struct loop_counts counts = { 0 };
    struct outbox *outbox = open_outbox (&counts, true);
    decide_for_a_client (turn);
    outbox_pass (outbox, &turn);
    await_commit (outbox);
    decide_for_a_client (turn);
    outbox_pass (outbox, &turn);
    assert_true (outbox_is_committing (outbox));
    decide_for_a_client (turn);
    outbox_pass (outbox, &turn);
    assert_int_equal (turn_records (turn), 2);
    assert_int_equal (said + logged, 0);
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 2); /* what is not durable is not told */
    await_commit (outbox);
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 4);
    assert_true (outbox_is_empty (outbox));
    committer_stop (&committer);
    outbox_close (&outbox);
}

/* Workers that get no answer fall silent, and that is not their fault. But where one turn after the other is late and
 * spoken, they are answered. */
static void words_that_wait_long_make_it_mute (void **state)
{
    (void)state;
    struct loop_counts counts = { 0 };
    ahead = true, young = false;
    struct outbox *outbox = open_outbox (&counts, false);
    assert_false (outbox_is_mute (outbox, mu_now_ms () + LIMIT_MS, 1000)); /* nothing waits */
    decide (turn);
    outbox_pass (outbox, &turn);
    uint64_t given_ms = mu_now_ms ();
    assert_false (outbox_is_mute (outbox, given_ms, 1000));
    assert_true (outbox_is_mute (outbox, given_ms + 500, 1000));
    assert_false (outbox_is_mute (outbox, given_ms + 500, 4000)); /* they are more patient */
    assert_true (outbox_is_mute (outbox, given_ms + 100, 100));
    await_commit (outbox);
    decide (turn);
    outbox_pass (outbox, &turn);
    await_commit (outbox);
    assert_true (
        outbox_is_mute (outbox, given_ms + 500, 1000)); /* a standby has not confirmed them */
    confirmed = 2;
    struct timespec pause = { 0, 20 * 1000000 };
    nanosleep (&pause, NULL);
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 1);
    assert_false (outbox_is_mute (outbox, mu_now_ms (), 1000));
    assert_true (outbox_is_mute (outbox, mu_now_ms () + 500, 1000)); /* the other one still waits */
    confirmed = 4;
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_false (outbox_is_mute (outbox, mu_now_ms () + LIMIT_MS, 1000));
    committer_stop (&committer);
    outbox_close (&outbox);
}

/* A commit for two, when a hundred ask, makes the others wait for the next one. */
static void few_wait_a_moment_where_many_asked (void **state)
{
    (void)state;
    assert_int_equal (outbox_worth_us (1, 100, 1000), 1000);
    assert_int_equal (outbox_worth_us (49, 100, 1000), 1000);
    assert_int_equal (outbox_worth_us (50, 100, 1000), 0);      /* as many as can be hoped for */
    assert_int_equal (outbox_worth_us (0, 100, 1000), 0);       /* words alone */
    assert_int_equal (outbox_worth_us (1, 7, 1000), 0);         /* there is no crowd */
    assert_int_equal (outbox_worth_us (1, 100, 9000000), 5000); /* the disk had hung */
    struct loop_counts counts = { 0 };
    struct outbox *outbox = open_outbox (&counts, true);
    assert_int_equal (outbox_patience_us (outbox, turn), 0);
    for (int i = 0; i < 50; i++)
        decide (turn);
    pass_on (outbox);
    decide (turn);
    struct timespec pause = { 0, 1000000 };
    for (int ms = 0; ms < LIMIT_MS && outbox_patience_us (outbox, turn); ms++)
        nanosleep (&pause, NULL);
    assert_int_equal (outbox_patience_us (outbox, turn), 0);
    pass_on (outbox); /* of a few */
    decide (turn);
    assert_int_equal (outbox_patience_us (outbox, turn), 0);
    committer_stop (&committer);
    outbox_close (&outbox);
}

static void all_wait_for_those_in_sync (void **state)
{
    (void)state;
    struct loop_counts counts = { 0 };
    ahead = false, young = true;
    struct outbox *outbox = open_outbox (&counts, false);
    pass_on (outbox);
    assert_int_equal (given, 2);
    decide_for_a_client (turn);
    outbox_pass (outbox, &turn); /* one at a time */
    assert_int_equal (turn_records (turn), 2);
    assert_int_equal (said + logged, 0);
    confirmed = 1;
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said + logged, 0);
    confirmed = 2;
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 2);
    assert_int_equal (logged, 2);
    assert_true (outbox_is_empty (outbox));
    committer_stop (&committer);
    outbox_close (&outbox);
}

static void clients_may_be_told_not_to_wait_and_workers_do (void **state)
{
    (void)state;
    struct loop_counts counts = { 0 };
    ahead = young = true;
    struct outbox *outbox = open_outbox (&counts, false);
    pass_on (outbox);
    assert_int_equal (said, 1);
    pass_on (outbox);
    assert_int_equal (said, 2);
    struct mu_wire pong = { .type = MU_WIRE_PONG }, who = { .type = MU_WIRE_WHO };
    turn_say (turn, 7, &pong);
    turn_say (turn, 7, &who);
    outbox_pass (outbox, &turn); /* words without records: the worker's stands on earlier ones */
    assert_int_equal (said, 3);
    outbox_pass (outbox, &turn);
    assert_int_equal (said, 3);
    young = false;
    pass_on (outbox);
    assert_int_equal (said, 3); /* too far ahead: they wait */
    confirmed = 2;
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 4);
    assert_int_equal (logged, 2);
    confirmed = 6;
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 8); /* each once */
    assert_int_equal (counts.sent, 8);
    assert_true (outbox_is_empty (outbox));
    committer_stop (&committer);
    outbox_close (&outbox);
}

/* A standby stands still: clients are answered all the while. It may be slow alone: what is on its way first is
 * confirmed first, and only what came when there was no more room waits together. */
static void clients_do_not_wait_for_one_that_stands_still (void **state)
{
    (void)state;
    struct loop_counts counts = { 0 };
    ahead = young = true;
    struct outbox *outbox = open_outbox (&counts, false);
    for (uint32_t turns = 1; turns <= 100; turns++) {
        pass_on (outbox);
        assert_int_equal (turn_records (turn), 0); /* it is on its way */
        assert_int_equal (said, turns);
    }
    confirmed = 2 * 14;
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 114);
    confirmed = 2 * 99;
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 114);
    assert_int_equal (logged, 2 * 14);
    confirmed = 2 * 100;
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 200);
    assert_int_equal (logged, 200);
    assert_int_equal (counts.sent, 200);
    assert_true (outbox_is_empty (outbox));
    committer_stop (&committer);
    outbox_close (&outbox);
}

static void but_for_the_disk_all_wait (void **state)
{
    (void)state;
    struct loop_counts counts = { 0 };
    ahead = young = true;
    struct outbox *outbox = open_outbox (&counts, false);
    pthread_mutex_lock (&store.gate);
    decide_for_a_client (turn);
    outbox_pass (outbox, &turn);
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 0);
    pthread_mutex_unlock (&store.gate);
    await_commit (outbox);
    assert_int_equal (outbox_speak (outbox, NULL), 0);
    assert_int_equal (said, 1);
    committer_stop (&committer);
    outbox_close (&outbox);
}

#define TURN_TEST(test) cmocka_unit_test_setup_teardown (test, begin, end)

/* A thousand ranks hear the same FENCED: it must not lie in memory a thousand times. */
static void a_large_word_for_many_lies_there_once (void **state)
{
    (void)state;
    static char values[100000];
    struct mu_wire wire = { .type = MU_WIRE_FENCED,
                            .fenced = { .values = { values, sizeof values } } };
    for (uint32_t number = 0; number < 2; number++) {
        wire.fenced.number = number;
        for (int rank = 0; rank < 1000; rank++)
            turn_say (turn, 7, &wire);
    }
    assert_int_equal (turn_words (turn), 2000);
    assert_false (turn_is_full (turn)); /* 64 MiB, not the 200 MB that were said */
    turn_speak (turn, NULL);
    assert_int_equal (said, 2);
    assert_int_equal (said_again, 1998);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        TURN_TEST (words_wait_for_their_records),
        TURN_TEST (the_disk_need_not_wait_for_words),
        TURN_TEST (few_wait_a_moment_where_many_asked),
        TURN_TEST (words_that_wait_long_make_it_mute),
        TURN_TEST (all_wait_for_those_in_sync),
        TURN_TEST (clients_may_be_told_not_to_wait_and_workers_do),
        TURN_TEST (clients_do_not_wait_for_one_that_stands_still),
        TURN_TEST (but_for_the_disk_all_wait),
        TURN_TEST (a_full_disk_delays_and_loses_nothing),
        TURN_TEST (a_stuck_store_does_not_hold_the_end),
        TURN_TEST (a_second_writer_ends_it),
        TURN_TEST (a_turn_says_when_it_is_full),
        TURN_TEST (a_word_beyond_its_limit_is_dropped_alone),
        TURN_TEST (a_record_beyond_its_limit_is_fatal),
        TURN_TEST (a_large_word_for_many_lies_there_once),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
