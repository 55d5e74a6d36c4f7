/* SPDX-License-Identifier: Apache-2.0 */
/* priority.c - who gives workers to whom, judged from what people see of the jobs
 *
 * At each break for another job: the one that gives keeps its minimum, and goes later in line. Once
 * the faults have stopped, each second: no job waits for a minimum that others of no higher priority
 * have to spare, and none that trains could grow at the cost of a lower priority, for longer than
 * leaving, cooling off and joining take. Whose bits or data do not suit a worker is not asked about. */
#include "sim.h"
#include "timing.h"

#include <stdlib.h>
#include <string.h>

#define JOBS_MAX   512u
#define PATIENCE_S 150u /* a state that hangs while it is saved is waited for: COORD_SAVE_LIMIT_MS */
#define SHRUNK_MAX 10u /* times a job may be shrunk in peace */

static uint64_t formed_ms[JOBS_MAX]; /* its newest generation */
static uint32_t waits_s[JOBS_MAX], small_s[JOBS_MAX], shrunk[JOBS_MAX];
static bool peace;

void priority_reset (void)
{
    memset (formed_ms, 0, sizeof formed_ms);
    memset (waits_s, 0, sizeof waits_s);
    memset (small_s, 0, sizeof small_s);
    memset (shrunk, 0, sizeof shrunk);
    peace = false;
}

/* "2 workers go to job 7 (…)": how many to which; false: it broke for something else. */
static bool goes_to (const char *reason, unsigned *count, uint64_t *taker)
{
    return sscanf (reason, "%u worker goes to job %" SCNu64, count, taker) == 2 ||
           sscanf (reason, "%u workers go to job %" SCNu64, count, taker) == 2;
}

static bool is (const struct mu_wire_job_info *info, enum mu_job_state state)
{
    return !strcmp (info->state, mu_job_state_name ((int)state));
}

void priority_form (uint64_t job) { formed_ms[job] = clock_now (); }

/* It may have found others while the giver's next world was connected. */
static bool was_in_need (const struct mu_wire_job_info *taker)
{
    return is (taker, MU_JOB_PENDING) || is (taker, MU_JOB_PREPARING) ||
           clock_now () <= formed_ms[taker->job] + COORD_AHEAD_MS;
}

void priority_break (const struct coord *coord, const struct mu_journal_broken *broken)
{
    struct mu_wire_job_info giver, taker;
    unsigned count;
    uint64_t number;
    if (!goes_to (broken->reason, &count, &number))
        return;
    coord_job_info (coord, broken->job, &giver);
    CHECK (broken->planned && coord_job_info (coord, number, &taker) == 0,
           "job %" PRIu64 " breaks for job %" PRIu64, broken->job, number);
    CHECK (giver.workers >= giver.workers_min + count,
           "job %" PRIu64 " has %u workers, needs %u, and gives %u to job %" PRIu64, broken->job,
           giver.workers, giver.workers_min, count, number);
    CHECK (taker.priority >= giver.priority, "job %" PRIu64 " gives to a lower priority",
           broken->job);
    CHECK (taker.priority > giver.priority || was_in_need (&taker),
           "job %" PRIu64 " is shrunk so that an equal one may grow", broken->job);
    statistics.shrunk++;
    shrunk[broken->job] += peace;
    if (shrunk[broken->job] > statistics.most_shrunk)
        statistics.most_shrunk = shrunk[broken->job];
    CHECK (shrunk[broken->job] < SHRUNK_MAX, "workers of job %" PRIu64 " go back and forth",
           broken->job);
}

/* What jobs below this one (`equal`: or beside it) have beyond their minimum. */
static uint32_t spare_below (const struct mu_wire_job_info *all, uint32_t count,
                             const struct mu_wire_job_info *job, bool equal)
{
    uint32_t spare = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct mu_wire_job_info *other = &all[i];
        bool below = other->priority < job->priority || (equal && other->priority == job->priority);
        if (below && other->job != job->job && is (other, MU_JOB_RUNNING) &&
            other->workers > other->workers_min)
            spare += other->workers - other->workers_min;
    }
    return spare;
}

static bool lacks_minimum (const struct mu_wire_job_info *job)
{
    return (is (job, MU_JOB_PENDING) || is (job, MU_JOB_PREPARING)) && job->workers < job->workers_min;
}

/* What others have to spare is kept for the first in line, if the roster could do for it at all. */
static bool stands_behind (const struct mu_wire_job_info *all, uint32_t count,
                           const struct mu_wire_job_info *job)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mu_wire_job_info *other = &all[i];
        bool before = other->priority > job->priority ||
                      (other->priority == job->priority && other->job < job->job);
        if (before && lacks_minimum (other) &&
            other->workers_min <= coord_worker_count (host_coord ()))
            return true;
    }
    return false;
}

static void watch_job (const struct mu_wire_job_info *all, uint32_t count,
                       const struct mu_wire_job_info *job)
{
    const struct sim_job *what = client_job (job->job);
    uint32_t most = job->workers_max < job->micro_batches ? job->workers_max : job->micro_batches;
    bool waits = lacks_minimum (job) && !stands_behind (all, count, job) &&
                 job->workers + spare_below (all, count, job, true) >= job->workers_min;
    bool small = is (job, MU_JOB_RUNNING) && job->workers < most && job->step + 1 < job->steps &&
                 !faults.quarantine_failures && spare_below (all, count, job, false) > 0;
    if (!what || (!what->portable && !what->mixed) || what->odd_data)
        return;
    waits_s[job->job] = waits ? waits_s[job->job] + 1 : 0;
    small_s[job->job] = small ? small_s[job->job] + 1 : 0;
    CHECK (waits_s[job->job] < PATIENCE_S,
           "job %" PRIu64 " waits for %u workers that others have to spare: %.*s", job->job,
           job->workers_min, (int)job->reason.size, (const char *)job->reason.data);
    CHECK (small_s[job->job] < PATIENCE_S,
           "job %" PRIu64 " trains on %u of %u workers, and lower priorities have some to spare",
           job->job, job->workers, most);
}

static void every_second (uint32_t who, uint64_t tag, void *data)
{
    static struct mu_wire_job_info all[JOBS_MAX];
    (void)who, (void)tag, (void)data;
    uint32_t count = 0;
    for (uint64_t job = 0; host_is_up () && (job = coord_job_next (host_coord (), job));)
        coord_job_info (host_coord (), job, &all[count++]);
    for (uint32_t i = 0; i < count; i++)
        watch_job (all, count, &all[i]);
    statistics.watched += count > 0;
    clock_after (1000, every_second, 0, 0, NULL);
}

void priority_watch (void)
{
    peace = true;
    if (!faults.wrong && options.workers <= 64)
        clock_after (1000, every_second, 0, 0, NULL);
}
