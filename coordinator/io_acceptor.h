/* SPDX-License-Identifier: Apache-2.0 */
/* io_acceptor.h - this machine's vote in `--register majority:`, kept in DIR/acceptor
 *
 * Every change is durable before its answer is given away. One thread. */
#ifndef COORD_IO_ACCEPTOR_H
#define COORD_IO_ACCEPTOR_H

#include "error.h"
#include "record.h"
#include "vote_words.h"

struct acceptor;

/* Of a folder that exists and that nobody else uses. Without a file there, it is a new one, that
 * votes when the others have taken it in. BAD_INPUT where the file is not what was written. */
int acceptor_open (struct acceptor **acceptor_p, const char *dir, struct mu_error *error);
void acceptor_close (struct acceptor **acceptor_p);

/* Answer an ASK_VOTE; what `answer` borrows is the acceptor's until the next call. False: it was no
 * such word, or the change could not be made durable (said in the log): nothing must be said, and
 * from then on nothing is, until it is opened again. */
bool acceptor_answer (struct acceptor *acceptor, const struct mu_wire *asked,
                      struct mu_wire *answer);

/* For people: its id, and whether it votes. */
uint64_t acceptor_id (const struct acceptor *acceptor);
bool acceptor_votes (const struct acceptor *acceptor);

#endif
