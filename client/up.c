/* SPDX-License-Identifier: Apache-2.0 */
/* up.c - `muster up`: a coordinator and workers on this machine, until Ctrl-C
 *
 * A worker that ends by itself is started again, with a growing pause; the coordinator likewise:
 * jobs go on meanwhile, as they would on a real cluster. Logs go to DIR/log. What is started here
 * ends with us, also if we are killed (the parent-death signal).
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <poll.h>

#define READY_LIMIT_MS 20000
#define STOP_LIMIT_MS  15000
#define TICK_MS        100
#define PAUSE_MAX_MS   10000u

struct child {
    char name[64];
    char *argv[24];
    pid_t pid; /* 0: not running */
    uint64_t started_ms, start_at_ms;
    uint32_t pause_ms;
};

struct up {
    const struct mu_client_options *options;
    char *dir, *logs, endpoint[512], threads[24];
    struct child *child; /* the coordinator first */
    size_t count;
    int signal_fd;
    bool ready;
};

static uint64_t now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- where things are
 * ----------------------------------------------------------------------------- */

/* Beside this program, in sbin beside its folder (an installation), or wherever PATH leads. */
static char *find_program (const char *name)
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
    return strdup (name);
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
    for (char *at = up->dir + 1; *at; at++) {
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

/* --- children
 * ------------------------------------------------------------------------------------- */

static void become (const struct up *up, const struct child *child, pid_t parent)
{
    char log[PATH_MAX];
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    prctl (PR_SET_PDEATHSIG, SIGTERM);
    if (getppid () != parent)
        _exit (1);
    setpgid (0, 0); /* the terminal's Ctrl-C is for us alone; we pass it on in order */
    snprintf (log, sizeof log, "%s/%s.log", up->logs, child->name);
    int fd = open (log, O_WRONLY | O_CREAT | O_APPEND, 0640),
        none_fd = open ("/dev/null", O_RDONLY);
    if (fd >= 0) {
        dup2 (fd, STDOUT_FILENO);
        dup2 (fd, STDERR_FILENO);
    }
    if (none_fd >= 0)
        dup2 (none_fd, STDIN_FILENO);
    execvp (child->argv[0], child->argv);
    fprintf (stderr, "muster: %s cannot be started: %s\n", child->argv[0], strerror (errno));
    _exit (127);
}

static void start (struct up *up, struct child *child)
{
    pid_t parent = getpid (), pid = fork ();
    if (pid < 0) {
        child->start_at_ms = now_ms () + 1000;
        return;
    }
    if (!pid)
        become (up, child, parent);
    child->pid = pid;
    child->started_ms = now_ms ();
}

static void say_ended (const struct up *up, const struct child *child, int status)
{
    if (WIFSIGNALED (status))
        fprintf (
            stderr, "%s was ended by signal %d (%s); it is started again. Its log: %s/%s.log\n",
            child->name, WTERMSIG (status), strsignal (WTERMSIG (status)), up->logs, child->name);
    else
        fprintf (stderr, "%s ended with status %d; it is started again. Its log: %s/%s.log\n",
                 child->name, WEXITSTATUS (status), up->logs, child->name);
}

/* A child that ran for a while starts again at once; one that does not get far waits longer each
 * time. */
static void reap (struct up *up, bool stopping)
{
    int status;
    for (pid_t pid; (pid = waitpid (-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < up->count; i++) {
            struct child *child = &up->child[i];
            if (child->pid != pid)
                continue;
            child->pid = 0;
            bool lived = now_ms () - child->started_ms > 5000;
            child->pause_ms = lived ? 0 : child->pause_ms ? 2 * child->pause_ms : 100;
            if (child->pause_ms > PAUSE_MAX_MS)
                child->pause_ms = PAUSE_MAX_MS;
            child->start_at_ms = now_ms () + child->pause_ms;
            if (!stopping)
                say_ended (up, child, status);
        }
}

static bool any_running (const struct up *up)
{
    for (size_t i = 0; i < up->count; i++)
        if (up->child[i].pid)
            return true;
    return false;
}

/* Workers first: they tell the coordinator that they leave. */
static void stop_all (struct up *up)
{
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < up->count; i++)
            if (up->child[i].pid && (round == 1 || i > 0))
                kill (up->child[i].pid, SIGTERM);
        uint64_t limit = now_ms () + STOP_LIMIT_MS;
        bool workers = true;
        while (workers && now_ms () < limit) {
            poll (NULL, 0, TICK_MS);
            reap (up, true);
            workers = false;
            for (size_t i = round == 0 ? 1 : 0; i < up->count; i++)
                workers |= up->child[i].pid != 0;
        }
    }
    for (size_t i = 0; i < up->count; i++)
        if (up->child[i].pid)
            kill (up->child[i].pid, SIGKILL);
    while (any_running (up) && waitpid (-1, NULL, 0) > 0)
        continue;
}

/* --- the plan
 * ------------------------------------------------------------------------------------- */

static size_t cpus (void)
{
    cpu_set_t set;
    return sched_getaffinity (0, sizeof set, &set) ? 1 : (size_t)CPU_COUNT (&set);
}

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
    child->argv[n++] = strdup ("--listen");
    child->argv[n++] = strdup (up->endpoint);
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
}

static void plan (struct up *up)
{
    size_t workers = (size_t)up->options->up.workers;
    size_t threads = (size_t)up->options->up.threads;
    if (!threads)
        threads = cpus () / workers ? cpus () / workers : 1;
    snprintf (up->threads, sizeof up->threads, "%zu", threads);
    up->count = workers + 1;
    up->child = calloc (up->count, sizeof *up->child);
    if (!up->child)
        abort ();
    plan_coordinator (up, find_program ("muster-coordinator"));
    char *worker = find_program ("muster-worker");
    for (size_t i = 1; i < up->count; i++)
        plan_worker (up, i, worker);
    free (worker);
}

/* --- running
 * -------------------------------------------------------------------------------------- */

static bool check_ready (struct up *up)
{
    struct muster *muster;
    struct muster_pong pong;
    if (muster_open (&muster, up->endpoint, NULL))
        return false;
    muster_set_timeout (muster, TICK_MS);
    bool ready = !muster_ping (muster, &pong, NULL) && pong.workers + 1 >= up->count;
    muster_close (&muster);
    if (ready)
        fprintf (
            stderr,
            "ready: coordinator at %s, %zu workers with %s thread%s each; state and logs in %s\n"
            "submit a job with `muster submit FILE --wait`; Ctrl-C ends all of this, jobs go on "
            "at the next `muster up`\n",
            up->endpoint, up->count - 1, up->threads, strcmp (up->threads, "1") ? "s" : "",
            up->dir);
    return ready;
}

static bool told_to_stop (const struct up *up)
{
    struct pollfd poll_fd = { .fd = up->signal_fd, .events = POLLIN };
    return poll (&poll_fd, 1, TICK_MS) > 0;
}

static int serve (struct up *up)
{
    uint64_t began = now_ms ();
    bool warned = false;
    while (!told_to_stop (up)) {
        reap (up, false);
        for (size_t i = 0; i < up->count; i++)
            if (!up->child[i].pid && now_ms () >= up->child[i].start_at_ms)
                start (up, &up->child[i]);
        if (!up->ready)
            up->ready = check_ready (up);
        if (!up->ready && !warned && now_ms () - began > READY_LIMIT_MS) {
            fprintf (stderr, "not all of them are up after %d s; their logs in %s say why\n",
                     READY_LIMIT_MS / 1000, up->logs);
            warned = true;
        }
    }
    fprintf (stderr, "stopping\n");
    stop_all (up);
    return 0;
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

int command_up (const struct command *command)
{
    struct up up = { .options = command->options, .signal_fd = -1 };
    struct mu_error error;
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGHUP);
    sigprocmask (SIG_BLOCK, &set, NULL);
    up.signal_fd = signalfd (-1, &set, SFD_CLOEXEC);
    up.dir = command->options->up.dir ? strdup (command->options->up.dir)
                                      : mu_options_state_dir (&error);
    int status;
    if (!up.dir || make_folders (&up, &error)) {
        status = command_fail_mu (&error);
    } else {
        plan (&up);
        status = serve (&up);
    }
    clean_up (&up);
    return status;
}
