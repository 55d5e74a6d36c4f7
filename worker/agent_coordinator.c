/* SPDX-License-Identifier: Apache-2.0 */
/* agent_coordinator.c - the coordinator's words: who reigns, and what becomes of the job here
 *
 * One reign: a word of a lower term is not obeyed, nor taken as a sign of life. A higher one is a
 * new reign: whatever still waits to be heard is said again at once, and what was compared with others
 * when it welcomes this worker, for nobody acknowledges that. Within a reign orders are
 * numbered: one that is lower than the newest heard was held back on its way, and is not obeyed.
 *
 * An order about a job that is not here is answered with RELEASED where the coordinator waits for
 * an answer: it is the truth, whatever went lost before. An order about a job whose trainer ended
 * is answered with how it ended. */
#include "agent_core.h"

#include <string.h>

/* --- the worker ------------------------------------------------------------------------------- */

static void say_all_again (struct agent *agent)
{
    for (int word = 0; word < WORDS; word++) {
        agent->repeat[word].next_ms = agent->now_ms;
        agent->repeat[word].delay_ms = AGENT_REPEAT_MS;
    }
}

static void on_welcome (struct agent *agent, const struct mu_wire *wire)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    coordinator->beat_ms = wire->welcome.beat_ms;
    coordinator->lost_ms = wire->welcome.lost_ms;
    coordinator->number = wire->welcome.worker;
    coordinator->hello_delay_ms = AGENT_HELLO_MS;
    if (coordinator->welcome)
        return;
    coordinator->welcome = true;
    coordinator->beat_next_ms = agent->now_ms;
    say_all_again (agent);
    agent_opine_again (agent);
    agent_log (agent, LOG_INFO_, "joined", "on the roster as worker %u, term %llu",
               coordinator->number, (unsigned long long)coordinator->term);
}

/* Where it is another process of this name that reigns now, there is nothing left to do here. */
static void on_refused (struct agent *agent, const struct mu_wire *wire)
{
    const struct mu_blob *text = &wire->refused.text;
    agent_log (agent, LOG_ERROR_, "refused", "the coordinator refuses this worker: %.*s",
               (int)text->size, text->size ? (const char *)text->data : "");
    if (wire->refused.code == MU_CONFLICT && wire->refused.request == agent->incarnation)
        agent_add (agent, AGENT_EXIT)->code = MU_CONFLICT;
}

static void on_who (struct agent *agent, const struct mu_wire *wire)
{
    (void)wire;
    agent->coordinator.welcome = false;
    agent->coordinator.hello_delay_ms = AGENT_HELLO_MS;
    agent->coordinator.hello_ms = agent->now_ms;
}

/* --- the job ---------------------------------------------------------------------------------- */

void agent_forget_job (struct agent *agent)
{
    agent_forget_generation (agent);
    agent_ahead_forget (agent);
    agent_bytes_clear (&agent->job.spec);
    agent_bytes_clear (&agent->job.resume_path);
    agent_bytes_clear (&agent->job.saved_path);
    memset (&agent->job, 0, sizeof agent->job);
    for (int word = 0; word < WORDS; word++)
        agent->repeat[word].pending = false;
}

static void let_go (struct agent *agent, uint64_t order)
{
    agent->job.releasing = true;
    agent->job.release_order = order;
    agent->generation.over = true;
    agent->generation.aborting = false;
    agent->generation.next.generation = 0;
    for (int word = 0; word < WORDS; word++)
        agent->repeat[word].pending = false;
}

static void take_orders (struct agent_job *job, const struct mu_wire_assign *assign)
{
    job->number = assign->job;
    agent_bytes_set (&job->spec, assign->spec.data, assign->spec.size);
    agent_bytes_set (&job->resume_path, assign->resume_path.data, assign->resume_path.size);
    agent_copy (job->resume_hash, sizeof job->resume_hash, assign->resume_hash);
    job->resume_step = assign->resume_step;
    job->distrusted = assign->distrusted;
    job->clears = assign->anew;
    job->joins = assign->joins;
    job->replaces = assign->replaces;
}

static void take_job (struct agent *agent, const struct mu_wire_assign *assign)
{
    agent_forget_job (agent);
    take_orders (&agent->job, assign);
    agent_log (agent, LOG_INFO_, "assigned", "job %llu (%s)", (unsigned long long)assign->job,
               assign->name);
    agent_start_trainer (agent);
}

/* What it stands at is known when it has left its generation, if it is in one, and not before: the
 * agent hears of steps later than they are made, and of a state that came to a joiner only then. */
static void say_where_it_stands (struct agent *agent)
{
    if (agent->generation.part == PART_OUT)
        agent_repeat (agent, WORD_PREPARED);
    else
        agent->job.asked = true;
}

/* A crashed trainer is started anew, as soon as nothing is left of what it was part of; one that
 * refused the job would refuse it again. */
static void take_again (struct agent *agent, const struct mu_wire_assign *assign)
{
    struct agent_job *job = &agent->job;
    if (job->releasing)
        return;
    if (job->trainer == TRAINER_OPEN)
        say_where_it_stands (agent);
    else if (job->failed)
        agent_repeat (agent, WORD_VERDICT);
    else if (job->trainer == TRAINER_NONE && !job->anew) {
        agent_log (agent, LOG_INFO_, "assigned", "job %llu (%s) again",
                   (unsigned long long)assign->job, assign->name);
        agent_was_heard (agent, WORD_VERDICT);
        take_orders (job, assign);
        job->anew = true;
    }
}

void agent_begin_anew (struct agent *agent)
{
    struct agent_job was = agent->job; /* its texts move over */
    memset (&agent->job.spec, 0, sizeof agent->job.spec);
    memset (&agent->job.resume_path, 0, sizeof agent->job.resume_path);
    agent_forget_job (agent);
    struct agent_job *job = &agent->job;
    job->number = was.number;
    job->spec = was.spec;
    job->resume_path = was.resume_path;
    agent_copy (job->resume_hash, sizeof job->resume_hash, was.resume_hash);
    job->resume_step = was.resume_step;
    job->distrusted = was.distrusted;
    job->clears = was.clears;
    job->joins = was.joins;
    job->replaces = was.replaces;
    agent_start_trainer (agent);
}

static void on_assign (struct agent *agent, const struct mu_wire *wire)
{
    const struct mu_wire_assign *assign = &wire->assign;
    if (agent->stopping)
        agent_repeat (agent, WORD_LEAVING);
    else if (!agent->job.number)
        take_job (agent, assign);
    else if (agent->job.number == assign->job)
        take_again (agent, assign);
    else if (!agent->job.releasing)
        let_go (agent, assign->order);
}

static void say_released (struct agent *agent, uint64_t job, uint64_t order)
{
    struct mu_wire_released *said = &agent_say (agent, MU_WIRE_RELEASED)->released;
    said->job = job;
    said->order = order;
}

static void on_release (struct agent *agent, const struct mu_wire *wire)
{
    if (agent->job.number != wire->release.job) {
        say_released (agent, wire->release.job, wire->release.order);
        return;
    }
    if (!agent->job.releasing)
        agent_log (agent, LOG_INFO_, "release", "told to let job %llu go: %s",
                   (unsigned long long)wire->release.job, wire->release.reason);
    let_go (agent, wire->release.order);
}

/* Whether a word about this job can be obeyed. */
static bool is_here (const struct agent *agent, uint64_t number)
{
    const struct agent_job *job = &agent->job;
    return job->number == number && !job->failed && !job->crashed && !job->releasing &&
           job->trainer == TRAINER_OPEN;
}

/* The same of an order: the coordinator waits for an answer, and gets one. */
static bool is_here_or_say (struct agent *agent, uint64_t number, uint64_t order)
{
    const struct agent_job *job = &agent->job;
    if (job->number != number)
        say_released (agent, number, order);
    else if ((job->failed || job->crashed) && !job->releasing)
        agent_repeat (agent, WORD_VERDICT);
    return is_here (agent, number);
}

/* --- orders for the generation, passed on if the job is here ---------------------------------- */

static void on_form (struct agent *agent, const struct mu_wire *wire)
{
    if (is_here_or_say (agent, wire->form.job, wire->form.order))
        agent_on_form (agent, &wire->form);
}

static void on_connect (struct agent *agent, const struct mu_wire *wire)
{
    if (is_here (agent, wire->connect.job))
        agent_on_connect (agent, &wire->connect);
}

static void on_fenced (struct agent *agent, const struct mu_wire *wire)
{
    if (!is_here (agent, wire->fenced.job))
        return;
    if (*wire->fenced.world)
        agent_ahead_fenced (agent, &wire->fenced);
    else
        agent_on_fenced (agent, &wire->fenced);
}

static void on_go (struct agent *agent, const struct mu_wire *wire)
{
    if (is_here (agent, wire->go.job))
        agent_on_go (agent, &wire->go);
}

static void on_lease (struct agent *agent, const struct mu_wire *wire)
{
    if (is_here (agent, wire->lease.job))
        agent_on_lease (agent, &wire->lease);
}

static void on_review (struct agent *agent, const struct mu_wire *wire)
{
    if (is_here (agent, wire->review.job))
        agent_on_review (agent, &wire->review);
}

static void on_abort (struct agent *agent, const struct mu_wire *wire)
{
    if (is_here_or_say (agent, wire->abort.job, wire->abort.order))
        agent_on_abort (agent, &wire->abort);
}

/* --- the ledger and checkpoints --------------------------------------------------------------- */

static void on_trained_ok (struct agent *agent, const struct mu_wire *wire)
{
    struct agent_job *job = &agent->job;
    if (!is_here (agent, wire->trained_ok.job))
        return;
    if (wire->trained_ok.windows > job->windows_heard)
        job->windows_heard = wire->trained_ok.windows;
    if (job->windows_heard >= job->windows_said)
        agent_was_heard (agent, WORD_TRAINED);
}

/* SAVE names the newest generation. If that was formed without us it may have gone back behind the
 * state that is here, which was made in the one that we were in. */
static void on_save (struct agent *agent, const struct mu_wire *wire)
{
    struct agent_job *job = &agent->job;
    uint64_t own = agent->generation.number, newest = wire->save.generation;
    if (!is_here_or_say (agent, wire->save.job, wire->save.order))
        return;
    if (job->saved_path.size && job->saved.step == job->step)
        agent_repeat (agent, WORD_SAVED);
    else if (agent_is_clear (agent))
        agent_tell (agent, MU_WIRE_WRITE)->write.generation = own && own < newest ? own : newest;
}

static void tell_prune (struct agent *agent, const struct mu_wire_committed *committed)
{
    struct mu_wire_prune *prune = &agent_tell (agent, MU_WIRE_PRUNE)->prune;
    prune->step = committed->step;
    prune->anchor = committed->anchor;
    prune->stays.items = committed->stays.items;
    prune->stays.count = committed->stays.count;
    prune->generation = committed->generation;
    prune->first = committed->first;
}

static void on_committed (struct agent *agent, const struct mu_wire *wire)
{
    struct agent_job *job = &agent->job;
    uint64_t step = wire->committed.step;
    if (!is_here (agent, wire->committed.job))
        return;
    if (step >= job->saved.step) {
        agent_was_heard (agent, WORD_SAVED);
    } else if (agent_repeats (agent, WORD_SAVED)) { /* it was not to be committed yet, and is now */
        agent_repeat (agent, WORD_SAVED);
        return;
    }
    if (job->committed_step > step)
        return;
    job->committed_step = step + 1;
    tell_prune (agent, &wire->committed);
    job->prune_end_ms = agent->now_ms + AGENT_PRUNE_MS;
}

static void on_end_writer (struct agent *agent, const struct mu_wire *wire)
{
    if (is_here (agent, wire->end_writer.job))
        agent_tell (agent, MU_WIRE_END_WRITING)->end_writing.step = wire->end_writer.step;
}

/* --- all of them ------------------------------------------------------------------------------ */

static void (*const hears[]) (struct agent *agent, const struct mu_wire *wire) = {
    [MU_WIRE_WELCOME] = on_welcome,     [MU_WIRE_WHO] = on_who,
    [MU_WIRE_ASSIGN] = on_assign,       [MU_WIRE_RELEASE] = on_release,
    [MU_WIRE_FORM] = on_form,           [MU_WIRE_CONNECT] = on_connect,
    [MU_WIRE_FENCED] = on_fenced,       [MU_WIRE_GO] = on_go,
    [MU_WIRE_LEASE] = on_lease,         [MU_WIRE_TRAINED_OK] = on_trained_ok,
    [MU_WIRE_ABORT] = on_abort,         [MU_WIRE_REFUSED] = on_refused,
    [MU_WIRE_COMMITTED] = on_committed, [MU_WIRE_SAVE] = on_save,
    [MU_WIRE_REVIEW] = on_review,       [MU_WIRE_END_WRITER] = on_end_writer,
    [MU_WIRE_HARM] = agent_fault_order,
};

/* A HELLO of before it had heard of any term, held back on the way to one that was down, is answered so. */
static bool serves_what_is_lost (struct agent *agent, const struct mu_wire *wire)
{
    uint64_t term = agent->coordinator.term;
    if (wire->type != MU_WIRE_WELCOME || !term || term >= wire->welcome.lacks_below)
        return false;
    agent_log (agent, LOG_ERROR_, "refused",
               "what the coordinator of term %llu did is lost, as its database was restored from a "
               "backup, or --take-over was said: this worker has served it, and ends; start it "
               "anew",
               (unsigned long long)term);
    agent_add (agent, AGENT_EXIT)->code = MU_CONFLICT;
    return true;
}

/* False when the word is of a reign that is over. */
static bool mind_term (struct agent *agent, const struct mu_wire *wire)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    if (wire->term < coordinator->term) {
        agent_log (agent, LOG_WARN_, "old_term", "%s of term %llu is not obeyed: term %llu reigns",
                   mu_record_name (&mu_wire_family, wire->type), (unsigned long long)wire->term,
                   (unsigned long long)coordinator->term);
        return false;
    }
    if (wire->term > coordinator->term) {
        coordinator->term = wire->term;
        coordinator->order = 0;
        coordinator->welcome = false; /* until it says so itself */
        say_all_again (agent);
    }
    coordinator->heard_ms = agent->now_ms;
    agent_line_leads_somewhere (agent);
    if (coordinator->welcome)
        coordinator->hello_ms = agent->now_ms + coordinator->lost_ms / 2;
    return true;
}

/* False when a newer order was heard. The same one may be said again. */
static bool mind_order (struct agent *agent, const struct mu_wire *wire)
{
    struct agent_coordinator *coordinator = &agent->coordinator;
    uint64_t order = mu_record_number (&mu_wire_family, wire, "order");
    if (order && order < coordinator->order) {
        agent_log (agent, LOG_INFO_, "old_order", "%s, order %llu, is not obeyed: %llu came since",
                   mu_record_name (&mu_wire_family, wire->type), (unsigned long long)order,
                   (unsigned long long)coordinator->order);
        return false;
    }
    coordinator->order = order ? order : coordinator->order;
    return true;
}

void agent_hear (struct agent *agent, const struct mu_wire *wire)
{
    size_t type = (size_t)wire->type;
    if (type >= sizeof hears / sizeof *hears || !hears[type])
        return;
    if (!serves_what_is_lost (agent, wire) && mind_term (agent, wire) && mind_order (agent, wire))
        hears[type](agent, wire);
}
