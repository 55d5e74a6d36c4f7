/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h - the agent's handle of one collective process
 *
 * Start it (with a generation at hand, or ahead of time as a spare), give it its generation, relay
 * its PMI fences, hear what it reports, and see it end. Nothing here blocks: poll the descriptors,
 * call mu_collective_next () until it gives nothing, repeat. */
#ifndef MU_LAUNCH_H
#define MU_LAUNCH_H

#include "collective_protocol.h"
#include "error.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MU_COLLECTIVE_POLL_MAX 4u

struct mu_collective;

struct mu_collective_options {
    const char *program; /* path of muster-collective */
    int region_fd;       /* borrowed: the child gets its own */
    const char *device; /* network device for MPI, as mu_collective_device () found it; NULL: all */
    const char *port_range; /* "LOW-HIGH", NULL: any */
};

enum mu_collective_event_kind {
    MU_COLLECTIVE_EVENT_FENCE = 1, /* `number`, `values`: wait for all ranks, then fence_done () */
    MU_COLLECTIVE_EVENT_CONNECTED, /* as READY, but it waits for its generation */
    MU_COLLECTIVE_EVENT_READY,     /* `report` tells how long its parts took */
    MU_COLLECTIVE_EVENT_FAILED,    /* `text`: why it is about to end */
    MU_COLLECTIVE_EVENT_ENDED, /* reaped: `status` as waitpid gives it, `text` in words; `killed` by us. The last */
};

struct mu_collective_event {
    enum mu_collective_event_kind kind;
    uint32_t number;
    const void *values; /* borrowed until fence_done () */
    size_t size;
    int status;
    bool killed;
    struct mu_collective_report report;
    char text[512];
};

/* Fork and exec. The process is killed when the calling thread ends: call it from one that lives as
 * long as the agent. A program that cannot be executed shows as ENDED. NULL with a sentence if the
 * system refuses. */
struct mu_collective *mu_collective_start (const struct mu_collective_options *options,
                                           struct mu_error *error);

/* Give it its generation; once. */
int mu_collective_form (struct mu_collective *collective, const struct mu_collective_form *form,
                        struct mu_error *error);

/* What to poll; returns how many of `fds` (of MU_COLLECTIVE_POLL_MAX) are used. */
unsigned mu_collective_poll (const struct mu_collective *collective, struct pollfd *fds);

/* The next thing that happened: 1, or 0 if there is none (any more). */
int mu_collective_next (struct mu_collective *collective, struct mu_collective_event *event);

int mu_collective_fence_done (struct mu_collective *collective, uint32_t number, const void *values,
                              size_t size, struct mu_error *error);

/* SIGKILL, if it has not ended by itself; ENDED follows. */
void mu_collective_kill (struct mu_collective *collective);

pid_t mu_collective_pid (const struct mu_collective *collective);
uint64_t mu_collective_generation (const struct mu_collective *collective); /* 0: a spare */

/* Frees the handle; kills and reaps the process first if it has not ENDED. One that cannot be killed
 * is left to the system after a fifth of a second, and to whoever reaps the agent's children. */
void mu_collective_destroy (struct mu_collective **collective_p);

/* The network device that a device's name or one of its addresses means, into `device`. */
int mu_collective_device (const char *name_or_address, char *device, size_t size,
                          struct mu_error *error);

/* The environment for a child: ours without what another launcher of parallel programs left in it
 * (PMI_*, OMPI_* and the like), and for a collective (`options` not NULL) with what makes MPICH
 * start fast and fail loudly, where the operator has not set it. A NULL-terminated array, free with
 * one free (); NULL when memory is gone. */
char **mu_collective_environment (const struct mu_collective_options *options, int pmi_fd);

#endif
