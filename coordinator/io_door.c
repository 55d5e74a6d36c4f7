/* SPDX-License-Identifier: Apache-2.0 */
/* io_door.c - a listening socket that is left alone while there are no descriptors
 *
 * Out of descriptors libzmq calls accept () again and again, in silence, with all of a core. It has
 * no way to stop listening: zmq_unbind () ends all connections that came in by the endpoint, and
 * ZMQ_MAX_SOCKETS counts sockets, not connections. So the listening descriptor, which the monitor
 * tells, is asked for no events in the epoll set of libzmq's I/O thread. Linux shows in
 * /proc/self/fdinfo which set that is and what libzmq noted there; both are given back unchanged.
 * Where /proc is not mounted nothing can be shut, and the log says so (docs/decisions/0033).
 *
 * Descriptors are the lowest free numbers. So one near the limit says that all below are taken:
 * the door is shut while KEEP are free. A storm can be faster than we look; then accept () fails,
 * and what is left is a hoard of KEEP more, which is given free once the door is shut. */
#include "io_door.h"

#include "clock.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zmq.h>

#define LIMIT_MAX     (1u << 20)
#define KEEP_MAX      32
#define LISTENERS_MAX 16
#define LOOK_MS       500
#define SAY_MS        60000

/* A listening socket in the epoll set of libzmq. */
struct watch {
    int listener, epoll; /* epoll is -1 until it is known */
    struct epoll_event event;
};

struct door {
    size_t limit;
    size_t keep; /* so many are hoarded, and so many left free */
    int hoard[KEEP_MAX];
    size_t hoard_count;
    struct watch watch[LISTENERS_MAX];
    size_t watch_count;
    bool is_shut, has_said;
    uint64_t look_ms, say_ms;
};

size_t door_raise_limit (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit))
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit (RLIMIT_NOFILE, &limit); /* a refusal: what there is may be enough */
    getrlimit (RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > LIMIT_MAX ? LIMIT_MAX : (size_t)limit.rlim_cur;
}

/* --- the hoard -------------------------------------------------------------------------------- */

static void fill_hoard (struct door *door)
{
    while (door->hoard_count < door->keep) {
        int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return; /* a smaller hoard */
        door->hoard[door->hoard_count++] = fd;
    }
}

static void spend_hoard (struct door *door)
{
    while (door->hoard_count)
        close (door->hoard[--door->hoard_count]);
}

/* Are so many descriptors free? */
static bool are_free (const struct door *door, size_t wanted)
{
    size_t count = 0;
    for (size_t fd = 0; fd < door->limit && count < wanted; fd++)
        count += fcntl ((int)fd, F_GETFD) < 0;
    return count >= wanted;
}

struct door *door_create (size_t limit)
{
    struct door *door = calloc (1, sizeof *door);
    if (!door)
        return NULL;
    door->limit = limit;
    door->keep = limit / 8 < KEEP_MAX ? limit / 8 : KEEP_MAX;
    fill_hoard (door);
    return door;
}

void door_destroy (struct door **door_p)
{
    if (!*door_p)
        return;
    spend_hoard (*door_p);
    free (*door_p);
    *door_p = NULL;
}

size_t door_room (const struct door *door)
{
    int lowest = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (lowest < 0)
        return 0;
    close (lowest);
    size_t taken = (size_t)lowest + door->keep;
    return taken < door->limit ? door->limit - taken : 0;
}

/* --- libzmq's epoll set ----------------------------------------------------------------------- */

/* Is the listener in this set? */
static bool is_in_set (struct watch *watch, int epoll, FILE *info)
{
    char line[256];
    int fd;
    unsigned events;
    unsigned long long data;
    while (fgets (line, sizeof line, info))
        if (sscanf (line, "tfd: %d events: %x data: %llx", &fd, &events, &data) == 3 &&
            fd == watch->listener) {
            watch->epoll = epoll;
            watch->event = (struct epoll_event){ .events = events, .data.u64 = data };
            return true;
        }
    return false;
}

static void find_set (struct watch *watch)
{
    DIR *folder = opendir ("/proc/self/fdinfo");
    const struct dirent *entry;
    while (folder && watch->epoll < 0 && (entry = readdir (folder))) {
        int at = openat (dirfd (folder), entry->d_name, O_RDONLY | O_CLOEXEC);
        FILE *info = at < 0 ? NULL : fdopen (at, "r");
        if (info) {
            is_in_set (watch, atoi (entry->d_name), info);
            fclose (info);
        } else if (at >= 0) {
            close (at);
        }
    }
    if (folder)
        closedir (folder);
}

static void find_sets (struct door *door)
{
    for (size_t i = 0; i < door->watch_count; i++)
        if (door->watch[i].epoll < 0)
            find_set (&door->watch[i]);
}

/* How many listeners were told. */
static size_t tell_sets (struct door *door, bool open)
{
    size_t count = 0;
    for (size_t i = 0; i < door->watch_count; i++) {
        struct watch *watch = &door->watch[i];
        struct epoll_event event = watch->event;
        if (!open)
            event.events = 0;
        count += watch->epoll >= 0 &&
                 !epoll_ctl (watch->epoll, EPOLL_CTL_MOD, watch->listener, &event);
    }
    return count;
}

/* --- shut and opened -------------------------------------------------------------------------- */

static void shut (struct door *door)
{
    uint64_t now = mu_now_ms ();
    if (door->is_shut)
        return;
    find_sets (door);
    bool done = door->watch_count && tell_sets (door, false) == door->watch_count;
    door->is_shut = true;
    door->look_ms = now + LOOK_MS;
    door->has_said = now >= door->say_ms;
    if (door->has_said) {
        door->say_ms = now + SAY_MS;
        mu_log (MU_LOG_WARN, "descriptors_used_up", NULL,
                "of %zu file descriptors only those kept for our own files are left: %s. Raise the "
                "limit with LimitNOFILE= or ulimit -n and start the coordinator again",
                door->limit,
                done ? "new connections wait until others have ended"
                     : "new connections cannot be told to wait, for /proc is not to be read, and "
                       "trying to take them costs CPU");
    }
    if (done)
        spend_hoard (door);
}

void door_look (struct door *door)
{
    uint64_t now;
    if (!door->is_shut || (now = mu_now_ms ()) < door->look_ms)
        return;
    door->look_ms = now + LOOK_MS;
    size_t wanted = 2 * door->keep - door->hoard_count + door->keep / 2;
    if (!are_free (door, wanted))
        return;
    fill_hoard (door);
    tell_sets (door, true);
    door->is_shut = false;
    if (door->has_said)
        mu_log (MU_LOG_INFO, "descriptors_free", NULL, "connections are taken again");
}

void door_hear (struct door *door, unsigned event, int value)
{
    if (event == ZMQ_EVENT_LISTENING && door->watch_count < LISTENERS_MAX)
        door->watch[door->watch_count++] = (struct watch){ .listener = value, .epoll = -1 };
    if (event == ZMQ_EVENT_ACCEPTED) {
        find_sets (door); /* while there are descriptors to read /proc by */
        if (value >= 0 && (size_t)value + door->keep >= door->limit)
            shut (door);
    }
    if (event == ZMQ_EVENT_ACCEPT_FAILED && (value == EMFILE || value == ENFILE))
        shut (door);
}
