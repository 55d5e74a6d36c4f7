/* SPDX-License-Identifier: Apache-2.0 */
/* players.h - processes that play thousands of connected workers, each with a connection to every server
 *
 * They speak ZMTP by themselves: two sockets of libzmq a connection would cost more than the servers
 * that are measured, and more descriptors than there are. A worker says HELLO, then BEAT as often as the
 * coordinator's WELCOME says, and HELLO again when it has heard nothing for half the silence it was
 * told, as an agent does. Each word goes to all servers in the same moment. */
#ifndef BENCH_PLAYERS_H
#define BENCH_PLAYERS_H

#include <stdatomic.h>
#include <stdint.h>

/* What is connected to: the coordinator, and others to compare it with. */
enum { COORDINATOR, ECHO, MUTE, SERVERS };

/* In memory that all processes share. */
struct players {
    uint16_t port[SERVERS];            /* on 127.0.0.1 */
    atomic_int open;                   /* how many of the servers are to be connected to */
    atomic_uint answered[SERVERS];     /* workers that had their first answer */
    atomic_uint redialled;             /* connections that ended before */
    atomic_ulong said, heard[SERVERS]; /* words */
    atomic_uint beat_ms;               /* as WELCOME said last */
};

/* Play workers `first` and so many more, until killed. */
_Noreturn void players_run (struct players *shared, uint32_t first, uint32_t count);

_Noreturn void bench_die (const char *what);
double bench_now_s (void);

#endif
