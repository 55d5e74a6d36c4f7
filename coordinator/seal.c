/* SPDX-License-Identifier: Apache-2.0 */
/* seal.c - the journal can be checked: a running hash over a job's records
 *
 * Each record of a job that is kept for good goes into its hash, `durable.seal`; records with a
 * field `seal` carry the hash along. Whoever reads the journal later hashes anew and compares, so a
 * record that was altered, lost or put in shows at the next seal. Nothing is decided by it here. */
#include "seal.h"

/* Of a record that is kept for good. */
static struct job *job_of (const struct coord *coord, const struct mu_shape *shape,
                           const struct mu_journal *record)
{
    if (!shape || mu_shape_is_latest (shape) || record->type == MU_JOURNAL_FOLDED)
        return NULL; /* FOLDED carries the hash on in a field of its own */
    return core_job (coord, mu_record_number (&mu_journal_family, record, "job"));
}

/* Where the record holds its seal; NULL: it has none. */
static void *seal_in (const struct mu_shape *shape, const struct mu_journal *record)
{
    const struct mu_field *seal = shape ? mu_shape_seal (shape) : NULL;
    uint8_t *body = (uint8_t *)(uintptr_t)record + mu_journal_family.body_offset;
    return seal ? body + seal->offset : NULL;
}

void seal_put (const struct coord *coord, struct mu_journal *record)
{
    const struct mu_shape *shape = mu_shape_find (&mu_journal_family, record->type);
    void *seal = seal_in (shape, record);
    const struct job *job = job_of (coord, shape, record);
    if (!seal || !job)
        return;
    uint64_t value = mu_record_hash (&mu_journal_family, record, job->durable.seal);
    memcpy (seal, &value, sizeof value);
}

bool coord_seal_is_broken (const struct coord *coord, const struct mu_journal *record)
{
    const struct mu_shape *shape = mu_shape_find (&mu_journal_family, record->type);
    const void *seal = seal_in (shape, record);
    const struct job *job = job_of (coord, shape, record);
    uint64_t value = 0;
    if (seal)
        memcpy (&value, seal, sizeof value);
    return value && job &&
           value != mu_record_hash (&mu_journal_family, record, job->durable.seal);
}

void seal_follow (struct coord *coord, const struct mu_journal *record)
{
    const struct mu_shape *shape = mu_shape_find (&mu_journal_family, record->type);
    struct job *job = job_of (coord, shape, record);
    if (job)
        job->durable.seal = mu_record_hash (&mu_journal_family, record, job->durable.seal);
}
