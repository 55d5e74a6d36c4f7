/* SPDX-License-Identifier: Apache-2.0 */
/* agent_ahead.c - the collective that is connected for the generation that follows
 *
 * CONNECT names a world; a collective process, the spare mostly, takes its rank in it while the
 * present generation trains on. It touches no memory of the trainer. When FORM names that world the
 * process is the new generation's, connected already; on any other FORM, on ABORT of that
 * generation, or when the world is not wanted any more, it is ended.
 *
 * It is a favour: what goes wrong is told once (DOWN, of a generation that is not formed yet), and
 * a world whose collective has ended is not connected again, for the others may be past its fences.
 */
#include "agent_core.h"

#include <sys/wait.h>

#include <string.h>

static void silence (struct agent *agent)
{
    agent_was_heard (agent, WORD_AHEAD_FENCE);
    agent_was_heard (agent, WORD_CONNECTED);
}

void agent_ahead_forget (struct agent *agent)
{
    silence (agent);
    agent_bytes_clear (&agent->ahead.values);
    agent->ahead = (struct agent_ahead){ 0 };
}

static void drop (struct agent *agent)
{
    if (agent->ahead.state != AHEAD_NONE)
        agent_add (agent, AGENT_DROP_AHEAD);
    agent_ahead_forget (agent);
}

/* --- orders ----------------------------------------------------------------------------------- */

static void connect_to (struct agent *agent, const struct mu_wire_connect *connect)
{
    struct agent_ahead *ahead = &agent->ahead;
    ahead->state = AHEAD_CONNECTING;
    ahead->generation = connect->generation;
    ahead->rank = connect->rank;
    ahead->size = connect->size;
    agent_copy (ahead->world, sizeof ahead->world, connect->world);
    struct agent_form *form = &agent_add (agent, AGENT_CONNECT)->form;
    form->job = agent->job.number;
    form->generation = ahead->generation;
    form->rank = ahead->rank;
    form->size = ahead->size;
    form->world = ahead->world;
    agent_lack_spare (agent);
}

static void say_down (struct agent *agent, const char *why, bool died)
{
    struct mu_wire_down *down = &agent_say (agent, MU_WIRE_DOWN)->down;
    down->job = agent->job.number;
    down->generation = agent->ahead.generation;
    agent_copy (down->world, sizeof down->world, agent->ahead.world);
    agent_copy (down->text, sizeof down->text, why);
    down->ended = died;
}

/* It was not heard how far this is. */
static void answer_again (struct agent *agent)
{
    if (agent->ahead.state == AHEAD_NONE)
        say_down (agent, "the collective that was connected ahead has ended", false);
    else if (agent->ahead.state == AHEAD_CONNECTED)
        agent_repeat (agent, WORD_CONNECTED);
    else if (agent_repeats (agent, WORD_AHEAD_FENCE))
        agent_repeat (agent, WORD_AHEAD_FENCE);
}

void agent_on_connect (struct agent *agent, const struct mu_wire_connect *connect)
{
    struct agent_ahead *ahead = &agent->ahead;
    bool known = !strcmp (ahead->world, connect->world);
    agent_was_heard (agent, WORD_PREPARED);
    if (connect->generation <= agent->generation.number || !*connect->world)
        return;
    if (!connect->size) {
        if (known)
            drop (agent);
        return;
    }
    if (connect->rank >= connect->size)
        return;
    if (known) {
        answer_again (agent);
        return;
    }
    drop (agent);
    connect_to (agent, connect);
}

void agent_ahead_fenced (struct agent *agent, const struct mu_wire_fenced *fenced)
{
    struct agent_ahead *ahead = &agent->ahead;
    if (ahead->state != AHEAD_CONNECTING || strcmp (fenced->world, ahead->world) != 0 ||
        fenced->number != ahead->fence || !agent_repeats (agent, WORD_AHEAD_FENCE))
        return;
    agent_was_heard (agent, WORD_AHEAD_FENCE);
    struct agent_fence *fence = &agent_add (agent, AGENT_FENCE_DONE)->fence;
    fence->generation = ahead->generation;
    fence->number = fenced->number;
    fence->values = fenced->values;
}

void agent_ahead_settle (struct agent *agent, uint64_t generation, const char *world)
{
    if (agent->ahead.generation <= generation && strcmp (agent->ahead.world, world) != 0)
        drop (agent);
}

bool agent_ahead_take (struct agent *agent, const struct agent_order *order)
{
    const struct agent_ahead *ahead = &agent->ahead;
    bool is_it = ahead->state == AHEAD_CONNECTED && ahead->generation == order->generation &&
                 ahead->rank == order->rank && ahead->size == order->size &&
                 !strcmp (ahead->world, order->world);
    if (is_it)
        agent_ahead_forget (agent);
    else
        drop (agent);
    return is_it;
}

/* --- the collective --------------------------------------------------------------------------- */

static void on_fence (struct agent *agent, const struct agent_event *event)
{
    agent->ahead.fence = event->number;
    agent_bytes_set (&agent->ahead.values, event->values.data, event->values.size);
    agent_repeat (agent, WORD_AHEAD_FENCE);
}

static void on_connected (struct agent *agent)
{
    agent->ahead.state = AHEAD_CONNECTED;
    agent_was_heard (agent, WORD_AHEAD_FENCE);
    agent_repeat (agent, WORD_CONNECTED);
}

static void on_ended (struct agent *agent, const struct agent_event *event)
{
    silence (agent);
    agent->ahead.state = AHEAD_NONE;
    say_down (agent, event->text && *event->text ? event->text : "it ended",
              WIFSIGNALED (event->status));
}

void agent_ahead_collective (struct agent *agent, const struct agent_event *event)
{
    if (event->type == AGENT_COLLECTIVE_FENCE)
        on_fence (agent, event);
    else if (event->type == AGENT_COLLECTIVE_CONNECTED)
        on_connected (agent);
    else if (event->type == AGENT_COLLECTIVE_ENDED)
        on_ended (agent, event);
}
