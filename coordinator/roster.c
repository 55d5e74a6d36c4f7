/* SPDX-License-Identifier: Apache-2.0 */
/* roster.c - who is here: HELLO, BEAT, BYE, silence, drain
 *
 * The roster is soft: a new coordinator hears it again. Only two facts about workers outlive it:
 * which of them are members of generations (FORM) and which are drained (DRAIN). From the first,
 * roster_start () makes an entry for each member of a live generation, unheard yet, and gives it
 * COORD_RESTART_GRACE_MS to speak; if it says that it still is what it was, nothing happens at all.
 *
 * A worker is its name; of two processes with one name the one that lives is it, and while both do one of them
 * alone, the other is told to end (takes_the_place ()). A worker is declared lost in roster_scan (): when nothing was heard
 * for its limit, which is never less than four of its beats. */
#include "roster.h"

#include "ahead.h"
#include "audit.h"
#include "checkpoint.h"
#include "generation.h"
#include "hang.h"
#include "job.h"
#include "loss.h"
#include "orders.h"
#include "overdue.h"
#include "prepare.h"
#include "query.h"
#include "queue.h"
#include "review.h"
#include "shards.h"
#include "trust.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

/* --- finding ---------------------------------------------------------------------------------- */

static uint64_t peer_hash (uint32_t peer) { return index_hash (&peer, sizeof peer); }

struct worker *roster_by_name (const struct coord *coord, const char *name)
{
    uint32_t cursor = 0, at;
    uint64_t hash = index_hash_text (name);
    while ((at = index_next (&coord->names, hash, &cursor)) != NONE)
        if (!strcmp (coord->workers[at]->name, name))
            return coord->workers[at];
    return NULL;
}

struct worker *roster_by_peer (const struct coord *coord, uint32_t peer)
{
    uint32_t cursor = 0, at;
    uint64_t hash = peer_hash (peer);
    while ((at = index_next (&coord->peers, hash, &cursor)) != NONE)
        if (coord->workers[at]->connected && coord->workers[at]->peer == peer)
            return coord->workers[at];
    return NULL;
}

static bool is_drained (const struct coord *coord, const char *name)
{
    return names_has (&coord->durable.drained, name);
}

bool worker_leaves (const struct coord *coord, const struct worker *worker)
{
    return worker->leaving || worker->yields || is_drained (coord, worker->name);
}

bool worker_is_free (const struct coord *coord, const struct worker *worker)
{
    return worker->connected && !worker->lost && !worker->job && worker->order == ORDER_NONE &&
           !worker->holds && !worker_leaves (coord, worker);
}

enum mu_worker_state worker_state (const struct coord *coord, const struct worker *worker)
{
    bool drains = worker->leaving || is_drained (coord, worker->name);
    if (worker->lost)
        return worker->left ? MU_WORKER_LEFT : MU_WORKER_LOST;
    if (worker->job || worker->order != ORDER_NONE)
        return drains ? MU_WORKER_DRAINING : MU_WORKER_WORKING;
    if (drains)
        return MU_WORKER_DRAINED;
    return trust_lacks (coord, worker) ? MU_WORKER_QUARANTINED : MU_WORKER_FREE;
}

/* --- the entry -------------------------------------------------------------------------------- */

static void connect_peer (struct coord *coord, struct worker *worker, uint32_t peer)
{
    if (worker->connected && worker->peer == peer)
        return;
    struct worker *other = roster_by_peer (coord, peer);
    if (other) {
        index_drop (&coord->peers, peer_hash (peer), other->number);
        other->connected = false;
    }
    if (worker->connected)
        index_drop (&coord->peers, peer_hash (worker->peer), worker->number);
    worker->connected = true;
    worker->leased = 0;
    worker->peer = peer;
    index_add (&coord->peers, peer_hash (peer), worker->number);
}

void roster_file (struct coord *coord, const struct worker *worker)
{
    if (*worker->name)
        index_add (&coord->names, index_hash_text (worker->name), worker->number);
    if (worker->connected)
        index_add (&coord->peers, peer_hash (worker->peer), worker->number);
}

static void rename_entry (struct coord *coord, struct worker *worker, const char *name)
{
    if (*worker->name)
        index_drop (&coord->names, index_hash_text (worker->name), worker->number);
    SET (worker->name, name);
    index_add (&coord->names, index_hash_text (name), worker->number);
}

/* A full roster makes room by forgetting somebody lost. NULL: there is no room. */
static struct worker *make_room (struct coord *coord)
{
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        struct worker *worker = coord->workers[i];
        if (!worker->lost || worker->job || worker->order != ORDER_NONE)
            continue;
        if (worker->connected)
            index_drop (&coord->peers, peer_hash (worker->peer), worker->number);
        index_drop (&coord->names, index_hash_text (worker->name), worker->number);
        *worker = (struct worker){ .number = i };
        return worker;
    }
    return NULL;
}

static struct worker *add (struct coord *coord, const char *name)
{
    struct worker *worker;
    if (coord->worker_count >= coord->options.workers_max) {
        worker = make_room (coord);
        if (!worker)
            return NULL;
    } else {
        coord->workers = core_grow (coord->workers, coord->worker_count, &coord->worker_capacity,
                                    sizeof (struct worker *));
        worker = calloc (1, sizeof *worker);
        assert (worker);
        worker->number = coord->worker_count;
        coord->workers[coord->worker_count++] = worker;
    }
    worker->rank = NONE;
    worker->beat_ms = coord->options.beat_ms;
    rename_entry (coord, worker, name);
    return worker;
}

/* --- beats and silence ------------------------------------------------------------------------ */

/* Beats of the whole roster cost at most COORD_BEATS_PER_SECOND_MAX a second. */
static uint32_t beat_interval (const struct coord *coord)
{
    uint64_t needed = (uint64_t)coord->worker_count * 1000 / COORD_BEATS_PER_SECOND_MAX;
    return needed > coord->options.beat_ms ? (uint32_t)needed : coord->options.beat_ms;
}

uint32_t roster_lost_ms (const struct coord *coord, uint32_t beat_ms)
{
    uint32_t least = COORD_LOST_BEATS_MIN * beat_ms;
    return least > coord->options.lost_ms ? least : coord->options.lost_ms;
}

static void welcome (struct coord *coord, struct worker *worker)
{
    worker->beat_ms = beat_interval (coord);
    struct mu_wire_welcome *said = &core_tell (coord, worker, MU_WIRE_WELCOME)->welcome;
    said->worker = worker->number + 1;
    said->beat_ms = worker->beat_ms;
    said->lost_ms = roster_lost_ms (coord, worker->beat_ms);
    said->lacks_below =
        coord->durable.lacks_below; /* its HELLO may be older than what it has heard since */
}

static void heard (struct coord *coord, struct worker *worker)
{
    if (!worker->heard_ms)
        coord->came_ms = coord->now_ms;
    worker->heard_ms = coord->now_ms ? coord->now_ms : 1;
    worker->gone = worker->left = false;
    worker->lost_at_ms = coord->now_ms + roster_lost_ms (coord, worker->beat_ms);
    core_wake (coord, worker->lost_at_ms);
    if (worker->lost && worker->duty != MU_DUTY_UNDYING) {
        worker->lost = false;
        queue_want (coord);
    }
}

/* Of who was not heard since the restart: since that. */
uint64_t roster_silent_ms (const struct coord *coord, const struct worker *worker)
{
    uint64_t since_ms = worker->heard_ms;
    if (!since_ms)
        since_ms = higher (worker->lost_at_ms, COORD_RESTART_GRACE_MS + 1) - COORD_RESTART_GRACE_MS;
    return coord->now_ms - lower (since_ms, coord->now_ms);
}

void roster_lose (struct coord *coord, struct worker *worker, bool planned, const char *why)
{
    struct job *job = worker->job;
    bool was_member = job && worker->rank != NONE && job->durable.generation.number;
    bool member = was_member && job_has_live_generation (job);
    worker->heard_ms = coord->now_ms - roster_silent_ms (coord, worker);
    worker->lost = true;
    worker->yields = false;
    order_clear (worker);
    worker_detach (coord, worker);
    queue_want (coord);
    if (!planned && (job || worker->holds))
        trust_blame (coord, worker, why);
    if (!job)
        return;
    if (member)
        generation_break (coord, job, planned,
                          core_text (coord, "worker %s %s", worker->name, why));
    else if (was_member && !planned)
        loss_tell (coord, job, worker, MU_PROCESS_AGENT, why);
    job_touch (coord, job);
}

/* While a generation trains, its collectives tell of a death before its silence does. While it ends or
 * forms nobody does: the others wait for words that are not coming. If it only dials again it is taken
 * back; while we were not heard ourselves all do, and then the timer, which is due, comes behind their HELLOs. */
static bool holds_up_others (const struct worker *worker)
{
    const struct job *job = worker->job;
    return job && worker->rank != NONE &&
           (job->durable.state == MU_JOB_FORMING || job->durable.state == MU_JOB_BREAKING);
}

void roster_gone (struct coord *coord, uint32_t peer)
{
    struct worker *worker = roster_by_peer (coord, peer);
    if (!worker || worker->lost)
        return;
    uint64_t soon_ms = coord->now_ms + 2 * (uint64_t)worker->beat_ms;
    if (soon_ms < worker->lost_at_ms)
        worker->lost_at_ms = soon_ms;
    core_wake (coord, worker->lost_at_ms);
    worker->gone = true;
    worker->leased = 0;
    if (holds_up_others (worker) && coord->now_ms < coord->deadline_ms)
        roster_lose_if_gone (coord, worker);
}

void roster_lose_if_gone (struct coord *coord, struct worker *worker)
{
    if (worker->gone && !worker->lost)
        roster_lose (coord, worker, false, "is gone: its connection ended");
}

/* Who was there before a restart has its grace for the sake of a generation that trains on. Where that is over the
 * others wait: who does not come while they do, and for so long after the last of them, is lost. */
static uint64_t lost_at (const struct coord *coord, const struct worker *worker)
{
    if (worker->heard_ms || !coord->came_ms || !holds_up_others (worker))
        return worker->lost_at_ms;
    uint64_t wait_ms = higher (COORD_COME_MS, roster_lost_ms (coord, beat_interval (coord)));
    return lower (worker->lost_at_ms, coord->came_ms + wait_ms);
}

void roster_scan (struct coord *coord)
{
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        struct worker *worker = coord->workers[i];
        if (worker->lost)
            continue;
        if (worker->gone && holds_up_others (worker)) {
            roster_lose_if_gone (coord, worker);
            continue;
        }
        if (coord->now_ms >= lost_at (coord, worker)) {
            uint64_t silent_ms = roster_silent_ms (coord, worker);
            const char *why =
                worker->heard_ms
                    ? core_text (coord, "was silent for %llu ms", (unsigned long long)silent_ms)
                    : "did not come back after the coordinator's restart";
            roster_lose (coord, worker, false, why);
            continue;
        }
        core_wake (coord, lost_at (coord, worker));
        if (worker->order != ORDER_NONE)
            order_mind (coord, worker);
    }
}

/* --- restart ---------------------------------------------------------------------------------- */

/* Who prepares, or is let go, stands in no record. */
static bool has_unknown (const struct job *job)
{
    return job->durable.state == MU_JOB_PREPARING || job->durable.state == MU_JOB_STOPPING;
}

bool roster_is_back (const struct coord *coord)
{
    for (uint32_t i = 0; i < coord->durable.live_count; i++)
        if (has_unknown (coord->durable.live[i]))
            return false;
    for (uint32_t i = 0; i < coord->worker_count; i++)
        if (!coord->workers[i]->lost && !coord->workers[i]->heard_ms)
            return false;
    return true;
}

static struct worker *expect (struct coord *coord, struct job *job, uint32_t rank)
{
    const struct member *member = &job->durable.generation.members[rank];
    struct worker *worker = roster_by_name (coord, member->name);
    if (worker && worker->job) /* it has gone from a broken generation to another job */
        return NULL;
    if (!worker)
        worker = add (coord, member->name);
    if (!worker)
        return NULL;
    worker->incarnation = member->incarnation;
    worker->holds = job->durable.number;
    worker->generation = job->durable.generation.number;
    worker->lost_at_ms = coord->grace_end_ms;
    worker_attach (worker, job);
    worker->rank = rank;
    worker->opened = true;
    if (job->durable.generation.number > job->durable.distrusted) /* or it had not been a member */
        worker->position.distrusted = job->durable.distrusted;
    return worker;
}

static void expect_members (struct coord *coord, struct job *job)
{
    const struct generation *generation = &job->durable.generation;
    bool missing = false;
    job->soft.ranks = calloc (generation->size, sizeof (struct worker *));
    assert (job->soft.ranks);
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        struct worker *worker = expect (coord, job, rank);
        job->soft.ranks[rank] = worker;
        if (!worker)
            missing = true;
        else if (job->durable.state == MU_JOB_FORMING)
            order_give (coord, worker, ORDER_FORM);
        else if (job->durable.state == MU_JOB_BREAKING)
            order_give (coord, worker, ORDER_ABORT);
    }
    if (job->durable.state != MU_JOB_RUNNING)
        review_restarted (coord, job);
    if (missing && job_has_live_generation (job))
        generation_break (coord, job, false, "the roster has no room for all its workers");
}

void roster_start (struct coord *coord)
{
    /* Fences that the last coordinator collected are gone: do not wait long for them. */
    uint64_t limit_ms = coord->options.form_limit_ms;
    if (limit_ms > (uint64_t)2 * COORD_RESTART_GRACE_MS)
        limit_ms = (uint64_t)2 * COORD_RESTART_GRACE_MS;
    for (uint32_t i = 0; i < coord->durable.live_count; i++) {
        struct job *job = coord->durable.live[i];
        job->soft.step = job_step (job);
        job->soft.form_limit_ms = coord->now_ms + limit_ms;
        if (job_has_live_generation (job))
            expect_members (coord, job);
        job_touch (coord, job);
    }
    for (uint32_t i = 0; i < coord->durable.live_count; i++) {
        struct job *job = coord->durable.live[i];
        if (job->durable.state == MU_JOB_BREAKING && !job->soft.ranks)
            expect_members (coord, job);
    }
    queue_want (coord);
}

/* --- HELLO ------------------------------------------------------------------------------------ */

static void describe (struct worker *worker, const struct mu_wire_hello *hello)
{
    SET (worker->host, hello->host);
    SET (worker->version, hello->version);
    SET (worker->compute_class, hello->compute_class);
    SET (worker->isa, hello->isa);
    worker->threads = hello->threads;
    worker->devices = hello->devices;
    worker->faults = hello->faults;
}

/* Another process of that name: the one before is dead, whatever it held is gone. If that was known, it has been blamed. */
static void replace (struct coord *coord, struct worker *worker, const struct mu_wire_hello *hello)
{
    if (worker->incarnation)
        roster_lose (coord, worker, worker->lost, "was started anew");
    worker->before = worker->incarnation;
    worker->rival = 0;
    worker->incarnation = hello->incarnation;
    worker->holds = hello->job;
    worker->generation = hello->generation;
    worker->step = hello->step;
    worker->phase = MU_PHASE_NONE;
    worker->duty = MU_DUTY_NOBODY;
    worker->leaving = false;
    worker->refused_job = 0;
    worker->left_out = 0;
    worker->on_trial = false;
    worker->refused_for_good = false;
    worker->reopened_step = 0;
    worker->anew = 0;
    worker->buried = 0;
    worker->lost = false;
}

static bool lives (const struct coord *coord, const struct worker *worker)
{
    uint64_t heard_until_ms = worker->heard_ms + roster_lost_ms (coord, worker->beat_ms);
    bool heard = worker->heard_ms && coord->now_ms < heard_until_ms;
    return !worker->lost || (heard && !worker->gone && !worker->left);
}

/* The incarnation tells which of two was started later where their hosts' clocks agree, and of two on one host; nothing
 * else tells of a quick restart at once. Where it says something else, or there were more than one, it is not asked:
 * who lost its place does not take it back, and where another one has knocked nobody is believed to be later. */
static bool takes_the_place (const struct coord *coord, const struct worker *worker,
                             uint64_t incarnation)
{
    if (!lives (coord, worker))
        return true;
    return incarnation > worker->incarnation && incarnation != worker->before && !worker->rival;
}

/* The one that has the place may have died just now, and what it said last be heard only now: the other one
 * is told to end when that speaks a beat later. Until then nothing is said, and it knocks again. */
static void mind_rival (struct coord *coord, struct worker *worker, uint32_t peer,
                        uint64_t incarnation)
{
    if (worker->rival != incarnation) {
        worker->rival = incarnation;
        worker->rival_ms = coord->now_ms;
    } else if (worker->heard_ms >= worker->rival_ms + worker->beat_ms) {
        query_refuse (coord, peer, incarnation, MU_CONFLICT,
                      core_text (coord,
                                 "another worker called %s lives, on %s: this one ends; give each "
                                 "worker a --name of its own",
                                 worker->name, *worker->host ? worker->host : "an unknown host"));
    }
}

/* On a line that has just led nowhere many HELLOs may wait, and come all at once: an order is said to the first. */
static bool is_one_of_many (const struct coord *coord, const struct worker *worker, uint32_t peer)
{
    return worker->connected && worker->peer == peer &&
           coord->now_ms < worker->order_said_ms + worker->beat_ms;
}

static void on_hello (struct coord *coord, uint32_t peer, const struct mu_wire_hello *hello)
{
    if (!*hello->name) { /* everything that is known of a worker is known by its name */
        query_refuse (coord, peer, hello->incarnation, MU_CONFLICT,
                      core_text (coord,
                                 "a worker on %s says no name in its HELLO, and cannot be told "
                                 "from others: start it with a --name of its own",
                                 *hello->host ? hello->host : "an unknown host"));
        return;
    }
    struct worker *worker = roster_by_name (coord, hello->name);
    bool another = worker && worker->incarnation != hello->incarnation;
    if (another && !takes_the_place (coord, worker, hello->incarnation)) {
        mind_rival (coord, worker, peer, hello->incarnation);
        return;
    }
    if (!worker)
        worker = add (coord, hello->name);
    if (!worker) {
        query_refuse (coord, peer, 0, MU_TRY_AGAIN,
                      core_text (coord, "the roster is full: it holds %u workers",
                                 coord->options.workers_max));
        return;
    }
    bool first = !worker->heard_ms || worker->lost;
    bool again = !first && is_one_of_many (coord, worker, peer);
    if (hello->incarnation != worker->incarnation) {
        replace (coord, worker, hello);
        first = false;
    }
    connect_peer (coord, worker, peer);
    describe (worker, hello);
    heard (coord, worker);
    if (first || !worker->job) { /* another word may have come before, and told nothing of it */
        worker->holds = hello->job;
        worker->generation = hello->generation;
        worker->step = hello->step;
    }
    welcome (coord, worker);
    if (hello->leaving && !worker->leaving) {
        worker->leaving = true;
        if (worker->job)
            job_touch (coord, worker->job);
    }
    if (worker->order != ORDER_NONE && !again)
        order_say (coord, worker);
    else if (first && worker_is_prepared (worker) && worker->holds != worker->job->durable.number)
        worker_reprepare (coord, worker);
    else
        worker_claim (coord, worker);
    shards_welcome (coord, worker);
    queue_want (coord);
}

bool roster_is_of_the_reign_before (const struct coord *coord, const struct mu_wire *wire)
{
    return wire->term && wire->term < coord->durable.term;
}

/* --- BEAT ------------------------------------------------------------------------------------- */

/* A collective of a generation that is over runs there: have it ended. */
static void end_stray_generation (struct coord *coord, struct worker *worker,
                                  const struct mu_wire_beat *beat)
{
    const struct job *job = core_job (coord, beat->job);
    if (!beat->generation || worker->order == ORDER_RELEASE || worker->order == ORDER_ABORT)
        return;
    if (job && beat->generation == job->durable.generation.number &&
        !job->durable.generation.over && worker->job == job && worker->rank != NONE)
        return;
    if (worker->stray_ms && coord->now_ms < worker->stray_ms + COORD_REPEAT_MS)
        return;
    worker->stray_ms = coord->now_ms;
    struct mu_wire_abort *said = &core_tell (coord, worker, MU_WIRE_ABORT)->abort;
    said->job = beat->job;
    said->generation = beat->generation;
    said->order = worker->order_number; /* it is none, but as of that one */
}

static void on_beat (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_beat *beat = &wire->beat;
    bool freed = worker->holds && !beat->job;
    worker->holds = beat->job;
    worker->generation = beat->generation;
    worker->phase = beat->phase;
    worker->phase_ms = beat->phase_ms;
    worker->step = beat->step;
    hang_hear (coord, worker, beat);
    overdue_hear (coord, worker, beat);
    if (worker->duty == MU_DUTY_UNDYING)
        return;
    if (freed && !worker->job)
        queue_want (coord);
    uint32_t interval = beat_interval (coord);
    if (worker->beat_ms > 2 * interval || 2 * worker->beat_ms < interval)
        welcome (coord, worker);
    end_stray_generation (coord, worker, beat);
    struct job *job = worker->job;
    if (!job || beat->job != job->durable.number) {
        if (!worker_is_prepared (worker))
            worker_claim (coord, worker);
        else if (++worker->doubts >= 2) /* one may be late; two mean that its trainer is gone */
            worker_reprepare (coord, worker);
        return;
    }
    worker->doubts = 0;
    worker->opened = true;
    shards_progress (coord, worker, wire);
}

static void on_bye (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    roster_lose (coord, worker, true, core_text (coord, "left: %s", wire->bye.reason));
    worker->holds = 0;
    worker->left = true;
}

/* --- words of workers ------------------------------------------------------------------------- */

typedef void hearer (struct coord *coord, struct worker *worker, const struct mu_wire *wire);

static hearer *const hearers[MU_WIRE_CONNECTED + 1] = {
    [MU_WIRE_BEAT] = on_beat,
    [MU_WIRE_BYE] = on_bye,
    [MU_WIRE_PREPARED] = prepare_prepared,
    [MU_WIRE_FAILED] = prepare_failed,
    [MU_WIRE_CRASHED] = prepare_crashed,
    [MU_WIRE_RELEASED] = prepare_released,
    [MU_WIRE_FENCE] = generation_fence,
    [MU_WIRE_CONNECTED] = ahead_connected,
    [MU_WIRE_READY] = generation_ready,
    [MU_WIRE_DOWN] = generation_down,
    [MU_WIRE_ABORTED] = generation_aborted,
    [MU_WIRE_TRAINED] = shards_trained,
    [MU_WIRE_DIGEST] = audit_state,
    [MU_WIRE_AUDIT] = audit_gradient,
    [MU_WIRE_SAVED] = checkpoint_saved,
    [MU_WIRE_SAVE_FAILED] = checkpoint_save_failed,
};

bool roster_hears (const struct mu_wire *wire)
{
    return (size_t)wire->type < sizeof hearers / sizeof *hearers && hearers[wire->type];
}

/* The trainer, or the collective, has done what was waited for: older beats are no evidence. */
static bool shows_a_move (enum mu_wire_type type)
{
    return type == MU_WIRE_PREPARED || type == MU_WIRE_FENCE || type == MU_WIRE_READY ||
           type == MU_WIRE_ABORTED;
}

/* It served a coordinator whose records are lost (the database was restored from a backup, or --take-over began a term
 * without them), and holds what no record here tells of: generations of the same numbers, later steps. None of that
 * is to be mixed with what comes. */
static bool is_of_what_was_lost (const struct coord *coord, const struct mu_wire *wire)
{
    return wire->term && wire->term < coord->durable.lacks_below;
}

static void send_away (struct coord *coord, uint32_t peer, const struct mu_wire_hello *hello)
{
    query_refuse (
        coord, peer, hello->incarnation, MU_CONFLICT,
        core_text (coord,
                   "what the coordinator before this one did is lost, as its database was restored "
                   "from a backup, or --take-over was said; worker %s has served it, and "
                   "ends: start it anew",
                   hello->name));
}

void roster_receive (struct coord *coord, const struct coord_event *event)
{
    const struct mu_wire *wire = event->wire;
    if (wire->term > coord->durable.term) {
        coord->deposed = !coord->registered;
        if (wire->term > coord->later_term)
            coord->later_term = wire->term;
        return;
    }
    if (is_of_what_was_lost (coord, wire)) {
        if (wire->type == MU_WIRE_HELLO) /* it comes when nothing else is answered */
            send_away (coord, event->peer, &wire->hello);
        return;
    }
    if (wire->type == MU_WIRE_HELLO) {
        on_hello (coord, event->peer, &wire->hello);
        return;
    }
    if (!roster_hears (wire))
        return;
    struct worker *worker = roster_by_peer (coord, event->peer);
    if (!worker) {
        core_say (coord, event->peer, MU_WIRE_WHO);
        return;
    }
    heard (coord, worker);
    if (shows_a_move (wire->type))
        hang_forget (worker);
    hearers[wire->type](coord, worker, wire);
}

/* --- DRAIN ------------------------------------------------------------------------------------ */

struct worker *roster_find (const struct coord *coord, const char *name_or_number)
{
    struct worker *worker = roster_by_name (coord, name_or_number);
    uint64_t number = core_number (name_or_number);
    if (!worker && number > 0 && number <= coord->worker_count)
        worker = coord->workers[number - 1];
    return worker;
}

static void store_drain (struct coord *coord, const char *name, bool drained)
{
    struct mu_journal record = { .type = MU_JOURNAL_DRAIN,
                                 .drain = { .drained = drained, .time_ms = coord->unix_ms } };
    SET (record.drain.worker, name);
    if (is_drained (coord, name) != drained)
        core_store (coord, &record);
}

/* A drained worker that is not here at the moment is known by its name alone. */
void roster_drain (struct coord *coord, uint32_t peer, const struct mu_wire_drain *drain)
{
    struct worker *worker = roster_find (coord, drain->worker);
    const char *name = worker ? worker->name : drain->worker, *text;
    if (!worker && !(drain->undo && is_drained (coord, name))) {
        query_refuse (
            coord, peer, drain->request, MU_NOT_FOUND,
            core_text (coord, "There is no worker %s; `muster workers` lists them.", name));
        return;
    }
    store_drain (coord, name, !drain->undo);
    const struct job *job = worker ? worker->job : NULL;
    if (drain->undo)
        text = core_text (coord, "Worker %s takes work again.", name);
    else if (job)
        text = core_text (coord, "Worker %s is let go at the end of its step.", name);
    else
        text = core_text (coord, "Worker %s takes no more work.", name);
    query_accept (coord, peer, drain->request, text);
    if (job)
        job_touch (coord, worker->job);
    queue_want (coord);
}
