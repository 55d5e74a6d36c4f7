/* SPDX-License-Identifier: Apache-2.0 */
/* replay_state.c - jobs, generations and workers, as `muster jobs` and `muster workers` would show them */
#include "replay.h"

#include "output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct shown {
    struct player *player;
    const struct coord *coord;
    uint64_t only; /* the one job that was asked for; 0: all */
    const struct ending *ending;
};

static bool is_shown (const struct shown *shown, uint64_t job)
{
    return !shown->only || shown->only == job;
}

static uint32_t rank_count (const struct coord *coord, uint64_t job)
{
    uint32_t ranks = 0;
    while (coord_member (coord, job, ranks))
        ranks++;
    return ranks;
}

/* --- for people ------------------------------------------------------------------------------- */

static void print_head (const struct shown *shown)
{
    char time[32];
    const struct player *player = shown->player;
    printf ("event %" PRIu64 ", %s, %.3f s after the first; term %" PRIu64
            ", %u workers; recorded by Muster %s, behind %" PRIu64 " records of its journal\n",
            player_events (player), time_text (player_now_ms (player), time, sizeof time),
            ((double)player_now_ms (player) - (double)player_first_ms (player)) / 1000,
            coord_term (shown->coord), coord_worker_count (shown->coord),
            player_open (player)->version, player_applied (player));
    if (coord_deposed (shown->coord))
        puts ("this coordinator was deposed: a worker had heard of a later term");
}

static void print_job (struct table *table, const struct mu_wire_job_info *job)
{
    table_cell (table, "%" PRIu64, job->job);
    table_cell (table, "%s", job->name);
    table_cell (table, "%s", job->state);
    table_cell (table, "%" PRIu64, job->step);
    table_cell (table, "%" PRIu64, job->steps);
    table_cell (table, "%" PRIu64, job->generation);
    table_cell (table, "%u", job->workers);
    table_cell (table, "%u", job->restarts);
    table_cell (table, "%" PRIu64, job->weights_step);
    table_cell (table, "%.12s", *job->weights_hash ? job->weights_hash : "-");
    table_cell (table, "%.*s", (int)job->reason.size,
                job->reason.size ? (const char *)job->reason.data : "");
}

static void print_jobs (const struct shown *shown)
{
    struct table *table = table_create (">ID|NAME|STATE|>STEP|>STEPS|>GENERATION|>WORKERS|"
                                        ">RESTARTS|>SAVED|WEIGHTS|WHY");
    for (uint64_t number = 0; (number = coord_job_next (shown->coord, number));) {
        struct mu_wire_job_info job;
        if (is_shown (shown, number) && !coord_job_info (shown->coord, number, &job))
            print_job (table, &job);
    }
    table_print (&table);
}

static void print_generation (const struct shown *shown, uint64_t number)
{
    struct mu_wire_job_info job;
    uint32_t ranks = rank_count (shown->coord, number);
    if (!ranks || coord_job_info (shown->coord, number, &job))
        return;
    printf ("generation %" PRIu64 " of job %" PRIu64 ", by rank:", job.generation, number);
    for (uint32_t rank = 0; rank < ranks; rank++)
        printf (" %s", coord_member (shown->coord, number, rank));
    putchar ('\n');
}

static void print_worker (struct table *table, const struct mu_wire_worker_info *worker)
{
    table_cell (table, "%u", worker->worker);
    table_cell (table, "%s", worker->name);
    table_cell (table, "%s", worker->state);
    table_cell (table, worker->job ? "%" PRIu64 : "-", worker->job);
    table_cell (table, worker->job ? "%u" : "-", worker->rank);
    table_cell (table, "%s", worker->phase);
    table_cell (table, "%" PRIu64, worker->step);
    table_cell (table, "%" PRIu64 " ms", worker->silent_ms);
}

static void print_workers (const struct shown *shown)
{
    const struct mu_wire_worker_list *list = player_workers (shown->player);
    struct table *table = table_create (">ID|NAME|STATE|>JOB|>RANK|PHASE|>STEP|>SILENT");
    for (uint32_t i = 0; i < list->workers.count; i++)
        if (is_shown (shown, list->workers.items[i].job))
            print_worker (table, &list->workers.items[i]);
    table_print (&table);
}

static void print_table (const struct shown *shown)
{
    print_head (shown);
    putchar ('\n');
    print_jobs (shown);
    for (uint64_t number = 0; (number = coord_job_next (shown->coord, number));)
        if (is_shown (shown, number))
            print_generation (shown, number);
    putchar ('\n');
    print_workers (shown);
}

/* --- for programs ----------------------------------------------------------------------------- */

static json_t *jobs_to_json (const struct shown *shown)
{
    json_t *jobs = json_array ();
    for (uint64_t number = 0; (number = coord_job_next (shown->coord, number));) {
        struct mu_wire_job_info info;
        if (!is_shown (shown, number) || coord_job_info (shown->coord, number, &info))
            continue;
        json_t *list = list_to_json (MU_WIRE_JOB_LIST, &info, 1), *members = json_array ();
        json_t *job = json_array_get (list, 0);
        for (uint32_t i = 0; i < rank_count (shown->coord, number); i++)
            json_array_append_new (members, json_string (coord_member (shown->coord, number, i)));
        json_object_set_new (job, "members", members);
        json_array_append (jobs, job);
        json_decref (list);
    }
    return jobs;
}

static json_t *workers_to_json (const struct shown *shown)
{
    const struct mu_wire_worker_list *list = player_workers (shown->player);
    json_t *workers = json_array ();
    for (uint32_t i = 0; i < list->workers.count; i++)
        if (is_shown (shown, list->workers.items[i].job)) {
            json_t *one = list_to_json (MU_WIRE_WORKER_LIST, &list->workers.items[i], 1);
            json_array_append (workers, json_array_get (one, 0));
            json_decref (one);
        }
    return workers;
}

static void print_document (const struct shown *shown)
{
    char digest[32];
    const struct player *player = shown->player;
    snprintf (digest, sizeof digest, "%016" PRIx64, coord_digest (shown->coord));
    json_t *state = json_pack (
        "{s:I,s:I,s:I,s:I,s:s,s:I,s:b,s:s,s:I,s:b,s:b,s:b}", "event",
        (json_int_t)player_events (player), "time_ms", (json_int_t)player_now_ms (player),
        "first_ms", (json_int_t)player_first_ms (player), "term",
        (json_int_t)coord_term (shown->coord), "version", player_open (player)->version, "replayed",
        (json_int_t)player_applied (player), "deposed", (int)coord_deposed (shown->coord), "digest",
        digest, "difference", (json_int_t)player_difference (player), "complete",
        (int)shown->ending->complete, "torn", (int)shown->ending->torn, "stopped",
        (int)shown->ending->ended);
    json_object_set_new (state, "jobs", jobs_to_json (shown));
    json_object_set_new (state, "workers", workers_to_json (shown));
    print_json (state);
}

int state_print (struct player *player, const struct mu_replay_options *options,
                 const struct ending *ending, struct mu_error *error)
{
    struct shown shown = { .player = player, .coord = player_coord (player), .ending = ending };
    if (options->job && !(shown.only = coord_job_find (shown.coord, options->job)))
        return mu_fail (error, MU_NOT_FOUND, "there is no job %s at event %" PRIu64, options->job,
                        player_events (player));
    if (options->output == MU_REPLAY_OUTPUT_JSON)
        print_document (&shown);
    else
        print_table (&shown);
    return 0;
}
