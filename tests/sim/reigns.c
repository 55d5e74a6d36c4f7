/* SPDX-License-Identifier: Apache-2.0 */
/* reigns.c - two or three coordinators, a register, and everything that can come between them
 *
 *   reigns [--seed S] [--seeds N] [--verbose]
 *
 * The real claim, followers and following, with a model of the journal (a list of entries, the end of
 * which a crash may lose), of the register (linearizable; answers late or lost, swaps that come into
 * force after their asker gave up) and of the network (late, lost, in any order, cut). Coordinators
 * crash, stand still as under SIGSTOP or a move of their machine, lose their disks, are started twice
 * at once on copies, and their clocks jump. After each event:
 *
 *  - one reign: no term is led in twice, and who begins to lead holds all that was ever acknowledged;
 *  - whom the register calls in sync holds all that was ever acknowledged;
 *  - nothing is acknowledged by one that an acknowledgement of a later term has overtaken, unless all
 *    that is in sync has it.
 *
 * At the end all is healed, and then somebody leads, all others follow, and entries are acknowledged. */
#include "followers.h"
#include "following.h"
#include "reign.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX   3
#define ENTRIES_MAX 4096
#define MAIL_MAX    512
#define LOST_MS     200
#define BEAT_MS     50
#define FAULTS_MS   12000
#define CALM_MS     6000
#define PIECE       7 /* entries of a catch-up's piece */

struct entry {
    uint64_t term, value;
};

struct journal {
    struct entry entry[ENTRIES_MAX];
    uint32_t count;
};

enum mail_kind { FOLLOW, ROWS, HAVE, LEADING };

struct mail {
    enum mail_kind kind;
    uint32_t from, to;
    uint64_t due_ms, id, term, stream, before, newest;
    bool first, fresh, whole;
    struct entry row[PIECE];
    uint32_t row_count;
    uint64_t last_term;
    bool used;
};

struct request {
    bool used, is_swap;
    uint64_t force_ms, answer_ms, give_up_ms; /* force 0: it was in force already */
    struct reign expected, next, value;
    bool in;
};

struct node {
    bool alive, leads;
    uint64_t id, cluster, paused_ms, clock_ms, restart_ms;
    struct journal disk;
    struct journal fresh; /* being put together */
    bool has_fresh;
    struct claim claim;
    struct followers followers;
    struct following following;
    uint64_t beat_ms;
    struct request request; /* the one in flight */
    /* a turn: stored at commit_ms, acknowledged when confirmed */
    bool committing, awaiting;
    uint64_t commit_ms;
    struct entry turn;
    uint32_t turn_number; /* of its entry, from 1 */
};

static struct world {
    uint64_t now_ms, random, seed;
    uint32_t count;
    struct node node[NODES_MAX];
    bool cut[NODES_MAX][NODES_MAX], register_cut[NODES_MAX];
    struct mail mail[MAIL_MAX];
    struct reign reg;
    struct request
        orphan[64]; /* swaps whose askers gave up or died: they may still come into force */
    struct entry acked[ENTRIES_MAX]; /* by number; value 0: not acknowledged */
    uint32_t acked_newest;
    uint64_t acked_term, values, acks, reigns, terms[ENTRIES_MAX];
    uint32_t term_count;
    bool calm;
} world;

static bool verbose;

static uint64_t draw (void)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return world.random;
}

static uint64_t below (uint64_t limit) { return draw () % limit; }
static bool chance (uint64_t in) { return below (in) == 0; }

static void say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

static void say (const char *format, ...)
{
    va_list rest;
    if (!verbose)
        return;
    printf ("%6" PRIu64 " ", world.now_ms);
    va_start (rest, format);
    vprintf (format, rest);
    va_end (rest);
    putchar ('\n');
}

static void fail (const char *what)
{
    fprintf (stderr,
             "seed %" PRIu64 " at %" PRIu64 " ms: %s\nsee it with: reigns --seed %" PRIu64
             " --verbose\n",
             world.seed, world.now_ms, what, world.seed);
    exit (1);
}

/* --- what may never happen ---------------------------------------------------------------------- */

static bool holds_all (const struct journal *journal)
{
    for (uint32_t i = 1; i <= world.acked_newest; i++)
        if (world.acked[i].value &&
            (i > journal->count || journal->entry[i - 1].value != world.acked[i].value))
            return false;
    return true;
}

static void check_in_sync (void)
{
    for (uint32_t i = 0; i < world.count; i++)
        if (reign_in_sync (&world.reg, world.node[i].id) && !holds_all (&world.node[i].disk))
            fail ("one that is in sync does not hold what was acknowledged");
}

static void check_leader (const struct node *node)
{
    for (uint32_t i = 0; i < world.term_count; i++)
        if (world.terms[i] == node->claim.term)
            fail ("two lead in one term");
    if (world.term_count < ENTRIES_MAX)
        world.terms[world.term_count++] = node->claim.term;
    if (!holds_all (&node->disk))
        fail ("a leader begins without something that was acknowledged");
}

static void acknowledge (struct node *node)
{
    if (world.acked[node->turn_number].value)
        fail ("two entries with one number are acknowledged");
    world.acked[node->turn_number] = node->turn;
    if (node->turn_number > world.acked_newest)
        world.acked_newest = node->turn_number;
    world.acks++;
    say ("node %d acknowledges %u in term %" PRIu64, (int)(node - world.node), node->turn_number,
         node->claim.term);
    check_in_sync ();
}

/* --- mail ---------------------------------------------------------------------------------------- */

static struct mail *post (const struct node *from, uint32_t to, enum mail_kind kind)
{
    static struct mail nowhere;
    uint32_t me = (uint32_t)(from - world.node);
    struct mail *mail = &nowhere;
    bool lost = world.cut[me][to] || (!world.calm && chance (50));
    for (uint32_t i = 0; i < MAIL_MAX && !lost; i++)
        if (!world.mail[i].used) {
            mail = &world.mail[i];
            break;
        }
    *mail =
        (struct mail){ .kind = kind,
                       .from = me,
                       .to = to,
                       .used = mail != &nowhere,
                       .id = from->id,
                       .term = from->claim.value.term,
                       .due_ms = world.now_ms + 1 + below (!world.calm && chance (20) ? 100 : 5) };
    return mail;
}

static uint64_t last_term (const struct journal *journal)
{
    return journal->count ? journal->entry[journal->count - 1].term : 0;
}

static uint32_t term_starts (const struct journal *journal, struct term_start *starts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < journal->count; i++)
        if (!count || starts[count - 1].term != journal->entry[i].term)
            starts[count++] = (struct term_start){ journal->entry[i].term, i + 1 };
    return count;
}

static uint32_t node_of_id (uint64_t id)
{
    for (uint32_t i = 0; i < world.count; i++)
        if (world.node[i].id == id)
            return i;
    return NODES_MAX;
}

/* --- the leader ---------------------------------------------------------------------------------- */

static void feed (struct node *node)
{
    struct follower *follower;
    while (!node->committing &&
           (follower = followers_hungry (&node->followers, node->disk.count))) {
        struct mail *mail = post (node, follower->peer, ROWS);
        uint64_t end =
            follower->sent + PIECE < node->disk.count ? follower->sent + PIECE : node->disk.count;
        mail->stream = follower->stream;
        mail->before = follower->sent;
        mail->newest = end;
        mail->first = !follower->begun;
        mail->fresh = follower->fresh;
        mail->whole = end == node->disk.count;
        for (uint64_t i = follower->sent; i < end; i++)
            mail->row[mail->row_count++] = node->disk.entry[i];
        followers_fed (follower, &node->claim, end, node->disk.count);
    }
}

static void decide (struct node *node)
{
    if (node->committing || node->awaiting || node->disk.count + 1 >= ENTRIES_MAX)
        return;
    feed (node);
    node->turn = (struct entry){ node->claim.term, ++world.values };
    node->turn_number = node->disk.count + 1;
    node->committing = node->awaiting = true;
    node->commit_ms = world.now_ms + 1 + below (10);
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++) {
        struct follower *follower = &node->followers.list[i];
        if (!follower->id || !follower->live)
            continue;
        struct mail *mail = post (node, follower->peer, ROWS);
        mail->stream = follower->stream;
        mail->before = follower->sent;
        mail->newest = node->turn_number;
        mail->whole = true;
        mail->row[mail->row_count++] = node->turn;
        followers_sent (follower, node->turn_number);
    }
}

static void lead_on (struct node *node)
{
    if (node->committing && world.now_ms >= node->commit_ms) {
        node->disk.entry[node->disk.count++] = node->turn;
        node->committing = false;
    }
    if (node->awaiting && !node->committing &&
        followers_confirmed (&node->followers, &node->claim, node->turn_number) ==
            node->turn_number) {
        node->awaiting = false;
        acknowledge (node);
    }
    followers_scan (&node->followers, &node->claim, node->clock_ms);
    feed (node);
    if (chance (8))
        decide (node);
    if (node->clock_ms < node->beat_ms)
        return;
    node->beat_ms = node->clock_ms + BEAT_MS;
    for (uint32_t i = 0; i < FOLLOWERS_MAX; i++)
        if (node->followers.list[i].id) {
            struct mail *mail = post (node, node->followers.list[i].peer, LEADING);
            mail->stream = node->followers.list[i].stream;
            mail->newest = node->followers.list[i].sent;
        }
}

static void begin_to_lead (struct node *node)
{
    check_leader (node);
    node->leads = true;
    node->has_fresh = false;
    node->cluster = node->claim.value.cluster;
    node->committing = node->awaiting = false;
    memset (&node->followers, 0, sizeof node->followers);
    node->followers.lost_ms = LOST_MS;
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
        node->fresh.count = 0;
        node->has_fresh = true;
    }
    if (node->has_fresh)
        journal = &node->fresh;
    for (uint32_t i = 0; i < mail->row_count; i++)
        journal->entry[journal->count++] = mail->row[i];
    if (node->has_fresh && !node->following.filling) {
        node->disk = node->fresh;
        node->has_fresh = false;
    }
    check_in_sync ();
}

static void say_have (struct node *node, uint32_t to)
{
    struct mail *mail = post (node, to, HAVE);
    mail->stream = node->following.stream;
    mail->newest = node->following.at;
}

static void follow_on (struct node *node)
{
    bool gave_up;
    uint32_t leader = node_of_id (node->claim.value.leader);
    if (node->claim.role != CLAIM_FOLLOWING || leader == NODES_MAX)
        return;
    if (following_asks (&node->following, node->claim.value.term, node->disk.count, &gave_up,
                        node->clock_ms)) {
        struct mail *mail = post (node, leader, FOLLOW);
        mail->newest = node->disk.count;
        mail->last_term = last_term (&node->disk);
        node->has_fresh &= !gave_up;
    }
    if (node->clock_ms >= node->beat_ms && node->following.stream) {
        node->beat_ms = node->clock_ms + BEAT_MS;
        say_have (node, leader);
    }
}

static void hear (struct node *node, const struct mail *mail)
{
    static struct term_start starts[ENTRIES_MAX];
    bool ours = mail->term == node->claim.term && node->leads;
    if (mail->kind == FOLLOW && ours) {
        uint32_t count = term_starts (&node->disk, starts);
        bool prefix =
            followers_is_prefix (starts, count, node->disk.count, mail->last_term, mail->newest);
        followers_follow (&node->followers, &node->claim, mail->from, mail->id, prefix,
                          mail->newest, node->clock_ms);
    } else if (mail->kind == HAVE && ours) {
        followers_have (&node->followers, &node->claim, mail->id, mail->stream, mail->newest,
                        node->clock_ms);
    } else if (mail->kind >= ROWS && mail->kind != HAVE && !node->leads &&
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
        take_rows (node, mail, what);
        say_have (node, mail->from);
    }
}

/* --- the register -------------------------------------------------------------------------------- */

static void enforce (struct request *request)
{
    request->value = world.reg;
    request->force_ms = 0;
    if (!request->is_swap)
        return;
    request->in = !memcmp (&world.reg, &request->expected, sizeof world.reg);
    if (request->in) {
        world.reg = request->next;
        check_in_sync ();
    }
}

static void orphan (struct request *request)
{
    if (request->used && request->is_swap && request->force_ms && chance (2))
        for (uint32_t i = 0; i < 64; i++)
            if (!world.orphan[i].used) {
                world.orphan[i] = *request;
                world.orphan[i].force_ms = world.now_ms + 1 + below (chance (4) ? 3000 : 300);
                break;
            }
    request->used = false;
}

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

static void start_node (struct node *node)
{
    static const char *const address[] = { "a", "b", "c" };
    uint32_t me = (uint32_t)(node - world.node);
    struct claim_options options = { .id = node->id,
                                     .cluster = node->cluster,
                                     .term = last_term (&node->disk),
                                     .new_cluster = draw () | 1,
                                     .peer = address[me],
                                     .client = address[me],
                                     .lost_ms = LOST_MS,
                                     .standby = me > 0 };
    node->alive = true;
    node->leads = node->has_fresh = node->committing = node->awaiting = false;
    node->beat_ms = 0;
    claim_start (&node->claim, &options, node->clock_ms);
    following_start (&node->following, node->disk.count, LOST_MS / 2);
}

static void kill_node (struct node *node)
{
    orphan (&node->request);
    node->alive = false;
    node->restart_ms = world.now_ms + 20 + below (600);
    if (node->committing && chance (2)) /* stored, and nobody was told */
        node->disk.entry[node->disk.count++] = node->turn;
}

/* And no swap is on its way that changes who does. */
static bool another_holds_all (const struct node *node)
{
    for (uint32_t i = 0; i < 64; i++)
        if (world.orphan[i].used)
            return false;
    for (uint32_t i = 0; i < world.count; i++)
        if (world.node[i].request.used && world.node[i].request.is_swap)
            return false;
    for (uint32_t i = 0; i < world.count; i++)
        if (&world.node[i] != node && reign_in_sync (&world.reg, world.node[i].id))
            return true;
    return false;
}

static void break_something (void)
{
    uint32_t i = (uint32_t)below (world.count), k = (uint32_t)below (world.count);
    struct node *node = &world.node[i];
    switch (below (9)) {
    case 0:
    case 1:
        if (node->alive) {
            say ("node %u dies", i);
            kill_node (node);
        }
        break;
    case 2: node->paused_ms = world.now_ms + below (chance (3) ? 2000 : 300); break;
    case 3: world.cut[i][k] = true; break;
    case 4: world.cut[i][k] = world.cut[k][i] = true; break;
    case 5: world.register_cut[i] = chance (2); break;
    case 6: node->clock_ms += below (1000); break;
    case 7:
        memset (world.cut, 0, sizeof world.cut);
        memset (world.register_cut, 0, sizeof world.register_cut);
        break;
    case 8: /* its disk is gone: it comes back as somebody else */
        if (another_holds_all (node) && chance (4)) {
            kill_node (node);
            node->disk.count = 0;
            node->cluster = 0;
            node->id = draw () | 1;
            say ("node %u loses its disk", i);
        }
        break;
    }
}

static void run_node (struct node *node, uint32_t me)
{
    node->clock_ms++;
    if (!node->alive) {
        if (world.now_ms >= node->restart_ms)
            start_node (node);
        return;
    }
    if (world.now_ms < node->paused_ms)
        return;
    mind_register (node, me);
    if (node->claim.role == CLAIM_OVER) { /* as the daemon does: from the beginning */
        if (node->claim.why.code != MU_NOT_LEADER)
            fail (node->claim.why.text);
        kill_node (node);
    } else if (node->leads) {
        lead_on (node);
    } else {
        if (node->claim.value.cluster && node->disk.count)
            node->cluster = node->claim.value.cluster;
        follow_on (node);
    }
}

static void run_tick (void)
{
    world.now_ms++;
    for (uint32_t i = 0; i < world.count; i++) {
        struct request *request = &world.node[i].request;
        if (request->used && request->force_ms && world.now_ms >= request->force_ms)
            enforce (request);
    }
    for (uint32_t i = 0; i < 64; i++)
        if (world.orphan[i].used && world.now_ms >= world.orphan[i].force_ms) {
            enforce (&world.orphan[i]);
            world.orphan[i].used = false;
        }
    for (uint32_t i = 0; i < MAIL_MAX; i++) {
        struct mail *mail = &world.mail[i];
        struct node *to = &world.node[mail->to];
        if (!mail->used || world.now_ms < mail->due_ms || world.now_ms < to->paused_ms)
            continue;
        mail->used = false;
        if (to->alive)
            hear (to, mail);
    }
    for (uint32_t i = 0; i < world.count; i++)
        run_node (&world.node[i], i);
}

static void heal (void)
{
    world.calm = true;
    memset (world.cut, 0, sizeof world.cut);
    memset (world.register_cut, 0, sizeof world.register_cut);
    for (uint32_t i = 0; i < world.count; i++)
        world.node[i].paused_ms = 0;
}

static void check_end (uint64_t acks_before)
{
    uint32_t leaders = 0;
    for (uint32_t i = 0; i < world.count; i++)
        leaders += world.node[i].alive && world.node[i].leads;
    if (leaders != 1)
        fail ("all is healed and not exactly one leads");
    if (world.reg.in_sync_count != world.count)
        fail ("all is healed and not all are in sync");
    if (world.acks < acks_before + 100)
        fail ("all is healed and little is acknowledged");
}

static void run_seed (uint64_t seed)
{
    memset (&world, 0, sizeof world);
    world.seed = seed;
    world.random = seed * UINT64_C (0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < 8; i++)
        draw ();
    world.count = 2 + (uint32_t)below (2);
    for (uint32_t i = 0; i < world.count; i++) {
        world.node[i].id = draw () | 1;
        world.node[i].clock_ms = below (100000);
        start_node (&world.node[i]);
    }
    while (world.now_ms < FAULTS_MS) {
        run_tick ();
        if (world.now_ms > 500 && chance (120))
            break_something ();
    }
    heal ();
    uint64_t acks = world.acks;
    while (world.now_ms < FAULTS_MS + CALM_MS)
        run_tick ();
    check_end (acks);
}

int main (int argc, char **argv)
{
    uint64_t first = 1, seeds = 1, acks = 0, reigns = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp (argv[i], "--seed") && i + 1 < argc)
            first = strtoull (argv[++i], NULL, 10);
        else if (!strcmp (argv[i], "--seeds") && i + 1 < argc)
            seeds = strtoull (argv[++i], NULL, 10);
        else if (!strcmp (argv[i], "--verbose"))
            verbose = true;
        else
            return fprintf (stderr, "usage: reigns [--seed S] [--seeds N] [--verbose]\n"), 64;
    }
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        run_seed (seed);
        acks += world.acks;
        reigns += world.reigns;
    }
    printf ("%" PRIu64 " seeds: %" PRIu64 " reigns, %" PRIu64 " entries acknowledged, none lost\n",
            seeds, reigns, acks);
    return 0;
}
