/* SPDX-License-Identifier: Apache-2.0 */
/* io_name.h - a worker's name, its own among all workers of one state folder, and its incarnation
 *
 * FOLDER/workers/NAME.lock is held locked (flock) while the worker lives, and holds the incarnation
 * that it last used. Without a name of its own a worker takes the host's; a second one on the same
 * host and folder takes HOST-2, and so on. After a restart the same names are free again, so
 * workers of a StatefulSet (the pod's host name) and of `mpirun -n 8` keep theirs. */
#ifndef WORKER_IO_NAME_H
#define WORKER_IO_NAME_H

#include "common/error.h"

#include <stdint.h>

#define IO_NAME_SIZE 64u

struct io_name {
    char name[IO_NAME_SIZE];
    char host[256];
    uint64_t
        incarnation; /* larger than ever before under this name here, and about the time in µs */
    int lock;        /* the descriptor that keeps it; closed by the end of the process */
};

/* `wanted` NULL or empty: find one. CONFLICT: another worker has this very name. */
int io_name_take (struct io_name *name, const char *folder, const char *wanted,
                  struct mu_error *error);

#endif
