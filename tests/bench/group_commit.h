/* SPDX-License-Identifier: Apache-2.0 */
/* group_commit.h - what a disk, SQLite and libzmq allow: a server that stores what comes and says so
 *
 * All messages that wait become one transaction of one row each, in a journal like the coordinator's,
 * with the same settings of SQLite; when it is on the disk, each gets an answer. Nothing is decided, read
 * or checked. */
#ifndef BENCH_GROUP_COMMIT_H
#define BENCH_GROUP_COMMIT_H

#include <sys/types.h>

/* A process of that kind, with its database in `folder`; it ends with this one. */
pid_t group_commit_start (const char *endpoint, const char *folder);

#endif
