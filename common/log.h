/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one JSON object a line, from every program of Muster
 *
 * {"time":"2026-01-31T12:00:00.123Z","level":"info","program":"muster-coordinator","event":"formed",
 *  "job":1,"generation":2,"rank":0,"text":"..."}
 *
 * `event` is a short word that a machine can match; `text` a sentence for people. What is zero or
 * absent in the context is left out. A write () is of whole lines, at most MU_LOG_LINE_MAX bytes; a
 * longer text is cut. Nothing here allocates or blocks on anything but the file; one lock
 * keeps threads apart. Secrets have no way in: only these fields are written. */
#ifndef MU_LOG_H
#define MU_LOG_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MU_LOG_LINE_MAX 4096u

enum mu_log_level { MU_LOG_DEBUG, MU_LOG_INFO, MU_LOG_WARN, MU_LOG_ERROR };

/* What a line is about; 0, NULL and rank -1 are left out. */
struct mu_log_about {
    uint64_t job, generation;
    int32_t rank; /* -1: none */
    const char *worker;
    bool outside; /* `also` files it nowhere: nothing is done for the job yet */
};

#define MU_LOG_ABOUT_NOTHING ((struct mu_log_about){ .rank = -1 })

/* Begin: `program` stays the caller's. A NULL or empty path is standard error; a file is appended
 * to and opened anew by mu_log_reopen () (after rotation). */
int mu_log_open (const char *program, const char *path, enum mu_log_level level,
                 struct mu_error *error);
int mu_log_reopen (struct mu_error *error);
void mu_log_close (void);

/* "debug", "info", "warn", "error" to a level; -1 if it is none of them. */
int mu_log_level_parse (const char *text);

/* Everything written goes to `also` too (without the newline), after the line is out: an agent
 * sends it to its coordinator. NULL takes it back. Called under the lock: it must not log. */
void mu_log_also (void (*also) (void *arg, enum mu_log_level level,
                                const struct mu_log_about *about, const char *line, size_t size),
                  void *arg);

void mu_log (enum mu_log_level level, const char *event, const struct mu_log_about *about,
             const char *format, ...) __attribute__ ((format (printf, 4, 5)));
/* The same, of a text that is there. */
void mu_log_text (enum mu_log_level level, const char *event, const struct mu_log_about *about,
                  const char *text);

/* Lines, of whatever thread, gather until the release, or until they fill a write (). */
void mu_log_hold (void);
void mu_log_release (void);

/* The line itself into `line`, for tests and for those who send it elsewhere; returns its length.
 */
size_t mu_log_format (char *line, size_t size, uint64_t unix_ms, const char *program,
                      enum mu_log_level level, const char *event, const struct mu_log_about *about,
                      const char *text);

#endif
