/* SPDX-License-Identifier: Apache-2.0 */
/* absent.c - what is known of a generation's members, carried to the next; and who left too soon
 *
 * A member that dies, is drained or goes to another job takes its next comparison with it, while what
 * it added to the sums since the last one stays in everybody's weights. So the job remembers it for
 * COORD_ABSENT_MS, with the steps up to which it is known to have been right:
 *
 *     it comes back           it is a member as if it had never been away: what it did before is as
 *                             doubtful as what it does now, until a comparison says that it is right;
 *                             and it is remembered all the same
 *     it is found wrong       in whatever job: this one goes back too (EXPEL names the other)
 *     training goes back      to where it was known to be right: nothing is left of its work, if all who were
 *                             there give up their states. If not, one may come back that holds such a
 *                             state, and is given to all: all who were there are remembered, and who was
 *                             remembered stays so
 *
 * Meanwhile the anchor is no newer than those steps. It is known by its name, for it may have been
 * started anew since: the machine is the same. docs/decisions/0030.
 *
 * A state that is gone cannot be compared any more, whoever held it: equal states afterwards say only
 * that all have the same. So a member that stays is remembered like one that leaves, if it has loaded a
 * checkpoint or is given another's state, or if all the others are, and theirs is only its own. */
#include "absent.h"

#include "audit.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

static bool is_recent (const struct absentee *absentee, uint64_t unix_ms)
{
    return unix_ms < absentee->left_ms + COORD_ABSENT_MS;
}

static uint64_t known_of (const struct job_durable *job, const struct absentee *absentee)
{
    return audit_known_step (job, absentee->state_step, absentee->gradient_step);
}

uint64_t absent_known_step (const struct job_durable *job, const char *name, uint64_t unix_ms)
{
    uint64_t step = UINT64_MAX;
    for (uint32_t i = 0; i < job->absentee_count; i++) {
        const struct absentee *absentee = &job->absentees[i];
        uint64_t known = known_of (job, absentee);
        if (is_recent (absentee, unix_ms) && known < step &&
            (!name || !strcmp (absentee->name, name)))
            step = known;
    }
    return step;
}

/* --- from one generation to the next ---------------------------------------------------------- */

static const struct member *find_member (const struct generation *generation, const char *name,
                                         uint32_t *hint)
{
    for (uint32_t i = 0; i < generation->size; i++) { /* mostly they stand in the same order */
        const struct member *member = &generation->members[(*hint + i) % generation->size];
        if (strcmp (member->name, name) != 0)
            continue;
        *hint = (*hint + i + 1) % generation->size;
        return member;
    }
    return NULL;
}

static const struct absentee *find_absentee (const struct job_durable *job, const char *name,
                                             uint64_t unix_ms)
{
    for (uint32_t i = 0; i < job->absentee_count; i++)
        if (is_recent (&job->absentees[i], unix_ms) && !strcmp (job->absentees[i].name, name))
            return &job->absentees[i];
    return NULL;
}

/* More than one entry may tell of it, as it may have been remembered more than once. */
static void ask_for_absence (struct member *member, const struct job_durable *job, uint64_t unix_ms)
{
    for (uint32_t i = 0; i < job->absentee_count; i++) {
        const struct absentee *absentee = &job->absentees[i];
        if (!is_recent (absentee, unix_ms) || strcmp (absentee->name, member->name) != 0)
            continue;
        member->state_step = lower (member->state_step, absentee->state_step);
        member->gradient_step = lower (member->gradient_step, absentee->gradient_step);
    }
}

/* It stands there, or one update behind, which it makes itself. */
static bool is_level (const struct mu_journal_form *form, uint32_t rank)
{
    const struct mu_journal_member *said = &form->members.items[rank];
    return (said->step == form->step && said->attempt == form->attempt) ||
           mu_is_one_behind (said->step, said->attempt, form->step, form->attempt, form->made_of);
}

/* It goes on with the state that it made itself. */
static bool has_kept_its_state (const struct mu_journal_form *form, uint32_t rank)
{
    return form->members.items[rank].generation && is_level (form, rank);
}

/* What somebody has loaded is the state of whoever wrote it: beside one that kept its own it has no voice. */
static bool any_has_kept (const struct mu_journal_form *form)
{
    for (uint32_t rank = 0; rank < form->members.count; rank++)
        if (has_kept_its_state (form, rank))
            return true;
    return false;
}

/* What training has gone back behind is nobody's work any more. */
static void follow_members (struct job_durable *job, const struct generation *before,
                            const struct mu_journal_form *form)
{
    struct generation *generation = &job->generation;
    uint32_t hint = 0;
    bool kept = any_has_kept (form);
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        struct member *member = &generation->members[rank];
        const struct member *known = find_member (before, member->name, &hint);
        member->state_step = member->gradient_step = form->step;
        if (known) {
            member->state_step = lower (form->step, known->state_step);
            member->gradient_step = lower (form->step, known->gradient_step);
        } else {
            ask_for_absence (member, job, form->time_ms);
        }
        member->echo = (known && known->incarnation == member->incarnation && known->echo) ||
                       !is_level (form, rank) || (kept && !has_kept_its_state (form, rank));
    }
}

/* Those whose time is over, or of whose work nothing is left: no state that was there before counts any more. */
static void forget_some (struct job_durable *job, const struct generation *before,
                         const struct mu_journal_form *form)
{
    uint32_t kept = 0;
    bool given_up = job->distrusted == before->number;
    for (uint32_t i = 0; i < job->absentee_count; i++) {
        struct absentee *absentee = &job->absentees[i];
        if (is_recent (absentee, form->time_ms) &&
            (!given_up || known_of (job, absentee) < form->step))
            job->absentees[kept++] = *absentee;
    }
    job->absentee_count = kept;
}

/* --- what cannot be compared any more --------------------------------------------------------- */

/* And it is nobody else's, so that others' can be compared with it. */
static uint32_t count_witnesses (const struct job_durable *job, const struct mu_journal_form *form)
{
    uint32_t count = 0;
    for (uint32_t rank = 0; rank < job->generation.size; rank++)
        count += has_kept_its_state (form, rank) && !job->generation.members[rank].echo;
    return count;
}

static bool is_comparable (const struct job_durable *job, const struct mu_journal_form *form,
                           const struct member *member, uint32_t witnesses)
{
    return has_kept_its_state (form, (uint32_t)(member - job->generation.members)) &&
           witnesses > !member->echo;
}

/* The same may be remembered at each of many breaks in a row. */
static struct absentee *find_same (const struct job_durable *job, const struct absentee *about,
                                   uint32_t *hint)
{
    for (uint32_t i = 0; i < job->absentee_count; i++) {
        uint32_t at = (*hint + i) % job->absentee_count;
        struct absentee *absentee = &job->absentees[at];
        if (absentee->state_step != about->state_step ||
            absentee->gradient_step != about->gradient_step ||
            strcmp (absentee->name, about->name) != 0)
            continue;
        *hint = at + 1;
        return absentee;
    }
    return NULL;
}

static void remember (struct job_durable *job, const struct member *member, uint64_t time_ms,
                      uint32_t *hint)
{
    struct absentee about = { .state_step = member->state_step,
                              .gradient_step = member->gradient_step,
                              .left_ms = time_ms };
    SET (about.name, member->name);
    struct absentee *same = find_same (job, &about, hint);
    if (same) {
        same->left_ms = about.left_ms;
        return;
    }
    job->absentees = core_grow (job->absentees, job->absentee_count, &job->absentee_capacity,
                                sizeof *job->absentees);
    job->absentees[job->absentee_count++] = about;
}

/* It ends with a state of `before`: nobody that was in it stands more than one update further on. */
static bool has_any_of (const struct mu_journal_form *form, const struct generation *before)
{
    for (uint32_t rank = 0; rank < form->members.count; rank++)
        if (form->members.items[rank].generation == before->number)
            return true;
    return false;
}

/* Nobody that was in it stands further on, with what all of them added. */
static uint64_t furthest_step (const struct generation *generation)
{
    return generation->started ? generation->until_step : generation->step;
}

/* Whose work up to that step is not known to be right, whether they stay or not. */
static void remember_all (struct job_durable *job, const struct generation *generation,
                          uint64_t step, uint64_t time_ms)
{
    uint32_t hint = 0;
    if (job->distrusted == generation->number)
        return;
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        const struct member *member = &generation->members[rank];
        if (audit_known_step (job, member->state_step, member->gradient_step) < step)
            remember (job, member, time_ms, &hint);
    }
}

void absent_follow (struct job_durable *job, const struct generation *before,
                    const struct mu_journal_form *form)
{
    uint32_t hint = 0, same_hint = 0;
    uint64_t step = form->step + before->started;
    follow_members (job, before, form);
    forget_some (job, before, form);
    if (!has_any_of (form, before))
        remember_all (job, before, furthest_step (before), form->time_ms);
    uint32_t witnesses = count_witnesses (job, form);
    for (uint32_t rank = 0; rank < before->size; rank++) {
        const struct member *member = &before->members[rank];
        const struct member *stays = find_member (&job->generation, member->name, &hint);
        if (audit_known_step (job, member->state_step, member->gradient_step) < step &&
            !(stays && is_comparable (job, form, stays, witnesses)))
            remember (job, member, form->time_ms, &same_hint);
    }
}

void absent_go_back (struct job_durable *job, uint64_t trained_step, uint64_t time_ms)
{
    remember_all (job, &job->generation, higher (furthest_step (&job->generation), trained_step),
                  time_ms);
}

void absent_forget (struct job_durable *job)
{
    free (job->absentees);
    job->absentees = NULL;
    job->absentee_count = job->absentee_capacity = 0;
}

/* --- found wrong elsewhere -------------------------------------------------------------------- */

/* It trained here, and nobody knows that all of that was right. Where the job is being ended nothing
 * can be trained again. */
static bool is_concerned (const struct coord *coord, const struct job *job, const char *name)
{
    const struct job_durable *durable = &job->durable;
    uint32_t hint = 0;
    if (durable->state == MU_JOB_STOPPING && durable->target != MU_JOB_PAUSED)
        return false;
    return find_absentee (durable, name, coord->unix_ms) ||
           (durable->generation.over && find_member (&durable->generation, name, &hint));
}

static void go_back_too (struct coord *coord, struct job *job, const struct mu_journal_expel *found,
                         const char *doubted)
{
    struct mu_journal record = { .type = MU_JOURNAL_EXPEL, .expel = *found };
    record.expel.in_job = found->job;
    record.expel.job = job->durable.number;
    audit_fill_back (job, &record.expel,
                     audit_right_step (&job->durable, found->worker, coord->unix_ms), doubted);
    const char *why =
        core_text (coord, "worker %s was wrong in job %llu, and what it did here was not compared",
                   found->worker, (unsigned long long)found->job);
    audit_go_back_once (coord, job, why, &record);
}

void absent_accuse (struct coord *coord, const struct mu_journal_expel *found, const char *doubted)
{
    for (uint32_t i = 0; i < coord->durable.live_count; i++) {
        struct job *job = coord->durable.live[i];
        if (job->durable.number != found->job && is_concerned (coord, job, found->worker))
            go_back_too (coord, job, found, doubted);
    }
}
