/* SPDX-License-Identifier: Apache-2.0 */
/* io_agent.h - the loop around the agent's core
 *
 * Waits for words, children, signals and the clock, gives each to agent_step () as an event, and
 * carries out what it answers, in order. Nothing in the loop blocks. */
#ifndef WORKER_IO_AGENT_H
#define WORKER_IO_AGENT_H

#include "worker/agent.h"
#include "worker/comm/region.h"
#include "worker/io_collective.h"
#include "worker/io_coordinator.h"
#include "worker/io_trainer.h"

struct io_agent {
    struct agent *agent;
    struct agent_actions actions;
    struct io_coordinator *coordinator;
    struct io_trainer_options trainer_options;
    struct io_trainer trainer;
    struct mu_error not_started; /* why the trainer could not be started; code OK: it could */
    struct io_collective collective;
    struct mu_region *region;
    int region_fd;
    int signals; /* signalfd of SIGTERM, SIGINT and SIGHUP, which are blocked */
    const char *name;
    bool look; /* the core asked for a look at the children */
    bool ending;
    int status; /* the process's, once it is ending */
};

/* Run until the core says EXIT; returns the exit status. Children are gone then. */
int io_agent_run (struct io_agent *io);

#endif
