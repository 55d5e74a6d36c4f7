/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_orders.c - the agent's core: which orders are obeyed, and jobs that follow each other */
#include "agent_bed.h"

static struct mu_wire numbered (struct mu_wire wire, uint64_t order)
{
    if (wire.type == MU_WIRE_ASSIGN)
        wire.assign.order = order;
    else if (wire.type == MU_WIRE_RELEASE)
        wire.release.order = order;
    else if (wire.type == MU_WIRE_FORM)
        wire.form.order = order;
    return wire;
}

static struct mu_wire assign_of (uint64_t job, uint64_t number)
{
    struct mu_wire wire = numbered (order (MU_WIRE_ASSIGN, 0), number);
    wire.assign.job = job;
    return wire;
}

/* The network held them back, or repeats them; since then the job was given anew. */
static void orders_out_of_the_past_are_not_obeyed (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear (&story, numbered (form (3, 0, 0, false), 7));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    hear (&story, numbered (order (MU_WIRE_RELEASE, 0), 6));
    hear (&story, assign_of (2, 5));
    nothing (&story);
    hear (&story, numbered (order (MU_WIRE_RELEASE, 0), 8));
    expect (&story, "kill trainer");
    finish (&story);
}

static void a_new_reign_counts_its_orders_anew (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear_of (&story, 5, numbered (form (1, 1, 0, false), 9));
    hear_of (&story, 6, numbered (order (MU_WIRE_RELEASE, 0), 1));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    expect (&story, "kill trainer");
    finish (&story);
}

/* It was let go since, and is not taken up again on an order from before. */
static void what_was_let_go_is_not_taken_up_again (void **state)
{
    (void)state;
    struct story story;
    begin (&story);
    hear (&story, assign_of (1, 3));
    expect (&story, "start trainer");
    expect (&story, "tell PREPARE");
    hear (&story, numbered (order (MU_WIRE_RELEASE, 0), 4));
    expect (&story, "kill trainer");
    happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    expect (&story, "RELEASED 1");
    expect (&story, "... to order 4");
    hear (&story, assign_of (1, 3));
    nothing (&story);
    hear (&story, assign_of (1, 5));
    expect (&story, "start trainer");
    expect (&story, "tell PREPARE");
    hear (&story, numbered (order (MU_WIRE_RELEASE, 0), 4));
    finish (&story);
}

static void released_when_all_is_gone (void **state)
{
    (void)state;
    struct story story;
    running (&story);
    hear (&story, order (MU_WIRE_RELEASE, 0));
    expect (&story, "kill collective");
    expect (&story, "tell LEAVE 1");
    expect (&story, "kill trainer");
    hear (&story, order (MU_WIRE_RELEASE, 0));
    nothing (&story);
    happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    nothing (&story);
    collective (&story, AGENT_COLLECTIVE_ENDED, 1, "");
    expect (&story, "end 1");
    expect (&story, "drop region");
    expect (&story, "RELEASED 1");
    hear (&story, order (MU_WIRE_RELEASE, 0)); /* it was not heard */
    expect (&story, "RELEASED 1");
    hear (&story, form (2, 0, 0, false)); /* nothing of that job is here */
    expect (&story, "RELEASED 1");
    hear (&story, order (MU_WIRE_GO, 2));
    finish (&story);
}

static void another_job_comes (void **state)
{
    (void)state;
    struct story story;
    struct mu_wire other = assign_of (2, 2);
    prepared (&story, 0);
    hear (&story, other);
    expect (&story, "kill trainer");
    happen (&story, (struct agent_event){ .type = AGENT_TRAINER_ENDED, .status = 9 });
    expect (&story, "drop region");
    expect (&story, "RELEASED 1");
    expect (&story, "... to order 2");
    hear (&story, other);
    expect (&story, "start trainer");
    expect (&story, "tell PREPARE");
    assert_int_equal (agent_job (story.agent), 2);
    finish (&story);
}

int main (void)
{
    const struct CMUnitTest stories[] = {
        cmocka_unit_test (orders_out_of_the_past_are_not_obeyed),
        cmocka_unit_test (a_new_reign_counts_its_orders_anew),
        cmocka_unit_test (what_was_let_go_is_not_taken_up_again),
        cmocka_unit_test (released_when_all_is_gone),
        cmocka_unit_test (another_job_comes),
    };
    return cmocka_run_group_tests (stories, NULL, NULL);
}
