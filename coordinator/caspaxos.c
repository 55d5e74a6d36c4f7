/* SPDX-License-Identifier: Apache-2.0 */
/* caspaxos.c - the acceptor, and what both sides know; see caspaxos.h */
#include "caspaxos.h"

#include <string.h>

int ballot_compare (const struct ballot *a, const struct ballot *b)
{
    if (a->counter != b->counter)
        return a->counter < b->counter ? -1 : 1;
    return a->proposer < b->proposer ? -1 : a->proposer > b->proposer;
}

bool voters_equal (const struct voters *a, const struct voters *b)
{
    return a->count == b->count && !memcmp (a->id, b->id, a->count * sizeof *a->id);
}

bool voters_contain (const struct voters *voters, uint64_t id)
{
    for (uint32_t i = 0; i < voters->count; i++)
        if (voters->id[i] == id)
            return true;
    return false;
}

static bool voters_are_valid (const struct voters *voters)
{
    if (voters->count > VOTERS_MAX || (voters->count && !voters->id[0]))
        return false;
    for (uint32_t i = 1; i < voters->count; i++)
        if (voters->id[i] <= voters->id[i - 1])
            return false;
    return true;
}

bool paxos_value_is_valid (const struct paxos_value *value)
{
    return voters_are_valid (&value->voters) && value->size <= VALUE_MAX &&
           (value->voters.count || !value->size);
}

bool acceptor_state_is_valid (const struct acceptor_state *state)
{
    if (!state->id || !voters_are_valid (&state->bound) || !paxos_value_is_valid (&state->value) ||
        ballot_compare (&state->accepted, &state->promised) > 0)
        return false;
    return state->votes ? state->value.voters.count > 0
                        : state->value.voters.count == 0 && state->promised.counter == 0;
}

/* For good: who agreed to one list never agrees to another. */
static bool bind_to (struct acceptor_state *state, const struct voters *voters, bool *changed)
{
    *changed = !state->bound.count && !state->votes && voters_contain (voters, state->id);
    if (*changed)
        state->bound = *voters;
    return voters_equal (&state->bound, voters);
}

static void take_value (struct acceptor_state *state, const struct vote_ask *ask)
{
    state->promised = state->accepted = ask->ballot;
    state->value = ask->value;
}

/* Who teaches says that all agreed to this first list (ballot 0), or that a value with this list was
 * decided on without this one's vote. To one that votes already it is old news. A voter that is
 * bound shows others that the list it is bound to is the first, so one taught later is not. */
static bool learn (struct acceptor_state *state, const struct vote_ask *ask, bool *changed)
{
    if (!voters_contain (&ask->value.voters, state->id))
        return false;
    const bool first = ask->ballot.counter == 0;
    if (first && !voters_equal (&state->bound, &ask->value.voters))
        return false;
    *changed = !state->votes;
    if (*changed) {
        take_value (state, ask);
        state->votes = true;
        if (!first)
            state->bound.count = 0;
    }
    return true;
}

static bool prepare (struct acceptor_state *state, const struct vote_ask *ask, bool *changed)
{
    *changed = state->votes && ballot_compare (&ask->ballot, &state->promised) > 0;
    if (*changed)
        state->promised = ask->ballot;
    return *changed;
}

static bool accept (struct acceptor_state *state, const struct vote_ask *ask, bool *changed)
{
    if (!state->votes || !ask->value.voters.count ||
        ballot_compare (&ask->ballot, &state->promised) < 0)
        return false;
    *changed = ballot_compare (&ask->ballot, &state->accepted) > 0;
    if (*changed)
        take_value (state, ask);
    return true;
}

static bool grant (struct acceptor_state *state, const struct vote_ask *ask, bool *changed)
{
    if (ask->step != VOTE_LOOK && ask->to != state->id)
        return false;
    switch (ask->step) {
    case VOTE_LOOK: return true;
    case VOTE_BIND: return bind_to (state, &ask->value.voters, changed);
    case VOTE_TEACH: return learn (state, ask, changed);
    case VOTE_PREPARE: return prepare (state, ask, changed);
    case VOTE_ACCEPT: return accept (state, ask, changed);
    case VOTE_STEPS: break;
    }
    return false;
}

bool acceptor_step (struct acceptor_state *state, const struct vote_ask *ask, struct vote *vote)
{
    bool changed = false;
    vote->number = ask->number;
    vote->granted = paxos_value_is_valid (&ask->value) && grant (state, ask, &changed);
    vote->state = *state;
    return changed;
}
