/* SPDX-License-Identifier: Apache-2.0 */
/* storage.c - where checkpoints lie, and what becomes of some of them there
 *
 * In some runs storage loses bits: one in three of the checkpoints is not what was written, until it is
 * written once more. In some it is away when it is looked for, or is in the wrong place: one in three cannot be read so
 * and so many times, which may be longer than anybody waits. All that is written lies in one place, also what is never
 * committed, until somebody is told what is to stay. By the seed and not by draw (), so that older
 * seeds keep their runs. */
#include "sim.h"

#include <stdlib.h>

struct file {
    uint64_t job, step;
    uint32_t times; /* that it was written */
    uint32_t looks; /* for it, in vain */
    uint64_t generation; /* in which it was written */
    bool there;
};

static struct file *files;
static uint32_t count, capacity;

void storage_reset (void) { count = 0; }

bool storage_lost_bits (uint64_t job, uint64_t step)
{
    return !options.story && !options.calm && mix (options.seed, 3107) % 6 == 0 &&
           mix (mix (options.seed, job), step) % 3 == 0;
}

static struct file *find (uint64_t job, uint64_t step)
{
    for (uint32_t i = 0; i < count; i++)
        if (files[i].job == job && files[i].step == step)
            return &files[i];
    return NULL;
}

static struct file *file_of (uint64_t job, uint64_t step)
{
    struct file *file = find (job, step);
    if (!file) {
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            files = realloc (files, capacity * sizeof *files);
            if (!files)
                abort ();
        }
        file = &files[count++];
        *file = (struct file){ .job = job, .step = step };
    }
    return file;
}

/* What is there and sound stays as it is. */
void storage_wrote (uint64_t job, uint64_t step, uint64_t generation)
{
    struct file *file = file_of (job, step);
    if (!file->there || !storage_is_sound (job, step))
        file->generation = generation;
    file->there = true;
    file->times++;
}

bool storage_has (uint64_t job, uint64_t step)
{
    const struct file *file = find (job, step);
    return file && file->there;
}

static bool is_named (const struct mu_wire_prune *prune, uint64_t step)
{
    for (uint32_t i = 0; i < prune->stays.count; i++)
        if (prune->stays.items[i].step == step)
            return true;
    return false;
}

/* The same rule as prune.c has. */
void storage_prune (uint64_t job, const struct mu_wire_prune *prune)
{
    for (uint32_t i = 0; i < count; i++) {
        struct file *file = &files[i];
        if (file->job != job || !file->there || file->step >= prune->step ||
            file->generation > prune->generation || is_named (prune, file->step))
            continue;
        CHECK (!check_needs (job, file->step),
               "the checkpoint of step %" PRIu64 " of job %" PRIu64
               " is removed, and training may have to go back to it",
               file->step, job);
        file->there = false;
        statistics.removed++;
    }
}

static uint32_t looks_in_vain (uint64_t job, uint64_t step)
{
    uint64_t drawn = mix (mix (options.seed + 77, job), step);
    bool any = !options.story && !options.calm && mix (options.seed, 4211) % 5 == 0;
    return any && drawn % 3 == 0 ? (uint32_t)(drawn / 3 % 24) : 0;
}

bool storage_is_away (uint64_t job, uint64_t step)
{
    if (!looks_in_vain (job, step))
        return false;
    struct file *file = file_of (job, step);
    if (file->looks == looks_in_vain (job, step))
        return false;
    statistics.away += !file->looks++;
    return true;
}

bool storage_was_away (uint64_t job, uint64_t step)
{
    const struct file *file = find (job, step);
    return file && file->looks;
}

bool storage_is_sound (uint64_t job, uint64_t step)
{
    const struct file *file = find (job, step);
    return !storage_lost_bits (job, step) || (file && file->times > 1);
}
