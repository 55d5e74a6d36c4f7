/* SPDX-License-Identifier: Apache-2.0 */
/* io_witness.c - see io_witness.h
 *
 * A socket, and a file of a few hundred bytes. The folder's lock is the one that a coordinator takes
 * (io_store.c): no folder has two voters. */
#include "io_witness.h"

#include "io_acceptor.h"
#include "io_socket.h"
#include "log.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

struct witness {
    int lock_fd;
    struct acceptor *acceptor;
    struct mu_sockets *sockets;
    msgpack_zone zone;
    bool votes;
};

static int take_folder (struct witness *witness, const char *dir, struct mu_error *error)
{
    char path[4200];
    if (mkdir (dir, 0750) && errno != EEXIST)
        return mu_fail_errno (error, MU_CANT_CREATE, errno,
                              "%s cannot be made (name another --dir)", dir);
    snprintf (path, sizeof path, "%s/muster.lock", dir);
    witness->lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (witness->lock_fd < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "%s cannot be written", path);
    if (!flock (witness->lock_fd, LOCK_EX | LOCK_NB))
        return 0;
    if (errno != EWOULDBLOCK)
        return mu_fail_errno (error, MU_SYSTEM, errno, "%s cannot be locked", path);
    return mu_fail (error, MU_UNAVAILABLE,
                    "another coordinator or witness uses %s: name another folder with --dir", dir);
}

static void answer (struct witness *witness, uint32_t peer, const void *data, size_t size)
{
    struct mu_wire asked, word;
    msgpack_sbuffer out;
    msgpack_sbuffer_init (&out);
    if (!mu_record_decode (&mu_wire_family, &asked, data, size, 1u << MU_ROLE_PEER, &witness->zone,
                           NULL) &&
        acceptor_answer (witness->acceptor, &asked, &word) &&
        !mu_record_encode (&mu_wire_family, &word, &out, NULL))
        sockets_send (witness->sockets, peer, out.data, out.size);
    msgpack_sbuffer_destroy (&out);
    msgpack_zone_clear (&witness->zone);
    if (!witness->votes && acceptor_votes (witness->acceptor))
        mu_log (MU_LOG_INFO, "votes", NULL, "it was taken in by the others, as %" PRIu64,
                acceptor_id (witness->acceptor));
    witness->votes = acceptor_votes (witness->acceptor);
}

static void serve (struct witness *witness, int signal_fd)
{
    uint32_t peer;
    const void *data;
    size_t size;
    zmq_pollitem_t items[] = {
        { NULL, signal_fd, ZMQ_POLLIN, 0 },
        { sockets_monitor (witness->sockets), 0, ZMQ_POLLIN, 0 },
        { sockets_router (witness->sockets), 0, ZMQ_POLLIN, 0 },
    };
    while (!(items[0].revents & ZMQ_POLLIN)) {
        zmq_poll (items, 3, 1000); /* sockets_gone () looks after connections, too */
        while (sockets_receive (witness->sockets, &peer, &data, &size))
            answer (witness, peer, data, size);
        while (sockets_gone (witness->sockets, &peer)) {
        }
    }
}

static int begin (struct witness *witness, const struct mu_coordinator_options *options,
                  const char *dir, struct mu_error *error)
{
    const struct mu_text_list *listen = &options->peer_listen;
    if (!listen->count)
        return mu_fail (error, MU_CONFIG,
                        "a witness needs --peer-listen: where it is asked to vote");
    if (take_folder (witness, dir, error) || acceptor_open (&witness->acceptor, dir, error) ||
        sockets_open (&witness->sockets, (const char *const *)listen->item, listen->count,
                      options->allow_unauthenticated, error))
        return -1;
    witness->votes = acceptor_votes (witness->acceptor);
    mu_log (MU_LOG_INFO, "witness", NULL, "listening at %s, as %" PRIu64 "%s", listen->item[0],
            acceptor_id (witness->acceptor),
            witness->votes ? "" : ", which the others have not taken in yet");
    return 0;
}

int witness_run (const struct mu_coordinator_options *options, const char *dir, int signal_fd,
                 struct mu_error *error)
{
    struct witness witness = { .lock_fd = -1 };
    if (!msgpack_zone_init (&witness.zone, 4096))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    const int rc = begin (&witness, options, dir, error);
    if (!rc)
        serve (&witness, signal_fd);
    sockets_close (&witness.sockets);
    acceptor_close (&witness.acceptor);
    msgpack_zone_destroy (&witness.zone);
    if (witness.lock_fd >= 0)
        close (witness.lock_fd);
    return rc;
}
