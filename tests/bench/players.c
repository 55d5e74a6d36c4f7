/* SPDX-License-Identifier: Apache-2.0 */
/* players.c - see players.h */
#include "players.h"

#include "common/error.h"
#include "common/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <msgpack.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    INBOX = 1024, /* more than any word that comes */
    GREETING = 64,
};

/* --- a worker's connections ------------------------------------------------------------------- */

struct line {
    int fd;  /* -1: not yet */
    bool up; /* ZMTP's greeting and READY are over */
    bool answered;
    uint32_t skip; /* bytes of the greeting that are still to come */
    uint32_t size;
    uint8_t inbox[INBOX];
};

struct worker {
    struct line line[SERVERS];
    uint32_t number;
    uint32_t lost_ms;
    double beat_s, beat_at_s, hello_at_s;
};

static struct players *shared;
static struct worker *own; /* of this process */
static uint32_t own_count;
static int epoll_fd;
static msgpack_sbuffer bytes;
static msgpack_zone zone;

static void put (int fd, const void *data, size_t size)
{
    if (write (fd, data, size) != (ssize_t)size)
        bench_die ("a connection takes no more");
}

static void put_frame (int fd, uint8_t flags, const void *body, size_t size)
{
    uint8_t frame[2 + 255] = { flags, (uint8_t)size };
    if (size > 255)
        bench_die ("a word is too long for a short frame");
    memcpy (frame + 2, body, size);
    put (fd, frame, 2 + size);
}

static size_t add_property (uint8_t *to, const char *name, const char *value)
{
    size_t name_size = strlen (name), size = strlen (value);
    to[0] = (uint8_t)name_size;
    memcpy (to + 1, name, name_size);
    memset (to + 1 + name_size, 0, 3);
    to[4 + name_size] = (uint8_t)size;
    memcpy (to + 5 + name_size, value, size);
    return 5 + name_size + size;
}

/* ZMTP 3.0, mechanism NULL, as a DEALER of this identity. */
static void greet (const struct worker *worker, int fd)
{
    uint8_t greeting[GREETING] = { 0xff }, ready[128] = "\5READY";
    char identity[32];
    greeting[9] = 0x7f;
    greeting[10] = 3;
    memcpy (greeting + 12, "NULL", 4);
    put (fd, greeting, sizeof greeting);
    snprintf (identity, sizeof identity, "worker-%u", worker->number);
    size_t size = 6 + add_property (ready + 6, "Socket-Type", "DEALER");
    size += add_property (ready + size, "Identity", identity);
    put_frame (fd, 4, ready, size);
}

static void dial (struct worker *worker, int which)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons (shared->port[which]),
                              .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    struct line *line = &worker->line[which];
    int one = 1;
    line->fd = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (line->fd < 0)
        bench_die ("no socket (ulimit -n?)");
    setsockopt (line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect (line->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        bench_die ("cannot connect");
    line->skip = GREETING;
    struct epoll_event event = { .events = EPOLLOUT,
                                 .data.u64 = (uint64_t)(worker - own) * SERVERS + (uint32_t)which };
    epoll_ctl (epoll_fd, EPOLL_CTL_ADD, line->fd, &event);
}

/* --- words ------------------------------------------------------------------------------------ */

static void encode (const struct mu_wire *wire)
{
    struct mu_error error;
    bytes.size = 0;
    if (mu_record_encode (&mu_wire_family, wire, &bytes, &error))
        bench_die (error.text);
}

static void encode_hello (uint32_t number)
{
    struct mu_wire wire = { .type = MU_WIRE_HELLO };
    snprintf (wire.hello.name, sizeof wire.hello.name, "worker-%u", number);
    snprintf (wire.hello.host, sizeof wire.hello.host, "host-%u", number);
    snprintf (wire.hello.version, sizeof wire.hello.version, "0.1.0");
    snprintf (wire.hello.compute_class, sizeof wire.hello.compute_class, "portable");
    wire.hello.incarnation = 1;
    wire.hello.threads = 1;
    encode (&wire);
}

static void encode_beat (void)
{
    struct mu_wire wire = { .type = MU_WIRE_BEAT };
    encode (&wire);
}

/* What lies in `bytes`, to every server that is there. */
static void say (struct worker *worker)
{
    for (int i = 0; i < SERVERS; i++)
        if (worker->line[i].up)
            put_frame (worker->line[i].fd, 0, bytes.data, bytes.size);
    atomic_fetch_add (&shared->said, 1);
}

static void say_hello (struct worker *worker, double now)
{
    encode_hello (worker->number);
    say (worker);
    worker->hello_at_s = now + worker->lost_ms / 2e3;
}

static void hear_coordinator (struct worker *worker, const uint8_t *body, size_t size, double now)
{
    static struct mu_wire wire;
    struct mu_error error;
    msgpack_zone_clear (&zone);
    if (mu_record_decode (&mu_wire_family, &wire, body, size, 1u << MU_ROLE_COORDINATOR, &zone,
                          &error))
        bench_die (error.text);
    worker->hello_at_s = now + worker->lost_ms / 2e3;
    if (wire.type == MU_WIRE_WHO)
        say_hello (worker, now);
    if (wire.type != MU_WIRE_WELCOME)
        return;
    worker->beat_s = wire.welcome.beat_ms / 1e3;
    worker->lost_ms = wire.welcome.lost_ms;
    worker->hello_at_s = now + worker->lost_ms / 2e3;
    atomic_store (&shared->beat_ms, wire.welcome.beat_ms);
}

static void hear (struct worker *worker, int which, const uint8_t *body, size_t size, double now)
{
    struct line *line = &worker->line[which];
    atomic_fetch_add (&shared->heard[which], 1);
    if (which == COORDINATOR)
        hear_coordinator (worker, body, size, now);
    if (!line->answered)
        atomic_fetch_add (&shared->answered[which], 1);
    line->answered = true;
}

/* READY: from now on words go there, the first of them HELLO. */
static void come_up (struct worker *worker, int which)
{
    struct line *line = &worker->line[which];
    if (line->up)
        return;
    line->up = true;
    encode_hello (worker->number);
    put_frame (line->fd, 0, bytes.data, bytes.size);
}

/* The frames that are whole; what is left moves to the front. */
static void read_frames (struct worker *worker, int which, double now)
{
    struct line *line = &worker->line[which];
    uint32_t at = 0;
    while (line->size - at >= 2) {
        const uint8_t *frame = line->inbox + at;
        if (frame[0] & 2)
            bench_die ("a word is longer than expected");
        if (line->size - at < 2u + frame[1])
            break;
        if (frame[0] & 4)
            come_up (worker, which);
        else
            hear (worker, which, frame + 2, frame[1], now);
        at += 2u + frame[1];
    }
    memmove (line->inbox, line->inbox + at, line->size - at);
    line->size -= at;
}

/* In a storm a server may give up who does not come to the point in time. */
static void redial (struct worker *worker, int which)
{
    struct line *line = &worker->line[which];
    if (line->answered)
        bench_die ("a server closed a connection");
    close (line->fd);
    *line = (struct line){ .fd = -1 };
    atomic_fetch_add (&shared->redialled, 1);
    dial (worker, which);
}

static void receive (struct worker *worker, int which, double now)
{
    struct line *line = &worker->line[which];
    ssize_t got = read (line->fd, line->inbox + line->size, INBOX - line->size);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            redial (worker, which);
        return;
    }
    uint32_t skip = line->skip < (uint32_t)got ? line->skip : (uint32_t)got;
    line->skip -= skip;
    memmove (line->inbox, line->inbox + skip, (size_t)got - skip + line->size);
    line->size += (uint32_t)got - skip;
    read_frames (worker, which, now);
}

/* --- a process that plays workers ------------------------------------------------------------- */

static void happen (const struct epoll_event *event, double now)
{
    struct worker *worker = &own[event->data.u64 / SERVERS];
    int which = (int)(event->data.u64 % SERVERS);
    if (event->events & (EPOLLERR | EPOLLHUP)) {
        redial (worker, which);
        return;
    }
    if (event->events & EPOLLOUT) {
        greet (worker, worker->line[which].fd);
        struct epoll_event next = { .events = EPOLLIN, .data = event->data };
        epoll_ctl (epoll_fd, EPOLL_CTL_MOD, worker->line[which].fd, &next);
    }
    if (event->events & EPOLLIN)
        receive (worker, which, now);
}

static void speak_where_due (double now)
{
    for (uint32_t i = 0; i < own_count; i++) {
        struct worker *worker = &own[i];
        if (!worker->line[COORDINATOR].answered)
            continue;
        if (now >= worker->beat_at_s) {
            encode_beat ();
            say (worker);
            worker->beat_at_s = now + worker->beat_s;
        }
        if (now >= worker->hello_at_s)
            say_hello (worker, now);
    }
}

void players_run (struct players *with, uint32_t first, uint32_t count)
{
    struct epoll_event events[512];
    int opened = 0;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    shared = with;
    own = calloc (count, sizeof *own);
    own_count = count;
    epoll_fd = epoll_create1 (0);
    msgpack_sbuffer_init (&bytes);
    if (!own || epoll_fd < 0 || !msgpack_zone_init (&zone, 8192))
        bench_die ("no memory for workers");
    for (uint32_t i = 0; i < count; i++)
        own[i] = (struct worker){ .number = first + i, .lost_ms = 1000, .beat_s = 0.25 };
    for (;;) {
        for (; opened < atomic_load (&shared->open); opened++)
            for (uint32_t i = 0; i < count; i++)
                dial (&own[i], opened);
        int ready = epoll_wait (epoll_fd, events, 512, 1);
        double now = bench_now_s ();
        for (int i = 0; i < ready; i++)
            happen (&events[i], now);
        speak_where_due (now);
    }
}
