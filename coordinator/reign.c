/* SPDX-License-Identifier: Apache-2.0 */
/* reign.c - one coordinator's part in who reigns: ask the register, take a term, know when it is over
 *
 *     WAITING -> FOLLOWING <-> (swap term + 1) -> LEADING (-> RESIGNED) -> OVER
 *
 * A request at a time is in flight. A swap without an answer may come into force at any time later,
 * as long as the value it expects is there: until a newer revision was seen, whom it would bring in
 * sync must confirm every turn already (`tried`). A term taken by such a swap is not led in: whoever
 * finds itself the leader without having been told so takes the next. */
#include "reign.h"

#include "record.h"

#include <string.h>

#define CALM_FACTOR     4 /* with a leader that is heard the register is read as rarely as this */
#define EAGER_MAX_MS    1000
#define UNFIT_FACTOR    3 /* silences for which who lacks rows, or stores none, lets others reign */
#define RESIGNED_ASK_MS 50 /* one that resigned looks whether another has begun, and can end */

/* Nobody else has begun a later term, as far as it knows; it may have said that it leads no more. */
static bool holds_term (const struct claim *claim)
{
    return claim->role == CLAIM_LEADING || claim->role == CLAIM_RESIGNED;
}

static bool contains (const uint64_t *list, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == id)
            return true;
    return false;
}

static void insert (uint64_t *list, uint32_t *count, uint64_t id)
{
    uint32_t at = *count;
    if (contains (list, *count, id) || *count == REIGN_MEMBERS_MAX)
        return;
    for (; at > 0 && list[at - 1] > id; at--)
        list[at] = list[at - 1];
    list[at] = id;
    ++*count;
}

static void take_out (uint64_t *list, uint32_t *count, uint64_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++)
        if (list[i] != id)
            list[kept++] = list[i];
    for (uint32_t i = kept; i < *count; i++)
        list[i] = 0;
    *count = kept;
}

bool reign_in_sync (const struct reign *value, uint64_t id)
{
    return contains (value->in_sync, value->in_sync_count, id);
}

int claim_check (const struct claim_options *options, struct mu_error *error)
{
    if (!options->copied || options->take_over)
        return 0;
    return mu_fail (
        error, MU_CONFLICT,
        "this database was copied or moved here: as a copy it may lack what was acknowledged "
        "since, and must not be taken for the one that has it. Start on an empty --dir, and it "
        "becomes a standby and gets everything; or with --take-over, once, if no coordinator that "
        "was in sync is left");
}

void claim_start (struct claim *claim, const struct claim_options *options, uint64_t now_ms)
{
    memset (claim, 0, sizeof *claim);
    claim->options = *options;
    claim->now_ms = claim->heard_ms = claim->ask_ms = now_ms;
}

void claim_mended (struct claim *claim) { claim->options.damaged = false; }

static void end (struct claim *claim, enum mu_code code, const char *why)
{
    claim->role = CLAIM_OVER;
    mu_fail (&claim->why, code, "%s", why);
}

/* --- what a swap would put in ------------------------------------------------------------------ */

static void next_of (struct claim *claim)
{
    claim->next = claim->value;
    claim->next.revision++;
}

/* The next term, for this one. Who is in sync with the leader of before stays so: it holds all that was
 * ever acknowledged. That leader itself is left out: it is dead, or will follow. */
/* Of a term that is taken once more, for the answer to the first swap was lost, the first one says it. */
static void note_what_lacks (struct claim *claim)
{
    const struct reign *before = &claim->value;
    if (!reign_in_sync (before, claim->options.id))
        claim->lacks = before->term > 0 && before->term >= claim->options.term;
    else if (before->leader != claim->options.id)
        claim->lacks = false;
}

static void next_term (struct claim *claim)
{
    note_what_lacks (claim);
    const struct claim_options *options = &claim->options;
    struct reign *next = &claim->next;
    bool in_sync = reign_in_sync (&claim->value, options->id);
    next_of (claim);
    next->term = (next->term < options->term ? options->term : next->term) + 1;
    if (!next->cluster)
        next->cluster = options->cluster ? options->cluster : options->new_cluster;
    if (!in_sync) { /* it founds a cluster, or an operator insists */
        memset (next->in_sync, 0, sizeof next->in_sync);
        next->in_sync_count = 0;
    } else if (next->leader != options->id) {
        take_out (next->in_sync, &next->in_sync_count, next->leader);
    }
    insert (next->in_sync, &next->in_sync_count, options->id);
    next->leader = options->id;
    memset (next->peer, 0, sizeof next->peer);
    memset (next->client, 0, sizeof next->client);
    mu_text_set (next->peer, sizeof next->peer, options->peer);
    mu_text_set (next->client, sizeof next->client, options->client);
}

/* Silent for too long, or it said itself that it leads no more: no difference is made. */
static bool is_leader_lost (const struct claim *claim)
{
    return (claim->resigned && claim->resigned == claim->value.term) ||
           claim->now_ms >= claim->heard_ms + claim->options.lost_ms;
}

bool claim_led_from_here (const struct claim *claim)
{
    return claim->value.leader == claim->options.id &&
           !strcmp (claim->value.peer, claim->options.peer);
}

/* It lacks what it once confirmed, and another has it: that one goes first, if it is there. So does one that can
 * store; the leader does not speak to who has said UNFOLLOW, and may be all right. */
static bool leaves_it_to_another (const struct claim *claim)
{
    const struct claim_options *options = &claim->options;
    return (options->damaged || claim->stuck) &&
           claim->value.in_sync_count > reign_in_sync (&claim->value, options->id) &&
           claim->now_ms < claim->heard_ms + UNFIT_FACTOR * options->lost_ms;
}

/* May a term be taken, and is it time to? */
static bool wants_term (const struct claim *claim)
{
    const struct claim_options *options = &claim->options;
    if (claim->value.term == 0)
        return !options->standby;
    if (options->take_over)
        return true;
    if (leaves_it_to_another (claim))
        return false;
    if (claim_led_from_here (claim))
        return true;
    return reign_in_sync (&claim->value, options->id) && is_leader_lost (claim);
}

/* Somebody is waited for because of a swap that may still come into force: the next one, which changes
 * nothing else, makes that impossible. */
static bool haunts (const struct claim *claim)
{
    for (uint32_t i = 0; i < claim->tried_count; i++)
        if (!reign_in_sync (&claim->value, claim->tried[i]) &&
            !contains (claim->live, claim->live_count, claim->tried[i]))
            return true;
    return false;
}

/* One change at a time: who is whole comes in, then who is lost goes out. */
static bool wants_members (struct claim *claim)
{
    uint64_t id;
    next_of (claim);
    struct reign *next = &claim->next;
    for (uint32_t i = 0; i < claim->whole_count; i++) {
        if (reign_in_sync (next, claim->whole[i]) || next->in_sync_count == REIGN_MEMBERS_MAX)
            continue;
        insert (next->in_sync, &next->in_sync_count, claim->whole[i]);
        return true;
    }
    for (uint32_t i = 0; i < claim->value.in_sync_count; i++) {
        id = claim->value.in_sync[i];
        if (id == claim->options.id || contains (claim->live, claim->live_count, id) ||
            contains (claim->waited, claim->waited_count, id))
            continue;
        take_out (next->in_sync, &next->in_sync_count, id);
        return true;
    }
    return haunts (claim);
}

/* From one look at the register to the next while nobody is heard who reigns. */
static uint32_t eager_ms (const struct claim *claim)
{
    uint32_t quarter_ms = claim->options.lost_ms / 4;
    return quarter_ms < EAGER_MAX_MS ? quarter_ms : EAGER_MAX_MS;
}

static enum claim_wish read_or_wait (struct claim *claim)
{
    if (claim->known && !claim->unsure && claim->now_ms < claim->ask_ms)
        return CLAIM_NOTHING;
    claim->asked = true;
    return CLAIM_READ;
}

/* What the swap would bring in sync must confirm from before it is asked for. */
static enum claim_wish swap (struct claim *claim)
{
    claim->asked = claim->swapping = true;
    claim->tried_revision = claim->value.revision;
    for (uint32_t i = 0; i < claim->next.in_sync_count; i++)
        insert (claim->tried, &claim->tried_count, claim->next.in_sync[i]);
    return CLAIM_SWAP;
}

enum claim_wish claim_ask (struct claim *claim, uint64_t now_ms)
{
    claim->now_ms = now_ms;
    if (claim->asked || claim->role == CLAIM_OVER)
        return CLAIM_NOTHING;
    bool silent = is_leader_lost (claim);
    if (claim->role == CLAIM_LEADING && silent)
        claim->waited_count = 0; /* who was in sync at the start had its time to come back */
    if (claim->role == CLAIM_FOLLOWING && silent && claim->at_ease) {
        claim->at_ease = false;
        claim->ask_ms = now_ms; /* it may have come in sync since the register was read */
    }
    if (!claim->known || claim->unsure)
        return now_ms < claim->ask_ms ? CLAIM_NOTHING : read_or_wait (claim);
    if (claim->role == CLAIM_LEADING) {
        if (wants_members (claim))
            return swap (claim);
    } else if (claim->role != CLAIM_RESIGNED && wants_term (claim)) {
        next_term (claim);
        return swap (claim);
    }
    return read_or_wait (claim);
}

/* --- what the register says -------------------------------------------------------------------- */

static void lead (struct claim *claim)
{
    claim->role = CLAIM_LEADING;
    claim->term = claim->value.term;
    claim->options.cluster = claim->value.cluster;
    claim->options.take_over = false;
    claim->heard_ms = claim->now_ms;
    claim->live_count = claim->whole_count = claim->waited_count = 0;
    for (uint32_t i = 0; i < claim->value.in_sync_count; i++)
        if (claim->value.in_sync[i] != claim->options.id)
            insert (claim->waited, &claim->waited_count, claim->value.in_sync[i]);
}

bool claim_is_past (const struct claim *claim, const struct reign *value)
{
    const struct reign *seen = &claim->value;
    return claim->known && (value->term < seen->term ||
                            (value->term == seen->term && value->leader == seen->leader &&
                             value->revision < seen->revision));
}

static bool fits (struct claim *claim)
{
    const struct claim_options *options = &claim->options;
    if (claim->value.term == 0 && options->cluster && !options->take_over) {
        end (
            claim, MU_CONFLICT,
            "the register is empty, but this database belongs to a cluster: was the register lost, "
            "or does --register name another? If it is lost, and no other coordinator reigns, "
            "start "
            "the one with the newest database with --take-over");
        return false;
    }
    if (claim->value.term && options->cluster && options->cluster != claim->value.cluster) {
        end (claim, MU_CONFLICT,
             "this database belongs to another cluster than the register: --register or --dir is "
             "wrong");
        return false;
    }
    if (options->cluster && claim->value.term < options->term && !options->take_over &&
        !holds_term (claim)) {
        end (claim, MU_CONFLICT,
             "the register is older than this database, which knows of a later term: was an older "
             "state of it put back, or does --register name another? If the newer one is lost, and "
             "no other coordinator reigns, start the one with the newest database with "
             "--take-over");
        return false;
    }
    return true;
}

static void see (struct claim *claim, const struct reign *value)
{
    bool newer = !claim->known || value->term > claim->value.term;
    claim->value = *value;
    claim->known = true;
    claim->unsure = false;
    if (value->revision > claim->tried_revision) /* what was tried is in, or can never be */
        claim->tried_count = 0;
    if (!fits (claim))
        return;
    if (holds_term (claim)) {
        if (value->term != claim->term || value->leader != claim->options.id)
            end (claim, MU_NOT_LEADER, "another coordinator has taken a later term");
        return;
    }
    if (newer)
        claim->heard_ms = claim->now_ms;
    claim->role = value->term ? CLAIM_FOLLOWING : CLAIM_WAITING;
}

static void ask_later (struct claim *claim)
{
    bool calm =
        claim->role == CLAIM_LEADING || (claim->role == CLAIM_FOLLOWING && !is_leader_lost (claim));
    uint32_t wait_ms = calm ? CALM_FACTOR * claim->options.lost_ms : eager_ms (claim);
    claim->at_ease = calm;
    claim->ask_ms = claim->now_ms + (claim->role == CLAIM_RESIGNED ? RESIGNED_ASK_MS : wait_ms);
}

void claim_read (struct claim *claim, const struct reign *value, uint64_t now_ms)
{
    claim->now_ms = now_ms;
    claim->asked = claim->swapping = false;
    see (claim, value);
    ask_later (claim);
}

void claim_swapped (struct claim *claim, uint64_t now_ms)
{
    bool led = holds_term (claim);
    claim->now_ms = now_ms;
    claim->asked = claim->swapping = false;
    claim->value = claim->next;
    claim->tried_count = 0;
    if (!led)
        lead (claim);
    ask_later (claim);
}

void claim_refused (struct claim *claim, bool certain, uint64_t now_ms)
{
    claim->now_ms = now_ms;
    claim->unsure |= claim->swapping;
    claim->asked = claim->swapping = false;
    ask_later (claim);
    if (certain)
        claim->ask_ms = now_ms;
}

static void end_as_twin (struct claim *claim)
{
    claim->role = CLAIM_OVER;
    if (claim->value.leader == claim->options.id)
        mu_fail (&claim->why, MU_CONFLICT,
                 "the coordinator that this database is a snapshot of lives at %s, and reigns: "
                 "start on an empty --dir to become its standby",
                 claim->value.peer);
    else
        mu_fail (&claim->why, MU_CONFLICT,
                 "another coordinator has this database's id, and follows the one at %s as well: "
                 "one of the two was started on a snapshot of the other's disk. Start that one on "
                 "an empty --dir",
                 claim->value.peer);
}

/* --- leader and followers ---------------------------------------------------------------------- */

bool claim_heard (struct claim *claim, uint64_t leader, uint64_t term, uint64_t now_ms)
{
    claim->now_ms = now_ms;
    if (claim->role == CLAIM_FOLLOWING && term == claim->value.term &&
        leader == claim->options.id) {
        end_as_twin (claim);
        return false;
    }
    if (claim->role != CLAIM_FOLLOWING || term != claim->value.term ||
        leader != claim->value.leader) {
        if (claim->known && term > claim->value.term)
            claim->ask_ms = now_ms;
        return false;
    }
    claim->heard_ms = now_ms;
    return true;
}

bool claim_heard_resign (struct claim *claim, uint64_t leader, uint64_t term, uint64_t newest,
                         uint64_t now_ms)
{
    if (!claim_heard (claim, leader, term, now_ms))
        return false;
    if (claim->resigned != term)
        claim->ask_ms = now_ms; /* it may have come in sync since it looked */
    claim->resigned = term;
    claim->resigned_at = newest;
    return true;
}

void claim_look (struct claim *claim, uint64_t now_ms)
{
    uint64_t soon_ms = now_ms + eager_ms (claim); /* whoever speaks so may do it for ever */
    if (claim->ask_ms > soon_ms)
        claim->ask_ms = soon_ms;
}

void claim_resign (struct claim *claim, uint64_t now_ms)
{
    claim->role = CLAIM_RESIGNED;
    claim->ask_ms = now_ms + RESIGNED_ASK_MS;
}

bool claim_was_left_all (const struct claim *claim, uint64_t term, uint64_t newest)
{
    return claim->resigned == term && newest >= claim->resigned_at;
}

bool claim_has_heir (const struct claim *claim)
{
    if (!holds_term (claim))
        return false;
    for (uint32_t i = 0; i < claim->value.in_sync_count; i++)
        if (contains (claim->live, claim->live_count, claim->value.in_sync[i]))
            return true;
    return false;
}

void claim_live (struct claim *claim, uint64_t id)
{
    insert (claim->live, &claim->live_count, id);
    take_out (claim->waited, &claim->waited_count, id);
}

void claim_whole (struct claim *claim, uint64_t id)
{
    insert (claim->whole, &claim->whole_count, id);
}

void claim_lost (struct claim *claim, uint64_t id)
{
    take_out (claim->live, &claim->live_count, id);
    take_out (claim->whole, &claim->whole_count, id);
    take_out (claim->waited, &claim->waited_count, id);
}

/* In three lists one after the other: an id may come twice, which does no harm. */
uint64_t claim_required (const struct claim *claim, uint32_t index)
{
    const struct reign *value = &claim->value;
    const uint64_t *lists[] = { value->in_sync, claim->tried, claim->live };
    const uint32_t counts[] = { value->in_sync_count, claim->tried_count, claim->live_count };
    for (uint32_t list = 0; list < 3; list++)
        for (uint32_t i = 0; i < counts[list]; i++)
            if (lists[list][i] != claim->options.id && index-- == 0)
                return lists[list][i];
    return 0;
}

uint64_t claim_deadline (const struct claim *claim)
{
    uint64_t lost_at = claim->heard_ms + claim->options.lost_ms;
    if (claim->asked || claim->role == CLAIM_OVER)
        return UINT64_MAX;
    if (claim->role == CLAIM_FOLLOWING || (claim->role == CLAIM_LEADING && claim->waited_count))
        return lost_at > claim->now_ms && lost_at < claim->ask_ms ? lost_at : claim->ask_ms;
    return claim->ask_ms;
}
