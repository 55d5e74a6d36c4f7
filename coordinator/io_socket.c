/* SPDX-License-Identifier: Apache-2.0 */
/* io_socket.c - libzmq's ROUTER, with the traps closed
 *
 *  - ROUTER_HANDOVER: a worker that reconnects under its own name takes its place, it is not
 *    ignored;
 *  - ROUTER_MANDATORY: a send to nobody is an error that is counted, not silence;
 *  - a backlog of 4096: a storm of connections after a restart is not refused;
 *  - bounded high-water marks and DONTWAIT: one hung peer cannot stop the loop;
 *  - descriptors: at the limit libzmq spins in silence, so the limit is raised as far as allowed,
 *    and io_door.c lets nobody in who does not fit.
 *
 * A connection's end comes through the socket monitor as a file descriptor; each message tells the
 * descriptor it came by, which ties the two together. It is a hint for the core: silence decides.
 * libzmq tells the end before it closes the descriptor, so ends that wait are looked at before a
 * descriptor is tied to another peer.
 *
 * Clients come and go under identities that ZeroMQ makes up (a zero byte and four random ones).
 * Their places in the table are used again, the longest free first; a number is a place and how
 * often it was used, so that a late word to one client never reaches the next.
 */
#include "io_socket.h"

#include "fnv.h"
#include "io_door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define IDENTITY_MAX      255u
#define BACKLOG           4096
#define MESSAGES_MAX      1000        /* waiting for one peer, each way */
#define MESSAGE_BYTES_MAX (256 << 10) /* that come in: the largest are FENCE and SUBMIT */
#define MONITOR           "inproc://muster-monitor"
#define NOBODY            UINT32_MAX
#define PLACE_BITS        20
#define PLACES_MAX        ((1u << PLACE_BITS) - 1) /* so that no number is NOBODY */
#define PLACE(number)     ((number) & ((1u << PLACE_BITS) - 1))

struct peer {
    uint8_t *identity; /* NULL: the place is free */
    uint32_t size, number;
    uint32_t next_free;
    int fd; /* of its newest message; -1: none, or it has ended */
    char name[64];
};

struct mu_sockets {
    void *context, *router, *monitor;
    struct door *door;
    struct peer *peer;
    uint32_t place_count, place_capacity, peer_count;
    uint32_t free_first, free_last; /* places; NOBODY is none */
    uint32_t *slot;                 /* open addressing by identity, of places; NOBODY is empty */
    uint32_t slot_mask;
    uint32_t *of_fd; /* the newest peer's place of a descriptor */
    size_t fd_count;
    uint32_t *gone; /* numbers whose connections have ended, not told yet */
    uint32_t gone_count, gone_capacity;
    zmq_msg_t body, shared; /* what came last; what large thing was sent last */
    bool has_body, has_shared;
    uint64_t dropped;
};

/* --- who is who ------------------------------------------------------------------------------- */

static uint32_t hash (const uint8_t *identity, uint32_t size)
{
    const uint64_t value = mu_fnv (identity, size);
    return (uint32_t)(value ^ value >> 32);
}

static uint32_t *find_slot (const struct mu_sockets *sockets, const uint8_t *identity,
                            uint32_t size)
{
    uint32_t at = hash (identity, size) & sockets->slot_mask;
    while (sockets->slot[at] != NOBODY) {
        const struct peer *peer = &sockets->peer[sockets->slot[at]];
        if (peer->size == size && !memcmp (peer->identity, identity, size))
            break;
        at = (at + 1) & sockets->slot_mask;
    }
    return &sockets->slot[at];
}

static int grow (struct mu_sockets *sockets)
{
    uint32_t capacity = sockets->place_capacity ? 2 * sockets->place_capacity : 256;
    struct peer *peer = realloc (sockets->peer, capacity * sizeof *peer);
    if (!peer)
        return -1;
    sockets->peer = peer;
    uint32_t *slot = malloc (4 * (size_t)capacity * sizeof *slot);
    if (!slot)
        return -1;
    free (sockets->slot);
    sockets->slot = slot;
    sockets->slot_mask = 4 * capacity - 1;
    sockets->place_capacity = capacity;
    memset (slot, 0xff, 4 * (size_t)capacity * sizeof *slot);
    for (uint32_t i = 0; i < sockets->place_count; i++)
        if (peer[i].identity)
            *find_slot (sockets, peer[i].identity, peer[i].size) = i;
    return 0;
}

/* A free place with its next number, or NOBODY. */
static uint32_t take_place (struct mu_sockets *sockets)
{
    uint32_t place = sockets->free_first;
    if (place != NOBODY) {
        struct peer *peer = &sockets->peer[place];
        sockets->free_first = peer->next_free;
        if (sockets->free_first == NOBODY)
            sockets->free_last = NOBODY;
        peer->number += 1u << PLACE_BITS; /* wraps */
        return place;
    }
    if (sockets->place_count == PLACES_MAX ||
        (sockets->place_count == sockets->place_capacity && grow (sockets)))
        return NOBODY;
    place = sockets->place_count++;
    sockets->peer[place] = (struct peer){ .number = place, .fd = -1 };
    return place;
}

static void give_back_place (struct mu_sockets *sockets, uint32_t place)
{
    sockets->peer[place].next_free = NOBODY;
    if (sockets->free_last == NOBODY)
        sockets->free_first = place;
    else
        sockets->peer[sockets->free_last].next_free = place;
    sockets->free_last = place;
}

static void name_peer (struct peer *peer)
{
    bool readable = peer->size > 0 && peer->size < sizeof peer->name;
    for (uint32_t i = 0; i < peer->size && readable; i++)
        readable = peer->identity[i] > 0x20 && peer->identity[i] < 0x7f;
    if (readable)
        memcpy (peer->name, peer->identity, peer->size);
    peer->name[readable ? peer->size : 0] = '\0';
}

/* The place of whoever has this identity, or NOBODY when there is no more room. */
static uint32_t place_of (struct mu_sockets *sockets, const uint8_t *identity, uint32_t size)
{
    uint32_t known = sockets->slot ? *find_slot (sockets, identity, size) : NOBODY;
    if (known != NOBODY)
        return known;
    uint8_t *copy = malloc (size ? size : 1);
    uint32_t place = copy ? take_place (sockets) : NOBODY;
    if (place == NOBODY) {
        free (copy);
        return NOBODY;
    }
    memcpy (copy, identity, size);
    struct peer *peer = &sockets->peer[place];
    peer->identity = copy;
    peer->size = size;
    peer->fd = -1;
    name_peer (peer);
    *find_slot (sockets, identity, size) = place;
    sockets->peer_count++;
    return place;
}

/* What lies behind an emptied slot moves up, or it would not be found any more. */
static void empty_slot (struct mu_sockets *sockets, uint32_t hole)
{
    uint32_t mask = sockets->slot_mask, *slot = sockets->slot;
    for (uint32_t at = (hole + 1) & mask; slot[at] != NOBODY; at = (at + 1) & mask) {
        const struct peer *peer = &sockets->peer[slot[at]];
        uint32_t home = hash (peer->identity, peer->size) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            slot[hole] = slot[at];
            hole = at;
        }
    }
    slot[hole] = NOBODY;
}

static void forget (struct mu_sockets *sockets, uint32_t place)
{
    struct peer *peer = &sockets->peer[place];
    empty_slot (sockets,
                (uint32_t)(find_slot (sockets, peer->identity, peer->size) - sockets->slot));
    free (peer->identity);
    peer->identity = NULL;
    peer->name[0] = '\0';
    sockets->peer_count--;
    give_back_place (sockets, place);
}

static struct peer *find_peer (const struct mu_sockets *sockets, uint32_t number)
{
    uint32_t place = PLACE (number);
    struct peer *peer = place < sockets->place_count ? &sockets->peer[place] : NULL;
    return peer && peer->identity && peer->number == number ? peer : NULL;
}

/* Read the frames that are left of a message nobody wants. */
static void drop_rest (void *socket)
{
    for (;;) {
        int more = 0;
        size_t size = sizeof more;
        if (zmq_getsockopt (socket, ZMQ_RCVMORE, &more, &size) || !more)
            return;
        zmq_msg_t frame;
        zmq_msg_init (&frame);
        zmq_msg_recv (&frame, socket, 0);
        zmq_msg_close (&frame);
    }
}

/* --- connections that end --------------------------------------------------------------------- */

static void note_gone (struct mu_sockets *sockets, uint32_t place)
{
    if (sockets->gone_count == sockets->gone_capacity) {
        uint32_t capacity = sockets->gone_capacity ? 2 * sockets->gone_capacity : 64;
        uint32_t *gone = realloc (sockets->gone, capacity * sizeof *gone);
        if (!gone)
            return; /* a hint is lost */
        sockets->gone = gone;
        sockets->gone_capacity = capacity;
    }
    sockets->peer[place].fd = -1;
    sockets->gone[sockets->gone_count++] = sockets->peer[place].number;
}

/* Take what the monitor has told so far. */
static void hear_monitor (struct mu_sockets *sockets)
{
    for (;;) {
        zmq_msg_t event;
        zmq_msg_init (&event);
        if (zmq_msg_recv (&event, sockets->monitor, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&event);
            return;
        }
        uint16_t kind = 0; /* libzmq: 16 bits of event, 32 of value, then an address frame */
        uint32_t fd = UINT32_MAX;
        if (zmq_msg_size (&event) >= 6) {
            memcpy (&kind, zmq_msg_data (&event), sizeof kind);
            memcpy (&fd, (const uint8_t *)zmq_msg_data (&event) + 2, sizeof fd);
        }
        zmq_msg_close (&event);
        drop_rest (sockets->monitor);
        door_hear (sockets->door, kind, (int)fd);
        if (kind != ZMQ_EVENT_DISCONNECTED || fd >= sockets->fd_count || sockets->of_fd[fd] == NOBODY)
            continue;
        uint32_t place = sockets->of_fd[fd];
        sockets->of_fd[fd] = NOBODY;
        if (sockets->peer[place].fd == (int)fd) /* it has not come back by another one already */
            note_gone (sockets, place);
    }
}

static void remember_fd (struct mu_sockets *sockets, uint32_t place, int fd)
{
    if (fd < 0 || (size_t)fd >= sockets->fd_count)
        return;
    if (sockets->of_fd[fd] != place) {
        hear_monitor (sockets);
        uint32_t before = sockets->of_fd[fd];
        if (before != NOBODY && sockets->peer[before].fd == fd)
            note_gone (sockets, before);
        sockets->of_fd[fd] = place;
    }
    sockets->peer[place].fd = fd;
}

/* --- opening ---------------------------------------------------------------------------------- */

static bool is_loopback (const char *endpoint)
{
    static const char *const local[] = { "tcp://127.", "tcp://[::1]:", "tcp://localhost:",
                                         "ipc://",     "inproc://",    "tcp://lo:" };
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (!strncmp (endpoint, local[i], strlen (local[i])))
            return true;
    return false;
}

static int in_use (const char *endpoint, struct mu_error *error)
{
    return mu_fail (error, MU_UNAVAILABLE,
                    "%s is in use: another coordinator runs there, or choose another with "
                    "--listen or --peer-listen",
                    endpoint);
}

/* libzmq removes whatever has the path before it binds: a socket that another coordinator listens at,
 * which then nobody reaches any more, or somebody's file. Only a socket without a listener may go. */
static int check_path (const char *endpoint, struct mu_error *error)
{
    const char *path = endpoint + strlen ("ipc://");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat found;
    if (strncmp (endpoint, "ipc://", 6) != 0 || *path == '@' || *path == '*' ||
        strlen (path) >= sizeof address.sun_path || lstat (path, &found) < 0)
        return 0; /* nothing to lose; what is wrong with the name, libzmq says */
    if (!S_ISSOCK (found.st_mode))
        return mu_fail (error, MU_CANT_CREATE,
                        "%s is a file that is there already, and no socket: choose another with "
                        "--listen or --peer-listen",
                        endpoint);
    strcpy (address.sun_path, path);
    int probe = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool heard =
        probe >= 0 && (connect (probe, (const struct sockaddr *)&address, sizeof address) == 0 ||
                       errno == EAGAIN);
    if (probe >= 0)
        close (probe);
    return heard ? in_use (endpoint, error) : 0;
}

static int bind_one (struct mu_sockets *sockets, const char *endpoint, struct mu_error *error)
{
    if (check_path (endpoint, error) < 0)
        return -1;
    if (!zmq_bind (sockets->router, endpoint))
        return 0;
    int number = zmq_errno ();
    if (number == EADDRINUSE)
        return in_use (endpoint, error);
    if (number == ENODEV || number == EADDRNOTAVAIL)
        return mu_fail (error, MU_NO_HOST, "%s is no address of this machine", endpoint);
    return mu_fail (error, MU_USAGE,
                    "cannot listen at %s: %s (endpoints look like tcp://127.0.0.1:7600 or "
                    "ipc:///run/muster.sock)",
                    endpoint, zmq_strerror (number));
}

static int set_options (struct mu_sockets *sockets, struct mu_error *error)
{
    static const struct {
        int option, value;
    } options[] = { { ZMQ_ROUTER_HANDOVER, 1 },   { ZMQ_ROUTER_MANDATORY, 1 },
                    { ZMQ_BACKLOG, BACKLOG },     { ZMQ_LINGER, 500 },
                    { ZMQ_SNDHWM, MESSAGES_MAX }, { ZMQ_RCVHWM, MESSAGES_MAX },
                    { ZMQ_HANDSHAKE_IVL, 10000 }, { ZMQ_TCP_KEEPALIVE, 1 } };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (zmq_setsockopt (sockets->router, options[i].option, &options[i].value, sizeof (int)))
            return mu_fail (error, MU_INTERNAL, "ZeroMQ refuses option %d: %s", options[i].option,
                            zmq_strerror (zmq_errno ()));
    int64_t bytes_max = MESSAGE_BYTES_MAX;
    zmq_setsockopt (sockets->router, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
    if (zmq_socket_monitor (sockets->router, MONITOR, ZMQ_EVENT_DISCONNECTED | DOOR_EVENTS) ||
        zmq_connect (sockets->monitor, MONITOR))
        return mu_fail (error, MU_INTERNAL, "ZeroMQ cannot watch connections: %s",
                        zmq_strerror (zmq_errno ()));
    return 0;
}

int sockets_open (struct mu_sockets **sockets_p, const char *const *endpoint, size_t endpoint_count,
                  bool beyond_loopback, struct mu_error *error)
{
    for (size_t i = 0; i < endpoint_count; i++)
        if (!beyond_loopback && !is_loopback (endpoint[i]))
            return mu_fail (
                error, MU_NO_PERMISSION,
                "%s is reachable from other machines, and whoever reaches it may submit "
                "jobs: say --allow-unauthenticated if the network keeps strangers out",
                endpoint[i]);
    struct mu_sockets *sockets = calloc (1, sizeof *sockets);
    if (!sockets)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    sockets->free_first = sockets->free_last = NOBODY;
    sockets->fd_count = door_raise_limit ();
    sockets->door = door_create (sockets->fd_count);
    sockets->of_fd = malloc (sockets->fd_count * sizeof *sockets->of_fd);
    sockets->context = zmq_ctx_new ();
    sockets->router = sockets->context ? zmq_socket (sockets->context, ZMQ_ROUTER) : NULL;
    sockets->monitor = sockets->context ? zmq_socket (sockets->context, ZMQ_PAIR) : NULL;
    if (!sockets->of_fd || !sockets->door || !sockets->router || !sockets->monitor) {
        mu_fail_errno (error, MU_UNAVAILABLE, errno, "ZeroMQ cannot make a socket");
        goto error;
    }
    memset (sockets->of_fd, 0xff, sockets->fd_count * sizeof *sockets->of_fd);
    if (set_options (sockets, error))
        goto error;
    for (size_t i = 0; i < endpoint_count; i++)
        if (bind_one (sockets, endpoint[i], error))
            goto error;
    *sockets_p = sockets;
    return 0;
error:
    sockets_close (&sockets);
    return -1;
}

void sockets_close (struct mu_sockets **sockets_p)
{
    struct mu_sockets *sockets = *sockets_p;
    if (!sockets)
        return;
    if (sockets->has_body)
        zmq_msg_close (&sockets->body);
    if (sockets->has_shared)
        zmq_msg_close (&sockets->shared);
    if (sockets->monitor)
        zmq_close (sockets->monitor);
    if (sockets->router)
        zmq_close (sockets->router);
    if (sockets->context)
        zmq_ctx_term (sockets->context);
    door_destroy (&sockets->door);
    for (uint32_t i = 0; i < sockets->place_count; i++)
        free (sockets->peer[i].identity);
    free (sockets->peer);
    free (sockets->gone);
    free (sockets->slot);
    free (sockets->of_fd);
    free (sockets);
    *sockets_p = NULL;
}

void *sockets_router (struct mu_sockets *sockets) { return sockets->router; }
void *sockets_monitor (struct mu_sockets *sockets) { return sockets->monitor; }
uint64_t sockets_dropped (const struct mu_sockets *sockets) { return sockets->dropped; }
uint32_t sockets_peers (const struct mu_sockets *sockets) { return sockets->peer_count; }
size_t sockets_room (const struct mu_sockets *sockets) { return door_room (sockets->door); }

const char *sockets_name (const struct mu_sockets *sockets, uint32_t number)
{
    const struct peer *peer = find_peer (sockets, number);
    return peer ? peer->name : "";
}

/* --- in and out ------------------------------------------------------------------------------- */

/* 1: a message lies in sockets->body; 0: none waits; -1: one was dropped. */
static int receive_one (struct mu_sockets *sockets, uint32_t *number)
{
    zmq_msg_t identity;
    zmq_msg_init (&identity);
    if (zmq_msg_recv (&identity, sockets->router, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close (&identity);
        return 0;
    }
    size_t size = zmq_msg_size (&identity);
    uint32_t place = size <= IDENTITY_MAX
                         ? place_of (sockets, zmq_msg_data (&identity), (uint32_t)size)
                         : NOBODY;
    if (place != NOBODY)
        remember_fd (sockets, place, zmq_msg_get (&identity, ZMQ_SRCFD));
    bool whole = zmq_msg_more (&identity) && place != NOBODY;
    zmq_msg_close (&identity);
    if (!whole) {
        drop_rest (sockets->router);
        return -1;
    }
    zmq_msg_init (&sockets->body);
    sockets->has_body = true;
    if (zmq_msg_recv (&sockets->body, sockets->router, 0) < 0 || zmq_msg_more (&sockets->body)) {
        drop_rest (sockets->router);
        return -1;
    }
    *number = sockets->peer[place].number;
    return 1;
}

int sockets_receive (struct mu_sockets *sockets, uint32_t *peer, const void **data, size_t *size)
{
    for (;;) {
        if (sockets->has_body)
            zmq_msg_close (&sockets->body);
        sockets->has_body = false;
        int got = receive_one (sockets, peer);
        if (got < 0) {
            sockets->dropped++;
            continue;
        }
        if (got) {
            *data = zmq_msg_data (&sockets->body);
            *size = zmq_msg_size (&sockets->body);
        }
        return got;
    }
}

/* Did ZeroMQ make it up? Nobody can choose one that begins with a zero byte. */
static bool is_made_up (const struct peer *peer) { return peer->size == 5 && !peer->identity[0]; }

void sockets_tend (struct mu_sockets *sockets)
{
    hear_monitor (sockets);
    door_look (sockets->door);
}

int sockets_gone (struct mu_sockets *sockets, uint32_t *number)
{
    sockets_tend (sockets);
    while (sockets->gone_count) {
        *number = sockets->gone[--sockets->gone_count];
        const struct peer *peer = find_peer (sockets, *number);
        if (!peer || peer->fd >= 0) /* it is back */
            continue;
        if (is_made_up (peer))
            forget (sockets, PLACE (*number));
        return 1;
    }
    return 0;
}

static bool address (struct mu_sockets *sockets, uint32_t number)
{
    const struct peer *to = find_peer (sockets, number);
    return to &&
           zmq_send (sockets->router, to->identity, to->size, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0;
}

void sockets_send_again (struct mu_sockets *sockets, uint32_t number)
{
    zmq_msg_t copy; /* shares the bytes */
    zmq_msg_init (&copy);
    if (!sockets->has_shared || zmq_msg_copy (&copy, &sockets->shared) ||
        !address (sockets, number) || zmq_msg_send (&copy, sockets->router, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close (&copy);
        sockets->dropped++;
    }
}

void sockets_send (struct mu_sockets *sockets, uint32_t number, const void *data, size_t size)
{
    if (sockets->has_shared)
        zmq_msg_close (&sockets->shared);
    sockets->has_shared = size >= SOCKETS_SHARED_MIN && !zmq_msg_init_size (&sockets->shared, size);
    if (sockets->has_shared) {
        memcpy (zmq_msg_data (&sockets->shared), data, size);
        sockets_send_again (sockets, number);
    } else if (!address (sockets, number) ||
               zmq_send (sockets->router, data, size, ZMQ_DONTWAIT) < 0) {
        sockets->dropped++;
    }
}
