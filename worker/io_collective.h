/* SPDX-License-Identifier: Apache-2.0 */
/* io_collective.h - the collective process of this generation, the one that is connected for the
 * next, and a spare
 *
 * Both are handles of worker/comm/launch.h. A spare is started ahead of time, attached to the
 * region, and waits for its generation: that saves the start of a process when a world breaks. */
#ifndef WORKER_IO_COLLECTIVE_H
#define WORKER_IO_COLLECTIVE_H

#include "worker/agent.h"
#include "worker/comm/launch.h"

#include <stdbool.h>

#define IO_COLLECTIVE_POLL_MAX (3u * MU_COLLECTIVE_POLL_MAX)

struct io_collective {
    struct mu_collective_options options; /* region_fd: -1 while there is none */
    struct mu_collective *now, *ahead, *spare;
    uint64_t generation, ahead_generation; /* of `now`, of `ahead` */
    bool not_started, not_ahead; /* nobody could be started for that: told as ENDED */
    struct mu_error why;
};

void io_collective_form (struct io_collective *collective, const struct agent_form *form);
/* A process connects to the world of a generation that is not formed yet. */
void io_collective_connect (struct io_collective *collective, const struct agent_form *form);
void io_collective_drop_ahead (struct io_collective *collective);
void io_collective_kill (struct io_collective *collective);
void io_collective_fence_done (struct io_collective *collective, const struct agent_fence *fence);
void io_collective_make_spare (struct io_collective *collective);
void io_collective_drop_spare (struct io_collective *collective);

/* What to poll; returns how many of `fds` (of IO_COLLECTIVE_POLL_MAX) are used. */
unsigned io_collective_poll (const struct io_collective *collective, struct pollfd *fds);

/* The next thing for the agent: true, and *event borrows until the next call. */
bool io_collective_next (struct io_collective *collective, struct agent_event *event);

#endif
