/* SPDX-License-Identifier: Apache-2.0 */
/* hurry.c - people who want several things at once, and the coordinator's death just then
 *
 * What client.c asks for comes seldom, and one thing at a time. Here a job is paused, scaled and resumed
 * within a second or two; all workers are drained, told to stop, killed or replaced at once; a job is
 * cancelled and submitted anew. In some of these moments, and each time that a job or a worker has just been
 * told to be otherwise, the coordinator may die. */
#include "sim.h"

#include <stdlib.h>

#define DIES_AFTER UINT32_C (40000000) /* one record in 25 */

static void die (uint32_t who, uint64_t tag, void *data)
{
    (void)who, (void)tag, (void)data;
    if (faults.hurry && host_is_up ())
        host_crash (draw (50, 3000));
}

static void control (uint32_t verb, uint64_t job, void *data)
{
    (void)data;
    client_control (job, verb);
}

static void scale (uint32_t workers, uint64_t job, void *data)
{
    (void)data;
    client_scale (job, workers);
}

static void drain (uint32_t worker, uint64_t undo, void *data)
{
    (void)data;
    client_drain (worker, undo);
}

static void stop (uint32_t worker, uint64_t tag, void *data)
{
    (void)tag, (void)data;
    worker_stop (worker);
}

/* Killed; or another process of its name is there before its end is known. */
static void kill_one (uint32_t worker, uint64_t replaced, void *data)
{
    (void)data;
    worker_crash (worker, true);
    if (replaced)
        worker_start (worker);
}

/* --- what they want --------------------------------------------------------------------------- */

static void pause_and_resume (uint64_t job)
{
    for (uint64_t times = draw (1, 3), at_ms = 0; times; times--) {
        clock_after (at_ms += draw (0, 800), control, 2, job, NULL);
        if (draw (0, 1))
            clock_after (at_ms += draw (0, 800), scale, (uint32_t)draw (1, options.workers), job,
                         NULL);
        clock_after (at_ms += draw (0, 1500), control, 3, job, NULL);
    }
}

static void shrink_and_grow (uint64_t job)
{
    clock_after (0, scale, 1, job, NULL);
    clock_after (draw (0, 1500), scale, 2 * options.workers, job, NULL);
}

static void submit_anew (const struct sim_job *job)
{
    struct sim_job copy = *job;
    copy.number = 0;
    client_submit (&copy);
}

static void cancel_and_submit_anew (uint64_t job)
{
    const struct sim_job *found = client_job (job);
    if (!found)
        return;
    client_control (job, 1);
    submit_anew (found);
}

static void drain_all (void)
{
    uint64_t back_ms = draw (0, 20000);
    for (uint32_t i = 0; i < options.workers; i++) {
        clock_after (draw (0, 100), drain, i, 0, NULL);
        clock_after (100 + draw (0, back_ms), drain, i, 1, NULL);
    }
}

static void all_end (happening *how, uint64_t tag)
{
    for (uint32_t i = 0; i < options.workers; i++)
        if (draw (0, 9))
            clock_after (draw (0, 50), how, i, tag, NULL);
}

/* One of those that have not ended; 0: all have, or there is nobody to ask. */
static uint64_t some_job (void)
{
    uint64_t found = 0, count = 0;
    for (uint64_t job = 0; host_is_up () && (job = coord_job_next (host_coord (), job));) {
        struct mu_wire_job_info info;
        coord_job_info (host_coord (), job, &info);
        if (!info.ended_ms && !draw (0, count++))
            found = job;
    }
    return found;
}

static void want (uint32_t who, uint64_t until_ms, void *data)
{
    uint64_t job = some_job ();
    (void)who, (void)data;
    if (!faults.hurry || clock_now () >= until_ms)
        return;
    if (!job)
        submit_anew (client_job_at ((uint32_t)draw (0, client_job_count () - 1)));
    switch (draw (0, job ? 9 : 3)) {
    case 0: drain_all (); break;
    case 1: all_end (stop, 0); break;
    case 2: all_end (faults.gentle ? stop : kill_one, 0); break;
    case 3: all_end (faults.gentle ? stop : kill_one, 1); break;
    case 4: cancel_and_submit_anew (job); break;
    case 5:
    case 6: shrink_and_grow (job); break;
    default: pause_and_resume (job); break;
    }
    if (!faults.gentle && draw (0, 1))
        clock_after (draw (0, 3000), die, 0, 0, NULL);
    clock_after (draw (500, 15000), want, 0, until_ms, NULL);
}

/* --- the rest of the simulator sees this ------------------------------------------------------ */

void hurry_begin (uint64_t until_ms)
{
    if (faults.hurry)
        clock_after (draw (500, 5000), want, 0, until_ms, NULL);
}

bool hurry_dies (const struct mu_journal *record)
{
    return faults.hurry && !faults.gentle &&
           (record->type == MU_JOURNAL_STATE || record->type == MU_JOURNAL_DRAIN ||
            record->type == MU_JOURNAL_SCALE || record->type == MU_JOURNAL_BROKEN ||
            record->type == MU_JOURNAL_FORM || record->type == MU_JOURNAL_REWIND) &&
           chance (DIES_AFTER);
}
