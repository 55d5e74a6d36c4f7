/* SPDX-License-Identifier: Apache-2.0 */
/* io_announce.c - one line of text for each kind of record */
#include "io_announce.h"

#include "log.h"
#include "states.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void formed (const struct mu_journal_form *form, char *text, size_t size)
{
    int used = snprintf (text, size, "generation %" PRIu64 " forms from step %" PRIu64 ": ",
                         form->generation, form->step);
    for (uint32_t rank = 0; rank < form->members.count && used >= 0 && (size_t)used < size; rank++)
        used += snprintf (text + used, size - (size_t)used, "%s%s", rank ? ", " : "",
                          form->members.items[rank].name);
}

static void poisoned (const struct mu_journal_poison *poison, char *text, size_t size)
{
    snprintf (text, size,
              "step %" PRIu64
              ", micro-batch %u kills every trainer that computes it (on %s)%s%s%.*s"
              "; the last: %.*s",
              poison->step, poison->micro_batch, poison->workers,
              poison->skipped ? " and is left out: trained, but skipped" : "",
              poison->records.size ? "; it holds " : "", (int)poison->records.size,
              poison->records.size ? (const char *)poison->records.data : "",
              (int)poison->text.size, poison->text.size ? (const char *)poison->text.data : "");
}

static void reigns (const struct mu_journal_reign *reign, char *text, size_t size)
{
    if (reign->lacks) {
        snprintf (text, size,
                  "term %" PRIu64
                  " begins (version %s) without what is lost of those before, after "
                  "a restore or with --take-over: workers that served in one of them are sent away",
                  reign->term, reign->version);
        return;
    }
    int used =
        snprintf (text, size, "term %" PRIu64 " begins (version %s)%s", reign->term, reign->version,
                  reign->ahead_ms ? ", clients do not wait for standbys" : "");
    if (reign->lacks_ms && used >= 0 && (size_t)used < size)
        snprintf (text + used, size - (size_t)used,
                  "; in the one before they did not either: what it answered in its last %u ms may "
                  "be missing, such as the newest jobs: look, and ask again",
                  reign->lacks_ms);
}

static void forgot (const struct mu_journal_forgotten *forgotten, char *text, size_t size)
{
    if (forgotten->job == forgotten->last)
        snprintf (text, size, "it ended long ago, and is forgotten");
    else
        snprintf (text, size,
                  "jobs %" PRIu64 " to %" PRIu64 " are forgotten, all of which ended long ago",
                  forgotten->job, forgotten->last);
}

static void say (struct mu_blob said, char *text, size_t size)
{
    snprintf (text, size, "%.*s", (int)said.size, said.size ? (const char *)said.data : "");
}

static void tell (const struct mu_journal *record, char *text, size_t size)
{
    switch (record->type) {
    case MU_JOURNAL_REIGN: reigns (&record->reign, text, size); break;
    case MU_JOURNAL_SUBMIT:
        snprintf (text, size, "%s is submitted: %u to %u workers, %u micro-batches a step",
                  record->submit.name, record->submit.workers_min, record->submit.workers_max,
                  record->submit.micro_batches);
        break;
    case MU_JOURNAL_SIZED:
        snprintf (text, size,
                  "%" PRIu64 " records, %" PRIu64 " parameters, %" PRIu64 " steps; bits are %s",
                  record->sized.records, record->sized.parameters, record->sized.steps,
                  record->sized.compute_class);
        break;
    case MU_JOURNAL_FORM: formed (&record->form, text, size); break;
    case MU_JOURNAL_START:
        snprintf (text, size, "generation %" PRIu64 " trains", record->start.generation);
        break;
    case MU_JOURNAL_BROKEN:
        snprintf (text, size, "generation %" PRIu64 " ends%s: %s", record->broken.generation,
                  record->broken.planned ? " as planned" : "", record->broken.reason);
        break;
    case MU_JOURNAL_COMMIT:
        snprintf (text, size, "checkpoint of step %" PRIu64 " is committed: %.*s (weights %s)",
                  record->commit.step, (int)record->commit.path.size,
                  record->commit.path.size ? (const char *)record->commit.path.data : "",
                  record->commit.weights_hash);
        break;
    case MU_JOURNAL_STATE:
        snprintf (text, size, "the job is %s%s%s%s%.*s",
                  mu_job_state_name ((int)record->state.state),
                  record->state.target ? " and will be " : "",
                  record->state.target ? mu_job_state_name ((int)record->state.target) : "",
                  record->state.reason.size ? ": " : "", (int)record->state.reason.size,
                  record->state.reason.size ? (const char *)record->state.reason.data : "");
        break;
    case MU_JOURNAL_DRAIN:
        snprintf (text, size, "worker %s is %s", record->drain.worker,
                  record->drain.drained ? "drained" : "taken back into service");
        break;
    case MU_JOURNAL_FOLDED:
        snprintf (text, size, "%" PRIu64 " records of it, long ended, were folded into this one",
                  record->folded.records);
        break;
    case MU_JOURNAL_FORGOTTEN: forgot (&record->forgotten, text, size); break;
    case MU_JOURNAL_SCALE:
        snprintf (text, size, "it may have %u to %u workers from now on",
                  record->scale.workers_min, record->scale.workers_max);
        break;
    case MU_JOURNAL_QUARANTINE:
        snprintf (text, size, "worker %s is %s: %s", record->quarantine.worker,
                  record->quarantine.quarantined ? "quarantined, last because" : "trusted again",
                  record->quarantine.reason);
        break;
    case MU_JOURNAL_CRASH:
        snprintf (text, size, "the trainer on %s ended by itself after step %" PRIu64 ": %.*s",
                  record->crash.worker, record->crash.step, (int)record->crash.text.size,
                  record->crash.text.size ? (const char *)record->crash.text.data : "");
        break;
    case MU_JOURNAL_HUNG: snprintf (text, size, "%s", record->hung.text); break;
    case MU_JOURNAL_REWIND:
        snprintf (text, size,
                  "no worker holds the newest state any more: training goes back to step %" PRIu64,
                  record->rewind.step);
        break;
    case MU_JOURNAL_POISON: poisoned (&record->poison, text, size); break;
    case MU_JOURNAL_EXPEL: say (record->expel.text, text, size); break;
    case MU_JOURNAL_SAVE:
        snprintf (text, size, "worker %s is told to save step %" PRIu64, record->save.worker,
                  record->save.step);
        break;
    case MU_JOURNAL_UNSOUND: say (record->unsound.text, text, size); break;
    case MU_JOURNAL_DISBELIEVED: say (record->disbelieved.text, text, size); break;
    case MU_JOURNAL_TURNED_AWAY: say (record->turned_away.text, text, size); break;
    case MU_JOURNAL_OVERDUE: say (record->overdue.text, text, size); break;
    case MU_JOURNAL_UNEVALUATED: say (record->unevaluated.text, text, size); break;
    case MU_JOURNAL_LOST: snprintf (text, size, "%s", record->lost.text); break;
    case MU_JOURNAL_AGREED:
    case MU_JOURNAL_LEASE:
    case MU_JOURNAL_TRAINED: break;
    }
}

void announce_text (const struct mu_journal *record, char *text, size_t size)
{
    text[0] = '\0';
    tell (record, text, size);
    size_t length = strlen (text);
    while (length && !mu_text_valid (text, length)) /* cut inside a character */
        text[--length] = '\0';
}

/* What somebody should look at. */
static bool is_bad (const struct mu_journal *record)
{
    switch ((int)record->type) {
    case MU_JOURNAL_CRASH:
    case MU_JOURNAL_REWIND:
    case MU_JOURNAL_HUNG:
    case MU_JOURNAL_POISON:
    case MU_JOURNAL_EXPEL:
    case MU_JOURNAL_DISBELIEVED:
    case MU_JOURNAL_UNSOUND:
    case MU_JOURNAL_UNEVALUATED:
    case MU_JOURNAL_LOST:
    case MU_JOURNAL_TURNED_AWAY: return true;
    case MU_JOURNAL_QUARANTINE: return record->quarantine.quarantined;
    case MU_JOURNAL_OVERDUE: return !record->overdue.over;
    case MU_JOURNAL_REIGN: return record->reign.lacks_ms || record->reign.lacks;
    case MU_JOURNAL_BROKEN: return !record->broken.planned;
    default: return false;
    }
}

struct announcement announcement_of (const struct mu_journal *record)
{
    struct announcement about = { .job = mu_record_number (&mu_journal_family, record, "job"),
                                  .generation =
                                      mu_record_number (&mu_journal_family, record, "generation"),
                                  .rank = -1,
                                  .type = record->type,
                                  .bad = is_bad (record) };
    mu_text_set (about.worker, sizeof about.worker,
                 mu_record_text (&mu_journal_family, record, "worker"));
    if (record->type == MU_JOURNAL_HUNG)
        about.rank = (int32_t)record->hung.rank - 1;
    return about;
}

void announce (const struct announcement *announcement, const char *text)
{
    char event[32];
    const char *name = mu_record_name (&mu_journal_family, announcement->type);
    size_t size = strnlen (name, sizeof event - 1);
    for (size_t i = 0; i < size; i++)
        event[i] = (char)tolower ((unsigned char)name[i]);
    event[size] = '\0';
    struct mu_log_about about = { .job = announcement->job,
                                  .generation = announcement->generation,
                                  .rank = announcement->rank,
                                  .worker = *announcement->worker ? announcement->worker : NULL,
                                  .outside = announcement->type == MU_JOURNAL_SUBMIT };
    mu_log_text (announcement->bad ? MU_LOG_WARN : MU_LOG_INFO, event, &about, text);
}
