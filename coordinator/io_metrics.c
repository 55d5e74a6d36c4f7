/* SPDX-License-Identifier: Apache-2.0 */
/* io_metrics.c - a growing list of name, label, value; nothing is kept between two questions */
#include "io_metrics.h"

#include "grow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    struct mu_wire_metric_info *item;
    uint32_t count, capacity;
};

static void add (struct list *list, enum mu_metric metric, const char *label, double value)
{
    list->item = core_grow (list->item, list->count, &list->capacity, sizeof *list->item);
    struct mu_wire_metric_info *item = &list->item[list->count++];
    memset (item, 0, sizeof *item);
    mu_text_set (item->metric, sizeof item->metric, mu_metric_info[metric].name);
    mu_text_set (item->label, sizeof item->label, label);
    item->value = value;
}

static void add_process (struct list *list, const struct metrics_sources *from)
{
    add (list, MU_METRIC_TERM, "", (double)coord_term (from->coord));
    add (list, MU_METRIC_UPTIME_SECONDS, "", (double)from->uptime_ms / 1000);
    add (list, MU_METRIC_JOURNAL_RECORDS, "", (double)store_newest (from->store));
    add (list, MU_METRIC_COMMITS_TOTAL, "", (double)committer_commits (from->committer));
    add (list, MU_METRIC_STORE_STUCK, "", from->stuck);
    add (list, MU_METRIC_MESSAGES_RECEIVED_TOTAL, "", (double)from->counts->received);
    add (list, MU_METRIC_MESSAGES_SENT_TOTAL, "", (double)from->counts->sent);
    add (list, MU_METRIC_MESSAGES_BAD_TOTAL, "", (double)from->counts->bad);
    add (list, MU_METRIC_MESSAGES_DROPPED_TOTAL, "", (double)sockets_dropped (from->sockets));
    add (list, MU_METRIC_WORKERS, "", coord_worker_count (from->coord));
}

static void add_standbys (struct list *list, const struct lead *lead)
{
    add (list, MU_METRIC_STANDBYS_IN_SYNC, "", lead_in_sync (lead));
    add (list, MU_METRIC_STANDBYS_BEHIND_RECORDS, "", (double)lead_behind (lead));
    add (list, MU_METRIC_ANSWERS_AHEAD_SECONDS, "", lead_ahead_ms (lead) / 1e3);
}

static void add_states (struct list *list, const struct coord *coord)
{
    uint32_t count[MU_JOB_STATES] = { 0 };
    struct mu_wire_job_info job;
    for (uint64_t number = 0; (number = coord_job_next (coord, number));)
        for (int state = 0; !coord_job_info (coord, number, &job) && state < MU_JOB_STATES; state++)
            if (!strcmp (job.state, mu_job_state_name (state)))
                count[state]++;
    for (int state = 0; state < MU_JOB_STATES; state++)
        add (list, MU_METRIC_JOBS, mu_job_state_name (state), count[state]);
}

static double job_value (enum mu_metric metric, const struct mu_wire_job_info *job)
{
    const double values[MU_METRICS] = {
        [MU_METRIC_JOB_STEP] = (double)job->step,
        [MU_METRIC_JOB_STEPS] = (double)job->steps,
        [MU_METRIC_JOB_LOSS] = job->loss,
        [MU_METRIC_JOB_TOKENS_PER_SECOND] = job->tokens_per_second,
        [MU_METRIC_JOB_WORKERS] = job->workers,
        [MU_METRIC_JOB_GENERATION] = (double)job->generation,
        [MU_METRIC_JOB_RESTARTS_TOTAL] = job->restarts,
        [MU_METRIC_JOB_CHECKPOINT_STEP] = (double)job->weights_step,
        [MU_METRIC_JOB_CHECKPOINT_TIME_SECONDS] = (double)job->weights_ms / 1000,
        [MU_METRIC_JOB_CHECKPOINT_OVERDUE] = job->overdue,
        [MU_METRIC_JOB_STEPS_AT_RISK] =
            job->step > job->weights_step ? (double)(job->step - job->weights_step) : 0,
    };
    return values[metric];
}

/* Metrics by job, of the jobs that have not ended: the number of series stays bounded. */
static void add_jobs (struct list *list, const struct coord *coord)
{
    struct mu_wire_job_info job;
    char label[32];
    for (int metric = 0; metric < MU_METRICS; metric++) {
        const char *by = mu_metric_info[metric].label;
        if (!by || strcmp (by, "job"))
            continue;
        for (uint64_t number = 0; (number = coord_job_next (coord, number));) {
            if (coord_job_info (coord, number, &job) || job.ended_ms)
                continue;
            snprintf (label, sizeof label, "%" PRIu64, number);
            add (list, (enum mu_metric)metric, label, job_value ((enum mu_metric)metric, &job));
        }
    }
}

void metrics_answer (const struct metrics_sources *sources, struct turn *turn, uint32_t peer,
                     uint64_t request)
{
    struct list list = { 0 };
    add_process (&list, sources);
    if (sources->lead)
        add_standbys (&list, sources->lead);
    add_states (&list, sources->coord);
    add_jobs (&list, sources->coord);
    struct mu_wire answer = { .type = MU_WIRE_METRIC_LIST, .term = coord_term (sources->coord) };
    answer.metric_list.request = request;
    answer.metric_list.metrics.items = list.item;
    answer.metric_list.metrics.count = list.count;
    turn_say (turn, peer, &answer);
    free (list.item);
}
