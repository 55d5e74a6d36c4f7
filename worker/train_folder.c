/* SPDX-License-Identifier: Apache-2.0 */
/* train_folder.c - the job's checkpoint folder, looked at before the first step
 *
 * It must be writable, and hold no later checkpoint of a job with another answer: such a one would
 * be in the way at the end, and `keep` would count the two jobs' checkpoints together. What does
 * not change the answer (names, workers, how often) may differ: the same job again finds its own
 * checkpoints there, bit for bit. */
#include "train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
                          "checkpoint.dir: %s holds %s of a job (%s) with other settings or data: "
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
    if (mu_checkpoint_list (job->checkpoint_dir, &entries, &count, error) < 0)
        return -1;
    for (size_t i = 0; i < count && status == 0; i++)
        if (entries[i].step > job->state->step && entries[i].whole)
            status = refuse_stranger (job, &entries[i], error);
    free (entries);
    return status;
}
