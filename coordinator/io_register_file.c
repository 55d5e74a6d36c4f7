/* SPDX-License-Identifier: Apache-2.0 */
/* io_register_file.c - `--register file:PATH`: revision N is the file PATH.N, written once
 *
 * A swap creates PATH.(N + 1): it is written whole under another name, synced, and then linked to
 * that name, which exactly one can do. No lock is held, so nobody who is stopped, or whose machine
 * is gone, blocks others, and a writer that wakes up late finds the name taken. docs/decisions/0028
 * says what NFS makes of it.
 *
 * The newest KEPT revisions stay; older ones are removed, the oldest first, so a revision is there as
 * long as the next one's creation may be in doubt.
 *
 * Storage can hang for ever: the work is done by a thread that is left behind when time is up. Until
 * it comes back no other is begun. */
#include "io_files.h"
#include "io_register_kinds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEPT      16u
#define PATH_SIZE 4200
#define LEFT_S    86400 /* a temporary file so old is nobody's any more */
#define TRIES     100

struct work {
    bool swaps;
    uint64_t revision;
    struct reign_text expected, next; /* `next` is also what is read */
    int rc;
    struct mu_error error;
};

struct file_register {
    char folder[PATH_SIZE], name[256], mine[PATH_SIZE + 320]; /* mine: the temporary file */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool busy, closed;
    struct work work; /* the thread's while busy */
};

/* --- the folder -------------------------------------------------------------------------------- */

static void path_of (const struct file_register *reg, uint64_t revision, char *path)
{
    snprintf (path, PATH_SIZE + 320, "%s/%s.%" PRIu64, reg->folder, reg->name, revision);
}

static int trouble (const struct file_register *reg, const char *what, struct mu_error *error)
{
    const int number = errno;
    const bool never = number == EPERM || number == EOPNOTSUPP || number == ENOSYS;
    return mu_fail_errno (error, number == EACCES || never ? MU_NO_PERMISSION : MU_UNAVAILABLE,
                          number, "%s/%s.* cannot be %s%s", reg->folder, reg->name, what,
                          never ? " (its file system must know hard links)" : "");
}

/* The revision that a name in the folder is of; 0: of none. */
static uint64_t revision_of (const struct file_register *reg, const char *name)
{
    const size_t length = strlen (reg->name);
    if (strncmp (name, reg->name, length) || name[length] != '.' || name[length + 1] == '0')
        return 0;
    uint64_t revision = 0;
    for (const char *at = name + length + 1; *at; at++) {
        if (*at < '0' || *at > '9' || revision > (UINT64_MAX - 9) / 10)
            return 0;
        revision = revision * 10 + (uint64_t)(*at - '0');
    }
    return revision;
}

/* Newest and oldest of the revisions that are there; 0: none. */
static int scan (const struct file_register *reg, uint64_t *newest, uint64_t *oldest,
                 struct mu_error *error)
{
    const struct dirent *entry;
    *newest = *oldest = 0;
    DIR *dir = opendir (reg->folder);
    if (!dir)
        return trouble (reg, "listed", error);
    errno = 0;
    while ((entry = readdir (dir)) != NULL) {
        const uint64_t revision = revision_of (reg, entry->d_name);
        if (revision > *newest)
            *newest = revision;
        if (revision && (!*oldest || revision < *oldest))
            *oldest = revision;
    }
    const int number = errno;
    closedir (dir);
    errno = number;
    return number ? trouble (reg, "listed", error) : 0;
}

/* A change of ours makes an NFS client ask its server what is there; what it remembered of the
 * folder may be a minute old. */
static int freshen (const struct file_register *reg, struct mu_error *error)
{
    if ((unlink (reg->mine) && errno != ENOENT) || file_write_new (reg->mine, "", 0) ||
        unlink (reg->mine))
        return trouble (reg, "written", error);
    return 0;
}

/* 1: it is there, 0: not, -1. */
static int read_revision (const struct file_register *reg, uint64_t revision,
                          struct reign_text *text, struct mu_error *error)
{
    char path[PATH_SIZE + 320];
    struct reign reign;
    struct mu_error why = { 0 };
    path_of (reg, revision, path);
    const long size = file_read (path, text->text, sizeof text->text);
    if (size < 0 && (errno == ENOENT || errno == ESTALE))
        return 0;
    if (size < 0)
        return trouble (reg, "read", error);
    text->size = (size_t)size;
    if (size == 0 || text->size > sizeof text->text)
        return mu_fail (error, MU_BAD_INPUT, "%s has %s: nobody here wrote it", path,
                        size ? "too many bytes" : "no bytes");
    if (reign_decode (&reign, text->text, text->size, &why)) {
        char before[PATH_SIZE + 320];
        path_of (reg, revision - 1, before);
        return mu_fail (error, MU_BAD_INPUT,
                        "%s is damaged: %s. Look at the storage; who reigned is in %s, too, one "
                        "revision older",
                        path, why.text, before);
    }
    if (reign.revision != revision)
        return mu_fail (error, MU_BAD_INPUT, "%s holds revision %" PRIu64 ": it was renamed", path,
                        reign.revision);
    return 1;
}

static bool exists (const struct file_register *reg, uint64_t revision)
{
    char path[PATH_SIZE + 320];
    struct stat status;
    path_of (reg, revision, path);
    return !stat (path, &status);
}

/* --- reading ----------------------------------------------------------------------------------- */

/* Its successor was not there, and after that it was: so no successor had been there at all, as the
 * older one is removed first. */
static int read_newest (const struct file_register *reg, struct reign_text *text,
                        struct mu_error *error)
{
    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t newest, oldest;
        if (scan (reg, &newest, &oldest, error))
            return -1;
        text->size = 0;
        const int rc = newest ? read_revision (reg, newest, text, error) : 1;
        if (rc < 0)
            return -1;
        if (!rc || exists (reg, newest + 1) || (newest && !exists (reg, newest)))
            continue;
        /* Whoever linked it may have died before it was durable. */
        return folder_sync (reg->folder) ? trouble (reg, "synced", error) : 0;
    }
    return mu_fail (error, MU_TRY_AGAIN, "%s/%s.* changes all the time", reg->folder, reg->name);
}

/* --- swapping ---------------------------------------------------------------------------------- */

/* What is too old to be in doubt, and what killed writers left. */
static void clean_up (const struct file_register *reg, uint64_t newest, uint64_t oldest)
{
    char path[PATH_SIZE + 320];
    for (; oldest && oldest + KEPT < newest; oldest++) {
        path_of (reg, oldest, path);
        if (unlink (path) && errno != ENOENT)
            return;
    }
    DIR *dir = opendir (reg->folder);
    const struct dirent *entry;
    struct stat status;
    const size_t length = strlen (reg->name);
    while (dir && (entry = readdir (dir)) != NULL)
        if (!strncmp (entry->d_name, reg->name, length) &&
            !strncmp (entry->d_name + length, ".new-", 5) &&
            !fstatat (dirfd (dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) &&
            status.st_mtime < time (NULL) - LEFT_S)
            unlinkat (dirfd (dir), entry->d_name, 0);
    if (dir)
        closedir (dir);
}

static int conflict (uint64_t revision, struct mu_error *error)
{
    return mu_fail (error, MU_CONFLICT, "revision %" PRIu64 " is no longer the newest", revision);
}

static int expect (const struct file_register *reg, const struct work *work, struct mu_error *error)
{
    struct reign_text present = { 0 };
    if (work->revision) {
        const int rc = read_revision (reg, work->revision, &present, error);
        if (rc < 0)
            return -1;
        if (!rc || !reign_text_equal (&present, &work->expected))
            return conflict (work->revision, error);
    }
    return exists (reg, work->revision + 1) ? conflict (work->revision, error) : 0;
}

/* Over NFS the answer to a link that was made can be lost, and the repeated one finds it there: two
 * names for our file say so. */
static int link_it (const struct file_register *reg, uint64_t revision, struct mu_error *error)
{
    char path[PATH_SIZE + 320];
    struct stat status;
    path_of (reg, revision, path);
    if (!link (reg->mine, path))
        return 0;
    const int number = errno;
    if (!stat (reg->mine, &status) && status.st_nlink == 2)
        return 0;
    errno = number;
    return number == EEXIST ? conflict (revision - 1, error) : trouble (reg, "linked", error);
}

static int swap (const struct file_register *reg, const struct work *work, struct mu_error *error)
{
    uint64_t newest, oldest;
    if (freshen (reg, error) || expect (reg, work, error))
        return -1;
    if (file_write_new (reg->mine, work->next.text, work->next.size))
        return trouble (reg, "written", error);
    const int rc = link_it (reg, work->revision + 1, error);
    unlink (reg->mine);
    if (rc)
        return -1;
    if (folder_sync (reg->folder))
        return trouble (reg, "synced", error);
    if (scan (reg, &newest, &oldest, error))
        return -1;
    if (newest > work->revision + KEPT)
        return mu_fail (error, MU_TRY_AGAIN,
                        "this writer slept while others went on to revision %" PRIu64, newest);
    clean_up (reg, newest, oldest);
    return 0;
}

/* --- the thread -------------------------------------------------------------------------------- */

static void destroy (struct file_register *reg)
{
    pthread_mutex_destroy (&reg->lock);
    pthread_cond_destroy (&reg->ended);
    free (reg);
}

static void *do_work (void *arg)
{
    struct file_register *reg = arg;
    struct work *work = &reg->work;
    if (work->swaps)
        work->rc = swap (reg, work, &work->error);
    else
        work->rc =
            freshen (reg, &work->error) || read_newest (reg, &work->next, &work->error) ? -1 : 0;
    pthread_mutex_lock (&reg->lock);
    reg->busy = false;
    const bool closed = reg->closed;
    pthread_cond_broadcast (&reg->ended);
    pthread_mutex_unlock (&reg->lock);
    if (closed)
        destroy (reg);
    return NULL;
}

/* With the lock: until nothing is at work, or time is up. */
static bool wait_for_end (struct file_register *reg, uint64_t deadline)
{
    const struct timespec until = { .tv_sec = (time_t)(deadline / 1000),
                                    .tv_nsec = (long)(deadline % 1000) * 1000000 };
    while (reg->busy)
        if (pthread_cond_timedwait (&reg->ended, &reg->lock, &until) == ETIMEDOUT)
            break;
    return !reg->busy;
}

static int start (struct file_register *reg, const struct work *work, struct mu_error *error)
{
    pthread_t thread;
    reg->work = *work;
    reg->busy = true;
    const int number = pthread_create (&thread, NULL, do_work, reg);
    if (!number) {
        pthread_detach (thread);
        return 0;
    }
    reg->busy = false;
    return mu_fail_errno (error, MU_UNAVAILABLE, number, "no thread can be started");
}

static int run (struct file_register *reg, uint32_t limit_ms, struct work *work,
                struct mu_error *error)
{
    const uint64_t deadline = mu_now_ms () + limit_ms;
    int rc = -1;
    pthread_mutex_lock (&reg->lock);
    if (!wait_for_end (reg, deadline))
        mu_fail (error, MU_UNAVAILABLE, "the storage of %s still does not answer", reg->folder);
    else if (!start (reg, work, error)) {
        if (wait_for_end (reg, deadline)) {
            *work = reg->work;
            rc = work->rc;
            if (rc && error)
                *error = work->error;
        } else
            mu_fail (error, MU_UNAVAILABLE,
                     "the storage of %s did not answer within %" PRIu32 " ms", reg->folder,
                     limit_ms);
    }
    pthread_mutex_unlock (&reg->lock);
    return rc;
}

/* --- the kind ---------------------------------------------------------------------------------- */

static int split_path (struct file_register *reg, const char *path, struct mu_error *error)
{
    const char *slash = strrchr (path, '/');
    if (*path != '/' || !slash[1] || strlen (slash + 1) > 200 ||
        strlen (path) >= sizeof reg->folder)
        return mu_fail (error, MU_CONFIG,
                        "file: needs an absolute path of a file, as file:/mnt/shared/muster/reign");
    snprintf (reg->folder, sizeof reg->folder, "%.*s", (int)(slash > path ? slash - path : 1),
              path);
    snprintf (reg->name, sizeof reg->name, "%s", slash + 1);
    snprintf (reg->mine, sizeof reg->mine, "%s/%s.new-%016" PRIx64, reg->folder, reg->name,
              draw_id ());
    return 0;
}

static int file_open (void **own_p, const char *rest, const struct register_options *options,
                      struct mu_error *error)
{
    (void)options;
    struct file_register *reg = calloc (1, sizeof *reg);
    if (!reg)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    if (split_path (reg, rest, error)) {
        free (reg);
        return -1;
    }
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&reg->ended, &attributes);
    pthread_condattr_destroy (&attributes);
    pthread_mutex_init (&reg->lock, NULL);
    *own_p = reg;
    return 0;
}

/* A thread that hangs frees it when it comes back. */
static void file_close (void *own)
{
    struct file_register *reg = own;
    pthread_mutex_lock (&reg->lock);
    const bool busy = reg->closed = reg->busy;
    pthread_mutex_unlock (&reg->lock);
    if (!busy)
        destroy (reg);
}

static int file_register_read (void *own, uint32_t limit_ms, struct reign_text *value,
                               struct mu_error *error)
{
    struct work work = { .swaps = false };
    if (run (own, limit_ms, &work, error))
        return -1;
    *value = work.next;
    return 0;
}

static int file_register_swap (void *own, uint32_t limit_ms, uint64_t revision,
                               const struct reign_text *expected, const struct reign_text *next,
                               struct mu_error *error)
{
    struct work work = {
        .swaps = true, .revision = revision, .expected = *expected, .next = *next
    };
    return run (own, limit_ms, &work, error);
}

const struct register_kind register_file = { "file:", file_open, file_close, file_register_read,
                                             file_register_swap };
