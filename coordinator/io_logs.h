/* SPDX-License-Identifier: Apache-2.0 */
/* io_logs.h - one log file a job, under the state directory: what its workers and we ourselves say
 * of it
 *
 * A job's file begins with the first thing that is done for it: to make one for each of thousands that
 * wait would cost more than all else about them. That it was submitted is in the daemon's own log and
 * in `muster events`. Lines are whole JSON objects. A file ends at JOB_LOG_BYTES_MAX with a line that says so. Not
 * durable on purpose: a log is no promise. */
#ifndef COORD_IO_LOGS_H
#define COORD_IO_LOGS_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOB_LOG_BYTES_MAX (256u << 20)

struct job_logs;

/* DIR/logs is made if it is not there. */
struct job_logs *job_logs_open (const char *dir, struct mu_error *error);
void job_logs_close (struct job_logs **logs_p);

/* Append one line, without its newline. Failures are silent: the same line goes elsewhere too. */
void job_logs_add (struct job_logs *logs, uint64_t job, const char *line, size_t size);

/* Whole lines from `offset` on, at most `size` bytes, into `text`; *next is where to go on. Returns
 * the length, 0 at the end or where there is no log. */
size_t job_logs_read (struct job_logs *logs, uint64_t job, uint64_t offset, char *text, size_t size,
                      uint64_t *next);

/* Remove the logs in DIR/logs of jobs that are gone. Any thread. */
void job_logs_sweep (const char *dir, bool (*is_gone) (const void *arg, uint64_t job),
                     const void *arg);

#endif
