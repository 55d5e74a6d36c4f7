/* SPDX-License-Identifier: Apache-2.0 */
/* reigns.c - two or three coordinators, a register, and everything that can come between them
 *
 *   reigns [--quiet NAME] [--seed S] [--seeds N] [--verbose]
 *
 * The real claim, followers and following, with a model of the journal (a list of entries, the end of
 * which a crash may lose, and the beginning of which each folds as it likes), of the register (linearizable; answers late or lost, swaps that come into
 * force after their asker gave up) and of the network (late, lost, in any order, cut). Coordinators
 * crash, come back elsewhere, are told to stop, find their disks full, stand still as under SIGSTOP or a move of their machine, lose their disks, are copied while they
 * work and started beside it, and their clocks jump. After each event:
 *
 *  - one reign: no term is led in twice, and who begins to lead holds all that was ever acknowledged;
 *  - whom the register calls in sync holds all that was ever acknowledged;
 *  - where clients are answered ahead of followers, what is lost was answered within LOST_MS of one
 *    leader's clock, and nothing is where the reign was handed over whole;
 *  - nothing is acknowledged by one that an acknowledgement of a later term has overtaken, unless all
 *    that is in sync has it.
 *
 * At the end all is healed, and then somebody leads, all others follow, and entries are acknowledged. */
#include "reigns.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;

static bool verbose;

uint64_t draw (void)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return world.random;
}

uint64_t below (uint64_t limit) { return draw () % limit; }
bool chance (uint64_t in) { return below (in) == 0; }

void say (const char *format, ...)
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

void fail (const char *what)
{
    fprintf (stderr,
             "seed %" PRIu64 " at %" PRIu64 " ms: %s\nsee it with: reigns --seed %" PRIu64
             " --verbose\n",
             world.seed, world.now_ms, what, world.seed);
    exit (1);
}

/* --- mail ---------------------------------------------------------------------------------------- */

/* As a connection is: who comes back has another. */
uint32_t life_of (const struct node *node)
{
    return (uint32_t)(node - world.node) + BODIES_MAX * node->lives;
}

struct mail *post (const struct node *from, uint32_t life, enum mail_kind kind)
{
    static struct mail nowhere;
    uint32_t me = (uint32_t)(from - world.node), to = life % BODIES_MAX;
    struct mail *mail = &nowhere;
    bool lost = world.cut[me][to] || (!world.calm && chance (50));
    bool belated = kind >= RESIGN && !world.calm && chance (4); /* until it is of the past */
    for (uint32_t i = 0; i < MAIL_MAX && !lost; i++)
        if (!world.mail[i].used) {
            mail = &world.mail[i];
            break;
        }
    *mail =
        (struct mail){ .kind = kind,
                       .from = life_of (from),
                       .to = to,
                       .used = mail != &nowhere,
                       .id = from->id,
                       .term = from->claim.value.term,
                       .due_ms = world.now_ms + 1 + below (!world.calm && chance (20) ? 100 : 5) };
    if (belated)
        mail->due_ms += below (2000);
    if (world.calm) { /* nothing overtakes then, as on a connection */
        uint64_t *last_ms = &world.last_due_ms[me][to];
        *last_ms = mail->due_ms = mail->due_ms > *last_ms ? mail->due_ms : *last_ms + 1;
    }
    return mail;
}

/* --- the register -------------------------------------------------------------------------------- */

void enforce (struct request *request)
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

void orphan (struct request *request)
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

/* --- what breaks --------------------------------------------------------------------------------- */

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
    switch (below (14)) {
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
    case 8:
    case 9:
        if (node->alive) {
            say ("node %u is told to stop", i);
            stop_node (node);
        }
        break;
    case 12:
        say ("node %u is copied", i);
        start_copy (node, false);
        break;
    case 13: /* nothing of it, or the world could lose what both had; all is done as if some were gone */
        if (node->alive && node->disk.count) {
            say ("node %u dies, and finds rows that it cannot read", i);
            kill_node (node);
            node->damaged = true;
        }
        break;
    case 11: node->full_ms = world.now_ms + below (2000); break;
    case 10: /* its disk is gone: it comes back as somebody else */
        if (another_holds_all (node) && chance (4)) {
            kill_node (node);
            node->disk.count = node->disk.folded_to = 0;
            node->cluster = 0;
            node->damaged = false;
            node->id = draw () | 1;
            say ("node %u loses its disk", i);
        }
        break;
    }
}

void reigns_tick (void)
{
    world.now_ms++;
    for (uint32_t i = 0; i <= world.count; i++) {
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
    for (uint32_t i = 0; i <= world.count; i++)
        run_node (&world.node[i], i);
}

static void heal (void)
{
    world.calm = true;
    memset (world.cut, 0, sizeof world.cut);
    memset (world.register_cut, 0, sizeof world.register_cut);
    for (uint32_t i = 0; i < world.count; i++)
        world.node[i].paused_ms = world.node[i].full_ms = 0;
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
    for (uint32_t i = 0; i < world.count; i++)
        if (world.node[i].alive && world.node[i].leads)
            world.lost = check_answers (&world.node[i]);
}

/* Nobody waits for a silence that need not be. */
static void hand_over_in_calm (void)
{
    struct node *old = world.node, *next = world.node;
    while (old < world.node + world.count && !(old->alive && old->leads))
        old++;
    uint64_t limit_ms = world.now_ms + LOST_MS;
    stop_node (old);
    while (world.now_ms < limit_ms)
        reigns_tick ();
    while (next < world.node + world.count && !(next->alive && next->leads && next != old))
        next++;
    if (next == world.node + world.count)
        fail ("a reign that was given up in calm was not taken at once");
}

static void run_calmly (uint64_t until_ms)
{
    uint64_t acks = world.acks;
    while (world.now_ms < until_ms)
        reigns_tick ();
    check_end (acks);
}

void reigns_begin (uint64_t seed)
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
    world.node[world.count].restart_ms = UINT64_MAX;
}

static void run_seed (uint64_t seed)
{
    reigns_begin (seed);
    while (world.now_ms < FAULTS_MS) {
        reigns_tick ();
        if (world.now_ms > 500 && chance (120))
            break_something ();
    }
    heal ();
    run_calmly (FAULTS_MS + CALM_MS);
    hand_over_in_calm ();
    run_calmly (FAULTS_MS + 2 * CALM_MS);
}

int main (int argc, char **argv)
{
    const char *quiet = NULL;
    uint64_t first = 1, seeds = 1, acks = 0, reigns = 0, answers = 0, lost = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp (argv[i], "--seed") && i + 1 < argc)
            first = strtoull (argv[++i], NULL, 10);
        else if (!strcmp (argv[i], "--seeds") && i + 1 < argc)
            seeds = strtoull (argv[++i], NULL, 10);
        else if (!strcmp (argv[i], "--quiet") && i + 1 < argc)
            quiet = argv[++i];
        else if (!strcmp (argv[i], "--verbose"))
            verbose = true;
        else
            return fprintf (stderr,
                            "usage: reigns [--quiet NAME] [--seed S] [--seeds N] [--verbose]\n"),
                   64;
    }
    if (quiet)
        return reigns_quiet (quiet, first, seeds);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        run_seed (seed);
        acks += world.acks;
        reigns += world.reigns;
        answers += world.answer_count;
        lost += world.lost;
    }
    printf ("%" PRIu64 " seeds: %" PRIu64 " reigns, %" PRIu64
            " entries acknowledged, none lost; %" PRIu64 " answered ahead, %" PRIu64
            " of them lost\n",
            seeds, reigns, acks, answers, lost);
    return 0;
}
