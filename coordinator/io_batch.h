/* SPDX-License-Identifier: Apache-2.0 */
/* io_batch.h - the inside of a store_batch, for io_store.c alone; the rest is in io_store.h */
#ifndef COORD_IO_BATCH_H
#define COORD_IO_BATCH_H

#include "io_key.h"
#include "io_store.h"
#include "io_views.h"

#include <msgpack.h>

struct batch_entry {
    size_t offset, size;
    uint32_t type;
    uint64_t job;
    int64_t key;      /* equal for records of which only the newest matters (io_key.h) */
    bool is_progress; /* it has such a key */
    bool superseded;  /* by a later one in the batch: it is not worth writing */
};

struct store_batch {
    msgpack_sbuffer bytes;
    struct batch_entry *entry;
    uint32_t count, capacity;
    uint32_t *newest; /* of each key, open addressing: an index of `entry` plus 1; 0 is empty */
    uint32_t newest_mask, newest_count;
    struct views_new_job *job; /* of each SUBMIT */
    uint32_t job_count, job_capacity;
};

/* All but where it lies. */
void batch_describe (struct batch_entry *entry, const struct mu_journal *record);

void batch_clear (struct store_batch *batch);

#endif
