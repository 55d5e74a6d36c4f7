/* SPDX-License-Identifier: Apache-2.0 */
/* io_reign.h - the thread that talks to the register, so that nobody waits for it
 *
 * A register may be behind a network, or on storage that hangs. One request is in flight at a time;
 * its answer is told by a descriptor that becomes readable. */
#ifndef COORD_IO_REIGN_H
#define COORD_IO_REIGN_H

#include "io_register.h"
#include "reign.h"

struct io_reign;

/* Takes the register over, also when it fails. */
int io_reign_start (struct io_reign **reign_p, struct io_register *reg, struct mu_error *error);

/* Waits for a request in flight, at most as long as it may take. */
void io_reign_stop (struct io_reign **reign_p);

int io_reign_fd (const struct io_reign *reign);

/* Ask what the claim wants to know, if anything, and tell it what was answered, if something was.
 * From the loop's thread. */
void io_reign_turn (struct io_reign *reign, struct claim *claim, uint64_t now_ms);

#endif
