/* SPDX-License-Identifier: Apache-2.0 */
/* submit.c - submit a job file that `muster validate -o json` printed, and follow it to its end
 *
 *     muster validate -o json job.yaml > job.json
 *     cc submit.c $(pkg-config --cflags --libs muster) -o submit
 *     ./submit job.json
 */
#include <muster.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char spec[65536];

static int fail (const struct muster_error *error)
{
    fprintf (stderr, "submit: %s\n", error->text);
    return muster_exit_status (error);
}

static size_t read_spec (const char *path)
{
    FILE *file = fopen (path, "r");
    size_t size = file ? fread (spec, 1, sizeof spec, file) : 0;
    if (file)
        fclose (file);
    return size;
}

/* 1 when the job has ended, 0 when it has not, -1 with *error. */
static int look (struct muster *muster, const char *number, struct muster_error *error)
{
    struct muster_answer *answer;
    const struct muster_job_info *job;
    size_t count;
    if (muster_jobs (muster, number, &answer, &job, &count, error))
        return -1;
    int ended = job->ended_ms != 0;
    printf ("%s: %s, step %llu of %llu, loss %.4f\n", job->name, job->state,
            (unsigned long long)job->step, (unsigned long long)job->steps, job->loss);
    muster_answer_free (&answer); /* job lies in it */
    return ended;
}

int main (int argc, char **argv)
{
    struct muster *muster;
    struct muster_error error;
    uint64_t job = 0;
    char number[32];
    size_t size = argc == 2 ? read_spec (argv[1]) : 0;
    if (!size) {
        fprintf (stderr, "usage: submit JOB.json (as `muster validate -o json` prints it)\n");
        return 64;
    }
    if (muster_open (&muster, NULL, &error))
        return fail (&error);
    int ended = muster_submit (muster, spec, size, NULL, &job, NULL, &error);
    snprintf (number, sizeof number, "%llu", (unsigned long long)job);
    while (!ended) {
        sleep (1);
        ended = look (muster, number, &error);
    }
    muster_close (&muster);
    return ended < 0 ? fail (&error) : 0;
}
