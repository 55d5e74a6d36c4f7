/* SPDX-License-Identifier: Apache-2.0 */
/* audit.c - which worker is wrong, and what becomes of it
 *
 * Workers compare three things: the hash of their states after some steps (DIGEST, all ranks), and
 * that of one micro-batch's gradient (AUDIT, its owner and the two ranks after it), and that of the weights
 * after the last step (BEAT, SAVED; proof.c). When all have
 * spoken and all is equal, AGREED is stored. Opinions that were on their way when the generation broke
 * are heard until the next one is formed: who died meanwhile had said its own. A comparison that lacks
 * one proves nobody right; if those that spoke differ, nobody can say who is wrong.
 *
 * When opinions differ, the majority of at least three rules, and whoever is against it is wrong.
 * Only a rank with a state of its own has a voice: one that was given its state by another rank, or by its
 * checkpoint while others kept theirs, would only repeat that one's mistake, until all states were found equal
 * once. Without
 * such a majority nobody can say who is wrong: training goes back and is done again, and if the
 * same ones differ again before they agree, the job fails and names them. Until then none of them joins
 * a job that trains without it.
 *
 * When a world forms in which some are given their state, the others' are held against the source's. One that
 * differs there (DOWN) says so before anybody else has spoken: nobody can say who is wrong. Twice at step 0,
 * where no checkpoint is to be read and no sum was made, and the job fails.
 *
 * What was wrong may have been so since the member was last known to be right, and has gone into
 * everybody's sums since. So all go back to a checkpoint from before (EXPEL): later ones count no
 * more, and every trainer that was started before, whatever it holds, is started anew. Which
 * trainers those are is told by the newest generation that was distrusted when they were started.
 * That checkpoint is the anchor: COMMITTED says it to those who prune. */
#include "audit.h"

#include "absent.h"
#include "checkpoint.h"
#include "doubt.h"
#include "generation.h"
#include "job.h"
#include "prepare.h"
#include "proof.h"
#include "queue.h"
#include "roster.h"
#include "savers.h"
#include "shards.h"
#include "trust.h"
#include "unsound.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)
#define VOICES_MIN       3u

/* --- what is known to be right ---------------------------------------------------------------- */

uint64_t audit_known_step (const struct job_durable *job, uint64_t state_step,
                           uint64_t gradient_step)
{
    return job->audited && gradient_step < state_step ? gradient_step : state_step;
}

/* Up to where all members, or those of this name, are known to have been right; UINT64_MAX: there is nobody. */
static uint64_t members_step (const struct job_durable *job, const char *name)
{
    uint64_t step = UINT64_MAX;
    for (uint32_t rank = 0; rank < job->generation.size; rank++) {
        const struct member *member = &job->generation.members[rank];
        uint64_t known = audit_known_step (job, member->state_step, member->gradient_step);
        if (known < step && (!name || !strcmp (member->name, name)))
            step = known;
    }
    return step;
}

/* ... and those who left lately. */
static uint64_t right_step (const struct job_durable *job, const char *name, uint64_t unix_ms)
{
    uint64_t members = members_step (job, name), absent = absent_known_step (job, name, unix_ms);
    return absent < members ? absent : members;
}

static uint64_t agreed_step (const struct job_durable *job, uint64_t unix_ms)
{
    return job->generation.size ? right_step (job, NULL, unix_ms) : 0;
}

uint64_t audit_anchor (const struct job_durable *job, uint64_t also, uint64_t unix_ms)
{
    uint64_t agreed = agreed_step (job, unix_ms), anchor = also <= agreed ? also : job->anchor;
    for (uint32_t i = 0; i < job->commit_count; i++)
        if (job->commits[i].step <= agreed && job->commits[i].step > anchor)
            anchor = job->commits[i].step;
    return anchor;
}

uint64_t audit_right_step (const struct job_durable *job, const char *name, uint64_t unix_ms)
{
    uint64_t step = right_step (job, name, unix_ms);
    return step == UINT64_MAX ? agreed_step (job, unix_ms) : step;
}

/* The newest checkpoint is on storage, and so is the anchor; others may be pruned. `doubted`: as in unsound_upto (). */
static uint64_t back_step (const struct job *job, uint64_t right_step, const char *doubted)
{
    uint64_t committed = job_committed_step (job);
    const struct commit *commit =
        unsound_upto (job, committed <= right_step ? committed : job->durable.anchor, doubted);
    return commit ? commit->step : 0;
}

void audit_fill_back (const struct job *job, struct mu_journal_expel *expel, uint64_t right_step,
                      const char *doubted)
{
    expel->generation = job->durable.generation.number;
    expel->agreed_step = right_step;
    expel->back_step = back_step (job, right_step, doubted);
}

/* --- apply ------------------------------------------------------------------------------------ */

void audit_agree (struct job_durable *job, const struct mu_journal_agreed *agreed)
{
    struct generation *generation = &job->generation;
    bool states = agreed->place == 0;
    uint32_t first_rank = states ? 0 : agreed->place - 1;
    for (uint32_t i = 0; i < agreed->ranks; i++) {
        struct member *member = &generation->members[(first_rank + i) % generation->size];
        uint64_t *known = states ? &member->state_step : &member->gradient_step;
        *known = agreed->step > *known ? agreed->step : *known;
        member->echo = member->echo && !states;
    }
    if (job->generation.size && members_step (job, NULL) >= job->disputed_step)
        job_note (&job->disputed, "");
}

bool audit_is_outcast (const struct job_durable *job, const char *name, uint64_t incarnation)
{
    for (uint32_t i = 0; i < job->outcast_count; i++)
        if (job->outcasts[i].incarnation == incarnation && !strcmp (job->outcasts[i].name, name))
            return true;
    return false;
}

/* Once, however often it is found wrong: those that a job cannot have are counted. */
static void cast_out (struct job_durable *job, const struct mu_journal_expel *expel)
{
    if (audit_is_outcast (job, expel->worker, expel->incarnation))
        return;
    job->outcasts = core_grow (job->outcasts, job->outcast_count, &job->outcast_capacity,
                               sizeof *job->outcasts);
    struct outcast *outcast = &job->outcasts[job->outcast_count++];
    *outcast = (struct outcast){ .incarnation = expel->incarnation };
    SET (outcast->name, expel->worker);
}

void audit_expel (struct job_durable *job, const struct mu_journal_expel *expel)
{
    if (*expel->worker) {
        cast_out (job, expel);
    } else {
        job_note (&job->disputed, expel->others);
        job->disputed_step = expel->step;
    }
    /* Who was not found wrong may be so later: where its work is known to be right is kept. */
    bool all_agree = expel->back_step <= agreed_step (job, expel->time_ms);
    job->distrusted = expel->generation;
    if (all_agree || job->anchor > expel->back_step)
        job->anchor = expel->back_step;
    checkpoint_drop (job, expel->back_step);
    savers_forget (job);
    proof_forget (job);
    for (uint32_t rank = 0; rank < job->generation.size; rank++)
        job->generation.members[rank].echo = false; /* each will load a state of its own */
}

static bool is_named (const char *names, const char *name)
{
    size_t size = strlen (name);
    for (const char *at = names; size && (at = strstr (at, name)); at += size)
        if ((at == names || at[-1] == ' ') && (!at[size] || at[size] == ' ' || at[size] == ','))
            return true;
    return false;
}

/* Who joins is given its state and has no voice: they would differ again with nobody to say who is wrong,
 * and training would go back for ever. What the others agree on meanwhile is not lost any more. */
bool audit_keeps_off (const struct job *job, const struct worker *worker)
{
    return job->durable.state != MU_JOB_PREPARING &&
           job->soft.worker_count >= job->durable.workers_min &&
           is_named (job_noted (job->durable.disputed), worker->name);
}

/* --- states from before ----------------------------------------------------------------------- */

bool audit_is_tainted (const struct job *job, const struct worker *worker)
{
    return worker->position.distrusted != job->durable.distrusted;
}

bool audit_reopen (struct coord *coord, const struct job *job)
{
    bool any = false;
    for (uint32_t i = 0; i < job->soft.worker_count; i++) {
        struct worker *worker = job->soft.workers[i];
        if (worker->order != ORDER_NONE || !audit_is_tainted (job, worker) ||
            worker_leaves (coord, worker))
            continue;
        worker_release (coord, worker, true);
        any = true;
    }
    return any;
}

/* --- in words --------------------------------------------------------------------------------- */

static const char *describe (struct coord *coord, const struct comparison *comparison)
{
    if (comparison->what == AUDIT_STATE)
        return core_text (coord, "the state after step %llu", (unsigned long long)comparison->step);
    if (comparison->what == AUDIT_WEIGHTS)
        return core_text (coord, "the weights after step %llu",
                          (unsigned long long)comparison->step);
    if (comparison->what == AUDIT_PLACE)
        return core_text (coord, "how far they have come since step %llu",
                          (unsigned long long)comparison->step);
    return core_text (coord, "the gradient of micro-batch %u of step %llu", comparison->micro_batch,
                      (unsigned long long)comparison->step);
}

static uint32_t rank_of (const struct job *job, const struct comparison *comparison, uint32_t at)
{
    return (comparison->first_rank + at) % job->durable.generation.size;
}

static const struct member *member_of (const struct job *job, const struct comparison *comparison,
                                       uint32_t at)
{
    return &job->durable.generation.members[rank_of (job, comparison, at)];
}

static int by_alphabet (const void *a, const void *b)
{
    return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* Those that say `digest`, or those that do not, by the alphabet. */
static const char *name_those (struct coord *coord, const struct job *job,
                               const struct comparison *comparison, uint64_t digest, bool say_it)
{
    uint32_t count = 0;
    const char *names = "", **those = core_scratch (coord, comparison->ranks * sizeof *those);
    for (uint32_t at = 0; at < comparison->ranks; at++)
        if (comparison->opinions[at].said && (comparison->opinions[at].digest == digest) == say_it)
            those[count++] = member_of (job, comparison, at)->name;
    qsort (those, count, sizeof *those, by_alphabet);
    for (uint32_t i = 0; i < count && strlen (names) < 120; i++)
        names = core_text (coord, "%s%s%s", names, *names ? ", " : "", those[i]);
    return names;
}

static uint32_t first_said (const struct comparison *comparison)
{
    uint32_t at = 0;
    while (at < comparison->ranks && !comparison->opinions[at].said)
        at++;
    return at;
}

/* The same words for the same two sides, whoever of them is asked first: the first name by the
 * alphabet stands on the first side. */
static const char *name_all (struct coord *coord, const struct job *job,
                             const struct comparison *comparison)
{
    uint32_t first = first_said (comparison);
    for (uint32_t at = first; at < comparison->ranks; at++)
        if (comparison->opinions[at].said && strcmp (member_of (job, comparison, at)->name,
                                                     member_of (job, comparison, first)->name) < 0)
            first = at;
    uint64_t digest = comparison->opinions[first].digest;
    return core_text (coord, "%s against %s", name_those (coord, job, comparison, digest, true),
                      name_those (coord, job, comparison, digest, false));
}

/* --- the verdict ------------------------------------------------------------------------------ */

static bool has_voice (const struct job *job, const struct comparison *comparison, uint32_t at)
{
    return !member_of (job, comparison, at)->echo;
}

/* What more than half of the voices say. False: there is no such thing. */
static bool find_majority (const struct job *job, const struct comparison *comparison,
                           uint64_t *digest)
{
    uint32_t voices = 0, lead = 0, votes = 0;
    for (uint32_t at = 0; at < comparison->ranks; at++) {
        if (!has_voice (job, comparison, at))
            continue;
        voices++;
        if (!lead)
            *digest = comparison->opinions[at].digest;
        lead += comparison->opinions[at].digest == *digest ? 1 : UINT32_MAX;
    }
    for (uint32_t at = 0; at < comparison->ranks; at++)
        votes += has_voice (job, comparison, at) && comparison->opinions[at].digest == *digest;
    return voices >= VOICES_MIN && 2 * votes > voices;
}

static bool is_wrong (const struct job *job, const struct comparison *comparison, uint32_t at,
                      uint64_t right)
{
    return has_voice (job, comparison, at) && comparison->opinions[at].digest != right;
}

/* It has written what nobody else holds: who is not believed about what it wrote. */
static const char *writer_of (const struct comparison *comparison, const char *name)
{
    return comparison->what == AUDIT_WEIGHTS ? name : NULL;
}

static struct mu_journal make_record (const struct coord *coord, const struct job *job,
                                      const struct comparison *comparison,
                                      const struct member *wrong, const char *others,
                                      uint64_t right_step)
{
    struct mu_journal record = { .type = MU_JOURNAL_EXPEL,
                                 .expel = { .job = job->durable.number,
                                            .what = comparison->what == AUDIT_GRADIENT,
                                            .step = comparison->step,
                                            .micro_batch = comparison->micro_batch,
                                            .time_ms = coord->unix_ms } };
    if (wrong) {
        SET (record.expel.worker, wrong->name);
        record.expel.incarnation = wrong->incarnation;
    }
    audit_fill_back (job, &record.expel, right_step,
                     wrong ? writer_of (comparison, wrong->name) : NULL);
    SET (record.expel.others, others);
    return record;
}

static void go_back (struct coord *coord, struct job *job, const char *why,
                     struct mu_journal *records, uint32_t count)
{
    if (job_has_live_generation (job))
        generation_break (coord, job, false, why);
    for (uint32_t i = 0; i < count; i++)
        core_store (coord, &records[i]);
    job->soft.step = records[0].expel.back_step;
    job->soft.results.evaluated_step = 0;
    job->soft.save_done = job->soft.end_unsaved = false;
    job->soft.save_tries = 0;
    job_touch (coord, job);
}

void audit_go_back_once (struct coord *coord, struct job *job, const char *why,
                         struct mu_journal *record)
{
    record->expel.text = core_blob (core_text (coord, "%s; training goes back to step %llu", why,
                                               (unsigned long long)record->expel.back_step));
    go_back (coord, job, why, record, 1);
}

static void put_out (struct coord *coord, struct job *job, uint32_t rank, const char *why)
{
    struct worker *worker = job->soft.ranks[rank];
    trust_distrust (coord, job->durable.generation.members[rank].name, worker, why);
    if (worker)
        worker->yields = true;
}

/* Up to there all that are wrong now were right; what the others did is not in question. */
static uint64_t wrong_ones_step (const struct coord *coord, const struct job *job,
                                 const struct comparison *comparison, uint64_t right)
{
    uint64_t step = UINT64_MAX;
    for (uint32_t at = 0; at < comparison->ranks; at++) {
        const char *name = member_of (job, comparison, at)->name;
        uint64_t known = audit_right_step (&job->durable, name, coord->unix_ms);
        if (is_wrong (job, comparison, at, right) && known < step)
            step = known;
    }
    return step;
}

/* The gradients of two others were wrong a short while ago. Three such workers are less likely than a trainer of
 * somebody's own that gives other bits each time: it would have one after the other expelled. */
static bool is_the_trainers (const struct coord *coord, const struct job *job, const char *name)
{
    const struct misfit *last = job->soft.misfits, *before = last + 1;
    return strchr (job_noted (job->durable.data_identity), '*') && before->name &&
           strcmp (last->name, name) != 0 && strcmp (before->name, name) != 0 &&
           coord->now_ms < before->found_ms + COORD_MISFIT_MS;
}

/* The newest two of different workers. */
static void note_misfit (struct misfit *misfits, const char *name, uint64_t now_ms)
{
    if (strcmp (job_noted (misfits[0].name), name) != 0) {
        struct misfit oldest = misfits[1];
        misfits[1] = misfits[0];
        misfits[0] = oldest;
        job_note (&misfits[0].name, name);
    }
    misfits[0].found_ms = now_ms;
}

static void fail_random (struct coord *coord, struct job *job, const struct comparison *comparison,
                         const char *name)
{
    const struct misfit *last = job->soft.misfits, *before = last + 1;
    job_stop (
        coord, job, MU_JOB_FAILED, MU_INTERNAL,
        core_text (
            coord,
            "Worker %s differs from two others in %s, as workers %s and %s did in gradients "
            "%llu and %llu s before. So the trainer, which is one of your own, probably does "
            "not give the same bits for the same arguments (docs/trainer.md); if it does, check "
            "the memory and processors of all three. What was committed up to step %llu was "
            "agreed on.",
            name, describe (coord, comparison), before->name, last->name,
            (unsigned long long)(coord->now_ms - before->found_ms) / 1000,
            (unsigned long long)(coord->now_ms - last->found_ms) / 1000,
            (unsigned long long)back_step (job, agreed_step (&job->durable, coord->unix_ms),
                                           NULL)));
}

/* True: the job fails for it. */
static bool mind_misfit (struct coord *coord, struct job *job, const struct comparison *comparison,
                         uint64_t right)
{
    for (uint32_t at = 0; at < comparison->ranks && comparison->what == AUDIT_GRADIENT; at++) {
        const char *name = member_of (job, comparison, at)->name;
        if (!is_wrong (job, comparison, at, right))
            continue;
        if (is_the_trainers (coord, job, name)) {
            fail_random (coord, job, comparison, name);
            return true;
        }
        note_misfit (job->soft.misfits, name, coord->now_ms);
    }
    return false;
}

static void expel (struct coord *coord, struct job *job, const struct comparison *comparison,
                   uint64_t right)
{
    if (mind_misfit (coord, job, comparison, right))
        return;
    uint32_t count = 0, *wrong = core_scratch (coord, comparison->ranks * sizeof *wrong);
    struct mu_journal *records = core_scratch (coord, comparison->ranks * sizeof *records);
    const char *others = name_those (coord, job, comparison, right, true), *why = "";
    uint64_t right_step = wrong_ones_step (coord, job, comparison, right), back = UINT64_MAX;
    for (uint32_t at = 0; at < comparison->ranks; at++) {
        if (!is_wrong (job, comparison, at, right))
            continue;
        const struct member *member = member_of (job, comparison, at);
        struct mu_journal *record = &records[count];
        *record = make_record (coord, job, comparison, member, others, right_step);
        back = lower (back, record->expel.back_step);
        wrong[count++] = rank_of (job, comparison, at);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct mu_journal_expel *said = &records[i].expel;
        said->back_step = back;
        why = core_text (coord, "worker %s was wrong: %s is not that of %s", said->worker,
                         describe (coord, comparison), others);
        said->text =
            core_blob (core_text (coord, "%s; it is expelled, and training goes back to step %llu",
                                  why, (unsigned long long)back));
    }
    go_back (coord, job, why, records, count);
    for (uint32_t i = 0; i < count; i++) {
        put_out (coord, job, wrong[i], why);
        absent_accuse (coord, &records[i].expel, writer_of (comparison, records[i].expel.worker));
    }
}

static void fail_disputed (struct coord *coord, struct job *job,
                           const struct comparison *comparison, const char *names)
{
    job_stop (coord, job, MU_JOB_FAILED, MU_INTERNAL,
              core_text (coord,
                         "Workers %s differ again in %s, and there are not three opinions to tell "
                         "who is wrong. Check their memory and their builds, and that a trainer "
                         "of your own gives the same bits for the same arguments, or give the job "
                         "a third worker; what was committed up to step %llu was agreed on.",
                         names, describe (coord, comparison),
                         (unsigned long long)back_step (
                             job, agreed_step (&job->durable, coord->unix_ms), NULL)));
}

/* After going back all do, and if these differ then, somebody can be said to be wrong. */
static bool all_have_a_voice (const struct job *job, const struct comparison *comparison)
{
    for (uint32_t at = 0; at < comparison->ranks; at++)
        if (!has_voice (job, comparison, at))
            return false;
    return true;
}

static void go_back_disputed (struct coord *coord, struct job *job,
                              const struct comparison *comparison, const char *names)
{
    uint64_t right_step = agreed_step (&job->durable, coord->unix_ms);
    struct mu_journal record = make_record (coord, job, comparison, NULL, names, right_step);
    const char *why = core_text (coord, "workers %s differ in %s, and nobody can say who is wrong",
                                 names, describe (coord, comparison));
    audit_go_back_once (coord, job, why, &record);
}

static void dispute (struct coord *coord, struct job *job, const struct comparison *comparison)
{
    const char *names = name_all (coord, job, comparison);
    if (!strcmp (job_noted (job->durable.disputed), names) && all_have_a_voice (job, comparison))
        fail_disputed (coord, job, comparison, names);
    else
        go_back_disputed (coord, job, comparison, names);
}

/* Those that have spoken. */
static bool is_unanimous (const struct comparison *comparison)
{
    uint32_t first = first_said (comparison);
    for (uint32_t at = first; at < comparison->ranks; at++)
        if (comparison->opinions[at].said &&
            comparison->opinions[at].digest != comparison->opinions[first].digest)
            return false;
    return true;
}

static void store_agreed (struct coord *coord, struct job *job, const struct comparison *comparison)
{
    struct mu_journal record = {
        .type = MU_JOURNAL_AGREED,
        .agreed = { .job = job->durable.number,
                    .generation = job->durable.generation.number,
                    .place = comparison->what == AUDIT_STATE ? 0 : comparison->first_rank + 1,
                    .ranks = comparison->ranks,
                    .step = comparison->step }
    };
    bool was_disputed = job->durable.disputed != NULL;
    if (comparison->what == AUDIT_STATE) {
        proof_fill (coord, job, comparison, &record.agreed);
        doubt_agreed (job, comparison->step);
    }
    core_store (coord, &record);
    if (comparison->what == AUDIT_STATE)
        proof_agreed (coord, job);
    if (was_disputed && !job->durable.disputed) /* who was kept off may come again */
        queue_want (coord);
    job_touch (coord, job);
}

static void judge (struct coord *coord, struct job *job, const struct comparison *comparison)
{
    uint64_t right = 0;
    bool ruled = find_majority (job, comparison, &right);
    bool any = false;
    for (uint32_t at = 0; at < comparison->ranks && ruled; at++)
        any = any || is_wrong (job, comparison, at, right);
    if (is_unanimous (comparison) && comparison->what == AUDIT_WEIGHTS)
        return; /* COMMIT follows */
    if (is_unanimous (comparison))
        store_agreed (coord, job, comparison);
    else if (any)
        expel (coord, job, comparison, right);
    else
        dispute (coord, job, comparison);
}

/* --- opinions --------------------------------------------------------------------------------- */

static void forget (struct comparison *comparison)
{
    free (comparison->opinions);
    *comparison = (struct comparison){ 0 };
}

void audit_clear (struct job *job)
{
    struct job_soft *soft = &job->soft;
    for (uint32_t i = 0; i < soft->comparison_count; i++)
        forget (&soft->comparisons[i]);
    free (soft->comparisons);
    soft->comparisons = NULL;
    soft->comparison_count = soft->comparison_next[0] = soft->comparison_next[1] = 0;
}

/* After a restart all say again what they compared lately: all the same states, each rank gradients of its own.
 * So each kind has a ring to itself, states the first one, or those of many ranks would push a state out. */
static void make_room (struct job_soft *soft, uint32_t size)
{
    if (soft->comparisons)
        return;
    soft->comparison_count = COMPARISONS + GRADIENTS * size;
    soft->comparisons = calloc (soft->comparison_count, sizeof *soft->comparisons);
    assert (soft->comparisons);
}

/* How much of the first ring, which states and weights share, was used. */
static uint32_t states_begun (const struct job_soft *soft)
{
    return soft->comparison_next[0] < COMPARISONS ? soft->comparison_next[0] : COMPARISONS;
}

static struct comparison *find (struct job_soft *soft, const struct comparison *about)
{
    bool gradient = about->what == AUDIT_GRADIENT;
    uint32_t room = gradient ? soft->comparison_count - COMPARISONS : COMPARISONS;
    uint32_t *next = &soft->comparison_next[gradient];
    struct comparison *list = soft->comparisons + (gradient ? COMPARISONS : 0);
    for (uint32_t i = 0; i < room && i < *next; i++) {
        struct comparison *it = &list[i];
        if (it->ranks && it->what == about->what && it->step == about->step &&
            it->attempt == about->attempt && it->micro_batch == about->micro_batch)
            return it;
    }
    struct comparison *it = &list[(*next)++ % room];
    forget (it);
    *it = *about;
    it->opinions = calloc (about->ranks, sizeof *it->opinions);
    assert (it->opinions);
    return it;
}

/* False: that is no news. */
static bool hear (struct coord *coord, const struct worker *worker, const struct comparison *about,
                  uint64_t digest)
{
    struct job *job = worker->job;
    uint32_t size = job->durable.generation.size;
    uint32_t at = (worker->rank + size - about->first_rank) % size;
    if (about->ranks < 2 || at >= about->ranks)
        return false;
    make_room (&job->soft, size);
    struct comparison *it = find (&job->soft, about);
    if (it->opinions[at].said)
        return false;
    it->opinions[at] = (struct opinion){ .digest = digest, .said = true };
    if (++it->said == it->ranks)
        judge (coord, job, it);
    return true;
}

/* Once it was judged, a generation has nothing more to say: who has a voice is another question then. */
static bool is_member (const struct worker *worker, uint64_t job, uint64_t generation)
{
    return worker->job && worker->rank != NONE && worker->job->durable.number == job &&
           worker->job->durable.generation.number == generation &&
           generation > worker->job->durable.distrusted &&
           (job_has_live_generation (worker->job) || worker->job->durable.state == MU_JOB_BREAKING);
}

void audit_state (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_digest *said = &wire->digest;
    if (!is_member (worker, said->job, said->generation))
        return;
    struct comparison about = { .what = AUDIT_STATE,
                                .step = said->step,
                                .attempt = said->attempt,
                                .ranks = worker->job->durable.generation.size };
    hear (coord, worker, &about, said->digest);
}

void audit_gradient (struct coord *coord, struct worker *worker, const struct mu_wire *wire)
{
    const struct mu_wire_audit *said = &wire->audit;
    if (!is_member (worker, said->job, said->generation) ||
        said->micro_batch >= worker->job->durable.micro_batches)
        return;
    const struct generation *generation = &worker->job->durable.generation;
    struct comparison about = { .what = AUDIT_GRADIENT,
                                .micro_batch = said->micro_batch,
                                .step = said->step,
                                .first_rank = shards_rank (generation->map, said->micro_batch),
                                .ranks = generation->size < 3 ? generation->size : 3 };
    hear (coord, worker, &about, said->digest);
}

/* Both have made it anew since the last time, of the seed alone: there is nothing to go back to. */
static void fail_beginning (struct coord *coord, struct job *job, const char *names)
{
    job_stop (
        coord, job, MU_JOB_FAILED, MU_INTERNAL,
        core_text (coord,
                   "Workers %s have begun with different weights twice. A trainer of your "
                   "own must make the same of the same seed, on all workers (docs/trainer.md); "
                   "else check their memory and their builds, and that checkpoint.init is "
                   "the same everywhere.",
                   names));
}

/* The two names of a dispute, the same in whatever order they come. */
static const char *name_two (struct coord *coord, const char *one, const char *other)
{
    bool first = strcmp (one, other) < 0;
    return core_text (coord, "%s against %s", first ? one : other, first ? other : one);
}

void audit_dispute_places (struct coord *coord, struct job *job, const struct worker *one,
                           const struct worker *other)
{
    uint64_t agreed = agreed_step (&job->durable, coord->unix_ms);
    struct comparison about = { .what = AUDIT_PLACE,
                                .step = higher (agreed,
                                                lower (one->position.step, other->position.step)) };
    const char *names = name_two (coord, one->name, other->name);
    if (!strcmp (job_noted (job->durable.disputed), names))
        fail_disputed (coord, job, &about, names);
    else
        go_back_disputed (coord, job, &about, names);
}

bool audit_differs_in_part (struct coord *coord, struct job *job)
{
    if (job->durable.generation.number <= job->durable.distrusted)
        return false;
    for (uint32_t i = 0; i < job->soft.comparison_count; i++) {
        const struct comparison *it = &job->soft.comparisons[i];
        if (it->said < it->ranks && it->what != AUDIT_WEIGHTS && !is_unanimous (it)) {
            dispute (coord, job, it);
            return true;
        }
    }
    return false;
}

bool audit_differs (struct coord *coord, struct worker *worker, const struct mu_wire_down *down)
{
    struct job *job = worker->job;
    if (!down->differs || !is_member (worker, down->job, down->generation) ||
        worker->rank == job->durable.generation.source_rank)
        return false;
    const struct generation *generation = &job->durable.generation;
    struct comparison about = { .what = AUDIT_STATE, .step = generation->step };
    const char *those =
        name_two (coord, generation->members[generation->source_rank].name, worker->name);
    if (!generation->step && job->durable.disputed && !job->durable.disputed_step)
        fail_beginning (coord, job, those);
    else
        go_back_disputed (coord, job, &about, those);
    return true;
}

bool audit_weights (struct coord *coord, struct worker *worker, const char *hash)
{
    const struct job *job = worker->job;
    if (!job || !*hash || job->durable.state != MU_JOB_RUNNING ||
        !is_member (worker, job->durable.number, job->durable.generation.number))
        return false;
    struct comparison about = { .what = AUDIT_WEIGHTS,
                                .step = job->durable.steps,
                                .ranks = job->durable.generation.size };
    return hear (coord, worker, &about, index_hash_text (hash));
}

bool audit_is_open (const struct job *job, uint64_t step)
{
    for (uint32_t i = 0; i < states_begun (&job->soft); i++) {
        const struct comparison *it = &job->soft.comparisons[i];
        if (it->ranks && it->what == AUDIT_STATE && it->step == step && !it->attempt &&
            it->said < it->ranks)
            return true;
    }
    return false;
}

/* How many have said that of the last weights, or something else. */
static uint32_t count_opinions (const struct job *job, const char *hash, bool the_same)
{
    uint64_t digest = index_hash_text (hash);
    uint32_t count = 0;
    for (uint32_t i = 0; i < states_begun (&job->soft); i++) {
        const struct comparison *it = &job->soft.comparisons[i];
        for (uint32_t at = 0; at < it->ranks && it->what == AUDIT_WEIGHTS; at++)
            count += it->opinions[at].said && (it->opinions[at].digest == digest) == the_same;
    }
    return count;
}

bool audit_is_agreed (const struct job *job, const char *hash)
{
    return !count_opinions (job, hash, false);
}

bool audit_outvotes (const struct job *job, const char *hash)
{
    return count_opinions (job, hash, false) > count_opinions (job, hash, true);
}
