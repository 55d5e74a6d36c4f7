/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - follow one job: a line that is painted over on a terminal, a line every few seconds
 * elsewhere
 *
 * Ctrl-C only says so; the job goes on. A second one within 2 s cancels it. A coordinator that does
 * not answer is waited for: training goes on without it.
 */
#include "clock.h"
#include "command.h"
#include "output.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS       200
#define LINE_EVERY_MS 2000 /* where the output is no terminal */
#define TWICE_MS      2000
#define ANSWER_MS     500

static volatile sig_atomic_t interrupts;

static void on_interrupt (int signal_number)
{
    (void)signal_number;
    interrupts++;
}

bool job_info_ended (const struct muster_job_info *job, int *status)
{
    static const struct {
        const char *state;
        int status;
    } ends[] = { { "done", 0 },
                 { "failed", EXIT_JOB_FAILED },
                 { "cancelled", EXIT_JOB_CANCELLED } };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (!strcmp (job->state, ends[i].state)) {
            *status = ends[i].status;
            return true;
        }
    *status = EXIT_JOB_NOT_FINISHED;
    return false;
}

/* --- one line --------------------------------------------------------------------------------- */

static void compose (const struct muster_job_info *job, char *line, size_t size)
{
    char rate[32], eta[32], accuracy[48] = "";
    if (job->step == 0 || !strcmp (job->state, "pending")) {
        bool ends = !strcmp (job->state, "stopping"); /* why is told then */
        int reason = ends ? 0 : (int)job->reason.size;
        snprintf (line, size, "%s: %s%s%.*s", job->name, job->state, reason ? ", " : "", reason,
                  (const char *)job->reason.data);
        return;
    }
    if (job->evaluated_step && job->accuracy > 0)
        snprintf (accuracy, sizeof accuracy, "  accuracy %.2f%%", 100 * job->accuracy);
    else if (job->evaluated_step)
        snprintf (accuracy, sizeof accuracy, "  eval loss %.4f", job->loss_evaluated);
    int status;
    if (job_info_ended (job, &status)) {
        snprintf (line, size, "%s: step %" PRIu64 "/%" PRIu64 "  loss %.4f%s  %s", job->name,
                  job->step, job->steps, job->loss, accuracy, job->state);
        return;
    }
    snprintf (line, size,
              "%s: step %" PRIu64 "/%" PRIu64 "  loss %.4f%s  %s tokens/s  ETA %s  workers %u  %s",
              job->name, job->step, job->steps, job->loss, accuracy,
              rate_text (job->tokens_per_second, rate, sizeof rate),
              duration_text (job->eta_seconds, eta, sizeof eta), job->workers, job->state);
}

/* Reasons come from workers: no line ends, no orders to the terminal. */
static void describe (const struct muster_job_info *job, char *line, size_t size)
{
    compose (job, line, size);
    plain_text (line);
}

struct follow {
    const struct command *command;
    const char *job; /* as it was named; then its number, for names are given again */
    char number[32];
    bool quiet;
    json_t **last;
    uint64_t first_at; /* of the first Ctrl-C */
    bool terminal, painted;
    uint64_t line_at;
    char shown[512]; /* the newest line, where the output is no terminal */
};

/* As much as fits into one row: a longer line could not be painted over. */
static int fitting (const char *line)
{
    struct winsize window;
    int columns = ioctl (STDERR_FILENO, TIOCGWINSZ, &window) || !window.ws_col ? 80 : window.ws_col;
    int size = 0;
    for (; line[size]; size++)
        if ((line[size] & 0xc0) != 0x80 && --columns <= 0)
            break;
    return size;
}

static void show (struct follow *follow, const char *line, bool whole)
{
    uint64_t now = mu_now_ms ();
    if (follow->terminal) {
        fprintf (stderr, "\r\033[K%.*s", whole ? (int)strlen (line) : fitting (line), line);
        follow->painted = !whole;
        if (whole)
            fputc ('\n', stderr);
    } else if (whole || (now >= follow->line_at && strcmp (line, follow->shown))) {
        fprintf (stderr, "%s\n", line);
        follow->line_at = now + LINE_EVERY_MS;
        snprintf (follow->shown, sizeof follow->shown, "%s", line);
    }
    fflush (stderr);
}

static void clear_line (struct follow *follow)
{
    if (follow->painted)
        fputc ('\n', stderr);
    follow->painted = false;
}

static void clear_row (struct follow *follow)
{
    if (follow->painted)
        fputs ("\r\033[K", stderr);
    follow->painted = false;
}

static void show_end (struct follow *follow, const struct muster_job_info *job)
{
    char line[512];
    bool why = job->reason.size && strcmp (job->state, "done") != 0;
    describe (job, line, sizeof line);
    if (job->step || !why) /* else there is nothing but the reason to tell */
        show (follow, line, true);
    else
        clear_row (follow);
    if (why) {
        fprintf (stderr, "%s: %s: ", job->name, job->state);
        print_plain (stderr, job->reason.data, job->reason.size);
        fputs ("\n", stderr);
    }
    if (job->checkpoint.size) {
        fprintf (stderr, "checkpoint of step %" PRIu64 ": ", job->weights_step);
        print_plain (stderr, job->checkpoint.data, job->checkpoint.size);
        fprintf (stderr, "\nweights %s\n", job->weights_hash);
    }
}

/* --- following -------------------------------------------------------------------------------- */

/* -1: go on; else what to exit with. */
static int on_interrupts (struct follow *follow)
{
    struct muster *muster = follow->command->muster;
    if (follow->first_at && mu_now_ms () - follow->first_at >= TWICE_MS) {
        clear_line (follow);
        fprintf (stderr, "detached; `muster watch %s` follows it again\n", follow->job);
        return EXIT_JOB_NOT_FINISHED;
    }
    if (!interrupts)
        return -1;
    bool twice = interrupts > 1 || follow->first_at;
    interrupts = 0;
    clear_line (follow);
    if (!twice) {
        follow->first_at = mu_now_ms ();
        muster_set_timeout (muster, ANSWER_MS); /* also when nobody answers we detach in time */
        fprintf (stderr, "press Ctrl-C again within 2 s to cancel job %s; it goes on otherwise\n",
                 follow->job);
        return -1;
    }
    struct muster_error error;
    muster_set_timeout (muster, (uint32_t)follow->command->options->timeout * 1000);
    if (muster_control (muster, follow->job, MUSTER_CANCEL, &error))
        return command_fail (&error);
    fprintf (stderr, "cancelled\n");
    return EXIT_JOB_CANCELLED;
}

static void remember (struct follow *follow, const struct muster_job_info *info)
{
    snprintf (follow->number, sizeof follow->number, "%" PRIu64, info->job);
    follow->job = follow->number;
    if (!follow->last)
        return;
    json_decref (*follow->last);
    *follow->last = job_to_json (info);
}

/* One look. -1: go on; else what to exit with. */
static int look (struct follow *follow)
{
    struct muster_answer *answer;
    struct muster_error error;
    const struct muster_job_info *info;
    size_t count;
    char line[512];
    int status;
    if (muster_jobs (follow->command->muster, follow->job, &answer, &info, &count, &error)) {
        if (error.code != MU_UNAVAILABLE && error.code != MU_TRY_AGAIN)
            return command_fail (&error);
        if (!follow->quiet && !interrupts)
            show (follow, "the coordinator does not answer; waiting for it (training goes on)",
                  false);
        return -1;
    }
    bool ended = job_info_ended (info, &status);
    remember (follow, info);
    if (!follow->quiet && ended)
        show_end (follow, info);
    if (!follow->quiet && !ended) {
        describe (info, line, sizeof line);
        show (follow, line, false);
    }
    muster_answer_free (&answer);
    return ended ? status : -1;
}

int follow_job (const struct command *command, const char *job, bool quiet, json_t **last)
{
    struct follow follow = {
        .command = command,
        .job = job,
        .quiet = quiet,
        .last = last,
        .terminal = isatty (STDERR_FILENO),
    };
    struct sigaction action = { .sa_handler = on_interrupt }, before;
    int status = -1;
    sigaction (SIGINT, &action, &before);
    while (status < 0) {
        status = look (&follow);
        if (status < 0)
            status = on_interrupts (&follow);
        struct timespec pause = { 0, POLL_MS * 1000000L };
        if (status < 0)
            nanosleep (&pause, NULL);
    }
    sigaction (SIGINT, &before, NULL);
    return status;
}

static int follow_named (const struct command *command, bool quiet)
{
    json_t *last = NULL;
    int status =
        follow_job (command, command->operands->item[0], quiet, command->json ? &last : NULL);
    if (last)
        print_json (last);
    return status;
}

int command_watch (const struct command *command) { return follow_named (command, false); }

int command_wait (const struct command *command) { return follow_named (command, true); }
