/* SPDX-License-Identifier: Apache-2.0 */
/* reigns.h - the model that reigns.c describes: its world, and what its parts ask of each other
 *
 * reigns.c has the world, what breaks in it and the main loop; reigns_quiet.c a world in which little does; reigns_node.c one coordinator;
 * reigns_journal.c its journal; reigns_check.c what may never happen. */
#ifndef SIM_REIGNS_H
#define SIM_REIGNS_H

#include "followers.h"
#include "following.h"
#include "reign.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#define NODES_MAX   3
#define BODIES_MAX  (NODES_MAX + 1) /* with a copy of one that was started beside it */
#define ENTRIES_MAX 4096
#define VALUES_MAX  65536
#define ANSWERS_MAX 4096
#define TURNS_MAX   8
#define MAIL_MAX    512
#define LOST_MS     200
#define BEAT_MS     50
#define FAULTS_MS   12000
#define CALM_MS     6000
#define PIECE       7 /* entries of a catch-up's piece */
#define FOLD_IN     1500 /* ms, of each, by chance */
#define HEIR_MS     300
#define FLUSH_MS    150
#define RESIGN_MS   300

/* A folded entry stands for all before it, which are gone but for the one that began the newest reign. */
struct entry {
    uint64_t term, value;
    bool reign, gone, folded;
};

struct journal {
    struct entry entry[ENTRIES_MAX]; /* by number, from 1 */
    uint32_t count, folded_to;
};

struct row {
    uint32_t number;
    struct entry entry;
};

enum mail_kind { FOLLOW, ROWS, HAVE, LEADING, RESIGN, UNFOLLOW };

enum stopping { STOP_NOT, STOP_SERVING, STOP_FLUSHING };

struct mail {
    enum mail_kind kind;
    uint32_t from, to;
    uint64_t due_ms, id, term, stream, before, newest;
    bool first, fresh, whole;
    struct row row[PIECE];
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

struct turn {
    struct entry entry;
    uint32_t number; /* of its entry, from 1 */
    uint64_t given_ms;
    bool answered;
};

/* A client was told so before all that are in sync had confirmed it. */
struct answer {
    uint64_t term, value, given_ms, answered_ms; /* by the leader's clock */
    uint32_t number;
    bool ahead;
};

struct node {
    bool alive, leads;
    uint32_t lives; /* how often it was started */
    bool damaged; /* it lacks entries, or thinks so */
    bool copied,
        moved; /* its disk's files are others than its id was given to; it has its second address */
    uint64_t id, cluster, paused_ms, clock_ms, restart_ms;
    uint64_t full_ms; /* nothing can be stored before then */
    struct journal disk;
    struct journal fresh; /* being put together */
    bool has_fresh;
    struct claim claim;
    struct followers followers;
    struct following following;
    uint64_t beat_ms;
    struct request request; /* the one in flight */
    /* turns: the newest is stored at commit_ms if `committing`; the oldest is acknowledged when confirmed */
    struct turn turn[TURNS_MAX];
    uint32_t turn_count;
    bool committing, ahead; /* ahead: clients do not wait for followers */
    uint64_t commit_ms;
    enum stopping stopping;
    uint64_t stop_ms; /* since it was told to, or has resigned */
    uint64_t patience_ms; /* with turns that are not confirmed by then */
};

struct world {
    uint64_t now_ms, random, seed;
    uint32_t count;
    struct node node[BODIES_MAX]; /* the copy is at `count`, which does not count it */
    uint64_t last_due_ms[BODIES_MAX][BODIES_MAX];
    bool cut[BODIES_MAX][BODIES_MAX], register_cut[BODIES_MAX];
    struct mail mail[MAIL_MAX];
    struct reign reg;
    struct request
        orphan[64]; /* swaps whose askers gave up or died: they may still come into force */
    struct entry acked[ENTRIES_MAX]; /* by number; value 0: not acknowledged */
    uint64_t before[VALUES_MAX]; /* the value of the entry that this one's decider had before it */
    uint32_t acked_newest;
    struct answer answer[ANSWERS_MAX];
    uint32_t answer_count;
    uint64_t values, acks, lost, reigns, terms[ENTRIES_MAX];
    uint32_t term_count;
    bool calm;
};

extern struct world world;

/* --- the world --------------------------------------------------------------------------------- */

uint64_t draw (void);
uint64_t below (uint64_t limit);
bool chance (uint64_t in);

void say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
void fail (const char *what) __attribute__ ((noreturn));

void reigns_begin (uint64_t seed); /* all coordinators start */
void reigns_tick (void);           /* a millisecond passes */
int reigns_quiet (const char *name, uint64_t first, uint64_t seeds);

/* To be filled in; where it is lost, into nowhere. `life`: of life_of (), or a node. */
uint32_t life_of (const struct node *node);
struct mail *post (const struct node *from, uint32_t life, enum mail_kind kind);

/* --- journals ----------------------------------------------------------------------------------- */

void journal_put (struct journal *journal, uint32_t number, const struct entry *entry);
void journal_end (struct journal *journal, uint32_t newest); /* so far; fails if something lacks */
void journal_fold (struct journal *journal, uint32_t to);

/* Is that value the number's, in the history that this journal tells or stands for? */
bool journal_tells (const struct journal *journal, uint32_t number, uint64_t value);

/* --- what may never happen ---------------------------------------------------------------------- */

bool holds_all (const struct journal *journal);
void check_in_sync (void);
void check_leader (const struct node *node);
void acknowledge (struct node *node, const struct turn *turn);
void answer (struct node *node, const struct turn *turn);
/* Who leads now, at the end, has all but what was answered ahead of followers, and within what time. */
uint64_t check_answers (const struct node *leader);

/* --- one coordinator ---------------------------------------------------------------------------- */

void start_node (struct node *node);
/* A copy of what is on its disk now, with or without its files being the same ones as in a snapshot. */
struct node *start_copy (const struct node *node, bool snapshot);
void kill_node (struct node *node);
void stop_node (struct node *node); /* as SIGTERM does */
void run_node (struct node *node, uint32_t me);
void hear (struct node *node, const struct mail *mail);

/* The request in flight comes to the register; its asker is gone. */
void enforce (struct request *request);
void orphan (struct request *request);

#endif
