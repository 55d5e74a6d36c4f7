/* SPDX-License-Identifier: Apache-2.0 */
/* io_loop.c - the daemon's one loop
 *
 *     wire -> event -> coord_step -> records and words -> commit thread -> words leave
 *
 * At most RECEIVE_MAX messages are taken, for at most RECEIVE_MS, between two looks at the clock
 * and the commit thread. While the store cannot be written nothing more is read or decided once a
 * turn is full: peers' queues fill, and they go on with the leases they hold; nobody is called
 * silent who was not listened to. Nor who was not spoken to: while what was decided cannot be said
 * the core has no timer, and when it has one again it excuses that (docs/decisions/0066). */
#include "io_loop.h"

#include "clock.h"
#include "io_compactor.h"
#include "io_faults.h"
#include "io_outbox.h"
#include "io_requests.h"
#include "io_resign.h"
#include "io_turn.h"
#include "io_wait.h"
#include "log.h"
#include "quota.h"

#include <errno.h>
#include <inttypes.h>
#include <msgpack.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define RECEIVE_MAX 4096
#define RECEIVE_MS  200
#define SLICE_US    1000 /* of deciding, while something may wait to be stored or spoken */
#define LOOK_MS     1000 /* between two looks at the register because of a word */
#define WAIT_MAX_MS 1000

/* How long the end waits for those that follow. */
#define CONFIRM_MAX_MS 2000

#define SENDERS (1u << MU_ROLE_WORKER | 1u << MU_ROLE_CLIENT)

static const struct mu_blob no_wire; /* an event without a message */

struct loop {
    const struct loop_options *options;
    struct requests requests;
    struct committer *committer;
    struct coord_actions actions;
    struct outbox *outbox; /* turns that are full */
    struct turn *filling;
    struct turn *aside;           /* words that need not wait for a commit */
    bool drained;                 /* no message waited when we last looked */
    bool outdone;                 /* its database fails, and another coordinator's does not */
    uint32_t stops;               /* how often it was told to */
    uint64_t stop_ms;             /* the first time */
    uint64_t later_term, look_ms; /* that a worker spoke of; the next is looked into then */
    struct loop_counts counts;
    struct mu_quota bad; /* messages that are logged */
    uint64_t clocks_apart_ms;
    struct mu_quota jumps; /* of the clock, the same */
    msgpack_zone zone;
    struct mu_wire wire;
};

/* --- events into the core --------------------------------------------------------------------- */

/* It decides nothing here, but what is stored has its time, and what is old goes by that (forget.c). */
static void look_at_clocks (struct loop *loop, const struct coord_event *event)
{
    struct mu_error why;
    int64_t by_ms = mu_clock_jump (&loop->clocks_apart_ms, event->now_ms, event->unix_ms);
    uint64_t minutes = ((uint64_t)(by_ms < 0 ? -by_ms : by_ms) + 30000) / 60000;
    if (!by_ms)
        return;
    mu_fail (&why, MU_SYSTEM,
             "it jumped %s by %" PRIu64 " days %" PRIu64 " h %" PRIu64
             " min: it was set%s. Jobs and logs have its time from now on; what is folded or "
             "forgotten because it is old goes by it when it has gone on for a day",
             by_ms < 0 ? "back" : "ahead", minutes / 1440, minutes / 60 % 24, minutes % 60,
             by_ms < 0 ? "" : ", or this host was suspended");
    mu_quota_warn (&loop->jumps, "clock_jumped", &why, "the clock of this host");
}

/* `wire` are the bytes of the event's message, if there is one. */
static int step (struct loop *loop, struct coord_event *event, struct mu_blob wire,
                 struct mu_error *error)
{
    event->now_ms = mu_now_ms ();
    event->unix_ms = mu_unix_ms ();
    look_at_clocks (loop, event);
    loop->actions.count = 0;
    coord_step (loop->options->coord, event, &loop->actions);
    recorder_event (loop->options->recorder, event, wire, &loop->actions);
    return turn_add (loop->filling, loop->actions.list, loop->actions.count, error);
}

/* A person is not left waiting for a disk. What is told of jobs could be unsaid by a crash, so it is not shown either;
 * what is stored can be read. */
static bool refuse_while_stuck (struct loop *loop, uint32_t peer, uint64_t term)
{
    struct mu_error why;
    if (mu_shape_find (&mu_wire_family, loop->wire.type)->sender != MU_ROLE_CLIENT)
        return false;
    mu_fail (&why, MU_IO,
             "the coordinator cannot write its database, so it promises nothing: make room on the "
             "disk of its --dir (its log says more). Training goes on; %s",
             coord_may_answer (&loop->wire)
                 ? "`muster events` and `muster logs` show what is stored. What has happened since "
                   "could be lost yet, and is not shown: ask again afterwards"
                 : "look with `muster jobs` afterwards whether this was done, or ask again");
    requests_refuse (loop->aside, peer, term, requests_number (&loop->wire), &why);
    return true;
}

/* Who is dead, and who reigns, is asked just when words are held up because a standby is dead and no register
 * answers. What is shown of jobs waits, for a takeover could unsay it. */
static bool tells_of_itself (const struct loop *loop)
{
    return (loop->wire.type == MU_WIRE_PING || loop->wire.type == MU_WIRE_METRICS ||
            loop->wire.type == MU_WIRE_LOGS) &&
           outbox_is_held (loop->outbox, mu_now_ms ());
}

static int on_message (struct loop *loop, uint32_t peer, const void *data, size_t size,
                       struct mu_error *error)
{
    struct mu_error why;
    struct mu_journal_submit submit;
    struct coord_event event = { .type = COORD_RECEIVE, .peer = peer, .wire = &loop->wire };
    uint64_t term = coord_term (loop->options->coord);
    loop->counts.received++;
    msgpack_zone_clear (&loop->zone);
    if (mu_record_decode (&mu_wire_family, &loop->wire, data, size, SENDERS, &loop->zone, &why)) {
        loop->counts.bad++;
        mu_quota_warn (&loop->bad, "bad_message", &why, "from %s",
                       sockets_name (loop->options->sockets, peer));
        requests_refuse (loop->filling, peer, term, 0, &why);
        return 0;
    }
    bool stuck = committer_is_stuck (loop->committer);
    bool at_once = stuck || faults_is_own (&loop->wire) || tells_of_itself (loop);
    struct turn *turn = at_once ? loop->aside : loop->filling;
    bool answered =
        requests_answer (&loop->requests, turn, peer, &loop->wire, mu_now_ms ()) ||
        (stuck && refuse_while_stuck (loop, peer, term));
    if (at_once) {
        loop->counts.sent += turn_words (turn);
        turn_speak (turn, loop->options->sockets);
    }
    if (answered)
        return 0;
    if (loop->wire.type == MU_WIRE_SUBMIT) {
        if (requests_read_submit (&loop->wire, &submit, &why)) {
            requests_refuse (loop->filling, peer, term, requests_number (&loop->wire), &why);
            return 0;
        }
        event.submit = &submit;
    }
    return step (loop, &event, (struct mu_blob){ data, (uint32_t)size }, error);
}

/* What is durable is spoken, and the commit thread gets something to do, before more is taken: deciding and
 * storing go on at the same time. */
static bool has_taken_enough (const struct loop *loop, uint64_t since_us)
{
    if (outbox_has_done (loop->outbox))
        return true;
    bool due = outbox_awaits_word (loop->outbox) ||
               (outbox_is_idle (loop->outbox) && turn_records (loop->filling));
    return due && mu_now_us () >= since_us + SLICE_US;
}

static int receive (struct loop *loop, struct mu_error *error)
{
    uint32_t peer;
    const void *data;
    size_t size;
    uint64_t since_us = mu_now_us (), limit_us = since_us + 1000 * RECEIVE_MS;
    loop->drained = false;
    for (uint32_t i = 0; i < RECEIVE_MAX && mu_now_us () < limit_us; i++) {
        if (turn_is_full (loop->filling) || has_taken_enough (loop, since_us))
            return 0;
        if (!sockets_receive (loop->options->sockets, &peer, &data, &size)) {
            loop->drained = true;
            return 0;
        }
        if (on_message (loop, peer, data, size, error))
            return -1;
    }
    return 0;
}

static int notice_gone (struct loop *loop, struct mu_error *error)
{
    uint32_t peer;
    if (!loop->drained)
        sockets_tend (loop->options->sockets);
    while (loop->drained && sockets_gone (loop->options->sockets, &peer)) {
        struct coord_event event = { .type = COORD_GONE, .peer = peer };
        if (step (loop, &event, no_wire, error))
            return -1;
    }
    return 0;
}

/* --- turns ------------------------------------------------------------------------------------ */

/* What is on its way goes on. */
static int mind_turns (struct loop *loop, struct mu_error *error)
{
    struct lead *lead = loop->options->lead;
    if (lead && lead_turn (lead, !outbox_is_committing (loop->outbox), mu_now_ms (), error))
        return -1;
    return outbox_speak (loop->outbox, error);
}

static void pass_turn (struct loop *loop)
{
    if (!outbox_patience_us (loop->outbox, loop->filling))
        outbox_pass (loop->outbox, &loop->filling);
}

/* What was decided during a commit is given to the disk before what became durable is spoken: it works on
 * meanwhile. A leader leaves a moment between two commits, in which those that lag behind are fed. */
static void collect_turn (struct loop *loop)
{
    outbox_collect (loop->outbox);
    if (!loop->options->lead && turn_records (loop->filling))
        pass_turn (loop);
}

static bool has_timer (const struct loop *loop, uint64_t now_ms)
{
    return !turn_is_full (loop->filling) &&
           !outbox_is_mute (loop->outbox, now_ms, coord_lost_ms (loop->options->coord));
}

/* A full turn waits for its commit alone. */
static uint64_t wait_us (const struct loop *loop)
{
    uint64_t now = mu_now_ms (), deadline = coord_deadline (loop->options->coord);
    if (!has_timer (loop, now))
        deadline = UINT64_MAX;
    if (loop->options->lead && lead_deadline (loop->options->lead) < deadline)
        deadline = lead_deadline (loop->options->lead);
    uint64_t ms = deadline <= now ? 0 : deadline - now;
    uint64_t us = 1000 * (ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS);
    uint64_t patience = outbox_patience_us (loop->outbox, loop->filling);
    return patience && patience < us ? patience : us;
}

bool loop_told_to_stop (int signal_fd)
{
    struct signalfd_siginfo info;
    struct mu_error why;
    while (read (signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo != SIGHUP)
            return true;
        if (mu_log_reopen (&why))
            mu_log (MU_LOG_WARN, "log_not_reopened", NULL, "%s", why.text);
    }
    return false;
}

/* Once is enough, unless somebody is on the way who can take over. */
static void told_to_stop (struct loop *loop)
{
    if (!loop->stops++)
        loop->stop_ms = mu_now_ms ();
}

static bool may_end (const struct loop *loop)
{
    return loop->stops > 1 ||
           (loop->stops && !resign_awaits_heir (loop->options->lead, loop->stop_ms, mu_now_ms ()));
}

static int wait_for_something (struct loop *loop)
{
    bool full = turn_is_full (loop->filling);
    struct lead *lead = loop->options->lead;
    zmq_pollitem_t items[6] = {
        { NULL, committer_done_fd (loop->committer), ZMQ_POLLIN, 0 },
        { NULL, loop->options->signal_fd, ZMQ_POLLIN, 0 },
        { sockets_monitor (loop->options->sockets), 0, ZMQ_POLLIN, 0 },
    };
    int count = 3;
    if (lead) {
        items[count++] = (zmq_pollitem_t){ lead_socket (lead), 0, ZMQ_POLLIN, 0 };
        items[count++] = (zmq_pollitem_t){ NULL, lead_fd (lead), ZMQ_POLLIN, 0 };
    }
    if (!full)
        items[count++] =
            (zmq_pollitem_t){ sockets_router (loop->options->sockets), 0, ZMQ_POLLIN, 0 };
    if (wait_for_any (items, count, wait_us (loop)) && errno != EINTR)
        return -1;
    if (items[1].revents && loop_told_to_stop (loop->options->signal_fd))
        told_to_stop (loop);
    return 0;
}

static int on_time (struct loop *loop, struct mu_error *error)
{
    struct coord_event timer = { .type = COORD_TIMER };
    uint64_t now_ms = mu_now_ms ();
    if (now_ms < coord_deadline (loop->options->coord) || !has_timer (loop, now_ms))
        return 0;
    return step (loop, &timer, no_wire, error);
}

/* Where there is a register it alone deposes. Who speaks of later terms may do so for ever. */
static void look_into_later_term (struct loop *loop)
{
    uint64_t later_term = coord_later_term (loop->options->coord), now_ms = mu_now_ms ();
    if (!loop->options->lead || later_term <= loop->later_term || now_ms < loop->look_ms)
        return;
    mu_log (MU_LOG_WARN, "later_term", NULL,
            "a worker says that it has heard of term %" PRIu64 "; the register is asked who reigns",
            later_term);
    loop->later_term = later_term;
    loop->look_ms = now_ms + LOOK_MS;
    lead_look (loop->options->lead, now_ms);
}

static int check_reign (struct loop *loop, struct mu_error *error)
{
    look_into_later_term (loop);
    if (!coord_deposed (loop->options->coord))
        return 0;
    return mu_fail (error, MU_NOT_LEADER,
                    "a worker has heard of a later term than %" PRIu64
                    ": another coordinator reigns, and this one ends (if there is none, because "
                    "this one's state was lost, start the workers again too)",
                    coord_term (loop->options->coord));
}

/* The disk is full, broken, or hangs. What is not durable here is durable there, and who asked will be told so by
 * the other. */
static int check_store (struct loop *loop, struct mu_error *error)
{
    uint64_t since_ms = outbox_committing_since (loop->outbox), now_ms = mu_now_ms ();
    if (!loop->options->lead || since_ms == UINT64_MAX ||
        !lead_is_outdone (loop->options->lead, since_ms, now_ms))
        return 0;
    loop->outdone = true;
    return mu_fail (error, MU_NOT_LEADER,
                    "the database could not be written for %" PRIu64
                    " ms, and another coordinator that can write its own was asked to reign",
                    now_ms - since_ms);
}

/* Workers that looked for a coordinator before this one led. Where those are to be sent away who served what is
 * lost here, they have to say in which term before they hear of this one. */
static void greet (struct loop *loop)
{
    if (loop->options->reign.lacks)
        return;
    struct mu_wire who = { .type = MU_WIRE_WHO, .term = coord_term (loop->options->coord) };
    for (uint32_t i = 0; i < loop->options->worker_count; i++)
        turn_say (loop->filling, loop->options->workers[i], &who);
}

static int serve (struct loop *loop, struct mu_error *error)
{
    struct coord_event start = { .type = COORD_START, .reign = loop->options->reign };
    if (step (loop, &start, no_wire, error))
        return -1;
    greet (loop);
    while (!may_end (loop)) {
        pass_turn (loop);
        if (wait_for_something (loop))
            return mu_fail_errno (error, MU_INTERNAL, errno, "waiting failed");
        collect_turn (loop);
        if (mind_turns (loop, error) || receive (loop, error) || notice_gone (loop, error) ||
            on_time (loop, error) || check_reign (loop, error) || check_store (loop, error))
            return -1;
    }
    return 0;
}

/* Until all that is on its way is spoken; what nobody confirms in time stays unsaid, whatever it was. */
static void await_turns (struct loop *loop)
{
    struct mu_error error;
    struct lead *lead = loop->options->lead;
    uint64_t limit_ms = mu_now_ms () + CONFIRM_MAX_MS;
    while (!outbox_is_empty (loop->outbox) && !committer_is_stuck (loop->committer)) {
        zmq_pollitem_t items[] = {
            { NULL, committer_done_fd (loop->committer), ZMQ_POLLIN, 0 },
            { lead ? lead_socket (lead) : NULL, 0, ZMQ_POLLIN, 0 },
        };
        zmq_poll (items, lead ? 2 : 1, WAIT_MAX_MS / 10);
        outbox_collect (loop->outbox);
        if (mind_turns (loop, &error) ||
            (!outbox_is_committing (loop->outbox) && mu_now_ms () >= limit_ms))
            return;
    }
}

/* What is decided already is stored and said before the process ends; after a failure only what
 * was on its way to the store, for the rest may be half a decision; and nothing where nothing can be stored. */
static void finish (struct loop *loop, bool failed)
{
    if (!loop->outdone) {
        await_turns (loop);
        if (failed)
            return;
        outbox_pass (loop->outbox, &loop->filling);
        await_turns (loop);
    }
    struct resign_options resign = { .lead = loop->options->lead,
                                     .coord = loop->options->coord,
                                     .sockets = loop->options->sockets,
                                     .requests = &loop->requests,
                                     .signal_fd = loop->options->signal_fd };
    resign_run (&resign);
}

static int open_turns (struct loop *loop, struct mu_error *error)
{
    const struct loop_options *options = loop->options;
    loop->filling = turn_create ();
    loop->aside = turn_create ();
    if (!loop->filling || !loop->aside)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    loop->committer = committer_start (options->store, error);
    struct outbox_options outbox = { .store = options->store,
                                     .committer = loop->committer,
                                     .lead = options->lead,
                                     .sockets = options->sockets,
                                     .counts = &loop->counts };
    return !loop->committer || outbox_open (&loop->outbox, &outbox, error) ? -1 : 0;
}

static void close_turns (struct loop *loop)
{
    committer_stop (&loop->committer);
    outbox_close (&loop->outbox);
    turn_destroy (&loop->filling);
    turn_destroy (&loop->aside);
    free (loop->actions.list);
    msgpack_zone_destroy (&loop->zone);
}

static int run (struct loop *loop, struct mu_error *error)
{
    const struct loop_options *options = loop->options;
    struct compactor *compactor = NULL;
    loop->requests = (struct requests){
        .coord = options->coord,
        .store = options->store,
        .logs = options->logs,
        .committer = loop->committer,
        .sockets = options->sockets,
        .counts = &loop->counts,
        .lead = options->lead,
        .version = options->version,
        .faults = options->faults,
        .started_ms = mu_now_ms (),
    };
    struct compactor_options folding = { .dir = options->dir,
                                         .history_ms = options->history_ms,
                                         .store = options->store,
                                         .committer = loop->committer };
    int rc = compactor_start (&compactor, &folding, error) || serve (loop, error) ? -1 : 0;
    compactor_stop (&compactor);
    finish (loop, rc != 0);
    return rc;
}

int loop_run (const struct loop_options *options, struct mu_error *error)
{
    struct loop loop = { .options = options };
    if (!msgpack_zone_init (&loop.zone, 16384))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    int rc = open_turns (&loop, error) || run (&loop, error) ? -1 : 0;
    close_turns (&loop);
    return rc;
}
