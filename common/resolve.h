/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.h - does an endpoint's host name resolve? Asked with a limit
 *
 * ZeroMQ looks names up by itself, again and again, and does not say when that fails. getaddrinfo
 * () may take a minute over a name server that is dead. So a person who mistyped a name is told
 * here, before a socket is connected. */
#ifndef MU_RESOLVE_H
#define MU_RESOLVE_H

#include "error.h"

#include <stdint.h>

#define MU_RESOLVE_MS 5000u

/* 0 when the host of `endpoint` (tcp://host:port) resolves, or it is no tcp:// endpoint at all;
 * -1 and NO_HOST when it does not, or not within limit_ms. The port is not looked at. */
int mu_resolve (const char *endpoint, uint32_t limit_ms, struct mu_error *error);

#endif
