/* SPDX-License-Identifier: Apache-2.0 */
/* forget.c - which jobs that have ended are remembered
 *
 * Nothing that a coordinator holds may grow for ever. A job is forgotten when two things are true: it ended so
 * long ago that its history is folded, too, and jobs_max that were submitted later have ended. So its key is
 * known for as long as anybody may submit it again, and a clock that is ahead costs no more than what is beyond
 * that number. What "long ago" is goes by when jobs ended: the newest one's end counts when a newer one's came
 * a day after it.
 *
 * FORGOTTEN says it, so that a replay and a standby forget the same. A number is never given again
 * (docs/decisions/0063). */
#include "forget.h"

#include "job.h"

#define LOOK_JOBS  4096u /* are forgotten in one look, at most */
#define LOOK_RUNS  64u   /* records, the same */
#define AGAIN_MS   100u  /* after a look that left some */
#define SURE_MS    86400000u
#define EARLIER(n) ((n) / 16) /* a look reads all jobs: not for each that ends */

static uint64_t ended_count (const struct coord *coord)
{
    return coord_jobs_known (coord) - coord->durable.live_count;
}

/* --- deciding --------------------------------------------------------------------------------- */

/* When the newest job ended of those that ended before that time. By their numbers, not by when they ended: what ended
 * while a clock was ahead is not the newest once others have followed. */
static uint64_t newest_end (const struct coord *coord, uint64_t before_ms)
{
    for (uint64_t number = coord->durable.job_count; number > coord->durable.job_base; number--) {
        const struct job *job = core_job (coord, number);
        if (job && job_ended (job) && job->durable.ended_ms && job->durable.ended_ms < before_ms)
            return job->durable.ended_ms;
    }
    return 0;
}

/* Without a history that is kept no clock matters. */
static uint64_t find_before (const struct coord *coord)
{
    const uint64_t history_ms = coord->options.history_ms, sure_ms = lower (history_ms, SURE_MS);
    if (!history_ms)
        return UINT64_MAX;
    uint64_t newest_ms = newest_end (coord, UINT64_MAX);
    if (newest_ms <= sure_ms)
        return 0;
    uint64_t now_ms = lower (coord->unix_ms, newest_end (coord, newest_ms - sure_ms + 1));
    return now_ms > history_ms ? now_ms - history_ms : 0;
}

/* The newest job behind which so many have ended. */
static uint64_t find_upto (const struct coord *coord)
{
    uint64_t number = coord->durable.job_count;
    for (uint32_t kept = 0; number > coord->durable.job_base; number--) {
        const struct job *job = core_job (coord, number);
        kept += job && job_ended (job);
        if (kept > coord->options.jobs_max)
            return number;
    }
    return 0;
}

/* A lost one is told of for good: its SUBMIT lies aside. */
static bool may_go (const struct job *job, uint64_t before_ms)
{
    return job_ended (job) && job->durable.ended_ms < before_ms && !job->durable.lost &&
           !job->soft.worker_count;
}

static void forget (struct coord *coord, uint64_t first, uint64_t last)
{
    core_store (coord, &(struct mu_journal){ .type = MU_JOURNAL_FORGOTTEN,
                                             .forgotten = { .job = first,
                                                            .last = last,
                                                            .numbers = last - first + 1,
                                                            .time_ms = coord->unix_ms } });
}

/* Those that were forgotten before may lie between. True: there may be more. */
static bool look (struct coord *coord, uint64_t before_ms, uint64_t upto)
{
    uint64_t first = 0, last = 0;
    uint32_t jobs = 0, runs = 0;
    for (uint64_t number = 0; (number = coord_job_next (coord, number)) && number <= upto;) {
        bool goes = may_go (core_job (coord, number), before_ms);
        if (first && !goes) {
            forget (coord, first, last);
            first = 0;
            if (++runs == LOOK_RUNS)
                return true;
        }
        if (!goes)
            continue;
        first = first ? first : number;
        last = number;
        if (++jobs == LOOK_JOBS)
            break;
    }
    if (first)
        forget (coord, first, last);
    return jobs == LOOK_JOBS;
}

void forget_mind (struct coord *coord)
{
    uint64_t most = coord->options.jobs_max, ended = ended_count (coord);
    if (!most || ended <= most + EARLIER (most) || ended < coord->forget_at)
        return;
    bool more = look (coord, find_before (coord), find_upto (coord));
    ended = ended_count (coord);
    coord->forget_at = more ? 0 : ended + EARLIER (ended) + 1;
    if (more)
        core_wake (coord, coord->now_ms + AGAIN_MS);
}

/* --- apply's part ----------------------------------------------------------------------------- */

static void drop_job (struct durable *durable, uint64_t number)
{
    struct job **job = &durable->jobs[number - 1 - durable->job_base];
    if (!*job)
        return;
    if (*(*job)->durable.key)
        index_drop (&durable->keys, index_hash_text ((*job)->durable.key), (uint32_t)number);
    job_destroy (*job);
    *job = NULL;
    durable->forgotten_count++;
}

/* No room is kept for the first ones. They are moved when they are half of all: so seldom. */
static void trim (struct durable *durable)
{
    uint32_t count = durable->job_count - durable->job_base, gone = 0;
    while (gone < count && !durable->jobs[gone])
        gone++;
    if (!gone || gone < count - gone)
        return;
    memmove (durable->jobs, durable->jobs + gone, (count - gone) * sizeof (struct job *));
    durable->job_base += gone;
}

/* Jobs that are known; or, of a journal that holds no record of theirs any more, nothing but their numbers. */
int forget_apply (struct coord *coord, const struct mu_journal *record, struct mu_error *error)
{
    const struct mu_journal_forgotten *said = &record->forgotten;
    struct durable *durable = &coord->durable;
    bool known = said->last <= durable->job_count;
    bool sound = said->job && said->job <= said->last && said->last < NONE &&
                 said->numbers == said->last - said->job + 1 &&
                 (known || said->job > durable->job_count);
    for (uint64_t number = said->job - 1;
         sound && known && (number = coord_job_next (coord, number)) && number <= said->last;)
        sound = job_ended (core_job (coord, number));
    if (!sound)
        return mu_fail (
            error, MU_CONFLICT,
            "jobs %llu to %llu are forgotten, which have not all ended, or are not so many",
            (unsigned long long)said->job, (unsigned long long)said->last);
    if (!known && job_fill (coord, said->job, said->time_ms, error))
        return -1;
    if (!known)
        job_put_forgotten (durable, (uint32_t)said->last);
    for (uint64_t number = higher (said->job, durable->job_base + 1); known && number <= said->last;
         number++)
        drop_job (durable, number);
    trim (durable);
    return 0;
}
