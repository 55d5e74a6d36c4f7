/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.c - submit, validate, list, describe and control jobs */
#include "command.h"
#include "jobspec.h"
#include "output.h"
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the job file ----------------------------------------------------------------------------- */

static struct mu_jobspec_problems problems; /* large */

/* Read, change and check; say all that is wrong or worth knowing. 0, or the exit status. */
static int read_spec (const char *path, const struct mu_text_list *sets, struct mu_jobspec *spec)
{
    mu_jobspec_read (path, spec, &problems);
    for (size_t i = 0; i < sets->count; i++)
        mu_jobspec_set (spec, sets->item[i], &problems);
    mu_jobspec_check (spec, &problems);
    char *text = mu_jobspec_problems_text (&problems);
    if (text)
        print_plain_lines (stderr, text, strlen (text));
    free (text);
    if (!problems.errors)
        return 0;
    struct mu_error error;
    mu_jobspec_problems_fail (&problems, &error);
    return mu_code_exit ((int)error.code);
}

int command_validate (const struct command *command)
{
    struct mu_jobspec spec = { 0 };
    int status = read_spec (command->operands->item[0], &command->options->validate.set, &spec);
    char *json = status ? NULL : mu_jobspec_to_json (&spec);
    if (!status && command->json && json)
        puts (json);
    else if (!status)
        printf ("%s: a good job file: %u micro-batches a step, %" PRIu64 " to %" PRIu64
                " workers\n",
                command->operands->item[0], mu_jobspec_micro_batches (&spec), spec.workers.min,
                spec.workers.max);
    free (json);
    mu_jobspec_clear (&spec);
    return status;
}

static json_t *submitted_to_json (uint64_t job, bool repeated)
{
    return json_pack ("{s:I,s:b}", "id", (json_int_t)job, "repeated", repeated);
}

/* One JSON document on standard output: with --wait it is the job at its end. */
static void say_submitted (const struct command *command, uint64_t job, bool repeated)
{
    bool wait = command->options->submit.wait;
    if (command->json && !wait)
        print_json (submitted_to_json (job, repeated));
    else if (!command->json)
        printf ("%" PRIu64 "\n", job);
    fflush (stdout);
    if (repeated && command->options->submit.key)
        fprintf (stderr, "the key is known: this is the job it made then\n");
    else if (wait && command->json)
        fprintf (stderr, "submitted as job %" PRIu64 "\n", job);
    else if (!wait)
        fprintf (stderr,
                 "submitted; `muster watch %" PRIu64 "` follows it, `muster logs %" PRIu64
                 "` shows its log\n",
                 job, job);
}

int command_submit (const struct command *command)
{
    struct mu_jobspec spec = { 0 };
    struct muster_error error;
    uint64_t job = 0;
    bool repeated = false;
    int status = read_spec (command->operands->item[0], &command->options->submit.set, &spec);
    char *json = status ? NULL : mu_jobspec_to_json (&spec);
    mu_jobspec_clear (&spec);
    if (status)
        return status;
    if (!json)
        abort ();
    int rc = muster_submit (command->muster, json, strlen (json), command->options->submit.key,
                            &job, &repeated, &error);
    free (json);
    if (rc)
        return command_fail (&error);
    say_submitted (command, job, repeated);
    if (!command->options->submit.wait)
        return 0;
    char number[32];
    json_t *last = NULL;
    snprintf (number, sizeof number, "%" PRIu64, job);
    status = follow_job (command, number, false, command->json ? &last : NULL);
    if (command->json)
        print_json (last ? last : submitted_to_json (job, repeated));
    return status;
}

/* --- lists ------------------------------------------------------------------------------------ */

/* People and scripts say id; on the wire it is the job's number. */
static json_t *with_id (json_t *object)
{
    json_object_set (object, "id", json_object_get (object, "job"));
    json_object_del (object, "job");
    return object;
}

json_t *job_to_json (const struct muster_job_info *job)
{
    json_t *array = list_to_json (MU_WIRE_JOB_LIST, job, 1);
    json_t *object = with_id (json_incref (json_array_get (array, 0)));
    json_decref (array);
    return object;
}

static void print_job_table (const struct muster_job_info *jobs, size_t count)
{
    struct table *table =
        table_create (">ID|NAME|STATE|>STEP|>STEPS|>LOSS|>TOKENS/S|>ETA|>WORKERS|REASON");
    char loss[32], rate[32], eta[32];
    for (size_t i = 0; i < count; i++) {
        const struct muster_job_info *job = &jobs[i];
        table_cell (table, "%" PRIu64, job->job);
        table_cell (table, "%s", job->name);
        table_cell (table, "%s", job->state);
        table_cell (table, "%" PRIu64, job->step);
        table_cell (table, "%" PRIu64, job->steps);
        table_cell (table, "%s", loss_text (job->loss, loss, sizeof loss));
        table_cell (table, "%s", rate_text (job->tokens_per_second, rate, sizeof rate));
        table_cell (table, "%s", duration_text (job->eta_seconds, eta, sizeof eta));
        table_cell (table, "%u", job->workers);
        table_cell (table, "%.*s", (int)job->reason.size, (const char *)job->reason.data);
    }
    table_print (&table);
}

int command_jobs (const struct command *command)
{
    struct muster_answer *answer;
    struct muster_error error;
    const struct muster_job_info *jobs;
    size_t count;
    if (muster_jobs (command->muster, NULL, &answer, &jobs, &count, &error))
        return command_fail (&error);
    if (command->json) {
        json_t *array = list_to_json (MU_WIRE_JOB_LIST, jobs, count);
        for (size_t i = 0; i < count; i++)
            with_id (json_array_get (array, i));
        print_json (array);
    } else {
        print_job_table (jobs, count);
    }
    muster_answer_free (&answer);
    return 0;
}

static void print_job (const struct muster_job_info *job)
{
    char a[64], b[64];
    printf ("job        %" PRIu64 " %s\nstate      %s%s", job->job, job->name, job->state,
            job->reason.size ? ": " : "");
    print_plain (stdout, job->reason.data, job->reason.size);
    printf ("\n");
    printf ("step       %" PRIu64 " of %" PRIu64 " (epoch %.2f)\n", job->step, job->steps,
            job->epoch);
    if (job->loss != 0)
        printf ("loss       %.6f\n", job->loss);
    if (job->evaluated_step)
        printf ("evaluated  loss %.6f, accuracy %.2f%% after step %" PRIu64 "\n",
                job->loss_evaluated, 100 * job->accuracy, job->evaluated_step - 1);
    if (*job->unevaluated)
        printf ("evaluated  not the last time: %s\n", job->unevaluated);
    if (!job->ended_ms)
        printf ("speed      %s tokens/s, ETA %s\n", rate_text (job->tokens_per_second, a, sizeof a),
                duration_text (job->eta_seconds, b, sizeof b));
    printf ("workers    %u (%u to %u), generation %" PRIu64 ", %u restarts\n", job->workers,
            job->workers_min, job->workers_max, job->generation, job->restarts);
    if (job->skipped)
        printf ("skipped    %u micro-batches that kill every trainer; `muster events --job %" PRIu64
                "` names them\n",
                job->skipped, job->job);
    printf ("submitted  %s, started %s", time_text (job->submitted_ms, a, sizeof a),
            time_text (job->started_ms, b, sizeof b));
    if (job->ended_ms)
        printf (", ended %s", time_text (job->ended_ms, a, sizeof a));
    printf ("\n");
    if (job->hangs)
        printf ("hung       %u, last %s: %s\n", job->hangs, time_text (job->hung_ms, a, sizeof a),
                job->hung);
    if (job->checkpoint.size) {
        printf ("committed  step %" PRIu64 " at %s, weights %s\n           ", job->weights_step,
                time_text (job->weights_ms, a, sizeof a), job->weights_hash);
        print_plain (stdout, job->checkpoint.data, job->checkpoint.size);
        printf ("\n");
    }
}

int command_status (const struct command *command)
{
    struct muster_answer *answer;
    struct muster_error error;
    const struct muster_job_info *job;
    size_t count;
    int status;
    if (muster_jobs (command->muster, command->operands->item[0], &answer, &job, &count, &error))
        return command_fail (&error);
    if (command->json) {
        print_json (job_to_json (job));
    } else {
        print_job (job);
    }
    job_info_ended (job, &status);
    muster_answer_free (&answer);
    return status == EXIT_JOB_NOT_FINISHED ? 0 : status;
}

/* --- control ---------------------------------------------------------------------------------- */

static int control (const struct command *command, enum muster_verb verb, const char *done)
{
    struct muster_error error;
    const char *job = command->operands->item[0];
    if (muster_control (command->muster, job, verb, &error))
        return command_fail (&error);
    fprintf (stderr, "job %s %s\n", job, done);
    return 0;
}

int command_cancel (const struct command *command)
{
    return control (command, MUSTER_CANCEL, "is cancelled");
}

int command_pause (const struct command *command)
{
    return control (
        command, MUSTER_PAUSE,
        "is paused as soon as what it has trained is saved; `muster resume` goes on with it");
}

int command_resume (const struct command *command)
{
    if (command->options->resume.forgo_checkpoint)
        return control (command, MUSTER_FORGO_CHECKPOINT,
                        "gives up the checkpoint that nobody can read, and goes on without it");
    return control (command, MUSTER_RESUME, "goes on when there are workers for it");
}

int command_scale (const struct command *command)
{
    struct muster_error error;
    const char *job = command->operands->item[0], *text = command->operands->item[1];
    char *end;
    unsigned long workers = strtoul (text, &end, 10);
    if (*text < '0' || *text > '9' || *end || workers < 1 || workers > 65535) {
        fprintf (stderr, "muster scale: '%s' is no number of workers; it must be 1 to 65535\n",
                 text);
        return mu_code_exit (MU_USAGE);
    }
    if (muster_scale (command->muster, job, (uint32_t)workers, &error))
        return command_fail (&error);
    fprintf (stderr, "job %s has at most %lu worker%s from now on\n", job, workers,
             workers == 1 ? "" : "s");
    return 0;
}
