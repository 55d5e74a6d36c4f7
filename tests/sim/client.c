/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - people: they submit, cancel, pause, resume and drain, and ask again until answered
 *
 * Each request is a client of its own, so an answer needs no matching. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define REQUESTS_MAX 32768u
#define AGAIN_MS     700u

struct request {
    struct mu_wire wire;
    char spec[64];
    bool answered;
};

static struct sim_job *jobs; /* in the order they were asked for */
static uint32_t job_count, job_capacity;
static struct request *requests;
static uint32_t request_count;

void client_reset (void)
{
    free (jobs);
    free (requests);
    jobs = NULL;
    job_count = job_capacity = request_count = 0;
    requests = calloc (REQUESTS_MAX, sizeof *requests);
    if (!requests)
        abort ();
}

uint32_t client_job_count (void) { return job_count; }
const struct sim_job *client_job_at (uint32_t at) { return &jobs[at]; }

/* The spec says which job it is; its number is known to workers before the client hears it. */
const struct sim_job *client_job (uint64_t number)
{
    for (uint32_t i = 0; i < job_count; i++)
        if (jobs[i].number == number)
            return &jobs[i];
    return NULL;
}

void client_fill_submit (uint32_t at, struct mu_journal_submit *submit)
{
    const struct sim_job *job = &jobs[at];
    static char spec[64];
    int size = snprintf (spec, sizeof spec, "{\"at\": %u}", at);
    *submit = (struct mu_journal_submit){ .spec = { spec, (uint32_t)size },
                                          .priority = job->priority,
                                          .workers_min = job->workers_min,
                                          .workers_max = job->workers_max,
                                          .micro_batches = job->micro_batches,
                                          .global_batch = job->global_batch,
                                          .window_steps = job->window_steps,
                                          .steps = job->steps,
                                          .epochs = job->epochs,
                                          .portable = job->portable,
                                          .mixed = job->mixed,
                                          .poison_limit = job->poison_limit,
                                          .audited = true,
                                          .keep = (uint32_t)(mix (options.seed, at) % 4) };
    snprintf (submit->name, sizeof submit->name, "job-%s", job->key);
}

static void ask (uint32_t client, uint64_t tag, void *data)
{
    struct request *request = &requests[client];
    (void)tag, (void)data;
    if (request->answered)
        return;
    network_from_client (client, &request->wire);
    clock_after (AGAIN_MS, ask, client, 0, NULL);
}

static struct mu_wire *add (enum mu_wire_type type)
{
    CHECK (request_count < REQUESTS_MAX, "too many requests");
    struct request *request = &requests[request_count];
    request->wire = (struct mu_wire){ .type = type };
    clock_after (takes (0, 50), ask, request_count++, 0, NULL);
    return &request->wire;
}

void client_submit (const struct sim_job *job)
{
    if (job_count == job_capacity) {
        job_capacity = job_capacity ? 2 * job_capacity : 16;
        jobs = realloc (jobs, job_capacity * sizeof *jobs);
        if (!jobs)
            abort ();
    }
    jobs[job_count] = *job;
    snprintf (jobs[job_count].key, sizeof jobs[job_count].key, "%u", job_count);
    struct mu_wire *wire = add (MU_WIRE_SUBMIT);
    wire->submit.request = request_count;
    wire->submit.spec = (struct mu_blob){ "{}", 2 };
    snprintf (wire->submit.key, sizeof wire->submit.key, "%u", job_count);
    job_count++;
}

void client_control (uint64_t job, uint32_t verb)
{
    struct mu_wire *wire = add (MU_WIRE_CONTROL);
    wire->control.request = request_count;
    wire->control.verb = verb;
    snprintf (wire->control.job, sizeof wire->control.job, "%" PRIu64, job);
}

void client_scale (uint64_t job, uint32_t workers)
{
    struct mu_wire *wire = add (MU_WIRE_SCALE);
    wire->scale.request = request_count;
    wire->scale.workers = workers;
    snprintf (wire->scale.job, sizeof wire->scale.job, "%" PRIu64, job);
}

void client_drain (uint32_t worker, bool undo)
{
    struct mu_wire *wire = add (MU_WIRE_DRAIN);
    wire->drain.request = request_count;
    wire->drain.undo = undo;
    snprintf (wire->drain.worker, sizeof wire->drain.worker, "%s", worker_name (worker));
}

void client_hear (uint32_t client, const struct mu_wire *wire)
{
    struct request *request = &requests[client];
    uint32_t type = request->wire.type;
    bool fits = wire->type == MU_WIRE_REFUSED ||
                (type == MU_WIRE_SUBMIT && wire->type == MU_WIRE_SUBMITTED) ||
                (type == MU_WIRE_CONTROL && wire->type == MU_WIRE_ACCEPTED) ||
                (type == MU_WIRE_DRAIN && wire->type == MU_WIRE_ACCEPTED) ||
                (type == MU_WIRE_SCALE && wire->type == MU_WIRE_ACCEPTED) ||
                (type == MU_WIRE_JOBS && wire->type == MU_WIRE_JOB_LIST) ||
                (type == MU_WIRE_WORKERS && wire->type == MU_WIRE_WORKER_LIST) ||
                (type == MU_WIRE_SHARDS && wire->type == MU_WIRE_SHARD_LIST) ||
                (type == MU_WIRE_CHECKPOINTS && wire->type == MU_WIRE_CHECKPOINT_LIST);
    CHECK (fits, "%s is answered with %s", mu_record_name (&mu_wire_family, type),
           mu_record_name (&mu_wire_family, wire->type));
    request->answered = true;
    if (type != MU_WIRE_SUBMIT)
        return;
    CHECK (wire->type == MU_WIRE_SUBMITTED, "a good job is refused: %.*s",
           (int)wire->refused.text.size, (const char *)wire->refused.text.data);
    struct sim_job *job = &jobs[strtoul (request->wire.submit.key, NULL, 10)];
    CHECK (!job->number || job->number == wire->submitted.job,
           "key %s made jobs %" PRIu64 " and %" PRIu64, job->key, job->number, wire->submitted.job);
    job->number = wire->submitted.job;
}

/* --- what people do all day ------------------------------------------------------------------- */

static void question (uint64_t job)
{
    static const enum mu_wire_type types[] = { MU_WIRE_JOBS, MU_WIRE_WORKERS, MU_WIRE_SHARDS,
                                               MU_WIRE_CHECKPOINTS };
    struct mu_wire *wire = add (types[draw (0, 3)]);
    wire->jobs.request = request_count;
    if (wire->type == MU_WIRE_SHARDS)
        snprintf (wire->shards.job, sizeof wire->shards.job, "%" PRIu64, job);
    if (wire->type == MU_WIRE_CHECKPOINTS)
        snprintf (wire->checkpoints.job, sizeof wire->checkpoints.job, "%" PRIu64, job);
}

static void act (uint32_t who, uint64_t tag, void *data)
{
    (void)who, (void)tag, (void)data;
    uint64_t job = draw (1, job_count);
    uint64_t what = draw (0, 12);
    if (what < 3)
        client_control (job, (uint32_t)draw (2, 3));
    else if (what == 3 && draw (0, 5) == 0)
        client_control (job, 1);
    else if (what < 7)
        client_drain ((uint32_t)draw (0, options.workers - 1), draw (0, 1) != 0);
    else if (what == 12)
        client_scale (job, (uint32_t)draw (1, options.workers));
    else if (what == 7)
        worker_stop ((uint32_t)draw (0, options.workers - 1));
    else
        question (job);
}

void client_random (uint64_t until_ms)
{
    uint64_t actions = draw (0, 1) ? draw (0, 25) : 0;
    for (uint64_t i = 0; i < actions && job_count; i++)
        clock_after (draw (1000, until_ms - clock_now ()), act, 0, 0, NULL);
}

void client_known (const char *key, uint64_t number)
{
    struct sim_job *job = &jobs[strtoul (key, NULL, 10)];
    CHECK (!job->number || job->number == number, "key %s makes two jobs", key);
    job->number = number;
}

/* Nobody waits for an answer any more, except for that of a submit. */
void client_give_up (void)
{
    for (uint32_t i = 0; i < request_count; i++)
        requests[i].answered = requests[i].answered || requests[i].wire.type != MU_WIRE_SUBMIT;
}

void client_settle (void)
{
    for (uint32_t i = 0; i < options.workers; i++)
        client_drain (i, true);
    for (uint32_t i = 0; i < job_count; i++)
        client_control (i + 1, 3);
}
