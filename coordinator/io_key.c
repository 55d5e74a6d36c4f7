/* SPDX-License-Identifier: Apache-2.0 */
/* io_key.c - a job's number, its generation's, a kind of record and one number more, packed where they fit
 *
 * In this order from the highest bit: what one generation writes lies in one place, and a commit changes few
 * pages. */
#include "io_key.h"

#include "mix.h"

#include <stdlib.h>
#include <string.h>

#define JOB_BITS        26
#define GENERATION_BITS 19
#define KIND_BITS       2
#define LAST_BITS       16 /* a rank, or who was compared */

/* One more of these, with its own number, can be added; what is not among them has a key that is negative. */
static const uint32_t kind_of_type[1 << KIND_BITS] = { MU_JOURNAL_LEASE, MU_JOURNAL_TRAINED,
                                                       MU_JOURNAL_AGREED };

static bool fits (uint64_t number, unsigned bits) { return number >> bits == 0; }

int64_t key_of (uint32_t type, const uint64_t part[KEY_PARTS])
{
    uint64_t kind = 0;
    while (kind < 1 << KIND_BITS && kind_of_type[kind] != type)
        kind++;
    if (fits (part[0], JOB_BITS) && fits (part[1], GENERATION_BITS) && fits (kind, KIND_BITS) &&
        fits (part[2], LAST_BITS))
        return (int64_t)(((part[0] << GENERATION_BITS | part[1]) << KIND_BITS | kind) << LAST_BITS |
                         part[2]);
    uint64_t hash = type;
    for (int i = 0; i < KEY_PARTS; i++)
        hash = mu_mix (hash, part[i]);
    return (int64_t)(hash >> 1) - INT64_MAX - 1;
}

bool key_range (uint64_t job, int64_t *first, int64_t *last)
{
    const uint64_t rest = GENERATION_BITS + KIND_BITS + LAST_BITS;
    if (!fits (job, JOB_BITS))
        return false;
    *first = (int64_t)(job << rest);
    *last = *first + (INT64_C (1) << rest) - 1;
    return true;
}

bool key_of_record (const struct mu_journal *record, int64_t *key)
{
    const struct mu_shape *shape = mu_shape_find (&mu_journal_family, record->type);
    const uint8_t *body = (const uint8_t *)record + mu_journal_family.body_offset;
    uint64_t part[KEY_PARTS] = { 0 };
    uint32_t parts = 0;
    *key = 0;
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct mu_field *field = &shape->fields[i];
        if (!field->latest)
            continue;
        if (parts == KEY_PARTS)
            abort (); /* journal.schema marks more than that */
        uint32_t narrow = 0;
        uint64_t *at = &part[parts++];
        if (field->kind == MU_FIELD_U32)
            memcpy (&narrow, body + field->offset, sizeof narrow), *at = narrow;
        else
            memcpy (at, body + field->offset, sizeof *at);
    }
    if (!parts)
        return false;
    *key = key_of (record->type, part);
    return true;
}

static void progress_key (sqlite3_context *context, int count, sqlite3_value **value)
{
    uint64_t part[KEY_PARTS];
    for (int i = 0; i < count - 1; i++)
        part[i] = (uint64_t)sqlite3_value_int64 (value[i + 1]);
    sqlite3_result_int64 (context, key_of ((uint32_t)sqlite3_value_int64 (value[0]), part));
}

int key_register (sqlite3 *database)
{
    return sqlite3_create_function (database, "progress_key", 1 + KEY_PARTS,
                                    SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, progress_key, NULL,
                                    NULL);
}
