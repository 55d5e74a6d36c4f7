/* SPDX-License-Identifier: Apache-2.0 */
/* caspaxos.h - one value, agreed upon by a majority of voters, without a log
 *
 * CASPaxos (D. Rystsov, 2018): Paxos' single decision, made again and again in one place, each round
 * proposing a function of what the round before left. Pure: the acceptor and the proposer are
 * functions of what they hear, so that the daemon and tests/unit/test_caspaxos.c run the same code.
 * docs/decisions/0028 argues why it is linearizable, also when voters lose their disks.
 *
 * A voter is not an address but an id, drawn together with its file. One that lost its file
 * comes back as another that nobody counts, so what it forgot can't be missed. Whose majority
 * counts is a part of the value itself: the others replace the lost id by the new one in a round
 * that neither takes part in, and only then teach it the value, from which on it votes.
 *
 * The first list of voters is agreed on by all of them: each binds itself once and for good to a
 * list; a list that all have bound themselves to is the only one that ever can be. */
#ifndef COORD_CASPAXOS_H
#define COORD_CASPAXOS_H

#include <stdbool.h>
#include <stdint.h>

#define VOTERS_MAX 16u
#define VALUE_MAX  1024u

struct ballot {
    uint64_t counter;
    uint64_t proposer; /* drawn by each proposer: no two ballots are equal */
};

struct voters {
    uint32_t count;
    uint64_t id[VOTERS_MAX]; /* ascending */
};

struct paxos_value {
    struct voters voters;
    uint32_t size; /* 0: the register is empty */
    uint8_t bytes[VALUE_MAX];
};

/* What an acceptor keeps, all of it durably. */
struct acceptor_state {
    uint64_t id;
    bool votes;
    struct voters bound; /* the first list of voters, once it agreed to one */
    struct ballot promised, accepted;
    struct paxos_value value;
};

enum vote_step {
    VOTE_LOOK,    /* say what you hold */
    VOTE_BIND,    /* agree to this first list of voters */
    VOTE_TEACH,   /* you are a voter, and this is what was decided */
    VOTE_PREPARE, /* obey no ballot below this one */
    VOTE_ACCEPT,  /* this ballot's value */
    VOTE_STEPS,
};

struct vote_ask {
    uint64_t number; /* echoed */
    enum vote_step step;
    uint64_t to; /* whom it is meant for; to another it says nothing. LOOK: 0 */
    struct ballot ballot;
    struct paxos_value value;
};

/* Whatever was asked, the answer is the acceptor's whole state as it is after it. */
struct vote {
    uint64_t number;
    bool granted;
    struct acceptor_state state;
};

/* Answer. True: the state changed and must be durable before the answer leaves. */
bool acceptor_step (struct acceptor_state *state, const struct vote_ask *ask, struct vote *vote);

/* Could an acceptor be in this state? What is read from a disk or a wire is asked so. */
bool acceptor_state_is_valid (const struct acceptor_state *state);
bool paxos_value_is_valid (const struct paxos_value *value);

bool voters_equal (const struct voters *a, const struct voters *b);
bool voters_contain (const struct voters *voters, uint64_t id);
int ballot_compare (const struct ballot *a, const struct ballot *b);

/* --- the proposer ------------------------------------------------------------------------------ */

enum proposal_phase {
    PROPOSAL_LOOK,
    PROPOSAL_BIND,
    PROPOSAL_TEACH,
    PROPOSAL_PREPARE,
    PROPOSAL_ACCEPT,
    PROPOSAL_DONE,
};

enum proposal_result {
    PROPOSAL_OK,       /* `value` is there: what was read, or swapped in */
    PROPOSAL_CONFLICT, /* `value` is there, and what was to be swapped in is not, for certain */
    PROPOSAL_UNKNOWN,  /* the same, but it may have been there in between */
    PROPOSAL_TWINS,    /* two of the peers' addresses lead to one acceptor */
    PROPOSAL_TORN,     /* an acceptor lost its file before all had agreed on the first list */
};

struct proposer {
    uint64_t id;      /* drawn */
    uint32_t peers;   /* addresses of acceptors */
    uint64_t number;  /* of what is asked now: answers to anything before are late */
    uint64_t counter; /* the highest heard of */
    enum proposal_phase phase;
    enum proposal_result result;
    bool swaps, sent; /* sent: `next` was once in an ACCEPT */
    bool newcomers;   /* somebody who is no voter was heard: it pays to wait for all */
    struct ballot ballot;
    struct paxos_value expected, next;       /* their bytes */
    struct paxos_value value;                /* proposed, at last decided */
    struct voters voters;                    /* whose majority counts now */
    struct ballot voters_since;              /* of the newest value seen that names them */
    struct voters successors;                /* those to be proposed with the value */
    bool asked[VOTERS_MAX], has[VOTERS_MAX]; /* of this phase; has: an answer */
    struct vote vote[VOTERS_MAX];            /* the last that was heard */
};

void proposer_create (struct proposer *proposer, uint64_t id, uint32_t peers);

/* Begin a read, or with `next` a swap of `expected` (bytes; NULL is the empty value). */
void proposer_begin (struct proposer *proposer, const void *expected, uint32_t expected_size,
                     const void *next, uint32_t next_size);

/* What peer number `peer` is to be asked now; false: nothing. To be called for all peers after
 * every begin, and whenever proposer_hear () or proposer_late () return true. */
bool proposer_ask (const struct proposer *proposer, uint32_t peer, struct vote_ask *ask);

/* An answer came; true: the phase is another now. At PROPOSAL_DONE, too, some may be asked. */
bool proposer_hear (struct proposer *proposer, uint32_t peer, const struct vote *vote);

/* No more answers are waited for; true: a round begins anew (or goes on with those that came). */
bool proposer_late (struct proposer *proposer);

#endif
