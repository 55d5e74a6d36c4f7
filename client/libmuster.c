/* SPDX-License-Identifier: Apache-2.0 */
/* libmuster.c - one DEALER socket, one request at a time
 *
 * An answer is recognised by its request number, so a late one to an earlier request is passed
 * over. The public structs of muster_info.h are generated member for member like those of wire.h;
 * the assertions below hold them together.
 */
#include "muster.h"

#include "clock.h"
#include "connect.h"
#include "resolve.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#define TIMEOUT_MS 10000u
#define REPEAT_MS  1000
#define PATIENCE_MS 2000u /* with one of several coordinators that says nothing */
#define PAUSE_MS   100
#define STANDS_MS   500u
#define LOG_BYTES  (256u << 10)
#define SPEC_MAX   65536u /* as wire.schema says */

_Static_assert(sizeof (struct muster_job_info) == sizeof (struct mu_wire_job_info), "job");
_Static_assert(sizeof (struct muster_worker_info) == sizeof (struct mu_wire_worker_info), "worker");
_Static_assert(sizeof (struct muster_event_info) == sizeof (struct mu_wire_event_info), "event");
_Static_assert(sizeof (struct muster_metric_info) == sizeof (struct mu_wire_metric_info), "metric");
_Static_assert(sizeof (struct muster_record_info) == sizeof (struct mu_wire_record_info), "record");
_Static_assert(sizeof (struct muster_window_info) == sizeof (struct mu_wire_window_info), "window");
_Static_assert(sizeof (struct muster_checkpoint_info) == sizeof (struct mu_wire_checkpoint_info),
               "checkpoint");
_Static_assert(sizeof (((struct muster_error *)0)->text) == MU_ERROR_TEXT_MAX, "error");

struct muster {
    char **coordinators;
    size_t count, chosen;
    void *context, *socket; /* no socket: which of several is there is not known yet, or any more */
    uint32_t timeout_ms;
    uint64_t request;
};

struct muster_answer {
    zmq_msg_t frame;
    msgpack_zone zone;
    struct mu_wire wire;
};

/* --- the handle ------------------------------------------------------------------------------- */

static int fail (struct muster_error *error, const struct mu_error *why)
{
    if (error) {
        error->code = (int)why->code;
        memcpy (error->text, why->text, sizeof error->text);
    }
    return -1;
}

/* Several are asked first which of them is there; one is simply sent to. */
static int connect_socket (struct muster *muster, struct mu_error *why)
{
    if (muster->socket)
        return 0;
    if (muster->count == 1)
        return connect_one (muster->context, muster->coordinators[0], &muster->socket, why);
    return connect_first (muster->context, muster->coordinators, muster->count, muster->timeout_ms,
                          &muster->chosen, &muster->socket, why);
}

static int copy_endpoints (struct muster *muster, const char *const *coordinators, size_t count)
{
    muster->coordinators = calloc (count, sizeof *muster->coordinators);
    for (size_t i = 0; muster->coordinators && i < count; i++)
        if ((muster->coordinators[i] = strdup (coordinators[i])))
            muster->count++;
    return muster->coordinators && muster->count == count ? 0 : -1;
}

int muster_open_any (struct muster **muster_p, const char *const *coordinators, size_t count,
                     struct muster_error *error)
{
    struct mu_error why;
    *muster_p = NULL;
    if (count > CONNECT_MAX) {
        mu_fail (&why, MU_USAGE, "%zu coordinators are named; there may be %u", count, CONNECT_MAX);
        return fail (error, &why);
    }
    const char *alone = count ? NULL : getenv ("MUSTER_COORDINATOR");
    if (!count && (!alone || !*alone))
        alone = MUSTER_DEFAULT_COORDINATOR;
    struct muster *muster = calloc (1, sizeof *muster);
    *muster_p = muster;
    if (!muster || copy_endpoints (muster, count ? coordinators : &alone, count ? count : 1) ||
        !(muster->context = zmq_ctx_new ())) {
        mu_fail (&why, MU_UNAVAILABLE, "out of memory");
        goto error;
    }
    muster->timeout_ms = TIMEOUT_MS;
    if (getrandom (&muster->request, 6, 0) != 6) {
        mu_fail_errno (&why, MU_SYSTEM, errno, "no random numbers");
        goto error;
    }
    if (muster->count == 1 && connect_socket (muster, &why))
        goto error;
    return 0;
error:
    muster_close (muster_p);
    return fail (error, &why);
}

int muster_open (struct muster **muster, const char *coordinator, struct muster_error *error)
{
    return muster_open_any (muster, &coordinator, coordinator && *coordinator, error);
}

void muster_close (struct muster **muster_p)
{
    struct muster *muster = *muster_p;
    if (!muster)
        return;
    if (muster->socket)
        zmq_close (muster->socket);
    if (muster->context)
        zmq_ctx_term (muster->context);
    for (size_t i = 0; i < muster->count; i++)
        free (muster->coordinators[i]);
    free (muster->coordinators);
    free (muster);
    *muster_p = NULL;
}

void muster_set_timeout (struct muster *muster, uint32_t milliseconds)
{
    muster->timeout_ms = milliseconds;
}

const char *muster_coordinator (const struct muster *muster)
{
    return muster->coordinators[muster->chosen];
}

int muster_exit_status (const struct muster_error *error) { return mu_code_exit (error->code); }

void muster_answer_free (struct muster_answer **answer_p)
{
    struct muster_answer *answer = *answer_p;
    if (!answer)
        return;
    zmq_msg_close (&answer->frame);
    msgpack_zone_destroy (&answer->zone);
    free (answer);
    *answer_p = NULL;
}

/* --- one request, one answer ------------------------------------------------------------------ */

/* Every message between client and coordinator begins with its request number. */
static uint64_t *request_number (struct mu_wire *wire)
{
    const struct mu_shape *shape = mu_shape_find (&mu_wire_family, wire->type);
    uint8_t *body = (uint8_t *)wire + mu_wire_family.body_offset;
    return (uint64_t *)(void *)(body + shape->fields[0].offset);
}

static struct muster_answer *answer_create (void)
{
    struct muster_answer *answer = calloc (1, sizeof *answer);
    if (answer && !msgpack_zone_init (&answer->zone, 4096)) {
        free (answer);
        return NULL;
    }
    if (answer)
        zmq_msg_init (&answer->frame);
    return answer;
}

/* 1: the answer to our request is in; 0: something else came, or nothing; -1: it is broken. */
static int take (struct muster *muster, struct muster_answer *answer, struct mu_error *why)
{
    if (zmq_msg_recv (&answer->frame, muster->socket, ZMQ_DONTWAIT) < 0)
        return 0;
    msgpack_zone_clear (&answer->zone);
    if (mu_record_decode (&mu_wire_family, &answer->wire, zmq_msg_data (&answer->frame),
                          zmq_msg_size (&answer->frame), 1u << MU_ROLE_COORDINATOR, &answer->zone,
                          why))
        return -1;
    uint64_t request = *request_number (&answer->wire);
    bool ours = request == muster->request || (!request && answer->wire.type == MU_WIRE_REFUSED);
    return ours ? 1 : 0;
}

static int nobody_answers (struct muster *muster, struct mu_error *why)
{
    const char *coordinator = muster_coordinator (muster);
    if (mu_resolve (coordinator, MU_RESOLVE_MS, why)) /* it did when we connected */
        return -1;
    if (muster->count == 1 && connect_stands (muster->context, coordinator, STANDS_MS))
        return mu_fail (why, MU_UNAVAILABLE,
                        "the coordinator at %s has not answered within %u ms, though it is there: "
                        "its disk may be slow or hang (its log may say more). It may yet do what "
                        "was asked: look before you ask again",
                        coordinator, muster->timeout_ms);
    return mu_fail (why, MU_UNAVAILABLE,
                    "no coordinator answers at %s within %u ms: is it running? start one "
                    "with `muster up`, or name another with --coordinator or "
                    "MUSTER_COORDINATOR",
                    coordinator, muster->timeout_ms);
}

static int wait_for_answer (struct muster *muster, const msgpack_sbuffer *bytes,
                            struct muster_answer *answer, uint64_t end_ms, struct mu_error *why)
{
    uint64_t repeat_at = mu_now_ms ();
    for (;;) {
        uint64_t now = mu_now_ms ();
        if (now >= end_ms)
            return nobody_answers (muster, why);
        if (now >= repeat_at) {
            zmq_send (muster->socket, bytes->data, bytes->size, ZMQ_DONTWAIT);
            repeat_at = now + REPEAT_MS;
        }
        zmq_pollitem_t item = { muster->socket, 0, ZMQ_POLLIN, 0 };
        uint64_t until = end_ms < repeat_at ? end_ms : repeat_at;
        if (zmq_poll (&item, 1, (long)(until - now)) < 0 && zmq_errno () == EINTR)
            return mu_fail (why, MU_TRY_AGAIN, "interrupted");
        int got = item.revents ? take (muster, answer, why) : 0;
        if (got)
            return got < 0 ? -1 : 0;
    }
}

static int read_refusal (const struct mu_wire *wire, struct mu_error *why)
{
    const struct mu_wire_refused *refused = &wire->refused;
    if (wire->type != MU_WIRE_REFUSED)
        return 0;
    return mu_fail (why, (enum mu_code)refused->code, "%.*s", (int)refused->text.size,
                    refused->text.size ? (const char *)refused->text.data : "");
}

/* Where there are several coordinators, one that is silent may be dead, and one that does not reign
 * may be about to, or know who does: they are asked again which of them it is, as long as there is
 * time. Every request can be said twice. What one has said then counts more than the others' silence. */
static int ask_someone (struct muster *muster, const msgpack_sbuffer *bytes,
                        struct muster_answer *answer, struct mu_error *why)
{
    uint64_t end_ms = mu_now_ms () + muster->timeout_ms;
    struct mu_error said = { .code = MU_OK };
    for (;;) {
        int rc = connect_socket (muster, why);
        uint64_t limit_ms = muster->count > 1 ? mu_now_ms () + PATIENCE_MS : end_ms;
        if (!rc)
            rc = wait_for_answer (muster, bytes, answer, limit_ms < end_ms ? limit_ms : end_ms, why);
        if (!rc)
            rc = read_refusal (&answer->wire, why);
        bool elsewhere = rc && (why->code == MU_UNAVAILABLE || why->code == MU_NOT_LEADER);
        if (!elsewhere || muster->count == 1)
            return rc;
        if (muster->socket)
            zmq_close (muster->socket);
        muster->socket = NULL;
        if (why->code == MU_NOT_LEADER)
            said = *why;
        if (mu_now_ms () + PAUSE_MS >= end_ms) {
            *why = said.code ? said : *why;
            return rc;
        }
        zmq_poll (NULL, 0, PAUSE_MS);
    }
}

/* Send `wire` and wait for an answer of type `wanted`; REFUSED becomes *error. */
static int ask (struct muster *muster, struct mu_wire *wire, enum mu_wire_type wanted,
                struct muster_answer **answer_p, struct muster_error *error)
{
    struct mu_error why;
    struct muster_answer *answer = answer_create ();
    if (!answer) {
        mu_fail (&why, MU_UNAVAILABLE, "out of memory");
        return fail (error, &why);
    }
    *request_number (wire) = ++muster->request;
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init (&bytes);
    int rc = mu_record_encode (&mu_wire_family, wire, &bytes, &why);
    if (rc && why.code == MU_PROTOCOL) /* nobody else has spoken yet: it is what the caller gave */
        why.code = MU_USAGE;
    if (!rc)
        rc = ask_someone (muster, &bytes, answer, &why);
    msgpack_sbuffer_destroy (&bytes);
    if (!rc && answer->wire.type != wanted)
        rc = mu_fail (&why, MU_PROTOCOL, "the coordinator answers with %s",
                      mu_record_name (&mu_wire_family, answer->wire.type));
    if (rc) {
        muster_answer_free (&answer);
        return fail (error, &why);
    }
    *answer_p = answer;
    return 0;
}

/* A text that must fit its field on the wire. */
static int set_text (char *field, size_t size, const char *what, const char *text,
                     struct muster_error *error)
{
    struct mu_error why;
    if (!text)
        text = "";
    if (strlen (text) >= size) {
        mu_fail (&why, MU_USAGE,
                 "the %s \"%.24s...\" is longer than %zu bytes, the most that there can be", what,
                 text, size - 1);
        mu_text_mend (why.text); /* cut inside a character */
        return fail (error, &why);
    }
    if (!mu_text_valid (text, strlen (text))) {
        mu_fail (&why, MU_USAGE, "the %s is not UTF-8", what);
        return fail (error, &why);
    }
    memcpy (field, text, strlen (text) + 1);
    return 0;
}

/* The same of one that must be there. */
static int need_text (char *field, size_t size, const char *what, const char *text,
                      struct muster_error *error)
{
    struct mu_error why;
    if (text && *text)
        return set_text (field, size, what, text, error);
    mu_fail (&why, MU_USAGE, "no %s is named", what);
    return fail (error, &why);
}

/* --- the requests ----------------------------------------------------------------------------- */

static void make_key (char *key, size_t size)
{
    uint64_t random[2] = { 0 };
    if (getrandom (random, sizeof random, 0) != sizeof random)
        random[0] = mu_now_ms ();
    snprintf (key, size, "%016llx%016llx", (unsigned long long)random[0],
              (unsigned long long)random[1]);
}

int muster_submit (struct muster *muster, const char *spec, size_t size, const char *key,
                   uint64_t *job, bool *repeated, struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_SUBMIT };
    struct muster_answer *answer;
    if (size > SPEC_MAX) {
        struct mu_error why;
        mu_fail (&why, MU_BAD_INPUT, "the job file has %zu bytes; it may have %u", size, SPEC_MAX);
        return fail (error, &why);
    }
    if (!mu_text_valid (spec, size)) {
        struct mu_error why;
        mu_fail (&why, MU_BAD_INPUT, "the job file is not UTF-8");
        return fail (error, &why);
    }
    wire.submit.spec = (struct mu_blob){ spec, (uint32_t)size };
    if (key && need_text (wire.submit.key, sizeof wire.submit.key, "key", key, error))
        return -1;
    if (!key)
        make_key (wire.submit.key, sizeof wire.submit.key);
    if (ask (muster, &wire, MU_WIRE_SUBMITTED, &answer, error))
        return -1;
    *job = answer->wire.submitted.job;
    if (repeated)
        *repeated = answer->wire.submitted.repeated;
    muster_answer_free (&answer);
    return 0;
}

static int ask_plain (struct muster *muster, struct mu_wire *wire, struct muster_error *error)
{
    struct muster_answer *answer;
    if (ask (muster, wire, MU_WIRE_ACCEPTED, &answer, error))
        return -1;
    muster_answer_free (&answer);
    return 0;
}

int muster_control (struct muster *muster, const char *job, enum muster_verb verb,
                    struct muster_error *error)
{
    bool forgo = verb == MUSTER_FORGO_CHECKPOINT;
    struct mu_wire wire = { .type = MU_WIRE_CONTROL,
                            .control = { .verb = forgo ? MUSTER_RESUME : verb, .forgo = forgo } };
    if (need_text (wire.control.job, sizeof wire.control.job, "job", job, error))
        return -1;
    return ask_plain (muster, &wire, error);
}

int muster_scale (struct muster *muster, const char *job, uint32_t workers,
                  struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_SCALE, .scale.workers = workers };
    if (need_text (wire.scale.job, sizeof wire.scale.job, "job", job, error))
        return -1;
    return ask_plain (muster, &wire, error);
}

int muster_drain (struct muster *muster, const char *worker, bool undo, struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_DRAIN, .drain.undo = undo };
    if (need_text (wire.drain.worker, sizeof wire.drain.worker, "worker", worker, error))
        return -1;
    return ask_plain (muster, &wire, error);
}

int muster_fault (struct muster *muster, const struct muster_fault *fault,
                  struct muster_answer **answer, struct muster_text *text,
                  struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_FAULT,
                            .fault = { .kind = (uint32_t)fault->kind,
                                       .process = (uint32_t)fault->process,
                                       .milliseconds = fault->milliseconds,
                                       .factor = fault->factor,
                                       .percent = fault->percent,
                                       .what = (uint32_t)fault->what,
                                       .direction = (uint32_t)fault->direction,
                                       .peers = fault->peers } };
    if (set_text (wire.fault.worker, sizeof wire.fault.worker, "worker", fault->worker, error) ||
        ask (muster, &wire, MU_WIRE_ACCEPTED, answer, error))
        return -1;
    const struct mu_blob *said = &(*answer)->wire.accepted.text;
    *text = (struct muster_text){ said->data, said->size };
    return 0;
}

int muster_jobs (struct muster *muster, const char *job, struct muster_answer **answer,
                 const struct muster_job_info **jobs, size_t *count, struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_JOBS };
    if (set_text (wire.jobs.job, sizeof wire.jobs.job, "job", job, error) ||
        ask (muster, &wire, MU_WIRE_JOB_LIST, answer, error))
        return -1;
    *jobs = (const void *)(*answer)->wire.job_list.jobs.items;
    *count = (*answer)->wire.job_list.jobs.count;
    if (*count || !*wire.jobs.job)
        return 0;
    struct mu_error why;
    mu_fail (&why, MU_NOT_FOUND, "there is no job %s", wire.jobs.job);
    muster_answer_free (answer);
    return fail (error, &why);
}

int muster_workers (struct muster *muster, struct muster_answer **answer,
                    const struct muster_worker_info **workers, size_t *count,
                    struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_WORKERS };
    if (ask (muster, &wire, MU_WIRE_WORKER_LIST, answer, error))
        return -1;
    *workers = (const void *)(*answer)->wire.worker_list.workers.items;
    *count = (*answer)->wire.worker_list.workers.count;
    return 0;
}

int muster_checkpoints (struct muster *muster, const char *job, struct muster_answer **answer,
                        const struct muster_checkpoint_info **checkpoints, size_t *count,
                        struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_CHECKPOINTS };
    if (need_text (wire.checkpoints.job, sizeof wire.checkpoints.job, "job", job, error) ||
        ask (muster, &wire, MU_WIRE_CHECKPOINT_LIST, answer, error))
        return -1;
    *checkpoints = (const void *)(*answer)->wire.checkpoint_list.checkpoints.items;
    *count = (*answer)->wire.checkpoint_list.checkpoints.count;
    return 0;
}

int muster_events (struct muster *muster, const char *job, uint64_t after, uint32_t limit,
                   struct muster_answer **answer, const struct muster_event_info **events,
                   size_t *count, struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_EVENTS, .events = { .after = after, .limit = limit } };
    if (set_text (wire.events.job, sizeof wire.events.job, "job", job, error) ||
        ask (muster, &wire, MU_WIRE_EVENT_LIST, answer, error))
        return -1;
    *events = (const void *)(*answer)->wire.event_list.events.items;
    *count = (*answer)->wire.event_list.events.count;
    return 0;
}

int muster_records (struct muster *muster, const char *job, uint64_t after, uint32_t limit,
                    struct muster_answer **answer, const struct muster_record_info **records,
                    size_t *count, struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_RECORDS,
                            .records = { .after = after, .limit = limit } };
    if (need_text (wire.records.job, sizeof wire.records.job, "job", job, error) ||
        ask (muster, &wire, MU_WIRE_RECORD_LIST, answer, error))
        return -1;
    *records = (const void *)(*answer)->wire.record_list.records.items;
    *count = (*answer)->wire.record_list.records.count;
    return 0;
}

int muster_shards (struct muster *muster, const char *job, struct muster_answer **answer,
                   struct muster_shards *shards, struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_SHARDS };
    if (need_text (wire.shards.job, sizeof wire.shards.job, "job", job, error) ||
        ask (muster, &wire, MU_WIRE_SHARD_LIST, answer, error))
        return -1;
    const struct mu_wire_shard_list *list = &(*answer)->wire.shard_list;
    *shards = (struct muster_shards){
        .shards = list->shards,
        .trained = list->trained,
        .leased = list->leased,
        .skipped = list->skipped,
        .window_steps = list->window_steps,
        .micro_batches = list->micro_batches,
        .windows = (const void *)list->windows.items,
        .window_count = list->windows.count,
    };
    return 0;
}

int muster_logs (struct muster *muster, const char *job, uint64_t offset,
                 struct muster_answer **answer, struct muster_text *text, uint64_t *next,
                 struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_LOGS,
                            .logs = { .offset = offset, .limit = LOG_BYTES } };
    if (need_text (wire.logs.job, sizeof wire.logs.job, "job", job, error) ||
        ask (muster, &wire, MU_WIRE_LOG_TEXT, answer, error))
        return -1;
    const struct mu_wire_log_text *log = &(*answer)->wire.log_text;
    *text = (struct muster_text){ log->text.data, log->text.size };
    *next = log->next;
    return 0;
}

int muster_metrics (struct muster *muster, struct muster_answer **answer,
                    const struct muster_metric_info **metrics, size_t *count,
                    struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_METRICS };
    if (ask (muster, &wire, MU_WIRE_METRIC_LIST, answer, error))
        return -1;
    *metrics = (const void *)(*answer)->wire.metric_list.metrics.items;
    *count = (*answer)->wire.metric_list.metrics.count;
    return 0;
}

int muster_ping (struct muster *muster, struct muster_pong *pong, struct muster_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_PING };
    struct muster_answer *answer;
    if (ask (muster, &wire, MU_WIRE_PONG, &answer, error))
        return -1;
    const struct mu_wire_pong *from = &answer->wire.pong;
    *pong = (struct muster_pong){
        .term = from->term,
        .uptime_ms = from->uptime_ms,
        .commits = from->commits,
        .records = from->records,
        .jobs = from->jobs,
        .workers = from->workers,
        .follows = from->follows,
        .in_sync = from->in_sync,
        .ahead_ms = from->ahead_ms,
        .behind = from->behind,
    };
    memcpy (pong->version, from->version, sizeof pong->version);
    muster_answer_free (&answer);
    return 0;
}
