/* SPDX-License-Identifier: Apache-2.0 */
/* save.c - writes checkpoints in a child process while training goes on
 *
 * The state lies in memory shared with the collective process, which a fork would go on sharing; so
 * it is copied to a desk (desk.h). The child is started with the first checkpoint and writes all that
 * follow: after a fork both sides share every private page, and a step that writes to one waits for its
 * copy. The desk stays as long as the child: what one checkpoint needs, the next needs again.
 *
 * The child keeps no descriptor but its end of a socket pair. It ends with its parent: nobody would hear of what
 * it writes, and where a trainer is ended because its state is wrong, that would get a name when all others have
 * gone back already. What it removes just then another process brings to its end (directory.c).
 *
 * The child of a process with threads may use malloc and start threads (glibc makes both safe) but
 * must wait for no other lock; what could, is initialised before the fork. Orders and reports are
 * packets: they arrive whole or not at all. */
#include "worker/checkpoint/checkpoint.h"

#include "common/clock.h"
#include "common/process.h"
#include "states.h"
#include "worker/checkpoint/child.h"
#include "worker/checkpoint/desk.h"
#include "worker/checkpoint/idle.h"
#include "worker/checkpoint/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A trainer that wants the core gets ten times as much of it as we do, where we are not idle (idle.h). */
#define NICE 10

/* Of reads and writes: what the kernel derives from that number, or from the idle class, where they
 * would wait for whoever else uses the disk. ioprio_set (2). */
#define IO_WHO_PROCESS 1
#define IO_BEST_EFFORT (2 << 13 | (20 + NICE) / 5)

struct order { /* write what is on the desk; or remove old checkpoints */
    char directory[PATH_MAX];
    bool prunes;
    struct mu_checkpoint_stay stay;
};

struct report {
    int32_t status;
    bool existed;
    uint64_t step;
    uint64_t bytes;
    uint8_t weights_hash[MU_STATE_HASH_SIZE];
    uint8_t digest[MU_STATE_HASH_SIZE];
    struct mu_error error, pruning;
};

/* --- the child -------------------------------------------------------------------------------- */

static void write_one (const struct order *order, const struct mu_desk *desk, struct report *report)
{
    struct mu_checkpoint_saved saved;
    report->error.code = MU_OK;
    report->status = mu_checkpoint_write_desk (order->directory, desk, &saved, &report->error);
    report->existed = saved.existed;
    report->step = saved.step;
    report->bytes = saved.bytes;
    memcpy (report->weights_hash, saved.weights_hash, sizeof report->weights_hash);
    memcpy (report->digest, saved.digest, sizeof report->digest);
}

static bool hear (int fd, struct order *order)
{
    ssize_t got;
    do
        got = recv (fd, order, sizeof *order, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof *order;
}

static _Noreturn void run_child (int end, const struct mu_desk *desk)
{
    static struct order order;
    struct report report = { .pruning.code = MU_OK };
    mu_child_reset_signals ();
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    prctl (PR_SET_NAME, "muster-save");
    /* Who removes for it may outlive it, and needs none of this. */
    madvise ((void *)(uintptr_t)desk, desk->size, MADV_DONTFORK);
    /* Threads inherit both; without them the work is done as well. */
    long priority = nice (NICE);
    priority = syscall (SYS_ioprio_set, IO_WHO_PROCESS, 0, IO_BEST_EFFORT);
    (void)priority;
    const int fd = mu_child_keep_only (end);
    while (fd >= 0 && hear (fd, &order)) {
        mu_idle_begin (desk->size);
        if (order.prunes)
            atomic_store (desk->phase, (uint32_t)MU_WRITING_REMOVING);
        if (order.prunes)
            mu_checkpoint_prune (order.directory, &order.stay, NULL, &report.pruning);
        else
            write_one (&order, desk, &report);
        mu_idle_end ();
        atomic_store (desk->phase, (uint32_t)MU_WRITING_RESTING);
        if (order.prunes)
            continue;
        if (send (fd, &report, sizeof report, 0) < 0)
            _exit (1);
        report.pruning.code = MU_OK;
    }
    _exit (0);
}

/* --- the parent ------------------------------------------------------------------------------- */

static void let_go (struct mu_checkpoint_writer *writer)
{
    close (writer->fd);
    mu_desk_destroy (&writer->desk);
    writer->pid = 0;
    writer->fd = -1;
    writer->busy = false;
}

static void reap (struct mu_checkpoint_writer *writer, int *how)
{
    while (waitpid (writer->pid, how, 0) < 0 && errno == EINTR)
        ;
    let_go (writer);
}

void mu_checkpoint_leave (struct mu_checkpoint_writer *writer)
{
    if (writer->leaving && waitpid (writer->leaving, NULL, WNOHANG) != 0)
        writer->leaving = 0;
    if (writer->pid == 0 || writer->busy)
        return;
    writer->leaving = writer->pid;
    let_go (writer);
}

void mu_checkpoint_look (const struct mu_checkpoint_writer *writer, struct mu_checkpoint_look *look)
{
    look->cpu_us = mu_cpu_us (writer->pid);
    look->letter = mu_process_letter (writer->pid);
    look->phase = atomic_load (writer->desk->phase);
}

int mu_checkpoint_give_up (struct mu_checkpoint_writer *writer, struct mu_error *error)
{
    if (writer->leaving && waitpid (writer->leaving, NULL, WNOHANG) != 0)
        writer->leaving = 0;
    if (!writer->busy || writer->leaving)
        return -1;
    kill (writer->pid, SIGKILL);
    writer->leaving = writer->pid;
    let_go (writer);
    mu_fail (error, MU_IO,
             "the process that wrote the checkpoint %s did not move and was ended; nothing of it "
             "counts",
             writer->path);
    return 0;
}

void mu_checkpoint_cancel (struct mu_checkpoint_writer *writer)
{
    int how;
    if (writer->pid == 0)
        return;
    kill (writer->pid, SIGKILL);
    reap (writer, &how);
}

static int start_child (struct mu_checkpoint_writer *writer, struct mu_error *error)
{
    int ends[2];
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return mu_fail_errno (error, MU_SYSTEM, errno, "no socket for the checkpoint's writer");
    pid_t pid = fork ();
    if (pid == 0)
        run_child (ends[1], writer->desk);
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

/* All of it on the desk, and somebody who sits at it. */
static int make_ready (struct mu_checkpoint_writer *writer, const struct mu_state *state,
                       const struct muster_tensor *tensors, const struct mu_checkpoint_job *job,
                       struct mu_error *error)
{
    if (writer->pid && mu_desk_put (writer->desk, state, tensors, job))
        return 0;
    mu_checkpoint_leave (writer);
    writer->desk = mu_desk_create (state, tensors, job, error);
    if (!writer->desk)
        return -1;
    mu_desk_put (writer->desk, state, tensors, job);
    if (start_child (writer, error) == 0)
        return 0;
    mu_desk_destroy (&writer->desk);
    return -1;
}

static bool tell (const struct mu_checkpoint_writer *writer, const struct order *order)
{
    return send (writer->fd, order, sizeof *order, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           (ssize_t)sizeof *order;
}

int mu_checkpoint_begin (struct mu_checkpoint_writer *writer, const char *directory,
                         const struct mu_state *state, const struct muster_tensor *tensors,
                         const struct mu_checkpoint_job *job, struct mu_error *error)
{
    struct order order = { .prunes = false };
    int length = snprintf (writer->path, sizeof writer->path, "%s/step-%08llu", directory,
                           (unsigned long long)state->step);
    if (length < 0 || (size_t)length >= sizeof writer->path)
        return mu_fail (error, MU_CONFIG, "the path of checkpoint.dir is too long");
    snprintf (order.directory, sizeof order.directory, "%s", directory);
    if (mu_manifest_check_job (job, error) < 0)
        return -1;
    int chosen = sodium_init ();
    (void)chosen;
    json_object_seed (0);
    for (int child = 0; child < 2; child++) {
        if (make_ready (writer, state, tensors, job, error) < 0)
            return -1;
        writer->busy = tell (writer, &order);
        if (writer->busy)
            return 0;
        if (errno == EAGAIN)
            return mu_fail (error, MU_IO,
                            "the checkpoint's writer still removes older checkpoints");
        mu_checkpoint_leave (writer); /* somebody killed it, while there was nothing to do */
    }
    return mu_fail (error, MU_SYSTEM, "the checkpoint's writer does not hear");
}

bool mu_checkpoint_prune_by (struct mu_checkpoint_writer *writer, const char *directory,
                             const struct mu_checkpoint_stay *stay)
{
    struct order order = { .prunes = true, .stay = *stay };
    if (writer->pid == 0)
        return false;
    snprintf (order.directory, sizeof order.directory, "%s", directory);
    return tell (writer, &order) || errno == EAGAIN; /* it has enough to do, and is told again */
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
    if (!writer->busy)
        return mu_fail (error, MU_INTERNAL, "no checkpoint is being written");
    ssize_t got = recv (writer->fd, &report, sizeof report, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got != (ssize_t)sizeof report)
        return describe_death (writer, error);
    writer->busy = false;
    if (report.status < 0) {
        if (error)
            *error = report.error;
        return -1;
    }
    *saved = (struct mu_checkpoint_saved){ .step = report.step,
                                           .bytes = report.bytes,
                                           .existed = report.existed,
                                           .pruning = report.pruning };
    memcpy (saved->path, writer->path, sizeof saved->path);
    memcpy (saved->weights_hash, report.weights_hash, sizeof saved->weights_hash);
    memcpy (saved->digest, report.digest, sizeof saved->digest);
    return 1;
}
