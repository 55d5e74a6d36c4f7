/* SPDX-License-Identifier: Apache-2.0 */
/* io_loop.c - the daemon's one loop
 *
 *     wire -> event -> coord_step -> records and words -> commit thread -> words leave
 *
 * At most RECEIVE_MAX messages are taken between two looks at the clock and the commit thread.
 * While the store cannot be written nothing more is read once a turn is full: peers' queues fill,
 * and they go on with the leases they hold. */
#include "io_loop.h"

#include "io_announce.h"
#include "io_requests.h"
#include "io_turn.h"
#include "log.h"

#include <errno.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define RECEIVE_MAX 4096
#define TURN_FULL   65536u /* records and words in one turn */
#define WAIT_MAX_MS 1000

#define SENDERS (1u << MU_ROLE_WORKER | 1u << MU_ROLE_CLIENT)

struct loop {
    const struct loop_options *options;
    struct requests requests;
    struct committer *committer;
    struct coord_actions actions;
    struct turn *filling, *spare; /* spare is NULL while a commit is in flight */
    msgpack_zone zone;
    struct mu_wire wire;
};

static uint64_t clock_ms (clockid_t clock)
{
    struct timespec now;
    clock_gettime (clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- events into the core
 * ------------------------------------------------------------------------- */

static int step (struct loop *loop, struct coord_event *event, struct mu_error *error)
{
    event->now_ms = clock_ms (CLOCK_MONOTONIC);
    event->unix_ms = clock_ms (CLOCK_REALTIME);
    loop->actions.count = 0;
    coord_step (loop->options->coord, event, &loop->actions);
    for (uint32_t i = 0; i < loop->actions.count; i++)
        if (loop->actions.list[i].type == COORD_STORE)
            announce (&loop->actions.list[i].store);
    return turn_add (loop->filling, loop->actions.list, loop->actions.count, error);
}

/* The first field of every client message is its request number. */
static uint64_t request_number (const struct mu_wire *wire)
{
    uint64_t request = 0;
    const struct mu_shape *shape = mu_shape_find (&mu_wire_family, wire->type);
    if (shape->sender == MU_ROLE_CLIENT)
        memcpy (&request,
                (const uint8_t *)wire + mu_wire_family.body_offset + shape->fields[0].offset,
                sizeof request);
    return request;
}

static int on_message (struct loop *loop, uint32_t peer, const void *data, size_t size,
                       struct mu_error *error)
{
    struct mu_error why;
    struct mu_journal_submit submit;
    struct coord_event event = { .type = COORD_RECEIVE, .peer = peer, .wire = &loop->wire };
    uint64_t term = coord_term (loop->options->coord);
    msgpack_zone_clear (&loop->zone);
    if (mu_record_decode (&mu_wire_family, &loop->wire, data, size, SENDERS, &loop->zone, &why)) {
        mu_log (MU_LOG_WARN, "bad_message", NULL, "from %s: %s",
                sockets_name (loop->options->sockets, peer), why.text);
        requests_refuse (loop->filling, peer, term, 0, &why);
        return 0;
    }
    if (requests_answer (&loop->requests, loop->filling, peer, &loop->wire,
                         clock_ms (CLOCK_MONOTONIC)))
        return 0;
    if (loop->wire.type == MU_WIRE_SUBMIT) {
        if (requests_read_submit (&loop->wire, &submit, &why)) {
            requests_refuse (loop->filling, peer, term, request_number (&loop->wire), &why);
            return 0;
        }
        event.submit = &submit;
    }
    return step (loop, &event, error);
}

static int receive (struct loop *loop, struct mu_error *error)
{
    uint32_t peer;
    const void *data;
    size_t size;
    for (uint32_t i = 0; i < RECEIVE_MAX; i++) {
        if (turn_records (loop->filling) + turn_words (loop->filling) >= TURN_FULL)
            return 0;
        if (!sockets_receive (loop->options->sockets, &peer, &data, &size))
            return 0;
        if (on_message (loop, peer, data, size, error))
            return -1;
    }
    return 0;
}

static int notice_gone (struct loop *loop, struct mu_error *error)
{
    uint32_t peer;
    while (sockets_gone (loop->options->sockets, &peer)) {
        struct coord_event event = { .type = COORD_GONE, .peer = peer };
        if (step (loop, &event, error))
            return -1;
    }
    return 0;
}

/* --- turns
 * ---------------------------------------------------------------------------------------- */

static void hand_over (struct loop *loop)
{
    if (!loop->spare)
        return;
    if (!turn_records (loop->filling)) {
        turn_speak (loop->filling, loop->options->sockets);
        return;
    }
    committer_give (loop->committer, loop->filling);
    loop->filling = loop->spare;
    loop->spare = NULL;
}

static void finish_commit (struct loop *loop)
{
    struct turn *turn = committer_take (loop->committer);
    if (!turn)
        return;
    turn_speak (turn, loop->options->sockets);
    loop->spare = turn;
}

static int wait_for_something (struct loop *loop, bool *stop)
{
    uint64_t now = clock_ms (CLOCK_MONOTONIC), deadline = coord_deadline (loop->options->coord);
    long timeout = deadline <= now                ? 0
                   : deadline - now > WAIT_MAX_MS ? WAIT_MAX_MS
                                                  : (long)(deadline - now);
    bool full = turn_records (loop->filling) + turn_words (loop->filling) >= TURN_FULL;
    zmq_pollitem_t items[] = {
        { NULL, committer_done_fd (loop->committer), ZMQ_POLLIN, 0 },
        { NULL, loop->options->signal_fd, ZMQ_POLLIN, 0 },
        { sockets_monitor (loop->options->sockets), 0, ZMQ_POLLIN, 0 },
        { sockets_router (loop->options->sockets), 0, ZMQ_POLLIN, 0 },
    };
    int count = (int)(sizeof items / sizeof *items) - (full ? 1 : 0);
    if (zmq_poll (items, count, timeout) < 0 && zmq_errno () != EINTR)
        return -1;
    *stop = items[1].revents != 0;
    return 0;
}

static int serve (struct loop *loop, struct mu_error *error)
{
    struct coord_event start = { .type = COORD_START }, timer = { .type = COORD_TIMER };
    if (step (loop, &start, error))
        return -1;
    for (bool stop = false; !stop;) {
        hand_over (loop);
        if (wait_for_something (loop, &stop))
            return mu_fail (error, MU_INTERNAL, "waiting failed: %s", zmq_strerror (zmq_errno ()));
        finish_commit (loop);
        if (receive (loop, error) || notice_gone (loop, error))
            return -1;
        if (clock_ms (CLOCK_MONOTONIC) >= coord_deadline (loop->options->coord) &&
            step (loop, &timer, error))
            return -1;
    }
    return 0;
}

static void await_commit (struct loop *loop)
{
    while (!loop->spare && !committer_is_stuck (loop->committer)) {
        zmq_pollitem_t item = { NULL, committer_done_fd (loop->committer), ZMQ_POLLIN, 0 };
        zmq_poll (&item, 1, WAIT_MAX_MS);
        finish_commit (loop);
    }
}

/* What is decided already is stored and said before the process ends. */
static void finish (struct loop *loop)
{
    await_commit (loop);
    hand_over (loop);
    await_commit (loop);
}

int loop_run (const struct loop_options *options, struct mu_error *error)
{
    struct loop loop = { .options = options };
    int rc = -1;
    if (!msgpack_zone_init (&loop.zone, 16384))
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    loop.filling = turn_create ();
    loop.spare = turn_create ();
    if (loop.filling && loop.spare && (loop.committer = committer_start (options->store, error))) {
        loop.requests = (struct requests){
            .coord = options->coord,
            .store = options->store,
            .logs = options->logs,
            .committer = loop.committer,
            .version = options->version,
            .started_ms = clock_ms (CLOCK_MONOTONIC),
        };
        rc = serve (&loop, error);
        finish (&loop);
        committer_stop (&loop.committer);
    } else if (!loop.filling || !loop.spare) {
        mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    turn_destroy (&loop.filling);
    turn_destroy (&loop.spare);
    free (loop.actions.list);
    msgpack_zone_destroy (&loop.zone);
    return rc;
}
