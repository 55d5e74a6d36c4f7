/* SPDX-License-Identifier: Apache-2.0 */
/* io_witness.h - `muster-coordinator --witness`: one more vote on who reigns, and nothing else */
#ifndef COORD_IO_WITNESS_H
#define COORD_IO_WITNESS_H

#include "error.h"
#include "options.h"

/* Serve until a signal comes. */
int witness_run (const struct mu_coordinator_options *options, const char *dir, int signal_fd,
                 struct mu_error *error);

#endif
