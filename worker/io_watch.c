/* SPDX-License-Identifier: Apache-2.0 */
/* io_watch.c - processor time, state letter, and the counters in the shared region
 *
 * The processor clock of a process counts nanoseconds, where /proc/PID/stat counts hundredths of a
 * second: a collective that waits in small sleeps uses less than one in a look. What cannot be read
 * is reported as zero, which changes nothing from look to look; the letter is then unknown. */
#include "io_watch.h"

#include "common/clock.h"
#include "common/process.h"

#include <stdatomic.h>
#include <string.h>

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
    look->trainer_state = mu_process_letter (trainer);
    look->collective_state = mu_process_letter (collective);
    if (region)
        look_into (region, look);
}
