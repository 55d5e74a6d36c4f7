/* SPDX-License-Identifier: Apache-2.0 */
/* agent_generation.c - one generation after the other, never two at a time
 *
 * A generation has two parts here: the collective process, and the trainer's part in it. It is
 * formed only when nothing of the one before is left, and it is over (for the coordinator: ABORTED)
 * only when the collective is reaped and the trainer has LEFT. What clears away:
 *
 *     collective   KILL_COLLECTIVE ... COLLECTIVE_ENDED, then AGENT_END tells the trainer's wait
 *     trainer      LEAVE ... LEFT; a trainer that ended has left
 *
 * `number` only grows while the job is here: a late FORM of a generation that was aborted, or is
 * older than the one formed, is not obeyed. */
#include "agent_core.h"

#include <sys/wait.h>

#include <stdio.h>
#include <string.h>

/* --- orders ----------------------------------------------------------------------------------- */

static void keep_order (struct agent_order *order, const struct mu_wire_form *form)
{
    order->generation = form->generation;
    order->rank = form->rank;
    order->size = form->size;
    order->attempt = form->attempt;
    order->source_rank = form->source_rank;
    order->transfer = form->transfer;
    order->made_of = form->made_of;
    order->connected = form->connected;
    order->step = form->step;
    order->until_step = form->until_step;
    order->steps = form->steps;
    order->records = form->records;
    agent_copy (order->world, sizeof order->world, form->world);
    agent_bytes_set (&order->first_map, form->first_map.data, form->first_map.size);
    agent_bytes_set (&order->map, form->map.data, form->map.size);
    order->suspect_step = form->suspect_step;
    agent_bytes_set (&order->suspects, form->suspects.data, form->suspects.size);
    agent_bytes_set (&order->skips, form->skips.data, form->skips.size);
}

/* The coordinator asks again because it has not heard where this generation stands. */
static void answer_again (struct agent *agent)
{
    static const enum agent_word answers[] = { WORD_FENCE, WORD_READY, WORD_DOWN };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (agent_repeats (agent, answers[i]))
            agent_repeat (agent, answers[i]);
}

void agent_on_form (struct agent *agent, const struct mu_wire_form *form)
{
    struct agent_generation *generation = &agent->generation;
    agent_was_heard (agent, WORD_PREPARED);
    if (form->generation == generation->formed)
        answer_again (agent);
    if (form->generation <= generation->number || form->rank >= form->size)
        return;
    generation->number = form->generation;
    generation->over = true; /* what is there */
    generation->aborting = false;
    keep_order (&generation->next, form);
    agent_ahead_settle (agent, form->generation, form->connected ? form->world : "");
    agent_was_heard (agent, WORD_ABORTED);
    agent_was_heard (agent, WORD_DOWN);
}

void agent_on_fenced (struct agent *agent, const struct mu_wire_fenced *fenced)
{
    struct agent_generation *generation = &agent->generation;
    if (fenced->generation != generation->formed || fenced->number != generation->fence ||
        generation->collective != COLLECTIVE_ALIVE || !agent_repeats (agent, WORD_FENCE))
        return;
    agent_was_heard (agent, WORD_FENCE);
    struct agent_fence *fence = &agent_add (agent, AGENT_FENCE_DONE)->fence;
    fence->generation = fenced->generation;
    fence->number = fenced->number;
    fence->values = fenced->values;
}

void agent_on_go (struct agent *agent, const struct mu_wire_go *go)
{
    struct agent_generation *generation = &agent->generation;
    if (go->generation != generation->formed || generation->over || !generation->ready ||
        generation->go)
        return;
    generation->go = true;
    agent_was_heard (agent, WORD_READY);
    agent_add (agent, AGENT_GO)->generation = go->generation;
    agent_log (agent, LOG_INFO_, "running", "generation %llu runs: rank %u of %u from step %llu",
               (unsigned long long)go->generation, generation->now.rank, generation->now.size,
               (unsigned long long)generation->now.step);
    agent_lack_spare (agent);
}

void agent_on_lease (struct agent *agent, const struct mu_wire_lease *lease)
{
    struct agent_generation *generation = &agent->generation;
    if (lease->generation == generation->next.generation &&
        lease->until_step > generation->next.until_step)
        generation->next.until_step = lease->until_step;
    if (lease->generation != generation->formed || generation->part != PART_IN ||
        (lease->until_step <= generation->now.until_step && !lease->stop))
        return;
    generation->now.until_step = lease->until_step;
    struct mu_wire_extend *extend = &agent_tell (agent, MU_WIRE_EXTEND)->extend;
    extend->generation = lease->generation;
    extend->until_step = lease->until_step;
    extend->stop = lease->stop;
}

void agent_on_review (struct agent *agent, const struct mu_wire_review *review)
{
    const struct agent_generation *generation = &agent->generation;
    if (review->generation != generation->formed || generation->part != PART_IN)
        return;
    struct mu_wire_compare *compare = &agent_tell (agent, MU_WIRE_COMPARE)->compare;
    compare->generation = review->generation;
    compare->step = review->step;
}

/* An order to end a generation that this worker never heard of is an order too: its FORM may still
 * be on the way. */
void agent_on_abort (struct agent *agent, const struct mu_wire_abort *abort_order)
{
    struct agent_generation *generation = &agent->generation;
    if (abort_order->generation < generation->number)
        return;
    agent_was_heard (agent, WORD_DOWN);
    if (generation->aborting && agent_repeats (agent, WORD_ABORTED)) {
        agent_repeat (agent, WORD_ABORTED);
        return;
    }
    agent_ahead_settle (agent, abort_order->generation, "");
    generation->number = abort_order->generation;
    generation->next.generation = 0;
    generation->over = true;
    generation->aborting = true;
}

/* --- the collective --------------------------------------------------------------------------- */

void agent_break (struct agent *agent, const char *why)
{
    struct agent_generation *generation = &agent->generation;
    if (generation->over)
        return;
    generation->over = true;
    agent_copy (generation->down, sizeof generation->down, why);
    agent_log (agent, LOG_WARN_, "down", "generation %llu ended here: %s",
               (unsigned long long)generation->formed, generation->down);
    agent_repeat (agent, WORD_DOWN);
}

static void on_fence (struct agent *agent, const struct agent_event *event)
{
    struct agent_generation *generation = &agent->generation;
    generation->fence = event->number;
    agent_bytes_set (&generation->values, event->values.data, event->values.size);
    agent_repeat (agent, WORD_FENCE);
}

static void on_ready (struct agent *agent, const struct agent_event *event)
{
    (void)event;
    agent->generation.ready = true;
    agent_was_heard (agent, WORD_FENCE);
    agent_repeat (agent, WORD_READY);
}

static void on_failed (struct agent *agent, const struct agent_event *event)
{
    agent->generation.differs = event->differs;
    agent_break (agent, event->text && *event->text ? event->text : "its collective failed");
}

/* Others noticed, and ABORT came before its end was seen here: that it was this one is still to be told. Once:
 * nobody waits for it. */
static void tell_late (struct agent *agent, const char *why)
{
    agent_copy (agent->generation.down, sizeof agent->generation.down, why);
    agent_log (agent, LOG_WARN_, "down", "generation %llu had ended here: %s",
               (unsigned long long)agent->generation.formed, why);
    agent_repeat (agent, WORD_DOWN);
    agent_was_heard (agent, WORD_DOWN);
}

static void on_ended (struct agent *agent, const struct agent_event *event)
{
    char why[256];
    if (event->text && *event->text)
        snprintf (why, sizeof why, "%s", event->text);
    else
        snprintf (why, sizeof why, "its collective process ended with status %d", event->status);
    struct agent_generation *generation = &agent->generation;
    bool killed = generation->collective == COLLECTIVE_KILLED && !event->by_itself; /* no crash */
    generation->collective = COLLECTIVE_NONE;
    generation->died = !killed && WIFSIGNALED (event->status);
    if (generation->aborting && generation->died && !*generation->down)
        tell_late (agent, why);
    agent_break (agent, why);
}

/* A collective that is being killed may still have had something to say. */
void agent_on_collective (struct agent *agent, const struct agent_event *event)
{
    struct agent_generation *generation = &agent->generation;
    if (agent->ahead.state != AHEAD_NONE && event->generation == agent->ahead.generation) {
        agent_ahead_collective (agent, event);
        return;
    }
    if (event->generation != generation->formed || generation->collective == COLLECTIVE_NONE)
        return;
    if (event->type == AGENT_COLLECTIVE_ENDED)
        on_ended (agent, event);
    else if (event->type == AGENT_COLLECTIVE_FAILED)
        on_failed (agent, event);
    else if (generation->over || generation->collective == COLLECTIVE_KILLED)
        return;
    else if (event->type == AGENT_COLLECTIVE_FENCE)
        on_fence (agent, event);
    else if (event->type == AGENT_COLLECTIVE_READY)
        on_ready (agent, event);
}

/* --- clearing away and forming ---------------------------------------------------------------- */

bool agent_is_clear (const struct agent *agent)
{
    return agent->generation.collective == COLLECTIVE_NONE && agent->generation.part == PART_OUT;
}

static void clear_away (struct agent *agent)
{
    struct agent_generation *generation = &agent->generation;
    if (generation->collective == COLLECTIVE_ALIVE) {
        generation->collective = COLLECTIVE_KILLED;
        agent_add (agent, AGENT_KILL_COLLECTIVE);
    }
    if (generation->collective == COLLECTIVE_NONE && generation->ended < generation->formed) {
        generation->ended = generation->formed;
        agent_add (agent, AGENT_END)->generation = generation->formed;
    }
    if (generation->part == PART_IN) {
        generation->part = PART_LEAVING;
        agent_tell (agent, MU_WIRE_LEAVE)->leave.generation = generation->formed;
    }
    agent_was_heard (agent, WORD_FENCE);
    agent_was_heard (agent, WORD_READY);
    agent_was_heard (agent, WORD_TRAINED);
}

static void tell_enter (struct agent *agent, const struct agent_order *order)
{
    struct mu_wire_enter *enter = &agent_tell (agent, MU_WIRE_ENTER)->enter;
    enter->generation = order->generation;
    enter->rank = order->rank;
    enter->size = order->size;
    enter->step = order->step;
    enter->attempt = order->attempt;
    enter->first_map = agent_blob (&order->first_map);
    enter->map = agent_blob (&order->map);
    enter->until_step = order->until_step;
    enter->steps = order->steps;
    enter->records = order->records;
    enter->writer = order->rank == 0;
    enter->transfer = order->transfer;
    enter->made_of = order->made_of;
    enter->source_rank = order->source_rank;
    enter->suspect_step = order->suspect_step;
    enter->suspects = agent_blob (&order->suspects);
    enter->skips = agent_blob (&order->skips);
}

static void ask_collective (struct agent *agent, const struct agent_order *order)
{
    const struct agent_job *job = &agent->job;
    struct agent_form *form = &agent_add (agent, AGENT_FORM)->form;
    form->job = job->number;
    form->generation = order->generation;
    form->step = order->step;
    form->attempt = order->attempt;
    form->rank = order->rank;
    form->size = order->size;
    form->source_rank = order->source_rank;
    form->transfer = order->transfer;
    form->sums = order->made_of != 0;
    form->receives = order->transfer && order->rank != order->source_rank
                         ? mu_receives (job->blank, job->step, job->attempt, order->step,
                                        order->attempt, order->made_of)
                         : MU_RECEIVES_NOTHING;
    form->world = order->world;
    form->connected = order->connected;
}

static void form_next (struct agent *agent)
{
    struct agent_generation *generation = &agent->generation;
    struct agent_order spare = generation->now;
    generation->now = generation->next;
    generation->next = spare;
    generation->next.generation = 0;
    generation->formed = generation->now.generation;
    generation->over = generation->aborting = generation->ready = generation->go = false;
    generation->down[0] = '\0';
    generation->died = generation->differs = generation->doubts = false;
    generation->states.count = generation->gradients.count = 0;
    agent->job.windows_said = agent->job.windows_heard = 0;
    agent->job.trainer_phase = MU_PHASE_CONNECTING;
    agent_log (agent, LOG_INFO_, "forming", "generation %llu: rank %u of %u, step %llu%s",
               (unsigned long long)generation->formed, generation->now.rank, generation->now.size,
               (unsigned long long)generation->now.step,
               generation->now.transfer ? ", state broadcast first" : "");
    generation->part = PART_IN;
    tell_enter (agent, &generation->now);
    if (generation->now.connected && !agent_ahead_take (agent, &generation->now)) {
        agent_break (agent, "the collective that was connected for it has ended");
        return;
    }
    generation->collective = COLLECTIVE_ALIVE;
    ask_collective (agent, &generation->now);
}

void agent_settle_generation (struct agent *agent)
{
    struct agent_generation *generation = &agent->generation;
    if (!generation->over)
        return;
    clear_away (agent);
    if (!agent_is_clear (agent) || agent->job.trainer != TRAINER_OPEN)
        return;
    if (generation->next.generation)
        form_next (agent);
    else if (generation->aborting && !agent_repeats (agent, WORD_ABORTED))
        agent_repeat (agent, WORD_ABORTED);
}

static void forget_order (struct agent_order *order)
{
    agent_bytes_clear (&order->first_map);
    agent_bytes_clear (&order->map);
    agent_bytes_clear (&order->suspects);
    agent_bytes_clear (&order->skips);
}

void agent_forget_generation (struct agent *agent)
{
    struct agent_generation *generation = &agent->generation;
    agent_bytes_clear (&generation->values);
    forget_order (&generation->now);
    forget_order (&generation->next);
    memset (generation, 0, sizeof *generation);
}
