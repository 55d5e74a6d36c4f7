/* SPDX-License-Identifier: Apache-2.0 */
/* following.h - a follower's side: which rows of the leader continue its journal
 *
 * Pure, like reign.h. Rows that do not begin where the journal ends are not taken; the leader is then
 * asked again, and says where they part, or sends everything (`fresh`): that replaces the journal in
 * one transaction, when its last piece has come. */
#ifndef COORD_FOLLOWING_H
#define COORD_FOLLOWING_H

#include <stdbool.h>
#include <stdint.h>

struct following {
    uint64_t term;   /* of the leader that is followed */
    uint64_t stream; /* 0: none was begun since FOLLOW was said */
    uint64_t past;   /* newest of those before it, in this term */
    uint64_t at;     /* newest record of the journal, or of the one that is being put together */
    uint64_t ask_ms; /* when to say FOLLOW again */
    uint32_t patience_ms;
    bool filling; /* a fresh journal is not whole yet */
};

enum following_what {
    FOLLOWING_IGNORE,
    FOLLOWING_TAKE,    /* store them, then say HAVE */
    FOLLOWING_REPLACE, /* drop everything first, in the same transaction */
};

struct following_rows {
    uint64_t term, stream, before, newest;
    bool first, fresh, whole; /* first of its stream; a fresh journal may be committed now */
};

void following_start (struct following *following, uint64_t newest, uint32_t patience_ms);

/* Is it time to say FOLLOW, in this term? It is then said. An unfinished fresh journal is given up:
 * the caller rolls it back when *gave_up, and `newest` is what it has. */
bool following_asks (struct following *following, uint64_t term, uint64_t newest, bool *gave_up,
                     uint64_t now_ms);

/* What was to be taken could not be stored; `newest` is what the journal has. It is begun anew, after a
 * while: who has nothing to store it in would only be sent it again. */
void following_failed (struct following *following, uint64_t newest, uint64_t now_ms);

enum following_what following_rows (struct following *following, const struct following_rows *rows,
                                    uint64_t now_ms);

/* LEADING: the leader lives and has sent this. */
void following_heard (struct following *following, uint64_t term, uint64_t stream, uint64_t sent,
                      uint64_t now_ms);

#endif
