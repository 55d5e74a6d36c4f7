/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - where several coordinators are named, each has a socket of its own until one answers:
 * one socket for all would hand its requests out in turn, also to those that are not there */
#include "connect.h"

#include "clock.h"
#include "record.h"
#include "resolve.h"
#include "wire.h"

#include <msgpack.h>
#include <stdlib.h>
#include <zmq.h>

#define SETTLE_MS 2000 /* how long one that reigns is looked for where others answer */
#define REPEAT_MS 1000u

/* ... and until then all are asked so often: between a leader's end and the next reign lies a moment in
 * which nobody reigns, and who asks ever more seldom sleeps through its end. */
#define SOON_MS 50u

/* `immediate`: nothing can be sent until the connection stands. */
static int open_socket (void *context, const char *endpoint, bool immediate, void **socket,
                        struct mu_error *why)
{
    const struct {
        int option, value;
    } options[] = { { ZMQ_LINGER, 0 },
                    { ZMQ_RECONNECT_IVL, 50 },
                    { ZMQ_RECONNECT_IVL_MAX, 1000 },
                    { ZMQ_SNDHWM, 16 },
                    { ZMQ_IMMEDIATE, immediate } };
    *socket = zmq_socket (context, ZMQ_DEALER);
    if (!*socket)
        return mu_fail (why, MU_UNAVAILABLE, "ZeroMQ cannot make a socket: %s",
                        zmq_strerror (zmq_errno ()));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        zmq_setsockopt (*socket, options[i].option, &options[i].value, sizeof (int));
    if (!zmq_connect (*socket, endpoint))
        return 0;
    mu_fail (why, MU_USAGE, "%s is no endpoint: %s (they look like tcp://host:7600 or ipc:///path)",
             endpoint, zmq_strerror (zmq_errno ()));
    zmq_close (*socket);
    *socket = NULL;
    return -1;
}

int connect_one (void *context, const char *endpoint, void **socket, struct mu_error *why)
{
    if (mu_resolve (endpoint, MU_RESOLVE_MS, why))
        return -1;
    return open_socket (context, endpoint, false, socket, why);
}

bool connect_stands (void *context, const char *endpoint, uint32_t limit_ms)
{
    struct mu_error why;
    zmq_pollitem_t item = { .events = ZMQ_POLLOUT };
    if (open_socket (context, endpoint, true, &item.socket, &why))
        return false;
    bool stands = zmq_poll (&item, 1, (long)limit_ms) > 0;
    zmq_close (item.socket);
    return stands;
}

static void say_ping (void *socket)
{
    struct mu_error why;
    struct mu_wire wire = { .type = MU_WIRE_PING };
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init (&bytes);
    if (!mu_record_encode (&mu_wire_family, &wire, &bytes, &why))
        zmq_send (socket, bytes.data, bytes.size, ZMQ_DONTWAIT);
    msgpack_sbuffer_destroy (&bytes);
}

/* Whoever does not speak as a coordinator does is none. *leads: it is the one that reigns. */
static bool is_answered (void *socket, bool *leads)
{
    struct mu_error why;
    struct mu_wire wire;
    msgpack_zone zone;
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    bool good = msgpack_zone_init (&zone, 1024);
    if (good) {
        good = zmq_msg_recv (&frame, socket, ZMQ_DONTWAIT) >= 0 &&
               !mu_record_decode (&mu_wire_family, &wire, zmq_msg_data (&frame),
                                  zmq_msg_size (&frame), 1u << MU_ROLE_COORDINATOR, &zone, &why) &&
               wire.type == MU_WIRE_PONG;
        *leads = good && !wire.pong.follows;
        msgpack_zone_destroy (&zone);
    }
    zmq_msg_close (&frame);
    return good;
}

/* The place of one that reigns, or `count`; of one that answered at least, in *any. */
static size_t wait_for_one (zmq_pollitem_t *items, size_t count, size_t *any, uint64_t until_ms)
{
    bool leads = false;
    for (uint64_t now = mu_now_ms (); now < until_ms; now = mu_now_ms ()) {
        if (zmq_poll (items, (int)count, (long)(until_ms - now)) < 0)
            return count;
        for (size_t i = 0; i < count; i++)
            if (items[i].revents && is_answered (items[i].socket, &leads)) {
                *any = i;
                if (leads)
                    return i;
            }
    }
    return count;
}

/* Those that can be connected to: how many, or -1. A name that does not resolve may be that of a host
 * that is gone: the others are tried. */
static int connect_all (void *context, char *const *endpoints, size_t count, zmq_pollitem_t *items,
                        size_t *place, struct mu_error *why)
{
    int connected = 0;
    for (size_t i = 0; i < count; i++) {
        void *socket = NULL;
        if (!connect_one (context, endpoints[i], &socket, why)) {
            items[connected] = (zmq_pollitem_t){ socket, 0, ZMQ_POLLIN, 0 };
            place[connected++] = i;
            say_ping (socket);
        } else if (why->code == MU_USAGE) {
            while (connected)
                zmq_close (items[--connected].socket);
            return -1;
        }
    }
    return connected ? connected : -1;
}

int connect_first (void *context, char *const *endpoints, size_t count, uint32_t limit_ms,
                   size_t *chosen, void **socket, struct mu_error *why)
{
    zmq_pollitem_t items[CONNECT_MAX];
    size_t place[CONNECT_MAX];
    uint64_t end_ms = mu_now_ms () + limit_ms, settle_ms = mu_now_ms () + SETTLE_MS;
    int connected = connect_all (context, endpoints, count < CONNECT_MAX ? count : CONNECT_MAX,
                                 items, place, why);
    if (connected < 0)
        return -1;
    size_t all = (size_t)connected, first = all, any = all;
    while (first == all && mu_now_ms () < end_ms && (any == all || mu_now_ms () < settle_ms)) {
        uint64_t now_ms = mu_now_ms ();
        uint64_t again_ms = now_ms + (now_ms < settle_ms ? SOON_MS : REPEAT_MS);
        first = wait_for_one (items, all, &any, again_ms < end_ms ? again_ms : end_ms);
        for (size_t i = 0; i < all && first == all; i++)
            say_ping (items[i].socket);
    }
    first = first == all ? any : first;
    for (size_t i = 0; i < all; i++)
        if (i != first)
            zmq_close (items[i].socket);
    if (first == all)
        return mu_fail (why, MU_UNAVAILABLE,
                        "none of %zu coordinators answers within %u ms, the first of them %s: is "
                        "one running?",
                        count, limit_ms, endpoints[0]);
    *chosen = place[first];
    *socket = items[first].socket;
    return 0;
}
