/* SPDX-License-Identifier: Apache-2.0 */
/* io_witness.c - see io_witness.h
 *
 * A socket, and a file of a few hundred bytes. The folder's lock is the one that a coordinator takes
 * (io_database.c): no folder has two voters. */
#include "io_witness.h"

#include "io_database.h"
#include "io_peers.h"
#include "log.h"

#include <inttypes.h>
#include <unistd.h>
#include <zmq.h>

struct witness {
    int lock_fd;
    struct peers *peers;
    bool votes;
};

static void tell_vote (struct witness *witness)
{
    const struct acceptor *acceptor = peers_acceptor (witness->peers);
    if (!witness->votes && acceptor_votes (acceptor))
        mu_log (MU_LOG_INFO, "votes", NULL, "it was taken in by the others, as %" PRIu64,
                acceptor_id (acceptor));
    witness->votes = acceptor_votes (acceptor);
}

static void serve (struct witness *witness, int signal_fd)
{
    uint32_t peer;
    struct mu_wire wire;
    zmq_pollitem_t items[] = {
        { NULL, signal_fd, ZMQ_POLLIN, 0 },
        { peers_monitor (witness->peers), 0, ZMQ_POLLIN, 0 },
        { peers_socket (witness->peers), 0, ZMQ_POLLIN, 0 },
    };
    while (!(items[0].revents & ZMQ_POLLIN)) {
        zmq_poll (items, 3, 1000); /* connections are looked after, too */
        while (peers_receive (witness->peers, &peer, &wire))
            ; /* a word that is not about votes */
        tell_vote (witness);
    }
}

static int begin (struct witness *witness, const struct mu_coordinator_options *options,
                  const char *dir, struct mu_error *error)
{
    const struct mu_text_list *listen = &options->peer_listen;
    if (!listen->count)
        return mu_fail (error, MU_CONFIG,
                        "a witness needs --peer-listen: where it is asked to vote");
    if (folder_make (dir, error) || folder_lock (dir, &witness->lock_fd, error) ||
        peers_open (&witness->peers, listen->item[0], options->allow_unauthenticated, dir, error))
        return -1;
    witness->votes = acceptor_votes (peers_acceptor (witness->peers));
    mu_log (MU_LOG_INFO, "witness", NULL, "listening at %s, as %" PRIu64 "%s", listen->item[0],
            acceptor_id (peers_acceptor (witness->peers)),
            witness->votes ? "" : ", which the others have not taken in yet");
    return 0;
}

int witness_run (const struct mu_coordinator_options *options, const char *dir, int signal_fd,
                 struct mu_error *error)
{
    struct witness witness = { .lock_fd = -1 };
    const int rc = begin (&witness, options, dir, error);
    if (!rc)
        serve (&witness, signal_fd);
    peers_close (&witness.peers);
    if (witness.lock_fd >= 0)
        close (witness.lock_fd);
    return rc;
}
