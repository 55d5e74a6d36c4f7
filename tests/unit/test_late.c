/* SPDX-License-Identifier: Apache-2.0 */
/* test_late.c - a generation that does not get ready: who is left out, and for how long */
#include "tests/unit/job_bed.h"

#include "coordinator/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { W0 = 1, W1 = 2, W2 = 4, ALL = 7 }; /* sets of workers */

static bool is_in (unsigned set, uint32_t worker) { return set >> worker & 1; }

static void fence (struct bed *bed, uint32_t worker, uint32_t number)
{
    struct mu_wire_fence fence = {
        .job = 1, .generation = bed->forms, .number = number, .values = { "v", 1 }
    };
    hear (bed, worker, (struct mu_wire){ .type = MU_WIRE_FENCE, .fence = fence });
}

static void ready (struct bed *bed, uint32_t worker)
{
    hear (bed, worker, (struct mu_wire){ .type = MU_WIRE_READY, .ready = { 1, bed->forms } });
}

/* All that have a part in it end it. */
static void end (struct bed *bed, unsigned members, uint64_t at)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        if (is_in (members, w)) {
            bed->told[w][0] = '\0';
            aborted (bed, w, at);
        }
    pass (bed, BEAT_MS);
}

/* `members` form the newest generation, `fenced` reach its fence, and the time is over: it breaks,
 * and the next one forms. */
static void too_late (struct bed *bed, unsigned members, unsigned fenced)
{
    unsigned broken = bed->broken, forms = bed->forms;
    for (uint32_t w = 0; w < WORKERS; w++)
        if (is_in (members, w))
            reach (bed, w, bed->forms, 0, MU_PHASE_CONNECTING, MU_DUTY_COLLECTIVE);
    for (uint32_t w = 0; w < WORKERS; w++)
        if (is_in (fenced, w))
            fence (bed, w, 0);
    pass (bed, COORD_FORM_LIMIT_MS - 2000); /* the time since it formed is not known to the ms */
    assert_int_equal (bed->broken, broken);
    pass (bed, 2500);
    assert_int_equal (bed->broken, broken + 1);
    end (bed, members, 0);
    all_let_go (bed);
    pass (bed, 1000);
    assert_int_equal (bed->forms, forms + 1);
}

static void forms_with (const struct bed *bed, unsigned members)
{
    uint32_t rank = 0;
    for (uint32_t w = 0; w < WORKERS; w++) {
        char name[8];
        snprintf (name, sizeof name, "w%u", w);
        if (is_in (members, w))
            assert_string_equal (coord_member (bed->coord, 1, rank++), name);
    }
    assert_null (coord_member (bed->coord, 1, rank));
}

static void who_does_not_reach_a_fence_is_left_out (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    too_late (&bed, ALL, W0 | W2);
    assert_string_equal (bed.reason, "1 of 3 workers were not ready in time: w1");
    forms_with (&bed, ALL); /* once may be chance */
    too_late (&bed, ALL, W0 | W2);
    assert_string_equal (bed.reason, "1 of 3 workers were not ready in time: w1");
    forms_with (&bed, W0 | W2);
    finish (&bed);
}

static void the_last_fence_tells (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    for (uint32_t w = 0; w < WORKERS; w++)
        fence (&bed, w, 0);
    fence (&bed, 2, 1);
    too_late (&bed, ALL, 0);
    assert_string_equal (bed.reason, "2 of 3 workers were not ready in time: w0, w1");
    finish (&bed);
}

static void who_is_not_ready_is_named (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    for (uint32_t w = 0; w < WORKERS; w++)
        fence (&bed, w, 0);
    ready (&bed, 0);
    ready (&bed, 1);
    too_late (&bed, ALL, 0);
    assert_string_equal (bed.reason, "1 of 3 workers were not ready in time: w2");
    finish (&bed);
}

static void a_minimum_is_kept (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 3);
    form (&bed);
    for (unsigned times = 0; times < 3; times++) {
        too_late (&bed, ALL, W0 | W1);
        forms_with (&bed, ALL);
    }
    for (unsigned times = 0; times < 3; times++) {
        too_late (&bed, ALL, ALL);
        assert_string_equal (bed.reason, "none of 3 workers was ready in time");
        forms_with (&bed, ALL);
    }
    finish (&bed);
}

/* Two that cannot reach each other: nobody sees which, so each is left out in turn. */
static void nobody_ready_is_tried_without_one (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    too_late (&bed, ALL, ALL);
    assert_string_equal (bed.reason, "none of 3 workers was ready in time");
    forms_with (&bed, ALL);
    too_late (&bed, ALL, ALL);
    assert_string_equal (bed.reason,
                         "none of 3 workers was ready in time; it is tried without worker w2");
    forms_with (&bed, W0 | W1);
    too_late (&bed, W0 | W1, W0 | W1);
    assert_non_null (strstr (bed.reason, "without worker w1"));
    forms_with (&bed, W0);
    assert_true (was_told (&bed, 2, "ASSIGN")); /* it was not w2, or not alone */
    assert_false (was_told (&bed, 1, "ASSIGN"));
    finish (&bed);
}

/* With a minimum of two the first guess may be wrong: then it is another's turn. */
static void a_wrong_guess_is_taken_back (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 2);
    form (&bed);
    too_late (&bed, ALL, ALL);
    too_late (&bed, ALL, ALL);
    forms_with (&bed, W0 | W1);
    too_late (&bed, W0 | W1, W0 | W1);
    assert_true (was_told (&bed, 2, "ASSIGN"));
    prepared (&bed, 2);
    too_late (&bed, W0 | W1, W0 | W1);
    forms_with (&bed, ALL);
    too_late (&bed, ALL, ALL);
    assert_non_null (strstr (bed.reason, "without worker w1"));
    forms_with (&bed, W0 | W2);
    finish (&bed);
}

static void scale_to_two (struct bed *bed)
{
    struct mu_wire wire = { .type = MU_WIRE_SCALE, .scale = { .request = 2, .job = "1" } };
    wire.scale.workers = 2;
    step (bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &wire });
    pass (bed, BEAT_MS);
    end (bed, ALL, 0);
    all_let_go (bed);
    pass (bed, BEAT_MS);
    forms_with (bed, W0 | W1);
}

/* At its minimum, and another is free: that one stands in. */
static void who_is_free_stands_in (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 2);
    form (&bed);
    scale_to_two (&bed);
    too_late (&bed, W0 | W1, W0 | W1);
    forms_with (&bed, W0 | W1);
    for (uint32_t w = 0; w < 2; w++)
        reach (&bed, w, bed.forms, 0, MU_PHASE_CONNECTING, MU_DUTY_COLLECTIVE);
    pass (&bed, COORD_FORM_LIMIT_MS + 500);
    assert_non_null (strstr (bed.reason, "without worker w1"));
    end (&bed, W0 | W1, 0);
    all_let_go (&bed);
    pass (&bed, 1000);
    assert_true (was_told (&bed, 2, "ASSIGN"));
    prepared (&bed, 2);
    forms_with (&bed, W0 | W2);
    finish (&bed);
}

/* Trains alone until `worker` is given the job again, which it must not be before its time. */
static void come_back (struct bed *bed, uint32_t worker, uint64_t after_ms)
{
    ready (bed, 0);
    reach (bed, 0, bed->forms, 1, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
    pass (bed, after_ms - 5000);
    assert_false (was_told (bed, worker, "ASSIGN"));
    pass (bed, 6000);
    assert_true (was_told (bed, worker, "ASSIGN"));
}

static void who_comes_back_and_fails_again_is_left_out_longer (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    bed.quiet[1] = true; /* it is lost, which is a failure, too; w0 and w2 are left */
    pass (&bed, 3000);
    aborted (&bed, 0, 0);
    aborted (&bed, 2, 0);
    pass (&bed, 500);
    too_late (&bed, W0 | W2, W0 | W2);
    forms_with (&bed, W0);
    for (unsigned times = 0; times < 3; times++) {
        come_back (&bed, 2, (uint64_t)COORD_COOL_OFF_MS << times);
        prepared (&bed, 2);
        bed.told[0][0] = '\0';
        pass (&bed, COORD_JOIN_MS + COORD_AHEAD_MS + 500);
        reach (&bed, 0, bed.forms, 2, MU_PHASE_UNLEASED, MU_DUTY_NOBODY); /* test_halt.c */
        pass (&bed, BEAT_MS);
        assert_true (was_told (&bed, 0, "ABORT")); /* as planned, for the join */
        aborted (&bed, 0, 1);
        pass (&bed, 500);
        forms_with (&bed, W0 | W2);
        unsigned broken = bed.broken;
        pass (&bed, COORD_FORM_LIMIT_MS + 500);
        assert_int_equal (bed.broken, broken + 1);
        assert_non_null (strstr (bed.reason, "without worker w2")); /* the first time */
        end (&bed, W0 | W2, 1);
        all_let_go (&bed);
        pass (&bed, 500);
        forms_with (&bed, W0);
    }
    finish (&bed);
}

static void prepared_as (struct bed *bed, uint32_t worker, const char *identity)
{
    struct mu_wire_prepared said = { .digest = "d" };
    mu_text_set (said.data_identity, sizeof said.data_identity, identity);
    prepared_with (bed, worker, said);
}

/* Two builds of a plug-in compute two things. A job of before builds were compared has none, and goes on. */
static void builds_of_a_trainer_are_not_mixed (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    prepared_as (&bed, 0, "9-a*3e-5");
    prepared_as (&bed, 1, "9-a*3e-6");
    assert_non_null (strstr (core_job (bed.coord, 1)->durable.reason,
                             "Worker w1 has another build of the trainer than w0 (*3e-6 "
                             "against *3e-5)"));
    finish (&bed);
    opening (&bed, 1);
    prepared_as (&bed, 0, "9-a*3e-5");
    prepared_as (&bed, 1, "9-b*3e-5");
    assert_non_null (strstr (core_job (bed.coord, 1)->durable.reason, "Worker w1 has other data"));
    finish (&bed);
    opening (&bed, 1); /* for another machine it is another file */
    prepared_as (&bed, 0, "9-a*3e-5");
    prepared_as (&bed, 1, "9-a*b7-6");
    prepared_as (&bed, 2, "9-a*3e-5");
    pass (&bed, 1000);
    forms_with (&bed, ALL);
    finish (&bed);
    opening (&bed, 1);
    prepared_as (&bed, 0, "9-a");
    prepared_as (&bed, 1, "9-a*3e-5");
    prepared_as (&bed, 2, "9-a*3e-6");
    pass (&bed, 1000);
    forms_with (&bed, ALL);
    finish (&bed);
}

/* The collective of a member ends while all form; `after_ms` later the next generation has formed. */
static void ends_of (struct bed *bed, unsigned members, uint32_t worker, uint64_t after_ms,
                     bool itself)
{
    unsigned forms = bed->forms;
    struct mu_wire_down down = { .job = 1, .generation = bed->forms, .ended = itself };
    mu_text_set (down.text, sizeof down.text, "no route");
    for (uint32_t w = 0; w < WORKERS; w++)
        if (is_in (members, w))
            reach (bed, w, bed->forms, 0, MU_PHASE_CONNECTING, MU_DUTY_COLLECTIVE);
    hear (bed, worker, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = down });
    end (bed, members, 0);
    all_let_go (bed);
    pass (bed, after_ms);
    assert_int_equal (bed->forms, forms + 1);
}

static void ends (struct bed *bed, unsigned members, uint32_t worker, uint64_t after_ms)
{
    ends_of (bed, members, worker, after_ms, false);
}

/* Not because of a line, which nobody can tell from the other end's: its process cannot live on its host. */
static void whose_process_ends_by_itself_is_left_out_the_second_time (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    form (&bed);
    ends_of (&bed, ALL, 1, 750, true);
    assert_null (strstr (bed.reason, "without"));
    ends_of (&bed, ALL, 2, 750, true);
    assert_null (strstr (bed.reason, "without"));
    ends_of (&bed, ALL, 1, BEAT_MS,
             true); /* the others do not wait as for one that is formed again */
    assert_string_equal (bed.reason,
                         "it is tried without worker w1, whose collective ended: no route");
    assert_non_null (
        strstr (bed.turned_away, "w1 is not given the job for 60 s: its collective ended"));
    forms_with (&bed, W0 | W2);
    ends_of (&bed, W0 | W2, 0, 1500, true); /* who gives the state stays */
    ends_of (&bed, W0 | W2, 0, 1500, true);
    forms_with (&bed, W0 | W2);
    finish (&bed);
}

static void who_ends_again_and_again_is_left_out (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 2);
    form (&bed);
    for (unsigned times = 0; times < 4; times++) {
        ends (&bed, ALL, times % 3, 750);
        assert_null (strstr (bed.reason, "without"));
        forms_with (&bed, ALL);
    }
    pass (&bed, 2000);
    ends (&bed, ALL, 1, 5500);
    assert_string_equal (bed.reason,
                         "it is tried without worker w1, whose collective ended: no route");
    forms_with (&bed, W0 | W2);
    for (unsigned times = 0; times < 4; times++) /* the minimum is kept */
        ends (&bed, W0 | W2, 0, 5500);
    finish (&bed);
}

/* A generation that trained in between: then it is counted anew. */
static void chance_leaves_nobody_out (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 1);
    form (&bed);
    ends (&bed, ALL, 1, 3000);
    for (uint32_t w = 0; w < WORKERS; w++)
        ready (&bed, w);
    pass (&bed, 3000);
    ends (&bed, ALL, 1, 3000); /* it trained */
    for (unsigned times = 0; times < 2; times++) {
        ends (&bed, ALL, 1, 3000);
        forms_with (&bed, ALL);
    }
    ends (&bed, ALL, 1, 3000);
    forms_with (&bed, W0 | W2);
    finish (&bed);
}

/* Its host lacks memory, say. Others notice that its collective is gone before its agent has told of it. */
static void whose_collective_crashes_is_quarantined_whoever_speaks_first (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    bed.coord->options.quarantine_failures = 3;
    for (unsigned times = 1; times <= 4; times++) {
        struct mu_wire_down torn = { .job = 1, .generation = bed.forms },
                            crashed = { .job = 1, .generation = bed.forms, .ended = true };
        if (times != 2)
            hear (&bed, 0, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = torn });
        hear (&bed, 1, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = crashed });
        hear (&bed, 1, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = crashed }); /* said again */
        assert_int_equal (names_has (&bed.coord->durable.quarantined, "w1"), times >= 3);
        end (&bed, ALL, 5);
        all_let_go (&bed);
        pass (&bed, 3000);
        forms_with (&bed, times < 4 ? ALL : W0 | W2); /* what it did is compared first (0030) */
        for (uint32_t w = 0; w < WORKERS; w++)
            if (w != 1 || times < 4)
                ready (&bed, w);
        pass (&bed, 500);
    }
    assert_false (names_has (&bed.coord->durable.quarantined, "w0"));
    finish (&bed);
}

/* --- one after the other ---------------------------------------------------------------------- */

/* A generation starts and breaks at once; nobody's beat tells of it. Did the next one form as soon as all
 * had ended it? */
static bool follows_at_once (struct bed *bed, uint64_t done)
{
    unsigned forms = bed->forms;
    for (uint32_t w = 0; w < WORKERS; w++)
        ready (bed, w);
    hear (bed, 0, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { 1, bed->forms } });
    for (uint32_t w = 0; w < WORKERS; w++) {
        reach (bed, w, 0, done, MU_PHASE_WAITING, MU_DUTY_COLLECTIVE);
        aborted (bed, w, done);
    }
    step (bed, (struct coord_event){ .type = COORD_TIMER });
    return bed->forms == forms + 1;
}

static void generations_in_vain_form_ever_more_slowly (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    assert_true (follows_at_once (&bed, 0));
    assert_true (follows_at_once (&bed, 0));
    assert_false (follows_at_once (&bed, 0));
    unsigned forms = bed.forms;
    pass (&bed, COORD_FORM_RETRY_MS + BEAT_MS);
    assert_int_equal (bed.forms, forms + 1);
    finish (&bed);
}

/* Those that finished a step were not in vain, though they broke between two beats. */
static void short_generations_that_step_form_at_once (void **state)
{
    (void)state;
    struct bed bed;
    forming (&bed);
    for (uint64_t done = 1; done < 10; done++)
        assert_true (follows_at_once (&bed, done));
    assert_true (follows_at_once (&bed, 9)); /* and this is the first in vain */
    assert_true (follows_at_once (&bed, 9));
    assert_false (follows_at_once (&bed, 9));
    finish (&bed);
}

/* --- words that make no sense ----------------------------------------------------------------- */

static void who_has_done_more_steps_than_there_are (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 0);
    memset (bed.told, 0, sizeof bed.told);
    hear (&bed, 1, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = { .job = 1, .generation = 1 } });
    aborted (&bed, 0, 0);
    aborted (&bed, 1, UINT64_MAX);
    aborted (&bed, 2, 0);
    assert_true (was_told (&bed, 1, "RELEASE"));
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 2); /* without it */
    assert_false (was_told (&bed, 1, "FORM"));
    finish (&bed);
}

/* --- a host on which the job cannot go on ------------------------------------------------------ */

static void fails (struct bed *bed, uint32_t worker, uint32_t code)
{
    struct mu_wire_failed failed = { .job = 1, .code = code, .text = { "no such file", 12 } };
    bed->told[worker][0] = '\0';
    hear (bed, worker, (struct mu_wire){ .type = MU_WIRE_FAILED, .failed = failed });
}

/* w2 was started anew, and opens the job that the others train meanwhile. */
static void one_opens (struct bed *bed)
{
    running (bed, 5);
    start_anew (bed, 2, 2);
    aborted (bed, 0, 5);
    aborted (bed, 1, 5);
    ready (bed, 0);
    ready (bed, 1);
    for (uint64_t done = 6; done < 16 && !was_told (bed, 2, "ASSIGN"); done++) {
        reach (bed, 0, 2, done, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
        reach (bed, 1, 2, done, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
        pass (bed, BEAT_MS);
    }
    assert_true (was_told (bed, 2, "ASSIGN"));
    bed->told[2][0] = '\0';
}

static void is_let_go_for_a_minute (struct bed *bed)
{
    assert_non_null (strstr (bed->turned_away, "worker w2 is not given the job for 60 s: "));
    assert_string_equal (bed->state, "");
    assert_int_equal (bed->forms, 2);
    let_go (bed, 2);
    bed->told[2][0] = '\0';
    pass (bed, COORD_COOL_OFF_MS - 2000);
    assert_false (was_told (bed, 2, "ASSIGN"));
    pass (bed, 4000);
    assert_true (was_told (bed, 2, "ASSIGN")); /* its host may be mended */
}

/* Its world was to be connected while the others train: they go on. */
static void a_joiner_whose_process_ends_by_itself_disturbs_nobody (void **state)
{
    (void)state;
    struct bed bed;
    one_opens (&bed);
    prepared_with (&bed, 2, (struct mu_wire_prepared){ .blank = true });
    for (unsigned times = 0; times < 2; times++) {
        struct mu_wire_down down = { .job = 1, .generation = 3, .ended = true };
        pass (&bed, COORD_REPEAT_MS + BEAT_MS);
        mu_text_set (down.world, sizeof down.world, bed.ahead);
        mu_text_set (down.text, sizeof down.text, "ended by signal 6");
        for (unsigned again = 0; again < 2; again++)
            hear (&bed, 2, (struct mu_wire){ .type = MU_WIRE_DOWN, .down = down });
        assert_int_equal (was_told (&bed, 2, "RELEASE"), times == 1);
    }
    assert_non_null (
        strstr (bed.turned_away, "w2 is not given the job for 60 s: its collective ended"));
    is_let_go_for_a_minute (&bed);
    finish (&bed);
}

static void who_cannot_open_what_others_train_is_let_go (void **state)
{
    (void)state;
    struct bed bed;
    one_opens (&bed);
    fails (&bed, 2, MU_NO_INPUT);
    is_let_go_for_a_minute (&bed);
    finish (&bed);
}

static void whose_trainers_never_open_is_let_go (void **state)
{
    (void)state;
    struct bed bed;
    one_opens (&bed);
    for (uint64_t trainer = 1; trainer <= COORD_CRASHES_MAX; trainer++) {
        assert_false (was_told (&bed, 2, "RELEASE"));
        hear (&bed, 2,
              (struct mu_wire){
                  .type = MU_WIRE_CRASHED,
                  .crashed = { .job = 1, .trainer = trainer, .text = { "no files", 8 } } });
    }
    is_let_go_for_a_minute (&bed);
    finish (&bed);
}

static void whose_storage_fails_is_let_go_unless_it_is_the_last (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    fails (&bed, 1, MU_IO);
    assert_string_equal (bed.state, "");
    assert_int_equal (bed.broken, 1);
    assert_string_equal (bed.reason, "worker w1 cannot go on with it: no such file");
    let_go (&bed, 1);
    end (&bed, W0 | W2, 5);
    assert_int_equal (bed.forms, 2);
    forms_with (&bed, W0 | W2);
    fails (&bed, 0, MU_IO);
    let_go (&bed, 0);
    end (&bed, W2, 5);
    forms_with (&bed, W2);
    fails (&bed, 2, MU_IO);
    assert_string_equal (bed.state, "Worker w2: no such file");
    finish (&bed);
}

static void a_job_that_lacks_who_was_let_go_waits_and_says_so (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed, 3);
    form (&bed);
    train (&bed, 5);
    fails (&bed, 2, MU_IO);
    let_go (&bed, 2);
    end (&bed, W0 | W1, 5);
    pass (&bed, 1000);
    assert_int_equal (bed.forms, 1);
    struct mu_wire_job_info info = job_info (&bed);
    char why[256];
    snprintf (why, sizeof why, "%.*s", (int)info.reason.size, (const char *)info.reason.data);
    assert_non_null (strstr (why, "waits for 3 workers; 3 are here, 1 of them free, 2 already its "
                                  "own; 1 not taken for a moment"));
    pass (&bed, COORD_COOL_OFF_MS);
    assert_true (was_told (&bed, 2, "ASSIGN"));
    finish (&bed);
}

/* It was told to save the best state when the pause could not be delayed, for want of workers; now that it could
 * be, the others would begin at that step with a state that is not of it. */
static void the_others_do_not_form_without_who_saves (void **state)
{
    (void)state;
    struct bed bed;
    struct mu_wire pause = { .type = MU_WIRE_CONTROL, .control = { .request = 3, .job = "1" } },
                   scale = { .type = MU_WIRE_SCALE, .scale = { .request = 4, .job = "1" } };
    pause.control.verb = 2;
    scale.scale.workers = 1;
    opening (&bed, 3);
    form (&bed);
    train (&bed, 5);
    fails (&bed, 2, MU_IO);
    step (&bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &pause });
    let_go (&bed, 2);
    aborted (&bed, 0, 5);
    aborted (&bed, 1, 6);
    pass (&bed, BEAT_MS);
    assert_true (was_told (&bed, 1, "SAVE"));
    step (&bed, (struct coord_event){ .type = COORD_RECEIVE, .peer = 100, .wire = &scale });
    pass (&bed, BEAT_MS);
    assert_int_equal (bed.forms, 1);
    say_saved (&bed, 1, 1, 6);
    assert_int_equal (committed (&bed), 6);
    finish (&bed);
}

static void what_would_fail_elsewhere_fails_the_job (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, 5);
    fails (&bed, 1, MU_FAILED); /* a value that is not finite */
    assert_string_equal (bed.state, "Worker w1: no such file");
    finish (&bed);
    opening (&bed, 3);
    fails (&bed, 1, MU_NO_INPUT); /* nobody has trained with it yet */
    assert_string_equal (bed.state, "Worker w1: no such file");
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (who_has_done_more_steps_than_there_are),
        cmocka_unit_test (who_does_not_reach_a_fence_is_left_out),
        cmocka_unit_test (the_last_fence_tells),
        cmocka_unit_test (who_is_not_ready_is_named),
        cmocka_unit_test (a_minimum_is_kept),
        cmocka_unit_test (nobody_ready_is_tried_without_one),
        cmocka_unit_test (a_wrong_guess_is_taken_back),
        cmocka_unit_test (who_is_free_stands_in),
        cmocka_unit_test (who_comes_back_and_fails_again_is_left_out_longer),
        cmocka_unit_test (builds_of_a_trainer_are_not_mixed),
        cmocka_unit_test (whose_process_ends_by_itself_is_left_out_the_second_time),
        cmocka_unit_test (a_joiner_whose_process_ends_by_itself_disturbs_nobody),
        cmocka_unit_test (who_ends_again_and_again_is_left_out),
        cmocka_unit_test (chance_leaves_nobody_out),
        cmocka_unit_test (whose_collective_crashes_is_quarantined_whoever_speaks_first),
        cmocka_unit_test (generations_in_vain_form_ever_more_slowly),
        cmocka_unit_test (short_generations_that_step_form_at_once),
        cmocka_unit_test (who_cannot_open_what_others_train_is_let_go),
        cmocka_unit_test (whose_trainers_never_open_is_let_go),
        cmocka_unit_test (whose_storage_fails_is_let_go_unless_it_is_the_last),
        cmocka_unit_test (a_job_that_lacks_who_was_let_go_waits_and_says_so),
        cmocka_unit_test (the_others_do_not_form_without_who_saves),
        cmocka_unit_test (what_would_fail_elsewhere_fails_the_job),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
