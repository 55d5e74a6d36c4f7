/* SPDX-License-Identifier: Apache-2.0 */
/* slices.c - writes, hashes and checks files in slices, several at once
 *
 * Nobody reads it again soon, so whole pages go past the kernel's cache where that is known to work: a
 * page of the cache costs more than its bytes, when it is made, when it is stored and when the file is
 * removed, and training wants the core. Elsewhere the kernel is asked to store each stretch at once, so that
 * the sync at the end finds little to wait for; a failure that it meets is told by that sync. */
#include "worker/checkpoint/slices.h"

#include "worker/checkpoint/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BUFFER        ((size_t)256 << 10)
#define PAGE          4096u               /* of memory and file: direct writes come in these */
#define STRETCH       ((uint64_t)4 << 20) /* bytes written at once */
#define SLICE_USUAL   ((uint64_t)4 << 20)
#define SLICE_LEAST   ((uint64_t)64 << 10)
#define SLICES_ENOUGH 1024u /* in both files together: 70 kB of muster.json */
#define SLICES_FEW    16u   /* with less, lanes of a hash would end one by one */

uint64_t mu_slices_size (uint64_t parameters)
{
    const uint64_t bytes = parameters * 3 * sizeof (float);
    uint64_t slice = SLICE_USUAL;
    while (bytes / slice > SLICES_ENOUGH)
        slice *= 2;
    while (slice > SLICE_LEAST && bytes / slice < SLICES_FEW)
        slice /= 2;
    return slice;
}

static uint64_t least (uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Where piece `number` lies in the file. */
static void locate (const struct mu_storage_record *record, uint32_t number, uint64_t *from,
                    uint64_t *to)
{
    *from = number == 0 ? 0 : record->head + (number - 1) * record->slice;
    *to = number == 0 ? record->head : least (*from + record->slice, record->bytes);
}

/* --- hashing memory --------------------------------------------------------------------------- */

int mu_slices_hash (const struct mu_sheet *sheet, uint64_t slice, uint32_t number,
                    uint8_t hash[MU_STORAGE_HASH_SIZE], struct mu_error *error)
{
    unsigned char *buffer = malloc (BUFFER);
    if (!buffer)
        return mu_fail (error, MU_SYSTEM, "no memory to hash a slice");
    crypto_generichash_state running;
    crypto_generichash_init (&running, NULL, 0, MU_STORAGE_HASH_SIZE);
    const uint64_t end = least ((number + UINT64_C (1)) * slice, sheet->size);
    for (uint64_t at = number * slice; at < end;) {
        const size_t part = (size_t)least (BUFFER, end - at);
        mu_sheet_copy (sheet, at, buffer, part);
        crypto_generichash_update (&running, buffer, part);
        at += part;
    }
    crypto_generichash_final (&running, hash, MU_STORAGE_HASH_SIZE);
    free (buffer);
    return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool is_direct (const struct mu_sliced_file *file)
{
    return file->direct >= 0 && !atomic_load (&file->refused);
}

/* Elsewhere such writes are slow (a network waits for each), or only look as if they were direct.
 * Several at once need their room beforehand: a file that grows is written by one at a time. */
static void open_direct (struct mu_sliced_file *file, int dir)
{
    struct statfs system;
    if (file->record.head % PAGE || fstatfs (file->fd, &system) < 0 ||
        (system.f_type != EXT4_SUPER_MAGIC && system.f_type != XFS_SUPER_MAGIC))
        return;
    file->direct = openat (dir, file->record.name, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (file->direct >= 0 && fallocate (file->fd, 0, 0, (off_t)file->record.bytes) < 0)
        atomic_store (&file->refused, true); /* a full disk, say: the writing will tell */
}

int mu_slices_create (struct mu_sliced_file *file, int dir, uint64_t slice, struct mu_error *error)
{
    struct mu_storage_record *record = &file->record;
    const uint64_t slices = mu_storage_slices (record->bytes - record->head, slice);
    file->fd = file->direct = -1;
    if (slices > MU_STORAGE_SLICES_MAX)
        return mu_fail (error, MU_INTERNAL, "%s cannot be cut into %llu slices", record->name,
                        (unsigned long long)slices);
    record->slice = slice;
    record->pieces = (uint32_t)slices + 1;
    file->left = record->pieces;
    record->piece = calloc (record->pieces, sizeof *record->piece);
    if (!record->piece)
        return mu_fail (error, MU_SYSTEM, "no memory to write %s", record->name);
    file->fd = openat (dir, record->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd >= 0) {
        open_direct (file, dir);
        return 0;
    }
    mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot create %s", record->name);
    mu_slices_close (file);
    return -1;
}

/* The descriptor for these bytes, and how many of them it takes. */
static int choose (const struct mu_sliced_file *file, const unsigned char *bytes, uint64_t left,
                   uint64_t at, size_t *part)
{
    *part = (size_t)least (left, STRETCH);
    if (!is_direct (file) || left < PAGE || at % PAGE || (uintptr_t)bytes % PAGE)
        return file->fd;
    *part -= *part % PAGE;
    return file->direct;
}

static int write_at (struct mu_sliced_file *file, const unsigned char *bytes, uint64_t left,
                     uint64_t at, struct mu_error *error)
{
    while (left > 0) {
        size_t part;
        const int fd = choose (file, bytes, left, at, &part);
        const ssize_t wrote = pwrite (fd, bytes, part, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0 && errno == EINVAL && fd != file->fd) {
            atomic_store (&file->refused, true); /* its pages are larger than ours */
            continue;
        }
        if (wrote <= 0)
            return mu_storage_fail (file->fd, file->record.name, at, wrote < 0 ? errno : ENOSPC,
                                    "writing", error);
        bytes += wrote;
        at += (uint64_t)wrote;
        left -= (uint64_t)wrote;
    }
    return 0;
}

/* Small slices are written together, with the first of them: each write costs the disk's driver as
 * much as some hundred kilobytes. */
static int write_stretch (struct mu_sliced_file *file, uint32_t number, uint64_t from,
                          struct mu_error *error)
{
    const struct mu_storage_record *record = &file->record;
    const uint64_t slices = record->slice < STRETCH ? STRETCH / record->slice : 1;
    if ((number - 1) % slices)
        return 0;
    const uint64_t size = least (slices * record->slice, record->bytes - from);
    if (write_at (file, file->values + (from - record->head), size, from, error) < 0)
        return -1;
    if (!is_direct (file))
        sync_file_range (file->fd, (off_t)from, (off_t)size, SYNC_FILE_RANGE_WRITE);
    return 0;
}

int mu_slices_put (struct mu_sliced_file *file, uint32_t number, const unsigned char **bytes,
                   uint64_t *size, struct mu_error *error)
{
    uint64_t from, to;
    locate (&file->record, number, &from, &to);
    *bytes = number == 0 ? file->head : file->values + (from - file->record.head);
    *size = to - from;
    return number == 0 ? write_at (file, file->head, to, 0, error)
                       : write_stretch (file, number, from, error);
}

int mu_slices_note (struct mu_sliced_file *file, uint32_t number,
                    const uint8_t hash[MU_STORAGE_HASH_SIZE], struct mu_error *error)
{
    memcpy (file->record.piece[number], hash, MU_STORAGE_HASH_SIZE);
    if (atomic_fetch_sub (&file->left, 1) > 1)
        return 0;
    if (fsync (file->fd) < 0)
        return mu_storage_fail (file->fd, file->record.name, file->record.bytes, errno, "storing",
                                error);
    return 0;
}

void mu_slices_close (struct mu_sliced_file *file)
{
    if (file->fd >= 0)
        close (file->fd);
    if (file->direct >= 0)
        close (file->direct);
    file->fd = file->direct = -1;
    free (file->record.piece);
    file->record.piece = NULL;
}

/* --- checking --------------------------------------------------------------------------------- */

struct check {
    int fd;
    const struct mu_storage_record *record;
};

static int check_piece (void *about, uint32_t number, struct mu_error *error)
{
    const struct check *check = about;
    const struct mu_storage_record *record = check->record;
    uint8_t hash[MU_STORAGE_HASH_SIZE];
    uint64_t from, to;
    locate (record, number, &from, &to);
    if (mu_storage_hash (check->fd, record->name, from, to, hash, error) < 0)
        return -1;
    if (memcmp (hash, record->piece[number], sizeof hash) == 0)
        return 0;
    return mu_fail (error, MU_BAD_INPUT,
                    "%s is damaged: of its %llu bytes those from %llu to %llu are not what was "
                    "written",
                    record->name, (unsigned long long)record->bytes, (unsigned long long)from,
                    (unsigned long long)to);
}

int mu_slices_verify (int dir, const struct mu_storage_record *record, struct mu_error *error)
{
    struct check check = { .fd = mu_storage_open_sized (dir, record, error), .record = record };
    if (check.fd < 0)
        return -1;
    const int status =
        mu_crew_run (mu_crew_hands (record->bytes), record->pieces, check_piece, &check, error);
    close (check.fd);
    return status;
}
