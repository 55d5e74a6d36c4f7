/* SPDX-License-Identifier: Apache-2.0 */
/* guards.h - two functions that the collective process puts between MPI and the world
 *
 * ucp_ep_create: MPICH (4.0 to 4.3, ch4:ucx) makes its endpoints without error handling and turns
 * the errors of a lost peer into MPI_SUCCESS with wrong sums, or waits for ever. The program's own
 * ucp_ep_create, which the dynamic linker finds before UCX's, asks for peer error handling; the
 * handler ends the process at once.
 *
 * epoll_wait: UCX polls its TCP sockets without ever sleeping, which makes reductions 10 to 100
 * times slower when there are more ranks than cores. The program's own epoll_wait lets others run
 * and, after many empty polls, sleeps until a byte arrives or a millisecond has passed.
 *
 * Both need the symbol in the program's dynamic table: link with
 * -Wl,--export-dynamic-symbol=ucp_ep_create -Wl,--export-dynamic-symbol=epoll_wait. Since a wrong
 * link or another transport would switch them off in silence, they count their calls. */
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
