/* SPDX-License-Identifier: Apache-2.0 */
/* slices.c - writes, hashes and checks files in slices, several at once
 *
 * What is written passes through the buffers of who hashes it (weave.c): gathered from the state,
 * written at its place, hashed. The kernel is asked to store each slice at once, so that the sync at the
 * end finds little to wait for; a failure that it meets is told by that sync. */
#include "worker/checkpoint/slices.h"

#include "worker/checkpoint/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER        ((size_t)256 << 10)
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

int mu_slices_create (struct mu_sliced_file *file, int dir, const char *name, const void *head,
                      uint64_t head_size, const struct mu_sheet *sheet, uint64_t slice,
                      struct mu_error *error)
{
    const uint64_t slices = mu_storage_slices (sheet->size, slice);
    *file = (struct mu_sliced_file){ .fd = -1, .head = head, .sheet = sheet };
    if (strlen (name) >= sizeof file->record.name || slices > MU_STORAGE_SLICES_MAX)
        return mu_fail (error, MU_INTERNAL, "%s cannot be cut into %llu slices", name,
                        (unsigned long long)slices);
    strcpy (file->record.name, name);
    file->record.bytes = head_size + sheet->size;
    file->record.head = head_size;
    file->record.slice = slice;
    file->record.pieces = (uint32_t)slices + 1;
    file->left = file->record.pieces;
    file->record.piece = calloc (file->record.pieces, sizeof *file->record.piece);
    if (!file->record.piece)
        return mu_fail (error, MU_SYSTEM, "no memory to write %s", name);
    file->fd = openat (dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd >= 0)
        return 0;
    mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot create %s", name);
    mu_slices_close (file);
    return -1;
}

static int write_at (const struct mu_sliced_file *file, const unsigned char *bytes, size_t left,
                     uint64_t at, struct mu_error *error)
{
    while (left > 0) {
        const ssize_t wrote = pwrite (file->fd, bytes, left, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return mu_storage_fail (file->fd, file->record.name, at, wrote < 0 ? errno : ENOSPC,
                                    "writing", error);
        bytes += wrote;
        at += (uint64_t)wrote;
        left -= (size_t)wrote;
    }
    return 0;
}

static void fetch (const struct mu_sliced_file *file, uint64_t at, void *to, size_t size)
{
    if (at < file->record.head)
        memcpy (to, (const unsigned char *)file->head + at, size);
    else
        mu_sheet_copy (file->sheet, at - file->record.head, to, size);
}

uint64_t mu_slices_bytes (const struct mu_sliced_file *file, uint32_t number)
{
    uint64_t from, to;
    locate (&file->record, number, &from, &to);
    return to - from;
}

int mu_slices_pass (const struct mu_sliced_file *file, uint32_t number, uint64_t at,
                    unsigned char *to, size_t size, struct mu_error *error)
{
    uint64_t from, end;
    locate (&file->record, number, &from, &end);
    fetch (file, from + at, to, size);
    return write_at (file, to, size, from + at, error);
}

int mu_slices_note (struct mu_sliced_file *file, uint32_t number,
                    const uint8_t hash[MU_STORAGE_HASH_SIZE], struct mu_error *error)
{
    uint64_t from, to;
    locate (&file->record, number, &from, &to);
    memcpy (file->record.piece[number], hash, MU_STORAGE_HASH_SIZE);
    sync_file_range (file->fd, (off_t)from, (off_t)(to - from), SYNC_FILE_RANGE_WRITE);
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
    file->fd = -1;
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
