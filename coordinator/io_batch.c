/* SPDX-License-Identifier: Apache-2.0 */
/* io_batch.c - records that become durable together, encoded
 *
 * Of records with one key only the newest is kept (io_store.c), so of those in one batch only the last is
 * worth writing, or sending to who follows. Workers that report several windows while a commit is on its
 * way make such rows: a table finds the one before. */
#include "io_batch.h"

#include "grow.h"
#include "mix.h"

#include <stdlib.h>
#include <string.h>

#define NEWEST_MIN 256u

struct store_batch *store_batch_create (void)
{
    struct store_batch *batch = calloc (1, sizeof *batch);
    if (batch)
        msgpack_sbuffer_init (&batch->bytes);
    return batch;
}

void store_batch_destroy (struct store_batch **batch_p)
{
    if (*batch_p) {
        msgpack_sbuffer_destroy (&(*batch_p)->bytes);
        free ((*batch_p)->entry);
        free ((*batch_p)->newest);
        free ((*batch_p)->job);
        free (*batch_p);
        *batch_p = NULL;
    }
}

void batch_clear (struct store_batch *batch)
{
    batch->count = batch->job_count = 0;
    batch->bytes.size = 0;
    if (batch->newest_count)
        memset (batch->newest, 0, ((size_t)batch->newest_mask + 1) * sizeof *batch->newest);
    batch->newest_count = 0;
}

uint32_t store_batch_count (const struct store_batch *batch) { return batch->count; }
size_t store_batch_bytes (const struct store_batch *batch) { return batch->bytes.size; }

/* --- what a record is ------------------------------------------------------------------------- */

void batch_describe (struct batch_entry *entry, const struct mu_journal *record)
{
    entry->type = record->type;
    entry->job = mu_record_number (&mu_journal_family, record, "job");
    entry->is_progress = key_of_record (record, &entry->key);
}

/* --- which is the newest ---------------------------------------------------------------------- */

/* Where the newest with this entry's key is filed, or belongs. */
static uint32_t *find_newest (struct store_batch *batch, const struct batch_entry *entry)
{
    uint64_t hash = mu_mix (0, (uint64_t)entry->key);
    for (uint32_t at = (uint32_t)hash & batch->newest_mask;; at = (at + 1) & batch->newest_mask) {
        uint32_t *slot = &batch->newest[at];
        const struct batch_entry *other = *slot ? &batch->entry[*slot - 1] : NULL;
        if (!other || other->key == entry->key)
            return slot;
    }
}

static int grow_newest (struct store_batch *batch)
{
    size_t size = batch->newest ? 2 * ((size_t)batch->newest_mask + 1) : NEWEST_MIN;
    uint32_t *slots = calloc (size, sizeof *slots);
    if (!slots)
        return -1;
    free (batch->newest);
    batch->newest = slots;
    batch->newest_mask = (uint32_t)size - 1;
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->entry[i].is_progress && !batch->entry[i].superseded)
            *find_newest (batch, &batch->entry[i]) = i + 1;
    return 0;
}

/* `entry` is the last of the batch, not yet counted. */
static int supersede (struct store_batch *batch, const struct batch_entry *entry)
{
    if ((!batch->newest || 2 * batch->newest_count > batch->newest_mask) && grow_newest (batch))
        return -1;
    uint32_t *slot = find_newest (batch, entry);
    if (*slot)
        batch->entry[*slot - 1].superseded = true;
    else
        batch->newest_count++;
    *slot = batch->count + 1;
    return 0;
}

/* --- in and out ------------------------------------------------------------------------------- */

static int grow_entries (struct store_batch *batch)
{
    uint32_t capacity = batch->capacity ? 2 * batch->capacity : 64;
    struct batch_entry *entry = realloc (batch->entry, capacity * sizeof *entry);
    if (!entry)
        return -1;
    batch->entry = entry;
    batch->capacity = capacity;
    return 0;
}

int store_batch_add (struct store_batch *batch, const struct mu_journal *record,
                     struct mu_error *error)
{
    if (batch->count == batch->capacity && grow_entries (batch))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    struct batch_entry *entry = &batch->entry[batch->count];
    *entry = (struct batch_entry){ .offset = batch->bytes.size };
    if (mu_record_encode (&mu_journal_family, record, &batch->bytes, error))
        return -1;
    entry->size = batch->bytes.size - entry->offset;
    batch_describe (entry, record);
    if (entry->is_progress && supersede (batch, entry)) {
        batch->bytes.size = entry->offset;
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    if (record->type == MU_JOURNAL_SUBMIT) {
        batch->job =
            core_grow (batch->job, batch->job_count, &batch->job_capacity, sizeof *batch->job);
        batch->job[batch->job_count++] = views_new_job_of (&record->submit);
    }
    batch->count++;
    return 0;
}

int store_batch_lines (const struct store_batch *batch, uint64_t first, uint64_t unix_ms,
                       int (*each) (void *arg, const struct store_line *line), void *arg)
{
    int rc = 0;
    for (uint32_t i = 0; i < batch->count && !rc; i++) {
        const struct batch_entry *entry = &batch->entry[i];
        struct store_line line = { .number = first + i,
                                   .unix_ms = unix_ms,
                                   .body = batch->bytes.data + entry->offset,
                                   .size = (uint32_t)entry->size };
        if (!entry->superseded)
            rc = each (arg, &line);
    }
    return rc;
}
