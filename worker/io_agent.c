/* SPDX-License-Identifier: Apache-2.0 */
/* io_agent.c - events from the world, actions into it
 *
 * What the trainer said before it ended is heard before its end is. A trainer that does not take a
 * word (its socket is full, so it has not listened for hundreds of words) is killed: it counts as
 * crashed. At the end BYE gets 200 ms to leave. */
#include "io_agent.h"

#include "common/clock.h"
#include "io_fault.h"
#include "io_watch.h"
#include "worker/comm/flight.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#define WORDS_A_TURN 64 /* of the coordinator, before the others get their turn */
#define LINGER_MS    200
#define TURN_MAX_MS  1000
#define BURY_MS      2000 /* for a killed trainer to end; one that cannot is left to the system */

/* --- actions ---------------------------------------------------------------------------------- */

static void write_log (struct io_agent *io, const struct agent_log *log)
{
    struct mu_log_about about = {
        .job = log->job, .generation = log->generation, .rank = log->rank, .worker = io->name
    };
    io->trainer.about = about;
    mu_log ((enum mu_log_level)log->level, log->event, &about, "%s", log->text);
}

static void tell (struct io_agent *io, const struct mu_wire *wire)
{
    struct mu_error error;
    if (!io->trainer.pid || io->trainer.channel.fd < 0 ||
        mu_channel_send (io->trainer.channel.fd, wire, -1, false, &error) == 0 ||
        error.code == MU_UNAVAILABLE) /* its end is on the way */
        return;
    mu_log (MU_LOG_ERROR, "trainer_deaf", &io->trainer.about,
            "the trainer process does not listen and is ended: %s", error.text);
    io_trainer_kill (&io->trainer);
}

static void start_trainer (struct io_agent *io)
{
    struct mu_error error;
    io->not_started.code = MU_OK;
    if (io_trainer_start (&io->trainer, &io->trainer_options, &error) < 0)
        io->not_started = error; /* told by the next turn, as its end */
}

static void drop_region (struct io_agent *io)
{
    io_collective_drop_ahead (&io->collective);
    io_collective_drop_spare (&io->collective);
    mu_region_detach (&io->region);
    if (io->region_fd >= 0)
        close (io->region_fd);
    io->region_fd = io->collective.options.region_fd = -1;
}

static void carry_out (struct io_agent *io, const struct agent_action *action)
{
    switch (action->type) {
    case AGENT_SEND:
        io_coordinator_send (io->coordinator, &action->send.wire, action->send.to_all);
        return;
    case AGENT_REDIAL: io_coordinator_redial (io->coordinator); return;
    case AGENT_TELL: tell (io, &action->tell); return;
    case AGENT_START_TRAINER: start_trainer (io); return;
    case AGENT_KILL_TRAINER: io_trainer_kill (&io->trainer); return;
    case AGENT_FORM: io_collective_form (&io->collective, &action->form); return;
    case AGENT_CONNECT: io_collective_connect (&io->collective, &action->form); return;
    case AGENT_DROP_AHEAD: io_collective_drop_ahead (&io->collective); return;
    case AGENT_KILL_COLLECTIVE: io_collective_kill (&io->collective); return;
    case AGENT_FENCE_DONE: io_collective_fence_done (&io->collective, &action->fence); return;
    case AGENT_GO:
        if (io->region)
            mu_region_go (io->region, action->generation);
        return;
    case AGENT_END:
        if (io->region)
            mu_region_end (io->region, action->generation);
        return;
    case AGENT_SPARE: io_collective_make_spare (&io->collective); return;
    case AGENT_DROP_REGION: drop_region (io); return;
    case AGENT_LOOK: io->look = true; return;
    case AGENT_BREAK: io_fault_strike (io, &action->blow); return;
    case AGENT_LOG: write_log (io, &action->log); return;
    case AGENT_EXIT:
        io->ending = true;
        io->status = mu_code_exit ((int)action->code);
        return;
    }
}

static void happen (struct io_agent *io, struct agent_event *event)
{
    event->now_ms = mu_now_ms ();
    io->actions.count = 0;
    agent_step (io->agent, event, &io->actions);
    for (uint32_t i = 0; i < io->actions.count && !io->ending; i++)
        carry_out (io, &io->actions.list[i]);
}

/* --- the coordinator -------------------------------------------------------------------------- */

static void hear_coordinator (struct io_agent *io)
{
    struct mu_wire wire;
    for (int i = 0; i < WORDS_A_TURN && !io->ending; i++) {
        if (io_coordinator_receive (io->coordinator, &wire) == 0)
            return;
        happen (io, &(struct agent_event){ .type = AGENT_HEARD, .wire = &wire });
    }
}

/* --- the trainer ------------------------------------------------------------------------------ */

/* The descriptor that comes with OPENED is the shared region's. */
static void take_region (struct io_agent *io, int fd, struct agent_event *event,
                         struct mu_error *error)
{
    drop_region (io);
    if (fd < 0) {
        event->text = "the trainer process sent no shared memory";
        return;
    }
    io->region = mu_region_attach (fd, error);
    if (!io->region) {
        event->text = error->text;
        close (fd);
        return;
    }
    io->region_fd = io->collective.options.region_fd = fd;
    event->region = true;
}

static void hear_trainer (struct io_agent *io)
{
    struct mu_wire wire;
    struct mu_error error;
    int passed, status = 0;
    while (io->trainer.channel.fd >= 0 && !io->ending &&
           (status = mu_channel_receive (&io->trainer.channel, &wire, &passed, &error)) > 0) {
        struct agent_event event = { .type = AGENT_TRAINER_SAID, .wire = &wire };
        if (wire.type == MU_WIRE_OPENED)
            take_region (io, passed, &event, &error);
        else if (passed >= 0)
            close (passed);
        happen (io, &event);
    }
    if (status == 0 || io->trainer.channel.fd < 0)
        return;
    if (error.code == MU_PROTOCOL) {
        mu_log (MU_LOG_ERROR, "protocol", &io->trainer.about,
                "the trainer process said what cannot be understood, and is ended: %s", error.text);
        io_trainer_kill (&io->trainer);
    }
    mu_channel_close (&io->trainer.channel); /* its end is on the way */
}

static void bury_trainer (struct io_agent *io)
{
    char text[1024];
    struct mu_flight flight = { 0 };
    hear_trainer (io);
    int status = io_trainer_reap (&io->trainer, text, sizeof text);
    struct agent_event event = { .type = AGENT_TRAINER_ENDED, .status = status, .text = text };
    if (io->region)
        mu_flight_read (io->region, &flight);
    if (flight.any) {
        event.step = flight.step;
        event.suspects = (struct mu_blob){ flight.in_flight, sizeof flight.in_flight };
        event.records = flight.records;
    }
    happen (io, &event);
}

static void mind_not_started (struct io_agent *io)
{
    if (io->not_started.code == MU_OK)
        return;
    struct mu_error why = io->not_started;
    io->not_started.code = MU_OK;
    happen (io, &(struct agent_event){ .type = AGENT_TRAINER_ENDED,
                                       .status = mu_code_exit ((int)why.code) << 8,
                                       .text = why.text });
}

/* --- collective and signals ------------------------------------------------------------------- */

static void hear_collective (struct io_agent *io)
{
    struct agent_event event;
    while (!io->ending && io_collective_next (&io->collective, &event))
        happen (io, &event);
}

static void hear_signals (struct io_agent *io)
{
    struct signalfd_siginfo info;
    struct mu_error error;
    while (!io->ending && read (io->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo != SIGHUP)
            happen (io, &(struct agent_event){ .type = AGENT_STOP });
        else if (mu_log_reopen (&error) < 0)
            mu_log (MU_LOG_ERROR, "log", &MU_LOG_ABOUT_NOTHING, "%s", error.text);
    }
}

/* --- looking at the children ------------------------------------------------------------------ */

static void look_at_children (struct io_agent *io)
{
    struct agent_look look;
    const struct mu_collective *collective = io->collective.now;
    if (!io->look || io->ending)
        return;
    io->look = false;
    io_watch_look (io->trainer.pid, collective ? mu_collective_pid (collective) : 0, io->region,
                   &look);
    happen (io, &(struct agent_event){ .type = AGENT_LOOKED, .look = &look });
}

/* --- the loop --------------------------------------------------------------------------------- */

enum { SIGNALS, CHANNEL, PROCESS, OUTPUT, COLLECTIVE };
#define ITEMS_MAX (COLLECTIVE + IO_COLLECTIVE_POLL_MAX + IO_COORDINATORS_MAX)

static size_t gather (struct io_agent *io, zmq_pollitem_t *items)
{
    struct pollfd fds[IO_COLLECTIVE_POLL_MAX];
    const int own[] = { [SIGNALS] = io->signals,
                        [CHANNEL] = io->trainer.channel.fd,
                        [PROCESS] = io->trainer.pidfd,
                        [OUTPUT] = io->trainer.output };
    size_t count = 0;
    for (; count < COLLECTIVE; count++)
        items[count] = (zmq_pollitem_t){ .fd = own[count] < 0 ? io->signals : own[count],
                                         .events = own[count] < 0 ? 0 : ZMQ_POLLIN };
    unsigned collective = io_collective_poll (&io->collective, fds);
    for (unsigned i = 0; i < collective; i++)
        items[count++] =
            (zmq_pollitem_t){ .fd = fds[i].fd,
                              .events = (short)((fds[i].events & POLLIN ? ZMQ_POLLIN : 0) |
                                                (fds[i].events & POLLOUT ? ZMQ_POLLOUT : 0)) };
    void *socket;
    for (size_t i = 0; (socket = io_coordinator_socket (io->coordinator, i)); i++)
        items[count++] = (zmq_pollitem_t){ .socket = socket, .events = ZMQ_POLLIN };
    return count;
}

static long wait_limit (const struct io_agent *io)
{
    uint64_t now = mu_now_ms (), deadline = agent_deadline (io->agent);
    if (io->not_started.code != MU_OK || io->collective.not_started || io->collective.not_ahead ||
        deadline <= now)
        return 0;
    return deadline - now < TURN_MAX_MS ? (long)(deadline - now) : TURN_MAX_MS;
}

static void turn (struct io_agent *io)
{
    zmq_pollitem_t items[ITEMS_MAX];
    size_t count = gather (io, items);
    if (zmq_poll (items, (int)count, wait_limit (io)) < 0 && errno != EINTR) {
        mu_log (MU_LOG_ERROR, "poll", &MU_LOG_ABOUT_NOTHING, "waiting fails: %s",
                zmq_strerror (errno));
        io->ending = true;
        io->status = mu_code_exit (MU_SYSTEM);
        return;
    }
    if (items[SIGNALS].revents)
        hear_signals (io);
    hear_coordinator (io);
    if (items[CHANNEL].revents)
        hear_trainer (io);
    if (items[OUTPUT].revents)
        io_trainer_read_output (&io->trainer);
    if (items[PROCESS].revents)
        bury_trainer (io);
    mind_not_started (io);
    hear_collective (io);
    if (!io->ending && mu_now_ms () >= agent_deadline (io->agent))
        happen (io, &(struct agent_event){ .type = AGENT_TIMER });
    look_at_children (io);
}

static void end_children (struct io_agent *io)
{
    char text[1024];
    mu_collective_destroy (&io->collective.now);
    drop_region (io);
    io_trainer_kill (&io->trainer);
    struct pollfd ended = { .fd = io->trainer.pidfd, .events = POLLIN };
    if (io->trainer.pid && poll (&ended, 1, BURY_MS) > 0)
        io_trainer_reap (&io->trainer, text, sizeof text);
}

int io_agent_run (struct io_agent *io)
{
    happen (io, &(struct agent_event){ .type = AGENT_START });
    while (!io->ending)
        turn (io);
    end_children (io);
    mu_log_also (NULL, NULL);
    io_coordinator_close (&io->coordinator, LINGER_MS);
    return io->status;
}
