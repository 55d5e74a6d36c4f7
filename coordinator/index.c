/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - the hash table of the core. Memory running out is fatal. */
#include "index.h"

#include "fnv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DROPPED (NONE - 1)

static void grow (struct index *index)
{
    struct index old = *index;
    uint32_t live = 0;
    for (uint32_t i = 0; i < old.capacity; i++)
        live += old.slots[i].value < DROPPED;
    index->capacity = 64;
    while (index->capacity / 2 <= live)
        index->capacity *= 2;
    index->slots = malloc (index->capacity * sizeof *index->slots);
    assert (index->slots);
    for (uint32_t i = 0; i < index->capacity; i++)
        index->slots[i] = (struct index_slot){ .value = NONE };
    index->used = 0;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.slots[i].value < DROPPED)
            index_add (index, old.slots[i].hash, old.slots[i].value);
    free (old.slots);
}

void index_add (struct index *index, uint64_t hash, uint32_t value)
{
    assert (value < DROPPED);
    if (index->used * 3u >= index->capacity * 2u)
        grow (index);
    uint32_t at = (uint32_t)hash & (index->capacity - 1);
    while (index->slots[at].value != NONE)
        at = (at + 1) & (index->capacity - 1);
    index->slots[at] = (struct index_slot){ .hash = hash, .value = value };
    index->used++;
}

void index_drop (struct index *index, uint64_t hash, uint32_t value)
{
    if (!index->capacity)
        return;
    uint32_t at = (uint32_t)hash & (index->capacity - 1);
    for (; index->slots[at].value != NONE; at = (at + 1) & (index->capacity - 1))
        if (index->slots[at].value == value && index->slots[at].hash == hash) {
            index->slots[at].value = DROPPED;
            return;
        }
}

uint32_t index_next (const struct index *index, uint64_t hash, uint32_t *cursor)
{
    for (; *cursor < index->capacity; (*cursor)++) {
        uint32_t at = ((uint32_t)hash + *cursor) & (index->capacity - 1);
        const struct index_slot *slot = &index->slots[at];
        if (slot->value == NONE)
            return NONE;
        if (slot->value != DROPPED && slot->hash == hash) {
            (*cursor)++;
            return slot->value;
        }
    }
    return NONE;
}

void index_clear (struct index *index)
{
    free (index->slots);
    *index = (struct index){ 0 };
}

uint64_t index_hash (const void *data, size_t size)
{
    uint64_t hash = mu_fnv (data, size);
    hash ^= hash >> 32;
    return hash * UINT64_C (0x9e3779b97f4a7c15) ^ hash >> 29;
}

uint64_t index_hash_text (const char *text) { return index_hash (text, strlen (text)); }
