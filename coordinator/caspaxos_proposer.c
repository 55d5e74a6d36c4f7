/* SPDX-License-Identifier: Apache-2.0 */
/* caspaxos_proposer.c - a round, seen by who proposes; see caspaxos.h
 *
 *     LOOK -> PREPARE -> ACCEPT -> DONE      a majority of voters answers
 *     LOOK -> BIND -> TEACH -> LOOK          nobody votes yet, all answer: the first list
 *     LOOK -> TEACH -> LOOK                  that was interrupted after somebody was taught
 *     any -> LOOK                            refused, too late, or other voters by now
 *
 * Reads write back what they found: else a value that one voter alone has could be seen, and not be
 * seen again. A conflict is written back for the same reason. */
#include "caspaxos.h"

#include <string.h>

void proposer_create (struct proposer *proposer, uint64_t id, uint32_t peers)
{
    memset (proposer, 0, sizeof *proposer);
    proposer->id = id;
    proposer->peers = peers;
    proposer->phase = PROPOSAL_DONE;
}

static void set_bytes (struct paxos_value *value, const void *bytes, uint32_t size)
{
    memset (value, 0, sizeof *value);
    value->size = size;
    if (size)
        memcpy (value->bytes, bytes, size);
}

static bool same_bytes (const struct paxos_value *a, const struct paxos_value *b)
{
    return a->size == b->size && !memcmp (a->bytes, b->bytes, a->size);
}

/* --- who is asked ------------------------------------------------------------------------------ */

static const struct acceptor_state *state_of (const struct proposer *proposer, uint32_t peer)
{
    return &proposer->vote[peer].state;
}

static bool is_voter (const struct proposer *proposer, uint32_t peer)
{
    return state_of (proposer, peer)->votes &&
           voters_contain (&proposer->voters, state_of (proposer, peer)->id);
}

/* One that agreed to the first list, `successors', and was not told that all did. */
static bool waits_for_list (const struct proposer *proposer, uint32_t peer)
{
    return !state_of (proposer, peer)->votes &&
           voters_equal (&state_of (proposer, peer)->bound, &proposer->successors);
}

static bool waits_for_value (const struct proposer *proposer, uint32_t peer)
{
    return proposer->result <= PROPOSAL_UNKNOWN && !state_of (proposer, peer)->votes &&
           voters_contain (&proposer->value.voters, state_of (proposer, peer)->id);
}

static bool is_to_be_asked (const struct proposer *proposer, uint32_t peer)
{
    switch (proposer->phase) {
    case PROPOSAL_LOOK:
    case PROPOSAL_BIND: return true;
    case PROPOSAL_TEACH: return waits_for_list (proposer, peer);
    case PROPOSAL_PREPARE:
    case PROPOSAL_ACCEPT: return is_voter (proposer, peer);
    case PROPOSAL_DONE: return waits_for_value (proposer, peer);
    }
    return false;
}

static void enter (struct proposer *proposer, enum proposal_phase phase)
{
    proposer->phase = phase;
    proposer->number++;
    for (uint32_t i = 0; i < proposer->peers; i++) {
        proposer->has[i] = false;
        proposer->asked[i] = is_to_be_asked (proposer, i);
    }
}

static bool finish (struct proposer *proposer, enum proposal_result result)
{
    proposer->result = result;
    enter (proposer, PROPOSAL_DONE);
    return true;
}

static bool begin_anew (struct proposer *proposer)
{
    enter (proposer, PROPOSAL_LOOK);
    return true;
}

void proposer_begin (struct proposer *proposer, const void *expected, uint32_t expected_size,
                     const void *next, uint32_t next_size)
{
    proposer->swaps = next != NULL;
    proposer->sent = false;
    set_bytes (&proposer->expected, expected, expected_size);
    set_bytes (&proposer->next, next, next_size);
    begin_anew (proposer);
}

bool proposer_ask (const struct proposer *proposer, uint32_t peer, struct vote_ask *ask)
{
    static const enum vote_step step[] = {
        [PROPOSAL_LOOK] = VOTE_LOOK,     [PROPOSAL_BIND] = VOTE_BIND,
        [PROPOSAL_TEACH] = VOTE_TEACH,   [PROPOSAL_PREPARE] = VOTE_PREPARE,
        [PROPOSAL_ACCEPT] = VOTE_ACCEPT, [PROPOSAL_DONE] = VOTE_TEACH,
    };
    if (!proposer->asked[peer])
        return false;
    memset (ask, 0, sizeof *ask);
    ask->number = proposer->number;
    ask->step = step[proposer->phase];
    if (proposer->phase == PROPOSAL_LOOK)
        return true;
    ask->to = state_of (proposer, peer)->id;
    if (proposer->phase == PROPOSAL_BIND || proposer->phase == PROPOSAL_TEACH)
        ask->value.voters = proposer->successors;
    else
        ask->ballot = proposer->ballot;
    if (proposer->phase == PROPOSAL_ACCEPT || proposer->phase == PROPOSAL_DONE)
        ask->value = proposer->value;
    return true;
}

/* --- counting ---------------------------------------------------------------------------------- */

static bool all_answered (const struct proposer *proposer)
{
    for (uint32_t i = 0; i < proposer->peers; i++)
        if (proposer->asked[i] && !proposer->has[i])
            return false;
    return true;
}

/* Is the present phase granted by this id, whichever address it was reached at? */
static bool is_granted_by (const struct proposer *proposer, uint64_t id)
{
    for (uint32_t i = 0; i < proposer->peers; i++)
        if (proposer->has[i] && proposer->vote[i].granted && is_voter (proposer, i) &&
            state_of (proposer, i)->id == id)
            return true;
    return false;
}

/* Only those count who vote before and after: no newcomer decides that it is one, and no one who
 * is replaced. */
static bool has_majority (const struct proposer *proposer, const struct voters *after)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < proposer->voters.count; i++)
        count += voters_contain (after, proposer->voters.id[i]) &&
                 is_granted_by (proposer, proposer->voters.id[i]);
    return count > proposer->voters.count / 2;
}

/* The newest value that anybody heard now holds; -1: nobody votes. */
static int newest_of_heard (const struct proposer *proposer)
{
    int newest = -1;
    for (uint32_t i = 0; i < proposer->peers; i++)
        if (proposer->has[i] && state_of (proposer, i)->votes &&
            (newest < 0 || ballot_compare (&state_of (proposer, i)->accepted,
                                           &state_of (proposer, (uint32_t)newest)->accepted) > 0))
            newest = (int)i;
    return newest;
}

static void learn_voters (struct proposer *proposer)
{
    const int newest = newest_of_heard (proposer);
    if (newest < 0)
        return;
    const struct acceptor_state *state = state_of (proposer, (uint32_t)newest);
    if (proposer->voters.count && ballot_compare (&state->accepted, &proposer->voters_since) <= 0)
        return;
    proposer->voters = state->value.voters;
    proposer->voters_since = state->accepted;
}

/* --- the first list ---------------------------------------------------------------------------- */

/* The ids of all peers, ascending; false: two are the same. */
static bool list_peers (const struct proposer *proposer, struct voters *voters)
{
    memset (voters, 0, sizeof *voters);
    for (uint32_t i = 0; i < proposer->peers; i++) {
        const uint64_t id = state_of (proposer, i)->id;
        uint32_t at = voters->count;
        for (; at && voters->id[at - 1] >= id; at--)
            if (voters->id[at - 1] == id)
                return false;
        memmove (&voters->id[at + 1], &voters->id[at], (voters->count - at) * sizeof id);
        voters->id[at] = id;
        voters->count++;
    }
    return true;
}

static bool bind_all (struct proposer *proposer)
{
    if (!list_peers (proposer, &proposer->successors))
        return finish (proposer, PROPOSAL_TWINS);
    for (uint32_t i = 0; i < proposer->peers; i++)
        if (state_of (proposer, i)->bound.count &&
            !voters_equal (&state_of (proposer, i)->bound, &proposer->successors))
            return finish (proposer, PROPOSAL_TORN);
    enter (proposer, PROPOSAL_BIND);
    return true;
}

static bool hear_bound (struct proposer *proposer)
{
    if (!all_answered (proposer))
        return false;
    for (uint32_t i = 0; i < proposer->peers; i++)
        if (!proposer->vote[i].granted)
            return begin_anew (proposer);
    enter (proposer, PROPOSAL_TEACH);
    return true;
}

/* Somebody was taught the first list, so all had agreed: those bound to it may vote. */
static bool teach_bound (struct proposer *proposer)
{
    bool any = false;
    for (uint32_t i = 0; i < proposer->peers; i++)
        if (state_of (proposer, i)->votes && state_of (proposer, i)->bound.count)
            proposer->successors = state_of (proposer, i)->bound;
    for (uint32_t i = 0; i < proposer->peers; i++)
        any |= proposer->successors.count && waits_for_list (proposer, i);
    if (any)
        enter (proposer, PROPOSAL_TEACH);
    return any;
}

/* --- a round ----------------------------------------------------------------------------------- */

/* If all addresses answered, the voters that are missing lost their files; the newcomers take their
 * places. One that votes and is no voter here has been replaced before: it can't be taught. */
static void choose_successors (struct proposer *proposer)
{
    struct voters list;
    proposer->successors = proposer->voters;
    if (!all_answered (proposer) || proposer->peers != proposer->voters.count ||
        !list_peers (proposer, &list))
        return;
    for (uint32_t i = 0; i < proposer->peers; i++)
        if (state_of (proposer, i)->votes && !is_voter (proposer, i))
            return;
    proposer->successors = list;
}

static bool prepare (struct proposer *proposer)
{
    choose_successors (proposer);
    proposer->newcomers = false;
    proposer->counter++;
    proposer->ballot = (struct ballot){ proposer->counter, proposer->id };
    enter (proposer, PROPOSAL_PREPARE);
    return true;
}

static bool hear_look (struct proposer *proposer, bool late)
{
    learn_voters (proposer);
    const bool all = all_answered (proposer);
    proposer->successors.count = 0;
    if (!proposer->voters.count)
        return all && bind_all (proposer);
    if (has_majority (proposer, &proposer->voters))
        return (all || late || !proposer->newcomers) && prepare (proposer);
    return all && teach_bound (proposer);
}

static bool is_refused (const struct proposer *proposer, uint32_t peer)
{
    const struct vote *vote = &proposer->vote[peer];
    return !vote->granted && ballot_compare (&vote->state.promised, &proposer->ballot) > 0;
}

/* What is proposed follows from what was there. */
static void choose_value (struct proposer *proposer, const struct paxos_value *present)
{
    proposer->value = *present;
    proposer->result = PROPOSAL_OK;
    if (proposer->swaps && same_bytes (present, &proposer->expected)) {
        proposer->value = proposer->next;
        proposer->sent = true;
    } else if (proposer->swaps && !(proposer->sent && same_bytes (present, &proposer->next)))
        proposer->result = proposer->sent ? PROPOSAL_UNKNOWN : PROPOSAL_CONFLICT;
    proposer->value.voters = proposer->successors;
}

static bool hear_promise (struct proposer *proposer, uint32_t peer)
{
    if (is_refused (proposer, peer))
        return begin_anew (proposer);
    if (!has_majority (proposer, &proposer->successors))
        return false;
    const struct acceptor_state *newest = state_of (proposer, (uint32_t)newest_of_heard (proposer));
    if (!voters_equal (&newest->value.voters, &proposer->voters)) {
        proposer->voters = newest->value.voters; /* a majority of the wrong ones promised */
        proposer->voters_since = newest->accepted;
        return begin_anew (proposer);
    }
    choose_value (proposer, &newest->value);
    enter (proposer, PROPOSAL_ACCEPT);
    return true;
}

static bool hear_accepted (struct proposer *proposer, uint32_t peer)
{
    if (is_refused (proposer, peer))
        return begin_anew (proposer);
    if (!has_majority (proposer, &proposer->value.voters))
        return false;
    proposer->voters = proposer->value.voters;
    proposer->voters_since = proposer->ballot;
    return finish (proposer, proposer->result);
}

static void notice (struct proposer *proposer, const struct acceptor_state *state)
{
    if (state->promised.counter > proposer->counter)
        proposer->counter = state->promised.counter;
    proposer->newcomers |= proposer->voters.count && !voters_contain (&proposer->voters, state->id);
}

bool proposer_hear (struct proposer *proposer, uint32_t peer, const struct vote *vote)
{
    notice (proposer, &vote->state);
    if (vote->number != proposer->number || !proposer->asked[peer] || proposer->has[peer])
        return false;
    const bool other =
        proposer->phase != PROPOSAL_LOOK && vote->state.id != state_of (proposer, peer)->id;
    proposer->vote[peer] = *vote;
    proposer->has[peer] = true;
    if (other && proposer->phase != PROPOSAL_DONE)
        return begin_anew (proposer);
    switch (proposer->phase) {
    case PROPOSAL_LOOK: return hear_look (proposer, false);
    case PROPOSAL_BIND: return hear_bound (proposer);
    case PROPOSAL_TEACH: return all_answered (proposer) && begin_anew (proposer);
    case PROPOSAL_PREPARE: return hear_promise (proposer, peer);
    case PROPOSAL_ACCEPT: return hear_accepted (proposer, peer);
    case PROPOSAL_DONE: break;
    }
    return false;
}

bool proposer_late (struct proposer *proposer)
{
    if (proposer->phase == PROPOSAL_DONE)
        return false;
    return (proposer->phase == PROPOSAL_LOOK && hear_look (proposer, true)) ||
           begin_anew (proposer);
}
