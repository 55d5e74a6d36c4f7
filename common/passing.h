/* SPDX-License-Identifier: Apache-2.0 */
/* passing.h - sendmsg () and recvmsg () of bytes on a Unix socket, and of a descriptor that comes along
 *
 * unix (7), SCM_RIGHTS. Both return what the system call does, with its errno. */
#ifndef MU_PASSING_H
#define MU_PASSING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* `passed`: -1 is none. The caller keeps it, the receiver gets one of its own. */
ssize_t mu_passing_send (int socket, const void *bytes, size_t size, int passed, int flags);

/* *passed: what came along, closed on exec, to be closed by the caller; -1: nothing. *cut: there was more than
 * `size`, which is lost. */
ssize_t mu_passing_receive (int socket, void *bytes, size_t size, int flags, int *passed,
                            bool *cut);

#endif
