/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - which job gets which workers, and why one waits
 *
 * Jobs stand in line by priority, then by number. In that order each that lacks its minimum gets it
 * whole or not at all; what is free after that goes, in the same order, to those below their
 * maximum. A job whose minimum the roster could meet, if all were free, keeps later jobs from
 * beginning on what is free meanwhile (those that train already may borrow it: it is taken back as
 * soon as that helps), and gets what jobs of its own or a lower priority have beyond their minimum
 * (preempt.c); one that needs more than the roster has is passed over and says so. A worker with
 * other data than the job counts as one that is not there.
 *
 * Two jobs that each hold some of the workers that the other lacks would wait for ever: when nobody
 * runs any more, the later one yields (its state is saved first). So does one that has held some
 * for COORD_COOL_OFF_MS, to those before it, or to all while the roster is too small for it. One whose
 * generations end without a step, COORD_VAIN_TRIES in a row, stands behind all others, and lets go of
 * what it holds for them, until it trains. */
#include "queue.h"

#include "audit.h"
#include "job.h"
#include "prepare.h"
#include "queue_line.h"
#include "roster.h"
#include "scale.h"
#include "trust.h"

void queue_look_again (struct coord *coord, uint64_t when_ms)
{
    if (when_ms >= coord->place_at_ms)
        return;
    coord->place_at_ms = when_ms;
    core_wake (coord, when_ms);
}

/* A look takes everybody and every job: the more there are, the longer it waits after the last one. */
void queue_want (struct coord *coord)
{
    uint64_t entries = (uint64_t)coord->worker_count + coord->durable.live_count;
    uint64_t rested_ms = coord->placed_ms + entries / COORD_PLACE_ENTRIES_PER_MS;
    uint64_t soon_ms = coord->now_ms + COORD_PLACE_MS;
    queue_look_again (coord, soon_ms > rested_ms ? soon_ms : rested_ms);
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
        return job_noted (job->durable.compute_class);
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

/* Those in quarantine come last; who is refused may be taken when that is over. */
static void look_around (struct coord *coord, struct line *line)
{
    line->free = core_scratch (coord, coord->worker_count * sizeof (struct worker *));
    line->odd = core_scratch (coord, coord->worker_count * sizeof (struct worker *));
    line->kept = core_scratch (coord, coord->worker_count * sizeof (bool));
    for (uint32_t i = 0; i < coord->worker_count; i++) {
        struct worker *worker = coord->workers[i];
        bool is_free = worker_is_free (coord, worker);
        bool leaves = worker_leaves (coord, worker) && !worker->yields;
        line->leaving += !worker->lost && leaves;
        if (worker->lost || leaves)
            continue;
        if (is_free && coord->now_ms < worker->refused_until_ms)
            queue_look_again (coord, worker->refused_until_ms);
        line->here++;
        count_class (line, worker, is_free);
        if (worker->refused_for_good)
            line->odd[line->odd_count++] = worker;
        if (is_free && !trust_lacks (coord, worker))
            line->free[line->free_count++] = worker;
    }
    line->trusted = line->free_count;
    for (uint32_t i = 0; i < coord->worker_count && coord->durable.quarantined.count; i++)
        if (worker_is_free (coord, coord->workers[i]) && trust_lacks (coord, coord->workers[i]))
            line->free[line->free_count++] = coord->workers[i];
    line->left = line->free_count;
}

/* What it holds may never do for it: two hosts that cannot reach each other, say. */
bool queue_is_vain (const struct job *job) { return job->soft.failures >= COORD_VAIN_TRIES; }

bool queue_goes_before (const struct job *a, const struct job *b)
{
    if (queue_is_vain (a) != queue_is_vain (b))
        return queue_is_vain (b);
    if (a->durable.priority != b->durable.priority)
        return a->durable.priority > b->durable.priority;
    return a->durable.number < b->durable.number;
}

static int by_turn (const void *a, const void *b)
{
    struct job *const *one = a, *const *other = b;
    return queue_goes_before (*one, *other) ? -1 : 1;
}

/* Mostly they stand as they came. */
static void stand_in_line (struct coord *coord, struct line *line)
{
    bool in_order = true;
    line->job_count = coord->durable.live_count;
    line->jobs = core_scratch (coord, line->job_count * sizeof (struct job *));
    for (uint32_t i = 0; i < line->job_count; i++) {
        line->jobs[i] = coord->durable.live[i];
        in_order = in_order && (!i || queue_goes_before (line->jobs[i - 1], line->jobs[i]));
    }
    if (!in_order)
        qsort (line->jobs, line->job_count, sizeof (struct job *), by_turn);
}

uint32_t queue_have (const struct coord *coord, const struct job *job)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        const struct worker *worker = job->soft.workers[i];
        count +=
            !(worker->order == ORDER_RELEASE && !worker->again) && !worker_leaves (coord, worker);
    }
    return count;
}

bool queue_lacks_minimum (const struct coord *coord, const struct job *job)
{
    enum mu_job_state state = job->durable.state;
    return (state == MU_JOB_PENDING || state == MU_JOB_PREPARING) &&
           job->durable.target == MU_JOB_PENDING &&
           queue_have (coord, job) < job->durable.workers_min;
}

/* --- one job ---------------------------------------------------------------------------------- */

bool queue_fits (const struct coord *coord, const struct job *job, const char *class,
                 const struct worker *worker)
{
    return worker && queue_accepts (coord, job, worker) && !audit_keeps_off (job, worker) &&
           (!class || !strcmp (class, worker->compute_class));
}

static uint32_t count_usable (const struct coord *coord, const struct line *line,
                              const struct job *job, const char *class)
{
    uint32_t usable = 0;
    for (uint32_t i = 0; i < line->free_count && line->left; i++)
        usable += !line->kept[i] && queue_fits (coord, job, class, line->free[i]);
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

/* Workers that are here and have other data than the job. */
static uint32_t count_odd (const struct line *line, const struct job *job, const char *class)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < line->odd_count; i++)
        count += line->odd[i]->refused_job == job->durable.number &&
                 (!class || !strcmp (class, line->odd[i]->compute_class));
    return count;
}

static struct wish make_wish (const struct coord *coord, const struct line *line,
                              const struct job *job)
{
    struct wish wish = { .class = class_of (job), .have = queue_have (coord, job) };
    if (!job->durable.portable && !job->durable.mixed && !wish.class)
        wish.class = choose_class (line, job->durable.workers_min);
    wish.need = job->durable.workers_min - wish.have;
    wish.usable = count_usable (coord, line, job, wish.class);
    for (uint32_t i = 0; i < line->free_count; i++) {
        const struct worker *worker = line->free[i];
        if (!worker || worker->refused_for_good || !is_refused (coord, job, worker))
            continue;
        if (!wish.refused++)
            wish.refused_one = worker;
    }
    for (uint32_t i = 0; i < line->class_count; i++)
        if (!wish.class || !strcmp (wish.class, line->classes[i].name))
            wish.possible += line->classes[i].total;
    wish.odd = count_odd (line, job, wish.class);
    wish.wrong = count_outcasts (coord, job, wish.class);
    uint32_t never = wish.odd + wish.wrong;
    wish.possible -= never < wish.possible ? never : wish.possible;
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

static const char *why_it_waits (struct coord *coord, const struct line *line,
                                 const struct job *job, const struct wish *wish)
{
    uint32_t min = job->durable.workers_min;
    const char *text;
    if (!line->here && line->leaving)
        text =
            core_text (coord,
                       "waits for %u worker%s; %u %s here, and drained or leaving (`muster drain "
                       "--undo` takes one back)",
                       min, min == 1 ? "" : "s", line->leaving, line->leaving == 1 ? "is" : "are");
    else if (!line->here)
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
    if (wish->coming)
        text = core_text (coord, "%s, %u on the way from other jobs", text, wish->coming);
    else if (wish->could && wish->usable + wish->could < wish->need)
        text = core_text (coord, "%s; %u more if others shrank to their minimum, which would not do",
                          text, wish->could);
    if (wish->odd)
        text = core_text (coord, "%s; %u %s other data than the job: give all the same file", text,
                          wish->odd, wish->odd == 1 ? "has" : "have");
    if (wish->wrong)
        text =
            core_text (coord,
                       "%s; %u %s wrong in this job (muster events), and not taken until started "
                       "anew",
                       text, wish->wrong, wish->wrong == 1 ? "was" : "were");
    if (wish->refused)
        text = core_text (coord,
                          "%s; %u not taken for a moment (`muster workers` says why), as %s: %s",
                          text, wish->refused, wish->refused_one->name, wish->refused_one->refused);
    return text;
}

/* Of thousands of jobs most wait for the same. */
static void say_why (struct coord *coord, struct line *line, struct job *job,
                     const struct wish *wish)
{
    struct waiting waiting = {
        .wish = *wish, .class = class_of (job), .min = job->durable.workers_min, .left = line->left
    };
    if (!line->why || memcmp (&waiting, &line->waiting, sizeof waiting) != 0)
        line->why = why_it_waits (coord, line, job, wish);
    line->waiting = waiting;
    job_note (&job->soft.why, line->why);
}

/* Give it `count` free workers that fit, of the first `among`; those kept for another job only to
 * borrow. How many there were. */
static uint32_t take (struct coord *coord, struct line *line, struct job *job, const char *class,
                      uint32_t among, uint32_t count, bool borrows)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < among && taken < count; i++) {
        struct worker *worker = line->free[i];
        if ((line->kept[i] && !borrows) || !queue_fits (coord, job, class, worker))
            continue;
        line->free[i] = NULL;
        line->left -= !line->kept[i];
        taken++;
        worker_assign (coord, worker, job);
    }
    return taken;
}

/* No later job begins on these. Those that train may borrow them, unless the job is about to begin. */
static void keep (struct coord *coord, struct line *line, const struct job *job, const char *class,
                  uint32_t count, bool lend)
{
    for (uint32_t i = 0; i < line->free_count && count; i++) {
        if (line->kept[i] || !queue_fits (coord, job, class, line->free[i]))
            continue;
        line->kept[i] = true;
        if (!lend)
            line->free[i] = NULL;
        line->left--;
        count--;
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
    queue_look_again (coord, until_ms);
    return true;
}

/* --- the two rounds --------------------------------------------------------------------------- */

/* Since when it lacks its minimum, and since when the roster is too small for it. */
static void note_lack (const struct coord *coord, struct job *job, const struct wish *wish)
{
    struct job_soft *soft = &job->soft;
    bool possible = wish->possible >= job->durable.workers_min;
    if (!soft->lacking_since_ms)
        soft->lacking_since_ms = coord->now_ms;
    if (possible)
        soft->hopeless_since_ms = 0;
    else if (!soft->hopeless_since_ms)
        soft->hopeless_since_ms = coord->now_ms;
}

/* It may have got what it waited for without us: workers that came back. */
static void forget_lack (struct job *job)
{
    if (job->soft.lacking_since_ms)
        job_note (&job->soft.why, "");
    job->soft.lacking_since_ms = job->soft.hopeless_since_ms = 0;
}

static void begin (struct coord *coord, struct line *line, struct job *job, const struct wish *wish)
{
    if (settles (coord, job, wish)) {
        keep (coord, line, job, wish->class, queue_useful_max (job) - wish->have, false);
        job_note (&job->soft.why, "waits a moment for more workers");
        return;
    }
    job->soft.could_since_ms = 0;
    forget_lack (job);
    if (job->durable.state == MU_JOB_PENDING)
        job_move (coord, job, MU_JOB_PREPARING, MU_JOB_PENDING, MU_OK, "");
    take (coord, line, job, wish->class, line->free_count, wish->need, false);
}

static void wait (struct coord *coord, struct line *line, struct job *job, struct wish *wish)
{
    uint32_t lack = wish->need - wish->usable;
    bool possible = wish->possible >= job->durable.workers_min;
    job->soft.could_since_ms = 0;
    if (possible)
        wish->coming = preempt_claim (coord, line, job, wish->class, lack, false);
    if (possible && wish->coming < lack)
        wish->could = preempt_for_minimum (coord, line, job, wish->class, lack - wish->coming);
    if (wish->coming + wish->could >= lack)
        wish->coming = lack;
    say_why (coord, line, job, wish);
    if (possible)
        keep (coord, line, job, wish->class, wish->usable, wish->coming < lack);
}

static void give_minimum (struct coord *coord, struct line *line, struct job *job)
{
    struct wish wish = make_wish (coord, line, job);
    note_lack (coord, job, &wish);
    if (wish.usable >= wish.need)
        begin (coord, line, job, &wish);
    else
        wait (coord, line, job, &wish);
}

/* A job that tries in vain to form a generation takes whoever may be what it lacks. */
static void give_surplus (struct coord *coord, struct line *line, struct job *job)
{
    enum mu_job_state state = job->durable.state;
    bool starts = state == MU_JOB_PREPARING && job->soft.orders[ORDER_ASSIGN];
    bool grows = state == MU_JOB_RUNNING && !job->soft.finished;
    bool tries = job->soft.failures > 1 &&
                 (state == MU_JOB_FORMING || state == MU_JOB_BREAKING || state == MU_JOB_PREPARING);
    uint32_t has = queue_have (coord, job), most = queue_useful_max (job);
    if ((!starts && !grows && !tries) || job->durable.target != MU_JOB_PENDING || has >= most)
        return;
    if (!grows && has < job->durable.workers_min)
        return;
    const char *class = class_of (job);
    uint32_t lack = most - has;
    lack -= take (coord, line, job, class, line->trusted, lack, true);
    lack -= preempt_claim (coord, line, job, class, lack, true);
    if (lack && (starts || grows))
        preempt_for_growth (coord, line, job, class, lack);
}

void queue_place (struct coord *coord)
{
    if (core_in_grace (coord)) /* the timer comes at its end */
        return;
    if (coord->now_ms < coord->place_at_ms) {
        core_wake (coord, coord->place_at_ms);
        return;
    }
    coord->place_at_ms = UINT64_MAX;
    coord->placed_ms = coord->now_ms;
    if (!coord->durable.live_count)
        return;
    struct line *line = core_scratch (coord, sizeof *line);
    look_around (coord, line);
    stand_in_line (coord, line);
    for (uint32_t i = 0; i < line->job_count; i++)
        scale_mind (coord, line->jobs[i]);
    preempt_look (coord, line);
    for (uint32_t i = 0; i < line->job_count; i++)
        if (queue_lacks_minimum (coord, line->jobs[i]))
            give_minimum (coord, line, line->jobs[i]);
        else
            forget_lack (line->jobs[i]);
    for (uint32_t i = 0; i < line->job_count; i++)
        give_surplus (coord, line, line->jobs[i]);
    preempt_explain (coord, line);
}
