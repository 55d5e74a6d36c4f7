/* SPDX-License-Identifier: Apache-2.0 */
/* test_preempt.c - who gives workers to whom: the coordinator's core alone
 *
 * The bed plays the workers: each does at once what it is told, unless it is held. A test submits jobs,
 * lets time pass, and looks at who has how many. */
#include "coordinator/queue.h"
#include "coordinator/queue_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define WORKERS_MAX 8u
#define WORDS_MAX   64u

struct played {
    bool here, held, odd, drops; /* held: does not end its generation; drops: says nothing any more */
    bool parted;                 /* reaches no other worker */
    bool stands;                 /* ends no further step */
    const char *class;
    uint64_t job, generation, step, said_ms; /* step: in its beats alone */
};

struct word {
    uint32_t peer;
    struct mu_wire wire;
};

static struct bed {
    struct coord *coord;
    struct coord_actions actions;
    uint64_t now_ms;
    struct played worker[WORKERS_MAX];
    struct word words[WORDS_MAX]; /* on their way to the coordinator */
    uint32_t word_count;
    uint32_t breaks;
    char reason[256]; /* of the newest break */
} bed;

static void step (struct coord_event event);

/* --- the workers ------------------------------------------------------------------------------ */

static struct mu_wire *say (uint32_t peer, enum mu_wire_type type)
{
    assert_true (bed.word_count < WORDS_MAX);
    struct word *word = &bed.words[bed.word_count++];
    *word = (struct word){ .peer = peer, .wire = { .type = type } };
    return &word->wire;
}

static void say_beat (uint32_t peer);

static void say_prepared (uint32_t peer, const struct mu_wire *assign)
{
    struct mu_wire *wire = say (peer, MU_WIRE_PREPARED);
    struct mu_wire_prepared *said = &wire->prepared;
    wire->term = assign->term;
    *said = (struct mu_wire_prepared){ .job = assign->assign.job,
                                       .records = 1000,
                                       .parameters = 10,
                                       .targets = 1,
                                       .order = assign->assign.order };
    mu_text_set (said->digest, sizeof said->digest, "d");
    mu_text_set (said->data_identity, sizeof said->data_identity,
                 bed.worker[peer].odd ? "odd" : "data");
}

static void say_aborted (uint32_t peer)
{
    struct mu_wire_aborted *said = &say (peer, MU_WIRE_ABORTED)->aborted;
    said->job = bed.worker[peer].job;
    said->generation = bed.worker[peer].generation;
    bed.worker[peer].generation = 0;
    bed.worker[peer].stands = false;
}

static void obey (uint32_t peer, const struct mu_wire *wire)
{
    struct played *worker = &bed.worker[peer];
    if (wire->type == MU_WIRE_ASSIGN) {
        worker->job = wire->assign.job;
        say_prepared (peer, wire);
    } else if (wire->type == MU_WIRE_FORM) {
        worker->generation = wire->form.generation;
        worker->step = wire->form.step;
        if (worker->parted && wire->form.size > 1)
            return;
        struct mu_wire_ready *said = &say (peer, MU_WIRE_READY)->ready;
        said->job = wire->form.job;
        said->generation = wire->form.generation;
    } else if (wire->type == MU_WIRE_CONNECT && wire->connect.size) {
        struct mu_wire_connected *said = &say (peer, MU_WIRE_CONNECTED)->connected;
        said->job = wire->connect.job;
        said->generation = wire->connect.generation;
        mu_text_set (said->world, sizeof said->world, wire->connect.world);
    } else if (wire->type == MU_WIRE_REVIEW) {
        struct mu_wire_digest *said = &say (peer, MU_WIRE_DIGEST)->digest;
        said->job = wire->review.job;
        said->generation = wire->review.generation;
        said->step = wire->review.step + 1;
    } else if (wire->type == MU_WIRE_LEASE) {
        worker->stands = wire->lease.stop;
        if (worker->stands && wire->lease.until_step > worker->step)
            worker->step = wire->lease.until_step;
        say_beat (peer);
    } else if (wire->type == MU_WIRE_ABORT && worker->generation && !worker->held) {
        say_aborted (peer);
    } else if (wire->type == MU_WIRE_RELEASE) {
        struct mu_wire *said = say (peer, MU_WIRE_RELEASED);
        said->term = wire->term;
        said->released.job = wire->release.job;
        said->released.order = wire->release.order;
        worker->job = worker->generation = 0;
    }
}

static void say_beat (uint32_t peer)
{
    const struct played *worker = &bed.worker[peer];
    struct mu_wire_beat *said = &say (peer, MU_WIRE_BEAT)->beat;
    said->job = worker->job;
    said->generation = worker->generation;
    said->step = worker->step;
    said->phase = worker->stands       ? MU_PHASE_UNLEASED
                  : worker->generation ? MU_PHASE_COMPUTING
                                       : MU_PHASE_WAITING;
    bed.worker[peer].said_ms = bed.now_ms;
}

/* --- time ------------------------------------------------------------------------------------- */

static void step (struct coord_event event)
{
    event.now_ms = bed.now_ms;
    event.unix_ms = 1700000000000 + bed.now_ms;
    bed.actions.count = 0;
    coord_step (bed.coord, &event, &bed.actions);
    for (uint32_t i = 0; i < bed.actions.count; i++) {
        const struct coord_action *action = &bed.actions.list[i];
        if (action->type == COORD_SEND && action->send.peer < WORKERS_MAX &&
            bed.worker[action->send.peer].here && !bed.worker[action->send.peer].drops)
            obey (action->send.peer, &action->send.wire);
        if (action->type == COORD_STORE && action->store.type == MU_JOURNAL_BROKEN) {
            bed.breaks++;
            mu_text_set (bed.reason, sizeof bed.reason, action->store.broken.reason);
        }
    }
}

static void deliver (void)
{
    for (uint32_t i = 0; i < bed.word_count; i++) {
        struct word word = bed.words[i];
        if (!bed.worker[word.peer].drops || word.wire.type == MU_WIRE_BYE)
            step ((struct coord_event){
                .type = COORD_RECEIVE, .peer = word.peer, .wire = &word.wire });
    }
    bed.word_count = 0;
}

static void pass (uint64_t ms)
{
    for (uint64_t end_ms = bed.now_ms + ms; bed.now_ms < end_ms;) {
        bed.now_ms += 5;
        for (uint32_t i = 0; i < WORKERS_MAX; i++)
            if (bed.worker[i].here && bed.now_ms >= bed.worker[i].said_ms + 250)
                say_beat (i);
        while (bed.word_count)
            deliver ();
        step ((struct coord_event){ .type = COORD_TIMER });
    }
}

/* --- the bed ---------------------------------------------------------------------------------- */

static void come (uint32_t peer, const char *class)
{
    struct mu_wire *wire = say (peer, MU_WIRE_HELLO);
    wire->hello.incarnation = 1;
    wire->hello.threads = 1;
    snprintf (wire->hello.name, sizeof wire->hello.name, "w%u", peer);
    mu_text_set (wire->hello.compute_class, sizeof wire->hello.compute_class, class);
    bed.worker[peer].here = true;
    bed.worker[peer].said_ms = bed.now_ms;
}

static void begin (uint32_t workers)
{
    struct coord_options options = { .version = "test" };
    memset (&bed, 0, sizeof bed);
    bed.coord = coord_create (&options);
    bed.now_ms = 1000;
    step ((struct coord_event){ .type = COORD_START });
    for (uint32_t i = 0; i < workers; i++)
        come (i, "portable");
    pass (50);
}

static int end (void **state)
{
    (void)state;
    coord_destroy (&bed.coord);
    free (bed.actions.list);
    return 0;
}

static void hand_in (int64_t priority, uint32_t min, uint32_t max, bool portable)
{
    static const char *const names[] = { "one", "two", "three", "four" };
    uint32_t before = coord_job_count (bed.coord);
    struct mu_journal_submit job = { .spec = { "{}", 2 },
                                     .priority = priority,
                                     .workers_min = min,
                                     .workers_max = max,
                                     .micro_batches = 8,
                                     .global_batch = 8,
                                     .window_steps = 4,
                                     .steps = 100,
                                     .portable = portable };
    struct mu_wire wire = { .type = MU_WIRE_SUBMIT, .submit.request = 1 };
    mu_text_set (job.name, sizeof job.name, before < 4 ? names[before] : "another");
    step (
        (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire, .submit = &job });
}

static void submit_of (int64_t priority, uint32_t min, uint32_t max, bool portable)
{
    hand_in (priority, min, max, portable);
    pass (5000);
}

static void submit (int64_t priority, uint32_t min, uint32_t max)
{
    submit_of (priority, min, max, true);
}

enum { CANCEL = 1, PAUSE, RESUME };

static void control (uint64_t job, uint32_t verb)
{
    struct mu_wire wire = { .type = MU_WIRE_CONTROL, .control = { .request = 1, .verb = verb } };
    snprintf (wire.control.job, sizeof wire.control.job, "%llu", (unsigned long long)job);
    step ((struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
}

static struct mu_wire_job_info info (uint64_t job)
{
    struct mu_wire_job_info answer;
    assert_int_equal (coord_job_info (bed.coord, job, &answer), 0);
    return answer;
}

static bool says (uint64_t job, const char *words)
{
    struct mu_wire_job_info answer = info (job);
    return memmem (answer.reason.data, answer.reason.size, words, strlen (words)) != NULL;
}

#define HAVE(job, state_, count)                                                                   \
    do {                                                                                           \
        assert_string_equal (info (job).state, state_);                                            \
        assert_int_equal (info (job).workers, count);                                              \
    } while (0)

/* --- tests ------------------------------------------------------------------------------------ */

static void a_minimum_comes_from_lower_ones (void **state)
{
    (void)state;
    begin (4);
    submit (0, 1, 8);
    HAVE (1, "running", 4);
    submit (5, 2, 2);
    HAVE (1, "running", 2);
    HAVE (2, "running", 2);
    assert_string_equal (bed.reason,
                         "2 workers go to job 2 (two), whose priority is higher: 5 over 0");
    assert_true (says (1, "trains on 2 of up to 8 workers"));
    assert_true (says (1, "job 2 (two, priority 5) has 2"));
    assert_false (says (2, "trains on"));
}

static void it_grows_at_their_cost (void **state)
{
    (void)state;
    begin (5);
    submit (0, 2, 8);
    submit (1, 1, 8);
    HAVE (1, "running", 2);
    HAVE (2, "running", 3);
}

static void an_equal_one_gets_its_minimum_alone (void **state)
{
    (void)state;
    begin (5);
    submit (3, 1, 8);
    submit (3, 2, 8);
    HAVE (1, "running", 3);
    HAVE (2, "running", 2);
    assert_non_null (strstr (bed.reason, "which lacks its minimum"));
    uint32_t breaks = bed.breaks;
    pass (200000);
    assert_int_equal (bed.breaks, breaks); /* for good */
    assert_false (says (1, "trains on"));
}

static void a_lower_one_gets_nothing (void **state)
{
    (void)state;
    begin (4);
    submit (5, 1, 8);
    submit (0, 1, 8);
    HAVE (1, "running", 4);
    HAVE (2, "pending", 0);
    control (1, CANCEL);
    pass (5000);
    HAVE (2, "running", 4);
}

static void nobody_is_shrunk_for_nothing (void **state)
{
    (void)state;
    begin (4);
    submit (0, 3, 8);
    uint32_t breaks = bed.breaks;
    submit (5, 2, 8);
    HAVE (1, "running", 4);
    HAVE (2, "pending", 0);
    assert_true (says (2, "1 more if others shrank to their minimum, which would not do"));
    pass (200000);
    HAVE (1, "running", 4);
    assert_int_equal (bed.breaks, breaks);
}

static void the_lowest_gives_first (void **state)
{
    (void)state;
    begin (6);
    submit (0, 1, 8);
    submit (1, 1, 3);
    HAVE (1, "running", 3);
    HAVE (2, "running", 3);
    submit (5, 2, 2);
    HAVE (1, "running", 1);
    HAVE (2, "running", 3);
    HAVE (3, "running", 2);
    submit (4, 2, 2); /* then the next */
    HAVE (2, "running", 1);
    HAVE (4, "running", 2);
}

static void they_grow_back (void **state)
{
    (void)state;
    begin (4);
    submit (0, 1, 8);
    submit (5, 2, 3);
    HAVE (1, "running", 1);
    control (2, PAUSE);
    pass (5000);
    HAVE (2, "paused", 0);
    HAVE (1, "running", 4);
    assert_false (says (1, "trains on"));
    control (2, RESUME);
    pass (5000);
    HAVE (1, "running", 1);
    HAVE (2, "running", 3);
    control (2, CANCEL);
    pass (5000);
    HAVE (1, "running", 4);
}

/* Two are on their way out when one of those that stay dies. */
static void who_was_to_leave_stays_if_others_die (void **state)
{
    (void)state;
    begin (5);
    submit (0, 3, 8);
    for (uint32_t i = 0; i < 5; i++)
        bed.worker[i].held = true;
    submit (5, 2, 2);
    assert_string_equal (info (1).state, "breaking");
    uint32_t dead = 0;
    while (bed.coord->workers[dead]->yields)
        dead++;
    mu_text_set (say (dead, MU_WIRE_BYE)->bye.reason, 5, "dies");
    bed.worker[dead].here = false;
    pass (10);
    for (uint32_t i = 0; i < 5; i++) {
        bed.worker[i].held = false;
        if (bed.worker[i].here)
            say_aborted (i);
    }
    pass (5000);
    assert_string_equal (info (1).state, "running");
    assert_true (info (1).workers >= 3);
    HAVE (2, "pending", 0);
}

static void who_was_to_leave_stays_if_nobody_wants_it (void **state)
{
    (void)state;
    begin (4);
    submit (0, 1, 8);
    for (uint32_t i = 0; i < 4; i++)
        bed.worker[i].held = true;
    submit (5, 2, 2);
    assert_string_equal (info (1).state, "breaking");
    uint32_t breaks = bed.breaks;
    control (2, CANCEL);
    for (uint32_t i = 0; i < 4; i++) {
        bed.worker[i].held = false;
        say_aborted (i);
    }
    pass (50);
    HAVE (1, "running", 4);
    assert_int_equal (bed.breaks, breaks); /* nobody had to join again */
}

static void who_was_to_leave_stays_if_others_came (void **state)
{
    (void)state;
    begin (4);
    submit (5, 1, 4);
    for (uint32_t i = 0; i < 4; i++)
        bed.worker[i].held = true;
    submit (5, 2, 2);
    assert_string_equal (info (1).state, "breaking");
    uint32_t breaks = bed.breaks;
    come (4, "portable");
    come (5, "portable");
    pass (1000);
    HAVE (2, "running", 2);
    for (uint32_t i = 0; i < 4; i++) {
        bed.worker[i].held = false;
        say_aborted (i);
    }
    pass (1000);
    HAVE (1, "running", 4);
    assert_int_equal (bed.breaks, breaks);
}

static void drained_workers_are_nothing_to_give (void **state)
{
    (void)state;
    begin (3);
    submit (0, 2, 8);
    bed.coord->durable.live[0]->soft.finished = 0;
    struct mu_wire wire = { .type = MU_WIRE_DRAIN, .drain = { .request = 1, .worker = "w0" } };
    step ((struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
    submit (5, 1, 1);
    HAVE (1, "running", 2);
    HAVE (2, "pending", 0);
}

/* Its bits depend on the class that it has, of which nobody has one to spare. */
static void other_classes_are_no_help (void **state)
{
    (void)state;
    begin (0);
    come (0, "a");
    come (1, "b");
    come (2, "b");
    pass (50);
    submit (0, 1, 8); /* portable: it has all */
    HAVE (1, "running", 3);
    submit_of (5, 2, 2, false);
    HAVE (2, "running", 2);
    HAVE (1, "running", 1);
    assert_string_equal (bed.coord->durable.jobs[0]->soft.workers[0]->compute_class, "a");
}

static void nobody_grows_by_a_quarantined_worker (void **state)
{
    (void)state;
    begin (2);
    submit (0, 1, 8);
    names_set (&bed.coord->durable.quarantined, "w0", true);
    names_set (&bed.coord->durable.quarantined, "w1", true);
    submit (5, 1, 8); /* the minimum may be one */
    HAVE (1, "running", 1);
    HAVE (2, "running", 1);
    uint32_t breaks = bed.breaks;
    come (2, "portable");
    pass (5000);
    assert_int_equal (info (1).workers + info (2).workers, 3);
    control (2, CANCEL);
    pass (5000);
    submit (7, 2, 8);
    assert_true (bed.breaks > breaks);
    HAVE (3, "running", 2);
}

/* w2 has other data: the job never gets it, and after a minute the others go to whom they help. */
static void one_with_other_data_holds_nobody (void **state)
{
    (void)state;
    begin (2);
    submit (5, 2, 2);
    HAVE (1, "running", 2);
    bed.worker[2].odd = true;
    come (2, "portable");
    pass (1000);
    bed.worker[1].drops = true; /* dies */
    bed.worker[1].here = false;
    pass (10000);
    HAVE (1, "preparing", 1);
    assert_true (says (1, "1 has other data than the job"));
    submit (0, 2, 2);
    HAVE (2, "pending", 0);
    bed.worker[2].odd = false; /* it has what job 2 wants */
    pass (COORD_COOL_OFF_MS);
    HAVE (2, "running", 2);
    HAVE (1, "pending", 0);
    assert_true (says (1, "1 has other data than the job"));
}

/* What is kept for a job that cannot begin yet is lent to one that trains, not to one that waits. */
static void what_is_kept_is_lent (void **state)
{
    (void)state;
    begin (4);
    submit (0, 2, 2);
    submit (0, 3, 3);
    HAVE (1, "running", 2);
    HAVE (2, "pending", 0);
    submit (0, 1, 1);
    HAVE (3, "pending", 0); /* first come, first served */
    bed.coord->durable.jobs[0]->durable.workers_max = 8;
    queue_want (bed.coord);
    pass (5000);
    HAVE (1, "running", 4);
    bed.coord->durable.jobs[0]->durable.workers_min = 1;
    queue_want (bed.coord);
    pass (5000);
    HAVE (1, "running", 1); /* given back as soon as that helps */
    HAVE (2, "running", 3);
    HAVE (3, "pending", 0);
}

/* Whoever does not train holds workers no longer than a minute before those before it in line. */
static void one_that_waits_gives_way (void **state)
{
    (void)state;
    begin (5);
    submit (9, 2, 2); /* has two for long */
    submit (0, 3, 3);
    HAVE (2, "running", 3);
    bed.worker[bed.coord->durable.jobs[1]->soft.workers[0]->number].drops = true;
    bed.worker[bed.coord->durable.jobs[1]->soft.workers[0]->number].here = false;
    pass (5000);
    HAVE (2, "preparing", 2);
    submit (5, 2, 2);
    HAVE (3, "pending", 0);
    pass (COORD_COOL_OFF_MS);
    HAVE (3, "running", 2);
    HAVE (1, "running", 2);
}

/* Nobody trains: what two hold that both lack one is enough for the first, and a minute would be lost. */
static void two_short_ones_do_not_wait_for_each_other (void **state)
{
    (void)state;
    begin (6);
    submit (5, 3, 3);
    submit (0, 3, 3);
    HAVE (1, "running", 3);
    HAVE (2, "running", 3);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t number = bed.coord->durable.jobs[i]->soft.workers[0]->number;
        bed.worker[number].drops = true;
        bed.worker[number].here = false;
    }
    pass (COORD_COOL_OFF_MS / 4);
    HAVE (1, "running", 3);
    HAVE (2, "preparing", 1);
}

/* Two that cannot reach each other do for two jobs of one worker, and not for one of two. */
static void what_is_held_in_vain_is_let_go (void **state)
{
    (void)state;
    begin (2);
    bed.worker[0].parted = bed.worker[1].parted = true;
    submit (5, 2, 2);
    submit (0, 1, 1);
    submit (-1, 1, 1);
    assert_string_equal (info (2).state, "pending");
    assert_string_equal (info (3).state, "pending");
    pass (COORD_VAIN_TRIES * (COORD_FORM_LIMIT_MS + COORD_FORM_RETRY_MAX_MS) + 10000);
    HAVE (2, "running", 1);
    HAVE (3, "running", 1);
    HAVE (1, "pending", 0);
    control (2, CANCEL);
    control (3, CANCEL);
    bed.worker[0].parted = bed.worker[1].parted = false;
    pass (2 * COORD_FORM_RETRY_MAX_MS);
    HAVE (1, "running", 2);
}

/* A look costs by the length of the line; what may begin still does so within one pause. */
static void a_long_line_is_looked_at_seldom (void **state)
{
    enum { LONG = 2500, PAUSE_MS = LONG / COORD_PLACE_ENTRIES_PER_MS };
    (void)state;
    begin (1);
    for (uint32_t i = 0; i < LONG; i++)
        hand_in (0, 2, 2, true);
    uint32_t looks = 0;
    for (uint32_t ms = 0; ms < 10 * PAUSE_MS; ms += 5) {
        hand_in (0, 2, 2, true);
        pass (5);
        looks += bed.coord->placed_ms == bed.now_ms;
    }
    assert_in_range (looks, 5, 10);
    hand_in (9, 1, 1, true);
    pass (2 * PAUSE_MS);
    HAVE (coord_job_count (bed.coord), "running", 1);
    looks = 0;
    for (uint32_t ms = 0; ms < 1000; ms += 5) {
        pass (5);
        looks += bed.coord->placed_ms == bed.now_ms;
    }
    assert_in_range (looks, 0, 2); /* nothing has changed */
}

#define PREEMPT_TEST(test) cmocka_unit_test_teardown (test, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        PREEMPT_TEST (a_minimum_comes_from_lower_ones),
        PREEMPT_TEST (it_grows_at_their_cost),
        PREEMPT_TEST (an_equal_one_gets_its_minimum_alone),
        PREEMPT_TEST (a_lower_one_gets_nothing),
        PREEMPT_TEST (nobody_is_shrunk_for_nothing),
        PREEMPT_TEST (the_lowest_gives_first),
        PREEMPT_TEST (they_grow_back),
        PREEMPT_TEST (who_was_to_leave_stays_if_others_die),
        PREEMPT_TEST (who_was_to_leave_stays_if_nobody_wants_it),
        PREEMPT_TEST (who_was_to_leave_stays_if_others_came),
        PREEMPT_TEST (drained_workers_are_nothing_to_give),
        PREEMPT_TEST (other_classes_are_no_help),
        PREEMPT_TEST (nobody_grows_by_a_quarantined_worker),
        PREEMPT_TEST (one_with_other_data_holds_nobody),
        PREEMPT_TEST (what_is_kept_is_lent),
        PREEMPT_TEST (one_that_waits_gives_way),
        PREEMPT_TEST (two_short_ones_do_not_wait_for_each_other),
        PREEMPT_TEST (what_is_held_in_vain_is_let_go),
        PREEMPT_TEST (a_long_line_is_looked_at_seldom),
    };
    return cmocka_run_group_tests_name ("preempt", tests, NULL, NULL);
}
