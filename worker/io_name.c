/* SPDX-License-Identifier: Apache-2.0 */
/* io_name.c - names as lock files */
#include "io_name.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_OF_A_HOST_MAX 1024u

static int make_folder (const char *path, struct mu_error *error)
{
    char part[PATH_MAX];
    size_t length = strlen (path);
    if (length >= sizeof part)
        return mu_fail (error, MU_CONFIG, "the path of the state folder is too long");
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        snprintf (part, sizeof part, "%.*s", (int)i, path);
        if (mkdir (part, 0750) < 0 && errno != EEXIST)
            return mu_fail_errno (error, MU_CANT_CREATE, errno,
                                  "the folder %s cannot be made; name another with --dir", part);
    }
    return 0;
}

/* Only what is good in a name; a host may be called anything. */
static void clean (char *name)
{
    for (char *at = name; *at; at++)
        if (!strchr ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *at))
            *at = '-';
    if (!*name || strchr ("._-", *name))
        snprintf (name, IO_NAME_SIZE, "worker");
}

/* 1: it is ours. 0: somebody has it. */
static int try_lock (struct io_name *name, const char *folder, struct mu_error *error)
{
    char path[PATH_MAX];
    if (snprintf (path, sizeof path, "%s/workers/%s.lock", folder, name->name) >= (int)sizeof path)
        return mu_fail (error, MU_CONFIG, "the path of the state folder is too long");
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno,
                              "%s cannot be written; name another folder with --dir", path);
    if (flock (fd, LOCK_EX | LOCK_NB) == 0) {
        name->lock = fd;
        return 1;
    }
    int number = errno;
    close (fd);
    return number == EWOULDBLOCK
               ? 0
               : mu_fail_errno (error, MU_SYSTEM, number, "%s cannot be locked", path);
}

static void count_up (struct io_name *name)
{
    char text[32] = "";
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    name->incarnation = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    ssize_t size = pread (name->lock, text, sizeof text - 1, 0);
    uint64_t last = size > 0 ? strtoull (text, NULL, 10) : 0;
    if (last >= name->incarnation && last < UINT64_MAX)
        name->incarnation = last + 1; /* the clock went back */
    int length = snprintf (text, sizeof text, "%020llu\n", (unsigned long long)name->incarnation);
    if (pwrite (name->lock, text, (size_t)length, 0) < 0)
        return; /* the clock alone must do */
}

static int find_free (struct io_name *name, const char *folder, struct mu_error *error)
{
    char host[IO_NAME_SIZE - 12]; /* room for the number */
    snprintf (host, sizeof host, "%.*s", (int)sizeof host - 1, name->host);
    for (unsigned i = 1; i <= WORKERS_OF_A_HOST_MAX; i++) {
        if (i == 1)
            snprintf (name->name, sizeof name->name, "%s", host);
        else
            snprintf (name->name, sizeof name->name, "%s-%u", host, i);
        clean (name->name);
        int taken = try_lock (name, folder, error);
        if (taken != 0)
            return taken < 0 ? -1 : 0;
    }
    return mu_fail (error, MU_CONFLICT, "there are %u workers on this host already",
                    WORKERS_OF_A_HOST_MAX);
}

int io_name_take (struct io_name *name, const char *folder, const char *wanted,
                  struct mu_error *error)
{
    char workers[PATH_MAX];
    if (gethostname (name->host, sizeof name->host) < 0)
        snprintf (name->host, sizeof name->host, "localhost");
    name->host[sizeof name->host - 1] = '\0';
    if (snprintf (workers, sizeof workers, "%s/workers", folder) >= (int)sizeof workers)
        return mu_fail (error, MU_CONFIG, "the path of the state folder is too long");
    if (make_folder (workers, error) < 0)
        return -1;
    int status;
    if (wanted && *wanted) {
        snprintf (name->name, sizeof name->name, "%s", wanted);
        int taken = try_lock (name, folder, error);
        status = taken == 0 ? mu_fail (error, MU_CONFLICT,
                                       "a worker called %s already runs with the folder %s: give "
                                       "this one another --name or --dir",
                                       wanted, folder)
                            : (taken < 0 ? -1 : 0);
    } else {
        status = find_free (name, folder, error);
    }
    if (status == 0)
        count_up (name);
    return status;
}
