/* SPDX-License-Identifier: Apache-2.0 */
/* save.c - writes a checkpoint in a child process while training goes on
 *
 * The state lies in memory shared with the collective process, which a fork would go on sharing; so
 * it is copied once into private memory, by several threads if it is large, and the child inherits
 * that copy. The parent gives its own back at once. The child keeps no descriptor but the pipe for its report: a socket held open by it
 * would hide its parent's death from the agent.
 *
 * The child of a process with threads may use malloc and start threads (glibc makes both safe) but
 * must wait for no other lock; what could, is initialised before the fork. A report is smaller than PIPE_BUF, so it
 * arrives whole or not at all. */
#include "worker/checkpoint/checkpoint.h"

#include "worker/checkpoint/crew.h"
#include "worker/checkpoint/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Several huge pages: most of a copy's time goes into the kernel's clearing of what it fills. */
#define COPY_PIECE ((size_t)8 << 20)

/* A trainer that wants the core gets ten times as much of it as we do. The kernel derives the
 * priority of reads and writes from the same number. */
#define NICE 10

struct report {
    int32_t status;
    bool existed;
    uint64_t step;
    uint64_t bytes;
    uint8_t weights_hash[MU_STATE_HASH_SIZE];
    uint8_t digest[MU_STATE_HASH_SIZE];
    struct mu_error error;
};
_Static_assert(sizeof (struct report) <= PIPE_BUF, "a report is written in one piece");

struct snapshot {
    struct mu_state *state;
    size_t bytes;
};

struct copying {
    char *to;
    const char *from;
    size_t bytes;
};

/* Cannot fail. */
static int copy_piece (void *about, uint32_t number, struct mu_error *error)
{
    const struct copying *copying = about;
    const size_t at = (size_t)number * COPY_PIECE, left = copying->bytes - at;
    memcpy (copying->to + at, copying->from + at, left < COPY_PIECE ? left : COPY_PIECE);
    (void)error;
    return 0;
}

static int take_snapshot (struct snapshot *snapshot, const struct mu_state *state,
                          struct mu_error *error)
{
    void *copy =
        mmap (NULL, state->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return mu_fail_errno (error, MU_SYSTEM, errno,
                              "no memory for the checkpoint's copy of the state (%llu MiB)",
                              (unsigned long long)(state->bytes >> 20));
    madvise (copy, state->bytes,
             MADV_HUGEPAGE); /* or each 4 KiB costs a fault while training waits */
    struct copying copying = { .to = copy, .from = (const char *)state, .bytes = state->bytes };
    mu_crew_run (mu_crew_hands (state->bytes), (uint32_t)((state->bytes - 1) / COPY_PIECE) + 1,
                 copy_piece, &copying, error);
    *snapshot = (struct snapshot){ .state = copy, .bytes = state->bytes };
    return 0;
}

/* --- the child -------------------------------------------------------------------------------- */

/* Standard streams to /dev/null, the pipe to descriptor 3, all others closed. */
static int keep_only (int pipe_end)
{
    int null = open ("/dev/null", O_RDWR);
    if (null < 0)
        return -1;
    for (int fd = 0; fd < 3; fd++)
        dup2 (null, fd);
    if (pipe_end != 3 && dup2 (pipe_end, 3) < 0)
        return -1;
    if (close_range (4, ~0u, 0) < 0)
        for (int fd = 4; fd < (int)sysconf (_SC_OPEN_MAX); fd++)
            close (fd);
    return 3;
}

static void reset_signals (void)
{
    for (int number = 1; number < NSIG; number++)
        signal (number, SIG_DFL);
    signal (SIGPIPE, SIG_IGN); /* the parent may be gone: the checkpoint is written all the same */
    signal (SIGXFSZ, SIG_IGN); /* a file size limit is an error to report */
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
}

static _Noreturn void run_child (int pipe_end, const char *directory, const struct mu_state *state,
                                 const struct muster_tensor *tensors,
                                 const struct mu_checkpoint_job *job)
{
    struct report report = { .status = 0 };
    struct mu_checkpoint_saved saved;
    reset_signals ();
    prctl (PR_SET_NAME, "muster-save");
    int priority = nice (NICE); /* its threads inherit it; without it the work is done as well */
    (void)priority;
    int fd = keep_only (pipe_end);
    report.status = mu_checkpoint_write (directory, state, tensors, job, &saved, &report.error);
    report.existed = saved.existed;
    report.step = saved.step;
    report.bytes = saved.bytes;
    memcpy (report.weights_hash, saved.weights_hash, sizeof report.weights_hash);
    memcpy (report.digest, saved.digest, sizeof report.digest);
    ssize_t wrote = fd < 0 ? -1 : write (fd, &report, sizeof report);
    _exit (wrote == (ssize_t)sizeof report ? 0 : 1);
}

/* --- the parent ------------------------------------------------------------------------------- */

static int start_child (struct mu_checkpoint_writer *writer, const char *directory,
                        const struct mu_state *state, const struct muster_tensor *tensors,
                        const struct mu_checkpoint_job *job, struct mu_error *error)
{
    int ends[2];
    if (pipe2 (ends, O_CLOEXEC) < 0)
        return mu_fail_errno (error, MU_SYSTEM, errno, "no pipe for the checkpoint's writer");
    fcntl (ends[0], F_SETFL, O_NONBLOCK);
    pid_t pid = fork ();
    if (pid == 0)
        run_child (ends[1], directory, state, tensors, job);
    int number = errno;
    close (ends[1]);
    if (pid < 0) {
        close (ends[0]);
        return mu_fail_errno (error, MU_SYSTEM, number, "cannot start the checkpoint's writer");
    }
    writer->pid = pid;
    writer->fd = ends[0];
    return 0;
}

int mu_checkpoint_begin (struct mu_checkpoint_writer *writer, const char *directory,
                         const struct mu_state *state, const struct muster_tensor *tensors,
                         const struct mu_checkpoint_job *job, struct mu_error *error)
{
    struct snapshot snapshot = { 0 };
    *writer = (struct mu_checkpoint_writer){ .fd = -1 };
    int length = snprintf (writer->path, sizeof writer->path, "%s/step-%08llu", directory,
                           (unsigned long long)state->step);
    if (length < 0 || (size_t)length >= sizeof writer->path)
        return mu_fail (error, MU_CONFIG, "the path of checkpoint.dir is too long");
    if (mu_manifest_check_job (job, error) < 0)
        return -1;
    int chosen = sodium_init ();
    (void)chosen;
    json_object_seed (0);
    if (take_snapshot (&snapshot, state, error) < 0)
        return -1;
    int status = start_child (writer, directory, snapshot.state, tensors, job, error);
    munmap (snapshot.state, snapshot.bytes);
    return status;
}

static void reap (struct mu_checkpoint_writer *writer, int *how)
{
    close (writer->fd);
    while (waitpid (writer->pid, how, 0) < 0 && errno == EINTR)
        ;
    writer->pid = 0;
    writer->fd = -1;
}

static int describe_death (struct mu_checkpoint_writer *writer, struct mu_error *error)
{
    int how = 0;
    reap (writer, &how);
    if (WIFSIGNALED (how))
        return mu_fail (error, MU_IO,
                        "the process that wrote the checkpoint %s was killed by signal %d%s; "
                        "nothing of it counts",
                        writer->path, WTERMSIG (how),
                        WTERMSIG (how) == SIGKILL ? " (out of memory?)" : "");
    return mu_fail (error, MU_IO,
                    "the process that wrote the checkpoint %s ended without a report; nothing of "
                    "it counts",
                    writer->path);
}

int mu_checkpoint_poll (struct mu_checkpoint_writer *writer, struct mu_checkpoint_saved *saved,
                        struct mu_error *error)
{
    struct report report;
    if (writer->pid == 0)
        return mu_fail (error, MU_INTERNAL, "no checkpoint is being written");
    ssize_t got = read (writer->fd, &report, sizeof report);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got != (ssize_t)sizeof report)
        return describe_death (writer, error);
    kill (writer->pid, SIGKILL); /* its work is done; so waiting for it is short */
    int how;
    reap (writer, &how);
    if (report.status < 0) {
        if (error)
            *error = report.error;
        return -1;
    }
    *saved = (struct mu_checkpoint_saved){ .step = report.step,
                                           .bytes = report.bytes,
                                           .existed = report.existed };
    memcpy (saved->path, writer->path, sizeof saved->path);
    memcpy (saved->weights_hash, report.weights_hash, sizeof saved->weights_hash);
    memcpy (saved->digest, report.digest, sizeof saved->digest);
    return 1;
}

void mu_checkpoint_cancel (struct mu_checkpoint_writer *writer)
{
    if (writer->pid == 0)
        return;
    kill (writer->pid, SIGKILL);
    int how;
    reap (writer, &how);
}
