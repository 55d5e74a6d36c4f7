/* SPDX-License-Identifier: Apache-2.0 */
/* io_resign.c - RESIGN until another reigns, or time is up; who asks meanwhile is sent away */
#include "io_resign.h"

#include "clock.h"
#include "io_loop.h"
#include "io_turn.h"
#include "log.h"
#include "wire.h"

#include <msgpack.h>
#include <zmq.h>

#define HEIR_MAX_MS 10000 /* for one that is coming in sync */
#define NEXT_MAX_MS 3000  /* for the next reign to begin */
#define WAIT_MS     20
#define SENDERS     (1u << MU_ROLE_WORKER | 1u << MU_ROLE_CLIENT)

struct resigning {
    const struct resign_options *options;
    struct requests requests;
    struct turn *turn;
    msgpack_zone zone;
};

bool resign_awaits_heir (const struct lead *lead, uint64_t since_ms, uint64_t now_ms)
{
    return lead && !lead_has_heir (lead) && lead_is_followed (lead) &&
           now_ms < since_ms + HEIR_MAX_MS;
}

/* They say HELLO to all coordinators that they know of: the next one remembers who did. */
static void call_workers (struct resigning *resigning)
{
    const struct coord *coord = resigning->options->coord;
    struct mu_wire who = { .type = MU_WIRE_WHO, .term = coord_term (coord) };
    uint32_t peer;
    for (uint32_t i = 0; i < coord_roster_size (coord); i++)
        if (coord_worker_peer (coord, i, &peer))
            turn_say (resigning->turn, peer, &who);
    turn_speak (resigning->turn, resigning->options->sockets);
}

static void send_on (struct resigning *resigning, uint32_t peer, const struct mu_wire *wire)
{
    struct mu_error why;
    if (mu_shape_find (&mu_wire_family, wire->type)->sender != MU_ROLE_CLIENT ||
        requests_answer (&resigning->requests, resigning->turn, peer, wire, mu_now_ms ()))
        return;
    mu_fail (&why, MU_NOT_LEADER,
             "this coordinator was told to stop and hands over to another: ask again, and name all "
             "of them with --coordinator, which may be repeated");
    requests_refuse (resigning->turn, peer, coord_term (resigning->options->coord),
                     requests_number (wire), &why);
}

static void hear (struct resigning *resigning)
{
    uint32_t peer;
    const void *data;
    size_t size;
    struct mu_wire wire;
    while (sockets_receive (resigning->options->sockets, &peer, &data, &size)) {
        msgpack_zone_clear (&resigning->zone);
        if (!mu_record_decode (&mu_wire_family, &wire, data, size, SENDERS, &resigning->zone, NULL))
            send_on (resigning, peer, &wire);
        turn_speak (resigning->turn, resigning->options->sockets);
    }
}

/* False: told to stop once more. */
static bool wait_for_something (const struct resign_options *options)
{
    zmq_pollitem_t items[] = {
        { NULL, options->signal_fd, ZMQ_POLLIN, 0 },
        { lead_socket (options->lead), 0, ZMQ_POLLIN, 0 },
        { NULL, lead_fd (options->lead), ZMQ_POLLIN, 0 },
        { sockets_router (options->sockets), 0, ZMQ_POLLIN, 0 },
    };
    zmq_poll (items, 4, WAIT_MS);
    return !(items[0].revents && loop_told_to_stop (options->signal_fd));
}

static bool next_begins (struct resigning *resigning)
{
    const struct resign_options *options = resigning->options;
    uint64_t limit_ms = mu_now_ms () + NEXT_MAX_MS;
    struct mu_error why;
    do {
        hear (resigning);
        if (lead_turn (options->lead, true, mu_now_ms (), &why))
            return why.code == MU_NOT_LEADER;
    } while (wait_for_something (options) && mu_now_ms () < limit_ms);
    return false;
}

static void hand_over (struct resigning *resigning)
{
    struct lead *lead = resigning->options->lead;
    lead_resign (lead, mu_now_ms ());
    call_workers (resigning);
    if (next_begins (resigning))
        mu_log (MU_LOG_INFO, "handed_over", NULL, "the coordinator at %s reigns now",
                lead_address (lead));
    else
        mu_log (MU_LOG_WARN, "not_handed_over", NULL,
                "no other coordinator has begun to reign yet; one that is in sync does when it can "
                "reach the register, or this one when it is started again");
    hear (resigning);
}

void resign_run (const struct resign_options *options)
{
    struct resigning resigning = { .options = options, .requests = *options->requests };
    if (!options->lead || !lead_has_heir (options->lead) || !(resigning.turn = turn_create ()))
        return;
    resigning.requests.follows = true;
    if (msgpack_zone_init (&resigning.zone, 8192)) {
        hand_over (&resigning);
        msgpack_zone_destroy (&resigning.zone);
    }
    turn_destroy (&resigning.turn);
}
