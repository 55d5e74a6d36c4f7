/* SPDX-License-Identifier: Apache-2.0 */
/* train_folder.c - the job's checkpoint folder, looked at before the first step
 *
 * It must be writable, and hold no later checkpoint of a job with another answer: such a one would
 * be in the way at the end. What does not change the answer (names, workers, how often) may differ: the
 * same job again finds its own checkpoints there, bit for bit.
 *
 * When a worker was found wrong, what the job has written beyond the step that it goes back to is
 * moved away, so that nobody resumes from it and nothing is in the way of the right ones. */
#include "train.h"

#include "common/log.h"
#include "worker/checkpoint/directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What has no part in the answer becomes as it is in `like`. */
static int even_out (struct mu_jobspec *spec, const struct mu_jobspec *like)
{
    char **texts[] = { &spec->name, &spec->data.cache, &spec->checkpoint.dir,
                       &spec->checkpoint.resume };
    const char *const wanted[] = { like->name, like->data.cache, like->checkpoint.dir,
                                   like->checkpoint.resume };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free (*texts[i]);
        *texts[i] = wanted[i] ? strdup (wanted[i]) : NULL;
        if (wanted[i] && !*texts[i])
            return -1;
    }
    spec->workers = like->workers;
    spec->threads = like->threads;
    spec->window = like->window;
    spec->priority = like->priority;
    spec->hash_every = like->hash_every;
    spec->audit_every = like->audit_every;
    spec->checkpoint.every = like->checkpoint.every;
    spec->checkpoint.keep = like->checkpoint.keep;
    return 0;
}

static bool same_answer (const struct train_job *job, const struct mu_checkpoint_info *info)
{
    struct mu_jobspec_problems *problems = calloc (1, sizeof *problems);
    struct mu_jobspec other = { 0 };
    char *theirs = NULL, *ours = mu_jobspec_to_json (&job->spec);
    if (problems && ours && strcmp (info->data, job->identity) == 0 &&
        mu_jobspec_from_json (info->job_spec, strlen (info->job_spec), &other, problems) == 0 &&
        even_out (&other, &job->spec) == 0)
        theirs = mu_jobspec_to_json (&other);
    bool same = theirs && strcmp (ours, theirs) == 0;
    mu_jobspec_clear (&other);
    free (problems);
    free (theirs);
    free (ours);
    return same;
}

static int refuse_stranger (const struct train_job *job, const struct mu_checkpoint_entry *entry,
                            struct mu_error *error)
{
    char path[PATH_MAX + 64];
    struct mu_checkpoint_info info;
    struct mu_error damaged;
    snprintf (path, sizeof path, "%s/%s", job->checkpoint_dir, entry->name);
    if (mu_checkpoint_read_info (path, &info, &damaged) < 0)
        return 0; /* the writer moves damaged ones away */
    int status = 0;
    if (!same_answer (job, &info))
        status = mu_fail (error, MU_CONFLICT,
                          "checkpoint.dir: %s holds %s of a job (%s) with other settings, data or "
                          "trainer: "
                          "name another folder, or go on from there with checkpoint.resume: newest",
                          job->checkpoint_dir, entry->name, info.job_name);
    mu_checkpoint_info_clear (&info);
    return status;
}

int train_check_folder (const struct train_job *job, struct mu_error *error)
{
    struct mu_checkpoint_entry *entries = NULL;
    size_t count = 0;
    int status = 0;
    if (mu_checkpoint_try_folder (job->checkpoint_dir, error) < 0) {
        mu_error_prefix (error, "checkpoint.dir: ");
        return -1;
    }
    if (job->blank) /* those that it joins have looked, and it does not know from which step on */
        return 0;
    if (mu_checkpoint_list (job->checkpoint_dir, &entries, &count, error) < 0)
        return -1;
    for (size_t i = 0; i < count && status == 0; i++)
        if (entries[i].step > job->state->step && entries[i].whole)
            status = refuse_stranger (job, &entries[i], error);
    free (entries);
    return status;
}

static int clear_one (const struct train_job *job, int parent,
                      const struct mu_checkpoint_entry *entry, struct mu_error *error)
{
    char path[PATH_MAX + 64], id[24];
    struct mu_checkpoint_info info;
    struct mu_error damaged;
    snprintf (path, sizeof path, "%s/%s", job->checkpoint_dir, entry->name);
    snprintf (id, sizeof id, "%llu", (unsigned long long)job->number);
    if (mu_checkpoint_read_info (path, &info, &damaged) < 0)
        return 0;
    bool ours = !strcmp (info.job_id, id) && same_answer (job, &info);
    mu_checkpoint_info_clear (&info);
    if (!ours)
        return 0;
    mu_log (MU_LOG_WARN, "distrust", &MU_LOG_ABOUT_NOTHING,
            "%s was written while a worker was wrong: it is removed", path);
    if (mu_directory_move_away (parent, entry->name, entry->step, "wrong", error) < 0 &&
        faccessat (parent, entry->name, F_OK, 0) == 0) /* not another worker's doing */
        return -1;
    return 0;
}

int train_clear_folder (const struct train_job *job, uint64_t step, struct mu_error *error)
{
    struct mu_checkpoint_entry *entries = NULL;
    size_t count = 0;
    int status = 0;
    if (mu_checkpoint_list (job->checkpoint_dir, &entries, &count, error) < 0)
        return -1;
    int parent = count ? mu_directory_open (job->checkpoint_dir, error) : -1;
    if (count && parent < 0)
        status = -1;
    for (size_t i = 0; i < count && status == 0; i++)
        if (entries[i].step > step)
            status = clear_one (job, parent, &entries[i], error);
    if (parent >= 0)
        close (parent);
    free (entries);
    return status;
}
