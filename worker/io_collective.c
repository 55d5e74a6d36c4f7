/* SPDX-License-Identifier: Apache-2.0 */
/* io_collective.c - turns the agent's orders into calls of launch.h, and its events into the
 * agent's */
#include "io_collective.h"

#include "common/log.h"
#include "worker/comm/collective_protocol.h"
#include "worker/comm/comm.h"

#include <stdio.h>
#include <string.h>

static int give_form (struct mu_collective *process, const struct agent_form *form, bool connect,
                      struct mu_error *error)
{
    struct mu_collective_form record;
    memset (&record, 0, sizeof record);
    record.protocol = MU_COLLECTIVE_PROTOCOL;
    record.size = form->size;
    record.rank = form->rank;
    record.source_rank = form->transfer ? form->source_rank : MU_COMM_NO_SOURCE;
    record.receives = form->receives;
    record.sums = form->sums;
    record.connect = connect;
    record.attempt = form->attempt;
    record.generation = form->generation;
    record.step = form->step;
    snprintf (record.jobid, sizeof record.jobid, "%s", form->world);
    return mu_collective_form (process, &record, error);
}

/* The spare takes the order; it may have died unnoticed, so a fresh process is the second try.
 * NULL: neither does, and collective->why tells why. */
static struct mu_collective *give (struct io_collective *collective, const struct agent_form *form,
                                   bool connect)
{
    struct mu_error *why = &collective->why;
    struct mu_collective *process = collective->spare;
    collective->spare = NULL;
    if (process && give_form (process, form, connect, why) == 0)
        return process;
    mu_collective_destroy (&process);
    process = mu_collective_start (&collective->options, why);
    if (process && give_form (process, form, connect, why) < 0)
        mu_collective_destroy (&process);
    return process;
}

static void use_ahead (struct io_collective *collective, const struct agent_form *form)
{
    collective->now = collective->ahead;
    collective->ahead = NULL;
    if (!collective->now)
        mu_fail (&collective->why, MU_INTERNAL, "no collective is connected ahead");
    else if (give_form (collective->now, form, false, &collective->why) < 0)
        mu_collective_destroy (&collective->now);
}

void io_collective_form (struct io_collective *collective, const struct agent_form *form)
{
    collective->generation = form->generation;
    if (form->connected)
        use_ahead (collective, form);
    else
        collective->now = give (collective, form, false);
    collective->not_started = !collective->now;
}

void io_collective_connect (struct io_collective *collective, const struct agent_form *form)
{
    collective->ahead_generation = form->generation;
    collective->ahead = give (collective, form, true);
    collective->not_ahead = !collective->ahead;
}

void io_collective_drop_ahead (struct io_collective *collective)
{
    mu_collective_destroy (&collective->ahead);
    collective->not_ahead = false;
}

void io_collective_kill (struct io_collective *collective)
{
    if (collective->now)
        mu_collective_kill (collective->now);
}

void io_collective_fence_done (struct io_collective *collective, const struct agent_fence *fence)
{
    struct mu_error error;
    struct mu_collective *process = NULL;
    if (collective->now && collective->generation == fence->generation)
        process = collective->now;
    else if (collective->ahead && collective->ahead_generation == fence->generation)
        process = collective->ahead;
    if (process && mu_collective_fence_done (process, fence->number, fence->values.data,
                                             fence->values.size, &error) < 0)
        mu_log (MU_LOG_WARN, "fence", &MU_LOG_ABOUT_NOTHING, "%s", error.text);
}

void io_collective_make_spare (struct io_collective *collective)
{
    struct mu_error error;
    if (collective->spare || collective->options.region_fd < 0)
        return;
    collective->spare = mu_collective_start (&collective->options, &error);
    if (!collective->spare)
        mu_log (MU_LOG_WARN, "spare", &MU_LOG_ABOUT_NOTHING, "no spare: %s", error.text);
}

void io_collective_drop_spare (struct io_collective *collective)
{
    mu_collective_destroy (&collective->spare);
}

unsigned io_collective_poll (const struct io_collective *collective, struct pollfd *fds)
{
    const struct mu_collective *const all[] = { collective->now, collective->ahead,
                                                collective->spare };
    unsigned count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            count += mu_collective_poll (all[i], fds + count);
    return count;
}

/* A spare has nothing to say but that it ended. */
static void mind_spare (struct io_collective *collective)
{
    struct mu_collective_event event;
    while (collective->spare && mu_collective_next (collective->spare, &event) > 0) {
        if (event.kind != MU_COLLECTIVE_EVENT_ENDED)
            continue;
        mu_log (MU_LOG_WARN, "spare", &MU_LOG_ABOUT_NOTHING,
                "the spare collective process ended: %s", event.text);
        mu_collective_destroy (&collective->spare);
    }
}

static enum agent_event_type kind_of (const struct mu_collective_event *event)
{
    switch (event->kind) {
    case MU_COLLECTIVE_EVENT_FENCE: return AGENT_COLLECTIVE_FENCE;
    case MU_COLLECTIVE_EVENT_CONNECTED: return AGENT_COLLECTIVE_CONNECTED;
    case MU_COLLECTIVE_EVENT_READY: return AGENT_COLLECTIVE_READY;
    case MU_COLLECTIVE_EVENT_FAILED: return AGENT_COLLECTIVE_FAILED;
    case MU_COLLECTIVE_EVENT_ENDED: return AGENT_COLLECTIVE_ENDED;
    }
    return AGENT_COLLECTIVE_ENDED;
}

/* `process_p` is destroyed when it has ended. False: it has nothing to say. */
static bool next_of (struct mu_collective **process_p, bool *not_started,
                     const struct io_collective *collective, struct agent_event *event)
{
    static struct mu_collective_event found; /* outlives the call: `event` borrows its text */
    if (*not_started) {
        *not_started = false;
        event->type = AGENT_COLLECTIVE_ENDED;
        event->text = collective->why.text;
        return true;
    }
    if (!*process_p || mu_collective_next (*process_p, &found) <= 0)
        return false;
    event->type = kind_of (&found);
    event->number = found.number;
    event->values = (struct mu_blob){ found.values, (uint32_t)found.size };
    event->status = found.status;
    event->by_itself = found.kind == MU_COLLECTIVE_EVENT_ENDED && !found.killed;
    event->text = found.text;
    event->differs = found.kind == MU_COLLECTIVE_EVENT_FAILED &&
                     found.report.status == MU_COLLECTIVE_STATE_DIFFERS;
    if (found.kind == MU_COLLECTIVE_EVENT_ENDED)
        mu_collective_destroy (process_p);
    return true;
}

bool io_collective_next (struct io_collective *collective, struct agent_event *event)
{
    mind_spare (collective);
    *event = (struct agent_event){ .generation = collective->generation };
    if (next_of (&collective->now, &collective->not_started, collective, event))
        return true;
    event->generation = collective->ahead_generation;
    return next_of (&collective->ahead, &collective->not_ahead, collective, event);
}
