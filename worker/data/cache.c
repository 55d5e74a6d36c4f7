/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - the folder of converted files
 *
 * A name holds the hash of everything that decides the content, so a file that is there is right, if it is
 * whole: behind the content stands how long it is. One that somebody cut, or a disk that was full, is made again.
 * Making one twice is harmless (both are the same); the writer's lock only saves the work. A waiter
 * gives up when the one who works has not written for STALL_SECONDS. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 25, STALL_SECONDS = 120 };

/* mkdir -p, private. */
static int make_folders (const char *path)
{
    char *copy = strdup (path);
    int status = copy ? 0 : -1;
    for (char *at = copy ? copy + 1 : NULL; status == 0 && at && *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir (copy, 0700) < 0 && errno != EEXIST)
            status = -1;
        *at = '/';
    }
    if (status == 0 && mkdir (path, 0700) < 0 && errno != EEXIST)
        status = -1;
    int number = errno;
    free (copy);
    errno = number;
    return status;
}

/* A folder others may write could hold files they prepared for us. */
static int check_folder (const char *path, struct mu_error *error)
{
    struct stat info;
    if (make_folders (path) < 0 || stat (path, &info) < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot make the cache folder %s",
                              path);
    if (!S_ISDIR (info.st_mode))
        return mu_fail (error, MU_CANT_CREATE, "the cache folder %s is not a folder", path);
    if (access (path, R_OK | W_OK | X_OK) < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot write to the cache folder %s",
                              path);
    return 0;
}

static bool is_private (const char *path)
{
    struct stat info;
    return lstat (path, &info) == 0 && S_ISDIR (info.st_mode) && info.st_uid == geteuid () &&
           (info.st_mode & 022) == 0;
}

static char *default_folder (int which)
{
    const char *xdg = getenv ("XDG_CACHE_HOME"), *home = getenv ("HOME");
    char *path = NULL;
    int status = -1;
    if (which == 0 && xdg && xdg[0] == '/')
        status = asprintf (&path, "%s/muster", xdg);
    else if (which == 1 && home && home[0] == '/')
        status = asprintf (&path, "%s/.cache/muster", home);
    else if (which == 2)
        status = asprintf (&path, "/tmp/muster-%ju", (uintmax_t)geteuid ());
    return status < 0 ? NULL : path;
}

int mu_cache_open (struct mu_cache *cache, const char *directory, struct mu_error *error)
{
    cache->directory = NULL;
    if (directory) {
        if (check_folder (directory, error) < 0)
            return -1;
        cache->directory = strdup (directory);
        return cache->directory ? 0 : mu_fail (error, MU_SYSTEM, "no memory for the cache's name");
    }
    for (int which = 0; which < 3; which++) {
        char *path = default_folder (which);
        if (path && check_folder (path, NULL) == 0 && is_private (path)) {
            cache->directory = path;
            return 0;
        }
        free (path);
    }
    return mu_fail (error, MU_CANT_CREATE,
                    "no folder for the cache of converted data can be "
                    "written: neither $XDG_CACHE_HOME/muster, ~/.cache/muster nor /tmp/muster-%ju; "
                    "name one with XDG_CACHE_HOME",
                    (uintmax_t)geteuid ());
}

void mu_cache_close (struct mu_cache *cache)
{
    free (cache->directory);
    cache->directory = NULL;
}

void mu_cache_tell (const struct mu_cache *cache, const char *what, uint64_t done, uint64_t total)
{
    if (cache->progress)
        cache->progress (cache->progress_user, what, done, total);
}

/* How much another has written so far; changes while it lives. */
static int64_t part_size (const char *path)
{
    char *part;
    struct stat info;
    if (asprintf (&part, "%s.part", path) < 0)
        return -1;
    int64_t size = stat (part, &info) == 0 ? (int64_t)info.st_size : -1;
    free (part);
    return size;
}

/* Get the writer, or find that another has finished: *writer is then NULL. */
static int wait_for_turn (const struct mu_cache *cache, const char *path, struct mu_writer **writer,
                          struct mu_error *error)
{
    int64_t seen = -2;
    for (unsigned quiet_ms = 0; quiet_ms < STALL_SECONDS * 1000; quiet_ms += POLL_MS) {
        struct mu_error problem = { 0 };
        if (mu_writer_open (writer, path, &problem) == 0) {
            if (access (path, F_OK) == 0)
                mu_writer_close (writer);
            return 0;
        }
        if (problem.code != MU_TRY_AGAIN)
            return mu_fail (error, problem.code, "%s", problem.text);
        const int64_t size = part_size (path);
        if (size != seen)
            quiet_ms = 0;
        seen = size;
        mu_cache_tell (cache, "waiting for another process that converts the same data",
                       size > 0 ? (uint64_t)size : 0, 0);
        nanosleep (&(struct timespec){ .tv_nsec = POLL_MS * 1000000L }, NULL);
    }
    return mu_fail (error, MU_TRY_AGAIN,
                    "another process holds %s.part and has written nothing for "
                    "%d s; end it, or use another cache folder",
                    path, STALL_SECONDS);
}

/* --- the end of a file, which readers do not see ---------------------------------------------- */

struct end {
    char magic[8];
    uint64_t size; /* of what comes before */
};

static const char end_magic[8] = "muster\n2";

static int put_end (struct mu_writer *writer, struct mu_error *error)
{
    struct end end = { .size = mu_writer_size (writer) };
    memcpy (end.magic, end_magic, sizeof end.magic);
    return mu_writer_put (writer, &end, sizeof end, error);
}

/* Cuts the end off. */
static bool take_end (struct mu_file *file)
{
    struct end end;
    struct mu_error error;
    if (file->size < sizeof end ||
        mu_file_read (file, file->size - sizeof end, &end, sizeof end, &error) < 0 ||
        memcmp (end.magic, end_magic, sizeof end.magic) != 0 || end.size != file->size - sizeof end)
        return false;
    file->size = end.size;
    return true;
}

/* --- getting one ------------------------------------------------------------------------------ */

static int make_it (const struct mu_cache *cache, const char *path, mu_cache_make make, void *user,
                    struct mu_error *error)
{
    struct mu_writer *writer = NULL;
    int status = wait_for_turn (cache, path, &writer, error);
    if (status < 0 || !writer)
        return status;
    status = make (user, writer, error);
    if (status == 0)
        status = put_end (writer, error);
    if (status == 0)
        status = mu_writer_commit (&writer, error);
    mu_writer_close (&writer);
    return status;
}

int mu_cache_get (const struct mu_cache *cache, const char *name, mu_cache_make make, void *user,
                  struct mu_file *file, struct mu_error *error)
{
    char *path;
    if (asprintf (&path, "%s/%s.2", cache->directory, name) < 0)
        return mu_fail (error, MU_SYSTEM, "no memory for a name in the cache");
    int status = -1;
    for (int tries = 0; tries < 2; tries++) {
        status = access (path, F_OK) < 0 ? make_it (cache, path, make, user, error) : 0;
        if (status == 0)
            status = mu_file_open (file, path, error);
        if (status < 0 || take_end (file))
            break;
        mu_file_close (file);
        mu_cache_tell (cache, "converting again what was cut off in the cache", 0, 0);
        unlink (path);
        status =
            mu_fail (error, MU_IO,
                     "%s is not what was written to it a moment ago; use another cache folder, "
                     "on a disk that keeps what it is given",
                     path);
    }
    free (path);
    return status;
}
