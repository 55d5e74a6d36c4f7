/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h - what both daemons need to be broken on purpose
 *
 * A process that is told to die or to stand still has to say so first, and cannot wake itself up
 * afterwards: the kernel's timers do both, with no helper process that would keep sockets open. */
#ifndef MU_FAULT_H
#define MU_FAULT_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

/* So that an answer may leave. */
#define MU_FAULT_DELAY_MS 50u

/* --enable-faults was `given`: 0, or -1 where the build does not know faults. */
int mu_fault_allowed (bool given, struct mu_error *error);

/* This process gets the signal after so long, also when it is stopped. */
int mu_signal_later (int signal, uint64_t milliseconds, struct mu_error *error);

#endif
