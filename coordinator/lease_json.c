/* SPDX-License-Identifier: Apache-2.0 */
/* lease_json.c - see lease_json.h */
#include "lease_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of (const json_t *object, const char *part, const char *key)
{
    return json_string_value (json_object_get (json_object_get (object, part), key));
}

json_t *lease_parse (const char *text, size_t size, struct mu_error *error)
{
    json_t *lease = json_loadb (text, size, JSON_REJECT_DUPLICATES, NULL);
    const char *kind = json_string_value (json_object_get (lease, "kind"));
    const char *version = text_of (lease, "metadata", "resourceVersion");
    const json_t *notes = json_object_get (json_object_get (lease, "metadata"), "annotations");
    if (kind && !strcmp (kind, "Lease") && version && *version &&
        (!notes || json_is_object (notes) || json_is_null (notes)))
        return lease;
    json_decref (lease);
    mu_fail (error, MU_BAD_INPUT, "the API server's answer is no Lease with a resourceVersion");
    return NULL;
}

int lease_value (const json_t *lease, struct reign_text *value, struct mu_error *error)
{
    const json_t *notes = json_object_get (json_object_get (lease, "metadata"), "annotations");
    const json_t *note = json_object_get (notes, LEASE_ANNOTATION);
    const char *holder = text_of (lease, "spec", "holderIdentity");
    struct reign reign;
    value->size = 0;
    if (!note && (!holder || !*holder))
        return 0;
    if (!json_is_string (note))
        return mu_fail (error, MU_BAD_INPUT,
                        "the Lease is held by `%.100s', without the annotation " LEASE_ANNOTATION
                        ": it is somebody else's; name another",
                        holder ? holder : "");
    if (json_string_length (note) == 0 || json_string_length (note) > sizeof value->text)
        return mu_fail (error, MU_BAD_INPUT,
                        "the annotation " LEASE_ANNOTATION " is of no such size");
    value->size = json_string_length (note);
    memcpy (value->text, json_string_value (note), value->size);
    return reign_decode (&reign, value->text, value->size, error);
}

static bool says (const char *text, const char *wanted) { return text && !strcmp (text, wanted); }

bool lease_is_absent (const char *text, size_t size, const char *name)
{
    json_t *status = json_loadb (text, size, 0, NULL);
    const bool absent = says (json_string_value (json_object_get (status, "kind")), "Status") &&
                        says (json_string_value (json_object_get (status, "reason")), "NotFound") &&
                        says (text_of (status, "details", "kind"), "leases") &&
                        says (text_of (status, "details", "name"), name);
    json_decref (status);
    return absent;
}

/* The object at that key, made if there is none. Borrowed. */
static json_t *part_of (json_t *object, const char *key)
{
    json_t *part = json_object_get (object, key);
    if (json_is_object (part))
        return part;
    json_object_set_new (object, key, json_object ());
    return json_object_get (object, key);
}

char *lease_with (const json_t *lease, const char *name_space, const char *name,
                  const struct reign_text *next, struct mu_error *error)
{
    struct reign reign;
    char holder[32];
    if (reign_decode (&reign, next->text, next->size, error))
        return NULL;
    snprintf (holder, sizeof holder, "muster-%" PRIu64, reign.leader);
    json_t *object =
        lease ? json_deep_copy (lease)
              : json_pack ("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "coordination.k8s.io/v1",
                           "kind", "Lease", "metadata", "namespace", name_space, "name", name);
    json_t *notes = part_of (part_of (object, "metadata"), "annotations");
    json_t *spec = part_of (object, "spec");
    const int failed =
        json_object_set_new (notes, LEASE_ANNOTATION, json_stringn (next->text, next->size)) |
        json_object_set_new (spec, "holderIdentity", json_string (holder)) |
        json_object_set_new (spec, "leaseTransitions",
                             json_integer ((json_int_t)(reign.term & INT32_MAX)));
    char *text = failed ? NULL : json_dumps (object, JSON_COMPACT);
    json_decref (object);
    if (!text)
        mu_fail (error, MU_UNAVAILABLE, "out of memory");
    return text;
}

void lease_refusal (const char *text, size_t size, char *say, size_t say_size)
{
    json_t *object = json_loadb (text, size, 0, NULL);
    const char *message = json_string_value (json_object_get (object, "message"));
    snprintf (say, say_size, "%s", message && *message ? message : "no reason given");
    for (char *at = say; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
            *at = '?';
    json_decref (object);
}
