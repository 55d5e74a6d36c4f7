/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - walks the field tables, with msgpack-c doing the bytes
 *
 * Both directions check the same limits through in_limits (). Decoding never trusts a count: a
 * list's items are allocated from the zone only after its length passed the limit, and msgpack-c
 * has by then parsed the whole message, so a count cannot exceed what the bytes hold.
 */
#include "record.h"

#include <jansson.h>
#include <msgpack.h>
#include <string.h>

#define ENVELOPE_FIELDS 5u

const struct mu_shape *mu_shape_find (const struct mu_family *family, uint32_t id)
{
    return id < family->shape_count ? family->shapes[id] : NULL;
}

const char *mu_record_name (const struct mu_family *family, uint32_t id)
{
    const struct mu_shape *shape = mu_shape_find (family, id);
    return shape ? shape->name : "?";
}

/* --- limits, the same both ways --------------------------------------------------------------- */

static int limit_error (const struct mu_shape *shape, const struct mu_field *field,
                        const char *what, uint64_t value, struct mu_error *error)
{
    return mu_fail (error, MU_PROTOCOL, "%s.%s: %s %llu is outside %llu to %llu", shape->name,
                    field->name, what, (unsigned long long)value, (unsigned long long)field->low,
                    (unsigned long long)field->high);
}

static int in_limits (const struct mu_shape *shape, const struct mu_field *field, uint64_t value,
                      struct mu_error *error)
{
    if (value >= field->low && value <= field->high)
        return 0;
    return limit_error (shape, field, "value", value, error);
}

static int text_in_limits (const struct mu_shape *shape, const struct mu_field *field,
                           const char *text, size_t size, struct mu_error *error)
{
    if (size > field->high)
        return limit_error (shape, field, "length", size, error);
    if (field->kind != MU_FIELD_BYTES && !mu_text_valid (text, size))
        return mu_fail (error, MU_PROTOCOL, "%s.%s: the text is not UTF-8", shape->name,
                        field->name);
    return 0;
}

/* --- encode ----------------------------------------------------------------------------------- */

/* Where the bytes go. Once memory has run out nothing more is taken: the caller asks once, at the
 * end, and not behind each number. */
struct sink {
    msgpack_sbuffer *out;
    bool failed;
};

__attribute__ ((noinline)) static void write_long (struct sink *sink, const char *bytes,
                                                   size_t size)
{
    sink->failed = sink->failed || msgpack_sbuffer_write (sink->out, bytes, size);
}

/* Nearly all that comes is a number, or what precedes a text; a function that knows no more than that is twice
 * as fast. */
#define NUMBER_MAX 9u
static int write_sink (void *data, const char *bytes, size_t size)
{
    struct sink *sink = data;
    msgpack_sbuffer *out = sink->out;
    if (size > NUMBER_MAX || out->alloc - out->size < NUMBER_MAX || sink->failed) {
        write_long (sink, bytes, size);
        return 0;
    }
    char *to = out->data + out->size;
    out->size += size;
    while (size--)
        *to++ = *bytes++;
    return 0;
}

static int encode_shape (const struct mu_shape *shape, const uint8_t *body, msgpack_packer *out,
                         struct mu_error *error);

static int encode_list (const struct mu_shape *shape, const struct mu_field *field,
                        const uint8_t *body, msgpack_packer *out, struct mu_error *error)
{
    const uint8_t *items;
    uint32_t count;
    memcpy (&items, body + field->offset, sizeof items);
    memcpy (&count, body + field->count_offset, sizeof count);
    if (in_limits (shape, field, count, error))
        return -1;
    msgpack_pack_array (out, count);
    for (uint32_t i = 0; i < count; i++)
        if (encode_shape (field->item, items + i * field->item->size, out, error))
            return -1;
    return 0;
}

static int encode_text (const struct mu_shape *shape, const struct mu_field *field,
                        const uint8_t *body, msgpack_packer *out, struct mu_error *error)
{
    struct mu_blob blob;
    if (field->kind == MU_FIELD_TEXT) {
        const char *text = (const char *)(body + field->offset);
        blob = (struct mu_blob){ text, (uint32_t)strnlen (text, field->high + 1) };
    } else {
        memcpy (&blob, body + field->offset, sizeof blob);
    }
    const char *data = blob.size ? blob.data : "";
    if (text_in_limits (shape, field, data, blob.size, error))
        return -1;
    if (field->kind == MU_FIELD_BYTES)
        msgpack_pack_bin (out, blob.size), msgpack_pack_bin_body (out, data, blob.size);
    else
        msgpack_pack_str (out, blob.size), msgpack_pack_str_body (out, data, blob.size);
    return 0;
}

static int encode_field (const struct mu_shape *shape, const struct mu_field *field,
                         const uint8_t *body, msgpack_packer *out, struct mu_error *error)
{
    const uint8_t *at = body + field->offset;
    uint32_t u32;
    uint64_t u64;
    int64_t i64;
    double f64;
    bool truth;
    switch (field->kind) {
    case MU_FIELD_U32:
        memcpy (&u32, at, sizeof u32);
        msgpack_pack_uint32 (out, u32);
        return in_limits (shape, field, u32, error);
    case MU_FIELD_U64:
        memcpy (&u64, at, sizeof u64);
        msgpack_pack_uint64 (out, u64);
        return in_limits (shape, field, u64, error);
    case MU_FIELD_I64: memcpy (&i64, at, sizeof i64); return msgpack_pack_int64 (out, i64);
    case MU_FIELD_F64: memcpy (&f64, at, sizeof f64); return msgpack_pack_double (out, f64);
    case MU_FIELD_BOOL:
        memcpy (&truth, at, sizeof truth);
        return truth ? msgpack_pack_true (out) : msgpack_pack_false (out);
    case MU_FIELD_TEXT:
    case MU_FIELD_LONGTEXT:
    case MU_FIELD_BYTES: return encode_text (shape, field, body, out, error);
    case MU_FIELD_LIST: return encode_list (shape, field, body, out, error);
    }
    return mu_fail (error, MU_INTERNAL, "%s.%s: unknown kind of field", shape->name, field->name);
}

static int encode_shape (const struct mu_shape *shape, const uint8_t *body, msgpack_packer *out,
                         struct mu_error *error)
{
    msgpack_pack_map (out, shape->field_count);
    for (uint32_t i = 0; i < shape->field_count; i++) {
        msgpack_pack_uint32 (out, shape->fields[i].id);
        if (encode_field (shape, &shape->fields[i], body, out, error))
            return -1;
    }
    return 0;
}

int mu_record_encode (const struct mu_family *family, const void *record,
                      struct msgpack_sbuffer *out, struct mu_error *error)
{
    const uint8_t *bytes = record;
    uint32_t id;
    uint64_t term;
    memcpy (&id, bytes, sizeof id);
    memcpy (&term, bytes + sizeof (uint64_t), sizeof term);
    const struct mu_shape *shape = mu_shape_find (family, id);
    if (!shape)
        return mu_fail (error, MU_INTERNAL, "%s: there is no message %u", family->name, id);
    size_t before = out->size;
    struct sink sink = { .out = out };
    msgpack_packer packer;
    msgpack_packer_init (&packer, &sink, write_sink);
    msgpack_pack_array (&packer, ENVELOPE_FIELDS);
    msgpack_pack_uint32 (&packer, family->major);
    msgpack_pack_uint32 (&packer, family->minor);
    msgpack_pack_uint32 (&packer, id);
    msgpack_pack_uint64 (&packer, term);
    int rc = encode_shape (shape, bytes + family->body_offset, &packer, error);
    if (!rc && sink.failed)
        rc = mu_fail (error, MU_UNAVAILABLE, "out of memory while writing %s", shape->name);
    if (rc)
        out->size = before;
    return rc ? -1 : 0;
}

/* --- decode ----------------------------------------------------------------------------------- */

static int decode_shape (const struct mu_shape *shape, const msgpack_object *map, uint8_t *body,
                         msgpack_zone *zone, struct mu_error *error);

static int kind_error (const struct mu_shape *shape, const struct mu_field *field,
                       struct mu_error *error)
{
    static const char *const wanted[] = { "a whole number", "a whole number", "a whole number",
                                          "a number",       "true or false",  "a text",
                                          "a text",         "bytes",          "a list" };
    return mu_fail (error, MU_PROTOCOL, "%s.%s: this is not %s", shape->name, field->name,
                    wanted[field->kind]);
}

static int decode_list (const struct mu_shape *shape, const struct mu_field *field,
                        const msgpack_object *value, uint8_t *body, msgpack_zone *zone,
                        struct mu_error *error)
{
    if (value->type != MSGPACK_OBJECT_ARRAY)
        return kind_error (shape, field, error);
    uint32_t count = value->via.array.size;
    if (in_limits (shape, field, count, error))
        return -1;
    uint8_t *items = NULL;
    if (count) {
        size_t size = count * field->item->size;
        items = msgpack_zone_malloc (zone, size);
        if (!items)
            return mu_fail (error, MU_UNAVAILABLE, "out of memory while reading %s", shape->name);
        memset (items, 0, size);
    }
    for (uint32_t i = 0; i < count; i++)
        if (decode_shape (field->item, &value->via.array.ptr[i], items + i * field->item->size,
                          zone, error))
            return -1;
    memcpy (body + field->offset, &items, sizeof items);
    memcpy (body + field->count_offset, &count, sizeof count);
    return 0;
}

static int decode_text (const struct mu_shape *shape, const struct mu_field *field,
                        const msgpack_object *value, uint8_t *at, struct mu_error *error)
{
    struct mu_blob blob;
    if (field->kind == MU_FIELD_BYTES && value->type == MSGPACK_OBJECT_BIN)
        blob = (struct mu_blob){ value->via.bin.ptr, value->via.bin.size };
    else if (field->kind != MU_FIELD_BYTES && value->type == MSGPACK_OBJECT_STR)
        blob = (struct mu_blob){ value->via.str.ptr, value->via.str.size };
    else
        return kind_error (shape, field, error);
    if (text_in_limits (shape, field, blob.data, blob.size, error))
        return -1;
    if (field->kind != MU_FIELD_TEXT)
        memcpy (at, &blob, sizeof blob);
    else if (blob.size)
        memcpy (at, blob.data, blob.size); /* the struct was zeroed: a NUL follows */
    return 0;
}

static int decode_number (const struct mu_shape *shape, const struct mu_field *field,
                          const msgpack_object *value, uint8_t *at, struct mu_error *error)
{
    if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return kind_error (shape, field, error);
    uint64_t u64 = value->via.u64;
    if (in_limits (shape, field, u64, error))
        return -1;
    uint32_t u32 = (uint32_t)u64;
    if (field->kind == MU_FIELD_U32)
        memcpy (at, &u32, sizeof u32);
    else
        memcpy (at, &u64, sizeof u64);
    return 0;
}

static int decode_i64 (const struct mu_shape *shape, const struct mu_field *field,
                       const msgpack_object *value, uint8_t *at, struct mu_error *error)
{
    bool positive = value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= INT64_MAX;
    if (!positive && value->type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return kind_error (shape, field, error);
    int64_t i64 = positive ? (int64_t)value->via.u64 : value->via.i64;
    memcpy (at, &i64, sizeof i64);
    return 0;
}

static int decode_field (const struct mu_shape *shape, const struct mu_field *field,
                         const msgpack_object *value, uint8_t *body, msgpack_zone *zone,
                         struct mu_error *error)
{
    uint8_t *at = body + field->offset;
    switch (field->kind) {
    case MU_FIELD_U32:
    case MU_FIELD_U64: return decode_number (shape, field, value, at, error);
    case MU_FIELD_I64: return decode_i64 (shape, field, value, at, error);
    case MU_FIELD_F64:
        if (value->type != MSGPACK_OBJECT_FLOAT64 && value->type != MSGPACK_OBJECT_FLOAT32)
            return kind_error (shape, field, error);
        memcpy (at, &value->via.f64, sizeof (double));
        return 0;
    case MU_FIELD_BOOL:
        if (value->type != MSGPACK_OBJECT_BOOLEAN)
            return kind_error (shape, field, error);
        memcpy (at, &value->via.boolean, sizeof (bool));
        return 0;
    case MU_FIELD_TEXT:
    case MU_FIELD_LONGTEXT:
    case MU_FIELD_BYTES: return decode_text (shape, field, value, at, error);
    case MU_FIELD_LIST: return decode_list (shape, field, value, body, zone, error);
    }
    return mu_fail (error, MU_INTERNAL, "%s.%s: unknown kind of field", shape->name, field->name);
}

static int check_all_there (const struct mu_shape *shape, uint64_t seen, struct mu_error *error)
{
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (!(seen >> i & 1) && !shape->fields[i].optional)
            return mu_fail (error, MU_PROTOCOL, "%s.%s is missing", shape->name,
                            shape->fields[i].name);
    return 0;
}

/* The index of a field, `near` where they come in the table's order; field_count: there is none. */
static uint32_t find_field (const struct mu_shape *shape, uint64_t id, uint32_t near)
{
    if (near < shape->field_count && shape->fields[near].id == id)
        return near;
    uint32_t i = 0;
    while (i < shape->field_count && shape->fields[i].id != id)
        i++;
    return i;
}

static int decode_shape (const struct mu_shape *shape, const msgpack_object *map, uint8_t *body,
                         msgpack_zone *zone, struct mu_error *error)
{
    if (map->type != MSGPACK_OBJECT_MAP)
        return mu_fail (error, MU_PROTOCOL, "%s: its fields are not a map", shape->name);
    uint64_t seen = 0; /* the generator keeps fields below 64 */
    uint32_t next = 0;
    for (uint32_t entry = 0; entry < map->via.map.size; entry++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[entry];
        if (kv->key.type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return mu_fail (error, MU_PROTOCOL, "%s: a field id is not a number", shape->name);
        uint32_t i = find_field (shape, kv->key.via.u64, next);
        if (i == shape->field_count)
            continue; /* of a newer version */
        if (seen >> i & 1)
            return mu_fail (error, MU_PROTOCOL, "%s.%s is there twice", shape->name,
                            shape->fields[i].name);
        if (decode_field (shape, &shape->fields[i], &kv->val, body, zone, error))
            return -1;
        seen |= UINT64_C (1) << i;
        next = i + 1;
    }
    return check_all_there (shape, seen, error);
}

/* What the head byte of a msgpack object says: bytes of its own that hold a number, how the number
 * counts, and bytes that follow in any case. Format:
 * https://github.com/msgpack/msgpack/blob/master/spec.md */
struct head {
    uint8_t number_bytes;   /* big-endian, right behind the head */
    uint8_t objects, bytes; /* each unit of the number is so many objects, or bytes */
    uint8_t fixed_bytes;
};

static struct head read_head (uint8_t byte, uint64_t *number)
{
    static const struct head table[32] = {
        [0xc4 - 0xc0] = { 1, 0, 1, 0 },  [0xc5 - 0xc0] = { 2, 0, 1, 0 },
        [0xc6 - 0xc0] = { 4, 0, 1, 0 },  [0xc7 - 0xc0] = { 1, 0, 1, 1 },
        [0xc8 - 0xc0] = { 2, 0, 1, 1 },  [0xc9 - 0xc0] = { 4, 0, 1, 1 },
        [0xca - 0xc0] = { 0, 0, 0, 4 },  [0xcb - 0xc0] = { 0, 0, 0, 8 },
        [0xcc - 0xc0] = { 0, 0, 0, 1 },  [0xcd - 0xc0] = { 0, 0, 0, 2 },
        [0xce - 0xc0] = { 0, 0, 0, 4 },  [0xcf - 0xc0] = { 0, 0, 0, 8 },
        [0xd0 - 0xc0] = { 0, 0, 0, 1 },  [0xd1 - 0xc0] = { 0, 0, 0, 2 },
        [0xd2 - 0xc0] = { 0, 0, 0, 4 },  [0xd3 - 0xc0] = { 0, 0, 0, 8 },
        [0xd4 - 0xc0] = { 0, 0, 0, 2 },  [0xd5 - 0xc0] = { 0, 0, 0, 3 },
        [0xd6 - 0xc0] = { 0, 0, 0, 5 },  [0xd7 - 0xc0] = { 0, 0, 0, 9 },
        [0xd8 - 0xc0] = { 0, 0, 0, 17 }, [0xd9 - 0xc0] = { 1, 0, 1, 0 },
        [0xda - 0xc0] = { 2, 0, 1, 0 },  [0xdb - 0xc0] = { 4, 0, 1, 0 },
        [0xdc - 0xc0] = { 2, 1, 0, 0 },  [0xdd - 0xc0] = { 4, 1, 0, 0 },
        [0xde - 0xc0] = { 2, 2, 0, 0 },  [0xdf - 0xc0] = { 4, 2, 0, 0 },
    };
    *number = byte & 0x0f;
    if ((byte & 0xf0) == 0x80)
        return (struct head){ .objects = 2 };
    if ((byte & 0xf0) == 0x90)
        return (struct head){ .objects = 1 };
    if ((byte & 0xe0) == 0xa0) {
        *number = byte & 0x1f;
        return (struct head){ .bytes = 1 };
    }
    *number = 0;
    return byte >= 0xc0 && byte < 0xe0 ? table[byte - 0xc0] : (struct head){ 0 };
}

/* Is there at least one byte for each object that some array or map promises? */
static bool counts_fit (const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    uint64_t objects = 1; /* still to come */
    while (objects) {
        if (objects > (uint64_t)(end - at))
            return false;
        uint64_t number;
        struct head head = read_head (*at++, &number);
        objects--;
        if ((size_t)(end - at) < head.number_bytes)
            return false;
        for (uint8_t i = 0; i < head.number_bytes; i++)
            number = number << 8 | *at++;
        uint64_t bytes = number * head.bytes + head.fixed_bytes; /* below 2^33: cannot wrap */
        if (bytes > (uint64_t)(end - at))
            return false;
        at += bytes;
        objects += number * head.objects;
    }
    return at == end;
}

static int read_envelope (const struct mu_family *family, const msgpack_object *object,
                          uint32_t senders, uint8_t *record, const struct mu_shape **shape,
                          struct mu_error *error)
{
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size < ENVELOPE_FIELDS)
        return mu_fail (error, MU_PROTOCOL, "%s: this is no message", family->name);
    const msgpack_object *at = object->via.array.ptr;
    for (uint32_t i = 0; i < ENVELOPE_FIELDS - 1; i++)
        if (at[i].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return mu_fail (error, MU_PROTOCOL, "%s: this is no message", family->name);
    if (at[0].via.u64 != family->major)
        return mu_fail (error, MU_PROTOCOL,
                        "the other side speaks %s version %llu, this side %u: run the same major "
                        "version of Muster on both",
                        family->name, (unsigned long long)at[0].via.u64, family->major);
    uint32_t id = at[2].via.u64 < family->shape_count ? (uint32_t)at[2].via.u64 : 0;
    *shape = mu_shape_find (family, id);
    if (!*shape)
        return mu_fail (error, at[1].via.u64 > family->minor ? MU_TRY_AGAIN : MU_PROTOCOL,
                        "%s: message %llu is unknown to this version", family->name,
                        (unsigned long long)at[2].via.u64);
    if (senders && !(senders >> (*shape)->sender & 1))
        return mu_fail (error, MU_PROTOCOL, "%s does not come from this side", (*shape)->name);
    memcpy (record, &id, sizeof id);
    memcpy (record + sizeof (uint64_t), &at[3].via.u64, sizeof (uint64_t));
    return 0;
}

int mu_record_decode (const struct mu_family *family, void *record, const void *data, size_t size,
                      uint32_t senders, struct msgpack_zone *zone, struct mu_error *error)
{
    memset (record, 0, family->size);
    msgpack_object object;
    size_t used = 0;
    if (!counts_fit (data, size) ||
        msgpack_unpack (data, size, &used, zone, &object) != MSGPACK_UNPACK_SUCCESS || used != size)
        return mu_fail (error, MU_PROTOCOL, "%s: %zu bytes that are not one msgpack object",
                        family->name, size);
    const struct mu_shape *shape = NULL;
    if (read_envelope (family, &object, senders, record, &shape, error))
        return -1;
    return decode_shape (shape, &object.via.array.ptr[ENVELOPE_FIELDS - 1],
                         (uint8_t *)record + family->body_offset, zone, error);
}

/* --- for people ------------------------------------------------------------------------------- */

static json_t *list_to_json (const struct mu_field *field, const uint8_t *body)
{
    const uint8_t *items;
    uint32_t count;
    memcpy (&items, body + field->offset, sizeof items);
    memcpy (&count, body + field->count_offset, sizeof count);
    json_t *array = json_array ();
    for (uint32_t i = 0; array && i < count; i++)
        json_array_append_new (array,
                               mu_shape_to_json (field->item, items + i * field->item->size));
    return array;
}

static json_t *field_to_json (const struct mu_field *field, const uint8_t *body)
{
    const uint8_t *at = body + field->offset;
    uint32_t u32;
    uint64_t u64;
    double f64;
    bool truth;
    struct mu_blob blob;
    switch (field->kind) {
    case MU_FIELD_U32: memcpy (&u32, at, sizeof u32); return json_integer (u32);
    case MU_FIELD_U64:
    case MU_FIELD_I64: memcpy (&u64, at, sizeof u64); return json_integer ((json_int_t)u64);
    case MU_FIELD_F64: memcpy (&f64, at, sizeof f64); return json_real (f64);
    case MU_FIELD_BOOL: memcpy (&truth, at, sizeof truth); return json_boolean (truth);
    case MU_FIELD_TEXT: return json_string ((const char *)at);
    case MU_FIELD_LONGTEXT:
        memcpy (&blob, at, sizeof blob);
        return json_stringn (blob.size ? blob.data : "", blob.size);
    case MU_FIELD_BYTES: memcpy (&blob, at, sizeof blob); return json_integer (blob.size);
    case MU_FIELD_LIST: return list_to_json (field, body);
    }
    return NULL;
}

json_t *mu_shape_to_json (const struct mu_shape *shape, const void *body)
{
    json_t *object = json_object ();
    for (uint32_t i = 0; object && i < shape->field_count; i++) {
        json_t *value = field_to_json (&shape->fields[i], body);
        if (!value) /* a number JSON cannot say: NaN, infinity */
            value = json_null ();
        json_object_set_new (object, shape->fields[i].name, value);
    }
    return object;
}
