/* SPDX-License-Identifier: Apache-2.0 */
/* up.c - `muster up`: a coordinator and workers on this machine, until Ctrl-C
 *
 * A worker that ends by itself is started again, with a growing pause; the coordinator likewise:
 * jobs go on meanwhile, as they would on a real cluster. What could not start even once is not: a
 * program that is missing, a port in use, a folder of another coordinator, a wrong setting. Then
 * the child's last words are quoted and its exit status is ours. Workers start when the coordinator
 * has answered, so that they never touch the folders of somebody else's. Logs go to DIR/log. What
 * is started here ends with us, also if we are killed (the parent-death signal).
 */
#include "command.h"

#include "clock.h"
#include "cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <poll.h>

#define READY_LIMIT_MS 20000
#define STOP_LIMIT_MS  15000
#define TICK_MS        100
#define PING_MS        150
#define PAUSE_MAX_MS   10000u
#define LIVED_MS       5000 /* a child that ran so long did start */
#define FAILURES_MAX   5u   /* starts in a row before all are up */
#define LISTEN_MAX     16u  /* as config.schema says */
#define QUOTED_BYTES   4096
#define QUOTED_LINES   3

struct child {
    char name[64];
    char *argv[6 + 2 * LISTEN_MAX];
    pid_t pid; /* 0: not running */
    uint64_t started_ms, start_at_ms;
    uint32_t pause_ms, failures; /* ends in a row that came soon */
    off_t log_from;              /* where its log began at this start */
};

struct up {
    const struct mu_client_options *options;
    char *dir, *logs, endpoint[512], threads[24];
    struct child *child; /* the coordinator first */
    size_t count;
    int signal_fd;
    bool answered, ready; /* the coordinator has; all workers are there */
    int status;           /* not 0: give up, and exit with this */
};

/* --- where things are ------------------------------------------------------------------------- */

static char *find_in_path (const char *name)
{
    const char *path = getenv ("PATH");
    char *copy = strdup (path ? path : "/usr/local/bin:/usr/bin:/bin"), *rest = copy, *found = NULL;
    for (const char *folder; !found && (folder = strsep (&rest, ":"));) {
        if (asprintf (&found, "%s/%s", *folder ? folder : ".", name) < 0)
            abort ();
        if (access (found, X_OK)) {
            free (found);
            found = NULL;
        }
    }
    free (copy);
    return found;
}

/* Beside this program, in sbin beside its folder (an installation), or wherever PATH leads. */
static char *find_program (const char *name, struct mu_error *error)
{
    static const char *const places[] = { "", "../sbin/", "../bin/" };
    char self[PATH_MAX], *path;
    ssize_t size = readlink ("/proc/self/exe", self, sizeof self - 1);
    if (size > 0) {
        self[size] = '\0';
        strrchr (self, '/')[1] = '\0';
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            if (asprintf (&path, "%s%s%s", self, places[i], name) < 0)
                abort ();
            if (!access (path, X_OK))
                return path;
            free (path);
        }
    }
    path = find_in_path (name);
    if (!path)
        mu_fail (error, MU_UNAVAILABLE,
                 "the program %s is neither beside this one nor in PATH: is Muster installed "
                 "whole?",
                 name);
    return path;
}

static int make_folder (const char *path, struct mu_error *error)
{
    if (!mkdir (path, 0750) || errno == EEXIST)
        return 0;
    return mu_fail_errno (error, MU_CANT_CREATE, errno,
                          "%s cannot be made (name another with --dir)", path);
}

static int make_folders (struct up *up, struct mu_error *error)
{
    for (char *at = up->dir + (*up->dir != '\0'); *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        int rc = make_folder (up->dir, error);
        *at = '/';
        if (rc)
            return -1;
    }
    if (asprintf (&up->logs, "%s/log", up->dir) < 0)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    return make_folder (up->dir, error) || make_folder (up->logs, error) ? -1 : 0;
}

/* --- children --------------------------------------------------------------------------------- */

static int open_log (const struct up *up, const struct child *child, int flags)
{
    char *path;
    if (asprintf (&path, "%s/%s.log", up->logs, child->name) < 0)
        abort ();
    int fd = open (path, flags | O_CLOEXEC, 0640);
    if (fd < 0)
        fprintf (stderr, "muster: the log %s cannot be opened: %s\n", path, strerror (errno));
    free (path);
    return fd;
}

static void become (const struct up *up, const struct child *child, pid_t parent)
{
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    prctl (PR_SET_PDEATHSIG, SIGTERM);
    if (getppid () != parent)
        _exit (1);
    setpgid (0, 0); /* the terminal's Ctrl-C is for us alone; we pass it on in order */
    int fd = open_log (up, child, O_WRONLY | O_CREAT | O_APPEND),
        none_fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || none_fd < 0)
        _exit (mu_code_exit (MU_CANT_CREATE));
    dup2 (none_fd, STDIN_FILENO);
    dup2 (fd, STDOUT_FILENO);
    dup2 (fd, STDERR_FILENO);
    close_range (STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC); /* what our caller left open too */
    execv (child->argv[0], child->argv);
    fprintf (stderr, "muster: %s cannot be started: %s\n", child->argv[0], strerror (errno));
    _exit (127);
}

static void start (struct up *up, struct child *child)
{
    int log = open_log (up, child, O_RDONLY | O_CREAT);
    child->log_from = log >= 0 ? lseek (log, 0, SEEK_END) : 0;
    if (log >= 0)
        close (log);
    pid_t parent = getpid (), pid = fork ();
    if (pid < 0) {
        fprintf (stderr, "%s cannot be started now: %s\n", child->name, strerror (errno));
        child->start_at_ms = mu_now_ms () + PAUSE_MAX_MS;
        return;
    }
    if (!pid)
        become (up, child, parent);
    child->pid = pid;
    child->started_ms = mu_now_ms ();
}

/* --- ends ------------------------------------------------------------------------------------- */

/* A line of a log is a JSON object with a text for people; other programs' lines are as they are.
 */
static void print_line (const char *line, size_t size)
{
    json_t *object = json_loadb (line, size, 0, NULL);
    const char *text = json_string_value (json_object_get (object, "text"));
    fprintf (stderr, "    %.*s\n", text ? (int)strlen (text) : (int)size, text ? text : line);
    json_decref (object);
}

/* The last lines of its log that it wrote since it was started. */
static void quote_log (const struct up *up, const struct child *child)
{
    char text[QUOTED_BYTES];
    int fd = open_log (up, child, O_RDONLY);
    off_t size = fd >= 0 ? lseek (fd, 0, SEEK_END) : 0, from = child->log_from;
    if (size - from > QUOTED_BYTES)
        from = size - QUOTED_BYTES;
    ssize_t got = fd >= 0 ? pread (fd, text, sizeof text, from) : 0;
    if (fd >= 0)
        close (fd);
    size_t end = got > 0 ? (size_t)got : 0, begin = end;
    for (int lines = 0; begin > 0 && lines < QUOTED_LINES; lines++) {
        const char *newline = begin > 1 ? memrchr (text, '\n', begin - 1) : NULL;
        begin = newline ? (size_t)(newline - text) + 1 : 0;
    }
    while (begin < end) {
        const char *newline = memchr (text + begin, '\n', end - begin);
        size_t length = newline ? (size_t)(newline - text) - begin : end - begin;
        print_line (text + begin, length);
        begin += length + 1;
    }
}

static void say_ended (const struct up *up, const struct child *child, int status)
{
    if (WIFSIGNALED (status))
        fprintf (stderr, "%s was ended by signal %d (%s)", child->name, WTERMSIG (status),
                 strsignal (WTERMSIG (status)));
    else
        fprintf (stderr, "%s ended with status %d", child->name, WEXITSTATUS (status));
    fprintf (stderr, "%s; its log is %s/%s.log%s\n", up->status ? "" : ", it is started again",
             up->logs, child->name, WIFSIGNALED (status) ? "" : ", and ends with:");
    if (!WIFSIGNALED (status))
        quote_log (up, child);
    if (child == up->child && up->status == mu_code_exit (MU_NO_PERMISSION))
        fprintf (stderr, "(`muster up` takes that option as MUSTER_ALLOW_UNAUTHENTICATED=true)\n");
}

/* What to exit with when starting it again is no use; else 0. */
static int hopeless (const struct up *up, const struct child *child, int status)
{
    int code = WIFEXITED (status) ? WEXITSTATUS (status) : 0;
    bool coordinator = child == up->child;
    if (code == 127 || code == mu_code_exit (MU_USAGE) || code == mu_code_exit (MU_CONFIG) ||
        (coordinator && !up->answered))
        return code;
    if (!up->ready && child->failures >= FAILURES_MAX)
        return code ? code : mu_code_exit (MU_UNAVAILABLE);
    return 0;
}

/* A child that ran for a while starts again at once; one that does not get far waits longer each
 * time. */
static void note_end (struct child *child)
{
    bool lived = mu_now_ms () - child->started_ms > LIVED_MS;
    child->pid = 0;
    child->failures = lived ? 0 : child->failures + 1;
    child->pause_ms = lived ? 0 : child->pause_ms ? 2 * child->pause_ms : 100;
    if (child->pause_ms > PAUSE_MAX_MS)
        child->pause_ms = PAUSE_MAX_MS;
    child->start_at_ms = mu_now_ms () + child->pause_ms;
}

static void reap (struct up *up, bool stopping)
{
    int status;
    for (pid_t pid; (pid = waitpid (-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < up->count; i++) {
            struct child *child = &up->child[i];
            if (child->pid != pid)
                continue;
            note_end (child);
            if (stopping)
                continue;
            up->status = hopeless (up, child, status);
            say_ended (up, child, status);
            if (up->status)
                return;
        }
}

/* The signal that came within TICK_MS, or 0. */
static uint32_t take_signal (const struct up *up)
{
    struct signalfd_siginfo info;
    struct pollfd poll_fd = { .fd = up->signal_fd, .events = POLLIN };
    if (poll (&poll_fd, 1, TICK_MS) <= 0)
        return 0;
    return read (up->signal_fd, &info, sizeof info) == sizeof info ? info.ssi_signo : 0;
}

static bool any_running (const struct up *up, size_t first)
{
    for (size_t i = first; i < up->count; i++)
        if (up->child[i].pid)
            return true;
    return false;
}

/* Tell the children from `first` on, and wait for their ends. A second Ctrl-C is patience lost. */
static bool end_from (struct up *up, size_t first)
{
    for (size_t i = first; i < up->count; i++)
        if (up->child[i].pid)
            kill (up->child[i].pid, SIGTERM);
    for (uint64_t limit = mu_now_ms () + STOP_LIMIT_MS; any_running (up, first); reap (up, true))
        if (mu_now_ms () >= limit || take_signal (up) == SIGINT)
            return false;
    return true;
}

/* Workers first: they tell the coordinator that they leave. */
static void stop_all (struct up *up)
{
    if (end_from (up, 1) && end_from (up, 0))
        return;
    fprintf (stderr, "what still runs is killed\n");
    for (size_t i = 0; i < up->count; i++)
        if (up->child[i].pid)
            kill (up->child[i].pid, SIGKILL);
    while (waitpid (-1, NULL, 0) > 0)
        continue;
}

/* --- the plan --------------------------------------------------------------------------------- */

static void plan_coordinator (struct up *up, char *program)
{
    struct child *child = &up->child[0];
    const struct mu_text_list *listen =
        up->options->up.listen.count ? &up->options->up.listen : &up->options->coordinator;
    size_t n = 0;
    snprintf (child->name, sizeof child->name, "coordinator");
    snprintf (up->endpoint, sizeof up->endpoint, "%s", listen->item[0]);
    child->argv[n++] = program;
    child->argv[n++] = strdup ("--dir");
    child->argv[n++] = strdup (up->dir);
    for (size_t i = 0; i < listen->count && i < LISTEN_MAX; i++) {
        child->argv[n++] = strdup ("--listen");
        child->argv[n++] = strdup (listen->item[i]);
    }
    if (up->options->up.enable_faults)
        child->argv[n++] = strdup ("--enable-faults");
}

static void plan_worker (struct up *up, size_t index, const char *program)
{
    struct child *child = &up->child[index];
    size_t n = 0;
    char *dir;
    snprintf (child->name, sizeof child->name, "worker-%zu", index - 1);
    if (asprintf (&dir, "%s/%s", up->dir, child->name) < 0)
        abort ();
    child->argv[n++] = strdup (program);
    child->argv[n++] = strdup ("--coordinator");
    child->argv[n++] = strdup (up->endpoint);
    child->argv[n++] = strdup ("--name");
    child->argv[n++] = strdup (child->name);
    child->argv[n++] = strdup ("--dir");
    child->argv[n++] = dir;
    child->argv[n++] = strdup ("--threads");
    child->argv[n++] = strdup (up->threads);
    child->argv[n++] = strdup ("--interface");
    child->argv[n++] = strdup ("lo");
    if (up->options->up.enable_faults)
        child->argv[n++] = strdup ("--enable-faults");
}

static int plan (struct up *up, struct mu_error *error)
{
    size_t workers = (size_t)up->options->up.workers;
    size_t threads = (size_t)up->options->up.threads;
    if (!threads)
        threads = mu_cpus () / workers ? mu_cpus () / workers : 1;
    snprintf (up->threads, sizeof up->threads, "%zu", threads);
    up->count = workers + 1;
    up->child = calloc (up->count, sizeof *up->child);
    if (!up->child)
        abort ();
    char *coordinator = find_program ("muster-coordinator", error);
    char *worker = coordinator ? find_program ("muster-worker", error) : NULL;
    if (!worker) {
        free (coordinator);
        return -1;
    }
    plan_coordinator (up, coordinator);
    for (size_t i = 1; i < up->count; i++)
        plan_worker (up, i, worker);
    free (worker);
    return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

/* Does a coordinator answer, and how many workers has it? */
static bool ping (const struct up *up, uint32_t *workers)
{
    struct muster *muster;
    struct muster_pong pong = { .workers = 0 };
    if (muster_open (&muster, up->endpoint, NULL))
        return false;
    muster_set_timeout (muster, PING_MS);
    bool answered = !muster_ping (muster, &pong, NULL);
    muster_close (&muster);
    *workers = pong.workers;
    return answered;
}

static void check_ready (struct up *up)
{
    uint32_t workers = 0;
    bool answered = up->child[0].pid && ping (up, &workers);
    up->answered = up->answered || answered;
    up->ready = answered && workers + 1 >= up->count;
    if (up->ready)
        fprintf (
            stderr,
            "ready: coordinator at %s, %zu worker%s with %s thread%s each; state and logs in %s\n"
            "submit a job with `muster submit FILE --wait`; Ctrl-C ends all of this, jobs go on "
            "at the next `muster up`\n",
            up->endpoint, up->count - 1, up->count == 2 ? "" : "s", up->threads,
            strcmp (up->threads, "1") ? "s" : "", up->dir);
}

static void start_all (struct up *up)
{
    size_t count = up->answered ? up->count : 1;
    for (size_t i = 0; i < count; i++)
        if (!up->child[i].pid && mu_now_ms () >= up->child[i].start_at_ms)
            start (up, &up->child[i]);
}

static int serve (struct up *up)
{
    uint64_t began = mu_now_ms ();
    bool warned = false;
    do {
        start_all (up);
        if (!up->ready)
            check_ready (up);
        if (!up->ready && !warned && mu_now_ms () - began > READY_LIMIT_MS) {
            fprintf (stderr, "not all of them are up after %d s; their logs in %s say why\n",
                     READY_LIMIT_MS / 1000, up->logs);
            warned = true;
        }
        reap (up, false);
    } while (!up->status && !take_signal (up));
    fprintf (stderr, "stopping\n");
    stop_all (up);
    return up->status;
}

/* Somebody else's coordinator would answer for ours. */
static int check_address (const struct up *up, struct mu_error *error)
{
    uint32_t workers;
    if (!ping (up, &workers))
        return 0;
    return mu_fail (error, MU_UNAVAILABLE,
                    "a coordinator answers at %s already: use it, stop it, or choose another "
                    "address with --listen (and another folder with --dir)",
                    up->endpoint);
}

static void clean_up (struct up *up)
{
    for (size_t i = 0; i < up->count; i++)
        for (char **at = up->child[i].argv; *at; at++)
            free (*at);
    free (up->child);
    free (up->logs);
    free (up->dir);
    if (up->signal_fd >= 0)
        close (up->signal_fd);
}

static int set_up (struct up *up, struct mu_error *error)
{
    const char *dir = up->options->up.dir;
    up->dir = dir ? strdup (dir) : mu_options_state_dir (error);
    return !up->dir || plan (up, error) || check_address (up, error) || make_folders (up, error)
               ? -1
               : 0;
}

int command_up (const struct command *command)
{
    struct up up = { .options = command->options, .signal_fd = -1 };
    struct mu_error error;
    sigset_t set;
    while ((up.signal_fd = open ("/dev/null", O_RDWR)) >= 0 && up.signal_fd <= STDERR_FILENO)
        continue; /* closed standard descriptors would become the children's logs */
    close (up.signal_fd);
    sigemptyset (&set);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGHUP);
    sigprocmask (SIG_BLOCK, &set, NULL);
    up.signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    int rc = up.signal_fd < 0
                 ? mu_fail_errno (&error, MU_SYSTEM, errno, "signals cannot be watched")
                 : set_up (&up, &error);
    int status = rc ? command_fail_mu (&error) : serve (&up);
    clean_up (&up);
    return status;
}
