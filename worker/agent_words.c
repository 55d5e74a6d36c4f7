/* SPDX-License-Identifier: Apache-2.0 */
/* agent_words.c - the words that must be heard, and how often they are said
 *
 * Each is built from the state by one function, so saying it for the tenth time is saying what is
 * true now. They are rows of a table with a clock each; agent_timing.h has the pace. */
#include "agent_core.h"

static void say_prepared (struct agent *agent)
{
    const struct agent_job *job = &agent->job;
    struct mu_wire_prepared *said = &agent_say (agent, MU_WIRE_PREPARED)->prepared;
    said->job = job->number;
    said->records = job->records;
    said->parameters = job->parameters;
    said->step = job->step;
    said->attempt = job->attempt;
    said->targets = job->targets;
    said->distrusted = job->distrusted;
    said->blank = job->blank;
    said->order = agent->coordinator.order;
    agent_copy (said->data_identity, sizeof said->data_identity, job->data_identity);
    if (job->step != job->opened_step || job->attempt != job->opened_attempt || job->blank)
        return;
    agent_copy (said->digest, sizeof said->digest, job->digest);
    said->unsound = job->unsound;
    agent_copy (said->unread, sizeof said->unread, job->unread);
}

static void say_verdict (struct agent *agent)
{
    const struct agent_job *job = &agent->job;
    struct mu_blob text = agent_text (job->verdict);
    if (job->failed) {
        struct mu_wire_failed *failed = &agent_say (agent, MU_WIRE_FAILED)->failed;
        failed->job = job->number;
        failed->code = job->code;
        failed->at = job->failed_at;
        failed->text = text;
        return;
    }
    struct mu_wire_crashed *crashed = &agent_say (agent, MU_WIRE_CRASHED)->crashed;
    crashed->job = job->number;
    crashed->generation = agent->generation.formed;
    crashed->status = job->status;
    crashed->step = job->step;
    crashed->text = text;
    crashed->trainer = agent->trainers;
    if (!job->suspects_size)
        return;
    crashed->suspect_step = job->suspect_step;
    crashed->suspects = (struct mu_blob){ job->suspects, job->suspects_size };
    crashed->records = agent_text (job->suspect_records);
}

static void say_fence (struct agent *agent)
{
    struct mu_wire_fence *fence = &agent_say (agent, MU_WIRE_FENCE)->fence;
    fence->job = agent->job.number;
    fence->generation = agent->generation.formed;
    fence->number = agent->generation.fence;
    fence->values = agent_blob (&agent->generation.values);
}

static void say_ahead_fence (struct agent *agent)
{
    const struct agent_ahead *ahead = &agent->ahead;
    struct mu_wire_fence *fence = &agent_say (agent, MU_WIRE_FENCE)->fence;
    fence->job = agent->job.number;
    fence->generation = ahead->generation;
    fence->number = ahead->fence;
    fence->values = agent_blob (&ahead->values);
    agent_copy (fence->world, sizeof fence->world, ahead->world);
}

static void say_connected (struct agent *agent)
{
    struct mu_wire_connected *connected = &agent_say (agent, MU_WIRE_CONNECTED)->connected;
    connected->job = agent->job.number;
    connected->generation = agent->ahead.generation;
    agent_copy (connected->world, sizeof connected->world, agent->ahead.world);
}

static void say_ready (struct agent *agent)
{
    struct mu_wire_ready *ready = &agent_say (agent, MU_WIRE_READY)->ready;
    ready->job = agent->job.number;
    ready->generation = agent->generation.formed;
}

static void say_down (struct agent *agent)
{
    struct mu_wire_down *down = &agent_say (agent, MU_WIRE_DOWN)->down;
    down->job = agent->job.number;
    down->generation = agent->generation.formed;
    agent_copy (down->text, sizeof down->text, agent->generation.down);
    down->ended = agent->generation.died;
    down->differs = agent->generation.differs;
    down->doubts = agent->generation.doubts ? agent->job.step + 1 : 0;
}

static void say_aborted (struct agent *agent)
{
    struct mu_wire_aborted *aborted = &agent_say (agent, MU_WIRE_ABORTED)->aborted;
    aborted->job = agent->job.number;
    aborted->generation = agent->generation.number;
    aborted->step = agent->job.step;
    aborted->attempt = agent->job.attempt;
    aborted->blank = agent->job.blank;
    aborted->made_of = agent->job.made_of;
    aborted->entered = agent->generation.formed == agent->generation.number;
    aborted->kept = (struct mu_blob){ agent->job.kept, agent->job.kept_size };
}

static void say_trained (struct agent *agent)
{
    struct mu_wire_trained *trained = &agent_say (agent, MU_WIRE_TRAINED)->trained;
    trained->job = agent->job.number;
    trained->generation = agent->generation.formed;
    trained->windows = agent->job.windows_said;
}

static void say_saved (struct agent *agent)
{
    agent_say (agent, MU_WIRE_SAVED)->saved = agent->job.saved;
}

static void (*const words[WORDS]) (struct agent *agent) = {
    [WORD_PREPARED] = say_prepared,   [WORD_VERDICT] = say_verdict,
    [WORD_FENCE] = say_fence,         [WORD_READY] = say_ready,
    [WORD_DOWN] = say_down,           [WORD_ABORTED] = say_aborted,
    [WORD_TRAINED] = say_trained,     [WORD_SAVED] = say_saved,
    [WORD_LEAVING] = agent_hello,     [WORD_AHEAD_FENCE] = say_ahead_fence,
    [WORD_CONNECTED] = say_connected,
};

void agent_repeat (struct agent *agent, enum agent_word word)
{
    agent->repeat[word] = (struct agent_repeat){ .pending = true,
                                                 .delay_ms = AGENT_REPEAT_MS,
                                                 .next_ms = agent->now_ms + AGENT_REPEAT_MS };
    words[word](agent);
}

static void say_opinion (struct agent *agent, const struct agent_opinion *opinion)
{
    if (opinion->gradient) {
        struct mu_wire_audit *audit = &agent_say (agent, MU_WIRE_AUDIT)->audit;
        audit->job = agent->job.number;
        audit->generation = agent->generation.formed;
        audit->step = opinion->step;
        audit->micro_batch = opinion->micro_batch;
        audit->digest = opinion->digest;
        return;
    }
    struct mu_wire_digest *digest = &agent_say (agent, MU_WIRE_DIGEST)->digest;
    digest->job = agent->job.number;
    digest->generation = agent->generation.formed;
    digest->step = opinion->step;
    digest->attempt = opinion->attempt;
    digest->digest = opinion->digest;
}

void agent_opine (struct agent *agent, const struct agent_opinion *opinion)
{
    struct agent_opinions *opinions =
        opinion->gradient ? &agent->generation.gradients : &agent->generation.states;
    opinions->list[opinions->count++ % AGENT_OPINIONS] = *opinion;
    say_opinion (agent, opinion);
}

static void say_again (struct agent *agent, const struct agent_opinions *opinions)
{
    uint32_t count = opinions->count;
    for (uint32_t i = count > AGENT_OPINIONS ? count - AGENT_OPINIONS : 0; i < count; i++)
        say_opinion (agent, &opinions->list[i % AGENT_OPINIONS]);
}

void agent_opine_again (struct agent *agent)
{
    if (!agent->job.number)
        return;
    say_again (agent, &agent->generation.gradients);
    say_again (agent, &agent->generation.states);
}

void agent_was_heard (struct agent *agent, enum agent_word word)
{
    agent->repeat[word].pending = false;
}

bool agent_repeats (const struct agent *agent, enum agent_word word)
{
    return agent->repeat[word].pending;
}

/* After WELCOME nothing may wait for its turn: whoever reigns now may not know any of it. */
void agent_repeat_due (struct agent *agent)
{
    for (int word = 0; word < WORDS; word++) {
        struct agent_repeat *repeat = &agent->repeat[word];
        if (!repeat->pending || repeat->next_ms > agent->now_ms || !agent->coordinator.welcome)
            continue;
        repeat->delay_ms = repeat->delay_ms * 2 < AGENT_REPEAT_LIMIT_MS ? repeat->delay_ms * 2
                                                                        : AGENT_REPEAT_LIMIT_MS;
        repeat->next_ms = agent->now_ms + repeat->delay_ms;
        words[word](agent);
    }
}
