/* SPDX-License-Identifier: Apache-2.0 */
/* storage.c - writes, reads and hashes the files of a checkpoint */
#include "worker/checkpoint/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int mu_storage_fail (int fd, const char *name, uint64_t at, int number, const char *doing,
                     struct mu_error *error)
{
    struct statvfs space;
    bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
    if (full && fstatvfs (fd, &space) == 0)
        return mu_fail_errno (error, MU_IO, number,
                              "%s %s at byte %llu, with %llu MiB free: make room, raise the quota "
                              "or file size limit, or set checkpoint.dir elsewhere",
                              doing, name, (unsigned long long)at,
                              (unsigned long long)(space.f_bavail * space.f_frsize >> 20));
    return mu_fail_errno (error, MU_IO, number, "%s %s", doing, name);
}

static int fail_write (const struct mu_storage_writer *writer, int number, const char *doing,
                       struct mu_error *error)
{
    return mu_storage_fail (writer->fd, writer->record.name, writer->record.bytes, number, doing,
                            error);
}

int mu_storage_create (struct mu_storage_writer *writer, int dir, const char *name,
                       struct mu_error *error)
{
    *writer = (struct mu_storage_writer){ .fd = -1 };
    if (strlen (name) >= sizeof writer->record.name)
        return mu_fail (error, MU_INTERNAL, "the file name %s is too long", name);
    strcpy (writer->record.name, name);
    writer->buffer = malloc (MU_STORAGE_BUFFER);
    if (!writer->buffer)
        return mu_fail (error, MU_SYSTEM, "no memory to write %s", name);
    writer->fd = openat (dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->fd < 0) {
        mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot create %s", name);
        mu_storage_abandon (writer);
        return -1;
    }
    crypto_generichash_init (&writer->hash, NULL, 0, MU_STORAGE_HASH_SIZE);
    return 0;
}

static int flush (struct mu_storage_writer *writer, struct mu_error *error)
{
    const unsigned char *bytes = writer->buffer;
    size_t left = writer->used;
    crypto_generichash_update (&writer->hash, bytes, left);
    while (left > 0) {
        ssize_t wrote = write (writer->fd, bytes, left);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return fail_write (writer, wrote < 0 ? errno : ENOSPC, "writing", error);
        bytes += wrote;
        left -= (size_t)wrote;
        writer->record.bytes += (uint64_t)wrote;
    }
    writer->used = 0;
    return 0;
}

int mu_storage_write (struct mu_storage_writer *writer, const void *bytes, size_t size,
                      struct mu_error *error)
{
    const unsigned char *from = bytes;
    while (size > 0) {
        size_t part = MU_STORAGE_BUFFER - writer->used;
        if (part > size)
            part = size;
        memcpy (writer->buffer + writer->used, from, part);
        writer->used += part;
        from += part;
        size -= part;
        if (writer->used == MU_STORAGE_BUFFER && flush (writer, error) < 0)
            return -1;
    }
    return 0;
}

int mu_storage_finish (struct mu_storage_writer *writer, struct mu_error *error)
{
    int status = flush (writer, error);
    if (status == 0 && fsync (writer->fd) < 0)
        status = fail_write (writer, errno, "storing", error);
    if (status == 0) {
        int fd = writer->fd;
        crypto_generichash_final (&writer->hash, writer->record.hash, MU_STORAGE_HASH_SIZE);
        writer->fd = -1;
        if (close (fd) < 0)
            status = fail_write (writer, errno, "closing", error);
    }
    mu_storage_abandon (writer);
    return status;
}

void mu_storage_abandon (struct mu_storage_writer *writer)
{
    if (writer->fd >= 0)
        close (writer->fd);
    writer->fd = -1;
    free (writer->buffer);
    writer->buffer = NULL;
    writer->used = 0;
}

/* O_NONBLOCK: a FIFO in place of the file must not hold us. */
int mu_storage_open (int dir, const char *name, uint64_t *size, struct mu_error *error)
{
    int fd = openat (dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return mu_fail_errno (error, MU_NO_INPUT, errno, "cannot open %s", name);
    struct stat status;
    if (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode)) {
        close (fd);
        return mu_fail (error, MU_BAD_INPUT, "%s is no regular file", name);
    }
    *size = (uint64_t)status.st_size;
    return fd;
}

int mu_storage_read_at (int fd, const char *name, uint64_t offset, void *bytes, size_t size,
                        struct mu_error *error)
{
    unsigned char *to = bytes;
    while (size > 0) {
        ssize_t got = pread (fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mu_fail_errno (error, MU_IO, errno, "reading %s", name);
        if (got == 0)
            return mu_fail (error, MU_BAD_INPUT, "%s ends at byte %llu, too early", name,
                            (unsigned long long)offset);
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

int mu_storage_read (int dir, const char *name, size_t limit, char **text, size_t *size,
                     struct mu_error *error)
{
    uint64_t bytes;
    int fd = mu_storage_open (dir, name, &bytes, error);
    if (fd < 0)
        return -1;
    int status = 0;
    if (bytes > limit)
        status = mu_fail (error, MU_BAD_INPUT, "%s has %llu bytes; at most %zu are expected", name,
                          (unsigned long long)bytes, limit);
    char *content = status == 0 ? malloc (bytes + 1) : NULL;
    if (status == 0 && !content)
        status = mu_fail (error, MU_SYSTEM, "no memory to read %s", name);
    if (status == 0)
        status = mu_storage_read_at (fd, name, 0, content, bytes, error);
    close (fd);
    if (status < 0) {
        free (content);
        return -1;
    }
    content[bytes] = '\0';
    *text = content;
    *size = bytes;
    return 0;
}

uint64_t mu_storage_slices (uint64_t bytes, uint64_t slice)
{
    return bytes / slice + (bytes % slice > 0);
}

int mu_storage_hash (int fd, const char *name, uint64_t from, uint64_t to,
                     uint8_t hash[MU_STORAGE_HASH_SIZE], struct mu_error *error)
{
    unsigned char *buffer = malloc (MU_STORAGE_BUFFER);
    if (!buffer)
        return mu_fail (error, MU_SYSTEM, "no memory to check %s", name);
    crypto_generichash_state running;
    crypto_generichash_init (&running, NULL, 0, MU_STORAGE_HASH_SIZE);
    int status = 0;
    for (uint64_t at = from; at < to && status == 0;) {
        size_t part = MU_STORAGE_BUFFER;
        if (to - at < part)
            part = (size_t)(to - at);
        status = mu_storage_read_at (fd, name, at, buffer, part, error);
        if (status == 0)
            crypto_generichash_update (&running, buffer, part);
        at += part;
    }
    crypto_generichash_final (&running, hash, MU_STORAGE_HASH_SIZE);
    free (buffer);
    return status;
}

int mu_storage_open_sized (int dir, const struct mu_storage_record *record, struct mu_error *error)
{
    uint64_t bytes;
    int fd = mu_storage_open (dir, record->name, &bytes, error);
    if (fd < 0 || bytes == record->bytes)
        return fd;
    close (fd);
    return mu_fail (error, MU_BAD_INPUT, "%s has %llu bytes where %llu were written", record->name,
                    (unsigned long long)bytes, (unsigned long long)record->bytes);
}

int mu_storage_verify (int dir, const struct mu_storage_record *record, struct mu_error *error)
{
    uint8_t hash[MU_STORAGE_HASH_SIZE];
    int fd = mu_storage_open_sized (dir, record, error);
    if (fd < 0)
        return -1;
    int status = mu_storage_hash (fd, record->name, 0, record->bytes, hash, error);
    if (status == 0 && memcmp (hash, record->hash, sizeof hash) != 0)
        status = mu_fail (error, MU_BAD_INPUT,
                          "%s is damaged: its %llu bytes are not those that were written",
                          record->name, (unsigned long long)record->bytes);
    close (fd);
    return status;
}

int mu_directory_open (const char *path, struct mu_error *error)
{
    int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return mu_fail_errno (error, errno == ENOENT ? MU_NOT_FOUND : MU_NO_INPUT, errno,
                              "cannot open the directory %s", path);
    return fd;
}
