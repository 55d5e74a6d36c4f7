/* SPDX-License-Identifier: Apache-2.0 */
/* following.c - take what continues the journal, ask again where something is missing */
#include "following.h"

#include <string.h>

void following_start (struct following *following, uint64_t newest, uint32_t patience_ms)
{
    memset (following, 0, sizeof *following);
    following->at = newest;
    following->patience_ms = patience_ms;
}

bool following_asks (struct following *following, uint64_t term, uint64_t newest, bool *gave_up,
                     uint64_t now_ms)
{
    *gave_up = false;
    if (term == following->term && now_ms < following->ask_ms)
        return false;
    *gave_up = following->filling;
    if (term != following->term)
        following->past = 0;
    else if (following->stream)
        following->past = following->stream;
    following->term = term;
    following->stream = 0;
    following->filling = false;
    following->at = newest;
    following->ask_ms = now_ms + following->patience_ms;
    return true;
}

void following_failed (struct following *following, uint64_t newest, uint64_t now_ms)
{
    if (following->stream)
        following->past = following->stream;
    following->stream = 0;
    following->filling = false;
    following->at = newest;
    following->ask_ms = now_ms + 2 * following->patience_ms;
}

/* A stream that the leader began before one that was taken is over, however late it comes: its journal may
 * lack what was confirmed since. */
enum following_what following_rows (struct following *following, const struct following_rows *rows,
                                    uint64_t now_ms)
{
    bool begins = rows->stream > following->stream;
    if (rows->term != following->term || rows->stream <= following->past ||
        rows->stream < following->stream || begins != rows->first ||
        (begins && following->filling && !rows->fresh))
        return FOLLOWING_IGNORE;
    if (!rows->fresh && rows->before != following->at) {
        following->ask_ms = now_ms; /* a piece was lost: begin again */
        return FOLLOWING_IGNORE;
    }
    following->stream = rows->stream;
    following->at = rows->newest;
    following->ask_ms = now_ms + following->patience_ms;
    following->filling = (rows->fresh || following->filling) && !rows->whole;
    return rows->fresh ? FOLLOWING_REPLACE : FOLLOWING_TAKE;
}

void following_heard (struct following *following, uint64_t term, uint64_t stream, uint64_t sent,
                      uint64_t now_ms)
{
    if (term != following->term || stream != following->stream)
        return;
    if (sent == following->at) /* else rows are on their way, or lost: patience decides */
        following->ask_ms = now_ms + following->patience_ms;
}
