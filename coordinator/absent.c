/* SPDX-License-Identifier: Apache-2.0 */
/* absent.c - what is known of a generation's members, carried to the next; and who left too soon
 *
 * A member that dies, is drained or goes to another job takes its next comparison with it, while what
 * it added to the sums since the last one stays in everybody's weights. So the job remembers it for
 * COORD_ABSENT_MS, with the steps up to which it is known to have been right:
 *
 *     it comes back           it is a member as if it had never been away: what it did before is as
 *                             doubtful as what it does now, until a comparison says that it is right
 *     it is found wrong       in whatever job: this one goes back too (EXPEL names the other)
 *     training goes back      to where it was known to be right: then there is nothing to remember
 *
 * Meanwhile the anchor is no newer than those steps. It is known by its name, for it may have been
 * started anew since: the machine is the same. docs/decisions/0030. */
#include "core.h"

#define SET(field, text) mu_text_set (field, sizeof (field), text)

static bool is_recent (const struct absentee *absentee, uint64_t unix_ms)
{
    return unix_ms < absentee->left_ms + COORD_ABSENT_MS;
}

static uint64_t known_of (const struct job_durable *job, const struct absentee *absentee)
{
    return audit_known_step (job, absentee->state_step, absentee->gradient_step);
}

uint64_t absent_known_step (const struct job_durable *job, uint64_t unix_ms)
{
    uint64_t step = UINT64_MAX;
    for (uint32_t i = 0; i < job->absentee_count; i++) {
        uint64_t known = known_of (job, &job->absentees[i]);
        if (is_recent (&job->absentees[i], unix_ms) && known < step)
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

static uint64_t lower (uint64_t a, uint64_t b) { return a < b ? a : b; }

/* What training has gone back behind is nobody's work any more. */
static void follow_members (struct job_durable *job, const struct generation *before,
                            const struct mu_journal_form *form)
{
    struct generation *generation = &job->generation;
    uint32_t hint = 0;
    for (uint32_t rank = 0; rank < generation->size; rank++) {
        struct member *member = &generation->members[rank];
        const struct mu_journal_member *said = &form->members.items[rank];
        const struct member *known = find_member (before, member->name, &hint);
        const struct absentee *back = find_absentee (job, member->name, form->time_ms);
        member->state_step = member->gradient_step = form->step;
        if (known) {
            member->state_step = lower (form->step, known->state_step);
            member->gradient_step = lower (form->step, known->gradient_step);
        } else if (back) {
            member->state_step = lower (form->step, back->state_step);
            member->gradient_step = lower (form->step, back->gradient_step);
        }
        member->echo = (known && known->incarnation == member->incarnation && known->echo) ||
                       said->step != form->step || said->attempt != form->attempt;
    }
}

/* Those who are back, whose time is over, or of whose work nothing is left. */
static void forget_some (struct job_durable *job, const struct mu_journal_form *form)
{
    uint32_t kept = 0, hint = 0;
    for (uint32_t i = 0; i < job->absentee_count; i++) {
        struct absentee *absentee = &job->absentees[i];
        absentee->state_step = lower (form->step, absentee->state_step);
        absentee->gradient_step = lower (form->step, absentee->gradient_step);
        if (is_recent (absentee, form->time_ms) && known_of (job, absentee) < form->step &&
            !find_member (&job->generation, absentee->name, &hint))
            job->absentees[kept++] = *absentee;
    }
    job->absentee_count = kept;
}

static void remember (struct job_durable *job, const struct member *member,
                      const struct mu_journal_form *form)
{
    job->absentees = core_grow (job->absentees, job->absentee_count, &job->absentee_capacity,
                                sizeof *job->absentees);
    struct absentee *absentee = &job->absentees[job->absentee_count++];
    *absentee = (struct absentee){ .state_step = lower (form->step, member->state_step),
                                   .gradient_step = lower (form->step, member->gradient_step),
                                   .left_ms = form->time_ms };
    SET (absentee->name, member->name);
}

void absent_follow (struct job_durable *job, const struct generation *before,
                    const struct mu_journal_form *form)
{
    uint32_t hint = 0;
    follow_members (job, before, form);
    forget_some (job, form);
    for (uint32_t rank = 0; rank < before->size; rank++) {
        const struct member *member = &before->members[rank];
        if (audit_known_step (job, member->state_step, member->gradient_step) < form->step &&
            !find_member (&job->generation, member->name, &hint))
            remember (job, member, form);
    }
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

static void go_back_too (struct coord *coord, struct job *job, const struct mu_journal_expel *found)
{
    struct mu_journal record = { .type = MU_JOURNAL_EXPEL, .expel = *found };
    record.expel.in_job = found->job;
    record.expel.job = job->durable.number;
    audit_fill_back (coord, job, &record.expel);
    const char *why =
        core_text (coord, "worker %s was wrong in job %llu, and what it did here was not compared",
                   found->worker, (unsigned long long)found->job);
    record.expel.text = core_blob (core_text (coord, "%s; training goes back to step %llu", why,
                                              (unsigned long long)record.expel.back_step));
    audit_go_back (coord, job, why, &record, 1);
}

void absent_accuse (struct coord *coord, const struct mu_journal_expel *found)
{
    for (uint32_t i = 0; i < coord->durable.live_count; i++) {
        struct job *job = coord->durable.live[i];
        if (job->durable.number != found->job && is_concerned (coord, job, found->worker))
            go_back_too (coord, job, found);
    }
}
