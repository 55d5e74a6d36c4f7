/* SPDX-License-Identifier: Apache-2.0 */
/* io_lead.c - rows for those who follow
 *
 * Who has just come, or missed something, gets the rows of the store in pieces, each when the one
 * before is confirmed; the last of them is sent when no commit is in flight, so that the next turn
 * follows on it. From then on a turn goes to it and to the commit thread at the same time. */
#include "io_lead.h"

#include "followers.h"
#include "grow.h"
#include "log.h"
#include "wire.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_ROWS  4096
#define PIECE_BYTES (1u << 20)
#define BEATS       4 /* in the time after which the leader is thought lost */
#define STORE_MAX   3 /* such times: a turn is stored within, or who has stored it shall lead */
#define RESIGN_MS   50 /* a resignation is said as often, until somebody reigns */

struct lead {
    struct lead_options options;
    struct followers followers;
    struct term_start *start;
    uint32_t start_count, start_capacity;
    struct mu_wire_row *row;
    uint32_t row_count, row_capacity;
    msgpack_sbuffer bytes, bodies;
    uint64_t beat_ms, now_ms, told_revision;
    uint64_t told[FOLLOWERS_MAX];   /* that they follow, since it last changed who is in sync */
    struct mu_journal_reign before; /* the newest in the journal */
};

/* --- which terms began where ------------------------------------------------------------------- */

static void note_term (struct lead *lead, uint64_t term, uint64_t number)
{
    lead->start =
        core_grow (lead->start, lead->start_count, &lead->start_capacity, sizeof *lead->start);
    lead->start[lead->start_count++] = (struct term_start){ term, number };
}

static int note_start (void *arg, uint64_t number, const struct mu_journal *record)
{
    struct lead *lead = arg;
    /* Of a damaged one no journal is the beginning: those who hold what lacks here get all anew. */
    if (!store_is_damaged (lead->options.store))
        note_term (lead, record->reign.term, number);
    lead->before = record->reign;
    return 0;
}

/* --- rows ---------------------------------------------------------------------------------------- */

static void say (struct lead *lead, uint32_t peer, struct mu_wire *wire)
{
    struct mu_error error;
    wire->term = lead->options.claim->term;
    lead->bytes.size = 0;
    if (mu_record_encode (&mu_wire_family, wire, &lead->bytes, &error))
        mu_log (MU_LOG_ERROR, "unsayable", NULL, "%s", error.text);
    else
        peers_send (lead->options.peers, peer, lead->bytes.data, lead->bytes.size);
}

static void say_rows (struct lead *lead, struct follower *follower, uint64_t newest, bool whole)
{
    struct mu_wire wire = { .type = MU_WIRE_ROWS };
    wire.rows.leader = lead->options.claim->options.id;
    wire.rows.stream = follower->stream;
    wire.rows.before = follower->sent;
    wire.rows.newest = newest;
    wire.rows.first = !follower->begun;
    wire.rows.fresh = follower->fresh;
    wire.rows.whole = whole;
    wire.rows.rows.items = lead->row;
    wire.rows.rows.count = lead->row_count;
    say (lead, follower->peer, &wire);
}

/* The body is borrowed until the row was said. */
static int add_row (void *arg, const struct store_line *line)
{
    struct lead *lead = arg;
    lead->row = core_grow (lead->row, lead->row_count, &lead->row_capacity, sizeof *lead->row);
    lead->row[lead->row_count++] = (struct mu_wire_row){ .number = line->number,
                                                         .unix_ms = line->unix_ms,
                                                         .body = { line->body, line->size } };
    return 0;
}

/* The body lies in the store's memory until the next row: it is copied; where, is put in later. */
static int copy_row (void *arg, const struct store_line *line)
{
    struct lead *lead = arg;
    if (lead->bodies.size && lead->bodies.size + line->size > PIECE_BYTES)
        return 1;
    add_row (lead, line);
    if (msgpack_sbuffer_write (&lead->bodies, line->body, line->size))
        abort ();
    return 0;
}

static void point_rows (struct lead *lead)
{
    size_t offset = 0;
    for (uint32_t i = 0; i < lead->row_count; i++) {
        lead->row[i].body.data = lead->bodies.data + offset;
        offset += lead->row[i].body.size;
    }
}

static int feed (struct lead *lead, struct follower *follower)
{
    struct mu_error error;
    uint64_t newest = store_newest (lead->options.store);
    lead->row_count = 0;
    lead->bodies.size = 0;
    int rc =
        store_read_lines (lead->options.store, follower->sent, PIECE_ROWS, copy_row, lead, &error);
    if (rc < 0) {
        mu_log (MU_LOG_ERROR, "cannot_feed", NULL, "%s", error.text);
        return -1;
    }
    point_rows (lead);
    bool last = rc == 0 && lead->row_count < PIECE_ROWS;
    uint64_t end = last ? newest : lead->row[lead->row_count - 1].number;
    say_rows (lead, follower, end, end == newest);
    followers_fed (follower, end, newest);
    return 0;
}

/* What is being folded just now is read a moment later. */
static void feed_all (struct lead *lead)
{
    struct store *store = lead->options.store;
    struct follower *follower;
    if (!store_hold (store))
        return;
    followers_fold (&lead->followers, store_folded_to (store));
    while ((follower = followers_hungry (&lead->followers, store_newest (store))) &&
           !feed (lead, follower))
        ;
    store_release (store);
}

void lead_give (struct lead *lead, const struct store_batch *batch, uint64_t unix_ms)
{
    uint64_t before = store_newest (lead->options.store);
    uint64_t newest = before + store_batch_count (batch);
    feed_all (lead);
    lead->row_count = 0;
    store_batch_lines (batch, before + 1, unix_ms, add_row, lead);
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        struct follower *follower = &lead->followers.list[i];
        if (!follower->id || !follower->live)
            continue;
        say_rows (lead, follower, newest, true);
        followers_sent (follower, newest);
    }
}

uint64_t lead_confirmed (const struct lead *lead)
{
    return followers_confirmed (&lead->followers, lead->options.claim,
                                store_newest (lead->options.store));
}

bool lead_answers_ahead (const struct lead *lead) { return lead->followers.ahead; }

bool lead_may_answer (const struct lead *lead, uint64_t given_ms, uint64_t now_ms)
{
    return followers_may_answer (&lead->followers, given_ms, now_ms);
}

uint32_t lead_in_sync (const struct lead *lead)
{
    return lead->options.claim->value.in_sync_count - 1; /* itself is one */
}

uint64_t lead_behind (const struct lead *lead)
{
    return store_newest (lead->options.store) - lead_confirmed (lead);
}

uint32_t lead_ahead_ms (const struct lead *lead)
{
    return lead->followers.ahead ? lead->followers.lost_ms : 0;
}

uint32_t lead_lacks_ms (const struct lead *lead)
{
    const struct mu_journal_reign *before = &lead->before;
    const struct claim *claim = lead->options.claim;
    bool all = before->leader == claim->options.id ||
               claim_was_left_all (claim, before->term, store_newest (lead->options.store));
    return all ? 0 : before->ahead_ms;
}

/* --- words --------------------------------------------------------------------------------------- */

static void say_leading (struct lead *lead, const struct follower *follower)
{
    struct mu_wire wire = { .type = MU_WIRE_LEADING };
    wire.leading.leader = lead->options.claim->options.id;
    wire.leading.stream = follower->stream;
    wire.leading.sent = follower->sent;
    say (lead, follower->peer, &wire);
}

/* Somebody follows who led here before, or this one in an earlier term, and would find out by a silence. */
static void answer_belated (struct lead *lead, uint32_t peer)
{
    say_leading (lead, &(struct follower){ .peer = peer });
}

/* A snapshot of this one's disk was started elsewhere, and asks whether this one lives. */
static void answer_twin (struct lead *lead, uint32_t peer)
{
    const struct follower twin = { .peer = peer };
    mu_log (
        MU_LOG_WARN, "started_twice", NULL,
        "a snapshot of this coordinator's disk was started elsewhere beside it; it is sent away");
    say_leading (lead, &twin);
}

/* One that cannot store what it gets asks each second, for as long as that lasts. */
static bool is_news (struct lead *lead, uint64_t id)
{
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        if (lead->told[i] == id)
            return false;
        if (!lead->told[i]) {
            lead->told[i] = id;
            return true;
        }
    }
    return true;
}

static void send_rival_away (struct lead *lead, const struct follower *follower, uint32_t other)
{
    struct mu_wire wire = { .type = MU_WIRE_LEADING };
    wire.leading.leader = follower->id; /* its own */
    mu_log (MU_LOG_WARN, "started_twice", NULL,
            "coordinator %016" PRIx64
            " follows twice: a snapshot of its disk was started beside it; "
            "the one that came later is sent away",
            follower->id);
    say (lead, other, &wire);
}

static void on_follow (struct lead *lead, uint32_t peer, const struct mu_wire_follow *follow)
{
    struct claim *claim = lead->options.claim;
    uint64_t newest = store_newest (lead->options.store);
    bool prefix = followers_is_prefix (lead->start, lead->start_count, newest,
                                       store_folded_to (lead->options.store), follow->last_term,
                                       follow->newest);
    if (follow->cluster && follow->cluster != claim->value.cluster) {
        mu_log (MU_LOG_WARN, "not_ours", NULL, "a coordinator of another cluster would follow");
        return;
    }
    if (follow->id == claim->options.id) {
        answer_twin (lead, peer);
        return;
    }
    struct follower *follower = followers_follow (&lead->followers, claim, peer, follow->id, prefix,
                                                  follow->newest, lead->now_ms);
    uint32_t other;
    if (follower && followers_are_two (follower, &other))
        send_rival_away (lead, follower, other);
    if (!follower)
        mu_log (MU_LOG_WARN, "too_many_follow", NULL, "%u coordinators follow already",
                FOLLOWERS_MAX);
    else
        mu_log (is_news (lead, follow->id) ? MU_LOG_INFO : MU_LOG_DEBUG, "followed", NULL,
                "coordinator %016" PRIx64 " (version %s) follows from record %" PRIu64
                " of %" PRIu64 "%s",
                follow->id, follow->version, follower->sent, newest,
                prefix || !follow->newest ? ""
                                          : ", as its journal is not the beginning of this one");
}

static void on_word (struct lead *lead, uint32_t peer, const struct mu_wire *wire)
{
    struct claim *claim = lead->options.claim;
    if (wire->term > claim->term)
        claim->ask_ms = lead->now_ms; /* the register knows */
    if ((wire->type == MU_WIRE_FOLLOW || wire->type == MU_WIRE_HAVE) && wire->term < claim->term)
        answer_belated (lead, peer);
    else if (wire->type == MU_WIRE_FOLLOW && wire->term == claim->term)
        on_follow (lead, peer, &wire->follow);
    else if (wire->type == MU_WIRE_HAVE && wire->term == claim->term)
        followers_have (&lead->followers, claim, wire->have.id, wire->have.stream,
                        wire->have.newest, lead->now_ms);
    else if (wire->type == MU_WIRE_UNFOLLOW && wire->term == claim->term)
        followers_leave (&lead->followers, claim, wire->unfollow.id, wire->unfollow.stream);
}

static void hear (struct lead *lead)
{
    uint32_t peer;
    struct mu_wire wire;
    while (peers_receive (lead->options.peers, &peer, &wire))
        on_word (lead, peer, &wire);
}

static void say_resign (struct lead *lead, const struct follower *follower)
{
    struct mu_wire wire = { .type = MU_WIRE_RESIGN };
    wire.resign.leader = lead->options.claim->options.id;
    wire.resign.stream = follower->stream;
    wire.resign.newest = store_newest (lead->options.store);
    say (lead, follower->peer, &wire);
}

static void beat (struct lead *lead)
{
    const struct claim *claim = lead->options.claim;
    bool resigned = claim->role == CLAIM_RESIGNED;
    if (lead->now_ms < lead->beat_ms)
        return;
    lead->beat_ms = lead->now_ms + (resigned ? RESIGN_MS : claim->options.lost_ms / BEATS);
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        const struct follower *follower = &lead->followers.list[i];
        if (follower->id && resigned)
            say_resign (lead, follower);
        else if (follower->id)
            say_leading (lead, follower);
    }
}

bool lead_is_outdone (const struct lead *lead, uint64_t given_ms, uint64_t now_ms)
{
    return now_ms >= given_ms + STORE_MAX * lead->followers.lost_ms &&
           followers_keep_up (&lead->followers, lead->options.claim);
}

bool lead_has_heir (const struct lead *lead) { return claim_has_heir (lead->options.claim); }

bool lead_is_followed (const struct lead *lead)
{
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++)
        if (lead->followers.list[i].id)
            return true;
    return false;
}

void lead_resign (struct lead *lead, uint64_t now_ms)
{
    claim_resign (lead->options.claim, now_ms);
    lead->now_ms = lead->beat_ms = now_ms;
    beat (lead);
}

static void tell_members (struct lead *lead)
{
    const struct reign *value = &lead->options.claim->value;
    if (value->revision == lead->told_revision)
        return;
    lead->told_revision = value->revision;
    memset (lead->told, 0, sizeof lead->told);
    if (value->in_sync_count > 1)
        mu_log (MU_LOG_INFO, "in_sync", NULL,
                "term %" PRIu64 ": %u other%s can take this coordinator's place at any moment",
                value->term, value->in_sync_count - 1, value->in_sync_count == 2 ? "" : "s");
    else
        mu_log (MU_LOG_WARN, "alone", NULL,
                "term %" PRIu64 ": no other coordinator is in sync, so none can take this one's "
                "place; training and promises go on",
                value->term);
}

int lead_turn (struct lead *lead, bool idle, uint64_t now_ms, struct mu_error *error)
{
    struct claim *claim = lead->options.claim;
    lead->now_ms = now_ms;
    hear (lead);
    followers_scan (&lead->followers, claim, now_ms);
    if (idle)
        feed_all (lead);
    beat (lead);
    io_reign_turn (lead->options.reign, claim, now_ms);
    if (claim->role == CLAIM_OVER) {
        *error = claim->why;
        return -1;
    }
    tell_members (lead);
    return 0;
}

uint64_t lead_deadline (const struct lead *lead)
{
    uint64_t claim = claim_deadline (lead->options.claim);
    return claim < lead->beat_ms ? claim : lead->beat_ms;
}

void lead_look (struct lead *lead, uint64_t now_ms) { claim_look (lead->options.claim, now_ms); }

const char *lead_address (const struct lead *lead) { return lead->options.claim->value.client; }

void *lead_socket (struct lead *lead) { return peers_socket (lead->options.peers); }
int lead_fd (struct lead *lead) { return io_reign_fd (lead->options.reign); }

/* --- life ---------------------------------------------------------------------------------------- */

int lead_begin (struct lead **lead_p, const struct lead_options *options, struct mu_error *error)
{
    struct lead *lead = calloc (1, sizeof *lead);
    if (!lead)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    *lead_p = lead;
    lead->options = *options;
    lead->followers.lost_ms = options->claim->options.lost_ms;
    lead->followers.ahead = options->ahead;
    msgpack_sbuffer_init (&lead->bytes);
    msgpack_sbuffer_init (&lead->bodies);
    if (store_read_type (options->store, MU_JOURNAL_REIGN, note_start, lead, error)) {
        lead_end (lead_p);
        return -1;
    }
    note_term (lead, options->claim->term, store_newest (options->store) + 1);
    return 0;
}

void lead_end (struct lead **lead_p)
{
    struct lead *lead = *lead_p;
    if (!lead)
        return;
    msgpack_sbuffer_destroy (&lead->bytes);
    msgpack_sbuffer_destroy (&lead->bodies);
    free (lead->start);
    free (lead->row);
    free (lead);
    *lead_p = NULL;
}
