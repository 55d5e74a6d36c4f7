/* SPDX-License-Identifier: Apache-2.0 */
/* fnv.h - FNV-1a, 64 bits: a hash of short texts, and one that may be written down
 *
 * Its low bits are better than its high ones: who takes some of them mixes the others in. Of much
 * memory mix.h is faster; where somebody could look for two texts of one hash, take BLAKE2b. */
#ifndef MU_FNV_H
#define MU_FNV_H

#include <stddef.h>
#include <stdint.h>

#define MU_FNV_NONE UINT64_C (0xcbf29ce484222325)

/* Of what `hash` is of, and these behind it. */
static inline uint64_t mu_fnv_on (uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C (0x100000001b3);
    return hash;
}

static inline uint64_t mu_fnv (const void *bytes, size_t size)
{
    return mu_fnv_on (MU_FNV_NONE, bytes, size);
}

#endif
