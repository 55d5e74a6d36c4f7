/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - files that are read at random, files that appear whole or not at all, and the cache
 *
 * The cache is a folder of files whose names are hashes of all that decides their content, so a
 * file there is either right or absent and may be deleted at any time. Several processes may want
 * the same one at once: the first makes it under a lock, the others wait for it. */
#ifndef MU_DATA_FILE_H
#define MU_DATA_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "data.h"

#define MU_HASH_BYTES 16u /* BLAKE2b-128 */
#define MU_HASH_TEXT  33u /* as hex, with its NUL */

/* --- reading ---------------------------------------------------------------------------------- */

struct mu_file {
    char *path;
    int descriptor;
    uint64_t size;
    struct stat stat;        /* as it was when opened */
    char hash[MU_HASH_TEXT]; /* "" until mu_file_hash */
};

/* A regular file, readable. On failure `file` needs no close. */
int mu_file_open (struct mu_file *file, const char *path, struct mu_error *error);
void mu_file_close (struct mu_file *file); /* also one that is all zero */

/* Exactly `size` bytes; a file that has become shorter is an error. Thread-safe. */
int mu_file_read (const struct mu_file *file, uint64_t offset, void *buffer, size_t size,
                  struct mu_error *error);

/* --- writing ---------------------------------------------------------------------------------- */

struct mu_writer;

/* Write to PATH.part, locked; `commit` syncs it and renames it to PATH. Where another process holds
 * the lock: TRY_AGAIN. */
int mu_writer_open (struct mu_writer **writer, const char *path, struct mu_error *error);
int mu_writer_put (struct mu_writer *writer, const void *data, size_t size, struct mu_error *error);
uint64_t mu_writer_size (const struct mu_writer *writer);
/* Overwrite the file's first bytes, which were put before: a header whose counts are known late. */
int mu_writer_head (struct mu_writer *writer, const void *data, size_t size,
                    struct mu_error *error);
int mu_writer_commit (struct mu_writer **writer, struct mu_error *error);
void mu_writer_close (struct mu_writer **writer); /* gives up what is not committed */

/* --- the cache -------------------------------------------------------------------------------- */

struct mu_cache {
    char *directory;
    mu_data_progress progress; /* may be NULL */
    void *progress_user;
};

/* `directory` NULL: the first of the defaults that can be written. */
int mu_cache_open (struct mu_cache *cache, const char *directory, struct mu_error *error);
void mu_cache_close (struct mu_cache *cache);
void mu_cache_tell (const struct mu_cache *cache, const char *what, uint64_t done, uint64_t total);

/* Open the cache's file `name`; where it is not there, let `make` write it first. */
typedef int (*mu_cache_make) (void *user, struct mu_writer *writer, struct mu_error *error);
int mu_cache_get (const struct mu_cache *cache, const char *name, mu_cache_make make, void *user,
                  struct mu_file *file, struct mu_error *error);

/* Fill file->hash with the BLAKE2b-128 of the content, as hex. It is remembered in the cache under
 * the file's path together with device, inode, size, mtime and ctime, and computed again when any
 * of them changed; a file touched within the last two seconds is never remembered, since a second
 * change within one tick of its clock could not be seen. */
int mu_file_hash (struct mu_file *file, const struct mu_cache *cache, struct mu_error *error);

/* The hash of a few strings, each with its NUL, as hex: names for the cache. The list ends with
 * NULL. */
void mu_hash_strings (char text[MU_HASH_TEXT], const char *const *strings);

#endif
