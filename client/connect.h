/* SPDX-License-Identifier: Apache-2.0 */
/* connect.h - a DEALER socket to a coordinator, or to the first of several that answers */
#ifndef CLIENT_CONNECT_H
#define CLIENT_CONNECT_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECT_MAX 16u

/* Nobody is asked whether somebody is there. 0 and *socket, yours to close; or -1. */
int connect_one (void *context, const char *endpoint, void **socket, struct mu_error *why);

/* Does somebody who speaks ZeroMQ let us in there, whether he answers or not? Names have to resolve. */
bool connect_stands (void *context, const char *endpoint, uint32_t limit_ms);

/* Ask all of them (CONNECT_MAX at most) who they are, again each second; the first to answer within limit_ms is it: *chosen
 * and *socket. A request is then sent to that one alone, so none is carried out twice. -1 where one is
 * no endpoint (USAGE) or none answers (UNAVAILABLE). */
int connect_first (void *context, char *const *endpoints, size_t count, uint32_t limit_ms,
                   size_t *chosen, void **socket, struct mu_error *why);

#endif
