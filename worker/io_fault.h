/* SPDX-License-Identifier: Apache-2.0 */
/* io_fault.h - carries out the faults that the agent's core decided */
#ifndef WORKER_IO_FAULT_H
#define WORKER_IO_FAULT_H

#include "worker/io_agent.h"

void io_fault_strike (struct io_agent *io, const struct agent_blow *blow);

#endif
