/* SPDX-License-Identifier: Apache-2.0 */
/* writer.c - files that appear whole or not at all
 *
 * Bytes go to PATH.part, which is locked with flock (2) while it is written: the lock dies with its
 * holder, so a killed process leaves nothing that blocks or grows; the next writer truncates the
 * remains. On commit: fsync, rename, fsync of the folder. A part file that was renamed or removed
 * between open and lock is no longer ours: the inode tells, and we open again. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { BUFFER = 1 << 18, OPEN_ATTEMPTS = 100 };

struct mu_writer {
    char *path, *part;
    int descriptor;
    bool committed;
    uint64_t written; /* to the descriptor */
    size_t used;
    uint8_t buffer[BUFFER];
};

static bool still_there (const struct mu_writer *writer)
{
    struct stat by_name, by_descriptor;
    return stat (writer->part, &by_name) == 0 && fstat (writer->descriptor, &by_descriptor) == 0 &&
           by_name.st_ino == by_descriptor.st_ino && by_name.st_dev == by_descriptor.st_dev;
}

/* 0, or -1 with `error`. File systems without locks are written without one. */
static int lock (struct mu_writer *writer, struct mu_error *error)
{
    for (int attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
        writer->descriptor = open (writer->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (writer->descriptor < 0)
            return mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot create %s", writer->part);
        if (flock (writer->descriptor, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
            return mu_fail (error, MU_TRY_AGAIN, "another process is writing %s", writer->path);
        if (still_there (writer))
            return 0;
        close (writer->descriptor);
        writer->descriptor = -1;
    }
    return mu_fail (error, MU_TRY_AGAIN, "%s is being written and removed by others all the time",
                    writer->part);
}

int mu_writer_open (struct mu_writer **writer, const char *path, struct mu_error *error)
{
    *writer = calloc (1, sizeof **writer);
    if (!*writer)
        return mu_fail (error, MU_SYSTEM, "no memory to write %s", path);
    (*writer)->descriptor = -1;
    (*writer)->path = strdup (path);
    if (!(*writer)->path || asprintf (&(*writer)->part, "%s.part", path) < 0) {
        (*writer)->part = NULL;
        mu_writer_close (writer);
        return mu_fail (error, MU_SYSTEM, "no memory to write %s", path);
    }
    if (lock (*writer, error) == 0) {
        if (ftruncate ((*writer)->descriptor, 0) == 0)
            return 0;
        mu_fail_errno (error, MU_IO, errno, "cannot truncate %s", (*writer)->part);
    } else if ((*writer)->descriptor >= 0) {
        close ((*writer)->descriptor); /* the part file is another's: leave it */
        (*writer)->descriptor = -1;
    }
    mu_writer_close (writer);
    return -1;
}

static int write_all (const struct mu_writer *writer, uint64_t offset, const uint8_t *data,
                      size_t size, struct mu_error *error)
{
    while (size) {
        ssize_t done = pwrite (writer->descriptor, data, size, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return mu_fail_errno (error, MU_IO, errno, "cannot write %s%s", writer->part,
                                  errno == ENOSPC ? " (free space there, or name another folder)"
                                                  : "");
        data += done;
        offset += (uint64_t)done;
        size -= (size_t)done;
    }
    return 0;
}

static int flush (struct mu_writer *writer, struct mu_error *error)
{
    if (write_all (writer, writer->written, writer->buffer, writer->used, error) < 0)
        return -1;
    writer->written += writer->used;
    writer->used = 0;
    return 0;
}

int mu_writer_put (struct mu_writer *writer, const void *data, size_t size, struct mu_error *error)
{
    const uint8_t *at = data;
    while (size) {
        size_t room = sizeof writer->buffer - writer->used;
        size_t some = size < room ? size : room;
        memcpy (writer->buffer + writer->used, at, some);
        writer->used += some;
        at += some;
        size -= some;
        if (writer->used == sizeof writer->buffer && flush (writer, error) < 0)
            return -1;
    }
    return 0;
}

uint64_t mu_writer_size (const struct mu_writer *writer) { return writer->written + writer->used; }

int mu_writer_head (struct mu_writer *writer, const void *data, size_t size, struct mu_error *error)
{
    if (flush (writer, error) < 0)
        return -1;
    if (size > writer->written)
        return mu_fail (error, MU_INTERNAL, "the head of %s was never put", writer->part);
    return write_all (writer, 0, data, size, error);
}

static int sync_folder (const char *path, struct mu_error *error)
{
    char *copy = strdup (path);
    int descriptor = copy ? open (dirname (copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int status = descriptor < 0 ? -1 : fsync (descriptor);
    int number = errno;
    if (descriptor >= 0)
        close (descriptor);
    free (copy);
    if (status < 0 && number != EINVAL) /* EINVAL: a file system that cannot sync folders */
        return mu_fail_errno (error, MU_IO, number, "cannot sync the folder of %s", path);
    return 0;
}

int mu_writer_commit (struct mu_writer **writer, struct mu_error *error)
{
    struct mu_writer *w = *writer;
    int status = flush (w, error);
    if (status == 0 && fsync (w->descriptor) < 0)
        status = mu_fail_errno (error, MU_IO, errno, "cannot sync %s", w->part);
    if (status == 0 && rename (w->part, w->path) < 0)
        status = mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot rename %s to %s", w->part,
                                w->path);
    if (status == 0) {
        w->committed = true;
        status = sync_folder (w->path, error);
    }
    mu_writer_close (writer);
    return status;
}

void mu_writer_close (struct mu_writer **writer)
{
    struct mu_writer *w = *writer;
    if (!w)
        return;
    if (w->descriptor >= 0) {
        if (!w->committed)
            unlink (w->part);
        close (w->descriptor);
    }
    free (w->path);
    free (w->part);
    free (w);
    *writer = NULL;
}
