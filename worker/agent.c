/* SPDX-License-Identifier: Apache-2.0 */
/* agent.c - events in, actions out; beats, repeats and the drain
 *
 * agent_step () gives each event to the file that knows it, then lets settle () do what has
 * become possible, then looks at the clock. Every word that must be heard is built from the state
 * by one function of the table below, so saying it for the tenth time is saying what is true now.
 *
 * Fatal: memory running out. */
#include "agent_core.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- small things ----------------------------------------------------------------------------- */

static void *must (void *memory)
{
    if (!memory)
        abort ();
    return memory;
}

void agent_bytes_set (struct agent_bytes *bytes, const void *data, uint32_t size)
{
    bytes->data = must (realloc (bytes->data, size ? size : 1));
    if (size)
        memcpy (bytes->data, data, size);
    bytes->size = size;
}

void agent_bytes_clear (struct agent_bytes *bytes)
{
    free (bytes->data);
    *bytes = (struct agent_bytes){ 0 };
}

struct mu_blob agent_blob (const struct agent_bytes *bytes)
{
    return (struct mu_blob){ bytes->data, bytes->size };
}

struct mu_blob agent_text (const char *text)
{
    return (struct mu_blob){ text, (uint32_t)strlen (text) };
}

void agent_copy (char *field, size_t size, const char *text)
{
    mu_text_set (field, size, text ? text : "");
}

/* xorshift64*, Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016). */
static uint32_t draw (struct agent *agent, uint32_t below)
{
    uint64_t x = agent->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    agent->random = x;
    return (uint32_t)((x * UINT64_C (0x2545f4914f6cdd1d)) >> 33) % below;
}

/* --- actions ---------------------------------------------------------------------------------- */

struct agent_action *agent_add (struct agent *agent, enum agent_action_type type)
{
    struct agent_actions *out = agent->out;
    if (out->count == out->capacity) {
        out->capacity = out->capacity ? out->capacity * 2 : 8;
        out->list = must (realloc (out->list, out->capacity * sizeof *out->list));
    }
    struct agent_action *action = &out->list[out->count++];
    memset (action, 0, sizeof *action);
    action->type = type;
    return action;
}

struct mu_wire *agent_say (struct agent *agent, enum mu_wire_type type)
{
    struct agent_action *action = agent_add (agent, AGENT_SEND);
    action->send.to_all = !agent->coordinator.welcome;
    action->send.wire.type = type;
    action->send.wire.term = agent->coordinator.term;
    return &action->send.wire;
}

struct mu_wire *agent_tell (struct agent *agent, enum mu_wire_type type)
{
    struct agent_action *action = agent_add (agent, AGENT_TELL);
    action->tell.type = type;
    action->tell.term = agent->coordinator.term;
    return &action->tell;
}

void agent_log (struct agent *agent, uint32_t level, const char *event, const char *format, ...)
{
    struct agent_log *log = &agent_add (agent, AGENT_LOG)->log;
    log->level = level;
    log->event = event;
    log->job = agent->job.number;
    log->generation = agent->generation.formed;
    log->rank = agent->generation.formed ? (int32_t)agent->generation.now.rank : -1;
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (log->text, sizeof log->text, format, arguments);
    va_end (arguments);
}

/* --- HELLO and BEAT --------------------------------------------------------------------------- */

static bool holds_trainer (const struct agent *agent)
{
    return agent->job.trainer == TRAINER_OPENING || agent->job.trainer == TRAINER_OPEN;
}

void agent_hello (struct agent *agent)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    struct mu_wire_hello *hello = &agent_say (agent, MU_WIRE_HELLO)->hello;
    agent_copy (hello->name, sizeof hello->name, agent->name);
    agent_copy (hello->host, sizeof hello->host, agent->host);
    agent_copy (hello->version, sizeof hello->version, agent->version);
    agent_copy (hello->compute_class, sizeof hello->compute_class, agent->compute_class);
    agent_copy (hello->isa, sizeof hello->isa, agent->isa);
    hello->incarnation = agent->incarnation;
    hello->threads = agent->threads;
    hello->devices = agent->devices;
    if (holds_trainer (agent)) {
        hello->job = agent->job.number;
        hello->generation = agent->generation.over ? 0 : agent->generation.formed;
        hello->step = agent->job.step;
    }
    hello->leaving = agent->stopping;
    hello->faults = agent->fault.allowed;
    uint32_t delay = coordinator->hello_delay_ms;
    coordinator->hello_ms = agent->now_ms + delay - draw (agent, delay / 2);
    if (coordinator->welcome)
        coordinator->hello_ms = agent->now_ms + coordinator->lost_ms / 2;
    else
        coordinator->hello_delay_ms =
            delay * 2 < AGENT_HELLO_LIMIT_MS ? delay * 2 : AGENT_HELLO_LIMIT_MS;
}

static void beat (struct agent *agent)
{
    struct agent_job *job = &agent->job;
    struct mu_wire_beat *said = &agent_say (agent, MU_WIRE_BEAT)->beat;
    if (holds_trainer (agent)) {
        said->job = job->number;
        said->generation = agent->generation.over ? 0 : agent->generation.formed;
        said->step = job->step;
        said->loss = job->loss;
        said->targets = job->targets_trained;
        said->loss_evaluated = job->loss_evaluated;
        said->accuracy = job->accuracy;
        said->evaluated_step = job->evaluated_step;
        said->busy_us = job->busy_us;
        agent_copy (said->weights_hash, sizeof said->weights_hash, job->weights_hash);
        agent_copy (said->unevaluated, sizeof said->unevaluated, job->unevaluated);
    }
    said->phase = agent->phase;
    said->phase_ms = agent->now_ms - agent->phase_since_ms;
    agent_watch_beat (agent, said);
    job->busy_us = 0;
}

/* When the connections are given up, unless a word comes. */
static void set_redial (struct agent *agent, uint32_t delay_ms)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    coordinator->redial_delay_ms = delay_ms;
    coordinator->redial_ms = agent->now_ms + delay_ms - draw (agent, delay_ms / 4);
}

void agent_line_leads_somewhere (struct agent *agent)
{
    uint32_t silence_ms = AGENT_REDIAL_SILENCES * agent->coordinator.lost_ms;
    set_redial (agent, silence_ms > AGENT_REDIAL_MS ? silence_ms : AGENT_REDIAL_MS);
}

/* HELLO follows at once, on the new ones. */
static void mind_line (struct agent *agent)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    if (agent->now_ms < coordinator->redial_ms)
        return;
    agent_add (agent, AGENT_REDIAL);
    agent_log (agent, LOG_INFO_, "redial",
               "no word from a coordinator for %llu ms: new connections are made",
               (unsigned long long)(agent->now_ms - coordinator->heard_ms));
    uint32_t delay_ms = coordinator->redial_delay_ms;
    if (delay_ms < AGENT_REDIAL_LIMIT_MS)
        delay_ms = 2 * delay_ms < AGENT_REDIAL_LIMIT_MS ? 2 * delay_ms : AGENT_REDIAL_LIMIT_MS;
    set_redial (agent, delay_ms);
    coordinator->hello_delay_ms = AGENT_HELLO_MS;
    coordinator->hello_ms = agent->now_ms;
}

/* Half the time of silence that counts as gone: ask whether anybody is there. At the whole of it:
 * be a stranger again, and go on training. */
static void mind_silence (struct agent *agent)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    uint64_t silent_ms = agent->now_ms - coordinator->heard_ms;
    if (coordinator->welcome && silent_ms >= coordinator->lost_ms) {
        coordinator->welcome = false;
        coordinator->hello_delay_ms = AGENT_HELLO_MS;
        coordinator->hello_ms = agent->now_ms;
        coordinator->complain_ms = agent->now_ms + AGENT_COMPLAIN_MS;
        agent_log (agent, LOG_WARN_, "coordinator_silent",
                   "no word from the coordinator for %llu ms; training goes on as far as leases "
                   "reach",
                   (unsigned long long)silent_ms);
    }
    if (!coordinator->welcome && agent->now_ms >= coordinator->complain_ms) {
        coordinator->complain_ms = agent->now_ms + AGENT_COMPLAIN_MS;
        agent_log (agent, LOG_WARN_, "no_coordinator",
                   "no coordinator has answered at %s for a while: is one running, and is the "
                   "address right? This worker keeps trying",
                   agent->address);
    }
    mind_line (agent);
    if (agent->now_ms >= coordinator->hello_ms)
        agent_hello (agent);
}

/* Without a coordinator training goes on until somebody dies or the leases end. Then this worker
 * waits, with all it has; the log says for what. */
static void mind_need (struct agent *agent)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    bool formless = agent->phase == MU_PHASE_WAITING;
    bool needed = !coordinator->welcome && (formless || agent->phase == MU_PHASE_UNLEASED);
    if (needed && !coordinator->needed)
        agent_log (agent, LOG_WARN_, "waits_for_coordinator",
                   "%s at step %llu: %s. Nothing is lost; it goes on as soon as a coordinator is "
                   "there",
                   mu_phase_state_name ((int)agent->phase), (unsigned long long)agent->job.step,
                   formless ? "its generation has ended, and only a coordinator forms the next"
                            : "all that was leased is trained, and only a coordinator leases more");
    coordinator->needed = needed;
}

void agent_lack_spare (struct agent *agent)
{
    if (agent->spare && !agent->spare_ms)
        agent->spare_ms = agent->now_ms + AGENT_SPARE_MS;
}

static void mind_spare (struct agent *agent)
{
    if (!agent->spare_ms || agent->now_ms < agent->spare_ms)
        return;
    agent->spare_ms = 0;
    agent_add (agent, AGENT_SPARE);
}

static void mind_clock (struct agent *agent)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    mind_spare (agent);
    mind_silence (agent);
    mind_need (agent);
    agent_watch_mind (agent);
    if (coordinator->welcome && agent->now_ms >= coordinator->beat_next_ms) {
        coordinator->beat_next_ms = agent->now_ms + coordinator->beat_ms;
        beat (agent);
    }
    agent_repeat_due (agent);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void say_bye (struct agent *agent, const char *reason)
{
    if (agent->gone)
        return;
    agent->gone = true;
    struct mu_wire_bye *bye = &agent_say (agent, MU_WIRE_BYE)->bye;
    agent_copy (bye->reason, sizeof bye->reason, reason);
    agent_log (agent, LOG_INFO_, "bye", "%s", reason);
    agent_add (agent, AGENT_EXIT)->code = MU_OK;
}

/* Its state is on storage, another's, or not there yet. */
static bool has_nothing_to_save (const struct agent_job *job)
{
    return job->trainer != TRAINER_OPEN || job->blank || job->committed_step == job->step + 1 ||
           (job->step == job->opened_step && job->attempt == job->opened_attempt);
}

static uint64_t stop_limit (const struct agent *agent)
{
    uint64_t limit_ms = agent->drain_limit_ms;
    bool alone = !agent->coordinator.welcome && has_nothing_to_save (&agent->job);
    if (alone && limit_ms > AGENT_STOP_ALONE_MS)
        limit_ms = AGENT_STOP_ALONE_MS;
    return agent->stop_ms + limit_ms;
}

static void say_what_is_waited_for (struct agent *agent)
{
    uint64_t seconds = (stop_limit (agent) - agent->now_ms) / 1000;
    if (agent->coordinator.welcome)
        agent_log (agent, LOG_INFO_, "draining", "told to stop: asks to be let go first");
    else
        agent_log (agent, LOG_WARN_, "draining",
                   "told to stop, and there is no coordinator that could let it go%s: waits %llu s "
                   "for one; told once more, it ends at once",
                   has_nothing_to_save (&agent->job) ? ""
                                                     : " and have saved what was trained since the "
                                                       "last checkpoint",
                   (unsigned long long)seconds);
}

static void stop (struct agent *agent)
{
    if (agent->stopping) {
        say_bye (agent, "told to stop at once");
        return;
    }
    agent->stopping = true;
    agent->stop_ms = agent->now_ms;
    if (agent->job.number) {
        agent_repeat (agent, WORD_LEAVING);
        say_what_is_waited_for (agent);
    }
}

static void settle_stop (struct agent *agent)
{
    if (!agent->stopping)
        return;
    if (!agent->job.number)
        say_bye (agent, "told to stop");
    else if (agent->now_ms >= stop_limit (agent))
        say_bye (agent, agent->coordinator.welcome
                            ? "told to stop, and not let go in time"
                            : "told to stop, and there is no coordinator that could let it go");
}

/* --- phases ----------------------------------------------------------------------------------- */

static enum mu_phase_state find_phase (const struct agent *agent)
{
    const struct agent_job *job = &agent->job;
    const struct agent_generation *generation = &agent->generation;
    if (!job->number || job->trainer == TRAINER_NONE)
        return MU_PHASE_NONE;
    if (job->releasing || job->trainer == TRAINER_KILLED)
        return MU_PHASE_LEAVING;
    if (job->trainer == TRAINER_OPENING)
        return MU_PHASE_OPENING;
    if (generation->part == PART_LEAVING || generation->collective == COLLECTIVE_KILLED)
        return MU_PHASE_LEAVING;
    if (generation->part == PART_OUT)
        return job->trainer_phase == MU_PHASE_SNAPSHOT ? MU_PHASE_SNAPSHOT : MU_PHASE_WAITING;
    if (!generation->go)
        return job->trainer_phase == MU_PHASE_RECEIVING ? MU_PHASE_RECEIVING : MU_PHASE_CONNECTING;
    return job->trainer_phase;
}

static void settle_phase (struct agent *agent)
{
    enum mu_phase_state phase = find_phase (agent);
    if (phase == agent->phase)
        return;
    agent->phase = phase;
    agent->phase_since_ms = agent->now_ms;
    /* The coordinator has the next move: it is not left to wait for a beat. */
    if (phase == MU_PHASE_UNLEASED || phase == MU_PHASE_FINISHED)
        agent->coordinator.beat_next_ms = agent->now_ms;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* A job that is to be let go, or whose trainer ended, needs its children gone first. */
static void settle_job (struct agent *agent)
{
    struct agent_job *job = &agent->job;
    if (!job->number)
        return;
    if (job->releasing && holds_trainer (agent) && agent->now_ms >= job->prune_end_ms) {
        job->trainer = TRAINER_KILLED;
        agent_add (agent, AGENT_KILL_TRAINER);
    }
    if (job->trainer != TRAINER_NONE || !agent_is_clear (agent))
        return;
    if (job->region) {
        job->region = false;
        agent_add (agent, AGENT_DROP_REGION);
        agent_ahead_forget (agent);
    }
    if (job->anew && !job->releasing)
        agent_begin_anew (agent);
    if (!job->releasing)
        return;
    uint64_t number = job->number, order = job->release_order;
    agent_log (agent, LOG_INFO_, "released", "job %llu is let go", (unsigned long long)number);
    agent_forget_job (agent);
    struct mu_wire_released *said = &agent_say (agent, MU_WIRE_RELEASED)->released;
    said->job = number;
    said->order = order;
}

static void settle (struct agent *agent)
{
    agent_settle_generation (agent);
    settle_job (agent);
    settle_stop (agent);
}

static void start (struct agent *agent)
{
    agent_log (agent, LOG_INFO_, "started", "worker %s: %u threads, %s kernels", agent->name,
               agent->threads, agent->isa);
    agent->coordinator.heard_ms = agent->now_ms;
    agent->coordinator.hello_ms = agent->now_ms;
    agent->coordinator.complain_ms = agent->now_ms + AGENT_COMPLAIN_MS;
    agent_line_leads_somewhere (agent);
    agent->phase_since_ms = agent->now_ms;
}

static void take (struct agent *agent, const struct agent_event *event)
{
    switch (event->type) {
    case AGENT_START: start (agent); break;
    case AGENT_TIMER: break;
    case AGENT_HEARD: agent_hear (agent, event->wire); break;
    case AGENT_STOP: stop (agent); break;
    case AGENT_TRAINER_SAID: agent_trainer_said (agent, event); break;
    case AGENT_TRAINER_ENDED: agent_trainer_ended (agent, event); break;
    case AGENT_COLLECTIVE_FENCE:
    case AGENT_COLLECTIVE_CONNECTED:
    case AGENT_COLLECTIVE_READY:
    case AGENT_COLLECTIVE_FAILED:
    case AGENT_COLLECTIVE_ENDED: agent_on_collective (agent, event); break;
    case AGENT_LOOKED: agent_watch_look (agent, event->look); break;
    }
}

void agent_step (struct agent *agent, const struct agent_event *event, struct agent_actions *out)
{
    if (agent->gone)
        return;
    agent->out = out;
    agent->now_ms = event->now_ms;
    take (agent, event);
    settle (agent);
    settle_phase (agent);
    agent_fault_mind (agent);
    if (!agent->gone)
        mind_clock (agent);
    agent->out = NULL;
}

static void earlier (uint64_t *deadline, uint64_t other)
{
    if (other < *deadline)
        *deadline = other;
}

uint64_t agent_deadline (const struct agent *agent)
{
    const struct agent_coordinator *coordinator = &agent->coordinator;
    uint64_t deadline = coordinator->hello_ms;
    earlier (&deadline, coordinator->redial_ms);
    if (coordinator->welcome) {
        earlier (&deadline, coordinator->beat_next_ms);
        earlier (&deadline, coordinator->heard_ms + coordinator->lost_ms);
    }
    for (int word = 0; word < WORDS && coordinator->welcome; word++)
        if (agent->repeat[word].pending)
            earlier (&deadline, agent->repeat[word].next_ms);
    if (agent->stopping)
        earlier (&deadline, stop_limit (agent));
    if (agent->spare_ms)
        earlier (&deadline, agent->spare_ms);
    if (agent->job.releasing && holds_trainer (agent))
        earlier (&deadline, agent->job.prune_end_ms);
    earlier (&deadline, agent_watch_deadline (agent));
    earlier (&deadline, agent_fault_deadline (agent));
    return deadline;
}

struct agent *agent_create (const struct agent_options *options)
{
    struct agent *agent = must (calloc (1, sizeof *agent));
    agent_copy (agent->name, sizeof agent->name, options->name);
    agent_copy (agent->host, sizeof agent->host, options->host);
    agent_copy (agent->address, sizeof agent->address, options->address ? options->address : "");
    agent_copy (agent->version, sizeof agent->version, options->version);
    agent_copy (agent->compute_class, sizeof agent->compute_class, options->compute_class);
    agent_copy (agent->isa, sizeof agent->isa, options->isa);
    agent->threads = options->threads;
    agent->devices = options->devices;
    agent->incarnation = options->incarnation;
    agent->random = options->seed | 1;
    agent->spare = options->spare;
    agent->fault.allowed = options->faults;
    agent->drain_limit_ms =
        options->drain_limit_ms ? options->drain_limit_ms : AGENT_DRAIN_LIMIT_MS;
    agent->coordinator.beat_ms = AGENT_BEAT_MS;
    agent->coordinator.lost_ms = AGENT_LOST_MS;
    agent->coordinator.hello_delay_ms = AGENT_HELLO_MS;
    return agent;
}

void agent_destroy (struct agent **agent_p)
{
    struct agent *agent = *agent_p;
    if (!agent)
        return;
    agent_forget_job (agent);
    free (agent);
    *agent_p = NULL;
}

uint64_t agent_term (const struct agent *agent) { return agent->coordinator.term; }
uint64_t agent_job (const struct agent *agent) { return agent->job.number; }
uint64_t agent_generation (const struct agent *agent) { return agent->generation.formed; }
enum mu_phase_state agent_phase (const struct agent *agent) { return agent->phase; }
bool agent_welcome (const struct agent *agent) { return agent->coordinator.welcome; }
