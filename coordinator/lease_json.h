/* SPDX-License-Identifier: Apache-2.0 */
/* lease_json.h - a Kubernetes Lease, as JSON, to and from what a register holds. Pure but for jansson.
 *
 * The value lies in an annotation; holderIdentity and leaseTransitions say the same for people. What
 * else is in the object is left as it is. */
#ifndef COORD_LEASE_JSON_H
#define COORD_LEASE_JSON_H

#include "error.h"
#include "io_register_kinds.h"

#include <stdbool.h>
#include <stddef.h>

#define LEASE_ANNOTATION "muster/reign"

struct json_t;

/* The object in an answer, which the caller owns; NULL, BAD_INPUT: it is no Lease with a version. */
struct json_t *lease_parse (const char *text, size_t size, struct mu_error *error);

/* Its value; a Lease that nobody ever held is an empty register. */
int lease_value (const struct json_t *lease, struct reign_text *value, struct mu_error *error);

/* Is this, the answer to a GET, what says that there is no such Lease? A 404 of something on the way, or of a server
 * that does not know Leases yet, is not. */
bool lease_is_absent (const char *text, size_t size, const char *name);

/* The text to send for `next`: over `lease`, or, if that is NULL, to make it. The caller frees it. */
char *lease_with (const struct json_t *lease, const char *name_space, const char *name,
                  const struct reign_text *next, struct mu_error *error);

/* What the API says when it refuses, cut and cleaned, for people; never empty. */
void lease_refusal (const char *text, size_t size, char *say, size_t say_size);

#endif
