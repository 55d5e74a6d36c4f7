/* SPDX-License-Identifier: Apache-2.0 */
/* io_resign.h - a leader that is told to stop hands its reign over, if another is in sync
 *
 * It has acknowledged its last turn then. It says RESIGN to those who follow, calls its workers so that
 * they look for the next one at once, sends clients on, and ends when the register says that another
 * reigns. Nothing depends on any of this: an unheard resignation is a leader that died. */
#ifndef COORD_IO_RESIGN_H
#define COORD_IO_RESIGN_H

#include "coord.h"
#include "io_lead.h"
#include "io_requests.h"
#include "io_socket.h"

struct resign_options {
    struct lead *lead;
    const struct coord *coord;
    struct mu_sockets *sockets;
    const struct requests *requests; /* whose questions are still answered */
    int signal_fd;                   /* another signal ends it */
};

/* Told to stop at `since_ms`: should the leader go on for a moment, because one that follows will be in
 * sync soon and could then take over? */
bool resign_awaits_heir (const struct lead *lead, uint64_t since_ms, uint64_t now_ms);

/* At most some seconds; nothing if nobody is in sync. */
void resign_run (const struct resign_options *options);

#endif
