/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - from a hash to the numbers filed under it
 *
 * Open addressing, linear probing, a tombstone for what was dropped. It stores no keys: the caller
 * compares what it finds, so one table serves names, peers and idempotency keys. */
#ifndef INDEX_H
#define INDEX_H

#include <stddef.h>
#include <stdint.h>

#define NONE UINT32_MAX

struct index_slot {
    uint64_t hash;
    uint32_t value; /* NONE: never used; NONE - 1: dropped */
};

struct index {
    struct index_slot *slots;
    uint32_t capacity, used; /* used counts tombstones too */
};

void index_add (struct index *index, uint64_t hash, uint32_t value);
void index_drop (struct index *index, uint64_t hash, uint32_t value);
void index_clear (struct index *index);

/* The next number filed under the hash, or NONE. Start with *cursor = 0. */
uint32_t index_next (const struct index *index, uint64_t hash, uint32_t *cursor);

/* FNV-1a with a final mix (Fowler, Noll, Vo). */
uint64_t index_hash (const void *data, size_t size);
uint64_t index_hash_text (const char *text);

#endif
