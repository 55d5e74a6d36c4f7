/* SPDX-License-Identifier: Apache-2.0 */
/* host_switch.c - the wire between emulated hosts: frames that come late, are lost, or are cut off
 *
 *     host_switch PID...
 *
 * Each process stands for a host: its network namespace gets a device eth0 here. Host number i, from
 * 1, has the hardware address 02:00:00:00:00:i; a frame for that goes to it, if the line from where
 * it came lets it. All else is dropped: hosts know their neighbours and ask nobody. A kernel may lack
 * netem and iptables; this needs TAP devices alone.
 *
 * Each ordered pair of hosts has a line of its own. Orders come by standard input, one at a time,
 * with a host's number or 0 for all; each is answered with a line, `ok` if it was obeyed:
 *
 *     cut FROM TO 0|1      delay FROM TO MICROSECONDS      lose FROM TO MILLIONTHS
 *
 * It ends with its standard input, and the devices with it. Lost frames are drawn by a generator of
 * its own from a fixed seed; what they hit is a matter of time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#define HOSTS_MAX     16u
#define FRAME_MAX     65536u
#define WAITING_MAX   4096u /* on one line; a longer queue drops, as a real one does */
#define FRAMES_A_TURN 64u   /* of one host, before the others get their turn */
#define MILLION       1000000u

struct frame {
    STAILQ_ENTRY (frame) next;
    uint64_t due_us;
    size_t size;
    uint8_t bytes[];
};

enum field { CUT, DELAY, LOSE, FIELDS }; /* yes or no, microseconds, millionths */

struct line {
    uint64_t set[FIELDS];
    unsigned count;
    STAILQ_HEAD (, frame) waiting;
};

static int device[HOSTS_MAX];
static unsigned host_count;
static struct line lines[HOSTS_MAX][HOSTS_MAX];
static uint64_t chance = 88172645463325252u;

static void die (const char *what)
{
    fprintf (stderr, "host_switch: %s: %s\n", what, strerror (errno));
    exit (1);
}

static uint64_t now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MILLION + (uint64_t)now.tv_nsec / 1000;
}

/* --- frames ----------------------------------------------------------------------------------- */

static uint64_t draw (void)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return chance % MILLION;
}

/* A device that is down, or full, loses it. */
static void deliver (unsigned to, const uint8_t *bytes, size_t size)
{
    ssize_t ignored = write (device[to], bytes, size);
    (void)ignored;
}

static void put_off (struct line *line, const uint8_t *bytes, size_t size)
{
    struct frame *frame = line->count < WAITING_MAX ? malloc (sizeof *frame + size) : NULL;
    if (!frame)
        return;
    frame->due_us = now_us () + line->set[DELAY];
    frame->size = size;
    memcpy (frame->bytes, bytes, size);
    STAILQ_INSERT_TAIL (&line->waiting, frame, next);
    line->count++;
}

static void carry (unsigned from, const uint8_t *bytes, size_t size)
{
    static const uint8_t ours[5] = { 2, 0, 0, 0, 0 };
    if (size < 14 || memcmp (bytes, ours, sizeof ours) != 0 || bytes[5] < 1 ||
        bytes[5] > host_count)
        return;
    unsigned to = bytes[5] - 1u;
    struct line *line = &lines[from][to];
    if (line->set[CUT] || (line->set[LOSE] && draw () < line->set[LOSE]))
        return;
    if (line->set[DELAY] || line->count)
        put_off (line, bytes, size);
    else
        deliver (to, bytes, size);
}

static void hear (unsigned host)
{
    static uint8_t bytes[FRAME_MAX];
    for (unsigned i = 0; i < FRAMES_A_TURN; i++) {
        ssize_t size = read (device[host], bytes, sizeof bytes);
        if (size <= 0)
            return;
        carry (host, bytes, (size_t)size);
    }
}

/* What is due on this line leaves; when the next one is due, if that is sooner than *next_us. What
 * was on its way when the line was cut does not arrive. */
static void let_go (struct line *line, unsigned to, uint64_t now, uint64_t *next_us)
{
    struct frame *frame;
    while ((frame = STAILQ_FIRST (&line->waiting)) && frame->due_us <= now) {
        if (!line->set[CUT])
            deliver (to, frame->bytes, frame->size);
        STAILQ_REMOVE_HEAD (&line->waiting, next);
        line->count--;
        free (frame);
    }
    if (frame && frame->due_us < *next_us)
        *next_us = frame->due_us;
}

/* How long to wait for the next frame that is due; NULL: for ever. */
static const struct timespec *let_all_go (struct timespec *wait)
{
    uint64_t now = now_us (), next_us = UINT64_MAX;
    for (unsigned from = 0; from < host_count; from++)
        for (unsigned to = 0; to < host_count; to++)
            let_go (&lines[from][to], to, now, &next_us);
    if (next_us == UINT64_MAX)
        return NULL;
    wait->tv_sec = (time_t)((next_us - now) / MILLION);
    wait->tv_nsec = (long)((next_us - now) % MILLION * 1000);
    return wait;
}

/* --- orders ----------------------------------------------------------------------------------- */

static enum field field_of (const char *name)
{
    static const char *const names[FIELDS] = { "cut", "delay", "lose" };
    unsigned field = 0;
    while (field < FIELDS && strcmp (name, names[field]) != 0)
        field++;
    return (enum field)field;
}

static bool obey (const char *order)
{
    char name[16];
    unsigned from, to;
    unsigned long long value;
    if (sscanf (order, "%15s %u %u %llu", name, &from, &to, &value) != 4 || from > host_count ||
        to > host_count || field_of (name) == FIELDS)
        return false;
    for (unsigned a = 0; a < host_count; a++)
        for (unsigned b = 0; b < host_count; b++)
            if ((!from || a == from - 1) && (!to || b == to - 1))
                lines[a][b].set[field_of (name)] = value;
    return true;
}

/* False: there are no more. */
static bool take_order (void)
{
    char order[128];
    if (!fgets (order, sizeof order, stdin))
        return false;
    puts (obey (order) ? "ok" : "what is that?");
    fflush (stdout);
    return true;
}

/* --- hosts ------------------------------------------------------------------------------------ */

static void open_device (unsigned host, const char *pid)
{
    char path[64];
    struct ifreq request = { .ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI };
    snprintf (path, sizeof path, "/proc/%s/ns/net", pid);
    int space = open (path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns (space, CLONE_NEWNET) < 0)
        die (path);
    close (space);
    device[host] = open ("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device[host] < 0 || ioctl (device[host], TUNSETIFF, &request) < 0)
        die ("/dev/net/tun");
}

static void open_all (unsigned count, char **pids)
{
    if (count < 1 || count > HOSTS_MAX) {
        fprintf (stderr, "usage: host_switch PID... (at most %u)\n", HOSTS_MAX);
        exit (64);
    }
    for (unsigned host = 0; host < count; host++)
        open_device (host, pids[host]);
    for (unsigned from = 0; from < count; from++)
        for (unsigned to = 0; to < count; to++)
            STAILQ_INIT (&lines[from][to].waiting);
    host_count = count;
}

int main (int argc, char **argv)
{
    struct pollfd fds[HOSTS_MAX + 1];
    struct timespec wait;
    open_all ((unsigned)argc - 1, argv + 1);
    puts ("ok");
    fflush (stdout);
    for (unsigned host = 0; host < host_count; host++)
        fds[host] = (struct pollfd){ .fd = device[host], .events = POLLIN };
    fds[host_count] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
    for (;;) {
        if (ppoll (fds, host_count + 1, let_all_go (&wait), NULL) < 0 && errno != EINTR)
            die ("ppoll");
        for (unsigned host = 0; host < host_count; host++)
            if (fds[host].revents & POLLIN)
                hear (host);
        if (fds[host_count].revents && !take_order ())
            return 0;
    }
}
