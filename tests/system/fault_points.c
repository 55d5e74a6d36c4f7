/* SPDX-License-Identifier: Apache-2.0 */
/* fault_points.c - preloaded into a daemon: its Nth write, sync, rename or send fails, or is its last, or syncs stand still
 *
 * A point is a call of write, writev, pwrite, ftruncate, fsync, fdatasync, rename or renameat on a
 * file below one of FAULT_PATHS (colons between them), and with FAULT_SENDS=1 a send on a network
 * socket. Points are counted in a file that FAULT_CONTROL names, which all processes with this
 * library share and the test reads and writes: struct control, fault_points.py knows it too. Who
 * counts `countdown` down past 0 does `action`, once. While `action` is STAND no sync returns.
 *
 * Built by the test that uses it: cc -shared -fPIC fault_points.c */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* HALF: of what is written half is there, then it dies. */
enum action { COUNT, FAIL, DIE, HALF, STAND };

struct control {
    _Atomic int32_t countdown; /* points that pass yet */
    _Atomic int32_t action;
    _Atomic int32_t hits; /* 1: it has happened */
    _Atomic int32_t seen; /* points so far */
    char what[240];       /* the call and the file it happened to */
};

static struct control *control;
static const char *paths;
static bool sends;

__attribute__ ((constructor)) static void begin (void)
{
    const char *name = getenv ("FAULT_CONTROL");
    paths = getenv ("FAULT_PATHS");
    sends = getenv ("FAULT_SENDS") != NULL;
    int fd = name && paths ? open (name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap (NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close (fd);
    if (at != MAP_FAILED)
        control = at;
}

/* --- which calls count ------------------------------------------------------------------------ */

static bool is_below (const char *path)
{
    for (const char *at = paths; *at;) {
        size_t size = strcspn (at, ":");
        if (size && !strncmp (path, at, size))
            return true;
        at += size + (at[size] == ':');
    }
    return false;
}

static bool path_of (int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink (link, path, PATH_MAX - 1);
    if (size < 0)
        return false;
    path[size] = '\0';
    return is_below (path);
}

static bool is_network (int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    return !getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_INET;
}

static _Noreturn void die (void)
{
    for (;;)
        kill (getpid (), SIGKILL);
}

/* Count one point; what is to happen at it. */
static enum action point (const char *call, const char *path)
{
    atomic_fetch_add (&control->seen, 1);
    int32_t what = atomic_load (&control->action);
    if (what == COUNT || what == STAND || atomic_fetch_sub (&control->countdown, 1) != 0)
        return COUNT;
    snprintf (control->what, sizeof control->what, "%s %.200s", call, path);
    atomic_store (&control->hits, 1);
    enum action action = (enum action)atomic_load (&control->action);
    if (action == DIE)
        die ();
    return action;
}

static enum action at_file (const char *call, int fd)
{
    char path[PATH_MAX];
    int kept = errno;
    enum action action = control && path_of (fd, path) ? point (call, path) : COUNT;
    errno = kept;
    return action;
}

/* As on a disk that does not answer. */
static void await_disk (void)
{
    while (control && atomic_load (&control->action) == STAND) {
        atomic_store (&control->hits, 1);
        usleep (10000);
    }
}

#define REAL(name) ((__typeof__ (&name))dlsym (RTLD_NEXT, #name))

/* --- the calls -------------------------------------------------------------------------------- */

ssize_t write (int fd, const void *bytes, size_t size)
{
    enum action action = at_file ("write", fd);
    if (action == FAIL)
        return errno = ENOSPC, -1;
    ssize_t wrote = REAL (write) (fd, bytes, action == HALF ? size / 2 : size);
    if (action == HALF)
        die ();
    return wrote;
}

ssize_t writev (int fd, const struct iovec *part, int count)
{
    enum action action = at_file ("writev", fd);
    if (action == FAIL)
        return errno = ENOSPC, -1;
    ssize_t wrote = REAL (writev) (fd, part, action == HALF ? (count + 1) / 2 : count);
    if (action == HALF)
        die ();
    return wrote;
}

ssize_t pwrite (int fd, const void *bytes, size_t size, off_t offset)
{
    enum action action = at_file ("pwrite", fd);
    if (action == FAIL)
        return errno = ENOSPC, -1;
    ssize_t wrote = REAL (pwrite) (fd, bytes, action == HALF ? size / 2 : size, offset);
    if (action == HALF)
        die ();
    return wrote;
}

ssize_t pwrite64 (int fd, const void *bytes, size_t size, off64_t offset)
{
    return pwrite (fd, bytes, size, (off_t)offset);
}

int ftruncate (int fd, off_t size)
{
    if (at_file ("ftruncate", fd) == FAIL)
        return errno = EIO, -1;
    return REAL (ftruncate) (fd, size);
}

int ftruncate64 (int fd, off64_t size) { return ftruncate (fd, (off_t)size); }

int fsync (int fd)
{
    if (at_file ("fsync", fd) == FAIL)
        return errno = EIO, -1;
    await_disk ();
    return REAL (fsync) (fd);
}

int fdatasync (int fd)
{
    if (at_file ("fdatasync", fd) == FAIL)
        return errno = EIO, -1;
    await_disk ();
    return REAL (fdatasync) (fd);
}

int rename (const char *from, const char *to)
{
    if (control && is_below (from) && point ("rename", from) == FAIL)
        return errno = EIO, -1;
    return REAL (rename) (from, to);
}

int renameat (int from_dir, const char *from, int to_dir, const char *to)
{
    if (at_file ("renameat", from_dir) == FAIL)
        return errno = EIO, -1;
    return REAL (renameat) (from_dir, from, to_dir, to);
}

ssize_t send (int fd, const void *bytes, size_t size, int flags)
{
    enum action action = control && sends && is_network (fd) ? point ("send", "a socket") : COUNT;
    if (action == FAIL) { /* as a reset does: nothing comes in by it any more either */
        shutdown (fd, SHUT_RDWR);
        return errno = ECONNRESET, -1;
    }
    ssize_t sent = REAL (send) (fd, bytes, action == HALF ? (size + 1) / 2 : size, flags);
    if (action == HALF)
        die ();
    return sent;
}
