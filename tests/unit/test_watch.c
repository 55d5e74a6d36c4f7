/* SPDX-License-Identifier: Apache-2.0 */
/* test_watch.c - whose turn an agent says it is, and for how long nobody took it
 *
 * Each test brings the agent's core into a phase, lets a quarter of a second pass again and again
 * with a given look at the children, and asks what the next BEAT says. */
#include "worker/agent.h"
#include "worker/agent_timing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bed {
    struct agent *agent;
    struct agent_actions actions;
    uint64_t now_ms;
    struct agent_look look;
    struct mu_wire_beat beat; /* the newest */
    unsigned looks;           /* that were asked for */
};

static void happen (struct bed *bed, struct agent_event event)
{
    event.now_ms = bed->now_ms;
    bed->actions.count = 0;
    agent_step (bed->agent, &event, &bed->actions);
    for (uint32_t i = 0; i < bed->actions.count; i++) {
        const struct agent_action *action = &bed->actions.list[i];
        bed->looks += action->type == AGENT_LOOK;
        if (action->type == AGENT_SEND && action->send.wire.type == MU_WIRE_BEAT)
            bed->beat = action->send.wire.beat;
    }
}

static void hear (struct bed *bed, struct mu_wire wire)
{
    wire.term = 5;
    happen (bed, (struct agent_event){ .type = AGENT_HEARD, .wire = &wire });
}

static void said (struct bed *bed, struct mu_wire wire)
{
    happen (bed, (struct agent_event){ .type = AGENT_TRAINER_SAID, .wire = &wire, .region = true });
}

/* So long, and in each quarter of a second the children use so much of a processor. */
static void pass (struct bed *bed, uint64_t ms, uint64_t trainer_us, uint64_t collective_us)
{
    for (uint64_t end_ms = bed->now_ms + ms; bed->now_ms < end_ms;) {
        bed->now_ms += AGENT_LOOK_MS;
        bed->look.trainer_cpu_us += trainer_us;
        bed->look.collective_cpu_us += collective_us;
        happen (bed, (struct agent_event){ .type = AGENT_TIMER });
        happen (bed, (struct agent_event){ .type = AGENT_LOOKED, .look = &bed->look });
    }
    hear (bed, (struct mu_wire){ .type = MU_WIRE_WELCOME,
                                 .welcome = { .worker = 1, .beat_ms = 250, .lost_ms = 60000 } });
}

static void expect (const struct bed *bed, enum mu_duty_state duty, uint64_t still_ms,
                    uint64_t stalled_ms)
{
    assert_string_equal (mu_duty_state_name ((int)bed->beat.duty), mu_duty_state_name (duty));
    /* The beat comes before the look of the same moment. */
    assert_in_range (bed->beat.still_ms, still_ms > 250 ? still_ms - 250 : 0, still_ms + 250);
    assert_in_range (bed->beat.stalled_ms, stalled_ms > 250 ? stalled_ms - 250 : 0,
                     stalled_ms + 250);
}

static void opening (struct bed *bed)
{
    static const struct agent_options options = {
        .name = "w1", .compute_class = "portable", .threads = 1, .incarnation = 7, .seed = 3
    };
    memset (bed, 0, sizeof *bed);
    bed->now_ms = 1000;
    bed->look.trainer_state = 'R';
    bed->look.collective_state = 'S';
    bed->agent = agent_create (&options);
    happen (bed, (struct agent_event){ .type = AGENT_START });
    hear (bed, (struct mu_wire){ .type = MU_WIRE_WELCOME,
                                 .welcome = { .worker = 1, .beat_ms = 250, .lost_ms = 60000 } });
    hear (bed,
          (struct mu_wire){ .type = MU_WIRE_ASSIGN, .assign = { .job = 1, .spec = { "{}", 2 } } });
}

static void connecting (struct bed *bed)
{
    opening (bed);
    said (bed, (struct mu_wire){ .type = MU_WIRE_OPENED, .opened = { .job = 1, .window = 16 } });
    hear (bed, (struct mu_wire){ .type = MU_WIRE_FORM,
                                 .form = { .job = 1,
                                           .generation = 1,
                                           .rank = 1,
                                           .size = 3,
                                           .steps = 200,
                                           .until_step = 100,
                                           .first_map = { "\0\0\1\0", 4 },
                                           .map = { "\0\0\1\0", 4 } } });
    bed->look.entered = 1;
}

static void fence (struct bed *bed)
{
    happen (bed, (struct agent_event){
                     .type = AGENT_COLLECTIVE_FENCE, .generation = 1, .values = { "v", 1 } });
}

static void ready (struct bed *bed)
{
    happen (bed, (struct agent_event){ .type = AGENT_COLLECTIVE_READY, .generation = 1 });
}

static void phase (struct bed *bed, enum mu_phase_state phase)
{
    said (bed, (struct mu_wire){ .type = MU_WIRE_PROGRESS,
                                 .progress = { .generation = 1, .phase = phase } });
}

static void running (struct bed *bed, enum mu_phase_state now)
{
    connecting (bed);
    ready (bed);
    hear (bed, (struct mu_wire){ .type = MU_WIRE_GO, .go = { 1, 1 } });
    phase (bed, now);
}

static void finish (struct bed *bed)
{
    agent_destroy (&bed->agent);
    free (bed->actions.list);
}

/* --- a trainer -------------------------------------------------------------------------------- */

static void a_long_micro_batch_moves (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    pass (&bed, 90000, 200000, 10);
    expect (&bed, MU_DUTY_TRAINER, 0, 90000);
    bed.look.work++;
    pass (&bed, 500, 200000, 10);
    expect (&bed, MU_DUTY_TRAINER, 0, 500);
    finish (&bed);
}

/* On a crowded machine it gets little, and that is enough. */
static void a_starved_trainer_moves (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    pass (&bed, 20000, 2500, 10);
    expect (&bed, MU_DUTY_TRAINER, 0, 20000);
    finish (&bed);
}

/* Its control thread looks for words 20 times a second: that is no work. */
static void a_trainer_asleep_in_user_code_is_still (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    bed.look.trainer_state = 'S';
    pass (&bed, 6000, 100, 10);
    expect (&bed, MU_DUTY_TRAINER, 6000, 6000);
    assert_string_equal (bed.beat.process, "sleeping");
    assert_int_equal (bed.beat.phase, MU_PHASE_COMPUTING);
    finish (&bed);
}

/* One look may meet the control thread awake. */
static void a_thread_that_wakes_for_a_moment_is_not_running (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    bed.look.trainer_state = 'S';
    pass (&bed, 3000, 100, 10);
    bed.look.trainer_state = 'R';
    pass (&bed, 250, 100, 10);
    bed.look.trainer_state = 'S';
    pass (&bed, 250, 100, 10);
    assert_string_equal (bed.beat.process, "sleeping");
    bed.look.trainer_state = 'R';
    pass (&bed, 500, 100, 10);
    assert_string_equal (bed.beat.process, "sleeping");
    pass (&bed, 500, 200000, 10);
    assert_string_equal (bed.beat.process, "running");
    finish (&bed);
}

static void who_never_gets_a_processor_is_running (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    pass (&bed, 6000, 0, 10);
    expect (&bed, MU_DUTY_TRAINER, 6000, 6000);
    assert_string_equal (bed.beat.process, "running");
    finish (&bed);
}

static void a_stopped_trainer_owes_in_every_phase (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_FINISHED);
    pass (&bed, 6000, 100, 10);
    expect (&bed, MU_DUTY_NOBODY, 0, 0);
    bed.look.trainer_state = 'T';
    pass (&bed, 6250, 0, 10);
    expect (&bed, MU_DUTY_TRAINER, 6000, 6000);
    assert_string_equal (bed.beat.process, "stopped");
    finish (&bed);
}

static void opening_goes_on_with_any_processor_time (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed);
    pass (&bed, 120000, 5, 0);
    expect (&bed, MU_DUTY_TRAINER, 0, 120000);
    said (&bed, (struct mu_wire){ .type = MU_WIRE_WORKING, .working = { "hashing", 1, 2 } });
    pass (&bed, 1000, 5, 0);
    expect (&bed, MU_DUTY_TRAINER, 0, 1000);
    pass (&bed, 8000, 0, 0);
    expect (&bed, MU_DUTY_TRAINER, 8000, 9000);
    finish (&bed);
}

static void who_has_not_entered_owes_that (void **state)
{
    (void)state;
    struct bed bed;
    connecting (&bed);
    bed.look.entered = 0;
    pass (&bed, 6000, 100, 10);
    expect (&bed, MU_DUTY_TRAINER, 5750, 5750);
    finish (&bed);
}

static void leaving_is_the_trainers (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    hear (&bed, (struct mu_wire){ .type = MU_WIRE_ABORT, .abort = { 1, 1 } });
    happen (&bed, (struct agent_event){ .type = AGENT_COLLECTIVE_ENDED, .generation = 1 });
    pass (&bed, 6250, 0, 0);
    expect (&bed, MU_DUTY_TRAINER, 6000, 6000);
    assert_int_equal (bed.beat.phase, MU_PHASE_LEAVING);
    finish (&bed);
}

static void leases_that_are_there_are_to_be_used (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    said (&bed, (struct mu_wire){
                    .type = MU_WIRE_PROGRESS,
                    .progress = { .generation = 1, .phase = MU_PHASE_UNLEASED, .step = 100 } });
    pass (&bed, 6000, 0, 10);
    expect (&bed, MU_DUTY_NOBODY, 0, 0);
    hear (&bed, (struct mu_wire){ .type = MU_WIRE_LEASE, .lease = { 1, 1, 116 } });
    pass (&bed, 6250, 0, 10);
    expect (&bed, MU_DUTY_TRAINER, 6000, 6000);
    finish (&bed);
}

/* --- a collective ----------------------------------------------------------------------------- */

/* Who waits for others in the all-reduce is innocent: its collective looks around. */
static void waiting_for_others_is_no_stillness (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_REDUCING);
    pass (&bed, 60000, 100, 1);
    expect (&bed, MU_DUTY_COLLECTIVE, 0, 60000);
    finish (&bed);
}

static void a_stopped_collective_is_still (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_REDUCING);
    pass (&bed, 1000, 100, 20);
    bed.look.collective_state = 'T';
    pass (&bed, 6000, 100, 0);
    expect (&bed, MU_DUTY_COLLECTIVE, 6000, 7000);
    assert_string_equal (bed.beat.process, "stopped");
    finish (&bed);
}

static void sums_that_are_there_are_the_trainers_turn (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_REDUCING);
    pass (&bed, 5000, 100, 20);
    bed.look.answered = true;
    bed.look.moved++;
    pass (&bed, 6000, 100, 20);
    expect (&bed, MU_DUTY_TRAINER, 5750, 5750);
    finish (&bed);
}

static void a_fence_waits_for_others (void **state)
{
    (void)state;
    struct bed bed;
    connecting (&bed);
    pass (&bed, 2250, 0, 0);
    expect (&bed, MU_DUTY_COLLECTIVE, 2000, 2000);
    fence (&bed);
    pass (&bed, 6000, 0, 0);
    expect (&bed, MU_DUTY_NOBODY, 0, 0);
    hear (&bed, (struct mu_wire){ .type = MU_WIRE_FENCED,
                                  .fenced = { .job = 1, .generation = 1, .values = { "v", 1 } } });
    pass (&bed, 3250, 0, 0);
    expect (&bed, MU_DUTY_COLLECTIVE, 3000, 3000);
    ready (&bed);
    pass (&bed, 6000, 0, 0);
    expect (&bed, MU_DUTY_NOBODY, 0, 0);
    finish (&bed);
}

/* --- the agent itself, and the kernel --------------------------------------------------------- */

/* A whole worker that was stopped, or a machine that slept, accuses nobody when it wakes. */
static void what_was_not_seen_is_excused (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    pass (&bed, 1000, 200000, 10);
    bed.now_ms += 40000;
    happen (&bed, (struct agent_event){ .type = AGENT_TIMER }); /* a beat, before it has looked */
    assert_in_range (bed.beat.still_ms, 0, 750);
    assert_in_range (bed.beat.stalled_ms, 0, 1750);
    pass (&bed, 500, 0, 0);
    assert_in_range (bed.beat.still_ms, 0, 750);
    pass (&bed, 6000, 0, 0);
    assert_in_range (bed.beat.still_ms, 5500, 6750);
    finish (&bed);
}

static void a_killed_process_that_stays_is_told_of (void **state)
{
    (void)state;
    struct bed bed;
    running (&bed, MU_PHASE_COMPUTING);
    hear (&bed, (struct mu_wire){ .type = MU_WIRE_RELEASE, .release = { .job = 1 } });
    happen (&bed, (struct agent_event){ .type = AGENT_COLLECTIVE_ENDED, .generation = 1 });
    bed.look.trainer_state = 'D';
    pass (&bed, AGENT_KILL_LIMIT_MS - 500, 0, 0);
    expect (&bed, MU_DUTY_NOBODY, 0, 0);
    pass (&bed, 1500, 0, 0);
    assert_int_equal (bed.beat.duty, MU_DUTY_UNDYING);
    assert_string_equal (bed.beat.process, "disk");
    happen (&bed, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    pass (&bed, 500, 0, 0);
    expect (&bed, MU_DUTY_NOBODY, 0, 0);
    assert_int_equal (agent_job (bed.agent), 0);
    finish (&bed);
}

static void nobody_is_looked_at_without_children (void **state)
{
    (void)state;
    struct bed bed;
    opening (&bed);
    assert_true (bed.looks > 0);
    hear (&bed, (struct mu_wire){ .type = MU_WIRE_RELEASE, .release = { .job = 1 } });
    happen (&bed, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    bed.looks = 0;
    pass (&bed, 3000, 0, 0);
    assert_int_equal (bed.looks, 0);
    assert_true (agent_deadline (bed.agent) > bed.now_ms);
    finish (&bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_long_micro_batch_moves),
        cmocka_unit_test (a_starved_trainer_moves),
        cmocka_unit_test (a_trainer_asleep_in_user_code_is_still),
        cmocka_unit_test (a_thread_that_wakes_for_a_moment_is_not_running),
        cmocka_unit_test (who_never_gets_a_processor_is_running),
        cmocka_unit_test (a_stopped_trainer_owes_in_every_phase),
        cmocka_unit_test (opening_goes_on_with_any_processor_time),
        cmocka_unit_test (who_has_not_entered_owes_that),
        cmocka_unit_test (leaving_is_the_trainers),
        cmocka_unit_test (leases_that_are_there_are_to_be_used),
        cmocka_unit_test (waiting_for_others_is_no_stillness),
        cmocka_unit_test (a_stopped_collective_is_still),
        cmocka_unit_test (sums_that_are_there_are_the_trainers_turn),
        cmocka_unit_test (a_fence_waits_for_others),
        cmocka_unit_test (what_was_not_seen_is_excused),
        cmocka_unit_test (a_killed_process_that_stays_is_told_of),
        cmocka_unit_test (nobody_is_looked_at_without_children),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
