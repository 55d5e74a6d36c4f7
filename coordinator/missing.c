/* SPDX-License-Identifier: Apache-2.0 */
/* missing.c - the newest checkpoint is what all have lost, and no worker can read it
 *
 * Its folder is not mounted, its storage is away, or it lies on a host that is not here. What is needed to
 * go on without it is done in a moment and may cost days: so the job waits, says what it looks for and
 * who looked, and all try again, also those that come meanwhile. Where others are free, one that cannot
 * read it makes room for them.
 *
 * It waits no longer than the steps took that would be done again: who comes too late has lost twice
 * that, and storage that is gone for good stops nobody for ever. Then the checkpoint is given up (UNSOUND,
 * `unread`), and the one before takes its place, and so on. Only time in which somebody looked counts. Who
 * knows that it does not come back says so (`muster resume --forgo-checkpoint`).
 *
 * All of that is soft: a restart waits anew. What was given up is not. */
#include "missing.h"

#include "generation.h"
#include "job.h"
#include "prepare.h"
#include "query.h"
#include "queue.h"
#include "roster.h"
#include "trust.h"
#include "unsound.h"

void missing_forget (struct job *job)
{
    if (job->soft.missing.seen_ms)
        job_note (&job->soft.why, "");
    job->soft.missing = (struct missing){ 0 };
}

/* --- how long --------------------------------------------------------------------------------- */

/* What was trained from the checkpoint before it, or the start, took so long. */
static uint64_t limit_of (const struct job *job)
{
    const struct commit *newest = job_newest_commit (job), *before = unsound_before (job);
    uint64_t from_ms = before ? before->time_ms : job->durable.started_ms;
    uint64_t took_ms = newest->time_ms > from_ms ? newest->time_ms - from_ms : 0;
    return higher (COORD_MISSING_MIN_MS, lower (took_ms, COORD_MISSING_MAX_MS));
}

/* Nobody looks while there are no workers. */
static void count_time (const struct coord *coord, struct missing *missing)
{
    uint64_t since_ms = missing->seen_ms ? coord->now_ms - missing->seen_ms : 0;
    if (since_ms <= 2 * COORD_MISSING_RETRY_MAX_MS)
        missing->waited_ms += since_ms;
    missing->seen_ms = coord->now_ms;
}

static const char *say_time (struct coord *coord, uint64_t ms)
{
    uint64_t seconds = (ms + 999) / 1000;
    if (seconds < 120)
        return core_text (coord, "%llu s", (unsigned long long)seconds);
    if (seconds < 7200)
        return core_text (coord, "%llu min", (unsigned long long)seconds / 60);
    return core_text (coord, "%llu h", (unsigned long long)seconds / 3600);
}

/* --- who looked, and what was said ------------------------------------------------------------ */

static const char *list_names (struct coord *coord, struct worker *const *members, uint32_t count)
{
    const char *names = members[0]->name;
    for (uint32_t i = 1; i < count && strlen (names) < 120; i++)
        names =
            core_text (coord, "%s%s%s", names, i + 1 < count ? ", " : " and ", members[i]->name);
    return names;
}

/* All may say the same. */
static const char *sentence_of (struct worker *const *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (*members[i]->position.unread)
            return members[i]->position.unread;
    return "its log says why";
}

static const char *say_reason (struct coord *coord, const struct job *job,
                               struct worker *const *members, uint32_t count, uint64_t left_ms)
{
    const struct commit *newest = job_newest_commit (job), *before = unsound_before (job);
    return core_text (coord,
                      "waits for its checkpoint of step %llu (%.300s), which %s cannot read: %s. "
                      "Mount that folder "
                      "there, or start a worker that has it. After %s more it is given up and "
                      "training goes back to "
                      "step %llu; `muster resume --forgo-checkpoint %llu` does that now",
                      (unsigned long long)newest->step, newest->path,
                      list_names (coord, members, count), sentence_of (members, count),
                      say_time (coord, left_ms), (unsigned long long)(before ? before->step : 0),
                      (unsigned long long)job->durable.number);
}

/* --- trying again ----------------------------------------------------------------------------- */

/* A free worker may be on the host where it lies, and the job has all that it may have. */
static bool make_room (struct coord *coord, const struct job *job, struct worker **members,
                       uint32_t count)
{
    if (job->soft.worker_count < queue_useful_max (job))
        return false;
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        const struct worker *worker = coord->workers[i];
        if (!worker_is_free (coord, worker) || !queue_accepts (coord, job, worker) ||
            trust_lacks (coord, worker))
            continue;
        worker_refuse (coord, members[count - 1], COORD_COOL_OFF_MS,
                       "it cannot read the job's checkpoint, and others may");
        worker_release (coord, members[count - 1], false);
        return true;
    }
    return false;
}

static void try_again (struct coord *coord, struct job *job, struct worker **members,
                       uint32_t count)
{
    struct missing *missing = &job->soft.missing;
    uint64_t wait_ms = higher (COORD_MISSING_RETRY_MS, missing->waited_ms / 4);
    missing->again_ms = coord->now_ms + lower (wait_ms, COORD_MISSING_RETRY_MAX_MS);
    if (make_room (coord, job, members, count))
        count--;
    generation_forget_tries (job->soft.workers, job->soft.worker_count);
    generation_reopen (coord, job, members, count);
}

/* --- giving up -------------------------------------------------------------------------------- */

static void give_up (struct coord *coord, struct job *job, struct worker *const *members,
                     uint32_t count)
{
    struct missing *missing = &job->soft.missing;
    const char *names = count ? list_names (coord, members, count) : "nobody";
    uint64_t waited_ms = missing->waited_ms;
    bool forgo = missing->forgo;
    const char *what = core_text (
        coord, "cannot be read (%.300s; %s: %s) and is given up %s", job_newest_commit (job)->path,
        names, sentence_of (members, count),
        forgo ? "on request" : core_text (coord, "after %s", say_time (coord, waited_ms)));
    unsound_drop (coord, job, NULL, names, true, what,
                  "Should it be found, `checkpoint.resume` of a new job names it.");
    *missing = (struct missing){ .forgo = forgo }; /* those before it lie in the same place */
    generation_forget_tries (job->soft.workers, job->soft.worker_count);
    job->soft.step = job_committed_step (job);
}

void missing_await (struct coord *coord, struct job *job, struct worker **members, uint32_t count)
{
    struct missing *missing = &job->soft.missing;
    if (job->durable.state != MU_JOB_PREPARING) /* it will be, at once */
        return;
    bool begins = !missing->seen_ms;
    count_time (coord, missing);
    uint64_t limit_ms = limit_of (job);
    if (missing->forgo || missing->waited_ms >= limit_ms) {
        give_up (coord, job, members, count);
        return;
    }
    uint64_t left_ms = limit_ms - missing->waited_ms;
    const char *reason = say_reason (coord, job, members, count, left_ms);
    job_note (&job->soft.why, reason);
    if (begins) {
        missing->again_ms = coord->now_ms + COORD_MISSING_RETRY_MS;
        job_move (coord, job, MU_JOB_PREPARING, job->durable.target, MU_OK, reason);
    } else if (coord->now_ms >= missing->again_ms) {
        try_again (coord, job, members, count);
    }
    core_wake (coord, lower (missing->again_ms, coord->now_ms + left_ms));
}

void missing_forgo (struct coord *coord, uint32_t peer, uint64_t request, struct job *job)
{
    struct job_soft *soft = &job->soft;
    uint64_t step = job_committed_step (job);
    enum mu_job_state state = job->durable.state;
    if (!soft->missing.seen_ms || (state != MU_JOB_PREPARING && state != MU_JOB_PENDING)) {
        query_refuse (coord, peer, request, MU_CONFLICT,
                      core_text (coord, "Job %llu waits for no checkpoint.",
                                 (unsigned long long)job->durable.number));
        return;
    }
    soft->missing.forgo = true;
    give_up (coord, job, soft->workers, soft->worker_count);
    for (uint32_t i = 0; i < soft->worker_count; i++) /* it may be loading that one just now */
        if (soft->workers[i]->order == ORDER_ASSIGN)
            worker_release (coord, soft->workers[i], true);
    query_accept (
        coord, peer, request,
        core_text (coord, "The checkpoint of step %llu is given up.", (unsigned long long)step));
}
