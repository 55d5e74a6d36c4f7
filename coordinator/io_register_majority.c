/* SPDX-License-Identifier: Apache-2.0 */
/* io_register_majority.c - `--register majority:`: the proposer of caspaxos.h over ZeroMQ
 *
 * One DEALER to each peer, in a context of its own. A phase that does not end in its time, for words
 * that were lost or peers that are gone, begins anew; one that another proposer refused does so
 * after a random pause, so that two of them do not refuse each other for ever. */
#include "io_files.h"
#include "io_register_kinds.h"
#include "vote_words.h"

#include <errno.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define PHASE_MS   250 /* two hops and a synced write, many times over */
#define PAUSE_MIN  2   /* ms */
#define PAUSE_MAX  200
#define WORD_MAX   4096
#define IN_FLIGHT  16
#define HEARTBEATS 1000 /* ms */

struct majority {
    void *context;
    void *socket[VOTERS_MAX];
    uint32_t peers, refusals;
    uint64_t phase_end;
    msgpack_zone zone;
    struct proposer proposer;
};

/* --- words ------------------------------------------------------------------------------------- */

static void ask_peer (struct majority *majority, uint32_t peer)
{
    struct vote_ask ask;
    struct mu_wire wire;
    struct vote_bytes bytes;
    msgpack_sbuffer out;
    if (!proposer_ask (&majority->proposer, peer, &ask))
        return;
    msgpack_sbuffer_init (&out);
    vote_ask_write (&ask, &wire, &bytes);
    /* What can't be sent is lost, as anything may be: the phase begins anew. */
    if (!mu_record_encode (&mu_wire_family, &wire, &out, NULL))
        zmq_send (majority->socket[peer], out.data, out.size, ZMQ_DONTWAIT);
    msgpack_sbuffer_destroy (&out);
}

static void ask_all (struct majority *majority, uint64_t now)
{
    majority->phase_end = now + PHASE_MS;
    for (uint32_t i = 0; i < majority->peers; i++)
        ask_peer (majority, i);
}

static bool hear (struct majority *majority, uint32_t peer, const void *data, size_t size)
{
    struct mu_wire wire;
    struct vote vote;
    bool went_on = false;
    if (!mu_record_decode (&mu_wire_family, &wire, data, size, 1u << MU_ROLE_PEER, &majority->zone,
                           NULL) &&
        vote_read (&vote, &wire))
        went_on = proposer_hear (&majority->proposer, peer, &vote);
    msgpack_zone_clear (&majority->zone);
    return went_on;
}

/* True: another phase began. */
static bool hear_peer (struct majority *majority, uint32_t peer)
{
    char word[WORD_MAX];
    for (;;) {
        const int size = zmq_recv (majority->socket[peer], word, sizeof word, ZMQ_DONTWAIT);
        if (size < 0)
            return false;
        if ((size_t)size <= sizeof word && hear (majority, peer, word, (size_t)size))
            return true;
    }
}

/* --- a call ------------------------------------------------------------------------------------ */

static uint64_t pause_of (struct majority *majority)
{
    uint64_t most = PAUSE_MIN << (majority->refusals < 7 ? majority->refusals : 7);
    if (most > PAUSE_MAX)
        most = PAUSE_MAX;
    majority->refusals++;
    return 1 + draw_id () % most;
}

static void go_on (struct majority *majority, enum proposal_phase before, uint64_t deadline)
{
    uint64_t now = mu_now_ms ();
    if (before > PROPOSAL_TEACH && majority->proposer.phase == PROPOSAL_LOOK) {
        const uint64_t pause = pause_of (majority);
        zmq_poll (NULL, 0, (long)(now + pause < deadline ? pause : 1));
        now = mu_now_ms ();
    }
    ask_all (majority, now);
}

static void wait_for_words (struct majority *majority, uint64_t deadline)
{
    zmq_pollitem_t item[VOTERS_MAX];
    const enum proposal_phase before = majority->proposer.phase;
    const uint64_t now = mu_now_ms ();
    const uint64_t until = majority->phase_end < deadline ? majority->phase_end : deadline;
    for (uint32_t i = 0; i < majority->peers; i++)
        item[i] = (zmq_pollitem_t){ majority->socket[i], 0, ZMQ_POLLIN, 0 };
    zmq_poll (item, (int)majority->peers, until > now ? (long)(until - now) : 0);
    for (uint32_t i = 0; i < majority->peers; i++)
        if (hear_peer (majority, i)) {
            go_on (majority, before, deadline);
            return;
        }
    if (mu_now_ms () >= majority->phase_end) {
        proposer_late (&majority->proposer);
        ask_all (majority, mu_now_ms ());
    }
}

static int say_late (const struct majority *majority, uint32_t limit_ms, struct mu_error *error)
{
    uint32_t answered = 0;
    for (uint32_t i = 0; i < majority->peers; i++)
        answered += majority->proposer.has[i];
    return mu_fail (error, MU_UNAVAILABLE,
                    "no majority of %" PRIu32 " peers agreed within %" PRIu32 " ms (%" PRIu32
                    " answered last%s)",
                    majority->peers, limit_ms, answered,
                    majority->proposer.voters.count ? ""
                                                    : "; the first time all of --peers must run");
}

static int say_result (const struct majority *majority, struct mu_error *error)
{
    switch (majority->proposer.result) {
    case PROPOSAL_OK: return 0;
    case PROPOSAL_CONFLICT: return mu_fail (error, MU_CONFLICT, "another value is there by now");
    case PROPOSAL_UNKNOWN:
        return mu_fail (error, MU_TRY_AGAIN,
                        "another value is there by now, perhaps after this one");
    case PROPOSAL_TWINS:
        return mu_fail (error, MU_CONFIG, "two of --peers lead to one and the same acceptor");
    case PROPOSAL_TORN:
        return mu_fail (
            error, MU_UNAVAILABLE,
            "an acceptor lost its file before all had agreed on their first list: if it "
            "stays so, stop all of them and remove DIR/acceptor on each");
    }
    return mu_fail (error, MU_INTERNAL, "a round ended in no known way");
}

static int call (struct majority *majority, uint32_t limit_ms, struct mu_error *error)
{
    const uint64_t now = mu_now_ms (), deadline = now + limit_ms;
    majority->refusals = 0;
    ask_all (majority, now);
    while (majority->proposer.phase != PROPOSAL_DONE) {
        if (mu_now_ms () >= deadline)
            return say_late (majority, limit_ms, error);
        wait_for_words (majority, deadline);
    }
    return say_result (majority, error);
}

static int majority_read (void *own, uint32_t limit_ms, struct reign_text *value,
                          struct mu_error *error)
{
    struct majority *majority = own;
    proposer_begin (&majority->proposer, NULL, 0, NULL, 0);
    if (call (majority, limit_ms, error))
        return -1;
    value->size = majority->proposer.value.size;
    memcpy (value->text, majority->proposer.value.bytes, value->size);
    return 0;
}

static int majority_swap (void *own, uint32_t limit_ms, uint64_t revision,
                          const struct reign_text *expected, const struct reign_text *next,
                          struct mu_error *error)
{
    (void)revision;
    struct majority *majority = own;
    proposer_begin (&majority->proposer, expected->text, (uint32_t)expected->size, next->text,
                    (uint32_t)next->size);
    return call (majority, limit_ms, error);
}

/* --- open and close ---------------------------------------------------------------------------- */

static int connect_peer (struct majority *majority, const char *endpoint, struct mu_error *error)
{
    static const struct {
        int option, value;
    } options[] = {
        { ZMQ_LINGER, 0 },
        { ZMQ_SNDHWM, IN_FLIGHT },
        { ZMQ_RCVHWM, IN_FLIGHT },
        { ZMQ_RECONNECT_IVL, 50 },
        { ZMQ_RECONNECT_IVL_MAX, 1000 },
        { ZMQ_HEARTBEAT_IVL, HEARTBEATS },
        { ZMQ_HEARTBEAT_TIMEOUT, 3 * HEARTBEATS },
        { ZMQ_IPV6, 1 },
    };
    const int64_t word_max = WORD_MAX;
    void *socket = zmq_socket (majority->context, ZMQ_DEALER);
    if (!socket)
        return mu_fail_errno (error, MU_SYSTEM, zmq_errno (), "no socket can be made");
    majority->socket[majority->peers++] = socket;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        zmq_setsockopt (socket, options[i].option, &options[i].value, sizeof (int));
    zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &word_max, sizeof word_max);
    if (zmq_connect (socket, endpoint))
        return mu_fail (error, MU_CONFIG, "%s in --peers cannot be connected to: %s", endpoint,
                        zmq_strerror (zmq_errno ()));
    return 0;
}

static void majority_close (void *own)
{
    struct majority *majority = own;
    for (uint32_t i = 0; i < majority->peers; i++)
        zmq_close (majority->socket[i]);
    if (majority->context)
        zmq_ctx_term (majority->context);
    msgpack_zone_destroy (&majority->zone);
    free (majority);
}

static int check_options (const char *rest, const struct register_options *options,
                          struct mu_error *error)
{
    if (*rest)
        return mu_fail (error, MU_CONFIG,
                        "nothing follows majority: (who votes is said by --peers)");
    if (!options->peer_count || options->peer_count > VOTERS_MAX)
        return mu_fail (
            error, MU_CONFIG,
            "majority: needs --peers, for all coordinators and witnesses, this one too; "
            "three survive the loss of one");
    for (uint32_t i = 0; i < options->peer_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp (options->peers[i], options->peers[k]))
                return mu_fail (error, MU_CONFIG, "%s is in --peers twice", options->peers[i]);
    return 0;
}

static int majority_open (void **own_p, const char *rest, const struct register_options *options,
                          struct mu_error *error)
{
    if (check_options (rest, options, error))
        return -1;
    struct majority *majority = calloc (1, sizeof *majority);
    if (!majority || !msgpack_zone_init (&majority->zone, WORD_MAX)) {
        free (majority);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    majority->context = zmq_ctx_new ();
    if (!majority->context) {
        majority_close (majority);
        return mu_fail_errno (error, MU_SYSTEM, zmq_errno (), "ZeroMQ cannot be started");
    }
    for (uint32_t i = 0; i < options->peer_count; i++)
        if (connect_peer (majority, options->peers[i], error)) {
            majority_close (majority);
            return -1;
        }
    /* Drawn, not options->id: a process that starts again must not repeat a ballot. */
    proposer_create (&majority->proposer, draw_id (), majority->peers);
    *own_p = majority;
    return 0;
}

const struct register_kind register_majority = { "majority:", majority_open, majority_close,
                                                 majority_read, majority_swap };
