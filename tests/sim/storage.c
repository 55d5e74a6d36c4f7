/* SPDX-License-Identifier: Apache-2.0 */
/* storage.c - where checkpoints lie, and what becomes of some of them there
 *
 * In some runs storage loses bits: one in three of the checkpoints is not what was written, until it is
 * written once more. By the seed and not by draw (), so that older seeds keep their runs. */
#include "sim.h"

#include <stdlib.h>

struct file {
    uint64_t job, step;
    uint32_t times; /* that it was written */
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

void storage_wrote (uint64_t job, uint64_t step)
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
    file->times++;
}

bool storage_is_sound (uint64_t job, uint64_t step)
{
    const struct file *file = find (job, step);
    return !storage_lost_bits (job, step) || (file && file->times > 1);
}
