/* SPDX-License-Identifier: Apache-2.0 */
/* io_supervise.h - under mpirun a worker stands behind a process that cannot die by surprise
 *
 * MPICH's launcher kills every process it started on a host when one of them dies by a signal,
 * whatever its options say. So what mpirun starts only waits: the worker itself runs in a child, in
 * a session of its own, and each of its ends is an ordinary one for mpirun. */
#ifndef IO_SUPERVISE_H
#define IO_SUPERVISE_H

/* Call first in main (). Returns in the process that is to be the worker: this one, or under a
 * launcher a child of it. SIGTERM, SIGINT and SIGHUP are passed on; a launcher that is killed
 * takes the worker along (with SIGTERM). */
void io_supervise (void);

#endif
