/* SPDX-License-Identifier: Apache-2.0 */
/* launch.c - fork, exec, three descriptors and a process descriptor
 *
 * command   SOCK_SEQPACKET: the generation goes in, reports come out (collective_protocol.h)
 * pmi       stream: MPICH's questions (pmi.h)
 * words     a pipe for its standard error: the last words of a process that ends oddly
 * process   pidfd: readable when it ended
 */
#include "launch.h"

#include "pmi.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 400u
#define BURY_MS   200 /* for a killed process to end */

extern char **environ;

struct mu_collective {
    pid_t pid; /* 0 once reaped */
    int process_fd, command_fd, pmi_fd, words_fd;
    uint64_t generation;
    struct mu_pmi *pmi;
    bool fence_told;
    bool broken; /* it broke the protocol; `why` says how */
    bool killed;
    struct mu_error why;
    struct mu_collective_report failed; /* kind 0: none */
    char words[WORDS_MAX + 1];
    size_t words_size;
};

/* --- the environment -------------------------------------------------------------------------- */

static bool is_launchers (const char *entry)
{
    static const char *const prefixes[] = { "PMI_",     "PMIX_",     "PMI2_", "HYDRA_", "HYDI_",
                                            "MPIEXEC_", "MPI_LOCAL", "OMPI_", "SLURM_", "PALS_" };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncmp (entry, prefixes[i], strlen (prefixes[i])))
            return true;
    return false;
}

/* What makes MPICH 4.0 with UCX start in milliseconds and see lost peers. The operator's own
 * setting of any of them wins. */
static const char *const tuned[] = {
    "UCX_TLS=tcp,self",       "UCX_MODULES=cma",
    "UCX_VFS_ENABLE=n",       "UCX_MEM_EVENTS=n",
    "UCX_HANDLE_ERRORS=none", "UCX_WARN_UNUSED_ENV_VARS=n",
    "UCX_LOG_LEVEL=error",    "MPIR_CVAR_NOLOCAL=1",
    "HWLOC_SYNTHETIC=pu:2",   "HWLOC_PLUGINS_PATH=/nonexistent",
};
#define TUNED_COUNT (sizeof tuned / sizeof *tuned)

static bool operator_has (const char *setting)
{
    size_t name = strcspn (setting, "=") + 1;
    for (char **entry = environ; *entry; entry++)
        if (!strncmp (*entry, setting, name))
            return true;
    return false;
}

char **mu_collective_environment (const struct mu_collective_options *options, int pmi_fd)
{
    enum { MADE_MAX = 3, MADE_BYTES = 256 };
    size_t count = 0;
    while (environ[count])
        count++;
    char **list =
        calloc (1, (count + TUNED_COUNT + MADE_MAX + 1) * sizeof *list + MADE_MAX * MADE_BYTES);
    if (!list)
        return NULL;
    char (*made)[MADE_BYTES] = (void *)(list + count + TUNED_COUNT + MADE_MAX + 1);
    size_t n = 0, m = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_launchers (environ[i]))
            list[n++] = environ[i];
    if (!options)
        return list;
    for (size_t i = 0; i < TUNED_COUNT; i++)
        if (!operator_has (tuned[i]))
            list[n++] = (char *)(uintptr_t)tuned[i];
    if (options->device && !operator_has ("UCX_NET_DEVICES=")) {
        snprintf (made[m], MADE_BYTES, "UCX_NET_DEVICES=%s", options->device);
        list[n++] = made[m++];
    }
    if (options->port_range && !operator_has ("UCX_TCP_PORT_RANGE=")) {
        snprintf (made[m], MADE_BYTES, "UCX_TCP_PORT_RANGE=%s", options->port_range);
        list[n++] = made[m++];
    }
    snprintf (made[m], MADE_BYTES, "PMI_FD=%d", pmi_fd);
    list[n++] = made[m++];
    return list;
}

static bool same_address (const struct sockaddr *address, const char *text)
{
    char shown[INET6_ADDRSTRLEN];
    const void *at;
    if (!address)
        return false;
    if (address->sa_family == AF_INET)
        at = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        at = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    else
        return false;
    return inet_ntop (address->sa_family, at, shown, sizeof shown) && !strcmp (shown, text);
}

int mu_collective_device (const char *name_or_address, char *device, size_t size,
                          struct mu_error *error)
{
    struct ifaddrs *list, *at;
    if (getifaddrs (&list))
        return mu_fail_errno (error, MU_SYSTEM, errno, "the network devices cannot be listed");
    for (at = list; at; at = at->ifa_next)
        if (!strcmp (at->ifa_name, name_or_address) || same_address (at->ifa_addr, name_or_address))
            break;
    if (at)
        snprintf (device, size, "%s", at->ifa_name);
    else
        mu_fail (error, MU_NO_HOST,
                 "%s is neither a network device of this machine nor one of its addresses (see `ip "
                 "address`)",
                 name_or_address);
    freeifaddrs (list);
    return at ? 0 : -1;
}

/* --- starting --------------------------------------------------------------------------------- */

/* In the child, between fork and exec: only async-signal-safe calls. The parent's ends are
 * close-on-exec already; the child's own lose that mark. */
static void become (const char *program, char **arguments, char **environment, const int *keep,
                    size_t keep_count, int words_fd)
{
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    signal (SIGPIPE, SIG_DFL);
    for (size_t i = 0; i < keep_count; i++)
        fcntl (keep[i], F_SETFD, 0);
    dup2 (words_fd, STDOUT_FILENO);
    dup2 (words_fd, STDERR_FILENO);
    execve (program, arguments, environment);
    static const char text[] = "cannot be executed\n";
    ssize_t ignored = write (STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit (MU_COLLECTIVE_EXEC);
}

static void close_pair (int *pair)
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close (pair[i]);
}

static int spawn (struct mu_collective *collective, const struct mu_collective_options *options,
                  int command, int pmi, int words)
{
    char region_text[16], command_text[16], agent_text[16], version_text[16];
    snprintf (version_text, sizeof version_text, "%u", MU_COLLECTIVE_PROTOCOL);
    snprintf (region_text, sizeof region_text, "%d", options->region_fd);
    snprintf (command_text, sizeof command_text, "%d", command);
    snprintf (agent_text, sizeof agent_text, "%d", (int)getpid ());
    char *program = (char *)(uintptr_t)options->program;
    char *arguments[] = { program, version_text, region_text, command_text, agent_text, NULL };
    char **environment = mu_collective_environment (options, pmi);
    if (!environment)
        return -1;
    const int keep[] = { options->region_fd, command, pmi };
    collective->pid = fork ();
    if (!collective->pid)
        become (program, arguments, environment, keep, sizeof keep / sizeof *keep, words);
    free (environment);
    if (collective->pid < 0) {
        collective->pid = 0;
        return -1;
    }
    collective->process_fd = (int)syscall (SYS_pidfd_open, collective->pid, 0);
    if (collective->process_fd >= 0)
        fcntl (collective->process_fd, F_SETFD, FD_CLOEXEC);
    return collective->process_fd < 0 ? -1 : 0;
}

struct mu_collective *mu_collective_start (const struct mu_collective_options *options,
                                           struct mu_error *error)
{
    int command[2] = { -1, -1 }, pmi[2] = { -1, -1 }, words[2] = { -1, -1 };
    if (access ("/sys/class/net", F_OK) != 0) {
        mu_fail (error, MU_UNAVAILABLE,
                 "MPI finds its network devices in /sys/class/net, which is not there: mount /sys "
                 "in this container or chroot");
        return NULL;
    }
    struct mu_collective *collective = calloc (1, sizeof *collective);
    if (!collective) {
        mu_fail (error, MU_UNAVAILABLE, "out of memory");
        return NULL;
    }
    collective->process_fd = -1;
    int failed = socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, command) ||
                 socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pmi) ||
                 pipe2 (words, O_CLOEXEC) ||
                 spawn (collective, options, command[1], pmi[1], words[1]);
    int why = errno;
    collective->command_fd = command[0];
    collective->pmi_fd = pmi[0];
    collective->words_fd = words[0];
    command[0] = pmi[0] = words[0] = -1;
    close_pair (command);
    close_pair (pmi);
    close_pair (words);
    if (failed) {
        mu_fail_errno (error, MU_SYSTEM, why, "a collective process cannot be started");
        mu_collective_destroy (&collective);
        return NULL;
    }
    fcntl (collective->command_fd, F_SETFL, O_NONBLOCK);
    fcntl (collective->pmi_fd, F_SETFL, O_NONBLOCK);
    fcntl (collective->words_fd, F_SETFL, O_NONBLOCK);
    return collective;
}

int mu_collective_form (struct mu_collective *collective, const struct mu_collective_form *form,
                        struct mu_error *error)
{
    collective->generation = form->generation;
    if (!collective->pmi) /* it stays where the world was connected ahead */
        collective->pmi = mu_pmi_create (form->rank, form->size, form->jobid);
    if (!collective->pmi)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    if (send (collective->command_fd, form, sizeof *form, MSG_NOSIGNAL) != sizeof *form)
        return mu_fail_errno (error, MU_IO, errno, "the collective process takes no command");
    return 0;
}

/* --- listening -------------------------------------------------------------------------------- */

unsigned mu_collective_poll (const struct mu_collective *collective, struct pollfd *fds)
{
    unsigned count = 0;
    size_t waiting = 0;
    if (!collective->pid)
        return 0;
    if (collective->pmi)
        mu_pmi_output (collective->pmi, &waiting);
    const int list[] = { collective->process_fd, collective->command_fd, collective->pmi_fd,
                         collective->words_fd };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i] >= 0)
            fds[count++] = (struct pollfd){ .fd = list[i], .events = POLLIN };
    for (unsigned i = 0; i < count && waiting; i++)
        if (fds[i].fd == collective->pmi_fd)
            fds[i].events |= POLLOUT;
    return count;
}

static void close_fd (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

static void read_words (struct mu_collective *collective)
{
    char buffer[512];
    ssize_t count;
    if (collective->words_fd < 0)
        return;
    while ((count = read (collective->words_fd, buffer, sizeof buffer)) > 0) {
        size_t size = (size_t)count < WORDS_MAX ? (size_t)count : WORDS_MAX;
        size_t keep =
            WORDS_MAX - size < collective->words_size ? WORDS_MAX - size : collective->words_size;
        memmove (collective->words, collective->words + collective->words_size - keep, keep);
        memcpy (collective->words + keep, buffer + (size_t)count - size, size);
        collective->words_size = keep + size;
    }
    if (count == 0)
        close_fd (&collective->words_fd);
}

static void write_pmi (struct mu_collective *collective)
{
    size_t size;
    const char *output = mu_pmi_output (collective->pmi, &size);
    if (!size || collective->pmi_fd < 0)
        return;
    ssize_t count = send (collective->pmi_fd, output, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0)
        mu_pmi_sent (collective->pmi, (size_t)count);
}

static void break_off (struct mu_collective *collective)
{
    collective->broken = true;
    mu_collective_kill (collective);
}

static void read_pmi (struct mu_collective *collective)
{
    char buffer[8192];
    ssize_t count = 0;
    while (collective->pmi_fd >= 0 && !collective->broken &&
           (count = recv (collective->pmi_fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
        if (mu_pmi_input (collective->pmi, buffer, (size_t)count, &collective->why))
            break_off (collective);
    if (collective->pmi_fd >= 0 && (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)))
        close_fd (&collective->pmi_fd);
    write_pmi (collective);
}

static int next_fence (struct mu_collective *collective, struct mu_collective_event *event)
{
    if (!collective->pmi || collective->fence_told || collective->broken)
        return 0;
    read_pmi (collective);
    if (!mu_pmi_in_fence (collective->pmi, &event->number, &event->values, &event->size))
        return 0;
    collective->fence_told = true;
    event->kind = MU_COLLECTIVE_EVENT_FENCE;
    return 1;
}

static int next_report (struct mu_collective *collective, struct mu_collective_event *event)
{
    struct mu_collective_report *report = &event->report;
    ssize_t count = collective->command_fd < 0
                        ? -1
                        : recv (collective->command_fd, report, sizeof *report, MSG_DONTWAIT);
    if (count == 0)
        close_fd (&collective->command_fd);
    if (count != sizeof *report || report->protocol != MU_COLLECTIVE_PROTOCOL)
        return 0;
    report->text[sizeof report->text - 1] = '\0';
    if (report->kind == MU_COLLECTIVE_READY || report->kind == MU_COLLECTIVE_CONNECTED) {
        event->kind = report->kind == MU_COLLECTIVE_READY ? MU_COLLECTIVE_EVENT_READY
                                                          : MU_COLLECTIVE_EVENT_CONNECTED;
        return 1;
    }
    collective->failed = *report;
    event->kind = MU_COLLECTIVE_EVENT_FAILED;
    snprintf (event->text, sizeof event->text, "%s", report->text);
    return 1;
}

/* --- its end ---------------------------------------------------------------------------------- */

static const char *status_sentence (int status)
{
    static const struct {
        int number;
        const char *text;
    } table[] = {
#define ENTRY(name, number, text) { number, text },
        MU_COLLECTIVE_STATUSES (ENTRY)
#undef ENTRY
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].number == status)
            return table[i].text;
    return "it did not say why";
}

static void describe_end (const struct mu_collective *collective, int status, char *text,
                          size_t size)
{
    int used;
    if (collective->broken)
        used = snprintf (text, size, "killed: %s", collective->why.text);
    else if (WIFSIGNALED (status))
        used = snprintf (text, size, "signal %d (%s)", WTERMSIG (status),
                         strsignal (WTERMSIG (status)));
    else if (collective->failed.kind)
        used = snprintf (text, size, "%s: %s", status_sentence (WEXITSTATUS (status)),
                         collective->failed.text);
    else
        used = snprintf (text, size, "%s (status %d)", status_sentence (WEXITSTATUS (status)),
                         WEXITSTATUS (status));
    if (used < 0 || (size_t)used >= size || !collective->words_size)
        return;
    static const char lead[] = "; its last words: ";
    size_t words = collective->words_size, room = size - (size_t)used, skipped = 0;
    while (words > 0 && collective->words[words - 1] == '\n')
        words--;
    /* What does not fit is cut at the beginning: MPICH's last line names the cause. */
    if (room > sizeof lead && words > room - sizeof lead)
        skipped = words - (room - sizeof lead);
    snprintf (text + used, room, "%s%.*s", lead, (int)(words - skipped),
              collective->words + skipped);
}

static int next_end (struct mu_collective *collective, struct mu_collective_event *event)
{
    if (!collective->pid || waitpid (collective->pid, &event->status, WNOHANG) != collective->pid)
        return 0;
    collective->pid = 0;
    read_words (collective);
    struct mu_collective_event late; /* it may have said why after the last look */
    while (next_report (collective, &late))
        continue;
    event->kind = MU_COLLECTIVE_EVENT_ENDED;
    event->killed = collective->killed;
    describe_end (collective, event->status, event->text, sizeof event->text);
    return 1;
}

int mu_collective_next (struct mu_collective *collective, struct mu_collective_event *event)
{
    memset (event, 0, sizeof *event);
    if (!collective->pid)
        return 0;
    read_words (collective);
    return next_report (collective, event) || next_fence (collective, event) ||
           next_end (collective, event);
}

int mu_collective_fence_done (struct mu_collective *collective, uint32_t number, const void *values,
                              size_t size, struct mu_error *error)
{
    uint32_t current;
    const void *own;
    size_t own_size;
    if (!collective->pmi || !mu_pmi_in_fence (collective->pmi, &current, &own, &own_size) ||
        current != number)
        return 0; /* a repeat */
    if (mu_pmi_fence_done (collective->pmi, number, values, size, error)) {
        if (error)
            collective->why = *error;
        break_off (collective);
        return -1;
    }
    collective->fence_told = false;
    write_pmi (collective);
    return 0;
}

/* Whoever has ended, and is not reaped yet, was not killed here. */
static bool has_ended (pid_t pid)
{
    siginfo_t ended = { .si_pid = 0 };
    return waitid (P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid;
}

void mu_collective_kill (struct mu_collective *collective)
{
    if (!collective->pid || has_ended (collective->pid))
        return;
    collective->killed = true;
    kill (collective->pid, SIGKILL);
}

pid_t mu_collective_pid (const struct mu_collective *collective) { return collective->pid; }

uint64_t mu_collective_generation (const struct mu_collective *collective)
{
    return collective->generation;
}

/* A process that waits for storage that is gone does not even die; the agent has others to answer. */
static void bury (pid_t pid, int process_fd)
{
    struct pollfd ended = { .fd = process_fd, .events = POLLIN };
    kill (pid, SIGKILL);
    if (process_fd >= 0)
        while (poll (&ended, 1, BURY_MS) < 0 && errno == EINTR)
            continue;
    waitpid (pid, NULL, WNOHANG);
}

void mu_collective_destroy (struct mu_collective **collective_p)
{
    struct mu_collective *collective = *collective_p;
    if (!collective)
        return;
    if (collective->pid)
        bury (collective->pid, collective->process_fd);
    close_fd (&collective->process_fd);
    close_fd (&collective->command_fd);
    close_fd (&collective->pmi_fd);
    close_fd (&collective->words_fd);
    mu_pmi_destroy (&collective->pmi);
    free (collective);
    *collective_p = NULL;
}
