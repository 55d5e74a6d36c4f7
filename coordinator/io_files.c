/* SPDX-License-Identifier: Apache-2.0 */
/* io_files.c - see io_files.h */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "io_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int close_failed (int fd)
{
    const int number = errno;
    close (fd);
    errno = number;
    return -1;
}

long file_read (const char *path, void *data, size_t max)
{
    char more;
    size_t size = 0;
    const int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (;;) {
        const ssize_t n =
            size < max ? read (fd, (char *)data + size, max - size) : read (fd, &more, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return close_failed (fd);
        size += (size_t)n;
        if (n == 0 || size > max)
            break;
    }
    close (fd);
    return (long)size;
}

static int write_all (int fd, const char *data, size_t size)
{
    while (size) {
        const ssize_t n = write (fd, data, size);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

int file_create (const char *path)
{
    return open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
}

int file_fill (int fd, const char *path, const void *data, size_t size)
{
    if (!write_all (fd, data, size) && !fsync (fd)) {
        if (!close (fd)) /* NFS says here that the disk is full */
            return 0;
    } else
        close_failed (fd);
    const int number = errno;
    unlink (path);
    errno = number;
    return -1;
}

int file_write_new (const char *path, const void *data, size_t size)
{
    const int fd = file_create (path);
    return fd < 0 ? -1 : file_fill (fd, path, data, size);
}

int folder_sync (const char *folder)
{
    const int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fsync (fd))
        return close_failed (fd);
    return close (fd);
}

int file_place (const char *path, struct file_place *place)
{
    struct statx about;
    if (statx (AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &about))
        return -1;
    place->inode = about.stx_ino;
    place->born_ns = about.stx_mask & STATX_BTIME
                         ? about.stx_btime.tv_sec * 1000000000 + about.stx_btime.tv_nsec
                         : 0;
    return 0;
}

bool file_is_another (const struct file_place *is, const struct file_place *was)
{
    return is->inode != was->inode || (is->born_ns && was->born_ns && is->born_ns != was->born_ns);
}

uint64_t draw_id (void)
{
    uint64_t id = 0;
    while (!id)
        if (getrandom (&id, sizeof id, 0) != (ssize_t)sizeof id && errno != EINTR)
            abort (); /* a system without chance: two could be one */
    return id;
}
