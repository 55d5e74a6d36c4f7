/* SPDX-License-Identifier: Apache-2.0 */
/* io_trainer.c - starts, hears and buries the trainer process
 *
 * The agent has threads (libzmq's), so between fork and exec the child calls nothing but what is
 * safe in a signal handler: arguments and environment are made before. */
#include "io_trainer.h"

#include "worker/comm/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXEC_FAILED 127

void io_trainer_init (struct io_trainer *trainer)
{
    memset (trainer, 0, sizeof *trainer);
    trainer->pidfd = trainer->output = trainer->channel.fd = -1;
    trainer->about = MU_LOG_ABOUT_NOTHING;
}

/* --- start ------------------------------------------------------------------------------------ */

struct start {
    const char *program;
    char *const *arguments;
    char *const *environment;
    int channel, output, null;
    pid_t agent;
};

/* In the child. */
static void become (const struct start *start)
{
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    setpgid (0, 0);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != start->agent)
        _exit (EXEC_FAILED);
    if (dup2 (start->null, 0) < 0 || dup2 (start->output, 1) < 0 || dup2 (start->output, 2) < 0 ||
        fcntl (start->channel, F_SETFD, 0) < 0)
        _exit (EXEC_FAILED);
    execve (start->program, start->arguments, start->environment);
    static const char sentence[] = "the trainer program could not be started\n";
    (void)!write (2, sentence, sizeof sentence - 1);
    _exit (EXEC_FAILED);
}

static int spawn (struct io_trainer *trainer, const struct start *start, struct mu_error *error)
{
    pid_t pid = fork ();
    if (pid < 0)
        return mu_fail_errno (
            error, MU_SYSTEM, errno,
            "no process for the trainer; is there a limit (ulimit -u, pids.max)?");
    if (pid == 0)
        become (start);
    trainer->pid = pid;
    trainer->pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
    if (trainer->pidfd >= 0)
        return 0;
    int number = errno;
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
    trainer->pid = 0;
    return mu_fail_errno (error, MU_SYSTEM, number,
                          "the trainer process cannot be watched; Linux 5.3 or newer is needed");
}

static int start_with (struct io_trainer *trainer, const struct io_trainer_options *options,
                       struct start *start, struct mu_error *error)
{
    char channel[16], agent[16], threads[16];
    snprintf (channel, sizeof channel, "%d", start->channel);
    snprintf (agent, sizeof agent, "%d", (int)start->agent);
    snprintf (threads, sizeof threads, "%u", options->threads);
    const char *const arguments[] = { "muster-trainer", channel,      agent,          options->isa,
                                      threads,          options->dir, options->cache, NULL };
    char **environment = mu_collective_environment (NULL, -1);
    if (!environment)
        return mu_fail (error, MU_SYSTEM, "no memory for the trainer's environment");
    start->program = options->program;
    start->arguments = (char *const *)(uintptr_t)arguments;
    start->environment = environment;
    int status = spawn (trainer, start, error);
    free (environment);
    return status;
}

int io_trainer_start (struct io_trainer *trainer, const struct io_trainer_options *options,
                      struct mu_error *error)
{
    int ends[2] = { -1, -1 }, output[2] = { -1, -1 };
    struct mu_log_about about = trainer->about;
    io_trainer_init (trainer);
    trainer->about = about;
    struct start start = { .agent = getpid (), .null = open ("/dev/null", O_RDWR | O_CLOEXEC) };
    int status = start.null < 0 ? mu_fail_errno (error, MU_SYSTEM, errno, "no /dev/null") : 0;
    if (status == 0 && pipe2 (output, O_CLOEXEC) < 0)
        status = mu_fail_errno (error, MU_SYSTEM, errno, "no pipe for the trainer's output");
    if (status == 0)
        status = mu_channel_pair (ends, error);
    if (status == 0) {
        start.channel = ends[1];
        start.output = output[1];
        status = mu_channel_open (&trainer->channel, ends[0], MU_ROLE_TRAINER, error);
        ends[0] = -1; /* the channel's now, or closed */
    }
    if (status == 0)
        status = start_with (trainer, options, &start, error);
    trainer->output = output[0];
    if (trainer->output >= 0)
        (void)fcntl (trainer->output, F_SETFL, O_NONBLOCK);
    if (status < 0) {
        mu_channel_close (&trainer->channel);
        if (trainer->output >= 0)
            close (trainer->output);
        trainer->output = -1;
    }
    int ours[] = { start.null, output[1], ends[0], ends[1] };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (ours[i] >= 0)
            close (ours[i]);
    return status;
}

void io_trainer_kill (struct io_trainer *trainer)
{
    if (trainer->pid)
        kill (trainer->pid, SIGKILL);
}

/* --- what it prints --------------------------------------------------------------------------- */

static void remember (struct io_trainer *trainer, const char *text)
{
    mu_text_set (trainer->last_words, sizeof trainer->last_words, text);
}

static bool log_json (struct io_trainer *trainer, const char *line)
{
    json_t *object = json_loads (line, 0, NULL);
    const char *level = json_string_value (json_object_get (object, "level"));
    const char *event = json_string_value (json_object_get (object, "event"));
    const char *text = json_string_value (json_object_get (object, "text"));
    int number = level ? mu_log_level_parse (level) : -1;
    bool good = number >= 0 && event && text;
    if (good) {
        mu_log ((enum mu_log_level)number, event, &trainer->about, "%s", text);
        if (number >= MU_LOG_ERROR)
            remember (trainer, text);
    }
    json_decref (object);
    return good;
}

/* Anything may stand in a line that a plug-in prints. */
static void log_line (struct io_trainer *trainer, char *line)
{
    if (!*line)
        return;
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < ' ' && *at != '\t')
            *at = '?';
    if (!mu_text_valid (line, strlen (line)))
        for (char *at = line; *at; at++)
            if ((unsigned char)*at >= 0x80)
                *at = '?';
    if (*line == '{' && log_json (trainer, line))
        return;
    remember (trainer, line);
    mu_log (MU_LOG_INFO, "trainer_says", &trainer->about, "%s", line);
}

static void take_lines (struct io_trainer *trainer, bool at_end)
{
    size_t begin = 0;
    for (size_t i = 0; i < trainer->used; i++) {
        if (trainer->line[i] != '\n')
            continue;
        trainer->line[i] = '\0';
        log_line (trainer, trainer->line + begin);
        begin = i + 1;
    }
    memmove (trainer->line, trainer->line + begin, trainer->used - begin);
    trainer->used -= begin;
    if (trainer->used == sizeof trainer->line - 1 || (at_end && trainer->used)) {
        trainer->line[trainer->used] = '\0';
        trainer->used = 0;
        log_line (trainer, trainer->line);
    }
}

void io_trainer_read_output (struct io_trainer *trainer)
{
    for (int reads = 0; reads < 16 && trainer->output >= 0; reads++) {
        ssize_t size = read (trainer->output, trainer->line + trainer->used,
                             sizeof trainer->line - 1 - trainer->used);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return;
        if (size == 0) {
            close (trainer->output);
            trainer->output = -1;
        }
        for (ssize_t i = 0; i < size; i++)
            if (!trainer->line[trainer->used + (size_t)i])
                trainer->line[trainer->used + (size_t)i] = '?';
        trainer->used += (size_t)size;
        take_lines (trainer, size == 0);
    }
}

/* --- its end ---------------------------------------------------------------------------------- */

static void describe_end (const struct io_trainer *trainer, int status, char *text, size_t size)
{
    const char *colon = *trainer->last_words ? "; its last words: " : "";
    if (WIFSIGNALED (status))
        snprintf (text, size, "the trainer process was killed by signal %d (%s)%s%s%s",
                  WTERMSIG (status), strsignal (WTERMSIG (status)),
                  WTERMSIG (status) == SIGKILL ? ": did the system run out of memory?" : "", colon,
                  trainer->last_words);
    else
        snprintf (text, size, "the trainer process ended with status %d%s%s", WEXITSTATUS (status),
                  colon, trainer->last_words);
}

int io_trainer_reap (struct io_trainer *trainer, char *text, size_t size)
{
    int status = 0;
    io_trainer_read_output (trainer);
    take_lines (trainer, true);
    if (trainer->pid)
        waitpid (trainer->pid, &status, 0);
    describe_end (trainer, status, text, size);
    if (trainer->pidfd >= 0)
        close (trainer->pidfd);
    if (trainer->output >= 0)
        close (trainer->output);
    mu_channel_close (&trainer->channel);
    trainer->pid = 0;
    trainer->pidfd = trainer->output = -1;
    return status;
}
