/* SPDX-License-Identifier: Apache-2.0 */
/* guards.h - functions that the collective process puts between MPI and the world
 *
 * ucp_ep_create: MPICH (4.0 to 4.3, ch4:ucx) makes its endpoints without error handling and turns
 * the errors of a lost peer into MPI_SUCCESS with wrong sums, or waits for ever. The program's own
 * ucp_ep_create, which the dynamic linker finds before UCX's, asks for peer error handling; the
 * handler ends the process at once.
 *
 * epoll_wait: UCX polls its TCP sockets without ever sleeping, which makes reductions 10 to 100
 * times slower when there are more ranks than cores. The program's own epoll_wait lets others run
 * and, after many empty polls, sleeps until a byte arrives or a millisecond has passed. While a
 * connection waits for its peer's greeting UCX asks whether it can be written to, which it can all
 * the time, and writes nothing: some 20 to 40 ms of a processor for each new world. So a poll
 * counts as empty, too, if what it finds was ready at the one before and no byte moved since; that
 * is what send, sendmsg and recv are here for.
 *
 * They need their symbols in the program's dynamic table (local.mk). Since a wrong link or another
 * transport would switch them off in silence, the first two count their calls. */
#ifndef MU_GUARDS_H
#define MU_GUARDS_H

#include <stdint.h>

/* What a lost peer ends the process with. Called once, before MPI_Init. */
void mu_guards_arm (int exit_status);

/* How often MPI came by. */
uint64_t mu_guards_endpoints (void);
uint64_t mu_guards_polls (void);

/* The next polls are short again: the caller wants to look at MPI, not to wait for it. */
void mu_guards_poll_fresh (void);

#endif
