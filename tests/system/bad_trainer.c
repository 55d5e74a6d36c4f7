/* SPDX-License-Identifier: Apache-2.0 */
/* bad_trainer.c - a trainer plug-in that misbehaves on demand, for test_bad_input.py, test_poison.py
 *
 * Honest least squares of (class - weight . x), and one setting that spoils it:
 *
 *     fault: KIND@STEP.MICRO_BATCH    segv, abort, exit, nan, problem, or open (when it is opened);
 *                                     silent, garbled: says no without a reason, or with one that is
 *                                     no text; beyond: writes behind its workspace;
 *                                     const: into the weights
 *                                     begin, beginnan: other weights in each process, or none at all
 *                                     sleep, read (a fifo), spin: for ever; busy: for 8 s;
 *                                     openread: reads the fifo when it is opened
 *                                     opensleep, initsleep: for ever, there
 *                                     evaluate, evaluatenan: evaluations fail until STEP, with a
 *                                     reason, or with a loss that is no number
 *                                     slow: a second in each micro-batch
 *     fault: KIND@row                 at each record whose first feature is above 8
 *                                     wrong: from STEP on, where BAD_TRAINER_WRONG is set
 *     once: FILE                      only who can make this file misbehaves
 *     fifo: FILE                      what is read
 *
 * Built by the test; -DABI=n claims another ABI, -DNO_SYMBOL leaves the symbol out. */
#include "trainer.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef ABI
#define ABI MUSTER_TRAINER_ABI
#endif

struct muster_model {
    uint32_t features;
    char fault[16];
    char once[256], fifo[256];
    unsigned long step, micro_batch;
    int by_row;
    struct muster_tensor tensor;
};

/* Whether it is this process's turn. */
static int is_due (const struct muster_model *model)
{
    int fd = *model->once ? open (model->once, O_CREAT | O_EXCL | O_WRONLY, 0600) : -1;
    if (fd >= 0)
        close (fd);
    return !*model->once || fd >= 0;
}

static void sleep_for_ever (void)
{
    for (;;)
        pause ();
}

static void read_fifo (const struct muster_model *model)
{
    char byte;
    int fd = open (model->fifo, O_RDONLY);
    while (fd >= 0 && read (fd, &byte, 1) >= 0)
        continue;
}

static void spin (double seconds)
{
    struct timespec begun, now;
    clock_gettime (CLOCK_MONOTONIC, &begun);
    do
        clock_gettime (CLOCK_MONOTONIC, &now);
    while ((double)(now.tv_sec - begun.tv_sec) < seconds);
}

static void take_setting (struct muster_model *model, const struct muster_setting *setting)
{
    if (strcmp (setting->key, "once") == 0)
        snprintf (model->once, sizeof model->once, "%s", setting->value);
    else if (strcmp (setting->key, "fifo") == 0)
        snprintf (model->fifo, sizeof model->fifo, "%s", setting->value);
    else
        sscanf (setting->value, "%15[a-z]@%lu.%lu", model->fault, &model->step,
                &model->micro_batch);
    model->by_row = model->by_row || strstr (setting->value, "@row");
}

static int bad_open (struct muster_model **model_p, const struct muster_open *open,
                     struct muster_problem *problem)
{
    struct muster_model *model = calloc (1, sizeof *model);
    if (!model)
        return -1;
    model->features = open->records->features;
    model->tensor = (struct muster_tensor){ .name = "weight",
                                            .dimensions = 1,
                                            .dimension = { model->features } };
    for (uint32_t i = 0; i < open->setting_count; i++)
        take_setting (model, &open->settings[i]);
    if (strcmp (model->fault, "openread") == 0 && is_due (model))
        read_fifo (model);
    if (strcmp (model->fault, "opensleep") == 0)
        sleep_for_ever ();
    if (strcmp (model->fault, "open") == 0) {
        snprintf (problem->text, sizeof problem->text, "the bad trainer does not want to open");
        free (model);
        return -1;
    }
    *model_p = model;
    return 0;
}

static void bad_close (struct muster_model *model) { free (model); }

static const struct muster_tensor *bad_tensors (const struct muster_model *model, uint32_t *count)
{
    *count = 1;
    return &model->tensor;
}

static void bad_init (const struct muster_model *model, uint32_t tensor, uint64_t seed,
                      float *values)
{
    (void)tensor, (void)seed;
    memset (values, 0, model->features * sizeof *values);
    if (strcmp (model->fault, "initsleep") == 0)
        sleep_for_ever ();
    if (strcmp (model->fault, "begin") == 0)
        values[0] = (float)getpid ();
    if (strcmp (model->fault, "beginnan") == 0)
        values[0] = NAN;
}

enum { WORKSPACE = 64 };

static size_t bad_workspace (const struct muster_model *model)
{
    (void)model;
    return WORKSPACE;
}

static int is_time (const struct muster_model *model, const struct muster_batch *batch)
{
    if (!model->by_row)
        return batch->step == model->step && batch->micro_batch == model->micro_batch;
    for (uint32_t r = 0; r < batch->records; r++)
        if (batch->features[(size_t)r * model->features] > 8)
            return 1;
    return 0;
}

static int misbehave (const struct muster_model *model, const float *const *weights,
                      const struct muster_batch *batch, float *gradient, void *workspace,
                      struct muster_problem *problem)
{
    if (strcmp (model->fault, "slow") == 0)
        nanosleep (&(struct timespec){ .tv_sec = 1 }, NULL);
    if (strcmp (model->fault, "wrong") == 0 && batch->step >= model->step &&
        getenv ("BAD_TRAINER_WRONG"))
        gradient[0] += 0.001f;
    if (!*model->fault || !is_time (model, batch))
        return 0;
    if (!is_due (model))
        return 0;
    if (strcmp (model->fault, "sleep") == 0)
        sleep_for_ever ();
    if (strcmp (model->fault, "read") == 0)
        read_fifo (model);
    if (strcmp (model->fault, "spin") == 0)
        spin (INFINITY);
    if (strcmp (model->fault, "busy") == 0)
        spin (8);
    if (strcmp (model->fault, "segv") == 0)
        *(volatile int *)0 = 1;
    if (strcmp (model->fault, "abort") == 0) {
        fprintf (stderr, "bad_trainer: the moon is in the wrong house\n");
        abort ();
    }
    if (strcmp (model->fault, "exit") == 0)
        exit (0);
    if (strcmp (model->fault, "nan") == 0)
        gradient[0] = NAN;
    if (strcmp (model->fault, "beyond") == 0)
        memset ((char *)workspace + WORKSPACE, 0x55, 1000);
    if (strcmp (model->fault, "const") == 0)
        *(float *)(uintptr_t)weights[0] += 1;
    if (strcmp (model->fault, "silent") == 0)
        return -1;
    if (strcmp (model->fault, "garbled") == 0) {
        memset (problem->text, 0xe4, sizeof problem->text);
        memcpy (problem->text, "so\nbad", 6);
        return -1;
    }
    if (strcmp (model->fault, "problem") == 0) {
        snprintf (problem->text, sizeof problem->text,
                  "record 0 is not to the bad trainer's taste");
        return -1;
    }
    return 0;
}

static int bad_gradient (const struct muster_model *model, const float *const *weights,
                         const struct muster_batch *batch, void *workspace, float *const *gradients,
                         const struct muster_progress *progress, struct muster_result *result,
                         struct muster_problem *problem)
{
    (void)progress;
    float *gradient = gradients[0];
    *result = (struct muster_result){ .targets = batch->records };
    memset (gradient, 0, model->features * sizeof *gradient);
    for (uint32_t r = 0; r < batch->records; r++) {
        const float *x = batch->features + (size_t)r * model->features;
        float miss = (float)batch->labels[r];
        for (uint32_t i = 0; i < model->features; i++)
            miss = fmaf (-weights[0][i], x[i], miss);
        for (uint32_t i = 0; i < model->features; i++)
            gradient[i] = fmaf (-miss / (float)batch->records, x[i], gradient[i]);
        result->loss += (double)miss * (double)miss / (2.0 * batch->records);
    }
    return misbehave (model, weights, batch, gradient, workspace, problem);
}

static int bad_evaluate (const struct muster_model *model, const float *const *weights,
                         const struct muster_batch *batch, void *workspace,
                         struct muster_result *result, struct muster_problem *problem)
{
    (void)weights, (void)workspace;
    *result = (struct muster_result){ .targets = batch->records };
    if (batch->step >= model->step)
        return 0;
    if (strcmp (model->fault, "evaluatenan") == 0)
        result->loss = NAN;
    if (strcmp (model->fault, "evaluate") != 0)
        return 0;
    snprintf (problem->text, sizeof problem->text, "the bad trainer does not like tests");
    return -1;
}

#ifndef NO_SYMBOL
const struct muster_trainer muster_trainer = {
    .size = sizeof (struct muster_trainer),
    .abi = ABI,
    .name = "bad",
    .description = "Least squares that misbehaves on demand.",
    .open = bad_open,
    .close = bad_close,
    .tensors = bad_tensors,
    .init = bad_init,
    .workspace = bad_workspace,
    .gradient = bad_gradient,
    .evaluate = bad_evaluate,
};
#endif
