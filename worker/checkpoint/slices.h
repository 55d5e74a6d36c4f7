/* SPDX-License-Identifier: Apache-2.0 */
/* slices.h - a file that is written, hashed and checked in slices, several at once (internal to
 * checkpoint/)
 *
 * A file is a head and values. Piece 0 is the head; piece i the i-th slice of the values, all of
 * one size but the last. Each piece has a hash of its own, since one hash of a whole file can only
 * be computed from its beginning to its end, by one thread. */
#ifndef MU_CHECKPOINT_SLICES_H
#define MU_CHECKPOINT_SLICES_H

#include "common/error.h"
#include "worker/checkpoint/sheet.h"
#include "worker/checkpoint/storage.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mu_sliced_file {
    int fd;
    int direct;                      /* the same file, past the kernel's cache; -1: none */
    atomic_bool refused;             /* what was written that way */
    const unsigned char *head;       /* record.head bytes */
    const unsigned char *values;     /* all that follows */
    struct mu_storage_record record; /* owns its hashes until they are taken */
    _Atomic uint32_t left;           /* pieces that are not yet on storage */
};

/* The size of slice that suits a state of so many parameters: the same for equal states. */
uint64_t mu_slices_size (uint64_t parameters);

/* Hash slice `number`, from 0, of the sheet. -1: no memory. */
int mu_slices_hash (const struct mu_sheet *sheet, uint64_t slice, uint32_t number,
                    uint8_t hash[MU_STORAGE_HASH_SIZE], struct mu_error *error);

/* A sliced file that is not there: for mu_slices_close (). */
#define MU_SLICES_NONE ((struct mu_sliced_file){ .fd = -1, .direct = -1 })

/* Create file->record.name in the directory open as `dir`; it must not exist. Head and values,
 * record.head bytes and record.bytes - record.head, are borrowed. 0, or -1 with nothing open. */
int mu_slices_create (struct mu_sliced_file *file, int dir, uint64_t slice, struct mu_error *error);
/* Piece `number` of file->record.pieces: its bytes are written, with those of the pieces that go along,
 * and told; its hash is noted. For any thread, in any order of pieces; whoever notes the last one syncs the
 * file, and when that has returned 0, the record is complete and stored. */
int mu_slices_put (struct mu_sliced_file *file, uint32_t number, const unsigned char **bytes,
                   uint64_t *size, struct mu_error *error);
int mu_slices_note (struct mu_sliced_file *file, uint32_t number,
                    const uint8_t hash[MU_STORAGE_HASH_SIZE], struct mu_error *error);
/* Close, and forget the hashes. Harmless when nothing is open. */
void mu_slices_close (struct mu_sliced_file *file);

/* Whether the file has the size and the hashes of its record, which has pieces; the sentence says
 * from which byte to which it is wrong. */
int mu_slices_verify (int dir, const struct mu_storage_record *record, struct mu_error *error);

#endif
