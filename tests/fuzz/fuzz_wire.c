/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_wire.c - any bytes at the decoder of messages and journal records
 *
 * What is accepted must encode again, and what that gives must be accepted and read the same: one
 * meaning a message. The first byte chooses the family. */
#include "journal.h"
#include "wire.h"

#include <jansson.h>
#include <msgpack.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static char *as_json (const struct mu_family *family, const void *record)
{
    uint32_t id;
    memcpy (&id, record, sizeof id);
    json_t *object = mu_shape_to_json (mu_shape_find (family, id),
                                       (const uint8_t *)record + family->body_offset);
    char *text = json_dumps (object, JSON_COMPACT);
    json_decref (object);
    return text;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct mu_family *family = data[0] & 1 ? &mu_journal_family : &mu_wire_family;
    void *record = calloc (1, family->size), *again = calloc (1, family->size);
    msgpack_zone zone;
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init (&bytes);
    if (!record || !again || !msgpack_zone_init (&zone, 4096))
        abort ();
    if (!mu_record_decode (family, record, data + 1, size - 1, 0, &zone, NULL)) {
        if (mu_record_encode (family, record, &bytes, NULL) ||
            mu_record_decode (family, again, bytes.data, bytes.size, 0, &zone, NULL))
            abort ();
        char *before = as_json (family, record), *after = as_json (family, again);
        if ((before && !after) || (before && strcmp (before, after)))
            abort ();
        free (before);
        free (after);
    }
    msgpack_sbuffer_destroy (&bytes);
    msgpack_zone_destroy (&zone);
    free (record);
    free (again);
    return 0;
}
