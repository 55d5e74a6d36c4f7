/* SPDX-License-Identifier: Apache-2.0 */
/* reigns_node.c - one coordinator of the model: what io_lead.c, io_follow.c, io_reign.c and io_resign.c do,
 * with a list for a journal and without a world */
#include "reigns.h"

#include <string.h>

static uint64_t last_term (const struct journal *journal)
{
    return journal->count ? journal->entry[journal->count - 1].term : 0;
}

static uint32_t term_starts (const struct node *node, struct term_start *starts)
{
    const struct journal *journal = &node->disk;
    uint32_t count = 0;
    for (uint32_t i = 0; i < journal->count; i++)
        if (journal->entry[i].reign &&
            (!node->damaged || journal->entry[i].term == node->claim.term))
            starts[count++] = (struct term_start){ journal->entry[i].term, i + 1 };
    return count;
}

static const char *address_of (const struct node *node)
{
    static const char *const address[][2] = {
        { "a", "A" }, { "b", "B" }, { "c", "C" }, { "d", "D" }
    };
    return address[node - world.node][node->moved];
}

/* Where its leader listened when it began. */
static uint32_t leader_of (const struct node *node)
{
    uint32_t i = 0;
    while (i <= world.count && strcmp (address_of (&world.node[i]), node->claim.value.peer) != 0)
        i++;
    return i <= world.count ? i : BODIES_MAX;
}

/* --- the leader ---------------------------------------------------------------------------------- */

/* Rows above `after`, as many as go into a piece; the number with which it ends. */
static uint64_t read_rows (const struct journal *journal, uint64_t after, struct mail *mail)
{
    for (uint32_t number = (uint32_t)after + 1; number <= journal->count; number++) {
        if (journal->entry[number - 1].gone)
            continue;
        if (mail->row_count == PIECE)
            return mail->row[PIECE - 1].number;
        mail->row[mail->row_count++] = (struct row){ number, journal->entry[number - 1] };
    }
    return journal->count;
}

static void feed (struct node *node)
{
    struct follower *follower;
    followers_fold (&node->followers, node->disk.folded_to);
    while (!node->committing &&
           (follower = followers_hungry (&node->followers, node->disk.count))) {
        struct mail *mail = post (node, follower->peer, ROWS);
        uint64_t end = read_rows (&node->disk, follower->sent, mail);
        mail->stream = follower->stream;
        mail->before = follower->sent;
        mail->newest = end;
        mail->first = !follower->begun;
        mail->fresh = follower->fresh;
        mail->whole = end == node->disk.count;
        followers_fed (follower, end, node->disk.count);
    }
}

static void decide (struct node *node)
{
    if (node->committing || node->turn_count == (node->ahead ? TURNS_MAX : 1) ||
        node->disk.count + 1 >= ENTRIES_MAX)
        return;
    feed (node);
    struct turn *turn = &node->turn[node->turn_count++];
    *turn = (struct turn){ .entry = { .term = node->claim.term,
                                      .value = ++world.values,
                                      .reign = last_term (&node->disk) != node->claim.term },
                           .number = node->disk.count + 1,
                           .given_ms = node->clock_ms };
    node->committing = true;
    world.before[turn->entry.value] =
        node->disk.count ? node->disk.entry[node->disk.count - 1].value : 0;
    node->commit_ms = world.now_ms + 1 + below (10);
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        struct follower *follower = &node->followers.list[i];
        if (!follower->id || !follower->live)
            continue;
        struct mail *mail = post (node, follower->peer, ROWS);
        mail->stream = follower->stream;
        mail->before = follower->sent;
        mail->newest = turn->number;
        mail->whole = true;
        mail->row[mail->row_count++] = (struct row){ turn->number, turn->entry };
        followers_sent (follower, turn->number);
    }
}

static void store_turn (struct node *node)
{
    const struct turn *turn = &node->turn[node->turn_count - 1];
    journal_put (&node->disk, turn->number, &turn->entry);
}

static void follow_commit (struct node *node)
{
    if (node->committing && world.now_ms >= node->commit_ms && world.now_ms >= node->full_ms) {
        store_turn (node);
        node->committing = false;
    }
    uint64_t confirmed = followers_confirmed (&node->followers, &node->claim, node->disk.count);
    while (node->turn_count > node->committing && node->turn[0].number <= confirmed) {
        acknowledge (node, &node->turn[0]);
        memmove (node->turn, node->turn + 1, --node->turn_count * sizeof *node->turn);
    }
    for (uint32_t i = 0; i + node->committing < node->turn_count; i++)
        if (!node->turn[i].answered &&
            followers_may_answer (&node->followers, node->turn[0].given_ms, node->clock_ms)) {
            node->turn[i].answered = true;
            answer (node, &node->turn[i]);
        }
}

static void say_to_followers (struct node *node, enum mail_kind kind)
{
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++)
        if (node->followers.list[i].id) {
            struct mail *mail = post (node, node->followers.list[i].peer, kind);
            mail->stream = node->followers.list[i].stream;
            mail->newest = kind == RESIGN ? node->disk.count : node->followers.list[i].sent;
        }
}

/* Told to stop: it waits for somebody to be in sync, acknowledges what it has begun, then resigns, and
 * ends when another reigns or nobody cared for too long. */
static void end_reign (struct node *node)
{
    uint64_t passed_ms = node->clock_ms - node->stop_ms;
    if (node->claim.role == CLAIM_LEADING) {
        if (!claim_has_heir (&node->claim) && passed_ms < HEIR_MS)
            return;
        node->stopping = STOP_FLUSHING;
        if (node->turn_count && passed_ms < node->patience_ms)
            return;
        say ("node %d resigns in term %" PRIu64, (int)(node - world.node), node->claim.term);
        claim_resign (&node->claim, node->clock_ms);
        node->stop_ms = node->clock_ms;
    } else if (passed_ms >= RESIGN_MS) {
        kill_node (node);
    } else if (passed_ms % 10 == 0) {
        say_to_followers (node, RESIGN);
    }
}

/* Its disk is full, and another's is not: as if it were told to stop. */
static void give_up (struct node *node)
{
    if (!node->committing || node->stopping)
        return;
    const struct turn *newest = &node->turn[node->turn_count - 1];
    if (node->clock_ms >= newest->given_ms + 3 * LOST_MS &&
        followers_keep_up (&node->followers, &node->claim))
        stop_node (node);
}

static void lead_on (struct node *node)
{
    if (node->claim.role == CLAIM_LEADING)
        follow_commit (node);
    followers_scan (&node->followers, &node->claim, node->clock_ms);
    feed (node);
    give_up (node);
    if (node->stopping)
        end_reign (node);
    if (node->stopping != STOP_FLUSHING && chance (8))
        decide (node);
    if (node->clock_ms < node->beat_ms || node->claim.role != CLAIM_LEADING)
        return;
    node->beat_ms = node->clock_ms + BEAT_MS;
    say_to_followers (node, LEADING);
}

static void begin_to_lead (struct node *node)
{
    check_leader (node);
    node->leads = true;
    node->has_fresh = false;
    node->cluster = node->claim.value.cluster;
    node->committing = false;
    node->turn_count = 0;
    node->ahead = chance (2);
    memset (&node->followers, 0, sizeof node->followers);
    node->followers.lost_ms = LOST_MS;
    node->followers.ahead = node->ahead;
    world.reigns++;
    say ("node %d leads in term %" PRIu64 " from entry %u", (int)(node - world.node),
         node->claim.term, node->disk.count);
    decide (node);
}

/* --- a follower ---------------------------------------------------------------------------------- */

static void take_rows (struct node *node, const struct mail *mail, enum following_what what)
{
    struct journal *journal = &node->disk;
    if (what == FOLLOWING_REPLACE) {
        node->fresh.count = node->fresh.folded_to = 0;
        node->has_fresh = true;
    }
    if (node->has_fresh)
        journal = &node->fresh;
    for (uint32_t i = 0; i < mail->row_count; i++)
        journal_put (journal, mail->row[i].number, &mail->row[i].entry);
    if (node->has_fresh && !node->following.filling) {
        node->disk = node->fresh;
        node->has_fresh = node->damaged = false;
        claim_mended (&node->claim);
    }
    if (!node->has_fresh)
        journal_end (&node->disk, (uint32_t)mail->newest);
    check_in_sync ();
}

static void say_have (struct node *node, uint32_t to)
{
    struct mail *mail = post (node, to, HAVE);
    mail->stream = node->following.stream;
    mail->newest = node->following.at;
}

static void say_unfollow (struct node *node)
{
    uint32_t leader = leader_of (node);
    if (leader != BODIES_MAX)
        post (node, leader, UNFOLLOW)->stream = node->following.stream;
}

static void fall_behind (struct node *node)
{
    say_unfollow (node);
    node->has_fresh = false;
    following_failed (&node->following, node->disk.count, node->clock_ms);
}

static void follow_on (struct node *node)
{
    bool gave_up;
    uint32_t leader = leader_of (node);
    if (node->claim.role != CLAIM_FOLLOWING || leader == BODIES_MAX ||
        claim_led_from_here (&node->claim))
        return;
    if (following_asks (&node->following, node->claim.value.term, node->disk.count, &gave_up,
                        node->clock_ms)) {
        struct mail *mail = post (node, leader, FOLLOW);
        if (!node->claim.options.damaged) {
            mail->newest = node->disk.count;
            mail->last_term = last_term (&node->disk);
        }
        node->has_fresh &= !gave_up;
    }
    if (node->clock_ms >= node->beat_ms && node->following.stream) {
        node->beat_ms = node->clock_ms + BEAT_MS;
        say_have (node, leader);
    }
}

void hear (struct node *node, const struct mail *mail)
{
    static struct term_start starts[ENTRIES_MAX];
    bool ours = mail->term == node->claim.term && node->leads;
    bool belated = mail->term < node->claim.term && node->leads;
    if ((mail->kind == FOLLOW || mail->kind == HAVE) && belated) {
        post (node, mail->from, LEADING);
    } else if (mail->kind == FOLLOW && ours && mail->id == node->id) {
        post (node, mail->from, LEADING);
    } else if (mail->kind == FOLLOW && ours) {
        uint32_t count = term_starts (node, starts);
        bool prefix = followers_is_prefix (starts, count, node->disk.count, node->disk.folded_to,
                                           mail->last_term, mail->newest);
        const struct follower *follower =
            followers_follow (&node->followers, &node->claim, mail->from, mail->id, prefix,
                              mail->newest, node->clock_ms);
        uint32_t other;
        if (follower && followers_are_two (follower, &other))
            post (node, other, LEADING)->id = follower->id; /* its own: it is sent away */
    } else if (mail->kind == HAVE && ours) {
        followers_have (&node->followers, &node->claim, mail->id, mail->stream, mail->newest,
                        node->clock_ms);
    } else if (mail->kind == UNFOLLOW && ours) {
        followers_leave (&node->followers, &node->claim, mail->id, mail->stream);
    } else if (mail->kind == RESIGN && !node->leads) {
        claim_heard_resign (&node->claim, mail->id, mail->term, mail->newest, node->clock_ms);
    } else if ((mail->kind == ROWS || mail->kind == LEADING) && !node->leads &&
               claim_heard (&node->claim, mail->id, mail->term, node->clock_ms)) {
        if (mail->kind == LEADING) {
            following_heard (&node->following, mail->term, mail->stream, mail->newest,
                             node->clock_ms);
            return;
        }
        struct following_rows rows = { mail->term,  mail->stream, mail->before, mail->newest,
                                       mail->first, mail->fresh,  mail->whole };
        enum following_what what = following_rows (&node->following, &rows, node->clock_ms);
        if (what == FOLLOWING_IGNORE)
            return;
        node->claim.stuck = world.now_ms < node->full_ms;
        if (node->claim.stuck) {
            fall_behind (node);
            return;
        }
        take_rows (node, mail, what);
        say_have (node, mail->from);
    }
}

/* --- the register -------------------------------------------------------------------------------- */

static void ask_register (struct node *node)
{
    struct request *request = &node->request;
    enum claim_wish wish = claim_ask (&node->claim, node->clock_ms);
    if (wish == CLAIM_NOTHING)
        return;
    uint64_t force = world.now_ms + 1 + below (world.calm || !chance (10) ? 6 : 400);
    *request = (struct request){ .used = true,
                                 .is_swap = wish == CLAIM_SWAP,
                                 .expected = node->claim.value,
                                 .next = node->claim.next,
                                 .force_ms = force,
                                 .answer_ms = force + 1 + below (6),
                                 .give_up_ms = node->clock_ms + 150 };
    if (!world.calm && chance (12)) /* the answer gets lost */
        request->answer_ms = UINT64_MAX;
}

static void mind_register (struct node *node, uint32_t me)
{
    struct request *request = &node->request;
    bool led = node->claim.role == CLAIM_LEADING;
    if (!request->used) {
        ask_register (node);
        return;
    }
    if (node->clock_ms >= request->give_up_ms || world.register_cut[me]) {
        orphan (request);
        claim_refused (&node->claim, false, node->clock_ms);
    } else if (!request->force_ms && world.now_ms >= request->answer_ms) {
        request->used = false;
        if (!request->is_swap)
            claim_read (&node->claim, &request->value, node->clock_ms);
        else if (request->in)
            claim_swapped (&node->claim, node->clock_ms);
        else
            claim_refused (&node->claim, true, node->clock_ms);
    }
    if (!led && node->claim.role == CLAIM_LEADING)
        begin_to_lead (node);
}

/* --- life and death ------------------------------------------------------------------------------ */

void start_node (struct node *node)
{
    node->moved ^= !world.calm && chance (8);
    struct claim_options options = { .id = node->id,
                                     .cluster = node->cluster,
                                     .term = last_term (&node->disk),
                                     .new_cluster = draw () | 1,
                                     .peer = address_of (node),
                                     .client = address_of (node),
                                     .lost_ms = LOST_MS,
                                     .standby = node != world.node,
                                     .damaged = node->damaged,
                                     .copied = node->copied };
    if (claim_check (&options, NULL)) {
        node->alive = false;
        node->restart_ms = UINT64_MAX;
        return;
    }
    node->alive = true;
    node->lives++;
    node->stopping = STOP_NOT;
    node->leads = node->has_fresh = node->committing = false;
    node->beat_ms = 0;
    claim_start (&node->claim, &options, node->clock_ms);
    following_start (&node->following, node->disk.count, LOST_MS / 2);
}

struct node *start_copy (const struct node *node, bool snapshot)
{
    struct node *copy = &world.node[world.count];
    orphan (&copy->request);
    *copy = (struct node){ .id = node->id,
                           .cluster = node->cluster,
                           .clock_ms = below (100000),
                           .disk = node->disk,
                           .copied = !snapshot };
    start_node (copy);
    return copy;
}

void kill_node (struct node *node)
{
    orphan (&node->request);
    node->alive = false;
    node->restart_ms = world.now_ms + 20 + below (600);
    if (node->committing && chance (2)) /* stored, and nobody was told */
        store_turn (node);
    node->committing = false;
}

void stop_node (struct node *node)
{
    if (node->leads && !node->stopping) {
        node->stopping = STOP_SERVING;
        node->stop_ms = node->clock_ms;
        node->patience_ms = chance (4) && !world.calm ? 0 : HEIR_MS + FLUSH_MS;
    } else if (!node->leads) {
        say_unfollow (node);
        kill_node (node);
    }
}

void run_node (struct node *node, uint32_t me)
{
    node->clock_ms++;
    if (!node->alive) {
        if (world.now_ms >= node->restart_ms)
            start_node (node);
        return;
    }
    if (world.now_ms < node->paused_ms)
        return;
    if (chance (FOLD_IN) && !node->committing && !node->has_fresh &&
        node->disk.folded_to < node->disk.count)
        journal_fold (&node->disk, node->disk.folded_to + 1 +
                                       (uint32_t)below (node->disk.count - node->disk.folded_to));
    mind_register (node, me);
    if (node->claim.role == CLAIM_OVER) { /* as the daemon does: from the beginning */
        bool sent_away = node->claim.why.code == MU_CONFLICT && me == world.count;
        if (node->claim.why.code != MU_NOT_LEADER && !sent_away)
            fail (node->claim.why.text);
        kill_node (node);
        if (sent_away)
            node->restart_ms = UINT64_MAX;
    } else if (node->leads) {
        lead_on (node);
    } else {
        if (node->claim.value.cluster && node->disk.count)
            node->cluster = node->claim.value.cluster;
        follow_on (node);
    }
}
