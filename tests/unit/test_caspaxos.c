/* SPDX-License-Identifier: Apache-2.0 */
/* test_caspaxos.c - the register of a majority under whatever may happen between its parts
 *
 * The real acceptor and proposer in one thread: words are lost, doubled and overtaken, acceptors
 * crash before and after they saved, lose their disks, proposers vanish with a swap half done. The
 * history must be linearizable. It is checked by what makes it so for a register that is only swapped
 * from a value that was read: each revision has one value and follows the one before; nobody
 * sees an older one than whoever ended before it began. */
#include "caspaxos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ACCEPTORS_MAX 5
#define CLIENTS       4
#define WORDS_MAX     400
#define REVISIONS_MAX 4000

struct token { /* the register's bytes; an empty register is revision 0 */
    uint64_t revision, writer, before;
};

struct word {
    bool back;
    uint32_t client, peer, life; /* life: the client's, when it was said */
    struct vote_ask ask;
    struct vote vote;
};

struct client {
    struct proposer proposer;
    uint32_t life;
    bool swaps;
    uint64_t floor; /* revisions below were over when the call began */
    struct token seen, next;
};

struct world {
    uint64_t seed, drawn;
    uint32_t acceptors;
    const char *wrong; /* the first rule that was broken */
    bool forgets;      /* disks come back as they once were: the one thing that breaks it */
    uint32_t losses;   /* a disk once in so many happenings */
    bool calm, may_lose_many;
    struct acceptor_state acceptor[ACCEPTORS_MAX];
    struct client client[CLIENTS];
    struct word word[WORDS_MAX];
    uint32_t words;
    uint64_t floor, newest;
    struct token proposed[REVISIONS_MAX];
    uint32_t proposals, done, swapped, conflicts, lost;
    struct token at[REVISIONS_MAX]; /* by revision, once somebody saw it */
    bool is_seen[REVISIONS_MAX];
    struct token refused[REVISIONS_MAX]; /* certainly never there */
    uint32_t refusals;
};

static uint64_t draw (struct world *world)
{
    uint64_t z = world->seed += UINT64_C (0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
    return z ^ z >> 31;
}

static bool chance (struct world *world, uint32_t percent) { return draw (world) % 100 < percent; }

static uint64_t fresh_id (struct world *world)
{
    return (draw (world) & ~UINT64_C (0xffff)) | ++world->drawn;
}

/* --- what is checked ---------------------------------------------------------------------------- */

static struct token token_of (const struct paxos_value *value)
{
    struct token token = { 0 };
    if (value->size)
        memcpy (&token, value->bytes, sizeof token);
    return token;
}

static void must (struct world *world, bool truth, const char *what)
{
    if (!truth && !world->wrong)
        world->wrong = what;
}

static bool was_proposed (const struct world *world, const struct token *token)
{
    for (uint32_t i = 0; i < world->proposals; i++)
        if (!memcmp (&world->proposed[i], token, sizeof *token))
            return true;
    return false;
}

/* A call ended and saw this: it was there at some time between its begin and now. */
static void check_seen (struct world *world, const struct client *client, const struct token *token)
{
    must (world, token->revision >= client->floor, "an older value came back");
    if (token->revision >= REVISIONS_MAX) {
        must (world, false, "revisions out of hand");
        return;
    }
    if (!world->is_seen[token->revision]) {
        must (world, !token->revision || was_proposed (world, token), "a value out of nowhere");
        world->at[token->revision] = *token;
        world->is_seen[token->revision] = true;
    }
    must (world, !memcmp (&world->at[token->revision], token, sizeof *token),
          "one revision, two values");
    for (uint64_t r = token->revision; r > 0 && world->is_seen[r - 1] && r + 3 > token->revision;
         r--)
        must (world, world->is_seen[r] ? world->at[r].before == world->at[r - 1].writer : true,
              "a value does not follow the one before");
    if (token->revision > world->floor)
        world->floor = token->revision;
}

static void check_done (struct world *world, struct client *client)
{
    const struct proposer *proposer = &client->proposer;
    const struct token there = token_of (&proposer->value);
    must (world, proposer->result != PROPOSAL_TWINS, "no address is a twin's");
    if (proposer->result == PROPOSAL_TORN) /* a disk was lost between two answers of before */
        return;
    check_seen (world, client, &there);
    if (client->swaps && proposer->result == PROPOSAL_OK) {
        must (world, !memcmp (&there, &client->next, sizeof there), "swapped in something else");
        world->swapped++;
    }
    if (client->swaps && proposer->result == PROPOSAL_CONFLICT) {
        must (world, there.revision > client->seen.revision, "a conflict with nothing");
        world->refused[world->refusals++] = client->next;
        world->conflicts++;
    }
    client->seen = there;
    world->done++;
}

/* --- the network -------------------------------------------------------------------------------- */

static void post (struct world *world, const struct word *word)
{
    if (!world->calm && chance (world, 5))
        return;
    for (int copies = !world->calm && chance (world, 5) ? 2 : 1; copies; copies--)
        if (world->words < WORDS_MAX)
            world->word[world->words++] = *word;
}

static void ask_all (struct world *world, uint32_t number)
{
    struct client *client = &world->client[number];
    for (uint32_t i = 0; i < world->acceptors; i++) {
        struct word word = { .client = number, .peer = i, .life = client->life };
        if (proposer_ask (&client->proposer, i, &word.ask))
            post (world, &word);
    }
}

static void begin (struct world *world, uint32_t number)
{
    struct client *client = &world->client[number];
    client->floor = world->floor;
    client->swaps = chance (world, 70);
    if (client->swaps && world->proposals < REVISIONS_MAX) {
        client->next =
            (struct token){ client->seen.revision + 1, fresh_id (world), client->seen.writer };
        world->proposed[world->proposals++] = client->next;
        const bool empty = !client->seen.revision;
        proposer_begin (&client->proposer, empty ? NULL : &client->seen,
                        empty ? 0 : sizeof client->seen, &client->next, sizeof client->next);
    } else {
        client->swaps = false;
        proposer_begin (&client->proposer, NULL, 0, NULL, 0);
    }
    ask_all (world, number);
}

static void answer (struct world *world, const struct word *asked)
{
    struct word word = *asked;
    struct acceptor_state *acceptor = &world->acceptor[asked->peer];
    struct acceptor_state state = *acceptor;
    word.back = true;
    acceptor_step (&state, &asked->ask, &word.vote);
    must (world, acceptor_state_is_valid (&state), "no acceptor can be so");
    if (!world->calm && chance (world, 2))
        return; /* it died before it had saved */
    *acceptor = state;
    if (world->calm || !chance (world, 2))
        post (world, &word);
}

static void hear (struct world *world, const struct word *word)
{
    struct client *client = &world->client[word->client];
    if (word->life != client->life || !proposer_hear (&client->proposer, word->peer, &word->vote))
        return;
    ask_all (world, word->client);
    if (client->proposer.phase == PROPOSAL_DONE)
        check_done (world, client);
}

static void deliver (struct world *world)
{
    const uint32_t which = (uint32_t)(draw (world) % world->words);
    const struct word word = world->word[which];
    world->word[which] = world->word[--world->words];
    if (word.back)
        hear (world, &word);
    else
        answer (world, &word);
}

static void reborn (struct world *world, uint32_t number)
{
    struct client *client = &world->client[number];
    proposer_create (&client->proposer, fresh_id (world), world->acceptors);
    client->life++;
}

/* As long as one voter is left, nothing may be forgotten, whatever cannot be decided any more. To
 * be live, the others must know the newest list. */
static void lose_disk (struct world *world)
{
    uint32_t voters = 0, current = 0;
    const uint32_t victim = (uint32_t)(draw (world) % world->acceptors);
    for (uint32_t i = 0; i < world->acceptors; i++) {
        const struct acceptor_state *state = &world->acceptor[i];
        voters += i != victim && state->votes;
        bool listed = state->votes;
        for (uint32_t k = 0; k < world->acceptors; k++)
            listed &= voters_contain (&state->value.voters, world->acceptor[k].id);
        current += listed;
    }
    if (world->may_lose_many ? voters == 0 : current < world->acceptors)
        return;
    struct acceptor_state *state = &world->acceptor[victim];
    const struct acceptor_state old = *state;
    *state = (struct acceptor_state){ .id = world->forgets ? old.id : fresh_id (world) };
    if (world->forgets) {
        state->votes = old.votes;
        state->bound = old.bound;
        state->value.voters = old.value.voters;
    }
    world->lost++;
}

static void happen (struct world *world)
{
    const uint32_t number = (uint32_t)(draw (world) % CLIENTS);
    struct client *client = &world->client[number];
    if (!world->calm && chance (world, 1))
        reborn (world, number);
    if (!world->calm && draw (world) % world->losses == 0)
        lose_disk (world);
    if (client->proposer.phase == PROPOSAL_DONE)
        begin (world, number);
    else if (world->words && draw (world) % 100)
        deliver (world);
    else if (proposer_late (&client->proposer))
        ask_all (world, number);
}

static void create (struct world *world, uint64_t seed, uint32_t acceptors)
{
    memset (world, 0, sizeof *world);
    world->seed = seed;
    world->acceptors = acceptors;
    world->may_lose_many = seed % 8 < 4;
    world->is_seen[0] = true;
    for (uint32_t i = 0; i < acceptors; i++)
        world->acceptor[i] = (struct acceptor_state){ .id = fresh_id (world) };
    for (uint32_t i = 0; i < CLIENTS; i++)
        reborn (world, i);
}

/* One client, no faults: it must come to an end. */
static bool calm_down (struct world *world)
{
    world->calm = true;
    world->words = 0;
    const uint32_t wanted = world->done + 3;
    reborn (world, 0);
    for (int i = 0; i < 2000 && world->done < wanted; i++) {
        struct client *client = &world->client[0];
        if (client->proposer.phase == PROPOSAL_DONE && !world->words)
            begin (world, 0);
        else if (world->words)
            deliver (world);
        else if (proposer_late (&client->proposer))
            ask_all (world, 0);
    }
    return world->done >= wanted;
}

static void check_refused (struct world *world)
{
    for (uint32_t i = 0; i < world->refusals; i++) {
        const struct token *token = &world->refused[i];
        must (world,
              !world->is_seen[token->revision] ||
                  memcmp (&world->at[token->revision], token, sizeof *token) != 0,
              "a swap that conflicted was there");
    }
}

static struct world world;

static void run (uint64_t seed, uint32_t acceptors, bool forgets)
{
    create (&world, seed, acceptors);
    world.forgets = forgets;
    const int happenings = seed % 4 ? 400 : 6000; /* most are about the first list */
    world.losses = seed % 4 ? 60 : 900;
    for (int i = 0; i < happenings; i++)
        happen (&world);
    const bool ended = calm_down (&world);
    check_refused (&world);
    if (!world.may_lose_many)
        must (&world, ended, "it never comes to an end");
}

static void run_seeds (uint32_t acceptors)
{
    const char *given = getenv ("MUSTER_SEEDS"), *first = getenv ("MUSTER_SEED");
    const uint64_t from = first ? strtoull (first, NULL, 10) : 1;
    const uint64_t seeds = given ? strtoull (given, NULL, 10) : first ? 1 : 2000;
    uint32_t swapped = 0, lost = 0;
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        run (seed, acceptors, false);
        if (world.wrong)
            fail_msg ("%s: again with MUSTER_SEED=%llu", world.wrong, (unsigned long long)seed);
        swapped += world.swapped;
        lost += world.lost;
    }
    print_message ("# %u acceptors: %u swaps, %u disks lost\n", acceptors, swapped, lost);
    if (!first)
        assert_true (swapped > seeds && lost > seeds / 4);
}

static void one_history_of_three (void **state)
{
    (void)state;
    run_seeds (3);
}

static void one_history_of_five (void **state)
{
    (void)state;
    run_seeds (5);
}

/* And the checker notices what it is there for. */
static void a_restored_disk_is_noticed (void **state)
{
    (void)state;
    uint32_t wrong = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        run (seed, 3, true);
        wrong += world.wrong != NULL;
    }
    print_message ("# noticed in %u of 200\n", wrong);
    assert_true (wrong > 5);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (one_history_of_three),
        cmocka_unit_test (one_history_of_five),
        cmocka_unit_test (a_restored_disk_is_noticed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
