/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - what must never happen, judged from outside: by the journal, the words and the states
 *
 * It keeps its own idea of every job from the durable records alone, with its own copy of the
 * rules; nothing of the core's code is asked. */
#include "sim.h"

#include "timing.h"

#include <stdlib.h>
#include <string.h>

#define JOBS_MAX   512u
#define DEATHS_MAX 128u
#define WARNED_MS  600000u
#define AGREED_MAX 8u

struct seen_job {
    char key[64];
    uint32_t state, target;
    uint64_t generation, until_step, committed, promised;
    struct committed {
        uint64_t step, state;
        bool spare; /* it may be gone */
    } * commits; /* owned */
    uint32_t keep;
    uint64_t agreed
        [AGREED_MAX]; /* steps that all ranks' states were equal after, and that are not committed */
    uint32_t agreed_count;
    uint64_t between; /* the newest after which a state between two tries was to be saved */
    uint32_t commit_count, commit_capacity;
    struct known {
        uint64_t state, gradient; /* of generation 1, by rank: the newest step that was agreed on */
    } known[64];
    uint32_t ranks;
    uint64_t distrusted;
    uint64_t wronged_ms; /* when the wrong worker last gave something to a step of it; 0: never */
    bool warned;         /* it was found wrong not long after, and it was not too late */
    bool disputed;
    bool torn;         /* its newest generation broke because of the wrong worker, unplanned */
    bool wrong_member; /* that is in its newest generation */
    /* When it ended: nobody could say that it is not the job's fault, for it was alone, or all had its state; or
     * nobody could do without it. */
    bool needs_wrong;
    bool gone_unseen;  /* it was lost, and nobody compared it */
    uint64_t copies;   /* bits: whose state is another's, and was not compared since */
    bool overwritten;  /* its state may have been wrong, and is that of others now: 0030 */
    uint64_t ended_ms; /* as its record says */
    bool forgotten;
    uint32_t micro_batches, crashes, hangs, lines;
    bool by_chance;         /* trainers may have died of something else than poison */
    uint32_t skips, deaths; /* deaths: of which something was accused */
    struct {
        uint64_t step, suspects, incarnation, trainer;
        char worker[64];
    } death[DEATHS_MAX];
    struct {
        uint64_t step;
        uint32_t micro_batch;
    } skipped[SIM_SKIPS_MAX]; /* so many as skips: only asked whether twice */
};

static struct seen_job seen[JOBS_MAX];
static uint64_t term, job_count, unplanned;

void check_reset (void)
{
    for (uint32_t i = 0; i < JOBS_MAX; i++)
        free (seen[i].commits);
    memset (seen, 0, sizeof seen);
    term = job_count = unplanned = 0;
}

uint64_t check_unplanned (void) { return unplanned; }
uint64_t check_progress (void)
{
    uint64_t progress = 0;
    for (uint64_t i = 1; i <= job_count; i++)
        progress += seen[i].promised;
    return progress;
}

uint64_t check_hangs (uint64_t job) { return seen[job].hangs; }
uint64_t check_lines (uint64_t job) { return seen[job].lines; }
uint64_t check_generation (uint64_t job) { return seen[job].generation; }
bool check_is_forgotten (uint64_t job) { return seen[job].forgotten; }
bool check_is_running (uint64_t job) { return seen[job].state == MU_JOB_RUNNING; }

/* Also if it was forgotten: what was said before waited for the disk, and leaves with that. */
static struct seen_job *ever (uint64_t job)
{
    CHECK (job >= 1 && job <= job_count, "a record speaks of job %" PRIu64, job);
    return &seen[job];
}

static struct seen_job *of (uint64_t job)
{
    CHECK (!ever (job)->forgotten, "job %" PRIu64 " is spoken of, and was forgotten", job);
    return &seen[job];
}

static void move (struct seen_job *job, uint32_t to)
{
    CHECK (mu_job_may_move ((int)job->state, (int)to), "a job moves from %s to %s",
           mu_job_state_name ((int)job->state), mu_job_state_name ((int)to));
    job->state = to;
}

/* --- records ---------------------------------------------------------------------------------- */

static uint32_t owner (struct mu_blob map, uint32_t m)
{
    const uint8_t *bytes = map.data;
    return bytes[2 * m] | (uint32_t)bytes[2 * m + 1] << 8;
}

/* Shares follow speed, but if there are enough nobody goes without (even: sums that were kept do not
 * decide, as in the first step, nor whom a micro-batch may have killed). */
static void check_map (const struct mu_journal_form *form, struct mu_blob map, bool even)
{
    uint32_t load[1024] = { 0 }, size = form->members.count;
    for (uint32_t m = 0; m < map.size / 2; m++) {
        CHECK (owner (map, m) < size, "micro-batch %u belongs to nobody", m);
        if (owner (map, m) < 1024)
            load[owner (map, m)]++;
    }
    for (uint32_t rank = 0; even && size <= map.size / 2 && rank < size && rank < 1024; rank++)
        CHECK (load[rank], "rank %u of %u has none of %u micro-batches", rank, size, map.size / 2);
}

static uint64_t bit_of (const char *worker)
{
    return UINT64_C (1) << ((strtoul (worker + 1, NULL, 10) - 1) % 64);
}

/* It needs another's state: it does not stand there, and cannot make the update that it lacks. */
static bool is_behind (const struct mu_journal_form *form, const struct mu_journal_member *member)
{
    return (member->step != form->step || member->attempt != form->attempt) &&
           !mu_is_one_behind (member->step, member->attempt, form->step, form->attempt,
                              form->made_of);
}

static bool has_kept (const struct mu_journal_form *form, const struct mu_journal_member *member)
{
    return member->generation && !is_behind (form, member);
}

/* Who was given a state, or has loaded one while others kept theirs, has nothing of its own to compare until
 * all were compared. */
static void note_copies (struct seen_job *job, const struct mu_journal_form *form)
{
    uint64_t copies = 0;
    bool any = false;
    for (uint32_t i = 0; i < form->members.count; i++)
        any = any || has_kept (form, &form->members.items[i]);
    for (uint32_t i = 0; i < form->members.count; i++) {
        const struct mu_journal_member *member = &form->members.items[i];
        if (is_behind (form, member) || (any && !has_kept (form, member)) ||
            (job->copies & bit_of (member->name)))
            copies |= bit_of (member->name);
    }
    job->copies = copies;
}

/* Who is lost was not compared; who is to leave when a generation breaks is, in the next one. A state that
 * fell over cannot be compared any more when it was overwritten by another's, or when all others are copies
 * of it. */
static void note_wrong_member (struct seen_job *job, const struct mu_journal_form *form)
{
    const char *wrong = faults.wrong ? worker_name (faults.wrong_worker) : "";
    bool is_member = false, receives = false, others = false;
    note_copies (job, form);
    for (uint32_t i = 0; i < form->members.count; i++) {
        const struct mu_journal_member *member = &form->members.items[i];
        bool is_it = !strcmp (member->name, wrong);
        is_member = is_member || is_it;
        receives = receives || (is_it && is_behind (form, member));
        others = others || (!is_it && !(job->copies & bit_of (member->name)));
    }
    bool alone = is_member && !others && form->members.count > 1;
    job->overwritten = job->overwritten || (faults.wrong == WRONG_STATE && job->wrong_member &&
                                            (receives || alone));
    job->gone_unseen = job->gone_unseen || (job->torn && job->wrong_member && !is_member);
    job->wrong_member = is_member;
}

/* However much is lost, a checkpoint that can be loaded is not gone back behind. */
static void check_kept (const struct seen_job *job, const struct mu_journal_form *form)
{
    for (uint32_t i = 0; i < job->commit_count; i++)
        CHECK (job->commits[i].step <= form->step || faults.wrong == WRONG_SNAPSHOT ||
                   storage_lost_bits (form->job, job->commits[i].step),
               "training goes on at step %" PRIu64 ", behind the checkpoint of step %" PRIu64,
               form->step, job->commits[i].step);
}

static void on_form (const struct mu_journal *record)
{
    const struct mu_journal_form *form = &record->form;
    struct seen_job *job = of (form->job);
    CHECK (form->generation == job->generation + 1, "generation %" PRIu64 " follows %" PRIu64,
           form->generation, job->generation);
    CHECK (form->step >= job->committed,
           "training begins at step %" PRIu64 ", and step %" PRIu64 " is committed", form->step,
           job->committed);
    CHECK (form->map.size == 2 * job->micro_batches && form->first_map.size == form->map.size,
           "a map has %u bytes", form->map.size);
    check_map (form, form->map, !job->deaths || job->death[job->deaths - 1].step < form->step);
    check_map (form, form->first_map, false);
    for (uint32_t a = 0; a < form->members.count && form->members.count < 200; a++)
        for (uint32_t b = 0; b < a; b++)
            CHECK (strcmp (form->members.items[a].name, form->members.items[b].name) != 0,
                   "%s has two ranks", form->members.items[a].name);
    check_kept (job, form);
    move (job, MU_JOB_FORMING);
    uint32_t agreed = 0;
    for (uint32_t i = 0; i < job->agreed_count; i++)
        if (job->agreed[i] <= form->step)
            job->agreed[agreed++] = job->agreed[i];
    job->agreed_count = agreed;
    job->generation = form->generation;
    job->until_step = form->until_step;
    job->ranks = form->members.count;
    note_wrong_member (job, form);
    statistics.generations++;
}

static void on_start (const struct mu_journal *record)
{
    CHECK (of (record->start.job)->generation == record->start.generation, "a late START");
    move (of (record->start.job), MU_JOB_RUNNING);
    world_check_ready (record->start.job, record->start.generation);
}

static void on_broken (const struct mu_journal *record)
{
    CHECK (of (record->broken.job)->generation == record->broken.generation, "a late BROKEN");
    CHECK (*record->broken.reason, "a generation broke without a reason");
    move (of (record->broken.job), MU_JOB_BREAKING);
    CHECK (!faults.gentle || faults.wrong || record->broken.planned,
           "a generation broke for nothing: %s", record->broken.reason);
    unplanned += !record->broken.planned;
    of (record->broken.job)->torn =
        !record->broken.planned && faults.wrong &&
        strstr (record->broken.reason, worker_name (faults.wrong_worker));
    of (record->broken.job)->lines += strstr (record->broken.reason, "nothing moves") != NULL;
}

static void on_lease (const struct mu_journal *record)
{
    struct seen_job *job = of (record->lease.job);
    CHECK (record->lease.generation == job->generation, "a late LEASE");
    CHECK (record->lease.until_step > job->until_step, "a lease shrinks");
    job->until_step = record->lease.until_step;
}

/* The newest; so many are remembered. */
static void note_agreed_state (struct seen_job *job, uint64_t step)
{
    uint32_t count = 0;
    for (uint32_t i = job->agreed_count == AGREED_MAX; i < job->agreed_count; i++)
        if (job->agreed[i] > job->committed)
            job->agreed[count++] = job->agreed[i];
    job->agreed[count++] = step;
    job->agreed_count = count;
}

/* Whoever resumes from it can be compared with what all held, whichever reign heard that. */
static void check_sum (const struct seen_job *job, const struct mu_journal_commit *commit)
{
    bool agreed = false;
    for (uint32_t i = 0; i < job->agreed_count; i++)
        agreed = agreed || job->agreed[i] == commit->step;
    if (job->between == commit->step)
        return;
    CHECK (!agreed || commit->state_sum,
           "all agreed on step %" PRIu64 ", and its checkpoint is committed without their sum",
           commit->step);
    CHECK (!commit->state_sum || faults.wrong ||
               commit->state_sum == chain_state (commit->job, commit->step),
           "step %" PRIu64 " is committed with another sum", commit->step);
}

/* It saves what all will load, and nobody is left to ask: a single survivor is believed. */
static bool is_its_word_alone (const struct mu_journal_save *save)
{
    return faults.wrong && !strcmp (save->worker, worker_name (faults.wrong_worker)) &&
           trainer_is_alone (faults.wrong_worker);
}

static void on_save (const struct mu_journal *record)
{
    struct seen_job *job = of (record->save.job);
    job->gone_unseen = job->gone_unseen || is_its_word_alone (&record->save);
    if (record->save.attempt)
        of (record->save.job)->between = record->save.step;
}

static void on_agreed (const struct mu_journal *record)
{
    const struct mu_journal_agreed *agreed = &record->agreed;
    struct seen_job *job = of (agreed->job);
    if (!agreed->place)
        note_agreed_state (job, agreed->step);
    job->copies = agreed->place ? job->copies : 0;
    for (uint32_t i = 0; i < agreed->ranks && job->generation == 1 && job->ranks <= 64; i++) {
        uint32_t first = agreed->place ? agreed->place - 1 : 0;
        struct known *known = &job->known[(first + i) % job->ranks];
        uint64_t *step = agreed->place ? &known->gradient : &known->state;
        *step = agreed->step > *step ? agreed->step : *step; /* words overtake each other */
    }
}

/* Where nobody has come or gone yet it is easy to say: the anchor is the newest checkpoint up to which
 * all have agreed on everything. */
static void check_anchor (const struct seen_job *job, const struct mu_journal_commit *commit)
{
    uint64_t agreed = UINT64_MAX, anchor = commit->step;
    if (job->generation != 1 || job->ranks > 64)
        return;
    for (uint32_t rank = 0; rank < job->ranks; rank++) {
        const struct known *known = &job->known[rank];
        agreed = known->state < agreed ? known->state : agreed;
        agreed = known->gradient < agreed ? known->gradient : agreed;
    }
    for (uint32_t i = job->commit_count; i > 0 && anchor > agreed; i--)
        anchor = job->commits[i - 1].step;
    anchor = anchor > agreed ? 0 : anchor;
    CHECK (commit->anchor == anchor, "the anchor of step %" PRIu64 " is %" PRIu64 ", not %" PRIu64,
           commit->step, commit->anchor, anchor);
}

/* Training may have to go back to the newest ones, and to the anchor. */
static void note_spare (struct seen_job *job, uint64_t anchor)
{
    for (uint32_t i = 0; job->keep && i + job->keep < job->commit_count; i++)
        job->commits[i].spare = job->commits[i].spare || job->commits[i].step != anchor;
}

bool check_needs (uint64_t job, uint64_t step)
{
    const struct seen_job *mine = ever (job);
    for (uint32_t i = 0; i < mine->commit_count; i++)
        if (mine->commits[i].step == step)
            return !mine->commits[i].spare;
    return false;
}

/* The newest and the anchor, where it is known how many. */
void check_stays (uint64_t job, const struct mu_wire_prune *prune)
{
    uint32_t keep = ever (job)->keep;
    CHECK (!keep == !prune->generation && (!keep || prune->stays.count <= keep + 1),
           "%u checkpoints of job %" PRIu64 " are to stay in generation %" PRIu64 ", of %u",
           prune->stays.count, job, prune->generation, keep);
}

static void on_commit (const struct mu_journal *record)
{
    const struct mu_journal_commit *commit = &record->commit;
    struct seen_job *job = of (commit->job);
    char hash[32];
    CHECK (commit->step > job->committed, "step %" PRIu64 " is committed after %" PRIu64,
           commit->step, job->committed);
    snprintf (hash, sizeof hash, "%016" PRIx64, chain_state (commit->job, commit->step));
    CHECK (!strcmp (hash, commit->weights_hash) || faults.wrong, "a wrong state is committed");
    CHECK (!job->distrusted || commit->generation > job->distrusted,
           "step %" PRIu64 " of generation %" PRIu64 " is committed, in which a worker was wrong",
           commit->step, commit->generation);
    check_anchor (job, commit);
    check_sum (job, commit);
    job->committed = commit->step;
    job->promised = commit->step > job->promised ? commit->step : job->promised;
    if (job->commit_count == job->commit_capacity) {
        job->commit_capacity = job->commit_capacity ? 2 * job->commit_capacity : 16;
        job->commits = realloc (job->commits, job->commit_capacity * sizeof *job->commits);
        if (!job->commits)
            abort ();
    }
    job->commits[job->commit_count++] =
        (struct committed){ commit->step, strtoull (commit->weights_hash, NULL, 16), false };
    CHECK (storage_has (commit->job, commit->step),
           "step %" PRIu64 " is committed, and was removed", commit->step);
    note_spare (job, commit->anchor);
}

/* It was found out, here or in another job: where it gave something to steps lately and training is not
 * over, all of that has to be undone. */
static void warn_jobs (void)
{
    for (uint64_t i = 1; i <= job_count; i++) {
        struct seen_job *job = &seen[i];
        job->warned =
            job->warned || (job->wronged_ms && clock_now () < job->wronged_ms + WARNED_MS &&
                            job->state != MU_JOB_STOPPING);
    }
}

void check_wronged (uint64_t job, uint32_t worker)
{
    if (!faults.wrong || worker != faults.wrong_worker || clock_now () < faults.wrong_since_ms)
        return;
    seen[job].wronged_ms = clock_now ();
    seen[job].warned = false; /* what it does from now on is another matter */
}

/* Never to what was not committed. */
static void go_back (struct seen_job *job, uint64_t step)
{
    while (job->commit_count && job->commits[job->commit_count - 1].step > step)
        job->commit_count--;
    job->committed = job->commit_count ? job->commits[job->commit_count - 1].step : 0;
    CHECK (job->committed == step, "step %" PRIu64 " was not committed", step);
}

/* That the job itself cannot do, and that all who said so had their state of one of them. */
static bool is_tried_again (const struct seen_job *job, const struct mu_journal_expel *expel)
{
    const struct sim_job *what = client_job_at ((uint32_t)strtoul (job->key, NULL, 10));
    return !*expel->worker && what->bad && expel->step == what->bad_step + 1;
}

/* Never somebody who was right. */
static void on_expel (const struct mu_journal *record)
{
    const struct mu_journal_expel *expel = &record->expel;
    struct seen_job *job = of (expel->job);
    const char *wrong = faults.wrong ? worker_name (faults.wrong_worker) : "";
    CHECK (faults.wrong || is_tried_again (job, expel), "%s is expelled, and nobody was wrong",
           expel->worker);
    CHECK (!*expel->worker || !strcmp (expel->worker, wrong), "%s is expelled in place of %s",
           expel->worker, wrong);
    CHECK (expel->back_step <= expel->agreed_step &&
               (expel->in_job || expel->agreed_step <= expel->step),
           "training goes back to step %" PRIu64 " from %" PRIu64 ", agreed on at %" PRIu64,
           expel->back_step, expel->step, expel->agreed_step);
    go_back (job, expel->back_step);
    job->agreed_count = 0;
    job->distrusted = expel->generation;
    if (*expel->worker)
        job->wrong_member = job->gone_unseen = false;
    job->disputed = job->disputed || !*expel->worker;
    if (*expel->worker && !expel->in_job)
        warn_jobs ();
    statistics.expelled += *expel->worker != '\0';
    statistics.elsewhere += expel->in_job != 0;
    statistics.disputes += *expel->worker == '\0';
}

/* Its state went wrong after all had agreed on that step, and before it was saved. */
static bool is_of_the_wrong (const struct mu_journal_unsound *unsound)
{
    return faults.wrong == WRONG_STATE &&
           !strcmp (unsound->worker, worker_name (faults.wrong_worker));
}

/* It was damaged, or never what was said: nothing that is sound is given up. */
static void on_unsound (const struct mu_journal *record)
{
    const struct mu_journal_unsound *unsound = &record->unsound;
    struct seen_job *job = of (unsound->job);
    CHECK (job->committed == unsound->step &&
               (unsound->unread ? storage_was_away (unsound->job, unsound->step)
                                : storage_lost_bits (unsound->job, unsound->step) ||
                                      is_of_the_wrong (unsound) || faults.wrong == WRONG_SNAPSHOT),
           "the checkpoint of step %" PRIu64 " is given up for nothing", unsound->step);
    go_back (job, unsound->back_step);
    statistics.unsound += !unsound->unread;
    statistics.unread += unsound->unread;
}

static uint64_t steps_of (const struct sim_job *job)
{
    if (job->steps)
        return job->steps;
    double steps = job->epochs * (double)job->records / job->global_batch;
    uint64_t whole = (uint64_t)steps;
    return whole + ((double)whole < steps);
}

static bool is_over (const struct seen_job *job)
{
    return job->state == MU_JOB_DONE || job->state == MU_JOB_FAILED ||
           job->state == MU_JOB_CANCELLED;
}

/* Whoever asked for a pause was told that it comes. Only who says otherwise takes it back, in the state it is in. */
static void check_pause (const struct seen_job *job, const struct mu_journal_state *said)
{
    bool goes_on = said->state == MU_JOB_PENDING || said->state == MU_JOB_PREPARING;
    CHECK (job->target != MU_JOB_PAUSED || said->target == MU_JOB_PAUSED || !goes_on ||
               said->state == job->state,
           "job %" PRIu64 " was to be paused, and is %s", said->job,
           mu_job_state_name ((int)said->state));
}

static void on_state (const struct mu_journal *record)
{
    struct seen_job *job = of (record->state.job);
    check_pause (job, &record->state);
    job->target = record->state.target;
    if (record->state.state != job->state)
        move (job, record->state.state);
    if (job->state == MU_JOB_DONE)
        CHECK (job->committed == steps_of (client_job (record->state.job)),
               "job %" PRIu64 " is done at step %" PRIu64, record->state.job, job->committed);
    /* Too few were left for another generation, and it went elsewhere. */
    job->gone_unseen = job->gone_unseen || (job->wrong_member && job->state == MU_JOB_PENDING);
    bool was_compared = faults.seen && !job->gone_unseen && !job->overwritten;
    if (job->state == MU_JOB_DONE && (!faults.wrong || was_compared || job->warned))
        CHECK (job->commits[job->commit_count - 1].state ==
                   chain_state (record->state.job, job->committed),
               "job %" PRIu64 " is done with wrong weights", record->state.job);
    job->needs_wrong =
        job->wrong_member &&
        (job->overwritten || job->ranks <= client_job (record->state.job)->workers_min);
    if (is_over (job))
        job->ended_ms = record->state.time_ms;
    if (job->state == MU_JOB_FAILED)
        CHECK (record->state.reason.size && record->state.code, "a job fails without saying why");
}

/* Of those that have ended the newest are remembered, and none is forgotten before its time. */
static void on_forgotten (const struct mu_journal *record)
{
    const struct mu_journal_forgotten *forgotten = &record->forgotten;
    CHECK (forgotten->job && forgotten->last <= job_count && !seen[forgotten->job].forgotten &&
               !seen[forgotten->last].forgotten,
           "jobs %" PRIu64 " to %" PRIu64 " are forgotten", forgotten->job, forgotten->last);
    uint32_t kept = 0;
    for (uint64_t i = forgotten->last + 1; i <= job_count; i++)
        kept += is_over (&seen[i]);
    CHECK (faults.jobs_max && kept >= faults.jobs_max, "%u that ended are remembered", kept);
    for (uint64_t i = forgotten->job; i <= forgotten->last; i++) {
        CHECK (is_over (&seen[i]), "job %" PRIu64 " is forgotten, and is %s", i,
               mu_job_state_name ((int)seen[i].state));
        CHECK (!faults.history_ms ||
                   seen[i].ended_ms + faults.history_ms < 1700000000000 + clock_now (),
               "job %" PRIu64 " is forgotten early", i);
        statistics.forgotten += !seen[i].forgotten;
        seen[i].forgotten = true;
    }
}

static void on_submit (const struct mu_journal *record)
{
    const struct mu_journal_submit *submit = &record->submit;
    CHECK (submit->job == job_count + 1 && submit->job < JOBS_MAX, "job %" PRIu64 " after %" PRIu64,
           submit->job, job_count);
    for (uint64_t i = 1; i <= job_count; i++)
        CHECK (strcmp (seen[i].key, submit->key) != 0, "key %s makes a second job", submit->key);
    job_count++;
    snprintf (seen[job_count].key, sizeof seen[job_count].key, "%s", submit->key);
    seen[job_count].micro_batches = submit->micro_batches;
    seen[job_count].keep = submit->keep;
    client_known (submit->key, submit->job);
}

static void on_reign (const struct mu_journal *record)
{
    CHECK (record->reign.term > term, "term %" PRIu64 " after %" PRIu64, record->reign.term, term);
    term = record->reign.term;
}

static bool says (struct mu_blob text, const char *words)
{
    return text.size && memmem (text.data, text.size, words, strlen (words));
}

/* A death that is told twice accuses once; one by a signal from outside accuses nothing. */
static void on_crash (const struct mu_journal *record)
{
    const struct mu_journal_crash *crash = &record->crash;
    struct seen_job *job = of (crash->job);
    job->crashes++;
    job->by_chance = job->by_chance || faults.trainer_crash || client_job (crash->job)->crashes ||
                     says (crash->text, "signal 9");
    /* What it had compared went with its trainer, and others' words may have broken the generation first. */
    job->torn =
        job->torn || (faults.wrong && !strcmp (crash->worker, worker_name (faults.wrong_worker)));
    if (!crash->suspects.size || job->deaths == DEATHS_MAX)
        return;
    CHECK (!says (crash->text, "signal 9"), "a kill from outside accuses");
    for (uint32_t i = 0; i < job->deaths; i++)
        if (job->death[i].incarnation == crash->incarnation &&
            job->death[i].trainer == crash->trainer &&
            !strcmp (job->death[i].worker, crash->worker))
            return;
    uint64_t suspects = 0;
    for (uint32_t i = 0; i < crash->suspects.size && i < 8; i++)
        suspects |= (uint64_t)((const uint8_t *)crash->suspects.data)[i] << 8 * i;
    job->death[job->deaths].step = crash->suspect_step;
    job->death[job->deaths].suspects = suspects;
    job->death[job->deaths].incarnation = crash->incarnation;
    job->death[job->deaths].trainer = crash->trainer;
    snprintf (job->death[job->deaths++].worker, 64, "%s", crash->worker);
}

static void note_skip (struct seen_job *job, uint64_t step, uint32_t micro_batch)
{
    for (uint32_t i = 0; i < job->skips; i++)
        CHECK (job->skipped[i].step != step || job->skipped[i].micro_batch != micro_batch,
               "micro-batch %u of step %" PRIu64 " is left out twice", micro_batch, step);
    CHECK (job->skips < SIM_SKIPS_MAX, "%u micro-batches are left out", job->skips + 1);
    job->skipped[job->skips].step = step;
    job->skipped[job->skips++].micro_batch = micro_batch;
    statistics.skips++;
}

/* Only what kills every trainer is condemned, after three deaths; and all of it is. */
static void on_poison (const struct mu_journal *record)
{
    const struct mu_journal_poison *poison = &record->poison;
    struct seen_job *job = of (poison->job);
    uint64_t bit = UINT64_C (1) << poison->micro_batch;
    uint32_t deaths = 0;
    for (uint32_t i = 0; i < job->deaths; i++)
        deaths += job->death[i].step == poison->step && (job->death[i].suspects & bit);
    CHECK (chain_poison (poison->job, poison->step) & bit,
           "micro-batch %u of step %" PRIu64 " of job %" PRIu64 " is condemned and kills nobody",
           poison->micro_batch, poison->step, poison->job);
    CHECK (deaths >= 3 || job->deaths == DEATHS_MAX, "condemned after %u deaths", deaths);
    CHECK (poison->skipped == (job->skips < client_job (poison->job)->poison_limit),
           "the job's choice is not kept");
    statistics.poisons++;
    if (!poison->skipped)
        return;
    CHECK (job->state != MU_JOB_FORMING && job->state != MU_JOB_RUNNING,
           "a micro-batch is left out while a generation trains");
    note_skip (job, poison->step, poison->micro_batch);
}

/* A slow process is not called one that hangs: it must have been held up not long before, as far as
 * words may be late. */
static void on_hung (const struct mu_journal *record)
{
    const struct mu_journal_hung *hung = &record->hung;
    uint32_t worker = (uint32_t)strtoul (hung->worker + 1, NULL, 10) - 1;
    of (hung->job)->hangs++;
    statistics.hangs++;
    CHECK (worker_at (worker)->held_ms + 40000 > clock_now (), "%s does not hang: %s", hung->worker,
           hung->text);
    CHECK (*hung->text && hung->duty != MU_DUTY_NOBODY, "a hang is not told about");
}

static bool hangs_since (uint64_t hung_ms)
{
    return hung_ms && hung_ms + COORD_HANG_MS <= clock_now ();
}

/* A beat that is said twice may speak of the writer before. */
static void on_overdue (const struct mu_journal *record)
{
    const struct mu_journal_overdue *overdue = &record->overdue;
    uint32_t number = (uint32_t)strtoul (overdue->worker + 1, NULL, 10) - 1;
    const struct sim_worker *worker = worker_at (number);
    if (overdue->over)
        return;
    statistics.overdue++;
    CHECK (hangs_since (worker->writer_hung_ms) || hangs_since (worker->writer_hung_before_ms),
           "%s's writer does not hang: %.*s", overdue->worker, (int)overdue->text.size,
           (const char *)overdue->text.data);
}

/* Whoever saves here was told to; one that is wrong may save what others did not. */
static void on_disbelieved (const struct mu_journal *record)
{
    const struct mu_blob *text = &record->disbelieved.text;
    CHECK (faults.wrong, "%.*s", (int)text->size, (const char *)text->data);
}

static void on_rewind (const struct mu_journal *record)
{
    (void)of (record->rewind.job);
    statistics.rewinds++;
}

typedef void checker (const struct mu_journal *record);

static checker *const checkers[] = {
    [MU_JOURNAL_REIGN] = on_reign,
    [MU_JOURNAL_SUBMIT] = on_submit,
    [MU_JOURNAL_FORM] = on_form,
    [MU_JOURNAL_START] = on_start,
    [MU_JOURNAL_BROKEN] = on_broken,
    [MU_JOURNAL_LEASE] = on_lease,
    [MU_JOURNAL_COMMIT] = on_commit,
    [MU_JOURNAL_STATE] = on_state,
    [MU_JOURNAL_CRASH] = on_crash,
    [MU_JOURNAL_REWIND] = on_rewind,
    [MU_JOURNAL_HUNG] = on_hung,
    [MU_JOURNAL_POISON] = on_poison,
    [MU_JOURNAL_EXPEL] = on_expel,
    [MU_JOURNAL_AGREED] = on_agreed,
    [MU_JOURNAL_DISBELIEVED] = on_disbelieved,
    [MU_JOURNAL_UNSOUND] = on_unsound,
    [MU_JOURNAL_SAVE] = on_save,
    [MU_JOURNAL_OVERDUE] = on_overdue,
    [MU_JOURNAL_FORGOTTEN] = on_forgotten,
};

void check_record (const struct mu_journal *record)
{
    story_record (record);
    if ((size_t)record->type < sizeof checkers / sizeof *checkers && checkers[record->type])
        checkers[record->type](record);
}

/* --- words: said only once they are true for good --------------------------------------------- */

/* All members of a generation leave out what the journal says, and the same. */
static void check_form_word (const struct mu_wire_form *form)
{
    const struct seen_job *job = ever (form->job);
    CHECK (form->generation <= job->generation, "FORM before its record");
    bool live = job->state == MU_JOB_FORMING || job->state == MU_JOB_RUNNING;
    CHECK (!live || form->generation < job->generation || form->skips.size == 12 * job->skips,
           "generation %" PRIu64 " is told of %u bytes of skips, not of %u", form->generation,
           form->skips.size, job->skips);
}

void check_word (const struct mu_wire *wire)
{
    CHECK (wire->term == term, "term %" PRIu64 " speaks in term %" PRIu64, wire->term, term);
    if (wire->type == MU_WIRE_SUBMITTED)
        CHECK (wire->submitted.job <= job_count, "job %" PRIu64 " is acknowledged, not stored",
               wire->submitted.job);
    if (wire->type == MU_WIRE_COMMITTED)
        CHECK (wire->committed.step <= ever (wire->committed.job)->promised,
               "step %" PRIu64 " is promised, not stored", wire->committed.step);
    if (wire->type == MU_WIRE_FORM)
        check_form_word (&wire->form);
    if (wire->type == MU_WIRE_GO)
        CHECK (ever (wire->go.job)->generation > wire->go.generation ||
                   ever (wire->go.job)->state != MU_JOB_FORMING,
               "GO before START");
    if (wire->type == MU_WIRE_LEASE)
        CHECK (wire->lease.generation < ever (wire->lease.job)->generation ||
                   wire->lease.until_step <= ever (wire->lease.job)->until_step,
               "LEASE before its record");
}

void check_restart (const struct coord *coord)
{
    CHECK (coord_job_count (coord) == job_count, "%u jobs of %" PRIu64 " are left",
           coord_job_count (coord), job_count);
    for (uint64_t i = 1; i <= job_count; i++) {
        struct mu_wire_job_info info;
        CHECK (coord_job_is_forgotten (coord, i) == seen[i].forgotten, "job %" PRIu64 " is %s", i,
               seen[i].forgotten ? "remembered again" : "forgotten");
        if (seen[i].forgotten)
            continue;
        CHECK (coord_job_info (coord, i, &info) == 0, "job %" PRIu64 " is gone", i);
        CHECK (info.generation == seen[i].generation && info.weights_step == seen[i].committed &&
                   !strcmp (info.state, mu_job_state_name ((int)seen[i].state)),
               "job %" PRIu64 " came back as another", i);
    }
}

/* --- training --------------------------------------------------------------------------------- */

/* Also by one that was silent while its job ended and was forgotten. */
void check_lease (uint64_t job, uint64_t generation, uint64_t step)
{
    CHECK (generation < ever (job)->generation || step < ever (job)->until_step,
           "step %" PRIu64 " of job %" PRIu64 " is trained without a lease", step, job);
}

void check_state (uint64_t job, uint64_t step, uint64_t state, uint32_t worker)
{
    bool right = state == chain_state (job, step);
    statistics.wrong_steps += !right;
    CHECK (right || faults.wrong, "%s has another answer after step %" PRIu64 " of job %" PRIu64,
           worker_name (worker), step, job);
}

uint64_t check_checkpoint (uint64_t job, uint64_t step, const char *hash)
{
    char right[32];
    snprintf (right, sizeof right, "%016" PRIx64, chain_state (job, step));
    CHECK (faults.wrong || !strcmp (hash, right), "job %" PRIu64 " resumes from another state",
           job);
    return strtoull (hash, NULL, 16);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Two that will never reach each other, and both stay: one generation has one of them at most. */
static bool are_parted_for_good (void)
{
    return faults.parted && !worker_at (faults.part[0])->never_returns &&
           !worker_at (faults.part[1])->never_returns;
}

static uint32_t fitting (const struct sim_job *job)
{
    uint32_t of_class[2] = { 0 }, usable = 0;
    for (uint32_t i = 0; i < options.workers; i++)
        of_class[worker_class (i)] += !worker_at (i)->never_returns;
    usable = of_class[0] + of_class[1];
    if (!job->portable && !job->mixed) /* it may be bound to either */
        usable = of_class[0] < of_class[1] ? of_class[0] : of_class[1];
    usable -= faults.wrong && usable; /* it may be expelled */
    usable -= are_parted_for_good () && usable;
    return job->odd_data && usable ? usable - 1 : usable;
}

/* Poison that was met is left out or fatal, as the job says. */
static void check_poison_end (const struct sim_job *what, const struct seen_job *job,
                              const struct mu_wire_job_info *info)
{
    uint32_t met = 0;
    for (uint32_t i = 0; i < what->poisons && job->state == MU_JOB_DONE; i++)
        met += what->poison_step[i] < info->steps;
    CHECK (met <= what->poison_limit, "a job is done that had to fail of poison");
    CHECK (job->state != MU_JOB_DONE || met == job->skips, "%u of %u are left out", job->skips,
           met);
    CHECK (info->skipped == job->skips, "the job tells of %u skips", info->skipped);
    bool blamed = job->state == MU_JOB_FAILED && says (info->reason, "kills every trainer");
    CHECK (!blamed || what->poisons > what->poison_limit,
           "a job failed of poison that it may skip");
    CHECK (job->by_chance || job->state != MU_JOB_FAILED || !says (info->reason, "ended by itself"),
           "what kills the trainers of a job was not found");
}

/* What nobody can compute was met: then it had to fail, and not for nothing. */
static bool is_bad (const struct sim_job *what, const struct seen_job *job,
                    const struct mu_wire_job_info *info)
{
    CHECK (!what->bad || job->state != MU_JOB_DONE || what->bad_step >= info->steps,
           "a job is done of which step %" PRIu64 " cannot be computed", what->bad_step);
    return what->bad && job->state == MU_JOB_FAILED && info->step <= what->bad_step;
}

void check_end (void)
{
    for (uint64_t i = 1; i <= job_count; i++) {
        const struct sim_job *what = client_job_at ((uint32_t)strtoul (seen[i].key, NULL, 10));
        struct mu_wire_job_info info;
        uint32_t state = seen[i].state;
        bool over = is_over (&seen[i]);
        statistics.done += state == MU_JOB_DONE;
        statistics.failed += state == MU_JOB_FAILED;
        statistics.cancelled += state == MU_JOB_CANCELLED;
        if (seen[i].forgotten)
            continue;
        coord_job_info (host_coord (), i, &info);
        CHECK (over || fitting (what) < what->workers_min,
               "job %" PRIu64 " needs %u of %u workers and is still %s at step %" PRIu64
               " of %" PRIu64 ": %.*s",
               i, what->workers_min, fitting (what), mu_job_state_name ((int)state), info.step,
               info.steps, (int)info.reason.size, (const char *)info.reason.data);
        CHECK (over || info.reason.size || state != MU_JOB_PENDING,
               "job %" PRIu64 " waits and does not say why", i);
        bool may_fail = seen[i].crashes >= 3 || seen[i].hangs >= 5 || what->small_data ||
                        what->odd_data || (info.code == MU_IO && statistics.save_failures >= 3) ||
                        (seen[i].disputed && !faults.seen) || seen[i].needs_wrong ||
                        is_bad (what, &seen[i], &info);
        check_poison_end (what, &seen[i], &info);
        CHECK (state != MU_JOB_FAILED || may_fail, "job %" PRIu64 " failed: %.*s", i,
               (int)info.reason.size, (const char *)info.reason.data);
    }
}
