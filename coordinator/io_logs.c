/* SPDX-License-Identifier: Apache-2.0 */
/* io_logs.c - append-only files; a few stay open, the least recently used is closed
 *
 * Called from the loop's thread and, through the log's hook, from the commit thread: one lock. */
#include "io_logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define OPEN_MAX_FILES 16

struct open_file {
    uint64_t job, used; /* job 0: free */
    int fd;
    off_t size;
};

struct job_logs {
    char *dir;
    pthread_mutex_t lock;
    struct open_file file[OPEN_MAX_FILES];
    uint64_t clock;
};

struct job_logs *job_logs_open (const char *dir, struct mu_error *error)
{
    struct job_logs *logs = calloc (1, sizeof *logs);
    if (!logs || asprintf (&logs->dir, "%s/logs", dir) < 0) {
        free (logs);
        mu_fail (error, MU_UNAVAILABLE, "out of memory");
        return NULL;
    }
    pthread_mutex_init (&logs->lock, NULL);
    if (mkdir (logs->dir, 0750) && errno != EEXIST) {
        mu_fail_errno (error, MU_CANT_CREATE, errno, "%s cannot be made", logs->dir);
        job_logs_close (&logs);
    }
    return logs;
}

void job_logs_close (struct job_logs **logs_p)
{
    struct job_logs *logs = *logs_p;
    if (!logs)
        return;
    for (size_t i = 0; i < OPEN_MAX_FILES; i++)
        if (logs->file[i].job)
            close (logs->file[i].fd);
    pthread_mutex_destroy (&logs->lock);
    free (logs->dir);
    free (logs);
    *logs_p = NULL;
}

static int open_log (const struct job_logs *logs, uint64_t job, int flags)
{
    char path[4200];
    if (snprintf (path, sizeof path, "%s/job-%" PRIu64 ".jsonl", logs->dir, job) >=
        (int)sizeof path)
        return -1;
    return open (path, flags | O_CLOEXEC, 0640);
}

static struct open_file *find_file (struct job_logs *logs, uint64_t job)
{
    struct open_file *oldest = &logs->file[0];
    for (size_t i = 0; i < OPEN_MAX_FILES; i++) {
        if (logs->file[i].job == job)
            return &logs->file[i];
        if (logs->file[i].used < oldest->used)
            oldest = &logs->file[i];
    }
    if (oldest->job)
        close (oldest->fd);
    oldest->job = 0;
    oldest->fd = open_log (logs, job, O_WRONLY | O_APPEND | O_CREAT);
    struct stat status;
    if (oldest->fd < 0)
        return NULL;
    if (fstat (oldest->fd, &status)) {
        close (oldest->fd);
        return NULL;
    }
    oldest->job = job;
    oldest->size = status.st_size;
    return oldest;
}

static void append (struct open_file *file, const char *line, size_t size)
{
    static const char full[] = "{\"level\":\"warn\",\"event\":\"log_full\",\"text\":\"this log has "
                               "reached its limit; later lines are dropped\"}";
    if (file->size >= (off_t)JOB_LOG_BYTES_MAX)
        return;
    if (file->size + (off_t)size + 1 >= (off_t)JOB_LOG_BYTES_MAX) {
        line = full, size = sizeof full - 1;
        file->size = (off_t)JOB_LOG_BYTES_MAX;
    }
    struct iovec parts[2] = { { (void *)(uintptr_t)line, size }, { (void *)(uintptr_t) "\n", 1 } };
    ssize_t wrote = writev (file->fd, parts, 2);
    if (wrote == (ssize_t)size + 1)
        file->size += wrote;
    else if (wrote > 0 && ftruncate (file->fd, file->size)) /* half a line: take it back */
        file->size += wrote;
}

void job_logs_add (struct job_logs *logs, uint64_t job, const char *line, size_t size)
{
    if (!job)
        return;
    pthread_mutex_lock (&logs->lock);
    struct open_file *file = find_file (logs, job);
    if (file) {
        file->used = ++logs->clock;
        append (file, line, size);
    }
    pthread_mutex_unlock (&logs->lock);
}

size_t job_logs_read (struct job_logs *logs, uint64_t job, uint64_t offset, char *text, size_t size,
                      uint64_t *next)
{
    *next = offset;
    int fd = offset <= INT64_MAX ? open_log (logs, job, O_RDONLY) : -1;
    if (fd < 0)
        return 0;
    ssize_t got = pread (fd, text, size, (off_t)offset);
    close (fd);
    if (got <= 0)
        return 0;
    size_t length = (size_t)got;
    const char *end = memrchr (text, '\n', length);
    if (end)
        length = (size_t)(end - text) + 1;
    else if (length < size)
        return 0; /* a line is being written */
    *next = offset + length;
    return length;
}

/* Not a copy that somebody put beside it. */
static bool is_log (const char *name, uint64_t *job)
{
    char whole[64];
    if (sscanf (name, "job-%" SCNu64, job) != 1)
        return false;
    snprintf (whole, sizeof whole, "job-%" PRIu64 ".jsonl", *job);
    return !strcmp (name, whole);
}

/* Failures are silent: it is tried again. */
void job_logs_sweep (const char *dir, bool (*is_gone) (const void *arg, uint64_t job),
                     const void *arg)
{
    char path[4200];
    uint64_t job;
    snprintf (path, sizeof path, "%s/logs", dir);
    DIR *folder = opendir (path);
    for (struct dirent *entry; folder && (entry = readdir (folder));)
        if (is_log (entry->d_name, &job) && is_gone (arg, job))
            unlinkat (dirfd (folder), entry->d_name, 0);
    if (folder)
        closedir (folder);
}
