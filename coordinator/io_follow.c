/* SPDX-License-Identifier: Apache-2.0 */
/* io_follow.c - take the leader's rows, confirm them, answer questions, wait
 *
 *     rows, all that are there -> SQLite, synced -> HAVE -> the core
 *
 * What is asked is answered by the same thread, so nobody who was told that something is durable asks a core
 * that does not know of it.
 *
 * The connection to the leader is a DEALER with a context of its own, made anew for each leader. */
#include "io_follow.h"

#include "clock.h"
#include "following.h"
#include "grow.h"
#include "io_compactor.h"
#include "io_files.h"
#include "io_loop.h"
#include "io_requests.h"
#include "io_turn.h"
#include "log.h"
#include "quota.h"
#include "wire.h"

#include <errno.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define SENDERS           (1u << MU_ROLE_WORKER | 1u << MU_ROLE_CLIENT)
#define MESSAGE_BYTES_MAX (64 << 20)
#define HIGH_WATER        4096
#define BEATS             4
#define WAIT_MAX_MS       1000
#define FAREWELL_MS       200
#define TAKE_MAX          64 /* messages of each kind before the others are looked at */
#define LINES_MAX         4096 /* and lines, but for the last message's, that become durable together */

struct follow {
    const struct follow_options *options;
    struct following following;
    void *context, *dealer;
    uint64_t dealer_term; /* the reign that it leads to */
    uint64_t beat_ms;
    bool stuck;              /* what was to be taken could not be stored */
    uint64_t said, heard_ms; /* the newest record that the leader was heard to have, and when */
    struct store_line *line; /* taken, not durable yet; what they point to lies in these */
    uint32_t line_count, line_capacity;
    zmq_msg_t message[TAKE_MAX];
    uint32_t message_count;
    bool taken; /* something waits to become durable */
    struct mu_quota bad; /* messages that are logged */
    uint32_t *worker, worker_count, worker_capacity;
    struct compactor *compactor;
    struct requests requests;
    struct loop_counts counts;
    struct turn *turn;
    struct coord_actions actions;
    msgpack_zone zone;
    msgpack_sbuffer bytes;
};

/* --- to the leader ------------------------------------------------------------------------------- */

static void disconnect (struct follow *follow)
{
    if (follow->dealer)
        zmq_close (follow->dealer);
    if (follow->context)
        zmq_ctx_term (follow->context);
    follow->context = follow->dealer = NULL;
}

static void set (void *socket, int option, int value)
{
    zmq_setsockopt (socket, option, &value, sizeof value);
}

static void connect_leader (struct follow *follow)
{
    const struct claim *claim = follow->options->claim;
    char identity[64];
    int64_t size_max = MESSAGE_BYTES_MAX;
    if (follow->dealer_term == claim->value.term)
        return;
    disconnect (follow);
    follow->dealer_term = claim->value.term;
    follow->context = zmq_ctx_new ();
    follow->dealer = follow->context ? zmq_socket (follow->context, ZMQ_DEALER) : NULL;
    if (!follow->dealer)
        return;
    /* Its own each time: what is said to one is never heard by another that has its id. */
    snprintf (identity, sizeof identity, "follower-%016" PRIx64 "-%016" PRIx64, claim->options.id,
              draw_id ());
    zmq_setsockopt (follow->dealer, ZMQ_IDENTITY, identity, strlen (identity));
    zmq_setsockopt (follow->dealer, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
    set (follow->dealer, ZMQ_LINGER, 0);
    set (follow->dealer, ZMQ_SNDHWM, HIGH_WATER);
    set (follow->dealer, ZMQ_RCVHWM, HIGH_WATER);
    set (follow->dealer, ZMQ_TCP_MAXRT, (int)claim->options.lost_ms);
    set (follow->dealer, ZMQ_CONNECT_TIMEOUT, (int)claim->options.lost_ms);
    set (follow->dealer, ZMQ_RECONNECT_IVL, 50);
    set (follow->dealer, ZMQ_RECONNECT_IVL_MAX, 500);
    if (zmq_connect (follow->dealer, claim->value.peer))
        mu_log (MU_LOG_ERROR, "cannot_follow", NULL, "the leader's address %s: %s",
                claim->value.peer, zmq_strerror (errno));
    else
        mu_log (MU_LOG_INFO, "following", NULL,
                "the coordinator at %s, which reigns in term %" PRIu64 "%s", claim->value.peer,
                claim->value.term,
                reign_in_sync (&claim->value, claim->options.id) ? ", in sync with it" : "");
}

static void say (struct follow *follow, struct mu_wire *wire)
{
    wire->term = follow->options->claim->value.term;
    follow->bytes.size = 0;
    if (follow->dealer && !mu_record_encode (&mu_wire_family, wire, &follow->bytes, NULL))
        zmq_send (follow->dealer, follow->bytes.data, follow->bytes.size, ZMQ_DONTWAIT);
}

static void say_have (struct follow *follow)
{
    struct mu_wire wire = { .type = MU_WIRE_HAVE };
    wire.have.id = follow->options->claim->options.id;
    wire.have.stream = follow->following.stream;
    wire.have.newest = follow->following.at;
    say (follow, &wire);
}

static void say_follow (struct follow *follow)
{
    const struct follow_options *options = follow->options;
    struct mu_wire wire = { .type = MU_WIRE_FOLLOW };
    wire.follow.id = options->claim->options.id;
    wire.follow.cluster = store_cluster (options->store);
    /* A damaged one asks as if it had nothing: all is sent, and mends it. */
    if (!options->claim->options.damaged) {
        wire.follow.newest = store_newest (options->store);
        wire.follow.last_term = coord_term (*options->coord);
    }
    mu_text_set (wire.follow.version, sizeof wire.follow.version, options->version);
    say (follow, &wire);
}

/* It is told to stop, or cannot store: the leader's promises need not wait for the silence that follows. */
static void say_unfollow (struct follow *follow)
{
    struct mu_wire wire = { .type = MU_WIRE_UNFOLLOW };
    wire.unfollow.id = follow->options->claim->options.id;
    wire.unfollow.stream = follow->following.stream;
    say (follow, &wire);
}

static void speak (struct follow *follow, uint64_t now_ms)
{
    const struct claim *claim = follow->options->claim;
    bool gave_up;
    if (claim->role != CLAIM_FOLLOWING || claim_led_from_here (claim))
        return;
    connect_leader (follow);
    if (following_asks (&follow->following, claim->value.term,
                        store_newest (follow->options->store), &gave_up, now_ms)) {
        if (gave_up)
            store_abandon (follow->options->store);
        say_follow (follow);
    }
    if (now_ms >= follow->beat_ms && follow->following.stream) {
        follow->beat_ms = now_ms + claim->options.lost_ms / BEATS;
        say_have (follow);
    }
}

/* --- rows ---------------------------------------------------------------------------------------- */

/* A database that was never in this cluster may be filled only when nothing is in it. */
static int join (struct follow *follow, struct mu_error *error)
{
    struct store *store = follow->options->store;
    if (store_cluster (store))
        return 0;
    if (store_newest (store))
        return mu_fail (error, MU_CONFLICT,
                        "this database has jobs of its own and would be replaced by those of the "
                        "coordinator that reigns: start on an empty --dir, or without --register");
    return store_set_cluster (store, follow->options->claim->value.cluster, error);
}

static void add_lines (struct follow *follow, const struct mu_wire_rows *rows)
{
    for (uint32_t i = 0; i < rows->rows.count; i++) {
        const struct mu_wire_row *row = &rows->rows.items[i];
        follow->line = core_grow (follow->line, follow->line_count, &follow->line_capacity,
                                  sizeof *follow->line);
        follow->line[follow->line_count++] = (struct store_line){ .number = row->number,
                                                                  .unix_ms = row->unix_ms,
                                                                  .body = row->body.data,
                                                                  .size = row->body.size };
    }
}

static void forget_lines (struct follow *follow)
{
    follow->line_count = 0;
    follow->taken = false;
}

/* What the core of the leader took, this one takes. */
static void feed_core (struct follow *follow)
{
    struct mu_journal record;
    struct mu_error why;
    msgpack_zone zone;
    if (!msgpack_zone_init (&zone, 8192))
        abort ();
    for (uint32_t i = 0; i < follow->line_count; i++) {
        const struct store_line *line = &follow->line[i];
        msgpack_zone_clear (&zone);
        if (mu_record_decode (&mu_journal_family, &record, line->body, line->size, 0, &zone,
                              &why) ||
            coord_apply (*follow->options->coord, &record, &why))
            mu_log (MU_LOG_ERROR, "bad_record", NULL, "record %" PRIu64 " of the leader: %s",
                    line->number, why.text);
    }
    msgpack_zone_destroy (&zone);
}

static void note_mended (struct follow *follow)
{
    struct claim *claim = follow->options->claim;
    if (claim->options.damaged)
        mu_log (MU_LOG_INFO, "mended", NULL,
                "the journal was replaced by the leader's, in place of those records that could "
                "not be read");
    claim_mended (claim);
}

static void note_stored (struct follow *follow)
{
    if (follow->stuck)
        mu_log (MU_LOG_INFO, "store_works", NULL, "the database can be written again");
    follow->stuck = follow->options->claim->stuck = false;
}

/* A fresh journal, in pieces: the leader sends the next when it hears that one was taken. */
static int finish_piece (struct follow *follow, struct mu_error *error)
{
    const struct follow_options *options = follow->options;
    if (!follow->following.filling) {
        if (store_taken (options->store, follow->following.at, error) ||
            options->rebuild (options->arg, error))
            return -1;
        note_mended (follow);
    }
    note_stored (follow);
    say_have (follow);
    forget_lines (follow);
    return 0;
}

static int take (struct follow *follow, const struct mu_wire_rows *rows, bool fresh,
                 struct mu_error *error)
{
    struct store *store = follow->options->store;
    uint32_t before = follow->line_count;
    add_lines (follow, rows);
    if (join (follow, error) || store_take (store, follow->line + before, rows->rows.count,
                                            fresh ? STORE_FRESH : STORE_FOLLOW, error))
        return -1;
    if (!store_is_settled (store))
        return finish_piece (follow, error);
    follow->taken = true;
    return 0;
}

/* A full disk, say: the leader goes on without this one at once, and is asked again. */
static void fall_behind (struct follow *follow, const char *why, uint64_t now_ms)
{
    if (!follow->stuck)
        mu_log (MU_LOG_ERROR, "store_failed", NULL,
                "%s; this coordinator falls behind, and tries again until it works", why);
    follow->stuck = follow->options->claim->stuck = true;
    say_unfollow (follow);
    following_failed (&follow->following, store_newest (follow->options->store), now_ms);
}

/* None of what was taken since the last time is stored. */
static int could_not (struct follow *follow, uint64_t now_ms, const struct mu_error *error)
{
    forget_lines (follow);
    if (error->code != MU_IO && error->code != MU_TRY_AGAIN)
        return -1;
    fall_behind (follow, error->text, now_ms);
    return 0;
}

/* Make durable what was taken: as a leader's turn does, all that was there at once. */
static int settle (struct follow *follow, uint64_t now_ms, struct mu_error *error)
{
    if (!follow->taken)
        return 0;
    if (store_taken (follow->options->store, follow->following.at, error))
        return could_not (follow, now_ms, error);
    note_stored (follow);
    say_have (follow);
    feed_core (follow);
    forget_lines (follow);
    return 0;
}

static int on_rows (struct follow *follow, const struct mu_wire *wire, uint64_t now_ms,
                    struct mu_error *error)
{
    const struct mu_wire_rows *said = &wire->rows;
    struct following_rows rows = { .term = wire->term,
                                   .stream = said->stream,
                                   .before = said->before,
                                   .newest = said->newest,
                                   .first = said->first,
                                   .fresh = said->fresh,
                                   .whole = said->whole };
    if (said->first && settle (follow, now_ms, error))
        return -1;
    enum following_what what = following_rows (&follow->following, &rows, now_ms);
    if (what == FOLLOWING_IGNORE)
        return 0;
    if (take (follow, said, what == FOLLOWING_REPLACE, error))
        return could_not (follow, now_ms, error);
    return follow->line_count < LINES_MAX ? 0 : settle (follow, now_ms, error);
}

static void note_said (struct follow *follow, uint64_t newest, uint64_t now_ms)
{
    follow->said = newest;
    follow->heard_ms = now_ms;
}

/* As far as is known; what the leader stored since is not. */
static void tell_how_far (const struct follow *follow)
{
    if (follow->heard_ms)
        mu_log (MU_LOG_INFO, "takes_over", NULL,
                "the leader of before was last heard %" PRIu64 " ms ago and had record %" PRIu64
                " then; this one has %" PRIu64,
                mu_now_ms () - follow->heard_ms, follow->said,
                store_newest (follow->options->store));
}

static int on_word (struct follow *follow, const struct mu_wire *wire, uint64_t now_ms,
                    struct mu_error *error)
{
    struct claim *claim = follow->options->claim;
    switch ((int)wire->type) {
    case MU_WIRE_ROWS:
        if (!claim_heard (claim, wire->rows.leader, wire->term, now_ms))
            return 0;
        note_said (follow, wire->rows.newest, now_ms);
        return on_rows (follow, wire, now_ms, error);
    case MU_WIRE_LEADING:
        if (!claim_heard (claim, wire->leading.leader, wire->term, now_ms))
            return 0;
        note_said (follow, wire->leading.sent, now_ms);
        following_heard (&follow->following, wire->term, wire->leading.stream, wire->leading.sent,
                         now_ms);
        return 0;
    case MU_WIRE_RESIGN:
        if (claim_heard_resign (claim, wire->resign.leader, wire->term, wire->resign.newest,
                                now_ms))
            following_heard (&follow->following, wire->term, wire->resign.stream,
                             wire->resign.newest, now_ms);
        return 0;
    default: return 0;
    }
}

/* NULL: there is none. It is held, for what lines point to lies in it. */
static zmq_msg_t *receive (struct follow *follow)
{
    zmq_msg_t *message = &follow->message[follow->message_count];
    if (!follow->dealer || follow->message_count == TAKE_MAX)
        return NULL;
    zmq_msg_init (message);
    if (zmq_msg_recv (message, follow->dealer, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close (message);
        return NULL;
    }
    follow->message_count++;
    return message;
}

static void release (struct follow *follow)
{
    while (follow->message_count)
        zmq_msg_close (&follow->message[--follow->message_count]);
    msgpack_zone_clear (&follow->zone);
}

static int hear_leader (struct follow *follow, uint64_t now_ms, struct mu_error *error)
{
    zmq_msg_t *message;
    struct mu_wire wire;
    struct mu_error why;
    int rc = 0;
    while (!rc && (message = receive (follow)))
        if (mu_record_decode (&mu_wire_family, &wire, zmq_msg_data (message),
                              zmq_msg_size (message), 1u << MU_ROLE_PEER, &follow->zone, &why))
            mu_quota_warn (&follow->bad, "bad_message", &why, "from the leader");
        else
            rc = on_word (follow, &wire, now_ms, error);
    rc = rc || settle (follow, now_ms, error) ? -1 : 0;
    release (follow);
    return rc;
}

/* --- workers and clients ------------------------------------------------------------------------- */

static void remember_worker (struct follow *follow, uint32_t peer)
{
    for (uint32_t i = 0; i < follow->worker_count; i++)
        if (follow->worker[i] == peer)
            return;
    follow->worker = core_grow (follow->worker, follow->worker_count, &follow->worker_capacity,
                                sizeof *follow->worker);
    follow->worker[follow->worker_count++] = peer;
}

static void refuse (struct follow *follow, uint32_t peer, const struct mu_wire *wire)
{
    const struct reign *value = &follow->options->claim->value;
    struct mu_error why;
    if (value->term)
        mu_fail (
            &why, MU_NOT_LEADER,
            "this coordinator does not reign; the one that last began to is at %s: name all of "
            "them with --coordinator, which may be repeated",
            value->client);
    else
        mu_fail (&why, MU_NOT_LEADER, "no coordinator reigns yet: this one waits for the others");
    requests_refuse (follow->turn, peer, coord_term (*follow->options->coord),
                     requests_number (wire), &why);
}

static void answer (struct follow *follow, uint32_t peer, const struct mu_wire *wire,
                    uint64_t now_ms, struct mu_error *error)
{
    struct coord_event event = { .type = COORD_RECEIVE,
                                 .peer = peer,
                                 .wire = wire,
                                 .now_ms = now_ms,
                                 .unix_ms = mu_unix_ms () };
    if (mu_shape_find (&mu_wire_family, wire->type)->sender == MU_ROLE_WORKER) {
        remember_worker (follow, peer);
    } else if (coord_may_answer (wire)) {
        follow->actions.count = 0;
        coord_step (*follow->options->coord, &event, &follow->actions);
        turn_add (follow->turn, follow->actions.list, follow->actions.count, error);
    } else {
        follow->requests.coord = *follow->options->coord;
        follow->requests.stuck = follow->stuck;
        if (wire->type == MU_WIRE_FAULT || wire->type == MU_WIRE_HARMED ||
            !requests_answer (&follow->requests, follow->turn, peer, wire, now_ms))
            refuse (follow, peer, wire);
    }
}

static void hear_others (struct follow *follow, uint64_t now_ms)
{
    uint32_t peer;
    const void *data;
    size_t size;
    struct mu_wire wire;
    struct mu_error why;
    struct mu_sockets *sockets = follow->options->sockets;
    for (int i = 0; i < TAKE_MAX && sockets_receive (sockets, &peer, &data, &size); i++) {
        msgpack_zone_clear (&follow->zone);
        follow->counts.received++;
        if (mu_record_decode (&mu_wire_family, &wire, data, size, SENDERS, &follow->zone, &why)) {
            follow->counts.bad++;
            requests_refuse (follow->turn, peer, 0, 0, &why);
        } else
            answer (follow, peer, &wire, now_ms, &why);
        follow->counts.sent += turn_words (follow->turn);
        turn_speak (follow->turn, sockets);
    }
    while (sockets_gone (sockets, &peer))
        for (uint32_t i = 0; i < follow->worker_count; i++)
            if (follow->worker[i] == peer)
                follow->worker[i--] = follow->worker[--follow->worker_count];
}

/* --- the loop ------------------------------------------------------------------------------------ */

static long wait_ms (const struct follow *follow, uint64_t now_ms)
{
    uint64_t deadline = claim_deadline (follow->options->claim);
    if (follow->options->claim->role == CLAIM_FOLLOWING) {
        if (follow->following.ask_ms < deadline)
            deadline = follow->following.ask_ms;
        if (follow->following.stream && follow->beat_ms < deadline)
            deadline = follow->beat_ms;
    }
    if (deadline > now_ms + WAIT_MAX_MS)
        return WAIT_MAX_MS;
    return deadline <= now_ms ? 1 : (long)(deadline - now_ms);
}

static bool wait_for_something (struct follow *follow)
{
    const struct follow_options *options = follow->options;
    zmq_pollitem_t items[] = {
        { NULL, options->signal_fd, ZMQ_POLLIN, 0 },
        { NULL, io_reign_fd (options->reign), ZMQ_POLLIN, 0 },
        { sockets_router (options->sockets), 0, ZMQ_POLLIN, 0 },
        { sockets_monitor (options->sockets), 0, ZMQ_POLLIN, 0 },
        { peers_socket (options->peers), 0, ZMQ_POLLIN, 0 },
        { follow->dealer, 0, ZMQ_POLLIN, 0 },
    };
    zmq_poll (items, follow->dealer ? 6 : 5, wait_ms (follow, mu_now_ms ()));
    return !(items[0].revents && loop_told_to_stop (options->signal_fd));
}

/* Followers of a reign that this one had: they will find the new leader. */
static void ignore_peers (struct follow *follow)
{
    uint32_t peer;
    struct mu_wire wire;
    while (peers_receive (follow->options->peers, &peer, &wire))
        ;
}

/* Between two pieces of a fresh journal there is nothing to fold. */
static void fold (struct follow *follow)
{
    if (store_is_settled (follow->options->store))
        compactor_turn (follow->compactor);
}

static enum follow_end run (struct follow *follow, struct mu_error *error)
{
    struct claim *claim = follow->options->claim;
    if (claim->options.damaged)
        mu_log (MU_LOG_WARN, "damaged", NULL,
                "records lack that could not be read: who else is in sync is to reign, and gives "
                "this one its journal; if nobody takes it, this one goes on with what it has");
    do {
        uint64_t now_ms = mu_now_ms ();
        ignore_peers (follow);
        if (hear_leader (follow, now_ms, error))
            return FOLLOW_FAILED;
        hear_others (follow, now_ms);
        io_reign_turn (follow->options->reign, claim, now_ms);
        if (claim->role == CLAIM_OVER) {
            *error = claim->why;
            return FOLLOW_FAILED;
        }
        if (claim->role == CLAIM_LEADING) {
            store_abandon (follow->options->store);
            tell_how_far (follow);
            return store_set_cluster (follow->options->store, claim->value.cluster, error)
                       ? FOLLOW_FAILED
                       : FOLLOW_LEADS;
        }
        speak (follow, now_ms);
        fold (follow);
    } while (wait_for_something (follow));
    say_unfollow (follow);
    if (follow->dealer)
        set (follow->dealer, ZMQ_LINGER, FAREWELL_MS);
    return FOLLOW_STOPPED;
}

enum follow_end follow_run (const struct follow_options *options, uint32_t **workers,
                            uint32_t *count, struct mu_error *error)
{
    struct follow follow = { .options = options, .turn = turn_create () };
    enum follow_end end = FOLLOW_FAILED;
    if (!follow.turn || !msgpack_zone_init (&follow.zone, 16384)) {
        turn_destroy (&follow.turn);
        mu_fail (error, MU_UNAVAILABLE, "out of memory");
        return end;
    }
    msgpack_sbuffer_init (&follow.bytes);
    following_start (&follow.following, store_newest (options->store),
                     options->claim->options.lost_ms / 2);
    follow.requests = (struct requests){ .store = options->store,
                                         .logs = options->logs,
                                         .sockets = options->sockets,
                                         .counts = &follow.counts,
                                         .version = options->version,
                                         .started_ms = mu_now_ms (),
                                         .follows = true };
    struct compactor_options folding = { .dir = options->dir,
                                         .history_ms = options->history_ms,
                                         .store = options->store };
    if (!compactor_start (&follow.compactor, &folding, error))
        end = run (&follow, error);
    compactor_stop (&follow.compactor);
    store_abandon (options->store);
    disconnect (&follow);
    *workers = follow.worker;
    *count = follow.worker_count;
    turn_destroy (&follow.turn);
    msgpack_zone_destroy (&follow.zone);
    msgpack_sbuffer_destroy (&follow.bytes);
    free (follow.line);
    free (follow.actions.list);
    return end;
}
