/* SPDX-License-Identifier: Apache-2.0 */
/* near.h - a rank's region is given to another one on the same host, to be read
 *
 * A rank opens a door: an abstract Unix socket with a name that nobody can guess, which is found in
 * this host's (its network namespace's) processes alone. Who reaches the door is near. It is given the
 * region's memfd, opened for reading, and maps it.
 *
 *     one rank                               another
 *     near_open () -> a number for all
 *                                            near_call (number) -> a line, or -1: it is not near
 *     near_give () to as many as called
 *                                            near_take (line) -> the region; NULL: it went wrong
 *
 * What comes so is believed no more than what comes from MPI: states by their hashes, sums by their
 * proof. Only processes of one user give each other anything. */
#ifndef MU_NEAR_H
#define MU_NEAR_H

#include <stddef.h>
#include <stdint.h>

/* The door's number, never 0; 0: there is none. */
uint64_t near_open (int *door);

int near_call (uint64_t number);

/* To so many, or to those that came until the time is over; closes the door. Nothing where there is none. */
void near_give (int *door, uint64_t count, int region_fd);

/* The first `bytes` of the region, for as long as this process lives; closes the line. */
const void *near_take (int line, size_t bytes);

#endif
