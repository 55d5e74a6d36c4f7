/* SPDX-License-Identifier: Apache-2.0 */
/* record_hash.c - a running hash of records, by what they say and not by their bytes
 *
 * It tells an altered record from the one that was stored; it keeps no secret and stops nobody who
 * hashes anew. Numbers go in whole, texts and bytes by eights with their length behind, so that no
 * two different records are the same row of numbers. */
#include "record.h"

#include <endian.h>
#include <string.h>

/* The finalizer of SplitMix64 (Guy Steele, Doug Lea, Christine Flood; public domain). */
static void mix (uint64_t *hash, uint64_t value)
{
    uint64_t x = *hash + value + UINT64_C (0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    *hash = x ^ x >> 31;
}

static void mix_bytes (uint64_t *hash, const uint8_t *data, size_t size)
{
    size_t at = 0;
    uint64_t word = 0; /* little-endian, the last with zeros behind */
    for (; at + sizeof word <= size; at += sizeof word) {
        memcpy (&word, data + at, sizeof word);
        mix (hash, le64toh (word));
    }
    if (at < size) {
        word = 0;
        memcpy (&word, data + at, size - at);
        mix (hash, le64toh (word));
    }
    mix (hash, size);
}

/* A field as a number: its value, or how much there is of it. */
static uint64_t measure (const struct mu_field *field, const uint8_t *body)
{
    const uint8_t *at = body + field->offset;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    bool truth = false;
    struct mu_blob blob;
    switch (field->kind) {
    case MU_FIELD_U32: memcpy (&u32, at, sizeof u32); return u32;
    case MU_FIELD_U64:
    case MU_FIELD_I64:
    case MU_FIELD_F64: memcpy (&u64, at, sizeof u64); return u64;
    case MU_FIELD_BOOL: memcpy (&truth, at, sizeof truth); return truth;
    case MU_FIELD_TEXT: return strnlen ((const char *)at, field->high + 1);
    case MU_FIELD_LONGTEXT:
    case MU_FIELD_BYTES: memcpy (&blob, at, sizeof blob); return blob.size;
    case MU_FIELD_LIST: memcpy (&u32, body + field->count_offset, sizeof u32); return u32;
    }
    return 0;
}

static void mix_shape (uint64_t *hash, const struct mu_shape *shape, const uint8_t *body);

static void mix_list (uint64_t *hash, const struct mu_field *field, const uint8_t *body)
{
    const uint8_t *items;
    uint64_t count = measure (field, body);
    memcpy (&items, body + field->offset, sizeof items);
    for (uint64_t i = 0; i < count; i++)
        mix_shape (hash, field->item, items + i * field->item->size);
}

static void mix_field (uint64_t *hash, const struct mu_field *field, const uint8_t *body)
{
    struct mu_blob blob;
    uint64_t size = measure (field, body);
    mix (hash, field->id);
    mix (hash, size);
    if (field->kind == MU_FIELD_TEXT)
        mix_bytes (hash, body + field->offset, size);
    if (field->kind == MU_FIELD_LONGTEXT || field->kind == MU_FIELD_BYTES) {
        memcpy (&blob, body + field->offset, sizeof blob);
        mix_bytes (hash, blob.data, blob.size);
    }
    if (field->kind == MU_FIELD_LIST)
        mix_list (hash, field, body);
}

static void mix_shape (uint64_t *hash, const struct mu_shape *shape, const uint8_t *body)
{
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct mu_field *field = &shape->fields[i];
        if (!field->seal && (!field->optional || measure (field, body)))
            mix_field (hash, field, body);
    }
    mix (hash, UINT64_MAX); /* its end */
}

uint64_t mu_record_hash (const struct mu_family *family, const void *record, uint64_t hash)
{
    uint32_t id;
    memcpy (&id, record, sizeof id);
    const struct mu_shape *shape = id < family->shape_count ? family->shapes[id] : NULL;
    mix (&hash, id);
    if (shape)
        mix_shape (&hash, shape, (const uint8_t *)record + family->body_offset);
    return hash;
}

const struct mu_field *mu_shape_seal (const struct mu_shape *shape)
{
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (shape->fields[i].seal)
            return &shape->fields[i];
    return NULL;
}

const struct mu_field *mu_shape_field (const struct mu_shape *shape, const char *name)
{
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (*shape->fields[i].name == *name && !strcmp (shape->fields[i].name, name))
            return &shape->fields[i];
    return NULL;
}

/* Where a record's field of that name and kind lies, or NULL. */
static const void *find_value (const struct mu_family *family, const void *record, const char *name,
                               enum mu_field_kind kind)
{
    uint32_t id;
    memcpy (&id, record, sizeof id);
    const struct mu_shape *shape = id < family->shape_count ? family->shapes[id] : NULL;
    const struct mu_field *field = shape ? mu_shape_field (shape, name) : NULL;
    return field && field->kind == kind
               ? (const uint8_t *)record + family->body_offset + field->offset
               : NULL;
}

uint64_t mu_record_number (const struct mu_family *family, const void *record, const char *name)
{
    uint64_t number = 0;
    const void *value = find_value (family, record, name, MU_FIELD_U64);
    if (value)
        memcpy (&number, value, sizeof number);
    return number;
}

const char *mu_record_text (const struct mu_family *family, const void *record, const char *name)
{
    const char *text = find_value (family, record, name, MU_FIELD_TEXT);
    return text ? text : "";
}

bool mu_shape_is_latest (const struct mu_shape *shape)
{
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (shape->fields[i].latest)
            return true;
    return false;
}
