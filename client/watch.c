/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - follow one job: a line that is painted over on a terminal, a line every few seconds
 * elsewhere
 *
 * Ctrl-C only says so; the job goes on. A second one within 2 s cancels it. A coordinator that does
 * not answer is waited for: training goes on without it.
 */
#include "command.h"
#include "output.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS       200
#define LINE_EVERY_MS 2000 /* where the output is no terminal */
#define TWICE_MS      2000

static volatile sig_atomic_t interrupts;

static void on_interrupt (int signal_number)
{
    (void)signal_number;
    interrupts++;
}

static uint64_t now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool job_ended (const struct muster_job_info *job, int *status)
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

/* --- one line
 * ------------------------------------------------------------------------------------- */

static void describe (const struct muster_job_info *job, char *line, size_t size)
{
    char rate[32], eta[32], accuracy[48] = "";
    if (job->step == 0 || !strcmp (job->state, "pending")) {
        snprintf (line, size, "%s: %s%s%.*s", job->name, job->state,
                  job->reason.size ? ", " : "", (int)job->reason.size,
                  (const char *)job->reason.data);
        return;
    }
    if (job->evaluated_step && job->accuracy > 0)
        snprintf (accuracy, sizeof accuracy, "  accuracy %.2f%%", 100 * job->accuracy);
    else if (job->evaluated_step)
        snprintf (accuracy, sizeof accuracy, "  eval loss %.4f", job->loss_evaluated);
    snprintf (line, size,
              "%s: step %" PRIu64 "/%" PRIu64 "  loss %.4f%s  %s tokens/s  ETA %s  workers %u  %s",
              job->name, job->step, job->steps, job->loss, accuracy,
              rate_text (job->tokens_per_second, rate, sizeof rate),
              duration_text (job->eta_seconds, eta, sizeof eta), job->workers, job->state);
}

struct screen {
    bool terminal, painted;
    uint64_t line_at;
    char last[512];
};

static void show (struct screen *screen, const char *line, bool whole)
{
    uint64_t now = now_ms ();
    if (screen->terminal) {
        fprintf (stderr, "\r\033[K%s", line);
        screen->painted = true;
        if (whole) {
            fputc ('\n', stderr);
            screen->painted = false;
        }
    } else if (whole || (now >= screen->line_at && strcmp (line, screen->last))) {
        fprintf (stderr, "%s\n", line);
        screen->line_at = now + LINE_EVERY_MS;
    }
    snprintf (screen->last, sizeof screen->last, "%s", line);
    fflush (stderr);
}

static void clear_line (struct screen *screen)
{
    if (screen->painted)
        fputc ('\n', stderr);
    screen->painted = false;
}

static void show_end (struct screen *screen, const struct muster_job_info *job)
{
    char line[512];
    describe (job, line, sizeof line);
    show (screen, line, true);
    if (job->reason.size && strcmp (job->state, "done"))
        fprintf (stderr, "%s: %s: %.*s\n", job->name, job->state, (int)job->reason.size,
                 (const char *)job->reason.data);
    if (job->checkpoint.size)
        fprintf (stderr, "checkpoint of step %" PRIu64 ": %.*s\nweights %s\n", job->weights_step,
                 (int)job->checkpoint.size, (const char *)job->checkpoint.data, job->weights_hash);
}

/* --- following
 * ------------------------------------------------------------------------------------ */

/* -1: go on; else what to exit with. */
static int on_interrupts (struct muster *muster, const char *job, struct screen *screen,
                          uint64_t *first_at)
{
    if (!interrupts)
        return -1;
    bool twice = interrupts > 1 || (*first_at && now_ms () - *first_at < TWICE_MS);
    interrupts = 0;
    clear_line (screen);
    if (!twice) {
        *first_at = now_ms ();
        fprintf (stderr, "press Ctrl-C again within 2 s to cancel job %s; it goes on otherwise\n",
                 job);
        return -1;
    }
    struct muster_error error;
    if (muster_control (muster, job, MUSTER_CANCEL, &error))
        return command_fail (&error);
    fprintf (stderr, "cancelled\n");
    return EXIT_JOB_CANCELLED;
}

/* One look. -1: go on; else what to exit with. */
static int look (struct muster *muster, const char *job, bool quiet, struct screen *screen)
{
    struct muster_answer *answer;
    struct muster_error error;
    const struct muster_job_info *info;
    size_t count;
    char line[512];
    int status;
    if (muster_jobs (muster, job, &answer, &info, &count, &error)) {
        if (error.code != MU_UNAVAILABLE && error.code != MU_TRY_AGAIN)
            return command_fail (&error);
        if (!quiet && !interrupts)
            show (screen, "the coordinator does not answer; waiting for it (training goes on)",
                  false);
        return -1;
    }
    bool ended = job_ended (info, &status);
    if (!quiet && ended)
        show_end (screen, info);
    if (!quiet && !ended) {
        describe (info, line, sizeof line);
        show (screen, line, false);
    }
    muster_answer_free (&answer);
    return ended ? status : -1;
}

int follow_job (struct muster *muster, const char *job, bool quiet)
{
    struct screen screen = { .terminal = isatty (STDERR_FILENO) };
    struct sigaction action = { .sa_handler = on_interrupt }, before;
    uint64_t first_at = 0;
    int status = -1;
    sigaction (SIGINT, &action, &before);
    while (status < 0) {
        status = look (muster, job, quiet, &screen);
        if (status < 0)
            status = on_interrupts (muster, job, &screen, &first_at);
        if (status < 0 && first_at && now_ms () - first_at >= TWICE_MS) {
            clear_line (&screen);
            fprintf (stderr, "detached; `muster watch %s` follows it again\n", job);
            status = EXIT_JOB_NOT_FINISHED;
        }
        struct timespec pause = { 0, POLL_MS * 1000000L };
        if (status < 0)
            nanosleep (&pause, NULL);
    }
    sigaction (SIGINT, &before, NULL);
    return status;
}

int command_watch (const struct command *command)
{
    return follow_job (command->muster, command->operands->item[0], false);
}

int command_wait (const struct command *command)
{
    return follow_job (command->muster, command->operands->item[0], true);
}
