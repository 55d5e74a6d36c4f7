/* SPDX-License-Identifier: Apache-2.0 */
/* train_evaluate.c - the loss on data that is not trained on
 *
 * The writer (rank 0) evaluates; the others wait in their next reduction. Splitting it over the
 * ranks would need a reduction of its own for a few seconds in each hour. The batches are the same
 * ones each time: the first of a fixed permutation of the records. Their results are added in
 * order, so the figures do not depend on threads. */
#include "train.h"

#include "common/log.h"
#include "worker/trainers/loader.h"

#include <math.h>
#include <stdlib.h>

struct evaluation {
    struct train *train;
    struct muster_result *results; /* [batches] */
    pthread_mutex_t lock;
    bool wrong;
    uint32_t wrong_batch; /* the first of them, whichever thread was quicker */
    struct mu_error error;
};

static bool note_wrong (struct evaluation *evaluation, uint32_t batch, const char *text)
{
    pthread_mutex_lock (&evaluation->lock);
    if (!evaluation->wrong || batch < evaluation->wrong_batch) {
        mu_fail (&evaluation->error, MU_BAD_INPUT, "evaluation batch %u: %s", batch, text);
        evaluation->wrong_batch = batch;
    }
    evaluation->wrong = true;
    pthread_mutex_unlock (&evaluation->lock);
    return false;
}

static bool evaluate_batch (struct train_thread *thread, void *task, uint32_t item)
{
    struct evaluation *evaluation = task;
    struct train_job *job = thread->job;
    const struct train_evaluation *plan = &job->evaluation;
    uint64_t micro = job->spec.batch.micro, first = item * micro;
    uint64_t left = plan->info.records - first;
    uint32_t records = (uint32_t)(left < micro ? left : micro);
    struct muster_batch batch = { .seed = job->spec.seed,
                                  .step = job->state->step,
                                  .micro_batch = item };
    struct muster_problem problem = { "" };
    struct mu_error error;
    for (uint32_t i = 0; i < records; i++)
        thread->numbers[i] = mu_order_record (&plan->order, first + i);
    if (train_fill (thread, plan->data, &plan->info, records, &batch, &error) < 0)
        return note_wrong (evaluation, item, error.text);
    train_worked (job);
    if (job->trainer->evaluate (job->model, thread->weights, &batch, thread->workspace,
                                &evaluation->results[item], &problem) < 0)
        return note_wrong (evaluation, item, mu_trainer_words (&problem));
    if (!isfinite (evaluation->results[item].loss))
        return note_wrong (evaluation, item, "the loss is not a finite number");
    train_worked (job);
    return true;
}

static void add_up (const struct muster_result *results, uint64_t count, double *loss,
                    double *accuracy)
{
    double sum = 0;
    uint64_t targets = 0, correct = 0;
    for (uint64_t i = 0; i < count; i++) {
        sum += results[i].loss * (double)results[i].targets;
        targets += results[i].targets;
        correct += results[i].correct;
    }
    *loss = targets ? sum / (double)targets : 0;
    *accuracy = targets ? (double)correct / (double)targets : 0;
}

bool train_evaluate (struct train *train, double *loss, double *accuracy)
{
    uint64_t batches = train->job.evaluation.batches;
    struct evaluation evaluation = { .train = train, .lock = PTHREAD_MUTEX_INITIALIZER };
    evaluation.results = calloc (batches, sizeof *evaluation.results);
    if (!evaluation.results)
        return false;
    train_pool_run (train->pool, evaluate_batch, &evaluation, (uint32_t)batches,
                    &train->orders.interrupt);
    bool good = !evaluation.wrong && !atomic_load (&train->orders.interrupt);
    if (evaluation.wrong) {
        mu_log (MU_LOG_WARN, "evaluate", &MU_LOG_ABOUT_NOTHING, "%s", evaluation.error.text);
        train_report_unevaluated (&train->report, evaluation.error.text);
    }
    if (good)
        add_up (evaluation.results, batches, loss, accuracy);
    free (evaluation.results);
    return good;
}
