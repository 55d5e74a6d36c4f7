/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - an agent's shell: carries out its actions, and may die between any two of them */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static struct sim_worker *workers;
static uint32_t worker_count;
static char (*names)[16];
static struct agent_actions out;
static bool carries_out; /* what lies there */

struct sim_worker *worker_at (uint32_t number) { return &workers[number]; }
const char *worker_name (uint32_t number) { return names[number]; }
uint32_t worker_class (uint32_t number) { return number % 4 == 3; }

void workers_end (void)
{
    for (uint32_t i = 0; i < worker_count; i++)
        agent_destroy (&workers[i].agent);
    free (workers);
    free (names);
    workers = NULL;
    names = NULL;
    worker_count = 0;
}

void workers_reset (void)
{
    workers_end ();
    worker_count = options.workers;
    workers = calloc (worker_count, sizeof *workers);
    names = calloc (worker_count, sizeof *names);
    if (!workers || !names)
        abort ();
    for (uint32_t i = 0; i < worker_count; i++)
        snprintf (names[i], sizeof names[i], "w%u", i + 1);
}

/* --- time ------------------------------------------------------------------------------------- */

static void set_timer (uint32_t number);

static void on_timer (uint32_t number, uint64_t life, void *data)
{
    struct sim_worker *worker = &workers[number];
    (void)data;
    if (!worker->agent || worker->life != life || clock_now () < worker->timer_ms)
        return;
    worker->timer_ms = UINT64_MAX;
    if (clock_now () < worker->frozen_until_ms) {
        worker->timer_ms = worker->frozen_until_ms;
        clock_after (worker->frozen_until_ms - clock_now (), on_timer, number, life, NULL);
        return;
    }
    worker_event (number, &(struct agent_event){ .type = AGENT_TIMER });
}

static void set_timer (uint32_t number)
{
    struct sim_worker *worker = &workers[number];
    uint64_t deadline_ms = agent_deadline (worker->agent);
    if (deadline_ms >= worker->timer_ms)
        return;
    worker->timer_ms = deadline_ms > clock_now () ? deadline_ms : clock_now ();
    clock_after (worker->timer_ms - clock_now (), on_timer, number, worker->life, NULL);
}

/* --- processes that are held up --------------------------------------------------------------- */

bool hold_lasts (const struct hold *hold) { return clock_now () < hold->until_ms; }

bool hold_back (const struct hold *hold, happening *what, uint32_t who, uint64_t tag,
                const void *data, size_t size)
{
    if (!hold_lasts (hold))
        return false;
    if (hold->until_ms == FOR_EVER)
        return true;
    void *copy = data ? malloc (size) : NULL;
    if (data && !copy)
        abort ();
    if (data)
        memcpy (copy, data, size);
    clock_after (hold->until_ms - clock_now (), what, who, tag, copy);
    return true;
}

void worker_hold (uint32_t number, struct hold *hold, uint64_t ms, char letter)
{
    if (hold_lasts (hold))
        return;
    hold->until_ms = ms == FOR_EVER ? FOR_EVER : clock_now () + ms;
    hold->letter = letter;
    statistics.stops++;
    if (sim_traces ())
        sim_trace ("a process of %s is held up (%c)%s", names[number], letter,
                   ms == FOR_EVER ? " for ever" : "");
}

/* Half of its time a working process has a processor. A collective that waits looks around. */
static void look (uint32_t number, uint64_t life, void *data)
{
    struct sim_worker *worker = &workers[number];
    struct trainer *trainer = &worker->trainer;
    struct collective *collective = &worker->collective;
    (void)data;
    if (!worker->agent || worker->life != life)
        return;
    uint64_t passed_us = (clock_now () - worker->looked_ms) * 1000;
    worker->looked_ms = clock_now ();
    bool held = hold_lasts (&trainer->hold), stuck = hold_lasts (&collective->hold);
    bool works = trainer->alive && !held && (trainer->computing || !trainer->open);
    if (works)
        trainer->cpu_us += passed_us / 2;
    if (collective->alive && !stuck && !collective->at_fence)
        collective->cpu_us += passed_us / 1000 + 1;
    if ((held || stuck) && worker->held_ms < clock_now ())
        worker->held_ms = clock_now ();
    struct agent_look seen = {
        .trainer_cpu_us = trainer->cpu_us,
        .collective_cpu_us = collective->cpu_us,
        .trainer_state = held    ? trainer->hold.letter
                         : works ? 'R'
                                 : 'S',
        .collective_state = stuck ? collective->hold.letter : 'S',
        .work = trainer->work,
        .moved = collective->moved,
        .entered = trainer->generation,
        .answered = trainer->answered == trainer->turn,
    };
    worker_event (number, &(struct agent_event){ .type = AGENT_LOOKED, .look = &seen });
}

/* --- actions ---------------------------------------------------------------------------------- */

static void leave (uint32_t number)
{
    struct sim_worker *worker = &workers[number];
    trainer_end (number);
    collective_end (number);
    agent_destroy (&worker->agent);
    worker->life++;
}

static void come_back (uint32_t number, uint64_t life, void *data)
{
    (void)data;
    if (!workers[number].agent && workers[number].life == life && !workers[number].never_returns)
        worker_start (number);
}

/* What the coordinator can know of this worker's sums. */
static void note_sums (struct sim_worker *worker, const struct agent_action *action)
{
    uint32_t said = action->type == AGENT_SEND ? action->send.wire.type : 0;
    if (said == MU_WIRE_ABORTED)
        worker->told_sums = !worker->prepared;
    if (said == MU_WIRE_PREPARED)
        worker->prepared = true, worker->told_sums = false;
    if (action->type == AGENT_TELL && action->tell.type == MU_WIRE_ENTER)
        worker->prepared = false, worker->knew_sums = worker->told_sums;
}

/* What may not be said or done, however words come. */
static void check_action (uint32_t number, const struct agent_action *action, bool old_term)
{
    const struct collective *collective = &workers[number].collective;
    uint32_t type = action->type == AGENT_SEND ? action->send.wire.type : 0;
    bool final =
        type == MU_WIRE_ABORTED ||
        (type == MU_WIRE_RELEASED && action->send.wire.released.job == workers[number].trainer.job);
    CHECK (!final || (!collective->alive && !collective->dying),
           "%s says %s while its collective lives", names[number],
           mu_record_name (&mu_wire_family, type));
    CHECK (!old_term || action->type == AGENT_SEND || action->type == AGENT_REDIAL ||
               action->type == AGENT_LOG || action->type == AGENT_LOOK ||
               action->type == AGENT_EXIT,
           "%s obeys a word of an older term", names[number]);
}

static void goes (uint32_t number, uint64_t generation, void *data)
{
    (void)data;
    trainer_go (number, generation);
}

static void carry_out (uint32_t number, const struct agent_action *action)
{
    struct sim_worker *worker = &workers[number];
    switch (action->type) {
    case AGENT_SEND: network_to_host (number, worker->peer, &action->send.wire); break;
    case AGENT_REDIAL: worker_reconnect (number); break;
    case AGENT_TELL: trainer_hear (number, &action->tell); break;
    case AGENT_START_TRAINER: trainer_start (number); break;
    case AGENT_KILL_TRAINER: trainer_kill (number); break;
    case AGENT_FORM: collective_start (number, &action->form); break;
    case AGENT_CONNECT: collective_connect (number, &action->form); break;
    case AGENT_DROP_AHEAD: collective_drop_ahead (number); break;
    case AGENT_KILL_COLLECTIVE: collective_kill (number); break;
    case AGENT_FENCE_DONE: collective_fenced (number, &action->fence); break;
    case AGENT_GO: clock_after (0, goes, number, action->generation, NULL); break;
    case AGENT_EXIT:
        leave (number);
        clock_after (takes (1000, 30000), come_back, number, worker->life, NULL);
        break;
    case AGENT_LOOK: clock_after (0, look, number, worker->life, NULL); break;
    case AGENT_BREAK:
        CHECK (false, "%s breaks what nobody ordered", names[number]);
        break;
    case AGENT_DROP_REGION: collective_drop_ahead (number); break;
    case AGENT_END:
    case AGENT_SPARE: break;
    case AGENT_LOG:
        if (options.verbose)
            sim_trace ("    %s %s: %s", names[number], action->log.event, action->log.text);
        break;
    }
}

void worker_event (uint32_t number, const struct agent_event *event)
{
    struct sim_worker *worker = &workers[number];
    struct agent_event timed = *event;
    if (!worker->agent)
        return;
    timed.now_ms = clock_now ();
    CHECK (!carries_out, "%s is told something while it does something else", names[number]);
    carries_out = true;
    out.count = 0;
    uint64_t life = worker->life;
    bool old_term = event->type == AGENT_HEARD && event->wire->term < agent_term (worker->agent);
    agent_step (worker->agent, &timed, &out);
    for (uint32_t i = 0; i < out.count && worker->agent && worker->life == life; i++) {
        check_action (number, &out.list[i], old_term);
        note_sums (worker, &out.list[i]);
        if (chance (faults.worker_crash))
            worker_crash (number, true);
        else
            carry_out (number, &out.list[i]);
    }
    carries_out = false;
    if (worker->agent && worker->life == life)
        set_timer (number);
}

void worker_hear (uint32_t number, uint64_t life, const struct mu_wire *wire)
{
    if (workers[number].agent && workers[number].life == life)
        worker_event (number, &(struct agent_event){ .type = AGENT_HEARD, .wire = wire });
}

/* --- life and death --------------------------------------------------------------------------- */

static void tell_gone (uint32_t number, uint64_t peer, void *data)
{
    (void)number, (void)data;
    host_gone (peer);
}

/* Hosts' clocks mostly agree. In some worlds each process is somewhere else, and what is later there is not. */
static uint64_t next_incarnation (uint32_t number)
{
    const struct sim_worker *worker = &workers[number];
    bool one_clock = options.story || options.quiet || options.calm;
    bool differ = !one_clock && mix (options.seed, 5209) % 4 == 0;
    uint64_t clock = differ ? mix (mix (options.seed, number), worker->life) % 100 : 0;
    return differ ? clock << 32 | worker->life : worker->incarnation + 1;
}

void worker_start (uint32_t number)
{
    struct sim_worker *worker = &workers[number];
    if (worker->agent)
        return;
    worker->life++;
    worker->incarnation = next_incarnation (number);
    struct agent_options settings = {
        .name = names[number],
        .host = "host",
        .version = "0.1.0",
        .compute_class = worker_class (number) ? "class-b" : "class-a",
        .isa = "plain",
        .threads = 2,
        .incarnation = worker->incarnation,
        .seed = draw (1, UINT32_MAX),
    };
    if (sim_traces ())
        sim_trace ("%s starts", names[number]);
    worker->agent = agent_create (&settings);
    worker->peer = host_new_peer (number, worker->life);
    network_redialled (number);
    worker->timer_ms = UINT64_MAX;
    worker->frozen_until_ms = 0;
    worker_event (number, &(struct agent_event){ .type = AGENT_START });
}

void worker_crash (uint32_t number, bool returns)
{
    struct sim_worker *worker = &workers[number];
    if (!worker->agent)
        return;
    if (sim_traces ())
        sim_trace ("%s dies", names[number]);
    statistics.worker_crashes++;
    leave (number);
    if (faults.quick_ms) /* what it said before is heard before */
        clock_after (network_empties_ms (number), tell_gone, number, worker->peer, NULL);
    else if (chance (700000000))
        clock_after (draw (1, 50), tell_gone, number, worker->peer, NULL);
    if (returns)
        clock_after (draw (100, 20000), come_back, number, worker->life, NULL);
}

void worker_stop (uint32_t number)
{
    if (workers[number].agent)
        worker_event (number, &(struct agent_event){ .type = AGENT_STOP });
}

void worker_freeze (uint32_t number, uint64_t ms)
{
    workers[number].frozen_until_ms = clock_now () + ms;
}

/* Its connection breaks and is made anew; what is on the way to the old one is lost. */
void worker_reconnect (uint32_t number)
{
    struct sim_worker *worker = &workers[number];
    if (!worker->agent)
        return;
    if (chance (500000000))
        clock_after (draw (1, 50), tell_gone, number, worker->peer, NULL);
    worker->peer = host_new_peer (number, worker->life);
    network_redialled (number);
}
