/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - which job gets which workers, and why one waits
 *
 * Jobs stand in line by priority, then by number. In that order each that lacks its minimum gets it
 * whole or not at all; what is free after that goes, in the same order, to those below their
 * maximum. A job whose minimum the roster could meet, if all were free, keeps later jobs from
 * taking what is free meanwhile, and gets back what running jobs have beyond their minimum; one
 * that needs more than the roster has is passed over and says so.
 *
 * Two jobs that each hold some of the workers that the other lacks would wait for ever: when nobody
 * runs any more, the later one yields (its state is saved first). So does one that has held some
 * for COORD_COOL_OFF_MS while the roster was too small for it. */
#include "core.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)
#define CLASSES_MAX      64u

struct class
{
    const char *name;
    uint32_t total, free;
};

struct line {
    struct job **jobs; /* in order */
    uint32_t job_count;
    struct worker **free; /* NULL once taken; those in quarantine from `trusted` on */
    uint32_t free_count, trusted, left;
    struct class classes[CLASSES_MAX];
    uint32_t class_count, here;
};

void queue_want (struct coord *coord)
{
    coord->place_wanted = true;
    core_wake (coord, coord->now_ms + COORD_PLACE_MS);
}

/* Workers beyond one a micro-batch would have nothing to do. */
uint32_t queue_useful_max (const struct job *job)
{
    const struct job_durable *durable = &job->durable;
    uint32_t most = durable->workers_max < durable->micro_batches ? durable->workers_max
                                                                  : durable->micro_batches;
    return most > durable->workers_min ? most : durable->workers_min;
}

/* The class that its workers must have; NULL: any, or not yet decided. */
static const char *class_of (const struct job *job)
{
    if (job->durable.portable || job->durable.mixed)
        return NULL;
    if (job->durable.sized)
        return job->durable.compute_class;
    return job->soft.worker_count ? job->soft.workers[0]->compute_class : NULL;
}

static bool is_refused (const struct coord *coord, const struct job *job,
                        const struct worker *worker)
{
    return worker->refused_job == job->durable.number && coord->now_ms < worker->refused_until_ms;
}

bool queue_accepts (const struct coord *coord, const struct job *job, const struct worker *worker)
{
    const char *class = class_of (job);
    if (is_refused (coord, job, worker) ||
        audit_is_outcast (&job->durable, worker->name, worker->incarnation))
        return false;
    return !class || !strcmp (class, worker->compute_class);
}

/* --- who is there, who wants ------------------------------------------------------------------ */

static void count_class (struct line *line, const struct worker *worker, bool is_free)
{
    uint32_t i = 0;
    while (i < line->class_count && strcmp (line->classes[i].name, worker->compute_class) != 0)
        i++;
    if (i == CLASSES_MAX)
        return;
    if (i == line->class_count)
        line->classes[line->class_count++] = (struct class){ .name = worker->compute_class };
    line->classes[i].total++;
    line->classes[i].free += is_free;
}

static void look_again (struct coord *coord, uint64_t when_ms)
{
    if (when_ms < coord->place_again_ms)
        coord->place_again_ms = when_ms;
}

/* Those in quarantine come last; who is refused may be taken when that is over. */
static void look_around (struct coord *coord, struct line *line)
{
    line->free = core_scratch (coord, coord->worker_count * sizeof (struct worker *));
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        struct worker *worker = coord->workers[i];
        bool is_free = worker_is_free (coord, worker);
        bool leaves = worker_leaves (coord, worker) && !worker->yields;
        if (worker->lost || leaves)
            continue;
        if (is_free && coord->now_ms < worker->refused_until_ms)
            look_again (coord, worker->refused_until_ms);
        line->here++;
        count_class (line, worker, is_free);
        if (is_free && !trust_lacks (coord, worker))
            line->free[line->free_count++] = worker;
    }
    line->trusted = line->free_count;
    for (uint32_t i = 0; i < coord->worker_count && coord->durable.quarantined.count; i++)
        if (worker_is_free (coord, coord->workers[i]) && trust_lacks (coord, coord->workers[i]))
            line->free[line->free_count++] = coord->workers[i];
    line->left = line->free_count;
}

static bool goes_before (const struct job *a, const struct job *b)
{
    if (a->durable.priority != b->durable.priority)
        return a->durable.priority > b->durable.priority;
    return a->durable.number < b->durable.number;
}

static void stand_in_line (struct coord *coord, struct line *line)
{
    line->jobs = core_scratch (coord, coord->durable.live_count * sizeof (struct job *));
    for (uint32_t i = 0; i < coord->durable.live_count; i++) {
        struct job *job = coord->durable.live[i];
        uint32_t at = line->job_count++;
        for (; at > 0 && goes_before (job, line->jobs[at - 1]); at--)
            line->jobs[at] = line->jobs[at - 1];
        line->jobs[at] = job;
    }
}

static uint32_t have (const struct coord *coord, const struct job *job)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        const struct worker *worker = job->soft.workers[i];
        count +=
            !(worker->order == ORDER_RELEASE && !worker->again) && !worker_leaves (coord, worker);
    }
    return count;
}

static bool lacks_minimum (const struct coord *coord, const struct job *job)
{
    enum mu_job_state state = job->durable.state;
    return (state == MU_JOB_PENDING || state == MU_JOB_PREPARING) &&
           job->durable.target == MU_JOB_PENDING && have (coord, job) < job->durable.workers_min;
}

/* --- one job ---------------------------------------------------------------------------------- */

struct wish {
    const char *class; /* NULL: any */
    uint32_t have, need, usable, possible, refused;
};

static bool fits (const struct coord *coord, const struct job *job, const char *class,
                  const struct worker *worker)
{
    return worker && queue_accepts (coord, job, worker) &&
           (!class || !strcmp (class, worker->compute_class));
}

static uint32_t count_usable (const struct coord *coord, const struct line *line,
                              const struct job *job, const char *class)
{
    uint32_t usable = 0;
    for (uint32_t i = 0; i < line->free_count && line->left; i++)
        usable += fits (coord, job, class, line->free[i]);
    return usable;
}

/* A job whose bits depend on the class takes the one of which most are free; failing that, the one
 * of which most are here. */
static const char *choose_class (const struct line *line, uint32_t min)
{
    const struct class *best = NULL;
    for (uint32_t i = 0; i < line->class_count; i++) {
        const struct class *class = &line->classes[i];
        if (!best || (class->free >= min && class->free > best->free) ||
            (best->free<min &&class->total> best->total))
            best = class;
    }
    return best ? best->name : NULL;
}

/* Workers that are here and were wrong in this job: it cannot have them. */
static uint32_t count_outcasts (const struct coord *coord, const struct job *job, const char *class)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < job->durable.outcast_count; i++) {
        const struct outcast *outcast = &job->durable.outcasts[i];
        const struct worker *worker = roster_by_name (coord, outcast->name);
        count += worker && worker->incarnation == outcast->incarnation && !worker->lost &&
                 !(worker_leaves (coord, worker) && !worker->yields) &&
                 (!class || !strcmp (class, worker->compute_class));
    }
    return count;
}

static struct wish make_wish (const struct coord *coord, const struct line *line,
                              const struct job *job)
{
    struct wish wish = { .class = class_of (job), .have = have (coord, job) };
    if (!job->durable.portable && !job->durable.mixed && !wish.class)
        wish.class = choose_class (line, job->durable.workers_min);
    wish.need = job->durable.workers_min - wish.have;
    wish.usable = count_usable (coord, line, job, wish.class);
    for (uint32_t i = 0; i < line->free_count; i++)
        wish.refused += line->free[i] && is_refused (coord, job, line->free[i]);
    for (uint32_t i = 0; i < line->class_count; i++)
        if (!wish.class || !strcmp (wish.class, line->classes[i].name))
            wish.possible += line->classes[i].total;
    uint32_t outcasts = count_outcasts (coord, job, wish.class);
    wish.possible -= outcasts < wish.possible ? outcasts : wish.possible;
    return wish;
}

static const char *list_classes (struct coord *coord, const struct line *line)
{
    const char *list = "";
    for (uint32_t i = 0; i < line->class_count && strlen (list) < 120; i++)
        list = core_text (coord, "%s%s%u %s `%s`", list, *list ? ", " : "", line->classes[i].total,
                          line->classes[i].total == 1 ? "is" : "are", line->classes[i].name);
    return list;
}

static void say_why (struct coord *coord, const struct line *line, struct job *job,
                     const struct wish *wish)
{
    uint32_t min = job->durable.workers_min;
    const char *text;
    if (!line->here)
        text = core_text (coord, "waits for %u worker%s; none is here", min, min == 1 ? "" : "s");
    else if (wish->class && wish->possible < min)
        text = core_text (coord,
                          "waits for %u worker%s of one compute class%s%s%s, as its bits depend on "
                          "it (exact: false lets classes mix); %s",
                          min, min == 1 ? "" : "s", class_of (job) ? " `" : "",
                          class_of (job) ? wish->class : "", class_of (job) ? "`" : "",
                          list_classes (coord, line));
    else
        text =
            core_text (coord, "waits for %u worker%s; %u %s here, %u of them free", min,
                       min == 1 ? "" : "s", line->here, line->here == 1 ? "is" : "are", line->left);
    if (wish->have)
        text = core_text (coord, "%s, %u already its own", text, wish->have);
    if (wish->refused)
        text = core_text (coord, "%s; %u not taken, with other data or not ready in time before",
                          text, wish->refused);
    SET (job->soft.why, text);
}

/* Give it `count` free workers that fit, of the first `among`, or only keep them for it. */
static void take (struct coord *coord, struct line *line, struct job *job, const char *class,
                  uint32_t among, uint32_t count, bool assign)
{
    for (uint32_t i = 0; i < among && count; i++) {
        struct worker *worker = line->free[i];
        if (!fits (coord, job, class, worker))
            continue;
        line->free[i] = NULL;
        line->left--;
        count--;
        if (assign)
            worker_assign (coord, worker, job);
    }
}

/* Could more workers appear soon, so that starting now would only mean starting twice? */
static bool settles (struct coord *coord, struct job *job, const struct wish *wish)
{
    if (job->durable.state != MU_JOB_PENDING || wish->usable >= queue_useful_max (job))
        return false;
    if (!job->soft.could_since_ms)
        job->soft.could_since_ms = coord->now_ms;
    uint64_t until_ms = job->soft.could_since_ms + COORD_SETTLE_MS;
    if (coord->now_ms >= until_ms)
        return false;
    look_again (coord, until_ms);
    return true;
}

/* --- getting workers back --------------------------------------------------------------------- */

static uint32_t count_yielding (const struct coord *coord, const struct job *job, const char *class)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        const struct worker *worker = coord->workers[i];
        bool letting_go = worker->yields || (worker->order == ORDER_RELEASE && !worker->again);
        count +=
            letting_go && !worker->lost && worker->job != job && fits (coord, job, class, worker);
    }
    return count;
}

static uint32_t yield_from (struct coord *coord, struct job *job, const struct job *taker,
                            const char *class, uint32_t most)
{
    uint32_t count = 0;
    for (uint32_t i = job->soft.worker_count; i > 0 && count < most; i--) {
        struct worker *worker = job->soft.workers[i - 1];
        if (worker_leaves (coord, worker) || worker->order == ORDER_RELEASE ||
            !fits (coord, taker, class, worker))
            continue;
        worker->yields = true;
        count++;
    }
    if (count)
        job_touch (coord, job);
    return count;
}

static bool anybody_runs (const struct line *line)
{
    for (uint32_t i = 0; i < line->job_count; i++) {
        enum mu_job_state state = line->jobs[i]->durable.state;
        if (state == MU_JOB_FORMING || state == MU_JOB_RUNNING || state == MU_JOB_BREAKING ||
            state == MU_JOB_STOPPING)
            return true;
    }
    return false;
}

/* It has waited for workers that do not come while it holds some that another job lacks. */
static bool is_hopeless (struct coord *coord, const struct job *job)
{
    uint64_t until_ms = job->soft.hopeless_since_ms + COORD_COOL_OFF_MS;
    if (!job->soft.hopeless_since_ms)
        return false;
    if (coord->now_ms < until_ms)
        look_again (coord, until_ms);
    return coord->now_ms >= until_ms;
}

static void reclaim (struct coord *coord, const struct line *line, struct job *taker,
                     const struct wish *wish)
{
    uint32_t coming = wish->usable + count_yielding (coord, taker, wish->class);
    bool stuck = !anybody_runs (line);
    for (uint32_t i = line->job_count; i > 0 && coming < wish->need; i--) {
        struct job *job = line->jobs[i - 1];
        uint32_t has = have (coord, job), spare = 0;
        if (job == taker)
            continue;
        if (job->durable.state == MU_JOB_RUNNING && has > job->durable.workers_min)
            spare = has - job->durable.workers_min;
        else if (lacks_minimum (coord, job) &&
                 ((stuck && goes_before (taker, job)) || is_hopeless (coord, job)))
            spare = has;
        uint32_t lack = wish->need - coming;
        coming += yield_from (coord, job, taker, wish->class, spare < lack ? spare : lack);
    }
}

/* --- the two rounds --------------------------------------------------------------------------- */

static void give_minimum (struct coord *coord, struct line *line, struct job *job)
{
    struct wish wish = make_wish (coord, line, job);
    if (wish.possible >= job->durable.workers_min)
        job->soft.hopeless_since_ms = 0;
    else if (!job->soft.hopeless_since_ms)
        job->soft.hopeless_since_ms = coord->now_ms;
    if (wish.usable >= wish.need) {
        bool wait = settles (coord, job, &wish);
        uint32_t most = queue_useful_max (job) - wish.have;
        if (wait) {
            take (coord, line, job, wish.class, line->trusted, most, false);
            SET (job->soft.why, "waits a moment for more workers");
            return;
        }
        job->soft.could_since_ms = 0;
        *job->soft.why = '\0';
        if (job->durable.state == MU_JOB_PENDING)
            job_move (coord, job, MU_JOB_PREPARING, MU_JOB_PENDING, MU_OK, "");
        take (coord, line, job, wish.class, line->free_count, wish.need, true);
        return;
    }
    job->soft.could_since_ms = 0;
    say_why (coord, line, job, &wish);
    if (wish.possible < job->durable.workers_min)
        return;
    take (coord, line, job, wish.class, line->free_count, wish.usable, false);
    reclaim (coord, line, job, &wish);
}

/* A job that tries in vain to form a generation takes whoever may be what it lacks. */
static void give_surplus (struct coord *coord, struct line *line, struct job *job)
{
    enum mu_job_state state = job->durable.state;
    bool starts = state == MU_JOB_PREPARING && job->soft.orders[ORDER_ASSIGN];
    bool grows = state == MU_JOB_RUNNING && !job->soft.finished;
    bool tries = job->soft.failures > 1 &&
                 (state == MU_JOB_FORMING || state == MU_JOB_BREAKING || state == MU_JOB_PREPARING);
    uint32_t has = job->soft.worker_count, most = queue_useful_max (job);
    if ((!starts && !grows && !tries) || job->durable.target != MU_JOB_PENDING || has >= most)
        return;
    if (!grows && have (coord, job) < job->durable.workers_min)
        return;
    take (coord, line, job, class_of (job), line->trusted, most - has, true);
}

void queue_place (struct coord *coord)
{
    if (core_in_grace (coord)) /* the timer comes at its end */
        return;
    if (!coord->place_wanted && coord->now_ms < coord->place_again_ms) {
        core_wake (coord, coord->place_again_ms);
        return;
    }
    coord->place_wanted = false;
    coord->place_again_ms = UINT64_MAX;
    if (!coord->durable.live_count)
        return;
    struct line *line = core_scratch (coord, sizeof *line);
    look_around (coord, line);
    stand_in_line (coord, line);
    for (uint32_t i = 0; i < line->job_count; i++)
        scale_mind (coord, line->jobs[i]);
    for (uint32_t i = 0; i < line->job_count; i++)
        if (lacks_minimum (coord, line->jobs[i]))
            give_minimum (coord, line, line->jobs[i]);
    for (uint32_t i = 0; i < line->job_count && line->left; i++)
        give_surplus (coord, line, line->jobs[i]);
    core_wake (coord, coord->place_again_ms);
}
