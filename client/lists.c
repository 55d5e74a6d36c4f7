/* SPDX-License-Identifier: Apache-2.0 */
/* lists.c - workers, shards, checkpoints, events and logs */
#include "command.h"
#include "output.h"
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EVENTS_A_CALL 500u
#define FOLLOW_MS     500

static void pause_a_while (void)
{
    struct timespec pause = { 0, FOLLOW_MS * 1000000L };
    nanosleep (&pause, NULL);
}

/* In following, a coordinator that answered before is waited for; and one that may take the leader's place. */
static bool is_away (const struct muster_error *error, bool follow, bool *told)
{
    const bool follows = error->code == MU_NOT_LEADER;
    if (!follow || (!follows && error->code != MU_UNAVAILABLE && error->code != MU_TRY_AGAIN))
        return false;
    if (!*told)
        fprintf (stderr, "%s; waiting for it\n",
                 follows ? error->text : "the coordinator does not answer");
    *told = true;
    pause_a_while ();
    return true;
}

/* --- workers ---------------------------------------------------------------------------------- */

/* Which of its processes owes a move, and for how long it has not moved: one that stands out hangs. */
static void print_duty (struct table *table, const struct muster_worker_info *worker)
{
    char still[32];
    if (!worker->job || worker->still_ms < 1000 || !strcmp (worker->duty, "nobody"))
        table_cell (table, "-");
    else
        table_cell (table, "%s (%s) %s", worker->duty,
                    *worker->process ? worker->process : "unknown",
                    duration_text ((double)worker->still_ms / 1000, still, sizeof still));
}

static void print_workers (const struct muster_worker_info *workers, size_t count)
{
    struct table *table = table_create (">ID|NAME|HOST|STATE|>JOB|>RANK|PHASE|>FOR|STILL|>STEP|"
                                        "KERNELS|>THREADS|>SLOW|>SILENT");
    char since[32];
    for (size_t i = 0; i < count; i++) {
        const struct muster_worker_info *worker = &workers[i];
        table_cell (table, "%u", worker->worker);
        table_cell (table, "%s", worker->name);
        table_cell (table, "%s", worker->host);
        table_cell (table, "%s", worker->state);
        if (worker->job)
            table_cell (table, "%" PRIu64, worker->job);
        else
            table_cell (table, "-");
        if (worker->ranked)
            table_cell (table, "%u", worker->rank);
        else
            table_cell (table, "-");
        table_cell (table, "%s", worker->phase);
        table_cell (table, "%s",
                    duration_text ((double)worker->phase_ms / 1000, since, sizeof since));
        print_duty (table, worker);
        table_cell (table, "%" PRIu64, worker->step);
        table_cell (table, "%s", worker->isa);
        table_cell (table, "%u", worker->threads);
        table_cell (table, worker->factor > 0 ? "%.1fx" : "-", worker->factor);
        table_cell (table, "%" PRIu64 " ms", worker->silent_ms);
    }
    table_print (&table);
}

/* One that is free, and a job that could use it: why. */
static void print_refused (const struct muster_worker_info *workers, size_t count)
{
    struct table *table = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!workers[i].refused_job)
            continue;
        if (!table)
            table = table_create ("NAME|>NOT GIVEN JOB|FOR NOW, BECAUSE");
        table_cell (table, "%s", workers[i].name);
        table_cell (table, "%" PRIu64, workers[i].refused_job);
        table_cell (table, "%s", workers[i].refused);
    }
    if (!table)
        return;
    putchar ('\n');
    table_print (&table);
}

/* `rank` is null for who has none. */
static json_t *workers_to_json (const struct muster_worker_info *workers, size_t count)
{
    json_t *list = list_to_json (MU_WIRE_WORKER_LIST, workers, count);
    for (size_t i = 0; i < count; i++) {
        json_object_del (json_array_get (list, i), "ranked");
        if (!workers[i].ranked)
            json_object_set_new (json_array_get (list, i), "rank", json_null ());
    }
    return list;
}

int command_workers (const struct command *command)
{
    struct muster_answer *answer;
    struct muster_error error;
    const struct muster_worker_info *workers;
    size_t count;
    if (muster_workers (command->muster, &answer, &workers, &count, &error))
        return command_fail (&error);
    if (command->json) {
        print_json (workers_to_json (workers, count));
    } else {
        print_workers (workers, count);
        print_refused (workers, count);
    }
    muster_answer_free (&answer);
    return 0;
}

int command_drain (const struct command *command)
{
    struct muster_error error;
    const char *worker = command->operands->item[0];
    bool undo = command->options->drain.undo;
    if (muster_drain (command->muster, worker, undo, &error))
        return command_fail (&error);
    fprintf (stderr,
             undo ? "worker %s is back in service\n"
                  : "worker %s finishes its step and takes no more work\n",
             worker);
    return 0;
}

/* --- shards ----------------------------------------------------------------------------------- */

static void print_shards (const struct muster_shards *shards)
{
    printf ("%" PRIu64 " of %" PRIu64 " shards are trained, %" PRIu64
            " leased; a shard is one of %u micro-batches over %u steps\n",
            shards->trained, shards->shards, shards->leased, shards->micro_batches,
            shards->window_steps);
    if (shards->skipped)
        printf ("in them %" PRIu64 " micro-batches of single steps were skipped: they kill every "
                "trainer\n",
                shards->skipped);
    struct table *table = table_create (">WINDOW|>FROM STEP|>TRAINED|>LEASED");
    for (size_t i = 0; i < shards->window_count; i++) {
        const struct muster_window_info *window = &shards->windows[i];
        table_cell (table, "%" PRIu64, window->window);
        table_cell (table, "%" PRIu64, window->window * shards->window_steps);
        table_cell (table, "%u", window->trained);
        table_cell (table, "%u", window->leased);
    }
    table_print (&table);
}

int command_shards (const struct command *command)
{
    struct muster_answer *answer;
    struct muster_error error;
    struct muster_shards shards;
    if (muster_shards (command->muster, command->operands->item[0], &answer, &shards, &error))
        return command_fail (&error);
    if (command->json)
        print_json (json_pack (
            "{s:I,s:I,s:I,s:I,s:i,s:i,s:o}", "shards", (json_int_t)shards.shards, "trained",
            (json_int_t)shards.trained, "leased", (json_int_t)shards.leased, "skipped",
            (json_int_t)shards.skipped, "window_steps", (int)shards.window_steps, "micro_batches",
            (int)shards.micro_batches, "windows",
            list_to_json (MU_WIRE_SHARD_LIST, shards.windows, shards.window_count)));
    else
        print_shards (&shards);
    muster_answer_free (&answer);
    return 0;
}

/* --- checkpoints ------------------------------------------------------------------------------ */

/* Of an evaluation after an earlier step nothing is shown here: it is another model's. */
static void print_results (struct table *table, const struct muster_checkpoint_info *checkpoint)
{
    bool evaluated = checkpoint->evaluated_step == checkpoint->step + 1;
    char text[32];
    table_cell (table, "%s", loss_text (checkpoint->loss, text, sizeof text));
    table_cell (table, "%s",
                loss_text (evaluated ? checkpoint->loss_evaluated : 0, text, sizeof text));
    if (evaluated && checkpoint->accuracy > 0)
        table_cell (table, "%.2f%%", 100 * checkpoint->accuracy);
    else
        table_cell (table, "-");
}

int command_checkpoints (const struct command *command)
{
    struct muster_answer *answer;
    struct muster_error error;
    const struct muster_checkpoint_info *checkpoints;
    size_t count;
    char when[64];
    if (muster_checkpoints (command->muster, command->operands->item[0], &answer, &checkpoints,
                            &count, &error))
        return command_fail (&error);
    if (command->json) {
        print_json (list_to_json (MU_WIRE_CHECKPOINT_LIST, checkpoints, count));
    } else {
        struct table *table =
            table_create (">STEP|COMMITTED|>LOSS|>EVALUATED|>ACCURACY|>BYTES|WEIGHTS|PATH");
        for (size_t i = 0; i < count; i++) {
            table_cell (table, "%" PRIu64, checkpoints[i].step);
            table_cell (table, "%s", time_text (checkpoints[i].committed_ms, when, sizeof when));
            print_results (table, &checkpoints[i]);
            table_cell (table, "%" PRIu64, checkpoints[i].bytes);
            table_cell (table, "%.16s", checkpoints[i].weights_hash);
            table_cell (table, "%.*s", (int)checkpoints[i].path.size,
                        checkpoints[i].path.size ? (const char *)checkpoints[i].path.data : "");
        }
        table_print (&table);
    }
    muster_answer_free (&answer);
    return 0;
}

/* --- events ----------------------------------------------------------------------------------- */

static void print_event (const struct muster_event_info *event, bool json)
{
    json_t *object = json_loadb (event->text.data, event->text.size, 0, NULL);
    if (!object)
        return;
    char when[64];
    const char *text = json_string_value (json_object_get (object, "text"));
    if (json) {
        json_object_set_new (object, "number", json_integer ((json_int_t)event->number));
        json_object_set_new (object, "unix_ms", json_integer ((json_int_t)event->time_ms));
        json_dumpf (object, stdout, JSON_COMPACT);
        putchar ('\n');
    } else if (text && *text) {
        printf ("%s  ", time_text (event->time_ms, when, sizeof when));
        if (event->job)
            printf ("job %" PRIu64 ": ", event->job);
        puts (text);
    }
    json_decref (object);
}

int command_events (const struct command *command)
{
    uint64_t after = 0;
    bool follow = command->options->events.follow, answered = false, told = false;
    for (;;) {
        struct muster_answer *answer;
        struct muster_error error;
        const struct muster_event_info *events;
        size_t count;
        if (muster_events (command->muster, command->options->events.job, after, EVENTS_A_CALL,
                           &answer, &events, &count, &error)) {
            if (is_away (&error, follow && answered, &told))
                continue;
            return command_fail (&error);
        }
        answered = true;
        told = false;
        for (size_t i = 0; i < count; i++) {
            print_event (&events[i], command->json);
            after = events[i].number;
        }
        muster_answer_free (&answer);
        fflush (stdout);
        if (!count && !follow)
            return 0;
        if (!count)
            pause_a_while ();
    }
}

/* --- logs ------------------------------------------------------------------------------------- */

/* The number of a job, for its name may be given again while we look. */
static int number_of (const struct command *command, const char *job, char *number, size_t size,
                      struct muster_error *error)
{
    struct muster_answer *answer;
    const struct muster_job_info *info;
    size_t count;
    if (muster_jobs (command->muster, job, &answer, &info, &count, error))
        return -1;
    snprintf (number, size, "%" PRIu64, info->job);
    muster_answer_free (&answer);
    return 0;
}

static bool has_ended (const struct command *command, const char *job, struct muster_error *error)
{
    struct muster_answer *answer;
    const struct muster_job_info *info;
    size_t count;
    int status;
    if (muster_jobs (command->muster, job, &answer, &info, &count, error))
        return false;
    bool ended = job_info_ended (info, &status);
    muster_answer_free (&answer);
    return ended;
}

int command_logs (const struct command *command)
{
    char job[32];
    struct muster_error error;
    bool follow = command->options->logs.follow, told = false;
    uint64_t offset = 0;
    if (number_of (command, command->operands->item[0], job, sizeof job, &error))
        return command_fail (&error);
    for (bool last = !follow;;) {
        struct muster_answer *answer;
        struct muster_text text;
        uint64_t before = offset;
        error.code = 0;
        if (muster_logs (command->muster, job, offset, &answer, &text, &offset, &error)) {
            if (is_away (&error, follow, &told))
                continue;
            return command_fail (&error);
        }
        told = false;
        if (text.size)
            fwrite (text.data, 1, text.size, stdout);
        fflush (stdout);
        muster_answer_free (&answer);
        if (offset != before)
            continue;
        if (last && !offset)
            fprintf (stderr, "muster: nothing was done for job %s yet, so its log is empty\n", job);
        if (last)
            return 0;
        last = has_ended (command, job, &error); /* one more look after the end */
        if (error.code && !is_away (&error, follow, &told))
            return command_fail (&error);
        if (!last)
            pause_a_while ();
    }
}
