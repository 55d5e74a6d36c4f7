/* SPDX-License-Identifier: Apache-2.0 */
/* io_watch.c - processor time, state letter, and the counters in the shared region
 *
 * The processor clock of a process counts nanoseconds, where /proc/PID/stat counts hundredths of a
 * second: a collective that waits in small sleeps uses less than one in a look. What cannot be read
 * is reported as zero, which changes nothing from look to look; the letter is then unknown. */
#include "io_watch.h"

#include "common/clock.h"

#include <dirent.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define THREADS_MAX 64u /* a look at more would cost more than it tells */

/* The letter stands behind the name, in which anything may stand. */
static char read_letter (const char *path)
{
    char text[512];
    FILE *file = fopen (path, "re");
    if (!file)
        return 0;
    size_t size = fread (text, 1, sizeof text - 1, file);
    fclose (file);
    text[size] = '\0';
    const char *end = strrchr (text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

static size_t how_telling (char letter)
{
    static const char order[] = "XZISRDtT";
    const char *at = letter ? strchr (order, letter) : NULL;
    return at ? (size_t)(at - order) + 1 : 0;
}

/* The file of the process tells of its first thread, which only waits for words: of all threads,
 * the one that tells most. Stopped ones are all stopped. */
static char state_letter (pid_t pid)
{
    char path[64 + NAME_MAX], found = 0;
    snprintf (path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = pid ? opendir (path) : NULL;
    const struct dirent *thread;
    for (unsigned i = 0; threads && i < THREADS_MAX && (thread = readdir (threads)); i++) {
        snprintf (path, sizeof path, "/proc/%d/task/%s/stat", (int)pid, thread->d_name);
        char letter = *thread->d_name == '.' ? 0 : read_letter (path);
        if (how_telling (letter) > how_telling (found))
            found = letter;
    }
    if (threads)
        closedir (threads);
    return found;
}

static uint64_t load (const _Atomic uint64_t *field)
{
    return atomic_load_explicit (field, memory_order_acquire);
}

static void look_into (const struct mu_region *region, struct agent_look *look)
{
    const struct mu_region_control *control = region->control;
    look->work = load (&control->trainer.work);
    look->entered = load (&control->trainer.entered_generation);
    look->moved = load (&control->collective.progress);
    look->answered = load (&control->collective.done) == load (&control->trainer.request);
}

void io_watch_look (pid_t trainer, pid_t collective, const struct mu_region *region,
                    struct agent_look *look)
{
    memset (look, 0, sizeof *look);
    look->trainer_cpu_us = mu_cpu_us (trainer);
    look->collective_cpu_us = mu_cpu_us (collective);
    look->trainer_state = state_letter (trainer);
    look->collective_state = state_letter (collective);
    if (region)
        look_into (region, look);
}
