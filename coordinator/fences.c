/* SPDX-License-Identifier: Apache-2.0 */
/* fences.c - values by rank, then all of them */
#include "fences.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void free_blob (struct mu_blob *blob)
{
    free ((void *)(uintptr_t)blob->data);
    *blob = (struct mu_blob){ 0 };
}

/* At least one byte, so that an empty value is not none. */
static struct mu_blob copy (struct mu_blob blob)
{
    uint8_t *bytes = malloc ((size_t)blob.size + 1);
    assert (bytes);
    if (blob.size)
        memcpy (bytes, blob.data, blob.size);
    return (struct mu_blob){ bytes, blob.size };
}

static enum fence_outcome complete (struct fence *fence, uint32_t size)
{
    if (fence->bytes > FENCE_BYTES_MAX)
        return FENCE_TOO_LARGE;
    uint8_t *all = malloc (fence->bytes ? fence->bytes : 1);
    assert (all);
    uint32_t at = 0;
    for (uint32_t rank = 0; rank < size; rank++) {
        struct mu_blob *value = &fence->values[rank];
        if (value->size)
            memcpy (all + at, value->data, value->size);
        at += value->size;
        free_blob (value);
    }
    fence->all = (struct mu_blob){ all, at };
    return FENCE_COMPLETE;
}

enum fence_outcome fences_come (struct fences **fences_p, uint32_t size, uint32_t rank,
                                uint32_t number, struct mu_blob values)
{
    if (number >= FENCES_MAX || rank >= size)
        return FENCE_WAITS;
    if (!*fences_p) {
        *fences_p = calloc (1, sizeof **fences_p);
        assert (*fences_p);
        (*fences_p)->size = size;
    }
    struct fence *fence = &(*fences_p)->list[number];
    if (fence->all.data)
        return FENCE_AGAIN;
    if (!fence->values)
        fence->values = calloc (size, sizeof *fence->values);
    assert (fence->values);
    if (fence->values[rank].data)
        return FENCE_WAITS;
    fence->values[rank] = copy (values);
    fence->bytes += values.size;
    return ++fence->count == size ? complete (fence, size) : FENCE_WAITS;
}

struct mu_blob fences_all (const struct fences *fences, uint32_t number)
{
    return fences->list[number].all;
}

uint64_t fences_bytes (const struct fences *fences, uint32_t number)
{
    return fences->list[number].bytes;
}

bool fences_waits (const struct fences *fences, uint32_t rank)
{
    bool waits = false;
    for (uint32_t number = 0; fences && number < FENCES_MAX; number++) {
        const struct fence *fence = &fences->list[number];
        waits = waits || (fence->values && !fence->all.data && fence->values[rank].data);
    }
    return waits;
}

void fences_free (struct fences **fences_p)
{
    struct fences *fences = *fences_p;
    if (!fences)
        return;
    for (uint32_t number = 0; number < FENCES_MAX; number++) {
        struct fence *fence = &fences->list[number];
        for (uint32_t rank = 0; fence->values && rank < fences->size; rank++)
            free_blob (&fence->values[rank]);
        free (fence->values);
        free_blob (&fence->all);
    }
    free (fences);
    *fences_p = NULL;
}
