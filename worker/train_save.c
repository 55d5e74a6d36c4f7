/* SPDX-License-Identifier: Apache-2.0 */
/* train_save.c - checkpoints: the stepper takes the snapshot, a child writes it, the control thread
 * hears how it ended
 *
 * One is written at a time. A failure (a full disk, say) is told and forgotten: training goes on,
 * and the next one tries again. */
#include "train.h"

#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A writer that is busy for so long is looked at, that often; what passed without a look for so long tells
 * nothing of it. */
#define LOOK_EVERY_MS 500u
#define LOOK_LATE_MS  2000u

int train_saver_init (struct train_saver *saver, struct mu_error *error)
{
    memset (saver, 0, sizeof *saver);
    pthread_mutex_init (&saver->lock, NULL);
    saver->writer = MU_CHECKPOINT_WRITER_NONE;
    saver->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (saver->wake < 0)
        return mu_fail_errno (error, MU_SYSTEM, errno, "no event descriptor");
    return 0;
}

static void say_failed (struct train_saver *saver, struct train_report *report,
                        const struct mu_error *error)
{
    saver->failed_ms = train_now_ms ();
    struct mu_wire wire = { .type = MU_WIRE_WRITE_FAILED };
    wire.write_failed.generation = saver->generation;
    wire.write_failed.step = saver->step;
    wire.write_failed.text = (struct mu_blob){ error->text, (uint32_t)strnlen (error->text, 1023) };
    train_say (report, &wire, -1);
}

/* Where the next step stands in the data. */
static void describe (struct mu_checkpoint_job *about, const struct train_job *job,
                      uint64_t generation, char id[24], char *config, size_t config_size)
{
    uint64_t records = job->state->step * job->spec.batch.global;
    snprintf (id, 24, "%llu", (unsigned long long)job->number);
    *about = (struct mu_checkpoint_job){
        .id = id,
        .name = job->spec.name,
        .spec = job->json,
        .trainer = job->spec.trainer,
        .data = job->identity,
        .compute_class =
            job->spec.bits == MU_JOBSPEC_BITS_HOST ? job->kernels->math.name : "portable",
        .seed = job->spec.seed,
        .epoch = records / job->info.records,
        .position = records % job->info.records / job->spec.batch.micro,
        .generation = generation,
        .replaces = job->distrusts,
    };
    if (job->trainer->config_json && config_size > 1 &&
        job->trainer->config_json (job->model, config, config_size) < config_size)
        about->config = config;
}

#define CONFIG_SIZE 65536

bool train_save (struct train_saver *saver, const struct train_job *job, uint64_t generation,
                 struct train_report *report)
{
    static char config[CONFIG_SIZE]; /* the stepper alone comes here */
    struct mu_checkpoint_job about;
    struct mu_error error = { .code = MU_OK };
    char id[24];
    pthread_mutex_lock (&saver->lock);
    bool free_now = !saver->writer.busy;
    if (free_now) {
        saver->generation = generation;
        saver->step = job->state->step;
        saver->last = saver->step == job->optimizer.steps;
        saver->begun_ms = train_now_ms ();
        saver->reached = train_report_reached (report, saver->step);
        describe (&about, job, generation, id, config, sizeof config);
        if (mu_checkpoint_begin (&saver->writer, job->checkpoint_dir, job->state, job->tensors,
                                 &about, &error) < 0)
            say_failed (saver, report, &error);
    }
    pthread_mutex_unlock (&saver->lock);
    uint64_t one = 1;
    if (write (saver->wake, &one, sizeof one) < 0 && errno != EAGAIN)
        mu_log (MU_LOG_WARN, "save", &MU_LOG_ABOUT_NOTHING, "the control thread cannot be woken");
    return free_now;
}

int train_saver_fd (struct train_saver *saver)
{
    pthread_mutex_lock (&saver->lock);
    int fd = saver->writer.busy ? saver->writer.fd : -1;
    pthread_mutex_unlock (&saver->lock);
    return fd;
}

static void say_wrote (const struct train_saver *saver, struct train_report *report,
                       const struct mu_checkpoint_saved *saved)
{
    struct mu_wire wire = { .type = MU_WIRE_WROTE };
    wire.wrote.generation = saver->generation;
    wire.wrote.step = saved->step;
    wire.wrote.path = (struct mu_blob){ saved->path, (uint32_t)strlen (saved->path) };
    wire.wrote.bytes = saved->bytes;
    wire.wrote.milliseconds = (uint32_t)(train_now_ms () - saver->begun_ms);
    wire.wrote.loss = saver->reached.loss;
    wire.wrote.loss_evaluated = saver->reached.loss_evaluated;
    wire.wrote.accuracy = saver->reached.accuracy;
    wire.wrote.evaluated_step = saver->reached.evaluated_step;
    mu_state_hash_text (saved->weights_hash, wire.wrote.weights_hash);
    train_say (report, &wire, -1);
}

static void say_not_removed (const struct mu_error *error)
{
    mu_log (MU_LOG_WARN, "prune", &MU_LOG_ABOUT_NOTHING, "old checkpoints could not be removed: %s",
            error->text);
}

void train_saver_poll (struct train_saver *saver, struct train_report *report)
{
    struct mu_checkpoint_saved saved;
    struct mu_error error;
    pthread_mutex_lock (&saver->lock);
    int status = saver->writer.busy ? mu_checkpoint_poll (&saver->writer, &saved, &error) : 0;
    if (status > 0) {
        saver->written = saved.step + 1;
        saver->failed_ms = 0;
        say_wrote (saver, report, &saved);
        if (saved.pruning.code != MU_OK)
            say_not_removed (&saved.pruning);
    } else if (status < 0) {
        say_failed (saver, report, &error);
    }
    pthread_mutex_unlock (&saver->lock);
}

/* A trainer that stood still itself has seen nothing meanwhile. */
static void look (struct train_saver *saver, uint64_t now_ms)
{
    const struct mu_checkpoint_look last = saver->look;
    mu_checkpoint_look (&saver->writer, &saver->look);
    if (saver->look.cpu_us != last.cpu_us || saver->look.phase != last.phase ||
        now_ms - saver->looked_ms > LOOK_LATE_MS)
        saver->moved_ms = now_ms;
    saver->looked_ms = now_ms;
}

void train_saver_look (struct train_saver *saver, struct train_report *report)
{
    const uint64_t now_ms = train_now_ms ();
    pthread_mutex_lock (&saver->lock);
    if (saver->writer.busy && now_ms - saver->begun_ms >= LOOK_EVERY_MS &&
        now_ms - saver->looked_ms >= LOOK_EVERY_MS) {
        if (saver->looked_ms < saver->begun_ms)
            saver->looked_ms = saver->moved_ms = saver->begun_ms;
        look (saver, now_ms);
        struct mu_wire wire = { .type = MU_WIRE_WRITING,
                                .writing = { .generation = saver->generation,
                                             .step = saver->step,
                                             .phase = saver->look.phase,
                                             .still_ms = now_ms - saver->moved_ms,
                                             .letter = (uint32_t)saver->look.letter } };
        train_say (report, &wire, -1);
    }
    pthread_mutex_unlock (&saver->lock);
}

bool train_saver_give_up (struct train_saver *saver, uint64_t step, struct train_report *report)
{
    struct mu_error error;
    pthread_mutex_lock (&saver->lock);
    const bool given_up =
        saver->step == step && mu_checkpoint_give_up (&saver->writer, &error) == 0;
    if (given_up)
        say_failed (saver, report, &error);
    pthread_mutex_unlock (&saver->lock);
    return given_up;
}

bool train_saver_has (struct train_saver *saver, uint64_t step)
{
    pthread_mutex_lock (&saver->lock);
    bool has = saver->written == step + 1 || (saver->writer.busy && saver->step == step);
    pthread_mutex_unlock (&saver->lock);
    return has;
}

static void choose_stay (struct mu_checkpoint_stay *stay, const struct train_job *job,
                         const struct mu_wire_prune *prune)
{
    *stay = (struct mu_checkpoint_stay){ .job = job->number,
                                         .generation = prune->generation,
                                         .first = prune->first,
                                         .before = prune->step,
                                         .keep = job->spec.checkpoint.keep,
                                         .count = 2,
                                         .steps = { prune->step, prune->anchor } };
    for (uint32_t i = 0; i < prune->stays.count && stay->count < MU_CHECKPOINT_STAY_MAX; i++)
        stay->steps[stay->count++] = prune->stays.items[i].step;
}

/* Whoever has never written here leaves the folder alone: it may be another worker's. Whoever wrote
 * here before another rank did still removes its own. The writer does it, but after the last step: it ends
 * with this process, which is ended as soon as this is said to be done. */
void train_prune (struct train_saver *saver, const struct train_job *job,
                  const struct mu_wire_prune *prune)
{
    struct mu_error error;
    struct mu_checkpoint_stay stay;
    choose_stay (&stay, job, prune);
    pthread_mutex_lock (&saver->lock);
    const bool last = saver->last && saver->written == prune->step + 1;
    const bool done =
        saver->written == 0 ||
        (!last && mu_checkpoint_prune_by (&saver->writer, job->checkpoint_dir, &stay));
    pthread_mutex_unlock (&saver->lock);
    if (!done && mu_checkpoint_prune (job->checkpoint_dir, &stay, NULL, &error) < 0)
        say_not_removed (&error);
}

void train_saver_rest (struct train_saver *saver)
{
    pthread_mutex_lock (&saver->lock);
    mu_checkpoint_leave (&saver->writer);
    pthread_mutex_unlock (&saver->lock);
}
