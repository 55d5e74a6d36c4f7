/* SPDX-License-Identifier: Apache-2.0 */
/* test_hang.c - who is called hung, who is not, and what follows: the coordinator's core alone
 *
 * Each test lets time pass with beats that say what each worker's agent sees. */
#include "tests/unit/job_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- trainers --------------------------------------------------------------------------------- */

static void the_one_that_all_wait_for_is_named (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    reducing (&bed, 0, 3);
    reducing (&bed, 2, 3);
    still (&bed, 1, "stopped");
    pass (&bed, COORD_HANG_MS - 500);
    assert_int_equal (bed.hangs, 0);
    pass (&bed, 1000);
    assert_string_equal (bed.names, "w1 ");
    assert_int_equal (bed.hung.duty, MU_DUTY_TRAINER);
    assert_int_equal (bed.hung.phase, MU_PHASE_COMPUTING);
    assert_int_equal (bed.hung.generation, 1);
    assert_int_equal (bed.hung.step, 3);
    assert_true (bed.hung.rank > 0);
    assert_false (bed.hung.blames);
    assert_in_range (1700000000000 + bed.now_ms - bed.hung.since_ms, COORD_HANG_MS, 6000);
    assert_string_equal (bed.reason, "the trainer of worker w1 hangs");
    assert_true (was_told (&bed, 1, "RELEASE") && !was_told (&bed, 1, "ABORT"));
    assert_true (was_told (&bed, 0, "ABORT") && was_told (&bed, 2, "ABORT"));
    struct mu_wire_job_info info;
    coord_job_info (bed.coord, 1, &info);
    assert_int_equal (info.hangs, 1);
    assert_non_null (strstr (info.hung, "w1"));
    assert_non_null (strstr (info.hung, "computing"));

    /* The others go on at once, without it; it comes back with a new trainer. */
    aborted (&bed, 0, 3);
    assert_int_equal (bed.forms, 1);
    aborted (&bed, 2, 3);
    assert_int_equal (bed.forms, 2);
    assert_string_equal (coord_member (bed.coord, 1, 0), "w0");
    assert_string_equal (coord_member (bed.coord, 1, 1), "w2");
    released (&bed, 1);
    assert_true (was_told (&bed, 1, "ASSIGN"));
    finish (&bed);
}

static void a_slow_micro_batch_is_no_hang (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    reducing (&bed, 0, 3);
    reducing (&bed, 2, 3);
    bed.beat[1].stalled_ms = 1; /* it uses the processor, and nothing is finished yet */
    pass (&bed, COORD_STALL_MS - 1000);
    assert_int_equal (bed.hangs, 0);
    assert_int_equal (bed.broken, 0);
    finish (&bed);
}

/* It took 50 s once, and was healthy: 300 s are no proof then. */
static void the_limit_learns (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.beat[w].stalled_ms = 1;
    pass (&bed, 50000);
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (&bed, w, 1, 4, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    pass (&bed, 500);
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.beat[w].stalled_ms = 1;
    pass (&bed, 300000);
    assert_int_equal (bed.hangs, 0);
    finish (&bed);
}

/* It died while it stood still: that is no proof that it would have gone on. */
static void a_death_teaches_nothing (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    reducing (&bed, 0, 3);
    reducing (&bed, 2, 3);
    still (&bed, 1, "sleeping");
    pass (&bed, COORD_HANG_MS - 500);
    bed.beat[1] = (struct mu_wire_beat){ .phase = MU_PHASE_NONE };
    say_beat (&bed, 1);
    bed.beat[1] = (struct mu_wire_beat){ .job = 1, .phase = MU_PHASE_OPENING };
    say_beat (&bed, 1);
    reach (&bed, 1, 1, 3, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    still (&bed, 1, "sleeping");
    pass (&bed, COORD_HANG_MS + 500);
    assert_string_equal (bed.names, "w1 ");
    finish (&bed);
}

static void one_that_spins_is_found_later (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    reducing (&bed, 0, 3);
    reducing (&bed, 2, 3);
    bed.beat[1].stalled_ms = 1;
    mu_text_set (bed.beat[1].process, sizeof bed.beat[1].process, "running");
    pass (&bed, COORD_STALL_MS + 1000);
    assert_string_equal (bed.names, "w1 ");
    assert_true (bed.hung.blames);
    assert_non_null (strstr (bed.hung.text, "counted no work for 60.0 s"));
    finish (&bed);
}

/* How long data took to open says nothing about how long a micro-batch takes. */
static void opening_teaches_nothing (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.beat[w].stalled_ms = bed.beat[w].still_ms = 1;
    pass (&bed, 25000);
    form (&bed);
    train (&bed, 3);
    reducing (&bed, 0, 3);
    reducing (&bed, 2, 3);
    still (&bed, 1, "sleeping");
    pass (&bed, COORD_HANG_MS + 500);
    assert_string_equal (bed.names, "w1 ");
    finish (&bed);
}

/* Nobody knows yet how long a micro-batch takes. */
static void a_long_first_step_is_no_hang (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 0);
    for (uint32_t w = 0; w < WORKERS; w++)
        bed.beat[w].stalled_ms = 1;
    pass (&bed, 590000);
    assert_int_equal (bed.hangs, 0);
    assert_int_equal (bed.broken, 0);
    finish (&bed);
}

/* As `muster status` has it. */
static bool is_said (const struct bed *bed, const char *part)
{
    static char reason[512];
    struct mu_wire_job_info info;
    coord_job_info (bed->coord, 1, &info);
    snprintf (reason, sizeof reason, "%.*s", (int)info.reason.size, (const char *)info.reason.data);
    return strstr (reason, part) != NULL;
}

static void all_still (struct bed *bed)
{
    running (bed, 3);
    for (uint32_t w = 0; w < WORKERS; w++)
        still (bed, w, "disk");
}

/* If all are still, storage may be, and to end them all would cost the way back. */
static void all_at_once_get_more_time (void **state)
{
    (void)state;
    struct bed bed;
    all_still (&bed);
    pass (&bed, COORD_HANG_MS - 500);
    assert_false (is_said (&bed, "worker"));
    pass (&bed, 1000);
    assert_true (is_said (&bed, "worker w0: its trainer (disk) hangs in phase computing"));
    assert_true (is_said (&bed, "nobody that holds the job's state moves"));
    pass (&bed, (COORD_HANG_ALONE - 1) * COORD_HANG_MS - 1500);
    assert_int_equal (bed.hangs, 0);
    pass (&bed, 2000);
    assert_int_equal (bed.hangs, WORKERS);
    assert_int_equal (bed.broken, 1);
    finish (&bed);
}

static void it_is_not_said_any_more_when_one_moves (void **state)
{
    (void)state;
    struct bed bed;
    all_still (&bed);
    pass (&bed, COORD_HANG_MS + 500);
    assert_true (is_said (&bed, "w0"));
    for (uint32_t w = 0; w < WORKERS; w++)
        reach (&bed, w, 1, 4, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    pass (&bed, 500);
    assert_false (is_said (&bed, "w0"));
    assert_int_equal (bed.hangs, 0);
    finish (&bed);
}

static void a_trainer_that_does_not_leave_holds_nobody_up (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    hear (&bed, 0, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { 1, 1, "x" } });
    assert_int_equal (bed.broken, 1);
    aborted (&bed, 0, 3);
    reach (&bed, 0, 0, 3, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    aborted (&bed, 2, 3);
    reach (&bed, 2, 0, 3, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    reach (&bed, 1, 0, 3, MU_PHASE_LEAVING, MU_DUTY_TRAINER);
    still (&bed, 1, "sleeping");
    pass (&bed, COORD_HANG_MS + 500);
    assert_string_equal (bed.names, "w1 ");
    assert_int_equal (bed.forms, 2);
    finish (&bed);
}

/* A micro-batch of minutes may have to be finished before a generation ends: nobody is dropped. */
static void a_long_farewell_is_no_hang (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    hear (&bed, 0, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { 1, 1, "x" } });
    aborted (&bed, 0, 3);
    aborted (&bed, 2, 3);
    reach (&bed, 0, 0, 3, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    reach (&bed, 2, 0, 3, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    reach (&bed, 1, 0, 3, MU_PHASE_LEAVING, MU_DUTY_TRAINER);
    bed.beat[1].stalled_ms = 1;
    pass (&bed, 3 * COORD_ABORT_LIMIT_MS);
    assert_int_equal (bed.hangs, 0);
    assert_int_equal (bed.forms, 1);
    aborted (&bed, 1, 3);
    assert_int_equal (bed.forms, 2);
    assert_non_null (coord_member (bed.coord, 1, 2));
    finish (&bed);
}

/* The limit is for an agent that has nothing left to wait for and still does not answer. */
static void an_agent_that_does_not_answer_is_dropped (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    hear (&bed, 0, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { 1, 1, "x" } });
    aborted (&bed, 0, 3);
    aborted (&bed, 2, 3);
    reach (&bed, 0, 0, 3, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    reach (&bed, 2, 0, 3, MU_PHASE_WAITING, MU_DUTY_NOBODY);
    reach (&bed, 1, 0, 3, MU_PHASE_LEAVING, MU_DUTY_NOBODY);
    pass (&bed, COORD_ABORT_LIMIT_MS + 500);
    assert_int_equal (bed.forms, 2);
    assert_null (coord_member (bed.coord, 1, 2));
    finish (&bed);
}

/* Five times without a step, by nobody's doing: the job's own trainer is wrong. */
static void a_trainer_that_always_hangs_fails_the_job (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    uint64_t generation = 1, waited_ms = 0;
    for (unsigned hangs = 1; hangs <= COORD_HANGS_MAX; hangs++) {
        for (uint32_t w = 0; w < WORKERS; w++)
            reach (&bed, w, generation, 3, MU_PHASE_REDUCING, MU_DUTY_COLLECTIVE);
        reach (&bed, 1, generation, 3, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
        still (&bed, 1, "sleeping");
        uint64_t began_ms = bed.now_ms;
        while (bed.hangs < hangs && bed.now_ms < began_ms + 600000)
            pass (&bed, 250);
        assert_int_equal (bed.hangs, hangs);
        assert_true (bed.now_ms - began_ms > 3 * waited_ms / 2); /* more and more patient */
        waited_ms = bed.now_ms - began_ms;
        if (hangs == COORD_HANGS_MAX)
            break;
        for (uint32_t w = 0; w < WORKERS; w += 2)
            hear (&bed, w,
                  (struct mu_wire){ .type = MU_WIRE_ABORTED,
                                    .aborted = { .job = 1,
                                                 .generation = generation,
                                                 .step = 3,
                                                 .kept = { "\0", 1 } } });
        released (&bed, 1);
        generation++;
        while (bed.forms < generation)
            pass (&bed, 250);
        for (uint32_t w = 0; w < WORKERS; w += 2)
            hear (&bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, generation } });
        prepared (&bed, 1); /* it joins: a planned break, once the world after it is connected */
        for (uint32_t w = 0; w < WORKERS; w += 2)
            reach (&bed, w, generation, 3, MU_PHASE_COMPUTING, MU_DUTY_NOBODY);
        bed.told[0][0] = '\0';
        for (uint32_t w = 0; w < WORKERS; w++)
            connected (&bed, w);
        for (unsigned i = 0; i < 100 && !was_told (&bed, 0, "ABORT"); i++)
            pass (&bed, 250); /* nobody says that it stands */
        for (uint32_t w = 0; w < WORKERS; w += 2)
            hear (&bed, w,
                  (struct mu_wire){ .type = MU_WIRE_ABORTED,
                                    .aborted = { .job = 1,
                                                 .generation = generation,
                                                 .step = 3,
                                                 .kept = { "\0", 1 } } });
        generation++;
        while (bed.forms < generation)
            pass (&bed, 250);
        for (uint32_t w = 0; w < WORKERS; w++)
            hear (&bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, generation } });
    }
    struct mu_wire_job_info info;
    coord_job_info (bed.coord, 1, &info);
    assert_string_equal (info.state, "stopping");
    assert_non_null (strstr (bed.state, "hung 5 times"));
    assert_non_null (strstr (bed.state, "w1"));
    finish (&bed);
}

/* --- opening ---------------------------------------------------------------------------------- */

static bool says (const struct bed *bed, const char *words)
{
    char reason[1024];
    struct mu_wire_job_info info = job_info (bed);
    snprintf (reason, sizeof reason, "%.*s", (int)info.reason.size, (const char *)info.reason.data);
    if (!strstr (reason, words))
        print_error ("%s\n", reason);
    return strstr (reason, words) != NULL;
}

static void data_may_take_its_time (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 3);
    for (int i = 0; i < 5; i++) { /* it tells every five minutes how far it is */
        for (uint32_t w = 0; w < WORKERS; w++)
            bed.beat[w].stalled_ms = 1;
        pass (&bed, 300000);
    }
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_false (was_told (&bed, w, "RELEASE"));
    for (uint32_t w = 0; w < WORKERS; w++)
        prepared (&bed, w);
    assert_int_equal (bed.forms, 1);
    finish (&bed);
}

static void data_that_tells_nothing_is_given_up (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 2);
    prepared (&bed, 0);
    prepared (&bed, 2);
    bed.beat[1].stalled_ms = 1;
    pass (&bed, COORD_STALL_MS + 1000);
    assert_true (says (
        &bed, "worker w1: its trainer (state unknown) hangs in phase opening: it has used the "
              "processor and counted no work for 6"));
    pass (&bed, COORD_PREPARE_LIMIT_MS - COORD_STALL_MS + 1000);
    assert_true (was_told (&bed, 1, "RELEASE"));
    finish (&bed);
}

static void data_that_cannot_be_read_costs_the_worker_the_job (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 2);
    prepared (&bed, 0);
    prepared (&bed, 2);
    still (&bed, 1, "disk");
    pass (&bed, COORD_HANG_OPEN * COORD_HANG_MS - 1000);
    assert_int_equal (bed.hangs, 0);
    pass (&bed, 2000);
    assert_string_equal (bed.names, "w1 ");
    assert_int_equal (bed.hung.phase, MU_PHASE_OPENING);
    assert_true (was_told (&bed, 1, "RELEASE"));
    assert_int_equal (bed.forms, 1);
    finish (&bed);
}

static void all_open (struct bed *bed, const char *process)
{
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_true (was_told (bed, w, "ASSIGN"));
        bed->told[w][0] = '\0';
        reach (bed, w, 0, 0, MU_PHASE_OPENING, MU_DUTY_TRAINER);
        still (bed, w, process);
    }
}

/* They let it go as they were told, and are given it again. */
static void cool_off (struct bed *bed)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_true (was_told (bed, w, "RELEASE"));
    all_let_go (bed);
    pass (bed, COORD_COOL_OFF_MS + 1000);
}

/* Nobody could say whether that one waits for storage or for ever. It is told from the beginning, and
 * what may only be slow gets more time each time, so that it comes to its end. */
static void who_sleeps_while_it_opens_is_named_and_given_more_time (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    all_open (&bed, "sleeping");
    pass (&bed, COORD_HANG_MS + 500);
    assert_int_equal (bed.hangs, 0);
    assert_true (
        says (&bed, "its trainer (sleeping) hangs in phase opening: it has not moved for 5."));
    assert_true (says (&bed, "it is ended in 25 s"));
    pass (&bed, COORD_HANG_OPEN * COORD_HANG_MS - COORD_HANG_MS);
    assert_string_equal (bed.names, "w0 w1 w2 ");
    cool_off (&bed);
    all_open (&bed, "sleeping");
    pass (&bed, 2 * COORD_HANG_OPEN * COORD_HANG_MS - 1000);
    assert_int_equal (bed.hangs, WORKERS);
    form (&bed);
    train (&bed, 3);
    finish (&bed);
}

static void a_waiting_job_says_who_hung (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    all_open (&bed, "sleeping");
    pass (&bed, COORD_HANG_OPEN * COORD_HANG_MS + 1000);
    all_let_go (&bed);
    pass (&bed, 1000);
    assert_true (says (&bed,
                       "waits for 1 worker; 3 are here, 3 of them free; 3 not taken for a moment "
                       "(`muster workers` says why), as w0: its trainer (sleeping) hung while "
                       "it opened the job: it had not moved for 30 s"));
    finish (&bed);
}

static unsigned open_in_vain (struct bed *bed, const char *process)
{
    unsigned rounds = 0;
    for (; rounds < COORD_HANGS_MAX && !*bed->state; rounds++) {
        all_open (bed, process);
        pass (bed, (uint64_t)(COORD_HANG_OPEN * COORD_HANG_MS) << rounds);
        pass (bed, 1000);
        assert_true (bed->hangs > rounds * WORKERS);
        cool_off (bed);
    }
    return rounds;
}

static void a_plug_in_that_never_opens_fails_the_job (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    assert_int_equal (open_in_vain (&bed, "sleeping"), COORD_HANGS_MAX);
    assert_string_equal (job_info (&bed).state, "failed");
    assert_non_null (
        strstr (bed.state, "A trainer hung 5 times while it opened the job, last worker "));
    assert_non_null (strstr (bed.state, "open () and init () must not wait"));
    finish (&bed);
}

/* It waits for as long as storage does not answer. */
static void storage_that_never_answers_fails_no_job (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    open_in_vain (&bed, "disk");
    assert_string_equal (job_info (&bed).state, "preparing");
    assert_int_equal (bed.hangs % WORKERS, 0);
    finish (&bed);
}

/* --- collectives ------------------------------------------------------------------------------ */

static void a_stopped_collective_breaks_its_generation (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    for (uint32_t w = 0; w < WORKERS; w++)
        reducing (&bed, w, 3);
    still (&bed, 2, "stopped");
    pass (&bed, COORD_HANG_MS + 250);
    assert_string_equal (bed.names, "w2 ");
    assert_int_equal (bed.hung.duty, MU_DUTY_COLLECTIVE);
    assert_string_equal (bed.reason, "the collective of worker w2 hangs");
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_true (was_told (&bed, w, "ABORT"));
        assert_false (was_told (&bed, w, "RELEASE")); /* all keep their trainers */
        aborted (&bed, w, 3);
    }
    assert_int_equal (bed.forms, 2);
    assert_non_null (coord_member (bed.coord, 1, 2));

    /* What is still said of the old generation is not held against the new one. */
    say_beat (&bed, 2);
    step (&bed, (struct coord_event){ .type = COORD_TIMER });
    assert_int_equal (bed.hangs, 1);
    finish (&bed);
}

static void a_collective_that_does_not_connect_is_named (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    reach (&bed, 0, 1, 0, MU_PHASE_CONNECTING, MU_DUTY_NOBODY);
    reach (&bed, 1, 1, 0, MU_PHASE_CONNECTING, MU_DUTY_NOBODY);
    still (&bed, 2, "stopped");
    pass (&bed, COORD_HANG_MS + 500);
    assert_string_equal (bed.names, "w2 ");
    assert_int_equal (bed.broken, 1);
    finish (&bed);
}

/* Its disk hung: what it would have said waited, and the workers, who were not answered, said HELLO now and then. */
static void who_was_mute_accuses_nobody (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    for (uint32_t w = 0; w < WORKERS; w++)
        reducing (&bed, w, 3);
    pass (&bed, BEAT_MS);
    for (unsigned i = 0; i < 10; i++) {
        bed.now_ms += 1900;
        for (uint32_t w = 0; w < WORKERS; w++)
            hello (&bed, w);
        say_saved (&bed, 0, 1, 3); /* a word that has the job looked at */
    }
    bed.now_ms += 1500;
    step (&bed, (struct coord_event){ .type = COORD_TIMER });
    for (uint32_t w = 0; w < WORKERS; w++)
        reducing (&bed, w, 900);
    pass (&bed, 5000);
    assert_int_equal (bed.broken + bed.hangs, 0);

    /* Who died meanwhile is lost as soon as if it had been there until now. */
    bed.now_ms += 18500;
    for (uint32_t w = 0; w < WORKERS; w++)
        hello (&bed, w);
    bed.now_ms += 1500;
    bed.quiet[2] = true;
    step (&bed, (struct coord_event){ .type = COORD_TIMER });
    pass (&bed, COORD_LOST_MS - BEAT_MS);
    assert_int_equal (bed.broken, 0);
    pass (&bed, 2 * BEAT_MS);
    assert_int_equal (bed.broken, 1);
    finish (&bed);
}

static void a_cut_line_breaks_the_generation_and_names_nobody (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    for (uint32_t w = 0; w < WORKERS; w++)
        reducing (&bed, w, 3);
    pass (&bed, COORD_HANG_STUCK * COORD_HANG_MS - 500);
    assert_int_equal (bed.broken, 0);
    pass (&bed, 1500);
    assert_int_equal (bed.broken, 1);
    assert_int_equal (bed.hangs, 0);
    finish (&bed);
}

/* One sits in the all-reduce with the sums in its hands: it is to be named, not the line. */
static void all_reduce_but_one_that_has_its_sums (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    for (uint32_t w = 0; w < WORKERS; w++)
        reducing (&bed, w, 3);
    pass (&bed, 1000);
    reach (&bed, 1, 1, 3, MU_PHASE_REDUCING, MU_DUTY_TRAINER);
    still (&bed, 1, "stopped");
    pass (&bed, COORD_HANG_MS + 500);
    assert_string_equal (bed.names, "w1 ");
    assert_string_equal (bed.reason, "the trainer of worker w1 hangs");
    finish (&bed);
}

static void a_slow_network_is_no_cut_line (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    for (uint32_t w = 0; w < WORKERS; w++)
        reducing (&bed, w, 3);
    for (int i = 0; i < 40; i++) {
        pass (&bed, 3000);
        for (uint32_t w = 0; w < WORKERS; w++)
            bed.beat[w].stalled_ms = 1; /* a piece came */
    }
    assert_int_equal (bed.broken, 0);
    finish (&bed);
}

static void a_large_state_gets_the_time_it_needs (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    for (int i = 0; i < 30; i++) {
        reach (&bed, 2, 1, 0, MU_PHASE_RECEIVING, MU_DUTY_COLLECTIVE);
        bed.beat[2].stalled_ms = 1;
        pass (&bed, 3000);
    }
    assert_int_equal (bed.broken, 0);
    pass (&bed, 20000); /* nothing comes any more */
    assert_int_equal (bed.broken, 1);
    finish (&bed);
}

/* --- a process that does not die -------------------------------------------------------------- */

static void a_worker_with_an_undying_process_is_left_out (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 3);
    reducing (&bed, 0, 3);
    reducing (&bed, 2, 3);
    still (&bed, 1, "disk");
    pass (&bed, COORD_HANG_MS + 250);
    bed.beat[1] = (struct mu_wire_beat){ .duty = MU_DUTY_UNDYING, .still_ms = 5000 };
    mu_text_set (bed.beat[1].process, sizeof bed.beat[1].process, "disk");
    aborted (&bed, 0, 3);
    aborted (&bed, 2, 3);
    assert_int_equal (bed.forms, 2);
    for (uint32_t w = 0; w < WORKERS; w += 2) {
        hear (&bed, w, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, 2 } });
        reach (&bed, w, 2, 3, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    }
    pass (&bed, 20000);
    assert_int_equal (bed.hangs, 2);
    assert_non_null (strstr (bed.hung.text, "does not end"));
    assert_int_equal (coord_worker_count (bed.coord), 2);
    assert_int_equal (bed.forms, 2);

    bed.told[1][0] = '\0';
    bed.beat[1] = (struct mu_wire_beat){ .duty = MU_DUTY_NOBODY };
    pass (&bed, 1000); /* it has ended */
    assert_int_equal (coord_worker_count (bed.coord), 3);
    assert_true (was_told (&bed, 1, "ASSIGN"));
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_one_that_all_wait_for_is_named),
        cmocka_unit_test (a_slow_micro_batch_is_no_hang),
        cmocka_unit_test (the_limit_learns),
        cmocka_unit_test (a_death_teaches_nothing),
        cmocka_unit_test (one_that_spins_is_found_later),
        cmocka_unit_test (opening_teaches_nothing),
        cmocka_unit_test (a_long_first_step_is_no_hang),
        cmocka_unit_test (all_at_once_get_more_time),
        cmocka_unit_test (it_is_not_said_any_more_when_one_moves),
        cmocka_unit_test (a_trainer_that_does_not_leave_holds_nobody_up),
        cmocka_unit_test (a_long_farewell_is_no_hang),
        cmocka_unit_test (an_agent_that_does_not_answer_is_dropped),
        cmocka_unit_test (a_trainer_that_always_hangs_fails_the_job),
        cmocka_unit_test (data_may_take_its_time),
        cmocka_unit_test (data_that_tells_nothing_is_given_up),
        cmocka_unit_test (data_that_cannot_be_read_costs_the_worker_the_job),
        cmocka_unit_test (who_sleeps_while_it_opens_is_named_and_given_more_time),
        cmocka_unit_test (a_waiting_job_says_who_hung),
        cmocka_unit_test (a_plug_in_that_never_opens_fails_the_job),
        cmocka_unit_test (storage_that_never_answers_fails_no_job),
        cmocka_unit_test (a_stopped_collective_breaks_its_generation),
        cmocka_unit_test (a_collective_that_does_not_connect_is_named),
        cmocka_unit_test (who_was_mute_accuses_nobody),
        cmocka_unit_test (a_cut_line_breaks_the_generation_and_names_nobody),
        cmocka_unit_test (all_reduce_but_one_that_has_its_sums),
        cmocka_unit_test (a_slow_network_is_no_cut_line),
        cmocka_unit_test (a_large_state_gets_the_time_it_needs),
        cmocka_unit_test (a_worker_with_an_undying_process_is_left_out),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
