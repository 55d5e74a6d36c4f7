/* SPDX-License-Identifier: Apache-2.0 */
/* near.h - a state goes to a rank on the same host as memory, not through sockets
 *
 * The source opens a door: an abstract Unix socket with a name that nobody can guess, which is
 * found in this host's (its network namespace's) processes alone. A rank that needs the state calls
 * there; who reaches the door is near. The source gives each that called its region's memfd, open
 * for reading, and the rank maps the state and copies it. Who is not near is sent it by MPI.
 *
 *     source                                 rank that is behind
 *     near_open () -> a number for all
 *                                            near_call (number) -> a line, or -1: it is not near
 *     how many are near, by a reduction
 *     near_give () to so many
 *                                            near_take (line) -> the state; NULL: it went wrong
 *
 * What comes so is believed no more than what comes from MPI: its hash must be the source's. Only
 * processes of one user give each other anything. */
#ifndef MU_NEAR_H
#define MU_NEAR_H

#include <stddef.h>
#include <stdint.h>

/* The door's number, never 0; 0: there is none. */
uint64_t near_open (int *door);

int near_call (uint64_t number);

/* To so many, or to those that came until the time is over; closes the door. Nothing where there is none. */
void near_give (int *door, uint64_t count, int region_fd);

/* `bytes` at `offset` of the source's region, to be read, for as long as this process lives; closes the
 * line. */
const void *near_take (int line, size_t offset, size_t bytes);

#endif
