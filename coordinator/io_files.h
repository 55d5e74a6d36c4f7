/* SPDX-License-Identifier: Apache-2.0 */
/* io_files.h - small files that are whole or not there */
#ifndef COORD_IO_FILES_H
#define COORD_IO_FILES_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Read it: its size (at most `max`; one more if there is more), or -1 with errno. */
long file_read (const char *path, void *data, size_t max);

/* Create it, write and sync it. -1 with errno; then it is not there. */
int file_write_new (const char *path, const void *data, size_t size);

/* The same in two steps, for who writes there which file it is. The first returns where to write, or
 * -1; the second closes that in any case. */
int file_create (const char *path);
int file_fill (int fd, const char *path, const void *data, size_t size);

/* What was created, renamed or removed in a folder stays so. */
int folder_sync (const char *folder);

/* Which file a path leads to: a copy of it is another. */
struct file_place {
    uint64_t inode;  /* never 0 */
    int64_t born_ns; /* since 1970; 0: its file system does not say */
};

/* -1 with errno. */
int file_place (const char *path, struct file_place *place);

/* Where one of the two does not know when it was born, the inode decides. */
bool file_is_another (const struct file_place *is, const struct file_place *was);

/* A number that nobody else has drawn, never 0. */
uint64_t draw_id (void);

#endif
