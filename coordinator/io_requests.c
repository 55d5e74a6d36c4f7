/* SPDX-License-Identifier: Apache-2.0 */
/* io_requests.c - small reads that are answered at once; nothing here changes a job */
#include "io_requests.h"

#include "io_announce.h"
#include "io_faults.h"
#include "jobspec.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_BYTES_MAX (4u << 20) /* in one answer, and the record that goes beyond it */
#define EVENT_BYTES_MAX  65536u     /* EVENT_INFO.text */

uint64_t requests_number (const struct mu_wire *wire)
{
    uint64_t request = 0;
    const struct mu_shape *shape = mu_shape_find (&mu_wire_family, wire->type);
    if (shape->sender == MU_ROLE_CLIENT)
        memcpy (&request,
                (const uint8_t *)wire + mu_wire_family.body_offset + shape->fields[0].offset,
                sizeof request);
    return request;
}

void requests_refuse (struct turn *turn, uint32_t peer, uint64_t term, uint64_t request,
                      const struct mu_error *error)
{
    struct mu_wire answer = { .type = MU_WIRE_REFUSED, .term = term };
    answer.refused = (struct mu_wire_refused){
        .request = request,
        .code = (uint32_t)error->code,
        .text = { error->text, (uint32_t)strlen (error->text) },
    };
    turn_say (turn, peer, &answer);
}

/* The job a request means, or 0 after saying REFUSED. */
static uint64_t named_job (const struct requests *requests, struct turn *turn, uint32_t peer,
                           uint64_t request, const char *name)
{
    uint64_t job = coord_job_find (requests->coord, name);
    if (!job) {
        struct mu_error error = { .code = MU_NOT_FOUND };
        coord_job_missing (requests->coord, name, error.text, sizeof error.text);
        requests_refuse (turn, peer, coord_term (requests->coord), request, &error);
    }
    return job;
}

static void pong (const struct requests *requests, struct turn *turn, uint32_t peer,
                  const struct mu_wire *wire, uint64_t now_ms)
{
    struct mu_wire answer = { .type = MU_WIRE_PONG, .term = coord_term (requests->coord) };
    answer.pong = (struct mu_wire_pong){
        .request = wire->ping.request,
        .term = coord_term (requests->coord),
        .uptime_ms = now_ms - requests->started_ms,
        .jobs = coord_jobs_known (requests->coord),
        .workers = coord_worker_count (requests->coord),
        .commits = committer_commits (requests->committer),
        .records = store_newest (requests->store),
        .follows = requests->follows,
    };
    if (requests->lead) {
        answer.pong.in_sync = lead_in_sync (requests->lead);
        answer.pong.ahead_ms = lead_ahead_ms (requests->lead);
        answer.pong.behind = lead_behind (requests->lead);
    }
    mu_text_set (answer.pong.version, sizeof answer.pong.version, requests->version);
    turn_say (turn, peer, &answer);
}

/* Lines lie where they were told: one that follows has those of when it reigned. False: it has none. */
static bool logs (const struct requests *requests, struct turn *turn, uint32_t peer,
                  const struct mu_wire *wire)
{
    uint64_t job = named_job (requests, turn, peer, wire->logs.request, wire->logs.job);
    if (!job)
        return true;
    char *text = malloc (wire->logs.limit);
    if (!text)
        abort ();
    struct mu_wire answer = { .type = MU_WIRE_LOG_TEXT, .term = coord_term (requests->coord) };
    answer.log_text.request = wire->logs.request;
    size_t size = job_logs_read (requests->logs, job, wire->logs.offset, text, wire->logs.limit,
                                 &answer.log_text.next);
    answer.log_text.text = (struct mu_blob){ text, (uint32_t)size };
    const bool knows = !requests->follows || size || wire->logs.offset;
    if (knows)
        turn_say (turn, peer, &answer);
    free (text);
    return knows;
}

/* A line of a job that there is, and one line: a log is read line by line. */
static void take_log (const struct requests *requests, const struct mu_wire_log *log)
{
    struct mu_wire_job_info info;
    const struct mu_blob *line = &log->line;
    if (line->size && !memchr (line->data, '\n', line->size) &&
        !coord_job_info (requests->coord, log->job, &info))
        job_logs_add (requests->logs, log->job, line->data, line->size);
}

static void metrics (const struct requests *requests, struct turn *turn, uint32_t peer,
                     const struct mu_wire *wire, uint64_t now_ms)
{
    struct metrics_sources sources = {
        .coord = requests->coord,
        .store = requests->store,
        .sockets = requests->sockets,
        .committer = requests->committer,
        .counts = requests->counts,
        .lead = requests->lead,
        .stuck = requests->committer ? committer_is_stuck (requests->committer) : requests->stuck,
        .uptime_ms = now_ms - requests->started_ms,
    };
    metrics_answer (&sources, turn, peer, wire->metrics.request);
}

/* --- events ----------------------------------------------------------------------------------- */

struct gathering {
    struct mu_wire_event_info *item;
    uint32_t count;
    size_t bytes;
};

static json_t *event_json (const struct mu_journal *record)
{
    const struct mu_shape *shape = mu_shape_find (&mu_journal_family, record->type);
    json_t *object =
        mu_shape_to_json (shape, (const uint8_t *)record + mu_journal_family.body_offset);
    char sentence[1024];
    announce_text (record, sentence, sizeof sentence);
    json_object_del (object, "spec");
    json_object_set_new (object, "event", json_string (shape->name));
    json_object_set_new (object, "text", json_string (sentence));
    return object;
}

static int gather (void *arg, uint64_t number, uint64_t unix_ms, uint64_t job,
                   const struct mu_journal *record)
{
    struct gathering *gathering = arg;
    json_t *object = event_json (record);
    char *text = json_dumps (object, JSON_COMPACT);
    if (text &&
        strlen (text) > EVENT_BYTES_MAX) { /* a generation of many: the sentence is enough */
        free (text);
        json_object_del (object, "members");
        text = json_dumps (object, JSON_COMPACT);
    }
    json_decref (object);
    if (!text)
        abort ();
    size_t size = strlen (text);
    gathering->item[gathering->count++] = (struct mu_wire_event_info){
        .number = number, .time_ms = unix_ms, .job = job, .text = { text, (uint32_t)size }
    };
    gathering->bytes += size;
    return gathering->bytes > EVENTS_BYTES_MAX ? 1 : 0;
}
static void events (const struct requests *requests, struct turn *turn, uint32_t peer,
                    const struct mu_wire *wire)
{
    uint64_t job = 0;
    const struct mu_wire_events *asked = &wire->events;
    if (*asked->job && !(job = named_job (requests, turn, peer, asked->request, asked->job)))
        return;
    struct gathering gathering = { .item = calloc (asked->limit, sizeof *gathering.item) };
    if (!gathering.item)
        abort ();
    struct mu_error error;
    int rc =
        store_read (requests->store, asked->after, job, asked->limit, gather, &gathering, &error);
    struct mu_wire answer = { .type = MU_WIRE_EVENT_LIST, .term = coord_term (requests->coord) };
    answer.event_list.request = asked->request;
    answer.event_list.events.items = gathering.item;
    answer.event_list.events.count = gathering.count;
    answer.event_list.newest = store_newest (requests->store);
    if (rc < 0)
        requests_refuse (turn, peer, answer.term, asked->request, &error);
    else
        turn_say (turn, peer, &answer);
    for (uint32_t i = 0; i < gathering.count; i++)
        free ((void *)(uintptr_t)gathering.item[i].text.data);
    free (gathering.item);
}

/* --- the journal as it is, for who checks it -------------------------------------------------- */

struct copying {
    struct mu_wire_record_info *item;
    uint32_t count;
    size_t bytes;
};

static int copy_row (void *arg, const struct store_row *row)
{
    struct copying *copying = arg;
    void *body = malloc (row->size ? row->size : 1);
    if (!body)
        abort ();
    if (row->size)
        memcpy (body, row->body, row->size);
    struct mu_wire_record_info *item = &copying->item[copying->count++];
    *item = (struct mu_wire_record_info){ .number = row->number, .body = { body, row->size } };
    if (row->set_aside)
        mu_text_set (item->set_aside, sizeof item->set_aside,
                     *row->set_aside ? row->set_aside : "nobody knows why");
    copying->bytes += row->size;
    return copying->bytes > EVENTS_BYTES_MAX ? 1 : 0;
}

static void records (const struct requests *requests, struct turn *turn, uint32_t peer,
                     const struct mu_wire *wire)
{
    const struct mu_wire_records *asked = &wire->records;
    uint64_t job = named_job (requests, turn, peer, asked->request, asked->job);
    if (!job)
        return;
    struct copying copying = { .item = calloc (asked->limit, sizeof *copying.item) };
    if (!copying.item)
        abort ();
    struct mu_error error;
    struct mu_wire answer = { .type = MU_WIRE_RECORD_LIST, .term = coord_term (requests->coord) };
    answer.record_list.newest = store_newest (requests->store);
    int rc = store_read_rows (requests->store, asked->after, job, asked->limit, copy_row, &copying,
                              &error);
    answer.record_list.request = asked->request;
    answer.record_list.records.items = copying.item;
    answer.record_list.records.count = copying.count;
    if (rc < 0)
        requests_refuse (turn, peer, answer.term, asked->request, &error);
    else
        turn_say (turn, peer, &answer);
    for (uint32_t i = 0; i < copying.count; i++)
        free ((void *)(uintptr_t)copying.item[i].body.data);
    free (copying.item);
}

bool requests_answer (const struct requests *requests, struct turn *turn, uint32_t peer,
                      const struct mu_wire *wire, uint64_t now_ms)
{
    if (wire->type == MU_WIRE_PING)
        pong (requests, turn, peer, wire, now_ms);
    else if (wire->type == MU_WIRE_LOGS)
        return logs (requests, turn, peer, wire);
    else if (wire->type == MU_WIRE_EVENTS)
        events (requests, turn, peer, wire);
    else if (wire->type == MU_WIRE_RECORDS)
        records (requests, turn, peer, wire);
    else if (wire->type == MU_WIRE_METRICS)
        metrics (requests, turn, peer, wire, now_ms);
    else if (wire->type == MU_WIRE_LOG)
        take_log (requests, &wire->log);
    else
        return faults_answer (requests, turn, peer, wire);
    return true;
}

/* --- submit ----------------------------------------------------------------------------------- */

int requests_read_submit (const struct mu_wire *wire, struct mu_journal_submit *submit,
                          struct mu_error *error)
{
    struct mu_jobspec spec = { 0 };
    static struct mu_jobspec_problems problems; /* large; the loop's thread alone comes here */
    const struct mu_blob *text = &wire->submit.spec;
    int rc = mu_jobspec_from_json (text->size ? text->data : "", text->size, &spec, &problems);
    if (rc) {
        mu_jobspec_problems_fail (&problems, error);
    } else {
        *submit = (struct mu_journal_submit){
            .spec = *text,
            .priority = spec.priority,
            .workers_min = (uint32_t)spec.workers.min,
            .workers_max = (uint32_t)spec.workers.max,
            .micro_batches = mu_jobspec_micro_batches (&spec),
            .global_batch = (uint32_t)spec.batch.global,
            .window_steps = (uint32_t)spec.window,
            .audited = spec.audit_every && spec.exact,
            .keep = (uint32_t)spec.checkpoint.keep,
            .steps = spec.steps,
            .epochs = (double)spec.epochs,
            .portable = spec.bits == MU_JOBSPEC_BITS_PORTABLE,
            .mixed = !spec.exact,
            .poison_limit = spec.poison == MU_JOBSPEC_POISON_SKIP ? (uint32_t)spec.poison_limit : 0,
        };
        mu_text_set (submit->key, sizeof submit->key, wire->submit.key);
        mu_text_set (submit->name, sizeof submit->name, spec.name);
    }
    mu_jobspec_clear (&spec);
    return rc;
}
