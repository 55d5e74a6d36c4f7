/* SPDX-License-Identifier: Apache-2.0 */
/* train_report.c - what the agent is told, and how often
 *
 * Steps can take a millisecond; PROGRESS goes out every 50 ms at most. What is held back is sent by
 * the control thread's next turn, so a long phase is known even if it began just after a report.
 *
 * Fatal: the agent is gone. Nobody is left to work for. */
#include "train.h"

#include "worker/channel.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_EVERY_MS  50u
#define WORKING_EVERY_MS 500u

void train_report_init (struct train_report *report, int fd)
{
    memset (report, 0, sizeof *report);
    pthread_mutex_init (&report->lock, NULL);
    report->fd = fd;
}

void train_say (struct train_report *report, const struct mu_wire *wire, int passed)
{
    if (mu_channel_send (report->fd, wire, passed, true, NULL) < 0)
        _Exit (mu_code_exit (MU_UNAVAILABLE));
}

void train_refuse (struct train_report *report, const struct mu_error *error)
{
    struct mu_wire wire = { .type = MU_WIRE_REFUSE };
    wire.refuse.code = (uint32_t)error->code;
    wire.refuse.at = report->progress.generation ? report->progress.step + 1 : 0;
    wire.refuse.text = (struct mu_blob){ error->text, (uint32_t)strnlen (error->text, 1023) };
    train_say (report, &wire, -1);
}

void train_report_working (struct train_report *report, const char *what, uint64_t done,
                           uint64_t total)
{
    if (!report || train_now_ms () - report->sent_ms < WORKING_EVERY_MS)
        return;
    report->sent_ms = train_now_ms ();
    struct mu_wire wire = { .type = MU_WIRE_WORKING };
    mu_text_set (wire.working.what, sizeof wire.working.what, what);
    wire.working.done = done;
    wire.working.total = total;
    train_say (report, &wire, -1);
}

/* Under the lock. */
static void send_progress (struct train_report *report)
{
    struct mu_wire wire = { .type = MU_WIRE_PROGRESS, .progress = report->progress };
    if (report->pool)
        wire.progress.busy_us = train_pool_busy_us (report->pool);
    report->dirty = false;
    report->sent_ms = train_now_ms ();
    train_say (report, &wire, -1);
}

static void changed (struct train_report *report, bool urgent)
{
    report->dirty = true;
    if (urgent || train_now_ms () - report->sent_ms >= REPORT_EVERY_MS)
        send_progress (report);
}

void train_report_generation (struct train_report *report, uint64_t generation, uint64_t step)
{
    pthread_mutex_lock (&report->lock);
    report->progress.generation = generation;
    report->progress.step = step;
    report->progress.weights_hash[0] = '\0';
    pthread_mutex_unlock (&report->lock);
}

void train_report_weights (struct train_report *report, const char *hash)
{
    pthread_mutex_lock (&report->lock);
    mu_text_set (report->progress.weights_hash, sizeof report->progress.weights_hash, hash);
    pthread_mutex_unlock (&report->lock);
}

void train_report_phase (struct train_report *report, enum mu_phase_state phase, bool urgent)
{
    pthread_mutex_lock (&report->lock);
    if (report->progress.phase != (uint32_t)phase) {
        report->progress.phase = (uint32_t)phase;
        changed (report, urgent);
    }
    pthread_mutex_unlock (&report->lock);
}

void train_report_step (struct train_report *report, uint64_t step, double loss, uint64_t targets)
{
    pthread_mutex_lock (&report->lock);
    bool first = report->progress.step == 0;
    report->progress.step = report->loss_step = step;
    report->progress.loss = loss;
    report->progress.targets = targets;
    changed (report, first);
    pthread_mutex_unlock (&report->lock);
}

void train_report_evaluation (struct train_report *report, uint64_t step, double loss,
                              double accuracy)
{
    pthread_mutex_lock (&report->lock);
    report->progress.loss_evaluated = loss;
    report->progress.accuracy = accuracy;
    report->progress.evaluated_step = step + 1;
    report->progress.unevaluated[0] = '\0';
    changed (report, true);
    pthread_mutex_unlock (&report->lock);
}

void train_report_unevaluated (struct train_report *report, const char *why)
{
    pthread_mutex_lock (&report->lock);
    mu_text_set (report->progress.unevaluated, sizeof report->progress.unevaluated, why);
    changed (report, true);
    pthread_mutex_unlock (&report->lock);
}

/* A state that was received stands where this process has seen no loss; one that was taken back, before
 * what it has evaluated. */
struct mu_wire_progress train_report_reached (struct train_report *report, uint64_t step)
{
    pthread_mutex_lock (&report->lock);
    struct mu_wire_progress reached = report->progress;
    pthread_mutex_unlock (&report->lock);
    if (report->loss_step != step)
        reached.loss = 0;
    if (reached.evaluated_step > step + 1)
        reached.evaluated_step = 0, reached.loss_evaluated = reached.accuracy = 0;
    return reached;
}

void train_report_flush (struct train_report *report)
{
    pthread_mutex_lock (&report->lock);
    if (report->dirty)
        send_progress (report);
    pthread_mutex_unlock (&report->lock);
}
