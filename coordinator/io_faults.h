/* SPDX-License-Identifier: Apache-2.0 */
/* io_faults.h - the log's lines about ordered faults, and the coordinator's own death by order */
#ifndef COORD_IO_FAULTS_H
#define COORD_IO_FAULTS_H

#include "io_requests.h"

/* A fault for the coordinator itself: its answer cannot wait for a commit. */
bool faults_is_own (const struct mu_wire *wire);

/* True if the word was a fault for the coordinator itself, which is answered into the turn. Faults of
 * workers, and what they answer, are only logged: the core passes them on. */
bool faults_answer (const struct requests *requests, struct turn *turn, uint32_t peer,
                    const struct mu_wire *wire);

#endif
