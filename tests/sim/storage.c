/* SPDX-License-Identifier: Apache-2.0 */
/* storage.c - where checkpoints lie, and what becomes of some of them there
 *
 * In some runs storage loses bits: one in three of the checkpoints is not what was written, until it is
 * written once more. In some it is away when it is looked for, or is in the wrong place: one in three cannot be read so
 * and so many times, which may be longer than anybody waits. By the seed and not by draw (), so that older
 * seeds keep their runs. */
#include "sim.h"

#include <stdlib.h>

struct file {
    uint64_t job, step;
    uint32_t times; /* that it was written */
    uint32_t looks; /* for it, in vain */
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

void storage_wrote (uint64_t job, uint64_t step) { file_of (job, step)->times++; }

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
