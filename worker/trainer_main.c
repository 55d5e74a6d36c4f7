/* SPDX-License-Identifier: Apache-2.0 */
/* trainer_main.c - muster-trainer: the process that holds a job's weights
 *
 *     muster-trainer CHANNEL_FD AGENT_PID ISA THREADS DIR CACHE
 *
 * is started by an agent, for one job, and lives until the agent ends it. This is the control
 * thread: it hears the agent, passes orders to the stepper, watches the checkpoint writer, and
 * keeps the agent posted. It never computes, so it always answers.
 *
 * Fatal: the agent is gone (exit at once: nobody is left to work for), or says what cannot be
 * understood. What it logs goes to standard error, which the agent reads. */
#include "train.h"

#include "common/log.h"
#include "worker/channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FLUSH_MS 50

static void die_of (const struct mu_error *error)
{
    mu_log (MU_LOG_ERROR, "end", &MU_LOG_ABOUT_NOTHING, "%s", error->text);
    _exit (mu_code_exit ((int)error->code));
}

/* --- PREPARE ---------------------------------------------------------------------------------- */

static void say_opened (struct train *train)
{
    struct train_job *job = &train->job;
    struct mu_wire wire = { .type = MU_WIRE_OPENED };
    struct mu_wire_opened *opened = &wire.opened;
    opened->blank = job->blank;
    opened->unsound = job->unsound;
    mu_text_set (opened->unread, sizeof opened->unread, job->unread);
    if (!job->blank)
        snprintf (opened->digest, sizeof opened->digest, "%016llx",
                  (unsigned long long)mu_state_sum (job->state));
    opened->job = job->number;
    opened->records = job->info.records;
    opened->parameters = job->state->parameters;
    opened->step = job->state->step;
    opened->attempt = (uint32_t)job->state->attempt;
    opened->targets = job->info.tokens ? job->info.tokens - 1 : 1;
    opened->window = (uint32_t)job->spec.window;
    mu_text_set (opened->data_identity, sizeof opened->data_identity, job->identity);
    train_say (&train->report, &wire, job->region_fd);
}

static int start_threads (struct train *train, struct mu_error *error)
{
    pthread_t stepper;
    train->pool = train_pool_create (&train->job, error);
    if (!train->pool)
        return -1;
    train->report.pool = train->pool;
    int number = pthread_create (&stepper, NULL, train_stepper, train);
    if (number)
        return mu_fail_errno (error, MU_SYSTEM, number, "no thread can be started");
    return 0;
}

static void on_prepare (struct train *train, const struct train_options *options,
                        const struct mu_wire_prepare *prepare)
{
    struct mu_error error = { .code = MU_INTERNAL };
    if (train->pool)
        return;
    if (train_open (&train->job, options, prepare, &error) < 0 ||
        train_saver_init (&train->saver, &error) < 0 || start_threads (train, &error) < 0) {
        train_refuse (&train->report, &error);
        return; /* the agent ends this process */
    }
    say_opened (train);
}

/* --- the agent's words ------------------------------------------------------------------------ */

static void on_enter (struct train *train, const struct mu_wire_enter *enter)
{
    struct mu_error error;
    if (train_post_enter (&train->orders, enter, &train->job, &error) < 0)
        train_refuse (&train->report, &error);
}

static void on_leave (struct train *train, const struct mu_wire_leave *leave)
{
    train_report_phase (&train->report, MU_PHASE_LEAVING, false);
    train_post_leave (&train->orders, leave->generation);
}

static void on_prune (struct train *train, const struct mu_wire_prune *prune)
{
    struct mu_wire wire = { .type = MU_WIRE_PRUNED, .pruned.step = prune->step };
    train_prune (&train->saver, &train->job, prune);
    train_say (&train->report, &wire, -1);
}

static void obey (struct train *train, const struct train_options *options,
                  const struct mu_wire *wire)
{
    uint32_t type = (uint32_t)wire->type;
    if (type == MU_WIRE_PREPARE)
        on_prepare (train, options, &wire->prepare);
    else if (!train->pool)
        return; /* orders that overtook a refusal */
    else if (type == MU_WIRE_ENTER)
        on_enter (train, &wire->enter);
    else if (type == MU_WIRE_EXTEND)
        train_post_extend (&train->orders, &wire->extend);
    else if (type == MU_WIRE_COMPARE)
        train_post_compare (&train->orders, &wire->compare);
    else if (type == MU_WIRE_LEAVE)
        on_leave (train, &wire->leave);
    else if (type == MU_WIRE_WRITE)
        train_post_write (&train->orders, wire->write.generation);
    else if (type == MU_WIRE_PRUNE)
        on_prune (train, &wire->prune);
    else if (type == MU_WIRE_END_WRITING &&
             train_saver_give_up (&train->saver, wire->end_writing.step, &train->report))
        train_orders_nudge (&train->orders);
}

static void hear (struct train *train, const struct train_options *options,
                  struct mu_channel *channel)
{
    struct mu_wire wire;
    struct mu_error error;
    int passed, status;
    while ((status = mu_channel_receive (channel, &wire, &passed, &error)) > 0) {
        if (passed >= 0)
            close (passed);
        obey (train, options, &wire);
    }
    if (status < 0)
        die_of (&error);
}

/* --- the loop --------------------------------------------------------------------------------- */

static void drain (int fd)
{
    uint64_t count;
    while (read (fd, &count, sizeof count) == sizeof count)
        continue;
}

static void turn (struct train *train, const struct train_options *options,
                  struct mu_channel *channel)
{
    bool open = train->pool != NULL;
    struct pollfd fds[3] = {
        { .fd = channel->fd, .events = POLLIN },
        { .fd = open ? train->saver.wake : -1, .events = POLLIN },
        { .fd = open ? train_saver_fd (&train->saver) : -1, .events = POLLIN },
    };
    if (poll (fds, 3, open ? FLUSH_MS : -1) < 0 && errno != EINTR)
        exit (mu_code_exit (MU_SYSTEM));
    if (fds[0].revents)
        hear (train, options, channel);
    if (fds[1].revents)
        drain (train->saver.wake);
    if (fds[2].revents) {
        train_saver_poll (&train->saver, &train->report);
        train_orders_nudge (&train->orders);
    }
    if (open) {
        train_saver_look (&train->saver, &train->report);
        train_report_flush (&train->report);
    }
}

/* The state block is broadcast into and the buffers are large: huge pages and no core file of it
 * are the kernel's and the operator's business; dying with the agent is ours. Who stops a service tells all its
 * processes so at once: the agent alone listens, and lets this one go at the end of a step. */
static void live_with (pid_t agent)
{
    static const int others[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        signal (others[i], SIG_IGN);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != agent)
        _exit (mu_code_exit (MU_UNAVAILABLE));
}

int main (int argc, char **argv)
{
    static struct train train;
    struct mu_channel channel;
    struct mu_error error;
    if (argc != 7) {
        fputs ("muster-trainer is started by muster-worker; nobody else needs to.\n", stderr);
        return mu_code_exit (MU_USAGE);
    }
    live_with ((pid_t)strtol (argv[2], NULL, 10));
    struct train_options options = { .isa = *argv[3] ? argv[3] : NULL,
                                     .threads = (unsigned)strtoul (argv[4], NULL, 10),
                                     .dir = argv[5],
                                     .cache = *argv[6] ? argv[6] : NULL,
                                     .report = &train.report };
    if (mu_log_open ("muster-trainer", NULL, MU_LOG_INFO, &error) < 0 ||
        mu_channel_open (&channel, (int)strtol (argv[1], NULL, 10), MU_ROLE_AGENT, &error) < 0)
        die_of (&error);
    if (options.threads < 1)
        options.threads = 1;
    train.job.region_fd = -1;
    train_report_init (&train.report, channel.fd);
    train_orders_init (&train.orders);
    for (;;)
        turn (&train, &options, &channel);
}
