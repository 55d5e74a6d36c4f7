/* SPDX-License-Identifier: Apache-2.0 */
/* folds.c - jobs that have ended, folded as compaction folds them, leave the same core
 *
 * One core replays the whole journal; another replays SUBMIT and SIZED of each ended job and then what
 * the first makes of it, through its bytes. Of a job that was forgotten it replays nothing but that, where the job
 * was submitted. Their images are equal, whatever happened to the job. */
#include "sim.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

struct fold {
    size_t offset, size; /* size 0: the job has not ended */
    uint64_t last;       /* record of the job */
};

static msgpack_sbuffer bytes;

static bool stays (const struct mu_journal *record)
{
    return record->type == MU_JOURNAL_SUBMIT || record->type == MU_JOURNAL_SIZED;
}

static void must_apply (struct coord *core, const struct mu_journal *record)
{
    struct mu_error error = { .text = "" };
    if (coord_apply (core, record, &error))
        sim_fail (__FILE__, __LINE__, "a folded journal can be replayed", "%s", error.text);
}

static struct fold *fold_all (struct coord *core, uint64_t count)
{
    struct fold *folds = calloc ((size_t)coord_job_count (core) + 1, sizeof *folds);
    struct mu_error error;
    struct mu_journal record;
    if (!folds)
        abort ();
    for (uint32_t job = 1; job <= coord_job_count (core); job++) {
        if (!coord_fold (core, job, UINT64_MAX, &record))
            continue;
        folds[job].offset = bytes.size;
        CHECK (!mu_record_encode (&mu_journal_family, &record, &bytes, &error),
               "job %u cannot be folded: %s", job, error.text);
        folds[job].size = bytes.size - folds[job].offset;
    }
    for (uint64_t at = 0; at < count; at++) {
        host_record (at, &record);
        uint64_t job = mu_record_number (&mu_journal_family, &record, "job");
        if (job && job <= coord_job_count (core))
            folds[job].last = at;
    }
    return folds;
}

static void unfold (struct coord *core, const struct fold *fold)
{
    msgpack_zone zone;
    struct mu_error error;
    struct mu_journal record;
    if (!msgpack_zone_init (&zone, 8192))
        abort ();
    CHECK (!mu_record_decode (&mu_journal_family, &record, bytes.data + fold->offset, fold->size, 0,
                              &zone, &error),
           "what was folded cannot be read: %s", error.text);
    must_apply (core, &record);
    msgpack_zone_destroy (&zone);
}

static void forget (struct coord *core, const struct mu_journal *record)
{
    if (record->type == MU_JOURNAL_SUBMIT)
        must_apply (core,
                    &(struct mu_journal){ .type = MU_JOURNAL_FORGOTTEN,
                                          .forgotten = { .job = record->submit.job,
                                                         .last = record->submit.job,
                                                         .numbers = 1,
                                                         .time_ms = record->submit.time_ms } });
}

void folds_check (uint64_t count)
{
    static const struct coord_options none = { .version = "folds" };
    struct coord *full = coord_create (&none), *left = coord_create (&none);
    struct coord_image full_image = { 0 }, left_image = { 0 };
    struct mu_journal record;
    for (uint64_t at = 0; at < count; at++) {
        host_record (at, &record);
        must_apply (full, &record);
    }
    bytes.size = 0;
    struct fold *folds = fold_all (full, count);
    for (uint64_t at = 0; at < count; at++) {
        host_record (at, &record);
        const uint64_t job = mu_record_number (&mu_journal_family, &record, "job");
        const struct fold *fold = &folds[job];
        if (coord_job_is_forgotten (full, job)) {
            forget (left, &record);
            continue;
        }
        if (!fold->size || stays (&record))
            must_apply (left, &record);
        if (fold->size && at == fold->last)
            unfold (left, fold);
    }
    coord_save (full, &full_image);
    coord_save (left, &left_image);
    CHECK (full_image.size == left_image.size &&
               !memcmp (full_image.bytes, left_image.bytes, full_image.size),
           "a folded journal leads to another core");
    free (folds);
    free (full_image.bytes);
    free (left_image.bytes);
    coord_destroy (&full);
    coord_destroy (&left);
}
