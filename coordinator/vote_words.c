/* SPDX-License-Identifier: Apache-2.0 */
/* vote_words.c - see vote_words.h */
#include "vote_words.h"

#include "lines.h"

#include <string.h>

#define HEAD "muster-acceptor 1"

static struct mu_blob write_ids (const struct voters *voters, uint8_t *bytes)
{
    for (uint32_t i = 0; i < voters->count; i++)
        for (uint32_t k = 0; k < 8; k++)
            bytes[8 * i + k] = (uint8_t)(voters->id[i] >> 8 * k);
    return (struct mu_blob){ bytes, voters->count * 8 };
}

static bool read_ids (struct voters *voters, const struct mu_blob *blob)
{
    if (blob->size % 8 || blob->size / 8 > VOTERS_MAX)
        return false;
    voters->count = blob->size / 8;
    for (uint32_t i = 0; i < voters->count; i++)
        for (uint32_t k = 0; k < 8; k++)
            voters->id[i] |= (uint64_t)((const uint8_t *)blob->data)[8 * i + k] << 8 * k;
    return true;
}

static bool read_value (struct paxos_value *value, const struct mu_blob *voters,
                        const struct mu_blob *bytes)
{
    if (!read_ids (&value->voters, voters) || bytes->size > VALUE_MAX)
        return false;
    value->size = bytes->size;
    if (bytes->size)
        memcpy (value->bytes, bytes->data, bytes->size);
    return true;
}

void vote_ask_write (const struct vote_ask *ask, struct mu_wire *wire, struct vote_bytes *bytes)
{
    *wire = (struct mu_wire){
        .type = MU_WIRE_ASK_VOTE,
        .ask_vote = { .number = ask->number,
                      .step = (uint32_t)ask->step,
                      .to = ask->to,
                      .counter = ask->ballot.counter,
                      .proposer = ask->ballot.proposer,
                      .voters = write_ids (&ask->value.voters, bytes->voters),
                      .value = { ask->value.bytes, ask->value.size } },
    };
}

bool vote_ask_read (struct vote_ask *ask, const struct mu_wire *wire)
{
    memset (ask, 0, sizeof *ask);
    if (wire->type != MU_WIRE_ASK_VOTE || wire->ask_vote.step >= VOTE_STEPS)
        return false;
    ask->number = wire->ask_vote.number;
    ask->step = (enum vote_step)wire->ask_vote.step;
    ask->to = wire->ask_vote.to;
    ask->ballot = (struct ballot){ wire->ask_vote.counter, wire->ask_vote.proposer };
    return read_value (&ask->value, &wire->ask_vote.voters, &wire->ask_vote.value) &&
           paxos_value_is_valid (&ask->value);
}

void vote_write (const struct vote *vote, struct mu_wire *wire, struct vote_bytes *bytes)
{
    const struct acceptor_state *state = &vote->state;
    *wire = (struct mu_wire){
        .type = MU_WIRE_VOTE,
        .vote = { .number = vote->number,
                  .granted = vote->granted,
                  .id = state->id,
                  .votes = state->votes,
                  .bound = write_ids (&state->bound, bytes->bound),
                  .promised_counter = state->promised.counter,
                  .promised_proposer = state->promised.proposer,
                  .accepted_counter = state->accepted.counter,
                  .accepted_proposer = state->accepted.proposer,
                  .voters = write_ids (&state->value.voters, bytes->voters),
                  .value = { state->value.bytes, state->value.size } },
    };
}

bool vote_read (struct vote *vote, const struct mu_wire *wire)
{
    memset (vote, 0, sizeof *vote);
    if (wire->type != MU_WIRE_VOTE)
        return false;
    struct acceptor_state *state = &vote->state;
    vote->number = wire->vote.number;
    vote->granted = wire->vote.granted;
    state->id = wire->vote.id;
    state->votes = wire->vote.votes;
    state->promised = (struct ballot){ wire->vote.promised_counter, wire->vote.promised_proposer };
    state->accepted = (struct ballot){ wire->vote.accepted_counter, wire->vote.accepted_proposer };
    return read_ids (&state->bound, &wire->vote.bound) &&
           read_value (&state->value, &wire->vote.voters, &wire->vote.value) &&
           acceptor_state_is_valid (state);
}

/* --- the file ---------------------------------------------------------------------------------- */

size_t acceptor_encode (const struct acceptor_state *state, const struct acceptor_place *place,
                        char text[ACCEPTOR_TEXT_MAX])
{
    struct lines_out out;
    const uint64_t promised[2] = { state->promised.counter, state->promised.proposer };
    const uint64_t accepted[2] = { state->accepted.counter, state->accepted.proposer };
    const uint64_t file[2] = { place->inode, place->born_ns };
    lines_begin (&out, text, ACCEPTOR_TEXT_MAX, HEAD);
    lines_number (&out, "id", state->id);
    lines_number (&out, "votes", state->votes);
    lines_numbers (&out, "bound", state->bound.id, state->bound.count);
    lines_numbers (&out, "promised", promised, 2);
    lines_numbers (&out, "accepted", accepted, 2);
    lines_numbers (&out, "voters", state->value.voters.id, state->value.voters.count);
    lines_bytes (&out, "value", state->value.bytes, state->value.size);
    if (place->inode)
        lines_numbers (&out, "file", file, 2);
    return lines_end (&out) ? out.size : 0;
}

static bool take_ballot (struct lines_in *in, const char *word, struct ballot *ballot)
{
    uint64_t number[2];
    uint32_t count;
    if (!lines_take_numbers (in, word, number, 2, &count) || count != 2)
        return false;
    *ballot = (struct ballot){ number[0], number[1] };
    return true;
}

static bool take_voters (struct lines_in *in, const char *word, struct voters *voters)
{
    return lines_take_numbers (in, word, voters->id, VOTERS_MAX, &voters->count);
}

/* Earlier versions did not write it. */
static bool take_place (struct lines_in *in, struct acceptor_place *place)
{
    uint64_t file[2];
    uint32_t count;
    *place = (struct acceptor_place){ 0 };
    if (lines_are_read (in))
        return true;
    if (!lines_take_numbers (in, "file", file, 2, &count) || count != 2 || !file[0])
        return false;
    *place = (struct acceptor_place){ file[0], file[1] };
    return true;
}

int acceptor_decode (struct acceptor_state *state, struct acceptor_place *place, const char *text,
                     size_t size, struct mu_error *error)
{
    struct lines_in in;
    uint64_t votes;
    memset (state, 0, sizeof *state);
    if (lines_open (&in, text, size, HEAD, error))
        return -1;
    if (lines_take_number (&in, "id", &state->id) && lines_take_number (&in, "votes", &votes) &&
        votes <= 1 && take_voters (&in, "bound", &state->bound) &&
        take_ballot (&in, "promised", &state->promised) &&
        take_ballot (&in, "accepted", &state->accepted) &&
        take_voters (&in, "voters", &state->value.voters) &&
        lines_take_bytes (&in, "value", state->value.bytes, VALUE_MAX, &state->value.size) &&
        take_place (&in, place) && lines_are_read (&in)) {
        state->votes = votes == 1;
        if (acceptor_state_is_valid (state))
            return 0;
    }
    return mu_fail (error, MU_BAD_INPUT, "its lines are not those of an acceptor");
}
