/* SPDX-License-Identifier: Apache-2.0 */
/* coord.c - create, dispatch, actions, views
 *
 * coord_step () hands the event to the file that knows it. Whatever an event changes about a job,
 * the handler only touches the job; when the event is dealt with, each touched job makes the moves
 * that have become possible (job_advance), and the moves may touch others. So no handler calls
 * another one's decisions, and every decision is taken on a whole state.
 *
 * Fatal: memory running out, and a record that the core's own apply refuses. */
#include "absent.h"
#include "ahead.h"
#include "audit.h"
#include "core.h"
#include "forget.h"
#include "generation.h"
#include "job.h"
#include "proof.h"
#include "query.h"
#include "queue.h"
#include "roster.h"
#include "savers.h"
#include "seal.h"
#include "trust.h"

#include <stdio.h>

/* The timer comes at least this often, so that nothing depends on a wake that was forgotten. */
#define IDLE_MS 60000u

/* A timer that is so late means that we, not the workers, were asleep. */
#define STALL_MS 200u

/* --- memory ----------------------------------------------------------------------------------- */

struct scratch {
    struct scratch *next;
    size_t size, used;
};

#define SCRATCH_MIN ((size_t)65536)

void *core_scratch (struct coord *coord, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    struct scratch *chunk = coord->scratch;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > SCRATCH_MIN ? size : SCRATCH_MIN;
        chunk = malloc (sizeof *chunk + 16 + room);
        assert (chunk);
        *chunk = (struct scratch){ .next = coord->scratch, .size = room };
        coord->scratch = chunk;
    }
    uintptr_t start = ((uintptr_t)(chunk + 1) + 15) & ~(uintptr_t)15;
    void *memory = (void *)(start + chunk->used);
    chunk->used += size;
    memset (memory, 0, size);
    return memory;
}

/* One chunk of the common size stays for the next step. */
static void scratch_reset (struct coord *coord, size_t keep)
{
    struct scratch *kept = NULL;
    while (coord->scratch) {
        struct scratch *chunk = coord->scratch;
        coord->scratch = chunk->next;
        if (!kept && chunk->size == keep) {
            chunk->used = 0;
            kept = chunk;
        } else {
            free (chunk);
        }
    }
    if (kept)
        kept->next = NULL;
    coord->scratch = kept;
}

const char *core_text (struct coord *coord, const char *format, ...)
{
    char text[MU_ERROR_TEXT_MAX];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    size_t size = strlen (text) + 1;
    char *copy = core_scratch (coord, size);
    mu_text_set (copy, size, text);
    return copy;
}

struct mu_blob core_blob (const char *text)
{
    return (struct mu_blob){ .data = text, .size = (uint32_t)strlen (text) };
}

struct mu_blob core_copy (struct coord *coord, const char *text)
{
    size_t size = strlen (text);
    return (struct mu_blob){ memcpy (core_scratch (coord, size), text, size), (uint32_t)size };
}

/* --- actions ---------------------------------------------------------------------------------- */

static struct coord_action *push (struct coord *coord, enum coord_action_type type)
{
    struct coord_actions *out = coord->out;
    assert (out);
    out->list = core_grow (out->list, out->count, &out->capacity, sizeof *out->list);
    struct coord_action *action = &out->list[out->count++];
    memset (action, 0, sizeof *action);
    action->type = type;
    return action;
}

void core_store (struct coord *coord, const struct mu_journal *record)
{
    struct mu_error error;
    struct coord_action *action = push (coord, COORD_STORE);
    action->store = *record;
    action->store.term = coord->durable.term;
    if (record->type == MU_JOURNAL_REIGN)
        action->store.term = record->reign.term;
    seal_put (coord, &action->store);
    int refused = coord_apply (coord, &action->store, &error);
    assert (!refused);
    (void)refused;
}

struct mu_wire *core_say (struct coord *coord, uint32_t peer, enum mu_wire_type type)
{
    struct coord_action *action = push (coord, COORD_SEND);
    action->send.peer = peer;
    action->send.wire.type = type;
    action->send.wire.term = coord->durable.term;
    return &action->send.wire;
}

struct mu_wire *core_tell (struct coord *coord, const struct worker *worker, enum mu_wire_type type)
{
    return worker->connected ? core_say (coord, worker->peer, type) : &coord->nowhere;
}

void core_wake (struct coord *coord, uint64_t when_ms)
{
    if (when_ms < coord->deadline_ms)
        coord->deadline_ms = when_ms;
}

struct job *core_job (const struct coord *coord, uint64_t number)
{
    const struct durable *durable = &coord->durable;
    if (number <= durable->job_base || number > durable->job_count)
        return NULL;
    return durable->jobs[number - 1 - durable->job_base];
}

/* Until then workers may still come back that hold what we do not know of. */
bool core_in_grace (const struct coord *coord) { return coord->now_ms < coord->grace_end_ms; }

/* --- events ----------------------------------------------------------------------------------- */

static void start (struct coord *coord, const struct coord_reign *reign)
{
    struct mu_journal record = {
        .type = MU_JOURNAL_REIGN,
        .reign = { .term = reign->term ? reign->term : coord->durable.term + 1,
                   .leader = reign->leader,
                   .ahead_ms = reign->ahead_ms,
                   .lacks_ms = reign->lacks_ms,
                   .lacks = reign->lacks },
    };
    mu_text_set (record.reign.version, sizeof record.reign.version, coord->options.version);
    core_store (coord, &record);
    coord->started = true;
    coord->registered = reign->leader != 0;
    coord->deadline_ms = coord->now_ms;
    for (uint32_t i = 0; i < coord->durable.live_count; i++)
        if (coord->durable.live[i]->durable.state != MU_JOB_PENDING &&
            coord->durable.live[i]->durable.state != MU_JOB_PAUSED)
            coord->grace_end_ms = coord->now_ms + COORD_RESTART_GRACE_MS;
    roster_start (coord);
    job_submit_lost (coord, reign->lost_jobs);
}

/* Since then something is waited for; 0: nothing is. */
static void put_off (const struct coord *coord, uint64_t *since_ms, uint64_t by_ms)
{
    if (*since_ms)
        *since_ms = lower (*since_ms + by_ms, coord->now_ms);
}

/* When we were stopped or starved, or had no timer because nothing that we decided was said (io_loop.c), the
 * others' words are still in the queue, or they look for us: give them the time. */
static void excuse_stall (struct coord *coord)
{
    uint64_t late_ms = coord->now_ms - coord->deadline_ms;
    if (!coord->started || coord->now_ms < coord->deadline_ms || late_ms < STALL_MS)
        return;
    coord->deadline_ms = coord->now_ms; /* the timer is due, and so much is excused */
    put_off (coord, &coord->came_ms, late_ms);
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        coord->workers[i]->lost_at_ms += late_ms;
        put_off (coord, &coord->workers[i]->order_since_ms, late_ms);
    }
    for (uint32_t i = 0; i < coord->durable.live_count; i++) {
        struct job_soft *soft = &coord->durable.live[i]->soft;
        soft->form_limit_ms += late_ms;
        put_off (coord, &soft->stuck_ms, late_ms);
    }
}

/* Once everybody is back there is nothing to wait for. */
static void mind_grace (struct coord *coord)
{
    uint64_t began_ms = coord->grace_end_ms - COORD_RESTART_GRACE_MS;
    uint64_t again_ms = coord->now_ms + COORD_RETURN_MS;
    if (!core_in_grace (coord))
        return;
    if (coord->now_ms >= began_ms + COORD_RETURN_MS && roster_is_back (coord))
        coord->grace_end_ms = coord->now_ms;
    else
        core_wake (coord, lower (again_ms, coord->grace_end_ms));
}

static void timer (struct coord *coord)
{
    coord->deadline_ms = coord->now_ms + IDLE_MS;
    forget_mind (coord); /* first: nothing is touched yet */
    mind_grace (coord);
    roster_scan (coord);
    trust_mind (coord);
    for (uint32_t i = 0; i < coord->durable.live_count; i++) {
        generation_limit (coord, coord->durable.live[i]);
        job_touch (coord, coord->durable.live[i]);
    }
    queue_place (coord);
}

static void advance_touched (struct coord *coord)
{
    for (uint32_t i = 0; i < coord->touched_count; i++) {
        struct job *job = coord->touched[i];
        job->soft.touched = false;
        job_advance (coord, job);
    }
    coord->touched_count = 0;
}

bool coord_may_answer (const struct mu_wire *wire)
{
    return wire->type == MU_WIRE_JOBS || wire->type == MU_WIRE_WORKERS ||
           wire->type == MU_WIRE_SHARDS || wire->type == MU_WIRE_CHECKPOINTS;
}

void coord_step (struct coord *coord, const struct coord_event *event, struct coord_actions *out)
{
    if (coord->deposed)
        return;
    scratch_reset (coord, SCRATCH_MIN);
    coord->out = out;
    coord->now_ms = event->now_ms;
    coord->unix_ms = event->unix_ms;
    assert (coord->started || event->type == COORD_START ||
            (event->type == COORD_RECEIVE && coord_may_answer (event->wire)));
    excuse_stall (coord);
    switch (event->type) {
    case COORD_START: start (coord, &event->reign); break;
    case COORD_TIMER: timer (coord); break;
    case COORD_RECEIVE:
        if (event->wire->type >= MU_WIRE_SUBMIT && !roster_hears (event->wire))
            query_receive (coord, event);
        else
            roster_receive (coord, event);
        break;
    case COORD_GONE: roster_gone (coord, event->peer); break;
    }
    advance_touched (coord);
    coord->out = NULL;
}

uint64_t coord_deadline (const struct coord *coord)
{
    return coord->deposed ? UINT64_MAX : coord->deadline_ms;
}

uint32_t coord_lost_ms (const struct coord *coord)
{
    return roster_lost_ms (coord, coord->options.beat_ms);
}

/* --- life ------------------------------------------------------------------------------------- */

static void or_default (uint32_t *option, uint32_t value)
{
    if (!*option)
        *option = value;
}

struct coord *coord_create (const struct coord_options *options)
{
    struct coord *coord = calloc (1, sizeof *coord);
    assert (coord);
    coord->options = *options;
    or_default (&coord->options.beat_ms, COORD_BEAT_MS);
    or_default (&coord->options.lost_ms, COORD_LOST_MS);
    or_default (&coord->options.form_limit_ms, COORD_FORM_LIMIT_MS);
    or_default (&coord->options.lease_ahead_ms, COORD_LEASE_AHEAD_MS);
    or_default (&coord->options.save_try_ms, COORD_SAVE_TRY_MS);
    or_default (&coord->options.hang_ms, COORD_HANG_MS);
    or_default (&coord->options.stall_ms, COORD_STALL_MS);
    or_default (&coord->options.workers_max, 65535);
    if (!coord->options.version)
        coord->options.version = "";
    return coord;
}

void job_forget (struct job *job)
{
    struct job_soft *soft = &job->soft;
    generation_clear (job);
    audit_clear (job);
    ahead_clear (job);
    free (soft->ahead);
    free (soft->workers);
    free (soft->ranks);
    free (soft->samples);
    free (soft->why);
    free (soft->shrunk);
    free (soft->stands);
    free (soft->unevaluated);
    free (soft->overdue.worker);
    free (soft->overdue.text);
    free (soft->doubt);
    free (soft->sized_by);
    for (int i = 0; i < MISFITS; i++)
        free (soft->misfits[i].name);
    *soft = (struct job_soft){ 0 };
}

void job_destroy (struct job *job)
{
    struct job_durable *durable = &job->durable;
    job_forget (job);
    for (uint32_t i = 0; i < durable->commit_count; i++)
        free (durable->commits[i].path);
    free (durable->commits);
    free (durable->suspicion.strikes);
    free (durable->skips);
    free (durable->outcasts);
    absent_forget (durable);
    savers_forget (durable);
    proof_forget (durable);
    free (durable->generation.members);
    free (durable->generation.first_map);
    free (durable->reason);
    free (durable->data_identity);
    free (durable->compute_class);
    free (durable->hung);
    free (durable->disputed);
    free ((void *)(uintptr_t)durable->spec.data);
    free (job);
}

void coord_destroy (struct coord **coord_p)
{
    struct coord *coord = *coord_p;
    if (!coord)
        return;
    for (uint64_t number = 0; (number = coord_job_next (coord, number));)
        job_destroy (core_job (coord, number));
    for (uint32_t i = 0; i < coord->worker_count; i++)
        free (coord->workers[i]);
    free (coord->durable.jobs);
    free (coord->durable.live);
    index_clear (&coord->durable.keys);
    names_clear (&coord->durable.drained);
    names_clear (&coord->durable.quarantined);
    free (coord->workers);
    index_clear (&coord->names);
    index_clear (&coord->peers);
    free (coord->touched);
    scratch_reset (coord, 0);
    free (coord);
    *coord_p = NULL;
}

/* --- views ------------------------------------------------------------------------------------ */

uint64_t coord_term (const struct coord *coord) { return coord->durable.term; }
bool coord_deposed (const struct coord *coord) { return coord->deposed; }
uint64_t coord_later_term (const struct coord *coord) { return coord->later_term; }
uint32_t coord_job_count (const struct coord *coord) { return coord->durable.job_count; }

uint32_t coord_jobs_known (const struct coord *coord)
{
    return coord->durable.job_count - coord->durable.forgotten_count;
}

uint64_t coord_job_next (const struct coord *coord, uint64_t after)
{
    for (uint64_t number = higher (after, coord->durable.job_base) + 1;
         number <= coord->durable.job_count; number++)
        if (core_job (coord, number))
            return number;
    return 0;
}

bool coord_job_is_forgotten (const struct coord *coord, uint64_t number)
{
    return number && number <= coord->durable.job_count && !core_job (coord, number);
}

bool coord_job_is_lost (const struct coord *coord, uint64_t number)
{
    const struct job *job = core_job (coord, number);
    return job && job->durable.lost;
}

uint32_t coord_worker_count (const struct coord *coord)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < coord->worker_count; i++)
        count += !coord->workers[i]->lost;
    return count;
}

uint32_t coord_roster_size (const struct coord *coord) { return coord->worker_count; }

bool coord_worker_peer (const struct coord *coord, uint32_t index, uint32_t *peer)
{
    *peer = coord->workers[index]->peer;
    return coord->workers[index]->connected;
}

const char *coord_member (const struct coord *coord, uint64_t job_number, uint32_t rank)
{
    const struct job *job = core_job (coord, job_number);
    if (!job || rank >= job->durable.generation.size)
        return NULL;
    return job->durable.generation.members[rank].name;
}

uint64_t core_number (const char *text)
{
    uint64_t number = 0;
    if (!*text || strlen (text) > 18)
        return 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return number;
}

uint64_t coord_job_find (const struct coord *coord, const char *number_or_name)
{
    for (uint64_t number = coord->durable.job_count; number > coord->durable.job_base; number--) {
        const struct job *job = core_job (coord, number);
        if (job && !strcmp (job->durable.name, number_or_name))
            return number;
    }
    uint64_t number = core_number (number_or_name);
    return core_job (coord, number) ? number : 0;
}

void coord_job_missing (const struct coord *coord, const char *number_or_name, char *text,
                        size_t size)
{
    if (coord_job_is_forgotten (coord, core_number (number_or_name)))
        snprintf (
            text, size,
            "Job %s ended long ago and is forgotten, as the coordinator's options --keep-jobs and "
            "--history-days say; checkpoints that it left lie where they were.",
            number_or_name);
    else
        snprintf (text, size, "There is no job %s; `muster jobs` lists them.", number_or_name);
}
