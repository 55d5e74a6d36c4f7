/* SPDX-License-Identifier: Apache-2.0 */
/* io_peers.c - words of other coordinators, and the vote */
#include "io_peers.h"

#include "io_socket.h"
#include "quota.h"

#include <msgpack.h>
#include <stdlib.h>

struct peers {
    struct mu_sockets *sockets;
    struct acceptor *acceptor; /* NULL: no vote */
    msgpack_zone zone;
    msgpack_sbuffer bytes;
    struct mu_quota bad; /* messages that are logged */
};

int peers_open (struct peers **peers_p, const char *endpoint, bool beyond_loopback,
                const char *vote_dir, struct mu_error *error)
{
    struct peers *peers = calloc (1, sizeof *peers);
    if (!peers || !msgpack_zone_init (&peers->zone, 8192)) {
        free (peers);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    *peers_p = peers;
    msgpack_sbuffer_init (&peers->bytes);
    if (!sockets_open (&peers->sockets, &endpoint, 1, beyond_loopback, error) &&
        (!vote_dir || !acceptor_open (&peers->acceptor, vote_dir, error)))
        return 0;
    peers_close (peers_p);
    return -1;
}

void peers_close (struct peers **peers_p)
{
    struct peers *peers = *peers_p;
    if (!peers)
        return;
    sockets_close (&peers->sockets);
    acceptor_close (&peers->acceptor);
    msgpack_zone_destroy (&peers->zone);
    msgpack_sbuffer_destroy (&peers->bytes);
    free (peers);
    *peers_p = NULL;
}

void *peers_socket (struct peers *peers) { return sockets_router (peers->sockets); }

void *peers_monitor (struct peers *peers) { return sockets_monitor (peers->sockets); }
const struct acceptor *peers_acceptor (const struct peers *peers) { return peers->acceptor; }

static bool is_vote (struct peers *peers, uint32_t peer, const struct mu_wire *asked)
{
    struct mu_wire answer;
    if (asked->type != MU_WIRE_ASK_VOTE)
        return false;
    peers->bytes.size = 0;
    if (peers->acceptor && acceptor_answer (peers->acceptor, asked, &answer) &&
        !mu_record_encode (&mu_wire_family, &answer, &peers->bytes, NULL))
        sockets_send (peers->sockets, peer, peers->bytes.data, peers->bytes.size);
    return true;
}

bool peers_receive (struct peers *peers, uint32_t *peer, struct mu_wire *wire)
{
    const void *data;
    size_t size;
    struct mu_error why;
    while (sockets_receive (peers->sockets, peer, &data, &size)) {
        msgpack_zone_clear (&peers->zone);
        if (mu_record_decode (&mu_wire_family, wire, data, size, 1u << MU_ROLE_PEER, &peers->zone,
                              &why))
            mu_quota_warn (&peers->bad, "bad_message", &why, "from another coordinator");
        else if (!is_vote (peers, *peer, wire))
            return true;
    }
    uint32_t gone;
    while (sockets_gone (peers->sockets, &gone))
        ; /* silence decides who is lost */
    return false;
}

void peers_send (struct peers *peers, uint32_t peer, const void *data, size_t size)
{
    sockets_send (peers->sockets, peer, data, size);
}
