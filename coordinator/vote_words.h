/* SPDX-License-Identifier: Apache-2.0 */
/* vote_words.h - an acceptor's words and its file, to and from what caspaxos.h knows. Pure. */
#ifndef COORD_VOTE_WORDS_H
#define COORD_VOTE_WORDS_H

#include "caspaxos.h"
#include "error.h"
#include "record.h"
#include "wire.h"

#include <stddef.h>

/* Where the lists of ids lie that a word borrows. */
struct vote_bytes {
    uint8_t bound[VOTERS_MAX * 8], voters[VOTERS_MAX * 8];
};

/* What `wire` borrows lies in `ask` or `vote`, and in `bytes`. */
void vote_ask_write (const struct vote_ask *ask, struct mu_wire *wire, struct vote_bytes *bytes);
void vote_write (const struct vote *vote, struct mu_wire *wire, struct vote_bytes *bytes);

/* False where it says what nobody can mean; then it is not to be looked at. */
bool vote_ask_read (struct vote_ask *ask, const struct mu_wire *wire);
bool vote_read (struct vote *vote, const struct mu_wire *wire);

#define ACCEPTOR_TEXT_MAX 4096u

/* Which file the text was written to: by that a copy is known. Zeros: it is not said. */
struct acceptor_place {
    uint64_t inode, born_ns;
};

size_t acceptor_encode (const struct acceptor_state *state, const struct acceptor_place *place,
                        char text[ACCEPTOR_TEXT_MAX]);
int acceptor_decode (struct acceptor_state *state, struct acceptor_place *place, const char *text,
                     size_t size, struct mu_error *error);

#endif
