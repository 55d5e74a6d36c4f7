/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_command.c - `muster ledger`: the journal is read as it is stored, and judged here
 *
 * The coordinator only hands out the bytes (RECORDS); what they prove is decided by the checker
 * (ledger.h) in this process, and then held against what the coordinator says of itself. A job that
 * runs goes on meanwhile: what it says is compared with the journal before and after the question,
 * until nothing lies between, or both are bounds.
 *
 * What was set aside as unreadable when a coordinator started may be of any job. If it cannot be
 * told whose it is, it counts against this one only if something is wrong anyway: seals and numbers
 * show what is missing. */
#include "clock.h"
#include "command.h"
#include "journal.h"
#include "ledger_print.h"
#include "number.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORDS_A_CALL  1000u
#define COMPARE_MAX     20
#define COMPARE_WAIT_MS 50
#define TELL_AFTER_MS   2000u

struct reading {
    const struct command *command;
    struct ledger *ledger;
    char job[32], name[64]; /* by its number, for a name may be given again meanwhile */
    uint64_t number, after;
    struct ledger_sentences strays; /* set aside, and nobody knows whose they are */
    msgpack_zone zone;
    uint64_t began_ms, told_ms; /* when progress was last told */
    bool told;
};

/* --- progress --------------------------------------------------------------------------------- */

/* On a terminal one line is painted over; elsewhere it is a line every ten seconds. */
static void tell (struct reading *reading, const char *what, uint64_t done, uint64_t all)
{
    bool terminal = isatty (STDERR_FILENO);
    uint64_t now = mu_now_ms ();
    if (now < reading->began_ms + TELL_AFTER_MS ||
        now < reading->told_ms + (terminal ? 200u : 10000u))
        return;
    reading->told_ms = now;
    reading->told = terminal;
    fprintf (stderr, "%s%s: %" PRIu64, terminal ? "\r\033[K" : "", what, done);
    if (all)
        fprintf (stderr, " of %" PRIu64, all);
    if (!terminal)
        fputc ('\n', stderr);
    fflush (stderr);
}

static void tell_order (void *arg, uint64_t done, uint64_t all)
{
    tell (arg, "places of the order checked", done, all);
}

static void end_progress (struct reading *reading)
{
    if (reading->told)
        fprintf (stderr, "\r\033[K");
    reading->told = false;
}

/* --- reading ---------------------------------------------------------------------------------- */

static uint64_t job_of (const struct mu_journal *record)
{
    return mu_record_number (&mu_journal_family, record, "job");
}

static void note_stray (struct reading *reading, const struct muster_record_info *info)
{
    char text[384];
    snprintf (text, sizeof text,
              "record %" PRIu64 ", of a job that cannot be told, was set aside as unreadable: %s",
              info->number, info->set_aside);
    if (reading->strays.count < LEDGER_SENTENCES_MAX)
        reading->strays.item[reading->strays.count] = strdup (text);
    reading->strays.count++;
}

/* 0, or -1 where only a newer program can read on. */
static int take (struct reading *reading, const struct muster_record_info *info,
                 struct mu_error *why)
{
    struct mu_journal record;
    msgpack_zone_clear (&reading->zone);
    bool bad = mu_record_decode (&mu_journal_family, &record, info->body.data, info->body.size, 0,
                                 &reading->zone, why) != 0;
    if (bad && why->code == MU_TRY_AGAIN)
        return -1;
    if (*info->set_aside && bad)
        note_stray (reading, info);
    else if (*info->set_aside && job_of (&record) == reading->number)
        ledger_damage (reading->ledger, "record %" PRIu64 " was set aside as unusable: %s",
                       info->number, info->set_aside);
    else if (bad)
        ledger_damage (reading->ledger, "record %" PRIu64 " cannot be read: %s", info->number,
                       why->text);
    else if (!*info->set_aside && job_of (&record) != reading->number)
        ledger_damage (reading->ledger,
                       "record %" PRIu64 " is filed under this job and speaks of job %" PRIu64,
                       info->number, job_of (&record));
    else if (!*info->set_aside)
        ledger_read (reading->ledger, info->number, &record);
    return 0;
}

/* To the journal's end; 0, or the status to exit with. */
static int read_on (struct reading *reading)
{
    for (;;) {
        struct muster_answer *answer;
        struct muster_error error;
        struct mu_error why;
        const struct muster_record_info *records;
        size_t count;
        int rc = 0;
        if (muster_records (reading->command->muster, reading->job, reading->after, RECORDS_A_CALL,
                            &answer, &records, &count, &error))
            return command_fail (&error);
        for (size_t i = 0; i < count && !rc; i++) {
            rc = take (reading, &records[i], &why);
            reading->after = records[i].number;
        }
        muster_answer_free (&answer);
        tell (reading, "journal records read", reading->ledger->read, 0);
        if (rc)
            return command_fail_mu (&why);
        if (!count)
            return 0;
    }
}

/* --- what the coordinator says ---------------------------------------------------------------- */

struct bounds {
    uint64_t read, generation, shards;
};

static struct bounds bounds_of (const struct ledger *ledger)
{
    const struct ledger_generation *newest = ledger_newest (ledger);
    return (struct bounds){ ledger->read, newest ? newest->number : 0, ledger_shards (ledger) };
}

static void hold_against (struct ledger *ledger, const struct muster_job_info *job,
                          const struct muster_shards *shards, struct bounds low, struct bounds high)
{
    if (job->generation != low.generation)
        ledger_fault (ledger,
                      "the coordinator says that generation %" PRIu64
                      " is the newest, the journal that %" PRIu64 " is",
                      job->generation, low.generation);
    if (shards->trained < low.shards || shards->trained > high.shards)
        ledger_fault (ledger,
                      "the coordinator counts %" PRIu64 " trained shards, the journal %" PRIu64,
                      shards->trained, high.shards);
    if (job->steps != ledger->steps)
        ledger_fault (
            ledger, "the coordinator says that the job has %" PRIu64 " steps, the journal %" PRIu64,
            job->steps, ledger->steps);
}

/* 1: compared; 0: a generation came in between; -1: *status says why it cannot be. */
static int compare_once (struct reading *reading, int *status)
{
    struct muster *muster = reading->command->muster;
    struct muster_answer *about_job, *about_shards;
    struct muster_error error;
    const struct muster_job_info *job;
    struct muster_shards shards;
    size_t count;
    struct bounds low = bounds_of (reading->ledger);
    if (muster_jobs (muster, reading->job, &about_job, &job, &count, &error)) {
        *status = command_fail (&error);
        return -1;
    }
    if (muster_shards (muster, reading->job, &about_shards, &shards, &error)) {
        muster_answer_free (&about_job);
        *status = command_fail (&error);
        return -1;
    }
    *status = read_on (reading);
    struct bounds high = bounds_of (reading->ledger);
    bool comparable = !*status && low.generation == high.generation && low.shards <= high.shards;
    if (comparable)
        hold_against (reading->ledger, job, &shards, low, high);
    muster_answer_free (&about_shards);
    muster_answer_free (&about_job);
    return *status ? -1 : comparable;
}

static int compare (struct reading *reading, bool *compared)
{
    int status = 0, done = 0;
    for (int tries = 0; tries < COMPARE_MAX && !done; tries++) {
        struct timespec pause = { 0, COMPARE_WAIT_MS * 1000000L };
        if (tries)
            nanosleep (&pause, NULL);
        done = compare_once (reading, &status);
    }
    *compared = done > 0;
    return done < 0 ? status : 0;
}

/* --- one command ------------------------------------------------------------------------------ */

static int begin (struct reading *reading, const struct command *command)
{
    struct muster_answer *answer;
    struct muster_error error;
    const struct muster_job_info *job;
    size_t count;
    *reading = (struct reading){ .command = command, .began_ms = mu_now_ms () };
    if (!msgpack_zone_init (&reading->zone, 65536))
        abort ();
    reading->ledger = ledger_create ();
    if (muster_jobs (command->muster, command->operands->item[0], &answer, &job, &count, &error))
        return command_fail (&error);
    reading->number = job->job;
    snprintf (reading->job, sizeof reading->job, "%" PRIu64, job->job);
    snprintf (reading->name, sizeof reading->name, "%s", job->name);
    muster_answer_free (&answer);
    int status = read_on (reading);
    if (status || !reading->ledger->folded)
        return status;
    fprintf (stderr,
             "muster: job %s (%s) ended so long ago that its %" PRIu64
             " records were folded into one: "
             "nothing can be proven of it any more, but from a backup of before (the coordinator's "
             "--history-days says how long they are kept)\n",
             reading->job, reading->name, reading->ledger->folded);
    return mu_code_exit (MU_UNAVAILABLE);
}

static void end (struct reading *reading)
{
    for (uint32_t i = 0; i < LEDGER_SENTENCES_MAX; i++)
        free (reading->strays.item[i]);
    ledger_destroy (&reading->ledger);
    msgpack_zone_destroy (&reading->zone);
}

static struct ledger_view judge (struct reading *reading)
{
    struct ledger *ledger = reading->ledger;
    struct ledger_view view = { .ledger = ledger, .name = reading->name };
    ledger_end (ledger);
    if (ledger->faults.count || ledger->damages.count)
        for (uint32_t i = 0; i < LEDGER_SENTENCES_MAX && reading->strays.item[i]; i++)
            ledger_damage (ledger, "%s", reading->strays.item[i]);
    view.history = ledger_history (ledger, &view.run_count);
    view.trained = ledger_trained_steps (ledger);
    return view;
}

static void check_order (struct reading *reading, struct ledger_view *view)
{
    struct ledger *ledger = reading->ledger;
    struct mu_error why;
    uint64_t seed;
    if (ledger_seed (ledger, &seed))
        ledger_damage (ledger, "the job file in the journal cannot be read");
    else if (ledger_check_order (ledger, seed, view->trained * ledger->global_batch, tell_order,
                                 reading, &why))
        ledger_fault (ledger, "%s", why.text);
    else
        view->order_checked = true;
}

/* The status to exit with. */
static int conclude (const struct reading *reading, const struct ledger_view *view)
{
    const struct ledger *ledger = view->ledger;
    const char *what = ledger->damages.count ? "its journal is damaged: nothing is proven"
                                             : "its ledger does not hold";
    if (ledger_is_proven (view))
        return 0;
    fprintf (stderr, "muster: job %s (%s): %s; %" PRIu64 " contradiction%s\n", reading->job,
             view->name, what, ledger->damages.count + ledger->faults.count,
             ledger->damages.count + ledger->faults.count == 1 ? "" : "s");
    return ledger->damages.count ? mu_code_exit (MU_BAD_INPUT) : EXIT_JOB_FAILED;
}

int command_ledger_verify (const struct command *command)
{
    struct reading reading;
    bool compared = false;
    int status = begin (&reading, command);
    if (!status)
        status = compare (&reading, &compared);
    if (!status) {
        struct ledger_view view = judge (&reading);
        view.compared = compared;
        if (!command->options->ledger_verify.skip_order)
            check_order (&reading, &view);
        end_progress (&reading);
        ledger_print_verdict (&view, command->json);
        status = conclude (&reading, &view);
        free (view.history);
    }
    end (&reading);
    return status;
}

/* --- show ------------------------------------------------------------------------------------- */

static int show_step (const struct reading *reading, const struct ledger_view *view,
                      const char *text)
{
    uint64_t step, seed;
    if (mu_number_u64 (text, &step) != MU_NUMBER_GOOD) {
        fprintf (stderr, "muster: --step: %s is no step; they are counted from 0\n", text);
        return mu_code_exit (MU_USAGE);
    }
    if (step >= view->trained || !view->ledger->records || ledger_seed (view->ledger, &seed)) {
        fprintf (stderr,
                 "muster: step %" PRIu64 " of job %s is not trained, as far as the journal tells: "
                 "%" PRIu64 " are, counted from 0\n",
                 step, reading->job, view->trained);
        return EXIT_JOB_NOT_FINISHED;
    }
    if (view->run_count && step < view->history[0].from) {
        fprintf (stderr,
                 "muster: step %" PRIu64
                 " is the checkpoint's that the job file of job %s names: who "
                 "trained it stands in the ledger of the job that wrote it\n",
                 step, reading->job);
        return EXIT_JOB_NOT_FINISHED;
    }
    ledger_print_step (view, step, seed, reading->command->json);
    return 0;
}

int command_ledger_show (const struct command *command)
{
    struct reading reading;
    int status = begin (&reading, command);
    if (!status) {
        struct ledger_view view = judge (&reading);
        const char *step = command->options->ledger_show.step;
        end_progress (&reading);
        if (step && ledger_is_proven (&view))
            status = show_step (&reading, &view, step);
        else if (!step)
            ledger_print_generations (&view, command->json);
        if (!ledger_is_proven (&view)) {
            status = conclude (&reading, &view);
            fprintf (stderr, "muster: `muster ledger verify %s` says what is wrong\n", reading.job);
        }
        free (view.history);
    }
    end (&reading);
    return status;
}
