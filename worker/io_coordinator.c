/* SPDX-License-Identifier: Apache-2.0 */
/* io_coordinator.c - libzmq's DEALER, with the traps closed
 *
 *  - bounded high-water marks and DONTWAIT: a coordinator that hangs cannot stop the agent;
 *  - reconnection after 100 to 200 ms, each worker its own, up to 2 s (dial.h): no storm after a restart;
 *  - a connection whose bytes nobody acknowledges for 3 s is given up, and one is not waited for
 *    longer than 2 s: TCP says its bytes again ever more rarely, so that after a cut of minutes it
 *    would take as long again to notice that the line is back;
 *  - no ZMTP heartbeats: the protocol's own beats are enough, and silence is judged in one place;
 *  - a context each, as a name that does not resolve blocks libzmq's thread for a minute;
 *  - LINGER 0 while it runs; at the end BYE gets a moment. */
#include "io_coordinator.h"

#include "common/dial.h"
#include "common/log.h"
#include "common/quota.h"

#include <errno.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define HIGH_WATER         1000
#define MESSAGE_BYTES_MAX  (32 << 20) /* FENCED is the largest */
#define RECONNECT_MS       100
#define HANDSHAKE_MS       5000
#define UNHEARD_MS         3000
#define CONNECT_MS         2000
#define ZONE_BYTES         8192

struct peer {
    void *context; /* its own: while libzmq looks up a dead name, the others go on */
    void *socket;
    const char *endpoint;
    uint64_t term; /* the highest it spoke in */
    bool heard;
};

struct io_coordinator {
    struct peer peer[IO_COORDINATORS_MAX];
    size_t count, active, next; /* next: whom to ask first, so that nobody starves */
    uint32_t lose_in, lose_out; /* percent */
    uint64_t random;            /* which words those are */
    msgpack_zone *zone;
    msgpack_sbuffer bytes;
    zmq_msg_t message;
    bool has_message;
    struct mu_quota bad; /* messages that are logged */
};

static void set (void *socket, int option, int value)
{
    zmq_setsockopt (socket, option, &value, sizeof value);
}

static int connect_peer (struct io_coordinator *coordinator, const char *endpoint,
                         const char *identity, uint64_t seed, struct mu_error *error)
{
    struct peer *peer = &coordinator->peer[coordinator->count];
    peer->endpoint = endpoint;
    peer->context = zmq_ctx_new ();
    peer->socket = peer->context ? zmq_socket (peer->context, ZMQ_DEALER) : NULL;
    coordinator->count++;
    if (!peer->socket)
        return mu_fail (error, MU_SYSTEM, "no ZeroMQ socket: %s", zmq_strerror (errno));
    zmq_setsockopt (peer->socket, ZMQ_IDENTITY, identity, strlen (identity));
    set (peer->socket, ZMQ_LINGER, 0);
    set (peer->socket, ZMQ_SNDHWM, HIGH_WATER);
    set (peer->socket, ZMQ_RCVHWM, HIGH_WATER);
    set (peer->socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set (peer->socket, ZMQ_TCP_MAXRT, UNHEARD_MS);
    set (peer->socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    set (peer->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS + (int)(seed % RECONNECT_MS));
    set (peer->socket, ZMQ_RECONNECT_IVL_MAX, MU_DIAL_LIMIT_MS);
    int64_t size_max = MESSAGE_BYTES_MAX;
    zmq_setsockopt (peer->socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
    if (zmq_connect (peer->socket, endpoint) < 0)
        return mu_fail (error, MU_USAGE,
                        "the coordinator's address %s cannot be used: %s; one looks like "
                        "tcp://10.0.0.5:7600",
                        endpoint, zmq_strerror (errno));
    return 0;
}

int io_coordinator_open (struct io_coordinator **coordinator_p, char *const *endpoint, size_t count,
                         const char *identity, uint64_t seed, struct mu_error *error)
{
    struct io_coordinator *coordinator = calloc (1, sizeof *coordinator);
    *coordinator_p = coordinator;
    if (!coordinator)
        return mu_fail (error, MU_SYSTEM, "no memory for sockets");
    coordinator->random = seed | 1;
    msgpack_sbuffer_init (&coordinator->bytes);
    coordinator->zone = msgpack_zone_new (ZONE_BYTES);
    int status = coordinator->zone ? 0 : mu_fail (error, MU_SYSTEM, "no memory for words");
    for (size_t i = 0; i < count && i < IO_COORDINATORS_MAX && status == 0; i++)
        status = connect_peer (coordinator, endpoint[i], identity, seed, error);
    if (status < 0)
        io_coordinator_close (coordinator_p, 0);
    return status;
}

static void drop_message (struct io_coordinator *coordinator)
{
    if (coordinator->has_message)
        zmq_msg_close (&coordinator->message);
    coordinator->has_message = false;
}

/* A context ends when its thread comes back, which a dead name may hold for a minute. Where nobody
 * was ever heard there is nothing to wait for: it is left to the end of the process. */
static void close_peer (struct peer *peer, int linger_ms)
{
    if (peer->socket) {
        set (peer->socket, ZMQ_LINGER, linger_ms);
        zmq_close (peer->socket);
    }
    if (peer->context && peer->heard)
        zmq_ctx_term (peer->context);
}

void io_coordinator_close (struct io_coordinator **coordinator_p, int linger_ms)
{
    struct io_coordinator *coordinator = *coordinator_p;
    if (!coordinator)
        return;
    drop_message (coordinator);
    for (size_t i = 0; i < coordinator->count; i++)
        close_peer (&coordinator->peer[i], linger_ms);
    if (coordinator->zone)
        msgpack_zone_free (coordinator->zone);
    msgpack_sbuffer_destroy (&coordinator->bytes);
    free (coordinator);
    *coordinator_p = NULL;
}

void *io_coordinator_socket (struct io_coordinator *coordinator, size_t i)
{
    return i < coordinator->count ? coordinator->peer[i].socket : NULL;
}

/* libzmq does both in its own thread; there it connects anew by itself where nothing stood. */
void io_coordinator_redial (struct io_coordinator *coordinator)
{
    for (size_t i = 0; i < coordinator->count; i++) {
        const struct peer *peer = &coordinator->peer[i];
        if (zmq_disconnect (peer->socket, peer->endpoint) < 0 ||
            zmq_connect (peer->socket, peer->endpoint) < 0)
            mu_log (MU_LOG_WARN, "redial", &MU_LOG_ABOUT_NOTHING,
                    "%s: no new connection could be made: %s", peer->endpoint,
                    zmq_strerror (errno));
    }
}

void io_coordinator_lose (struct io_coordinator *coordinator, uint32_t in, uint32_t out)
{
    coordinator->lose_in = in;
    coordinator->lose_out = out;
}

static bool is_lost (struct io_coordinator *coordinator, uint32_t percent)
{
    if (!percent)
        return false;
    coordinator->random = coordinator->random * UINT64_C (6364136223846793005) + 1;
    return (coordinator->random >> 33) % 100 < percent;
}

void io_coordinator_send (struct io_coordinator *coordinator, const struct mu_wire *wire,
                          bool to_all)
{
    struct mu_error error;
    if (is_lost (coordinator, coordinator->lose_out))
        return;
    coordinator->bytes.size = 0;
    if (mu_record_encode (&mu_wire_family, wire, &coordinator->bytes, &error) < 0) {
        mu_log (MU_LOG_ERROR, "internal", &MU_LOG_ABOUT_NOTHING, "a word cannot be said: %s",
                error.text);
        return;
    }
    for (size_t i = 0; i < coordinator->count; i++)
        if (to_all || i == coordinator->active)
            (void)zmq_send (coordinator->peer[i].socket, coordinator->bytes.data,
                            coordinator->bytes.size, ZMQ_DONTWAIT);
}

/* One frame is a word; what comes in several frames is nobody's. */
static bool is_whole (const zmq_msg_t *message, void *socket)
{
    zmq_msg_t more;
    if (!zmq_msg_more (message))
        return true;
    bool going = true;
    while (going) {
        zmq_msg_init (&more);
        going = zmq_msg_recv (&more, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more (&more);
        zmq_msg_close (&more);
    }
    return false;
}

static bool receive_from (struct io_coordinator *coordinator, size_t i, struct mu_wire *wire)
{
    struct peer *peer = &coordinator->peer[i];
    struct mu_error error;
    while (1) {
        drop_message (coordinator);
        zmq_msg_init (&coordinator->message);
        coordinator->has_message = true;
        if (zmq_msg_recv (&coordinator->message, peer->socket, ZMQ_DONTWAIT) < 0)
            return false;
        if (!is_whole (&coordinator->message, peer->socket) ||
            is_lost (coordinator, coordinator->lose_in))
            continue;
        msgpack_zone_clear (coordinator->zone);
        if (mu_record_decode (&mu_wire_family, wire, zmq_msg_data (&coordinator->message),
                              zmq_msg_size (&coordinator->message), 1u << MU_ROLE_COORDINATOR,
                              coordinator->zone, &error) == 0)
            return true;
        if (error.code == MU_TRY_AGAIN) /* a word of a later version: it is said again, in others */
            mu_log (MU_LOG_DEBUG, "protocol", &MU_LOG_ABOUT_NOTHING,
                    "%s said what cannot be understood: %s", peer->endpoint, error.text);
        else
            mu_quota_warn (&coordinator->bad, "protocol", &error,
                           "%s said what cannot be understood", peer->endpoint);
    }
}

static void mind_term (struct io_coordinator *coordinator, size_t i, uint64_t term)
{
    coordinator->peer[i].term = term;
    coordinator->peer[i].heard = true;
    if (term >= coordinator->peer[coordinator->active].term)
        coordinator->active = i;
}

int io_coordinator_receive (struct io_coordinator *coordinator, struct mu_wire *wire)
{
    for (size_t tried = 0; tried < coordinator->count; tried++) {
        size_t i = coordinator->next;
        coordinator->next = (i + 1) % coordinator->count;
        if (receive_from (coordinator, i, wire)) {
            mind_term (coordinator, i, wire->term);
            return 1;
        }
    }
    return 0;
}
