/* SPDX-License-Identifier: Apache-2.0 */
/* agent_watch.c - which child owes the next move, and since when it has not moved
 *
 * A process that hangs says nothing, so it is looked at from outside: the processor time it used,
 * the work it counted in the shared region, the letter the system gives its state. A stopped
 * process uses none and counts none; nor does one that waits for storage that is gone, or sleeps
 * in user code. A long micro-batch uses processor time all along.
 *
 * Stillness alone is no fault: who waits for others is still too. So the agent works out whose turn
 * it is. In the all-reduce it is the collective's, until the sums are there; then the trainer's.
 * What to make of it is the coordinator's to decide: only there all workers are seen at once. */
#include "agent_core.h"

#include <string.h>

/* A trainer whose steps stand still has a control thread that looks for words 20 times a second; it
 * is held to move only by more than that: one part in so many of the time. */
#define IDLE_SHARE 250u

static bool has_children (const struct agent *agent)
{
    return agent->job.number &&
           (agent->job.trainer != TRAINER_NONE || agent->generation.collective != COLLECTIVE_NONE);
}

static bool is_stopped (char state) { return state == 'T' || state == 't'; }

/* --- whose turn it is ------------------------------------------------------------------------- */

static bool is_killed (const struct agent *agent)
{
    return agent->job.trainer == TRAINER_KILLED ||
           agent->generation.collective == COLLECTIVE_KILLED;
}

/* Until all are ready the collective connects, except while its fence waits for the others'. */
static enum mu_duty_state connecting_duty (const struct agent *agent)
{
    const struct agent_generation *generation = &agent->generation;
    bool waits = generation->ready || agent_repeats (agent, WORD_FENCE);
    return waits || generation->collective != COLLECTIVE_ALIVE ? MU_DUTY_NOBODY
                                                               : MU_DUTY_COLLECTIVE;
}

static enum mu_duty_state training_duty (const struct agent *agent, const struct agent_look *look)
{
    switch (agent->job.trainer_phase) {
    case MU_PHASE_REDUCING: return look->answered ? MU_DUTY_TRAINER : MU_DUTY_COLLECTIVE;
    case MU_PHASE_UNLEASED:
        return agent->generation.now.until_step > agent->job.step ? MU_DUTY_TRAINER
                                                                  : MU_DUTY_NOBODY;
    case MU_PHASE_FINISHED: return MU_DUTY_NOBODY;
    case MU_PHASE_NONE:
    case MU_PHASE_OPENING:
    case MU_PHASE_WAITING:
    case MU_PHASE_CONNECTING:
    case MU_PHASE_RECEIVING:
    case MU_PHASE_COMPUTING:
    case MU_PHASE_UPDATING:
    case MU_PHASE_EVALUATING:
    case MU_PHASE_SNAPSHOT:
    case MU_PHASE_LEAVING:
    case MU_PHASE_STATES: return MU_DUTY_TRAINER;
    }
    return MU_DUTY_TRAINER;
}

static enum mu_duty_state find_duty (const struct agent *agent, const struct agent_look *look)
{
    const struct agent_job *job = &agent->job;
    const struct agent_generation *generation = &agent->generation;
    if (is_killed (agent))
        return agent->now_ms - agent->watch.killed_ms >= AGENT_KILL_LIMIT_MS ? MU_DUTY_UNDYING
                                                                             : MU_DUTY_NOBODY;
    if (job->trainer == TRAINER_NONE)
        return MU_DUTY_NOBODY;
    if (job->trainer == TRAINER_OPENING || generation->part == PART_LEAVING ||
        is_stopped (look->trainer_state))
        return MU_DUTY_TRAINER;
    if (generation->collective == COLLECTIVE_ALIVE && is_stopped (look->collective_state))
        return MU_DUTY_COLLECTIVE;
    if (generation->part == PART_OUT)
        return job->trainer_phase == MU_PHASE_SNAPSHOT ? MU_DUTY_TRAINER : MU_DUTY_NOBODY;
    if (look->entered < generation->formed)
        return MU_DUTY_TRAINER;
    return generation->go ? training_duty (agent, look) : connecting_duty (agent);
}

/* --- looking ---------------------------------------------------------------------------------- */

static bool trainer_moved (const struct agent *agent, const struct agent_look *look)
{
    const struct agent_watch *watch = &agent->watch;
    uint64_t used_us = look->trainer_cpu_us - watch->last.trainer_cpu_us;
    uint64_t passed_us = (agent->now_ms - watch->looked_ms) * 1000;
    if (agent->job.trainer == TRAINER_OPENING) /* its control thread is what works then */
        return used_us > 0;
    return used_us * IDLE_SHARE >= passed_us;
}

static bool collective_moved (const struct agent *agent, const struct agent_look *look)
{
    return look->collective_cpu_us != agent->watch.last.collective_cpu_us;
}

static void judge (struct agent *agent, const struct agent_look *look)
{
    struct agent_watch *watch = &agent->watch;
    bool trainer = watch->duty == MU_DUTY_TRAINER;
    bool worked = trainer ? look->work != watch->last.work : look->moved != watch->last.moved;
    bool moved = trainer ? trainer_moved (agent, look) : collective_moved (agent, look);
    if (worked)
        watch->worked_ms = agent->now_ms;
    if (worked || moved)
        watch->moved_ms = agent->now_ms;
}

/* One look may catch a thread that wakes for a moment to hear whether there are words. A process that hangs was
 * running, starved by others, if each look since it moved saw it so. */
static char steady (char was, char is, bool moved) { return is == 'R' && was && !moved ? was : is; }

static void keep_letters (const struct agent *agent, struct agent_look *look)
{
    const struct agent_look *last = &agent->watch.last;
    look->trainer_state =
        steady (last->trainer_state, look->trainer_state, trainer_moved (agent, look));
    look->collective_state =
        steady (last->collective_state, look->collective_state, collective_moved (agent, look));
}

static void mind_killed (struct agent *agent)
{
    struct agent_watch *watch = &agent->watch;
    if (!is_killed (agent)) {
        watch->killed_ms = 0;
        watch->complained = false;
        return;
    }
    if (!watch->killed_ms)
        watch->killed_ms = agent->now_ms;
    if (watch->complained || agent->now_ms - watch->killed_ms < AGENT_KILL_LIMIT_MS)
        return;
    watch->complained = true;
    agent_log (agent, LOG_ERROR_, "undying",
               "the %s process was killed and does not end: storage that is gone can do that; this "
               "worker takes no work until it has ended",
               agent->job.trainer == TRAINER_KILLED ? "trainer" : "collective");
}

static void excuse (uint64_t *since_ms, uint64_t passed_ms, uint64_t now_ms)
{
    *since_ms = *since_ms + passed_ms < now_ms ? *since_ms + passed_ms : now_ms;
}

void agent_watch_look (struct agent *agent, const struct agent_look *look)
{
    struct agent_watch *watch = &agent->watch;
    uint64_t passed_ms = agent->now_ms - watch->looked_ms;
    mind_killed (agent);
    enum mu_duty_state duty = find_duty (agent, look);
    struct agent_look told = *look;
    if (duty == watch->duty)
        keep_letters (agent, &told);
    if (duty != watch->duty) {
        watch->duty = duty;
        agent_watch_word (agent);
    } else if (passed_ms >= AGENT_LOOK_LATE_MS) {
        excuse (&watch->moved_ms, passed_ms, agent->now_ms);
        excuse (&watch->worked_ms, passed_ms, agent->now_ms);
    } else {
        judge (agent, look);
    }
    watch->last = told;
    watch->looked_ms = agent->now_ms;
}

void agent_watch_word (struct agent *agent)
{
    agent->watch.moved_ms = agent->watch.worked_ms = agent->now_ms;
}

void agent_watch_mind (struct agent *agent)
{
    struct agent_watch *watch = &agent->watch;
    if (!has_children (agent)) {
        watch->duty = MU_DUTY_NOBODY;
        watch->killed_ms = 0;
        watch->complained = false;
        return;
    }
    if (agent->now_ms < watch->look_next_ms)
        return;
    watch->look_next_ms = agent->now_ms + AGENT_LOOK_MS;
    agent_add (agent, AGENT_LOOK);
}

/* --- telling ---------------------------------------------------------------------------------- */

static const char *describe (char state)
{
    switch (state) {
    case 'R': return "running";
    case 'S':
    case 'I': return "sleeping";
    case 'D': return "disk";
    case 'T': return "stopped";
    case 't': return "traced";
    case 'Z':
    case 'X': return "dead";
    default: return "";
    }
}

/* An agent that stood still itself may speak before it looks: of the time since its last look it has seen
 * nothing. */
static uint64_t seen_ms (const struct agent *agent, uint64_t since_ms)
{
    uint64_t looked_ms = agent->watch.looked_ms;
    uint64_t until_ms = agent->now_ms - looked_ms < AGENT_LOOK_LATE_MS ? agent->now_ms : looked_ms;
    return until_ms > since_ms ? until_ms - since_ms : 0;
}

static void tell_writer (const struct agent_job *job, struct mu_wire_beat *beat)
{
    if (!job->writing)
        return;
    beat->writing = job->writes.step + 1;
    beat->writer_phase = job->writes.phase;
    beat->writer_still_ms = job->writes.still_ms;
    agent_copy (beat->writer, sizeof beat->writer, describe ((char)job->writes.letter));
}

void agent_watch_beat (const struct agent *agent, struct mu_wire_beat *beat)
{
    const struct agent_watch *watch = &agent->watch;
    tell_writer (&agent->job, beat);
    bool collective = watch->duty == MU_DUTY_COLLECTIVE ||
                      (watch->duty == MU_DUTY_UNDYING && agent->job.trainer != TRAINER_KILLED);
    beat->duty = watch->duty;
    if (watch->duty == MU_DUTY_NOBODY)
        return;
    beat->still_ms = seen_ms (agent, watch->moved_ms);
    beat->stalled_ms = seen_ms (agent, watch->worked_ms);
    agent_copy (beat->process, sizeof beat->process,
                describe (collective ? watch->last.collective_state : watch->last.trainer_state));
}

uint64_t agent_watch_deadline (const struct agent *agent)
{
    return has_children (agent) ? agent->watch.look_next_ms : UINT64_MAX;
}
