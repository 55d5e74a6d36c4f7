/* SPDX-License-Identifier: Apache-2.0 */
/* agent_fault.c - faults that people order for drills: what is broken, how, and until when
 *
 * Nothing here needs the victim's help: processes are stopped and killed from outside, words are
 * lost at the agent's own socket, bits are flipped in memory that is shared. So what follows is what
 * the same fault would cause by accident. Only a worker that was started to take such orders obeys.
 *
 * An order is answered with HARMED before it strikes, because what is struck may be the agent or its
 * line. The client repeats its request until it has an answer: the newest orders are remembered, and
 * one that is known is answered again and not obeyed twice. All else is forgotten when the agent
 * ends; and every fault but a stop for ever ends by itself. A newer order takes an older one's place. */
#include "agent_core.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FOR_EVER UINT64_MAX

/* --- blows ------------------------------------------------------------------------------------ */

static struct agent_blow *strike (struct agent *agent, enum agent_blow_kind kind,
                                  enum mu_process_state process)
{
    struct agent_blow *blow = &agent_add (agent, AGENT_BREAK)->blow;
    blow->kind = kind;
    blow->process = process;
    return blow;
}

static bool lives (const struct agent *agent, enum mu_process_state process)
{
    const struct agent_job *job = &agent->job;
    if (process == MU_PROCESS_TRAINER)
        return job->trainer == TRAINER_OPENING || job->trainer == TRAINER_OPEN;
    return process == MU_PROCESS_AGENT || agent->generation.collective == COLLECTIVE_ALIVE;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void answer (struct agent *agent, const struct mu_wire *wire, uint32_t code,
                    const char *text)
{
    struct mu_wire_harmed *said = &agent_say (agent, MU_WIRE_HARMED)->harmed;
    said->request = wire->harm.request;
    said->client = wire->harm.client;
    said->asked_term = wire->term;
    said->code = code;
    agent_copy (said->text, sizeof said->text, text);
}

/* Remember it, say it, log it. */
static void settle_order (struct agent *agent, const struct mu_wire *wire, enum mu_code code,
                          const char *format, ...) __attribute__ ((format (printf, 4, 5)));

static void settle_order (struct agent *agent, const struct mu_wire *wire, enum mu_code code,
                          const char *format, ...)
{
    struct agent_fault *fault = &agent->fault;
    uint32_t at = fault->known_next++ % AGENT_FAULTS_KNOWN;
    char text[sizeof fault->known[at].text];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    fault->known[at].request = wire->harm.request;
    fault->known[at].code = (uint32_t)code;
    agent_copy (fault->known[at].text, sizeof fault->known[at].text, text);
    answer (agent, wire, (uint32_t)code, text);
    agent_log (agent, code == MU_OK ? LOG_WARN_ : LOG_INFO_, "fault", "ordered: %s", text);
}

static bool answer_again (struct agent *agent, const struct mu_wire *wire)
{
    struct agent_fault *fault = &agent->fault;
    for (uint32_t i = 0; i < AGENT_FAULTS_KNOWN; i++)
        if (fault->known[i].request && fault->known[i].request == wire->harm.request) {
            answer (agent, wire, fault->known[i].code, fault->known[i].text);
            return true;
        }
    return false;
}

/* --- the orders ------------------------------------------------------------------------------- */

static const char *time_of (const struct mu_wire_harm *order, char *text, size_t size)
{
    if (order->milliseconds)
        snprintf (text, size, "for %.3g s", (double)order->milliseconds / 1000);
    else
        snprintf (text, size, "for ever");
    return text;
}

static uint64_t end_of (const struct agent *agent, const struct mu_wire_harm *order)
{
    return order->milliseconds ? agent->now_ms + order->milliseconds : FOR_EVER;
}

static void on_kill (struct agent *agent, const struct mu_wire *wire)
{
    enum mu_process_state process = (enum mu_process_state)wire->harm.process;
    settle_order (agent, wire, MU_OK, "the %s of %s is killed", mu_process_state_name (process),
                  agent->name);
    strike (agent, BLOW_KILL, process);
}

static void on_stop (struct agent *agent, const struct mu_wire *wire)
{
    const struct mu_wire_harm *order = &wire->harm;
    enum mu_process_state process = (enum mu_process_state)order->process;
    char time[32];
    settle_order (agent, wire, MU_OK, "the %s of %s is stopped %s", mu_process_state_name (process),
                  agent->name, time_of (order, time, sizeof time));
    strike (agent, BLOW_HOLD, process)->milliseconds = order->milliseconds;
    if (process == MU_PROCESS_AGENT)
        return; /* it cannot count the time itself */
    agent->fault.held[process] = true;
    agent->fault.stop_until_ms[process] = end_of (agent, order);
}

static void on_slow (struct agent *agent, const struct mu_wire *wire)
{
    const struct mu_wire_harm *order = &wire->harm;
    struct agent_fault *fault = &agent->fault;
    char time[32];
    if (!(order->factor > 1 && order->factor <= AGENT_SLOW_FACTOR_MAX)) {
        settle_order (agent, wire, MU_USAGE, "a trainer can be made up to %u times slower, not %g",
                      AGENT_SLOW_FACTOR_MAX, order->factor);
        return;
    }
    settle_order (agent, wire, MU_OK, "the trainer of %s is %.3g times slower %s", agent->name,
                  order->factor, time_of (order, time, sizeof time));
    fault->slow_until_ms = end_of (agent, order);
    fault->slow_hold_ms = (uint32_t)(AGENT_SLOW_RUN_MS * (order->factor - 1) + 0.5);
    fault->slow_turn_ms = agent->now_ms;
}

static void on_corrupt (struct agent *agent, const struct mu_wire *wire)
{
    enum mu_corruption_state what = (enum mu_corruption_state)wire->harm.what;
    if (!agent->job.region || !lives (agent, MU_PROCESS_TRAINER) ||
        (what != MU_CORRUPTION_STATE && !lives (agent, MU_PROCESS_COLLECTIVE))) {
        settle_order (agent, wire, MU_TRY_AGAIN, "worker %s trains nothing now", agent->name);
        return;
    }
    settle_order (agent, wire, MU_OK, "a bit of the %s of %s is flipped",
                  mu_corruption_state_name (what), agent->name);
    strike (agent, BLOW_CORRUPT, MU_PROCESS_TRAINER)->what = what;
}

static void cut (struct agent *agent, const struct mu_wire_harm *order, uint32_t percent)
{
    struct agent_blow *blow = strike (agent, BLOW_LINE, MU_PROCESS_AGENT);
    blow->lose_in = order->direction == MU_DIRECTION_OUT ? 0 : percent;
    blow->lose_out = order->direction == MU_DIRECTION_IN ? 0 : percent;
    agent->fault.line_until_ms = end_of (agent, order);
}

static void on_partition (struct agent *agent, const struct mu_wire *wire)
{
    static const char *const lost[] = { [MU_DIRECTION_BOTH] =
                                            "and the coordinator do not hear each other",
                                        [MU_DIRECTION_IN] = "does not hear the coordinator",
                                        [MU_DIRECTION_OUT] = "is not heard by the coordinator" };
    const struct mu_wire_harm *order = &wire->harm;
    bool peers = order->peers && lives (agent, MU_PROCESS_COLLECTIVE);
    char time[32];
    settle_order (agent, wire, MU_OK, "worker %s %s %s%s", agent->name, lost[order->direction],
                  time_of (order, time, sizeof time), peers ? "; its collective stands still" : "");
    cut (agent, order, 100);
    if (!peers)
        return;
    strike (agent, BLOW_HOLD, MU_PROCESS_COLLECTIVE);
    agent->fault.held[MU_PROCESS_COLLECTIVE] = true;
    agent->fault.stop_until_ms[MU_PROCESS_COLLECTIVE] = end_of (agent, order);
}

static void on_drop (struct agent *agent, const struct mu_wire *wire)
{
    const struct mu_wire_harm *order = &wire->harm;
    char time[32];
    settle_order (agent, wire, MU_OK, "%u %% of the words of %s are lost %s", order->percent,
                  agent->name, time_of (order, time, sizeof time));
    cut (agent, order, order->percent);
}

static void (*const orders[MU_FAULT_STATES]) (struct agent *agent, const struct mu_wire *wire) = {
    [MU_FAULT_KILL] = on_kill,       [MU_FAULT_STOP] = on_stop,           [MU_FAULT_SLOW] = on_slow,
    [MU_FAULT_CORRUPT] = on_corrupt, [MU_FAULT_PARTITION] = on_partition, [MU_FAULT_DROP] = on_drop,
};

/* Why it cannot be obeyed, or NULL. */
static const char *objection (const struct agent *agent, const struct mu_wire_harm *order,
                              enum mu_code *code)
{
    bool strikes = order->kind == MU_FAULT_KILL || order->kind == MU_FAULT_STOP;
    bool ends = order->kind == MU_FAULT_SLOW || order->kind == MU_FAULT_PARTITION ||
                order->kind == MU_FAULT_DROP;
    *code = MU_NO_PERMISSION;
    if (!agent->fault.allowed)
        return "this worker was not started with --enable-faults";
    *code = MU_USAGE;
    if (order->milliseconds > AGENT_FAULT_LIMIT_MS || (ends && !order->milliseconds))
        return "a fault of this kind lasts from one millisecond to a day";
    *code = MU_TRY_AGAIN;
    if (strikes && !lives (agent, (enum mu_process_state)order->process))
        return order->process == MU_PROCESS_TRAINER ? "it has no trainer now"
                                                    : "it has no collective process now";
    return NULL;
}

void agent_fault_order (struct agent *agent, const struct mu_wire *wire)
{
    enum mu_code code;
    if (answer_again (agent, wire))
        return;
    const char *why = objection (agent, &wire->harm, &code);
    if (why)
        settle_order (agent, wire, code, "worker %s: %s", agent->name, why);
    else
        orders[wire->harm.kind](agent, wire);
}

/* --- time ------------------------------------------------------------------------------------- */

/* The next part of a slow trainer's turn: it stands, or runs. */
static void mind_slow (struct agent *agent)
{
    struct agent_fault *fault = &agent->fault;
    if (fault->slow_until_ms && agent->now_ms >= fault->slow_until_ms) {
        fault->slow_until_ms = 0;
        fault->slow_holds = false;
        agent_log (agent, LOG_INFO_, "fault", "over: the trainer of %s is as fast as before",
                   agent->name);
    }
    if (!fault->slow_until_ms || agent->now_ms < fault->slow_turn_ms)
        return;
    fault->slow_holds = !fault->slow_holds && lives (agent, MU_PROCESS_TRAINER);
    fault->slow_turn_ms =
        agent->now_ms + (fault->slow_holds ? fault->slow_hold_ms : AGENT_SLOW_RUN_MS);
}

/* Stopped because it was told to, or because it is slow; a process that is gone takes its stop with
 * it. */
static void mind_process (struct agent *agent, enum mu_process_state process)
{
    struct agent_fault *fault = &agent->fault;
    uint64_t *until_ms = &fault->stop_until_ms[process];
    if (!lives (agent, process)) {
        *until_ms = 0;
        fault->held[process] = false;
        return;
    }
    if (*until_ms && agent->now_ms >= *until_ms) {
        *until_ms = 0;
        agent_log (agent, LOG_INFO_, "fault", "over: the %s of %s goes on",
                   mu_process_state_name (process), agent->name);
    }
    bool hold = *until_ms || (process == MU_PROCESS_TRAINER && fault->slow_holds);
    if (hold == fault->held[process])
        return;
    fault->held[process] = hold;
    strike (agent, hold ? BLOW_HOLD : BLOW_GO_ON, process);
}

void agent_fault_mind (struct agent *agent)
{
    struct agent_fault *fault = &agent->fault;
    mind_slow (agent);
    mind_process (agent, MU_PROCESS_TRAINER);
    mind_process (agent, MU_PROCESS_COLLECTIVE);
    if (!fault->line_until_ms || agent->now_ms < fault->line_until_ms)
        return;
    fault->line_until_ms = 0;
    strike (agent, BLOW_LINE, MU_PROCESS_AGENT);
    agent_log (agent, LOG_INFO_, "fault", "over: no word of %s is lost any more", agent->name);
}

uint64_t agent_fault_deadline (const struct agent *agent)
{
    const struct agent_fault *fault = &agent->fault;
    const uint64_t ends[] = { fault->slow_until_ms ? fault->slow_turn_ms : 0, fault->slow_until_ms,
                              fault->line_until_ms, fault->stop_until_ms[MU_PROCESS_TRAINER],
                              fault->stop_until_ms[MU_PROCESS_COLLECTIVE] };
    uint64_t deadline = UINT64_MAX;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends[i] && ends[i] < deadline)
            deadline = ends[i];
    return deadline;
}
