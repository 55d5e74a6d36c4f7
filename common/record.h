/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - structs to msgpack and back, by the tables that schemas/ generates
 *
 * A family is one schema (wire, journal); a shape is one of its messages or structs. One pair of
 * functions serves all of them, so that a limit is checked in one place, the same way, on the way
 * out and on the way in.
 *
 * Ownership: a decoded struct borrows its blobs from the bytes it was decoded from and its lists
 * from the zone; both must outlive it. An encoded struct is only read. Short texts lie in the
 * struct, NUL-terminated; they, and longer texts, are valid UTF-8 without NUL.
 *
 * Compatibility: another major version is refused with a sentence that names both; of a newer minor
 * version, unknown fields are skipped and unknown messages refused with TRY_AGAIN so that callers
 * can pass over them. */
#ifndef MU_RECORD_H
#define MU_RECORD_H

#include "error.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct msgpack_sbuffer;
struct msgpack_zone;
struct json_t;

/* Bytes that belong to somebody else. Not NUL-terminated. */
struct mu_blob {
    const void *data;
    uint32_t size;
};

enum mu_field_kind {
    MU_FIELD_U32,
    MU_FIELD_U64,
    MU_FIELD_I64,
    MU_FIELD_F64,
    MU_FIELD_BOOL,
    MU_FIELD_TEXT,     /* char[high + 1] in the struct */
    MU_FIELD_LONGTEXT, /* mu_blob of text */
    MU_FIELD_BYTES,    /* mu_blob */
    MU_FIELD_LIST,     /* pointer to items, and a count */
};

enum mu_role {
    MU_ROLE_NONE,
    MU_ROLE_WORKER,
    MU_ROLE_COORDINATOR,
    MU_ROLE_CLIENT,
    MU_ROLE_AGENT,
    MU_ROLE_TRAINER,
    MU_ROLE_PEER, /* a coordinator or a witness, to another */
};

struct mu_shape;

struct mu_field {
    uint32_t id;
    enum mu_field_kind kind;
    const char *name;
    size_t offset;
    bool optional;
    bool latest; /* of records equal in all fields so marked only the newest matters */
    bool seal;   /* holds a hash over records, and is left out of such hashes */
    uint64_t low, high; /* of a number; high alone for sizes and counts */
    const struct mu_shape *item;
    size_t count_offset;
};

struct mu_shape {
    uint32_t id; /* 0 for a struct that only lies in lists */
    const char *name;
    enum mu_role sender, receiver;
    size_t size;
    const struct mu_field *fields;
    uint32_t field_count;
};

struct mu_family {
    const char *name;
    uint32_t major, minor;
    const struct mu_shape *const *shapes; /* by id; NULL where there is none */
    uint32_t shape_count;
    size_t size;        /* of struct mu_<family>, which begins with { enum type; uint64_t term; } */
    size_t body_offset; /* of its union */
};

/* The shape of a message, or NULL. */
const struct mu_shape *mu_shape_find (const struct mu_family *family, uint32_t id);

/* The message's name for people, "?" if there is no such message. */
const char *mu_record_name (const struct mu_family *family, uint32_t id);

/* Append one struct mu_<family> as [major, minor, id, term, {…}]. A value that breaks its limit is
 * INTERNAL: the program should have known. On failure the buffer is as before. */
int mu_record_encode (const struct mu_family *family, const void *record,
                      struct msgpack_sbuffer *out, struct mu_error *error);

/* Read one struct mu_<family> that fills `size` bytes exactly. `senders` is a mask of 1u << role
 * that may say it (0: anybody). PROTOCOL, or TRY_AGAIN for a message of a newer minor version. */
int mu_record_decode (const struct mu_family *family, void *record, const void *data, size_t size,
                      uint32_t senders, struct msgpack_zone *zone, struct mu_error *error);

/* Fold a struct mu_<family> into a running hash: each field by its id and value, whatever bytes it is
 * written as. Left out are fields marked `seal`, which hold such a hash, and optional fields that
 * are zero or empty, so that a field added later changes no hash of before. Nothing is allocated. */
uint64_t mu_record_hash (const struct mu_family *family, const void *record, uint64_t hash);

/* The field that holds a seal, or NULL. */
const struct mu_field *mu_shape_seal (const struct mu_shape *shape);

/* The field of that name, or NULL. */
const struct mu_field *mu_shape_field (const struct mu_shape *shape, const char *name);

/* What a record's u64 field of that name says, as `job`; 0: it has none. */
uint64_t mu_record_number (const struct mu_family *family, const void *record, const char *name);

/* And its text field's, as `worker`; "": it has none. It lies in the record. */
const char *mu_record_text (const struct mu_family *family, const void *record, const char *name);

/* Is it one of which only the newest of each kind is kept? */
bool mu_shape_is_latest (const struct mu_shape *shape);

/* The record as a JSON object, field by field (bytes as a count); NULL when memory ran out. `shape`
 * describes the struct at `body`. The caller owns the result. */
struct json_t *mu_shape_to_json (const struct mu_shape *shape, const void *body);

#endif
