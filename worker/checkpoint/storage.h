/* SPDX-License-Identifier: Apache-2.0 */
/* storage.h - writing and hashing files so that what was said to be stored is stored
 *
 * A writer hashes what passes through it (BLAKE2b-256), and closing it successfully means that the
 * bytes are on storage (fsync). A full disk is told as such, with what is free. */
#ifndef MU_CHECKPOINT_STORAGE_H
#define MU_CHECKPOINT_STORAGE_H

#include "common/error.h"

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MU_STORAGE_HASH_SIZE  32u
#define MU_STORAGE_NAME_MAX   64u
#define MU_STORAGE_SLICES_MAX 4096u /* of one file */

/* What a checkpoint says of one of its files. Either one hash of all of it, or a hash of each piece
 * (slices.h): piece 0 is the first `head` bytes, then come slices, the last of which may be short. */
struct mu_storage_record {
    char name[MU_STORAGE_NAME_MAX];
    uint64_t bytes;
    uint32_t pieces;                    /* 0: one hash */
    uint8_t hash[MU_STORAGE_HASH_SIZE]; /* then */
    uint64_t head, slice;               /* else */
    uint8_t (*piece)[MU_STORAGE_HASH_SIZE];
};

struct mu_storage_writer {
    int fd;
    struct mu_storage_record record;
    crypto_generichash_state hash;
    size_t used;
    unsigned char *buffer; /* MU_STORAGE_BUFFER bytes */
};

#define MU_STORAGE_BUFFER ((size_t)1 << 20)

/* Create `name` in the directory open as `dir`; it must not exist. 0, or -1 with nothing open. */
int mu_storage_create (struct mu_storage_writer *writer, int dir, const char *name,
                       struct mu_error *error);
int mu_storage_write (struct mu_storage_writer *writer, const void *bytes, size_t size,
                      struct mu_error *error);
/* Flush, fsync, close; writer->record is complete then. */
int mu_storage_finish (struct mu_storage_writer *writer, struct mu_error *error);
/* Close without a word, after a failure. Harmless after mu_storage_finish. */
void mu_storage_abandon (struct mu_storage_writer *writer);

/* Open a regular file for reading and tell its size; a descriptor, or -1. */
int mu_storage_open (int dir, const char *name, uint64_t *size, struct mu_error *error);
/* Read exactly `size` bytes at `offset`; a file that ends before is an error. */
int mu_storage_read_at (int fd, const char *name, uint64_t offset, void *bytes, size_t size,
                        struct mu_error *error);

/* Read a whole file of at most `limit` bytes; *text is malloc'ed, with a NUL behind it. */
int mu_storage_read (int dir, const char *name, size_t limit, char **text, size_t *size,
                     struct mu_error *error);

/* A failed write: the sentence, with what is free when that is the reason. Returns -1. */
int mu_storage_fail (int fd, const char *name, uint64_t at, int number, const char *doing,
                     struct mu_error *error);

/* How many slices of that size hold so many bytes. */
uint64_t mu_storage_slices (uint64_t bytes, uint64_t slice);

/* Hash the bytes `from` to `to` of a file. */
int mu_storage_hash (int fd, const char *name, uint64_t from, uint64_t to,
                     uint8_t hash[MU_STORAGE_HASH_SIZE], struct mu_error *error);

/* Open the record's file, which must have the record's size; a descriptor, or -1. */
int mu_storage_open_sized (int dir, const struct mu_storage_record *record, struct mu_error *error);

/* Whether the file has the size and the one hash of its record; the sentence says which is wrong. */
int mu_storage_verify (int dir, const struct mu_storage_record *record, struct mu_error *error);

/* Open a directory for the *at () calls; -1 on failure. */
int mu_directory_open (const char *path, struct mu_error *error);

#endif
