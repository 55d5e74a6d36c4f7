/* SPDX-License-Identifier: Apache-2.0 */
/* io_follow.h - a coordinator that does not reign: it follows the one that does, until it is its turn
 *
 * Every coordinator with a register begins here, the one that will lead a moment later too. Meanwhile it
 * answers questions from what it has, and tells who wants to change something where the leader is. */
#ifndef COORD_IO_FOLLOW_H
#define COORD_IO_FOLLOW_H

#include "coord.h"
#include "io_logs.h"
#include "io_peers.h"
#include "io_reign.h"
#include "io_socket.h"
#include "io_store.h"

struct follow_options {
    struct claim *claim;
    struct io_reign *reign;
    struct peers *peers;
    struct mu_sockets *sockets;
    struct store *store;
    struct job_logs *logs;
    struct coord **coord; /* fed what is stored */
    /* The journal was replaced: make *coord anew from it. */
    int (*rebuild) (void *arg, struct mu_error *error);
    void *arg;
    const char *version, *dir;
    uint64_t history_ms; /* the full history of what ended longer ago is folded, here as there */
    int signal_fd;
};

enum follow_end { FOLLOW_FAILED = -1, FOLLOW_STOPPED, FOLLOW_LEADS };

/* Until it is told to stop, or claim->term is its own. *workers, *count: the peers among `sockets`
 * that have asked for a coordinator meanwhile; to be freed. */
enum follow_end follow_run (const struct follow_options *options, uint32_t **workers,
                            uint32_t *count, struct mu_error *error);

#endif
